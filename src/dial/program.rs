use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Error, Stream};
use crate::printable;

/// How much of what a program complains about is kept: its last words are the reason.
const KEPT: usize = 4 * 1024;
/// How many lines of it are shown, and how long each may be.
const SHOWN_LINES: usize = 4;
const SHOWN_LINE: usize = 300;
/// How long a program may take to end once nobody talks to it any more.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long the last words of a program are waited for, once its stream broke.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A program whose standard input and output are a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name, which is looked up on `PATH`.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it runs.
    pub folder: Option<PathBuf>,
    /// How people are told where it leads: `ssh://host`, `buildx:NAME`.
    pub shown: String,
}

impl Program {
    /// Runs it without input, and gives what it wrote: at most `most` bytes, and within `limit`.
    pub async fn output(&self, most: u64, limit: Duration) -> Result<Vec<u8>, Error> {
        let run = async {
            let mut said = Vec::new();
            self.start()?.take(most).read_to_end(&mut said).await?;
            Ok(said)
        };
        tokio::time::timeout(limit, run)
            .await
            .map_err(|_| Error::TimedOut)?
    }

    pub(super) fn start(&self) -> Result<Stream, Error> {
        let failed = |source| Error::Start {
            program: self.name.clone(),
            source,
        };
        let mut command = Command::new(&self.name);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // A Ctrl-C is ours to hear: builds are to be stopped before the way to them is gone.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(io::Error::other("it has no standard streams")));
        };
        let (tell, hear) = watch::channel(None);
        let closed = CancellationToken::new();
        let name = self.name.clone();
        let heard = closed.clone();
        // Ends with the program, which ends with the stream.
        tokio::spawn(async move {
            let words = attend(child, stderr, heard, &name).await;
            tell.send_replace(Some(words));
        });
        Ok(Stream {
            duplex: Box::new(Pipes {
                stdin,
                stdout,
                _closed: closed.drop_guard(),
            }),
            ending: Ending(Some(hear)),
        })
    }
}

/// Waits for a program's end, at most for a moment once its stream is dropped, and gives its last
/// words.
async fn attend(
    mut child: Child,
    mut stderr: ChildStderr,
    closed: CancellationToken,
    name: &str,
) -> String {
    let mut said = Vec::new();
    let read = async {
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
            said.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let surplus = said.len().saturating_sub(KEPT);
            said.drain(..surplus);
        }
    };
    let wait = async {
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = async { closed.cancelled().await; tokio::time::sleep(GOODBYE).await; } => {
                // Its error is that it has ended by now.
                let _ = child.start_kill();
                child.wait().await
            }
        };
        (ended, tokio::time::Instant::now())
    };
    // What the program started may hold its standard error open for ever.
    let both = async {
        tokio::pin!(read, wait);
        tokio::select! {
            (ended, _) = &mut wait => {
                let _ = tokio::time::timeout(GOODBYE, &mut read).await;
                ended
            }
            () = &mut read => wait.await.0,
        }
    };
    let ended = both.await;
    let text = String::from_utf8_lossy(&said);
    let lines: Vec<String> = text
        .lines()
        .map(|line| printable::one_line(line.trim(), SHOWN_LINE))
        .filter(|line| !line.is_empty())
        .collect();
    let first = lines.len().saturating_sub(SHOWN_LINES);
    let words = lines.get(first..).unwrap_or_default().join("; ");
    match ended {
        // Many programs begin with their name themselves.
        _ if words.starts_with(&format!("{name}: ")) => words,
        _ if !words.is_empty() => format!("{name}: {words}"),
        Ok(status) => format!("{name} ended with {status}"),
        Err(error) => format!("{name}: {error}"),
    }
}

/// Who tells why a stream ended.
#[derive(Clone, Debug, Default)]
pub struct Ending(Option<watch::Receiver<Option<String>>>);

impl Ending {
    /// The last words of the program that carried the stream, once that broke. `None` where no
    /// program did, or where it still runs.
    pub async fn words(&self) -> Option<String> {
        let mut receiver = self.0.clone()?;
        let told = receiver.wait_for(Option::is_some);
        let told = tokio::time::timeout(LAST_WORDS, told).await;
        told.ok()?.ok()?.clone()
    }
}

struct Pipes {
    stdin: ChildStdin,
    stdout: ChildStdout,
    _closed: DropGuard,
}

impl AsyncRead for Pipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::super::{Address, Protocol};
    use super::*;

    fn shell(script: &str) -> Address {
        Address::Program(Program {
            name: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            folder: None,
            shown: "shell".to_owned(),
        })
    }

    #[tokio::test]
    async fn a_programs_standard_streams_are_a_stream() {
        let mut stream = shell("cat").open(Protocol::Http1).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello");
    }

    #[tokio::test]
    async fn the_last_words_of_a_program_are_heard_and_clean() {
        let mut stream = shell("printf 'one\\ntwo\\033[31m\\n' >&2; exit 3")
            .open(Protocol::Http1)
            .await
            .unwrap();
        let ending = stream.ending();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(ending.words().await.unwrap(), "sh: one; two\u{fffd}[31m");
        let stream = shell("exit 3").open(Protocol::Http1).await.unwrap();
        let words = stream.ending().words().await.unwrap();
        assert_eq!(words, "sh ended with exit status: 3");
    }

    #[tokio::test]
    async fn a_program_that_floods_its_complaints_takes_no_memory_and_does_not_stop() {
        let flood = "yes complaint | head -c 3000000 >&2; echo last words >&2";
        let stream = shell(flood).open(Protocol::Http1).await.unwrap();
        let words = stream.ending().words().await.unwrap();
        assert!(words.ends_with("last words"), "{words}");
    }

    #[tokio::test]
    async fn a_program_ends_with_its_stream_even_where_it_does_not_want_to() {
        let stream = shell("trap '' TERM; while :; do sleep 0.1; done")
            .open(Protocol::Http1)
            .await
            .unwrap();
        let ending = stream.ending();
        drop(stream);
        tokio::time::sleep(GOODBYE).await;
        let words = ending.words().await.unwrap();
        assert!(words.contains("signal: 9"), "{words}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let mut address = shell("");
        if let Address::Program(program) = &mut address {
            program.name = "castoff-no-such-program".to_owned();
        }
        let error = address.open(Protocol::Http1).await.err().unwrap();
        assert!(error.to_string().contains("castoff-no-such-program"));
        assert!(error.hint().unwrap().contains("PATH"));
    }
}
