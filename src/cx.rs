//! What every effect is handed: where to tell events, and whether to stop.
//!
//! Holds no settings, on purpose: a value that decides something travels in the plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::event::{Envelope, Event, VERSION};

/// Events and cancellation, cheap to clone.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Where events are told.
    pub events: Events,
    /// Cancelled by the first signal; every wait listens to it.
    pub cancel: CancellationToken,
}

/// The way into the event stream. Telling neither blocks nor fails: one thread owns the views, and
/// if it is gone there is nobody left to tell.
#[derive(Clone, Debug)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    seq: AtomicU64,
    now: fn() -> Timestamp,
    sender: std::sync::Mutex<Sender<Envelope>>,
}

impl Events {
    /// Events that go to `sender`, stamped by the clock `now`.
    pub fn new(sender: Sender<Envelope>, now: fn() -> Timestamp) -> Self {
        Self {
            shared: Arc::new(Shared {
                seq: AtomicU64::new(0),
                now,
                sender: std::sync::Mutex::new(sender),
            }),
        }
    }

    /// Tells that something happened.
    pub fn tell(&self, event: Event) {
        // The number is taken under the lock, so that the stream is in the order of its numbers.
        let Ok(sender) = self.shared.sender.lock() else {
            return;
        };
        let envelope = Envelope {
            v: VERSION,
            seq: self.shared.seq.fetch_add(1, Ordering::Relaxed) + 1,
            at: (self.shared.now)(),
            event,
        };
        // The receiver is gone only when the views have ended, as at the very end of a run.
        let _ = sender.send(envelope);
    }
}
