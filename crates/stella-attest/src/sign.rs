//! Sign a statement or an artifact keylessly: the story from a token to a bundle that a stranger accepts.

use std::borrow::Cow;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use stella_bundle::bundle::{Bundle, BundleError, Content, KeyMaterial};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::entry::{EntryVerifier, HashedRekord, LogEntry};
use stella_bundle::envelope::{self, Envelope, EnvelopeSignature, IN_TOTO};
use stella_bundle::identity::Identities;
use stella_bundle::key::KeyDetails;
use stella_bundle::statement::{Statement, Subject};
use stella_bundle::verify::{
    Artifact, CertificateRule, IdentityRule, Policy, Verified, Verifier, VerifyError,
};
use stella_client::error::ClientError;
use stella_client::fulcio::CertificateDemands;
use stella_client::oidc::IdentityToken;
use stella_keys::{EphemeralKey, KeyError, Signer as _};

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

/// Signs `message` with a new key that exists only during this call.
///
/// # Errors
/// Any [`SignError`]; nothing is left behind but what the services recorded.
pub async fn sign(
    session: &Session<'_>,
    token: &IdentityToken,
    message: Message<'_>,
    algorithm: KeyDetails,
) -> Result<Signed, SignError> {
    // 1. A key for this signature alone, certified for the identity in the token.
    let signer = Signer::certified(session, token, algorithm).await?;

    // 2. The key signs once, and is forgotten.
    let signature = signer.key.sign(&message.to_be_signed())?;
    let leaf = signer.leaf;
    drop(signer.key);
    (session.done)(Step::Signature);

    // 3. Others bear witness to it, and the bundle is closed.
    finish(session, algorithm, &leaf, message, signature).await
}

/// Signs several messages with one new key and one certificate; the bundles come in the order of the messages.
///
/// # Errors
/// Any [`SignError`]; then some of the messages may be logged already.
pub async fn sign_many(
    session: &Session<'_>,
    token: &IdentityToken,
    messages: &[Message<'_>],
    algorithm: KeyDetails,
) -> Result<Vec<Signed>, SignError> {
    // 1. A key for these signatures alone, certified for the identity in the token.
    let signer = Signer::certified(session, token, algorithm).await?;

    // 2. The key signs each, and is forgotten.
    let sign = |message: &Message<'_>| signer.key.sign(&message.to_be_signed());
    let signatures = messages.iter().map(sign).collect::<Result<Vec<_>, _>>()?;
    let leaf = signer.leaf;
    drop(signer.key);
    (session.done)(Step::Signature);

    // 3. Others bear witness to them, side by side.
    let finish = |(message, signature)| finish(session, algorithm, &leaf, message, signature);
    let finishing = messages.iter().copied().zip(signatures).map(finish);
    stream::iter(finishing)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// A key with its certificate, for one call.
struct Signer {
    key: EphemeralKey,
    /// The certificate in DER.
    leaf: Vec<u8>,
}

impl Signer {
    async fn certified(
        session: &Session<'_>,
        token: &IdentityToken,
        algorithm: KeyDetails,
    ) -> Result<Self, SignError> {
        if algorithm.hash().is_none() {
            return Err(SignError::NotLoggable(algorithm));
        }
        let key = EphemeralKey::generate(algorithm)?;
        (session.done)(Step::Key);
        let demands = CertificateDemands {
            trust: session.trust,
            root_bundle: session.root_bundle,
            sct: session.sct,
            now: (session.now)(),
        };
        let fulcio = &session.services.fulcio;
        let certificate = fulcio
            .certificate(session.transport, &key, token, &demands)
            .await?;
        (session.done)(Step::Certificate);
        let leaf = certificate.leaf.der().to_vec();
        Ok(Self { key, leaf })
    }
}

/// From a signature to a bundle that a stranger accepts.
async fn finish(
    session: &Session<'_>,
    algorithm: KeyDetails,
    leaf: &[u8],
    message: Message<'_>,
    signature: Vec<u8>,
) -> Result<Signed, SignError> {
    // 1. Others bear witness to it: at what time, and in the open.
    let hash = algorithm.hash().ok_or(SignError::NotLoggable(algorithm))?;
    let record = HashedRekord {
        digest: hash.digest(&message.to_be_signed()),
        signature: signature.clone(),
        verifier: EntryVerifier::Certificate(leaf.to_vec()),
        details: algorithm,
    };
    let (timestamps, entries) =
        tokio::try_join!(stamp(session, &signature), log(session, &record))?;
    (session.done)(Step::Witnessed);

    // 2. The bundle, verified as a stranger would verify it before it leaves.
    let bundle = Bundle {
        version: stella_bundle::bundle::Version::V0_3,
        key: KeyMaterial::Certificates(vec![leaf.to_vec()]),
        entries,
        timestamps,
        stamped: None,
        content: message.to_content(hash, signature),
    };
    let bytes = bundle.to_json()?;
    let verified = self_check(session, message, &bytes)?;
    (session.done)(Step::Verified);
    Ok(Signed {
        bundle,
        bytes,
        verified,
    })
}

impl<'a> Message<'a> {
    fn to_be_signed(self) -> Cow<'a, [u8]> {
        match self {
            Self::Artifact(bytes) => Cow::Borrowed(bytes),
            Self::Statement(statement) => Cow::Owned(envelope::pae(IN_TOTO, &statement.to_bytes())),
        }
    }

    fn to_content(self, hash: DigestAlgorithm, signature: Vec<u8>) -> Content {
        match self {
            Self::Artifact(bytes) => Content::Message {
                digest: Some(hash.digest(bytes)),
                signature,
            },
            Self::Statement(statement) => Content::Envelope(Envelope {
                payload: statement.to_bytes(),
                payload_type: IN_TOTO.to_owned(),
                signatures: vec![EnvelopeSignature {
                    sig: signature,
                    keyid: String::new(),
                }],
            }),
        }
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

async fn log(session: &Session<'_>, record: &HashedRekord) -> Result<Vec<LogEntry>, ClientError> {
    let mut entries = Vec::new();
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
    message: Message<'_>,
    bytes: &[u8],
) -> Result<Verified, SignError> {
    let rule = IdentityRule::Given(Identities::AnyoneUnsafe);
    let rule = CertificateRule {
        sct: session.sct,
        ..CertificateRule::strict(rule)
    };
    let policy = Policy {
        certificates: Some(rule),
        keys: None,
    };
    let bundle = Bundle::parse(bytes)?;
    let subject = |statement: &Statement| statement.subject.first().map(Subject::digests);
    let digests: Vec<Digest>;
    let artifact = match message {
        Message::Artifact(bytes) => Artifact::Bytes(bytes),
        Message::Statement(statement) => {
            digests = subject(statement).unwrap_or_default();
            Artifact::Digests(&digests)
        }
    };
    let verifier = Verifier::new(session.trust.clone(), policy);
    let report = verifier.verify(&bundle, &artifact, (session.now)());
    report.verdict.map_err(SignError::SelfCheck)
}
