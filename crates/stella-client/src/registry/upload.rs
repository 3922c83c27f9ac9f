//! A blob on its way up: in parts, and going on where a broken connection left it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderValue, Method, StatusCode};
use stella_bundle::digest::Digest;
use stella_wire::registry::{self, MAX_WORDS};
use stella_wire::transport::Response;

use super::RegistryProblem;
use super::access::{Asking, Registry, wrong};
use crate::error::ClientError;

/// An upload that has begun. Dropped unfinished it is forgotten by the registry after a while.
#[derive(Debug)]
pub struct Upload {
    registry: Arc<Registry>,
    scope: String,
    location: String,
    written: u64,
}

impl Upload {
    pub(super) async fn begin(
        registry: Arc<Registry>,
        repository: &str,
        scope: &str,
    ) -> Result<Self, ClientError> {
        let path = registry::uploads_path(repository);
        let mut asking = Asking::get(&path, scope, MAX_WORDS);
        asking.method = Method::POST;
        let answer = registry.send(asking).await?;
        registry.require_success(&path, &answer)?;
        let mut upload = Self {
            scope: scope.to_owned(),
            registry,
            location: String::new(),
            written: 0,
        };
        upload.follow(&answer)?;
        Ok(upload)
    }

    /// Returns how many bytes the registry has.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Sends a part.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
    pub async fn write(&mut self, part: Bytes) -> Result<(), ClientError> {
        if part.is_empty() {
            return Ok(());
        }
        let end = self.written + part.len() as u64;
        let mut asking = Asking::get(&self.location, &self.scope, MAX_WORDS);
        asking.method = Method::PATCH;
        asking.headers = vec![octets()];
        let range = HeaderValue::from_str(&format!("{}-{}", self.written, end - 1));
        asking
            .headers
            .extend(range.ok().map(|value| (CONTENT_RANGE, value)));
        asking.body = part;
        let answer = self.registry.send(asking).await?;
        // A part whose answer was lost is sent twice, and the second one comes out of order: then ask what is there.
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE && self.holds(end).await? {
            self.written = end;
            return Ok(());
        }
        self.registry.require_success(&self.location, &answer)?;
        self.written = end;
        self.follow(&answer)
    }

    /// Ends the upload with its last part, which may be empty; the registry compares the digest.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused` (another digest), `Answer`.
    pub async fn finish(self, digest: &Digest, part: Bytes) -> Result<(), ClientError> {
        let mark = if self.location.contains('?') {
            '&'
        } else {
            '?'
        };
        let address = format!("{}{mark}digest={digest}", self.location);
        let mut asking = Asking::get(&address, &self.scope, MAX_WORDS);
        asking.method = Method::PUT;
        asking.headers = vec![octets()];
        asking.body = part;
        let answer = self.registry.send(asking).await?;
        self.registry.require_success(&self.location, &answer)
    }

    /// Asks whether the registry has so many bytes.
    async fn holds(&mut self, wanted: u64) -> Result<bool, ClientError> {
        let asking = Asking::get(&self.location, &self.scope, MAX_WORDS);
        let answer = self.registry.send(asking).await?;
        self.registry.require_success(&self.location, &answer)?;
        let range = answer.headers().get(RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        let last = range.and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
        self.follow(&answer)?;
        Ok(last.is_some_and(|last| last + 1 == wanted))
    }

    /// Takes the address of the next request, which each answer names anew.
    fn follow(&mut self, answer: &Response) -> Result<(), ClientError> {
        let location = answer.headers().get(LOCATION);
        match location.and_then(|location| location.to_str().ok()) {
            Some(location) if !location.is_empty() => {
                self.location = location.to_owned();
                Ok(())
            }
            // Only the first answer must name one.
            _ if !self.location.is_empty() => Ok(()),
            _ => Err(wrong(RegistryProblem::Header { header: "Location" })),
        }
    }
}

fn octets() -> (http::HeaderName, HeaderValue) {
    let octets = HeaderValue::from_static("application/octet-stream");
    (CONTENT_TYPE, octets)
}
