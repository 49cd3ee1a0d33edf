//! Releases as another machine knows them: from the registries alone; and what they become there.

use crate::harness::{SERVICES, Shop};
use crate::support::buildkit::image_of;
use crate::support::images::{Image, artifact, small_tree};
use crate::support::program::Castoff;
use crate::support::registry::{Fault, Settings, When};

const RECORD: &str = "application/vnd.castoff.release.v1+json";

/// The program as on another machine, which has published nothing.
fn elsewhere<const N: usize>(shop: &Shop, arguments: [&str; N]) -> Castoff {
    let state = shop.project.join(".home/elsewhere").display().to_string();
    shop.castoff(arguments).env("CASTOFF_STATE", state)
}

fn ids(history: &serde_json::Value) -> Vec<String> {
    let releases = history.as_array().unwrap().iter();
    releases
        .map(|release| format!("{} {}", release["release"], release["state"]))
        .collect()
}

/// Registries with a list of referrers, and registries without one.
fn kinds() -> [Settings; 2] {
    let without = Settings {
        referrers: false,
        ..Settings::default()
    };
    [Settings::default(), without]
}

#[test]
fn history_and_rollback_work_with_nothing_but_the_registries() {
    for settings in kinds() {
        let shop = Shop::with(&settings);
        for generation in 1..=3 {
            shop.publish(generation).run().exits(0);
        }
        let json = ["history", "--format", "json"];
        let here = shop.castoff(json).run().exits(0).json();
        let there = elsewhere(&shop, json).run().exits(0).json();
        assert_eq!(ids(&here).len(), 3);
        assert_eq!(ids(&here), ids(&there));
        assert_eq!(here, there, "a record is the same everywhere");
        elsewhere(&shop, ["rollback"]).run().exits(0);
        assert_eq!(shop.world(), shop.all(2));
        // And the first machine learns of it.
        let here = shop.castoff(json).run().exits(0).json();
        assert_eq!(here[0]["command"], "rollback");
        assert_eq!(here[1]["state"], "rolled back");
        shop.castoff(["rollback"]).run().exits(0);
        assert_eq!(shop.world(), shop.all(1));
        let none = elsewhere(&shop, ["history", "--offline"]).run().exits(0);
        assert!(none.stdout.contains("rollback"), "{}", none.stdout);
    }
}

#[test]
fn a_record_that_cannot_be_written_is_said_and_changes_nothing() {
    let shop = Shop::new();
    let host = shop.registries[1].host().to_owned();
    // Of the blobs that castoff itself sends, there are only those of the record.
    let blob = When::is("PUT", "/blobs/uploads/").at(&host);
    shop.script.on(blob, Fault::status(403));
    let ran = shop.publish(1).run().exits(7);
    assert_eq!(shop.world(), shop.all(1));
    assert!(
        ran.stderr.contains("record the release in registry `two`"),
        "{}",
        ran.stderr
    );
    shop.script.clear();
    let history = elsewhere(&shop, ["history", "--format", "json"]);
    assert_eq!(ids(&history.run().exits(0).json()).len(), 1);
}

#[test]
fn a_registry_has_no_say_in_another_one() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.publish(2).run().exits(0);
    // Whoever can write to the second registry forges a release that moved tags in the first.
    let history = shop.castoff(["history", "--format", "json"]).run().json();
    let mut forged = history[0].clone();
    forged.as_object_mut().unwrap().remove("state");
    forged["release"] = "20990101T000000Z-00000000".into();
    forged["at"] = "2099-01-01T00:00:00Z".into();
    let subject = image_of("api", 2).index;
    let mut record = artifact(&subject, RECORD);
    let text = serde_json::to_vec(&forged).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(record.manifest.bytes()).unwrap();
    manifest["layers"] = serde_json::json!([{
        "mediaType": RECORD, "digest": castoff::oci::Digest::of(&text), "size": text.len(),
    }]);
    record.blobs.push(text);
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let forged = Image {
        manifest: castoff::oci::RawManifest::new(record.manifest.media_type(), bytes),
        blobs: record.blobs,
    };
    let digest = forged.manifest.digest().clone();
    shop.registries[1].put("api", digest.as_str(), &forged);
    let json = ["history", "--format", "json"];
    let there = elsewhere(&shop, json).run().exits(0).json();
    assert_eq!(there[0]["release"], "20990101T000000Z-00000000");
    let host = shop.registries[1].host();
    let moved = there[0]["moved"].as_array().unwrap();
    assert_eq!(moved.len(), 6);
    for moved in moved {
        assert!(moved["reference"].as_str().unwrap().starts_with(host));
    }
}

