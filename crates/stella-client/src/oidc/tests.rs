//! Where tokens come from, and which of them are not worth sending.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use stella_wire::transport::{Transport as _, TransportError};

use super::*;
use crate::error::{ErrorClass, Service};
use crate::scripted::*;

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const SECRET: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

fn detect_in(variables: &[(&str, &str)]) -> Result<Option<Provider>, ProviderError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let environment = Environment {
        variable: &|name| variables.get(name).map(|value| (*value).to_owned()),
        token_file: Path::new("/nonexistent/token"),
        product_file: Path::new("/nonexistent/product_name"),
    };
    detect(&environment, "sigstore")
}

fn origin(variables: &[(&str, &str)]) -> Option<TokenOrigin> {
    detect_in(variables)
        .unwrap()
        .map(|provider| provider.origin())
}

#[test]
fn the_first_provider_that_is_configured_is_taken() {
    let runner = [(URL, "https://runner.example/?a=1"), (SECRET, "s")];
    assert_eq!(origin(&[]), None);
    assert_eq!(origin(&runner), Some(TokenOrigin::GithubActions));
    let mut all = runner.to_vec();
    all.extend([("GITLAB_CI", "true"), (TOKEN_VARIABLE, "a.b.c")]);
    assert_eq!(origin(&all), Some(TokenOrigin::GithubActions));
    assert_eq!(origin(&all[2..]), Some(TokenOrigin::GitlabCi));
    assert_eq!(origin(&all[3..]), Some(TokenOrigin::Variable));
    assert_eq!(origin(&[(TOKEN_VARIABLE, "")]), None);
}

#[test]
fn a_job_that_may_not_ask_gets_no_other_identity_instead() {
    let missing = |missing| Err(ProviderError::GithubPermission { missing });
    let other = (TOKEN_VARIABLE, "a.b.c");
    assert_eq!(
        detect_in(&[("GITHUB_ACTIONS", "true"), other]),
        missing(URL)
    );
    assert_eq!(
        detect_in(&[(URL, "https://r.example"), other]),
        missing(SECRET)
    );
    assert_eq!(detect_in(&[(SECRET, "s"), other]), missing(URL));
    let text = detect_in(&[("GITHUB_ACTIONS", "true")])
        .unwrap_err()
        .to_string();
    assert!(text.contains("id-token: write"), "{text}");
    let audience = "sigstore".to_owned();
    assert_eq!(
        detect_in(&[("GITLAB_CI", "true")]),
        Err(ProviderError::GitlabToken { audience })
    );
    assert_eq!(
        detect_in(&[(URL, "not an address"), (SECRET, "s")]),
        Err(ProviderError::RunnerAddress)
    );
}

#[test]
fn gitea_looks_like_github_and_has_no_such_endpoint() {
    let gitea = [("GITHUB_ACTIONS", "true"), ("GITEA_ACTIONS", "true")];
    assert_eq!(origin(&gitea), None);
    let with_token = [gitea[0], gitea[1], (TOKEN_VARIABLE, "a.b.c")];
    assert_eq!(origin(&with_token), Some(TokenOrigin::Variable));
}

fn github() -> Provider {
    let url = "https://runner.example/token?api-version=2.0&audience=other";
    detect_in(&[(URL, url), (SECRET, "hush")]).unwrap().unwrap()
}

