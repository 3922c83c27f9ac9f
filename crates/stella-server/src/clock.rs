//! The time, as the services are told it: a clock that can be replaced, and one that never steps back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stella_bundle::time::UnixTime;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Returns the present moment.
    fn now(&self) -> UnixTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixTime::from_seconds(0).plus(since)
    }
}

/// Steps back up to this far are bridged by repeating the last time; further ones are refused.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The clock went back behind a time that was already certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clock stepped back by {} s", by.as_secs())]
pub(crate) struct SteppedBack {
    /// How far.
    pub(crate) by: Duration,
}

/// A clock that certificates and timestamps may be issued by: no later answer is earlier.
#[derive(Clone)]
pub(crate) struct SteadyClock {
    clock: Arc<dyn Clock>,
    last_micros: Arc<AtomicI64>,
}

impl SteadyClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last_micros: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// Returns the time for something that is checked and not certified.
    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// Returns the time for something that is certified.
    pub(crate) fn certified_now(&self) -> Result<UnixTime, SteppedBack> {
        let now = self.clock.now();
        let last =
            UnixTime::from_micros(self.last_micros.fetch_max(now.micros(), Ordering::AcqRel));
        let by = last.since(now);
        if by > TOLERANCE {
            return Err(SteppedBack { by });
        }
        Ok(now.max(last))
    }
}

impl fmt::Debug for SteadyClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SteadyClock")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(AtomicI64);

    impl Clock for Fixed {
        fn now(&self) -> UnixTime {
            UnixTime::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn certified_times_never_go_back() {
        let inner = Arc::new(Fixed(AtomicI64::new(100_000)));
        let clock = SteadyClock::new(Arc::clone(&inner) as Arc<dyn Clock>);
        assert_eq!(clock.certified_now(), Ok(UnixTime::from_millis(100_000)));
        inner.0.store(99_500, Ordering::Relaxed);
        assert_eq!(clock.certified_now(), Ok(UnixTime::from_millis(100_000)));
        inner.0.store(90_000, Ordering::Relaxed);
        assert_eq!(
            clock.certified_now(),
            Err(SteppedBack {
                by: Duration::from_secs(10)
            })
        );
        inner.0.store(100_001, Ordering::Relaxed);
        assert_eq!(clock.certified_now(), Ok(UnixTime::from_millis(100_001)));
    }
}
