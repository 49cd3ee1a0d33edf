//! castoff builds every service of a compose project and publishes all of them, or none.

pub mod buildkit;
pub mod cli;
pub mod commands;
pub mod config;
pub mod cx;
pub mod engine;
pub mod event;
pub mod excerpt;
pub mod execute;
pub mod exit;
pub mod facts;
pub mod inputs;
pub mod interpolate;
pub mod ledger;
pub mod oci;
pub mod plan;
pub mod registry;
pub mod report;
pub mod secret;
pub mod tags;

use std::io::{self, Write};

use cli::{Cli, Command};
use exit::Exit;
use facts::Environment;

/// Runs what was typed, and says how the world looks afterwards.
pub fn run(cli: &Cli) -> Exit {
    let Command::Tags(arguments) = &cli.command;
    let directory = match std::path::absolute(".") {
        Ok(directory) => directory,
        Err(error) => return fail(&error.to_string(), None, Exit::Internal),
    };
    match commands::tags::run(arguments, directory, Environment::capture()) {
        Ok(printed) => {
            for oddity in &printed.warnings {
                complain("warning", &oddity.message, oddity.hint.as_deref());
            }
            // A reader that has gone away wants no more.
            let _ = io::stdout().lock().write_all(printed.result.as_bytes());
            Exit::Done
        }
        Err(error) => {
            let exit = match &error {
                commands::tags::Error::Facts(facts::Error::Git { .. })
                | commands::tags::Error::Tags(
                    tags::Error::Dirty { .. } | tags::Error::DirtUnknown,
                ) => Exit::NotReady,
                _ => Exit::BadInput,
            };
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message.push_str("\n  caused by: ");
                message.push_str(&cause.to_string());
                source = cause.source();
            }
            fail(&message, error.hint().as_deref(), exit)
        }
    }
}

fn fail(message: &str, hint: Option<&str>, exit: Exit) -> Exit {
    complain("error", message, hint);
    exit
}

fn complain(kind: &str, message: &str, hint: Option<&str>) {
    let mut standard_error = io::stderr().lock();
    // There is nowhere to complain about not being able to complain.
    let _ = writeln!(standard_error, "{kind}: {message}");
    if let Some(hint) = hint {
        let _ = writeln!(standard_error, "hint: {hint}");
    }
}
