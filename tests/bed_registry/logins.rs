//! Logins and certificates, as real registries and helpers want them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use castoff::execute::ports::{Credentials as _, Registry as _, RegistryFault};
use castoff::registry::{
    CredentialSources, DockerCredentials, HostSettings, Registries, RegistryOptions,
};

use super::support::images;
use super::{Client, bed, options, own, password, tagged};

#[tokio::test]
async fn wrong_passwords_missing_logins_and_readers_are_told_apart() {
    for host in ["BED_REGISTRY_AUTH", "BED_REGISTRY_TOKEN"] {
        let user = bed(&format!("{host}_USER"));
        let logins = BTreeMap::from([(bed(host), password(&user, "wrong-password"))]);
        let client = Client::with(options(), logins);
        let checked = client.registries.check_login(&client.cx, &bed(host)).await;
        let error = checked.unwrap_err();
        assert!(
            matches!(
                error.fault,
                RegistryFault::Unauthorized {
                    anonymous: false,
                    ..
                }
            ),
            "{host}: {error}"
        );
        assert!(!format!("{error:?}").contains("wrong-password"));
        let client = Client::with(options(), BTreeMap::new());
        let checked = client.registries.check_write(&client.cx, &own(host)).await;
        let error = checked.unwrap_err();
        assert!(
            matches!(
                error.fault,
                RegistryFault::Unauthorized {
                    anonymous: true,
                    ..
                }
            ),
            "{host}: {error}"
        );
        let client = Client::new();
        let checked = client.registries.check_login(&client.cx, &bed(host)).await;
        checked.unwrap();
    }
    let reader = password(
        &bed("BED_REGISTRY_TOKEN_READER"),
        &bed("BED_REGISTRY_TOKEN_READER_PASSWORD"),
    );
    let logins = BTreeMap::from([(bed("BED_REGISTRY_TOKEN"), reader)]);
    let client = Client::with(options(), logins);
    let repository = own("BED_REGISTRY_TOKEN");
    let error = client
        .registries
        .check_write(&client.cx, &repository)
        .await
        .unwrap_err();
    assert!(
        matches!(error.fault, RegistryFault::Denied { .. }),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("may write"));
}

#[tokio::test]
async fn who_may_pull_may_pull() {
    let writer = Client::new();
    let repository = own("BED_REGISTRY_TOKEN");
    let tree = images::tree(images::fresh(), 1000);
    writer.push(&repository, "1", &tree).await;
    let nobody = Client::with(options(), BTreeMap::new());
    let reference = tagged(&repository, "1");
    let found = nobody.registries.resolve(&nobody.cx, &reference).await;
    assert_eq!(found.unwrap(), Some(tree.index.descriptor()));
}

#[tokio::test]
async fn a_login_of_docker_is_understood() {
    // After `docker login` a token registry's entry is an identity token, a plain one's `auth`.
    let folder = tempfile::tempdir().unwrap();
    for host in ["BED_REGISTRY_AUTH", "BED_REGISTRY_TOKEN"] {
        docker_login(folder.path(), host, None);
    }
    let text = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert!(text.contains("identitytoken") && text.contains("\"auth\""));
    let options = RegistryOptions {
        credentials: CredentialSources {
            docker_config_dir: Some(folder.path().to_owned()),
            ..CredentialSources::default()
        },
        ..options()
    };
    let client = Client::of(Registries::new(options));
    for host in ["BED_REGISTRY_AUTH", "BED_REGISTRY_TOKEN"] {
        let checked = client.registries.check_write(&client.cx, &own(host)).await;
        checked.unwrap();
    }
}

/// `docker login` into a configuration folder.
fn docker_login(folder: &Path, host: &str, path: Option<&str>) {
    let mut command = Command::new("docker");
    command
        .args(["login", "--password-stdin", "--username"])
        .arg(bed(&format!("{host}_USER")))
        .arg(bed(host))
        .env("DOCKER_CONFIG", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let mut child = command.spawn().unwrap();
    let secret = bed(&format!("{host}_PASSWORD"));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), secret.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker login: {said}");
}

