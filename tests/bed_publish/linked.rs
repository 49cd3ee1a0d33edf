//! Services that build on others: what is built once is in all of them.

use crate::support::bed::Bed;
use crate::support::project::Project;

/// A base that differs each time it is built, and two services on it.
pub(crate) fn family(host: &str, prefix: &str, platforms: &str) -> Project {
    let base = Bed::base();
    let name = Bed::unique("family");
    Project::new()
        .file(
            "compose.yaml",
            &format!(
                r#"name: {name}
services:
  base:
    build:
      context: base
      no_cache: true
      args: {{ BASE: "{base}" }}
  web:
    build:
      context: web
      additional_contexts: {{ parent: "service:base" }}
  api:
    build:
      context: api
      additional_contexts: {{ parent: "service:base", again: "service:web" }}
"#
            ),
        )
        .file(
            "base/Dockerfile",
            "ARG BASE\nFROM $BASE\nARG TARGETARCH\nENV FAMILY=castoff\nCOPY seed /seed\nRUN cat /proc/sys/kernel/random/uuid > /id; echo $TARGETARCH > /arch\n",
        )
        .file("base/seed", prefix)
        .file("web/Dockerfile", "FROM parent\nCOPY file /web\nRUN cp /id /id-of-web\n")
        .file("web/file", prefix)
        .file(
            "api/Dockerfile",
            "FROM parent\nCOPY --from=again /web /id-of-web /of-web/\nRUN test \"$FAMILY\" = castoff && cmp /id /of-web/id-of-web && echo ok > /same\n",
        )
        .file(
            "publish.toml",
            &format!(
                "[registries.a]\nrepository = \"{host}/{prefix}/{{{{service}}}}\"\n[tags]\nrules = [\"type=raw,value=latest\"]\n[build]\nplatforms = [{platforms}]\n"
            ),
        )
}

/// The layers of an image for one platform.
pub(crate) fn layers(reference: &str, platform: &str) -> Vec<String> {
    let text = Bed::output("crane", &["config", "--platform", platform, reference]);
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    // An image without layers says null.
    let layers = config["rootfs"]["diff_ids"].as_array();
    let layers = layers.into_iter().flatten();
    layers.map(ToString::to_string).collect()
}

#[test]
fn a_service_that_others_build_on_is_built_once_for_all_platforms() {
    let host = Bed::registry();
    let prefix = Bed::unique("linked");
    let platforms = ["linux/amd64", "linux/arm64"];
    let project = family(&host, &prefix, "\"linux/amd64\", \"linux/arm64\"");
    // With one build at a time, too, nobody waits for ever.
    for jobs in ["16", "1"] {
        project
            .castoff(["publish", "-j", jobs])
            .envs(Bed::environment())
            .run()
            .exits(0);
        let of = |service: &str, platform| layers(&format!("{host}/{prefix}/{service}"), platform);
        for platform in platforms {
            let base = of("base", platform);
            let web = of("web", platform);
            let api = of("api", platform);
            assert_eq!(base[..], web[..base.len()], "{platform}, {jobs} jobs");
            assert_eq!(base[..], api[..base.len()], "{platform}, {jobs} jobs");
            assert_eq!(web.len(), base.len() + 2);
            assert_eq!(api.len(), base.len() + 2);
        }
        assert_ne!(of("base", platforms[0]), of("base", platforms[1]));
    }
}

