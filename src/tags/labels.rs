//! Labels and annotations: what an image says about itself.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::error::{Error, LabelKind, LabelProblem};
use super::render::Renderer;
use super::template::Template;
use super::warning::Warning;
use super::{Names, nearest, printable};
use crate::facts::{Facts, Wants};

/// Where an image's date comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Created {
    /// The commit's date: the same commit gives the same image.
    #[default]
    Commit,
    /// The clock.
    Now,
}

/// Which of an image's parts an annotation is written on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Each platform's manifest.
    #[default]
    Manifest,
    /// The index.
    Index,
    /// The descriptors of the manifests within the index.
    ManifestDescriptor,
    /// The descriptor of the index, where an index holds it.
    IndexDescriptor,
}

/// Keys and values, sorted by key.
pub type Labels = BTreeMap<String, String>;

/// What labels are made of, beside the facts.
#[derive(Clone, Copy, Debug)]
pub struct LabelInput<'a> {
    /// The user's own, in the order in which they were given: the last of a key wins, and wins
    /// over what castoff would say. Both parts may have expressions.
    pub own: &'a [(String, String)],
    /// The main version ([`super::Computed::version`]).
    pub version: Option<&'a str>,
    /// Where the date comes from.
    pub created: Created,
}

/// The labels: the eight of the OCI image specification ("Pre-Defined Annotation Keys") that can
/// be known, and the user's own.
///
/// What is not known is an empty label and not a missing one, as with docker/metadata-action: a
/// missing one would show the base image's.
pub fn labels(
    input: &LabelInput<'_>,
    facts: &Facts,
    names: &Names<'_>,
) -> Result<(Labels, Vec<Warning>), Error> {
    said(LabelKind::Label, input, facts, names)
}

/// The annotations, which are computed as [`labels`] are; the same on every level.
pub fn annotations(
    input: &LabelInput<'_>,
    facts: &Facts,
    names: &Names<'_>,
) -> Result<(Labels, Vec<Warning>), Error> {
    said(LabelKind::Annotation, input, facts, names)
}

fn said(
    kind: LabelKind,
    input: &LabelInput<'_>,
    facts: &Facts,
    names: &Names<'_>,
) -> Result<(Labels, Vec<Warning>), Error> {
    let renderer = Renderer::new(facts, names, None);
    let created = match input.created {
        // Where there is no commit, nobody expects its date.
        Created::Commit if facts.context.sha.is_some() => renderer.commit_time(),
        Created::Commit | Created::Now => facts.clock.now,
    };
    let project = facts.ci.as_ref().map(|ci| &ci.project);
    let git = facts.git.as_ref();
    let page = project
        .and_then(|project| project.url.clone())
        .or_else(|| git?.page.clone())
        .unwrap_or_default();
    let title = project
        .and_then(|project| project.name.clone())
        .or_else(|| {
            page.rsplit('/')
                .next()
                .map(str::to_owned)
                .filter(|name| !name.is_empty())
        })
        .unwrap_or_else(|| names.project.to_owned());
    let of_project = |value: fn(&crate::facts::Project) -> Option<&String>| {
        project.and_then(value).cloned().unwrap_or_default()
    };
    let known = [
        ("title", title),
        ("description", of_project(|it| it.description.as_ref())),
        ("url", page.clone()),
        ("source", page),
        ("version", input.version.unwrap_or_default().to_owned()),
        ("created", created.to_string()),
        ("revision", facts.context.sha.clone().unwrap_or_default()),
        ("licenses", of_project(|it| it.license.as_ref())),
    ];
    let mut labels: Labels = known
        .into_iter()
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value))
        .collect();
    for (entry, (key, value)) in input.own.iter().enumerate() {
        let evaluated = |text: &str| {
            let template = Template::parse(text).map_err(LabelProblem::Expression)?;
            renderer.global(&template).map_err(LabelProblem::Render)
        };
        let refused = |problem| Error::Label {
            kind,
            entry,
            key: printable(key, 120),
            problem,
        };
        let name = evaluated(key).map_err(refused)?;
        if name.trim().is_empty() {
            return Err(refused(LabelProblem::NoKey));
        }
        labels.insert(name, evaluated(value).map_err(refused)?);
    }
    Ok((labels, renderer.warnings()))
}

/// Which facts the user's own labels need that cost time to find out. What is no template is for
/// [`labels`] to refuse.
pub fn label_wants(own: &[(String, String)]) -> Wants {
    let templates = own
        .iter()
        .flat_map(|(key, value)| [key, value])
        .filter_map(|text| Template::parse(text).ok());
    super::wants_of(&templates.collect::<Vec<_>>())
}

/// Reads lists of `key=value`, as `--label` and `--annotation` give them. A comment (`# …`) is skipped, as
/// docker/metadata-action does.
///
/// What is no `key=value` is an error, where the action drops it without a word, and so is an empty key,
/// which no image can have: on a command line both are slips of the pen, and the label that was meant would be
/// missed only after it was published.
pub fn keys_and_values(kind: LabelKind, texts: &[String]) -> Result<Vec<(String, String)>, Error> {
    let pair = |(entry, text): (usize, &String)| match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Error::Label {
            kind,
            entry,
            key: printable(text, 120),
            problem: LabelProblem::NoValue,
        }),
    };
    let texts = texts.iter().enumerate();
    texts
        .filter(|(_, text)| !text.trim_start().starts_with('#'))
        .map(pair)
        .collect()
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 4] = [
        Self::Manifest,
        Self::Index,
        Self::ManifestDescriptor,
        Self::IndexDescriptor,
    ];

    /// The levels of a list such as `manifest,index`, which is also the form of
    /// `DOCKER_METADATA_ANNOTATIONS_LEVELS`.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Error> {
        text.split(',').map(|level| level.trim().parse()).collect()
    }

    /// The level's name, as buildx writes it before a colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Index => "index",
            Self::ManifestDescriptor => "manifest-descriptor",
            Self::IndexDescriptor => "index-descriptor",
        }
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == text)
            .ok_or_else(|| Error::Level {
                nearest: nearest(text, &Self::ALL.map(Self::name)),
                text: printable(text, 40),
            })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
