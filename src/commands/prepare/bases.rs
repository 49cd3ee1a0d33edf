//! The images that builds begin with: what they have those builds do (`ONBUILD`) belongs to no Dockerfile here.

use std::collections::{BTreeMap, BTreeSet};

use super::PATIENCE;
use super::scan::Scanned;
use super::state::State;
use crate::cx::Cx;
use crate::execute::ports::Registry;
use crate::execute::{self, Points};
use crate::inputs::check_trigger;
use crate::oci::{Platform, Reference};
use crate::plan::Plan;

/// What is known of base images, each by its digest.
#[derive(Debug, Default)]
pub(super) struct Bases {
    /// Why builds that begin with it cannot be reused, where they cannot.
    verdicts: BTreeMap<Reference, Result<(), String>>,
}

impl Bases {
    /// Whether what a build begins with takes nothing from elsewhere that would not be looked at.
    pub(super) fn check(&self, scanned: &Scanned, points: &Points) -> Result<(), String> {
        let Ok(images) = &scanned.images else {
            return Ok(());
        };
        let bases = images.begun.iter();
        for base in bases.filter_map(|image| Some((image, by_digest(image, points)?))) {
            let (image, by_digest) = base;
            let unread = || Err("it cannot be read".to_owned());
            let verdict = self.verdicts.get(&by_digest).cloned();
            verdict
                .unwrap_or_else(unread)
                .map_err(|why| format!("what its base image {image} does in builds: {why}"))?;
        }
        Ok(())
    }
}

/// An image under the digest that it has now.
fn by_digest(image: &Reference, points: &Points) -> Option<Reference> {
    let found = points
        .get(image)
        .and_then(|found| found.as_ref().ok()?.as_ref());
    let digest = image.digest().or(found)?;
    Some(image.repository().with_digest(digest.clone()))
}

/// Finds out what base images do in builds. What was found is kept: a digest does the same for ever.
pub(super) async fn look(
    cx: &Cx,
    registry: &dyn Registry,
    plan: &Plan,
    scanned: &BTreeMap<String, Result<Scanned, String>>,
    (own, points): (&BTreeMap<String, Platform>, &Points),
    state: &State,
) -> Bases {
    let wanted: BTreeSet<Reference> = scanned
        .values()
        .flatten()
        .filter_map(|scanned| scanned.images.as_ref().ok())
        .flat_map(|images| &images.begun)
        .filter_map(|image| by_digest(image, points))
        .collect();
    if wanted.is_empty() {
        return Bases::default();
    }
    let named = plan.targets.iter().flat_map(|target| &target.platforms);
    let platforms: BTreeMap<String, Platform> = named
        .chain(own.values())
        .map(|platform| (platform.normalized().to_string(), platform.clone()))
        .collect();
    let names: Vec<&str> = platforms.keys().map(String::as_str).collect();
    let names = names.join(",");
    let platforms: Vec<Platform> = platforms.values().cloned().collect();
    let key = |image: &Reference| format!("{} {names}", image.selector());
    let mut known = state.triggers();
    let unknown: BTreeSet<Reference> = wanted
        .iter()
        .filter(|image| !known.contains_key(&key(image)))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        let found = execute::triggers(cx, registry, unknown, &platforms, PATIENCE).await;
        known.extend(
            found
                .iter()
                .map(|(image, found)| (key(image), found.clone())),
        );
        state.keep_triggers(&known);
    }
    let verdict = |image: Reference| {
        let triggers = known.get(&key(&image))?;
        let verdict = triggers.iter().try_for_each(|it| check_trigger(it));
        Some((image, verdict.map_err(|obscure| obscure.what)))
    };
    Bases {
        verdicts: wanted.into_iter().filter_map(verdict).collect(),
    }
}
