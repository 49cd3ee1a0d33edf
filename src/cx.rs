//! What every effect is handed: where to tell events, and whether to stop.
//!
//! Holds no settings, on purpose: a value that decides something travels in the plan.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::event::{Envelope, Event, VERSION};

/// How many events may wait to be shown before lines of logs and steps of transfers are left out. A
/// log that floods costs its own lines, and not the machine's memory.
const MAX_WAITING: usize = 50_000;
/// How many events may wait before whoever can wait should.
const CROWDED: usize = 10_000;

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
    now: fn() -> Timestamp,
    waiting: Arc<AtomicUsize>,
    /// The last number that was given, and the way out, which are used together so that the stream is
    /// in the order of its numbers.
    out: Mutex<(u64, Sender<Envelope>)>,
}

/// The other end of the stream.
#[derive(Debug)]
pub struct Told {
    receiver: Receiver<Envelope>,
    waiting: Arc<AtomicUsize>,
}

impl Events {
    /// A stream whose events are stamped by the clock `now`. It ends when every clone of its
    /// beginning is gone.
    pub fn stream(now: fn() -> Timestamp) -> (Self, Told) {
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let told = Told {
            receiver,
            waiting: Arc::clone(&waiting),
        };
        let shared = Shared {
            now,
            waiting,
            out: Mutex::new((0, sender)),
        };
        let events = Self {
            shared: Arc::new(shared),
        };
        (events, told)
    }

    /// Whether the views are so far behind that whoever reads a log had better wait a little. Those
    /// who do lose none of its lines.
    pub fn is_crowded(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) > CROWDED
    }

    /// Tells that something happened.
    pub fn tell(&self, event: Event) {
        let is_detail = matches!(
            event,
            Event::StepLogged { .. } | Event::StepProgressed { .. }
        );
        if is_detail && self.shared.waiting.load(Ordering::Relaxed) > MAX_WAITING {
            return;
        }
        let Ok(mut out) = self.shared.out.lock() else {
            return;
        };
        out.0 += 1;
        let envelope = Envelope {
            v: VERSION,
            seq: out.0,
            at: (self.shared.now)(),
            event,
        };
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        // The receiver is gone only when the views have ended, as at the very end of a run.
        let _ = out.1.send(envelope);
    }
}

impl Told {
    /// The next event, waited for at most `limit`.
    pub fn next_within(&self, limit: Duration) -> Result<Envelope, RecvTimeoutError> {
        let envelope = self.receiver.recv_timeout(limit)?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(envelope)
    }

    /// The next event, if there is one.
    pub fn try_next(&self) -> Result<Envelope, TryRecvError> {
        let envelope = self.receiver.try_recv()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_log_lines_is_cut_and_nothing_else() {
        let (events, told) = Events::stream(Timestamp::now);
        let line = || Event::StepLogged {
            service: "a".to_owned(),
            step: "1".to_owned(),
            line: "flood".to_owned(),
        };
        for _ in 0..MAX_WAITING * 2 {
            events.tell(line());
        }
        events.tell(Event::Verified { tags: 1 });
        drop(events);
        let all: Vec<Envelope> = std::iter::from_fn(|| told.try_next().ok()).collect();
        assert_eq!(all.len(), MAX_WAITING + 2);
        assert_eq!(all.last().unwrap().event, Event::Verified { tags: 1 });
        let in_order = all
            .iter()
            .zip(1..)
            .all(|(envelope, seq)| envelope.seq == seq);
        assert!(in_order, "numbers have no gaps");
    }
}
