//! `castoff config`: the resolved compose project.

use std::fmt::Write as _;

use super::{Given, read};
use crate::cli::{ConfigArguments, ConfigFormat};
use crate::compose;
use crate::config::Document;
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::one_line;

/// How much of a key or a value of publish.toml is shown, in characters.
const LONGEST_SHOWN: usize = 65_536;
/// Keys that are longer, in bytes, do not widen the column of all the others.
const WIDEST_KEY: usize = 128;

/// Prints the resolved compose project, or with `--publish` the resolved publish.toml.
pub(super) fn run(given: &Given<'_>, arguments: &ConfigArguments) -> Result<Exit, Error> {
    if arguments.publish {
        let (_, document, project) = read::settings(given, &[])?;
        given.printer.text(&publish_text(&document));
        read::warn(given, &read::project_warnings(&project));
        return Ok(Exit::Done);
    }
    let project = read::project(given, &arguments.services)?;
    read::warn(given, &read::project_warnings(&project));
    if let Some(names) = names(&project, arguments) {
        given.printer.text(&names);
        return Ok(Exit::Done);
    }
    if given.global.quiet {
        return Ok(Exit::Done);
    }
    // What castoff makes of the project is not needed any more, and may be large.
    let compose::Project { document, .. } = project;
    match arguments.format {
        ConfigFormat::Yaml => given.printer.result(&document.yaml()),
        ConfigFormat::Json => given.printer.result(&format_args!("{}\n", document.json())),
    }
    Ok(Exit::Done)
}

/// The list that is asked for instead of the project.
fn names(project: &compose::Project, config: &ConfigArguments) -> Option<String> {
    let services = project.services.iter();
    if config.names {
        Some(lines(services.map(|service| service.name.clone())))
    } else if config.images {
        Some(lines(services.map(|service| {
            let built = || format!("{}-{}", project.name, service.name);
            service.image.clone().unwrap_or_else(built)
        })))
    } else if config.known_profiles {
        Some(lines(project.known_profiles.iter().cloned()))
    } else {
        None
    }
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item + "\n").collect()
}

/// publish.toml with where each value comes from: what was said, then what holds because nobody said
/// anything.
fn publish_text(document: &Document) -> String {
    let mut text = String::new();
    let said = document.values();
    let keys = said.iter().map(|(key, ..)| key.len());
    let defaults = document.defaults();
    let width = keys
        .chain(defaults.iter().map(|(key, _)| key.len()))
        .filter(|length| *length <= WIDEST_KEY)
        .max()
        .unwrap_or(0);
    for (key, value, origin) in &said {
        let (key, value) = (one_line(key, LONGEST_SHOWN), one_line(value, LONGEST_SHOWN));
        let _ = writeln!(text, "{key:<width$} = {value}  # {origin}");
    }
    for (key, value) in defaults {
        let _ = writeln!(text, "{key:<width$} = {value}  # default");
    }
    text
}
