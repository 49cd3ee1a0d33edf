//! The one file that knows the YAML parser: its events become a tree of our own.
//!
//! The tree still has anchors, aliases, tags and merge keys in it; [`expand`](super::expand)
//! resolves them. Everything is bounded before it is built: the parser's own nesting limit, the
//! number of nodes, and the file's size in [`source`](super::source).
//!
//! Compose reads YAML with go-yaml, a port of libyaml, which is more lenient than YAML 1.2 in some
//! things and stricter in others. What differs is evened out here and in `repair`.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StructureStyle, Tag};

use super::error::{Fault, Problem};
use super::node::Place;
use letters::{check_escapes, check_name};
use repair::Repairs;

mod flow;
mod letters;
mod repair;

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
    /// Where it begins, if it is written with brackets.
    flow: Option<usize>,
}

/// Reads the text of file number `file`.
pub(super) fn parse(file: u32, text: &str) -> Result<Stream, Box<Fault>> {
    let mut repairs = Repairs::default();
    loop {
        let repaired = repairs.apply(text);
        let text = repaired.as_deref().unwrap_or(text);
        match attempt(file, text, &repairs) {
            Attempt::Done(stream) => return Ok(stream),
            Attempt::Failed(fault) => return Err(fault),
            Attempt::Otherwise { found, fault } => {
                if !repairs.plain(text, &found) {
                    return Err(fault);
                }
            }
            Attempt::Refused {
                kind,
                at,
                in_flow,
                fault,
            } => {
                let repaired = match kind {
                    ErrorKind::PlainScalarStartsWithDashFlowIndicator if in_flow => {
                        repairs.quote(text, (at, at + 1))
                    }
                    ErrorKind::CommentNotSeparated => repairs.space(text, at),
                    ErrorKind::TabInIndentation
                    | ErrorKind::TabInBlockIndentation
                    | ErrorKind::TabNotAllowed
                        if in_flow =>
                    {
                        repairs.tabs(text, at)
                    }
                    ErrorKind::InvalidQuotedScalarIndent => repairs.indent(text, at),
                    ErrorKind::UnknownQuotedScalarEscape => repairs.quotes(text, at),
                    _ => false,
                };
                if !repaired {
                    return Err(fault);
                }
            }
        }
    }
}

enum Attempt {
    Done(Stream),
    Failed(Box<Fault>),
    /// Texts without quotes that libyaml reads otherwise; and what to say if they cannot be
    /// repaired.
    Otherwise {
        found: Vec<flow::Otherwise>,
        fault: Box<Fault>,
    },
    Refused {
        kind: ErrorKind,
        at: usize,
        in_flow: bool,
        fault: Box<Fault>,
    },
}

fn attempt(file: u32, text: &str, repairs: &Repairs) -> Attempt {
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
        emit_anchor_events: true,
    };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder {
        file,
        text,
        repairs,
        stream: Stream::default(),
        open: Vec::new(),
        anchors: HashMap::new(),
        any_document: false,
        with_tabs: Vec::new(),
        quoted: Vec::new(),
        otherwise: Vec::new(),
    };
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(0);
                let fault = Fault::new(builder.place(at, at + 1), problem(&error.info()));
                let kind = error.kind().clone();
                let in_flow = builder.in_flow();
                if !builder.otherwise.is_empty() {
                    let found = builder.otherwise;
                    return Attempt::Otherwise { found, fault };
                }
                return Attempt::Refused {
                    kind,
                    at,
                    in_flow,
                    fault,
                };
            }
        };
        if let Err(fault) = taken {
            return Attempt::Failed(fault);
        }
    }
    if let Some(first) = builder.otherwise.first() {
        let (start, end) = first.span();
        let problem = problem("a text in brackets with `:` or `?` needs quotes");
        let fault = Fault::new(builder.place(start, end), problem);
        let found = builder.otherwise;
        return Attempt::Otherwise { found, fault };
    }
    match builder.check_letters().and_then(|()| builder.check_tabs()) {
        Ok(()) => Attempt::Done(builder.stream),
        Err(fault) => Attempt::Failed(fault),
    }
}

