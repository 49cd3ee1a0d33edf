//! What castoff does itself in the middle of a build, told like the builder's own steps.

use tokio::time::Instant;

use super::ports::BuilderError;
use crate::cx::Cx;
use crate::event::{Event, StepOutcome};

/// A step of a build that is castoff's own.
pub(super) struct Step<'a> {
    cx: &'a Cx,
    service: &'a str,
    id: String,
    begun: Instant,
}

impl<'a> Step<'a> {
    /// Tells that it begins.
    pub(super) fn begin(cx: &'a Cx, service: &'a str, name: &str) -> Self {
        let step = Self {
            cx,
            service,
            id: format!("castoff: {name}"),
            begun: Instant::now(),
        };
        cx.events.tell(Event::StepStarted {
            service: service.to_owned(),
            step: step.id.clone(),
            name: name.to_owned(),
            platform: None,
        });
        step
    }

    /// Tells how it ended.
    pub(super) fn end<T>(self, result: Result<T, BuilderError>) -> Result<T, BuilderError> {
        let outcome = match &result {
            Ok(_) => StepOutcome::Ran,
            Err(BuilderError::Cancelled) => StepOutcome::Cancelled,
            Err(error) => StepOutcome::Failed(error.to_string()),
        };
        self.cx.events.tell(Event::StepFinished {
            service: self.service.to_owned(),
            step: self.id,
            outcome,
            seconds: self.begun.elapsed().as_secs_f64(),
        });
        result
    }
}
