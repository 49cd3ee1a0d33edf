//! `builder = "auto"`: who builds what the Engine in use cannot, and why.

use crate::Shop;
use crate::support::bed::Bed;
use crate::support::buildkit::FakeBuildKit;
use crate::support::forward::{Behind, Door};
use crate::support::program::Castoff;
use crate::ways::{docker, docker_config, program};

/// A run with the builders that [`create`] made.
fn castoff<const N: usize>(shop: &Shop, arguments: [&str; N]) -> Castoff {
    let folder = shop.project.join(".home/docker/buildx");
    let castoff = shop.castoff(arguments);
    castoff.env("BUILDX_CONFIG", folder.display().to_string())
}

/// Makes a builder of the driver `remote`.
fn create(shop: &Shop, name: &str, extra: &[&str], address: &str) {
    let create = ["buildx", "create", "--name", name, "--driver", "remote"];
    docker(shop, &[&create[..], extra, &[address]].concat());
}

/// `docker`, as far as builders are listed and dialled. Who is dialled is noted; a node for one
/// platform is called `NAME-ARCHITECTURE`.
const DOCKER: &str = r#"
if [ "$2" = ls ]; then exec cat "$FARMS/list"; fi
name=$4
if [ -e "$FARMS/$4-${6##*/}" ]; then name=$4-${6##*/}; fi
echo "$name" >> "$FARMS/dialled"
exec socat - "UNIX-CONNECT:$FARMS/$name""#;

/// Builders of buildx's which are there by their word alone.
struct Farms<'a> {
    shop: &'a Shop,
    folder: std::path::PathBuf,
    list: String,
}

impl<'a> Farms<'a> {
    fn of(shop: &'a Shop) -> Self {
        let folder = shop.project.join(".home/farms");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(shop.project.join(".home/docker/buildx/instances")).unwrap();
        Self {
            shop,
            folder,
            list: String::new(),
        }
    }

    /// Adds a builder. Its nodes are called by their architectures, where it has several.
    fn add(&mut self, name: &str, nodes: &[&FakeBuildKit], state: &str) {
        let node = |number| serde_json::json!({"Name": format!("{name}{number}"), "Endpoint": "tcp://far"});
        let nodes_json: Vec<_> = (0..nodes.len().max(1)).map(node).collect();
        let stored =
            serde_json::json!({"Name": name, "Driver": "docker-container", "Nodes": nodes_json});
        let file = format!(".home/docker/buildx/instances/{name}");
        self.shop.project.write(&file, &stored.to_string());
        let listed = serde_json::json!({"Name": name, "Nodes": [{"Status": state, "Err": if state == "error" { "it is gone" } else { "" }}]});
        self.list = format!("{}{listed}\n", self.list);
        std::fs::write(self.folder.join("list"), &self.list).unwrap();
        for (number, node) in nodes.iter().enumerate() {
            let socket = node.address();
            let socket = socket.strip_prefix("unix://").unwrap();
            let own = format!("{name}-{}", node.own());
            std::os::unix::fs::symlink(socket, self.folder.join(own)).unwrap();
            if number == 0 {
                std::os::unix::fs::symlink(socket, self.folder.join(name)).unwrap();
            }
        }
    }

    fn castoff<const N: usize>(&self, arguments: [&str; N]) -> Castoff {
        castoff(self.shop, arguments)
            .env("PATH", program(self.shop, "docker", DOCKER))
            .env("FARMS", self.folder.display().to_string())
    }

    /// Who was dialled so far.
    fn dialled(&self) -> String {
        std::fs::read_to_string(self.folder.join("dialled")).unwrap_or_default()
    }
}

