//! The claims of GitHub Actions, derived from a subject (GitHub docs, "OpenID Connect reference"; spec: Fulcio's
//! config/identity/config.yaml needs each of them).

use stella_bundle::time::UnixTime;
use stella_keys::KeyError;
use stella_wire::oidc::Claims;

use super::TOKEN_LIFE;
use crate::random;

/// A digest that no commit has: the local issuer knows of no commit.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// Claims of GitHub, GitLab and Buildkite that say where a run belongs, or that [`of`] reads from the subject.
///
/// Fulcio writes a certificate's names from them, so they say what the list of subjects allows and nothing else.
const PLACE: [&str; 19] = [
    "ci_config_ref_uri",
    "environment",
    "event_name",
    "job_workflow_ref",
    "namespace_id",
    "namespace_path",
    "organization_slug",
    "pipeline_slug",
    "project_id",
    "project_path",
    "ref",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "workflow",
    "workflow_ref",
];

/// Says whether a claim follows from the subject, and from nobody's wish.
pub(super) fn follows_from_subject(name: &str) -> bool {
    PLACE.contains(&name)
}

/// Returns the claims of a run in the repository that `subject` names, or in `local/demo`.
pub(super) fn of(subject: &str, now: UnixTime) -> Claims {
    let context = Context::of(subject);
    let workflow = format!(
        "{}/.github/workflows/stella.yml@{}",
        context.repository, context.reference
    );
    let owner = context
        .repository
        .split_once('/')
        .map_or("local", |(owner, _)| owner);
    let run = now.seconds().to_string();
    let mut claims = Claims::default();
    for (name, value) in [
        ("actor", owner),
        ("actor_id", "1"),
        ("base_ref", ""),
        ("event_name", context.event),
        ("head_ref", ""),
        ("job_workflow_ref", &workflow),
        ("job_workflow_sha", NO_COMMIT),
        ("ref", context.reference),
        ("ref_protected", "false"),
        (
            "ref_type",
            if context.reference.starts_with("refs/tags/") {
                "tag"
            } else {
                "branch"
            },
        ),
        ("repository", context.repository),
        ("repository_id", "1"),
        ("repository_owner", owner),
        ("repository_owner_id", "1"),
        ("repository_visibility", "private"),
        ("run_attempt", "1"),
        ("run_id", &run),
        ("run_number", "1"),
        ("runner_environment", "self-hosted"),
        ("sha", NO_COMMIT),
        ("workflow", "stella"),
        ("workflow_ref", &workflow),
        ("workflow_sha", NO_COMMIT),
    ] {
        claims.set(name, value);
    }
    if let Some(environment) = context.environment {
        claims.set("environment", environment);
    }
    claims
}

/// Adds what the issuer itself vouches for and returns the token's id.
pub(super) fn seal(
    claims: &mut Claims,
    issuer: &str,
    audience: &str,
    subject: &str,
    now: UnixTime,
) -> Result<String, KeyError> {
    let token_id = hex::encode(random::bytes::<16>()?);
    claims.set("iss", issuer);
    claims.set("aud", audience);
    claims.set("sub", subject);
    claims.set("iat", now.seconds());
    claims.set("nbf", now.seconds());
    claims.set("exp", now.plus(TOKEN_LIFE).seconds());
    claims.set("jti", token_id.as_str());
    Ok(token_id)
}

/// What a subject says of a run.
#[derive(Debug, PartialEq, Eq)]
struct Context<'a> {
    repository: &'a str,
    reference: &'a str,
    event: &'a str,
    environment: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// Reads `repo:OWNER/NAME:ref:REF`, `…:environment:NAME` and `…:pull_request`; anything else is a run on main.
    fn of(subject: &'a str) -> Self {
        let usual = Self {
            repository: "local/demo",
            reference: "refs/heads/main",
            event: "push",
            environment: None,
        };
        let Some((repository, rest)) = subject
            .strip_prefix("repo:")
            .and_then(|rest| rest.split_once(':'))
        else {
            return usual;
        };
        let here = Self {
            repository,
            ..usual
        };
        match rest.split_once(':') {
            Some(("ref", reference)) => Self { reference, ..here },
            Some(("environment", name)) => Self {
                environment: Some(name),
                ..here
            },
            None if rest == "pull_request" => Self {
                reference: "refs/pull/1/merge",
                event: "pull_request",
                ..here
            },
            _ => here,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_decides_repository_reference_environment_and_event() {
        let cases = [
            (
                "repo:o/r:ref:refs/tags/v1",
                ("o/r", "refs/tags/v1", "push", None),
            ),
            (
                "repo:o/r:environment:production",
                ("o/r", "refs/heads/main", "push", Some("production")),
            ),
            (
                "repo:o/r:pull_request",
                ("o/r", "refs/pull/1/merge", "pull_request", None),
            ),
            ("somebody", ("local/demo", "refs/heads/main", "push", None)),
        ];
        for (subject, (repository, reference, event, environment)) in cases {
            assert_eq!(
                Context::of(subject),
                Context {
                    repository,
                    reference,
                    event,
                    environment
                },
                "{subject}"
            );
        }
    }
}