#[test]
fn the_runner_is_asked_for_our_audience_with_its_secret() {
    let script = Script::new([status(200, r#"{"value":"a.b.c","count":5}"#)]);
    let token = run(github().token(&script, "my audience")).unwrap();
    assert_eq!(token.as_str(), "a.b.c");
    let asked = &script.asked()[0];
    assert_eq!(
        asked.uri().to_string(),
        "https://runner.example/token?api-version=2.0&audience=my+audience"
    );
    let bearer = &asked.headers()[http::header::AUTHORIZATION];
    assert_eq!(bearer, "bearer hush");
    assert!(bearer.is_sensitive());
    assert!(!format!("{:?} {asked:?}", github()).contains("hush"));
}

#[test]
fn the_runners_failure_is_final_and_told_apart() {
    let class = |answer| {
        let error = run(github().token(&Script::new([answer]), "sigstore")).unwrap_err();
        // What stands in the query stays out of every message.
        assert!(!error.to_string().contains("api-version"), "{error}");
        error.class()
    };
    assert_eq!(class(status(401, "")), ErrorClass::Access);
    assert_eq!(class(status(503, "")), ErrorClass::Unavailable);
    assert_eq!(class(refused()), ErrorClass::Unavailable);
    assert_eq!(class(status(200, "{}")), ErrorClass::Refused);
    assert_eq!(class(status(400, "")), ErrorClass::Refused);
}

#[test]
fn the_runners_unavailability_names_the_service() {
    let error = run(github().token(&Script::new([refused()]), "sigstore")).unwrap_err();
    let ClientError::Unavailable {
        service, address, ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (service, address.as_str()),
        (Service::OidcProvider, "https://runner.example/token")
    );
}

#[test]
fn buildkites_agent_is_asked_and_circleci_is_told_how() {
    let job = [
        ("BUILDKITE", "true"),
        ("BUILDKITE_AGENT_ACCESS_TOKEN", "hush"),
        ("BUILDKITE_JOB_ID", "0187-a"),
    ];
    let agent = detect_in(&job).unwrap().unwrap();
    assert_eq!(agent.origin(), TokenOrigin::Buildkite);
    let script = Script::new([status(200, r#"{"token":"a.b.c"}"#)]);
    let token = run(agent.token(&script, "sigstore")).unwrap();
    assert_eq!(token.as_str(), "a.b.c");
    let asked = &script.asked()[0];
    assert_eq!(
        asked.uri().to_string(),
        "https://agent.buildkite.com/v3/jobs/0187-a/oidc/tokens"
    );
    assert_eq!(asked.body().as_ref(), br#"{"audience":"sigstore"}"#);
    assert_eq!(asked.headers()[http::header::AUTHORIZATION], "Token hush");
    assert!(!format!("{agent:?} {asked:?}").contains("hush"));
    // What the job sets for itself wins, and a job without the agent's secret gets no other identity.
    let own = [&job[..], &[(TOKEN_VARIABLE, "x.y.z")]].concat();
    assert_eq!(origin(&own), Some(TokenOrigin::Variable));
    let missing = "BUILDKITE_AGENT_ACCESS_TOKEN";
    assert_eq!(
        detect_in(&[job[0], job[2]]),
        Err(ProviderError::Buildkite { missing })
    );
    let astray = [job[0], job[1], ("BUILDKITE_JOB_ID", "../x")];
    assert!(detect_in(&astray).is_err());
    let told = detect_in(&[("CIRCLECI", "true")]).unwrap_err().to_string();
    assert!(
        told.contains(r#"circleci run oidc get --claims '{"aud":"sigstore"}'"#),
        "{told}"
    );
    assert_eq!(
        origin(&[("CIRCLECI", "true"), (TOKEN_VARIABLE, "x.y.z")]),
        Some(TokenOrigin::Variable)
    );
}

#[test]
fn googles_metadata_server_is_asked_where_the_machine_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let product_file = folder.path().join("product_name");
    let origin_of = |product: &str, variables: &[(&str, &str)]| {
        std::fs::write(&product_file, product).unwrap();
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let environment = Environment {
            variable: &|name| variables.get(name).map(|value| (*value).to_owned()),
            token_file: Path::new("/nonexistent/token"),
            product_file: &product_file,
        };
        detect(&environment, "sigstore").map(|found| found.map(|provider| provider.origin()))
    };
    let google = Ok(Some(TokenOrigin::GoogleCloud));
    for product in ["Google\n", "Google Compute Engine\n"] {
        assert_eq!(origin_of(product, &[]), google, "{product}");
    }
    for product in ["", "KVM\n", "Google Pixelbook\n", &"Google".repeat(100)] {
        assert_eq!(origin_of(product, &[]), Ok(None), "{product}");
    }
    // The runner's machine is not the job.
    for name in ["CI", "GITEA_ACTIONS", "JENKINS_URL", "TF_BUILD"] {
        assert_eq!(origin_of("Google\n", &[(name, "true")]), Ok(None), "{name}");
    }
    let said = ("GCE_METADATA_HOST", "metadata.google.internal");
    assert_eq!(origin_of("", &[("CI", "true"), said]), google);
}

#[test]
fn googles_metadata_server_is_one_address_and_says_who_it_is() {
    let host = |host| detect_in(&[("GCE_METADATA_HOST", host)]);
    for good in ["169.254.169.254:80", "[fd20:ce::254]", "localhost:8080"] {
        assert!(host(good).is_ok(), "{good}");
    }
    for bad in [
        "metadata.example",
        "169.254.169.254:8080",
        "169.254.169.253",
        "metadata.google.internal.example",
        "me@169.254.169.254",
        "169.254.169.254/x",
    ] {
        let found = bad.to_owned();
        assert_eq!(host(bad), Err(ProviderError::GoogleHost { found }));
    }

    let server = host("169.254.169.254").unwrap().unwrap();
    let mut answer = status(200, "a.b.c\n").unwrap();
    let flavor = http::HeaderName::from_static("metadata-flavor");
    answer
        .headers_mut()
        .insert(&flavor, "Google".parse().unwrap());
    let script = Script::new([Ok(answer), status(200, "a.b.c"), status(404, "")]);
    let token = run(server.token(&script, "my audience")).unwrap();
    assert_eq!(token.as_str(), "a.b.c");
    let asked = &script.asked()[0];
    assert_eq!(
        asked.uri().to_string(),
        "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/identity?audience=my+audience&format=full"
    );
    assert_eq!(asked.headers()[&flavor], "Google");
    let class = || run(server.token(&script, "a")).unwrap_err().class();
    assert_eq!(class(), ErrorClass::Refused);
    assert_eq!(class(), ErrorClass::Refused);
}

#[test]
fn plain_http_reaches_the_metadata_server_for_its_driver_alone() {
    let network = crate::Network::default();
    let asked = |address: &str| {
        let mut request = stella_wire::transport::Request::default();
        *request.uri_mut() = address.parse().unwrap();
        request
    };
    // No socket is needed to say no.
    let refused = |request| {
        let Err(TransportError::Unreachable { .. }) = run(network.send(request)) else {
            panic!("that address was asked")
        };
    };
    refused(asked("http://169.254.169.254/"));
    refused(asked("http://metadata.google.internal/"));
    for address in [
        "http://169.254.169.253/",
        "http://169.254.169.254:8080/",
        "http://metadata.google.internal.example/",
    ] {
        let mut request = asked(address);
        request.extensions_mut().insert(crate::network::LinkOnly);
        refused(request);
    }
}

#[test]
fn the_workload_api_is_a_socket_of_this_machine() {
    let endpoint = |endpoint| detect_in(&[("SPIFFE_ENDPOINT_SOCKET", endpoint)]);
    for good in ["unix:///run/spire/api.sock", "unix:/run/spire/api.sock"] {
        let found = endpoint(good).unwrap().unwrap();
        assert_eq!(found.origin(), TokenOrigin::Spiffe, "{good}");
    }
    for bad in [
        "tcp://127.0.0.1:8000",
        "unix://host/api.sock",
        "unix:api.sock",
        "unix:///a?b",
        "/run/spire/api.sock",
    ] {
        let found = bad.to_owned();
        assert_eq!(endpoint(bad), Err(ProviderError::SpiffeEndpoint { found }));
    }
}

fn check(claims: &serde_json::Value, issuer: Option<&str>) -> Result<IdentityToken, TokenError> {
    let demands = TokenDemands {
        audience: "sigstore",
        issuer,
    };
    IdentityToken::check(token_text(claims), TokenOrigin::GivenByHand, &demands, NOW)
}

#[test]
fn a_good_token_is_taken_and_never_printed() {
    let token = check(&json!({}), Some(ISSUER)).unwrap();
    assert_eq!((token.issuer(), token.subject()), (ISSUER, SUBJECT));
    assert_eq!(token.expires(), NOW.plus(Duration::from_secs(300)));
    assert!(!format!("{token:?}").contains(token.text()));
    check(&json!({"aud": ["x", "sigstore"]}), None).unwrap();
}

#[test]
fn an_expired_token_says_since_when() {
    let error = check(&json!({"exp": NOW.seconds() - 42}), None).unwrap_err();
    let expired = NOW.minus(Duration::from_secs(42));
    assert_eq!(error, TokenError::Expired { expired, now: NOW });
    assert!(
        error.to_string().starts_with("token expired 42 s ago"),
        "{error}"
    );
    assert!(check(&json!({"exp": NOW.seconds()}), None).is_err());
    assert_eq!(ClientError::from(error).class(), ErrorClass::Token);
}

#[test]
fn a_token_for_others_or_by_others_is_refused_before_any_request() {
    let expected = "sigstore".to_owned();
    let wrong = |found: &[&str]| {
        let found = found.iter().map(|one| (*one).to_owned()).collect();
        Err(TokenError::WrongAudience {
            expected: expected.clone(),
            found,
        })
    };
    let audience = |aud: serde_json::Value| check(&json!({"aud": aud}), None).map(|_| ());
    assert_eq!(audience(json!("Sigstore")), wrong(&["Sigstore"]));
    assert_eq!(audience(json!(["a", "b"])), wrong(&["a", "b"]));
    assert_eq!(audience(json!(null)), wrong(&[]));
    let other = "https://issuer.example/";
    assert!(matches!(
        check(&json!({}), Some(other)),
        Err(TokenError::WrongIssuer { .. })
    ));
}

#[test]
fn a_token_with_a_hole_is_refused() {
    for claim in ["iss", "sub", "exp"] {
        for value in [json!(null), json!(""), json!([1])] {
            let refused = check(&json!({ claim: value }), None);
            assert!(
                matches!(refused, Err(TokenError::ClaimMissing { .. })),
                "{claim} {value}"
            );
        }
    }
    let begins = NOW.plus(Duration::from_secs(61));
    let early = check(&json!({"nbf": NOW.seconds() + 61}), None).map(|_| ());
    assert_eq!(early, Err(TokenError::NotYetValid { begins, now: NOW }));
    check(&json!({"nbf": NOW.seconds() + 60}), None).unwrap();

    let demands = TokenDemands {
        audience: "sigstore",
        issuer: None,
    };
    let raw = |text: &str| {
        let text = Zeroizing::new(text.to_owned());
        IdentityToken::check(text, TokenOrigin::Variable, &demands, NOW).map(|_| ())
    };
    for bad in ["", "a.b", "a.b.c", "....", "é.é.é"] {
        assert!(matches!(raw(bad), Err(TokenError::Shape(_))), "{bad}");
    }
    let whole = token_text(&json!({}));
    let unsigned = whole.rsplit_once('.').unwrap().0;
    assert_eq!(raw(&format!("{unsigned}.")), Err(TokenError::Unsigned));
}

#[test]
fn possession_is_proved_over_the_verified_address_else_the_subject() {
    let challenge = |claims| check(&claims, None).unwrap().challenge().to_owned();
    let email = "a@b.example";
    assert_eq!(challenge(json!({})), SUBJECT);
    assert_eq!(
        challenge(json!({"email": email, "email_verified": true})),
        email
    );
    assert_eq!(
        challenge(json!({"email": email, "email_verified": false})),
        SUBJECT
    );
    assert_eq!(challenge(json!({"email": email})), SUBJECT);
}

#[test]
fn a_token_file_is_read_each_time_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let kind = |path: &Path| match file::read_token(path) {
        Err(ProviderError::File { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(&path), std::io::ErrorKind::NotFound);
    std::fs::write(&path, " a.b.c\n").unwrap();
    assert_eq!(file::read_token(&path).unwrap().as_str(), "a.b.c");
    let environment = Environment {
        variable: &|_| None,
        token_file: &path,
        product_file: Path::new("/nonexistent/product_name"),
    };
    let provider = detect(&environment, "sigstore").unwrap().unwrap();
    assert_eq!(provider.origin(), TokenOrigin::File(path.clone()));
    std::fs::write(&path, "d.e.f").unwrap();
    let token = run(provider.token(&Script::default(), "sigstore")).unwrap();
    assert_eq!(token.as_str(), "d.e.f");

    std::fs::write(&path, "\n").unwrap();
    assert_eq!(kind(&path), std::io::ErrorKind::UnexpectedEof);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(kind(&path), std::io::ErrorKind::InvalidData);
    std::fs::write(&path, "a".repeat(1 << 20)).unwrap();
    assert_eq!(kind(&path), std::io::ErrorKind::FileTooLarge);
}
