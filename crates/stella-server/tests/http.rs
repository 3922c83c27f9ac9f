//! The instance behind a real socket: status, headers, limits, deadlines, shutdown.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::net::SocketAddr;

use stella_keys::{EphemeralKey, Signer as _};
use stella_server::listen::{self, Consent, Exposure, ListenError};
use stella_server::read_secret;
use stella_wire::fulcio::{
    Credentials, PublicKeyRequest, SigningCert, SigningCertRequest, SubmittedKey,
};
use stella_wire::oidc::RunnerToken;
use stella_wire::problem::Problem;
use stella_wire::{limits, rekor};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use world::{P256, StillClock, World, entry};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// What the instance's URL says, and what the Host header must say; the socket has any free port.
const HOST: &str = "127.0.0.1:8123";

const CONSENT: Exposure = Exposure {
    own_issuer: Consent::Insecure,
    own_registry: Consent::Guarded,
};

struct Served {
    world: World,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn serve() -> Served {
    let world = World::new().await;
    let listener = listen::bind(&world.sigstore, LOOPBACK, Exposure::default())
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(listen::serve(world.sigstore.clone(), listener, async {
        let _ = stopped.await;
    }));
    Served {
        world,
        address,
        stop,
        serving,
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn reason(&self) -> String {
        Problem::parse(&self.body)
            .unwrap()
            .reason()
            .unwrap()
            .to_owned()
    }

    fn has(&self, header: &str) -> bool {
        self.head
            .to_ascii_lowercase()
            .contains(&header.to_ascii_lowercase())
    }
}

/// Reads one answer with a Content-Length.
async fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        assert_ne!(
            stream.read_buf(&mut bytes).await.unwrap(),
            0,
            "closed after {:?}",
            String::from_utf8_lossy(&bytes)
        );
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.to_ascii_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length: ")
            .map(|length| length.parse::<usize>().unwrap())
    });
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length.unwrap_or(0) {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0);
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body }
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

async fn ask(served: &Served, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream
        .write_all(&request(method, path, headers, body))
        .await
        .unwrap();
    read(&mut stream).await
}

#[tokio::test]
async fn fulcio_answers_json_with_200_for_a_token_in_body_or_header() {
    let served = serve().await;
    let secret = read_secret(served.world.directory.path()).unwrap();
    let authorization = format!("authorization: Bearer {}\r\n", *secret);
    let answer = ask(
        &served,
        "GET",
        "/token?audience=sigstore",
        &authorization,
        b"",
    )
    .await;
    assert_eq!(answer.status, 200);
    assert!(answer.has("cache-control: no-store"));
    let token = RunnerToken::parse(&answer.body).unwrap().value;

    let key = EphemeralKey::generate(P256).unwrap();
    let mut asked = SigningCertRequest {
        credentials: Some(Credentials {
            oidc_identity_token: token.clone(),
        }),
        public_key_request: Some(PublicKeyRequest {
            public_key: SubmittedKey {
                content: key.public_key().to_pem(),
            },
            proof_of_possession: key.sign(stella_server::DEFAULT_SUBJECT.as_bytes()).unwrap(),
        }),
        ..SigningCertRequest::default()
    };
    let accept = "accept: application/pem-certificate-chain\r\n";
    let answer = ask(
        &served,
        "POST",
        "/api/v2/signingCert",
        accept,
        &asked.to_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert!(answer.has("content-type: application/json"));
    assert_eq!(SigningCert::parse(&answer.body).unwrap().chain.len(), 3);

    asked.credentials = None;
    let bearer = format!("authorization: Bearer {token}\r\n");
    let answer = ask(
        &served,
        "POST",
        "/api/v2/signingCert",
        &bearer,
        &asked.to_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200);
    let answer = ask(
        &served,
        "POST",
        "/api/v2/signingCert",
        "",
        &asked.to_bytes(),
    )
    .await;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (400, "TOKEN_MISSING")
    );
}

