//! What the services refuse, each with its status and reason. The order of checks is part of it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::entry::EntryVerifier;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, FileKey, Signer as _};
use stella_server::{Clock as _, DEFAULT_SUBJECT};
use stella_wire::oidc::{Claims, Jwt, JwtHeader};
use stella_wire::rekor::AddEntry;
use stella_wire::tsa::{Certificates, QUERY, TimestampRequest};
use world::{P256, URL, World, entry, refusal};

/// Signs claims with the instance's own key, or claims to: the header is ours to write.
fn forge(
    world: &World,
    header: impl FnOnce(&str) -> JwtHeader,
    change: &[(&str, Value)],
) -> String {
    let details = KeyDetails::RsaPkcs1v15_2048Sha256;
    let key = FileKey::load(&world.directory.path().join("keys/oidc.pem"), details).unwrap();
    let good = Jwt::parse(&world.token()).unwrap();
    let mut claims: BTreeMap<&str, Value> = good
        .claims()
        .iter()
        .map(|(name, value)| (name, value.clone()))
        .collect();
    for (name, value) in change {
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name, value.clone()),
        };
    }
    let claims = Claims::parse(&serde_json::to_vec(&claims).unwrap()).unwrap();
    let header = header(good.header().kid.as_deref().unwrap());
    let signed = Jwt::to_be_signed(&header, &claims);
    Jwt::assemble(&signed, &key.sign(signed.as_bytes()).unwrap())
}

fn rs256(key_id: &str) -> JwtHeader {
    JwtHeader::new("RS256", key_id)
}

