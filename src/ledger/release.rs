use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Move;
use crate::oci::{Digest, Platform, Reference, Repository};

/// What came of a publish: what `castoff publish --format json` prints, and the record that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The compose project's name.
    pub project: String,
    /// The release's id: when it began, and four bytes that are its own.
    pub release: String,
    /// The exit code.
    pub exit: u8,
    /// The images, a service each.
    pub images: Vec<ReleasedImage>,
    /// How each registry fared.
    pub registries: Vec<RegistryOutcome>,
    /// The tags that moved.
    pub moved: Vec<Move>,
}

/// A service's image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleasedImage {
    /// The service.
    pub service: String,
    /// The digest: of the index where there are several platforms or attestations.
    pub digest: Digest,
    /// Whether it was taken as it was, without a build.
    pub reused: bool,
    /// The repositories that hold it.
    pub repositories: Vec<Repository>,
    /// The full references that point to it.
    pub tags: Vec<Reference>,
    /// The platforms.
    pub platforms: Vec<Platform>,
    /// The labels that castoff set.
    pub labels: BTreeMap<String, String>,
    /// The annotations that castoff set.
    pub annotations: BTreeMap<String, String>,
    /// The kinds of attestation: `provenance`, `sbom`.
    pub attestations: Vec<String>,
    /// Whether it was signed.
    pub signed: bool,
    /// Its size in bytes as a registry holds it: all platforms, each layer counted once.
    pub size: u64,
    /// How long its build took, in seconds.
    pub seconds: f64,
}

/// How a registry fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryOutcome {
    /// Its name in publish.toml, else its address.
    pub name: String,
    /// How it fared.
    pub outcome: RegistryState,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a registry fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistryState {
    /// Everything is there, and its tags point where they should.
    Complete,
    /// Something failed there.
    Failed,
    /// Nothing was tried there, or what was tried was taken back.
    Skipped,
}
