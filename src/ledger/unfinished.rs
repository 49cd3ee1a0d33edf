use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::journal::{Begun, Entry, Journal, Move, Next, Uploaded};
use super::{Error, Release};
use crate::oci::Reference;

/// A release that did not come to its end: what its journal says, folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// How it began.
    pub begun: Begun,
    /// The images that are up.
    pub uploaded: Vec<Uploaded>,
    /// The moves that were intended and not all taken back. Which of them were made, the registries
    /// know: an answer can be lost, and so can the entry after it.
    pub moves: Vec<Move>,
    /// Those of them that are known to have been made, and not to have been taken back.
    pub moved: BTreeSet<Reference>,
    /// Whether every tag was read back, and only the record is missing.
    pub complete: bool,
    pub(super) path: PathBuf,
}

impl Unfinished {
    /// Reads a journal, `None` where it says nothing: it was cut off before its first entry was whole,
    /// and that comes before anything else.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let mut entries = Journal::read(path)?.into_iter();
        let Some(Entry::Begun(begun)) = entries.next() else {
            return Ok(None);
        };
        let mut uploaded: BTreeMap<String, Uploaded> = BTreeMap::new();
        let mut moves: Vec<Move> = Vec::new();
        let mut moved = BTreeSet::new();
        let mut complete = false;
        for entry in entries {
            complete = matches!(entry, Entry::Complete);
            match entry {
                Entry::Begun(_) | Entry::Complete => {}
                Entry::Uploaded(image) => {
                    uploaded.insert(image.service.clone(), image);
                }
                // Where a tag pointed before the first attempt is where it goes back to.
                Entry::Intended { moves: more } => {
                    for next in more {
                        let known = moves
                            .iter_mut()
                            .find(|known| known.reference == next.reference);
                        match known {
                            Some(known) => known.to = next.to,
                            None => moves.push(next),
                        }
                    }
                }
                Entry::Moved { reference } => {
                    moved.insert(reference);
                }
                Entry::Restored { reference } => {
                    moved.remove(&reference);
                }
                Entry::TakenBack => {
                    moves.clear();
                    moved.clear();
                }
            }
        }
        Ok(Some(Self {
            begun,
            uploaded: uploaded.into_values().collect(),
            moves,
            moved,
            complete,
            path: path.to_owned(),
        }))
    }

    /// Whether tags may point to it already: then it has to be finished or taken back before
    /// anything else is published.
    pub fn has_moved(&self) -> bool {
        !self.moves.is_empty()
    }

    /// What to type to go on with it, and to take it back.
    pub fn next(&self) -> Next {
        let undo = "castoff rollback".to_owned();
        self.begun.next.clone().unwrap_or_else(|| Next {
            finish: match self.begun.command.as_str() {
                "rollback" => undo.clone(),
                command => format!("castoff {command} --resume"),
            },
            undo,
        })
    }

    /// A release that is live but for what is not required, as if it had been interrupted there.
    pub fn of_release(release: &Release) -> Self {
        Self {
            begun: Begun {
                v: super::journal::VERSION,
                release: release.release.clone(),
                project: release.project.clone(),
                command: release.command.clone(),
                at: release.at,
                revision: release.revision.clone(),
                tags: Vec::new(),
                undid: Vec::new(),
                promoted: Vec::new(),
                next: None,
            },
            uploaded: release
                .images
                .iter()
                .map(|image| Uploaded {
                    service: image.service.clone(),
                    digest: image.digest.clone(),
                    repositories: image.repositories.clone(),
                    contents: None,
                })
                .collect(),
            moves: Vec::new(),
            moved: BTreeSet::new(),
            complete: false,
            path: PathBuf::new(),
        }
    }
}
