//! What compose adds to a loaded project: names, networks, dependencies that follow from other
//! keys (compose-go's `loader/normalize.go`).

use std::collections::BTreeMap;

use super::budget::Budget;
use super::canonical::below;
use super::defaults::items;
use super::error::Fault;
use super::node::{Map, Node, Place, Value};
use super::paths;

/// Normalises a whole project.
pub(super) fn normalize(
    document: &mut Map,
    name: &str,
    environment: &BTreeMap<String, String>,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    networks(document)?;
    for (_, service) in below(document, "services") {
        if service.get("pull_policy").and_then(Node::as_text) == Some("if_not_present") {
            let place = service.get("pull_policy").map(|node| node.place);
            service.set_text("pull_policy", place.unwrap_or_default(), "missing");
        }
        build(service, environment, budget)?;
        if let Some(variables) = service.get_mut("environment") {
            resolve(variables, environment, true, budget)?;
        }
        depends_on(service)?;
        for mount in items(service.get_mut("volumes")) {
            let target = mount.as_map_mut().and_then(|mount| mount.get_mut("target"));
            if let Some(target) = target
                && let Some(text) = target.as_text()
            {
                target.value = Value::Text(paths::clean(text).into());
            }
        }
    }
    names(document, name);
    Ok(())
}

/// Connects services without a network to the default one.
fn networks(document: &mut Map) -> Result<(), Box<Fault>> {
    let mut uses_default = false;
    let services = document.get_mut("services").and_then(Node::as_map_mut);
    for (name, entry) in services.into_iter().flat_map(Map::iter_mut) {
        let place = entry.key;
        let Some(service) = entry.node.as_map_mut() else {
            let message = format!("services.{name} must be a mapping");
            return Err(Fault::rule(place, message));
        };
        if service.has("provider") || service.has("network_mode") {
            continue;
        }
        let own = service.get("networks").and_then(Node::as_map);
        match own {
            Some(own) if !own.is_empty() => uses_default |= own.has("default"),
            _ => {
                let mut only = Map::default();
                only.set("default", place, Node::new(place, Value::Null));
                service.set("networks", place, Node::new(place, Value::Map(only)));
                uses_default = true;
            }
        }
    }
    if uses_default {
        let place = Place::default();
        if document.get("networks").is_none_or(Node::is_null) {
            document.set(
                "networks",
                place,
                Node::new(place, Value::Map(Map::default())),
            );
        }
        if let Some(networks) = document.get_mut("networks").and_then(Node::as_map_mut)
            && !networks.has("default")
        {
            networks.set("default", place, Node::new(place, Value::Null));
        }
    }
    Ok(())
}

fn build(
    service: &mut Map,
    environment: &BTreeMap<String, String>,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    let Some(build) = service.get_mut("build") else {
        return Ok(());
    };
    let place = build.place;
    let Some(build) = build.as_map_mut() else {
        return Ok(());
    };
    let missing = |key: &str, build: &Map| build.get(key).is_none_or(Node::is_null);
    if missing("context", build) {
        build.set_text("context", place, ".");
    }
    if missing("dockerfile", build) && missing("dockerfile_inline", build) {
        build.set_text("dockerfile", place, "Dockerfile");
    }
    if let Some(arguments) = build.get_mut("args") {
        resolve(arguments, environment, false, budget)?;
    }
    Ok(())
}

/// Gives names without a value that of the environment. The others stay if `keep`, and go if not.
fn resolve(
    node: &mut Node,
    environment: &BTreeMap<String, String>,
    keep: bool,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    let mut counted = Ok(());
    match &mut node.value {
        Value::List(lines) => lines.retain_mut(|line| {
            let Some(name) = line.as_text().filter(|text| !text.contains('=')) else {
                return true;
            };
            match environment.get(name) {
                Some(value) => {
                    if counted.is_ok() {
                        counted = budget.text(name.len() + value.len(), line.place);
                        line.value = Value::Text(format!("{name}={value}").into());
                    }
                    true
                }
                None => keep,
            }
        }),
        Value::Map(map) => map.retain(|name, entry| {
            if !entry.node.is_null() {
                return true;
            }
            match environment.get(name) {
                Some(value) => {
                    if counted.is_ok() {
                        counted = budget.text(value.len(), entry.key);
                        entry.node.value = Value::Text(value.as_str().into());
                    }
                    true
                }
                None => keep,
            }
        }),
        _ => {}
    }
    counted
}

/// Adds the dependencies that `links`, shared namespaces and `volumes_from` imply.
fn depends_on(service: &mut Map) -> Result<(), Box<Fault>> {
    let mut implied: Vec<(String, Place, bool)> = Vec::new();
    for link in texts(service, "links") {
        let (name, place) = link;
        let parts: Vec<&str> = name.split(':').collect();
        let name = match parts.as_slice() {
            [service, _] => (*service).to_owned(),
            _ => name,
        };
        implied.push((name, place, true));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        let Some(node) = service.get(key) else {
            continue;
        };
        let place = node.place;
        let Some(text) = node.as_text() else {
            return Err(Fault::rule(place, format!("`{key}` must not be empty")));
        };
        if let Some(shared) = text.strip_prefix("service:") {
            implied.push((shared.to_owned(), place, true));
        }
    }
    for (from, place) in texts(service, "volumes_from") {
        if !from.starts_with("container:") {
            let name = from.split(':').next().unwrap_or_default().to_owned();
            implied.push((name, place, false));
        }
    }
    if implied.is_empty() {
        return Ok(());
    }
    if !service.has("depends_on") {
        let place = implied
            .first()
            .map(|(_, place, _)| *place)
            .unwrap_or_default();
        service.set(
            "depends_on",
            place,
            Node::new(place, Value::Map(Map::default())),
        );
    }
    let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_map_mut) else {
        return Ok(());
    };
    for (name, place, restart) in implied {
        if !dependencies.has(&name) {
            let mut dependency = super::merge::started(place);
            dependency.set("restart", place, Node::new(place, Value::Bool(restart)));
            dependencies.set(name, place, Node::new(place, Value::Map(dependency)));
        }
    }
    Ok(())
}

fn texts(service: &Map, key: &str) -> Vec<(String, Place)> {
    let items = service.get(key).and_then(Node::as_list).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| Some((item.as_text()?.to_owned(), item.place)))
        .collect()
}

/// Names the resources that have no name after the project and their key.
fn names(document: &mut Map, project: &str) {
    for section in ["networks", "volumes", "configs", "secrets"] {
        let resources = document.get_mut(section).and_then(Node::as_map_mut);
        for (key, entry) in resources.into_iter().flat_map(Map::iter_mut) {
            let place = entry.key;
            if entry.node.is_null() {
                entry.node.value = Value::Map(Map::default());
            }
            let Some(resource) = entry.node.as_map_mut() else {
                continue;
            };
            if resource.get("name").is_some_and(|name| !name.is_null()) {
                continue;
            }
            let external = resource.get("external").is_some_and(Node::is_true);
            let name = if external {
                key.to_string()
            } else {
                format!("{project}_{key}")
            };
            resource.set_text("name", place, &name);
        }
    }
}
