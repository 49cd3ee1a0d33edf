//! The images that are published already: which of them matter, what they say, and who holds them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use super::PATIENCE;
use super::state::State;
use crate::cx::Cx;
use crate::execute;
use crate::execute::ports::{Registry, RegistryError};
use crate::oci::{Digest, Reference, Repository, Tag};
use crate::plan::{self, Action, ImageFacts, Plan, Reused, Target};

/// How many repositories are asked for their tags at the same time.
const AT_ONCE: usize = 16;

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

/// Finds out what other tags of these services' first repositories point to, the likely ones first: the same
/// inputs may be published under another name. What they say of themselves is added to `facts`. Who does not
/// answer in time costs a build.
pub(super) async fn elsewhere(
    cx: &Cx,
    registry: &dyn Registry,
    targets: &[&Target],
    names: &[&str],
    facts: &mut BTreeMap<Digest, ImageFacts>,
    state: &State,
) -> BTreeMap<Repository, Vec<Digest>> {
    let mut places: BTreeMap<&Repository, BTreeSet<Tag>> = BTreeMap::new();
    for target in targets {
        if let Some(place) = target.required().next() {
            let known = target.tags.iter();
            let known = known.filter(|tag| *tag.reference.repository() == place.repository);
            let known = known.filter_map(|tag| tag.reference.tag().cloned());
            places.entry(&place.repository).or_default().extend(known);
        }
    }
    let listing = places.iter().map(|(repository, known)| async move {
        let listed = registry.tags(cx, repository);
        let listed = tokio::time::timeout(PATIENCE, listed).await;
        let tags = listed.ok().and_then(Result::ok).unwrap_or_default();
        let likely = plan::likely(&tags, known, names).into_iter();
        likely
            .map(|tag| repository.with_tag(tag))
            .collect::<Vec<Reference>>()
    });
    let listed: Vec<_> = stream::iter(listing).buffered(AT_ONCE).collect().await;
    let asked: BTreeSet<Reference> = listed.into_iter().flatten().collect();
    let mut found: BTreeMap<Repository, Vec<Digest>> = BTreeMap::new();
    let mut wanted: BTreeMap<Digest, Repository> = BTreeMap::new();
    for (reference, point) in execute::resolve(cx, registry, asked, PATIENCE).await {
        let Ok(Some(digest)) = point else { continue };
        let images = found.entry(reference.repository().clone()).or_default();
        if !images.contains(&digest) {
            images.push(digest.clone());
            wanted.insert(digest, reference.repository().clone());
        }
    }
    let mut known = state.images();
    for digest in wanted.keys() {
        if let Some(said) = known.get(digest) {
            facts.insert(digest.clone(), said.clone());
        }
    }
    wanted.retain(|digest, _| !facts.contains_key(digest));
    if !wanted.is_empty() {
        let reading = execute::facts(cx, registry, wanted);
        let read = tokio::time::timeout(PATIENCE, reading).await;
        let read: BTreeMap<Digest, ImageFacts> = read
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(digest, found)| Some((digest, found.ok()??)))
            .collect();
        known.extend(read.clone());
        state.keep_images(&known);
        facts.extend(read);
    }
    found
}

/// The images that these services would reuse and that are not whole where their tags point to them, each with
/// a repository where a part is missing.
pub(super) async fn damaged(
    cx: &Cx,
    registry: &dyn Registry,
    targets: &[&Target],
) -> BTreeMap<Digest, Repository> {
    let mut parts: BTreeMap<Reference, BTreeSet<Digest>> = BTreeMap::new();
    for target in targets {
        let (Action::Reuse(digest), Some(reused)) = (&target.action, &target.reused) else {
            continue;
        };
        let tags = target.tags.iter();
        let places = tags.filter(|tag| tag.from.as_ref() == Some(digest));
        let places: BTreeSet<&Repository> = places
            .map(|tag| tag.reference.repository())
            .chain([&reused.source])
            .collect();
        for place in places {
            for child in &reused.facts.children {
                let part = place.with_digest(child.clone());
                parts.entry(part).or_default().insert(digest.clone());
            }
        }
    }
    let points = execute::resolve(cx, registry, parts.keys().cloned().collect(), PATIENCE).await;
    let mut damaged = BTreeMap::new();
    for (part, images) in parts {
        if let Some(Ok(None)) = points.get(&part) {
            for image in images {
                damaged.insert(image, part.repository().clone());
            }
        }
    }
    damaged
}

/// Finds out which repositories hold the images that are reused, whole. Those that are given up are not asked.
pub(super) async fn find_copies(
    cx: &Cx,
    registry: &dyn Registry,
    plan: &mut Plan,
    given_up: &BTreeMap<String, RegistryError>,
) {
    // What an image is made of, itself included, in one repository.
    let parts = |digest: &Digest, reused: &Reused, repository: &Repository| -> Vec<Reference> {
        let all = reused.facts.children.iter().chain([digest]);
        all.map(|digest| repository.with_digest(digest.clone()))
            .collect()
    };
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
                asked.extend(parts(digest, reused, repository));
            }
        }
    }
    let points = execute::resolve(cx, registry, asked, PATIENCE).await;
    for target in &mut plan.targets {
        let (Action::Reuse(digest), Some(reused)) = (&target.action, &mut target.reused) else {
            continue;
        };
        for place in &target.destinations {
            let mut parts = parts(digest, reused, &place.repository).into_iter();
            if parts.all(|part| matches!(points.get(&part), Some(Ok(Some(_))))) {
                reused.held.push(place.repository.clone());
            }
        }
    }
}
