//! Which caches a build reads and writes.

use std::collections::BTreeMap;

use super::error::Error;
use super::places::fill_in;
use super::{CacheRef, Destination, PlannedTag, Warning};
use crate::compose::{Build, CacheEntry, Project, Service};
use crate::config::{CacheMode, CacheSettings, CacheSource};
use crate::facts::{Facts, System};

/// The tag of a registry cache beside the image.
const CACHE_TAG: &str = "buildcache";

/// The caches of one service.
#[derive(Default)]
pub(super) struct Caches {
    pub(super) from: Vec<CacheRef>,
    pub(super) to: Vec<CacheRef>,
    pub(super) warnings: Vec<Warning>,
}

/// Decides the caches of `service`: those of publish.toml in their order, then those of the compose
/// file. Every service has a scope of its own, so that one does not push out another's cache.
pub(super) fn caches(
    project: &Project,
    service: &Service,
    settings: &CacheSettings,
    destinations: &[Destination],
    tags: &[PlannedTag],
    facts: &Facts,
) -> Result<Caches, Error> {
    let mut caches = Caches::default();
    for source in &settings.sources {
        let pair = match source {
            CacheSource::Gha => gha(service, settings, facts, &mut caches.warnings),
            CacheSource::Registry => Some(registry(project, service, settings, destinations)?),
            CacheSource::Inline => inline(tags, destinations),
        };
        let Some((from, to)) = pair else { continue };
        caches.from.push(from);
        // One cache is written: the first that can be.
        if settings.write && caches.to.is_empty() {
            caches.to.push(to);
        }
    }
    if let Some(build) = &service.build {
        let (from, to) = written(build);
        caches.from.extend(from);
        caches.to.extend(to);
    }
    Ok(caches)
}

/// The caches that the compose file names: to read, and to write.
pub(super) fn written(build: &Build) -> (Vec<CacheRef>, Vec<CacheRef>) {
    let baked = build.bake.as_ref();
    let from = baked.into_iter().flat_map(|bake| &bake.cache_from);
    let to = baked.into_iter().flat_map(|bake| &bake.cache_to);
    (
        build.cache_from.iter().chain(from).map(entry).collect(),
        build.cache_to.iter().chain(to).map(entry).collect(),
    )
}

fn entry(written: &CacheEntry) -> CacheRef {
    CacheRef {
        kind: written.kind.clone(),
        attributes: written.attributes.clone().into_iter().collect(),
    }
}

fn cache(kind: &str, attributes: &[(&str, &str)]) -> CacheRef {
    CacheRef {
        kind: kind.to_owned(),
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn mode(settings: &CacheSettings) -> &'static str {
    match settings.mode {
        CacheMode::Min => "min",
        CacheMode::Max => "max",
    }
}

/// GitHub's cache service. Its address and token are the builder adapter's to add: they are secrets
/// of the job, and no part of a plan.
fn gha(
    service: &Service,
    settings: &CacheSettings,
    facts: &Facts,
    warnings: &mut Vec<Warning>,
) -> Option<(CacheRef, CacheRef)> {
    let is_there = facts
        .ci
        .as_ref()
        .is_some_and(|ci| ci.system == System::GitHub)
        && facts
            .environment
            .non_empty("ACTIONS_RUNTIME_TOKEN")
            .is_some();
    if !is_there {
        warnings.push(Warning {
            subject: "cache".to_owned(),
            message: "the `gha` cache is left out: it exists only within a GitHub workflow that passes its runtime token on".to_owned(),
            hint: Some("in a workflow, use the castoff action, or expose the runtime with crazy-max/ghaction-github-runtime".to_owned()),
        });
        return None;
    }
    let scope = service.name.as_str();
    let from = cache("gha", &[("scope", scope)]);
    let to = cache(
        "gha",
        &[
            ("scope", scope),
            ("mode", mode(settings)),
            ("ignore-error", "true"),
        ],
    );
    Some((from, to))
}

fn registry(
    project: &Project,
    service: &Service,
    settings: &CacheSettings,
    destinations: &[Destination],
) -> Result<(CacheRef, CacheRef), Error> {
    let first = destinations.iter().find(|place| place.required);
    let (reference, insecure) = match (&settings.reference, first) {
        (Some(template), _) => {
            let text = fill_in(template, project, service).ok_or_else(|| Error::Template {
                template: template.clone(),
                place: None,
            })?;
            let parsed: crate::oci::Reference =
                text.parse().map_err(|source| Error::Reference {
                    service: service.name.clone(),
                    place: None,
                    source,
                })?;
            let domain = parsed.repository().domain().to_owned();
            let insecure = destinations
                .iter()
                .any(|place| place.repository.domain() == domain && place.insecure);
            (parsed.to_string(), insecure)
        }
        (None, Some(place)) => (format!("{}:{CACHE_TAG}", place.repository), place.insecure),
        (None, None) => {
            return Err(Error::NothingRequired {
                service: service.name.clone(),
            });
        }
    };
    let mut from = cache("registry", &[("ref", &reference)]);
    let mut to = cache(
        "registry",
        &[
            ("ref", &reference),
            ("mode", mode(settings)),
            // Amazon's registry takes nothing else, and every other one takes it, too.
            ("image-manifest", "true"),
            ("oci-mediatypes", "true"),
            ("ignore-error", "true"),
        ],
    );
    if insecure {
        let insecure = ("registry.insecure".to_owned(), "true".to_owned());
        from.attributes.extend([insecure.clone()]);
        to.attributes.extend([insecure]);
    }
    Ok((from, to))
}

/// The cache that the image carries in itself: read from the tag that moves along.
fn inline(tags: &[PlannedTag], destinations: &[Destination]) -> Option<(CacheRef, CacheRef)> {
    let tag = tags.iter().find(|tag| tag.channel).or(tags.first())?;
    let mut from = cache("registry", &[("ref", &tag.reference.to_string())]);
    let insecure = destinations
        .iter()
        .any(|place| place.insecure && place.repository == *tag.reference.repository());
    if insecure {
        from.attributes
            .insert("registry.insecure".to_owned(), "true".to_owned());
    }
    Some((from, cache("inline", &[])))
}
