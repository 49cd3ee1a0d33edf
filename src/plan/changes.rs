//! What a plan changes, and what of it is left out because it changes nothing.

use std::collections::BTreeSet;

use super::{Action, Destination, Plan, PlannedTag, Target};

impl PlannedTag {
    /// Whether it will point somewhere else than it does, as far as is known.
    pub fn moves(&self) -> bool {
        self.refused.is_none() && (self.to.is_none() || self.from != self.to)
    }
}

impl Plan {
    /// Leaves out what was only to be built for others, where none of those is built.
    pub fn drop_unneeded(&mut self) {
        loop {
            let needed: BTreeSet<String> = self
                .targets
                .iter()
                .filter(|target| target.action == Action::Build)
                .flat_map(|target| target.build.builds_on())
                .map(str::to_owned)
                .collect();
            let is_kept = |target: &Target| target.wanted || needed.contains(&target.service);
            let kept: BTreeSet<String> = self
                .targets
                .iter()
                .filter(|target| is_kept(target))
                .map(|target| target.service.clone())
                .collect();
            if kept.len() == self.targets.len() {
                return;
            }
            self.retain(|service| kept.contains(service));
        }
    }

    /// Keeps only the services that `is_wanted` says.
    pub fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.targets.retain(|target| is_wanted(&target.service));
        for row in &mut self.order {
            row.retain(|service| is_wanted(service));
        }
        self.order.retain(|row| !row.is_empty());
    }

    /// Whether nothing has to be done: every image is there, and every tag points to it.
    pub fn changes_nothing(&self) -> bool {
        self.targets.iter().all(Target::changes_nothing)
    }
}

impl Target {
    /// Whether its image is in every place, and every tag points where it should.
    pub fn changes_nothing(&self) -> bool {
        self.reused.as_ref().is_some_and(|reused| {
            let mut places = self.destinations.iter();
            places.all(|place| reused.held.contains(&place.repository))
        }) && !self.tags.iter().any(PlannedTag::moves)
    }

    /// Whether it has to be written to `place`.
    pub fn writes_to(&self, place: &Destination) -> bool {
        let is_held = self
            .reused
            .as_ref()
            .is_some_and(|reused| reused.held.contains(&place.repository));
        let is_of_place = |tag: &&PlannedTag| *tag.reference.repository() == place.repository;
        !is_held || self.tags.iter().filter(is_of_place).any(PlannedTag::moves)
    }
}
