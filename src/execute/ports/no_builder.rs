use async_trait::async_trait;

use super::{BuildOrder, Builder, BuilderError, Built, Survey};
use crate::cx::Cx;

/// The builder of commands that build nothing, on machines that may have none.
#[derive(Clone, Copy, Debug)]
pub struct NoBuilder;

fn refuse<T>() -> Result<T, BuilderError> {
    Err(BuilderError::Unsupported {
        builder: "none".to_owned(),
        what: "do anything".to_owned(),
        hint: "this command builds nothing".to_owned(),
    })
}

#[async_trait]
impl Builder for NoBuilder {
    fn name(&self) -> &'static str {
        "none"
    }

    async fn survey(&self) -> Result<Survey, BuilderError> {
        refuse()
    }

    async fn build(&self, _: &Cx, _: &BuildOrder) -> Result<Built, BuilderError> {
        refuse()
    }
}
