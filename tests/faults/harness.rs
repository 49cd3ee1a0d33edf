//! A project of three services that goes to three registries of this process, and what to ask it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::buildkit::{FakeBuildKit, image_of};
use crate::support::program::Castoff;
use crate::support::project::Project;
use crate::support::registry::{Saved, Script, Settings, TestRegistry};

/// The services, in the order of their names.
pub const SERVICES: [&str; 3] = ["api", "web", "worker"];
/// How many registries there are.
pub const REGISTRIES: usize = 3;

/// `host/service:tag` → digest; a tag that is not there is not in it.
pub type World = BTreeMap<String, String>;

/// A project, its builder and its registries.
pub struct Shop {
    pub project: Project,
    pub builder: FakeBuildKit,
    pub registries: Vec<TestRegistry>,
    /// What goes wrong, and the log of all requests.
    pub script: Arc<Script>,
    /// Seconds, as `--patience` has them.
    pub patience: &'static str,
}

impl Shop {
    pub fn new() -> Self {
        Self::with(&Settings::default())
    }

    /// With registries of this kind.
    pub fn with(settings: &Settings) -> Self {
        let script = Script::new();
        let registries: Vec<TestRegistry> = (0..REGISTRIES)
            .map(|_| TestRegistry::scripted(settings.clone(), Arc::clone(&script)))
            .collect();
        let builder = FakeBuildKit::start(&registries.iter().collect::<Vec<_>>());
        let mut compose = "name: shop\nservices:\n".to_owned();
        for service in SERVICES {
            let _ = writeln!(compose, "  {service}:\n    build: {service}");
        }
        let mut project = Project::new().file("compose.yaml", &compose);
        for service in SERVICES {
            let dockerfile = format!("{service}/Dockerfile");
            project = project.file(&dockerfile, "FROM scratch\nCOPY . /\n");
        }
        let shop = Self {
            project: project.file(".gitignore", ".home\ngeneration\n"),
            builder,
            registries,
            script,
            patience: "0.6",
        };
        shop.configure(&[]);
        shop.project.write("version", "1");
        Self {
            project: shop.project.git(),
            ..shop
        }
    }

    /// Writes publish.toml; the registries with these numbers are not required.
    pub fn configure(&self, best_effort: &[usize]) {
        let mut publish = String::new();
        for (number, registry) in self.registries.iter().enumerate() {
            let _ = write!(
                publish,
                "[registries.{}]\nrepository = \"{}/{{{{service}}}}\"\nplain_http = true\nrequired = {}\n",
                name(number),
                registry.host(),
                !best_effort.contains(&number)
            );
        }
        publish +=
            "[tags]\nrules = [\"type=semver,pattern={{version}},value=1.0.${VERSION:-1}\"]\n";
        self.project.write("publish.toml", &publish);
    }

    /// The program, with this shop's builder.
    pub fn castoff<const N: usize>(&self, arguments: [&str; N]) -> Castoff {
        let builder = self.builder.address();
        self.project
            .castoff(arguments)
            .args(["--builder", &builder, "--patience", self.patience])
    }

    /// What is built from now on: another file in every context, that git does not see, and another
    /// image.
    pub fn turn_to(&self, generation: u64) {
        self.builder.turn_to(generation);
        for service in SERVICES {
            let file = format!("{service}/generation");
            self.project.write(&file, &generation.to_string());
        }
    }

    /// A publish of a generation: its images, and its version as a tag.
    pub fn publish(&self, generation: u64) -> Castoff {
        self.turn_to(generation);
        self.castoff(["publish"])
            .env("VERSION", generation.to_string())
    }

    /// Where all tags of all registries point.
    pub fn world(&self) -> World {
        let mut world = World::new();
        for registry in &self.registries {
            for (tag, digest) in registry.tags() {
                // Lists of referrers are no tags of anybody.
                if !tag.contains(":sha256-") {
                    world.insert(format!("{}/{tag}", registry.host()), digest);
                }
            }
        }
        world
    }

    /// The world after generations 1 to `last`, one after the other.
    pub fn all(&self, last: u64) -> World {
        let hosts = self.registries.iter().map(TestRegistry::host);
        let mut world = World::new();
        for host in hosts {
            world.extend(Self::at(host, last));
        }
        world
    }

    /// The tags of one registry after generations 1 to `last`.
    pub fn at(host: &str, last: u64) -> World {
        let mut world = World::new();
        for service in SERVICES {
            for generation in 1..=last {
                let digest = image_of(service, generation).index.digest().to_string();
                world.insert(format!("{host}/{service}:1.0.{generation}"), digest.clone());
                world.insert(format!("{host}/{service}:latest"), digest);
            }
        }
        world
    }

    /// The folder that castoff keeps its state in.
    pub fn state(&self) -> PathBuf {
        self.project.join(".home/.local/state/castoff")
    }

    /// Everything as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let state = tempfile::tempdir().unwrap();
        copy(&self.state(), &state.path().join("state"));
        Snapshot {
            registries: self.registries.iter().map(TestRegistry::saved).collect(),
            state,
        }
    }

    /// Lets everything be as it was, with a script that begins anew.
    pub fn restore(&self, snapshot: &Snapshot) {
        for (registry, saved) in self.registries.iter().zip(&snapshot.registries) {
            registry.restore(saved);
        }
        let state = self.state();
        if state.exists() {
            std::fs::remove_dir_all(&state).unwrap();
        }
        copy(&snapshot.state.path().join("state"), &state);
        self.script.clear();
    }
}

/// What registries held and what castoff knew at one time.
pub struct Snapshot {
    registries: Vec<Saved>,
    state: tempfile::TempDir,
}

fn copy(from: &Path, to: &Path) {
    if !from.exists() {
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a registry is called in publish.toml.
pub fn name(number: usize) -> &'static str {
    ["one", "two", "three"][number]
}
