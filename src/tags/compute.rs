//! From rules and facts to tags.

use super::channel::{Channel, Fixed, Order};
use super::error::{Error, RuleProblem};
use super::explain::{Explanation, LatestReason, Outcome, Role};
use super::flavor::{Affix, Latest};
use super::moment;
use super::render::{RenderError, Renderer};
use super::rule::{Kind, Rule};
use super::template::{Argument, Expression, Template};
use super::verdict::{Given, Judge, Nature, Verdict};
use super::version::{Ordered, Version};
use super::warning::{NoTag, Warning};
use super::{Dirty, Names, RuleSet, printable};
use crate::facts::Facts;
use crate::oci::Tag;

/// What a tag of a dirty tree ends with (`dirty = "suffix"`).
const DIRTY_SUFFIX: &str = "-dirty";

/// What the rules came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// The main version: the first tag. `None` where no rule gave a tag.
    pub version: Option<String>,
    /// The whole version that the tags are ordered by, whatever part of it their patterns show. `None`
    /// where no rule gave one.
    pub ordered: Option<String>,
    /// The tags in the order of the action's output: the main version, the further ones, `latest`.
    pub tags: Vec<ComputedTag>,
    /// What each rule came to, in the order in which they were asked.
    pub explanations: Vec<Explanation>,
    /// Whether `latest` was made, and why.
    pub latest: LatestReason,
    /// What was odd, in the order in which it was found.
    pub warnings: Vec<Warning>,
}

/// A tag, where it comes from, and how it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputedTag {
    /// The tag.
    pub tag: Tag,
    /// The rule that gave it, counted from 0; for `latest` the rule that decided it, `None` where
    /// the flavor did.
    pub rule: Option<usize>,
    /// How it moves.
    pub channel: Channel,
}

/// Computes the tags. Pure: the same rules, facts and names give the same tags.
pub fn compute(rules: &RuleSet, facts: &Facts, names: &Names<'_>) -> Result<Computed, Error> {
    let mut assembly = Assembly {
        rules,
        facts,
        names,
        suffix: dirty_suffix(rules.dirty, facts)?,
        tags: Vec::new(),
        first: None,
        explanations: Vec::new(),
        warnings: rules.warnings.clone(),
    };
    for rule in rules.by_priority() {
        assembly.ask(rule).map_err(|problem| Error::Rule {
            index: rule.index,
            entry: rule.entry,
            text: printable(&rule.source, 200),
            problem,
        })?;
    }
    Ok(assembly.finish())
}

/// What the settings want to be done about a dirty tree.
fn dirty_suffix(dirty: Dirty, facts: &Facts) -> Result<&'static str, Error> {
    if dirty == Dirty::Allow {
        return Ok("");
    }
    let Some(git) = &facts.git else {
        // Where there is no repository, nothing can differ from a commit; a published label
        // could still claim one.
        return match dirty {
            Dirty::Refuse if facts.context.sha.is_none() => Err(Error::DirtUnknown),
            _ => Ok(""),
        };
    };
    match &git.changes {
        Some(changes) if changes.is_dirty() => match dirty {
            Dirty::Refuse => Err(Error::Dirty {
                files: changes.files.iter().take(5).cloned().collect(),
                more: changes.more || changes.files.len() > 5,
            }),
            _ => Ok(DIRTY_SUFFIX),
        },
        _ => Ok(""),
    }
}

/// The first result, which decides more than the others.
struct First {
    rule: usize,
    makes_latest: bool,
    ordered: Option<Ordered>,
    prefix: String,
    suffix: String,
}

struct Assembly<'a> {
    rules: &'a RuleSet,
    facts: &'a Facts,
    names: &'a Names<'a>,
    /// What a dirty tree adds to every tag.
    suffix: &'static str,
    tags: Vec<(Tag, usize, Given)>,
    first: Option<First>,
    explanations: Vec<Explanation>,
    warnings: Vec<Warning>,
}

