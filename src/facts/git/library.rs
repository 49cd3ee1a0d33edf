//! libgit2: reads most repositories, without a program.

use std::path::{Path, PathBuf};
use std::time::Instant;

use git2::{
    DescribeFormatOptions, DescribeOptions, ErrorCode, Oid, Repository, RepositoryOpenFlags, Sort,
    StatusOptions, StatusShow,
};
use jiff::Timestamp;

use super::{Changes, Commit, Failure, Head, Layout, MAX_POINTERS, Pointer, Source};
use crate::facts::{Environment, printable};

/// How many commits one search through history looks at.
const MAX_COMMITS: usize = 200_000;
/// How far commit times may run backwards before a search stops trusting them, in seconds.
pub(super) const CLOCK_SKEW: i64 = 24 * 60 * 60;

/// What came of opening the repository.
pub(super) enum Opened {
    Repository(Box<Library>),
    /// There is none.
    Nothing,
    /// It belongs to another user (safe.directory, git-config(1)).
    NotOwned(PathBuf),
    /// It is there, and libgit2 cannot read it, or would read it wrongly.
    Unreadable(String),
}

pub(super) struct Library {
    repository: Repository,
}

/// Opens the repository that holds the directory, as git finds it.
pub(super) fn open(directory: &Path, environment: &Environment) -> Opened {
    let opened = match environment.non_empty("GIT_DIR") {
        Some(given) => Repository::open(directory.join(given)),
        None => Repository::open_ext(
            directory,
            RepositoryOpenFlags::empty(),
            ceilings(environment).as_slice(),
        ),
    };
    let repository = match opened {
        Ok(repository) => repository,
        Err(error) => {
            return match error.code() {
                ErrorCode::NotFound => Opened::Nothing,
                ErrorCode::Owner => Opened::NotOwned(owned_by_another(directory)),
                _ => Opened::Unreadable(said(&error)),
            };
        }
    };
    // libgit2 looks for the list of cut-off commits in the worktree's own folder, not in the one
    // that all worktrees share, and then misses parents.
    if repository.is_worktree() && repository.commondir().join("shallow").exists() {
        return Opened::Unreadable("this is a worktree of a shallow clone".to_owned());
    }
    Opened::Repository(Box::new(Library { repository }))
}

/// Folders above which git does not look (`GIT_CEILING_DIRECTORIES`, git(1)).
fn ceilings(environment: &Environment) -> Vec<PathBuf> {
    environment
        .non_empty("GIT_CEILING_DIRECTORIES")
        .map(|list| std::env::split_paths(list).collect())
        .unwrap_or_default()
}

/// The folder to name in safe.directory: the nearest above that holds a `.git`.
fn owned_by_another(directory: &Path) -> PathBuf {
    directory
        .ancestors()
        .find(|folder| folder.join(".git").exists())
        .unwrap_or(directory)
        .to_owned()
}

/// A name as git shows it. Git demands no encoding of names, and whoever reads its output as UTF-8, as
/// docker/metadata-action does, sees U+FFFD for what is none.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn said(error: &git2::Error) -> String {
    printable(error.message(), 400)
}

fn failure(error: &git2::Error) -> Failure {
    Failure::Library(said(error))
}

impl Library {
    fn oid(sha: &str) -> Result<Oid, Failure> {
        Oid::from_str(sha).map_err(|error| failure(&error))
    }

    fn commit(commit: &git2::Commit<'_>) -> Commit {
        let author = commit.author();
        let (name, address) = (text(author.name_bytes()), text(author.email_bytes()));
        Commit {
            sha: commit.id().to_string(),
            time: timestamp(commit.time().seconds()),
            author: Some(printable(&format!("{name} <{address}>"), 200)),
        }
    }
}

/// A commit may claim any second; those that no calendar has become the nearest that one has.
pub(super) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

impl Source for Library {
    fn layout(&self) -> Result<Layout, Failure> {
        Ok(Layout {
            toplevel: self.repository.workdir().map(Path::to_owned),
            directory: self.repository.path().to_owned(),
            shallow: self.repository.is_shallow(),
        })
    }

    fn head(&self) -> Result<Head, Failure> {
        let head = self
            .repository
            .find_reference("HEAD")
            .map_err(|error| failure(&error))?;
        let symbolic = head.symbolic_target_bytes().map(text);
        let commit = match self.repository.head() {
            Ok(resolved) => Some(resolved.peel_to_commit().map_err(|error| failure(&error))?),
            Err(error) if error.code() == ErrorCode::UnbornBranch => None,
            Err(error) => return Err(failure(&error)),
        };
        Ok(Head {
            symbolic,
            commit: commit.as_ref().map(Self::commit),
        })
    }

    fn pointers(&self) -> Result<Vec<Pointer>, Failure> {
        let references = self
            .repository
            .references()
            .map_err(|error| failure(&error))?;
        let mut pointers = Vec::new();
        for reference in references.take(MAX_POINTERS) {
            // A broken reference is git's to complain about.
            let Ok(reference) = reference else { continue };
            let name = text(reference.name_bytes());
            let wanted = ["refs/heads/", "refs/tags/", "refs/remotes/", "refs/pull/"];
            if !wanted.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            // Packed references know what an annotated tag leads to; loose ones have to look.
            let commit = if let Some(peeled) = reference.target_peel() {
                peeled.to_string()
            } else if let Ok(commit) = reference.peel_to_commit() {
                commit.id().to_string()
            } else {
                continue;
            };
            pointers.push(Pointer {
                name,
                commit,
                seconds: None,
            });
        }
        pointers.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        Ok(pointers)
    }

