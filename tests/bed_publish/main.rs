//! castoff on the test bed: real engines, real registries, and other programs as judges.
//! `tests/bed/up` starts them, `tests/bed/env` names them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod actions_cache;
mod all_or_nothing;
mod auto;
mod builds;
mod caches;
mod cancel;
mod checks;
mod classic;
mod content;
mod contexts;
mod differential;
mod failures;
mod farms;
mod github;
mod immutable;
mod linked;
mod local;
mod logins;
mod outputs;
mod readme;
mod release;
mod restarts;
mod reuse;
mod split;
#[path = "../support/mod.rs"]
mod support;
mod transfers;
mod trees;
mod views;
mod ways;
mod ways_broken;

use std::fmt::Write as _;

use support::bed::Bed;
use support::program::Castoff;
use support::project::Project;

/// A project of its own in the registries of the bed.
struct Shop {
    project: Project,
    /// The first part of its repositories, which no other test has.
    prefix: String,
    /// The registries, by their names in publish.toml. Each has repositories of its own, as some
    /// of the bed's are two doors to one room.
    registries: Vec<(String, String)>,
}

impl Shop {
    /// Services that each copy one file onto the bed's base, for two registries.
    fn of(services: &[&str]) -> Self {
        Self::going_to(
            services,
            &[("a", Bed::registry()), ("b", Bed::other_registry())],
        )
    }

    /// Services that go to the registries named.
    fn going_to(services: &[&str], registries: &[(&str, String)]) -> Self {
        let prefix = Bed::unique("shop");
        let mut compose = String::from("name: shop\nservices:\n");
        let mut project = Project::new();
        for service in services {
            let _ = write!(
                compose,
                "  {service}:\n    build:\n      context: {service}\n      args:\n        BASE: {}\n",
                Bed::base()
            );
            project = project
                .file(
                    &format!("{service}/Dockerfile"),
                    "ARG BASE\nFROM $BASE\nCOPY file /file\n",
                )
                .file(&format!("{service}/file"), &format!("{prefix} {service}\n"));
        }
        let mut publish = String::new();
        for (name, host) in registries {
            let _ = write!(
                publish,
                "[registries.{name}]\nrepository = \"{host}/{prefix}-{name}/{{{{service}}}}\"\n"
            );
        }
        publish.push_str("[tags]\nrules = [\"type=raw,value=latest\", \"type=sha\"]\n");
        let project = project
            .file("compose.yaml", &compose)
            .file("publish.toml", &publish)
            .file(".gitignore", ".home\n.state\n")
            .git();
        Self {
            project,
            prefix,
            registries: registries
                .iter()
                .map(|(name, host)| ((*name).to_owned(), host.clone()))
                .collect(),
        }
    }

    fn castoff<const N: usize>(&self, arguments: [&str; N]) -> Castoff {
        self.project
            .castoff(arguments)
            .envs(Bed::environment())
            .env(
                "CASTOFF_STATE",
                self.project.join(".state").display().to_string(),
            )
    }

    fn repository(&self, host: &str, service: &str) -> String {
        let (name, _) = self
            .registries
            .iter()
            .find(|(_, known)| known == host)
            .unwrap();
        format!("{host}/{}-{name}/{service}", self.prefix)
    }

    /// The tags of every service in a registry, as another client sees them.
    fn tags(&self, host: &str, services: &[&str]) -> Vec<Vec<String>> {
        services
            .iter()
            .map(|service| Bed::tags(&self.repository(host, service)))
            .collect()
    }

    /// What a service's `latest` points to in a registry.
    fn latest(&self, host: &str, service: &str) -> Option<String> {
        Bed::digest(&format!("{}:latest", self.repository(host, service)))
    }
}
