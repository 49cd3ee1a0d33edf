//! YAML as go-yaml v3 writes it, with an indentation of two.
//!
//! The choice between plain, quoted and literal text is libyaml's `analyze_scalar`, with go-yaml's
//! own rules about texts that would read back as something else.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{Result, Write};

use super::{Layout, Out};
use crate::compose::node::Value;
use crate::compose::{numbers, scalar};

/// The longest key that is written on one line with its value (libyaml).
const LONGEST_SIMPLE_KEY: usize = 128;

/// Writes the value as a document.
pub(super) fn print(value: &Out<'_>, out: &mut impl Write) -> Result {
    match value {
        Out::Map(entries) if !entries.is_empty() => mapping(entries, 0, out),
        Out::List(items) if !items.is_empty() => sequence(items, 0, out),
        Out::Object(map, object) => print(&Layout::Yaml.object(Some(map), object), out),
        _ => {
            inline(value, 0, out)?;
            out.write_char('\n')
        }
    }
}

/// Writes the entries of a mapping. The first line's indentation is there already.
fn mapping(entries: &[(Cow<'_, str>, Out<'_>)], indent: usize, out: &mut impl Write) -> Result {
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            pad(indent, out)?;
        }
        if key.len() > LONGEST_SIMPLE_KEY || key.contains(is_break) {
            out.write_str("? ")?;
            out.write_str(&scalar_text(key, false, indent + 2))?;
            out.write_char('\n')?;
            pad(indent, out)?;
            out.write_str(": ")?;
            behind_mark(value, indent, out)?;
        } else {
            out.write_str(&scalar_text(key, true, indent))?;
            out.write_char(':')?;
            below(value, indent, out)?;
        }
    }
    Ok(())
}

/// Writes a mapping's value behind its colon.
fn below(value: &Out<'_>, indent: usize, out: &mut impl Write) -> Result {
    match value {
        Out::Map(entries) if !entries.is_empty() => {
            out.write_char('\n')?;
            pad(indent + 2, out)?;
            mapping(entries, indent + 2, out)
        }
        Out::List(items) if !items.is_empty() => {
            out.write_char('\n')?;
            pad(indent + 2, out)?;
            sequence(items, indent + 2, out)
        }
        Out::Object(map, object) => below(&Layout::Yaml.object(Some(map), object), indent, out),
        _ => {
            out.write_char(' ')?;
            behind_mark(value, indent, out)
        }
    }
}

/// Writes a value that begins on the line of the mark before it: `- `, or the `: ` of a key that has
/// lines of its own.
fn behind_mark(value: &Out<'_>, indent: usize, out: &mut impl Write) -> Result {
    match value {
        Out::Map(entries) if !entries.is_empty() => mapping(entries, indent + 2, out),
        Out::List(items) if !items.is_empty() => sequence(items, indent + 2, out),
        Out::Object(map, object) => {
            behind_mark(&Layout::Yaml.object(Some(map), object), indent, out)
        }
        _ => {
            inline(value, indent + 2, out)?;
            out.write_char('\n')
        }
    }
}

fn sequence(items: &[Out<'_>], indent: usize, out: &mut impl Write) -> Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(indent, out)?;
        }
        out.write_str("- ")?;
        behind_mark(item, indent, out)?;
    }
    Ok(())
}

fn pad(indent: usize, out: &mut impl Write) -> Result {
    write!(out, "{:indent$}", "")
}

/// Writes a value that stands on one line, or a literal text whose lines have the indentation.
fn inline(value: &Out<'_>, indent: usize, out: &mut impl Write) -> Result {
    match value {
        Out::Null => out.write_str("null"),
        Out::Bool(flag) => write!(out, "{flag}"),
        Out::Int(whole) => write!(out, "{whole}"),
        Out::Uint(whole) => write!(out, "{whole}"),
        Out::Float(float) => out.write_str(&number(*float)),
        Out::Time(time) => out.write_str(time),
        Out::Text(text) => out.write_str(&scalar_text(text, false, indent)),
        Out::List(_) | Out::NoList => out.write_str("[]"),
        Out::Map(_) | Out::Object(..) => out.write_str("{}"),
    }
}

fn number(float: f64) -> String {
    if float.is_nan() {
        ".nan".to_owned()
    } else if float.is_infinite() {
        if float > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        numbers::general(float)
    }
}

