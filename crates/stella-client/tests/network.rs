//! The network driver against real sockets on the loopback: what it reads, and where it stops reading.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use stella_client::network::{AnswerLimit, Network, NetworkOptions};
use stella_wire::transport::{Request, Response, TlsProblem, Transport as _, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a peer does after it has read the head of one request.
#[derive(Clone)]
enum Peer {
    /// Writes this and closes.
    Says(String),
    /// Writes this and then waits for ever.
    SaysAndStops(&'static str),
}

/// Serves one connection; returns where.
async fn serve(peer: Peer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        match peer {
            Peer::Says(text) => {
                // The client may have gone away at its limit.
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
            Peer::SaysAndStops(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                std::future::pending::<()>().await;
            }
        }
    });
    format!("http://{address}")
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

fn get(address: &str) -> Request {
    let mut request = Request::default();
    *request.uri_mut() = format!("{address}/path").parse().unwrap();
    request
}

/// Long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

fn network() -> Network {
    network_with(DEADLINE)
}

fn network_with(deadline: Duration) -> Network {
    Network::new(NetworkOptions {
        deadline,
        answer_limit: 1000,
        ..NetworkOptions::default()
    })
}

async fn ask(peer: Peer) -> Result<Response, TransportError> {
    let address = serve(peer).await;
    network().send(get(&address)).await
}

fn with_length(length: usize, body: &str) -> Peer {
    Peer::Says(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

#[tokio::test]
async fn a_whole_answer_is_read_with_its_status_and_headers() {
    let text = "HTTP/1.1 409 Conflict\r\nx-log-index: 7\r\ncontent-length: 2\r\n\r\nhi";
    let answer = ask(Peer::Says(text.to_owned())).await.unwrap();
    assert_eq!(answer.status(), 409);
    assert_eq!(answer.headers()["x-log-index"], "7");
    assert_eq!(answer.into_body(), "hi");
    assert!(ask(with_length(1000, &"x".repeat(1000))).await.is_ok());
}

#[tokio::test]
async fn an_answer_larger_than_the_limit_is_not_read() {
    let is_too_large = |answer| matches!(answer, Err(TransportError::TooLarge { limit: 1000, .. }));
    assert!(is_too_large(ask(with_length(1001, "")).await));
    // Nothing announces how much comes.
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1 << 20));
    assert!(is_too_large(ask(Peer::Says(endless)).await));
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500)).repeat(3);
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    assert!(is_too_large(ask(Peer::Says(chunked)).await));
}

#[tokio::test]
async fn a_request_may_name_its_own_limit() {
    let address = serve(with_length(11, "hello world")).await;
    let mut request = get(&address);
    request.extensions_mut().insert(AnswerLimit(10));
    let answer = network().send(request).await;
    assert!(matches!(
        answer,
        Err(TransportError::TooLarge { limit: 10, .. })
    ));
}

#[tokio::test]
async fn a_slow_answer_ends_at_the_deadline_wherever_it_stops() {
    for text in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow",
    ] {
        let after = Duration::from_millis(100);
        let address = serve(Peer::SaysAndStops(text)).await;
        let answer = network_with(after).send(get(&address)).await;
        assert!(
            matches!(answer, Err(TransportError::Timeout { after: found, .. }) if found == after),
            "{text:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let text = format!(
            "HTTP/1.1 {status} x\r\nlocation: http://127.0.0.1:1/evil\r\ncontent-length: 0\r\n\r\n"
        );
        let answer = ask(Peer::Says(text)).await;
        assert!(
            matches!(&answer, Err(TransportError::Redirected { location, .. }) if location.ends_with("/evil")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_from_one_that_is_no_http() {
    let broken = ask(with_length(9, "slow")).await;
    assert!(
        matches!(broken, Err(TransportError::Closed { .. })),
        "{broken:?}"
    );
    let silent = ask(Peer::Says(String::new())).await;
    assert!(
        matches!(silent, Err(TransportError::Closed { .. })),
        "{silent:?}"
    );
    let rubbish = ask(Peer::Says("220 mail.example ESMTP\r\n\r\n".to_owned())).await;
    assert!(
        matches!(rubbish, Err(TransportError::NotHttp { .. })),
        "{rubbish:?}"
    );
}

#[tokio::test]
async fn where_nobody_listens_the_connection_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answer = network().send(get(&address)).await;
    let Err(error) = answer else {
        panic!("somebody answers")
    };
    assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn plain_http_off_the_loopback_and_other_schemes_are_not_even_tried() {
    for address in [
        "http://sigstore.example",
        "http://10.0.0.1",
        "http://127.0.0.1.example",
        "ftp://127.0.0.1",
    ] {
        let answer = network().send(get(address)).await;
        assert!(
            matches!(answer, Err(TransportError::Unreachable { .. })),
            "{address}"
        );
    }
    let answer = network().send(Request::default()).await;
    assert!(matches!(answer, Err(TransportError::Unreachable { .. })));
}

#[tokio::test]
async fn what_is_no_tls_fails_as_a_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        // The end of the peer's own words, so that nothing is reset before it is read.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let answer = network().send(get(&address)).await;
    let problem = TlsProblem::Handshake;
    assert!(
        matches!(answer, Err(TransportError::Tls { problem: found, .. }) if found == problem),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // One connection for both requests: a second one would find nobody.
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
                .await
                .unwrap();
        }
    });
    let network = network();
    for _ in 0..2 {
        assert_eq!(network.send(get(&address)).await.unwrap().into_body(), "hi");
    }
    served.await.unwrap();
}
