//! `castoff check`: preflight alone.

use super::read::read;
use super::{Given, adapters, complain, pretty, session};
use crate::cli::{CheckArguments, Format};
use crate::error::Error;
use crate::event::Finding;
use crate::execute::{self, Failure};
use crate::exit::Exit;
use crate::plan::Purpose;

pub(super) fn run(given: &Given<'_>, arguments: &CheckArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish)?;
    let plan = read.plan(&arguments.services)?;
    let world = adapters::without_ledger(given, &read, &plan)?;
    // A publish that cannot keep its state does not begin, so that is one finding among the others.
    let state = adapters::ledger(given, &read).err();
    let state = state.as_ref().map(state_finding);
    let (findings, exit) = session::run(given, "check", &plan.project, |cx| {
        let (plan, world) = (&plan, &world);
        async move {
            let mut findings = execute::check(&cx, plan, world).await;
            findings.extend(state);
            let exit = if cx.cancel.is_cancelled() {
                Exit::Interrupted
            } else if findings.iter().any(|finding| finding.fatal) {
                Exit::NotReady
            } else {
                Exit::Done
            };
            (findings, exit)
        }
    })?;
    let mut findings = findings;
    findings.extend(plan.warnings.iter().map(|warning| Finding {
        fatal: false,
        subject: warning.subject.clone(),
        message: warning.message.clone(),
        hint: warning.hint.clone(),
    }));
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&findings)),
        Format::Text => {
            if exit == Exit::Done {
                given.printer.result("ready to publish\n");
            }
            complain(&given.printer, &[Failure::NotReady(findings)]);
        }
    }
    Ok(exit)
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
