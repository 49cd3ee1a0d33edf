//! A body on its way out, and whether it still moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use reqwest::Method;
use url::Url;

use super::answer::Answer;
use super::call::REFUSAL;
use super::network::network_fault;
use super::shown::authority;
use super::source::{ALIVE, Pieces};
use super::upload::Upload;
use super::wire::bounded;
use crate::execute::ports::{RegistryError, RegistryFault};

impl Upload<'_> {
    /// Sends a body that cannot be sent twice. A pass that is void is told by the answer, which
    /// makes the next attempt fetch a new one.
    pub(super) async fn pour(
        &self,
        method: Method,
        url: Url,
        length: u64,
        range: Option<&str>,
        body: Pieces,
    ) -> Result<Answer, RegistryFault> {
        let scopes = self.scopes();
        let pass = self.host.pass_for(&url, &scopes).await?;
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(range) = range.and_then(|range| HeaderValue::from_str(range).ok()) {
            headers.insert(CONTENT_RANGE, range);
        }
        if let Some(authorization) = pass.header() {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let motion = Arc::new(Motion::default());
        let watched = watch_body(body, length, Arc::clone(&motion));
        let sending = async {
            let request = self.host.client(&url)?.request(method, url.clone());
            let request = request
                .headers(headers)
                .body(reqwest::Body::wrap_stream(watched));
            let response = request.send().await;
            let response = response.map_err(|error| network_fault(&error, &authority(&url)))?;
            bounded(response, REFUSAL).await
        };
        let limits = self.host.common.options.timeouts;
        let answer = tokio::select! {
            answer = sending => answer?,
            fault = motion.watch(limits.stall, limits.settle) => return Err(fault),
        };
        let answer = Answer {
            asker: pass.asker,
            ..answer
        };
        if answer.status.as_u16() == 401
            && !self.is_renewed.swap(true, Ordering::Relaxed)
            && self.host.learn(&pass, &answer.headers, &scopes).is_some()
        {
            return Err(RegistryFault::Lost {
                host: self.host.name.clone(),
                message: "the token ran out".to_owned(),
            });
        }
        Ok(answer)
    }
}

/// What a body does on its way out.
#[derive(Debug, Default)]
struct Motion {
    moved: AtomicU64,
    /// The next bytes are being waited for: the other side is not to blame.
    is_waiting: AtomicBool,
    is_done: AtomicBool,
}

impl Motion {
    /// Ends with a fault when nothing has moved for too long.
    async fn watch(&self, stall: Duration, settle: Duration) -> RegistryFault {
        let mut before = 0;
        loop {
            let is_done = self.is_done.load(Ordering::Relaxed);
            let limit = if is_done { settle } else { stall };
            tokio::time::sleep(limit).await;
            let moved = self.moved.load(Ordering::Relaxed);
            let is_alive = moved >= before + ALIVE
                || self.is_waiting.load(Ordering::Relaxed)
                || self.is_done.load(Ordering::Relaxed) != is_done;
            if !is_alive {
                return RegistryFault::TimedOut { after: limit };
            }
            before = moved;
        }
    }
}

/// A body that keeps account of itself.
fn watch_body(
    body: Pieces,
    length: u64,
    motion: Arc<Motion>,
) -> impl Stream<Item = Result<Bytes, RegistryError>> + Send + 'static {
    if length == 0 {
        motion.is_done.store(true, Ordering::Relaxed);
    }
    futures_util::stream::unfold(body, move |mut body| {
        let motion = Arc::clone(&motion);
        async move {
            motion.is_waiting.store(true, Ordering::Relaxed);
            let next = body.next().await;
            motion.is_waiting.store(false, Ordering::Relaxed);
            if let Some(Ok(bytes)) = &next {
                let more = bytes.len() as u64;
                let moved = motion.moved.fetch_add(more, Ordering::Relaxed) + more;
                motion.is_done.store(moved >= length, Ordering::Relaxed);
            }
            Some((next?, body))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_move_ends_and_one_that_waits_for_its_source_does_not() {
        let (stall, settle) = (Duration::from_mins(1), Duration::from_mins(5));
        let began = tokio::time::Instant::now();
        Motion::default().watch(stall, settle).await;
        assert_eq!(began.elapsed(), stall);
        let waiting = Motion::default();
        waiting.is_waiting.store(true, Ordering::Relaxed);
        let watch = tokio::time::timeout(Duration::from_secs(1000), waiting.watch(stall, settle));
        assert!(watch.await.is_err());
        let done = Motion::default();
        done.is_done.store(true, Ordering::Relaxed);
        let began = tokio::time::Instant::now();
        done.watch(stall, settle).await;
        assert_eq!(began.elapsed(), settle);
    }
}
