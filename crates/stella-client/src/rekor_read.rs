//! Rekor v2, read: the signed checkpoint, and every entry under it.
//!
//! What a log shows is believed only as far as it hashes to what it signed: whoever reads all entries recomputes the root.

use bytes::Bytes;
use http::Method;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::Trust;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash;
use stella_tlog::tile::{self, TILE_WIDTH, TileKind, TilePath};
use stella_tlog::tree::Frontier;
use stella_wire::rekor::READ_PATH;
use stella_wire::transport::Transport;

use crate::Rekor;
use crate::error::{ClientError, EntryProblem, Service};
use crate::exchange;

/// Bytes of a checkpoint with its signatures.
pub(crate) const MAX_CHECKPOINT: usize = 64 << 10;
/// Bytes of an entry bundle: 256 entries of at most 64 KiB.
const MAX_BUNDLE: usize = 17 << 20;

impl Rekor {
    /// Returns the log's newest checkpoint, signed by a log of `trust` in service at `now`.
    ///
    /// # Errors
    /// `Unavailable`, `Refused`, `Answer`; `Entry` when nobody who is trusted signed it.
    pub async fn checkpoint(
        &self,
        transport: &dyn Transport,
        trust: &Trust,
        now: UnixTime,
    ) -> Result<Checkpoint, ClientError> {
        Ok(self.head(transport, trust, now).await?.checkpoint)
    }

    /// Hands every entry of the tree under a checkpoint to `each`, in order, as the log records it, and requires that
    /// together they are that tree: nothing can have been left out or changed.
    ///
    /// # Errors
    /// `Unavailable`, `Refused`; `Entry` when what was read is not the tree that was signed. What `each` saw until then
    /// counts for nothing.
    pub async fn entries(
        &self,
        transport: &dyn Transport,
        checkpoint: &Checkpoint,
        mut each: impl FnMut(u64, &[u8]),
    ) -> Result<(), ClientError> {
        let size = checkpoint.size.0;
        let mut tree = Frontier::default();
        let mut index = 0;
        while index < size {
            let width = (size - index).min(u64::from(TILE_WIDTH));
            let bundle = self
                .bundle(transport, index / u64::from(TILE_WIDTH), width)
                .await?;
            let entries = tile::entries(&bundle).map_err(|_| EntryProblem::NotTheTree)?;
            if entries.len() as u64 != width {
                return Err(EntryProblem::NotTheTree.into());
            }
            for entry in entries {
                tree.append(hash::leaf(entry), |_, _, _| {});
                each(index, entry);
                index += 1;
            }
        }
        match tree.root() == checkpoint.root {
            true => Ok(()),
            false => Err(EntryProblem::NotTheTree.into()),
        }
    }

    /// Reads an entry bundle.
    pub(crate) async fn bundle(
        &self,
        transport: &dyn Transport,
        index: u64,
        width: u64,
    ) -> Result<Bytes, ClientError> {
        let tile = TilePath {
            kind: TileKind::Entries,
            index,
            width: u16::try_from(width).unwrap_or(TILE_WIDTH),
        };
        self.tile(transport, tile, MAX_BUNDLE).await
    }

    /// Reads a tile. Only the last one is partial.
    pub(crate) async fn tile(
        &self,
        transport: &dyn Transport,
        tile: TilePath,
        limit: usize,
    ) -> Result<Bytes, ClientError> {
        self.read(transport, &format!("{READ_PATH}{tile}"), limit)
            .await
    }

    pub(crate) async fn read(
        &self,
        transport: &dyn Transport,
        path: &str,
        limit: usize,
    ) -> Result<Bytes, ClientError> {
        let (service, address) = (Service::Rekor, exchange::join(self.base(), path));
        let request = exchange::request(service, Method::GET, &address, Bytes::new())?;
        let answer = exchange::send(transport, service, request, limit).await?;
        Ok(answer.into_body())
    }
}
