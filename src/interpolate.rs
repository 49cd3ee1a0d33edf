//! Variables in text: `$NAME`, `${NAME}`, `${NAME:-default}` and the other forms that compose
//! files, `.env` files and publish.toml share.
//!
//! Knows the grammar and nothing else: where a variable's value comes from is the caller's
//! affair. Imports nothing of ours. Start reading at [`interpolate`].
//!
//! The grammar is that of compose-go's `template` package, its odd corners included:
//! - `$$` is one `$`; a `$` that begins no variable stays as it is;
//! - `${NAME}`, and with an operator `${NAME-default}`, `${NAME+replacement}`, `${NAME?message}`,
//!   each with a `:` in front to treat an empty value like an unset one;
//! - what stands behind an operator may hold variables itself, and may not hold a line break;
//! - it is worked out even where it is not used, so that a mistake in it is always found.

use std::ops::Range;

/// How deep defaults may stand in one another.
const DEEPEST: usize = 64;

/// The longest text that may come out, in bytes.
const LONGEST: usize = 16 << 20;

/// A variable's value, if it is set.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Text in which the variables are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interpolated {
    /// The text.
    pub text: String,
    /// Variables that were not set and had no default: an empty text stands in their place.
    pub unset: Vec<String>,
}

/// Why the variables of a text cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpolateError {
    /// A `${` that begins no variable.
    #[error("invalid variable")]
    Invalid {
        /// Where it stands in the text, in bytes. Within a default: where the outermost variable
        /// stands.
        at: Range<usize>,
    },
    /// A `${NAME?message}` whose variable is not set, or is empty and may not be.
    #[error("required variable {variable} is missing a value{}", because(.message))]
    Required {
        /// The variable.
        variable: String,
        /// What the author of the text says about it; may be empty.
        message: String,
        /// Where it stands in the text, in bytes.
        at: Range<usize>,
    },
    /// Defaults within defaults, too many of them.
    #[error("defaults stand more than {DEEPEST} deep in one another")]
    TooDeep,
    /// More text would come out than anybody needs.
    #[error("the text is longer than {LONGEST} bytes once its variables are replaced")]
    TooLong,
}

impl InterpolateError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { .. } => Some("write `$$` where a `$` is meant".to_owned()),
            Self::Required { variable, .. } => Some(format!(
                "set {variable} in the environment, in .env, or in a file given with --env-file"
            )),
            Self::TooDeep | Self::TooLong => None,
        }
    }

    /// The part of the text that is wrong, in bytes.
    pub fn at(&self) -> Option<Range<usize>> {
        match self {
            Self::Invalid { at } | Self::Required { at, .. } => Some(at.clone()),
            Self::TooDeep | Self::TooLong => None,
        }
    }

    fn moved(self, to: Range<usize>) -> Self {
        match self {
            Self::Invalid { .. } => Self::Invalid { at: to },
            Self::Required {
                variable, message, ..
            } => Self::Required {
                variable,
                message,
                at: to,
            },
            other => other,
        }
    }
}

fn because(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

/// Replaces the variables of `text` by what `lookup` knows.
pub fn interpolate(text: &str, lookup: &Lookup<'_>) -> Result<Interpolated, InterpolateError> {
    let mut replaced = Interpolated::default();
    replace(text, lookup, 0, &mut replaced)?;
    Ok(replaced)
}

fn replace(
    text: &str,
    lookup: &Lookup<'_>,
    depth: usize,
    out: &mut Interpolated,
) -> Result<(), InterpolateError> {
    if depth > DEEPEST {
        return Err(InterpolateError::TooDeep);
    }
    let mut at = 0;
    let mut line = LastBrace::default();
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('$')) {
        let dollar = at + found;
        out.push(text.get(at..dollar).unwrap_or_default())?;
        let rest = text.get(dollar + 1..).unwrap_or_default();
        at = if rest.starts_with('$') {
            out.push("$")?;
            dollar + 2
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = braced(text, dollar, inner, lookup, depth, out, &mut line)?;
            dollar + end
        } else {
            let name = name_length(rest);
            match rest.get(..name) {
                Some(variable) if name > 0 => out.push_value(variable, lookup)?,
                _ => out.push("$")?,
            }
            dollar + 1 + name
        };
    }
    out.push(text.get(at..).unwrap_or_default())
}

