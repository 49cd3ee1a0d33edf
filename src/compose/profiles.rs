//! Which services are enabled, and which resources they use: compose-go's `types/project.go`.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::consistency::section;
use super::error::{Error, nearest};
use super::node::{Map, Node, Value};

/// Splits services into those that the profiles enable, and the others.
pub(super) fn split(services: Map, profiles: &[String]) -> (Map, Map) {
    let mut enabled = Map::default();
    let mut disabled = Map::default();
    for (name, entry) in services.into_entries() {
        let own = profiles_of(&entry.node);
        let is_enabled = own.is_empty()
            || profiles
                .iter()
                .any(|profile| profile == "*" || own.contains(&&**profile));
        let side = if is_enabled {
            &mut enabled
        } else {
            &mut disabled
        };
        side.set(name, entry.key, entry.node);
    }
    (enabled, disabled)
}

fn profiles_of(service: &Node) -> Vec<&str> {
    let profiles = service
        .as_map()
        .and_then(|service| service.get("profiles")?.as_list());
    profiles
        .unwrap_or_default()
        .iter()
        .filter_map(Node::as_text)
        .collect()
}

/// The profiles that any service has, sorted.
pub(super) fn known(services: [&Map; 2]) -> Vec<String> {
    let all = services.into_iter().flat_map(Map::iter);
    let names: BTreeSet<&str> = all
        .flat_map(|(_, entry)| profiles_of(&entry.node))
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

/// The profiles, and those of the services that are asked for by name.
pub(super) fn with_those_of(
    profiles: &[String],
    services: &[String],
    disabled: &Map,
) -> Vec<String> {
    let mut all = profiles.to_vec();
    for service in services {
        if let Some(node) = disabled.get(service) {
            all.extend(profiles_of(node).into_iter().map(str::to_owned));
        }
    }
    all
}

/// Keeps the services asked for, and those they depend on.
pub(super) fn select(enabled: &mut Map, services: &[String]) -> Result<(), Error> {
    if services.is_empty() {
        return Ok(());
    }
    let mut kept: HashSet<String> = HashSet::new();
    let mut left: Vec<(String, bool)> = services.iter().map(|name| (name.clone(), true)).collect();
    while let Some((name, required)) = left.pop() {
        let Some(service) = enabled.get(&name).and_then(Node::as_map) else {
            if required {
                let nearest = nearest(&name, enabled.keys().map(|key| &**key));
                return Err(Error::NoService { name, nearest });
            }
            continue;
        };
        if !kept.insert(name) {
            continue;
        }
        for (name, entry) in section(service, "depends_on") {
            let dependency = entry.node.as_map();
            let required = dependency
                .and_then(|map| map.get("required"))
                .is_some_and(Node::is_true);
            left.push((name.to_owned(), required));
        }
    }
    enabled.retain(|name, _| kept.contains(name));
    for (_, entry) in enabled.iter_mut() {
        let Some(service) = entry.node.as_map_mut() else {
            continue;
        };
        let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_map_mut) else {
            continue;
        };
        dependencies.retain(|name, _| kept.contains(name));
        if dependencies.is_empty() {
            service.remove("depends_on");
        }
    }
    Ok(())
}

/// Takes away the networks, volumes, secrets, configs and models that no enabled service uses.
pub(super) fn only_used(document: &mut Map, enabled: &Map) {
    let mut used: HashMap<&str, HashSet<String>> = HashMap::new();
    let mut note = |section: &'static str, name: Option<&str>| {
        if let Some(name) = name {
            used.entry(section).or_default().insert(name.to_owned());
        }
    };
    for (_, entry) in enabled.iter() {
        let Some(service) = entry.node.as_map() else {
            continue;
        };
        for (kind, key) in [("networks", "networks"), ("models", "models")] {
            for (name, _) in section(service, key) {
                note(kind, Some(name));
            }
        }
        for mount in list(service, "volumes") {
            if text(mount, "type") == Some("volume") {
                note("volumes", text(mount, "source"));
            }
        }
        for (kind, owner) in [
            ("secrets", Some(service)),
            ("secrets", service.get("build").and_then(Node::as_map)),
            ("configs", Some(service)),
        ] {
            for reference in owner.into_iter().flat_map(|owner| list(owner, kind)) {
                note(kind, text(reference, "source"));
            }
        }
    }
    for section in ["networks", "volumes", "secrets", "configs", "models"] {
        let Some(resources) = document.get_mut(section).and_then(Node::as_map_mut) else {
            continue;
        };
        let used = used.remove(section).unwrap_or_default();
        resources.retain(|name, _| used.contains(name));
        if resources.is_empty() {
            document.remove(section);
        }
    }
}

fn list<'a>(map: &'a Map, key: &str) -> impl Iterator<Item = &'a Map> {
    match map.get(key).map(|node| &node.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    }
    .iter()
    .filter_map(Node::as_map)
}

fn text<'a>(map: &'a Map, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Node::as_text)
}
