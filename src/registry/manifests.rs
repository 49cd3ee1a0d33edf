use std::sync::atomic::Ordering;

use bytes::Bytes;
use reqwest::Method;

use super::answer::Answer;
use super::call::Call;
use super::document::{announced, verified};
use super::host::Host;
use super::scope::Scopes;
use crate::cx::Cx;
use crate::execute::ports::{RegistryError, RegistryFault};
use crate::oci::{Descriptor, Digest, RawManifest, Reference, media_type};

/// How large a manifest may be. The specification asks for 4 MiB at least; registries enforce
/// about that.
pub(super) const MANIFEST: usize = 8 * 1024 * 1024;

/// Whether a registry has a referrers API, as [`Host::referrers`] keeps it.
pub(super) const HAS_REFERRERS: u8 = 1;
/// See [`HAS_REFERRERS`].
pub(super) const NO_REFERRERS: u8 = 2;

impl Host {
    /// What a reference points to, by HEAD, or by GET where HEAD does not tell enough.
    pub(super) async fn head_manifest(
        &self,
        cx: &Cx,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let doing = format!("resolve {reference}");
        let call = manifest_call(Method::HEAD, reference);
        // 405 and 501: registries and proxies that know GET alone.
        let answer = self
            .persist(cx, &doing, &call, &[200, 404, 405, 501])
            .await?;
        let descriptor = match answer.status.as_u16() {
            404 => return Ok(None),
            200 => announced(&answer),
            _ => None,
        };
        if let Some(descriptor) = descriptor {
            if let Some(asked) = reference.digest()
                && asked.algorithm() == descriptor.digest.algorithm()
                && *asked != descriptor.digest
            {
                return Err(self.tries(cx, doing).give_up(RegistryFault::Corrupt {
                    expected: asked.clone(),
                    found: descriptor.digest.to_string(),
                }));
            }
            return Ok(Some(descriptor));
        }
        let manifest = self.get_manifest(cx, reference).await?;
        Ok(manifest.map(|manifest| manifest.descriptor()))
    }

    /// A manifest's bytes, verified.
    pub(super) async fn get_manifest(
        &self,
        cx: &Cx,
        reference: &Reference,
    ) -> Result<Option<RawManifest>, RegistryError> {
        let call = manifest_call(Method::GET, reference).at_most(MANIFEST);
        let mut tries = self.tries(cx, format!("read manifest {reference}"));
        loop {
            let answer = match self.ask(&call, &[200, 404]).await {
                Ok(answer) => answer,
                Err(fault) => {
                    tries.after(fault).await?;
                    continue;
                }
            };
            if answer.status.as_u16() == 404 {
                return Ok(None);
            }
            let manifest = verified(&answer, reference.digest());
            return manifest.map(Some).map_err(|fault| tries.give_up(fault));
        }
    }

    /// Writes a manifest under the digest or else the tag of `reference`. Answers whether the
    /// registry took note of its subject.
    pub(super) async fn put_manifest(
        &self,
        cx: &Cx,
        reference: &Reference,
        manifest: &RawManifest,
    ) -> Result<bool, RegistryError> {
        let digest = reference.digest().unwrap_or(manifest.digest());
        let doing = match reference.digest() {
            Some(_) => format!("write manifest {reference}"),
            None => format!("move tag {reference}"),
        };
        let path = reference.repository().path();
        let body = Bytes::copy_from_slice(manifest.bytes());
        let call = Call::new(
            Method::PUT,
            format!("{path}/manifests/{}", reference.selector()),
            Scopes::push(path),
        )
        .with_body(manifest.media_type(), body);
        let mut tries = self.tries(cx, doing);
        loop {
            let fault = match self.ask(&call, &[200, 201, 202, 204]).await {
                Ok(answer) => {
                    return self
                        .written(&answer, digest)
                        .map_err(|fault| tries.give_up(fault));
                }
                Err(fault) => fault,
            };
            let is_ambiguous = fault.is_ambiguous();
            tries.after(immutable(fault)).await?;
            // What may have been done is looked at before it is done again: in between, somebody
            // else may have moved the tag on.
            if is_ambiguous && self.points_to(reference, digest).await {
                return Ok(false);
            }
        }
    }

