use async_trait::async_trait;

use crate::secret::Secret;

/// Where logins to registries come from.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The login for a registry, `None` where there is none and it is asked anonymously.
    ///
    /// `host` is a host with its port as it stands in a reference (`ghcr.io`, `127.0.0.1:5000`);
    /// `docker.io` and `registry-1.docker.io` are the same registry.
    async fn find(&self, host: &str) -> Result<Option<Credential>, CredentialError>;
}

/// A login to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A name and its password or access token.
    Password {
        /// The user's name.
        username: String,
        /// The password or personal access token.
        password: Secret,
    },
    /// An OAuth 2 refresh token, which docker keeps as `identitytoken`; it is exchanged by
    /// `POST` with `grant_type=refresh_token`.
    IdentityToken(Secret),
    /// A token that is sent to the registry as it is (`registrytoken` in docker's file).
    RegistryToken(Secret),
}

/// Why a login could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CredentialError {
    /// A credential helper is named in docker's configuration and could not give an answer.
    #[error("credential helper `{helper}` failed for {host}: {message}")]
    Helper {
        /// The program's name, for example `docker-credential-pass`.
        helper: String,
        /// The registry asked about.
        host: String,
        /// What it said, without anything that could be a secret.
        message: String,
    },
    /// Docker's configuration file cannot be read.
    #[error("cannot read the logins in {path}: {message}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl CredentialError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Helper { helper, host, .. } => {
                format!("run `{helper} get` by hand, or log in again with `docker login {host}`")
            }
            Self::File { path, .. } => {
                format!(
                    "repair {}, or point DOCKER_CONFIG at another folder",
                    path.display()
                )
            }
        }
    }
}
