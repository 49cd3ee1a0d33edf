//! References of real repositories: what HEAD is, and what `--ref` means.

use crate::place::{Place, REFERENCES, reference};

#[test]
fn a_branch_that_is_checked_out() {
    let place = Place::repository();
    let sha = place.git("rev-parse HEAD");
    assert_eq!(
        place.tags(&[
            "type=ref,event=branch",
            "type=edge",
            "type=raw,value={{commit_date 'YYYYMMDD'}}",
            "type=sha,format=long,prefix=",
        ]),
        ["edge", "main", "20240628", &sha]
    );
}

#[test]
fn the_release_example() {
    let place = Place::repository();
    let sha = place.commit("two");
    place.git("tag v1.2.3");
    place.git("checkout --quiet v1.2.3");
    let rules = [
        "type=semver,pattern={{raw}}",
        "type=semver,pattern={{major}}.{{minor}}",
        "type=semver,pattern={{major}}",
        "type=sha,prefix={{on_branch}}-",
        "type=sha,length=13",
        "type=raw,value={{commit_date 'YYYYMMDD'}},priority=1",
    ];
    let mut tags = place.tags(&rules);
    assert_eq!(
        tags,
        [
            "v1.2.3",
            "1.2",
            "1",
            &format!("main-{}", &sha[..7]),
            &format!("sha-{}", &sha[..13]),
            "20240628",
            "latest",
        ]
    );
    tags.rotate_right(1);
    assert_eq!(tags[0], "latest");
}

#[test]
fn a_detached_head_with_tags_is_the_one_that_git_names_first() {
    for (tags, annotated, taken) in [
        ("v1 v1.2 v1.2.3", "annotated", "v1.2.3"),
        ("v2.0.0", "a-very-long-annotated", "v2.0.0"),
        ("v1.2.3 latest-stable-release", "", "v1.2.3"),
        ("v1.2.3 frontend/v10.0.0-beta.1", "", "v1.2.3"),
        ("v1.9.0 v1.10.0", "", "v1.9.0"),
        ("zzz", "v1.0.0", "zzz"),
        ("v1.0.0 V2 ä", "", "ä"),
    ] {
        let place = Place::repository();
        for tag in tags.split(' ') {
            place.git(&format!("tag {tag}"));
        }
        if !annotated.is_empty() {
            place.git(&format!("tag -a -m release {annotated}"));
        }
        for pack in [false, true] {
            if pack {
                place.git("pack-refs --all");
            }
            place.git("checkout --quiet --detach");
            // What the action looks at, from this very git.
            let decoration = place.git("log -1 --pretty=%D");
            let first = decoration.split(", tag: ").nth(1).unwrap();
            assert_eq!(first.split(", ").next(), Some(taken), "{decoration}");
            assert_eq!(reference(&place), format!("refs/tags/{taken}"));
        }
    }
    let place = Place::repository();
    for tag in ["v1", "v1.2", "v1.2.3"] {
        place.git(&format!("tag {tag}"));
    }
    place.git("checkout --quiet --detach");
    assert_eq!(
        place.warnings(&[]),
        ["HEAD has several tags: `v1.2.3` was taken, not `v1`, `v1.2`"]
    );
}

#[test]
fn a_detached_head_at_a_pull_reference() {
    let place = Place::repository();
    place.git("update-ref refs/pull/12/merge HEAD");
    place.git("update-ref refs/remotes/origin/feature HEAD");
    place.git("checkout --quiet --detach");
    assert_eq!(place.tags(&REFERENCES), ["pr-12"]);
    place.git("update-ref -d refs/pull/12/merge");
    place.git("update-ref refs/remotes/pull/13/head HEAD");
    place.git("update-ref -d refs/remotes/origin/feature");
    assert_eq!(place.tags(&REFERENCES), ["pr-13-head"]);
    place.git("update-ref -d refs/remotes/pull/13/head");
    place.git("update-ref refs/remotes/pull/7/merge HEAD");
    assert_eq!(
        place.tags(&REFERENCES),
        ["pr-7"],
        "as actions/checkout leaves it"
    );
    place.git("update-ref refs/remotes/origin/pull/14/merge HEAD");
    assert_eq!(place.tags(&REFERENCES), ["pr-14"]);
}

#[test]
fn a_detached_head_at_a_branch_of_a_remote() {
    let place = Place::repository();
    place.git("checkout --quiet --detach");
    place.commit("two");
    place.git("update-ref refs/remotes/origin/feature/x HEAD");
    assert_eq!(reference(&place), "refs/heads/feature/x");
    place.git("update-ref refs/remotes/origin/main HEAD");
    place.git("symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main");
    assert_eq!(
        reference(&place),
        "refs/heads/main",
        "the default branch first"
    );
}

#[test]
fn a_detached_head_that_branches_or_tags_hold() {
    let place = Place::repository();
    let first = place.git("rev-parse HEAD");
    place.commit("two");
    place.git(&format!("checkout --quiet {first}"));
    assert_eq!(reference(&place), "refs/heads/main");
    place.git("update-ref refs/remotes/origin/dev main");
    place.git("branch --quiet -D main");
    assert_eq!(reference(&place), "refs/heads/dev");
    place.git("tag later origin/dev");
    place.git("update-ref -d refs/remotes/origin/dev");
    assert_eq!(reference(&place), "refs/tags/later");
}

