use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};

/// How many files are asked for at the same time. Each is open while it comes.
const AT_ONCE: usize = 32;
/// How many entries a result may have.
const MOST_ENTRIES: u32 = 8_000_000;
/// How long a path may be.
const LONGEST_PATH: usize = 4096;

/// Go's `os.FileMode`, as far as it is not the permissions (Go, io/fs).
mod mode {
    pub(super) const DIRECTORY: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const PIPE: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    #[cfg(unix)]
    pub(super) const SETUID: u32 = 1 << 23;
    #[cfg(unix)]
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHARACTER: u32 = 1 << 21;
    #[cfg(unix)]
    pub(super) const STICKY: u32 = 1 << 20;
    pub(super) const IRREGULAR: u32 = 1 << 19;
    /// What is no plain file.
    pub(super) const KIND: u32 =
        DIRECTORY | SYMLINK | DEVICE | PIPE | SOCKET | CHARACTER | IRREGULAR;
}

/// A folder on its way here, in fsutil's protocol (tonistiigi/fsutil, receive.go): first every entry, each
/// with a number, then the contents that are asked for by those numbers.
///
/// What the builder sends can only lie within the folder. Nothing was there before, every entry is made
/// by this and by no other, and none below something that is not a folder made here; so there is no
/// link that a path could go through.
#[derive(Debug)]
pub(in crate::buildkit) struct Taking {
    root: PathBuf,
    /// The number of the next entry.
    next: u32,
    made: HashMap<String, Made>,
    /// Folders in the order in which they came. They get their modes when nothing is written any more.
    folders: Vec<(PathBuf, Stat)>,
    /// Files that are not asked for yet.
    waiting: VecDeque<(u32, PathBuf, Stat)>,
    open: HashMap<u32, (File, PathBuf, Stat)>,
    /// Whether all entries are known.
    is_listed: bool,
    /// Whether everything is there.
    is_whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Folder,
    File,
    Other,
}

fn wrong(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

impl Taking {
    /// Takes entries into `root`, which is empty.
    pub(in crate::buildkit) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            next: 0,
            made: HashMap::new(),
            folders: Vec::new(),
            waiting: VecDeque::new(),
            open: HashMap::new(),
            is_listed: false,
            is_whole: false,
        }
    }

    /// Whether everything came.
    pub(in crate::buildkit) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Takes one packet, and gives those that answer it.
    pub(in crate::buildkit) fn take(&mut self, packet: Packet) -> io::Result<Vec<Packet>> {
        match packet.r#type() {
            PacketType::PacketStat => match packet.stat {
                Some(stat) if !self.is_listed => {
                    self.make(stat)?;
                    Ok(Vec::new())
                }
                Some(_) => Err(wrong("an entry came behind the last one")),
                None => {
                    self.is_listed = true;
                    self.go_on()
                }
            },
            PacketType::PacketData => self.data(packet.id, &packet.data),
            PacketType::PacketFin => Ok(Vec::new()),
            PacketType::PacketErr => {
                let message = String::from_utf8_lossy(&packet.data).into_owned();
                Err(wrong(format!("the builder gave up: {message}")))
            }
            PacketType::PacketReq => Err(wrong("the builder asks for what it sends")),
        }
    }

    /// Makes an entry, as far as it can be without its content.
    fn make(&mut self, stat: Stat) -> io::Result<()> {
        let number = self.next;
        self.next += 1;
        if self.next > MOST_ENTRIES {
            return Err(wrong(format!("more than {MOST_ENTRIES} entries")));
        }
        let name = checked(&stat.path)?.to_owned();
        if let Some((parent, _)) = name.rsplit_once('/')
            && self.made.get(parent) != Some(&Made::Folder)
        {
            return Err(wrong(format!("{name}: its folder did not come before it")));
        }
        if self.made.contains_key(&name) {
            return Err(wrong(format!("{name}: it came twice")));
        }
        let path = self.root.join(&name);
        let kind = stat.mode & mode::KIND;
        let made = if kind == mode::DIRECTORY {
            match fs::create_dir(&path) {
                // Platforms come at the same time, and may share a folder.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !fs::symlink_metadata(&path)?.is_dir() {
                        return Err(error);
                    }
                }
                made => made?,
            }
            self.folders.push((path, stat));
            Made::Folder
        } else if kind == mode::SYMLINK {
            symlink(&stat.linkname, &path)?;
            set_time(&path, stat.mod_time)?;
            Made::Other
        } else if kind == 0 && !stat.linkname.is_empty() {
            let target = checked(&stat.linkname)?;
            if self.made.get(target) != Some(&Made::File) {
                return Err(wrong(format!(
                    "{name}: it is another name of {target}, which is no file here"
                )));
            }
            fs::hard_link(self.root.join(target), &path)?;
            Made::File
        } else if kind == 0 {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)?;
            self.waiting.push_back((number, path, stat));
            Made::File
        } else {
            special(&path, &stat)?;
            Made::Other
        };
        self.made.insert(name, made);
        Ok(())
    }

    fn data(&mut self, number: u32, data: &[u8]) -> io::Result<Vec<Packet>> {
        let Some((file, ..)) = self.open.get_mut(&number) else {
            return Err(wrong(format!(
                "content of {number}, which was not asked for"
            )));
        };
        if !data.is_empty() {
            file.write_all(data)?;
            return Ok(Vec::new());
        }
        if let Some((file, path, stat)) = self.open.remove(&number) {
            drop(file);
            set_attributes(&path, &stat)?;
        }
        self.go_on()
    }

    /// Asks for more, or says that everything is there.
    fn go_on(&mut self) -> io::Result<Vec<Packet>> {
        let mut answers = Vec::new();
        while self.open.len() < AT_ONCE {
            let Some((number, path, stat)) = self.waiting.pop_front() else {
                break;
            };
            let file = OpenOptions::new().write(true).open(&path)?;
            self.open.insert(number, (file, path, stat));
            answers.push(packet(PacketType::PacketReq, number));
        }
        if self.is_listed && self.open.is_empty() && !self.is_whole {
            // The inner ones first: whatever is made within a folder changes its time.
            for (path, stat) in self.folders.iter().rev() {
                set_attributes(path, stat)?;
            }
            self.is_whole = true;
            answers.push(packet(PacketType::PacketFin, 0));
        }
        Ok(answers)
    }
}

