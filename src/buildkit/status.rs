use std::collections::{HashMap, HashSet, VecDeque};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{
    StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};

use super::dockerfile::Texts;
use crate::cx::Events;
use crate::event::{Event, StepOutcome};
use crate::execute::ports::BuildOrder;
use crate::oci::Platform;
use crate::printable::{log_line, without_url_secrets};
use crate::secret::Secret;

/// How many lines of a step's log are kept for the report of a failure.
const KEPT_LINES: usize = 50;
/// The longest line that is told; the rest of a longer one is dropped.
const MAX_LINE: usize = 4096;
/// What the names of steps begin with that read or write a cache.
const CACHE_STEPS: [&str; 3] = [
    "exporting cache",
    "importing cache",
    "exporting to GitHub Actions Cache",
];
/// The most steps that are followed, as a bound on a builder that makes them up.
const MAX_STEPS: usize = 100_000;
/// The most remarks about a Dockerfile that are told.
const MAX_REMARKS: usize = 1_000;

/// Follows one build: the builder repeats what it said at every change, this tells each thing once.
pub(super) struct Watch {
    service: String,
    events: Events,
    pub(super) texts: Texts,
    steps: HashMap<String, Step>,
    /// What was said about the Dockerfile: each platform says it again.
    remarks: HashSet<(String, Option<u32>, String)>,
}

/// What a build waits for when nothing but caches holds it up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) reading: bool,
    pub(super) writing: bool,
}

impl Waits {
    pub(super) fn any(self) -> bool {
        self.reading || self.writing
    }
}

/// A step of a build.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) name: String,
    is_told: bool,
    /// Whether it takes in what other steps gave.
    has_inputs: bool,
    /// Whether it came out of the cache; none while it is under way.
    cached: Option<bool>,
    error: String,
    /// What a line began with and has not ended yet, by stream.
    partial: HashMap<i64, Vec<u8>>,
    lines: VecDeque<String>,
}

impl Watch {
    /// `secrets` are the tokens of caches, which a server may send back in its errors.
    pub(super) fn new(order: &BuildOrder, events: Events, secrets: &[Secret]) -> Self {
        let mut texts = Texts::of(order);
        texts.also_hide(secrets);
        Self {
            service: order.service.clone(),
            events,
            texts,
            steps: HashMap::new(),
            remarks: HashSet::new(),
        }
    }

    /// Whether the reader of the events is behind, and the builder had better wait.
    pub(super) fn is_crowded(&self) -> bool {
        self.events.is_crowded()
    }

    /// How many remarks there were about the Dockerfile.
    pub(super) fn remarks(&self) -> usize {
        self.remarks.len()
    }

    /// Whether a step of the Dockerfile itself has begun: then all of it has been read.
    pub(super) fn has_begun(&self) -> bool {
        let own = |step: &Step| step.is_told && !step.name.starts_with("[internal]");
        self.steps.values().any(own)
    }

    /// A line of the builder's, fit to be shown and to be kept: events are written to files.
    fn clean(&self, bytes: &[u8]) -> String {
        let line = without_url_secrets(&log_line(bytes, MAX_LINE));
        let mut line = self.texts.hide(&line).into_owned();
        if bytes.len() > MAX_LINE {
            line.push('…');
        }
        line
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
            .filter(|step| step.cached == Some(true));
        (steps.count(), cached.count())
    }

