//! Immutable tags: which are in the way of a publish, and what does not mind them. There is no builder here.

use serde_json::Value;

use crate::against::{castoff, head, inputs_of_release, project};
use crate::support::images::labelled;
use crate::support::project::Project;
use crate::support::registry::{Canned, Fault, TestRegistry, When};

const REVISION: &str = "org.opencontainers.image.revision";
const INPUTS: &str = "dev.castoff.inputs";
const OTHER: &str = "0123456789012345678901234567890123456789";
const RULES: &str = "\"type=semver,pattern={{version}}\",\"type=raw,value=latest\"";

/// A project whose image is published as `latest`, and whose version 1.0.0 is another image, of `revision`.
fn taken(registry: &TestRegistry, revision: &str) -> Project {
    let project = project(&[registry], RULES);
    let inputs = inputs_of_release(&project, "v1.0.0");
    registry.put("api", "latest", &labelled(1, &[(INPUTS, &inputs)]));
    registry.put("api", "1.0.0", &labelled(2, &[(REVISION, revision)]));
    project
}

/// What the plan says of `tag`.
fn planned(project: &Project, arguments: &[&str], tag: &str) -> Value {
    let plan = castoff(project, ["plan", "--format", "json"])
        .args(arguments)
        .run()
        .exits(0)
        .json();
    let tags = plan["targets"][0]["tags"].as_array().unwrap();
    let ends = format!(":{tag}");
    let mut tags = tags.iter();
    let found = tags.find(|tag| tag["reference"].as_str().unwrap().ends_with(&ends));
    found.unwrap().clone()
}

#[test]
fn a_version_of_another_commit_is_in_the_way() {
    let registry = TestRegistry::start();
    let project = taken(&registry, OTHER);
    let commit = head(&project)[..12].to_owned();
    let hidden = [(registry.host(), "[host]"), (&*commit, "[commit]")];
    let plan = castoff(&project, ["plan", "--detailed-exitcode"]).run();
    insta::assert_snapshot!(plan.shown(&hidden));
    let plan = castoff(&project, ["plan", "--format", "markdown"])
        .run()
        .exits(0);
    insta::assert_snapshot!(plan.shown(&hidden));
    let check = castoff(&project, ["check"]).run().exits(3);
    let said = "/api:1.0.0: it points to sha256:ba89aa203840 and may not move";
    assert!(check.stderr.contains(said), "{}", check.stderr);
    let before = registry.tags();
    registry.script().clear();
    let ran = castoff(&project, ["publish"]).run();
    insta::assert_snapshot!(ran.shown(&hidden));
    assert_eq!(registry.tags(), before);
    let lines = registry.script().lines();
    assert!(
        !lines.iter().any(|line| line.starts_with("PUT")),
        "{lines:?}"
    );
    castoff(&project, ["publish", "--allow-overwrite"])
        .run()
        .exits(0);
    let after = registry.tags();
    assert_eq!(after["api:1.0.0"], before["api:latest"]);
    // Once more, with everything in its place, there is nothing to forbid.
    castoff(&project, ["publish"]).run().exits(0);
}

#[test]
fn a_version_moves_to_another_image_of_its_commit() {
    let registry = TestRegistry::start();
    let project = taken(&registry, OTHER);
    let same = head(&project);
    registry.put("api", "1.0.0", &labelled(2, &[(REVISION, &same)]));
    let tag = planned(&project, &[], "1.0.0");
    assert_eq!(tag["immutable"], true);
    assert_eq!(tag["in_the_way"], Value::Null);
    assert_eq!(planned(&project, &[], "latest")["immutable"], false);
    let ran = castoff(&project, ["publish"]).run().exits(0);
    assert!(
        ran.stderr.contains("it names one version for ever"),
        "{}",
        ran.stderr
    );
    let tags = registry.tags();
    assert_eq!(tags["api:1.0.0"], tags["api:latest"]);
}

#[test]
fn a_version_of_which_nobody_says_the_commit_stays() {
    let registry = TestRegistry::start();
    let project = taken(&registry, OTHER);
    registry.put("api", "1.0.0", &labelled(2, &[]));
    let tag = planned(&project, &[], "1.0.0");
    assert_eq!(
        tag["in_the_way"],
        serde_json::json!({
            "because": "it is a version, and nothing says which commit it is of",
            "certain": true,
        })
    );
}

