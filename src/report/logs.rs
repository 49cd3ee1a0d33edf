use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::words::{one_line, seconds};
use crate::event::{Envelope, Event, StepOutcome};
use crate::oci::Digest;

/// How large the log of one service may grow, in bytes.
const MAX_LOG: u64 = 64 << 20;
/// How many steps of a service are told apart.
const MAX_STEPS: usize = 10_000;
/// The longest name of a file that is made of a service's name, without its end.
const MAX_NAME: usize = 100;

/// A folder with a file for each service, which holds the whole log of its build.
///
/// Lines are written as they come. A step has a number and a header, which is repeated where the
/// lines of several steps mix; each line says when it came, in seconds since its step began.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    limit: u64,
    files: HashMap<String, Log>,
    /// The names in use, in lower case, as not every file system tells the cases apart.
    names: HashSet<String>,
}

/// The log of a service.
#[derive(Debug)]
struct Log {
    file: BufWriter<File>,
    written: u64,
    is_cut: bool,
    steps: HashMap<String, Step>,
    /// The step that wrote last.
    latest: Option<String>,
}

#[derive(Debug)]
struct Step {
    number: usize,
    title: String,
    began: Timestamp,
}

impl Logs {
    /// Makes the folder where it is not there yet, and tries whether files can be made in it.
    pub fn create(folder: &Path) -> io::Result<Self> {
        Self::with_limit(folder, MAX_LOG)
    }

    fn with_limit(folder: &Path, limit: u64) -> io::Result<Self> {
        if folder.exists() && !folder.is_dir() {
            let message = "it is there, and no folder";
            return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
        }
        fs::create_dir_all(folder)?;
        tempfile::tempfile_in(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            limit,
            files: HashMap::new(),
            names: HashSet::new(),
        })
    }

    /// Writes what an event adds to the log of its service.
    pub(super) fn take(&mut self, envelope: &Envelope) -> io::Result<()> {
        let at = envelope.at;
        match &envelope.event {
            Event::BuildStarted {
                service, builder, ..
            } => {
                let text = format!("# {service}: build with {builder}, {at:.0}");
                self.log(service)?.line(&text, true)
            }
            Event::StepStarted {
                service,
                step,
                name,
                platform,
            } => {
                let title = match platform {
                    Some(platform) => format!("{platform} {name}"),
                    None => name.clone(),
                };
                self.log(service)?.begin(step, title, at);
                Ok(())
            }
            Event::StepLogged {
                service,
                step,
                line,
            } => self.log(service)?.logged(step, line, at),
            Event::StepFinished {
                service,
                step,
                outcome,
                seconds: took,
            } => {
                let end = match outcome {
                    StepOutcome::Ran => format!("done in {}", seconds(*took)),
                    StepOutcome::Cached => "cached".to_owned(),
                    StepOutcome::Cancelled => "cancelled".to_owned(),
                    StepOutcome::Failed(why) => format!("failed: {why}"),
                };
                self.log(service)?.ended(step, &end)
            }
            Event::BuildFinished {
                service,
                digest,
                seconds: took,
                ..
            } => {
                let digest = digest.as_ref().map_or("for others", Digest::as_str);
                let text = format!("# built {digest} in {}", seconds(*took));
                self.log(service)?.line(&text, true)
            }
            Event::BuildFailed { service, message } => self
                .log(service)?
                .line(&format!("# failed: {message}"), true),
            Event::BuildStopped { service } => self.log(service)?.line("# stopped", true),
            _ => Ok(()),
        }
    }

    /// Brings everything that was written to the files.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.files.values_mut().try_for_each(|log| log.file.flush())
    }

    fn log(&mut self, service: &str) -> io::Result<&mut Log> {
        if !self.files.contains_key(service) {
            let path = self.folder.join(file_name(service, &mut self.names));
            let log = Log {
                file: BufWriter::new(create(&path)?),
                written: 0,
                is_cut: false,
                steps: HashMap::new(),
                latest: None,
            };
            self.files.insert(service.to_owned(), log);
        }
        let log = self.files.get_mut(service);
        let log = log.ok_or_else(|| io::Error::other("the log is gone"))?;
        Ok(log.limited(self.limit))
    }
}

impl Log {
    /// Says once that the limit is reached.
    fn limited(&mut self, limit: u64) -> &mut Self {
        if self.written >= limit && !self.is_cut {
            self.is_cut = true;
            let text = format!("# cut here: a log is at most {} MiB", limit >> 20);
            // Where even this cannot be written, the next line says so.
            let _ = writeln!(self.file, "{text}");
        }
        self
    }

    fn begin(&mut self, step: &str, title: String, at: Timestamp) {
        let number = self.steps.len() + 1;
        if number > MAX_STEPS {
            return;
        }
        self.steps.entry(step.to_owned()).or_insert(Step {
            number,
            title,
            began: at,
        });
    }

    fn logged(&mut self, step: &str, text: &str, at: Timestamp) -> io::Result<()> {
        self.header(step)?;
        let (number, began) = self
            .steps
            .get(step)
            .map_or((0, at), |step| (step.number, step.began));
        let elapsed = at.duration_since(began).as_secs_f64().max(0.0);
        self.line(&format!("#{number} {elapsed:.3} {text}"), false)
    }

    fn ended(&mut self, step: &str, end: &str) -> io::Result<()> {
        self.header(step)?;
        let number = self.steps.get(step).map_or(0, |step| step.number);
        self.line(&format!("#{number} {end}"), false)
    }

    /// Names the step, unless it wrote the line before.
    fn header(&mut self, step: &str) -> io::Result<()> {
        if self.latest.as_deref() == Some(step) {
            return Ok(());
        }
        self.latest = Some(step.to_owned());
        let Some(known) = self.steps.get(step) else {
            return Ok(());
        };
        let text = format!("#{} {}", known.number, known.title);
        self.line(&text, false)
    }

