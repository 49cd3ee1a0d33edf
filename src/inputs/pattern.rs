use regex::bytes::{Regex, RegexBuilder};

use super::glob::Glob;
use super::{clean_path, go_glob, go_regexp};

/// Patterns as `.dockerignore` writes them, in moby's reading (moby/patternmatcher).
///
/// `**` crosses folders, `!` takes back, and the last pattern that matches decides. Unlike
/// gitignore, a pattern without a slash matches at the root only.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    list: Vec<Pattern>,
    /// Of each pattern the [`letters`] of its texts. They lie apart, as most patterns are passed over by
    /// them alone.
    letters: Vec<u64>,
    /// Where those that leave out may match, and those that take back.
    inside: [Inside; 2],
    has_exceptions: bool,
}

/// Where patterns may match, as far as their beginnings tell.
#[derive(Clone, Debug, Default)]
struct Inside {
    /// One of them begins with a wildcard.
    anywhere: bool,
    /// The beginnings of the others, in order.
    fixed: Vec<String>,
}

/// What is known of a folder, so that its children need not ask about it again.
#[derive(Clone, Debug, Default)]
pub struct MatchInfo {
    /// The numbers of the patterns that matched the folder or one above it, in order; none where nothing is
    /// known.
    matched: Option<Vec<usize>>,
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
    Glob(Glob),
    /// What only a regular expression is like.
    Odd(Regex),
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The longest pattern of which a regular expression is made, in bytes: as long as a path may be.
const LONGEST_ODD: usize = 4096;

/// How many patterns may be regular expressions, and how large each may grow, in bytes, compiled and
/// while it matches. `\pL{1000}` is short and takes megabytes; files of real projects have none.
const MOST_ODD: usize = 100;
const LARGEST_ODD: usize = 1 << 18;

impl Patterns {
    /// Reads patterns in the order in which they stand. Blank ones are passed over.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, PatternError> {
        let mut read = Self::default();
        let mut odd = 0;
        for pattern in patterns {
            let text = pattern.as_ref().trim();
            if text.is_empty() {
                continue;
            }
            let pattern = Pattern::new(&clean_path(text))?;
            odd += usize::from(matches!(pattern.matcher, Matcher::Odd(_)));
            if odd > MOST_ODD {
                return Err(PatternError {
                    pattern: pattern.text.chars().take(120).collect(),
                    message: "there are 100 before it that only a regular expression can be",
                });
            }
            read.has_exceptions |= pattern.is_exception;
            let [ordinary, exceptions] = &mut read.inside;
            let inside = if pattern.is_exception {
                exceptions
            } else {
                ordinary
            };
            let fixed = pattern.without_trailing_glob();
            if fixed.contains(['*', '[', ']', '?', '^', '\\']) {
                inside.anywhere = true;
            } else {
                inside.fixed.push(fixed.to_owned());
            }
            read.letters.push(pattern.letters());
            read.list.push(pattern);
        }
        for inside in &mut read.inside {
            inside.fixed.sort_unstable();
        }
        Ok(read)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
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
        let mut matched = Vec::new();
        let of_folder = folder.matched.as_deref();
        let mut of_folder = of_folder.unwrap_or_default().iter().peekable();
        let has = letters(path);
        for (index, (pattern, needs)) in self.list.iter().zip(&self.letters).enumerate() {
            let mut matches = of_folder.next_if_eq(&&index).is_some();
            if !matches {
                // A pattern that could not match or not change the answer is not tried.
                if needs & !has != 0 || pattern.is_exception != is_matched {
                    continue;
                }
                matches = pattern.matches(path)
                    || (folder.matched.is_none()
                        && folders_above(path).any(|above| pattern.matches(above)));
            }
            if matches {
                matched.push(index);
                is_matched = !pattern.is_exception;
            }
        }
        let matched = Some(matched);
        (is_matched, MatchInfo { matched })
    }

    /// Whether one name of a folder matches one glob (Go's `filepath.Match` without slashes).
    pub(super) fn name_matches(glob: &str, name: &str) -> bool {
        go_glob::matches(glob, name) == Ok(true)
    }

    /// Whether a pattern of the kind asked for could match something inside of `folder`, as far as
    /// the beginnings of the patterns tell.
    pub(super) fn may_match_inside(&self, folder: &str, exceptions: bool) -> bool {
        let [ordinary, taken_back] = &self.inside;
        let of_kind = if exceptions { taken_back } else { ordinary };
        let begins_with = |text: &str| {
            let at = of_kind.fixed.partition_point(|it| it.as_str() < text);
            of_kind.fixed.get(at).is_some_and(|it| it.starts_with(text))
        };
        of_kind.anywhere
            || of_kind
                .fixed
                .binary_search_by(|it| it.as_str().cmp(folder))
                .is_ok()
            || begins_with(&format!("{folder}/"))
    }
}

/// The letters of a text as a set, in which some letters share a place: what needs one that is not in a
/// path cannot match it.
fn letters(text: &str) -> u64 {
    text.bytes().fold(0, |set, byte| set | 1 << (byte & 63))
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
            Matcher::Glob(glob) => glob.matches(path),
            Matcher::Odd(regex) => regex.is_match(path.as_bytes()),
        }
    }

    /// The letters without which it matches nothing.
    fn letters(&self) -> u64 {
        match &self.matcher {
            Matcher::Exact => letters(&self.text),
            Matcher::Prefix(prefix) => letters(prefix),
            Matcher::Suffix(suffix) => letters(suffix.strip_prefix('/').unwrap_or(suffix)),
            Matcher::Glob(glob) => glob.texts().fold(0, |set, text| set | letters(text)),
            Matcher::Odd(_) => 0,
        }
    }

    fn without_trailing_glob(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }
}

