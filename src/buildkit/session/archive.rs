use std::io;
use std::sync::Arc;

use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSend;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::execute::ports::Engine;

/// How many pieces of an archive may wait for the Engine. BuildKit sends up to 3 MiB at a time
/// (session/filesync, `streamWriterCloser`), so this is what bounds the memory.
const WAITING: usize = 2;

/// Takes the image that a builder sends, as an archive, and loads it into an Engine while it comes.
pub(super) struct Archives(pub(super) Arc<dyn Engine>);

#[tonic::async_trait]
impl FileSend for Archives {
    type DiffCopyStream = tokio_stream::Empty<Result<BytesMessage, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let mut coming = request.into_inner();
        let (pieces, archive) = mpsc::channel::<io::Result<Bytes>>(WAITING);
        let load = self.0.load(ReceiverStream::new(archive).boxed());
        // What the Engine does not want to read to its end, the builder sends nevertheless.
        let pass = async {
            loop {
                match coming.message().await {
                    Ok(Some(message)) => {
                        let _ = pieces.send(Ok(message.data.into())).await;
                    }
                    Ok(None) => return drop(pieces),
                    Err(status) => {
                        let broken = io::Error::other(status.message().to_owned());
                        let _ = pieces.send(Err(broken)).await;
                        return drop(pieces);
                    }
                }
            }
        };
        let (loaded, ()) = tokio::join!(load, pass);
        loaded.map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(tokio_stream::empty()))
    }
}
