//! What the verbs that change tags begin with: the lock of the project, and what an earlier run left.

use std::collections::BTreeSet;

use super::read::Read;
use super::{Given, adapters, quietly, session};
use crate::error::Error;
use crate::execute::ports::RegistryError;
use crate::execute::{self, Attempt, World};
use crate::exit::Exit;
use crate::facts;
use crate::ledger::{Holder, Ledger, Lock, Release, Unfinished};
use crate::oci::{Reference, Repository};
use crate::plan::{self, Action, Plan};
use crate::report::{Problem, Severity};

/// Takes the lock of the project, or says who has it.
pub(super) fn lock(ledger: &Ledger, command: &str) -> Result<Lock, Error> {
    let holder = Holder {
        pid: std::process::id(),
        host: facts::host_name(),
        command: command.to_owned(),
        since: facts::timestamp(),
    };
    ledger.lock(&holder).map_err(Error::Lock)
}

/// An id that says when the release began, and is its own.
fn release_id() -> String {
    let now = facts::timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
    let own = uuid::Uuid::new_v4().simple().to_string();
    format!("{now}-{}", own.get(..8).unwrap_or_default())
}

/// Whether a text is what [`release_id`] makes.
pub(super) fn is_release_id(text: &str) -> bool {
    let Some((time, own)) = text.split_once("Z-") else {
        return false;
    };
    let is_time = |(index, byte): (usize, u8)| {
        (index == 8) == (byte == b'T') && (index == 8 || byte.is_ascii_digit())
    };
    time.len() == 15
        && time.bytes().enumerate().all(is_time)
        && own.len() == 8
        && own.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit that is published.
fn revision(read: &Read) -> Option<String> {
    read.facts.context.sha.clone()
}

/// A new release. There is none where the tags of another one are on their way.
pub(super) fn begin(ledger: &Ledger, read: &Read, command: &str) -> Result<Attempt, Error> {
    if let Some(unfinished) = ledger.unfinished().map_err(Error::Ledger)?
        && unfinished.has_moved()
    {
        return Err(stuck(&unfinished));
    }
    let at = facts::timestamp();
    Ok(Attempt::new(release_id(), command, at, revision(read)))
}

/// Whether no run has left a journal behind.
pub(super) fn is_clean(ledger: &Ledger) -> Result<bool, Error> {
    Ok(ledger.unfinished().map_err(Error::Ledger)?.is_none())
}

/// Says that another release has to be finished or taken back first.
pub(super) fn stuck(unfinished: &Unfinished) -> Error {
    Error::Unfinished {
        command: unfinished.begun.command.clone(),
        release: unfinished.begun.release.clone(),
        tags: unfinished.moves.len(),
        next: unfinished.next(),
    }
}

/// The publish that was interrupted, or failed before a tag moved, or is live but for what is not
/// required: once more. Without one it is a new release.
pub(super) fn resume(ledger: &Ledger, read: &Read, plan: &Plan) -> Result<Attempt, Error> {
    let attempt = match ledger.unfinished().map_err(Error::Ledger)? {
        Some(unfinished) if unfinished.begun.command == "publish" => {
            let attempt = Attempt::of(unfinished.clone());
            let then: BTreeSet<&Reference> = unfinished.begun.tags.iter().collect();
            check_fit(&attempt, read, plan, &then, true)?;
            attempt
        }
        Some(unfinished) if unfinished.has_moved() => return Err(stuck(&unfinished)),
        _ => match last(ledger)? {
            Some(release) if release.command == "publish" && release.exit == 7 => {
                let attempt = Attempt::again(release.clone());
                let images = release.images.iter();
                let then = images.flat_map(|image| &image.tags).collect();
                check_fit(&attempt, read, plan, &then, false)?;
                attempt
            }
            _ => return begin(ledger, read, "publish"),
        },
    };
    Ok(attempt)
}

fn does_not_fit(attempt: &Attempt, why: String) -> Error {
    Error::DoesNotFit {
        release: attempt.release.clone(),
        why,
        hint: "go back to what it was begun with, or take it back with `castoff rollback` and publish anew".to_owned(),
    }
}

fn last(ledger: &Ledger) -> Result<Option<Release>, Error> {
    Ok(ledger.releases().map_err(Error::Ledger)?.pop())
}

/// Whether what was begun is what would be published now.
fn check_fit(
    attempt: &Attempt,
    read: &Read,
    plan: &Plan,
    then: &BTreeSet<&Reference>,
    is_all: bool,
) -> Result<(), Error> {
    let wrong = |why: String| does_not_fit(attempt, why);
    let now = revision(read);
    if attempt.revision != now {
        let show = |commit: &Option<String>| commit.clone().unwrap_or("no commit".to_owned());
        return Err(wrong(format!(
            "it was begun at {}, and this is {}",
            show(&attempt.revision),
            show(&now)
        )));
    }
    let planned = plan.targets.iter().flat_map(|target| &target.tags);
    let planned: BTreeSet<&Reference> = planned.map(|tag| &tag.reference).collect();
    if let Some(gone) = then.iter().find(|tag| !planned.contains(*tag)) {
        return Err(wrong(format!("{gone} would not be written any more")));
    }
    let new = planned.iter().find(|tag| !then.contains(*tag));
    if let Some(new) = new.filter(|_| is_all) {
        return Err(wrong(format!("{new} would be written as well")));
    }
    Ok(())
}

/// Takes the images that the interrupted run has uploaded, where they still are and what they were built
/// from has not changed. Once tags have begun to move there is no other image for them.
pub(super) async fn reuse(
    cx: &crate::cx::Cx,
    plan: &mut Plan,
    world: &World,
    attempt: &Attempt,
) -> Result<(), Error> {
    let Some(unfinished) = &attempt.resumes else {
        return Ok(());
    };
    for target in &mut plan.targets {
        // What was begun may be finished: it was asked about then.
        for tag in &mut target.tags {
            let mut moves = unfinished.moves.iter();
            if moves.any(|moved| moved.reference == tag.reference) {
                tag.release();
            }
        }
        let mut uploaded = unfinished.uploaded.iter();
        let Some(image) = uploaded.find(|image| image.service == target.service) else {
            continue;
        };
        let Some(source) = target.required().next().map(|place| &place.repository) else {
            continue;
        };
        if !image.repositories.contains(source) {
            continue;
        }
        if image.contents.is_some() && image.contents != target.contents {
            if unfinished.has_moved() {
                return Err(does_not_fit(
                    attempt,
                    format!(
                        "what service `{}` is built from has changed since, and its tags are on their way",
                        target.service
                    ),
                ));
            }
            continue;
        }
        let reference = source.with_digest(image.digest.clone());
        // One that is gone, or cannot be asked for, is built as if it had never been there.
        if let Ok(Some(_)) = world.registry.resolve(cx, &reference).await {
            target.action = Action::Reuse(image.digest.clone());
            // Whatever else was found: the tags that have moved point to this one.
            target.reused = None;
            target.because = vec![format!("release {} has uploaded it", attempt.release)];
            plan::aim(target, Some(&image.digest));
        }
    }
    plan.drop_unneeded();
    Ok(())
}

/// The repositories of the project: those of the plan, else those of the releases that are known here.
pub(super) fn repositories(read: &Read, known: &[Release]) -> Result<Vec<Repository>, Error> {
    let planned = read.plan(&[]).map(|plan| {
        let repositories = plan.targets.into_iter().map(|target| target.repositories);
        repositories.flatten().collect::<BTreeSet<_>>()
    });
    let images = known.iter().flat_map(|release| &release.images);
    let recorded: BTreeSet<Repository> = images
        .flat_map(|image| image.repositories.iter().cloned())
        .collect();
    match planned {
        Ok(planned) => Ok(planned.union(&recorded).cloned().collect()),
        // Here and now there may be no tag to publish under, and still a history.
        Err(_) if !recorded.is_empty() => Ok(recorded.into_iter().collect()),
        Err(error) => Err(error),
    }
}

/// The releases of this machine and those that only registries know of, oldest first. Where both know
/// one, what this machine has written counts.
pub(super) fn merged(mut here: Vec<Release>, elsewhere: Vec<Release>) -> Vec<Release> {
    for release in elsewhere {
        if !here.iter().any(|known| known.release == release.release) {
            here.push(release);
        }
    }
    here.sort_by_key(Release::age);
    here
}

/// Says that registries which are not required were not asked for releases.
pub(super) fn unasked(given: &Given<'_>, errors: &[RegistryError]) {
    for error in errors {
        given.printer.problem(&Problem {
            severity: Severity::Warning,
            hint: error.hint(),
            ..Problem::error(error)
        });
    }
}

/// Whether publish.toml names the registry at `host` as one that is not required.
pub(super) fn is_optional(read: &Read, host: &str) -> bool {
    let mut registries = read.settings.registries.iter();
    let found = registries.find(|registry| adapters::domain(registry) == Some(host));
    found.is_some_and(|registry| !registry.required)
}

/// All releases that this machine or a registry knows. Every registry that is required has to answer: a
/// release that is not known of would be taken for one that was not made.
pub(super) fn known(given: &Given<'_>, read: &Read, world: &World) -> Result<Vec<Release>, Error> {
    let here = world.ledger.releases().map_err(Error::Ledger)?;
    let repositories = repositories(read, &here)?;
    let project = &read.project.name;
    let (found, exit) = quietly(given, |quiet| {
        session::run(quiet, "find releases", project, |cx| {
            let repositories = &repositories;
            async move {
                let found = execute::find(&cx, &*world.registry, project, repositories).await;
                let is_cancelled = cx.cancel.is_cancelled();
                let exit = if is_cancelled {
                    Exit::Interrupted
                } else {
                    Exit::Done
                };
                (found, exit)
            }
        })
    })?;
    let (optional, errors): (Vec<_>, Vec<_>) = found
        .errors
        .into_iter()
        .partition(|error| is_optional(read, &error.host));
    if exit == Exit::Done {
        unasked(given, &optional);
    }
    match errors.into_iter().next() {
        Some(error) => Err(error.into()),
        None if exit == Exit::Done => Ok(merged(here, found.releases)),
        None => Err(Error::NoRelease {
            message: "interrupted while the registries were asked".to_owned(),
            hint: None,
        }),
    }
}