fn scalar_text(text: &str, key: bool, indent: usize) -> String {
    let analysis = Analysis::of(text);
    // go-yaml writes a key `<<` as it is, and cannot read that back; so it has quotes here.
    let misread = key && text == "<<"
        || is_base60(text)
        || is_old_boolean(text)
        || !matches!(scalar::resolve(text), Value::Text(_));
    if text.contains('\n') {
        if key || !analysis.block_allowed {
            return double_quoted(text);
        }
        return literal(text, indent);
    }
    if misread {
        return double_quoted(text);
    }
    if analysis.plain_allowed && !(text.is_empty() && key) && !(key && analysis.multiline) {
        return text.to_owned();
    }
    if analysis.single_allowed && !(key && analysis.multiline) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    double_quoted(text)
}

/// What libyaml finds out about a text before it chooses a style.
#[expect(clippy::struct_excessive_bools, reason = "as libyaml's scalar_data")]
struct Analysis {
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
    multiline: bool,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "as in libyaml")]
struct Found {
    indicators: bool,
    breaks: bool,
    special: bool,
    tabs: bool,
    leading_space: bool,
    leading_break: bool,
    trailing_space: bool,
    trailing_break: bool,
    break_space: bool,
    space_break: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self {
                plain_allowed: true,
                single_allowed: true,
                block_allowed: false,
                multiline: false,
            };
        }
        let found = Found::in_text(text);
        let bad = found.special || found.space_break;
        Self {
            plain_allowed: !(found.leading_space
                || found.leading_break
                || found.trailing_space
                || found.trailing_break
                || found.break_space
                || bad
                || found.tabs
                || found.breaks
                || found.indicators),
            single_allowed: !(found.break_space || bad || found.tabs),
            block_allowed: !(found.trailing_space || bad),
            multiline: found.breaks,
        }
    }
}

impl Found {
    fn in_text(text: &str) -> Self {
        let mut found = Self {
            indicators: text.starts_with("---") || text.starts_with("..."),
            ..Self::default()
        };
        let last = text.chars().count() - 1;
        let mut letters = text.chars().enumerate().peekable();
        let mut before_blank = true;
        let (mut was_space, mut was_break) = (false, false);
        while let Some((at, letter)) = letters.next() {
            let next = letters.peek().map(|(_, next)| *next);
            let blank_next = next.is_none_or(|next| matches!(next, ' ' | '\t') || is_break(next));
            found.indicator(at, letter, before_blank, blank_next);
            if letter == '\t' {
                found.tabs = true;
            } else if !is_printable(letter) {
                found.special = true;
            }
            if letter == ' ' {
                found.leading_space |= at == 0;
                found.trailing_space |= at == last;
                found.break_space |= was_break;
            } else if is_break(letter) {
                found.breaks = true;
                found.leading_break |= at == 0;
                found.trailing_break |= at == last;
                found.space_break |= was_space;
            }
            was_space = letter == ' ';
            was_break = is_break(letter);
            before_blank = matches!(letter, ' ' | '\t') || is_break(letter);
        }
        found
    }

    fn indicator(&mut self, at: usize, letter: char, before_blank: bool, blank_next: bool) {
        let indicates = match letter {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => at == 0,
            '#' => at == 0 || before_blank,
            '?' | '-' => at == 0 && blank_next,
            ':' => blank_next,
            _ => false,
        };
        self.indicators |= indicates;
    }
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What go-yaml writes as it is; it escapes everything beyond U+FFFF.
fn is_printable(letter: char) -> bool {
    matches!(letter,
        '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        let escape = match letter {
            '\0' => "\\0",
            '\x07' => "\\a",
            '\x08' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\x0b' => "\\v",
            '\x0c' => "\\f",
            '\r' => "\\r",
            '\x1b' => "\\e",
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{85}' => "\\N",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            letter if is_printable(letter) => {
                out.push(letter);
                continue;
            }
            letter => {
                let code = u32::from(letter);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
                continue;
            }
        };
        out.push_str(escape);
    }
    out.push('"');
    out
}