impl Assembly<'_> {
    fn ask(&mut self, rule: &Rule) -> Result<(), RuleProblem> {
        let renderer = Renderer::new(self.facts, self.names, Some(rule.index));
        let verdict = Judge {
            rule,
            facts: self.facts,
            renderer: &renderer,
            warnings: &mut self.warnings,
        }
        .verdict()?;
        let outcome = match verdict {
            Verdict::Silent(silence) => {
                self.warn(renderer.warnings());
                Outcome::Silent(silence)
            }
            Verdict::Gives(given) => {
                let flavor = &self.rules.flavor;
                let prefix = affix(&renderer, "prefix", rule.prefix.as_ref(), &flavor.prefix)?;
                let suffix = affix(&renderer, "suffix", rule.suffix.as_ref(), &flavor.suffix)?;
                self.warn(renderer.warnings());
                self.take(rule.index, given, &prefix, &suffix)
            }
        };
        self.explanations.push(Explanation {
            rule: rule.index,
            source: printable(&rule.source, 400),
            outcome,
        });
        Ok(())
    }

    fn warn(&mut self, warnings: Vec<Warning>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    fn take(&mut self, rule: usize, given: Given, prefix: &str, suffix: &str) -> Outcome {
        let before = format!("{prefix}{}{suffix}", given.value);
        if before.is_empty() {
            return Outcome::Silent(super::explain::Silence::Empty);
        }
        let after = sanitised(&format!("{before}{}", self.suffix));
        let tag = if given.value.is_empty() {
            Err(NoTag::OnlyAffixes)
        } else {
            tag(&after)
        };
        let fate = match tag {
            Err(reason) => {
                self.warnings.push(Warning::NoTag {
                    rule: Some(rule),
                    text: printable(&after, 140),
                    reason,
                });
                Role::Dropped(reason)
            }
            Ok(tag) => {
                let place = if self.first.is_none() {
                    Role::Main
                } else if self.tags.iter().any(|(known, ..)| *known == tag) {
                    Role::Repeated
                } else {
                    Role::Further
                };
                if place == Role::Main {
                    self.first = Some(First {
                        rule,
                        makes_latest: given.makes_latest,
                        ordered: ordered(&given),
                        prefix: sanitised(prefix),
                        suffix: sanitised(&format!("{suffix}{}", self.suffix)),
                    });
                }
                if place != Role::Repeated {
                    self.tags.push((tag, rule, given));
                }
                place
            }
        };
        Outcome::Fired {
            before: printable(&before, 400),
            after: printable(&after, 400),
            role: fate,
        }
    }

    fn finish(mut self) -> Computed {
        let (wanted, latest) = self.wants_latest();
        let order = |ordered: Ordered| {
            let first = self.first.as_ref();
            Order {
                version: ordered,
                prefix: first.map(|it| it.prefix.clone()).unwrap_or_default(),
                suffix: first.map(|it| it.suffix.clone()).unwrap_or_default(),
            }
        };
        let whole = self.whole();
        let of_latest = {
            let ordered = self.first.as_ref().and_then(|it| it.ordered.clone());
            Channel::Latest(ordered.map(&order))
        };
        let mut tags: Vec<ComputedTag> = std::mem::take(&mut self.tags)
            .into_iter()
            .map(|(tag, index, given)| ComputedTag {
                channel: match (self.suffix, self.rules.rule(index)) {
                    ("", _) if tag.as_str() == "latest" => of_latest.clone(),
                    ("", Some(rule)) => channel(rule, &self.rules.flavor, given, &order),
                    _ => Channel::Moving,
                },
                rule: Some(index),
                tag,
            })
            .collect();
        let mut reason = latest;
        if wanted {
            let flavor = &self.rules.flavor;
            let text = sanitised(&format!(
                "{}latest{}{}",
                flavor.prefix.of_latest(),
                flavor.suffix.of_latest(),
                self.suffix
            ));
            match tag(&text) {
                Err(reason) => self.warnings.push(Warning::NoTag {
                    rule: None,
                    text: printable(&text, 140),
                    reason,
                }),
                Ok(tag) if tags.iter().any(|known| known.tag == tag) => {
                    reason = LatestReason::Given;
                }
                Ok(tag) => tags.push(ComputedTag {
                    channel: if self.suffix.is_empty() {
                        of_latest
                    } else {
                        Channel::Moving
                    },
                    rule: match latest {
                        LatestReason::Rule { rule, .. } => Some(rule),
                        _ => None,
                    },
                    tag,
                }),
            }
        }
        if tags.is_empty() {
            self.warnings.push(Warning::NoTags);
        }
        Computed {
            version: tags.first().map(|first| first.tag.to_string()),
            ordered: whole,
            tags,
            explanations: self.explanations,
            latest: reason,
            warnings: self.warnings,
        }
    }

    /// The version of the first result, else of the first one that has one.
    fn whole(&self) -> Option<String> {
        let first = self.first.as_ref().and_then(|first| first.ordered.clone());
        let given = || self.tags.iter().find_map(|(_, _, given)| ordered(given));
        first.or_else(given).map(|version| version.to_string())
    }

    /// The first result alone decides under `auto`; without one there is nothing to decide.
    fn wants_latest(&self) -> (bool, LatestReason) {
        let Some(first) = &self.first else {
            return (false, LatestReason::NoVersion);
        };
        let made = match self.rules.flavor.latest {
            Latest::Always => return (true, LatestReason::Flavor { made: true }),
            Latest::Never => return (false, LatestReason::Flavor { made: false }),
            Latest::Auto => first.makes_latest,
        };
        let rule = first.rule;
        (made, LatestReason::Rule { rule, made })
    }
}

