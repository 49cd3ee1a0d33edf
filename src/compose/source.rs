//! The files that were read, and how much of them may be read.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, Fault, Problem};
use super::node::Place;
use super::short::gitref::without_password;
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
    /// Where lines begin, in bytes: places are shown often, and files may be long.
    lines: Vec<u32>,
}

impl Sources {
    /// Takes in a file's text, and gives it a number.
    pub(super) fn add(&mut self, path: &Path, text: Arc<str>) -> Result<u32, Error> {
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        if self.files.len() >= MOST_FILES {
            return Err(Error::TooManyFiles { limit: MOST_FILES });
        }
        let begins = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(begins);
        self.files.push(Source {
            path: path.to_owned(),
            lines: lines.filter_map(|at| u32::try_from(at).ok()).collect(),
            text,
        });
        Ok(number)
    }

    /// The place with its line, to be shown.
    pub(super) fn excerpt(&self, place: Place) -> Excerpt {
        let Some(source) = self.files.get(place.file as usize) else {
            return Excerpt::at(Path::new("-"), "", 0, 0);
        };
        let line = source.lines.partition_point(|begin| *begin <= place.start);
        let begin = source
            .lines
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        let end = source
            .lines
            .get(line)
            .map_or(source.text.len(), |end| *end as usize);
        let text = source.text.get(begin as usize..end).unwrap_or_default();
        let within = |at: u32| at.saturating_sub(begin) as usize;
        let mut excerpt = Excerpt::at(&source.path, text, within(place.start), within(place.end));
        excerpt.line = line.max(1);
        excerpt
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
            Problem::Variable { source, .. } => {
                let quote = usize::from(written.starts_with(['"', '\'']));
                if let Some(at) = source.at()
                    && let Some(rest) = written.get(quote + at.start..)
                    && rest.starts_with("${")
                {
                    let offset = u32::try_from(quote + at.start).unwrap_or_default();
                    let length = u32::try_from(at.len()).unwrap_or_default();
                    fault.place.start += offset;
                    fault.place.end = fault.place.end.min(fault.place.start + length);
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
}
