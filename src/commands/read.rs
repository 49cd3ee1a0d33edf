//! What every verb that concerns the project begins with: read, decide, look whether the inputs are
//! there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Given;
use super::inputs::Inputs;
use crate::compose::{self, LoadOptions, Pipes, Project, Service};
use crate::config::{self, Document, Override, Settings};
use crate::error::Error;
use crate::facts::{self, Ask, Facts, Wants};
use crate::plan::{self, Dockerfile, Plan, Purpose, Warning};
use crate::report::{Problem, Severity};

/// How many warnings are shown.
const MOST_WARNINGS: usize = 100;

/// Everything that was read.
pub(super) struct Read {
    pub(super) project: Project,
    pub(super) settings: Settings,
    pub(super) facts: Facts,
    pub(super) warnings: Vec<Warning>,
    pub(super) purpose: Purpose,
}

/// Reads publish.toml, the compose files, git and the rest of the world, as far as `purpose` needs it.
/// `named` are the services that the command line names; none for all.
pub(super) fn read(given: &Given<'_>, purpose: Purpose, named: &[String]) -> Result<Read, Error> {
    read_with(given, purpose, named, Wants::default())
}

/// The same with facts that are wanted in any case.
pub(super) fn read_with(
    given: &Given<'_>,
    purpose: Purpose,
    named: &[String],
    wants: Wants,
) -> Result<Read, Error> {
    let (settings, _, project) = settings(given, named)?;
    let facts = facts::gather(&Ask {
        directory: project.directory.clone(),
        environment: given.environment.clone(),
        reference: given.global.reference.clone(),
        event: given.global.event.clone(),
        wants: match purpose {
            Purpose::Publish | Purpose::Tags => plan::wants(&settings) | wants,
            Purpose::Load | Purpose::Export => wants,
        },
    })?;
    let mut warnings = project_warnings(&project);
    warnings.extend(settings.unset.iter().map(|(variable, key)| Warning {
        subject: config::FILE_NAME.to_owned(),
        message: format!("`{key}` uses the variable {variable}, which is not set"),
        hint: Some(format!(
            "set {variable}, or write `${{{variable}:-default}}`"
        )),
    }));
    warnings.extend(facts.warnings.iter().map(|warning| Warning {
        subject: String::new(),
        message: warning.to_string(),
        hint: warning.hint(),
    }));
    Ok(Read {
        project,
        settings,
        facts,
        warnings,
        purpose,
    })
}

/// The compose project alone, with `services` and what they depend on.
pub(super) fn project(given: &Given<'_>, services: &[String]) -> Result<Project, Error> {
    load_project(given, &config_ask(given)?, services, &[])
}

/// publish.toml, with the project that its variables come from. A service that is named is there even
/// where its profile is not enabled, as with docker compose.
pub(super) fn settings(
    given: &Given<'_>,
    named: &[String],
) -> Result<(Settings, Arc<Document>, Project), Error> {
    let ask = config_ask(given)?;
    let project = load_project(given, &ask, &[], named)?;
    // The variables of publish.toml are those of the compose files, `.env` included.
    let lookup = |name: &str| project.environment.get(name).cloned();
    let (settings, document) = config::load(&ask, &lookup)?;
    Ok((settings, document, project))
}

/// publish.toml and its project, for a verb that works without them; `None` where nothing is said.
pub(super) fn known(given: &Given<'_>) -> Result<Option<(Settings, Project)>, Error> {
    if publish_toml(given)?.is_none() && given.global.set.is_empty() {
        return Ok(None);
    }
    let (settings, _, project) = settings(given, &[])?;
    Ok(Some((settings, project)))
}

fn config_ask(given: &Given<'_>) -> Result<config::Ask, Error> {
    Ok(config::Ask {
        file: publish_toml(given)?,
        overrides: overrides(given)?,
    })
}

fn load_project(
    given: &Given<'_>,
    ask: &config::Ask,
    only: &[String],
    enabled: &[String],
) -> Result<Project, Error> {
    let files = if given.global.files.is_empty() {
        config::compose_files(ask)?
    } else {
        given.global.files.clone()
    };
    Ok(compose::load(&LoadOptions {
        working_directory: here()?,
        files,
        project_directory: given.global.project_directory.clone(),
        project_name: given.global.project_name.clone(),
        profiles: given.global.profiles.clone(),
        env_files: given.global.env_files.clone(),
        environment: given
            .environment
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        standard_input: None,
        services: only.to_vec(),
        enabled: enabled.to_vec(),
    })?)
}

