use std::fmt;

use super::warning::NoTag;

/// What one rule came to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The rule, counted from 0.
    pub rule: usize,
    /// The rule as it was given.
    pub source: String,
    /// What it came to.
    pub outcome: Outcome,
}

/// What one rule came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It gave something.
    Fired {
        /// With prefix and suffix, as it was.
        before: String,
        /// As a tag can be.
        after: String,
        /// What became of it.
        role: Role,
    },
    /// It gave nothing.
    Silent(Silence),
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first: the main version.
    Main,
    /// A further tag.
    Further,
    /// The same as a tag before it.
    Repeated,
    /// No tag, and so dropped.
    Dropped(NoTag),
}

/// Why a rule gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// `enable` is false.
    Disabled {
        /// The expression, where it is one.
        because: Option<String>,
    },
    /// It waits for another kind of reference.
    OtherReference {
        /// What it waits for.
        wanted: &'static str,
        /// The reference, shortened; `None` where there is none.
        is: Option<String>,
    },
    /// It waits for a schedule.
    NotScheduled {
        /// The event, shortened; empty where there is none.
        event: String,
    },
    /// It waits for another branch.
    OtherBranch {
        /// The branch that it waits for, shortened.
        wanted: String,
        /// The branch, shortened.
        is: String,
    },
    /// It waits for the default branch, which is not known.
    NoDefaultBranch,
    /// The commit is not known.
    NoCommit,
    /// What it was given is no version.
    NoVersion {
        /// `semver` or `pep440`.
        kind: &'static str,
        /// What it was given, shortened.
        text: String,
    },
    /// Its pattern does not match.
    NoMatch {
        /// What it was to match, shortened.
        text: String,
    },
    /// The match has no such group.
    NoGroup {
        /// The group, shortened.
        group: String,
    },
    /// Its result is empty.
    Empty,
}

/// Whether `latest` is made, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatestReason {
    /// `latest=true` or `latest=false` says so.
    Flavor {
        /// What it says.
        made: bool,
    },
    /// The first rule that gave something decides.
    Rule {
        /// The rule, counted from 0.
        rule: usize,
        /// What it decided.
        made: bool,
    },
    /// There is no main version, and then there are no tags at all.
    NoVersion,
    /// A rule has already given the same tag.
    Given,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => formatter.write_str("the main version"),
            Self::Further => formatter.write_str("a further tag"),
            Self::Repeated => formatter.write_str("already given by a rule before it"),
            Self::Dropped(reason) => write!(formatter, "dropped: {reason}"),
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled { because: None } => formatter.write_str("enable=false"),
            Self::Disabled {
                because: Some(expression),
            } => write!(formatter, "{expression} is false"),
            Self::OtherReference {
                wanted,
                is: Some(reference),
            } => write!(formatter, "{reference} is no {wanted}"),
            Self::OtherReference { wanted, is: None } => {
                write!(
                    formatter,
                    "it waits for a {wanted}, and no reference is known"
                )
            }
            Self::NotScheduled { event } if event.is_empty() => {
                formatter.write_str("it waits for a schedule, and there is no event")
            }
            Self::NotScheduled { event } => {
                write!(formatter, "the event is {event}, not a schedule")
            }
            Self::OtherBranch { wanted, is } => {
                write!(formatter, "the branch is {is}, not {wanted}")
            }
            Self::NoDefaultBranch => formatter.write_str("the default branch is not known"),
            Self::NoCommit => formatter.write_str("the commit is not known"),
            Self::NoVersion { kind, text } => write!(formatter, "`{text}` is no {kind} version"),
            Self::NoMatch { text } => write!(formatter, "the pattern does not match `{text}`"),
            Self::NoGroup { group } => write!(formatter, "the match has no group {group}"),
            Self::Empty => formatter.write_str("the result is empty"),
        }
    }
}

impl fmt::Display for LatestReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = |made| if made { "made" } else { "not made" };
        match self {
            Self::Flavor { made: it } => write!(formatter, "{}: the flavor says so", made(*it)),
            Self::Rule { rule, made: it } => write!(
                formatter,
                "{}: rule {}, the first that gave something, decides",
                made(*it),
                rule + 1
            ),
            Self::NoVersion => formatter.write_str("not made: there is no main version"),
            Self::Given => formatter.write_str("already given by a rule"),
        }
    }
}