#[test]
fn an_image_that_was_reused_is_of_the_commit_that_was_released() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], RULES);
    let inputs = inputs_of_release(&project, "v1.0.0");
    // Built from an older commit, and released as it is.
    let image = labelled(1, &[(INPUTS, &inputs), (REVISION, OTHER)]);
    registry.put("api", "latest", &image);
    castoff(&project, ["publish"]).run().exits(0);
    // The same commit, and something that it does not hold has changed, as a base image may.
    project.write("api/file", "changed\n");
    let tag = |project: &Project| planned(project, &[], "1.0.0")["in_the_way"].clone();
    assert_eq!(tag(&project), Value::Null);
    // A machine that was not there asks the registry.
    std::fs::remove_dir_all(project.join(".state")).unwrap();
    assert_eq!(tag(&project), Value::Null);
    // Another commit is another one, whatever its tag.
    project.commit();
    project.run_git(&["tag", "-f", "v1.0.0"]);
    let because = tag(&project)["because"].as_str().unwrap().to_owned();
    assert!(
        because.starts_with("it is a version of commit "),
        "{because}"
    );
    assert!(!because.contains(&OTHER[..12]), "{because}");
}

#[test]
fn the_file_says_which_tags_never_move() {
    let registry = TestRegistry::start();
    let project = taken(&registry, OTHER);
    registry.put(
        "api",
        "latest",
        &labelled(3, &[(REVISION, &head(&project))]),
    );
    let set = |value: &str| ["--set".to_owned(), format!("tags.immutable={value}")];
    let because = |value: &str, tag: &str| {
        let set = set(value);
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        planned(&project, &set, tag)["in_the_way"]["because"].clone()
    };
    assert_eq!(because("[\"lat*\"]", "latest"), "it is immutable");
    assert_ne!(because("[\"lat*\"]", "1.0.0"), Value::Null);
    assert_eq!(because("[\"?.0.*\"]", "1.0.0"), "it is immutable");
    assert_eq!(because("false", "1.0.0"), Value::Null);
    assert_eq!(because("true", "latest"), Value::Null);
    let wrong = castoff(&project, ["plan"]).args(set("[\"v[0-9]\"]")).run();
    insta::assert_snapshot!(wrong.shown(&[]));
}

#[test]
fn a_registry_that_is_not_required_is_left_out() {
    let (one, other) = (TestRegistry::start(), TestRegistry::start());
    let project = project(&[&one, &other], RULES);
    let text = std::fs::read_to_string(project.join("publish.toml")).unwrap();
    project.write(
        "publish.toml",
        &text.replace("[registries.r1]\n", "[registries.r1]\nrequired = false\n"),
    );
    project.commit();
    let inputs = inputs_of_release(&project, "v1.0.0");
    one.put("api", "latest", &labelled(1, &[(INPUTS, &inputs)]));
    other.put("api", "1.0.0", &labelled(2, &[(REVISION, OTHER)]));
    let before = other.tags();
    let ran = castoff(&project, ["publish"]).run().exits(7);
    assert!(
        ran.stderr.contains("the tag is immutable"),
        "{}",
        ran.stderr
    );
    assert_eq!(other.tags(), before);
    assert_eq!(one.tags()["api:1.0.0"], one.tags()["api:latest"]);
}

#[test]
fn a_registry_that_keeps_every_tag_is_explained() {
    let registry = TestRegistry::start();
    let project = taken(&registry, OTHER);
    let old = labelled(2, &[(REVISION, &head(&project))]);
    registry.put("api", "1.0.0", &old);
    let before = registry.tags();
    registry.script().on(
        When::is("PUT", "/manifests/1.0.0"),
        Fault::Answer(Canned::error(
            400,
            "TAG_INVALID",
            "The image tag '1.0.0' already exists in the 'api' repository and cannot be overwritten because the tag is immutable.",
        )),
    );
    let ran = castoff(&project, ["publish"]).run();
    let digest = old.manifest.digest().clone();
    let hidden = [(registry.host(), "[host]"), (digest.short(), "[old]")];
    insta::assert_snapshot!(ran.shown(&hidden));
    assert_eq!(registry.tags(), before);
}

#[test]
fn a_promotion_does_not_overwrite_a_version() {
    let registry = TestRegistry::start();
    let project = taken(&registry, OTHER);
    let before = registry.tags();
    let ran = castoff(&project, ["promote", "latest", "--to", "1.0.0", "stable"]).run();
    insta::assert_snapshot!(ran.shown(&[(registry.host(), "[host]")]));
    assert_eq!(registry.tags(), before);
    castoff(&project, ["promote", "latest", "--to", "stable"])
        .run()
        .exits(0);
    castoff(
        &project,
        ["promote", "latest", "--to", "1.0.0", "--allow-overwrite"],
    )
    .run()
    .exits(0);
    assert_eq!(registry.tags()["api:1.0.0"], before["api:latest"]);
}

#[test]
fn a_saved_plan_remembers_that_tags_may_be_overwritten() {
    let registry = TestRegistry::start();
    let project = taken(&registry, OTHER);
    castoff(&project, ["plan", "--allow-overwrite", "--out", "saved"])
        .run()
        .exits(0);
    castoff(&project, ["publish", "--plan", "saved"])
        .run()
        .exits(0);
    let tags = registry.tags();
    assert_eq!(tags["api:1.0.0"], tags["api:latest"]);
}
