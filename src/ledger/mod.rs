//! What happened, kept: the journal of a publish under way, and the records of those that ended.
//!
//! Knows files that survive a crash at any point, and the lock that lets one run at a time write
//! them. Must not know registries or what to do about an interrupted publish; it only tells what was
//! meant and what was done. Start reading at [`Ledger`].

mod history;
mod journal;
mod layers;
mod lock;
mod release;
mod unfinished;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use history::{emptied, live, undo};
pub use journal::{Begun, Entry, Journal, Move, Next, Place, Promoted, Uploaded, VERSION};
pub use layers::{Compressed, Layers};
pub use lock::{Holder, Lock};
pub use release::{LeftTag, RecordError, RegistryOutcome, RegistryState, Release, ReleasedImage};
pub use unfinished::Unfinished;

use crate::oci::Digest;

/// The state of one project on this machine.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: PathBuf,
}

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Files {
        /// What was being done: `write`, `create`, `read`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A line in the middle of a journal is no entry.
    #[error("line {line} of {} is damaged", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A journal or record was written by a later castoff.
    #[error("{} has version {v} of its format, and this castoff knows {VERSION}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        v: u32,
    },
    /// Another run holds the lock.
    #[error(
        "another run for this project is under way{}",
        holder.as_ref().map(|holder| format!(": {holder}")).unwrap_or_default()
    )]
    Locked {
        /// Who it is, where it has said so already.
        holder: Option<Box<Holder>>,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Files { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, or set CASTOFF_STATE to a folder on another disk".to_owned())
            }
            Self::Files { .. } => {
                Some("set CASTOFF_STATE to a folder that may be written".to_owned())
            }
            Self::Damaged { path, .. } => Some(format!(
                "look at it with care: it says which tags were about to move; move {} away once they are right",
                path.display()
            )),
            Self::Newer { .. } => {
                Some("use the newest castoff that works on this project".to_owned())
            }
            Self::Locked { .. } => Some("wait until it has ended, or end it".to_owned()),
        }
    }

    fn files(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Files {
            doing,
            path,
            source,
        }
    }
}

impl Ledger {
    /// The ledger of the project that lives in `directory`, below `state`. It is outside of the
    /// project's folder, so that `git clean` does not take it along.
    pub fn open(state: &Path, project: &str, directory: &Path) -> Result<Self, Error> {
        let ledger = Self::closed(state, project, directory);
        let releases = ledger.folder.join("releases");
        fs::create_dir_all(&releases).map_err(Error::files("create", &releases))?;
        Ok(ledger)
    }

    /// The same without touching a file, for what neither reads nor writes it.
    pub fn closed(state: &Path, project: &str, directory: &Path) -> Self {
        let key = Digest::of(directory.as_os_str().as_encoded_bytes());
        let folder = state.join(format!("{project}-{}", key.short()));
        Self { folder }
    }

    /// Where the project's state is kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes the lock of the project, or says who has it.
    pub fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
        Lock::take(&self.folder.join("lock"), holder)
    }

    /// Who holds the lock of the project now.
    pub fn holder(&self) -> Result<Option<Holder>, Error> {
        Lock::holder(&self.folder.join("lock"))
    }

    /// Begins the journal of a release. It is a new file, flushed as it grows. What earlier journals
    /// say is of no use any more, and they go.
    pub fn begin(&self, begun: Begun) -> Result<Journal, Error> {
        let earlier = self.journals()?;
        let journal = Journal::create(self.journal_path(&begun.release), begun)?;
        for path in earlier {
            // One that stays is read as what it is: older than this one.
            let _ = fs::remove_file(path);
        }
        Ok(journal)
    }

    /// Goes on with the journal of a release that was interrupted; one that has none any more, as its
    /// record was kept, begins a new one.
    pub fn go_on(&self, unfinished: &Unfinished, begun: Begun) -> Result<Journal, Error> {
        if unfinished.path.as_os_str().is_empty() {
            return Journal::create(self.journal_path(&begun.release), begun);
        }
        Journal::reopen(unfinished.path.clone())
    }

    /// The release that did not come to its end, if there is one.
    pub fn unfinished(&self) -> Result<Option<Unfinished>, Error> {
        let mut latest = None;
        for path in self.journals()? {
            let Some(unfinished) = Unfinished::read(&path)? else {
                continue;
            };
            // A run that died between its record and the end of its journal.
            let record = self.record_path(&unfinished.begun.release);
            if unfinished.complete && record.exists() {
                continue;
            }
            latest = Some(unfinished);
        }
        Ok(latest)
    }

    /// Forgets an interrupted release: its tags stay where they are.
    pub fn forget(&self, release: &str) -> Result<(), Error> {
        let path = self.journal_path(release);
        fs::remove_file(&path).map_err(Error::files("remove", &path))?;
        flush_folder(&self.folder)
    }

    /// Keeps the record of a release that is over, and drops its journal.
    pub fn record(&self, release: &Release) -> Result<PathBuf, Error> {
        let path = self.record_path(&release.release);
        let text = serde_json::to_vec_pretty(release)
            .map_err(|error| Error::files("write", &path)(error.into()))?;
        write_whole(&path, &text)?;
        // A journal that cannot be dropped says no more than the record does.
        let _ = fs::remove_file(self.journal_path(&release.release));
        Ok(path)
    }

    /// The records of all releases, oldest first.
    pub fn releases(&self) -> Result<Vec<Release>, Error> {
        let mut releases = Vec::new();
        for path in files(&self.folder.join("releases"), "json")? {
            let text = fs::read(&path).map_err(Error::files("read", &path))?;
            releases.push(Release::read(&text).map_err(|error| error.at(&path))?);
        }
        releases.sort_by_key(Release::age);
        Ok(releases)
    }

    /// The journals, oldest first.
    fn journals(&self) -> Result<Vec<PathBuf>, Error> {
        files(&self.folder, "journal")
    }

    fn record_path(&self, release: &str) -> PathBuf {
        let releases = self.folder.join("releases");
        releases.join(format!("{release}.json"))
    }

    fn journal_path(&self, release: &str) -> PathBuf {
        self.folder.join(format!("{release}.journal"))
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::files("write", path)(source);
    // The name is the release's own, so nobody else writes to it.
    let unfinished = path.with_extension("unfinished");
    let write = || {
        let mut file = fs::File::create(&unfinished)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        failed(error)
    })?;
    path.parent().map_or(Ok(()), flush_folder)
}

/// Waits until the disk has the names of a folder's files: a file that is flushed can still be lost with
/// its name (fsync(2)). Elsewhere than on unix the file system sees to that, or nobody can.
fn flush_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        let flush = fs::File::open(folder).and_then(|folder| folder.sync_all());
        flush.map_err(Error::files("write", folder))?;
    }
    Ok(())
}

/// The files of a folder whose names end so, in the order of their names.
fn files(folder: &Path, end: &str) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::files("read", folder)(source);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|own| own == end) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
