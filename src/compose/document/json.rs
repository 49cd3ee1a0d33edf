//! JSON as Go's `json.MarshalIndent` writes it.

use std::fmt::{Result, Write};

use super::{Layout, Out};
use crate::compose::numbers;

/// Writes the value, indented by two spaces a level, without a line break at the end.
pub(super) fn print(value: &Out<'_>, out: &mut impl Write) -> Result {
    write(value, 0, out)
}

fn write(value: &Out<'_>, depth: usize, out: &mut impl Write) -> Result {
    match value {
        Out::Null | Out::NoList => out.write_str("null"),
        Out::Bool(flag) => write!(out, "{flag}"),
        Out::Int(whole) => write!(out, "{whole}"),
        Out::Uint(whole) => write!(out, "{whole}"),
        Out::Float(float) => match numbers::json(*float) {
            Some(text) => out.write_str(&text),
            None => out.write_str("null"),
        },
        Out::Time(text) => quote(text, out),
        Out::Text(text) => quote(text, out),
        Out::List(items) => {
            let items = items.iter().map(|item| (None, item));
            collection(('[', ']'), items, depth, out)
        }
        Out::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (Some(&**key), value));
            collection(('{', '}'), entries, depth, out)
        }
        Out::Object(map, object) => write(&Layout::Json.object(Some(map), object), depth, out),
    }
}

fn collection<'a>(
    (open, close): (char, char),
    items: impl ExactSizeIterator<Item = (Option<&'a str>, &'a Out<'a>)>,
    depth: usize,
    out: &mut impl Write,
) -> Result {
    out.write_char(open)?;
    let any = items.len() > 0;
    for (index, (key, value)) in items.enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        line(depth + 1, out)?;
        if let Some(key) = key {
            quote(key, out)?;
            out.write_str(": ")?;
        }
        write(value, depth + 1, out)?;
    }
    if any {
        line(depth, out)?;
    }
    out.write_char(close)
}

fn line(depth: usize, out: &mut impl Write) -> Result {
    out.write_char('\n')?;
    for _ in 0..depth {
        out.write_str("  ")?;
    }
    Ok(())
}

/// Text with Go's escapes, which keep JSON safe within HTML.
fn quote(text: &str, out: &mut impl Write) -> Result {
    out.write_char('"')?;
    let mut rest = text;
    while let Some((before, letter, behind)) = split_at_escape(rest) {
        out.write_str(before)?;
        match letter {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\x08' => out.write_str("\\b")?,
            '\x0c' => out.write_str("\\f")?,
            letter => write!(out, "\\u{:04x}", u32::from(letter))?,
        }
        rest = behind;
    }
    out.write_str(rest)?;
    out.write_char('"')
}

/// What is before the first letter that must be escaped, the letter, and what is behind it.
fn split_at_escape(text: &str) -> Option<(&str, char, &str)> {
    let at = text.find(|letter| {
        matches!(
            letter,
            '"' | '\\' | '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}'
        )
    })?;
    let (before, behind) = text.split_at(at);
    let mut letters = behind.chars();
    Some((before, letters.next()?, letters.as_str()))
}
