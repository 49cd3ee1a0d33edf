//! What a publish and a plan look at before anything is done: the files of every build, where base images
//! and tags point now, and what the images there say of themselves. The decisions are the plan's.

mod bases;
mod choose;
mod images;
mod immutable;
mod order;
mod scan;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::order::Kept;
pub(super) use self::scan::NotHashed;
use self::scan::{Again, Held, Scanned};
use self::state::State;
use super::read::Read;
use super::{Given, adapters, builders};
use crate::cx::Cx;
use crate::error::Error;
use crate::execute::ports::{Inputs, RegistryError, RegistryFault};
use crate::execute::{self, Points, World};
use crate::ledger::Release;
use crate::oci::{Digest, Platform, Reference, Repository};
use crate::plan::{
    self, Action, Fingerprint, Gathered, INPUTS_LABEL, ImageFacts, LastInputs, NamedContext, Plan,
    PlannedTag, Target, VERSION_LABEL, Warning, Wishes,
};

/// How long a registry may take to say where one reference points, retries included. One that takes longer
/// costs a build, and the publish only where the answer decides whether a tag goes backwards.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of looking, beside the plan.
pub(super) struct Prepared {
    /// What was hashed, to be looked at again.
    pub(super) inputs: Arc<dyn Inputs>,
    /// The digest of what the files and arguments of this run decide, by service.
    pub(super) contents: BTreeMap<String, Digest>,
    /// Registries that are not required and have failed, and how: they are left out of this run.
    pub(super) given_up: BTreeMap<String, RegistryError>,
    /// Tags of which nobody can tell whether they would go backwards, and why.
    pub(super) blind: Vec<(Reference, String)>,
    /// Whether a release that moves no tag says more than the records so far.
    pub(super) is_news: bool,
    last: BTreeMap<String, (Fingerprint, BTreeMap<String, String>)>,
    state: State,
}

impl Prepared {
    /// Remembers what a release was built from, so that the next plan can name what changed and need not
    /// read again what it says of itself.
    pub(super) fn keep(&self, release: &Release) {
        let mut images = self.state.images();
        let known = images.len();
        for image in &release.images {
            let Some(inputs) = image
                .labels
                .get(INPUTS_LABEL)
                .and_then(|it| it.parse().ok())
            else {
                continue;
            };
            let label = |name| {
                image
                    .labels
                    .get(&format!("org.opencontainers.image.{name}"))
            };
            images.entry(image.digest.clone()).or_insert(ImageFacts {
                inputs: Some(inputs),
                revision: label("revision").cloned(),
                version: label("version").cloned(),
                published_as: image.labels.get(VERSION_LABEL).cloned(),
                created: label("created").cloned(),
                platforms: image.platforms.clone(),
                attested: !image.attestations.is_empty(),
                size: image.size,
                children: image.children.clone(),
            });
            self.keep_inputs(&image.service, &image.digest);
        }
        if images.len() > known {
            self.state.keep_images(&images);
        }
    }

    fn keep_inputs(&self, service: &str, image: &Digest) {
        let Some((fingerprint, files)) = self.last.get(service) else {
            return;
        };
        let known = self.state.last(service);
        let is_known =
            known.is_some_and(|last| last.image == *image && last.fingerprint == *fingerprint);
        if !is_known {
            let last = LastInputs {
                image: image.clone(),
                fingerprint: fingerprint.clone(),
                files: files.clone(),
            };
            self.state.keep_last(service, &last);
        }
    }
}

/// Everything that was found out, by service where it is a service's.
struct Found {
    inputs: BTreeMap<String, Result<Fingerprint, String>>,
    contents: BTreeMap<String, Digest>,
    held: BTreeMap<String, Held>,
    points: Points,
    facts: BTreeMap<Digest, ImageFacts>,
    /// The images that cannot be read.
    unread: BTreeMap<Digest, RegistryError>,
    /// Registries that are not required and have failed.
    given_up: BTreeMap<String, RegistryError>,
    /// The releases that this machine knows.
    releases: Vec<Release>,
    /// What other tags point to, in the repositories where that was looked at.
    elsewhere: BTreeMap<Repository, Vec<Digest>>,
    /// Images that are not whole, each with a repository where a part is missing.
    damaged: BTreeMap<Digest, Repository>,
}

