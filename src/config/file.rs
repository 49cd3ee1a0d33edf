use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns;
use crate::oci::{HumanDuration, Reference};

/// publish.toml as it is written: everything is optional, nothing has a meaning yet.
///
/// The JSON Schema of the file is derived from these types, and so are the known keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    title = "publish.toml",
    description = "How castoff publishes a compose project."
)]
pub struct File {
    /// The compose project. Everything is optional: compose's own rules apply.
    pub project: Option<ProjectTable>,
    /// Where images go, by a name of your own. Without any, `image` and `build.tags` of the compose
    /// file name what is published.
    #[serde(default)]
    pub registries: IndexMap<String, RegistryTable>,
    /// The tags.
    pub tags: Option<TagsTable>,
    /// Labels of every image. They win over those that castoff computes. Values may hold expressions
    /// such as `{{sha}}`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of every image. There are none unless a level is named or a value given.
    pub annotations: Option<AnnotationsTable>,
    /// How images are built.
    pub build: Option<BuildTable>,
    /// Caches of builds.
    pub cache: Option<CacheTable>,
    /// What is cleaned up.
    pub prune: Option<PruneTable>,
    /// Any of the above, for one service.
    #[serde(default)]
    pub services: IndexMap<String, ServiceTable>,
}

/// `[project]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectTable {
    /// The compose files, in the order in which they are merged.
    #[schemars(inner(regex(pattern = patterns::FILLED)))]
    pub compose: Option<Vec<PathBuf>>,
}

/// `[registries.NAME]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("dependentRequired" = patterns::together("client_cert", "client_key")))]
pub struct RegistryTable {
    /// The repository of a service, with `{{service}}` and `{{project}}` where their names belong:
    /// `ghcr.io/acme/{{project}}/{{service}}`.
    #[schemars(regex(pattern = patterns::FILLED))]
    pub repository: String,
    /// Whether a publish fails when this registry does. `false` is best effort. Default: true.
    pub required: Option<bool>,
    /// Whether the registry is spoken to without TLS. Default: only on this machine.
    pub plain_http: Option<bool>,
    /// A file with the CA certificates (PEM) that the registry's certificate is checked against. It is
    /// castoff's own trust: the builder needs the CA as well, a Docker Engine as
    /// `/etc/docker/certs.d/HOST/ca.crt`.
    pub ca: Option<PathBuf>,
    /// A client certificate (PEM).
    pub client_cert: Option<PathBuf>,
    /// The key of the client certificate (PEM).
    pub client_key: Option<PathBuf>,
}

/// `[tags]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TagsTable {
    /// Rules as docker/metadata-action has them: `type=semver,pattern={{version}}`.
    pub rules: Option<Vec<String>>,
    /// What holds for all rules: `latest=auto`, `prefix=…`, `suffix=…`.
    pub flavor: Option<Vec<String>>,
    /// What is done about a working tree with changes: `allow` (the default), `suffix` ends every tag
    /// with `-dirty`, `refuse` stops.
    pub dirty: Option<DirtyTree>,
    /// Which tags stay where they are once they exist: `true` (the default) those of whole versions, which
    /// only an image of the commit moves that they were released from; a list of patterns such as
    /// `["v*", "prod-?"]` in addition those that match, which nothing moves; `false` none.
    pub immutable: Option<ImmutableValue>,
}

/// Which tags stay where they are once they exist.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ImmutableValue {
    /// Those of whole versions, or none.
    Versions(bool),
    /// Those as well that match one of these patterns: `*` for any letters, `?` for one.
    Matching(#[schemars(inner(regex(pattern = patterns::TAGS)))] Vec<String>),
}

/// What is done about a working tree with changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DirtyTree {
    /// Nothing.
    #[default]
    Allow,
    /// Every tag ends with `-dirty`.
    Suffix,
    /// There is no publish.
    Refuse,
}

/// `[annotations]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnotationsTable {
    /// Where they are written: `manifest`, `index`, `manifest-descriptor`, `index-descriptor`. Default:
    /// `manifest` where there are values, else nowhere.
    pub levels: Option<Vec<AnnotationLevel>>,
    /// Annotations besides those that castoff computes as it does labels. Values may hold expressions.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// Which of an image's parts an annotation is written on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AnnotationLevel {
    /// Each platform's manifest.
    Manifest,
    /// The index.
    Index,
    /// The descriptors of the manifests within the index.
    ManifestDescriptor,
    /// The descriptor of the index, where an index holds it.
    IndexDescriptor,
}

/// Where the date of an image comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CreatedFrom {
    /// The commit: the same commit gives the same image.
    #[default]
    Commit,
    /// The clock.
    Now,
}

