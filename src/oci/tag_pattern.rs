use std::fmt;
use std::str::FromStr;

use super::Tag;

/// Which tags are meant: a tag with `*` for any letters or none, and `?` for just one. It covers the whole
/// tag: `v*` matches `v1`, and not `dev1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` matches no tag: expected letters, digits, `.`, `_`, `-`, and the wildcards `*` and `?`"
)]
pub struct TagPatternError {
    text: String,
}

/// The longest pattern, in bytes: twice that of the longest tag, for its wildcards.
const LONGEST: usize = 256;

impl TagPattern {
    /// Whether `tag` is one of those that are meant.
    pub fn matches(&self, tag: &Tag) -> bool {
        let (pattern, tag) = (self.0.as_bytes(), tag.as_str().as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where the last `*` stands, and how far it reaches: it takes one letter more when what follows it
        // does not fit. Earlier ones need not be tried again.
        let mut star: Option<(usize, usize)> = None;
        while seen < tag.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, seen));
                    at += 1;
                }
                Some(letter) if *letter == b'?' || tag.get(seen) == Some(letter) => {
                    at += 1;
                    seen += 1;
                }
                _ => match &mut star {
                    Some((behind, reach)) => {
                        *reach += 1;
                        (at, seen) = (*behind + 1, *reach);
                    }
                    None => return false,
                },
            }
        }
        let rest = pattern.get(at..).unwrap_or_default();
        rest.iter().all(|letter| *letter == b'*')
    }
}

impl FromStr for TagPattern {
    type Err = TagPatternError;

    fn from_str(text: &str) -> Result<Self, TagPatternError> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*?".contains(&byte);
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(is_known) {
            return Err(TagPatternError {
                text: text.chars().take(80).collect(),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, tag: &str) -> bool {
        let pattern: TagPattern = pattern.parse().unwrap();
        pattern.matches(&tag.parse().unwrap())
    }

    #[test]
    fn a_pattern_covers_the_whole_tag() {
        for (pattern, tag) in [
            ("v*", "v1.2.3"),
            ("v*", "v"),
            ("*", "latest"),
            ("*.*.*", "1.2.3-rc.1"),
            ("*-prod", "a-prod-prod"),
            ("v?.?", "v1.2"),
            ("a*b*c", "abbcbc"),
            ("latest", "latest"),
        ] {
            assert!(matches(pattern, tag), "{pattern} {tag}");
        }
        for (pattern, tag) in [
            ("v*", "dev1"),
            ("v?", "v"),
            ("v?", "v12"),
            ("*.*.*", "1.2"),
            ("latest", "latest1"),
            ("a*b*c", "abbcb"),
            ("?", "ab"),
        ] {
            assert!(!matches(pattern, tag), "{pattern} {tag}");
        }
    }

    #[test]
    fn what_can_match_no_tag_is_no_pattern() {
        for wrong in ["", "a b", "v[0-9]", "a/b", "ü", &"a".repeat(257)] {
            assert!(wrong.parse::<TagPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn many_stars_cost_no_time() {
        let pattern = "*a".repeat(100) + "b";
        assert!(!matches(&pattern, &"a".repeat(128)));
    }
}
