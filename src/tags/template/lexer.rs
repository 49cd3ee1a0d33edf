//! Splits a template into its parts.

use super::{Argument, Expression, Part, TemplateError};

/// Reads the parts of a template.
pub(super) fn parts(source: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = source;
    while let Some(at) = rest.find("{{") {
        let (before, open) = rest.split_at(at);
        // `\{{` is the braces themselves, `\\{{` a backslash and an expression.
        if let Some(before) = before.strip_suffix("\\\\") {
            text.push_str(before);
            text.push('\\');
        } else if let Some(before) = before.strip_suffix('\\') {
            let end = open
                .get(2..)
                .and_then(|behind| behind.find("{{"))
                .map_or(open.len(), |next| verbatim_end(open, next + 2));
            let (verbatim, behind) = open.split_at(end);
            text.push_str(before);
            text.push_str(verbatim);
            rest = behind;
            continue;
        } else {
            text.push_str(before);
        }
        let (part, behind, strips) = mustache(open)?;
        if strips.0 {
            text.truncate(text.trim_end().len());
        }
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(part);
        rest = if strips.1 {
            behind.trim_start()
        } else {
            behind
        };
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// Escaped text ends before the next braces, and before the backslashes that belong to those.
fn verbatim_end(open: &str, next: usize) -> usize {
    let before = open.get(..next).unwrap_or_default();
    if let Some(shorter) = before.strip_suffix("\\\\") {
        shorter.len()
    } else if let Some(shorter) = before.strip_suffix('\\') {
        shorter.len()
    } else {
        next
    }
}

/// Whether white space before and behind an expression goes away.
type Strips = (bool, bool);

/// Reads one `{{…}}` at the start of the text.
fn mustache(open: &str) -> Result<(Part, &str, Strips), TemplateError> {
    if open.starts_with("{{!") || open.starts_with("{{~!") {
        return comment(open);
    }
    if open.starts_with("{{{{") {
        return Err(unsupported(open, "raw blocks"));
    }
    let (open_with, close_with) = if open.starts_with("{{{") || open.starts_with("{{~{") {
        ("{{{", "}}}")
    } else {
        ("{{", "}}")
    };
    let mut cursor = Cursor {
        rest: open.get(2..).unwrap_or_default(),
        open: open_with,
    };
    let strips_before = cursor.eat("~");
    if close_with == "}}}" {
        cursor.eat("{");
    } else {
        cursor.eat("&");
    }
    let what = match cursor.rest.chars().next() {
        Some('#' | '^' | '/') => Some("blocks"),
        Some('>') => Some("partials"),
        Some('*') => Some("decorators"),
        Some('(') => Some("nested expressions"),
        _ => None,
    };
    if let Some(what) = what {
        return Err(unsupported(open, what));
    }
    let expression = cursor.expression()?;
    if close_with == "}}}" && !cursor.eat("}") {
        return Err(cursor.unexpected());
    }
    let strips_behind = cursor.eat("~");
    // One brace more would be the end of something else.
    let is_end = strips_behind || !cursor.rest.starts_with("}}}");
    if !is_end || !cursor.eat("}}") {
        return Err(cursor.unexpected());
    }
    if expression.is_named("else") {
        return Err(unsupported(open, "blocks"));
    }
    Ok((
        Part::Expression(expression),
        cursor.rest,
        (strips_before, strips_behind),
    ))
}

fn comment(open: &str) -> Result<(Part, &str, Strips), TemplateError> {
    let inner = open.trim_start_matches("{{");
    let strips_before = inner.starts_with('~');
    let inner = inner.trim_start_matches('~');
    let (end, length) = if inner.starts_with("!--") {
        match (inner.find("--}}"), inner.find("--~}}")) {
            (Some(plain), Some(strip)) if strip < plain => (Some(strip), 5),
            (Some(plain), _) => (Some(plain), 4),
            (None, strip) => (strip, 5),
        }
    } else {
        (inner.find("}}"), 2)
    };
    let Some(end) = end else {
        return Err(TemplateError::NotClosed { open: "{{!" });
    };
    let behind = inner.get(end + length..).unwrap_or_default();
    let strips_behind = length == 5 || inner.get(..end).is_some_and(|it| it.ends_with('~'));
    Ok((Part::Comment, behind, (strips_before, strips_behind)))
}

fn unsupported(found: &str, what: &'static str) -> TemplateError {
    TemplateError::Unsupported {
        found: shortened(found),
        what,
    }
}

/// The first letters of what is in the way.
fn shortened(text: &str) -> String {
    let end = text
        .find("}}")
        .map_or(text.len(), |end| end.saturating_add(2));
    crate::printable::one_line(text.get(..end).unwrap_or(text), 40)
}

/// What is left of an expression.
struct Cursor<'a> {
    rest: &'a str,
    open: &'static str,
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&self) -> TemplateError {
        if self.rest.is_empty() {
            return TemplateError::NotClosed { open: self.open };
        }
        TemplateError::Unexpected {
            found: shortened(self.rest),
        }
    }

    /// Whether the expression is over; nothing is taken.
    fn at_end(&self) -> bool {
        self.rest.starts_with('}') || self.rest.starts_with("~}") || self.rest.is_empty()
    }

    fn expression(&mut self) -> Result<Expression, TemplateError> {
        self.skip_space();
        let path = match self.rest.chars().next() {
            Some('"' | '\'') => vec![self.text()?],
            _ => self.path()?,
        };
        let mut expression = Expression {
            path,
            arguments: Vec::new(),
            named: Vec::new(),
        };
        loop {
            let before = self.rest.len();
            self.skip_space();
            if self.at_end() {
                return Ok(expression);
            }
            if before == self.rest.len() {
                return Err(self.unexpected());
            }
            if let Some(key) = self.key() {
                self.skip_space();
                let value = self.argument()?;
                expression.named.push((key, value));
            } else if expression.named.is_empty() {
                expression.arguments.push(self.argument()?);
            } else {
                // Positional arguments stand before the named ones.
                return Err(self.unexpected());
            }
        }
    }

    /// `key=`, where one stands.
    fn key(&mut self) -> Option<String> {
        let end = self.rest.find(|letter| !is_id(letter))?;
        let (key, behind) = self.rest.split_at(end);
        let behind = behind.trim_start().strip_prefix('=')?;
        if key.is_empty() {
            return None;
        }
        self.rest = behind;
        Some(key.to_owned())
    }

    fn argument(&mut self) -> Result<Argument, TemplateError> {
        match self.rest.chars().next() {
            Some('"' | '\'') => Ok(Argument::Text(self.text()?)),
            Some('(') => Err(unsupported(self.rest, "nested expressions")),
            _ => {
                if let Some(number) = self.number() {
                    return Ok(if number.parse() == Ok(0.0) {
                        Argument::Nothing
                    } else {
                        Argument::Literal(number)
                    });
                }
                let path = self.path()?;
                Ok(match path.as_slice() {
                    [only] if only == "true" => Argument::Literal("true".to_owned()),
                    _ => Argument::Nothing,
                })
            }
        }
    }

    /// A text in quotes. A backslash keeps a quote of the same kind in it, unless no other quote
    /// would end the text (Handlebars' lexer, `STRING`).
    fn text(&mut self) -> Result<String, TemplateError> {
        let mut letters = self.rest.char_indices();
        let quote = letters.next().map(|(_, quote)| quote);
        let mut end = None;
        while let Some((at, letter)) = letters.next() {
            if Some(letter) == quote {
                end = Some(at);
                break;
            }
            if letter == '\\' && letters.as_str().chars().next() == quote {
                end = letters.next().map(|(at, _)| at);
            }
        }
        let (Some(quote), Some(end)) = (quote, end) else {
            return Err(TemplateError::NotClosed { open: self.open });
        };
        let (text, behind) = self.rest.split_at(end);
        self.rest = behind.strip_prefix(quote).unwrap_or(behind);
        let text = text.strip_prefix(quote).unwrap_or(text);
        Ok(text.replace(&format!("\\{quote}"), &quote.to_string()))
    }

    fn number(&mut self) -> Option<String> {
        let unsigned = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let end = unsigned.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (digits, behind) = unsigned.split_at(end);
        let is_number = digits.starts_with(|it: char| it.is_ascii_digit())
            && digits.ends_with(|it: char| it.is_ascii_digit())
            && digits.matches('.').count() <= 1;
        if !is_number || !behind.starts_with(|it: char| it.is_whitespace() || "~})".contains(it)) {
            return None;
        }
        let length = self.rest.len() - behind.len();
        let number = self.rest.get(..length)?.to_owned();
        self.rest = behind;
        Some(number)
    }

    /// `name`, `a.b`, `this.name`, `./name`, `[any text]`. What only says "here" is left out.
    fn path(&mut self) -> Result<Vec<String>, TemplateError> {
        let mut parts = Vec::new();
        loop {
            if let Some(inner) = self.rest.strip_prefix('[') {
                let Some((name, behind)) = inner.split_once(']') else {
                    return Err(TemplateError::NotClosed { open: self.open });
                };
                parts.push(name.to_owned());
                self.rest = behind;
            } else if self.rest.starts_with("..") {
                parts.push("..".to_owned());
                self.eat("..");
            } else if self.rest.starts_with("./") || self.is_only_a_dot() {
                self.eat(".");
            } else {
                let name = self.name();
                if name.is_empty() {
                    return Err(self.unexpected());
                }
                if name != "this" || !parts.is_empty() {
                    parts.push(name.to_owned());
                }
            }
            if !self.eat(".") && !self.eat("/") {
                return Ok(parts);
            }
        }
    }

    fn is_only_a_dot(&self) -> bool {
        self.rest.strip_prefix('.').is_some_and(|behind| {
            behind.starts_with(|it: char| it.is_whitespace() || "~}".contains(it))
        })
    }

    fn name(&mut self) -> &'a str {
        // `@root.name` is the same as `name` where nothing is nested.
        self.eat("@root.");
        let end = self
            .rest
            .find(|letter| !is_id(letter))
            .unwrap_or(self.rest.len());
        let (name, behind) = self.rest.split_at(end);
        self.rest = behind;
        name
    }
}

