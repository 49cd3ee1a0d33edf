use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Docker, Error, read_json};

/// What is read of docker's `config.json`.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    proxies: BTreeMap<String, Proxies>,
}

/// The proxies for what is built and run by one Engine (docker/cli, `configfile.ProxyConfig`).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl Docker {
    /// The build arguments that tell builds of the proxies to use, in both spellings: those for the Engine
    /// in use, else those of `default` (docker/cli, `ParseProxyConfig`). An image is the same with and
    /// without them, and BuildKit leaves them out of its cache's keys.
    pub fn proxies(&self) -> Result<BTreeMap<String, String>, Error> {
        let mut arguments = BTreeMap::new();
        let Some(folder) = self.folder() else {
            return Ok(arguments);
        };
        let config: Option<ConfigFile> = read_json(&folder.join("config.json"))?;
        let mut known = config.map(|config| config.proxies).unwrap_or_default();
        let host = self.engine().map(|engine| engine.host).unwrap_or_default();
        let Some(proxies) = known.remove(&host).or_else(|| known.remove("default")) else {
            return Ok(arguments);
        };
        for (name, value) in [
            ("HTTP_PROXY", proxies.http_proxy),
            ("HTTPS_PROXY", proxies.https_proxy),
            ("NO_PROXY", proxies.no_proxy),
            ("FTP_PROXY", proxies.ftp_proxy),
            ("ALL_PROXY", proxies.all_proxy),
        ] {
            if !value.is_empty() {
                arguments.insert(name.to_lowercase(), value.clone());
                arguments.insert(name.to_owned(), value);
            }
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Environment;

    #[test]
    fn proxies_are_those_of_the_engine_in_use_else_the_default_ones() {
        let folder = tempfile::tempdir().unwrap();
        let config = r#"{"proxies": {
            "default": {"httpProxy": "http://proxy:3128", "noProxy": "localhost"},
            "tcp://build:2375": {"httpsProxy": "http://other:3128"}
        }}"#;
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let proxies = |host: &str| {
            let path = folder.path().to_str().unwrap();
            let environment =
                Environment::from_iter([("DOCKER_CONFIG", path), ("DOCKER_HOST", host)]);
            let proxies = Docker::new(&environment).proxies().unwrap();
            let shown = proxies
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            shown.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            proxies("unix:///run/docker.sock"),
            "HTTP_PROXY=http://proxy:3128 NO_PROXY=localhost http_proxy=http://proxy:3128 no_proxy=localhost"
        );
        assert_eq!(
            proxies("tcp://build:2375"),
            "HTTPS_PROXY=http://other:3128 https_proxy=http://other:3128"
        );
    }
}
