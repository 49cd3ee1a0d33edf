//! Laws that hold for any rules and any facts.

use proptest::prelude::*;

use super::{Image, LabelInput, Names, Pattern, RuleSet, Template, compute, labels};
use crate::facts::{Clock, Environment, Facts, RefContext};
use crate::oci::Tag;

fn facts(reference: &str, event: &str) -> Facts {
    Facts {
        environment: Environment::default(),
        clock: Clock {
            now: jiff::Timestamp::from_second(1_578_616_200).unwrap(),
            fixed: false,
        },
        git: None,
        ci: None,
        context: RefContext {
            reference: Some(reference.to_owned()),
            event: event.to_owned(),
            sha: Some("860c1904a1ce19322e91ac35af1ab07466440c37".to_owned()),
            default_branch: Some("main".to_owned()),
            ..RefContext::default()
        },
        warnings: Vec::new(),
    }
}

const NAMES: Names<'_> = Names {
    service: "api",
    project: "shop",
};

/// Rules that are mostly right.
fn rule() -> impl Strategy<Value = String> {
    let attribute = prop_oneof![
        Just("pattern={{version}}".to_owned()),
        Just("pattern={{major}}.{{minor}}".to_owned()),
        Just("event=branch".to_owned()),
        Just("event=tag".to_owned()),
        Just("pattern=v(.*)".to_owned()),
        Just("\"pattern=\\d{1,3}\"".to_owned()),
        Just("value={{branch}}{{tag}}".to_owned()),
        Just("enable={{is_default_branch}}".to_owned()),
        Just("prefix={{sha}}-".to_owned()),
        "value=[ -~]{0,20}",
        "(prefix|suffix|match|pattern|priority|group)=[ -~]{0,8}",
        "\\PC{0,10}",
    ];
    (
        prop::sample::select(&super::rule::TYPES[..]),
        prop::collection::vec(attribute, 0..4),
    )
        .prop_map(|(kind, attributes)| format!("type={kind},{}", attributes.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_computed_follows_the_tag_grammar(
        rules in prop::collection::vec(rule(), 1..4),
        reference in "refs/(heads|tags|pull)/(v?[0-9]{1,2}(\\.[0-9]{1,2}){0,3}|\\PC{0,12})",
    ) {
        let facts = facts(&reference, "schedule");
        if let Ok(rules) = RuleSet::parse(&rules, &["suffix=-x,onlatest=true"])
            && let Ok(computed) = compute(&rules, &facts, &NAMES)
        {
            let mut seen = std::collections::HashSet::new();
            for computed in &computed.tags {
                let tag: Tag = computed.tag.as_str().parse().unwrap();
                prop_assert!(seen.insert(tag), "a tag is given once");
            }
            let first = computed.tags.first().map(|first| first.tag.to_string());
            prop_assert_eq!(&computed.version, &first);
            prop_assert_eq!(computed.explanations.len(), rules.rules().len());
        }
    }

    #[test]
    fn a_rule_that_is_written_and_read_again_is_the_same(text in rule()) {
        if let Ok(read) = RuleSet::parse(&[&text], &[] as &[&str]) {
            let written: Vec<String> = read.rules().iter().map(ToString::to_string).collect();
            let again = RuleSet::parse(&written, &[] as &[&str]).unwrap();
            prop_assert_eq!(&again, &read);
            let twice: Vec<String> = again.rules().iter().map(ToString::to_string).collect();
            prop_assert_eq!(twice, written);
        }
    }

    #[test]
    fn a_sanitised_text_stays_as_it_is(text in "\\PC{0,40}") {
        let once = super::compute::sanitised(&text);
        prop_assert_eq!(super::compute::sanitised(&once), once.clone());
        prop_assert!(!once.is_empty() || text.is_empty());
        let allowed = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
        prop_assert!(once.chars().all(allowed));
    }

    #[test]
    fn a_template_without_braces_is_its_own_text(text in "[^{}\\\\]{0,40}") {
        let template = Template::parse(&text).unwrap();
        prop_assert_eq!(template.source(), text.as_str());
        prop_assert!(template.expressions().next().is_none());
    }

    #[test]
    fn no_text_makes_a_reader_fail_badly(text in "\\PC{0,60}|[{}()\\[\\]\\\\/,=\"'~a-z0-9|?*+]{0,40}") {
        let _ = Template::parse(&text);
        let _ = Image::parse_all(&[&text]);
        let _ = super::Flavor::parse(&[&text]);
        if let Ok(pattern) = Pattern::delimited(&text) {
            let _ = pattern.find("v1.2.3-rc.1+b/feature");
        }
        let own = [("key".to_owned(), text)];
        let input = LabelInput { own: &own, version: None, created: super::Created::Now };
        let _ = labels(&input, &facts("refs/heads/main", "push"), &NAMES);
    }
}

#[test]
fn what_is_quoted_is_not_joined_with_what_follows_it() {
    // Found by fuzzing: written without its quotes, the first field was read with the second.
    let text = r#"type=raw,"prefix={{!",suffix=}}"#;
    assert!(RuleSet::parse(&[text], &[] as &[&str]).is_err());
    let text = r#"a=b,"pattern=x{{y",group=2}}"#;
    let rules = RuleSet::parse(&[text], &[] as &[&str]).unwrap_err();
    assert!(rules.to_string().contains("needs the attribute `value`"));
    let text = r#"v,"pattern=x{{y",group=2}}"#;
    let rules = RuleSet::parse(&[text], &[] as &[&str]).unwrap();
    assert_eq!(rules.rules()[0].to_string(), text);
}

#[test]
fn a_rule_in_quotes_is_written_so_that_it_is_read_again() {
    let none = &[] as &[&str];
    for (text, written) in [
        (r#""type=raw,value=a""#, "type=raw,value=a"),
        (r#""x""#, "x"),
        (r#""""a,b""""#, r#""""a,b""""#),
    ] {
        let rules = RuleSet::parse(&[text], none).unwrap();
        let source = rules.rules()[0].to_string();
        assert_eq!(source, written);
        let again = RuleSet::parse(&[source], none).unwrap();
        assert_eq!(again.rules()[0], rules.rules()[0]);
    }
}

#[test]
fn an_error_says_which_entry_and_which_rule() {
    let rules = ["# one\ntype=sha\ntype=raw,value=x", "type=edge\ntype=ref"];
    let error = RuleSet::parse(&rules, &[] as &[&str]).unwrap_err();
    let super::Error::Rule {
        index, entry, text, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*index, *entry, text.as_str()), (3, 1, "type=ref"));
    assert!(error.to_string().starts_with("tag rule 4 `type=ref`"));
}
