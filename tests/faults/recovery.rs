//! What is left of a publish, and what `status`, `publish --resume`, `rollback` and the lock make of it.

use std::time::Duration;

use crate::harness::{SERVICES, Shop, name};
use crate::support::program::Ran;
use crate::support::registry::{Fault, Reach, Settings, When};

/// What differs from run to run, by names.
fn shown(shop: &Shop, ran: &Ran) -> String {
    let mut text = ran.shown(&[]);
    for (number, registry) in shop.registries.iter().enumerate() {
        text = text.replace(registry.host(), &format!("{}:5000", name(number)));
    }
    text = text.replace(&shop.builder.address(), "[builder]");
    for (pattern, name) in [
        (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "[release]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[time]"),
        (r"process \d+ on \S+,", "process [pid] on [host],"),
        (r"\b\d+\.\d s\b", "[seconds]"),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        text = pattern.replace_all(&text, name).into_owned();
    }
    // What happens at the same time is told in any order.
    let (before, told) = text.split_once("--- stderr\n").unwrap_or((&text, ""));
    let is_told = |line: &&str| !line.starts_with("error") && !line.starts_with("  caused");
    let (mut lines, rest): (Vec<&str>, Vec<&str>) = told
        .lines()
        .filter(|line| !line.starts_with("hint"))
        .partition(is_told);
    lines.sort_unstable();
    let mut text = format!("{before}--- stderr\n{}\n", lines.join("\n"));
    for line in rest {
        text += line;
        text.push('\n');
    }
    text
}

/// Kills a publish of generation 2 at the `count`th write of a tag.
fn interrupted(shop: &Shop, count: u32) {
    shop.publish(1).run().exits(0);
    shop.script.clear();
    let tags = When::is("PUT", "/manifests/1.0.2").after(count - 1);
    shop.script.on(tags, Fault::Hang);
    let publish = shop.publish(2);
    let started = publish.start();
    assert!(shop.script.wait_fired(1, Duration::from_secs(20)));
    started.signal("KILL");
    started.wait();
    shop.script.clear();
}

#[test]
fn status_names_every_tag_of_an_interrupted_publish() {
    let shop = Shop::new();
    let ran = shop.castoff(["status"]).run().exits(0);
    insta::assert_snapshot!("status_before_anything", shown(&shop, &ran));
    interrupted(&shop, 9);
    let ran = shop.castoff(["status"]).run().exits(0);
    let text = ran.stdout.clone();
    assert!(text.contains("is interrupted"), "{text}");
    for service in SERVICES {
        for registry in &shop.registries {
            for tag in ["1.0.2", "latest"] {
                let reference = format!("{}/{service}:{tag}", registry.host());
                assert!(text.contains(&reference), "{reference}\n{text}");
            }
        }
    }
    assert!(text.contains("not moved"), "{text}");
    assert!(text.contains("castoff publish --resume"), "{text}");
    let offline = shop.castoff(["status", "--offline"]).run().exits(0);
    assert!(offline.stdout.contains("unknown"), "{}", offline.stdout);
    shop.castoff(["rollback"]).run().exits(0);
    let ran = shop.castoff(["status"]).run().exits(0);
    insta::assert_snapshot!("status_after_a_rollback", shown(&shop, &ran));
}

#[test]
fn nothing_else_is_published_while_a_publish_is_half_done() {
    let shop = Shop::new();
    interrupted(&shop, 9);
    let ran = shop.publish(3).run().exits(3);
    insta::assert_snapshot!(shown(&shop, &ran), @r"
    exit 3
    --- stdout
    --- stderr

    error: publish [release] was interrupted after it had begun to move 18 tags
    ");
    shop.castoff(["rollback", "20260101T000000Z-00000000"])
        .run()
        .exits(3);
    shop.castoff(["rollback", "--forget"]).run().exits(0);
    // What was forgotten stays as it is, and is no obstacle.
    shop.publish(2).run().exits(0);
    assert_eq!(shop.world(), shop.all(2));
}

#[test]
fn what_is_resumed_is_sent_once() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    let solves = shop.builder.solves();
    shop.builder.fail("worker");
    let ran = shop.publish(2).run().exits(4);
    assert_eq!(shop.world(), shop.all(1), "{}", ran.stderr);
    shop.builder.mend();
    let resume = shop
        .publish(2)
        .args(["--resume", "--format", "json", "-j", "1"]);
    let ran = resume.run().exits(0);
    assert_eq!(shop.world(), shop.all(2));
    let images = ran.json()["images"].as_array().unwrap().clone();
    let reused = images
        .iter()
        .filter(|image| image["reused"] == true)
        .count();
    // How many were up when the others were stopped is a matter of time.
    assert_eq!(
        shop.builder.solves() - solves,
        3 + 3 - reused,
        "{}",
        ran.stderr
    );
}

