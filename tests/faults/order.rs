//! Never backwards, across publishes: what tags point to is known of images, of records in registries, and
//! of what this machine has kept.

use crate::harness::{SERVICES, Shop, World};
use crate::support::program::Castoff;
use crate::support::registry::{Fault, When};

/// A shop whose images have the labels that they are given, with these rules.
fn shop(rules: &str) -> Shop {
    let shop = Shop {
        patience: "30",
        ..Shop::new()
    };
    shop.builder.be_faithful();
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let (registries, _) = publish.split_once("[tags]").unwrap();
    let publish = format!("{registries}[tags]\nrules = [{rules}]\n");
    shop.project.write("publish.toml", &publish);
    shop.project.commit();
    shop
}

/// A publish of what there is now, as a git reference.
fn publish(shop: &Shop, reference: &str) -> Castoff {
    shop.castoff(["publish", "--ref", reference])
}

/// The same on a machine that knows nothing.
fn elsewhere(shop: &Shop, reference: &str) -> Castoff {
    let folder = shop.project.join(".home/elsewhere").display().to_string();
    publish(shop, reference).env("CASTOFF_STATE", folder)
}

/// Where the tags of this name point.
fn tags(shop: &Shop, name: &str) -> World {
    let mut world = shop.world();
    world.retain(|reference, _| reference.ends_with(&format!(":{name}")));
    assert_eq!(
        world.len(),
        SERVICES.len() * shop.registries.len(),
        "{name}"
    );
    world
}

