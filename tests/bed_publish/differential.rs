//! The same options given to castoff and to `docker buildx build`, on one engine: the images are equal.
//!
//! Equal are the configurations (with the layers' diff ids and the history), the media types of the
//! layers, the annotations of every level, and the kinds of attestations. Different on purpose are the
//! labels that castoff computes, and dates where both built past the cache.

mod cases;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::project::Project;
use cases::{CASES, Case};

/// Labels that castoff computes.
fn is_computed(label: &str) -> bool {
    label.starts_with("dev.castoff.") || label.starts_with("org.opencontainers.image.")
}

/// Fills in what a case needs to know of the bed.
fn filled(text: &str, prefix: &str) -> String {
    text.replace("@BASE", &Bed::base())
        .replace("@SCANNER", &format!("{}/{prefix}/scanner", Bed::registry()))
        .replace("@PREFIX", prefix)
}

/// One project with every case as a service.
fn project(prefix: &str) -> Project {
    let mut compose = "name: differential\nservices:\n".to_owned();
    let mut publish = format!(
        "[registries.a]\nrepository = \"{}/{prefix}/castoff-{{{{service}}}}\"\n[tags]\nrules = [\"type=raw,value=latest\"]\n",
        Bed::registry()
    );
    let mut project = Project::new()
        .file("app/file", prefix)
        .file("app/deep/er/file", "deep")
        .file("app/drop/keep", "kept")
        .file("app/drop/lost", "left out")
        .file("app/script.sh", "#!/bin/sh\necho hello\n")
        .file("app/.dockerignore", "drop\n!drop/keep\n")
        .file("other/file", "of the other context")
        .file("secret", "a secret");
    std::os::unix::fs::symlink("deep/er", project.join("app/link")).unwrap();
    for case in CASES {
        let name = case.name;
        let dockerfile = format!("app/{name}.Dockerfile");
        project = project.file(&dockerfile, &filled(case.dockerfile, prefix));
        let _ = write!(
            compose,
            "  {name}:\n{}    build:\n      context: ./app\n      dockerfile: {name}.Dockerfile\n",
            case.service
        );
        for line in filled(case.build, prefix).lines() {
            let _ = writeln!(compose, "      {line}");
        }
        if !case.publish.is_empty() {
            let _ = write!(
                publish,
                "[services.{name}]\n{}\n",
                filled(case.publish, prefix)
            );
        }
    }
    compose.push_str("secrets:\n  from_file: { file: ./secret }\n  from_env: { environment: DIFFERENTIAL_SECRET }\n");
    // One ignore file of a Dockerfile's own.
    project
        .file("app/own-ignore.Dockerfile.dockerignore", "deep\n")
        .file("compose.yaml", &compose)
        .file("publish.toml", &publish)
        .file(".gitignore", ".home\n.state\n")
        .git()
}

/// The image that makes SBOMs for the case that asks for one.
fn push_scanner(project: &Project, prefix: &str) {
    project.write(
        "scanner/Dockerfile",
        &filled(
            "FROM @BASE\nCOPY --chmod=755 scan /scan\nENTRYPOINT [\"/scan\"]\n",
            prefix,
        ),
    );
    project.write(
        "scanner/scan",
        "#!/bin/sh\nset -e\necho '{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"predicateType\":\"https://spdx.dev/Document\",\"predicate\":{\"SPDXID\":\"SPDXRef-DOCUMENT\"}}' > \"$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json\"\n",
    );
    let tag = filled("@SCANNER", prefix);
    buildx(project, &["--push", "-t", &tag, "scanner"]);
}

fn buildx(project: &Project, arguments: &[&str]) {
    let output = Command::new("docker")
        .args(["buildx", "build", "--progress", "plain"])
        .args(arguments)
        .current_dir(project.path())
        .env("DIFFERENTIAL_SECRET", "another secret")
        .env("DIFFERENTIAL_ARG", "from outside")
        .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}\n{said}");
}

fn crane(arguments: &[&str]) -> Value {
    let text = Bed::output("crane", &[arguments, &["--insecure"]].concat());
    serde_json::from_str(&text).unwrap()
}

/// What of an image has to be equal.
fn image(reference: &str, case: &Case) -> Value {
    let root = crane(&["manifest", reference]);
    let repository = reference.rsplit_once(':').unwrap().0;
    let at = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        crane(&["manifest", &format!("{repository}@{digest}")])
    };
    let manifests: BTreeMap<String, Value> = match root["manifests"].as_array() {
        None => [("alone".to_owned(), manifest(&root, repository, case))].into(),
        Some(children) => children
            .iter()
            .map(|child| {
                let mut name = child["platform"].to_string();
                let mut annotations = child["annotations"].clone();
                if let Some(of) = annotations["vnd.docker.reference.digest"].as_str() {
                    let of = children.iter().find(|child| child["digest"] == of).unwrap();
                    name = format!("attestations of {}", of["platform"]);
                    annotations["vnd.docker.reference.digest"] = json!("the image");
                }
                let manifest = manifest(&at(child), repository, case);
                (
                    name,
                    json!({ "annotations": annotations, "manifest": manifest }),
                )
            })
            .collect(),
    };
    let annotations = own_annotations(&root);
    json!({ "type": root["mediaType"], "annotations": annotations, "manifests": manifests })
}

