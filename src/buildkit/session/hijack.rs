//! The stream within a stream: bytes that `Control.Session` carries both ways in its messages.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};
use tokio_util::sync::{CancellationToken, PollSender};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::transport::server::Connected;

/// How many messages may wait to be sent.
const WAITING: usize = 16;

trait ReadWrite: AsyncRead + AsyncWrite {}

impl<T: AsyncRead + AsyncWrite> ReadWrite for T {}

/// The stream, as a server takes it.
pub(super) struct Hijacked {
    stream: Pin<Box<dyn ReadWrite + Send>>,
    ended: CancellationToken,
}

/// Begins a session. The call is made when the stream is first read, as its answer comes late: the
/// builder sends nothing before it has a question. `ended` is cancelled once the builder has ended it,
/// whether in order or not.
pub(super) fn open(
    mut control: ControlClient<Channel>,
    metadata: MetadataMap,
    ended: CancellationToken,
) -> Hijacked {
    let (sender, receiver) = mpsc::channel(WAITING);
    let call = async move {
        let mut request = tonic::Request::new(ReceiverStream::new(receiver));
        *request.metadata_mut() = metadata;
        let answer = control.session(request).await?;
        Ok::<_, tonic::Status>(answer.into_inner())
    };
    let incoming = futures_util::stream::once(call)
        .try_flatten()
        .map(|message| match message {
            Ok(BytesMessage { data }) => Ok(Bytes::from(data)),
            Err(status) => Err(io::Error::other(status)),
        });
    let outgoing = PollSender::new(sender)
        .sink_map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
        .with(|bytes: Bytes| {
            std::future::ready(Ok::<_, io::Error>(BytesMessage { data: bytes.into() }))
        });
    let reader = StreamReader::new(Box::pin(incoming));
    let writer = SinkWriter::new(CopyToBytes::new(outgoing));
    Hijacked {
        stream: Box::pin(tokio::io::join(reader, writer)),
        ended,
    }
}

impl AsyncRead for Hijacked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (room, filled) = (buffer.remaining(), buffer.filled().len());
        let read = self.stream.as_mut().poll_read(cx, buffer);
        let is_over = match &read {
            Poll::Ready(Ok(())) => room > 0 && buffer.filled().len() == filled,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if is_over {
            self.ended.cancel();
        }
        read
    }
}

impl AsyncWrite for Hijacked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

impl Connected for Hijacked {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}
