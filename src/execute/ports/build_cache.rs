use std::time::Duration;

use async_trait::async_trait;

use super::BuilderError;
use crate::plan::retention::CacheRecord;

/// What one BuildKit keeps of earlier builds. A builder of several nodes has as many of them.
#[async_trait]
pub trait BuildCache: Send + Sync {
    /// The name of the builder for people.
    fn name(&self) -> &str;

    /// Which BuildKit it is, where it says so: two ways that lead to one have the same.
    async fn identity(&self) -> Result<Option<String>, BuilderError>;

    /// What is in it.
    async fn records(&self) -> Result<Vec<CacheRecord>, BuilderError>;

    /// Removes from it what was not used for `unused_for`, oldest first, until at most `keep` bytes are
    /// left. Gives the bytes that were freed.
    async fn prune(&self, keep: u64, unused_for: Duration) -> Result<u64, BuilderError>;
}
