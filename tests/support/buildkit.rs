//! A BuildKit in a thread of its own: it speaks `moby.buildkit.v1.Control` on a unix socket, and
//! builds nothing. A solve makes a small image out of the service's name and the number of its
//! [generation](FakeBuildKit::turn_to), and brings it to registries of this process by digest.
//!
//! What it sends to a registry goes through that registry's script, so that its requests are
//! counted, logged and failed like all others. Like BuildKit it gives up the whole solve where one
//! push fails. It never opens the files that a session offers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::control_server::{Control, ControlServer};
use bollard_buildkit_proto::moby::buildkit::v1::types::WorkerRecord;
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryEvent, BuildHistoryRequest, BytesMessage, DiskUsageRequest, DiskUsageResponse,
    InfoRequest, InfoResponse, ListWorkersRequest, ListWorkersResponse, PruneRequest, SolveRequest,
    SolveResponse, StatusRequest, StatusResponse, UpdateBuildHistoryRequest,
    UpdateBuildHistoryResponse, UsageRecord, Vertex,
};
use bollard_buildkit_proto::pb::Platform;
use castoff::oci::Digest;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::images::{self, Tree};
use super::registry::{Pushing, TestRegistry};

/// A builder on a unix socket. It ends when it is dropped.
pub struct FakeBuildKit {
    inner: Arc<Inner>,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    registries: HashMap<String, Pushing>,
    generation: AtomicU64,
    solves: AtomicUsize,
    /// Whether images are for the platforms that are asked for, and have their labels.
    faithful: AtomicBool,
    /// Services whose build fails.
    failing: Mutex<Vec<String>>,
    /// What becomes of sessions.
    sessions: Mutex<Sessions>,
    /// How many builds are under way that wait for a session to be cut.
    waiting: watch::Sender<usize>,
    /// The name of its one worker.
    worker: String,
    /// The architectures that it builds for, its own first.
    architectures: Vec<String>,
    /// How often its cache was emptied.
    prunes: AtomicUsize,
    /// What is told of each build once it is over, by its reference.
    told: Mutex<HashMap<String, watch::Sender<Option<StatusResponse>>>>,
}

/// What becomes of the sessions of builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// They last as long as who opened them wants.
    Last,
    /// They end in order in the middle of a build, and nothing else does.
    End,
    /// The same, by a reset.
    Break,
}

/// A build that waits, until it is given up.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Inner {
    fn telling<T>(
        &self,
        build: &str,
        with: impl FnOnce(&watch::Sender<Option<StatusResponse>>) -> T,
    ) -> T {
        let mut told = self.told.lock().unwrap();
        with(told.entry(build.to_owned()).or_default())
    }

    /// Builds and pushes, and gives the image's digest.
    async fn solve(&self, request: &SolveRequest) -> Result<Digest, Status> {
        let service = request
            .frontend_attrs
            .get("label:dev.castoff.service")
            .ok_or_else(|| Status::invalid_argument("the service is not labelled"))?;
        if self.failing.lock().unwrap().contains(service) {
            return Err(Status::unknown(
                "process \"/bin/sh -c exit 1\" did not complete successfully: exit code: 1",
            ));
        }
        if *self.sessions.lock().unwrap() != Sessions::Last {
            // Whoever has lost its session gives the build up.
            let _waiting = Waiting::begin(&self.waiting);
            std::future::pending::<()>().await;
        }
        let generation = self.generation.load(Ordering::SeqCst);
        let tree = if self.faithful.load(Ordering::SeqCst) {
            faithful_image_of(service, generation, request)
        } else {
            image_of(service, generation)
        };
        for exporter in &request.exporters {
            let names = exporter.attrs.get("name").cloned().unwrap_or_default();
            for name in names.split(',') {
                let (host, path) = name.split_once('/').unwrap_or_default();
                let registry = self.registries.get(host).ok_or_else(|| {
                    Status::unknown(format!("failed to push {name}: no such host"))
                })?;
                registry.push(path, &tree).await.map_err(|message| {
                    Status::unknown(format!("failed to push {name}: {message}"))
                })?;
            }
        }
        Ok(tree.index.digest().clone())
    }
}

