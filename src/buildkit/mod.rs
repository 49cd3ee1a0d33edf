//! Builds through BuildKit: the Engine's own, or one that stands alone.
//!
//! The only room that knows gRPC. Knows how to reach a BuildKit ([`Address`]), what to serve it while
//! it builds (`session`), how to say a build in its words (`solve`), and how to read what it tells
//! (`status`, `failure`). Must not know plans as a whole, registries or tags: it implements
//! [`Builder`] for one order at a time. Start reading at [`BuildKit::build`].

mod dial;
mod failure;
mod gateway;
mod session;
mod shared;
mod solve;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    DiskUsageRequest, ListWorkersRequest, PruneRequest, SolveRequest, SolveResponse, StatusRequest,
    UsageRecord,
};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

pub use dial::Address;

use crate::cx::Cx;
use crate::execute::ports::{
    BuildOrder, Builder, BuilderError, BuilderResult, Built, Credentials, HandOn, Handed, Survey,
};
use crate::oci::{Descriptor, Digest, Platform};
use crate::plan::retention::CacheRecord;
use crate::plan::{BuildContext, SecretSource};
use crate::secret::Secret;
use session::{Agents, SecretStore, Sent, Session};
use shared::SharedContexts;
use solve::Solve;
use status::Watch;

/// How long the end of the progress stream is waited for once a build is over. It ends by itself,
/// unless the build never began.
const STATUS_LIMIT: Duration = Duration::from_secs(3);
/// How long a cancelled build may take to say goodbye.
const GOODBYE_LIMIT: Duration = Duration::from_millis(500);

/// Reads a variable of the environment, for build secrets that come from there.
pub type Environment = Arc<dyn Fn(&str) -> Option<Secret> + Send + Sync>;

/// A builder that speaks BuildKit's protocol.
pub struct BuildKit {
    name: String,
    address: Address,
    credentials: Arc<dyn Credentials>,
    environment: Environment,
    channel: OnceCell<Channel>,
    contexts: SharedContexts,
}

impl BuildKit {
    /// The BuildKit at `address`, called `name` where people see it. Nothing is opened yet.
    pub fn new(
        name: &str,
        address: Address,
        credentials: Arc<dyn Credentials>,
        environment: Environment,
    ) -> Self {
        Self {
            name: name.to_owned(),
            address,
            credentials,
            environment,
            channel: OnceCell::new(),
            contexts: SharedContexts::default(),
        }
    }

    /// The one connection, opened when it is first needed.
    async fn channel(&self) -> Result<Channel, BuilderError> {
        let opened = self.channel.get_or_try_init(|| self.address.connect());
        opened.await.cloned()
    }

    async fn control(&self) -> Result<ControlClient<Channel>, BuilderError> {
        Ok(control(self.channel().await?))
    }

    fn lost(&self, status: &Status) -> BuilderError {
        BuilderError::Unreachable {
            address: self.address.to_string(),
            message: status.message().to_owned(),
        }
    }

    /// The SSH agents that a build may use.
    async fn agents(&self, order: &BuildOrder) -> Result<Agents, BuilderError> {
        let socket = (self.environment)("SSH_AUTH_SOCK")
            .filter(|path| !path.expose().is_empty())
            .map(|path| path.expose().into());
        let agents = Agents::start(&order.spec.ssh, socket).await;
        agents.map_err(|message| BuilderError::Input {
            what: format!("service `{}`", order.service),
            message,
            hint: Some(
                "start an agent and give it the key: `eval $(ssh-agent); ssh-add`".to_owned(),
            ),
        })
    }

    fn secrets(&self, order: &BuildOrder) -> Result<SecretStore, BuilderError> {
        let mut store = SecretStore::default();
        for secret in &order.spec.secrets {
            match &secret.source {
                SecretSource::File(path) => store.add_file(&secret.id, path.clone()),
                SecretSource::Environment(name) => {
                    let value = (self.environment)(name).ok_or_else(|| BuilderError::Input {
                        what: format!("secret `{}` of service `{}`", secret.id, order.service),
                        message: format!("the variable {name} is not set"),
                        hint: Some(format!("set {name} in the environment")),
                    })?;
                    store.add_value(&secret.id, value);
                }
            }
        }
        Ok(store)
    }
}

