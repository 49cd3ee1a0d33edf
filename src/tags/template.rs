//! The expressions of tag rules: text with `{{name}}` and `{{name 'argument' key='value'}}` in it.
//!
//! The grammar is the part of Handlebars (<https://handlebarsjs.com/guide/expressions.html>) that
//! tag rules use. Blocks, partials and nested expressions are refused with a reason, and nothing
//! is escaped for HTML.

use std::fmt;

mod lexer;

/// A text with expressions in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Expression(Expression),
    /// A comment, which is nothing, but something that stands there.
    Comment,
}

/// `{{name 'argument' key='value'}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    /// The name's parts: `env.HOME` has two.
    pub(super) path: Vec<String>,
    pub(super) arguments: Vec<Argument>,
    pub(super) named: Vec<(String, Argument)>,
}

/// What stands behind an expression's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// `'text'` or `"text"`.
    Text(String),
    /// A number or `true`, as it was written.
    Literal(String),
    /// A bare word, `null`, `undefined`, `false` or `0`: in tag rules all of them are nothing.
    Nothing,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without its `}}`.
    #[error("`{open}` is never closed")]
    NotClosed {
        /// The opening braces.
        open: &'static str,
    },
    /// Something of Handlebars that tag rules have no use for.
    #[error("`{found}` is not supported: {what} have no place in tag rules")]
    Unsupported {
        /// What was found, shortened.
        found: String,
        /// Its name, in the plural.
        what: &'static str,
    },
    /// Anything else that does not follow the grammar.
    #[error("`{found}` was not expected in an expression")]
    Unexpected {
        /// What was found, shortened.
        found: String,
    },
}

impl Template {
    /// Reads a template.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            source: source.to_owned(),
            parts: lexer::parts(source)?,
        })
    }

    /// The template that is this text, whatever braces are in it.
    pub(super) fn literal(text: &str) -> Self {
        Self {
            source: text.to_owned(),
            parts: vec![Part::Text(text.to_owned())],
        }
    }

    /// The text as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The expressions, in their order.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(expression) => Some(expression),
            Part::Text(_) | Part::Comment => None,
        })
    }

    /// Whether an expression of this name is in it.
    pub(super) fn uses(&self, name: &str) -> bool {
        self.expressions().any(|it| it.is_named(name))
    }

    /// Whether the template is exactly `{{raw}}`: then a prerelease keeps its own text
    /// (docker/metadata-action, `isRawStatement`).
    pub(super) fn is_raw(&self) -> bool {
        match self.parts.as_slice() {
            [Part::Expression(expression)] => expression.is_named("raw"),
            _ => false,
        }
    }
}

impl Expression {
    /// Whether the name has one part, which is this.
    pub(super) fn is_named(&self, name: &str) -> bool {
        matches!(self.path.as_slice(), [only] if only == name)
    }

    /// The name as it is written.
    pub(super) fn name(&self) -> String {
        self.path.join(".")
    }

    /// Whether anything stands behind the name.
    pub(super) fn has_arguments(&self) -> bool {
        !self.arguments.is_empty() || !self.named.is_empty()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)
    }
}
