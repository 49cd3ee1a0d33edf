use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{DEFAULT_CONTEXT, Docker, Engine, Error, Found, host, names_in, read, read_json};
use crate::oci::{Digest, Platform};
use crate::printable::{one_line, without_url_secrets};

/// A builder that buildx made (docker/buildx, store/nodegroup.go).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Its driver: `docker-container`, `kubernetes`, `remote`, `cloud`.
    pub driver: String,
    /// What it consists of, at least one.
    pub nodes: Vec<Node>,
}

/// One BuildKit of a builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where it is, in the words of its driver.
    pub endpoint: String,
    /// The platforms that whoever made it said it is for; it may have others.
    pub platforms: Vec<Platform>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    name: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    nodes: Option<Vec<StoredNode>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StoredNode {
    name: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    platforms: Option<Vec<StoredPlatform>>,
}

#[derive(Deserialize)]
struct StoredPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

/// Which builder is in use (docker/buildx, store/store.go).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Current {
    #[serde(default)]
    key: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    global: bool,
}

impl Docker {
    /// What `name` stands for, which `by` names: a builder of buildx's store, else the Engine of the
    /// docker context of that name.
    pub fn builder(&self, name: &str, by: &str) -> Result<Found, Error> {
        if let Some(instance) = self.instance(name)? {
            return self.resolve(instance, by);
        }
        let contexts = self.contexts()?;
        if name == DEFAULT_CONTEXT || contexts.iter().any(|known| known == name) {
            return self.context(name, by).map(Found::Engine);
        }
        let mut known = self.instance_names()?;
        known.extend(contexts);
        known.push(DEFAULT_CONTEXT.to_owned());
        Err(Error::NoBuilder {
            name: name.to_owned(),
            by: by.to_owned(),
            known,
        })
    }

    /// The builder that `docker buildx use` chose; `None` where that is the Engine in use.
    pub fn current_builder(&self) -> Result<Option<Found>, Error> {
        let Some(folder) = self.buildx_folder() else {
            return Ok(None);
        };
        let Some((name, by)) = self.current_name(&folder)? else {
            return Ok(None);
        };
        // As buildx does, a choice that is gone is none.
        let instance = self.instance(&name)?;
        instance
            .map(|instance| self.resolve(instance, &by))
            .transpose()
    }

    /// All builders in buildx's store, by name.
    pub fn builders(&self) -> Result<Vec<Instance>, Error> {
        let mut instances = Vec::new();
        for name in self.instance_names()? {
            instances.extend(self.instance(&name)?);
        }
        Ok(instances)
    }

    fn current_name(&self, folder: &std::path::Path) -> Result<Option<(String, String)>, Error> {
        let path = folder.join("current");
        let current: Option<Current> = read_json(&path)?;
        let key = match self.current_context()? {
            Some((context, _)) => context,
            None => self.default_engine()?.host,
        };
        if let Some(current) = current
            && !current.name.is_empty()
            && (current.global || current.key == key)
        {
            return Ok(Some((current.name, path.display().to_string())));
        }
        // Each Engine may have a builder that is used with it.
        let id = Digest::of(key.as_bytes());
        let id = id.hex().get(..20).unwrap_or_default();
        let path = folder.join("defaults").join(id);
        Ok(read(&path)?.map(|name| (name, path.display().to_string())))
    }

    /// What a builder of buildx's store is: one of the driver `docker` is an Engine itself. `by` names it.
    pub fn resolve(&self, instance: Instance, by: &str) -> Result<Found, Error> {
        let endpoint = instance.nodes.first().map(|node| node.endpoint.as_str());
        match endpoint {
            Some(endpoint) if instance.driver == "docker" => {
                self.endpoint(endpoint, by).map(Found::Engine)
            }
            _ => Ok(Found::Instance(instance)),
        }
    }

