//! What a use case works with: services, whom to believe, and the three things that pure code is told — the time, the
//! randomness and how to reach others.

use stella_bundle::certificate::Certificate;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{SctRule, Trust};
use stella_client::fulcio::Fulcio;
use stella_client::rekor::Rekor;
use stella_client::tsa::{Nonce, Tsa};
use stella_wire::transport::Transport;

/// The services that a signature passes through; none of them where a key alone signs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Who certifies the key.
    pub fulcio: Option<Fulcio>,
    /// Which logs record the signature.
    pub logs: Vec<Rekor>,
    /// Who stamps it.
    pub timestamp_authorities: Vec<Tsa>,
}

/// One person's or pipeline's sitting at the table.
pub struct Session<'a> {
    /// How services are reached: the network, or an instance in this process.
    pub transport: &'a dyn Transport,
    /// The services.
    pub services: Services,
    /// Whom to believe.
    pub trust: &'a Trust,
    /// Whether a new certificate must carry an SCT.
    pub sct: SctRule,
    /// Certificates one of which must end the chain besides.
    pub root_bundle: Option<&'a [Certificate]>,
    /// The clock.
    pub now: &'a (dyn Fn() -> UnixTime + Sync),
    /// Fresh random numbers.
    pub nonce: &'a (dyn Fn() -> Nonce + Sync),
    /// Told when a step is done, for progress and timing.
    pub done: &'a (dyn Fn(Step) + Sync),
}

/// The steps of signing, in the order in which they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key was made.
    Key,
    /// Fulcio certified it.
    Certificate,
    /// It signed.
    Signature,
    /// Timestamp and log entry came back.
    Witnessed,
    /// The bundle was verified as a stranger would.
    Verified,
}
