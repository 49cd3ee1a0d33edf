//! A bed of a test's own, whose engines may die.

use std::path::Path;
use std::process::{Command, Stdio};

/// A second bed beside the one that all tests share. It is taken down at the end of the test.
pub struct OwnBed {
    folder: tempfile::TempDir,
}

impl OwnBed {
    /// Starts one, which takes some seconds.
    pub fn up() -> Self {
        // Sockets lie below it, and their paths are short.
        let folder = tempfile::Builder::new()
            .prefix("castoff-bed-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let bed = Self { folder };
        bed.again();
        bed
    }

    /// Starts what does not run any more.
    #[track_caller]
    pub fn again(&self) {
        let output = self.script("up").output().unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Sends a signal to one of its processes: `engine`, `classic`.
    pub fn signal(&self, name: &str, signal: &str) {
        let file = self.folder.path().join("running").join(name);
        let text = std::fs::read_to_string(file).unwrap();
        let pid = text.split(' ').next().unwrap();
        let status = Command::new("kill")
            .args([&format!("-{signal}"), pid])
            .status();
        assert!(status.unwrap().success(), "{name} runs");
    }

    /// A `DOCKER_HOST`.
    pub fn host(&self, name: &str) -> String {
        let socket = self.folder.path().join(name).join("docker.sock");
        format!("unix://{}", socket.display())
    }

    fn script(&self, name: &str) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bed");
        let mut command = Command::new(scripts.join(name));
        command
            .env("CASTOFF_BED", self.folder.path())
            .env("BED_ENGINE", "own")
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONFIG")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for OwnBed {
    fn drop(&mut self) {
        let output = self.script("down").output().unwrap();
        // A test that fails already says why by itself.
        let is_down = output.status.success() || std::thread::panicking();
        assert!(is_down, "{}", String::from_utf8_lossy(&output.stderr));
    }
}
