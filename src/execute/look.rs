//! What the registries hold now: where tags point, and what images say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;

use super::ports::{Registry, RegistryError, RegistryFault};
use crate::cx::Cx;
use crate::oci::{Descriptor, Digest, Manifest, Parsed, Platform, Reference, Repository};
use crate::plan::{INPUTS_LABEL, ImageFacts, VERSION_LABEL};
use crate::printable::one_line;

/// How many references are asked for at the same time.
const AT_ONCE: usize = 32;
/// The largest configuration that is read, in bytes.
const LARGEST_CONFIG: u64 = 4 * 1024 * 1024;
/// The longest label that is taken over, in letters.
const LONGEST_LABEL: usize = 200;

/// Where references point now.
pub type Points = BTreeMap<Reference, Result<Option<Digest>, RegistryError>>;

/// Asks where each of `references` points now, and waits for each as long as `patience`.
pub async fn resolve(
    cx: &Cx,
    registry: &dyn Registry,
    references: BTreeSet<Reference>,
    patience: Duration,
) -> Points {
    let asked = references.into_iter().map(|reference| async move {
        let asked = registry.resolve(cx, &reference);
        let found = match tokio::time::timeout(patience, asked).await {
            Ok(found) => found.map(|found| found.map(|found| found.digest)),
            Err(_) => Err(RegistryError {
                doing: format!("read {reference}"),
                host: reference.repository().domain().to_owned(),
                fault: RegistryFault::TimedOut { after: patience },
            }),
        };
        (reference, found)
    });
    stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// What images say of themselves; `None` of what is no image.
pub type Facts = BTreeMap<Digest, Result<Option<ImageFacts>, RegistryError>>;

/// Asks what images say of themselves.
pub async fn facts(
    cx: &Cx,
    registry: &dyn Registry,
    images: BTreeMap<Digest, Repository>,
) -> Facts {
    let asked = images.into_iter().map(|(digest, repository)| async move {
        let found = read(cx, registry, &repository, &digest).await;
        (digest, found)
    });
    stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// The parts of an image's configuration that are looked at (OCI image spec, config.md).
#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
    #[serde(default, rename = "config")]
    execution: Execution,
}

#[derive(Default, Deserialize)]
struct Execution {
    #[serde(default, rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

/// Reads one image; `None` where it is none.
async fn read(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<ImageFacts>, RegistryError> {
    let Some((raw, parsed)) = manifest(cx, registry, repository, digest).await? else {
        return Ok(None);
    };
    let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
    sizes.insert(raw.digest.clone(), raw.size);
    let mut facts = ImageFacts::default();
    let mut config = None;
    match parsed {
        Parsed::Manifest(manifest) => {
            count(&manifest, &mut sizes);
            config = Some(manifest.config);
        }
        Parsed::Index(index) => {
            let children = index.manifests.iter().map(|child| async move {
                let found = manifest_of(cx, registry, repository, &child.digest).await;
                (child, found)
            });
            let children: Vec<_> = stream::iter(children).buffered(8).collect().await;
            for (child, found) in children {
                sizes.insert(child.digest.clone(), child.size);
                let Some(found) = found? else { return Ok(None) };
                count(&found, &mut sizes);
                if child.is_attestation() {
                    facts.attested = true;
                } else {
                    facts.platforms.extend(child.platform.clone());
                    config.get_or_insert(found.config);
                }
            }
        }
    }
    facts.size = sizes.values().sum();
    let Some(config) = config else {
        return Ok(None);
    };
    let blob = registry
        .blob(cx, repository, &config, LARGEST_CONFIG)
        .await?;
    let Ok(config) = serde_json::from_slice::<Config>(&blob) else {
        return Ok(None);
    };
    if facts.platforms.is_empty() && !config.architecture.is_empty() {
        facts.platforms = vec![Platform::from_parts(
            &config.os,
            &config.architecture,
            &config.variant,
            "",
        )];
    }
    let labels = config.execution.labels.unwrap_or_default();
    let label = |name: &str| {
        let value = labels.get(&format!("org.opencontainers.image.{name}"))?;
        Some(one_line(value, LONGEST_LABEL))
    };
    facts.inputs = labels.get(INPUTS_LABEL).and_then(|it| it.parse().ok());
    facts.revision = label("revision");
    facts.version = label("version");
    facts.published_as = labels
        .get(VERSION_LABEL)
        .map(|value| one_line(value, LONGEST_LABEL));
    facts.created = label("created");
    Ok(Some(facts))
}

async fn manifest(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<(Descriptor, Parsed)>, RegistryError> {
    let reference = repository.with_digest(digest.clone());
    let Some(raw) = registry.manifest(cx, &reference).await? else {
        return Ok(None);
    };
    // What is no image says nothing.
    Ok(raw.parse().ok().map(|parsed| (raw.descriptor(), parsed)))
}

async fn manifest_of(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<Manifest>, RegistryError> {
    Ok(match manifest(cx, registry, repository, digest).await? {
        Some((_, Parsed::Manifest(manifest))) => Some(*manifest),
        _ => None,
    })
}

fn count(manifest: &Manifest, sizes: &mut BTreeMap<Digest, u64>) {
    for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
        sizes.insert(part.digest.clone(), part.size);
    }
}
