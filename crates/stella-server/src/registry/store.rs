//! What the registry's files mean: contents by digest, shared by all repositories, and what each repository has of them.
//!
//! ```text
//! blobs/<algorithm>/<hex>                                content: a blob or a manifest
//! repositories/<name>/_blobs/<algorithm>-<hex>           empty: the repository has this blob
//! repositories/<name>/_manifests/<algorithm>-<hex>       the repository has this manifest, of the media type inside
//! repositories/<name>/_referrers/<subject>/<manifest>    how lists of the subject's referrers show the manifest
//! repositories/<name>/_tags/<tag>                        the digest of a manifest
//! ```
//!
//! A part of a repository's name never begins with `_`. Adding conflicts with nothing and is done by many at once;
//! taking away is done alone, so that nothing goes between the look and the deed of another.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_wire::registry::attachment::{as_listed, fallback_tag};
use stella_wire::registry::{Descriptor, MAX_MANIFEST, Manifest, RawManifest, is_tag};

use super::files::{Files, Temporary};

const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const REFERRERS: &str = "_referrers";
const TAGS: &str = "_tags";

const CONTENTS: &str = "blobs";
const REPOSITORIES: &str = "repositories";

/// Bytes of a media type or of a digest.
const MAX_WORD: usize = 1 << 10;
/// A descriptor of more bytes is listed without its annotations, which the manifest has: a page must fit its bound.
const MAX_LISTED: usize = 512 << 10;

/// All repositories.
pub(crate) struct Store {
    files: Files,
    gate: RwLock<()>,
}

impl Store {
    pub(crate) const fn new(files: Files) -> Self {
        Self {
            files,
            gate: RwLock::new(()),
        }
    }

    /// Lets others add at the same time, and nobody take away.
    pub(crate) fn adding(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps everybody else from adding and from taking away.
    pub(crate) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a repository by its name, which the caller has seen to be one.
    pub(crate) fn repository(&self, name: &str) -> Repository<'_> {
        Repository {
            files: &self.files,
            folder: Path::new(REPOSITORIES).join(name),
        }
    }

    /// Lists the repositories that ever had a manifest, sorted.
    pub(crate) fn repositories(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        self.each_repository(&mut |repository| {
            if repository.exists()? {
                found.push(repository.name());
            }
            Ok(())
        })?;
        found.sort();
        Ok(found)
    }

    /// Begins a content whose digest is not known yet.
    pub(crate) fn temporary(&self) -> io::Result<Temporary> {
        self.files.temporary()
    }

    /// Takes a finished content under its digest, which the caller has computed.
    pub(crate) fn settle(&self, content: Temporary, digest: &Digest) -> io::Result<()> {
        // It takes the place of an equal one: should that be damaged, it is mended now.
        self.files.settle(content, &content_path(digest))
    }

    /// Opens a content; none when it is absent.
    pub(crate) fn content(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let Some(file) = self.files.open_file(&content_path(digest))? else {
            return Ok(None);
        };
        let length = file.metadata()?.len();
        Ok(Some((file, length)))
    }

