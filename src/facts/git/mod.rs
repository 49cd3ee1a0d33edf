//! The git repository around the project.
//!
//! Two ways to read it, with one small set of questions between them ([`Source`]): libgit2, which
//! needs no program, and the `git` program for what libgit2 cannot read or reads wrongly (sha256
//! and reftable repositories, partial clones, worktrees of shallow clones), and for what has changed in
//! the working tree. What the answers mean is decided once, in `detached` and `branches`.

mod branches;
mod detached;
mod library;
mod program;
mod remote;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Environment, Error, Wants, Warning, printable};

/// What is known of the git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// The root of the working tree; a bare repository has none.
    pub toplevel: Option<PathBuf>,
    /// The repository itself: `.git`, or where that file points to.
    pub directory: PathBuf,
    /// The commit that is checked out; `None` before the first one.
    pub head: Option<Commit>,
    /// The full reference: the branch that is checked out, or the best answer for a detached HEAD.
    pub reference: Option<String>,
    /// Whether no branch is checked out.
    pub detached: bool,
    /// The tags at HEAD, in alphabetical order, without `refs/tags/`.
    pub tags: Vec<String>,
    /// The default branch, as far as the repository knows it.
    pub default_branch: Option<String>,
    /// The branch that holds HEAD, the default branch where it does ([`Wants::on_branch`]).
    pub on_branch: Option<String>,
    /// The address of `origin`, or of the only remote, without credentials.
    pub remote: Option<String>,
    /// The page of that address, `https://host/owner/name`, where it has one.
    pub page: Option<String>,
    /// Whether history was cut off when the repository was cloned.
    pub shallow: bool,
    /// `git describe --tags --always` ([`Wants::describe`]).
    pub describe: Option<String>,
    /// How the working tree differs from the commit ([`Wants::changes`]).
    pub changes: Option<Changes>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its name, 40 hexadecimal digits (64 in a sha256 repository).
    pub sha: String,
    /// When it was committed.
    pub time: Timestamp,
    /// Who wrote it: `Name <address>`, without control characters.
    pub author: Option<String>,
}

/// How a working tree differs from its commit: modified, staged, deleted, and untracked files that
/// are not ignored, as `git status` counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The first files, at most [`Changes::LISTED`], relative to the root of the working tree.
    pub files: Vec<String>,
    /// Whether there are more.
    pub more: bool,
}

impl Changes {
    /// How many files are listed.
    pub const LISTED: usize = 20;

    /// Whether anything differs.
    pub fn is_dirty(&self) -> bool {
        !self.files.is_empty()
    }
}

/// Why git could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// libgit2 says so.
    #[error("{0}")]
    Library(String),
    /// libgit2 cannot read this repository, and there is no `git` program to ask.
    #[error("{library}; the `git` program, which could read it, was not found")]
    NoProgram {
        /// What libgit2 said.
        library: String,
    },
    /// The `git` program failed.
    #[error("git {command}: {said}")]
    Program {
        /// Its first argument.
        command: String,
        /// What it printed, shortened, or how it ended.
        said: String,
    },
    /// The `git` program took too long.
    #[error("git {command}: no answer within {seconds} s")]
    TooSlow {
        /// Its first argument.
        command: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl Failure {
    /// The next step for the user.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoProgram { .. } => Some("install git".to_owned()),
            Self::Library(_) => Some("does `git status` work here?".to_owned()),
            Self::Program { .. } | Self::TooSlow { .. } => None,
        }
    }
}

/// What HEAD is.
struct Head {
    /// The branch that is checked out, `refs/heads/main`; `None` when HEAD is detached.
    symbolic: Option<String>,
    /// The commit; `None` before the first one.
    commit: Option<Commit>,
}

/// A reference and the commit that it leads to.
struct Pointer {
    name: String,
    /// The commit, through annotated tags.
    commit: String,
    /// The commit's time in seconds since 1970, where it came with the name.
    seconds: Option<i64>,
}

/// Where the repository lies.
struct Layout {
    toplevel: Option<PathBuf>,
    directory: PathBuf,
    shallow: bool,
}

