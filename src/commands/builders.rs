//! Which builder a service is built by: what was typed and written, what buildx would use, the Engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Given;
use super::read::Read;
use crate::buildkit::{self, BuildKit};
use crate::config::{BuilderChoice, BuilderTls, ServiceSettings};
use crate::dial::{self, Program, Tls};
use crate::docker::{self, Docker, Engine, Found, Instance};
use crate::error::Error;
use crate::execute::ports::{Builder, Credentials, Registry};
use crate::execute::{Builders, Farm, Node, World};
use crate::facts;
use crate::oci::Platform;
use crate::plan::{Plan, Purpose};
use crate::printable::without_url_secrets;
use crate::report::ListedBuilder;

/// The port of a buildkitd where none is said (BuildKit, docs/reference/buildctl.md).
const BUILDKITD_PORT: u16 = 1234;

/// A builder that was found, before anything is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Its name for people.
    pub(super) name: String,
    /// What kind it is: `engine`, `buildkitd`, or the driver of a buildx builder.
    pub(super) kind: String,
    /// Where it is.
    pub(super) address: buildkit::Address,
    /// What it consists of, where buildx made it.
    pub(super) nodes: Vec<docker::Node>,
    /// Who named it.
    pub(super) because: String,
}

/// What the builders of a plan are made with.
pub(super) struct Parts<'a> {
    pub(super) given: &'a Given<'a>,
    pub(super) read: &'a Read,
    pub(super) plan: &'a Plan,
    pub(super) credentials: Arc<dyn Credentials>,
    pub(super) secrets: buildkit::Environment,
    pub(super) registry: Arc<dyn Registry>,
}

impl Parts<'_> {
    /// What builds each target. Targets of one builder share it, and so its connection.
    pub(super) fn builders(&self) -> Result<Builders, Error> {
        let mut known: Vec<(Way, Arc<dyn Builder>)> = Vec::new();
        let mut builder = |settings: &ServiceSettings| -> Result<Arc<dyn Builder>, Error> {
            let way = way(self.given, settings)?;
            let same = known.iter().find(|(other, _)| other.address == way.address);
            if let Some((_, builder)) = same {
                return Ok(Arc::clone(builder));
            }
            let made = self.builder(&way)?;
            known.push((way, Arc::clone(&made)));
            Ok(made)
        };
        let general = builder(&self.read.settings.general)?;
        let mut services = BTreeMap::new();
        for target in &self.plan.targets {
            let settings = self.read.settings.service(&target.service);
            services.insert(target.service.clone(), builder(settings)?);
        }
        Ok(Builders { general, services })
    }

    fn builder(&self, way: &Way) -> Result<Arc<dyn Builder>, Error> {
        let any: Arc<dyn Builder> = Arc::new(self.buildkit(&way.name, way.address.clone())?);
        if way.nodes.len() < 2 {
            return Ok(any);
        }
        let mut platforms: Vec<&Platform> = Vec::new();
        let targets = self.plan.targets.iter();
        for platform in targets.flat_map(|target| &target.platforms) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        let mut nodes = Vec::new();
        for platform in platforms {
            let declares = |node: &docker::Node| {
                let mut own = node.platforms.iter();
                own.any(|own| own.normalized() == platform.normalized())
            };
            let address = dial_stdio(&way.name, Some(platform));
            nodes.push(Node {
                platform: platform.clone(),
                declared: way.nodes.iter().position(declares),
                builder: Arc::new(self.buildkit(&way.name, address)?),
            });
        }
        let farm = Farm::new(&way.name, Arc::clone(&self.registry), any, nodes);
        Ok(Arc::new(farm))
    }

    fn buildkit(&self, name: &str, address: buildkit::Address) -> Result<BuildKit, Error> {
        let is_engine = matches!(address, buildkit::Address::Engine(_));
        let (credentials, secrets) = (Arc::clone(&self.credentials), Arc::clone(&self.secrets));
        let made = BuildKit::new(name, address, credentials, secrets);
        let made = made.with_proxies(Docker::new(&self.given.environment).proxies()?);
        if is_engine {
            return Ok(made);
        }
        match super::adapters::engine(self.given) {
            Ok(engine) => Ok(made.loading_into(Arc::new(engine))),
            Err(error) if self.read.purpose == Purpose::Load => Err(error),
            // Who only pushes needs no Engine.
            Err(_) => Ok(made),
        }
    }
}

