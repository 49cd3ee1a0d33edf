use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures_util::StreamExt;
use futures_util::stream;

use super::attempt::Log;
use super::ports::{RegistryError, WriteTarget};
use super::restore;
use super::{Failure, World};
use crate::cx::Cx;
use crate::event::Event;
use crate::ledger::{Entry, Move};
use crate::oci::{Digest, RawManifest, Reference};

/// How many tags are read or written at the same time.
const AT_ONCE: usize = 16;

/// A tag that should point to an image, or should not be there.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) service: String,
    pub(super) registry: String,
    pub(super) required: bool,
    pub(super) reference: Reference,
    /// What it should point to, `None` where it should be deleted.
    pub(super) to: Option<RawManifest>,
    /// Whether it goes from release to release.
    pub(super) channel: bool,
    /// Where it pointed before anything was changed.
    pub(super) from: Option<Digest>,
    /// Whether a run that was interrupted may have moved it already.
    pub(super) earlier: bool,
}

impl Wish {
    fn to(&self) -> Option<&Digest> {
        self.to.as_ref().map(RawManifest::digest)
    }

    fn as_move(&self) -> Move {
        Move {
            reference: self.reference.clone(),
            from: self.from.clone(),
            to: self.to().cloned(),
        }
    }
}

/// In which order tags are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Channels last, so that who follows one finds everything in its place.
    ChannelsLast,
    /// Channels first, as a release is taken back: nothing is deleted that a channel still leads to.
    ChannelsFirst,
}

/// What became of the tags.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// The tags that moved, in this run or in the one that it goes on with.
    pub(super) moved: Vec<Move>,
    /// The tags that pointed to the right image already.
    pub(super) kept: Vec<(Reference, Digest)>,
    /// Registries that are not required and were given up, by name, and why. None of their tags has
    /// moved.
    pub(super) missed: BTreeMap<String, RegistryError>,
    /// Tags in such registries that could not be brought back, and tags that cannot be deleted.
    pub(super) stranded: Vec<Failure>,
}

/// What happened to one wish.
enum Step {
    Kept,
    Moved,
    /// It was not tried, as something else had failed.
    Stopped,
    /// It could not be read.
    Unread(RegistryError),
    /// It could not be written, or was and nobody said so.
    Unwritten(RegistryError),
    /// It cannot be deleted, as its registry does not allow that.
    Undeletable(RegistryError),
    /// It is somewhere else than it was when the run began.
    Overtaken(Option<Digest>),
}

/// The moves of a run: made all together, or taken back.
pub(super) struct Commit<'a> {
    cx: &'a Cx,
    world: &'a World,
    log: &'a Log,
    /// Every move that was tried, whatever came of it, and its registry.
    touched: Vec<(String, Move)>,
    /// Registries that are given up.
    given_up: Mutex<BTreeSet<String>>,
    pub(super) done: Committed,
}

impl<'a> Commit<'a> {
    pub(super) fn new(cx: &'a Cx, world: &'a World, log: &'a Log) -> Self {
        Self {
            cx,
            world,
            log,
            touched: Vec::new(),
            given_up: Mutex::default(),
            done: Committed::default(),
        }
    }

    /// A registry that is not required and failed before this: none of its tags will move.
    pub(super) fn give_up(&mut self, registry: &str, error: RegistryError) {
        if let Ok(mut given_up) = self.given_up.lock() {
            given_up.insert(registry.to_owned());
        }
        self.done.missed.entry(registry.to_owned()).or_insert(error);
    }

    /// Makes every wish come true, or brings back what moved.
    pub(super) async fn run(&mut self, wishes: &[Wish], order: Order) -> Result<(), Vec<Failure>> {
        if self.cx.cancel.is_cancelled() {
            return Err(vec![Failure::Interrupted { step: "the upload" }]);
        }
        self.cx.events.tell(Event::CommitStarted {
            moves: wishes.len(),
        });
        let mut failures: Vec<Failure> = self.intend(wishes).await.err().into_iter().collect();
        for channel in [false, true] {
            let channel = channel == (order == Order::ChannelsLast);
            let wave = wishes.iter().filter(|wish| wish.channel == channel);
            let wave: Vec<&Wish> = wave.collect();
            if failures.is_empty() {
                failures = self.wave(&wave).await;
            }
        }
        if !failures.is_empty() {
            failures.extend(self.take_back().await);
            return Err(failures);
        }
        self.leave_alone().await;
        Ok(())
    }

