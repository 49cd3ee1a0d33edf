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
/// How many images of one index are read for what they do in builds.
const MOST_IMAGES: usize = 32;
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

/// What BuildKit's Dockerfile frontend writes beside every step (BuildKit, dockerfile2llb, `historyComment`).
const OF_BUILDKIT: &str = "buildkit.dockerfile.v0";

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
    #[serde(default)]
    history: Option<Vec<Step>>,
}

#[derive(Default, Deserialize)]
struct Step {
    #[serde(default)]
    comment: String,
}

impl Config {
    /// What the image was built from, where it says so itself. A label alone is no such statement: an image
    /// `FROM` one of ours has it too. The annotation beside it is on manifests that castoff had built and no
    /// others: BuildKit gives on no annotation. Tools that take a manifest's annotations over (buildah, crane)
    /// write a last step that is none of BuildKit's.
    fn inputs(&self, manifests: &[Manifest]) -> Option<Digest> {
        let labels = self.execution.labels.as_ref()?;
        let label = labels.get(INPUTS_LABEL)?;
        let mut said = manifests.iter().map(|it| it.annotations.get(INPUTS_LABEL));
        let is_said = !manifests.is_empty() && said.all(|said| said == Some(label));
        let steps = self.history.as_deref().unwrap_or_default();
        let is_own = |step: &Step| step.comment == OF_BUILDKIT;
        let is_last = steps.last().is_none_or(is_own) || !steps.iter().any(is_own);
        label.parse().ok().filter(|_| is_said && is_last)
    }
}

#[derive(Default, Deserialize)]
struct Execution {
    #[serde(default, rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "OnBuild")]
    triggers: Option<Vec<String>>,
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
    let mut manifests = Vec::new();
    match parsed {
        Parsed::Manifest(manifest) => {
            count(&manifest, &mut sizes);
            manifests.push(*manifest);
        }
        Parsed::Index(index) => {
            let digests = index.manifests.iter().map(|child| child.digest.clone());
            facts.children = digests.collect();
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
                    manifests.push(found);
                }
            }
        }
    }
    facts.size = sizes.values().sum();
    let Some(first) = manifests.first() else {
        return Ok(None);
    };
    let blob = registry.blob(cx, repository, &first.config, LARGEST_CONFIG);
    let blob = blob.await?;
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
    facts.inputs = config.inputs(&manifests);
    let labels = config.execution.labels.unwrap_or_default();
    let label = |name: &str| {
        let value = labels.get(&format!("org.opencontainers.image.{name}"))?;
        Some(one_line(value, LONGEST_LABEL))
    };
    facts.revision = label("revision");
    facts.version = label("version");
    facts.published_as = labels
        .get(VERSION_LABEL)
        .map(|value| one_line(value, LONGEST_LABEL));
    facts.created = label("created");
    Ok(Some(facts))
}

/// Asks what images have builds do that begin with them (`ONBUILD`), on any of these platforms. Those that
/// cannot be read within `patience` are left out.
pub async fn triggers(
    cx: &Cx,
    registry: &dyn Registry,
    images: BTreeSet<Reference>,
    platforms: &[Platform],
    patience: Duration,
) -> BTreeMap<Reference, Vec<String>> {
    let asked = images.into_iter().map(|image| async move {
        let read = read_triggers(cx, registry, &image, platforms);
        let found = tokio::time::timeout(patience, read).await;
        Some((image, found.ok()?.ok().flatten()?))
    });
    stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .filter_map(|found| async { found })
        .collect()
        .await
}

async fn read_triggers(
    cx: &Cx,
    registry: &dyn Registry,
    image: &Reference,
    platforms: &[Platform],
) -> Result<Option<Vec<String>>, RegistryError> {
    let (repository, Some(digest)) = (image.repository(), image.digest()) else {
        return Ok(None);
    };
    let Some((_, parsed)) = manifest(cx, registry, repository, digest).await? else {
        return Ok(None);
    };
    let mut manifests = Vec::new();
    match parsed {
        Parsed::Manifest(manifest) => manifests.push(*manifest),
        Parsed::Index(index) => {
            for child in chosen(&index.manifests, platforms) {
                let found = manifest_of(cx, registry, repository, &child.digest).await?;
                let Some(found) = found else { return Ok(None) };
                manifests.push(found);
            }
        }
    }
    let mut triggers = Vec::new();
    for manifest in &manifests {
        let blob = registry.blob(cx, repository, &manifest.config, LARGEST_CONFIG);
        let Ok(config) = serde_json::from_slice::<Config>(&blob.await?) else {
            return Ok(None);
        };
        triggers.extend(config.execution.triggers.unwrap_or_default());
    }
    Ok((!manifests.is_empty()).then_some(triggers))
}

