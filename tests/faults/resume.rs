//! Going on with what was interrupted, by the command that `castoff status` names: promotions, rollbacks,
//! and publishes of a tree that has changed in the meantime.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{SERVICES, Shop, World};
use crate::support::buildkit::image_of;
use crate::support::program::{Castoff, Ran};
use crate::support::registry::{Fault, When};

/// Kills a run at one of its requests: before it is served, or after.
fn killed(shop: &Shop, index: usize, run: &Castoff) -> Ran {
    let fault = if index.is_multiple_of(2) {
        Fault::Hang
    } else {
        Fault::HangAfter
    };
    shop.script.on(When::request(index), fault);
    let started = run.start();
    while !started.is_over() && !shop.script.wait_fired(1, Duration::from_millis(20)) {}
    if !started.is_over() {
        started.signal("KILL");
    }
    let ran = started.wait();
    shop.script.clear();
    ran
}

/// What `castoff status` says of an interruption.
fn interrupted(shop: &Shop) -> Value {
    let status = shop.project.castoff(["status", "--format", "json"]);
    status.run().exits(0).json()["interrupted"].clone()
}

/// Runs a command line that `castoff status` has named, as a shell would.
fn typed(shop: &Shop, line: &str) -> Ran {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "castoff", "{line}");
    shop.project
        .castoff([])
        .args(&words[1..])
        .env("VERSION", "2")
        .run()
}

/// Kills `run` at one request of five, and does each time what status says: first it is finished, then, from
/// the same place, taken back. Gives how often the world was old, mixed and new.
fn every_kill(
    shop: &Shop,
    run: &dyn Fn() -> Castoff,
    old: &World,
) -> BTreeMap<&'static str, usize> {
    let base = shop.snapshot();
    shop.script.clear();
    run().run().exits(0);
    let new = shop.world();
    let requests = shop.script.log().len();
    let mut endings = BTreeMap::new();
    // An odd stride, so that kills before and after a request take turns.
    for index in (1..=requests).step_by(5) {
        shop.restore(&base);
        killed(shop, index, &run());
        let now = shop.world();
        let world = match &now {
            now if now == old => "old",
            now if *now == new => "new",
            _ => "mixed",
        };
        *endings.entry(world).or_default() += 1;
        let found = interrupted(shop);
        let next: Vec<&str> = found["next"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|line| line.as_str().unwrap())
            .collect();
        if next.is_empty() {
            assert_ne!(
                world, "mixed",
                "request {index}: status knows nothing of it"
            );
            continue;
        }
        let after = shop.snapshot();
        let ran = typed(shop, next[0]).exits(0);
        assert_eq!(shop.world(), new, "request {index}: {}", ran.stderr);
        assert_eq!(interrupted(shop), Value::Null, "request {index}");
        shop.restore(&after);
        if let Some(undo) = next.get(1) {
            let ran = typed(shop, undo).exits(0);
            assert_eq!(shop.world(), *old, "request {index}: {}", ran.stderr);
            assert_eq!(interrupted(shop), Value::Null, "request {index}");
        }
    }
    endings
}

#[test]
fn a_promotion_that_is_killed_is_finished_or_taken_back_as_status_says() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.publish(2).run().exits(0);
    let old = shop.world();
    let live = format!("{}/live/{{{{service}}}}", shop.registries[2].host());
    let promote = || {
        shop.castoff(["promote", "1.0.1", "--to", "stable", "latest"])
            .args(["--to-registry", "one", "--to-repository", &live])
    };
    let endings = every_kill(&shop, &promote, &old);
    println!("kills that left the world so: {endings:?}");
    assert_eq!(endings.len(), 3, "{endings:?}");
    // The record of one that was gone on with tells of all its images.
    shop.publish(2).run().exits(0);
    let history = shop
        .castoff(["history", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let promoted = history.as_array().unwrap().iter();
    let promoted = promoted.filter(|release| release["command"] == "promote");
    for release in promoted {
        assert_eq!(release["images"].as_array().unwrap().len(), SERVICES.len());
    }
}

#[test]
fn a_rollback_that_is_killed_is_finished_as_status_says() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.publish(2).run().exits(0);
    let old = shop.world();
    let endings = every_kill(&shop, &|| shop.castoff(["rollback"]), &old);
    println!("kills that left the world so: {endings:?}");
    assert_eq!(endings.len(), 3, "{endings:?}");
}

