//! What castoff serves to a builder while it builds: files, logins, secrets.
//!
//! A session is a gRPC *server* of ours on a stream that the builder keeps (`Control.Session`). The
//! builder asks for what it needs; nothing is sent unasked. Its health is polled every few
//! seconds, so nothing here may block the runtime: files are read on threads of their own.

mod archive;
mod auth;
mod content;
mod content_wire;
mod filesync;
mod hijack;
mod landing;
mod secrets;
mod ssh;

use std::collections::HashMap;
use std::sync::Arc;

use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSendServer;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use content_wire::ContentServer;

use super::dial::{CONNECTION_WINDOW, MAX_MESSAGE, STREAM_WINDOW};
use super::export::Landing;
use crate::execute::ports::{Credentials, Engine};

pub(super) use content::Stores;
pub(super) use filesync::{Directory, Sent};
pub(super) use secrets::SecretStore;
pub(super) use ssh::Agents;

/// The methods that the builder may call, as it is told when the session begins.
const METHODS: [&str; 11] = [
    "/containerd.services.content.v1.Content/Abort",
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Write",
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
];

/// And this one, where results are sent here.
const TAKE_ARCHIVE: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// The methods besides, where the build may use an SSH agent. Without one the builder says itself that
/// there is none.
const SSH_METHODS: [&str; 2] = [
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];

/// Who takes the result of a build that is sent here.
pub(super) enum Takes {
    /// An Engine loads it.
    Engine(Arc<dyn Engine>),
    /// It is written to this machine.
    Landing(Arc<Landing>),
}

/// What one build may ask of us.
pub(super) struct Session {
    /// The id by which the solve names it.
    pub(super) id: String,
    /// A name for what is sent, so that the builder finds what it kept of the last time.
    pub(super) shared_key: String,
    /// The folders, by the names under which the frontend asks for them.
    pub(super) directories: HashMap<String, Directory>,
    /// The logins.
    pub(super) credentials: Arc<dyn Credentials>,
    /// Folders with blobs: layouts and caches on this machine.
    pub(super) stores: Stores,
    /// The secrets.
    pub(super) secrets: SecretStore,
    /// Who takes what is sent here, where something is.
    pub(super) takes: Option<Takes>,
    /// The SSH agents.
    pub(super) agents: Agents,
    /// What was sent, counted.
    pub(super) sent: Arc<Sent>,
}

impl Session {
    /// Serves until `done` is cancelled or the builder ends the session.
    pub(super) async fn serve(
        self,
        control: ControlClient<Channel>,
        done: CancellationToken,
    ) -> Result<(), Status> {
        let metadata = self.metadata()?;
        let ended = CancellationToken::new();
        let stream = hijack::open(control, metadata, ended.clone());
        let files = FileSyncServer::new(filesync::Files::new(self.directories, self.sent))
            .max_decoding_message_size(MAX_MESSAGE);
        let (archives, landing) = match self.takes {
            None => (None, None),
            Some(Takes::Engine(engine)) => {
                let server = FileSendServer::new(archive::Archives(engine));
                (Some(server.max_decoding_message_size(MAX_MESSAGE)), None)
            }
            Some(Takes::Landing(landing)) => (None, Some(landing::LandingServer(landing))),
        };
        let serving = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .add_service(HealthServer::new(Alive))
            .add_service(files)
            .add_service(AuthServer::new(auth::Logins::new(self.credentials)))
            .add_service(ContentServer(Arc::new(content::Content::new(self.stores))))
            .add_service(SecretsServer::new(self.secrets))
            .add_optional_service(archives)
            .add_optional_service(landing)
            .add_service(SshServer::new(self.agents))
            .serve_with_incoming_shutdown(
                // The one connection there is. Were these to end the server would too, at once; so it is
                // the connection that says when it is over.
                tokio_stream::once(Ok::<_, std::io::Error>(stream)).chain(tokio_stream::pending()),
                done.cancelled_owned(),
            );
        tokio::select! {
            served = serving => served.map_err(|error| Status::unavailable(error.to_string())),
            () = ended.cancelled() => Ok(()),
        }
    }

    /// What the builder is told when the session begins (BuildKit, session/grpchijack).
    fn metadata(&self) -> Result<MetadataMap, Status> {
        let ascii = |text: &str| {
            MetadataValue::try_from(text)
                .map_err(|_| Status::internal("the session's metadata is not ASCII"))
        };
        let mut metadata = MetadataMap::new();
        metadata.insert("x-docker-expose-session-uuid", ascii(&self.id)?);
        metadata.insert(
            "x-docker-expose-session-sharedkey",
            ascii(&self.shared_key)?,
        );
        let ssh = SSH_METHODS.iter().filter(|_| !self.agents.is_empty());
        let archives = self.takes.as_ref().map(|_| &TAKE_ARCHIVE);
        for method in METHODS.iter().chain(ssh).chain(archives) {
            metadata.append(
                "x-docker-expose-session-grpc-method",
                MetadataValue::from_static(method),
            );
        }
        Ok(metadata)
    }
}

/// Answers that we are here.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        }))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("only Check is served"))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only Check is served"))
    }
}
