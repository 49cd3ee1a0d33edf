//! What the references mean: the default branch, the tags at HEAD, the branch that holds it.

use std::time::Instant;

use super::library::CLOCK_SKEW;
use super::{Commit, Failure, Pointer, Source, brief};
use crate::facts::{Error, Warning, printable};

/// References that are asked whether they hold a commit.
const MAX_SEARCHED: usize = 500;

/// The tags at the commit, in alphabetical order.
pub(super) fn tags_at(pointers: &[Pointer], commit: Option<&Commit>) -> Vec<String> {
    let mut names: Vec<String> = pointers
        .iter()
        .filter(|pointer| commit.is_some_and(|commit| commit.sha == pointer.commit))
        .filter_map(|pointer| pointer.name.strip_prefix("refs/tags/"))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names
}

/// The default branch as the repository knows it: what `origin` said when it was cloned, else
/// what git calls a first branch here, else the usual names, else the only branch. A clone of one
/// branch has only one, too, and it may be any: so not where there are branches of a remote.
pub(super) fn default(source: &dyn Source, pointers: &[Pointer]) -> Option<String> {
    let exists = |name: &str| {
        pointers.iter().any(|pointer| {
            pointer.name.strip_prefix("refs/heads/") == Some(name)
                || pointer.name.strip_prefix("refs/remotes/origin/") == Some(name)
        })
    };
    if let Some(target) = source.symbolic("refs/remotes/origin/HEAD")
        && let Some(name) = target.strip_prefix("refs/remotes/origin/")
    {
        return Some(name.to_owned());
    }
    let configured = source.configured_default_branch();
    let usual = ["main", "master", "trunk"].map(str::to_owned);
    if let Some(name) = configured
        .into_iter()
        .chain(usual)
        .find(|name| exists(name))
    {
        return Some(name);
    }
    if pointers
        .iter()
        .any(|pointer| pointer.name.starts_with("refs/remotes/"))
    {
        return None;
    }
    let mut branches = pointers
        .iter()
        .filter_map(|pointer| pointer.name.strip_prefix("refs/heads/"));
    match (branches.next(), branches.next()) {
        (Some(only), None) => Some(only.to_owned()),
        _ => None,
    }
}

/// `--ref` as a full name: a full name as it is, else the tag, else the branch of that name
/// (gitrevisions(7), the order of its rules).
pub(super) fn full_name(
    typed: &str,
    pointers: &[Pointer],
    head: Option<&Commit>,
    warnings: &mut Vec<Warning>,
) -> Result<String, Error> {
    let find = |full: &str| pointers.iter().find(|pointer| pointer.name == full);
    let found = if typed.starts_with("refs/") {
        find(typed)
    } else {
        ["tags", "heads", "remotes/origin"]
            .iter()
            .find_map(|kind| find(&format!("refs/{kind}/{typed}")))
    };
    let Some(pointer) = found else {
        if typed.starts_with("refs/") {
            return Ok(typed.to_owned());
        }
        return Err(Error::UnknownReference {
            text: printable(typed, 120),
            nearest: nearest(typed, pointers),
        });
    };
    if let Some(head) = head
        && head.sha != pointer.commit
    {
        warnings.push(Warning::ReferenceElsewhere {
            reference: printable(&pointer.name, 120),
            commit: brief(&pointer.commit),
        });
    }
    Ok(match pointer.name.strip_prefix("refs/remotes/origin/") {
        Some(branch) if !typed.starts_with("refs/") => format!("refs/heads/{branch}"),
        _ => pointer.name.clone(),
    })
}

fn nearest(typed: &str, pointers: &[Pointer]) -> Option<String> {
    pointers
        .iter()
        .filter_map(|pointer| {
            let name = &pointer.name;
            name.strip_prefix("refs/tags/")
                .or_else(|| name.strip_prefix("refs/heads/"))
        })
        .map(|name| (strsim::jaro_winkler(typed, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| printable(name, 120))
}

/// A search through history for the references that hold a commit.
pub(super) struct Search<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) pointers: &'a [Pointer],
    pub(super) default_branch: Option<&'a str>,
    pub(super) until: Instant,
    pub(super) shallow: bool,
    pub(super) warnings: &'a mut Vec<Warning>,
}

