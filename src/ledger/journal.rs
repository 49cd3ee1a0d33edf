use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use crate::oci::{Digest, Reference};

/// The version of the journal's format, in its first entry.
const VERSION: u32 = 1;

/// What a journal says, a JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A release is about to move tags.
    Begun {
        /// The version of the format.
        v: u32,
        /// The release's id.
        release: String,
        /// The project's name.
        project: String,
    },
    /// These moves are about to be made. Nothing is moved that is not said here first.
    Intended {
        /// The moves.
        moves: Vec<Move>,
    },
    /// A tag was moved.
    Moved {
        /// The tag.
        reference: Reference,
    },
    /// A tag was brought back to where it was before.
    Restored {
        /// The tag.
        reference: Reference,
    },
    /// The release is over, with everything moved or everything brought back.
    Ended {
        /// Whether it is live.
        complete: bool,
    },
}

/// A tag and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The tag's full reference.
    pub reference: Reference,
    /// Where it pointed before, `null` where it did not exist.
    pub from: Option<Digest>,
    /// Where it will point.
    pub to: Digest,
}

/// The journal of one release: only ever added to, and on the disk before what it says is done.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    pub(super) fn create(path: PathBuf, release: &str, project: &str) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(Error::files("create", &path))?;
        let mut journal = Self { path, file };
        journal.append(&[Entry::Begun {
            v: VERSION,
            release: release.to_owned(),
            project: project.to_owned(),
        }])?;
        Ok(journal)
    }

    /// Adds `entries` and waits until the disk has them.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let failed = |source| Error::files("write", &self.path)(source);
        let mut text = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut text, entry).map_err(|error| failed(error.into()))?;
            text.push(b'\n');
        }
        self.file.write_all(&text).map_err(failed)?;
        self.file.sync_data().map_err(failed)
    }

    /// Reads a journal. A last line that is cut short, as by a power loss, was never said.
    pub fn read(path: &Path) -> Result<Vec<Entry>, Error> {
        let failed = |source| Error::files("read", path)(source);
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let mut entries = Vec::new();
        let mut damaged = None;
        let mut line = Vec::new();
        let mut number = 0;
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            number += 1;
            if let Some(line) = damaged {
                let path = path.to_owned();
                return Err(Error::Damaged { path, line });
            }
            let whole = line.strip_suffix(b"\n");
            match whole.and_then(|whole| serde_json::from_slice(whole).ok()) {
                Some(entry) => entries.push(entry),
                None => damaged = Some(number),
            }
            line.clear();
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let to = Digest::of(b"new");
        let reference: Reference = "example.com/a:1".parse().unwrap();
        vec![
            Entry::Begun {
                v: VERSION,
                release: "r1".to_owned(),
                project: "p".to_owned(),
            },
            Entry::Intended {
                moves: vec![Move {
                    reference: reference.clone(),
                    from: None,
                    to,
                }],
            },
            Entry::Moved { reference },
            Entry::Ended { complete: true },
        ]
    }

    #[test]
    fn a_journal_that_is_cut_at_any_byte_still_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let mut journal = Journal::create(path.clone(), "r1", "p").unwrap();
        journal.append(&entries()[1..]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut most = 0;
        for length in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let read = Journal::read(&path).unwrap();
            assert!(read.len() >= most, "nothing that was said is lost");
            most = read.len();
            assert_eq!(read, entries()[..most]);
        }
        assert_eq!(most, 4);
    }

    #[test]
    fn damage_in_the_middle_is_not_taken_for_a_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        std::fs::write(&path, "{}\n{\"entry\":\"ended\",\"complete\":true}\n").unwrap();
        let error = Journal::read(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { line: 1, .. }));
    }
}
