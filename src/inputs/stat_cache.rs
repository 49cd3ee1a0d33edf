use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::stat::{Entry, Stamp};

/// What the file begins with. Another version is another text.
const MAGIC: &[u8; 16] = b"castoff stat 1\n\0";
/// Bytes of a record: five numbers and a hash.
const RECORD: usize = 5 * 8 + 32;
/// How many files are remembered.
const MOST: usize = 500_000;
/// How much older than the beginning of the run a change must be so that a second one, in the same tick
/// of the file system's clock, would show (git, "racy-git"). In nanoseconds; FAT counts in two seconds.
const MARGIN: i64 = 2_500_000_000;

/// The hashes of files' contents, by what the file system says of them: device, inode, size, and the
/// times of the last change of content and of anything, to the nanosecond.
///
/// The second time cannot be set by anybody, so a file that keeps its size and its date is still seen to
/// have changed. A file that changed just now is not remembered: a further change could look the same.
#[derive(Debug, Default)]
pub struct StatCache {
    records: HashMap<(u64, u64), Record>,
    /// Whether something was added.
    changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    size: u64,
    modified: i64,
    changed: i64,
    hash: [u8; 32],
}

impl StatCache {
    /// Reads the cache at `path`. One that is not there, damaged, or of another version is empty: then
    /// every file is read.
    pub fn open(path: &Path) -> Self {
        let largest = (MAGIC.len() + MOST * RECORD + 32) as u64;
        let is_fine = path.metadata().is_ok_and(|found| found.len() <= largest);
        let bytes = if is_fine {
            std::fs::read(path).ok()
        } else {
            None
        };
        Self {
            records: bytes.and_then(|bytes| decode(&bytes)).unwrap_or_default(),
            changed: false,
        }
    }

    /// The hash of an entry's content, where it is known.
    pub(super) fn find(&self, entry: &Entry) -> Option<[u8; 32]> {
        let stamp = entry.stamp?;
        let record = self.records.get(&(stamp.device, stamp.inode))?;
        let is_same = record.size == entry.size
            && record.modified == entry.modified
            && record.changed == stamp.changed;
        is_same.then_some(record.hash)
    }

    /// Remembers the hash of an entry's content, unless the entry is younger than `began`, the time when
    /// the tree was about to be read, in nanoseconds since 1970.
    pub(super) fn remember(&mut self, entry: &Entry, stamp: Stamp, hash: [u8; 32], began: i64) {
        if stamp.changed >= began.saturating_sub(MARGIN) {
            return;
        }
        let key = (stamp.device, stamp.inode);
        if self.records.len() >= MOST && !self.records.contains_key(&key) {
            // Most of them are of files that are no more; those that are will be read once again.
            self.records.clear();
        }
        let record = Record {
            size: entry.size,
            modified: entry.modified,
            changed: stamp.changed,
            hash,
        };
        self.changed |= self.records.insert(key, record) != Some(record);
    }

    /// Writes the cache to `path` where something was added, whole or not at all.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&self.encode())?;
        // It need not survive a power loss: what is damaged is not believed.
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.records.len() * RECORD + 32);
        bytes.extend_from_slice(MAGIC);
        for ((device, inode), record) in &self.records {
            bytes.extend_from_slice(&device.to_le_bytes());
            bytes.extend_from_slice(&inode.to_le_bytes());
            bytes.extend_from_slice(&record.size.to_le_bytes());
            bytes.extend_from_slice(&record.modified.to_le_bytes());
            bytes.extend_from_slice(&record.changed.to_le_bytes());
            bytes.extend_from_slice(&record.hash);
        }
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }
}

fn decode(bytes: &[u8]) -> Option<HashMap<(u64, u64), Record>> {
    let (content, sum) = bytes.split_last_chunk::<32>()?;
    if Sha256::digest(content).as_slice() != sum {
        return None;
    }
    let records = content.strip_prefix(MAGIC)?.chunks_exact(RECORD);
    if !records.remainder().is_empty() {
        return None;
    }
    records
        .map(|record| {
            let (numbers, hash) = record.split_last_chunk::<32>()?;
            let mut numbers = numbers
                .chunks_exact(8)
                .map(|number| number.try_into().unwrap_or_default());
            let mut next = || numbers.next().map(u64::from_le_bytes);
            let key = (next()?, next()?);
            let record = Record {
                size: next()?,
                modified: next()?.cast_signed(),
                changed: next()?.cast_signed(),
                hash: *hash,
            };
            Some((key, record))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inode: u64) -> (Entry, Stamp) {
        let stamp = Stamp {
            device: 1,
            inode,
            changed: 1_000,
        };
        let entry = Entry {
            stamp: Some(stamp),
            ..Entry::inline("a", 5, 0o644)
        };
        (entry, stamp)
    }

    #[test]
    fn what_was_saved_is_known_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat");
        let mut cache = StatCache::open(&path);
        let (first, stamp) = entry(7);
        cache.remember(&first, stamp, [9; 32], MARGIN + 1_001);
        cache.save(&path).unwrap();
        let read = StatCache::open(&path);
        assert_eq!(read.find(&first), Some([9; 32]));
        assert_eq!(read.find(&entry(8).0), None);
        for changed in [
            Entry {
                size: 6,
                ..first.clone()
            },
            Entry {
                modified: 1,
                ..first.clone()
            },
            Entry {
                stamp: Some(Stamp {
                    changed: 1_001,
                    ..stamp
                }),
                ..first.clone()
            },
            Entry {
                stamp: None,
                ..first.clone()
            },
        ] {
            assert_eq!(read.find(&changed), None);
        }
    }

    #[test]
    fn a_file_that_changed_just_now_is_not_remembered() {
        let mut cache = StatCache::default();
        let (young, stamp) = entry(7);
        cache.remember(&young, stamp, [9; 32], MARGIN + 1_000);
        assert_eq!(cache.find(&young), None);
    }

    #[test]
    fn a_damaged_cache_is_empty_wherever_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat");
        let mut cache = StatCache::default();
        let (first, stamp) = entry(7);
        cache.remember(&first, stamp, [9; 32], i64::MAX);
        let whole = cache.encode();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(StatCache::open(&path).find(&first), None, "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(StatCache::open(&path).find(&first), None, "cut at {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(StatCache::open(&path).find(&first), Some([9; 32]));
    }
}
