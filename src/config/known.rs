use serde_json::{Map, Value};

use super::Error;
use super::document::{Document, KeyPath, Origin};

/// How much of a wrong value is shown, in letters.
const MOST_SHOWN: usize = 60;

/// How many unknown keys are reported one by one.
const MOST_UNKNOWN: usize = 50;

/// How like a known key an unknown one must be to be taken for it, from 0 to 1: as the compose room
/// has it, so that hints are the same for both files.
const ALIKE: f64 = 0.8;

/// The JSON Schema of publish.toml, derived from the types that read it.
pub fn schema() -> Value {
    schemars::schema_for!(super::file::File).to_value()
}

/// Every key of the document that nothing reads.
pub(super) fn unknown_keys(document: &Document) -> Vec<Error> {
    let schema = schema();
    let known = Known { root: &schema };
    let mut unknown = Vec::new();
    known.table(&schema, &document.root, &mut Vec::new(), &mut unknown);
    let more = unknown.len().saturating_sub(MOST_UNKNOWN);
    unknown.truncate(MOST_UNKNOWN);
    unknown
        .into_iter()
        .map(|(path, nearest)| Error::UnknownKey {
            place: match document.origin(&path) {
                Origin::File(place) => Some(Box::new(place)),
                Origin::Flag(_) | Origin::Default => None,
            },
            key: path.join("."),
            nearest,
        })
        .chain((more > 0).then_some(Error::More { more }))
        .collect()
}

/// A value that its key does not take.
pub(super) struct Misfit {
    /// Where it stands.
    pub(super) path: KeyPath,
    /// What is expected there and what is there instead, in the words of the file.
    pub(super) message: String,
}

/// The first value in `root` that is not of the kind, or none of the words, that its key takes.
pub(super) fn misfit(root: &toml::Table) -> Option<Misfit> {
    let schema = schema();
    let known = Known { root: &schema };
    let root = toml::Value::Table(root.clone());
    let mut path = Vec::new();
    let message = known.misfit(&schema, &root, &mut path)?;
    Some(Misfit { path, message })
}

/// Whether the value at `path` is a list.
pub(super) fn is_list(path: &[String]) -> bool {
    let schema = schema();
    let known = Known { root: &schema };
    let mut node = Some(&schema);
    for key in path {
        node = node.and_then(|node| known.child(node, key));
    }
    node.is_some_and(|node| known.variants(node).iter().any(|node| is_of(node, "array")))
}

struct Known<'a> {
    root: &'a Value,
}

impl<'a> Known<'a> {
    fn table(
        &self,
        schema: &'a Value,
        table: &toml::Table,
        path: &mut KeyPath,
        unknown: &mut Vec<(KeyPath, Option<String>)>,
    ) {
        for (key, value) in table {
            path.push(key.clone());
            match self.child(schema, key) {
                Some(child) => self.value(child, value, path, unknown),
                None => unknown.push((path.clone(), self.nearest(schema, key))),
            }
            path.pop();
        }
    }

    fn value(
        &self,
        schema: &'a Value,
        value: &toml::Value,
        path: &mut KeyPath,
        unknown: &mut Vec<(KeyPath, Option<String>)>,
    ) {
        // Only tables have keys; a table where none belongs is reported as a wrong type.
        if let toml::Value::Table(table) = value
            && let Some(node) = self
                .variants(schema)
                .into_iter()
                .find(|node| is_of(node, "object"))
        {
            self.table(node, table, path, unknown);
        }
    }

