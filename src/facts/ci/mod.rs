//! What a CI system says about the run that it makes.
//!
//! One shape for all systems, in GitHub's words; each system's file knows its variables.

mod actions_cache;
mod github;
mod gitlab;
mod payload;

use jiff::Timestamp;

use super::{Environment, Error, Warning};

/// The CI systems that castoff knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// GitHub Actions, and those that speak its words (Forgejo, Gitea, act).
    GitHub,
    /// GitLab CI.
    GitLab,
}

/// What the CI system says. Everything is optional: a system sets what applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ci {
    /// Which system.
    pub system: System,
    /// The event in the system's word: `push`, `pull_request`, `schedule`, `merge_request_event`.
    pub event: Option<String>,
    /// The full reference: `refs/heads/main`, `refs/tags/v1.2.3`, `refs/pull/12/merge`. A merge
    /// request of GitLab is written as GitHub would, `refs/pull/12/merge`.
    pub reference: Option<String>,
    /// The commit that the run is for.
    pub sha: Option<String>,
    /// When that commit was made, where the event says it.
    pub commit_time: Option<Timestamp>,
    /// The branch that a pull request wants to go to, or that a pushed tag was on; without
    /// `refs/heads/`.
    pub base_ref: Option<String>,
    /// The branch that a pull request comes from; without `refs/heads/`.
    pub head_ref: Option<String>,
    /// `owner/name`.
    pub repository: Option<String>,
    /// The repository's default branch.
    pub default_branch: Option<String>,
    /// Who caused the run.
    pub actor: Option<String>,
    /// The page of the run.
    pub run_url: Option<String>,
    /// The number of the pull or merge request.
    pub pull_request: Option<u64>,
    /// Whether the request comes from another repository: its run has no secrets, and its token
    /// may not write.
    pub from_fork: bool,
    /// What the system's own cache service lets this run do.
    pub cache: Cache,
    /// What the repository's page says, for labels.
    pub project: Project,
}

/// What the CI system's cache service (`type=gha`) lets this run do, as far as its variables say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// The address of the service and a token that is good for it are in the environment. Actions
    /// give them to other actions only; a `run:` step has them when a step before it exported them.
    pub can_read: bool,
    /// The run may also write: a pull request of a fork may not, nor one whose token only reads.
    pub can_write: bool,
    /// Why it cannot be read, in words that can be shown; `None` where it can, and where the system
    /// has no such service.
    pub trouble: Option<String>,
}

/// What the CI system knows of the repository's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// Its name, without the owner.
    pub name: Option<String>,
    /// Its one-line description.
    pub description: Option<String>,
    /// Its page.
    pub url: Option<String>,
    /// Its licence as an SPDX expression.
    pub license: Option<String>,
}

/// The CI system that runs this, if one does.
pub(super) fn read(
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Ci>, Error> {
    if environment.get("GITHUB_ACTIONS") == Some("true") {
        return github::read(environment, warnings).map(Some);
    }
    if environment.get("GITLAB_CI") == Some("true") {
        return Ok(Some(gitlab::read(environment)));
    }
    Ok(None)
}

/// An owned copy of a variable that is set to something.
fn owned(environment: &Environment, name: &str) -> Option<String> {
    environment.non_empty(name).map(str::to_owned)
}
