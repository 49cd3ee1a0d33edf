//! The tree that a compose file is while it is worked on: values, each with its place.

use std::sync::Arc;

use indexmap::IndexMap;

/// Where something stands: a file of [`Sources`](super::source::Sources), and bytes in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The file's number.
    pub file: u32,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands; what is made of a value keeps the value's place.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a YAML node can be, as go-yaml decodes it into `any`.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// A whole number that only fits without sign.
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// A date or a time, as RFC 3339.
    Time(Arc<str>),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// A mapping in the file's order.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    /// In a box, as most values are no mappings and need not be as large as one.
    entries: Box<IndexMap<Arc<str>, Entry>>,
}

/// A key's place, and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub key: Place,
    /// The value.
    pub node: Node,
}

impl Entry {
    /// The place to point at when the value is wrong: the value's, or the key's where the value
    /// is empty or spans lines.
    pub(super) fn place(&self) -> Place {
        match self.node.value {
            Value::Null | Value::List(_) | Value::Map(_) => self.key,
            _ => self.node.place,
        }
    }
}

impl Node {
    /// A value at a place.
    pub(super) fn new(place: Place, value: Value) -> Self {
        Self { place, value }
    }

    /// Text at a place.
    pub(super) fn text(place: Place, text: &str) -> Self {
        Self::new(place, Value::Text(text.into()))
    }

    /// The text, if it is text.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub(super) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub(super) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The sequence, if it is one.
    pub(super) fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Whether it is `true`.
    pub(super) fn is_true(&self) -> bool {
        matches!(self.value, Value::Bool(true))
    }

    /// The value, leaving `null`.
    pub(super) fn take(&mut self) -> Value {
        std::mem::replace(&mut self.value, Value::Null)
    }

    /// Whether two values are the same wherever they stand, as Go's `reflect.DeepEqual` sees it.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(one), Value::Bool(two)) => one == two,
            (Value::Int(one), Value::Int(two)) => one == two,
            (Value::Uint(one), Value::Uint(two)) => one == two,
            (Value::Float(one), Value::Float(two)) => one.to_bits() == two.to_bits(),
            (Value::Text(one), Value::Text(two)) | (Value::Time(one), Value::Time(two)) => {
                one == two
            }
            (Value::List(one), Value::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.same(two))
            }
            (Value::Map(one), Value::Map(two)) => {
                one.len() == two.len()
                    && one.iter().all(|(key, entry)| {
                        two.get(key).is_some_and(|other| entry.node.same(other))
                    })
            }
            _ => false,
        }
    }

    /// How many nodes the tree has.
    pub(super) fn count(&self) -> usize {
        1 + match &self.value {
            Value::List(list) => list.iter().map(Self::count).sum(),
            Value::Map(map) => map.iter().map(|(_, entry)| entry.node.count()).sum(),
            _ => 0,
        }
    }
}

impl Map {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }

    /// The value of a key.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.get_mut(key).map(|entry| &mut entry.node)
    }

    /// A key's place and value.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Whether the key is there, even with a `null`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Sets a key; one that is there keeps its position.
    pub(super) fn set(&mut self, key: impl Into<Arc<str>>, place: Place, node: Node) {
        self.entries.insert(key.into(), Entry { key: place, node });
    }

    /// Sets a key to text at a place.
    pub(super) fn set_text(&mut self, key: &str, place: Place, text: &str) {
        self.set(key, place, Node::text(place, text));
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, key: &str) -> Option<Entry> {
        self.entries.shift_remove(key)
    }

    /// Keeps the entries that pass.
    pub(super) fn retain(&mut self, mut pass: impl FnMut(&str, &mut Entry) -> bool) {
        self.entries.retain(|key, entry| pass(key, entry));
    }

    /// Gives back the room that is kept for more entries.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.entries.iter()
    }

    /// The entries in their order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// The entries in their order.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Arc<str>, Entry)> {
        (*self.entries).into_iter()
    }

    /// The keys in their order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entries.keys()
    }
}
