//! What drivers of key services are handed: the environment, the clock and the network of this process.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use stella_client::kms::Surroundings;
use stella_client::network::{Network, NetworkOptions, PlainHttp};
use stella_client::retry::TokioWaiting;
use stella_server::{Clock as _, SystemClock};

use crate::exit::Failure;
use crate::places;

/// Metadata services are on the same link, or not there.
const METADATA_DEADLINE: Duration = Duration::from_secs(3);

/// Returns the surroundings for services of a scheme.
pub(super) fn of(_scheme: &str) -> Result<Surroundings, Failure> {
    let network = Network::new(NetworkOptions::default());
    let metadata = Network::new(NetworkOptions {
        deadline: METADATA_DEADLINE,
        plain_http: PlainHttp::Link,
        ..NetworkOptions::default()
    });
    Ok(Surroundings {
        variable: Box::new(|name| env::var(name).ok()),
        home: places::user_home(),
        clock: || SystemClock.now(),
        network: Arc::new(network),
        metadata: Arc::new(metadata),
        waiting: Arc::new(TokioWaiting::default()),
    })
}
