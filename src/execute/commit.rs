use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::make::Image;
use super::ports::{RegistryError, WriteTarget};
use super::{Failure, World};
use crate::cx::Cx;
use crate::event::Event;
use crate::ledger::{Entry, Journal, Move};
use crate::oci::{Digest, RawManifest, Reference, Tag};
use crate::plan::{Destination, Plan};

/// How many tags are read or written at the same time.
const AT_ONCE: usize = 16;
/// How long bringing tags back may take altogether, once the run itself is over.
const RESTORE_LIMIT: Duration = Duration::from_mins(1);

/// A tag that should point to an image.
#[derive(Clone, Debug)]
struct Wish<'a> {
    service: &'a str,
    place: &'a Destination,
    tag: &'a Tag,
    manifest: &'a RawManifest,
    channel: bool,
}

impl Wish<'_> {
    fn reference(&self) -> Reference {
        self.place.repository.with_tag(self.tag.clone())
    }

    fn to(&self) -> &Digest {
        self.manifest.digest()
    }
}

/// What became of the tags.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// The tags that moved.
    pub(super) moved: Vec<Move>,
    /// The tags that pointed to the right image already.
    pub(super) kept: Vec<(Reference, Digest)>,
    /// Best-effort registries where a tag could not be written, and why.
    pub(super) missed: Vec<(Destination, RegistryError)>,
}

/// Moves every tag, or brings those back that moved: immutable ones first, channels last.
pub(super) async fn commit(
    cx: &Cx,
    plan: &Plan,
    world: &World,
    images: &[Image],
    release: &str,
) -> Result<Committed, Vec<Failure>> {
    if cx.cancel.is_cancelled() {
        return Err(vec![Failure::Interrupted { step: "the upload" }]);
    }
    let wishes = wishes(plan, images);
    cx.events.tell(Event::CommitStarted {
        moves: wishes.len(),
    });
    let mut commit = Commit {
        cx,
        world,
        journal: None,
        release,
        project: &plan.project,
        done: Committed::default(),
        failed_places: BTreeSet::new(),
    };
    for channel in [false, true] {
        let wave: Vec<&Wish<'_>> = wishes
            .iter()
            .filter(|wish| wish.channel == channel)
            .collect();
        let failures = commit.wave(&wave).await;
        if !failures.is_empty() {
            let mut all = failures;
            all.extend(commit.restore().await);
            return Err(all);
        }
    }
    commit.end(true).await;
    Ok(commit.done)
}

/// Every tag of every image in every repository that holds it.
fn wishes<'a>(plan: &'a Plan, images: &'a [Image]) -> Vec<Wish<'a>> {
    let mut wishes = Vec::new();
    for image in images {
        let target = plan
            .targets
            .iter()
            .find(|target| target.service == image.service);
        let Some(target) = target else { continue };
        for place in &image.places {
            for tag in &place.tags {
                let reference = place.repository.with_tag(tag.clone());
                let planned = target.tags.iter().find(|tag| tag.reference == reference);
                wishes.push(Wish {
                    service: &image.service,
                    place,
                    tag,
                    manifest: &image.manifest,
                    channel: planned.is_some_and(|tag| tag.channel),
                });
            }
        }
    }
    wishes
}

struct Commit<'a> {
    cx: &'a Cx,
    world: &'a World,
    /// Begun when the first tag is about to move.
    journal: Option<Arc<Mutex<Journal>>>,
    release: &'a str,
    project: &'a str,
    done: Committed,
    /// Best-effort registries that are given up.
    failed_places: BTreeSet<String>,
}

