//! A release that is built on several machines: parts, what is refused about them, and one publish that
//! puts them together.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{SERVICES, Shop};
use crate::support::program::{Castoff, Ran};
use crate::support::registry::{Fault, Reach, When};

/// A shop whose services are for two platforms.
fn shop() -> Shop {
    shop_with(&[])
}

/// The same where the registries with these numbers are not required.
fn shop_with(best_effort: &[usize]) -> Shop {
    let shop = Shop::new();
    shop.configure(best_effort);
    shop.builder.be_faithful();
    let path = shop.project.join("publish.toml");
    let mut publish = std::fs::read_to_string(path).unwrap();
    publish += "[build]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\nprovenance = \"min\"\n";
    shop.project.write("publish.toml", &publish);
    // Files of parts lie here, and change no tree.
    shop.project
        .write(".gitignore", ".home\ngeneration\nparts\n");
    std::fs::create_dir_all(shop.project.join("parts")).unwrap();
    shop.project.commit();
    shop.turn_to(1);
    shop
}

/// One job's build, with a state of its own as on another machine.
fn job(shop: &Shop, name: &str, arguments: &[&str]) -> Castoff {
    let state = shop.project.join(&format!(".home/{name}"));
    shop.castoff(["build", "--partial", &format!("parts/{name}.json")])
        .args(arguments)
        .env("CASTOFF_STATE", state.display().to_string())
}

/// Both halves of a release.
fn halves(shop: &Shop) {
    for architecture in ["amd64", "arm64"] {
        job(
            shop,
            architecture,
            &["--platform", &format!("linux/{architecture}")],
        )
        .run()
        .exits(0);
    }
}

/// The publish that puts parts together, on a machine that has no builder.
fn from<const N: usize>(shop: &Shop, files: [&str; N]) -> Castoff {
    let files = files.map(|file| format!("parts/{file}"));
    shop.project
        .castoff(["publish", "--from"])
        .args(files)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
}

