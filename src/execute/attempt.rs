use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::{Failure, World};
use crate::ledger::{Begun, Entry, Journal, Next, Promoted, Release, Unfinished, VERSION};
use crate::oci::Reference;

/// Which release a run makes, and what it goes on with.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The release's id; that of the interrupted one where this goes on with it.
    pub release: String,
    /// The command: `publish`, `promote`, `rollback`.
    pub command: String,
    /// When the release began.
    pub at: Timestamp,
    /// The commit, where there is one.
    pub revision: Option<String>,
    /// The releases that it takes back, where it is a rollback.
    pub undid: Vec<String>,
    /// What is promoted, where it is a promotion.
    pub promoted: Vec<Promoted>,
    /// What to type should it be interrupted.
    pub next: Option<Next>,
    /// The release that was interrupted, and is finished now.
    pub resumes: Option<Unfinished>,
    /// The record of the release that is live already, where only what is not required is missing.
    pub earlier: Option<Release>,
}

impl Attempt {
    /// A release that begins now.
    pub fn new(release: String, command: &str, at: Timestamp, revision: Option<String>) -> Self {
        Self {
            release,
            command: command.to_owned(),
            at,
            revision,
            undid: Vec::new(),
            promoted: Vec::new(),
            next: None,
            resumes: None,
            earlier: None,
        }
    }

    /// One more run of a release that was interrupted.
    pub fn of(unfinished: Unfinished) -> Self {
        Self {
            release: unfinished.begun.release.clone(),
            command: unfinished.begun.command.clone(),
            at: unfinished.begun.at,
            revision: unfinished.begun.revision.clone(),
            undid: unfinished.begun.undid.clone(),
            promoted: unfinished.begun.promoted.clone(),
            next: unfinished.begun.next.clone(),
            resumes: Some(unfinished),
            earlier: None,
        }
    }

    /// One more run of a release that is live, for what is not required and failed.
    pub fn again(release: Release) -> Self {
        let unfinished = Unfinished::of_release(&release);
        Self {
            earlier: Some(release),
            ..Self::of(unfinished)
        }
    }
}

/// The journal of a run, for many hands.
#[derive(Clone, Debug)]
pub(super) struct Log {
    journal: Arc<Mutex<Journal>>,
}

impl Log {
    /// Begins the journal, or goes on with the one of the interrupted run.
    pub(super) async fn open(
        world: &World,
        attempt: &Attempt,
        project: &str,
        tags: Vec<Reference>,
    ) -> Result<Self, Failure> {
        let ledger = world.ledger.clone();
        let resumes = attempt.resumes.clone();
        let begun = Begun {
            v: VERSION,
            release: attempt.release.clone(),
            project: project.to_owned(),
            command: attempt.command.clone(),
            at: attempt.at,
            revision: attempt.revision.clone(),
            tags,
            undid: attempt.undid.clone(),
            promoted: attempt.promoted.clone(),
            next: attempt.next.clone(),
        };
        let journal = blocking(move || match resumes {
            Some(unfinished) => ledger.go_on(&unfinished, begun),
            None => ledger.begin(begun),
        });
        match journal.await {
            Ok(journal) => Ok(Self {
                journal: Arc::new(Mutex::new(journal)),
            }),
            Err(Failure::Journal(error)) => Err(Failure::NoJournal(error)),
            Err(failure) => Err(failure),
        }
    }

    /// Adds entries, and waits until the disk has them.
    pub(super) async fn write(&self, entries: Vec<Entry>) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        let journal = Arc::clone(&self.journal);
        let written = tokio::task::spawn_blocking(move || {
            let mut journal = journal
                .lock()
                .map_err(|_| Failure::Internal("the journal's writer failed".to_owned()))?;
            journal.append(&entries).map_err(Failure::Journal)
        });
        written
            .await
            .map_err(|error| Failure::Internal(error.to_string()))?
    }
}

/// Does what waits for a disk on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::ledger::Error> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::Internal(error.to_string()))?
        .map_err(Failure::Journal)
}
