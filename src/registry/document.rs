//! What an answer says of a manifest, and whether to believe it.

use serde::Deserialize;

use super::answer::Answer;
use crate::execute::ports::RegistryFault;
use crate::oci::{Descriptor, Digest, RawManifest, media_type};

/// The descriptor in the headers of an answer to HEAD, where it is complete.
pub(super) fn announced(answer: &Answer) -> Option<Descriptor> {
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
pub(super) fn verified(
    answer: &Answer,
    asked: Option<&Digest>,
) -> Result<RawManifest, RegistryFault> {
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
    use bytes::Bytes;
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
