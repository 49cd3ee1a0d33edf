//! Builds through BuildKit: the Engine's own, or one that stands alone.
//!
//! The only room that knows gRPC. Knows how to reach a BuildKit ([`Address`]), what to serve it while
//! it builds (`session`), how to say a build in its words (`solve`), and how to read what it tells
//! (`status`, `failure`). Must not know plans as a whole, registries or tags: it implements
//! [`Builder`] for one order at a time. Start reading at [`BuildKit::build`].

mod answer;
mod cache;
mod dial;
mod dockerfile;
mod export;
mod failure;
mod gateway;
mod job;
mod kept;
mod layout;
mod map_values;
mod outputs;
mod session;
mod shared;
mod solve;
mod status;
mod stores;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bollard_buildkit_proto::moby::buildkit::v1::{InfoRequest, ListWorkersRequest, SolveResponse};
use tokio::sync::OnceCell;
use tonic::{Code, Status};

pub use dial::Address;
use dial::Connection;

use crate::cx::Cx;
use crate::event::Event;
use crate::execute::ports::{
    BuildOrder, Builder, BuilderError, Built, Credentials, Engine, Output, Survey,
};
use crate::oci::Platform;
use crate::plan::{BuildContext, BuildSpec, SecretSource};
use crate::secret::Secret;
use cache::Caches;
use export::{Landing, abandon, export_path, finish, landing};
use job::{End, Job, control};
use outputs::Loading;
use session::{Agents, SecretStore, Sent, Session, Stores, Takes};
use shared::SharedContexts;
use solve::Solve;
use status::Watch;

/// How much longer than a cache's own limit castoff waits: what the builder says itself of a cache that
/// does not answer is worth more.
const CACHE_GRACE: Duration = Duration::from_secs(5);
/// How long a builder may take to say what it can do. A program on the way may start it first.
const SURVEY_LIMIT: Duration = Duration::from_mins(1);
/// The label that says how the machine of an Engine is reached from its builds (moby,
/// builder-next/worker/label, `HostGatewayIP`).
const GATEWAY_LABEL: &str = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";
/// A label of every worker that runs steps itself (BuildKit, worker/label).
const EXECUTOR_LABEL: &str = "org.mobyproject.buildkit.worker.executor";

/// Reads a variable of the environment, for build secrets that come from there.
pub type Environment = Arc<dyn Fn(&str) -> Option<Secret> + Send + Sync>;

