//! What one machine of several has built of a release, kept in a file for the one that publishes it.
//!
//! The file is a [`Partial`] as JSON. It names images by their digests, and where they are; it holds no
//! login, no value of an argument and no hash of one alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AnnotationLevel;
use crate::oci::{Digest, Platform, Repository};

/// The version of the file's form.
const VERSION: u32 = 1;
/// How many services a file may have.
const MOST_SERVICES: usize = 10_000;
/// How many platforms, manifests and repositories each of them may have.
const MOST: usize = 256;
/// The longest name of a project, a service or a commit.
const LONGEST_NAME: usize = 256;

/// What `castoff build --partial FILE` writes, and `castoff publish --from FILE…` puts together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// The version of this form; fields may be added without a new one.
    pub v: u32,
    /// The version of castoff that wrote it.
    pub castoff: String,
    /// The compose project's name.
    pub project: String,
    /// When the build began.
    pub at: Timestamp,
    /// The commit that was built, where there is one.
    pub commit: Option<String>,
    /// Whether the working tree differed from the commit; `null` where that is not known.
    pub dirty: Option<bool>,
    /// What was built, a service each.
    pub services: Vec<PartialImage>,
}

/// What was made of one service: an image that is up by digest in all its repositories, and has no tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialImage {
    /// The service.
    pub service: String,
    /// The platforms that were asked for; the image can have more of them, where it was reused. Empty
    /// where the service names none.
    pub platforms: Vec<Platform>,
    /// All platforms that the service is published for.
    pub of: Vec<Platform>,
    /// The digest of the image: of the index, where there are several platforms or attestations.
    pub digest: Digest,
    /// What that digest is of.
    pub media_type: String,
    /// Its size in bytes as a registry holds it: all platforms, each layer counted once.
    pub size: u64,
    /// The manifest of each platform.
    pub manifests: Vec<PartialManifest>,
    /// The attestations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<PartialAttestation>,
    /// The repositories that hold it.
    pub repositories: Vec<Repository>,
    /// The repositories that are not required and could not be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Repository>,
    /// The digest of everything that decides what is built, for all platforms (the image's label
    /// `dev.castoff.inputs`); `null` where it cannot be known.
    pub inputs: Option<Digest>,
    /// The same without the images that it is built from: what the working tree and this run's
    /// arguments decide. `null` where the files changed while it was built.
    pub contents: Option<Digest>,
    /// Whether the image was there already.
    pub reused: bool,
    /// Its labels, those that castoff computes and the user's own.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, by the part of the image they are meant for: those of the index are written
    /// where the image is put together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<AnnotationLevel, BTreeMap<String, String>>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The image of one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialManifest {
    /// The platform; `null` where a lone manifest does not say.
    pub platform: Option<Platform>,
    /// Its digest.
    pub digest: Digest,
    /// The size of the manifest itself, in bytes.
    pub size: u64,
}

/// An attestation manifest of BuildKit's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialAttestation {
    /// The manifest that it is about.
    pub of: Option<Digest>,
    /// Its digest.
    pub digest: Digest,
    /// The size of the manifest itself, in bytes.
    pub size: u64,
}

impl Partial {
    /// The largest file that is read, in bytes: a thousand services take about two megabytes.
    pub const LARGEST: u64 = 16 * 1024 * 1024;

    /// What castoff of this version has built.
    pub fn new(
        project: &str,
        at: Timestamp,
        commit: Option<String>,
        dirty: Option<bool>,
        services: Vec<PartialImage>,
    ) -> Self {
        Self {
            v: VERSION,
            castoff: env!("CARGO_PKG_VERSION").to_owned(),
            project: project.to_owned(),
            at,
            commit,
            dirty,
            services,
        }
    }

