//! For tests: a transport that answers from a script, and a small site whose answers can be spoiled one by one.
//!
//! The whole private Sigstore is in `stella-server`, which this crate must not know.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use stella_bundle::certificate::{AlternativeName, Certificate, Claim};
use stella_bundle::entry::{
    CheckpointText, HashedRekord, InclusionProof, KindVersion, LogEntry, LogId,
};
use stella_bundle::issue::certificate::{
    Authority, CertificateTemplate, Extension, Name, Serial, Subject,
};
use stella_bundle::issue::sct::SctTemplate;
use stella_bundle::issue::timestamp::{self, TimestampInfo, TimestampTemplate};
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_bundle::sct;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::{
    self, CertificateAuthority, CertificateChain, LogKey, RawCertificate, TimeRange,
    TransparencyLog, TrustedRoot,
};
use stella_bundle::verify::Trust;
use stella_keys::{EphemeralKey, Signer};
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash;
use stella_tlog::note::{KeyName, SignatureType, VerifierKey, signature_line};
use stella_tlog::tree::TreeSize;
use stella_wire::fulcio::{SigningCert, SigningCertRequest};
use stella_wire::rekor::{self, AddEntry};
use stella_wire::transport::{Request, Response, Sending, Transport, TransportError};
use stella_wire::tsa::TimestampRequest;
use zeroize::Zeroizing;

use crate::oidc::{IdentityToken, TokenDemands, TokenOrigin};

/// The time at this site: 2026-11-20, a little after noon.
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_795_176_042);
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const SUBJECT: &str = "repo:o/r:ref:refs/heads/main";
pub(crate) const BASE: &str = "https://sigstore.example";
const ORIGIN: &str = "sigstore.example";

/// Runs a future that waits for nothing outside of it.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a scripted answer has nothing to wait for"),
    }
}

type Outcome = Result<Response, TransportError>;

/// Gives prepared answers in order, and keeps what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Outcome>>,
    asked: Mutex<Vec<Request>>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Outcome>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        }
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

impl Transport for Script {
    fn send(&self, request: Request) -> Sending<'_> {
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move { answer.unwrap_or_else(|| panic!("one request too many")) })
    }
}

/// Answers each request by a function.
pub(crate) struct Answering<F>(pub(crate) F);

impl<F: Fn(&Request) -> Outcome + Send + Sync> Transport for Answering<F> {
    fn send(&self, request: Request) -> Sending<'_> {
        let answer = (self.0)(&request);
        Box::pin(async move { answer })
    }
}

pub(crate) fn status(status: u16, body: impl Into<Bytes>) -> Outcome {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    Ok(answer)
}

pub(crate) fn refused() -> Outcome {
    let host = ORIGIN.to_owned();
    Err(TransportError::Refused { host })
}

/// A pause that only counts.
#[derive(Default)]
pub(crate) struct Counted(Mutex<Vec<Duration>>);

impl Counted {
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }
}

impl crate::retry::Waiting for Counted {
    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }

    fn wait(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.lock().unwrap().push(pause);
        Box::pin(async {})
    }

    fn jitter(&self) -> u32 {
        500
    }
}

