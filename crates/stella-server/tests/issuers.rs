//! Trusted issuers of `issuers.yaml`: pinned keys, discovery and its bounds, and what tokens become.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use stella_bundle::certificate::{AlternativeName, Certificate, Claim};
use stella_bundle::issue::certificate::REF_PROTECTED;
use stella_bundle::key::KeyDetails;
use stella_keys::{EphemeralKey, Signer as _};
use stella_server::{Clock, ConfigurationError, OpenError, Options, Sigstore};
use stella_wire::fulcio::SigningCert;
use stella_wire::oidc::{Claims, Discovery, Jwk, Jwks, Jwt, JwtHeader};
use stella_wire::{Request, Response, Sending, Transport};
use tokio::sync::{Notify, Semaphore};
use world::{P256, START, StillClock, URL, World, refusal};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// An issuer of our own making.
struct Stranger(EphemeralKey);

impl Stranger {
    fn new() -> Self {
        Self(EphemeralKey::generate(KeyDetails::RsaPkcs1v15_2048Sha256).unwrap())
    }

    fn jwks(&self, key_id: &str) -> Vec<u8> {
        Jwks {
            keys: vec![Jwk::of(key_id, self.0.public_key()).unwrap()],
        }
        .to_bytes()
    }

    fn token(&self, key_id: &str, issuer: &str, claims: &Value) -> String {
        self.token_at(START / 1000, key_id, issuer, claims)
    }

    fn token_at(&self, now: i64, key_id: &str, issuer: &str, claims: &Value) -> String {
        let mut all = Claims::parse(&serde_json::to_vec(claims).unwrap()).unwrap();
        all.set("iss", issuer);
        all.set("aud", "sigstore");
        all.set("iat", now);
        all.set("exp", now + 300);
        let signed = Jwt::to_be_signed(&JwtHeader::new("RS256", key_id), &all);
        Jwt::assemble(&signed, &self.0.sign(signed.as_bytes()).unwrap())
    }
}

fn github_claims() -> Value {
    json!({
        "sub": "repo:myorg/myrepo:ref:refs/heads/main", "event_name": "push", "sha": "a1", "workflow": "CI Build",
        "repository": "myorg/myrepo", "ref": "refs/heads/main", "runner_environment": "github-hosted",
        "job_workflow_ref": "myorg/myrepo/.github/workflows/ci.yml@refs/heads/main", "job_workflow_sha": "a2",
        "repository_id": "1", "repository_owner": "myorg", "repository_owner_id": "2", "workflow_sha": "a3",
        "workflow_ref": "myorg/myrepo/.github/workflows/ci.yml@refs/heads/main", "run_id": 30, "run_attempt": "1",
        "repository_visibility": "private"
    })
}

async fn leaf(world: &World, token: &str, subject: &str) -> Certificate {
    let key = EphemeralKey::generate(P256).unwrap();
    let answer = world.certify_with(token, &key, subject).await;
    assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.body());
    Certificate::parse(&SigningCert::parse(answer.body()).unwrap().chain[0]).unwrap()
}

#[tokio::test]
async fn githubs_issuer_by_a_pinned_key_file_gives_githubs_certificate() {
    let stranger = Stranger::new();
    let world = World::at(URL, |directory| {
        std::fs::write(directory.join("github.jwks"), stranger.jwks("k")).unwrap();
        let yaml = format!("oidc-issuers:\n  {GITHUB}:\n    issuer-url: {GITHUB}\n    client-id: sigstore\n    type: github-workflow\n    jwks: github.jwks\n");
        std::fs::write(directory.join("issuers.yaml"), yaml).unwrap();
    })
    .await;
    let token = stranger.token("k", GITHUB, &github_claims());
    let leaf = leaf(&world, &token, "repo:myorg/myrepo:ref:refs/heads/main").await;
    let name = "https://github.com/myorg/myrepo/.github/workflows/ci.yml@refs/heads/main";
    assert_eq!(leaf.names(), [AlternativeName::Uri(name.to_owned())]);
    for (claim, expected) in [
        (Claim::IssuerV1, GITHUB),
        (Claim::Issuer, GITHUB),
        (Claim::GithubWorkflowName, "CI Build"),
        (
            Claim::SourceRepositoryUri,
            "https://github.com/myorg/myrepo",
        ),
        (
            Claim::RunInvocationUri,
            "https://github.com/myorg/myrepo/actions/runs/30/attempts/1",
        ),
        (Claim::TokenSubject, "repo:myorg/myrepo:ref:refs/heads/main"),
    ] {
        assert_eq!(leaf.claim(claim), Some(expected), "{claim:?}");
    }
    // The own issuer's tokens are not GitHub's, and GitHub's key signs nothing for the own issuer.
    let posing = stranger.token("k", URL, &github_claims());
    let key = EphemeralKey::generate(P256).unwrap();
    let refused = world.certify_with(&posing, &key, "x").await;
    assert_eq!(refusal(&refused).1, "TOKEN_KEY_UNKNOWN");
}

