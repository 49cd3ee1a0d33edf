use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Error;
use crate::excerpt::{Excerpt, LineIndex};
use crate::interpolate::{Lookup, interpolate};

/// The largest publish.toml, in bytes.
const MAX_SIZE: usize = 1024 * 1024;

/// How many keys, values and elements publish.toml may have: that of a project with hundreds of
/// services has some thousands.
const MOST_VALUES: usize = 20_000;

/// The keys that lead to a value.
pub(super) type KeyPath = Vec<String>;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    File(Excerpt),
    /// A flag, or a variable of the environment that stands for one.
    Flag(String),
    /// Nobody said anything.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(excerpt) => {
                write!(formatter, "{}:{}", excerpt.path.display(), excerpt.line)
            }
            Self::Flag(flag) => formatter.write_str(flag),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// publish.toml as a tree, its variables replaced, each value with where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The tree.
    pub(super) root: toml::Table,
    /// Where each key and element comes from, by its path.
    said: BTreeMap<KeyPath, Said>,
    /// The file, to show places of it.
    file: Arc<Text>,
    /// Variables that were not set and had no default, each with the key that uses it.
    pub(super) unset: Vec<(String, String)>,
}

/// Who said something, and where.
#[derive(Clone, Debug)]
enum Said {
    /// The file, at these bytes.
    File {
        /// The key; an element has none, and stands for itself.
        key: Range<usize>,
        value: Range<usize>,
    },
    /// A flag.
    Flag(String),
}

/// The file's text. A place is shown only where it is asked for, as there may be many.
#[derive(Debug, Default)]
struct Text {
    path: PathBuf,
    content: String,
    index: LineIndex,
}

impl Text {
    fn excerpt(&self, span: &Range<usize>) -> Excerpt {
        self.index
            .excerpt(&self.path, &self.content, span.start, span.end)
    }
}

/// The text that a publish.toml is.
pub fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let shown = String::from_utf8_lossy(error.as_bytes());
        Error::NotUtf8 {
            place: Box::new(Excerpt::at(path, &shown, at, at + 1)),
        }
    })
}

impl Document {
    /// Reads `text`, the content of `path`.
    pub(super) fn parse(path: &Path, text: &str, lookup: &Lookup<'_>) -> Result<Self, Error> {
        if text.len() > MAX_SIZE {
            return Err(Error::TooLarge {
                path: path.to_owned(),
            });
        }
        let parsed = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            Error::Syntax {
                place: Box::new(Excerpt::at(path, text, span.start, span.end)),
                message: error.message().to_owned(),
            }
        })?;
        let mut reader = Reader {
            file: Text {
                path: path.to_owned(),
                content: text.to_owned(),
                index: LineIndex::of(text),
            },
            lookup,
            said: BTreeMap::new(),
            unset: Vec::new(),
        };
        let root = reader.table(parsed.get_ref(), &mut Vec::new())?;
        Ok(Self {
            root,
            said: reader.said,
            file: Arc::new(reader.file),
            unset: reader.unset,
        })
    }

    /// Puts `value` at `path`, over what the file says.
    pub(super) fn set(&mut self, path: &[String], value: toml::Value, flag: &str) {
        fn put(table: &mut toml::Table, path: &[String], value: toml::Value) {
            match path {
                [] => {}
                [key] => {
                    table.insert(key.clone(), value);
                }
                [key, rest @ ..] => {
                    let entry = table
                        .entry(key.clone())
                        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
                    if !entry.is_table() {
                        *entry = toml::Value::Table(toml::Table::new());
                    }
                    if let toml::Value::Table(inner) = entry {
                        put(inner, rest, value);
                    }
                }
            }
        }
        self.said.retain(|at, _| !at.starts_with(path));
        self.said.insert(path.to_vec(), Said::Flag(flag.to_owned()));
        put(&mut self.root, path, value);
    }

    /// As [`Document::origin`], but pointing at the value and not at its key.
    pub(super) fn value_origin(&self, path: &[String]) -> Origin {
        match self.said.get(path) {
            Some(Said::File { value, .. }) => Origin::File(self.file.excerpt(value)),
            _ => self.origin(path),
        }
    }

    /// Whether something is said at `path`, where an element of a list goes by its number.
    pub(super) fn says(&self, path: &[&str]) -> bool {
        let (Some((first, rest)), root) = (path.split_first(), &self.root) else {
            return true;
        };
        let mut value = root.get(*first);
        for key in rest {
            value = match value {
                Some(toml::Value::Table(table)) => table.get(*key),
                Some(toml::Value::Array(items)) => {
                    let index: Option<usize> = key.parse().ok();
                    index.and_then(|index| items.get(index))
                }
                _ => None,
            };
        }
        value.is_some()
    }

    /// Every value that somebody said, by its key, as TOML, with where it comes from.
    pub fn values(&self) -> Vec<(String, String, Origin)> {
        fn walk(
            document: &Document,
            table: &toml::Table,
            path: &mut KeyPath,
            values: &mut Vec<(String, String, Origin)>,
        ) {
            for (key, value) in table {
                path.push(key.clone());
                match value {
                    toml::Value::Table(inner) => walk(document, inner, path, values),
                    value => {
                        values.push((path.join("."), value.to_string(), document.origin(path)));
                    }
                }
                path.pop();
            }
        }
        let mut values = Vec::new();
        walk(self, &self.root, &mut Vec::new(), &mut values);
        values
    }

    /// Where the value at `path` comes from; of one that is part of another, where that comes from.
    pub fn origin(&self, path: &[String]) -> Origin {
        let said = (0..=path.len())
            .rev()
            .find_map(|length| self.said.get(path.get(..length)?));
        match said {
            Some(Said::File { key, .. }) => Origin::File(self.file.excerpt(key)),
            Some(Said::Flag(flag)) => Origin::Flag(flag.clone()),
            None => Origin::Default,
        }
    }
}

