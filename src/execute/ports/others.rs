use std::sync::Arc;

use async_trait::async_trait;

use super::Builder;
use crate::plan::Contender;

/// A builder that could be taken in the place of the first one.
#[derive(Clone)]
pub struct Other {
    /// What is known of it without asking it.
    pub contender: Contender,
    /// The builder.
    pub builder: Arc<dyn Builder>,
}

/// Knows which builders there are besides the one that docker itself would build with.
#[async_trait]
pub trait Others: Send + Sync {
    /// All of them, in the order of their names. None is asked for what it can do, and none started.
    async fn find(&self) -> Vec<Other>;
}
