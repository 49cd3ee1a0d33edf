//! Anchors, aliases, merge keys and the tags `!reset` and `!override`: from what is written to
//! what is meant.
//!
//! The rules are those of compose-go's `loader/reset.go` over go-yaml v3. Aliases are followed
//! under the project's [`Budget`], so that a file of a hundred lines cannot become a tree of a
//! billion nodes (docker compose 2.40 runs out of memory there).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::budget::Budget;
use super::error::{Fault, Problem};
use super::node::{Map, Node, Place, Value};
use super::resets::Resets;
use super::scalar;
use super::yaml::{DEEPEST, Kind, Number, Stream, Written, too_deep};

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    /// Its content.
    pub root: Node,
    /// The paths that `!reset` and `!override` take away from what came before.
    pub resets: Resets,
}

/// Resolves the documents of a file.
pub(super) fn expand(stream: &Stream, budget: &mut Budget) -> Result<Vec<Document>, Box<Fault>> {
    let mut documents = Vec::new();
    for root in &stream.documents {
        let mut expansion = Expansion {
            stream,
            resets: Resets::default(),
            path: Vec::new(),
            within: Vec::new(),
            met: HashMap::new(),
            followed: HashSet::new(),
            dropped: HashSet::new(),
            kept: 0,
            budget: &mut *budget,
        };
        let root = expansion.node(*root)?;
        let Some(root) = root else { continue };
        documents.push(Document {
            root,
            resets: expansion.resets,
        });
    }
    Ok(documents)
}

struct Expansion<'a> {
    stream: &'a Stream,
    resets: Resets,
    /// The keys that lead to the node; a merge key is none.
    path: Vec<String>,
    /// The nodes that are being expanded.
    within: Vec<Number>,
    /// The paths where the target of an alias was met.
    met: HashMap<Number, BTreeSet<String>>,
    /// Aliases that were followed before: compose puts the target in their place.
    followed: HashSet<Number>,
    /// Nodes that `!reset` took away: they are gone for every alias to come.
    dropped: HashSet<Number>,
    /// How many `!override` lead here: below one, compose leaves all as it is written.
    kept: usize,
    budget: &'a mut Budget,
}

