//! Services of the decoded document as the rest of castoff sees them.

use std::collections::BTreeMap;

use super::super::consistency::section;
use super::super::decode::EXTENSIONS;
use super::super::error::Fault;
use super::super::loader::Environment;
use super::super::model::{Dependency, Extension, Mistake, Places, Service};
use super::super::node::{Map, Node, Place, Value};
use super::super::source::Sources;
use super::build::Faults;
use crate::excerpt::Excerpt;

/// What services are made from.
pub(super) struct Assembly<'a> {
    /// For the places.
    pub sources: &'a Sources,
    /// The project's secrets, with values.
    pub secrets: Option<&'a Map>,
    /// The project's variables.
    pub environment: &'a Environment,
    /// The project's folder.
    pub folder: &'a str,
}

impl Assembly<'_> {
    /// One service.
    pub(super) fn service(&self, name: &str, place: Place, service: &Map) -> Service {
        let build = service.get("build").and_then(Node::as_map);
        let mut faults = Faults::new();
        let build = build.map(|build| self.build(build, &mut faults));
        let mistakes = faults.into_iter().map(|fault| self.mistake(*fault));
        Service {
            mistakes: mistakes.collect(),
            name: name.to_owned(),
            image: text(service, "image"),
            platform: text(service, "platform"),
            build,
            depends_on: section(service, "depends_on")
                .map(|(name, entry)| (name.to_owned(), dependency(&entry.node)))
                .collect(),
            profiles: texts(service, "profiles"),
            labels: text_map(service, "labels"),
            extensions: extensions(service),
            places: self.places(place, service),
        }
    }

    fn mistake(&self, fault: Fault) -> Mistake {
        let error = self.sources.error(fault);
        Mistake {
            message: error.to_string(),
            hint: error.hint(),
            place: error
                .place()
                .cloned()
                .unwrap_or_else(|| self.sources.excerpt(Place::default())),
        }
    }

    fn places(&self, place: Place, service: &Map) -> Places {
        let build = service.get("build").and_then(Node::as_map);
        let of = |map: Option<&Map>, key: &str| -> Option<Excerpt> {
            let entry = map?.entry(key)?;
            // What compose adds itself stands nowhere.
            let place = entry.place();
            (place != Place::default()).then(|| self.sources.excerpt(place))
        };
        let key_of = |map: Option<&Map>, key: &str| -> Option<Excerpt> {
            Some(self.sources.excerpt(map?.entry(key)?.key))
        };
        Places {
            service: self.sources.excerpt(place),
            image: of(Some(service), "image"),
            build: key_of(Some(service), "build"),
            context: of(build, "context"),
            dockerfile: of(build, "dockerfile"),
            target: of(build, "target"),
            platforms: of(build, "platforms"),
            tags: of(build, "tags"),
        }
    }
}

fn dependency(node: &Node) -> Dependency {
    let empty = Map::default();
    let map = node.as_map().unwrap_or(&empty);
    Dependency {
        condition: text(map, "condition").unwrap_or_default(),
        restart: flag(map, "restart"),
        required: flag(map, "required"),
    }
}

pub(super) fn text(map: &Map, key: &str) -> Option<String> {
    map.get(key).and_then(Node::as_text).map(str::to_owned)
}

pub(super) fn flag(map: &Map, key: &str) -> bool {
    map.get(key).is_some_and(Node::is_true)
}

pub(super) fn texts(map: &Map, key: &str) -> Vec<String> {
    map.get(key).map(list_of_text).unwrap_or_default()
}

/// The texts of a list; one text is a list of one.
pub(super) fn list_of_text(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Text(text) => vec![text.to_string()],
        Value::List(items) => items
            .iter()
            .filter_map(Node::as_text)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

pub(super) fn text_map(map: &Map, key: &str) -> BTreeMap<String, String> {
    section(map, key)
        .filter_map(|(name, entry)| Some((name.to_owned(), entry.node.as_text()?.to_owned())))
        .collect()
}

/// The `x-…` keys of a decoded mapping.
pub(super) fn extensions(map: &Map) -> BTreeMap<String, Extension> {
    section(map, EXTENSIONS)
        .map(|(key, entry)| (key.to_owned(), extension(&entry.node)))
        .collect()
}

fn extension(node: &Node) -> Extension {
    match &node.value {
        Value::Null => Extension::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(whole) => (*whole).into(),
        Value::Uint(whole) => (*whole).into(),
        Value::Float(float) => (*float).into(),
        Value::Text(text) | Value::Time(text) => text.to_string().into(),
        Value::List(items) => items.iter().map(extension).collect(),
        Value::Map(map) => map
            .iter()
            .map(|(key, entry)| (key.to_string(), extension(&entry.node)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
