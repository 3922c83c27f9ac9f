//! Registries that want tokens, redirect, page, lie and lose answers.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LINK, LOCATION, RANGE, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest};
use stella_wire::transport::{Request, Response, Sending, Transport, TransportError};
use zeroize::Zeroizing;

use super::access::Registry;
use super::credentials::Credential;
use super::{Put, RegistryProblem, Repository};
use crate::error::{AnswerProblem, ClientError, ErrorClass};

const HOST: &str = "https://registry.example";
const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// What was sent: method, address, `Authorization`.
type Sent = (Method, String, Option<String>);

/// Answers by a function, and keeps what it was asked.
struct Script<F> {
    answer: F,
    sent: Mutex<Vec<Sent>>,
}

impl<F: Fn(&Request) -> Response + Send + Sync> Transport for Script<F> {
    fn send(&self, request: Request) -> Sending<'_> {
        let authorization = request.headers().get(AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        let (method, uri) = (request.method().clone(), request.uri().to_string());
        self.sent.lock().unwrap().push((method, uri, authorization));
        let answer = (self.answer)(&request);
        Box::pin(async move {
            // As the network driver has it: a redirect is no answer.
            match answer.headers().get(LOCATION) {
                Some(location) if answer.status().is_redirection() => {
                    Err(TransportError::Redirected {
                        host: "registry.example".into(),
                        location: location.to_str().unwrap().into(),
                    })
                }
                _ => Ok(answer),
            }
        })
    }
}

fn script<F: Fn(&Request) -> Response + Send + Sync + 'static>(
    credential: Credential,
    answer: F,
) -> (Repository, Arc<Script<F>>) {
    let sent = Mutex::default();
    let script = Arc::new(Script { answer, sent });
    let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
    let registry = Registry::at(transport, HOST, credential);
    (Repository::new(Arc::new(registry), "org/app"), script)
}

fn answer(status: u16, headers: &[(http::HeaderName, &str)], body: &str) -> Response {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn index() -> Response {
    answer(200, &[(CONTENT_TYPE, media::INDEX)], INDEX)
}

fn basic() -> Credential {
    Credential::Basic {
        user: "me".into(),
        password: Zeroizing::new("hush".into()),
    }
}

fn digest(text: &str) -> Digest {
    DigestAlgorithm::Sha256.digest(text.as_bytes())
}

const BEARER: &str = r#"Bearer realm="https://auth.example/token",service="registry.example""#;

/// A registry that wants a token, and its token service.
fn with_tokens(request: &Request) -> Response {
    if request.uri().host() == Some("auth.example") {
        return answer(200, &[], r#"{"token":"t"}"#);
    }
    match request.headers().get(AUTHORIZATION) {
        Some(token) if token == "Bearer t" => index(),
        _ => answer(401, &[(WWW_AUTHENTICATE, BEARER)], ""),
    }
}

#[tokio::test]
async fn one_token_serves_every_request_of_its_scope() {
    let (repository, script) = script(basic(), with_tokens);
    for _ in 0..3 {
        repository.manifest("v1").await.unwrap();
    }
    let sent = script.sent.lock().unwrap();
    let asked =
        "https://auth.example/token?service=registry.example&scope=repository%3Aorg%2Fapp%3Apull";
    let tokens: Vec<_> = sent
        .iter()
        .filter(|each| each.1.contains("auth.example"))
        .collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].1, asked);
    // The password goes to the token service and nowhere else.
    assert_eq!(tokens[0].2.as_deref(), Some("Basic bWU6aHVzaA=="));
    assert_eq!(sent.len(), 5);
    assert_eq!(repository.registry().traffic().requests(), 5);
}

#[tokio::test]
async fn an_identity_token_is_changed_for_another_by_post() {
    let (repository, script) = script(
        Credential::IdentityToken(Zeroizing::new("id".into())),
        with_tokens,
    );
    repository.manifest("v1").await.unwrap();
    let sent = script.sent.lock().unwrap();
    let tokens: Vec<_> = sent
        .iter()
        .filter(|each| each.1.contains("auth.example"))
        .collect();
    assert_eq!(tokens[0].0, Method::POST);
    assert_eq!(tokens[0].2, None);
}

