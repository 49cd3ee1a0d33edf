//! `castoff build --partial`: one machine's part of a release, for `castoff publish --from`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::path::Path;

use super::plan::of_shard;
use super::prepare::prepare;
use super::publish::tell_warnings;
use super::read::{Read, read_with};
use super::{Given, adapters, complain, pretty, session};
use crate::cli::{BuildArguments, Format};
use crate::error::Error;
use crate::execute::{self, Failure};
use crate::exit::Exit;
use crate::facts::{self, Wants};
use crate::oci::Platform;
use crate::plan::{Partial, Plan, Purpose, Warning, Wishes};

/// Whether the working tree differs has to be known, whatever the tag rules ask for.
pub(super) const WANTS: Wants = Wants {
    changes: true,
    reference: false,
    describe: false,
    on_branch: false,
};

pub(super) fn run(
    given: &Given<'_>,
    arguments: &BuildArguments,
    file: &Path,
) -> Result<Exit, Error> {
    let mut read = read_with(given, Purpose::Publish, &arguments.services, WANTS)?;
    if arguments.strict {
        read.settings.be_strict();
    }
    let at = facts::timestamp();
    let platforms = platforms(&arguments.platforms)?;
    let mut plan = chosen(&read, arguments, &platforms)?;
    let whole: BTreeMap<String, Vec<Platform>> = plan
        .targets
        .iter()
        .map(|target| (target.service.clone(), target.platforms.clone()))
        .collect();
    let mut world = adapters::without_ledger(given, &read, &plan)?;
    let writable = Writable::check(file)?;
    let wishes = Wishes {
        rebuild: arguments.rebuild,
        // No tag moves here; `castoff publish --from` decides about them.
        allow_backwards: true,
        allow_overwrite: true,
        contents: true,
    };
    let project = plan.project.clone();
    let (built, exit) = session::run(given, "build", &project, |cx| {
        let (plan, world, read, whole) = (&mut plan, &mut world, &read, &whole);
        let platforms = &platforms;
        async move {
            let prepared = match prepare(&cx, given, read, plan, world, wishes).await {
                Ok(prepared) => prepared,
                Err(error) => {
                    let exit = error.exit();
                    return (Err(error), exit);
                }
            };
            world.inputs = prepared.inputs.clone();
            forget_tags(plan);
            tell_warnings(&cx, plan);
            plan.narrow(platforms);
            let whole = |service: &str| whole.get(service).cloned().unwrap_or_default();
            let built = execute::build_parts(&cx, plan, world, &whole).await;
            let exit = match &built {
                Ok(_) => Exit::Done,
                Err(failures) => failures.first().map_or(Exit::Internal, Failure::exit),
            };
            (Ok(built), exit)
        }
    })?;
    let images = match built? {
        Ok(images) => images,
        Err(failures) => {
            complain(given, &failures);
            return Ok(exit);
        }
    };
    let git = read.facts.git.as_ref();
    let changes = git.and_then(|git| git.changes.as_ref());
    let partial = Partial::new(
        &plan.project,
        at,
        read.facts.context.sha.clone(),
        changes.map(facts::Changes::is_dirty),
        images,
    );
    writable.write(&pretty(&partial))?;
    show(given, arguments, &partial);
    Ok(exit)
}

/// Leaves out the tags, which have told what can be reused, and what is to be said about their moves: here
/// none moves.
fn forget_tags(plan: &mut Plan) {
    let mut tags = BTreeSet::new();
    for target in &mut plan.targets {
        tags.extend(target.tags.drain(..).map(|tag| tag.reference.to_string()));
        for place in &mut target.destinations {
            place.tags.clear();
        }
    }
    let warnings = &mut plan.warnings;
    warnings.retain(|warning| !tags.contains(&warning.subject));
}

/// What is to be built for some of the platforms.
fn chosen(read: &Read, arguments: &BuildArguments, platforms: &[Platform]) -> Result<Plan, Error> {
    let mut plan = read.plan(&arguments.services)?;
    if let Some(shard) = arguments.shard {
        plan = of_shard(read, plan, shard)?;
    }
    if platforms.is_empty() {
        return Ok(plan);
    }
    // A job of a matrix may have nothing to do; a platform of which nobody has heard is a mistake.
    let all = read.plan(&[])?;
    let known = all.platforms();
    if let Some(unknown) = platforms
        .iter()
        .find(|it| !known.contains(&it.normalized()))
    {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        return Err(Error::Usage {
            message: format!("no service is published for {unknown}"),
            hint: Some(if known.is_empty() {
                "name the platforms in publish.toml: [build] platforms = [\"linux/amd64\", …]"
                    .to_owned()
            } else {
                format!("the platforms here are: {}", known.join(", "))
            }),
        });
    }
    let mut wanted = plan.targets.iter().filter(|target| target.wanted);
    if let Some(unnamed) = wanted.find(|target| target.platforms.is_empty()) {
        return Err(Error::Usage {
            message: format!(
                "service `{}` names no platform, so no part of it can be built",
                unnamed.service
            ),
            hint: Some(format!(
                "name its platforms in publish.toml: [services.{}] platforms = [\"linux/amd64\"]",
                unnamed.service
            )),
        });
    }
    plan.keep_for(platforms);
    if plan.targets.is_empty() {
        plan.warnings.push(Warning {
            subject: String::new(),
            message: "there is nothing to build for these services and platforms".to_owned(),
            hint: None,
        });
    }
    Ok(plan)
}

fn platforms(texts: &[String]) -> Result<Vec<Platform>, Error> {
    let parsed = texts.iter().map(|text| {
        text.parse().map_err(|error| Error::Usage {
            message: format!("--platform: {error}"),
            hint: None,
        })
    });
    parsed.collect()
}

/// A file that can be written, found out before anything is built.
struct Writable<'a> {
    path: &'a Path,
}

impl<'a> Writable<'a> {
    fn check(path: &'a Path) -> Result<Self, Error> {
        let is_new = !path.exists();
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|source| Error::Output {
            path: path.to_owned(),
            source,
        })?;
        if is_new {
            // An empty file would be taken for a part that went wrong.
            let _ = std::fs::remove_file(path);
        }
        Ok(Self { path })
    }

    fn write(&self, text: &str) -> Result<(), Error> {
        std::fs::write(self.path, text).map_err(|source| Error::Output {
            path: self.path.to_owned(),
            source,
        })
    }
}

fn show(given: &Given<'_>, arguments: &BuildArguments, partial: &Partial) {
    if arguments.format == Format::Json {
        given.printer.result(&pretty(partial));
        return;
    }
    for image in &partial.services {
        let platforms: Vec<String> = image.platforms.iter().map(ToString::to_string).collect();
        let how = if image.reused { "reused" } else { "built" };
        let line = format!(
            "{}  {}  {}  {how}\n",
            image.service,
            image.digest,
            platforms.join(", ")
        );
        given.printer.text(&line);
    }
}
