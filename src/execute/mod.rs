//! Plan → Outcome. The only room where things happen at the same time.
//!
//! Knows the order in which effects must come, the limits, the waits, and what to undo. Must not
//! know any wire: it reaches the world through the traits in [`ports`].
//!
//! **Invariant.** No tag is written before every required image is in every required registry under
//! its digest, and none before the journal says so on the disk. Start reading at [`publish`].

mod attempt;
mod auto;
mod base_layers;
mod baseline;
mod classic;
mod commit;
mod failure;
mod farm;
mod immutable;
mod inspect;
mod links;
mod look;
mod make;
mod merge;
mod outcome;
mod own_step;
mod parts;
pub mod ports;
mod preflight;
mod promote;
mod pushes;
mod records;
mod restore;
mod rollback;
mod unchanged;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use attempt::Attempt;
pub use auto::{Auto, Pool};
pub use classic::EngineBuilder;
pub use failure::Failure;
pub use farm::{Farm, Node};
pub use immutable::in_the_way;
pub use look::{Facts, Points, facts, resolve, triggers};
pub use make::build;
pub use outcome::Outcome;
pub use parts::build_parts;
pub use preflight::check;
pub use promote::{Promotion, promote};
pub use records::{ARTIFACT_TYPE, Found, find, latest, records_of};
pub use rollback::{Undoing, roll_back, take_back};
pub use unchanged::unchanged;

use crate::cx::Cx;
use crate::ledger::Ledger;
use crate::oci::Reference;
use crate::plan::Plan;
use attempt::Log;
use baseline::Baseline;
use commit::{Commit, Committed, Order, Wish};
use make::Image;
use ports::{Builder, Inputs, Registry, RegistryError};

/// What a publish works with.
#[derive(Clone)]
pub struct World {
    /// What builds.
    pub builders: Builders,
    /// Where images go.
    pub registry: Arc<dyn Registry>,
    /// Where what happened is kept.
    pub ledger: Ledger,
    /// How many services are built at the same time, at least 1.
    pub jobs: usize,
    /// What was read before the builds, to be looked at again behind them.
    pub inputs: Arc<dyn Inputs>,
    /// Whether the other services are built and uploaded after one has failed. No tag moves then either.
    pub keep_going: bool,
    /// Registries that are not required and have failed already, by name, and how. They are left out: each
    /// question to one that does not answer takes as long as patience has it.
    pub given_up: BTreeMap<String, RegistryError>,
    /// Tags with an order of which nobody can tell where they are in it, and why.
    pub blind: Vec<(Reference, String)>,
}

/// What builds each service.
#[derive(Clone)]
pub struct Builders {
    /// What builds where nothing else is said.
    pub general: Arc<dyn Builder>,
    /// What builds a service, by its name.
    pub services: BTreeMap<String, Arc<dyn Builder>>,
}

impl Builders {
    /// What builds `service`.
    pub fn of(&self, service: &str) -> &Arc<dyn Builder> {
        self.services.get(service).unwrap_or(&self.general)
    }
}

/// The whole protocol: preflight, build and upload by digest, move the tags, read them back, record.
///
/// Never fails: whatever goes wrong is in the outcome, together with what the world looks like now.
pub async fn publish(cx: &Cx, plan: &Plan, world: &World, attempt: &Attempt) -> Outcome {
    let mut outcome = Outcome::new(plan, attempt);
    match prepare(cx, plan, world, attempt).await {
        Err(failures) => outcome.fail(cx, failures),
        Ok((world, baseline, log)) => {
            let images = match make::everything(cx, plan, &world, Some(&log)).await {
                Ok(images) => images,
                Err(failures) => return outcome.fail(cx, failures),
            };
            outcome.uploaded(&plan.targets, &images);
            let mut commit = Commit::new(cx, &world, &log);
            let moved = immutable::moved(plan, &images, &baseline);
            if let Err(failures) = immutable::part(moved, &mut commit) {
                return outcome.fail(cx, failures);
            }
            let wishes = wishes(&images, &baseline, attempt, |reference| {
                let mut tags = plan.targets.iter().flat_map(|target| &target.tags);
                tags.any(|tag| tag.channel && tag.reference == *reference)
            });
            go_live(cx, &world, outcome, &images, &wishes, (commit, &baseline)).await
        }
    }
}

