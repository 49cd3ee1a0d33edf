//! The program, as a user runs it: in a folder, with an environment of its own, never for longer
//! than a limit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a run may take before it counts as hung.
const LIMIT: Duration = Duration::from_mins(2);

/// What a run came to.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.stdout, self.stderr))
    }

    /// Fails unless the exit code is `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// What a snapshot holds: the exit code, and both outputs with `hidden` replaced by names.
    pub fn shown(&self, hidden: &[(&str, &str)]) -> String {
        let mut text = format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            self.code.map_or("none".to_owned(), |code| code.to_string()),
            self.stdout,
            self.stderr
        );
        for (what, name) in hidden {
            text = text.replace(what, name);
        }
        // When each thing was told.
        let when = regex::Regex::new(r"(?m)^ *\d+\.\ds  ").unwrap();
        when.replace_all(&text, "   [t]  ").into_owned()
    }
}

/// A run to be.
pub struct Castoff {
    folder: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Castoff {
    /// In `folder`, with `PATH` and a home of its own and nothing else of the environment.
    pub fn inside(folder: &Path) -> Self {
        let mut environment = BTreeMap::new();
        environment.insert("PATH".to_owned(), std::env::var("PATH").unwrap());
        // Folders of the repository itself are left as they are.
        if !folder.starts_with(env!("CARGO_MANIFEST_DIR")) {
            let home = folder.join(".home");
            std::fs::create_dir_all(&home).unwrap();
            environment.insert("HOME".to_owned(), home.display().to_string());
        }
        Self {
            folder: folder.to_owned(),
            arguments: Vec::new(),
            environment,
        }
    }

    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        let text = |argument: S| argument.as_ref().to_string_lossy().into_owned();
        self.arguments.extend(arguments.into_iter().map(text));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    pub fn envs<'a>(mut self, all: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        for (name, value) in all {
            self.environment.insert(name.to_owned(), value);
        }
        self
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_castoff"));
        command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Starts it, with both outputs to be read.
    pub fn start(&self) -> Started {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = read(child.stdout.take().unwrap());
        let stderr = read(child.stderr.take().unwrap());
        Started {
            child,
            stdout,
            stderr,
            began: Instant::now(),
        }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ran {
        self.start().wait()
    }
}

fn read(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A run under way.
pub struct Started {
    child: Child,
    stdout: std::thread::JoinHandle<String>,
    stderr: std::thread::JoinHandle<String>,
    began: Instant,
}

impl Started {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended. A process that nobody has waited for is still there, as a zombie.
    pub fn is_over(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        stat.is_ok_and(|stat| {
            let state = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().next());
            state == Some("Z")
        })
    }

    /// Sends a signal by its name: `INT`, `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end. One that takes too long is killed, and the test fails.
    pub fn wait(mut self) -> Ran {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.began.elapsed() > LIMIT {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!(
                    "castoff hung\n{}\n{}",
                    self.stdout.join().unwrap(),
                    self.stderr.join().unwrap()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ran {
            code: status.code(),
            took: self.began.elapsed(),
            stdout: self.stdout.join().unwrap(),
            stderr: self.stderr.join().unwrap(),
        }
    }
}
