//! What test binaries share. Each of them uses a part of it.
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::needless_pass_by_value,
    clippy::return_self_not_must_use,
    clippy::new_without_default,
    reason = "a test fails by panicking, and each test binary uses another part of this"
)]

pub mod actions_cache;
pub mod bed;
#[cfg(unix)]
pub mod buildkit;
pub mod forward;
pub mod images;
pub mod own_bed;
pub mod program;
pub mod project;
pub mod registry;

use castoff::cx::{Cx, Events};
use castoff::event::Event;
use tokio_util::sync::CancellationToken;

/// What effects are handed, and the events that they told.
pub fn cx() -> (Cx, Told) {
    let (events, told) = Events::stream(jiff::Timestamp::now);
    let cancel = CancellationToken::new();
    (Cx { events, cancel }, Told(told))
}

/// The events of a run.
pub struct Told(castoff::cx::Told);

impl Told {
    /// Everything told by now.
    pub fn events(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.0.try_next().ok())
            .map(|envelope| envelope.event)
            .collect()
    }

    /// How many retries were told by now.
    pub fn retries(&self) -> usize {
        let events = self.events();
        let retries = events.iter();
        retries
            .filter(|event| matches!(event, Event::Retried { .. }))
            .count()
    }
}
