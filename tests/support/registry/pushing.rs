//! What a builder of this process sends: one request of the script for each image.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::script::{Fault, Seen};
use crate::support::images::{Image, Tree};

/// A way into a registry without HTTP, for a builder that is no subject of the test.
#[derive(Clone, Debug)]
pub struct Pushing {
    inner: Arc<Inner>,
}

impl Pushing {
    pub(super) fn to(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Pushes an image by digest, or says why that failed, as a builder would after its own retries.
    pub async fn push(&self, repository: &str, tree: &Tree) -> Result<(), String> {
        let digest = tree.index.digest();
        let (index, fault) = self.inner.script.enter(Seen {
            index: 0,
            host: self.inner.host.clone(),
            method: "PUT".to_owned(),
            path: format!("/v2/{repository}/manifests/{digest}"),
            query: String::new(),
            version: "builder".to_owned(),
            target: String::new(),
            authorization: String::new(),
            fault: None,
            status: 0,
        });
        // A tag is never written by a builder, so before and after make a difference only to the
        // blobs that lie there.
        let is_done = matches!(
            fault,
            None | Some(Fault::ResetAfter | Fault::HangAfter | Fault::AnswerAfter(_))
        );
        if is_done {
            self.put(repository, tree);
        }
        let Some(fault) = fault else {
            self.inner.script.answered(index, 201);
            return Ok(());
        };
        self.inner.script.fire();
        match fault {
            Fault::Slow(_, pause) => {
                tokio::time::sleep(pause).await;
                self.put(repository, tree);
                Ok(())
            }
            Fault::Hang | Fault::HangAfter => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err("i/o timeout".to_owned())
            }
            Fault::Answer(canned) | Fault::AnswerAfter(canned) => Err(format!(
                "unexpected status from PUT request to http://{}: {}",
                self.inner.host, canned.status
            )),
            _ => Err("connection reset by peer".to_owned()),
        }
    }

    fn put(&self, repository: &str, tree: &Tree) {
        let mut store = self.inner.store.lock().unwrap();
        let mut put = |image: &Image| {
            for blob in &image.blobs {
                store.put_blob(repository, blob.clone());
            }
            let manifest = &image.manifest;
            let digest = manifest.digest().to_string();
            let bytes = manifest.bytes().to_vec();
            store.put_manifest(repository, &digest, manifest.media_type(), bytes);
        };
        tree.images.iter().for_each(&mut put);
        put(&Image {
            manifest: tree.index.clone(),
            blobs: Vec::new(),
        });
    }
}
