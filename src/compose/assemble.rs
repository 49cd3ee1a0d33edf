//! The whole way from options to a project.

use std::path::{Path, PathBuf};

use super::consistency::{self, Services};
use super::decode::decode;
use super::discover::{self, Found, LoadOptions, fitting_name, given_name};
use super::document::Document;
use super::error::Error;
use super::loader::{Loader, Stop};
use super::model::{Project, Warning};
use super::node::{Map, Node, Place, Value};
use super::normalize::normalize;
use super::{paths, profiles, variables};

mod build;
mod env_files;
mod services;

/// Loads a compose project, as `docker compose config` of 2.40.3 would.
///
/// Reads the compose files, the files they include and extend, and their env files; nothing else,
/// and nothing is written. What is wrong with the files is an [`Error`] with its place; what is
/// odd is in [`Project::warnings`].
pub fn load(options: &LoadOptions) -> Result<Project, Error> {
    let home = options
        .environment
        .get("HOME")
        .filter(|home| !home.is_empty())
        .cloned();
    let input = options.standard_input.as_deref();
    let mut loader = Loader::new(&options.working_directory, home, input);
    match assemble(options, &mut loader) {
        Ok(project) => Ok(project),
        Err(stop) => Err(loader.error(*stop)),
    }
}

fn assemble(options: &LoadOptions, loader: &mut Loader<'_>) -> Result<Project, Box<Stop>> {
    let mut found = discover::discover(options, loader)?;
    let name = name(options, &found, loader)?;
    let environment = &mut found.environment;
    environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());

    let mut document = loader.project(&found.files, &found.folder, &found.environment)?;
    if document.is_empty() {
        return Err(Error::Empty.into());
    }
    if name.is_empty() {
        return Err(Error::NoName.into());
    }
    let budget = &mut loader.findings.budget;
    normalize(&mut document, &name, &found.environment, budget)?;
    document.remove("name");

    let mut document = decode(document, &mut loader.findings)?;
    let services = match document.remove("services").map(|entry| entry.node.value) {
        Some(Value::Map(services)) => services,
        _ => Map::default(),
    };
    let (mut enabled, mut disabled) = profiles::split(services, &found.profiles);
    scale(&mut enabled);
    Services {
        document: &document,
        enabled: &enabled,
        disabled: &disabled,
    }
    .check()?;
    env_files::resolve(&mut enabled, &found.environment, loader)?;

    let named = [options.services.as_slice(), &options.enabled].concat();
    if !named.is_empty() {
        let profiles = profiles::with_those_of(&found.profiles, &named, &disabled);
        for (name, entry) in disabled.into_entries() {
            enabled.set(name, entry.key, entry.node);
        }
        (enabled, disabled) = profiles::split(enabled, &profiles);
        env_files::resolve(&mut enabled, &found.environment, loader)?;
        profiles::select(&mut enabled, &options.services)?;
        found.profiles = profiles;
    }
    consistency::container_names(&enabled)?;
    let secrets = document.get("secrets").cloned();
    let budget = &mut loader.findings.budget;
    let values = secrets.as_ref().and_then(Node::as_map);
    build::count_secrets(&enabled, values, &found.environment, budget)?;
    let warnings = warnings(loader);
    profiles::only_used(&mut document, &enabled);
    Ok(finish(
        document,
        enabled,
        &disabled,
        name,
        found,
        secrets.as_ref(),
        loader,
        warnings,
    ))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the last step takes what all others made"
)]
fn finish(
    mut document: Map,
    enabled: Map,
    disabled: &Map,
    name: String,
    found: Found,
    secrets: Option<&Node>,
    loader: &Loader<'_>,
    warnings: Vec<Warning>,
) -> Project {
    let assembly = services::Assembly {
        sources: &loader.sources,
        secrets: secrets.and_then(Node::as_map),
        environment: &found.environment,
        folder: &found.folder,
    };
    let mut services = Vec::with_capacity(enabled.len());
    for (name, entry) in enabled.iter() {
        if let Some(service) = entry.node.as_map() {
            services.push(assembly.service(name, entry.key, service));
        }
    }
    services.sort_by(|one, two| one.name.cmp(&two.name));
    let known_profiles = profiles::known([&enabled, disabled]);
    let mut disabled: Vec<String> = disabled.keys().map(ToString::to_string).collect();
    disabled.sort();
    let extensions = services::extensions(&document);

    hide_values(&mut document);
    let place = Place::default();
    document.set_text("name", place, &name);
    document.set("services", place, Node::new(place, Value::Map(enabled)));
    Project {
        name,
        directory: PathBuf::from(&found.folder),
        files: found.files.iter().map(PathBuf::from).collect(),
        services,
        disabled,
        profiles: found.profiles,
        known_profiles,
        environment: found.environment,
        extensions,
        warnings,
        document: Document { root: document },
    }
}

