//! What the rest of castoff sees of a compose file: a project, its services, how each is built.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use indexmap::IndexMap;

use super::document::Document;
use crate::excerpt::Excerpt;

/// A compose project after everything is resolved: files merged, variables replaced, paths made
/// absolute, profiles applied.
#[derive(Clone, Debug)]
pub struct Project {
    /// The project's name: lower case letters, digits, `-` and `_`.
    pub name: String,
    /// The project directory, absolute: relative paths of the files are meant from here.
    pub directory: PathBuf,
    /// The compose files in the order they were merged, absolute; `-` is the standard input.
    pub files: Vec<PathBuf>,
    /// The services that the profiles enable, sorted by name.
    pub services: Vec<Service>,
    /// The names of the services that no enabled profile selects, sorted.
    pub disabled: Vec<String>,
    /// The enabled profiles.
    pub profiles: Vec<String>,
    /// The profiles that any service has, sorted.
    pub known_profiles: Vec<String>,
    /// What the variables were replaced from: the environment, then the `.env` files.
    pub environment: BTreeMap<String, String>,
    /// The `x-…` keys at the top of the files.
    pub extensions: BTreeMap<String, Extension>,
    /// Remarks that stop nothing, in the order they came up, each once.
    pub warnings: Vec<Warning>,
    /// The whole resolved document, for printing.
    pub document: Document,
}

impl Project {
    /// The service of this name, if it is enabled.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

/// A remark about the input that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What is odd, in one line.
    pub message: String,
    /// Where, if it stands in a file.
    pub place: Option<Excerpt>,
}

/// One service.
#[derive(Clone, Debug)]
pub struct Service {
    /// The key under `services`.
    pub name: String,
    /// The image reference as written, if any.
    pub image: Option<String>,
    /// The platform the service runs on, as written.
    pub platform: Option<String>,
    /// How the image is built; none for a service that only runs a published image.
    pub build: Option<Build>,
    /// The services that this one waits for, `links`, `volumes_from` and shared namespaces
    /// included.
    pub depends_on: BTreeMap<String, Dependency>,
    /// The profiles that enable the service; none means always.
    pub profiles: Vec<String>,
    /// The labels of the container (those of the image are the build's).
    pub labels: BTreeMap<String, String>,
    /// The `x-…` keys of the service.
    pub extensions: BTreeMap<String, Extension>,
    /// Where things stand in the file, for messages.
    pub places: Places,
    /// What `docker compose config` accepts and no builder can build: to be refused before a build.
    pub mistakes: Vec<Mistake>,
}

/// Something in a service that compose does not look at until it builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub place: Excerpt,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Where the parts of a service stand in the files.
#[derive(Clone, Debug)]
pub struct Places {
    /// The service's own key.
    pub service: Excerpt,
    /// The value of `image`.
    pub image: Option<Excerpt>,
    /// The `build` key.
    pub build: Option<Excerpt>,
    /// The value of `build.context`.
    pub context: Option<Excerpt>,
    /// The value of `build.dockerfile`.
    pub dockerfile: Option<Excerpt>,
    /// The value of `build.target`.
    pub target: Option<Excerpt>,
    /// The value of `build.platforms`.
    pub platforms: Option<Excerpt>,
    /// The value of `build.tags`.
    pub tags: Option<Excerpt>,
}

/// What a service waits for in another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// `service_started`, `service_healthy` or `service_completed_successfully`.
    pub condition: String,
    /// Whether the service restarts with the other one.
    pub restart: bool,
    /// Whether the other service has to be there.
    pub required: bool,
}

