//! `castoff rollback`: an interrupted publish is taken back, else releases are.

use super::read::{Read, read};
use super::{Given, adapters, again, complain, pretty, session, undertaking};
use crate::cli::{Format, RollbackArguments};
use crate::error::Error;
use crate::execute::{self, Attempt, Outcome, Undoing, World};
use crate::exit::Exit;
use crate::ledger::{Release, Unfinished, live, undo};
use crate::plan::{Purpose, RegistryPlan};
use crate::report::{registries_table, rollback_table};

pub(super) fn run(given: &Given<'_>, arguments: &RollbackArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish)?;
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
        None => roll_back(given, &read, &world, arguments.release.as_deref())?,
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
                given.printer.result(&rollback_table(&moved));
            }
            given.printer.result(&registries_table(&release));
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
    given.printer.result(&format!(
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

/// Takes back the last release, or all that came after `to`.
fn roll_back(
    given: &Given<'_>,
    read: &Read,
    world: &World,
    to: Option<&str>,
) -> Result<(Outcome, Exit), Error> {
    let releases = undertaking::known(given, read, world)?;
    let releases = chosen(&releases, to)?;
    let moves = undo(&releases);
    if moves.is_empty() {
        return Err(Error::NoRelease {
            message: "there is nothing to take back: no tag has moved since".to_owned(),
            hint: None,
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

/// The releases to be taken back, oldest first.
fn chosen<'a>(releases: &'a [Release], to: Option<&str>) -> Result<Vec<&'a Release>, Error> {
    let live = live(releases);
    let Some(to) = to else {
        let Some(last) = live.last() else {
            return Err(Error::NoRelease {
                message: "no release is known that could be taken back".to_owned(),
                hint: Some("`castoff history` shows the releases that are known".to_owned()),
            });
        };
        return Ok(vec![last]);
    };
    let Some(at) = live.iter().position(|release| release.release == to) else {
        return Err(Error::NoRelease {
            message: format!("{to} is no release that tags could go back to"),
            hint: Some("`castoff history` shows the releases that are known".to_owned()),
        });
    };
    Ok(live.into_iter().skip(at + 1).collect())
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
