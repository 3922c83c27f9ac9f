//! Subject patterns: a complete project, then text with wildcards, over a CI platform's token subject.

use super::{Compared, GITHUB_ISSUER, GITLAB_ISSUER, IdentityError, exact};
use crate::asn1::{Reader, tag};
use crate::certificate::{Certificate, Claim};
use crate::issue::certificate::REF_PROTECTED;

/// What follows the project in a pattern that asks for a protected ref.
const PROTECTED: &str = "ref_protected:true";

/// A pattern over a CI platform's token subject: a complete project, then text in which `.*` is any run of printable
/// characters; anchored at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern {
    pub(super) text: String,
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
    /// Returns the pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn parse(text: &str) -> Result<Self, IdentityError> {
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

    pub(super) fn compare(
        &self,
        issuer: &str,
        certificate: &Certificate,
        compared: &mut Vec<Compared>,
    ) {
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
            .find(|each| each.id == REF_PROTECTED);
        let found = extension.and_then(|each| {
            let text = Reader::new(each.value).expect(tag::UTF8_STRING).ok()?;
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

/// Says whether a character shows itself: no control, no bidirectional override, nothing of no width.
fn is_printable(character: char) -> bool {
    matches!(character, '\'' | '"' | '\\') || character.escape_debug().len() == 1
}

/// Compares text with a pattern in which `.*` is any run of printable characters, anchored at both ends.
fn glob(pattern: &str, text: &str) -> bool {
    if !text.chars().all(is_printable) {
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
    fn a_wildcard_does_not_run_over_control_characters() {
        assert!(!pattern("repo:o/r:.*").matches_subject("repo:o/r:a\nb", true));
        assert!(!pattern("repo:o/r:.*").matches_subject("repo:o/r:a\u{202e}b", true));
        assert!(pattern("repo:o/r:.*").matches_subject("repo:o/r:feature/größe 'x'", true));
    }
}
