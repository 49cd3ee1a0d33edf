//! Regular expressions as JavaScript reads them, because that is what users bring along.
//!
//! JavaScript's syntax is translated into that of the fancy-regex crate, which has look-around and
//! back references, hands everything else to a linear engine, and gives up after a bounded number
//! of steps. The translation spells out what means something else there (`\d`, `\w`, `\s`, `.`,
//! `$`, case, class syntax). Left out: sets (`v` flag), and that a repeated group forgets what it
//! captured in the round before.

mod class;
mod escape;
mod quantifier;
mod translate;

use fancy_regex::{Regex, RegexBuilder};

/// The longest expression that is read, in bytes.
const MAX_SOURCE: usize = 4096;
/// How often a match may go back and try another way.
const MAX_BACKTRACKS: usize = 100_000;
/// How large a compiled expression may become, in bytes.
const MAX_COMPILED: usize = 4 * 1024 * 1024;
/// How many matches the `g` flag collects.
const MAX_MATCHES: usize = 1000;

/// A regular expression, with what JavaScript's flags make of its matches.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    regex: Regex,
    flags: Flags,
}

/// The flags behind `/…/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each flag of JavaScript is one of its own"
)]
pub(super) struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    unicode: bool,
    global: bool,
    sticky: bool,
}

/// Why a text is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// JavaScript would refuse it, too.
    #[error("{what} at character {at}")]
    Syntax {
        /// What is wrong.
        what: &'static str,
        /// Where, counted from 1.
        at: usize,
    },
    /// The flags behind the last slash are none.
    #[error(
        "`{flags}` are no flags: a pattern that begins with `/` has its flags behind the last `/`"
    )]
    Flags {
        /// What stands there, shortened.
        flags: String,
    },
    /// JavaScript would take it; castoff does not.
    #[error("{what} are not supported")]
    Unsupported {
        /// What it uses, in the plural.
        what: &'static str,
    },
    /// It is too large, or would be once compiled.
    #[error("it is too large: at most {MAX_SOURCE} characters, and few repetitions within others")]
    TooLarge,
}

/// A match took more steps than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooHard;

impl Pattern {
    /// Reads an expression without delimiters.
    pub fn bare(source: &str) -> Result<Self, PatternError> {
        Self::with_flags(source, source, Flags::default())
    }

    /// Reads `/expression/flags`, or an expression without delimiters.
    pub fn delimited(source: &str) -> Result<Self, PatternError> {
        let delimited = source
            .strip_prefix('/')
            .and_then(|inner| inner.rsplit_once('/'))
            .filter(|(inner, _)| !inner.is_empty());
        match delimited {
            Some((inner, flags)) => Self::with_flags(source, inner, Flags::parse(flags)?),
            None => Self::bare(source),
        }
    }

    fn with_flags(source: &str, inner: &str, flags: Flags) -> Result<Self, PatternError> {
        if inner.len() > MAX_SOURCE {
            return Err(PatternError::TooLarge);
        }
        let translated = translate::translate(inner, flags)?;
        let regex = RegexBuilder::new(&translated)
            .backtrack_limit(MAX_BACKTRACKS)
            .delegate_size_limit(MAX_COMPILED)
            .delegate_dfa_size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| match error {
                // What is left for the crate to refuse is size, and look-behind that it cannot do.
                fancy_regex::Error::CompileError(problem)
                    if matches!(*problem, fancy_regex::CompileError::LookBehindNotConst) =>
                {
                    PatternError::Unsupported {
                        what: "look-behinds of this kind",
                    }
                }
                fancy_regex::Error::ParseError(..) => PatternError::Unsupported {
                    what: "expressions of this kind",
                },
                _ => PatternError::TooLarge,
            })?;
        Ok(Self {
            source: source.to_owned(),
            regex,
            flags,
        })
    }

    /// The text as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What JavaScript's `text.match(pattern)` gives: the match and its groups; with the `g` flag
    /// every match instead. `None` where nothing matches.
    pub(super) fn find(&self, text: &str) -> Result<Option<Vec<Option<String>>>, TooHard> {
        if self.flags.global {
            return self.find_all(text);
        }
        let Some(captures) = self.regex.captures(text).map_err(|_| TooHard)? else {
            return Ok(None);
        };
        if self.flags.sticky && captures.get(0).is_none_or(|whole| whole.start() != 0) {
            return Ok(None);
        }
        let groups = captures
            .iter()
            .map(|group| group.map(|group| group.as_str().to_owned()));
        Ok(Some(groups.collect()))
    }

    /// Matches one after the other, the empty ones too; behind an empty one the next character is
    /// skipped.
    fn find_all(&self, text: &str) -> Result<Option<Vec<Option<String>>>, TooHard> {
        let mut found = Vec::new();
        let mut from = 0;
        while found.len() < MAX_MATCHES {
            let next = self.regex.find_from_pos(text, from).map_err(|_| TooHard)?;
            let Some(next) = next.filter(|it| !self.flags.sticky || it.start() == from) else {
                break;
            };
            found.push(Some(next.as_str().to_owned()));
            let skipped = text.get(next.end()..).and_then(|rest| rest.chars().next());
            from = match skipped {
                _ if next.start() < next.end() => next.end(),
                Some(letter) => next.end() + letter.len_utf8(),
                None => break,
            };
        }
        Ok((!found.is_empty()).then_some(found))
    }
}