    /// Writes a line. What is `important` is written behind the limit, too.
    fn line(&mut self, text: &str, important: bool) -> io::Result<()> {
        if self.is_cut && !important {
            return Ok(());
        }
        let text = crate::printable::one_line(text, 5_000);
        self.written += text.len() as u64 + 1;
        writeln!(self.file, "{text}")
    }
}

/// A new file. What was there before is replaced and not written through: a link that somebody put
/// there leads nowhere.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    options.open(path)
}

/// A name for the log of `service` that is safe in any folder and not among `taken`.
fn file_name(service: &str, taken: &mut HashSet<String>) -> String {
    let letters = one_line(service);
    let letters = letters.chars().take(MAX_NAME).map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() => letter,
        '.' | '-' | '_' => letter,
        _ => '_',
    });
    let mut stem: String = letters.collect();
    if stem.is_empty() || stem.starts_with(['.', '-']) {
        stem.insert(0, '_');
    }
    let mut name = format!("{stem}.log");
    let mut number = 2_u32;
    while !taken.insert(name.to_lowercase()) {
        name = format!("{stem}-{number}.log");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(at: f64, event: Event) -> Envelope {
        let begin: Timestamp = "2024-06-28T10:00:00Z".parse().unwrap();
        Envelope {
            v: 1,
            seq: 1,
            at: begin + jiff::SignedDuration::from_secs_f64(at),
            event,
        }
    }

    fn started(step: &str, name: &str) -> Event {
        Event::StepStarted {
            service: "api".to_owned(),
            step: step.to_owned(),
            name: name.to_owned(),
            platform: Some("linux/arm64".parse().unwrap()),
        }
    }

    fn logged(step: &str, line: &str) -> Event {
        Event::StepLogged {
            service: "api".to_owned(),
            step: step.to_owned(),
            line: line.to_owned(),
        }
    }

    #[test]
    fn a_log_says_which_step_wrote_what_and_when() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/deep");
        let mut logs = Logs::create(&path).unwrap();
        let events = [
            (
                0.0,
                Event::BuildStarted {
                    service: "api".to_owned(),
                    builder: "engine".to_owned(),
                    because: None,
                },
            ),
            (0.0, started("a", "[1/2] RUN one")),
            (0.5, started("b", "[2/2] RUN two")),
            (0.75, logged("a", "first")),
            (1.0, logged("b", "second")),
            (1.5, logged("b", "third")),
            (2.0, logged("a", "fourth")),
            (
                2.5,
                Event::StepFinished {
                    service: "api".to_owned(),
                    step: "a".to_owned(),
                    outcome: StepOutcome::Failed("exit code: 1".to_owned()),
                    seconds: 2.5,
                },
            ),
            (
                3.0,
                Event::BuildFailed {
                    service: "api".to_owned(),
                    message: "exit\u{1b}[2J code: 1".to_owned(),
                },
            ),
        ];
        for (at, event) in events {
            logs.take(&envelope(at, event)).unwrap();
        }
        logs.flush().unwrap();
        let text = fs::read_to_string(path.join("api.log")).unwrap();
        insta::assert_snapshot!(text, @"
        # api: build with engine, 2024-06-28T10:00:00Z
        #1 linux/arm64 [1/2] RUN one
        #1 0.750 first
        #2 linux/arm64 [2/2] RUN two
        #2 0.500 second
        #2 1.000 third
        #1 linux/arm64 [1/2] RUN one
        #1 2.000 fourth
        #1 failed: exit code: 1
        # failed: exit�[2J code: 1
        ");
    }

    #[test]
    fn a_log_that_is_too_long_says_where_it_was_cut_and_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::with_limit(folder.path(), 1 << 20).unwrap();
        logs.take(&envelope(0.0, started("a", "[1/1] RUN yes")))
            .unwrap();
        let line = "y".repeat(1000);
        for _ in 0..3000 {
            logs.take(&envelope(1.0, logged("a", &line))).unwrap();
        }
        let stopped = Event::BuildStopped {
            service: "api".to_owned(),
        };
        logs.take(&envelope(2.0, stopped)).unwrap();
        logs.flush().unwrap();
        let text = fs::read_to_string(folder.path().join("api.log")).unwrap();
        assert!(text.len() < (1 << 20) + 2000, "{}", text.len());
        assert!(text.ends_with("yyyy\n# cut here: a log is at most 1 MiB\n# stopped\n"));
    }

    #[test]
    fn names_of_files_are_safe_and_each_service_has_its_own() {
        let mut taken = HashSet::new();
        let mut name = |service: &str| file_name(service, &mut taken);
        assert_eq!(name("api"), "api.log");
        assert_eq!(name("API"), "API-2.log");
        assert_eq!(name("../../etc/passwd"), "_.._.._etc_passwd.log");
        assert_eq!(name(".."), "_...log");
        assert_eq!(name("-rf"), "_-rf.log");
        assert_eq!(name("ä b"), "__b.log");
        assert_eq!(name("ö b"), "__b-2.log");
        assert_eq!(name(&"x".repeat(300)).len(), MAX_NAME + 4);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_folder_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "kept").unwrap();
        let path = folder.path().join("logs");
        let mut logs = Logs::create(&path).unwrap();
        std::os::unix::fs::symlink(&precious, path.join("api.log")).unwrap();
        logs.take(&envelope(0.0, logged("a", "line"))).unwrap();
        logs.flush().unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
        assert_eq!(
            fs::read_to_string(path.join("api.log")).unwrap(),
            "#0 0.000 line\n"
        );
    }
}
