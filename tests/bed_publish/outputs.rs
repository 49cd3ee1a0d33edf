//! `castoff build --output`: the same as `docker buildx build --output` writes of the same thing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use castoff::oci::Digest;

use crate::Shop;
use crate::cancel::{runs, wait_until};
use crate::support::bed::Bed;
use crate::support::forward::{Behind, Door};

/// A result with much of what a file system can hold.
const ODD: &str = "\
ARG BASE
FROM $BASE
COPY file /file
RUN mkdir -p /odd/deep/er && cd /odd && echo a > a && ln a b && ln -s ../../etc/passwd up && ln -s /file abs \\
 && mkfifo pipe && echo x > 'ü leer' && chmod 4755 a && touch -d '2001-02-03 04:05:06' deep/er && chmod 555 deep && : > empty \\
 && dd if=/dev/zero of=large bs=1M count=5 2>/dev/null && mknod null c 1 3 && ln -s gone dangling
";

fn odd(services: &[&str]) -> Shop {
    let shop = Shop::of(services);
    for service in services {
        shop.project.write(&format!("{service}/Dockerfile"), ODD);
    }
    shop
}

/// What `docker buildx build` writes.
fn buildx(shop: &Shop, output: &str, extra: &[&str]) {
    let base = format!("BASE={}", Bed::base());
    let context = shop.project.join("web").display().to_string();
    let words = [
        "buildx",
        "build",
        "-q",
        "--builder",
        "default",
        "--build-arg",
        &base,
        "--output",
        output,
    ];
    Bed::output(
        "docker",
        &[&words[..], extra, &["--provenance=false", &context]].concat(),
    );
}

/// Everything in a folder: what it is, and what is in it.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let known = std::fs::symlink_metadata(&path).unwrap();
            let content = if known.is_symlink() {
                std::fs::read_link(&path).unwrap().display().to_string()
            } else if known.is_file() {
                Digest::of(&std::fs::read(&path).unwrap()).to_string()
            } else {
                known.rdev().to_string()
            };
            if known.is_dir() {
                open.push(path.clone());
            }
            // How often a name is shared, and not by whom.
            let links = if known.is_file() { known.nlink() } else { 1 };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let said = format!(
                "{:o} {}.{} {links} {content}",
                known.mode(),
                known.mtime(),
                known.mtime_nsec()
            );
            found.insert(name, said);
        }
    }
    found
}

/// Everything in an archive.
fn archive(path: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let header = entry.header().clone();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let said = format!(
            "{:?} {:o} {} {:?} {}",
            header.entry_type(),
            header.mode().unwrap(),
            header.mtime().unwrap(),
            entry.link_name().unwrap(),
            Digest::of(&content)
        );
        found.insert(name, said);
    }
    found
}

#[track_caller]
fn equal(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) {
    assert!(!ours.is_empty());
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        assert_eq!(ours.get(name), theirs.get(name), "{name}");
    }
}

/// No trace of what was not finished.
#[track_caller]
fn is_clean(folder: &Path) {
    let found = Bed::output(
        "find",
        &[&folder.display().to_string(), "-name", ".castoff-*"],
    );
    assert_eq!(found, "");
}

#[test]
fn a_folder_is_what_buildx_writes_from_every_builder() {
    let shop = odd(&["web", "api"]);
    let door = Door::socket(Behind::BuildKit);
    let theirs = shop.project.join(".home/theirs");
    let output = format!("type=local,dest={}", theirs.display());
    for builder in ["engine", &door.address] {
        let ran = shop
            .castoff([
                "build",
                "-o",
                ".home/ours/{{service}}",
                "--builder",
                builder,
            ])
            .run()
            .exits(0);
        let ours = shop.project.join(".home/ours");
        assert!(
            ran.stdout
                .contains(&format!("web  files  {}", ours.join("web").display())),
            "{}",
            ran.stdout
        );
        buildx(&shop, &output, &[]);
        let web = tree(&ours.join("web"));
        assert!(web.contains_key("odd/pipe") && web.contains_key("odd/ü leer"));
        equal(&web, &tree(&theirs));
        assert!(ours.join("api/odd/null").exists());
        // Once more, over what is there: the same, and what was there besides stays.
        std::fs::write(ours.join("web/mine"), "mine").unwrap();
        shop.castoff([
            "build",
            "web",
            "-o",
            ".home/ours/{{service}}",
            "--builder",
            builder,
        ])
        .run()
        .exits(0);
        let mut again = tree(&ours.join("web"));
        assert!(again.remove("mine").is_some());
        equal(&again, &web);
        is_clean(&shop.project.join(".home"));
        std::fs::remove_dir_all(ours).unwrap();
        std::fs::remove_dir_all(&theirs).unwrap();
    }
}

