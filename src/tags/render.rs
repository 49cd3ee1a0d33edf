//! What expressions mean.

use std::cell::RefCell;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::moment;
use super::number::number;
use super::template::{Argument, Expression, Part, Template};
use super::warning::Warning;
use super::{Names, nearest, printable};
use crate::facts::Facts;

/// The longest text that a template may become.
const MAX_RENDERED: usize = 64 * 1024;

/// The expressions that can stand everywhere.
pub(super) const EXPRESSIONS: [&str; 14] = [
    "branch",
    "tag",
    "sha",
    "base_ref",
    "is_default_branch",
    "is_not_default_branch",
    "date",
    "commit_date",
    "service",
    "project",
    "dirty",
    "describe",
    "env",
    "on_branch",
];

/// Why an expression cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// An expression that is none, with something behind its name.
    #[error("`{name}` is no expression")]
    Unknown {
        /// Its name, shortened.
        name: String,
        /// The nearest expression.
        nearest: Option<&'static str>,
    },
    /// A date without its format, or with something else than a format.
    #[error("`{name}` takes one format in quotes, and `tz='Zone'`")]
    DateArguments {
        /// `date` or `commit_date`.
        name: String,
    },
    /// A part of a version with something behind its name.
    #[error("`{name}` takes no argument")]
    TakesNothing {
        /// The part.
        name: &'static str,
    },
    /// A time zone that is none.
    #[error("unknown time zone `{zone}`")]
    UnknownZone {
        /// What was given, shortened.
        zone: String,
        /// The nearest zone.
        nearest: Option<String>,
    },
    /// A result that is far too long.
    #[error("the result is too long")]
    TooLong,
    /// A variable whose name says that it holds a secret.
    #[error("`env.{name}` looks like a secret, and tags and labels are public")]
    Secret {
        /// The variable.
        name: String,
    },
    /// `DOCKER_METADATA_SHORT_SHA_LENGTH` is no number.
    #[error("DOCKER_METADATA_SHORT_SHA_LENGTH is `{text}`, which is no number")]
    ShortLength {
        /// Its value, shortened.
        text: String,
    },
    /// What `enable` comes to is neither true nor false.
    #[error("it comes to `{text}`, not true or false")]
    NotBoolean {
        /// What it comes to, shortened.
        text: String,
    },
}

impl RenderError {
    /// The next step for the user.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } => super::error::did_you_mean(*nearest),
            Self::UnknownZone { nearest, .. } => Some(match nearest {
                Some(zone) => format!("did you mean `{zone}`?"),
                None => "time zones are named as in Europe/Berlin or Asia/Tokyo".to_owned(),
            }),
            Self::DateArguments { name } => Some(format!("for example {{{{{name} 'YYYYMMDD'}}}}")),
            Self::Secret { .. } => {
                Some("give the value another name if it is meant to be public".to_owned())
            }
            Self::NotBoolean { .. } => Some(
                "for example {{is_default_branch}}, or an expression that is empty here".to_owned(),
            ),
            Self::TakesNothing { .. } | Self::TooLong | Self::ShortLength { .. } => None,
        }
    }
}

