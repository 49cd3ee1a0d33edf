//! The files that were read, and how much of them may be read.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, Fault, Problem};
use super::node::Place;
use crate::excerpt::Excerpt;

/// The largest file that is read, in bytes. Compose files of real projects stay below 1 MB.
pub const LARGEST_FILE: u64 = 8 << 20;

/// How many files one project may have, includes and extended files counted each time.
const MOST_FILES: usize = 1_000;

/// Every file of a load, so that a [`Place`] can be shown.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: Arc<str>,
}

impl Sources {
    /// Takes in a file's text, and gives it a number.
    pub(super) fn add(&mut self, path: &Path, text: Arc<str>) -> Result<u32, Error> {
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        if self.files.len() >= MOST_FILES {
            return Err(Error::TooManyFiles { limit: MOST_FILES });
        }
        self.files.push(Source {
            path: path.to_owned(),
            text,
        });
        Ok(number)
    }

    /// The place with its line, to be shown.
    pub(super) fn excerpt(&self, place: Place) -> Excerpt {
        match self.files.get(place.file as usize) {
            Some(source) => Excerpt::at(
                &source.path,
                &source.text,
                place.start as usize,
                place.end as usize,
            ),
            None => Excerpt::at(Path::new("-"), "", 0, 0),
        }
    }

    /// The error that a fault is, with its line.
    pub(super) fn error(&self, fault: Fault) -> Error {
        Error::Invalid {
            problem: Box::new(fault.problem),
            place: Box::new(self.excerpt(fault.place)),
            related: fault.related.map(|place| Box::new(self.excerpt(place))),
        }
    }
}

/// Reads a file, but never more than [`LARGEST_FILE`] bytes of it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: LARGEST_FILE,
        });
    }
    Ok(bytes)
}

/// The text of a YAML file: UTF-8, or UTF-16 with a byte order mark, without characters that YAML
/// does not allow.
pub(super) fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, ..] => utf8(path, bytes.get(3..).unwrap_or_default().to_vec())?,
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

fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
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

/// The characters of a YAML stream (YAML 1.1, 5.1), as libyaml's reader checks them.
fn allowed(letter: char) -> bool {
    matches!(letter,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
        && letter != '\u{feff}'
}