/// Replaces one `${…}`; `inner` is what follows the brace. Says how many bytes it is long.
fn braced(
    text: &str,
    dollar: usize,
    inner: &str,
    lookup: &Lookup<'_>,
    depth: usize,
    out: &mut Interpolated,
    line: &mut LastBrace,
) -> Result<usize, InterpolateError> {
    let name_end = name_length(inner);
    let name = inner.get(..name_end).unwrap_or_default();
    let behind = inner.get(name_end..).unwrap_or_default();
    if !name.is_empty() && behind.starts_with('}') {
        out.push_value(name, lookup)?;
        return Ok(2 + name_end + 1);
    }
    let invalid = || InterpolateError::Invalid {
        at: dollar..(dollar + 2 + name_end).min(text.len()),
    };
    let Some((operator, empty_counts)) = operator(behind).filter(|_| !name.is_empty()) else {
        return Err(invalid());
    };
    let operator_length = 1 + usize::from(empty_counts);
    let operand_start = dollar + 2 + name_end + operator_length;
    // The operand reaches to the brace that closes this one, and if there is none, to the last
    // brace of the line: so the regular expression of compose-go behaves.
    let last = line.on_line_of(text, operand_start).ok_or_else(invalid)?;
    let whole = text.get(dollar..=last).unwrap_or_default();
    let close = dollar + closing_brace(whole).unwrap_or(whole.len() - 1);
    let operand = text.get(operand_start..close).unwrap_or_default();
    let here = dollar..close + 1;

    let mut other = Interpolated::default();
    replace(operand, lookup, depth + 1, &mut other).map_err(|error| error.moved(here.clone()))?;
    out.unset.append(&mut other.unset);
    let value = lookup(name);
    let usable = value
        .as_ref()
        .is_some_and(|value| !empty_counts || !value.is_empty());
    match (operator, usable) {
        (Operator::Default, false) | (Operator::Replacement, true) => out.push(&other.text)?,
        (Operator::Required, false) => {
            return Err(InterpolateError::Required {
                variable: name.to_owned(),
                message: other.text,
                at: here,
            });
        }
        _ => out.push(&value.unwrap_or_default())?,
    }
    Ok(close + 1 - dollar)
}

#[derive(Clone, Copy)]
enum Operator {
    Default,
    Replacement,
    Required,
}

/// The operator at the beginning of `text`, and whether an empty value counts as none.
fn operator(text: &str) -> Option<(Operator, bool)> {
    let (letter, empty_counts) = match text.strip_prefix(':') {
        Some(rest) => (rest.chars().next()?, true),
        None => (text.chars().next()?, false),
    };
    let operator = match letter {
        '-' => Operator::Default,
        '+' => Operator::Replacement,
        '?' => Operator::Required,
        _ => return None,
    };
    Some((operator, empty_counts))
}

/// How many bytes of a variable's name stand at the beginning of `text`.
///
/// Names are letters, digits and `_`. U+017F and U+212A are letters too: they are what `s` and
/// `k` fold from, and the expression ignores case.
fn name_length(text: &str) -> usize {
    let letter =
        |c: char| c == '_' || c.is_ascii_alphabetic() || matches!(c, '\u{17f}' | '\u{212a}');
    let mut length = 0;
    for (at, c) in text.char_indices() {
        if !(letter(c) || at > 0 && c.is_ascii_digit()) {
            break;
        }
        length = at + c.len_utf8();
    }
    length
}

/// The brace that closes the first one of `text`. The byte after each opening brace is not looked
/// at, as in compose-go.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_i64;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'}' {
            open -= 1;
            if open == 0 {
                return Some(at);
            }
        } else if byte == b'{' {
            open += 1;
            bytes.next();
        }
    }
    None
}

