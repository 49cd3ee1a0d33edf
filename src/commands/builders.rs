//! Which builder a service is built by: what was typed and written, what buildx would use, the Engine.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::Given;
use super::read::Read;
use crate::buildkit;
use crate::config::{BuilderChoice, BuilderTls, ServiceSettings};
use crate::cx::Cx;
use crate::dial::{self, Program, Tls};
use crate::docker::{self, Docker, Engine, Found, Instance};
use crate::error::Error;
use crate::execute::World;
use crate::execute::ports::BuilderError;
use crate::facts;
use crate::oci::Platform;
use crate::plan::{Action, Placement, Plan, Warning};
use crate::printable::without_url_secrets;
use crate::report::ListedBuilder;

/// The port of a buildkitd where none is said (BuildKit, docs/reference/buildctl.md).
const BUILDKITD_PORT: u16 = 1234;
/// Who names a builder that nobody named.
const USUAL: &str = "the default";
/// Who names the builder that buildx has in use.
const BUILDX_USE: &str = "docker buildx use";

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
    /// Whether anybody did. One that was named is never replaced by another.
    pub(super) is_named: bool,
}

/// Says which builder each target of `plan` is built by, as far as this machine knows. Asks none.
pub(super) fn look_up(given: &Given<'_>, read: &Read, plan: &mut Plan) -> Result<(), Error> {
    let ways = Ways::new(given, read)?;
    for target in &mut plan.targets {
        let way = ways.of(&target.service)?;
        target.placement = Placement {
            is_usual: !way.is_named,
            builder_because: Some(match way.because.as_str() {
                USUAL => format!("{USUAL}; no builder was asked"),
                by @ BUILDX_USE => format!("`{by}` chose it"),
                by => format!("{by} names it"),
            }),
            builder: Some(way.name),
        };
    }
    Ok(())
}

/// Says which builder each target of `plan` will be built by, where that is castoff's choice. Asks as few
/// builders as that takes. None that can do it is a warning: a plan promises nothing of builders.
pub(super) async fn place(plan: &mut Plan, world: &World) {
    for target in &mut plan.targets {
        if target.action != Action::Build {
            target.placement = Placement::default();
            continue;
        }
        if !target.placement.is_usual {
            continue;
        }
        let builder = world.builders.of(&target.service);
        target.placement = match builder.survey().await {
            Ok(survey) => Placement {
                builder: Some(survey.name),
                is_usual: builder.because().is_none(),
                builder_because: Some(builder.because().unwrap_or(USUAL).to_owned()),
            },
            Err(error) => {
                if matches!(error, BuilderError::NoFit { .. }) {
                    let warning = Warning {
                        subject: target.service.clone(),
                        message: error.to_string(),
                        hint: error.hint(),
                    };
                    let is_known = |known: &Warning| known.message == warning.message;
                    if !plan.warnings.iter().any(is_known) {
                        plan.warnings.push(warning);
                    }
                }
                Placement {
                    builder: None,
                    builder_because: Some(error.to_string()),
                    // Where there is no builder at all, plans are made all the same.
                    is_usual: !matches!(error, BuilderError::NoFit { .. }),
                }
            }
        };
    }
}

/// The ways of services, looked up once for all that have no settings of their own.
pub(super) struct Ways<'a> {
    given: &'a Given<'a>,
    read: &'a Read,
    usual: Way,
}

impl<'a> Ways<'a> {
    pub(super) fn new(given: &'a Given<'a>, read: &'a Read) -> Result<Self, Error> {
        Ok(Self {
            given,
            read,
            usual: way(given, &read.settings.general)?,
        })
    }

