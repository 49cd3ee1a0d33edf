use serde_json::{Map, Value};

use super::Error;
use super::document::{Document, KeyPath, Origin};

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
        .collect()
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

    /// The known key of a table that is most like `key`.
    fn nearest(&self, schema: &'a Value, key: &str) -> Option<String> {
        let keys = self.variants(schema).into_iter().flat_map(|node| {
            let keys = node.get("properties").and_then(Value::as_object);
            keys.into_iter().flat_map(Map::keys)
        });
        keys.map(|known| (strsim::damerau_levenshtein(known, key), known))
            .filter(|(distance, known)| *distance <= known.len().max(key.len()) / 2)
            .min()
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
        match schema.get("anyOf").and_then(Value::as_array) {
            Some(choices) => choices
                .iter()
                .flat_map(|node| self.variants(node))
                .collect(),
            None => vec![schema],
        }
    }
}

/// Whether a schema allows a type (`"type": "object"` or `"type": ["object", "null"]`).
fn is_of(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(found)) => found == kind,
        Some(Value::Array(found)) => found.iter().any(|found| found == kind),
        _ => false,
    }
}
