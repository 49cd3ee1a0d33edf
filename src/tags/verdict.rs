//! What each type of rule does.

use super::channel::Fixed;
use super::error::RuleProblem;
use super::explain::Silence;
use super::printable;
use super::regex::Pattern;
use super::render::{RenderError, Renderer};
use super::rule::{Digits, Event, Group, Kind, Rule, Versioned};
use super::template::Template;
use super::version::{Ordered, Version};
use super::warning::Warning;
use crate::facts::{Facts, RefContext};

/// What a rule gives, before prefix and suffix.
pub(super) enum Verdict {
    Gives(Given),
    Silent(Silence),
}

/// A rule's result.
pub(super) struct Given {
    pub(super) value: String,
    /// Whether `latest=auto` means yes, should this be the first result.
    pub(super) makes_latest: bool,
    pub(super) nature: Nature,
}

/// What the value is of, which decides what kind of channel the tag is.
pub(super) enum Nature {
    /// One thing for ever.
    Fixed(Fixed, Option<Ordered>),
    /// A part of a version.
    Part(Ordered),
    Branch(Option<String>),
    /// A text of the user's: what it is shows when it is read.
    Text,
    Moving,
}

/// One rule with what it looks at.
pub(super) struct Judge<'a> {
    pub(super) rule: &'a Rule,
    pub(super) facts: &'a Facts,
    pub(super) renderer: &'a Renderer<'a>,
    pub(super) warnings: &'a mut Vec<Warning>,
}

fn render(attribute: &'static str) -> impl Fn(RenderError) -> RuleProblem {
    move |error| RuleProblem::Render { attribute, error }
}