#[tokio::test]
async fn a_login_of_ours_is_understood_by_docker_and_forgotten_again() {
    let folder = tempfile::tempdir().unwrap();
    let sources = CredentialSources {
        docker_config_dir: Some(folder.path().to_owned()),
        ..CredentialSources::default()
    };
    let credentials = DockerCredentials::new(sources);
    let host = "BED_REGISTRY_AUTH";
    let login = password(
        &bed("BED_REGISTRY_AUTH_USER"),
        &bed("BED_REGISTRY_AUTH_PASSWORD"),
    );
    credentials.store(&bed(host), &login).await.unwrap();
    let catalog = || {
        let mut crane = Command::new("crane");
        crane.args(["catalog", &bed(host)]);
        crane.env("DOCKER_CONFIG", folder.path()).output().unwrap()
    };
    assert!(catalog().status.success());
    credentials.erase(&bed(host)).await.unwrap();
    assert!(!catalog().status.success());
    assert_eq!(credentials.find(&bed(host)).await.unwrap(), None);
}

#[tokio::test]
async fn docker_credential_pass_keeps_and_gives_logins() {
    let home = tempfile::tempdir().unwrap();
    let path = format!("{}:{}", bed("BED_PASS_PATH"), bed("PATH"));
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .env("HOME", home.path())
            .env("PATH", &path)
            .env_remove("GNUPGHOME")
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
    };
    let quickly = [
        "--batch",
        "--passphrase",
        "",
        "--quick-generate-key",
        "bed",
        "default",
    ];
    run("gpg", &quickly);
    run("pass", &["init", "bed"]);
    std::fs::write(
        home.path().join("config.json"),
        r#"{"credsStore":"pass-at-home"}"#,
    )
    .unwrap();
    // The helper finds its keys by HOME, which belongs to the whole process: a name of our own
    // sets it for the helper alone.
    let wrapper = home.path().join("docker-credential-pass-at-home");
    let script = format!(
        "#!/bin/sh\nHOME='{}' exec docker-credential-pass \"$@\"\n",
        home.path().display()
    );
    std::fs::write(&wrapper, script).unwrap();
    run("chmod", &["755", &wrapper.display().to_string()]);
    let sources = || CredentialSources {
        docker_config_dir: Some(home.path().to_owned()),
        helper_path: Some(format!("{}:{path}", home.path().display()).into()),
        ..CredentialSources::default()
    };
    let credentials = DockerCredentials::new(sources());
    let login = password("me", "a secret: with a colon");
    assert_eq!(credentials.find("docker.io").await.unwrap(), None);
    credentials.store("docker.io", &login).await.unwrap();
    let text = std::fs::read_to_string(home.path().join("config.json")).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let fresh = DockerCredentials::new(sources());
    let found = fresh.find("registry-1.docker.io").await.unwrap();
    assert_eq!(found, Some(login));
    assert_eq!(fresh.find("ghcr.io").await.unwrap(), None);
    fresh.erase("docker.io").await.unwrap();
    assert_eq!(fresh.find("docker.io").await.unwrap(), None);
}

#[tokio::test]
async fn docker_credential_ecr_login_is_asked_and_knows_no_other_registry() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"{"credsStore":"ecr-login"}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let credentials = DockerCredentials::new(CredentialSources {
        docker_config_dir: Some(folder.path().to_owned()),
        ..CredentialSources::default()
    });
    assert_eq!(credentials.find("ghcr.io").await.unwrap(), None);
}

#[tokio::test]
async fn certificates_open_tls_and_their_lack_is_told() {
    let client = Client::new();
    for host in ["BED_TLS", "BED_MTLS"] {
        client
            .registries
            .ping(&client.cx, &bed(host))
            .await
            .unwrap();
    }
    let strangers = Client::with(RegistryOptions::default(), BTreeMap::new());
    let pinged = strangers
        .registries
        .ping(&strangers.cx, &bed("BED_TLS"))
        .await;
    let error = pinged.unwrap_err();
    assert!(matches!(error.fault, RegistryFault::Tls { .. }), "{error}");
    assert!(error.hint().unwrap().contains("ca = "), "{error}");
    // nginx answers 400 to who shows no certificate.
    let mut half = options();
    let ca = HostSettings {
        ca: Some(bed("BED_CA").into()),
        ..HostSettings::default()
    };
    half.hosts.insert(bed("BED_MTLS"), ca);
    let client = Client::with(half, BTreeMap::new());
    let checked = client
        .registries
        .check_write(&client.cx, &own("BED_MTLS"))
        .await;
    let error = checked.unwrap_err();
    assert!(
        matches!(error.fault, RegistryFault::Refused { status: 400, .. }),
        "{error}"
    );
}
