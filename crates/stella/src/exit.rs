//! What an error means to whoever called: one exit code, one message, at most one hint.
//!
//! The codes are stable and documented in docs/reference/exit-codes.md. A refusal and a service that is away never share
//! a code: whether a gate fails open or closed depends on it.

use stella_attest::shelf::Damage;
use stella_attest::sign::SignError;
use stella_attest::verify::{Answer, Examined, Unjudged};
use stella_bundle::certificate::Claim;
use stella_bundle::identity::escape;
use stella_bundle::verify::{SignerFact, VerifyError};
use stella_client::error::{ClientError, ErrorClass, Service};
use stella_client::oidc::TokenError;
use stella_client::registry::credentials::{CredentialError, HelperProblem};
use stella_policy::code;
pub(crate) use stella_policy::code::{
    ACCESS, CHAIN, IDENTITY, INTERNAL, LOG, NO_ARTIFACT, NO_ATTESTATION, OK, SIGNATURE,
    UNAVAILABLE, USAGE,
};
use stella_policy::gate::Refusal;
use stella_policy::policy::Policy;

/// The token is expired or for somebody else.
pub(crate) const TOKEN: u8 = 32;
/// The signing key cannot be used.
pub(crate) const KEY: u8 = 40;
/// The passphrase or PIN of the key is wrong or missing.
pub(crate) const KEY_PIN: u8 = 41;
/// The device with the key is locked.
pub(crate) const KEY_LOCKED: u8 = 42;
/// There is no such key.
pub(crate) const KEY_ABSENT: u8 = 43;
/// The network is needed, and `--offline` forbids it.
pub(crate) const NETWORK_NEEDED: u8 = 50;

/// Where each kind of error has a page of its own.
const PAGES: &str = "https://github.com/stella-ops/stella/blob/main/docs/errors";

/// Why a command ends without success.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What was expected and what was found; lower case, no full stop.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The page that says more, by its name.
    pub(crate) page: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            page: None,
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

    /// Adds the page that says more.
    #[must_use]
    pub(crate) const fn page(mut self, page: &'static str) -> Self {
        self.page = Some(page);
        self
    }

    /// Returns the address of the page that says more.
    pub(crate) fn docs(&self) -> Option<String> {
        self.page.map(|page| format!("{PAGES}/{page}.md"))
    }

    /// Adds what to do next, unless that is said already.
    #[must_use]
    pub(crate) fn hint_if_none(self, hint: &str) -> Self {
        if self.hint.is_some() {
            return self;
        }
        self.hint(hint)
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
        let failure = match service_page(error.class()) {
            Some(page) => Self::new(code, message).page(page),
            None => Self::new(code, message),
        };
        match client_hint(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Returns the page about errors of services, tokens and keys.
const fn service_page(class: ErrorClass) -> Option<&'static str> {
    Some(match class {
        ErrorClass::Access => "access-refused",
        ErrorClass::Key => "signing-key",
        ErrorClass::Token => "token",
        ErrorClass::Unavailable => "service-unavailable",
        _ => return None,
    })
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
        ClientError::AccessRefused {
            service: Service::Registry,
            ..
        } => {
            return Some(
                "`stella login REGISTRY` keeps a password; a wrong name of a repository is refused as well",
            );
        }
        ClientError::Unavailable {
            service: Service::Registry,
            ..
        } => {
            return Some(
                "check the registry's name, that it can be reached from here, and try again",
            );
        }
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
            "give one with --identity-token, STELLAOPS_OIDC_TOKEN or SIGSTORE_ID_TOKEN; in GitHub Actions set `permissions: id-token: write`; `stella doctor` says what was looked for"
        }
        _ => return None,
    })
}

impl From<CredentialError> for Failure {
    fn from(error: CredentialError) -> Self {
        let message = error.to_string();
        let (code, hint) = match error {
            CredentialError::File { .. } => (
                INTERNAL,
                "nothing was changed: see whose file it is, or name another with REGISTRY_AUTH_FILE".to_owned(),
            ),
            CredentialError::Helper {
                problem: HelperProblem::NotInstalled,
                name,
                path,
                ..
            } => (
                USAGE,
                format!("install docker-credential-{name}, or take it out of {}", path.display()),
            ),
            CredentialError::Helper { name, .. } => (
                INTERNAL,
                format!("see whether it works by hand: docker-credential-{name} list"),
            ),
            CredentialError::Malformed { path, .. } => {
                (USAGE, format!("nothing was changed: correct {}", path.display()))
            }
            CredentialError::NoPlace => (USAGE, "set HOME, or name a file with --authfile".to_owned()),
            CredentialError::Unstorable(_) => {
                (USAGE, "give the user's name with -u, and the password as the registry issued it".to_owned())
            }
            _ => return Self::new(INTERNAL, message).page("registry-credentials"),
        };
        Self::new(code, message)
            .hint(hint)
            .page("registry-credentials")
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Client(error) => error.into(),
            SignError::SelfCheck(error) => {
                let code = code::of_verification(&error);
                Self::new(code, format!("the finished bundle does not verify: {error}"))
                    .hint("the services and the trusted root do not belong together: see `stella config show`")
            }
            SignError::Key(error) => crate::key::failure(&error),
            SignError::NotLoggable(_) => Self::new(KEY, error.to_string())
                .hint("a log takes signatures over digests only: sign without --log, or with an ECDSA, Ed25519 or RSA key")
                .page("signing-key"),
            error => Self::new(INTERNAL, error.to_string()),
        }
    }
}

