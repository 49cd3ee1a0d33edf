use std::collections::{HashMap, VecDeque};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{
    StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};

use crate::cx::Events;
use crate::event::{Event, StepOutcome};
use crate::oci::Platform;
use crate::printable::{log_line, without_url_secrets};

/// How many lines of a step's log are kept for the report of a failure.
const KEPT_LINES: usize = 50;
/// The longest line that is told; the rest of a longer one is dropped.
const MAX_LINE: usize = 4096;
/// The most steps that are followed, as a bound on a builder that makes them up.
const MAX_STEPS: usize = 100_000;

/// Follows one build: the builder repeats what it said at every change, this tells each thing once.
pub(super) struct Watch {
    service: String,
    events: Events,
    steps: HashMap<String, Step>,
}

/// A step of a build.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) name: String,
    is_told: bool,
    is_done: bool,
    is_cached: bool,
    error: String,
    /// What a line began with and has not ended yet, by stream.
    partial: HashMap<i64, Vec<u8>>,
    lines: VecDeque<String>,
}

impl Watch {
    pub(super) fn new(service: &str, events: Events) -> Self {
        Self {
            service: service.to_owned(),
            events,
            steps: HashMap::new(),
        }
    }

    /// How many steps there were, and how many of them came out of the cache. What the frontend
    /// does for itself does not count.
    pub(super) fn counts(&self) -> (usize, usize) {
        let own = |step: &&Step| step.is_told && !step.name.starts_with("[internal]");
        let steps = self.steps.values().filter(own);
        let cached = self
            .steps
            .values()
            .filter(own)
            .filter(|step| step.is_cached);
        (steps.count(), cached.count())
    }

    pub(super) fn step(&self, digest: &str) -> Option<&Step> {
        self.steps.get(digest)
    }

    /// The step that failed, where exactly that is known; one that was cancelled because another
    /// failed is not it.
    pub(super) fn failed_step(&self) -> Option<&Step> {
        self.steps
            .values()
            .filter(|step| !step.error.is_empty() && !step.is_cache())
            .min_by_key(|step| step.error.contains("context canceled"))
    }

    pub(super) fn take(&mut self, answer: StatusResponse) {
        for vertex in answer.vertexes {
            self.vertex(vertex);
        }
        for status in answer.statuses {
            self.progress(status);
        }
        for log in answer.logs {
            self.log(&log);
        }
        for warning in answer.warnings {
            self.warning(&warning);
        }
    }

    fn vertex(&mut self, vertex: Vertex) {
        if self.steps.len() >= MAX_STEPS && !self.steps.contains_key(&vertex.digest) {
            return;
        }
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if step.name.is_empty() {
            step.name = clean_line(vertex.name.as_bytes());
        }
        let Some(started) = vertex.started else {
            return;
        };
        if !step.is_told {
            step.is_told = true;
            let (platform, name) = split_platform(&step.name);
            self.events.tell(Event::StepStarted {
                service: self.service.clone(),
                step: vertex.digest.clone(),
                name,
                platform,
            });
        }
        let Some(completed) = vertex.completed else {
            // A step may run again, as when its cache turned out to be gone.
            step.is_done = false;
            return;
        };
        if step.is_done {
            return;
        }
        step.is_done = true;
        step.is_cached = vertex.cached;
        step.error = clean_line(vertex.error.as_bytes());
        let trouble = step.cache_trouble();
        self.flush(&vertex.digest);
        if let Some(message) = trouble {
            self.events.tell(Event::Warned {
                subject: self.service.clone(),
                message,
                hint: None,
            });
        }
        let outcome = if vertex.error.is_empty() {
            if vertex.cached {
                StepOutcome::Cached
            } else {
                StepOutcome::Ran
            }
        } else if vertex.error.ends_with("context canceled") {
            StepOutcome::Cancelled
        } else {
            StepOutcome::Failed(clean_line(vertex.error.as_bytes()))
        };
        self.events.tell(Event::StepFinished {
            service: self.service.clone(),
            step: vertex.digest,
            outcome,
            seconds: seconds(started, completed),
        });
    }

    fn progress(&mut self, status: VertexStatus) {
        let what = if status.name.is_empty() {
            status.id
        } else {
            status.name
        };
        self.events.tell(Event::StepProgressed {
            service: self.service.clone(),
            step: status.vertex,
            what: clean_line(what.as_bytes()),
            current: u64::try_from(status.current).unwrap_or_default(),
            total: u64::try_from(status.total).unwrap_or_default(),
            done: status.completed.is_some(),
        });
    }

