//! What a registry holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use castoff::oci::Digest;
use serde_json::Value;

/// Repositories, blobs and uploads of one registry.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub repositories: BTreeMap<String, Stored>,
    blobs: HashMap<String, Vec<u8>>,
    pub uploads: HashMap<String, Vec<u8>>,
    next_upload: u64,
}

/// One repository.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Media type and bytes by digest.
    pub manifests: BTreeMap<String, (String, Vec<u8>)>,
    pub tags: BTreeMap<String, String>,
    pub blobs: BTreeSet<String>,
}

impl Store {
    pub fn blob(&self, repository: &str, digest: &str) -> Option<&Vec<u8>> {
        let stored = self.repositories.get(repository)?;
        stored
            .blobs
            .contains(digest)
            .then(|| self.blobs.get(digest))?
    }

    pub fn put_blob(&mut self, repository: &str, bytes: Vec<u8>) -> String {
        let digest = Digest::of(&bytes).to_string();
        self.blobs.insert(digest.clone(), bytes);
        let stored = self.repositories.entry(repository.to_owned()).or_default();
        stored.blobs.insert(digest.clone());
        digest
    }

    /// Mounts a blob that `from` has.
    pub fn mount(&mut self, repository: &str, from: &str, digest: &str) -> bool {
        if self.blob(from, digest).is_none() {
            return false;
        }
        let stored = self.repositories.entry(repository.to_owned()).or_default();
        stored.blobs.insert(digest.to_owned());
        true
    }

    pub fn begin_upload(&mut self) -> String {
        self.next_upload += 1;
        let id = format!("u{}", self.next_upload);
        self.uploads.insert(id.clone(), Vec::new());
        id
    }

    /// The digest that a tag or digest stands for, where there is such a manifest.
    pub fn find(&self, repository: &str, selector: &str) -> Option<(String, &(String, Vec<u8>))> {
        let stored = self.repositories.get(repository)?;
        let digest = stored.tags.get(selector).map_or(selector, String::as_str);
        Some((digest.to_owned(), stored.manifests.get(digest)?))
    }

    pub fn put_manifest(
        &mut self,
        repository: &str,
        selector: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> String {
        let digest = Digest::of(&bytes).to_string();
        let stored = self.repositories.entry(repository.to_owned()).or_default();
        stored
            .manifests
            .insert(digest.clone(), (media_type.to_owned(), bytes));
        if !selector.contains(':') {
            stored.tags.insert(selector.to_owned(), digest.clone());
        }
        digest
    }

    /// The first thing that a manifest refers to and the repository lacks.
    pub fn missing(&self, repository: &str, manifest: &Value) -> Option<String> {
        let digest = |descriptor: &Value| descriptor["digest"].as_str().map(str::to_owned);
        let list = |name: &str| manifest[name].as_array().cloned().unwrap_or_default();
        let children = list("manifests");
        let child = children
            .iter()
            .filter_map(digest)
            .find(|digest| self.find(repository, digest).is_none());
        let mut blobs = list("layers");
        blobs.push(manifest["config"].clone());
        let blob = blobs
            .iter()
            .filter_map(digest)
            .find(|digest| self.blob(repository, digest).is_none());
        child.or(blob)
    }

    /// Descriptors of the manifests whose subject is `digest`.
    pub fn referrers(&self, repository: &str, digest: &str) -> Vec<Value> {
        let Some(stored) = self.repositories.get(repository) else {
            return Vec::new();
        };
        let manifests = stored.manifests.iter();
        manifests
            .filter_map(|(own, (media_type, bytes))| {
                let manifest: Value = serde_json::from_slice(bytes).ok()?;
                (manifest["subject"]["digest"] == digest).then(|| {
                    serde_json::json!({
                        "mediaType": media_type, "digest": own, "size": bytes.len(),
                        "artifactType": manifest["artifactType"], "annotations": manifest["annotations"],
                    })
                })
            })
            .collect()
    }
}
