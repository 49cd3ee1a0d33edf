use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use super::attempt::{Attempt, Log};
use super::baseline::Baseline;
use super::commit::Commit;
use super::inspect::inspect;
use super::make::{self, Image};
use super::ports::{RegistryError, WriteTarget};
use super::records::ARTIFACT_TYPE;
use super::{Failure, Outcome, World, go_live, immutable, wishes};
use crate::cx::Cx;
use crate::event::Event;
use crate::ledger::{Place, Promoted};
use crate::oci::{Digest, Repository, Tag};
use crate::plan::{Destination, RegistryPlan};

/// How many images are copied at the same time.
const AT_ONCE: usize = 4;
/// What cosign hangs on to the digest in a tag's name (sigstore/cosign, `specs/SIGNATURE_SPEC.md`).
const SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// An image that becomes something else without being built.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// The service.
    pub service: String,
    /// A repository that holds the image.
    pub source: Repository,
    /// The image.
    pub digest: Digest,
    /// Where it goes, with the tags that will point to it.
    pub places: Vec<Destination>,
    /// Those of the tags that do not move once they exist.
    pub immutable: BTreeSet<Tag>,
}

impl Promotion {
    /// The same as a journal keeps it.
    pub fn kept(&self) -> Promoted {
        let places = self.places.iter().map(|place| Place {
            registry: place.registry.clone(),
            repository: place.repository.clone(),
            required: place.required,
            tags: place.tags.clone(),
        });
        Promoted {
            service: self.service.clone(),
            source: self.source.clone(),
            digest: self.digest.clone(),
            places: places.collect(),
        }
    }

    /// What a journal has kept.
    pub fn of(kept: &Promoted) -> Self {
        let places = kept.places.iter().map(|place| Destination {
            registry: place.registry.clone(),
            repository: place.repository.clone(),
            required: place.required,
            // That is for builders to know, and nothing is built.
            insecure: false,
            tags: place.tags.clone(),
        });
        Self {
            service: kept.service.clone(),
            source: kept.source.clone(),
            digest: kept.digest.clone(),
            places: places.collect(),
            immutable: BTreeSet::new(),
        }
    }
}

/// Brings images to repositories with all that is tied to them, and moves tags to them: all, or none.
/// It is a release of its own, with a journal and a record.
pub async fn promote(
    cx: &Cx,
    world: &World,
    project: &str,
    promotions: &[Promotion],
    attempt: &Attempt,
) -> Outcome {
    let mut outcome = Outcome::of(project, &registries(promotions), attempt);
    let places = promotions.iter().flat_map(|promotion| {
        let places = promotion.places.iter();
        places.map(|place| (promotion.service.as_str(), place))
    });
    let tags = places.clone().flat_map(|(_, place)| {
        let tags = place.tags.iter();
        tags.map(|tag| place.repository.with_tag(tag.clone()))
    });
    let tags = tags.collect();
    let mut baseline = match Baseline::read(cx, world, places).await {
        Ok(baseline) => baseline,
        Err(failure) => return outcome.fail(cx, vec![failure]),
    };
    let (findings, held) = immutable::promoted(promotions, &baseline);
    if findings.iter().any(|finding| finding.fatal) {
        return outcome.fail(cx, vec![Failure::NotReady(findings)]);
    }
    baseline.leave_out(held);
    let log = match Log::open(world, attempt, project, tags).await {
        Ok(log) => log,
        Err(failure) => return outcome.fail(cx, vec![failure]),
    };
    let copies = promotions
        .iter()
        .map(|promotion| copy(cx, world, promotion));
    let copies: Vec<_> = stream::iter(copies).buffered(AT_ONCE).collect().await;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for result in copies {
        match result {
            Ok(image) => images.push(image),
            Err(failure) => failures.push(failure),
        }
    }
    if cx.cancel.is_cancelled() {
        failures = vec![Failure::Interrupted { step: "the copy" }];
    }
    if !failures.is_empty() {
        return outcome.fail(cx, failures);
    }
    outcome.uploaded(&[], &images);
    let wishes = wishes(&images, &baseline, attempt, |_| true);
    let commit = Commit::new(cx, world, &log);
    go_live(cx, world, outcome, &images, &wishes, (commit, &baseline)).await
}

