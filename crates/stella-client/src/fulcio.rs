//! Fulcio: a certificate for a key and the identity of a token, verified before anybody uses it.
//!
//! The key stays with its [`Signer`]; here it signs only the proof that it is there.

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use std::time::Duration;
use stella_bundle::certificate::{Certificate, Claim};
use stella_bundle::chain::Path;
use stella_bundle::identity;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{SctRule, Trust, answer};
use stella_keys::Signer;
use stella_wire::fulcio::{
    Credentials, PublicKeyRequest, SIGNING_CERT_PATH, SigningCert, SigningCertRequest, SubmittedKey,
};
use stella_wire::limits;
use stella_wire::transport::Transport;
use zeroize::Zeroize as _;

use crate::error::{AnswerProblem, CertificateProblem, ClientError, IdentityPart, Service};
use crate::exchange;
use crate::oidc::IdentityToken;

/// The clocks of this machine and of the authority may differ by so much.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What a certificate is judged by.
#[derive(Debug, Clone, Copy)]
pub struct CertificateDemands<'a> {
    /// Whom to believe.
    pub trust: &'a Trust,
    /// Certificates one of which must end the chain besides; `None` leaves it to `trust`.
    pub root_bundle: Option<&'a [Certificate]>,
    /// Whether an SCT is needed; a verifier will ask for one all the same.
    pub sct: SctRule,
    /// The time of the check.
    pub now: UnixTime,
}

/// A certificate that is ours, for this token's identity, and trusted.
#[derive(Debug, Clone)]
pub struct SigningCertificate {
    /// The leaf.
    pub leaf: Certificate,
    /// The intermediates in DER, the leaf's issuer first; no root.
    pub intermediates: Vec<Vec<u8>>,
}

/// A certificate authority that speaks Fulcio's API v2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fulcio {
    base: String,
}

impl Fulcio {
    /// Names the authority by its base URL.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
        }
    }

    /// Gets a certificate for the signer's key and the token's identity, and verifies it.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Refused` (with Fulcio's reason), `Answer`, `Key`, and `Certificate` for one that is not what was
    /// asked for or not to be trusted.
    pub async fn certificate(
        &self,
        transport: &dyn Transport,
        signer: &dyn Signer,
        token: &IdentityToken,
        demands: &CertificateDemands<'_>,
    ) -> Result<SigningCertificate, ClientError> {
        // 1. Prove that the key is ours: it signs the token's subject.
        let proof = signer.prove_possession(token.challenge().as_bytes())?;
        let mut body = SigningCertRequest {
            credentials: Some(Credentials {
                oidc_identity_token: token.text().to_owned(),
            }),
            public_key_request: Some(PublicKeyRequest {
                public_key: SubmittedKey {
                    content: signer.public_key().to_pem(),
                },
                proof_of_possession: proof,
            }),
            certificate_signing_request: Vec::new(),
        };

        // 2. Ask.
        let service = Service::Fulcio;
        let address = exchange::join(&self.base, SIGNING_CERT_PATH);
        let bytes = Bytes::from(body.to_bytes());
        if let Some(credentials) = &mut body.credentials {
            credentials.oidc_identity_token.zeroize();
        }
        let mut request = exchange::request(service, Method::POST, &address, bytes)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        let answer = exchange::send(transport, service, request, limits::FULCIO_ANSWER).await?;
        let answer = SigningCert::parse(answer.body())
            .map_err(|problem| ClientError::answer(service, AnswerProblem::Fulcio(problem)))?;

        // 3. Believe nothing of it yet.
        Ok(verified(&answer, signer, token, demands)?)
    }
}

fn verified(
    received: &SigningCert,
    signer: &dyn Signer,
    token: &IdentityToken,
    demands: &CertificateDemands<'_>,
) -> Result<SigningCertificate, CertificateProblem> {
    let (leaf, mut intermediates) = parse(received)?;
    if leaf.public_key().spki() != signer.public_key().spki() {
        return Err(CertificateProblem::KeyMismatch);
    }
    // The root comes from our own trusted root, whatever the answer sends.
    intermediates.retain(|each| !each.is_self_issued());
    let time = require_valid_now(&leaf, demands.now)?;
    let path = answer::certificate_path(demands.trust, &leaf, &intermediates, time)?;
    require_root_bundle(&path, demands.root_bundle)?;
    // An SCT beside the certificate is of no use: no bundle can carry it.
    if demands.sct == SctRule::Require {
        answer::scts(demands.trust, &leaf, &path)?;
    }
    require_identity(&leaf, token)?;
    Ok(SigningCertificate {
        intermediates: intermediates
            .iter()
            .map(|each| each.der().to_vec())
            .collect(),
        leaf,
    })
}

fn parse(answer: &SigningCert) -> Result<(Certificate, Vec<Certificate>), CertificateProblem> {
    let mut parsed = Vec::with_capacity(answer.chain.len());
    for (index, der) in answer.chain.iter().enumerate() {
        let certificate = Certificate::parse(der)
            .map_err(|problem| CertificateProblem::Malformed { index, problem })?;
        parsed.push(certificate);
    }
    // The parser of the answer accepts no empty chain; an empty one would certify no key of ours.
    if parsed.is_empty() {
        return Err(CertificateProblem::KeyMismatch);
    }
    let leaf = parsed.remove(0);
    Ok((leaf, parsed))
}

/// Returns the time at which the chain is judged: now, or the first moment of a certificate whose authority's clock is
/// a little ahead of ours.
fn require_valid_now(leaf: &Certificate, now: UnixTime) -> Result<UnixTime, CertificateProblem> {
    let time = if now < leaf.not_before() && leaf.not_before() <= now.plus(CLOCK_SKEW) {
        leaf.not_before()
    } else {
        now
    };
    if leaf.is_valid_at(time) {
        return Ok(time);
    }
    Err(CertificateProblem::NotValidNow {
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        now,
    })
}

/// `rootBundlePath` narrows and never widens: a path in a configuration must not make anyone trusted.
fn require_root_bundle(
    path: &Path<'_>,
    bundle: Option<&[Certificate]>,
) -> Result<(), CertificateProblem> {
    let (Some(bundle), Some(anchor)) = (bundle, path.authority().certificates().last()) else {
        return Ok(());
    };
    if bundle.iter().any(|each| each.der() == anchor.der()) {
        return Ok(());
    }
    Err(CertificateProblem::AnchorNotInRootBundle {
        anchor: anchor.subject_text(),
    })
}

/// Requires that the certificate speaks of the token's bearer.
fn require_identity(leaf: &Certificate, token: &IdentityToken) -> Result<(), CertificateProblem> {
    let require = |part, expected: &str, found: Option<&str>| {
        if found == Some(expected) {
            return Ok(());
        }
        Err(CertificateProblem::IdentityMismatch {
            part,
            expected: expected.to_owned(),
            found: found.unwrap_or_default().to_owned(),
        })
    };
    require(IdentityPart::Issuer, token.issuer(), leaf.oidc_issuer())?;
    match (leaf.claim(Claim::TokenSubject), token.email()) {
        (Some(subject), _) => require(IdentityPart::TokenSubject, token.subject(), Some(subject)),
        // Older authorities write no Token Subject; an e-mail identity stands in the name all the same.
        (None, Some(email)) => {
            let name = identity::only_identity(leaf);
            require(IdentityPart::AlternativeName, email, name)
        }
        // Nothing in such a certificate repeats the subject: the issuer is all that can be compared.
        (None, None) => Ok(()),
    }
}