/// Looks at everything, and completes the plan: what is built and what reused, where tags point and will
/// point, and which stay where they are.
pub(super) async fn prepare(
    cx: &Cx,
    given: &Given<'_>,
    read: &Read,
    plan: &mut Plan,
    world: &World,
    wishes: Wishes,
) -> Result<Prepared, Error> {
    let registry = &*world.registry;
    let ledger = adapters::ledger(given, read).ok();
    // A ledger that cannot be read is in the way of a publish, and not of this.
    let releases = ledger.as_ref().and_then(|ledger| ledger.releases().ok());
    let state = State::new(ledger.map(|ledger| ledger.folder().to_owned()));
    let own = builders::own_platforms(cx, given, read, plan, world).await;
    let scanned = scan(plan, &own, wishes).await?;
    let references = references(plan, &scanned);
    let reading = {
        let (scanned, state) = (scanned.clone(), state.clone());
        tokio::task::spawn_blocking(move || scan::read_folders(&scanned, &state))
    };
    let asking = async {
        let points = execute::resolve(cx, registry, references, PATIENCE).await;
        let known = (&own, &points);
        let bases = bases::look(cx, registry, plan, &scanned, known, &state).await;
        (points, bases)
    };
    let (held, (points, bases)) = tokio::join!(reading, asking);
    let held = held.map_err(|error| Error::Internal(error.to_string()))?;
    let given_up = show_tags(plan, &points);
    let mut found = Found {
        inputs: BTreeMap::new(),
        contents: BTreeMap::new(),
        held: BTreeMap::new(),
        points,
        facts: BTreeMap::new(),
        unread: BTreeMap::new(),
        given_up,
        releases: releases.unwrap_or_default(),
        elsewhere: BTreeMap::new(),
        damaged: BTreeMap::new(),
    };
    // Those that others build on come first.
    let targets = plan.targets.iter().enumerate();
    let numbers: BTreeMap<String, usize> = targets
        .map(|(number, target)| (target.service.clone(), number))
        .collect();
    for service in plan.order.concat() {
        let number = numbers.get(&service).copied();
        let Some(target) = number.and_then(|number| plan.targets.get_mut(number)) else {
            continue;
        };
        let fingerprint = match (scanned.get(&service), held.get(&service)) {
            (Some(Ok(scanned)), Some(Ok(held))) => {
                let own = own.get(&service);
                let contents = contents(target, scanned, held, &found.contents, own);
                if !matches!(target.action, Action::Merge(_)) {
                    target.contents.clone_from(&contents);
                }
                found
                    .contents
                    .extend(contents.map(|it| (service.clone(), it)));
                let beneath = beneath(target, &found.inputs);
                let plain = bases.check(scanned, &found.points);
                plain
                    .and(beneath)
                    .and_then(|beneath| inputs(target, scanned, held, beneath, &found.points, own))
            }
            (Some(Err(why)), _) | (_, Some(Err(why))) => Err(why.clone()),
            _ => Err("reuse is switched off".to_owned()),
        };
        if let Some(Ok(held)) = held.get(&service) {
            found.held.insert(service.clone(), held.clone());
        }
        found.inputs.insert(service, fingerprint);
    }
    (found.facts, found.unread) = images::look(cx, registry, plan, &state).await;
    let by = choose::By {
        state: &state,
        own: &own,
        context: &read.facts.context,
        wishes,
    };
    choose::choose(cx, registry, plan, &mut found, &by).await;
    plan.drop_unneeded();
    images::find_copies(cx, registry, plan, &found.given_up).await;
    aim(plan);
    let mut kept = Kept::default();
    if !wishes.allow_backwards {
        kept = order::keep(cx, given, read, plan, registry, &mut found).await;
    }
    if wishes.allow_overwrite {
        let tags = plan.targets.iter_mut().flat_map(|target| &mut target.tags);
        tags.for_each(PlannedTag::release);
    } else {
        immutable::hold(cx, given, read, plan, registry, &found.facts).await;
    }
    warn_of_fixed(plan);
    Ok(finish(plan, found, kept, scanned, state))
}

