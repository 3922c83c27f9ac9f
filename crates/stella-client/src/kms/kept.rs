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
