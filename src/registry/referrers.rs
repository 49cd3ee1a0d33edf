//! Who refers to a manifest: signatures, attestations, records (distribution-spec, "Listing
//! Referrers", "Referrers Tag Schema").

use std::sync::atomic::Ordering;

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::call::Call;
use super::host::Host;
use super::list::Pages;
use super::manifests::{HAS_REFERRERS, NO_REFERRERS};
use super::scope::Scopes;
use crate::cx::Cx;
use crate::execute::ports::{RegistryError, RegistryFault};
use crate::oci::{
    Descriptor, Digest, Index, Parsed, RawManifest, Reference, Repository, Tag, media_type,
};

/// How many referrers one manifest may have.
const REFERRERS: usize = 100_000;

impl Host {
    /// The manifests whose subject is `digest`.
    pub(super) async fn referrers_of(
        &self,
        cx: &Cx,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        if self.referrers.load(Ordering::Relaxed) != NO_REFERRERS
            && let Some(found) = self.ask_referrers(cx, repository, digest).await?
        {
            return Ok(found);
        }
        let fallback = self.fallback_index(cx, repository, digest).await?;
        Ok(fallback.map(|index| index.manifests).unwrap_or_default())
    }

    /// Asks the referrers API, `None` where there is none.
    async fn ask_referrers(
        &self,
        cx: &Cx,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let path = repository.path();
        let doing = format!("list referrers of {repository}@{digest}");
        let call = Call::new(
            Method::GET,
            format!("{path}/referrers/{digest}"),
            Scopes::pull(path),
        )
        .accepting(&[media_type::OCI_INDEX]);
        let mut pages = Pages::new(self, cx, doing, call);
        let mut found = Vec::new();
        // 404 says that there is no such API; registries that predate it also say 400 or 405.
        while let Some(answer) = pages.next(&[200, 400, 404, 405, 501]).await? {
            let is_index = answer.media_type() == media_type::OCI_INDEX;
            if answer.status.as_u16() != 200 || !is_index {
                // A registry that has the API is no less of one for a page that it cannot give.
                if !found.is_empty() || self.referrers.load(Ordering::Relaxed) == HAS_REFERRERS {
                    return Err(pages.error(format!("answered {}", answer.status.as_u16())));
                }
                if answer.status.as_u16() == 404 {
                    self.referrers.store(NO_REFERRERS, Ordering::Relaxed);
                }
                return Ok(None);
            }
            let index: Index = serde_json::from_slice(&answer.body)
                .map_err(|_| pages.error("a list that is no index".to_owned()))?;
            self.referrers.store(HAS_REFERRERS, Ordering::Relaxed);
            found.extend(index.manifests);
            if found.len() > REFERRERS {
                return Err(pages.error(format!("more than {REFERRERS} referrers")));
            }
        }
        Ok(Some(found))
    }