/// How an image is built: `build` of the compose specification.
#[derive(Clone, Debug)]
pub struct Build {
    /// Where the files come from.
    pub context: Context,
    /// The Dockerfile's path, from the context; `Dockerfile` if nothing is written.
    pub dockerfile: String,
    /// The text of the Dockerfile, in place of a file.
    pub dockerfile_inline: Option<String>,
    /// Build arguments in the file's order. One without a value takes it from the environment;
    /// one that is not set there is left out.
    pub args: IndexMap<String, String>,
    /// SSH agents and keys for `RUN --mount=type=ssh`.
    pub ssh: Vec<SshKey>,
    /// Where cached layers may be read.
    pub cache_from: Vec<CacheEntry>,
    /// Where cached layers are written.
    pub cache_to: Vec<CacheEntry>,
    /// Named contexts for `FROM name` and `COPY --from=name`.
    pub additional_contexts: IndexMap<String, Context>,
    /// Lines for `/etc/hosts`: a host and its addresses.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// Windows isolation technology.
    pub isolation: Option<String>,
    /// Whether `RUN` steps run with all privileges.
    pub privileged: bool,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Whether to build without any cache.
    pub no_cache: bool,
    /// Stages to build without cache; only `x-bake` has them in compose 2.40.
    pub no_cache_filter: Vec<String>,
    /// Whether base images are always looked up again.
    pub pull: bool,
    /// The network of `RUN` steps: `host`, `none`, or a network's name.
    pub network: Option<String>,
    /// The size of `/dev/shm` in `RUN` steps, in bytes; 0 is the builder's default.
    pub shm_size: u64,
    /// The stage to build.
    pub target: Option<String>,
    /// Secrets for `RUN --mount=type=secret`.
    pub secrets: Vec<BuildSecret>,
    /// References to tag the image with, besides the service's `image`.
    pub tags: Vec<String>,
    /// Limits of `RUN` steps.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// The platforms to build for, as written.
    pub platforms: Vec<String>,
    /// Privileges the build may use: `network.host`, `security.insecure`.
    pub entitlements: Vec<String>,
    /// The `provenance` setting as written: `true`, `false`, `mode=max`, …
    pub provenance: Option<String>,
    /// The `sbom` setting as written: `true`, `false`, `generator=…`.
    pub sbom: Option<String>,
    /// The `x-bake` extension, merged into nothing: what it says wins over the keys above.
    pub bake: Option<Bake>,
    /// The other `x-…` keys of `build`.
    pub extensions: BTreeMap<String, Extension>,
}

/// Where the files of a build come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// A folder, absolute.
    Local(PathBuf),
    /// A git repository or an archive that the builder fetches itself.
    Remote(String),
    /// An image: `docker-image://…`, an OCI layout: `oci-layout://…`, or another scheme of the
    /// builder's own.
    Scheme(String),
    /// The image that another service of the project builds: `service:NAME`.
    Service(String),
}

/// An SSH agent socket or key that the build may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// The name that `--mount=type=ssh,id=` asks for.
    pub id: String,
    /// The key or socket, absolute; none means the agent of the environment.
    pub path: Option<PathBuf>,
}

/// One entry of `cache_from` or `cache_to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// As written.
    pub written: String,
    /// The kind: `registry`, `gha`, `local`, `inline`, `s3`, … A plain reference is `registry`.
    pub kind: String,
    /// The other attributes in their order. A plain reference is `ref`.
    pub attributes: IndexMap<String, String>,
}

/// A secret that a build mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSecret {
    /// The id that `--mount=type=secret,id=` asks for.
    pub id: String,
    /// The name of the secret under the project's `secrets`.
    pub name: String,
    /// Where its value is.
    pub source: SecretSource,
    /// User id, as written.
    pub uid: Option<String>,
    /// Group id, as written.
    pub gid: Option<String>,
    /// File mode.
    pub mode: Option<u32>,
}

/// Where a secret's value is.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, absolute.
    File(PathBuf),
    /// In a variable of the environment or of an env file.
    Environment {
        /// The variable.
        variable: String,
        /// Its value; none if it is not set. Never printed.
        value: Option<String>,
    },
    /// Outside of the project: it cannot be read here.
    External,
}

impl fmt::Debug for SecretSource {
    /// Shows where the secret is, never the secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
            Self::Environment { variable, .. } => formatter
                .debug_struct("Environment")
                .field("variable", variable)
                .finish_non_exhaustive(),
            Self::External => formatter.write_str("External"),
        }
    }
}

/// The limits of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// What a process starts with; -1 is unlimited.
    pub soft: i64,
    /// What it may raise that to; -1 is unlimited.
    pub hard: i64,
}

/// `x-bake` of a build: the keys that `docker buildx bake` reads from compose files.
///
/// Source: <https://docs.docker.com/build/bake/compose-file/#extension-field-with-x-bake>.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bake {
    /// References to tag the image with.
    pub tags: Vec<String>,
    /// Cache sources.
    pub cache_from: Vec<CacheEntry>,
    /// Cache targets.
    pub cache_to: Vec<CacheEntry>,
    /// Secrets, as written (`id=…,src=…`).
    pub secrets: Vec<String>,
    /// SSH agents and keys, as written (`default`, `id=path`).
    pub ssh: Vec<String>,
    /// Platforms.
    pub platforms: Vec<String>,
    /// Outputs, as written.
    pub output: Vec<String>,
    /// Whether base images are looked up again.
    pub pull: Option<bool>,
    /// Whether to build without cache.
    pub no_cache: Option<bool>,
    /// Stages to build without cache.
    pub no_cache_filter: Vec<String>,
    /// Named contexts.
    pub contexts: IndexMap<String, Context>,
    /// Keys that bake does not know, and leaves alone; each with the one that may have been meant.
    pub unknown: Vec<(String, Option<String>)>,
}

/// A value below an `x-…` key, as it stands after interpolation.
pub type Extension = serde_json::Value;
