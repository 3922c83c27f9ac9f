//! Who may sign: identities as they are written in flags and policies, and how they are compared with a certificate.
//!
//! A value is literal. Only one that begins with `repo:` or `project_path:` is a *subject pattern*, compared with the
//! Token Subject (or, for certificates that lack it, translated into claims). No claim is ever made up.

use crate::asn1::{Reader, tag};
use crate::certificate::{Certificate, Claim};
use crate::issue::certificate::REF_PROTECTED;

/// Issuer of GitHub Actions' tokens.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
/// Issuer of gitlab.com's tokens.
pub const GITLAB_ISSUER: &str = "https://gitlab.com";
/// What follows the project in a pattern that asks for a protected ref.
const PROTECTED: &str = "ref_protected:true";
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
    /// The value has control characters or is longer than [`MAX_IDENTITY`].
    #[error("{part} is too long or holds control characters")]
    Malformed {
        /// `certificate identity` or `certificate OIDC issuer`.
        part: &'static str,
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

/// A pattern over a CI platform's token subject: a complete project, then text in which `.*` is any run of printable
/// characters; anchored at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern {
    text: String,
    platform: Platform,
    /// The names of the project part, each with the id that the pattern writes.
    names: Vec<ProjectName>,
    /// What follows the project's colon; none when the pattern ends with the project.
    rest: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Platform {
    /// `repo:OWNER/NAME:…`
    Github,
    /// `project_path:GROUP/…/NAME:…`
    Gitlab,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ProjectName {
    name: String,
    id: Option<String>,
}

impl ProjectName {
    /// Reads `NAME` or `NAME@digits`.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text == "." || text == ".." {
            return None;
        }
        match text.split_once('@') {
            Some((name, id)) if !name.is_empty() && is_digits(id) => Some(Self {
                name: name.to_owned(),
                id: Some(id.to_owned()),
            }),
            Some(_) => None,
            None => Some(Self {
                name: text.to_owned(),
                id: None,
            }),
        }
    }

    /// Says whether a name found in a token is this one; only GitHub's issuer appends ids.
    fn matches(&self, found: &str, ids_are_appended: bool) -> bool {
        match (&self.id, found.split_once('@')) {
            (None, None) => found == self.name,
            (None, Some((name, id))) => ids_are_appended && name == self.name && is_digits(id),
            (Some(wanted), Some((name, id))) => name == self.name && id == wanted,
            (Some(_), None) => false,
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl SubjectPattern {
    fn parse(text: &str) -> Result<Self, IdentityError> {
        let value = || text.to_owned();
        let (platform, after) = match (
            text.strip_prefix("repo:"),
            text.strip_prefix("project_path:"),
        ) {
            (Some(after), _) => (Platform::Github, after),
            (_, Some(after)) => (Platform::Gitlab, after),
            _ => return Err(IdentityError::MalformedProject { value: value() }),
        };
        let (project, rest) = match after.split_once(':') {
            Some((project, rest)) => (project, Some(rest.to_owned())),
            None => (after, None),
        };
        if project.contains(".*") || project.contains('*') {
            return Err(IdentityError::WildcardInProject { value: value() });
        }
        let names: Option<Vec<_>> = project.split('/').map(ProjectName::parse).collect();
        let is_complete = |names: &Vec<ProjectName>| match platform {
            Platform::Github => names.len() == 2,
            Platform::Gitlab => names.len() >= 2,
        };
        let names = names
            .filter(is_complete)
            .ok_or_else(|| IdentityError::MalformedProject { value: value() })?;
        Ok(Self {
            text: value(),
            platform,
            names,
            rest,
        })
    }

    /// Says whether the pattern writes GitHub's ids, which survive a renamed or re-created repository.
    pub fn has_ids(&self) -> bool {
        self.names.iter().all(|each| each.id.is_some())
    }

    fn compare(&self, issuer: &str, certificate: &Certificate, compared: &mut Vec<Compared>) {
        if self.platform == Platform::Gitlab && self.rest.as_deref() == Some(PROTECTED) {
            return self.compare_protected(issuer, certificate, compared);
        }
        if let Some(subject) = certificate.claim(Claim::TokenSubject) {
            compared.push(Compared {
                what: "token-subject",
                expected: self.text.clone(),
                found: Some(subject.to_owned()),
                agrees: self.matches_subject(subject, issuer == GITHUB_ISSUER),
            });
            self.compare_ids(certificate, compared);
            return;
        }
        match (self.platform, issuer) {
            (Platform::Github, GITHUB_ISSUER) => self.compare_github_claims(certificate, compared),
            (Platform::Gitlab, GITLAB_ISSUER) => self.compare_gitlab_claims(certificate, compared),
            _ => compared.push(self.untranslatable("token-subject")),
        }
    }

    /// Compares with a token's `sub`.
    fn matches_subject(&self, subject: &str, ids_are_appended: bool) -> bool {
        let prefix = match self.platform {
            Platform::Github => "repo:",
            Platform::Gitlab => "project_path:",
        };
        let Some(after) = subject.strip_prefix(prefix) else {
            return false;
        };
        let (project, rest) = match after.split_once(':') {
            Some((project, rest)) => (project, Some(rest)),
            None => (after, None),
        };
        let names: Vec<&str> = project.split('/').collect();
        let same_project = names.len() == self.names.len()
            && self
                .names
                .iter()
                .zip(names)
                .all(|(name, found)| name.matches(found, ids_are_appended));
        same_project
            && match (&self.rest, rest) {
                (Some(pattern), Some(rest)) => glob(pattern, rest),
                (None, None) => true,
                _ => false,
            }
    }

    /// Ids that the pattern writes must also be those of the repository and its owner.
    fn compare_ids(&self, certificate: &Certificate, compared: &mut Vec<Compared>) {
        let claims = [
            Claim::SourceRepositoryOwnerIdentifier,
            Claim::SourceRepositoryIdentifier,
        ];
        if self.platform != Platform::Github {
            return;
        }
        for (name, claim) in self.names.iter().zip(claims) {
            if let Some(id) = &name.id {
                compared.push(exact(claim.name(), id, certificate.claim(claim)));
            }
        }
    }

    fn project(&self) -> String {
        self.names
            .iter()
            .map(|each| each.name.as_str())
            .collect::<Vec<_>>()
            .join("/")
    }

    fn compare_github_claims(&self, certificate: &Certificate, compared: &mut Vec<Compared>) {
        let repository = format!("https://github.com/{}", self.project());
        let found = certificate.claim(Claim::SourceRepositoryUri);
        compared.push(exact(Claim::SourceRepositoryUri.name(), &repository, found));
        self.compare_ids(certificate, compared);
        let rest = self.rest.as_deref().unwrap_or_default();
        if rest == ".*" {
            return;
        }
        let is_pull_request = certificate.claim(Claim::BuildTrigger) == Some("pull_request");
        if let Some(wanted) = rest.strip_prefix("ref:") {
            compared.push(globbed(Claim::SourceRepositoryRef, wanted, certificate));
            compared.push(absent(Claim::DeploymentEnvironment, certificate));
            compared.push(Compared {
                what: Claim::BuildTrigger.name(),
                expected: "not a pull request".to_owned(),
                found: certificate.claim(Claim::BuildTrigger).map(str::to_owned),
                agrees: !is_pull_request,
            });
        } else if let Some(wanted) = rest.strip_prefix("environment:") {
            compared.push(globbed(Claim::DeploymentEnvironment, wanted, certificate));
        } else {
            compared.push(self.untranslatable("token-subject"));
        }
    }

    fn compare_gitlab_claims(&self, certificate: &Certificate, compared: &mut Vec<Compared>) {
        let project = format!("https://gitlab.com/{}", self.project());
        let found = certificate.claim(Claim::SourceRepositoryUri);
        compared.push(exact(Claim::SourceRepositoryUri.name(), &project, found));
        let rest = self.rest.as_deref().unwrap_or_default();
        if rest == ".*" {
            return;
        }
        let reference = match rest.split_once(":ref:") {
            Some(("ref_type:branch", branch)) => Some(format!("refs/heads/{branch}")),
            Some(("ref_type:tag", tag)) => Some(format!("refs/tags/{tag}")),
            _ => None,
        };
        match reference {
            Some(reference) => {
                compared.push(globbed(Claim::SourceRepositoryRef, &reference, certificate))
            }
            None => compared.push(self.untranslatable("token-subject")),
        }
    }

    /// GitLab's subject does not say whether a ref is protected, and no public certificate does: only an instance of ours
    /// writes it into an extension of its own.
    fn compare_protected(
        &self,
        issuer: &str,
        certificate: &Certificate,
        compared: &mut Vec<Compared>,
    ) {
        let project = Self {
            rest: Some(".*".to_owned()),
            ..self.clone()
        };
        project.compare(issuer, certificate, compared);
        let extension = certificate
            .extensions()
            .iter()
            .find(|each| each.id == REF_PROTECTED);
        let found = extension.and_then(|each| {
            let text = Reader::new(&each.value).expect(tag::UTF8_STRING).ok()?;
            text.to_text().ok()
        });
        compared.push(exact("ref-protected", "true", found));
    }

    fn untranslatable(&self, what: &'static str) -> Compared {
        Compared {
            what,
            expected: self.text.clone(),
            found: None,
            agrees: false,
        }
    }
}

fn globbed(claim: Claim, pattern: &str, certificate: &Certificate) -> Compared {
    let found = certificate.claim(claim);
    Compared {
        what: claim.name(),
        expected: pattern.to_owned(),
        found: found.map(str::to_owned),
        agrees: found.is_some_and(|text| glob(pattern, text)),
    }
}

fn absent(claim: Claim, certificate: &Certificate) -> Compared {
    let found = certificate.claim(claim).map(str::to_owned);
    let agrees = found.is_none();
    Compared {
        what: claim.name(),
        expected: "absent".to_owned(),
        found,
        agrees,
    }
}

/// Compares text with a pattern in which `.*` is any run of printable characters, anchored at both ends.
fn glob(pattern: &str, text: &str) -> bool {
    if text.chars().any(|character| character.is_control()) {
        return false;
    }
    let mut pieces = pattern.split(".*");
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
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
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn pattern(text: &str) -> SubjectPattern {
        SubjectPattern::parse(text).unwrap()
    }

    #[test]
    fn every_character_of_a_pattern_is_literal_but_the_wildcard() {
        assert!(!pattern("repo:o/r.js:ref:x").matches_subject("repo:o/rxjs:ref:x", true));
        assert!(pattern("repo:o/r.js:ref:x").matches_subject("repo:o/r.js:ref:x", true));
        assert!(!pattern("repo:o/r:(a|b)").matches_subject("repo:o/r:a", true));
        assert!(
            pattern("repo:o/r:ref:refs/tags/v.*")
                .matches_subject("repo:o/r:ref:refs/tags/v1.2", true)
        );
        assert!(
            !pattern("repo:o/r:ref:refs/tags/v.*")
                .matches_subject("repo:o/r:ref:refs/heads/v1", true)
        );
    }

    #[test]
    fn a_pattern_is_anchored_at_both_ends() {
        let main = pattern("repo:o/r:ref:refs/heads/main");
        assert!(!main.matches_subject("repo:o/r:ref:refs/heads/main2", true));
        assert!(!main.matches_subject("xrepo:o/r:ref:refs/heads/main", true));
        assert!(!pattern("repo:o/r:.*").matches_subject("repo:o/r2:ref:x", true));
        assert!(!pattern("repo:o/r:.*").matches_subject("repo:o/r", true));
        assert!(pattern("repo:o/r:a.*b.*c").matches_subject("repo:o/r:a1b2c", true));
        assert!(!pattern("repo:o/r:ab.*bc").matches_subject("repo:o/r:abc", true));
    }

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
    fn githubs_ids_match_names_without_and_must_match_when_written() {
        let subject = "repo:octo-org@123456/octo-repo@456789:ref:refs/heads/main";
        assert!(
            pattern("repo:octo-org/octo-repo:ref:refs/heads/main").matches_subject(subject, true)
        );
        assert!(
            !pattern("repo:octo-org/octo-repo:ref:refs/heads/main").matches_subject(subject, false)
        );
        assert!(pattern("repo:octo-org@123456/octo-repo@456789:.*").matches_subject(subject, true));
        // A name that was given up and taken again has other ids.
        assert!(
            !pattern("repo:octo-org@123456/octo-repo@999999:.*").matches_subject(subject, true)
        );
        let without = "repo:octo-org/octo-repo:ref:refs/heads/main";
        assert!(
            !pattern("repo:octo-org@123456/octo-repo@456789:.*").matches_subject(without, true)
        );
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
    fn a_wildcard_does_not_run_over_control_characters() {
        assert!(!pattern("repo:o/r:.*").matches_subject("repo:o/r:a\nb", true));
    }

    #[test]
    fn characters_that_deceive_are_shown_escaped() {
        assert_eq!(escape("a\u{202e}b\u{0430}\0"), "a\\u{202e}b\\u{430}\\u{0}");
    }
}
