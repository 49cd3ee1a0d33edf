//! `castoff report EVENTS`: what a run that was saved with `--events` came to.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use serde::Deserialize;

use super::{Given, pretty};
use crate::cli::{ReportArguments, ReportFormat};
use crate::error::Error;
use crate::event::{Envelope, VERSION};
use crate::exit::Exit;
use crate::report::{Problem, Run, Summary, check_problems, html};

/// The longest line that an event can be.
const MAX_LINE: u64 = 16 << 20;

/// As much of an event as every kind has.
#[derive(Deserialize)]
struct OfAnyKind {
    v: u32,
    #[serde(rename = "event")]
    _event: Kind,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    _kind: String,
}

pub(super) fn run(given: &Given<'_>, arguments: &ReportArguments) -> Result<Exit, Error> {
    let run = read(given, arguments)?;
    let summary = Summary::of(&run);
    match arguments.format {
        ReportFormat::Text => {
            for problem in check_problems(&run) {
                given.printer.problem(&problem);
            }
            given.printer.text(&summary.text());
        }
        ReportFormat::Markdown => given.printer.text(&summary.markdown()),
        ReportFormat::Json => given.printer.result(&pretty(&summary)),
        ReportFormat::Html => given.printer.result(&html(&run)),
    }
    Ok(Exit::Done)
}

/// Folds the stream. What a newer castoff added to the format is left out and said; a last line that
/// was never finished is the end of a run that was killed.
fn read(given: &Given<'_>, arguments: &ReportArguments) -> Result<Run, Error> {
    let path = &arguments.events;
    let wrong = |message: String| Error::Usage {
        message: format!("{}: {message}", path.display()),
        hint: Some("name a file that was written by --events".to_owned()),
    };
    let cannot = |error: std::io::Error| wrong(format!("it cannot be read: {error}"));
    let mut file = BufReader::new(File::open(path).map_err(cannot)?);
    let mut run = Run::default();
    let mut unknown = 0_usize;
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut limited = file.by_ref().take(MAX_LINE);
        if limited.read_until(b'\n', &mut line).map_err(cannot)? == 0 {
            break;
        }
        match serde_json::from_slice::<Envelope>(&line) {
            Ok(envelope) if envelope.v == VERSION => run.apply(&envelope),
            Ok(envelope) => {
                let message = format!("line {number} is of version {} of the format", envelope.v);
                return Err(wrong(message));
            }
            Err(_) if !line.ends_with(b"\n") && number > 1 => {
                let message = format!("{} ends within line {number}", path.display());
                given.printer.problem(&Problem::warning(message));
                break;
            }
            Err(error) => {
                let is_event = serde_json::from_slice::<OfAnyKind>(&line)
                    .is_ok_and(|envelope| envelope.v == VERSION);
                if !is_event {
                    return Err(wrong(format!("line {number} is no event: {error}")));
                }
                unknown += 1;
            }
        }
    }
    if run.began.is_none() {
        return Err(wrong("there is no event in it".to_owned()));
    }
    if unknown > 0 {
        let message =
            format!("lines of kinds that this castoff does not know, left out: {unknown}");
        given.printer.problem(&Problem::warning(message));
    }
    Ok(run)
}
