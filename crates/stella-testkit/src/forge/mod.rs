//! A forge: bundles of every form that any client ever wrote, good ones, made offline by keys of its own.
//!
//! Tests spoil them afterwards, or ask for certificates of a bad shape. How real services issue is not here: that is
//! [`crate::World`].

pub mod certificate;
pub mod exceptions;
mod form;
pub mod log;
pub mod mutants;
pub mod short_hash;

use std::time::Duration;

use const_oid::ObjectIdentifier;
use serde_json::{Value, json};
use stella_bundle::certificate::Certificate;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::envelope::{self, IN_TOTO};
use stella_bundle::identity::{AnyOf, CertificateIdentity, Identities};
use stella_bundle::issue::timestamp::{self, TimestampInfo, TimestampTemplate};
use stella_bundle::json::encode_base64;
use stella_bundle::key::KeyDetails;
use stella_bundle::pem;
use stella_bundle::statement::{Statement, Subject};
use stella_bundle::verify::{
    Artifact, IdentityRule, LogRule, ManagedKey, Policy, Report, Trust, Verifier,
};
use stella_keys::{EphemeralKey, Signer};
use stella_tlog::quorum;

pub use stella_bundle::time::UnixTime;

pub use certificate::{Certified, Extension, Sketch};
pub use form::{EntryForm, Form, Material, REKOR_2, What};
pub use log::{Cosigner, ForgeLog};

/// The moment in which everything of the forge is signed: 2026-01-15T08:00:00Z.
pub const NOW: UnixTime = UnixTime::from_seconds(1_768_464_000);
/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);
/// 365 days.
pub const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// What is signed.
pub const ARTIFACT: &[u8] = b"an artifact of the forge\n";

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The certificate's only name, a URI.
    pub name: &'static str,
    /// The issuer of the token.
    pub issuer: &'static str,
    /// The token's subject.
    pub subject: &'static str,
}

/// The signer of every bundle.
pub const SIGNER: Identity = Identity {
    name: "https://ci.example.com/org/app/release@refs/heads/main",
    issuer: "https://token.example.com",
    subject: "repo:org/app:ref:refs/heads/main",
};

/// A bundle with what verifies it.
#[derive(Clone, Debug)]
pub struct Forged {
    /// The bundle, as JSON.
    pub bundle: Value,
    /// Who may sign, and what must be shown.
    pub policy: Policy,
}

impl Forged {
    /// Returns the managed key that verifies the bundle, in PEM; none when a certificate has it.
    #[must_use]
    pub fn key_pem(&self) -> Option<String> {
        let keys = &self.policy.keys.as_ref()?.keys;
        keys.first().map(|managed| managed.key.to_pem())
    }
}

/// Keys and chains of every service.
#[derive(Debug)]
pub struct Forge {
    /// The certificate authority's root.
    pub root: Certified,
    /// What issues signing certificates.
    pub intermediate: Certified,
    /// The timestamp authorities, below the root.
    pub timestamping: [Certified; 2],
    /// The CT logs' keys.
    pub ct: [EphemeralKey; 2],
    /// Rekor v1.
    pub rekor_1: ForgeLog,
    /// Rekor v2.
    pub rekor_2: ForgeLog,
    /// A witness's key.
    pub witness: EphemeralKey,
}

impl Default for Forge {
    fn default() -> Self {
        Self::new()
    }
}

impl Forge {
    /// Makes all keys anew, authorities on P-256 as our own instance has them.
    #[must_use]
    pub fn new() -> Self {
        Self::with_authorities(KeyDetails::EcdsaP256Sha256)
    }

    /// Makes all keys anew, certificate authorities on this curve: the public-good
    /// instance has P-384.
    #[must_use]
    pub fn with_authorities(algorithm: KeyDetails) -> Self {
        let p256 = || key(KeyDetails::EcdsaP256Sha256);
        let root = Certified::root("root", algorithm);
        Self {
            intermediate: Certified::intermediate("intermediate", &root),
            timestamping: [
                Certified::timestamping("first authority", &root),
                Certified::timestamping("second authority", &root),
            ],
            root,
            ct: [p256(), p256()],
            rekor_1: ForgeLog {
                key: p256(),
                url: "https://rekor.example.com".to_owned(),
                origin: "rekor.example.com - 1193050959916656506".to_owned(),
            },
            rekor_2: ForgeLog {
                key: key(KeyDetails::Ed25519),
                url: "https://log2027.example.com".to_owned(),
                origin: "log2027.example.com".to_owned(),
            },
            witness: key(KeyDetails::Ed25519),
        }
    }

