//! Versions as git tags write them: semantic ones, and those of Python.

use std::cmp::Ordering;
use std::fmt;

/// JavaScript's largest exact integer, which is as far as node's semver reads a number.
const MAX_SAFE: u64 = (1 << 53) - 1;
/// The longest version that node's semver reads.
const MAX_LENGTH: usize = 256;

/// A version that was read out of a git tag or a rule's `value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// What it is ordered by.
    pub(super) ordered: Ordered,
    /// The text as it was.
    pub(super) raw: String,
    /// The text in its normal form: the fields' `version`.
    pub(super) clean: String,
    /// Whether every pattern but `{{raw}}` gives the whole version: prereleases, and Python's post
    /// and development releases.
    pub(super) is_special: bool,
    /// Whether `{{major}}.{{minor}}.{{patch}}` is all of it.
    pub(super) is_plain: bool,
    /// What patterns can name.
    pub(super) fields: Vec<(&'static str, String)>,
}

/// What versions are compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ordered {
    Semver(semver::Version),
    Pep440(pep440_rs::Version),
}

impl Version {
    /// Reads a semantic version, strictly but for one `v` before it (node-semver, `valid`).
    pub(super) fn semver(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        if trimmed.len() > MAX_LENGTH {
            return None;
        }
        let version = semver::Version::parse(trimmed.strip_prefix('v').unwrap_or(trimmed)).ok()?;
        let numbers = [version.major, version.minor, version.patch];
        if numbers.iter().any(|number| *number > MAX_SAFE) {
            return None;
        }
        let mut clean = version.clone();
        clean.build = semver::BuildMetadata::EMPTY;
        // The prerelease and the build are lists in JavaScript, which writes them with commas.
        let list = |text: &str| text.replace('.', ",");
        Some(Self {
            raw: text.to_owned(),
            clean: clean.to_string(),
            is_special: !version.pre.is_empty(),
            is_plain: true,
            fields: vec![
                ("raw", text.to_owned()),
                ("version", clean.to_string()),
                ("major", version.major.to_string()),
                ("minor", version.minor.to_string()),
                ("patch", version.patch.to_string()),
                ("prerelease", list(&version.pre)),
                ("build", list(&version.build)),
            ],
            ordered: Ordered::Semver(version),
        })
    }

    /// Reads a version of Python (<https://peps.python.org/pep-0440/>).
    pub(super) fn pep440(text: &str) -> Option<Self> {
        // The crate trims; the action does not.
        if text.len() > MAX_LENGTH || text.trim() != text {
            return None;
        }
        let version: pep440_rs::Version = text.parse().ok()?;
        let release = version.release();
        let part = |at: usize| release.get(at).copied().unwrap_or_default().to_string();
        // The action writes the parts of a local version with commas between them, which then
        // become hyphens: 1.0+ubuntu.1 is 1.0-ubuntu-1.
        let written = version.to_string();
        let clean = match written.split_once('+') {
            Some((public, local)) => format!("{public}+{}", local.replace('.', ",")),
            None => written,
        };
        Some(Self {
            raw: text.to_owned(),
            is_special: version.is_pre() || version.is_post() || version.is_dev(),
            is_plain: version.epoch() == 0 && version.local().is_empty() && release.len() <= 3,
            fields: vec![
                ("raw", text.to_owned()),
                ("version", clean.clone()),
                ("major", part(0)),
                ("minor", part(1)),
                ("patch", part(2)),
            ],
            clean,
            ordered: Ordered::Pep440(version),
        })
    }

    /// Reads a version of either kind, a semantic one first.
    pub(super) fn any(text: &str) -> Option<Self> {
        Self::semver(text).or_else(|| Self::pep440(text))
    }
}

impl Ordered {
    /// How this compares to another text of the same kind; `None` where that is no version.
    pub(super) fn compare(&self, text: &str) -> Option<Ordering> {
        match self {
            Self::Semver(version) => match Version::semver(text)?.ordered {
                Self::Semver(other) => Some(version.cmp_precedence(&other)),
                Self::Pep440(_) => None,
            },
            Self::Pep440(version) => match Version::pep440(text)?.ordered {
                Self::Pep440(other) => Some(version.cmp(&other)),
                Self::Semver(_) => None,
            },
        }
    }
}

impl fmt::Display for Ordered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Semver(version) => version.fmt(formatter),
            Self::Pep440(version) => version.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semantic_versions_are_read_strictly() {
        for (text, clean) in [
            ("v1.2.3", "1.2.3"),
            ("2024.1.2", "2024.1.2"),
            ("1.2.3+b", "1.2.3"),
            ("1.2.3-rc.1+b", "1.2.3-rc.1"),
            (" 1.2.3 ", "1.2.3"),
            ("9007199254740991.0.0", "9007199254740991.0.0"),
        ] {
            assert_eq!(Version::semver(text).unwrap().clean, clean, "{text}");
        }
        for text in [
            "1.2",
            "1.2.3.4",
            "v01.2.3",
            "2024.01.02",
            "=1.2.3",
            "V1.2.3",
            "release-1.2.3",
            "",
            "vv1.2.3",
            "v 1.2.3",
            "1.2.3-",
            "1.2.3-01",
            "9007199254740992.0.0",
            "1.2.3-ä",
        ] {
            assert_eq!(Version::semver(text), None, "{text}");
        }
        assert_eq!(Version::semver(&format!("1.2.3-{}", "a".repeat(300))), None);
    }

    #[test]
    fn versions_of_python_are_cleaned() {
        for (text, clean, is_special) in [
            ("1.2.3beta2", "1.2.3b2", true),
            ("1.0dev4", "1.0.dev4", true),
            ("1.2post1", "1.2.post1", true),
            ("2024.01.02", "2024.1.2", false),
            ("1.2.3-1", "1.2.3.post1", true),
            ("1!2.0", "1!2.0", false),
            ("v1.0+Local_1", "1.0+local,1", false),
            ("1.2", "1.2", false),
            ("1.2.3c1", "1.2.3rc1", true),
        ] {
            let version = Version::pep440(text).unwrap();
            assert_eq!(version.clean, clean, "{text}");
            assert_eq!(version.is_special, is_special, "{text}");
        }
        // The action rounds the last one, and so names a version that nobody has released.
        for text in [
            "sometag",
            "1.2.3-alpha-beta",
            "1.2.*",
            "",
            "1..2",
            "99999999999999999999.0.0",
        ] {
            assert_eq!(Version::pep440(text), None, "{text}");
        }
    }
}
