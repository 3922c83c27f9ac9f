//! Where in a tar file each piece of a layout stands, found in one pass over the headers.
//!
//! Nothing is unpacked: names are compared with the few that a layout has, never used as paths.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use stella_bundle::digest::{Digest, DigestAlgorithm};

use super::super::error::{LayoutError, failed};
use super::super::folder::{INDEX, MAX_VERSION, OCI_LAYOUT};
use super::super::index::MAX_INDEX;
use super::EntryProblem;
use super::header::{self, BLOCK, Extension, Header, Kind, MAX_EXTENSION};

/// Entries of one tar file.
const MAX_ENTRIES: usize = 1_000_000;
/// How compressed files begin: gzip, zstd, xz, bzip2.
const COMPRESSED: [&[u8]; 4] = [
    &[0x1f, 0x8b],
    &[0x28, 0xb5, 0x2f, 0xfd],
    &[0xfd, b'7', b'z', b'X', b'Z', 0],
    b"BZh",
];

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where it begins.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// What a tar file has of a layout.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The blobs.
    pub(super) blobs: HashMap<Digest, Extent>,
    /// The blobs in the order in which they stand, each with the end of its entry.
    pub(super) order: Vec<(Digest, u64)>,
    /// `index.json`.
    pub(super) index: Option<Extent>,
    /// `oci-layout`.
    pub(super) version: Option<Extent>,
    /// Where the entries before the first blob end.
    pub(super) head: u64,
    /// `docker save`'s own index.
    pub(super) has_docker_manifest: bool,
    /// The first link or device: refused, unless the file is something else altogether.
    pub(super) refused: Option<LayoutError>,
}

/// What to do with an entry that the file's end cuts off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TornEnd {
    /// It is what a killed run left.
    Drop,
    /// It is damage.
    Refuse,
}

/// A pass over the headers.
struct Scan<'a> {
    file: &'a mut File,
    path: &'a Path,
    length: u64,
    at: u64,
    contents: Contents,
}

impl Contents {
    /// Finds the pieces of a layout.
    pub(super) fn scan(file: &mut File, path: &Path, torn: TornEnd) -> Result<Self, LayoutError> {
        let length = file.metadata().map_err(failed("read", path))?.len();
        let mut scan = Scan {
            file,
            path,
            length,
            at: 0,
            contents: Self::default(),
        };
        scan.require_uncompressed()?;
        let entries = scan.entries();
        let is_torn = match &entries {
            Err(LayoutError::Entry { problem, .. }) => {
                // A file that does not even begin as ours is not ours to cut off.
                scan.contents.version.is_some() || matches!(problem, EntryProblem::Torn { .. })
            }
            _ => false,
        };
        if !(is_torn && torn == TornEnd::Drop) {
            entries?;
        }
        Ok(scan.contents)
    }
}