/// The one step that is told of: the export, which failed where a push did.
fn export(result: &Result<Digest, Status>) -> StatusResponse {
    let error = result.as_ref().err().map(Status::message);
    let error = error.filter(|message| message.starts_with("failed to push"));
    StatusResponse {
        vertexes: vec![Vertex {
            digest: Digest::of(b"export").to_string(),
            name: "exporting to image".to_owned(),
            started: Some(Timestamp::default()),
            completed: Some(Timestamp::default()),
            error: error.unwrap_or_default().to_owned(),
            ..Vertex::default()
        }],
        ..StatusResponse::default()
    }
}

impl FakeBuildKit {
    /// One that can push to these registries, in generation 1.
    pub fn start(registries: &[&TestRegistry]) -> Self {
        Self::of(registries, "fake", &["amd64", "arm64"])
    }

    /// The same, with a worker of this name that builds for these architectures.
    pub fn of(registries: &[&TestRegistry], worker: &str, architectures: &[&str]) -> Self {
        let inner = Arc::new(Inner {
            registries: registries
                .iter()
                .map(|registry| (registry.host().to_owned(), registry.pushing()))
                .collect(),
            generation: AtomicU64::new(1),
            solves: AtomicUsize::new(0),
            faithful: AtomicBool::new(false),
            failing: Mutex::default(),
            sessions: Mutex::new(Sessions::Last),
            waiting: watch::Sender::new(0),
            worker: worker.to_owned(),
            architectures: architectures.iter().map(ToString::to_string).collect(),
            prunes: AtomicUsize::new(0),
            told: Mutex::default(),
        });
        let folder = tempfile::tempdir().unwrap();
        let socket = std::os::unix::net::UnixListener::bind(socket(folder.path())).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stop = CancellationToken::new();
        let thread = std::thread::spawn({
            let (inner, stop) = (Arc::clone(&inner), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let serving = async {
                    let listener = tokio::net::UnixListener::from_std(socket).unwrap();
                    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
                    tonic::transport::Server::builder()
                        .add_service(ControlServer::from_arc(Arc::new(Service(inner))))
                        .serve_with_incoming(incoming)
                        .await
                        .unwrap();
                };
                runtime.block_on(stop.run_until_cancelled(serving));
            }
        });
        Self {
            inner,
            folder,
            stop,
            thread: Some(thread),
        }
    }

    /// What `--builder` is given.
    pub fn address(&self) -> String {
        format!("unix://{}", socket(self.folder.path()).display())
    }

    /// Its own architecture.
    pub fn own(&self) -> &str {
        &self.inner.architectures[0]
    }

    /// From now on the images of this generation are built.
    pub fn turn_to(&self, generation: u64) {
        self.inner.generation.store(generation, Ordering::SeqCst);
    }

    /// From now on images are for the platforms that are asked for, and have the labels that are given.
    /// Those of one platform do not depend on which others are built along with it.
    pub fn be_faithful(&self) {
        self.inner.faithful.store(true, Ordering::SeqCst);
    }

    /// From now on the build of this service fails.
    pub fn fail(&self, service: &str) {
        self.inner.failing.lock().unwrap().push(service.to_owned());
    }

    /// From now on every build succeeds again.
    pub fn mend(&self) {
        self.inner.failing.lock().unwrap().clear();
    }

    /// What becomes of sessions from now on.
    pub fn have_sessions(&self, sessions: Sessions) {
        *self.inner.sessions.lock().unwrap() = sessions;
    }

    /// How many builds wait that nobody has given up.
    pub fn waiting(&self) -> usize {
        *self.inner.waiting.borrow()
    }

    /// How often its cache was emptied.
    pub fn prunes(&self) -> usize {
        self.inner.prunes.load(Ordering::SeqCst)
    }

    /// How many solves there were.
    pub fn solves(&self) -> usize {
        self.inner.solves.load(Ordering::SeqCst)
    }
}

impl Drop for FakeBuildKit {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("buildkit.sock")
}

/// The image of a service in a generation: always the same.
pub fn image_of(service: &str, generation: u64) -> Tree {
    images::small_tree(seed(service, generation), 64)
}

