//! Caches of a build that several nodes share: each node writes one of its own, as none of them can write
//! what the others made, and reads those of all.

use super::CacheRef;
use crate::oci::{Digest, Platform, Reference, Tag};

/// The longest tag (OCI distribution specification, "Pulling manifests").
pub(super) const MAX_TAG: usize = 128;

/// The cache of the node that builds `platform`, beside `cache`: `…:buildcache-linux-arm64`. None where
/// it needs no other name: an inline cache is part of each image, and one that is read by its digest is
/// what it is.
pub fn cache_of_node(cache: &CacheRef, platform: &Platform) -> Option<CacheRef> {
    let end = platform.to_string().replace('/', "-");
    // What a cache is called, by its kind, and what it is called where nothing is said
    // (BuildKit, cache/remotecache/{gha,s3,azblob}; for folders castoff gives the name).
    let (key, usual) = match cache.kind.as_str() {
        "registry" => {
            let reference: Reference = cache.attributes.get("ref")?.parse().ok()?;
            let repository = reference.repository();
            let tag = match reference.digest() {
                Some(_) => return None,
                None => reference.tag().map_or("latest", Tag::as_str),
            };
            let tag: Tag = shortened(format!("{tag}-{end}")).parse().ok()?;
            return Some(with(cache, "ref", repository.with_tag(tag).to_string()));
        }
        "gha" => ("scope", "buildkit"),
        "s3" | "azblob" => ("name", "buildkit"),
        "local" if cache.attributes.contains_key("digest") => return None,
        "local" => ("tag", "latest"),
        _ => return None,
    };
    let name = cache.attributes.get(key).filter(|name| !name.is_empty());
    let name = name.map_or(usual, String::as_str);
    Some(with(cache, key, shortened(format!("{name}-{end}"))))
}

fn with(cache: &CacheRef, key: &str, value: String) -> CacheRef {
    let mut cache = cache.clone();
    cache.attributes.insert(key.to_owned(), value);
    cache
}

/// A name that is fit to be a tag but for its length. One that is cut keeps a hash of the whole.
pub(super) fn shortened(name: String) -> String {
    if name.len() <= MAX_TAG {
        return name;
    }
    let hash = Digest::of(name.as_bytes()).short().to_owned();
    let kept: String = name.chars().take(MAX_TAG - hash.len() - 1).collect();
    format!("{kept}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(kind: &str, attributes: &[(&str, &str)]) -> CacheRef {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        CacheRef {
            kind: kind.to_owned(),
            attributes: attributes.iter().map(owned).collect(),
        }
    }

    fn named(kind: &str, attributes: &[(&str, &str)], key: &str) -> Option<String> {
        let platform: Platform = "linux/arm/v7".parse().unwrap();
        let own = cache_of_node(&cache(kind, attributes), &platform)?;
        assert_eq!(own.attributes.len(), attributes.len().max(1));
        own.attributes.get(key).cloned()
    }

    #[test]
    fn each_kind_has_a_name_for_each_node() {
        for (kind, attributes, key, expected) in [
            (
                "registry",
                &[("ref", "a.example/b:c")][..],
                "ref",
                "a.example/b:c-linux-arm-v7",
            ),
            (
                "registry",
                &[("ref", "a.example/b")],
                "ref",
                "a.example/b:latest-linux-arm-v7",
            ),
            ("gha", &[("scope", "web")], "scope", "web-linux-arm-v7"),
            ("gha", &[], "scope", "buildkit-linux-arm-v7"),
            ("s3", &[("name", "web")], "name", "web-linux-arm-v7"),
            ("azblob", &[], "name", "buildkit-linux-arm-v7"),
            ("local", &[], "tag", "latest-linux-arm-v7"),
        ] {
            let own = named(kind, attributes, key);
            assert_eq!(own.as_deref(), Some(expected), "{kind} {attributes:?}");
        }
    }

    #[test]
    fn what_is_found_by_its_content_has_no_other_name() {
        let digest = Digest::of(b"").to_string();
        let reference = format!("a.example/b@{digest}");
        assert_eq!(named("registry", &[("ref", &reference)], "ref"), None);
        assert_eq!(named("registry", &[], "ref"), None);
        assert_eq!(named("local", &[("digest", &digest)], "tag"), None);
        assert_eq!(named("inline", &[], "ref"), None);
    }

    #[test]
    fn a_long_name_is_cut_and_stays_itself() {
        let tag = "x".repeat(128);
        let reference = format!("a.example/b:{tag}");
        let own = named("registry", &[("ref", &reference)], "ref").unwrap();
        let own: Reference = own.parse().unwrap();
        assert_eq!(own.tag().unwrap().as_str().len(), MAX_TAG);
        assert_ne!(own.tag().unwrap().as_str(), tag);
    }
}
