//! Sign statements or artifacts, keyless or with a kept key: the story from a key to a bundle that a stranger accepts.

use std::borrow::Cow;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use stella_bundle::bundle::{Bundle, BundleError, Content, KeyMaterial};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::entry::{EntryVerifier, HashedRekord, LogEntry};
use stella_bundle::envelope::{self, Envelope, EnvelopeSignature, IN_TOTO};
use stella_bundle::identity::Identities;
use stella_bundle::json;
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_bundle::statement::{Statement, Subject};
use stella_bundle::verify::{
    Artifact, CertificateRule, IdentityRule, KeyRule, LogRule, ManagedKey, Policy, Verified,
    Verifier, VerifyError,
};
use stella_client::error::ClientError;
use stella_client::fulcio::CertificateDemands;
use stella_client::oidc::IdentityToken;
use stella_keys::{EphemeralKey, Input, KeyError, Signer};

use crate::session::{Session, Step};

/// So many signatures are witnessed at once.
const AT_ONCE: usize = 8;

/// The ways in which signing ends without a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The bundle cannot be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A service refused, failed or gave an answer that is not to be believed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The key could not be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No authority is known that could certify a key.
    #[error("no certificate authority (Fulcio) to certify the key")]
    NoAuthority,
    /// Signatures by this kind of key cannot be logged.
    #[error("signatures by {} keys cannot be logged", .0.name())]
    NotLoggable(KeyDetails),
    /// The finished bundle does not verify: it never leaves.
    #[error("the finished bundle does not verify: {0}")]
    SelfCheck(VerifyError),
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// An artifact's bytes themselves.
    Artifact(&'a [u8]),
    /// An artifact that may be larger than memory, by its digests; the key's own ([`Signer::prehash`]) must be among them.
    Digests(&'a [Digest]),
    /// A statement, in a DSSE envelope.
    Statement(&'a Statement),
}

/// A bundle that was verified before it left.
#[derive(Debug)]
pub struct Signed {
    /// The bundle.
    pub bundle: Bundle,
    /// Its bytes, Sigstore bundle v0.3.
    pub bytes: Vec<u8>,
    /// What was verified of it.
    pub verified: Verified,
}

/// Who signs.
#[derive(Clone, Copy)]
pub enum Signatory<'a> {
    /// A new key that exists only during this call, certified for the identity in a token.
    Keyless {
        /// Who it is.
        token: &'a IdentityToken,
        /// The kind of key.
        algorithm: KeyDetails,
    },
    /// A key that somebody keeps, certified for the identity in a token.
    Certified {
        /// The key.
        key: &'a dyn Signer,
        /// Who it is.
        token: &'a IdentityToken,
    },
    /// A key that somebody keeps, and that verifiers know.
    Managed {
        /// The key.
        key: &'a dyn Signer,
    },
}

/// Signs one message.
///
/// # Errors
/// Any [`SignError`]; nothing is left behind but what the services recorded.
pub async fn sign(
    session: &Session<'_>,
    signatory: Signatory<'_>,
    message: Message<'_>,
) -> Result<Signed, SignError> {
    let mut signed = sign_many(session, signatory, &[message]).await?;
    Ok(signed.swap_remove(0))
}

/// Signs several messages with one key, and one certificate if there is any; the bundles come in the order of the messages.
///
/// # Errors
/// Any [`SignError`]; then some of the messages may be logged already.
pub async fn sign_many(
    session: &Session<'_>,
    signatory: Signatory<'_>,
    messages: &[Message<'_>],
) -> Result<Vec<Signed>, SignError> {
    // 1. A key signs each; a new one is forgotten when this returns.
    let signatures = sign_each(session, signatory, messages).await?;

    // 2. Others bear witness to them, side by side, and the bundles are closed.
    let finishing = messages.iter().copied().zip(signatures.each);
    let (details, origin) = (signatures.details, &signatures.origin);
    let finishing =
        finishing.map(|(message, signature)| finish(session, details, origin, message, signature));
    stream::iter(finishing)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// What a key gave.
struct Signatures {
    details: KeyDetails,
    origin: Origin,
    /// One for each message, in their order.
    each: Vec<Vec<u8>>,
}

async fn sign_each(
    session: &Session<'_>,
    signatory: Signatory<'_>,
    messages: &[Message<'_>],
) -> Result<Signatures, SignError> {
    // 1. The key: a new one for this call alone, or the one that is kept.
    let new;
    let (key, token): (&dyn Signer, _) = match signatory {
        Signatory::Keyless { token, algorithm } => {
            new = EphemeralKey::generate(algorithm)?;
            (&new, Some(token))
        }
        Signatory::Certified { key, token } => (key, Some(token)),
        Signatory::Managed { key } => (key, None),
    };
    let details = key.details();
    let is_logged = token.is_some() || !session.services.logs.is_empty();
    if is_logged && details.hash().is_none() {
        return Err(SignError::NotLoggable(details));
    }
    (session.done)(Step::Key);

    // 2. By what it is known: a certificate for an identity, or itself.
    let origin = match token {
        Some(token) => certify(session, key, token).await?,
        None => Origin::Key(key.public_key().clone()),
    };

    // 3. It signs each.
    let to_be_signed = messages.iter().map(|each| each.to_be_signed(details));
    let to_be_signed = to_be_signed.collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<Input<'_>> = to_be_signed.iter().map(ToBeSigned::input).collect();
    let signatures = key.sign_many(&inputs)?;
    for (each, signature) in to_be_signed.iter().zip(&signatures) {
        // A device or a service may do something else than it was asked for.
        let verified = each.verify(key.public_key(), details, signature);
        verified.map_err(|_| KeyError::WrongSignature)?;
    }
    (session.done)(Step::Signature);
    Ok(Signatures {
        details,
        origin,
        each: signatures,
    })
}

/// With what a verifier will verify.
enum Origin {
    /// A certificate in DER.
    Certificate(Vec<u8>),
    /// A key that the verifier has.
    Key(PublicKey),
}

impl Origin {
    /// Returns the name by which bundle and envelope hint at a key; empty for a certificate.
    fn hint(&self) -> String {
        match self {
            Self::Certificate(_) => String::new(),
            Self::Key(key) => json::encode_base64(&key.key_id()),
        }
    }
}

/// Has the key certified for the identity in a token.
async fn certify(
    session: &Session<'_>,
    key: &dyn Signer,
    token: &IdentityToken,
) -> Result<Origin, SignError> {
    let demands = CertificateDemands {
        trust: session.trust,
        root_bundle: session.root_bundle,
        sct: session.sct,
        now: (session.now)(),
    };
    let fulcio = session.services.fulcio.as_ref();
    let fulcio = fulcio.ok_or(SignError::NoAuthority)?;
    let certificate = fulcio
        .certificate(session.transport, key, token, &demands)
        .await?;
    (session.done)(Step::Certificate);
    Ok(Origin::Certificate(certificate.leaf.der().to_vec()))
}

/// Closes the bundle around a signature that a kept key made over a statement.
pub(crate) async fn close(
    session: &Session<'_>,
    details: KeyDetails,
    key: &PublicKey,
    statement: &Statement,
    signature: Vec<u8>,
) -> Result<Signed, SignError> {
    let origin = Origin::Key(key.clone());
    let message = Message::Statement(statement);
    finish(session, details, &origin, message, signature).await
}

/// From a signature to a bundle that a stranger accepts.
async fn finish(
    session: &Session<'_>,
    details: KeyDetails,
    origin: &Origin,
    message: Message<'_>,
    signature: Vec<u8>,
) -> Result<Signed, SignError> {
    // 1. Others bear witness to it: at what time, and in the open.
    let record = record(session, details, origin, message, &signature)?;
    let (timestamps, entries) =
        tokio::try_join!(stamp(session, &signature), log(session, record.as_ref()))?;
    (session.done)(Step::Witnessed);

    // 2. The bundle, verified as a stranger would verify it before it leaves.
    let bundle = Bundle {
        version: stella_bundle::bundle::Version::V0_3,
        key: match origin {
            Origin::Certificate(leaf) => KeyMaterial::Certificates(vec![leaf.clone()]),
            Origin::Key(_) => KeyMaterial::PublicKey {
                hint: origin.hint(),
            },
        },
        entries,
        timestamps,
        stamped: None,
        content: message.to_content(details, signature)?,
    };
    let bytes = bundle.to_json()?;
    let verified = self_check(session, details, origin, message, &bytes)?;
    (session.done)(Step::Verified);
    Ok(Signed {
        bundle,
        bytes,
        verified,
    })
}

/// Returns what logs are told; none where none is.
fn record(
    session: &Session<'_>,
    details: KeyDetails,
    origin: &Origin,
    message: Message<'_>,
    signature: &[u8],
) -> Result<Option<HashedRekord>, KeyError> {
    let hash = details.hash();
    let Some(hash) = hash.filter(|_| !session.services.logs.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(HashedRekord {
        digest: match message.to_be_signed(details)? {
            ToBeSigned::Digest(digest) => digest.clone(),
            ToBeSigned::Message(message) => hash.digest(&message),
        },
        signature: signature.to_vec(),
        verifier: match origin {
            Origin::Certificate(leaf) => EntryVerifier::Certificate(leaf.clone()),
            Origin::Key(key) => EntryVerifier::PublicKey(key.spki().to_vec()),
        },
        details,
    }))
}

/// What a key signs of a message: its digest where that is all that is known.
enum ToBeSigned<'a> {
    Digest(&'a Digest),
    Message(Cow<'a, [u8]>),
}

impl ToBeSigned<'_> {
    fn input(&self) -> Input<'_> {
        match self {
            Self::Digest(digest) => Input::Digest(digest),
            Self::Message(message) => Input::Message(message),
        }
    }

    fn verify(
        &self,
        key: &PublicKey,
        details: KeyDetails,
        signature: &[u8],
    ) -> Result<(), stella_bundle::key::KeyError> {
        match self {
            Self::Digest(digest) => key.verify_digest(details.scheme(), digest, signature),
            Self::Message(message) => key.verify_as(details, message, signature),
        }
    }
}

impl<'a> Message<'a> {
    /// Returns what a key that signs so is given.
    ///
    /// # Errors
    /// `WholeMessage` when the digest by the key's hash is not among those that are known, or no digest is enough.
    fn to_be_signed(self, details: KeyDetails) -> Result<ToBeSigned<'a>, KeyError> {
        Ok(match self {
            Self::Artifact(bytes) => ToBeSigned::Message(Cow::Borrowed(bytes)),
            Self::Digests(digests) => {
                let is_asked = |each: &&Digest| details.hash() == Some(each.algorithm());
                let digest = digests.iter().find(is_asked);
                ToBeSigned::Digest(digest.ok_or(KeyError::WholeMessage)?)
            }
            Self::Statement(statement) => {
                ToBeSigned::Message(Cow::Owned(envelope::pae(IN_TOTO, &statement.to_bytes())))
            }
        })
    }

    fn to_content(self, details: KeyDetails, signature: Vec<u8>) -> Result<Content, KeyError> {
        Ok(match self {
            Self::Artifact(_) | Self::Digests(_) => Content::Message {
                digest: Some(match self.to_be_signed(details)? {
                    ToBeSigned::Digest(digest) => digest.clone(),
                    // A hint; where the whole message is signed, it is that of the hash that everyone knows.
                    ToBeSigned::Message(bytes) => {
                        let hash = details.hash().unwrap_or(DigestAlgorithm::Sha256);
                        hash.digest(&bytes)
                    }
                }),
                signature,
            },
            Self::Statement(statement) => Content::Envelope(Envelope {
                payload: statement.to_bytes(),
                payload_type: IN_TOTO.to_owned(),
                signatures: vec![EnvelopeSignature {
                    sig: signature,
                    // The bundle hints at the key. Verifiers that compare this one expect a name of their own making.
                    keyid: String::new(),
                }],
            }),
        })
    }
}

/// Has bytes stamped by every authority; each answer is a TimeStampResp in DER.
///
/// # Errors
/// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
pub async fn stamp(session: &Session<'_>, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ClientError> {
    let mut responses = Vec::new();
    for authority in &session.services.timestamp_authorities {
        let (nonce, now) = ((session.nonce)(), (session.now)());
        let stamp = authority.timestamp(session.transport, bytes, nonce, session.trust, now);
        responses.push(stamp.await?.response);
    }
    Ok(responses)
}

async fn log(
    session: &Session<'_>,
    record: Option<&HashedRekord>,
) -> Result<Vec<LogEntry>, ClientError> {
    let mut entries = Vec::new();
    let Some(record) = record else {
        return Ok(entries);
    };
    for log in &session.services.logs {
        let now = (session.now)();
        entries.push(
            log.add(session.transport, record, session.trust, now)
                .await?,
        );
    }
    Ok(entries)
}

/// Parses and verifies the very bytes that leave. Whose identity the certificate has was compared with the token when
/// it came.
fn self_check(
    session: &Session<'_>,
    details: KeyDetails,
    origin: &Origin,
    message: Message<'_>,
    bytes: &[u8],
) -> Result<Verified, SignError> {
    let policy = match origin {
        Origin::Certificate(_) => Policy {
            certificates: Some(CertificateRule {
                sct: session.sct,
                ..CertificateRule::strict(IdentityRule::Given(Identities::AnyoneUnsafe))
            }),
            keys: None,
        },
        Origin::Key(key) => {
            let key = ManagedKey {
                scheme: Some(details.scheme()),
                ..key.clone().into()
            };
            let mut rule = KeyRule::strict(vec![key]);
            // Whether it is logged was the caller's choice; what is there is verified.
            if session.services.logs.is_empty() {
                rule.evidence.log = LogRule::WithoutLogUnsafe;
            }
            Policy {
                certificates: None,
                keys: Some(rule),
            }
        }
    };
    let bundle = Bundle::parse(bytes)?;
    let subject = |statement: &Statement| statement.subject.first().map(Subject::digests);
    let digests: Vec<Digest>;
    let artifact = match message {
        Message::Artifact(bytes) => Artifact::Bytes(bytes),
        Message::Digests(digests) => Artifact::Digests(digests),
        Message::Statement(statement) => {
            digests = subject(statement).unwrap_or_default();
            Artifact::Digests(&digests)
        }
    };
    let verifier = Verifier::new(session.trust.clone(), policy);
    let report = verifier.verify(&bundle, &artifact, (session.now)());
    report.verdict.map_err(SignError::SelfCheck)
}