fn seed(service: &str, generation: u64) -> u64 {
    let digest = Digest::of(service.as_bytes());
    u64::from_str_radix(&digest.hex()[..8], 16).unwrap() * 1000 + generation
}

/// The image that a request asks for.
fn faithful_image_of(service: &str, generation: u64, request: &SolveRequest) -> Tree {
    let attributes = &request.frontend_attrs;
    let platforms = attributes
        .get("platform")
        .map_or("linux/amd64", String::as_str);
    let architectures: Vec<&str> = platforms
        .split(',')
        .map(|platform| platform.split_once('/').unwrap().1)
        .collect();
    let labels = attributes.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("label:")?;
        Some((name.to_owned(), value.clone()))
    });
    let mut labels: Vec<(String, String)> = labels.collect();
    labels.sort();
    images::tree_saying(seed(service, generation), &architectures, &labels)
}

struct Service(Arc<Inner>);

#[tonic::async_trait]
impl Control for Service {
    async fn disk_usage(
        &self,
        _: Request<DiskUsageRequest>,
    ) -> Result<Response<DiskUsageResponse>, Status> {
        let record = UsageRecord {
            id: self.0.worker.clone(),
            size: 1000,
            ..UsageRecord::default()
        };
        Ok(Response::new(DiskUsageResponse {
            record: vec![record],
        }))
    }

    type PruneStream = tokio_stream::Empty<Result<UsageRecord, Status>>;

    async fn prune(&self, _: Request<PruneRequest>) -> Result<Response<Self::PruneStream>, Status> {
        self.0.prunes.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn solve(
        &self,
        request: Request<SolveRequest>,
    ) -> Result<Response<SolveResponse>, Status> {
        self.0.solves.fetch_add(1, Ordering::SeqCst);
        let request = request.into_inner();
        let result = self.0.solve(&request).await;
        self.0.telling(&request.r#ref, |told| {
            told.send_replace(Some(export(&result)));
        });
        let answer = [("containerimage.digest", result?.to_string())];
        Ok(Response::new(SolveResponse {
            exporter_response: answer
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        }))
    }

    type StatusStream =
        std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<StatusResponse, Status>> + Send>>;

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<Self::StatusStream>, Status> {
        let build = request.into_inner().r#ref;
        let mut told = self.0.telling(&build, watch::Sender::subscribe);
        let last = async move {
            let last = told.wait_for(Option::is_some).await;
            let last = last.map_err(|_| Status::unavailable("the builder ends"))?;
            Ok(last.clone().unwrap_or_default())
        };
        Ok(Response::new(Box::pin(futures_util::stream::once(last))))
    }

    type SessionStream =
        std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn session(
        &self,
        _: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        // It has no question.
        let sessions = *self.0.sessions.lock().unwrap();
        if sessions == Sessions::Last {
            return Ok(Response::new(Box::pin(tokio_stream::pending())));
        }
        let mut waiting = self.0.waiting.subscribe();
        let end = async move {
            let _ = waiting.wait_for(|waiting| *waiting > 0).await;
            (sessions == Sessions::Break).then(|| Err(Status::unavailable("scripted")))
        };
        let end = futures_util::StreamExt::filter_map(
            futures_util::stream::once(end),
            std::future::ready,
        );
        Ok(Response::new(Box::pin(end)))
    }

    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let platform = |architecture: &String| Platform {
            os: "linux".to_owned(),
            architecture: architecture.clone(),
            ..Platform::default()
        };
        Ok(Response::new(ListWorkersResponse {
            record: vec![WorkerRecord {
                id: self.0.worker.clone(),
                platforms: self.0.architectures.iter().map(platform).collect(),
                ..WorkerRecord::default()
            }],
        }))
    }

    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        Ok(Response::new(InfoResponse::default()))
    }

    type ListenBuildHistoryStream = tokio_stream::Empty<Result<BuildHistoryEvent, Status>>;

    async fn listen_build_history(
        &self,
        _: Request<BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn update_build_history(
        &self,
        _: Request<UpdateBuildHistoryRequest>,
    ) -> Result<Response<UpdateBuildHistoryResponse>, Status> {
        Ok(Response::new(UpdateBuildHistoryResponse::default()))
    }
}
