//! The local issuer: who gets a token, for which subject, and the flow of interactive clients.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use stella_bundle::digest::DigestAlgorithm;
use stella_keys::EphemeralKey;
use stella_server::{
    InstanceError, OpenError, Options, OwnIssuer, Sigstore, TokenRefusal, TokenRequest, read_secret,
};
use stella_wire::Response;
use stella_wire::oidc::{Discovery, Jwks, Jwt, RunnerToken, TokenAnswer};
use world::{P256, URL, World, refusal};

async fn ask(world: &World, query: &str, headers: &[(&str, &str)]) -> Response {
    world
        .send(Method::GET, &format!("/token?{query}"), headers, "")
        .await
}

fn authorization(world: &World) -> String {
    format!("bearer {}", *read_secret(world.directory.path()).unwrap())
}

#[tokio::test]
async fn the_token_endpoint_has_githubs_shape_and_its_token_is_believed() {
    let world = World::new().await;
    let authorization = authorization(&world);
    let headers = [("authorization", authorization.as_str())];
    let query = "api-version=2.0&audience=sigstore&subject=repo:local/other:environment:production&claim=sha%3Dabc";
    let answer = ask(&world, query, &headers).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let token = RunnerToken::parse(answer.body()).unwrap().value;
    let read = Jwt::parse(&token).unwrap();
    let claims = read.claims();
    assert_eq!(claims.text("iss"), Some(URL));
    assert_eq!(claims.audiences(), ["sigstore"]);
    assert_eq!(claims.text("repository"), Some("local/other"));
    assert_eq!(claims.text("environment"), Some("production"));
    assert_eq!(claims.text("sha"), Some("abc"));
    assert_eq!(claims.text("email"), None);
    let life = claims
        .time("exp")
        .unwrap()
        .since(claims.time("iat").unwrap());
    assert_eq!(life.as_secs(), 300);
    assert_eq!(claims.text("jti").unwrap().len(), 32);
    let key = EphemeralKey::generate(P256).unwrap();
    let issued = world
        .certify_with(&token, &key, "repo:local/other:environment:production")
        .await;
    assert_eq!(issued.status(), StatusCode::OK);
}

