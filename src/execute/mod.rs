//! Plan → Outcome. The only room where things happen at the same time.
//!
//! Knows the order in which effects must come, the limits, the waits, and what to undo. Must not
//! know any wire: it reaches the world through the traits in [`ports`].
//!
//! **Invariant.** No tag is written before every required image is in every required registry under
//! its digest, and none before the journal says so on the disk. Start reading at [`publish`].

mod commit;
mod links;
mod make;
mod outcome;
pub mod ports;
mod preflight;
mod verify;

use std::sync::Arc;

pub use make::build;
pub use outcome::{Failure, Outcome};
pub use preflight::check;

use crate::cx::Cx;
use crate::event::Event;
use crate::ledger::{Ledger, Release};
use crate::plan::Plan;
use ports::{Builder, Registry};

/// What a publish works with.
#[derive(Clone)]
pub struct World {
    /// What builds.
    pub builder: Arc<dyn Builder>,
    /// Where images go.
    pub registry: Arc<dyn Registry>,
    /// Where what happened is kept.
    pub ledger: Ledger,
    /// How many services are built at the same time, at least 1.
    pub jobs: usize,
}

/// The whole protocol: preflight, build and upload by digest, move the tags, read them back, record.
///
/// `release` is the id of the release to be. Never fails: whatever goes wrong is in the outcome,
/// together with what the world looks like now.
pub async fn publish(cx: &Cx, plan: &Plan, world: &World, release: &str) -> Outcome {
    let mut outcome = Outcome::new(plan, release);
    if let Err(failure) = preflight::pass(cx, plan, world).await {
        return outcome.fail(cx, vec![failure]);
    }
    let images = match make::everything(cx, plan, world).await {
        Ok(images) => images,
        Err(failures) => return outcome.fail(cx, failures),
    };
    outcome.uploaded(plan, &images);
    let committed = match commit::commit(cx, plan, world, &images, release).await {
        Ok(committed) => committed,
        Err(failures) => return outcome.fail(cx, failures),
    };
    outcome.committed(&committed);
    if let Err(failures) = verify::verify(cx, world, &images, &committed).await {
        return outcome.fail(cx, failures);
    }
    outcome.finish();
    record(cx, world, &mut outcome).await;
    outcome
}

/// Keeps the record of a release that is live. That it cannot be kept is said, and changes nothing.
async fn record(cx: &Cx, world: &World, outcome: &mut Outcome) {
    let ledger = world.ledger.clone();
    let release: Release = outcome.release.clone();
    let written = tokio::task::spawn_blocking(move || ledger.record(&release)).await;
    match written {
        Ok(Ok(_)) => cx.events.tell(Event::Recorded {
            release: outcome.release.release.clone(),
        }),
        Ok(Err(error)) => outcome.afterwards(Failure::Ledger(error)),
        Err(error) => outcome.afterwards(Failure::Internal(error.to_string())),
    }
}