#[test]
fn only_a_promotion_is_gone_on_with_as_one() {
    let shop = Shop::new();
    let ran = shop.castoff(["promote", "--resume"]).run().exits(3);
    assert!(
        ran.stderr.contains("no promotion was interrupted"),
        "{}",
        ran.stderr
    );
    shop.castoff(["promote"]).run().exits(2);
    shop.castoff(["promote", "1.0.1"]).run().exits(2);
    shop.castoff(["promote", "1.0.1", "--to", "x", "--resume"])
        .run()
        .exits(2);
    shop.publish(1).run().exits(0);
    let tags = When::is("PUT", "/manifests/stable").after(3);
    shop.script.clear();
    shop.script.on(tags, Fault::Hang);
    let started = shop.castoff(["promote", "1.0.1", "--to", "stable"]).start();
    assert!(shop.script.wait_fired(1, Duration::from_secs(20)));
    started.signal("KILL");
    started.wait();
    shop.script.clear();
    // Nothing else goes ahead, and everything says what to type.
    for other in [
        shop.publish(2),
        shop.publish(2).args(["--resume"]),
        shop.castoff(["promote", "1.0.1", "--to", "other"]),
    ] {
        let ran = other.run().exits(3);
        assert!(
            ran.stderr.contains("`castoff promote --resume --builder "),
            "{}",
            ran.stderr
        );
    }
    let status = shop.castoff(["status"]).run().exits(0).stdout;
    assert!(status.contains("`castoff promote --resume "), "{status}");
    assert!(status.contains("` takes it back"), "{status}");
    shop.castoff(["promote", "--resume"]).run().exits(0);
    let mut expected = shop.all(1);
    for registry in &shop.registries {
        for service in SERVICES {
            let digest = image_of(service, 1).index.digest().to_string();
            expected.insert(format!("{}/{service}:stable", registry.host()), digest);
        }
    }
    assert_eq!(shop.world(), expected);
}

/// Kills a publish of generation 2 when `path` is written for the `count`th time.
fn killed_publish(shop: &Shop, path: &str, count: u32) {
    shop.publish(1).run().exits(0);
    shop.script.clear();
    shop.script
        .on(When::is("PUT", path).after(count - 1), Fault::Hang);
    let started = shop.publish(2).args(["-j", "1"]).start();
    assert!(shop.script.wait_fired(1, Duration::from_secs(20)));
    started.signal("KILL");
    started.wait();
    shop.script.clear();
}

/// The same tags, of a tree that is another one by now.
fn changed(shop: &Shop) -> Castoff {
    shop.turn_to(3);
    shop.castoff(["publish", "--resume", "--format", "json"])
        .env("VERSION", "2")
}

#[test]
fn a_tree_that_has_changed_since_is_not_published_half_old_and_half_new() {
    let shop = Shop::new();
    // Two services are up, the third one is on its way.
    killed_publish(&shop, "/manifests/sha256:", 7);
    let before = shop.snapshot();
    let ran = changed(&shop).run().exits(0);
    for registry in &shop.registries {
        for service in SERVICES {
            let digest = image_of(service, 3).index.digest().to_string();
            let tag = format!("{service}:latest");
            assert_eq!(registry.tags()[&tag], digest, "{}", ran.stderr);
        }
    }
    // One that is as it was is not made again.
    shop.restore(&before);
    shop.turn_to(2);
    let solves = shop.builder.solves();
    let resumed = shop.castoff(["publish", "--resume", "--format", "json"]);
    let resumed = resumed.env("VERSION", "2").run().exits(0).json();
    let reused = resumed["images"].as_array().unwrap().iter();
    let reused = reused.filter(|image| image["reused"] == true).count();
    assert!(reused > 0, "{resumed}");
    assert_eq!(shop.builder.solves() - solves, SERVICES.len() - reused);
    assert_eq!(shop.world(), shop.all(2));
}

#[test]
fn a_changed_tree_is_no_way_to_finish_what_has_begun_to_move() {
    let shop = Shop::new();
    killed_publish(&shop, "/manifests/1.0.2", 4);
    let world = shop.world();
    let ran = changed(&shop).run().exits(3);
    assert!(
        ran.stderr
            .contains("what service `api` is built from has changed since"),
        "{}",
        ran.stderr
    );
    assert_eq!(shop.world(), world);
    assert_eq!(interrupted(&shop)["next"].as_array().unwrap().len(), 2);
    // Neither is another argument.
    shop.turn_to(2);
    let compose = std::fs::read_to_string(shop.project.join("compose.yaml")).unwrap();
    let other = compose.replace("build: web", "build: { context: web, args: { A: b } }");
    shop.project.write("compose.yaml", &other);
    let resume = || shop.castoff(["publish", "--resume"]).env("VERSION", "2");
    let ran = resume().run().exits(3);
    assert!(ran.stderr.contains("service `web`"), "{}", ran.stderr);
    shop.project.write("compose.yaml", &compose);
    resume().run().exits(0);
    assert_eq!(shop.world(), shop.all(2));
    assert_eq!(interrupted(&shop), json!(null));
}