#[tokio::test]
async fn nobody_gets_a_token_without_the_secret_from_another_host_or_origin() {
    let world = World::new().await;
    let right = authorization(&world);
    let right = ("authorization", right.as_str());
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Headers<'_>, (u16, &str)); 6] = [
        (&[], (401, "SECRET_WRONG")),
        (
            &[(
                "authorization",
                "bearer 0000000000000000000000000000000000000000000000000000000000000000",
            )],
            (401, "SECRET_WRONG"),
        ),
        (&[("authorization", "basic x")], (401, "SECRET_WRONG")),
        (&[right, ("host", "evil.example:8123")], (403, "HOST_WRONG")),
        (&[right, ("host", "localhost:8123")], (403, "HOST_WRONG")),
        (
            &[right, ("origin", "http://evil.example")],
            (403, "HOST_WRONG"),
        ),
    ];
    for (headers, (status, reason)) in cases {
        let answer = ask(&world, "audience=sigstore", headers).await;
        assert_eq!(refusal(&answer), (status, reason.to_owned()), "{headers:?}");
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn subjects_and_claims_that_are_not_free_are_refused() {
    let world = World::new().await;
    let authorization = authorization(&world);
    let headers = [("authorization", authorization.as_str())];
    let cases = [
        (
            "subject=repo:octo/repo:ref:refs/heads/main",
            (403, "SUBJECT_NOT_ALLOWED"),
        ),
        ("subject=", (400, "TOKEN_REQUEST_INVALID")),
        (
            "claim=iss%3Dhttps://token.actions.githubusercontent.com",
            (400, "TOKEN_REQUEST_INVALID"),
        ),
        ("claim=sub%3Drepo:octo/repo", (400, "TOKEN_REQUEST_INVALID")),
        ("claim=email%3Da@b", (400, "TOKEN_REQUEST_INVALID")),
        (
            "claim=repository%3Docto/repo",
            (400, "TOKEN_REQUEST_INVALID"),
        ),
        ("claim=nothing", (400, "TOKEN_REQUEST_INVALID")),
        ("claim=sha%3Da%0Ab", (400, "TOKEN_REQUEST_INVALID")),
        ("audience=", (400, "TOKEN_REQUEST_INVALID")),
    ];
    for (query, (status, reason)) in cases {
        assert_eq!(
            refusal(&ask(&world, query, &headers).await),
            (status, reason.to_owned()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn the_list_of_subjects_is_the_operators() {
    let world = World::at(URL, |directory| {
        std::fs::write(
            directory.join("issuer.json"),
            r#"{"issuer_subjects":["repo:team/app:.*"]}"#,
        )
        .unwrap();
    })
    .await;
    let ask = |subject: &str| {
        let subject = Some(subject.to_owned());
        world
            .sigstore
            .identity_token(&TokenRequest {
                subject,
                ..TokenRequest::default()
            })
            .map(|_| ())
    };
    assert_eq!(ask("repo:team/app:ref:refs/heads/main"), Ok(()));
    let subject = "repo:local/demo:ref:refs/heads/main".to_owned();
    assert_eq!(
        ask(&subject),
        Err(TokenRefusal::SubjectNotAllowed { subject })
    );
}

#[tokio::test]
async fn claims_do_not_lead_around_the_list_of_subjects() {
    let world = World::new().await;
    let ask = |name: &str, value: &str| {
        world
            .sigstore
            .identity_token(&TokenRequest {
                claims: vec![(name.to_owned(), value.to_owned())],
                ..TokenRequest::default()
            })
            .map(|_| ())
    };
    for name in [
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "ref",
        "ref_type",
        "ref_protected",
        "workflow",
        "workflow_ref",
        "job_workflow_ref",
        "environment",
        "event_name",
        "project_path",
        "namespace_path",
        "ci_config_ref_uri",
    ] {
        let name = name.to_owned();
        assert_eq!(
            ask(&name, "octo/repo"),
            Err(TokenRefusal::ClaimReserved { name })
        );
    }
    assert_eq!(ask("sha", "abc"), Ok(()));
}

#[tokio::test]
async fn a_list_of_subjects_that_cannot_be_used_is_refused_with_what_it_should_be() {
    let directory = tempfile::tempdir().unwrap();
    world::init(directory.path(), URL);
    let path = directory.path().join("issuer.json");
    for (json, expected) in [
        (r#"{"issuer_subjects":[".*"]}"#, "begin with literal text"),
        (r#"["repo:o/r:.*"]"#, r#"{"issuer_subjects": ["#),
        (r#"{"subjects":[]}"#, r#"{"issuer_subjects": ["#),
        ("", r#"{"issuer_subjects": ["#),
    ] {
        std::fs::write(&path, json).unwrap();
        let refused = Sigstore::open(directory.path(), Options::default())
            .await
            .map(|_| ());
        let Err(OpenError::Instance(error)) = refused else {
            panic!("{json}: {refused:?}")
        };
        assert!(
            matches!(
                error,
                InstanceError::SubjectUnbounded { .. } | InstanceError::SubjectsMalformed { .. }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_instance_that_withholds_its_issuer_neither_mints_nor_believes() {
    let world = World::new().await;
    let token = world.token();
    let World {
        sigstore,
        clock,
        directory,
    } = world;
    drop(sigstore);
    let options = Options {
        clock: clock.clone(),
        own_issuer: OwnIssuer::Withhold,
        ..Options::default()
    };
    let sigstore = Sigstore::open(directory.path(), options).await.unwrap();
    let world = World {
        sigstore,
        clock,
        directory,
    };
    assert!(
        world
            .sigstore
            .identity_token(&TokenRequest::default())
            .is_err()
    );
    assert_eq!(
        world
            .get("/.well-known/openid-configuration")
            .await
            .status(),
        404
    );
    assert_eq!(world.get("/token").await.status(), 404);
    let key = EphemeralKey::generate(P256).unwrap();
    let refused = world
        .certify_with(&token, &key, stella_server::DEFAULT_SUBJECT)
        .await;
    assert_eq!(refusal(&refused).1, "TOKEN_ISSUER_UNKNOWN");
}

#[tokio::test]
async fn discovery_leads_to_the_key_and_offers_pkce() {
    let world = World::new().await;
    let discovery =
        Discovery::parse(world.get("/.well-known/openid-configuration").await.body()).unwrap();
    assert_eq!(discovery.issuer, URL);
    assert_eq!(discovery.code_challenge_methods_supported, ["S256"]);
    assert_eq!(discovery.id_token_signing_alg_values_supported, ["RS256"]);
    let path = discovery.jwks_uri.strip_prefix(URL).unwrap();
    let jwks = Jwks::parse(world.get(path).await.body()).unwrap();
    let token = Jwt::parse(&world.token()).unwrap();
    assert_eq!(jwks.keys[0].kid, token.header().kid);
}

#[tokio::test]
async fn an_interactive_client_with_the_secret_gets_a_token_for_its_code_once() {
    let world = World::new().await;
    let authorization = authorization(&world);
    let verifier = "a-verifier-of-at-least-forty-three-characters-in-length";
    let challenge =
        URL_SAFE_NO_PAD.encode(DigestAlgorithm::Sha256.digest(verifier.as_bytes()).bytes());
    let query = format!(
        "/authorize?response_type=code&client_id=sigstore&state=s&nonce=n&code_challenge={challenge}&code_challenge_method=S256&redirect_uri="
    );
    let headers = [("authorization", authorization.as_str())];
    let local = format!("{query}http%3A%2F%2Flocalhost%3A4711%2Fauth%2Fcallback");
    assert_eq!(
        refusal(&world.get(&local).await),
        (401, "SECRET_WRONG".to_owned())
    );
    let abroad = format!("{query}https%3A%2F%2Fevil.example");
    let refused = world.send(Method::GET, &abroad, &headers, "").await;
    assert_eq!(refusal(&refused), (400, "REDIRECT_INVALID".to_owned()));

    let answer = world.send(Method::GET, &local, &headers, "").await;
    assert_eq!(answer.status(), StatusCode::FOUND);
    let location = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let parameter = |name: &str| {
        location
            .query_pairs()
            .find(|(key, _)| key == name)
            .unwrap()
            .1
            .into_owned()
    };
    assert_eq!(parameter("state"), "s");
    let exchange = async |code: &str, verifier: &str| {
        let form = format!(
            "grant_type=authorization_code&code={code}&code_verifier={verifier}&redirect_uri=http%3A%2F%2Flocalhost%3A4711%2Fauth%2Fcallback"
        );
        world
            .send(
                Method::POST,
                "/oauth/token",
                &[("content-type", "application/x-www-form-urlencoded")],
                form,
            )
            .await
    };
    let code = parameter("code");
    let answer = exchange(&code, verifier).await;
    let token = Jwt::parse(&TokenAnswer::parse(answer.body()).unwrap().id_token).unwrap();
    assert_eq!(token.claims().text("nonce"), Some("n"));
    assert_eq!(
        refusal(&exchange(&code, verifier).await),
        (400, "CODE_UNKNOWN".to_owned())
    );

    let out_of_band = format!("{query}urn%3Aietf%3Awg%3Aoauth%3A2.0%3Aoob");
    let answer = world.send(Method::GET, &out_of_band, &headers, "").await;
    let code = std::str::from_utf8(answer.body()).unwrap().to_owned();
    assert_eq!(
        refusal(&exchange(&code, "another").await),
        (400, "PKCE_WRONG".to_owned())
    );
}
