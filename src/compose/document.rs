//! The resolved document, to be printed as `docker compose config` prints it.

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
    pub fn to_json(&self) -> String {
        let mut top = Layout::Json.object(&self.root, &PROJECT);
        if let Out::Map(entries) = &mut top {
            entries.retain(|(key, _)| key != "models");
            entries.extend(Layout::Json.extensions(&self.root));
            entries.sort_by(|one, two| one.0.cmp(&two.0));
        }
        json::print(&top).replace('$', "$$")
    }

    /// The document as `docker compose config` prints it.
    pub fn to_yaml(&self) -> String {
        yaml::print(&Layout::Yaml.object(&self.root, &PROJECT)).replace('$', "$$")
    }
}

/// What is printed, in its order.
#[derive(Debug)]
enum Out {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A date: text that is never quoted in YAML.
    Time(String),
    Text(String),
    List(Vec<Out>),
    /// `[]any(nil)`: an empty list of an extension, which JSON prints as `null`.
    NoList,
    Map(Vec<(String, Out)>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Json,
    Yaml,
}

impl Layout {
    /// The `x-…` keys of a decoded mapping, as they were written.
    fn extensions(self, map: &Map) -> Vec<(String, Out)> {
        map.get(EXTENSIONS)
            .and_then(Node::as_map)
            .into_iter()
            .flat_map(Map::iter)
            .map(|(key, entry)| (key.to_string(), self.any(&entry.node)))
            .collect()
    }

    /// A value of no known type.
    fn any(self, node: &Node) -> Out {
        match &node.value {
            Value::Null => Out::Null,
            Value::Bool(flag) => Out::Bool(*flag),
            Value::Int(whole) => Out::Int(*whole),
            Value::Uint(whole) => Out::Uint(*whole),
            Value::Float(float) => Out::Float(*float),
            Value::Text(text) => Out::Text(text.to_string()),
            Value::Time(time) => Out::Time(time.to_string()),
            Value::List(items) if items.is_empty() => Out::NoList,
            Value::List(items) => Out::List(items.iter().map(|item| self.any(item)).collect()),
            Value::Map(map) => self.sorted(
                map.iter()
                    .map(|(key, entry)| (key.to_string(), self.any(&entry.node)))
                    .collect(),
            ),
        }
    }

    fn object(self, map: &Map, object: &Object) -> Out {
        let mut entries = Vec::new();
        for key in object.keys {
            let name = match self {
                Self::Json => key.json,
                Self::Yaml => key.name,
            };
            if let Some(value) = self.key(map.get(key.name), key.kind) {
                entries.push((name.to_owned(), value));
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
    fn key(self, node: Option<&Node>, kind: Kind) -> Option<Out> {
        let map = node.and_then(Node::as_map);
        match kind {
            Kind::Forgotten | Kind::EnvFiles => None,
            Kind::Struct(object) => self.structure(map, object),
            Kind::Command if self == Self::Json => {
                Some(node.map_or(Out::Null, |node| self.list(node)))
            }
            Kind::Command => node.map(|node| self.list(node)),
            Kind::Pointer(object) => map.map(|map| self.object(map, object)),
            Kind::List(object) => node.and_then(Node::as_list).map(|items| {
                let items = items.iter().filter_map(Node::as_map);
                Out::List(items.map(|item| self.object(item, object)).collect())
            }),
            Kind::Map(object) | Kind::PointerMap(object) => map.map(|map| {
                let entries = map.iter().map(|(key, entry)| {
                    let value = match entry.node.as_map() {
                        Some(map) => self.object(map, object),
                        None => Out::Null,
                    };
                    (key.to_string(), value)
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
    fn structure(self, map: Option<&Map>, object: &Object) -> Option<Out> {
        let empty = Map::default();
        let map = map.unwrap_or(&empty);
        match self {
            Self::Json => Some(self.object(map, object)),
            Self::Yaml => Some(self.object(map, object))
                .filter(|out| !matches!(out, Out::Map(entries) if entries.is_empty())),
        }
    }

    /// A list that is there even if it is empty.
    fn list(self, node: &Node) -> Out {
        let items = node.as_list().unwrap_or_default();
        Out::List(items.iter().map(|item| self.any(item)).collect())
    }

    /// A decoded value of texts and numbers.
    fn plain(self, node: &Node) -> Out {
        match &node.value {
            Value::Map(map) => self.sorted(
                map.iter()
                    .map(|(key, entry)| (key.to_string(), self.plain(&entry.node)))
                    .collect(),
            ),
            Value::List(items) => Out::List(items.iter().map(|item| self.plain(item)).collect()),
            _ => self.any(node),
        }
    }

    /// A mapping whose keys are the user's. Both formats sort them, each in its own way.
    fn sorted(self, mut entries: Vec<(String, Out)>) -> Out {
        match self {
            Self::Json => entries.sort_by(|one, two| one.0.cmp(&two.0)),
            Self::Yaml => yaml::sort(&mut entries),
        }
        Out::Map(entries)
    }

    fn ulimits(self, limits: &Map) -> Out {
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
                        both.map(|(key, value)| (key.to_owned(), Out::Int(value)))
                            .collect(),
                    )
                }
            };
            (name.to_string(), limit)
        });
        self.sorted(entries.collect())
    }
}

fn hosts(hosts: &Map) -> Out {
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
    Out::List(lines.into_iter().map(Out::Text).collect())
}

/// SSH keys as YAML has them. Compose's JSON printer fails on a key with a path; ours does not.
fn ssh(keys: &Map) -> Out {
    let mut lines: Vec<String> = keys
        .iter()
        .map(|(id, entry)| match entry.node.as_text() {
            None | Some("") => id.to_string(),
            Some(path) => format!("{id}: {path}"),
        })
        .collect();
    lines.sort();
    Out::List(lines.into_iter().map(Out::Text).collect())
}
