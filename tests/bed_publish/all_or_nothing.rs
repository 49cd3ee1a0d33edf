//! The promise: either every service is live in every registry, or no tag has moved.

use crate::Shop;
use crate::support::bed::Bed;

const SERVICES: [&str; 3] = ["api", "web", "worker"];

/// Fails if a tag exists in one of the registries.
#[track_caller]
fn nothing_is_tagged(shop: &Shop, hosts: &[String]) {
    for host in hosts {
        let tags = shop.tags(host, &SERVICES);
        assert!(tags.iter().all(Vec::is_empty), "{host}: {tags:?}");
    }
}

fn both() -> [String; 2] {
    [Bed::registry(), Bed::other_registry()]
}

#[test]
fn a_service_that_fails_to_build_leaves_no_tag_anywhere() {
    let shop = Shop::of(&SERVICES);
    shop.project.write(
        "web/Dockerfile",
        "ARG BASE\nFROM $BASE\nCOPY file /file\nRUN echo one line; echo another; exit 7\n",
    );
    let ran = shop.castoff(["publish"]).run().exits(4);
    nothing_is_tagged(&shop, &both());
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    insta::assert_snapshot!(problem, @r#"
    build `web` at [3/3] RUN echo one line; echo another; exit 7
      caused by: process "/bin/sh -c echo one line; echo another; exit 7" did not complete successfully: exit code: 7
     --> web/Dockerfile:4:1
      |
    4 | RUN echo one line; echo another; exit 7
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      | one line
      | another
    hint: build it alone with `castoff build web`
    "#);
}

#[test]
fn a_release_that_fails_leaves_the_one_before_as_it_was() {
    let shop = Shop::of(&SERVICES);
    shop.castoff(["publish"]).run().exits(0);
    let before: Vec<_> = SERVICES
        .map(|service| shop.latest(&Bed::registry(), service))
        .into();
    shop.project.write("api/file", "changed\n");
    shop.project
        .write("web/Dockerfile", "FROM scratch\nCOPPY file /\n");
    shop.castoff(["publish"]).run().exits(4);
    let after: Vec<_> = SERVICES
        .map(|service| shop.latest(&Bed::registry(), service))
        .into();
    assert_eq!(before, after);
}

#[test]
fn a_registry_that_does_not_run_is_found_before_anything_is_built() {
    let stopped = "127.0.0.1:9".to_owned();
    let shop = Shop::going_to(&SERVICES, &[("a", Bed::registry()), ("b", stopped)]);
    let ran = shop.castoff(["publish"]).run().exits(3);
    nothing_is_tagged(&shop, &[Bed::registry()]);
    assert!(!ran.stderr.contains("building with"), "{}", ran.stderr);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    insta::assert_snapshot!(problem, @"
    127.0.0.1:9: cannot reach 127.0.0.1:9: Connection refused (os error 111)
    hint: is 127.0.0.1:9 the right address, and is the registry running?
    ");
}

#[test]
fn a_registry_that_refuses_writes_is_found_before_anything_is_built() {
    for refusing in ["BED_REGISTRY_READONLY", "BED_FAULT_403"] {
        let host = Bed::var(refusing);
        let shop = Shop::going_to(&SERVICES, &[("a", Bed::registry()), ("b", host.clone())]);
        let ran = shop.castoff(["publish"]).run().exits(3);
        nothing_is_tagged(&shop, &[Bed::registry(), host.clone()]);
        assert!(!ran.stderr.contains("building with"), "{}", ran.stderr);
        let problem = ran.stderr.split_once("error: ").unwrap().1;
        let shown = problem
            .replace(&host, "[registry]")
            .replace(&shop.prefix, "[prefix]");
        insta::assert_snapshot!(refusing, shown);
    }
}

/// Makes the layers of a project large, and their content new, so that they have to be uploaded.
fn grow(shop: &Shop) {
    let random = |name: &str| format!("head -c 200000 /dev/urandom > {name}");
    for service in SERVICES {
        let file = shop.project.join(&format!("{service}/file"));
        Bed::output("sh", &["-c", &random(&file.display().to_string())]);
    }
}

#[test]
fn an_upload_that_fails_half_way_leaves_no_tag_anywhere() {
    // Larger bodies than 64 KiB are refused there, so the check of write access passes.
    let host = Bed::var("BED_FAULT_413");
    let shop = Shop::going_to(&SERVICES, &[("a", Bed::registry()), ("b", host.clone())]);
    grow(&shop);
    let ran = shop.castoff(["publish"]).run().exits(5);
    nothing_is_tagged(&shop, &[Bed::registry(), host.clone()]);
    assert!(
        ran.stderr.contains(&format!("push to {host}/")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("413"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
}

#[test]
fn tags_that_cannot_all_be_written_go_back() {
    // Everything can be uploaded there, but no tag can be set.
    let host = Bed::var("BED_FAULT_TAG");
    let shop = Shop::of(&SERVICES);
    shop.castoff(["publish"]).run().exits(0);
    let before: Vec<_> = SERVICES
        .map(|service| shop.latest(&Bed::registry(), service))
        .into();
    for service in SERVICES {
        shop.project
            .write(&format!("{service}/file"), "another release\n");
    }
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    shop.project.write(
        "publish.toml",
        &publish.replace(&Bed::other_registry(), &host),
    );
    let ran = shop.castoff(["publish", "--format", "json"]).run().exits(6);
    let after: Vec<_> = SERVICES
        .map(|service| shop.latest(&Bed::registry(), service))
        .into();
    assert_eq!(before, after, "{}", ran.stderr);
    assert_eq!(ran.json()["exit"], 6);
    assert_eq!(ran.json()["moved"], serde_json::json!([]));
}

#[test]
fn a_registry_that_is_not_required_may_fail_alone() {
    let host = Bed::var("BED_FAULT_403");
    let shop = Shop::going_to(&SERVICES, &[("a", Bed::registry()), ("b", host.clone())]);
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let publish = publish.replace("[tags]", "required = false\n[tags]");
    shop.project.write("publish.toml", &publish);
    grow(&shop);
    let ran = shop.castoff(["publish", "--format", "json"]).run().exits(7);
    let release = ran.json();
    for service in SERVICES {
        let digest = shop.latest(&Bed::registry(), service);
        assert!(digest.is_some(), "{}", ran.stderr);
    }
    nothing_is_tagged(&shop, &[host]);
    assert_eq!(release["registries"][0]["outcome"], "complete");
    assert_eq!(release["registries"][1]["outcome"], "failed");
}

#[test]
fn a_registry_that_is_not_required_gets_the_same_digests() {
    let shop = Shop::of(&SERVICES);
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let publish = publish.replace("[tags]", "required = false\n[tags]");
    shop.project.write("publish.toml", &publish);
    shop.castoff(["publish"]).run().exits(0);
    for service in SERVICES {
        let one = shop.latest(&Bed::registry(), service);
        assert!(one.is_some());
        assert_eq!(one, shop.latest(&Bed::other_registry(), service));
    }
}

#[test]
fn a_registry_that_stumbles_is_asked_again() {
    // Half of the writes are answered by 503 there.
    let host = Bed::var("BED_FAULT_503");
    let shop = Shop::going_to(&["api"], &[("a", host.clone())]);
    let ran = shop.castoff(["publish"]).run().exits(0);
    assert!(shop.latest(&host, "api").is_some(), "{}", ran.stderr);
}

#[test]
fn a_state_that_cannot_be_written_stops_the_publish_before_a_tag_moves() {
    let shop = Shop::of(&["api"]);
    let state = shop.project.join(".state");
    std::fs::create_dir(&state).unwrap();
    // A file system with no room for a journal.
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "castoff-test"])
        .arg(&state)
        .status()
        .unwrap();
    assert!(mounted.success());
    // The folders fit, and then nothing does.
    let first = shop.castoff(["publish"]).run();
    let full = fill(&state);
    let ran = shop
        .castoff(["publish", "--rebuild", "--format", "json"])
        .run();
    let unmounted = std::process::Command::new("umount")
        .arg(&state)
        .status()
        .unwrap();
    assert!(unmounted.success());
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(full);
    // What cannot be journalled is not begun.
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    let shown = problem.replace(&*state.to_string_lossy(), "[state]");
    let key = regex::Regex::new("shop-[0-9a-f]{12}/[^ \n]*").unwrap();
    insta::assert_snapshot!(key.replace(&shown, "[journal]"), @r"
    begin the journal
      caused by: cannot write [state]/[journal]
      caused by: No space left on device (os error 28)
    hint: free some space, or set CASTOFF_STATE to a folder on another disk
    ");
}

/// Writes until nothing more fits.
fn fill(folder: &std::path::Path) -> bool {
    use std::io::Write as _;
    let mut file = std::fs::File::create(folder.join("ballast")).unwrap();
    loop {
        if file.write_all(&[0; 1024]).is_err() {
            return true;
        }
    }
}
