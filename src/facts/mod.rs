//! The world as data, read once: environment, clock, git, CI system.
//!
//! Knows where facts come from and in which order they are believed: what the user said (`--ref`,
//! `--event`), then the CI system, then the git repository. This is the only room that reads the
//! environment and the clock. It must not know what the facts are for: tag rules, labels and
//! plans are other rooms' work. Nothing read here is trusted: names are bounded in length where
//! they are shown, payloads in size, walks through history in steps.
//!
//! Start reading at [`gather`], then [`RefContext`], which is what the tag rules see.

mod ci;
mod clock;
mod context;
mod environment;
mod git;
mod warning;

use std::path::{Path, PathBuf};

use crate::printable::one_line as printable;

pub use ci::{Cache, Ci, Project, System};
pub use clock::{Clock, timestamp};
pub use context::{Origin, RefContext, RefKind};
pub use environment::{Environment, host_name};
pub use git::{Changes, Commit, Git};
pub use warning::Warning;

/// What is asked of the world.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The folder to look from: the project's. The git repository is the one that holds it.
    pub directory: PathBuf,
    /// The environment, captured by the caller once ([`Environment::capture`]).
    pub environment: Environment,
    /// `--ref`: a full name (`refs/tags/v1.2.3`) or a tag's or branch's short name.
    pub reference: Option<String>,
    /// `--event`: the event's name in GitHub's words, such as `push` or `schedule`.
    pub event: Option<String>,
    /// Facts that cost time, read only for those who want them.
    pub wants: Wants,
}

/// Facts that take a walk through history or the working tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of independent wishes, each named where it is made"
)]
pub struct Wants {
    /// A branch or tag for a detached HEAD, even where only a search can find one; that nothing
    /// is found is then an [`Error::NoReference`].
    pub reference: bool,
    /// [`Git::changes`]: whether the working tree differs from the commit.
    pub changes: bool,
    /// [`Git::describe`].
    pub describe: bool,
    /// [`RefContext::on_branch`] where the reference is a tag.
    pub on_branch: bool,
}

impl std::ops::BitOr for Wants {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            reference: self.reference || other.reference,
            changes: self.changes || other.changes,
            describe: self.describe || other.describe,
            on_branch: self.on_branch || other.on_branch,
        }
    }
}

/// Everything known about where and when this run happens.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The environment variables.
    pub environment: Environment,
    /// The moment of this run.
    pub clock: Clock,
    /// The git repository around the project, where there is one that could be read.
    pub git: Option<Git>,
    /// The CI system, where one runs this.
    pub ci: Option<Ci>,
    /// What the tag rules see: one reference, one event, one commit.
    pub context: RefContext,
    /// What did not go as hoped, for the user to see.
    pub warnings: Vec<Warning>,
}

/// Why the facts could not be gathered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `SOURCE_DATE_EPOCH` is no whole number of seconds.
    #[error("SOURCE_DATE_EPOCH is `{text}`, which is no whole number of seconds since 1970")]
    SourceDateEpoch {
        /// Its value, shortened.
        text: String,
    },
    /// The event's payload is there, and cannot be read.
    #[error("the event's payload {} cannot be read: {reason}", path.display())]
    Payload {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `SOURCE_DATE_EPOCH` is a number of seconds that no date here has.
    #[error("SOURCE_DATE_EPOCH is `{text}`, and dates end at {last}")]
    DateOutOfRange {
        /// Its value, shortened.
        text: String,
        /// The second that is nearest to it.
        last: i64,
    },
    /// HEAD is detached, and no branch or tag holds its commit.
    #[error(
        "cannot tell which branch or tag {commit} is: HEAD is detached and {}",
        if *given_up { "the history is too long to search" } else { "nothing points to it" }
    )]
    NoReference {
        /// The commit, shortened.
        commit: String,
        /// Whether the search for one was given up, because it took too long.
        given_up: bool,
    },
    /// `--ref` is a short name that is neither a tag nor a branch here.
    #[error("`{text}` is neither a tag nor a branch of this repository")]
    UnknownReference {
        /// What was given, shortened.
        text: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// The repository is there, and reading it failed.
    #[error("read the git repository at {path}: {doing}")]
    Git {
        /// The folder that was looked from.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the library or the program said.
        source: git::Failure,
    },
}

