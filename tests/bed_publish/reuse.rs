//! Reuse, against real builds: for every change whether castoff builds, and whether that was needed.
//!
//! What is needed is found out by building anyway, into another repository, and by comparing what comes of
//! it: layers, configuration, platforms, annotations. A reuse where that differs is false, and there is
//! none. A build where nothing differs is only slow; those are listed with their reason.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::program::Castoff;
use crate::support::project::Project;

/// What is to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The image is taken as it is.
    Reuse,
    /// It is built, and comes out different.
    Build,
    /// It is built although the same comes out, for this reason.
    Needless(&'static str),
}
use Expect::{Build, Needless, Reuse};

const DOCKERFILE: &str = "\
ARG BASE
FROM $BASE AS unused
COPY file /unused
FROM $BASE AS other
COPY file /other
FROM $BASE AS final
ARG VERSION=1
ENV VERSION=$VERSION
COPY . /app/
COPY --from=extra / /extra/
RUN --mount=type=secret,id=token cp /app/file /copied
";

const COMPOSE: &str = "\
name: reused
services:
  app:
    build:
      context: app
      network: none
      target: final
      args:
        BASE: ${BASE}
        VERSION: ${VERSION:-1}
      additional_contexts:
        extra: ./extra
      secrets: [token]
secrets:
  token:
    file: ./token
";

const PUBLISH: &str = "\
[registries.a]
repository = \"${HOST}/${PLACE}/{{service}}\"
[tags]
rules = [\"type=raw,value=latest\"]
[labels]
\"com.example.commit\" = \"{{sha}}\"
";

/// The project, as it was published.
fn project() -> Project {
    let project = Project::new()
        .file("compose.yaml", COMPOSE)
        .file("publish.toml", PUBLISH)
        .file("token", "secret")
        .file("app/Dockerfile", DOCKERFILE)
        .file("app/.dockerignore", "Dockerfile*\nignored\nlogs/\n")
        .file("app/file", "content\n")
        .file("app/src/main", "main\n")
        .file("app/twin-a", "twin\n")
        .file("app/twin-b", "twin\n")
        .file("app/n\u{e4}me", "unicode\n")
        .file("app/ignored", "ignored\n")
        .file("extra/more", "more\n")
        .file(".gitignore", ".home\n.state\n");
    symlink("src/main", project.join("app/link")).unwrap();
    project.git()
}

struct Place {
    host: String,
    base: String,
    name: String,
}

impl Place {
    fn castoff(&self, project: &Project, place: &str, arguments: &[&str]) -> Castoff {
        Castoff::inside(project.path())
            .args(arguments)
            .envs(Bed::environment())
            .env(
                "CASTOFF_STATE",
                project.join(".state").display().to_string(),
            )
            .env("BASE", &self.base)
            .env("HOST", &self.host)
            .env("PLACE", place)
    }

    /// What is decided, and why.
    fn decision(&self, project: &Project) -> (String, String) {
        let plan = self
            .castoff(project, &self.name, &["plan", "--format", "json"])
            .run()
            .exits(0)
            .json();
        let target = &plan["targets"][0];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&target["action"]), text(&target["because"][0]))
    }

    /// What a build makes of the project now.
    fn built(&self, project: &Project) -> Value {
        let place = format!("{}-{}", self.name, Bed::unique("truth"));
        self.castoff(project, &place, &["publish", "--rebuild", "--quiet"])
            .run()
            .exits(0);
        let repository = format!("{}/{place}/app", self.host);
        let manifest = |reference: &str| -> Value {
            let text = Bed::output("crane", &["manifest", "--insecure", reference]);
            serde_json::from_str(&text).unwrap()
        };
        let top = manifest(&format!("{repository}:latest"));
        let children = top["manifests"].as_array().cloned().unwrap_or_default();
        let images: Vec<Value> = if children.is_empty() {
            vec![top.clone()]
        } else {
            let digests = children
                .iter()
                .map(|child| child["digest"].as_str().unwrap());
            digests
                .map(|digest| manifest(&format!("{repository}@{digest}")))
                .collect()
        };
        let is_attestation = |image: &Value| {
            image["layers"][0]["mediaType"]
                .to_string()
                .contains("in-toto")
        };
        let parts: Vec<Value> = images
            .iter()
            .map(|image| {
                if is_attestation(image) {
                    return json!("attestation");
                }
                let digest = image["config"]["digest"].as_str().unwrap();
                let text = Bed::output(
                    "crane",
                    &["blob", "--insecure", &format!("{repository}@{digest}")],
                );
                let mut config: Value = serde_json::from_str(&text).unwrap();
                // Dates, and what is said of commits and inputs, are no part of what was built. Layers
                // are compared by the files that they come to.
                let object = config.as_object_mut().unwrap();
                for key in ["created", "history", "rootfs"] {
                    object.remove(key);
                }
                let labels = config["config"]["Labels"].as_object_mut().unwrap();
                labels.retain(|name, _| {
                    let last = name.rsplit('.').next().unwrap();
                    !["inputs", "revision", "version", "created", "commit"].contains(&last)
                });
                // An index is told apart by its kind; its platforms come from the same files.
                let files = if children.is_empty() {
                    files(&format!("{repository}:latest"))
                } else {
                    json!(image["layers"].as_array().unwrap().len())
                };
                let mut annotations = image["annotations"].clone();
                if let Some(said) = annotations.as_object_mut() {
                    said.remove("dev.castoff.inputs");
                    annotations = json!(said);
                }
                if annotations == json!({}) {
                    annotations = Value::Null;
                }
                json!({ "config": config, "annotations": annotations, "files": files })
            })
            .collect();
        json!({ "kind": top["mediaType"], "parts": parts })
    }
}

