use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::attempt::Log;
use super::inspect::inspect;
use super::links::{Link, Links};
use super::ports::{BuildOrder, BuilderError, Built, Handed, Output, RegistryError};
use super::preflight::{fitting, parted};
use super::pushes::pushes;
use super::{Failure, World, merge};
use crate::cx::Cx;
use crate::event::{Event, PlannedTarget};
use crate::ledger::{Entry, Uploaded};
use crate::oci::{Descriptor, Digest, Platform, RawManifest, Repository};
use crate::plan::{Action, Destination, INPUTS_LABEL, Plan, Purpose, Target};

/// A service's image, uploaded under its digest.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of the image, and none follows from another"
)]
pub(super) struct Image {
    pub(super) service: String,
    /// Its manifest or index, byte for byte.
    pub(super) manifest: RawManifest,
    /// The manifests of an index, attestations included.
    pub(super) children: Vec<Descriptor>,
    pub(super) platforms: Vec<Platform>,
    /// Whether an attestation is among the children.
    pub(super) attested: bool,
    /// In bytes, each blob counted once.
    pub(super) size: u64,
    pub(super) reused: bool,
    /// Whether it says what it was built from, as the plan has it.
    pub(super) says_inputs: bool,
    /// Whether what it was built from stayed as it was until it was built.
    pub(super) is_steady: bool,
    pub(super) seconds: f64,
    /// The destinations that hold it.
    pub(super) places: Vec<Destination>,
    /// Best-effort destinations that do not, and why.
    pub(super) missing: Vec<(Destination, RegistryError)>,
}

impl Image {
    pub(super) fn digest(&self) -> &Digest {
        self.manifest.digest()
    }
}

/// Tells what will be done.
pub(super) fn announce(cx: &Cx, plan: &Plan) {
    cx.events.tell(Event::Planned {
        targets: plan
            .targets
            .iter()
            .map(|target| PlannedTarget {
                service: target.service.clone(),
                build: target.action == Action::Build,
                merge: matches!(target.action, Action::Merge(_)),
                platforms: target.platforms.clone(),
                repositories: target.repositories.clone(),
                tags: target
                    .tags
                    .iter()
                    .map(|tag| tag.reference.clone())
                    .collect(),
            })
            .collect(),
    });
}

/// Builds every target and uploads it to all its destinations, and notes in the log, where there is one,
/// what is up. The first failure stops the others, as
/// there will be no release, unless the world is to keep going and all of them are to be known.
pub(super) async fn everything(
    cx: &Cx,
    plan: &Plan,
    world: &World,
    log: Option<&Log>,
) -> Result<Vec<Image>, Vec<Failure>> {
    announce(cx, plan);
    let others = Cx {
        events: cx.events.clone(),
        cancel: cx.cancel.child_token(),
    };
    let mut images = Vec::new();
    let mut failures = Vec::new();
    let jobs = Arc::new(Semaphore::new(world.jobs.max(1)));
    let mut links = Links::of(plan);
    let work = plan
        .targets
        .iter()
        .map(|target| one(&others, target, links.take(target), world, &jobs));
    let mut done: FuturesUnordered<_> = work.collect();
    drop(links);
    while let Some(result) = done.next().await {
        let result = match result {
            Ok(Some(image)) => note(log, plan, &image).await.map(|()| Some(image)),
            other => other,
        };
        match result {
            Ok(image) => images.extend(image),
            Err(failure) => {
                failures.push(failure);
                if !world.keep_going {
                    others.cancel.cancel();
                }
            }
        }
    }
    if cx.cancel.is_cancelled() {
        return Err(vec![Failure::Interrupted { step: "the build" }]);
    }
    if !failures.is_empty() {
        return Err(causes(failures));
    }
    images.sort_by(|one, other| one.service.cmp(&other.service));
    Ok(images)
}

/// Notes that an image is up, so that another run need not make it again.
async fn note(log: Option<&Log>, plan: &Plan, image: &Image) -> Result<(), Failure> {
    let Some(log) = log else { return Ok(()) };
    let mut targets = plan.targets.iter();
    let target = targets.find(|target| target.service == image.service);
    let repositories = image.places.iter().map(|place| place.repository.clone());
    let entry = Entry::Uploaded(Uploaded {
        service: image.service.clone(),
        digest: image.digest().clone(),
        repositories: repositories.collect(),
        // Of an image whose files changed while it was built nobody knows what is in it.
        contents: target
            .filter(|_| image.is_steady)
            .and_then(|target| target.contents.clone()),
    });
    log.write(vec![entry]).await
}

/// The failures that stopped the others. What was stopped is no failure of its own.
fn causes(failures: Vec<Failure>) -> Vec<Failure> {
    if failures.iter().all(Failure::is_cancelled) {
        return failures;
    }
    let causes = failures.into_iter();
    causes.filter(|failure| !failure.is_cancelled()).collect()
}

