//! The order of sources, helpers as real programs, and what `store` and `erase` leave behind.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use super::*;
use crate::secret::Secret;

struct House {
    folder: TempDir,
    sources: CredentialSources,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = CredentialSources {
            docker_config_dir: Some(folder.path().join("docker")),
            helper_path: Some(format!("{}:/usr/bin:/bin", folder.path().display()).into()),
            ..CredentialSources::default()
        };
        Self { folder, sources }
    }

    fn config(self, json: &str) -> Self {
        let folder = self.folder.path().join("docker");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), json).unwrap();
        self
    }

    fn helper(self, name: &str, script: &str) -> Self {
        let path = self.folder.path().join(format!("docker-credential-{name}"));
        // Written under another name first: a fork of a parallel test may hold the file open.
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    async fn find(&self, host: &str) -> Result<Option<Credential>, CredentialError> {
        DockerCredentials::new(self.sources.clone())
            .find(host)
            .await
    }
}

fn entry(host: &str, username: &str) -> String {
    let auth = BASE64_STANDARD.encode(format!("{username}:pw"));
    format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#)
}

fn password(username: &str) -> Credential {
    Credential::Password {
        username: username.to_owned(),
        password: Secret::new("pw"),
    }
}

#[tokio::test]
async fn the_environment_comes_first_then_docker_then_podman_then_github() {
    let mut house = House::new().config(&entry("b", "file"));
    let podman = house.folder.path().join("auth.json");
    std::fs::write(&podman, entry("c", "podman")).unwrap();
    house.sources.podman_auth_files = vec![house.folder.path().join("none.json"), podman];
    house.sources.docker_auth_config = Some(Secret::new(entry("a", "env")));
    house.sources.github_token = Some(Secret::new("pw"));
    house.sources.github_actor = Some("octocat".to_owned());
    for (host, name) in [
        ("a", "env"),
        ("b", "file"),
        ("c", "podman"),
        ("ghcr.io", "octocat"),
    ] {
        assert_eq!(
            house.find(host).await.unwrap(),
            Some(password(name)),
            "{host}"
        );
    }
    assert_eq!(house.find("d").await.unwrap(), None);
    house.sources.docker_auth_config = Some(Secret::new(entry("b", "env")));
    assert_eq!(house.find("b").await.unwrap(), Some(password("env")));
    let house = house.config(&entry("ghcr.io", "pat"));
    assert_eq!(house.find("ghcr.io").await.unwrap(), Some(password("pat")));
}

#[tokio::test]
async fn helpers_are_asked_by_stdin_with_the_hubs_own_key() {
    let script = r#"read -r key
        case "$1 $key" in
          "get https://index.docker.io/v1/") echo '{"ServerURL":"x","Username":"me","Secret":"pw"}';;
          "get acr.example") echo '{"Username":"<token>","Secret":"id"}';;
          *) echo 'credentials not found in native keychain'; exit 1;;
        esac"#;
    let house = House::new()
        .config(r#"{"credsStore":"fake","auths":{"docker.io":{},"h":{}}}"#)
        .helper("fake", script);
    assert_eq!(house.find("docker.io").await.unwrap(), Some(password("me")));
    assert_eq!(
        house.find("acr.example").await.unwrap(),
        Some(Credential::IdentityToken(Secret::new("id")))
    );
    assert_eq!(house.find("h").await.unwrap(), None);
}

