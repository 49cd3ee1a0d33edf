//! Turns short forms into long ones: compose-go's `transform/canonical.go`.

use super::budget::Budget;
use super::error::Fault;
use super::merge::started;
use super::node::{Map, Node, Place, Value};
use super::schema::name_of;
use super::short::{port, volume};
use super::variables::Findings;

/// Turns the short forms of a document into long ones.
pub(super) fn transform(document: &mut Map, findings: &mut Findings) -> Result<(), Box<Fault>> {
    for (name, service) in below(document, "services") {
        for (key, entry) in service.iter_mut() {
            let at = format!("services.{name}.{key}");
            service_key(key, &mut entry.node, entry.key, &at, &mut findings.budget)?;
        }
    }
    for section in ["volumes", "networks", "secrets", "configs"] {
        for (name, resource) in below(document, section) {
            external(resource, &format!("{section}.{name}"), findings)?;
        }
    }
    Ok(())
}

/// The mappings below a key of a mapping.
pub(super) fn below<'a>(
    map: &'a mut Map,
    key: &str,
) -> impl Iterator<Item = (String, &'a mut Map)> {
    map.get_mut(key)
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(Map::iter_mut)
        .filter_map(|(key, entry)| Some((key.to_string(), entry.node.as_map_mut()?)))
}

