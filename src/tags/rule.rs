use std::fmt;

use super::commas::rejoined;
use super::csv::{self, Field};
use super::error::{Error, RuleProblem};
use super::number::number;
use super::regex::Pattern;
use super::template::Template;
use super::warning::Warning;

/// The types of rules, in the order of their priorities.
pub(super) const TYPES: [&str; 8] = [
    "schedule", "semver", "pep440", "match", "edge", "ref", "raw", "sha",
];

/// A tag rule: `type=semver,pattern={{version}}`.
///
/// The strings are those of docker/metadata-action (`tag.ts`), so that users can bring them along.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which one of all rules it is, counted from 0.
    pub(super) index: usize,
    pub(super) entry: usize,
    pub(super) source: String,
    pub(super) kind: Kind,
    pub(super) enable: Template,
    /// Never NaN.
    pub(super) priority: f64,
    pub(super) prefix: Option<Template>,
    pub(super) suffix: Option<Template>,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Schedule {
        pattern: Template,
    },
    Semver(Versioned),
    Pep440(Versioned),
    Match {
        pattern: Pattern,
        group: Group,
        value: Option<Template>,
    },
    Edge {
        /// `None`: the default branch.
        branch: Option<String>,
    },
    Ref(Event),
    Raw {
        value: Template,
    },
    Sha(Digits),
}

/// What the rules for versions share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Versioned {
    pub(super) pattern: Template,
    /// What the version is taken from; `None`: the git tag.
    pub(super) value: Option<Template>,
    /// What of that is the version.
    pub(super) taken: Option<Pattern>,
}

/// A group of a match. JavaScript looks a group up by its text, so that `01` is a number and yet
/// no group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group(pub(super) String);

impl Group {
    pub(super) fn index(&self) -> Option<usize> {
        let index: usize = self.0.parse().ok()?;
        (index.to_string() == self.0).then_some(index)
    }
}

/// What a `ref` rule waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Branch,
    Tag,
    PullRequest,
}

/// How much of the commit's name a `sha` rule takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// Seven, or what `DOCKER_METADATA_SHORT_SHA_LENGTH` says.
    Short,
    Long,
    /// `length=`.
    Exactly(usize),
}

impl Kind {
    /// The name of the type.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Schedule { .. } => "schedule",
            Self::Semver(_) => "semver",
            Self::Pep440(_) => "pep440",
            Self::Match { .. } => "match",
            Self::Edge { .. } => "edge",
            Self::Ref(_) => "ref",
            Self::Raw { .. } => "raw",
            Self::Sha(_) => "sha",
        }
    }
}

fn default_priority(kind: &str) -> f64 {
    match kind {
        "schedule" => 1000.0,
        "semver" | "pep440" => 900.0,
        "match" => 800.0,
        "edge" => 700.0,
        "ref" => 600.0,
        "raw" => 200.0,
        _ => 100.0,
    }
}

/// The attributes of a type, beside those that all types have.
fn attributes(kind: &str) -> &'static [&'static str] {
    match kind {
        "schedule" => &["pattern"],
        "semver" | "pep440" => &["pattern", "value", "match"],
        "match" => &["pattern", "group", "value"],
        "edge" => &["branch"],
        "ref" => &["event"],
        "raw" => &["value"],
        _ => &["format", "length"],
    }
}

const COMMON: [&str; 5] = ["type", "enable", "priority", "prefix", "suffix"];