/// Says why an artifact is refused and what to do next; none when it passes.
pub(crate) fn refusal(policy: &Policy, answer: &Answer) -> Option<Failure> {
    let refusal = answer.decision.verdict.as_ref().err()?;
    let code = refusal.code();
    let item = refusal.item().and_then(|item| answer.examined.get(item));
    let failure = match (refusal, item) {
        (
            Refusal::Damaged { .. },
            Some(Examined {
                result: Err(Unjudged::Damaged(damage)),
                ..
            }),
        ) => damaged(damage),
        (
            Refusal::NotABundle { .. } | Refusal::NotArchived { .. },
            Some(Examined {
                result: Err(error), ..
            }),
        ) => Failure::new(code, error.to_string()),
        (
            Refusal::Refused {
                error: VerifyError::IdentityMismatch { .. },
                ..
            },
            _,
        ) => Failure::new(code, strangers(policy, answer, refusal)),
        _ => Failure::new(code, refusal.to_string()),
    };
    let failure = failure.page(refusal.page());
    Some(match refusal_hint(refusal) {
        Some(hint) if failure.hint.is_none() => failure.hint(hint),
        _ => failure,
    })
}

/// Says who signed, and whose signatures are wanted.
fn strangers(policy: &Policy, answer: &Answer, refusal: &Refusal) -> String {
    let is_mismatch =
        |each: &&Examined| matches!(each.refused(), Some(VerifyError::IdentityMismatch { .. }));
    let by = |each: &Examined| {
        let signer = each.result.as_ref().ok()?.facts.signer.as_ref()?;
        let issuer = signer.issuer().unwrap_or("no issuer");
        Some(format!(
            "{} at {}",
            escape(name_of(signer)?),
            escape(issuer)
        ))
    };
    let strangers: Vec<&Examined> = answer.examined.iter().filter(is_mismatch).collect();
    let mut names: Vec<String> = strangers.iter().filter_map(|each| by(each)).collect();
    names.dedup();
    let wanted: Vec<String> = policy
        .identities()
        .map(|identity| format!("{} at {}", identity.value(), escape(identity.issuer())))
        .collect();
    let count = match strangers.len() {
        1 => "1 attestation".to_owned(),
        count => format!("{count} attestations"),
    };
    let says = format!(
        "identity mismatch: found {count} by {}; wanted is {}",
        names.join(", "),
        wanted.join(" or ")
    );
    // The names agree, so it is a claim that does not: only the comparisons tell.
    if names.iter().any(|name| wanted.contains(name)) {
        return format!("{says} ({refusal})");
    }
    says
}

/// Returns what names a signer best: the token's subject, else the certificate's name.
pub(crate) fn name_of(signer: &SignerFact) -> Option<&str> {
    signer.claim(Claim::TokenSubject).or(signer.name())
}

/// Says what to do about a refusal.
const fn refusal_hint(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::Condition { .. } | Refusal::Denied { .. } => {
            "see what it says and which rule it names: stella attest inspect --artifact …"
        }
        Refusal::NotArchived { .. } => {
            "bring the file or the archive again from where it was made, and check the anchor"
        }
        Refusal::NoAttestation => {
            "give one with --bundle FILE, or list what the store has: stella attest list ARTIFACT"
        }
        Refusal::PredicateAbsent { .. } | Refusal::TooFew { .. } => {
            "see what there is: stella attest list ARTIFACT"
        }
        Refusal::Expired { .. } | Refusal::Stale { .. } => "evaluate and sign again",
        Refusal::SignerNotAccepted { .. } => {
            "see who signed what: stella policy explain --policy … ARTIFACT"
        }
        Refusal::Refused { error, .. } => return verify_hint(error),
        _ => return None,
    })
}

/// Says what to do about an attestation whose file is damaged.
pub(crate) fn damaged(damage: &Damage) -> Failure {
    Failure::new(INTERNAL, damage.to_string()).hint(format!(
        "the attestation is damaged, not forged: remove {} and fetch or sign it again",
        damage.path().display()
    ))
}

const fn verify_hint(error: &VerifyError) -> Option<&'static str> {
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
