//! A place in a file that somebody wrote, with the line as it stands there.
//!
//! Every room that reads files puts one into its errors, so that all of castoff points at a
//! mistake in the same way.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::printable::one_line;

/// How much of a line an error carries, in characters: enough to see the mistake, whatever the file is.
const SHOWN: usize = 240;
/// How many characters before a mistake are shown where the line is cut at both sides.
const LEAD: usize = 80;
/// How much of a mistake, in characters, must be seen where it stands far behind in its line.
const SEEN: usize = 80;
/// How many lines of a longer instruction are shown.
const MAX_LINES: usize = 8;

/// A place in an input file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The file, as the user named it or as it was found.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// How many characters the mistake spans, at least 1.
    pub length: usize,
    /// The text of the line, without its end and without control characters, shortened around the
    /// mistake.
    pub text: String,
    /// How many characters of `text` stand before the mistake: as many as in the file, unless the
    /// text is cut at its beginning or shows something else in place of what is secret.
    pub lead: usize,
    /// The lines after it that belong to it, in the same form, as of an instruction of several lines.
    pub following: Vec<String>,
}

impl Excerpt {
    /// The place at the byte offsets `start..end` of `source`, which is the text of `path`.
    ///
    /// Offsets behind the end, or within a character, are moved to the nearest place before. Where
    /// many places of a long text are wanted, a [`LineIndex`] of it finds them.
    pub fn at(path: &Path, source: &str, start: usize, end: usize) -> Self {
        LineIndex::of(source).excerpt(path, source, start, end)
    }

    /// The lines `first..=last` of `source`, counted from 1, at most eight of them. `None` where the
    /// text has no such line.
    pub fn of_lines(path: &Path, source: &str, first: usize, last: usize) -> Option<Self> {
        let mut lines = source.lines().skip(first.checked_sub(1)?);
        let text = one_line(lines.next()?.trim_end(), SHOWN);
        let count = last.saturating_sub(first).min(MAX_LINES - 1);
        let indent = text.chars().take_while(|letter| *letter == ' ').count();
        Some(Self {
            path: path.to_owned(),
            line: first,
            column: indent + 1,
            length: text.chars().skip(indent).count().max(1),
            lead: indent,
            following: lines
                .take(count)
                .map(|line| one_line(line.trim_end(), SHOWN))
                .collect(),
            text,
        })
    }
}

impl fmt::Display for Excerpt {
    /// `compose.yaml:3:7`, as compilers and editors write it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}:{}",
            self.path.display(),
            self.line,
            self.column
        )
    }
}

/// How many bytes of a text lie between two places whose characters are counted beforehand.
const STEP: usize = 1_024;

/// Where the lines of a text begin, and how many characters stand before each of its parts: any place
/// of it is found without going through the text, however long it or one of its lines is.
///
/// A line ends with a line feed, a carriage return, or both (YAML 1.2, 5.4).
#[derive(Clone, Debug, Default)]
pub struct LineIndex {
    /// The byte that each line begins with, but for the first.
    begins: Vec<u32>,
    /// The characters before each [`STEP`]th byte.
    letters: Vec<u32>,
}

impl LineIndex {
    /// The index of `source`, of which all that lies behind 4 GiB is one line.
    pub fn of(source: &str) -> Self {
        let bytes = source.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let mut counted = 0;
        Self {
            begins: ends
                .map_while(|(at, _)| u32::try_from(at + 1).ok())
                .collect(),
            letters: bytes
                .chunks(STEP)
                .map(|part| {
                    let before = counted;
                    counted += count(part);
                    u32::try_from(before).unwrap_or(u32::MAX)
                })
                .collect(),
        }
    }

    /// The place at the byte offsets `start..end` of `source`, the text that this is the index of. See
    /// [`Excerpt::at`].
    pub fn excerpt(&self, path: &Path, source: &str, start: usize, end: usize) -> Excerpt {
        let start = source.floor_char_boundary(start);
        let line = self
            .begins
            .partition_point(|begin| *begin as usize <= start);
        let begin = match line.checked_sub(1) {
            Some(before) => self.begins.get(before).map_or(0, |begin| *begin as usize),
            None => 0,
        };
        let next = self
            .begins
            .get(line)
            .map_or(source.len(), |at| *at as usize);
        let whole = source.get(begin..next).unwrap_or_default();
        let whole = whole.trim_end_matches(['\n', '\r']);
        let line_end = begin + whole.len();
        let start = start.min(line_end);
        let end = source.floor_char_boundary(end).clamp(start, line_end);
        let before = self.letters_before(source, start) - self.letters_before(source, begin);
        let marked = source.get(start..end).unwrap_or_default();
        let length = marked.chars().take(SHOWN).count();
        let (text, lead) = if before + length.min(SEEN) <= SHOWN {
            (one_line(whole, SHOWN), before)
        } else {
            let lead = source.get(begin..start).unwrap_or_default();
            let cut = lead.char_indices().rev().nth(LEAD - 1);
            let cut = begin + cut.map_or(0, |(at, _)| at);
            let shown = source.get(cut..line_end).unwrap_or_default();
            (format!("…{}", one_line(shown, SHOWN)), LEAD + 1)
        };
        let room = text.chars().count().saturating_sub(lead).max(1);
        Excerpt {
            path: path.to_owned(),
            line: line + 1,
            column: before + 1,
            length: length.clamp(1, room),
            text,
            lead,
            following: Vec::new(),
        }
    }