#[tokio::test]
async fn the_older_endpoint_answers_201_with_pem() {
    use base64::Engine as _;
    let served = serve().await;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let key = EphemeralKey::generate(P256).unwrap();
    let body = format!(
        r#"{{"publicKey":{{"content":"{}","algorithm":"ecdsa"}},"signedEmailAddress":"{}"}}"#,
        base64(key.public_key().to_pem().as_bytes()),
        base64(&key.sign(stella_server::DEFAULT_SUBJECT.as_bytes()).unwrap())
    );
    let bearer = format!("authorization: Bearer {}\r\n", served.world.token());
    let answer = ask(
        &served,
        "POST",
        "/api/v1/signingCert",
        &bearer,
        body.as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 201);
    assert!(answer.has("content-type: application/pem-certificate-chain"));
    assert_eq!(
        stella_bundle::pem::decode_all(std::str::from_utf8(&answer.body).unwrap())
            .unwrap()
            .len(),
        3
    );
    let root = ask(&served, "GET", "/api/v1/rootCert", "", b"").await;
    assert!(root.body.starts_with(b"-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn rekor_answers_201_and_serves_checkpoint_and_tiles_under_both_prefixes() {
    let served = serve().await;
    let body = entry(b"message").to_bytes();
    let answer = ask(
        &served,
        "POST",
        "/api/v2/log/entries",
        "content-type: application/json\r\n",
        &body,
    )
    .await;
    assert_eq!(answer.status, 201);
    let logged = rekor::parse_entry(&answer.body).unwrap();
    for prefix in ["", "/api/v2"] {
        let checkpoint = ask(&served, "GET", &format!("{prefix}/checkpoint"), "", b"").await;
        assert_eq!(checkpoint.status, 200);
        assert!(
            checkpoint.has("content-type: text/plain; charset=utf-8")
                && checkpoint.has("cache-control: no-cache")
        );
        // The origin has no port: sigstore-go takes it from the base URL's hostname.
        let origin = HOST.split(':').next().unwrap();
        assert!(
            checkpoint
                .body
                .starts_with(format!("{origin}\n2\n").as_bytes())
        );
        let tile = ask(&served, "GET", &format!("{prefix}/tile/0/000.p/2"), "", b"").await;
        assert_eq!((tile.status, tile.body.len()), (200, 64));
        assert!(tile.has("immutable") && tile.has("access-control-allow-origin: *"));
        let entries = ask(
            &served,
            "GET",
            &format!("{prefix}/tile/entries/000.p/2"),
            "",
            b"",
        )
        .await;
        assert!(entries.body.ends_with(&logged.canonicalized_body));
        assert_eq!(
            ask(&served, "GET", &format!("{prefix}/tile/0/000.p/3"), "", b"")
                .await
                .status,
            404
        );
        assert_eq!(
            ask(
                &served,
                "GET",
                &format!("{prefix}/tile/data/000.p/1"),
                "",
                b""
            )
            .await
            .status,
            404
        );
    }
}

#[tokio::test]
async fn the_ct_log_serves_what_fulcio_promised() {
    let served = serve().await;
    let issued = served
        .world
        .certify(&EphemeralKey::generate(P256).unwrap())
        .await;
    let checkpoint = ask(&served, "GET", "/ct/checkpoint", "", b"").await;
    assert!(
        checkpoint
            .body
            .starts_with(format!("{HOST}/ct\n1\n").as_bytes())
    );
    let data = ask(&served, "GET", "/ct/tile/data/000.p/1", "", b"").await;
    assert_eq!(data.status, 200);
    assert_eq!(data.body[8..10], [0, 1], "a precertificate");
    // The TileLeaf ends in the fingerprints of intermediate and root.
    for (fingerprint, der) in data.body[data.body.len() - 64..]
        .chunks(32)
        .zip(&issued.chain[1..])
    {
        let hexadecimal: String = fingerprint
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let issuer = ask(
            &served,
            "GET",
            &format!("/ct/issuer/{hexadecimal}"),
            "",
            b"",
        )
        .await;
        assert_eq!((issuer.status, &issuer.body), (200, der));
    }
    assert_eq!(
        ask(&served, "GET", "/ct/tile/entries/000.p/1", "", b"")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_timestamp_authority_takes_what_sigstore_js_sends() {
    let served = serve().await;
    let json = br#"{"artifactHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","hashAlgorithm":"sha256"}"#;
    let headers = "content-type: application/json; charset=utf-8\r\n";
    let answer = ask(&served, "POST", "/api/v1/timestamp", headers, json).await;
    assert_eq!(answer.status, 200);
    assert!(answer.has("content-type: application/timestamp-reply"));
    let chain = ask(&served, "GET", "/api/v1/timestamp/certchain", "", b"").await;
    assert_eq!(chain.status, 200);
    assert_eq!(
        ask(&served, "POST", "/api/v1/timestamp", "", json)
            .await
            .status,
        415
    );
}

#[tokio::test]
async fn trust_files_health_and_metrics_are_there() {
    let served = serve().await;
    for (path, expected) in [
        (
            "/.well-known/stella/trusted_root.json",
            "trustedroot+json;version=0.1",
        ),
        (
            "/.well-known/stella/signing_config.json",
            "signingconfig.v0.2+json",
        ),
        (
            "/.well-known/stella/client-trust-config.json",
            "clienttrustconfig.v0.1+json",
        ),
        ("/.well-known/openid-configuration", "S256"),
        ("/api/v2/trustBundle", "chains"),
        ("/api/v2/configuration", "github-workflow"),
        ("/healthz", "SERVING"),
        ("/readyz", "READY"),
        ("/metrics", "rekor_v2_new_hashedrekord_entries 0"),
    ] {
        let answer = ask(&served, "GET", path, "", b"").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            String::from_utf8_lossy(&answer.body).contains(expected),
            "{path}"
        );
    }
    let files = [
        "trusted_root.json",
        "signing_config.json",
        "client_trust_config.json",
    ];
    for name in files {
        let path = format!("/.well-known/stella/{name}");
        let served_bytes = ask(&served, "GET", &path, "", b"").await.body;
        assert_eq!(
            std::fs::read(served.world.directory.path().join(name)).unwrap(),
            served_bytes
        );
    }
}

#[tokio::test]
async fn bodies_and_heads_beyond_their_limit_are_refused_before_they_are_read() {
    let served = serve().await;
    for (path, limit) in [
        ("/api/v2/signingCert", limits::FULCIO_REQUEST),
        ("/api/v2/log/entries", limits::REKOR_REQUEST),
        ("/api/v1/timestamp", limits::TIMESTAMP_REQUEST),
        ("/oauth/token", limits::OIDC_REQUEST),
    ] {
        // Announced: refused without reading.
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            limit + 1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read(&mut stream).await;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (413, "BODY_TOO_LARGE"),
            "{path}"
        );
        assert!(answer.has("connection: close"));
    }
    // Not announced: read as far as the limit.
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = "POST /api/v1/timestamp HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"2000\r\n".as_slice(), &[b'x'; 0x2000], b"\r\n"].concat();
    for _ in 0..3 {
        stream.write_all(&chunk).await.unwrap();
    }
    assert_eq!(read(&mut stream).await.status, 413);

    let long = format!("x-long: {}\r\n", "x".repeat(100_000));
    assert_eq!(
        ask(&served, "GET", "/healthz", &long, b"").await.status,
        431
    );
    let many = "x: y\r\n".repeat(100);
    assert_eq!(
        ask(&served, "GET", "/healthz", &many, b"").await.status,
        431
    );
}

#[tokio::test]
async fn one_connection_serves_request_after_request_and_head_has_no_body() {
    let served = serve().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(&request("GET", "/healthz", "", b""))
            .await
            .unwrap();
        assert_eq!(read(&mut stream).await.status, 200);
    }
    stream
        .write_all(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.starts_with(b"HTTP/1.1 200") && rest.ends_with(b"\r\n\r\n"));
    let garbage = TcpStream::connect(served.address).await.unwrap();
    let mut garbage = garbage;
    garbage.write_all(b"hello\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut garbage).await.status, 400);
}

#[tokio::test]
async fn the_token_endpoint_answers_its_own_host_only() {
    let served = serve().await;
    let secret = read_secret(served.world.directory.path()).unwrap();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let rebound = format!(
        "GET /token HTTP/1.1\r\nhost: evil.example\r\nauthorization: bearer {}\r\n\r\n",
        *secret
    );
    stream.write_all(rebound.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (403, "HOST_WRONG")
    );
}

#[tokio::test]
async fn shutting_down_ends_idle_connections_and_frees_the_instance() {
    let served = serve().await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(&request("GET", "/healthz", "", b""))
        .await
        .unwrap();
    read(&mut idle).await;
    let Served {
        world,
        address,
        stop,
        serving,
    } = served;
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    let closed = world
        .post("/api/v2/log/entries", entry(b"late").to_bytes())
        .await;
    assert_eq!(world::refusal(&closed), (503, "LOG_STOPPED".to_owned()));
    let World {
        sigstore,
        directory,
        ..
    } = world;
    drop(sigstore);
    world::open(directory.path(), &StillClock::new()).await;
}

#[tokio::test]
async fn the_own_issuer_is_not_shown_behind_a_public_url_unasked() {
    let world = World::at("https://sigstore.example", |_| {}).await;
    let refused = listen::bind(&world.sigstore, LOOPBACK, Exposure::default()).await;
    assert!(matches!(refused, Err(ListenError::OwnIssuerPublic { .. })));
    listen::bind(&world.sigstore, LOOPBACK, CONSENT)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_own_issuer_is_not_shown_to_the_network_unasked() {
    let world = World::new().await;
    let everywhere = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
    let refused = listen::bind(&world.sigstore, everywhere, Exposure::default()).await;
    assert!(matches!(refused, Err(ListenError::OwnIssuerExposed { .. })));
    listen::bind(&world.sigstore, everywhere, CONSENT)
        .await
        .unwrap();
    let taken = listen::bind(&world.sigstore, LOOPBACK, Exposure::default())
        .await
        .unwrap();
    let again = listen::bind(
        &world.sigstore,
        taken.local_addr().unwrap(),
        Exposure::default(),
    )
    .await;
    assert!(matches!(
        again,
        Err(ListenError::Address {
            kind: std::io::ErrorKind::AddrInUse,
            ..
        })
    ));
}
