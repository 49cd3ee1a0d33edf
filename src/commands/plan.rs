//! `castoff plan`: what a publish would do.

use super::prepare::{Wishes, prepare};
use super::read::{read, warn};
use super::{Given, adapters, pretty, session};
use crate::cli::{Global, PlanArguments, PlanFormat, ProgressKind};
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::Purpose;
use crate::report::{plan_markdown, plan_table};

pub(super) fn run(given: &Given<'_>, arguments: &PlanArguments) -> Result<Exit, Error> {
    let read = read(given, Purpose::Publish)?;
    let mut plan = read.plan(&arguments.services)?;
    let mut exit = Exit::Done;
    if arguments.offline {
        for target in &mut plan.targets {
            target.because = vec!["no registry was asked what is there already".to_owned()];
        }
    } else {
        let registries = adapters::registries(given, &read.settings, Some(&plan));
        let quiet = Given {
            global: &Global {
                progress: ProgressKind::Quiet,
                ..given.global.clone()
            },
            environment: given.environment.clone(),
            printer: given.printer.clone(),
        };
        let project = plan.project.clone();
        let wishes = Wishes {
            rebuild: arguments.rebuild,
            allow_backwards: arguments.allow_backwards,
        };
        let (seen, ended) = session::run(&quiet, "plan", &project, |cx| {
            let (read, registries) = (&read, &registries);
            async move {
                let prepared = prepare(&cx, given, read, &mut plan, registries, wishes).await;
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
    warn(given, &plan.warnings);
    given.printer.result(&match arguments.format {
        PlanFormat::Json => pretty(&plan),
        PlanFormat::Text => plan_table(&plan),
        PlanFormat::Markdown => plan_markdown(&plan),
    });
    if exit == Exit::Done && arguments.detailed_exitcode && !plan.changes_nothing() {
        exit = Exit::WouldChange;
    }
    Ok(exit)
}