    /// Removes the contents that no repository has. Nobody else may be there: it runs when the registry is opened.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        let mut wanted = BTreeSet::new();
        self.each_repository(&mut |repository| {
            for kind in [BLOBS, MANIFESTS] {
                let folder = repository.folder.join(kind);
                wanted.extend(digests(&self.files.names(&folder)?));
            }
            Ok(())
        })?;
        for algorithm in DigestAlgorithm::ALL {
            let folder = Path::new(CONTENTS).join(algorithm.name());
            for name in self.files.names(&folder)? {
                let digest = Digest::from_hex(algorithm, &name);
                if digest.is_some_and(|digest| !wanted.contains(&digest)) {
                    self.files.remove(&folder.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn each_repository(
        &self,
        visit: &mut dyn FnMut(&Repository<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut folders = vec![PathBuf::from(REPOSITORIES)];
        while let Some(folder) = folders.pop() {
            let names = self.files.names(&folder)?;
            let below = names.iter().filter(|name| !name.starts_with('_'));
            folders.extend(below.map(|name| folder.join(name)));
            if names.iter().any(|name| name.starts_with('_')) {
                let files = &self.files;
                visit(&Repository { files, folder })?;
            }
        }
        Ok(())
    }
}

/// What one repository has.
pub(crate) struct Repository<'a> {
    files: &'a Files,
    folder: PathBuf,
}

impl Repository<'_> {
    fn name(&self) -> String {
        let below = self.folder.strip_prefix(REPOSITORIES);
        below.unwrap_or(&self.folder).display().to_string()
    }

    /// Says whether the repository ever had a manifest.
    pub(crate) fn exists(&self) -> io::Result<bool> {
        self.files.has(&self.folder.join(MANIFESTS))
    }

    pub(crate) fn has_blob(&self, digest: &Digest) -> io::Result<bool> {
        self.files.has(&self.link(BLOBS, digest))
    }

    /// Says that the repository has a blob, whose content is there.
    pub(crate) fn add_blob(&self, digest: &Digest) -> io::Result<()> {
        self.files.create(&self.link(BLOBS, digest), b"")
    }

    /// Takes a blob from the repository; says whether it was there.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> io::Result<bool> {
        self.files.remove(&self.link(BLOBS, digest))
    }

    pub(crate) fn has_manifest(&self, digest: &Digest) -> io::Result<bool> {
        self.files.has(&self.link(MANIFESTS, digest))
    }

    /// Reads a manifest; none when the repository has none such. Content that is not what its name says is `InvalidData`.
    pub(crate) fn manifest(&self, digest: &Digest) -> io::Result<Option<RawManifest>> {
        let link = self.link(MANIFESTS, digest);
        let Some(media_type) = self.files.read(&link, MAX_WORD)? else {
            return Ok(None);
        };
        let content = self.files.read(&content_path(digest), MAX_MANIFEST)?;
        let content = content.filter(|content| digest.algorithm().digest(content) == *digest);
        let bytes = content.ok_or_else(|| damaged(&content_path(digest)))?;
        Ok(Some(RawManifest {
            media_type: String::from_utf8(media_type).map_err(|_| damaged(&link))?,
            digest: digest.clone(),
            bytes: Bytes::from(bytes),
        }))
    }

    /// Adds a manifest, whose digest the caller has computed, and shows it among its subject's referrers.
    pub(crate) fn add_manifest(&self, raw: &RawManifest, manifest: &Manifest) -> io::Result<()> {
        let digest = &raw.digest;
        // It takes the place of an equal one: should that be damaged, it is mended now.
        self.files.replace(&content_path(digest), &raw.bytes)?;
        self.files
            .replace(&self.link(MANIFESTS, digest), raw.media_type.as_bytes())?;
        let Some(subject) = &manifest.subject else {
            return Ok(());
        };
        let listed = listed(raw, manifest);
        self.files.create(
            &self.referrer(&subject.digest, digest),
            // Strings and numbers into memory cannot fail.
            &serde_json::to_vec(&listed).unwrap_or_default(),
        )
    }

    /// Takes a manifest from the repository, its tags first: a crash on the way leaves it to be deleted again.
    pub(crate) fn remove_manifest(&self, digest: &Digest) -> io::Result<()> {
        for tag in self.tags()? {
            if self.tagged(&tag)?.as_ref() == Some(digest) {
                self.remove_tag(&tag)?;
            }
        }
        // One that is damaged can be deleted too; lists pass over what is left of it.
        let raw = self.manifest(digest).ok().flatten();
        let manifest = raw.and_then(|raw| raw.parse().ok());
        if let Some(subject) = manifest.and_then(|manifest| manifest.subject) {
            self.files.remove(&self.referrer(&subject.digest, digest))?;
        }
        self.files.remove(&self.link(MANIFESTS, digest))?;
        Ok(())
    }

    /// Returns the tags, sorted.
    pub(crate) fn tags(&self) -> io::Result<Vec<String>> {
        let mut tags = self.files.names(&self.folder.join(TAGS))?;
        tags.retain(|tag| is_tag(tag));
        Ok(tags)
    }

    /// Returns the digest under a tag.
    pub(crate) fn tagged(&self, tag: &str) -> io::Result<Option<Digest>> {
        let path = self.folder.join(TAGS).join(tag);
        let Some(text) = self.files.read(&path, MAX_WORD)? else {
            return Ok(None);
        };
        let digest = std::str::from_utf8(&text).ok().and_then(Digest::parse);
        digest.map(Some).ok_or_else(|| damaged(&path))
    }

    /// Sets a tag, whatever it said before.
    pub(crate) fn tag(&self, tag: &str, digest: &Digest) -> io::Result<()> {
        let path = self.folder.join(TAGS).join(tag);
        self.files.replace(&path, digest.to_string().as_bytes())
    }

    /// Takes a tag away; says whether it was there.
    pub(crate) fn remove_tag(&self, tag: &str) -> io::Result<bool> {
        self.files.remove(&self.folder.join(TAGS).join(tag))
    }

    /// Returns the manifests that refer to `subject`: those that say so themselves, and those that the index under its
    /// fallback tag names, which clients keep that know no list of referrers.
    // spec: distribution spec, "Enabling the Referrers API".
    pub(crate) fn referrers(&self, subject: &Digest) -> io::Result<BTreeSet<Digest>> {
        let folder = self.folder.join(REFERRERS).join(fallback_tag(subject));
        let mut found = BTreeSet::from_iter(digests(&self.files.names(&folder)?));
        let index = match self.tagged(&fallback_tag(subject))? {
            Some(digest) => self.manifest(&digest)?,
            None => None,
        };
        let index = index.and_then(|index| index.parse().ok());
        for named in index.iter().flat_map(Manifest::manifests) {
            if self.has_manifest(&named.digest)? {
                found.insert(named.digest.clone());
            }
        }
        Ok(found)
    }

    /// Returns how a list shows one of [`Self::referrers`]; none when it has gone.
    pub(crate) fn listed(
        &self,
        subject: &Digest,
        manifest: &Digest,
    ) -> io::Result<Option<Descriptor>> {
        if !self.has_manifest(manifest)? {
            return Ok(None);
        }
        let entry = self.referrer(subject, manifest);
        let entry = self.files.read(&entry, MAX_MANIFEST)?;
        let kept = entry.and_then(|entry| serde_json::from_slice(&entry).ok());
        if kept.is_some() {
            return Ok(kept);
        }
        let raw = self.manifest(manifest)?;
        let read = raw.and_then(|raw| raw.parse().ok().map(|manifest| listed(&raw, &manifest)));
        Ok(read)
    }

    fn link(&self, kind: &str, digest: &Digest) -> PathBuf {
        self.folder.join(kind).join(fallback_tag(digest))
    }

    fn referrer(&self, subject: &Digest, manifest: &Digest) -> PathBuf {
        self.link(REFERRERS, subject).join(fallback_tag(manifest))
    }
}

fn listed(raw: &RawManifest, manifest: &Manifest) -> Descriptor {
    let mut listed = as_listed(manifest, raw.digest.clone(), raw.bytes.len() as u64);
    let length = serde_json::to_vec(&listed).map_or(0, |bytes| bytes.len());
    if length > MAX_LISTED {
        listed.annotations.clear();
    }
    listed
}

fn content_path(digest: &Digest) -> PathBuf {
    Path::new(CONTENTS)
        .join(digest.algorithm().name())
        .join(digest.hex())
}

/// Reads `<algorithm>-<hex>`; other names are not ours.
fn digests(names: &[String]) -> impl Iterator<Item = Digest> {
    names
        .iter()
        .filter_map(|name| Digest::parse(&name.replacen('-', ":", 1)))
}

fn damaged(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} is damaged", path.display()),
    )
}
