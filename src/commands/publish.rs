//! `castoff publish`: the whole protocol.

use super::read::{Read, read};
use super::{Given, adapters, complain, pretty, prune, session, undertaking};
use crate::cli::{Format, PublishArguments};
use crate::cx::Cx;
use crate::error::Error;
use crate::event::Event;
use crate::execute::{self, Failure, Outcome, World};
use crate::exit::Exit;
use crate::facts::System;
use crate::plan::{Plan, Purpose};
use crate::report::{GithubFiles, Problem, registries_table, release_table, write_github};

pub(super) fn run(given: &Given<'_>, arguments: &PublishArguments) -> Result<Exit, Error> {
    let mut read = read(given, Purpose::Publish)?;
    if arguments.strict {
        read.settings.be_strict();
    }
    let mut plan = read.plan(&arguments.services)?;
    plan.only(&arguments.only_registries)?;
    let world = World {
        keep_going: arguments.keep_going,
        ..adapters::world(given, &read, &plan)?
    };
    let _lock = undertaking::lock(&world.ledger, "publish")?;
    let attempt = if arguments.resume {
        undertaking::resume(&world.ledger, &read, &plan)?
    } else {
        undertaking::begin(&world.ledger, &read, "publish")?
    };
    let project = plan.project.clone();
    let (outcome, exit) = session::run(given, "publish", &project, |cx| {
        let (world, read, attempt) = (&world, &read, &attempt);
        async move {
            tell_warnings(&cx, &plan);
            undertaking::reuse(&cx, &mut plan, world, attempt).await;
            let mut outcome = execute::publish(&cx, &plan, world, attempt).await;
            if !arguments.no_prune {
                clean_up(&cx, given, read, world, &mut outcome).await;
            }
            let exit = outcome.exit;
            (outcome, exit)
        }
    })?;
    complain(given, &outcome.failures);
    report(given, arguments, &read, outcome, exit);
    Ok(exit)
}

/// Tells what a user should know before it begins.
pub(super) fn tell_warnings(cx: &Cx, plan: &Plan) {
    for warning in &plan.warnings {
        cx.events.tell(Event::Warned {
            subject: warning.subject.clone(),
            message: warning.message.clone(),
            hint: warning.hint.clone(),
        });
    }
}

/// Cleans up this machine, where publish.toml asks for it after a publish that went well.
async fn clean_up(cx: &Cx, given: &Given<'_>, read: &Read, world: &World, outcome: &mut Outcome) {
    let policy = read.settings.prune_local.as_ref();
    let Some(policy) = policy.filter(|policy| policy.after_publish) else {
        return;
    };
    if !matches!(outcome.exit, Exit::Done | Exit::AfterwardsFailed) {
        return;
    }
    let done = async {
        let engine = adapters::engine(given)?;
        prune::local(cx, policy, read, &engine, &*world.builders.general, true).await
    };
    if let Err(error) = done.await {
        outcome.afterwards(Failure::Prune(error.to_string()));
    }
}

/// Prints the result, and tells GitHub of it.
fn report(
    given: &Given<'_>,
    arguments: &PublishArguments,
    read: &Read,
    outcome: Outcome,
    exit: Exit,
) {
    let mut release = outcome.release;
    release.exit = exit.code();
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&release)),
        Format::Text => {
            if matches!(exit, Exit::Done | Exit::AfterwardsFailed) {
                given.printer.result(&release_table(&release));
            }
            given.printer.result(&registries_table(&release));
        }
    }
    let is_github = read
        .facts
        .ci
        .as_ref()
        .is_some_and(|ci| ci.system == System::GitHub);
    if is_github {
        let path = |name: &str| given.environment.non_empty(name).map(Into::into);
        let files = GithubFiles {
            output: path("GITHUB_OUTPUT"),
            summary: path("GITHUB_STEP_SUMMARY"),
        };
        let delimiter = format!("castoff-{}", uuid::Uuid::new_v4().simple());
        if let Err(error) = write_github(&files, &release, &delimiter) {
            let problem = Problem::warning(format!("GitHub was not told of the result: {error}"));
            given.printer.problem(&problem);
        }
    }
}
