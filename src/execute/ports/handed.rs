//! Results of builds that other builds take in, without a way through a registry.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::oci::Reference;

/// What a build gets of another one that it builds on.
#[derive(Clone, Debug)]
pub enum Handed {
    /// A result within the builder. Whoever holds it keeps it alive there.
    Result(BuilderResult),
    /// An image that is in a registry already.
    Image(Reference),
}

/// A result that only the builder that made it understands.
#[derive(Clone)]
pub struct BuilderResult(Arc<dyn Any + Send + Sync>);

impl BuilderResult {
    /// Wraps what the builder will want to see again.
    pub fn new<T: Any + Send + Sync>(result: T) -> Self {
        Self(Arc::new(result))
    }

    /// What is wrapped, where it is of this type: where this builder made it.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl std::fmt::Debug for BuilderResult {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("BuilderResult")
    }
}

/// Where a builder leaves the result that others wait for, as soon as it is there.
#[derive(Clone)]
pub struct HandOn(Arc<Mutex<Option<Waiting>>>);

/// Who waits for a result, and what is let go when it comes.
struct Waiting {
    others: watch::Sender<Option<Handed>>,
    turn: Option<Box<dyn Any + Send>>,
}

/// Where the result of another build will be found.
#[derive(Clone, Debug)]
pub struct Awaited(watch::Receiver<Option<Handed>>);

/// A place to leave a result in, and where to wait for it.
pub fn hand_on() -> (HandOn, Awaited) {
    let (others, receiver) = watch::channel(None);
    let waiting = Waiting { others, turn: None };
    (
        HandOn(Arc::new(Mutex::new(Some(waiting)))),
        Awaited(receiver),
    )
}

impl HandOn {
    /// Keeps the turn of the build that will leave the result, until it does: those who wait for it
    /// may need that turn themselves before the build can end.
    #[must_use]
    pub fn with_turn<T: Any + Send>(self, turn: T) -> Self {
        if let Some(waiting) = self.lock().as_mut() {
            waiting.turn = Some(Box::new(turn));
        }
        self
    }

    /// Leaves the result, once. Those who wait for it go on, and nobody else holds it any more.
    pub fn leave(&self, handed: Handed) {
        let waiting = self.lock().take();
        if let Some(waiting) = waiting {
            waiting.others.send_replace(Some(handed));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for HandOn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HandOn")
    }
}

impl Awaited {
    /// Waits for the result; `None` when there will be none, as that build has failed.
    pub async fn wait(mut self) -> Option<Handed> {
        let there = self.0.wait_for(Option::is_some).await.ok()?;
        there.clone()
    }
}
