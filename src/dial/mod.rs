//! Ways to a builder or an Engine, as far as they are streams of bytes: unix sockets, TCP, TLS, and
//! programs such as `ssh` that reach what this machine cannot.
//!
//! Knows how to open a stream, and how to say why there is none. Must not know what is spoken on it:
//! the rooms of BuildKit and of the Engine's API do. A way is a variant of [`Address`], and not a
//! trait. Start reading at [`Address::open`].

mod program;
mod tls;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub use program::{Ending, Program};
pub use tls::Tls;

/// How long a socket may take to be opened, and a server to agree on TLS.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// Where a server is, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A named pipe of Windows, as `//./pipe/docker_engine`.
    Pipe(String),
    /// A TCP port, with or without TLS.
    Tcp {
        /// A name or an IP address, an IPv6 address without its brackets.
        host: String,
        /// The port.
        port: u16,
        /// How to speak TLS, where it is spoken.
        tls: Option<Tls>,
    },
    /// A program whose standard input and output are the stream.
    Program(Program),
}

/// What is spoken on a stream: TLS servers want to be told (RFC 7301, ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, as the Engine's API.
    Http1,
    /// HTTP/2, as gRPC.
    Http2,
}

/// Why a stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the operating system said.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A file that TLS needs cannot be read, or holds something else.
    #[error("{what} {}: {message}", path.display())]
    File {
        /// `CA certificates`, `client certificate`, `client key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Both sides did not agree on TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// A program could not be started.
    #[error("cannot run `{program}`: {source}")]
    Start {
        /// Its name.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Named pipes are a thing of Windows.
    #[error("named pipes (npipe://) are there on Windows only")]
    NoPipes,
    /// Unix sockets are a thing of Unix.
    #[error("unix sockets (unix://) cannot be opened on this system")]
    NoSockets,
    /// Nobody answered.
    #[error("no answer within {} s", OPEN_LIMIT.as_secs())]
    TimedOut,
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { what, .. } => Some(format!("name a file with the {what} in PEM form")),
            Self::Tls(message) if message.contains("UnknownIssuer") => Some(
                "the server's certificate is signed by another CA: name the right one (ca.pem)"
                    .to_owned(),
            ),
            Self::Start { program, .. } => Some(format!("install `{program}`, or put it on PATH")),
            Self::Io(_) | Self::Tls(_) | Self::NoPipes | Self::NoSockets | Self::TimedOut => None,
        }
    }
}

impl Address {
    /// Opens a stream. Ends within 30 s. A program is only started here: whether it reaches anything
    /// shows when the stream is used, and [`Stream::ending`] tells what it said.
    pub async fn open(&self, protocol: Protocol) -> Result<Stream, Error> {
        let open = async {
            match self {
                Self::Unix(path) => unix(path).await,
                Self::Pipe(name) => pipe(name),
                Self::Tcp { host, port, tls } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    // Answers to small questions are waited for.
                    stream.set_nodelay(true)?;
                    match tls {
                        None => Ok(Stream::of(stream)),
                        Some(tls) => Ok(Stream::of(tls.agree(stream, host, protocol).await?)),
                    }
                }
                Self::Program(program) => program.start(),
            }
        };
        tokio::time::timeout(OPEN_LIMIT, open)
            .await
            .map_err(|_| Error::TimedOut)?
    }

    /// Whether it leads to this machine.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_) | Self::Pipe(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Pipe(name) => write!(formatter, "npipe://{name}"),
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(formatter, "tcp://[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(formatter, "tcp://{host}:{port}"),
            Self::Program(program) => formatter.write_str(&program.shown),
        }
    }
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> Result<Stream, Error> {
    Ok(Stream::of(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn unix(_: &std::path::Path) -> Result<Stream, Error> {
    Err(Error::NoSockets)
}

#[cfg(windows)]
fn pipe(name: &str) -> Result<Stream, Error> {
    let name = name.replace('/', "\\");
    let pipe = tokio::net::windows::named_pipe::ClientOptions::new().open(name)?;
    Ok(Stream::of(pipe))
}

#[cfg(not(windows))]
fn pipe(_: &str) -> Result<Stream, Error> {
    Err(Error::NoPipes)
}

/// What both directions of a stream are.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// An open stream.
pub struct Stream {
    duplex: Box<dyn Duplex>,
    ending: Ending,
}

impl Stream {
    fn of(duplex: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            duplex: Box::new(duplex),
            ending: Ending::default(),
        }
    }

    /// Who tells why the stream ended, where a program carries it. It outlives the stream.
    pub fn ending(&self) -> Ending {
        self.ending.clone()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.duplex).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.duplex).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.duplex).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.duplex).poll_shutdown(cx)
    }
}
