//! One image out of parts that several builders or machines have made: the only place that makes an index.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;

use super::make::upload_failure;
use super::ports::{Registry, RegistryError, WriteTarget};
use super::{Failure, World};
use crate::cx::Cx;
use crate::event::{Event, Finding};
use crate::oci::{
    Descriptor, Digest, Index, Parsed, Platform, RawManifest, Repository, media_type,
};
use crate::plan::{
    Action, AnnotationLevel, BuildSpec, INPUTS_LABEL, PROJECT_LABEL, Part, Plan, SERVICE_LABEL,
    Target,
};

/// What an index consists of when it is made here (OCI image-spec, image-index).
const SCHEMA_VERSION: u32 = 2;
/// How many manifests are asked for at the same time.
const AT_ONCE: usize = 16;
/// The largest configuration that is read, in bytes.
const LARGEST_CONFIG: u64 = 4 * 1024 * 1024;

/// Some platforms of an image, and the image that has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// The platforms that are taken of it; all where it names none.
    pub(super) platforms: &'a [Platform],
    /// The image: a manifest or an index.
    pub(super) digest: &'a Digest,
}

/// Puts together what is in `repository`: the images in the order of the platforms that were asked for,
/// then their attestations, with the annotations that belong to an index.
pub(super) async fn merge(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    spec: &BuildSpec,
    pieces: &[Piece<'_>],
) -> Result<RawManifest, RegistryError> {
    let mut entries: Vec<Descriptor> = Vec::new();
    for piece in pieces {
        entries.extend(entries_of(cx, registry, repository, piece).await?);
    }
    let extra = spec.annotations.get(&AnnotationLevel::ManifestDescriptor);
    for entry in entries.iter_mut().filter(|entry| !entry.is_attestation()) {
        entry.annotations.extend(extra.cloned().unwrap_or_default());
    }
    entries.sort_by_key(|entry| {
        let platform = entry.platform.as_ref();
        let mut asked = spec.platforms.iter();
        let at = asked.position(|asked| platform.is_some_and(|found| is(asked, found)));
        (entry.is_attestation(), at.unwrap_or(usize::MAX))
    });
    let media_type = if spec.image.docker_media_types {
        media_type::DOCKER_LIST
    } else {
        media_type::OCI_INDEX
    };
    let index = Index {
        schema_version: SCHEMA_VERSION,
        media_type: Some(media_type.to_owned()),
        manifests: entries,
        annotations: spec
            .annotations
            .get(&AnnotationLevel::Index)
            .cloned()
            .unwrap_or_default(),
        subject: None,
    };
    // Its fields are texts and numbers: there is nothing in it that JSON cannot say.
    let bytes = serde_json::to_vec(&index).unwrap_or_default();
    Ok(RawManifest::new(media_type, bytes))
}

/// What a piece adds to an index.
async fn entries_of(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    piece: &Piece<'_>,
) -> Result<Vec<Descriptor>, RegistryError> {
    let reference = repository.with_digest(piece.digest.clone());
    let found = registry.manifest(cx, &reference).await?;
    let raw = found.ok_or_else(|| RegistryError::missing(&reference))?;
    let parsed = raw.parse();
    let parsed = parsed.map_err(|error| RegistryError::nonsense(&reference, error.to_string()))?;
    let index = match parsed {
        Parsed::Index(index) => index,
        // One platform without attestations needs no index.
        Parsed::Manifest(_) => {
            return Ok(vec![Descriptor {
                platform: piece.platforms.first().cloned(),
                ..raw.descriptor()
            }]);
        }
    };
    let is_taken = |entry: &Descriptor| {
        let wanted = |found: &Platform| piece.platforms.iter().any(|asked| is(asked, found));
        piece.platforms.is_empty() || entry.platform.as_ref().is_some_and(wanted)
    };
    let mut taken = BTreeSet::new();
    for entry in &index.manifests {
        if !entry.is_attestation() && is_taken(entry) {
            taken.insert(entry.digest.clone());
        }
    }
    let belongs = |entry: &Descriptor| match entry.attested() {
        Some(of) if entry.is_attestation() => taken.iter().any(|digest| digest.as_str() == of),
        _ => taken.contains(&entry.digest),
    };
    let manifests = index.manifests.into_iter();
    Ok(manifests.filter(belongs).collect())
}

/// Whether a platform that was found is the one that was asked for. Who names no version of Windows
/// takes each.
fn is(asked: &Platform, found: &Platform) -> bool {
    let version = if asked.os_version().is_empty() {
        ""
    } else {
        found.os_version()
    };
    let found = Platform::from_parts(found.os(), found.architecture(), found.variant(), version);
    asked.normalized() == found.normalized()
}

/// Makes the image of `target` out of its parts, in all the repositories that it must be in. One part
/// that is the whole image is taken as it is.
pub(super) async fn assemble(
    cx: &Cx,
    world: &World,
    target: &Target,
    parts: &[Part],
    source: &Repository,
) -> Result<Digest, Failure> {
    let digest = match parts {
        [whole] => whole.digest.clone(),
        parts => {
            let pieces: Vec<Piece<'_>> = parts
                .iter()
                .map(|part| Piece {
                    platforms: &part.platforms,
                    digest: &part.digest,
                })
                .collect();
            let merged = merge(cx, &*world.registry, source, &target.build, &pieces).await;
            let merged = merged.map_err(|error| upload_failure(cx, target, source, error))?;
            for place in target.required() {
                let (repository, to) = (&place.repository, WriteTarget::Digest);
                let put = world.registry.put_manifest(cx, repository, to, &merged);
                put.await
                    .map_err(|error| upload_failure(cx, target, repository, error))?;
            }
            merged.digest().clone()
        }
    };
    cx.events.tell(Event::Merged {
        service: target.service.clone(),
        digest: digest.clone(),
        parts: parts.iter().map(|part| part.digest.clone()).collect(),
        because: target.because.join("; "),
    });
    Ok(digest)
}

/// Looks whether every part of every image is in every repository where it must be. Gives what is not.
pub(super) async fn missing(cx: &Cx, plan: &Plan, world: &World) -> Vec<Finding> {
    let mut asked = Vec::new();
    for target in &plan.targets {
        let Action::Merge(parts) = &target.action else {
            continue;
        };
        for part in parts {
            for digest in part.manifests.iter().chain([&part.digest]) {
                for place in target.required() {
                    asked.push((target, part, place.repository.with_digest(digest.clone())));
                }
            }
        }
    }
    let answers = asked
        .into_iter()
        .map(|(target, part, reference)| async move {
            let files = part.files.join(" and ");
            let finding = |message: String, hint: Option<String>| Finding {
                fatal: true,
                subject: target.service.clone(),
                message,
                hint,
            };
            match world.registry.resolve(cx, &reference).await {
                Ok(Some(_)) => None,
                Ok(None) => Some(finding(
                    format!("{reference}, which {files} tells of, is not there"),
                    Some(
                        "it was deleted, or never made: run the job again that wrote the file"
                            .to_owned(),
                    ),
                )),
                Err(error) => Some(finding(error.to_string(), error.hint())),
            }
        });
    let findings: Vec<_> = stream::iter(answers).buffered(AT_ONCE).collect().await;
    findings.into_iter().flatten().collect()
}

/// What an image's configuration says of itself (OCI image spec, config.md).
#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
    #[serde(default, rename = "os.version")]
    os_version: String,
    #[serde(default, rename = "config")]
    execution: Execution,
}

