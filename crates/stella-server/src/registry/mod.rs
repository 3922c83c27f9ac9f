//! An OCI registry on the local disk (distribution spec 1.1), for images and for what is attached to them.
//!
//! One folder, because a registry is a service with several rooms: `route` reads what is asked, `manifests`, `blobs`,
//! `uploads` and `lists` answer, `store` says what the files mean, `files` makes them durable. Who may ask is not decided
//! here: whoever reaches the registry may read and write it (`listen` guards the way).

mod blobs;
mod body;
mod files;
mod lists;
mod manifests;
mod refused;
mod route;
mod store;
mod uploads;

pub(crate) use body::{Body, Received};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header, request};
use stella_wire::registry::{API_VERSION, BASE_PATH, DOCKER_DISTRIBUTION_API_VERSION, RefusalCode};
use stella_wire::{Request, Sending, Transport, TransportError};

use self::files::Files;
use self::refused::Refused;
use self::route::{Endpoint, Query};
use self::store::Store;
use self::uploads::Uploads;
use crate::directory::FileError;

/// Bytes of a blob that a request in this process gets in one answer; who wants more asks for ranges.
const MAX_WHOLE: usize = 64 << 20;

/// The ways in which a registry cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process has the folder.
    #[error("another process is using the registry in {}", folder.display())]
    Locked {
        /// Where.
        folder: PathBuf,
    },
}

/// How a registry is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Most entries on one page of a list, whatever is asked for; at least 1.
    pub page: usize,
}

impl Default for RegistryOptions {
    /// A hundred referrers fit into what clients read of one answer, tags all the more.
    fn default() -> Self {
        Self { page: 100 }
    }
}

/// An open registry. Clones share it; the folder is given up when the last one goes.
#[derive(Clone)]
pub struct Registry(Arc<Rooms>);

struct Rooms {
    store: Arc<Store>,
    uploads: Uploads,
    options: RegistryOptions,
    folder: PathBuf,
}

impl Registry {
    /// Opens the registry in `folder`, makes it where it is absent (its parent must exist), and removes what a crash or a
    /// deletion left behind.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn open(folder: &Path, options: RegistryOptions) -> Result<Self, RegistryError> {
        let store = Store::new(Files::open(folder)?);
        store.sweep().map_err(|error| FileError {
            action: "sweep",
            path: folder.to_owned(),
            kind: error.kind(),
        })?;
        Ok(Self(Arc::new(Rooms {
            store: Arc::new(store),
            uploads: Uploads::default(),
            options: RegistryOptions {
                page: options.page.max(1),
            },
            folder: folder.to_owned(),
        })))
    }

    /// Says whether a path is the registry's.
    pub(crate) fn has_path(path: &str) -> bool {
        path == "/v2" || path.starts_with(BASE_PATH)
    }

    /// Answers a request, whatever host it names. What the answer leaves unread of the body stays in it.
    pub(crate) async fn answer(
        &self,
        head: &request::Parts,
        body: &mut Received,
    ) -> http::Response<Body> {
        let answered = self.0.answer(head, body).await;
        let mut response = answered.unwrap_or_else(Refused::into_response);
        let length = hyper::body::Body::size_hint(response.body()).exact();
        let headers = response.headers_mut();
        headers.insert(
            DOCKER_DISTRIBUTION_API_VERSION,
            HeaderValue::from_static(API_VERSION),
        );
        // spec: RFC 9110 §8.6: no length beside 204.
        if let Some(length) = length.filter(|_| response.status() != StatusCode::NO_CONTENT) {
            let length = HeaderValue::from(length);
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length);
        }
        if head.method == Method::HEAD {
            *response.body_mut() = Body::Whole(bytes::Bytes::new());
        }
        response
    }
}

impl Rooms {
    async fn answer(
        &self,
        head: &request::Parts,
        body: &mut Received,
    ) -> Result<http::Response<Body>, Refused> {
        let (path, query) = (head.uri.path(), Query::parse(head.uri.query()));
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        // Programs send no Origin with what they write; a page in somebody's browser does, wherever it came from.
        if !is_read && head.headers.contains_key(header::ORIGIN) {
            let message = "pages in a browser may not write here";
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                RefusalCode::Denied,
                message,
            ));
        }
        match Endpoint::parse(path)? {
            Endpoint::Base if is_read => Ok(base()),
            Endpoint::Blob(repository, digest) => match head.method {
                Method::GET | Method::HEAD => self.read_blob(repository, digest, head).await,
                Method::DELETE => self.delete_blob(repository, digest).await,
                _ => Err(wrong_method(head)),
            },
            Endpoint::Catalog if is_read => self.list_repositories(&query).await,
            Endpoint::Manifest(repository, reference) => match head.method {
                Method::GET | Method::HEAD => self.read_manifest(repository, reference).await,
                Method::PUT => self.put_manifest(repository, reference, head, body).await,
                Method::DELETE => self.delete_manifest(repository, reference).await,
                _ => Err(wrong_method(head)),
            },
            Endpoint::Referrers(repository, subject) if is_read => {
                self.list_referrers(repository, subject, &query).await
            }
            Endpoint::Tags(repository) if is_read => self.list_tags(repository, &query).await,
            Endpoint::Upload(repository, upload) => match head.method {
                Method::GET | Method::HEAD => self.upload_status(repository, upload),
                Method::PATCH => self.add_to_upload(repository, upload, head, body).await,
                Method::PUT => {
                    self.finish_upload(repository, upload, &query, head, body)
                        .await
                }
                Method::DELETE => self.cancel_upload(repository, upload),
                _ => Err(wrong_method(head)),
            },
            Endpoint::Uploads(repository) if head.method == Method::POST => {
                self.begin_upload(repository, &query, head, body).await
            }
            _ => Err(wrong_method(head)),
        }
    }

    /// Does what waits for the disk where nobody else waits for it.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let store = Arc::clone(&self.store);
        let worked = tokio::task::spawn_blocking(move || work(&store)).await;
        worked.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }
}

impl Transport for Registry {
    fn send(&self, request: Request) -> Sending<'_> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let host = head.uri.authority().map(ToString::to_string);
            let response = self.answer(&head, &mut Received::Whole(body)).await;
            let (head, body) = response.into_parts();
            let host = host.unwrap_or_default();
            let body = body
                .whole(MAX_WHOLE as u64)
                .await
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::FileTooLarge => TransportError::TooLarge {
                        host,
                        limit: MAX_WHOLE,
                    },
                    _ => TransportError::Closed { host },
                })?;
            Ok(http::Response::from_parts(head, body))
        })
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("folder", &self.0.folder)
            .finish_non_exhaustive()
    }
}

fn base() -> http::Response<Body> {
    let mut response = http::Response::new(Body::Whole(bytes::Bytes::from_static(b"{}")));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn wrong_method(head: &request::Parts) -> Refused {
    let message = format!("{} does not take {}", head.uri.path(), head.method);
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        RefusalCode::Unsupported,
        message,
    )
}