/// The project's name: `-p`, `COMPOSE_PROJECT_NAME`, `name:` of the last file that has one, the
/// folder's name.
fn name(
    options: &LoadOptions,
    found: &Found,
    loader: &mut Loader<'_>,
) -> Result<String, Box<Stop>> {
    if let Some(name) = options
        .project_name
        .as_ref()
        .filter(|name| !name.is_empty())
    {
        return Ok(given_name(name, "-p")?);
    }
    let given = found.environment.get("COMPOSE_PROJECT_NAME");
    let given = match given.filter(|name| !name.is_empty()) {
        Some(name) => Some(given_name(name, "COMPOSE_PROJECT_NAME")?),
        None => None,
    };
    // The files are read before they are loaded, for their names are variables in themselves.
    let written = names(&found.files, loader)?;
    if let Some(name) = given {
        return Ok(name);
    }
    let Some(node) = written else {
        return Ok(folder_name(&found.folder, loader));
    };
    let text = node.as_text().unwrap_or_default();
    let root = super::path::Path::root();
    let path = root.child("name");
    let findings = &mut loader.findings;
    let done = variables::replaced(text, node.place, &path, &found.environment, findings)?;
    Ok(fitting_name(&done.text))
}

/// The name that the files give the project; what is wrong with a file is told here already.
fn names(files: &[String], loader: &mut Loader<'_>) -> Result<Option<Node>, Box<Stop>> {
    let mut last = None;
    for file in files {
        for document in loader.first_look(file)? {
            let node = document.root.as_map().and_then(|root| root.get("name"));
            if let Some(node) = node.filter(|node| !matches!(node.as_text(), None | Some(""))) {
                last = Some(node.clone());
            }
        }
    }
    Ok(last)
}

fn folder_name(folder: &str, loader: &mut Loader<'_>) -> String {
    let name = paths::base(folder);
    let real = std::fs::canonicalize(Path::new(folder)).ok();
    let real = real.as_deref().and_then(Path::file_name);
    if real.is_some_and(|real| real.to_string_lossy() != name) {
        let message = format!("the project's folder is a symbolic link; the name is `{name}`");
        loader.findings.general.push(message);
    }
    fitting_name(name)
}

/// Gives `deploy.replicas` the value of `scale`.
fn scale(services: &mut Map) {
    for (_, entry) in services.iter_mut() {
        let Some(service) = entry.node.as_map_mut() else {
            continue;
        };
        let Some(scale) = service.entry("scale").cloned() else {
            continue;
        };
        let deploy = service.get_mut("deploy").and_then(Node::as_map_mut);
        if let Some(deploy) = deploy
            && !deploy.has("replicas")
        {
            deploy.set("replicas", scale.key, scale.node);
        }
    }
}

/// Takes the values of secrets, and of configs from the environment, out of what is printed.
fn hide_values(document: &mut Map) {
    for (_, secret) in super::canonical::below(document, "secrets") {
        let Some(extensions) = secret.get_mut(super::decode::EXTENSIONS) else {
            continue;
        };
        let empty = extensions.as_map_mut().is_some_and(|extensions| {
            extensions.remove(super::defaults::SECRET_VALUE);
            extensions.is_empty()
        });
        if empty {
            secret.remove(super::decode::EXTENSIONS);
        }
    }
    for (_, config) in super::canonical::below(document, "configs") {
        if config.has("environment") {
            config.remove("content");
        }
    }
}

fn warnings(loader: &mut Loader<'_>) -> Vec<Warning> {
    let findings = std::mem::take(&mut loader.findings);
    let mut warnings: Vec<Warning> = Vec::new();
    let unset = findings.unset.into_iter().map(|(name, place)| {
        let message = format!("the variable {name} is not set; it is replaced by empty text");
        (message, place)
    });
    let remarks = findings
        .remarks
        .into_iter()
        .map(|(message, place)| (message, Some(place)));
    let general = findings.general.into_iter().map(|message| (message, None));
    for (message, place) in general.chain(remarks).chain(unset) {
        let warning = Warning {
            message,
            place: place.map(|place| loader.sources.excerpt(place)),
        };
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}
