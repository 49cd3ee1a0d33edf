use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::tls::Version;
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use url::{Host, Url};

use super::options::{HostSettings, RegistryOptions};
use super::shown::authority;
use crate::execute::ports::RegistryFault;
use crate::whole_file;

/// How many header lines an answer may have, and how many bytes of them over HTTP/2.
const HEADERS: usize = 100;
const HEADER_BYTES: u32 = 64 * 1024;
/// How large a file of certificates may be, in bytes: all that systems trust together are 1 MB at most.
const LARGEST_PEM: u64 = 16 * 1024 * 1024;

/// Which certificates a connection trusts and shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// The system's.
    System,
    /// The system's and the CA of this registry; the client certificate is shown. For the
    /// registry itself.
    Registry(String),
    /// The same CA, without the client certificate. For whom the registry sends us on to: its
    /// token server, where its blobs lie.
    Sibling(String),
}

/// HTTP clients, made when they are first needed: reading the system's certificates takes longer
/// than a request, and a registry on this machine mostly needs none.
#[derive(Debug)]
pub(super) struct Clients {
    user_agent: String,
    connect: Duration,
    made: Mutex<HashMap<Kind, Client>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    /// `None` for plain HTTP.
    trust: Option<Trust>,
    /// On this machine, where no proxy belongs in between.
    loopback: bool,
}

impl Clients {
    pub(super) fn new(options: &RegistryOptions) -> Self {
        Self {
            user_agent: options.user_agent.clone(),
            connect: options.timeouts.connect,
            made: Mutex::default(),
        }
    }

    /// The client to ask `url` with; `settings` are those of the registry named in `trust`.
    pub(super) fn serving(
        &self,
        url: &Url,
        trust: Trust,
        settings: &HostSettings,
    ) -> Result<Client, RegistryFault> {
        let kind = Kind {
            trust: (url.scheme() == "https").then(|| effective(trust, settings)),
            loopback: is_loopback(url),
        };
        if let Ok(made) = self.made.lock()
            && let Some(client) = made.get(&kind)
        {
            return Ok(client.clone());
        }
        let client = self.make(&kind, settings, &authority(url))?;
        if let Ok(mut made) = self.made.lock() {
            return Ok(made.entry(kind).or_insert(client).clone());
        }
        Ok(client)
    }

    fn make(
        &self,
        kind: &Kind,
        settings: &HostSettings,
        host: &str,
    ) -> Result<Client, RegistryFault> {
        let wrong = |message: String| RegistryFault::Tls {
            host: host.to_owned(),
            message,
        };
        // Whoever installed one before keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect)
            .redirect(Policy::none())
            // Trying again is for retry.rs alone, which tells of it.
            .retry(reqwest::retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .http1_max_headers(HEADERS)
            .http2_max_header_list_size(HEADER_BYTES);
        if kind.loopback {
            builder = builder.no_proxy();
        }
        builder = match &kind.trust {
            None => builder.tls_backend_preconfigured(without_roots().map_err(wrong)?),
            Some(trust) => secured(builder, trust, settings).map_err(wrong)?,
        };
        builder.build().map_err(|error| wrong(deepest(&error)))
    }
}

/// Registries without certificates of their own share one client and its connections.
fn effective(trust: Trust, settings: &HostSettings) -> Trust {
    match trust {
        Trust::Registry(host) if settings.client_cert.is_none() => {
            effective(Trust::Sibling(host), settings)
        }
        Trust::Sibling(_) if settings.ca.is_none() => Trust::System,
        other => other,
    }
}

/// A TLS setup for a client that will not use it.
fn without_roots() -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

fn secured(
    builder: ClientBuilder,
    trust: &Trust,
    settings: &HostSettings,
) -> Result<ClientBuilder, String> {
    let mut builder = builder.tls_version_min(Version::TLS_1_2);
    if *trust == Trust::System {
        return Ok(builder);
    }
    if let Some(ca) = &settings.ca {
        let certificates = Certificate::from_pem_bundle(&read(ca)?)
            .map_err(|_| format!("{} holds no PEM certificates", ca.display()))?;
        if certificates.is_empty() {
            return Err(format!("{} holds no certificate", ca.display()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let (Trust::Registry(_), Some(certificate)) = (trust, &settings.client_cert) {
        let mut pem = read(certificate)?;
        if let Some(key) = &settings.client_key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        let identity = Identity::from_pem(&pem)
            .map_err(|_| format!("{} and its key do not fit together", certificate.display()))?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// Reads certificates or a key.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    whole_file::read(path, LARGEST_PEM)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Whether a URL stays on this machine, as docker sees it: `localhost`, 127.0.0.0/8 and `::1`.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            name == "localhost" || name.strip_suffix(".localhost").is_some()
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What went wrong at the bottom of a chain of errors.
pub(super) fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_several_names() {
        for (host, expected) in [
            ("localhost:5000", true),
            ("registry.localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9:1", true),
            ("[::1]:5000", true),
            ("localhost.example", false),
            ("10.0.0.1", false),
            ("[::2]", false),
        ] {
            let url = Url::parse(&format!("http://{host}/v2/")).unwrap();
            assert_eq!(is_loopback(&url), expected, "{host}");
        }
    }

    #[test]
    fn a_client_certificate_is_shown_to_its_registry_alone() {
        let plain = HostSettings::default();
        let ca = HostSettings {
            ca: Some("ca.pem".into()),
            ..HostSettings::default()
        };
        let both = HostSettings {
            client_cert: Some("c.pem".into()),
            ..ca.clone()
        };
        let registry = || Trust::Registry("h".to_owned());
        let sibling = || Trust::Sibling("h".to_owned());
        assert_eq!(effective(registry(), &plain), Trust::System);
        assert_eq!(effective(sibling(), &plain), Trust::System);
        assert_eq!(effective(registry(), &ca), sibling());
        assert_eq!(effective(registry(), &both), registry());
        assert_eq!(effective(sibling(), &both), sibling());
    }
}
