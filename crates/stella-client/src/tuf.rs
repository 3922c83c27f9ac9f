//! A walk over a TUF repository: from the root that is trusted to the files that are published now.
//!
//! What may be believed is decided by `stella_bundle::tuf`, step by step; keeping what was believed is the caller's.

use bytes::Bytes;
use http::{Method, StatusCode};
use stella_bundle::time::UnixTime;
use stella_bundle::tuf::{OnlineKeys, Role, Root, Snapshot, Targets, Timestamp, TufError};
use stella_wire::limits;
use stella_wire::transport::Transport;

use crate::error::{ClientError, Service, TrustProblem};
use crate::exchange;
use crate::trust;

/// The most new roots that one walk follows, as python-tuf has it; the public root changed 14 times in five years.
pub const MAX_ROOTS: u64 = 256;

/// What was believed of a repository, as exact bytes: the next walk begins there and never goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// The newest root.
    pub root: Vec<u8>,
    /// The timestamp, once one was believed.
    pub timestamp: Option<Vec<u8>>,
    /// The snapshot, likewise.
    pub snapshot: Option<Vec<u8>>,
    /// The targets metadata, likewise.
    pub targets: Option<Vec<u8>>,
}

impl Believed {
    /// Begins with a root that came from a trusted place.
    #[must_use]
    pub const fn from_root(root: Vec<u8>) -> Self {
        Self {
            root,
            timestamp: None,
            snapshot: None,
            targets: None,
        }
    }
}

/// A repository whose metadata was walked and is believed.
#[derive(Debug)]
pub struct Repository<'a> {
    base: &'a str,
    root: Root,
    targets: Targets,
}

/// Walks the repository at `base` and brings `believed` forward; what was believed stays there also when a later step
/// fails, so that the root never goes back.
///
/// # Errors
///
/// `Address`, `Trust` for plain http off the loopback and for metadata that is not to be believed; `Unavailable`,
/// `AccessRefused`, `Refused`, `Answer`.
pub async fn walk<'a>(
    transport: &dyn Transport,
    base: &'a str,
    believed: &mut Believed,
    now: UnixTime,
) -> Result<Repository<'a>, ClientError> {
    // Metadata is signed; yet who answers in between can hold it back, and who reads along learns what is trusted.
    trust::require_https(base)?;
    // 1. The roots, one after the other.
    let root = walk_roots(transport, base, believed).await?;
    root.require_current(now).map_err(TrustProblem::Tuf)?;
    // 2. The timestamp, which is always asked for.
    let before = believed.timestamp.as_deref();
    let before = before.and_then(|bytes| root.remembered_timestamp(bytes).ok());
    let limit = Role::Timestamp.limit();
    let bytes = get(transport, &join(base, "timestamp.json"), limit).await?;
    let timestamp = root.timestamp(&bytes, before.as_ref(), now);
    let timestamp = timestamp.map_err(TrustProblem::Tuf)?;
    believed.timestamp = Some(timestamp.bytes().to_vec());
    // 3. The snapshot that it names, and the targets that the snapshot names; each is fetched only when it is new.
    let snapshot = walk_snapshot(transport, base, &root, &timestamp, believed, now).await?;
    believed.snapshot = Some(snapshot.bytes().to_vec());
    let targets = walk_targets(transport, base, &root, &snapshot, believed, now).await?;
    believed.targets = Some(targets.bytes().to_vec());
    Ok(Repository {
        base,
        root,
        targets,
    })
}

impl Repository<'_> {
    /// Fetches a published file and holds it to the length and hashes that the metadata names. None when the
    /// metadata names no such file.
    ///
    /// # Errors
    ///
    /// `Trust` for another file than is named, or a file larger than any trust file; and as for [`walk`].
    pub async fn fetch(
        &self,
        transport: &dyn Transport,
        name: &str,
    ) -> Result<Option<Bytes>, ClientError> {
        let Ok(record) = self.targets.find(name) else {
            return Ok(None);
        };
        let unknown = || TufError::UnknownHash {
            name: name.to_owned(),
        };
        let path = if self.root.is_consistent() {
            let hash = record.hash_in_name();
            let hash = hash.ok_or_else(|| TrustProblem::Tuf(unknown()))?;
            format!("targets/{hash}.{name}")
        } else {
            format!("targets/{name}")
        };
        let limit = bounded(Some(record.length), limits::TRUST_ANSWER);
        let bytes = get(transport, &join(self.base, &path), limit).await?;
        record.require(name, &bytes).map_err(TrustProblem::Tuf)?;
        Ok(Some(bytes))
    }
}

