//! castoff's registry client against real registries: distribution's in several settings, crane's,
//! and nginx with TLS and faults in front. `tests/bed/up` starts them, `tests/bed/env` names them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod differential;
mod faults;
mod logins;
mod quirks;
mod sizes;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use async_trait::async_trait;
use castoff::cx::Cx;
use castoff::execute::ports::{
    Credential, CredentialError, Credentials, Registry as _, WriteTarget,
};
use castoff::oci::{Reference, Repository};
use castoff::registry::{HostSettings, Registries, RegistryOptions};
use castoff::secret::Secret;
use support::images::{Image, Tree};
use support::{Told, cx};
use tempfile::TempDir;

/// A variable of the bed. A test that needs the bed and has none fails.
fn bed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: this test needs the test bed. Run `tests/bed/up`, then `eval \"$(tests/bed/env)\"`"
        )
    })
}

/// The bed's registries that take everything, by the names of their variables.
const OPEN: [&str; 5] = [
    "BED_REGISTRY",
    "BED_REGISTRY_AUTH",
    "BED_REGISTRY_TOKEN",
    "BED_REGISTRY_CRANE",
    "BED_TLS",
];

/// Logins by registry.
struct Logins(BTreeMap<String, Credential>);

#[async_trait]
impl Credentials for Logins {
    async fn find(&self, host: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(self.0.get(host).cloned())
    }
}

fn password(username: &str, password: &str) -> Credential {
    Credential::Password {
        username: username.to_owned(),
        password: Secret::new(password),
    }
}

/// The bed's login for a registry with one.
fn login(host: &str) -> (String, Credential) {
    let (user, secret) = (
        bed(&format!("{host}_USER")),
        bed(&format!("{host}_PASSWORD")),
    );
    (bed(host), password(&user, &secret))
}

struct Client {
    registries: Registries,
    cx: Cx,
    told: Told,
}

/// Options that know the bed's certificates.
fn options() -> RegistryOptions {
    let mut options = RegistryOptions::default();
    let ca = HostSettings {
        ca: Some(PathBuf::from(bed("BED_CA"))),
        ..HostSettings::default()
    };
    let shown = HostSettings {
        client_cert: Some(PathBuf::from(bed("BED_CLIENT_CERT"))),
        client_key: Some(PathBuf::from(bed("BED_CLIENT_KEY"))),
        ..ca.clone()
    };
    options.hosts.insert(bed("BED_TLS"), ca);
    options.hosts.insert(bed("BED_MTLS"), shown);
    options
}

impl Client {
    /// One with the bed's logins and certificates.
    fn new() -> Self {
        let logins = [login("BED_REGISTRY_AUTH"), login("BED_REGISTRY_TOKEN")];
        Self::with(options(), BTreeMap::from(logins))
    }

    fn with(options: RegistryOptions, logins: BTreeMap<String, Credential>) -> Self {
        Self::of(Registries::with_credentials(
            options,
            Arc::new(Logins(logins)),
        ))
    }

    fn of(registries: Registries) -> Self {
        let (cx, told) = cx();
        Self {
            registries,
            cx,
            told,
        }
    }

    async fn push_image(&self, to: &Repository, image: &Image) {
        for blob in &image.blobs {
            let put = self.registries.put_blob(&self.cx, to, blob).await;
            put.unwrap();
        }
        let target = WriteTarget::Digest;
        let put = self
            .registries
            .put_manifest(&self.cx, to, target, &image.manifest);
        put.await.unwrap();
    }

    async fn push(&self, to: &Repository, tag: &str, tree: &Tree) {
        for image in &tree.images {
            self.push_image(to, image).await;
        }
        self.tag(to, tag, tree).await;
    }

    async fn tag(&self, to: &Repository, tag: &str, tree: &Tree) {
        let tag = tag.parse().unwrap();
        let target = WriteTarget::Tag(&tag);
        let put = self
            .registries
            .put_manifest(&self.cx, to, target, &tree.index);
        put.await.unwrap();
    }

    async fn tag_names(&self, repository: &Repository) -> Vec<String> {
        let tags = self.registries.tags(&self.cx, repository).await.unwrap();
        tags.iter().map(ToString::to_string).collect()
    }
}

/// A repository that no other test and no earlier run uses.
fn own(host: &str) -> Repository {
    let name = uuid::Uuid::new_v4().simple();
    format!("{}/client/{name}", bed(host)).parse().unwrap()
}

/// The same repository behind another address of the same registry.
fn behind(host: &str, repository: &Repository) -> Repository {
    let path = repository.path();
    format!("{}/{path}", bed(host)).parse().unwrap()
}

fn tagged(repository: &Repository, tag: &str) -> Reference {
    repository.with_tag(tag.parse().unwrap())
}

/// Other programs with the bed's logins, to compare with.
struct Others(TempDir);

impl Others {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut auths = serde_json::Map::new();
        for host in ["BED_REGISTRY_AUTH", "BED_REGISTRY_TOKEN"] {
            let (user, secret) = (
                bed(&format!("{host}_USER")),
                bed(&format!("{host}_PASSWORD")),
            );
            let entry = serde_json::json!({ "username": user, "password": secret });
            auths.insert(bed(host), entry);
        }
        let config = serde_json::json!({ "auths": auths }).to_string();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        Self(folder)
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("DOCKER_CONFIG", self.0.path())
            .env("SSL_CERT_FILE", bed("BED_CA"))
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// What a program prints.
    fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_run(program, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        output.stdout
    }

    fn crane(&self, arguments: &[&str]) -> String {
        let output = self.run("crane", arguments);
        String::from_utf8(output).unwrap().trim_end().to_owned()
    }
}