/// `[build]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildTable {
    /// The platforms to build for. Default: those of the compose file, else the builder's own.
    #[schemars(inner(regex(pattern = patterns::PLATFORM)))]
    pub platforms: Option<Vec<String>>,
    /// What builds: `auto`, `engine`, the name of a buildx builder, or the address of a buildkitd as
    /// `unix:///path` or `tcp://host:port`.
    #[schemars(regex(pattern = patterns::BUILDER))]
    pub builder: Option<String>,
    /// How TLS is spoken with a buildkitd at a `tcp://` address. Default: not at all.
    pub builder_tls: Option<BuilderTlsTable>,
    /// The provenance attestation. Default: that of the compose file, else off: it holds the time of the
    /// build, so that the same build never gives the same image twice, and makes an index of an image of
    /// one platform, which not everything that runs images takes.
    pub provenance: Option<ProvenanceMode>,
    /// The SBOM attestation: true, or a table that names the image that makes it. Default: that of the
    /// compose file, else false.
    pub sbom: Option<SbomValue>,
    /// Whether base images are looked up anew even where the builder has them. Default: false.
    pub pull: Option<bool>,
    /// Whether nothing is taken from the build cache. Default: false.
    pub no_cache: Option<bool>,
    /// The control group above those of `RUN` steps. Default: the builder's.
    pub cgroup_parent: Option<String>,
    /// Where the date in an image's labels comes from: `commit` (the default), or `now`.
    pub created: Option<CreatedFrom>,
    /// Whether an image whose inputs have not changed is built again: `unchanged` (the default) reuses
    /// it, `never` builds.
    pub reuse: Option<Reuse>,
    /// Whether a remark of BuildKit's checks about a Dockerfile is an error. Default: false.
    pub strict: Option<bool>,
    /// Whether the same commit gives the same image, byte for byte: every time in its layers is at most
    /// that of `SOURCE_DATE_EPOCH`, else of the commit. Default: false.
    pub reproducible: Option<bool>,
    /// How layers are compressed: `gzip`, `zstd`, `estargz`, `uncompressed`, or a table. Default: as the
    /// builder does it.
    pub compression: Option<CompressionValue>,
    /// The media types of the image. Default: oci.
    pub media_types: Option<MediaTypes>,
    /// What builds may do beyond a sandbox where the compose file asks for it: `network.host`,
    /// `security.insecure`, `device`. Default: nothing.
    #[schemars(inner(regex(pattern = patterns::ENTITLEMENT)))]
    pub allow: Option<Vec<String>>,
}

/// Which published images are taken as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reuse {
    /// Those whose inputs have not changed.
    #[default]
    Unchanged,
    /// None: every publish builds.
    Never,
}

/// How layers are compressed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CompressionValue {
    /// At the usual level.
    Kind(CompressionKind),
    /// With a level, or also for layers that exist.
    With(CompressionTable),
}

/// `compression = { kind = "zstd", level = 3 }`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = patterns::levels()))]
pub struct CompressionTable {
    /// The kind.
    pub kind: CompressionKind,
    /// The level: 0 to 9 for gzip and estargz, 0 to 22 for zstd.
    #[schemars(range(max = 22))]
    pub level: Option<u8>,
    /// Whether the layers of base images are compressed anew, too. Default: false.
    pub force: Option<bool>,
}

/// A way to compress layers (BuildKit, util/compression).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CompressionKind {
    /// gzip, which everything reads.
    Gzip,
    /// Zstandard: quicker and smaller, for registries and engines of 2021 and later.
    Zstd,
    /// gzip that can be read file by file.
    Estargz,
    /// Not at all.
    Uncompressed,
}

/// The media types of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MediaTypes {
    /// Those of the OCI image specification.
    #[default]
    Oci,
    /// Docker's own, for registries that know no others.
    Docker,
}

/// `builder_tls = { ca = "ca.pem", cert = "cert.pem", key = "key.pem" }`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("dependentRequired" = patterns::together("cert", "key")))]
pub struct BuilderTlsTable {
    /// A file with the CA certificates (PEM) that the builder's is checked against. Default: the
    /// system's.
    pub ca: Option<PathBuf>,
    /// A client certificate (PEM).
    pub cert: Option<PathBuf>,
    /// The key of the client certificate (PEM).
    pub key: Option<PathBuf>,
    /// The name in the builder's certificate, where it is not that of its address.
    pub server_name: Option<String>,
}

/// How much the provenance attestation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProvenanceMode {
    /// There is none.
    Off,
    /// Timestamps, frontend, materials.
    Min,
    /// Also the build definition and its sources.
    Max,
}

/// The SBOM attestation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SbomValue {
    /// Made by Docker's default generator, or not at all.
    Wanted(bool),
    /// Made by the image named here.
    By(SbomTable),
}

/// What [`SbomValue`] comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SbomChoice {
    /// There is none.
    Off,
    /// The image named here makes it.
    By(Reference),
}

/// `sbom = { generator = "…" }`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SbomTable {
    /// The image that makes the SBOM (BuildKit, "SBOM scanning protocol").
    #[schemars(regex(pattern = patterns::FILLED))]
    pub generator: String,
}