    fn log(&mut self, log: &VertexLog) {
        let Some(step) = self.steps.get_mut(&log.vertex) else {
            return;
        };
        let mut partial = step.partial.remove(&log.stream).unwrap_or_default();
        let mut lines = Vec::new();
        for piece in log.msg.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE.saturating_sub(partial.len());
            partial.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                lines.push(clean_line(&partial));
                partial.clear();
            }
        }
        if !partial.is_empty() {
            step.partial.insert(log.stream, partial);
        }
        for line in lines {
            step.keep(line.clone());
            self.events.tell(Event::StepLogged {
                service: self.service.clone(),
                step: log.vertex.clone(),
                line,
            });
        }
    }

    /// Tells what a step wrote last without ending the line.
    fn flush(&mut self, digest: &str) {
        let Some(step) = self.steps.get_mut(digest) else {
            return;
        };
        let mut rest: Vec<_> = step.partial.drain().collect();
        rest.sort();
        for (_, bytes) in rest {
            let line = clean_line(&bytes);
            step.keep(line.clone());
            self.events.tell(Event::StepLogged {
                service: self.service.clone(),
                step: digest.to_owned(),
                line,
            });
        }
    }

    fn warning(&mut self, warning: &VertexWarning) {
        let file = warning.info.as_ref().map(|info| info.filename.clone());
        let line = warning
            .ranges
            .first()
            .and_then(|range| range.start)
            .and_then(|start| u32::try_from(start.line).ok())
            .filter(|line| *line > 0);
        self.events.tell(Event::DockerfileWarned {
            service: self.service.clone(),
            file: clean_line(file.unwrap_or_default().as_bytes()),
            line,
            message: clean_line(&warning.short),
            url: Some(warning.url.clone()).filter(|url| url.starts_with("https://")),
        });
    }
}

impl Step {
    /// Whether this step brings the result to where it goes.
    pub(super) fn is_export(&self) -> bool {
        self.name.starts_with("exporting to ") || self.name.starts_with("pushing ")
    }

    /// Whether this step only reads or writes a cache, which a build can do without.
    fn is_cache(&self) -> bool {
        self.name.starts_with("exporting cache") || self.name.starts_with("importing cache")
    }

    /// What a user should know of a cache. One that does not exist yet is no trouble.
    fn cache_trouble(&self) -> Option<String> {
        if self.error.is_empty() || !self.is_cache() || self.error.ends_with("context canceled") {
            return None;
        }
        let verb = if self.name.starts_with("exporting") {
            "written"
        } else if self.error.ends_with(": not found") {
            return None;
        } else {
            "read"
        };
        Some(format!("the cache could not be {verb}: {}", self.error))
    }

    pub(super) fn last_lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    fn keep(&mut self, line: String) {
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// A line of the builder's, fit to be shown and to be kept: events are written to files.
fn clean_line(bytes: &[u8]) -> String {
    without_url_secrets(&log_line(bytes, MAX_LINE))
}

/// `[linux/arm64 2/3] RUN x` is `[2/3] RUN x` for `linux/arm64`.
fn split_platform(name: &str) -> (Option<Platform>, String) {
    let inside = name.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((inside, behind)) = inside else {
        return (None, name.to_owned());
    };
    let (first, rest) = inside.split_once(' ').unwrap_or((inside, ""));
    let platform = first
        .contains('/')
        .then(|| first.parse::<Platform>().ok())
        .flatten()
        // `2/3` is the number of a step and no platform.
        .filter(|platform| {
            platform
                .os()
                .starts_with(|letter: char| letter.is_alphabetic())
        });
    match platform {
        Some(platform) if rest.is_empty() => (Some(platform), behind.trim_start().to_owned()),
        Some(platform) => (Some(platform), format!("[{rest}]{behind}")),
        None => (None, name.to_owned()),
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    let whole = to.seconds.saturating_sub(from.seconds);
    let nanos = f64::from(to.nanos) - f64::from(from.nanos);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a build takes less than 2^52 seconds"
    )]
    let seconds = whole as f64 + nanos / 1e9;
    seconds.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_address_loses_its_signature_whoever_prints_it() {
        let line = "GET https://me:pw@s3.example/x?X-Amz-Signature=abc: 403";
        assert_eq!(
            clean_line(line.as_bytes()),
            "GET https://s3.example/x?…: 403"
        );
    }

    #[test]
    fn a_step_says_its_platform_in_front() {
        let linux = |text: &str| Some(text.parse::<Platform>().unwrap());
        for (name, platform, rest) in [
            (
                "[linux/arm64 2/3] RUN x",
                linux("linux/arm64"),
                "[2/3] RUN x",
            ),
            (
                "[linux/arm/v7 build 1/2] FROM y",
                linux("linux/arm/v7"),
                "[build 1/2] FROM y",
            ),
            ("[2/3] RUN x", None, "[2/3] RUN x"),
            ("[internal] load metadata", None, "[internal] load metadata"),
            ("exporting to image", None, "exporting to image"),
        ] {
            assert_eq!(split_platform(name), (platform, rest.to_owned()), "{name}");
        }
    }
}
