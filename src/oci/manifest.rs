use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Platform};

/// Media types of manifests and configurations (OCI image spec, media-types.md; Docker image
/// manifest version 2, schema 2).
pub mod media_type {
    /// An OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// The empty JSON document that stands for "no configuration" (OCI image spec 1.1).
    pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's image manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

    /// Docker's image configuration, which is the OCI's by its content.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A layer (OCI image spec, layer.md); `+gzip` behind it where it is compressed.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// Docker's layer; `.gzip` behind it where it is compressed.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

    /// All that a request for a manifest accepts.
    pub const MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];
}

/// The annotation by which BuildKit marks an attestation manifest in an index.
pub const ATTESTATION_REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The annotation that names the manifest an attestation belongs to.
pub const ATTESTATION_REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// Reads `null` as nothing, for that is how Go writes lists and maps that are empty: BuildKit gives an
/// image without layers `"layers": null`.
fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A content descriptor (OCI image spec, descriptor.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// The platform, in the entries of an index.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "platform_object"
    )]
    pub platform: Option<Platform>,
    /// Annotations of this descriptor.
    #[serde(
        default,
        deserialize_with = "or_null",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The type of an artifact, where the manifest is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Whether this entry of an index is an attestation manifest of BuildKit's.
    pub fn is_attestation(&self) -> bool {
        self.annotations
            .get(ATTESTATION_REFERENCE_TYPE)
            .is_some_and(|kind| kind == "attestation-manifest")
    }

    /// The digest of the manifest that this attestation manifest is about, as it is written there.
    pub fn attested(&self) -> Option<&str> {
        self.annotations
            .get(ATTESTATION_REFERENCE_DIGEST)
            .map(String::as_str)
    }
}

/// An image index or Docker manifest list (OCI image spec, image-index.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests, one for each platform and attestation.
    #[serde(deserialize_with = "or_null")]
    pub manifests: Vec<Descriptor>,
    /// Annotations of the index.
    #[serde(
        default,
        deserialize_with = "or_null",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What this index refers to (OCI image spec 1.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
}

/// An image manifest (OCI image spec, manifest.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of an artifact, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "or_null")]
    pub layers: Vec<Descriptor>,
    /// Annotations of the manifest.
    #[serde(
        default,
        deserialize_with = "or_null",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What this manifest refers to (OCI image spec 1.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
}

/// A manifest's bytes exactly as a registry holds them, with what they are.
///
/// Invariant: `digest` is the digest of `bytes`. A manifest is never printed again from its parsed
/// form on its way to another registry, as that would change its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    media_type: String,
    bytes: Vec<u8>,
    digest: Digest,
}

/// A manifest in its parsed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An index or a manifest list.
    Index(Box<Index>),
    /// A manifest of one image or artifact.
    Manifest(Box<Manifest>),
}

/// Why bytes are no manifest that castoff can work with.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The document is not JSON of the expected shape.
    #[error("a manifest of type {media_type} is malformed")]
    Malformed {
        /// The media type that it claims.
        media_type: String,
        /// What the JSON reader found.
        #[source]
        source: serde_json::Error,
    },
    /// The media type is none of the four kinds of manifest.
    #[error("`{media_type}` is not an image manifest or index")]
    UnknownMediaType {
        /// The media type that it claims.
        media_type: String,
    },
}

impl RawManifest {
    /// Keeps `bytes` and computes their digest.
    pub fn new(media_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self {
            media_type: media_type.into(),
            bytes,
            digest,
        }
    }

    /// The media type, without parameters.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The bytes as they are.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// A descriptor of this manifest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
            artifact_type: None,
        }
    }

    /// Reads the document by its media type.
    pub fn parse(&self) -> Result<Parsed, ManifestError> {
        let malformed = |source| ManifestError::Malformed {
            media_type: self.media_type.clone(),
            source,
        };
        match self.media_type.as_str() {
            media_type::OCI_INDEX | media_type::DOCKER_LIST => serde_json::from_slice(&self.bytes)
                .map(|index| Parsed::Index(Box::new(index)))
                .map_err(malformed),
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => {
                serde_json::from_slice(&self.bytes)
                    .map(|manifest| Parsed::Manifest(Box::new(manifest)))
                    .map_err(malformed)
            }
            other => Err(ManifestError::UnknownMediaType {
                media_type: other.chars().take(120).collect(),
            }),
        }
    }
}

/// The `platform` object of a descriptor, which spells out what [`Platform`] writes in one word.
mod platform_object {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Platform;

    #[derive(Serialize, Deserialize)]
    struct Object {
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        os: String,
        #[serde(
            default,
            rename = "os.version",
            skip_serializing_if = "String::is_empty"
        )]
        os_version: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        variant: String,
    }

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(
        platform: &Option<Platform>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        platform
            .as_ref()
            .map(|platform| Object {
                architecture: platform.architecture().to_owned(),
                os: platform.os().to_owned(),
                os_version: platform.os_version().to_owned(),
                variant: platform.variant().to_owned(),
            })
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Platform>, D::Error> {
        let object = Option::<Object>::deserialize(deserializer)?;
        Ok(object.map(|object| {
            Platform::from_parts(
                &object.os,
                &object.architecture,
                &object.variant,
                &object.os_version,
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_go_writes_as_null_are_empty() {
        let manifest = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"annotations":null},"layers":null,"annotations":null}"#;
        let manifest: Manifest = serde_json::from_slice(manifest).unwrap();
        assert!(manifest.layers.is_empty());
        let index = br#"{"schemaVersion":2,"manifests":null}"#;
        let index: Index = serde_json::from_slice(index).unwrap();
        assert!(index.manifests.is_empty());
    }
}
