use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::path::Path;

/// An entry of a tree, in the terms of BuildKit's file transfer (tonistiigi/fsutil, `types.Stat`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path below the root, with slashes, without a leading one.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permissions and kind as Go's `os.FileMode`.
    pub mode: u32,
    /// The size in bytes; 0 for folders.
    pub size: u64,
    /// The time of the last change, in nanoseconds since 1970.
    pub modified: i64,
    /// Where a symbolic link points, as it is written; for a later name of a file with several
    /// hard links the first path under which it was seen.
    pub link: String,
    /// Major and minor number of a device.
    pub device: (u64, u64),
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// By what a change of it shows, where the file system says so.
    pub stamp: Option<Stamp>,
}

/// What a file system says of a file beside its size and date, and nobody can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The file system.
    pub device: u64,
    /// The file's number in it.
    pub inode: u64,
    /// When content, name or mode changed last, in nanoseconds since 1970.
    pub changed: i64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, or a later name of one (`link` is set then).
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, a pipe or a socket.
    Special,
}

/// Bits of Go's `os.FileMode` above the nine permissions.
mod go_mode {
    pub(super) const DIRECTORY: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    #[cfg(unix)]
    pub(super) const DEVICE: u32 = 1 << 26;
    #[cfg(unix)]
    pub(super) const PIPE: u32 = 1 << 25;
    #[cfg(unix)]
    pub(super) const SETUID: u32 = 1 << 23;
    #[cfg(unix)]
    pub(super) const SETGID: u32 = 1 << 22;
    #[cfg(unix)]
    pub(super) const CHARACTER_DEVICE: u32 = 1 << 21;
    #[cfg(unix)]
    pub(super) const STICKY: u32 = 1 << 20;
}

/// A file's identity on this machine, where it has several names.
pub(super) type Inode = (u64, u64);

impl Entry {
    /// The entry at `full`, which is `path` below the root, with its identity where the file has
    /// several names. Symbolic links are not followed.
    pub(super) fn read(full: &Path, path: &str) -> io::Result<(Self, Option<Inode>)> {
        let metadata = full.symlink_metadata()?;
        let kind = if metadata.is_dir() {
            EntryKind::Directory
        } else if metadata.is_symlink() {
            EntryKind::Symlink
        } else if metadata.is_file() {
            EntryKind::File
        } else {
            EntryKind::Special
        };
        let link = if kind == EntryKind::Symlink {
            let target = full.read_link()?;
            target.into_os_string().into_string().map_err(|target| {
                let message = format!("the link's target {} is not UTF-8", target.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?
        } else {
            String::new()
        };
        let inode = inode(&metadata).filter(|_| kind == EntryKind::File);
        let entry = Self {
            path: path.to_owned(),
            kind,
            mode: mode(&metadata),
            size: if metadata.is_dir() { 0 } else { metadata.len() },
            modified: modified(&metadata),
            link,
            device: device(&metadata),
            xattrs: xattrs(full)?,
            stamp: stamp(&metadata),
        };
        Ok((entry, inode))
    }
}

impl Entry {
    /// A regular file that is on no disk. It was never changed, so that it is the same each time.
    pub fn inline(path: &str, size: usize, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            kind: EntryKind::File,
            mode,
            size: size as u64,
            modified: 0,
            link: String::new(),
            device: (0, 0),
            xattrs: BTreeMap::new(),
            stamp: None,
        }
    }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    let unix = metadata.mode();
    let kind = metadata.file_type();
    let mut mode = unix & 0o777;
    for (bit, go) in [
        (0o4000, go_mode::SETUID),
        (0o2000, go_mode::SETGID),
        (0o1000, go_mode::STICKY),
    ] {
        if unix & bit != 0 {
            mode |= go;
        }
    }
    // A socket keeps no bit: tar has no place for it, and fsutil clears it too.
    mode | if kind.is_dir() {
        go_mode::DIRECTORY
    } else if kind.is_symlink() {
        go_mode::SYMLINK
    } else if kind.is_block_device() {
        go_mode::DEVICE
    } else if kind.is_char_device() {
        go_mode::DEVICE | go_mode::CHARACTER_DEVICE
    } else if kind.is_fifo() {
        go_mode::PIPE
    } else {
        0
    }
}

/// Windows has no permissions that a Linux image could use: everything may be executed, as docker
/// has it (fsutil, `mkstat`).
#[cfg(not(unix))]
fn mode(metadata: &Metadata) -> u32 {
    let read_write = if metadata.permissions().readonly() {
        0o444
    } else {
        0o666
    };
    let mode = (read_write | 0o111) & 0o755;
    if metadata.is_dir() {
        go_mode::DIRECTORY | 0o755
    } else if metadata.is_symlink() {
        go_mode::SYMLINK | mode
    } else {
        mode
    }
}

#[cfg(unix)]
fn modified(metadata: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;

    metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec())
}

#[cfg(not(unix))]
fn modified(metadata: &Metadata) -> i64 {
    let since = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
fn stamp(metadata: &Metadata) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;

    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        changed: metadata
            .ctime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.ctime_nsec()),
    })
}

#[cfg(not(unix))]
fn stamp(_: &Metadata) -> Option<Stamp> {
    None
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> Option<Inode> {
    use std::os::unix::fs::MetadataExt;

    (metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> Option<Inode> {
    None
}

#[cfg(unix)]
fn device(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    let kind = metadata.file_type();
    if kind.is_block_device() || kind.is_char_device() {
        let number = metadata.rdev();
        (
            (number >> 8) & 0xfff,
            (number & 0xff) | ((number >> 12) & 0xf_ff00),
        )
    } else {
        (0, 0)
    }
}

#[cfg(not(unix))]
fn device(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// Extended attributes of every namespace that may be read, without those that macOS keeps for itself (fsutil,
/// `loadXattr`).
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn xattrs(full: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    use rustix::fs::{lgetxattr, llistxattr};
    use rustix::io::Errno;

    // The kernel's own limits for the list of names and for one value (xattr(7)).
    const LIMIT: usize = 64 * 1024;
    let mut found = BTreeMap::new();
    // Enough for the names that there are, as a rule. An empty one would be told nothing, not even a length.
    let mut few = [0_u8; 512];
    let mut many;
    let names: &[u8] = match llistxattr(full, &mut few) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(found),
        Ok(length) => few.get(..length).unwrap_or_default(),
        Err(Errno::RANGE) => {
            many = vec![0_u8; LIMIT];
            let length = llistxattr(full, &mut many)?;
            many.get(..length).unwrap_or_default()
        }
        Err(error) => return Err(error.into()),
    };
    let mut value = Vec::new();
    for name in names.split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        if name.is_empty() || name.starts_with("com.apple.") {
            continue;
        }
        value.resize(LIMIT, 0);
        // One that vanished or may not be read is left out, as docker leaves it out.
        if let Ok(length) = lgetxattr(full, name, value.as_mut_slice()) {
            let value = value.get(..length).unwrap_or_default();
            found.insert(name.to_owned(), value.to_vec());
        }
    }
    Ok(found)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn xattrs(_: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    Ok(BTreeMap::new())
}
