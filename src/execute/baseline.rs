use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;

use super::attempt::Attempt;
use super::ports::RegistryError;
use super::{Failure, World};
use crate::cx::Cx;
use crate::oci::{Digest, Reference};
use crate::plan::Destination;

/// How many tags are read at the same time.
const AT_ONCE: usize = 16;

/// Where the tags pointed before the run changed anything. A tag that has left this place when it is
/// about to move was moved by somebody else.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    /// Each tag; `None` where it did not exist.
    from: BTreeMap<Reference, Option<Digest>>,
    /// Registries that are not required and could not be asked.
    pub(super) missed: Vec<(String, RegistryError)>,
}

impl Baseline {
    /// Asks for every tag of these places, each with its service, but for those in registries that are given
    /// up.
    pub(super) async fn read<'a>(
        cx: &Cx,
        world: &World,
        places: impl Iterator<Item = (&'a str, &'a Destination)>,
    ) -> Result<Self, Failure> {
        let given_up = world.given_up.iter();
        let mut baseline = Self {
            missed: given_up
                .map(|(registry, error)| (registry.clone(), error.clone()))
                .collect(),
            ..Self::default()
        };
        let places = places.filter(|(_, place)| !world.given_up.contains_key(&place.registry));
        let asked = places.flat_map(|(service, place)| {
            place.tags.iter().map(move |tag| async move {
                let reference = place.repository.with_tag(tag.clone());
                let found = world.registry.resolve(cx, &reference).await;
                (service, place, reference, found)
            })
        });
        let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        if cx.cancel.is_cancelled() {
            return Err(Failure::Interrupted { step: "preflight" });
        }
        let mut images = BTreeMap::new();
        for (service, place, reference, found) in answers {
            match found {
                Ok(found) => {
                    let found = found.map(|descriptor| descriptor.digest);
                    if let Some(digest) = found.clone().filter(|_| place.required) {
                        let image = place.repository.with_digest(digest);
                        images.insert(image, (service, reference.clone()));
                    }
                    baseline.from.insert(reference, found);
                }
                Err(error) if place.required => {
                    return Err(Failure::Unread {
                        service: service.to_owned(),
                        error,
                    });
                }
                Err(error) => {
                    if !baseline.has_missed(&place.registry) {
                        baseline.missed.push((place.registry.clone(), error));
                    }
                }
            }
        }
        check(cx, world, images).await?;
        Ok(baseline)
    }

    /// The same as an interrupted run found it.
    pub(super) fn of(mut self, attempt: &Attempt) -> Self {
        for moved in attempt.resumes.iter().flat_map(|resumes| &resumes.moves) {
            self.from
                .insert(moved.reference.clone(), moved.from.clone());
        }
        self
    }

    /// Leaves registries out in which something is in the way, as if they had not answered.
    pub(super) fn leave_out(&mut self, held: Vec<(String, RegistryError)>) {
        for (registry, error) in held {
            if !self.has_missed(&registry) {
                self.missed.push((registry, error));
            }
        }
    }

    /// Where a tag pointed; `None` also where nobody asked.
    pub(super) fn from(&self, reference: &Reference) -> Option<Digest> {
        self.from.get(reference).cloned().flatten()
    }

    /// Whether a registry could not be asked.
    pub(super) fn has_missed(&self, registry: &str) -> bool {
        self.missed.iter().any(|(name, _)| name == registry)
    }
}

/// Whether the images are there that tags would go back to: no tag moves that could not.
async fn check(
    cx: &Cx,
    world: &World,
    images: BTreeMap<Reference, (&str, Reference)>,
) -> Result<(), Failure> {
    let asked = images
        .into_iter()
        .map(|(image, (service, tag))| async move {
            let error = match world.registry.resolve(cx, &image).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {
                    let message = format!("it points to {}, which is not there", image.selector());
                    RegistryError::nonsense(&tag, message)
                }
                Err(error) => error,
            };
            Err(Failure::Unread {
                service: service.to_owned(),
                error,
            })
        });
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    if cx.cancel.is_cancelled() {
        return Err(Failure::Interrupted { step: "preflight" });
    }
    answers.into_iter().collect()
}
