//! Go's regular expressions, as far as moby makes them of patterns.
//!
//! moby/patternmatcher copies a backslash with its letter, and the brackets of a class, as they are
//! into an expression of Go's `regexp`. So `\d` in a `.dockerignore` is a digit, `\b` an edge of a
//! word, and `\m` an error. Go's own rules are in `regexp/syntax/parse.go`.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// Why an expression is none.
pub(super) type Reason = &'static str;

const ESCAPE: Reason = "to BuildKit a backslash before this letter or digit is an error; \
                        between folders there is a `/`";
const UNCLOSED: Reason = "a `[` is not closed";
const BACKWARDS: Reason = "a range in `[…]` ends before it begins";
const NAME: Reason = "there is no class `[:…:]` of that name";
const REPEAT: Reason = "to BuildKit `{…}` repeats what is before it, and cannot here";

/// The most that Go repeats something.
const MOST: u32 = 1000;

/// What stands before a repetition.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Something,
    Repetition,
}

/// The same expression in the words of the `regex` crate.
pub(super) fn translate(go: &str) -> Result<String, Reason> {
    let mut out = String::with_capacity(go.len());
    let mut letters = go.chars().peekable();
    let mut before = Before::Nothing;
    while let Some(letter) = letters.next() {
        before = match letter {
            '\\' => {
                top_escape(&mut letters, &mut out)?;
                Before::Something
            }
            '[' => {
                class(&mut letters, &mut out)?;
                Before::Something
            }
            '{' => match repetition(&mut letters)? {
                Some(_) if before != Before::Something => return Err(REPEAT),
                Some((least, most)) => {
                    let _ = write!(out, "{{{least},{most}}}");
                    Before::Repetition
                }
                None => {
                    literal('{', &mut out);
                    Before::Something
                }
            },
            // Of moby's own making.
            '*' | '?' => {
                out.push(letter);
                Before::Repetition
            }
            '|' | '(' => {
                out.push(letter);
                Before::Nothing
            }
            '}' => {
                literal('}', &mut out);
                Before::Something
            }
            // What else is special to Go is so to the crate.
            other => {
                out.push(other);
                Before::Something
            }
        };
    }
    Ok(out)
}

/// `n}`, `n,}` or `n,m}` behind a `{`, the second one empty for any number; none where something else
/// stands there, and the `{` stands for itself (`parser.repeat`).
fn repetition(letters: &mut Peekable<Chars<'_>>) -> Result<Option<(u32, String)>, Reason> {
    let mut ahead = letters.clone();
    let Some(least) = count(&mut ahead) else {
        return Ok(None);
    };
    let most = if ahead.next_if_eq(&',').is_none() {
        Some(least)
    } else if ahead.peek() == Some(&'}') {
        None
    } else {
        let Some(most) = count(&mut ahead) else {
            return Ok(None);
        };
        Some(most)
    };
    if ahead.next() != Some('}') {
        return Ok(None);
    }
    if least > MOST || most.is_some_and(|most| most > MOST || most < least) {
        return Err(REPEAT);
    }
    *letters = ahead;
    Ok(Some((
        least,
        most.map_or(String::new(), |most| most.to_string()),
    )))
}

/// A number without zeros before it; a large one is too large.
fn count(letters: &mut Peekable<Chars<'_>>) -> Option<u32> {
    let digits: String = std::iter::from_fn(|| letters.next_if(char::is_ascii_digit)).collect();
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}

