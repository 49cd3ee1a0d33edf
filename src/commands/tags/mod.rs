//! `castoff tags`: versions, tags and labels for here and now.

mod print;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use self::print::{json, line, text};
use super::Given;
use super::read::{Read, read, warn};
use crate::cli::{Format, OnDirty, TagsArguments};
use crate::compose;
use crate::config::AnnotationLevel;
use crate::error::Error;
use crate::exit::Exit;
use crate::facts::{self, Ask, Environment, Facts};
use crate::oci::Repository;
use crate::plan::{self, Purpose};
use crate::report::Problem;
use crate::tags::{
    self, Computed, Created, Dirty, Image, LabelInput, LabelKind, Labels, Level, Names, RuleSet,
};

/// What the command prints.
#[derive(Debug, Default, PartialEq, Eq)]
struct Printed {
    /// The result, for standard output.
    result: String,
    /// What was odd, for standard error: one line each, and one for what to do about it.
    warnings: Vec<Oddity>,
}

/// A warning and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Oddity {
    /// What is odd.
    message: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Prints the tags of the rules that are typed; where none are, those of publish.toml for every
/// service or the one that is named, and outside of a project those of the rules that hold without any.
pub(super) fn run(given: &Given<'_>, arguments: &TagsArguments) -> Result<Exit, Error> {
    if !is_typed(arguments) {
        match read(given, Purpose::Tags, arguments.service.as_slice()) {
            Ok(read) => return of_project(given, arguments, &read),
            Err(Error::Compose(compose::Error::NoFile { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    let here = std::path::absolute(".").map_err(|error| Error::Internal(error.to_string()))?;
    let printed = computed(given, arguments, here)?;
    complain(given, &printed.warnings);
    match arguments.format {
        Format::Json => given.printer.result(&printed.result),
        Format::Text => given.printer.text(&printed.result),
    }
    Ok(Exit::Done)
}

/// Whether something is typed that stands for a key of publish.toml.
fn is_typed(arguments: &TagsArguments) -> bool {
    !arguments.images.is_empty()
        || !arguments.rules.is_empty()
        || !arguments.flavor.is_empty()
        || !arguments.labels.is_empty()
        || !arguments.annotations.is_empty()
        || arguments.annotation_levels.is_some()
        || arguments.dirty.is_some()
}

fn complain(given: &Given<'_>, oddities: &[Oddity]) {
    for oddity in oddities {
        given.printer.problem(&Problem {
            hint: oddity.hint.clone(),
            ..Problem::warning(oddity.message.clone())
        });
    }
}

/// A service, for programs.
#[derive(Serialize)]
struct OfService {
    service: String,
    #[serde(flatten)]
    document: serde_json::Value,
}

/// What publish.toml comes to for every service.
fn of_project(given: &Given<'_>, arguments: &TagsArguments, read: &Read) -> Result<Exit, Error> {
    let selection: Vec<String> = arguments.service.iter().cloned().collect();
    let plan = read.plan(&selection)?;
    let mut documents = Vec::new();
    let mut texts = String::new();
    let known = read.services();
    for target in plan.targets.iter().filter(|target| target.wanted) {
        let settings = read.settings.service(&target.service);
        let service = known.get(target.service.as_str());
        let computed = service
            .map(|service| plan::computed(&read.project, &read.settings, &read.facts, service));
        let computed = computed.transpose()?.flatten();
        let names = Names {
            service: &target.service,
            project: &read.project.name,
        };
        let own = Own {
            labels: settings.labels.clone().into_iter().collect(),
            annotations: settings.annotations.clone().into_iter().collect(),
            levels: settings.annotated().iter().copied().map(level).collect(),
        };
        let images: Vec<String> = target
            .repositories
            .iter()
            .map(ToString::to_string)
            .collect();
        line(&mut texts, format_args!("{}:", target.service));
        let Some(computed) = computed else {
            // The compose file alone decides.
            let tags: Vec<String> = target
                .tags
                .iter()
                .map(|tag| tag.reference.to_string())
                .collect();
            for tag in &tags {
                line(&mut texts, format_args!("{tag}"));
            }
            documents.push(OfService {
                service: target.service.clone(),
                document: serde_json::json!({"version": null, "tags": tags}),
            });
            continue;
        };
        let said = Said::by(&own, &computed, &read.facts, &names)?;
        let warnings = oddities(&read.facts, &computed, &said);
        let document = json(&images, &read.facts, &computed, &said, &warnings);
        documents.push(OfService {
            service: target.service.clone(),
            document: serde_json::from_str(&document).unwrap_or_default(),
        });
        texts.push_str(&text(arguments, &images, &read.facts, &computed, &said));
    }
    warn(given, &plan.warnings);
    match arguments.format {
        Format::Json => given.printer.result(&super::pretty(&documents)),
        Format::Text => given.printer.text(&texts),
    }
    Ok(Exit::Done)
}

/// Computes the tags and writes them down.
fn computed(
    given: &Given<'_>,
    arguments: &TagsArguments,
    directory: PathBuf,
) -> Result<Printed, Error> {
    let environment = given.environment.clone();
    let images = Image::parse_all(&arguments.images)?;
    let rules = RuleSet::parse(&arguments.rules, &arguments.flavor)?
        .with_dirty(dirty(arguments.dirty.unwrap_or(OnDirty::Allow)));
    let own = Own::read(arguments, &environment)?;
    let project = directory
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let facts = facts::gather(&Ask {
        directory,
        environment,
        reference: given.global.reference.clone(),
        event: given.global.event.clone(),
        wants: rules.wants() | tags::label_wants(&own.labels) | tags::label_wants(&own.annotations),
    })?;
    let names = Names {
        service: arguments.service.as_deref().unwrap_or_default(),
        project: &project,
    };
    let computed = tags::compute(&rules, &facts, &names)?;
    let said = Said::by(&own, &computed, &facts, &names)?;
    let mut warnings = oddities(&facts, &computed, &said);
    let names = image_names(&images, &mut warnings);
    let result = match arguments.format {
        Format::Json => json(&names, &facts, &computed, &said, &warnings),
        Format::Text => text(arguments, &names, &facts, &computed, &said),
    };
    Ok(Printed { result, warnings })
}

fn dirty(choice: OnDirty) -> Dirty {
    match choice {
        OnDirty::Allow => Dirty::Allow,
        OnDirty::Suffix => Dirty::Suffix,
        OnDirty::Refuse => Dirty::Refuse,
    }
}

fn level(level: AnnotationLevel) -> Level {
    match level {
        AnnotationLevel::Manifest => Level::Manifest,
        AnnotationLevel::Index => Level::Index,
        AnnotationLevel::ManifestDescriptor => Level::ManifestDescriptor,
        AnnotationLevel::IndexDescriptor => Level::IndexDescriptor,
    }
}

/// What the user wants to be said about the image.
struct Own {
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    levels: Vec<Level>,
}

impl Own {
    fn read(arguments: &TagsArguments, environment: &Environment) -> Result<Self, Error> {
        let variable = environment.non_empty("DOCKER_METADATA_ANNOTATIONS_LEVELS");
        let levels = match arguments.annotation_levels.as_deref().or(variable) {
            Some(list) => Level::parse_all(list)?,
            None => vec![Level::Manifest],
        };
        Ok(Self {
            labels: tags::keys_and_values(LabelKind::Label, &arguments.labels)?,
            annotations: tags::keys_and_values(LabelKind::Annotation, &arguments.annotations)?,
            levels,
        })
    }
}

/// Labels and annotations.
struct Said {
    labels: Labels,
    annotations: BTreeMap<Level, Labels>,
    warnings: Vec<tags::Warning>,
}

impl Said {
    fn by(own: &Own, computed: &Computed, facts: &Facts, names: &Names<'_>) -> Result<Self, Error> {
        let version = computed.version.as_deref();
        let created = Created::default();
        let input = |own| LabelInput {
            own,
            version,
            created,
        };
        let (labels, mut warnings) = tags::labels(&input(&own.labels), facts, names)?;
        let (values, more) = tags::annotations(&input(&own.annotations), facts, names)?;
        warnings.extend(more);
        let levels = own.levels.iter();
        Ok(Self {
            labels,
            annotations: levels.map(|level| (*level, values.clone())).collect(),
            warnings,
        })
    }
}

/// Every warning once, first what the world did, then the rules.
fn oddities(facts: &Facts, computed: &Computed, said: &Said) -> Vec<Oddity> {
    let of_facts = facts.warnings.iter().map(|warning| Oddity {
        message: warning.to_string(),
        hint: warning.hint(),
    });
    let of_tags = computed.warnings.iter().chain(&said.warnings);
    let of_tags = of_tags.map(|warning| Oddity {
        message: warning.to_string(),
        hint: warning.hint(),
    });
    let mut oddities: Vec<Oddity> = Vec::new();
    for oddity in of_facts.chain(of_tags) {
        if !oddities.contains(&oddity) {
            oddities.push(oddity);
        }
    }
    oddities
}

/// The names that tags are made for; one that no registry would take is still printed.
fn image_names(images: &[Image], warnings: &mut Vec<Oddity>) -> Vec<String> {
    let mut names = Vec::new();
    for image in images.iter().filter(|image| image.enabled) {
        if let Err(error) = image.name.parse::<Repository>() {
            warnings.push(Oddity {
                message: error.to_string(),
                hint: None,
            });
        }
        names.push(image.name.clone());
    }
    names
}
