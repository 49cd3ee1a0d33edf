//! Immutable tags: finds out which commits they were released from, so that the plan can say which of them
//! are in the way.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::read::Read;
use crate::commands::{Given, adapters};
use crate::cx::Cx;
use crate::execute;
use crate::execute::ports::Registry;
use crate::ledger::Release;
use crate::oci::{Digest, Reference};
use crate::plan::{self, Hold, ImageFacts, Plan, PlannedTag, Standing};

/// Says of every immutable tag whether it is in the way.
pub(super) async fn hold(
    cx: &Cx,
    given: &Given<'_>,
    read: &Read,
    plan: &mut Plan,
    registry: &dyn Registry,
    known: &BTreeMap<Digest, ImageFacts>,
) {
    let commit = read.facts.context.sha.as_deref();
    let said = |tag: &PlannedTag| {
        let facts = known.get(tag.from.as_ref()?)?;
        facts.revision.clone().filter(|it| !it.is_empty())
    };
    // An image that was reused says the commit that it was built from, and not the one that was released.
    let doubtful: Vec<&PlannedTag> = plan
        .targets
        .iter()
        .flat_map(|target| &target.tags)
        .filter(|tag| tag.hold == Hold::Commit && tag.from.is_some() && tag.moves())
        .filter(|tag| commit.is_none() || said(tag).as_deref() != commit)
        .collect();
    let releases = if doubtful.is_empty() {
        BTreeMap::new()
    } else {
        releases(cx, given, read, plan, registry, &doubtful).await
    };
    for target in &mut plan.targets {
        let held: Vec<_> = target
            .tags
            .iter()
            .map(|tag| {
                let own = releases.get(tag.reference.repository().domain());
                let released = own.and_then(|own| of(own, tag)).or_else(|| said(tag));
                let standing = Standing {
                    facts: tag.from.as_ref().and_then(|from| known.get(from)),
                    released: released.as_deref(),
                    commit,
                };
                plan::held(target, tag, &standing)
            })
            .collect();
        for (tag, held) in target.tags.iter_mut().zip(held) {
            tag.held = held;
        }
    }
}

/// The releases that may have moved these tags, by the hosts of the registries that say so: who writes to one
/// has no say in another. What this machine has written down holds for all.
async fn releases(
    cx: &Cx,
    given: &Given<'_>,
    read: &Read,
    plan: &Plan,
    registry: &dyn Registry,
    tags: &[&PlannedTag],
) -> BTreeMap<String, Vec<Release>> {
    let ledger = adapters::ledger(given, read).ok();
    let here = ledger.and_then(|ledger| ledger.releases().ok());
    let here = here.unwrap_or_default();
    // A record is tied to one image of its release, so those of all services are asked.
    let names: BTreeSet<_> = tags.iter().filter_map(|tag| tag.reference.tag()).collect();
    let mut images: BTreeMap<String, BTreeSet<Reference>> = BTreeMap::new();
    for tag in plan.targets.iter().flat_map(|target| &target.tags) {
        let (repository, name) = (tag.reference.repository(), tag.reference.tag());
        if let Some(from) = &tag.from
            && name.is_some_and(|name| names.contains(name))
        {
            let images = images.entry(repository.domain().to_owned()).or_default();
            images.insert(repository.with_digest(from.clone()));
        }
    }
    let mut releases = BTreeMap::new();
    for (host, images) in images {
        let mut found = execute::records_of(cx, registry, &read.project.name, &images).await;
        found.extend(here.iter().cloned());
        found.sort_by_key(Release::age);
        releases.insert(host, found);
    }
    releases
}

/// The commit of the last release that says of itself that `tag` points to its image, which it does.
fn of(releases: &[Release], tag: &PlannedTag) -> Option<String> {
    let is_it = |release: &&Release| {
        let mut images = release.images.iter();
        release.is_live()
            && images.any(|image| {
                Some(&image.digest) == tag.from.as_ref() && image.tags.contains(&tag.reference)
            })
    };
    let release = releases.iter().rev().find(is_it)?;
    release.revision.clone()
}
