//! What `!reset` and `!override` take away from the documents before theirs.

use std::collections::HashMap;

use super::budget::Budget;
use super::error::Fault;
use super::node::{Map, Place};
use super::path::Path;

/// Paths that a document takes away from the documents before it, as a tree of their keys.
#[derive(Debug, Default)]
pub(super) struct Resets {
    below: HashMap<String, Resets>,
    /// Whether a path ends here.
    ends: bool,
}

impl Resets {
    /// Adds a path; `*` among its keys is any key.
    pub(super) fn add(&mut self, path: &[String]) {
        let mut here = self;
        for key in path {
            // Two looks, for a key is copied where it is new only.
            if !here.below.contains_key(key) {
                here.below.insert(key.clone(), Self::default());
            }
            match here.below.get_mut(key) {
                Some(below) => here = below,
                None => return,
            }
        }
        here.ends = true;
    }

    /// Takes the paths out of `target`, whose own path is `at`.
    pub(super) fn apply(
        &self,
        target: &mut Map,
        at: &Path<'_>,
        budget: &mut Budget,
    ) -> Result<(), Box<Fault>> {
        let mut here = vec![self];
        at.rule(|keys| {
            for key in keys {
                here = step(&here, key);
            }
        });
        take(&here, target, budget)
    }
}

/// The parts of the tree that a key leads to.
fn step<'a>(here: &[&'a Resets], key: &str) -> Vec<&'a Resets> {
    here.iter()
        .flat_map(|resets| [resets.below.get(key), star(resets, key)])
        .flatten()
        .collect()
}

fn star<'a>(resets: &'a Resets, key: &str) -> Option<&'a Resets> {
    (key != "*").then(|| resets.below.get("*")).flatten()
}

fn take(here: &[&Resets], target: &mut Map, budget: &mut Budget) -> Result<(), Box<Fault>> {
    if here.iter().all(|resets| resets.below.is_empty()) {
        return Ok(());
    }
    // A document with many `*` leads to many parts of the tree at once.
    budget.merged(here.len().saturating_mul(target.len()), Place::default())?;
    let mut result = Ok(());
    target.retain(|key, entry| {
        let below = step(here, key);
        let gone = below.iter().any(|resets| resets.ends);
        if !gone
            && result.is_ok()
            && let Some(map) = entry.node.as_map_mut()
        {
            result = take(&below, map, budget);
        }
        !gone
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::node::{Node, Value};

    fn map(entries: &[(&str, Option<Map>)]) -> Map {
        let place = Place::default();
        let mut map = Map::default();
        for (key, below) in entries {
            let value = below.clone().map_or(Value::Null, Value::Map);
            map.set(*key, place, Node::new(place, value));
        }
        map
    }

    fn left(paths: &[&str], mut target: Map) -> String {
        let mut resets = Resets::default();
        for path in paths {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            resets.add(&path);
        }
        let mut budget = Budget::default();
        resets
            .apply(&mut target, &Path::root(), &mut budget)
            .unwrap();
        let names = target.iter().map(|(key, entry)| {
            let below = entry
                .node
                .as_map()
                .map(|map| map.keys().cloned().collect::<Vec<_>>());
            format!("{key}:{}", below.unwrap_or_default().join("+"))
        });
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn paths_and_stars_take_away() {
        let target = || {
            map(&[
                ("a", Some(map(&[("x", None), ("y", None)]))),
                ("b", Some(map(&[("x", None), ("z", None)]))),
            ])
        };
        assert_eq!(left(&["a.x"], target()), "a:y b:x+z");
        assert_eq!(left(&["*.x"], target()), "a:y b:z");
        assert_eq!(left(&["*.x", "a.y"], target()), "a: b:z");
        assert_eq!(left(&["b"], target()), "a:x+y");
        assert_eq!(left(&["a.x.deeper", "c"], target()), "a:x+y b:x+z");
    }

    #[test]
    fn below_a_path_the_rest_of_it_counts() {
        let mut resets = Resets::default();
        resets.add(&["services".to_owned(), "web".to_owned(), "ports".to_owned()]);
        let root = Path::root();
        let services = root.child("services");
        let mut service = map(&[("ports", None), ("image", None)]);
        let at = services.child("web");
        let mut budget = Budget::default();
        resets.apply(&mut service, &at, &mut budget).unwrap();
        assert_eq!(service.len(), 1);
    }
}