/// `[cache]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheTable {
    /// Where caches are read, in this order; the first one that can be written is written, too, and `inline`
    /// always, as it is a part of the image.
    pub sources: Option<Vec<CacheSource>>,
    /// Whether the cache holds the layers of the result (`min`) or of every stage (`max`, the default).
    pub mode: Option<CacheMode>,
    /// Whether a cache is written: `true` (the default) by every branch, `"default-branch"` by that one
    /// alone, `false` by none. Tags of git and pull requests of forks never write.
    pub write: Option<CacheWrite>,
    /// The reference of a registry cache. Default: the tag `buildcache` beside the image in the first
    /// registry. Other branches than the default one add their names to its tag.
    pub reference: Option<String>,
    /// How long a build that has nothing else to do waits for a cache that gives no sign. It then goes
    /// on without writing it; where it is read the build fails, as BuildKit can do nothing else
    /// meanwhile. Default: `5m`.
    #[schemars(with = "Option<String>", regex(pattern = patterns::DURATION))]
    pub timeout: Option<HumanDuration>,
}

/// Who writes a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum CacheWrite {
    /// Every branch, or nobody.
    Branches(bool),
    /// Some of them.
    Some(CacheWriter),
}

/// Some of those that could write a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheWriter {
    /// The default branch.
    DefaultBranch,
}

/// A kind of cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheSource {
    /// GitHub's cache service, within a workflow.
    Gha,
    /// A reference in a registry.
    Registry,
    /// Within the image itself.
    Inline,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// The layers of the result.
    Min,
    /// The layers of every stage.
    Max,
}

/// `[prune]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneTable {
    /// In the Docker Engine.
    pub local: Option<PruneLocalTable>,
}

/// `[prune.local]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneLocalTable {
    /// Which of this project's images go.
    pub images: Option<PruneImagesTable>,
    /// How much of the builder's cache stays. It is one cache for all projects: BuildKit does not know
    /// which one a record is of.
    pub build_cache: Option<PruneCacheTable>,
    /// Which of this project's stopped containers go.
    pub containers: Option<PruneContainersTable>,
    /// Whether this project's volumes that no container uses go. Default: false.
    pub volumes: Option<bool>,
    /// Whether this is carried out after every publish. Default: false.
    pub after_publish: Option<bool>,
}

/// `images = { unused_for = "720h", keep_last = 3 }`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneImagesTable {
    /// Only images that were made longer ago than this.
    #[schemars(with = "Option<String>", regex(pattern = patterns::DURATION))]
    pub unused_for: Option<HumanDuration>,
    /// How many images of a service stay in any case. Default: 1.
    #[schemars(range(max = u32::MAX))]
    pub keep_last: Option<u32>,
}

/// `build_cache = { keep = "10GB", unused_for = "168h" }`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneCacheTable {
    /// How much stays, as a size in decimal units.
    #[schemars(regex(pattern = patterns::SIZE))]
    pub keep: Option<String>,
    /// Only records that were not used for this long.
    #[schemars(with = "Option<String>", regex(pattern = patterns::DURATION))]
    pub unused_for: Option<HumanDuration>,
}

/// `containers = { stopped_for = "24h" }`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneContainersTable {
    /// Only containers that stopped longer ago than this.
    #[schemars(with = "Option<String>", regex(pattern = patterns::DURATION))]
    pub stopped_for: Option<HumanDuration>,
}

/// `[services.NAME]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceTable {
    /// Whether this service is left out, unless it is named on the command line. Default: false.
    pub skip: Option<bool>,
    /// The registries this service goes to, by their names, at least one. Default: all of them.
    #[schemars(length(min = 1))]
    pub registries: Option<Vec<String>>,
    /// As `build.platforms`.
    #[schemars(inner(regex(pattern = patterns::PLATFORM)))]
    pub platforms: Option<Vec<String>>,
    /// As `build.builder`.
    #[schemars(regex(pattern = patterns::BUILDER))]
    pub builder: Option<String>,
    /// As `build.builder_tls`.
    pub builder_tls: Option<BuilderTlsTable>,
    /// As `build.provenance`.
    pub provenance: Option<ProvenanceMode>,
    /// As `build.sbom`.
    pub sbom: Option<SbomValue>,
    /// As `build.pull`.
    pub pull: Option<bool>,
    /// As `build.no_cache`.
    pub no_cache: Option<bool>,
    /// As `build.cgroup_parent`.
    pub cgroup_parent: Option<String>,
    /// As `build.created`.
    pub created: Option<CreatedFrom>,
    /// As `build.reuse`.
    pub reuse: Option<Reuse>,
    /// As `build.strict`.
    pub strict: Option<bool>,
    /// As `build.reproducible`.
    pub reproducible: Option<bool>,
    /// As `build.compression`.
    pub compression: Option<CompressionValue>,
    /// As `build.media_types`.
    pub media_types: Option<MediaTypes>,
    /// As `build.allow`.
    #[schemars(inner(regex(pattern = patterns::ENTITLEMENT)))]
    pub allow: Option<Vec<String>>,
    /// As `tags`: each key replaces the general one.
    pub tags: Option<TagsTable>,
    /// As `labels`, in addition to them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// As `annotations`: the levels replace the general ones, the values are in addition to them.
    pub annotations: Option<AnnotationsTable>,
    /// As `cache`: each key replaces the general one.
    pub cache: Option<CacheTable>,
}
