//! What an Engine with the classic image store can do: it makes images of one platform, which castoff takes
//! out and pushes itself. Whoever chooses or checks builders asks here, and nobody else knows.

use std::fmt;

use super::{CompressionKind, Provenance, Target};

/// What would help, whatever it is that the store cannot do.
pub const CLASSIC_STORE_REMEDY: &str = "switch the Engine to the containerd image store (`\"features\": {\"containerd-snapshotter\": true}` in its daemon.json), or make a builder with `docker buildx create --driver docker-container --name castoff` and name it with `--builder castoff`";

/// Something that an Engine with the classic image store cannot do. Displayed it is behind "cannot".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BeyondClassicStore {
    /// One image of several platforms.
    Platforms,
    /// A provenance attestation.
    Provenance,
    /// An SBOM attestation.
    Sbom,
    /// Layers that are compressed like this.
    Compression(&'static str),
    /// Times within layers that are the build's.
    Timestamps,
    /// A cache of this kind that is written.
    Cache(String),
}

impl BeyondClassicStore {
    /// Whether it is about an image, and of no concern to a build that gives mere files.
    pub fn is_of_images(&self) -> bool {
        !matches!(self, Self::Platforms | Self::Cache(_))
    }
}

impl fmt::Display for BeyondClassicStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platforms => f.write_str("hold an image of several platforms"),
            Self::Provenance => f.write_str("attest provenance"),
            Self::Sbom => f.write_str("attest an SBOM"),
            Self::Compression(kind) => write!(f, "compress with {kind}"),
            Self::Timestamps => f.write_str("rewrite times within layers"),
            Self::Cache(kind) => write!(f, "write a `{kind}` cache"),
        }
    }
}

/// What `target` asks for and an Engine with the classic image store cannot do; nothing where it can
/// build it.
///
/// Its BuildKit has the exporters `moby`, `local` and `tar`, the cache exporter `inline`, and writes one
/// image at a time (moby, builder-next/controller.go, `newGraphDriverController`, and
/// builder-next/exporter/mobyexporter). Manifests are castoff's own, so their media types and
/// annotations can be what they are asked to be, and layers are compressed here.
pub fn beyond_classic_store(target: &Target) -> Vec<BeyondClassicStore> {
    let build = &target.build;
    let mut beyond = Vec::new();
    if target.platforms.len() > 1 {
        beyond.push(BeyondClassicStore::Platforms);
    }
    if build.provenance != Provenance::Off {
        beyond.push(BeyondClassicStore::Provenance);
    }
    if build.sbom.is_some() {
        beyond.push(BeyondClassicStore::Sbom);
    }
    let compression = build.image.compression.map(|compression| compression.kind);
    match compression {
        None | Some(CompressionKind::Gzip | CompressionKind::Uncompressed) => {}
        Some(CompressionKind::Zstd) => beyond.push(BeyondClassicStore::Compression("zstd")),
        Some(CompressionKind::Estargz) => beyond.push(BeyondClassicStore::Compression("estargz")),
    }
    if build.image.rewrite_timestamp {
        beyond.push(BeyondClassicStore::Timestamps);
    }
    let caches = target.cache_to.iter().map(|cache| cache.kind.clone());
    let caches = caches.filter(|kind| kind != "inline");
    beyond.extend(caches.map(BeyondClassicStore::Cache));
    beyond.sort();
    beyond.dedup();
    beyond
}