impl Rule {
    /// The rule as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The name of its type, such as `semver`.
    pub fn kind(&self) -> &'static str {
        self.kind.name()
    }

    /// Which entry of the list it was read from, counted from 0. An entry may have several lines,
    /// and so several rules. The default rules stand in none, which is 0, too.
    pub fn entry(&self) -> usize {
        self.entry
    }

    /// The rules of one entry of the list: one for each of its lines.
    pub(super) fn parse_all(
        text: &str,
        entry: usize,
        first_index: usize,
        warnings: &mut Vec<Warning>,
    ) -> Result<Vec<Self>, Error> {
        let refused = |index: usize, text: &str, problem| Error::Rule {
            index,
            entry,
            text: super::printable(text.trim(), 200),
            problem,
        };
        let records = csv::lines(text)
            .map_err(|error| refused(first_index, text, RuleProblem::Csv(error)))?;
        let mut rules = Vec::new();
        for record in records {
            let index = first_index + rules.len();
            let attributes =
                Attributes::of(&record).map_err(|problem| refused(index, text, problem))?;
            let source = attributes.source.clone();
            let rule = attributes
                .rule(entry, index, warnings)
                .map_err(|problem| refused(index, &source, problem))?;
            rules.push(rule);
        }
        Ok(rules)
    }

    /// Every template of the rule.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let own: [Option<&Template>; 2] = match &self.kind {
            Kind::Schedule { .. } | Kind::Edge { .. } | Kind::Ref(_) | Kind::Sha(_) => [None, None],
            Kind::Semver(it) | Kind::Pep440(it) => [it.value.as_ref(), None],
            Kind::Match { value, .. } => [value.as_ref(), None],
            Kind::Raw { value } => [Some(value), None],
        };
        own.into_iter()
            .flatten()
            .chain([&self.enable])
            .chain(&self.prefix)
            .chain(&self.suffix)
    }
}

/// The attributes of a rule, the last of each.
struct Attributes {
    source: String,
    kind: &'static str,
    given: Vec<(String, String)>,
}

impl Attributes {
    fn of(record: &[Field]) -> Result<Self, RuleProblem> {
        let kind = kind(record)?;
        let fields = rejoined(record, kind);
        let source = csv::line(&fields);
        let mut given: Vec<(String, String)> = Vec::new();
        for field in &fields {
            let (key, value) = key_and_value(&field.text);
            if key == "type" {
                continue;
            }
            match given.iter_mut().find(|(known, _)| *known == key) {
                Some((_, last)) => value.clone_into(last),
                None => given.push((key, value.to_owned())),
            }
        }
        Ok(Self {
            source,
            kind,
            given,
        })
    }

    fn get(&self, attribute: &str) -> Option<&str> {
        self.given
            .iter()
            .find(|(key, _)| key == attribute)
            .map(|(_, value)| value.as_str())
    }

    fn required(&self, attribute: &'static str) -> Result<&str, RuleProblem> {
        self.get(attribute).ok_or_else(|| RuleProblem::Missing {
            kind: self.kind,
            attribute,
            given: self
                .unknown()
                .find(|(key, _)| super::nearest(key, &[attribute]).is_some())
                .map(|(key, _)| super::printable(key, 40)),
        })
    }

    /// The attributes that the type does not have.
    fn unknown(&self) -> impl Iterator<Item = &(String, String)> {
        let known = attributes(self.kind);
        self.given.iter().filter(move |(key, _)| {
            !known.contains(&key.as_str()) && !COMMON.contains(&key.as_str())
        })
    }

    fn template(&self, attribute: &'static str) -> Result<Option<Template>, RuleProblem> {
        self.get(attribute)
            .map(|text| {
                Template::parse(text).map_err(|error| RuleProblem::Expression { attribute, error })
            })
            .transpose()
    }

    fn required_template(&self, attribute: &'static str) -> Result<Template, RuleProblem> {
        self.required(attribute)?;
        Ok(self
            .template(attribute)?
            .unwrap_or_else(|| Template::literal("")))
    }

    /// An attribute that is the same as not given when it is empty.
    fn optional_template(&self, attribute: &'static str) -> Result<Option<Template>, RuleProblem> {
        Ok(self.template(attribute)?.filter(|it| !it.is_empty()))
    }

    fn rule(
        self,
        entry: usize,
        index: usize,
        warnings: &mut Vec<Warning>,
    ) -> Result<Rule, RuleProblem> {
        let kind = self.kind()?;
        let priority = match self.get("priority").map(|text| (text, number(text))) {
            None => default_priority(self.kind),
            // JavaScript sees no difference between 0 and -0, which the sum is rid of.
            Some((_, Some(priority))) => priority + 0.0,
            Some((text, None)) => {
                warnings.push(Warning::Priority {
                    rule: index,
                    value: super::printable(text, 40),
                });
                default_priority(self.kind)
            }
        };
        for (key, _) in self.unknown() {
            let known = attributes(self.kind).iter().chain(&COMMON);
            warnings.push(Warning::UnknownAttribute {
                rule: index,
                kind: self.kind,
                name: super::printable(key, 40),
                nearest: super::nearest(key, &known.copied().collect::<Vec<_>>()),
            });
        }
        let default_prefix = match kind {
            Kind::Sha(_) => Some("sha-"),
            Kind::Ref(Event::PullRequest) => Some("pr-"),
            _ => None,
        };
        Ok(Rule {
            index,
            entry,
            kind,
            enable: self
                .template("enable")?
                .unwrap_or_else(|| Template::literal("true")),
            priority,
            prefix: self
                .template("prefix")?
                .or_else(|| default_prefix.map(Template::literal)),
            suffix: self.template("suffix")?,
            source: self.source,
        })
    }

