use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::ports::{RegistryError, WriteTarget};
use super::{Failure, World};
use crate::cx::Cx;
use crate::event::Event;
use crate::ledger::{Entry, Move};
use crate::oci::{Digest, Reference};

/// How many tags are brought back at the same time.
const AT_ONCE: usize = 16;
/// How long bringing tags back may take altogether, once the run itself is over.
const LIMIT: Duration = Duration::from_mins(1);

/// What came of bringing tags back.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// An entry of the journal for each tag that is where it was before, or where somebody else put it.
    entries: Vec<Entry>,
    /// The moves that were made: from where the tags were to where they were before.
    pub(super) made: Vec<Move>,
    /// The tags that are not, and can be tried again.
    pub(super) stranded: Vec<Failure>,
    /// New tags that their registry does not let go: somebody has to remove them there.
    pub(super) undeletable: Vec<Failure>,
}

impl Restored {
    /// What the journal should say of it.
    pub(super) fn entries(&mut self) -> Vec<Entry> {
        let mut entries = std::mem::take(&mut self.entries);
        if self.is_complete() {
            entries.push(Entry::TakenBack);
        }
        entries
    }

    /// Whether every tag is where it was before.
    pub(super) fn is_complete(&self) -> bool {
        self.stranded.is_empty() && self.undeletable.is_empty()
    }

    /// All that is not as it was before.
    pub(super) fn failures(self) -> Vec<Failure> {
        let mut failures = self.stranded;
        failures.extend(self.undeletable);
        failures
    }
}

/// Brings tags back at the end of a run that may have been cancelled: with a clock of its own.
pub(super) async fn after_all(cx: &Cx, world: &World, moves: &[Move]) -> Restored {
    let cx = steady(cx);
    let limit = cx.cancel.clone();
    let back = bring_back(&cx, world, moves);
    tokio::pin!(back);
    tokio::select! {
        restored = &mut back => restored,
        () = tokio::time::sleep(LIMIT) => {
            limit.cancel();
            back.await
        }
    }
}

/// The same events, and a cancellation of its own.
pub(super) fn steady(cx: &Cx) -> Cx {
    Cx {
        events: cx.events.clone(),
        cancel: CancellationToken::new(),
    }
}

/// Lets every tag point where it pointed before, those that moved last first.
pub(super) async fn bring_back(cx: &Cx, world: &World, moves: &[Move]) -> Restored {
    let back = moves.iter().rev().map(|moved| async move {
        let result = put_back(cx, world, moved).await;
        (moved, result)
    });
    let results: Vec<_> = stream::iter(back).buffer_unordered(AT_ONCE).collect().await;
    let mut restored = Restored::default();
    for (moved, result) in results {
        match result {
            Ok(is_made) => {
                restored.entries.push(Entry::Restored {
                    reference: moved.reference.clone(),
                });
                restored.made.extend(is_made.then(|| Move {
                    reference: moved.reference.clone(),
                    from: moved.to.clone(),
                    to: moved.from.clone(),
                }));
            }
            Err(failure @ Failure::Undeletable { .. }) => restored.undeletable.push(failure),
            Err(failure) => restored.stranded.push(failure),
        }
    }
    restored
}

/// Lets a tag point where it pointed before, and says whether that took a move. One that somebody else
/// has moved since is left alone.
async fn put_back(cx: &Cx, world: &World, moved: &Move) -> Result<bool, Failure> {
    let at = match world.registry.resolve(cx, &moved.reference).await {
        Ok(at) => at.map(|descriptor| descriptor.digest),
        Err(error) => return Err(strand(cx, moved, None, &error.to_string())),
    };
    if at == moved.from {
        return Ok(false);
    }
    // That a tag is somebody else's by now is only believed of the content itself: a tag is left where
    // it is for good by that, and an answer to HEAD can be wrong.
    let at = if at == moved.to {
        at
    } else {
        match world.registry.manifest(cx, &moved.reference).await {
            Ok(found) => found.map(|manifest| manifest.digest().clone()),
            Err(error) => return Err(strand(cx, moved, None, &error.to_string())),
        }
    };
    if at == moved.from {
        return Ok(false);
    }
    if at != moved.to {
        cx.events.tell(Event::TagRefused {
            service: String::new(),
            reference: moved.reference.clone(),
            because: "somebody else has moved it since".to_owned(),
        });
        return Ok(false);
    }
    let result = match &moved.from {
        Some(from) => write_back(cx, world, &moved.reference, from).await,
        None => {
            let deleted = world.registry.delete(cx, &moved.reference).await;
            deleted.map(|_| ())
        }
    };
    match result {
        Ok(()) => {
            cx.events.tell(Event::TagRestored {
                reference: moved.reference.clone(),
                to: moved.from.clone(),
            });
            Ok(true)
        }
        Err(error) => {
            let failure = strand(cx, moved, at.clone(), &error.to_string());
            if moved.from.is_none() && error.fault.is_for_good() {
                return Err(Failure::Undeletable {
                    reference: moved.reference.clone(),
                    at,
                    error: Box::new(error),
                });
            }
            Err(failure)
        }
    }
}

async fn write_back(
    cx: &Cx,
    world: &World,
    reference: &Reference,
    digest: &Digest,
) -> Result<(), RegistryError> {
    let repository = reference.repository();
    let old = repository.with_digest(digest.clone());
    let manifest = world.registry.manifest(cx, &old).await?;
    let manifest = manifest.ok_or_else(|| RegistryError::missing(&old))?;
    let Some(tag) = reference.tag() else {
        return Ok(());
    };
    let target = WriteTarget::Tag(tag);
    world
        .registry
        .put_manifest(cx, repository, target, &manifest)
        .await
}

fn strand(cx: &Cx, moved: &Move, at: Option<Digest>, message: &str) -> Failure {
    cx.events.tell(Event::TagStranded {
        reference: moved.reference.clone(),
        at: at.clone(),
        wanted: moved.from.clone(),
        message: message.to_owned(),
    });
    Failure::Stranded {
        reference: moved.reference.clone(),
        at,
        wanted: moved.from.clone(),
        message: message.to_owned(),
    }
}
