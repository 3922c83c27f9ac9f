//! Blobs on their way in (distribution spec, "Pushing blobs"): begun, grown part by part, finished or given up.
//!
//! An upload lives as long as the process; its bytes lie in a temporary file, and no more of them in memory than a piece.
//! What came before a connection broke stays, and whoever asks for the upload's status can go on from there.

use std::collections::HashMap;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header, request};
use stella_bundle::digest::{Digest, DigestAlgorithm, DigestStream};
use stella_wire::registry::{RefusalCode, blob_path, uploads_path};
use tokio::sync::{OwnedMutexGuard, TryLockError};
use tokio::time::Instant;

use super::Rooms;
use super::blobs::{created, empty, insert};
use super::body::{Body, Received};
use super::files::Temporary;
use super::manifests::require_equal;
use super::refused::Refused;
use super::route::Query;
use crate::random;

/// Bytes that are gathered before they are written.
const PIECE: usize = 128 << 10;
/// Uploads at once, each with an open file.
const MAX_UPLOADS: usize = 512;
/// An upload that nobody touched for so long makes room for others.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The uploads under way, by their names.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Arc<Upload>>>);

/// One upload.
struct Upload {
    repository: String,
    /// How many bytes are there; what `content` has is at least that.
    length: AtomicU64,
    touched: Mutex<Instant>,
    /// None once it is finished.
    content: Arc<tokio::sync::Mutex<Option<Content>>>,
}

type Held = OwnedMutexGuard<Option<Content>>;

/// The bytes so far.
struct Content {
    temporary: Temporary,
    length: u64,
    /// SHA-256 of the bytes; none after some were taken back.
    running: Option<DigestStream>,
}

impl Rooms {
    pub(crate) async fn begin_upload(
        &self,
        repository: &str,
        query: &Query,
        head: &request::Parts,
        body: &mut Received,
    ) -> Result<http::Response<Body>, Refused> {
        // spec: distribution spec, "Mounting a blob from another repository": what cannot be mounted is uploaded.
        let mount = query.digest("mount").ok().flatten();
        if let (Some(digest), Some(from)) = (mount, query.value("from"))
            && self.mount(repository, from, &digest).await?
        {
            return Ok(created(&blob_path(repository, &digest), &digest));
        }
        let content = self.on_disk(|store| Ok(Content::new(store.temporary()?)));
        let (id, upload) = self.uploads.begin(repository, content.await?)?;
        // spec: distribution spec, "Single POST".
        if let Some(digest) = query.digest("digest")? {
            let finished = self.finish(&upload, &digest, head, body).await;
            self.uploads.forget(&id);
            return finished;
        }
        Ok(status(StatusCode::ACCEPTED, &id, &upload))
    }

    pub(crate) fn upload_status(
        &self,
        repository: &str,
        id: &str,
    ) -> Result<http::Response<Body>, Refused> {
        let upload = self.uploads.find(repository, id)?;
        Ok(status(StatusCode::NO_CONTENT, id, &upload))
    }

    pub(crate) async fn add_to_upload(
        &self,
        repository: &str,
        id: &str,
        head: &request::Parts,
        body: &mut Received,
    ) -> Result<http::Response<Body>, Refused> {
        let upload = self.uploads.find(repository, id)?;
        let held = upload.hold()?;
        let range = require_next(&head.headers, id, &upload)?;
        self.receive(&upload, held, range, body).await?;
        Ok(status(StatusCode::ACCEPTED, id, &upload))
    }

    pub(crate) async fn finish_upload(
        &self,
        repository: &str,
        id: &str,
        query: &Query,
        head: &request::Parts,
        body: &mut Received,
    ) -> Result<http::Response<Body>, Refused> {
        let upload = self.uploads.find(repository, id)?;
        let Some(digest) = query.digest("digest")? else {
            let message = "an upload is finished with ?digest=, the digest of the whole blob";
            return Err(Refused::invalid(RefusalCode::DigestInvalid, message));
        };
        require_next(&head.headers, id, &upload)?;
        let finished = self.finish(&upload, &digest, head, body).await;
        if upload.is_finished() {
            self.uploads.forget(id);
        }
        finished
    }