#[test]
fn a_detached_head_that_only_tags_hold_is_the_first_by_name() {
    let place = Place::repository();
    let first = place.git("rev-parse HEAD");
    place.git("tag before");
    for (message, tag) in [("two", "v1.10"), ("three", "v1.9"), ("four", "v2.0")] {
        place.commit(message);
        place.git(&format!("tag {tag}"));
    }
    place.git("tag --delete before");
    place.git(&format!("checkout --quiet {first}"));
    place.git("branch --quiet -D main");
    let contains = place.git("tag --contains HEAD");
    assert_eq!(contains.lines().next(), Some("v1.10"));
    assert_eq!(reference(&place), "refs/tags/v1.10");
    place.git("tag --delete v1.10");
    assert_eq!(reference(&place), "refs/tags/v1.9");
}

#[test]
fn a_detached_head_that_nothing_holds_is_an_error_with_a_way_out() {
    let place = Place::repository();
    place.git("checkout --quiet --detach");
    place.commit("two");
    let shown = place.shown(&["tags"]);
    let commit = &place.git("rev-parse HEAD")[..12];
    insta::assert_snapshot!(shown.replace(commit, "[commit]"), @r"
    exit code 2
    -- stderr
    error: cannot tell which branch or tag [commit] is: HEAD is detached and nothing points to it
    hint: say which it is: --ref refs/heads/NAME or --ref refs/tags/NAME (and --event, if a rule asks for one)
    ");
    let tags = place.tags_with(&[], &["--ref", "refs/tags/v9"]);
    assert_eq!(tags, ["v9", "latest"]);
}

#[test]
fn the_default_branch_is_known_or_it_is_not() {
    let place = Place::empty();
    place.git("init --quiet --initial-branch=feature");
    place.commit("one");
    let default = |place: &Place| place.json(&[])["context"]["default_branch"].clone();
    assert_eq!(default(&place), "feature", "the only one");
    place.git("update-ref refs/remotes/origin/feature HEAD");
    assert_eq!(
        default(&place),
        serde_json::Value::Null,
        "the clone of one branch"
    );
    let warnings = place.warnings(&["--rule=type=edge"]);
    assert_eq!(
        warnings[0],
        "tag rule 1: the repository's default branch is not known"
    );
    place.git("config init.defaultBranch feature");
    assert_eq!(default(&place), "feature");
    place.git("branch next");
    place.git("config init.defaultBranch next");
    assert_eq!(default(&place), "next");
    place.git("update-ref refs/remotes/origin/trunk HEAD");
    place.git("symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/trunk");
    assert_eq!(default(&place), "trunk", "what origin said");
}

#[test]
fn a_short_ref_is_looked_up() {
    let place = Place::repository();
    place.git("branch feature");
    place.git("tag v1.2.3");
    let seen = |name: &str| place.json(&["--ref", name])["context"]["ref"].clone();
    assert_eq!(seen("v1.2.3"), "refs/tags/v1.2.3");
    assert_eq!(seen("feature"), "refs/heads/feature");
    assert_eq!(seen("refs/heads/none"), "refs/heads/none");
    insta::assert_snapshot!(place.shown(&["tags", "--ref", "v1.2.4"]), @r"
    exit code 2
    -- stderr
    error: `v1.2.4` is neither a tag nor a branch of this repository
    hint: did you mean `v1.2.3`? A full name is always taken: refs/heads/NAME, refs/tags/NAME
    ");
    place.commit("two");
    let warnings = place.warnings(&["--ref", "v1.2.3"]);
    assert!(
        warnings[0].starts_with("refs/tags/v1.2.3 is at") && warnings.len() == 1,
        "{warnings:?}"
    );
}

#[test]
fn a_branch_of_any_name_is_a_tag() {
    let place = Place::repository();
    place.git("checkout --quiet -b feature/ä#1245&<b>");
    assert_eq!(place.tags(&REFERENCES), ["feature-1245-b-"]);
}

#[test]
fn credentials_of_the_remote_are_never_shown() {
    let place = Place::repository();
    place.git("remote add origin .");
    for remote in [
        "https://me:hunter2@example.com/acme/app.git?token=hunter3",
        "me:hunter2@example.com/acme/app",
        "oauth2:hunter2@example.com:acme/app.git",
    ] {
        place.git(&format!("remote set-url origin {remote}"));
        for arguments in [
            &["tags", "--explain"][..],
            &["tags", "--format=json"],
            &["tags", "--dirty=refuse", "--rule=type=foo"],
        ] {
            let shown = place.shown(arguments);
            assert!(!shown.contains("hunter"), "{remote} {arguments:?}");
        }
        let label = &place.json(&[])["labels"]["org.opencontainers.image.source"];
        assert_eq!(label, "https://example.com/acme/app");
    }
}

#[test]
fn a_workflow_that_checked_out_something_else_is_told() {
    let mut place = Place::repository();
    place.set("GITHUB_ACTIONS", "true");
    place.set("GITHUB_REF", "refs/heads/main");
    place.set("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37");
    let head = &place.git("rev-parse HEAD")[..12];
    assert_eq!(
        place.warnings(&["--rule=type=sha"]),
        [
            format!("tags and labels will name commit 860c1904a1ce, but {head} is checked out"),
            "the commit's date is not known: now was taken for it".to_owned()
        ]
    );
}

#[test]
fn the_date_of_a_commit_that_is_not_checked_out_is_looked_up() {
    let mut place = Place::repository();
    let first = place.git("rev-parse HEAD");
    place.commit("two");
    place.set("GITHUB_ACTIONS", "true");
    place.set("GITHUB_REF", "refs/pull/1/merge");
    place.set("GITHUB_SHA", &first);
    assert_eq!(
        place.tags(&["type=raw,value={{commit_date 'YYYYMMDD'}}"]),
        ["20240628"]
    );
}
