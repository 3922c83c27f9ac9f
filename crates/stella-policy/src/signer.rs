//! Signers by name: whoever a policy accepts, by certificate or by key.
//!
//! How an identity is compared with a certificate is said in `stella_bundle::identity`.

use stella_bundle::certificate::Claim;
use stella_bundle::identity::{CertificateIdentity, IdentityError};
use stella_bundle::verify::ManagedKey;

/// A policy accepts at most so many signers; a company's release pipelines are a few hundred.
pub const MAX_SIGNERS: usize = 1024;

/// Someone who may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The name inside of the policy.
    pub name: String,
    /// Who that is.
    pub who: Who,
}

/// How a signer is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever an authority certified.
    AnyoneUnsafe,
    /// A certificate for this identity.
    Certificate(CertificateIdentity),
    /// This key.
    Key(ManagedKey),
}

/// The ways in which `issuer=…,san=…` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The identity itself cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no issuer.
    #[error("{text:?} names no issuer: the same name means nothing at another one")]
    NoIssuer {
        /// The text.
        text: String,
    },
    /// There is not exactly one of `subject`, `identity` and `san`.
    #[error("{text:?} needs exactly one of subject=…, san=… and identity=…")]
    NotOneName {
        /// The text.
        text: String,
    },
    /// A part is no `name=value`.
    #[error("{part:?} is not NAME=VALUE")]
    NotAPair {
        /// The part.
        part: String,
    },
    /// A name stands twice.
    #[error("{name} stands twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// The claim is none that Fulcio writes.
    #[error(
        "{name:?} is no claim of a Fulcio certificate; the claims are {}",
        claim_names()
    )]
    UnknownClaim {
        /// The name.
        name: String,
    },
    /// The name is none of a signer's.
    #[error("{name:?} is not known here: expected issuer, subject, san, identity or claim.NAME")]
    UnknownName {
        /// The name.
        name: String,
    },
}

/// Returns the names of all claims.
pub(crate) fn claim_names() -> String {
    let names: Vec<&str> = Claim::ALL.iter().map(|row| row.2).collect();
    names.join(", ")
}

/// Reads `issuer=URL,subject=…|san=…|identity=…[,claim.NAME=…]`, as `--identity` says it.
///
/// `subject` is the token's whole subject, `san` the certificate's whole name, `identity` either one or a pattern, as
/// `--certificate-identity` has it. A value with a comma in it can be written in a policy file.
///
/// # Errors
/// Any [`SignerError`].
pub fn parse_flag(text: &str) -> Result<CertificateIdentity, SignerError> {
    let mut issuer = None;
    let mut names = Vec::new();
    let mut claims: Vec<(Claim, &str)> = Vec::new();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| SignerError::NotAPair {
            part: part.to_owned(),
        })?;
        let twice = || SignerError::Twice {
            name: name.to_owned(),
        };
        match (name, name.strip_prefix("claim.")) {
            ("issuer", _) if issuer.is_some() => return Err(twice()),
            ("issuer", _) => issuer = Some(value),
            ("subject" | "san" | "identity", _) => names.push((name, value)),
            (_, Some(claim)) => {
                let claim = Claim::from_name(claim).ok_or_else(|| SignerError::UnknownClaim {
                    name: claim.to_owned(),
                })?;
                if claims.iter().any(|(each, _)| *each == claim) {
                    return Err(twice());
                }
                claims.push((claim, value));
            }
            (name, None) => {
                let name = name.to_owned();
                return Err(SignerError::UnknownName { name });
            }
        }
    }
    let issuer = issuer.ok_or_else(|| SignerError::NoIssuer {
        text: text.to_owned(),
    })?;
    let identity = match names.as_slice() {
        [("subject", value)] => CertificateIdentity::of_token_subject(value, issuer)?,
        [("san", value)] => CertificateIdentity::of_alternative_name(value, issuer)?,
        [("identity", value)] => CertificateIdentity::parse(value, issuer)?,
        _ => {
            return Err(SignerError::NotOneName {
                text: text.to_owned(),
            });
        }
    };
    let with = |identity: CertificateIdentity, (claim, value): (Claim, &str)| {
        identity.with_claim(claim, value)
    };
    Ok(claims.into_iter().fold(identity, with))
}

#[cfg(test)]
mod tests {
    use stella_bundle::identity::IdentityValue;

    use super::*;

    #[test]
    fn a_signer_in_a_flag_names_its_own_issuer() {
        let read = parse_flag(
            "issuer=https://a.example,subject=repo:o/r:ref:x,claim.runner-environment=github-hosted",
        );
        let expected = CertificateIdentity::of_token_subject("repo:o/r:ref:x", "https://a.example")
            .map(|identity| identity.with_claim(Claim::RunnerEnvironment, "github-hosted"));
        assert_eq!(read.ok(), expected.ok());
        let name =
            parse_flag("san=https://x/y=z,issuer=i").map(|identity| identity.value().clone());
        assert_eq!(
            name,
            Ok(IdentityValue::AlternativeName("https://x/y=z".to_owned()))
        );
        let pattern =
            parse_flag("identity=repo:o/r:.*,issuer=i").map(|identity| identity.value().clone());
        assert!(matches!(pattern, Ok(IdentityValue::Pattern(_))));
    }

    #[test]
    fn a_flag_that_leaves_something_open_is_refused() {
        type Check = fn(&SignerError) -> bool;
        let cases: [(&str, Check); 8] = [
            ("subject=a", |error| {
                matches!(error, SignerError::NoIssuer { .. })
            }),
            ("issuer=i", |error| {
                matches!(error, SignerError::NotOneName { .. })
            }),
            ("issuer=i,subject=a,san=b", |error| {
                matches!(error, SignerError::NotOneName { .. })
            }),
            ("issuer=i,issuer=j,san=b", |error| {
                matches!(error, SignerError::Twice { .. })
            }),
            ("issuer=i,san", |error| {
                matches!(error, SignerError::NotAPair { .. })
            }),
            ("issuer=i,san=b,claim.x=y", |error| {
                matches!(error, SignerError::UnknownClaim { .. })
            }),
            ("issuer=i,name=b", |error| {
                matches!(error, SignerError::UnknownName { .. })
            }),
            ("issuer=i,identity=.*", |error| {
                matches!(error, SignerError::Identity(_))
            }),
        ];
        for (text, is_expected) in cases {
            let refused = parse_flag(text);
            assert!(
                refused.as_ref().is_err_and(is_expected),
                "{text}: {refused:?}"
            );
        }
    }
}