    pub(crate) fn cancel_upload(
        &self,
        repository: &str,
        id: &str,
    ) -> Result<http::Response<Body>, Refused> {
        let upload = self.uploads.find(repository, id)?;
        upload.hold()?.take();
        self.uploads.forget(id);
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Says whether a blob of another repository could be had without its bytes.
    async fn mount(&self, to: &str, from: &str, digest: &Digest) -> Result<bool, Refused> {
        if !stella_wire::registry::is_repository(from) {
            return Ok(false);
        }
        let (to, from, digest) = (to.to_owned(), from.to_owned(), digest.clone());
        self.on_disk(move |store| {
            if !store.repository(&from).has_blob(&digest)? {
                return Ok(false);
            }
            store.repository(&to).add_blob(&digest)?;
            Ok(true)
        })
        .await
    }

    /// Takes the last bytes, if any, compares the digest, and puts the blob into the repository. Bytes of another digest
    /// are of no use any more and go.
    async fn finish(
        &self,
        upload: &Arc<Upload>,
        digest: &Digest,
        head: &request::Parts,
        body: &mut Received,
    ) -> Result<http::Response<Body>, Refused> {
        let held = upload.hold()?;
        let range = content_range(&head.headers).unwrap_or_default();
        let mut held = self.receive(upload, held, range, body).await?;
        let (wanted, repository) = (digest.clone(), upload.repository.clone());
        self.on_disk(move |store| {
            let content = held.take().ok_or_else(Refused::upload_unknown)?;
            let (temporary, found) = content.finish(&wanted)?;
            require_equal(&wanted, &found)?;
            store.settle(temporary, &wanted)?;
            Ok(store.repository(&repository).add_blob(&wanted)?)
        })
        .await?;
        Ok(created(&blob_path(&upload.repository, digest), digest))
    }

    /// Adds a body's bytes as they come. Of a body that breaks off, what came is kept; of one that is longer or shorter
    /// than it said, nothing is.
    async fn receive(
        &self,
        upload: &Arc<Upload>,
        mut held: Held,
        range: Option<ContentRange>,
        body: &mut Received,
    ) -> Result<Held, Refused> {
        let before = upload.length();
        let mut gathered = BytesMut::new();
        let ended = loop {
            let part = body.part().await;
            if let Ok(Some(part)) = &part {
                gathered.extend_from_slice(part);
            }
            let is_last = !matches!(part, Ok(Some(_)));
            if gathered.len() >= PIECE || (is_last && !gathered.is_empty()) {
                held = self.write(upload, held, gathered.split().freeze()).await?;
            }
            if is_last {
                break part;
            }
        };
        ended?;
        let came = upload.length() - before;
        match range.map(|range| range.length()) {
            Some(said) if said != came => {
                self.take_back(upload, held, before).await?;
                let message = format!("the body has {came} bytes, Content-Range says {said}");
                Err(Refused::invalid(RefusalCode::SizeInvalid, message))
            }
            _ => Ok(held),
        }
    }

    async fn write(
        &self,
        upload: &Arc<Upload>,
        mut held: Held,
        piece: Bytes,
    ) -> Result<Held, Refused> {
        let upload = Arc::clone(upload);
        self.on_disk(move |_| {
            let content = held.as_mut().ok_or_else(Refused::upload_unknown)?;
            content.add(&piece)?;
            upload.touch(content.length);
            Ok(held)
        })
        .await
    }

    async fn take_back(
        &self,
        upload: &Arc<Upload>,
        mut held: Held,
        length: u64,
    ) -> Result<(), Refused> {
        let upload = Arc::clone(upload);
        self.on_disk(move |_| {
            let content = held.as_mut().ok_or_else(Refused::upload_unknown)?;
            content.take_back(length)?;
            upload.touch(length);
            Ok(())
        })
        .await
    }
}

impl Uploads {
    fn begin(&self, repository: &str, content: Content) -> Result<(String, Arc<Upload>), Refused> {
        let id = random::bytes::<16>().map_err(io::Error::other)?;
        let id = hex::encode(id);
        let upload = Arc::new(Upload {
            repository: repository.to_owned(),
            length: AtomicU64::new(0),
            touched: Mutex::new(Instant::now()),
            content: Arc::new(tokio::sync::Mutex::new(Some(content))),
        });
        let mut uploads = self.lock();
        uploads.retain(|_, upload| !upload.is_abandoned());
        if uploads.len() >= MAX_UPLOADS {
            let message = format!("{MAX_UPLOADS} uploads are under way");
            return Err(Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                RefusalCode::TooManyRequests,
                message,
            )
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("5")));
        }
        uploads.insert(id.clone(), Arc::clone(&upload));
        Ok((id, upload))
    }

    fn find(&self, repository: &str, id: &str) -> Result<Arc<Upload>, Refused> {
        let upload = self.lock().get(id).map(Arc::clone);
        upload
            .filter(|upload| upload.repository == repository)
            .ok_or_else(Refused::upload_unknown)
    }

    fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    /// Takes the upload for one request: two that write at once would mix their bytes.
    fn hold(&self) -> Result<Held, Refused> {
        let held = Arc::clone(&self.content).try_lock_owned();
        held.map_err(|_: TryLockError| {
            let message = "another request is writing to this upload";
            Refused::new(
                StatusCode::CONFLICT,
                RefusalCode::BlobUploadInvalid,
                message,
            )
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        })
    }

    fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    fn touch(&self, length: u64) {
        self.length.store(length, Ordering::Release);
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_finished(&self) -> bool {
        self.content.try_lock().is_ok_and(|held| held.is_none())
    }

    fn is_abandoned(&self) -> bool {
        let touched = *self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.elapsed() > PATIENCE && self.content.try_lock().is_ok()
    }
}