/// Whether there is a builder for each target of `plan`, as far as this machine knows. Asks none.
pub(super) fn look_up(given: &Given<'_>, read: &Read, plan: &Plan) -> Result<(), Error> {
    for target in &plan.targets {
        way(given, read.settings.service(&target.service))?;
    }
    Ok(())
}

/// The builder that `settings` lead to. `auto` is what buildx would use: `BUILDX_BUILDER`, then
/// `BUILDKIT_HOST`, then the builder that `docker buildx use` chose, then the Engine.
pub(super) fn way(given: &Given<'_>, settings: &ServiceSettings) -> Result<Way, Error> {
    let docker = Docker::new(&given.environment);
    let tls = settings.builder_tls.as_ref();
    let by = if given.global.builder.is_some() {
        "--builder"
    } else {
        "publish.toml"
    };
    match &settings.builder {
        BuilderChoice::Engine => Ok(engine(docker.engine()?, by)),
        BuilderChoice::Buildx(name) => Ok(found(docker.builder(name, by)?, by)),
        BuilderChoice::Buildkitd(address) => buildkitd(address, tls, by),
        BuilderChoice::Auto => {
            if let Some(name) = given.environment.non_empty("BUILDX_BUILDER") {
                let by = "BUILDX_BUILDER";
                return Ok(found(docker.builder(name, by)?, by));
            }
            if let Some(address) = given.environment.non_empty("BUILDKIT_HOST") {
                return buildkitd(address, tls, "BUILDKIT_HOST");
            }
            match docker.current_builder()? {
                Some(chosen) => Ok(found(chosen, "docker buildx use")),
                None => Ok(engine(docker.engine()?, "the default")),
            }
        }
    }
}

/// The platform that the builder of `settings` has for itself, where that is known without asking it: a
/// local socket leads to something on this machine. Whatever is elsewhere may be another machine.
pub(super) fn own_platform(given: &Given<'_>, settings: &ServiceSettings) -> Option<Platform> {
    match way(given, settings).ok()?.address {
        buildkit::Address::Engine(dial::Address::Unix(_))
        | buildkit::Address::Buildkitd(dial::Address::Unix(_)) => {
            Some(Platform::from_parts("linux", facts::architecture(), "", ""))
        }
        _ => None,
    }
}

fn found(found: Found, by: &str) -> Way {
    match found {
        Found::Engine(found) => engine(found, by),
        Found::Instance(found) => instance(&found, by),
    }
}

pub(super) fn engine(engine: Engine, by: &str) -> Way {
    Way {
        name: if engine.context == "default" {
            "engine".to_owned()
        } else {
            engine.context
        },
        kind: "engine".to_owned(),
        address: buildkit::Address::Engine(engine.address),
        nodes: Vec::new(),
        because: by.to_owned(),
    }
}

/// A builder of buildx's, which buildx itself reaches, starts where it sleeps, and keeps alive.
pub(super) fn instance(instance: &Instance, by: &str) -> Way {
    Way {
        name: instance.name.clone(),
        kind: instance.driver.clone(),
        address: dial_stdio(&instance.name, None),
        nodes: instance.nodes.clone(),
        because: by.to_owned(),
    }
}