/// Waits for what a target builds on, and for its turn. A target that others build on gives its turn
/// up when they can go on.
async fn turn(
    target: &Target,
    link: &mut Link,
    jobs: &Arc<Semaphore>,
) -> Result<(BTreeMap<String, Handed>, Option<OwnedSemaphorePermit>), Failure> {
    let handed = link.wait().await.ok_or_else(|| Failure::Build {
        service: target.service.clone(),
        // Another service has failed, and that is what is reported.
        error: BuilderError::Cancelled,
    })?;
    let mut turn = Arc::clone(jobs).acquire_owned().await.ok();
    link.hand_on = link
        .hand_on
        .take()
        .map(|hand_on| hand_on.with_turn(turn.take()));
    Ok((handed, turn))
}

/// Builds one target, and brings it everywhere. There is no image where it goes nowhere.
async fn one(
    cx: &Cx,
    target: &Target,
    mut link: Link,
    world: &World,
    jobs: &Arc<Semaphore>,
) -> Result<Option<Image>, Failure> {
    let (handed, _turn) = turn(target, &mut link, jobs).await?;
    let begun = Instant::now();
    let places: Vec<Destination> = target.required().cloned().collect();
    let reused = target.reused.as_ref().map(|reused| reused.source.clone());
    let source = reused.or_else(|| places.first().map(|place| place.repository.clone()));
    let order = BuildOrder {
        service: target.service.clone(),
        spec: target.build.clone(),
        outputs: Vec::new(),
        shares_context: link.shares_context,
        handed,
        hand_on: link.hand_on.take(),
    };
    let Some(source) = source else {
        build_one(cx, &order, world).await?;
        return Ok(None);
    };
    let made = obtain(cx, target, world, order, &source).await?;
    let inspected = inspect(cx, world, &source, &made.digest).await;
    let mut image = inspected.map_err(|error| upload_failure(cx, target, &source, error))?;
    image.service.clone_from(&target.service);
    image.reused = made.reused;
    image.says_inputs = made.says_inputs;
    image.is_steady = made.is_steady;
    for place in &places {
        uploaded(cx, &image, &place.repository);
    }
    image.places = places;
    for place in target.best_effort() {
        if let Some(error) = world.given_up.get(&place.registry) {
            image.missing.push((place.clone(), error.clone()));
            continue;
        }
        match world
            .registry
            .copy(cx, &source, &made.digest, &place.repository)
            .await
        {
            Ok(_) => {
                uploaded(cx, &image, &place.repository);
                image.places.push(place.clone());
            }
            Err(error) => {
                cx.events.tell(Event::UploadFailed {
                    service: target.service.clone(),
                    repository: place.repository.clone(),
                    message: error.to_string(),
                });
                image.missing.push((place.clone(), error));
            }
        }
    }
    image.seconds = begun.elapsed().as_secs_f64();
    Ok(Some(image))
}

/// An image that is in all the repositories where it must be.
struct Made {
    digest: Digest,
    reused: bool,
    says_inputs: bool,
    is_steady: bool,
}

/// Builds an image, takes the one that is there, or puts it together.
async fn obtain(
    cx: &Cx,
    target: &Target,
    world: &World,
    mut order: BuildOrder,
    source: &Repository,
) -> Result<Made, Failure> {
    let places: Vec<Destination> = target.required().cloned().collect();
    match &target.action {
        Action::Build => {
            let (outputs, others) = pushes(target, &places);
            order.outputs = outputs;
            let (built, steady) = build_steadily(cx, target, order, world).await?;
            let digest = built.digest.ok_or_else(|| {
                Failure::Internal(format!("the image of {} has no digest", target.service))
            })?;
            for place in others {
                let copied = world.registry.copy(cx, source, &digest, &place.repository);
                copied
                    .await
                    .map_err(|error| upload_failure(cx, target, &place.repository, error))?;
            }
            Ok(Made {
                digest,
                reused: false,
                says_inputs: steady && target.inputs.is_some(),
                is_steady: steady,
            })
        }
        Action::Reuse(digest) => {
            cx.events.tell(Event::Reused {
                service: target.service.clone(),
                digest: digest.clone(),
                because: match &target.reused {
                    Some(reused) => reused.because.clone(),
                    None => target.because.join("; "),
                },
            });
            if let Some(hand_on) = &order.hand_on {
                hand_on.leave(Handed::Image(source.with_digest(digest.clone())));
            }
            let held = target
                .reused
                .as_ref()
                .map_or(&[][..], |reused| &reused.held);
            for place in &places {
                let repository = &place.repository;
                if repository == source || held.contains(repository) {
                    continue;
                }
                let copied = world.registry.copy(cx, source, digest, repository).await;
                copied.map_err(|error| upload_failure(cx, target, repository, error))?;
            }
            Ok(Made {
                digest: digest.clone(),
                reused: true,
                // What an interrupted run has uploaded may say of itself something else than the plan
                // does.
                says_inputs: target.reused.is_some(),
                is_steady: true,
            })
        }
        Action::Merge(parts) => Ok(Made {
            digest: merge::assemble(cx, world, target, parts, source).await?,
            reused: parts.iter().all(|part| part.reused),
            says_inputs: target.inputs.is_some(),
            is_steady: true,
        }),
    }
}

