use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::{DockerConfig, DockerCredentials, HostKey, read};
use crate::execute::ports::{Credential, CredentialError};

/// Where a login was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the keychain behind a credential helper, for example `docker-credential-pass`.
    Helper(String),
    /// In docker's configuration file, readable by whoever may read the file.
    File(PathBuf),
}

impl DockerCredentials {
    /// Keeps a login as `docker login` does: with the helper for this registry or for all, else
    /// in `config.json`, whose other content and mode stay as they are.
    pub async fn store(&self, host: &str, login: &Credential) -> Result<Kept, CredentialError> {
        let host = HostKey::new(host);
        let (path, mut document, config) = self.open().await?;
        let kept = if let Some(name) = config.helper(&host) {
            self.helper(name).store(&host, login).await?;
            // docker notes that there is a login, and leaves it to the helper.
            set(&mut document, &host, json!({}));
            Kept::Helper(format!("docker-credential-{name}"))
        } else {
            set(&mut document, &host, written(login));
            Kept::File(path.clone())
        };
        save(&path, &document)?;
        self.forget(&host);
        Ok(kept)
    }

    /// Forgets a login as `docker logout` does, in the helper and in the file.
    pub async fn erase(&self, host: &str) -> Result<(), CredentialError> {
        let host = HostKey::new(host);
        let (path, mut document, config) = self.open().await?;
        if let Some(name) = config.helper(&host) {
            self.helper(name).erase(&host).await?;
        }
        if let Some(auths) = document.get_mut("auths").and_then(Value::as_object_mut) {
            let before = auths.len();
            auths.retain(|key, _| key != host.docker_key() && !host.is_named_by(key));
            if auths.len() != before {
                save(&path, &document)?;
            }
        }
        self.forget(&host);
        Ok(())
    }

    /// docker's configuration file, both as it is and as it is understood.
    async fn open(&self) -> Result<(PathBuf, Map<String, Value>, DockerConfig), CredentialError> {
        let path = self.config_file().ok_or_else(|| CredentialError::File {
            path: PathBuf::from("config.json"),
            message: "there is no folder for docker's configuration".to_owned(),
        })?;
        let bytes = read(&path).await?.unwrap_or_default();
        let wrong = |message| CredentialError::File {
            path: path.clone(),
            message,
        };
        let config = DockerConfig::parse(&bytes).map_err(wrong)?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let document = if text.trim_ascii().is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(text).map_err(|_| wrong("not a JSON object".to_owned()))?
        };
        Ok((path, document, config))
    }
}

/// Puts an entry under docker's own key for `host`.
fn set(document: &mut Map<String, Value>, host: &HostKey, entry: Value) {
    let auths = document.entry("auths").or_insert(Value::Null);
    if !auths.is_object() {
        *auths = json!({});
    }
    if let Some(auths) = auths.as_object_mut() {
        auths.insert(host.docker_key().to_owned(), entry);
    }
}

/// A login as docker writes it into the file.
fn written(login: &Credential) -> Value {
    match login {
        Credential::Password { username, password } => {
            json!({ "auth": BASE64_STANDARD.encode(format!("{username}:{}", password.expose())) })
        }
        Credential::IdentityToken(token) => json!({ "identitytoken": token.expose() }),
        Credential::RegistryToken(token) => json!({ "registrytoken": token.expose() }),
    }
}

/// Writes the file as docker does: indented by tabs, into a new file that takes the old one's
/// place and mode, through symbolic links. A new file is for its owner alone.
fn save(path: &Path, document: &Map<String, Value>) -> Result<(), CredentialError> {
    let wrong = |error: std::io::Error| CredentialError::File {
        path: path.to_owned(),
        message: error.to_string(),
    };
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().unwrap_or(Path::new("."));
    create_private_folder(folder).map_err(wrong)?;
    // NamedTempFile is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(wrong)?;
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut file, formatter);
    serde::Serialize::serialize(document, &mut serializer)
        .map_err(std::io::Error::from)
        .map_err(wrong)?;
    if let Ok(old) = std::fs::metadata(&target) {
        file.as_file()
            .set_permissions(old.permissions())
            .map_err(wrong)?;
    }
    file.as_file().sync_all().map_err(wrong)?;
    file.persist(&target).map_err(|error| wrong(error.error))?;
    Ok(())
}

fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
