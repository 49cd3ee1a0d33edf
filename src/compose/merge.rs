//! Merges a document over the one before it: compose-go's `override/merge.go`.

use super::error::{Fault, Problem};
use super::node::{Entry, Map, Node, Place, Value};
use super::numbers::sprint;
use super::path::Path;

/// Merges `over` into `base`.
pub(super) fn merge(base: Map, over: Map) -> Result<Map, Box<Fault>> {
    mappings(base, over, &Path::root())
}

/// Merges a service over the one it extends.
pub(super) fn extend_service(base: Map, service: Map) -> Result<Map, Box<Fault>> {
    let root = Path::root();
    let services = root.child("services");
    mappings(base, service, &services.child("x"))
}

/// The keys that are merged in a way of their own.
#[derive(Clone, Copy)]
enum Rule {
    /// As lines `key=value`.
    Sequence,
    /// As lines, each only once.
    Hosts,
    /// The later one counts.
    Override,
    /// As mappings; the short form is a mapping of this.
    Mapping(Short),
    /// As mappings if both have the same driver.
    Logging,
    /// Pool by pool, by subnet.
    IpamConfig,
}

/// What the short form of a mapping stands for.
#[derive(Clone, Copy)]
enum Short {
    /// A text is the context.
    Build,
    /// A list of names; each has nothing below.
    Names,
    /// A list of names; each has a condition.
    Dependencies,
}

fn rule(path: &[&str]) -> Option<Rule> {
    Some(match path {
        ["networks", _, "ipam", "config"] => Rule::IpamConfig,
        ["networks" | "volumes", _, "labels"] => Rule::Sequence,
        ["services", _, rest @ ..] => match rest {
            [
                "annotations" | "dns" | "dns_opt" | "dns_search" | "env_file" | "label_file"
                | "environment" | "labels" | "sysctls" | "tmpfs",
            ]
            | ["build", "args" | "additional_contexts" | "labels"]
            | ["deploy", "labels"] => Rule::Sequence,
            ["extra_hosts"] | ["build", "extra_hosts"] => Rule::Hosts,
            ["command" | "entrypoint"] | ["healthcheck", "test"] | ["ulimits", _] => Rule::Override,
            ["build"] => Rule::Mapping(Short::Build),
            ["depends_on"] => Rule::Mapping(Short::Dependencies),
            ["models" | "networks"] => Rule::Mapping(Short::Names),
            ["logging"] => Rule::Logging,
            _ => return None,
        },
        _ => return None,
    })
}

fn mappings(mut base: Map, over: Map, path: &Path<'_>) -> Result<Map, Box<Fault>> {
    for (key, entry) in over.into_entries() {
        match base.get_mut(&key) {
            None => base.set(key, entry.key, entry.node),
            Some(before) => {
                let before = std::mem::replace(before, Node::new(entry.key, Value::Null));
                let merged = values(before, entry, &path.child(&key))?;
                base.set(key, merged.key, merged.node);
            }
        }
    }
    Ok(base)
}

fn values(base: Node, over: Entry, path: &Path<'_>) -> Result<Entry, Box<Fault>> {
    let place = over.node.place;
    let key = over.key;
    let conflict = || cannot(key, path);
    if let Some(rule) = path.rule(rule) {
        let value = special(rule, base, over.node, key, path)?;
        let node = Node::new(place, value);
        return Ok(Entry { key, node });
    }
    let node = match (base.value, over.node.value) {
        (value, Value::Null) => Node::new(base.place, value),
        (Value::Map(base), Value::Map(over)) => {
            Node::new(place, Value::Map(mappings(base, over, path)?))
        }
        (Value::List(mut base), Value::List(over)) => {
            base.extend(over);
            Node::new(place, Value::List(base))
        }
        (Value::Map(_) | Value::List(_), _) => return Err(conflict()),
        (_, value) => Node::new(place, value),
    };
    Ok(Entry { key, node })
}

