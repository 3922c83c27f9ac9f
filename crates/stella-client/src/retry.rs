//! Repetition: a transport around another one that asks again when asking again may help.
//!
//! What may help is decided by status and [`TransportError::is_transient`], never by the body. All requests of this
//! crate may be repeated: a second certificate harms nobody, logs and timestamp authorities give the same answer twice.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use stella_wire::transport::{Request, Response, Sending, Transport, TransportError};

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Repetitions after the first try.
    pub retries: u32,
    /// The pause before the first repetition; each further one is twice as long.
    pub first_pause: Duration,
    /// No pause of our own choice is longer.
    pub longest_pause: Duration,
    /// All tries and pauses together; a pause that would end later is not begun.
    pub total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 3,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(10),
            total: Duration::from_secs(120),
        }
    }
}

/// What waiting needs; tests have one that does not wait.
pub trait Waiting: Send + Sync {
    /// Returns the time since some fixed moment.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn wait(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Returns a number below 1000, another one each time: clients that failed together must not return together.
    fn jitter(&self) -> u32;
}

/// Waits by tokio's timer.
#[derive(Debug)]
pub struct TokioWaiting {
    start: tokio::time::Instant,
}

impl Default for TokioWaiting {
    fn default() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }
}

impl Waiting for TokioWaiting {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn wait(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(pause))
    }

    fn jitter(&self) -> u32 {
        // Each `RandomState` has its own seed; nothing secret depends on it.
        let number = RandomState::new().build_hasher().finish() % 1000;
        u32::try_from(number).unwrap_or(0)
    }
}

/// A transport that asks again.
#[derive(Clone)]
pub struct Retrying {
    inner: Arc<dyn Transport>,
    policy: RetryPolicy,
    waiting: Arc<dyn Waiting>,
}

impl Retrying {
    /// Wraps `inner`; waits by tokio's timer.
    #[must_use]
    pub fn new(inner: Arc<dyn Transport>, policy: RetryPolicy) -> Self {
        Self::with_waiting(inner, policy, Arc::new(TokioWaiting::default()))
    }

    /// Wraps `inner` with another way to wait.
    #[must_use]
    pub fn with_waiting(
        inner: Arc<dyn Transport>,
        policy: RetryPolicy,
        waiting: Arc<dyn Waiting>,
    ) -> Self {
        Self {
            inner,
            policy,
            waiting,
        }
    }

    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        let start = self.waiting.elapsed();
        let mut repetition = 0;
        loop {
            let outcome = self.inner.send(request.clone()).await;
            if repetition == self.policy.retries || !is_transient(&outcome) {
                return outcome;
            }
            let pause = self.pause(repetition, &outcome);
            let spent = self.waiting.elapsed().saturating_sub(start);
            if spent.saturating_add(pause) > self.policy.total {
                return outcome;
            }
            repetition += 1;
            tracing::debug!(
                host = request.uri().host().unwrap_or_default(),
                repetition,
                pause_ms = pause.as_millis(),
                cause = %cause(&outcome),
                "asking again"
            );
            self.waiting.wait(pause).await;
        }
    }

    fn pause(&self, repetition: u32, outcome: &Result<Response, TransportError>) -> Duration {
        if let Some(wanted) = outcome.as_ref().ok().and_then(retry_after) {
            return wanted;
        }
        let doubled = self.policy.first_pause * 2_u32.saturating_pow(repetition.min(16));
        let longest = doubled.min(self.policy.longest_pause);
        // Between half and the whole.
        longest / 2 + longest / 2 * self.waiting.jitter() / 1000
    }
}

impl std::fmt::Debug for Retrying {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Retrying")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Transport for Retrying {
    fn send(&self, request: Request) -> Sending<'_> {
        Box::pin(self.exchange(request))
    }
}

/// Says whether a status means "later, perhaps".
pub(crate) fn is_transient_status(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn is_transient(outcome: &Result<Response, TransportError>) -> bool {
    match outcome {
        Ok(answer) => is_transient_status(answer.status()),
        Err(error) => error.is_transient(),
    }
}

/// Reads `Retry-After` in seconds; a date would need a clock that agrees with the service's, and is passed over.
///
/// spec: RFC 9110 §10.2.3.
fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

fn cause(outcome: &Result<Response, TransportError>) -> String {
    match outcome {
        Ok(answer) => answer.status().to_string(),
        Err(error) => error.to_string(),
    }
}
