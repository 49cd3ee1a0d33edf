//! Messages, and what the action's users rely on.

use crate::place::Place;

/// What is shown for one wrong rule.
fn refused(rule: &str) -> String {
    Place::github("refs/tags/v1.2.3", "push").shown(&["tags", "--rule", rule])
}

#[test]
fn errors_name_the_rule_and_the_attribute() {
    let mut all = String::new();
    for rule in [
        "type=semvar,pattern={{version}}",
        "type=semver",
        "type=semver,patern={{version}}",
        "type=ref",
        "type=ref,event=brunch",
        "type=sha,format=medium",
        "type=sha,length=0",
        "type=match,pattern=v(.*),group=first",
        "type=match,pattern=v(.*",
        "type=match,pattern=/api/v1",
        r"type=match,pattern=(.*)(.*)(.*)(.*)(.*)\1x,value=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "type=raw,value=x,enable=maybe",
        "type=raw,value={{brnach 'x'}}",
        "type=raw,value={{date}}",
        "type=raw,value={{date 'YYYY' zone='UTC'}}",
        "type=raw,value={{sha",
        "type=raw,value={{#if tag}}x{{/if}}",
        "type=raw,value=\"x\"",
        "type=raw",
    ] {
        all.push_str(&refused(rule));
        all.push('\n');
    }
    insta::assert_snapshot!(all);
}

#[test]
fn warnings_name_the_rule_and_the_nearest_name() {
    let place = Place::github("refs/tags/v1.2", "push");
    insta::assert_snapshot!(place.shown(&[
        "tags",
        "--image=Acme/App:x",
        "--rule=type=semver,pattern={{version}}",
        "--rule=type=raw,value=a{{brnach}},prefxi=x-",
        "--rule=type=raw,value=b,priority=high",
        "--rule=type=schedule,pattern={{sha}}",
        "--rule=type=match,pattern=^x",
        "--rule=type=match,pattern=v,group=7",
        "--rule=type=raw,value=c{{env.NOBODY}}",
    ]));
}