    /// The index under the fallback tag, `None` where there is none. What else may stand under
    /// that tag is nobody's list of referrers.
    async fn fallback_index(
        &self,
        cx: &Cx,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Index>, RegistryError> {
        let Some(reference) = fallback_tag(repository, digest) else {
            return Ok(None);
        };
        let manifest = self.get_manifest(cx, &reference).await?;
        Ok(match manifest.map(|manifest| manifest.parse()) {
            Some(Ok(Parsed::Index(index))) => Some(*index),
            _ => None,
        })
    }

    /// Enters a manifest that was written into the list of its subject, where the registry did not
    /// do so itself. Two writers at the same time can lose one another's entry: the specification
    /// knows no way around that.
    pub(super) async fn note_subject(
        &self,
        cx: &Cx,
        repository: &Repository,
        manifest: &RawManifest,
    ) -> Result<(), RegistryError> {
        let Some(noted) = Noted::of(manifest) else {
            return Ok(());
        };
        let subject = &noted.subject.digest;
        // A registry with the API that said nothing of the subject has noted it all the same.
        if self.referrers.load(Ordering::Relaxed) == HAS_REFERRERS {
            return Ok(());
        }
        if self.referrers.load(Ordering::Relaxed) != NO_REFERRERS
            && self.ask_referrers(cx, repository, subject).await?.is_some()
        {
            return Ok(());
        }
        let Some(reference) = fallback_tag(repository, subject) else {
            return Ok(());
        };
        let present = self.get_manifest(cx, &reference).await?;
        let index = extended(present.as_ref(), &noted.descriptor(manifest));
        let index = index.map_err(|message| {
            let doing = format!("enter a referrer under {reference}");
            let message = message.to_owned();
            self.tries(cx, doing)
                .give_up(RegistryFault::Protocol { message })
        })?;
        if let Some(index) = index {
            self.put_manifest(cx, &reference, &index).await?;
        }
        Ok(())
    }
}

/// What of a manifest its subject's list repeats.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Noted {
    subject: Descriptor,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Noted {
    /// `None` where the manifest has no subject.
    fn of(manifest: &RawManifest) -> Option<Self> {
        serde_json::from_slice(manifest.bytes()).ok()
    }

    fn descriptor(self, manifest: &RawManifest) -> Descriptor {
        let artifact_type = self.artifact_type.filter(|kind| !kind.is_empty());
        Descriptor {
            artifact_type: artifact_type.or(self.config.map(|config| config.media_type)),
            annotations: self.annotations,
            ..manifest.descriptor()
        }
    }
}

/// The list with one entry more, `None` where it has it already.
fn extended(
    present: Option<&RawManifest>,
    entry: &Descriptor,
) -> Result<Option<RawManifest>, &'static str> {
    // As JSON and not as our own types, so that what others put there stays.
    let mut document = match present {
        None => json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] }),
        Some(manifest) if manifest.media_type() == media_type::OCI_INDEX => {
            serde_json::from_slice(manifest.bytes()).map_err(|_| "what is there is no index")?
        }
        Some(_) => return Err("what is there is no list of referrers"),
    };
    let manifests = document
        .get_mut("manifests")
        .and_then(serde_json::Value::as_array_mut)
        .ok_or("what is there is no list of referrers")?;
    let digest = entry.digest.as_str();
    if manifests.iter().any(|held| held["digest"] == digest) {
        return Ok(None);
    }
    let entry = serde_json::to_value(entry).map_err(|_| "an entry that cannot be written")?;
    manifests.push(entry);
    let bytes = serde_json::to_vec(&document).map_err(|_| "a list that cannot be written")?;
    Ok(Some(RawManifest::new(media_type::OCI_INDEX, bytes)))
}

/// The tag under which a registry without the API keeps the list: `sha256-<hex>`, the algorithm cut
/// to 32 characters and the value to 64.
fn fallback_tag(repository: &Repository, digest: &Digest) -> Option<Reference> {
    let (algorithm, hex) = (digest.algorithm(), digest.hex());
    let algorithm = algorithm.get(..32).unwrap_or(algorithm);
    let hex = hex.get(..64).unwrap_or(hex);
    let tag: Tag = format!("{algorithm}-{hex}").parse().ok()?;
    Some(repository.with_tag(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(json: &str) -> RawManifest {
        RawManifest::new(media_type::OCI_MANIFEST, json.as_bytes().to_vec())
    }

    #[test]
    fn entries_carry_type_and_annotations_and_come_once() {
        let digest = Digest::of(b"subject");
        let manifest = artifact(&format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/x-config","digest":"{digest}","size":2}},
                "subject":{{"mediaType":"m","digest":"{digest}","size":1}},"annotations":{{"a":"b"}}}}"#
        ));
        let entry = Noted::of(&manifest).unwrap().descriptor(&manifest);
        assert_eq!(entry.artifact_type.as_deref(), Some("application/x-config"));
        assert_eq!(entry.annotations["a"], "b");
        let first = extended(None, &entry).unwrap().unwrap();
        assert_eq!(extended(Some(&first), &entry).unwrap(), None);
        let other = Descriptor {
            digest: Digest::of(b"other"),
            ..entry
        };
        let second = extended(Some(&first), &other).unwrap().unwrap();
        let Parsed::Index(index) = second.parse().unwrap() else {
            panic!("no index");
        };
        assert_eq!(index.manifests.len(), 2);
        assert!(extended(Some(&manifest), &other).is_err());
        assert!(Noted::of(&artifact(r#"{"schemaVersion":2}"#)).is_none());
    }

    #[test]
    fn fallback_tags_fit_into_a_tag() {
        let repository: Repository = "h.example/a".parse().unwrap();
        let digest = Digest::of(b"x");
        let tag = fallback_tag(&repository, &digest).unwrap();
        assert_eq!(tag.selector(), digest.to_string().replace(':', "-"));
        let long: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
        let tag = fallback_tag(&repository, &long).unwrap();
        assert_eq!(tag.selector().len(), "sha512-".len() + 64);
    }
}
