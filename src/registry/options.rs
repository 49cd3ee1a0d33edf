use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::retry::Patience;
use crate::secret::Secret;

/// Everything that the registry room is told from outside; it reads no environment itself.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Where logins come from.
    pub credentials: CredentialSources,
    /// What is particular to a registry, by its host and port as in references (`ghcr.io`,
    /// `registry.lan:5000`, `docker.io`).
    pub hosts: BTreeMap<String, HostSettings>,
    /// What castoff calls itself: `castoff/1.0.0`.
    pub user_agent: String,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try again.
    pub patience: Patience,
    /// How many small requests one registry gets at once.
    pub requests: usize,
    /// How many blobs go to one registry at once.
    pub transfers: usize,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            credentials: CredentialSources::default(),
            hosts: BTreeMap::new(),
            user_agent: concat!("castoff/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            patience: Patience::default(),
            requests: 16,
            transfers: 4,
        }
    }
}

/// What is particular to one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Whether it speaks HTTP without TLS. Where nothing is said, a registry on this machine
    /// (`localhost`, 127.0.0.0/8, `[::1]`) is asked which, and every other one speaks TLS.
    pub plain_http: Option<bool>,
    /// A file of PEM certificates that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// A PEM file with the certificate that castoff shows, with its chain.
    pub client_cert: Option<PathBuf>,
    /// A PEM file with the key of `client_cert`.
    pub client_key: Option<PathBuf>,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For one small request from its start to the last byte of its answer.
    pub request: Duration,
    /// For a transfer to move at all: one that has not moved 16 KiB within this time is dead.
    pub stall: Duration,
    /// For the answer to an upload once the last byte is sent: a registry may move the blob to
    /// its place before it answers.
    pub settle: Duration,
}

impl Timeouts {
    /// None longer than `limit`, and none longer than it is by default.
    pub fn within(limit: Duration) -> Self {
        let limit = limit.max(Duration::from_millis(10));
        let all = Self::default();
        Self {
            connect: all.connect.min(limit),
            request: all.request.min(limit),
            stall: all.stall.min(limit),
            settle: all.settle.min(limit),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_mins(1),
            stall: Duration::from_mins(1),
            settle: Duration::from_mins(5),
        }
    }
}

/// Where logins come from, in this order.
#[derive(Clone, Debug)]
pub struct CredentialSources {
    /// The value of `DOCKER_AUTH_CONFIG`: JSON of the form of docker's configuration file.
    pub docker_auth_config: Option<Secret>,
    /// The folder of docker's `config.json`: `DOCKER_CONFIG`, or `.docker` in the home folder.
    pub docker_config_dir: Option<PathBuf>,
    /// podman's files, of the same form: `REGISTRY_AUTH_FILE`, or
    /// `$XDG_RUNTIME_DIR/containers/auth.json` and `~/.config/containers/auth.json`.
    pub podman_auth_files: Vec<PathBuf>,
    /// `GITHUB_TOKEN`: a login to ghcr.io where nothing else is.
    pub github_token: Option<Secret>,
    /// `GITHUB_ACTOR`: the name that goes with it.
    pub github_actor: Option<String>,
    /// The value of `PATH` by which credential helpers are found; the process's own if `None`.
    pub helper_path: Option<OsString>,
    /// How long a credential helper may take.
    pub helper_timeout: Duration,
}

impl Default for CredentialSources {
    fn default() -> Self {
        Self {
            docker_auth_config: None,
            docker_config_dir: None,
            podman_auth_files: Vec::new(),
            github_token: None,
            github_actor: None,
            helper_path: None,
            helper_timeout: Duration::from_mins(1),
        }
    }
}
