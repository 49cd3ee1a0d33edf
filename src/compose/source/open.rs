//! Opens and reads a file that may be anything: a regular file, a pipe of the shell's `<(…)`, a
//! FIFO that nobody writes to, a device that never ends.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::super::error::Error;

/// The largest file that is read, in bytes. Compose files of real projects stay below 1 MB.
pub const LARGEST_FILE: u64 = 8 << 20;

/// What is done about a file that turns out to be a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipes {
    /// It is read: somebody named it on the command line and may come to write to it.
    Wait,
    /// It is an [`Error::Pipe`]: castoff found it by itself, or another file names it. One that the
    /// shell made (`<(…)`) and that got there through a variable is read all the same.
    Refuse,
}

/// Reads a file, but never more than [`LARGEST_FILE`] bytes of it, and never waits for ever: a
/// pipe that gives nothing for ten seconds is an [`Error::Silent`].
pub fn read_file(path: &Path, pipes: Pipes) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let mut waiting = waiting::Waiting::open(path).map_err(failed)?;
    let is_of_shell = ["/dev", "/proc"].iter().any(|root| path.starts_with(root));
    if waiting.is_pipe() && pipes == Pipes::Refuse && !is_of_shell {
        return Err(Error::Pipe {
            path: path.to_owned(),
        });
    }
    loop {
        let room = LARGEST_FILE + 1 - bytes.len() as u64;
        match waiting.file().take(room).read_to_end(&mut bytes) {
            Ok(0) if bytes.is_empty() && waiting.may_come() => {}
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
        if bytes.len() as u64 > LARGEST_FILE {
            break;
        }
        if !waiting.wait().map_err(failed)? {
            return Err(Error::Silent {
                path: path.to_owned(),
                seconds: waiting::SECONDS,
            });
        }
    }
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: LARGEST_FILE,
        });
    }
    Ok(bytes)
}

/// Reads the standard input to its end, but never more than [`LARGEST_FILE`] bytes of it.
pub(super) fn read_standard_input() -> Result<Vec<u8>, Error> {
    let path = Path::new("-");
    let mut bytes = Vec::new();
    let input = std::io::stdin().lock();
    let read = input.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: LARGEST_FILE,
        });
    }
    Ok(bytes)
}

#[cfg(unix)]
mod waiting {
    use super::{File, Path};
    use std::io;
    use std::os::unix::fs::FileTypeExt as _;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{Mode, OFlags};

    /// How long a pipe may give nothing.
    pub(super) const SECONDS: u64 = 10;

    /// How long a pipe may take altogether.
    const LONGEST: Duration = Duration::from_mins(1);

    /// A file that is read without blocking.
    pub(super) struct Waiting {
        file: File,
        is_pipe: bool,
        /// Whether a writer was there: the end of the data is its end then.
        came: bool,
        since: Instant,
    }

    impl Waiting {
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
            Ok(Self {
                is_pipe: file.metadata()?.file_type().is_fifo(),
                file,
                came: false,
                since: Instant::now(),
            })
        }

        pub(super) fn file(&mut self) -> &mut File {
            &mut self.file
        }

        pub(super) fn is_pipe(&self) -> bool {
            self.is_pipe
        }

        /// Whether an empty file is a pipe whose writer has not come yet.
        pub(super) fn may_come(&self) -> bool {
            self.is_pipe && !self.came
        }

        /// Waits until there is something to read, or the writer has gone; says whether that came.
        pub(super) fn wait(&mut self) -> io::Result<bool> {
            let left = LONGEST.saturating_sub(self.since.elapsed());
            let timeout = left.min(Duration::from_secs(SECONDS));
            let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
            let mut polled = [PollFd::new(&self.file, PollFlags::IN)];
            let ready = match poll(&mut polled, Some(&timeout)) {
                Ok(ready) => ready > 0,
                Err(rustix::io::Errno::INTR) => return Ok(!left.is_zero()),
                Err(error) => return Err(error.into()),
            };
            self.came |= ready;
            Ok(ready)
        }
    }
}

#[cfg(not(unix))]
mod waiting {
    use super::{File, Path};
    use std::io;

    pub(super) const SECONDS: u64 = 0;

    pub(super) struct Waiting(File);

    impl Waiting {
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            File::open(path).map(Self)
        }

        pub(super) fn file(&mut self) -> &mut File {
            &mut self.0
        }

        pub(super) fn is_pipe(&self) -> bool {
            false
        }

        pub(super) fn may_come(&self) -> bool {
            false
        }

        pub(super) fn wait(&mut self) -> io::Result<bool> {
            Ok(false)
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::time::Duration;

    fn fifo() -> (tempfile::TempDir, std::path::PathBuf) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        (folder, path)
    }

    #[test]
    fn what_comes_late_and_in_parts_is_read_whole() {
        let (_folder, path) = fifo();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                std::thread::sleep(Duration::from_millis(50));
                let mut file = File::options().write(true).open(path).unwrap();
                for part in ["one ", "two ", "three"] {
                    file.write_all(part.as_bytes()).unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        assert_eq!(read_file(&path, Pipes::Wait).unwrap(), b"one two three");
        writer.join().unwrap();
    }

    #[test]
    fn what_never_ends_is_too_large() {
        assert!(matches!(
            read_file(Path::new("/dev/zero"), Pipes::Refuse),
            Err(Error::TooLarge { .. })
        ));
    }
}