#[tokio::test]
async fn who_is_refused_is_asked_no_second_time_and_told_so() {
    let refuse = |_: &Request| answer(401, &[(WWW_AUTHENTICATE, "Basic realm=x")], "");
    for credential in [basic(), Credential::Anonymous] {
        let (repository, script) = script(credential, refuse);
        let error = repository.manifest("v1").await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Access);
        assert!(script.sent.lock().unwrap().len() <= 2);
    }
}

#[tokio::test]
async fn no_credential_follows_a_redirect_and_none_goes_to_plain_http() {
    let (repository, asked) = script(basic(), |request| match request.uri().host() {
        Some("store.example") => answer(200, &[], "blob"),
        _ if request.headers().contains_key(AUTHORIZATION) => answer(
            307,
            &[(LOCATION, "https://store.example/x?signature=1")],
            "",
        ),
        _ => answer(401, &[(WWW_AUTHENTICATE, "Basic")], ""),
    });
    let blob = Descriptor::new("a/b", digest("blob"), 4);
    assert_eq!(repository.blob(&blob, 4).await.unwrap(), "blob");
    let at_store = |sent: &[Sent]| {
        let mut sent = sent.iter();
        sent.find(|each| each.1.contains("store.example")).cloned()
    };
    let there = at_store(&asked.sent.lock().unwrap()).unwrap();
    assert_eq!(there.2, None);
    for location in [
        "http://store.example/x",
        "file:///etc/passwd",
        "https://registry.example/loop",
    ] {
        let (repository, _) = script(Credential::Anonymous, move |_| {
            answer(307, &[(LOCATION, location)], "")
        });
        let error = repository.blob(&blob, 4).await.unwrap_err();
        assert!(
            is_problem(&error, |problem| matches!(
                problem,
                RegistryProblem::Location { .. }
            )),
            "{error}"
        );
    }
    let plain = r#"Bearer realm="http://auth.example/token""#;
    let (repository, asked) = script(basic(), move |_| {
        answer(401, &[(WWW_AUTHENTICATE, plain)], "")
    });
    repository.manifest("v1").await.unwrap_err();
    assert_eq!(asked.sent.lock().unwrap().len(), 1);
}

fn is_problem(error: &ClientError, is: impl Fn(&RegistryProblem) -> bool) -> bool {
    matches!(error, ClientError::Answer { problem: AnswerProblem::Registry(problem), .. } if is(problem))
}

#[tokio::test]
async fn bytes_of_another_digest_are_refused_by_name() {
    let (repository, _) = script(Credential::Anonymous, |_| index());
    let other = digest("other");
    let error = repository.manifest(&other.to_string()).await.unwrap_err();
    let is_mismatch = |problem: &RegistryProblem| matches!(problem, RegistryProblem::DigestMismatch { expected, .. } if *expected == other);
    assert!(is_problem(&error, is_mismatch), "{error}");
    let blob = Descriptor::new("a/b", other.clone(), 4);
    let error = repository.blob(&blob, 4).await.unwrap_err();
    assert!(is_problem(&error, is_mismatch), "{error}");
}

#[tokio::test]
async fn only_what_is_said_to_be_missing_is_missing() {
    for (status, class) in [
        (500, ErrorClass::Unavailable),
        (403, ErrorClass::Access),
        (418, ErrorClass::Refused),
    ] {
        let (repository, _) = script(Credential::Anonymous, move |_| answer(status, &[], ""));
        assert_eq!(repository.manifest("v1").await.unwrap_err().class(), class);
        assert_eq!(
            repository
                .referrers(&digest("x"), None)
                .await
                .unwrap_err()
                .class(),
            class
        );
        assert_eq!(repository.tags().await.unwrap_err().class(), class);
        assert_eq!(
            repository.has_blob(&digest("x")).await.unwrap_err().class(),
            class
        );
    }
    let (repository, _) = script(Credential::Anonymous, |_| answer(404, &[], ""));
    assert_eq!(repository.manifest("v1").await, Ok(None));
    assert_eq!(repository.referrers(&digest("x"), None).await, Ok(None));
    assert_eq!(repository.tags().await, Ok(Vec::new()));
}

