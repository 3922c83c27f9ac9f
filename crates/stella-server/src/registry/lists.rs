//! Lists in pages: tags, repositories, referrers (distribution spec, "Content Discovery").

use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use stella_bundle::digest::Digest;
use stella_wire::registry::manifest::media;
use stella_wire::registry::{
    CATALOG_PATH, Descriptor, Manifest, OCI_FILTERS_APPLIED, TagList, referrers_path, tags_path,
    write_next,
};
use url::form_urlencoded::Serializer;

use super::Rooms;
use super::blobs::insert;
use super::body::Body;
use super::refused::Refused;
use super::route::Query;
use super::store::Store;

/// Bytes of descriptors after which a page ends: a client reads at most 4 MiB.
const PAGE_BYTES: usize = 2 << 20;

impl Rooms {
    pub(crate) async fn list_tags(
        &self,
        repository: &str,
        query: &Query,
    ) -> Result<http::Response<Body>, Refused> {
        let name = repository.to_owned();
        let tags = self.on_disk(move |store| {
            let repository = store.repository(&name);
            if !repository.exists()? {
                return Err(Refused::name_unknown(&name));
            }
            Ok(repository.tags()?)
        });
        let (tags, next) = self.page(tags.await?, query, &tags_path(repository))?;
        let list = TagList {
            name: repository.to_owned(),
            tags,
        };
        Ok(listing("application/json", list.to_bytes(), next))
    }

    pub(crate) async fn list_repositories(
        &self,
        query: &Query,
    ) -> Result<http::Response<Body>, Refused> {
        #[derive(Serialize)]
        struct Catalog {
            repositories: Vec<String>,
        }
        let names = self.on_disk(|store| Ok(store.repositories()?)).await?;
        let (repositories, next) = self.page(names, query, CATALOG_PATH)?;
        // Strings into memory cannot fail.
        let body = serde_json::to_vec(&Catalog { repositories }).unwrap_or_default();
        Ok(listing("application/json", body, next))
    }

    pub(crate) async fn list_referrers(
        &self,
        repository: &str,
        subject: Digest,
        query: &Query,
    ) -> Result<http::Response<Body>, Refused> {
        // A type has no space: some clients leave its plus sign as it is.
        let filter = query.value("artifactType").map(|it| it.replace(' ', "+"));
        let filter = filter.filter(|filter| !filter.is_empty());
        let path = referrers_path(repository, &subject);
        let asked = Asked {
            repository: repository.to_owned(),
            subject,
            filter: filter.clone(),
            last: query.digest("last")?,
            most: self.most(query)?.max(1),
        };
        let (page, last) = self.on_disk(move |store| asked.find(store)).await?;
        let next = last.map(|last| {
            let mut query = Serializer::new(String::new());
            if let Some(filter) = &filter {
                query.append_pair("artifactType", filter);
            }
            query.append_pair("last", &last.to_string());
            format!("{path}?{}", query.finish())
        });
        let index = Manifest::index(media::INDEX.to_owned(), page);
        let mut response = listing(media::INDEX, index.to_bytes(), next);
        if filter.is_some() {
            response.headers_mut().insert(
                HeaderName::from_static(OCI_FILTERS_APPLIED),
                HeaderValue::from_static("artifactType"),
            );
        }
        Ok(response)
    }

    /// Returns how many entries a page has at most.
    fn most(&self, query: &Query) -> Result<usize, Refused> {
        let page = self.options.page;
        Ok(query.page()?.map_or(page, |asked| asked.min(page)))
    }

    /// Cuts a page from a sorted list; returns the address of the next one with it.
    fn page(
        &self,
        mut sorted: Vec<String>,
        query: &Query,
        path: &str,
    ) -> Result<(Vec<String>, Option<String>), Refused> {
        let most = self.most(query)?;
        if let Some(last) = query.value("last") {
            sorted.retain(|entry| entry.as_str() > last);
        }
        let goes_on = sorted.len() > most;
        sorted.truncate(most);
        // spec: n=0 is an empty list, and not the first of many.
        let last = sorted.last().filter(|_| goes_on);
        let next = last.map(|last| {
            let mut query = Serializer::new(String::new());
            query.append_pair("n", &most.to_string());
            query.append_pair("last", last);
            format!("{path}?{}", query.finish())
        });
        Ok((sorted, next))
    }
}

/// Which referrers are asked for.
struct Asked {
    repository: String,
    subject: Digest,
    filter: Option<String>,
    last: Option<Digest>,
    most: usize,
}

impl Asked {
    /// Returns a page, and its last entry when it is not the last page. A subject that nobody knows has no referrers.
    fn find(&self, store: &Store) -> Result<(Vec<Descriptor>, Option<Digest>), Refused> {
        let repository = store.repository(&self.repository);
        let (mut page, mut length) = (Vec::<Descriptor>::new(), 0);
        for digest in repository.referrers(&self.subject)? {
            if self.last.as_ref().is_some_and(|last| digest <= *last) {
                continue;
            }
            let Some(found) = repository.listed(&self.subject, &digest)? else {
                continue;
            };
            if self.filter.is_some() && self.filter != found.artifact_type {
                continue;
            }
            length += serde_json::to_vec(&found).map_or(0, |bytes| bytes.len());
            let is_full = page.len() == self.most || length > PAGE_BYTES;
            if let Some(last) = page.last().filter(|_| is_full) {
                let last = last.digest.clone();
                return Ok((page, Some(last)));
            }
            page.push(found);
        }
        Ok((page, None))
    }
}

fn listing(media_type: &'static str, body: Vec<u8>, next: Option<String>) -> http::Response<Body> {
    let mut response = http::Response::new(Body::Whole(body.into()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(next) = next {
        insert(headers, header::LINK, &write_next(&next));
    }
    response
}
