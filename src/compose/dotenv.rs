//! `.env` files and the files of `env_file` and `label_file`.
//!
//! The grammar is compose-go's `dotenv` package: `KEY=value`, `KEY: value`, `export KEY=value`,
//! quotes over several lines, ` #` comments, variables in unquoted and double-quoted values. The
//! format `raw` is that of `docker run --env-file`: no quotes, no variables.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::variables::Nth;
use crate::interpolate::{InterpolateError, interpolate};

mod escapes;

/// How much text the values of one file may have together, in bytes.
const MOST_TEXT: usize = 16 << 20;

/// The longest line of a raw file, in bytes: Go's `bufio.MaxScanTokenSize`.
const LONGEST_RAW_LINE: usize = 64 * 1024;

/// What files set.
pub(super) type Variables = BTreeMap<Arc<str>, Arc<str>>;

/// The lines of an env file before their variables are replaced, which is done for each service
/// that reads the file: a value may refer to what the service sets itself.
#[derive(Debug)]
pub(super) struct Lines {
    bytes: Arc<[u8]>,
    statements: Vec<Line>,
    /// Why the file cannot be read further than these lines.
    wrong: Option<DotenvError>,
}

#[derive(Debug)]
struct Line {
    /// The one that the name and the beginning of the value stand on, counted from 1.
    number: usize,
    name: Arc<str>,
    value: Given,
}

/// What a line gives its variable.
#[derive(Debug)]
enum Given {
    /// A value as it stands.
    Literal(Arc<str>),
    /// A value with variables in it, and how it is written: its quotes are a part of it.
    Template { text: Box<str>, written: Range<u32> },
    /// The value of the environment, for the name stands alone.
    Inherited,
}

/// Why an env file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DotenvError {
    /// A character that no variable's name has.
    #[error("line {line}: unexpected character `{letter}` in a variable's name")]
    Name {
        /// The line, counted from 1.
        line: usize,
        /// The character.
        letter: char,
    },
    /// A name with a space in it.
    #[error("line {line}: a variable's name has no spaces")]
    Space {
        /// The line, counted from 1.
        line: usize,
    },
    /// A quote that is not closed.
    #[error("line {line}: the quote is not closed")]
    Quote {
        /// The line where it is opened, counted from 1.
        line: usize,
    },
    /// A line without a name, at the end of the file or before the `=`.
    #[error("line {line}: a name is missing")]
    NoName {
        /// The line, counted from 1.
        line: usize,
    },
    /// A line that is longer than docker reads.
    #[error("line {line} is too long")]
    Long {
        /// The line, counted from 1.
        line: usize,
    },
    /// The values are longer than anybody needs.
    #[error("line {line}: the values are longer than {MOST_TEXT} bytes together")]
    TooLong {
        /// The line, counted from 1.
        line: usize,
    },
    /// The file is not text.
    #[error("line {line}: the file is not UTF-8")]
    NotUtf8 {
        /// The line, counted from 1.
        line: usize,
    },
    /// The value's variables cannot be replaced.
    #[error("line {line}: {source}")]
    Variable {
        /// The line of the variable, counted from 1; that of the value where none is meant.
        line: usize,
        /// The column of the same in characters, counted from 1.
        column: usize,
        /// The line of the variable's name that the value is for, counted from 1.
        begins: usize,
        /// Why.
        source: InterpolateError,
    },
}

impl DotenvError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Variable { source, .. } => source.hint(),
            Self::Name { .. } | Self::Space { .. } => {
                Some("lines are NAME=value; a comment begins with `#`".to_owned())
            }
            _ => None,
        }
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::Name { line, .. }
            | Self::Space { line }
            | Self::Quote { line }
            | Self::NoName { line }
            | Self::Long { line }
            | Self::TooLong { line }
            | Self::NotUtf8 { line }
            | Self::Variable { line, .. } => *line,
        }
    }
}