#[test]
fn platforms_come_in_folders_of_their_own() {
    let shop = Shop::of(&["web"]);
    let platforms = ["--set", "build.platforms=linux/amd64,linux/arm64"];
    shop.castoff(["build", "-o", ".home/ours"])
        .args(platforms)
        .run()
        .exits(0);
    let theirs = shop.project.join(".home/theirs").display().to_string();
    buildx(&shop, &theirs, &["--platform", "linux/amd64,linux/arm64"]);
    let ours = tree(&shop.project.join(".home/ours"));
    assert!(ours.contains_key("linux_arm64/file"));
    equal(&ours, &tree(Path::new(&theirs)));
}

#[test]
fn archives_are_what_buildx_writes() {
    let shop = odd(&["web"]);
    let folder = shop.project.join(".home");
    let ours = folder.join("ours.tar");
    let theirs = folder.join("theirs.tar");
    shop.castoff(["build", "-o", "type=tar,dest=.home/ours.tar"])
        .run()
        .exits(0);
    buildx(&shop, &format!("type=tar,dest={}", theirs.display()), &[]);
    equal(&archive(&ours), &archive(&theirs));
    // Images differ in castoff's labels, and in nothing else.
    for kind in ["oci", "docker"] {
        let output = format!("type={kind},dest=.home/ours.tar");
        let built = shop
            .castoff(["build", "--format", "json", "-o", &output])
            .run()
            .exits(0)
            .json();
        assert_eq!(built[0]["output"], serde_json::json!(ours));
        buildx(
            &shop,
            &format!("type={kind},dest={}", theirs.display()),
            &["-t", "web:1"],
        );
        let (ours, theirs) = (archive(&ours), archive(&theirs));
        assert_eq!(ours.len(), theirs.len(), "{kind}");
        let common: Vec<_> = ours
            .keys()
            .filter(|name| theirs.contains_key(*name))
            .collect();
        // Manifest and configuration, and what names them.
        assert_eq!(common.len(), ours.len() - 2, "{kind}: {ours:?}");
        let digest = built[0]["digest"].as_str().unwrap();
        let blob = format!("blobs/{}", digest.replace(':', "/"));
        assert!(ours.contains_key(&blob), "{blob}: {ours:?}");
    }
    let name = Bed::unique("loaded");
    shop.castoff([
        "build",
        "-p",
        &name,
        "-o",
        "type=docker,dest=.home/ours.tar",
    ])
    .run()
    .exits(0);
    Bed::output("docker", &["load", "-q", "-i", &ours.display().to_string()]);
    let image = format!("{name}-web");
    let said = Bed::output(
        "docker",
        &["run", "--rm", "--network", "none", &image, "cat", "/file"],
    );
    assert!(said.ends_with(" web"), "{said}");
    Bed::output("docker", &["rmi", &image]);
    is_clean(&folder);
}

#[test]
fn a_layout_holds_platforms_and_attestations_and_others_read_it() {
    let shop = Shop::of(&["web"]);
    let build = || {
        let castoff = shop.castoff([
            "build",
            "--format",
            "json",
            "-o",
            "type=oci,tar=false,dest=.home/layout",
        ]);
        let settings = [
            "build.platforms=linux/amd64,linux/arm64",
            "build.provenance=max",
        ];
        castoff
            .args(settings.iter().flat_map(|value| ["--set", value]))
            .run()
            .exits(0)
            .json()
    };
    let layout = shop.project.join(".home/layout");
    let digest = |built: serde_json::Value| built[0]["digest"].as_str().unwrap().to_owned();
    let first = digest(build());
    let read = |digest: &str| -> serde_json::Value {
        let blob = layout.join("blobs").join(digest.replace(':', "/"));
        let bytes = std::fs::read(blob).unwrap();
        assert_eq!(Digest::of(&bytes).as_str(), digest);
        serde_json::from_slice(&bytes).unwrap()
    };
    let index = read(&first);
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 4);
    for manifest in manifests {
        let manifest = read(manifest["digest"].as_str().unwrap());
        for layer in manifest["layers"].as_array().unwrap() {
            let digest = layer["digest"].as_str().unwrap();
            let blob = layout.join("blobs").join(digest.replace(':', "/"));
            assert_eq!(Digest::of(&std::fs::read(blob).unwrap()).as_str(), digest);
        }
    }
    // A second image takes the name, and the index has one entry of it.
    shop.project.write("web/file", "changed");
    let second = digest(build());
    assert_ne!(first, second);
    let text = std::fs::read_to_string(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{text}");
    assert_eq!(index["manifests"][0]["digest"], second.as_str());
    // buildx takes it for a base.
    shop.project
        .write("web/Dockerfile", "FROM base\nRUN grep changed /file\n");
    let context = format!("base=oci-layout://{}", layout.display());
    buildx(&shop, "type=cacheonly", &["--build-context", &context]);
    is_clean(&layout);
    assert!(!layout.join("ingest").exists());
}

