//! The one file that knows the YAML parser: its events become a tree of our own.
//!
//! The tree still has anchors, aliases, tags and merge keys in it; [`expand`](super::expand)
//! resolves them. Everything is bounded before it is built: the parser's own nesting limit, the
//! number of nodes, and the file's size in [`source`](super::source).

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::error::{Fault, Problem};
use super::node::Place;

/// How deep mappings and sequences may stand in one another. Real files stay below 15.
pub(super) const DEEPEST: usize = 100;

/// How many nodes a file may have before aliases are followed.
const MOST_NODES: usize = 500_000;

/// A node as it is written.
#[derive(Debug)]
pub(super) struct Written {
    /// Where.
    pub place: Place,
    /// The tag as go-yaml shortens it: `!reset`, `!!int`.
    pub tag: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// A number of a node in its [`Stream`].
pub(super) type Number = usize;

/// What a written node is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A scalar, and whether it has no quotes.
    Scalar {
        /// The text after quotes and escapes are taken away.
        text: String,
        /// Whether it stands without quotes, and so may be a number.
        plain: bool,
    },
    /// A sequence.
    Sequence(Vec<Number>),
    /// A mapping, in its order.
    Mapping(Vec<(Number, Number)>),
    /// `*name`: the node it stands for.
    Alias(Number),
}

/// The documents of a file.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// All nodes of all documents.
    pub nodes: Vec<Written>,
    /// The root of each document.
    pub documents: Vec<Number>,
}

/// A collection that is not closed yet.
struct Open {
    number: Number,
    key: Option<Number>,
}

/// Reads the text of file number `file`.
pub(super) fn parse(file: u32, text: &str) -> Result<Stream, Box<Fault>> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder {
        file,
        text,
        stream: Stream::default(),
        open: Vec::new(),
        anchors: HashMap::new(),
    };
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0);
            Fault::new(place(file, at, at + 1), problem(&error.info()))
        })?;
        builder.take(event, span)?;
    }
    Ok(builder.stream)
}

struct Builder<'a> {
    file: u32,
    text: &'a str,
    stream: Stream,
    open: Vec<Open>,
    /// Anchors by the parser's number.
    anchors: HashMap<usize, Number>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Fault>> {
        let start = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(start);
        let place = place(self.file, start, end);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = Kind::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                self.add(place, anchor, tag.as_deref(), kind)?;
            }
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor).copied() else {
                    return Err(Fault::new(place, problem("unknown anchor")));
                };
                self.add(place, 0, None, Kind::Alias(target))?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(place, anchor, tag.as_deref(), Kind::Sequence(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(place, anchor, tag.as_deref(), Kind::Mapping(Vec::new()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(end)?,
            _ => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        place: Place,
        anchor: usize,
        tag: Option<&granit_parser::Tag>,
        kind: Kind,
    ) -> Result<(), Box<Fault>> {
        if self.open.len() >= DEEPEST {
            return Err(Fault::new(place, too_deep()));
        }
        let number = self.add(place, anchor, tag, kind)?;
        self.open.push(Open { number, key: None });
        Ok(())
    }

    /// Closes the innermost collection; a mapping's last key has its value by now.
    fn close(&mut self, end: usize) -> Result<(), Box<Fault>> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        if let Some(node) = self.stream.nodes.get_mut(open.number) {
            node.place.end = offset(end).max(node.place.start);
            if open.key.is_some() {
                return Err(Fault::new(node.place, problem("a key without a value")));
            }
        }
        Ok(())
    }

    /// Adds a node to the collection that is open, or as a document's root.
    fn add(
        &mut self,
        place: Place,
        anchor: usize,
        tag: Option<&granit_parser::Tag>,
        kind: Kind,
    ) -> Result<Number, Box<Fault>> {
        let number = self.stream.nodes.len();
        if number >= MOST_NODES {
            let what = "the file has too many values";
            let limit = MOST_NODES;
            return Err(Fault::new(place, Problem::Limit { what, limit }));
        }
        let mut place = place;
        // A block collection's place begins at its first key; one without text has none.
        if place.end <= place.start {
            place.end = offset((place.start as usize + 1).min(self.text.len())).max(place.start);
        }
        self.stream.nodes.push(Written {
            place,
            tag: tag.map(short_tag),
            kind,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, number);
        }
        match self.open.last_mut() {
            None => self.stream.documents.push(number),
            Some(open) => match self.stream.nodes.get_mut(open.number).map(|n| &mut n.kind) {
                Some(Kind::Sequence(items)) => items.push(number),
                Some(Kind::Mapping(entries)) => match open.key.take() {
                    None => open.key = Some(number),
                    Some(key) => entries.push((key, number)),
                },
                _ => {}
            },
        }
        Ok(number)
    }
}

/// The tag as go-yaml writes it: `!!int` for the core ones.
fn short_tag(tag: &granit_parser::Tag) -> String {
    let full = format!("{}{}", tag.handle(), tag.suffix());
    match full.strip_prefix("tag:yaml.org,2002:") {
        Some(core) => format!("!!{core}"),
        None => full,
    }
}

pub(super) fn too_deep() -> Problem {
    Problem::Limit {
        what: "values stand too deep in one another",
        limit: DEEPEST,
    }
}

/// What the parser says.
fn problem(message: &str) -> Problem {
    Problem::Yaml {
        message: message.to_owned(),
    }
}

fn place(file: u32, start: usize, end: usize) -> Place {
    Place {
        file,
        start: offset(start),
        end: offset(end),
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
