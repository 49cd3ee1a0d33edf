//! A part of a plan: some of the platforms, as one machine of several builds them.

use std::collections::BTreeSet;

use super::cache::tag_of;
use super::{Action, CacheRef, Plan, Target};
use crate::oci::{Platform, Reference};

/// The scope of GitHub's cache where none is named (BuildKit, cache/remotecache/gha).
const GHA_SCOPE: &str = "buildkit";

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
    let names: Vec<String> = platforms
        .iter()
        .map(|platform| platform.normalized().to_string().replace('/', "-"))
        .collect();
    let part = names.join("-");
    // A cache within an image is read from its tag, which has no parts.
    let images: BTreeSet<String> = target
        .tags
        .iter()
        .map(|tag| tag.reference.to_string())
        .collect();
    let build = &mut target.build;
    for cache in &mut build.cache_to {
        if let Some(own) = own_cache(cache, &part) {
            *cache = own;
        }
    }
    let read = std::mem::take(&mut build.cache_from);
    for cache in read {
        let is_image = cache
            .attributes
            .get("ref")
            .is_some_and(|reference| images.contains(reference));
        build
            .cache_from
            .extend(own_cache(&cache, &part).filter(|_| !is_image));
        build.cache_from.push(cache);
    }
    target.cache_from.clone_from(&build.cache_from);
    target.cache_to.clone_from(&build.cache_to);
}

/// The cache of a part beside that of the whole; nothing for kinds that this machine alone has.
fn own_cache(cache: &CacheRef, part: &str) -> Option<CacheRef> {
    let (key, value) = match cache.kind.as_str() {
        "registry" => {
            let reference: Reference = cache.attributes.get("ref")?.parse().ok()?;
            let reference = reference.canonical();
            let tag = tag_of(reference.tag()?.as_str(), Some(part));
            let own = reference.repository().with_tag(tag.parse().ok()?);
            ("ref", own.to_string())
        }
        "gha" => {
            let scope = cache.attributes.get("scope");
            let scope = scope.map_or(GHA_SCOPE, String::as_str);
            ("scope", format!("{scope}-{part}"))
        }
        _ => return None,
    };
    let mut own = cache.clone();
    own.attributes.insert(key.to_owned(), value);
    Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(kind: &str, attributes: &[(&str, &str)]) -> CacheRef {
        let attributes = attributes.iter();
        CacheRef {
            kind: kind.to_owned(),
            attributes: attributes
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_part_has_caches_of_its_own_where_others_could_write_them() {
        let own =
            |kind, attributes: &[(&str, &str)]| own_cache(&cache(kind, attributes), "linux-arm64");
        assert_eq!(
            own(
                "registry",
                &[("ref", "example.com/a:buildcache-fix"), ("mode", "max")]
            ),
            Some(cache(
                "registry",
                &[
                    ("ref", "example.com/a:buildcache-fix-linux-arm64"),
                    ("mode", "max")
                ]
            ))
        );
        assert_eq!(
            own("gha", &[("scope", "api")]),
            Some(cache("gha", &[("scope", "api-linux-arm64")]))
        );
        assert_eq!(
            own("gha", &[]),
            Some(cache("gha", &[("scope", "buildkit-linux-arm64")]))
        );
        assert_eq!(own("inline", &[]), None);
        assert_eq!(own("local", &[("dest", "/a")]), None);
        assert_eq!(own("registry", &[("ref", "not a reference")]), None);
    }
}
