//! When to try again. The one place of castoff that does: the error says whether it is temporary
//! and how long the registry asked to wait, this says whether that is still worth it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822;
use tokio::time::Instant;

use crate::cx::Cx;
use crate::event::Event;
use crate::execute::ports::{RegistryError, RegistryFault};

/// How often, and how long in all, a request is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts at most, the first one counted.
    pub attempts: u32,
    /// Attempts at most where no connection comes about: a registry that is not there should be
    /// told of soon.
    pub connects: u32,
    /// The wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The longest wait that is not asked for by the registry.
    pub ceiling: Duration,
    /// No attempt begins later than this after the first one; for a transfer, only the waits count.
    pub total: Duration,
}

impl Patience {
    /// One that ends after `total`, with a few attempts within it however short it is. A registry that
    /// cannot be reached is waited for just as long.
    pub fn of(total: Duration) -> Self {
        let first = Self::default().first.min(total / 16);
        Self {
            // The time alone ends it; this only keeps a registry that asks for no wait at bay.
            attempts: 1000,
            connects: 1000,
            first: first.max(Duration::from_millis(1)),
            ceiling: Self::default().ceiling.min(total / 4),
            total,
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        // About a quarter of a minute in all: half of all writes may fail, and a registry may be
        // restarted, but one that is broken should not hold up the bad news.
        Self {
            attempts: 10,
            connects: 5,
            first: Duration::from_millis(200),
            ceiling: Duration::from_secs(4),
            total: Duration::from_mins(2),
        }
    }
}

/// Whether a registry has answered in this run.
///
/// One that has never answered is waited for once, with all patience: whoever asks it later is told what was
/// found then. One that has answered before, and goes away, is waited for every time: there may be tags to
/// bring back.
#[derive(Debug, Default)]
pub(super) struct Presence {
    met: AtomicBool,
    missed: OnceLock<RegistryFault>,
}

impl Presence {
    /// It answered.
    pub(super) fn meet(&self) {
        self.met.store(true, Ordering::Relaxed);
    }

    /// What was found where it was waited for in vain.
    pub(super) fn missed(&self) -> Option<&RegistryFault> {
        self.missed.get()
    }

    /// It was waited for in vain.
    fn miss(&self, fault: &RegistryFault) {
        if !self.met.load(Ordering::Relaxed) {
            // Whoever was first has said it.
            let _ = self.missed.set(fault.clone());
        }
    }
}

/// The attempts at one request.
#[derive(Debug)]
pub(super) struct Tries {
    cx: Cx,
    presence: Arc<Presence>,
    patience: Patience,
    host: String,
    doing: String,
    began: Instant,
    waited: Duration,
    is_transfer: bool,
    failed: u32,
}

impl Tries {
    /// For a small request, `doing` something at `host`.
    pub(super) fn of_request(
        cx: &Cx,
        patience: Patience,
        (host, presence): (&str, &Arc<Presence>),
        doing: impl Into<String>,
    ) -> Self {
        Self {
            cx: cx.clone(),
            presence: Arc::clone(presence),
            patience,
            host: host.to_owned(),
            doing: doing.into(),
            began: Instant::now(),
            waited: Duration::ZERO,
            is_transfer: false,
            failed: 0,
        }
    }

    /// For a transfer, which may well take longer than any patience.
    pub(super) fn of_transfer(
        cx: &Cx,
        patience: Patience,
        host: (&str, &Arc<Presence>),
        doing: impl Into<String>,
    ) -> Self {
        Self {
            is_transfer: true,
            ..Self::of_request(cx, patience, host, doing)
        }
    }

    /// The transfer got further than before, so that patience begins anew.
    pub(super) fn made_progress(&mut self) {
        self.failed = 0;
        self.waited = Duration::ZERO;
    }

    /// After a failure: waits until the next attempt, or says that there is none.
    pub(super) async fn after(&mut self, fault: RegistryFault) -> Result<(), RegistryError> {
        self.failed += 1;
        let Some(wait) = self.wait_after(&fault) else {
            if matches!(fault, RegistryFault::Unreachable { .. }) {
                self.presence.miss(&fault);
            }
            return Err(self.give_up(fault));
        };
        self.cx.events.tell(Event::Retried {
            what: self.doing.clone(),
            attempt: self.failed,
            wait: wait.as_secs_f64(),
            because: fault.to_string(),
        });
        tokio::time::sleep(wait).await;
        self.waited += wait;
        Ok(())
    }

    /// The error that `fault` makes of this.
    pub(super) fn give_up(&self, fault: RegistryFault) -> RegistryError {
        RegistryError {
            doing: self.doing.clone(),
            host: self.host.clone(),
            fault,
        }
    }

    fn wait_after(&self, fault: &RegistryFault) -> Option<Duration> {
        let attempts = match fault {
            RegistryFault::Unreachable { .. } => self.patience.connects,
            _ => self.patience.attempts,
        };
        let is_missed = self.presence.missed().is_some();
        if !fault.is_temporary() || is_missed || self.failed >= attempts {
            return None;
        }
        let wait = match fault.retry_after() {
            Some(asked) => asked,
            None => self.backoff(),
        };
        let spent = if self.is_transfer {
            self.waited
        } else {
            self.began.elapsed()
        };
        (spent + wait <= self.patience.total).then_some(wait)
    }

