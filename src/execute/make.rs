use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use super::attempt::Log;
use super::ports::{BuildOrder, BuilderError, Built, Output, RegistryError};
use super::{Failure, World};
use crate::cx::Cx;
use crate::event::{Event, PlannedTarget};
use crate::ledger::{Entry, Uploaded};
use crate::oci::{Descriptor, Digest, Parsed, Platform, RawManifest, Reference, Repository};
use crate::plan::{Action, Destination, Plan, Target};

/// How many manifests of an image are read at the same time.
const AT_ONCE: usize = 8;

/// A service's image, uploaded under its digest.
#[derive(Clone, Debug)]
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
fn announce(cx: &Cx, plan: &Plan) {
    cx.events.tell(Event::Planned {
        targets: plan
            .targets
            .iter()
            .map(|target| PlannedTarget {
                service: target.service.clone(),
                build: target.action == Action::Build,
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

/// Builds every target and uploads it to all its destinations. The first failure stops the others, as
/// there will be no release, unless the world is to keep going and all of them are to be known.
pub(super) async fn everything(
    cx: &Cx,
    plan: &Plan,
    world: &World,
    log: &Log,
) -> Result<Vec<Image>, Vec<Failure>> {
    announce(cx, plan);
    let others = Cx {
        events: cx.events.clone(),
        cancel: cx.cancel.child_token(),
    };
    let mut images = Vec::new();
    let mut failures = Vec::new();
    for row in &plan.order {
        let targets = plan
            .targets
            .iter()
            .filter(|target| row.contains(&target.service));
        let work = targets.map(|target| one(&others, target, world));
        let mut done = stream::iter(work).buffer_unordered(world.jobs.max(1));
        while let Some(result) = done.next().await {
            let result = match result {
                Ok(image) => note(log, &image).await.map(|()| image),
                Err(failure) => Err(failure),
            };
            match result {
                Ok(image) => images.push(image),
                Err(failure) => {
                    failures.push(failure);
                    if !world.keep_going {
                        others.cancel.cancel();
                    }
                }
            }
        }
    }
    if cx.cancel.is_cancelled() {
        return Err(vec![Failure::Interrupted { step: "the build" }]);
    }
    // What was stopped because another failed is no failure of its own.
    failures.retain(|failure| !failure.is_cancelled());
    if !failures.is_empty() {
        return Err(failures);
    }
    images.sort_by(|one, other| one.service.cmp(&other.service));
    Ok(images)
}

/// Notes that an image is up, so that another run need not make it again.
async fn note(log: &Log, image: &Image) -> Result<(), Failure> {
    let repositories = image.places.iter().map(|place| place.repository.clone());
    let entry = Entry::Uploaded(Uploaded {
        service: image.service.clone(),
        digest: image.digest().clone(),
        repositories: repositories.collect(),
    });
    log.write(vec![entry]).await
}

/// Builds one target, and brings it everywhere.
async fn one(cx: &Cx, target: &Target, world: &World) -> Result<Image, Failure> {
    let begun = Instant::now();
    let places: Vec<Destination> = target.required().cloned().collect();
    let source = places.first().map(|place| place.repository.clone());
    let Some(source) = source else {
        return Err(Failure::Internal(format!(
            "service {} goes nowhere",
            target.service
        )));
    };
    let (digest, reused) = match &target.action {
        Action::Build => {
            let outputs = outputs(target, &places);
            let built = build_one(cx, target, outputs, world).await?;
            (built.digest, false)
        }
        Action::Reuse(digest) => {
            cx.events.tell(Event::Reused {
                service: target.service.clone(),
                digest: digest.clone(),
                because: target.because.join("; "),
            });
            for place in places.iter().skip(1) {
                let copied = world
                    .registry
                    .copy(cx, &source, digest, &place.repository)
                    .await;
                copied.map_err(|error| upload_failure(cx, target, &place.repository, error))?;
            }
            (digest.clone(), true)
        }
    };
    let inspected = inspect(cx, world, &source, &digest).await;
    let mut image = inspected.map_err(|error| upload_failure(cx, target, &source, error))?;
    image.service.clone_from(&target.service);
    image.reused = reused;
    for place in &places {
        uploaded(cx, &image, &place.repository);
    }
    image.places = places;
    for place in target.best_effort() {
        match world
            .registry
            .copy(cx, &source, &digest, &place.repository)
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
    Ok(image)
}

/// How the builder is asked to push: to every repository at the same time, unless attestations would
/// make each of those pushes another image.
fn outputs(target: &Target, places: &[Destination]) -> Vec<Output> {
    let push = |places: &[Destination]| Output::Push {
        repositories: places
            .iter()
            .map(|place| place.repository.clone())
            .collect(),
        insecure: places.iter().any(|place| place.insecure),
    };
    if target.build.is_attested() {
        vec![push(places)]
    } else {
        places.chunks(1).map(push).collect()
    }
}

pub(super) fn uploaded(cx: &Cx, image: &Image, repository: &Repository) {
    cx.events.tell(Event::Uploaded {
        service: image.service.clone(),
        repository: repository.clone(),
        digest: image.digest().clone(),
        size: image.size,
    });
}

fn upload_failure(
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

/// Builds one target to `outputs`.
async fn build_one(
    cx: &Cx,
    target: &Target,
    outputs: Vec<Output>,
    world: &World,
) -> Result<Built, Failure> {
    let begun = Instant::now();
    if cx.cancel.is_cancelled() {
        return Err(Failure::Build {
            service: target.service.clone(),
            error: BuilderError::Cancelled,
        });
    }
    cx.events.tell(Event::BuildStarted {
        service: target.service.clone(),
        builder: world.builder.name().to_owned(),
    });
    let order = BuildOrder {
        service: target.service.clone(),
        spec: target.build.clone(),
        outputs,
    };
    match world.builder.build(cx, &order).await {
        Ok(built) => {
            cx.events.tell(Event::BuildFinished {
                service: target.service.clone(),
                digest: built.digest.clone(),
                seconds: begun.elapsed().as_secs_f64(),
                steps: built.steps,
                cached: built.cached,
            });
            Ok(built)
        }
        Err(error) => {
            cx.events.tell(Event::BuildFailed {
                service: target.service.clone(),
                message: error.to_string(),
            });
            Err(Failure::Build {
                service: target.service.clone(),
                error,
            })
        }
    }
}

/// Builds every target into the Engine's own image store, under `names`.
pub async fn build(
    cx: &Cx,
    plan: &Plan,
    world: &World,
    names: &dyn Fn(&Target) -> Vec<Reference>,
) -> Result<Vec<(String, Built)>, Vec<Failure>> {
    announce(cx, plan);
    let work = plan.targets.iter().map(|target| {
        let outputs = vec![Output::Load {
            references: names(target),
        }];
        async move {
            let built = build_one(cx, target, outputs, world).await?;
            Ok((target.service.clone(), built))
        }
    });
    let done: Vec<Result<_, Failure>> = stream::iter(work)
        .buffer_unordered(world.jobs.max(1))
        .collect()
        .await;
    if cx.cancel.is_cancelled() {
        return Err(vec![Failure::Interrupted { step: "the build" }]);
    }
    let (built, failures): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    if failures.is_empty() {
        Ok(built.into_iter().filter_map(Result::ok).collect())
    } else {
        Err(failures.into_iter().filter_map(Result::err).collect())
    }
}

/// Reads an image back: what it consists of, and how large it is.
pub(super) async fn inspect(
    cx: &Cx,
    world: &World,
    repository: &Repository,
    digest: &Digest,
) -> Result<Image, RegistryError> {
    let manifest = fetch(cx, world, repository, digest).await?;
    let mut image = Image {
        service: String::new(),
        children: Vec::new(),
        platforms: Vec::new(),
        attested: false,
        size: 0,
        reused: false,
        seconds: 0.0,
        places: Vec::new(),
        missing: Vec::new(),
        manifest,
    };
    let mut blobs = BTreeSet::new();
    let mut count = |descriptor: &Descriptor| {
        if blobs.insert(descriptor.digest.clone()) {
            image.size += descriptor.size;
        }
    };
    let parsed = parse(&image.manifest, repository)?;
    count(&image.manifest.descriptor());
    let manifests = match parsed {
        Parsed::Manifest(manifest) => vec![*manifest],
        Parsed::Index(index) => {
            index.manifests.iter().for_each(&mut count);
            let read = index.manifests.iter().map(|child| async {
                let raw = fetch(cx, world, repository, &child.digest).await?;
                match parse(&raw, repository)? {
                    Parsed::Manifest(manifest) => Ok(Some(*manifest)),
                    Parsed::Index(_) => Ok(None),
                }
            });
            let read: Vec<Result<_, RegistryError>> =
                stream::iter(read).buffered(AT_ONCE).collect().await;
            image.children = index.manifests;
            let mut manifests = Vec::new();
            for manifest in read {
                manifests.extend(manifest?);
            }
            manifests
        }
    };
    for manifest in &manifests {
        count(&manifest.config);
        manifest.layers.iter().for_each(&mut count);
    }
    image.attested = image.children.iter().any(Descriptor::is_attestation);
    image.platforms = image
        .children
        .iter()
        .filter(|child| !child.is_attestation())
        .filter_map(|child| child.platform.clone())
        .collect();
    Ok(image)
}

async fn fetch(
    cx: &Cx,
    world: &World,
    repository: &Repository,
    digest: &Digest,
) -> Result<RawManifest, RegistryError> {
    let reference = repository.with_digest(digest.clone());
    let found = world.registry.manifest(cx, &reference).await?;
    found.ok_or_else(|| RegistryError::missing(&reference))
}

fn parse(manifest: &RawManifest, repository: &Repository) -> Result<Parsed, RegistryError> {
    manifest.parse().map_err(|error| {
        RegistryError::nonsense(
            &repository.with_digest(manifest.digest().clone()),
            error.to_string(),
        )
    })
}
