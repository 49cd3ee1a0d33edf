//! What is printed is read as what it was, for every value.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use proptest::prelude::*;

use super::{HumanDuration, Platform, Reference, ReferenceError, Repository};

/// `text` as a value, which prints to a text of the same value and, from then on, to the same text;
/// `None` where it is no value.
fn stable<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Debug> + Display + PartialEq + Debug,
{
    let value: T = text.parse().ok()?;
    let printed = value.to_string();
    let again: T = printed.parse().unwrap();
    assert_eq!(again, value, "{text} is printed as {printed}");
    assert_eq!(again.to_string(), printed);
    Some(value)
}

proptest! {
    #[test]
    fn a_reference(
        domain in prop_oneof![
            Just(""), Just("localhost/"), Just("docker.io/"), Just("index.docker.io/"),
            Just("ghcr.io/"), Just("127.0.0.1:5000/"), Just("[::1]:5000/"), Just("Registry/"),
        ],
        path in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}){0,3}",
        tag in prop_oneof![Just(String::new()), ":[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"],
        digest in prop_oneof![Just(String::new()), "@sha256:[0-9a-f]{64}"],
    ) {
        let text = format!("{domain}{path}{tag}{digest}");
        let reference = stable::<Reference>(&text);
        prop_assert!(reference.is_some(), "{} is a reference", text);
        let repository = stable::<Repository>(&format!("{domain}{path}"));
        prop_assert!(repository.is_some(), "{} is part of one", text);
    }

    #[test]
    fn whatever_passes_for_a_reference(text in "[a-zA-Z0-9._:/@\\[\\]-]{1,24}") {
        stable::<Reference>(&text);
        stable::<Repository>(&text);
    }

    #[test]
    fn a_platform(
        text in "(linux|windows|darwin|freebsd|macos|LINUX|[a-z]{1,6})/(amd64|arm64|arm|aarch64|x86_64|x86-64|armhf|armel|386|i386|riscv64|[a-z0-9]{1,6})(/(v[0-9]|[0-9]|[a-z0-9]{1,4}))?",
    ) {
        prop_assert!(stable::<Platform>(&text).is_some(), "{} is a platform", text);
    }

    #[test]
    fn whatever_passes_for_a_platform(text in "[a-zA-Z0-9_/().-]{1,20}") {
        stable::<Platform>(&text);
    }

    #[test]
    fn a_span_of_time(seconds in 0_u64..100_000_000_000, nanoseconds in prop_oneof![Just(0), 0_u32..1_000_000_000]) {
        // To the precision that a span is printed in: what is read is a floating number.
        let span = HumanDuration(Duration::new(seconds, nanoseconds));
        let printed = span.to_string();
        let again: HumanDuration = printed.parse().unwrap();
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn whatever_passes_for_a_span_of_time(text in "([0-9]{1,4}(\\.[0-9]{1,2})?(ns|us|ms|s|m|h|d|w)){1,4}") {
        let span: HumanDuration = text.parse().unwrap();
        let printed = span.to_string();
        let again: HumanDuration = printed.parse().unwrap();
        prop_assert_eq!(again.to_string(), printed);
    }
}

/// Found by fuzzing. Docker shortens such a name, too, and does not read what it wrote
/// (distribution/reference, `familiarizeName`).
#[test]
fn an_official_name_that_looks_like_an_id_is_read_with_its_registry_only() {
    let find = include_str!("../../tests/fuzz_corpus/references/name-like-an-id");
    let repository: Repository = find.parse().unwrap();
    assert!(repository.to_string().starts_with("docker.io/library/1a3f"));
    let familiar = repository.familiar().parse::<Repository>();
    assert!(matches!(familiar, Err(ReferenceError::LooksLikeId { .. })));
}
