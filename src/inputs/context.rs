use std::collections::HashMap;
use std::io::{self, Read as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::stat::{Entry, EntryKind};
use super::{Filter, PatternError, Patterns, StatCache, Tree, TreeError};
use crate::excerpt::Excerpt;
use crate::oci::Digest;

/// How many entries of a context are compared.
const MOST_ENTRIES: usize = 2_000_000;
/// How much of a file is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;
/// How many files are read at the same time at most.
const MOST_READERS: usize = 8;
/// An attribute that the machine gives to files by itself, and no image keeps.
const OF_THE_MACHINE: &str = "security.selinux";

/// A folder that a build reads, with what is left out of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// The folder.
    root: PathBuf,
    /// The patterns of what is left out.
    ignored: Vec<String>,
}

/// What is in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The digest of all of it: of each entry its path, kind and mode, and its content or where it leads.
    /// Neither dates nor owners: no image has them from here.
    pub digest: Digest,
    /// Each path, with the first bytes of its own digest.
    pub entries: Vec<(String, u64)>,
}

/// Why it cannot be told what is in a folder.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Its ignore file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Ignore {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Its ignore file is a pipe, a socket or a device, for which a builder waits for ever.
    #[error("{} is no file", path.display())]
    IgnoreKind {
        /// The file.
        path: PathBuf,
    },
    /// A pattern of its ignore file.
    #[error("{place}: {mistake}")]
    Ignored {
        /// The file and the line.
        place: Box<Excerpt>,
        /// What is wrong with it.
        mistake: PatternError,
    },
    /// A pattern that was given.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Something in it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// There is too much of it.
    #[error("{} holds more than {MOST_ENTRIES} files", folder.display())]
    TooMany {
        /// The folder.
        folder: PathBuf,
    },
}

impl ContextError {
    /// The line of the file that is meant, where there is one.
    pub fn place(&self) -> Option<&Excerpt> {
        match self {
            Self::Ignored { place, .. } => Some(place),
            _ => None,
        }
    }

    /// Whether no builder makes anything of it, either: an ignore file with a pattern that is none, or
    /// that is none itself.
    pub fn is_refused_by_builders(&self) -> bool {
        matches!(self, Self::Ignored { .. } | Self::IgnoreKind { .. })
    }
}

impl Content {
    /// The main context of a build: what `.dockerignore` leaves of the folder.
    pub fn main(root: &Path, dockerfile: Option<&Path>) -> Result<Self, ContextError> {
        Ok(Self {
            root: root.to_owned(),
            ignored: super::ignore::ignored(root, dockerfile)?,
        })
    }

    /// A named context: what its own `.dockerignore` leaves of the folder (BuildKit, dockerui, `NamedContext`).
    pub fn named(root: &Path) -> Result<Self, ContextError> {
        Self::main(root, None)
    }
}

/// What folders hold, each read once, however many builds read it.
#[derive(Debug)]
pub struct Contexts {
    wanted: Vec<Content>,
}

/// A folder that has been walked: entries, and of each file its hash where it is known.
struct Walked {
    entries: Vec<(Entry, Option<[u8; 32]>)>,
}

/// A file whose content has to be read: the folder's and the entry's number.
type Pending = (usize, usize);

impl Contexts {
    /// The folders to read.
    pub fn new(mut wanted: Vec<Content>) -> Self {
        wanted.sort();
        wanted.dedup();
        Self { wanted }
    }