impl Judge<'_> {
    /// Decides whether the rule gives something.
    pub(super) fn verdict(&mut self) -> Result<Verdict, RuleProblem> {
        let enable = &self.rule.enable;
        match self
            .renderer
            .global(enable)
            .map_err(render("enable"))?
            .as_str()
        {
            "true" => {}
            "false" => {
                let is_expression = enable.expressions().next().is_some();
                return Ok(Verdict::Silent(Silence::Disabled {
                    because: is_expression.then(|| printable(enable.source(), 80)),
                }));
            }
            text => {
                return Err(RuleProblem::Render {
                    attribute: "enable",
                    error: RenderError::NotBoolean {
                        text: printable(text, 80),
                    },
                });
            }
        }
        let rule = self.rule;
        let verdict = match &rule.kind {
            Kind::Schedule { pattern } => self.schedule(pattern)?,
            Kind::Semver(versioned) => self.versioned(versioned, "semver", Version::semver)?,
            Kind::Pep440(versioned) => self.versioned(versioned, "pep440", Version::pep440)?,
            Kind::Match {
                pattern,
                group,
                value,
            } => self.matching(pattern, group, value.as_ref())?,
            Kind::Edge { branch } => self.edge(branch.as_deref()),
            Kind::Ref(event) => self.reference(*event),
            Kind::Raw { value } => {
                let value = self.renderer.global(value).map_err(render("value"))?;
                gives(value, false, Nature::Text)
            }
            Kind::Sha(digits) => self.sha(*digits)?,
        };
        Ok(verdict)
    }

    fn context(&self) -> &RefContext {
        &self.facts.context
    }

    fn other_reference(&self, wanted: &'static str) -> Verdict {
        let reference = self.context().reference.as_deref();
        Verdict::Silent(Silence::OtherReference {
            wanted,
            is: reference.map(|name| printable(name, 80)),
        })
    }

    fn schedule(&self, pattern: &Template) -> Result<Verdict, RuleProblem> {
        if !self.context().is_scheduled() {
            return Ok(Verdict::Silent(Silence::NotScheduled {
                event: printable(&self.context().event, 40),
            }));
        }
        let value = self.renderer.dates(pattern).map_err(render("pattern"))?;
        Ok(gives(value, false, Nature::Moving))
    }

    /// What a rule for versions or matches looks at: its value, else the git tag.
    fn subject(&self, value: Option<&Template>) -> Result<Option<String>, RuleProblem> {
        match value {
            Some(value) => {
                let text = self.renderer.global(value).map_err(render("value"))?;
                Ok(Some(text))
            }
            None => Ok(self.context().tag().map(str::to_owned)),
        }
    }

    fn versioned(
        &mut self,
        versioned: &Versioned,
        kind: &'static str,
        read: fn(&str) -> Option<Version>,
    ) -> Result<Verdict, RuleProblem> {
        let Some(mut text) = self.subject(versioned.value.as_ref())? else {
            return Ok(self.other_reference("tag"));
        };
        if let Some(pattern) = &versioned.taken {
            match find(pattern, "match", &text)? {
                // The first group where there is one, else all of the match.
                Some(groups) => {
                    let mut groups = groups.into_iter();
                    let whole = groups.next().flatten();
                    text = groups.next().flatten().or(whole).unwrap_or_default();
                }
                None => self.warnings.push(Warning::NoMatch {
                    rule: self.rule.index,
                    pattern: printable(pattern.source(), 80),
                    text: printable(&text, 80),
                }),
            }
        }
        let text = text.replace('/', "-");
        let Some(version) = read(&text) else {
            let text = printable(&text, 80);
            self.warnings.push(Warning::NoVersion {
                rule: self.rule.index,
                kind,
                text: text.clone(),
            });
            return Ok(Verdict::Silent(Silence::NoVersion { kind, text }));
        };
        let pattern = &versioned.pattern;
        if version.is_special {
            let value = if pattern.is_raw() {
                version.raw
            } else {
                version.clean
            };
            let nature = Nature::Fixed(Fixed::Version, Some(version.ordered));
            return Ok(gives(value, false, nature));
        }
        let value = self
            .renderer
            .version(pattern, &version.fields)
            .map_err(render("pattern"))?;
        let parts = ["major", "minor", "patch"];
        let is_whole = pattern.uses("raw")
            || pattern.uses("version")
            || (version.is_plain && parts.iter().all(|part| pattern.uses(part)));
        let nature = if is_whole {
            Nature::Fixed(Fixed::Version, Some(version.ordered))
        } else {
            Nature::Part(version.ordered)
        };
        Ok(gives(value, true, nature))
    }

    fn matching(
        &mut self,
        pattern: &Pattern,
        group: &Group,
        value: Option<&Template>,
    ) -> Result<Verdict, RuleProblem> {
        let Some(text) = self.subject(value)? else {
            return Ok(self.other_reference("tag"));
        };
        let Some(groups) = find(pattern, "pattern", &text)? else {
            let text = printable(&text, 80);
            self.warnings.push(Warning::NoMatch {
                rule: self.rule.index,
                pattern: printable(pattern.source(), 80),
                text: text.clone(),
            });
            return Ok(Verdict::Silent(Silence::NoMatch { text }));
        };
        let found = group
            .index()
            .and_then(|index| groups.into_iter().nth(index))
            .flatten();
        let Some(found) = found else {
            let group = printable(&group.0, 40);
            self.warnings.push(Warning::NoGroup {
                rule: self.rule.index,
                group: group.clone(),
            });
            return Ok(Verdict::Silent(Silence::NoGroup { group }));
        };
        let nature = if found == text {
            of_git_tag(&found)
        } else if let Some(version) = Version::semver(&found) {
            Nature::Fixed(Fixed::Version, Some(version.ordered))
        } else if let Some(version) = Version::any(&text).or_else(|| Version::any(&found)) {
            Nature::Part(version.ordered)
        } else {
            Nature::Moving
        };
        Ok(gives(found, true, nature))
    }

    fn edge(&mut self, branch: Option<&str>) -> Verdict {
        let Some(is) = self.facts.context.branch() else {
            return self.other_reference("branch");
        };
        let default = self.facts.context.default_branch.as_deref();
        let Some(wanted) = branch.or(default) else {
            self.warnings.push(Warning::NoDefaultBranch {
                rule: self.rule.index,
            });
            return Verdict::Silent(Silence::NoDefaultBranch);
        };
        if wanted != is {
            return Verdict::Silent(Silence::OtherBranch {
                wanted: printable(wanted, 80),
                is: printable(is, 80),
            });
        }
        let nature = Nature::Branch(Some(is.to_owned()));
        gives("edge".to_owned(), false, nature)
    }

    fn reference(&self, event: Event) -> Verdict {
        let context = self.context();
        match event {
            Event::Branch => match context.branch() {
                Some(name) => {
                    let nature = Nature::Branch(Some(name.to_owned()));
                    gives(name.to_owned(), false, nature)
                }
                None => self.other_reference("branch"),
            },
            Event::Tag => match context.tag() {
                Some(name) => gives(name.to_owned(), true, of_git_tag(name)),
                None => self.other_reference("tag"),
            },
            Event::PullRequest => match context.pull_request() {
                Some(name) => gives(name.to_owned(), false, Nature::Moving),
                None => self.other_reference("pull request"),
            },
        }
    }

    fn sha(&self, digits: Digits) -> Result<Verdict, RuleProblem> {
        let Some(sha) = &self.context().sha else {
            return Ok(Verdict::Silent(Silence::NoCommit));
        };
        let value = match digits {
            Digits::Short => self.renderer.short_sha().map_err(render("format"))?,
            Digits::Long => sha.clone(),
            Digits::Exactly(length) => sha.chars().take(length).collect(),
        };
        Ok(gives(value, false, Nature::Fixed(Fixed::Commit, None)))
    }
}

/// Matches, within bounds.
fn find(
    pattern: &Pattern,
    attribute: &'static str,
    text: &str,
) -> Result<Option<Vec<Option<String>>>, RuleProblem> {
    pattern.find(text).map_err(|_| RuleProblem::TooHard {
        attribute,
        text: printable(text, 80),
    })
}

fn gives(value: String, makes_latest: bool, nature: Nature) -> Verdict {
    Verdict::Gives(Given {
        value,
        makes_latest,
        nature,
    })
}

/// A git tag stays where it is, except those that people move: `v1`, `v1.2`, `stable`.
fn of_git_tag(name: &str) -> Nature {
    if let Some(version) = Version::semver(name) {
        return Nature::Fixed(Fixed::Version, Some(version.ordered));
    }
    let version = Version::pep440(name);
    let numbers = name.strip_prefix('v').unwrap_or(name).split('.').count();
    match version {
        Some(version) if numbers < 3 && !version.is_special => Nature::Part(version.ordered),
        Some(version) => Nature::Fixed(Fixed::Version, Some(version.ordered)),
        None if name.bytes().any(|byte| byte.is_ascii_digit()) => {
            Nature::Fixed(Fixed::GitTag, None)
        }
        None => Nature::Moving,
    }
}