impl Scan<'_> {
    fn require_uncompressed(&mut self) -> Result<(), LayoutError> {
        let mut start = Vec::new();
        let begin = self.file.rewind();
        let read = begin.and_then(|()| self.file.take(8).read_to_end(&mut start));
        read.map_err(failed("read", self.path))?;
        if COMPRESSED.iter().any(|magic| start.starts_with(magic)) {
            let path = self.path.to_owned();
            return Err(LayoutError::Compressed { path });
        }
        Ok(())
    }

    fn entries(&mut self) -> Result<(), LayoutError> {
        let mut extension = Extension::default();
        for _ in 0..MAX_ENTRIES {
            if self.at == self.length {
                return Ok(());
            }
            let Some(mut header) = self.header()? else {
                return Ok(());
            };
            if let Some(size) = extension.size {
                header.size = size;
            }
            let name = extension.name.take().unwrap_or_else(|| header.name.clone());
            let refused = |problem| self.refused(&name, problem);
            let content = Extent {
                offset: self.at,
                size: header.size,
            };
            let end = content.offset.checked_add(padded(content.size));
            let end = end.filter(|end| *end <= self.length).ok_or_else(|| {
                refused(EntryProblem::Torn {
                    expected: content.size,
                    found: self.length - self.at,
                })
            })?;
            match header.kind {
                Kind::PaxNext | Kind::PaxGlobal | Kind::LongName | Kind::LongTarget => {
                    extension = self.extension(&header, content, extension)?;
                }
                Kind::File | Kind::Folder | Kind::Other(_) => {
                    extension = Extension::default();
                    let kind = header.kind;
                    self.piece(&name, kind, content, end)?;
                }
            }
            self.at = end;
        }
        Err(LayoutError::TooMany {
            path: self.path.to_owned(),
            what: "entries",
            limit: MAX_ENTRIES,
        })
    }

    /// Reads the header here and goes behind it.
    fn header(&mut self) -> Result<Option<Header>, LayoutError> {
        let rest = self.length - self.at;
        if rest < BLOCK as u64 {
            return Err(self.refused(
                b"",
                EntryProblem::Torn {
                    expected: BLOCK as u64,
                    found: rest,
                },
            ));
        }
        let mut block = [0; BLOCK];
        self.read(self.at, &mut block)?;
        let name = block.split(|byte| *byte == 0).next().unwrap_or_default();
        let header = header::parse(&block).map_err(|problem| self.refused(name, problem))?;
        self.at += BLOCK as u64;
        Ok(header)
    }

    /// Reads what is said before an entry.
    fn extension(
        &mut self,
        header: &Header,
        content: Extent,
        mut known: Extension,
    ) -> Result<Extension, LayoutError> {
        let refused = |problem| self.refused(&header.name, problem);
        if content.size > MAX_EXTENSION {
            return Err(refused(EntryProblem::Extension));
        }
        let mut bytes = vec![0; usize::try_from(content.size).unwrap_or_default()];
        self.read(content.offset, &mut bytes)?;
        let refused = |problem| self.refused(&header.name, problem);
        match header.kind {
            Kind::LongName => known.name = Some(header::parse_long_name(&bytes)),
            Kind::PaxNext => {
                let said = header::parse_pax(&bytes).map_err(refused)?;
                known.name = said.name.or(known.name);
                known.size = said.size.or(known.size);
            }
            // One name or size for all later entries is nobody's honest archive.
            Kind::PaxGlobal
                if header::parse_pax(&bytes).map_err(refused)? != Extension::default() =>
            {
                return Err(self.refused(&header.name, EntryProblem::Extension));
            }
            // The target matters only to links, which are refused.
            _ => {}
        }
        Ok(known)
    }

    /// Notes an entry if it is a piece of a layout; plain files beside the layout are nobody's concern.
    fn piece(
        &mut self,
        raw: &[u8],
        kind: Kind,
        content: Extent,
        end: u64,
    ) -> Result<(), LayoutError> {
        let Some(name) = plain(raw) else {
            return Err(self.refused(raw, EntryProblem::Name));
        };
        match kind {
            Kind::Other(flag) => {
                let refused = self.refused(raw, EntryProblem::Kind(flag));
                self.contents.refused.get_or_insert(refused);
                return Ok(());
            }
            Kind::Folder => {
                self.skip_head(end);
                return Ok(());
            }
            _ => {}
        }
        let known = match name {
            INDEX => self.contents.index,
            OCI_LAYOUT => self.contents.version,
            _ => None,
        };
        if let Some(known) = known {
            return self.require_same(raw, known, content);
        }
        match name {
            INDEX => self.contents.index = Some(self.small(raw, content, MAX_INDEX)?),
            OCI_LAYOUT => {
                self.contents.version = Some(self.small(raw, content, MAX_VERSION)?);
                self.skip_head(end);
            }
            "manifest.json" => self.contents.has_docker_manifest = true,
            name => {
                let Some(digest) = blob_digest(name) else {
                    return Ok(());
                };
                if let Some(known) = self.contents.blobs.get(&digest) {
                    // Of two equal long ones either will do: whoever reads compares the digest.
                    return match known.size == content.size {
                        true => Ok(()),
                        false => Err(self.refused(raw, EntryProblem::Duplicate)),
                    };
                }
                self.contents.blobs.insert(digest.clone(), content);
                self.contents.order.push((digest, end));
            }
        }
        Ok(())
    }

    fn skip_head(&mut self, end: u64) {
        if self.contents.order.is_empty() {
            self.contents.head = end;
        }
    }

    fn small(&self, raw: &[u8], content: Extent, limit: usize) -> Result<Extent, LayoutError> {
        if content.size > limit as u64 {
            return Err(self.refused(raw, EntryProblem::TooLarge { limit }));
        }
        Ok(content)
    }

    fn require_same(&mut self, raw: &[u8], one: Extent, other: Extent) -> Result<(), LayoutError> {
        if one.size == other.size {
            // Both are within their bound, since the first is.
            let length = usize::try_from(one.size).unwrap_or_default();
            let (mut first, mut second) = (vec![0; length], vec![0; length]);
            self.read(one.offset, &mut first)?;
            self.read(other.offset, &mut second)?;
            if first == second {
                return Ok(());
            }
        }
        Err(self.refused(raw, EntryProblem::Duplicate))
    }

    fn read(&mut self, from: u64, bytes: &mut [u8]) -> Result<(), LayoutError> {
        read_at(self.file, from, bytes).map_err(failed("read", self.path))
    }

    fn refused(&self, name: &[u8], problem: EntryProblem) -> LayoutError {
        LayoutError::Entry {
            path: self.path.to_owned(),
            entry: String::from_utf8_lossy(name).into_owned(),
            problem,
        }
    }
}

/// Fills `bytes` from an offset on.
pub(super) fn read_at(file: &mut File, from: u64, bytes: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    file.read_exact(bytes)
}

/// Returns the length of content with its padding.
pub(super) const fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64)
}

/// Returns a name without `./` before it and `/` behind it; none when it could lead anywhere else.
fn plain(name: &[u8]) -> Option<&str> {
    let mut name = str::from_utf8(name).ok()?;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    let name = name.strip_suffix('/').unwrap_or(name);
    let is_plain = |part: &str| !part.is_empty() && part != ".." && !part.contains(['\\', '\0']);
    // The folder itself, `./`, has no name.
    let is_fine = name.is_empty() || name == "." || name.split('/').all(is_plain);
    is_fine.then_some(name)
}

/// Returns the digest of `blobs/<algorithm>/<hex>`.
fn blob_digest(name: &str) -> Option<Digest> {
    let (algorithm, digits) = name.strip_prefix("blobs/")?.split_once('/')?;
    Digest::from_hex(DigestAlgorithm::from_name(algorithm)?, digits)
}
