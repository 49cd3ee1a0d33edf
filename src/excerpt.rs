//! A place in a file that somebody wrote, with the line as it stands there.
//!
//! Every room that reads files puts one into its errors, so that all of castoff points at a
//! mistake in the same way.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::printable::one_line;

/// How much of a line an error carries: enough to see the mistake, whatever the file is.
const SHOWN: usize = 240;
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
    /// The text of the line, without its end and without control characters, shortened.
    pub text: String,
    /// The lines after it that belong to it, in the same form, as of an instruction of several lines.
    pub following: Vec<String>,
}

impl Excerpt {
    /// The place at the byte offsets `start..end` of `source`, which is the text of `path`.
    ///
    /// Offsets behind the end, or within a character, are moved to the nearest place before.
    pub fn at(path: &Path, source: &str, start: usize, end: usize) -> Self {
        let start = floor_char_boundary(source, start);
        let end = floor_char_boundary(source, end).max(start);
        let before = source.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = source.get(line_start..).unwrap_or_default();
        let full_line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let lead = source.get(line_start..start).unwrap_or_default();
        let marked = source.get(start..end).unwrap_or_default();
        let marked = marked.split(['\n', '\r']).next().unwrap_or_default();
        let column = lead.chars().count() + 1;
        let text = one_line(full_line, SHOWN);
        let room = text.chars().count().saturating_sub(column - 1).max(1);
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            length: marked.chars().count().clamp(1, room),
            text,
            following: Vec::new(),
        }
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

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
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
