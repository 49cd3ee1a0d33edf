use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard_buildkit_proto::google::rpc;
use prost::Message as _;
use serde::Deserialize;
use tonic::{Code, Status};

use super::dockerfile::Texts;
use super::status::Watch;
use crate::excerpt::Excerpt;
use crate::execute::ports::{BuildOrder, BuilderError, Output};
use crate::oci::Repository;
use crate::printable::{log_line, without_url_secrets};

/// The longest line of a failure's message.
const MAX_LINE: usize = 4096;

/// What a failed solve says of itself, beside its message. The details of BuildKit's errors are
/// JSON in protobuf's `Any` (solver/errdefs, typeurl).
#[derive(Debug, Default)]
struct Details {
    excerpt: Option<Excerpt>,
    vertex: Option<String>,
    exit_code: Option<i32>,
}

#[derive(Deserialize)]
struct Source {
    info: Option<SourceInfo>,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct SourceInfo {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    start: Position,
    #[serde(default)]
    end: Position,
}

#[derive(Default, Deserialize)]
struct Position {
    #[serde(default)]
    line: usize,
}

#[derive(Deserialize)]
struct Vertex {
    #[serde(default)]
    digest: String,
}

#[derive(Deserialize)]
struct Exit {
    #[serde(default, rename = "Code", alias = "code")]
    code: i32,
}

impl Details {
    fn read(status: &Status, texts: &Texts) -> Self {
        let mut details = Self::default();
        let Ok(whole) = rpc::Status::decode(status.details()) else {
            return details;
        };
        for any in whole.details {
            let kind = any.type_url.rsplit('/').next().unwrap_or_default();
            match kind.trim_end_matches("+json") {
                // The innermost source comes first: it is the line that failed.
                name if name.ends_with("errdefs.Source") && details.excerpt.is_none() => {
                    details.excerpt = serde_json::from_slice(&any.value)
                        .ok()
                        .and_then(|source| excerpt(&source, texts));
                }
                name if name.ends_with("errdefs.Vertex") => {
                    details.vertex = serde_json::from_slice(&any.value)
                        .ok()
                        .map(|vertex: Vertex| vertex.digest);
                }
                name if name.ends_with("ExitMessage") || name.ends_with("ExitError") => {
                    details.exit_code = serde_json::from_slice(&any.value)
                        .ok()
                        .map(|exit: Exit| exit.code);
                }
                _ => {}
            }
        }
        details
    }
}

fn excerpt(source: &Source, texts: &Texts) -> Option<Excerpt> {
    let info = source.info.as_ref()?;
    let text = BASE64_STANDARD.decode(&info.data).ok()?;
    // An instruction of several lines has a range for each of them.
    let first = source.ranges.iter().map(|range| range.start.line).min()?;
    let last = source.ranges.iter().map(|range| range.end.line).max()?;
    texts.excerpt(&info.filename, &text, first, last)
}

/// Why a solve failed: the builder's own answer and what was seen on the way.
pub(super) fn classify(status: &Status, watch: &Watch, order: &BuildOrder) -> BuilderError {
    let message = watch.texts.hide(&plain(status.message())).into_owned();
    match status.code() {
        // Whoever cancelled it, it was not this run: that is not asked about failures.
        Code::Cancelled => return BuilderError::Lost { message },
        // A stream that breaks is reported by the HTTP/2 layer and not by the builder: it may itself
        // say that something, as a registry, is not available.
        Code::Unavailable | Code::Unknown | Code::Internal
            if status.details().is_empty() && is_transport(status) =>
        {
            return BuilderError::Lost { message };
        }
        _ => {}
    }
    let details = Details::read(status, &watch.texts);
    let failed = details
        .vertex
        .as_deref()
        .and_then(|digest| watch.step(digest))
        .or_else(|| watch.failed_step());
    if let Some(step) = failed
        && step.is_export()
    {
        let (repository, message) = pushed_to(&message, order);
        return BuilderError::Push {
            repository,
            message,
        };
    }
    BuilderError::Failed {
        message,
        step: failed.map(|step| step.name.clone()),
        exit_code: details.exit_code,
        excerpt: details.excerpt.map(Box::new),
        log: failed
            .map(super::status::Step::last_lines)
            .unwrap_or_default(),
    }
}

/// The message without the names that BuildKit gives its own snapshots: ` of ref abc::def`.
fn without_refs(message: &str) -> String {
    let Some((before, rest)) = message.split_once(" of ref ") else {
        return message.to_owned();
    };
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == ':';
    let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    // The colon that ends the name belongs to the sentence.
    let colon = if name.ends_with(':') { ":" } else { "" };
    format!("{before}{colon}{behind}")
}

/// Which of the repositories a push failed for: BuildKit says `failed to push NAME: REASON`
/// (exporter/containerimage, `pushImage`).
fn pushed_to(message: &str, order: &BuildOrder) -> (Option<Repository>, String) {
    for output in &order.outputs {
        let Output::Push { repositories, .. } = output else {
            continue;
        };
        for repository in repositories {
            if let Some(reason) = message.strip_prefix(&format!("failed to push {repository}: ")) {
                return (Some(repository.clone()), reason.to_owned());
            }
        }
    }
    (None, message.to_owned())
}

/// Whether an error was made on our side of the connection.
fn is_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// The message without the wrappers that say the same of every build.
fn plain(message: &str) -> String {
    let mut text = message;
    for prefix in ["failed to solve: ", "rpc error: code = Unknown desc = "] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    let lines: Vec<String> = text
        .lines()
        .map(|line| log_line(line.as_bytes(), MAX_LINE))
        .collect();
    without_refs(&without_url_secrets(lines.join("\n").trim_end()))
}
