use std::cmp::Ordering;
use std::fmt;

use super::version::{Ordered, Version};
use crate::oci::Tag;

/// Whether a tag names one thing for ever, or moves; and if it moves, in which order.
///
/// A publish moves fixed tags first and channels last, and never moves a channel backwards unless
/// told so (publish protocol, "Never backwards").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The tag names one version, commit or second: it should not exist with another digest.
    Fixed(Fixed),
    /// A day, or a longer time: it goes from image to image while that lasts.
    Dated,
    /// A part of a version, such as `1` or `1.2`: it goes from release to release.
    Version(Order),
    /// A branch, or `edge`: it goes from commit to commit. The branch's name, where there is one.
    Branch(Option<String>),
    /// `latest`: it goes from release to release where there is an order, else from commit to
    /// commit.
    Latest(Option<Order>),
    /// A pull request, a schedule, a name that somebody chose, a dirty tree: it goes anywhere.
    Moving,
}

/// What a fixed tag names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fixed {
    /// A whole version.
    Version,
    /// A git tag.
    GitTag,
    /// A date, to the second.
    Date,
    /// A commit.
    Commit,
}

/// The version that a channel would go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub(super) version: Ordered,
    /// What the main version has before and behind the version itself.
    pub(super) prefix: String,
    pub(super) suffix: String,
}

impl Channel {
    /// How a tag moves that no rule gave: a whole version stays, and of others nothing is known.
    pub fn of_typed(tag: &Tag) -> Self {
        match Version::semver(tag.as_str()) {
            Some(_) => Self::Fixed(Fixed::Version),
            None => Self::Moving,
        }
    }

    /// Whether the tag moves.
    pub fn moves(&self) -> bool {
        !matches!(self, Self::Fixed(_))
    }

    /// The version that it goes to, where it goes from release to release.
    pub fn order(&self) -> Option<&Order> {
        match self {
            Self::Version(order) => Some(order),
            Self::Latest(order) => order.as_ref(),
            Self::Fixed(_) | Self::Dated | Self::Branch(_) | Self::Moving => None,
        }
    }

    /// Whether it goes from commit to commit, so that it must not go to an ancestor.
    pub fn follows_commits(&self) -> bool {
        matches!(self, Self::Branch(_) | Self::Latest(None))
    }

    /// One word for tables and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fixed(Fixed::Version) => "version",
            Self::Fixed(Fixed::GitTag) => "tag",
            Self::Fixed(Fixed::Date) => "time",
            Self::Fixed(Fixed::Commit) => "commit",
            Self::Dated => "date",
            Self::Version(_) => "version-channel",
            Self::Branch(_) => "branch-channel",
            Self::Latest(_) => "latest",
            Self::Moving => "moving",
        }
    }
}

impl Order {
    /// How the version here compares to what a tag points to now, as the label
    /// `org.opencontainers.image.version` of that image says it: `Less` would be backwards. `None`
    /// where the label is no version.
    pub fn compare(&self, present: &str) -> Option<Ordering> {
        let bare = present
            .strip_prefix(self.prefix.as_str())
            .unwrap_or(present);
        let bare = bare.strip_suffix(self.suffix.as_str()).unwrap_or(bare);
        self.version
            .compare(bare)
            .or_else(|| self.version.compare(present))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.version.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::super::version::Version;
    use super::*;

    fn order(text: &str, prefix: &str, suffix: &str) -> Order {
        Order {
            version: Version::any(text).unwrap().ordered,
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        }
    }

    #[test]
    fn a_version_channel_knows_backwards() {
        let order = order("1.3.9", "", "");
        assert_eq!(order.compare("1.4.2"), Some(Ordering::Less));
        assert_eq!(order.compare("v1.3.8"), Some(Ordering::Greater));
        assert_eq!(order.compare("1.3.9"), Some(Ordering::Equal));
        assert_eq!(order.compare("1.3.9+b"), Some(Ordering::Equal));
        assert_eq!(order.compare("main"), None);
    }

    #[test]
    fn affixes_of_the_main_version_are_no_part_of_the_order() {
        let order = order("1.10.0", "app-", "-alpine");
        assert_eq!(order.compare("app-1.9.0-alpine"), Some(Ordering::Greater));
        assert_eq!(order.compare("app-1.10.0-alpine"), Some(Ordering::Equal));
        assert_eq!(order.compare("1.11.0"), Some(Ordering::Less));
    }

    #[test]
    fn versions_of_python_have_their_own_order() {
        let order = order("1.2.post1", "", "");
        assert_eq!(order.compare("1.2"), Some(Ordering::Greater));
        assert_eq!(order.compare("1!0.1"), Some(Ordering::Less));
    }
}