#[test]
fn flavors_and_images_that_are_wrong() {
    let place = Place::empty();
    let mut all = String::new();
    for arguments in [
        ["--flavor", "latest"],
        ["--flavor", "latest=perhaps"],
        ["--flavor", "perfix=x"],
        ["--flavor", "prefix=x,onlatest=yes"],
        ["--image", "a/b,enabel=false"],
        ["--image", "name=,enable=true"],
    ] {
        all.push_str(&place.shown(&["tags", arguments[0], arguments[1]]));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_text_form_is_one_tag_a_line() {
    let place = Place::github("refs/tags/v1.2.3", "push");
    insta::assert_snapshot!(place.shown(&["tags", "--image=a/b", "--image=ghcr.io/A/c", "--image=d/e,enable=false"]), @r"
    exit code 0
    -- stdout
    a/b:v1.2.3
    a/b:latest
    ghcr.io/a/c:v1.2.3
    ghcr.io/a/c:latest
    ");
}

#[test]
fn an_entry_may_have_several_lines_and_comments() {
    let place = Place::github("refs/heads/main", "push");
    assert_eq!(
        place.tags(&[
            "# the branch\ntype=ref,event=branch\n\n  type=raw,value=x",
            "#only this"
        ]),
        ["main", "x"]
    );
    assert_eq!(place.tags(&["# nothing"]), ["main"], "the default rules");
}

#[test]
fn an_event_can_be_said() {
    let place = Place::repository();
    assert_eq!(
        place.tags_with(&[], &["--event=schedule"]),
        ["nightly", "main"]
    );
}

#[test]
fn gitlab_gives_the_same_words() {
    let mut place = Place::empty();
    place.set("GITLAB_CI", "true");
    place.set("CI_COMMIT_BRANCH", "main");
    place.set("CI_DEFAULT_BRANCH", "main");
    place.set("CI_COMMIT_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37");
    place.set("CI_PIPELINE_SOURCE", "schedule");
    place.set("CI_COMMIT_TIMESTAMP", "2022-01-31T16:47:55Z");
    assert_eq!(
        place.tags(&[
            "type=schedule",
            "type=edge",
            "type=sha",
            "type=raw,value={{commit_date 'YYYYMMDD'}},enable={{is_default_branch}}"
        ]),
        ["nightly", "edge", "20220131", "sha-860c190"]
    );
    place.set("CI_MERGE_REQUEST_IID", "7");
    place.set("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main");
    assert_eq!(
        place.tags(&[
            "type=ref,event=pr",
            "type=raw,value={{base_ref}}-{{is_default_branch}}"
        ]),
        ["pr-7", "main-false"]
    );
}

#[test]
fn a_schedule_of_gitlab_on_another_branch_is_not_latest() {
    let mut place = Place::empty();
    place.set("GITLAB_CI", "true");
    place.set("CI_COMMIT_BRANCH", "dev");
    place.set("CI_DEFAULT_BRANCH", "main");
    place.set("CI_COMMIT_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37");
    place.set("CI_PIPELINE_SOURCE", "schedule");
    let rules = [
        "type=schedule",
        "type=raw,value=latest,enable={{is_default_branch}}",
    ];
    assert_eq!(place.tags(&rules), ["nightly"]);
    place.set("CI_COMMIT_BRANCH", "main");
    assert_eq!(place.tags(&rules), ["nightly", "latest"]);
}

#[test]
fn a_rule_that_is_quoted_as_a_whole_is_a_rule() {
    let place = Place::github("refs/tags/v1.2.3", "push");
    assert_eq!(
        place.tags(&["\"type=raw,value=a\"\n\"type=semver,pattern={{version}}\""]),
        ["1.2.3", "a", "latest"]
    );
    // What is in quotes within it stays in one piece.
    assert_eq!(
        place.tags(&["\"type=match,\"\"pattern=v(\\d{1,2})\"\",group=1\""]),
        ["1", "latest"]
    );
    assert_eq!(place.tags(&["\"\"", "b"]), ["b"], "nothing in quotes");
}

#[test]
fn an_image_without_a_name_has_no_tags() {
    let place = Place::github("refs/tags/v1.2.3", "push");
    let rule = "--rule=type=semver,pattern={{version}}";
    assert_eq!(
        place.tags_with(&[], &[rule, "--image=a,"]),
        ["a:1.2.3", "a:latest"]
    );
}

#[test]
fn short_names_have_as_many_digits_as_asked_for() {
    let mut place = Place::github("refs/heads/main", "push");
    place.set("DOCKER_METADATA_SHORT_SHA_LENGTH", "10");
    assert_eq!(
        place.tags(&["type=sha", "type=raw,value={{sha}}"]),
        ["860c1904a1", "sha-860c1904a1"]
    );
    place.set("DOCKER_METADATA_SHORT_SHA_LENGTH", "ten");
    assert_eq!(
        place.castoff(&["tags", "--rule=type=sha"]).status.code(),
        Some(2)
    );
}

#[test]
fn control_characters_of_others_do_not_reach_the_terminal() {
    let place = Place::github("refs/heads/a\u{1b}[31mb", "pu\u{7}sh");
    let shown = place.shown(&[
        "tags",
        "--explain",
        "--rule=type=ref,event=branch",
        "--rule=type=edge",
        "--rule=type=schedule",
    ]);
    assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown}");
}

#[test]
fn a_payload_that_is_too_large_or_broken_is_refused() {
    let mut place = Place::github("refs/heads/main", "push");
    let mut said = |payload: &str| {
        place.payload(payload);
        let output = place.castoff(&["tags"]);
        assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said("{\"repository\": ").contains("cannot be read: EOF"));
    let large = said(&format!("[{}]", "[],".repeat(9_000_000)));
    assert!(large.contains("it is larger than 25 MiB"), "{large}");
}

#[test]
fn the_json_form() {
    let place = Place::github("refs/tags/v1.2.3", "push");
    let shown = place.shown(&[
        "tags",
        "--format=json",
        "--image=ghcr.io/Acme/App",
        "--rule=type=semver,pattern={{version}}",
        "--rule=type=semver,pattern={{major}}.{{minor}}",
        "--rule=type=ref,event=branch",
        "--rule=type=ref,event=tag,prefix=git/",
        "--label=maintainer=me",
    ]);
    insta::assert_snapshot!(shown);
}
