//! The builders of a plan, made; and those that could be taken, looked up when one is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Given;
use super::builders::{Way, Ways, dial_stdio, found, own_platform, way};
use super::read::Read;
use crate::buildkit::{self, BuildKit};
use crate::dial::Program;
use crate::docker::{self, Docker, Nodes};
use crate::engine::DockerEngine;
use crate::error::Error;
use crate::execute::ports::{BuildCache, Builder, Credentials, NoBuilder, Other, Others, Registry};
use crate::execute::{Auto, Builders, EngineBuilder, Farm, Node, Pool};
use crate::facts::Environment;
use crate::ledger::Ledger;
use crate::oci::Platform;
use crate::plan::{self, Contender, Goal, Knowledge, Purpose, Target};

/// How long buildx may take to say which of its builders run. It gives each of them 20 s itself.
const LIST_LIMIT: Duration = Duration::from_secs(25);
/// How much it may say, in bytes.
const LONGEST_LIST: u64 = 4 * 1024 * 1024;

/// What the builders of a plan are made with.
pub(super) struct Parts<'a> {
    pub(super) given: &'a Given<'a>,
    pub(super) read: &'a Read,
    /// What is built.
    pub(super) targets: &'a [Target],
    /// Where results go.
    pub(super) goal: Goal,
    pub(super) credentials: Arc<dyn Credentials>,
    pub(super) secrets: buildkit::Environment,
    pub(super) registry: Arc<dyn Registry>,
    /// Where what is on its way out of an Engine is kept.
    pub(super) ledger: Ledger,
}

impl Parts<'_> {
    /// What builds each target. Targets of one builder share it, and so its connection.
    pub(super) fn builders(&self) -> Result<Builders, Error> {
        let maker = Arc::new(self.maker());
        let mut known: Vec<(Way, Arc<dyn Builder>)> = Vec::new();
        let mut builder = |way: Way| -> Result<Arc<dyn Builder>, Error> {
            let same = known.iter().find(|(other, _)| other.address == way.address);
            if let Some((_, builder)) = same {
                return Ok(Arc::clone(builder));
            }
            let made = maker.builder(&way)?;
            known.push((way, Arc::clone(&made)));
            Ok(made)
        };
        let ways = Ways::new(self.given, self.read)?;
        let general = builder(way(self.given, &self.read.settings.general)?)?;
        let mut services = BTreeMap::new();
        let mut free: Option<(Other, Vec<&Target>)> = None;
        for target in self.targets {
            let way = ways.of(&target.service)?;
            // What is loaded into the Engine is best built there.
            let is_free = !way.is_named && self.read.purpose != Purpose::Load;
            let contender = contender(&way, true);
            let made = builder(way)?;
            if is_free {
                let first = || Other {
                    contender,
                    builder: Arc::clone(&made),
                };
                free.get_or_insert_with(|| (first(), Vec::new()))
                    .1
                    .push(target);
            }
            services.insert(target.service.clone(), made);
        }
        // All that are free have the same first builder: the one that docker itself would use.
        if let Some((first, targets)) = free {
            let store = Store {
                docker: Docker::new(&self.given.environment),
                maker: Arc::clone(&maker),
            };
            let pool = Arc::new(Pool::new(first, Box::new(store)));
            for mut ask in plan::asks(&targets) {
                let asking = ask.services.first().map_or("", String::as_str);
                ask.goal = self.goal;
                ask.own = own_platform(self.given, self.read.settings.service(asking));
                let names = ask.services.clone();
                let auto: Arc<dyn Builder> = Arc::new(Auto::new(ask, Arc::clone(&pool)));
                services.extend(names.into_iter().map(|name| (name, Arc::clone(&auto))));
            }
        }
        Ok(Builders { general, services })
    }

    fn maker(&self) -> Maker {
        let mut platforms: Vec<Platform> = Vec::new();
        let targets = self.targets.iter();
        for platform in targets.flat_map(|target| &target.platforms) {
            if !platforms.contains(platform) {
                platforms.push(platform.clone());
            }
        }
        Maker {
            environment: self.given.environment.clone(),
            purpose: self.read.purpose,
            credentials: Arc::clone(&self.credentials),
            secrets: Arc::clone(&self.secrets),
            registry: Arc::clone(&self.registry),
            ledger: self.ledger.clone(),
            platforms,
        }
    }

    /// The ways to all caches of the builder that builds where nothing else is said. Several of them
    /// may lead to one: which nodes a builder has shows when they answer.
    pub(super) fn caches(&self) -> Result<Caches, Error> {
        let way = way(self.given, &self.read.settings.general)?;
        let maker = self.maker();
        let mut ways = vec![way.address.clone()];
        if way.nodes.len() > 1 {
            // Who made the builder said what each node is for; else each has a platform of its own.
            let mut platforms: Vec<Platform> = way
                .nodes
                .iter()
                .flat_map(|node| node.platforms.clone())
                .chain(["amd64", "arm64"].map(|own| Platform::from_parts("linux", own, "", "")))
                .collect();
            platforms.sort();
            platforms.dedup();
            ways.extend(platforms.iter().map(|own| dial_stdio(&way.name, Some(own))));
        }
        let caches = ways.into_iter().map(|address| {
            let cache: Arc<dyn BuildCache> = Arc::new(maker.buildkit(&way.name, address)?);
            Ok(cache)
        });
        Ok(Caches {
            nodes: way.nodes.len().max(1),
            ways: caches.collect::<Result<_, Error>>()?,
        })
    }
}

