//! What of a verified token stands in a certificate: one name, and the claims that Fulcio's extensions carry.

use std::collections::BTreeMap;

use serde_json::Value;
use stella_bundle::certificate::{AlternativeName, Claim};
use stella_wire::oidc::Claims;
use url::Url;

use super::template::Template;

/// Values longer than this are refused: GitHub's longest are URLs of some hundred characters.
const MAX_VALUE: usize = 1024;

/// Why a verified token names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrincipalError {
    #[error("the claim {name:?} is missing")]
    ClaimMissing { name: String },
    #[error(
        "the value of {name:?} is too long or holds characters that a certificate must not carry"
    )]
    ClaimUnusable { name: String },
    #[error("the e-mail address is not verified")]
    EmailNotVerified,
    #[error("the subject is not of the domain {domain:?}")]
    SubjectOutsideOfDomain { domain: String },
}

/// Who a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The one name of the SAN.
    pub(crate) name: AlternativeName,
    /// `iss`.
    pub(crate) issuer: String,
    /// `sub`.
    pub(crate) subject: String,
    /// Extensions in the order of their numbers, none empty.
    pub(crate) claims: Vec<(Claim, String)>,
    /// GitLab's `ref_protected`.
    pub(crate) ref_protected: Option<String>,
    /// Texts that a proof of possession may sign: any of them binds the key to this token.
    pub(crate) proofs: Vec<String>,
}

/// How an issuer's tokens name their holder.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Identity {
    /// A CI system, by templates.
    Ci(Box<CiIdentity>),
    /// `email`, which must be verified.
    Email {
        /// Claim that names the issuer instead of `iss`, as a path.
        issuer_claim: Option<Vec<String>>,
        /// Whether unverified addresses count: identity takeover where people may edit them.
        unverified: Unverified,
    },
    /// Namespace and name of a service account.
    Kubernetes,
    /// `sub`, a SPIFFE id of this trust domain.
    Spiffe { trust_domain: String },
    /// `sub`, a URI with this scheme and host.
    Uri { domain: String },
    /// `sub` and this domain.
    Username { domain: String },
}

/// Whether unverified e-mail addresses count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unverified {
    /// They count (`skip-email-verification: true`).
    Accept,
    /// They don't.
    Refuse,
}

/// Templates of a CI system.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CiIdentity {
    pub(super) subject: Template,
    pub(super) extensions: Vec<(Claim, Template)>,
    pub(super) defaults: BTreeMap<String, String>,
    pub(super) ref_protected: Option<String>,
}

impl Identity {
    /// Reads the holder of a verified token.
    pub(super) fn principal(
        &self,
        issuer: &str,
        claims: &Claims,
    ) -> Result<Principal, PrincipalError> {
        let subject = text(claims, "sub")?;
        let mut proofs = vec![subject.clone()];
        // sigstore-go and sigstore-js sign the e-mail address of a token that has one, whatever its issuer's type.
        if let (Some(email), true) = (claims.text("email"), claims.is_email_verified()) {
            proofs.push(email.to_owned());
        }
        let mut shown_issuer = issuer.to_owned();
        let mut ref_protected = None;
        let mut more = Vec::new();
        let name = match self {
            Self::Ci(ci) => {
                more = ci.extensions(claims)?;
                ref_protected = ci.ref_protected(claims)?;
                AlternativeName::Uri(printable("sub", ci.fill(&ci.subject, "sub", claims)?)?)
            }
            Self::Email {
                issuer_claim,
                unverified,
            } => {
                if *unverified == Unverified::Refuse && !claims.is_email_verified() {
                    return Err(PrincipalError::EmailNotVerified);
                }
                if let Some(path) = issuer_claim {
                    shown_issuer = at_path(claims, path)?;
                }
                let email = email(claims)?;
                proofs = vec![email.clone()];
                AlternativeName::Email(email)
            }
            Self::Kubernetes => AlternativeName::Uri(kubernetes(claims)?),
            Self::Spiffe { trust_domain } => AlternativeName::Uri(spiffe(&subject, trust_domain)?),
            Self::Uri { domain } => AlternativeName::Uri(in_domain(&subject, domain)?),
            Self::Username { domain } => AlternativeName::Username(username(&subject, domain)?),
        };
        let shown_issuer = printable("iss", shown_issuer)?;
        let mut all = vec![
            (Claim::IssuerV1, shown_issuer.clone()),
            (Claim::Issuer, shown_issuer),
        ];
        all.extend(more);
        all.push((Claim::TokenSubject, subject.clone()));
        all.retain(|(_, value)| !value.is_empty());
        all.sort_by_key(|(claim, _)| claim.number());
        Ok(Principal {
            name,
            issuer: issuer.to_owned(),
            subject,
            claims: all,
            ref_protected,
            proofs,
        })
    }
}

impl CiIdentity {
    fn extensions(&self, claims: &Claims) -> Result<Vec<(Claim, String)>, PrincipalError> {
        let one = |(claim, template): &(Claim, Template)| {
            let value = self.fill(template, claim.name(), claims)?;
            Ok((*claim, value))
        };
        self.extensions.iter().map(one).collect()
    }

