//! `castoff build`: builds services and loads them into the Docker Engine.

use serde::Serialize;

use super::publish::tell_warnings;
use super::read::read;
use super::{Given, adapters, complain, partial, pretty, session};
use crate::cli::{BuildArguments, Format};
use crate::error::Error;
use crate::execute;
use crate::exit::Exit;
use crate::oci::{Digest, Reference};
use crate::plan::{self, Plan, Purpose, Target};

/// What was built, for programs.
#[derive(Serialize)]
struct Built {
    service: String,
    digest: Digest,
    names: Vec<Reference>,
}

pub(super) fn run(given: &Given<'_>, arguments: &BuildArguments) -> Result<Exit, Error> {
    if let Some(file) = &arguments.partial {
        return partial::run(given, arguments, file);
    }
    let mut read = read(given, Purpose::Load)?;
    if arguments.strict {
        read.settings.be_strict();
    }
    let plan = read.plan(&arguments.services)?;
    let names = names(&read.project, &plan)?;
    let find = |target: &Target| {
        let found = names.iter().find(|(service, _)| *service == target.service);
        found.map(|(_, names)| names.clone()).unwrap_or_default()
    };
    let world = adapters::without_ledger(given, &read, &plan)?;
    let (result, exit) = session::run(given, "build", &plan.project, |cx| {
        let (plan, world, find) = (&plan, &world, &find);
        async move {
            tell_warnings(&cx, plan);
            match execute::build(&cx, plan, world, find).await {
                Ok(built) => (Ok(built), Exit::Done),
                Err(failures) => {
                    let exit = failures
                        .first()
                        .map_or(Exit::Internal, execute::Failure::exit);
                    (Err(failures), exit)
                }
            }
        }
    })?;
    match result {
        Ok(mut built) => {
            built.sort_by(|(one, _), (other, _)| one.cmp(other));
            let built: Vec<Built> = built
                .into_iter()
                .filter_map(|(service, built)| {
                    Some(Built {
                        names: names
                            .iter()
                            .find(|(name, _)| *name == service)
                            .map(|(_, names)| names.clone())
                            .unwrap_or_default(),
                        service,
                        digest: built.digest?,
                    })
                })
                .collect();
            match arguments.format {
                Format::Json => given.printer.result(&pretty(&built)),
                Format::Text => {
                    for image in &built {
                        let names: Vec<String> = image.names.iter().map(familiar).collect();
                        let line = format!(
                            "{}  {}  {}\n",
                            image.service,
                            image.digest,
                            names.join(", ")
                        );
                        given.printer.result(&line);
                    }
                }
            }
        }
        Err(failures) => complain(given, &failures),
    }
    Ok(exit)
}

/// The names under which each service's image is put into the Engine.
fn names(
    project: &crate::compose::Project,
    plan: &Plan,
) -> Result<Vec<(String, Vec<Reference>)>, Error> {
    let mut names = Vec::new();
    for target in &plan.targets {
        if let Some(service) = project.service(&target.service) {
            names.push((
                target.service.clone(),
                plan::engine_names(project, service)?,
            ));
        }
    }
    Ok(names)
}

/// A reference as docker prints it.
fn familiar(reference: &Reference) -> String {
    format!(
        "{}:{}",
        reference.repository().familiar(),
        reference.selector()
    )
}
