//! Logins to registries, as docker and podman keep them.
//!
//! Knows the configuration files, the credential helpers, and which names mean the same registry.
//! Must not know HTTP, nor the environment: [`CredentialSources`] brings what stands there. Start
//! reading at [`DockerCredentials`].

mod config;
mod helper;
mod host_key;
mod keep;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

pub use self::config::DockerConfig;
use self::helper::Helper;
use self::host_key::HostKey;
pub use self::keep::Kept;
use super::flight::Flight;
use super::options::CredentialSources;
use crate::execute::ports::{Credential, CredentialError, Credentials};
use crate::whole_file;

/// How large a configuration file may be, in bytes.
const FILE: u64 = 4 * 1024 * 1024;
/// What errors call the configuration that came by the environment.
const AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";

/// The logins of docker's configuration, looked up once for each registry and run.
///
/// The first of these that knows one answers: `DOCKER_AUTH_CONFIG`; docker's `config.json`, there
/// the helper for this registry or the one for all, then what is written in the file; podman's
/// files in the same way; for ghcr.io `GITHUB_TOKEN`.
#[derive(Debug)]
pub struct DockerCredentials {
    sources: CredentialSources,
    found: Mutex<HashMap<HostKey, Arc<Answer>>>,
}

type Answer = Flight<Option<Credential>, CredentialError>;

impl DockerCredentials {
    /// Logins out of `sources`. Nothing is read before somebody asks.
    pub fn new(sources: CredentialSources) -> Self {
        Self {
            sources,
            found: Mutex::default(),
        }
    }

    async fn look_up(&self, host: &HostKey) -> Result<Option<Credential>, CredentialError> {
        if let Some(text) = &self.sources.docker_auth_config
            && !text.expose().trim().is_empty()
        {
            let found = self.look_into(Path::new(AUTH_CONFIG), text.expose().as_bytes(), host);
            if let Some(login) = found.await? {
                return Ok(Some(login));
            }
        }
        let files = self.config_file().into_iter();
        for path in files.chain(self.sources.podman_auth_files.iter().cloned()) {
            if let Some(bytes) = read(&path).await?
                && let Some(login) = self.look_into(&path, &bytes, host).await?
            {
                return Ok(Some(login));
            }
        }
        Ok(self.github(host))
    }

    /// What one configuration says about `host`.
    async fn look_into(
        &self,
        path: &Path,
        bytes: &[u8],
        host: &HostKey,
    ) -> Result<Option<Credential>, CredentialError> {
        let wrong = |message| CredentialError::File {
            path: path.to_owned(),
            message,
        };
        let config = DockerConfig::parse(bytes).map_err(wrong)?;
        if let Some(name) = config.helper(host)
            && let Some(login) = self.helper(name).get(host).await?
        {
            return Ok(Some(login));
        }
        config.login(host).map_err(wrong)
    }

    fn helper<'a>(&'a self, name: &'a str) -> Helper<'a> {
        Helper {
            name,
            path: self.sources.helper_path.as_ref(),
            timeout: self.sources.helper_timeout,
        }
    }

    fn config_file(&self) -> Option<PathBuf> {
        let folder = self.sources.docker_config_dir.as_ref()?;
        Some(folder.join("config.json"))
    }

    /// The token that GitHub gives a workflow. Any name goes with it, but not an empty one.
    fn github(&self, host: &HostKey) -> Option<Credential> {
        let token = self.sources.github_token.as_ref()?;
        if host.host() != "ghcr.io" || token.is_empty() {
            return None;
        }
        let actor = self.sources.github_actor.as_deref();
        Some(Credential::Password {
            username: actor
                .filter(|name| !name.is_empty())
                .unwrap_or("x-access-token")
                .to_owned(),
            password: token.clone(),
        })
    }

    /// The place where the answer for `host` is kept.
    fn answer(&self, host: &HostKey) -> Arc<Answer> {
        let Ok(mut found) = self.found.lock() else {
            return Arc::default();
        };
        Arc::clone(found.entry(host.clone()).or_default())
    }

    /// Forgets what was found for `host`, as it has just changed.
    fn forget(&self, host: &HostKey) {
        if let Ok(mut found) = self.found.lock() {
            found.remove(host);
        }
    }
}

#[async_trait]
impl Credentials for DockerCredentials {
    async fn find(&self, host: &str) -> Result<Option<Credential>, CredentialError> {
        let host = HostKey::new(host);
        self.answer(&host).get(self.look_up(&host)).await
    }
}

/// The bytes of a configuration file, `None` where there is none.
async fn read(path: &Path) -> Result<Option<Vec<u8>>, CredentialError> {
    let wrong = |message: String| CredentialError::File {
        path: path.to_owned(),
        message,
    };
    let place = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || whole_file::read(&place, FILE)).await;
    match reading.map_err(|error| wrong(error.to_string()))? {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(wrong(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
