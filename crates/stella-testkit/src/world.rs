//! An instance in a temporary folder, reached without a socket, in a time that passes only when told to.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use stella_bundle::time::UnixTime;
use stella_server::{
    Clock, InitOptions, InstanceError, OpenError, Options, Sigstore, TokenRefusal, TokenRequest,
};
use stella_wire::Transport;
use tempfile::TempDir;
use url::Url;

/// The first moment of every world: 2026-01-02T03:04:05.678Z, a Friday.
pub const BEGINNING: UnixTime = UnixTime::from_millis(1_767_323_045_678);

/// The instance's URL in every world.
pub const URL: &str = "http://127.0.0.1:8470";

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct StillClock(AtomicI64);

impl StillClock {
    /// Returns a clock that shows [`BEGINNING`].
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(BEGINNING.micros())))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let later = self.now().plus(by);
        self.0.store(later.micros(), Ordering::Relaxed);
    }
}

impl Clock for StillClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Why a world could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// No temporary folder.
    #[error("no temporary folder: {0}")]
    Folder(#[from] io::Error),
    /// The instance could not be made.
    #[error(transparent)]
    Init(#[from] InstanceError),
    /// The instance could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The URL is none.
    #[error(transparent)]
    Url(#[from] url::ParseError),
}

/// An instance and its clock. The folder goes with the world.
pub struct World {
    sigstore: Sigstore,
    clock: Arc<StillClock>,
    folder: TempDir,
}

impl World {
    /// Makes an instance at [`URL`].
    ///
    /// # Errors
    /// [`WorldError`].
    pub async fn new() -> Result<Self, WorldError> {
        let folder = tempfile::tempdir()?;
        let clock = StillClock::new();
        Sigstore::init(
            folder.path(),
            &InitOptions {
                url: Url::parse(URL)?,
                now: clock.now(),
            },
        )?;
        let sigstore = open(&folder, &clock).await?;
        Ok(Self {
            sigstore,
            clock,
            folder,
        })
    }

    /// Closes the instance and opens it again, as after a restart of the process.
    ///
    /// # Errors
    /// `Open`; `Locked` when a clone of the instance or of its transport is still alive.
    pub async fn restart(self) -> Result<Self, WorldError> {
        let Self {
            sigstore,
            clock,
            folder,
        } = self;
        sigstore.close();
        drop(sigstore);
        let sigstore = open(&folder, &clock).await?;
        Ok(Self {
            sigstore,
            clock,
            folder,
        })
    }

    /// Returns the instance.
    #[must_use]
    pub const fn sigstore(&self) -> &Sigstore {
        &self.sigstore
    }

    /// Returns the way to the instance that a client takes.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.sigstore.clone())
    }

    /// Returns the instance's folder.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Returns the present moment of this world.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Returns a token of the own issuer for the default subject.
    ///
    /// # Errors
    /// [`TokenRefusal`].
    pub fn token(&self) -> Result<String, TokenRefusal> {
        self.sigstore.identity_token(&TokenRequest::default())
    }
}

async fn open(folder: &TempDir, clock: &Arc<StillClock>) -> Result<Sigstore, OpenError> {
    let options = Options {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ..Options::default()
    };
    Sigstore::open(folder.path(), options).await
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("World")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_world_survives_its_restart_and_its_time_goes_on() {
        let world = World::new().await.unwrap();
        let root = world.sigstore().trusted_root().to_vec();
        world.advance(Duration::from_secs(3600));
        let world = world.restart().await.unwrap();
        assert_eq!(world.sigstore().trusted_root(), root);
        assert_eq!(world.now(), BEGINNING.plus(Duration::from_secs(3600)));
        world.token().unwrap();
    }
}