    /// Returns the trusted root of all services, in service for a year already.
    #[must_use]
    pub fn trusted_root(&self) -> Value {
        let since = json!({"start": NOW.minus(YEAR).to_string()});
        let chain = |parts: &[&Certified]| {
            let raw =
                |each: &&Certified| json!({"rawBytes": encode_base64(each.certificate.der())});
            json!({"certificates": parts.iter().map(raw).collect::<Vec<_>>()})
        };
        let authority = |uri: &str, parts: &[&Certified]| {
            let subject = json!({"organization": "forge", "commonName": uri});
            json!({"subject": subject, "uri": uri, "certChain": chain(parts), "validFor": since})
        };
        let log = |url: &str, key: &EphemeralKey, id: &[u8]| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": encode_base64(key.public_key().spki()),
                    "keyDetails": key.details().name(),
                    "validFor": since,
                },
                "logId": {"keyId": encode_base64(id)},
            })
        };
        let of = |each: &ForgeLog| log(&each.url, &each.key, &each.id());
        let ct = |(at, key): (usize, &EphemeralKey)| {
            log(
                &format!("https://ct{at}.example.com"),
                key,
                &key.public_key().key_id(),
            )
        };
        let stamps = |(at, each): (usize, &Certified)| {
            authority(&format!("https://tsa{at}.example.com"), &[each, &self.root])
        };
        json!({
            "mediaType": stella_bundle::trusted_root::MEDIA_TYPE,
            "tlogs": [of(&self.rekor_1), of(&self.rekor_2)],
            "certificateAuthorities": [authority("https://fulcio.example.com", &[&self.intermediate, &self.root])],
            "ctlogs": self.ct.iter().enumerate().map(ct).collect::<Vec<_>>(),
            "timestampAuthorities": self.timestamping.iter().enumerate().map(stamps).collect::<Vec<_>>(),
        })
    }

    /// Makes a good bundle over [`ARTIFACT`].
    #[must_use]
    pub fn make(&self, form: &Form) -> Forged {
        self.make_shaped(form, |_| {})
    }

    /// Makes a bundle whose certificate has another shape, before any CT log sees it.
    #[must_use]
    pub fn make_shaped(&self, form: &Form, shape: impl FnOnce(&mut Sketch)) -> Forged {
        let key = form.key();
        let leaf = match form.material {
            Material::Key => None,
            _ => Some(self.leaf(form, &*key, shape)),
        };
        self.assemble(form, &*key, leaf)
    }

    /// Returns a ten-minute certificate for `key`.
    pub fn leaf(&self, form: &Form, key: &dyn Signer, shape: impl FnOnce(&mut Sketch)) -> Vec<u8> {
        let mut sketch = certificate::leaf(key, &self.intermediate, &SIGNER);
        shape(&mut sketch);
        let promise = |(at, log): (u64, &EphemeralKey)| {
            certificate::promise(&sketch, &self.intermediate, log, at)
        };
        let scts: Vec<_> = (0..)
            .zip(self.ct.iter().take(form.scts))
            .map(promise)
            .collect();
        if !scts.is_empty() {
            sketch.put(certificate::sct_list(&scts));
        }
        sketch.sign(&self.intermediate.key)
    }

    /// Signs, logs and stamps with a key and its certificate.
    #[must_use]
    pub fn assemble(&self, form: &Form, key: &dyn Signer, leaf: Option<Vec<u8>>) -> Forged {
        let mut all = self.assemble_many(form, key, leaf, 1);
        Forged {
            bundle: all.swap_remove(0),
            policy: self.policy(form, key),
        }
    }

    /// Makes bundles that share one certificate, or key, and one checkpoint of each log.
    #[must_use]
    pub fn make_many(&self, form: &Form, count: usize) -> Vec<Value> {
        let key = form.key();
        let leaf = match form.material {
            Material::Key => None,
            _ => Some(self.leaf(form, &*key, |_| {})),
        };
        self.assemble_many(form, &*key, leaf, count)
    }

    fn assemble_many(
        &self,
        form: &Form,
        key: &dyn Signer,
        leaf: Option<Vec<u8>>,
        count: usize,
    ) -> Vec<Value> {
        // 1. The signatures.
        let payload = statement();
        let message = match form.what {
            What::Message => ARTIFACT.to_vec(),
            What::Statement => envelope::pae(IN_TOTO, &payload),
        };
        let signatures: Vec<Vec<u8>> = (0..count).map(|_| sign(key, &message)).collect();
        let hash = form.hash();
        // 2. The entries, for each log those of all signatures.
        let parts = |signature| log::BodyParts {
            pem: match &leaf {
                Some(der) => pem::encode("CERTIFICATE", der),
                None => key.public_key().to_pem(),
            },
            der: match &leaf {
                Some(der) => ("x509Certificate", der.clone()),
                None => ("publicKey", key.public_key().spki().to_vec()),
            },
            details: form.algorithm.name(),
            signature,
            message: &message,
            hash,
            payload: &payload,
        };
        let cosigner = form.witnessed.then_some(Cosigner {
            name: "witness.example.com",
            key: &self.witness,
        });
        let entries_of = |each: &EntryForm| {
            let is_v2 = each.kind.1 == "0.0.2" && each.kind.0 != "intoto";
            let log = if is_v2 { &self.rekor_2 } else { &self.rekor_1 };
            let body = |signature| parts(signature).body(each.kind);
            let bodies: Vec<Vec<u8>> = signatures.iter().map(|each| body(each)).collect();
            log.entries(each, &bodies, NOW, cosigner)
        };
        let logs: Vec<Vec<Value>> = form.entries.iter().map(entries_of).collect();
        // 3. The bundles.
        let hint = encode_base64(&key.public_key().key_id());
        let bundle = |(at, signature): (usize, &Vec<u8>)| {
            let mut material = match (form.material, &leaf) {
                (Material::Certificate, Some(der)) => {
                    json!({"certificate": {"rawBytes": encode_base64(der)}})
                }
                (Material::Chain, Some(der)) => json!({"x509CertificateChain": {"certificates": [
                    {"rawBytes": encode_base64(der)},
                    {"rawBytes": encode_base64(self.intermediate.certificate.der())},
                ]}}),
                _ => json!({"publicKey": {"hint": hint}}),
            };
            let stamped = |each: &Certified| json!({"signedTimestamp": encode_base64(&stamp(each, signature, NOW))});
            let stamps = self.timestamping.iter().take(form.timestamps).map(stamped);
            material["tlogEntries"] = logs.iter().map(|entries| entries[at].clone()).collect();
            material["timestampVerificationData"] =
                json!({"rfc3161Timestamps": stamps.collect::<Vec<_>>()});
            let mut bundle = json!({
                "mediaType": media_type(form.version),
                "verificationMaterial": material,
            });
            let (name, content) = content(form, hash, &payload, signature);
            bundle[name] = content;
            bundle
        };
        signatures.iter().enumerate().map(bundle).collect()
    }

    /// Returns the policy that accepts a bundle of this form, and asks for everything that it has.
    fn policy(&self, form: &Form, key: &dyn Signer) -> Policy {
        let mut policy = match form.material {
            Material::Key => Policy::for_keys(vec![ManagedKey::from(key.public_key().clone())]),
            _ => Policy::for_certificates(rule(&SIGNER)),
        };
        let evidence = [
            policy.certificates.as_mut().map(|rule| &mut rule.evidence),
            policy.keys.as_mut().map(|rule| &mut rule.evidence),
        ];
        for evidence in evidence.into_iter().flatten() {
            evidence.timestamps = form.timestamps;
            if let LogRule::Require { logs, .. } = &mut evidence.log {
                *logs = form.entries.len();
            }
            if form.entries.is_empty() {
                evidence.log = LogRule::WithoutLogUnsafe;
            }
            if form.witnessed {
                evidence.witnesses = Some(self.quorum());
            }
        }
        policy
    }

    /// Returns the policy file of both logs and the witness.
    #[must_use]
    pub fn quorum(&self) -> quorum::Policy {
        let witness = log::witness_key("witness.example.com", &self.witness);
        // Rekor v1's origin has spaces, so its notes are checked by the key of the host alone.
        let logs = format!("log {}\n", self.rekor_2.verifier_key());
        must(quorum::Policy::parse(&format!(
            "{logs}witness w1 {witness}\nquorum w1\n"
        )))
    }

    /// Verifies a bundle as JSON, thirty years later: no clock has a say in what an old signature is worth.
    ///
    /// # Errors
    /// The parser's words, when it is not a bundle.
    pub fn verify(&self, bundle: &Value, policy: &Policy) -> Result<Report, String> {
        let trust = trust(&self.trusted_root());
        verify(&Verifier::new(trust, policy.clone()), bundle)
    }
}

