//! Turns a canonical document into what compose-go's types hold of it: mapstructure's rules, and
//! the `DecodeMapstructure` of each type.
//!
//! Afterwards a value that Go would leave out of its output is gone, texts that stand for numbers
//! are numbers, lists of `KEY=value` are mappings, and `x-…` keys are below `#extensions`.

use std::sync::Arc;

use super::error::{Fault, Problem};
use super::fields::{Key, Kind, Object, Others, PROJECT};
use super::node::{Entry, Map, Node, Place, Value};
use super::path::Path;
use super::schema::name_of;
use super::variables::{Cast, Findings};

mod collections;
mod scalars;

/// The key below which `x-…` keys are kept.
pub(super) const EXTENSIONS: &str = "#extensions";

/// Decodes a whole project.
pub(super) fn decode(document: Map, findings: &mut Findings) -> Result<Map, Box<Fault>> {
    let document = collect_extensions(document, &Path::root());
    object(document, &PROJECT, &Path::root(), findings)
}

/// Moves `x-…` keys below `#extensions`, but not where the keys are names of the user's.
fn collect_extensions(map: Map, path: &Path<'_>) -> Map {
    let names = path.rule(|keys| {
        matches!(
            keys,
            ["services" | "volumes" | "networks" | "secrets" | "configs"]
                | ["services", _, "depends_on"]
        )
    });
    let mut kept = Map::default();
    let mut extensions = Map::default();
    for (key, mut entry) in map.into_entries() {
        if key.starts_with("x-") && !names {
            extensions.set(key, entry.key, entry.node);
            continue;
        }
        let path = path.child(&key);
        collect_below(&mut entry.node, &path);
        kept.set(Arc::clone(&key), entry.key, entry.node);
    }
    if !extensions.is_empty() {
        let place = Place::default();
        kept.set(EXTENSIONS, place, Node::new(place, Value::Map(extensions)));
    }
    kept
}

fn collect_below(node: &mut Node, path: &Path<'_>) {
    match &mut node.value {
        Value::Map(map) => *map = collect_extensions(std::mem::take(map), path),
        Value::List(items) => {
            let path = path.child("[]");
            for item in items {
                if let Value::Map(map) = &mut item.value {
                    *map = collect_extensions(std::mem::take(map), &path);
                }
            }
        }
        _ => {}
    }
}

fn object(
    map: Map,
    object: &'static Object,
    path: &Path<'_>,
    findings: &mut Findings,
) -> Result<Map, Box<Fault>> {
    let mut decoded = Map::default();
    for (key, entry) in map.into_entries() {
        if &*key == EXTENSIONS {
            if matches!(object.others, Others::Extensions) {
                decoded.set(key, entry.key, entry.node);
            }
            continue;
        }
        let Some(row) = object.key(&key) else {
            continue;
        };
        let key_place = entry.key;
        let place = entry.node.place;
        let path = path.child(&key);
        let value = Decoding {
            path: &path,
            row,
            findings: &mut *findings,
        }
        .value(entry)?;
        if let Some(value) = value {
            decoded.set(Arc::clone(&key), key_place, Node::new(place, value));
        }
    }
    for key in object.keys {
        if !decoded.has(key.name)
            && let Some(value) = always(key.kind)
        {
            let place = Place::default();
            decoded.set(key.name, place, Node::new(place, value));
        }
    }
    decoded.shrink();
    Ok(decoded)
}

/// What is printed even if nothing is said.
fn always(kind: Kind) -> Option<Value> {
    Some(match kind {
        Kind::TextAlways => Value::Text("".into()),
        Kind::FlagAlways => Value::Bool(false),
        Kind::IntAlways | Kind::UnsignedAlways(_) => Value::Int(0),
        Kind::BytesAlways => Value::Text("0".into()),
        _ => return None,
    })
}

/// Decodes the value of one key.
struct Decoding<'a> {
    path: &'a Path<'a>,
    row: &'static Key,
    findings: &'a mut Findings,
}

/// A value, or none where Go has its zero value.
type Decoded = Result<Option<Value>, Box<Fault>>;

