//! An image that is up, read back.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use super::World;
use super::make::Image;
use super::ports::RegistryError;
use crate::cx::Cx;
use crate::oci::{Descriptor, Digest, Parsed, RawManifest, Repository};

/// How many manifests of an image are read at the same time.
const AT_ONCE: usize = 8;

/// Reads an image back: what it consists of, and how large it is.
pub(super) async fn inspect(
    cx: &Cx,
    world: &World,
    repository: &Repository,
    digest: &Digest,
) -> Result<Image, RegistryError> {
    let manifest = fetch(cx, world, repository, digest).await?;
    let mut image = Image {
        service: String::new(),
        children: Vec::new(),
        platforms: Vec::new(),
        attested: false,
        size: 0,
        reused: false,
        says_inputs: true,
        is_steady: true,
        seconds: 0.0,
        places: Vec::new(),
        missing: Vec::new(),
        manifest,
    };
    let mut blobs = BTreeSet::new();
    let mut count = |descriptor: &Descriptor| {
        if blobs.insert(descriptor.digest.clone()) {
            image.size += descriptor.size;
        }
    };
    let parsed = parse(&image.manifest, repository)?;
    count(&image.manifest.descriptor());
    let manifests = match parsed {
        Parsed::Manifest(manifest) => vec![*manifest],
        Parsed::Index(index) => {
            index.manifests.iter().for_each(&mut count);
            let read = index.manifests.iter().map(|child| async {
                let raw = fetch(cx, world, repository, &child.digest).await?;
                match parse(&raw, repository)? {
                    Parsed::Manifest(manifest) => Ok(Some(*manifest)),
                    Parsed::Index(_) => Ok(None),
                }
            });
            let read: Vec<Result<_, RegistryError>> =
                stream::iter(read).buffered(AT_ONCE).collect().await;
            image.children = index.manifests;
            let mut manifests = Vec::new();
            for manifest in read {
                manifests.extend(manifest?);
            }
            manifests
        }
    };
    for manifest in &manifests {
        count(&manifest.config);
        manifest.layers.iter().for_each(&mut count);
    }
    image.attested = image.children.iter().any(Descriptor::is_attestation);
    image.platforms = image
        .children
        .iter()
        .filter(|child| !child.is_attestation())
        .filter_map(|child| child.platform.clone())
        .collect();
    Ok(image)
}

async fn fetch(
    cx: &Cx,
    world: &World,
    repository: &Repository,
    digest: &Digest,
) -> Result<RawManifest, RegistryError> {
    let reference = repository.with_digest(digest.clone());
    let found = world.registry.manifest(cx, &reference).await?;
    found.ok_or_else(|| RegistryError::missing(&reference))
}

fn parse(manifest: &RawManifest, repository: &Repository) -> Result<Parsed, RegistryError> {
    manifest.parse().map_err(|error| {
        RegistryError::nonsense(
            &repository.with_digest(manifest.digest().clone()),
            error.to_string(),
        )
    })
}