/// The build cache of a builder, in all of its nodes.
pub(super) struct Caches {
    /// How many there are.
    pub(super) nodes: usize,
    /// Ways to them.
    pub(super) ways: Vec<Arc<dyn BuildCache>>,
}

/// Makes builders, now or later.
struct Maker {
    environment: Environment,
    purpose: Purpose,
    credentials: Arc<dyn Credentials>,
    secrets: buildkit::Environment,
    registry: Arc<dyn Registry>,
    ledger: Ledger,
    /// Everything that is built for.
    platforms: Vec<Platform>,
}

impl Maker {
    fn builder(&self, way: &Way) -> Result<Arc<dyn Builder>, Error> {
        let any: Arc<dyn Builder> = Arc::new(self.buildkit(&way.name, way.address.clone())?);
        if let buildkit::Address::Engine(address) = &way.address {
            let engine = Arc::new(DockerEngine::at(address.clone())?);
            let registry = Arc::clone(&self.registry);
            let builder = EngineBuilder::new(any, engine, registry, self.ledger.clone());
            return Ok(Arc::new(builder));
        }
        if way.nodes.len() < 2 {
            return Ok(any);
        }
        let mut nodes = Vec::new();
        for platform in &self.platforms {
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
        let made = made.with_proxies(Docker::new(&self.environment).proxies()?);
        if is_engine {
            return Ok(made);
        }
        match super::adapters::engine_of(&self.environment) {
            Ok(engine) => Ok(made.loading_into(Arc::new(engine))),
            Err(error) if self.purpose == Purpose::Load => Err(error),
            // Who only pushes needs no Engine.
            Err(_) => Ok(made),
        }
    }
}

/// What is known of a builder that nobody asked.
fn contender(way: &Way, is_running: bool) -> Contender {
    let platforms = way.nodes.iter().flat_map(|node| node.platforms.clone());
    Contender {
        name: way.name.clone(),
        is_engine: matches!(way.address, buildkit::Address::Engine(_)),
        is_running,
        known: Knowledge::Declared(platforms.collect()),
    }
}

/// The builders in buildx's store.
struct Store {
    docker: Docker,
    maker: Arc<Maker>,
}

#[async_trait]
impl Others for Store {
    async fn find(&self) -> Vec<Other> {
        let docker = self.docker.clone();
        let listed = tokio::task::spawn_blocking(move || docker.builders()).await;
        let instances = match listed {
            Ok(Ok(instances)) if instances.is_empty() => return Vec::new(),
            Ok(Ok(instances)) => instances,
            Ok(Err(error)) => return vec![silent("the store of buildx", &error.to_string())],
            Err(error) => return vec![silent("the store of buildx", &error.to_string())],
        };
        let states = self.states().await;
        let others = instances.into_iter().map(|instance| {
            let (name, driver) = (instance.name.clone(), instance.driver.clone());
            let way = match self.docker.resolve(instance, "the store of buildx") {
                Ok(resolved) => found(resolved, "the store of buildx"),
                Err(error) => return silent(&name, &error.to_string()),
            };
            let is_running = match states.get(&name) {
                Some(Nodes::Failing(why)) => return silent(&name, why),
                Some(Nodes::Running) => true,
                Some(Nodes::Asleep) => false,
                // What nobody here started is there, or it is not.
                None => matches!(driver.as_str(), "remote" | "cloud" | "docker"),
            };
            match self.maker.builder(&way) {
                Ok(builder) => Other {
                    contender: Contender {
                        name,
                        ..contender(&way, is_running)
                    },
                    builder,
                },
                Err(error) => silent(&name, &error.to_string()),
            }
        });
        others.collect()
    }
}

impl Store {
    /// What buildx says of its builders, which it asks without starting them; nothing where it is not
    /// there.
    async fn states(&self) -> BTreeMap<String, Nodes> {
        let words = ["buildx", "ls", "--format", "json"];
        let program = Program {
            name: "docker".to_owned(),
            arguments: words.map(str::to_owned).to_vec(),
            folder: None,
            shown: "docker buildx ls".to_owned(),
        };
        let said = program.output(LONGEST_LIST, LIST_LIMIT).await;
        docker::states(&said.unwrap_or_default())
    }
}

/// A builder that cannot even be asked.
fn silent(name: &str, why: &str) -> Other {
    Other {
        contender: Contender {
            name: name.to_owned(),
            is_engine: false,
            is_running: false,
            known: Knowledge::Silent(why.to_owned()),
        },
        builder: Arc::new(NoBuilder),
    }
}
