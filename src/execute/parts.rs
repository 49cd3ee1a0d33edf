//! What one machine of several does: its images go everywhere by digest, and no tag moves.

use super::make::{self, Image};
use super::{Failure, World, preflight};
use crate::cx::Cx;
use crate::oci::{Digest, Platform};
use crate::plan::{INPUTS_LABEL, PartialAttestation, PartialImage, PartialManifest, Plan};

/// Builds and uploads what `plan` has, after the same preflight as a publish. `whole` gives all
/// platforms of a service, of which the plan may have some.
pub async fn build_parts(
    cx: &Cx,
    plan: &Plan,
    world: &World,
    whole: &(dyn Fn(&str) -> Vec<Platform> + Sync),
) -> Result<Vec<PartialImage>, Vec<Failure>> {
    preflight::pass(cx, plan, world)
        .await
        .map_err(|failure| vec![failure])?;
    let images = make::everything(cx, plan, world, None).await?;
    Ok(images
        .iter()
        .map(|image| told(plan, image, whole(&image.service)))
        .collect())
}

fn told(plan: &Plan, image: &Image, of: Vec<Platform>) -> PartialImage {
    let mut targets = plan.targets.iter();
    let target = targets.find(|target| target.service == image.service);
    let repositories = image.places.iter().map(|place| place.repository.clone());
    let missing = image
        .missing
        .iter()
        .map(|(place, _)| place.repository.clone());
    let own = image.manifest.descriptor();
    let (attestations, manifests): (Vec<_>, Vec<_>) = image
        .children
        .iter()
        .partition(|child| child.is_attestation());
    let manifests: Vec<PartialManifest> = manifests
        .into_iter()
        .map(|child| PartialManifest {
            platform: child.platform.clone(),
            digest: child.digest.clone(),
            size: child.size,
        })
        .collect();
    let mut labels = target.map(|it| it.labels.clone()).unwrap_or_default();
    labels.retain(|name, _| image.says_inputs || name != INPUTS_LABEL);
    let inputs = target.and_then(|it| it.inputs.clone());
    let contents = target.and_then(|it| it.contents.clone());
    PartialImage {
        service: image.service.clone(),
        platforms: target.map(|it| it.platforms.clone()).unwrap_or_default(),
        of,
        digest: own.digest.clone(),
        media_type: own.media_type.clone(),
        size: image.size,
        manifests: if image.children.is_empty() {
            vec![PartialManifest {
                platform: target.and_then(|it| it.platforms.first().cloned()),
                digest: own.digest,
                size: own.size,
            }]
        } else {
            manifests
        },
        attestations: attestations
            .into_iter()
            .map(|child| PartialAttestation {
                of: child.attested().and_then(|of| of.parse::<Digest>().ok()),
                digest: child.digest.clone(),
                size: child.size,
            })
            .collect(),
        repositories: repositories.collect(),
        missing: missing.collect(),
        inputs: inputs.filter(|_| image.says_inputs),
        contents: contents.filter(|_| image.is_steady),
        reused: image.reused,
        labels,
        annotations: target
            .map(|it| it.build.annotations.clone())
            .unwrap_or_default(),
        seconds: image.seconds,
    }
}