/// The annotations of a manifest, without what castoff says of its own.
fn own_annotations(manifest: &Value) -> Value {
    let said = manifest["annotations"].as_object();
    let said = said.into_iter().flatten();
    let own: serde_json::Map<String, Value> = said
        .filter(|(name, _)| name.as_str() != "dev.castoff.inputs")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if own.is_empty() {
        Value::Null
    } else {
        json!(own)
    }
}

fn manifest(manifest: &Value, repository: &str, case: &Case) -> Value {
    let none = Vec::new();
    let layers = manifest["layers"].as_array().unwrap_or(&none);
    let predicate = "in-toto.io/predicate-type";
    let is_attestation = layers
        .iter()
        .any(|layer| layer["annotations"][predicate].is_string());
    let kinds = layers
        .iter()
        .map(|layer| json!([layer["mediaType"], layer["annotations"][predicate]]));
    let kinds: Vec<Value> = kinds.collect();
    let digest = manifest["config"]["digest"].as_str().unwrap();
    let mut config = Value::Null;
    if !is_attestation {
        config = crane(&["blob", &format!("{repository}@{digest}")]);
        if let Some(labels) = config["config"]["Labels"].as_object_mut() {
            labels.retain(|label, _| !is_computed(label));
            if labels.is_empty() {
                config["config"].as_object_mut().unwrap().remove("Labels");
            }
        }
        if case.fresh {
            config["created"].take();
            for step in config["history"].as_array_mut().unwrap() {
                step["created"].take();
            }
            // Layers of `RUN` hold the time in which they ran.
            let layers = config["rootfs"]["diff_ids"].as_array().map(Vec::len);
            config["rootfs"] = json!(layers);
        }
    }
    let size = if is_attestation || case.fresh {
        Value::Null
    } else {
        json!(layers)
    };
    let annotations = own_annotations(manifest);
    json!({ "type": manifest["mediaType"], "annotations": annotations, "config": config, "layers": kinds, "blobs": size })
}

/// Every place where two documents differ.
fn compare(at: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for key in keys {
                compare(&format!("{at}.{key}"), &ours[key], &theirs[key], found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{at}[{index}]"), one, other, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{at}: castoff {ours}, buildx {theirs}")),
    }
}

/// Builds a case with buildx and says where its image differs from castoff's.
fn differences(project: &Project, prefix: &str, commit: &str, case: &Case) -> Vec<String> {
    let tag = format!("{}/{prefix}/buildx-{}:latest", Bed::registry(), case.name);
    let dockerfile = format!("app/{}.Dockerfile", case.name);
    let push = format!(
        "type=image,name={tag},push=true,store=false{}{}",
        // castoff writes OCI's types where nobody says otherwise.
        if case.output.contains("oci-mediatypes") {
            ""
        } else {
            ",oci-mediatypes=true"
        },
        case.output
    );
    let mut arguments = vec!["-f".to_owned(), dockerfile, "--output".to_owned(), push];
    let given = case
        .buildx
        .iter()
        .map(|argument| filled(argument, prefix).replace("@COMMIT", commit));
    arguments.extend(given);
    arguments.push("app".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    buildx(project, &arguments);
    let ours = image(
        &format!("{}/{prefix}/castoff-{}:latest", Bed::registry(), case.name),
        case,
    );
    let theirs = image(&tag, case);
    let mut found = Vec::new();
    compare("", &ours, &theirs, &mut found);
    found
        .into_iter()
        .map(|line| format!("{}{line}", case.name))
        .collect()
}

#[test]
fn options_have_the_same_effect_as_with_buildx() {
    assert!(CASES.len() >= 60, "{} cases", CASES.len());
    let prefix = Bed::unique("differential");
    let project = project(&prefix);
    push_scanner(&project, &prefix);
    let commit = Bed::output(
        "git",
        &[
            "-C",
            project.path().to_str().unwrap(),
            "log",
            "-1",
            "--format=%ct",
        ],
    );
    project
        .castoff(["publish"])
        .envs(Bed::environment())
        .env("DIFFERENTIAL_SECRET", "another secret")
        .env("DIFFERENTIAL_ARG", "from outside")
        .env(
            "CASTOFF_STATE",
            project.join(".state").display().to_string(),
        )
        .run()
        .exits(0);
    // Several at a time: a single one mostly waits.
    let share = CASES.len().div_ceil(6);
    let different: Vec<String> = std::thread::scope(|scope| {
        let work: Vec<_> = CASES
            .chunks(share)
            .map(|cases| {
                let (project, prefix, commit) = (&project, &prefix, &commit);
                scope.spawn(move || {
                    let found = |case| differences(project, prefix, commit, case);
                    cases.iter().flat_map(found).collect::<Vec<_>>()
                })
            })
            .collect();
        work.into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(different.is_empty(), "{}", different.join("\n"));
}
