use std::collections::{HashMap, VecDeque};

use indexmap::IndexMap;
use jiff::Timestamp;

use super::dialect::Dialect;
use super::words::{count, digest, one_line, seconds, size};
use crate::event::{Envelope, Event, StepOutcome};
use crate::printable;

/// How many steps are known by their names, as a bound on a builder that makes them up.
const MAX_STEPS: usize = 10_000;
/// The longest line that is shown, in characters.
const MAX_LINE: usize = 5_000;
/// How much of a service's lines waits to be shown together, in bytes. The oldest lines make room.
const MAX_HELD: usize = 1 << 20;

/// A run as lines that are only ever added to: for logs, pipes and terminals that cannot move their
/// cursor. Each line says when, counted from the begin of the run, and names its service.
///
/// Where the reader can fold lines, those of a build come together once it is over.
#[derive(Debug, Default)]
pub struct Plain {
    dialect: Dialect,
    began: Option<Timestamp>,
    /// When the event was told whose lines are made.
    at: Option<Timestamp>,
    /// The width of the column of names.
    width: usize,
    /// What the steps that have begun are called, by service and id.
    steps: HashMap<(String, String), Label>,
    /// What waits for the end of its build, by service.
    held: IndexMap<String, Held>,
}

/// What a step is called.
#[derive(Debug, Default)]
struct Label {
    /// With its platform and its command.
    name: String,
    /// In front of each line of its log.
    short: String,
}

/// Lines that are shown together.
#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<String>,
    bytes: usize,
    /// How many made room for others.
    dropped: usize,
}

