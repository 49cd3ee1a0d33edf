//! What can be wrong with rules, flavors, images and labels.

use super::csv::CsvError;
use super::regex::PatternError;
use super::render::RenderError;
use super::template::TemplateError;

/// Why no tags can be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tag rule is wrong.
    #[error("tag rule {} `{text}`: {problem}", index + 1)]
    Rule {
        /// Which rule, counted from 0 over all rules of the list.
        index: usize,
        /// Which entry of the list it is in, counted from 0: an entry may have several lines.
        entry: usize,
        /// The rule, shortened.
        text: String,
        /// What is wrong with it.
        problem: RuleProblem,
    },
    /// A flavor is wrong.
    #[error("flavor `{text}`: {problem}")]
    Flavor {
        /// Which entry of the list it is, counted from 0.
        entry: usize,
        /// The entry, shortened.
        text: String,
        /// What is wrong with it.
        problem: FlavorProblem,
    },
    /// An image is wrong.
    #[error("image `{text}`: {problem}")]
    Image {
        /// The entry, shortened.
        text: String,
        /// What is wrong with it.
        problem: ImageProblem,
    },
    /// A label or an annotation is wrong.
    #[error("{kind} `{key}`: {problem}")]
    Label {
        /// Which of the two.
        kind: LabelKind,
        /// Which entry of the list it is, counted from 0.
        entry: usize,
        /// Its key, shortened.
        key: String,
        /// What is wrong with it.
        problem: LabelProblem,
    },
    /// A level of annotations is none.
    #[error("`{text}` is no level of annotations")]
    Level {
        /// What was given, shortened.
        text: String,
        /// The nearest level.
        nearest: Option<&'static str>,
    },
    /// The working tree has changes, and the settings refuse to publish those.
    #[error("the working tree has changes: {}{}", files.join(", "), if *more { ", …" } else { "" })]
    Dirty {
        /// The first files.
        files: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// Whether the working tree has changes is not known, and the settings ask for it.
    #[error("whether the working tree has changes is not known: there is no git repository")]
    DirtUnknown,
}

/// What is wrong with a tag rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// It is no record of comma-separated fields.
    #[error(transparent)]
    Csv(CsvError),
    /// `type` names none.
    #[error("unknown type `{name}`")]
    UnknownType {
        /// What was given, shortened.
        name: String,
        /// The nearest type.
        nearest: Option<&'static str>,
    },
    /// An attribute that the type needs is missing.
    #[error("type `{kind}` needs the attribute `{attribute}`")]
    Missing {
        /// The rule's type.
        kind: &'static str,
        /// The attribute.
        attribute: &'static str,
        /// An attribute that was given, and may have been meant to be it.
        given: Option<String>,
    },
    /// An attribute has a value that it cannot have.
    #[error("`{attribute}` is `{value}`, not {expected}")]
    Value {
        /// The attribute.
        attribute: &'static str,
        /// Its value, shortened.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// An expression within an attribute is wrong.
    #[error("`{attribute}`: {error}")]
    Expression {
        /// The attribute.
        attribute: &'static str,
        /// What is wrong with it.
        error: TemplateError,
    },
    /// A regular expression is wrong.
    #[error("`{attribute}` is no regular expression: {error}")]
    Pattern {
        /// The attribute.
        attribute: &'static str,
        /// What is wrong with it.
        error: PatternError,
    },
    /// A regular expression takes too many steps on this value.
    #[error("`{attribute}` takes too many steps to match `{text}`")]
    TooHard {
        /// The attribute.
        attribute: &'static str,
        /// What was to be matched, shortened.
        text: String,
    },
    /// An expression cannot be evaluated here.
    #[error("`{attribute}`: {error}")]
    Render {
        /// The attribute.
        attribute: &'static str,
        /// Why not.
        error: RenderError,
    },
}

/// What is wrong with a flavor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlavorProblem {
    /// It is no record of comma-separated fields.
    #[error(transparent)]
    Csv(CsvError),
    /// A field has no `=`.
    #[error("`{field}` has no value")]
    NoValue {
        /// The field, shortened.
        field: String,
    },
    /// A key is none.
    #[error("unknown key `{name}`")]
    UnknownKey {
        /// What was given, shortened.
        name: String,
        /// The nearest key.
        nearest: Option<&'static str>,
    },
    /// `latest` is none of its three values.
    #[error("`latest` is `{value}`, not auto, true or false")]
    Latest {
        /// What was given, shortened.
        value: String,
    },
    /// `onlatest` is neither of its two values.
    #[error("`onlatest` is `{value}`, not true or false")]
    OnLatest {
        /// What was given, shortened.
        value: String,
    },
    /// An expression is wrong.
    #[error("`{key}`: {error}")]
    Expression {
        /// The key.
        key: String,
        /// What is wrong with it.
        error: TemplateError,
    },
}

