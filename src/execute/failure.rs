use super::immutable;
use super::ports::{BuilderError, RegistryError};
use crate::event::Finding;
use crate::exit::Exit;
use crate::ledger::Error as LedgerError;
use crate::oci::{Digest, Reference};

/// Something that went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Preflight found something in the way.
    #[error("not ready to publish")]
    NotReady(Vec<Finding>),
    /// A service could not be built.
    #[error("build `{service}`")]
    Build {
        /// The service.
        service: String,
        /// Why.
        #[source]
        error: BuilderError,
    },
    /// An image could not be brought into a registry.
    #[error("upload `{service}`")]
    Upload {
        /// The service.
        service: String,
        /// Why.
        #[source]
        error: RegistryError,
    },
    /// A tag could not be read or written.
    #[error("publish `{service}`")]
    Tag {
        /// The service.
        service: String,
        /// Why.
        #[source]
        error: RegistryError,
    },
    /// Where the tags point could not be read before anything was begun.
    #[error("publish `{service}`")]
    Unread {
        /// The service.
        service: String,
        /// Why.
        #[source]
        error: RegistryError,
    },
    /// A file of another machine's work does not say what the registry holds.
    #[error("{file} is wrong about service `{service}`: {message}")]
    Partial {
        /// The file, or the files that say the same.
        file: String,
        /// The service.
        service: String,
        /// What is wrong.
        message: String,
    },
    /// Somebody else moved a tag while this run was under way.
    #[error(
        "somebody else has moved {reference} since this run began: from {} to {}",
        show(expected.as_ref()),
        show(found.as_ref())
    )]
    Overtaken {
        /// The tag.
        reference: Reference,
        /// Where it pointed when the run began.
        expected: Option<Digest>,
        /// Where it points now.
        found: Option<Digest>,
    },
    /// An immutable tag points to another image than the one that was built or promoted.
    #[error(
        "{reference} would move from {} to {to}: {because}",
        show(from.as_ref())
    )]
    Immutable {
        /// The tag.
        reference: Reference,
        /// Where it points.
        from: Option<Digest>,
        /// The image.
        to: Digest,
        /// Why it may not move.
        because: String,
    },
    /// The journal could not be begun, and so nothing was.
    #[error("begin the journal")]
    NoJournal(#[source] LedgerError),
    /// The journal could not be written, so no tag was moved after it.
    #[error("keep the journal")]
    Journal(#[source] LedgerError),
    /// A tag could not be brought back.
    #[error("bring back tag {reference}: {message}")]
    Stranded {
        /// The tag.
        reference: Reference,
        /// Where it points, as far as is known.
        at: Option<Digest>,
        /// Where it should point.
        wanted: Option<Digest>,
        /// Why.
        message: String,
    },
    /// A new tag cannot be removed again, as its registry does not allow that.
    #[error("remove tag {reference}, which did not exist before")]
    Undeletable {
        /// The tag.
        reference: Reference,
        /// Where it points.
        at: Option<Digest>,
        /// Why.
        #[source]
        error: Box<RegistryError>,
    },
    /// A tag that would be taken back points elsewhere by now.
    #[error(
        "{reference} should be {} before it is taken back, and is {}",
        show(expected.as_ref()),
        show(found.as_ref())
    )]
    Elsewhere {
        /// The tag.
        reference: Reference,
        /// Where it should point.
        expected: Option<Digest>,
        /// Where it points.
        found: Option<Digest>,
    },
    /// A tag that was written reads back as something else.
    #[error(
        "{reference} should be {} and is {}",
        show(expected.as_ref()),
        show(found.as_ref())
    )]
    Unverified {
        /// What was read.
        reference: Reference,
        /// What it should be.
        expected: Option<Digest>,
        /// What it is.
        found: Option<Digest>,
    },
    /// A tag that was written could not be read back.
    #[error("verify the release")]
    Verify(#[source] RegistryError),
    /// The release is live, and its record could not be kept.
    #[error("record the release")]
    Ledger(#[source] LedgerError),
    /// The release is live, and its record could not be kept in a registry.
    #[error("record the release in registry `{registry}`")]
    Record {
        /// Its name.
        registry: String,
        /// Why.
        #[source]
        error: RegistryError,
    },
    /// A registry that is not required was left out.
    #[error("registry `{registry}` (not required)")]
    BestEffort {
        /// Its name.
        registry: String,
        /// Why.
        #[source]
        error: RegistryError,
    },
    /// The release is live, and cleaning up after it failed.
    #[error("clean up after the release: {0}")]
    Prune(String),
    /// A signal stopped the run.
    #[error("interrupted during {step}")]
    Interrupted {
        /// What was going on.
        step: &'static str,
    },
    /// Something that should be impossible.
    #[error("{0}")]
    Internal(String),
}

fn show(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

impl Failure {
    /// Whether this is only the echo of another failure.
    pub(super) fn is_cancelled(&self) -> bool {
        use super::ports::RegistryFault;
        match self {
            Self::Build { error, .. } => matches!(error, BuilderError::Cancelled),
            Self::Upload { error, .. } => matches!(error.fault, RegistryFault::Cancelled),
            _ => false,
        }
    }

    /// Whether a tag was read back as something else than what was written.
    pub(super) fn is_mismatch(&self) -> bool {
        matches!(self, Self::Unverified { .. })
    }

    /// The same once the release is live, where a journal or record that cannot be written changes
    /// nothing any more.
    pub(super) fn after_all(self) -> Self {
        match self {
            Self::Journal(error) => Self::Ledger(error),
            other => other,
        }
    }

    /// The registry that it is about, by its host.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Upload { error, .. }
            | Self::Tag { error, .. }
            | Self::Unread { error, .. }
            | Self::Verify(error) => Some(&error.host),
            Self::Undeletable { error, .. } => Some(&error.host),
            Self::Build {
                error:
                    BuilderError::Push {
                        repository: Some(repository),
                        ..
                    },
                ..
            } => Some(repository.domain()),
            Self::Stranded { reference, .. }
            | Self::Overtaken { reference, .. }
            | Self::Unverified { reference, .. } => Some(reference.repository().domain()),
            _ => None,
        }
    }

    /// What the exit code says when this is the worst that happened.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotReady(_)
            | Self::NoJournal(_)
            | Self::Unread { .. }
            | Self::Elsewhere { .. }
            | Self::Build {
                error:
                    BuilderError::Unreachable { .. }
                    | BuilderError::Unsupported { .. }
                    | BuilderError::NoFit { .. },
                ..
            } => Exit::NotReady,
            Self::Build {
                error: BuilderError::Push { .. } | BuilderError::Kept(_),
                ..
            }
            | Self::Upload { .. }
            | Self::Journal(_) => Exit::UploadFailed,
            Self::Build {
                error: BuilderError::Input { .. },
                ..
            }
            | Self::Partial { .. } => Exit::BadInput,
            // The images are up, and no tag has moved: as after a gate.
            Self::Build { .. } | Self::Immutable { .. } => Exit::BuildFailed,
            Self::Tag { .. }
            | Self::Overtaken { .. }
            | Self::Stranded { .. }
            | Self::Undeletable { .. }
            | Self::Unverified { .. }
            | Self::Verify(_) => Exit::TagsDiverged,
            Self::Ledger(_) | Self::Record { .. } | Self::BestEffort { .. } | Self::Prune(_) => {
                Exit::AfterwardsFailed
            }
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Internal(_) => Exit::Internal,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Build { error, .. } => error.hint(),
            Self::Upload { error, .. }
            | Self::Tag { error, .. }
            | Self::Unread { error, .. }
            | Self::Verify(error)
            | Self::Record { error, .. }
            | Self::BestEffort { error, .. } => error.hint(),
            Self::NoJournal(error) | Self::Journal(error) | Self::Ledger(error) => error.hint(),
            Self::Stranded { reference, .. } => Some(format!(
                "once {} answers, `castoff status` shows where every tag is and how to go on",
                reference.repository().domain()
            )),
            Self::Overtaken { .. } | Self::Unverified { .. } => Some(
                "look at what else was published in the meantime, then run the same command again"
                    .to_owned(),
            ),
            Self::Undeletable { reference, .. } => Some(format!(
                "remove {reference} in the registry's own way; until then `castoff status` and `castoff history` name it"
            )),
            Self::Elsewhere { .. } => Some(
                "somebody has moved it on purpose, or not: `castoff history` shows what was released"
                    .to_owned(),
            ),
            Self::Partial { .. } => Some(
                "somebody has changed the file, or mixed files up: run the job again that wrote it"
                    .to_owned(),
            ),
            Self::Immutable { .. } => Some(immutable::HINT.to_owned()),
            Self::Prune(_) => Some("run `castoff prune local` to see why".to_owned()),
            Self::NotReady(_)
            | Self::Interrupted { .. }
            | Self::Internal(_) => None,
        }
    }
}
