use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;

/// How often the lock is tried for, a pause between: who only asks who holds it, holds it for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);
/// What is read of a holder's name, in bytes.
const LONGEST: u64 = 4096;

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The machine's name.
    pub host: String,
    /// The command, for example `publish`.
    pub command: String,
    /// Since when.
    pub since: Timestamp,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            pid,
            host,
            command,
            since,
        } = self;
        write!(
            formatter,
            "`castoff {command}`, process {pid} on {host}, since {since:.0}"
        )
    }
}

/// The right to change the project's tags from this state folder, while this value lives.
///
/// It is a lock of the operating system on a file, which ends with the process that holds it however
/// that ends. The file itself stays, and what it says matters only while it is locked.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path, holder: &Holder) -> Result<Self, Error> {
        let failed = |source| Error::files("lock", path)(source);
        let mut file = open(path)?;
        for tried in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if tried < TRIES => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let holder = read(&mut file).map(Box::new);
                    return Err(Error::Locked { holder });
                }
            }
        }
        let text = serde_json::to_vec(holder).map_err(|error| failed(error.into()))?;
        let name = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&text));
        name.map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Who holds the lock now, `None` where nobody does.
    pub(super) fn holder(path: &Path) -> Result<Option<Holder>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        let mut file = open(path)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(read(&mut file)),
            Err(TryLockError::Error(error)) => Err(Error::files("lock", path)(error)),
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::files("open", path))
}

/// The name that the holder has left, where it is whole.
fn read(file: &mut File) -> Option<Holder> {
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(command: &str) -> Holder {
        Holder {
            pid: 7,
            host: "here".to_owned(),
            command: command.to_owned(),
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_lock_names_its_holder_and_outlives_no_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(Lock::holder(&path).unwrap(), None);
        let held = Lock::take(&path, &holder("publish")).unwrap();
        assert_eq!(Lock::holder(&path).unwrap(), Some(holder("publish")));
        let error = Lock::take(&path, &holder("rollback")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "another run for this project is under way: `castoff publish`, process 7 on here, since 2026-01-01T00:00:00Z"
        );
        drop(held);
        assert_eq!(Lock::holder(&path).unwrap(), None);
        Lock::take(&path, &holder("rollback")).unwrap();
    }
}