#[tokio::test]
async fn gitlabs_protected_refs_stand_in_our_own_extension() {
    const GITLAB: &str = "https://gitlab.internal.example";
    let stranger = Stranger::new();
    let world = World::at(URL, |directory| {
        std::fs::write(directory.join("gitlab.jwks"), stranger.jwks("k")).unwrap();
        let yaml = format!(
            "oidc-issuers:\n  {GITLAB}:\n    type: gitlab-pipeline\n    jwks: gitlab.jwks\n"
        );
        std::fs::write(directory.join("issuers.yaml"), yaml).unwrap();
    })
    .await;
    let subject = "project_path:group/project:ref_type:branch:ref:main";
    let claims = json!({
        "sub": subject, "ci_config_ref_uri": "gitlab.internal.example/group/project//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "b1", "runner_environment": "self-hosted", "project_path": "group/project", "sha": "b2",
        "ref_type": "branch", "ref": "main", "project_id": "7", "namespace_path": "group", "namespace_id": "8",
        "pipeline_source": "push", "job_id": "9", "project_visibility": "internal", "ref_protected": "true"
    });
    let leaf = leaf(&world, &stranger.token("k", GITLAB, &claims), subject).await;
    assert_eq!(
        leaf.claim(Claim::SourceRepositoryRef),
        Some("refs/heads/main")
    );
    assert_eq!(
        leaf.claim(Claim::SourceRepositoryUri),
        Some("https://gitlab.internal.example/group/project")
    );
    let ours = leaf
        .extensions()
        .find(|extension| extension.id == REF_PROTECTED)
        .unwrap();
    assert_eq!(ours.value, b"\x0c\x04true");
    assert!(!ours.critical);
}

/// Answers by path, counts requests.
struct Web {
    requests: AtomicUsize,
    pages: Mutex<Vec<(String, StatusCode, Vec<u8>)>>,
    /// While there is no permit, no answer comes.
    gate: Semaphore,
    /// Told of each request.
    asked: Notify,
}

impl Web {
    fn new(pages: &[(&str, StatusCode, Vec<u8>)]) -> Arc<Self> {
        let pages = pages
            .iter()
            .map(|(url, status, body)| ((*url).to_owned(), *status, body.clone()))
            .collect();
        Arc::new(Self {
            requests: AtomicUsize::new(0),
            pages: Mutex::new(pages),
            gate: Semaphore::new(1),
            asked: Notify::new(),
        })
    }