/// Builds one target, and looks whether the files are still those that were hashed. Where they are not,
/// the image's label would lie: it is built once more without it, and will not be reused. Gives whether
/// nothing has changed, as far as anybody looked.
async fn build_steadily(
    cx: &Cx,
    target: &Target,
    mut order: BuildOrder,
    world: &World,
) -> Result<(Built, bool), Failure> {
    let built = build_one(cx, &order, world).await?;
    let (inputs, service) = (world.inputs.clone(), target.service.clone());
    let changed = tokio::task::spawn_blocking(move || inputs.changed(&service)).await;
    let changed = changed.map_err(|error| Failure::Internal(error.to_string()))?;
    let Some(changed) = changed else {
        return Ok((built, true));
    };
    let says = order.spec.labels.get_mut(INPUTS_LABEL);
    let Some(says) = says.filter(|says| !says.is_empty()) else {
        return Ok((built, false));
    };
    // Empty, and not away: a base image's would show through.
    says.clear();
    cx.events.tell(Event::Warned {
        subject: target.service.clone(),
        message: format!("{changed} while it was built, so the image will not be reused"),
        hint: None,
    });
    // Who builds on it has been given its result.
    order.hand_on = None;
    let built = build_one(cx, &order, world).await?;
    Ok((built, false))
}

pub(super) fn uploaded(cx: &Cx, image: &Image, repository: &Repository) {
    cx.events.tell(Event::Uploaded {
        service: image.service.clone(),
        repository: repository.clone(),
        digest: image.digest().clone(),
        size: image.size,
    });
}

pub(super) fn upload_failure(
    cx: &Cx,
    target: &Target,
    repository: &Repository,
    error: RegistryError,
) -> Failure {
    cx.events.tell(Event::UploadFailed {
        service: target.service.clone(),
        repository: repository.clone(),
        message: error.to_string(),
    });
    Failure::Upload {
        service: target.service.clone(),
        error,
    }
}

/// Carries one order out.
async fn build_one(cx: &Cx, order: &BuildOrder, world: &World) -> Result<Built, Failure> {
    let begun = Instant::now();
    let service = &order.service;
    if cx.cancel.is_cancelled() {
        return Err(Failure::Build {
            service: service.clone(),
            error: BuilderError::Cancelled,
        });
    }
    let builder = world.builders.of(service);
    cx.events.tell(Event::BuildStarted {
        service: service.clone(),
        builder: builder.name().to_owned(),
        because: builder.because().map(str::to_owned),
    });
    match builder.build(cx, order).await {
        Ok(built) => {
            cx.events.tell(Event::BuildFinished {
                service: service.clone(),
                digest: built.digest.clone(),
                seconds: begun.elapsed().as_secs_f64(),
                files_sent: built.files_sent,
                bytes_sent: built.bytes_sent,
                steps: built.steps,
                cached: built.cached,
            });
            Ok(built)
        }
        Err(error) => {
            cx.events.tell(match &error {
                BuilderError::Cancelled => Event::BuildStopped {
                    service: service.clone(),
                },
                error => Event::BuildFailed {
                    service: service.clone(),
                    message: error.to_string(),
                },
            });
            Err(Failure::Build {
                service: service.clone(),
                error,
            })
        }
    }
}

/// Builds every target, and brings those that are wanted to where `output` says: into the Engine's own
/// image store, or onto this machine.
pub async fn build(
    cx: &Cx,
    plan: &Plan,
    world: &World,
    output: &dyn Fn(&Target) -> Output,
) -> Result<Vec<(String, Built)>, Vec<Failure>> {
    let mut findings = parted(plan, world);
    if plan.purpose == Purpose::Export {
        findings.extend(fitting(plan, world).await);
    }
    if cx.cancel.is_cancelled() {
        return Err(vec![Failure::Interrupted { step: "preflight" }]);
    }
    if !findings.is_empty() {
        return Err(vec![Failure::NotReady(findings)]);
    }
    announce(cx, plan);
    let jobs = Arc::new(Semaphore::new(world.jobs.max(1)));
    let mut links = Links::of(plan);
    let work = plan.targets.iter().map(|target| {
        let mut link = links.take(target);
        let jobs = &jobs;
        async move {
            let (handed, _turn) = turn(target, &mut link, jobs).await?;
            let order = BuildOrder {
                service: target.service.clone(),
                spec: target.build.clone(),
                outputs: target.wanted.then(|| output(target)).into_iter().collect(),
                shares_context: link.shares_context,
                handed,
                hand_on: link.hand_on.take(),
            };
            let built = build_one(cx, &order, world).await?;
            Ok(target.wanted.then(|| (target.service.clone(), built)))
        }
    });
    let done: FuturesUnordered<_> = work.collect();
    drop(links);
    let done: Vec<Result<_, Failure>> = done.collect().await;
    if cx.cancel.is_cancelled() {
        return Err(vec![Failure::Interrupted { step: "the build" }]);
    }
    let mut built = Vec::new();
    let mut failures = Vec::new();
    for result in done {
        match result {
            Ok(loaded) => built.extend(loaded),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() {
        Ok(built)
    } else {
        Err(causes(failures))
    }
}
