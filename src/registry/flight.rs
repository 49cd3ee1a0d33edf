use std::future::Future;

/// A value that is made once and then kept: whoever asks while it is being made waits for that one
/// attempt, and shares its failure instead of making another. A later asker tries again.
///
/// Without it fifty parallel requests to a registry that is gone would each wait their turn to find
/// that out.
#[derive(Debug)]
pub(super) struct Flight<T, E> {
    value: tokio::sync::Mutex<Option<T>>,
    failure: std::sync::Mutex<Failure<E>>,
}

#[derive(Debug)]
struct Failure<E> {
    /// How many attempts have failed.
    round: u64,
    /// What the last of them ended with.
    last: Option<E>,
}

impl<T, E> Default for Flight<T, E> {
    fn default() -> Self {
        Self {
            value: tokio::sync::Mutex::new(None),
            failure: std::sync::Mutex::new(Failure {
                round: 0,
                last: None,
            }),
        }
    }
}

impl<T: Clone, E: Clone> Flight<T, E> {
    /// The value, made by `make` where there is none yet.
    pub(super) async fn get<F>(&self, make: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let (seen, _) = self.failures();
        let mut value = self.value.lock().await;
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        match self.failures() {
            (round, Some(error)) if round != seen => return Err(error),
            _ => {}
        }
        match make.await {
            Ok(new) => {
                *value = Some(new.clone());
                Ok(new)
            }
            Err(error) => {
                if let Ok(mut failure) = self.failure.lock() {
                    failure.round += 1;
                    failure.last = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    fn failures(&self) -> (u64, Option<E>) {
        self.failure
            .lock()
            .map_or((0, None), |failure| (failure.round, failure.last.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_asks_and_all_share_what_comes() {
        let flight = Flight::<u32, &str>::default();
        let asked = AtomicU32::new(0);
        let (flight, asked) = (&flight, &asked);
        let ask = |result: Result<u32, &'static str>| {
            flight.get(async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(10)).await;
                result
            })
        };
        let began = tokio::time::Instant::now();
        let all = join_all((0..50).map(|_| ask(Err("gone")))).await;
        assert!(all.iter().all(|one| *one == Err("gone")));
        assert_eq!(
            (began.elapsed().as_secs(), asked.load(Ordering::SeqCst)),
            (10, 1)
        );
        let all = join_all((0..50).map(|_| ask(Ok(7)))).await;
        assert!(all.iter().all(|one| *one == Ok(7)));
        assert_eq!(ask(Err("not asked")).await, Ok(7));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
