//! The doctor's look at the services that signing asks: whether each is there, and whether its clock is ours.
//!
//! The only file of the doctor that opens sockets, and not with `--offline`: then there is no [`Asking`].

use std::time::Duration;

use stella_bundle::signing_config::selection::ServiceKind;
use stella_bundle::time::UnixTime;
use stella_client::error::{ClientError, Service};
use stella_client::network::{Network, NetworkOptions};
use stella_client::presence::{self, Presence};
use stella_server::{Clock as _, SystemClock};
use tokio::runtime::Runtime;

use super::Finding;
use crate::cli::attest::table;
use crate::cli::runtime;
use crate::config::Keyless;
use crate::exit::{self, Failure};
use crate::trust::TrustMaterial;

const CHECK: &str = "service";
const CLOCK: &str = "clock";

/// How long each service may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What certificates and tokens allow; see `stella_client::fulcio`.
const MAX_SKEW: Duration = Duration::from_secs(60);

const KINDS: [(ServiceKind, Service); 3] = [
    (ServiceKind::Fulcio, Service::Fulcio),
    (ServiceKind::Tsa, Service::Tsa),
    (ServiceKind::Rekor, Service::Rekor),
];

/// What asks services; without it nobody is asked.
pub(super) struct Asking {
    runtime: Runtime,
    network: Network,
}

/// Where services are, or why none is known.
type Places = Vec<Result<(Service, String), Finding>>;

impl Asking {
    pub(super) fn new() -> Result<Self, Failure> {
        let options = NetworkOptions {
            deadline: PATIENCE,
            ..NetworkOptions::default()
        };
        Ok(Self {
            runtime: runtime()?,
            network: Network::new(options),
        })
    }

    /// Asks whether a service is there.
    pub(super) fn ask(&self, service: Service, url: &str) -> Result<Presence, ClientError> {
        let asked = presence::ask(&self.network, service, url);
        self.runtime.block_on(asked)
    }
}

/// Returns the services that signing would ask now.
pub(super) fn places(keyless: &Keyless, material: Option<&TrustMaterial>, now: UnixTime) -> Places {
    let Some(material) = material else {
        let nobody = Finding::skipped(CHECK, "no trust root says which there are");
        return vec![Err(nobody)];
    };
    let of_kind = |(kind, service)| match table::addresses(kind, keyless, material, now) {
        Ok(addresses) => addresses
            .into_iter()
            .map(|url| Ok((service, url)))
            .collect(),
        // Who only verifies needs none.
        Err(failure) => vec![Err(Finding::warning_of(CHECK, failure))],
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

/// Looks whether each of them is there, and at their clocks.
pub(super) fn look(places: Places, asking: Option<&Asking>) -> Vec<Finding> {
    let mut skew = None;
    let mut findings = Vec::new();
    for place in places {
        findings.push(match (place, asking) {
            (Err(finding), _) => finding,
            (Ok((_, url)), None) => Finding::skipped(CHECK, format!("{url}: offline")),
            (Ok((service, url)), Some(asking)) => {
                let asked = asking.ask(service, &url).map(|presence| {
                    let found = presence.skew(SystemClock.now());
                    skew = skew.take().or(found.map(|found| (found, url.clone())));
                    format!("{service} answers at {url}")
                });
                Finding::of(CHECK, asked.map_err(Failure::from))
            }
        });
    }
    findings.push(clock(skew));
    findings
}

fn clock(skew: Option<(Duration, String)>) -> Finding {
    let Some((skew, url)) = skew else {
        return Finding::skipped(CLOCK, "no service says what time it is");
    };
    let seconds = skew.as_secs();
    if skew <= MAX_SKEW {
        return Finding::good(CLOCK, format!("within {seconds} s of {url}"));
    }
    let message =
        format!("this machine's clock and that of {url} are {seconds} s apart, more than 60 s");
    let hint = "set this machine's clock, and have it kept (NTP)";
    Finding::failure(CLOCK, Failure::new(exit::CHAIN, message).hint(hint))
}
