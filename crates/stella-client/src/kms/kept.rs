//! What was acquired once and is good for some time, such as an access token.

use std::time::Duration;

use stella_bundle::time::UnixTime;
use stella_keys::KeyError;
use tokio::sync::Mutex;

/// What ends within this time is acquired anew: a request takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(120);

/// Something with its end; `None` for what does not end.
#[derive(Clone)]
pub(super) struct Lent<T> {
    pub(super) value: T,
    pub(super) until: Option<UnixTime>,
}

/// The last that was acquired.
pub(super) struct Kept<T>(Mutex<Option<Lent<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Kept<T> {
    /// Returns what is kept, or acquires it; those who ask meanwhile wait for it.
    pub(super) async fn get(
        &self,
        now: UnixTime,
        acquire: impl AsyncFnOnce() -> Result<Lent<T>, KeyError>,
    ) -> Result<T, KeyError> {
        let mut kept = self.0.lock().await;
        let is_good = |lent: &&Lent<T>| lent.until.is_none_or(|until| now.plus(MARGIN) < until);
        if let Some(lent) = kept.as_ref().filter(is_good) {
            return Ok(lent.value.clone());
        }
        let lent = acquire().await?;
        let value = lent.value.clone();
        *kept = Some(lent);
        Ok(value)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::scripted::{NOW, run};

    #[test]
    fn what_is_about_to_end_is_acquired_anew() {
        let kept = Kept::default();
        let get = |now: UnixTime, value: u32, life: Option<u64>| {
            let until = life.map(|life| now.plus(Duration::from_secs(life)));
            run(kept.get(now, async || Ok(Lent { value, until }))).unwrap()
        };
        let after = |seconds| NOW.plus(Duration::from_secs(seconds));
        assert_eq!(get(NOW, 1, Some(3600)), 1);
        assert_eq!(get(after(3400), 2, Some(3600)), 1);
        assert_eq!(get(after(3500), 3, None), 3);
        assert_eq!(get(after(1_000_000), 4, None), 3);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let kept = Kept::default();
        let failed = run(kept.get(NOW, async || Err(KeyError::Library)));
        assert_eq!(failed, Err(KeyError::Library));
        let (value, until) = (1, None);
        assert_eq!(
            run(kept.get(NOW, async || Ok(Lent { value, until }))),
            Ok(1)
        );
    }
}
