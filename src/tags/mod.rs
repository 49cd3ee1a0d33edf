//! Tag rules: from rules and facts to tags, labels and annotations, and why.
//!
//! Knows the rule strings of docker/metadata-action, what they mean, and where castoff differs on
//! purpose. Pure: no files, no environment, no clock, no registry. It must not know where the
//! rules come from, what the tags are for, or what they point to now.
//!
//! Start reading at [`RuleSet`] and [`compute()`]. The way of a rule: `csv` splits it, `rule` reads
//! it, `verdict` asks whether it gives something (with `render`, `version` and `regex`), `compute`
//! puts the results together, and `channel` says how each tag moves.

mod channel;
mod commas;
mod compute;
mod csv;
mod error;
mod explain;
mod flavor;
mod image;
mod labels;
mod moment;
mod number;
mod regex;
mod render;
mod rule;
mod template;
mod verdict;
mod version;
mod warning;

#[cfg(test)]
mod tests;

pub use channel::{Channel, Fixed, Order};
pub use compute::{Computed, ComputedTag, compute};
pub use csv::CsvError;
pub use error::{Error, FlavorProblem, ImageProblem, LabelKind, LabelProblem, RuleProblem};
pub use explain::{Explanation, LatestReason, Outcome, Role, Silence};
pub use flavor::{Flavor, Latest};
pub use image::Image;
pub use labels::{
    Created, LabelInput, Labels, Level, annotations, keys_and_values, label_wants, labels,
};
pub use regex::{Pattern, PatternError};
pub use render::RenderError;
pub use rule::Rule;
pub use template::{Template, TemplateError};
pub use warning::{NoTag, Warning};

use crate::facts::Wants;
use crate::printable::one_line as printable;

/// Whom the tags are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'a> {
    /// The service: `{{service}}`.
    pub service: &'a str,
    /// The project: `{{project}}`.
    pub project: &'a str,
}

/// What is done about a working tree that differs from its commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dirty {
    /// Nothing.
    #[default]
    Allow,
    /// Every tag ends with `-dirty`, `latest` too, so that none of the real ones moves.
    Suffix,
    /// There are no tags, but an error.
    Refuse,
}

/// Tag rules and the flavor around them, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSet {
    rules: Vec<Rule>,
    flavor: Flavor,
    dirty: Dirty,
    warnings: Vec<Warning>,
}

/// What is meant where no rules are given (docker/metadata-action, `tag.ts`).
const DEFAULT_RULES: [&str; 4] = [
    "type=schedule",
    "type=ref,event=branch",
    "type=ref,event=tag",
    "type=ref,event=pr",
];

impl RuleSet {
    /// Reads rules and flavor. Each entry may have several lines, and lines that begin with `#`
    /// are comments; where no rule is left, the default ones are meant.
    pub fn parse<R: AsRef<str>, F: AsRef<str>>(rules: &[R], flavor: &[F]) -> Result<Self, Error> {
        let mut set = Self {
            rules: Vec::new(),
            flavor: Flavor::parse(flavor)?,
            dirty: Dirty::default(),
            warnings: Vec::new(),
        };
        for (entry, text) in rules.iter().enumerate() {
            set.add(entry, text.as_ref())?;
        }
        if set.rules.is_empty() {
            for text in DEFAULT_RULES {
                set.add(0, text)?;
            }
        }
        Ok(set)
    }

    fn add(&mut self, entry: usize, text: &str) -> Result<(), Error> {
        let first = self.rules.len();
        let rules = Rule::parse_all(text, entry, first, &mut self.warnings)?;
        self.rules.extend(rules);
        Ok(())
    }

    /// The same rules, with another answer to a dirty tree.
    #[must_use]
    pub fn with_dirty(mut self, dirty: Dirty) -> Self {
        self.dirty = dirty;
        self
    }

    /// The rules, in the order in which they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// One rule, counted from 0.
    pub fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    /// What is odd about the rules themselves. [`compute()`] repeats it.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Which facts the rules need that cost time to find out.
    pub fn wants(&self) -> Wants {
        let flavor = [&self.flavor.prefix.template, &self.flavor.suffix.template];
        let templates = self.rules.iter().flat_map(Rule::templates).chain(flavor);
        let of_settings = Wants {
            reference: true,
            changes: self.dirty != Dirty::Allow,
            ..Wants::default()
        };
        of_settings | wants_of(&templates.cloned().collect::<Vec<_>>())
    }

    /// The rules, the highest priority first; of equal ones, the first given first.
    fn by_priority(&self) -> Vec<&Rule> {
        let mut sorted: Vec<&Rule> = self.rules.iter().collect();
        sorted.sort_by(|left, right| right.priority.total_cmp(&left.priority));
        sorted
    }
}

/// What the expressions in templates ask of the world.
fn wants_of(templates: &[Template]) -> Wants {
    let uses = |name: &str| templates.iter().any(|template| template.uses(name));
    Wants {
        reference: false,
        changes: uses("dirty"),
        describe: uses("describe"),
        on_branch: uses("on_branch"),
    }
}

/// The known name that is nearest to what was typed, if one is near.
fn nearest(typed: &str, known: &[&'static str]) -> Option<&'static str> {
    let typed = typed.to_lowercase();
    if typed.len() > 100 {
        return None;
    }
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&typed, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
