//! The public event format: what happened, in the order in which it happened.
//!
//! A run tells facts in the past tense, with names and digests; views decide what to show. The
//! stream is written by `--events FILE` and `--progress json` as one JSON object a line
//! ([`Envelope`]), and a saved stream folds into the same report as the live run. Knows no
//! terminal, no clock and no runtime.
//!
//! Kinds and fields may be added; none changes its meaning within one version ([`VERSION`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::oci::{Digest, Platform, Reference, Repository};

/// The version of the format, `v` in every envelope.
pub const VERSION: u32 = 1;

/// One line of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The version of the format.
    pub v: u32,
    /// The number of the event in its run, from 1, without gaps.
    pub seq: u64,
    /// When it was told.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What can happen in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A command began its work.
    RunStarted {
        /// The command, for example `publish`.
        command: String,
        /// castoff's version.
        version: String,
        /// The compose project's name.
        project: String,
    },
    /// The plan stands.
    Planned {
        /// What will be done, a target each.
        targets: Vec<PlannedTarget>,
    },
    /// Preflight looked at everything that a publish needs.
    PreflightFinished {
        /// What is wrong, all of it; empty when everything is ready.
        findings: Vec<Finding>,
        /// How long it took.
        seconds: f64,
    },
    /// A builder took a service on.
    BuildStarted {
        /// The service.
        service: String,
        /// The builder's name, for example `engine`.
        builder: String,
        /// Why it is not the one that docker itself would build with, where castoff took another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// A step of a build began.
    StepStarted {
        /// The service.
        service: String,
        /// The step's id within the build.
        step: String,
        /// The step's name as the builder gives it, without its platform.
        name: String,
        /// The platform it is for, where the builder says so.
        platform: Option<Platform>,
    },
    /// A transfer or another measured part of a step went on.
    StepProgressed {
        /// The service.
        service: String,
        /// The step's id.
        step: String,
        /// What is being moved, for example a layer's digest.
        what: String,
        /// How far it is, in bytes where `total` is in bytes.
        current: u64,
        /// What it will come to, 0 where that is unknown.
        total: u64,
        /// Whether this part is done.
        done: bool,
    },
    /// A step wrote to its log. Control sequences have been removed.
    StepLogged {
        /// The service.
        service: String,
        /// The step's id.
        step: String,
        /// One line without its end.
        line: String,
    },
    /// A step ended.
    StepFinished {
        /// The service.
        service: String,
        /// The step's id.
        step: String,
        /// How it ended.
        outcome: StepOutcome,
        /// How long it ran.
        seconds: f64,
    },
    /// A check of a Dockerfile found something. Services that share a Dockerfile each tell it.
    DockerfileWarned {
        /// The service.
        service: String,
        /// The Dockerfile: its path, or where it is no file of this machine the builder's name for it.
        file: String,
        /// The line, from 1, where there is one.
        line: Option<u32>,
        /// What is amiss, with the name of the check in front.
        message: String,
        /// Where to read more.
        url: Option<String>,
        /// What the check is about in general.
        #[serde(default)]
        detail: Option<String>,
        /// The lines that it is about, as they stand in the Dockerfile, without what looks like a
        /// secret; at most eight.
        #[serde(default)]
        source: Vec<String>,
    },
    /// A service is built, and what it pushes is up.
    BuildFinished {
        /// The service.
        service: String,
        /// The digest of its image: the index where there are several platforms. `null` where the
        /// result is only handed on to services that build on it.
        digest: Option<Digest>,
        /// How long it took.
        seconds: f64,
        /// How many steps there were.
        steps: usize,
        /// How many of them came out of the cache.
        cached: usize,
        /// How many files of the contexts were sent, as the builder did not have them.
        files_sent: u64,
        /// How many bytes those were.
        bytes_sent: u64,
    },
    /// A service's image is taken as it is.
    Reused {
        /// The service.
        service: String,
        /// The digest of its image.
        digest: Digest,
        /// Why.
        because: String,
    },
    /// A service's image is what other machines have built, put together.
    Merged {
        /// The service.
        service: String,
        /// The digest of its image.
        digest: Digest,
        /// The digests of its parts; one where it came whole.
        parts: Vec<Digest>,
        /// Which file has what of it.
        because: String,
    },
    /// A build failed.
    BuildFailed {
        /// The service.
        service: String,
        /// What went wrong, in one paragraph.
        message: String,
    },
    /// A build was stopped before its end, as another one failed or a signal said so.
    BuildStopped {
        /// The service.
        service: String,
    },
    /// A service's image is in a repository, under its digest only.
    Uploaded {
        /// The service.
        service: String,
        /// The repository.
        repository: Repository,
        /// The digest.
        digest: Digest,
        /// The size of the image in bytes as the registry holds it, all platforms, layers counted once.
        size: u64,
    },
    /// A service's image could not be brought into a repository.
    UploadFailed {
        /// The service.
        service: String,
        /// The repository.
        repository: Repository,
        /// What went wrong.
        message: String,
    },
    /// Everything is up everywhere: tags begin to move.
    CommitStarted {
        /// How many tags will be written.
        moves: usize,
    },
    /// A tag points where it should.
    TagMoved {
        /// The service.
        service: String,
        /// The tag's full reference.
        reference: Reference,
        /// Where it pointed before, `null` where it did not exist.
        from: Option<Digest>,
        /// Where it points now.
        to: Digest,
    },
    /// A tag already pointed where it should.
    TagKept {
        /// The service.
        service: String,
        /// The tag's full reference.
        reference: Reference,
        /// Where it points.
        digest: Digest,
    },
    /// A tag was left where it is on purpose.
    TagRefused {
        /// The service.
        service: String,
        /// The tag's full reference.
        reference: Reference,
        /// Why.
        because: String,
    },
    /// A tag could not be written.
    TagFailed {
        /// The service.
        service: String,
        /// The tag's full reference.
        reference: Reference,
        /// What went wrong.
        message: String,
    },
    /// A tag went back to where it pointed before.
    TagRestored {
        /// The tag's full reference.
        reference: Reference,
        /// Where it points now, `null` where it is gone again.
        to: Option<Digest>,
    },
    /// A tag could not be brought back.
    TagStranded {
        /// The tag's full reference.
        reference: Reference,
        /// Where it points, as far as is known.
        at: Option<Digest>,
        /// Where it should point.
        wanted: Option<Digest>,
        /// What went wrong.
        message: String,
    },
    /// Every moved tag was read back and compared.
    Verified {
        /// How many.
        tags: usize,
    },
    /// The release is recorded.
    Recorded {
        /// The release's id.
        release: String,
    },
    /// Something was deleted, or in a dry run would be.
    Pruned {
        /// What kind of thing: `image`, `build cache`, `container`, `tag`, `manifest`.
        kind: String,
        /// Which one.
        id: String,
        /// How many bytes that frees, where it is known.
        bytes: u64,
        /// Which rule says so.
        because: String,
        /// Whether it was done.
        applied: bool,
    },
    /// A request failed and will be made again.
    Retried {
        /// What is being done.
        what: String,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// How long until the next one, in seconds.
        wait: f64,
        /// What went wrong.
        because: String,
    },
    /// Something that a user should know, and that stops nothing.
    Warned {
        /// What it concerns: a service, a registry, a file; empty for the run as a whole.
        subject: String,
        /// What is amiss.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A signal asked the run to stop.
    CancelRequested {
        /// `SIGINT` or `SIGTERM`.
        signal: String,
    },
    /// The run is over.
    RunFinished {
        /// The exit code.
        exit: u8,
        /// How long it took.
        seconds: f64,
    },
}

/// One target of a plan, as the event tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedTarget {
    /// The service.
    pub service: String,
    /// Whether it will be built (or its image reused).
    pub build: bool,
    /// Whether it was built elsewhere, in parts that will be put together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
    /// The platforms.
    pub platforms: Vec<Platform>,
    /// Where its image goes.
    pub repositories: Vec<Repository>,
    /// The full references that will point to it.
    pub tags: Vec<Reference>,
}

/// How a step of a build ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It was carried out.
    Ran,
    /// Its result came out of the cache.
    Cached,
    /// It failed, with what the builder said.
    Failed(String),
    /// The build was cancelled while it ran.
    Cancelled,
}

/// Something that preflight found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether a publish can go ahead all the same.
    pub fatal: bool,
    /// What it concerns: a registry, a service, the builder.
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Event {
    /// The last event of a run.
    pub fn finished(exit: Exit, seconds: f64) -> Self {
        Self::RunFinished {
            exit: exit.code(),
            seconds,
        }
    }
}
