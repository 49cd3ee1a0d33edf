//! `castoff config`: the resolved compose project.

use std::fmt::Write as _;

use super::{Given, read};
use crate::cli::{ConfigArguments, ConfigFormat};
use crate::compose::Project;
use crate::config::{self, Document};
use crate::error::Error;
use crate::exit::Exit;

/// Prints the resolved compose project, or with `--publish` the resolved publish.toml.
pub(super) fn run(given: &Given<'_>, arguments: &ConfigArguments) -> Result<Exit, Error> {
    if arguments.publish {
        let (_, document, project) = read::settings(given)?;
        given.printer.result(&publish_text(&document));
        read::warn(given, &read::project_warnings(&project));
        return Ok(Exit::Done);
    }
    let project = read::project(given, &arguments.services)?;
    read::warn(given, &read::project_warnings(&project));
    given.printer.result(&text(&project, arguments));
    Ok(Exit::Done)
}

/// What `castoff config` prints for a project.
fn text(project: &Project, config: &ConfigArguments) -> String {
    if config.names {
        return lines(project.services.iter().map(|service| service.name.clone()));
    }
    if config.images {
        return lines(project.services.iter().map(|service| {
            let built = || format!("{}-{}", project.name, service.name);
            service.image.clone().unwrap_or_else(built)
        }));
    }
    if config.known_profiles {
        return lines(project.known_profiles.iter().cloned());
    }
    match config.format {
        ConfigFormat::Yaml => project.document.to_yaml(),
        ConfigFormat::Json => project.document.to_json() + "\n",
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
    let defaults = config::DEFAULTS.iter();
    let width = keys
        .chain(defaults.clone().map(|(key, _)| key.len()))
        .max()
        .unwrap_or(0);
    for (key, value, origin) in &said {
        let _ = writeln!(text, "{key:<width$} = {value}  # {origin}");
    }
    for (key, value) in defaults {
        if !said.iter().any(|(said, ..)| said == key) {
            let _ = writeln!(text, "{key:<width$} = {value}  # default");
        }
    }
    text
}