    /// Doubles with each failure up to the ceiling, and takes between half and all of that, so that
    /// many clients do not come back together.
    fn backoff(&self) -> Duration {
        let doublings = (self.failed - 1).min(20);
        let full = self
            .patience
            .first
            .saturating_mul(1 << doublings)
            .min(self.patience.ceiling);
        full.mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// How long an answer asks to wait (RFC 9110, section 10.2.3): seconds, or a date, which is read
/// against the answer's own `Date` so that no two clocks are compared.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    // Docker Hub and some proxies write fractions.
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let parse = |text| rfc2822::DateTimeParser::new().parse_timestamp(text).ok();
    let until = parse(text)?;
    let now = parse(headers.get(DATE)?.to_str().ok()?)?;
    let wait = until.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::cx::{Events, Told};

    fn cx() -> (Cx, Told) {
        let (events, told) = Events::stream(jiff::Timestamp::now);
        let cancel = CancellationToken::new();
        (Cx { events, cancel }, told)
    }

    fn busy(retry_after: Option<u64>) -> RegistryFault {
        RegistryFault::TooManyRequests {
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_are_told_and_end() {
        let (cx, told) = cx();
        let mut tries =
            Tries::of_request(&cx, Patience::default(), ("h", &Arc::default()), "read x");
        let mut waits = Vec::new();
        let error = loop {
            if let Err(error) = tries.after(busy(None)).await {
                break error;
            }
            let Event::Retried { wait, attempt, .. } = told.try_next().unwrap().event else {
                panic!("another event");
            };
            waits.push(wait);
            assert_eq!(attempt as usize, waits.len());
        };
        assert_eq!(waits.len(), 9);
        for (index, wait) in waits.iter().enumerate() {
            let full = (0.2 * f64::powi(2.0, i32::try_from(index).unwrap())).min(4.0);
            assert!((full / 2.0..=full).contains(wait), "{index}: {wait}");
        }
        assert_eq!(
            error.to_string(),
            "read x: registry answered 429: too many requests"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_registry_may_say_how_long_but_not_for_ever() {
        let (cx, _told) = cx();
        let began = Instant::now();
        let mut tries = Tries::of_request(&cx, Patience::default(), ("h", &Arc::default()), "x");
        tries.after(busy(Some(7))).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 7);
        tries.after(busy(Some(120))).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_final_is_not_tried_again_and_a_missing_registry_only_briefly() {
        let (cx, told) = cx();
        let mut tries = Tries::of_request(&cx, Patience::default(), ("h", &Arc::default()), "x");
        let denied = RegistryFault::Unauthorized {
            code: String::new(),
            anonymous: true,
        };
        tries.after(denied).await.unwrap_err();
        assert!(told.try_next().is_err());
        let began = Instant::now();
        let mut tries = Tries::of_request(&cx, Patience::default(), ("h", &Arc::default()), "x");
        let gone = RegistryFault::Unreachable {
            host: "h".to_owned(),
            message: "refused".to_owned(),
        };
        while tries.after(gone.clone()).await.is_ok() {}
        assert!(began.elapsed() <= Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_never_answered_is_waited_for_once() {
        let (cx, told) = cx();
        let gone = RegistryFault::Unreachable {
            host: "h".to_owned(),
            message: "refused".to_owned(),
        };
        let retries = async |presence: &Arc<Presence>| {
            let mut tries = Tries::of_request(&cx, Patience::default(), ("h", presence), "x");
            while tries.after(gone.clone()).await.is_ok() {}
            std::iter::from_fn(|| told.try_next().ok()).count()
        };
        let absent = Arc::default();
        assert_eq!(retries(&absent).await, 4);
        assert_eq!(retries(&absent).await, 0);
        let met: Arc<Presence> = Arc::default();
        met.meet();
        assert_eq!(retries(&met).await, 4);
        assert_eq!(retries(&met).await, 4);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let of = |after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(after));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            retry_after(&headers)
        };
        assert_eq!(of("3", None), Some(Duration::from_secs(3)));
        assert_eq!(of(" 0 ", None), Some(Duration::ZERO));
        assert_eq!(of("1.5", None), Some(Duration::from_millis(1500)));
        assert_eq!(of("-1", None), None);
        assert_eq!(of("NaN", None), None);
        assert_eq!(of("soon", None), None);
        let date = "Sat, 21 Nov 2026 09:34:42 GMT";
        assert_eq!(
            of("Sat, 21 Nov 2026 09:35:12 GMT", Some(date)),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            of("Sat, 21 Nov 2026 09:00:00 GMT", Some(date)),
            Some(Duration::ZERO)
        );
        assert_eq!(of("Sat, 21 Nov 2026 09:35:12 GMT", None), None);
    }
}