fn service_key(
    key: &str,
    node: &mut Node,
    key_place: Place,
    at: &str,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    let place = if matches!(node.value, Value::Text(_)) {
        node.place
    } else {
        key_place
    };
    let refuse = |node: &Node| {
        Err(Fault::rule(
            place,
            format!("{at} cannot be {}", name_of(node)),
        ))
    };
    match key {
        "build" => match &mut node.value {
            Value::Map(build) => build_keys(build, at)?,
            Value::Text(_) => {
                let mut build = Map::default();
                build.set("context", place, Node::new(place, node.take()));
                node.value = Value::Map(build);
            }
            _ => return refuse(node),
        },
        "depends_on" => depends_on(node, at)?,
        "env_file" => match &mut node.value {
            Value::Text(_) => {
                let file = Node::new(place, node.take());
                node.value = Value::List(vec![env_file(file)]);
            }
            Value::List(files) => {
                *files = std::mem::take(files).into_iter().map(env_file).collect();
            }
            _ => return refuse(node),
        },
        "extends" => match &node.value {
            Value::Map(_) => {}
            Value::Text(_) => {
                let mut extends = Map::default();
                extends.set("service", place, Node::new(place, node.take()));
                node.value = Value::Map(extends);
            }
            _ => return refuse(node),
        },
        "gpus" => match &node.value {
            Value::List(_) => {}
            Value::Text(_) => {
                let mut all = Map::default();
                all.set_text("count", place, "all");
                node.value = Value::List(vec![Node::new(place, Value::Map(all))]);
            }
            _ => return refuse(node),
        },
        "networks" | "models" => names(node),
        "volumes" => each(node, &mut |item| mount(item, at))?,
        "devices" => each(node, &mut |item| device(item, at))?,
        "secrets" | "configs" => each(node, &mut |item| file_reference(item, at))?,
        "ports" => published(node, at, place, budget)?,
        "ulimits" => ulimits(node, at)?,
        "dns" => {
            text_to_list(node);
            if let Value::List(items) = &mut node.value {
                items.retain(|item| !item.is_null() && item.as_text() != Some(""));
            }
        }
        "label_file" => text_to_list(node),
        "develop" => {
            if let Some(Value::List(watches)) = node
                .as_map_mut()
                .and_then(|develop| develop.get_mut("watch"))
                .map(|watch| &mut watch.value)
            {
                for watch in watches.iter_mut().filter_map(Node::as_map_mut) {
                    for key in ["ignore", "include"] {
                        watch.get_mut(key).into_iter().for_each(text_to_list);
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn build_keys(build: &mut Map, at: &str) -> Result<(), Box<Fault>> {
    for (key, entry) in build.iter_mut() {
        let at = format!("{at}.{key}");
        let key_place = entry.key;
        let node = &mut entry.node;
        match &**key {
            "secrets" => each(node, &mut |item| file_reference(item, &at))?,
            "ulimits" => ulimits(node, &at)?,
            "ssh" => ssh(node, &at, key_place)?,
            "provenance" | "sbom" if !matches!(node.value, Value::Text(_)) => {
                node.value = Value::Text(super::numbers::sprint(node).into());
            }
            "additional_contexts" => additional_contexts(node, &at, key_place)?,
            _ => {}
        }
    }
    Ok(())
}

fn depends_on(node: &mut Node, at: &str) -> Result<(), Box<Fault>> {
    let place = node.place;
    match &mut node.value {
        Value::Map(map) => {
            for (name, entry) in map.iter_mut() {
                let place = entry.key;
                let Some(dependency) = entry.node.as_map_mut() else {
                    return Err(Fault::rule(place, format!("{at}.{name} must be a mapping")));
                };
                for (key, default) in started(place).into_entries() {
                    if !dependency.has(&key) {
                        dependency.set(key, default.key, default.node);
                    }
                }
            }
        }
        Value::List(names) => {
            let mut map = Map::default();
            for name in std::mem::take(names) {
                let place = name.place;
                let Value::Text(name) = name.value else {
                    return Err(Fault::rule(
                        place,
                        format!("{at} must be names of services"),
                    ));
                };
                map.set(name, place, Node::new(place, Value::Map(started(place))));
            }
            node.value = Value::Map(map);
        }
        _ => {
            return Err(Fault::rule(
                place,
                format!("{at} cannot be {}", name_of(node)),
            ));
        }
    }
    Ok(())
}

fn env_file(mut node: Node) -> Node {
    let place = node.place;
    let required = || Node::new(place, Value::Bool(true));
    match &mut node.value {
        Value::Text(_) => {
            let mut file = Map::default();
            file.set("path", place, Node::new(place, node.take()));
            file.set("required", place, required());
            node.value = Value::Map(file);
        }
        Value::Map(file) => {
            if !file.has("required") {
                file.set("required", place, required());
            }
        }
        _ => node.value = Value::Null,
    }
    node
}

/// A list of names becomes a mapping with nothing below.
fn names(node: &mut Node) {
    if let Value::List(items) = &mut node.value {
        let mut map = Map::default();
        for item in std::mem::take(items) {
            if let Value::Text(name) = item.value {
                map.set(name, item.place, Node::new(item.place, Value::Null));
            }
        }
        node.value = Value::Map(map);
    }
}

fn text_to_list(node: &mut Node) {
    if matches!(node.value, Value::Text(_)) {
        let text = Node::new(node.place, node.take());
        node.value = Value::List(vec![text]);
    }
}

fn each(
    node: &mut Node,
    change: &mut dyn FnMut(&mut Node) -> Result<(), Box<Fault>>,
) -> Result<(), Box<Fault>> {
    match &mut node.value {
        Value::List(items) => items.iter_mut().try_for_each(change),
        _ => Ok(()),
    }
}

fn mount(node: &mut Node, at: &str) -> Result<(), Box<Fault>> {
    let place = node.place;
    match &node.value {
        Value::Map(_) => Ok(()),
        Value::Text(text) => match volume::parse(text) {
            Ok(volume) => {
                node.value = Value::Map(volume.long(place));
                Ok(())
            }
            Err(reason) => Err(Fault::rule(place, format!("{at}: {reason}"))),
        },
        _ => Err(Fault::rule(
            place,
            format!("{at} cannot have {}", name_of(node)),
        )),
    }
}

fn device(node: &mut Node, at: &str) -> Result<(), Box<Fault>> {
    let place = node.place;
    match &node.value {
        Value::Map(_) => Ok(()),
        Value::Text(text) => {
            let parts: Vec<&str> = text.split(':').collect();
            let (source, target, permissions) = match parts.as_slice() {
                [source] => (*source, *source, "rwm"),
                [source, target] => (*source, *target, "rwm"),
                [source, target, permissions] => (*source, *target, *permissions),
                _ => {
                    let message = format!("{at}: a device has too many colons; use the long form");
                    return Err(Fault::rule(place, message));
                }
            };
            let mut device = Map::default();
            device.set_text("source", place, source);
            let target = if target.is_empty() { source } else { target };
            device.set_text("target", place, target);
            device.set_text("permissions", place, permissions);
            node.value = Value::Map(device);
            Ok(())
        }
        _ => Err(Fault::rule(
            place,
            format!("{at} cannot have {}", name_of(node)),
        )),
    }
}

fn file_reference(node: &mut Node, at: &str) -> Result<(), Box<Fault>> {
    let place = node.place;
    match &node.value {
        Value::Map(_) => Ok(()),
        Value::Text(_) => {
            let mut reference = Map::default();
            reference.set("source", place, Node::new(place, node.take()));
            node.value = Value::Map(reference);
            Ok(())
        }
        _ => Err(Fault::rule(
            place,
            format!("{at} cannot have {}", name_of(node)),
        )),
    }
}

fn published(
    node: &mut Node,
    at: &str,
    place: Place,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    let Value::List(items) = &mut node.value else {
        return Err(Fault::rule(
            place,
            format!("{at} cannot be {}", name_of(node)),
        ));
    };
    let mut ports = Vec::with_capacity(items.len());
    for item in std::mem::take(items) {
        let place = item.place;
        let text = match &item.value {
            Value::Map(_) => {
                ports.push(item);
                continue;
            }
            Value::Text(text) => text.to_string(),
            Value::Int(port) => port.to_string(),
            _ => {
                let message = format!("{at}: {} is no port", name_of(&item));
                return Err(Fault::rule(place, message));
            }
        };
        let parsed =
            port::parse(&text).map_err(|reason| Fault::rule(place, format!("{at}: {reason}")))?;
        budget.ports(parsed.len(), place)?;
        for port in parsed {
            let mut long = Map::default();
            long.set_text("mode", place, "ingress");
            if !port.host_ip.is_empty() {
                long.set_text("host_ip", place, &port.host_ip);
            }
            if port.target != 0 {
                let target = Value::Int(i64::from(port.target));
                long.set("target", place, Node::new(place, target));
            }
            if !port.published.is_empty() {
                long.set_text("published", place, &port.published);
            }
            long.set_text("protocol", place, &port.protocol);
            ports.push(Node::new(place, Value::Map(long)));
        }
    }
    node.value = Value::List(ports);
    Ok(())
}

fn ulimits(node: &Node, at: &str) -> Result<(), Box<Fault>> {
    for (name, entry) in node.as_map().into_iter().flat_map(Map::iter) {
        if !matches!(entry.node.value, Value::Map(_) | Value::Int(_)) {
            let message = format!("{at}.{name} must be a whole number, or `soft` and `hard`");
            return Err(Fault::rule(entry.place(), message));
        }
    }
    Ok(())
}

fn ssh(node: &mut Node, at: &str, place: Place) -> Result<(), Box<Fault>> {
    match &mut node.value {
        Value::Map(_) => Ok(()),
        Value::List(items) => {
            let mut keys = Map::default();
            for item in std::mem::take(items) {
                let place = item.place;
                match item.as_text().map(|text| (text, text.split_once('='))) {
                    Some((_, Some((id, path)))) => keys.set_text(id, place, path),
                    Some(("default", None)) => {
                        keys.set("default", place, Node::new(place, Value::Null));
                    }
                    _ => {
                        let message = format!("{at} must be `default`, or ID=PATH");
                        return Err(Fault::rule(place, message));
                    }
                }
            }
            node.value = Value::Map(keys);
            Ok(())
        }
        _ => Err(Fault::rule(
            place,
            format!("{at} cannot be {}", name_of(node)),
        )),
    }
}

fn additional_contexts(node: &mut Node, at: &str, place: Place) -> Result<(), Box<Fault>> {
    match &mut node.value {
        Value::Map(_) => Ok(()),
        Value::List(items) => {
            let mut contexts = Map::default();
            for item in std::mem::take(items) {
                let pair = item.as_text().and_then(|text| text.split_once('='));
                let Some((name, context)) = pair else {
                    let message = format!("{at} must be NAME=CONTEXT");
                    return Err(Fault::rule(item.place, message));
                };
                contexts.set_text(name, item.place, context);
            }
            node.value = Value::Map(contexts);
            Ok(())
        }
        _ => Err(Fault::rule(
            place,
            format!("{at} cannot be {}", name_of(node)),
        )),
    }
}

/// `external: {name: x}`, the old form, becomes `external: true` and `name: x`.
fn external(resource: &mut Map, at: &str, findings: &mut Findings) -> Result<(), Box<Fault>> {
    let Some(external) = resource.get_mut("external") else {
        return Ok(());
    };
    let place = external.place;
    let Value::Map(old) = &mut external.value else {
        return Ok(());
    };
    let name = old.remove("name");
    external.value = Value::Bool(true);
    let Some(name) = name else { return Ok(()) };
    let remark = format!("{at}: `external.name` is deprecated; set `name` and `external: true`");
    findings.remarks.push((remark, place));
    match resource.get("name") {
        Some(own) if !own.same(&name.node) => Err(Fault::rule(
            name.key,
            format!("{at}: `name` and `external.name` conflict; keep `name`"),
        )),
        Some(_) => Ok(()),
        None => {
            resource.set("name", name.key, name.node);
            Ok(())
        }
    }
}
