//! Folders with blobs that the builder reads and writes through the session: image layouts as contexts,
//! and caches on this machine. Docker's own client reads what castoff wrote, and the reverse.

use std::path::{Path, PathBuf};

use crate::Shop;
use crate::caches::{forget, layers, with_cache};
use crate::support::bed::Bed;

/// A shop whose service has more keys below `build`.
fn with_build(shop: Shop, keys: &str) -> Shop {
    let compose = std::fs::read_to_string(shop.project.join("compose.yaml")).unwrap();
    shop.project
        .write("compose.yaml", &format!("{compose}{keys}"));
    shop
}

fn with_local_cache() -> Shop {
    with_build(
        with_cache(""),
        "      cache_from: [\"type=local,src=cache\"]\n      cache_to: [\"type=local,dest=cache,mode=max\"]\n",
    )
}

/// Docker's own client builds the same service.
fn buildx(shop: &Shop, more: &[&str]) -> String {
    let base = format!("BASE={}", Bed::base());
    let mut arguments = vec![
        "buildx",
        "build",
        "--progress=plain",
        "--provenance=false",
        "--build-arg",
        &base,
    ];
    arguments.extend(more);
    arguments.push("api");
    Bed::said("docker", &arguments, shop.project.path())
}

#[test]
fn a_local_cache_is_written_and_read() {
    let shop = with_local_cache();
    let ran = shop.castoff(["publish", "--rebuild"]).run().exits(0);
    assert!(!ran.stderr.contains("the cache"), "{}", ran.stderr);
    let index = std::fs::read_to_string(shop.project.join("cache/index.json")).unwrap();
    assert!(
        index.contains("\"org.opencontainers.image.ref.name\":\"latest\""),
        "{index}"
    );
    let first = layers(&shop);
    forget(&shop);
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    assert_eq!(layers(&shop), first);
}

#[test]
fn buildx_reads_the_local_cache_that_castoff_wrote() {
    let shop = with_local_cache();
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    forget(&shop);
    let said = buildx(&shop, &["--cache-from", "type=local,src=cache"]);
    let run = said
        .lines()
        .position(|line| line.contains("RUN echo"))
        .unwrap();
    let number = said.lines().nth(run).unwrap().split(' ').next().unwrap();
    assert!(said.contains(&format!("{number} CACHED")), "{said}");
}

#[test]
fn castoff_reads_the_local_cache_that_buildx_wrote() {
    let shop = with_local_cache();
    let said = buildx(&shop, &["--cache-to", "type=local,dest=cache,mode=max"]);
    assert!(
        said.contains("exporting cache to client directory"),
        "{said}"
    );
    forget(&shop);
    let ran = shop.castoff(["publish", "--rebuild"]).run().exits(0);
    assert!(!ran.stderr.contains("the cache"), "{}", ran.stderr);
    let run = ran.stderr.lines().find(|line| line.contains("RUN echo"));
    assert!(run.unwrap().ends_with("  cached"), "{}", ran.stderr);
}

#[test]
fn a_local_cache_that_cannot_be_used_is_a_warning() {
    let shop = with_local_cache();
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    // One blob is not what it says it is.
    let index = std::fs::read_to_string(shop.project.join("cache/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let blob = format!("cache/blobs/{}", digest.replace(':', "/"));
    shop.project.write(&blob, "{}");
    let ran = shop.castoff(["publish", "--rebuild"]).run().exits(0);
    assert!(ran.stderr.contains("could not be read"), "{}", ran.stderr);
    // What is in the way is no folder.
    std::fs::remove_dir_all(shop.project.join("cache")).unwrap();
    shop.project.write("cache", "a file\n");
    let ran = shop.castoff(["publish", "--rebuild"]).run().exits(0);
    assert!(
        ran.stderr.contains("could not be written"),
        "{}",
        ran.stderr
    );
}

/// An image with one file, in a layout in the project's folder, made by docker's client.
fn layout(shop: &Shop, name: &str) -> PathBuf {
    shop.project
        .write("lib/Dockerfile", "FROM scratch\nCOPY data /data\n");
    shop.project
        .write("lib/data", &format!("{}\n", shop.prefix));
    let output = format!("type=oci,tar=false,dest={name}");
    let said = Bed::said(
        "docker",
        &[
            "buildx",
            "build",
            "--provenance=false",
            "-o",
            &output,
            "lib",
        ],
        shop.project.path(),
    );
    let path = shop.project.join(name);
    assert!(path.join("index.json").is_file(), "{said}");
    path
}

fn with_layout(address: &str) -> Shop {
    let shop = with_build(
        Shop::of(&["api"]),
        &format!("      additional_contexts:\n        lib: {address}\n"),
    );
    shop.project.write(
        "api/Dockerfile",
        "ARG BASE\nFROM $BASE\nCOPY --from=lib /data /data\n",
    );
    shop
}

fn digest(layout: &Path) -> String {
    let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_layout_is_a_context_and_docker_finds_its_steps_in_the_cache() {
    let shop = with_layout("oci-layout://layout");
    let layout = layout(&shop, "layout");
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    let context = format!("lib=oci-layout://{}", layout.display());
    let said = buildx(&shop, &["--build-context", &context]);
    let copy = said
        .lines()
        .find(|line| line.contains("COPY --from=lib"))
        .unwrap();
    let number = copy.split(' ').next().unwrap();
    assert!(said.contains(&format!("{number} CACHED")), "{said}");
}

#[test]
fn an_image_layout_is_named_by_tag_and_digest() {
    let shop = with_layout("oci-layout://layout:latest");
    let layout = layout(&shop, "layout");
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
    let compose = std::fs::read_to_string(shop.project.join("compose.yaml")).unwrap();
    let pinned = format!("layout@{}", digest(&layout));
    shop.project
        .write("compose.yaml", &compose.replace("layout:latest", &pinned));
    shop.castoff(["publish", "--rebuild"]).run().exits(0);
}

#[test]
fn an_image_layout_that_is_wrong_fails_before_anything_is_built() {
    let shop = with_layout("oci-layout://layout:1.0");
    let ran = shop.castoff(["publish", "--rebuild"]).run();
    assert!(
        ran.code != Some(0) && ran.stderr.contains("context `lib`"),
        "{}",
        ran.stderr
    );
    let layout = layout(&shop, "layout");
    let blob = layout.join("blobs").join(digest(&layout).replace(':', "/"));
    std::fs::write(blob, "{}").unwrap();
    let ran = shop.castoff(["publish", "--rebuild"]).run();
    assert!(
        ran.code != Some(0) && ran.stderr.contains("does not have the digest"),
        "{}",
        ran.stderr
    );
}
