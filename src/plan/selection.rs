//! Which services a plan is about, and whether what they are to be called is theirs alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, SERVICE_LABEL, Target, Warning, error};
use crate::compose::Project;
use crate::config::Settings;
use crate::oci::Reference;

/// The services whose images are the purpose: those selected, else all that publish.toml does not
/// leave out. One that is named by hand is meant, whatever the file says.
pub(super) fn wanted(
    project: &Project,
    settings: &Settings,
    selection: &[String],
) -> BTreeSet<String> {
    let built = project
        .services
        .iter()
        .filter(|service| service.build.is_some());
    let names = built.map(|service| service.name.clone());
    names
        .filter(|name| {
            if selection.is_empty() {
                !settings.service(name).skip
            } else {
                selection.contains(name)
            }
        })
        .collect()
}

/// Whether every service that is named, on the command line and in publish.toml, is there.
pub(super) fn check_names(
    project: &Project,
    settings: &Settings,
    selection: &[String],
) -> Result<(), Error> {
    let names: Vec<&str> = project
        .services
        .iter()
        .map(|service| service.name.as_str())
        .chain(project.disabled.iter().map(String::as_str))
        .collect();
    let unknown = |name: &str, place| Error::NoSuchService {
        name: name.to_owned(),
        place,
        nearest: names
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .filter(|(distance, known)| *distance <= known.len().max(name.len()) / 2)
            .min()
            .map(|(_, known)| (*known).to_owned()),
    };
    for name in selection {
        match project.service(name) {
            None => return Err(unknown(name, None)),
            Some(service) if service.build.is_none() => {
                return Err(Error::NotBuilt {
                    name: name.clone(),
                    place: Box::new(service.places.service.clone()),
                });
            }
            Some(_) => {}
        }
    }
    let known: BTreeSet<&str> = names.iter().copied().collect();
    for (name, origin) in &settings.named_services {
        if !known.contains(name.as_str()) {
            return Err(unknown(name, error::place_of(origin)));
        }
    }
    Ok(())
}

/// Whether every image that is wanted has a tag.
pub(super) fn check_tags(targets: &[Target]) -> Result<(), Error> {
    let wanted = || targets.iter().filter(|target| target.wanted);
    let Some(bare) = wanted().find(|target| target.tags.is_empty()) else {
        return Ok(());
    };
    let tagged = wanted().filter(|target| !target.tags.is_empty());
    Err(Error::NoTags {
        service: bare.service.clone(),
        tagged: tagged.map(|target| target.service.clone()).collect(),
    })
}

/// Makes one target of services that are one image: the same build under the same tags, as an anchor
/// gives it to a server and its workers. The first of them is built, but where others build on a later
/// one, both stay.
pub(super) fn merge_twins(targets: &mut Vec<Target>) {
    let bases: BTreeSet<String> = targets
        .iter()
        .flat_map(|target| target.build.builds_on())
        .map(str::to_owned)
        .collect();
    let mut owners: BTreeMap<Reference, usize> = BTreeMap::new();
    let mut kept: Vec<Target> = Vec::with_capacity(targets.len());
    for target in targets.drain(..) {
        let first = target.tags.first().map(|tag| tag.reference.clone());
        let known = first.as_ref().and_then(|tag| owners.get(tag).copied());
        let twin = known.and_then(|at| kept.get_mut(at));
        match twin.filter(|twin| are_twins(twin, &target) && !bases.contains(&target.service)) {
            Some(twin) => twin.also.push(target.service),
            None => {
                owners.extend(first.map(|tag| (tag, kept.len())));
                kept.push(target);
            }
        }
    }
    *targets = kept;
}

/// Whether two targets differ in nothing but the service's name, and the caches that are called after
/// it.
fn are_twins(one: &Target, other: &Target) -> bool {
    let nameless = |target: &Target| {
        let (mut build, mut declared) = (target.build.clone(), target.declared.clone());
        build.labels.remove(SERVICE_LABEL);
        declared.labels.remove(SERVICE_LABEL);
        build.cache_from.clear();
        build.cache_to.clear();
        (build, declared)
    };
    one.tags == other.tags
        && one.repositories == other.repositories
        && one.destinations == other.destinations
        && one.may_reuse == other.may_reuse
        && nameless(one) == nameless(other)
}

/// Whether every tag is one service's alone.
pub(super) fn check_collisions(targets: &[Target]) -> Result<(), Error> {
    let mut owners: BTreeMap<&Reference, &str> = BTreeMap::new();
    for target in targets {
        for tag in &target.tags {
            if let Some(one) = owners.insert(&tag.reference, &target.service) {
                return Err(Error::Collision {
                    one: one.to_owned(),
                    other: target.service.clone(),
                    reference: tag.reference.clone(),
                });
            }
        }
    }
    for target in targets {
        let caches = target.build.cache_to.iter();
        let written = caches.filter_map(|cache| cache.attributes.get("ref")?.parse().ok());
        for cache in written.map(|reference: Reference| reference.canonical()) {
            if let Some(service) = owners.get(&cache) {
                return Err(Error::CacheOverImage {
                    service: target.service.clone(),
                    other: (*service).to_owned(),
                    reference: cache,
                });
            }
        }
    }
    Ok(())
}

/// Caches that several services write, each over the other's: as where all go to one repository.
pub(super) fn shared_caches(targets: &[Target]) -> Vec<Warning> {
    let mut writers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for target in targets {
        let caches = target.build.cache_to.iter();
        for reference in caches.filter_map(|cache| cache.attributes.get("ref")) {
            writers
                .entry(reference)
                .or_default()
                .insert(&target.service);
        }
    }
    let shared = writers.into_iter().filter(|(_, names)| names.len() > 1);
    shared
        .map(|(reference, names)| Warning {
            subject: "cache".to_owned(),
            message: format!(
                "{} write one cache, {reference}, and the last of them pushes out the others'",
                names.into_iter().collect::<Vec<_>>().join(", ")
            ),
            hint: Some(
                "give each its own: `[cache] reference = \"HOST/NAME:cache-{{service}}\"`"
                    .to_owned(),
            ),
        })
        .collect()
}
