//! Plans against what a registry holds, and publishes that need no builder. There is none here: whoever
//! asked for one would fail.

use std::fmt::Write as _;
use std::process::Command;

use crate::support::images::labelled;
use crate::support::program::Castoff;
use crate::support::project::Project;
use crate::support::registry::{Access, Fault, Settings, TestRegistry, When};

const VERSION: &str = "org.opencontainers.image.version";
const REVISION: &str = "org.opencontainers.image.revision";
const CREATED: &str = "org.opencontainers.image.created";

/// One service that is built from nothing, for linux/amd64.
pub(crate) fn project(registries: &[&TestRegistry], rules: &str) -> Project {
    let mut publish = String::from("[build]\nplatforms = [\"linux/amd64\"]\n");
    for (index, registry) in registries.iter().enumerate() {
        let _ = write!(
            publish,
            "[registries.r{index}]\nrepository = \"{}/{{{{service}}}}\"\n",
            registry.host()
        );
    }
    let _ = writeln!(publish, "[tags]\nrules = [{rules}]");
    Project::new()
        .file(
            "compose.yaml",
            "name: shop\nservices:\n  api:\n    build: api\n",
        )
        .file("api/Dockerfile", "FROM scratch\nCOPY file /\n")
        .file("api/file", "content\n")
        .file(".gitignore", ".home\n.state\n")
        .file("publish.toml", &publish)
        .git()
}

pub(crate) fn castoff<const N: usize>(project: &Project, arguments: [&str; N]) -> Castoff {
    project
        .castoff(arguments)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .env(
            "CASTOFF_STATE",
            project.join(".state").display().to_string(),
        )
}

