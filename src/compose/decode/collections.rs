//! Decoding of lists and mappings of texts.

use std::sync::Arc;

use super::{Decoded, Decoding};
use crate::compose::error::Fault;
use crate::compose::node::{Map, Node, Place, Value};
use crate::compose::numbers::sprint;
use crate::compose::short::words;

impl Decoding<'_> {
    pub(super) fn command(&self, node: Node, place: Place) -> Decoded {
        match node.value {
            Value::Text(text) => match words::split(&text) {
                Some(words) => Ok(Some(list(place, words))),
                None => self.malformed(place, &text, "a command line"),
            },
            Value::List(items) => self.only_texts(items).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn test(&self, node: Node, place: Place) -> Decoded {
        match node.value {
            Value::Text(text) => {
                let words = vec!["CMD-SHELL".to_owned(), text.to_string()];
                Ok(Some(list(place, words)))
            }
            Value::List(items) => not_empty(self.only_texts(items)?),
            _ => self.wrong(place, &node, "text or a list of text"),
        }
    }

    fn only_texts(&self, items: Vec<Node>) -> Result<Value, Box<Fault>> {
        match items.iter().find(|item| item.as_text().is_none()) {
            Some(item) => self.wrong(item.place, item, "a list of text"),
            None => Ok(Value::List(items)),
        }
    }

    /// `[]string`: whole numbers become text, nothing becomes empty text.
    pub(super) fn texts(&self, node: Node, place: Place) -> Decoded {
        let Value::List(items) = node.value else {
            return self.wrong(place, &node, "a list");
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let text = match &item.value {
                Value::Null => Arc::from(""),
                _ => self.text(&item, item.place)?,
            };
            texts.push(Node::new(item.place, Value::Text(text)));
        }
        not_empty(Value::List(texts))
    }

    pub(super) fn text_or_texts(&self, node: Node, place: Place) -> Decoded {
        match node.value {
            Value::Text(_) => Ok(Some(Value::List(vec![node]))),
            Value::List(items) => not_empty(self.only_texts(items)?),
            _ => self.wrong(place, &node, "text or a list of text"),
        }
    }

    pub(super) fn texts_or_numbers(&self, node: &Node, place: Place) -> Decoded {
        match &node.value {
            Value::Text(text) => Ok(Some(list(place, vec![text.to_string()]))),
            Value::List(items) => {
                let texts = items
                    .iter()
                    .map(|item| Node::text(item.place, &sprint(item)))
                    .collect();
                not_empty(Value::List(texts))
            }
            _ => self.wrong(place, node, "a list"),
        }
    }

    /// Names, some without a value.
    pub(super) fn environment(&self, node: Node, place: Place) -> Decoded {
        let mut variables = Map::default();
        match node.value {
            Value::Map(map) => {
                for (name, entry) in map.into_entries() {
                    let value = match entry.node.value {
                        Value::Null | Value::Text(_) => entry.node.value,
                        _ => Value::Text(sprint(&entry.node).into()),
                    };
                    variables.set(name, entry.key, Node::new(entry.node.place, value));
                }
            }
            Value::List(lines) => {
                for line in lines {
                    let place = line.place;
                    let text = sprint(&line);
                    let (name, value) = match text.split_once('=') {
                        Some((name, value)) => (name, Value::Text(value.into())),
                        None => (&*text, Value::Null),
                    };
                    // Go looks at the last byte, and takes 0x85 and 0xA0 for space.
                    if let Some(b'\t'..=b'\r' | b' ' | 0x85 | 0xa0) = name.as_bytes().last() {
                        let message = format!(
                            "{}: the variable `{}` is written with a space behind it",
                            self.path,
                            name.trim_end()
                        );
                        return Err(Fault::rule(place, message));
                    }
                    variables.set(name, place, Node::new(place, value));
                }
            }
            _ => return self.wrong(place, &node, "a mapping or a list"),
        }
        not_empty(Value::Map(variables))
    }

    /// Names with values; no value is empty text.
    pub(super) fn mapping(&self, node: Node, place: Place) -> Decoded {
        let mut mapping = Map::default();
        match node.value {
            Value::Map(map) => {
                for (name, entry) in map.into_entries() {
                    let value = text_of(&entry.node);
                    mapping.set(name, entry.key, Node::new(entry.node.place, value));
                }
            }
            Value::List(lines) => {
                for line in lines {
                    let text = sprint(&line);
                    let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                    mapping.set_text(name, line.place, value);
                }
            }
            _ => return self.wrong(place, &node, "a mapping or a list"),
        }
        not_empty(Value::Map(mapping))
    }

    pub(super) fn options(&self, node: Node, place: Place) -> Decoded {
        match node.value {
            Value::Map(_) => self.mapping(node, place),
            _ => self.wrong(place, &node, "a mapping"),
        }
    }

    pub(super) fn multi_options(&self, node: Node, place: Place) -> Decoded {
        let Value::Map(map) = node.value else {
            return self.wrong(place, &node, "a mapping");
        };
        let mut options = Map::default();
        for (name, entry) in map.into_entries() {
            let place = entry.node.place;
            let texts = match &entry.node.value {
                Value::List(items) => items.iter().map(sprint).collect(),
                _ => vec![sprint(&entry.node)],
            };
            if !texts.is_empty() {
                options.set(name, entry.key, Node::new(place, list(place, texts)));
            }
        }
        not_empty(Value::Map(options))
    }

    /// `map[string]string`: whole numbers become text, anything else is refused.
    pub(super) fn text_map(&self, node: Node, place: Place) -> Decoded {
        let Value::Map(map) = node.value else {
            return self.wrong(place, &node, "a mapping");
        };
        let mut texts = Map::default();
        for (name, entry) in map.into_entries() {
            let text = match &entry.node.value {
                Value::Null => Arc::from(""),
                _ => self.text(&entry.node, entry.place())?,
            };
            texts.set(
                name,
                entry.key,
                Node::new(entry.node.place, Value::Text(text)),
            );
        }
        not_empty(Value::Map(texts))
    }

    /// Hosts, each with its addresses.
    pub(super) fn hosts(&self, node: Node, place: Place) -> Decoded {
        let mut hosts = Map::default();
        match node.value {
            Value::Map(map) => {
                for (host, entry) in map.into_entries() {
                    let addresses = match &entry.node.value {
                        Value::Null => vec![String::new()],
                        Value::Text(text) => vec![text.to_string()],
                        Value::List(items) => items.iter().map(sprint).collect(),
                        _ => return self.wrong(entry.place(), &entry.node, "an address"),
                    };
                    let value = list(entry.node.place, addresses);
                    hosts.set(host, entry.key, Node::new(entry.node.place, value));
                }
            }
            Value::List(lines) => {
                for line in lines {
                    let place = line.place;
                    let text = sprint(&line);
                    let pair = text.split_once('=').or_else(|| text.split_once(':'));
                    let Some((host, addresses)) = pair else {
                        return self.malformed(place, &text, "HOST=ADDRESS");
                    };
                    let mut all: Vec<Node> = match hosts.remove(host).map(|entry| entry.node.value)
                    {
                        Some(Value::List(before)) => before,
                        _ => Vec::new(),
                    };
                    all.extend(
                        addresses
                            .split(',')
                            .map(|address| Node::text(place, address)),
                    );
                    hosts.set(host, place, Node::new(place, Value::List(all)));
                }
            }
            _ => return self.wrong(place, &node, "a mapping or a list"),
        }
        for (host, entry) in hosts.iter_mut() {
            if host.is_empty() || host.contains([':', '=']) {
                return self.malformed(entry.key, host, "a host name");
            }
            if let Value::List(addresses) = &mut entry.node.value {
                for address in addresses {
                    let bare = address
                        .as_text()
                        .and_then(|text| text.strip_prefix('[')?.strip_suffix(']'));
                    if let Some(bare) = bare.filter(|bare| !bare.is_empty()) {
                        *address = Node::text(address.place, bare);
                    }
                }
            }
        }
        not_empty(Value::Map(hosts))
    }

    pub(super) fn ssh(&self, node: Node, place: Place) -> Decoded {
        let Value::Map(map) = node.value else {
            return self.wrong(place, &node, "a mapping");
        };
        let mut keys = Map::default();
        for (id, entry) in map.into_entries() {
            let value = match &entry.node.value {
                Value::Null => Value::Null,
                _ => Value::Text(sprint(&entry.node).into()),
            };
            keys.set(id, entry.key, Node::new(entry.node.place, value));
        }
        not_empty(Value::Map(keys))
    }

    pub(super) fn ulimits(&self, node: Node, place: Place) -> Decoded {
        let Value::Map(map) = node.value else {
            return self.wrong(place, &node, "a mapping");
        };
        let mut limits = Map::default();
        for (name, entry) in map.into_entries() {
            let place = entry.place();
            let value = match &entry.node.value {
                Value::Int(_) => entry.node.value,
                Value::Map(limit) => {
                    let mut both = Map::default();
                    for key in ["soft", "hard"] {
                        let value = match limit.get(key).map(|node| &node.value) {
                            None => 0,
                            Some(Value::Int(value)) => *value,
                            Some(_) => return self.wrong(place, &entry.node, "whole numbers"),
                        };
                        both.set(key, place, Node::new(place, Value::Int(value)));
                    }
                    Value::Map(both)
                }
                _ => return self.wrong(place, &entry.node, "a whole number, or two"),
            };
            limits.set(name, entry.key, Node::new(entry.node.place, value));
        }
        not_empty(Value::Map(limits))
    }

    /// The files stay as they are; whether they are required is a boolean afterwards.
    pub(super) fn env_files(&mut self, node: Node, place: Place) -> Decoded {
        let Value::List(mut files) = node.value else {
            return self.wrong(place, &node, "a list");
        };
        for file in &mut files {
            let Value::Map(file) = &mut file.value else {
                continue;
            };
            for key in ["path", "format"] {
                if let Some(text) = file.get(key)
                    && !text.is_null()
                {
                    self.text(text, text.place)?;
                }
            }
            if let Some(required) = file.get_mut("required") {
                let place = required.place;
                let flag = self.flag(required, place)?;
                required.value = flag.unwrap_or(Value::Bool(false));
            }
        }
        not_empty(Value::List(files))
    }
}

/// The text of a value; nothing is empty text.
fn text_of(node: &Node) -> Value {
    match &node.value {
        Value::Null => Value::Text("".into()),
        Value::Text(text) => Value::Text(Arc::clone(text)),
        _ => Value::Text(sprint(node).into()),
    }
}

fn list(place: Place, texts: Vec<String>) -> Value {
    Value::List(
        texts
            .into_iter()
            .map(|text| Node::new(place, Value::Text(text.into())))
            .collect(),
    )
}

/// The value, unless it is an empty list or mapping, which Go's output leaves out.
#[expect(clippy::unnecessary_wraps, reason = "each decoding ends with it")]
fn not_empty(value: Value) -> Decoded {
    let empty = match &value {
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    };
    Ok((!empty).then_some(value))
}
