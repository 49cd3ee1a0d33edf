//! A part of a plan: some of the platforms, as one machine of several builds them.

use std::collections::BTreeSet;

use super::{Action, Plan, Target, cache_of_node};
use crate::oci::Platform;

impl Plan {
    /// The platforms of all services.
    pub fn platforms(&self) -> BTreeSet<Platform> {
        let all = self.targets.iter().flat_map(|target| &target.platforms);
        all.map(Platform::normalized).collect()
    }

    /// Leaves out the services that are not published for any of `platforms`; without platforms none.
    pub fn keep_for(&mut self, platforms: &[Platform]) {
        if platforms.is_empty() {
            return;
        }
        let wanted = platforms.iter().map(Platform::normalized);
        let wanted: BTreeSet<Platform> = wanted.collect();
        let kept = self.targets.iter().filter(|target| {
            // What others build on goes along with them, for whatever they are built for.
            if !target.wanted && target.platforms.is_empty() {
                return true;
            }
            let mut own = target.platforms.iter().map(Platform::normalized);
            own.any(|platform| wanted.contains(&platform))
        });
        let kept: BTreeSet<String> = kept.map(|target| target.service.clone()).collect();
        self.retain(|service| kept.contains(service));
        self.drop_unneeded();
    }

    /// Builds nothing but `platforms`. What is reused stays whole.
    pub fn narrow(&mut self, platforms: &[Platform]) {
        if platforms.is_empty() {
            return;
        }
        let wanted = platforms.iter().map(Platform::normalized);
        let wanted: BTreeSet<Platform> = wanted.collect();
        for target in &mut self.targets {
            let own: Vec<Platform> = target
                .platforms
                .iter()
                .filter(|platform| wanted.contains(&platform.normalized()))
                .cloned()
                .collect();
            if own.len() < target.platforms.len() {
                if target.action == Action::Build {
                    target.build = target.build.part(&own);
                    share_caches(target, &own);
                }
                target.platforms = own;
            }
        }
    }
}

/// Gives the part caches of its own: machines that write one cache push each other's results out. What is
/// read is the part's own first, and then what one machine has written for all platforms.
fn share_caches(target: &mut Target, platforms: &[Platform]) {
    let Some(first) = platforms.first() else {
        return;
    };
    // A cache within an image is read from its tag, which has no parts.
    let images: BTreeSet<String> = target
        .tags
        .iter()
        .map(|tag| tag.reference.to_string())
        .collect();
    let build = &mut target.build;
    for cache in &mut build.cache_to {
        if let Some(own) = cache_of_node(cache, first) {
            *cache = own;
        }
    }
    let read = std::mem::take(&mut build.cache_from);
    for cache in read {
        let is_image = cache
            .attributes
            .get("ref")
            .is_some_and(|reference| images.contains(reference));
        let own = platforms
            .iter()
            .filter_map(|platform| cache_of_node(&cache, platform));
        build.cache_from.extend(own.filter(|_| !is_image));
        build.cache_from.push(cache);
    }
    target.cache_from.clone_from(&build.cache_from);
    target.cache_to.clone_from(&build.cache_to);
}
