//! The files that were read, and how much of them may be read.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, Fault, Problem};
use super::node::Place;
use super::short::gitref::without_password;
use crate::excerpt::{Excerpt, LineIndex};

mod open;

use open::read_standard_input;
pub use open::{LARGEST_FILE, Pipes, read_file};

/// How many files one project may have, includes and extended files counted each time.
const MOST_FILES: usize = 1_000;

/// Every file of a load, so that a [`Place`] can be shown.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: Vec<Source>,
    /// The bytes of each file that was read: a pipe gives them once only, and a file that is
    /// written meanwhile has one content for the whole project.
    bytes: HashMap<PathBuf, Arc<[u8]>>,
    /// The files that the user named, and that may be pipes.
    named: HashSet<PathBuf>,
    /// The numbers of files, by path.
    numbers: HashMap<PathBuf, u32>,
    /// How many files were taken in, each time counted.
    taken: usize,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: Arc<str>,
    /// Places are shown often, and files may be long.
    index: LineIndex,
}

impl Sources {
    /// Takes it that the user named these files, and knows whether they are pipes.
    pub(super) fn named(&mut self, files: &[String]) {
        self.named.extend(files.iter().map(PathBuf::from));
    }

    /// The content of a file, never more than [`LARGEST_FILE`] bytes.
    pub(super) fn read(&mut self, path: &Path) -> Result<Arc<[u8]>, Error> {
        if let Some(bytes) = self.bytes.get(path) {
            return Ok(Arc::clone(bytes));
        }
        let bytes: Arc<[u8]> = if path.as_os_str() == "-" {
            read_standard_input()?.into()
        } else {
            let pipes = if self.named.contains(path) {
                Pipes::Wait
            } else {
                Pipes::Refuse
            };
            read_file(path, pipes)?.into()
        };
        self.bytes.insert(path.to_owned(), Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Takes in a compose file, and gives it a number and its text.
    pub(super) fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<(u32, Arc<str>), Error> {
        self.taken += 1;
        if self.taken > MOST_FILES {
            return Err(Error::TooManyFiles { limit: MOST_FILES });
        }
        if let Some(number) = self.numbers.get(path)
            && let Some(source) = self.files.get(*number as usize)
        {
            return Ok((*number, Arc::clone(&source.text)));
        }
        let text: Arc<str> = decode(path, bytes)?.into();
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(Source {
            path: path.to_owned(),
            index: LineIndex::of(&text),
            text: Arc::clone(&text),
        });
        self.numbers.insert(path.to_owned(), number);
        Ok((number, text))
    }

    /// The place with its line, to be shown.
    pub(super) fn excerpt(&self, place: Place) -> Excerpt {
        let Some(source) = self.files.get(place.file as usize) else {
            return Excerpt::at(Path::new("-"), "", 0, 0);
        };
        let (start, end) = (place.start as usize, place.end as usize);
        source.index.excerpt(&source.path, &source.text, start, end)
    }

    /// The text at a place, as it stands in the file.
    fn written(&self, place: Place) -> &str {
        self.files
            .get(place.file as usize)
            .and_then(|source| source.text.get(place.start as usize..place.end as usize))
            .unwrap_or_default()
    }

    /// The error that a fault is, with its line.
    ///
    /// A value that comes from a variable may be a secret: what is shown is what the file says.
    pub(super) fn error(&self, mut fault: Fault) -> Error {
        let written = self.written(fault.place);
        match &mut fault.problem {
            Problem::Cast { text, .. } if written.contains('$') => {
                *text = written.chars().take(80).collect();
            }
            Problem::Variable {
                source, variable, ..
            } => {
                if let Some(at) = variable.and_then(|nth| nth.in_text(written)) {
                    let length = source.at().map_or(1, |at| at.len());
                    fault.place.start += u32::try_from(at).unwrap_or_default();
                    let end = fault.place.start + u32::try_from(length).unwrap_or_default();
                    fault.place.end = fault.place.end.min(end);
                }
            }
            _ => {}
        }
        let mut place = self.excerpt(fault.place);
        if let Problem::Remote { .. } = fault.problem {
            hide_password(&mut place, written);
        }
        Error::Invalid {
            problem: Box::new(fault.problem),
            place: Box::new(place),
            related: fault.related.map(|place| Box::new(self.excerpt(place))),
        }
    }
}

/// Takes the password of a location out of the line that shows it.
fn hide_password(place: &mut Excerpt, written: &str) {
    let hidden = without_password(written);
    if hidden != written {
        place.text = place.text.replace(written, &hidden);
        place.length = hidden.chars().count();
    }
}

/// The text of a YAML file: UTF-8, or UTF-16 with a byte order mark, without characters that YAML
/// does not allow.
fn decode(path: &Path, bytes: &[u8]) -> Result<String, Error> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(path, rest)?,
        _ => utf8(path, bytes)?,
    };
    match text.char_indices().find(|(_, letter)| !allowed(*letter)) {
        None => Ok(text),
        Some((at, letter)) => Err(Error::Invalid {
            problem: Box::new(Problem::Character { letter }),
            place: Box::new(Excerpt::at(path, &text, at, at + letter.len_utf8())),
            related: None,
        }),
    }
}

fn utf8(path: &Path, bytes: &[u8]) -> Result<String, Error> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|error| {
            let at = error.valid_up_to();
            let text = String::from_utf8_lossy(bytes);
            Error::Invalid {
                problem: Box::new(Problem::NotUtf8),
                place: Box::new(Excerpt::at(path, &text, at, at + 1)),
                related: None,
            }
        })
}

fn utf16(bytes: &[u8], order: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    char::decode_utf16(pairs.iter().map(|pair| order(*pair)))
        .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// The characters of a YAML stream (YAML 1.1, 5.1), as libyaml's reader checks them. Some are
/// text in quotes only: see `yaml`.
fn allowed(letter: char) -> bool {
    matches!(letter,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}