    /// Reads a file. Whether what it says is so, only the registries know.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let wrong = |error: serde_json::Error| {
            format!("it is not what `castoff build --partial` writes: {error}")
        };
        let Version { v } = serde_json::from_slice(text).map_err(wrong)?;
        if v != VERSION {
            return Err(format!(
                "its form has version {v}, and this castoff knows {VERSION}"
            ));
        }
        let partial: Self = serde_json::from_slice(text).map_err(wrong)?;
        match partial.oddity() {
            Some(odd) => Err(format!(
                "it is not what `castoff build --partial` writes: {odd}"
            )),
            None => Ok(partial),
        }
    }

    /// What no castoff writes.
    fn oddity(&self) -> Option<String> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= LONGEST_NAME
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let mut names = vec![&self.project];
        names.extend(&self.commit);
        names.extend(self.services.iter().map(|image| &image.service));
        if !names.into_iter().all(|name| is_name(name)) {
            return Some("a name in it is none".to_owned());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self
            .services
            .iter()
            .find(|image| !seen.insert(&image.service))
        {
            return Some(format!("it has service `{}` twice", twice.service));
        }
        let is_long = |image: &PartialImage| {
            let lengths = [
                image.platforms.len(),
                image.of.len(),
                image.manifests.len(),
                image.attestations.len(),
                image.repositories.len(),
                image.missing.len(),
            ];
            lengths.into_iter().any(|length| length > MOST)
        };
        let is_long = self.services.len() > MOST_SERVICES || self.services.iter().any(is_long);
        is_long.then(|| "a list in it is too long".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial() -> Partial {
        let digest = Digest::of(b"image");
        let image = PartialImage {
            service: "api".to_owned(),
            platforms: vec!["linux/arm64".parse().unwrap()],
            of: vec![
                "linux/amd64".parse().unwrap(),
                "linux/arm64".parse().unwrap(),
            ],
            digest: digest.clone(),
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            size: 1000,
            manifests: vec![PartialManifest {
                platform: Some("linux/arm64".parse().unwrap()),
                digest: Digest::of(b"manifest"),
                size: 100,
            }],
            attestations: vec![PartialAttestation {
                of: Some(Digest::of(b"manifest")),
                digest: Digest::of(b"attestation"),
                size: 50,
            }],
            repositories: vec!["example.com/api".parse().unwrap()],
            missing: Vec::new(),
            inputs: Some(Digest::of(b"inputs")),
            contents: Some(Digest::of(b"contents")),
            reused: false,
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            annotations: BTreeMap::from([(AnnotationLevel::Index, BTreeMap::new())]),
            seconds: 1.5,
        };
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        Partial::new("shop", at, Some("abc".to_owned()), Some(false), vec![image])
    }

    #[test]
    fn what_is_written_is_read() {
        let text = serde_json::to_vec(&partial()).unwrap();
        assert_eq!(Partial::read(&text).unwrap(), partial());
    }

    #[test]
    fn a_later_form_is_named_before_anything_else_of_it_is_read() {
        let error = Partial::read(br#"{"v": 2, "other": []}"#).unwrap_err();
        assert_eq!(error, "its form has version 2, and this castoff knows 1");
    }

    #[test]
    fn what_no_castoff_writes_is_refused() {
        let refused = |change: &dyn Fn(&mut Partial)| {
            let mut partial = partial();
            change(&mut partial);
            Partial::read(&serde_json::to_vec(&partial).unwrap()).unwrap_err()
        };
        assert!(refused(&|it| it.project = "a\u{1b}[31m".to_owned()).contains("a name"));
        assert!(refused(&|it| it.commit = Some("x".repeat(300))).contains("a name"));
        assert!(refused(&|it| it.services.push(it.services[0].clone())).contains("twice"));
        let many = vec![Platform::from_parts("linux", "amd64", "", ""); MOST + 1];
        assert!(refused(&|it| it.services[0].of.clone_from(&many)).contains("too long"));
        for text in ["", "[]", "{}", r#"{"v": 1}"#, "\u{0}"] {
            assert!(Partial::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_cut_is_refused() {
        let text = serde_json::to_vec(&partial()).unwrap();
        for length in 0..text.len() {
            assert!(Partial::read(&text[..length]).is_err(), "{length}");
        }
    }
}
