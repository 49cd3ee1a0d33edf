//! `castoff ls`: what is in the project's repositories.

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;

use super::read::{known, read, warn};
use super::{Given, adapters, pretty, session};
use crate::cli::{Format, LsArguments};
use crate::cx::Cx;
use crate::error::Error;
use crate::execute::ports::{Registry, RegistryError};
use crate::exit::Exit;
use crate::oci::{Descriptor, Digest, Parsed, Platform, Reference, Repository, Tag};
use crate::plan::Purpose;
use crate::report::{Problem, registry_table};

/// How many tags are read at the same time.
const AT_ONCE: usize = 8;

/// A tag in a repository.
#[derive(Serialize)]
struct Listed {
    reference: Reference,
    digest: Digest,
    platforms: Vec<Platform>,
    size: u64,
}

pub(super) fn run(given: &Given<'_>, arguments: &LsArguments) -> Result<Exit, Error> {
    let mut repositories = Vec::new();
    for text in &arguments.repositories {
        let repository: Repository = text.parse().map_err(|error| Error::Usage {
            message: format!("{error}"),
            hint: Some("write a repository without a tag: ghcr.io/acme/api".to_owned()),
        })?;
        repositories.push(repository);
    }
    let registries = if repositories.is_empty() {
        let read = read(given, Purpose::Publish, &[])?;
        let plan = read.plan(&[])?;
        warn(given, &plan.warnings);
        for target in &plan.targets {
            repositories.extend(target.repositories.iter().cloned());
        }
        adapters::registries(given, &read.settings, Some(&plan))
    } else {
        adapters::known_registries(given, known(given)?.as_ref())?
    };
    let quiet = crate::cli::Global {
        progress: crate::cli::ProgressKind::Quiet,
        ..given.global.clone()
    };
    let quiet = Given {
        global: &quiet,
        environment: given.environment.clone(),
        printer: given.printer.clone(),
    };
    let ((listed, errors, empty), exit) = session::run(&quiet, "ls", "", |cx| {
        let (registries, repositories) = (&registries, &repositories);
        async move {
            let mut listed = Vec::new();
            let mut errors = Vec::new();
            let mut empty = Vec::new();
            for repository in repositories {
                match list(&cx, registries, repository).await {
                    Ok(tags) => {
                        if tags.is_empty() {
                            empty.push(repository);
                        }
                        listed.extend(tags);
                    }
                    Err(error) => errors.push(error),
                }
            }
            let exit = if cx.cancel.is_cancelled() {
                Exit::Interrupted
            } else if errors.is_empty() {
                Exit::Done
            } else {
                Exit::NotReady
            };
            ((listed, errors, empty), exit)
        }
    })?;
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&listed)),
        Format::Text => {
            let rows: Vec<_> = listed
                .into_iter()
                .map(|tag| {
                    (
                        tag.reference.to_string(),
                        tag.digest,
                        tag.platforms,
                        tag.size,
                    )
                })
                .collect();
            given.printer.text(&registry_table(&rows));
        }
    }
    for repository in empty {
        given.printer.problem(&Problem {
            hint: Some("`castoff ls` without a name lists what publish.toml publishes".to_owned()),
            ..Problem::warning(format!("{repository} holds no tags, or is not there"))
        });
    }
    for error in errors {
        let problem = Problem {
            hint: error.hint(),
            ..Problem::error(&error)
        };
        given.printer.problem(&problem);
    }
    Ok(exit)
}

/// Whether a tag is a list of what is tied to an image, as registries have it that know no better way:
/// `sha256-<hex>` (distribution-spec, "Referrers Tag Schema"). It is no image.
fn is_list(tag: &Tag) -> bool {
    let digest = tag.as_str().replacen('-', ":", 1);
    digest.parse::<Digest>().is_ok()
}

/// The tags of one repository, in the order of their names.
async fn list(
    cx: &Cx,
    registry: &dyn Registry,
    repository: &Repository,
) -> Result<Vec<Listed>, RegistryError> {
    let mut tags = registry.tags(cx, repository).await?;
    tags.retain(|tag| !is_list(tag));
    tags.sort();
    let read = tags.into_iter().map(|tag| async move {
        let reference = repository.with_tag(tag);
        read_tag(cx, registry, reference).await
    });
    let read: Vec<_> = stream::iter(read).buffered(AT_ONCE).collect().await;
    let mut listed = Vec::new();
    for tag in read {
        listed.extend(tag?);
    }
    Ok(listed)
}

/// What a tag points to; nothing where it went away in the meantime.
async fn read_tag(
    cx: &Cx,
    registry: &dyn Registry,
    reference: Reference,
) -> Result<Option<Listed>, RegistryError> {
    let Some(manifest) = registry.manifest(cx, &reference).await? else {
        return Ok(None);
    };
    let repository = reference.repository();
    let mut platforms = Vec::new();
    let mut size = manifest.bytes().len() as u64;
    let parsed = manifest.parse();
    let parsed = parsed.map_err(|error| RegistryError::nonsense(&reference, error.to_string()))?;
    let layers = |manifest: &crate::oci::Manifest| -> u64 {
        let layers: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
        manifest.config.size + layers
    };
    match parsed {
        Parsed::Manifest(manifest) => size += layers(&manifest),
        Parsed::Index(index) => {
            let children: Vec<&Descriptor> = index
                .manifests
                .iter()
                .filter(|child| !child.is_attestation())
                .collect();
            for child in children {
                platforms.extend(child.platform.clone());
                size += child.size;
                let at = repository.with_digest(child.digest.clone());
                if let Some(raw) = registry.manifest(cx, &at).await?
                    && let Ok(Parsed::Manifest(manifest)) = raw.parse()
                {
                    size += layers(&manifest);
                }
            }
        }
    }
    Ok(Some(Listed {
        digest: manifest.digest().clone(),
        reference,
        platforms,
        size,
    }))
}