    fn seconds(&self, commit: &str) -> Result<i64, Failure> {
        self.repository
            .find_commit(Self::oid(commit)?)
            .map(|commit| commit.time().seconds())
            .map_err(|error| failure(&error))
    }

    fn holds(&self, tip: &str, commit: &Commit, until: Instant) -> Result<Option<bool>, Failure> {
        let (tip, wanted) = (Self::oid(tip)?, Self::oid(&commit.sha)?);
        let oldest = commit.time.as_second().saturating_sub(CLOCK_SKEW);
        let mut walk = self.repository.revwalk().map_err(|error| failure(&error))?;
        walk.set_sorting(Sort::TIME)
            .and_then(|()| walk.push(tip))
            .map_err(|error| failure(&error))?;
        for (count, found) in walk.enumerate() {
            // The end of a shallow history reads as an error; it is only an end.
            let Ok(found) = found else { break };
            if found == wanted {
                return Ok(Some(true));
            }
            // Both looks cost more than a step does.
            if count % 64 == 63 {
                if count >= MAX_COMMITS || Instant::now() > until {
                    return Ok(None);
                }
                if self.seconds(&found.to_string())? < oldest {
                    break;
                }
            }
        }
        Ok(Some(false))
    }

    fn symbolic(&self, name: &str) -> Option<String> {
        let reference = self.repository.find_reference(name).ok()?;
        reference.symbolic_target_bytes().map(text)
    }

    fn remote(&self) -> Option<String> {
        let remote = if let Ok(remote) = self.repository.find_remote("origin") {
            remote
        } else {
            let names = self.repository.remotes().ok()?;
            match (names.len(), names.get(0)) {
                (1, Ok(Some(only))) => self.repository.find_remote(only).ok()?,
                _ => return None,
            }
        };
        Some(text(remote.url_bytes())).filter(|url| !url.is_empty())
    }

    fn configured_default_branch(&self) -> Option<String> {
        let config = self.repository.config().ok()?;
        config.get_string("init.defaultBranch").ok()
    }

    fn can_describe(&self) -> Result<bool, Failure> {
        let tags = self.repository.references_glob("refs/tags/*");
        let tags = tags.map_err(|error| failure(&error))?;
        let mut tags = tags.filter_map(Result::ok);
        Ok(tags.all(|tag| std::str::from_utf8(tag.name_bytes()).is_ok()))
    }

    fn describe(&self, commit: &Commit, until: Instant) -> Result<Option<String>, Failure> {
        let wanted = Self::oid(&commit.sha)?;
        let tagged: std::collections::HashSet<String> = self
            .pointers()?
            .into_iter()
            .filter(|pointer| pointer.name.starts_with("refs/tags/"))
            .map(|pointer| pointer.commit)
            .collect();
        // libgit2 would walk to the first commit of all where no tag is near.
        let mut walk = self.repository.revwalk().map_err(|error| failure(&error))?;
        walk.set_sorting(Sort::TIME)
            .and_then(|()| walk.push(wanted))
            .map_err(|error| failure(&error))?;
        let mut near = false;
        if !tagged.is_empty() {
            for (count, found) in walk.enumerate() {
                let Ok(found) = found else { break };
                if tagged.contains(&found.to_string()) {
                    near = true;
                    break;
                }
                if count >= MAX_COMMITS || (count % 256 == 255 && Instant::now() > until) {
                    return Ok(None);
                }
            }
        }
        let object = self
            .repository
            .find_object(wanted, None)
            .map_err(|error| failure(&error))?;
        if !near {
            let short = object.short_id().map_err(|error| failure(&error))?;
            return Ok(short.as_str().ok().map(str::to_owned));
        }
        object
            .describe(
                DescribeOptions::new()
                    .describe_tags()
                    .show_commit_oid_as_fallback(true)
                    .max_candidates_tags(10),
            )
            .and_then(|described| described.format(Some(&DescribeFormatOptions::new())))
            .map(Some)
            .map_err(|error| failure(&error))
    }

    fn is_second_to_git(&self) -> bool {
        true
    }

    fn changes(&self) -> Result<Changes, Failure> {
        // `no` leaves them out (git-config(1)); libgit2 does not ask for itself.
        let untracked = self
            .repository
            .config()
            .and_then(|config| config.get_string("status.showUntrackedFiles"))
            .map_or(true, |shown| {
                !["no", "false", "off", "0"].contains(&shown.to_lowercase().as_str())
            });
        let mut options = StatusOptions::new();
        options
            .show(StatusShow::IndexAndWorkdir)
            .include_untracked(untracked)
            .include_ignored(false)
            .recurse_untracked_dirs(false)
            .no_refresh(false)
            .update_index(false);
        let statuses = self
            .repository
            .statuses(Some(&mut options))
            .map_err(|error| failure(&error))?;
        let mut changes = Changes::default();
        for entry in statuses.iter() {
            if changes.files.len() == Changes::LISTED {
                changes.more = true;
                break;
            }
            let path = String::from_utf8_lossy(entry.path_bytes());
            changes.files.push(printable(&path, 200));
        }
        Ok(changes)
    }
}
