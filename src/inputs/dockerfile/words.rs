//! Words: how they are split, and what variables in them come to.

use super::Obscure;

/// How deep `${A:-${B:-…}}` may go.
const DEEPEST: usize = 16;
/// How long a word may become, in bytes.
const LONGEST: usize = 64 * 1024;

/// The value of a variable: there, not set, or not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Set(String),
    Unset,
    /// Only the builder knows it.
    Unknown,
}

/// Splits the arguments of `ARG` and of `ADD`: at spaces that no quote encloses. Quotes and escapes stay
/// (BuildKit, `parseWords`).
pub(super) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match quote {
            None if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            Some(open) if letter == open => quote = None,
            _ if letter == escape && quote != Some('\'') => {
                word.push(letter);
                word.extend(letters.next());
                continue;
            }
            _ => {}
        }
        word.push(letter);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A word with its quotes, escapes and variables resolved (BuildKit, frontend/dockerfile/shell). Of
/// the modifiers only `-`, `+` and `?` are known here, with and without a colon.
pub(super) fn expand(
    word: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Value,
) -> Result<String, Obscure> {
    let mut expansion = Expansion {
        letters: word.chars().peekable(),
        escape,
        lookup,
        depth: 0,
    };
    expansion.until(None)
}

struct Expansion<'a> {
    letters: std::iter::Peekable<std::str::Chars<'a>>,
    escape: char,
    lookup: &'a dyn Fn(&str) -> Value,
    depth: usize,
}

impl Expansion<'_> {
    /// Up to `stop`, which is taken away, or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<String, Obscure> {
        let mut result = String::new();
        while let Some(letter) = self.letters.next() {
            match letter {
                _ if Some(letter) == stop => return Ok(result),
                '\'' => self.single(&mut result)?,
                '"' => self.double(&mut result)?,
                '$' => result.push_str(&self.variable()?),
                _ if letter == self.escape => result.extend(self.letters.next()),
                _ => result.push(letter),
            }
            if result.len() > LONGEST {
                return Err(Obscure::new("a word becomes too long"));
            }
        }
        match stop {
            None => Ok(result),
            Some(_) => Err(Obscure::new("a `${` has no end")),
        }
    }

    fn single(&mut self, result: &mut String) -> Result<(), Obscure> {
        for letter in self.letters.by_ref() {
            if letter == '\'' {
                return Ok(());
            }
            result.push(letter);
        }
        Err(Obscure::new("a quote has no end"))
    }

    fn double(&mut self, result: &mut String) -> Result<(), Obscure> {
        while let Some(letter) = self.letters.next() {
            match letter {
                '"' => return Ok(()),
                '$' => result.push_str(&self.variable()?),
                _ if letter == self.escape => match self.letters.peek().copied() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => {
                        self.letters.next();
                        result.push(next);
                    }
                    Some(_) => result.push(letter),
                    None => {}
                },
                _ => result.push(letter),
            }
        }
        Err(Obscure::new("a quote has no end"))
    }

    /// What stands behind a `$`.
    fn variable(&mut self) -> Result<String, Obscure> {
        if self.letters.next_if_eq(&'{').is_none() {
            let name = self.name()?;
            return if name.is_empty() {
                Ok("$".to_owned())
            } else {
                Ok(self.value(&name)?.unwrap_or_default())
            };
        }
        let name = self.name()?;
        let bad = || Obscure::new("a `${…}` is none that is known here");
        if name.is_empty() {
            return Err(bad());
        }
        let mut modifier = self.letters.next().ok_or_else(bad)?;
        if modifier == '}' {
            return Ok(self.value(&name)?.unwrap_or_default());
        }
        let empty_is_unset = modifier == ':';
        if empty_is_unset {
            modifier = self.letters.next().ok_or_else(bad)?;
        }
        if !['-', '+', '?'].contains(&modifier) || self.depth >= DEEPEST {
            return Err(bad());
        }
        self.depth += 1;
        let word = self.until(Some('}'))?;
        self.depth -= 1;
        let value = self.value(&name)?;
        let value = value.filter(|value| !(empty_is_unset && value.is_empty()));
        match (modifier, value) {
            ('-' | '?', Some(value)) => Ok(value),
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            _ => Err(Obscure::new(format!(
                "the variable {name} is demanded and not set"
            ))),
        }
    }

    fn value(&self, name: &str) -> Result<Option<String>, Obscure> {
        match (self.lookup)(name) {
            Value::Set(value) => Ok(Some(value)),
            Value::Unset => Ok(None),
            Value::Unknown => Err(Obscure::new(format!("only the builder knows ${name}"))),
        }
    }

    /// A variable's name: letters, digits and `_`. Positions and special parameters have no meaning in
    /// a Dockerfile, so whoever writes one means something else.
    fn name(&mut self) -> Result<String, Obscure> {
        let mut name = String::new();
        while let Some(letter) = self
            .letters
            .next_if(|letter| letter.is_alphanumeric() || *letter == '_')
        {
            name.push(letter);
        }
        let is_special = |letter: &char| ['@', '*', '#', '?', '-', '$', '!'].contains(letter);
        let starts_with_digit = name.starts_with(|letter: char| letter.is_numeric());
        if starts_with_digit || (name.is_empty() && self.letters.peek().is_some_and(is_special)) {
            return Err(Obscure::new("a special parameter of a shell is used"));
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Value {
        match name {
            "SET" => Value::Set("s".to_owned()),
            "EMPTY" => Value::Set(String::new()),
            "BUILDARCH" => Value::Unknown,
            _ => Value::Unset,
        }
    }

    #[test]
    fn variables_are_expanded_as_buildkit_does() {
        for (word, expanded) in [
            ("a$SET-b", "as-b"),
            ("${SET}${NO}", "s"),
            ("${NO:-d}${NO-d}", "dd"),
            ("${EMPTY:-d}${EMPTY-d}", "d"),
            ("${SET:+x}${NO:+x}${EMPTY+x}", "xx"),
            ("${NO:-${SET:-y}}", "s"),
            ("${SET:?no}", "s"),
            ("'$SET'\"$SET\\\"\"\\$SET", "$SETs\"$SET"),
            ("\"a\\b\"", "a\\b"),
            ("$", "$"),
            ("a$/b", "a$/b"),
        ] {
            assert_eq!(expand(word, '\\', &value).unwrap(), expanded, "{word}");
        }
        for word in [
            "${",
            "${}",
            "${SET",
            "'",
            "\"",
            "${SET#x}",
            "${SET/a/b}",
            "$1",
            "$@",
            "${NO:?}",
            "$BUILDARCH",
        ] {
            assert!(expand(word, '\\', &value).is_err(), "{word}");
        }
    }

    #[test]
    fn words_keep_their_quotes() {
        assert_eq!(
            split("A=1 B=\"x y\"  C='a b'\\ c", '\\'),
            ["A=1", "B=\"x y\"", "C='a b'\\ c"]
        );
    }
}
