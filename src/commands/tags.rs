//! `castoff tags`: versions, tags and labels for here and now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::Given;
use crate::cli::{Format, OnDirty, TagsArguments};
use crate::error::Error;
use crate::exit::Exit;
use crate::facts::{self, Ask, Environment, Facts};
use crate::oci::Repository;
use crate::report::Problem;
use crate::tags::{
    self, Computed, Created, Dirty, Image, LabelInput, Labels, Level, Names, Outcome, RuleSet,
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

/// Computes the tags of the rules that are typed, and prints them.
pub(super) fn run(given: &Given<'_>, arguments: &TagsArguments) -> Result<Exit, Error> {
    let here = std::path::absolute(".").map_err(|error| Error::Internal(error.to_string()))?;
    let printed = computed(arguments, here, given.environment.clone())?;
    for oddity in &printed.warnings {
        given.printer.problem(&Problem {
            hint: oddity.hint.clone(),
            ..Problem::warning(oddity.message.clone())
        });
    }
    given.printer.result(&printed.result);
    Ok(Exit::Done)
}

/// Computes the tags and writes them down.
fn computed(
    arguments: &TagsArguments,
    directory: PathBuf,
    environment: Environment,
) -> Result<Printed, Error> {
    let images = Image::parse_all(&arguments.images)?;
    let rules =
        RuleSet::parse(&arguments.rules, &arguments.flavor)?.with_dirty(dirty(arguments.dirty));
    let own = Own::read(arguments, &environment)?;
    let project = directory
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let facts = facts::gather(&Ask {
        directory,
        environment,
        reference: arguments.reference.clone(),
        event: arguments.event.clone(),
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

/// What the user wants to be said about the image.
struct Own {
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    levels: Vec<Level>,
}

impl Own {
    fn read(arguments: &TagsArguments, environment: &Environment) -> Result<Self, Error> {
        let pairs = |texts: &[String]| -> Result<Vec<_>, tags::Error> {
            texts.iter().map(|text| tags::key_and_value(text)).collect()
        };
        let variable = environment.non_empty("DOCKER_METADATA_ANNOTATIONS_LEVELS");
        let levels = match arguments.annotation_levels.as_deref().or(variable) {
            Some(list) => Level::parse_all(list)?,
            None => vec![Level::Manifest],
        };
        Ok(Self {
            labels: pairs(&arguments.labels)?,
            annotations: pairs(&arguments.annotations)?,
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
        let (annotations, more) =
            tags::annotations(&own.levels, &input(&own.annotations), facts, names)?;
        warnings.extend(more);
        Ok(Self {
            labels,
            annotations,
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

/// Every tag of every image, in the order of the images; without images the tags alone.
fn references(images: &[String], computed: &Computed) -> Vec<String> {
    let tags = computed.tags.iter().map(|computed| computed.tag.as_str());
    if images.is_empty() {
        return tags.map(str::to_owned).collect();
    }
    images
        .iter()
        .flat_map(|image| tags.clone().map(move |tag| format!("{image}:{tag}")))
        .collect()
}

#[derive(Serialize)]
struct Document<'a> {
    version: Option<&'a str>,
    tags: Vec<String>,
    details: Vec<Detail<'a>>,
    labels: &'a Labels,
    annotations: BTreeMap<&'static str, &'a Labels>,
    context: Context<'a>,
    rules: Vec<Explained<'a>>,
    latest: String,
    warnings: &'a [Oddity],
}

#[derive(Serialize)]
struct Detail<'a> {
    tag: &'a str,
    /// Counted from 1, as in messages.
    rule: Option<usize>,
    channel: bool,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
}

#[derive(Serialize)]
struct Context<'a> {
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    event: &'a str,
    sha: Option<&'a str>,
    default_branch: Option<&'a str>,
}

#[derive(Serialize)]
struct Explained<'a> {
    /// Counted from 1, as in messages.
    rule: usize,
    source: &'a str,
    fired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    because: String,
}

fn json(
    images: &[String],
    facts: &Facts,
    computed: &Computed,
    said: &Said,
    warnings: &[Oddity],
) -> String {
    let document = Document {
        version: computed.version.as_deref(),
        tags: references(images, computed),
        details: computed
            .tags
            .iter()
            .map(|computed| Detail {
                tag: computed.tag.as_str(),
                rule: computed.rule.map(|rule| rule + 1),
                channel: computed.channel.moves(),
                kind: computed.channel.word(),
                order: computed.channel.order().map(ToString::to_string),
            })
            .collect(),
        labels: &said.labels,
        annotations: said
            .annotations
            .iter()
            .map(|(level, labels)| (level.name(), labels))
            .collect(),
        context: Context {
            reference: facts.context.reference.as_deref(),
            event: &facts.context.event,
            sha: facts.context.sha.as_deref(),
            default_branch: facts.context.default_branch.as_deref(),
        },
        rules: computed
            .explanations
            .iter()
            .map(|explanation| match &explanation.outcome {
                Outcome::Fired {
                    before,
                    after,
                    role,
                } => Explained {
                    rule: explanation.rule + 1,
                    source: &explanation.source,
                    fired: true,
                    before: Some(before),
                    after: Some(after),
                    because: role.to_string(),
                },
                Outcome::Silent(silence) => Explained {
                    rule: explanation.rule + 1,
                    source: &explanation.source,
                    fired: false,
                    before: None,
                    after: None,
                    because: silence.to_string(),
                },
            })
            .collect(),
        latest: computed.latest.to_string(),
        warnings,
    };
    // Texts, numbers and maps with text keys: none of them can fail to be written.
    let mut json = serde_json::to_string_pretty(&document).unwrap_or_default();
    json.push('\n');
    json
}

fn text(
    arguments: &TagsArguments,
    images: &[String],
    facts: &Facts,
    computed: &Computed,
    said: &Said,
) -> String {
    let mut text = String::new();
    if arguments.explain {
        explain(&mut text, facts, computed);
    }
    for reference in references(images, computed) {
        line(&mut text, format_args!("{reference}"));
    }
    if arguments.explain {
        line(&mut text, format_args!(""));
        line(&mut text, format_args!("labels"));
        for (key, value) in &said.labels {
            line(&mut text, format_args!("  {key}={}", one_line(value)));
        }
    }
    text
}

fn explain(text: &mut String, facts: &Facts, computed: &Computed) {
    let context = &facts.context;
    let known = |value: Option<&str>| value.map_or_else(|| "unknown".to_owned(), one_line);
    line(
        text,
        format_args!(
            "ref      {} ({})",
            known(context.reference.as_deref()),
            context.origin
        ),
    );
    line(
        text,
        format_args!("commit   {}", known(context.sha.as_deref())),
    );
    if !context.event.is_empty() {
        line(text, format_args!("event    {}", one_line(&context.event)));
    }
    line(
        text,
        format_args!("default  {}", known(context.default_branch.as_deref())),
    );
    line(text, format_args!(""));
    for explanation in &computed.explanations {
        line(
            text,
            format_args!("{:>2}. {}", explanation.rule + 1, explanation.source),
        );
        match &explanation.outcome {
            Outcome::Fired {
                before,
                after,
                role,
            } if before == after => line(text, format_args!("    → {after}  ({role})")),
            Outcome::Fired {
                before,
                after,
                role,
            } => line(text, format_args!("    → {before} → {after}  ({role})")),
            Outcome::Silent(silence) => line(text, format_args!("    – {silence}")),
        }
    }
    line(text, format_args!("latest {}", computed.latest));
    line(text, format_args!(""));
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{arguments}");
}

/// A text of others on one line of a terminal.
fn one_line(text: &str) -> String {
    crate::printable::one_line(text, 1000)
}
