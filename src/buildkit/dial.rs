use std::sync::Mutex;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

use crate::dial::{self, Ending, Protocol, Stream};
use crate::execute::ports::BuilderError;

/// How long a builder may take to answer: one on this machine, and one that is reached over a
/// network, where ssh alone waits 30 s for the other side.
const LOCAL_LIMIT: Duration = Duration::from_secs(10);
const REMOTE_LIMIT: Duration = Duration::from_secs(40);
/// How long a connection may be silent while calls wait on it before the other side is asked whether
/// it is there, and how long it may take to say so. Together they are how long a builder that went
/// away without a word is waited for.
///
/// A gRPC server in Go takes it ill when it is asked more than every five minutes, unless it has
/// sent something since; a session's health checks come every five seconds, so it has.
const SILENCE: Duration = Duration::from_secs(8);
const ANSWER: Duration = Duration::from_secs(10);
/// Flow control windows. The defaults of HTTP/2 (64 KiB) make a transfer wait for its own answers.
pub(super) const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// A message of BuildKit's is at most this large (util/grpcclient, `DefaultMaxRecvMsgSize`).
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// The largest answer of an Engine about itself that is read, in bytes.
const MAX_VERSION: usize = 64 * 1024;

/// Where a BuildKit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Within the Docker Engine, whose API is there.
    Engine(dial::Address),
    /// A buildkitd, or what leads to one.
    Buildkitd(dial::Address),
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Engine(address) | Self::Buildkitd(address) => address.fmt(formatter),
        }
    }
}

/// One connection, which carries all calls.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) channel: Channel,
    /// Tells why it broke.
    pub(super) ending: Ending,
}

impl Address {
    /// Opens a connection. A `watched` one breaks soon after the other side went away without a
    /// word; it has to have a session on it (see [`SILENCE`]).
    pub(super) async fn connect(&self, watched: bool) -> Result<Connection, BuilderError> {
        let (Self::Engine(address) | Self::Buildkitd(address)) = self;
        let limit = if address.is_local() {
            LOCAL_LIMIT
        } else {
            REMOTE_LIMIT
        };
        let protocol = match self {
            Self::Engine(_) => Protocol::Http1,
            Self::Buildkitd(_) => Protocol::Http2,
        };
        let connect = async {
            let stream = self.open(address, protocol).await?;
            let ending = stream.ending();
            let channel = match self {
                Self::Engine(_) => match upgrade(stream).await {
                    Ok(upgraded) => over(upgraded, watched).await,
                    Err(Refusal::Broken(message)) => Err(message),
                    Err(Refusal::Answered(status)) => {
                        return Err(self.refused(address, status).await);
                    }
                },
                Self::Buildkitd(_) => over(TokioIo::new(stream), watched).await,
            };
            match channel {
                Ok(channel) => Ok(Connection { channel, ending }),
                Err(message) => Err(self.unreachable(ending.words().await.unwrap_or(message))),
            }
        };
        tokio::time::timeout(limit, connect)
            .await
            .map_err(|_| self.unreachable(format!("no answer within {} s", limit.as_secs())))?
    }

    async fn open(
        &self,
        address: &dial::Address,
        protocol: Protocol,
    ) -> Result<Stream, BuilderError> {
        let opened = address.open(protocol).await;
        opened.map_err(|error| BuilderError::Unreachable {
            address: self.to_string(),
            hint: error.hint().or_else(|| self.closed(address, &error)),
            message: error.to_string(),
        })
    }

    /// What to do where something listens on a socket that this user may not open.
    fn closed(&self, address: &dial::Address, error: &dial::Error) -> Option<String> {
        let is_closed = matches!(
            (address, error),
            (dial::Address::Unix(_), dial::Error::Io(error))
                if error.kind() == std::io::ErrorKind::PermissionDenied
        );
        is_closed.then(|| {
            match self {
                Self::Engine(_) => "this user may not open the socket: become a member of its group (`docker`) and log in again, use a rootless Engine, or name another one with DOCKER_HOST or --builder",
                Self::Buildkitd(_) => "this user may not open the socket: start buildkitd with `--group` and a group of this user, or name another builder with --builder",
            }
            .to_owned()
        })
    }

