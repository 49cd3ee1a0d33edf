use futures_util::StreamExt;
use futures_util::stream;

use super::attempt::{Attempt, Log, blocking};
use super::commit::{Commit, Committed, Order, Wish};
use super::ports::RegistryError;
use super::{Failure, Outcome, World, records, restore, settle};
use crate::cx::Cx;
use crate::ledger::{Move, Unfinished};
use crate::oci::RawManifest;
use crate::plan::RegistryPlan;

/// How many tags are read at the same time.
const AT_ONCE: usize = 16;

/// Releases to be taken back.
#[derive(Clone, Debug)]
pub struct Undoing {
    /// The project's name.
    pub project: String,
    /// Each tag that moves, from where it should point now to where it goes.
    pub moves: Vec<Move>,
    /// The registries, with their hosts as they stand in references.
    pub registries: Vec<(RegistryPlan, String)>,
}

impl Undoing {
    fn registry(&self, moved: &Move) -> (String, bool) {
        let host = moved.reference.repository().domain();
        let known = self.registries.iter().find(|(_, own)| own == host);
        known.map_or((host.to_owned(), true), |(registry, _)| {
            (registry.name.clone(), registry.required)
        })
    }
}

/// Lets the tags of an interrupted release point where they pointed before it. What somebody else has
/// moved since is left alone.
pub async fn take_back(
    cx: &Cx,
    world: &World,
    unfinished: &Unfinished,
    undoing: &Undoing,
) -> Outcome {
    let attempt = Attempt::of(unfinished.clone());
    let mut outcome = Outcome::of(&undoing.project, &undoing.registries, &attempt);
    let log = match Log::open(world, &attempt, &undoing.project, Vec::new()).await {
        Ok(log) => log,
        Err(failure) => return outcome.fail(cx, vec![failure]),
    };
    let mut restored = restore::bring_back(cx, world, &unfinished.moves).await;
    let mut failures: Vec<Failure> = log
        .write(restored.entries())
        .await
        .err()
        .into_iter()
        .collect();
    if cx.cancel.is_cancelled() {
        failures.push(Failure::Interrupted { step: "the tags" });
    }
    let is_back = restored.is_complete() && failures.is_empty();
    outcome.release.moved = std::mem::take(&mut restored.made);
    failures.extend(restored.failures());
    if is_back {
        // Nothing of it is live, and what it has uploaded is found again without a journal.
        let (ledger, release) = (world.ledger.clone(), attempt.release.clone());
        failures.extend(blocking(move || ledger.forget(&release)).await.err());
    }
    if failures.is_empty() {
        outcome.finish();
        return outcome;
    }
    outcome.fail(cx, failures)
}

/// Takes releases back: every tag that they moved goes to where it was before them, and tags that did
/// not exist are deleted where their registry allows it. As with a publish all of them move, or none;
/// it is a release of its own, with a journal and a record.
pub async fn roll_back(cx: &Cx, world: &World, undoing: &Undoing, attempt: &Attempt) -> Outcome {
    let outcome = Outcome::of(&undoing.project, &undoing.registries, attempt);
    let (wishes, missed) = match look(cx, world, undoing, attempt).await {
        Ok(looked) => looked,
        Err(failures) => return outcome.fail(cx, failures),
    };
    let tags = wishes.iter().map(|wish| wish.reference.clone()).collect();
    let log = match Log::open(world, attempt, &undoing.project, tags).await {
        Ok(log) => log,
        Err(failure) => return outcome.fail(cx, vec![failure]),
    };
    let mut commit = Commit::new(cx, world, &log);
    for (registry, error) in missed {
        commit.give_up(&registry, error);
    }
    if let Err(failures) = commit.run(&wishes, Order::ChannelsFirst).await {
        return outcome.fail(cx, failures);
    }
    if commit.done.moved.is_empty() && !commit.done.stranded.is_empty() {
        // No tag went anywhere, and so nothing was taken back. The journal ends with that.
        let mut failures = std::mem::take(&mut commit.done.stranded);
        failures.extend(commit.take_back().await);
        return outcome.fail(cx, failures);
    }
    let homes = |done: &Committed| records::homes_of(&wishes, done);
    settle(cx, world, outcome, commit, &[], homes).await
}

/// Looks at everything before anything moves: is each tag where it should be, and is the image still
/// there that it goes back to? Gives the registries that are not required and do not say, and why: there
/// nothing moves.
async fn look(
    cx: &Cx,
    world: &World,
    undoing: &Undoing,
    attempt: &Attempt,
) -> Result<(Vec<Wish>, Vec<(String, RegistryError)>), Vec<Failure>> {
    let looked = undoing
        .moves
        .iter()
        .map(|moved| async move { (moved, look_at(cx, world, undoing, moved).await) });
    let looked: Vec<_> = stream::iter(looked).buffered(AT_ONCE).collect().await;
    if cx.cancel.is_cancelled() {
        return Err(vec![Failure::Interrupted { step: "preflight" }]);
    }
    let mut wishes = Vec::new();
    let mut failures = Vec::new();
    let mut missed: Vec<(String, RegistryError)> = Vec::new();
    let resumed = attempt.resumes.iter().flat_map(|resumes| &resumes.moves);
    let earlier: std::collections::BTreeSet<_> = resumed.map(|moved| &moved.reference).collect();
    for (moved, result) in looked {
        let (registry, required) = undoing.registry(moved);
        match result {
            Ok(wish) => wishes.push(Wish {
                earlier: earlier.contains(&wish.reference),
                ..wish
            }),
            Err(Failure::Unread { error, .. }) if !required => missed.push((registry, error)),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() {
        Ok((wishes, missed))
    } else {
        Err(failures)
    }
}

async fn look_at(cx: &Cx, world: &World, undoing: &Undoing, moved: &Move) -> Result<Wish, Failure> {
    let reference = &moved.reference;
    let unread = |error| Failure::Unread {
        service: reference.to_string(),
        error,
    };
    let found = world.registry.resolve(cx, reference).await;
    let found = found.map_err(unread)?.map(|found| found.digest);
    if found != moved.from && found != moved.to {
        return Err(Failure::Elsewhere {
            reference: reference.clone(),
            expected: moved.from.clone(),
            found,
        });
    }
    let (registry, required) = undoing.registry(moved);
    Ok(Wish {
        service: String::new(),
        registry,
        required,
        to: image(cx, world, moved).await.map_err(unread)?,
        // What stays is a channel; what goes came with the release.
        channel: moved.to.is_some(),
        from: moved.from.clone(),
        earlier: false,
        reference: reference.clone(),
    })
}

/// The image that a tag goes back to.
async fn image(cx: &Cx, world: &World, moved: &Move) -> Result<Option<RawManifest>, RegistryError> {
    let Some(to) = &moved.to else {
        return Ok(None);
    };
    let at = moved.reference.repository().with_digest(to.clone());
    let found = world.registry.manifest(cx, &at).await?;
    found.map(Some).ok_or_else(|| RegistryError::missing(&at))
}
