//! JSON as Go's `json.MarshalIndent` writes it.

use std::fmt::Write as _;

use super::Out;
use crate::compose::numbers;

/// The value, indented by two spaces a level, without a line break at the end.
pub(super) fn print(value: &Out) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Out, depth: usize, out: &mut String) {
    match value {
        Out::Null | Out::NoList => out.push_str("null"),
        Out::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Out::Int(whole) => {
            let _ = write!(out, "{whole}");
        }
        Out::Uint(whole) => {
            let _ = write!(out, "{whole}");
        }
        Out::Float(float) => out.push_str(&numbers::json(*float).unwrap_or_else(|| "null".into())),
        Out::Time(text) | Out::Text(text) => quote(text, out),
        Out::List(items) => {
            let items = items.iter().map(|item| (None, item));
            collection(('[', ']'), items, depth, out);
        }
        Out::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (Some(&**key), value));
            collection(('{', '}'), entries, depth, out);
        }
    }
}

fn collection<'a>(
    (open, close): (char, char),
    items: impl ExactSizeIterator<Item = (Option<&'a str>, &'a Out)>,
    depth: usize,
    out: &mut String,
) {
    out.push(open);
    let any = items.len() > 0;
    for (index, (key, value)) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        line(depth + 1, out);
        if let Some(key) = key {
            quote(key, out);
            out.push_str(": ");
        }
        write(value, depth + 1, out);
    }
    if any {
        line(depth, out);
    }
    out.push(close);
}

fn line(depth: usize, out: &mut String) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// Text with Go's escapes, which keep JSON safe within HTML.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}
