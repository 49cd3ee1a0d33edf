//! What is an input of a build where it is not a file: the builder's own platform, image layouts, caches that
//! become a part of the image; and a publish in which nothing changed after one that was interrupted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::against::{castoff, inputs, project};
use crate::support::images::{derived, labelled, labelled_for, triggering};
use crate::support::program::Castoff;
use crate::support::project::Project;
use crate::support::registry::{Fault, TestRegistry, When};

const INPUTS: &str = "dev.castoff.inputs";
const LATEST: &str = "\"type=raw,value=latest\"";

/// What a plan says of its only target.
fn target(castoff: Castoff) -> Value {
    let plan = castoff.args(["--format", "json"]).run().exits(0).json();
    plan["targets"][0].clone()
}

fn because(target: &Value) -> &str {
    target["because"][0].as_str().unwrap()
}

/// The same project, whose builder says for which platform it builds.
fn without_platforms(registry: &TestRegistry) -> Project {
    let project = project(&[registry], LATEST);
    let text = std::fs::read_to_string(project.join("publish.toml")).unwrap();
    let text = text.replace("platforms = [\"linux/amd64\"]\n", "");
    project.write("publish.toml", &text);
    project
}

#[test]
fn a_builder_elsewhere_may_have_another_platform() {
    let registry = TestRegistry::start();
    let project = without_platforms(&registry);
    let own = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("which word do images have for {other}?"),
    };
    let other = if own == "amd64" { "arm64" } else { "amd64" };
    let inputs = inputs(&project);
    let label = [(INPUTS, inputs.as_str())];
    registry.put("api", "latest", &labelled_for(own, 1, &label));
    let plan = || castoff(&project, ["plan"]);
    // A socket of this machine leads to this machine.
    assert_eq!(target(plan())["action"], "reuse");
    for elsewhere in ["tcp://192.0.2.1:2375", "ssh://me@192.0.2.1"] {
        let target = target(plan().env("DOCKER_HOST", elsewhere));
        assert_eq!(target["action"], "build", "{elsewhere}");
        assert_eq!(
            because(&target),
            "build, because it names no platform, and that of its builder is not known"
        );
        assert_eq!(target["inputs"], Value::Null);
    }
    let buildkitd = plan().args(["--builder", "tcp://192.0.2.1:1234"]);
    assert_eq!(target(buildkitd)["action"], "build");
    // Or it does not, as where a socket is forwarded: then the image there tells.
    registry.put("api", "latest", &labelled_for(other, 1, &label));
    assert_eq!(target(plan())["action"], "build");
    // Who names a platform need not know the builder.
    let named = |platform: &str| {
        let set = format!("build.platforms=linux/{platform}");
        let plan = plan().args(["--set", &set]);
        target(plan.env("DOCKER_HOST", "tcp://192.0.2.1:2375"))
    };
    let inputs = named(other)["inputs"].as_str().unwrap().to_owned();
    let image = labelled_for(other, 2, &[(INPUTS, &inputs)]);
    registry.put("api", "latest", &image);
    assert_eq!(named(other)["action"], "reuse");
    assert_eq!(named(own)["action"], "build");
}

#[test]
fn an_image_layout_is_known_by_its_digest() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let named = |layout: &str| {
        project.write(
            "compose.yaml",
            &format!(
                "name: shop\nservices:\n  api:\n    build:\n      context: api\n      additional_contexts: {{lib: \"oci-layout://{layout}\"}}\n"
            ),
        );
        target(castoff(&project, ["plan"]))
    };
    let (one, other) = ("a".repeat(64), "b".repeat(64));
    let inputs = |layout: &str| named(layout)["inputs"].as_str().unwrap().to_owned();
    let first = inputs(&format!("layout@sha256:{one}"));
    let image = labelled(1, &[(INPUTS, &first)]);
    registry.put("api", "latest", &image);
    assert_eq!(named(&format!("layout@sha256:{one}"))["action"], "reuse");
    // Where it lies is nobody's business, and a tag beside the digest says nothing.
    assert_eq!(inputs(&format!("elsewhere:1.0@sha256:{one}")), first);
    assert_ne!(inputs(&format!("layout@sha256:{other}")), first);
    assert_eq!(named(&format!("layout@sha256:{other}"))["action"], "build");
    for moving in ["layout", "layout:1.0"] {
        let target = named(moving);
        assert_eq!(
            because(&target),
            "build, because its context `lib` is an image layout that is named without a digest"
        );
        assert_eq!(target["inputs"], Value::Null);
    }
}

#[test]
fn what_a_branch_has_built_with_a_cache_within_is_what_its_tag_needs() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let plan = |reference: &str, cache: &str| {
        let sources = format!("cache.sources={cache}");
        let plan = castoff(&project, ["plan", "--ref", reference, "--set", &sources]);
        target(plan)
    };
    let kinds = |target: &Value| -> Vec<Value> {
        let written = target["cache_to"].as_array().unwrap();
        written.iter().map(|cache| cache["type"].clone()).collect()
    };
    let (branch, tag) = ("refs/heads/main", "refs/tags/v1");
    for cache in ["registry,inline", "inline,registry"] {
        let on_branch = plan(branch, cache);
        let on_tag = plan(tag, cache);
        let mut both = kinds(&on_branch);
        both.sort_by_key(Value::to_string);
        assert_eq!(both, [json!("inline"), json!("registry")], "{cache}");
        assert_eq!(kinds(&on_tag), [json!("inline")], "{cache}");
        assert_eq!(on_branch["inputs"], on_tag["inputs"], "{cache}");
    }
    // A cache outside is no input, wherever it is written.
    let outside = plan(branch, "registry")["inputs"].clone();
    assert_eq!(plan(tag, "registry")["inputs"], outside);
    assert_ne!(plan(tag, "inline")["inputs"], outside);
    // None that is only read is one either.
    let only_read = castoff(&project, ["plan", "--set", "cache.sources=inline"])
        .args(["--set", "cache.write=false"]);
    let only_read = target(only_read);
    assert_eq!(kinds(&only_read), Vec::<Value>::new());
    assert_eq!(only_read["cache_from"].as_array().unwrap().len(), 1);
    assert_eq!(only_read["inputs"], outside);
}

