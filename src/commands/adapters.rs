//! The real builder, registries, Engine and ledger, made from settings and the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Given;
use super::candidates::{Caches, Parts};
use super::prepare::NotHashed;
use super::read::Read;
use crate::buildkit;
use crate::compose::Project;
use crate::config::{RegistrySettings, Settings};
use crate::docker::Docker;
use crate::engine::DockerEngine;
use crate::error::Error;
use crate::execute::ports::{Credentials, NoBuilder};
use crate::execute::{Builders, World};
use crate::facts::Environment;
use crate::ledger::Ledger;
use crate::plan::{self, Goal, Plan, Target};
use crate::registry::{
    CredentialSources, DockerCredentials, HostSettings, Patience, Registries, RegistryOptions,
    Timeouts,
};
use crate::secret::Secret;

/// What a publish works with.
pub(super) fn world(given: &Given<'_>, read: &Read, plan: &Plan) -> Result<World, Error> {
    with_ledger(given, read, plan, Goal::Publish, ledger(given, read)?)
}

/// The same for what publishes nothing: it needs no place for its state, and leaves none behind.
pub(super) fn without_ledger(given: &Given<'_>, read: &Read, plan: &Plan) -> Result<World, Error> {
    going_to(given, read, plan, Goal::Publish)
}

/// The same, where results go elsewhere than to registries.
pub(super) fn going_to(
    given: &Given<'_>,
    read: &Read,
    plan: &Plan,
    goal: Goal,
) -> Result<World, Error> {
    with_ledger(given, read, plan, goal, closed(read))
}

/// A ledger that nothing is written to.
fn closed(read: &Read) -> Ledger {
    Ledger::closed(Path::new(""), &read.project.name, &read.project.directory)
}

fn with_ledger(
    given: &Given<'_>,
    read: &Read,
    plan: &Plan,
    goal: Goal,
    ledger: Ledger,
) -> Result<World, Error> {
    let parts = Parts {
        goal,
        ..parts(given, read, &plan.targets, Some(plan), ledger)
    };
    Ok(World {
        builders: parts.builders()?,
        registry: parts.registry,
        ledger: parts.ledger,
        jobs: given.global.jobs.into(),
        inputs: Arc::new(NotHashed),
        keep_going: false,
        given_up: BTreeMap::new(),
        blind: Vec::new(),
    })
}

/// The build cache that `castoff prune` is about.
pub(super) fn caches(given: &Given<'_>, read: &Read) -> Result<Caches, Error> {
    parts(given, read, &[], None, closed(read)).caches()
}

/// What builders are made with.
fn parts<'a>(
    given: &'a Given<'a>,
    read: &'a Read,
    targets: &'a [Target],
    plan: Option<&Plan>,
    ledger: Ledger,
) -> Parts<'a> {
    let credentials: Arc<dyn Credentials> = Arc::new(DockerCredentials::new(credential_sources(
        &given.environment,
    )));
    let options = options(given, &read.settings, plan);
    let environment = read.facts.environment.clone();
    let variables = read.project.environment.clone();
    let secrets: buildkit::Environment = Arc::new(move |name: &str| {
        let value = environment.get(name).map(str::to_owned);
        value
            .or_else(|| variables.get(name).cloned())
            .map(Secret::new)
    });
    let registry = Registries::with_credentials(options, Arc::clone(&credentials));
    Parts {
        given,
        read,
        targets,
        goal: Goal::Publish,
        credentials,
        secrets,
        registry: Arc::new(registry),
        ledger,
    }
}

/// What a command works with that changes tags and builds nothing.
pub(super) fn world_without_builder(
    given: &Given<'_>,
    read: &Read,
    plan: Option<&Plan>,
) -> Result<World, Error> {
    Ok(World {
        builders: Builders {
            general: Arc::new(NoBuilder),
            services: BTreeMap::new(),
        },
        registry: Arc::new(registries(given, &read.settings, plan)),
        ledger: ledger(given, read)?,
        jobs: given.global.jobs.into(),
        inputs: Arc::new(NotHashed),
        keep_going: false,
        given_up: BTreeMap::new(),
        blind: Vec::new(),
    })
}

/// How registries are spoken to.
fn options(given: &Given<'_>, settings: &Settings, plan: Option<&Plan>) -> RegistryOptions {
    let patience = given.global.patience;
    RegistryOptions {
        credentials: credential_sources(&given.environment),
        hosts: hosts(settings, plan),
        patience: patience.map(Patience::of).unwrap_or_default(),
        // One request that hangs must leave time for another one.
        timeouts: patience
            .map(|patience| Timeouts::within(patience / 3))
            .unwrap_or_default(),
        ..RegistryOptions::default()
    }
}

