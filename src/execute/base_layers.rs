//! The layers that an image has of those it was built from, by the names that registries have for them.
//! An Engine with the classic store does not tell those names; but the images that a build was pinned to
//! do. With them a base's layers stay what they are: whoever has the base does not get them once more.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ports::{Registry, RegistryError};
use crate::cx::Cx;
use crate::ledger::{Compressed, Layers};
use crate::oci::{Digest, Index, Manifest, Parsed, Platform, Reference, Repository, media_type};

/// The largest configuration that is read, in bytes.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

/// A layer of a base image.
#[derive(Clone, Debug)]
pub(super) struct BaseLayer {
    /// What it is called where the base is.
    pub(super) compressed: Compressed,
    /// Where that is.
    pub(super) from: Repository,
}

/// The parts of a configuration that matter here (OCI image spec, config.md).
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// The layers of the images in `pins` for `platform`, by their digests before they were compressed. What is
/// not known from another run is asked for, and remembered in `known`. An image that cannot be had is left
/// out: its layers are compressed here instead.
pub(super) async fn base_layers(
    cx: &Cx,
    registry: &dyn Registry,
    pins: &BTreeMap<Reference, Digest>,
    platform: &Platform,
    known: &mut Layers,
) -> BTreeMap<Digest, BaseLayer> {
    let mut found = BTreeMap::new();
    for (reference, digest) in pins {
        let repository = reference.repository();
        let image = format!("{digest} {platform}");
        let layers = match known.of(&image) {
            Some(layers) => layers.clone(),
            None => match read(cx, registry, repository, digest, platform).await {
                Ok(layers) => {
                    known.keep(&image, layers.clone());
                    layers
                }
                Err(_) => continue,
            },
        };
        found.extend(layers.into_iter().map(|(layer, compressed)| {
            let from = repository.clone();
            (layer, BaseLayer { compressed, from })
        }));
    }
    found
}

/// Reads what the layers of an image are called; none where they are not compressed as usual.
async fn read(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    digest: &Digest,
    platform: &Platform,
) -> Result<BTreeMap<Digest, Compressed>, RegistryError> {
    let Some(manifest) = manifest(cx, registry, repository, digest, platform).await? else {
        return Ok(BTreeMap::new());
    };
    let config = &manifest.config;
    let config = registry.blob(cx, repository, config, MAX_CONFIG).await?;
    let Ok(config) = serde_json::from_slice::<Config>(&config) else {
        return Ok(BTreeMap::new());
    };
    let diff_ids = config.rootfs.diff_ids;
    let gzip = [
        format!("{}+gzip", media_type::OCI_LAYER),
        format!("{}.gzip", media_type::DOCKER_LAYER),
    ];
    if diff_ids.len() != manifest.layers.len() {
        return Ok(BTreeMap::new());
    }
    let layers = diff_ids.into_iter().zip(manifest.layers);
    let layers = layers.filter(|(_, layer)| gzip.contains(&layer.media_type));
    Ok(layers
        .map(|(diff_id, layer)| {
            let (digest, size) = (layer.digest, layer.size);
            (diff_id, Compressed { digest, size })
        })
        .collect())
}

/// The manifest for `platform`.
async fn manifest(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    digest: &Digest,
    platform: &Platform,
) -> Result<Option<Manifest>, RegistryError> {
    let fetch = async |digest: &Digest| {
        let reference = repository.with_digest(digest.clone());
        let raw = registry.manifest(cx, &reference).await?;
        let raw = raw.ok_or_else(|| RegistryError::missing(&reference))?;
        raw.parse()
            .map_err(|error| RegistryError::nonsense(&reference, error.to_string()))
    };
    let index = match fetch(digest).await? {
        Parsed::Manifest(manifest) => return Ok(Some(*manifest)),
        Parsed::Index(index) => index,
    };
    let Some(child) = of_platform(&index, platform) else {
        return Ok(None);
    };
    match fetch(child).await? {
        Parsed::Manifest(manifest) => Ok(Some(*manifest)),
        Parsed::Index(_) => Ok(None),
    }
}

/// The image in an index that a builder of `platform` takes.
fn of_platform<'a>(index: &'a Index, platform: &Platform) -> Option<&'a Digest> {
    let mut children = index.manifests.iter();
    let child = children.find(|child| {
        let own = child.platform.as_ref().map(Platform::normalized);
        own == Some(platform.normalized())
    })?;
    Some(&child.digest)
}
