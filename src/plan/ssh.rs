//! The SSH agents and keys of a build.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::SshMount;
use crate::compose::Build;

/// The agents and keys by their ids: those of the build, and those that `x-bake` adds.
pub(super) fn mounts(build: &Build) -> Vec<SshMount> {
    let mut mounts: IndexMap<String, Vec<PathBuf>> = IndexMap::new();
    let mut add = |id: &str, path: Option<PathBuf>| {
        mounts.entry(id.to_owned()).or_default().extend(path);
    };
    for key in &build.ssh {
        add(&key.id, key.path.clone());
    }
    for entry in build.bake.iter().flat_map(|bake| &bake.ssh) {
        let (id, paths) = entry.split_once('=').unwrap_or((entry, ""));
        add(id, None);
        for path in paths.split(',').filter(|path| !path.is_empty()) {
            add(id, Some(path.into()));
        }
    }
    let mounts = mounts.into_iter();
    mounts.map(|(id, paths)| SshMount { id, paths }).collect()
}