/// The registries of the places, each once, with its host.
fn registries(promotions: &[Promotion]) -> Vec<(RegistryPlan, String)> {
    let mut registries: Vec<(RegistryPlan, String)> = Vec::new();
    for place in promotions.iter().flat_map(|promotion| &promotion.places) {
        if !registries
            .iter()
            .any(|(known, _)| known.name == place.registry)
        {
            let plan = RegistryPlan {
                name: place.registry.clone(),
                required: place.required,
            };
            registries.push((plan, place.repository.domain().to_owned()));
        }
    }
    registries
}

/// Brings one image to all its places.
async fn copy(cx: &Cx, world: &World, promotion: &Promotion) -> Result<Image, Failure> {
    let failed = |repository: &Repository, error: RegistryError| {
        cx.events.tell(Event::UploadFailed {
            service: promotion.service.clone(),
            repository: repository.clone(),
            message: error.to_string(),
        });
        Failure::Upload {
            service: promotion.service.clone(),
            error,
        }
    };
    let source = &promotion.source;
    let image = inspect(cx, world, source, &promotion.digest).await;
    let mut image = image.map_err(|error| failed(source, error))?;
    image.service.clone_from(&promotion.service);
    image.reused = true;
    for place in &promotion.places {
        match bring(cx, world, promotion, &image, &place.repository).await {
            Ok(()) => {
                make::uploaded(cx, &image, &place.repository);
                image.places.push(place.clone());
            }
            Err(error) if place.required => return Err(failed(&place.repository, error)),
            Err(error) => {
                failed(&place.repository, error.clone());
                image.missing.push((place.clone(), error));
            }
        }
    }
    Ok(image)
}

/// Brings an image into a repository, with the signatures and other artifacts that are tied to it or to
/// the image of one of its platforms.
async fn bring(
    cx: &Cx,
    world: &World,
    promotion: &Promotion,
    image: &Image,
    to: &Repository,
) -> Result<(), RegistryError> {
    let (registry, from) = (&*world.registry, &promotion.source);
    if from == to {
        return Ok(());
    }
    registry.copy(cx, from, &promotion.digest, to).await?;
    let children = image.children.iter().map(|child| &child.digest);
    for subject in std::iter::once(&promotion.digest).chain(children) {
        for referrer in registry.referrers(cx, from, subject).await? {
            // The record of a release is of the repository where it was made.
            if referrer.artifact_type.as_deref() == Some(ARTIFACT_TYPE) {
                continue;
            }
            registry.copy(cx, from, &referrer.digest, to).await?;
            let reference = to.with_digest(referrer.digest.clone());
            // Written once more as what it is, so that a registry without a list of referrers gets
            // one.
            if let Some(manifest) = registry.manifest(cx, &reference).await? {
                registry
                    .put_manifest(cx, to, WriteTarget::Digest, &manifest)
                    .await?;
            }
        }
        for suffix in SUFFIXES {
            let name = format!("{}-{}.{suffix}", subject.algorithm(), subject.hex());
            let Ok(tag) = name.parse::<Tag>() else {
                continue;
            };
            let tied = from.with_tag(tag.clone());
            if let Some(found) = registry.resolve(cx, &tied).await? {
                registry.copy(cx, from, &found.digest, to).await?;
                let reference = to.with_digest(found.digest);
                if let Some(manifest) = registry.manifest(cx, &reference).await? {
                    let target = WriteTarget::Tag(&tag);
                    registry.put_manifest(cx, to, target, &manifest).await?;
                }
            }
        }
    }
    Ok(())
}