pub(crate) fn head(project: &Project) -> String {
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(project.path())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// One more service, so that there is something to share.
fn two_services(registry: &TestRegistry) -> Project {
    let project = project(&[registry], "\"type=raw,value=latest\"");
    project.write(
        "compose.yaml",
        "name: shop\nservices:\n  api:\n    build: api\n  web:\n    build: api\n",
    );
    project
}

/// The digest of the inputs of the only service.
pub(crate) fn inputs(project: &Project) -> String {
    let plan = castoff(project, ["plan", "--format", "json"])
        .run()
        .exits(0)
        .json();
    plan["targets"][0]["inputs"].as_str().unwrap().to_owned()
}

#[test]
fn an_unchanged_image_is_published_without_a_builder_and_without_a_write() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=raw,value=latest\"");
    // Not this commit: the image keeps the one that it was built from.
    let commit = "0123456789012345678901234567890123456789";
    let inputs = inputs(&project);
    let image = labelled(1, &[("dev.castoff.inputs", &inputs), (REVISION, commit)]);
    registry.put("api", "latest", &image);
    registry.script().clear();
    let plan = castoff(&project, ["plan", "--detailed-exitcode"])
        .run()
        .exits(0);
    let image_digest = image.manifest.digest().clone();
    let hidden = [
        (registry.host(), "[host]"),
        (image_digest.short(), "[same image]"),
    ];
    insta::assert_snapshot!(plan.shown(&hidden), @"
    exit 0
    --- stdout
     SERVICE  ACTION                     PLATFORMS    REPOSITORY
     api      reuse sha256:[same image]  linux/amd64  [host]/api

     SERVICE  WHY
     api      reuse sha256:[same image]…, built from commit 012345678901

     TAG                         CHANGE                     RULE
     [host]/api:latest  sha256:[same image] stays  type=raw,value=latest

    0 to build, 1 to reuse; 0 of 1 tags move
    --- stderr
    ");
    let ran = castoff(&project, ["publish", "--format", "json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(ran["moved"], serde_json::json!([]));
    assert_eq!(ran["images"][0]["reused"], true);
    assert_eq!(ran["images"][0]["digest"], image.manifest.digest().as_str());
    assert_eq!(ran["images"][0]["labels"][REVISION], commit);
    let lines = registry.script().lines();
    assert!(lines.iter().all(|line| !line.starts_with('P')), "{lines:?}");
}

#[test]
fn a_new_tag_of_an_unchanged_image_is_written_and_nothing_else() {
    let registry = TestRegistry::start();
    let project = project(
        &[&registry],
        "\"type=raw,value=latest\",\"type=raw,value=next\"",
    );
    let image = labelled(1, &[("dev.castoff.inputs", &inputs(&project))]);
    registry.put("api", "latest", &image);
    castoff(&project, ["plan", "--detailed-exitcode"])
        .run()
        .exits(10);
    registry.script().clear();
    let ran = castoff(&project, ["publish", "--format", "json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(ran["moved"].as_array().unwrap().len(), 1);
    let tags = registry.tags();
    assert_eq!(tags["api:latest"], tags["api:next"]);
    // The tag, and the record of the release, which is known by its digest alone.
    assert_eq!(registry.script().count("PUT", "/manifests/next"), 1);
    assert_eq!(registry.script().count("PUT", "/manifests/sha256:"), 1);
    assert_eq!(registry.script().count("PUT", "/manifests/"), 2);
}

#[test]
fn a_registry_that_lacks_the_image_gets_a_copy_of_it() {
    let (one, other) = (TestRegistry::start(), TestRegistry::start());
    let project = project(&[&one, &other], "\"type=raw,value=latest\"");
    let image = labelled(1, &[("dev.castoff.inputs", &inputs(&project))]);
    // Only the second has it.
    other.put("api", "latest", &image);
    castoff(&project, ["publish"]).run().exits(0);
    for registry in [&one, &other] {
        assert!(registry.is_whole("api", "latest"));
        assert_eq!(
            registry.tags()["api:latest"],
            image.manifest.digest().to_string()
        );
    }
}

#[test]
fn an_image_for_another_platform_is_not_reused() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=raw,value=latest\"");
    let image = labelled(1, &[("dev.castoff.inputs", &inputs(&project))]);
    registry.put("api", "latest", &image);
    project.write(
        "publish.toml",
        &std::fs::read_to_string(project.join("publish.toml"))
            .unwrap()
            .replace("amd64", "arm64"),
    );
    let image = labelled(1, &[("dev.castoff.inputs", &inputs(&project))]);
    registry.put("api", "latest", &image);
    let plan = castoff(&project, ["plan", "--format", "json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(plan["targets"][0]["action"], "build");
    let because = plan["targets"][0]["because"][0].as_str().unwrap();
    assert!(because.ends_with("is for other platforms"), "{because}");
}

#[test]
fn whoever_wants_a_build_gets_one() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=raw,value=latest\"");
    let image = labelled(1, &[("dev.castoff.inputs", &inputs(&project))]);
    registry.put("api", "latest", &image);
    let because = |arguments: &[&str]| {
        let plan = castoff(&project, ["plan", "--format", "json"])
            .args(arguments)
            .run()
            .exits(0)
            .json();
        plan["targets"][0]["because"][0]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(because(&[]).starts_with("reuse sha256:"));
    assert_eq!(
        because(&["--rebuild"]),
        "build, because --rebuild asks for it"
    );
    assert_eq!(
        because(&["--set", "build.reuse=never"]),
        "build, because reuse is switched off"
    );
    assert_eq!(
        because(&["--set", "services.api.reuse=never"]),
        "build, because reuse is switched off"
    );
    assert_eq!(
        because(&["--set", "build.no_cache=true"]),
        "build, because `no_cache` is set"
    );
    // A publish that builds asks for the builder.
    let ran = castoff(&project, ["publish", "--rebuild"]).run().exits(3);
    assert!(
        ran.stderr.contains("/nowhere/docker.sock"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_changed_since_the_last_publish_is_named() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=raw,value=latest\"");
    registry.put(
        "api",
        "latest",
        &labelled(1, &[("dev.castoff.inputs", &inputs(&project))]),
    );
    castoff(&project, ["publish"]).run().exits(0);
    let because = || {
        let plan = castoff(&project, ["plan", "--format", "json"])
            .run()
            .exits(0)
            .json();
        plan["targets"][0]["because"][0]
            .as_str()
            .unwrap()
            .to_owned()
    };
    project.write("api/file", "changed\n");
    assert_eq!(because(), "build, because the context changed: file");
    project.write("api/file", "content\n");
    project.write("api/a", "");
    project.write("api/b", "");
    project.write("api/c", "");
    project.write("api/d", "");
    project.write(
        "compose.yaml",
        "name: shop\nservices:\n  api:\n    build:\n      context: api\n      args: {A: b}\n",
    );
    assert_eq!(
        because(),
        "build, because the context changed: a, b, c and 1 more, the argument A is new"
    );
    // Where nothing is remembered, as in a fresh clone, the image still says that it is another.
    std::fs::remove_dir_all(project.join(".state")).unwrap();
    assert!(because().starts_with("build, because it has changed since sha256:"));
}

#[test]
fn a_version_does_not_go_backwards_and_the_rest_goes_ahead() {
    let registry = TestRegistry::start();
    let rules = "\"type=semver,pattern={{version}}\",\"type=semver,pattern={{major}}.{{minor}}\",\"type=semver,pattern={{major}}\"";
    let project = project(&[&registry], rules);
    let inputs = inputs_of_release(&project, "v1.3.9");
    let newer = labelled(1, &[(VERSION, "1.4.2")]);
    registry.put("api", "1", &newer);
    registry.put("api", "latest", &newer);
    let older = labelled(2, &[(VERSION, "1.3.8"), ("dev.castoff.inputs", &inputs)]);
    registry.put("api", "1.3", &older);
    let digest = older.manifest.digest().clone();
    let hidden = [
        (registry.host(), "[host]"),
        (digest.short(), "[same image]"),
    ];
    let plan = castoff(&project, ["plan"]).run().exits(0);
    insta::assert_snapshot!(plan.shown(&hidden), @"
    exit 0
    --- stdout
     SERVICE  ACTION                     PLATFORMS    REPOSITORY
     api      reuse sha256:[same image]  linux/amd64  [host]/api

     SERVICE  WHY
     api      reuse sha256:[same image]…, nothing that it was built from has changed

     TAG                         CHANGE                                                            RULE
     [host]/api:1.3.9   – → sha256:[same image]                                           type=semver,pattern={{version}}
     [host]/api:1.3     sha256:[same image] stays                                         type=semver,pattern={{major}}.{{minor}}
     [host]/api:1       sha256:5228b46ad75e stays: it points to 1.4.2, and this is 1.3.9  type=semver,pattern={{major}}
     [host]/api:latest  sha256:5228b46ad75e stays: it points to 1.4.2, and this is 1.3.9  type=semver,pattern={{version}}

    0 to build, 1 to reuse; 1 of 4 tags move
    --- stderr
    ");
    let before = registry.tags();
    let ran = castoff(&project, ["publish", "--format", "json"])
        .run()
        .exits(0);
    let after = registry.tags();
    assert!(ran.stderr.contains("--allow-backwards"), "{}", ran.stderr);
    assert_eq!(after["api:1"], before["api:1"]);
    assert_eq!(after["api:latest"], before["api:latest"]);
    assert_eq!(after["api:1.3.9"], before["api:1.3"]);
    castoff(&project, ["publish", "--allow-backwards"])
        .run()
        .exits(0);
    let after = registry.tags();
    assert_eq!(after["api:1"], before["api:1.3"]);
    assert_eq!(after["api:latest"], before["api:1.3"]);
}

#[test]
fn the_version_that_castoff_has_written_counts_and_not_what_is_for_everybody() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=semver,pattern={{major}}.{{minor}}\"");
    project.run_git(&["tag", "v1.1.5"]);
    project.run_git(&["checkout", "-q", "v1.1.5"]);
    let own = "dev.castoff.version";
    let looked = |labels: &[(&str, &str)]| {
        registry.put("api", "latest", &labelled(1, labels));
        let plan = castoff(&project, ["plan", "--format", "json"]);
        let plan = plan.env(
            "CASTOFF_STATE",
            project.join(".home/new").display().to_string(),
        );
        let ran = plan.run().exits(0);
        let _ = std::fs::remove_dir_all(project.join(".home/new"));
        let latest = ran.json()["targets"][0]["tags"][1].clone();
        assert!(latest["reference"].as_str().unwrap().ends_with(":latest"));
        (latest["refused"].as_str().map(str::to_owned), ran.stderr)
    };
    let newer = Some("it points to 2.2.0, and this is 1.1.5".to_owned());
    assert_eq!(looked(&[(own, "2.2.0"), (VERSION, "2.2")]).0, newer);
    // A text of the user's own is no version of castoff's.
    assert_eq!(looked(&[(own, "1.1.0"), (VERSION, "7.0.0")]).0, None);
    // Of images of others there is nothing better.
    assert_eq!(looked(&[(VERSION, "2.2.0")]).0, newer);
    // What cannot be compared is not passed over without a word.
    for (labels, said) in [
        (
            vec![(VERSION, "2.2")],
            "it points to `2.2`, which cannot be compared to 1.1.5",
        ),
        (
            vec![(own, ""), (VERSION, "3.0.0")],
            "does not say its version",
        ),
        (vec![], "does not say its version"),
    ] {
        let (refused, stderr) = looked(&labels);
        assert_eq!(refused, None);
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn a_version_that_was_reused_for_a_later_one_does_not_go_back_either() {
    let registry = TestRegistry::start();
    let rules = "\"type=semver,pattern={{version}}\",\"type=semver,pattern={{major}}\"";
    let project = project(&[&registry], rules);
    inputs_of_release(&project, "v1.3.9");
    // Unchanged from 1.3.0 to 1.4.0, so it still says that it is the first.
    let image = labelled(1, &[(VERSION, "1.3.0")]);
    for tag in ["1.3.0", "1.4.0", "1", "latest"] {
        registry.put("api", tag, &image);
    }
    let plan = castoff(&project, ["plan", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let tags = plan["targets"][0]["tags"].as_array().unwrap();
    let refused: Vec<&str> = tags
        .iter()
        .filter_map(|tag| tag["refused"].as_str())
        .collect();
    assert_eq!(refused, ["it points to 1.4.0, and this is 1.3.9"; 2]);
}

pub(crate) fn inputs_of_release(project: &Project, tag: &str) -> String {
    project.run_git(&["tag", tag]);
    project.run_git(&["checkout", "-q", tag]);
    inputs(project)
}

#[test]
fn a_branch_does_not_go_back_to_an_older_commit() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=ref,event=branch\"");
    let inputs = inputs(&project);
    project.write("README", "newer\n");
    project.commit();
    let newest = head(&project);
    let image = labelled(
        1,
        &[
            (REVISION, &newest),
            (
                "dev.castoff.inputs",
                "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            ),
        ],
    );
    registry.put("api", "main", &image);
    project.run_git(&["checkout", "-q", "--detach", "HEAD~1"]);
    let refused = |project: &Project| {
        let plan = castoff(
            project,
            ["plan", "--format", "json", "--ref", "refs/heads/main"],
        )
        .run()
        .exits(0)
        .json();
        plan["targets"][0]["tags"][0]["refused"].clone()
    };
    assert_eq!(
        refused(&project),
        format!(
            "it points to commit {}, which is newer than this one",
            &newest[..12]
        )
    );
    // A tag that stays is no reason to build, and none to fail.
    let reusable = labelled(2, &[("dev.castoff.inputs", &inputs)]);
    registry.put("api", "main", &reusable);
    assert_eq!(refused(&project), serde_json::Value::Null);
    // The same commit, and a newer one, go ahead.
    registry.put("api", "main", &image);
    project.run_git(&["checkout", "-q", "main"]);
    assert_eq!(refused(&project), serde_json::Value::Null);
    project.write("README", "newest\n");
    project.commit();
    assert_eq!(refused(&project), serde_json::Value::Null);
}

#[test]
fn where_git_cannot_tell_what_is_newer_the_dates_give_a_warning() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=ref,event=branch\"");
    let unknown = "0123456789012345678901234567890123456789";
    let image = labelled(1, &[(REVISION, unknown), (CREATED, "2030-01-01T00:00:00Z")]);
    registry.put("api", "main", &image);
    let plan = castoff(&project, ["plan", "--format", "json"])
        .run()
        .exits(0);
    assert!(
        plan.stderr
            .contains("git does not know here which of them is newer"),
        "{}",
        plan.stderr
    );
    let image = labelled(1, &[(REVISION, unknown), (CREATED, "2020-01-01T00:00:00Z")]);
    registry.put("api", "main", &image);
    let plan = castoff(&project, ["plan", "--format", "json"])
        .run()
        .exits(0);
    assert_eq!(plan.stderr, "");
}

#[test]
fn a_version_that_is_published_already_is_named() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=semver,pattern={{version}}\"");
    inputs_of_release(&project, "v1.0.0");
    registry.put("api", "1.0.0", &labelled(1, &[(VERSION, "1.0.0")]));
    let hidden = [(registry.host(), "[host]")];
    let plan = castoff(&project, ["plan", "--format", "markdown"])
        .run()
        .exits(0);
    insta::assert_snapshot!(plan.shown(&hidden), @"
    exit 0
    --- stdout
    ### shop: 1 to build, 0 to reuse; 2 of 2 tags move

    | Service | Action | Why |
    |---|---|---|
    | api | build | build, because sha256:c1e71ceb39e8… does not say what it was built from |

    | Tag | Change |
    |---|---|
    | [host]/api:1.0.0 | sha256:c1e71ceb39e8 has to come out the same: it is a version, and nothing says which commit it is of |
    | [host]/api:latest | – → new |
    --- stderr
    ");
}

#[test]
fn a_registry_that_does_not_answer_makes_a_plan_only_less_certain() {
    let registry = TestRegistry::with(Settings {
        access: Access::Basic("u".to_owned(), "p".to_owned()),
        ..Settings::default()
    });
    let project = project(&[&registry], "\"type=raw,value=latest\"");
    let plan = castoff(&project, ["plan"]).run().exits(0);
    assert!(
        plan.stderr.contains("what its tags point to is not known"),
        "{}",
        plan.stderr
    );
    assert!(plan.stdout.contains("1 to build"), "{}", plan.stdout);
}

#[test]
fn a_registry_that_is_not_there_is_waited_for_once() {
    let project = project(&[], "\"type=ref,event=branch\"");
    // No server listens on this port: it was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = port.local_addr().unwrap();
    drop(port);
    let publish = std::fs::read_to_string(project.join("publish.toml")).unwrap();
    let registry = format!("[registries.r]\nrepository = \"{host}/api\"\n{publish}");
    project.write("publish.toml", &registry);
    let publish = castoff(&project, ["publish"]).run().exits(3);
    // As often as it is worth for one question, and not for each.
    let retries = publish.stderr.matches(", next in ").count();
    assert!(
        !publish.stderr.contains("--allow-backwards moves it"),
        "{}",
        publish.stderr
    );
    assert_eq!(retries, 4, "{}", publish.stderr);
}

#[test]
fn labels_of_others_cannot_write_on_the_terminal() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=raw,value=latest\"");
    let image = labelled(
        1,
        &[
            ("dev.castoff.inputs", &inputs(&project)),
            (REVISION, "\u{1b}[2J\nx"),
        ],
    );
    registry.put("api", "latest", &image);
    let plan = castoff(&project, ["plan"]).run().exits(0);
    assert!(!plan.stdout.contains('\u{1b}'), "{}", plan.stdout);
}

#[test]
fn a_saved_plan_is_carried_out_while_it_holds_and_refused_when_it_does_not() {
    let registry = TestRegistry::start();
    let project = project(
        &[&registry],
        "\"type=raw,value=latest\",\"type=raw,value=next\"",
    );
    let image = labelled(1, &[("dev.castoff.inputs", &inputs(&project))]);
    registry.put("api", "latest", &image);
    let save = || {
        castoff(&project, ["plan", "--out", "saved.plan"])
            .run()
            .exits(0)
    };
    let hidden = [(registry.host(), "[host]")];
    save();
    // Somebody else moves a tag.
    registry.put("api", "next", &labelled(2, &[]));
    let ran = castoff(&project, ["publish", "--plan", "saved.plan"])
        .run()
        .exits(3);
    insta::assert_snapshot!(ran.shown(&hidden), @"
    exit 3
    --- stdout
    --- stderr
    error: the plan in saved.plan does not hold any more: [host]/api:next: it has moved
    hint: make a new one with `castoff plan --out FILE`
    ");
    // A file changes.
    save();
    project.write("api/file", "changed\n");
    let ran = castoff(&project, ["publish", "--plan", "saved.plan"])
        .run()
        .exits(3);
    insta::assert_snapshot!(ran.shown(&hidden), @"
    exit 3
    --- stdout
    --- stderr
    error: the plan in saved.plan does not hold any more: api: its inputs have changed
    hint: make a new one with `castoff plan --out FILE`
    ");
    project.write("api/file", "content\n");
    // Another commit.
    project.write("README", "text\n");
    project.commit();
    let ran = castoff(&project, ["publish", "--plan", "saved.plan"])
        .run()
        .exits(3);
    assert!(ran.stderr.contains("the commit is"), "{}", ran.stderr);
    // As it was seen.
    save();
    castoff(&project, ["publish", "--plan", "saved.plan"])
        .run()
        .exits(0);
    let tags = registry.tags();
    assert_eq!(tags["api:next"], tags["api:latest"]);
    // What was carried out does not hold any more.
    castoff(&project, ["publish", "--plan", "saved.plan"])
        .run()
        .exits(3);
    let ran = castoff(&project, ["publish", "--plan", "compose.yaml"])
        .run()
        .exits(2);
    insta::assert_snapshot!(ran.stderr, @"
    error: compose.yaml: it is no saved plan: expected ident at line 1 column 2
    hint: make a new one with `castoff plan --out FILE`
    ");
}

#[test]
fn services_are_shared_among_jobs() {
    let registry = TestRegistry::start();
    let project = two_services(&registry);
    let ran = castoff(&project, ["plan", "--offline", "--shards", "3"])
        .run()
        .exits(0);
    insta::assert_snapshot!(ran.stdout, @r#"
    [
      {
        "shard": "1/3",
        "services": [
          "api"
        ]
      },
      {
        "shard": "2/3",
        "services": [
          "web"
        ]
      }
    ]
    "#);
    let services = |shard: &str| {
        let plan = castoff(
            &project,
            ["plan", "--offline", "--format", "json", "--shard", shard],
        )
        .run()
        .exits(0)
        .json();
        let targets = plan["targets"].as_array().unwrap().clone();
        targets
            .iter()
            .map(|target| target["service"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(services("1/2"), ["api"]);
    assert_eq!(services("2/2"), ["web"]);
    assert_eq!(services("3/3"), Vec::<String>::new());
    for wrong in ["0/2", "3/2", "1", "1/0", "x/2", "1/5000"] {
        castoff(&project, ["plan", "--offline", "--shard", wrong])
            .run()
            .exits(2);
    }
}

#[test]
fn what_a_service_builds_on_is_one_of_its_inputs_and_built_only_for_those_that_are_built() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=raw,value=latest\"");
    project.write(
        "compose.yaml",
        "name: shop\nservices:\n  base:\n    build: base\n  api:\n    build:\n      context: api\n      additional_contexts: {base: \"service:base\"}\n",
    );
    project.write("base/Dockerfile", "FROM scratch\nCOPY file /\n");
    project.write("base/file", "one\n");
    let plan = |arguments: &[&str]| {
        castoff(&project, ["plan", "--format", "json"])
            .args(arguments)
            .run()
            .exits(0)
            .json()
    };
    let services = |plan: &serde_json::Value| {
        let targets = plan["targets"].as_array().unwrap().clone();
        targets
            .iter()
            .map(|target| {
                let action = target["action"].as_str().unwrap();
                format!("{} {action}", target["service"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    let before = plan(&["api"]);
    assert_eq!(services(&before), ["api build", "base build"]);
    let inputs = before["targets"][0]["inputs"].as_str().unwrap();
    let image = labelled(1, &[("dev.castoff.inputs", inputs)]);
    registry.put("api", "latest", &image);
    // Nobody needs the base any more, as nothing is built on it.
    assert_eq!(services(&plan(&["api"])), ["api reuse"]);
    project.write("base/file", "two\n");
    assert_eq!(services(&plan(&["api"])), ["api build", "base build"]);
    project.write("base/file", "one\n");
    let never = plan(&["api", "--set", "services.base.reuse=never"]);
    assert_eq!(
        never["targets"][0]["because"][0],
        "build, because it builds on base: reuse is switched off"
    );
}

#[test]
fn status_does_not_name_tags_that_were_never_to_move() {
    let registry = TestRegistry::start();
    let rules = "\"type=semver,pattern={{version}}\",\"type=semver,pattern={{major}}\"";
    let project = project(&[&registry], rules);
    let inputs = inputs_of_release(&project, "v1.3.9");
    let newer = labelled(1, &[(VERSION, "1.4.2"), ("dev.castoff.inputs", &inputs)]);
    registry.put("api", "1", &newer);
    registry.put("api", "latest", &newer);
    registry
        .script()
        .on(When::is("PUT", "/manifests/1.3.9"), Fault::Hang);
    let publish = castoff(&project, ["publish"]).start();
    let limit = std::time::Duration::from_secs(20);
    assert!(registry.script().wait_fired(1, limit));
    publish.signal("KILL");
    publish.wait();
    registry.script().clear();
    let status = castoff(&project, ["status", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let tags = status["interrupted"]["tags"].as_array().unwrap();
    let tags: Vec<(&str, &str)> = tags
        .iter()
        .map(|tag| {
            let reference = tag["reference"].as_str().unwrap();
            (reference, tag["state"].as_str().unwrap())
        })
        .collect();
    let only = format!("{}/api:1.3.9", registry.host());
    assert_eq!(tags, [(only.as_str(), "not moved")]);
    castoff(&project, ["publish", "--resume"]).run().exits(0);
}
