//! Publishing from an Engine with the classic image store: the same promise, kept from here.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::Shop;
use crate::cancel::wait_until;
use crate::support::bed::Bed;
use crate::support::program::Castoff;
use crate::support::registry::{Canned, Fault, TestRegistry, When};

const SERVICES: [&str; 3] = ["api", "web", "worker"];

/// A run against the bed's Engine with the classic store.
fn classic<const N: usize>(shop: &Shop, arguments: [&str; N]) -> Castoff {
    shop.castoff(arguments)
        .env("DOCKER_HOST", Bed::var("BED_CLASSIC"))
}

/// Runs docker with that Engine.
#[track_caller]
fn docker(arguments: &[&str]) -> String {
    let host = Bed::var("BED_CLASSIC");
    Bed::output("docker", &[&["-H", host.as_str()], arguments].concat())
}

/// Has the Engine with the containerd store take an image and show its file.
#[track_caller]
fn docker_pull(reference: &str) -> String {
    Bed::output("docker", &["pull", "--quiet", reference]);
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        reference,
        "cat",
        "/file",
    ];
    let said = Bed::output("docker", &run);
    Bed::output("docker", &["rmi", reference]);
    said
}

fn crane(arguments: &[&str]) -> String {
    let (verb, rest) = arguments.split_first().unwrap();
    Bed::output("crane", &[&[*verb, "--insecure"], rest].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Gives each service a layer of its own that is worth sending.
fn grow(shop: &Shop, bytes: usize) {
    for service in SERVICES {
        let file = shop.project.join(&format!("{service}/file"));
        let random = format!("head -c {bytes} /dev/urandom > {}", file.display());
        Bed::output("sh", &["-c", &random]);
    }
}

/// Images in the Engine that this project left there.
fn left(shop: &Shop) -> String {
    let label = "dev.castoff.service";
    let filter = format!("label={label}");
    let ids = docker(&["images", "-q", "--no-trunc", "--filter", &filter]);
    let mut left = String::new();
    for id in ids.lines() {
        // Others build there at the same time, and an image may be gone by now.
        let labels = Bed::said(
            "docker",
            &["-H", &Bed::var("BED_CLASSIC"), "inspect", id],
            Path::new("/"),
        );
        if labels.contains(&shop.prefix) {
            left.push_str(id);
        }
    }
    left
}

/// Has the images say whose they are.
fn label(shop: &Shop) {
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let labels = format!("{publish}[labels]\n\"test.shop\" = \"{}\"\n", shop.prefix);
    shop.project.write("publish.toml", &labels);
}

#[test]
fn what_is_published_is_what_docker_itself_would_push() {
    let shop = Shop::of(&SERVICES);
    label(&shop);
    let ran = classic(&shop, ["publish", "--format", "json"])
        .run()
        .exits(0);
    let release = ran.json();
    let of_docker = format!("{}/{}-docker", Bed::registry(), shop.prefix);
    for (service, image) in SERVICES.iter().zip(release["images"].as_array().unwrap()) {
        let digest = image["digest"].as_str().unwrap();
        for host in [Bed::registry(), Bed::other_registry()] {
            assert_eq!(
                shop.latest(&host, service).as_deref(),
                Some(digest),
                "{host}"
            );
            let repository = shop.repository(&host, service);
            crane(&["validate", "--remote", &format!("{repository}@{digest}")]);
        }
        let published = format!("{}@{digest}", shop.repository(&Bed::registry(), service));
        // The same build with the same labels, tagged and pushed by docker.
        let config = json(&crane(&["config", &published]));
        let mut build = vec!["buildx", "build", "--quiet", "--provenance=false"];
        let reference = format!("{of_docker}/{service}:1");
        let labels = config["config"]["Labels"].as_object().unwrap();
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("--label={key}={}", value.as_str().unwrap()))
            .collect();
        build.extend(labels.iter().map(String::as_str));
        let (base, folder) = (format!("BASE={}", Bed::base()), shop.project.join(service));
        build.extend(["--build-arg", &base, "-t", &reference]);
        let folder = folder.display().to_string();
        build.push(&folder);
        docker(&build);
        docker(&["push", "--quiet", &reference]);
        let ours = json(&crane(&["manifest", &published]));
        let its = json(&crane(&["manifest", &reference]));
        assert_eq!(
            ours["config"]["digest"], its["config"]["digest"],
            "{service}"
        );
        assert_eq!(config, json(&crane(&["config", &reference])));
        assert_eq!(
            ours["mediaType"],
            "application/vnd.oci.image.manifest.v1+json"
        );
        docker(&["rmi", &reference]);
        // An Engine with the other store takes it, too.
        let said = docker_pull(&published);
        assert!(said.ends_with(&format!(" {service}")), "{said}");
    }
    assert_eq!(left(&shop), "");
}

#[test]
fn a_second_publish_reuses_and_a_third_sends_what_changed() {
    let registry = TestRegistry::start();
    let hosts = [("a", Bed::registry()), ("b", registry.host().to_owned())];
    let shop = Shop::going_to(&SERVICES, &hosts);
    grow(&shop, 100_000);
    let publish = |extra: &[&str]| {
        registry.script().clear();
        let ran = classic(&shop, ["publish", "--format", "json"]);
        let release = ran.args(extra).run().exits(0).json();
        let images = release["images"].as_array().unwrap().clone();
        let digest = |image: &Value| image["digest"].as_str().unwrap().to_owned();
        images.iter().map(digest).collect::<Vec<_>>()
    };
    // The first service's repository also gets the record of the release, two blobs at most.
    let sent = || {
        let script = registry.script();
        let sent =
            SERVICES.map(|service| script.count("PUT", &format!("/{service}/blobs/uploads/")));
        assert!(sent[0] <= 5, "{:#?}", script.lines());
        sent
    };
    let first = publish(&[]);
    // Each service has a layer and a configuration. The base's layer goes into one repository, and is
    // mounted into the two others.
    assert_eq!(sent().iter().sum::<usize>(), 3 * 2 + 1 + 2);
    // It is the base's own layer, and not the same compressed once more.
    let base = json(&crane(&[
        "manifest",
        "--platform",
        "linux/amd64",
        &Bed::base(),
    ]));
    let (_, web) = registry
        .manifest(&format!("{}-b/web", shop.prefix), "latest")
        .unwrap();
    let web: Value = serde_json::from_slice(&web).unwrap();
    assert_eq!(web["layers"][0]["digest"], base["layers"][0]["digest"]);
    assert_eq!(publish(&[]), first);
    assert_eq!(sent(), [0; 3]);
    // Built again all the same: what comes out is the same, and everything is there.
    assert_eq!(publish(&["--rebuild"]), first);
    assert_eq!(sent(), [1, 0, 0], "{:#?}", registry.script().lines());
    // Without a memory of layers they are compressed again, to the same bytes.
    let state = std::fs::read_dir(shop.project.join(".state")).unwrap();
    for folder in state {
        let memory = folder.unwrap().path().join("layers.json");
        std::fs::remove_file(memory).unwrap();
    }
    assert_eq!(publish(&["--rebuild"]), first);
    assert_eq!(sent(), [1, 0, 0], "{:#?}", registry.script().lines());
    // One changed file is one layer, and the configuration that names it.
    shop.project.write("web/file", "changed");
    let changed = publish(&[]);
    assert_eq!((&changed[0], &changed[2]), (&first[0], &first[2]));
    assert_ne!(changed[1], first[1]);
    assert_eq!(sent(), [1, 2, 0], "{:#?}", registry.script().lines());
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn an_upload_that_fails_leaves_no_tag_and_is_gone_on_with() {
    let registry = TestRegistry::start();
    let hosts = [("a", Bed::registry()), ("b", registry.host().to_owned())];
    let shop = Shop::going_to(&SERVICES, &hosts);
    label(&shop);
    grow(&shop, 100_000);
    // The manifest of one service is refused, when all its blobs are there.
    let refusal = Canned::error(403, "DENIED", "scripted");
    let manifest = When::is("PUT", "/web/manifests/");
    registry.script().on(manifest, Fault::Answer(refusal));
    let ran = classic(&shop, ["publish"]).run().exits(5);
    assert!(ran.stderr.contains("push to "), "{}", ran.stderr);
    let tags = shop.tags(&Bed::registry(), &SERVICES);
    assert!(tags.iter().all(Vec::is_empty), "{tags:?}");
    assert_eq!(registry.tags().len(), 0);
    assert_eq!(left(&shop), "");
    registry.script().clear();
    classic(&shop, ["publish", "--resume"]).run().exits(0);
    let log = registry.script().log();
    let web = |path: &str| path.contains("/web/blobs/uploads/");
    let sent: Vec<_> = log
        .iter()
        .filter(|seen| seen.method == "PUT" && web(&seen.path))
        .collect();
    assert!(sent.is_empty(), "{sent:#?}");
    assert_eq!(registry.tags().len(), 6);
    assert!(registry.is_whole(&format!("{}-b/web", shop.prefix), "latest"));
}

#[test]
fn what_the_store_cannot_do_is_said_together_before_anything_is_built() {
    let shop = Shop::of(&["api", "web"]);
    let compose = std::fs::read_to_string(shop.project.join("compose.yaml")).unwrap();
    let compose = compose.replacen(
        "      args:",
        "      platforms: [linux/amd64, linux/arm64]\n      cache_to: [\"type=registry,ref=a.example/cache\"]\n      args:",
        1,
    );
    shop.project.write("compose.yaml", &compose);
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let publish = format!(
        "{publish}[build]\nprovenance = \"max\"\nsbom = true\n[services.web]\ncompression = \"zstd\"\n"
    );
    shop.project.write("publish.toml", &publish);
    // One that is named is not replaced by another builder that could.
    let ran = classic(&shop, ["publish", "--builder", "engine"])
        .run()
        .exits(3);
    assert!(!ran.stderr.contains("building"), "{}", ran.stderr);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    insta::assert_snapshot!(problem);
    let ran = classic(&shop, ["check", "--builder", "engine"])
        .run()
        .exits(3);
    let says = "(classic image store: one platform, no attestations, inline cache only)";
    assert!(ran.stdout.contains(says), "{}", ran.stdout);
}

#[test]
fn an_image_without_layers_cannot_be_had() {
    let shop = Shop::going_to(&["web"], &[("a", Bed::registry())]);
    shop.project
        .write("web/Dockerfile", "FROM scratch\nLABEL a=b\n");
    let ran = classic(&shop, ["publish"]).run().exits(5);
    let says = "it has no layers, and the classic store gives out no such image";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("hint: switch the Engine to the containerd"),
        "{}",
        ran.stderr
    );
    assert_eq!(shop.latest(&Bed::registry(), "web"), None);
}

#[test]
fn how_an_image_is_written_is_castoffs_own() {
    let shop = Shop::going_to(&["web"], &[("a", Bed::registry())]);
    let reference = format!("{}:latest", shop.repository(&Bed::registry(), "web"));
    let publish = |set: &[&str]| {
        let ran = classic(&shop, ["publish", "--rebuild"]);
        let set = set.iter().flat_map(|value| ["--set", value]);
        ran.args(set).run().exits(0);
        // What is wrong in it would be found here.
        docker_pull(&reference);
        json(&crane(&["manifest", &reference]))
    };
    let layer = |manifest: &Value| {
        manifest["layers"][1]["mediaType"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let docker = publish(&["build.media_types=docker", "annotations.levels=manifest"]);
    let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    assert_eq!(layer(&docker), gzip);
    assert!(docker["annotations"]["org.opencontainers.image.revision"].is_string());
    let plain = publish(&["build.compression=uncompressed"]);
    assert_eq!(layer(&plain), "application/vnd.oci.image.layer.v1.tar");
    let config = json(&crane(&["config", &reference]));
    assert_eq!(
        plain["layers"][1]["digest"],
        config["rootfs"]["diff_ids"][1]
    );
}

#[test]
fn an_inline_cache_is_part_of_the_image() {
    let shop = crate::caches::with_cache("\"inline\"");
    classic(&shop, ["publish"]).run().exits(0);
    let first = crate::caches::layers(&shop);
    let host = Bed::var("BED_CLASSIC");
    let filter = format!("description~={}", shop.prefix);
    let prune = [
        "-H", &host, "builder", "prune", "-f", "-a", "--filter", &filter,
    ];
    let said = Bed::output("docker", &prune);
    assert!(said.contains("Total:"), "{said}");
    let ran = classic(&shop, ["publish", "--rebuild"]).run().exits(0);
    assert_eq!(crate::caches::layers(&shop), first, "{}", ran.stderr);
}

#[test]
fn a_run_that_is_killed_on_its_way_leaves_no_file() {
    let registry = TestRegistry::start();
    let shop = Shop::going_to(&["web"], &[("b", registry.host().to_owned())]);
    let file = shop.project.join("web/file").display().to_string();
    Bed::output(
        "sh",
        &["-c", &format!("head -c 3000000 /dev/urandom > {file}")],
    );
    registry
        .script()
        .on(When::is("PUT", "/blobs/uploads/"), Fault::Hang);
    let started = classic(&shop, ["publish"]).start();
    let limit = Duration::from_mins(1);
    let hangs = || registry.script().count("PUT", "/blobs/uploads/") > 0;
    wait_until("the upload hangs", limit, hangs);
    started.signal("KILL");
    started.wait();
    let files = || {
        let state = shop.project.join(".state").display().to_string();
        let found = Bed::output("find", &[&state, "-type", "f", "-size", "+1000k"]);
        found.lines().count()
    };
    assert_eq!(files(), 0);
    registry.script().clear();
    classic(&shop, ["publish"]).run().exits(0);
    assert_eq!(files(), 0);
    let repository = format!("{}-b/web", shop.prefix);
    assert!(registry.is_whole(&repository, "latest"));
}

#[test]
fn services_build_on_each_other_and_roll_back() {
    let shop = Shop::going_to(&["api", "web"], &[("a", Bed::registry())]);
    let compose = std::fs::read_to_string(shop.project.join("compose.yaml")).unwrap();
    let (before, after) = compose.split_once("  web:\n    build:\n").unwrap();
    let compose = format!(
        "{before}  web:\n    build:\n      additional_contexts: {{ parent: \"service:api\" }}\n{after}"
    );
    shop.project.write("compose.yaml", &compose);
    shop.project
        .write("web/Dockerfile", "FROM parent\nCOPY file /web\n");
    classic(&shop, ["publish"]).run().exits(0);
    let layers = |service: &str| {
        let reference = format!("{}:latest", shop.repository(&Bed::registry(), service));
        let manifest = json(&crane(&["manifest", &reference]));
        manifest["layers"].as_array().unwrap().clone()
    };
    let (api, web) = (layers("api"), layers("web"));
    assert_eq!(api[..], web[..api.len()]);
    // The same once only one of them is built, on the image that the other has in a registry.
    shop.project.write("web/file", "another");
    classic(&shop, ["publish"]).run().exits(0);
    assert_eq!(
        (layers("api"), &layers("web")[..api.len()]),
        (api.clone(), &api[..])
    );
    let first = shop.latest(&Bed::registry(), "web");
    shop.project.write("web/file", "changed");
    classic(&shop, ["publish"]).run().exits(0);
    assert_ne!(shop.latest(&Bed::registry(), "web"), first);
    classic(&shop, ["rollback"]).run().exits(0);
    assert_eq!(shop.latest(&Bed::registry(), "web"), first);
}
