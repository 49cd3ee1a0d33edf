//! What is not shown, and what cannot be.

use std::fs::File;
use std::process::Stdio;

use crate::shop;
use crate::support::project::Project;

fn with_arguments() -> Project {
    Project::new()
        .file(
            "compose.yaml",
            r#"
name: shop
services:
  web:
    image: ghcr.io/acme/shop-web:1.0
    build:
      context: .
      args:
        NPM_TOKEN: hunter2
        SIGNING_PASSPHRASE: hunter3
        INDEX: https://bob:hunter4@pypi.example/simple
        MODE: fast
"#,
        )
        .file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
}

#[test]
fn a_plan_for_programs_has_no_values_of_arguments_that_are_secrets() {
    let project = with_arguments();
    let ran = project
        .castoff(["plan", "--offline", "--format", "json"])
        .run()
        .exits(0);
    assert!(!ran.stdout.contains("hunter"), "{}", ran.stdout);
    let arguments = &ran.json()["targets"][0]["build"]["args"];
    assert_eq!(
        arguments,
        &serde_json::json!({
            "INDEX": "https://pypi.example/simple",
            "MODE": "fast",
            "NPM_TOKEN": "***",
            "SIGNING_PASSPHRASE": "***",
        })
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let project = shop();
    let mut command = project.castoff(["config"]).command();
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the result could not be written"), "{said}");
}