    /// How many characters of `source` stand before the byte `at`.
    fn letters_before(&self, source: &str, at: usize) -> usize {
        let part = at / STEP;
        let Some(counted) = self.letters.get(part) else {
            return source.chars().count();
        };
        let rest = source.as_bytes().get(part * STEP..at);
        *counted as usize + count(rest.unwrap_or_default())
    }
}

/// How many characters begin in a part of UTF-8.
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_its_line_and_column() {
        let source = "one\n  zwölf: x\nthree";
        let excerpt = Excerpt::at(Path::new("a.yaml"), source, 6, 12);
        assert_eq!(excerpt.to_string(), "a.yaml:2:3");
        assert_eq!(excerpt.text, "  zwölf: x");
        assert_eq!(excerpt.length, 5);
    }

    #[test]
    fn places_outside_the_text_are_moved_into_it() {
        let excerpt = Excerpt::at(Path::new("a"), "x\n", 99, 120);
        assert_eq!((excerpt.line, excerpt.column, excerpt.length), (2, 1, 1));
        let excerpt = Excerpt::at(Path::new("a"), "ö", 1, 1);
        assert_eq!((excerpt.line, excerpt.column), (1, 1));
    }

    #[test]
    fn of_a_long_line_the_part_with_the_mistake_is_shown() {
        let source = format!("{}wrong{}", "ä, ".repeat(3_000), ", ö".repeat(3_000));
        let start = source.find("wrong").unwrap();
        let excerpt = Excerpt::at(Path::new("a"), &source, start, start + 5);
        assert_eq!((excerpt.line, excerpt.column), (1, 9_001));
        let marked: String = excerpt.text.chars().skip(excerpt.lead).take(5).collect();
        assert_eq!((marked.as_str(), excerpt.length), ("wrong", 5));
        assert!(excerpt.text.starts_with('…') && excerpt.text.ends_with('…'));
        assert!(excerpt.text.chars().count() <= SHOWN + 2);
        let at_end = format!("{}wrong", "a".repeat(SHOWN));
        let excerpt = Excerpt::at(Path::new("a"), &at_end, SHOWN, SHOWN + 5);
        assert_eq!(excerpt.text, format!("…{}wrong", "a".repeat(LEAD)));
        assert_eq!((excerpt.lead, excerpt.length), (LEAD + 1, 5));
    }

    #[test]
    fn a_line_ends_with_a_line_feed_a_carriage_return_or_both() {
        let source = "one\r\ntwo\rthree\n\rfive";
        for (word, line) in [("one", 1), ("two", 2), ("three", 3), ("five", 5)] {
            let at = source.find(word).unwrap();
            let excerpt = Excerpt::at(Path::new("a"), source, at, at + word.len());
            assert_eq!((excerpt.line, excerpt.column), (line, 1), "{word}");
            assert_eq!((excerpt.text.as_str(), excerpt.length), (word, word.len()));
        }
    }

    #[test]
    fn places_are_found_in_time_that_does_not_grow_with_the_text() {
        let source = "ä".repeat(1 << 20);
        let index = LineIndex::of(&source);
        let start = std::time::Instant::now();
        for at in 0..20_000 {
            let excerpt = index.excerpt(Path::new("a"), &source, at * 100, at * 100 + 2);
            assert_eq!(excerpt.column, at * 50 + 1);
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn an_instruction_of_several_lines_is_shown_with_all_of_them() {
        let source = "FROM a\n  RUN one \\\n      two\nCMD x\n";
        let excerpt = Excerpt::of_lines(Path::new("D"), source, 2, 3).unwrap();
        assert_eq!(excerpt.to_string(), "D:2:3");
        assert_eq!(excerpt.text, "  RUN one \\");
        assert_eq!(excerpt.following, ["      two"]);
        let long = "x\n".repeat(20);
        let excerpt = Excerpt::of_lines(Path::new("D"), &long, 1, 20).unwrap();
        assert_eq!(excerpt.following.len(), MAX_LINES - 1);
        assert_eq!(Excerpt::of_lines(Path::new("D"), source, 9, 9), None);
        assert_eq!(Excerpt::of_lines(Path::new("D"), source, 0, 1), None);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let excerpt = Excerpt::at(Path::new("a"), "a\u{1b}[31m\tb", 0, 1);
        assert_eq!(excerpt.text, "a\u{fffd}[31m b");
    }
}
