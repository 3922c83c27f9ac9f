//! One gRPC call over a socket of this machine: HTTP/2 without TLS. Its deadline and limit are those of a request.
//!
//! The answer comes as a gateway would translate it, so that the drivers read one form of refusals. What is asked and
//! what the answer means is not here.
//!
//! spec: gRPC over HTTP2, "Requests" and "Responses"

use std::path::Path;

use stella_wire::transport::{Response, TransportError};

/// What is asked: one message, for one.
pub(crate) struct Call<'a> {
    /// `/Service/Method`.
    pub(crate) method: &'static str,
    /// A header beside gRPC's own.
    pub(crate) header: (&'static str, &'static str),
    /// The message.
    pub(crate) message: &'a [u8],
    /// Largest answer in bytes.
    pub(crate) limit: usize,
}

/// Makes a call; the answer has the status that a gateway gives it, and as body the message or a [`Problem`].
///
/// [`Problem`]: stella_wire::problem::Problem
///
/// # Errors
///
/// No answer, or one that is not gRPC's.
#[cfg(unix)]
pub(crate) use self::unix::call;

/// There are no such sockets here.
#[cfg(not(unix))]
pub(crate) async fn call(socket: &Path, _: &Call<'_>) -> Result<Response, TransportError> {
    let uri = socket.display().to_string();
    Err(TransportError::Unreachable { uri })
}

#[cfg(unix)]
mod unix {
    use std::time::Duration;

    use bytes::{BufMut as _, Bytes, BytesMut};
    use h2::RecvStream;
    use h2::client::SendRequest;
    use http::{HeaderMap, StatusCode};
    use stella_wire::problem::{Code, Problem};
    use tokio::net::UnixStream;

    use super::{Call, Path, Response, TransportError};

    /// The other side is a process of this machine; it may have to ask its server.
    const DEADLINE: Duration = Duration::from_secs(10);
    /// Headers of an answer, in bytes.
    const MAX_HEADERS: u32 = 16 << 10;
    /// Before each message: whether it is compressed, and its length.
    const PREFIX: usize = 5;

    pub(crate) async fn call(socket: &Path, call: &Call<'_>) -> Result<Response, TransportError> {
        let host = || socket.display().to_string();
        match tokio::time::timeout(DEADLINE, exchange(socket, call)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Failed::Refused)) => Err(TransportError::Refused { host: host() }),
            Ok(Err(Failed::Closed)) => Err(TransportError::Closed { host: host() }),
            Ok(Err(Failed::NotGrpc)) => Err(TransportError::NotHttp { host: host() }),
            Ok(Err(Failed::TooLarge)) => Err(TransportError::TooLarge {
                host: host(),
                limit: call.limit,
            }),
            Err(_) => Err(TransportError::Timeout {
                host: host(),
                after: DEADLINE,
            }),
        }
    }

    /// Why there is no answer.
    enum Failed {
        Closed,
        NotGrpc,
        Refused,
        TooLarge,
    }

    impl From<h2::Error> for Failed {
        fn from(error: h2::Error) -> Self {
            if error.is_io() || error.is_go_away() {
                Self::Closed
            } else {
                Self::NotGrpc
            }
        }
    }

    async fn exchange(socket: &Path, call: &Call<'_>) -> Result<Response, Failed> {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.map_err(|_| Failed::Refused)?;
        let (client, connection) = h2::client::Builder::new()
            .max_header_list_size(MAX_HEADERS)
            .enable_push(false)
            .handshake(stream)
            .await?;
        // The connection carries nothing but this call, and ends with it.
        tokio::select! {
            answer = ask(client, call) => answer,
            end = connection => Err(end.map_or_else(Failed::from, |()| Failed::Closed)),
        }
    }

    async fn ask(client: SendRequest<Bytes>, call: &Call<'_>) -> Result<Response, Failed> {
        // 1. One message, with its length before it.
        let request = http::Request::post(format!("http://localhost{}", call.method))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header(call.header.0, call.header.1)
            .body(())
            .map_err(|_| Failed::NotGrpc)?;
        let length = u32::try_from(call.message.len()).map_err(|_| Failed::TooLarge)?;
        let mut framed = BytesMut::with_capacity(PREFIX + call.message.len());
        framed.put_u8(0);
        framed.put_u32(length);
        framed.put_slice(call.message);
        let (answer, mut sending) = client.ready().await?.send_request(request, false)?;
        sending.send_data(framed.freeze(), true)?;

        // 2. A refusal has its status in the head already, a message has it behind.
        let (head, mut body) = answer.await?.into_parts();
        let bytes = read(&mut body, call.limit + PREFIX).await?;
        let trailers = body.trailers().await?.unwrap_or_default();
        let status = if trailers.contains_key(STATUS) {
            &trailers
        } else {
            &head.headers
        };
        match number(status)? {
            0 => Ok(Response::new(message(&bytes)?)),
            code => Ok(refusal(code, status)),
        }
    }

    const STATUS: &str = "grpc-status";
    const MESSAGE: &str = "grpc-message";

    async fn read(body: &mut RecvStream, limit: usize) -> Result<BytesMut, Failed> {
        let mut whole = BytesMut::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            if whole.len() + piece.len() > limit {
                return Err(Failed::TooLarge);
            }
            whole.extend_from_slice(&piece);
            let _ = body.flow_control().release_capacity(piece.len());
        }
        Ok(whole)
    }

    fn number(status: &HeaderMap) -> Result<u32, Failed> {
        let text = status.get(STATUS).and_then(|value| value.to_str().ok());
        text.and_then(|text| text.parse().ok())
            .ok_or(Failed::NotGrpc)
    }

    /// Takes the message out of its frame: uncompressed, whole, and alone.
    fn message(bytes: &BytesMut) -> Result<Bytes, Failed> {
        let (prefix, message) = bytes.split_at_checked(PREFIX).ok_or(Failed::NotGrpc)?;
        let length = (message.len() as u32).to_be_bytes();
        let is_one = prefix == [&[0], &length[..]].concat();
        is_one
            .then(|| Bytes::copy_from_slice(message))
            .ok_or(Failed::NotGrpc)
    }

    fn refusal(code: u32, status: &HeaderMap) -> Response {
        let words = status.get(MESSAGE).map(http::HeaderValue::as_bytes);
        let problem = Problem {
            code,
            message: percent_decoded(words.unwrap_or_default()),
            details: Vec::new(),
        };
        let known = Code::from_number(code);
        let mut answer = Response::new(problem.to_bytes());
        *answer.status_mut() = known.map_or(StatusCode::INTERNAL_SERVER_ERROR, Code::status);
        answer
    }

    /// Reads `grpc-message`, in which whatever is not printable ASCII is `%XX`.
    fn percent_decoded(text: &[u8]) -> String {
        let mut plain = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            let pair = (byte == b'%').then(|| after.split_at_checked(2)).flatten();
            let decoded = pair.and_then(|(digits, after)| {
                let digits = std::str::from_utf8(digits).ok()?;
                Some((u8::from_str_radix(digits, 16).ok()?, after))
            });
            let (byte, after) = decoded.unwrap_or((byte, after));
            plain.push(byte);
            rest = after;
        }
        String::from_utf8_lossy(&plain).into_owned()
    }
}
