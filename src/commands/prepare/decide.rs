//! Whether a target is built, reused, or what other machines have built.

use std::collections::BTreeMap;

use super::images;
use super::state::State;
use super::{Found, Wishes};
use crate::oci::Platform;
use crate::plan::{self, Action, Candidate, INPUTS_LABEL, ImageFacts, Known, Target};

/// The labels that castoff computes for each commit: a reused image keeps those it has.
const OF_THE_COMMIT: [&str; 3] = ["revision", "version", "created"];

/// Decides about one target. What was built elsewhere stays that, unless it is an image that is reused
/// in every case.
pub(super) fn decide(
    target: &mut Target,
    found: &Found,
    state: &State,
    own: Option<&Platform>,
    wishes: Wishes,
) {
    let Action::Merge(parts) = &target.action else {
        return choose(target, found, state, own, wishes);
    };
    let mut chosen = target.clone();
    choose(&mut chosen, found, state, own, wishes);
    let is_same = matches!(
        (parts.as_slice(), &chosen.action),
        ([whole], Action::Reuse(digest)) if whole.digest == *digest
    );
    if is_same {
        *target = chosen;
    }
}

/// Decides whether one target is built.
fn choose(
    target: &mut Target,
    found: &Found,
    state: &State,
    own: Option<&Platform>,
    wishes: Wishes,
) {
    let none = BTreeMap::new();
    let held = found.held.get(&target.service);
    let last = state.last(&target.service);
    let mut images = images::present(target);
    if let (true, Some(last), Some(place)) = (images.is_empty(), &last, target.required().next()) {
        images.push((last.image.clone(), place.repository.clone()));
    }
    let is_of_own = |facts: &ImageFacts| match own {
        Some(own) if target.platforms.is_empty() => {
            let own = own.normalized();
            facts
                .platforms
                .iter()
                .all(|found| found.normalized() == own)
        }
        _ => true,
    };
    let candidates: Vec<Candidate> = images
        .into_iter()
        .filter_map(|(digest, repository)| {
            let facts = found.facts.get(&digest).filter(|facts| is_of_own(facts))?;
            Some(Candidate {
                facts: facts.clone(),
                digest,
                repository,
            })
        })
        .collect();
    let inputs = match found.inputs.get(&target.service) {
        Some(Ok(fingerprint)) => Ok(fingerprint),
        Some(Err(why)) => Err(why.as_str()),
        None => Err("it was not looked at"),
    };
    plan::decide(
        target,
        &Known {
            inputs,
            files: held.map_or(&none, |held| &held.files),
            candidates: &candidates,
            last: last.as_ref(),
            unwanted: wishes.rebuild.then_some("--rebuild asks for it"),
        },
    );
    label(target);
}

/// Lets the labels say what the image is built from, or what the one that is reused was.
fn label(target: &mut Target) {
    if let Some(inputs) = &target.inputs {
        let (name, value) = (INPUTS_LABEL.to_owned(), inputs.to_string());
        target.labels.insert(name.clone(), value.clone());
        target.build.labels.insert(name, value);
    }
    let Some(reused) = &target.reused else { return };
    let facts = &reused.facts;
    for name in OF_THE_COMMIT {
        let value = match name {
            "revision" => &facts.revision,
            "version" => &facts.version,
            _ => &facts.created,
        };
        let key = format!("org.opencontainers.image.{name}");
        match value {
            Some(value) => target.labels.insert(key, value.clone()),
            None => target.labels.remove(&key),
        };
    }
}
