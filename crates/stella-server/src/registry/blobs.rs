//! Blobs: read whole or in part, and deleted (distribution spec, "Pulling blobs", "Deleting blobs").

use std::io::{Seek as _, SeekFrom};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, request};
use stella_bundle::digest::Digest;
use stella_wire::registry::{DOCKER_CONTENT_DIGEST, RefusalCode};

use super::Rooms;
use super::body::{Body, FilePart};
use super::refused::Refused;

impl Rooms {
    pub(crate) async fn read_blob(
        &self,
        repository: &str,
        digest: Digest,
        head: &request::Parts,
    ) -> Result<http::Response<Body>, Refused> {
        let (repository, wanted) = (repository.to_owned(), digest.clone());
        let content = self.on_disk(move |store| {
            let unknown = || Refused::blob_unknown(&wanted);
            if !store.repository(&repository).has_blob(&wanted)? {
                return Err(unknown());
            }
            store.content(&wanted)?.ok_or_else(unknown)
        });
        let (mut file, size) = content.await?;
        let range = head.headers.get(header::RANGE);
        let range = range.and_then(|value| value.to_str().ok());
        let mut response = match Range::parse(range, size) {
            Range::Part { from, length } => {
                file.seek(SeekFrom::Start(from))?;
                let mut response = http::Response::new(Body::File(FilePart::new(file, length)));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let range = format!("bytes {from}-{}/{size}", from + length - 1);
                insert(response.headers_mut(), header::CONTENT_RANGE, &range);
                response
            }
            Range::Unsatisfiable => return Err(beyond(size)),
            Range::Whole => http::Response::new(Body::File(FilePart::new(file, size))),
        };
        let headers = response.headers_mut();
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let octets = HeaderValue::from_static("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, octets);
        insert_digest(headers, &digest);
        Ok(response)
    }

    pub(crate) async fn delete_blob(
        &self,
        repository: &str,
        digest: Digest,
    ) -> Result<http::Response<Body>, Refused> {
        let repository = repository.to_owned();
        self.on_disk(move |store| {
            let _alone = store.alone();
            // Other repositories may have it too; content that nobody has goes when the registry is next opened.
            if store.repository(&repository).remove_blob(&digest)? {
                return Ok(());
            }
            Err(Refused::blob_unknown(&digest))
        })
        .await?;
        Ok(empty(StatusCode::ACCEPTED))
    }
}

/// What is asked of a content (RFC 9110 §14.2).
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Part { from: u64, length: u64 },
    Unsatisfiable,
    Whole,
}

impl Range {
    /// Reads the header. What is not understood, several parts at once among it, is ignored, as RFC 9110 allows.
    fn parse(header: Option<&str>, size: u64) -> Self {
        let spec = header.and_then(|text| text.strip_prefix("bytes="));
        let Some((first, last)) = spec.and_then(|spec| spec.split_once('-')) else {
            return Self::Whole;
        };
        let (first, last) = (first.trim(), last.trim());
        if first.is_empty() {
            let Ok(length) = last.parse::<u64>() else {
                return Self::Whole;
            };
            let length = length.min(size);
            return Self::part(size - length, length, size);
        }
        let end = if last.is_empty() {
            Ok(u64::MAX)
        } else {
            last.parse::<u64>()
        };
        match (first.parse::<u64>(), end) {
            (Ok(from), Ok(end)) if from <= end => {
                let length = end.saturating_sub(from).saturating_add(1);
                Self::part(from, length.min(size.saturating_sub(from)), size)
            }
            _ => Self::Whole,
        }
    }

    const fn part(from: u64, length: u64, size: u64) -> Self {
        if length == 0 || from >= size {
            return Self::Unsatisfiable;
        }
        Self::Part { from, length }
    }
}

fn beyond(size: u64) -> Refused {
    let message = format!("the blob has {size} bytes, and none in this range");
    let refused = Refused::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        RefusalCode::SizeInvalid,
        message,
    );
    match HeaderValue::from_str(&format!("bytes */{size}")) {
        Ok(range) => refused.with_header(header::CONTENT_RANGE, range),
        Err(_) => refused,
    }
}

/// Makes an answer without a body.
pub(crate) fn empty(status: StatusCode) -> http::Response<Body> {
    let mut response = http::Response::new(Body::Whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// Makes the answer to what was put and is durable.
pub(crate) fn created(location: &str, digest: &Digest) -> http::Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    insert(response.headers_mut(), header::LOCATION, location);
    insert_digest(response.headers_mut(), digest);
    response
}

/// Says in the headers which content it is.
pub(crate) fn insert_digest(headers: &mut HeaderMap, digest: &Digest) {
    let digest = digest.to_string();
    insert(headers, header::ETAG, &format!("\"{digest}\""));
    if let Ok(value) = HeaderValue::from_str(&digest) {
        headers.insert(DOCKER_CONTENT_DIGEST, value);
    }
}

/// Inserts a value of ours: paths, digests and numbers are always fit for a header.
pub(crate) fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_http_has_it() {
        let part = |from, length| Range::Part { from, length };
        let rows = [
            (None, Range::Whole),
            (Some("bytes=0-3"), part(0, 4)),
            (Some("bytes=4-"), part(4, 6)),
            (Some("bytes=-3"), part(7, 3)),
            (Some("bytes=-30"), part(0, 10)),
            (Some("bytes=8-99"), part(8, 2)),
            (Some("bytes=0-18446744073709551615"), part(0, 10)),
            (Some("bytes=10-"), Range::Unsatisfiable),
            (Some("bytes=-0"), Range::Unsatisfiable),
            (Some("bytes=3-2"), Range::Whole),
            (Some("bytes=0-1,3-4"), Range::Whole),
            (Some("lines=0-1"), Range::Whole),
            (Some("bytes=-"), Range::Whole),
        ];
        for (header, expected) in rows {
            assert_eq!(Range::parse(header, 10), expected, "{header:?}");
        }
        assert_eq!(Range::parse(Some("bytes=0-"), 0), Range::Unsatisfiable);
    }
}
