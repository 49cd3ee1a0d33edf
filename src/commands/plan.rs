//! `castoff plan`: what a publish would do.

use serde::Serialize;

use super::prepare::prepare;
use super::read::{Read, read, warn};
use super::{Given, adapters, builders, pretty, session};
use crate::cli::{Global, PlanArguments, PlanFormat, ProgressKind};
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::{Plan, Purpose, SavedPlan, Wishes};
use crate::report::{plan_markdown, plan_table};

pub(super) fn run(given: &Given<'_>, arguments: &PlanArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish, &arguments.services)?;
    let mut plan = read.plan(&arguments.services)?;
    if let Some(count) = arguments.shards {
        given.printer.result(&pretty(&shares(&plan, count.into())));
        return Ok(Exit::Done);
    }
    if let Some(shard) = arguments.shard {
        plan = of_shard(&read, plan, shard)?;
    }
    builders::look_up(given, &read, &mut plan)?;
    let mut exit = Exit::Done;
    let wishes = Wishes {
        rebuild: arguments.rebuild,
        allow_backwards: arguments.allow_backwards,
        allow_overwrite: arguments.allow_overwrite,
        contents: arguments.out.is_some(),
    };
    if arguments.offline {
        for target in plan.targets.iter_mut().filter(|target| target.wanted) {
            target.because = vec!["no registry was asked what is there already".to_owned()];
        }
    } else {
        let world = adapters::without_ledger(given, &read, &plan)?;
        let quiet = Given {
            global: &Global {
                progress: ProgressKind::Quiet,
                ..given.global.clone()
            },
            environment: given.environment.clone(),
            printer: given.printer.clone(),
        };
        let project = plan.project.clone();
        let (seen, ended) = session::run(&quiet, "plan", &project, |cx| {
            let (read, world) = (&read, &world);
            async move {
                let prepared = prepare(&cx, given, read, &mut plan, world, wishes).await;
                // A question to a builder can take long, and has no use for whoever gave up.
                let placing = builders::place(&mut plan, world);
                cx.cancel.run_until_cancelled(placing).await;
                let exit = match &prepared {
                    Err(error) => error.exit(),
                    Ok(_) if cx.cancel.is_cancelled() => Exit::Interrupted,
                    Ok(_) => Exit::Done,
                };
                (prepared.map(|_| plan), exit)
            }
        })?;
        plan = seen?;
        exit = ended;
    }
    if let Some(path) = &arguments.out {
        let commit = read.facts.context.sha.as_deref();
        let saved = SavedPlan::new(&plan, commit, &arguments.services, wishes);
        let written = std::fs::write(path, pretty(&saved));
        written.map_err(|source| Error::Output {
            path: path.clone(),
            source,
        })?;
    }
    warn(given, &plan.warnings);
    match arguments.format {
        PlanFormat::Json => given.printer.result(&pretty(&plan)),
        PlanFormat::Text => given.printer.text(&plan_table(&plan)),
        PlanFormat::Markdown => given.printer.text(&plan_markdown(&plan)),
    }
    if exit == Exit::Done && arguments.detailed_exitcode {
        exit = if plan.is_obstructed() {
            Exit::NotReady
        } else if plan.changes_nothing() {
            Exit::Done
        } else {
            Exit::WouldChange
        };
    }
    Ok(exit)
}

/// One job's share, for the matrix of a CI system.
#[derive(Serialize)]
struct Share {
    shard: String,
    services: Vec<String>,
}

/// The shares of all jobs that have one.
fn shares(plan: &Plan, count: usize) -> Vec<Share> {
    (1..=count)
        .map(|index| Share {
            shard: format!("{index}/{count}"),
            services: share(plan, index, count),
        })
        .filter(|share| !share.services.is_empty())
        .collect()
}

/// What one job of several has of `plan`.
pub(super) fn of_shard(
    read: &Read,
    mut plan: Plan,
    (index, count): (usize, usize),
) -> Result<Plan, Error> {
    let share = share(&plan, index, count);
    if !share.is_empty() {
        return read.plan(&share);
    }
    plan.retain(|_| false);
    Ok(plan)
}

/// The services of job `index` of `count`: in turn, in the order of their names, so that every job comes
/// to the same shares whatever has happened since.
fn share(plan: &Plan, index: usize, count: usize) -> Vec<String> {
    let wanted = plan.targets.iter().filter(|target| target.wanted);
    let names = wanted.map(|target| target.service.clone());
    names.skip(index - 1).step_by(count).collect()
}
