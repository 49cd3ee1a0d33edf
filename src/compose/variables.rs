//! Replaces variables in a document, and turns text into numbers and booleans where compose does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budget::Budget;
use super::error::{Fault, Problem};
use super::node::{Map, Node, Place, Value};
use super::path::Path;
use crate::interpolate::{Interpolated, interpolate};

/// What was found odd on the way, and what was used up.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Variables that are not set, each with the first place that asks for it.
    pub unset: BTreeMap<String, Option<Place>>,
    /// Remarks, each with its place.
    pub remarks: Vec<(String, Place)>,
    /// Remarks that have no place.
    pub general: Vec<String>,
    /// What the project costs so far.
    pub budget: Budget,
}

impl Findings {
    /// Keeps the variables that were not set.
    pub(super) fn unset(&mut self, names: Vec<String>, place: Option<Place>) {
        for name in names {
            self.unset.entry(name).or_insert(place);
        }
    }
}

/// Replaces the variables of all values of `document`; keys stay as they are.
pub(super) fn replace(
    document: &mut Map,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Result<(), Box<Fault>> {
    map(document, &Path::root(), environment, findings)
}

fn map(
    map: &mut Map,
    path: &Path<'_>,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Result<(), Box<Fault>> {
    for (key, entry) in map.iter_mut() {
        value(&mut entry.node, &path.child(key), environment, findings)?;
    }
    Ok(())
}

fn value(
    node: &mut Node,
    path: &Path<'_>,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Result<(), Box<Fault>> {
    let place = node.place;
    match &mut node.value {
        Value::Map(below) => map(below, path, environment, findings),
        Value::List(items) => {
            let path = path.child("[]");
            for item in items {
                value(item, &path, environment, findings)?;
            }
            Ok(())
        }
        Value::Text(text) => {
            if text.contains('$') {
                let done = replaced(text, place, path, environment, findings)?;
                *text = Arc::from(done.text);
            }
            if let Some(cast) = path.rule(cast_of) {
                let text = Arc::clone(text);
                node.value = cast.apply(&text, place, findings).ok_or_else(|| {
                    Fault::new(
                        place,
                        Problem::Cast {
                            at: path.to_string(),
                            text: text.chars().take(80).collect(),
                            want: cast.name(),
                        },
                    )
                })?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// One text with its variables replaced.
pub(super) fn replaced(
    text: &str,
    place: Place,
    path: &Path<'_>,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Result<Interpolated, Box<Fault>> {
    let lookup = |name: &str| environment.get(name).cloned();
    let mut done = interpolate(text, &lookup).map_err(|source| {
        let problem = Problem::Variable {
            at: path.to_string(),
            variable: source.at().map(|at| Nth::of(text, at.start)),
            source,
        };
        Fault::new(place, problem)
    })?;
    findings.budget.text(done.text.len(), place)?;
    findings.unset(std::mem::take(&mut done.unset), Some(place));
    Ok(done)
}

/// Which of a text's `${` is meant: quotes, escapes and indentation move it, and leave its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nth {
    /// How many stand before it.
    before: usize,
    /// How many there are in all.
    all: usize,
}

impl Nth {
    /// That at the byte `at` of `text`.
    pub(super) fn of(text: &str, at: usize) -> Self {
        let marks = text.match_indices(MARK);
        Self {
            before: marks.clone().take_while(|(mark, _)| *mark < at).count(),
            all: marks.count(),
        }
    }

    /// The byte where it stands in what was written for the text. None where that has others, as an
    /// escape may stand for one.
    pub(super) fn in_text(self, written: &str) -> Option<usize> {
        let marks = written.match_indices(MARK);
        let (at, _) = marks.clone().nth(self.before)?;
        // Escapes are known in double quotes only.
        (!written.starts_with('"') || marks.count() == self.all).then_some(at)
    }
}

/// What a variable begins with that can be wrong.
const MARK: &str = "${";

/// What a text becomes where compose expects something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A boolean.
    Bool,
}

impl Cast {
    fn name(self) -> &'static str {
        match self {
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "a boolean",
        }
    }

    /// The value of a text; none if it has none of this type.
    pub(super) fn apply(self, text: &str, place: Place, findings: &mut Findings) -> Option<Value> {
        match self {
            Self::Int => text.parse().ok().map(Value::Int),
            Self::Float => parse_float(text).map(Value::Float),
            Self::Bool => {
                let lower = text.to_lowercase();
                let flag = match lower.as_str() {
                    "true" | "y" | "yes" | "on" => true,
                    "false" | "n" | "no" | "off" => false,
                    _ => return None,
                };
                if !matches!(lower.as_str(), "true" | "false") {
                    let remark =
                        format!("`{text}` is no boolean of YAML 1.2; please write `{flag}`");
                    findings.remarks.push((remark, place));
                }
                Some(Value::Bool(flag))
            }
        }
    }
}

/// A number as Go's `ParseFloat` reads it, without its hexadecimal form.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_lowercase();
    let name = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    if matches!(name, "inf" | "infinity" | "nan")
        || name.starts_with(|c: char| c == '.' || c.is_ascii_digit())
    {
        let float: f64 = lower.parse().ok()?;
        // Go refuses what is beyond the range.
        return (float.is_finite() || !name.starts_with(|c: char| c.is_ascii_digit()))
            .then_some(float);
    }
    None
}

/// The keys whose text is cast: compose-go's `interpolateTypeCastMapping`.
fn cast_of(path: &[&str]) -> Option<Cast> {
    let cast = match path {
        ["services", _, rest @ ..] => match rest {
            [
                "cpu_count" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime"
                | "cpu_shares" | "oom_score_adj" | "pids_limit" | "scale",
            ]
            | ["deploy", "replicas"]
            | ["deploy", "update_config" | "rollback_config", "parallelism"]
            | ["deploy", "restart_policy", "max_attempts"]
            | ["deploy", "placement", "max_replicas_per_node"]
            | ["healthcheck", "retries"]
            | ["ports", "[]", "target"]
            | ["ulimits", _]
            | ["ulimits", _, "hard" | "soft"] => Cast::Int,
            ["cpu_percent" | "cpus"]
            | [
                "deploy",
                "update_config" | "rollback_config",
                "max_failure_ratio",
            ] => Cast::Float,
            ["init" | "oom_kill_disable" | "privileged" | "read_only" | "stdin_open" | "tty"]
            | ["healthcheck", "disable"]
            | ["volumes", "[]", "read_only"]
            | ["volumes", "[]", "volume", "nocopy"] => Cast::Bool,
            _ => return None,
        },
        [
            "networks",
            _,
            "external" | "internal" | "attachable" | "enable_ipv4" | "enable_ipv6",
        ]
        | ["volumes" | "secrets" | "configs", _, "external"] => Cast::Bool,
        _ => return None,
    };
    Some(cast)
}
