use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::commit::Committed;
use super::make::Image;
use super::ports::RegistryError;
use super::{Failure, World};
use crate::cx::Cx;
use crate::event::Event;
use crate::oci::{Digest, Reference};

/// How many references are read at the same time.
const AT_ONCE: usize = 16;
/// A registry may need a moment until every one of its machines knows a new tag.
const PATIENCE: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Reads every moved tag back, and every platform of every image in every repository.
pub(super) async fn verify(
    cx: &Cx,
    world: &World,
    images: &[Image],
    committed: &Committed,
) -> Result<(), Vec<Failure>> {
    let given_up: BTreeSet<&str> = committed
        .missed
        .iter()
        .map(|(place, _)| place.registry.as_str())
        .collect();
    let mut expected: Vec<(Reference, Digest)> = committed
        .moved
        .iter()
        .map(|moved| (moved.reference.clone(), moved.to.clone()))
        .collect();
    for image in images {
        let places = image
            .places
            .iter()
            .filter(|place| !given_up.contains(place.registry.as_str()));
        for place in places {
            for child in &image.children {
                let reference = place.repository.with_digest(child.digest.clone());
                expected.push((reference, child.digest.clone()));
            }
        }
    }
    let checks = expected
        .iter()
        .map(|(reference, digest)| read_back(cx, world, reference, digest));
    let results: Vec<_> = stream::iter(checks)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failures: Vec<Failure> = results.into_iter().filter_map(Result::err).collect();
    if cx.cancel.is_cancelled() {
        return Err(vec![Failure::Interrupted {
            step: "the verification; the tags have moved",
        }]);
    }
    if failures.is_empty() {
        cx.events.tell(Event::Verified {
            tags: committed.moved.len(),
        });
        Ok(())
    } else {
        Err(failures)
    }
}

async fn read_back(
    cx: &Cx,
    world: &World,
    reference: &Reference,
    digest: &Digest,
) -> Result<(), Failure> {
    let mut waits = PATIENCE.iter();
    loop {
        let found = world.registry.resolve(cx, reference).await;
        let error = match found {
            Ok(Some(found)) if found.digest == *digest => return Ok(()),
            Ok(found) => Failure::Unverified {
                reference: reference.clone(),
                expected: digest.clone(),
                found: found.map(|found| found.digest),
            },
            Err(error) => Failure::Verify(error),
        };
        let Some(wait) = waits.next() else {
            return Err(error);
        };
        tokio::select! {
            () = tokio::time::sleep(*wait) => {}
            () = cx.cancel.cancelled() => {
                return Err(Failure::Verify(RegistryError::cancelled(reference)));
            }
        }
    }
}