#[async_trait]
impl Builder for BuildKit {
    fn name(&self) -> &str {
        &self.name
    }

    async fn survey(&self) -> Result<Survey, BuilderError> {
        let mut control = self.control().await?;
        let workers = control
            .list_workers(ListWorkersRequest::default())
            .await
            .map_err(|status| self.lost(&status))?
            .into_inner();
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in workers.record.iter().flat_map(|worker| &worker.platforms) {
            let platform =
                Platform::from_parts(&platform.os, &platform.architecture, &platform.variant, "");
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        Ok(Survey {
            name: self.name.clone(),
            platforms,
            full_exporter: true,
        })
    }

    async fn build(&self, cx: &Cx, order: &BuildOrder) -> Result<Built, BuilderError> {
        let channel = self.channel().await?;
        let build = uuid::Uuid::new_v4().simple().to_string();
        let session_id = uuid::Uuid::new_v4().simple().to_string();
        let mut solve = Solve::new(order, &build, &session_id)?;
        let sent = Arc::new(Sent::default());
        let shared = match &order.spec.context {
            BuildContext::Local(folder) if order.shares_context => {
                Some(self.shared_context(folder, &solve.shared_key).await?)
            }
            BuildContext::Local(_) | BuildContext::Remote(_) => None,
        };
        if let Some((shared, _)) = &shared {
            solve.share_context(&shared.session);
        }
        let session = Session {
            id: session_id,
            shared_key: solve.shared_key,
            directories: solve.directories,
            credentials: Arc::clone(&self.credentials),
            secrets: self.secrets(order)?,
            agents: self.agents(order).await?,
            sent: Arc::clone(&sent),
        };
        let mut watch = Watch::new(&order.service, cx.events.clone());
        let job = Job {
            channel,
            request: solve.request,
            session,
            hand_on: order.hand_on.clone(),
        };
        let answer = Box::pin(job.run(cx, &mut watch)).await;
        match answer {
            Ok(answer) => {
                // What all share is counted for the one that began it.
                if let Some((shared, true)) = &shared {
                    sent.add(&shared.sent);
                }
                built(answer, order, &watch, &sent)
            }
            Err(_) if cx.cancel.is_cancelled() => Err(BuilderError::Cancelled),
            Err(status) => Err(failure::classify(&status, &watch, order)),
        }
    }

    async fn cache(&self) -> Result<Vec<CacheRecord>, BuilderError> {
        let mut control = self.control().await?;
        let usage = control
            .disk_usage(DiskUsageRequest::default())
            .await
            .map_err(|status| self.lost(&status))?
            .into_inner();
        let record = |record: UsageRecord| CacheRecord {
            last_used: [&record.last_used_at, &record.created_at]
                .into_iter()
                .flatten()
                .next()
                .and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()),
            id: record.id,
            bytes: u64::try_from(record.size).unwrap_or_default(),
            in_use: record.in_use,
        };
        Ok(usage.record.into_iter().map(record).collect())
    }

    async fn prune_cache(&self, keep: u64, unused_for: Duration) -> Result<u64, BuilderError> {
        let mut control = self.control().await?;
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let request = PruneRequest {
            all: true,
            keep_duration: i64::try_from(unused_for.as_nanos()).unwrap_or(i64::MAX),
            reserved_space: keep,
            max_used_space: keep,
            ..PruneRequest::default()
        };
        let answer = control.prune(request).await;
        let mut freed = answer.map_err(|status| self.lost(&status))?.into_inner();
        let mut bytes = 0_u64;
        while let Some(record) = freed.message().await.map_err(|status| self.lost(&status))? {
            bytes += u64::try_from(record.size).unwrap_or_default();
        }
        Ok(bytes)
    }
}

/// One build: the solve, its session and its progress, which end together.
struct Job {
    channel: Channel,
    request: SolveRequest,
    session: Session,
    hand_on: Option<HandOn>,
}

