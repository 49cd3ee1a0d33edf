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

/// Reads every moved tag back, and every platform of every image in every repository. Gives what is
/// not as it should be.
pub(super) async fn verify(
    cx: &Cx,
    world: &World,
    images: &[Image],
    committed: &Committed,
) -> Vec<Failure> {
    let mut expected: Vec<(Reference, Option<Digest>)> = committed
        .moved
        .iter()
        .map(|moved| (moved.reference.clone(), moved.to.clone()))
        .collect();
    for image in images {
        let places = image
            .places
            .iter()
            .filter(|place| !committed.missed.contains_key(&place.registry));
        for place in places {
            for child in &image.children {
                let reference = place.repository.with_digest(child.digest.clone());
                expected.push((reference, Some(child.digest.clone())));
            }
        }
    }
    let checks = expected
        .iter()
        .map(|(reference, digest)| read_back(cx, world, reference, digest.as_ref()));
    let results: Vec<_> = stream::iter(checks)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failures: Vec<Failure> = results.into_iter().filter_map(Result::err).collect();
    if cx.cancel.is_cancelled() {
        return vec![Failure::Interrupted {
            step: "the verification; the tags have moved",
        }];
    }
    if failures.is_empty() {
        cx.events.tell(Event::Verified {
            tags: committed.moved.len(),
        });
    }
    failures
}

async fn read_back(
    cx: &Cx,
    world: &World,
    reference: &Reference,
    digest: Option<&Digest>,
) -> Result<(), Failure> {
    let mut waits = PATIENCE.iter();
    loop {
        let found = world.registry.resolve(cx, reference).await;
        let error = match found {
            Ok(found) => {
                let found = found.map(|found| found.digest);
                if found.as_ref() == digest {
                    return Ok(());
                }
                Failure::Unverified {
                    reference: reference.clone(),
                    expected: digest.cloned(),
                    found,
                }
            }
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
