use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::layout::ImageLayout;
pub use crate::config::{AnnotationLevel, Compression, CompressionKind};
use crate::oci::{Digest, Platform, Reference};
use crate::printable::{without_login, without_url_secrets};
use crate::secret::{hide_assigned, is_secret_name};

/// Everything that decides what a build makes, in the terms of BuildKit's Dockerfile frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildSpec {
    /// Where the files come from.
    pub context: BuildContext,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The stage to build, the last one where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "without_secrets"
    )]
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
    /// Annotations, by the part of the image that they are written on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<AnnotationLevel, BTreeMap<String, String>>,
    /// Platforms to build for; the builder's own where empty.
    #[serde(skip)]
    pub platforms: Vec<Platform>,
    /// Named contexts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// Secrets that the build may mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretMount>,
    /// SSH agents that the build may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<SshMount>,
    /// Extra hosts, as `name=address`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<String>,
    /// The network of `RUN` steps: `default`, `none` or `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The size of `/dev/shm` in `RUN` steps, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// Resource limits of `RUN` steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// The parent cgroup of `RUN` steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
    /// What the build may do beyond a sandbox: `network.host`, `security.insecure`, `device`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<String>,
    /// Whether nothing is taken from the cache.
    pub no_cache: bool,
    /// Stages for which nothing is taken from the cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_cache_filter: Vec<String>,
    /// Whether base images are looked up anew even where the builder has them.
    pub pull: bool,
    /// Whether a remark of BuildKit's checks about the Dockerfile is an error.
    #[serde(skip)]
    pub strict: bool,
    /// How the image is written.
    #[serde(skip_serializing_if = "ImageOptions::is_usual")]
    pub image: ImageOptions,
    /// The provenance attestation.
    pub provenance: Provenance,
    /// What it is told besides, such as `builder-id` (BuildKit, "Provenance attestation").
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "without_secrets"
    )]
    pub provenance_attributes: BTreeMap<String, String>,
    /// The image that makes the SBOM attestation, where one is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Reference>,
    /// What that image is told (BuildKit, "SBOM attestation").
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "without_secrets"
    )]
    pub sbom_attributes: BTreeMap<String, String>,
    /// Caches to read, in this order.
    #[serde(skip)]
    pub cache_from: Vec<CacheRef>,
    /// Caches to write.
    #[serde(skip)]
    pub cache_to: Vec<CacheRef>,
    /// The images that the builder takes for those that the Dockerfile names, so that what is built from
    /// is what was looked at.
    #[serde(skip)]
    pub pins: BTreeMap<Reference, Digest>,
    /// How long a build that has nothing else to do waits for a cache that gives no sign.
    #[serde(skip)]
    pub cache_timeout: Duration,
}

/// What stands for the machine that a builder runs on, among addresses of `extra_hosts` (buildx,
/// build/utils.go, `mobyHostGatewayName`).
pub const HOST_GATEWAY: &str = "host-gateway";

impl BuildSpec {
    /// Whether a host of the build is the machine that the builder runs on.
    pub fn names_host_gateway(&self) -> bool {
        let mut hosts = self.extra_hosts.iter();
        hosts.any(|host| matches!(host.split_once('='), Some((_, HOST_GATEWAY))))
    }

    /// The services whose results this build takes in, each once.
    pub fn builds_on(&self) -> BTreeSet<&str> {
        let contexts = self.named_contexts.values();
        contexts
            .filter_map(|context| match context {
                NamedContext::Service(service) => Some(service.0.as_str()),
                NamedContext::Local(_) | NamedContext::Remote(_) | NamedContext::Layout(_) => None,
            })
            .collect()
    }

    /// The folders and files of this machine that it reads: context, Dockerfile, named contexts, secrets.
    pub fn paths(&self) -> Vec<&Path> {
        let context = match &self.context {
            BuildContext::Local(path) => Some(path),
            BuildContext::Remote(_) => None,
        };
        let dockerfile = match &self.dockerfile {
            Dockerfile::Local(path) => Some(path),
            Dockerfile::InContext(_) | Dockerfile::Inline(_) => None,
        };
        let named = self
            .named_contexts
            .values()
            .filter_map(|named| match named {
                NamedContext::Local(path) => Some(path),
                NamedContext::Layout(layout) => Some(&layout.path),
                NamedContext::Remote(_) | NamedContext::Service(_) => None,
            });
        let secrets = self
            .secrets
            .iter()
            .filter_map(|secret| match &secret.source {
                SecretSource::File(path) => Some(path),
                SecretSource::Environment(_) => None,
            });
        let all = context.into_iter().chain(dockerfile).chain(named);
        all.chain(secrets).map(PathBuf::as_path).collect()
    }

