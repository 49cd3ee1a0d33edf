//! Where castoff differs from docker/metadata-action on purpose: one test for each.

use crate::place::Place;

#[test]
fn a_result_that_is_no_tag_is_dropped_with_a_warning_that_names_the_rule() {
    let place = Place::github("refs/tags/v1.2.3", "push");
    let rules = [
        "--rule=type=raw,value=-abc",
        "--rule=type=raw,value={{branch}},suffix=-x",
        "--rule=type=raw,value=ok",
    ];
    assert_eq!(place.tags_with(&[], &rules), ["ok"]);
    assert_eq!(
        place.warnings(&rules),
        [
            "tag rule 1: `-abc` was dropped: a tag cannot begin with `.` or `-`",
            "tag rule 2: `-x` was dropped: it is only prefix and suffix",
        ]
    );
    let long = format!("type=raw,value={}", "x".repeat(129));
    assert_eq!(place.tags(&[&long]), Vec::<String>::new());
    assert_eq!(place.tags(&[&long[..long.len() - 1]]).len(), 1);
}

#[test]
fn latest_is_given_once_also_when_a_rule_says_it() {
    let place = Place::github("refs/tags/v1.2.3", "push");
    assert_eq!(
        place.tags(&["type=ref,event=tag", "type=raw,value=latest"]),
        ["v1.2.3", "latest"]
    );
}

#[test]
fn nothing_is_escaped_for_html() {
    let place = Place::github("refs/heads/a&b", "push");
    assert_eq!(place.tags(&["type=raw,value={{branch}}"]), ["a-b"]);
}

#[test]
fn created_is_the_date_of_the_commit() {
    let place = Place::repository();
    let json = place.json(&[]);
    assert_eq!(
        json["labels"]["org.opencontainers.image.created"],
        "2024-06-28T08:00:00Z"
    );
}

#[test]
fn an_unknown_time_zone_is_an_error() {
    let place = Place::github("refs/heads/main", "push");
    let rule = "--rule=type=raw,value={{date 'YYYY' tz='Asia/Tokio'}}";
    insta::assert_snapshot!(place.shown(&["tags", rule]), @"
    exit code 2
    -- stderr
    error: tag rule 1 `type=raw,value={{date 'YYYY' tz='Asia/Tokio'}}`: `value`: unknown time zone `Asia/Tokio`
    hint: did you mean `Asia/Tokyo`?
    ::error::tag rule 1 `type=raw,value={{date 'YYYY' tz='Asia/Tokio'}}`: `value`: unknown time zone `Asia/Tokio`
    ");
}

#[test]
fn a_regular_expression_with_a_comma_needs_no_quotes() {
    let place = Place::github("refs/tags/20200110-RC2", "push");
    for rule in [
        r"type=match,pattern=^(\d{1,8})-RC\d{1,2}$,group=1",
        r#"type=match,"pattern=^(\d{1,8})-RC\d{1,2}$",group=1"#,
        r"type=match,pattern=^([0-9,]+),group=1",
    ] {
        assert_eq!(place.tags(&[rule]), ["20200110", "latest"], "{rule}");
    }
    let place = Place::github("refs/tags/api/v1.2.3", "push");
    assert_eq!(
        place.tags(&[r"type=semver,match=^api/v(\d{1,3}\.\d{1,3}\.\d{1,3})$,pattern={{version}}"]),
        ["1.2.3", "latest"]
    );
}

#[test]
fn channels_are_told_from_what_stays() {
    let place = Place::github("refs/tags/v1.2.3", "push");
    let json = place.json(&[
        "--rule=type=semver,pattern={{version}}",
        "--rule=type=semver,pattern={{major}}.{{minor}}",
        "--rule=type=sha",
        "--rule=type=raw,value=stable",
        "--rule=type=raw,value={{date 'YYYYMMDD'}}",
        "--rule=type=raw,value={{date 'YYYYMMDD-HHmmss'}}",
    ]);
    let channels: Vec<String> = json["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{} {} {}", it["tag"], it["kind"], it["order"]))
        .collect();
    assert_eq!(
        channels,
        [
            r#""1.2.3" "version" null"#,
            r#""1.2" "version-channel" "1.2.3""#,
            r#""stable" "moving" null"#,
            r#""20200110" "date" null"#,
            r#""20200110-003000" "time" null"#,
            r#""sha-860c190" "commit" null"#,
            r#""latest" "latest" "1.2.3""#,
        ]
    );
}

#[test]
fn latest_goes_by_version_on_a_release_and_by_commit_on_a_branch() {
    let kind = |reference: &str, rules: &[&str]| {
        let json = Place::github(reference, "push").json(rules);
        let details = json["details"].as_array().unwrap();
        let latest = details.iter().find(|it| it["tag"] == "latest").unwrap();
        format!("{} {}", latest["kind"], latest["order"])
    };
    let said = [
        "--rule=type=semver,pattern={{raw}}",
        "--rule=type=raw,value=latest",
    ];
    assert_eq!(kind("refs/tags/v1.2.3", &said), r#""latest" "1.2.3""#);
    assert_eq!(kind("refs/heads/main", &said), r#""latest" null"#);
    let match_rule = [r"--rule=type=match,pattern=v(\d+\.\d+),group=1"];
    assert_eq!(kind("refs/tags/v1.2.3", &match_rule), r#""latest" "1.2.3""#);
}

#[test]
fn explain_says_for_every_rule_why_it_fired_or_not() {
    let place = Place::github("refs/tags/api/v1.2.3", "push");
    let shown = place.shown(&[
        "tags",
        "--explain",
        "--image=ghcr.io/Acme/API",
        r"--rule=type=semver,pattern={{version}},match=^api/v(.*)",
        "--rule=type=semver,pattern={{major}}",
        "--rule=type=ref,event=tag",
        "--rule=type=ref,event=branch",
        "--rule=type=schedule",
        "--rule=type=edge",
        "--rule=type=raw,value=stable,enable={{is_default_branch}}",
        "--rule=type=raw,value=1.2.3",
        "--rule=type=match,pattern=^v(.*)",
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn a_rule_is_checked_also_where_it_would_not_fire() {
    let place = Place::github("refs/heads/main", "push");
    for rule in [
        "type=semver,pattern={{major",
        "type=match,pattern=(",
        "type=ref,event=tag,enable=false,prefix={{#if x}}",
    ] {
        let output = place.castoff(&["tags", "--rule", rule]);
        assert_eq!(output.status.code(), Some(2), "{rule}");
    }
}

#[test]
fn a_tag_is_the_default_branch_only_with_events_that_the_action_takes_for_it() {
    let rule = ["type=raw,value={{is_default_branch}}"];
    for (event, said) in [
        ("push", "false"),
        ("release", "false"),
        ("create", "true"),
        ("discussion_comment", "true"),
        ("schedule", "true"),
    ] {
        let place = Place::github("refs/tags/v1.2.3", event);
        assert_eq!(place.tags(&rule), [said], "{event}");
    }
}

#[test]
fn expressions_of_our_own() {
    let mut place = Place::github("refs/heads/main", "push");
    place.set("COLOUR", "red");
    assert_eq!(
        place.tags_with(
            &["type=raw,value={{project}}_{{service}}_{{env.COLOUR}}_{{dirty}}_{{on_branch}}_{{describe}}"],
            &["--service=api"]
        ),
        ["project_api_red_false_main_860c190"]
    );
    place.set("DEPLOY_TOKEN", "hunter2");
    let shown = place.shown(&["tags", "--rule=type=raw,value={{env.DEPLOY_TOKEN}}"]);
    insta::assert_snapshot!(shown);
}