    /// Checks the answer to a PUT.
    fn written(&self, answer: &Answer, digest: &Digest) -> Result<bool, RegistryFault> {
        if let Some(found) = answer.digest()
            && found.algorithm() == digest.algorithm()
            && found != *digest
        {
            return Err(RegistryFault::Corrupt {
                expected: digest.clone(),
                found: found.to_string(),
            });
        }
        let takes_note = answer.header("oci-subject").is_some();
        if takes_note {
            self.referrers.store(HAS_REFERRERS, Ordering::Relaxed);
        }
        Ok(takes_note)
    }

    /// Whether a reference certainly points to `digest` now.
    async fn points_to(&self, reference: &Reference, digest: &Digest) -> bool {
        let call = manifest_call(Method::HEAD, reference);
        let answer = self.ask(&call, &[200]).await;
        answer.is_ok_and(|answer| answer.digest().as_ref() == Some(digest))
    }

    /// Deletes a tag or a manifest; `false` where it was not there.
    pub(super) async fn delete_manifest(
        &self,
        cx: &Cx,
        reference: &Reference,
    ) -> Result<bool, RegistryError> {
        let path = reference.repository().path();
        let call = Call::new(
            Method::DELETE,
            format!("{path}/manifests/{}", reference.selector()),
            Scopes::delete(path),
        );
        let mut tries = self.tries(cx, format!("delete {reference}"));
        let mut may_be_gone = false;
        loop {
            let fault = match self.ask(&call, &[200, 202, 204, 404]).await {
                // Gone, if not by this attempt then by the one whose answer was lost.
                Ok(answer) => return Ok(answer.status.as_u16() != 404 || may_be_gone),
                Err(fault) => fault,
            };
            may_be_gone |= fault.is_ambiguous();
            let fault = immutable(by_digest_only(fault, reference));
            tries.after(fault).await?;
        }
    }
}

fn manifest_call(method: Method, reference: &Reference) -> Call {
    let path = reference.repository().path();
    let selector = reference.selector();
    Call::new(
        method,
        format!("{path}/manifests/{selector}"),
        Scopes::pull(path),
    )
    .accepting(&media_type::MANIFESTS)
}

/// Makes of a refusal what it is, where it says that a tag is immutable. Every registry has a status and a
/// code of its own for that, and none a code that means only that:
///
/// - Amazon ECR: 400 `TAG_INVALID`, "The image tag '1' already exists in the 'a' repository and cannot be
///   overwritten because the tag is immutable."
///   (<https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>)
/// - Harbor: 412 `PRECONDITION`, "Failed to process request due to 'a:1' configured as immutable."
///   (goharbor/harbor, `src/server/middleware/immutable`)
/// - Google Artifact Registry: "... the repository has enabled tag immutability"
///   (<https://cloud.google.com/artifact-registry/docs/repositories/update-repo-settings>)
/// - Alibaba Container Registry: "The requested tag already exists and cannot be overwritten."
///   (<https://help.aliyun.com/en/acr/user-guide/turn-on-immutable-image-version>)
/// - Mirantis Secure Registry: "tag=1 cannot be overwritten because h/a is an immutable repository"
///   (<https://docs.mirantis.com/msr/2.9/ops/manage-images/prevent-tags-from-being-overwritten.html>)
fn immutable(fault: RegistryFault) -> RegistryFault {
    const SAID: [&str; 4] = [
        "is immutable",
        "as immutable",
        "tag immutability",
        "cannot be overwritten",
    ];
    let (RegistryFault::Denied { message, .. }
    | RegistryFault::NotAllowed { message, .. }
    | RegistryFault::Refused {
        status: 400..500,
        message,
        ..
    }) = &fault
    else {
        return fault;
    };
    let said = message.to_ascii_lowercase();
    if SAID.iter().any(|words| said.contains(words)) {
        let message = message.clone();
        return RegistryFault::Immutable { message };
    }
    fault
}

/// distribution's registry:2 takes a tag for a malformed digest: it deletes by digest only.
fn by_digest_only(fault: RegistryFault, reference: &Reference) -> RegistryFault {
    match fault {
        RegistryFault::Refused { status, code, .. }
            if reference.digest().is_none()
                && matches!(code.as_str(), "DIGEST_INVALID" | "TAG_INVALID") =>
        {
            RegistryFault::NotAllowed {
                status,
                message: "it deletes by digest only".to_owned(),
            }
        }
        other => other,
    }
}