impl Expansion<'_> {
    /// The value of a node; none if `!reset` takes it away.
    fn node(&mut self, number: Number) -> Result<Option<Node>, Box<Fault>> {
        let stream = self.stream;
        let Some(written) = stream.nodes.get(number) else {
            return Ok(None);
        };
        self.count(written)?;
        if let Kind::Alias(target) = written.kind {
            if self.kept == 0 && self.followed.insert(number) {
                self.meet(target, written.place)?;
            }
            let value = self.node(target)?;
            if self.kept == 0 && value.is_none() {
                self.dropped.insert(number);
            }
            return Ok(value);
        }
        if self.within.contains(&number) {
            let at = self.path.join(".");
            return Err(Fault::new(written.place, Problem::AliasCycle { at }));
        }
        if self.within.len() > DEEPEST {
            return Err(Fault::new(written.place, too_deep()));
        }
        // `resolveReset` returns at `!override`, and so sees neither tag nor alias below it.
        let mut keeps = false;
        match written.tag.as_deref() {
            _ if self.kept > 0 => {}
            Some("!reset") => {
                self.dropped.insert(number);
                self.resets.add(&self.path);
                return Ok(None);
            }
            Some("!override") => {
                self.resets.add(&self.path);
                keeps = true;
            }
            _ => {}
        }
        self.kept += usize::from(keeps);
        self.within.push(number);
        let value = match &written.kind {
            Kind::Scalar { text, plain } => scalar_value(written, text, *plain).map(Some),
            Kind::Sequence(items) => self.sequence(items).map(Some),
            Kind::Mapping(entries) => self.mapping(entries).map(|map| Some(Value::Map(map))),
            Kind::Alias(_) => Ok(None),
        };
        self.within.pop();
        self.kept -= usize::from(keeps);
        Ok(value?.map(|value| Node::new(written.place, value)))
    }

    fn sequence(&mut self, items: &[Number]) -> Result<Value, Box<Fault>> {
        let mut list = Vec::with_capacity(items.len().min(1024));
        for (index, item) in items.iter().enumerate() {
            if self.is_gone(*item) {
                continue;
            }
            self.path.push(index.to_string());
            let node = self.node(*item);
            self.path.pop();
            list.extend(node?);
        }
        Ok(Value::List(list))
    }

    fn mapping(&mut self, entries: &[(Number, Number)]) -> Result<Map, Box<Fault>> {
        let mut map = Map::default();
        let mut seen: HashMap<&str, Place> = HashMap::with_capacity(entries.len().min(1024));
        let mut merged = None;
        let stream = self.stream;
        for (key, value) in entries {
            if self.is_gone(*value) {
                continue;
            }
            let Some((written, text)) = key_text(stream, *key) else {
                let place = stream.nodes.get(*key).map(|key| key.place);
                let place = place.unwrap_or_default();
                let at = match self.path.as_slice() {
                    [] => "at the top".to_owned(),
                    path => format!("in {}", path.join(".")),
                };
                return Err(Fault::new(place, Problem::Key { at }));
            };
            let place = stream
                .nodes
                .get(*key)
                .map(|key| key.place)
                .unwrap_or_default();
            self.budget.text(text.len(), place)?;
            if let Some(before) = seen.insert(text, place) {
                let key = text.to_owned();
                return Err(Fault::between(place, before, Problem::Duplicate { key }));
            }
            if is_merge(written, text) {
                // Kept for the end: a mapping's own keys win, wherever they stand.
                merged = self.merge_sources(*value)?;
                continue;
            }
            self.path.push(text.to_owned());
            let node = self.node(*value);
            self.path.pop();
            if let Some(node) = node? {
                map.set(text, place, node);
            }
        }
        for source in merged.into_iter().flatten() {
            for (key, entry) in source.into_entries() {
                if !map.has(&key) {
                    map.set(key, entry.key, entry.node);
                }
            }
        }
        Ok(map)
    }

    /// Whether `!reset` took a node away from where it stands before an alias leads there again. An
    /// alias of the node itself still resets what it is the value of.
    fn is_gone(&self, number: Number) -> bool {
        self.dropped.contains(&number)
    }

    /// The mappings that `<<` names, the strongest first.
    fn merge_sources(&mut self, number: Number) -> Result<Option<Vec<Map>>, Box<Fault>> {
        let Some(node) = self.node(number)? else {
            return Ok(None);
        };
        let wrong = |place| Fault::new(place, Problem::MergeKey);
        match node.value {
            Value::Map(map) => Ok(Some(vec![map])),
            Value::List(list) => list
                .into_iter()
                .map(|item| match item.value {
                    Value::Map(map) => Ok(map),
                    _ => Err(wrong(item.place)),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            _ => Err(wrong(node.place)),
        }
    }

    /// Counts a value against the budget.
    fn count(&mut self, written: &Written) -> Result<(), Box<Fault>> {
        self.budget.values(1, written.place)?;
        match &written.kind {
            Kind::Scalar { text, .. } => self.budget.text(text.len(), written.place),
            _ => Ok(()),
        }
    }

    /// Refuses an alias where its target was met above or below: compose takes it for a cycle.
    fn meet(&mut self, target: Number, place: Place) -> Result<(), Box<Fault>> {
        let here = self.path.join(".");
        // Each is kept, and a key may be as long as the file.
        self.budget.text(here.len(), place)?;
        let met = self.met.entry(target).or_default();
        let below = format!("{here}.");
        let within = met
            .range(below.clone()..)
            .next()
            .is_some_and(|path| path.starts_with(&below));
        let above = here
            .match_indices('.')
            .any(|(dot, _)| here.get(..dot).is_some_and(|path| met.contains(path)));
        if within || above {
            return Err(Fault::new(place, Problem::AliasCycle { at: here }));
        }
        met.insert(here);
        Ok(())
    }
}

/// A key that is text, or an alias of one.
fn key_text(stream: &Stream, number: Number) -> Option<(&Written, &str)> {
    let mut written = stream.nodes.get(number)?;
    if let Kind::Alias(target) = written.kind {
        written = stream.nodes.get(target)?;
    }
    let Kind::Scalar { text, plain } = &written.kind else {
        return None;
    };
    let is_text = match written.tag.as_deref() {
        Some("!!str" | "!!merge") => true,
        None => !plain || matches!(scalar::resolve(text), Value::Text(_)),
        Some("!") => matches!(scalar::resolve(text), Value::Text(_)),
        Some(_) => false,
    };
    is_text.then_some((written, text))
}

/// Whether a key is `<<`, and not just text that looks like it.
fn is_merge(written: &Written, text: &str) -> bool {
    text == "<<"
        && match (&written.kind, written.tag.as_deref()) {
            (_, Some(tag)) => tag == "!!merge",
            (Kind::Scalar { plain, .. }, None) => *plain,
            _ => false,
        }
}

/// Text that is written as base64.
fn binary(written: &Written, text: &str) -> Result<Value, Box<Fault>> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(packed).ok();
    if let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        return Ok(Value::Text(text.into()));
    }
    let tag = "!!binary".to_owned();
    Err(Fault::new(written.place, Problem::Tag { tag }))
}

/// What a scalar means, its tag considered.
fn scalar_value(written: &Written, text: &str, plain: bool) -> Result<Value, Box<Fault>> {
    let tag = written.tag.as_deref().filter(|tag| *tag != "!");
    let Some(tag) = tag else {
        return Ok(if plain {
            scalar::resolve(text)
        } else {
            Value::Text(Arc::from(text))
        });
    };
    match tag {
        "!!int" | "!!float" | "!!bool" | "!!null" | "!!timestamp" => {}
        "!!binary" => return binary(written, text),
        // A tag that nobody knows says nothing; the value is text.
        _ => return Ok(Value::Text(Arc::from(text))),
    }
    let value = scalar::resolve(text);
    let fits = match (&value, tag) {
        (Value::Int(_) | Value::Uint(_), "!!int")
        | (Value::Float(_), "!!float")
        | (Value::Bool(_), "!!bool")
        | (Value::Null, "!!null")
        | (Value::Time(_), "!!timestamp") => true,
        #[expect(clippy::cast_precision_loss, reason = "as Go converts it")]
        (Value::Int(whole), "!!float") => return Ok(Value::Float(*whole as f64)),
        _ => false,
    };
    if fits {
        Ok(value)
    } else {
        let tag = tag.to_owned();
        Err(Fault::new(written.place, Problem::Tag { tag }))
    }
}