fn part(shop: &Shop, name: &str) -> Value {
    let path = shop.project.join(&format!("parts/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A part with something changed in it.
fn forged(shop: &Shop, name: &str, change: impl FnOnce(&mut Value)) -> &'static str {
    let mut part = part(shop, name);
    change(&mut part);
    let text = serde_json::to_string(&part).unwrap();
    shop.project.write("parts/forged.json", &text);
    "forged.json"
}

/// What a tag leads to: the index without the order of its entries.
fn image(shop: &Shop, number: usize, service: &str) -> Value {
    let (kind, bytes) = shop.registries[number].manifest(service, "latest").unwrap();
    let mut index: Value = serde_json::from_slice(&bytes).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    entries.sort_by_key(ToString::to_string);
    json!({ "type": kind, "index": index })
}

fn images(shop: &Shop) -> Vec<Value> {
    let numbers = 0..shop.registries.len();
    numbers
        .flat_map(|number| SERVICES.map(|service| image(shop, number, service)))
        .collect()
}

/// What is changed in a file, and what is said of that.
type Forgery<'a> = (&'a dyn Fn(&mut Value), &'a str);

#[track_caller]
fn refused(shop: &Shop, ran: Ran, said: &[&str]) {
    let before = shop.world();
    let ran = ran.exits(2);
    for said in said {
        assert!(ran.stderr.contains(said), "{said}\n{}", ran.stderr);
    }
    assert_eq!(shop.world(), before);
}

#[test]
fn two_halves_make_the_image_that_one_machine_makes() {
    let shop = shop();
    let before = shop.snapshot();
    shop.castoff(["publish"]).run().exits(0);
    let plain = images(&shop);
    assert_eq!(
        plain[0]["index"]["manifests"].as_array().unwrap().len(),
        4,
        "two platforms, each with an attestation: {}",
        plain[0]
    );
    shop.restore(&before);
    halves(&shop);
    assert_eq!(shop.world().len(), 0, "a part moves no tag");
    let half = part(&shop, "arm64");
    let image = &half["services"][0];
    assert_eq!(image["platforms"], json!(["linux/arm64"]));
    assert_eq!(image["of"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(image["attestations"].as_array().unwrap().len(), 1);
    assert_eq!(image["repositories"].as_array().unwrap().len(), 3);
    let solves = shop.builder.solves();
    let ran = from(&shop, ["amd64.json", "arm64.json"])
        .args(["--format", "json"])
        .run()
        .exits(0);
    assert_eq!(images(&shop), plain, "{}", ran.stderr);
    let told = ran.json();
    assert_eq!(told["moved"].as_array().unwrap().len(), 18);
    assert_eq!(
        told["images"][0]["platforms"],
        json!(["linux/amd64", "linux/arm64"])
    );
    assert_eq!(told["images"][0]["attestations"], json!(["provenance"]));
    // What was put together is known again: by one machine that builds all, and by the jobs.
    let again = shop
        .castoff(["publish", "--format", "json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(again["images"][0]["reused"], true);
    assert_eq!(again["moved"], json!([]));
    halves(&shop);
    assert_eq!(shop.builder.solves(), solves, "nothing is built again");
    assert_eq!(part(&shop, "amd64")["services"][0]["reused"], true);
    let world = shop.world();
    let ran = from(&shop, ["amd64.json", "arm64.json"])
        .args(["--format", "json"])
        .run()
        .exits(0);
    assert_eq!(ran.json()["moved"], json!([]), "{}", ran.stderr);
    assert_eq!(shop.world(), world);
}

#[test]
fn jobs_share_services_as_well_as_platforms() {
    let shop = shop();
    let before = shop.snapshot();
    shop.castoff(["publish"]).run().exits(0);
    let plain = images(&shop);
    shop.restore(&before);
    // One shard whole, the other one by platforms, in a folder as a CI system unpacks them.
    job(&shop, "one", &["--shard", "1/2"]).run().exits(0);
    for architecture in ["amd64", "arm64"] {
        let name = format!("two-{architecture}");
        let platform = format!("linux/{architecture}");
        job(&shop, &name, &["--shard", "2/2", "--platform", &platform])
            .run()
            .exits(0);
    }
    let services = |name: &str| -> BTreeSet<String> {
        let part = part(&shop, name);
        let services = part["services"].as_array().unwrap().iter();
        services
            .map(|image| image["service"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(services("one").len() + services("two-amd64").len(), 3);
    assert!(services("one").is_disjoint(&services("two-arm64")));
    from(&shop, [""]).run().exits(0);
    assert_eq!(images(&shop), plain);
}

#[test]
fn what_makes_no_whole_is_refused_by_name() {
    let shop = shop();
    halves(&shop);
    refused(
        &shop,
        from(&shop, ["amd64.json"]).run(),
        &[
            "no file has linux/arm64 of service `api`; parts/amd64.json has linux/amd64",
            "no file has linux/arm64 of service `worker`",
        ],
    );
    job(&shop, "only", &["api"]).run().exits(0);
    refused(
        &shop,
        from(&shop, ["only.json"]).run(),
        &["no file has service `web`", "no file has service `worker`"],
    );
    // The same image twice is once.
    shop.project.write(
        "parts/copy.json",
        &std::fs::read_to_string(shop.project.join("parts/amd64.json")).unwrap(),
    );
    let before = shop.snapshot();
    from(&shop, ["copy.json", "amd64.json", "arm64.json"])
        .run()
        .exits(0);
    shop.restore(&before);
    let twice = forged(&shop, "amd64", |it| {
        it["services"][0]["digest"] = it["services"][1]["digest"].clone();
    });
    refused(
        &shop,
        from(&shop, ["amd64.json", twice, "arm64.json"]).run(),
        &[
            "parts/amd64.json and parts/forged.json both have linux/amd64 of service `api`, and not the same",
        ],
    );
    let cases: [Forgery<'_>; 10] = [
        (
            &|it| it["commit"] = json!("0123456789012345678901234567890123456789"),
            "parts/forged.json was built from commit 0123456789012345678901234567890123456789, and parts/arm64.json from commit ",
        ),
        (
            &|it| it["project"] = json!("other"),
            "parts/forged.json is of project `other`, and this is `shop`",
        ),
        (
            &|it| it["v"] = json!(2),
            "parts/forged.json: its form has version 2, and this castoff knows 1",
        ),
        (
            &|it| it["services"][0]["service"] = json!("gone"),
            "parts/forged.json has service `gone`, which is not published here",
        ),
        (
            &|it| it["services"][0]["of"] = json!(["linux/amd64"]),
            "knows service `api` for linux/amd64, and it is published for linux/amd64, linux/arm64",
        ),
        (
            &|it| it["services"][0]["repositories"] = json!(["example.com/api"]),
            "has service `api` in example.com/api, and it is published to ",
        ),
        (
            &|it| it["services"][0]["contents"] = json!(digest('1')),
            "were not built from the same files and arguments of service `api`",
        ),
        (
            &|it| it["services"][0]["inputs"] = json!(digest('1')),
            "were not built from the same base images of service `api`",
        ),
        (
            &|it| it["services"][0]["labels"]["org.opencontainers.image.version"] = json!("2"),
            "were not built from the same label org.opencontainers.image.version of service `api`",
        ),
        (
            &|it| it["services"][0]["contents"] = Value::Null,
            "the files of service `api` changed while parts/forged.json was made",
        ),
    ];
    for (change, said) in cases {
        let forged = forged(&shop, "amd64", change);
        refused(&shop, from(&shop, [forged, "arm64.json"]).run(), &[said]);
    }
}

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

#[test]
fn files_that_are_no_parts_are_refused_before_anything_else() {
    let shop = shop();
    for (text, said) in [
        ("", "it is not what `castoff build --partial` writes"),
        (
            "{\"v\": 1}",
            "it is not what `castoff build --partial` writes",
        ),
        (
            "\u{1b}[31m",
            "it is not what `castoff build --partial` writes",
        ),
    ] {
        shop.project.write("parts/odd.json", text);
        refused(&shop, from(&shop, ["odd.json"]).run(), &["odd.json", said]);
    }
    shop.project
        .write("parts/huge.json", &"[".repeat(17 * 1024 * 1024));
    refused(
        &shop,
        from(&shop, ["huge.json"]).run(),
        &["huge.json: it is larger than 16 MiB"],
    );
    refused(&shop, from(&shop, ["none.json"]).run(), &["none.json"]);
    std::fs::create_dir(shop.project.join("parts/empty")).unwrap();
    refused(
        &shop,
        from(&shop, ["empty"]).run(),
        &["it has no .json file"],
    );
}

#[test]
fn a_part_that_is_gone_or_is_not_what_its_file_says_moves_no_tag() {
    let shop = shop();
    halves(&shop);
    let world = shop.world();
    // Somebody has cleaned up in one registry.
    let before = shop.snapshot();
    let gone = part(&shop, "arm64")["services"][0]["digest"].clone();
    let path = format!("/api/manifests/{}", gone.as_str().unwrap());
    let host = shop.registries[1].host().to_owned();
    shop.script
        .on(When::is("HEAD", &path).at(&host), Fault::status(404));
    let ran = from(&shop, ["amd64.json", "arm64.json"]).run().exits(3);
    let said = format!(
        "{host}/api@{}, which parts/arm64.json tells of, is not there",
        gone.as_str().unwrap()
    );
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    assert_eq!(shop.world(), world);
    shop.restore(&before);
    // An image of another service, under a name that it does not have.
    let web = part(&shop, "amd64")["services"][1].clone();
    let swapped = forged(&shop, "amd64", |it| {
        for field in ["digest", "manifests", "attestations"] {
            it["services"][0][field] = web[field].clone();
        }
    });
    for registry in &shop.registries {
        for of in [&web, &web["manifests"][0], &web["attestations"][0]] {
            registry.lend("web", of["digest"].as_str().unwrap(), "api");
        }
    }
    refused(
        &shop,
        from(&shop, [swapped, "arm64.json"]).run(),
        &[
            "parts/forged.json is wrong about service `api`",
            "does not have the label dev.castoff.service with api",
        ],
    );
    // An image of another platform, by its bare manifest.
    let bare = forged(&shop, "amd64", |it| {
        let other = part(&shop, "arm64")["services"][0]["manifests"][0].clone();
        let image = &mut it["services"][0];
        image["digest"] = other["digest"].clone();
        image["manifests"] = json!([other]);
        image["attestations"] = json!([]);
    });
    refused(
        &shop,
        from(&shop, [bare, "arm64.json"]).run(),
        &[
            "parts/forged.json is wrong about service `api`",
            "is for linux/arm64",
        ],
    );
    // A platform that the image does not have.
    let other = forged(&shop, "amd64", |it| {
        it["services"][0]["platforms"] = json!(["linux/amd64", "linux/arm64"]);
    });
    refused(
        &shop,
        from(&shop, [other, "arm64.json"]).run(),
        &["both have linux/arm64"],
    );
    let mut all = part(&shop, "amd64");
    for image in all["services"].as_array_mut().unwrap() {
        image["platforms"] = json!(["linux/amd64", "linux/arm64"]);
    }
    shop.project.write("parts/forged.json", &all.to_string());
    refused(
        &shop,
        from(&shop, ["forged.json"]).run(),
        &["has linux/arm64 0 times"],
    );
}

#[test]
fn a_service_and_a_platform_that_nobody_has_are_mistakes_and_an_empty_share_is_none() {
    let shop = shop();
    let ran = job(&shop, "odd", &["--platform", "linux/s390x"])
        .run()
        .exits(2);
    assert!(
        ran.stderr
            .contains("no service is published for linux/s390x"),
        "{}",
        ran.stderr
    );
    job(&shop, "odd", &["nothing"]).run().exits(2);
    job(&shop, "odd", &["--platform", "x/y/z/a"]).run().exits(2);
    assert!(!shop.project.join("parts/odd.json").exists());
    job(&shop, "empty", &["--shard", "9/9"]).run().exits(0);
    assert_eq!(part(&shop, "empty")["services"], json!([]));
    halves(&shop);
    from(&shop, ["empty.json", "amd64.json", "arm64.json"])
        .run()
        .exits(0);
}

#[test]
fn a_service_that_names_no_platform_comes_whole_and_once() {
    let shop = Shop::new();
    shop.builder.be_faithful();
    shop.project
        .write(".gitignore", ".home\ngeneration\nparts\n");
    std::fs::create_dir_all(shop.project.join("parts")).unwrap();
    shop.project.commit();
    shop.turn_to(1);
    job(&shop, "one", &["api", "web"]).run().exits(0);
    job(&shop, "two", &["worker"]).run().exits(0);
    let ran = job(&shop, "odd", &["--platform", "linux/amd64"])
        .run()
        .exits(2);
    assert!(
        ran.stderr
            .contains("no service is published for linux/amd64"),
        "{}",
        ran.stderr
    );
    let other = forged(&shop, "two", |it| {
        it["services"][0]["digest"] = json!(digest('1'));
    });
    refused(
        &shop,
        from(&shop, ["one.json", "two.json", other]).run(),
        &["both have the builder's own platform of service `worker`"],
    );
    from(&shop, ["one.json", "two.json"]).run().exits(0);
    assert_eq!(shop.world().len(), 18);
}

#[test]
fn a_part_that_fails_writes_no_file() {
    let shop = shop();
    shop.builder.fail("web");
    job(&shop, "amd64", &["--platform", "linux/amd64"])
        .run()
        .exits(4);
    assert!(!shop.project.join("parts/amd64.json").exists());
    shop.builder.mend();
    let host = shop.registries[2].host().to_owned();
    shop.script.on(
        When::is("POST", "/blobs/uploads").at(&host),
        Fault::status(403),
    );
    let ran = job(&shop, "amd64", &["--platform", "linux/amd64"])
        .run()
        .exits(3);
    assert!(ran.stderr.contains("403"), "{}", ran.stderr);
    assert!(!shop.project.join("parts/amd64.json").exists());
    let ran = shop
        .castoff(["build", "--partial", "no/such/folder/part.json"])
        .run()
        .exits(2);
    assert!(ran.stderr.contains("no/such/folder"), "{}", ran.stderr);
}

#[test]
fn trees_with_changes_have_to_be_the_same_everywhere() {
    let shop = shop();
    shop.project.write("api/new", "change\n");
    halves(&shop);
    assert_eq!(part(&shop, "amd64")["dirty"], true);
    let before = shop.snapshot();
    from(&shop, ["amd64.json", "arm64.json"]).run().exits(0);
    shop.restore(&before);
    // The machine that publishes has something else there.
    shop.project.write("api/new", "another change\n");
    refused(
        &shop,
        from(&shop, ["amd64.json", "arm64.json"]).run(),
        &[
            "parts/amd64.json was built from a working tree with changes, and service `api` is not the same here",
        ],
    );
    // So has one of the machines that build.
    job(&shop, "arm64", &["--platform", "linux/arm64"])
        .run()
        .exits(0);
    refused(
        &shop,
        from(&shop, ["amd64.json", "arm64.json"]).run(),
        &[
            "parts/amd64.json and parts/arm64.json were not built from the same files and arguments of service `api`",
        ],
    );
    // A clean tree is what its commit says, whatever else lies about where it is published.
    std::fs::remove_file(shop.project.join("api/new")).unwrap();
    halves(&shop);
    assert_eq!(part(&shop, "amd64")["dirty"], false);
    shop.project
        .write("api/generation", "generated elsewhere\n");
    from(&shop, ["amd64.json", "arm64.json"]).run().exits(0);
}

#[test]
fn a_publish_of_parts_that_is_killed_is_finished_or_taken_back() {
    let shop = shop();
    shop.castoff(["publish"]).run().exits(0);
    let old = shop.world();
    shop.turn_to(2);
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}");
        job(&shop, architecture, &["--platform", &platform])
            .env("VERSION", "2")
            .run()
            .exits(0);
    }
    let base = shop.snapshot();
    shop.script.clear();
    let publish = || from(&shop, ["amd64.json", "arm64.json"]).env("VERSION", "2");
    publish().run().exits(0);
    let new = shop.world();
    let requests = shop.script.log().len();
    assert!(requests > 100, "{requests}");
    let mut endings = [0; 3];
    for index in (1..=requests).step_by(9) {
        shop.restore(&base);
        let fault = if index % 2 == 0 {
            Fault::Hang
        } else {
            Fault::HangAfter
        };
        shop.script.on(When::request(index), fault);
        let started = publish().start();
        while !started.is_over() && !shop.script.wait_fired(1, Duration::from_millis(20)) {}
        if !started.is_over() {
            started.signal("KILL");
        }
        started.wait();
        let world = shop.world();
        endings[if world == old {
            0
        } else if world == new {
            2
        } else {
            1
        }] += 1;
        let after = shop.snapshot();
        shop.script.clear();
        let status = shop.project.castoff(["status", "--format", "json"]);
        let status = status.run().exits(0).json();
        let open = &status["interrupted"]["tags"];
        let is_open = open.as_array().is_some_and(|tags| !tags.is_empty());
        assert!(is_open || world == old || world == new, "request {index}");
        publish().args(["--resume"]).run().exits(0);
        assert_eq!(shop.world(), new, "request {index}: resumed");
        shop.restore(&after);
        if is_open {
            shop.project.castoff(["rollback"]).run().exits(0);
            assert_eq!(shop.world(), old, "request {index}: taken back");
        }
    }
    println!("{requests} requests: {endings:?} old, mixed, new");
    assert!(endings.iter().all(|count| *count > 0), "{endings:?}");
}

#[test]
fn no_fault_at_a_publish_of_parts_leaves_a_mixed_world_without_a_word() {
    let shop = shop();
    shop.castoff(["publish"]).run().exits(0);
    let old = shop.world();
    shop.turn_to(2);
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}");
        job(&shop, architecture, &["--platform", &platform])
            .env("VERSION", "2")
            .run()
            .exits(0);
    }
    let base = shop.snapshot();
    shop.script.clear();
    let publish = || from(&shop, ["amd64.json", "arm64.json"]).env("VERSION", "2");
    publish().run().exits(0);
    let new = shop.world();
    let requests = shop.script.log().len();
    let kinds = [
        (Fault::status(403), Reach::Same),
        (Fault::WrongBody, Reach::Once),
        (Fault::WrongDigest, Reach::Same),
        (Fault::Truncate(1), Reach::Once),
        (Fault::status(503), Reach::Once),
    ];
    let mut exits: std::collections::BTreeMap<i32, usize> = std::collections::BTreeMap::new();
    for (turn, index) in (1..=requests).step_by(13).enumerate() {
        shop.restore(&base);
        let (fault, reach) = kinds[turn % kinds.len()].clone();
        shop.script.on_request(index, fault.clone(), reach);
        let ran = publish().args(["--patience", "0.6"]).run();
        let code = ran.code.unwrap();
        *exits.entry(code).or_default() += 1;
        let world = shop.world();
        shop.script.clear();
        let said = format!("request {index}, {fault:?}: {}", ran.stderr);
        match code {
            0 | 7 => assert_eq!(world, new, "{said}"),
            3 | 5 => assert_eq!(world, old, "{said}"),
            6 => assert!(
                world == old || world == new || ran.stderr.contains("castoff status"),
                "{said}"
            ),
            _ => panic!("{said}"),
        }
        publish().args(["--resume"]).run().exits(0);
        assert_eq!(shop.world(), new, "{said}");
    }
    println!("{requests} requests: {exits:?}");
    assert!(exits.len() >= 3, "{exits:?}");
}

#[test]
fn a_registry_that_is_not_required_and_lacks_a_part_gets_the_whole_image() {
    let shop = shop_with(&[1]);
    let host = shop.registries[1].host().to_owned();
    let upload = When::is("PUT", "/manifests/").at(&host);
    shop.script.on(upload, Fault::status(403));
    let amd64 = ["--platform", "linux/amd64"];
    job(&shop, "amd64", &amd64).run().exits(0);
    shop.script.clear();
    job(&shop, "arm64", &["--platform", "linux/arm64"])
        .run()
        .exits(0);
    let missing = part(&shop, "amd64")["services"][0]["missing"].clone();
    assert_eq!(missing, json!([format!("{host}/api")]));
    let ran = from(&shop, ["amd64.json", "arm64.json"]).run().exits(0);
    assert_eq!(shop.world().len(), 18, "{}", ran.stderr);
    for service in SERVICES {
        assert!(shop.registries[1].is_whole(service, "latest"));
    }
}

#[test]
fn status_names_the_files_of_a_publish_of_parts() {
    let shop = shop();
    halves(&shop);
    shop.script
        .on(When::is("PUT", "/manifests/latest").times(1), Fault::Hang);
    let started = from(&shop, ["amd64.json", "arm64.json"]).start();
    assert!(shop.script.wait_fired(1, Duration::from_secs(20)));
    started.signal("KILL");
    started.wait();
    shop.script.clear();
    let status = shop
        .castoff(["status", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let next = &status["interrupted"]["next"];
    assert_eq!(
        *next,
        json!([
            "castoff publish --resume --from parts/amd64.json parts/arm64.json",
            "castoff rollback"
        ])
    );
    // That is what it takes, and a machine without the files finishes it as well, as they were built
    // from a commit that it has.
    let before = shop.snapshot();
    let words = next[0].as_str().unwrap().split(' ').skip(1);
    shop.project.castoff([]).args(words).run().exits(0);
    let world = shop.world();
    assert_eq!(world.len(), 18);
    shop.restore(&before);
    let solves = shop.builder.solves();
    shop.castoff(["publish", "--resume"]).run().exits(0);
    assert_eq!(shop.world(), world);
    assert_eq!(shop.builder.solves(), solves);
}