    /// What is built for some of the platforms: nothing is written on an index, as the index will be
    /// another one.
    #[must_use]
    pub fn part(&self, platforms: &[Platform]) -> Self {
        let mut part = Self {
            platforms: platforms.to_vec(),
            ..self.clone()
        };
        part.annotations
            .retain(|level, _| *level == AnnotationLevel::Manifest);
        part
    }

    /// Whether the image comes with attestations.
    pub fn is_attested(&self) -> bool {
        self.provenance != Provenance::Off || self.sbom.is_some()
    }
}

/// How an image is written (BuildKit, exporter/containerimage/exptypes).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageOptions {
    /// How its layers are compressed, where it is not left to the builder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Whether its media types are Docker's own, and not those of the OCI.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub docker_media_types: bool,
    /// Whether no time within its layers is later than the argument `SOURCE_DATE_EPOCH`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rewrite_timestamp: bool,
}

impl ImageOptions {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the files of a build come from. In JSON the path or address alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum BuildContext {
    /// A folder on this machine.
    Local(PathBuf),
    /// A git or HTTP address that the builder fetches itself.
    Remote(#[serde(serialize_with = "address_without_login")] String),
}

/// The Dockerfile of a build. In JSON its path, or its text where it is written in the compose file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Dockerfile {
    /// A file, absolute; it may lie outside the context.
    Local(PathBuf),
    /// A path within a remote context.
    InContext(String),
    /// Its text, written in the compose file.
    Inline(#[serde(serialize_with = "text_without_secrets")] String),
}

/// A context that a Dockerfile can name in `FROM` and `COPY --from`. In JSON the path or address alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum NamedContext {
    /// A folder on this machine.
    Local(PathBuf),
    /// `docker-image://`, git or HTTP, resolved by the builder.
    Remote(#[serde(serialize_with = "address_without_login")] String),
    /// An image in a folder on this machine.
    Layout(ImageLayout),
    /// The result of another target, by its service: handed on within the builder.
    Service(ServiceContext),
}

/// A service whose result is a context; in JSON `service:NAME`, as compose writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceContext(pub String);

/// Arguments and attributes as they are shown: without the values of those whose names say that they are
/// secrets, and without what is secret in addresses.
fn without_secrets<S: serde::Serializer>(
    args: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(args.iter().map(|(name, value)| {
        // `ghtoken` is the attribute of GitHub's cache that holds one (BuildKit, cache/remotecache/gha).
        let is_secret = is_secret_name(name) || name == "ghtoken";
        let shown = if is_secret && !value.is_empty() {
            "***".to_owned()
        } else {
            without_url_secrets(value)
        };
        (name, shown)
    }))
}

/// An address as it is shown: [`without_login`].
fn address_without_login<S: serde::Serializer>(
    address: &str,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&without_login(address))
}

/// A Dockerfile as it is shown: without what it assigns to names of secrets, and without what is secret in
/// addresses.
fn text_without_secrets<S: serde::Serializer>(
    text: &str,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut shown = String::new();
    for line in text.split_inclusive('\n') {
        shown.push_str(&without_url_secrets(&hide_assigned(line)));
    }
    serializer.serialize_str(&shown)
}

impl Serialize for ServiceContext {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("service:{}", self.0))
    }
}

/// A secret that a build may mount (`RUN --mount=type=secret,id=…`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretMount {
    /// The id by which the Dockerfile asks for it.
    pub id: String,
    /// Where it comes from; it is read when the builder asks for it.
    pub source: SecretSource,
}

/// An SSH agent that a build may use (`RUN --mount=type=ssh,id=…`, git contexts over SSH).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SshMount {
    /// The id by which the build asks for it, `default` where it names none.
    pub id: String,
    /// An agent's socket, or key files; the user's own agent where there is none.
    pub paths: Vec<PathBuf>,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A variable of the environment, by its name.
    Environment(String),
}

/// A resource limit (getrlimit(2)), -1 for unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ulimit {
    /// Its name, for example `nofile`.
    pub name: String,
    /// The soft limit.
    pub soft: i64,
    /// The hard limit.
    pub hard: i64,
}

/// A cache to read or to write, in BuildKit's terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct CacheRef {
    /// `registry`, `inline`, `gha`, `local`, `s3`, `azblob`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its attributes.
    #[serde(flatten, serialize_with = "without_secrets")]
    pub attributes: BTreeMap<String, String>,
}

/// How much the provenance attestation says (BuildKit, "Provenance attestation").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// There is none.
    #[default]
    Off,
    /// Timestamps, frontend, materials.
    Min,
    /// Also the build definition and its sources.
    Max,
}