    /// An endpoint as buildx stores it: a context's name or an address.
    fn endpoint(&self, endpoint: &str, by: &str) -> Result<Engine, Error> {
        if !endpoint.contains("://") {
            return self.context(endpoint, by);
        }
        let address = host::parse(endpoint, self.tls()).map_err(|message| Error::Host {
            what: format!("the builder that {by} names"),
            host: without_url_secrets(endpoint),
            message,
        })?;
        Ok(Engine {
            context: DEFAULT_CONTEXT.to_owned(),
            host: endpoint.to_owned(),
            address,
        })
    }

    fn instance(&self, name: &str) -> Result<Option<Instance>, Error> {
        let name = name.to_lowercase();
        let (Some(folder), true) = (self.buildx_folder(), is_name(&name)) else {
            return Ok(None);
        };
        let path = folder.join("instances").join(&name);
        let Some(stored) = read_json::<Stored>(&path)? else {
            return Ok(None);
        };
        let node = |node: StoredNode| Node {
            name: node.name,
            endpoint: node.endpoint,
            platforms: node
                .platforms
                .into_iter()
                .flatten()
                .map(|platform| {
                    let (os, architecture) = (&platform.os, &platform.architecture);
                    Platform::from_parts(os, architecture, &platform.variant, "")
                })
                .collect(),
        };
        let nodes: Vec<Node> = stored.nodes.into_iter().flatten().map(node).collect();
        if nodes.is_empty() {
            return Err(Error::Parse {
                path,
                message: "the builder has no nodes".to_owned(),
            });
        }
        Ok(Some(Instance {
            name: stored.name,
            driver: stored.driver,
            nodes,
        }))
    }

    fn instance_names(&self) -> Result<Vec<String>, Error> {
        let Some(folder) = self.buildx_folder() else {
            return Ok(Vec::new());
        };
        let mut names = names_in(&folder.join("instances"))?;
        names.retain(|name| is_name(name));
        Ok(names)
    }

    /// Buildx's folder: `BUILDX_CONFIG`, else `buildx` beside docker's `config.json`.
    fn buildx_folder(&self) -> Option<PathBuf> {
        let named = self.environment.non_empty("BUILDX_CONFIG");
        named
            .map(PathBuf::from)
            .or_else(|| self.folder().map(|folder| folder.join("buildx")))
    }
}

/// Whether the nodes of a builder run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// All of them do.
    Running,
    /// One of them would have to be started.
    Asleep,
    /// One of them cannot be asked, for this reason.
    Failing(String),
}

/// One line of what `docker buildx ls --format json` prints (docker/buildx, builder/builder.go).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    name: String,
    #[serde(default)]
    nodes: Option<Vec<ListedNode>>,
    #[serde(default)]
    err: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedNode {
    #[serde(default)]
    status: String,
    #[serde(default)]
    err: String,
}

/// How long a reason of buildx's may be.
const LONGEST_REASON: usize = 300;

/// Reads what `docker buildx ls --format json` says of each builder. What is something else, is left out.
pub fn states(text: &[u8]) -> BTreeMap<String, Nodes> {
    let lines = text.split(|byte| *byte == b'\n');
    let listed = lines.filter_map(|line| serde_json::from_slice::<Listed>(line).ok());
    let state = |listed: Listed| {
        let nodes = listed.nodes.unwrap_or_default();
        let reasons = nodes.iter().map(|node| &node.err);
        let mut reasons = std::iter::once(&listed.err).chain(reasons);
        let state = if let Some(reason) = reasons.find(|reason| !reason.is_empty()) {
            Nodes::Failing(one_line(reason, LONGEST_REASON))
        } else if nodes.iter().all(|node| node.status == "running") {
            Nodes::Running
        } else {
            Nodes::Asleep
        };
        (listed.name, state)
    };
    listed.map(state).collect()
}

/// Whether buildx takes it for a name (docker/buildx, store/util.go); so it is no path either.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
}