fn packet(kind: PacketType, number: u32) -> Packet {
    Packet {
        r#type: kind.into(),
        id: number,
        ..Packet::default()
    }
}

/// A path that leads nowhere but into the folder.
fn checked(path: &str) -> io::Result<&str> {
    let is_name = |part: &str| {
        let is_own = !part.is_empty() && part != "." && part != "..";
        is_own
            && !part.contains(['\0', if cfg!(windows) { '\\' } else { '\0' }])
            && !(cfg!(windows) && part.contains(':'))
    };
    if path.len() > LONGEST_PATH || !path.split('/').all(is_name) {
        let shown = crate::printable::one_line(path, 200);
        return Err(wrong(format!("`{shown}` is no path within the folder")));
    }
    Ok(path)
}

/// Mode, time and extended attributes of a file or folder. Whose it is stays whose castoff is.
fn set_attributes(path: &Path, stat: &Stat) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    for (name, value) in &stat.xattrs {
        // Many of them are for root, or for another system: docker leaves those out, too.
        let _ = rustix::fs::lsetxattr(path, name.as_str(), value, rustix::fs::XattrFlags::empty());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(unix_mode(stat.mode)))?;
    }
    set_time(path, stat.mod_time)
}

/// Permissions with setuid, setgid and sticky, as Unix has them.
#[cfg(unix)]
fn unix_mode(mode: u32) -> u32 {
    let special = [
        (mode::SETUID, 0o4000),
        (mode::SETGID, 0o2000),
        (mode::STICKY, 0o1000),
    ];
    let special = special.iter().filter(|(bit, _)| mode & bit != 0);
    special.fold(mode & 0o777, |all, (_, bit)| all | bit)
}

/// The time of the last change, in nanoseconds since 1970; of a link, and not of what it leads to.
#[cfg(unix)]
fn set_time(path: &Path, nanoseconds: i64) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

    let time = Timespec {
        tv_sec: nanoseconds.div_euclid(1_000_000_000),
        tv_nsec: nanoseconds.rem_euclid(1_000_000_000) as _,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(not(unix))]
fn set_time(path: &Path, nanoseconds: i64) -> io::Result<()> {
    let since = std::time::Duration::from_nanos(nanoseconds.try_into().unwrap_or_default());
    if path.is_file() {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_modified(std::time::UNIX_EPOCH + since)?;
    }
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn symlink(_: &str, path: &Path) -> io::Result<()> {
    Err(wrong(format!(
        "{}: links cannot be written here",
        path.display()
    )))
}

/// Devices and pipes, where there are such.
#[cfg(target_os = "linux")]
fn special(path: &Path, stat: &Stat) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

    let kind = if stat.mode & mode::PIPE != 0 {
        FileType::Fifo
    } else if stat.mode & mode::CHARACTER != 0 {
        FileType::CharacterDevice
    } else if stat.mode & mode::DEVICE != 0 {
        FileType::BlockDevice
    } else {
        return Err(wrong(format!(
            "{}: it is no kind of file that can be written",
            stat.path
        )));
    };
    let number = |number: i64| u32::try_from(number).unwrap_or_default();
    let device = makedev(number(stat.devmajor), number(stat.devminor));
    mknodat(
        CWD,
        path,
        kind,
        Mode::from_raw_mode(unix_mode(stat.mode)),
        device,
    )?;
    set_attributes(path, stat)
}

#[cfg(not(target_os = "linux"))]
fn special(_: &Path, stat: &Stat) -> io::Result<()> {
    Err(wrong(format!(
        "{}: it is no kind of file that can be written here",
        stat.path
    )))
}

/// Mode and time of a folder.
pub(super) struct Attributes {
    permissions: fs::Permissions,
    nanoseconds: i64,
}

impl Attributes {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let known = fs::metadata(path)?;
        let since = known.modified()?.duration_since(std::time::UNIX_EPOCH);
        let nanoseconds = since
            .ok()
            .and_then(|since| i64::try_from(since.as_nanos()).ok());
        Ok(Self {
            permissions: known.permissions(),
            nanoseconds: nanoseconds.unwrap_or_default(),
        })
    }

    pub(super) fn give(self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, self.permissions)?;
        set_time(path, self.nanoseconds)
    }
}

/// Lets the owner of a folder change what is in it.
pub(super) fn make_writable(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    let _ = path;
    Ok(())
}
