use std::pin::Pin;
use std::task::{Context, Poll};

use bollard::errors::Error as BollardError;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::dial::{self, Protocol, Stream};

/// How long the Engine may take for one answer, in seconds.
const TIMEOUT: u64 = 120;
/// What requests call the Engine. Where it is, the connections know.
const NAME: &str = "http://docker";

/// The Engine's API over the streams that `address` opens, each for as many requests as it lasts.
pub(super) fn client(address: dial::Address) -> Result<Docker, BollardError> {
    let connector = tower::service_fn(move |_: http::Uri| {
        let address = address.clone();
        Box::pin(async move {
            let stream = address.open(Protocol::Http1).await?;
            Ok::<_, dial::Error>(Line(TokioIo::new(stream)))
        })
    });
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let transport = move |request: BollardRequest| {
        let client = client.clone();
        async move {
            let answer = client.request(request).await;
            // Only the innermost error says what happened.
            answer.map_err(|error| BollardError::IOError {
                err: std::io::Error::other(innermost(&error)),
            })
        }
    };
    Docker::connect_with_custom_transport(transport, Some(NAME), TIMEOUT, API_DEFAULT_VERSION)
}

/// The reason that stands at the end of a chain of errors.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A stream as a connection of the HTTP client's.
struct Line(TokioIo<Stream>);

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