/// What is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageProblem {
    /// It is no record of comma-separated fields.
    #[error(transparent)]
    Csv(CsvError),
    /// `enable` is neither of its two values.
    #[error("`enable` is `{value}`, not true or false")]
    Enable {
        /// What was given, shortened.
        value: String,
    },
    /// An attribute is none.
    #[error("unknown attribute `{name}`")]
    UnknownAttribute {
        /// What was given, shortened.
        name: String,
        /// The nearest attribute.
        nearest: Option<&'static str>,
    },
    /// There is no name.
    #[error("it has no name")]
    NoName,
}

/// What an image says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// In its configuration.
    Label,
    /// In its manifest or index.
    Annotation,
}

impl std::fmt::Display for LabelKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Label => "label",
            Self::Annotation => "annotation",
        })
    }
}

/// What is wrong with a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelProblem {
    /// It is no `key=value`.
    #[error("it is no `key=value`")]
    NoValue,
    /// Its key is empty, or comes to nothing.
    #[error("its key is empty")]
    NoKey,
    /// An expression is wrong.
    #[error(transparent)]
    Expression(TemplateError),
    /// An expression cannot be evaluated here.
    #[error(transparent)]
    Render(RenderError),
}

impl Error {
    /// The next step for the user.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Rule { problem, .. } => problem.hint(),
            Self::Flavor { problem, .. } => match problem {
                FlavorProblem::UnknownKey { nearest, .. } => did_you_mean(*nearest)
                    .or_else(|| Some("a flavor has latest, prefix, suffix and onlatest".to_owned())),
                FlavorProblem::NoValue { .. } => {
                    Some("write it as key=value, for example latest=auto".to_owned())
                }
                FlavorProblem::Expression { error, .. } => template_hint(error),
                FlavorProblem::Csv(_)
                | FlavorProblem::Latest { .. }
                | FlavorProblem::OnLatest { .. } => None,
            },
            Self::Image { problem, .. } => match problem {
                ImageProblem::UnknownAttribute { nearest, .. } => did_you_mean(*nearest),
                ImageProblem::NoName => Some("write it as NAME or name=NAME".to_owned()),
                ImageProblem::Csv(_) | ImageProblem::Enable { .. } => None,
            },
            Self::Label { problem, .. } => match problem {
                LabelProblem::NoValue => Some("write it as key=value".to_owned()),
                LabelProblem::NoKey => None,
                LabelProblem::Expression(error) => template_hint(error),
                LabelProblem::Render(error) => error.hint(),
            },
            Self::Level { text, .. } if text.contains('[') => Some(
                "an annotation is written for all platforms alike: leave out what is in brackets"
                    .to_owned(),
            ),
            Self::Level { nearest, .. } => did_you_mean(*nearest).or_else(|| {
                Some(
                    "levels are manifest, index, manifest-descriptor and index-descriptor"
                        .to_owned(),
                )
            }),
            Self::Dirty { .. } => Some(
                "commit or stash them, or set `dirty = \"suffix\"` to mark the tags, or `dirty = \"allow\"`"
                    .to_owned(),
            ),
            Self::DirtUnknown => Some("set `dirty = \"allow\"` to publish without git".to_owned()),
        }
    }
}

impl RuleProblem {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Csv(CsvError::QuoteWithin) => Some(
                "quote the whole field: \"pattern=a,b\", with each `\"` in it doubled".to_owned(),
            ),
            Self::UnknownType { nearest, .. } => did_you_mean(*nearest)
                .or_else(|| Some(format!("types are {}", super::rule::TYPES.join(", ")))),
            Self::Missing {
                given, attribute, ..
            } => match given {
                Some(given) => Some(format!("`{given}` was given: did you mean `{attribute}`?")),
                None => Some(format!("add `,{attribute}=…`")),
            },
            Self::Pattern {
                error: PatternError::Syntax { .. },
                ..
            } => Some("patterns are JavaScript's regular expressions".to_owned()),
            Self::Pattern {
                error: PatternError::Flags { .. },
                ..
            } => Some("write /expression/flags, or leave the first slash away".to_owned()),
            Self::Expression { error, .. } => template_hint(error),
            Self::Render { error, .. } => error.hint(),
            Self::TooHard { .. } => {
                Some("avoid repetitions within repetitions, such as (a+)+".to_owned())
            }
            Self::Csv(_) | Self::Value { .. } | Self::Pattern { .. } => None,
        }
    }
}

fn template_hint(error: &TemplateError) -> Option<String> {
    match error {
        TemplateError::Unsupported { .. } | TemplateError::Unexpected { .. } => Some(
            "an expression is {{name}} or {{date 'FORMAT' tz='Zone'}}; a text in it stands in quotes"
                .to_owned(),
        ),
        TemplateError::NotClosed { .. } => None,
    }
}

pub(super) fn did_you_mean(nearest: Option<&'static str>) -> Option<String> {
    nearest.map(|name| format!("did you mean `{name}`?"))
}
