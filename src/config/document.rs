use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Error;
use crate::excerpt::Excerpt;
use crate::interpolate::{Lookup, interpolate};

/// The largest publish.toml, in bytes.
const MAX_SIZE: usize = 1024 * 1024;

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
    /// Where each key and element stands, by its path.
    pub(super) origins: BTreeMap<KeyPath, Origin>,
    /// Where each value stands, by its path.
    values: BTreeMap<KeyPath, Excerpt>,
    /// Variables that were not set and had no default, each with the key that uses it.
    pub(super) unset: Vec<(String, String)>,
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
            path,
            text,
            lookup,
            origins: BTreeMap::new(),
            values: BTreeMap::new(),
            unset: Vec::new(),
        };
        let root = reader.table(parsed.get_ref(), &mut Vec::new())?;
        Ok(Self {
            root,
            origins: reader.origins,
            values: reader.values,
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
        self.origins.retain(|at, _| !at.starts_with(path));
        self.origins
            .insert(path.to_vec(), Origin::Flag(flag.to_owned()));
        put(&mut self.root, path, value);
    }

    /// As [`Document::origin`], but pointing at the value and not at its key.
    pub(super) fn value_origin(&self, path: &[String]) -> Origin {
        match (self.origin(path), self.values.get(path)) {
            (Origin::File(_), Some(place)) => Origin::File(place.clone()),
            (origin, _) => origin,
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
        (0..=path.len())
            .rev()
            .find_map(|length| self.origins.get(path.get(..length)?))
            .cloned()
            .unwrap_or(Origin::Default)
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    lookup: &'a Lookup<'a>,
    origins: BTreeMap<KeyPath, Origin>,
    values: BTreeMap<KeyPath, Excerpt>,
    unset: Vec<(String, String)>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &mut KeyPath) -> Result<toml::Table, Error> {
        let mut read = toml::Table::new();
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            let place = self.place(&key.span());
            self.origins.insert(path.clone(), Origin::File(place));
            let value = self.value(value, path)?;
            read.insert(key.get_ref().to_string(), value);
            path.pop();
        }
        Ok(read)
    }

    fn value(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        path: &mut KeyPath,
    ) -> Result<toml::Value, Error> {
        self.values.insert(path.clone(), self.place(&value.span()));
        Ok(match value.get_ref() {
            DeValue::Table(table) => toml::Value::Table(self.table(table, path)?),
            DeValue::Array(items) => {
                let mut read = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    let place = self.place(&item.span());
                    self.origins.insert(path.clone(), Origin::File(place));
                    read.push(self.value(item, path)?);
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
            place: Box::new(self.place(&value.span())),
            source: error,
        })?;
        for variable in replaced.unset {
            self.unset.push((variable, path.join(".")));
        }
        Ok(replaced.text)
    }

    fn wrong(&self, value: &Spanned<DeValue<'_>>, message: &str) -> Error {
        Error::Syntax {
            place: Box::new(self.place(&value.span())),
            message: message.to_owned(),
        }
    }

    fn place(&self, span: &std::ops::Range<usize>) -> Excerpt {
        Excerpt::at(self.path, self.text, span.start, span.end)
    }
}