    fn ref_protected(&self, claims: &Claims) -> Result<Option<String>, PrincipalError> {
        let Some(name) = &self.ref_protected else {
            return Ok(None);
        };
        match claims.value(name) {
            None => Ok(None),
            Some(value) => as_text(name, value).map(Some),
        }
    }

    fn fill(
        &self,
        template: &Template,
        name: &str,
        claims: &Claims,
    ) -> Result<String, PrincipalError> {
        let look = |claim: &str| match (claims.value(claim), self.defaults.get(claim)) {
            (Some(value), _) => as_text(claim, value),
            (None, Some(default)) => Ok(default.clone()),
            (None, None) => Err(PrincipalError::ClaimMissing {
                name: claim.to_owned(),
            }),
        };
        let value = template.render(&look)?;
        // A value inside a URI must not shift what the URI means; a bare one may hold blanks (a workflow's name).
        if template.is_bare_claim() {
            Ok(value)
        } else {
            printable(name, value)
        }
    }
}

fn text(claims: &Claims, name: &str) -> Result<String, PrincipalError> {
    let value = claims
        .value(name)
        .ok_or_else(|| PrincipalError::ClaimMissing {
            name: name.to_owned(),
        })?;
    let text = as_text(name, value)?;
    if text.is_empty() {
        return Err(PrincipalError::ClaimMissing {
            name: name.to_owned(),
        });
    }
    Ok(text)
}

/// Strings as they are, integers without exponent, booleans as words; lists and objects are no values.
fn as_text(name: &str, value: &Value) -> Result<String, PrincipalError> {
    let unusable = || PrincipalError::ClaimUnusable {
        name: name.to_owned(),
    };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return Err(unusable()),
    };
    if text.len() > MAX_VALUE || text.chars().any(char::is_control) {
        return Err(unusable());
    }
    Ok(text)
}

/// Requires text that may stand in a URI: printable ASCII without blanks, and no step upwards.
fn printable(name: &str, text: String) -> Result<String, PrincipalError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains("..");
    if !plain || text.len() > MAX_VALUE {
        return Err(PrincipalError::ClaimUnusable {
            name: name.to_owned(),
        });
    }
    Ok(text)
}

fn email(claims: &Claims) -> Result<String, PrincipalError> {
    let email = printable("email", text(claims, "email")?)?;
    let is_address = email.split_once('@').is_some_and(|(user, domain)| {
        !user.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    if !is_address {
        return Err(PrincipalError::ClaimUnusable {
            name: "email".to_owned(),
        });
    }
    Ok(email)
}

/// Reads a claim inside objects, `$.federated_claims.connector_id`.
fn at_path(claims: &Claims, path: &[String]) -> Result<String, PrincipalError> {
    let name = path.join(".");
    let missing = || PrincipalError::ClaimMissing { name: name.clone() };
    let (first, rest) = path.split_first().ok_or_else(missing)?;
    let mut value = claims.value(first).ok_or_else(missing)?;
    for step in rest {
        value = value.get(step).ok_or_else(missing)?;
    }
    as_text(&name, value)
}

fn kubernetes(claims: &Claims) -> Result<String, PrincipalError> {
    let path = |steps: &[&str]| {
        let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
        let value = at_path(claims, &steps)?;
        // Fulcio lets empty names through; a name that is empty names nobody.
        let plain = !value.is_empty() && !value.contains('/');
        if !plain {
            return Err(PrincipalError::ClaimUnusable {
                name: steps.join("."),
            });
        }
        printable("kubernetes.io", value)
    };
    let namespace = path(&["kubernetes.io", "namespace"])?;
    let account = path(&["kubernetes.io", "serviceaccount", "name"])?;
    Ok(format!(
        "https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"
    ))
}

fn spiffe(subject: &str, trust_domain: &str) -> Result<String, PrincipalError> {
    let outside = || PrincipalError::SubjectOutsideOfDomain {
        domain: trust_domain.to_owned(),
    };
    let rest = subject.strip_prefix("spiffe://").ok_or_else(outside)?;
    let (domain, path) = rest.split_once('/').ok_or_else(outside)?;
    if domain != trust_domain || path.is_empty() {
        return Err(outside());
    }
    printable("sub", subject.to_owned())
}

fn in_domain(subject: &str, domain: &str) -> Result<String, PrincipalError> {
    let outside = || PrincipalError::SubjectOutsideOfDomain {
        domain: domain.to_owned(),
    };
    let origin = |text: &str| {
        Url::parse(text)
            .ok()
            .map(|url| url.origin())
            .filter(url::Origin::is_tuple)
    };
    // Equality of scheme, host and port: upstream compares the last two labels of the host, which is wrong for co.uk.
    match (origin(subject), origin(domain)) {
        (Some(found), Some(wanted)) if found == wanted => printable("sub", subject.to_owned()),
        _ => Err(outside()),
    }
}

fn username(subject: &str, domain: &str) -> Result<String, PrincipalError> {
    if subject.contains(['!', '@']) {
        return Err(PrincipalError::ClaimUnusable {
            name: "sub".to_owned(),
        });
    }
    printable("sub", format!("{subject}!{domain}"))
}
