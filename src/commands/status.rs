//! `castoff status`: a publish that was interrupted.

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;

use super::read::{Read, read};
use super::{Given, adapters, pretty, quietly, session};
use crate::cli::{Format, StatusArguments};
use crate::cx::Cx;
use crate::error::{Error, unfinished_hint};
use crate::execute::ports::Registry;
use crate::exit::Exit;
use crate::ledger::{Holder, Move, Release, Unfinished};
use crate::oci::{Digest, Reference};
use crate::plan::Purpose;
use crate::report::{StatusRow, status_table};

/// How many tags are asked for at the same time.
const AT_ONCE: usize = 16;

/// What a registry says of a tag: where it points, if it exists.
struct Found(Option<Digest>);

/// What `castoff status --format json` prints.
#[derive(Serialize)]
struct Status<'a> {
    project: &'a str,
    /// Who is at work on this machine now.
    running: Option<Holder>,
    interrupted: Option<Interrupted>,
    /// The latest release that this machine knows.
    last: Option<Last>,
}

#[derive(Serialize)]
struct Interrupted {
    release: String,
    command: String,
    at: jiff::Timestamp,
    revision: Option<String>,
    /// The services whose images are up.
    uploaded: Vec<String>,
    tags: Vec<Tag>,
    /// The command lines that end the interruption: what goes on to the end, and what takes it back. None
    /// while another run is under way.
    next: Vec<String>,
    hint: String,
}

#[derive(Serialize)]
struct Tag {
    reference: Reference,
    from: Option<Digest>,
    to: Option<Digest>,
    /// Where it points now, as far as is known.
    now: Option<Digest>,
    /// `moved`, `not moved`, `elsewhere`, or `unknown`.
    state: &'static str,
}

#[derive(Serialize)]
struct Last {
    release: String,
    command: String,
    exit: u8,
}

pub(super) fn run(given: &Given<'_>, arguments: &StatusArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish, &[])?;
    let ledger = adapters::ledger(given, &read)?;
    let running = ledger.holder().map_err(Error::Ledger)?;
    let unfinished = ledger.unfinished().map_err(Error::Ledger)?;
    let releases = ledger.releases().map_err(Error::Ledger)?;
    let mut exit = Exit::Done;
    let mut interrupted = None;
    if let Some(unfinished) = unfinished {
        let now = if arguments.offline {
            unfinished.moves.iter().map(|_| None).collect()
        } else {
            let (now, ended) = look(given, &read, &unfinished)?;
            exit = ended;
            now
        };
        interrupted = Some(shown(unfinished, now, running.as_ref()));
    }
    let status = Status {
        project: &read.project.name,
        running,
        interrupted,
        last: releases.last().map(Last::of),
    };
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&status)),
        Format::Text => given.printer.text(&text(&status)),
    }
    Ok(exit)
}

impl Last {
    fn of(release: &Release) -> Self {
        Self {
            release: release.release.clone(),
            command: release.command.clone(),
            exit: release.exit,
        }
    }
}

/// Where the tags point now, `None` where their registry does not say.
fn look(
    given: &Given<'_>,
    read: &Read,
    unfinished: &Unfinished,
) -> Result<(Vec<Option<Found>>, Exit), Error> {
    let registries = adapters::registries(given, &read.settings, None);
    quietly(given, |quiet| {
        session::run(quiet, "status", &read.project.name, |cx| {
            let registries = &registries;
            async move {
                let now = now(&cx, registries, &unfinished.moves).await;
                let exit = if cx.cancel.is_cancelled() {
                    Exit::Interrupted
                } else if now.iter().any(Option::is_none) {
                    Exit::NotReady
                } else {
                    Exit::Done
                };
                (now, exit)
            }
        })
    })
}

async fn now(cx: &Cx, registry: &dyn Registry, moves: &[Move]) -> Vec<Option<Found>> {
    let asked = moves.iter().map(|moved| async move {
        let found = registry.resolve(cx, &moved.reference).await.ok()?;
        Some(Found(found.map(|found| found.digest)))
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

fn shown(unfinished: Unfinished, now: Vec<Option<Found>>, running: Option<&Holder>) -> Interrupted {
    let next = unfinished.next();
    let uploaded = unfinished.uploaded.into_iter().map(|image| image.service);
    let tags = unfinished.moves.into_iter().zip(now);
    let tags: Vec<Tag> = tags
        .map(|(moved, now)| Tag {
            state: match &now {
                None => "unknown",
                Some(Found(now)) if *now == moved.to => "moved",
                Some(Found(now)) if *now == moved.from => "not moved",
                Some(_) => "elsewhere",
            },
            reference: moved.reference,
            from: moved.from,
            to: moved.to,
            now: now.and_then(|Found(now)| now),
        })
        .collect();
    let hint = if let Some(running) = running {
        // Whatever was typed now, the lock would refuse it.
        format!(
            "`castoff {}` is under way: wait until it has ended, and look again",
            running.command
        )
    } else if tags.is_empty() {
        format!(
            "no tag has moved: `{}` goes on with it, and nothing has to be taken back",
            next.finish
        )
    } else {
        unfinished_hint(&next)
    };
    let mut commands = Vec::new();
    if running.is_none() {
        commands.push(next.finish);
        if !tags.is_empty() && !commands.contains(&next.undo) {
            commands.push(next.undo);
        }
    }
    Interrupted {
        release: unfinished.begun.release,
        command: unfinished.begun.command,
        at: unfinished.begun.at,
        revision: unfinished.begun.revision,
        uploaded: uploaded.collect(),
        tags,
        next: commands,
        hint,
    }
}

fn text(status: &Status<'_>) -> String {
    let mut lines = Vec::new();
    if let Some(running) = &status.running {
        lines.push(format!("under way: {running}"));
    }
    let Some(interrupted) = &status.interrupted else {
        lines.push(match &status.last {
            None => "nothing was published from this machine yet".to_owned(),
            Some(last) => format!(
                "nothing is interrupted; the last run was {} {} (exit {})",
                last.command, last.release, last.exit
            ),
        });
        return lines.join("\n") + "\n";
    };
    let Interrupted {
        release,
        command,
        at,
        ..
    } = interrupted;
    let is_running = status.running.is_some();
    let state = if is_running {
        "not at its end"
    } else {
        "interrupted"
    };
    lines.push(format!("{command} {release}, begun at {at:.0}, is {state}"));
    if !interrupted.uploaded.is_empty() {
        lines.push(format!("uploaded: {}", interrupted.uploaded.join(", ")));
    }
    if !interrupted.tags.is_empty() {
        lines.push(format!("\n{}", tags(interrupted)));
    }
    lines.push(interrupted.hint.clone());
    lines.join("\n") + "\n"
}

fn tags(interrupted: &Interrupted) -> String {
    let moves: Vec<Move> = interrupted
        .tags
        .iter()
        .map(|tag| Move {
            reference: tag.reference.clone(),
            from: tag.from.clone(),
            to: tag.to.clone(),
        })
        .collect();
    let rows: Vec<StatusRow<'_>> = moves
        .iter()
        .zip(&interrupted.tags)
        .map(|(intended, tag)| StatusRow {
            intended,
            now: tag.now.as_ref(),
            state: tag.state,
        })
        .collect();
    status_table(&rows)
}
