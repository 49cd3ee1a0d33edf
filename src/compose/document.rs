//! The resolved document, to be printed as `docker compose config` prints it.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter, Write};

use super::decode::EXTENSIONS;
use super::fields::{Kind, Object, PROJECT};
use super::node::{Map, Node, Value};

mod json;
mod yaml;

/// A resolved compose document: everything of it, not only what castoff builds from.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub(super) root: Map,
}

impl Document {
    /// The document as `docker compose config --format json` prints it. Models are not in it, and
    /// of the `x-…` keys only those at the top: so compose's printer is made.
    pub fn json(&self) -> impl Display {
        Printed(self, Layout::Json)
    }

    /// The document as `docker compose config` prints it.
    pub fn yaml(&self) -> impl Display {
        Printed(self, Layout::Yaml)
    }
}

/// A document on its way out. It is laid out service by service while it is written, so that what is
/// printed is never in memory as a whole.
struct Printed<'a>(&'a Document, Layout);

impl Display for Printed<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self(Document { root }, layout) = *self;
        let mut top = layout.object(Some(root), &PROJECT);
        match layout {
            Layout::Yaml => yaml::print(&top, &mut Doubled(formatter)),
            Layout::Json => {
                if let Out::Map(entries) = &mut top {
                    entries.retain(|(key, _)| key != "models");
                    entries.extend(layout.extensions(Some(root)));
                    entries.sort_by(|one, two| one.0.cmp(&two.0));
                }
                json::print(&top, &mut Doubled(formatter))
            }
        }
    }
}

/// Writes `$$` for each `$`, as what is printed is meant to be interpolated again.
struct Doubled<'a, 'b>(&'a mut Formatter<'b>);

impl Write for Doubled<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut pieces = text.split('$');
        self.0.write_str(pieces.next().unwrap_or_default())?;
        for piece in pieces {
            self.0.write_str("$$")?;
            self.0.write_str(piece)?;
        }
        Ok(())
    }
}

/// What is printed, in its order.
#[derive(Debug)]
enum Out<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A date: text that is never quoted in YAML.
    Time(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Out<'a>>),
    /// `[]any(nil)`: an empty list of an extension, which JSON prints as `null`.
    NoList,
    Map(Vec<(Cow<'a, str>, Out<'a>)>),
    /// A mapping that is laid out when it is its turn.
    Object(&'a Map, &'static Object),
}

impl<'a> Out<'a> {
    fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Json,
    Yaml,
}

impl Layout {
    /// The `x-…` keys of a decoded mapping, as they were written.
    fn extensions(self, map: Option<&Map>) -> Vec<(Cow<'_, str>, Out<'_>)> {
        map.and_then(|map| map.get(EXTENSIONS))
            .and_then(Node::as_map)
            .into_iter()
            .flat_map(Map::iter)
            .map(|(key, entry)| (Cow::Borrowed(&**key), self.any(&entry.node)))
            .collect()
    }

