use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;

use super::attempt::blocking;
use super::commit::{Committed, Wish};
use super::make::Image;
use super::ports::{Registry, RegistryError, WriteTarget};
use super::{Failure, Outcome, World};
use crate::cx::Cx;
use crate::event::Event;
use crate::ledger::Release;
use crate::oci::{Descriptor, Digest, Parsed, RawManifest, Reference, Repository, media_type};

/// The type of the artifact that is a release's record, and of its one layer, which is the record as JSON.
pub const ARTIFACT_TYPE: &str = "application/vnd.castoff.release.v1+json";
/// The annotation with the release's id.
const RELEASE: &str = "dev.castoff.release";
/// The annotation with the digest of the record before this one in the same repository.
const PREVIOUS: &str = "dev.castoff.previous";
/// When the release began (OCI image spec, annotations.md).
const CREATED: &str = "org.opencontainers.image.created";
/// How large a record may be, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;
/// How many tags and records of one repository are looked at.
const MOST: usize = 1000;
/// How many requests are made at the same time.
const AT_ONCE: usize = 16;

/// An image in each registry to which the record of a release is tied: by it, whoever knows a tag finds
/// the record. One is enough, as the record tells of all of them.
pub(super) type Homes = BTreeMap<String, (Repository, Descriptor)>;

/// The first image of each registry that has all of them.
pub(super) fn homes(images: &[Image], committed: &Committed) -> Homes {
    let mut homes = Homes::new();
    for image in images {
        for place in &image.places {
            if !committed.missed.contains_key(&place.registry) {
                let home = (place.repository.clone(), image.manifest.descriptor());
                homes.entry(place.registry.clone()).or_insert(home);
            }
        }
    }
    homes
}

/// The same of a rollback: an image that is live again.
pub(super) fn homes_of(wishes: &[Wish], committed: &Committed) -> Homes {
    let mut homes = Homes::new();
    for wish in wishes {
        let is_missed = committed.missed.contains_key(&wish.registry);
        if let Some(manifest) = wish.to.as_ref().filter(|_| !is_missed) {
            let home = (wish.reference.repository().clone(), manifest.descriptor());
            homes.entry(wish.registry.clone()).or_insert(home);
        }
    }
    homes
}

/// Keeps the record of a release that is live: in its registries, and then on this machine, where its
/// journal ends with that. That it cannot be kept is said, and changes nothing else.
pub(super) async fn keep(cx: &Cx, world: &World, outcome: &mut Outcome, homes: &Homes) {
    let release = &outcome.release;
    let written = homes
        .iter()
        .map(|(registry, (repository, subject))| async move {
            let result = write(cx, &*world.registry, repository, subject, release).await;
            (registry.clone(), result)
        });
    let written: Vec<_> = stream::iter(written).buffered(AT_ONCE).collect().await;
    for (registry, result) in written {
        if let Err(error) = result {
            outcome.afterwards(Failure::Record { registry, error });
        }
    }
    let ledger = world.ledger.clone();
    let release = outcome.release.clone();
    match blocking(move || ledger.record(&release)).await {
        Ok(_) => cx.events.tell(Event::Recorded {
            release: outcome.release.release.clone(),
        }),
        Err(failure) => outcome.afterwards(failure.after_all()),
    }
}

/// Writes the record as an artifact with a subject (OCI image spec 1.1, "Guidelines for Artifact Usage").
async fn write(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    subject: &Descriptor,
    release: &Release,
) -> Result<(), RegistryError> {
    let mut annotations = BTreeMap::from([
        (RELEASE, release.release.clone()),
        (CREATED, release.at.to_string()),
    ]);
    if let Some(previous) = previous(cx, registry, repository, release).await? {
        annotations.insert(PREVIOUS, previous.to_string());
    }
    let record = serde_json::to_vec(release)
        .map_err(|error| nonsense(repository, &subject.digest, error.to_string()))?;
    let config = registry.put_blob(cx, repository, b"{}").await?;
    let layer = registry.put_blob(cx, repository, &record).await?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": { "mediaType": media_type::OCI_EMPTY, "digest": config, "size": 2 },
        "layers": [{ "mediaType": ARTIFACT_TYPE, "digest": layer, "size": record.len() }],
        "subject": {
            "mediaType": subject.media_type, "digest": subject.digest, "size": subject.size,
        },
        "annotations": annotations,
    });
    let manifest = RawManifest::new(media_type::OCI_MANIFEST, manifest.to_string().into_bytes());
    registry
        .put_manifest(cx, repository, WriteTarget::Digest, &manifest)
        .await
}