fn top_escape(letters: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Reason> {
    match letters.peek() {
        Some('A') => out.push_str(r"\A"),
        Some('z') => out.push_str(r"\z"),
        Some('b') => out.push_str(r"(?-u:\b)"),
        Some('B') => out.push_str(r"(?-u:\B)"),
        Some('Q') => {
            letters.next();
            quoted(letters, out);
            return Ok(());
        }
        Some(_) => return element(letters, out),
        None => return Err(ESCAPE),
    }
    letters.next();
    Ok(())
}

/// Everything up to `\E`, or to the end, stands for itself.
fn quoted(letters: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(letter) = letters.next() {
        if letter == '\\' && letters.next_if_eq(&'E').is_some() {
            return;
        }
        literal(letter, out);
    }
}

/// What a backslash makes of the letter behind it: a class of letters, or one letter.
fn element(letters: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Reason> {
    if let Some(set) = letters.peek().and_then(|letter| perl_class(*letter)) {
        letters.next();
        out.push_str(set);
        return Ok(());
    }
    if let Some(sign) = letters.next_if(|letter| matches!(letter, 'p' | 'P')) {
        return unicode_class(sign == 'P', letters, out);
    }
    literal(escaped_letter(letters)?, out);
    Ok(())
}

/// `L`, `{Greek}` or `{^Greek}` behind a `\p` or `\P`.
fn unicode_class(
    negated: bool,
    letters: &mut Peekable<Chars<'_>>,
    out: &mut String,
) -> Result<(), Reason> {
    let name: String = if letters.next_if_eq(&'{').is_some() {
        let inner = letters.by_ref().take_while(|letter| *letter != '}');
        inner.collect()
    } else {
        letters.next().into_iter().collect()
    };
    let (negated, name) = match name.strip_prefix('^') {
        Some(name) => (!negated, name),
        None => (negated, &*name),
    };
    if name.is_empty()
        || !name
            .chars()
            .all(|letter| letter.is_ascii_alphabetic() || letter == '_')
    {
        return Err(ESCAPE);
    }
    let sign = if negated { 'P' } else { 'p' };
    let _ = write!(out, "\\{sign}{{{name}}}");
    Ok(())
}

/// Perl's classes, which are ASCII in Go.
fn perl_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// The letter that an escape stands for (`parser.escape`).
fn escaped_letter(letters: &mut Peekable<Chars<'_>>) -> Result<char, Reason> {
    let is_octal = |letter: &char| ('0'..='7').contains(letter);
    let letter = letters.next().ok_or(ESCAPE)?;
    Ok(match letter {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' if letters.next_if_eq(&'{').is_some() => {
            let digits: String = letters.by_ref().take_while(|digit| *digit != '}').collect();
            let code = u32::from_str_radix(&digits, 16).ok();
            code.and_then(char::from_u32).ok_or(ESCAPE)?
        }
        'x' => {
            let mut digit = || letters.next().and_then(|digit| digit.to_digit(16));
            let code = digit().zip(digit()).map(|(high, low)| high * 16 + low);
            code.and_then(char::from_u32).ok_or(ESCAPE)?
        }
        '0'..='7' => {
            // One digit other than 0 would be a reference to a group.
            if letter != '0' && !letters.peek().is_some_and(is_octal) {
                return Err(ESCAPE);
            }
            let mut code = u32::from(letter) - u32::from('0');
            for _ in 0..2 {
                let Some(digit) = letters.next_if(is_octal).and_then(|d| d.to_digit(8)) else {
                    break;
                };
                code = code * 8 + digit;
            }
            char::from_u32(code).ok_or(ESCAPE)?
        }
        letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => letter,
        _ => return Err(ESCAPE),
    })
}

/// A class behind its `[`, with its `]` (`parser.parseClass`).
fn class(letters: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Reason> {
    out.push('[');
    if letters.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    while is_first || letters.peek() != Some(&']') {
        is_first = false;
        if named_class(letters, out)? {
            continue;
        }
        let mut ahead = letters.clone();
        let escapes_set = ahead.next() == Some('\\')
            && ahead
                .next()
                .is_some_and(|letter| "dDsSwWpP".contains(letter));
        if escapes_set {
            letters.next();
            element(letters, out)?;
            continue;
        }
        range(letters, out)?;
    }
    letters.next();
    out.push(']');
    Ok(())
}

/// A letter of a class, or a range of them.
fn range(letters: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Reason> {
    let low = class_letter(letters)?;
    literal(low, out);
    let mut ahead = letters.clone();
    let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|end| end != ']');
    if is_range {
        letters.next();
        let high = class_letter(letters)?;
        if high < low {
            return Err(BACKWARDS);
        }
        out.push('-');
        literal(high, out);
    }
    Ok(())
}

fn class_letter(letters: &mut Peekable<Chars<'_>>) -> Result<char, Reason> {
    match letters.next().ok_or(UNCLOSED)? {
        '\\' => escaped_letter(letters),
        letter => Ok(letter),
    }
}

/// A class such as `[:alpha:]` within a class; whether there was one.
fn named_class(letters: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<bool, Reason> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    let rest: String = letters.clone().collect();
    let Some((name, _)) = rest
        .strip_prefix("[:")
        .and_then(|rest| rest.split_once(":]"))
    else {
        return Ok(false);
    };
    if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(NAME);
    }
    out.extend(["[:", name, ":]"]);
    letters.nth(name.chars().count() + 3);
    Ok(true)
}

/// A letter that stands for itself, within a class and outside.
fn literal(letter: char, out: &mut String) {
    out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
}
