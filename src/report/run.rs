use std::collections::{BTreeMap, VecDeque};

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::event::{Envelope, Event, Finding, StepOutcome};
use crate::oci::{Digest, Platform, Reference};

/// How many of a service's last log lines are kept.
const KEPT_LINES: usize = 30;
/// How much of each of them is kept, in characters: more than any terminal is wide.
const KEPT_LETTERS: usize = 500;
/// How many steps of a service are followed, and how many transfers within a step. A builder that
/// makes up more costs no memory.
const MAX_STEPS: usize = 2_000;
const MAX_TRANSFERS: usize = 64;
/// How many findings about Dockerfiles are kept.
const MAX_CHECKS: usize = 1_000;

/// A run as far as its events tell: every view is a function of this.
///
/// Folding a saved stream gives the same value as the live run had at the same event.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The command.
    pub command: String,
    /// The compose project's name.
    pub project: String,
    /// When the first and the latest event were told.
    pub began: Option<Timestamp>,
    /// See `began`.
    pub latest: Option<Timestamp>,
    /// The services in the order of the plan.
    pub services: IndexMap<String, ServiceRun>,
    /// What checks of Dockerfiles found, each once for all services and platforms.
    pub checks: IndexMap<Check, CheckRun>,
    /// What preflight found; `None` before it ended.
    pub findings: Option<Vec<Finding>>,
    /// How many tags are to be written; `None` before that begins.
    pub moves: Option<usize>,
    /// What became of the tags.
    pub tags: IndexMap<Reference, TagState>,
    /// Whether everything was read back.
    pub verified: bool,
    /// The signal that asked the run to stop.
    pub cancelled: Option<String>,
    /// The exit code, once the run is over.
    pub exit: Option<u8>,
}

/// A service as far as the events tell.
#[derive(Clone, Debug, Default)]
pub struct ServiceRun {
    /// Where it is.
    pub phase: Phase,
    /// The platforms it is built for.
    pub platforms: Vec<Platform>,
    /// When its build began.
    pub began: Option<Timestamp>,
    /// The steps in the order in which they began.
    pub steps: IndexMap<String, StepRun>,
    /// The image's digest.
    pub digest: Option<Digest>,
    /// Whether the image was taken as it is.
    pub reused: bool,
    /// The tags that point to it now.
    pub tags: Vec<Reference>,
    /// The image's size in bytes.
    pub size: u64,
    /// How long its build took, in seconds.
    pub seconds: f64,
    /// In how many repositories its image is, and in how many it should be.
    pub uploads: (usize, usize),
    /// When it was everywhere it should be, or failed.
    pub ended: Option<Timestamp>,
    /// The last lines of its steps' logs, each with the id of its step.
    pub lines: VecDeque<(String, String)>,
    /// What went wrong.
    pub failure: Option<String>,
}

/// What a check of a Dockerfile found, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Check {
    /// The Dockerfile.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// What is amiss.
    pub message: String,
}

/// Whom a finding concerns, and what else is known of it.
#[derive(Clone, Debug, Default)]
pub struct CheckRun {
    /// The services that are built from the file.
    pub services: Vec<String>,
    /// Where to read more.
    pub url: Option<String>,
    /// The lines of the Dockerfile.
    pub source: Vec<String>,
}

/// Where a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// It is built.
    Building,
    /// It is built, and brought to registries.
    Uploading,
    /// It is everywhere it should be.
    Uploaded,
    /// It failed.
    Failed,
    /// It was stopped, as another one failed or a signal said so.
    Stopped,
}

/// A step of a build as far as the events tell.
#[derive(Clone, Debug, Default)]
pub struct StepRun {
    /// Its name.
    pub name: String,
    /// Its platform.
    pub platform: Option<Platform>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// How it ended, the last time it did.
    pub outcome: Option<StepOutcome>,
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// What is being moved: how far it is, and what it will come to, in bytes. What has arrived is
    /// not in here any more.
    pub progress: BTreeMap<String, (u64, u64)>,
}

/// What became of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagState {
    /// It moved.
    Moved(Option<Digest>, Digest),
    /// It pointed to the right image already.
    Kept(Digest),
    /// It was left where it is on purpose.
    Refused(String),
    /// It could not be written.
    Failed(String),
    /// It went back.
    Restored(Option<Digest>),
    /// It could not go back.
    Stranded(String),
}