/// How a pattern is matched: as moby's `compile`, down to which shapes are no regular expression there.
fn compile(pattern: &str) -> Result<Matcher, &'static str> {
    #[derive(PartialEq)]
    enum Shape {
        Exact,
        Prefix,
        Suffix,
        Regex,
    }
    let mut shape = Shape::Exact;
    let mut letters = pattern.chars().peekable();
    let mut is_first = true;
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                letters.next_if_eq(&'/');
                let is_last = letters.peek().is_none();
                shape = match shape {
                    _ if is_first => Shape::Suffix,
                    Shape::Exact if is_last => Shape::Prefix,
                    _ => Shape::Regex,
                };
            }
            // One at the end is only a letter.
            '\\' if letters.peek().is_none() => {}
            '*' | '?' | '[' | ']' | '\\' => shape = Shape::Regex,
            _ => {}
        }
        is_first = false;
        // Nothing behind it makes another shape of it.
        if shape == Shape::Regex {
            break;
        }
    }
    Ok(match shape {
        Shape::Exact => Matcher::Exact,
        Shape::Prefix => Matcher::Prefix(pattern.trim_end_matches("**").to_owned()),
        Shape::Suffix => Matcher::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
        Shape::Regex if is_plain(pattern) => Matcher::Glob(Glob::new(pattern)?),
        Shape::Regex if pattern.len() > LONGEST_ODD => return Err("it is too long"),
        Shape::Regex => {
            let expression = go_regexp::translate(&expression(pattern))?;
            let regex = RegexBuilder::new(&expression)
                .size_limit(LARGEST_ODD)
                .dfa_size_limit(LARGEST_ODD)
                .build();
            Matcher::Odd(regex.map_err(|_| "it is too large, or BuildKit cannot read it")?)
        }
    })
}

/// Whether a pattern means what it seems to: it has nothing that Go's `regexp` reads in its own way.
fn is_plain(pattern: &str) -> bool {
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_plain = match letter {
            '\\' => letters
                .next()
                .is_some_and(|it| it.is_ascii() && !it.is_ascii_alphanumeric()),
            '[' => is_plain_class(&mut letters),
            '^' | '|' | '{' => false,
            _ => true,
        };
        if !is_plain {
            return false;
        }
    }
    true
}

/// Whether a class behind its `[` is of letters and ranges alone.
fn is_plain_class(letters: &mut Letters<'_>) -> bool {
    let is_letter = |letter: &char| !matches!(letter, '\\' | '[' | ']' | '*' | '?' | '-');
    letters.next_if_eq(&'^');
    let mut is_empty = true;
    while is_empty || letters.next_if_eq(&']').is_none() {
        is_empty = false;
        let Some(first) = letters.next_if(is_letter) else {
            return false;
        };
        if letters.next_if_eq(&'-').is_some()
            && letters.next_if(is_letter).is_none_or(|last| last < first)
        {
            return false;
        }
    }
    true
}

/// The regular expression that moby makes of a pattern, for Go's `regexp`.
fn expression(pattern: &str) -> String {
    let mut expression = String::from("^");
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                letters.next_if_eq(&'/');
                let is_last = letters.peek().is_none();
                expression.push_str(if is_last { ".*" } else { "(.*/)?" });
            }
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '\\' => {
                expression.push('\\');
                expression.extend(letters.next());
            }
            // moby means to do so with `|`, `{` and `}` too, but its table has no room for them
            // (`escapeBytes`).
            '.' | '+' | '(' | ')' | '$' => expression.extend(['\\', letter]),
            other => expression.push(other),
        }
    }
    expression.push('$');
    expression
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

    #[test]
    fn many_patterns_are_mostly_passed_over() {
        let lines = (0..20_000).map(|number| format!("*x{number}*y*"));
        let patterns = Patterns::new(lines.chain(["!z/x7ay".to_owned()])).unwrap();
        let folder = patterns.matches_below("z", &MatchInfo::default()).1;
        for number in 0..2_000 {
            let path = format!("z/file-{number}");
            assert!(!patterns.matches_below(&path, &folder).0);
        }
        assert!(patterns.matches("x7ay"));
        assert!(!patterns.matches("z/x7ay"));
    }

    #[test]
    fn what_may_be_taken_back_is_known_by_its_folder() {
        let patterns = Patterns::new(["docs", "!docs/a/b", "!docs-old/*", "!é"]).unwrap();
        for (folder, may) in [
            ("docs", true),
            ("docs/a", true),
            ("docs/a/b", true),
            ("docs/a/bc", false),
            ("doc", false),
            ("docs-old", true),
            ("é", true),
        ] {
            assert_eq!(patterns.may_match_inside(folder, true), may, "{folder}");
        }
        assert!(!patterns.may_match_inside("docs/a", false));
        let anywhere = Patterns::new(["docs", "!*/x"]).unwrap();
        assert!(anywhere.may_match_inside("docs", true));
    }

    #[test]
    fn expressions_that_grow_are_few_and_bounded() {
        assert!(Patterns::new(["?\\pL{1000}"]).is_err());
        let start = std::time::Instant::now();
        let growing = |number: usize| format!("?\\pL{{3}}{number}");
        let (few, many) = ((0..100).map(growing), (0..100_000).map(growing));
        assert!(Patterns::new(few).is_ok());
        assert!(Patterns::new(many).is_err());
        assert!(start.elapsed().as_secs() < 20);
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