    pub(super) fn unreachable(&self, message: String) -> BuilderError {
        BuilderError::Unreachable {
            address: self.to_string(),
            message,
            hint: None,
        }
    }

    /// What answers there, but is no Engine with a BuildKit in it.
    async fn refused(&self, address: &dial::Address, status: http::StatusCode) -> BuilderError {
        let version = version(address).await.unwrap_or_default();
        if version.contains("Podman") {
            return BuilderError::Unsupported {
                builder: self.to_string(),
                what: "build: it is podman, which has no BuildKit".to_owned(),
                hint: "run a buildkitd and name it: `podman run -d --name buildkitd --privileged docker.io/moby/buildkit`, then `--builder` with a buildx builder of the driver remote at podman-container://buildkitd, or BUILDKIT_HOST where it listens".to_owned(),
            };
        }
        self.unreachable(format!(
            "it answered {status} where a Docker Engine with BuildKit switches protocols"
        ))
    }
}

/// Why an Engine's API did not lead to its BuildKit.
enum Refusal {
    /// The connection broke.
    Broken(String),
    /// It answered something else.
    Answered(http::StatusCode),
}

/// Asks the Engine to turn a connection into HTTP/2 (moby, `/grpc`: `Upgrade: h2c`, answered by 101).
async fn upgrade(stream: Stream) -> Result<Upgraded, Refusal> {
    let broken = |error: hyper::Error| Refusal::Broken(innermost(&error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = hyper::Request::post("/grpc")
        .header(HOST, "docker")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "h2c")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Refusal::Broken(error.to_string()))?;
    let ask = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::Answered(answer.status()));
        }
        hyper::upgrade::on(answer).await.map_err(broken)
    };
    // The connection hands its stream over once the Engine has agreed, and is done then. Where it
    // does not agree, nobody waits for it to end.
    let drive = connection.with_upgrades();
    tokio::pin!(ask, drive);
    tokio::select! {
        answer = &mut ask => answer,
        _ = &mut drive => ask.await,
    }
}

/// What an Engine, or what acts as one, says of itself.
async fn version(address: &dial::Address) -> Option<String> {
    let stream = address.open(Protocol::Http1).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = hyper::Request::get("/version")
        .header(HOST, "docker")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let ask = async {
        let answer = sender.send_request(request).await.ok()?;
        let body = Limited::new(answer.into_body(), MAX_VERSION).collect();
        let bytes = body.await.ok()?.to_bytes();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    tokio::pin!(ask, connection);
    tokio::select! {
        answer = &mut ask => answer,
        _ = &mut connection => ask.await,
    }
}

/// The reason that stands at the end of a chain of errors.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A gRPC channel over a stream that is already open. It cannot be opened twice: when it breaks,
/// every call on it fails.
async fn over<S>(stream: S, watched: bool) -> Result<Channel, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let once = Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = once.lock().ok().and_then(|mut once| once.take());
        async move { stream.ok_or_else(|| std::io::Error::other("the connection is gone")) }
    });
    let mut endpoint = Endpoint::from_static("http://buildkit")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if watched {
        endpoint = endpoint
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(ANSWER)
            .keep_alive_while_idle(false);
    }
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| innermost(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_this_user_may_not_open_is_no_engine_that_is_down() {
        let denied = || dial::Error::Io(std::io::ErrorKind::PermissionDenied.into());
        let socket = dial::Address::Unix("/run/x.sock".into());
        let engine = Address::Engine(socket.clone());
        let hint = engine.closed(&socket, &denied()).unwrap();
        assert!(hint.contains("group (`docker`)"), "{hint}");
        let buildkitd = Address::Buildkitd(socket.clone());
        let hint = buildkitd.closed(&socket, &denied()).unwrap();
        assert!(hint.contains("`--group`"), "{hint}");
        let absent = dial::Error::Io(std::io::ErrorKind::NotFound.into());
        assert_eq!(engine.closed(&socket, &absent), None);
        // A firewall says the same of a port, and has no group.
        let port = dial::Address::Tcp {
            host: "h".to_owned(),
            port: 2375,
            tls: None,
        };
        assert_eq!(engine.closed(&port, &denied()), None);
    }
}
