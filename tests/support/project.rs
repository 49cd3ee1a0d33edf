//! A project in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::Castoff;

/// A folder with files, removed at the end of the test.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A copy of a folder of the repository.
    pub fn copy_of(inside: &str) -> Self {
        let project = Self::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(inside);
        let status = Command::new("cp")
            .args(["-a", &format!("{}/.", from.display())])
            .arg(project.path())
            .status()
            .unwrap();
        assert!(status.success());
        project
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn join(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Writes a file, with its folders.
    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    pub fn write(&self, path: &str, text: &str) {
        let full = self.join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, text).unwrap();
    }

    /// Makes it a git repository with one commit of everything, always the same one.
    pub fn git(self) -> Self {
        self.run_git(&["init", "-q", "-b", "main"]);
        self.commit();
        self
    }

    pub fn commit(&self) {
        self.run_git(&["add", "-A"]);
        self.run_git(&["commit", "-q", "--allow-empty", "-m", "change"]);
    }

    pub fn run_git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .args(["-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .envs([
                ("GIT_AUTHOR_NAME", "A"),
                ("GIT_AUTHOR_EMAIL", "a@example.com"),
                ("GIT_AUTHOR_DATE", "2024-06-28T10:00:00Z"),
                ("GIT_COMMITTER_NAME", "A"),
                ("GIT_COMMITTER_EMAIL", "a@example.com"),
                ("GIT_COMMITTER_DATE", "2024-06-28T10:00:00Z"),
            ])
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    /// The program in this project.
    pub fn castoff<const N: usize>(&self, arguments: [&str; N]) -> Castoff {
        Castoff::inside(self.path()).args(arguments)
    }
}
