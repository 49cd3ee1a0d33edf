//! What a builder answers when a build is over.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard_buildkit_proto::moby::buildkit::v1::SolveResponse;

use super::session::Sent;
use super::status::Watch;
use crate::execute::ports::{BuildOrder, BuilderError, Built, Output};
use crate::oci::{Descriptor, Digest};

/// The digest in an answer (BuildKit, exporter/containerimage/exptypes).
fn digest(answer: &SolveResponse) -> Option<Digest> {
    let digest = answer.exporter_response.get("containerimage.digest")?;
    digest.parse().ok()
}

/// Whether an image should have been written to several places, and was to none.
pub(super) fn is_unwritten(answer: &SolveResponse, order: &BuildOrder) -> bool {
    order.outputs.len() > 1
        && order.outputs.iter().any(Output::is_image)
        && digest(answer).is_none()
}

/// What the builder answered.
pub(super) fn built(
    answer: SolveResponse,
    order: &BuildOrder,
    watch: &Watch,
    sent: &Sent,
    builder: &str,
) -> Result<Built, BuilderError> {
    let digest = digest(&answer);
    if is_unwritten(&answer, order) {
        return Err(BuilderError::Unsupported {
            builder: builder.to_owned(),
            what: "write an image to several places in one build, such as registries with and without TLS".to_owned(),
            hint: "that takes BuildKit 0.13 or later, which is in Docker Engine 26".to_owned(),
        });
    }
    let answer: BTreeMap<String, String> = answer.exporter_response.into_iter().collect();
    if digest.is_none() && order.outputs.iter().any(Output::is_image) {
        return Err(BuilderError::Lost {
            message: "the builder answered without the image's digest".to_owned(),
        });
    }
    let descriptor = answer
        .get("containerimage.descriptor")
        .and_then(|text| BASE64_STANDARD.decode(text).ok())
        .and_then(|bytes| serde_json::from_slice::<Descriptor>(&bytes).ok())
        .filter(|descriptor| Some(&descriptor.digest) == digest.as_ref());
    let (steps, cached) = watch.counts();
    Ok(Built {
        digest,
        descriptor,
        steps,
        cached,
        files_sent: sent.files.load(Ordering::Relaxed),
        bytes_sent: sent.bytes.load(Ordering::Relaxed),
        answer,
    })
}