/// The record of the release that was live in a repository before this one.
async fn previous(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    release: &Release,
) -> Result<Option<Digest>, RegistryError> {
    let here = release.moved.iter();
    let here = here.filter(|moved| moved.reference.repository() == repository);
    let before: BTreeSet<&Digest> = here.filter_map(|moved| moved.from.as_ref()).collect();
    let mut records = Vec::new();
    for digest in before {
        let referrers = registry.referrers(cx, repository, digest).await?;
        records.extend(referrers.into_iter().filter(is_record));
    }
    let created = |record: &Descriptor| record.annotations.get(CREATED).cloned();
    let latest = records.into_iter().max_by_key(created);
    Ok(latest.map(|record| record.digest))
}

fn is_record(descriptor: &Descriptor) -> bool {
    descriptor.artifact_type.as_deref() == Some(ARTIFACT_TYPE)
}

fn nonsense(repository: &Repository, digest: &Digest, message: String) -> RegistryError {
    RegistryError::nonsense(&repository.with_digest(digest.clone()), message)
}

/// The releases that the registries know, and what could not be asked.
#[derive(Debug, Default)]
pub struct Found {
    /// The releases, oldest first.
    pub releases: Vec<Release>,
    /// The repositories that did not answer, and records that cannot be read.
    pub errors: Vec<RegistryError>,
}

/// The releases of `project` whose records are tied to one of these images. What cannot be read is not
/// known.
pub async fn records_of(
    cx: &Cx,
    registry: &dyn Registry,
    project: &str,
    images: &BTreeSet<Reference>,
) -> Vec<Release> {
    let asked = images.iter().map(|image| async move {
        let repository = image.repository();
        let referrers = match image.digest() {
            Some(digest) => registry.referrers(cx, repository, digest).await,
            None => return Vec::new(),
        };
        let mut releases = Vec::new();
        let records = referrers.unwrap_or_default().into_iter().filter(is_record);
        for record in records.take(MOST) {
            if let Ok(Some((release, _))) = read(cx, registry, repository, &record.digest).await {
                releases.push(release);
            }
        }
        releases
    });
    let found: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let found = found.into_iter().flatten();
    found.filter(|release| release.project == project).collect()
}

/// Finds the records of releases in these repositories: from every tag to the image it points to, from
/// there to the records that are tied to it, and from each record to the one before it.
///
/// Who writes to one registry has no say in another one: of what a record says that has moved, only
/// what is in registries with the same record is kept.
pub async fn find(
    cx: &Cx,
    registry: &dyn Registry,
    project: &str,
    repositories: &[Repository],
) -> Found {
    let asked = repositories.iter().map(|repository| async move {
        let found = find_in(cx, registry, repository).await;
        (repository.domain(), found)
    });
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut found = Found::default();
    let mut known: Vec<(Release, BTreeSet<&str>)> = Vec::new();
    for (host, (releases, errors)) in answers {
        found.errors.extend(errors);
        for release in releases {
            if release.project != project {
                continue;
            }
            match known.iter_mut().find(|(known, _)| *known == release) {
                Some((_, hosts)) => {
                    hosts.insert(host);
                }
                None => known.push((release, BTreeSet::from([host]))),
            }
        }
    }
    let mut best: BTreeMap<String, (Release, BTreeSet<&str>)> = BTreeMap::new();
    for (release, hosts) in known {
        let size = |release: &Release, hosts: &BTreeSet<&str>| (hosts.len(), release.moved.len());
        let is_better = best
            .get(&release.release)
            .is_none_or(|(held, at)| size(&release, &hosts) > size(held, at));
        if is_better {
            best.insert(release.release.clone(), (release, hosts));
        }
    }
    found.releases = best
        .into_values()
        .map(|(mut release, hosts)| {
            let moved = &mut release.moved;
            moved.retain(|moved| hosts.contains(moved.reference.repository().domain()));
            release
        })
        .collect();
    found.releases.sort_by_key(Release::age);
    found
}