    /// A value of no known type.
    fn any(self, node: &Node) -> Out<'_> {
        match &node.value {
            Value::Null => Out::Null,
            Value::Bool(flag) => Out::Bool(*flag),
            Value::Int(whole) => Out::Int(*whole),
            Value::Uint(whole) => Out::Uint(*whole),
            Value::Float(float) => Out::Float(*float),
            Value::Text(text) => Out::text(text),
            Value::Time(time) => Out::Time(time),
            Value::List(items) if items.is_empty() => Out::NoList,
            Value::List(items) => Out::List(items.iter().map(|item| self.any(item)).collect()),
            Value::Map(map) => self.sorted(
                map.iter()
                    .map(|(key, entry)| (Cow::Borrowed(&**key), self.any(&entry.node)))
                    .collect(),
            ),
        }
    }

    fn object<'a>(self, map: Option<&'a Map>, object: &'static Object) -> Out<'a> {
        let mut entries = Vec::new();
        for key in object.keys {
            let name = match self {
                Self::Json => key.json,
                Self::Yaml => key.name,
            };
            if let Some(value) = self.key(map.and_then(|map| map.get(key.name)), key.kind) {
                entries.push((Cow::Borrowed(name), value));
            }
        }
        if self == Self::Yaml {
            let mut others = self.extensions(map);
            yaml::sort(&mut others);
            entries.extend(others);
        }
        Out::Map(entries)
    }

    /// The value of a known key; none if it is left out.
    fn key(self, node: Option<&Node>, kind: Kind) -> Option<Out<'_>> {
        let map = node.and_then(Node::as_map);
        match kind {
            Kind::Forgotten | Kind::EnvFiles => None,
            Kind::Struct(object) => self.structure(map, object),
            Kind::Command if self == Self::Json => {
                Some(node.map_or(Out::Null, |node| self.list(node)))
            }
            Kind::Command => node.map(|node| self.list(node)),
            Kind::Pointer(object) => map.map(|map| self.object(Some(map), object)),
            Kind::List(object) => node.and_then(Node::as_list).map(|items| {
                let items = items.iter().filter_map(Node::as_map);
                Out::List(items.map(|item| self.object(Some(item), object)).collect())
            }),
            Kind::Map(object) | Kind::PointerMap(object) => map.map(|map| {
                let entries = map.iter().map(|(key, entry)| {
                    let value = match entry.node.as_map() {
                        Some(map) => Out::Object(map, object),
                        None => Out::Null,
                    };
                    (Cow::Borrowed(&**key), value)
                });
                self.sorted(entries.collect())
            }),
            Kind::Ulimits => map.map(|map| self.ulimits(map)),
            Kind::Hosts => map.map(hosts),
            Kind::Ssh => map.map(ssh),
            _ => node.map(|node| self.plain(node)),
        }
    }

    /// A struct by value: JSON always has it, YAML only if there is something in it.
    fn structure<'a>(self, map: Option<&'a Map>, object: &'static Object) -> Option<Out<'a>> {
        let out = self.object(map, object);
        let left_out = |out: &Out<'_>| matches!(out, Out::Map(entries) if entries.is_empty());
        (self == Self::Json || !left_out(&out)).then_some(out)
    }

    /// A list that is there even if it is empty.
    fn list(self, node: &Node) -> Out<'_> {
        let items = node.as_list().unwrap_or_default();
        Out::List(items.iter().map(|item| self.any(item)).collect())
    }

    /// A decoded value of texts and numbers.
    fn plain(self, node: &Node) -> Out<'_> {
        match &node.value {
            Value::Map(map) => self.sorted(
                map.iter()
                    .map(|(key, entry)| (Cow::Borrowed(&**key), self.plain(&entry.node)))
                    .collect(),
            ),
            Value::List(items) => Out::List(items.iter().map(|item| self.plain(item)).collect()),
            _ => self.any(node),
        }
    }

    /// A mapping whose keys are the user's. Both formats sort them, each in its own way.
    fn sorted<'a>(self, mut entries: Vec<(Cow<'a, str>, Out<'a>)>) -> Out<'a> {
        match self {
            Self::Json => entries.sort_by(|one, two| one.0.cmp(&two.0)),
            Self::Yaml => yaml::sort(&mut entries),
        }
        Out::Map(entries)
    }

    fn ulimits(self, limits: &Map) -> Out<'_> {
        let entries = limits.iter().map(|(name, entry)| {
            let number = |key: &str| match entry.node.as_map().and_then(|limit| limit.get(key)) {
                Some(Node {
                    value: Value::Int(value),
                    ..
                }) => *value,
                _ => 0,
            };
            let limit = match entry.node.value {
                Value::Int(single) if single != 0 => Out::Int(single),
                _ => {
                    let both = [("soft", number("soft")), ("hard", number("hard"))];
                    let both = both
                        .into_iter()
                        .filter(|(_, value)| self == Self::Yaml || *value != 0);
                    Out::Map(
                        both.map(|(key, value)| (Cow::Borrowed(key), Out::Int(value)))
                            .collect(),
                    )
                }
            };
            (Cow::Borrowed(&**name), limit)
        });
        self.sorted(entries.collect())
    }
}

fn hosts(hosts: &Map) -> Out<'_> {
    let mut lines: Vec<String> = hosts
        .iter()
        .flat_map(|(host, entry)| {
            let addresses = entry.node.as_list().unwrap_or_default();
            addresses
                .iter()
                .map(move |address| format!("{host}={}", address.as_text().unwrap_or_default()))
        })
        .collect();
    lines.sort();
    let lines = lines.into_iter().map(|line| Out::Text(Cow::Owned(line)));
    Out::List(lines.collect())
}

/// SSH keys as YAML has them. Compose's JSON printer fails on a key with a path; ours does not.
fn ssh(keys: &Map) -> Out<'_> {
    let mut lines: Vec<String> = keys
        .iter()
        .map(|(id, entry)| match entry.node.as_text() {
            None | Some("") => id.to_string(),
            Some(path) => format!("{id}: {path}"),
        })
        .collect();
    lines.sort();
    let lines = lines.into_iter().map(|line| Out::Text(Cow::Owned(line)));
    Out::List(lines.collect())
}
