use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::execute::ports::BuilderError;

/// How long a builder on this machine may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Flow control windows. The defaults of HTTP/2 (64 KiB) make a transfer wait for its own answers.
pub(super) const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// A message of BuildKit's is at most this large (util/grpcclient, `DefaultMaxRecvMsgSize`).
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Where a BuildKit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The Docker Engine's own BuildKit, behind its unix socket.
    EngineSocket(PathBuf),
    /// A buildkitd on a unix socket.
    Socket(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EngineSocket(path) | Self::Socket(path) => {
                write!(formatter, "unix://{}", path.display())
            }
        }
    }
}

impl Address {
    /// Opens one connection, which carries all calls.
    pub(super) async fn connect(&self) -> Result<Channel, BuilderError> {
        let unreachable = |message: String| BuilderError::Unreachable {
            address: self.to_string(),
            message,
        };
        let connect = async {
            match self {
                Self::EngineSocket(path) => {
                    let stream = upgrade(path, "/grpc").await.map_err(&unreachable)?;
                    over(stream).await.map_err(unreachable)
                }
                Self::Socket(path) => {
                    let stream = UnixStream::connect(path)
                        .await
                        .map_err(|error| unreachable(error.to_string()))?;
                    over(TokioIo::new(stream)).await.map_err(unreachable)
                }
            }
        };
        tokio::time::timeout(CONNECT_LIMIT, connect)
            .await
            .map_err(|_| {
                let seconds = CONNECT_LIMIT.as_secs();
                unreachable(format!("no answer within {seconds} s"))
            })?
    }
}

/// Asks the Engine to turn a connection into HTTP/2 (moby, `/grpc`: `Upgrade: h2c`, answered by 101).
async fn upgrade(socket: &Path, path: &str) -> Result<Upgraded, String> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = hyper::Request::post(path)
        .header(HOST, "docker")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "h2c")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let ask = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        if answer.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!(
                "it answered {} where a Docker Engine with BuildKit switches protocols",
                answer.status()
            ));
        }
        hyper::upgrade::on(answer)
            .await
            .map_err(|error| error.to_string())
    };
    // The connection hands its stream over once the Engine has agreed, and is done then.
    let (_, upgraded) = tokio::join!(connection.with_upgrades(), ask);
    upgraded
}

/// A gRPC channel over a stream that is already open. It cannot be opened twice: when it breaks,
/// every call on it fails.
async fn over<S>(stream: S) -> Result<Channel, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let once = Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = once.lock().ok().and_then(|mut once| once.take());
        async move { stream.ok_or_else(|| std::io::Error::other("the connection is gone")) }
    });
    Endpoint::from_static("http://buildkit")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector(connector)
        .await
        .map_err(|error| error.to_string())
}
