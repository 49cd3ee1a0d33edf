//! Files that are read whole: never more of them than a limit, and never for ever.
//!
//! A path that somebody gave may lead to a device without an end, or to a pipe that nobody writes to.
//! Imports nothing of ours.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a file, at most `limit` bytes of it: one that has more is an error, and so is a pipe that nobody
/// writes to, or that gives nothing for ten seconds. Blocking.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let source = waiting::Source::open(path)?;
    let mut bytes = Vec::new();
    loop {
        let room = (limit + 1).saturating_sub(bytes.len() as u64);
        let read = source.file().take(room).read_to_end(&mut bytes);
        if bytes.len() as u64 > limit {
            const MIB: u64 = 1 << 20;
            let message = if limit >= MIB {
                format!("it is larger than {} MiB", limit / MIB)
            } else {
                format!("it is larger than {limit} bytes")
            };
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        match read {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => source.wait()?,
            Err(error) => return Err(error),
        }
    }
    if bytes.is_empty() && source.is_pipe() {
        let message = "it is a pipe that nobody writes to";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(bytes)
}

#[cfg(unix)]
mod waiting {
    use super::{File, Path, io};
    use std::os::unix::fs::FileTypeExt as _;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{Mode, OFlags};

    /// How long a pipe may give nothing, in seconds.
    const PATIENCE: u64 = 10;
    /// How long a pipe may take altogether.
    const LONGEST: Duration = Duration::from_mins(1);

    /// A file that is read without blocking.
    pub(super) struct Source {
        file: File,
        is_pipe: bool,
        since: Instant,
    }

    impl Source {
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
            Ok(Self {
                is_pipe: file.metadata()?.file_type().is_fifo(),
                file,
                since: Instant::now(),
            })
        }

        pub(super) fn file(&self) -> &File {
            &self.file
        }

        pub(super) fn is_pipe(&self) -> bool {
            self.is_pipe
        }

        /// Waits until there is something to read, or the writer has gone.
        pub(super) fn wait(&self) -> io::Result<()> {
            let left = LONGEST.saturating_sub(self.since.elapsed());
            let timeout = Timespec::try_from(left.min(Duration::from_secs(PATIENCE)));
            let timeout = timeout.map_err(io::Error::other)?;
            match poll(
                &mut [PollFd::new(&self.file, PollFlags::IN)],
                Some(&timeout),
            ) {
                Ok(0) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("nothing came out of it for {PATIENCE} s"),
                )),
                Ok(_) => Ok(()),
                Err(rustix::io::Errno::INTR) if !left.is_zero() => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
    }
}

#[cfg(not(unix))]
mod waiting {
    use super::{File, Path, io};

    pub(super) struct Source(File);

    impl Source {
        pub(super) fn open(path: &Path) -> io::Result<Self> {
            File::open(path).map(Self)
        }

        pub(super) fn file(&self) -> &File {
            &self.0
        }

        pub(super) fn is_pipe(&self) -> bool {
            false
        }

        pub(super) fn wait(&self) -> io::Result<()> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::time::Instant;

    use rustix::fs::{FileType, Mode};

    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abcd").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"abcd");
        let error = read(&path, 3).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 3 bytes");
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(&path, 0).unwrap(), b"");
        let error = read(&folder.path().join("none"), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(read(folder.path(), 1).is_err());
    }

    #[test]
    fn what_has_no_end_is_left() {
        assert!(read(Path::new("/dev/zero"), 1 << 20).is_err());
    }

    #[test]
    fn nobody_waits_for_a_pipe_without_a_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        let began = Instant::now();
        let error = read(&path, 10).unwrap_err();
        assert_eq!(error.to_string(), "it is a pipe that nobody writes to");
        assert!(began.elapsed().as_secs() < 5);
    }

    #[test]
    fn a_pipe_with_a_writer_is_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let writing = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            io::Write::write_all(&mut writer, b"late").unwrap();
        });
        assert_eq!(read(Path::new(&path), 10).unwrap(), b"late");
        writing.join().unwrap();
    }
}