/// A builder that speaks BuildKit's protocol.
pub struct BuildKit {
    name: String,
    address: Address,
    credentials: Arc<dyn Credentials>,
    environment: Environment,
    load_into: Option<Arc<dyn Engine>>,
    /// Build arguments of all builds that do not set them themselves.
    arguments: BTreeMap<String, String>,
    connection: OnceCell<Connection>,
    survey: OnceCell<Survey>,
    contexts: SharedContexts,
    /// Whether it turned out to be a BuildKit that writes a result to one place only (before 0.13).
    writes_one: AtomicBool,
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
            load_into: None,
            arguments: BTreeMap::new(),
            connection: OnceCell::new(),
            survey: OnceCell::new(),
            contexts: SharedContexts::default(),
            writes_one: AtomicBool::new(false),
        }
    }

    /// Has images sent here and loads them into `engine`. Without it they stay in the Engine that
    /// builds.
    #[must_use]
    pub fn loading_into(mut self, engine: Arc<dyn Engine>) -> Self {
        self.load_into = Some(engine);
        self
    }

    /// Gives these arguments to every build that does not set them itself. They change no image: they
    /// tell of proxies.
    #[must_use]
    pub fn with_proxies(mut self, arguments: BTreeMap<String, String>) -> Self {
        self.arguments = arguments;
        self
    }

    /// The one connection of all builds, opened when it is first needed.
    async fn connection(&self) -> Result<&Connection, BuilderError> {
        let opened = self
            .connection
            .get_or_try_init(|| self.address.connect(true));
        opened.await
    }

    /// What it says where it could not be asked, or did not answer.
    async fn lost(&self, connection: &Connection, status: &Status) -> BuilderError {
        let words = if status.code() == Code::Unimplemented {
            None
        } else {
            connection.ending.words().await
        };
        let said = || match status.source() {
            Some(source) => dial::innermost(source),
            None => status.message().to_owned(),
        };
        self.address.unreachable(words.unwrap_or_else(said))
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

    /// Asks the builder what it can do.
    async fn ask(&self) -> Result<Survey, BuilderError> {
        let connection = self.connection().await?;
        let mut control = control(connection.channel.clone());
        let asked = control.list_workers(ListWorkersRequest::default());
        let workers = match tokio::time::timeout(SURVEY_LIMIT, asked).await {
            Ok(Ok(workers)) => workers.into_inner(),
            Ok(Err(status)) => return Err(self.lost(connection, &status).await),
            Err(_) => {
                let message = format!("no answer within {} s", SURVEY_LIMIT.as_secs());
                return Err(self.address.unreachable(message));
            }
        };
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in workers.record.iter().flat_map(|worker| &worker.platforms) {
            let platform =
                Platform::from_parts(&platform.os, &platform.architecture, &platform.variant, "");
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        // A builder names its own platform first; its variants are no other machine.
        let own = platforms.first().map(Platform::architecture);
        let is_own = |platform: &&Platform| Some(platform.architecture()) == own;
        let native = platforms.iter().filter(is_own).cloned().collect();
        // The worker of an Engine with the classic store says nothing of what it works with, and has
        // but the exporters of that store (moby, builder-next/worker).
        let is_classic = matches!(self.address, Address::Engine(_))
            && !workers
                .record
                .iter()
                .any(|worker| worker.labels.contains_key(EXECUTOR_LABEL));
        Ok(Survey {
            name: self.name.clone(),
            native,
            platforms,
            identity: workers.record.first().map(|worker| worker.id.clone()),
            full_exporter: !is_classic,
            host_gateway: workers
                .record
                .iter()
                .find_map(|worker| worker.labels.get(GATEWAY_LABEL)?.parse().ok()),
        })
    }

    /// Refuses attestations where the builder would leave them out without a word: BuildKit before 0.11,
    /// which also does not answer this question.
    async fn check_attests(&self) -> Result<(), BuilderError> {
        let connection = self.connection().await?;
        let mut control = control(connection.channel.clone());
        let asked = control.info(InfoRequest::default());
        match tokio::time::timeout(SURVEY_LIMIT, asked).await {
            Ok(Err(status)) if status.code() == Code::Unimplemented => {
                Err(BuilderError::Unsupported {
                    builder: self.name.clone(),
                    what: "attach a provenance or an SBOM".to_owned(),
                    hint: "that takes BuildKit 0.11 or later, which is in Docker Engine 24"
                        .to_owned(),
                })
            }
            // Whatever else is wrong shows in the build itself.
            _ => Ok(()),
        }
    }

    /// How the images of `order` come into an Engine.
    async fn loading(&self, order: &BuildOrder) -> Result<Loading, BuilderError> {
        if self.load_into.is_some() {
            return Ok(Loading::Session);
        }
        let is_loaded = order
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Load { .. }));
        if is_loaded && !self.survey().await?.full_exporter {
            return Ok(Loading::ClassicStore);
        }
        Ok(Loading::Store)
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

    async fn attempt(&self, cx: &Cx, order: &BuildOrder) -> Result<Attempt, BuilderError> {
        let connection = self.connection().await?;
        let build = uuid::Uuid::new_v4().simple().to_string();
        let session_id = uuid::Uuid::new_v4().simple().to_string();
        let loading = self.loading(order).await?;
        if order.spec.is_attested() {
            self.check_attests().await?;
        }
        let (stores, caches, mut solve, landing) = {
            // Caches, layouts and places on this machine are looked at here.
            let (order, environment) = (order.clone(), Arc::clone(&self.environment));
            let session_id = session_id.clone();
            off_the_runtime(move || {
                let mut stores = Stores::default();
                let caches = Caches::new(&order.spec, &environment, &mut stores);
                let solve = Solve::new(&order, &caches, &mut stores, &build, &session_id, loading)?;
                let landing = landing(&order, &mut stores)?;
                Ok::<_, BuilderError>((stores, caches, solve, landing))
            })
            .await??
        };
        solve.arguments(&self.arguments);
        if order.spec.names_host_gateway() {
            let gateway = self.survey().await?.host_gateway;
            let gateway = gateway.ok_or_else(|| BuilderError::Unsupported {
                builder: self.name.clone(),
                what: "say which address `host-gateway` stands for".to_owned(),
                hint: "write the address itself".to_owned(),
            })?;
            solve.hosts(&order.spec.extra_hosts, gateway);
        }
        tell(cx, order, &caches.warnings);
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
            stores,
            secrets: self.secrets(order)?,
            takes: match &landing {
                Some(landing) => Some(Takes::Landing(Arc::clone(landing))),
                None => self.load_into.clone().map(Takes::Engine),
            },
            agents: self.agents(order).await?,
            sent: Arc::clone(&sent),
        };
        let mut watch = Watch::new(order, cx.events.clone(), &caches.secrets);
        let job = Job {
            channel: connection.channel.clone(),
            request: solve.request,
            session,
            hand_on: order.hand_on.clone(),
            strict: order.spec.strict,
            patience: order.spec.cache_timeout + CACHE_GRACE,
        };
        let answer = Box::pin(job.run(cx, &mut watch)).await;
        if let Ok(answer) = &answer {
            let manifest = answer.exporter_response.get("cache.manifest").cloned();
            let wrong = off_the_runtime(move || caches.finish(manifest.as_deref())).await?;
            tell(cx, order, &wrong);
        }
        // What all share is counted for the one that began it.
        if let Some((shared, true)) = &shared {
            sent.add(&shared.sent);
        }
        Ok(Attempt {
            answer,
            watch,
            sent,
            landing,
        })
    }

    /// Why a build failed. What carried the connection knows best why it broke.
    async fn failed(&self, status: &Status, watch: &Watch, order: &BuildOrder) -> BuilderError {
        match failure::classify(status, watch, order) {
            BuilderError::Lost { message } => self.without_connection(message).await,
            error => error,
        }
    }

    async fn without_connection(&self, message: String) -> BuilderError {
        let words = match self.connection().await {
            Ok(connection) => connection.ending.words().await,
            Err(_) => None,
        };
        BuilderError::Lost {
            message: words.unwrap_or(message),
        }
    }
}

