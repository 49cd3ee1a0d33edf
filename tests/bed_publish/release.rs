//! The release of the example, as the README's first command does it.

use std::process::Command;

use crate::support::bed::Bed;
use crate::support::program::Castoff;
use crate::support::project::Project;

/// The variables by which the example is told of the bed's images and registries.
pub(crate) fn example(project: &Project, prefix: &str) -> Castoff {
    Castoff::inside(project.path())
        .envs(Bed::environment())
        .env(
            "CASTOFF_STATE",
            project.join(".state").display().to_string(),
        )
        .env("POKEDEX_BUSYBOX_BASE", Bed::base())
        .env("POKEDEX_PYTHON_BASE", Bed::var("BED_BASE_APP"))
        .env("POKEDEX_NGINX_BASE", Bed::var("BED_BASE_APP"))
        .env("POKEDEX_REDIS_IMAGE", Bed::var("BED_REDIS"))
        .env(
            "POKEDEX_REGISTRY_A",
            format!("{}/{prefix}", Bed::registry()),
        )
        .env(
            "POKEDEX_REGISTRY_B",
            format!("{}/{prefix}", Bed::other_registry()),
        )
}

#[test]
fn three_services_for_two_platforms_are_in_two_registries_and_run() {
    let prefix = Bed::unique("pokedex");
    let project = Project::copy_of("examples/pokedex")
        .file(".gitignore", ".home\n.state\n")
        .git();
    let ran = example(&project, &prefix)
        .args(["publish", "--format", "json"])
        .run()
        .exits(0);
    let release = ran.json();
    let images = release["images"].as_array().unwrap();
    assert_eq!(images.len(), 3);
    let mut references = Vec::new();
    for image in images {
        let digest = image["digest"].as_str().unwrap();
        let service = image["service"].as_str().unwrap();
        assert_eq!(
            image["platforms"],
            serde_json::json!(["linux/amd64", "linux/arm64"])
        );
        assert!(image["size"].as_u64().unwrap() > 100_000);
        let tags = image["tags"].as_array().unwrap();
        assert_eq!(tags.len(), 6, "three tags in two registries: {tags:?}");
        for tag in tags {
            let found = Bed::digest(tag.as_str().unwrap());
            assert_eq!(found.as_deref(), Some(digest), "{tag}");
        }
        for repository in image["repositories"].as_array().unwrap() {
            let repository = repository.as_str().unwrap();
            for child in children(&format!("{repository}@{digest}")) {
                let reference = format!("{repository}@{child}");
                Bed::output("crane", &["validate", "--insecure", "--remote", &reference]);
            }
        }
        let first = image["repositories"][0].as_str().unwrap();
        references.push((service.to_owned(), format!("{first}@{digest}")));
    }
    let reference = |service: &str| -> &str {
        let found = references.iter().find(|(name, _)| name == service);
        &found.unwrap().1
    };
    // The images that were published are started, and asked for a page and for an answer.
    let smoke = Command::new(project.join("smoke"))
        .args([
            reference("frontend"),
            reference("backend"),
            reference("nginx"),
        ])
        .arg(Bed::var("BED_REDIS"))
        .output()
        .unwrap();
    assert!(
        smoke.status.success(),
        "{}{}",
        String::from_utf8_lossy(&smoke.stdout),
        String::from_utf8_lossy(&smoke.stderr)
    );

    // Nothing changed, so nothing moves.
    let again = example(&project, &prefix)
        .args(["publish", "--format", "json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(again["moved"], serde_json::json!([]));

    // One service changed, so its tags move and no others.
    project.write("frontend/site/extra.html", "more\n");
    let changed = example(&project, &prefix)
        .args(["publish", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let moved = changed["moved"].as_array().unwrap();
    assert_eq!(moved.len(), 6);
    for tag in moved {
        assert!(
            tag["reference"].as_str().unwrap().contains("frontend"),
            "{tag}"
        );
    }
}

/// The digests of an index's platform manifests.
fn children(reference: &str) -> Vec<String> {
    let text = Bed::output("crane", &["manifest", "--insecure", reference]);
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|child| child["annotations"]["vnd.docker.reference.type"].is_null())
        .map(|child| child["digest"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_plan_shows_what_tags_point_to_now() {
    let prefix = Bed::unique("pokedex");
    let project = Project::copy_of("examples/pokedex")
        .file(".gitignore", ".home\n.state\n")
        .git();
    let published = example(&project, &prefix)
        .args(["publish", "backend", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let plan = example(&project, &prefix)
        .args(["plan", "backend", "frontend", "--format", "json"])
        .run()
        .exits(0)
        .json();
    for target in plan["targets"].as_array().unwrap() {
        for tag in target["tags"].as_array().unwrap() {
            if target["service"] == "backend" {
                assert_eq!(tag["from"], published["images"][0]["digest"]);
            } else {
                assert_eq!(tag["from"], serde_json::Value::Null);
            }
        }
    }
    let listed = example(&project, &prefix)
        .args([
            "ls",
            &format!("{}/{prefix}/pokedex/backend", Bed::registry()),
            "--format",
            "json",
        ])
        .run()
        .exits(0)
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(listed[0]["digest"], published["images"][0]["digest"]);
}

#[test]
fn attestations_come_along_and_the_digest_is_the_same_everywhere() {
    let prefix = Bed::unique("pokedex");
    let project = Project::copy_of("examples/pokedex")
        .file(".gitignore", ".home\n.state\n")
        .git();
    let release = example(&project, &prefix)
        .args(["publish", "frontend", "--format", "json"])
        .args(["--set", "build.provenance=max"])
        .run()
        .exits(0)
        .json();
    let image = &release["images"][0];
    assert_eq!(image["attestations"], serde_json::json!(["provenance"]));
    assert_eq!(image["platforms"].as_array().unwrap().len(), 2);
    for tag in image["tags"].as_array().unwrap() {
        let tag = tag.as_str().unwrap();
        assert_eq!(Bed::digest(tag).as_deref(), image["digest"].as_str());
        let text = Bed::output("crane", &["manifest", "--insecure", tag]);
        assert_eq!(text.matches("attestation-manifest").count(), 2, "{text}");
    }
}