struct Reader<'a> {
    file: Text,
    lookup: &'a Lookup<'a>,
    said: BTreeMap<KeyPath, Said>,
    unset: Vec<(String, String)>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &mut KeyPath) -> Result<toml::Table, Error> {
        let mut read = toml::Table::new();
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            let value = self.value(key.span(), value, path)?;
            read.insert(key.get_ref().to_string(), value);
            path.pop();
        }
        Ok(read)
    }

    /// Takes in the value at `path`, whose key stands at `key`.
    fn value(
        &mut self,
        key: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        path: &mut KeyPath,
    ) -> Result<toml::Value, Error> {
        if self.said.len() >= MOST_VALUES {
            return Err(Error::TooMany {
                place: Box::new(self.file.excerpt(&key)),
                limit: MOST_VALUES,
            });
        }
        let said = Said::File {
            key,
            value: value.span(),
        };
        self.said.insert(path.clone(), said);
        Ok(match value.get_ref() {
            DeValue::Table(table) => toml::Value::Table(self.table(table, path)?),
            DeValue::Array(items) => {
                let mut read = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    read.push(self.value(item.span(), item, path)?);
                    path.pop();
                }
                toml::Value::Array(read)
            }
            DeValue::String(text) => toml::Value::String(self.string(text, value, path)?),
            DeValue::Boolean(value) => toml::Value::Boolean(*value),
            DeValue::Datetime(value) => toml::Value::Datetime(*value),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(toml::Value::Integer)
                .map_err(|_| self.wrong(value, "the number is too large"))?,
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map(toml::Value::Float)
                .map_err(|_| self.wrong(value, "this is no number"))?,
        })
    }

    fn string(
        &mut self,
        text: &str,
        value: &Spanned<DeValue<'_>>,
        path: &KeyPath,
    ) -> Result<String, Error> {
        let replaced = interpolate(text, self.lookup).map_err(|error| Error::Interpolation {
            place: Box::new(self.file.excerpt(&value.span())),
            source: error,
        })?;
        for variable in replaced.unset {
            self.unset.push((variable, path.join(".")));
        }
        Ok(replaced.text)
    }

    fn wrong(&self, value: &Spanned<DeValue<'_>>, message: &str) -> Error {
        Error::Syntax {
            place: Box::new(self.file.excerpt(&value.span())),
            message: message.to_owned(),
        }
    }
}
