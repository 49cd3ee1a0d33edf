//! Results on their way from builds to those that build on them.

use std::collections::BTreeMap;

use super::ports::{Awaited, HandOn, Handed, hand_on};
use crate::plan::{Plan, Target};

/// The ends of all links of a plan that nobody has taken yet.
pub(super) struct Links {
    from: BTreeMap<String, HandOn>,
    to: BTreeMap<String, Awaited>,
}

/// What one target has to do with others.
pub(super) struct Link {
    /// Where it leaves its result, if others wait for it.
    pub(super) hand_on: Option<HandOn>,
    awaited: Vec<(String, Awaited)>,
}

impl Links {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut links = Self {
            from: BTreeMap::new(),
            to: BTreeMap::new(),
        };
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
            hand_on: self.from.remove(&target.service),
            awaited: others
                .filter_map(|other| Some((other.to_owned(), self.to.get(other)?.clone())))
                .collect(),
        }
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