    /// The way that leads to the builder of `service`.
    pub(super) fn of(&self, service: &str) -> Result<Way, Error> {
        match self.read.settings.services.get(service) {
            Some(own) => way(self.given, own),
            None => Ok(self.usual.clone()),
        }
    }
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
                Some(chosen) => Ok(found(chosen, BUILDX_USE)),
                None => Ok(engine(docker.engine()?, USUAL)),
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

/// The platforms that builders have for themselves, by the services that they build, where they are known.
/// A builder is asked only where something depends on it: a target without platforms.
pub(super) async fn own_platforms(
    cx: &Cx,
    given: &Given<'_>,
    read: &Read,
    plan: &Plan,
    world: &World,
) -> BTreeMap<String, Platform> {
    let own = plan.targets.iter().map(|target| async {
        let service = &target.service;
        let known = own_platform(given, read.settings.service(service));
        let own = match known {
            None if target.may_reuse && target.platforms.is_empty() => {
                let asked = world.builders.of(service).survey();
                let survey = cx.cancel.run_until_cancelled(asked).await?.ok()?;
                survey.platforms.first()?.normalized()
            }
            known => known?,
        };
        Some((service.clone(), own))
    });
    join_all(own).await.into_iter().flatten().collect()
}

pub(super) fn found(found: Found, by: &str) -> Way {
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
        is_named: by != USUAL,
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
        is_named: by != USUAL,
    }
}

/// The way to a builder through buildx; to the node that is best for `platform`, where it has several.
pub(super) fn dial_stdio(name: &str, platform: Option<&Platform>) -> buildkit::Address {
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
        is_named: by != USUAL,
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
    let known = Docker::new(&given.environment).builders()?;
    let mut listed: Vec<(Way, ListedBuilder)> = Vec::new();
    for target in &plan.targets {
        let mut way = way(given, read.settings.service(&target.service))?;
        let builder = world.builders.of(&target.service);
        let survey = builder.survey().await;
        // Castoff may have taken another one.
        let mut others = known.iter();
        if let Some(other) = others.find(|one| one.name == builder.name() && !way.is_named) {
            way = instance(other, BUILDX_USE);
        }
        let of_it = listed
            .iter_mut()
            .find(|(one, _)| one.address == way.address);
        let (_, row) = match of_it {
            Some(row) => row,
            None => {
                let row = as_listed(&way);
                listed.push((way, row));
                let Some(row) = listed.last_mut() else {
                    continue;
                };
                row
            }
        };
        row.services.push(target.service.clone());
        if let Some(because) = builder.because() {
            row.because
                .insert(target.service.clone(), because.to_owned());
        }
        let is_fit = !matches!(survey, Err(BuilderError::NoFit { .. }));
        let survey = match survey {
            Err(BuilderError::NoFit { .. }) => world.builders.general.survey().await,
            survey => survey,
        };
        match survey {
            Ok(survey) => {
                let is_native = |platform: &Platform| survey.native.contains(platform);
                let platforms = survey.platforms.iter().cloned();
                (row.native, row.emulated) = platforms.partition(is_native);
                // Why is a finding of its own, here and below.
                if !is_fit {
                    row.problem = Some("cannot do what is asked".to_owned());
                } else if !survey.full_exporter {
                    let classic =
                        "classic image store: one platform, no attestations, inline cache only";
                    row.problem = Some(classic.to_owned());
                }
            }
            Err(_) => row.problem = Some("does not answer".to_owned()),
        }
    }
    let mut listed: Vec<ListedBuilder> = listed.into_iter().map(|(_, row)| row).collect();
    for known in known {
        let way = instance(&known, BUILDX_USE);
        if !listed.iter().any(|one| one.name == way.name) {
            let mut builder = as_listed(&way);
            let platforms = known.nodes.iter().flat_map(|node| &node.platforms);
            builder.native = platforms.cloned().collect();
            listed.push(builder);
        }
    }
    Ok(listed)
}

fn as_listed(way: &Way) -> ListedBuilder {
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
        services: Vec::new(),
        because: BTreeMap::new(),
        native: Vec::new(),
        emulated: Vec::new(),
        problem: None,
    }
}
