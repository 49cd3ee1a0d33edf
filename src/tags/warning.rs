use std::fmt;

/// What is odd about rules or their results; the run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// An attribute that the rule's type does not have.
    UnknownAttribute {
        /// The rule, counted from 0.
        rule: usize,
        /// Its type.
        kind: &'static str,
        /// The attribute, shortened.
        name: String,
        /// The nearest attribute of the type.
        nearest: Option<&'static str>,
    },
    /// `priority` is no number.
    Priority {
        /// The rule, counted from 0.
        rule: usize,
        /// Its value, shortened.
        value: String,
    },
    /// An expression that is none, and so is empty.
    UnknownExpression {
        /// The rule, counted from 0; `None` for a flavor or a label.
        rule: Option<usize>,
        /// Its name, shortened.
        name: String,
        /// The nearest expression.
        nearest: Option<&'static str>,
    },
    /// The version is none of its kind.
    NoVersion {
        /// The rule, counted from 0.
        rule: usize,
        /// `semver` or `pep440`.
        kind: &'static str,
        /// What should be one, shortened.
        text: String,
    },
    /// The pattern does not match.
    NoMatch {
        /// The rule, counted from 0.
        rule: usize,
        /// The pattern, shortened.
        pattern: String,
        /// What it was to match, shortened.
        text: String,
    },
    /// The match has no such group, or the group took no part in it.
    NoGroup {
        /// The rule, counted from 0.
        rule: usize,
        /// The group, shortened.
        group: String,
    },
    /// A result is no tag, and was dropped.
    NoTag {
        /// The rule, counted from 0; `None` for `latest` with the flavor's affixes.
        rule: Option<usize>,
        /// The result, shortened.
        text: String,
        /// Why it is none.
        reason: NoTag,
    },
    /// The default branch is not known, and a rule asks for it.
    NoDefaultBranch {
        /// The rule, counted from 0.
        rule: usize,
    },
    /// The commit's date is not known; the clock took its place.
    NoCommitDate,
    /// The branch of a tag's commit is not known, and `{{on_branch}}` is empty.
    NoBranchOfTag,
    /// A variable is not set, and `{{env.NAME}}` is empty.
    NoVariable {
        /// The variable, shortened.
        name: String,
    },
    /// Rules were given, and none of them gave a tag.
    NoTags,
}

/// Why a result is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTag {
    /// There is nothing between its prefix and its suffix.
    OnlyAffixes,
    /// It begins with `.` or `-`.
    Start,
    /// It has more than 128 characters.
    TooLong,
}

impl Warning {
    /// Which rule it is about, counted from 0.
    pub fn rule(&self) -> Option<usize> {
        match self {
            Self::UnknownAttribute { rule, .. }
            | Self::Priority { rule, .. }
            | Self::NoVersion { rule, .. }
            | Self::NoMatch { rule, .. }
            | Self::NoGroup { rule, .. }
            | Self::NoDefaultBranch { rule } => Some(*rule),
            Self::UnknownExpression { rule, .. } | Self::NoTag { rule, .. } => *rule,
            Self::NoCommitDate | Self::NoBranchOfTag | Self::NoVariable { .. } | Self::NoTags => {
                None
            }
        }
    }

    /// The next step for the user.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownAttribute { nearest, .. } | Self::UnknownExpression { nearest, .. } => {
                super::error::did_you_mean(*nearest)
            }
            Self::NoVersion { kind, .. } => Some(match *kind {
                "semver" => "a version is 1.2.3 or v1.2.3, with -prerelease and +build (https://semver.org/); `match=` takes it out of a longer name".to_owned(),
                _ => "a version is 1.2, 1.2.3rc1, 1.2.post1 (https://peps.python.org/pep-0440/); `match=` takes it out of a longer name".to_owned(),
            }),
            Self::NoDefaultBranch { .. } => {
                Some("give the rule its branch: type=edge,branch=NAME".to_owned())
            }
            Self::NoBranchOfTag => Some(
                "fetch the history and the branches, for example with `fetch-depth: 0`".to_owned(),
            ),
            Self::NoTags => Some("castoff tags --explain says why for each rule".to_owned()),
            Self::Priority { .. }
            | Self::NoMatch { .. }
            | Self::NoGroup { .. }
            | Self::NoTag { .. }
            | Self::NoCommitDate
            | Self::NoVariable { .. } => None,
        }
    }
}

impl fmt::Display for NoTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OnlyAffixes => "it is only prefix and suffix",
            Self::Start => "a tag cannot begin with `.` or `-`",
            Self::TooLong => "a tag has at most 128 characters",
        })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = self.rule() {
            write!(formatter, "tag rule {}: ", rule + 1)?;
        }
        match self {
            Self::UnknownAttribute { kind, name, .. } => {
                write!(formatter, "type `{kind}` has no attribute `{name}`")
            }
            Self::Priority { value, .. } => write!(
                formatter,
                "`priority` is `{value}`, which is no number: the type's own was taken"
            ),
            Self::UnknownExpression { name, .. } => {
                write!(
                    formatter,
                    "{{{{{name}}}}} is no expression, and so is empty"
                )
            }
            Self::NoVersion { kind, text, .. } => {
                write!(formatter, "`{text}` is no {kind} version")
            }
            Self::NoMatch { pattern, text, .. } => {
                write!(formatter, "`{pattern}` does not match `{text}`")
            }
            Self::NoGroup { group, .. } => write!(formatter, "the match has no group {group}"),
            Self::NoTag { text, reason, .. } => {
                write!(formatter, "`{text}` was dropped: {reason}")
            }
            Self::NoDefaultBranch { .. } => {
                formatter.write_str("the repository's default branch is not known")
            }
            Self::NoCommitDate => {
                formatter.write_str("the commit's date is not known: now was taken for it")
            }
            Self::NoBranchOfTag => formatter
                .write_str("{{on_branch}} is empty: no branch is known to hold the tag's commit"),
            Self::NoVariable { name } => {
                write!(
                    formatter,
                    "{{{{env.{name}}}}} is empty: the variable is not set"
                )
            }
            Self::NoTags => formatter.write_str("no rule gave a tag"),
        }
    }
}
