//! Every way to a builder: what a publish over it leaves in the registries, seen by another client.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::Shop;
use crate::support::bed::Bed;
use crate::support::forward::{Behind, Door, tls_file};
use crate::support::program::Castoff;

/// A folder for docker's configuration, with the bed's plugins and nothing else.
pub(crate) fn docker_config(shop: &Shop) -> PathBuf {
    let folder = shop.project.join(".home/docker");
    std::fs::create_dir_all(&folder).unwrap();
    let plugins = PathBuf::from(Bed::var("DOCKER_CONFIG")).join("cli-plugins");
    std::os::unix::fs::symlink(plugins, folder.join("cli-plugins")).unwrap();
    folder
}

/// A publish without `DOCKER_HOST`, so that something else says where to go.
pub(crate) fn publish(shop: &Shop, extra: &[&str]) -> Castoff {
    let folder = docker_config(shop);
    shop.project
        .castoff(["publish", "--rebuild", "--format", "json"])
        .args(extra)
        .env("DOCKER_CONFIG", folder.display().to_string())
        .env(
            "CASTOFF_STATE",
            shop.project.join(".state").display().to_string(),
        )
}

/// Publishes, and has another client look.
#[track_caller]
fn publishes(shop: &Shop, castoff: Castoff) -> String {
    let ran = castoff.run().exits(0);
    let release = ran.json();
    let digest = release["images"][0]["digest"].as_str().unwrap();
    for host in [Bed::registry(), Bed::other_registry()] {
        assert_eq!(shop.latest(&host, "web").as_deref(), Some(digest), "{host}");
    }
    ran.stderr
}