    /// Writes down what is about to be done. After this, what is on the disk is enough to finish or to
    /// take back.
    async fn intend(&self, wishes: &[Wish]) -> Result<(), Failure> {
        let moves: Vec<Move> = wishes
            .iter()
            .filter(|wish| wish.from.as_ref() != wish.to() && !self.is_given_up(&wish.registry))
            .map(Wish::as_move)
            .collect();
        if moves.is_empty() {
            return Ok(());
        }
        self.log.write(vec![Entry::Intended { moves }]).await
    }

    fn is_given_up(&self, registry: &str) -> bool {
        let given_up = self.given_up.lock();
        given_up.is_ok_and(|given_up| given_up.contains(registry))
    }

    /// Moves the tags of one wave. Gives what went wrong in required registries.
    async fn wave(&mut self, wishes: &[&Wish]) -> Vec<Failure> {
        let stop = tokio_util::sync::CancellationToken::new();
        let (this, stopped) = (&*self, &stop);
        let steps = wishes.iter().map(|wish| async move {
            let step = this.step(wish, stopped).await;
            let is_bad = matches!(
                step,
                Step::Unread(_) | Step::Unwritten(_) | Step::Overtaken(_)
            );
            if is_bad && wish.required {
                stopped.cancel();
            } else if is_bad && let Ok(mut given_up) = this.given_up.lock() {
                given_up.insert(wish.registry.clone());
            }
            (*wish, step)
        });
        let steps: Vec<_> = stream::iter(steps)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut failures = Vec::new();
        let mut entries = Vec::new();
        for (wish, step) in steps {
            let touched = (wish.registry.clone(), wish.as_move());
            match step {
                Step::Stopped => {}
                Step::Kept => self.keep(wish),
                Step::Moved => {
                    entries.push(Entry::Moved {
                        reference: wish.reference.clone(),
                    });
                    self.done.moved.push(wish.as_move());
                    self.touched.push(touched);
                }
                Step::Unread(error) => failures.extend(self.failed(wish, error)),
                Step::Unwritten(error) => {
                    // Whether it was written all the same is found out when it is brought back.
                    self.touched.push(touched);
                    failures.extend(self.failed(wish, error));
                }
                Step::Undeletable(error) => self.done.stranded.push(Failure::Undeletable {
                    reference: wish.reference.clone(),
                    at: wish.from.clone(),
                    error: Box::new(error),
                }),
                Step::Overtaken(found) => failures.extend(self.overtaken(wish, found)),
            }
        }
        failures.extend(self.log.write(entries).await.err());
        if self.cx.cancel.is_cancelled() && failures.is_empty() {
            failures.push(Failure::Interrupted { step: "the tags" });
        }
        failures
    }

    /// Moves one tag, after one more look at where it points.
    async fn step(&self, wish: &Wish, stop: &tokio_util::sync::CancellationToken) -> Step {
        let is_over = || {
            stop.is_cancelled() || self.cx.cancel.is_cancelled() || self.is_given_up(&wish.registry)
        };
        if is_over() {
            return Step::Stopped;
        }
        let present = match self.world.registry.resolve(self.cx, &wish.reference).await {
            Ok(present) => present.map(|descriptor| descriptor.digest),
            Err(_) if self.cx.cancel.is_cancelled() => return Step::Stopped,
            Err(error) => return Step::Unread(error),
        };
        if present.as_ref() == wish.to() {
            return Step::Kept;
        }
        if present != wish.from {
            return Step::Overtaken(present);
        }
        if is_over() {
            return Step::Stopped;
        }
        match self.write(wish).await {
            Ok(()) => {
                self.tell_moved(wish);
                Step::Moved
            }
            Err(error) if wish.to.is_none() && error.fault.is_for_good() => {
                Step::Undeletable(error)
            }
            Err(error) => Step::Unwritten(error),
        }
    }

