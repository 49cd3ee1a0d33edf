//! A release that is built on two machines, one for each platform, against one that is built on one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::program::Castoff;
use crate::support::project::Project;

const COMPOSE: &str = "\
name: split
services:
  app:
    build: { context: app, args: { BASE: $BASE } }
  bare:
    build: { context: app, args: { BASE: $BASE }, target: first }
";

const PUBLISH: &str = "\
[registries.a]
repository = \"${HOST_A}/${PLACE}-a/{{service}}\"
[registries.b]
repository = \"${HOST_B}/${PLACE}-b/{{service}}\"
[tags]
rules = [\"type=raw,value=latest\"]
[annotations]
levels = [\"manifest\", \"index\", \"manifest-descriptor\"]
[annotations.values]
\"com.example.who\" = \"me\"
[build]
platforms = [\"linux/amd64\", \"linux/arm64\"]
provenance = \"max\"
[services.bare]
provenance = \"off\"
";

fn project(prefix: &str) -> Project {
    Project::new()
        .file("compose.yaml", COMPOSE)
        .file("publish.toml", PUBLISH)
        .file(
            "app/Dockerfile",
            "ARG BASE\nFROM $BASE AS first\nCOPY file /file\nFROM first\nCOPY more /more\n",
        )
        .file("app/file", prefix)
        .file("app/more", "more")
        .file(".gitignore", ".home\n.state*\nparts\n")
        .git()
}

/// castoff as on a machine of its own.
fn on(machine: &str, project: &Project, place: &str) -> Castoff {
    let state = project.join(&format!(".state-{machine}"));
    Castoff::inside(project.path())
        .envs(Bed::environment())
        .env("CASTOFF_STATE", state.display().to_string())
        .env("BASE", Bed::base())
        .env("HOST_A", Bed::registry())
        .env("HOST_B", Bed::other_registry())
        .env("PLACE", place)
}

fn repository(number: usize, place: &str, service: &str) -> String {
    let (host, name) = [(Bed::registry(), "a"), (Bed::other_registry(), "b")][number].clone();
    format!("{host}/{place}-{name}/{service}")
}

fn crane(arguments: &[&str]) -> Value {
    let text = Bed::output("crane", &[arguments, &["--insecure"]].concat());
    serde_json::from_str(&text).unwrap()
}

/// All that an image is, but for what differs from build to build: digests of attestations, and times.
fn image(repository: &str) -> Value {
    let root = crane(&["manifest", &format!("{repository}:latest")]);
    let children = root["manifests"].as_array().unwrap();
    let mut parts: BTreeMap<String, Value> = BTreeMap::new();
    for child in children {
        let manifest = crane(&[
            "manifest",
            &format!("{repository}@{}", child["digest"].as_str().unwrap()),
        ]);
        let mut name = child["platform"].to_string();
        let mut annotations = child["annotations"].clone();
        let of = annotations["vnd.docker.reference.digest"].clone();
        if of.is_string() {
            let of = children.iter().find(|child| child["digest"] == of).unwrap();
            name = format!("attestation of {}", of["platform"]);
            annotations["vnd.docker.reference.digest"] = json!("the image");
        }
        let is_image = !of.is_string();
        let predicates: Vec<&Value> = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| &layer["annotations"]["in-toto.io/predicate-type"])
            .collect();
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config = is_image.then(|| crane(&["blob", &format!("{repository}@{config}")]));
        let layers = is_image.then(|| manifest["layers"].clone());
        parts.insert(
            name,
            json!({
                "type": child["mediaType"], "annotations": annotations,
                "own annotations": manifest["annotations"], "config": config,
                "layers": layers, "predicates": predicates,
            }),
        );
    }
    json!({ "type": root["mediaType"], "annotations": root["annotations"], "parts": parts })
}

#[test]
fn two_machines_make_what_one_makes() {
    let prefix = Bed::unique("split");
    let project = project(&prefix);
    let (whole, parts) = (format!("{prefix}-whole"), format!("{prefix}-parts"));
    on("one", &project, &whole)
        .args(["publish", "--quiet"])
        .run()
        .exits(0);
    std::fs::create_dir(project.join("parts")).unwrap();
    for architecture in ["amd64", "arm64"] {
        let (file, platform) = (
            format!("parts/{architecture}.json"),
            format!("linux/{architecture}"),
        );
        on(architecture, &project, &parts)
            .args(["build", "--partial", &file, "--platform", &platform])
            .run()
            .exits(0);
        for (number, service) in [(0, "app"), (1, "app"), (0, "bare"), (1, "bare")] {
            let tags = Bed::tags(&repository(number, &parts, service));
            assert_eq!(tags, Vec::<String>::new(), "a part moves no tag");
        }
    }
    let ran = on("publisher", &project, &parts)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .args(["publish", "--format", "json", "--from", "parts"])
        .run()
        .exits(0);
    let release = ran.json();
    assert_eq!(release["images"][0]["attestations"], json!(["provenance"]));
    for service in ["app", "bare"] {
        for number in [0, 1] {
            let (one, two) = (
                repository(number, &whole, service),
                repository(number, &parts, service),
            );
            assert_eq!(image(&one), image(&two), "{service}\n{}", ran.stderr);
            for architecture in ["amd64", "arm64"] {
                let platform = format!("linux/{architecture}");
                let tag = format!("{two}:latest");
                Bed::output(
                    "crane",
                    &[
                        "validate",
                        "--insecure",
                        "--remote",
                        &tag,
                        "--platform",
                        &platform,
                    ],
                );
            }
        }
    }
    // Each level has what is meant for it.
    let image = image(&repository(0, &parts, "app"));
    assert_eq!(image["annotations"]["com.example.who"], "me");
    let parts_of = image["parts"].as_object().unwrap();
    assert_eq!(parts_of.len(), 4, "{image}");
    // One machine finds what two have made, and builds nothing.
    let again = on("one", &project, &parts)
        .args(["publish", "--format", "json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(again["moved"], json!([]));
    for image in again["images"].as_array().unwrap() {
        assert_eq!(image["reused"], true);
    }
}

#[test]
fn each_part_has_a_cache_of_its_own() {
    let prefix = Bed::unique("split-cache");
    let project = project(&prefix);
    let publish = format!("{PUBLISH}[cache]\nsources = [\"registry\"]\n");
    project.write("publish.toml", &publish);
    project.commit();
    std::fs::create_dir(project.join("parts")).unwrap();
    for architecture in ["amd64", "arm64"] {
        let (file, platform) = (
            format!("parts/{architecture}.json"),
            format!("linux/{architecture}"),
        );
        on(architecture, &project, &prefix)
            .args(["build", "--partial", &file, "--platform", &platform, "app"])
            .run()
            .exits(0);
    }
    let mut tags = Bed::tags(&repository(0, &prefix, "app"));
    tags.sort();
    assert_eq!(
        tags,
        ["buildcache-linux-amd64", "buildcache-linux-arm64"],
        "neither pushes the other one's cache out"
    );
}