impl Commit<'_> {
    /// Moves the tags of one wave. Gives what went wrong in required registries.
    async fn wave(&mut self, wishes: &[&Wish<'_>]) -> Vec<Failure> {
        let (cx, world) = (self.cx, self.world);
        let wishes = wishes
            .iter()
            .filter(|wish| !self.failed_places.contains(&wish.place.registry));
        let read = wishes.map(|wish| async move {
            let present = world.registry.resolve(cx, &wish.reference()).await;
            (*wish, present)
        });
        let present: Vec<_> = stream::iter(read).buffered(AT_ONCE).collect().await;
        if cx.cancel.is_cancelled() {
            return vec![Failure::Interrupted { step: "the tags" }];
        }
        let mut failures = Vec::new();
        let mut moves = Vec::new();
        for (wish, present) in present {
            match present {
                Err(error) => failures.extend(self.gave_up(wish, error)),
                Ok(present) => {
                    let from = present.map(|descriptor| descriptor.digest);
                    if from.as_ref() == Some(wish.to()) {
                        self.kept(wish);
                    } else {
                        moves.push((wish, from));
                    }
                }
            }
        }
        if !failures.is_empty() || moves.is_empty() {
            return failures;
        }
        if let Err(failure) = self.intend(&moves).await {
            return vec![failure];
        }
        // A write that has begun is finished, whatever signal comes: half a write is the worst of
        // states. It has a time limit of its own.
        let steady = Cx {
            events: cx.events.clone(),
            cancel: CancellationToken::new(),
        };
        let steady = &steady;
        let write = moves.into_iter().map(|(wish, from)| async move {
            let target = WriteTarget::Tag(wish.tag);
            let result = world
                .registry
                .put_manifest(steady, &wish.place.repository, target, wish.manifest)
                .await;
            (wish, from, result)
        });
        let written: Vec<_> = stream::iter(write)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut made = Vec::new();
        for (wish, from, result) in written {
            let done = Move {
                reference: wish.reference(),
                from,
                to: wish.to().clone(),
            };
            match result {
                Ok(()) => {
                    made.push(Entry::Moved {
                        reference: done.reference.clone(),
                    });
                    cx.events.tell(Event::TagMoved {
                        service: wish.service.to_owned(),
                        reference: done.reference.clone(),
                        from: done.from.clone(),
                        to: done.to.clone(),
                    });
                    self.done.moved.push(done);
                }
                Err(error) => {
                    // Whether it was written all the same is found out when it is brought back.
                    if wish.place.required {
                        self.done.moved.push(done);
                    }
                    failures.extend(self.gave_up(wish, error));
                }
            }
        }
        if let Err(failure) = self.write(made).await {
            failures.push(failure);
        }
        if cx.cancel.is_cancelled() && failures.is_empty() {
            failures.push(Failure::Interrupted { step: "the tags" });
        }
        failures
    }

    fn kept(&mut self, wish: &Wish<'_>) {
        self.cx.events.tell(Event::TagKept {
            service: wish.service.to_owned(),
            reference: wish.reference(),
            digest: wish.to().clone(),
        });
        self.done.kept.push((wish.reference(), wish.to().clone()));
    }

    /// A tag could not be read or written: in a required registry that is a failure, in another one
    /// the registry is left alone from now on.
    fn gave_up(&mut self, wish: &Wish<'_>, error: RegistryError) -> Option<Failure> {
        self.cx.events.tell(Event::TagFailed {
            service: wish.service.to_owned(),
            reference: wish.reference(),
            message: error.to_string(),
        });
        if wish.place.required {
            return Some(Failure::Tag {
                service: wish.service.to_owned(),
                error,
            });
        }
        if self.failed_places.insert(wish.place.registry.clone()) {
            self.done.missed.push((wish.place.clone(), error));
        }
        None
    }

    /// Writes down what is about to be done.
    async fn intend(&mut self, moves: &[(&Wish<'_>, Option<Digest>)]) -> Result<(), Failure> {
        if self.journal.is_none() {
            let ledger = self.world.ledger.clone();
            let (release, project) = (self.release.to_owned(), self.project.to_owned());
            let journal = tokio::task::spawn_blocking(move || ledger.begin(&release, &project))
                .await
                .map_err(|error| Failure::Internal(error.to_string()))?
                .map_err(Failure::Journal)?;
            self.journal = Some(Arc::new(Mutex::new(journal)));
        }
        let moves = moves
            .iter()
            .map(|(wish, from)| Move {
                reference: wish.reference(),
                from: from.clone(),
                to: wish.to().clone(),
            })
            .collect();
        self.write(vec![Entry::Intended { moves }]).await
    }

    async fn write(&self, entries: Vec<Entry>) -> Result<(), Failure> {
        let Some(journal) = self.journal.clone().filter(|_| !entries.is_empty()) else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || {
            let mut journal = journal
                .lock()
                .map_err(|_| Failure::Internal("the journal's writer failed".to_owned()))?;
            journal.append(&entries).map_err(Failure::Journal)
        })
        .await
        .map_err(|error| Failure::Internal(error.to_string()))?
    }

    async fn end(&self, complete: bool) {
        // What the entry says can be seen from the others; it only saves looking.
        let _ = self.write(vec![Entry::Ended { complete }]).await;
    }

    /// Brings back every tag that moved. The run may be over already, so this has a clock of its own.
    async fn restore(&mut self) -> Vec<Failure> {
        if self.done.moved.is_empty() {
            return Vec::new();
        }
        let cx = Cx {
            events: self.cx.events.clone(),
            cancel: CancellationToken::new(),
        };
        let limit = cx.cancel.clone();
        let moved = std::mem::take(&mut self.done.moved);
        let back = stream::iter(moved.iter().rev())
            .map(|moved| put_back(&cx, self.world, moved))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>();
        tokio::pin!(back);
        let results = tokio::select! {
            results = &mut back => results,
            () = tokio::time::sleep(RESTORE_LIMIT) => {
                limit.cancel();
                back.await
            }
        };
        let mut restored = Vec::new();
        let mut stranded = Vec::new();
        for (moved, result) in results {
            match result {
                Ok(()) => restored.push(Entry::Restored {
                    reference: moved.reference.clone(),
                }),
                Err(failure) => stranded.push(failure),
            }
        }
        // If this cannot be written, the next run looks at the registry and finds the same.
        let _ = self.write(restored).await;
        if stranded.is_empty() {
            self.end(false).await;
        }
        stranded
    }
}

/// Lets a tag point where it pointed before. One that somebody else has moved since is left alone.
async fn put_back<'a>(cx: &Cx, world: &World, moved: &'a Move) -> (&'a Move, Result<(), Failure>) {
    let at = match world.registry.resolve(cx, &moved.reference).await {
        Ok(at) => at.map(|descriptor| descriptor.digest),
        Err(error) => return (moved, Err(strand(cx, moved, None, &error.to_string()))),
    };
    if at == moved.from {
        return (moved, Ok(()));
    }
    if at.as_ref() != Some(&moved.to) {
        let message = "somebody else has moved it since";
        return (moved, Err(strand(cx, moved, at, message)));
    }
    let result = match &moved.from {
        Some(from) => write_back(cx, world, &moved.reference, from).await,
        None => world
            .registry
            .delete(cx, &moved.reference)
            .await
            .map(|_| ()),
    };
    match result {
        Ok(()) => {
            cx.events.tell(Event::TagRestored {
                reference: moved.reference.clone(),
                to: moved.from.clone(),
            });
            (moved, Ok(()))
        }
        Err(error) => (moved, Err(strand(cx, moved, at, &error.to_string()))),
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
    match reference.tag() {
        Some(tag) => {
            let target = WriteTarget::Tag(tag);
            world
                .registry
                .put_manifest(cx, repository, target, &manifest)
                .await
        }
        None => Ok(()),
    }
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
