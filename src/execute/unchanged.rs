use super::make::announce;
use super::{Attempt, Outcome};
use crate::cx::Cx;
use crate::event::Event;
use crate::ledger::ReleasedImage;
use crate::oci::Reference;
use crate::plan::{Action, Plan, Provenance, Target};

/// What comes of a publish that has nothing to do: every image is in its places, and every tag points to
/// it, as the plan has just read. Nothing is asked, written or recorded.
pub fn unchanged(cx: &Cx, plan: &Plan, attempt: &Attempt) -> Outcome {
    announce(cx, plan);
    let mut outcome = Outcome::new(plan, attempt);
    for target in &plan.targets {
        let Some(image) = released(target) else {
            continue;
        };
        cx.events.tell(Event::Reused {
            service: target.service.clone(),
            digest: image.digest.clone(),
            because: target
                .reused
                .as_ref()
                .map(|reused| reused.because.clone())
                .unwrap_or_default(),
        });
        for reference in &image.tags {
            cx.events.tell(Event::TagKept {
                service: target.service.clone(),
                reference: reference.clone(),
                digest: image.digest.clone(),
            });
        }
        outcome.release.images.push(image);
    }
    outcome.finish();
    outcome
}

fn released(target: &Target) -> Option<ReleasedImage> {
    let (Action::Reuse(digest), Some(reused)) = (&target.action, &target.reused) else {
        return None;
    };
    let points_to_it = target
        .tags
        .iter()
        .filter(|tag| tag.from.as_ref() == Some(digest));
    let mut tags: Vec<Reference> = points_to_it.map(|tag| tag.reference.clone()).collect();
    tags.sort();
    let mut attestations = Vec::new();
    if reused.facts.attested && target.build.provenance != Provenance::Off {
        attestations.push("provenance".to_owned());
    }
    if reused.facts.attested && target.build.sbom.is_some() {
        attestations.push("sbom".to_owned());
    }
    Some(ReleasedImage {
        service: target.service.clone(),
        digest: digest.clone(),
        version: target.version.clone(),
        reused: true,
        repositories: target.repositories.clone(),
        tags,
        platforms: reused.facts.platforms.clone(),
        labels: target.labels.clone(),
        annotations: target
            .build
            .annotations
            .values()
            .next()
            .cloned()
            .unwrap_or_default(),
        attestations,
        signed: false,
        size: reused.facts.size,
        children: reused.facts.children.clone(),
        seconds: 0.0,
    })
}