impl Run {
    /// Takes one more event.
    pub fn apply(&mut self, envelope: &Envelope) {
        let at = envelope.at;
        self.began.get_or_insert(at);
        self.latest = Some(at);
        match &envelope.event {
            Event::RunStarted {
                command, project, ..
            } => {
                self.command.clone_from(command);
                self.project.clone_from(project);
            }
            Event::Planned { targets } => {
                for target in targets {
                    let service = self.service(&target.service);
                    service.platforms.clone_from(&target.platforms);
                    service.uploads.1 = target.repositories.len();
                }
            }
            Event::PreflightFinished { findings, .. } => {
                self.findings = Some(findings.clone());
            }
            Event::CommitStarted { moves } => self.moves = Some(*moves),
            Event::Verified { .. } => self.verified = true,
            Event::CancelRequested { signal } => self.cancelled = Some(signal.clone()),
            Event::RunFinished { exit, .. } => self.exit = Some(*exit),
            Event::StepStarted { .. }
            | Event::StepProgressed { .. }
            | Event::StepLogged { .. }
            | Event::StepFinished { .. } => self.apply_step(at, &envelope.event),
            Event::BuildStarted { .. }
            | Event::BuildFinished { .. }
            | Event::Reused { .. }
            | Event::Merged { .. }
            | Event::BuildFailed { .. }
            | Event::BuildStopped { .. }
            | Event::Uploaded { .. }
            | Event::UploadFailed { .. } => self.apply_service(at, &envelope.event),
            Event::TagMoved { .. }
            | Event::TagKept { .. }
            | Event::TagRefused { .. }
            | Event::TagFailed { .. }
            | Event::TagRestored { .. }
            | Event::TagStranded { .. } => self.apply_tag(&envelope.event),
            Event::DockerfileWarned { .. } => self.apply_check(&envelope.event),
            Event::Recorded { .. }
            | Event::Pruned { .. }
            | Event::Retried { .. }
            | Event::Warned { .. } => {}
        }
    }

    fn service(&mut self, name: &str) -> &mut ServiceRun {
        self.services.entry(name.to_owned()).or_default()
    }

