//! A part of a plan: some of the platforms, as one machine of several builds them.

use std::collections::BTreeSet;

use super::{Action, Plan};
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
                }
                target.platforms = own;
            }
        }
    }
}
