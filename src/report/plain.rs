use super::words::{count, digest, one_line, seconds, size};
use crate::event::{Envelope, Event, StepOutcome};

/// A run as lines that are only ever added to: for logs, pipes and terminals that cannot move their
/// cursor. Each line names its service first.
#[derive(Debug, Default)]
pub struct Plain {
    /// The width of the first column.
    width: usize,
    /// What the steps that have begun are called, by service and id.
    names: std::collections::HashMap<(String, String), String>,
}

impl Plain {
    /// The lines that one event adds.
    pub fn lines(&mut self, envelope: &Envelope) -> Vec<String> {
        match &envelope.event {
            Event::Planned { targets } => {
                let longest = targets.iter().map(|target| target.service.len()).max();
                self.width = longest.unwrap_or(0).max("publish".len());
                let built = targets.iter().filter(|target| target.build).count();
                let tags = targets.iter().map(|target| target.tags.len()).sum();
                vec![self.line(
                    "plan",
                    &format!(
                        "{} to build, {} to reuse, {}",
                        count(built, "service"),
                        targets.len() - built,
                        count(tags, "tag")
                    ),
                )]
            }
            Event::PreflightFinished {
                findings,
                seconds: took,
            } if findings.is_empty() => {
                vec![self.line("check", &format!("ready ({})", seconds(*took)))]
            }
            Event::PreflightFinished { .. }
            | Event::RunStarted { .. }
            | Event::StepProgressed { .. }
            | Event::BuildFailed { .. }
            | Event::RunFinished { .. } => Vec::new(),
            Event::BuildStarted { service, builder } => {
                vec![self.line(service, &format!("building with {builder}"))]
            }
            Event::StepStarted { .. } | Event::StepLogged { .. } | Event::StepFinished { .. } => {
                self.step(&envelope.event)
            }
            Event::DockerfileWarned {
                service,
                file,
                line,
                message,
                ..
            } => {
                let place = line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"));
                let text = format!("warning: {place}: {}", one_line(message));
                vec![self.line(service, &text)]
            }
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
                vec![self.line(service, &text)]
            }
            Event::Reused {
                service,
                digest: reused,
                because,
            } => {
                let text = format!("reusing {}: {because}", digest(reused));
                vec![self.line(service, &text)]
            }
            Event::Uploaded {
                service,
                repository,
                size: bytes,
                ..
            } => vec![self.line(
                service,
                &format!("uploaded to {repository} ({})", size(*bytes)),
            )],
            Event::UploadFailed {
                service,
                repository,
                message,
            } => {
                let text = format!("not uploaded to {repository}: {}", one_line(message));
                vec![self.line(service, &text)]
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
                let name = match platform {
                    Some(platform) => format!("{platform} {name}"),
                    None => name.clone(),
                };
                self.names.insert((service.clone(), step.clone()), name);
                Vec::new()
            }
            Event::StepLogged { service, line, .. } => {
                vec![self.line(service, &format!("| {line}"))]
            }
            Event::StepFinished {
                service,
                step,
                outcome,
                seconds: took,
            } => {
                let key = (service.clone(), step.clone());
                let name = self.names.get(&key).cloned().unwrap_or_default();
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
                vec![self.line(service, &format!("{name}  {end}"))]
            }
            _ => Vec::new(),
        }
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
                let text = format!("{reference}  not written: {}", one_line(message));
                (service.as_str(), text)
            }
            Event::TagRestored { reference, to } => {
                let to = to.as_ref().map_or_else(|| "gone again".to_owned(), digest);
                ("restore", format!("{reference}  {to}"))
            }
            Event::TagStranded {
                reference, message, ..
            } => {
                let text = format!("{reference}  not restored: {}", one_line(message));
                ("restore", text)
            }
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
                    "{what}: attempt {attempt} failed, next in {}: {}",
                    seconds(*wait),
                    one_line(because)
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
                (subject, format!("warning: {}", one_line(message)))
            }
            Event::CancelRequested { signal } => ("stop", format!("{signal}: stopping")),
            _ => return Vec::new(),
        };
        vec![self.line(subject, &text)]
    }

    fn line(&self, subject: &str, text: &str) -> String {
        format!("{subject:<width$}  {text}", width = self.width.max(7))
    }
}
