//! Whether each service is built: puts together what is known of the images that it could reuse, and looks at
//! more of them where it would be built otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::state::State;
use super::{Found, images};
use crate::cx::Cx;
use crate::execute::ports::Registry;
use crate::facts::RefContext;
use crate::oci::{Digest, Platform, Repository};
use crate::plan::{
    self, Action, Candidate, INPUTS_LABEL, ImageFacts, Known, Plan, Target, Unfit, VERSION_LABEL,
    Wishes,
};

/// The labels that castoff computes for each commit: a reused image keeps those it has.
const OF_THE_COMMIT: [&str; 3] = ["revision", "version", "created"];

/// What is decided by, beside what was found.
pub(super) struct By<'a> {
    pub(super) state: &'a State,
    /// The platforms that builders have for themselves.
    pub(super) own: &'a BTreeMap<String, Platform>,
    pub(super) context: &'a RefContext,
    pub(super) wishes: Wishes,
}

/// Decides about every target that is wanted for itself.
pub(super) async fn choose(
    cx: &Cx,
    registry: &dyn Registry,
    plan: &mut Plan,
    found: &mut Found,
    by: &By<'_>,
) {
    let wanted = plan.targets.iter().filter(|target| target.wanted);
    let wanted: BTreeSet<String> = wanted.map(|target| target.service.clone()).collect();
    decide(plan, &wanted, found, by);
    let could_be_elsewhere = |target: &&Target| {
        target.action == Action::Build
            && wanted.contains(&target.service)
            && matches!(found.inputs.get(&target.service), Some(Ok(_)))
    };
    let built: Vec<&Target> = plan.targets.iter().filter(could_be_elsewhere).collect();
    if !built.is_empty() && !by.wishes.rebuild {
        let names = names(by.context);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let facts = &mut found.facts;
        let elsewhere = images::elsewhere(cx, registry, &built, &names, facts, by.state).await;
        found.elsewhere = elsewhere;
        let again = built.iter().map(|target| target.service.clone()).collect();
        decide(plan, &again, found, by);
    }
    let mut unsure = wanted.clone();
    // Each round finds another image that is not whole, and there are only so many.
    while !unsure.is_empty() {
        let of = |target: &&Target| unsure.contains(&target.service);
        let targets: Vec<&Target> = plan.targets.iter().filter(of).collect();
        let damaged = images::damaged(cx, registry, &targets).await;
        let takes = |target: &&&Target| match &target.action {
            Action::Reuse(digest) => damaged.contains_key(digest),
            Action::Build | Action::Merge(_) => false,
        };
        let again = targets.iter().filter(takes);
        let again: BTreeSet<String> = again.map(|target| target.service.clone()).collect();
        found.damaged.extend(damaged);
        decide(plan, &again, found, by);
        unsure = again;
    }
    let is_own = |target: &&mut Target| target.wanted && !matches!(target.action, Action::Merge(_));
    for target in plan.targets.iter_mut().filter(is_own) {
        label(target);
    }
}

/// The tags under which the same inputs are most likely published.
fn names(context: &RefContext) -> Vec<String> {
    let branches = [
        &context.default_branch,
        &context.base_ref,
        &context.on_branch,
    ];
    let branches = branches.into_iter().flatten();
    let branches = branches.map(|branch| branch.replace('/', "-"));
    std::iter::once("latest".to_owned())
        .chain(branches)
        .collect()
}

/// Decides about these services.
fn decide(plan: &mut Plan, services: &BTreeSet<String>, found: &Found, by: &By<'_>) {
    let of = |target: &&mut Target| services.contains(&target.service);
    for target in plan.targets.iter_mut().filter(of) {
        one(target, found, by);
    }
}

/// Decides about one target. What was built elsewhere stays that, unless it is an image that is reused in
/// every case.
fn one(target: &mut Target, found: &Found, by: &By<'_>) {
    let Action::Merge(parts) = &target.action else {
        return of_build(target, found, by);
    };
    let mut chosen = target.clone();
    of_build(&mut chosen, found, by);
    let is_same = matches!(
        (parts.as_slice(), &chosen.action),
        ([whole], Action::Reuse(digest)) if whole.digest == *digest
    );
    if is_same {
        *target = chosen;
    }
}

