use regex::bytes::Regex;

use super::{clean_path, go_glob, go_regexp};

/// Patterns as `.dockerignore` writes them, in moby's reading (moby/patternmatcher).
///
/// `**` crosses folders, `!` takes back, and the last pattern that matches decides. Unlike
/// gitignore, a pattern without a slash matches at the root only.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
}

/// What is known of a folder, so that its children need not ask about it again.
#[derive(Clone, Debug, Default)]
pub struct MatchInfo {
    /// For each pattern, whether it matched the folder or one above it; empty where nothing is known.
    matched: Vec<bool>,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid pattern `{pattern}`: {message}")]
pub struct PatternError {
    /// The pattern, shortened.
    pub pattern: String,
    /// What is wrong with it.
    pub message: &'static str,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    is_exception: bool,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Exact,
    /// Everything that begins with this.
    Prefix(String),
    /// Everything that ends with this, or is this without its leading slash.
    Suffix(String),
    Regex(Regex),
}

impl Patterns {
    /// Reads patterns in the order in which they stand. Blank ones are passed over.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, PatternError> {
        let mut read = Self::default();
        for pattern in patterns {
            let text = pattern.as_ref().trim();
            if text.is_empty() {
                continue;
            }
            let pattern = Pattern::new(&clean_path(text))?;
            read.has_exceptions |= pattern.is_exception;
            read.patterns.push(pattern);
        }
        Ok(read)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether one of them begins with `!`.
    pub fn has_exceptions(&self) -> bool {
        self.has_exceptions
    }

    /// Whether `path` or a folder above it is matched, and not taken back (`MatchesOrParentMatches`).
    pub fn matches(&self, path: &str) -> bool {
        self.matches_below(path, &MatchInfo::default()).0
    }

    /// Whether `path` is matched, given what is known of the folder it lies in
    /// (`MatchesUsingParentResults`); with what a child of `path` needs to know.
    pub fn matches_below(&self, path: &str, folder: &MatchInfo) -> (bool, MatchInfo) {
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut is_matched = false;
        let mut info = MatchInfo {
            matched: vec![false; self.patterns.len()],
        };
        for (index, (pattern, slot)) in self.patterns.iter().zip(&mut info.matched).enumerate() {
            let mut matches = folder.matched.get(index).copied().unwrap_or(false);
            if !matches {
                // A pattern that could not change the answer is not tried.
                if pattern.is_exception != is_matched {
                    continue;
                }
                matches = pattern.matches(path)
                    || (folder.matched.is_empty()
                        && folders_above(path).any(|above| pattern.matches(above)));
            }
            *slot = matches;
            if matches {
                is_matched = !pattern.is_exception;
            }
        }
        (is_matched, info)
    }

    /// Whether one name of a folder matches one glob (Go's `filepath.Match` without slashes).
    pub(super) fn name_matches(glob: &str, name: &str) -> bool {
        go_glob::matches(glob, name) == Ok(true)
    }

