use super::Failure;
use super::baseline::Baseline;
use super::commit::Commit;
use super::make::Image;
use super::ports::{RegistryError, RegistryFault};
use super::promote::Promotion;
use crate::event::Finding;
use crate::oci::{Digest, Reference};
use crate::plan::{Destination, Hold, Plan, PlannedTag};

/// What to do about an immutable tag.
pub(super) const HINT: &str = "release a new version; or `--allow-overwrite` moves it all the same, and `immutable` under [tags] of publish.toml says which tags may not";

/// An immutable tag that would move to an image which it may not point to.
pub(super) struct Obstacle {
    place: Destination,
    reference: Reference,
    from: Option<Digest>,
    to: Digest,
    because: String,
}

/// The tags of a plan with the places where they are.
fn placed(plan: &Plan) -> impl Iterator<Item = (&Destination, &PlannedTag)> {
    plan.targets.iter().flat_map(|target| {
        target.tags.iter().filter_map(|tag| {
            let mut places = target.destinations.iter();
            let place = places.find(|place| place.repository == *tag.reference.repository())?;
            Some((place, tag))
        })
    })
}

/// The tags of which the plan knows that they are in the way. Only in a required registry do they keep a
/// publish from beginning.
pub fn in_the_way(plan: &Plan) -> Vec<Finding> {
    let findings = placed(plan).filter_map(|(place, tag)| {
        Some(Finding {
            fatal: place.required,
            subject: tag.reference.to_string(),
            message: in_words(tag.from.as_ref(), tag.in_the_way()?),
            hint: Some(HINT.to_owned()),
        })
    });
    findings.collect()
}

/// The registries that are not required and in which such a tag is: they get nothing of the release.
pub(super) fn elsewhere(plan: &Plan) -> Vec<(String, RegistryError)> {
    let held = placed(plan).filter(|(place, _)| !place.required);
    let held = held.filter_map(|(place, tag)| {
        let because = in_words(tag.from.as_ref(), tag.in_the_way()?);
        Some((place.registry.clone(), refused(&tag.reference, &because)))
    });
    held.collect()
}

/// The tags that turn out to be in the way when the images have been built: because a build has given
/// another image, or because they have come to be only after the plan was made.
pub(super) fn moved(plan: &Plan, images: &[Image], baseline: &Baseline) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    for (place, tag) in placed(plan).filter(|(_, tag)| tag.hold != Hold::Free) {
        let mut images = images.iter();
        let image = images.find(|image| {
            let mut places = image.places.iter();
            places.any(|own| own.repository == place.repository)
        });
        let (Some(image), Some(from)) = (image, baseline.from(&tag.reference)) else {
            continue;
        };
        let because = match &tag.held {
            _ if from == *image.digest() || tag.refused.is_some() => continue,
            Some(held) => held.because.clone(),
            None if tag.from.as_ref() == Some(&from) => continue,
            None => "it was not there when the plan was made".to_owned(),
        };
        obstacles.push(Obstacle {
            place: place.clone(),
            reference: tag.reference.clone(),
            from: Some(from),
            to: image.digest().clone(),
            because,
        });
    }
    obstacles
}

/// Gives up the registries that are not required and have such tags; in the others they are failures.
pub(super) fn part(obstacles: Vec<Obstacle>, commit: &mut Commit<'_>) -> Result<(), Vec<Failure>> {
    let mut failures = Vec::new();
    for obstacle in obstacles {
        let Obstacle {
            place,
            reference,
            from,
            to,
            because,
        } = obstacle;
        if place.required {
            failures.push(Failure::Immutable {
                reference,
                from,
                to,
                because,
            });
        } else {
            let because = in_words(from.as_ref(), &because);
            commit.give_up(&place.registry, refused(&reference, &because));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

/// The same of a promotion, for which nothing is built: what is in the way in required registries, and the
/// others that are left out.
pub(super) fn promoted(
    promotions: &[Promotion],
    baseline: &Baseline,
) -> (Vec<Finding>, Vec<(String, RegistryError)>) {
    let (mut findings, mut others) = (Vec::new(), Vec::new());
    for promotion in promotions {
        for place in &promotion.places {
            let held = place.tags.iter();
            for tag in held.filter(|tag| promotion.immutable.contains(tag)) {
                let reference = place.repository.with_tag(tag.clone());
                let from = baseline.from(&reference);
                if from.is_none() || from.as_ref() == Some(&promotion.digest) {
                    continue;
                }
                let message = in_words(from.as_ref(), "it is immutable");
                findings.push(Finding {
                    fatal: place.required,
                    subject: reference.to_string(),
                    message: message.clone(),
                    hint: Some(HINT.to_owned()),
                });
                if !place.required {
                    others.push((place.registry.clone(), refused(&reference, &message)));
                }
            }
        }
    }
    (findings, others)
}

fn in_words(from: Option<&Digest>, because: &str) -> String {
    let at = from.map_or_else(
        || "an image".to_owned(),
        |from| format!("{}:{}", from.algorithm(), from.short()),
    );
    format!("it points to {at} and may not move: {because}")
}

fn refused(reference: &Reference, because: &str) -> RegistryError {
    RegistryError {
        doing: format!("move tag {reference}"),
        host: reference.repository().domain().to_owned(),
        fault: RegistryFault::Immutable {
            message: format!("{because}; `--allow-overwrite` moves it all the same"),
        },
    }
}
