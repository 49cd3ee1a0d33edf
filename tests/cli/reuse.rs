//! Which published image is taken as it is: under which tags it is found, whether it is whole, what is said
//! where none is; and saved plans of what is never reused.

use serde_json::Value;

use crate::against::{castoff, inputs, project};
use crate::support::images::{index_of, labelled, labelled_for};
use crate::support::project::Project;
use crate::support::registry::{Canned, Fault, TestRegistry, When};

const INPUTS: &str = "dev.castoff.inputs";
const LATEST: &str = "\"type=raw,value=latest\"";

/// What the plan says of its only service: what is done, and why.
fn decision(project: &Project) -> (String, String) {
    let plan = castoff(project, ["plan", "--format", "json"]);
    let target = plan.run().exits(0).json()["targets"][0].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&target["action"]), text(&target["because"][0]))
}

#[test]
fn the_same_inputs_are_found_under_another_tag() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], "\"type=semver,pattern={{version}}\"");
    project.run_git(&["tag", "v1.0.0"]);
    project.run_git(&["checkout", "-q", "v1.0.0"]);
    let inputs = inputs(&project);
    let image = labelled(1, &[(INPUTS, &inputs)]);
    // Others of the repository: another image, and what is tied to one.
    registry.put("api", "0.9.0", &labelled(2, &[]));
    registry.put("api", "sha256-00", &labelled(3, &[]));
    assert_eq!(
        decision(&project).1,
        "build, because none of its tags exists yet"
    );
    registry.put("api", "main", &image);
    assert_eq!(decision(&project).0, "reuse");
    let asked = registry.script().lines();
    let is_tied = |line: &String| line.contains("/manifests/sha256-00");
    assert!(!asked.iter().any(is_tied), "{asked:?}");
    let release = castoff(&project, ["publish", "--format", "json"]);
    let release = release.run().exits(0).json();
    assert_eq!(release["images"][0]["reused"], true);
    let tag = registry.manifest("api", "1.0.0").unwrap();
    assert_eq!(tag.1, image.manifest.bytes());
    // Nobody looks where nothing would be built.
    registry.script().clear();
    assert_eq!(decision(&project).0, "reuse");
    assert_eq!(registry.script().count("GET", "/tags/list"), 0);
}

#[test]
fn an_image_of_which_a_part_is_gone_is_not_reused() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let inputs = inputs(&project);
    let tree = index_of(labelled(1, &[(INPUTS, &inputs)]));
    registry.put_tree("api", "latest", &tree);
    // What the image says is known by its digest from here on.
    assert_eq!(decision(&project).0, "reuse");
    let part = tree.images[0].manifest.digest();
    registry.script().on(
        When::is("HEAD", &format!("/manifests/{part}")),
        Fault::Answer(Canned::error(404, "MANIFEST_UNKNOWN", "gone")),
    );
    let (action, because) = decision(&project);
    assert_eq!(action, "build");
    let short = tree.index.digest().short();
    assert_eq!(
        because.replace(registry.host(), "[host]"),
        format!(
            "build, because a manifest that sha256:{short}… is made of is missing in [host]/api"
        )
    );
    registry.script().clear();
}

#[test]
fn why_there_is_nothing_to_reuse_is_said_as_it_is() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let inputs = inputs(&project);
    let none = "build, because none of its tags exists yet";
    assert_eq!(decision(&project).1, none);
    let other = labelled_for("s390x", 1, &[(INPUTS, &inputs)]);
    registry.put("api", "latest", &other);
    let because = decision(&project).1;
    assert!(because.ends_with("is for other platforms"), "{because}");
    // A manifest whose configuration is gone.
    let mut broken = labelled(2, &[]);
    broken.blobs.clear();
    registry.put("api", "latest", &broken);
    let because = decision(&project).1;
    assert!(because.ends_with("cannot be read as an image"), "{because}");
}

#[test]
fn a_context_with_its_history_comes_with_the_remedy() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    project.write(
        "compose.yaml",
        "name: shop\nservices:\n  api:\n    build:\n      context: .\n      dockerfile_inline: |\n        FROM scratch\n        COPY . /\n",
    );
    project.write(".dockerignore", ".home\n.state\n");
    project.commit();
    let inputs = inputs(&project);
    registry.put("api", "latest", &labelled(1, &[(INPUTS, &inputs)]));
    castoff(&project, ["publish", "--quiet"]).run().exits(0);
    project.run_git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    assert_eq!(
        decision(&project).1,
        "build, because the context changed below .git only: add .git to .dockerignore"
    );
}

#[test]
fn a_saved_plan_of_what_is_never_reused_holds_only_for_the_same_files() {
    let registry = TestRegistry::start();
    let project = project(&[&registry], LATEST);
    let publish = std::fs::read_to_string(project.join("publish.toml")).unwrap();
    let never = publish.replace("[build]\n", "[build]\nreuse = \"never\"\n");
    project.write("publish.toml", &never);
    project.write(".gitignore", ".home\n.state\nsaved\n");
    project.commit();
    castoff(&project, ["plan", "--out", "saved"]).run().exits(0);
    let differs = || {
        let ran = castoff(&project, ["publish", "--plan", "saved"]).run();
        ran.stderr.contains("its inputs have changed")
    };
    // Nothing builds here: a plan that holds goes on to where the builder is missing.
    assert!(!differs());
    let changes = [
        ("api/file", "other\n"),
        ("api/Dockerfile", "FROM scratch\nCOPY file /f\n"),
        (
            "compose.yaml",
            "name: shop\nservices:\n  api:\n    build:\n      context: api\n      args: {A: b}\n",
        ),
    ];
    for (path, text) in changes {
        let before = std::fs::read_to_string(project.join(path)).unwrap();
        project.write(path, text);
        assert!(differs(), "{path}");
        project.write(path, &before);
        assert!(!differs(), "{path}");
    }
}
