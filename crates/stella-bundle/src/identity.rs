//! Who may sign: identities as they are written in flags and policies, and how they are compared with a certificate.
//!
//! A value is literal. Only one that begins with `repo:` or `project_path:` is a *subject pattern*, compared with the
//! Token Subject (or, for certificates that lack it, translated into claims). No claim is ever made up.

mod expression;
mod pattern;

pub use expression::{Expression, Reach};
pub use pattern::SubjectPattern;

use crate::certificate::{Certificate, Claim};

/// Issuer of GitHub Actions' tokens.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
/// Issuer of gitlab.com's tokens.
pub const GITLAB_ISSUER: &str = "https://gitlab.com";
/// Identities longer than this are refused; a SAN has a few hundred characters.
pub const MAX_IDENTITY: usize = 4096;

/// The ways in which a written identity is refused before anything is compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The value or the issuer is empty.
    #[error("{part} is empty")]
    Empty {
        /// `certificate identity` or `certificate OIDC issuer`.
        part: &'static str,
    },
    /// The expression does not begin with a literal scheme, host and path segment, or has an alternative beside it.
    #[error(
        "{value:?} does not begin with one owner to the letter: write https://HOST/OWNER/ with every dot as \\., and no | beside it"
    )]
    ExpressionTooWide {
        /// The value.
        value: String,
    },
    /// The value has control characters or is longer than [`MAX_IDENTITY`].
    #[error("{part} is too long or holds control characters")]
    Malformed {
        /// `certificate identity` or `certificate OIDC issuer`.
        part: &'static str,
    },
    /// The text is no regular expression, or a huge one.
    #[error("{value:?} is no regular expression that can be used")]
    MalformedExpression {
        /// The value.
        value: String,
    },
    /// `.*` stands in a literal value.
    #[error(
        "{value:?} is compared literally, so `.*` would match only itself: a pattern begins with repo:OWNER/NAME: or project_path:GROUP/NAME:"
    )]
    WildcardInLiteral {
        /// The value.
        value: String,
    },
    /// `.*` stands before the project part is complete.
    #[error(
        "in {value:?} `.*` may stand only after the complete project part, repo:OWNER/NAME: or project_path:GROUP/NAME:"
    )]
    WildcardInProject {
        /// The value.
        value: String,
    },
    /// The project part is not one of its platform.
    #[error(
        "{value:?} does not name a project: expected repo:OWNER/NAME or project_path:GROUP/NAME"
    )]
    MalformedProject {
        /// The value.
        value: String,
    },
}

/// One acceptable signer: a value, an issuer, and claims that must hold beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIdentity {
    value: IdentityValue,
    issuer: String,
    claims: Vec<(Claim, String)>,
}

/// What a signer is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityValue {
    /// The whole subjectAltName.
    AlternativeName(String),
    /// A regular expression over the whole subjectAltName.
    Expression(Expression),
    /// A subject pattern.
    Pattern(SubjectPattern),
    /// The whole Token Subject.
    TokenSubject(String),
}

impl std::fmt::Display for IdentityValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AlternativeName(text) | Self::TokenSubject(text) => {
                formatter.write_str(&escape(text))
            }
            Self::Expression(expression) => formatter.write_str(&escape(expression.text())),
            Self::Pattern(pattern) => formatter.write_str(&escape(&pattern.text)),
        }
    }
}

/// Who may sign. There is no default: every caller says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identities {
    /// Any one of these; never empty.
    AnyOf(AnyOf),
    /// Whoever the authorities certified. The report names them; nothing is verified about who they are.
    AnyoneUnsafe,
}

/// A list that is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyOf(Vec<CertificateIdentity>);

impl AnyOf {
    /// Returns the list, none when it is empty.
    pub fn new(identities: Vec<CertificateIdentity>) -> Option<Self> {
        (!identities.is_empty()).then_some(Self(identities))
    }

    /// Returns the identities.
    pub fn identities(&self) -> &[CertificateIdentity] {
        &self.0
    }
}

/// A comparison that was made, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// `subjectAltName`, `issuer` or a claim's name.
    pub what: &'static str,
    /// What was wanted.
    pub expected: String,
    /// What the certificate has.
    pub found: Option<String>,
    /// Whether they agree.
    pub agrees: bool,
}

impl CertificateIdentity {
    /// Reads `--certificate-identity` with `--certificate-oidc-issuer`.
    ///
    /// # Errors
    /// Any [`IdentityError`].
    pub fn parse(value: &str, issuer: &str) -> Result<Self, IdentityError> {
        require_text("certificate identity", value)?;
        let value = if value.starts_with("repo:") || value.starts_with("project_path:") {
            IdentityValue::Pattern(SubjectPattern::parse(value)?)
        } else if value.contains(".*") {
            return Err(IdentityError::WildcardInLiteral {
                value: value.to_owned(),
            });
        } else {
            IdentityValue::AlternativeName(value.to_owned())
        };
        Self::new(value, issuer)
    }

    /// Reads `--certificate-subject`: the Token Subject, exactly.
    ///
    /// # Errors
    /// `Empty`, `Malformed`.
    pub fn of_token_subject(subject: &str, issuer: &str) -> Result<Self, IdentityError> {
        require_text("certificate subject", subject)?;
        Self::new(IdentityValue::TokenSubject(subject.to_owned()), issuer)
    }

    /// Takes the whole subjectAltName, to the letter, whatever it begins with.
    ///
    /// # Errors
    /// `Empty`, `Malformed`.
    pub fn of_alternative_name(name: &str, issuer: &str) -> Result<Self, IdentityError> {
        require_text("certificate identity", name)?;
        Self::new(IdentityValue::AlternativeName(name.to_owned()), issuer)
    }

