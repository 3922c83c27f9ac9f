//! SPIFFE: the Workload API, such as SPIRE's agent serves it on a socket, gives the workload a JWT-SVID for the asking.
//!
//! Who asks is found out by the agent. Of several identities the first is taken, which is the default one.
//!
//! spec: SPIFFE Workload Endpoint §4, SPIFFE Workload API §6, and workloadapi.proto

use std::path::PathBuf;

use bytes::Bytes;
use stella_wire::limits;
use stella_wire::oidc::MAX_TOKEN;
use zeroize::Zeroizing;

use super::{Environment, ProviderError};
use crate::error::{AnswerProblem, ClientError, Service};
use crate::{exchange, grpc};

/// The variable that names the endpoint: `unix:///PATH`.
const ENDPOINT: &str = "SPIFFE_ENDPOINT_SOCKET";
const METHOD: &str = "/SpiffeWorkloadAPI/FetchJWTSVID";
/// What keeps a web page's request, which cannot set it, from being a workload's (SPIFFE Workload Endpoint §5).
const MARK: (&str, &str) = ("workload.spiffe.io", "true");

/// `JWTSVIDRequest.audience`.
const AUDIENCE: u64 = 1;
/// `JWTSVIDResponse.svids`.
const SVIDS: u64 = 1;
/// `JWTSVID.svid`.
const SVID: u64 = 2;

/// A Workload API, by its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    socket: PathBuf,
}

/// Finds the Workload API of this workload.
pub(super) fn detect(environment: &Environment<'_>) -> Result<Option<Workload>, ProviderError> {
    let Some(found) = environment.text(ENDPOINT) else {
        return Ok(None);
    };
    let path = found
        .strip_prefix("unix:")
        .map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    // Nothing of an address beside its path, and nothing in the path that would mean something else than it says.
    let is_path = |path: &&str| path.starts_with('/') && !path.contains(['?', '#', '%']);
    match path.filter(is_path) {
        Some(path) => Ok(Some(Workload {
            socket: PathBuf::from(path),
        })),
        None => Err(ProviderError::SpiffeEndpoint { found }),
    }
}

impl Workload {
    /// Asks for a token for `audience`.
    ///
    /// # Errors
    ///
    /// [`ClientError::AccessRefused`] when the workload has no identity, `Unavailable`, `Refused`, or an answer without a
    /// token.
    pub async fn token(&self, audience: &str) -> Result<Zeroizing<String>, ClientError> {
        let service = Service::OidcProvider;
        let address = || format!("unix:{}", self.socket.display());
        let question = field(AUDIENCE, audience.as_bytes());
        let call = grpc::Call {
            method: METHOD,
            header: MARK,
            message: &question,
            limit: limits::OIDC_ANSWER,
        };
        let answer = grpc::call(&self.socket, &call).await;
        let answer = answer.map_err(|problem| exchange::no_answer(service, address(), problem))?;
        if let Some(refusal) = exchange::refusal(service, address(), &answer) {
            return Err(refusal);
        }
        first_token(answer.body())
            .ok_or_else(|| ClientError::answer(service, AnswerProblem::NoJwtSvid))
    }
}

fn first_token(answer: &Bytes) -> Option<Zeroizing<String>> {
    let svid = find(find(answer, SVIDS)?, SVID)?;
    let text = std::str::from_utf8(svid).ok()?;
    (!text.is_empty() && text.len() <= MAX_TOKEN).then(|| Zeroizing::new(text.to_owned()))
}

/// Writes one field of bytes (Protocol Buffers, wire type 2).
fn field(number: u64, value: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(value.len() + 8);
    for mut rest in [number << 3 | 2, value.len() as u64] {
        while rest > 0x7f {
            written.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        written.push(rest as u8);
    }
    written.extend_from_slice(value);
    written
}

/// Returns the first field of bytes with this number; none also where the message is malformed before it.
fn find(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => {
                varint(&mut message)?;
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                if tag >> 3 == wanted {
                    return Some(value);
                }
                message = rest;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    None
}

/// Reads a number of at most 64 bits, seven at a time.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_of_several_identities_is_taken() {
        let svid = |token: &str| {
            field(
                SVIDS,
                &[field(1, b"spiffe://o/w"), field(SVID, token.as_bytes())].concat(),
            )
        };
        let both = [svid("a.b.c"), svid("d.e.f")].concat();
        assert_eq!(first_token(&both.into()).unwrap().as_str(), "a.b.c");
        // A field of later versions is passed over, whatever its type.
        let newer = [&[0x78, 0x96, 0x01][..], &svid("a.b.c")].concat();
        assert_eq!(first_token(&newer.into()).unwrap().as_str(), "a.b.c");
    }

    #[test]
    fn what_is_no_answer_holds_no_token() {
        let long = field(SVIDS, &field(SVID, &[b'a'; MAX_TOKEN + 1]));
        for bytes in [
            &[][..],
            &[0x0a],
            &[0x0a, 0x05, 0x12],
            &[0xff; 11],
            &[0x0b],
            &long,
        ] {
            assert_eq!(
                first_token(&Bytes::copy_from_slice(bytes)),
                None,
                "{bytes:?}"
            );
        }
    }
}
