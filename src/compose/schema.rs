//! Checks a document against the compose specification, before short forms become long ones.

use super::error::{Fault, Problem, nearest};
use super::fields::{Accepts, Object, Others, PROJECT, types};
use super::node::{Entry, Map, Node, Place, Value};
use super::path::Path;

/// Checks a whole document.
pub(super) fn check(document: &Map) -> Result<(), Box<Fault>> {
    object(document, Place::default(), &PROJECT, &Path::root())
}

fn object(map: &Map, place: Place, object: &Object, path: &Path<'_>) -> Result<(), Box<Fault>> {
    for (key, entry) in map.iter() {
        if let Some(known) = object.key(key) {
            value(entry.place(), &entry.node, &known.accepts, &path.child(key))?;
            continue;
        }
        let extension = key.starts_with("x-");
        let fine = match object.others {
            Others::Any => true,
            Others::Extensions | Others::Forgotten => extension,
            Others::Refused => false,
        };
        if !fine {
            let known = object.keys.iter().map(|key| key.name);
            let nearest = nearest(key, known);
            return Err(unknown(entry, path, key, nearest));
        }
    }
    match object.needs.iter().find(|key| !map.has(key)) {
        None => Ok(()),
        Some(key) => {
            let at = path.to_string();
            let key = (*key).to_owned();
            Err(Fault::new(place, Problem::Needs { at, key }))
        }
    }
}

fn unknown(entry: &Entry, path: &Path<'_>, key: &str, nearest: Option<String>) -> Box<Fault> {
    let at = match path.depth() {
        0 => "the file".to_owned(),
        _ => path.to_string(),
    };
    let key = key.to_owned();
    Fault::new(entry.key, Problem::Unknown { at, key, nearest })
}

/// `place` is where to point at when the value is wrong.
fn value(place: Place, node: &Node, accepts: &Accepts, path: &Path<'_>) -> Result<(), Box<Fault>> {
    match accepts {
        Accepts::Types(wanted) => typed(place, node, *wanted, path),
        Accepts::IntBetween(least, most) => between(place, node, *least, *most, path),
        Accepts::Choice(choices) => {
            typed(place, node, types::TEXT, path)?;
            let text = node.as_text().unwrap_or_default();
            if choices.contains(&text) {
                return Ok(());
            }
            let rule = format!("must be one of {}", choices.join(", "));
            Err(wrong(place, path, &rule))
        }
        Accepts::Matching(matches, rule) => {
            typed(place, node, types::TEXT, path)?;
            if matches(node.as_text().unwrap_or_default()) {
                return Ok(());
            }
            Err(wrong(place, path, rule))
        }
        Accepts::List(of) => list(place, node, of, path),
        Accepts::Set(of) => {
            list(place, node, of, path)?;
            unique(node, path)
        }
        Accepts::Object(known) => match &node.value {
            Value::Map(map) => object(map, place, known, path),
            _ => typed(place, node, types::MAP, path),
        },
        Accepts::Map { name, of, closed } => {
            let Value::Map(map) = &node.value else {
                return typed(place, node, types::MAP, path);
            };
            for (key, entry) in map.iter() {
                if name(key) {
                    value(entry.place(), &entry.node, of, &path.child(key))?;
                } else if *closed {
                    return Err(unknown(entry, path, key, None));
                }
            }
            Ok(())
        }
        Accepts::Either(choices) => {
            let choice = choices.iter().find(|choice| is(node, types_of(choice)));
            if let Some(choice) = choice {
                return value(place, node, choice, path);
            }
            let wanted = choices.iter().fold(0, |all, one| all | types_of(one));
            typed(place, node, wanted, path)
        }
    }
}

fn list(place: Place, node: &Node, of: &Accepts, path: &Path<'_>) -> Result<(), Box<Fault>> {
    let Value::List(items) = &node.value else {
        return typed(place, node, types::LIST, path);
    };
    for (index, item) in items.iter().enumerate() {
        value(item.place, item, of, &path.child(&index.to_string()))?;
    }
    Ok(())
}

