//! Never backwards: which tags stay where they are because they point to something newer.

use std::cmp::Ordering;

use super::reuse::ImageFacts;
use super::{PlannedTag, Target};
use crate::oci::Digest;
use crate::tags::Channel;

/// How the commit of this run relates to the one that a tag's image was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ancestry {
    /// This run's commit is an ancestor of the image's: it is older.
    Older,
    /// It is not: the same, newer, or of another branch.
    NotOlder,
    /// The repository here does not have the image's commit, or its history was cut off.
    Unknown,
}

/// What decides whether a tag may move.
#[derive(Clone, Debug)]
pub struct Present<'a> {
    /// What the tag's image says of itself.
    pub facts: &'a ImageFacts,
    /// How the commit of this run relates to its.
    pub ancestry: Ancestry,
    /// A later version whose own tag points to the same image.
    pub later: Option<String>,
}

/// Why `tag` would go backwards; `None` where it would not, or nobody can tell.
pub fn backwards(tag: &PlannedTag, present: &Present<'_>) -> Option<String> {
    let facts = present.facts;
    if let Some(order) = tag.kind.order() {
        if let Some(later) = &present.later {
            return Some(format!("it points to {later}, and this is {order}"));
        }
        let version = facts.version.as_deref().filter(|it| !it.is_empty())?;
        if order.compare(version) == Some(Ordering::Less) {
            return Some(format!("it points to {version}, and this is {order}"));
        }
        // A version here and none there: there is no order between them.
        return None;
    }
    if tag.kind.follows_commits() && present.ancestry == Ancestry::Older {
        let revision = facts.revision.as_deref().unwrap_or_default();
        let brief: String = revision.chars().take(12).collect();
        return Some(format!(
            "it points to commit {brief}, which is newer than this one"
        ));
    }
    None
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