impl Decoding<'_> {
    fn value(mut self, entry: Entry) -> Decoded {
        let place = entry.place();
        let node = entry.node;
        if node.is_null() && !matches!(self.row.kind, Kind::Struct(_)) {
            return Ok(None);
        }
        match self.row.kind {
            Kind::Forgotten => Ok(None),
            Kind::Text | Kind::TextAlways => {
                let text = self.text(&node, place)?;
                let keep = !text.is_empty() || matches!(self.row.kind, Kind::TextAlways);
                Ok(keep.then_some(Value::Text(text)))
            }
            Kind::Flag | Kind::OptionalFlag | Kind::FlagAlways => self.flag(&node, place),
            Kind::Int | Kind::OptionalInt | Kind::IntAlways => self.int(&node, place),
            Kind::Unsigned(bits) | Kind::UnsignedAlways(bits) => self.unsigned(&node, place, bits),
            Kind::OptionalUnsigned => self.unsigned(&node, place, 64),
            Kind::Float => self.float(&node, place),
            Kind::Cpus => self.cpus(&node, place),
            Kind::Bytes | Kind::BytesAlways => self.bytes(&node, place),
            Kind::Duration | Kind::OptionalDuration => self.duration(&node, place),
            Kind::Mode => self.mode(&node, place),
            Kind::Count => self.count(&node, place),
            Kind::Command => self.command(node, place),
            Kind::Test => self.test(node, place),
            Kind::Texts => self.texts(node, place),
            Kind::TextOrTexts => self.text_or_texts(node, place),
            Kind::TextsOrNumbers => self.texts_or_numbers(&node, place),
            Kind::Environment => self.environment(node, place),
            Kind::Mapping | Kind::Labels => self.mapping(node, place),
            Kind::Options => self.options(node, place),
            Kind::MultiOptions => self.multi_options(node, place),
            Kind::TextMap => self.text_map(node, place),
            Kind::Hosts => self.hosts(node, place),
            Kind::Ssh => self.ssh(node, place),
            Kind::Ulimits => self.ulimits(node, place),
            Kind::EnvFiles => self.env_files(node, place),
            Kind::Struct(object) | Kind::Pointer(object) => {
                self.structure(node, place, object).map(Some)
            }
            Kind::List(object) => self.list(node, place, object),
            Kind::Map(object) => self.map(node, place, object, false),
            Kind::PointerMap(object) => self.map(node, place, object, true),
        }
    }

    /// A value of another type than Go can put there.
    fn wrong<T>(&self, place: Place, node: &Node, want: &str) -> Result<T, Box<Fault>> {
        Err(Fault::new(
            place,
            Problem::Type {
                at: self.path.to_string(),
                want: want.to_owned(),
                got: name_of(node),
            },
        ))
    }

    /// A text that has not the form it must have.
    fn malformed<T>(&self, place: Place, text: &str, want: &'static str) -> Result<T, Box<Fault>> {
        Err(Fault::new(
            place,
            Problem::Cast {
                at: self.path.to_string(),
                text: text.chars().take(80).collect(),
                want,
            },
        ))
    }

    fn structure(
        &mut self,
        node: Node,
        place: Place,
        known: &'static Object,
    ) -> Result<Value, Box<Fault>> {
        match node.value {
            Value::Null => Ok(Value::Map(object(
                Map::default(),
                known,
                self.path,
                self.findings,
            )?)),
            Value::Map(map) => Ok(Value::Map(object(map, known, self.path, self.findings)?)),
            _ => self.wrong(place, &node, "a mapping"),
        }
    }

    fn list(&mut self, node: Node, place: Place, known: &'static Object) -> Decoded {
        let Value::List(items) = node.value else {
            return self.wrong(place, &node, "a list");
        };
        let mut decoded = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let index = index.to_string();
            let path = self.path.child(&index);
            let place = item.place;
            let mut below = Decoding {
                path: &path,
                row: self.row,
                findings: &mut *self.findings,
            };
            let value = below.structure(item, place, known)?;
            decoded.push(Node::new(place, value));
        }
        Ok((!decoded.is_empty()).then_some(Value::List(decoded)))
    }

    fn map(
        &mut self,
        node: Node,
        place: Place,
        known: &'static Object,
        keep_null: bool,
    ) -> Decoded {
        let Value::Map(map) = node.value else {
            return self.wrong(place, &node, "a mapping");
        };
        let mut decoded = Map::default();
        for (key, entry) in map.into_entries() {
            let place = entry.place();
            let key_place = entry.key;
            let node_place = entry.node.place;
            let value = if keep_null && entry.node.is_null() {
                Value::Null
            } else {
                let path = self.path.child(&key);
                let mut below = Decoding {
                    path: &path,
                    row: self.row,
                    findings: &mut *self.findings,
                };
                below.structure(entry.node, place, known)?
            };
            decoded.set(Arc::clone(&key), key_place, Node::new(node_place, value));
        }
        Ok((!decoded.is_empty()).then_some(Value::Map(decoded)))
    }

    fn cast(&mut self, cast: Cast, text: &str, place: Place) -> Option<Value> {
        cast.apply(text, place, self.findings)
    }
}