/// Runs docker with the configuration in a shop's folder.
pub(crate) fn docker(shop: &Shop, arguments: &[&str]) {
    let output = std::process::Command::new("docker")
        .args(arguments)
        .env("DOCKER_CONFIG", shop.project.join(".home/docker"))
        .env_remove("DOCKER_HOST")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Puts a program on a `PATH` of its own.
pub(crate) fn program(shop: &Shop, name: &str, script: &str) -> String {
    let folder = shop.project.join(".home/bin");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[test]
fn an_engine_behind_a_tcp_port() {
    let shop = Shop::of(&["web"]);
    let door = Door::tcp(Behind::Engine);
    let castoff = publish(&shop, &[]).env("DOCKER_HOST", &door.address);
    publishes(&shop, castoff);
}

#[test]
fn an_engine_behind_tls_that_wants_a_certificate() {
    let shop = Shop::of(&["web"]);
    let door = Door::tls(Behind::Engine);
    let certificates = shop.project.join(".home/certificates");
    std::fs::create_dir_all(&certificates).unwrap();
    for (from, to) in [
        ("ca.pem", "ca.pem"),
        ("client.pem", "cert.pem"),
        ("client.key", "key.pem"),
    ] {
        std::fs::copy(tls_file(from), certificates.join(to)).unwrap();
    }
    let castoff = publish(&shop, &[])
        .env("DOCKER_HOST", &door.address)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", certificates.display().to_string());
    publishes(&shop, castoff);
    // The Engine's own API goes the same way.
    let pruned = shop
        .project
        .castoff(["prune", "local", "--format", "json"])
        .args(["--set", "prune.local.after_publish=false"])
        .env("DOCKER_HOST", &door.address)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", certificates.display().to_string());
    pruned.run().exits(0).json();
}

#[test]
fn an_engine_of_a_docker_context_with_its_own_certificates() {
    let shop = Shop::of(&["web"]);
    let door = Door::tls(Behind::Engine);
    let castoff = publish(&shop, &[]);
    let file = |name: &str| tls_file(name).display().to_string();
    let endpoint = format!(
        "host={},ca={},cert={},key={}",
        door.address,
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    docker(&shop, &["context", "create", "far", "--docker", &endpoint]);
    docker(&shop, &["context", "use", "far"]);
    let said = publishes(&shop, castoff);
    assert!(said.contains("building with far"), "{said}");
}

/// `ssh` as it behaves, but for the way: the command runs here, in a shell as on the far side.
const SSH: &str = r#"
printf '%s\n' "$@" > "$SSH_SAW"
while [ "$1" != -- ]; do shift; done
shift 2
DOCKER_HOST=$FAR_ENGINE exec sh -c "$*""#;

#[test]
fn an_engine_behind_ssh() {
    let shop = Shop::of(&["web"]);
    let path = program(&shop, "ssh", SSH);
    let saw = shop.project.join(".home/saw");
    let castoff = publish(&shop, &[])
        .env("PATH", path)
        .env("SSH_SAW", saw.display().to_string())
        .env("FAR_ENGINE", Bed::var("DOCKER_HOST"))
        .env("DOCKER_HOST", "ssh://me@far:2222");
    publishes(&shop, castoff);
    let saw = std::fs::read_to_string(saw).unwrap();
    assert_eq!(
        saw,
        "-l\nme\n-p\n2222\n-o ConnectTimeout=30\n-T\n--\nfar\ndocker system dial-stdio\n"
    );
}

#[test]
fn a_buildkitd_behind_mutual_tls() {
    let shop = Shop::of(&["web"]);
    let door = Door::tls(Behind::BuildKit);
    let file = |name: &str| tls_file(name).display().to_string();
    let tls = format!(
        "build.builder_tls={{ ca = \"{}\", cert = \"{}\", key = \"{}\", server_name = \"localhost\" }}",
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    let castoff = publish(&shop, &["--builder", &door.address, "--set", &tls]);
    let said = publishes(&shop, castoff);
    assert!(said.contains("building with buildkitd"), "{said}");
}

#[test]
fn a_buildkitd_that_the_environment_names() {
    let shop = Shop::of(&["web"]);
    let door = Door::socket(Behind::BuildKit);
    let castoff = publish(&shop, &[]).env("BUILDKIT_HOST", &door.address);
    publishes(&shop, castoff);
}

#[test]
fn builders_of_buildx_by_name_by_variable_and_by_choice() {
    let shop = Shop::of(&["web"]);
    let door = Door::socket(Behind::BuildKit);
    let castoff = publish(&shop, &["--builder", "farm"]);
    let create = ["buildx", "create", "--name", "farm", "--driver", "remote"];
    docker(&shop, &[&create[..], &[&door.address]].concat());
    let said = publishes(&shop, castoff);
    assert!(said.contains("building with farm"), "{said}");

    let again = |arguments: &[&str]| {
        shop.project
            .castoff(["publish", "--rebuild", "--format", "json"])
            .args(arguments)
            .envs(Bed::environment())
            .env(
                "DOCKER_CONFIG",
                shop.project.join(".home/docker").display().to_string(),
            )
            .env(
                "CASTOFF_STATE",
                shop.project.join(".state").display().to_string(),
            )
    };
    let said = publishes(&shop, again(&[]).env("BUILDX_BUILDER", "farm"));
    assert!(said.contains("building with farm"), "{said}");
    let said = publishes(&shop, again(&[]));
    assert!(said.contains("building with engine"), "{said}");
    // With DOCKER_HOST the choice belongs to that Engine.
    let chosen = std::process::Command::new("docker")
        .args(["buildx", "use", "farm"])
        .env("DOCKER_CONFIG", shop.project.join(".home/docker"))
        .status()
        .unwrap();
    assert!(chosen.success());
    let said = publishes(&shop, again(&[]));
    assert!(said.contains("building with farm"), "{said}");
    let said = publishes(&shop, again(&["--builder", "engine"]));
    assert!(said.contains("building with engine"), "{said}");
    // The Engine's own builder has a name, too, and needs no buildx.
    let said = publishes(&shop, again(&["--builder", "default"]));
    assert!(said.contains("building with engine"), "{said}");
}

#[test]
fn each_service_may_have_a_builder_of_its_own() {
    let shop = Shop::of(&["web", "api"]);
    let door = Door::socket(Behind::BuildKit);
    let own = format!("services.api.builder={}", door.address);
    let ran = shop
        .castoff(["publish", "--rebuild", "--set", &own])
        .run()
        .exits(0);
    assert!(
        ran.stderr.contains("api      building with buildkitd"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("web      building with engine"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_image_of_another_builder_is_loaded_into_the_engine() {
    let shop = Shop::of(&["web"]);
    let door = Door::socket(Behind::BuildKit);
    let project = Bed::unique("load");
    // Larger than what may wait on the way.
    shop.project.write(
        "web/Dockerfile",
        "ARG BASE\nFROM $BASE\nRUN dd if=/dev/urandom of=/big bs=1M count=24\nCOPY file /file\n",
    );
    let built = shop
        .castoff([
            "build",
            "--format",
            "json",
            "--builder",
            &door.address,
            "-p",
            &project,
        ])
        .run()
        .exits(0)
        .json();
    let name = format!("{project}-web");
    assert_eq!(
        built[0]["names"][0].as_str().unwrap(),
        format!("docker.io/library/{name}:latest")
    );
    let said = Bed::output(
        "docker",
        &["run", "--rm", "--network", "none", &name, "cat", "/file"],
    );
    assert!(said.ends_with(" web"), "{said}");
    Bed::output("docker", &["rmi", &name]);
}

#[test]
fn a_builder_of_two_nodes_gives_one_index() {
    for provenance in ["off", "max"] {
        let shop = Shop::of(&["web"]);
        let (one, other) = (
            Door::socket(Behind::BuildKit),
            Door::socket(Behind::BuildKit),
        );
        let name = format!("farm-{}", shop.prefix);
        let castoff = publish(&shop, &["--builder", &name])
            .args(["--set", "build.platforms=linux/amd64,linux/arm64"])
            .args(["--set", &format!("build.provenance={provenance}")])
            .args([
                "--set",
                "annotations.levels=index,manifest,manifest-descriptor",
            ]);
        let create = ["buildx", "create", "--name", &name, "--driver", "remote"];
        let amd64 = ["--platform", "linux/amd64", "--node", "one", &one.address];
        docker(&shop, &[&create[..], &amd64].concat());
        let arm64 = [
            "--append",
            "--platform",
            "linux/arm64",
            "--node",
            "two",
            &other.address,
        ];
        docker(&shop, &[&create[..], &arm64].concat());
        publishes(&shop, castoff);
        assert!(one.opened() > 0 && other.opened() > 0);
        for host in [Bed::registry(), Bed::other_registry()] {
            let repository = shop.repository(&host, "web");
            let text = Bed::output(
                "crane",
                &["manifest", "--insecure", &format!("{repository}:latest")],
            );
            let index: serde_json::Value = serde_json::from_str(&text).unwrap();
            let manifests = index["manifests"].as_array().unwrap();
            let architectures: Vec<&str> = manifests
                .iter()
                .map(|entry| entry["platform"]["architecture"].as_str().unwrap())
                .collect();
            let (expected, attestations) = match provenance {
                "off" => (vec!["amd64", "arm64"], 0),
                _ => (vec!["amd64", "arm64", "unknown", "unknown"], 2),
            };
            assert_eq!(architectures, expected);
            assert!(index["annotations"]["org.opencontainers.image.revision"].is_string());
            // Each attestation is of an image that is there, and each image is whole.
            let subjects: Vec<&str> = manifests[2..]
                .iter()
                .map(|entry| {
                    entry["annotations"]["vnd.docker.reference.digest"]
                        .as_str()
                        .unwrap()
                })
                .collect();
            assert_eq!(subjects.len(), attestations);
            for entry in &manifests[..2] {
                let digest = entry["digest"].as_str().unwrap();
                assert!(entry["annotations"]["org.opencontainers.image.revision"].is_string());
                assert!(attestations == 0 || subjects.contains(&digest));
                let image = format!("{repository}@{digest}");
                Bed::output("crane", &["validate", "--insecure", "--remote", &image]);
            }
        }
    }
}

#[test]
fn nodes_that_are_one_builder_build_together() {
    let shop = Shop::of(&["web"]);
    let (one, other) = (
        Door::socket(Behind::BuildKit),
        Door::socket(Behind::BuildKit),
    );
    let name = format!("farm-{}", shop.prefix);
    let castoff = publish(&shop, &["--builder", &name])
        .args(["--set", "build.platforms=linux/amd64,linux/arm64"]);
    let create = ["buildx", "create", "--name", &name, "--driver", "remote"];
    docker(
        &shop,
        &[&create[..], &["--node", "one", &one.address]].concat(),
    );
    docker(
        &shop,
        &[&create[..], &["--append", "--node", "two", &other.address]].concat(),
    );
    let said = publishes(&shop, castoff);
    // The same BuildKit answers behind both, so there is one build of both platforms.
    assert!(said.contains("linux/amd64 [2/2]"), "{said}");
}

/// A run against the bed's Engine with the classic image store.
fn classic<const N: usize>(shop: &Shop, arguments: [&str; N]) -> Castoff {
    let state = shop.project.join(".state").display().to_string();
    let castoff = shop.project.castoff(arguments);
    castoff
        .env("DOCKER_HOST", Bed::var("BED_CLASSIC"))
        .env("CASTOFF_STATE", state)
}

#[test]
fn an_engine_with_the_classic_store_is_refused_before_anything_is_built() {
    let shop = Shop::of(&["web"]);
    let ran = classic(&shop, ["publish"]).run().exits(3);
    let says = "engine cannot push from the classic image store";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("docker buildx create"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("building"), "{}", ran.stderr);
}

#[test]
fn an_engine_with_the_classic_store_keeps_what_it_builds() {
    let shop = Shop::of(&["web"]);
    let project = Bed::unique("classic");
    classic(&shop, ["build", "-p", &project]).run().exits(0);
    let name = format!("{project}-web");
    let host = Bed::var("BED_CLASSIC");
    let said = Bed::output(
        "docker",
        &[
            "-H",
            &host,
            "run",
            "--rm",
            "--network",
            "none",
            &name,
            "cat",
            "/file",
        ],
    );
    assert!(said.ends_with(" web"), "{said}");
    Bed::output("docker", &["-H", &host, "rmi", &name]);
}

#[test]
fn check_lists_the_builders_with_what_they_can_do() {
    let shop = Shop::of(&["web", "api"]);
    let door = Door::socket(Behind::BuildKit);
    docker_config(&shop);
    docker(
        &shop,
        &[
            "buildx",
            "create",
            "--name",
            "spare",
            "--driver",
            "remote",
            &door.address,
        ],
    );
    let own = format!("services.api.builder={}", door.address);
    let ran = shop
        .castoff(["check", "--format", "json", "--set", &own])
        .env(
            "BUILDX_CONFIG",
            shop.project
                .join(".home/docker/buildx")
                .display()
                .to_string(),
        )
        .run()
        .exits(0)
        .json();
    let builders = ran["builders"].as_array().unwrap();
    let names: Vec<_> = builders
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["driver"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            ("buildkitd", "buildkitd"),
            ("engine", "engine"),
            ("spare", "remote")
        ]
    );
    assert_eq!(builders[0]["services"], serde_json::json!(["api"]));
    assert!(
        builders[1]["native"]
            .as_array()
            .unwrap()
            .contains(&"linux/amd64".into())
    );
    assert!(
        builders[1]["emulated"]
            .as_array()
            .unwrap()
            .contains(&"linux/arm64".into())
    );
    assert_eq!(ran["findings"], serde_json::json!([]));
    let ran = classic(&shop, ["check"]).run().exits(3);
    assert!(
        ran.stdout.contains("(cannot do what is asked)"),
        "{}",
        ran.stdout
    );
}
