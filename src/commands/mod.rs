//! The verbs, one file each, and what they have in common.
//!
//! Knows which rooms a verb needs and in which order, and builds the real adapters. Must not decide
//! what the rooms decide. Start reading at the file that is named as the verb.

mod adapters;
mod again;
mod build;
mod builders;
mod candidates;
mod check;
mod config;
mod history;
mod inputs;
mod ls;
mod partial;
mod partials;
mod plan;
mod prepare;
mod promote;
mod prune;
mod publish;
mod read;
mod report;
mod rollback;
mod session;
mod status;
mod tags;
mod undertaking;

use crate::cli::{Cli, Command};
use crate::error::{Error, failure_problems};
use crate::execute::Failure;
use crate::exit::Exit;
use crate::facts::Environment;
use crate::printable::is_hidden;
use crate::report::{Printer, Problem};

/// What every verb is given.
pub(crate) struct Given<'a> {
    /// What was typed for every command.
    pub(crate) global: &'a crate::cli::Global,
    /// The environment, captured once.
    pub(crate) environment: Environment,
    /// The way to the terminal.
    pub(crate) printer: Printer,
}

/// Carries out what was typed.
pub fn run(cli: &Cli, environment: Environment, printer: &Printer) -> Exit {
    let given = Given {
        global: &cli.global,
        environment,
        printer: printer.clone(),
    };
    let result = match &cli.command {
        Command::Plan(arguments) => plan::run(&given, arguments),
        Command::Publish(arguments) => publish::run(&given, arguments),
        Command::Build(arguments) => build::run(&given, arguments),
        Command::Status(arguments) => status::run(&given, arguments),
        Command::History(arguments) => history::run(&given, arguments),
        Command::Promote(arguments) => promote::run(&given, arguments),
        Command::Rollback(arguments) => rollback::run(&given, arguments),
        Command::Config(arguments) => config::run(&given, arguments),
        Command::Tags(arguments) => tags::run(&given, arguments),
        Command::Check(arguments) => check::run(&given, arguments),
        Command::Ls(arguments) => ls::run(&given, arguments),
        Command::Prune(arguments) => prune::run(&given, arguments),
        Command::Report(arguments) => report::run(&given, arguments),
        Command::Schema => {
            printer.result(&pretty(&crate::config::schema()));
            Ok(Exit::Done)
        }
        Command::Completions(arguments) => {
            printer.result(&Cli::completions(arguments.shell));
            Ok(Exit::Done)
        }
        Command::Man => Cli::manual()
            .map(|page| {
                printer.result(&page);
                Exit::Done
            })
            .map_err(|error| Error::Internal(error.to_string())),
    };
    let exit = result.unwrap_or_else(|error| {
        for problem in error.problems() {
            printer.problem(&problem);
        }
        error.exit()
    });
    match printer.lost() {
        Some(why) if matches!(exit, Exit::Done | Exit::WouldChange) => {
            printer.problem(&Problem {
                message: format!("the result could not be written: {why}"),
                ..Problem::default()
            });
            match &cli.command {
                Command::Publish(_) | Command::Promote(_) | Command::Rollback(_) => {
                    Exit::AfterwardsFailed
                }
                _ => Exit::Internal,
            }
        }
        _ => exit,
    }
}

/// The same with nothing shown of what goes on, for commands whose result is all there is to see.
fn quietly<T>(given: &Given<'_>, work: impl FnOnce(&Given<'_>) -> T) -> T {
    let global = crate::cli::Global {
        progress: crate::cli::ProgressKind::Quiet,
        ..given.global.clone()
    };
    work(&Given {
        global: &global,
        environment: given.environment.clone(),
        printer: given.printer.clone(),
    })
}

/// A value as JSON for people and programs, with the end of its last line. Letters that a terminal would
/// not show as they are, are written as escapes, which say the same to a program.
fn pretty(value: &impl serde::Serialize) -> String {
    let plain = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut text = String::with_capacity(plain.len() + 1);
    for letter in plain.chars() {
        if letter == '\n' || !is_hidden(letter) {
            text.push(letter);
        } else {
            let units = letter.encode_utf16(&mut [0; 2]).to_vec();
            text.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text.push('\n');
    text
}

/// Says what went wrong, each thing once.
fn complain(given: &Given<'_>, failures: &[Failure]) {
    let again = |service: &str| again::build(given.global, service);
    let mut said: Vec<Problem> = Vec::new();
    let problems = failures
        .iter()
        .flat_map(|failure| failure_problems(failure, &again));
    for problem in problems {
        if !said.contains(&problem) {
            given.printer.problem(&problem);
            said.push(problem);
        }
    }
}
