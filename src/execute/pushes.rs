//! What a builder pushes by itself, and what is copied afterwards.

use super::ports::Output;
use crate::plan::{Destination, Target};

/// How the builder is asked to push, and the places that are brought the image afterwards: to every
/// repository at the same time, unless attestations would make each of those pushes another image.
/// Then it is one push after the other, and how registries are spoken to holds for all of them: those
/// that are spoken to in another way than the first one are left out.
pub(super) fn pushes<'a>(
    target: &Target,
    places: &'a [Destination],
) -> (Vec<Output>, Vec<&'a Destination>) {
    let push = |places: &[&Destination], insecure| Output::Push {
        repositories: places
            .iter()
            .map(|place| place.repository.clone())
            .collect(),
        insecure,
    };
    if target.build.is_attested() {
        let insecure = places.first().is_some_and(|place| place.insecure);
        let (alike, others) = places
            .iter()
            .partition::<Vec<_>, _>(|place| place.insecure == insecure);
        (vec![push(&alike, insecure)], others)
    } else {
        let outputs = places.iter().map(|place| push(&[place], place.insecure));
        (outputs.collect(), Vec::new())
    }
}