struct Builder<'a> {
    file: u32,
    text: &'a str,
    repairs: &'a Repairs,
    stream: Stream,
    open: Vec<Open>,
    /// Anchors by the parser's number.
    anchors: HashMap<usize, Number>,
    any_document: bool,
    /// Quoted texts and flow collections, where a line may begin with a tab.
    with_tabs: Vec<(usize, usize)>,
    /// Quoted texts.
    quoted: Vec<(usize, usize)>,
    /// Texts within brackets that libyaml reads otherwise.
    otherwise: Vec<flow::Otherwise>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Fault>> {
        let start = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(start);
        let place = self.place(start, end);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let written = self.text.get(start..end).unwrap_or_default();
                if style == ScalarStyle::DoubleQuoted {
                    check_escapes(written, place)?;
                }
                if matches!(style, ScalarStyle::DoubleQuoted | ScalarStyle::SingleQuoted) {
                    self.with_tabs.push((start, end));
                    self.quoted.push((start, end));
                }
                let mut text = text.into_owned();
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if is_block && end >= self.text.len() {
                    letters::without_last_break(self.text, start, &mut text);
                }
                let plain = style == ScalarStyle::Plain;
                if plain && self.in_flow() {
                    match flow::read(self.text, start, end) {
                        Ok(otherwise) => self.otherwise.extend(otherwise),
                        Err(message) => return Err(Fault::new(place, problem(message))),
                    }
                }
                self.add(place, anchor, tag.as_deref(), Kind::Scalar { text, plain })?;
            }
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor).copied() else {
                    return Err(Fault::new(place, problem("unknown anchor")));
                };
                let name = self.text.get(start..end).unwrap_or_default();
                check_name(name.trim_start_matches('*'), place)?;
                self.add(place, 0, None, Kind::Alias(target))?;
            }
            Event::Anchor(_, name) => check_name(&name, place)?,
            Event::SequenceStart(style, anchor, tag) => {
                self.open(place, anchor, tag.as_deref(), Kind::Sequence(Vec::new()))?;
                self.flow(style, start);
            }
            Event::MappingStart(style, anchor, tag) => {
                self.open(place, anchor, tag.as_deref(), Kind::Mapping(Vec::new()))?;
                self.flow(style, start);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let flow = self.open.last().and_then(|open| open.flow);
                self.with_tabs.extend(flow.map(|start| (start, end)));
                self.close(place.end)?;
            }
            Event::DocumentStart(explicit, version) => {
                let known = version.is_none_or(|version| version.major == 1 && version.minor == 1);
                if !known {
                    let message = "compose reads YAML 1.1 only; remove the line `%YAML`";
                    return Err(Fault::new(place, problem(message)));
                }
                if !explicit && self.any_document {
                    return Err(Fault::new(place, problem("expected `---` behind `...`")));
                }
                self.any_document = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether what comes stands within brackets.
    fn in_flow(&self) -> bool {
        self.open.iter().rev().any(|open| open.flow.is_some())
    }

    fn place(&self, start: usize, end: usize) -> Place {
        Place {
            file: self.file,
            start: offset(self.repairs.original(start)),
            end: offset(self.repairs.original(end)),
        }
    }

    fn open(
        &mut self,
        place: Place,
        anchor: usize,
        tag: Option<&Tag>,
        kind: Kind,
    ) -> Result<(), Box<Fault>> {
        if self.open.len() >= DEEPEST {
            return Err(Fault::new(place, too_deep()));
        }
        let number = self.add(place, anchor, tag, kind)?;
        self.open.push(Open {
            number,
            key: None,
            flow: None,
        });
        Ok(())
    }

    fn flow(&mut self, style: StructureStyle, start: usize) {
        if style == StructureStyle::Flow
            && let Some(open) = self.open.last_mut()
        {
            open.flow = Some(start);
        }
    }

    /// Refuses lines that begin with a tab, even if nothing else is on them: libyaml takes the tab
    /// for indentation.
    fn check_tabs(&mut self) -> Result<(), Box<Fault>> {
        self.with_tabs.sort_unstable();
        let mut reach = 0;
        let mut spans = self.with_tabs.iter().peekable();
        for (newline, _) in self.text.match_indices("\n\t") {
            let tab = newline + 1;
            while let Some((_, end)) = spans.next_if(|(start, _)| *start < tab) {
                reach = reach.max(*end);
            }
            if tab >= reach {
                let place = self.place(tab, tab + 1);
                return Err(Fault::new(
                    place,
                    problem("a tab at the beginning of a line"),
                ));
            }
        }
        Ok(())
    }

    /// Refuses letters that break lines for libyaml only.
    fn check_letters(&mut self) -> Result<(), Box<Fault>> {
        self.quoted.sort_unstable();
        match letters::hidden_break(self.text, &self.quoted) {
            None => Ok(()),
            Some((at, letter)) => {
                let place = self.place(at, at + letter.len_utf8());
                Err(Fault::new(place, Problem::Character { letter }))
            }
        }
    }

    /// Closes the innermost collection; a mapping's last key has its value by now.
    fn close(&mut self, end: u32) -> Result<(), Box<Fault>> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        if let Some(node) = self.stream.nodes.get_mut(open.number) {
            node.place.end = end.max(node.place.start);
            if open.key.is_some() {
                return Err(Fault::new(node.place, problem("a key without a value")));
            }
        }
        Ok(())
    }

    /// Adds a node to the collection that is open, or as a document's root.
    fn add(
        &mut self,
        mut place: Place,
        anchor: usize,
        tag: Option<&Tag>,
        kind: Kind,
    ) -> Result<Number, Box<Fault>> {
        let number = self.stream.nodes.len();
        if number >= MOST_NODES {
            let what = "the file has too many values";
            let limit = MOST_NODES;
            return Err(Fault::new(place, Problem::Limit { what, limit }));
        }
        // A value without text has no length of its own.
        place.end = place.end.max(place.start.saturating_add(1));
        self.stream.nodes.push(Written {
            place,
            tag: tag.map(short_tag),
            kind,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, number);
        }
        let Some(open) = self.open.last_mut() else {
            self.stream.documents.push(number);
            return Ok(number);
        };
        let parent = self.stream.nodes.get_mut(open.number);
        match parent.map(|parent| &mut parent.kind) {
            Some(Kind::Sequence(items)) => items.push(number),
            Some(Kind::Mapping(entries)) => match open.key.take() {
                None => open.key = Some(number),
                Some(key) => entries.push((key, number)),
            },
            _ => {}
        }
        Ok(number)
    }
}

/// The tag as go-yaml writes it: `!!int` for the core ones.
fn short_tag(tag: &Tag) -> String {
    let full = format!("{}{}", tag.handle(), tag.suffix());
    match full.strip_prefix("tag:yaml.org,2002:") {
        Some(core) => format!("!!{core}"),
        None => full,
    }
}

/// The nesting is beyond the limit.
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

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