/// Remembers the last brace of a line, so that a long line is searched once.
#[derive(Default)]
struct LastBrace {
    line_end: usize,
    brace: Option<usize>,
}

impl LastBrace {
    /// The last `}` between `from` and the end of its line.
    fn on_line_of(&mut self, text: &str, from: usize) -> Option<usize> {
        if from >= self.line_end {
            let rest = text.get(from..)?;
            let line = rest.split('\n').next().unwrap_or_default();
            self.line_end = from + line.len();
            self.brace = line.rfind('}').map(|at| from + at);
        }
        self.brace.filter(|at| *at >= from)
    }
}

impl Interpolated {
    fn push(&mut self, text: &str) -> Result<(), InterpolateError> {
        if self.text.len() + text.len() > LONGEST {
            return Err(InterpolateError::TooLong);
        }
        self.text.push_str(text);
        Ok(())
    }

    fn push_value(&mut self, name: &str, lookup: &Lookup<'_>) -> Result<(), InterpolateError> {
        if let Some(value) = lookup(name) {
            self.push(&value)
        } else {
            self.unset.push(name.to_owned());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "FOO" => Some("first".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn text(template: &str) -> Result<String, InterpolateError> {
        interpolate(template, &lookup).map(|done| done.text)
    }

    #[test]
    fn each_operator() {
        for (template, want) in [
            ("a $FOO b", "a first b"),
            ("${FOO}${FOO}", "firstfirst"),
            ("$$FOO $1 $", "$FOO $1 $"),
            ("${FOO-x} ${EMPTY-x} ${NO-x}", "first  x"),
            ("${FOO:-x} ${EMPTY:-x} ${NO:-x}", "first x x"),
            ("${FOO+x} ${EMPTY+x} ${NO+x}", "x x "),
            ("${FOO:+x} ${EMPTY:+x} ${NO:+x}", "x  "),
            ("${NO:-${FOO:-y}} z", "first z"),
            ("${NO:-${NO:-${NO:-y}}}}", "y}"),
            ("${NO:-a}b}c", "ab}c"),
            ("${NO:-{x}", "{x"),
            ("${FOO?m} ${EMPTY?m}", "first "),
            ("${NO:-$$x}", "$x"),
        ] {
            assert_eq!(text(template).as_deref(), Ok(want), "{template}");
        }
    }

    #[test]
    fn what_is_no_variable() {
        for template in [
            "${",
            "${}",
            "${ FOO}",
            "${FOO }",
            "${FOO",
            "${1}",
            "${FOO:}",
            "${A:-x\n}",
        ] {
            let wrong = text(template);
            assert!(
                matches!(wrong, Err(InterpolateError::Invalid { .. })),
                "{template}: {wrong:?}"
            );
        }
    }

    #[test]
    fn a_required_variable_says_its_message() {
        let error = text("${NO:?set ${FOO} first}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "required variable NO is missing a value: set first first"
        );
        assert!(text("${EMPTY?m}").is_ok());
        assert!(text("${EMPTY:?m}").is_err());
        assert!(text("${FOO:-${NO?unused but wrong}}").is_err());
    }

    #[test]
    fn unset_variables_are_told() {
        let done = interpolate("$A ${B} ${C:-$D} ${FOO:-$E}", &lookup).unwrap();
        assert_eq!(done.unset, ["A", "B", "D", "E"]);
    }

    #[test]
    fn hostile_text_ends() {
        assert_eq!(
            text(&"${A:-".repeat(100_000)),
            Err(InterpolateError::Invalid { at: 0..3 })
        );
        let deep = "${A:-".repeat(100_000) + &"}".repeat(100_000);
        assert_eq!(text(&deep), Err(InterpolateError::TooDeep));
        assert!(text(&"${A:-x}".repeat(100_000)).is_ok());
    }
}