/// The fields that a version's pattern knows: name and value.
pub(super) type Fields<'a> = &'a [(&'static str, String)];

/// Evaluates expressions with what is known here and now, and remembers what was odd.
pub(super) struct Renderer<'a> {
    facts: &'a Facts,
    names: &'a Names<'a>,
    rule: Option<usize>,
    warnings: RefCell<Vec<Warning>>,
}

impl<'a> Renderer<'a> {
    /// For a rule, or for a flavor or label.
    pub(super) fn new(facts: &'a Facts, names: &'a Names<'a>, rule: Option<usize>) -> Self {
        Self {
            facts,
            names,
            rule,
            warnings: RefCell::default(),
        }
    }

    /// What was odd, once each.
    pub(super) fn warnings(self) -> Vec<Warning> {
        self.warnings.into_inner()
    }

    fn warn(&self, warning: Warning) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// With every expression.
    pub(super) fn global(&self, template: &Template) -> Result<String, RenderError> {
        render(template, |expression| self.expression(expression))
    }

    /// With dates only, as the pattern of a schedule.
    pub(super) fn dates(&self, template: &Template) -> Result<String, RenderError> {
        render(template, |expression| match expression.name().as_str() {
            "date" | "commit_date" => self.expression(expression),
            _ => self.unknown(expression, &["date", "commit_date"]),
        })
    }

    /// With the fields of a version only.
    pub(super) fn version(
        &self,
        template: &Template,
        fields: Fields<'_>,
    ) -> Result<String, RenderError> {
        render(template, |expression| {
            let field = fields.iter().find(|(name, _)| expression.is_named(name));
            if let Some((name, value)) = field {
                // What the action hands to Handlebars are texts for a semantic version, and for one
                // of Python functions, which do not mind an argument.
                if expression.has_arguments() && fields.iter().any(|(name, _)| *name == "build") {
                    return Err(RenderError::TakesNothing { name });
                }
                return Ok(value.clone());
            }
            let known: Vec<&'static str> = fields.iter().map(|(name, _)| *name).collect();
            self.unknown(expression, &known)
        })
    }

    fn expression(&self, expression: &Expression) -> Result<String, RenderError> {
        let context = &self.facts.context;
        let or_empty = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let name = match expression.path.as_slice() {
            [only] => only.as_str(),
            [env, variable] if env == "env" => return self.variable(variable),
            _ => return self.unknown(expression, &EXPRESSIONS),
        };
        Ok(match name {
            "branch" => or_empty(context.branch()),
            "tag" => or_empty(context.tag()),
            "sha" => self.short_sha()?,
            "base_ref" => or_empty(context.base_ref.as_deref()),
            "is_default_branch" => context.is_default_branch().to_string(),
            "is_not_default_branch" => (!context.is_default_branch()).to_string(),
            "date" => date(expression, self.facts.clock.now)?,
            "commit_date" => date(expression, self.commit_time())?,
            "service" => self.names.service.to_owned(),
            "project" => self.names.project.to_owned(),
            "dirty" => self.is_dirty().to_string(),
            "describe" => self.describe()?,
            "on_branch" => {
                if context.on_branch.is_none() && context.tag().is_some() {
                    self.warn(Warning::NoBranchOfTag);
                }
                or_empty(context.on_branch.as_deref())
            }
            _ => return self.unknown(expression, &EXPRESSIONS),
        })
    }

    /// Nothing, with a warning; with arguments it is an error (Handlebars, `helperMissing`).
    fn unknown(
        &self,
        expression: &Expression,
        known: &[&'static str],
    ) -> Result<String, RenderError> {
        let full_name = expression.name();
        let nearest = nearest(&full_name, known);
        let name = printable(&full_name, 40);
        if expression.has_arguments() {
            return Err(RenderError::Unknown { name, nearest });
        }
        self.warn(Warning::UnknownExpression {
            rule: self.rule,
            name,
            nearest,
        });
        Ok(String::new())
    }

    fn variable(&self, name: &str) -> Result<String, RenderError> {
        let is_secret = name.split('_').any(|word| {
            let word = word.to_ascii_uppercase();
            [
                "TOKEN",
                "SECRET",
                "PASSWORD",
                "PASSWD",
                "PASS",
                "CREDENTIALS",
                "PAT",
            ]
            .contains(&word.as_str())
        }) || ["PRIVATE_KEY", "API_KEY", "ACCESS_KEY", "APIKEY"]
            .iter()
            .any(|end| name.to_ascii_uppercase().ends_with(end));
        if is_secret {
            return Err(RenderError::Secret {
                name: printable(name, 80),
            });
        }
        if let Some(value) = self.facts.environment.get(name) {
            return Ok(value.to_owned());
        }
        self.warn(Warning::NoVariable {
            name: printable(name, 80),
        });
        Ok(String::new())
    }

    /// The commit's date, or now where it is not known.
    pub(super) fn commit_time(&self) -> Timestamp {
        self.facts.context.commit_time.unwrap_or_else(|| {
            self.warn(Warning::NoCommitDate);
            self.facts.clock.now
        })
    }

    /// Seven digits of the commit's name, or as many as `DOCKER_METADATA_SHORT_SHA_LENGTH` says.
    pub(super) fn short_sha(&self) -> Result<String, RenderError> {
        let sha = self.facts.context.sha.as_deref().unwrap_or_default();
        let variable = "DOCKER_METADATA_SHORT_SHA_LENGTH";
        let Some(text) = self.facts.environment.non_empty(variable) else {
            return Ok(first_characters(sha, 7));
        };
        let length = number(text).ok_or_else(|| RenderError::ShortLength {
            text: printable(text, 40),
        })?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from float keeps to the integer's bounds, as JavaScript's substring does"
        )]
        let length = length as usize;
        Ok(first_characters(sha, length))
    }

    fn is_dirty(&self) -> bool {
        let changes = self.facts.git.as_ref().and_then(|git| git.changes.as_ref());
        changes.is_some_and(crate::facts::Changes::is_dirty)
    }

    fn describe(&self) -> Result<String, RenderError> {
        match self.facts.git.as_ref().and_then(|git| git.describe.clone()) {
            Some(described) => Ok(described),
            None => self.short_sha(),
        }
    }
}