/// The way to a builder through buildx; to the node that is best for `platform`, where it has several.
fn dial_stdio(name: &str, platform: Option<&Platform>) -> buildkit::Address {
    let words = ["buildx", "dial-stdio", "--builder", name];
    let mut arguments = words.map(str::to_owned).to_vec();
    if let Some(platform) = platform {
        arguments.extend(["--platform".to_owned(), platform.to_string()]);
    }
    buildkit::Address::Buildkitd(dial::Address::Program(Program {
        name: "docker".to_owned(),
        arguments,
        folder: None,
        shown: format!("buildx:{name}"),
    }))
}

/// A buildkitd by its address, as buildctl takes it.
fn buildkitd(address: &str, tls: Option<&BuilderTls>, by: &str) -> Result<Way, Error> {
    let tls = tls.map(|tls| Tls {
        ca: tls.ca.clone(),
        client: tls.client.clone(),
        server_name: tls.server_name.clone(),
        verify: true,
    });
    let parsed = docker::buildkitd(address, BUILDKITD_PORT, tls);
    let parsed = parsed.map_err(|message| Error::Usage {
        message: format!(
            "{by} names the builder `{}`: {message}",
            without_url_secrets(address)
        ),
        hint: Some("a buildkitd is at unix:///PATH or tcp://HOST:PORT".to_owned()),
    })?;
    Ok(Way {
        name: "buildkitd".to_owned(),
        kind: "buildkitd".to_owned(),
        address: buildkit::Address::Buildkitd(parsed),
        nodes: Vec::new(),
        because: by.to_owned(),
    })
}

/// The builders that `plan` uses, with what they say of themselves, and after them those that buildx
/// knows besides. Those are not asked, as that would start them.
pub(super) async fn list(
    given: &Given<'_>,
    read: &Read,
    plan: &Plan,
    world: &World,
) -> Result<Vec<ListedBuilder>, Error> {
    let mut ways: Vec<(Way, Vec<String>)> = Vec::new();
    for target in &plan.targets {
        let way = way(given, read.settings.service(&target.service))?;
        match ways
            .iter_mut()
            .find(|(known, _)| known.address == way.address)
        {
            Some((_, services)) => services.push(target.service.clone()),
            None => ways.push((way, vec![target.service.clone()])),
        }
    }
    let mut listed = Vec::new();
    for (way, services) in ways {
        let first = services.first().map(String::as_str).unwrap_or_default();
        let mut builder = as_listed(&way, services.clone());
        match world.builders.of(first).survey().await {
            Ok(survey) => {
                // A builder names its own platform first; its variants are no other machine.
                let own = survey.platforms.first().map(Platform::architecture);
                (builder.native, builder.emulated) = survey
                    .platforms
                    .iter()
                    .cloned()
                    .partition(|platform| Some(platform.architecture()) == own);
                let classic = "classic image store: it cannot publish";
                builder.problem = (!survey.full_exporter).then(|| classic.to_owned());
            }
            // Why is a finding of its own.
            Err(_) => builder.problem = Some("does not answer".to_owned()),
        }
        listed.push(builder);
    }
    let docker = Docker::new(&given.environment);
    for known in docker.builders()? {
        let way = instance(&known, "buildx");
        if !listed.iter().any(|one| one.name == way.name) {
            let mut builder = as_listed(&way, Vec::new());
            let platforms = known.nodes.iter().flat_map(|node| &node.platforms);
            builder.native = platforms.cloned().collect();
            listed.push(builder);
        }
    }
    Ok(listed)
}

fn as_listed(way: &Way, services: Vec<String>) -> ListedBuilder {
    let endpoints: Vec<&str> = way
        .nodes
        .iter()
        .map(|node| node.endpoint.as_str())
        .collect();
    ListedBuilder {
        name: way.name.clone(),
        driver: way.kind.clone(),
        endpoint: if endpoints.is_empty() {
            way.address.to_string()
        } else {
            endpoints.join(", ")
        },
        services,
        native: Vec::new(),
        emulated: Vec::new(),
        problem: None,
    }
}
