//! Image references, platforms, sizes and durations: what is read prints as itself.
#![no_main]

use castoff::oci::{
    Digest, HumanDuration, Platform, Reference, ReferenceError, Repository, Tag, parse_ram_in_bytes, parse_size,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let printed = reference.to_string();
        assert_eq!(printed.parse::<Reference>().as_ref(), Ok(&reference), "{printed}");
        assert_eq!(reference.canonical().canonical(), reference.canonical());
        let familiar = reference.repository().familiar();
        let repository = familiar.parse::<Repository>();
        // Docker shortens a name on Docker Hub also where what is left reads as an image id or as the
        // address of a registry (distribution/reference, `familiarizeName`), and so do we. No name
        // that exists there does.
        let first = familiar.split('/').next().unwrap_or_default();
        let is_address = reference.repository().domain() == "docker.io"
            && (first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase));
        if !is_address && !matches!(repository, Err(ReferenceError::LooksLikeId { .. })) {
            assert_eq!(repository.as_ref(), Ok(reference.repository()), "{familiar}");
        }
    }
    if let Ok(platform) = text.parse::<Platform>() {
        let printed = platform.to_string();
        let again = printed.parse::<Platform>().map(|platform| platform.to_string());
        assert_eq!(again.as_deref(), Ok(printed.as_str()));
        assert_eq!(platform.normalized().normalized(), platform.normalized());
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.as_str(), text);
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
    }
    let _ = (parse_size(text), parse_ram_in_bytes(text));
    if let Ok(duration) = text.parse::<HumanDuration>() {
        let _ = duration.to_string();
    }
});
