use super::commit::Committed;
use super::make::Image;
use super::ports::{BuilderError, RegistryError};
use crate::cx::Cx;
use crate::event::Finding;
use crate::exit::Exit;
use crate::ledger::{Error as LedgerError, RegistryOutcome, RegistryState, Release, ReleasedImage};
use crate::oci::{Digest, Reference};
use crate::plan::{Plan, Provenance};

/// What came of a publish, whatever it was.
#[derive(Debug)]
pub struct Outcome {
    /// What the world looks like now.
    pub exit: Exit,
    /// The images, registries and tags.
    pub release: Release,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

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
    /// A tag that was written reads back as something else.
    #[error("{reference} should be {expected} and is {}", show(found.as_ref()))]
    Unverified {
        /// What was read.
        reference: Reference,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Option<Digest>,
    },
    /// A tag that was written could not be read back.
    #[error("verify the release")]
    Verify(#[source] RegistryError),
    /// The release is live, and its record could not be kept.
    #[error("record the release")]
    Ledger(#[source] LedgerError),
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
    digest.map_or_else(|| "gone".to_owned(), ToString::to_string)
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

    /// What the exit code says when this is the worst that happened.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotReady(_)
            | Self::Build {
                error: BuilderError::Unreachable { .. } | BuilderError::Unsupported { .. },
                ..
            } => Exit::NotReady,
            Self::Build {
                error: BuilderError::Push { .. },
                ..
            }
            | Self::Upload { .. }
            | Self::Journal(_) => Exit::UploadFailed,
            Self::Build {
                error: BuilderError::Input { .. },
                ..
            } => Exit::BadInput,
            Self::Build { .. } => Exit::BuildFailed,
            Self::Tag { .. }
            | Self::Stranded { .. }
            | Self::Unverified { .. }
            | Self::Verify(_) => Exit::TagsDiverged,
            Self::Ledger(_) | Self::BestEffort { .. } | Self::Prune(_) => Exit::AfterwardsFailed,
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
            | Self::Verify(error)
            | Self::BestEffort { error, .. } => error.hint(),
            Self::Journal(error) | Self::Ledger(error) => error.hint(),
            Self::Stranded {
                reference, wanted, ..
            } => Some(match wanted {
                Some(digest) => format!(
                    "point it back by hand: `crane tag {}@{digest} {}`",
                    reference.repository(),
                    reference.selector()
                ),
                None => format!("delete it by hand: `crane delete {reference}`"),
            }),
            Self::Prune(_) => Some("run `castoff prune local` to see why".to_owned()),
            Self::NotReady(_)
            | Self::Unverified { .. }
            | Self::Interrupted { .. }
            | Self::Internal(_) => None,
        }
    }
}

impl Outcome {
    /// Nothing has happened yet.
    pub(super) fn new(plan: &Plan, release: &str) -> Self {
        Self {
            exit: Exit::Internal,
            release: Release {
                project: plan.project.clone(),
                release: release.to_owned(),
                exit: Exit::Internal.code(),
                images: Vec::new(),
                registries: plan
                    .registries
                    .iter()
                    .map(|registry| RegistryOutcome {
                        name: registry.name.clone(),
                        outcome: RegistryState::Skipped,
                        error: None,
                    })
                    .collect(),
                moved: Vec::new(),
            },
            failures: Vec::new(),
        }
    }

    /// The publish ends here. The exit code is that of the first failure; what could not be brought
    /// back outweighs it.
    pub(super) fn fail(mut self, cx: &Cx, failures: Vec<Failure>) -> Self {
        let stranded = failures
            .iter()
            .any(|failure| matches!(failure, Failure::Stranded { .. }));
        self.exit = match failures.first() {
            _ if stranded => Exit::TagsDiverged,
            Some(_) if cx.cancel.is_cancelled() => Exit::Interrupted,
            Some(failure) => failure.exit(),
            None => Exit::Internal,
        };
        self.failures = failures;
        self.release.exit = self.exit.code();
        self
    }

    /// Every required image is up.
    pub(super) fn uploaded(&mut self, plan: &Plan, images: &[Image]) {
        for image in images {
            let target = plan
                .targets
                .iter()
                .find(|target| target.service == image.service);
            let attestations = target.map(|target| {
                let mut kinds = Vec::new();
                if target.build.provenance != Provenance::Off {
                    kinds.push("provenance".to_owned());
                }
                if target.build.sbom.is_some() {
                    kinds.push("sbom".to_owned());
                }
                kinds
            });
            self.release.images.push(ReleasedImage {
                service: image.service.clone(),
                digest: image.digest().clone(),
                reused: image.reused,
                repositories: image
                    .places
                    .iter()
                    .map(|place| place.repository.clone())
                    .collect(),
                tags: Vec::new(),
                platforms: if image.platforms.is_empty() {
                    target
                        .map(|target| target.platforms.clone())
                        .unwrap_or_default()
                } else {
                    image.platforms.clone()
                },
                labels: target
                    .map(|target| target.labels.clone())
                    .unwrap_or_default(),
                annotations: target
                    .and_then(|target| target.build.annotations.values().next().cloned())
                    .unwrap_or_default(),
                attestations: attestations.filter(|_| image.attested).unwrap_or_default(),
                signed: false,
                size: image.size,
                seconds: image.seconds,
            });
            for (place, error) in &image.missing {
                self.missed(&place.registry, error);
            }
        }
    }

    /// Every tag is where it should be.
    pub(super) fn committed(&mut self, committed: &Committed) {
        for image in &mut self.release.images {
            let moved = committed
                .moved
                .iter()
                .map(|moved| (&moved.reference, &moved.to));
            let kept = committed.kept.iter().map(|(tag, digest)| (tag, digest));
            image.tags = moved
                .chain(kept)
                .filter(|(reference, digest)| {
                    **digest == image.digest && image.repositories.contains(reference.repository())
                })
                .map(|(reference, _)| reference.clone())
                .collect();
            image.tags.sort();
        }
        self.release.moved.clone_from(&committed.moved);
        for (place, error) in &committed.missed {
            self.missed(&place.registry, error);
        }
    }

    fn missed(&mut self, registry: &str, error: &RegistryError) {
        for outcome in &mut self.release.registries {
            if outcome.name == registry && outcome.outcome != RegistryState::Failed {
                outcome.outcome = RegistryState::Failed;
                outcome.error = Some(error.to_string());
                self.failures.push(Failure::BestEffort {
                    registry: registry.to_owned(),
                    error: error.clone(),
                });
            }
        }
    }

    /// The release is live.
    pub(super) fn finish(&mut self) {
        for outcome in &mut self.release.registries {
            if outcome.outcome == RegistryState::Skipped {
                outcome.outcome = RegistryState::Complete;
            }
        }
        self.exit = if self.failures.is_empty() {
            Exit::Done
        } else {
            Exit::AfterwardsFailed
        };
        self.release.exit = self.exit.code();
    }

    /// Something after the release went wrong.
    pub fn afterwards(&mut self, failure: Failure) {
        self.failures.push(failure);
        if self.exit == Exit::Done {
            self.exit = Exit::AfterwardsFailed;
            self.release.exit = self.exit.code();
        }
    }
}
