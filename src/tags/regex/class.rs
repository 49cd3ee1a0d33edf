//! Sets of characters.

use std::fmt::Write as _;

/// Characters from the first to the last, both included.
pub(super) type Range = (u32, u32);

pub(super) const DIGITS: &[Range] = &[(0x30, 0x39)];
pub(super) const WORDS: &[Range] = &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];
/// White space and line ends (ECMA-262, `CharacterClassEscape :: s`).
pub(super) const SPACES: &[Range] = &[
    (0x09, 0x0d),
    (0x20, 0x20),
    (0xa0, 0xa0),
    (0x1680, 0x1680),
    (0x2000, 0x200a),
    (0x2028, 0x2029),
    (0x202f, 0x202f),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
    (0xfeff, 0xfeff),
];
/// What `.` does not match, and what `^` and `$` look for in several lines.
pub(super) const LINE_ENDS: &[Range] = &[(0x0a, 0x0a), (0x0d, 0x0d), (0x2028, 0x2029)];
const LAST: u32 = 0x0010_ffff;

/// A set in the making.
#[derive(Default)]
pub(super) struct Set {
    ranges: Vec<Range>,
    /// `\p{…}` and the like, as they are written.
    named: Vec<String>,
}

impl Set {
    pub(super) fn add(&mut self, ranges: &[Range]) {
        self.ranges.extend_from_slice(ranges);
    }

    pub(super) fn add_all_but(&mut self, ranges: &[Range]) {
        let mut from = 0;
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable();
        for (first, last) in sorted {
            if from < first {
                self.ranges.push((from, first - 1));
            }
            from = from.max(last + 1);
        }
        if from <= LAST {
            self.ranges.push((from, LAST));
        }
    }

    pub(super) fn add_named(&mut self, named: String) {
        self.named.push(named);
    }

    /// The set as the regex crate writes it.
    pub(super) fn written(mut self, negated: bool, ignore_case: bool) -> String {
        if ignore_case {
            self.add_other_case();
        }
        let mut text = String::from(if negated { "[^" } else { "[" });
        if self.ranges.is_empty() && self.named.is_empty() {
            // Nothing at all, or anything at all.
            return format!(
                "[{}\\x{{0}}-\\x{{{LAST:x}}}]",
                if negated { "" } else { "^" }
            );
        }
        for (first, last) in self.ranges {
            // Surrogates are no characters in Rust; they only end ranges.
            let first = if (0xd800..0xe000).contains(&first) {
                0xe000
            } else {
                first
            };
            let last = if (0xd800..0xe000).contains(&last) {
                0xd7ff
            } else {
                last
            };
            if first <= last {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\x{{{first:x}}}-\\x{{{last:x}}}");
            }
        }
        for named in self.named {
            text.push_str(&named);
        }
        if text.ends_with(['[', '^']) {
            return format!(
                "[{}\\x{{0}}-\\x{{{LAST:x}}}]",
                if negated { "" } else { "^" }
            );
        }
        text.push(']');
        text
    }

    /// The other case of every letter. Of ranges beyond ASCII only single characters are turned.
    fn add_other_case(&mut self) {
        let mut others = Vec::new();
        for &(first, last) in &self.ranges {
            for (from, to, turn) in [(0x41_u32, 0x5a_u32, 32_i64), (0x61, 0x7a, -32)] {
                let (low, high) = (first.max(from), last.min(to));
                if low <= high {
                    let turned = |code: u32| u32::try_from(i64::from(code) + turn).unwrap_or(code);
                    others.push((turned(low), turned(high)));
                }
            }
            if first == last && first > 0x7f {
                others.extend(other_case(first).map(|code| (code, code)));
            }
        }
        self.ranges.extend(others);
    }
}

/// The other case of one character beyond ASCII, where it is one character beyond ASCII, too.
fn other_case(code: u32) -> Option<u32> {
    let letter = char::from_u32(code)?;
    let only = |mut letters: Box<dyn Iterator<Item = char>>| match (letters.next(), letters.next())
    {
        (Some(one), None) if one != letter && !one.is_ascii() => Some(u32::from(one)),
        _ => None,
    };
    only(Box::new(letter.to_uppercase())).or_else(|| only(Box::new(letter.to_lowercase())))
}
