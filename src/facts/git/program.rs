//! The `git` program: for repositories that libgit2 cannot read.
//!
//! Every call is bounded in time and in output, never asks a question, takes no locks, and runs
//! none of the repository's own programs.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::library::timestamp;
use super::{Changes, Commit, Failure, Head, Layout, MAX_POINTERS, Pointer, Source};
use crate::facts::{Environment, printable};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of a call's output is read.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;

pub(super) struct Program {
    directory: PathBuf,
    variables: Vec<(String, String)>,
}

/// What a call came to.
struct Output {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Finds the program; `library` is what libgit2 said about the repository.
pub(super) fn open(
    directory: &Path,
    environment: &Environment,
    library: &str,
) -> Result<Program, Failure> {
    // HOME and the system's folders hold the configuration (safe.directory above all). Nothing
    // else is passed on: git starts no program here that needs it.
    let passed = [
        "PATH",
        "HOME",
        "XDG_CONFIG_HOME",
        "SYSTEMROOT",
        "USERPROFILE",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_CEILING_DIRECTORIES",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_COUNT",
    ];
    let is_passed = |name: &str| {
        passed.contains(&name)
            || name.starts_with("GIT_CONFIG_KEY_")
            || name.starts_with("GIT_CONFIG_VALUE_")
    };
    let program = Program {
        directory: directory.to_owned(),
        variables: environment
            .iter()
            .filter(|(name, _)| is_passed(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    match program.run(&["rev-parse", "--git-dir"], PATIENCE) {
        Err(Failure::NoProgram { .. }) => Err(Failure::NoProgram {
            library: library.to_owned(),
        }),
        Err(failure) => Err(failure),
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => Err(refused("rev-parse", &output)),
    }
}

fn refused(command: &str, output: &Output) -> Failure {
    let said = output.stderr.trim();
    Failure::Program {
        command: command.to_owned(),
        said: if said.is_empty() {
            output.status.to_string()
        } else {
            printable(said, 400)
        },
    }
}

impl Program {
    /// Runs git; a status that is not 0 is an answer, not a failure.
    fn run(&self, arguments: &[&str], patience: Duration) -> Result<Output, Failure> {
        let command = arguments.first().copied().unwrap_or_default().to_owned();
        let went_wrong = |error: &std::io::Error| Failure::Program {
            command: command.clone(),
            said: error.to_string(),
        };
        let mut child = Command::new("git")
            .args(["--no-pager", "-c", "core.fsmonitor=false"])
            .args(["-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs([
                ("LC_ALL", "C"),
                ("GIT_OPTIONAL_LOCKS", "0"),
                ("GIT_TERMINAL_PROMPT", "0"),
                ("GIT_NO_LAZY_FETCH", "1"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Failure::NoProgram {
                    library: String::new(),
                },
                _ => went_wrong(&error),
            })?;
        let stdout = reader(child.stdout.take());
        let stderr = reader(child.stderr.take());
        let until = Instant::now() + patience;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
                Ok(None) => {
                    // It may have ended by itself in the meantime; then there is nothing to end.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(Failure::TooSlow {
                        command: command.clone(),
                        seconds: patience.as_secs(),
                    });
                }
                Err(error) => return Err(went_wrong(&error)),
            }
        };
        Ok(Output {
            status,
            stdout: received(&stdout),
            stderr: received(&stderr),
        })
    }

    /// The output of a call that must succeed.
    fn ask(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.run(arguments, PATIENCE)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let command = arguments.first().copied().unwrap_or_default();
        Err(refused(command, &output))
    }

    /// The one line of a call that may fail.
    fn try_line(&self, arguments: &[&str]) -> Option<String> {
        let text = self.ask(arguments).ok()?;
        let line = text.trim_end_matches('\n');
        (!line.is_empty()).then(|| line.to_owned())
    }
}

/// Reads a pipe to its end, in a thread of its own, but keeps no more than a bounded part.
fn reader<R: std::io::Read + Send + 'static>(pipe: Option<R>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks has said what it had to say.
            let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut kept);
            // Whoever does not read on keeps the writer waiting for ever.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        let _ = sender.send(kept);
    });
    receiver
}

