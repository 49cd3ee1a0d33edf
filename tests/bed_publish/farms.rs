//! Builders of several nodes: what the nodes share, and what they hand on. Both nodes lead to the bed's
//! Engine, and are taken for two as they were declared for a platform each.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::caches::{forget, with_cache};
use crate::linked::{family, layers};
use crate::support::bed::Bed;
use crate::support::forward::{Behind, Door};
use crate::support::program::Castoff;
use crate::support::project::Project;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// A builder with a node for each platform, open as long as this is held.
struct Farm {
    name: String,
    config: String,
    nodes: Vec<Door>,
}

impl Farm {
    fn of(project: &Project) -> Self {
        let folder = project.join(".home/docker");
        std::fs::create_dir_all(&folder).unwrap();
        let plugins = format!("{}/cli-plugins", Bed::var("DOCKER_CONFIG"));
        std::os::unix::fs::symlink(plugins, folder.join("cli-plugins")).unwrap();
        let farm = Self {
            name: Bed::unique("farm"),
            config: folder.display().to_string(),
            nodes: PLATFORMS
                .map(|_| Door::socket(Behind::BuildKit))
                .into_iter()
                .collect(),
        };
        for (number, platform) in PLATFORMS.iter().enumerate() {
            let mut create = std::process::Command::new("docker");
            create.args([
                "buildx", "create", "--name", &farm.name, "--driver", "remote",
            ]);
            create.args(["--platform", platform, "--node", &format!("node{number}")]);
            create.args((number > 0).then_some("--append"));
            let output = create
                .arg(&farm.nodes[number].address)
                .env("DOCKER_CONFIG", &farm.config)
                .env_remove("DOCKER_HOST")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
        }
        farm
    }

    /// A run that builds there.
    fn with(&self, castoff: Castoff) -> Castoff {
        let castoff = castoff
            .env("DOCKER_CONFIG", &self.config)
            .args(["--builder", &self.name]);
        castoff.args(["--set", &format!("build.platforms={}", PLATFORMS.join(","))])
    }
}

/// The layers of the image for each platform, by their digests.
fn images(reference: &str) -> Vec<Vec<String>> {
    let digest = |platform: &str| {
        let arguments = ["manifest", "--insecure", "--platform", platform, reference];
        let manifest: Value = serde_json::from_str(&Bed::output("crane", &arguments)).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers
            .map(|layer| layer["digest"].as_str().unwrap().to_owned())
            .collect()
    };
    PLATFORMS.map(digest).into()
}

#[test]
fn each_node_has_a_cache_of_its_own_and_reads_those_of_all() {
    let shop = with_cache("\"registry\"");
    let farm = Farm::of(&shop.project);
    let reference = format!("{}:latest", shop.repository(&Bed::registry(), "api"));
    let publish = || {
        let castoff = farm.with(shop.castoff(["publish", "--rebuild"]));
        castoff.run().exits(0);
        images(&reference)
    };
    let first = publish();
    let tags: BTreeSet<String> = Bed::tags(&shop.repository(&Bed::registry(), "api"))
        .into_iter()
        .filter(|tag| tag.starts_with("buildcache"))
        .collect();
    let expected = ["buildcache-linux-amd64", "buildcache-linux-arm64"];
    assert_eq!(tags, expected.map(str::to_owned).into());
    // The step writes something random: equal layers came out of a cache, and it is not the builder's.
    forget(&shop);
    assert_eq!(publish(), first);
}

#[test]
fn services_build_on_each_other_on_every_node() {
    let (host, prefix) = (Bed::registry(), Bed::unique("linked"));
    let project = family(&host, &prefix, "\"linux/amd64\", \"linux/arm64\"");
    let farm = Farm::of(&project);
    // With one build at a time, too, nobody waits for ever.
    for jobs in ["16", "1"] {
        let castoff = project.castoff(["publish", "-j", jobs]);
        let castoff = castoff.envs(Bed::environment());
        farm.with(castoff).run().exits(0);
        assert!(farm.nodes.iter().all(|node| node.opened() > 0));
        for platform in PLATFORMS {
            let of = |service: &str| layers(&format!("{host}/{prefix}/{service}"), platform);
            let (base, web, api) = (of("base"), of("web"), of("api"));
            assert_eq!(base[..], web[..base.len()], "{platform}, {jobs} jobs");
            assert_eq!(base[..], api[..base.len()], "{platform}, {jobs} jobs");
        }
    }
}

#[test]
fn what_another_node_has_built_is_refused_with_a_word() {
    let (host, prefix) = (Bed::registry(), Bed::unique("linked"));
    let project = family(&host, &prefix, "\"linux/amd64\"");
    let compose = std::fs::read_to_string(project.join("compose.yaml")).unwrap();
    let compose = compose.replace(", again: \"service:web\"", "");
    project.write("compose.yaml", &compose);
    project.write("api/Dockerfile", "FROM parent\nCOPY file /api\n");
    let publish = std::fs::read_to_string(project.join("publish.toml")).unwrap();
    // The base is built wherever buildx leads to, and the others on the node for theirs.
    let publish = publish.replace("[build]\nplatforms = [\"linux/amd64\"]\n", "");
    let services = "[services.web]\nplatforms = [\"linux/amd64\"]\n[services.api]\nplatforms = [\"linux/arm64\"]\n";
    project.write("publish.toml", &format!("{publish}{services}"));
    let farm = Farm::of(&project);
    let castoff = project.castoff(["publish"]).envs(Bed::environment());
    let castoff = castoff
        .env("DOCKER_CONFIG", &farm.config)
        .args(["--builder", &farm.name]);
    let ran = castoff.run().exits(3);
    let says = "cannot hand service `base` to the node that builds `web`";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    let hint = "hint: give `base` the platforms of the services that build on it";
    assert!(ran.stderr.contains(hint), "{}", ran.stderr);
}
