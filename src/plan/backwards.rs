//! Never backwards: which tags stay where they are because they point to something newer.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::reuse::ImageFacts;
use super::{PlannedTag, Target};
use crate::oci::Digest;
use crate::tags::{Channel, Order};

/// How the commit of this run relates to the one that a tag was published from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ancestry {
    /// This run's commit is an ancestor of it: it is older.
    Older,
    /// It is not: the same, newer, or of another branch.
    NotOlder,
    /// The repository here does not have that commit, or its history was cut off.
    Unknown,
}

/// What the latest record says that put a tag where it points now. A reused image cannot say it: it has
/// the labels of its first release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The commit.
    pub revision: Option<String>,
    /// The whole version.
    pub version: Option<String>,
}

/// What decides whether a tag may move.
#[derive(Clone, Debug)]
pub struct Present<'a> {
    /// What the tag's image says of itself.
    pub facts: &'a ImageFacts,
    /// What the latest record says, where one is known.
    pub published: Option<&'a Published>,
    /// How the commit of this run relates to the one that is published.
    pub ancestry: Ancestry,
    /// A later version whose own tag points to the same image.
    pub later: Option<String>,
    /// The date of this run's commit.
    pub own_time: Option<Timestamp>,
}

impl Present<'_> {
    /// The commit that the tag was published from last.
    pub fn revision(&self) -> Option<&str> {
        let recorded = self.published.and_then(|it| it.revision.as_deref());
        let said = recorded.or(self.facts.revision.as_deref());
        said.filter(|revision| !revision.is_empty())
    }

    /// The version that the tag was published as last.
    pub fn version(&self) -> Option<&str> {
        let recorded = self.published.and_then(|it| it.version.as_deref());
        recorded.or(self.facts.ordered_as())
    }
}

/// Where a tag would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// Not backwards, or it has no order.
    Ahead,
    /// Backwards, and why.
    Backwards(String),
    /// Nobody can tell: why, and what to do about it.
    Unknown(String, String),
}

/// Where `tag` would go from `present`.
pub fn course(tag: &PlannedTag, present: &Present<'_>) -> Course {
    match tag.kind.order() {
        Some(order) => by_version(order, present),
        None if tag.kind.follows_commits() => by_commit(present),
        None => Course::Ahead,
    }
}

fn by_version(order: &Order, present: &Present<'_>) -> Course {
    if let Some(later) = &present.later {
        return Course::Backwards(format!("it points to {later}, and this is {order}"));
    }
    let Some(version) = present.version() else {
        return Course::Unknown(
            format!(
                "the image that it points to does not say its version, so {order} may be older"
            ),
            "look at what it is before this is published: afterwards its version is known"
                .to_owned(),
        );
    };
    match order.compare(version) {
        Some(Ordering::Less) => {
            Course::Backwards(format!("it points to {version}, and this is {order}"))
        }
        Some(_) => Course::Ahead,
        None => Course::Unknown(
            format!(
                "it points to `{version}`, which cannot be compared to {order}, which may be older"
            ),
            "look at what it is before this is published: afterwards its version is known"
                .to_owned(),
        ),
    }
}

fn by_commit(present: &Present<'_>) -> Course {
    let revision = present.revision().unwrap_or_default();
    let brief: String = revision.chars().take(12).collect();
    match present.ancestry {
        Ancestry::Older => Course::Backwards(format!(
            "it points to commit {brief}, which is newer than this one"
        )),
        Ancestry::NotOlder => Course::Ahead,
        Ancestry::Unknown => {
            // Where git does not know, dates may: not well enough to decide, and enough to say so.
            let created = present.facts.created.as_deref();
            let made: Option<Timestamp> = created.and_then(|it| it.parse().ok());
            match made.zip(present.own_time) {
                Some((made, own)) if made > own => Course::Unknown(
                    format!(
                        "it points to an image of {made}, later than this commit, and git does not know here which of them is newer"
                    ),
                    "fetch the whole history: `git fetch --unshallow`, or `fetch-depth: 0` for actions/checkout"
                        .to_owned(),
                ),
                _ => Course::Ahead,
            }
        }
    }
}

/// Whether a tag's image has to be looked at before the tag moves.
pub fn has_order(kind: &Channel) -> bool {
    kind.order().is_some() || kind.follows_commits()
}

/// Leaves a tag where it is.
pub fn refuse(target: &mut Target, index: usize, because: String) {
    let Some(tag) = target.tags.get_mut(index) else {
        return;
    };
    for place in &mut target.destinations {
        if place.repository == *tag.reference.repository() {
            place.tags.retain(|own| Some(own) != tag.reference.tag());
        }
    }
    tag.to.clone_from(&tag.from);
    tag.refused = Some(because);
}

/// Where each tag will point, as far as that is known before anything is built.
pub fn aim(target: &mut Target, digest: Option<&Digest>) {
    for tag in target.tags.iter_mut().filter(|tag| tag.refused.is_none()) {
        tag.to = digest.cloned();
    }
}