#[test]
fn a_release_is_promoted_to_other_tags_and_taken_back() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.publish(2).run().exits(0);
    let history = shop.castoff(["history", "--format", "json"]).run().json();
    let first = history[1]["release"].as_str().unwrap();
    let solves = shop.builder.solves();
    let ran = elsewhere(
        &shop,
        [
            "promote", first, "--to", "stable", "latest", "--format", "json",
        ],
    );
    let ran = ran.run().exits(0);
    let mut expected = shop.all(2);
    for registry in &shop.registries {
        for service in SERVICES {
            let digest = image_of(service, 1).index.digest().to_string();
            for tag in ["stable", "latest"] {
                expected.insert(
                    format!("{}/{service}:{tag}", registry.host()),
                    digest.clone(),
                );
            }
        }
    }
    assert_eq!(shop.world(), expected, "{}", ran.stderr);
    assert_eq!(shop.builder.solves(), solves, "nothing is built");
    assert_eq!(ran.json()["command"], "promote");
    assert_eq!(ran.json()["images"][0]["reused"], true);
    elsewhere(&shop, ["rollback"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(2));
}

#[test]
fn a_tag_is_promoted_to_another_repository_with_its_signatures() {
    for settings in kinds() {
        let shop = Shop::with(&settings);
        shop.publish(1)
            .args(["--only-registry", "one"])
            .run()
            .exits(0);
        let one = &shop.registries[0];
        for service in SERVICES {
            let tree = image_of(service, 1);
            let child = &tree.images[0].manifest;
            for (number, subject) in [&tree.index, child].into_iter().enumerate() {
                let signature = artifact(subject, "application/vnd.example.signature");
                let digest = signature.manifest.digest().to_string();
                one.put(service, &digest, &signature);
                if number == 0 {
                    let name = subject.digest().to_string().replace(':', "-");
                    one.put(service, &format!("{name}.sig"), &signature);
                }
            }
            // A registry without the API has the list under a tag.
            let signed = artifact(&tree.index, "application/vnd.example.signature");
            let list =
                crate::support::images::index(&[crate::support::images::entry(&signed.manifest)]);
            let name = tree.index.digest().to_string().replace(':', "-");
            one.put(
                service,
                &name,
                &Image {
                    manifest: list,
                    blobs: Vec::new(),
                },
            );
        }
        let target = format!("{}/live/{{{{service}}}}", shop.registries[2].host());
        let ran = shop
            .castoff([
                "promote",
                "1.0.1",
                "--to",
                "prod",
                "--to-repository",
                &target,
            ])
            .run()
            .exits(0);
        let three = &shop.registries[2];
        for service in SERVICES {
            let repository = format!("live/{service}");
            let tree = image_of(service, 1);
            assert!(three.is_whole(&repository, "prod"), "{}", ran.stderr);
            let prod = three.tags()[&format!("{repository}:prod")].clone();
            assert_eq!(prod, tree.index.digest().to_string());
            let signature = artifact(&tree.index, "application/vnd.example.signature");
            let digest = signature.manifest.digest().to_string();
            assert!(three.is_whole(&repository, &digest));
            let name = tree.index.digest().to_string().replace(':', "-");
            assert_eq!(three.tags()[&format!("{repository}:{name}.sig")], digest);
        }
        let unknown = shop
            .castoff(["promote", "9.9", "--to", "prod"])
            .run()
            .exits(3);
        assert!(
            unknown.stderr.contains("there is no "),
            "{}",
            unknown.stderr
        );
    }
}

#[test]
fn a_promotion_that_fails_moves_no_tag() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.script.clear();
    let host = shop.registries[2].host().to_owned();
    let worker = When::is("PUT", "/worker/manifests/stable").at(&host);
    shop.script.on(worker, Fault::status(403));
    let ran = shop
        .castoff(["promote", "1.0.1", "--to", "stable"])
        .run()
        .exits(6);
    assert_eq!(shop.world(), shop.all(1), "{}", ran.stderr);
    shop.script.clear();
    let wrong = shop
        .castoff(["promote", "1.0.1", "--to", "not a tag"])
        .run()
        .exits(2);
    assert!(wrong.stderr.contains("invalid tag"), "{}", wrong.stderr);
    let wrong = shop.castoff(["promote", "20200101T000000Z-00000000", "--to", "x"]);
    assert!(
        wrong.run().exits(3).stderr.contains("no release"),
        "{}",
        ran.stderr
    );
    // An image that is not there in every service is no release.
    let other = small_tree(5, 64);
    shop.registries[0].put_tree("api", "odd", &other);
    shop.castoff(["promote", "odd", "--to", "x"]).run().exits(3);
    assert_eq!(shop.world().len(), shop.all(1).len() + 1);
}