impl Search<'_> {
    /// The branch that holds the commit: the default branch where it does, else a local one, else
    /// one of a remote, the newest first. Without `refs/heads/`.
    pub(super) fn branch_that_holds(&mut self, commit: &Commit) -> Result<Option<String>, Failure> {
        if let Some(name) = self.default_branch {
            let ends = [
                format!("refs/heads/{name}"),
                format!("refs/remotes/origin/{name}"),
            ];
            let tips: Vec<&Pointer> = self
                .pointers
                .iter()
                .filter(|pointer| ends.contains(&pointer.name))
                .collect();
            for tip in tips {
                if self.holds(tip, commit)? {
                    return Ok(Some(name.to_owned()));
                }
            }
        }
        for scope in ["refs/heads/", "refs/remotes/"] {
            if let Some(name) = self.newest_that_holds(scope, commit)? {
                return Ok(Some(branch_name(&name)));
            }
        }
        if self.shallow {
            self.warn(Warning::Shallow {
                unknown: "which branch holds this commit is not known",
            });
        }
        Ok(None)
    }

    /// The newest reference under `scope` whose history has the commit: one that is at the commit
    /// itself before all others.
    pub(super) fn newest_that_holds(
        &mut self,
        scope: &str,
        commit: &Commit,
    ) -> Result<Option<String>, Failure> {
        let mut tips: Vec<(bool, i64, &Pointer)> = Vec::new();
        for pointer in self.pointers {
            if pointer.name.starts_with(scope) && !pointer.name.ends_with("/HEAD") {
                let seconds = match pointer.seconds {
                    Some(seconds) => seconds,
                    // A tip that is missing is the oldest of all.
                    None => self.source.seconds(&pointer.commit).unwrap_or_default(),
                };
                tips.push((pointer.commit == commit.sha, seconds, pointer));
            }
            if Instant::now() > self.until {
                self.give_up();
                return Ok(None);
            }
        }
        tips.sort_by_key(|(is_here, seconds, _)| std::cmp::Reverse((*is_here, *seconds)));
        for (_, _, tip) in tips.into_iter().take(MAX_SEARCHED) {
            if Instant::now() > self.until {
                self.give_up();
                return Ok(None);
            }
            if self.holds(tip, commit)? {
                return Ok(Some(tip.name.clone()));
            }
        }
        Ok(None)
    }

    /// The first tag in alphabetical order whose history has the commit, which is the first line of
    /// `git tag --contains` (docker/actions-toolkit, `Git.inferRefFromHead`).
    pub(super) fn first_tag_that_holds(
        &mut self,
        commit: &Commit,
    ) -> Result<Option<String>, Failure> {
        let mut tags: Vec<&Pointer> = self
            .pointers
            .iter()
            .filter(|pointer| pointer.name.starts_with("refs/tags/"))
            .collect();
        tags.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        let oldest = commit.time.as_second().saturating_sub(CLOCK_SKEW);
        let mut asked = 0;
        for tag in tags {
            if asked == MAX_SEARCHED || Instant::now() > self.until {
                self.give_up();
                return Ok(None);
            }
            let seconds = match tag.seconds {
                Some(seconds) => seconds,
                None => self.source.seconds(&tag.commit).unwrap_or_default(),
            };
            // What was released before the commit was made cannot hold it.
            if seconds < oldest {
                continue;
            }
            asked += 1;
            if self.holds(tag, commit)? {
                return Ok(Some(tag.name.clone()));
            }
        }
        Ok(None)
    }

    /// `git describe --tags --always`, as `source` has it.
    pub(super) fn describe(
        &mut self,
        source: &dyn Source,
        commit: &Commit,
    ) -> Result<Option<String>, Failure> {
        let described = source.describe(commit, self.until)?;
        if described.is_none() {
            self.warn(Warning::SearchGivenUp {
                search: "looking for the tag before this commit",
            });
        }
        if self.shallow {
            self.warn(Warning::Shallow {
                unknown: "the tag before this commit may be missing",
            });
        }
        Ok(described)
    }

    fn holds(&mut self, tip: &Pointer, commit: &Commit) -> Result<bool, Failure> {
        if tip.commit == commit.sha {
            return Ok(true);
        }
        let answer = self.source.holds(&tip.commit, commit, self.until)?;
        if answer.is_none() {
            self.give_up();
        }
        Ok(answer == Some(true))
    }

    fn give_up(&mut self) {
        self.warn(Warning::SearchGivenUp {
            search: "looking for the branch that holds this commit",
        });
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// `main` for `refs/heads/main` and for `refs/remotes/origin/main`.
pub(super) fn branch_name(reference: &str) -> String {
    if let Some(name) = reference.strip_prefix("refs/heads/") {
        return name.to_owned();
    }
    reference
        .strip_prefix("refs/remotes/")
        .and_then(|name| name.split_once('/'))
        .map_or(reference, |(_, name)| name)
        .to_owned()
}