/// `{{date 'FORMAT' tz='Zone'}}`.
fn date(expression: &Expression, moment: Timestamp) -> Result<String, RenderError> {
    let wrong = || RenderError::DateArguments {
        name: expression.name(),
    };
    let format = match expression.arguments.as_slice() {
        [Argument::Text(format)] => format.as_str(),
        // A bare word is nothing in Handlebars, and without a format moment writes ISO 8601.
        [Argument::Nothing] => "",
        _ => return Err(wrong()),
    };
    let mut zone = TimeZone::UTC;
    for (key, value) in &expression.named {
        match (key.as_str(), value) {
            ("tz", Argument::Text(name)) if !name.is_empty() => zone = self::zone(name)?,
            _ => return Err(wrong()),
        }
    }
    moment::format(&moment.to_zoned(zone), format).ok_or(RenderError::TooLong)
}

/// A time zone of the database that is built in, so that every machine gives the same answer.
fn zone(name: &str) -> Result<TimeZone, RenderError> {
    let database = TimeZoneDatabase::bundled();
    database.get(name).map_err(|_| {
        let likeness = |zone: &str| {
            strsim::jaro_winkler(&zone.to_ascii_lowercase(), &name.to_ascii_lowercase())
        };
        let nearest = database
            .available()
            .map(|zone| (likeness(zone.as_str()), zone))
            .filter(|(likeness, _)| *likeness > 0.85 && name.len() < 100)
            .max_by(|left, right| left.0.total_cmp(&right.0))
            .map(|(_, zone)| zone.as_str().to_owned());
        RenderError::UnknownZone {
            zone: printable(name, 80),
            nearest,
        }
    })
}

fn first_characters(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

fn render(
    template: &Template,
    mut evaluate: impl FnMut(&Expression) -> Result<String, RenderError>,
) -> Result<String, RenderError> {
    let mut rendered = String::new();
    for part in template.parts() {
        match part {
            Part::Text(text) => rendered.push_str(text),
            Part::Expression(expression) => rendered.push_str(&evaluate(expression)?),
            Part::Comment => {}
        }
        if rendered.len() > MAX_RENDERED {
            return Err(RenderError::TooLong);
        }
    }
    Ok(rendered)
}
