//! What `castoff tags` prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::{Oddity, Said};
use crate::cli::TagsArguments;
use crate::facts::Facts;
use crate::tags::{Computed, Labels, Outcome};

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

pub(super) fn json(
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

pub(super) fn text(
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
    let references = references(images, computed);
    for reference in &references {
        line(&mut text, format_args!("{reference}"));
    }
    if arguments.explain {
        if !references.is_empty() {
            line(&mut text, format_args!(""));
        }
        line(&mut text, format_args!("labels"));
        for (key, value) in &said.labels {
            let (key, value) = (one_line(key), one_line(value));
            line(&mut text, format_args!("  {key}={value}"));
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

pub(super) fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{arguments}");
}

/// A text of others on one line of a terminal.
fn one_line(text: &str) -> String {
    crate::printable::one_line(text, 1000)
}
