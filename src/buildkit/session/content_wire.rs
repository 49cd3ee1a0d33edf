//! containerd's content service on the wire: its messages, as far as a builder sends them, and which
//! method is which (containerd, api/services/content/v1/content.proto).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use futures_util::future::BoxFuture;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

use super::content::{Content, Reads, Writes};
use crate::buildkit::dial::MAX_MESSAGE;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Info {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) size: i64,
    #[prost(message, optional, tag = "3")]
    pub(super) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub(super) updated_at: Option<Timestamp>,
    #[prost(map = "string, string", tag = "5")]
    pub(super) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InfoRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadRequest {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(int64, tag = "2")]
    pub(super) offset: i64,
    /// All of it where this is zero.
    #[prost(int64, tag = "3")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadResponse {
    /// Where the data stands in what was asked for.
    #[prost(int64, tag = "1")]
    pub(super) offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Action {
    Stat = 0,
    Write = 1,
    Commit = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteRequest {
    #[prost(enumeration = "Action", tag = "1")]
    pub(super) action: i32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(int64, tag = "3")]
    pub(super) total: i64,
    #[prost(string, tag = "4")]
    pub(super) expected: String,
    #[prost(int64, tag = "5")]
    pub(super) offset: i64,
    #[prost(bytes = "vec", tag = "6")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteResponse {
    #[prost(enumeration = "Action", tag = "1")]
    pub(super) action: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) started_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) updated_at: Option<Timestamp>,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) total: i64,
    #[prost(string, tag = "6")]
    pub(super) digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AbortRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// The service, as a server takes it.
#[derive(Clone)]
pub(super) struct ContentServer(pub(super) Arc<Content>);

impl NamedService for ContentServer {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

fn grpc<Q, A>() -> Grpc<ProstCodec<A, Q>>
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_MESSAGE)
}

impl Service<http::Request<Body>> for ContentServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let content = Arc::clone(&self.0);
        let path = request.uri().path();
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        Box::pin(async move {
            Ok(match method.as_str() {
                "Info" => grpc().unary(InfoMethod(content), request).await,
                "Read" => grpc().server_streaming(ReadMethod(content), request).await,
                "Write" => grpc().streaming(WriteMethod(content), request).await,
                "Abort" => grpc().unary(AbortMethod, request).await,
                _ => Status::unimplemented("nothing needs this method").into_http(),
            })
        })
    }
}

struct InfoMethod(Arc<Content>);

impl UnaryService<InfoRequest> for InfoMethod {
    type Response = InfoResponse;
    type Future = BoxFuture<'static, Result<Response<InfoResponse>, Status>>;

    fn call(&mut self, request: Request<InfoRequest>) -> Self::Future {
        let content = Arc::clone(&self.0);
        Box::pin(async move { content.info(request).await })
    }
}

struct ReadMethod(Arc<Content>);

impl ServerStreamingService<ReadRequest> for ReadMethod {
    type Response = ReadResponse;
    type ResponseStream = Reads;
    type Future = BoxFuture<'static, Result<Response<Reads>, Status>>;

    fn call(&mut self, request: Request<ReadRequest>) -> Self::Future {
        let content = Arc::clone(&self.0);
        Box::pin(async move { content.read(request).await })
    }
}

struct WriteMethod(Arc<Content>);

impl StreamingService<WriteRequest> for WriteMethod {
    type Response = WriteResponse;
    type ResponseStream = Writes;
    type Future = BoxFuture<'static, Result<Response<Writes>, Status>>;

    fn call(&mut self, request: Request<Streaming<WriteRequest>>) -> Self::Future {
        let content = Arc::clone(&self.0);
        Box::pin(async move { content.write(request) })
    }
}

struct AbortMethod;

impl UnaryService<AbortRequest> for AbortMethod {
    type Response = ();
    type Future = BoxFuture<'static, Result<Response<()>, Status>>;

    fn call(&mut self, _: Request<AbortRequest>) -> Self::Future {
        // A write ends with its stream and leaves nothing behind.
        Box::pin(async { Ok(Response::new(())) })
    }
}
