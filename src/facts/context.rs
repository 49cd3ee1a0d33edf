use std::fmt;

use jiff::Timestamp;

use super::{Ci, Clock, Git, System};

/// The reference, the event and the commit that tag rules look at: one of each, whatever they
/// were taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefContext {
    /// The full reference: `refs/heads/main`, `refs/tags/v1.2.3`, `refs/pull/12/merge`. `None`
    /// where nothing says it.
    pub reference: Option<String>,
    /// Where the reference comes from.
    pub origin: Origin,
    /// The event in the CI system's word, or `--event`; empty on a laptop.
    pub event: String,
    /// Whether the event is of a CI system that runs it on any branch: GitLab's schedules name one, where
    /// GitHub's are of the default branch.
    pub event_on_any_branch: bool,
    /// The commit, all of its hexadecimal digits.
    pub sha: Option<String>,
    /// When the commit was made. `SOURCE_DATE_EPOCH` takes its place where it is set.
    pub commit_time: Option<Timestamp>,
    /// Where a pull request wants to go to, or the branch that a pushed tag was on.
    pub base_ref: Option<String>,
    /// The repository's default branch.
    pub default_branch: Option<String>,
    /// The branch; on a tag the branch that holds its commit, the default branch where it does.
    /// There only for those who want it ([`super::Wants::on_branch`]).
    pub on_branch: Option<String>,
}

/// Where a reference comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// `--ref`.
    Flag,
    /// A CI system's variables.
    Ci(System),
    /// The branch that is checked out.
    Branch,
    /// A detached HEAD: inferred from what points to its commit, or holds it.
    Detached,
    /// There is none.
    #[default]
    Nothing,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Flag => "from --ref",
            Self::Ci(System::GitHub) => "from GitHub Actions",
            Self::Ci(System::GitLab) => "from GitLab CI",
            Self::Branch => "the branch that is checked out",
            Self::Detached => "inferred for a detached HEAD",
            Self::Nothing => "nothing says it",
        })
    }
}

