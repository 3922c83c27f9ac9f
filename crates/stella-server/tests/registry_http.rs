//! The registry behind a real socket: bodies that are streamed, broken off, resumed; heads without bodies.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::time::UnixTime;
use stella_server::listen::{self, Exposure, ListenError};
use stella_server::{InitOptions, Options, OwnIssuer, OwnRegistry, Sigstore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct Served {
    address: SocketAddr,
    _folder: TempDir,
}

async fn open(folder: &TempDir) -> Sigstore {
    let directory = folder.path().join("instance");
    let options = InitOptions {
        url: "http://127.0.0.1:8123".parse().unwrap(),
        now: UnixTime::from_millis(1_795_176_000_123),
    };
    Sigstore::init(&directory, &options).unwrap();
    let options = Options {
        own_issuer: OwnIssuer::Withhold,
        own_registry: OwnRegistry::Offer,
        ..Options::default()
    };
    Sigstore::open(&directory, options).await.unwrap()
}

async fn serve() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let sigstore = open(&folder).await;
    let listener = listen::bind(&sigstore, LOOPBACK, Exposure::default())
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listen::serve(sigstore, listener, std::future::pending()));
    Served {
        address,
        _folder: folder,
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        let found = lines.find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_default()
    }
}

/// Reads one answer, and its body unless it is one to HEAD.
async fn read(stream: &mut TcpStream, has_body: bool) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = bytes[end + 4..].to_vec();
    let mut answer = Answer { status, head, body };
    let length = answer.header("content-length").parse().unwrap_or(0);
    while has_body && answer.body.len() < length {
        assert_ne!(stream.read_buf(&mut answer.body).await.unwrap(), 0);
    }
    answer
}

async fn ask(served: &Served, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: r\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    read(&mut stream, method != "HEAD").await
}

fn content() -> Vec<u8> {
    (0..5_000_000_u32).map(|at| (at % 253) as u8).collect()
}

#[tokio::test]
async fn a_layer_comes_in_one_request_without_a_length_and_goes_back_in_one() {
    let served = serve().await;
    let begun = ask(&served, "POST", "/v2/a/blobs/uploads/", "", b"").await;
    assert_eq!(begun.status, 202);
    let upload = begun.header("location");
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!("PATCH {upload} HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let content = content();
    for chunk in content.chunks(1_000_000) {
        let size = format!("{:x}\r\n", chunk.len());
        stream.write_all(size.as_bytes()).await.unwrap();
        stream.write_all(chunk).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let patched = read(&mut stream, true).await;
    assert_eq!(patched.status, 202);
    assert_eq!(patched.header("range"), "0-4999999");
    let digest = DigestAlgorithm::Sha256.digest(&content);
    let finished = ask(
        &served,
        "PUT",
        &format!("{upload}?digest={digest}"),
        "",
        b"",
    )
    .await;
    assert_eq!(finished.status, 201);

    let path = finished.header("location");
    let head = ask(&served, "HEAD", path, "", b"").await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, "5000000")
    );
    assert!(head.body.is_empty());
    let whole = ask(&served, "GET", path, "", b"").await;
    assert_eq!(whole.status, 200);
    assert!(whole.body == content, "the bytes that were sent");
    let part = ask(&served, "GET", path, "range: bytes=4000000-\r\n", b"").await;
    assert_eq!(part.status, 206);
    assert!(part.body == content[4_000_000..], "the last million");
    assert_eq!(part.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_from_where_it_was() {
    let served = serve().await;
    let begun = ask(&served, "POST", "/v2/a/blobs/uploads/", "", b"").await;
    let upload = begun.header("location");
    let content = content();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!("PATCH {upload} HTTP/1.1\r\nhost: r\r\ncontent-length: 5000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content[..3_000_000]).await.unwrap();
    drop(stream);
    // The server sees the end of the connection in its own time.
    let come = loop {
        let status = ask(&served, "GET", upload, "", b"").await;
        assert_eq!(status.status, 204);
        let (_, last) = status.header("range").split_once('-').unwrap();
        let come = last.parse::<usize>().unwrap() + 1;
        let range = format!("content-range: {come}-4999999\r\n");
        let rest = ask(&served, "PATCH", upload, &range, &content[come..]).await;
        match rest.status {
            202 => break come,
            // It moved on, or still holds the upload.
            416 | 409 => tokio::task::yield_now().await,
            other => panic!("{other}"),
        }
    };
    assert!(come <= 3_000_000, "{come}");
    let digest = DigestAlgorithm::Sha256.digest(&content);
    let path = format!("{upload}?digest={digest}");
    let finished = ask(&served, "PUT", &path, "", b"").await;
    assert_eq!(finished.status, 201);
}

#[tokio::test]
async fn who_sends_a_body_that_is_not_wanted_hears_why_and_may_go_on() {
    let served = serve().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = "PUT /v2/A/manifests/v1 HTTP/1.1\r\nhost: r\r\ncontent-length: 3000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; 3_000_000]).await.unwrap();
    let answer = read(&mut stream, true).await;
    assert_eq!((answer.status, answer.header("connection")), (400, ""));
    let head = "GET /v2/ HTTP/1.1\r\nhost: r\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut stream, true).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    assert_eq!(
        answer.header("docker-distribution-api-version"),
        "registry/2.0"
    );
}

#[tokio::test]
async fn the_registry_is_not_shown_to_the_network_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let sigstore = open(&folder).await;
    let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let refused = listen::bind(&sigstore, everywhere, Exposure::default()).await;
    assert!(matches!(refused, Err(ListenError::RegistryExposed { .. })));
}
