//! The images that are published already: which of them matter, what they say, and who holds them.

use std::collections::{BTreeMap, BTreeSet};

use super::PATIENCE;
use super::state::State;
use crate::cx::Cx;
use crate::execute;
use crate::execute::ports::{Registry, RegistryError};
use crate::oci::{Digest, Repository};
use crate::plan::{Action, ImageFacts, Plan, Target};

/// The images that a target's tags point to now, those of required registries first.
pub(super) fn present(target: &Target) -> Vec<(Digest, Repository)> {
    let mut found: Vec<(Digest, Repository)> = Vec::new();
    for place in target.required().chain(target.best_effort()) {
        for tag in &target.tags {
            let repository = tag.reference.repository();
            if let Some(digest) = &tag.from
                && *repository == place.repository
                && !found.iter().any(|(known, _)| known == digest)
            {
                found.push((digest.clone(), repository.clone()));
            }
        }
    }
    found
}

/// Finds out what the images say of themselves that could be reused, or are in the way, and which cannot be
/// read.
pub(super) async fn look(
    cx: &Cx,
    registry: &dyn Registry,
    plan: &Plan,
    state: &State,
) -> (
    BTreeMap<Digest, ImageFacts>,
    BTreeMap<Digest, RegistryError>,
) {
    let mut known = state.images();
    let mut unread = BTreeMap::new();
    let mut wanted: BTreeMap<Digest, Repository> = BTreeMap::new();
    for target in &plan.targets {
        wanted.extend(present(target));
        // Where no tag exists yet, as for a first version, the last release may still be there.
        let last = state.last(&target.service).map(|last| last.image);
        if let (Some(image), Some(place)) = (last, target.required().next()) {
            let is_new = !wanted.contains_key(&image);
            // What is remembered of it does not say that it is still there.
            if is_new && present(target).is_empty() {
                known.remove(&image);
                wanted.insert(image, place.repository.clone());
            }
        }
    }
    let unknown: BTreeMap<Digest, Repository> = wanted
        .iter()
        .filter(|(digest, _)| !known.contains_key(*digest))
        .map(|(digest, repository)| (digest.clone(), repository.clone()))
        .collect();
    if !unknown.is_empty() {
        for (digest, found) in execute::facts(cx, registry, unknown).await {
            match found {
                Ok(Some(facts)) => {
                    known.insert(digest, facts);
                }
                // What is no image says nothing, and that is known.
                Ok(None) => {}
                Err(error) => {
                    unread.insert(digest, error);
                }
            }
        }
        state.keep_images(&known);
    }
    known.retain(|digest, _| wanted.contains_key(digest));
    (known, unread)
}

/// Finds out which repositories hold the images that are reused.
/// Those that are given up are not asked.
pub(super) async fn find_copies(
    cx: &Cx,
    registry: &dyn Registry,
    plan: &mut Plan,
    given_up: &BTreeMap<String, RegistryError>,
) {
    let mut asked = BTreeSet::new();
    for target in &mut plan.targets {
        let (Action::Reuse(digest), Some(reused)) = (&target.action, &mut target.reused) else {
            continue;
        };
        for place in &target.destinations {
            let repository = &place.repository;
            let points_to_it = target.tags.iter().any(|tag| {
                tag.reference.repository() == repository && tag.from.as_ref() == Some(digest)
            });
            if reused.held.contains(repository) || given_up.contains_key(&place.registry) {
                continue;
            }
            if points_to_it {
                reused.held.push(repository.clone());
            } else {
                asked.insert(repository.with_digest(digest.clone()));
            }
        }
    }
    let points = execute::resolve(cx, registry, asked, PATIENCE).await;
    for target in &mut plan.targets {
        let (Action::Reuse(digest), Some(reused)) = (&target.action, &mut target.reused) else {
            continue;
        };
        for place in &target.destinations {
            let reference = place.repository.with_digest(digest.clone());
            if let Some(Ok(Some(_))) = points.get(&reference) {
                reused.held.push(place.repository.clone());
            }
        }
    }
}
