use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::oci::{Digest, Reference};
use crate::plan::retention::{Contents, Thing};

/// An image as an archive, while it comes.
pub type Archive = BoxStream<'static, io::Result<Bytes>>;

/// The Docker Engine, as the keeper of images, containers and volumes on this machine.
#[async_trait]
pub trait Engine: Send + Sync {
    /// What there is of a compose project, and which images containers of anybody's use.
    async fn contents(&self, project: &str) -> Result<Contents, EngineError>;

    /// Removes one thing, never by force. `false` where it is in use, or gone already.
    async fn remove(&self, thing: &Thing) -> Result<bool, EngineError>;

    /// Takes an image in, with the names that the archive gives it. Holds no more of it than what
    /// comes at a time.
    async fn load(&self, archive: Archive) -> Result<(), EngineError>;

    /// The digests of an image's layers before they are compressed, lowest first (OCI image spec,
    /// config.md, `rootfs.diff_ids`).
    async fn layers(&self, image: &Digest) -> Result<Vec<Digest>, EngineError>;

    /// Has the Engine give an image out: its configuration, byte for byte, and those of its layers that
    /// are asked for, as a registry takes them. The Engine sends all layers whatever is asked for, and
    /// writes them to a disk of its own before. Holds no more of them in memory than what comes at a
    /// time.
    async fn give_out(&self, image: &Digest, wanted: Wanted) -> Result<GivenOut, EngineError>;

    /// Takes a name from an image, and removes it where that was its last. `false` where nothing has the
    /// name, or the image is in use.
    async fn forget(&self, name: &Reference) -> Result<bool, EngineError>;
}

/// What is wanted of an image.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Layers, by their digests before they are compressed.
    pub layers: BTreeSet<Digest>,
    /// How they are compressed, 0 to 9; not at all where there is none.
    pub gzip: Option<u8>,
    /// Where they are kept meanwhile. The files have no names, so that nothing is left when castoff is
    /// killed.
    pub folder: PathBuf,
}

/// An image that an Engine gave out.
#[derive(Clone, Debug)]
pub struct GivenOut {
    /// Its configuration.
    pub config: Vec<u8>,
    /// Its layers, by their digests before they were compressed.
    pub layers: BTreeMap<Digest, Arc<LayerFile>>,
}

/// A layer as a registry takes it, in a file without a name.
#[derive(Debug)]
pub struct LayerFile {
    /// The digest of the file.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The file. Where it stands is whoever's it is that reads.
    pub file: Mutex<File>,
}

/// Why the Engine could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing}: {message}")]
pub struct EngineError {
    /// What was being done.
    pub doing: String,
    /// What it said.
    pub message: String,
    /// What would help, where it is something particular.
    pub hint: Option<String>,
}

impl EngineError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(self.hint.clone().unwrap_or_else(|| {
            "is the Docker Engine running, and may you use it? DOCKER_HOST names another one"
                .to_owned()
        }))
    }
}