/// The questions that both ways to read a repository answer.
trait Source {
    fn layout(&self) -> Result<Layout, Failure>;
    fn head(&self) -> Result<Head, Failure>;
    /// Every branch, remote branch, tag and pull reference, up to [`MAX_POINTERS`].
    fn pointers(&self) -> Result<Vec<Pointer>, Failure>;
    /// The commit's time, in seconds since 1970.
    fn seconds(&self, commit: &str) -> Result<i64, Failure>;
    /// Whether the history of `tip` has `commit`; `None` when the search was given up.
    fn holds(&self, tip: &str, commit: &Commit, until: Instant) -> Result<Option<bool>, Failure>;
    /// Where a symbolic reference points to, such as `refs/remotes/origin/HEAD`.
    fn symbolic(&self, name: &str) -> Option<String>;
    /// The address of `origin`, or of the only remote.
    fn remote(&self) -> Option<String>;
    /// `init.defaultBranch`.
    fn configured_default_branch(&self) -> Option<String>;
    /// Whether [`Source::describe`] may be asked: the binding of libgit2 panics where the answer is not
    /// UTF-8, as the name of a tag need not be.
    fn can_describe(&self) -> Result<bool, Failure>;
    /// `git describe --tags --always`; `None` when the search was given up.
    fn describe(&self, commit: &Commit, until: Instant) -> Result<Option<String>, Failure>;
    fn changes(&self) -> Result<Changes, Failure>;
    /// Whether git itself knows better what has changed.
    fn is_second_to_git(&self) -> bool;
}

/// How many references are read.
const MAX_POINTERS: usize = 50_000;
/// How long one search through history may take, whatever the repository.
const SEARCH: Duration = Duration::from_secs(2);

/// What of the repository is to be read.
pub(super) struct Question<'a> {
    pub(super) directory: &'a Path,
    pub(super) environment: &'a Environment,
    pub(super) wants: Wants,
    /// The default branch, where a CI system knows it.
    pub(super) default_branch: Option<&'a str>,
    /// `--ref` as the user typed it.
    pub(super) typed: Option<&'a str>,
    /// The commit that a CI system names, whose time is wanted where it is not that of HEAD.
    pub(super) commit: Option<&'a str>,
}

/// What was read.
pub(super) struct Answer {
    pub(super) git: Option<Git>,
    /// `--ref` as a full name.
    pub(super) typed: Option<String>,
    /// When the commit asked for was made, if the repository has it.
    pub(super) commit_time: Option<Timestamp>,
}

