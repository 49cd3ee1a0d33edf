//! `castoff history`: the releases that were made.

use std::collections::BTreeSet;

use serde::Serialize;

use super::read::{Read, read};
use super::{Given, adapters, pretty, quietly, session, undertaking};
use crate::cli::{Format, HistoryArguments};
use crate::error::Error;
use crate::execute::{self, Found};
use crate::exit::Exit;
use crate::ledger::{Release, live};
use crate::oci::Repository;
use crate::plan::Purpose;
use crate::report::{Problem, history_table};

/// A release with what became of it.
#[derive(Serialize)]
struct Shown<'a> {
    /// `live`, `rolled back`, `failed`, or `done` for what only took others back; `partly rolled back` and
    /// `partly done` where tags are left that could not be deleted.
    state: &'static str,
    #[serde(flatten)]
    release: &'a Release,
}

pub(super) fn run(given: &Given<'_>, arguments: &HistoryArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish, &[])?;
    let ledger = adapters::ledger(given, &read)?;
    let mut releases = ledger.releases().map_err(Error::Ledger)?;
    let mut exit = Exit::Done;
    if !arguments.offline {
        let repositories = undertaking::repositories(&read, &releases)?;
        let (found, ended) = ask(given, &read, &repositories)?;
        releases = undertaking::merged(releases, found.releases);
        let (optional, errors): (Vec<_>, Vec<_>) = found
            .errors
            .into_iter()
            .partition(|error| undertaking::is_optional(&read, &error.host));
        exit = match ended {
            Exit::Done if !errors.is_empty() => Exit::NotReady,
            ended => ended,
        };
        undertaking::unasked(given, &optional);
        for error in &errors {
            given.printer.problem(&Problem {
                hint: error.hint(),
                ..Problem::error(error)
            });
        }
    }
    let shown = states(&releases);
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&shown)),
        Format::Text if shown.is_empty() => given.printer.text("no release is known\n"),
        Format::Text => {
            let rows: Vec<_> = shown.iter().map(|row| (row.release, row.state)).collect();
            given.printer.text(&history_table(&rows));
        }
    }
    Ok(exit)
}

/// Asks the registries for the releases that they know.
fn ask(
    given: &Given<'_>,
    read: &Read,
    repositories: &[Repository],
) -> Result<(Found, Exit), Error> {
    let registries = adapters::registries(given, &read.settings, None);
    let project = &read.project.name;
    quietly(given, |quiet| {
        session::run(quiet, "history", project, |cx| {
            let registries = &registries;
            async move {
                let found = execute::find(&cx, registries, project, repositories).await;
                let exit = if cx.cancel.is_cancelled() {
                    Exit::Interrupted
                } else {
                    Exit::Done
                };
                (found, exit)
            }
        })
    })
}

/// The releases, latest first, with what became of each.
fn states(releases: &[Release]) -> Vec<Shown<'_>> {
    let live = live(releases);
    let live: BTreeSet<&str> = live
        .iter()
        .map(|release| release.release.as_str())
        .collect();
    // A tag that could not be deleted is still there, and so is what it leads to.
    let partial = releases
        .iter()
        .filter(|release| release.is_live() && !release.left.is_empty());
    let partial: BTreeSet<&str> = partial
        .flat_map(|release| release.undid.iter().map(String::as_str))
        .collect();
    let shown = releases.iter().rev().map(|release| Shown {
        state: if live.contains(release.release.as_str()) {
            "live"
        } else if !release.is_live() {
            "failed"
        } else if partial.contains(release.release.as_str()) {
            "partly rolled back"
        } else if release.undid.is_empty() {
            "rolled back"
        } else if release.left.is_empty() {
            "done"
        } else {
            "partly done"
        },
        release,
    });
    shown.collect()
}