    /// The kinds of caches that are all that the build waits for: reading, writing. Neither where
    /// something else is under way.
    pub(super) fn only_waits_for(&self) -> Waits {
        let mut waits = Waits::default();
        for step in self.steps.values() {
            if !step.is_told || step.cached.is_some() {
                continue;
            }
            if !step.is_cache() {
                return Waits::default();
            }
            if step.name.starts_with("importing") {
                waits.reading = true;
            } else {
                waits.writing = true;
            }
        }
        waits
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
        let (name, error) = (
            self.clean(vertex.name.as_bytes()),
            self.clean(vertex.error.as_bytes()),
        );
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if step.name.is_empty() {
            step.name = name;
        }
        let Some(started) = vertex.started else {
            step.has_inputs |= !vertex.inputs.is_empty();
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
        // Fetching the layers of what the cache knows is told of like the step itself, but without what
        // the step takes in (util/progress/controller). It neither ends the step nor begins it anew.
        step.has_inputs |= !vertex.inputs.is_empty();
        if step.has_inputs && vertex.inputs.is_empty() && error.is_empty() {
            return;
        }
        let Some(completed) = vertex.completed else {
            // A step may run again, as when its cache turned out to be gone.
            step.cached = None;
            return;
        };
        if step.cached.is_some() {
            return;
        }
        step.cached = Some(vertex.cached);
        step.error.clone_from(&error);
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
            StepOutcome::Failed(error)
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
            what: self.clean(what.as_bytes()),
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
            // One byte more than is shown, so that what is cut can be told.
            let room = (MAX_LINE + 1).saturating_sub(partial.len());
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            partial.extend(text.iter().take(room));
            if piece.ends_with(b"\n") {
                lines.push(std::mem::take(&mut partial));
            }
        }
        if !partial.is_empty() {
            step.partial.insert(log.stream, partial);
        }
        for line in lines {
            self.logged(&log.vertex, &line);
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
            self.logged(digest, &bytes);
        }
    }

    /// Tells a line of a step's log, and keeps it for a while.
    fn logged(&mut self, digest: &str, bytes: &[u8]) {
        let line = self.clean(bytes);
        if let Some(step) = self.steps.get_mut(digest) {
            step.keep(line.clone());
        }
        self.events.tell(Event::StepLogged {
            service: self.service.clone(),
            step: digest.to_owned(),
            line,
        });
    }

    /// Tells a remark about the Dockerfile (BuildKit, frontend/dockerfile/linter), once.
    fn warning(&mut self, warning: &VertexWarning) {
        // An instruction of several lines has a range for each of them.
        let starts = warning.ranges.iter().filter_map(|range| range.start);
        let ends = warning.ranges.iter().filter_map(|range| range.end);
        let line = |line: Option<i32>| u32::try_from(line?).ok().filter(|line| *line > 0);
        let first = line(starts.map(|place| place.line).min());
        let last = line(ends.map(|place| place.line).max());
        let lines = first.map(|first| (first, last.unwrap_or(first)));
        let line = lines.map(|(first, _)| first);
        let name = warning.info.as_ref().map_or("", |info| &info.filename);
        let file = self.texts.path(name).to_string_lossy().into_owned();
        let mut message = self.clean(&warning.short);
        // The line stands beside it.
        if let Some(line) = line
            && let Some(rest) = message.strip_suffix(&format!(" (line {line})"))
        {
            message.truncate(rest.len());
        }
        let key = (file.clone(), line, message.clone());
        if self.remarks.len() >= MAX_REMARKS || !self.remarks.insert(key) {
            return;
        }
        let excerpt = warning.info.as_ref().zip(lines).and_then(|(info, lines)| {
            let (first, last) = (lines.0 as usize, lines.1 as usize);
            self.texts.excerpt(name, &info.data, first, last)
        });
        let source = excerpt.map(|excerpt| {
            let first = std::iter::once(excerpt.text);
            first.chain(excerpt.following).collect()
        });
        self.events.tell(Event::DockerfileWarned {
            service: self.service.clone(),
            file: log_line(file.as_bytes(), MAX_LINE),
            line,
            message,
            url: Some(warning.url.clone()).filter(|url| url.starts_with("https://")),
            detail: warning.detail.first().map(|detail| self.clean(detail)),
            source: source.unwrap_or_default(),
        });
    }
}

impl Step {
    /// Whether this step brings the result to where it goes.
    pub(super) fn is_export(&self) -> bool {
        !self.is_cache()
            && (self.name.starts_with("exporting to ") || self.name.starts_with("pushing "))
    }

    /// Whether this step only reads or writes a cache, which a build can do without (BuildKit,
    /// cache/remotecache, `Name`).
    fn is_cache(&self) -> bool {
        CACHE_STEPS.iter().any(|with| self.name.starts_with(with))
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
mod tests;