impl Flags {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let refused = || PatternError::Flags {
            flags: super::printable(text, 40),
        };
        let mut flags = Self::default();
        let (mut indices, mut sets) = (false, false);
        for letter in text.chars() {
            let flag = match letter {
                'i' => &mut flags.ignore_case,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_all,
                'u' => &mut flags.unicode,
                'g' => &mut flags.global,
                'y' => &mut flags.sticky,
                'd' => &mut indices,
                'v' => &mut sets,
                _ => return Err(refused()),
            };
            if *flag {
                return Err(refused());
            }
            *flag = true;
        }
        if sets {
            return Err(PatternError::Unsupported { what: "sets (`v`)" });
        }
        Ok(flags)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.flags == other.flags
    }
}

impl Eq for Pattern {}

/// Whether a text stops in the middle of an expression: within a group, a class or a count. A
/// comma there belongs to the expression.
pub(super) fn is_open(source: &str) -> bool {
    let mut groups = 0_usize;
    let mut in_class = false;
    let mut count: Option<&str> = None;
    let mut letters = source.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
                count = None;
            }
            '[' if !in_class => in_class = true,
            ']' if in_class => in_class = false,
            _ if in_class => {}
            '(' => groups += 1,
            ')' => groups = groups.saturating_sub(1),
            '{' => count = source.get(at + 1..),
            '}' => count = None,
            _ => {}
        }
    }
    let in_count = count.is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    groups > 0 || in_class || in_count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The match and its groups, joined; `-` for a group that took no part.
    fn find(pattern: &str, text: &str) -> String {
        let pattern = Pattern::delimited(pattern).unwrap();
        match pattern.find(text).unwrap() {
            None => "no match".to_owned(),
            Some(groups) => groups
                .into_iter()
                .map(|group| group.unwrap_or_else(|| "-".to_owned()))
                .collect::<Vec<_>>()
                .join("|"),
        }
    }

    #[test]
    fn groups_and_flags() {
        assert_eq!(find(r"v(\d+)\.(\d+)?", "api/v1."), "v1.|1|-");
        assert_eq!(find(r"/^V(\d.\d)$/i", "v1x2"), "v1x2|1x2");
        assert_eq!(find(r"/\d/g", "1a2b3"), "1|2|3");
        assert_eq!(find(r"/\d/gy", "12b3"), "1|2");
        assert_eq!(find(r"/b|/g", "abc"), "|b||");
        assert_eq!(find(r"/x?/gy", "xa"), "x||");
        assert_eq!(find(r"/\d/y", "a1"), "no match");
        assert_eq!(find(r"/a.b/s", "a\nb"), "a\nb");
        assert_eq!(find(r"/^b$/m", "a\nb"), "b");
        assert_eq!(find("/", "a/b"), "/");
        assert_eq!(find("//", "a//b"), "//");
    }

    #[test]
    fn look_around_and_back_references() {
        assert_eq!(find(r"(?<=v)\d+(?!\d|\.)", "v1.2 v34"), "34");
        assert_eq!(find(r"(?<!v)\d", "v12"), "2");
        assert_eq!(find(r"(\w)\1", "abccd"), "cc|c");
        assert_eq!(find(r"(?<x>a)-\k<x>", "a-a"), "a-a|a");
        assert_eq!(find(r"(a)?\1b", "b"), "b|-");
        assert_eq!(find(r"(a\1)(\3)(b)", "ab"), "ab|a||b");
        assert_eq!(find(r"/(a)\1/i", "aA"), "aA|a");
    }

    #[test]
    fn javascript_and_no_other_dialect() {
        assert_eq!(find(r"\d", "٣"), "no match");
        assert_eq!(find(r"\w", "ä"), "no match");
        assert_eq!(find(r"\bx", "äx"), "x");
        assert_eq!(find(r"[\d-z]+", "1-z"), "1-z");
        assert_eq!(find(r"[[a]", "["), "[");
        assert_eq!(find(r"[a&&b]+", "&"), "&");
        assert_eq!(find(r"[^]", "\n"), "\n");
        assert_eq!(find(r"[]", "x"), "no match");
        assert_eq!(find(r"a{,2}", "a{,2}"), "a{,2}");
        assert_eq!(find(r"x]{", "x]{"), "x]{");
        assert_eq!(find(r"\a\_\-\/\Z", "a_-/Z"), "a_-/Z");
        assert_eq!(find(r"\x41\u0042\103\cJ", "ABC\n"), "ABC\n");
        assert_eq!(find(r"\1", "\u{1}"), "\u{1}");
        assert_eq!(find(r"\k", "k"), "k");
        assert_eq!(find(r"(?=(a))*(b)", "b"), "b|-|b");
        assert_eq!(find(r"(?:)*x(\b)+?()?", "x"), "x||-");
        assert_eq!(find(r"/[k]/i", "\u{212a}"), "no match");
        assert_eq!(find(r"a$", "a\n"), "no match");
        assert_eq!(find(r"/\p{Lu}\u{41}/u", "ÄA"), "ÄA");
    }

    #[test]
    fn what_javascript_refuses_is_refused() {
        for pattern in [
            "(",
            ")",
            "a**",
            "*",
            "a{2,1}",
            "[b-a]",
            "[",
            "\\",
            "(?<1>a)",
            "(?<a>x)(?<a>y)",
            "(?x)",
            "a++",
            "(?>a)",
            "/a/k",
            "/a/ii",
            "/api/v1",
            "/(/",
            r"/\k/u",
            r"/\-/u",
            "(?<=a)+",
            r"(?<n>a)\k<m>",
            "+",
            "a|*",
        ] {
            assert!(Pattern::delimited(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn no_expression_takes_for_ever() {
        let text = "a".repeat(2000);
        for pattern in [
            r"^(a+)+$b",
            r"^(?=(a+)+b)a*$",
            r"(a*)*\1b",
            "(.*)(.*)(.*)(.*)(.*)\\1x",
        ] {
            let started = std::time::Instant::now();
            let pattern = Pattern::bare(pattern).unwrap();
            assert!(!matches!(pattern.find(&text), Ok(Some(_))));
            assert!(started.elapsed().as_secs() < 5, "{pattern:?}");
        }
        for pattern in [
            "((a{1000}){1000}){1000}",
            "(((?=a)a?){1000}){1000}",
            &"(".repeat(5000),
        ] {
            assert!(Pattern::bare(pattern).is_err(), "{pattern:.40}");
        }
    }

    #[test]
    fn a_comma_within_brackets_belongs_to_the_expression() {
        for (text, open) in [
            (r"^\d{1", true),
            (r"(a", true),
            (r"[a", true),
            (r"(a)", false),
            (r"\(a", false),
            (r"[(]", false),
            (r"\d{1,3}", false),
            (r"a{", false),
            (r"{{a", false),
        ] {
            assert_eq!(is_open(text), open, "{text}");
        }
    }
}
