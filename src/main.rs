//! The `castoff` program.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use castoff::cli::{Cli, Command};
use castoff::commands::config::{self, World};
use castoff::compose;
use castoff::excerpt::Excerpt;
use castoff::exit::Exit;
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Command::Config(arguments) = &cli.command;
    let world = World {
        working_directory: std::env::current_dir().unwrap_or_default(),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
    };
    let options = config::load_options(&cli.global, world, &arguments.services);
    match compose::load(&options) {
        Ok(project) => {
            for warning in &project.warnings {
                tell("warning", &warning.message, warning.place.as_ref(), None);
            }
            let text = config::text(&project, arguments);
            match std::io::stdout().lock().write_all(text.as_bytes()) {
                Ok(()) => Exit::Done.into(),
                Err(_) => Exit::Internal.into(),
            }
        }
        Err(error) => {
            let mut message = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(source) = cause {
                let _ = write!(message, "\n  caused by: {source}");
                cause = source.source();
            }
            tell("error", &message, error.place(), error.hint().as_deref());
            if let Some((place, what)) = error.related() {
                tell("note", what, Some(place), None);
            }
            Exit::BadInput.into()
        }
    }
}

/// Writes a message with its place to the standard error.
fn tell(kind: &str, message: &str, place: Option<&Excerpt>, hint: Option<&str>) {
    let mut text = format!("{kind}: {message}\n");
    if let Some(place) = place {
        let number = place.line.to_string();
        let gap = " ".repeat(number.len());
        let _ = writeln!(text, "{gap}--> {place}");
        if kind != "warning" {
            let _ = writeln!(text, "{gap} |\n{number} | {}", place.text);
            let lead = " ".repeat(place.column.saturating_sub(1));
            let _ = writeln!(text, "{gap} | {lead}{}", "^".repeat(place.length));
        }
    }
    if let Some(hint) = hint {
        let _ = writeln!(text, "hint: {hint}");
    }
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