/// Reads the repository that holds the directory; there may be none.
pub(super) fn read(question: &Question<'_>, warnings: &mut Vec<Warning>) -> Result<Answer, Error> {
    let failed = |doing| {
        move |source| Error::Git {
            path: question.directory.to_owned(),
            doing,
            source,
        }
    };
    let source: Box<dyn Source> = match library::open(question.directory, question.environment) {
        library::Opened::Repository(library) => Box::new(*library),
        library::Opened::Nothing => return without(question),
        library::Opened::NotOwned(path) => {
            warnings.push(Warning::NotOwned { path });
            return without(question);
        }
        library::Opened::Unreadable(said) => Box::new(
            program::open(question.directory, question.environment, &said)
                .map_err(failed("open it"))?,
        ),
    };
    let source = source.as_ref();
    let layout = source.layout().map_err(failed("find its root"))?;
    let head = source.head().map_err(failed("read HEAD"))?;
    let pointers = source.pointers().map_err(failed("list its references"))?;
    let typed = question
        .typed
        .map(|typed| branches::full_name(typed, &pointers, head.commit.as_ref(), warnings))
        .transpose()?;
    let default_branch = question
        .default_branch
        .map(str::to_owned)
        .or_else(|| branches::default(source, &pointers));
    let mut search = branches::Search {
        source,
        pointers: &pointers,
        default_branch: default_branch.as_deref(),
        until: Instant::now() + SEARCH,
        shallow: layout.shallow,
        warnings,
    };
    let reference = match (&head.symbolic, &head.commit) {
        (Some(branch), _) => Some(branch.clone()),
        (None, Some(commit)) => detached::infer(
            &mut search,
            commit,
            question.wants.reference && typed.is_none(),
        )
        .map_err(failed("look for the branch of HEAD"))?,
        (None, None) => None,
    };
    let on_branch = match &head.commit {
        Some(commit) if question.wants.on_branch => search
            .branch_that_holds(commit)
            .map_err(failed("look for the branch of HEAD"))?,
        _ => None,
    };
    let describe = match &head.commit {
        Some(commit) if question.wants.describe => {
            describe(question, &mut search, commit).map_err(failed("describe HEAD"))?
        }
        _ => None,
    };
    let changes = if question.wants.changes && layout.toplevel.is_some() {
        Some(changes(question, source).map_err(failed("look for changed files"))?)
    } else {
        None
    };
    let remote = source.remote();
    let git = Git {
        tags: branches::tags_at(&pointers, head.commit.as_ref()),
        page: remote.as_deref().and_then(remote::page),
        remote: remote.as_deref().and_then(remote::without_credentials),
        toplevel: layout.toplevel,
        directory: layout.directory,
        shallow: layout.shallow,
        detached: head.symbolic.is_none(),
        head: head.commit,
        reference,
        default_branch,
        on_branch,
        describe,
        changes,
    };
    let is_name = |sha: &&str| {
        matches!(sha.len(), 40 | 64) && sha.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let commit_time = question
        .commit
        .filter(is_name)
        .and_then(|sha| source.seconds(sha).ok())
        .map(library::timestamp);
    Ok(Answer {
        git: Some(git),
        typed,
        commit_time,
    })
}

/// Whether `older` is `newer` or an ancestor of it; `None` where the repository that holds `directory` does
/// not have both, or its history is cut off or too long to search.
pub(super) fn is_ancestor(
    directory: &Path,
    environment: &Environment,
    older: &str,
    newer: &str,
) -> Option<bool> {
    let is_name = |sha: &str| {
        matches!(sha.len(), 40 | 64) && sha.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if !is_name(older) || !is_name(newer) {
        return None;
    }
    let source: Box<dyn Source> = match library::open(directory, environment) {
        library::Opened::Repository(library) => Box::new(*library),
        library::Opened::Unreadable(said) => {
            Box::new(program::open(directory, environment, &said).ok()?)
        }
        library::Opened::Nothing | library::Opened::NotOwned(_) => return None,
    };
    source.seconds(newer).ok()?;
    let commit = Commit {
        sha: older.to_owned(),
        time: library::timestamp(source.seconds(older).ok()?),
        author: None,
    };
    let found = source.holds(newer, &commit, Instant::now() + SEARCH).ok()?;
    // Where history was cut off, what is not found may lie behind the cut.
    found.filter(|holds| *holds || !source.layout().is_ok_and(|layout| layout.shallow))
}

/// `git describe --tags --always`, of git itself where libgit2 cannot be asked.
fn describe(
    question: &Question<'_>,
    search: &mut branches::Search<'_>,
    commit: &Commit,
) -> Result<Option<String>, Failure> {
    if search.source.can_describe()? {
        return search.describe(search.source, commit);
    }
    let why = "the name of a tag is not UTF-8";
    let program = program::open(question.directory, question.environment, why)?;
    search.describe(&program, commit)
}

/// Whether a tree has changes is for git itself to say, if it is there: what people compare with is
/// `git status`. libgit2 cannot read the index of a sparse or split checkout, knows no filters of others, such
/// as that of large file storage, and takes an empty repository within the tree for nothing.
fn changes(question: &Question<'_>, source: &dyn Source) -> Result<Changes, Failure> {
    if !source.is_second_to_git() {
        return source.changes();
    }
    let program = program::open(question.directory, question.environment, "")
        .and_then(|program| program.changes());
    let refused = match program {
        Ok(changes) => return Ok(changes),
        Err(refused) => refused,
    };
    source.changes().map_err(|library| match refused {
        Failure::NoProgram { .. } => Failure::NoProgram {
            library: library.to_string(),
        },
        refused => refused,
    })
}

/// Without a repository a short `--ref` cannot be looked up.
pub(super) fn without(question: &Question<'_>) -> Result<Answer, Error> {
    let typed = match question.typed {
        Some(typed) if !typed.starts_with("refs/") => {
            return Err(Error::UnknownReference {
                text: printable(typed, 120),
                nearest: None,
            });
        }
        typed => typed.map(str::to_owned),
    };
    Ok(Answer {
        git: None,
        typed,
        commit_time: None,
    })
}

/// The commit's first digits, as messages show them.
pub(super) fn brief(sha: &str) -> String {
    sha.chars().take(12).collect()
}