fn here() -> Result<PathBuf, Error> {
    std::path::absolute(".").map_err(|error| Error::Internal(error.to_string()))
}

/// What is odd about the compose files.
pub(super) fn project_warnings(project: &Project) -> Vec<Warning> {
    let warning = |warning: &compose::Warning| Warning {
        subject: warning
            .place
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        message: warning.message.clone(),
        hint: None,
    };
    project.warnings.iter().map(warning).collect()
}

impl Read {
    /// What will be done with `services`, with the inputs looked at.
    pub(super) fn plan(&self, services: &[String]) -> Result<Plan, Error> {
        let (project, settings, facts) = (&self.project, &self.settings, &self.facts);
        let mut plan = plan::plan(project, settings, facts, services, self.purpose)?;
        let services = self.services();
        let mut inputs = Inputs::default();
        for target in &mut plan.targets {
            spell_dockerfile(&mut target.build.dockerfile);
            let service = services.get(target.service.as_str());
            inputs.check(target, service.map(|service| &service.places))?;
        }
        let mut warnings = self.warnings.clone();
        warnings.append(&mut inputs.warnings);
        warnings.append(&mut plan.warnings);
        plan.warnings = warnings;
        Ok(plan)
    }

    /// The services of the project by their names.
    pub(super) fn services(&self) -> BTreeMap<&str, &Service> {
        let services = self.project.services.iter();
        services.map(|it| (it.name.as_str(), it)).collect()
    }
}

/// A Dockerfile that is not there is looked for in small letters (BuildKit, dockerui, `DefaultDockerfileName`).
fn spell_dockerfile(dockerfile: &mut Dockerfile) {
    if let Dockerfile::Local(path) = dockerfile
        && path.file_name().is_some_and(|name| name == "Dockerfile")
        && !path.exists()
    {
        let small = path.with_file_name("dockerfile");
        if small.is_file() {
            *path = small;
        }
    }
}

/// publish.toml: the file that is named, else the one in the project's folder.
fn publish_toml(given: &Given<'_>) -> Result<Option<(PathBuf, String)>, Error> {
    let (path, is_named) = match &given.global.config {
        Some(path) => (path.clone(), true),
        None => {
            let folder = given.global.project_directory.as_deref();
            let first = given.global.files.first().and_then(|file| file.parent());
            let folder = folder.or(first).unwrap_or(Path::new(""));
            (folder.join(config::FILE_NAME), false)
        }
    };
    // Compose's own reader: it does not wait for ever for a pipe, nor read a device for ever.
    let pipes = if is_named { Pipes::Wait } else { Pipes::Refuse };
    match compose::read_file(&path, pipes) {
        Ok(bytes) => {
            let text = config::text(&path, bytes)?;
            Ok(Some((path, text)))
        }
        Err(compose::Error::Read { source, .. })
            if !is_named && source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(compose::Error::Read { source, .. }) => {
            Err(config::Error::Read { path, source }.into())
        }
        Err(other) => Err(other.into()),
    }
}

/// The flags that stand for keys of publish.toml.
fn overrides(given: &Given<'_>) -> Result<Vec<Override>, Error> {
    let mut overrides = Vec::new();
    for text in &given.global.set {
        let Some((key, value)) = text.split_once('=') else {
            return Err(config::Error::Override {
                flag: "--set".to_owned(),
                given: text.clone(),
            }
            .into());
        };
        overrides.push(Override {
            key: key.to_owned(),
            value: value.to_owned(),
            flag: "--set".to_owned(),
        });
    }
    if let Some(builder) = &given.global.builder {
        overrides.push(Override {
            key: "build.builder".to_owned(),
            value: builder.clone(),
            flag: "--builder".to_owned(),
        });
    }
    if !given.global.allow.is_empty() {
        overrides.push(Override {
            key: "build.allow".to_owned(),
            value: given.global.allow.join(","),
            flag: "--allow".to_owned(),
        });
    }
    Ok(overrides)
}

/// Prints warnings where no event stream does: the first of them, where there are too many to be read.
pub(super) fn warn(given: &Given<'_>, warnings: &[Warning]) {
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    for warning in warnings.iter().take(MOST_WARNINGS) {
        given.printer.problem(&Problem {
            severity: Severity::Warning,
            message: if warning.subject.is_empty() {
                warning.message.clone()
            } else {
                format!("{}: {}", warning.subject, warning.message)
            },
            hint: warning.hint.clone(),
            ..Problem::default()
        });
    }
    if more > 0 {
        let message = format!("and {more} more warnings");
        given.printer.problem(&Problem::warning(message));
    }
}
