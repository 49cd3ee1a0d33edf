//! What happened, kept: the journal of a publish under way, and the records of those that ended.
//!
//! Knows files that survive a crash at any point. Must not know registries or what to do about an
//! interrupted publish; it only tells what was meant and what was done. Start reading at [`Ledger`].

mod journal;
mod release;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use journal::{Entry, Journal, Move};
pub use release::{RegistryOutcome, RegistryState, Release, ReleasedImage};

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
            Self::Damaged { .. } => None,
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

    /// Begins the journal of a release. It is a new file, flushed as it grows.
    pub fn begin(&self, release: &str, project: &str) -> Result<Journal, Error> {
        Journal::create(self.journal_path(release), release, project)
    }

    /// Keeps the record of a release that is over, and drops its journal.
    pub fn record(&self, release: &Release) -> Result<PathBuf, Error> {
        let path = self
            .folder
            .join("releases")
            .join(format!("{}.json", release.release));
        let text = serde_json::to_vec_pretty(release)
            .map_err(|error| Error::files("write", &path)(error.into()))?;
        write_whole(&path, &text)?;
        // A journal that cannot be dropped says no more than the record does.
        let _ = fs::remove_file(self.journal_path(&release.release));
        Ok(path)
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
    })
}