/// Decides whether one target is built.
fn of_build(target: &mut Target, found: &Found, by: &By<'_>) {
    let none = BTreeMap::new();
    let held = found.held.get(&target.service);
    let last = by.state.last(&target.service);
    let own = by.own.get(&target.service);
    let first = target
        .required()
        .next()
        .map(|place| place.repository.clone());
    let mut images = images::present(target);
    let why = match images.first() {
        Some(image) => unfit(target, found, own, image),
        None => not_asked(target, found).then_some(Unfit::NotAsked),
    };
    if let (true, Some(last), Some(first)) = (images.is_empty(), &last, &first) {
        images.push((last.image.clone(), first.clone()));
    }
    let mut elsewhere = first.iter().flat_map(|first| {
        let digests = found.elsewhere.get(first).into_iter().flatten();
        digests.map(|digest| (digest.clone(), first.clone()))
    });
    let candidates = |images: &mut dyn Iterator<Item = (Digest, Repository)>| -> Vec<Candidate> {
        images
            .filter(|image| unfit(target, found, own, image).is_none())
            .filter_map(|(digest, repository)| {
                Some(Candidate {
                    facts: found.facts.get(&digest)?.clone(),
                    digest,
                    repository,
                })
            })
            .collect()
    };
    let elsewhere = candidates(&mut elsewhere);
    let candidates = candidates(&mut images.into_iter());
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
            elsewhere: &elsewhere,
            unfit: why.as_ref(),
            last: last.as_ref(),
            unwanted: by.wishes.rebuild.then_some("--rebuild asks for it"),
        },
    );
}

/// Why an image is no candidate for a target; `None` where it is one.
fn unfit(
    target: &Target,
    found: &Found,
    own: Option<&Platform>,
    (digest, _): &(Digest, Repository),
) -> Option<Unfit> {
    if let Some(place) = found.damaged.get(digest) {
        return Some(Unfit::Damaged(digest.clone(), place.clone()));
    }
    let is_of_own = |facts: &ImageFacts| match own {
        Some(own) if target.platforms.is_empty() => {
            let own = own.normalized();
            let mut platforms = facts.platforms.iter();
            platforms.all(|found| found.normalized() == own)
        }
        _ => true,
    };
    match found.facts.get(digest) {
        None => Some(Unfit::Unreadable(digest.clone())),
        Some(facts) if !is_of_own(facts) => Some(Unfit::OtherPlatforms(digest.clone())),
        Some(_) => None,
    }
}

/// Whether a registry did not say where a tag of the target points.
fn not_asked(target: &Target, found: &Found) -> bool {
    let mut tags = target.tags.iter();
    tags.any(|tag| matches!(found.points.get(&tag.reference), Some(Err(_))))
}

/// Lets the labels say what the image is built from, or what the one that is reused was.
fn label(target: &mut Target) {
    if let Some(inputs) = &target.inputs {
        let (name, value) = (INPUTS_LABEL.to_owned(), inputs.to_string());
        target.labels.insert(name.clone(), value.clone());
        target.build.labels.insert(name, value);
    } else {
        // An image of ours that it may begin with must not speak for it.
        let labels = &mut target.build.labels;
        labels.insert(INPUTS_LABEL.to_owned(), String::new());
    }
    let Some(reused) = &target.reused else { return };
    let facts = &reused.facts;
    let of_the_commit = OF_THE_COMMIT.map(|name| {
        let value = match name {
            "revision" => &facts.revision,
            "version" => &facts.version,
            _ => &facts.created,
        };
        (format!("org.opencontainers.image.{name}"), value)
    });
    let own = (VERSION_LABEL.to_owned(), &facts.published_as);
    for (key, value) in of_the_commit.into_iter().chain([own]) {
        match value {
            Some(value) => target.labels.insert(key, value.clone()),
            None => target.labels.remove(&key),
        };
    }
}
