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
    /// `live`, `rolled back`, `failed`, or `done` for what only took others back.
    state: &'static str,
    #[serde(flatten)]
    release: &'a Release,
}

pub(super) fn run(given: &Given<'_>, arguments: &HistoryArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish)?;
    let ledger = adapters::ledger(given, &read)?;
    let mut releases = ledger.releases().map_err(Error::Ledger)?;
    let mut exit = Exit::Done;
    if !arguments.offline {
        let repositories = undertaking::repositories(&read, &releases)?;
        let (found, ended) = ask(given, &read, &repositories)?;
        exit = ended;
        releases = undertaking::merged(releases, found.releases);
        for error in &found.errors {
            given.printer.problem(&Problem {
                hint: error.hint(),
                ..Problem::error(error)
            });
        }
    }
    let shown = states(&releases);
    given.printer.result(&match arguments.format {
        Format::Json => pretty(&shown),
        Format::Text if shown.is_empty() => "no release is known\n".to_owned(),
        Format::Text => {
            let rows: Vec<_> = shown.iter().map(|row| (row.release, row.state)).collect();
            history_table(&rows)
        }
    });
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
                } else if found.errors.is_empty() {
                    Exit::Done
                } else {
                    Exit::NotReady
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
    let shown = releases.iter().rev().map(|release| Shown {
        state: if live.contains(release.release.as_str()) {
            "live"
        } else if !release.is_live() {
            "failed"
        } else if release.undid.is_empty() {
            "rolled back"
        } else {
            "done"
        },
        release,
    });
    shown.collect()
}