/// A rule's own affix takes the place of the flavor's, even when it is empty.
fn affix(
    renderer: &Renderer<'_>,
    attribute: &'static str,
    own: Option<&Template>,
    flavor: &Affix,
) -> Result<String, RuleProblem> {
    renderer
        .global(own.unwrap_or(&flavor.template))
        .map_err(|error: RenderError| RuleProblem::Render { attribute, error })
}

/// Each run of characters that no tag can have becomes one hyphen.
pub(super) fn sanitised(text: &str) -> String {
    let mut clean = String::new();
    let mut in_run = false;
    for letter in text.chars() {
        let is_allowed = letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
        if is_allowed {
            clean.push(letter);
        } else if !in_run {
            clean.push('-');
        }
        in_run = !is_allowed;
    }
    clean
}

fn tag(text: &str) -> Result<Tag, NoTag> {
    text.parse().map_err(|_| {
        if text.is_empty() || text.starts_with(['.', '-']) {
            NoTag::Start
        } else {
            NoTag::TooLong
        }
    })
}

/// The version that a first result stands for, should `latest` follow it.
fn ordered(given: &Given) -> Option<Ordered> {
    match &given.nature {
        Nature::Fixed(_, ordered) => ordered.clone(),
        Nature::Part(ordered) => Some(ordered.clone()),
        Nature::Text => Version::semver(&given.value).map(|version| version.ordered),
        Nature::Branch(_) | Nature::Moving => None,
    }
}

/// The formats of the dates in a template.
fn dates(template: &Template) -> Vec<&str> {
    let is_date = |it: &&Expression| it.is_named("date") || it.is_named("commit_date");
    template
        .expressions()
        .filter(is_date)
        .map(|expression| match expression.arguments.first() {
            Some(Argument::Text(format)) => format.as_str(),
            _ => "",
        })
        .collect()
}

/// How a tag moves: as its value does, unless an expression in it or around it names one commit
/// or one day, which makes it fixed.
fn channel(
    rule: &Rule,
    flavor: &super::Flavor,
    given: Given,
    order: &dyn Fn(Ordered) -> Order,
) -> Channel {
    let around = [
        rule.prefix.as_ref().unwrap_or(&flavor.prefix.template),
        rule.suffix.as_ref().unwrap_or(&flavor.suffix.template),
    ];
    let value = match &rule.kind {
        Kind::Raw { value } => Some(value),
        Kind::Schedule { pattern } => Some(pattern),
        _ => None,
    };
    let templates: Vec<&Template> = around.into_iter().chain(value).collect();
    let uses = |name: &str| templates.iter().any(|template| template.uses(name));
    if uses("sha") || uses("describe") {
        return Channel::Fixed(Fixed::Commit);
    }
    let dates: Vec<&str> = templates
        .iter()
        .flat_map(|template| dates(template))
        .collect();
    if !dates.is_empty() {
        return if dates.iter().any(|format| moment::has_seconds(format)) {
            Channel::Fixed(Fixed::Date)
        } else {
            Channel::Dated
        };
    }
    match given.nature {
        Nature::Fixed(fixed, _) => Channel::Fixed(fixed),
        Nature::Part(ordered) => Channel::Version(order(ordered)),
        Nature::Branch(name) => Channel::Branch(name),
        Nature::Moving => Channel::Moving,
        Nature::Text => {
            if value.is_some_and(|value| value.uses("tag")) {
                Channel::Fixed(Fixed::GitTag)
            } else if ["branch", "on_branch"].iter().any(|name| uses(name)) {
                Channel::Branch(None)
            } else if Version::semver(&given.value).is_some() {
                Channel::Fixed(Fixed::Version)
            } else {
                Channel::Moving
            }
        }
    }
}