/// Has the compose file ask for platforms.
fn ask(shop: &Shop, service: &str, platforms: &str) {
    let file = shop.project.join("compose.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let context = format!("      context: {service}\n");
    let text = text.replace(
        &context,
        &format!("{context}      platforms: [{platforms}]\n"),
    );
    std::fs::write(file, text).unwrap();
}

#[test]
fn who_can_do_everything_is_not_compared_with_anybody() {
    let shop = Shop::of(&["web", "api"]);
    docker_config(&shop);
    let door = Door::socket(Behind::BuildKit);
    create(&shop, "farm", &[], &door.address);
    ask(&shop, "web", "linux/amd64, linux/arm64");
    let before = door.opened();
    let plan = castoff(&shop, ["plan", "--format", "json"])
        .run()
        .exits(0)
        .json();
    for target in plan["targets"].as_array().unwrap() {
        assert_eq!(target["builder"], "engine");
        assert_eq!(target["builder_because"], "the default");
    }
    let ran = castoff(&shop, ["publish"]).run().exits(0);
    assert!(
        ran.stderr.contains("web      building with engine\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(door.opened(), before, "another builder was asked");
}

#[test]
fn a_platform_that_another_builder_has_is_built_there() {
    let shop = Shop::of(&["web", "api"]);
    let mut farms = Farms::of(&shop);
    let emulating = FakeBuildKit::of(&[], "emulating", &["amd64", "s390x"]);
    let native = FakeBuildKit::of(&[], "native", &["s390x", "amd64"]);
    farms.add("a-emulating", &[&emulating], "running");
    farms.add("asleep", &[&native], "inactive");
    farms.add("native", &[&native], "running");
    ask(&shop, "web", "linux/s390x");
    let because = "engine cannot build for linux/s390x; native does natively";

    let plan = farms
        .castoff(["plan", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let targets = plan["targets"].as_array().unwrap();
    assert_eq!(targets[0]["builder"], "engine", "api can stay");
    assert_eq!(targets[1]["builder"], "native");
    assert_eq!(targets[1]["builder_because"], because);
    let text = farms.castoff(["plan"]).run().exits(0).stdout;
    let row = text.lines().find(|line| line.contains(because)).unwrap();
    assert!(row.trim_start().starts_with("web      native"), "{text}");
    let text = farms
        .castoff(["plan", "--format", "markdown"])
        .run()
        .exits(0)
        .stdout;
    assert!(
        text.contains(&format!("web is built by native: {because}\n")),
        "{text}"
    );

    let ran = farms
        .castoff(["check", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let builders = ran["builders"].as_array().unwrap();
    let row = builders.iter().find(|one| one["name"] == "native").unwrap();
    assert_eq!(row["services"], serde_json::json!(["web"]));
    assert_eq!(row["because"]["web"], because);
    assert_eq!(row["native"], serde_json::json!(["linux/s390x"]));
    assert_eq!(row["emulated"], serde_json::json!(["linux/amd64"]));

    let dialled = farms.dialled();
    assert!(!dialled.contains("asleep"), "{dialled}");
    // Who is named is not replaced, and a plan that may ask nobody does not.
    for (flag, variable) in [("auto", "default"), ("engine", ""), ("default", "")] {
        let ran = farms.castoff(["publish", "--builder", flag]);
        let ran = ran.env("BUILDX_BUILDER", variable).run().exits(3);
        let says = "engine cannot build for linux/s390x";
        assert!(ran.stderr.contains(says), "{flag}: {}", ran.stderr);
    }
    let offline = farms.castoff(["plan", "--offline", "--format", "json"]);
    let plan = offline
        .env("DOCKER_HOST", "unix:///nonexistent")
        .run()
        .exits(0)
        .json();
    let said = plan["targets"][1]["builder_because"].as_str().unwrap();
    assert_eq!(said, "the default; no builder was asked");
    assert_eq!(farms.dialled(), dialled);
}

#[test]
fn the_classic_store_hands_on_what_it_cannot_do() {
    let shop = Shop::of(&["base", "web"]);
    docker_config(&shop);
    let door = Door::socket(Behind::BuildKit);
    create(&shop, "farm", &[], &door.address);
    // What builds on each other is built in one place, so both go.
    shop.project
        .write("web/Dockerfile", "FROM parent\nCOPY file /other\n");
    ask(&shop, "base", "linux/amd64, linux/arm64");
    ask(&shop, "web", "linux/amd64, linux/arm64");
    let file = shop.project.join("compose.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let context = "      context: web\n";
    let linked = format!("{context}      additional_contexts: {{ parent: \"service:base\" }}\n");
    std::fs::write(file, text.replace(context, &linked)).unwrap();
    let classic = Bed::var("BED_CLASSIC");
    let because = "engine cannot hold an image of several platforms";
    let ran = castoff(&shop, ["publish", "--format", "json"])
        .env("DOCKER_HOST", &classic)
        .run()
        .exits(0);
    for service in ["base", "web"] {
        let says = ran.stderr.lines().any(|line| {
            line.contains(&format!("{service} "))
                && line.contains("building with farm: ")
                && line.contains(because)
        });
        assert!(says, "{}", ran.stderr);
    }
    let release = ran.json();
    let digest = release["images"][1]["digest"].as_str().unwrap();
    for host in [Bed::registry(), Bed::other_registry()] {
        assert_eq!(shop.latest(&host, "web").as_deref(), Some(digest), "{host}");
    }
}

#[test]
fn what_nobody_can_build_is_said_before_anything_begins() {
    let shop = Shop::of(&["web", "api"]);
    let mut farms = Farms::of(&shop);
    let far = FakeBuildKit::of(&[], "far", &["arm64"]);
    farms.add("farm", &[&far], "running");
    farms.add("gone", &[], "error");
    ask(&shop, "web", "linux/amd64, linux/riscv64");
    let ran = farms.castoff(["publish"]).run().exits(3);
    for says in [
        "no builder can do what `web` asks: engine cannot build for linux/riscv64; farm cannot build for linux/amd64, linux/riscv64; gone does not answer: it is gone",
        "docker buildx create --name castoff --driver docker-container --platform linux/riscv64 --bootstrap",
        "tonistiigi/binfmt --install riscv64",
    ] {
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("building"), "{}", ran.stderr);
    assert_eq!(shop.latest(&Bed::registry(), "api"), None);
    // A plan says so, too, and is a plan all the same.
    let ran = farms.castoff(["plan"]).run().exits(0);
    let says = "no builder can do what `web` asks";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
}

#[test]
fn the_build_caches_of_all_nodes_are_pruned() {
    let shop = Shop::of(&["web"]);
    let mut farms = Farms::of(&shop);
    let amd64 = FakeBuildKit::of(&[], "one", &["amd64"]);
    let arm64 = FakeBuildKit::of(&[], "two", &["arm64"]);
    farms.add("farm", &[&amd64, &arm64], "running");
    let prune = |arguments: &[&str], farm: &str| {
        let policy = "prune.local.build_cache={ keep = \"0\" }";
        let castoff = farms.castoff(["prune", "local", "--set", policy, "--builder", farm]);
        castoff.args(arguments).run().exits(0)
    };
    let rows = prune(&["--format", "json"], "farm").json();
    let rows = rows.as_array().unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        ["1 records in node 1 of 2", "1 records in node 2 of 2"]
    );
    assert_eq!((amd64.prunes(), arm64.prunes()), (0, 0));
    let ran = prune(&["--apply"], "farm");
    assert_eq!((amd64.prunes(), arm64.prunes()), (1, 1));
    assert_eq!(ran.stderr, "");
    // Those that cannot be told apart are not taken for all.
    let third = FakeBuildKit::of(&[], "three", &["riscv64"]);
    let mut farms = Farms::of(&shop);
    farms.add("twin", &[&amd64, &third], "running");
    let castoff = farms.castoff(["prune", "local", "--builder", "twin"]);
    let policy = "prune.local.build_cache={ keep = \"0\" }";
    let ran = castoff.args(["--set", policy]).run().exits(0);
    let says = "docker buildx prune --builder twin";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
}