    /// The schema of a key in a table.
    fn child(&self, schema: &'a Value, key: &str) -> Option<&'a Value> {
        self.variants(schema).into_iter().find_map(|node| {
            let named = node.get("properties").and_then(|keys| keys.get(key));
            named.or_else(|| {
                node.get("additionalProperties")
                    .filter(|any| any.is_object())
            })
        })
    }

    /// What is wrong with `value`, or the first of its parts that is wrong, whose place is left in `path`.
    fn misfit(&self, schema: &'a Value, value: &toml::Value, path: &mut KeyPath) -> Option<String> {
        let variants = self.variants(schema);
        let kind = match value {
            toml::Value::String(_) => "string",
            toml::Value::Integer(_) => "integer",
            toml::Value::Boolean(_) => "boolean",
            toml::Value::Array(_) => "array",
            toml::Value::Table(_) => "object",
            // No key takes one of these.
            toml::Value::Float(_) | toml::Value::Datetime(_) => "",
        };
        let mut same = variants.iter().filter(|node| is_of(node, kind));
        let Some(node) = same.clone().next() else {
            return Some(self.expected(&variants, value));
        };
        match value {
            toml::Value::Array(items) => {
                let schema = node.get("items")?;
                items.iter().enumerate().find_map(|(index, item)| {
                    path.push(index.to_string());
                    let wrong = self.misfit(schema, item, path);
                    wrong.or_else(|| {
                        path.pop();
                        None
                    })
                })
            }
            toml::Value::Table(table) => table.iter().find_map(|(key, value)| {
                path.push(key.clone());
                let child = self.child(node, key);
                let wrong = child.and_then(|child| self.misfit(child, value, path));
                wrong.or_else(|| {
                    path.pop();
                    None
                })
            }),
            _ if same.any(|node| takes(node, value)) => None,
            _ => Some(self.expected(&variants, value)),
        }
    }

    /// What stands in place of what `variants` take.
    fn expected(&self, variants: &[&'a Value], found: &toml::Value) -> String {
        let mut words: Vec<String> = Vec::new();
        for node in variants {
            words.extend(self.words(node));
        }
        words.dedup();
        let expected = match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => "something else".to_owned(),
        };
        let found = match found {
            toml::Value::Table(_) => "a table".to_owned(),
            toml::Value::Array(_) => "a list".to_owned(),
            other => {
                let text: String = other.to_string().chars().take(MOST_SHOWN).collect();
                format!("`{text}`")
            }
        };
        format!("expected {expected}, not {found}")
    }

    /// What a schema takes, in the words of the file.
    fn words(&self, node: &'a Value) -> Vec<String> {
        let quoted = |word: &Value| word.as_str().map(|word| format!("\"{word}\""));
        if let Some(word) = node.get("const") {
            return quoted(word).into_iter().collect();
        }
        if let Some(words) = node.get("enum").and_then(Value::as_array) {
            return words.iter().filter_map(quoted).collect();
        }
        let number = |key| node.get(key).and_then(Value::as_i64);
        let mut words = Vec::new();
        for (kind, word) in [
            ("boolean", "true or false"),
            ("string", "a text"),
            ("object", "a table"),
        ] {
            if is_of(node, kind) {
                words.push(word.to_owned());
            }
        }
        if is_of(node, "integer") {
            words.push(match (number("minimum"), number("maximum")) {
                (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
                (Some(least), None) => format!("a whole number from {least} on"),
                _ => "a whole number".to_owned(),
            });
        }
        if is_of(node, "array") {
            let items = node.get("items").map(|items| self.variants(items));
            let items = items.unwrap_or_default();
            let items: Vec<String> = items.iter().flat_map(|node| self.words(node)).collect();
            words.push(match items.as_slice() {
                [one] if one == "a text" => "a list of texts".to_owned(),
                [] => "a list".to_owned(),
                many => format!("a list of {}", many.join(", ")),
            });
        }
        words
    }

    /// The known key of a table that is most like `key`.
    fn nearest(&self, schema: &'a Value, key: &str) -> Option<String> {
        let keys = self.variants(schema).into_iter().flat_map(|node| {
            let keys = node.get("properties").and_then(Value::as_object);
            keys.into_iter().flat_map(Map::keys)
        });
        let key = key.to_lowercase().replace('-', "_");
        keys.map(|known| (strsim::jaro_winkler(&key, known), known))
            .filter(|(likeness, _)| *likeness > ALIKE)
            .max_by(|one, two| one.0.total_cmp(&two.0))
            .map(|(_, known)| known.clone())
    }

    /// What a schema may stand for: itself, or what it refers to or chooses from.
    fn variants(&self, schema: &'a Value) -> Vec<&'a Value> {
        if let Some(name) = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| reference.strip_prefix("#/$defs/"))
        {
            let target = self.root.get("$defs").and_then(|all| all.get(name));
            return target.map(|node| self.variants(node)).unwrap_or_default();
        }
        let choices = schema.get("anyOf").or(schema.get("oneOf"));
        match choices.and_then(Value::as_array) {
            Some(choices) => choices
                .iter()
                .flat_map(|node| self.variants(node))
                .collect(),
            None => vec![schema],
        }
    }
}

/// Whether a schema of its kind takes a value that has no parts.
fn takes(schema: &Value, value: &toml::Value) -> bool {
    if let Some(word) = schema.get("const") {
        return word.as_str() == value.as_str();
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().any(|word| word.as_str() == value.as_str());
    }
    let Some(number) = value.as_integer() else {
        return true;
    };
    let bound = |key| schema.get(key).and_then(Value::as_i64);
    bound("minimum").is_none_or(|least| number >= least)
        && bound("maximum").is_none_or(|most| number <= most)
}

/// Whether a schema allows a type (`"type": "object"` or `"type": ["object", "null"]`).
fn is_of(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(found)) => found == kind,
        Some(Value::Array(found)) => found.iter().any(|found| found == kind),
        _ => false,
    }
}