    /// Writes one tag. A write that has begun is finished, whatever signal comes: half a write is the
    /// worst of states. It has a time limit of its own.
    async fn write(&self, wish: &Wish) -> Result<(), RegistryError> {
        let steady = restore::steady(self.cx);
        let registry = &self.world.registry;
        match (&wish.to, wish.reference.tag()) {
            (Some(manifest), Some(tag)) => {
                let target = WriteTarget::Tag(tag);
                let repository = wish.reference.repository();
                registry
                    .put_manifest(&steady, repository, target, manifest)
                    .await
            }
            (Some(_), None) => Ok(()),
            (None, _) => {
                let deleted = registry.delete(&steady, &wish.reference).await;
                deleted.map(|_| ())
            }
        }
    }

    fn tell_moved(&self, wish: &Wish) {
        self.cx.events.tell(match wish.to() {
            Some(to) => Event::TagMoved {
                service: wish.service.clone(),
                reference: wish.reference.clone(),
                from: wish.from.clone(),
                to: to.clone(),
            },
            None => Event::TagRestored {
                reference: wish.reference.clone(),
                to: None,
            },
        });
    }

    fn keep(&mut self, wish: &Wish) {
        if wish.earlier && wish.from.as_ref() != wish.to() {
            self.done.moved.push(wish.as_move());
            self.touched.push((wish.registry.clone(), wish.as_move()));
        }
        if let Some(to) = wish.to() {
            self.cx.events.tell(Event::TagKept {
                service: wish.service.clone(),
                reference: wish.reference.clone(),
                digest: to.clone(),
            });
            self.done.kept.push((wish.reference.clone(), to.clone()));
        }
    }

    /// A tag could not be read or written: in a required registry that is a failure, in another one
    /// the registry is left alone from now on.
    fn failed(&mut self, wish: &Wish, error: RegistryError) -> Option<Failure> {
        self.cx.events.tell(Event::TagFailed {
            service: wish.service.clone(),
            reference: wish.reference.clone(),
            message: error.to_string(),
        });
        if wish.required {
            return Some(Failure::Tag {
                service: wish.service.clone(),
                error,
            });
        }
        self.give_up(&wish.registry, error);
        None
    }

    fn overtaken(&mut self, wish: &Wish, found: Option<Digest>) -> Option<Failure> {
        let failure = Failure::Overtaken {
            reference: wish.reference.clone(),
            expected: wish.from.clone(),
            found,
        };
        self.cx.events.tell(Event::TagFailed {
            service: wish.service.clone(),
            reference: wish.reference.clone(),
            message: failure.to_string(),
        });
        if wish.required {
            return Some(failure);
        }
        let error = RegistryError::nonsense(&wish.reference, failure.to_string());
        self.give_up(&wish.registry, error);
        None
    }

    /// Notes that every tag was read back.
    pub(super) async fn end(&self) -> Result<(), Failure> {
        self.log.write(vec![Entry::Complete]).await
    }

    /// Brings back every tag that was touched. Gives those that could not be.
    pub(super) async fn take_back(&mut self) -> Vec<Failure> {
        self.done.moved.clear();
        let moves: Vec<Move> = self.touched.drain(..).map(|(_, moved)| moved).collect();
        let mut restored = restore::after_all(self.cx, self.world, &moves).await;
        // If this cannot be written, the next run looks at the registry and finds the same.
        let _ = self.log.write(restored.entries()).await;
        restored.failures()
    }

    /// Brings back what moved in registries that were given up later: there, too, all tags move or none.
    async fn leave_alone(&mut self) {
        let given_up = match self.given_up.lock() {
            Ok(given_up) => given_up.clone(),
            Err(_) => return,
        };
        let (back, stay): (Vec<_>, Vec<_>) = self
            .touched
            .drain(..)
            .partition(|(registry, _)| given_up.contains(registry));
        self.touched = stay;
        if back.is_empty() {
            return;
        }
        let back: Vec<Move> = back.into_iter().map(|(_, moved)| moved).collect();
        let restored = restore::after_all(self.cx, self.world, &back).await;
        self.done.moved.retain(|moved| {
            let is_back = back.iter().any(|back| back.reference == moved.reference);
            !is_back
        });
        self.done.stranded.extend(restored.failures());
    }
}