/// A list without two equal items; numbers are equal whatever their notation.
fn unique(node: &Node, path: &Path<'_>) -> Result<(), Box<Fault>> {
    let items = node.as_list().unwrap_or_default();
    let mut texts = std::collections::HashSet::new();
    let mut others: Vec<&Node> = Vec::new();
    for item in items {
        let new = match item.as_text() {
            Some(text) => texts.insert(text),
            None if others.len() > 2_000 => true,
            None => {
                let new = !others.iter().any(|other| equal(other, item));
                others.push(item);
                new
            }
        };
        if !new {
            return Err(wrong(item.place, path, "must not have two equal items"));
        }
    }
    Ok(())
}

fn equal(one: &Node, two: &Node) -> bool {
    match (number(one), number(two)) {
        (Some(one), Some(two)) => one.to_bits() == two.to_bits(),
        _ => one.same(two),
    }
}

#[expect(clippy::cast_precision_loss, reason = "only compared with another")]
fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Int(whole) => Some(whole as f64),
        Value::Uint(whole) => Some(whole as f64),
        Value::Float(float) => Some(float),
        _ => None,
    }
}

fn between(
    place: Place,
    node: &Node,
    least: i64,
    most: i64,
    path: &Path<'_>,
) -> Result<(), Box<Fault>> {
    typed(place, node, types::INT | types::TEXT, path)?;
    #[expect(clippy::cast_precision_loss, reason = "the bounds are small")]
    match number(node) {
        Some(number) if number < least as f64 => {
            Err(wrong(place, path, &format!("must be at least {least}")))
        }
        Some(number) if number > most as f64 => {
            Err(wrong(place, path, &format!("must be at most {most}")))
        }
        _ => Ok(()),
    }
}

fn wrong(place: Place, path: &Path<'_>, rule: &str) -> Box<Fault> {
    let at = path.to_string();
    let rule = rule.to_owned();
    Fault::new(place, Problem::Value { at, rule })
}

/// The types that something accepts.
fn types_of(accepts: &Accepts) -> u8 {
    match accepts {
        Accepts::Types(types) => *types,
        Accepts::IntBetween(..) => types::INT | types::TEXT,
        Accepts::Choice(_) | Accepts::Matching(..) => types::TEXT,
        Accepts::List(_) | Accepts::Set(_) => types::LIST,
        Accepts::Object(_) | Accepts::Map { .. } => types::MAP,
        Accepts::Either(choices) => choices.iter().fold(0, |all, one| all | types_of(one)),
    }
}

fn is(node: &Node, wanted: u8) -> bool {
    let own = match &node.value {
        Value::Null => types::NULL,
        Value::Bool(_) => types::BOOL,
        Value::Int(_) | Value::Uint(_) => types::INT | types::NUMBER,
        Value::Float(float) if float.fract() == 0.0 => types::INT | types::NUMBER,
        Value::Float(_) => types::NUMBER,
        Value::Text(_) => types::TEXT,
        Value::Time(_) => 0,
        Value::List(_) => types::LIST,
        Value::Map(_) => types::MAP,
    };
    own & wanted != 0
}

fn typed(place: Place, node: &Node, wanted: u8, path: &Path<'_>) -> Result<(), Box<Fault>> {
    if is(node, wanted) {
        return Ok(());
    }
    let names = [
        (types::MAP, "a mapping"),
        (types::LIST, "a list"),
        (types::TEXT, "text"),
        (types::NUMBER, "a number"),
        (types::INT, "a whole number"),
        (types::BOOL, "a boolean"),
        (types::NULL, "empty"),
    ];
    let names: Vec<&str> = names
        .into_iter()
        .filter(|(bit, _)| wanted & bit != 0)
        .map(|(_, name)| name)
        .collect();
    Err(Fault::new(
        place,
        Problem::Type {
            at: path.to_string(),
            want: names.join(" or "),
            got: name_of(node),
        },
    ))
}

/// What a value is, in words.
pub(super) fn name_of(node: &Node) -> &'static str {
    match &node.value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => "a number",
        Value::Text(_) => "text",
        Value::Time(_) => "a date",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}
