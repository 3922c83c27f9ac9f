//! An instance in a temporary directory, a clock that stands still, and a client made of wire words only.

#![expect(dead_code, reason = "each test file uses its part")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::entry::{EntryVerifier, LogEntry};
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, Signer};
use stella_server::{Clock, HeldKey, HeldKeys, InitOptions, Options, Sigstore, TokenRequest};
use stella_wire::fulcio::{
    Credentials, PublicKeyRequest, SigningCert, SigningCertRequest, SubmittedKey,
};
use stella_wire::problem::Problem;
use stella_wire::rekor::{AddEntry, HashedRekordRequest, Verifier};
use stella_wire::{Request, Response, Transport as _};
use tempfile::TempDir;

pub(crate) const URL: &str = "http://127.0.0.1:8123";
pub(crate) const P256: KeyDetails = KeyDetails::EcdsaP256Sha256;

/// 2026-11-20T12:00:00.123Z.
pub(crate) const START: i64 = 1_795_176_000_123;

pub(crate) struct StillClock(AtomicI64);

impl StillClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(START)))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }
}

impl Clock for StillClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) struct World {
    pub(crate) sigstore: Sigstore,
    pub(crate) clock: Arc<StillClock>,
    pub(crate) directory: TempDir,
}

pub(crate) fn init(directory: &Path, url: &str) {
    let now = UnixTime::from_millis(START);
    Sigstore::init(
        directory,
        &InitOptions {
            url: url.parse().unwrap(),
            now,
        },
    )
    .unwrap();
}

pub(crate) async fn open(directory: &Path, clock: &Arc<StillClock>) -> Sigstore {
    let options = Options {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ..Options::default()
    };
    Sigstore::open(directory, options).await.unwrap()
}

/// A new key that is kept elsewhere.
pub(crate) fn held(name: &str, details: KeyDetails) -> HeldKey {
    HeldKey {
        reference: format!("pkcs11:object={name}"),
        signer: Arc::new(EphemeralKey::generate(details).unwrap()),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::at(URL, |_| {}).await
    }

    /// Makes an instance; `prepare` lays files into its directory before it is opened.
    pub(crate) async fn at(url: &str, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), url);
        prepare(directory.path());
        let clock = StillClock::new();
        let sigstore = open(directory.path(), &clock).await;
        Self {
            sigstore,
            clock,
            directory,
        }
    }

    /// Makes an instance that signs with keys that are kept elsewhere.
    pub(crate) async fn with_keys(keys: HeldKeys) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let init = InitOptions {
            url: URL.parse().unwrap(),
            now: UnixTime::from_millis(START),
        };
        Sigstore::init_with(directory.path(), &init, &keys).unwrap();
        let clock = StillClock::new();
        let options = Options {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            keys,
            ..Options::default()
        };
        Self {
            sigstore: Sigstore::open(directory.path(), options).await.unwrap(),
            clock,
            directory,
        }
    }

    pub(crate) fn token(&self) -> String {
        self.sigstore
            .identity_token(&TokenRequest::default())
            .unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.sigstore.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request: Request = request.body(body.into()).unwrap();
        self.sigstore.send(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Response {
        self.send(
            Method::POST,
            path,
            &[("content-type", "application/json")],
            body,
        )
        .await
    }

    /// Asks for a certificate with a proof over `signed`.
    pub(crate) async fn certify_with(
        &self,
        token: &str,
        key: &dyn Signer,
        signed: &str,
    ) -> Response {
        let request = SigningCertRequest {
            credentials: Some(Credentials {
                oidc_identity_token: token.to_owned(),
            }),
            public_key_request: Some(PublicKeyRequest {
                public_key: SubmittedKey {
                    content: key.public_key().to_pem(),
                },
                proof_of_possession: key.sign(signed.as_bytes()).unwrap(),
            }),
            ..SigningCertRequest::default()
        };
        self.post("/api/v2/signingCert", request.to_bytes()).await
    }

    pub(crate) async fn certify(&self, key: &dyn Signer) -> SigningCert {
        let response = self
            .certify_with(&self.token(), key, stella_server::DEFAULT_SUBJECT)
            .await;
        assert_eq!(response.status(), StatusCode::OK, "{:?}", response.body());
        SigningCert::parse(response.body()).unwrap()
    }

    pub(crate) async fn log(&self, request: &AddEntry) -> LogEntry {
        let response = self.post("/api/v2/log/entries", request.to_bytes()).await;
        assert_eq!(
            response.status(),
            StatusCode::CREATED,
            "{:?}",
            response.body()
        );
        stella_wire::rekor::parse_entry(response.body()).unwrap()
    }
}

/// A good request to log `message`, signed by a fresh key.
pub(crate) fn entry(message: &[u8]) -> AddEntry {
    let key = EphemeralKey::generate(P256).unwrap();
    let spki = key.public_key().spki().to_vec();
    AddEntry::HashedRekord(HashedRekordRequest {
        digest: DigestAlgorithm::Sha256.digest(message).bytes().to_vec(),
        signature: key.sign(message).unwrap(),
        verifier: Verifier {
            key: EntryVerifier::PublicKey(spki),
            details: P256,
        },
    })
}

/// Status and machine-readable reason of a refusal.
pub(crate) fn refusal(response: &Response) -> (u16, String) {
    let problem = Problem::parse(response.body());
    let reason = problem
        .as_ref()
        .and_then(Problem::reason)
        .unwrap_or_default()
        .to_owned();
    (response.status().as_u16(), reason)
}
