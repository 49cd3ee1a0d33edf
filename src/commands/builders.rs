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
use crate::execute::Builders;
use crate::execute::ports::{Builder, Credentials};
use crate::plan::{Plan, Purpose};
use crate::printable::without_url_secrets;

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
    /// Who named it.
    pub(super) because: String,
}

/// What builds each target of `plan`. Targets of one builder share it, and so its connection.
pub(super) fn of_plan(
    given: &Given<'_>,
    read: &Read,
    plan: &Plan,
    credentials: &Arc<dyn Credentials>,
    secrets: &buildkit::Environment,
) -> Result<Builders, Error> {
    let mut known: Vec<(Way, Arc<dyn Builder>)> = Vec::new();
    let mut builder = |settings: &ServiceSettings| -> Result<Arc<dyn Builder>, Error> {
        let way = way(given, settings)?;
        let same = known.iter().find(|(other, _)| other.address == way.address);
        if let Some((_, builder)) = same {
            return Ok(Arc::clone(builder));
        }
        let (credentials, secrets) = (Arc::clone(credentials), Arc::clone(secrets));
        let mut made = BuildKit::new(&way.name, way.address.clone(), credentials, secrets);
        if let buildkit::Address::Buildkitd(_) = way.address {
            match super::adapters::engine(given) {
                Ok(engine) => made = made.loading_into(Arc::new(engine)),
                Err(error) if read.purpose == Purpose::Load => return Err(error),
                // Who only pushes needs no Engine.
                Err(_) => {}
            }
        }
        let made: Arc<dyn Builder> = Arc::new(made);
        known.push((way, Arc::clone(&made)));
        Ok(made)
    };
    let general = builder(&read.settings.general)?;
    let mut services = BTreeMap::new();
    for target in &plan.targets {
        let settings = read.settings.service(&target.service);
        services.insert(target.service.clone(), builder(settings)?);
    }
    Ok(Builders { general, services })
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
        because: by.to_owned(),
    }
}

/// A builder of buildx's, which buildx itself reaches, starts where it sleeps, and keeps alive.
pub(super) fn instance(instance: &Instance, by: &str) -> Way {
    let name = instance.name.clone();
    let words = ["buildx", "dial-stdio", "--builder", &name];
    Way {
        kind: instance.driver.clone(),
        address: buildkit::Address::Buildkitd(dial::Address::Program(Program {
            name: "docker".to_owned(),
            arguments: words.map(str::to_owned).to_vec(),
            folder: None,
            shown: format!("buildx:{name}"),
        })),
        because: by.to_owned(),
        name,
    }
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
        because: by.to_owned(),
    })
}
