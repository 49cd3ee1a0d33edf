use std::collections::BTreeMap;

use super::Failure;
use super::attempt::Attempt;
use super::commit::Committed;
use super::make::Image;
use super::ports::RegistryError;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::ledger::{LeftTag, RegistryOutcome, RegistryState, Release, ReleasedImage};
use crate::plan::{INPUTS_LABEL, Plan, Provenance, RegistryPlan, Target};

/// What came of a publish, whatever it was.
#[derive(Debug)]
pub struct Outcome {
    /// What the world looks like now.
    pub exit: Exit,
    /// The images, registries and tags.
    pub release: Release,
    /// What went wrong.
    pub failures: Vec<Failure>,
    /// The registries' hosts by their names.
    hosts: BTreeMap<String, String>,
    /// What an earlier run of the same release has done.
    earlier: Option<Release>,
}

/// A failure and its cause in one line.
fn told(failure: &Failure) -> String {
    use std::error::Error as _;
    match failure.source() {
        Some(source) => format!("{failure}: {source}"),
        None => failure.to_string(),
    }
}

impl Outcome {
    /// Nothing has happened yet of a plan.
    pub(super) fn new(plan: &Plan, attempt: &Attempt) -> Self {
        let places = || plan.targets.iter().flat_map(|target| &target.destinations);
        let registries = plan.registries.iter().map(|registry| {
            let place = places().find(|place| place.registry == registry.name);
            let host = place.map(|place| place.repository.domain().to_owned());
            (registry.clone(), host.unwrap_or_default())
        });
        Self::of(&plan.project, &registries.collect::<Vec<_>>(), attempt)
    }

    /// Nothing has happened yet in these registries, which come with their hosts.
    pub(super) fn of(
        project: &str,
        registries: &[(RegistryPlan, String)],
        attempt: &Attempt,
    ) -> Self {
        let mut release = Release::begun(project, &attempt.release, &attempt.command, attempt.at);
        release.revision.clone_from(&attempt.revision);
        release.undid.clone_from(&attempt.undid);
        release.registries = registries
            .iter()
            .map(|(registry, _)| RegistryOutcome {
                name: registry.name.clone(),
                outcome: RegistryState::Skipped,
                error: None,
            })
            .collect();
        Self {
            exit: Exit::Internal,
            release,
            failures: Vec::new(),
            hosts: registries
                .iter()
                .map(|(registry, host)| (registry.name.clone(), host.clone()))
                .collect(),
            earlier: attempt.earlier.clone(),
        }
    }

    /// The publish ends here. The exit code is that of the first failure; what could not be brought
    /// back outweighs it.
    pub(super) fn fail(mut self, cx: &Cx, failures: Vec<Failure>) -> Self {
        for failure in &failures {
            self.blame(failure);
        }
        let is_left = !self.release.left.is_empty();
        self.exit = match failures.first() {
            _ if is_left => Exit::TagsDiverged,
            Some(_) if cx.cancel.is_cancelled() => Exit::Interrupted,
            Some(failure) => failure.exit(),
            None => Exit::Internal,
        };
        self.failures = failures;
        self.release.exit = self.exit.code();
        self
    }

    /// Says of which registry a failure is, and which tag it has left somewhere.
    fn blame(&mut self, failure: &Failure) {
        match failure {
            Failure::Stranded {
                reference,
                at,
                wanted,
                message,
            } => self.release.left.push(LeftTag {
                reference: reference.clone(),
                at: at.clone(),
                wanted: wanted.clone(),
                error: message.clone(),
            }),
            Failure::Undeletable {
                reference,
                at,
                error,
            } => self.release.left.push(LeftTag {
                reference: reference.clone(),
                at: at.clone(),
                wanted: None,
                error: error.to_string(),
            }),
            _ => {}
        }
        let Some(host) = failure.host() else { return };
        for outcome in &mut self.release.registries {
            if self.hosts.get(&outcome.name).is_some_and(|own| own == host)
                && outcome.outcome != RegistryState::Failed
            {
                outcome.outcome = RegistryState::Failed;
                outcome.error = Some(told(failure));
            }
        }
    }

    /// Every required image is up.
    pub(super) fn uploaded(&mut self, targets: &[Target], images: &[Image]) {
        for image in images {
            let mut targets = targets.iter();
            let target = targets.find(|target| target.service == image.service);
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
                version: target.and_then(|target| target.version.clone()),
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
                    .map(|target| {
                        let mut labels = target.labels.clone();
                        labels.retain(|name, _| image.says_inputs || name != INPUTS_LABEL);
                        labels
                    })
                    .unwrap_or_default(),
                annotations: target
                    .and_then(|target| target.build.annotations.values().next().cloned())
                    .unwrap_or_default(),
                attestations: attestations.filter(|_| image.attested).unwrap_or_default(),
                signed: false,
                size: image.size,
                children: image
                    .children
                    .iter()
                    .map(|child| child.digest.clone())
                    .collect(),
                seconds: image.seconds,
            });
            for (place, error) in &image.missing {
                self.missed(&place.registry, error);
            }
        }
    }

    /// Every tag is where it should be.
    pub(super) fn committed(&mut self, committed: &mut Committed) {
        for image in &mut self.release.images {
            let moved = committed
                .moved
                .iter()
                .map(|moved| (&moved.reference, moved.to.as_ref()));
            let kept = committed
                .kept
                .iter()
                .map(|(tag, digest)| (tag, Some(digest)));
            image.tags = moved
                .chain(kept)
                .filter(|(reference, digest)| {
                    *digest == Some(&image.digest)
                        && image.repositories.contains(reference.repository())
                })
                .map(|(reference, _)| reference.clone())
                .collect();
            image.tags.sort();
        }
        self.release.moved.clone_from(&committed.moved);
        // What an earlier run of this release moved was moved by this release.
        for moved in self.earlier.iter().flat_map(|release| &release.moved) {
            let tags = &mut self.release.moved;
            if !tags.iter().any(|own| own.reference == moved.reference) {
                tags.push(moved.clone());
            }
        }
        for (registry, error) in &committed.missed {
            self.missed(registry, error);
        }
        for stranded in committed.stranded.drain(..) {
            self.blame(&stranded);
            self.failures.push(stranded);
        }
    }

    /// The tags have moved, and moved back.
    pub(super) fn taken_back(&mut self) {
        self.release.moved.clear();
        for image in &mut self.release.images {
            image.tags.clear();
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