#[test]
fn latest_keeps_its_order_where_tags_show_a_part_of_the_version() {
    for pattern in ["{{major}}.{{minor}}", "app-{{version}}"] {
        let shop = shop(&format!("\"type=semver,pattern={pattern}\""));
        shop.turn_to(1);
        publish(&shop, "refs/tags/v1.1.0").run().exits(0);
        shop.turn_to(2);
        publish(&shop, "refs/tags/v2.2.0").run().exits(0);
        let latest = tags(&shop, "latest");
        shop.turn_to(3);
        let old = elsewhere(&shop, "refs/tags/v1.1.5").args(["-q"]);
        let ran = old.run().exits(0);
        assert_eq!(tags(&shop, "latest"), latest, "{}", ran.stderr);
        // The only sign of it is shown to who wants to see problems only.
        assert!(
            ran.stderr.contains("it points to 2.2.0, and this is 1.1.5"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_version_that_reused_an_older_image_is_known_by_its_record() {
    let shop = shop("\"type=semver,pattern={{major}}.{{minor}}\"");
    shop.turn_to(1);
    publish(&shop, "refs/tags/v1.1.0").run().exits(0);
    // Nothing has changed: the images say 1.1.0 themselves, and are 1.2.0 as well.
    publish(&shop, "refs/tags/v1.2.0").run().exits(0);
    let latest = tags(&shop, "latest");
    shop.turn_to(2);
    for old in [publish, elsewhere] {
        let ran = old(&shop, "refs/tags/v1.1.5").run().exits(0);
        assert_eq!(tags(&shop, "latest"), latest, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("it points to 1.2.0, and this is 1.1.5"),
            "{}",
            ran.stderr
        );
    }
    let ran = elsewhere(&shop, "refs/tags/v1.2.1").run().exits(0);
    assert_ne!(tags(&shop, "latest"), latest, "{}", ran.stderr);
}

#[test]
fn a_branch_does_not_go_back_behind_a_commit_that_reused_an_older_image() {
    let shop = shop("\"type=ref,event=branch\"");
    let main = "refs/heads/main";
    shop.turn_to(1);
    publish(&shop, main).run().exits(0);
    let first = tags(&shop, "main");
    shop.project.write("README", "B\n");
    shop.project.commit();
    // The next commit takes back what this one has changed, and is published first.
    shop.project.write("README", "C\n");
    shop.project.commit();
    publish(&shop, main).run().exits(0);
    assert_eq!(tags(&shop, "main"), first);
    // The job of the one in between is late.
    shop.project
        .run_git(&["checkout", "-q", "--detach", "HEAD~1"]);
    shop.turn_to(2);
    for late in [publish, elsewhere] {
        let ran = late(&shop, main).run().exits(0);
        assert_eq!(tags(&shop, "main"), first, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("which is newer than this one"),
            "{}",
            ran.stderr
        );
    }
    // What moved nothing is no release to go back from.
    let ran = shop.castoff(["rollback"]).run().exits(3);
    assert!(ran.stderr.contains("--unpublish"), "{}", ran.stderr);
    assert_eq!(tags(&shop, "main"), first);
    // Once more the same, of the same commit: there is nothing to be written about it.
    shop.project.run_git(&["checkout", "-q", "main"]);
    shop.turn_to(1);
    shop.script.clear();
    publish(&shop, main).run().exits(0);
    let log = shop.script.lines();
    assert!(
        log.iter()
            .all(|line| line.starts_with("HEAD") || line.starts_with("GET")),
        "{log:?}"
    );
}

#[test]
fn a_release_that_moved_nothing_is_taken_back_with_the_one_before_it() {
    let shop = shop("\"type=ref,event=branch\"");
    let main = "refs/heads/main";
    shop.turn_to(1);
    publish(&shop, main).run().exits(0);
    let first = tags(&shop, "main");
    shop.project.write("README", "B\n");
    shop.project.commit();
    shop.turn_to(2);
    publish(&shop, main).run().exits(0);
    shop.project.write("README", "C\n");
    shop.project.commit();
    publish(&shop, main).run().exits(0);
    let ran = shop.castoff(["rollback"]).run().exits(0);
    assert_eq!(tags(&shop, "main"), first, "{}", ran.stderr);
    let history = shop.castoff(["history"]).run().exits(0).stdout;
    assert_eq!(history.matches("rolled back").count(), 2, "{history}");
}

#[test]
fn nothing_is_published_where_what_a_tag_points_to_cannot_be_read() {
    let shop = shop("\"type=semver,pattern={{version}}\"");
    shop.turn_to(1);
    publish(&shop, "refs/tags/v2.0.0").run().exits(0);
    let before = shop.world();
    shop.turn_to(2);
    for (path, method) in [
        // What the image says of itself, and where the tag points.
        ("/api/blobs/", "GET"),
        ("/api/manifests/latest", "HEAD"),
    ] {
        shop.script.clear();
        shop.script.on(When::is(method, path), Fault::status(403));
        let ran = elsewhere(&shop, "refs/tags/v1.0.0").run().exits(3);
        assert!(
            ran.stderr
                .contains("/api:latest: what it points to cannot be read"),
            "{}",
            ran.stderr
        );
        assert_eq!(shop.world(), before);
        // Nothing of it is remembered that the next run would trust.
        let folder = shop.project.join(".home/elsewhere");
        let _ = std::fs::remove_dir_all(folder);
    }
    let images = When::is("GET", "/api/blobs/");
    shop.script.clear();
    shop.script.on(images, Fault::status(403));
    let folder = shop.project.join(".home/third").display().to_string();
    let plan = shop.castoff(["plan", "--ref", "refs/tags/v1.0.0"]);
    let plan = plan.env("CASTOFF_STATE", folder).run().exits(0).stdout;
    assert!(plan.contains("what it points to cannot be read"), "{plan}");
}

#[test]
fn a_registry_that_is_not_required_and_is_mute_is_asked_in_vain_once() {
    let shop = Shop {
        patience: "3",
        ..Shop::new()
    };
    shop.configure(&[1]);
    shop.project.commit();
    shop.publish(1).run().exits(0);
    shop.script.clear();
    let host = shop.registries[1].host().to_owned();
    shop.script.on(When::any().at(&host), Fault::Hang);
    let ran = shop.publish(2).run().exits(7);
    let mut expected = shop.all(2);
    expected.retain(|reference, _| !reference.starts_with(&host));
    expected.extend(Shop::at(&host, 1));
    assert_eq!(shop.world(), expected, "{}", ran.stderr);
    // Who asks first waits for the others too; after that nobody waits for it any more.
    let log = shop.script.log();
    let asked: Vec<String> = log
        .iter()
        .filter(|seen| seen.host == host)
        .map(crate::support::registry::Seen::line)
        .collect();
    let is_first = |line: &String| {
        line == "GET /v2/"
            || line.contains("/manifests/1.0.2")
            || line.contains("/manifests/latest")
    };
    assert!(asked.iter().all(is_first), "{asked:#?}");
    shop.script.clear();
    shop.publish(2).args(["--resume"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(2));
}

#[test]
fn a_rollback_goes_ahead_without_a_registry_that_is_not_required() {
    let shop = Shop {
        patience: "3",
        ..Shop::new()
    };
    shop.configure(&[1]);
    shop.project.commit();
    shop.publish(1).run().exits(0);
    shop.publish(2).run().exits(0);
    shop.script.clear();
    let host = shop.registries[1].host().to_owned();
    shop.script.on(When::any().at(&host), Fault::Reset);
    let history = shop.castoff(["history"]).run().exits(0);
    assert!(history.stderr.contains("warning"), "{}", history.stderr);
    let ran = shop.castoff(["rollback"]).run().exits(7);
    let mut expected = shop.all(1);
    expected.retain(|reference, _| !reference.starts_with(&host));
    expected.extend(Shop::at(&host, 2));
    assert_eq!(shop.world(), expected, "{}", ran.stderr);
}

#[test]
fn the_first_release_is_taken_back_only_where_that_is_meant() {
    let shop = Shop {
        patience: "30",
        ..Shop::new()
    };
    shop.publish(1).run().exits(0);
    shop.publish(2).run().exits(0);
    shop.castoff(["rollback"]).run().exits(0);
    let ran = shop.castoff(["rollback"]).run().exits(3);
    assert!(
        ran.stderr.contains("rollback --unpublish"),
        "{}",
        ran.stderr
    );
    assert_eq!(shop.world(), shop.all(1));
    let ran = shop.castoff(["rollback", "--unpublish"]).run().exits(0);
    assert_eq!(shop.world(), World::new(), "{}", ran.stderr);
}
