//! `castoff check`: preflight alone.

use serde::Serialize;

use super::prepare::prepare;
use super::read::{Read, read};
use super::{Given, adapters, builders, complain, pretty, session};
use crate::cli::{CheckArguments, Format};
use crate::cx::Cx;
use crate::error::Error;
use crate::event::Finding;
use crate::execute::{self, Failure, World};
use crate::exit::Exit;
use crate::plan::{Hold, Plan, Purpose, Wishes};
use crate::report::{ListedBuilder, builders_table};

/// What was found, for programs.
#[derive(Serialize)]
struct Checked {
    builders: Vec<ListedBuilder>,
    findings: Vec<Finding>,
}

pub(super) fn run(given: &Given<'_>, arguments: &CheckArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish, &arguments.services)?;
    let plan = read.plan(&arguments.services)?;
    let world = adapters::without_ledger(given, &read, &plan)?;
    // A publish that cannot keep its state does not begin, so that is one finding among the others.
    let state = adapters::ledger(given, &read).err();
    let state = state.as_ref().map(state_finding);
    let (found, exit) = session::run(given, "check", &plan.project, |cx| {
        let (plan, world, read) = (&plan, &world, &read);
        async move {
            let mut findings = execute::check(&cx, plan, world).await;
            findings.extend(state);
            findings.extend(immutable(&cx, given, read, plan, world).await);
            let builders = builders::list(given, read, plan, world).await;
            let exit = if cx.cancel.is_cancelled() {
                Exit::Interrupted
            } else if findings.iter().any(|finding| finding.fatal) {
                Exit::NotReady
            } else {
                Exit::Done
            };
            ((findings, builders), exit)
        }
    })?;
    let (mut findings, builders) = found;
    let builders = builders?;
    findings.extend(plan.warnings.iter().map(|warning| Finding {
        fatal: false,
        subject: warning.subject.clone(),
        message: warning.message.clone(),
        hint: warning.hint.clone(),
    }));
    match arguments.format {
        Format::Json => given
            .printer
            .result(&pretty(&Checked { builders, findings })),
        Format::Text => {
            given.printer.text(&builders_table(&builders));
            if exit == Exit::Done {
                given.printer.text("ready to publish\n");
            }
            complain(given, &[Failure::NotReady(findings)]);
        }
    }
    Ok(exit)
}

/// The immutable tags that would be in the way of a publish. What is built is not asked about by this: a
/// builder is looked at whether it will have something to do or not.
async fn immutable(
    cx: &Cx,
    given: &Given<'_>,
    read: &Read,
    plan: &Plan,
    world: &World,
) -> Vec<Finding> {
    let mut tags = plan.targets.iter().flat_map(|target| &target.tags);
    if tags.all(|tag| tag.hold == Hold::Free) {
        return Vec::new();
    }
    let mut plan = plan.clone();
    let wishes = Wishes::default();
    match prepare(cx, given, read, &mut plan, world, wishes).await {
        Ok(_) => execute::in_the_way(&plan),
        // What cannot be looked at is a finding of its own, or of the publish.
        Err(_) => Vec::new(),
    }
}

/// That there is no place for the state of a publish.
fn state_finding(error: &Error) -> Finding {
    let problems = error.problems();
    let problem = problems.into_iter().next().unwrap_or_default();
    let message = std::iter::once(problem.message).chain(problem.causes);
    Finding {
        fatal: true,
        subject: "state".to_owned(),
        message: message.collect::<Vec<_>>().join(": "),
        hint: problem.hint,
    }
}