#[test]
fn what_is_built_on_begins_with_the_base_image_that_was_looked_at() {
    let host = Bed::registry();
    let prefix = Bed::unique("linked");
    let project = family(&host, &prefix, "\"linux/amd64\"");
    let base = format!("{host}/{prefix}/moving:1");
    Bed::output("crane", &["copy", "--insecure", &Bed::base(), &base]);
    // One build at a time, and the first takes long enough for the tag to move before the next begins.
    let compose = std::fs::read_to_string(project.join("compose.yaml")).unwrap();
    // What is always built is not looked at.
    let compose = compose.replace("      no_cache: true\n", "");
    let compose = compose.replace(&Bed::base(), &base).replace(
        "services:\n",
        &format!(
            "services:\n  a-first:\n    build: {{context: first, args: {{BASE: \"{}\"}}}}\n",
            Bed::base()
        ),
    );
    project.write("compose.yaml", &compose);
    let slow = format!("ARG BASE\nFROM $BASE\nRUN sleep 6; : {prefix}\n");
    project.write("first/Dockerfile", &slow);
    let publish = project
        .castoff(["publish", "-j", "1", "--events", "events"])
        .envs(Bed::environment())
        .start();
    let is_building = || {
        let events = std::fs::read_to_string(project.join("events")).unwrap_or_default();
        events.contains("\"type\":\"build_started\",\"service\":\"a-first\"")
    };
    let begun = std::time::Instant::now();
    while !is_building() {
        assert!(begun.elapsed().as_secs() < 60, "no build begins");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let moved = Bed::var("BED_BASE_APP");
    Bed::output("crane", &["copy", "--insecure", &moved, &base]);
    let events = std::fs::read_to_string(project.join("events")).unwrap();
    assert!(!events.contains("\"service\":\"base\",\"builder\""));
    let ran = publish.wait().exits(0);
    let looked_at = layers(&Bed::base(), "linux/amd64");
    let own = layers(&format!("{host}/{prefix}/base"), "linux/amd64");
    let begins = own.get(..looked_at.len());
    assert_eq!(begins, Some(&looked_at[..]), "{}", ran.stderr);
    // Two steps of its own, and none of the image that it would be now.
    assert_eq!(own.len(), looked_at.len() + 2, "{}", ran.stderr);
    for service in ["web", "api"] {
        let found = layers(&format!("{host}/{prefix}/{service}"), "linux/amd64");
        assert_eq!(found.get(..own.len()), Some(&own[..]), "{service}");
    }
}

#[test]
fn what_is_only_built_on_is_not_published() {
    let host = Bed::registry();
    let prefix = Bed::unique("linked");
    let project = family(&host, &prefix, "\"linux/amd64\"");
    project
        .castoff(["publish", "web"])
        .envs(Bed::environment())
        .run()
        .exits(0);
    assert!(Bed::digest(&format!("{host}/{prefix}/web:latest")).is_some());
    assert!(Bed::tags(&format!("{host}/{prefix}/base")).is_empty());
    assert!(Bed::tags(&format!("{host}/{prefix}/api")).is_empty());
}

#[test]
fn a_service_loads_into_the_engine_together_with_what_it_builds_on() {
    let project = family("localhost:1", "unused", "\"linux/amd64\"");
    let name = Bed::unique("linked-api");
    let compose = std::fs::read_to_string(project.join("compose.yaml")).unwrap();
    project.write(
        "compose.yaml",
        &compose.replace("  api:\n", &format!("  api:\n    image: {name}\n")),
    );
    let ran = project
        .castoff(["build", "api"])
        .envs(Bed::environment())
        .run()
        .exits(0);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    let same = Bed::output(
        "docker",
        &["run", "--rm", "--network", "none", &name, "cat", "/same"],
    );
    Bed::output("docker", &["image", "rm", "-f", &name]);
    assert_eq!(same, "ok");
}

#[test]
fn when_a_base_fails_nothing_that_builds_on_it_is_begun() {
    let host = Bed::registry();
    let prefix = Bed::unique("linked");
    let project = family(&host, &prefix, "\"linux/amd64\"");
    project.write("base/Dockerfile", "ARG BASE\nFROM $BASE\nRUN exit 7\n");
    let ran = project
        .castoff(["publish", "--progress", "json"])
        .envs(Bed::environment())
        .run()
        .exits(4);
    assert!(
        ran.stderr.contains("\"service\":\"base\""),
        "{}",
        ran.stderr
    );
    assert!(
        !ran.stderr
            .contains("\"type\":\"build_started\",\"service\":\"web\""),
        "{}",
        ran.stderr
    );
    assert!(Bed::tags(&format!("{host}/{prefix}/web")).is_empty());
}

#[test]
fn strict_holds_for_what_others_build_on_and_for_what_builds_on_others() {
    let host = Bed::registry();
    let prefix = Bed::unique("strict");
    let project = family(&host, &prefix, "");
    // An argument for a base image is a remark of its own.
    for file in ["compose.yaml", "base/Dockerfile"] {
        let text = std::fs::read_to_string(project.join(file)).unwrap();
        let args = format!("      args: {{ BASE: \"{}\" }}\n", Bed::base());
        let text = text
            .replace(&args, "")
            .replace("ARG BASE\nFROM $BASE", &format!("FROM {}", Bed::base()));
        project.write(file, &text);
    }
    let publish = |arguments: &[&str]| {
        let castoff = project.castoff(["publish", "--strict"]).args(arguments);
        let state = project.join(".state").display().to_string();
        castoff
            .envs(Bed::environment())
            .env("CASTOFF_STATE", state)
            .run()
    };
    let tags = || {
        let services = ["base", "web", "api"].iter();
        let tags = services.flat_map(|service| Bed::tags(&format!("{host}/{prefix}/{service}")));
        // A record of the release is no tag of anybody's.
        tags.filter(|tag| tag == "latest").collect::<Vec<_>>()
    };
    // With the first, everything is built for the first time; after it, it comes out of the cache.
    for service in ["base", "web", "base"] {
        let file = format!("{service}/Dockerfile");
        let clean = std::fs::read_to_string(project.join(&file)).unwrap();
        project.write(&file, &format!("{clean}CMD echo hello\n"));
        for arguments in [&[][..], &["web"]] {
            let ran = publish(arguments).exits(4);
            let says = format!(
                "error: build `{service}`\n  caused by: its Dockerfile is remarked on once, and --strict is in force"
            );
            assert!(ran.stderr.contains(&says), "{}", ran.stderr);
            let line = format!("warning: `{service}`: JSONArgsRecommended");
            assert!(ran.stderr.contains(&line), "{}", ran.stderr);
            // The others were stopped, and are no failures of their own.
            assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
            assert_eq!(tags(), Vec::<String>::new());
        }
        project.write(&file, &clean);
    }
    publish(&[]).exits(0);
    assert_eq!(tags(), ["latest", "latest", "latest"]);
}

#[test]
fn what_is_built_on_may_be_nothing_but_a_configuration() {
    let host = Bed::registry();
    for platforms in ["\"linux/amd64\"", "\"linux/amd64\", \"linux/arm64\""] {
        let prefix = Bed::unique("bare");
        let project = family(&host, &prefix, platforms);
        project.write("base/Dockerfile", "FROM scratch\nENV FAMILY=castoff\n");
        project.write("web/Dockerfile", "FROM parent\nCOPY file /web\n");
        project.write(
            "api/Dockerfile",
            "FROM parent\nCOPY --from=again /web /of-web\n",
        );
        project
            .castoff(["publish"])
            .envs(Bed::environment())
            .run()
            .exits(0);
        for service in ["base", "web", "api"] {
            let reference = format!("{host}/{prefix}/{service}");
            let text = Bed::output(
                "crane",
                &["config", "--platform", "linux/amd64", &reference],
            );
            let config: serde_json::Value = serde_json::from_str(&text).unwrap();
            let variables = config["config"]["Env"].as_array().unwrap();
            assert!(
                variables.iter().any(|one| one == "FAMILY=castoff"),
                "{text}"
            );
            let expected = usize::from(service != "base");
            assert_eq!(layers(&reference, "linux/amd64").len(), expected);
        }
    }
}
