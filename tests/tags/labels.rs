//! Labels and annotations.

use crate::place::Place;

#[test]
fn labels_come_from_the_event_and_from_the_user() {
    let mut place = Place::github("refs/tags/v1.2.3", "push");
    place.payload(
        r#"{"repository": {"default_branch": "main", "name": "Hello-World", "html_url": "https://example.com/octocat/Hello-World",
            "description": "This your first repo!", "license": {"spdx_id": "MIT"}}}"#,
    );
    let json = place.json(&[
        "--rule=type=semver,pattern={{version}}",
        "--label=org.opencontainers.image.title=Mine",
        "--label=maintainer=me",
        "--label=built-from={{tag}}={{sha}}",
        "--label=maintainer=you",
    ]);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json["labels"]).unwrap());
}

#[test]
fn what_is_not_known_is_an_empty_label() {
    let place = Place::empty();
    let json = place.json(&["--rule=type=raw,value=x"]);
    let labels = json["labels"].as_object().unwrap();
    assert_eq!(labels.len(), 8);
    assert_eq!(labels["org.opencontainers.image.title"], "project");
    assert_eq!(labels["org.opencontainers.image.revision"], "");
    assert_eq!(labels["org.opencontainers.image.version"], "x");
}

#[test]
fn annotations_are_made_for_each_level_asked_for() {
    let mut place = Place::github("refs/heads/main", "push");
    let levels = |place: &Place, arguments: &[&str]| {
        let json = place.json(arguments);
        let levels = json["annotations"].as_object().unwrap();
        levels.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(levels(&place, &[]), "manifest");
    assert_eq!(
        levels(
            &place,
            &["--annotation-levels=index, index-descriptor,manifest-descriptor"]
        ),
        "index index-descriptor manifest-descriptor"
    );
    place.set("DOCKER_METADATA_ANNOTATIONS_LEVELS", "manifest,index");
    assert_eq!(levels(&place, &[]), "index manifest");
    let json = place.json(&["--annotation=a=b", "--label=c=d"]);
    assert_eq!(json["annotations"]["index"]["a"], "b");
    assert_eq!(json["annotations"]["index"].get("c"), None);
    insta::assert_snapshot!(place.shown(&["tags", "--annotation-levels=indexes"]));
}

#[test]
fn what_is_no_label_is_an_error() {
    let place = Place::empty();
    for label in ["novalue", "=x", "a={{date 'YYYY' tz='Nowhere'}}", "a={{"] {
        for (flag, kind) in [("--label", "label `"), ("--annotation", "annotation `")] {
            let output = place.castoff(&["tags", flag, label]);
            assert_eq!(output.status.code(), Some(2), "{label}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.starts_with(&format!("error: {kind}")), "{said}");
        }
    }
}

#[test]
fn a_comment_is_no_label() {
    let place = Place::empty();
    let json = place.json(&[
        "--rule=type=raw,value=x",
        "--label",
        "# a=b",
        "--annotation",
        " #c",
    ]);
    assert_eq!(json["labels"].as_object().unwrap().len(), 8);
    assert_eq!(
        json["annotations"]["manifest"].as_object().unwrap().len(),
        8
    );
}

#[test]
fn an_annotation_for_one_platform_is_refused_with_what_there_is() {
    let mut place = Place::empty();
    place.set(
        "DOCKER_METADATA_ANNOTATIONS_LEVELS",
        "manifest[linux/amd64],index",
    );
    insta::assert_snapshot!(place.shown(&["tags"]), @r"
    exit code 2
    -- stderr
    error: `manifest[linux/amd64]` is no level of annotations
    hint: an annotation is written for all platforms alike: leave out what is in brackets
    ");
}
