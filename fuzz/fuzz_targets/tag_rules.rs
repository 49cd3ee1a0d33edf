//! Tag rules, flavors, labels and images of any form, on references of any form: no panic, no
//! hang, and nothing but tags comes out.
//!
//! The input's parts are separated by a byte 0: reference, event, rules, flavor, label, image.

#![no_main]

use castoff::facts::{Clock, Environment, Facts, RefContext};
use castoff::oci::Tag;
use castoff::tags::{Created, Image, LabelInput, Names, RuleSet, compute, labels};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\0');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (reference, event, rules) = (part(), part(), part());
    let (flavor, label, image) = (part(), part(), part());
    let facts = Facts {
        environment: Environment::default(),
        clock: Clock {
            now: jiff::Timestamp::UNIX_EPOCH,
            fixed: true,
        },
        git: None,
        ci: None,
        context: RefContext {
            reference: Some(reference),
            event,
            sha: Some("860c1904a1ce19322e91ac35af1ab07466440c37".to_owned()),
            default_branch: Some("main".to_owned()),
            ..RefContext::default()
        },
        warnings: Vec::new(),
    };
    let names = Names {
        service: "api",
        project: "shop",
    };
    let _ = Image::parse_all(&[&image]);
    let own = [(label.clone(), label)];
    let input = LabelInput {
        own: &own,
        version: None,
        created: Created::Commit,
    };
    let _ = labels(&input, &facts, &names);
    let Ok(rules) = RuleSet::parse(&[&rules], &[&flavor]) else {
        return;
    };
    let written: Vec<String> = rules.rules().iter().map(ToString::to_string).collect();
    let again = RuleSet::parse(&[written.join("\n")], &[&flavor])
        .expect("a rule that is written is read again");
    assert_eq!(again.rules(), rules.rules());
    if let Ok(computed) = compute(&rules, &facts, &names) {
        for computed in &computed.tags {
            computed.tag.as_str().parse::<Tag>().expect("a tag");
        }
    }
});