    fn set(&self, url: &str, status: StatusCode, body: Vec<u8>) {
        let mut pages = self.pages.lock().unwrap();
        pages.retain(|page| page.0 != url);
        pages.push((url.to_owned(), status, body));
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Transport for Web {
    fn send(&self, request: Request) -> Sending<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.asked.notify_one();
        let url = request.uri().to_string();
        let found = self
            .pages
            .lock()
            .unwrap()
            .iter()
            .find(|page| page.0 == url)
            .cloned();
        let (_, status, body) = found.unwrap_or((url, StatusCode::NOT_FOUND, Vec::new()));
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        Box::pin(async move {
            tokio::task::yield_now().await;
            let _open = self.gate.acquire().await.unwrap();
            Ok(response)
        })
    }
}

fn discovery(issuer: &str, jwks_uri: &str) -> Vec<u8> {
    Discovery {
        issuer: issuer.to_owned(),
        jwks_uri: jwks_uri.to_owned(),
        ..Discovery::default()
    }
    .to_bytes()
}

const MAIL: &str = "https://login.example";
const MAIL_DISCOVERY: &str = "https://login.example/.well-known/openid-configuration";
const MAIL_KEYS: &str = "https://login.example/keys";

async fn with_web(web: &Arc<Web>, extra: &str) -> World {
    let directory = tempfile::tempdir().unwrap();
    world::init(directory.path(), URL);
    let yaml = format!("oidc-issuers:\n  {MAIL}:\n    type: email\n{extra}");
    std::fs::write(directory.path().join("issuers.yaml"), yaml).unwrap();
    let clock = StillClock::new();
    let options = Options {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        transport: Some(Arc::clone(web) as Arc<dyn Transport>),
        ..Options::default()
    };
    let sigstore = Sigstore::open(directory.path(), options).await.unwrap();
    World {
        sigstore,
        clock,
        directory,
    }
}

fn mail_claims() -> Value {
    json!({"sub": "1234", "email": "ann@example.com", "email_verified": true})
}

async fn reason(world: &World, token: &str) -> (u16, String) {
    let key = EphemeralKey::generate(P256).unwrap();
    refusal(&world.certify_with(token, &key, "ann@example.com").await)
}

#[tokio::test]
async fn discovered_keys_are_kept_and_made_up_key_ids_cost_no_second_request() {
    let stranger = Stranger::new();
    let web = Web::new(&[
        (MAIL_DISCOVERY, StatusCode::OK, discovery(MAIL, MAIL_KEYS)),
        (MAIL_KEYS, StatusCode::OK, stranger.jwks("k")),
    ]);
    let world = with_web(&web, "").await;
    assert_eq!(web.requests(), 0, "nobody is asked before a token came");
    let token = stranger.token("k", MAIL, &mail_claims());
    let unknown = stranger.token("k", "https://unknown.example", &mail_claims());
    assert_eq!(reason(&world, &unknown).await.1, "TOKEN_ISSUER_UNKNOWN");
    assert_eq!(web.requests(), 0, "an unknown issuer costs no network");

    let (first, second) = tokio::join!(reason(&world, &token), reason(&world, &token));
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(
        web.requests(),
        2,
        "two tokens at once ask once: document and keys"
    );
    let leaf = leaf(&world, &token, "ann@example.com").await;
    assert_eq!(
        leaf.names(),
        [AlternativeName::Email("ann@example.com".to_owned())]
    );
    assert_eq!(leaf.claim(Claim::TokenSubject), Some("1234"));

    for _ in 0..10 {
        let made_up = stranger.token("made up", MAIL, &mail_claims());
        assert_eq!(
            reason(&world, &made_up).await,
            (400, "TOKEN_KEY_UNKNOWN".to_owned())
        );
    }
    assert_eq!(web.requests(), 2);
    // A new key is found half a minute later.
    web.set(MAIL_KEYS, StatusCode::OK, stranger.jwks("new"));
    world.clock.advance(31);
    assert_eq!(
        reason(&world, &stranger.token("new", MAIL, &mail_claims()))
            .await
            .0,
        200
    );
    assert_eq!(web.requests(), 4);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_client_that_caused_it_hangs_up() {
    let stranger = Stranger::new();
    let web = Web::new(&[
        (MAIL_DISCOVERY, StatusCode::OK, discovery(MAIL, MAIL_KEYS)),
        (MAIL_KEYS, StatusCode::OK, stranger.jwks("k")),
    ]);
    let world = with_web(&web, "").await;
    let token = stranger.token("k", MAIL, &mail_claims());
    web.gate.forget_permits(1);
    tokio::select! {
        answered = reason(&world, &token) => panic!("the issuer has not answered: {answered:?}"),
        // The request is dropped here, in the middle of its fetch.
        () = web.asked.notified() => {}
    }
    web.gate.add_permits(1);
    assert_eq!(reason(&world, &token).await.0, 200);
    assert_eq!(web.requests(), 2, "the second token joined the first fetch");
}

#[tokio::test]
async fn keys_that_are_known_answer_while_others_are_looked_for() {
    let stranger = Stranger::new();
    let web = Web::new(&[
        (MAIL_DISCOVERY, StatusCode::OK, discovery(MAIL, MAIL_KEYS)),
        (MAIL_KEYS, StatusCode::OK, stranger.jwks("k")),
    ]);
    let world = with_web(&web, "").await;
    let token = stranger.token("k", MAIL, &mail_claims());
    assert_eq!(reason(&world, &token).await.0, 200);
    world.clock.advance(31);
    web.gate.forget_permits(1);
    let made_up = stranger.token("made up", MAIL, &mail_claims());
    tokio::select! {
        biased;
        answered = reason(&world, &made_up) => panic!("the issuer has not answered: {answered:?}"),
        good = reason(&world, &token) => assert_eq!(good.0, 200),
    }
    assert_eq!(web.requests(), 3, "the document is still being waited for");
    web.gate.add_permits(1);
    assert_eq!(
        reason(&world, &made_up).await,
        (400, "TOKEN_KEY_UNKNOWN".to_owned())
    );
    assert_eq!(web.requests(), 4);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_believed_by_its_last_keys_and_otherwise_503() {
    let stranger = Stranger::new();
    let web = Web::new(&[]);
    let world = with_web(&web, "").await;
    let token = stranger.token("k", MAIL, &mail_claims());
    assert_eq!(
        reason(&world, &token).await,
        (503, "TOKEN_ISSUER_UNAVAILABLE".to_owned())
    );
    assert_eq!(reason(&world, &token).await.0, 503);
    assert_eq!(web.requests(), 1, "a failure is not repeated at once");
    web.set(MAIL_DISCOVERY, StatusCode::OK, discovery(MAIL, MAIL_KEYS));
    web.set(MAIL_KEYS, StatusCode::OK, stranger.jwks("k"));
    world.clock.advance(31);
    assert_eq!(reason(&world, &token).await.0, 200);
    web.set(MAIL_DISCOVERY, StatusCode::BAD_GATEWAY, Vec::new());
    let later = async |seconds: i64| {
        world.clock.advance(seconds);
        let now = world.clock.now().seconds();
        let token = stranger.token_at(now, "k", MAIL, &mail_claims());
        reason(&world, &token).await.0
    };
    assert_eq!(later(3600).await, 200, "yesterday's keys still count");
    assert_eq!(web.requests(), 4, "and the issuer was asked again");
    assert_eq!(later(24 * 3600).await, 503, "but not for ever");
}

#[tokio::test]
async fn documents_that_lead_elsewhere_are_not_followed() {
    let stranger = Stranger::new();
    let token = stranger.token("k", MAIL, &mail_claims());
    let elsewhere = "https://169.254.169.254/keys";
    let cases = [
        (
            StatusCode::OK,
            discovery("https://other.example", MAIL_KEYS),
        ),
        (
            StatusCode::OK,
            discovery("https://login.example/", MAIL_KEYS),
        ),
        (StatusCode::OK, discovery(MAIL, elsewhere)),
        (StatusCode::OK, discovery(MAIL, "http://login.example/keys")),
        (StatusCode::FOUND, discovery(MAIL, MAIL_KEYS)),
        (StatusCode::OK, b"<html>".to_vec()),
        (StatusCode::OK, vec![b' '; 2 << 20]),
    ];
    for (status, body) in cases {
        let web = Web::new(&[
            (MAIL_DISCOVERY, status, body),
            (elsewhere, StatusCode::OK, stranger.jwks("k")),
            (MAIL_KEYS, StatusCode::OK, stranger.jwks("k")),
        ]);
        let world = with_web(&web, "").await;
        assert_eq!(
            reason(&world, &token).await,
            (503, "TOKEN_ISSUER_UNAVAILABLE".to_owned())
        );
        assert_eq!(web.requests(), 1, "nothing but the document was asked for");
    }
    let web = Web::new(&[
        (
            MAIL_DISCOVERY,
            StatusCode::OK,
            discovery(MAIL, "https://keys.example/k"),
        ),
        ("https://keys.example/k", StatusCode::OK, stranger.jwks("k")),
    ]);
    let world = with_web(&web, "    jwks-origins: [https://keys.example]\n").await;
    assert_eq!(reason(&world, &token).await.0, 200);
}

#[tokio::test]
async fn an_email_address_counts_only_when_it_is_verified() {
    let stranger = Stranger::new();
    let web = Web::new(&[
        (MAIL_DISCOVERY, StatusCode::OK, discovery(MAIL, MAIL_KEYS)),
        (MAIL_KEYS, StatusCode::OK, stranger.jwks("k")),
    ]);
    let world = with_web(&web, "").await;
    for (verified, email, status) in [
        (json!(true), "ann@example.com", 200),
        (json!("true"), "ann@example.com", 200),
        (json!(false), "ann@example.com", 400),
        (json!("yes"), "ann@example.com", 400),
        (json!(true), "änn@example.com", 400),
        (json!(true), "ann", 400),
        (json!(true), "", 400),
    ] {
        let claims = json!({"sub": "1", "email": email, "email_verified": verified});
        assert_eq!(
            reason(&world, &stranger.token("k", MAIL, &claims)).await.0,
            status,
            "{email} {verified}"
        );
    }
}

fn refuse(yaml: &str) -> ConfigurationError {
    let directory = tempfile::tempdir().unwrap();
    world::init(directory.path(), URL);
    std::fs::write(directory.path().join("issuers.yaml"), yaml).unwrap();
    std::fs::write(directory.path().join("keys.jwks"), br#"{"keys":[]}"#).unwrap();
    let opened = open_blocking(directory.path());
    let Err(OpenError::Configuration(error)) = opened else {
        panic!("{opened:?}")
    };
    error
}

fn open_blocking(directory: &Path) -> Result<(), OpenError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(Sigstore::open(directory, Options::default()))
        .map(|_| ())
}

#[test]
fn a_configuration_that_would_not_do_what_it_says_is_refused() {
    let one = |lines: &str| {
        refuse(&format!(
            "oidc-issuers:\n  https://i.example:\n    jwks: keys.jwks\n{lines}"
        ))
    };
    assert!(
        matches!(refuse("oidc-issuer: {}"), ConfigurationError::Yaml { said } if said.contains("oidc-issuer"))
    );
    assert!(matches!(
        refuse("meta-issuers: {}"),
        ConfigurationError::Yaml { .. }
    ));
    for (lines, known) in [
        ("    type: tarot", ["email", "github-workflow"]),
        (
            "    type: ci-provider\n    ci-provider: tarot\nci-issuer-metadata:\n  ours: {}",
            ["ours", "github-workflow"],
        ),
    ] {
        let error = one(lines);
        assert!(
            matches!(&error, ConfigurationError::TypeUnknown { name, .. } if name == "tarot"),
            "{error:?}"
        );
        assert!(
            known.iter().all(|name| error.to_string().contains(name)),
            "{error}"
        );
    }
    for lines in [
        "    type: email\n    challenge-claim: sub",
        "    type: kubernetes\n    challenge-claim: email",
        "    type: github-workflow\n    challenge-claim: actor",
    ] {
        let error = one(lines);
        assert!(
            matches!(error, ConfigurationError::ChallengeUnusable { .. }),
            "{error:?}"
        );
    }
    assert!(matches!(
        one("    type: uri"),
        ConfigurationError::FieldMissing {
            field: "subject-domain",
            ..
        }
    ));
    let differs = one("    type: email\n    issuer-url: https://other.example");
    assert!(matches!(differs, ConfigurationError::IssuerUnusable { .. }));
    let template = one(
        "    type: ci-provider\n    ci-provider: x\nci-issuer-metadata:\n  x:\n    subject-alternative-name-template: '{{ range . }}'",
    );
    assert!(matches!(template, ConfigurationError::Template(_)));
    for extension in ["nothing", "issuer", "token-subject"] {
        let unknown = one(&format!(
            "    type: ci-provider\n    ci-provider: x\nci-issuer-metadata:\n  x:\n    subject-alternative-name-template: sub\n    extension-templates: {{{extension}: sub}}"
        ));
        assert!(
            matches!(unknown, ConfigurationError::ExtensionUnknown { .. }),
            "{extension}"
        );
    }
    let unpinned = refuse("oidc-issuers:\n  https://i.example:\n    type: email");
    assert!(matches!(unpinned, ConfigurationError::NoNetwork { .. }));
    let absent = refuse("oidc-issuers:\n  https://i.example:\n    type: email\n    jwks: absent");
    assert!(matches!(absent, ConfigurationError::File(_)));
}

#[test]
fn a_refused_configuration_is_told_in_one_line() {
    for yaml in [
        "oidc-issuer: {}",
        "oidc-issuers: [",
        "oidc-issuers:\n  https://i.example:\n    typ: email\n",
        "oidc-issuers:\n  https://i.example:\n    skip-email-verification: maybe\n",
        "oidc-issuers:\n  \"https://i\\nexample\": {type: tarot}",
        "oidc-issuers:\n  https://i.example: {type: ci-provider, ci-provider: x}\nci-issuer-metadata: {\"a\\nb\": {}}",
    ] {
        let said = refuse(yaml).to_string();
        assert!(!said.contains('\n'), "{said}");
        assert_eq!(said.matches("issuers.yaml").count(), 1, "{said}");
        assert!(said.starts_with("issuers.yaml: "), "{said}");
    }
}

#[test]
fn the_challenge_claim_that_is_used_may_be_said() {
    for (kind, claim) in [("email", "email"), ("kubernetes", "sub")] {
        let directory = tempfile::tempdir().unwrap();
        world::init(directory.path(), URL);
        let yaml = format!(
            "oidc-issuers:\n  https://i.example:\n    jwks: keys.jwks\n    type: {kind}\n    challenge-claim: {claim}\n"
        );
        std::fs::write(directory.path().join("issuers.yaml"), yaml).unwrap();
        std::fs::write(directory.path().join("keys.jwks"), br#"{"keys":[]}"#).unwrap();
        assert_eq!(open_blocking(directory.path()), Ok(()));
    }
}