impl Plain {
    /// Lines for a reader that understands `dialect`.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            ..Self::default()
        }
    }

    /// The lines that one event adds, without their ends.
    pub fn lines(&mut self, envelope: &Envelope) -> Vec<String> {
        self.began.get_or_insert(envelope.at);
        self.at = Some(envelope.at);
        match &envelope.event {
            Event::Planned { targets } => {
                let longest = targets.iter().map(|target| target.service.len()).max();
                self.width = longest.unwrap_or(0).max("publish".len()).min(30);
                let built = targets.iter().filter(|target| target.build).count();
                let tags = targets.iter().map(|target| target.tags.len()).sum();
                let merged = targets.iter().filter(|target| target.merge).count();
                let parts = match merged {
                    0 => String::new(),
                    merged => format!("{merged} to put together, "),
                };
                let text = format!(
                    "{} to build, {parts}{} to reuse, {}",
                    count(built, "service"),
                    targets.len() - built - merged,
                    count(tags, "tag")
                );
                vec![self.line("plan", &text)]
            }
            Event::PreflightFinished {
                findings,
                seconds: took,
            } if findings.is_empty() => {
                vec![self.line("check", &format!("ready ({})", seconds(*took)))]
            }
            Event::BuildStarted {
                service,
                builder,
                because,
            } => {
                let because = because.as_ref();
                let because = because.map_or_else(String::new, |why| format!(": {why}"));
                vec![self.line(service, &format!("building with {builder}{because}"))]
            }
            Event::StepStarted { .. } | Event::StepLogged { .. } | Event::StepFinished { .. } => {
                self.step(&envelope.event)
            }
            Event::BuildFinished { .. }
            | Event::BuildFailed { .. }
            | Event::BuildStopped { .. } => self.built(&envelope.event),
            Event::Reused {
                service,
                digest: reused,
                because,
            } => {
                let text = format!("reusing {}: {because}", digest(reused));
                vec![self.line(service, &text)]
            }
            Event::Merged {
                service,
                digest: merged,
                because,
                ..
            } => {
                let text = format!("merged into {}: {because}", digest(merged));
                vec![self.line(service, &text)]
            }
            Event::Uploaded {
                service,
                repository,
                size: bytes,
                ..
            } => {
                let text = format!("uploaded to {repository} ({})", size(*bytes));
                vec![self.line(service, &text)]
            }
            Event::UploadFailed {
                service,
                repository,
                message,
            } => {
                let text = format!("not uploaded to {repository}: {message}");
                vec![self.line(service, &text)]
            }
            // What a build that never ended had to say.
            Event::RunFinished { .. } => {
                let services: Vec<String> = self.held.keys().cloned().collect();
                let groups = services
                    .iter()
                    .flat_map(|service| self.group(service, true));
                groups.collect()
            }
            _ => self.rest(&envelope.event),
        }
    }

    fn step(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::StepStarted {
                service,
                step,
                name,
                platform,
            } => {
                let key = (service.clone(), step.clone());
                if self.steps.len() >= MAX_STEPS && !self.steps.contains_key(&key) {
                    return Vec::new();
                }
                let short = short(name);
                let (name, short) = match platform {
                    Some(platform) => (format!("{platform} {name}"), format!("{platform} {short}")),
                    None => (name.clone(), short.to_owned()),
                };
                self.steps.insert(key, Label { name, short });
                Vec::new()
            }
            Event::StepLogged {
                service,
                step,
                line,
            } => {
                let label = self.steps.get(&(service.clone(), step.clone()));
                let short = label.map_or("", |label| label.short.as_str());
                let line = self.line(service, &format!("{short} | {line}"));
                self.hold(service, line)
            }
            Event::StepFinished {
                service,
                step,
                outcome,
                seconds: took,
            } => {
                let label = self.steps.get(&(service.clone(), step.clone()));
                let name = label.map_or("", |label| label.name.as_str());
                let end = match outcome {
                    // The builder's own steps are of interest only when they fail.
                    StepOutcome::Ran | StepOutcome::Cached if name.contains("[internal]") => {
                        return Vec::new();
                    }
                    // A base image is fetched in parts, each of which ends the step once more.
                    StepOutcome::Ran if name.contains("] FROM ") => return Vec::new(),
                    StepOutcome::Ran if *took < 0.001 => return Vec::new(),
                    StepOutcome::Ran => seconds(*took),
                    StepOutcome::Cached => "cached".to_owned(),
                    StepOutcome::Cancelled => return Vec::new(),
                    StepOutcome::Failed(_) => "failed".to_owned(),
                };
                let line = self.line(service, &format!("{name}  {end}"));
                self.hold(service, line)
            }
            _ => Vec::new(),
        }
    }

    /// The end of a build.
    fn built(&mut self, event: &Event) -> Vec<String> {
        let (service, text, is_good) = match event {
            Event::BuildFinished {
                service,
                digest: built,
                seconds: took,
                steps,
                cached,
                ..
            } => {
                let built = built
                    .as_ref()
                    .map_or_else(|| "for others".to_owned(), digest);
                let text = format!(
                    "built {built} in {} ({cached} of {} cached)",
                    seconds(*took),
                    count(*steps, "step")
                );
                (service, text, true)
            }
            Event::BuildFailed { service, message } => {
                (service, format!("failed: {message}"), false)
            }
            Event::BuildStopped { service } => (service, "stopped".to_owned(), true),
            _ => return Vec::new(),
        };
        let mut lines = self.group(service, !is_good);
        lines.push(self.line(service, &text));
        lines
    }

    /// A line of a build, now or together with the others.
    fn hold(&mut self, service: &str, line: String) -> Vec<String> {
        if !self.dialect.has_groups() {
            return vec![line];
        }
        let held = self.held.entry(service.to_owned()).or_default();
        held.bytes += line.len();
        held.lines.push_back(line);
        while held.bytes > MAX_HELD {
            let Some(oldest) = held.lines.pop_front() else {
                break;
            };
            held.bytes -= oldest.len();
            held.dropped += 1;
        }
        Vec::new()
    }

    /// What was held of a service's build.
    fn group(&mut self, service: &str, open: bool) -> Vec<String> {
        let Some(held) = self.held.shift_remove(service) else {
            return Vec::new();
        };
        let at = self.at.unwrap_or_default();
        let title = format!("build of {}", one_line(service));
        let mut lines = vec![self.dialect.begin(service, &title, open, at)];
        if held.dropped > 0 {
            let text = format!(
                "… {} left out here; --logs DIR keeps them all",
                count(held.dropped, "earlier line")
            );
            lines.push(self.line(service, &text));
        }
        lines.extend(held.lines);
        lines.push(self.dialect.end(service, at));
        lines
    }

    fn rest(&self, event: &Event) -> Vec<String> {
        let (subject, text) = match event {
            Event::CommitStarted { moves } => (
                "publish",
                format!("everything is up; {} to write", count(*moves, "tag")),
            ),
            Event::TagMoved {
                service,
                reference,
                from,
                to,
            } => {
                let from = from.as_ref().map_or_else(|| "new".to_owned(), digest);
                (
                    service.as_str(),
                    format!("{reference}  {from} → {}", digest(to)),
                )
            }
            Event::TagKept {
                service, reference, ..
            } => (service.as_str(), format!("{reference}  unchanged")),
            Event::TagRefused {
                service,
                reference,
                because,
            } => {
                // A tag that is not brought back belongs to no service any more.
                let subject = if service.is_empty() {
                    "restore"
                } else {
                    service
                };
                (subject, format!("{reference}  left alone: {because}"))
            }
            Event::TagFailed {
                service,
                reference,
                message,
            } => {
                let text = format!("{reference}  not written: {message}");
                (service.as_str(), text)
            }
            Event::TagRestored { reference, to } => {
                let to = to.as_ref().map_or_else(|| "gone again".to_owned(), digest);
                ("restore", format!("{reference}  {to}"))
            }
            Event::TagStranded {
                reference, message, ..
            } => ("restore", format!("{reference}  not restored: {message}")),
            Event::Verified { tags } => (
                "verify",
                format!("{} read back as written", count(*tags, "moved tag")),
            ),
            Event::Recorded { release } => ("record", format!("release {release}")),
            Event::Pruned {
                kind,
                id,
                bytes,
                because,
                applied,
            } => {
                let verb = if *applied { "removed" } else { "would remove" };
                let text = format!("{verb} {kind} {id} ({}): {because}", size(*bytes));
                ("prune", text)
            }
            Event::Retried {
                what,
                attempt,
                wait,
                because,
            } => {
                let text = format!(
                    "{what}: attempt {attempt} failed, next in {}: {because}",
                    seconds(*wait)
                );
                ("retry", text)
            }
            Event::Warned {
                subject, message, ..
            } => {
                let subject = if subject.is_empty() {
                    "warning"
                } else {
                    subject
                };
                (subject, format!("warning: {message}"))
            }
            Event::CancelRequested { signal } => ("stop", format!("{signal}: stopping")),
            // Checks of Dockerfiles are shown at the end, each once for all services.
            _ => return Vec::new(),
        };
        vec![self.line(subject, &text)]
    }

    /// A line with its time and its subject. Whatever stands in them, it is one line of text.
    fn line(&self, subject: &str, text: &str) -> String {
        let elapsed = match (self.began, self.at) {
            (Some(began), Some(at)) => at.duration_since(began).as_secs_f64().max(0.0),
            _ => 0.0,
        };
        let (subject, text) = (one_line(subject), printable::one_line(text, MAX_LINE));
        let width = self.width.max(7);
        let line = format!("{elapsed:>6.1}s  {subject:<width$}  {text}");
        self.dialect.harmless(&line).into_owned()
    }
}

/// `2/3` of `[2/3] RUN make`, and the first word of a step that has no number.
fn short(name: &str) -> &str {
    let inside = name.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match inside {
        Some((inside, _)) => inside,
        None => name.split(' ').next().unwrap_or_default(),
    }
}
