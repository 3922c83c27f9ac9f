//! Keys in services that answer from a script: what they are asked, and what their answers are worth.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod aws;
mod aws_credentials;
mod azure;
mod gcp;
mod gcp_token;
mod vault;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use stella_bundle::key::KeyDetails;
use stella_bundle::key::PublicKey;
use stella_keys::{EphemeralKey, KeyError, ServiceFailure, Signer as _};
use stella_wire::transport::{Request, Response, Sending, Transport, TransportError};

use super::{RemoteKey, RemoteReference, Surroundings};
use crate::scripted::{Answering, Counted, NOW};

/// One of each kind of key.
const KINDS: [KeyDetails; 6] = [
    KeyDetails::EcdsaP256Sha256,
    KeyDetails::EcdsaP384Sha384,
    KeyDetails::EcdsaP521Sha512,
    KeyDetails::Ed25519,
    KeyDetails::MlDsa65,
    KeyDetails::RsaPkcs1v15_2048Sha256,
];

type Outcome = Result<Response, TransportError>;

/// A network on which nobody is.
struct Nobody;

impl Transport for Nobody {
    fn send(&self, request: Request) -> Sending<'_> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        Box::pin(async move { Err(TransportError::Refused { host }) })
    }
}

/// Surroundings with these variables and this network, and no metadata service.
fn surroundings(variables: &[(&str, &str)], network: Arc<dyn Transport>) -> Surroundings {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables: BTreeMap<String, String> = variables.iter().map(owned).collect();
    Surroundings {
        variable: Box::new(move |name| variables.get(name).cloned()),
        home: None,
        clock: || NOW,
        network,
        metadata: Arc::new(Nobody),
        waiting: Arc::new(Counted::default()),
    }
}

/// A network on which everybody answers by a function.
fn answering(answer: impl Fn(&Request) -> Outcome + Send + Sync + 'static) -> Arc<dyn Transport> {
    Arc::new(Answering(answer))
}

fn reference(text: &str) -> RemoteReference {
    let (scheme, resource) = text.split_once("://").unwrap();
    RemoteReference::parse(scheme, resource).unwrap().unwrap()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

fn failure(error: &KeyError) -> Option<ServiceFailure> {
    match error {
        KeyError::Service { failure, .. } => Some(*failure),
        _ => None,
    }
}

/// Another key of the same kind, for answers that are not ours.
fn stranger(details: KeyDetails) -> EphemeralKey {
    EphemeralKey::generate(details).unwrap()
}

fn same(left: &PublicKey, right: &PublicKey) {
    assert_eq!(left.spki(), right.spki());
}

fn is_home(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path))
}