/// A text over several lines, which keeps them.
fn literal(text: &str, indent: usize) -> String {
    let mut out = "|".to_owned();
    if text.starts_with(|letter| letter == ' ' || is_break(letter)) {
        out.push('2');
    }
    let mut ends = text.chars().rev();
    match (ends.next().is_some_and(is_break), ends.next()) {
        (false, _) => out.push('-'),
        (true, None) => out.push('+'),
        (true, Some(before)) if is_break(before) => out.push('+'),
        (true, Some(_)) => {}
    }
    out.push('\n');
    let mut at_start = true;
    for letter in text.chars() {
        if is_break(letter) {
            out.push(letter);
            at_start = true;
        } else {
            if at_start {
                out.extend(std::iter::repeat_n(' ', indent));
            }
            out.push(letter);
            at_start = false;
        }
    }
    // The line break behind the value is the text's own.
    if out.ends_with('\n') {
        out.pop();
    }
    out
}

/// `y`, `No`, `on`: booleans of YAML 1.1, which go-yaml quotes.
fn is_old_boolean(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
    )
}

/// `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`: numbers of YAML 1.1 to the base 60.
fn is_base60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    first.starts_with(|letter: char| letter.is_ascii_digit())
        && digits(first)
        && digits(fraction)
        && !rest.is_empty()
        && rest
            .iter()
            .all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

/// Sorts keys as go-yaml does: `a2` before `a10`.
///
/// Its order is not one for every set of keys, so the standard library's sort may not be used.
pub(super) fn sort<T>(entries: &mut Vec<(Cow<'_, str>, T)>) {
    let mut runs: Vec<Vec<_>> = entries.drain(..).map(|entry| vec![entry]).collect();
    while runs.len() > 1 {
        let mut longer = Vec::with_capacity(runs.len() / 2 + 1);
        let mut pairs = runs.into_iter();
        while let Some(one) = pairs.next() {
            longer.push(match pairs.next() {
                Some(two) => merged(one, two),
                None => one,
            });
        }
        runs = longer;
    }
    entries.extend(runs.into_iter().flatten());
}

fn merged<'a, T>(
    one: Vec<(Cow<'a, str>, T)>,
    two: Vec<(Cow<'a, str>, T)>,
) -> Vec<(Cow<'a, str>, T)> {
    let mut all = Vec::with_capacity(one.len() + two.len());
    let mut one = one.into_iter().peekable();
    let mut two = two.into_iter().peekable();
    while let (Some(left), Some(right)) = (one.peek(), two.peek()) {
        let from = if natural(&right.0, &left.0) == Ordering::Less {
            &mut two
        } else {
            &mut one
        };
        all.extend(from.next());
    }
    all.extend(one);
    all.extend(two);
    all
}

/// go-yaml's order of keys (`sorter.go`).
fn natural(one: &str, two: &str) -> Ordering {
    let one: Vec<char> = one.chars().collect();
    let two: Vec<char> = two.chars().collect();
    let mut digits = false;
    for (at, (a, b)) in one.iter().zip(&two).enumerate() {
        if a == b {
            digits = a.is_numeric();
            continue;
        }
        let less = match (a.is_alphabetic(), b.is_alphabetic()) {
            (true, true) => a < b,
            (a_letter, b_letter) if a_letter || b_letter => {
                if digits {
                    a_letter
                } else {
                    b_letter
                }
            }
            _ => by_number(&one, &two, at),
        };
        return if less {
            Ordering::Less
        } else {
            Ordering::Greater
        };
    }
    one.len().cmp(&two.len())
}

fn by_number(one: &[char], two: &[char], at: usize) -> bool {
    let behind_number = one
        .iter()
        .take(at)
        .rev()
        .take_while(|letter| letter.is_ascii_digit())
        .any(|letter| *letter != '0');
    let zero = one.get(at) == Some(&'0') || two.get(at) == Some(&'0');
    let start = i64::from(zero && behind_number);
    let number = |text: &[char]| {
        let digits = text.iter().skip(at).map_while(|letter| letter.to_digit(10));
        digits.fold((start, 0_usize), |(value, length), digit| {
            (
                value.wrapping_mul(10).wrapping_add(i64::from(digit)),
                length + 1,
            )
        })
    };
    let (a, b) = (number(one), number(two));
    if a == b {
        return one.get(at) < two.get(at);
    }
    a < b
}
