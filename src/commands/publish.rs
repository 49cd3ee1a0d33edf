//! `castoff publish`: the whole protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::prepare::prepare;
use super::read::{Read, read};
use super::{Given, adapters, again, complain, partials, pretty, prune, session, undertaking};
use crate::cli::{Format, PublishArguments};
use crate::cx::Cx;
use crate::error::Error;
use crate::event::Event;
use crate::execute::{self, Attempt, Failure, Outcome, World};
use crate::exit::Exit;
use crate::facts::System;
use crate::oci::{Digest, Reference};
use crate::plan::{self, Action, Named, PartialError, Plan, Purpose, SavedPlan, Warning, Wishes};
use crate::report::{GithubFiles, Problem, registries_table, release_table, write_github};
use crate::whole_file;

pub(super) fn run(given: &Given<'_>, arguments: &PublishArguments) -> Result<Exit, Error> {
    let saved = arguments.plan.as_deref().map(saved).transpose()?;
    let services = saved
        .as_ref()
        .map_or(&arguments.services, |saved| &saved.services);
    let mut read = read(given, Purpose::Publish, services)?;
    if arguments.strict {
        read.settings.be_strict();
    }
    let mut plan = read.plan(services)?;
    let partials = partials::read(&arguments.from)?;
    if !partials.is_empty() {
        take(&read, &mut plan, &partials)?;
    }
    plan.only(&arguments.only_registries)?;
    let mut world = World {
        keep_going: arguments.keep_going,
        ..if partials.is_empty() {
            adapters::world(given, &read, &plan)?
        } else {
            adapters::world_without_builder(given, &read, Some(&plan))?
        }
    };
    let _lock = undertaking::lock(&world.ledger, "publish")?;
    let attempt = if arguments.resume {
        undertaking::resume(&world.ledger, &read, &plan)?
    } else {
        undertaking::begin(&world.ledger, &read, "publish")?
    };
    let attempt = Attempt {
        next: Some(again::publish(given.global, arguments, services)),
        ..attempt
    };
    // What another run has left behind is cleared away by one that writes a journal of its own.
    let may_do_nothing = !arguments.resume && undertaking::is_clean(&world.ledger)?;
    let project = plan.project.clone();
    let held = saved.as_ref().zip(arguments.plan.as_deref());
    let wishes = wishes(arguments, saved.as_ref());
    let (outcome, exit) = session::run(given, "publish", &project, |cx| {
        let (plan, world, read, attempt) = (&mut plan, &mut world, &read, &attempt);
        async move {
            let prepared = prepare(&cx, given, read, plan, world, wishes).await;
            let prepared = prepared.and_then(|prepared| {
                let holds = held.map_or(Ok(()), |(saved, path)| holds(saved, path, plan, read));
                holds.and_then(|()| as_built(plan, &prepared.contents))?;
                Ok(prepared)
            });
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    let exit = error.exit();
                    return (Err(error), exit);
                }
            };
            world.inputs = prepared.inputs.clone();
            world.given_up.clone_from(&prepared.given_up);
            world.blind.clone_from(&prepared.blind);
            tell_warnings(&cx, plan);
            tell_refused(&cx, plan, &world.blind);
            if let Err(error) = undertaking::reuse(&cx, plan, world, attempt).await {
                let exit = error.exit();
                return (Err(error), exit);
            }
            let has_nothing_to_do = may_do_nothing
                && plan.changes_nothing()
                && !prepared.is_news
                && world.blind.is_empty();
            let mut outcome = if has_nothing_to_do && !cx.cancel.is_cancelled() {
                execute::unchanged(&cx, plan, attempt)
            } else {
                execute::publish(&cx, plan, world, attempt).await
            };
            if matches!(outcome.exit, Exit::Done | Exit::AfterwardsFailed) {
                prepared.keep(&outcome.release);
            }
            // Where nothing was built there is nothing to clean up.
            if !arguments.no_prune && arguments.from.is_empty() {
                clean_up(&cx, given, read, &mut outcome).await;
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

/// Lets the plan be what other machines have built.
fn take(read: &Read, plan: &mut Plan, partials: &[Named]) -> Result<(), Error> {
    let built = plan::destinations(&read.project, &read.settings)?;
    let mut published: BTreeSet<String> = built.into_keys().collect();
    published.extend(plan.targets.iter().map(|target| target.service.clone()));
    let here = read.facts.context.sha.as_deref();
    plan.take(partials, here, &published).map_err(Error::Parts)
}

/// Whether what other machines have built from trees with changes is what there is here: else tags and
/// labels would be of one thing, and the image of another.
fn as_built(plan: &Plan, contents: &BTreeMap<String, Digest>) -> Result<(), Error> {
    let mut errors = Vec::new();
    for target in &plan.targets {
        let Action::Merge(parts) = &target.action else {
            continue;
        };
        let dirty = parts.iter().find(|part| part.dirty);
        let is_same = target.contents.as_ref() == contents.get(&target.service);
        if let Some(dirty) = dirty.filter(|_| !is_same) {
            errors.push(PartialError::Changed {
                file: dirty.files.join(" and "),
                service: target.service.clone(),
            });
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Error::Parts(errors))
    }
}

/// Tells what a user should know before it begins.
pub(super) fn tell_warnings(cx: &Cx, plan: &Plan) {
    tell_all(cx, &plan.warnings);
}

fn tell_all(cx: &Cx, warnings: &[Warning]) {
    for warning in warnings {
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
            contents: true,
        },
    }
}

/// Reads a plan that was saved.
fn saved(path: &Path) -> Result<SavedPlan, Error> {
    let wrong = |message| Error::SavedPlan {
        path: path.to_owned(),
        message,
    };
    let text =
        whole_file::read(path, SavedPlan::LARGEST).map_err(|error| wrong(error.to_string()))?;
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

/// Tells which tags stay where they are on purpose. Those that are `blind` stay as their registry could not
/// be read: moving them would need it as well.
fn tell_refused(cx: &Cx, plan: &Plan, blind: &[(Reference, String)]) {
    for target in &plan.targets {
        for tag in &target.tags {
            if let Some(because) = &tag.refused {
                cx.events.tell(Event::TagRefused {
                    service: target.service.clone(),
                    reference: tag.reference.clone(),
                    because: if blind.iter().any(|(known, _)| *known == tag.reference) {
                        because.clone()
                    } else {
                        format!("{because}; --allow-backwards moves it all the same")
                    },
                });
            }
        }
    }
}

/// Cleans up this machine, where publish.toml asks for it after a publish that went well.
async fn clean_up(cx: &Cx, given: &Given<'_>, read: &Read, outcome: &mut Outcome) {
    let policy = read.settings.prune_local.as_ref();
    let Some(policy) = policy.filter(|policy| policy.after_publish) else {
        return;
    };
    if !matches!(outcome.exit, Exit::Done | Exit::AfterwardsFailed) {
        return;
    }
    let done = async {
        let engine = adapters::engine(given)?;
        let caches = adapters::caches(given, read)?;
        prune::local(cx, policy, read, &engine, &caches, true).await
    };
    match done.await {
        Ok(cleared) => tell_all(cx, &cleared.missed),
        Err(error) => outcome.afterwards(Failure::Prune(error.to_string())),
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
                given.printer.text(&release_table(&release));
            }
            given.printer.text(&registries_table(&release));
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
