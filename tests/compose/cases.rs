//! The project's own compose projects: each folder of `tests/compose/cases` has one, with what
//! `docker compose config` 2.40.3 prints for it as JSON and as YAML.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

#[derive(serde::Deserialize)]
struct Case {
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose/cases");
    let mut folders: Vec<PathBuf> = fs::read_dir(all)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("case.json").exists())
        .collect();
    folders.sort();
    folders
}

fn castoff(folder: &Path, more: &[&str]) -> String {
    let case: Case =
        serde_json::from_str(&fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    let output = Command::cargo_bin("castoff")
        .unwrap()
        .current_dir(folder)
        .env_clear()
        .env("HOME", "/home/user")
        .env("PATH", "/bin")
        .envs(case.environment)
        .arg("config")
        .args(case.arguments)
        .args(more)
        .output()
        .unwrap();
    let name = folder.display();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {stderr}");
    assert!(
        !stderr.contains("never-printed"),
        "{name} prints a secret: {stderr}"
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        !stdout.contains("never-printed"),
        "{name} prints a secret: {stdout}"
    );
    stdout.replace(&folder.display().to_string(), "${DIR}")
}

#[test]
fn every_case_is_printed_as_docker_compose_prints_it() {
    let folders = folders();
    assert!(folders.len() > 20, "the cases are not found");
    for folder in folders {
        let want = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(
            castoff(&folder, &["--format", "json"]),
            want("expected.json"),
            "{name}"
        );
        assert_eq!(castoff(&folder, &[]), want("expected.yaml"), "{name}");
    }
}

/// What is printed can be read again, and then prints the same: nothing is left to resolve.
///
/// Not so where compose prints what it does not read: a dependency on a service that is disabled.
#[test]
fn what_is_printed_reads_back_the_same() {
    for folder in folders() {
        if folder.ends_with("profiles") {
            continue;
        }
        let first = castoff(&folder, &[]).replace("${DIR}", "/dir");
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("compose.yaml"), &first).unwrap();
        let output = Command::cargo_bin("castoff")
            .unwrap()
            .current_dir(scratch.path())
            .env_clear()
            .env("HOME", "/home/user")
            .args(["config", "--profile", "*"])
            .output()
            .unwrap();
        let name = folder.display();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {stderr}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), first, "{name}");
    }
}

#[test]
fn lists_of_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose/cases/profiles");
    assert_eq!(castoff(&folder, &["--services"]), "always\ntest\n");
    assert_eq!(castoff(&folder, &["--images"]), "a\nc\n");
    assert_eq!(castoff(&folder, &["--profiles"]), "all\ndebug\ntest\n");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose/cases/include");
    let only = castoff(&folder, &["--services", "inner"]);
    assert_eq!(only, "inner\n");
}
