//! The test bed: real engines and registries, brought up by `tests/bed/up`.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The bed, by the variables that `tests/bed/env` prints.
pub struct Bed;

impl Bed {
    /// A variable of the bed. Without a bed the test fails, and says how to get one.
    pub fn var(name: &str) -> String {
        std::env::var(name).unwrap_or_else(|_| {
            panic!("{name} is not set: run tests/bed/up, then eval \"$(tests/bed/env)\"")
        })
    }

    /// The plain registry.
    pub fn registry() -> String {
        Self::var("BED_REGISTRY")
    }

    /// The second implementation of a registry.
    pub fn other_registry() -> String {
        Self::var("BED_REGISTRY_CRANE")
    }

    /// The small base image.
    pub fn base() -> String {
        Self::var("BED_BASE")
    }

    /// What the program needs to find the bed's Engine; or, where `BUILDX_BUILDER` is set, that builder
    /// of `DOCKER_CONFIG`, which buildx takes as well: so these tests can be run on any builder.
    pub fn environment() -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("DOCKER_HOST", Self::var("DOCKER_HOST")),
            ("DOCKER_CONFIG", Self::var("DOCKER_CONFIG")),
        ];
        if let Ok(builder) = std::env::var("BUILDX_BUILDER") {
            environment.push(("BUILDX_BUILDER", builder));
            environment.push(("PATH", Self::var("PATH")));
        }
        environment
    }

    /// A name that no other test and no other run has.
    pub fn unique(name: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos();
        format!("t{:x}{count}-{name}", nanos % 0xffff_ffff_ffff)
    }

    /// Runs a program of the bed and gives its standard output; fails if it fails.
    #[track_caller]
    pub fn output(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Both outputs of a program of the bed, in one text.
    pub fn said(program: &str, arguments: &[&str], folder: &Path) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    /// What a reference points to, as another client sees it.
    pub fn digest(reference: &str) -> Option<String> {
        let output = Command::new("crane")
            .args(["digest", "--insecure", reference])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// The tags of a repository, as another client sees them; none where it does not exist.
    pub fn tags(repository: &str) -> Vec<String> {
        let output = Command::new("crane")
            .args(["ls", "--insecure", repository])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}