/// Registries alone, for commands that build nothing.
pub(super) fn registries(
    given: &Given<'_>,
    settings: &Settings,
    plan: Option<&Plan>,
) -> Registries {
    Registries::new(options(given, settings, plan))
}

/// The registries that publish.toml knows, for repositories that are named by hand.
pub(super) fn known_registries(
    given: &Given<'_>,
    known: Option<&(Settings, Project)>,
) -> Result<Registries, Error> {
    let hosts = match known {
        Some((settings, project)) => plan::hosts(project, settings)?,
        None => BTreeMap::new(),
    };
    Ok(Registries::new(RegistryOptions {
        hosts: hosts
            .into_iter()
            .map(|(host, registry)| (host, host_settings(registry)))
            .collect(),
        ..options(given, &Settings::default(), None)
    }))
}

/// The Docker Engine's own API.
pub(super) fn engine(given: &Given<'_>) -> Result<DockerEngine, Error> {
    engine_of(&given.environment)
}

/// The same, by the environment alone.
pub(super) fn engine_of(environment: &Environment) -> Result<DockerEngine, Error> {
    let engine = Docker::new(environment).engine()?;
    Ok(DockerEngine::at(engine.address)?)
}

/// What is particular to each registry, by its address.
fn hosts(settings: &Settings, plan: Option<&Plan>) -> BTreeMap<String, HostSettings> {
    let targets = plan.iter().flat_map(|plan| &plan.targets);
    let places = targets.flat_map(|target| &target.destinations);
    let places = places.map(|place| (place.registry.as_str(), place.repository.domain()));
    let named = settings.registries.iter();
    let named = named.filter_map(|registry| Some((registry.name.as_str(), domain(registry)?)));
    let mut hosts = BTreeMap::new();
    for (name, domain) in named.chain(places) {
        let mut registries = settings.registries.iter();
        if let Some(registry) = registries.find(|registry| registry.name == name) {
            hosts.insert(domain.to_owned(), host_settings(registry));
        }
    }
    hosts
}

/// The host of a registry in publish.toml, where its template does not make it depend on the service.
pub(super) fn domain(registry: &RegistrySettings) -> Option<&str> {
    let (domain, _) = registry.repository.split_once('/')?;
    (!domain.contains("{{")).then_some(domain)
}

fn host_settings(registry: &RegistrySettings) -> HostSettings {
    let client = registry.client.clone();
    HostSettings {
        plain_http: registry.plain_http,
        ca: registry.ca.clone(),
        client_cert: client.as_ref().map(|(certificate, _)| certificate.clone()),
        client_key: client.map(|(_, key)| key),
    }
}

/// Where logins come from, as docker and podman have it.
fn credential_sources(environment: &Environment) -> CredentialSources {
    let home = environment.non_empty("HOME").map(PathBuf::from);
    let in_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let podman = environment
        .non_empty("REGISTRY_AUTH_FILE")
        .map(PathBuf::from);
    let podman_auth_files = match podman {
        Some(file) => vec![file],
        None => environment
            .non_empty("XDG_RUNTIME_DIR")
            .map(|folder| PathBuf::from(folder).join("containers/auth.json"))
            .into_iter()
            .chain(in_home(".config/containers/auth.json"))
            .collect(),
    };
    let secret = |name: &str| environment.non_empty(name).map(Secret::new);
    CredentialSources {
        docker_auth_config: secret("DOCKER_AUTH_CONFIG"),
        docker_config_dir: environment
            .non_empty("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| in_home(".docker")),
        podman_auth_files,
        github_token: secret("GITHUB_TOKEN"),
        github_actor: environment.non_empty("GITHUB_ACTOR").map(str::to_owned),
        ..CredentialSources::default()
    }
}

/// The project's state on this machine: `CASTOFF_STATE`, else the XDG state folder.
pub(super) fn ledger(given: &Given<'_>, read: &Read) -> Result<Ledger, Error> {
    let environment = &given.environment;
    let folder = environment
        .non_empty("CASTOFF_STATE")
        .map(PathBuf::from)
        .or_else(|| {
            let state = environment.non_empty("XDG_STATE_HOME").map(PathBuf::from);
            let home = environment.non_empty("HOME").map(PathBuf::from);
            state
                .or_else(|| home.map(|home| home.join(".local/state")))
                .map(|state| state.join("castoff"))
        })
        .ok_or_else(|| Error::Usage {
            message: "there is no place for the state of this project: neither CASTOFF_STATE nor HOME is set".to_owned(),
            hint: Some("set CASTOFF_STATE to a folder that survives".to_owned()),
        })?;
    Ledger::open(&folder, &read.project.name, &read.project.directory).map_err(Error::Ledger)
}