/// Stamps `message` at `time`; the answer in DER.
#[must_use]
pub fn stamp(authority: &Certified, message: &[u8], time: UnixTime) -> Vec<u8> {
    let info = TimestampInfo {
        policy: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2"),
        imprint: timestamp::message_imprint(
            DigestAlgorithm::Sha256,
            DigestAlgorithm::Sha256.digest(message).bytes(),
        ),
        serial: [1; 16],
        time,
        nonce: None,
    };
    let der = authority.certificate.der();
    let template = must(TimestampTemplate::new(&info, der, authority.key.details()));
    let signature = sign(&authority.key, template.to_be_signed());
    timestamp::granted(&template.assemble(&signature, &[der.to_vec()]))
}

fn media_type(version: &str) -> String {
    match version {
        "0.3" => "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned(),
        version => format!("application/vnd.dev.sigstore.bundle+json;version={version}"),
    }
}

/// Returns what is signed, under the name of its field.
fn content(
    form: &Form,
    hash: DigestAlgorithm,
    payload: &[u8],
    signature: &[u8],
) -> (&'static str, Value) {
    let signature = encode_base64(signature);
    match form.what {
        What::Message => {
            let digest = encode_base64(hash.digest(ARTIFACT).bytes());
            let digest = json!({"algorithm": hash.sigstore_name(), "digest": digest});
            let message = json!({"messageDigest": digest, "signature": signature});
            ("messageSignature", message)
        }
        What::Statement => {
            let envelope = json!({
                "payload": encode_base64(payload),
                "payloadType": IN_TOTO,
                "signatures": [{"sig": signature}],
            });
            ("dsseEnvelope", envelope)
        }
    }
}

