//! What can be wrong with a compose project, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::node::Place;
use super::variables::Nth;
use crate::excerpt::Excerpt;
use crate::interpolate::InterpolateError;

mod hints;

pub(super) use hints::nearest;
use hints::{did_you_mean, newer_key};

/// Why a compose project cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no compose file where compose looks for one.
    #[error("no compose file in {} or a folder above it", .folder.display())]
    NoFile {
        /// Where the search began.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file that another file names is not there.
    #[error("{what} {} not found", .path.display())]
    Missing {
        /// What the file is: `env file`, `label file`, `compose file`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Where it is named, if that is in a file.
        place: Option<Box<Excerpt>>,
    },
    /// A file is larger than any compose file.
    #[error("{} is larger than {limit} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size, in bytes.
        limit: u64,
    },
    /// The project's files are larger than those of any project.
    #[error("the project's files have more than {limit} bytes together")]
    TooMuch {
        /// The largest sum, in bytes; a file counts each time it is included or extended.
        limit: usize,
    },
    /// A pipe gave nothing, for nobody writes to it.
    #[error("waited {seconds} seconds for {}, and nothing came", .path.display())]
    Silent {
        /// The pipe.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// A pipe that nobody named on the command line: whoever writes to it may never come.
    #[error("{} is a pipe", .path.display())]
    Pipe {
        /// The pipe.
        path: PathBuf,
    },
    /// The files include and extend too many others.
    #[error("the project has more than {limit} files")]
    TooManyFiles {
        /// The largest number.
        limit: usize,
    },
    /// The files have no content.
    #[error("empty compose file")]
    Empty,
    /// No name can be made of the project's folder.
    #[error("the project has no name")]
    NoName,
    /// The project's name has characters that it may not have.
    #[error(
        "invalid project name `{name}`: it must consist of lower case letters, digits, `-` and `_`, and begin with a letter or digit"
    )]
    Name {
        /// The name.
        name: String,
        /// The nearest name that would do.
        nearest: String,
        /// Where the name comes from.
        origin: &'static str,
    },
    /// A setting in the environment has no meaning.
    #[error("{variable} must be `true` or `false`, not `{value}`")]
    Setting {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// A service is asked for that the project has not.
    #[error("no such service: {name}")]
    NoService {
        /// The name.
        name: String,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
    /// Something in a file is wrong.
    #[error("{problem}")]
    Invalid {
        /// What is wrong.
        problem: Box<Problem>,
        /// Where.
        place: Box<Excerpt>,
        /// Another place that belongs to it: where the same key was set before, for example.
        related: Option<Box<Excerpt>>,
    },
}

/// What is wrong at a place of a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A byte that is no text.
    #[error("the file is not UTF-8")]
    NotUtf8,
    /// A character that YAML does not allow.
    #[error("the character U+{:04X} is not allowed in YAML", u32::from(*.letter))]
    Character {
        /// The character.
        letter: char,
    },
    /// The file is not YAML.
    #[error("not valid YAML: {message}")]
    Yaml {
        /// What the parser says.
        message: String,
    },
    /// A limit against hostile files.
    #[error("{what}: more than {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The most that is read.
        limit: usize,
    },
    /// The same key twice in a mapping.
    #[error("the key `{key}` is set twice")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A key that is not text: a number, `true`, a list.
    #[error("the key {at} is not text")]
    Key {
        /// Where the key stands in the document.
        at: String,
    },
    /// An alias that contains itself, or would be one within itself.
    #[error("the alias at {at} leads back to itself")]
    AliasCycle {
        /// Where the alias stands in the document.
        at: String,
    },
    /// `<<` with something that is no mapping.
    #[error("`<<` merges mappings, or a list of mappings")]
    MergeKey,
    /// A tag whose meaning the value has not.
    #[error("the value is not a {tag}")]
    Tag {
        /// The tag, for example `!!int`.
        tag: String,
    },
    /// A variable cannot be replaced.
    #[error("{at}: {source}")]
    Variable {
        /// Where it stands in the document.
        at: String,
        /// Which of the value's variables it is, if one of them is meant.
        variable: Option<Nth>,
        /// Why.
        source: InterpolateError,
    },
    /// A text that must be a number or a boolean is none.
    #[error("{at}: `{text}` is not {want}")]
    Cast {
        /// Where it stands in the document.
        at: String,
        /// The text.
        text: String,
        /// What it must be.
        want: &'static str,
    },
    /// A value of the wrong type.
    #[error("{at} must be {want}, not {got}")]
    Type {
        /// Where it stands in the document.
        at: String,
        /// What it must be.
        want: String,
        /// What it is.
        got: &'static str,
    },
    /// A key that the specification has not.
    #[error("{at} has no key `{key}`")]
    Unknown {
        /// The mapping; empty for the document.
        at: String,
        /// The key.
        key: String,
        /// The nearest key that there is.
        nearest: Option<String>,
    },
    /// A key that must be there is not.
    #[error("{at} needs `{key}`")]
    Needs {
        /// The mapping.
        at: String,
        /// The key.
        key: String,
    },
    /// A value outside of what is allowed.
    #[error("{at} {rule}")]
    Value {
        /// Where it stands in the document.
        at: String,
        /// What is allowed.
        rule: String,
    },
    /// Two files cannot be merged here.
    #[error("{at} cannot be merged: the two files have different kinds of values")]
    Merge {
        /// Where in the document.
        at: String,
    },
    /// `extends` or `include` leads back to where it began.
    #[error("{what} goes in a circle: {}", .chain.join(" → "))]
    Circle {
        /// `extends`, `include` or `depends_on`.
        what: &'static str,
        /// The steps, the last one like an earlier one.
        chain: Vec<String>,
    },
    /// `extends` names a service that is not there.
    #[error("service `{service}` extends `{base}`, which {file} has not")]
    NoBase {
        /// The service.
        service: String,
        /// The one it extends.
        base: String,
        /// The file that should have it.
        file: String,
        /// The nearest service that the file has.
        nearest: Option<String>,
    },
    /// `extends` leads further than castoff follows.
    #[error(
        "`extends` leads from service to service, more than {limit} in a row, beginning at `{service}`"
    )]
    LongChain {
        /// The first service.
        service: String,
        /// The longest way that is followed.
        limit: usize,
    },
    /// Something that castoff does not fetch.
    #[error("{what} from {url} is not supported: castoff reads compose files of this machine only")]
    Remote {
        /// `include` or `extends`, or a compose file.
        what: &'static str,
        /// Where it should come from, without a password.
        url: String,
    },
    /// Two files define the same resource differently.
    #[error("{at} conflicts with an included file that sets it, too")]
    Conflict {
        /// The resource, for example `services.web`.
        at: String,
    },
    /// Something refers to what is not there.
    #[error("service `{service}` {refers} `{name}`, which the project has not")]
    Undefined {
        /// The service.
        service: String,
        /// How it refers: `uses the network`, `depends on`, …
        refers: &'static str,
        /// The name.
        name: String,
        /// The nearest name that there is.
        nearest: Option<String>,
        /// The profiles that would enable it, if it is a disabled service.
        profiles: Vec<String>,
    },
    /// A file that is named is not there or cannot be read.
    #[error("{what} {} cannot be read: {reason}", .path.display())]
    File {
        /// What the file is: `env file`, `label file`, `included file`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A line of an env file is wrong.
    #[error("{0}")]
    Dotenv(#[from] super::dotenv::DotenvError),
    /// Anything that compose says about a service and is not about one value.
    #[error("{message}")]
    Rule {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<&'static str>,
    },
}

/// A problem and its place, before the place has its line.
#[derive(Debug)]
pub(super) struct Fault {
    /// What is wrong.
    pub problem: Problem,
    /// Where.
    pub place: Place,
    /// Another place that belongs to it.
    pub related: Option<Place>,
}

impl Fault {
    /// A problem at a place. Boxed, for it is seldom and large.
    pub(super) fn new(place: Place, problem: Problem) -> Box<Self> {
        Box::new(Self {
            problem,
            place,
            related: None,
        })
    }

    /// A problem that two places have together.
    pub(super) fn between(place: Place, related: Place, problem: Problem) -> Box<Self> {
        Box::new(Self {
            problem,
            place,
            related: Some(related),
        })
    }

    /// Something that compose says about a place.
    pub(super) fn rule(place: Place, message: impl Into<String>) -> Box<Self> {
        Self::new(
            place,
            Problem::Rule {
                message: message.into(),
                hint: None,
            },
        )
    }
}

impl Error {
    /// The place in a file that the error is about.
    pub fn place(&self) -> Option<&Excerpt> {
        match self {
            Self::Invalid { place, .. } => Some(place),
            Self::Missing { place, .. } => place.as_deref(),
            _ => None,
        }
    }

    /// Another place that belongs to the error, and what it is.
    pub fn related(&self) -> Option<(&Excerpt, &'static str)> {
        match self {
            Self::Invalid {
                related: Some(place),
                problem,
                ..
            } => {
                let what = match **problem {
                    Problem::Duplicate { .. } => "set before here",
                    Problem::Dotenv(_) | Problem::File { .. } => "named here",
                    _ => "the other one is here",
                };
                Some((place, what))
            }
            _ => None,
        }
    }

    /// The file that could not be read, if that is it, and why.
    pub(super) fn unread(&self) -> Option<(&Path, String)> {
        match self {
            Self::Read { path, source } => Some((path, source.to_string())),
            Self::TooLarge { path, limit } => {
                Some((path, format!("it is larger than {limit} bytes")))
            }
            Self::Silent { path, seconds } => {
                Some((path, format!("waited {seconds} seconds, and nothing came")))
            }
            Self::Pipe { path } => Some((path, "it is a pipe".to_owned())),
            _ => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoFile { .. } => {
                Some("write a compose.yaml, or name the file with -f FILE".to_owned())
            }
            Self::Name {
                nearest, origin, ..
            } if !nearest.is_empty() => Some(format!("{origin} could say `{nearest}`")),
            Self::NoName => Some("set `name:` in the compose file, or give -p NAME".to_owned()),
            Self::NoService { nearest, .. } => nearest.as_deref().map(did_you_mean),
            Self::Silent { .. } => Some(
                "it is a pipe or a device; start the program that writes to it, or name a file"
                    .to_owned(),
            ),
            Self::Pipe { .. } => Some(
                "write what comes from it to a file; a pipe is read where -f, --env-file or --config names it"
                    .to_owned(),
            ),
            Self::TooLarge { .. } => {
                Some("no real project needs so much; is it the right file?".to_owned())
            }
            Self::Empty => Some("write at least one service under `services:`".to_owned()),
            Self::Invalid { problem, .. } => problem.hint(),
            _ => None,
        }
    }
}

impl Problem {
    /// What to do about it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml { message } if message.contains("tab") => {
                Some("YAML indents with spaces, not with tabs".to_owned())
            }
            Self::Unknown { at, key, nearest } => {
                newer_key(at, key).or_else(|| nearest.as_deref().map(did_you_mean))
            }
            Self::NoBase { nearest, .. } | Self::Undefined { nearest, .. } if nearest.is_some() => {
                nearest.as_deref().map(did_you_mean)
            }
            Self::Undefined { profiles, .. } if !profiles.is_empty() => Some(format!(
                "it is disabled; enable it with --profile {}",
                profiles.join(" or --profile ")
            )),
            Self::Duplicate { .. } => Some("remove one of the two".to_owned()),
            Self::Key { .. } => Some("put quotes around the key".to_owned()),
            Self::Variable { source, .. } => source.hint(),
            Self::Dotenv(error) => error.hint(),
            Self::Cast { want, .. } if *want == "a boolean" => {
                Some("write `true` or `false`".to_owned())
            }
            Self::Character { letter: '\u{feff}' } => {
                Some("remove the byte order mark within the file".to_owned())
            }
            Self::Character {
                letter: '\u{85}' | '\u{2028}' | '\u{2029}',
            } => Some(
                "docker compose takes it for the end of a line; remove it, or write it as an escape in double quotes"
                    .to_owned(),
            ),
            Self::Remote { .. } => {
                Some("fetch it first, for example as a git submodule, and name its path".to_owned())
            }
            Self::Circle { .. } => Some("take one of the steps out".to_owned()),
            Self::Limit { .. } => Some(
                "no real project needs so much; look for what repeats: aliases, `extends`, `include`, env files"
                    .to_owned(),
            ),
            Self::Rule { hint, .. } => hint.map(str::to_owned),
            Self::File { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}
