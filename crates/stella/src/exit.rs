//! What an error means to whoever called: one exit code, one message, at most one hint.
//!
//! The codes are stable and documented in docs/reference/exit-codes.md. A refusal and a service that is away never share
//! a code: whether a gate fails open or closed depends on it.

use stella_attest::shelf::Damage;
use stella_attest::sign::SignError;
use stella_attest::verify::Refusal;
use stella_bundle::verify::{Check, VerifyError};
use stella_client::error::{ClientError, ErrorClass, Service};
use stella_client::oidc::TokenError;

/// A gate passed, or there was nothing to refuse.
pub(crate) const OK: u8 = 0;
/// Something failed that no other code names.
pub(crate) const INTERNAL: u8 = 1;
/// The command, a flag or the configuration is wrong.
pub(crate) const USAGE: u8 = 2;
/// No attestation speaks of the artifact.
pub(crate) const NO_ATTESTATION: u8 = 10;
/// The artifact is not there.
pub(crate) const NO_ARTIFACT: u8 = 11;
/// No signature matches.
pub(crate) const SIGNATURE: u8 = 12;
/// There is no certificate.
pub(crate) const NO_CERTIFICATE: u8 = 13;
/// Someone else signed.
pub(crate) const IDENTITY: u8 = 20;
/// The predicate asked for is not there.
pub(crate) const NO_PREDICATE: u8 = 21;
/// A signer who is believed says no.
pub(crate) const DENIED: u8 = 22;
/// A certificate or a timestamp is not to be trusted.
pub(crate) const CHAIN: u8 = 23;
/// A log, an SCT or a proof is missing or bad.
pub(crate) const LOG: u8 = 24;
/// A service cannot be reached now.
pub(crate) const UNAVAILABLE: u8 = 30;
/// A service does not let the caller in.
pub(crate) const ACCESS: u8 = 31;
/// The token is expired or for somebody else.
pub(crate) const TOKEN: u8 = 32;
/// The signing key cannot be used.
pub(crate) const KEY: u8 = 40;

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What was expected and what was found; lower case, no full stop.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// A wrong command or configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// A file or folder that cannot be used.
    pub(crate) fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(
            INTERNAL,
            format!("cannot {action} {}: {error}", path.display()),
        )
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match error.class() {
            ErrorClass::Access => ACCESS,
            ErrorClass::Chain => CHAIN,
            ErrorClass::Identity => IDENTITY,
            ErrorClass::Key => KEY,
            ErrorClass::Log => LOG,
            ErrorClass::Token => TOKEN,
            ErrorClass::Unavailable => UNAVAILABLE,
            ErrorClass::Usage => USAGE,
            _ => INTERNAL,
        };
        let name = named_client_error(&error);
        let message = name.map_or_else(|| error.to_string(), |name| format!("{name}: {error}"));
        let failure = Self::new(code, message);
        match client_hint(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The documents' names of errors, for those that have one.
fn named_client_error(error: &ClientError) -> Option<&'static str> {
    match (error.class(), error) {
        (ErrorClass::Token, ClientError::Token(TokenError::Expired { .. })) => {
            Some("OIDC token expired")
        }
        (
            ErrorClass::Token,
            ClientError::Refused {
                reason: Some(reason),
                ..
            },
        ) if reason == "TOKEN_EXPIRED" => Some("OIDC token expired"),
        (
            ErrorClass::Unavailable,
            ClientError::Unavailable {
                service: Service::Fulcio,
                ..
            },
        ) => Some("Fulcio unavailable"),
        (ErrorClass::Chain, ClientError::Certificate(_)) => Some("Certificate chain invalid"),
        (ErrorClass::Identity, _) => Some("Identity mismatch"),
        (ErrorClass::Log, ClientError::Entry(_)) => Some("Rekor proof missing"),
        _ => None,
    }
}

const EXPIRED_HINT: &str = "tokens live for minutes: ask the CI provider for a new one in the step that signs, or run `stella identity token` again";
const AUDIENCE_HINT: &str = "request the token for the audience that is configured (signer.signing.keyless.oidc.audience, by default `sigstore`)";
const CLOCK_HINT: &str = "compare this machine's clock with the issuer's";
const SHAPE_HINT: &str = "give the token itself, three parts joined by dots, as the CI provider or `stella identity token` prints it";
/// What a request for a token of the own issuer may say.
pub(crate) const TOKEN_REQUEST_HINT: &str = "the issuer itself sets iss, sub, aud, jti, nonce, email and the times; other claims have names of letters, digits, `_`, `-`, `.`";
/// For whom the own issuer makes tokens.
pub(crate) const SUBJECT_HINT: &str =
    "issuer.json in the instance's directory lists the subjects that may be named";

/// Says what to do about a token that was looked at here.
const fn token_hint(error: &TokenError) -> Option<&'static str> {
    Some(match error {
        TokenError::Expired { .. } => EXPIRED_HINT,
        TokenError::WrongAudience { .. } => AUDIENCE_HINT,
        TokenError::NotYetValid { .. } => CLOCK_HINT,
        TokenError::WrongIssuer { .. } => {
            "take a token of that issuer, or change signer.signing.keyless.oidc.issuer"
        }
        TokenError::ClaimMissing { .. } | TokenError::Shape(_) | TokenError::Unsigned => SHAPE_HINT,
        _ => return None,
    })
}

