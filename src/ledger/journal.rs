use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::oci::{Digest, Reference, Repository, Tag};

/// The version of the journal's format, in its first entry.
pub const VERSION: u32 = 1;
/// How much of a journal is read, in bytes: a release of a thousand tags takes about one megabyte.
const LARGEST: u64 = 256 * 1024 * 1024;

/// What a journal says, a JSON object a line.
///
/// All moves of a release are intended in one entry, which is on the disk before the first of them is
/// made. That says as much as an entry before each: either way a reader must ask the registry which of
/// them were made, as a power loss can come between the answer and its entry. And it costs one flush
/// and not one for each tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A release begins.
    Begun(Begun),
    /// The image of a service is in these repositories, under its digest.
    Uploaded(Uploaded),
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
    /// The moves are over and every one of them was taken back.
    TakenBack,
    /// Every tag is where it should be, and was read back. Only the record is missing.
    Complete,
}

/// The first entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The version of the format.
    pub v: u32,
    /// The release's id.
    pub release: String,
    /// The project's name.
    pub project: String,
    /// The command: `publish`, `promote`, `rollback`.
    pub command: String,
    /// When it began.
    pub at: Timestamp,
    /// The commit that is published, where there is one.
    pub revision: Option<String>,
    /// The tags of the plan, those included that stay because they would go backwards.
    pub tags: Vec<Reference>,
    /// The releases that it takes back, where it is a rollback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undid: Vec<String>,
    /// What is given other tags, where it is a promotion: enough to go on with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promoted: Vec<Promoted>,
    /// What to type after an interruption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
}

/// The command lines that end an interruption, with the flags of the run that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// What goes on to the end.
    pub finish: String,
    /// What takes back what was done.
    pub undo: String,
}

/// An image that is promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    /// The service.
    pub service: String,
    /// A repository that holds it.
    pub source: Repository,
    /// Its digest.
    pub digest: Digest,
    /// Where it goes.
    pub places: Vec<Place>,
}

/// A repository that an image is promoted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The registry's name.
    pub registry: String,
    /// The repository.
    pub repository: Repository,
    /// Whether the promotion fails when this place does.
    pub required: bool,
    /// The tags that will point to the image.
    pub tags: Vec<Tag>,
}

/// An image that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The service.
    pub service: String,
    /// The image's digest.
    pub digest: Digest,
    /// The repositories that hold it.
    pub repositories: Vec<Repository>,
    /// The digest of the files and arguments that it was built from; nothing where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Digest>,
}

/// A tag and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The tag's full reference.
    pub reference: Reference,
    /// Where it pointed before, `null` where it did not exist.
    pub from: Option<Digest>,
    /// Where it will point, `null` where it is deleted, as a rollback may do.
    pub to: Option<Digest>,
}

/// The journal of one release: only ever added to, and on the disk before what it says is done.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    pub(super) fn create(path: PathBuf, begun: Begun) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(Error::files("create", &path))?;
        let mut journal = Self { path, file };
        if let Err(error) = journal.append(&[Entry::Begun(begun)]) {
            // One that says nothing is of no use, and takes room that there is not.
            let _ = std::fs::remove_file(&journal.path);
            return Err(error);
        }
        if let Some(folder) = journal.path.parent() {
            super::flush_folder(folder)?;
        }
        Ok(journal)
    }

    /// Opens a journal to go on with it. A last line that was cut short is cut off first, as what
    /// follows would be read as a part of it.
    pub(super) fn reopen(path: PathBuf) -> Result<Self, Error> {
        let whole = read_lines(&path)?.1;
        let failed = |source| Error::files("write", &path)(source);
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(failed)?;
        file.set_len(whole).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(Self { path, file })
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
        Ok(read_lines(path)?.0)
    }
}

/// The version of the format, which the first line says whatever else it has become.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// The entries of a journal, and how many bytes of it they are.
fn read_lines(path: &Path) -> Result<(Vec<Entry>, u64), Error> {
    let failed = |source| Error::files("read", path)(source);
    let file = File::open(path).map_err(failed)?;
    let mut reader = BufReader::new(std::io::Read::take(file, LARGEST));
    let mut entries = Vec::new();
    let mut damaged = None;
    let mut line = Vec::new();
    let mut number = 0;
    let mut whole = 0;
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        number += 1;
        if let Some(line) = damaged {
            let path = path.to_owned();
            return Err(Error::Damaged { path, line });
        }
        let text = line.strip_suffix(b"\n");
        if number == 1
            && let Some(Version { v }) = text.and_then(|text| serde_json::from_slice(text).ok())
            && v > VERSION
        {
            let path = path.to_owned();
            return Err(Error::Newer { path, v });
        }
        match text.and_then(|text| serde_json::from_slice(text).ok()) {
            Some(entry) => {
                entries.push(entry);
                whole += line.len() as u64;
            }
            None => damaged = Some(number),
        }
        line.clear();
    }
    Ok((entries, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Begun {
        Begun {
            v: VERSION,
            release: "r1".to_owned(),
            project: "p".to_owned(),
            command: "publish".to_owned(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            revision: Some("abc".to_owned()),
            tags: vec!["example.com/a:1".parse().unwrap()],
            undid: Vec::new(),
            promoted: Vec::new(),
            next: None,
        }
    }

    fn entries() -> Vec<Entry> {
        let to = Digest::of(b"new");
        let reference: Reference = "example.com/a:1".parse().unwrap();
        vec![
            Entry::Begun(begun()),
            Entry::Uploaded(Uploaded {
                service: "a".to_owned(),
                digest: to.clone(),
                repositories: vec!["example.com/a".parse().unwrap()],
                contents: Some(Digest::of(b"contents")),
            }),
            Entry::Intended {
                moves: vec![Move {
                    reference: reference.clone(),
                    from: None,
                    to: Some(to),
                }],
            },
            Entry::Moved {
                reference: reference.clone(),
            },
            Entry::Restored { reference },
            Entry::TakenBack,
            Entry::Complete,
        ]
    }

    #[test]
    fn a_journal_that_is_cut_at_any_byte_still_reads_and_can_be_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let mut journal = Journal::create(path.clone(), begun()).unwrap();
        journal.append(&entries()[1..]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut most = 0;
        for length in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let read = Journal::read(&path).unwrap();
            assert!(read.len() >= most, "nothing that was said is lost");
            most = read.len();
            assert_eq!(read, entries()[..most]);
            let mut journal = Journal::reopen(path.clone()).unwrap();
            journal.append(&[Entry::TakenBack]).unwrap();
            let longer = Journal::read(&path).unwrap();
            assert_eq!(longer[..most], entries()[..most]);
            assert_eq!(longer[most..], [Entry::TakenBack]);
        }
        assert_eq!(most, entries().len());
    }

    #[test]
    fn damage_in_the_middle_is_not_taken_for_a_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        std::fs::write(&path, "{}\n{\"entry\":\"taken_back\"}\n").unwrap();
        let error = Journal::read(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { line: 1, .. }));
    }

    #[test]
    fn a_journal_of_a_later_castoff_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let text = "{\"entry\":\"started\",\"v\":2,\"id\":7}\n{\"entry\":\"else\"}\n";
        std::fs::write(&path, text).unwrap();
        let error = Journal::read(&path).unwrap_err();
        assert!(matches!(error, Error::Newer { v: 2, .. }), "{error}");
    }
}
