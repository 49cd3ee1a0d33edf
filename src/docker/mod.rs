//! What docker and buildx keep on this machine: which Engine is meant, and which builders there are.
//!
//! Knows docker's `config.json`, its contexts, the variables that docker reads, and the store of
//! buildx. Reads files and opens no connection: what it finds are [`dial::Address`]es. Must not know
//! what is spoken there. Start reading at [`Docker::engine`].
//!
//! [`dial::Address`]: crate::dial::Address

mod builders;
mod contexts;
mod host;
mod proxies;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use builders::{Instance, Node, Nodes, states};
pub use host::{buildkitd, parse};

use crate::dial::{Address, Tls};
use crate::facts::Environment;
use crate::printable::without_url_secrets;
use crate::whole_file;

/// How large a file of docker's or buildx's may be, in bytes.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;
/// The context that is made of variables and defaults, and never in the store.
const DEFAULT_CONTEXT: &str = "default";
/// Where an Engine listens where nothing else is said.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Docker's configuration on this machine.
#[derive(Clone, Debug)]
pub struct Docker {
    environment: Environment,
}

/// An Engine that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The name of its context; `default` where variables and defaults name it.
    pub context: String,
    /// Its address as docker writes it, for example `unix:///var/run/docker.sock`.
    pub host: String,
    /// The same, ready to be opened.
    pub address: Address,
}

/// What a name of a builder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An Engine, which builds with the BuildKit inside it.
    Engine(Engine),
    /// A builder that buildx made.
    Instance(Instance),
}

/// Why docker's configuration does not say where to go.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that is none.
    #[error("{what} is `{host}`: {message}")]
    Host {
        /// Who says so: `DOCKER_HOST`, or a context.
        what: String,
        /// The address.
        host: String,
        /// What is wrong with it.
        message: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A context that docker does not know.
    #[error("there is no docker context `{name}`, which {by} names")]
    NoContext {
        /// The name.
        name: String,
        /// Who names it.
        by: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A context of something else than an Engine.
    #[error("docker context `{name}` does not say where its Engine is")]
    NoEndpoint {
        /// The context.
        name: String,
    },
    /// A builder that buildx does not know.
    #[error("there is no builder `{name}`, which {by} names")]
    NoBuilder {
        /// The name.
        name: String,
        /// Who names it.
        by: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Host { .. } => Some(
                "an Engine is at unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST".to_owned(),
            ),
            Self::Read { .. } | Self::Parse { .. } => None,
            Self::NoContext { name, known, .. } => Some(
                nearest(name, known).unwrap_or_else(|| {
                    "`docker context ls` shows the contexts that there are".to_owned()
                }),
            ),
            Self::NoEndpoint { name } => Some(format!(
                "`docker context update {name} --docker host=ADDRESS` says where it is"
            )),
            Self::NoBuilder { name, known, .. } => Some(nearest(name, known).unwrap_or_else(|| {
                format!(
                    "`castoff check` lists the builders; make this one with `docker buildx create --driver docker-container --name {name}`"
                )
            })),
        }
    }
}

/// The name that was meant, perhaps.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= known.chars().count().max(3) / 3)
        .min()
        .map(|(_, known)| format!("did you mean `{known}`?"))
}

impl Docker {
    /// The configuration that `environment` leads to. Nothing is read yet.
    pub fn new(environment: &Environment) -> Self {
        Self {
            environment: environment.clone(),
        }
    }

    /// The Engine that docker itself would use: `DOCKER_HOST`, else the context that
    /// `DOCKER_CONTEXT` or `config.json` names, else the usual socket (docker/cli,
    /// `resolveContextName`).
    pub fn engine(&self) -> Result<Engine, Error> {
        match self.current_context()? {
            Some((name, by)) => self.context(&name, &by),
            None => self.default_engine(),
        }
    }

    /// Docker's folder: `DOCKER_CONFIG`, else `~/.docker`.
    fn folder(&self) -> Option<PathBuf> {
        let named = self.environment.non_empty("DOCKER_CONFIG");
        named
            .map(PathBuf::from)
            .or_else(|| self.home().map(|home| home.join(".docker")))
    }

    fn home(&self) -> Option<PathBuf> {
        let home = self.environment.non_empty("HOME");
        home.or_else(|| self.environment.non_empty("USERPROFILE"))
            .map(PathBuf::from)
    }

    /// The Engine of the default context.
    fn default_engine(&self) -> Result<Engine, Error> {
        let host = self.environment.non_empty("DOCKER_HOST").map(str::trim);
        let (host, address) = match host {
            Some(host) => {
                let address = host::parse(host, self.tls()).map_err(|message| Error::Host {
                    what: "DOCKER_HOST".to_owned(),
                    host: without_url_secrets(host),
                    message,
                })?;
                (host.to_owned(), address)
            }
            None if cfg!(windows) => {
                let pipe = "//./pipe/docker_engine".to_owned();
                (format!("npipe://{pipe}"), Address::Pipe(pipe))
            }
            None => {
                let address = Address::Unix(self.socket());
                (address.to_string(), address)
            }
        };
        Ok(Engine {
            context: DEFAULT_CONTEXT.to_owned(),
            host,
            address,
        })
    }

    /// The usual socket; where there is none, that of a rootless Engine or of Docker Desktop.
    fn socket(&self) -> PathBuf {
        let usual = PathBuf::from(DEFAULT_SOCKET);
        let runtime = self.environment.non_empty("XDG_RUNTIME_DIR");
        let others = [
            runtime.map(|folder| Path::new(folder).join("docker.sock")),
            self.home().map(|home| home.join(".docker/run/docker.sock")),
        ];
        if usual.exists() {
            return usual;
        }
        let other = others.into_iter().flatten().find(|path| path.exists());
        other.unwrap_or(usual)
    }

    /// How TLS is spoken with the Engine of `DOCKER_HOST`, where it is (docker/cli, cli/flags):
    /// `DOCKER_TLS_VERIFY` and `DOCKER_TLS` switch it on, `DOCKER_CERT_PATH` has the files.
    fn tls(&self) -> Option<Tls> {
        let verify = self.environment.non_empty("DOCKER_TLS_VERIFY").is_some();
        if !verify && self.environment.non_empty("DOCKER_TLS").is_none() {
            return None;
        }
        let folder = self.environment.non_empty("DOCKER_CERT_PATH");
        let folder = folder.map(PathBuf::from).or_else(|| self.folder())?;
        // Without a certificate the server may not want one; without a CA nothing can be checked.
        let client = (folder.join("cert.pem"), folder.join("key.pem"));
        let has_client = client.0.exists() || client.1.exists();
        Some(Tls {
            ca: verify.then(|| folder.join("ca.pem")),
            client: has_client.then_some(client),
            server_name: None,
            verify,
        })
    }
}

/// Reads a JSON file; `None` where it is not there.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).map_err(|error| Error::Parse {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

/// Reads a text file; `None` where it is not there.
fn read(path: &Path) -> Result<Option<String>, Error> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let read = whole_file::read(path, LARGEST_FILE);
    match read.and_then(|bytes| String::from_utf8(bytes).map_err(invalid)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The names of what is in a folder, in alphabetical order; none where there is no folder.
fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