/// The grammar of an env file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnvFormat {
    /// compose's own, with quotes and variables.
    Dotenv,
    /// That of `docker run --env-file`.
    Raw,
}

/// The variables that an env file sets. A value's variables are looked up with `lookup`, and then
/// among those of the file; what is not set is empty.
pub fn env_file(
    bytes: &[u8],
    format: EnvFormat,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, DotenvError> {
    let mut variables = Variables::new();
    Lines::read(&bytes.into(), format).set(&mut variables, lookup, &mut Vec::new())?;
    Ok(variables
        .into_iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect())
}

impl Lines {
    /// Reads a file. What is wrong with it is told when its lines are used.
    pub(super) fn read(bytes: &Arc<[u8]>, format: EnvFormat) -> Self {
        let mut lines = Vec::new();
        let read = match format {
            EnvFormat::Dotenv => dotenv(bytes, &mut lines),
            EnvFormat::Raw => raw(bytes, &mut lines),
        };
        Self {
            bytes: Arc::clone(bytes),
            statements: lines,
            wrong: read.err(),
        }
    }

    /// How many lines there are that set something.
    pub(super) fn len(&self) -> usize {
        self.statements.len()
    }

    /// Sets the variables of the lines. A value's variables are looked up with `lookup`, and then
    /// among `variables`. Names of variables that were not set are added to `unset`.
    pub(super) fn set(
        &self,
        variables: &mut Variables,
        lookup: &dyn Fn(&str) -> Option<String>,
        unset: &mut Vec<String>,
    ) -> Result<(), DotenvError> {
        let mut used = 0;
        for line in &self.statements {
            let number = line.number;
            let value = match &line.value {
                Given::Literal(value) => Some(Arc::clone(value)),
                Given::Inherited => lookup(&line.name).map(Arc::from),
                Given::Template { text, written } => {
                    let lookup = |name: &str| {
                        lookup(name).or_else(|| variables.get(name).map(ToString::to_string))
                    };
                    let mut done = interpolate(text, &lookup)
                        .map_err(|source| self.wrong(line, text, written, source))?;
                    unset.append(&mut done.unset);
                    Some(done.text.into())
                }
            };
            if let Some(value) = value {
                used += value.len();
                if used > MOST_TEXT {
                    return Err(DotenvError::TooLong { line: number });
                }
                variables.insert(Arc::clone(&line.name), value);
            }
        }
        self.wrong.clone().map_or(Ok(()), Err)
    }

    /// What is wrong with a value's variables, and where.
    fn wrong(
        &self,
        line: &Line,
        template: &str,
        written: &Range<u32>,
        source: InterpolateError,
    ) -> DotenvError {
        let text = text_of(&self.bytes);
        let (start, end) = (written.start as usize, written.end as usize);
        let variable = source.at().and_then(|at| {
            let written = text.get(start..end)?;
            Nth::of(template, at.start).in_text(written)
        });
        let before = text.get(..start + variable.unwrap_or(0));
        let before = before.unwrap_or_default();
        let value = before.get(start..).unwrap_or_default();
        DotenvError::Variable {
            line: line.number + lines(value),
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            begins: line.number,
            source,
        }
    }
}

/// The text of a file in compose's own format, without a byte order mark.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// Reads the lines of compose's own format.
fn dotenv(bytes: &[u8], lines: &mut Vec<Line>) -> Result<(), DotenvError> {
    let text = text_of(bytes);
    let mut parser = Parser {
        text: &text,
        rest: &text,
        line: 1,
    };
    while parser.skip_to_statement() {
        lines.push(parser.statement()?);
    }
    Ok(())
}

struct Parser<'a> {
    text: &'a str,
    /// The end of `text` that is not read yet.
    rest: &'a str,
    line: usize,
}

