//! A project of three services that goes to three registries of this process, and what to ask it.

use std::collections::BTreeMap;
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
        Self::with(Settings::default())
    }

    /// With registries of this kind.
    pub fn with(settings: Settings) -> Self {
        let script = Script::new();
        let registries: Vec<TestRegistry> = (0..REGISTRIES)
            .map(|_| TestRegistry::scripted(settings.clone(), Arc::clone(&script)))
            .collect();
        let builder = FakeBuildKit::start(&registries.iter().collect::<Vec<_>>());
        let mut compose = "name: shop\nservices:\n".to_owned();
        for service in SERVICES {
            compose += &format!("  {service}:\n    build: {service}\n");
        }
        let mut project = Project::new().file("compose.yaml", &compose);
        for service in SERVICES {
            let dockerfile = format!("{service}/Dockerfile");
            project = project.file(&dockerfile, "FROM scratch\nCOPY . /\n");
        }
        let shop = Self {
            project: project.file(".gitignore", ".home\n"),
            builder,
            registries,
            script,
            patience: "0.3",
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
            publish += &format!(
                "[registries.{}]\nrepository = \"{}/{{{{service}}}}\"\nplain_http = true\nrequired = {}\n",
                name(number),
                registry.host(),
                !best_effort.contains(&number)
            );
        }
        publish += "[tags]\nrules = [\"type=raw,value=${VERSION:-1}\", \"type=raw,value=latest\"]\n";
        self.project.write("publish.toml", &publish);
    }

    /// The program, with this shop's builder.
    pub fn castoff<const N: usize>(&self, arguments: [&str; N]) -> Castoff {
        let builder = self.builder.address();
        self.project
            .castoff(arguments)
            .args(["--builder", &builder])
    }

    /// A publish of a generation: its images, and its version as a tag.
    pub fn publish(&self, generation: u64) -> Castoff {
        self.builder.turn_to(generation);
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
                world.insert(format!("{host}/{service}:{generation}"), digest.clone());
                world.insert(format!("{host}/{service}:latest"), digest);
            }
        }
        world
    }

    /// All registries as they are now.
    pub fn saved(&self) -> Vec<Saved> {
        self.registries.iter().map(TestRegistry::saved).collect()
    }

    /// Lets all registries be as they were.
    pub fn restore(&self, saved: &[Saved]) {
        for (registry, saved) in self.registries.iter().zip(saved) {
            registry.restore(saved);
        }
    }
}

/// What a registry is called in publish.toml.
pub fn name(number: usize) -> &'static str {
    ["one", "two", "three"][number]
}