impl Job {
    async fn run(mut self, cx: &Cx, watch: &mut Watch) -> Result<SolveResponse, Status> {
        let control = control(self.channel.clone());
        let over = CancellationToken::new();
        let build = self.request.r#ref.clone();
        // Those who build on this ask its session for files, and that may be longer than this
        // build: it is served until the last guard is dropped.
        let serve = tokio::spawn(
            self.session
                .serve(control.clone(), CancellationToken::new()),
        );
        let serving = Arc::new(Serving(serve.abort_handle()));
        let linked = self.hand_on.map(|hand_on| {
            let request = gateway::split(&mut self.request);
            let leave = move |linked| hand_on.leave(Handed::Result(BuilderResult::new(linked)));
            (request, leave)
        });
        let failed = async {
            let driven = match linked {
                Some((request, leave)) => {
                    let serving = Arc::clone(&serving);
                    gateway::drive(self.channel, &build, request, serving, leave).await
                }
                None => std::future::pending().await,
            };
            match driven {
                // The job goes on with what it was given.
                Ok(()) => std::future::pending().await,
                Err(status) => status,
            }
        };
        let solve = async {
            let mut control = control.clone();
            let answer = control.solve(self.request).await;
            answer.map(tonic::Response::into_inner)
        };
        let ended = async {
            let answer = tokio::select! {
                answer = solve => answer,
                status = failed => Err(status),
                // The session ends before the build only when the connection broke.
                ended = serve => Err(match ended {
                    Ok(Err(status)) => status,
                    Ok(Ok(())) | Err(_) => Status::unavailable("the builder ended the session"),
                }),
                // Dropping the solve is what stops it on the builder.
                () = cx.cancel.cancelled() => Err(Status::cancelled("cancelled")),
            };
            over.cancel();
            answer
        };
        let limit = async {
            over.cancelled().await;
            let wait = if cx.cancel.is_cancelled() {
                GOODBYE_LIMIT
            } else {
                STATUS_LIMIT
            };
            tokio::time::sleep(wait).await;
        };
        let follow = async {
            tokio::select! {
                () = follow(control.clone(), build.clone(), watch) => {}
                () = limit => {}
            }
        };
        let (answer, ()) = tokio::join!(ended, follow);
        answer
    }
}

/// A session that is served for as long as somebody holds this.
struct Serving(tokio::task::AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn control(channel: Channel) -> ControlClient<Channel> {
    ControlClient::new(channel)
        .max_decoding_message_size(dial::MAX_MESSAGE)
        .max_encoding_message_size(dial::MAX_MESSAGE)
}

/// Tells what the builder tells, until it has no more to say. If Solve fails before the build
/// exists, this would wait for ever: whoever calls it sets the limit.
async fn follow(mut control: ControlClient<Channel>, build: String, watch: &mut Watch) {
    let Ok(answer) = control.status(StatusRequest { r#ref: build }).await else {
        return;
    };
    let mut stream = answer.into_inner();
    // A stream that breaks ends the progress; the solve tells what happened.
    while let Ok(Some(message)) = stream.message().await {
        watch.take(message);
    }
}

/// What the builder answered (BuildKit, exporter/containerimage/exptypes).
fn built(
    answer: SolveResponse,
    order: &BuildOrder,
    watch: &Watch,
    sent: &Sent,
) -> Result<Built, BuilderError> {
    let answer: BTreeMap<String, String> = answer.exporter_response.into_iter().collect();
    let digest = answer
        .get("containerimage.digest")
        .and_then(|digest| digest.parse::<Digest>().ok());
    if digest.is_none() && !order.outputs.is_empty() {
        return Err(BuilderError::Lost {
            message: "the builder answered without the image's digest".to_owned(),
        });
    }
    let descriptor = answer
        .get("containerimage.descriptor")
        .and_then(|text| BASE64_STANDARD.decode(text).ok())
        .and_then(|bytes| serde_json::from_slice::<Descriptor>(&bytes).ok())
        .filter(|descriptor| Some(&descriptor.digest) == digest.as_ref());
    let (steps, cached) = watch.counts();
    Ok(Built {
        digest,
        descriptor,
        steps,
        cached,
        files_sent: sent.files.load(Ordering::Relaxed),
        bytes_sent: sent.bytes.load(Ordering::Relaxed),
        answer,
    })
}