#[tokio::test]
async fn a_forged_token_that_says_nothing_wrong_is_accepted() {
    let world = World::new().await;
    let key = EphemeralKey::generate(P256).unwrap();
    let token = forge(&world, rs256, &[]);
    assert_eq!(
        world
            .certify_with(&token, &key, DEFAULT_SUBJECT)
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn bad_tokens_are_refused_with_status_400_and_their_reason() {
    let world = World::new().await;
    let key = EphemeralKey::generate(P256).unwrap();
    let now = world.clock.now().seconds();
    let long = "x".repeat(20_000);
    let other_key = {
        let stranger = EphemeralKey::generate(KeyDetails::RsaPkcs1v15_2048Sha256).unwrap();
        let good = Jwt::parse(&world.token()).unwrap();
        let signed = Jwt::to_be_signed(good.header(), good.claims());
        Jwt::assemble(&signed, &stranger.sign(signed.as_bytes()).unwrap())
    };
    let none = {
        let good = Jwt::parse(&world.token()).unwrap();
        Jwt::assemble(
            &Jwt::to_be_signed(&JwtHeader::new("none", "x"), good.claims()),
            b"",
        )
    };
    let cases = [
        ("", "TOKEN_MISSING"),
        ("hello", "TOKEN_MALFORMED"),
        ("a.b.c", "TOKEN_MALFORMED"),
        (&long, "TOKEN_MALFORMED"),
        (&other_key, "TOKEN_SIGNATURE_WRONG"),
        (&none, "TOKEN_ALGORITHM_NOT_ALLOWED"),
        (
            &forge(&world, |key_id| JwtHeader::new("HS256", key_id), &[]),
            "TOKEN_ALGORITHM_NOT_ALLOWED",
        ),
        (
            &forge(&world, |key_id| JwtHeader::new("PS256", key_id), &[]),
            "TOKEN_KEY_UNKNOWN",
        ),
        (
            &forge(&world, |_| rs256("another"), &[]),
            "TOKEN_KEY_UNKNOWN",
        ),
        (
            &forge(&world, rs256, &[("iss", json!("https://unknown.example"))]),
            "TOKEN_ISSUER_UNKNOWN",
        ),
        (
            &forge(&world, rs256, &[("iss", json!(format!("{URL}/")))]),
            "TOKEN_ISSUER_UNKNOWN",
        ),
        (
            &forge(&world, rs256, &[("iss", Value::Null)]),
            "TOKEN_ISSUER_UNKNOWN",
        ),
        (
            &forge(&world, rs256, &[("aud", json!("another"))]),
            "TOKEN_AUDIENCE_WRONG",
        ),
        (
            &forge(&world, rs256, &[("aud", json!(["sigstore", "another"]))]),
            "TOKEN_AUDIENCE_WRONG",
        ),
        (
            &forge(&world, rs256, &[("exp", json!(now - 31))]),
            "TOKEN_EXPIRED",
        ),
        (
            &forge(&world, rs256, &[("exp", Value::Null)]),
            "TOKEN_DATE_MISSING",
        ),
        (
            &forge(
                &world,
                rs256,
                &[("iat", json!(now - 601)), ("exp", json!(now + 60))],
            ),
            "TOKEN_TOO_OLD",
        ),
        (
            &forge(&world, rs256, &[("nbf", json!(now + 31))]),
            "TOKEN_NOT_YET_VALID",
        ),
        (
            &forge(&world, rs256, &[("sub", Value::Null)]),
            "TOKEN_CLAIMS_UNUSABLE",
        ),
        (
            &forge(&world, rs256, &[("job_workflow_ref", Value::Null)]),
            "TOKEN_CLAIMS_UNUSABLE",
        ),
        (
            &forge(
                &world,
                rs256,
                &[("job_workflow_ref", json!("o/r/../x@refs/heads/main"))],
            ),
            "TOKEN_CLAIMS_UNUSABLE",
        ),
        (
            &forge(&world, rs256, &[("repository", json!("o/r x"))]),
            "TOKEN_CLAIMS_UNUSABLE",
        ),
        (
            &forge(&world, rs256, &[("workflow", json!("a\nb"))]),
            "TOKEN_CLAIMS_UNUSABLE",
        ),
        (
            &forge(&world, rs256, &[("sha", json!({"a": 1}))]),
            "TOKEN_CLAIMS_UNUSABLE",
        ),
    ];
    for (token, reason) in cases {
        let answer = world.certify_with(token, &key, DEFAULT_SUBJECT).await;
        assert_eq!(refusal(&answer), (400, reason.to_owned()), "{token:.80}");
        let body = std::str::from_utf8(answer.body()).unwrap();
        assert!(
            body.contains("There was an error processing the identity token"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_token_is_refused_when_its_time_has_passed() {
    let world = World::new().await;
    let key = EphemeralKey::generate(P256).unwrap();
    let token = world.token();
    world.clock.advance(329);
    assert_eq!(
        world
            .certify_with(&token, &key, DEFAULT_SUBJECT)
            .await
            .status(),
        200
    );
    world.clock.advance(1);
    let late = world.certify_with(&token, &key, DEFAULT_SUBJECT).await;
    assert_eq!(refusal(&late), (400, "TOKEN_EXPIRED".to_owned()));
}

#[tokio::test]
async fn keys_and_proofs_are_refused_after_the_token_was_good() {
    let world = World::new().await;
    let key = EphemeralKey::generate(P256).unwrap();
    let token = world.token();
    let wrong = world.certify_with(&token, &key, "another subject").await;
    assert_eq!(
        refusal(&wrong),
        (400, "PROOF_OF_POSSESSION_WRONG".to_owned())
    );
    // A bad token is told before a bad proof.
    let both = world.certify_with("a.b.c", &key, "another subject").await;
    assert_eq!(refusal(&both), (400, "TOKEN_MALFORMED".to_owned()));

    let post = async |key_request: &str| {
        let body = format!(r#"{{"credentials":{{"oidcIdentityToken":"{token}"}},{key_request}}}"#);
        refusal(&world.post("/api/v2/signingCert", body).await)
    };
    let key_of = |content: &str| {
        format!(
            r#""publicKeyRequest":{{"publicKey":{{"content":{}}}}}"#,
            json!(content)
        )
    };
    let small_rsa = "-----BEGIN PUBLIC KEY-----\n\
        MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf\n\
        9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n\
        -----END PUBLIC KEY-----\n";
    assert_eq!(post(&key_of("hello")).await.1, "PUBLIC_KEY_MALFORMED");
    assert_eq!(post(&key_of(small_rsa)).await.1, "PUBLIC_KEY_MALFORMED");
    assert_eq!(post(r#""later":1"#).await.1, "PUBLIC_KEY_MALFORMED");
    assert_eq!(
        post(r#""certificateSigningRequest":"aGVsbG8=""#).await.1,
        "CSR_MALFORMED"
    );
    assert_eq!(
        post(r#""certificateSigningRequest":"!""#).await,
        (400, "REQUEST_MALFORMED".to_owned())
    );
    assert_eq!(
        refusal(&world.post("/api/v2/signingCert", "{").await).1,
        "REQUEST_MALFORMED"
    );
}

#[tokio::test]
async fn rekor_says_which_check_failed() {
    let world = World::new().await;
    let post = async |body: Vec<u8>| refusal(&world.post("/api/v2/log/entries", body).await);
    let changed = |change: fn(&mut stella_wire::rekor::HashedRekordRequest)| {
        let AddEntry::HashedRekord(mut request) = entry(b"message") else {
            panic!("another kind")
        };
        change(&mut request);
        AddEntry::HashedRekord(request).to_bytes()
    };
    let refused = |reason: &str| (400, reason.to_owned());
    assert_eq!(post(b"{".to_vec()).await, refused("REQUEST_MALFORMED"));
    assert_eq!(post(b"{}".to_vec()).await, refused("REQUEST_MALFORMED"));
    assert_eq!(
        post(br#"{"unknown":1}"#.to_vec()).await,
        refused("REQUEST_MALFORMED")
    );
    assert_eq!(
        post(changed(|request| request.digest[0] ^= 1)).await,
        refused("SIGNATURE_WRONG")
    );
    assert_eq!(
        post(changed(|request| request.digest.truncate(20))).await,
        refused("DIGEST_LENGTH_WRONG")
    );
    assert_eq!(
        post(changed(|request| request.signature.clear())).await,
        refused("FIELD_MISSING")
    );
    let other = changed(|request| request.verifier.details = KeyDetails::EcdsaP384Sha384);
    assert_eq!(post(other).await, refused("KEY_DETAILS_WRONG"));
    let pure = changed(|request| request.verifier.details = KeyDetails::Ed25519);
    assert_eq!(post(pure).await, refused("ALGORITHM_NOT_ALLOWED"));
    let garbled =
        changed(|request| request.verifier.key = EntryVerifier::Certificate(vec![0x30, 0]));
    assert_eq!(post(garbled).await, refused("CERTIFICATE_MALFORMED"));
    assert_eq!(
        world.sigstore.rekor_size().0,
        1,
        "nothing but the genesis entry was logged"
    );
}

#[tokio::test]
async fn the_timestamp_authority_refuses_in_json_or_der_as_asked() {
    let world = World::new().await;
    let stamp = async |kind: &str, body: Vec<u8>| {
        let headers = [("content-type", kind)];
        refusal(
            &world
                .send(Method::POST, "/api/v1/timestamp", &headers, body)
                .await,
        )
    };
    let refused = |reason: &str| (400, reason.to_owned());
    let digest = DigestAlgorithm::Sha256.digest(b"x");
    let mut request = TimestampRequest::new(digest, None, Certificates::Omit);
    assert_eq!(
        stamp("text/plain", request.to_der()).await,
        (415, "CONTENT_TYPE_WRONG".to_owned())
    );
    assert_eq!(
        stamp(QUERY, b"hello".to_vec()).await,
        refused("REQUEST_MALFORMED")
    );
    request.policy = Some("1.2.3".parse().unwrap());
    assert_eq!(
        stamp(QUERY, request.to_der()).await,
        refused("POLICY_UNKNOWN")
    );
    let sha1 = br#"{"artifactHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAA=","hashAlgorithm":"sha1"}"#;
    assert_eq!(
        stamp("application/json", sha1.to_vec()).await,
        refused("HASH_UNSUPPORTED")
    );
    let short = br#"{"artifactHash":"AA==","hashAlgorithm":"sha256"}"#;
    assert_eq!(
        stamp("application/json", short.to_vec()).await,
        refused("DIGEST_LENGTH_WRONG")
    );
    let headers = [
        ("content-type", QUERY),
        ("accept", "application/timestamp-reply"),
    ];
    let answer = world
        .send(
            Method::POST,
            "/api/v1/timestamp",
            &headers,
            request.to_der(),
        )
        .await;
    assert_eq!(answer.status(), 200);
    // PKIStatusInfo { rejection, failInfo bit 15 (unacceptedPolicy) }
    assert_eq!(
        answer.body().as_ref(),
        [0x30, 10, 0x30, 8, 2, 1, 2, 3, 3, 0, 0, 1]
    );
}

#[tokio::test]
async fn nothing_is_certified_by_a_clock_that_stepped_back() {
    let world = World::new().await;
    let key = EphemeralKey::generate(P256).unwrap();
    world.certify(&key).await;
    world.clock.advance(-10);
    assert_eq!(
        world.clock.now(),
        UnixTime::from_millis(world::START - 10_000)
    );
    let token = world.token();
    let refused = world.certify_with(&token, &key, DEFAULT_SUBJECT).await;
    assert_eq!(refusal(&refused), (503, "CLOCK_STEPPED_BACK".to_owned()));
    assert_eq!(refused.headers()["retry-after"], "5");
    let digest = DigestAlgorithm::Sha256.digest(b"x");
    let request = TimestampRequest::new(digest, None, Certificates::Omit).to_der();
    let refused = world
        .send(
            Method::POST,
            "/api/v1/timestamp",
            &[("content-type", QUERY)],
            request,
        )
        .await;
    assert_eq!(refusal(&refused), (503, "CLOCK_STEPPED_BACK".to_owned()));
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_told_apart() {
    let world = World::new().await;
    for path in [
        "/",
        "/nothing",
        "/api/v2/nothing",
        "/tile/0/001",
        "/ct/issuer/00",
        "/.well-known/stella/x",
    ] {
        assert_eq!(world.get(path).await.status(), 404, "{path}");
    }
    for path in [
        "/api/v2/signingCert",
        "/api/v2/log/entries",
        "/api/v1/timestamp",
    ] {
        assert_eq!(world.get(path).await.status(), 405, "{path}");
    }
    assert_eq!(world.post("/checkpoint", "").await.status(), 404);
}