/// What comes before the first build: is everything ready, where do the tags point, and a journal. Gives the
/// world without the registries that the publish goes ahead without.
async fn prepare(
    cx: &Cx,
    plan: &Plan,
    world: &World,
    attempt: &Attempt,
) -> Result<(World, Baseline, Log), Vec<Failure>> {
    let one = |failure| vec![failure];
    let world = World {
        given_up: preflight::pass(cx, plan, world).await.map_err(one)?,
        ..world.clone()
    };
    let places = plan.targets.iter().flat_map(|target| {
        let places = target.destinations.iter();
        places.map(|place| (target.service.as_str(), place))
    });
    let baseline = Baseline::read(cx, &world, places).await.map_err(one)?;
    let mut baseline = baseline.of(attempt);
    baseline.leave_out(immutable::elsewhere(plan));
    let tags = plan.targets.iter().flat_map(|target| &target.tags);
    let tags = tags.map(|tag| tag.reference.clone()).collect();
    let log = Log::open(&world, attempt, &plan.project, tags).await;
    let log = log.map_err(one)?;
    Ok((world, baseline, log))
}

/// From images that are up everywhere to a release that is live: the tags move, are read back, and the
/// release is recorded.
async fn go_live(
    cx: &Cx,
    world: &World,
    outcome: Outcome,
    images: &[Image],
    wishes: &[Wish],
    (mut commit, baseline): (Commit<'_>, &Baseline),
) -> Outcome {
    for (registry, error) in &baseline.missed {
        commit.give_up(registry, error.clone());
    }
    // A registry that lacks one image gets no tag of the others: half a release is none.
    for (place, error) in images.iter().flat_map(|image| &image.missing) {
        commit.give_up(&place.registry, error.clone());
    }
    if let Err(failures) = commit.run(wishes, Order::ChannelsLast).await {
        return outcome.fail(cx, failures);
    }
    let homes = |done: &Committed| records::homes(images, done);
    settle(cx, world, outcome, commit, images, homes).await
}

/// What comes after the tags have moved, whatever moved them: they are read back, or taken back where that
/// shows something else, and what is live then is recorded by the images in `homes`.
async fn settle(
    cx: &Cx,
    world: &World,
    mut outcome: Outcome,
    mut commit: Commit<'_>,
    images: &[Image],
    homes: impl FnOnce(&Committed) -> records::Homes,
) -> Outcome {
    outcome.committed(&mut commit.done);
    let mut failures = verify::verify(cx, world, images, &commit.done).await;
    // Somebody else writes the same tags, or a registry does not keep what it took. One that only
    // does not answer is no reason to change anything again.
    if failures.iter().any(Failure::is_mismatch) {
        failures.extend(commit.take_back().await);
        outcome.taken_back();
    }
    if !failures.is_empty() {
        return outcome.fail(cx, failures);
    }
    outcome.finish();
    if let Err(failure) = commit.end().await {
        outcome.afterwards(failure.after_all());
    }
    records::keep(cx, world, &mut outcome, &homes(&commit.done)).await;
    outcome
}

/// Every tag of every image in every repository that holds it.
fn wishes(
    images: &[Image],
    baseline: &Baseline,
    attempt: &Attempt,
    is_channel: impl Fn(&Reference) -> bool,
) -> Vec<Wish> {
    let resumed = attempt.resumes.iter().flat_map(|resumes| &resumes.moves);
    let earlier: BTreeSet<_> = resumed.map(|moved| &moved.reference).collect();
    let mut wishes = Vec::new();
    for image in images {
        for place in &image.places {
            for tag in &place.tags {
                let reference = place.repository.with_tag(tag.clone());
                wishes.push(Wish {
                    service: image.service.clone(),
                    registry: place.registry.clone(),
                    required: place.required,
                    to: Some(image.manifest.clone()),
                    channel: is_channel(&reference),
                    from: baseline.from(&reference),
                    earlier: earlier.contains(&reference),
                    reference,
                });
            }
        }
    }
    wishes
}