    /// Whether a pattern of the kind asked for could match something inside of `folder`, as far as
    /// the beginnings of the patterns tell.
    pub(super) fn may_match_inside(&self, folder: &str, exceptions: bool) -> bool {
        let of_kind = |pattern: &&Pattern| pattern.is_exception == exceptions;
        self.patterns.iter().filter(of_kind).any(|pattern| {
            let fixed = pattern.without_trailing_glob();
            fixed.contains(['*', '[', ']', '?', '^', '\\'])
                || fixed == folder
                || fixed
                    .strip_prefix(folder)
                    .is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// The folders above `path`, outermost first, without the root.
fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter_map(|(at, _)| path.get(..at))
        .filter(|above| !above.is_empty())
}

impl Pattern {
    fn new(cleaned: &str) -> Result<Self, PatternError> {
        let error = |message| PatternError {
            pattern: cleaned.chars().take(120).collect(),
            message,
        };
        let (text, is_exception) = match cleaned.strip_prefix('!') {
            Some("") => return Err(error("a lone `!` takes nothing back")),
            Some(rest) => (rest, true),
            None => (cleaned, false),
        };
        // moby's own check of the syntax.
        go_glob::matches(text, ".").map_err(error)?;
        Ok(Self {
            text: text.to_owned(),
            is_exception,
            matcher: compile(text).map_err(error)?,
        })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => path == self.text,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path)
            }
            Matcher::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }

    fn without_trailing_glob(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }
}

/// How a pattern is matched: as moby's `compile`, down to which shapes need no regular expression.
fn compile(pattern: &str) -> Result<Matcher, &'static str> {
    #[derive(PartialEq)]
    enum Shape {
        Exact,
        Prefix,
        Suffix,
        Regex,
    }
    let mut shape = Shape::Exact;
    let mut expression = String::from("^");
    let mut letters = pattern.chars().peekable();
    let mut is_first = true;
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                letters.next_if_eq(&'/');
                let is_last = letters.peek().is_none();
                expression.push_str(if is_last { ".*" } else { "(.*/)?" });
                shape = match shape {
                    _ if is_first => Shape::Suffix,
                    Shape::Exact if is_last => Shape::Prefix,
                    _ => Shape::Regex,
                };
            }
            '*' => {
                expression.push_str("[^/]*");
                shape = Shape::Regex;
            }
            '?' => {
                expression.push_str("[^/]");
                shape = Shape::Regex;
            }
            '[' | ']' => {
                expression.push(letter);
                shape = Shape::Regex;
            }
            '\\' => {
                expression.push('\\');
                if let Some(escaped) = letters.next() {
                    expression.push(escaped);
                    shape = Shape::Regex;
                }
            }
            // moby means to do so with `|`, `{` and `}` too, but its table has no room for them
            // (`escapeBytes`).
            '.' | '+' | '(' | ')' | '$' => expression.extend(['\\', letter]),
            other => expression.push(other),
        }
        is_first = false;
    }
    Ok(match shape {
        Shape::Exact => Matcher::Exact,
        Shape::Prefix => Matcher::Prefix(pattern.trim_end_matches("**").to_owned()),
        Shape::Suffix => Matcher::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
        Shape::Regex => {
            expression.push('$');
            let expression = go_regexp::translate(&expression)?;
            let regex = Regex::new(&expression).map_err(|_| "it is too long or too odd")?;
            Matcher::Regex(regex)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_moby_matches_them() {
        let table = include_str!("../../tests/data/dockerignore.txt");
        let drawn = include_str!("../../tests/data/dockerignore_go.txt");
        let mut rows = 0;
        for line in table
            .lines()
            .chain(drawn.lines())
            .filter(|line| !line.starts_with('#'))
        {
            let (input, expected) = line.rsplit_once(" => ").unwrap();
            let (patterns, path) = input.rsplit_once(" : ").unwrap();
            let patterns: Vec<String> = serde_json::from_str(patterns).unwrap();
            let path: String = serde_json::from_str(path).unwrap();
            let found = match Patterns::new(&patterns) {
                Err(_) => "refused",
                Ok(patterns) if patterns.matches(&path) => "ignored",
                Ok(_) => "kept",
            };
            assert_eq!(found, expected, "{line}");
            rows += 1;
        }
        assert_eq!(rows, 123 + 200);
    }

    /// True unless a pattern repeats what an earlier one says: moby skips the repetition when it
    /// walks, and then does not know of it below. That is kept, as the builder expects the same.
    #[test]
    fn a_walk_that_hands_results_down_agrees_with_asking_for_each_path() {
        let patterns = Patterns::new(["*", "!src/**", "src/*/tmp", "!**/keep"]).unwrap();
        for path in [
            "src",
            "src/a",
            "src/a/tmp",
            "src/a/tmp/x",
            "src/a/tmp/keep",
            "docs/a/keep",
            "x/y",
        ] {
            let mut info = MatchInfo::default();
            for above in folders_above(path) {
                info = patterns.matches_below(above, &info).1;
            }
            let (walked, _) = patterns.matches_below(path, &info);
            assert_eq!(walked, patterns.matches(path), "{path}");
        }
    }

    /// Seen with `docker buildx build` and moby/patternmatcher: what stands behind a backslash, and
    /// in brackets, is read by Go's `regexp`.
    #[test]
    fn backslashes_and_classes_mean_what_go_makes_of_them() {
        let matched = [
            ("a\\d", "a5"),
            ("a\\wy", "a_y"),
            ("x\\Sx.txt", "x1x.txt"),
            ("\\Aabc", "abc"),
            ("abc\\z", "abc"),
            ("\\x61bc", "abc"),
            ("\\141bc", "abc"),
            ("\\pLbc", "abc"),
            ("[[:alpha:]]bc", "abc"),
            ("**\\bin", "x.txt/in"),
            ("a[*b]", "a^b]"),
            ("\\*\\.x", "*.x"),
            ("[[a]", "["),
            ("[a&&b]", "&"),
            ("[a~~b]", "~"),
            ("a\\-b", "a-b"),
            ("x?|b", "b/c"),
            ("*a{2}", "aa"),
            ("*{a}", "{a}"),
            ("\\x{61}bc", "abc"),
            ("\\p{Greek}", "α"),
            ("a*[]b]", "ab"),
        ];
        for (pattern, path) in matched {
            assert!(Patterns::new([pattern]).unwrap().matches(path), "{pattern}");
        }
        let kept = [
            ("**\\bin", "bin"),
            ("a\\b", "ab"),
            ("a[\\d]c", "adc"),
            ("*^b", "a^b"),
            ("\\Qab*", "abc"),
        ];
        for (pattern, path) in kept {
            assert!(
                !Patterns::new([pattern]).unwrap().matches(path),
                "{pattern}"
            );
        }
        for pattern in [
            "**\\obj",
            "src\\main",
            "node\\packages",
            "\\xyz",
            "a\\é",
            "a\\1",
            "[z-a]",
            "*{2}",
            "?{1001}",
            "\\p{Klingon}",
            "[[:letter:]]",
        ] {
            assert!(Patterns::new([pattern]).is_err(), "{pattern}");
        }
    }
}
