use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Error, Move};
use crate::oci::{Digest, Platform, Reference, Repository};

/// The version of a record's form, `v` in it.
const VERSION: u32 = 1;

/// What came of a publish: what `castoff publish --format json` prints, and the record that is kept on
/// this machine and in the registries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The version of this form; fields may be added without a new one.
    pub v: u32,
    /// The compose project's name.
    pub project: String,
    /// The release's id: when it began, and four bytes that are its own.
    pub release: String,
    /// The command that made it: `publish`, `promote`, `rollback`.
    pub command: String,
    /// When it began.
    pub at: Timestamp,
    /// The commit that was published, where there is one.
    pub revision: Option<String>,
    /// The exit code.
    pub exit: u8,
    /// The images, a service each.
    pub images: Vec<ReleasedImage>,
    /// How each registry fared.
    pub registries: Vec<RegistryOutcome>,
    /// The tags that moved.
    pub moved: Vec<Move>,
    /// The tags that point neither where they did before nor where they should, or of which that is
    /// not known. Empty unless the exit code is 6, or that of a rollback is 7: new tags that could not be
    /// deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftTag>,
    /// The releases that this one took back, as a rollback does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undid: Vec<String>,
}

impl Release {
    /// A release of which nothing has happened yet.
    pub fn begun(project: &str, release: &str, command: &str, at: Timestamp) -> Self {
        Self {
            v: VERSION,
            project: project.to_owned(),
            release: release.to_owned(),
            command: command.to_owned(),
            at,
            revision: None,
            exit: 1,
            images: Vec::new(),
            registries: Vec::new(),
            moved: Vec::new(),
            left: Vec::new(),
            undid: Vec::new(),
        }
    }

    /// Reads a record, whether from a disk or from a registry.
    pub fn read(text: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Version { v } = serde_json::from_slice(text).map_err(RecordError::Malformed)?;
        if v > VERSION {
            return Err(RecordError::Newer(v));
        }
        serde_json::from_slice(text).map_err(RecordError::Malformed)
    }

    /// What orders releases from the oldest to the latest: when they began; ids alone tell seconds.
    pub fn age(&self) -> (Timestamp, String) {
        (self.at, self.release.clone())
    }

    /// Whether its images are live under its tags, at least where they must be.
    pub fn is_live(&self) -> bool {
        matches!(self.exit, 0 | 7)
    }
}

/// Why a text is no record of a release.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is not JSON of that form.
    #[error("not a record of a release: {0}")]
    Malformed(serde_json::Error),
    /// A later castoff wrote it.
    #[error("version {0} of the form of records, and this castoff knows {VERSION}")]
    Newer(u32),
}

impl RecordError {
    /// The same of a file.
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Newer(v) => Error::Newer { path, v },
            Self::Malformed(error) => Error::Files {
                doing: "read",
                path,
                source: error.into(),
            },
        }
    }
}

/// A tag of which a release that failed could not let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftTag {
    /// The tag.
    pub reference: Reference,
    /// Where it points as far as is known.
    pub at: Option<Digest>,
    /// Where it pointed before, `null` where it did not exist.
    pub wanted: Option<Digest>,
    /// What went wrong.
    pub error: String,
}

/// A service's image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleasedImage {
    /// The service.
    pub service: String,
    /// The digest: of the index where there are several platforms or attestations.
    pub digest: Digest,
    /// The whole version that it was published as, where there was one: a reused image says itself that of
    /// its first release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
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
    /// The manifests of an index, for who has just published it: the record does without them.
    #[serde(skip)]
    pub children: Vec<Digest>,
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
