//! `castoff history`: the releases that were made.

use std::collections::BTreeSet;

use serde::Serialize;

use super::read::read;
use super::{Given, adapters, pretty};
use crate::cli::{Format, HistoryArguments};
use crate::error::Error;
use crate::exit::Exit;
use crate::ledger::{Release, live};
use crate::plan::Purpose;
use crate::report::history_table;

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
    let releases = ledger.releases().map_err(Error::Ledger)?;
    let shown = states(&releases);
    given.printer.result(&match arguments.format {
        Format::Json => pretty(&shown),
        Format::Text if shown.is_empty() => "no release is known\n".to_owned(),
        Format::Text => {
            let rows: Vec<_> = shown.iter().map(|row| (row.release, row.state)).collect();
            history_table(&rows)
        }
    });
    Ok(Exit::Done)
}

/// The releases, latest first, with what became of each.
fn states(releases: &[Release]) -> Vec<Shown<'_>> {
    let live = live(releases);
    let live: BTreeSet<&str> = live.iter().map(|release| release.release.as_str()).collect();
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