/// Says what to do about a refusal whose reason a service gave for machines.
fn reason_hint(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "TOKEN_EXPIRED" | "TOKEN_TOO_OLD" => EXPIRED_HINT,
        "TOKEN_AUDIENCE_WRONG" => AUDIENCE_HINT,
        "TOKEN_NOT_YET_VALID" => CLOCK_HINT,
        "TOKEN_MALFORMED" | "TOKEN_DATE_MISSING" | "TOKEN_MISSING" => SHAPE_HINT,
        "TOKEN_ISSUER_UNKNOWN" => {
            "this Fulcio does not believe the token's issuer: its operator names issuers in issuers.yaml"
        }
        "TOKEN_ALGORITHM_NOT_ALLOWED" | "TOKEN_KEY_UNKNOWN" | "TOKEN_SIGNATURE_WRONG" => {
            "the issuer's published keys do not verify this token: ask the issuer for a new one"
        }
        "TOKEN_CLAIMS_UNUSABLE" => {
            "the token lacks what certificates for its issuer are made of: see the issuer's type in issuers.yaml"
        }
        "TOKEN_REQUEST_INVALID" => TOKEN_REQUEST_HINT,
        "SUBJECT_NOT_ALLOWED" => SUBJECT_HINT,
        _ => return None,
    })
}

fn client_hint(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Token(error) => return token_hint(error),
        ClientError::AccessRefused { reason, .. } | ClientError::Refused { reason, .. } => {
            return reason_hint(reason.as_deref()?);
        }
        _ => {}
    }
    Some(match (error.class(), error) {
        (ErrorClass::Unavailable, _) => {
            "nothing was signed: check the address with `stella config show`, that the service runs, and try again"
        }
        (ErrorClass::Chain, _) => {
            "the trusted root and the service do not belong together: record the right one with `stella trust use`, and check this machine's clock"
        }
        (ErrorClass::Log, _) => {
            "the log's answer proves nothing, so nothing was signed: check that the trusted root names this log"
        }
        (ErrorClass::Usage, ClientError::NoToken) => {
            "give one with --identity-token, STELLAOPS_OIDC_TOKEN or SIGSTORE_ID_TOKEN; in GitHub Actions set `permissions: id-token: write`"
        }
        _ => return None,
    })
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Client(error) => error.into(),
            SignError::SelfCheck(error) => {
                let code = verify_code(&error);
                Self::new(code, format!("the finished bundle does not verify: {error}"))
                    .hint("the services and the trusted root do not belong together: see `stella config show`")
            }
            SignError::Key(error) => Self::new(KEY, error.to_string()),
            error => Self::new(INTERNAL, error.to_string()),
        }
    }
}

/// Returns the code of a refused bundle.
pub(crate) fn verify_code(error: &VerifyError) -> u8 {
    match (error, error.check()) {
        (VerifyError::NoCertificate, _) => NO_CERTIFICATE,
        (_, Check::Time | Check::Certificate) => CHAIN,
        (_, Check::Sct | Check::Log) => LOG,
        (_, Check::Signature | Check::Subject) => SIGNATURE,
        (_, Check::Identity) => IDENTITY,
    }
}

/// Returns the code of a refused artifact.
pub(crate) fn refusal_code(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Damaged(_) => INTERNAL,
        Refusal::Denied { .. } => DENIED,
        Refusal::NoAttestation => NO_ATTESTATION,
        Refusal::PredicateAbsent { .. } => NO_PREDICATE,
        Refusal::Refused(error) => verify_code(error),
        _ => SIGNATURE,
    }
}

/// Says what a refusal is and what to do next.
pub(crate) fn refusal(refusal: &Refusal) -> Failure {
    let code = refusal_code(refusal);
    match refusal {
        Refusal::Damaged(damage) => damaged(damage),
        Refusal::Denied { digest, result } => {
            Failure::new(code, format!("the policy result of {digest} says {result}"))
                .hint("see which rule it names: stella attest inspect --artifact …")
        }
        Refusal::NoAttestation => Failure::new(code, "no attestation speaks of this artifact")
            .hint("give one with --bundle FILE, or list what the store has: stella attest list ARTIFACT"),
        Refusal::NotABundle(error) => Failure::new(code, error.to_string()),
        Refusal::PredicateAbsent { wanted, found } => {
            let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
            Failure::new(code, format!("no attestation of type {wanted}; found {found}"))
                .hint("see what there is: stella attest list ARTIFACT")
        }
        Refusal::Refused(error) => {
            let failure = Failure::new(code, error.to_string());
            match verify_hint(error) {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        _ => Failure::new(code, "refused"),
    }
}

/// Says what to do about an attestation whose file is damaged.
pub(crate) fn damaged(damage: &Damage) -> Failure {
    Failure::new(INTERNAL, damage.to_string()).hint(format!(
        "the attestation is damaged, not forged: remove {} and fetch or sign it again",
        damage.path().display()
    ))
}

fn verify_hint(error: &VerifyError) -> Option<&'static str> {
    Some(match error {
        VerifyError::Chain(_) => {
            "the bundle was made under another trust root, or the chain was not valid when it was signed: see which root is used with `stella trust show`"
        }
        VerifyError::IdentityMismatch { .. } => {
            "see who signed: stella attest inspect --artifact … --show-cert"
        }
        VerifyError::NoIdentityGiven => {
            "say who may sign: --certificate-identity … --certificate-oidc-issuer …"
        }
        VerifyError::NotEnoughEntries { .. } => {
            "sign again so that the log's inclusion proof is in the bundle, or trust the log that it names: stella trust show"
        }
        VerifyError::NotEnoughTimes { .. } | VerifyError::NotEnoughTimestamps { .. } => {
            "the timestamp authority is not in the trusted root: see stella trust show"
        }
        VerifyError::SubjectMismatch { .. } => {
            "this bundle is about another artifact: check the digest"
        }
        _ => return None,
    })
}