impl<'a> Parser<'a> {
    /// Skips space, empty lines and comments; says whether anything is left.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let trimmed = self.rest.trim_start();
            let skipped = self.rest.len() - trimmed.len();
            self.line += lines(self.rest.get(..skipped).unwrap_or_default());
            self.rest = trimmed;
            if !trimmed.starts_with('#') {
                return !trimmed.is_empty();
            }
            let Some(end) = trimmed.find('\n') else {
                return false;
            };
            self.rest = trimmed.get(end..).unwrap_or_default();
        }
    }

    fn statement(&mut self) -> Result<Line, DotenvError> {
        let number = self.line;
        let (key, inherited) = self.key()?;
        if key.contains(' ') {
            return Err(DotenvError::Space { line: self.line });
        }
        let value = if inherited {
            Given::Inherited
        } else {
            self.value()?
        };
        Ok(Line {
            number,
            name: key.into(),
            value,
        })
    }

    /// The name, and whether it stands alone, so that its value comes from the environment.
    fn key(&mut self) -> Result<(&'a str, bool), DotenvError> {
        let mut text = self.rest;
        if let Some(rest) = text.strip_prefix("export")
            && rest.starts_with(['\t', '\n', '\x0c', '\r', ' '])
        {
            text = rest.trim_start_matches(is_space);
        }
        if text.is_empty() {
            return Err(DotenvError::NoName { line: self.line });
        }
        let mut end = None;
        for (at, letter) in text.char_indices() {
            match letter {
                letter if is_space(letter) => {}
                '=' | ':' | '\n' => {
                    end = Some((at, letter == '\n'));
                    break;
                }
                '_' | '.' | '-' | '[' | ']' => {}
                letter if letter.is_alphanumeric() => {}
                letter => {
                    return Err(DotenvError::Name {
                        line: self.line,
                        letter,
                    });
                }
            }
        }
        // A name that the file ends with has no line end behind it: compose-go takes it for an
        // empty name, and what is left for the value.
        let (key, behind, inherited) = match end {
            Some((at, inherited)) => (
                text.get(..at).unwrap_or_default(),
                text.get(at + 1..).unwrap_or_default(),
                inherited,
            ),
            None => ("", text, false),
        };
        if inherited && !key.contains(' ') {
            self.line += 1;
        }
        self.rest = behind.trim_start_matches(is_space);
        Ok((key.trim_end(), inherited))
    }

    fn value(&mut self) -> Result<Given, DotenvError> {
        let text = self.rest;
        let start = self.text.len() - text.len();
        let Some(quote @ ('"' | '\'')) = text.chars().next() else {
            let (value, rest) = text.split_once('\n').unwrap_or((text, ""));
            self.rest = rest;
            self.line += 1;
            let value = value.split(" #").next().unwrap_or_default().trim_end();
            return Ok(Given::of(value, start..start + value.len()));
        };
        let opened = self.line;
        let mut value = String::new();
        let mut escaped = false;
        for (at, letter) in text.char_indices().skip(1) {
            if letter == '\n' {
                self.line += 1;
            }
            if letter == quote && !escaped {
                self.rest = text.get(at + 1..).unwrap_or_default();
                return Ok(if quote == '"' {
                    Given::of(&escapes::replace(&value), start..start + at)
                } else {
                    Given::Literal(value.into())
                });
            }
            if letter == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && letter != quote {
                value.push('\\');
            }
            escaped = false;
            value.push(letter);
        }
        Err(DotenvError::Quote { line: opened })
    }
}

impl Given {
    /// A value that may have variables in it, which is written at these bytes of the file.
    fn of(value: &str, written: Range<usize>) -> Self {
        let offset = |at| u32::try_from(at).unwrap_or(u32::MAX);
        if value.contains('$') {
            Self::Template {
                text: value.into(),
                written: offset(written.start)..offset(written.end),
            }
        } else {
            Self::Literal(value.into())
        }
    }
}

/// Space within a line, as Go's dotenv counts it.
fn is_space(letter: char) -> bool {
    matches!(
        letter,
        '\t' | '\x0b' | '\x0c' | '\r' | ' ' | '\u{85}' | '\u{a0}'
    )
}

