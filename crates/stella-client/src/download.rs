//! An artifact at an address: its bytes, bounded. Who made them is for the caller to find out.

use bytes::Bytes;
use http::Method;
use stella_wire::transport::{Transport, TransportError};
use url::Url;

use crate::error::{ClientError, Service, Unavailability};
use crate::exchange;

/// Places of releases send on to where the bytes are: once, or through a mirror.
const MAX_HOPS: usize = 5;

/// Fetches what is at an address, at most `limit` bytes.
///
/// An address that sends on is followed, to https only: the request carries no secret, and the bytes are believed for
/// their signature, not for whence they are.
///
/// # Errors
///
/// `Address`, `Unavailable`, `AccessRefused`, `Refused`.
pub async fn fetch(
    transport: &dyn Transport,
    address: &Url,
    limit: usize,
) -> Result<Bytes, ClientError> {
    let service = Service::Artifact;
    let mut address = address.clone();
    address.set_fragment(None);
    let mut hops = 0..MAX_HOPS;
    loop {
        let request = exchange::request(service, Method::GET, address.as_str(), Bytes::new())?;
        let error = match exchange::send(transport, service, request, limit).await {
            Ok(answer) => return Ok(answer.into_body()),
            Err(error) => error,
        };
        match next(&error, &address).filter(|_| hops.next().is_some()) {
            Some(next) => address = next,
            None => return Err(error),
        }
    }
}

/// Returns where an address sends on to.
fn next(error: &ClientError, from: &Url) -> Option<Url> {
    let ClientError::Unavailable {
        problem: Unavailability::NoAnswer(TransportError::Redirected { location, .. }),
        ..
    } = error
    else {
        return None;
    };
    let to = from.join(location).ok()?;
    (to.scheme() == "https").then_some(to)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_wire::transport::Response;

    use super::*;
    use crate::error::ErrorClass;
    use crate::scripted::{Script, run, status};

    fn to(location: &str) -> Result<Response, TransportError> {
        let (host, location) = ("a.example".to_owned(), location.to_owned());
        Err(TransportError::Redirected { host, location })
    }

    fn fetch(script: &Script) -> Result<Bytes, ClientError> {
        let address = "https://a.example/app#part".parse().unwrap();
        run(super::fetch(script, &address, 3))
    }

    #[test]
    fn an_address_that_sends_on_is_followed_to_https_and_not_for_ever() {
        let script = Script::new([to("/b"), to("https://c.example/"), status(200, "app")]);
        assert_eq!(fetch(&script).unwrap(), "app");
        let asked = script
            .asked()
            .into_iter()
            .map(|each| each.uri().to_string());
        let asked: Vec<String> = asked.collect();
        assert_eq!(
            asked,
            [
                "https://a.example/app",
                "https://a.example/b",
                "https://c.example/"
            ]
        );
        let refused = |answers: Vec<_>| fetch(&Script::new(answers)).unwrap_err().class();
        assert_eq!(
            refused(vec![to("http://c.example/")]),
            ErrorClass::Unavailable
        );
        let round = (0..=MAX_HOPS).map(|_| to("/app")).collect();
        assert_eq!(refused(round), ErrorClass::Unavailable);
        assert_eq!(refused(vec![status(200, "more")]), ErrorClass::Refused);
        assert_eq!(refused(vec![status(404, "")]), ErrorClass::Refused);
    }
}
