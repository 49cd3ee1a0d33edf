//! What is not shown, and what cannot be.

use std::fs::File;
use std::process::Stdio;

use crate::shop;
use crate::support::program::Ran;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

fn with_arguments() -> Project {
    Project::new()
        .file(
            "compose.yaml",
            r"
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
",
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

fn castoff_without_engine(project: &Project, arguments: &[&str]) -> Ran {
    let castoff = project.castoff([]).args(arguments);
    castoff
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .run()
}

#[test]
fn a_plan_for_programs_has_no_credentials_of_contexts_caches_and_dockerfiles() {
    let registry = TestRegistry::start();
    let compose = r"
name: shop
services:
  web:
    image: REGISTRY/shop-web:1.0
    build:
      context: https://bob:hunter1@git.example/r.git#main:web
      additional_contexts:
        base: https://hunter2@git.example/base.git#v1
        file: https://files.example/x.tar?sig=hunter3
      cache_from:
        - type=s3,region=eu,bucket=b,access_key_id=hunter4,secret_access_key=hunter5,session_token=hunter6
        - type=azblob,account_url=https://b.example/?sig=hunter7,name=n
      cache_to:
        - type=gha,url=https://cache.example/?a=hunter8,token=hunter9,ghtoken=hunter10
        - type=s3,region=eu,bucket=b,endpoint_url=https://bob:hunter11@s3.example
  api:
    image: REGISTRY/shop-api:1.0
    build:
      dockerfile_inline: |
        FROM scratch
        ENV API_TOKEN=hunter12 MODE=fast
        ADD https://bob:hunter13@files.example/x /
";
    let compose = compose.replace("REGISTRY", registry.host());
    let project = Project::new().file("compose.yaml", &compose).git();
    project.run_git(&[
        "remote",
        "add",
        "origin",
        "https://bob:hunter14@git.example/shop.git",
    ]);
    for arguments in [
        &["plan", "--offline", "--format", "json"][..],
        &["plan", "--offline", "--format", "markdown"],
        &["plan", "--out", "saved.json", "--format", "json"],
        &["plan", "--out", "saved.json", "--format", "markdown"],
        &["plan", "--out", "saved.json", "--format", "text"],
    ] {
        let ran = castoff_without_engine(&project, arguments).exits(0);
        assert!(!ran.stdout.contains("hunter"), "{}", ran.stdout);
        assert!(!ran.stderr.contains("hunter"), "{}", ran.stderr);
    }
    let saved = std::fs::read_to_string(project.join("saved.json")).unwrap();
    assert!(!saved.contains("hunter"), "{saved}");
    let ran = project
        .castoff(["plan", "--offline", "--format", "json"])
        .run()
        .exits(0);
    let (api, web) = (&ran.json()["targets"][0], &ran.json()["targets"][1]);
    assert_eq!(
        api["build"]["dockerfile"],
        "FROM scratch\nENV API_TOKEN=*** MODE=fast\nADD https://files.example/x /\n"
    );
    assert_eq!(
        web["build"]["context"],
        "https://git.example/r.git#main:web"
    );
    assert_eq!(
        web["build"]["named_contexts"],
        serde_json::json!({
            "base": "https://git.example/base.git#v1",
            "file": "https://files.example/x.tar?…",
        })
    );
    assert_eq!(
        web["cache_from"],
        serde_json::json!([
            {
                "type": "s3", "access_key_id": "***", "bucket": "b", "region": "eu",
                "secret_access_key": "***", "session_token": "***",
            },
            { "type": "azblob", "account_url": "https://b.example/?…", "name": "n" },
        ])
    );
    assert_eq!(
        web["cache_to"],
        serde_json::json!([
            {
                "type": "gha", "ghtoken": "***", "ignore-error": "true", "token": "***",
                "url": "https://cache.example/?…",
            },
            {
                "type": "s3", "bucket": "b", "endpoint_url": "https://s3.example",
                "ignore-error": "true", "region": "eu",
            },
        ])
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
