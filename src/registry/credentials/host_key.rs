/// The key under which docker keeps the login to its Hub (docker/cli, `registry.IndexServer`).
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The Hub as references name it.
const HUB: &str = "docker.io";

/// A registry as the owner of a login: all names of one registry are one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HostKey(String);

impl HostKey {
    /// The key of a host with its port, as it stands in a reference or a request.
    pub(super) fn new(host: &str) -> Self {
        Self(same_registry(&host.to_ascii_lowercase()).to_owned())
    }

    /// The host with its port, `docker.io` for the Hub.
    pub(super) fn host(&self) -> &str {
        &self.0
    }

    /// What docker writes and asks its helpers for: the host, or the Hub's old address.
    pub(super) fn docker_key(&self) -> &str {
        if self.0 == HUB { HUB_KEY } else { &self.0 }
    }

    /// Whether a key of a configuration file means this registry. It may carry a scheme and a
    /// path, as old versions of docker wrote it (docker/cli, `ConvertToHostname`).
    pub(super) fn is_named_by(&self, written: &str) -> bool {
        let without_scheme = written
            .split_once("://")
            .map_or(written, |(_, behind)| behind);
        let host = without_scheme.split('/').next().unwrap_or_default();
        same_registry(&host.to_ascii_lowercase()) == self.0
    }
}

fn same_registry(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" => HUB,
        other => other,
    }
}
