//! castoff's registry client against the registry of tests/support: what goes over the wire, and
//! what comes of everything that can go wrong there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod access;
mod copies;
mod faults;
mod hostile;
mod lists;
mod manifests;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use castoff::cx::Cx;
use castoff::execute::ports::{Credential, CredentialError, Credentials};
use castoff::oci::{Reference, Repository};
use castoff::registry::{Patience, Registries, RegistryOptions, Timeouts};
use castoff::secret::Secret;
use support::registry::TestRegistry;
use support::{Told, cx};

/// A client that loses its patience within a second or two.
struct Client {
    registries: Registries,
    cx: Cx,
    told: Told,
}

/// Options for tests: the waits are a thousandth of what they are in life.
fn options() -> RegistryOptions {
    RegistryOptions {
        timeouts: Timeouts {
            connect: Duration::from_secs(1),
            request: Duration::from_secs(1),
            stall: Duration::from_millis(500),
            settle: Duration::from_secs(1),
        },
        patience: Patience {
            attempts: 4,
            connects: 3,
            first: Duration::from_millis(1),
            ceiling: Duration::from_millis(10),
            total: Duration::from_secs(5),
        },
        ..RegistryOptions::default()
    }
}

impl Client {
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: RegistryOptions) -> Self {
        Self::of(Registries::new(options))
    }

    fn of(registries: Registries) -> Self {
        let (cx, told) = cx();
        Self {
            registries,
            cx,
            told,
        }
    }

    /// One with this login for every registry.
    fn logged_in(login: Option<Credential>) -> Self {
        Self::of(Registries::with_credentials(
            options(),
            Arc::new(Always(login)),
        ))
    }
}

/// The same login for every registry.
struct Always(Option<Credential>);

#[async_trait]
impl Credentials for Always {
    async fn find(&self, _host: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(self.0.clone())
    }
}

fn me() -> Credential {
    Credential::Password {
        username: "me".to_owned(),
        password: Secret::new("pw"),
    }
}

fn repository(registry: &TestRegistry, path: &str) -> Repository {
    format!("{}/{path}", registry.host()).parse().unwrap()
}

fn tagged(registry: &TestRegistry, path: &str, tag: &str) -> Reference {
    format!("{}/{path}:{tag}", registry.host()).parse().unwrap()
}