/// The files of an image: of each its path, kind, mode, owner, content, and where it leads.
fn files(reference: &str) -> Value {
    let output = Command::new("crane")
        .args(["export", "--insecure", reference, "-"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut archive = tar::Archive::new(output.stdout.as_slice());
    let mut files = std::collections::BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let header = entry.header();
        let what = format!(
            "{:?} {:o} {}:{} {:?} {}",
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.link_name_bytes(),
            castoff::oci::Digest::of(&content)
        );
        files.insert(
            String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            what,
        );
    }
    json!(files)
}

type Change = fn(&Project);

fn write(project: &Project, path: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(project.join(path)).unwrap();
    assert!(text.contains(from), "{path} has {from}");
    project.write(path, &text.replacen(from, to, 1));
}

fn mode(project: &Project, path: &str, mode: u32) {
    std::fs::set_permissions(project.join(path), PermissionsExt::from_mode(mode)).unwrap();
}

fn remove(project: &Project, path: &str) -> PathBuf {
    let full = project.join(path);
    std::fs::remove_file(&full).unwrap();
    full
}

const OPTIONS: Expect =
    Needless("an option of the build is compared whether it matters to the result or not");

#[rustfmt::skip]
fn cases() -> Vec<(&'static str, Expect, Change)> {
    vec![
        ("nothing", Reuse, |_| {}),
        ("touch", Reuse, |at| {
            let file = std::fs::File::options().append(true).open(at.join("app/file")).unwrap();
            file.set_modified(SystemTime::now()).unwrap();
        }),
        ("content", Build, |at| at.write("app/file", "another\n")),
        ("line ends", Build, |at| at.write("app/file", "content\r\n")),
        ("mode of a file", Build, |at| mode(at, "app/file", 0o755)),
        ("mode of a folder", Build, |at| mode(at, "app/src", 0o700)),
        ("renamed file", Build, |at| std::fs::rename(at.join("app/twin-a"), at.join("app/twin-c")).unwrap()),
        ("new file", Build, |at| at.write("app/new", "")),
        ("removed file", Build, |at| { remove(at, "app/twin-a"); }),
        ("empty folder", Build, |at| std::fs::create_dir(at.join("app/empty")).unwrap()),
        ("other letters of the same name", Build, |at| {
            std::fs::rename(at.join("app/n\u{e4}me"), at.join("app/na\u{308}me")).unwrap();
        }),
        ("symlink to something else", Build, |at| symlink("file", remove(at, "app/link")).unwrap()),
        ("file in place of a symlink", Build, |at| { remove(at, "app/link"); at.write("app/link", "main\n"); }),
        ("hard link in place of a copy", Reuse, |at| {
            let twin = remove(at, "app/twin-b");
            std::fs::hard_link(at.join("app/twin-a"), twin).unwrap();
        }),
        ("another owner", Reuse, |at| {
            std::os::unix::fs::chown(at.join("app/file"), Some(1234), Some(1234)).unwrap();
        }),
        ("ignored file", Reuse, |at| at.write("app/ignored", "changed\n")),
        ("new ignored file", Reuse, |at| at.write("app/logs/today", "log\n")),
        ("comment in .dockerignore, which is copied", Build, |at| {
            write(at, "app/.dockerignore", "ignored\n", "ignored\n# comment\n");
        }),
        (".dockerignore leaves out more", Build, |at| write(at, "app/.dockerignore", "logs/", "twin-a")),
        ("the Dockerfile's own ignore file", Build, |at| {
            at.write("app/Dockerfile.dockerignore", "Dockerfile*\nignored\nsrc\n");
        }),
        ("comment in the Dockerfile", Needless("the Dockerfile is compared byte by byte"), |at| {
            write(at, "app/Dockerfile", "ARG BASE\n", "# comment\nARG BASE\n");
        }),
        ("stage that is not used", Needless("the Dockerfile is compared byte by byte"), |at| {
            write(at, "app/Dockerfile", "/unused", "/elsewhere");
        }),
        ("instruction", Build, |at| write(at, "app/Dockerfile", "/copied", "/there")),
        ("Dockerfile under another name", Reuse, |at| {
            std::fs::rename(at.join("app/Dockerfile"), at.join("app/Dockerfile.prod")).unwrap();
            write(at, "compose.yaml", "context: app\n", "context: app\n      dockerfile: Dockerfile.prod\n");
        }),
        ("context in another folder", Reuse, |at| {
            std::fs::rename(at.join("app"), at.join("moved")).unwrap();
            write(at, "compose.yaml", "context: app", "context: moved");
        }),
        ("build argument", Build, |at| write(at, "compose.yaml", "${VERSION:-1}", "2")),
        ("default of a variable, by .env", Build, |at| at.write(".env", "VERSION=2\n")),
        ("a variable that says what the default says", Reuse, |at| at.write(".env", "VERSION=1\n")),
        ("default of ARG that an argument covers", Needless("the Dockerfile is compared byte by byte"), |at| {
            write(at, "app/Dockerfile", "VERSION=1", "VERSION=3");
        }),
        ("argument that nothing uses", OPTIONS, |at| {
            write(at, "compose.yaml", "        VERSION:", "        UNUSED: x\n        VERSION:");
        }),
        ("target", Build, |at| write(at, "compose.yaml", "target: final", "target: other")),
        ("named context", Build, |at| at.write("extra/more", "less\n")),
        ("touched named context", Reuse, |at| {
            let file = std::fs::File::options().append(true).open(at.join("extra/more")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }),
        ("value of a secret", Reuse, |at| at.write("token", "other")),
        ("name of a secret", OPTIONS, |at| {
            write(at, "compose.yaml", "secrets: [token]", "secrets: [{source: token, target: other}]");
        }),
        ("label of the compose file", Build, |at| {
            write(at, "compose.yaml", "      network", "      labels: {com.example.a: b}\n      network");
        }),
        ("label of publish.toml", Build, |at| write(at, "publish.toml", "[labels]\n", "[labels]\n\"com.example.a\" = \"b\"\n")),
        ("another commit", Reuse, |at| { at.write("README", "text\n"); at.commit(); }),
        ("annotations", Build, |at| at.write("publish.toml", &format!("{PUBLISH}[annotations]\nlevels = [\"manifest\"]\n"))),
        ("provenance", Build, |at| at.write("publish.toml", &format!("{PUBLISH}[build]\nprovenance = \"min\"\n"))),
        ("platform", Build, |at| at.write("publish.toml", &format!("{PUBLISH}[build]\nplatforms = [\"linux/arm64\"]\n"))),
        ("two platforms", Build, |at| {
            at.write("publish.toml", &format!("{PUBLISH}[build]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n"));
        }),
        ("cache", Reuse, |at| at.write("publish.toml", &format!("{PUBLISH}[cache]\nsources = [\"registry\"]\nwrite = false\n"))),
        ("cache that is only read", Reuse, |at| at.write("publish.toml", &format!("{PUBLISH}[cache]\nsources = [\"inline\"]\nwrite = false\n"))),
        ("cache within the image", Build, |at| at.write("publish.toml", &format!("{PUBLISH}[cache]\nsources = [\"inline\"]\n"))),
        ("another tag", Reuse, |at| write(at, "publish.toml", "value=latest\"", "value=latest\", \"type=raw,value=more\"")),
        ("comment in the compose file", Reuse, |at| write(at, "compose.yaml", "name:", "# comment\nname:")),
        ("hosts", OPTIONS, |at| write(at, "compose.yaml", "      network", "      extra_hosts: [\"a:127.0.0.1\"]\n      network")),
        ("shared memory", OPTIONS, |at| write(at, "compose.yaml", "      network", "      shm_size: 128m\n      network")),
        ("limits", OPTIONS, |at| write(at, "compose.yaml", "      network", "      ulimits: {nofile: 999}\n      network")),
        ("no cache", Needless("whoever wants no cache wants a build"), |at| {
            write(at, "compose.yaml", "      network", "      no_cache: true\n      network");
        }),
        ("reuse switched off", Needless("it is switched off"), |at| {
            at.write("publish.toml", &format!("{PUBLISH}[build]\nreuse = \"never\"\n"));
        }),
        ("address that nothing pins", Build, |at| {
            write(at, "app/Dockerfile", "FROM $BASE AS final", "FROM $BASE AS never\nFROM $BASE AS final\nONBUILD ADD https://example.com/x /x");
        }),
    ]
}

#[test]
fn no_change_that_an_image_would_show_is_ever_missed() {
    let host = Bed::registry();
    let place = Bed::unique("reuse");
    let base = format!("{host}/{place}/base:1");
    Bed::output("crane", &["copy", "--insecure", &Bed::base(), &base]);
    let place = Place {
        host,
        base,
        name: place,
    };
    let first = project();
    place
        .castoff(&first, &place.name, &["publish", "--quiet"])
        .run()
        .exits(0);
    let truth = place.built(&first);
    let cases = cases();
    assert!(cases.len() > 40);
    let wrong = Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((name, expect, change)) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let project = project();
                    change(&project);
                    let (action, because) = place.decision(&project);
                    let is_same = place.built(&project) == truth;
                    let found = match (action.as_str(), is_same) {
                        ("reuse", true) => Reuse,
                        ("reuse", false) => {
                            wrong
                                .lock()
                                .unwrap()
                                .push(format!("FALSE REUSE: {name}: {because}"));
                            continue;
                        }
                        (_, false) => Build,
                        (_, true) => match expect {
                            Needless(reason) => Needless(reason),
                            _ => Needless("no reason"),
                        },
                    };
                    if found != *expect {
                        wrong
                            .lock()
                            .unwrap()
                            .push(format!("{name}: {found:?} and not {expect:?}: {because}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // A fresh clone elsewhere comes to the same, without anything that this machine remembers.
    assert_eq!(place.decision(&project()).0, "reuse");
    // The base image moves under its tag.
    Bed::output(
        "crane",
        &["copy", "--insecure", &Bed::var("BED_BASE_APP"), &place.base],
    );
    let (action, because) = place.decision(&first);
    assert_eq!(action, "build");
    assert_eq!(
        because,
        format!("build, because the base image {} moved", place.base)
    );
    assert_ne!(place.built(&first), truth);
}

#[test]
fn a_file_of_the_same_size_and_date_is_still_seen_to_have_changed() {
    let place = Place {
        host: Bed::registry(),
        base: Bed::base(),
        name: Bed::unique("reuse"),
    };
    let project = project();
    let date = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let set = |text: &str| {
        project.write("app/file", text);
        let file = std::fs::File::options()
            .append(true)
            .open(project.join("app/file"))
            .unwrap();
        file.set_modified(date).unwrap();
    };
    set("one\n");
    // Long enough that the cache of the file system's words remembers the file.
    std::thread::sleep(std::time::Duration::from_secs(3));
    place
        .castoff(&project, &place.name, &["publish", "--quiet"])
        .run()
        .exits(0);
    assert!(
        project.join(".state").read_dir().unwrap().any(|entry| entry
            .unwrap()
            .path()
            .join("stat")
            .exists())
    );
    assert_eq!(place.decision(&project).0, "reuse");
    set("two\n");
    let (action, because) = place.decision(&project);
    assert_eq!(action, "build");
    assert_eq!(because, "build, because the context changed: file");
}

#[test]
fn an_image_whose_files_changed_while_it_was_built_is_published_and_never_reused() {
    let place = Place {
        host: Bed::registry(),
        base: Bed::base(),
        name: Bed::unique("reuse"),
    };
    let project = project();
    write(
        &project,
        "app/Dockerfile",
        "COPY . /app/",
        "RUN sleep 3\nCOPY . /app/",
    );
    // Something new, so that the cache does not know the sleep.
    write(
        &project,
        "app/Dockerfile",
        "sleep 3",
        &format!("sleep 3; : {}", place.name),
    );
    let started = place
        .castoff(&project, &place.name, &["publish", "--progress", "plain"])
        .start();
    std::thread::sleep(std::time::Duration::from_millis(1800));
    project.write("app/file", "changed meanwhile\n");
    let ran = started.wait().exits(0);
    assert!(
        ran.stderr
            .contains("its context changed (file) while it was built"),
        "{}",
        ran.stderr
    );
    let (action, because) = place.decision(&project);
    assert_eq!(action, "build");
    assert!(
        because.ends_with("does not say what it was built from"),
        "{because}"
    );
    // The next one is as it was read.
    place
        .castoff(&project, &place.name, &["publish", "--quiet"])
        .run()
        .exits(0);
    assert_eq!(place.decision(&project).0, "reuse");
}

#[test]
fn what_somebody_built_from_one_of_ours_is_not_taken_for_it() {
    let place = Place {
        host: Bed::registry(),
        base: Bed::base(),
        name: Bed::unique("reuse"),
    };
    let project = project();
    let publish = place.castoff(&project, &place.name, &["publish", "--quiet"]);
    publish.run().exits(0);
    assert_eq!(place.decision(&project).0, "reuse");
    let tag = format!("{}/{}/app:latest", place.host, place.name);
    let inputs = || -> Value {
        let config = Bed::output("crane", &["config", "--insecure", &tag]);
        let config: Value = serde_json::from_str(&config).unwrap();
        config["config"]["Labels"]["dev.castoff.inputs"].clone()
    };
    let own = inputs();
    let folder = Project::new().file(
        "Dockerfile",
        &format!("FROM {tag}\nRUN echo more > /more\n"),
    );
    let folder = folder.path().display().to_string();
    let build = ["buildx", "build", "--push", "--provenance=false", "-t"];
    Bed::output("docker", &[&build[..], &[&tag, &folder]].concat());
    // The label came along.
    assert_eq!(inputs(), own);
    let (action, because) = place.decision(&project);
    assert_eq!(action, "build", "{because}");
    assert!(
        because.ends_with("does not say what it was built from"),
        "{because}"
    );
    // Nor does one of castoff's own builds say what only its base may say.
    write(
        &project,
        "publish.toml",
        "[labels]",
        "[build]\nreuse = \"never\"\n[labels]",
    );
    place
        .castoff(&project, &place.name, &["publish", "--quiet"])
        .env("BASE", &tag)
        .run()
        .exits(0);
    assert_eq!(inputs(), "");
}

#[test]
fn one_changed_service_is_built_and_the_others_are_not() {
    let shop = crate::Shop::of(&["api", "web"]);
    shop.castoff(["publish"]).run().exits(0);
    shop.project.write("api/file", "changed\n");
    shop.project.commit();
    let release = shop
        .castoff(["publish", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let image = |service: &str| {
        let images = release["images"].as_array().unwrap();
        images
            .iter()
            .find(|image| image["service"] == service)
            .unwrap()
            .clone()
    };
    assert_eq!(image("api")["reused"], false);
    assert_eq!(image("web")["reused"], true);
    // The image that is reused keeps the commit that it was built from, and gets the tag of the new one.
    let revision =
        |service: &str| image(service)["labels"]["org.opencontainers.image.revision"].clone();
    assert_ne!(revision("api"), revision("web"));
    assert_eq!(image("web")["tags"].as_array().unwrap().len(), 4);
}