impl Content {
    fn new(temporary: Temporary) -> Self {
        Self {
            temporary,
            length: 0,
            running: Some(DigestStream::new(DigestAlgorithm::Sha256)),
        }
    }

    /// Adds bytes, all or none.
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.temporary.file.write_all(bytes) {
            // A full disk gets its room back; the first error is the one to report.
            let _ = self.set_length(self.length);
            return Err(error);
        }
        if let Some(running) = &mut self.running {
            running.update(bytes);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets all bytes from `length` on.
    fn take_back(&mut self, length: u64) -> io::Result<()> {
        self.running = None;
        self.length = length;
        self.set_length(length)
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.temporary.file.set_len(length)?;
        self.temporary.file.seek(SeekFrom::Start(length)).map(drop)
    }

    /// Returns the bytes, and their digest by the algorithm of `wanted`.
    fn finish(self, wanted: &Digest) -> io::Result<(Temporary, Digest)> {
        let Self {
            mut temporary,
            running,
            ..
        } = self;
        let digest = match running {
            Some(running) if wanted.algorithm() == DigestAlgorithm::Sha256 => running.finish(),
            _ => read_digest(&mut temporary.file, wanted.algorithm())?,
        };
        Ok((temporary, digest))
    }
}

fn read_digest(file: &mut std::fs::File, algorithm: DigestAlgorithm) -> io::Result<Digest> {
    file.rewind()?;
    let (mut digest, mut piece) = (DigestStream::new(algorithm), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digest.finish()),
            count => digest.update(&piece[..count]),
        }
    }
}

/// Which bytes of the blob a request brings: first and last, counted from 0.
// spec: distribution spec, "Pushing a blob in chunks": ^[0-9]+-[0-9]+$, unlike HTTP's own header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (first, last) = text.split_once('-')?;
        if !is_digits(first) || !is_digits(last) {
            return None;
        }
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < u64::MAX).then_some(Self { first, last })
    }

    const fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// Reads the header: absent, a range, or an error.
fn content_range(headers: &HeaderMap) -> Result<Option<ContentRange>, ()> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else {
        return Ok(None);
    };
    let range = value.to_str().ok().and_then(ContentRange::parse);
    range.map(Some).ok_or(())
}

/// Requires that the bytes that a request brings are the next ones, if it says which they are.
fn require_next(
    headers: &HeaderMap,
    id: &str,
    upload: &Upload,
) -> Result<Option<ContentRange>, Refused> {
    let length = upload.length();
    let range = match content_range(headers) {
        Ok(None) => return Ok(None),
        Ok(range) => range.filter(|range| range.first == length),
        Err(()) => None,
    };
    if range.is_some() {
        return Ok(range);
    }
    let message = format!("the upload has {length} bytes: the next chunk begins at {length}");
    let mut refused = Refused::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        RefusalCode::BlobUploadInvalid,
        message,
    );
    for (name, value) in status(StatusCode::ACCEPTED, id, upload).headers() {
        refused = refused.with_header(name.clone(), value.clone());
    }
    Err(refused)
}

/// Makes the answer that says how far an upload has come.
fn status(status: StatusCode, id: &str, upload: &Upload) -> http::Response<Body> {
    let mut response = empty(status);
    let headers = response.headers_mut();
    let location = format!("{}{id}", uploads_path(&upload.repository));
    insert(headers, header::LOCATION, &location);
    // spec: the last byte counts, so that none and one look alike; that is how it is.
    let range = format!("0-{}", upload.length().saturating_sub(1));
    insert(headers, header::RANGE, &range);
    insert(
        headers,
        header::HeaderName::from_static("docker-upload-uuid"),
        id,
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunks_range_is_two_numbers() {
        let range = ContentRange { first: 3, last: 7 };
        assert_eq!(ContentRange::parse("3-7"), Some(range));
        assert_eq!(range.length(), 5);
        for text in [
            "",
            "-",
            "3-",
            "-7",
            "7-3",
            "+3-7",
            "bytes 3-7/9",
            "3-7-9",
            "0-18446744073709551615",
            "0-99999999999999999999",
        ] {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
    }
}