/// What kind of thing a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind<'a> {
    /// `refs/heads/NAME`.
    Branch(&'a str),
    /// `refs/tags/NAME`.
    Tag(&'a str),
    /// `refs/pull/NUMBER/merge`: the number; of any other `refs/pull/REST`, the rest.
    PullRequest(&'a str),
    /// Another reference, such as `refs/notes/commits`.
    Other(&'a str),
}

impl<'a> RefKind<'a> {
    /// What a full reference names.
    pub fn of(reference: &'a str) -> Self {
        if let Some(name) = reference.strip_prefix("refs/heads/") {
            Self::Branch(name)
        } else if let Some(name) = reference.strip_prefix("refs/tags/") {
            Self::Tag(name)
        } else if let Some(name) = reference.strip_prefix("refs/pull/") {
            Self::PullRequest(name.strip_suffix("/merge").unwrap_or(name))
        } else {
            Self::Other(reference)
        }
    }
}

impl RefContext {
    /// What the reference names.
    pub fn kind(&self) -> Option<RefKind<'_>> {
        self.reference.as_deref().map(RefKind::of)
    }

    /// The branch, if the reference is one.
    pub fn branch(&self) -> Option<&str> {
        match self.kind() {
            Some(RefKind::Branch(name)) => Some(name),
            _ => None,
        }
    }

    /// The tag, if the reference is one.
    pub fn tag(&self) -> Option<&str> {
        match self.kind() {
            Some(RefKind::Tag(name)) => Some(name),
            _ => None,
        }
    }

    /// The pull request, if the reference is one.
    pub fn pull_request(&self) -> Option<&str> {
        match self.kind() {
            Some(RefKind::PullRequest(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether the event is a schedule (docker/metadata-action, `procSchedule`).
    pub fn is_scheduled(&self) -> bool {
        self.event.contains("schedule")
    }

    /// Whether this is the default branch. Some events of GitHub are taken for those of the default branch
    /// whatever they name, be it a tag (docker/metadata-action, `is_default_branch`).
    ///
    /// That is no reason where the event is GitLab's: its schedules are made for a branch each
    /// (<https://docs.gitlab.com/ci/pipelines/schedules/>), and one of another branch is not `latest`.
    pub fn is_default_branch(&self) -> bool {
        let Some(reference) = self.reference.as_deref() else {
            return false;
        };
        let name = reference.strip_prefix("refs/heads/").unwrap_or(reference);
        if name.is_empty() {
            return false;
        }
        self.branch().is_some() && self.default_branch.as_deref() == Some(name)
            || (!self.event_on_any_branch
                && ["create", "discussion", "issues", "schedule"]
                    .iter()
                    .any(|event| self.event.contains(event)))
    }
}

/// What the user said, which nothing outweighs.
pub(super) struct Said<'a> {
    /// `--ref`, as a full name.
    pub(super) reference: Option<String>,
    /// `--event`.
    pub(super) event: Option<&'a str>,
}

/// Puts the context together: what the user said, then the CI system, then git.
pub(super) fn build(
    said: Said<'_>,
    ci: Option<&Ci>,
    git: Option<&Git>,
    clock: Clock,
) -> RefContext {
    let (reference, origin) = reference(said.reference, ci, git);
    let sha = ci
        .and_then(|ci| ci.sha.clone())
        .or_else(|| Some(git?.head.as_ref()?.sha.clone()));
    let commit_time = if clock.fixed {
        Some(clock.now)
    } else {
        ci.and_then(|ci| ci.commit_time).or_else(|| {
            let head = git?.head.as_ref()?;
            (Some(&head.sha) == sha.as_ref()).then_some(head.time)
        })
    };
    let default_branch = ci
        .and_then(|ci| ci.default_branch.clone())
        .or_else(|| git?.default_branch.clone());
    let mut context = RefContext {
        event: said
            .event
            .or_else(|| ci?.event.as_deref())
            .unwrap_or_default()
            .to_owned(),
        event_on_any_branch: said.event.is_none()
            && ci.is_some_and(|ci| ci.system == System::GitLab),
        base_ref: ci.and_then(|ci| ci.base_ref.clone()),
        reference,
        origin,
        sha,
        commit_time,
        default_branch,
        on_branch: None,
    };
    context.on_branch = match context.kind() {
        Some(RefKind::Branch(name)) => Some(name.to_owned()),
        Some(RefKind::Tag(_)) => git
            .and_then(|git| git.on_branch.clone())
            .or_else(|| context.base_ref.clone()),
        _ => None,
    };
    context
}

fn reference(said: Option<String>, ci: Option<&Ci>, git: Option<&Git>) -> (Option<String>, Origin) {
    if let Some(name) = said {
        return (Some(name), Origin::Flag);
    }
    if let Some(ci) = ci
        && let Some(name) = &ci.reference
    {
        return (Some(name.clone()), Origin::Ci(ci.system));
    }
    match git {
        Some(git) if git.reference.is_some() => (
            git.reference.clone(),
            if git.detached {
                Origin::Detached
            } else {
                Origin::Branch
            },
        ),
        _ => (None, Origin::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(reference: &str, event: &str) -> RefContext {
        RefContext {
            reference: Some(reference.to_owned()),
            event: event.to_owned(),
            default_branch: Some("main".to_owned()),
            ..RefContext::default()
        }
    }

    #[test]
    fn a_merge_reference_is_the_number_of_its_request() {
        assert_eq!(
            RefKind::of("refs/pull/12/merge"),
            RefKind::PullRequest("12")
        );
        assert_eq!(
            RefKind::of("refs/pull/12/head"),
            RefKind::PullRequest("12/head")
        );
        assert_eq!(RefKind::of("refs/notes/x"), RefKind::Other("refs/notes/x"));
    }

    #[test]
    fn the_default_branch_is_no_tag_and_no_pull_request_but_for_events_of_it() {
        assert!(context("refs/heads/main", "push").is_default_branch());
        assert!(!context("refs/heads/dev", "push").is_default_branch());
        assert!(context("refs/heads/dev", "schedule").is_default_branch());
        assert!(context("refs/heads/dev", "issues").is_default_branch());
        assert!(!context("refs/heads/dev", "issue_comment").is_default_branch());
        assert!(!context("refs/tags/main", "push").is_default_branch());
        assert!(!context("refs/heads/", "schedule").is_default_branch());
        for event in ["create", "discussion_comment", "issues", "schedule"] {
            assert!(
                context("refs/tags/v1", event).is_default_branch(),
                "{event}"
            );
            assert!(
                context("refs/pull/1/merge", event).is_default_branch(),
                "{event}"
            );
        }
        assert!(!context("refs/pull/1/merge", "pull_request").is_default_branch());
        assert!(!RefContext::default().is_default_branch());
    }

    #[test]
    fn a_schedule_of_gitlab_is_of_the_branch_that_it_names() {
        let of_gitlab = |reference| RefContext {
            event_on_any_branch: true,
            ..context(reference, "schedule")
        };
        assert!(!of_gitlab("refs/heads/dev").is_default_branch());
        assert!(of_gitlab("refs/heads/main").is_default_branch());
        assert!(of_gitlab("refs/heads/dev").is_scheduled());
    }
}
