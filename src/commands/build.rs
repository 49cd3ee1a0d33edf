//! `castoff build`: builds services, and loads them into the Docker Engine or writes them to this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::publish::tell_warnings;
use super::read::{Read, read};
use super::{Given, adapters, complain, partial, pretty, session};
use crate::cli::{BuildArguments, Format};
use crate::error::Error;
use crate::execute;
use crate::execute::ports::{self, ExportOrder, Output};
use crate::exit::Exit;
use crate::oci::{Digest, Reference};
use crate::plan::{self, Export, ExportSpec, Goal, Plan, Provenance, Purpose, Target, Warning};

/// What was built, for programs.
#[derive(Serialize)]
struct Built {
    service: String,
    /// None where files alone were written.
    digest: Option<Digest>,
    /// The names that it has in the Engine, or in what was written.
    names: Vec<Reference>,
    /// Where it was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<PathBuf>,
}

pub(super) fn run(given: &Given<'_>, arguments: &BuildArguments) -> Result<Exit, Error> {
    if let Some(file) = &arguments.partial {
        return partial::run(given, arguments, file);
    }
    let spec = arguments.output.as_deref().map(spec).transpose()?;
    let purpose = spec.as_ref().map_or(Purpose::Load, |_| Purpose::Export);
    let mut read = read(given, purpose, &arguments.services)?;
    if arguments.strict {
        read.settings.be_strict();
    }
    let mut plan = read.plan(&arguments.services)?;
    let exports = match &spec {
        Some(spec) => exports(spec, &read, &mut plan)?,
        None => BTreeMap::new(),
    };
    let names = names(&read.project, &plan)?;
    let output = |target: &Target| {
        let references = names.get(&target.service).cloned().unwrap_or_default();
        match exports.get(&target.service) {
            Some(Export { kind, path }) => Output::Export(ExportOrder {
                kind: *kind,
                path: path.clone(),
                names: references,
            }),
            None => Output::Load { references },
        }
    };
    let goal = match &spec {
        Some(spec) if spec.kind.is_image() => Goal::Archive,
        Some(_) => Goal::Files,
        None => Goal::Publish,
    };
    let world = adapters::going_to(given, &read, &plan, goal)?;
    let (result, exit) = session::run(given, "build", &plan.project, |cx| {
        let (plan, world, output) = (&plan, &world, &output);
        async move {
            tell_warnings(&cx, plan);
            match execute::build(&cx, plan, world, output).await {
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
        Ok(built) => report(given, arguments.format, built, names, &exports),
        Err(failures) => complain(given, &failures),
    }
    Ok(exit)
}

/// Prints what was built.
fn report(
    given: &Given<'_>,
    format: Format,
    mut built: Vec<(String, ports::Built)>,
    mut names: BTreeMap<String, Vec<Reference>>,
    exports: &BTreeMap<String, Export>,
) {
    built.sort_by(|(one, _), (other, _)| one.cmp(other));
    let built: Vec<Built> = built
        .into_iter()
        .map(|(service, built)| Built {
            names: names.remove(&service).unwrap_or_default(),
            output: exports.get(&service).map(|export| export.path.clone()),
            service,
            digest: built.digest,
        })
        .collect();
    if format == Format::Json {
        given.printer.result(&pretty(&built));
        return;
    }
    for image in &built {
        let names: Vec<String> = image.names.iter().map(familiar).collect();
        let place = match &image.output {
            Some(path) => path.display().to_string(),
            None => names.join(", "),
        };
        let digest = image.digest.as_ref().map_or("files", Digest::as_str);
        given
            .printer
            .text(&format!("{}  {digest}  {place}\n", image.service));
    }
}

/// What was typed behind `--output`.
fn spec(text: &str) -> Result<ExportSpec, Error> {
    ExportSpec::parse(text).map_err(|message| Error::Usage {
        message: format!("--output `{text}`: {message}"),
        hint: Some("for example `--output type=oci,dest=out/{{service}}.tar`".to_owned()),
    })
}

/// Where each service's result goes. An archive for docker holds no attestations.
fn exports(
    spec: &ExportSpec,
    read: &Read,
    plan: &mut Plan,
) -> Result<BTreeMap<String, Export>, Error> {
    let here = std::path::absolute(Path::new("."));
    let here = here.map_err(|error| Error::Internal(error.to_string()))?;
    let wanted = plan.targets.iter().filter(|target| target.wanted);
    let exports = spec.exports(&read.project.name, wanted, &here);
    let exports = exports.map_err(|message| Error::Usage {
        message: format!("--output: {message}"),
        hint: None,
    })?;
    let attested = plan.targets.iter_mut();
    for target in attested.filter(|target| spec.kind.is_plain() && target.build.is_attested()) {
        target.build.provenance = Provenance::Off;
        target.build.sbom = None;
        plan.warnings.push(Warning {
            subject: target.service.clone(),
            message: "an archive for docker holds no attestations: there are none in it".to_owned(),
            hint: Some("`--output type=oci,…` writes one that does".to_owned()),
        });
    }
    Ok(exports)
}

/// The names of each service's image.
fn names(
    project: &crate::compose::Project,
    plan: &Plan,
) -> Result<BTreeMap<String, Vec<Reference>>, Error> {
    let mut names = BTreeMap::new();
    let planned = plan.targets.iter().map(|target| target.service.as_str());
    let planned: BTreeSet<&str> = planned.collect();
    for service in &project.services {
        if planned.contains(service.name.as_str()) {
            let own = plan::engine_names(project, service)?;
            names.insert(service.name.clone(), own);
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
