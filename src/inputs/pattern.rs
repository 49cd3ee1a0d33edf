use regex::Regex;

use super::clean_path;

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
        let pattern = check_syntax(glob).and_then(|()| compile(glob));
        pattern.is_ok_and(|matcher| {
            let pattern = Pattern {
                text: glob.to_owned(),
                is_exception: false,
                matcher,
            };
            pattern.matches(name)
        })
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
        check_syntax(text).map_err(error)?;
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
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }

    fn without_trailing_glob(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }
}

/// The syntax of Go's `filepath.Match`, which moby demands of every pattern: a class is not empty,
/// its ranges have two ends, and a backslash stands before something.
fn check_syntax(pattern: &str) -> Result<(), &'static str> {
    const UNCLOSED: &str = "a `[` is not closed";
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                letters.next().ok_or("it ends with a backslash")?;
            }
            '[' => {
                letters.next_if_eq(&'^');
                let mut ranges = 0;
                loop {
                    if ranges > 0 && letters.next_if_eq(&']').is_some() {
                        break;
                    }
                    class_letter(&mut letters).ok_or(UNCLOSED)?;
                    if letters.next_if_eq(&'-').is_some() {
                        class_letter(&mut letters).ok_or("a range in `[…]` has no end")?;
                    }
                    ranges += 1;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// One end of a range in a class; `-` and `]` need a backslash.
fn class_letter(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match letters.next()? {
        '-' | ']' => None,
        '\\' => letters.next(),
        letter => Some(letter),
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
    let mut regex = String::from("^");
    let mut letters = pattern.chars().peekable();
    let mut is_first = true;
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                letters.next_if_eq(&'/');
                let is_last = letters.peek().is_none();
                regex.push_str(if is_last { ".*" } else { "(.*/)?" });
                shape = match shape {
                    _ if is_first => Shape::Suffix,
                    Shape::Exact if is_last => Shape::Prefix,
                    _ => Shape::Regex,
                };
            }
            '*' => {
                regex.push_str("[^/]*");
                shape = Shape::Regex;
            }
            '?' => {
                regex.push_str("[^/]");
                shape = Shape::Regex;
            }
            '[' => {
                push_class(&mut letters, &mut regex);
                shape = Shape::Regex;
            }
            '\\' => {
                push_letter(letters.next().unwrap_or('\\'), &mut regex);
                shape = Shape::Regex;
            }
            other => push_letter(other, &mut regex),
        }
        is_first = false;
    }
    Ok(match shape {
        Shape::Exact => Matcher::Exact,
        Shape::Prefix => Matcher::Prefix(pattern.trim_end_matches("**").to_owned()),
        Shape::Suffix => Matcher::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
        Shape::Regex => {
            regex.push('$');
            Matcher::Regex(Regex::new(&regex).map_err(|_| "it is too long or too odd")?)
        }
    })
}

/// A letter that stands for itself.
fn push_letter(letter: char, regex: &mut String) {
    regex.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
}

/// A class after its `[`, up to and with its `]`. Its syntax has been checked.
fn push_class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, regex: &mut String) {
    regex.push('[');
    if letters.next_if_eq(&'^').is_some() {
        regex.push('^');
    }
    while let Some(letter) = letters.next() {
        match letter {
            ']' => break,
            '-' => regex.push('-'),
            '\\' => push_letter(letters.next().unwrap_or('\\'), regex),
            letter => push_letter(letter, regex),
        }
    }
    regex.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_moby_matches_them() {
        let table = include_str!("../../tests/data/dockerignore.txt");
        let mut rows = 0;
        for line in table.lines().filter(|line| !line.starts_with('#')) {
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
        assert_eq!(rows, 123);
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

    #[test]
    fn a_class_cannot_smuggle_in_the_syntax_of_regular_expressions() {
        assert!(Patterns::new(["[[a]"]).unwrap().matches("["));
        assert!(Patterns::new(["[a&&b]"]).unwrap().matches("&"));
        assert!(!Patterns::new(["\\d"]).unwrap().matches("1"));
    }
}
