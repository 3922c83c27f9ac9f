//! Signature Version 4: how a request to AWS says who sends it.
//!
//! Only what these services need: requests for `/` without a query. Every header that the request has is signed.
//!
//! spec: AWS General Reference, "Create a signed AWS API request"

use aws_lc_rs::hmac;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::time::UnixTime;
use stella_keys::KeyError;
use stella_wire::transport::Request;
use zeroize::Zeroizing;

use super::SERVICE;
use super::credentials::Credentials;
use crate::kms::ask;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What a signature is good for, beside its day.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// Adds date, token and signature to a request.
///
/// # Errors
/// `Service`, when the credentials have characters that no header can carry.
pub(super) fn sign(
    request: &mut Request,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: UnixTime,
) -> Result<(), KeyError> {
    // 1. What is signed beside the body.
    let time = basic_time(now);
    let host = request.uri().authority().map(ToString::to_string);
    plain_header(request, HOST, &host.unwrap_or_default())?;
    plain_header(request, DATE, &time)?;
    if let Some(token) = &credentials.session_token {
        ask::secret_header(SERVICE, request, TOKEN, token.as_str())?;
    }

    // 2. The request in its canonical form.
    let (names, headers) = canonical_headers(request);
    let canonical = format!(
        "{}\n{}\n\n{headers}\n{names}\n{}",
        request.method(),
        request.uri().path(),
        sha256_hex(request.body()),
    );

    // 3. Its digest, with time and scope, by a key of the day.
    let day = time.get(..8).unwrap_or_default();
    let Scope { region, service } = scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_be_signed = format!(
        "{ALGORITHM}\n{time}\n{scope}\n{}",
        sha256_hex(canonical.as_bytes())
    );
    let first = Zeroizing::new(format!("AWS4{}", credentials.secret.as_str()));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for part in [day, region, service, "aws4_request"] {
        let next = hmac::sign(&key, part.as_bytes());
        key = hmac::Key::new(hmac::HMAC_SHA256, next.as_ref());
    }
    let signature = hex::encode(hmac::sign(&key, to_be_signed.as_bytes()));

    // 4. The header that says it.
    let id = &credentials.access_key;
    let header = format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    ask::secret_header(SERVICE, request, AUTHORIZATION, &header)
}

/// Returns the names of all headers, and the headers, each on a line; both sorted by name.
fn canonical_headers(request: &Request) -> (String, String) {
    let mut all: Vec<(&str, String)> = request
        .headers()
        .iter()
        // What the connection may add or change on the way.
        .filter(|(name, _)| *name != http::header::ACCEPT)
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str(), value.trim().to_owned())
        })
        .collect();
    all.sort_unstable();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let lines = all.iter().map(|(name, value)| format!("{name}:{value}\n"));
    (names.join(";"), lines.collect())
}

fn plain_header(request: &mut Request, name: HeaderName, value: &str) -> Result<(), KeyError> {
    let value = HeaderValue::from_str(value)
        .map_err(|_| ask::unusable(SERVICE, "a header cannot be made"))?;
    request.headers_mut().insert(name, value);
    Ok(())
}

fn sha256_hex(bytes: &[u8]) -> String {
    DigestAlgorithm::Sha256.digest(bytes).hex()
}

/// Prints a time in the basic form of ISO 8601: `20150830T123600Z`.
fn basic_time(time: UnixTime) -> String {
    let mut text = time.floor_seconds().to_string();
    text.retain(|character| !matches!(character, '-' | ':'));
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;
    use http::Method;
    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::oidc::SecretText;

    fn signature(request: &mut Request, token: Option<&str>) -> String {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret: SecretText::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: token.map(|token| SecretText::new(token.to_owned())),
        };
        let scope = Scope {
            region: "us-east-1",
            service: "service",
        };
        let now = UnixTime::from_civil(2015, 8, 30, 12, 36, 0).unwrap();
        sign(request, &credentials, scope, now).unwrap();
        let header = request.headers()[AUTHORIZATION].to_str().unwrap();
        header.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    fn request(method: Method, body: &'static str) -> Request {
        let mut request = Request::new(Bytes::from_static(body.as_bytes()));
        *request.method_mut() = method;
        *request.uri_mut() = "https://example.amazonaws.com/".parse().unwrap();
        request
    }

    /// The vectors that AWS published as `aws-sig-v4-test-suite`.
    #[test]
    fn the_published_vectors_come_out() {
        let mut get = request(Method::GET, "");
        assert_eq!(
            signature(&mut get, None),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            "get-vanilla"
        );
        let mut post = request(Method::POST, "");
        assert_eq!(
            signature(&mut post, None),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            "post-vanilla"
        );
        let mut form = request(Method::POST, "Param1=value1");
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        form.headers_mut().insert(CONTENT_TYPE, kind);
        assert_eq!(
            signature(&mut form, None),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            "post-x-www-form-urlencoded"
        );
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let mut post = request(Method::POST, "");
        assert_eq!(
            signature(&mut post, Some(token)),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            "post-sts-header-before"
        );
    }

    #[test]
    fn neither_secret_is_printed() {
        let mut post = request(Method::POST, "");
        signature(&mut post, Some("a-session-token"));
        let printed = format!("{post:?}");
        assert!(!printed.contains("a-session-token"), "{printed}");
        assert!(!printed.contains("Signature="), "{printed}");
    }
}