/// What was read. A grandchild that keeps the pipe open is not waited for.
fn received(receiver: &mpsc::Receiver<Vec<u8>>) -> String {
    let bytes = receiver
        .recv_timeout(Duration::from_secs(1))
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Source for Program {
    fn layout(&self) -> Result<Layout, Failure> {
        let text = self.ask(&[
            "rev-parse",
            "--absolute-git-dir",
            "--is-shallow-repository",
            "--is-inside-work-tree",
        ])?;
        let mut lines = text.lines();
        let directory = PathBuf::from(lines.next().unwrap_or_default());
        let shallow = lines.next() == Some("true");
        let toplevel = if lines.next() == Some("true") {
            self.try_line(&["rev-parse", "--show-toplevel"])
        } else {
            None
        };
        Ok(Layout {
            toplevel: toplevel.map(PathBuf::from),
            directory,
            shallow,
        })
    }

    fn head(&self) -> Result<Head, Failure> {
        let symbolic = self.try_line(&["symbolic-ref", "-q", "HEAD"]);
        let verified = self.run(&["rev-parse", "-q", "--verify", "HEAD^{commit}"], PATIENCE)?;
        if !verified.status.success() {
            return Ok(Head {
                symbolic,
                commit: None,
            });
        }
        let text = self.ask(&[
            "log",
            "-1",
            "--no-show-signature",
            "--format=%H%x00%ct%x00%an <%ae>",
        ])?;
        let mut fields = text.trim_end_matches('\n').split('\0');
        let sha = fields.next().unwrap_or_default().to_owned();
        let seconds = fields.next().and_then(|text| text.parse().ok());
        Ok(Head {
            symbolic,
            commit: Some(Commit {
                sha,
                time: timestamp(seconds.unwrap_or_default()),
                author: fields.next().map(|text| printable(text, 200)),
            }),
        })
    }

    fn pointers(&self) -> Result<Vec<Pointer>, Failure> {
        let text = self.ask(&[
            "for-each-ref",
            &format!("--count={MAX_POINTERS}"),
            "--format=%(refname)%00%(objectname)%00%(*objectname)%00%(committerdate:unix)%(*committerdate:unix)",
            "refs/heads",
            "refs/tags",
            "refs/remotes",
            "refs/pull",
        ])?;
        Ok(text
            .lines()
            .filter_map(|line| {
                let mut fields = line.split('\0');
                let name = fields.next()?.to_owned();
                let object = fields.next()?;
                let peeled = fields.next().filter(|it| !it.is_empty());
                Some(Pointer {
                    name,
                    commit: peeled.unwrap_or(object).to_owned(),
                    seconds: fields.next().and_then(|text| text.parse().ok()),
                })
            })
            .collect())
    }

    fn seconds(&self, commit: &str) -> Result<i64, Failure> {
        let text = self.ask(&[
            "log",
            "-1",
            "--no-show-signature",
            "--format=%ct",
            commit,
            "--",
        ])?;
        Ok(text.trim().parse().unwrap_or_default())
    }

    fn holds(&self, tip: &str, commit: &Commit, until: Instant) -> Result<Option<bool>, Failure> {
        let patience = until.saturating_duration_since(Instant::now());
        match self.run(&["merge-base", "--is-ancestor", &commit.sha, tip], patience) {
            Err(Failure::TooSlow { .. }) => Ok(None),
            Err(failure) => Err(failure),
            Ok(output) => Ok(Some(output.status.success())),
        }
    }

    fn symbolic(&self, name: &str) -> Option<String> {
        self.try_line(&["symbolic-ref", "-q", name])
    }

    fn remote(&self) -> Option<String> {
        if let Some(url) = self.try_line(&["config", "--get", "remote.origin.url"]) {
            return Some(url);
        }
        let names = self.ask(&["remote"]).ok()?;
        let mut names = names.lines();
        match (names.next(), names.next()) {
            (Some(only), None) => {
                self.try_line(&["config", "--get", &format!("remote.{only}.url")])
            }
            _ => None,
        }
    }

    fn configured_default_branch(&self) -> Option<String> {
        self.try_line(&["config", "--get", "init.defaultBranch"])
    }

    fn can_describe(&self) -> Result<bool, Failure> {
        Ok(true)
    }

    fn describe(&self, commit: &Commit, until: Instant) -> Result<Option<String>, Failure> {
        let patience = until.saturating_duration_since(Instant::now());
        match self.run(&["describe", "--tags", "--always", &commit.sha], patience) {
            Err(Failure::TooSlow { .. }) => Ok(None),
            Err(failure) => Err(failure),
            Ok(output) if output.status.success() => Ok(Some(output.stdout.trim().to_owned())),
            Ok(output) => Err(refused("describe", &output)),
        }
    }

    fn is_second_to_git(&self) -> bool {
        false
    }

    fn changes(&self) -> Result<Changes, Failure> {
        let text = self.ask(&["status", "--porcelain=v1", "-z"])?;
        let mut changes = Changes::default();
        let mut entries = text.split('\0').filter(|entry| !entry.is_empty());
        while let Some(entry) = entries.next() {
            let (kind, path) = (entry.get(..2).unwrap_or_default(), entry.get(3..));
            // A renamed file is followed by the name that it had.
            if kind.starts_with(['R', 'C']) {
                entries.next();
            }
            if changes.files.len() == Changes::LISTED {
                changes.more = true;
                break;
            }
            changes.files.extend(path.map(|path| printable(path, 200)));
        }
        Ok(changes)
    }
}
