//! What targets have to do with each other: results on their way from builds to those that build on
//! them, and contexts that several share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::ports::{Awaited, HandOn, Handed, hand_on};
use crate::plan::{BuildContext, Plan, Target};

/// The ends of all links of a plan that nobody has taken yet.
pub(super) struct Links {
    contexts: BTreeMap<PathBuf, usize>,
    from: BTreeMap<String, HandOn>,
    to: BTreeMap<String, Awaited>,
}

/// What one target has to do with others.
pub(super) struct Link {
    /// Where it leaves its result, if others wait for it.
    pub(super) hand_on: Option<HandOn>,
    /// Whether another target is built from the same folder.
    pub(super) shares_context: bool,
    awaited: Vec<(String, Awaited)>,
}

impl Links {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut links = Self {
            contexts: BTreeMap::new(),
            from: BTreeMap::new(),
            to: BTreeMap::new(),
        };
        for folder in plan.targets.iter().filter_map(folder) {
            *links.contexts.entry(folder.clone()).or_default() += 1;
        }
        for other in plan
            .targets
            .iter()
            .flat_map(|target| target.build.builds_on())
        {
            if !links.to.contains_key(other) {
                let (from, to) = hand_on();
                links.from.insert(other.to_owned(), from);
                links.to.insert(other.to_owned(), to);
            }
        }
        links
    }

    /// The links of `target`, which is asked for once. A result that will not come is only noticed
    /// when nobody holds the place where it would be left.
    pub(super) fn take(&mut self, target: &Target) -> Link {
        let others = target.build.builds_on().into_iter();
        Link {
            shares_context: folder(target)
                .and_then(|folder| self.contexts.get(folder))
                .is_some_and(|targets| *targets > 1),
            hand_on: self.from.remove(&target.service),
            awaited: others
                .filter_map(|other| Some((other.to_owned(), self.to.get(other)?.clone())))
                .collect(),
        }
    }
}

fn folder(target: &Target) -> Option<&PathBuf> {
    match &target.build.context {
        BuildContext::Local(folder) => Some(folder),
        BuildContext::Remote(_) => None,
    }
}

impl Link {
    /// Waits for what the target builds on; `None` when one of those builds has failed.
    pub(super) async fn wait(&mut self) -> Option<BTreeMap<String, Handed>> {
        let mut handed = BTreeMap::new();
        for (service, awaited) in self.awaited.drain(..) {
            handed.insert(service, awaited.wait().await?);
        }
        Some(handed)
    }
}
