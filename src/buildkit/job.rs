//! One build from its beginning to its end: the request, the session and the progress.

use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{SolveRequest, SolveResponse, StatusRequest};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::session::Session;
use super::status::{Waits, Watch};
use super::{dial, gateway};
use crate::cx::Cx;
use crate::execute::ports::{BuilderResult, HandOn, Handed};

/// How long the end of the progress stream is waited for once a build is over. It ends by itself,
/// unless the build never began.
const STATUS_LIMIT: Duration = Duration::from_secs(3);
/// How long to wait for the views before more of a build's log is read.
const CROWDED_WAIT: Duration = Duration::from_millis(5);
/// How long a build that lost its session may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a cancelled build may take to say goodbye.
const GOODBYE_LIMIT: Duration = Duration::from_millis(500);

/// Why there is no answer.
pub(super) enum End {
    /// The builder said so, or the connection did.
    Failed(Status),
    /// The session of the build has ended, and the build has not.
    Alone(Status),
    /// There are remarks about the Dockerfile, and those are errors.
    Remarks,
    /// Nothing but caches was waited for, and for too long.
    Stuck(Waits),
}

/// One build: the solve, its session and its progress, which end together.
pub(super) struct Job {
    pub(super) channel: Channel,
    pub(super) request: SolveRequest,
    pub(super) session: Session,
    pub(super) hand_on: Option<HandOn>,
    /// Whether it ends once there are remarks about the Dockerfile.
    pub(super) strict: bool,
    /// How long nothing but a cache may be waited for.
    pub(super) patience: Duration,
}

impl Job {
    pub(super) async fn run(mut self, cx: &Cx, watch: &mut Watch) -> Result<SolveResponse, End> {
        let (waits_sender, waits) = watch::channel(Waits::default());
        let control = control(self.channel.clone());
        let over = CancellationToken::new();
        // Told by the progress that the build need not go on.
        let enough = CancellationToken::new();
        let strict = self.strict;
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
                answer = solve => answer.map_err(End::Failed),
                status = failed => Err(End::Failed(status)),
                status = lost(serve) => Err(End::Alone(status)),
                // Dropping the solve is what stops it on the builder.
                () = cx.cancel.cancelled() => Err(End::Failed(Status::cancelled("cancelled"))),
                () = enough.cancelled() => Err(End::Remarks),
                waits = out_of_patience(waits, self.patience) => Err(End::Stuck(waits)),
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
        let heard = Heard {
            enough: strict.then_some(&enough),
            waits: waits_sender,
        };
        let follow = async {
            tokio::select! {
                () = follow(control.clone(), build.clone(), watch, heard) => {}
                () = limit => {}
            }
        };
        let (answer, ()) = tokio::join!(ended, follow);
        answer
    }
}

/// A session that is served for as long as somebody holds this.
pub(super) struct Serving(pub(super) tokio::task::AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Comes back when a session has ended before its build did. Where that is so because the connection is
/// gone, the build knows better why, and says so soon.
async fn lost(serve: JoinHandle<Result<(), Status>>) -> Status {
    let ended = serve.await;
    tokio::time::sleep(LAST_WORDS).await;
    match ended {
        Ok(Err(status)) => status,
        Ok(Ok(())) | Err(_) => Status::unavailable("the builder ended the session"),
    }
}

/// The calls of a BuildKit over its connection.
pub(super) fn control(channel: Channel) -> ControlClient<Channel> {
    ControlClient::new(channel)
        .max_decoding_message_size(dial::MAX_MESSAGE)
        .max_encoding_message_size(dial::MAX_MESSAGE)
}

/// Tells what the builder tells, until it has no more to say. If Solve fails before the build
/// exists, this would wait for ever: whoever calls it sets the limit.
async fn follow(
    mut control: ControlClient<Channel>,
    build: String,
    watch: &mut Watch,
    heard: Heard<'_>,
) {
    let Ok(answer) = control.status(StatusRequest { r#ref: build }).await else {
        return;
    };
    let mut stream = answer.into_inner();
    // A stream that breaks ends the progress; the solve tells what happened.
    while let Ok(Some(message)) = stream.message().await {
        watch.take(message);
        heard.waits.send_replace(watch.only_waits_for());
        if let Some(enough) = heard.enough
            && watch.remarks() > 0
            && watch.has_begun()
        {
            enough.cancel();
        }
        // A builder that logs faster than it can be shown waits, and no line is lost.
        while watch.is_crowded() {
            tokio::time::sleep(CROWDED_WAIT).await;
        }
    }
}

/// What the progress of a build is heard for, besides being told.
struct Heard<'a> {
    /// Cancelled once there are remarks about a Dockerfile that has been read to its end, where those
    /// are errors.
    enough: Option<&'a CancellationToken>,
    /// What is waited for.
    waits: watch::Sender<Waits>,
}

/// Comes back when for `patience` nothing was heard and nothing but caches was waited for. BuildKit
/// itself waits for a cache for ever.
async fn out_of_patience(mut waits: watch::Receiver<Waits>, patience: Duration) -> Waits {
    loop {
        let now = *waits.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(patience), if now.any() => return now,
            changed = waits.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