#[tokio::test]
async fn referrers_are_read_page_by_page_and_a_circle_is_seen() {
    let page = |name: &str| {
        let listed = Descriptor::new(media::MANIFEST, digest(name), 1);
        Manifest::index(media::INDEX.into(), vec![listed]).to_bytes()
    };
    let answer_page = move |request: &Request| {
        let query = request.uri().query().unwrap_or_default();
        let (name, next) = match query {
            "" => ("a", Some("</v2/org/app/referrers/x?last=a>; rel=\"next\"")),
            "last=a" => ("b", None),
            _ => ("c", Some("<?again>; rel=next")),
        };
        let mut response = answer(200, &[(CONTENT_TYPE, media::INDEX)], "");
        *response.body_mut() = page(name).into();
        if let Some(next) = next {
            response.headers_mut().insert(LINK, next.parse().unwrap());
        }
        response
    };
    let (repository, _) = script(Credential::Anonymous, answer_page);
    let listed = repository
        .referrers(&digest("x"), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(listed.len(), 2);
    let (repository, _) = script(Credential::Anonymous, move |_| {
        let mut response = answer(
            200,
            &[
                (CONTENT_TYPE, media::INDEX),
                (LINK, "</v2/again>; rel=next"),
            ],
            "",
        );
        *response.body_mut() = page("a").into();
        response
    });
    let error = repository.referrers(&digest("x"), None).await.unwrap_err();
    assert!(
        is_problem(&error, |problem| *problem == RegistryProblem::EndlessList),
        "{error}"
    );
}

#[tokio::test]
async fn the_next_page_at_another_host_is_asked_without_credentials() {
    let (repository, script) = script(basic(), |request| match request.uri().host() {
        Some("evil.example") => index(),
        _ if request.headers().contains_key(AUTHORIZATION) => answer(
            200,
            &[
                (CONTENT_TYPE, media::INDEX),
                (LINK, "<https://evil.example/steal>; rel=next"),
            ],
            INDEX,
        ),
        _ => answer(401, &[(WWW_AUTHENTICATE, "Basic")], ""),
    });
    repository.referrers(&digest("x"), None).await.unwrap();
    let sent = script.sent.lock().unwrap();
    let there = sent
        .iter()
        .find(|each| each.1.contains("evil.example"))
        .unwrap();
    assert_eq!(there.2, None);
}

#[tokio::test]
async fn a_part_of_a_blob_is_the_part_that_was_asked_for() {
    let (repository, _) = script(Credential::Anonymous, |request| {
        let range = request.headers()[RANGE].to_str().unwrap();
        match range {
            "bytes=0-3" => answer(206, &[], "abcd"),
            "bytes=4-5" => answer(200, &[], "ab"),
            _ => answer(206, &[], "x"),
        }
    });
    let blob = digest("abcdef");
    assert_eq!(repository.blob_part(&blob, 0..4).await.unwrap(), "abcd");
    // The beginning again, and too little.
    repository.blob_part(&blob, 4..6).await.unwrap_err();
    repository.blob_part(&blob, 8..12).await.unwrap_err();
}

#[tokio::test]
async fn a_part_whose_answer_was_lost_is_not_sent_into_the_blob_twice() {
    let (repository, script) = script(Credential::Anonymous, |request| match *request.method() {
        Method::POST => answer(
            202,
            &[(LOCATION, "/v2/org/app/blobs/uploads/1?state=a")],
            "",
        ),
        Method::PATCH => answer(416, &[], ""),
        Method::GET => answer(
            204,
            &[
                (LOCATION, "/v2/org/app/blobs/uploads/1?state=b"),
                (RANGE, "0-3"),
            ],
            "",
        ),
        _ => answer(201, &[], ""),
    });
    let mut upload = repository.begin_upload().await.unwrap();
    upload.write(Bytes::from_static(b"abcd")).await.unwrap();
    assert_eq!(upload.written(), 4);
    upload.finish(&digest("abcd"), Bytes::new()).await.unwrap();
    let sent = script.sent.lock().unwrap();
    let end = format!(
        "{HOST}/v2/org/app/blobs/uploads/1?state=b&digest={}",
        digest("abcd")
    );
    assert_eq!(sent.last().unwrap().1, end);
}

#[tokio::test]
async fn a_registry_that_indexes_subjects_says_so() {
    let (repository, _) = script(Credential::Anonymous, |request| {
        let mut response = answer(201, &[], "");
        if request.uri().path().ends_with("/a") {
            response
                .headers_mut()
                .insert("oci-subject", "sha256:x".parse().unwrap());
        }
        response
    });
    let put = |tag: &'static str| repository.put_manifest(tag, media::MANIFEST, Bytes::new());
    assert_eq!(put("a").await, Ok(Put::Indexed));
    assert_eq!(put("b").await, Ok(Put::Stored));
}
