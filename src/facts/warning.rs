use std::fmt;
use std::path::PathBuf;

/// What did not go as hoped while gathering facts; the run goes on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The event's payload is not there.
    NoPayload {
        /// Where it should be.
        path: PathBuf,
    },
    /// `pull_request_target` without the number of its request.
    PullRequestUnknown,
    /// The clone is shallow, and something was asked that its missing history might answer.
    Shallow {
        /// What could not be told for certain.
        unknown: &'static str,
    },
    /// The repository belongs to another user, so git refuses to read it.
    NotOwned {
        /// The repository.
        path: PathBuf,
    },
    /// The CI system's commit is not the one that is checked out.
    AnotherCommit {
        /// The commit that tags and labels name, shortened.
        named: String,
        /// The commit in the working tree, shortened.
        checked_out: String,
    },
    /// `--ref` names another commit than the one that is checked out.
    ReferenceElsewhere {
        /// The reference.
        reference: String,
        /// Its commit, shortened.
        commit: String,
    },
    /// Several tags are at the detached HEAD; one was taken.
    SeveralTags {
        /// The one that was taken.
        taken: String,
        /// The others, at most five.
        others: Vec<String>,
    },
    /// A search through history was given up.
    SearchGivenUp {
        /// What was searched.
        search: &'static str,
    },
    /// Something about git that is wished, not needed, could not be read.
    Unreadable {
        /// What was being done.
        doing: &'static str,
        /// What the library or the program said.
        reason: String,
    },
}

impl Warning {
    /// The next step for the user.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoPayload { .. } | Self::PullRequestUnknown => {
                Some("is GITHUB_EVENT_PATH the runner's own file?".to_owned())
            }
            Self::Shallow { .. } => Some(
                "fetch the history: `git fetch --unshallow --tags`, or `fetch-depth: 0` with actions/checkout, or GIT_DEPTH: 0 in GitLab"
                    .to_owned(),
            ),
            Self::NotOwned { path } => Some(format!(
                "if you trust it: git config --global --add safe.directory '{}'",
                path.display()
            )),
            Self::AnotherCommit { .. } | Self::Unreadable { .. } => None,
            Self::ReferenceElsewhere { reference, .. } => Some(format!(
                "what is built is the working tree: check out {reference} first"
            )),
            Self::SeveralTags { .. } => Some("say which with --ref refs/tags/NAME".to_owned()),
            Self::SearchGivenUp { .. } => {
                Some("say it with --ref, or fetch the branch that is meant".to_owned())
            }
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPayload { path } => write!(
                formatter,
                "the event's payload {} does not exist",
                path.display()
            ),
            Self::PullRequestUnknown => formatter
                .write_str("pull_request_target without a number in its payload: taken for a push"),
            Self::Shallow { unknown } => {
                write!(formatter, "the clone is shallow: {unknown}")
            }
            Self::NotOwned { path } => write!(
                formatter,
                "the git repository {} was ignored: it belongs to another user",
                path.display()
            ),
            Self::AnotherCommit { named, checked_out } => write!(
                formatter,
                "tags and labels will name commit {named}, but {checked_out} is checked out"
            ),
            Self::ReferenceElsewhere { reference, commit } => write!(
                formatter,
                "{reference} is at {commit}, which is not what is checked out"
            ),
            Self::SeveralTags { taken, others } => write!(
                formatter,
                "HEAD has several tags: `{taken}` was taken, not {}",
                others
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Self::SearchGivenUp { search } => {
                write!(formatter, "{search}: given up, the history is too long")
            }
            Self::Unreadable { doing, reason } => write!(
                formatter,
                "the git repository was ignored: {doing}: {reason}"
            ),
        }
    }
}