    /// Reads `--certificate-identity-regexp`: an expression over the whole subjectAltName, anchored at both ends.
    ///
    /// # Errors
    /// `Empty`, `Malformed`, `MalformedExpression`; `ExpressionTooWide` unless the reach is unsafe.
    pub fn of_expression(text: &str, issuer: &str, reach: Reach) -> Result<Self, IdentityError> {
        let expression = Expression::parse(text, reach)?;
        Self::new(IdentityValue::Expression(expression), issuer)
    }

    fn new(value: IdentityValue, issuer: &str) -> Result<Self, IdentityError> {
        require_text("certificate OIDC issuer", issuer)?;
        Ok(Self {
            value,
            issuer: issuer.to_owned(),
            claims: Vec::new(),
        })
    }

    /// Adds a claim that must hold exactly.
    #[must_use]
    pub fn with_claim(mut self, claim: Claim, value: &str) -> Self {
        self.claims.push((claim, value.to_owned()));
        self
    }

    /// Returns what the signer is recognised by.
    pub const fn value(&self) -> &IdentityValue {
        &self.value
    }

    /// Returns the claims that must hold beside them.
    pub fn claims(&self) -> &[(Claim, String)] {
        &self.claims
    }

    /// Returns the issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Compares a certificate and returns every comparison made; it matches when all agree.
    pub fn compare(&self, certificate: &Certificate) -> Vec<Compared> {
        let mut compared = vec![self.compare_issuer(certificate)];
        match &self.value {
            IdentityValue::AlternativeName(wanted) => {
                let found = only_identity(certificate);
                compared.push(exact("subjectAltName", wanted, found));
            }
            IdentityValue::Expression(expression) => {
                let found = only_identity(certificate);
                compared.push(Compared {
                    what: "subjectAltName",
                    expected: expression.text().to_owned(),
                    found: found.map(str::to_owned),
                    agrees: found.is_some_and(|name| expression.matches(name)),
                });
            }
            IdentityValue::TokenSubject(wanted) => {
                compared.push(exact(
                    "token-subject",
                    wanted,
                    certificate.claim(Claim::TokenSubject),
                ));
            }
            IdentityValue::Pattern(pattern) => {
                pattern.compare(&self.issuer, certificate, &mut compared)
            }
        }
        for (claim, wanted) in &self.claims {
            compared.push(exact(claim.name(), wanted, certificate.claim(*claim)));
        }
        compared
    }

    /// Says whether a certificate is this signer's.
    pub fn matches(&self, certificate: &Certificate) -> bool {
        self.compare(certificate).iter().all(|each| each.agrees)
    }

    fn compare_issuer(&self, certificate: &Certificate) -> Compared {
        let current = certificate.claim(Claim::Issuer);
        let older = certificate.claim(Claim::IssuerV1);
        let mut compared = exact("issuer", &self.issuer, current.or(older));
        // Fulcio writes the same issuer into both extensions; a certificate with two issuers has none.
        if let (Some(current), Some(older)) = (current, older) {
            compared.agrees &= current == older;
        }
        compared
    }
}

/// Returns the only subjectAltName when it is one that names an identity.
pub fn only_identity(certificate: &Certificate) -> Option<&str> {
    match certificate.names() {
        [name] => name.identity(),
        _ => None,
    }
}

fn exact(what: &'static str, wanted: &str, found: Option<&str>) -> Compared {
    let agrees = found == Some(wanted);
    Compared {
        what,
        expected: wanted.to_owned(),
        found: found.map(str::to_owned),
        agrees,
    }
}

fn require_text(part: &'static str, text: &str) -> Result<(), IdentityError> {
    if text.is_empty() {
        return Err(IdentityError::Empty { part });
    }
    if text.len() > MAX_IDENTITY || text.chars().any(char::is_control) {
        return Err(IdentityError::Malformed { part });
    }
    Ok(())
}

/// Returns text with everything but printable ASCII escaped, so that control, bidirectional and look-alike characters
/// show themselves.
pub fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|character| match character {
            ' '..='~' => vec![character],
            other => other.escape_unicode().collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_only_after_the_complete_project() {
        for text in [".*", "https://github.com/o/.*"] {
            assert!(matches!(
                CertificateIdentity::parse(text, "i"),
                Err(IdentityError::WildcardInLiteral { .. })
            ));
        }
        for text in [
            "repo:.*",
            "repo:o/.*",
            "repo:o/r.*:ref:x",
            "project_path:.*:x",
        ] {
            assert!(
                matches!(
                    CertificateIdentity::parse(text, "i"),
                    Err(IdentityError::WildcardInProject { .. })
                ),
                "{text}"
            );
        }
        for text in [
            "repo:o:x",
            "repo:o/r/s:x",
            "repo:/r:x",
            "project_path:g:x",
            "repo:o@x/r:y",
        ] {
            assert!(
                matches!(
                    CertificateIdentity::parse(text, "i"),
                    Err(IdentityError::MalformedProject { .. })
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn empty_values_are_usage_errors() {
        assert!(matches!(
            CertificateIdentity::parse("", "i"),
            Err(IdentityError::Empty { .. })
        ));
        assert!(matches!(
            CertificateIdentity::parse("a", ""),
            Err(IdentityError::Empty { .. })
        ));
        assert!(matches!(
            CertificateIdentity::parse("a\u{0}", "i"),
            Err(IdentityError::Malformed { .. })
        ));
        assert_eq!(AnyOf::new(vec![]), None);
    }

    #[test]
    fn characters_that_deceive_are_shown_escaped() {
        assert_eq!(escape("a\u{202e}b\u{0430}\0"), "a\\u{202e}b\\u{430}\\u{0}");
    }
}
