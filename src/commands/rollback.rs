//! `castoff rollback`: an interrupted publish is taken back, else releases are.

use super::read::{Read, read};
use super::{Given, adapters, again, complain, pretty, session, undertaking};
use crate::cli::{Format, RollbackArguments};
use crate::error::Error;
use crate::execute::{self, Attempt, Outcome, Undoing, World};
use crate::exit::Exit;
use crate::ledger::{Release, Unfinished, emptied, live, undo};
use crate::plan::{Purpose, RegistryPlan};
use crate::report::{registries_table, rollback_table};

pub(super) fn run(given: &Given<'_>, arguments: &RollbackArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish, &[])?;
    let world = adapters::world_without_builder(given, &read, None)?;
    let _lock = undertaking::lock(&world.ledger, "rollback")?;
    let unfinished = world.ledger.unfinished().map_err(Error::Ledger)?;
    let unfinished = unfinished.filter(Unfinished::has_moved);
    if arguments.forget {
        return forget(given, &world, unfinished.as_ref());
    }
    let (outcome, exit) = match unfinished {
        Some(unfinished) if unfinished.begun.command == "rollback" => {
            finish(given, &read, &world, unfinished)?
        }
        // What was interrupted comes first.
        Some(unfinished) if arguments.release.is_some() => {
            return Err(undertaking::stuck(&unfinished));
        }
        Some(unfinished) => restore(given, &read, &world, &unfinished)?,
        None => roll_back(given, &read, &world, arguments)?,
    };
    complain(given, &outcome.failures);
    let mut release = outcome.release;
    release.exit = exit.code();
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&release)),
        Format::Text => {
            let moved = release.moved.iter();
            let moved: Vec<_> = moved
                .map(|moved| (&moved.reference, moved.to.as_ref()))
                .collect();
            if !moved.is_empty() {
                given.printer.text(&rollback_table(&moved));
            }
            given.printer.text(&registries_table(&release));
        }
    }
    Ok(exit)
}

/// Drops the journal of an interrupted release.
fn forget(
    given: &Given<'_>,
    world: &World,
    unfinished: Option<&Unfinished>,
) -> Result<Exit, Error> {
    let Some(unfinished) = unfinished else {
        return Err(Error::NoRelease {
            message: "nothing is interrupted, so there is nothing to forget".to_owned(),
            hint: None,
        });
    };
    let release = &unfinished.begun.release;
    world.ledger.forget(release).map_err(Error::Ledger)?;
    given.printer.text(&format!(
        "{release} is forgotten; its tags stay where they are\n"
    ));
    Ok(Exit::Done)
}

/// Takes back what an interrupted release has moved.
fn restore(
    given: &Given<'_>,
    read: &Read,
    world: &World,
    unfinished: &Unfinished,
) -> Result<(Outcome, Exit), Error> {
    let undoing = Undoing {
        moves: unfinished.moves.clone(),
        ..undoing(read)
    };
    session::run(given, "rollback", &read.project.name, |cx| {
        let undoing = &undoing;
        async move {
            let outcome = execute::take_back(&cx, world, unfinished, undoing).await;
            let exit = outcome.exit;
            (outcome, exit)
        }
    })
}

/// Goes on with a rollback that was interrupted.
fn finish(
    given: &Given<'_>,
    read: &Read,
    world: &World,
    unfinished: Unfinished,
) -> Result<(Outcome, Exit), Error> {
    let undoing = Undoing {
        moves: unfinished.moves.clone(),
        ..undoing(read)
    };
    carry_out(given, read, world, &undoing, &Attempt::of(unfinished))
}

/// Takes back the last release, or all that came after the one that is named.
fn roll_back(
    given: &Given<'_>,
    read: &Read,
    world: &World,
    arguments: &RollbackArguments,
) -> Result<(Outcome, Exit), Error> {
    let known = undertaking::known(given, read, world)?;
    let (stay, releases) = chosen(&known, arguments.release.as_deref())?;
    let moves = undo(&releases);
    if moves.is_empty() {
        return Err(Error::NoRelease {
            message: "there is nothing to take back: no tag has moved since".to_owned(),
            hint: None,
        });
    }
    let emptied = emptied(&moves, &releases, &stay);
    if let Some(service) = emptied.first().filter(|_| !arguments.unpublish) {
        return Err(Error::NoRelease {
            message: format!(
                "nothing of service `{service}` would be left: no earlier release of it is known"
            ),
            hint: Some("`castoff rollback --unpublish` deletes its tags all the same".to_owned()),
        });
    }
    let mut attempt = undertaking::begin(&world.ledger, read, "rollback")?;
    attempt.next = Some(again::rollback(given.global));
    attempt.undid = releases
        .iter()
        .map(|release| release.release.clone())
        .collect();
    let undoing = Undoing {
        moves,
        ..undoing(read)
    };
    carry_out(given, read, world, &undoing, &attempt)
}

/// Releases, oldest first.
type Releases<'a> = Vec<&'a Release>;

/// The releases that stay, and those to be taken back: the last one that moved a tag, and what came after
/// it, or all after `to`.
fn chosen<'a>(
    releases: &'a [Release],
    to: Option<&str>,
) -> Result<(Releases<'a>, Releases<'a>), Error> {
    let mut stay = live(releases);
    let position = match to {
        None => stay.iter().rposition(|release| !release.moved.is_empty()),
        Some(to) => {
            let at = stay.iter().position(|release| release.release == to);
            at.map(|at| at + 1)
        }
    };
    let Some(position) = position else {
        return Err(Error::NoRelease {
            message: match to {
                None => "no release is known that could be taken back".to_owned(),
                Some(to) => format!("{to} is no release that tags could go back to"),
            },
            hint: Some("`castoff history` shows the releases that are known".to_owned()),
        });
    };
    let back = stay.split_off(position);
    Ok((stay, back))
}

fn carry_out(
    given: &Given<'_>,
    read: &Read,
    world: &World,
    undoing: &Undoing,
    attempt: &Attempt,
) -> Result<(Outcome, Exit), Error> {
    session::run(given, "rollback", &read.project.name, |cx| async move {
        let outcome = execute::roll_back(&cx, world, undoing, attempt).await;
        let exit = outcome.exit;
        (outcome, exit)
    })
}

/// Nothing yet, in the registries of this project.
fn undoing(read: &Read) -> Undoing {
    let registries = read.settings.registries.iter();
    let registries = registries.filter_map(|registry| {
        let plan = RegistryPlan {
            name: registry.name.clone(),
            required: registry.required,
        };
        Some((plan, adapters::domain(registry)?.to_owned()))
    });
    Undoing {
        project: read.project.name.clone(),
        moves: Vec::new(),
        registries: registries.collect(),
    }
}