/// Reads the Dockerfiles of what may be reused, or of everything where that is wished.
async fn scan(
    plan: &Plan,
    own: &BTreeMap<String, Platform>,
    wishes: Wishes,
) -> Result<BTreeMap<String, Result<Scanned, String>>, Error> {
    let targets: Vec<Target> = plan.targets.clone();
    let own = own.clone();
    let scanned = tokio::task::spawn_blocking(move || {
        let targets = targets.iter();
        let targets = targets.filter(|target| target.may_reuse || wishes.contents);
        targets
            .map(|target| {
                let own = own.get(&target.service);
                (target.service.clone(), scan::scan(target, own))
            })
            .collect()
    });
    scanned
        .await
        .map_err(|error| Error::Internal(error.to_string()))
}

/// Everything that registries are asked for: tags, and images that builds begin with.
fn references(
    plan: &Plan,
    scanned: &BTreeMap<String, Result<Scanned, String>>,
) -> BTreeSet<Reference> {
    let tags = plan.targets.iter().flat_map(|target| &target.tags);
    let images = scanned
        .values()
        .flatten()
        .filter_map(|scanned| scanned.images.as_ref().ok())
        .flat_map(|images| &images.all);
    tags.map(|tag| &tag.reference)
        .chain(images.filter(|image| image.digest().is_none()))
        .cloned()
        .collect()
}

fn is_cancelled(error: &RegistryError) -> bool {
    matches!(error.fault, RegistryFault::Cancelled)
}

fn warning(subject: String, error: &RegistryError) -> Warning {
    Warning {
        subject,
        message: format!("what its tags point to is not known: {}", error.fault),
        hint: error.hint(),
    }
}

/// Says where tags point now. A registry that does not answer is a warning; gives those of them that are
/// not required, and are not asked again.
fn show_tags(plan: &mut Plan, points: &Points) -> BTreeMap<String, RegistryError> {
    let mut warnings: Vec<Warning> = Vec::new();
    let mut given_up = BTreeMap::new();
    for target in &mut plan.targets {
        for tag in &mut target.tags {
            let repository = tag.reference.repository();
            match points.get(&tag.reference) {
                Some(Ok(found)) => tag.from.clone_from(found),
                Some(Err(error)) if !is_cancelled(error) => {
                    let warning = warning(repository.domain().to_owned(), error);
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                    let mut places = target.destinations.iter();
                    let place = places.find(|place| place.repository == *repository);
                    if let Some(place) = place.filter(|place| !place.required) {
                        given_up
                            .entry(place.registry.clone())
                            .or_insert_with(|| error.clone());
                    }
                }
                Some(Err(_)) | None => {}
            }
        }
    }
    plan.warnings.extend(warnings);
    given_up
}

/// The inputs of the services that a target builds on, by the names of the contexts that they are.
fn beneath(
    target: &Target,
    known: &BTreeMap<String, Result<Fingerprint, String>>,
) -> Result<BTreeMap<String, Digest>, String> {
    let mut found = BTreeMap::new();
    for (name, context) in &target.build.named_contexts {
        let NamedContext::Service(other) = context else {
            continue;
        };
        match known.get(&other.0) {
            Some(Ok(fingerprint)) => found.insert(name.clone(), fingerprint.digest.clone()),
            Some(Err(why)) => return Err(format!("it builds on {}: {why}", other.0)),
            None => return Err(format!("it builds on {}, which was not looked at", other.0)),
        };
    }
    Ok(found)
}

/// The digest of what the files and arguments of this run decide about a target; nothing where it builds
/// on something of which that is not known.
fn contents(
    target: &Target,
    scanned: &Scanned,
    held: &Held,
    known: &BTreeMap<String, Digest>,
    own: Option<&Platform>,
) -> Option<Digest> {
    let mut named = held.named.clone();
    for (name, context) in &target.build.named_contexts {
        if let NamedContext::Service(other) = context {
            named.insert(name.clone(), known.get(&other.0)?.clone());
        }
    }
    let gathered = Gathered {
        dockerfile: scanned.dockerfile.clone(),
        context: held.context.clone(),
        named,
        images: BTreeMap::new(),
        own_platform: own.map(ToString::to_string).unwrap_or_default(),
    };
    Some(plan::fingerprint(target, &gathered).digest)
}