    fn kind(&self) -> Result<Kind, RuleProblem> {
        Ok(match self.kind {
            "schedule" => Kind::Schedule {
                pattern: self
                    .template("pattern")?
                    .unwrap_or_else(|| Template::literal("nightly")),
            },
            "semver" => Kind::Semver(self.versioned()?),
            "pep440" => Kind::Pep440(self.versioned()?),
            "match" => Kind::Match {
                pattern: Pattern::delimited(self.required("pattern")?).map_err(|error| {
                    RuleProblem::Pattern {
                        attribute: "pattern",
                        error,
                    }
                })?,
                group: self.group()?,
                value: self.optional_template("value")?,
            },
            "edge" => Kind::Edge {
                branch: self
                    .get("branch")
                    .filter(|branch| !branch.is_empty())
                    .map(str::to_owned),
            },
            "ref" => Kind::Ref(match self.required("event")? {
                "branch" => Event::Branch,
                "tag" => Event::Tag,
                "pr" => Event::PullRequest,
                value => return Err(not(value, "event", "branch, tag or pr")),
            }),
            "raw" => Kind::Raw {
                value: self.required_template("value")?,
            },
            _ => Kind::Sha(self.digits()?),
        })
    }

    fn versioned(&self) -> Result<Versioned, RuleProblem> {
        Ok(Versioned {
            pattern: self.required_template("pattern")?,
            value: self.optional_template("value")?,
            taken: self
                .get("match")
                .filter(|text| !text.is_empty())
                .map(|text| {
                    Pattern::bare(text).map_err(|error| RuleProblem::Pattern {
                        attribute: "match",
                        error,
                    })
                })
                .transpose()?,
        })
    }

    fn group(&self) -> Result<Group, RuleProblem> {
        let text = self.get("group").unwrap_or("0");
        if number(text).is_none() {
            return Err(not(text, "group", "a number"));
        }
        Ok(Group(text.to_owned()))
    }

    fn digits(&self) -> Result<Digits, RuleProblem> {
        let format = match self.get("format").unwrap_or("short") {
            "short" => Digits::Short,
            "long" => Digits::Long,
            value => return Err(not(value, "format", "short or long")),
        };
        match self.get("length") {
            None => Ok(format),
            Some(text) => match text.parse() {
                Ok(length @ 1..=64) => Ok(Digits::Exactly(length)),
                _ => Err(not(text, "length", "a number from 1 to 64")),
            },
        }
    }
}

fn not(value: &str, attribute: &'static str, expected: &'static str) -> RuleProblem {
    RuleProblem::Value {
        attribute,
        value: super::printable(value, 80),
        expected,
    }
}

/// Splits at the first `=` that has something before it. A field without one is the value.
pub(super) fn key_and_value(field: &str) -> (String, &str) {
    match field.split_once('=') {
        Some((key, value)) if !key.is_empty() => (key.trim().to_lowercase(), value.trim()),
        _ => ("value".to_owned(), field.trim()),
    }
}

fn kind(record: &[Field]) -> Result<&'static str, RuleProblem> {
    let mut kind = "raw";
    for field in record {
        let (key, value) = key_and_value(&field.text);
        if key == "type" {
            kind = TYPES
                .into_iter()
                .find(|name| *name == value)
                .ok_or_else(|| RuleProblem::UnknownType {
                    name: super::printable(value, 40),
                    nearest: super::nearest(value, &TYPES),
                })?;
        }
    }
    Ok(kind)
}

impl fmt::Display for Rule {
    /// The rule in a form that is read as the same rule: every attribute that was given, once.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)
    }
}