#[tokio::test]
async fn one_answer_serves_a_run() {
    let house = House::new()
        .config(r#"{"credHelpers":{"h":"count"}}"#)
        .helper(
            "count",
            r#"echo x >>"${0%/*}/calls"; echo '{"Username":"me","Secret":"pw"}'"#,
        );
    let credentials = DockerCredentials::new(house.sources.clone());
    let asked = (0..20).map(|_| credentials.find("h"));
    for found in futures_util::future::join_all(asked).await {
        assert_eq!(found.unwrap(), Some(password("me")));
    }
    let calls = std::fs::read_to_string(house.folder.path().join("calls")).unwrap();
    assert_eq!(calls, "x\n");
}

#[tokio::test]
async fn a_helper_that_fails_says_so_without_a_secret() {
    let message = async |script: &str| {
        let mut house = House::new()
            .config(r#"{"credsStore":"bad"}"#)
            .helper("bad", script);
        house.sources.helper_timeout = Duration::from_millis(500);
        house.find("h").await.unwrap_err().to_string()
    };
    let begins = "credential helper `docker-credential-bad` failed for h: ";
    for (script, end) in [
        (
            "echo 'pass not initialized'; exit 1",
            "pass not initialized",
        ),
        (r#"echo '{"Secret":"hunter2"}'; exit 1"#, "it failed"),
        (
            "echo hunter2",
            "its answer is not the JSON that docker's protocol wants",
        ),
        ("sleep 5", "no answer within 0.5 s"),
        ("cat /dev/zero", "it said more than 256 KiB"),
    ] {
        assert_eq!(message(script).await, format!("{begins}{end}"), "{script}");
    }
}

#[tokio::test]
async fn a_helper_that_is_not_there_or_no_program_is_an_error() {
    let house = House::new().config(r#"{"credsStore":"missing"}"#);
    let error = house.find("h").await.unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
    let house = House::new().config(r#"{"credsStore":"../../bin/sh"}"#);
    let error = house.find("h").await.unwrap_err();
    assert!(
        error.to_string().contains("not that of a program"),
        "{error}"
    );
}

#[tokio::test]
async fn a_slow_helper_ends_with_its_caller() {
    let house = House::new()
        .config(r#"{"credsStore":"slow"}"#)
        .helper("slow", "echo $$ >\"${0%/*}/pid\"; exec sleep 60");
    let began = Instant::now();
    let _ = tokio::time::timeout(Duration::from_millis(300), house.find("h")).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    let pid = std::fs::read_to_string(house.folder.path().join("pid")).unwrap();
    for _ in 0..50 {
        if !Path::new(&format!("/proc/{}/cmdline", pid.trim())).exists() {
            return;
        }
        let cmdline = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        if cmdline.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the helper still runs");
}

#[tokio::test]
async fn broken_files_are_named() {
    let house = House::new().config(r#"{"auths": 7}"#);
    let error = house.find("h").await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read the logins in ")
            && error
                .contains("config.json: a value of another kind was expected, line 1 column 11"),
        "{error}"
    );
    let mut house = House::new();
    house.sources.docker_auth_config = Some(Secret::new("{"));
    let error = house.find("h").await.unwrap_err().to_string();
    assert!(
        error.contains("DOCKER_AUTH_CONFIG: the JSON ends"),
        "{error}"
    );
}

#[tokio::test]
async fn storing_keeps_what_else_is_in_the_file_and_its_mode() {
    let house = House::new().config(
        "{\"HttpHeaders\": {\"b\": \"1\", \"a\": \"2\"}, \"auths\": {\"h\": {}}, \"psFormat\": \"x\"}",
    );
    let path = house.folder.path().join("docker/config.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let credentials = DockerCredentials::new(house.sources.clone());
    assert_eq!(credentials.find("docker.io").await.unwrap(), None);
    let kept = credentials.store("docker.io", &password("me")).await;
    assert_eq!(kept.unwrap(), Kept::File(path.clone()));
    assert_eq!(
        credentials.find("index.docker.io").await.unwrap(),
        Some(password("me"))
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("{\n\t\"HttpHeaders\": {\n\t\t\"b\": \"1\",\n\t\t\"a\": \"2\""),
        "{text}"
    );
    assert!(text.contains("https://index.docker.io/v1/") && text.contains("psFormat"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    credentials.erase("docker.io").await.unwrap();
    assert_eq!(credentials.find("docker.io").await.unwrap(), None);
    assert!(
        !std::fs::read_to_string(&path)
            .unwrap()
            .contains("index.docker.io")
    );
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_alone() {
    let house = House::new();
    let credentials = DockerCredentials::new(house.sources.clone());
    credentials.store("h", &password("me")).await.unwrap();
    let path = house.folder.path().join("docker/config.json");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn helpers_keep_logins_instead_of_the_file() {
    let script = r#"case "$1" in
          store) cat >"${0%/*}/kept";;
          erase) rm -f "${0%/*}/kept";;
          get) if [ -f "${0%/*}/kept" ]; then cat "${0%/*}/kept"; else echo 'credentials not found in native keychain'; exit 1; fi;;
        esac"#;
    let house = House::new()
        .config(r#"{"credsStore":"file"}"#)
        .helper("file", script);
    let credentials = DockerCredentials::new(house.sources.clone());
    let kept = credentials.store("h", &password("me")).await.unwrap();
    assert_eq!(kept, Kept::Helper("docker-credential-file".to_owned()));
    let text = std::fs::read_to_string(house.folder.path().join("docker/config.json")).unwrap();
    assert!(
        text.contains("\"h\": {}") && !text.contains("auth\""),
        "{text}"
    );
    assert_eq!(credentials.find("h").await.unwrap(), Some(password("me")));
    credentials.erase("h").await.unwrap();
    assert_eq!(credentials.find("h").await.unwrap(), None);
}