    fn apply_service(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::BuildStarted { service, .. } => {
                let service = self.service(service);
                service.phase = Phase::Building;
                service.began = Some(at);
            }
            Event::BuildFinished {
                service,
                digest,
                seconds,
                ..
            } => {
                let service = self.service(service);
                // What goes nowhere is where it should be.
                let is_going = digest.is_some() && service.uploads.1 > 0;
                service.phase = if is_going {
                    Phase::Uploading
                } else {
                    service.ended = Some(at);
                    Phase::Uploaded
                };
                service.digest.clone_from(digest);
                service.seconds = *seconds;
            }
            Event::Reused {
                service, digest, ..
            } => {
                let service = self.service(service);
                service.phase = Phase::Uploading;
                service.digest = Some(digest.clone());
                service.reused = true;
            }
            Event::Merged {
                service, digest, ..
            } => {
                let service = self.service(service);
                service.phase = Phase::Uploading;
                service.digest = Some(digest.clone());
            }
            Event::BuildFailed { service, message } => {
                let service = self.service(service);
                service.phase = Phase::Failed;
                service.failure = Some(message.clone());
                service.ended = Some(at);
            }
            Event::BuildStopped { service } => {
                let service = self.service(service);
                service.phase = Phase::Stopped;
                service.ended = Some(at);
            }
            Event::Uploaded { service, size, .. } => {
                let service = self.service(service);
                service.size = *size;
                service.uploads.0 += 1;
                if service.uploads.0 >= service.uploads.1 {
                    service.phase = Phase::Uploaded;
                    service.ended = Some(at);
                }
            }
            Event::UploadFailed {
                service, message, ..
            } => {
                self.service(service).failure = Some(message.clone());
            }
            _ => {}
        }
    }

    fn apply_step(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::StepStarted {
                service,
                step,
                name,
                platform,
            } => {
                let steps = &mut self.service(service).steps;
                if steps.len() >= MAX_STEPS && !steps.contains_key(step) {
                    return;
                }
                let step = steps.entry(step.clone()).or_default();
                step.name.clone_from(name);
                step.platform.clone_from(platform);
                step.began = Some(at);
                step.outcome = None;
            }
            Event::StepProgressed {
                service,
                step,
                what,
                current,
                total,
                done,
            } => {
                if let Some(step) = self.service(service).steps.get_mut(step) {
                    let progress = &mut step.progress;
                    if *done {
                        progress.remove(what);
                    } else if progress.len() < MAX_TRANSFERS || progress.contains_key(what) {
                        progress.insert(what.clone(), (*current, *total));
                    }
                }
            }
            Event::StepLogged {
                service,
                step,
                line,
            } => {
                let lines = &mut self.service(service).lines;
                if lines.len() == KEPT_LINES {
                    lines.pop_front();
                }
                lines.push_back((step.clone(), line.chars().take(KEPT_LETTERS).collect()));
            }
            Event::StepFinished {
                service,
                step,
                outcome,
                seconds,
            } => {
                if let Some(step) = self.service(service).steps.get_mut(step) {
                    step.outcome = Some(outcome.clone());
                    step.seconds = *seconds;
                    step.progress.clear();
                }
            }
            _ => {}
        }
    }

    fn apply_check(&mut self, event: &Event) {
        let Event::DockerfileWarned {
            service,
            file,
            line,
            message,
            url,
            source,
            ..
        } = event
        else {
            return;
        };
        let check = Check {
            file: file.clone(),
            line: *line,
            message: message.clone(),
        };
        if self.checks.len() >= MAX_CHECKS && !self.checks.contains_key(&check) {
            return;
        }
        let found = self.checks.entry(check).or_insert_with(|| CheckRun {
            services: Vec::new(),
            url: url.clone(),
            source: source.clone(),
        });
        if !found.services.contains(service) {
            found.services.push(service.clone());
        }
    }

    fn apply_tag(&mut self, event: &Event) {
        if let Event::TagMoved {
            service, reference, ..
        }
        | Event::TagKept {
            service, reference, ..
        } = event
        {
            self.service(service).tags.push(reference.clone());
        }
        if let Event::TagRestored { reference, .. } = event {
            for service in self.services.values_mut() {
                service.tags.retain(|tag| tag != reference);
            }
        }
        let (reference, state) = match event {
            Event::TagMoved {
                reference,
                from,
                to,
                ..
            } => (reference, TagState::Moved(from.clone(), to.clone())),
            Event::TagKept {
                reference, digest, ..
            } => (reference, TagState::Kept(digest.clone())),
            Event::TagRefused {
                reference, because, ..
            } => (reference, TagState::Refused(because.clone())),
            Event::TagFailed {
                reference, message, ..
            } => (reference, TagState::Failed(message.clone())),
            Event::TagRestored { reference, to } => (reference, TagState::Restored(to.clone())),
            Event::TagStranded {
                reference, message, ..
            } => (reference, TagState::Stranded(message.clone())),
            _ => return,
        };
        self.tags.insert(reference.clone(), state);
    }
}

impl ServiceRun {
    /// How many steps have ended, how many there are so far, and how many came out of the cache.
    /// What the builder does for itself does not count.
    pub fn counts(&self) -> (usize, usize, usize) {
        let own = self
            .steps
            .values()
            .filter(|step| !step.name.starts_with("[internal]"));
        own.fold((0, 0, 0), |(done, all, cached), step| {
            let is_cached = step.outcome == Some(StepOutcome::Cached);
            (
                done + usize::from(step.outcome.is_some()),
                all + 1,
                cached + usize::from(is_cached),
            )
        })
    }

    /// The last lines of the step that failed, oldest first; empty where no step did.
    pub fn last_words(&self) -> impl DoubleEndedIterator<Item = &str> {
        let has_failed = |step: &String| {
            let step = self.steps.get(step);
            step.is_some_and(|step| matches!(step.outcome, Some(StepOutcome::Failed(_))))
        };
        self.lines
            .iter()
            .filter(move |(step, _)| has_failed(step))
            .map(|(_, line)| line.as_str())
    }

    /// The step that was begun last and has not ended.
    pub fn current(&self) -> Option<&StepRun> {
        self.steps
            .values()
            .rev()
            .find(|step| step.outcome.is_none())
    }
}
