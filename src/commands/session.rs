//! A run with events: the console's thread, the runtime, and the signals that end it.

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::Given;
use crate::cli::ProgressKind;
use crate::cx::{Cx, Events};
use crate::error::Error;
use crate::event::Event;
use crate::exit::Exit;
use crate::facts::timestamp;
use crate::report::{Console, Logs, Printer, Progress, Records};

/// Runs `work` with events shown and signals heard. `work` gives what it came to and the exit code,
/// which a signal may still change.
pub(super) fn run<T, F>(
    given: &Given<'_>,
    command: &str,
    project: &str,
    work: impl FnOnce(Cx) -> F,
) -> Result<(T, Exit), Error>
where
    F: Future<Output = (T, Exit)>,
{
    let records = records(given)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(error.to_string()))?;
    let began = Instant::now();
    let (events, told) = Events::stream(timestamp);
    let console = Console::start(
        told,
        progress(given),
        given.printer.clone(),
        records,
        timestamp,
    );
    let cx = Cx {
        events,
        cancel: CancellationToken::new(),
    };
    cx.events.tell(Event::RunStarted {
        command: command.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        project: project.to_owned(),
    });
    let terminated = Arc::new(AtomicBool::new(false));
    let (value, exit) = runtime.block_on(async {
        let heard = listen(cx.clone(), Arc::clone(&terminated));
        let work = work(cx.clone());
        tokio::pin!(heard, work);
        tokio::select! {
            result = &mut work => result,
            never = &mut heard => match never {},
        }
    });
    let exit = match exit {
        Exit::Interrupted if terminated.load(Ordering::Relaxed) => Exit::Terminated,
        exit => exit,
    };
    cx.events
        .tell(Event::finished(exit, began.elapsed().as_secs_f64()));
    drop(cx);
    // What still runs, as a thread that reads a file, has nothing to say any more.
    runtime.shutdown_background();
    console.finish();
    Ok((value, exit))
}

/// The files that the run is recorded in, opened before anything happens.
fn records(given: &Given<'_>) -> Result<Records, Error> {
    let output = |path: &PathBuf| {
        let path = path.clone();
        move |source| Error::Output { path, source }
    };
    let mut records = Records::default();
    if let Some(path) = &given.global.events {
        records.events = Some(File::create(path).map_err(output(path))?);
    }
    if let Some(path) = &given.global.logs {
        records.logs = Some(Logs::create(path).map_err(output(path))?);
    }
    Ok(records)
}

/// Hears signals: the first one cancels the run, the second one ends the process at once.
async fn listen(cx: Cx, terminated: Arc<AtomicBool>) -> std::convert::Infallible {
    let Some(mut signals) = Signals::listen() else {
        // Without handlers a signal ends the process as it always did.
        return std::future::pending().await;
    };
    loop {
        let exit = signals.next().await;
        let name = if exit == Exit::Terminated {
            "SIGTERM"
        } else {
            "SIGINT"
        };
        if cx.cancel.is_cancelled() {
            abort(exit);
        }
        terminated.store(exit == Exit::Terminated, Ordering::Relaxed);
        cx.events.tell(Event::CancelRequested {
            signal: name.to_owned(),
        });
        cx.cancel.cancel();
    }
}

/// The signals that end a run.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
        })
    }

    /// Waits for the next one, and says which exit code it asks for.
    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

/// Elsewhere there is only Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Option<Self> {
        Some(Self)
    }

    async fn next(&mut self) -> Exit {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Exit::Interrupted,
            Err(_) => std::future::pending().await,
        }
    }
}

#[expect(clippy::exit, reason = "the second signal asks for just that")]
fn abort(exit: Exit) -> ! {
    std::process::exit(exit.code().into())
}

/// How to show the run: on a terminal live, unless that is wished or known otherwise. A picture that
/// changes in place needs a terminal that can do so, whatever is wished.
fn progress(given: &Given<'_>) -> Progress {
    if given.global.quiet {
        return Progress::Quiet;
    }
    let is_dumb = matches!(given.environment.get("TERM"), Some("dumb"));
    let is_able = Printer::is_terminal() && !is_dumb;
    let is_ci = given.environment.non_empty("CI").is_some();
    match given.global.progress {
        ProgressKind::Live if is_able => Progress::Live,
        ProgressKind::Auto if is_able && !is_ci => Progress::Live,
        ProgressKind::Live | ProgressKind::Auto | ProgressKind::Plain => Progress::Plain,
        ProgressKind::Json => Progress::Json,
        ProgressKind::Quiet => Progress::Quiet,
    }
}