/// A token with these claims besides the usual ones; `null` removes one.
pub(crate) fn token_text(claims: &serde_json::Value) -> Zeroizing<String> {
    let mut all = serde_json::json!({
        "iss": ISSUER, "sub": SUBJECT, "aud": "sigstore",
        "exp": NOW.seconds() + 300, "iat": NOW.seconds(), "nbf": NOW.seconds(),
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(serde_json::json!({"alg": "RS256", "kid": "1"}));
    Zeroizing::new(format!("{header}.{}.c2ln", part(all)))
}

pub(crate) fn token() -> IdentityToken {
    let demands = TokenDemands {
        audience: "sigstore",
        issuer: None,
    };
    let text = token_text(&serde_json::json!({}));
    IdentityToken::check(text, TokenOrigin::GivenByHand, &demands, NOW).unwrap()
}

/// What the site does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Flaw {
    #[default]
    None,
    AnotherBody,
    AnotherIssuer,
    AnotherKey,
    AnotherMessage,
    AnotherNonce,
    AnotherRoot,
    AnotherSubject,
    BadCheckpointSignature,
    BadProof,
    BadSct,
    BadTimestampSignature,
    ExpiredCertificate,
    NoBody,
    NoNonce,
    NoProof,
    NoSct,
    OldTimestamp,
    SlightlyAhead,
    TwoKinds,
    UnknownAuthority,
    UnknownLog,
}

/// A certificate authority, a CT log, a log and a timestamp authority.
pub(crate) struct Site {
    root: EphemeralKey,
    pub(crate) root_certificate: Vec<u8>,
    intermediate: EphemeralKey,
    intermediate_certificate: Vec<u8>,
    ct: EphemeralKey,
    log: EphemeralKey,
    tsa: EphemeralKey,
    tsa_certificate: Vec<u8>,
}

const P256: KeyDetails = KeyDetails::EcdsaP256Sha256;

fn subject(name: &str, key: &PublicKey, start: UnixTime, life: Duration) -> Subject {
    let mut serial = [0; 20];
    serial[..4].copy_from_slice(&key.key_id()[..4]);
    Subject {
        serial: Serial::from_random(serial),
        name: Name::new("site", name),
        public_key: key.spki().to_vec(),
        not_before: start,
        not_after: start.plus(life),
    }
}

fn authority(name: &str, key: &EphemeralKey) -> Authority {
    Authority {
        name: Name::new("site", name),
        public_key: key.public_key().spki().to_vec(),
        details: P256,
    }
}

fn signed(template: &CertificateTemplate, key: &EphemeralKey) -> Vec<u8> {
    template.assemble(&key.sign(&template.to_be_signed()).unwrap())
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);

impl Site {
    pub(crate) fn new() -> Self {
        let key = || EphemeralKey::generate(P256).unwrap();
        let (root, intermediate, tsa) = (key(), key(), key());
        let start = NOW.minus(YEAR);
        let life = YEAR * 5;
        let template =
            CertificateTemplate::root(subject("root", root.public_key(), start, life), P256);
        let root_certificate = signed(&template.unwrap(), &root);
        let above = authority("root", &root);
        let template = CertificateTemplate::intermediate(
            subject("intermediate", intermediate.public_key(), start, life),
            &above,
        );
        let intermediate_certificate = signed(&template.unwrap(), &root);
        let template = CertificateTemplate::timestamping(
            subject("tsa", tsa.public_key(), start, life),
            &above,
        );
        let tsa_certificate = signed(&template.unwrap(), &root);
        Self {
            root,
            root_certificate,
            intermediate,
            intermediate_certificate,
            ct: key(),
            log: EphemeralKey::generate(KeyDetails::Ed25519).unwrap(),
            tsa,
            tsa_certificate,
        }
    }

    fn vkey(&self) -> VerifierKey {
        let name = KeyName::new(ORIGIN).unwrap();
        VerifierKey::new(name, SignatureType::Ed25519, self.log.public_key().bits()).unwrap()
    }

    pub(crate) fn trusted_root(&self) -> TrustedRoot {
        let range = || Some(TimeRange::from_start(NOW.minus(YEAR)));
        let log = |key: &EphemeralKey, id: Vec<u8>| TransparencyLog {
            base_url: BASE.to_owned(),
            hash_algorithm: "SHA2_256".to_owned(),
            public_key: LogKey {
                raw_bytes: key.public_key().spki().to_vec(),
                key_details: key.details().name().to_owned(),
                valid_for: range(),
            },
            log_id: LogId { key_id: id },
            checkpoint_key_id: None,
            operator: String::new(),
        };
        let chain = |certificates: &[&Vec<u8>]| CertificateAuthority {
            subject: None,
            uri: BASE.to_owned(),
            cert_chain: CertificateChain {
                certificates: certificates
                    .iter()
                    .map(|der| RawCertificate {
                        raw_bytes: (*der).clone(),
                    })
                    .collect(),
            },
            valid_for: range(),
            operator: String::new(),
        };
        TrustedRoot {
            media_type: trusted_root::MEDIA_TYPE.to_owned(),
            tlogs: vec![log(&self.log, self.vkey().log_id().to_vec())],
            certificate_authorities: vec![chain(&[
                &self.intermediate_certificate,
                &self.root_certificate,
            ])],
            ctlogs: vec![log(&self.ct, self.ct.public_key().key_id().to_vec())],
            timestamp_authorities: vec![chain(&[&self.tsa_certificate, &self.root_certificate])],
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        let trust = Trust::new(&self.trusted_root());
        assert_eq!(trust.unusable(), []);
        trust
    }

    /// Answers as the service of the request's path would, but for `flaw`.
    pub(crate) fn answer(&self, request: &Request, flaw: Flaw) -> Outcome {
        match request.uri().path() {
            "/api/v2/signingCert" => self.certificate(request.body(), flaw),
            "/api/v2/log/entries" => self.entry(request.body(), flaw),
            "/api/v1/timestamp" => self.timestamp(request.body(), flaw),
            other => panic!("{other}"),
        }
    }

    fn certificate(&self, body: &[u8], flaw: Flaw) -> Outcome {
        let request = SigningCertRequest::parse(body).unwrap();
        assert!(request.token().is_some());
        let wanted = request.public_key_request.unwrap();
        let key = PublicKey::from_pem(&wanted.public_key.content).unwrap();
        key.verify(SUBJECT.as_bytes(), &wanted.proof_of_possession)
            .unwrap();

        let another = EphemeralKey::generate(P256).unwrap();
        let certified = match flaw {
            Flaw::AnotherKey => another.public_key().clone(),
            _ => key,
        };
        let start = match flaw {
            Flaw::ExpiredCertificate => NOW.minus(Duration::from_secs(601)),
            Flaw::SlightlyAhead => NOW.plus(Duration::from_secs(30)),
            _ => NOW,
        };
        let claim = |claim, value: &str, flawed: bool| {
            let value = if flawed { "another" } else { value };
            Extension::claim(claim, value)
        };
        let claims = vec![
            claim(Claim::Issuer, ISSUER, flaw == Flaw::AnotherIssuer),
            claim(Claim::TokenSubject, SUBJECT, flaw == Flaw::AnotherSubject),
        ];
        let above = authority("intermediate", &self.intermediate);
        let template = CertificateTemplate::signer(
            subject("leaf", &certified, start, Duration::from_secs(600)),
            &AlternativeName::Uri("https://o.example/r".to_owned()),
            claims,
            &above,
        )
        .unwrap();
        let issuer = match flaw {
            Flaw::AnotherRoot => &another,
            _ => &self.intermediate,
        };
        let leaf = signed(&self.with_sct(template, flaw), issuer);
        let chain = vec![
            leaf,
            self.intermediate_certificate.clone(),
            self.root_certificate.clone(),
        ];
        let answer = SigningCert {
            chain,
            detached_sct: None,
        };
        status(200, answer.to_bytes())
    }

    fn with_sct(&self, template: CertificateTemplate, flaw: Flaw) -> CertificateTemplate {
        if flaw == Flaw::NoSct {
            return template;
        }
        let bare = Certificate::parse(&template.assemble(&[0; 8])).unwrap();
        let promise = SctTemplate {
            timestamp: NOW,
            issuer_key_hash: self.intermediate.public_key().key_id(),
            tbs_certificate: sct::tbs_without_scts(&bare).unwrap(),
            extensions: Vec::new(),
        };
        let signer = if flaw == Flaw::BadSct {
            &self.root
        } else {
            &self.ct
        };
        let signature = signer.sign(&promise.to_be_signed()).unwrap();
        let sct = promise.assemble(self.ct.public_key().key_id(), signature);
        template.with(Extension::sct_list(&[sct]))
    }

    fn entry(&self, body: &[u8], flaw: Flaw) -> Outcome {
        let AddEntry::HashedRekord(request) = AddEntry::parse(body).unwrap() else {
            panic!("another kind")
        };
        let algorithm = request.verifier.details.hash().unwrap();
        let mut record = HashedRekord {
            digest: stella_bundle::digest::Digest::new(algorithm, &request.digest).unwrap(),
            signature: request.signature,
            verifier: request.verifier.key,
            details: request.verifier.details,
        };
        if flaw == Flaw::AnotherBody {
            record.signature.push(0);
        }
        let body = record.to_body();
        let (first, second) = (hash::leaf(b"genesis"), hash::leaf(&body));
        let root = hash::node(&first, &second);
        let checkpoint = Checkpoint {
            origin: ORIGIN.to_owned(),
            size: TreeSize(2),
            root,
            extensions: Vec::new(),
        };
        let text = checkpoint.to_string();
        let mut signature = self.log.sign(text.as_bytes()).unwrap();
        if flaw == Flaw::BadCheckpointSignature {
            signature[7] ^= 1;
        }
        let envelope = format!("{text}\n{}", signature_line(&self.vkey(), &signature));
        let sibling = if flaw == Flaw::BadProof {
            second
        } else {
            first
        };
        let proof = InclusionProof {
            log_index: 1,
            root_hash: root.as_bytes().to_vec(),
            tree_size: 2,
            hashes: vec![sibling.as_bytes().to_vec()],
            checkpoint: CheckpointText { envelope },
        };
        let entry = LogEntry {
            log_index: 1,
            log_id: LogId {
                key_id: match flaw {
                    Flaw::UnknownLog => vec![7; 32],
                    _ => self.vkey().log_id().to_vec(),
                },
            },
            kind_version: match flaw {
                Flaw::TwoKinds => KindVersion {
                    kind: "dsse".to_owned(),
                    version: "0.0.2".to_owned(),
                },
                _ => HashedRekord::kind_version(),
            },
            inclusion_proof: (flaw != Flaw::NoProof).then_some(proof),
            canonicalized_body: if flaw == Flaw::NoBody {
                Vec::new()
            } else {
                body
            },
            ..LogEntry::default()
        };
        status(201, rekor::entry_to_bytes(&entry))
    }

    fn timestamp(&self, body: &[u8], flaw: Flaw) -> Outcome {
        let request = TimestampRequest::from_der(body).unwrap();
        let other = stella_bundle::digest::DigestAlgorithm::Sha256.digest(b"another");
        let other = timestamp::message_imprint(other.algorithm(), other.bytes());
        let info = TimestampInfo {
            policy: "1.3.6.1.4.1.57264.2".parse().unwrap(),
            imprint: if flaw == Flaw::AnotherMessage {
                other
            } else {
                request.imprint
            },
            serial: [1; 16],
            time: match flaw {
                Flaw::OldTimestamp => NOW.minus(Duration::from_secs(3_600)),
                _ => NOW,
            },
            nonce: match flaw {
                Flaw::AnotherNonce => Some(vec![1]),
                Flaw::NoNonce => None,
                _ => request.nonce,
            },
        };
        let stranger = Self::stranger();
        let (certificate, key) = match flaw {
            Flaw::UnknownAuthority => (&stranger.0, &stranger.1),
            Flaw::BadTimestampSignature => (&self.tsa_certificate, &self.root),
            _ => (&self.tsa_certificate, &self.tsa),
        };
        let template = TimestampTemplate::new(&info, certificate, P256).unwrap();
        let signature = key.sign(template.to_be_signed()).unwrap();
        let token = template.assemble(&signature, std::slice::from_ref(certificate));
        status(200, timestamp::granted(&token))
    }

    /// A timestamp authority of nobody that is trusted.
    fn stranger() -> (Vec<u8>, EphemeralKey) {
        let (root, key) = (
            EphemeralKey::generate(P256).unwrap(),
            EphemeralKey::generate(P256).unwrap(),
        );
        let template = CertificateTemplate::timestamping(
            subject("stranger", key.public_key(), NOW.minus(YEAR), YEAR * 2),
            &authority("elsewhere", &root),
        );
        (signed(&template.unwrap(), &root), key)
    }
}
