//! Repositories of every kind: shallow, bare, broken, of others, and with changes.

use crate::place::{Place, REFERENCES, reference};

#[test]
fn no_repository_an_unborn_branch_and_a_bare_repository() {
    let mut place = Place::empty();
    assert_eq!(reference(&place), "none");
    assert!(place.tags(&["type=sha", "type=raw,value=x"]) == ["x"]);
    insta::assert_snapshot!(place.shown(&["tags", "--ref", "v1"]), @r"
    exit code 2
    -- stderr
    error: `v1` is neither a tag nor a branch of this repository
    hint: give the full name: refs/heads/NAME or refs/tags/NAME
    ");
    place.git("init --quiet --initial-branch=trunk");
    assert_eq!(reference(&place), "refs/heads/trunk");
    assert_eq!(
        place.tags(&["type=ref,event=branch", "type=sha"]),
        ["trunk"]
    );
    place.commit("one");
    place.git("clone --quiet --bare . ../bare.git");
    place.go("bare.git");
    assert_eq!(
        place.tags(&["type=ref,event=branch", "type=edge"]),
        ["edge", "trunk"]
    );
}

#[test]
fn a_shallow_clone_says_that_it_is_one() {
    let mut place = Place::repository();
    place.commit("two");
    place.git("tag v1.2.3");
    place.commit("three");
    let url = format!("file://{}", place.directory().display());
    place.git(&format!(
        "clone --quiet --depth 1 --branch v1.2.3 {url} ../shallow"
    ));
    place.go("shallow");
    assert_eq!(reference(&place), "refs/tags/v1.2.3");
    let warnings = place.warnings(&["--rule=type=sha,prefix={{on_branch}}-"]);
    assert_eq!(
        warnings,
        [
            "the clone is shallow: which branch holds this commit is not known",
            "{{on_branch}} is empty: no branch is known to hold the tag's commit",
            "tag rule 1: `-REST` was dropped: a tag cannot begin with `.` or `-`"
                .replace("REST", &place.git("rev-parse HEAD")[..7])
                .as_str(),
            "no rule gave a tag",
        ]
    );
}

#[test]
fn worktrees_also_of_a_shallow_clone() {
    let mut place = Place::repository();
    place.commit("two");
    place.git("worktree add --quiet ../tree -b side");
    let url = format!("file://{}", place.directory().display());
    place.git(&format!("clone --quiet --depth 1 {url} ../shallow"));
    place.go("tree");
    assert_eq!(reference(&place), "refs/heads/side");
    place.go("shallow");
    place.git("worktree add --quiet ../shallow-tree -b low");
    place.go("shallow-tree");
    assert_eq!(reference(&place), "refs/heads/low");
    assert_eq!(
        place.tags(&["type=raw,value={{describe}}"]),
        [&place.git("rev-parse HEAD")[..7]]
    );
    place.git("checkout --quiet --detach");
    place.git("branch --quiet -D low");
    assert_eq!(
        place.tags(&REFERENCES),
        ["main"],
        "the default branch that origin names"
    );
}

#[test]
fn a_submodule_is_a_repository_of_its_own() {
    let mut place = Place::repository();
    place.git("init --quiet --initial-branch=inner ../inner");
    place.go("inner");
    place.commit("inner");
    place.go("project");
    place.git("submodule --quiet add ../inner part");
    place.go("project/part");
    place.write("deep/er/x", "");
    place.go("project/part/deep/er");
    assert_eq!(reference(&place), "refs/heads/inner");
}

#[test]
fn what_libgit2_cannot_read_the_program_reads() {
    for format in ["--object-format=sha256", "--ref-format=reftable"] {
        let place = Place::empty();
        let made = place.try_git(&format!("init --quiet --initial-branch=main {format}"));
        if !made.status.success() {
            // The git of an older distribution does not know reftable.
            assert!(format.contains("reftable"), "{format}");
            eprintln!("not tested: this git knows no reftable");
            continue;
        }
        place.commit("one");
        place.commit("two");
        place.git("tag -a -m x v1.0.0 HEAD~1");
        place.git("remote add origin https://me:secret@example.com/acme/app.git");
        let sha = place.git("rev-parse HEAD");
        assert_eq!(
            place.tags(&[
                "type=ref,event=branch",
                "type=raw,value={{describe}}",
                "type=raw,value={{commit_date 'YYYYMMDD'}}-{{dirty}}",
                "type=sha,format=long,prefix=",
            ]),
            [
                "main",
                &format!("v1.0.0-1-g{}", &sha[..7]),
                "20240628-false",
                &sha
            ],
            "{format}"
        );
        place.write("new", "");
        assert_eq!(place.tags(&["type=raw,value={{dirty}}"]), ["true"]);
        place.git("checkout --quiet v1.0.0");
        assert_eq!(
            place.tags(&["type=semver,pattern={{version}},prefix={{on_branch}}-"]),
            ["main-1.0.0", "latest"]
        );
        let json = place.json(&[]);
        assert_eq!(
            json["labels"]["org.opencontainers.image.source"],
            "https://example.com/acme/app"
        );
        place.git("tag --delete v1.0.0");
        assert_eq!(reference(&place), "refs/heads/main");
    }
}

#[cfg(unix)]
#[test]
fn a_repository_of_another_user_is_not_read() {
    let place = Place::repository();
    let other = std::os::unix::fs::chown(place.directory(), Some(12345), None)
        .and_then(|()| std::os::unix::fs::chown(place.directory().join(".git"), Some(12345), None));
    if other.is_err() {
        eprintln!("not tested: only root can give folders away");
        return;
    }
    let shown = place.shown(&["tags", "--rule=type=raw,value=x"]);
    insta::assert_snapshot!(shown, @r"
    exit code 0
    -- stdout
    x
    -- stderr
    warning: the git repository [root]/project was ignored: it belongs to another user
    hint: if you trust it: git config --global --add safe.directory '[root]/project'
    ");
    let file = format!("[safe]\n\tdirectory = {}\n", place.directory().display());
    std::fs::write(place.root().join("home/.gitconfig"), file).unwrap();
    assert_eq!(reference(&place), "refs/heads/main");
}

#[test]
fn dirty_trees() {
    let place = Place::repository();
    let rules = ["--rule=type=ref,event=branch", "--flavor=latest=true"];
    let with = |dirty: &str| {
        let arguments = [&rules[..], &["--dirty", dirty]].concat();
        place.tags_with(&[], &arguments)
    };
    assert_eq!(with("refuse"), ["main", "latest"]);
    place.write("new", "");
    place.write("file", "changed");
    let json = place.json(&["--label=state={{describe}} {{dirty}}"]);
    let state = format!("{} true", &place.git("rev-parse HEAD")[..7]);
    assert_eq!(json["labels"]["state"], state, "labels ask for facts, too");
    assert_eq!(with("allow"), ["main", "latest"]);
    assert_eq!(with("suffix"), ["main-dirty", "latest-dirty"]);
    insta::assert_snapshot!(place.shown(&["tags", "--dirty=refuse"]), @r#"
    exit code 3
    -- stderr
    error: the working tree has changes: file, new
    hint: commit or stash them, or set `dirty = "suffix"` to mark the tags, or `dirty = "allow"`
    "#);
    let json = place.json(&["--rule=type=sha", "--dirty=suffix"]);
    assert_eq!(
        json["details"][0]["kind"], "moving",
        "a dirty tree names nothing for ever"
    );
    place.write(".gitignore", "new\n.gitignore\n");
    place.git("checkout --quiet file");
    assert_eq!(
        with("refuse"),
        ["main", "latest"],
        "ignored files are no changes"
    );
}

#[test]
fn whether_a_sparse_or_split_checkout_is_dirty_git_says() {
    for how in [
        &["sparse-checkout set --cone --sparse-index a"][..],
        &["config core.splitIndex true", "update-index --split-index"],
    ] {
        let mut place = Place::repository();
        place.write("a/x", "1");
        place.write("b/y", "1");
        place.git("add .");
        place.git("commit --quiet -m folders");
        for command in how {
            place.git(command);
        }
        let dirty = ["type=raw,value={{dirty}}"];
        assert_eq!(place.tags(&dirty), ["false"], "{how:?}");
        assert_eq!(place.tags_with(&dirty, &["--dirty=refuse"]), ["false"]);
        place.write("a/x", "2");
        assert_eq!(place.tags(&dirty), ["true"], "{how:?}");
        place.set("PATH", "/nonexistent");
        let shown = place.shown(&["tags", "--dirty=refuse"]);
        assert!(
            shown.contains("the `git` program, which could read it, was not found")
                && shown.contains("hint: install git"),
            "{shown}"
        );
    }
}

#[test]
fn what_git_status_leaves_out_is_no_change_and_what_it_names_is_one() {
    let mut place = Place::repository();
    let dirty = ["type=raw,value={{dirty}}"];
    place.git("init --quiet nested");
    assert_eq!(place.git("status --porcelain"), "?? nested/");
    assert_eq!(place.tags(&dirty), ["true"]);
    place.git("config status.showUntrackedFiles no");
    place.write("new", "");
    assert_eq!(place.git("status --porcelain"), "");
    assert_eq!(place.tags(&dirty), ["false"]);
    place.set("PATH", "/nonexistent");
    assert_eq!(place.tags(&dirty), ["false"], "without git, too");
}

#[test]
fn files_that_a_filter_has_written_are_no_changes() {
    let place = Place::empty();
    place.git("init --quiet --initial-branch=main");
    place.write(".gitattributes", "*.bin filter=lower\n");
    place.git("config filter.lower.clean tr\u{a0}A-Z\u{a0}a-z");
    // Arguments are parted at spaces, and the filter has some.
    let config = std::fs::read_to_string(place.directory().join(".git/config")).unwrap();
    let config = config.replace('\u{a0}', " ");
    std::fs::write(place.directory().join(".git/config"), config).unwrap();
    place.write("x.bin", "abc");
    place.git("add .");
    place.git("commit --quiet -m one");
    place.write("x.bin", "ABC");
    assert_eq!(place.git("status --porcelain"), "");
    assert_eq!(place.tags(&["type=raw,value={{dirty}}"]), ["false"]);
}

#[test]
fn the_variables_of_git_are_heeded() {
    let mut place = Place::repository();
    place.git("branch other");
    place.git("clone --quiet --branch other . ../second");
    place.set(
        "GIT_DIR",
        &place.root().join("second/.git").display().to_string(),
    );
    assert_eq!(reference(&place), "refs/heads/other");
}

#[test]
fn without_the_program_such_a_repository_is_an_error_that_says_so() {
    let mut place = Place::empty();
    place.git("init --quiet --object-format=sha256");
    place.set("PATH", "/nonexistent");
    let shown = place.shown(&["tags"]);
    insta::assert_snapshot!(shown);
    place.set("GITHUB_ACTIONS", "true");
    place.set("GITHUB_REF", "refs/heads/main");
    place.set("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37");
    assert_eq!(
        place.tags(&["type=sha"]),
        ["sha-860c190"],
        "CI knows enough"
    );
    assert!(place.warnings(&[])[0].starts_with("the git repository was ignored: open it"));
}

#[test]
fn a_broken_repository_is_an_error_that_says_where() {
    let place = Place::repository();
    place.write(".git/HEAD", "nonsense");
    let shown = place.shown(&["tags"]);
    insta::assert_snapshot!(shown);
}