impl Error {
    /// The next step for the user.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::SourceDateEpoch { .. } | Self::DateOutOfRange { .. } => {
                Some("set it to seconds, as `git log -1 --format=%ct` prints them".to_owned())
            }
            Self::Payload { .. } => Some(
                "GITHUB_EVENT_PATH is the runner's own file; unset it where no runner wrote one"
                    .to_owned(),
            ),
            Self::NoReference { .. } => Some(
                "say which it is: --ref refs/heads/NAME or --ref refs/tags/NAME (and --event, if a rule asks for one)"
                    .to_owned(),
            ),
            Self::UnknownReference { nearest, .. } => Some(match nearest {
                Some(name) => format!("did you mean `{name}`? A full name is always taken: refs/heads/NAME, refs/tags/NAME"),
                None => "give the full name: refs/heads/NAME or refs/tags/NAME".to_owned(),
            }),
            Self::Git { source, .. } => source.hint(),
        }
    }
}

/// Reads everything that is asked for. Blocking; takes milliseconds, and where a search through
/// history is asked for, at most a few seconds.
pub fn gather(ask: &Ask) -> Result<Facts, Error> {
    let mut warnings = Vec::new();
    let clock = Clock::read(&ask.environment)?;
    let ci = ci::read(&ask.environment, &mut warnings)?;
    let has_reference = ci.as_ref().is_some_and(|ci| ci.reference.is_some());
    let question = git::Question {
        directory: &ask.directory,
        environment: &ask.environment,
        wants: Wants {
            reference: ask.wants.reference && !has_reference,
            ..ask.wants
        },
        default_branch: ci.as_ref().and_then(|ci| ci.default_branch.as_deref()),
        typed: ask.reference.as_deref(),
        commit: ci.as_ref().and_then(|ci| ci.sha.as_deref()),
    };
    let knows_all = ci
        .as_ref()
        .is_some_and(|ci| ci.reference.is_some() && ci.sha.is_some());
    let answer = match git::read(&question, &mut warnings) {
        // What the CI system says is enough to go on with.
        Err(Error::Git { doing, source, .. }) if knows_all => {
            warnings.push(Warning::Unreadable {
                doing,
                reason: printable(&source.to_string(), 400),
            });
            git::without(&question)?
        }
        answer => answer?,
    };
    let said = context::Said {
        reference: answer.typed,
        event: ask.event.as_deref(),
    };
    let mut context = context::build(said, ci.as_ref(), answer.git.as_ref(), clock);
    context.commit_time = context.commit_time.or(answer.commit_time);
    let head = answer.git.as_ref().and_then(|git| git.head.as_ref());
    if let Some(head) = head {
        if ask.wants.reference && context.reference.is_none() {
            return Err(Error::NoReference {
                commit: git::brief(&head.sha),
                given_up: warnings
                    .iter()
                    .any(|warning| matches!(warning, Warning::SearchGivenUp { .. })),
            });
        }
        warn_of_another_commit(ci.as_ref(), &context, head, &mut warnings);
    }
    Ok(Facts {
        environment: ask.environment.clone(),
        clock,
        git: answer.git,
        ci,
        context,
        warnings,
    })
}

/// Whether the commit `older` is `newer` or an ancestor of it, in the repository that holds `directory`;
/// `None` where that cannot be told: a commit is missing, or history was cut off. Blocking, at most some
/// seconds.
pub fn is_ancestor(
    directory: &Path,
    environment: &Environment,
    older: &str,
    newer: &str,
) -> Option<bool> {
    git::is_ancestor(directory, environment, older, newer)
}

/// The architecture of this machine in Rust's word, such as `x86_64`.
pub fn architecture() -> &'static str {
    std::env::consts::ARCH
}

/// A workflow that checks out something else than what it was started for is a common mistake;
/// on pull requests it is common practice.
fn warn_of_another_commit(
    ci: Option<&Ci>,
    context: &RefContext,
    head: &Commit,
    warnings: &mut Vec<Warning>,
) {
    if let Some(ci) = ci
        && let Some(named) = &ci.sha
        && *named != head.sha
        && context.pull_request().is_none()
    {
        warnings.push(Warning::AnotherCommit {
            named: printable(&git::brief(named), 12),
            checked_out: git::brief(&head.sha),
        });
    }
}