fn lines(text: &str) -> usize {
    text.matches('\n').count()
}

/// Reads the lines of the format `raw`: what stands behind the first `=` is the value, quotes and
/// all.
fn raw(bytes: &[u8], lines: &mut Vec<Line>) -> Result<(), DotenvError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        if line.len() >= LONGEST_RAW_LINE {
            return Err(DotenvError::Long { line: number });
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(DotenvError::NotUtf8 { line: number });
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Given::Literal(value.into())),
            None => (line, Given::Inherited),
        };
        if key.is_empty() {
            return Err(DotenvError::NoName { line: number });
        }
        if key.contains([' ', '\t']) {
            return Err(DotenvError::Space { line: number });
        }
        lines.push(Line {
            number,
            name: key.into(),
            value,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Variables, DotenvError> {
        let mut variables = Variables::new();
        let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let lines = Lines::read(&text.as_bytes().into(), EnvFormat::Dotenv);
        lines.set(&mut variables, &lookup, &mut Vec::new())?;
        Ok(variables)
    }

    /// Reads a file whose variables are wrong: the line and the column of the mistake.
    fn place(text: &str) -> (usize, usize) {
        match read(text) {
            Err(DotenvError::Variable { line, column, .. }) => (line, column),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn one(text: &str) -> String {
        let variables = read(text).unwrap();
        variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("|")
    }

    #[test]
    fn the_grammar() {
        for (text, want) in [
            ("A=b", "A=b"),
            ("A = b ", "A=b"),
            ("A: b", "A=b"),
            ("export A=b", "A=b"),
            ("A=b # c", "A=b"),
            ("A=b#c", "A=b#c"),
            ("A='$HOME' # c", "A=$HOME"),
            ("A=\"x\\ny $HOME\\$\"", "A=x\ny /root$"),
            ("A='x\ny'\nB=1", "A=x\ny|B=1"),
            ("A=\nB=${A:-2}", "A=|B=2"),
            ("HOME\nA=1", "A=1|HOME=/root"),
            ("# x\n\n\nA=1", "A=1"),
            ("A=\"\\0101\"", "A=A"),
            ("\u{feff}A=1", "A=1"),
        ] {
            assert_eq!(one(text), want, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        assert_eq!(
            read("A=1\nB%=2"),
            Err(DotenvError::Name {
                line: 2,
                letter: '%'
            })
        );
        assert_eq!(read("A=1\nB C=2"), Err(DotenvError::Space { line: 2 }));
        assert_eq!(read("A='1"), Err(DotenvError::Quote { line: 1 }));
    }

    #[test]
    fn a_wrong_variable_has_the_place_where_it_stands() {
        for (text, want) in [
            ("A=1\nK=${Z:?no}\nB=2\n", (2, 3)),
            ("A=1\nK=${Z:?no}", (2, 3)),
            ("A=1\r\nK=ab${\r\nB=2\r\n", (2, 5)),
            ("\u{feff}K=ö${1bad} # x", (1, 4)),
            ("K=\"x\ny\\\" \\n \\${A} ${\"\nB=2", (2, 14)),
            // What an escape makes a variable of has no place of its own.
            ("\nK=\"x\n\\0044{\"\n", (2, 3)),
        ] {
            assert_eq!(place(text), want, "{text:?}");
        }
        assert_eq!(
            read("A=\"1\n2\"\nB=3\n-=%%\nC C\n"),
            Err(DotenvError::Space { line: 5 })
        );
    }

    #[test]
    fn doubling_values_end() {
        let lines: Vec<String> = (0..40)
            .map(|i| format!("A{}=$A{i}$A{i}\n", i + 1))
            .collect();
        let text = format!("A0=xxxxxxxxxxxxxxxx\n{}", lines.concat());
        assert!(read(&text).is_err());
    }
}
