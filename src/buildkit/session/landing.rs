//! Takes the result of a build that is written to this machine: an archive as bytes, or a folder in
//! fsutil's protocol. Both come by one method, and what was asked for says which it is (BuildKit,
//! session/filesync, `SyncTarget.DiffCopy`).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

use super::filesync::merge_work;
use crate::buildkit::dial::MAX_MESSAGE;
use crate::buildkit::export::{Landing, Taking};
use crate::plan::ExportKind;

/// How many packets may wait for the disk.
const WAITING: usize = 32;
/// How many answers may wait for the wire. Never more files are asked for than fit.
const ANSWERS: usize = 256;

/// The service, as a server takes it.
#[derive(Clone)]
pub(super) struct LandingServer(pub(super) Arc<Landing>);

impl NamedService for LandingServer {
    const NAME: &'static str = "moby.filesync.v1.FileSend";
}

fn grpc<M>() -> Grpc<ProstCodec<M, M>>
where
    M: prost::Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_MESSAGE)
}

impl Service<http::Request<Body>> for LandingServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let landing = Arc::clone(&self.0);
        let is_known = request.uri().path().ends_with("/DiffCopy");
        Box::pin(async move {
            Ok(match landing.kind() {
                _ if !is_known => Status::unimplemented("only DiffCopy is served").into_http(),
                ExportKind::Local => grpc::<Packet>().streaming(Folder(landing), request).await,
                _ => {
                    grpc::<BytesMessage>()
                        .streaming(Archive(landing), request)
                        .await
                }
            })
        })
    }
}

/// Tells the landing what went wrong, and the builder that something did.
fn troubled(landing: &Landing, error: &std::io::Error) -> Status {
    let message = error.to_string();
    landing.trouble(&message);
    Status::failed_precondition(message)
}

struct Archive(Arc<Landing>);

impl StreamingService<BytesMessage> for Archive {
    type Response = BytesMessage;
    type ResponseStream = tokio_stream::Empty<Result<BytesMessage, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<BytesMessage>>) -> Self::Future {
        let landing = Arc::clone(&self.0);
        Box::pin(async move {
            let mut coming = request.into_inner();
            let file = landing.file().map_err(|error| troubled(&landing, &error))?;
            let mut file = tokio::fs::File::from_std(file);
            while let Some(message) = coming.message().await? {
                let written = file.write_all(&message.data).await;
                written.map_err(|error| troubled(&landing, &error))?;
            }
            let flushed = file.flush().await;
            flushed.map_err(|error| troubled(&landing, &error))?;
            Ok(Response::new(tokio_stream::empty()))
        })
    }
}

struct Folder(Arc<Landing>);

type Packets = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

impl StreamingService<Packet> for Folder {
    type Response = Packet;
    type ResponseStream = Packets;
    type Future = BoxFuture<'static, Result<Response<Packets>, Status>>;

    fn call(&mut self, request: Request<Streaming<Packet>>) -> Self::Future {
        let landing = Arc::clone(&self.0);
        Box::pin(async move {
            let (answers, answered) = mpsc::channel(ANSWERS);
            let work = take(landing, request.into_inner(), answers);
            // The work runs as part of the stream, so it ends when the call does, whoever ends it.
            let packets = merge_work(work, ReceiverStream::new(answered));
            Ok(Response::new(Box::pin(packets) as Packets))
        })
    }
}

/// Takes packets until there are no more. The disk is written on a thread of its own.
async fn take(
    landing: Arc<Landing>,
    mut coming: Streaming<Packet>,
    answers: mpsc::Sender<Result<Packet, Status>>,
) -> Result<(), Status> {
    let (packets, mut waiting) = mpsc::channel::<Packet>(WAITING);
    let place = Arc::clone(&landing);
    let disk = tokio::task::spawn_blocking(move || {
        let mut taking = Taking::new(place.folder()?);
        while let Some(packet) = waiting.blocking_recv() {
            if place.is_abandoned() {
                return Err(std::io::Error::other("the build is over"));
            }
            for answer in taking.take(packet)? {
                // Nobody listens any more: the call is over.
                let _ = answers.blocking_send(Ok(answer));
            }
        }
        if taking.is_whole() {
            Ok(())
        } else {
            Err(std::io::Error::other(
                "the builder ended before everything was there",
            ))
        }
    });
    let pass = async {
        while let Some(packet) = coming.message().await? {
            let is_last = packet.r#type() == PacketType::PacketFin;
            // Where nobody takes it, the thread has ended, and tells why.
            if packets.send(packet).await.is_err() || is_last {
                break;
            }
        }
        drop(packets);
        Ok::<_, Status>(())
    };
    pass.await?;
    match disk.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(troubled(&landing, &error)),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}
