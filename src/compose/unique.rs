//! Takes redefinitions out of lists: compose-go's `override/uncity.go`.
//!
//! A later `KEY=value` replaces the earlier one of the same key, a later mount the earlier one of
//! the same target, and so on.

use std::collections::HashMap;

use super::error::Fault;
use super::node::{Map, Node, Value};
use super::numbers::sprint;
use super::path::Path;
use super::short::volume;

/// What makes two items of a list the same.
#[derive(Clone, Copy)]
enum Index {
    /// The text before `=`.
    Key,
    /// Where a volume is mounted.
    Volume,
    /// Where a device appears.
    Device,
    /// Where a config or secret is mounted: below this folder, if it does not say.
    Mount(&'static str),
    /// The text or the whole number.
    Expose,
    /// Address, ports and protocol.
    Port,
    /// The file.
    EnvFile,
}

fn index(path: &[&str]) -> Option<Index> {
    Some(match path {
        ["networks", _, "labels"] | ["networks", _, "ipam", "options"] => Index::Key,
        ["services", _, rest @ ..] => match rest {
            [
                "annotations" | "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search"
                | "environment" | "labels" | "links" | "profiles" | "sysctls" | "tmpfs",
            ]
            | [
                "build",
                "args" | "additional_contexts" | "platform" | "tags" | "labels",
            ]
            | ["deploy", "labels"]
            | ["networks", _, "aliases" | "link_local_ips"] => Index::Key,
            ["volumes"] => Index::Volume,
            ["devices"] => Index::Device,
            ["configs"] => Index::Mount(""),
            ["secrets"] => Index::Mount("/run/secrets"),
            ["expose"] => Index::Expose,
            ["ports"] => Index::Port,
            ["env_file"] => Index::EnvFile,
            _ => return None,
        },
        _ => return None,
    })
}

/// Takes redefinitions out of all lists of `document`.
pub(super) fn enforce(document: &mut Map) -> Result<(), Box<Fault>> {
    map(document, &Path::root())
}

fn map(below: &mut Map, path: &Path<'_>) -> Result<(), Box<Fault>> {
    for (key, entry) in below.iter_mut() {
        let path = path.child(key);
        match &mut entry.node.value {
            Value::Map(below) => map(below, &path)?,
            Value::List(items) => {
                if let Some(index) = path.rule(index) {
                    *items = unique(std::mem::take(items), index, &path)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn unique(items: Vec<Node>, index: Index, path: &Path<'_>) -> Result<Vec<Node>, Box<Fault>> {
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for item in items {
        let key = index.of(&item, path)?;
        if let Some(before) = seen.get(&key).and_then(|at| kept.get_mut(*at)) {
            *before = item;
        } else {
            seen.insert(key, kept.len());
            kept.push(item);
        }
    }
    Ok(kept)
}

impl Index {
    fn of(self, item: &Node, path: &Path<'_>) -> Result<String, Box<Fault>> {
        let wrong = |what: &str| Err(Fault::rule(item.place, format!("{path}: {what}")));
        let none = Ok(String::new());
        match self {
            Self::Key => match item.as_text() {
                Some(text) => Ok(text.split('=').next().unwrap_or_default().to_owned()),
                None => wrong("the items must be text"),
            },
            Self::Volume | Self::Device => match &item.value {
                Value::Map(map) => match map.get("target").and_then(Node::as_text) {
                    Some(target) => Ok(target.to_owned()),
                    None => wrong("a mount needs `target`"),
                },
                Value::Text(text) if matches!(self, Self::Volume) => match volume::parse(text) {
                    Ok(volume) => Ok(volume.target),
                    Err(reason) => wrong(&reason),
                },
                Value::Text(text) => {
                    let mut parts = text.split(':');
                    let source = parts.next().unwrap_or_default();
                    Ok(parts.next().unwrap_or(source).to_owned())
                }
                _ => none,
            },
            Self::Mount(folder) => match &item.value {
                Value::Text(text) => Ok(format!("{folder}/{text}")),
                Value::Map(map) => match (map.get("target"), map.get("source")) {
                    (Some(target), _) => match target.as_text() {
                        Some(target) => Ok(target.to_owned()),
                        None => wrong("`target` must be text"),
                    },
                    (None, source) => Ok(format!(
                        "{folder}/{}",
                        source.map(sprint).unwrap_or_default()
                    )),
                },
                _ => wrong("the items must be text or mappings"),
            },
            Self::Expose => match &item.value {
                Value::Text(text) => Ok(text.to_string()),
                Value::Int(port) => Ok(port.to_string()),
                _ => wrong("a port must be text or a whole number"),
            },
            Self::Port => match &item.value {
                Value::Int(port) => Ok(port.to_string()),
                Value::Text(text) => Ok(text.to_string()),
                Value::Map(map) => port(map).map_or_else(|| wrong("a port needs `target`"), Ok),
                _ => none,
            },
            Self::EnvFile => match &item.value {
                Value::Text(text) => Ok(text.to_string()),
                Value::Map(map) => match map.get("path").and_then(Node::as_text) {
                    Some(path) => Ok(path.to_owned()),
                    None => wrong("an env file needs `path`"),
                },
                _ => none,
            },
        }
    }
}

/// Address, ports and protocol of a port's long form. A number and a text are different ports,
/// as they are to compose.
fn port(map: &Map) -> Option<String> {
    let shown = |key: &str, default: &str| match map.get(key) {
        None => default.to_owned(),
        Some(node) => match &node.value {
            Value::Text(text) => format!("\"{text}"),
            _ => sprint(node),
        },
    };
    let target = sprint(map.get("target")?);
    Some(format!(
        "{}:{}:{target}/{}",
        shown("host_ip", "\"0.0.0.0"),
        shown("published", ""),
        shown("protocol", "\"tcp")
    ))
}