/// The images of an index that a builder may take for these platforms: where there is none of just that
/// platform those that are close to it, and else all.
fn chosen<'a>(children: &'a [Descriptor], platforms: &[Platform]) -> Vec<&'a Descriptor> {
    let images = || children.iter().filter(|child| !child.is_attestation());
    let mut chosen: BTreeMap<&Digest, &Descriptor> = BTreeMap::new();
    for wanted in platforms {
        let wanted = wanted.normalized();
        let of = |is_it: &dyn Fn(&Platform) -> bool| -> Vec<&'a Descriptor> {
            let images = images().filter(|child| {
                let platform = child.platform.as_ref();
                platform.is_some_and(|platform| is_it(&platform.normalized()))
            });
            images.collect()
        };
        let mut found = of(&|platform| *platform == wanted);
        if found.is_empty() {
            found = of(&|platform| {
                platform.os() == wanted.os() && platform.architecture() == wanted.architecture()
            });
        }
        if found.is_empty() {
            found = images().collect();
        }
        chosen.extend(found.into_iter().map(|child| (&child.digest, child)));
    }
    chosen.into_values().take(MOST_IMAGES).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: &str = "sha256:0123456789012345678901234567890123456789012345678901234567890123";
    const OTHER: &str = "sha256:9123456789012345678901234567890123456789012345678901234567890123";

    fn said(label: &str, annotations: &[Option<&str>], comments: &[&str]) -> Option<String> {
        let steps: Vec<_> = comments
            .iter()
            .map(|comment| serde_json::json!({ "comment": comment }))
            .collect();
        let config = serde_json::json!({
            "config": { "Labels": { (INPUTS_LABEL): label } }, "history": steps,
        });
        let config: Config = serde_json::from_value(config).unwrap();
        let manifests: Vec<Manifest> = annotations
            .iter()
            .map(|annotation| {
                let value = serde_json::json!({
                    "schemaVersion": 2,
                    "config": { "mediaType": "x", "digest": INPUTS, "size": 2 },
                    "annotations": annotation.map(|it| serde_json::json!({ (INPUTS_LABEL): it })),
                });
                serde_json::from_value(value).unwrap()
            })
            .collect();
        config.inputs(&manifests).map(|inputs| inputs.to_string())
    }

    #[test]
    fn a_statement_counts_only_for_the_image_that_it_was_made_of() {
        let own = Some(INPUTS.to_owned());
        let ours = OF_BUILDKIT;
        assert_eq!(said(INPUTS, &[Some(INPUTS)], &["", ours]), own);
        assert_eq!(said(INPUTS, &[Some(INPUTS), Some(INPUTS)], &[ours]), own);
        // `FROM` alone, of an image that something else has built, and of nothing.
        assert_eq!(said(INPUTS, &[Some(INPUTS)], &["", "x"]), own);
        assert_eq!(said(INPUTS, &[Some(INPUTS)], &[]), own);
        // Built by BuildKit, `FROM` ours; one platform of an index exchanged.
        assert_eq!(said(INPUTS, &[None], &[ours, ours]), None);
        assert_eq!(said(INPUTS, &[Some(INPUTS), None], &[ours]), None);
        // Another image of ours `FROM` ours, which says nothing of itself.
        assert_eq!(said(INPUTS, &[Some(OTHER)], &[ours]), None);
        // By tools that keep annotations.
        assert_eq!(said(INPUTS, &[Some(INPUTS)], &[ours, "FROM x"]), None);
        assert_eq!(said("", &[Some("")], &[ours]), None);
    }
}