#[test]
fn a_publish_is_not_resumed_from_another_commit_or_with_other_tags() {
    let shop = Shop::new();
    interrupted(&shop, 9);
    let ran = shop.publish(3).args(["--resume"]).run().exits(3);
    assert!(ran.stderr.contains("cannot go on with"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(":1.0.2 would not be written"),
        "{}",
        ran.stderr
    );
    shop.project.write("api/Dockerfile", "FROM scratch\n");
    shop.project.run_git(&["add", "-A"]);
    shop.project.run_git(&["commit", "-q", "-m", "another"]);
    let ran = shop.publish(2).args(["--resume"]).run().exits(3);
    assert!(ran.stderr.contains("it was begun at "), "{}", ran.stderr);
    shop.castoff(["rollback"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
}

#[test]
fn two_runs_for_one_project_exclude_each_other() {
    let shop = Shop {
        patience: "30",
        ..Shop::new()
    };
    shop.script
        .on(When::is("PUT", "/manifests/1.0.1").times(1), Fault::Hang);
    let first = shop.publish(1).start();
    assert!(shop.script.wait_fired(1, Duration::from_secs(20)));
    let second = shop.publish(1).run().exits(3);
    insta::assert_snapshot!(shown(&shop, &second), @r"
    exit 3
    --- stdout
    --- stderr

    error: another run for this project is under way: `castoff publish`, process [pid] on [host], since [time]
    ");
    assert!(second.stderr.contains(&first.pid().to_string()));
    shop.castoff(["rollback"]).run().exits(3);
    let status = shop.castoff(["status"]).run().exits(0);
    assert!(
        status.stdout.contains("under way: `castoff publish`"),
        "{}",
        status.stdout
    );
    // Whatever it would advise, the lock would refuse.
    assert!(
        status.stdout.contains("wait until it has ended") && !status.stdout.contains("--resume"),
        "{}",
        status.stdout
    );
    shop.castoff(["history"]).run().exits(0);
    first.signal("KILL");
    first.wait();
    // The lock has outlived no one.
    shop.publish(1).args(["--resume"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
}

#[test]
fn of_two_machines_at_the_same_time_the_slower_one_says_that_it_lost() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.script.clear();
    // The slow one has looked at the tags and waits for its build; then the other one publishes.
    let push = When::is("PUT", "/manifests/sha256:").times(1);
    shop.script
        .on(push, Fault::Slow(1, Duration::from_millis(1500)));
    let slow = shop.publish(2).start();
    assert!(shop.script.wait_fired(1, Duration::from_secs(20)));
    let elsewhere = shop.project.join("elsewhere").display().to_string();
    // The other machine has files of its own, and those here stay as they are.
    shop.builder.turn_to(3);
    let fast = shop.castoff(["publish"]).env("VERSION", "3");
    fast.env("CASTOFF_STATE", elsewhere).run().exits(0);
    let slow = slow.wait().exits(6);
    assert!(
        slow.stderr.contains("somebody else has moved"),
        "{}",
        slow.stderr
    );
    let mut all = shop.all(1);
    for (reference, digest) in shop.all(3) {
        if !reference.ends_with(":1.0.2") {
            all.insert(reference, digest);
        }
    }
    assert_eq!(shop.world(), all);
}

#[test]
fn rollback_takes_one_release_back_after_the_other() {
    let shop = Shop::new();
    for generation in 1..=3 {
        shop.publish(generation).run().exits(0);
    }
    let history = shop
        .castoff(["history", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let first = history[2]["release"].as_str().unwrap().to_owned();
    shop.castoff(["rollback"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(2));
    shop.castoff(["rollback"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
    let ran = shop.castoff(["history"]).run().exits(0);
    insta::assert_snapshot!(
        "history",
        shown(&shop, &ran).replace(&revision(&shop), "[revision]")
    );
    let ran = shop.castoff(["rollback", &first]).run().exits(3);
    assert!(
        ran.stderr.contains("nothing to take back"),
        "{}",
        ran.stderr
    );
    shop.publish(4).run().exits(0);
    shop.publish(5).run().exits(0);
    shop.castoff(["rollback", &first]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
}

fn revision(shop: &Shop) -> String {
    let head = std::process::Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(shop.project.path())
        .output()
        .unwrap();
    String::from_utf8(head.stdout).unwrap()[..12].to_owned()
}

#[test]
fn a_rollback_changes_nothing_where_a_tag_is_somewhere_else() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.publish(2).run().exits(0);
    let other = crate::support::images::small_tree(77, 64);
    shop.registries[1].put_tree("web", "latest", &other);
    let before = shop.world();
    let ran = shop.castoff(["rollback"]).run().exits(3);
    assert_eq!(shop.world(), before);
    let reference = format!("{}/web:latest should be", shop.registries[1].host());
    assert!(ran.stderr.contains(&reference), "{}", ran.stderr);
}

#[test]
fn a_rollback_that_is_killed_is_finished_by_the_next() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.publish(2).run().exits(0);
    shop.script.clear();
    shop.script
        .on(When::is("PUT", "/manifests/latest").after(4), Fault::Hang);
    let rollback = shop.castoff(["rollback"]).start();
    assert!(shop.script.wait_fired(1, Duration::from_secs(20)));
    rollback.signal("KILL");
    rollback.wait();
    shop.script.clear();
    let ran = shop.publish(3).run().exits(3);
    assert!(ran.stderr.contains("rollback"), "{}", ran.stderr);
    shop.publish(2).args(["--resume"]).run().exits(3);
    shop.castoff(["rollback"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
    let status = shop.castoff(["status"]).run().exits(0);
    assert!(
        status.stdout.contains("nothing is interrupted"),
        "{}",
        status.stdout
    );
}

#[test]
fn new_tags_that_cannot_be_deleted_are_named_until_somebody_has_decided() {
    let shop = Shop::with(&Settings {
        delete_tags: false,
        ..Settings::default()
    });
    shop.publish(1).run().exits(0);
    shop.script.clear();
    // One tag cannot be written, so that all the others have to go back.
    let host = shop.registries[2].host().to_owned();
    let latest = When::is("PUT", "/web/manifests/latest").at(&host);
    shop.script.on(latest, Fault::status(403));
    let ran = shop.publish(2).args(["--format", "json"]).run().exits(6);
    shop.script.clear();
    let left = ran.json()["left"].as_array().unwrap().clone();
    assert_eq!(left.len(), 9, "{}", ran.stdout);
    for tag in &left {
        let reference = tag["reference"].as_str().unwrap();
        assert!(reference.ends_with(":1.0.2"), "{reference}");
        assert!(ran.stderr.contains(reference), "{}", ran.stderr);
    }
    let latest = |generation| {
        let mut world = shop.all(generation);
        world.retain(|reference, _| reference.ends_with(":latest"));
        world
    };
    let mut now = shop.world();
    now.retain(|reference, _| reference.ends_with(":latest"));
    assert_eq!(now, latest(1));
    // They are there, so it is not over.
    let left_as = |state: &str| {
        let status = shop.castoff(["status", "--format", "json"]).run().exits(0);
        let tags = status.json()["interrupted"]["tags"].clone();
        let tags = tags.as_array().into_iter().flatten();
        tags.filter(|tag| tag["state"] == state).count()
    };
    assert_eq!(left_as("moved"), 9);
    shop.publish(3).run().exits(3);
    shop.castoff(["rollback"]).run().exits(6);
    assert_eq!(left_as("moved"), 9);
    let after = shop.snapshot();
    // The same release goes through once the registry takes it.
    shop.publish(2).args(["--resume"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(2));
    assert_eq!(left_as("moved"), 0);
    // Or somebody removes them in the registry's own way, and it never was.
    shop.restore(&after);
    for registry in &shop.registries {
        registry.set(|settings| settings.delete_tags = true);
    }
    shop.castoff(["rollback"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
    assert_eq!(left_as("moved"), 0);
}

#[test]
fn what_could_not_be_taken_back_is_not_said_to_be_rolled_back() {
    let shop = Shop::with(&Settings {
        delete_tags: false,
        ..Settings::default()
    });
    let states = |shop: &Shop| -> Vec<String> {
        let history = shop.castoff(["history", "--format", "json"]).run().exits(0);
        let history = history.json();
        let shown = history.as_array().unwrap().iter();
        shown
            .map(|release| release["state"].as_str().unwrap().to_owned())
            .collect()
    };
    shop.publish(1).run().exits(0);
    // No tag can go anywhere: nothing has happened.
    shop.castoff(["rollback", "--unpublish"]).run().exits(6);
    assert_eq!(shop.world(), shop.all(1));
    assert_eq!(states(&shop), ["live"]);
    shop.publish(2).run().exits(0);
    // `latest` goes back, and the new version stays.
    shop.castoff(["rollback"]).run().exits(7);
    assert_eq!(states(&shop), ["partly done", "partly rolled back", "live"]);
}

#[test]
fn a_registry_that_is_not_required_gets_all_tags_or_none_and_is_caught_up_by_resume() {
    let shop = Shop::new();
    shop.configure(&[1]);
    shop.project.commit();
    shop.publish(1).run().exits(0);
    shop.script.clear();
    let host = shop.registries[1].host().to_owned();
    let latest = When::is("PUT", "/worker/manifests/latest").at(&host);
    shop.script.on(latest, Fault::status(403));
    let ran = shop.publish(2).args(["--format", "json"]).run().exits(7);
    let mut expected = shop.all(2);
    expected.retain(|reference, _| !reference.starts_with(&host));
    expected.extend(Shop::at(&host, 1));
    assert_eq!(shop.world(), expected, "{}", ran.stderr);
    let registries = &ran.json()["registries"];
    assert_eq!(registries[0]["outcome"], "complete");
    assert_eq!(registries[1]["outcome"], "failed");
    assert!(registries[1]["error"].as_str().unwrap().contains("403"));
    shop.script.clear();
    let solves = shop.builder.solves();
    let ran = shop
        .publish(2)
        .args(["--resume", "--format", "json"])
        .run()
        .exits(0);
    assert_eq!(shop.world(), shop.all(2), "{}", ran.stderr);
    assert_eq!(shop.builder.solves(), solves, "nothing is built again");
    assert_eq!(ran.json()["moved"].as_array().unwrap().len(), 18);
    shop.castoff(["rollback"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
}

#[test]
fn an_image_that_a_registry_lacks_keeps_its_other_tags_there_where_they_were() {
    let shop = Shop::new();
    shop.configure(&[1]);
    shop.project.commit();
    shop.publish(1).run().exits(0);
    shop.script.clear();
    let host = shop.registries[1].host().to_owned();
    let upload = When::is("PUT", "/web/manifests/sha256").at(&host);
    shop.script.on(upload, Fault::status(403));
    let ran = shop.publish(2).run().exits(7);
    let mut expected = shop.all(2);
    expected.retain(|reference, _| !reference.starts_with(&host));
    expected.extend(Shop::at(&host, 1));
    assert_eq!(shop.world(), expected, "{}", ran.stderr);
    insta::assert_snapshot!(
        "best_effort_failed",
        ran.stdout.lines().skip(4).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn only_registry_leaves_the_others_alone() {
    let shop = Shop::new();
    shop.configure(&[1]);
    shop.project.commit();
    let ran = shop
        .publish(1)
        .args(["--only-registry", "two"])
        .run()
        .exits(0);
    assert_eq!(
        shop.world(),
        Shop::at(shop.registries[1].host(), 1),
        "{}",
        ran.stderr
    );
    let ran = shop
        .publish(1)
        .args(["--only-registry", "tow"])
        .run()
        .exits(2);
    insta::assert_snapshot!(shown(&shop, &ran), @r"
    exit 2
    --- stdout
    --- stderr

    error: no service goes to a registry `tow`
    ");
}

#[test]
fn keep_going_reports_every_build_that_fails_and_moves_no_tag() {
    let shop = Shop::new();
    shop.builder.fail("api");
    shop.builder.fail("worker");
    let ran = shop
        .publish(1)
        .args(["--keep-going", "-j", "1"])
        .run()
        .exits(4);
    assert!(ran.stderr.contains("build `api`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("build `worker`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("web      built"), "{}", ran.stderr);
    assert!(shop.world().is_empty());
    // Without it the first failure is the last.
    let ran = shop.publish(1).args(["-j", "1"]).run().exits(4);
    assert!(!ran.stderr.contains("build `worker`"), "{}", ran.stderr);
}

#[test]
fn a_registry_that_goes_away_in_the_middle_leaves_a_journal_that_brings_everything_back() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.script.clear();
    shop.publish(2).run().exits(0);
    shop.castoff(["rollback"]).run().exits(0);
    shop.script.clear();
    let probe = shop.publish(2);
    // The request that writes the first `latest` is not known before: measure, then do it again.
    probe.run().exits(0);
    let log = shop.script.log();
    let first = log
        .iter()
        .find(|seen| seen.line().ends_with("/manifests/latest") && seen.method == "PUT");
    let index = first.unwrap().index;
    shop.castoff(["rollback"]).run().exits(0);
    shop.script.clear();
    shop.script.on_request(index, Fault::Reset, Reach::Host);
    let ran = shop.publish(2).args(["--format", "json"]).run().exits(6);
    shop.script.clear();
    assert!(
        !ran.json()["left"].as_array().unwrap().is_empty(),
        "{}",
        ran.stderr
    );
    shop.castoff(["rollback"]).run().exits(0);
    assert_eq!(shop.world(), shop.all(1));
}

/// Every tag that a rule gives is kept for ever.
const KEEP: [&str; 2] = ["--set", "tags.immutable=[\"1.*\"]"];

#[test]
fn an_immutable_tag_is_compared_with_what_was_built_where_nobody_knew_before() {
    let shop = Shop::new();
    // Nothing is known of what goes into the images, or was in those that are there.
    let again = |generation| {
        shop.turn_to(generation);
        shop.castoff(["publish", "--set", "build.reuse=never"])
            .args(KEEP)
            .env("VERSION", "1")
    };
    again(1).run().exits(0);
    // Built once more, and the same comes out.
    again(1).run().exits(0);
    assert_eq!(shop.builder.solves(), 2 * SERVICES.len());
    let ran = again(2).run().exits(4);
    assert!(ran.stderr.contains("it is immutable"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--allow-overwrite"), "{}", ran.stderr);
    assert_eq!(shop.world(), shop.all(1));
    again(2).args(["--allow-overwrite"]).run().exits(0);
    assert_ne!(shop.world(), shop.all(1));
}

#[test]
fn what_was_allowed_when_it_was_begun_is_finished() {
    let shop = Shop::new();
    shop.publish(1).run().exits(0);
    shop.script.clear();
    shop.turn_to(2);
    let publish = |flags: &[&str]| {
        let castoff = shop.castoff(["publish"]).args(KEEP).args(flags);
        castoff.env("VERSION", "1")
    };
    publish(&[]).run().exits(3);
    shop.script
        .on(When::is("PUT", "/manifests/1.0.1").after(4), Fault::Hang);
    let started = publish(&["--allow-overwrite"]).start();
    assert!(shop.script.wait_fired(1, Duration::from_secs(20)));
    started.signal("KILL");
    started.wait();
    shop.script.clear();
    publish(&["--resume"]).run().exits(0);
    let mut expected = shop.all(2);
    expected.retain(|reference, _| !reference.ends_with(":1.0.2"));
    for (reference, digest) in shop.all(2) {
        if let Some(name) = reference.strip_suffix(":1.0.2") {
            expected.insert(format!("{name}:1.0.1"), digest);
        }
    }
    assert_eq!(shop.world(), expected);
}