/// Verifies a bundle as JSON over [`ARTIFACT`].
///
/// # Errors
/// The parser's words, when it is not a bundle.
pub fn verify(verifier: &Verifier, bundle: &Value) -> Result<Report, String> {
    let bundle = stella_bundle::bundle::Bundle::parse(bundle.to_string().as_bytes())
        .map_err(|error| error.to_string())?;
    Ok(verifier.verify(&bundle, &Artifact::Bytes(ARTIFACT), NOW.plus(YEAR * 30)))
}

/// Makes a trusted root in JSON ready.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn trust(root: &Value) -> Trust {
    let root = stella_bundle::trusted_root::TrustedRoot::parse(root.to_string().as_bytes());
    Trust::new(&must(root))
}

/// Returns the rule that accepts one identity by its certificate's name.
#[must_use]
pub fn rule(identity: &Identity) -> IdentityRule {
    let identity = must(CertificateIdentity::parse(identity.name, identity.issuer));
    let any = AnyOf::new(vec![identity]).map(Identities::AnyOf);
    any.map_or(IdentityRule::NotGiven, IdentityRule::Given)
}

/// The statement about [`ARTIFACT`].
#[must_use]
pub fn statement() -> Vec<u8> {
    let subject = Subject::new(
        Some("app".into()),
        &DigestAlgorithm::Sha256.digest(ARTIFACT),
    );
    Statement::new(
        vec![subject],
        "https://example.com/verdict/v1",
        &json!({"result": "allow"}),
    )
    .to_bytes()
}

/// Makes a key.
///
/// # Panics
/// When the system gives no randomness.
#[must_use]
pub fn key(details: KeyDetails) -> EphemeralKey {
    must(EphemeralKey::generate(details))
}

/// Signs.
///
/// # Panics
/// When the key does not.
pub fn sign(key: &dyn Signer, message: &[u8]) -> Vec<u8> {
    must(key.sign(message))
}

/// Parses a certificate.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn parsed(der: &[u8]) -> Certificate {
    must(Certificate::parse(der))
}

#[expect(
    clippy::panic,
    reason = "what the forge makes is good, or the test has no ground"
)]
pub(crate) fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the forge failed: {error}"),
    }
}