#[derive(Default, Deserialize)]
struct Execution {
    #[serde(default, rename = "Labels")]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

/// Compares what files say of the parts with the bytes that the registries hold: a file is only a file,
/// and whoever could write it has no say about which image is published under which name.
pub(super) async fn prove(cx: &Cx, plan: &Plan, world: &World) -> Result<(), Failure> {
    let targets = plan.targets.iter().flat_map(|target| match &target.action {
        Action::Merge(parts) => parts.iter().map(|part| (target, part)).collect(),
        Action::Build | Action::Reuse(_) => Vec::new(),
    });
    let proofs = targets.map(|(target, part)| async move {
        let Some(place) = target.required().next() else {
            return Ok(());
        };
        let project = &plan.project;
        match proof(
            cx,
            &*world.registry,
            project,
            target,
            part,
            &place.repository,
        )
        .await
        {
            Ok(None) => Ok(()),
            Ok(Some(message)) => Err(Failure::Partial {
                file: part.files.join(" and "),
                service: target.service.clone(),
                message,
            }),
            Err(error) => Err(Failure::Unread {
                service: target.service.clone(),
                error,
            }),
        }
    });
    let proofs: Vec<_> = stream::iter(proofs).buffered(AT_ONCE).collect().await;
    if cx.cancel.is_cancelled() {
        return Err(Failure::Interrupted { step: "preflight" });
    }
    proofs.into_iter().collect()
}

/// What is wrong with a part, if anything is.
async fn proof(
    cx: &Cx,
    registry: &dyn Registry,
    project: &str,
    target: &Target,
    part: &Part,
    repository: &Repository,
) -> Result<Option<String>, RegistryError> {
    let piece = Piece {
        platforms: &part.platforms,
        digest: &part.digest,
    };
    let entries = entries_of(cx, registry, repository, &piece).await?;
    for asked in &part.platforms {
        let found = entries
            .iter()
            .filter(|entry| !entry.is_attestation())
            .filter(|entry| {
                entry
                    .platform
                    .as_ref()
                    .is_some_and(|found| is(asked, found))
            });
        let count = found.count();
        if count != 1 {
            return Ok(Some(format!("{} has {asked} {count} times", part.digest)));
        }
    }
    for entry in &entries {
        if entry.digest != part.digest && !part.manifests.contains(&entry.digest) {
            return Ok(Some(format!(
                "{} has {}, which the file does not tell of",
                part.digest, entry.digest
            )));
        }
        if entry.is_attestation() {
            continue;
        }
        let Some(config) = config(cx, registry, repository, entry).await? else {
            return Ok(Some(format!("{} is no image", entry.digest)));
        };
        if let Some(message) = untrue(project, target, part, entry, config) {
            return Ok(Some(message));
        }
    }
    Ok(None)
}

/// The configuration of one platform's image; nothing where it is none.
async fn config(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    entry: &Descriptor,
) -> Result<Option<Config>, RegistryError> {
    let reference = repository.with_digest(entry.digest.clone());
    let found = registry.manifest(cx, &reference).await?;
    let raw = found.ok_or_else(|| RegistryError::missing(&reference))?;
    let Ok(Parsed::Manifest(manifest)) = raw.parse() else {
        return Ok(None);
    };
    let config = &manifest.config;
    let config = registry
        .blob(cx, repository, config, LARGEST_CONFIG)
        .await?;
    Ok(serde_json::from_slice(&config).ok())
}

/// What an image says of itself, and should not.
fn untrue(
    project: &str,
    target: &Target,
    part: &Part,
    entry: &Descriptor,
    config: Config,
) -> Option<String> {
    let platform = Platform::from_parts(
        &config.os,
        &config.architecture,
        &config.variant,
        &config.os_version,
    );
    let asked = part.platforms.iter();
    let mut asked = asked.filter(|asked| entry.platform.as_ref().is_some_and(|it| is(asked, it)));
    if !part.platforms.is_empty() && !asked.any(|asked| is(asked, &platform)) {
        return Some(format!("{} is for {platform}", entry.digest));
    }
    let labels = config.execution.labels.unwrap_or_default();
    let inputs = target.inputs.as_ref().map(Digest::as_str);
    let wanted = [
        (PROJECT_LABEL, Some(project)),
        (SERVICE_LABEL, Some(target.service.as_str())),
        (INPUTS_LABEL, inputs),
    ];
    let mut wanted = wanted.into_iter();
    let (name, value) = wanted.find(|(name, value)| {
        let says = labels.get(*name).map(String::as_str);
        says.filter(|says| !says.is_empty()) != *value
    })?;
    Some(format!(
        "{} does not have the label {name} with {}",
        entry.digest,
        value.unwrap_or("nothing")
    ))
}
