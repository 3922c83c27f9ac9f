//! The Workload API of SPIFFE on a real socket: what is asked of it, and what its answers mean.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, Response};
use stella_client::oidc::{self, Environment, Provider, TokenOrigin};
use stella_client::{ClientError, ErrorClass, Network};
use tokio::net::UnixListener;

/// What an agent answers.
enum Agent {
    /// A frame of these bytes, and success.
    Says(Vec<u8>),
    /// A status of gRPC, in the head alone.
    Refuses(&'static str, &'static str),
    /// Bytes that are not HTTP/2.
    Babbles,
    /// Nothing, and the end.
    Leaves,
}

/// Serves one call on `socket`; returns the message that came.
async fn serve(listener: UnixListener, agent: Agent) -> Option<Bytes> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let message = match agent {
        Agent::Babbles => {
            use tokio::io::AsyncWriteExt as _;
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
            return None;
        }
        Agent::Leaves => return None,
        Agent::Refuses(..) => None,
        Agent::Says(ref message) => Some(message.clone()),
    };
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let (head, mut body) = request.into_parts();
    assert_eq!(head.uri.path(), "/SpiffeWorkloadAPI/FetchJWTSVID");
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["workload.spiffe.io"], "true");

    // The connection must be driven while the body is read and the answer goes.
    let answered = async {
        let asked = body.data().await.unwrap().unwrap();
        let answer = Response::builder().header("content-type", "application/grpc");
        match (message, agent) {
            (Some(message), _) => {
                let mut sending = respond
                    .send_response(answer.body(()).unwrap(), false)
                    .unwrap();
                sending.send_data(message.into(), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                sending.send_trailers(trailers).unwrap();
            }
            (None, Agent::Refuses(code, words)) => {
                let answer = answer
                    .header("grpc-status", code)
                    .header("grpc-message", words);
                respond
                    .send_response(answer.body(()).unwrap(), true)
                    .unwrap();
            }
            (None, _) => unreachable!("they ended before"),
        }
        asked
    };
    let mut asked = None;
    tokio::pin!(answered);
    loop {
        tokio::select! {
            done = &mut answered, if asked.is_none() => asked = Some(done),
            next = connection.accept() => match next {
                Some(Ok(_)) => panic!("one call too many"),
                _ => return asked,
            },
        }
    }
}

fn provider(endpoint: &str) -> Provider {
    let environment = Environment {
        variable: &|name| (name == "SPIFFE_ENDPOINT_SOCKET").then(|| endpoint.to_owned()),
        token_file: Path::new("/nonexistent/token"),
        product_file: Path::new("/nonexistent/product_name"),
    };
    oidc::detect(&environment, "sigstore").unwrap().unwrap()
}

/// Asks an agent for a token; returns it and what the agent was asked.
async fn ask(agent: Agent) -> (Result<String, ClientError>, Option<Bytes>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = tokio::spawn(serve(listener, agent));
    let provider = provider(&format!("unix://{}", socket.display()));
    assert_eq!(provider.origin(), TokenOrigin::Spiffe);
    let token = provider.token(&Network::default(), "sigstore").await;
    (token.map(|token| token.to_string()), serving.await.unwrap())
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// One identity with its token, as workloadapi.proto writes it.
const ANSWER: &[u8] = b"\x0a\x15\x0a\x0cspiffe://o/w\x12\x05a.b.c";

#[tokio::test]
async fn a_workload_gets_its_token_for_our_audience() {
    let (token, asked) = ask(Agent::Says(framed(ANSWER))).await;
    assert_eq!(token.unwrap(), "a.b.c");
    assert_eq!(asked.unwrap(), framed(b"\x0a\x08sigstore"));
}

#[tokio::test]
async fn a_workload_without_an_identity_is_told_in_the_agents_words() {
    let (refused, _) = ask(Agent::Refuses("7", "no identity issued%21")).await;
    let error = refused.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Access);
    assert!(error.to_string().contains("no identity issued!"), "{error}");
    let class = |code| async move { ask(Agent::Refuses(code, "")).await.0.unwrap_err().class() };
    assert_eq!(class("14").await, ErrorClass::Unavailable);
    assert_eq!(class("3").await, ErrorClass::Refused);
    assert_eq!(class("999").await, ErrorClass::Unavailable);
}

#[tokio::test]
async fn an_agent_that_is_none_is_unavailable_and_a_bad_answer_refused() {
    let class = |agent| async move { ask(agent).await.0.unwrap_err().class() };
    assert_eq!(class(Agent::Leaves).await, ErrorClass::Unavailable);
    assert_eq!(class(Agent::Babbles).await, ErrorClass::Unavailable);
    assert_eq!(class(Agent::Says(framed(b""))).await, ErrorClass::Refused);
    assert_eq!(
        class(Agent::Says(vec![1, 0, 0, 0, 0])).await,
        ErrorClass::Unavailable
    );
    assert_eq!(
        class(Agent::Says(vec![0; 2 << 20])).await,
        ErrorClass::Unavailable
    );
    let nobody = provider("unix:///nonexistent/api.sock");
    let error = nobody
        .token(&Network::default(), "sigstore")
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
}