/// The fingerprint of a target. The images that it names by tag are pinned to what was found.
fn inputs(
    target: &mut Target,
    scanned: &Scanned,
    held: &Held,
    beneath: BTreeMap<String, Digest>,
    points: &Points,
    own: Option<&Platform>,
) -> Result<Fingerprint, String> {
    let mut named = held.named.clone();
    named.extend(beneath);
    let mut gathered = Gathered {
        dockerfile: scanned.dockerfile.clone(),
        context: held.context.clone(),
        named,
        images: BTreeMap::new(),
        own_platform: own.map(ToString::to_string).unwrap_or_default(),
    };
    let images = scanned.images.as_ref().map_err(Clone::clone)?;
    for image in &images.all {
        let digest = match (image.digest(), points.get(image)) {
            (Some(digest), _) => digest.clone(),
            (None, Some(Ok(Some(digest)))) => {
                // The frontend is no source that a policy is asked about.
                if images.frontend.as_ref() != Some(image) {
                    target.build.pins.insert(image.clone(), digest.clone());
                }
                digest.clone()
            }
            (None, Some(Err(error))) => {
                return Err(format!(
                    "the image {image} cannot be looked up: {}",
                    error.fault
                ));
            }
            (None, Some(Ok(None)) | None) => {
                return Err(format!("the image {image} is in no registry"));
            }
        };
        gathered.images.insert(image.clone(), digest);
    }
    Ok(plan::fingerprint(target, &gathered))
}

/// Says where each tag will point, as far as that is known.
fn aim(plan: &mut Plan) {
    for target in &mut plan.targets {
        let digest = match &target.action {
            Action::Reuse(digest) => Some(digest.clone()),
            // One part that is all there is stays what it is.
            Action::Merge(parts) => match parts.as_slice() {
                [whole] => Some(whole.digest.clone()),
                _ => None,
            },
            Action::Build => None,
        };
        plan::aim(target, digest.as_ref());
    }
}

/// Names the tags that mean one thing for ever and point to another.
fn warn_of_fixed(plan: &mut Plan) {
    use crate::tags::{Channel, Fixed};

    let mut warnings = Vec::new();
    for tag in plan.targets.iter().flat_map(|target| &target.tags) {
        let is_for_ever = matches!(tag.kind, Channel::Fixed(Fixed::Version | Fixed::GitTag));
        let is_moved = is_for_ever && tag.moves() && tag.held.is_none();
        if let Some(from) = tag.from.as_ref().filter(|_| is_moved) {
            warnings.push(Warning {
                subject: tag.reference.to_string(),
                message: format!(
                    "it names one version for ever, and would move from {}:{}…",
                    from.algorithm(),
                    from.short()
                ),
                hint: Some("release a new version, or mean it".to_owned()),
            });
        }
    }
    plan.warnings.extend(warnings);
}

/// What is kept for afterwards.
fn finish(
    plan: &Plan,
    found: Found,
    kept: Kept,
    mut scanned: BTreeMap<String, Result<Scanned, String>>,
    state: State,
) -> Prepared {
    let Found {
        inputs,
        held,
        contents,
        given_up,
        ..
    } = found;
    let targets = plan.targets.iter();
    let targets: BTreeMap<&str, &Target> = targets.map(|it| (it.service.as_str(), it)).collect();
    let mut hashed = BTreeMap::new();
    let mut last = BTreeMap::new();
    for (service, fingerprint) in inputs {
        let Some(held) = held.get(&service) else {
            continue;
        };
        if let Ok(fingerprint) = fingerprint {
            last.insert(service.clone(), (fingerprint, held.files.clone()));
        }
        let target = targets.get(service.as_str());
        if let (Some(target), Some(Ok(scanned))) = (target, scanned.remove(&service))
            && target.action == Action::Build
        {
            hashed.insert(service, (target.build.clone(), scanned, held.clone()));
        }
    }
    Prepared {
        inputs: Arc::new(Again::new(hashed, &state)),
        contents,
        given_up,
        blind: kept.blind,
        is_news: kept.is_news,
        last,
        state,
    }
}