    /// Reads all of them, several files at the same time, with what `cache` knows. `began` is now, in
    /// nanoseconds since 1970. Blocking.
    pub fn read(
        &self,
        cache: &mut StatCache,
        began: i64,
    ) -> Vec<(Content, Result<Listing, ContextError>)> {
        let known = &*cache;
        let mut walked = in_parallel(&self.wanted, |content| walk(content, known));
        let mut pending: Vec<Pending> = Vec::new();
        for (folder, walked) in walked.iter().enumerate() {
            let Ok(walked) = walked else { continue };
            for (index, (entry, hash)) in walked.entries.iter().enumerate() {
                // A later name of a file has the content of the first.
                if entry.kind == EntryKind::File && hash.is_none() && entry.link.is_empty() {
                    pending.push((folder, index));
                }
            }
        }
        let hashes = in_parallel(&pending, |(folder, index)| {
            let content = self.wanted.get(*folder)?;
            let (entry, _) = walked.get(*folder)?.as_ref().ok()?.entries.get(*index)?;
            Some(hash_file(&content.root.join(&entry.path)))
        });
        for ((folder, index), hash) in pending.into_iter().zip(hashes) {
            let Some(slot) = walked.get_mut(folder) else {
                continue;
            };
            let Ok(found) = slot else { continue };
            let Some((entry, known)) = found.entries.get_mut(index) else {
                continue;
            };
            match hash {
                Some(Ok(hash)) => {
                    *known = Some(hash);
                    if let Some(stamp) = entry.stamp {
                        cache.remember(entry, stamp, hash, began);
                    }
                }
                Some(Err(source)) => {
                    let root = self
                        .wanted
                        .get(folder)
                        .map(|content| content.root.as_path());
                    let path = root.unwrap_or(Path::new("")).join(&entry.path);
                    *slot = Err(TreeError::Read { path, source }.into());
                }
                None => {}
            }
        }
        let listings = walked
            .into_iter()
            .map(|walked| walked.map(|walked| list(&walked.entries)));
        self.wanted.iter().cloned().zip(listings).collect()
    }
}

/// Does `work` for each item, on as many threads as there are processors, and gives the results in the
/// order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors.min(MOST_READERS).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    own.push((index, work(item)));
                }
                done.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .append(&mut own);
            });
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn walk(content: &Content, cache: &StatCache) -> Result<Walked, ContextError> {
    let tree = Tree::open(&content.root)?;
    let filter = if content.ignored.is_empty() {
        Filter::default()
    } else {
        Filter::excluding(Patterns::new(&content.ignored)?)
    };
    let mut entries: Vec<(Entry, Option<[u8; 32]>)> = Vec::new();
    let result = tree.walk(&filter, &mut |entry| {
        let hash = match entry.kind {
            EntryKind::File => cache.find(&entry),
            _ => None,
        };
        entries.push((entry, hash));
        entries.len() <= MOST_ENTRIES
    });
    if entries.len() > MOST_ENTRIES {
        return Err(ContextError::TooMany {
            folder: content.root.clone(),
        });
    }
    result?;
    Ok(Walked { entries })
}

fn hash_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(length) => hash.update(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The digest of entries in their order.
fn list(entries: &[(Entry, Option<[u8; 32]>)]) -> Listing {
    let has_links = entries
        .iter()
        .any(|(entry, _)| entry.kind == EntryKind::File && !entry.link.is_empty());
    let firsts: HashMap<&str, [u8; 32]> = entries
        .iter()
        .filter(|_| has_links)
        .filter_map(|(entry, hash)| Some((entry.path.as_str(), (*hash)?)))
        .collect();
    let mut all = Sha256::new();
    let mut listed = Vec::with_capacity(entries.len());
    for (entry, hash) in entries {
        let content = match entry.kind {
            EntryKind::File if !entry.link.is_empty() => firsts.get(entry.link.as_str()).copied(),
            EntryKind::File => *hash,
            _ => None,
        };
        let own = hash_entry(entry, content);
        all.update(own);
        let short = own.first_chunk::<8>().copied().unwrap_or_default();
        listed.push((entry.path.clone(), u64::from_be_bytes(short)));
    }
    Listing {
        digest: Digest::from_sha256(&all.finalize()),
        entries: listed,
    }
}

fn hash_entry(entry: &Entry, content: Option<[u8; 32]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(entry.path.as_bytes());
    match entry.kind {
        EntryKind::File => {
            field(b"file");
            field(&entry.mode.to_le_bytes());
            field(content.as_ref().map_or(&[], <[u8; 32]>::as_slice));
        }
        EntryKind::Directory => {
            field(b"directory");
            field(&entry.mode.to_le_bytes());
        }
        // Its mode means nothing, and differs between systems.
        EntryKind::Symlink => {
            field(b"symlink");
            field(entry.link.as_bytes());
        }
        EntryKind::Special => {
            field(b"special");
            field(&entry.mode.to_le_bytes());
            field(&entry.device.0.to_le_bytes());
            field(&entry.device.1.to_le_bytes());
        }
    }
    for (name, value) in &entry.xattrs {
        if name != OF_THE_MACHINE {
            field(name.as_bytes());
            field(value);
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
