//! What an Engine with the classic image store can do: it makes images of one platform, which castoff takes
//! out and pushes itself. Whoever chooses or checks builders asks here, and nobody else knows.

use std::collections::BTreeSet;

use super::{CompressionKind, Provenance, Target};

/// What would help, whatever it is that the store cannot do.
pub const CLASSIC_STORE_REMEDY: &str = "switch the Engine to the containerd image store (`\"features\": {\"containerd-snapshotter\": true}` in its daemon.json), or make a builder with `docker buildx create --driver docker-container --name castoff` and name it with `--builder castoff`";

/// What `target` asks for and an Engine with the classic image store cannot do, as words behind
/// "cannot"; nothing where it can build it.
///
/// Its BuildKit has the exporters `moby`, `local` and `tar`, the cache exporter `inline`, and writes one
/// image at a time (moby, builder-next/controller.go, `newGraphDriverController`, and
/// builder-next/exporter/mobyexporter). Manifests are castoff's own, so their media types and
/// annotations can be what they are asked to be, and layers are compressed here.
pub fn beyond_classic_store(target: &Target) -> Vec<String> {
    let build = &target.build;
    let mut beyond = Vec::new();
    if target.platforms.len() > 1 {
        beyond.push("hold an image of several platforms".to_owned());
    }
    if build.provenance != Provenance::Off {
        beyond.push("attest provenance".to_owned());
    }
    if build.sbom.is_some() {
        beyond.push("attest an SBOM".to_owned());
    }
    let compression = build.image.compression.map(|compression| compression.kind);
    match compression {
        None | Some(CompressionKind::Gzip | CompressionKind::Uncompressed) => {}
        Some(CompressionKind::Zstd) => beyond.push("compress with zstd".to_owned()),
        Some(CompressionKind::Estargz) => beyond.push("compress with estargz".to_owned()),
    }
    if build.image.rewrite_timestamp {
        beyond.push("rewrite times within layers".to_owned());
    }
    let caches = target.cache_to.iter().map(|cache| cache.kind.as_str());
    let caches: BTreeSet<&str> = caches.filter(|kind| *kind != "inline").collect();
    for kind in caches {
        beyond.push(format!("write a `{kind}` cache"));
    }
    beyond
}
