use std::sync::atomic::Ordering;

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;

use super::answer::Answer;
use super::host::{Call, Host};
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
            tries.after(fault).await?;
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
            let fault = by_digest_only(fault, reference);
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

/// The descriptor in the headers of an answer to HEAD, where it is complete.
fn announced(answer: &Answer) -> Option<Descriptor> {
    let media_type = answer.media_type();
    let is_known = media_type::MANIFESTS.contains(&media_type);
    let size = answer.header("content-length")?.trim().parse().ok()?;
    is_known.then_some(())?;
    Some(Descriptor {
        media_type: media_type.to_owned(),
        digest: answer.digest()?,
        size,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
        artifact_type: None,
    })
}

/// The fields by which a document says what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
}

/// A manifest out of an answer: its digest is the one asked for, else the one announced, and what
/// it says it is agrees with what the registry says it is (distribution-spec, "Pulling manifests";
/// an image that could be read as an index too is CVE-2021-41190).
fn verified(answer: &Answer, asked: Option<&Digest>) -> Result<RawManifest, RegistryFault> {
    let bytes = answer.body.to_vec();
    let announced = answer.digest();
    if let Some(expected) = asked.or(announced.as_ref())
        && !expected.verifies(&bytes)
    {
        return Err(RegistryFault::Corrupt {
            expected: expected.clone(),
            found: Digest::of(&bytes).to_string(),
        });
    }
    let protocol = |message: &str| RegistryFault::Protocol {
        message: message.to_owned(),
    };
    let shape: Shape =
        serde_json::from_slice(&bytes).map_err(|_| protocol("a manifest that is no JSON"))?;
    if shape.schema_version == 1 {
        return Err(protocol("a manifest of the retired schema 1"));
    }
    let sent = answer.media_type();
    let is_index = shape.manifests.is_some();
    if is_index && (shape.layers.is_some() || shape.config.is_some()) {
        return Err(protocol("a manifest that is an image and an index at once"));
    }
    let written = shape.media_type.as_deref();
    let known = |name: &str| {
        media_type::MANIFESTS
            .into_iter()
            .find(|known| *known == name)
    };
    let media_type = match (known(sent), written.map(known)) {
        (Some(sent), None) => sent,
        (Some(sent), Some(Some(written))) if sent == written => sent,
        (Some(_), Some(_)) => {
            return Err(protocol("a manifest of another media type than announced"));
        }
        // Servers that are no registries send `application/json` or `text/plain`.
        (None, Some(Some(written))) => written,
        (None, None) if is_index => media_type::OCI_INDEX,
        (None, None) if shape.layers.is_some() => media_type::OCI_MANIFEST,
        _ => return Err(protocol("a document that is neither image nor index")),
    };
    let is_index_type = matches!(media_type, media_type::OCI_INDEX | media_type::DOCKER_LIST);
    if is_index_type != is_index && (is_index || shape.config.is_some()) {
        return Err(protocol("a manifest of another kind than its media type"));
    }
    Ok(RawManifest::new(media_type, bytes))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};
    use url::Url;

    use super::super::answer::Asker;
    use super::*;

    const IMAGE: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;

    fn read(kind: &str, body: &str, digest: Option<&str>) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_str(kind).unwrap());
        if let Some(digest) = digest {
            headers.insert(
                "docker-content-digest",
                HeaderValue::from_str(digest).unwrap(),
            );
        }
        let answer = Answer {
            status: StatusCode::OK,
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            url: Url::parse("http://h/").unwrap(),
            asker: Asker::Nobody,
        };
        verified(&answer, None)
            .map(|manifest| manifest.media_type().to_owned())
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn media_types_come_from_the_header_the_document_or_its_shape() {
        let oci = media_type::OCI_MANIFEST;
        assert_eq!(read(oci, IMAGE, None).as_deref(), Ok(oci));
        assert_eq!(
            read(&format!("{oci}; charset=utf-8"), IMAGE, None).as_deref(),
            Ok(oci)
        );
        assert_eq!(read("text/plain", IMAGE, None).as_deref(), Ok(oci));
        let docker = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
            media_type::DOCKER_LIST
        );
        assert_eq!(
            read("application/json", &docker, None).as_deref(),
            Ok(media_type::DOCKER_LIST)
        );
    }

    #[test]
    fn documents_that_could_be_two_things_are_refused() {
        let oci = media_type::OCI_MANIFEST;
        for (kind, body) in [
            (oci, r#"{"schemaVersion":2,"manifests":[]}"#),
            (media_type::OCI_INDEX, IMAGE),
            (
                oci,
                r#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#,
            ),
            (
                oci,
                r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{},"layers":[]}"#,
            ),
            (oci, r#"{"schemaVersion":1}"#),
            ("text/html", "<html>"),
            ("application/json", "{}"),
        ] {
            assert!(read(kind, body, None).is_err(), "{kind} {body}");
        }
    }

    #[test]
    fn an_announced_digest_must_be_right() {
        let right = Digest::of(IMAGE.as_bytes()).to_string();
        let wrong = Digest::of(b"").to_string();
        assert!(read(media_type::OCI_MANIFEST, IMAGE, Some(&right)).is_ok());
        let error = read(media_type::OCI_MANIFEST, IMAGE, Some(&wrong)).unwrap_err();
        assert_eq!(
            error,
            format!("content of {wrong} has another digest: {right}")
        );
    }
}
