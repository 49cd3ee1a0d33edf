//! `castoff plan`: what a publish would do.

use futures_util::StreamExt;
use futures_util::stream;

use super::read::{read, warn};
use super::{Given, adapters, builders, pretty, session};
use crate::cli::{Format, PlanArguments};
use crate::cx::Cx;
use crate::error::Error;
use crate::execute::ports::Registry;
use crate::exit::Exit;
use crate::plan::{Plan, Purpose, Warning};
use crate::report::plan_table;

/// How many tags are asked for at the same time.
const AT_ONCE: usize = 16;

pub(super) fn run(given: &Given<'_>, arguments: &PlanArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish)?;
    let mut plan = read.plan(&arguments.services)?;
    builders::look_up(given, &read, &plan)?;
    let mut exit = Exit::Done;
    if !arguments.offline {
        let registries = adapters::registries(given, &read.settings, Some(&plan));
        let quiet = Given {
            global: &crate::cli::Global {
                progress: crate::cli::ProgressKind::Quiet,
                ..given.global.clone()
            },
            environment: given.environment.clone(),
            printer: given.printer.clone(),
        };
        let project = plan.project.clone();
        let (seen, ended) = session::run(&quiet, "plan", &project, |cx| async move {
            look(&cx, &mut plan, &registries).await;
            let exit = if cx.cancel.is_cancelled() {
                Exit::Interrupted
            } else {
                Exit::Done
            };
            (plan, exit)
        })?;
        plan = seen;
        exit = ended;
    }
    warn(given, &plan.warnings);
    match arguments.format {
        Format::Json => given.printer.result(&pretty(&plan)),
        Format::Text => given.printer.result(&plan_table(&plan)),
    }
    Ok(exit)
}

/// Looks up where each tag points now. A registry that does not answer is a warning: a plan is no
/// promise.
async fn look(cx: &Cx, plan: &mut Plan, registry: &dyn Registry) {
    let references: Vec<_> = plan
        .targets
        .iter()
        .flat_map(|target| target.tags.iter().map(|tag| tag.reference.clone()))
        .collect();
    let asked = references.into_iter().map(|reference| async move {
        let found = registry.resolve(cx, &reference).await;
        (reference, found)
    });
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    for (reference, found) in answers {
        match found {
            Ok(found) => {
                let tags = plan.targets.iter_mut().flat_map(|target| &mut target.tags);
                for tag in tags.filter(|tag| tag.reference == reference) {
                    tag.from = found.as_ref().map(|found| found.digest.clone());
                }
            }
            Err(error) => {
                let warning = Warning {
                    subject: reference.repository().domain().to_owned(),
                    message: format!("what its tags point to is not known: {}", error.fault),
                    hint: error.hint(),
                };
                if !plan.warnings.contains(&warning) {
                    plan.warnings.push(warning);
                }
            }
        }
    }
}