async fn walk_roots(
    transport: &dyn Transport,
    base: &str,
    believed: &mut Believed,
) -> Result<Root, ClientError> {
    let mut root = Root::trust(&believed.root).map_err(TrustProblem::Tuf)?;
    for _ in 0..MAX_ROOTS {
        let next = format!("{}.root.json", root.version().saturating_add(1));
        let answer = get(transport, &join(base, &next), Role::Root.limit()).await;
        let bytes = match answer {
            Ok(bytes) => bytes,
            // spec: TUF §5.3.3: no next root ends the chain; stores answer 403 for what is not there.
            Err(error) if is_absent(&error) => return Ok(root),
            Err(error) => return Err(error),
        };
        let keys = root.advance(&bytes).map_err(TrustProblem::Tuf)?;
        believed.root = root.bytes().to_vec();
        // spec: TUF §5.3.11: recovery from versions that a thief of the old keys drove up.
        if keys == OnlineKeys::Rotated {
            believed.timestamp = None;
            believed.snapshot = None;
        }
    }
    Err(TrustProblem::Tuf(TufError::TooManyRoots { limit: MAX_ROOTS }).into())
}

async fn walk_snapshot(
    transport: &dyn Transport,
    base: &str,
    root: &Root,
    timestamp: &Timestamp,
    believed: &Believed,
    now: UnixTime,
) -> Result<Snapshot, ClientError> {
    let held = believed.snapshot.as_deref();
    if let Some(bytes) = held
        && let Ok(snapshot) = root.snapshot(bytes, timestamp, None, now)
    {
        return Ok(snapshot);
    }
    let before = held.and_then(|bytes| root.remembered_snapshot(bytes).ok());
    let record = timestamp.snapshot();
    let address = metadata(base, root, Role::Snapshot, record.version);
    let limit = bounded(record.length, Role::Snapshot.limit());
    let bytes = get(transport, &address, limit).await?;
    let snapshot = root.snapshot(&bytes, timestamp, before.as_ref(), now);
    Ok(snapshot.map_err(TrustProblem::Tuf)?)
}

async fn walk_targets(
    transport: &dyn Transport,
    base: &str,
    root: &Root,
    snapshot: &Snapshot,
    believed: &Believed,
    now: UnixTime,
) -> Result<Targets, ClientError> {
    if let Some(bytes) = &believed.targets
        && let Ok(targets) = root.targets(bytes, snapshot, now)
    {
        return Ok(targets);
    }
    let record = snapshot.targets();
    let address = metadata(base, root, Role::Targets, record.version);
    let limit = bounded(record.length, Role::Targets.limit());
    let bytes = get(transport, &address, limit).await?;
    let targets = root.targets(&bytes, snapshot, now);
    Ok(targets.map_err(TrustProblem::Tuf)?)
}

/// Returns the address of a role's metadata; its name carries the version where snapshots are consistent.
fn metadata(base: &str, root: &Root, role: Role, version: u64) -> String {
    if root.is_consistent() {
        join(base, &format!("{version}.{role}.json"))
    } else {
        join(base, &format!("{role}.json"))
    }
}

fn join(base: &str, path: &str) -> String {
    exchange::join(base, &format!("/{path}"))
}

/// Returns the length that is named, or the bound when that is less.
fn bounded(named: Option<u64>, bound: usize) -> usize {
    named
        .and_then(|length| usize::try_from(length).ok())
        .map_or(bound, |length| length.min(bound))
}

async fn get(transport: &dyn Transport, address: &str, limit: usize) -> Result<Bytes, ClientError> {
    let service = Service::Trust;
    let request = exchange::request(service, Method::GET, address, Bytes::new())?;
    let answer = exchange::send(transport, service, request, limit).await?;
    Ok(answer.into_body())
}

fn is_absent(error: &ClientError) -> bool {
    let absent = [
        StatusCode::NOT_FOUND.as_u16(),
        StatusCode::FORBIDDEN.as_u16(),
    ];
    match error {
        ClientError::Refused { status, .. } | ClientError::AccessRefused { status, .. } => {
            absent.contains(status)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