/// Does what waits for disks on a thread of its own.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BuilderError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| BuilderError::Lost {
            message: error.to_string(),
        })
}

/// Warns of caches.
fn tell(cx: &Cx, order: &BuildOrder, messages: &[String]) {
    for message in messages {
        cx.events.tell(Event::Warned {
            subject: order.service.clone(),
            message: message.clone(),
            hint: None,
        });
    }
}

/// What came of asking the builder once.
struct Attempt {
    answer: Result<SolveResponse, End>,
    watch: Watch,
    sent: Arc<Sent>,
    /// Where the result has come that is written to this machine.
    landing: Option<Arc<Landing>>,
}

#[async_trait]
impl Builder for BuildKit {
    fn unset_secrets(&self, spec: &BuildSpec) -> Vec<String> {
        let named = spec
            .secrets
            .iter()
            .filter_map(|secret| match &secret.source {
                SecretSource::Environment(name) => Some(name),
                SecretSource::File(_) => None,
            });
        named
            .filter(|name| (self.environment)(name).is_none())
            .cloned()
            .collect()
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn survey(&self) -> Result<Survey, BuilderError> {
        let survey = self.survey.get_or_try_init(|| self.ask());
        survey.await.cloned()
    }

    async fn build(&self, cx: &Cx, order: &BuildOrder) -> Result<Built, BuilderError> {
        let mut order = order.clone();
        // What others take in is exported from the very build that they saw, and not from a second one.
        if order.hand_on.is_some() || self.writes_one.load(Ordering::Relaxed) {
            order.outputs = outputs::in_one(&order.outputs);
        }
        // Each time round there is a cache less, or outputs are fewer, so this ends.
        loop {
            let Attempt {
                answer,
                watch,
                sent,
                landing,
            } = self.attempt(cx, &order).await?;
            let strict = order.spec.strict && watch.remarks() > 0;
            let troubled = landing.as_ref().and_then(|landing| landing.troubled());
            if let (Some(landing), true) = (&landing, answer.is_err() || strict) {
                abandon(Arc::clone(landing)).await?;
            }
            let too_many = || BuilderError::Remarks {
                number: watch.remarks(),
            };
            let message = match answer {
                Ok(_) if strict => return Err(too_many()),
                Ok(answer) => {
                    if let Some(landing) = landing {
                        finish(landing, &answer).await?;
                    }
                    if answer::is_unwritten(&answer, &order) {
                        self.writes_one.store(true, Ordering::Relaxed);
                        let fewer = outputs::in_one(&order.outputs);
                        if fewer.len() < order.outputs.len() {
                            order.outputs = fewer;
                            continue;
                        }
                    }
                    return answer::built(answer, &order, &watch, &sent, &self.name);
                }
                Err(_) if cx.cancel.is_cancelled() => return Err(BuilderError::Cancelled),
                Err(End::Remarks) => return Err(too_many()),
                Err(End::Alone(status)) => {
                    let message = status.message().to_owned();
                    return Err(self.without_connection(message).await);
                }
                Err(End::Stuck(waits)) => cache::take_stuck(&mut order, waits)?,
                Err(End::Failed(status)) => {
                    if let (Some(message), Some(path)) = (troubled, export_path(&order)) {
                        return Err(BuilderError::Written { path, message });
                    }
                    let message = watch.texts.hide(status.message()).into_owned();
                    match cache::take_refused(&mut order.spec, &message) {
                        Some(warning) => warning,
                        None => return Err(self.failed(&status, &watch, &order).await),
                    }
                }
            };
            tell(cx, &order, &[message]);
        }
    }
}