#[test]
fn what_fails_or_is_interrupted_leaves_everything_as_it_was() {
    let shop = Shop::of(&["web"]);
    let folder = shop.project.join(".home/out");
    std::fs::create_dir_all(folder.join("web")).unwrap();
    for name in ["web/mine", "web.tar"] {
        std::fs::write(folder.join(name), "mine").unwrap();
    }
    let before = tree(&folder);
    let nap = format!("sleep 7{}", std::process::id());
    for output in [
        "type=local,dest=.home/out/{{service}}",
        "type=tar,dest=.home/out/{{service}}.tar",
        "type=oci,dest=.home/out/{{service}}.tar",
        "type=oci,tar=false,dest=.home/out/new/{{service}}",
    ] {
        shop.project
            .write("web/Dockerfile", "ARG BASE\nFROM $BASE\nRUN false\n");
        shop.castoff(["build", "-o", output]).run().exits(4);
        let remarked = "ARG BASE\nFROM $BASE as small\nCOPY file /file\n";
        shop.project.write("web/Dockerfile", remarked);
        shop.castoff(["build", "--strict", "-o", output])
            .run()
            .exits(4);
        shop.project.write(
            "web/Dockerfile",
            &format!("ARG BASE\nFROM $BASE\nRUN {nap}\n"),
        );
        let started = shop.castoff(["build", "-o", output]).start();
        wait_until("the step runs", Duration::from_mins(1), || runs(&nap));
        started.signal("INT");
        started.wait().exits(130);
        let mut after = tree(&folder);
        after.remove("new");
        // The folder itself was written to.
        let times = |tree: &BTreeMap<String, String>| -> Vec<String> {
            tree.iter()
                .filter(|(name, _)| *name != "web")
                .map(|(name, said)| format!("{name} {said}"))
                .collect()
        };
        assert_eq!(times(&after), times(&before), "{output}");
        is_clean(&folder);
    }
}

#[test]
fn a_transfer_that_is_interrupted_leaves_nothing() {
    let shop = Shop::of(&["web"]);
    let large = "ARG BASE\nFROM $BASE\nRUN for n in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/large$n bs=1M count=50 2>/dev/null; done\n";
    shop.project.write("web/Dockerfile", large);
    // The step itself is done with by then.
    shop.castoff(["build", "-o", "type=tar,dest=.home/warm.tar"])
        .run()
        .exits(0);
    for output in [
        "type=local,dest=.home/out/web",
        "type=tar,dest=.home/out/web.tar",
    ] {
        let out = shop.project.join(".home/out");
        std::fs::create_dir_all(&out).unwrap();
        let began = || {
            let kilobytes = Bed::output("du", &["-sk", &out.display().to_string()]);
            let kilobytes = kilobytes
                .split_whitespace()
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap();
            kilobytes > 20_000
        };
        let started = shop.castoff(["build", "-o", output]).start();
        wait_until("something has come", Duration::from_mins(1), began);
        started.signal("INT");
        started.wait().exits(130);
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "{output}");
    }
}

#[test]
fn an_output_that_cannot_be_is_refused_before_anything_is_built() {
    let shop = Shop::of(&["web", "api"]);
    std::fs::create_dir_all(shop.project.join(".home/taken")).unwrap();
    let two = "build.platforms=linux/amd64,linux/arm64";
    for (arguments, says) in [
        (
            &["-o", "out"][..],
            "services `api` and `web` would both be written to",
        ),
        (&["-o", "type=oci,dest=a.tar"], "put {{service}} into dest"),
        (&["-o", "-"], "standard output"),
        (
            &["-o", "type=zip,dest={{service}}"],
            "none of oci, docker, tar and local",
        ),
        (
            &["-o", "type=docker,dest={{service}}.tar", "--set", two],
            "service `api` is built for 2 platforms",
        ),
        (
            &["-o", "out/{{sevrice}}"],
            "only {{service}} and {{project}} are known",
        ),
    ] {
        let ran = shop.castoff(["build"]).args(arguments).run().exits(2);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
        assert!(!ran.stderr.contains("building"), "{}", ran.stderr);
    }
    let ran = shop
        .castoff(["build", "web", "-o", "type=tar,dest=.home/taken"])
        .run()
        .exits(4);
    assert!(
        ran.stderr.contains("it is there, and no plain file"),
        "{}",
        ran.stderr
    );
    // The classic store writes files, and no archives of images.
    let classic = |output: &str| {
        let castoff = shop.castoff(["build", "web", "-o", output]);
        castoff.env("DOCKER_HOST", Bed::var("BED_CLASSIC")).run()
    };
    classic(".home/classic").exits(0);
    assert!(shop.project.join(".home/classic/file").exists());
    let ran = classic("type=oci,dest=.home/classic.tar").exits(3);
    assert!(
        ran.stderr
            .contains("engine cannot write an archive of an image"),
        "{}",
        ran.stderr
    );
}
