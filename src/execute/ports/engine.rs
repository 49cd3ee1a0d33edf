use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

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
}

/// Why the Engine could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing}: {message}")]
pub struct EngineError {
    /// What was being done.
    pub doing: String,
    /// What it said.
    pub message: String,
}

impl EngineError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(
            "is the Docker Engine running, and may you use it? DOCKER_HOST names another one"
                .to_owned(),
        )
    }
}
