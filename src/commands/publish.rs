//! `castoff publish`: the whole protocol.

use std::path::Path;

use super::prepare::prepare;
use super::read::{Read, read};
use super::{Given, adapters, complain, pretty, prune, session, undertaking};
use crate::cli::{Format, PublishArguments};
use crate::cx::Cx;
use crate::error::Error;
use crate::event::Event;
use crate::execute::{self, Failure, Outcome, World};
use crate::exit::Exit;
use crate::facts::System;
use crate::plan::{Plan, Purpose, SavedPlan, Wishes};
use crate::report::{GithubFiles, Problem, registries_table, release_table, write_github};

pub(super) fn run(given: &Given<'_>, arguments: &PublishArguments) -> Result<Exit, Error> {
    let mut read = read(given, Purpose::Publish)?;
    if arguments.strict {
        read.settings.be_strict();
    }
    let saved = arguments.plan.as_deref().map(saved).transpose()?;
    let services = saved
        .as_ref()
        .map_or(&arguments.services, |saved| &saved.services);
    let mut plan = read.plan(services)?;
    plan.only(&arguments.only_registries)?;
    let mut world = World {
        keep_going: arguments.keep_going,
        ..adapters::world(given, &read, &plan)?
    };
    let _lock = undertaking::lock(&world.ledger, "publish")?;
    let attempt = if arguments.resume {
        undertaking::resume(&world.ledger, &read, &plan)?
    } else {
        undertaking::begin(&world.ledger, &read, "publish")?
    };
    // What another run has left behind is cleared away by one that writes a journal of its own.
    let may_do_nothing = !arguments.resume && undertaking::is_clean(&world.ledger)?;
    let project = plan.project.clone();
    let held = saved.as_ref().zip(arguments.plan.as_deref());
    let wishes = wishes(arguments, saved.as_ref());
    let (outcome, exit) = session::run(given, "publish", &project, |cx| {
        let (plan, world, read, attempt) = (&mut plan, &mut world, &read, &attempt);
        async move {
            let registry = world.registry.clone();
            let prepared = prepare(&cx, given, read, plan, &*registry, wishes).await;
            let prepared = prepared.and_then(|prepared| {
                let holds = held.map_or(Ok(()), |(saved, path)| holds(saved, path, plan, read));
                holds.map(|()| prepared)
            });
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    let exit = error.exit();
                    return (Err(error), exit);
                }
            };
            world.inputs = prepared.inputs.clone();
            tell_warnings(&cx, plan);
            tell_refused(&cx, plan);
            undertaking::reuse(&cx, plan, world, attempt).await;
            let has_nothing_to_do = may_do_nothing && plan.changes_nothing();
            let mut outcome = if has_nothing_to_do && !cx.cancel.is_cancelled() {
                execute::unchanged(&cx, plan, attempt)
            } else {
                execute::publish(&cx, plan, world, attempt).await
            };
            if matches!(outcome.exit, Exit::Done | Exit::AfterwardsFailed) {
                prepared.keep(&outcome.release);
            }
            if !arguments.no_prune {
                clean_up(&cx, given, read, world, &mut outcome).await;
            }
            let exit = outcome.exit;
            (Ok(outcome), exit)
        }
    })?;
    let outcome = outcome?;
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

/// What is asked for: as it was when a saved plan was made, else as it was typed now.
fn wishes(arguments: &PublishArguments, saved: Option<&SavedPlan>) -> Wishes {
    match saved {
        Some(saved) => saved.wishes(),
        None => Wishes {
            rebuild: arguments.rebuild,
            allow_backwards: arguments.allow_backwards,
            allow_overwrite: arguments.allow_overwrite,
            saved: false,
        },
    }
}

/// Reads a plan that was saved.
fn saved(path: &Path) -> Result<SavedPlan, Error> {
    let wrong = |message| Error::SavedPlan {
        path: path.to_owned(),
        message,
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    SavedPlan::read(&text).map_err(wrong)
}

/// Whether a saved plan is still the one that would be made now.
fn holds(saved: &SavedPlan, path: &Path, plan: &Plan, read: &Read) -> Result<(), Error> {
    let commit = read.facts.context.sha.as_deref();
    let now = SavedPlan::new(plan, commit, &saved.services, saved.wishes());
    let differences = saved.differences(&now);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::OutOfDate {
        path: path.to_owned(),
        differences,
    })
}

/// Tells which tags stay where they are on purpose.
fn tell_refused(cx: &Cx, plan: &Plan) {
    for target in &plan.targets {
        for tag in &target.tags {
            if let Some(because) = &tag.refused {
                cx.events.tell(Event::TagRefused {
                    service: target.service.clone(),
                    reference: tag.reference.clone(),
                    because: format!("{because}; --allow-backwards moves it all the same"),
                });
            }
        }
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
