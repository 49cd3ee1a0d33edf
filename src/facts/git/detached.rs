//! Which branch or tag a detached HEAD is.

use super::branches::{Search, branch_name, tags_at};
use super::{Commit, Failure};
use crate::facts::{Warning, printable};

/// The reference that a detached HEAD most likely is: what points to it first (a tag, a pull
/// reference, a remote's branch), then what holds it (a local branch, a remote's, a tag).
///
/// The order is that of docker/actions-toolkit (`Git.getDetachedRef`, `inferRefFromHead`), which
/// users know from the action's `context: git`. What holds the commit is searched for only where
/// `search_history` says so.
pub(super) fn infer(
    search: &mut Search<'_>,
    commit: &Commit,
    search_history: bool,
) -> Result<Option<String>, Failure> {
    if let Some(tag) = tag(search, commit) {
        return Ok(Some(tag));
    }
    let here = |prefix: &'static str| {
        search
            .pointers
            .iter()
            .filter(|pointer| pointer.commit == commit.sha)
            .map(|pointer| pointer.name.as_str())
            .filter(move |name| name.starts_with(prefix) && !name.ends_with("/HEAD"))
    };
    if let Some(pull) = pull(here("refs/pull/").chain(here("refs/remotes/"))) {
        return Ok(Some(pull));
    }
    let default = |name: &&str| search.default_branch == Some(branch_name(name).as_str());
    let remote = here("refs/remotes/origin/")
        .find(default)
        .or_else(|| here("refs/remotes/origin/").next())
        .or_else(|| here("refs/remotes/").find(default))
        .or_else(|| here("refs/remotes/").next());
    if let Some(remote) = remote {
        return Ok(Some(format!("refs/heads/{}", branch_name(remote))));
    }
    let local = here("refs/heads/")
        .find(default)
        .or_else(|| here("refs/heads/").next())
        .map(str::to_owned);
    if local.is_some() || !search_history {
        return Ok(local);
    }
    for scope in ["refs/heads/", "refs/remotes/"] {
        if let Some(name) = search.newest_that_holds(scope, commit)? {
            return Ok(Some(format!("refs/heads/{}", branch_name(&name))));
        }
    }
    search.first_tag_that_holds(commit)
}

/// The tag that git names first beside HEAD (`git log -1 --pretty=%D`): the last in the order of bytes, as
/// decorations are put before those that are known (git, log-tree.c, `add_name_decoration`).
///
/// docker/actions-toolkit takes that one (`Git.findDetachedTagRef`; it sorts by length only to tell where
/// the first name ends). The design page on tag rules says "the longest matching name", which misreads it. No rule is
/// right for everyone who puts `v1.2.3` and `stable` on a commit, so there is a warning.
fn tag(search: &mut Search<'_>, commit: &Commit) -> Option<String> {
    let tags = tags_at(search.pointers, Some(commit));
    let taken = tags.last()?;
    if tags.len() > 1 {
        search.warn(Warning::SeveralTags {
            taken: printable(taken, 120),
            others: tags
                .iter()
                .filter(|name| *name != taken)
                .take(5)
                .map(|name| printable(name, 120))
                .collect(),
        });
    }
    Some(format!("refs/tags/{taken}"))
}

/// `refs/pull/12/merge`, also where a fetch has put it beside the branches of remotes, as actions/checkout does
/// (`refs/remotes/pull/12/merge`; docker/actions-toolkit, `Git.getDetachedRef`), or under a remote's name.
fn pull<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<String> {
    names.find_map(|name| {
        let rest = match name.strip_prefix("refs/remotes/") {
            Some(name) if name.starts_with("pull/") => name,
            Some(name) => name.split_once('/')?.1,
            None => name.strip_prefix("refs/")?,
        };
        let (number, end) = rest.strip_prefix("pull/")?.split_once('/')?;
        let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
        (is_number && matches!(end, "head" | "merge")).then(|| format!("refs/{rest}"))
    })
}
