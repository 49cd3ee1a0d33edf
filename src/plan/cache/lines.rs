//! The lines of caches: one for each branch, so that none spoils another's.

use crate::config::{CacheWrite, CacheWriter};
use crate::facts::{Facts, RefKind};
use crate::plan::node_cache::shortened;

/// Default branches where nothing says which it is.
const USUAL_DEFAULTS: [&str; 2] = ["main", "master"];

/// A cache by the branch that it is of; the default branch's has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line(Option<String>);

/// The caches of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// What is read, in this order.
    pub(super) read: Vec<Line>,
    /// What is written, where this run may write.
    pub(super) write: Option<Line>,
}

impl Lines {
    pub(super) fn of(facts: &Facts, write: CacheWrite) -> Self {
        let context = &facts.context;
        let ci = facts.ci.as_ref();
        let line = |branch: &str| {
            let is_default = match &context.default_branch {
                Some(default) => default == branch,
                None => USUAL_DEFAULTS.contains(&branch),
            };
            Line((!is_default).then(|| branch.to_owned()))
        };
        let (own, base) = match context.kind() {
            Some(RefKind::Branch(_)) if context.is_default_branch() => (Some(Line(None)), None),
            Some(RefKind::Branch(name)) => (Some(line(name)), None),
            Some(RefKind::PullRequest(number)) => {
                // The branch of a fork may bear the name of one of ours.
                let head = ci.filter(|ci| !ci.from_fork);
                let head = head.and_then(|ci| ci.head_ref.as_deref());
                let own = head.map_or_else(|| format!("pr-{number}"), str::to_owned);
                (Some(Line(Some(own))), context.base_ref.as_deref().map(line))
            }
            Some(RefKind::Tag(_) | RefKind::Other(_)) => {
                (None, context.on_branch.as_deref().map(line))
            }
            // Without git there is one line of things.
            None => (Some(Line(None)), None),
        };
        let mut read: Vec<Line> = Vec::new();
        for name in own.iter().chain(&base).chain([&Line(None)]) {
            if !read.contains(name) {
                read.push(name.clone());
            }
        }
        let may_write = match write {
            CacheWrite::Branches(all) => all,
            CacheWrite::Some(CacheWriter::DefaultBranch) => own == Some(Line(None)),
        };
        let from_fork = ci.is_some_and(|ci| ci.from_fork);
        Self {
            read,
            write: own.filter(|_| may_write && !from_fork),
        }
    }
}

impl Line {
    /// `buildcache-BRANCH`, fit to be a tag, for the base `buildcache`. A name that is cut keeps a hash of the
    /// whole.
    pub(super) fn tag(&self, base: &str) -> String {
        let Some(line) = &self.0 else {
            return base.to_owned();
        };
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let clean: String = line
            .chars()
            .map(|letter| if is_allowed(letter) { letter } else { '-' })
            .collect();
        shortened(format!("{base}-{clean}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Cache, Ci, Clock, Environment, Origin, RefContext, System};
    use crate::oci::Tag;

    use crate::plan::node_cache::MAX_TAG;

    const BASE: &str = "buildcache";

    fn facts(reference: Option<&str>, ci: Option<Ci>) -> Facts {
        Facts {
            environment: Environment::default(),
            clock: Clock {
                now: jiff::Timestamp::UNIX_EPOCH,
                fixed: false,
            },
            git: None,
            context: RefContext {
                reference: reference.map(str::to_owned),
                origin: Origin::Branch,
                default_branch: Some("trunk".to_owned()),
                base_ref: ci.as_ref().and_then(|ci| ci.base_ref.clone()),
                ..RefContext::default()
            },
            ci,
            warnings: Vec::new(),
        }
    }

    fn request(from_fork: bool) -> Ci {
        Ci {
            system: System::GitHub,
            event: None,
            reference: None,
            sha: None,
            commit_time: None,
            base_ref: Some("release".to_owned()),
            head_ref: Some(if from_fork { "trunk" } else { "fix" }.to_owned()),
            repository: None,
            default_branch: None,
            actor: None,
            run_url: None,
            pull_request: Some(7),
            from_fork,
            cache: Cache::default(),
            project: crate::facts::Project::default(),
        }
    }

    fn lines(facts: &Facts) -> (Vec<String>, Option<String>) {
        let lines = Lines::of(facts, CacheWrite::Branches(true));
        let tag = |line: &Line| line.tag(BASE);
        (
            lines.read.iter().map(tag).collect(),
            lines.write.as_ref().map(tag),
        )
    }

    fn expect(facts: &Facts, read: &[&str], write: Option<&str>) {
        let read = read.iter().map(|tag| (*tag).to_owned()).collect();
        assert_eq!(lines(facts), (read, write.map(str::to_owned)));
    }

    #[test]
    fn a_branch_writes_its_own_line_and_reads_the_default_one_too() {
        expect(
            &facts(Some("refs/heads/trunk"), None),
            &["buildcache"],
            Some("buildcache"),
        );
        expect(
            &facts(Some("refs/heads/feature/ü"), None),
            &["buildcache-feature--", "buildcache"],
            Some("buildcache-feature--"),
        );
        expect(&facts(None, None), &["buildcache"], Some("buildcache"));
    }

    #[test]
    fn a_tag_of_git_reads_and_does_not_write() {
        let mut facts = facts(Some("refs/tags/v1"), None);
        expect(&facts, &["buildcache"], None);
        facts.context.on_branch = Some("release".to_owned());
        expect(&facts, &["buildcache-release", "buildcache"], None);
    }

    #[test]
    fn a_pull_request_reads_its_branch_the_base_and_the_default_one() {
        let own = facts(Some("refs/pull/7/merge"), Some(request(false)));
        expect(
            &own,
            &["buildcache-fix", "buildcache-release", "buildcache"],
            Some("buildcache-fix"),
        );
    }

    #[test]
    fn a_fork_writes_nothing_whatever_its_branch_is_called() {
        let fork = facts(Some("refs/pull/7/merge"), Some(request(true)));
        expect(
            &fork,
            &["buildcache-pr-7", "buildcache-release", "buildcache"],
            None,
        );
    }

    #[test]
    fn only_the_default_branch_writes_where_that_is_asked_for() {
        let only = CacheWrite::Some(CacheWriter::DefaultBranch);
        let write = |name| Lines::of(&facts(Some(name), None), only).write;
        assert_eq!(write("refs/heads/trunk"), Some(Line(None)));
        assert_eq!(write("refs/heads/other"), None);
        assert_eq!(write("refs/tags/v1"), None);
    }

    #[test]
    fn a_long_branch_is_cut_and_stays_itself() {
        let (one, other) = ("x".repeat(300), "x".repeat(301));
        let tag = |branch: String| Line(Some(branch)).tag("c");
        let (one, other) = (tag(one), tag(other));
        assert_eq!((one.len(), other.len()), (MAX_TAG, MAX_TAG));
        assert_ne!(one, other);
        one.parse::<Tag>().unwrap();
    }
}