/// The latest records, at most `most`, that are tied to any of these images, each in a repository of the
/// same registry; latest first.
pub async fn latest(
    cx: &Cx,
    registry: &dyn Registry,
    images: &[(Repository, Digest)],
    most: usize,
) -> Result<Vec<Release>, RegistryError> {
    let asked = images.iter().map(|(repository, digest)| async move {
        let referrers = registry.referrers(cx, repository, digest).await?;
        let records = referrers.into_iter().filter(is_record);
        let named = records.map(|record| (repository, record));
        Ok(named.collect::<Vec<_>>())
    });
    let answers: Vec<Result<Vec<_>, RegistryError>> =
        stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut records = Vec::new();
    for answer in answers {
        records.extend(answer?);
    }
    let age = |record: &Descriptor| -> Option<jiff::Timestamp> {
        record.annotations.get(CREATED)?.parse().ok()
    };
    records.sort_by_key(|(_, record)| std::cmp::Reverse(age(record)));
    records.truncate(most);
    let read = records
        .iter()
        .map(|(repository, record)| read(cx, registry, repository, &record.digest));
    let read: Vec<_> = stream::iter(read).buffered(AT_ONCE).collect().await;
    let mut releases = Vec::new();
    for found in read {
        releases.extend(found?.map(|(release, _)| release));
    }
    Ok(releases)
}

async fn find_in(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
) -> (Vec<Release>, Vec<RegistryError>) {
    let (mut releases, mut errors) = (Vec::new(), Vec::new());
    let mut waiting = match tied(cx, registry, repository).await {
        Ok(records) => records,
        Err(error) => return (releases, vec![error]),
    };
    let mut seen: BTreeSet<Digest> = waiting.iter().cloned().collect();
    while let Some(digest) = waiting.pop_front() {
        match read(cx, registry, repository, &digest).await {
            Ok(None) => {}
            Ok(Some((release, previous))) => {
                releases.push(release);
                let previous = previous.filter(|_| seen.len() < MOST);
                if let Some(previous) = previous.filter(|previous| !seen.contains(previous)) {
                    seen.insert(previous.clone());
                    waiting.push_back(previous);
                }
            }
            Err(error) => errors.push(error),
        }
    }
    (releases, errors)
}

/// The records that are tied to the images that have a tag.
async fn tied(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
) -> Result<VecDeque<Digest>, RegistryError> {
    let tags = registry.tags(cx, repository).await?;
    // Lists of referrers are tags too, where a registry has no better way.
    let tags = tags
        .into_iter()
        .filter(|tag| !tag.as_str().starts_with("sha256-"));
    let references: Vec<Reference> = tags
        .take(MOST)
        .map(|tag| repository.with_tag(tag))
        .collect();
    let images = references.iter().map(|tag| registry.resolve(cx, tag));
    let images: Vec<_> = stream::iter(images).buffered(AT_ONCE).collect().await;
    let mut digests = BTreeSet::new();
    for image in images {
        digests.extend(image?.map(|image| image.digest));
    }
    let referrers = digests
        .iter()
        .map(|digest| registry.referrers(cx, repository, digest));
    let referrers: Vec<_> = stream::iter(referrers).buffered(AT_ONCE).collect().await;
    let mut records = VecDeque::new();
    for referrers in referrers {
        let found = referrers?.into_iter().filter(is_record);
        records.extend(found.map(|record| record.digest));
    }
    records.truncate(MOST);
    Ok(records)
}

/// A record and the digest of the one before it, nothing where it is gone.
async fn read(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<(Release, Option<Digest>)>, RegistryError> {
    let reference = repository.with_digest(digest.clone());
    let Some(manifest) = registry.manifest(cx, &reference).await? else {
        return Ok(None);
    };
    let wrong = |message: String| nonsense(repository, digest, message);
    let parsed = manifest.parse().map_err(|error| wrong(error.to_string()))?;
    let Parsed::Manifest(manifest) = parsed else {
        return Err(wrong("the record of a release is no index".to_owned()));
    };
    let layer = manifest.layers.first();
    let layer = layer.filter(|layer| layer.media_type == ARTIFACT_TYPE);
    let layer = layer.ok_or_else(|| wrong("the record of a release is not in it".to_owned()))?;
    let text = registry.blob(cx, repository, layer, LARGEST).await?;
    let release = Release::read(&text).map_err(|error| wrong(error.to_string()))?;
    let previous = manifest.annotations.get(PREVIOUS);
    Ok(Some((
        release,
        previous.and_then(|digest| digest.parse().ok()),
    )))
}