/// The letters of a name: all but white space and the signs that mean something to Handlebars
/// (its lexer, `ID`).
fn is_id(letter: char) -> bool {
    !letter.is_whitespace() && !"!\"#%&'()*+,./;<=>@[\\]^`{|}~".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use super::*;

    fn only(text: &str) -> Expression {
        let template = Template::parse(text).unwrap();
        let mut expressions = template.expressions().cloned();
        let first = expressions.next().unwrap();
        assert_eq!(expressions.next(), None);
        first
    }

    #[test]
    fn names_arguments_and_keys() {
        let expression = only("x-{{ date 'YYYY\\'MM' tz=\"Asia/Tokyo\" }}-y");
        assert_eq!(expression.name(), "date");
        assert_eq!(expression.arguments, [Argument::Text("YYYY'MM".to_owned())]);
        assert_eq!(
            expression.named,
            [("tz".to_owned(), Argument::Text("Asia/Tokyo".to_owned()))]
        );
    }

    #[test]
    fn other_ways_to_write_a_name() {
        for text in [
            "{{raw}}",
            "{{{raw}}}",
            "{{& raw}}",
            "{{~raw~}}",
            "{{this.raw}}",
            "{{./raw}}",
            "{{[raw]}}",
            "{{'raw'}}",
            "{{@root.raw}}",
            "{{~{raw}~}}",
        ] {
            assert!(Template::parse(text).unwrap().is_raw(), "{text}");
        }
        for text in [
            "{{raw}}.",
            "{{version}}",
            "",
            "{{raw}}{{! x }}",
            "{{env.raw}}",
        ] {
            assert!(!Template::parse(text).unwrap().is_raw(), "{text}");
        }
        assert_eq!(only("{{env.HOME}}").path, ["env", "HOME"]);
    }

    #[test]
    fn bare_words_are_nothing() {
        assert_eq!(only("{{date YYYY-MM}}").arguments, [Argument::Nothing]);
        assert_eq!(only("{{date YYYY.MM}}").arguments, [Argument::Nothing]);
        assert_eq!(only("{{date 0}}").arguments, [Argument::Nothing]);
        assert_eq!(
            only("{{date -1.5}}").arguments,
            [Argument::Literal("-1.5".to_owned())]
        );
    }

    #[test]
    fn text_comments_and_escapes() {
        let parts = |text: &str| parts(text).unwrap();
        assert_eq!(parts("a}}b"), [Part::Text("a}}b".to_owned())]);
        assert_eq!(parts("\\{{a}}b"), [Part::Text("{{a}}b".to_owned())]);
        assert_eq!(
            parts("a {{~! x ~}} b"),
            [
                Part::Text("a".to_owned()),
                Part::Comment,
                Part::Text("b".to_owned())
            ]
        );
        assert_eq!(parts("{{!-- }} --}}"), [Part::Comment]);
        assert_eq!(parts("\\\\{{a}}").len(), 2);
        assert_eq!(parts("\\{{a \\{{b"), [Part::Text("{{a {{b".to_owned())]);
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "{{",
            "{{}}",
            "{{a",
            "{{a'b'}}",
            "{{a 'b}}",
            "{{#if a}}x{{/if}}",
            "{{> a}}",
            "{{a (b)}}",
            "{{(a)}}",
            "{{a=b}}",
            "{{a b=}}",
            "{{a k='v' 'x'}}",
            "{{{a}}",
            "{{!",
            "{{{{a}}}}",
            "{{else}}",
            "{{a}",
            "{{a,b}}",
            "{{a}}}",
            "{{{a}}}}",
            "{{a 'b''c'}}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