#[test]
fn a_publish_in_which_nothing_changed_clears_away_what_an_interrupted_one_left() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let image = labelled(1, &[(INPUTS, &inputs(&project))]);
    registry.put("api", "latest", &image);
    let interrupted = || {
        let status = castoff(&project, ["status", "--format", "json"]);
        status.run().exits(0).json()["interrupted"].clone()
    };
    // What the image says of itself is known from now on.
    castoff(&project, ["plan"]).run().exits(0);
    // One more tag, and no way to read the image that it would point to: the journal has begun, and no move
    // is intended yet.
    let manifest = format!("/manifests/{}", image.manifest.digest());
    registry
        .script()
        .on(When::is("GET", &manifest), Fault::Hang);
    let rules = [
        "--set",
        "tags.rules=[\"type=raw,value=latest\",\"type=raw,value=next\"]",
    ];
    let publish = castoff(&project, ["publish"]).args(rules).start();
    assert!(registry.script().wait_fired(1, Duration::from_secs(20)));
    publish.signal("KILL");
    publish.wait();
    registry.script().clear();
    assert_eq!(interrupted()["tags"], json!([]));
    let ran = castoff(&project, ["publish", "--format", "json"])
        .run()
        .exits(0);
    assert_eq!(ran.json()["moved"], json!([]));
    assert_eq!(interrupted(), Value::Null);
    // Now that there is nothing to clear away, nothing is written either.
    let before = std::fs::read_dir(project.join(".state")).unwrap().count();
    registry.script().clear();
    castoff(&project, ["publish"]).run().exits(0);
    assert_eq!(
        std::fs::read_dir(project.join(".state")).unwrap().count(),
        before
    );
    let lines = registry.script().lines();
    assert!(lines.iter().all(|line| !line.starts_with('P')), "{lines:?}");
}

#[test]
fn an_image_that_begins_with_ours_is_not_ours() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let inputs = inputs(&project);
    let label = [(INPUTS, inputs.as_str())];
    registry.put("api", "latest", &derived(1, &label));
    let built = target(castoff(&project, ["plan"]));
    assert_eq!(built["action"], "build");
    assert!(
        because(&built).ends_with("does not say what it was built from"),
        "{}",
        because(&built)
    );
    registry.put("api", "latest", &labelled(1, &label));
    assert_eq!(target(castoff(&project, ["plan"]))["action"], "reuse");
}

#[test]
fn a_date_that_the_user_gives_is_an_input() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let inputs = |date: Option<&str>| {
        let mut plan = castoff(&project, ["plan"]);
        if let Some(date) = date {
            plan = plan.env("SOURCE_DATE_EPOCH", date);
        }
        target(plan)["inputs"].clone()
    };
    let (none, one, other) = (inputs(None), inputs(Some("1")), inputs(Some("2")));
    assert!(none != one && one != other, "{none} {one} {other}");
    // That of the commit is none.
    project.write(
        "publish.toml",
        &std::fs::read_to_string(project.join("publish.toml"))
            .unwrap()
            .replace("[build]\n", "[build]\nreproducible = true\n"),
    );
    let before = inputs(None);
    project.write("README", "text\n");
    project.commit();
    assert_eq!(inputs(None), before);
    assert_ne!(inputs(Some("1")), before);
}

#[test]
fn what_a_base_image_has_builds_take_from_elsewhere_is_not_overlooked() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let base = format!("{}/base", registry.host());
    project.write("api/Dockerfile", &format!("FROM {base}:1\nCOPY file /\n"));
    registry.put("base", "1", &triggering(1, &["COPY . /app", "RUN true"]));
    let plain = target(castoff(&project, ["plan"]));
    assert!(plain["inputs"].is_string(), "{plain}");
    let label = [(INPUTS, plain["inputs"].as_str().unwrap())];
    registry.put("api", "latest", &labelled(2, &label));
    assert_eq!(target(castoff(&project, ["plan"]))["action"], "reuse");
    // What a digest does is asked once.
    registry.script().clear();
    assert_eq!(target(castoff(&project, ["plan"]))["action"], "reuse");
    let lines = registry.script().lines();
    assert!(
        !lines.iter().any(|line| line.contains("/blobs/")),
        "{lines:?}"
    );
    registry.put(
        "base",
        "1",
        &triggering(3, &["COPY --from=dep:latest /v /v"]),
    );
    let taking = target(castoff(&project, ["plan"]));
    assert_eq!(taking["action"], "build");
    assert_eq!(taking["inputs"], Value::Null);
    assert_eq!(
        because(&taking).replace(registry.host(), "[host]"),
        "build, because what its base image [host]/base:1 does in builds: it takes from dep:latest"
    );
}
