//! Immutable tags: which of them are in the way of a publish.

use super::reuse::ImageFacts;
use super::{Action, Plan, PlannedTag, Target};
use crate::config::Immutable;
use crate::oci::Tag;
use crate::tags::{Channel, Fixed};

/// What is asked of another image before a tag that exists moves to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    #[default]
    Free,
    /// That it is of the commit which the tag was released from.
    Commit,
    /// No other image will do.
    Always,
}

/// Why an immutable tag may not move to another image.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Why, in words.
    pub because: String,
    /// Whether it is certain that the image is another one. Else that shows when it has been built.
    pub certain: bool,
}

/// What is known of the image that an immutable tag points to, and of this run.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What the image says of itself, where it could be read.
    pub facts: Option<&'a ImageFacts>,
    /// The commit that the tag was released from, as far as anybody says.
    pub released: Option<&'a str>,
    /// The commit of this run.
    pub commit: Option<&'a str>,
}

/// What is asked of another image before `tag`, which a rule gave, moves to it.
pub(super) fn hold(policy: &Immutable, tag: &Tag, kind: &Channel) -> Hold {
    if policy.matching.iter().any(|pattern| pattern.matches(tag)) {
        Hold::Always
    } else if policy.versions && matches!(kind, Channel::Fixed(Fixed::Version)) {
        Hold::Commit
    } else {
        Hold::Free
    }
}

/// The same of a tag that somebody typed.
pub fn hold_of_typed(policy: &Immutable, tag: &Tag) -> Hold {
    hold(policy, tag, &Channel::of_typed(tag))
}

/// Why `tag` of `target` may not move; `None` where it may, or does not.
pub fn held(target: &Target, tag: &PlannedTag, standing: &Standing<'_>) -> Option<Held> {
    tag.from.as_ref().filter(|_| tag.moves())?;
    let brief = |commit: &str| commit.chars().take(12).collect::<String>();
    let because = match (tag.hold, standing.released, standing.commit) {
        (Hold::Free, _, _) => return None,
        (Hold::Commit, Some(released), Some(commit)) if released == commit => return None,
        (Hold::Always, _, _) => "it is immutable".to_owned(),
        (Hold::Commit, Some(released), Some(commit)) => format!(
            "it is a version of commit {}, and this is {}",
            brief(released),
            brief(commit)
        ),
        (Hold::Commit, Some(released), None) => format!(
            "it is a version of commit {}, and this is none",
            brief(released)
        ),
        (Hold::Commit, None, _) => {
            "it is a version, and nothing says which commit it is of".to_owned()
        }
    };
    let certain = match &target.action {
        // It moves, so it is another one.
        Action::Reuse(_) => true,
        // Commit and inputs are labels, and with other labels it is another image. Of an image that has none
        // nothing is known.
        Action::Build | Action::Merge(_) => standing.facts.is_some_and(|facts| {
            let inputs = facts.inputs.is_some() && facts.inputs != target.inputs;
            inputs || (facts.revision.is_some() && facts.revision.as_deref() != standing.commit)
        }),
    };
    Some(Held { because, certain })
}

impl PlannedTag {
    /// Why it is in the way of the publish, where that is certain before anything is built.
    pub fn in_the_way(&self) -> Option<&str> {
        let held = self.held.as_ref().filter(|held| held.certain);
        held.map(|held| held.because.as_str())
    }

    /// Lets it move, whatever it points to.
    pub fn release(&mut self) {
        self.hold = Hold::Free;
        self.held = None;
    }
}

impl Plan {
    /// Whether an immutable tag is in the way of it.
    pub fn is_obstructed(&self) -> bool {
        let mut tags = self.targets.iter().flat_map(|target| &target.tags);
        tags.any(|tag| tag.in_the_way().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(versions: bool, patterns: &[&str]) -> Immutable {
        Immutable {
            versions,
            matching: patterns
                .iter()
                .map(|pattern| pattern.parse().unwrap())
                .collect(),
        }
    }

    #[test]
    fn versions_are_of_their_commit_and_patterns_of_none() {
        let version = Channel::Fixed(Fixed::Version);
        let tag = "1.2.3".parse().unwrap();
        assert_eq!(hold(&Immutable::default(), &tag, &version), Hold::Commit);
        assert_eq!(hold(&policy(false, &[]), &tag, &version), Hold::Free);
        assert_eq!(hold(&policy(true, &["1.*"]), &tag, &version), Hold::Always);
        assert_eq!(hold(&policy(true, &["2.*"]), &tag, &version), Hold::Commit);
        let latest = "latest".parse().unwrap();
        assert_eq!(
            hold(&Immutable::default(), &latest, &Channel::Moving),
            Hold::Free
        );
        assert_eq!(
            hold(&policy(true, &["*"]), &latest, &Channel::Moving),
            Hold::Always
        );
    }

    #[test]
    fn what_is_typed_is_a_version_where_it_reads_as_one() {
        let typed = |tag: &str| hold_of_typed(&Immutable::default(), &tag.parse().unwrap());
        assert_eq!(typed("1.2.3"), Hold::Commit);
        assert_eq!(typed("v1.2.3-rc.1"), Hold::Commit);
        for channel in ["1", "1.2", "stable", "main", "sha-0123456"] {
            assert_eq!(typed(channel), Hold::Free, "{channel}");
        }
    }
}
