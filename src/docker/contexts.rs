use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{DEFAULT_CONTEXT, Docker, Engine, Error, host, names_in, read_json};
use crate::dial::Tls;
use crate::oci::Digest;
use crate::printable::without_url_secrets;

/// What is read of docker's `config.json`.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

/// A context's `meta.json` (docker/cli, cli/context/store).
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Endpoints", default)]
    endpoints: BTreeMap<String, serde_json::Value>,
}

/// Where a context's Engine is.
#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

impl Docker {
    /// The name of the context in use and who names it; `None` for the default one.
    pub(super) fn current_context(&self) -> Result<Option<(String, String)>, Error> {
        if self.environment.non_empty("DOCKER_HOST").is_some() {
            return Ok(None);
        }
        let named = match self.environment.non_empty("DOCKER_CONTEXT") {
            Some(name) => Some((name.to_owned(), "DOCKER_CONTEXT".to_owned())),
            None => match self.folder() {
                None => None,
                Some(folder) => {
                    let path = folder.join("config.json");
                    let config: Option<ConfigFile> = read_json(&path)?;
                    config
                        .map(|config| config.current_context)
                        .filter(|name| !name.is_empty())
                        .map(|name| (name, path.display().to_string()))
                }
            },
        };
        Ok(named.filter(|(name, _)| name != DEFAULT_CONTEXT))
    }

    /// The Engine of the context `name`, which `by` names.
    pub(super) fn context(&self, name: &str, by: &str) -> Result<Engine, Error> {
        if name == DEFAULT_CONTEXT {
            return self.default_engine();
        }
        let unknown = || Error::NoContext {
            name: name.to_owned(),
            by: by.to_owned(),
            known: self.contexts().unwrap_or_default(),
        };
        let folder = self.contexts_folder().ok_or_else(unknown)?;
        let id = Digest::of(name.as_bytes());
        let id = id.hex();
        let path = folder.join("meta").join(id).join("meta.json");
        let meta: Meta = read_json(&path)?.ok_or_else(unknown)?;
        let no_endpoint = || Error::NoEndpoint {
            name: name.to_owned(),
        };
        let endpoint = meta.endpoints.get("docker").ok_or_else(no_endpoint)?;
        let endpoint = Endpoint::deserialize(endpoint).map_err(|error| Error::Parse {
            path,
            message: error.to_string(),
        })?;
        if endpoint.host.is_empty() {
            return Err(no_endpoint());
        }
        let tls = tls(
            &folder.join("tls").join(id).join("docker"),
            endpoint.skip_tls_verify,
        );
        let address = host::parse(&endpoint.host, tls).map_err(|message| Error::Host {
            what: format!("the Engine of docker context `{name}`"),
            host: without_url_secrets(&endpoint.host),
            message,
        })?;
        Ok(Engine {
            context: name.to_owned(),
            host: endpoint.host,
            address,
        })
    }

    /// The names of all contexts in the store.
    pub(super) fn contexts(&self) -> Result<Vec<String>, Error> {
        let Some(folder) = self.contexts_folder() else {
            return Ok(Vec::new());
        };
        let folder = folder.join("meta");
        let mut names = Vec::new();
        for id in names_in(&folder)? {
            let meta: Option<Meta> = read_json(&folder.join(id).join("meta.json"))?;
            names.extend(meta.map(|meta| meta.name));
        }
        names.sort();
        Ok(names)
    }

    fn contexts_folder(&self) -> Option<PathBuf> {
        self.folder().map(|folder| folder.join("contexts"))
    }
}

/// How TLS is spoken with a context's Engine: as far as there are files, or checks are refused.
fn tls(folder: &Path, unchecked: bool) -> Option<Tls> {
    let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    let ca = file("ca.pem");
    let client = file("cert.pem").zip(file("key.pem"));
    let wanted = unchecked || ca.is_some() || client.is_some();
    wanted.then_some(Tls {
        ca,
        client,
        server_name: None,
        verify: !unchecked,
    })
}