fn special(
    rule: Rule,
    base: Node,
    over: Node,
    key: Place,
    path: &Path<'_>,
) -> Result<Value, Box<Fault>> {
    Ok(match rule {
        Rule::Override => over.value,
        Rule::Sequence => {
            let mut lines = sequence(base);
            lines.extend(sequence(over));
            Value::List(lines)
        }
        Rule::Hosts => {
            let mut lines = sequence(base);
            let over: Vec<Node> = sequence(over)
                .into_iter()
                .filter(|line| !lines.iter().any(|before| before.same(line)))
                .collect();
            lines.extend(over);
            Value::List(lines)
        }
        Rule::Mapping(short) => {
            let base = long_form(base, short);
            let over = long_form(over, short);
            match (base, over) {
                (Some(base), Some(over)) => Value::Map(mappings(base, over, path)?),
                (Some(map), None) => Value::Map(map),
                (None, Some(map)) if map.is_empty() => Value::Map(map),
                (None, None) => Value::Map(Map::default()),
                (None, Some(_)) => return Err(cannot(key, path)),
            }
        }
        Rule::Logging => match (base.value, over.value) {
            (Value::Map(base), Value::Map(over)) => {
                let same = match (base.get("driver"), over.get("driver")) {
                    (Some(base), Some(over)) => base.same(over),
                    _ => true,
                };
                Value::Map(if same {
                    mappings(base, over, path)?
                } else {
                    over
                })
            }
            _ => return Err(cannot(key, path)),
        },
        Rule::IpamConfig => match (base.value, over.value) {
            (Value::List(base), Value::List(over)) => Value::List(pools(base, over, path)?),
            _ => return Err(cannot(key, path)),
        },
    })
}

fn cannot(place: Place, path: &Path<'_>) -> Box<Fault> {
    let at = path.to_string();
    Fault::new(place, Problem::Merge { at })
}

/// A mapping as lines `key=value`, sorted; a text as one line.
pub(super) fn sequence(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(list) => list,
        Value::Text(_) => vec![node],
        Value::Map(map) => {
            let mut lines: Vec<Node> = Vec::with_capacity(map.len());
            for (key, entry) in map.into_entries() {
                let place = entry.key;
                match &entry.node.value {
                    Value::Null => lines.push(Node::new(place, Value::Text(key))),
                    Value::List(items) => lines.extend(
                        items
                            .iter()
                            .map(|item| Node::text(place, &format!("{key}={}", sprint(item)))),
                    ),
                    _ => lines.push(Node::text(place, &format!("{key}={}", sprint(&entry.node)))),
                }
            }
            lines.sort_by(|one, two| one.as_text().cmp(&two.as_text()));
            lines
        }
        _ => Vec::new(),
    }
}

/// The mapping that a short form stands for; none for anything else.
fn long_form(node: Node, short: Short) -> Option<Map> {
    let place = node.place;
    match (node.value, short) {
        (Value::Map(map), _) => Some(map),
        (Value::Text(text), Short::Build) => {
            let mut map = Map::default();
            map.set("context", place, Node::new(place, Value::Text(text)));
            Some(map)
        }
        (Value::List(names), Short::Names | Short::Dependencies) => {
            let mut map = Map::default();
            for name in names {
                let place = name.place;
                let Value::Text(name) = name.value else {
                    return None;
                };
                let below = match short {
                    Short::Dependencies => Value::Map(started(place)),
                    _ => Value::Null,
                };
                map.set(name, place, Node::new(place, below));
            }
            Some(map)
        }
        _ => None,
    }
}

/// What a service waits for if nothing is said: that the other one is started.
pub(super) fn started(place: Place) -> Map {
    let mut map = Map::default();
    map.set_text("condition", place, "service_started");
    map.set("required", place, Node::new(place, Value::Bool(true)));
    map
}

/// Merges address pools: those of the same subnet become one.
fn pools(base: Vec<Node>, over: Vec<Node>, path: &Path<'_>) -> Result<Vec<Node>, Box<Fault>> {
    let mut pools: Vec<Node> = Vec::new();
    let over: Vec<(Place, Map)> = over
        .into_iter()
        .map(|node| {
            (
                node.place,
                long_form(node, Short::Names).unwrap_or_default(),
            )
        })
        .collect();
    for original in base {
        let place = original.place;
        let mut original = long_form(original, Short::Names).unwrap_or_default();
        for (over_place, over) in &over {
            if !same_subnet(over, &original)
                && !pools
                    .iter()
                    .any(|pool| pool.as_map().is_some_and(|pool| same_subnet(pool, over)))
            {
                pools.push(Node::new(*over_place, Value::Map(over.clone())));
                continue;
            }
            original = mappings(original, over.clone(), path)?;
            let merged = Node::new(place, Value::Map(original.clone()));
            let before = pools.iter_mut().find(|pool| {
                pool.as_map()
                    .is_some_and(|pool| same_subnet(pool, &original))
            });
            match before {
                Some(before) => *before = merged,
                None => pools.push(merged),
            }
        }
    }
    Ok(pools)
}

fn same_subnet(one: &Map, two: &Map) -> bool {
    match (one.get("subnet"), two.get("subnet")) {
        (Some(one), Some(two)) => one.same(two),
        (None, None) => true,
        _ => false,
    }
}
