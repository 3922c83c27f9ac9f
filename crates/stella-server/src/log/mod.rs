//! The engine of a transparency log: entries in; places, proofs and signed checkpoints out; tiles for all who watch.
//!
//! One append, in the order that makes it safe (the code of it is `sequencer`):
//!
//! 1. All that waits is one batch; nothing waits for a timer.
//! 2. The batch is appended in memory (`edge`).
//! 3. **One record with the entries, the size and the root is written and synced (`record`, `segment`): the commit point.**
//! 4. The head is signed; with a quorum, the witnesses cosign it, and the cosigned note is recorded and synced (`publish`).
//! 5. Only now it is served, and those who wait are answered from memory (`state`).
//! 6. Complete tiles are written later, and the segments that they make needless go (`tiler`).
//!
//! A log is opened by `recovery`. What entries mean, who may add them and by which words, is for the services. The engine
//! trusts that nobody else writes to its disk: the instance holds a lock.

mod edge;
mod error;
mod format;
mod publish;
mod record;
pub(crate) mod recovery;
mod segment;
mod sequencer;
mod state;
mod tiler;

use std::future::Future;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use stella_bundle::time::UnixTime;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::Hash;
use stella_tlog::note::{KeyName, Note};
use stella_tlog::tree::{LeafIndex, TreeSize};
use tokio::sync::oneshot;

pub use error::{DiskOperation, EntryFault, LogError};
pub use format::{Entry, EntryFormat};
pub use publish::{Quorum, Witnesses};
pub use stella_keys::CheckpointSigner;
pub use tiler::Tiling;

use crate::disk::Disk;
use crate::fsck::Problem;
use error::During as _;
use publish::Publisher;
use sequencer::{Message, Sequencer, Waiting};
use state::{Published, Shared};
use tiler::Tiler;

/// The greatest number of requests that may wait; more are refused with [`LogError::Busy`].
const MAX_WAITING: usize = 4096;

/// The length of a segment once the log is busy: some thousand entries.
const SEGMENT_LIMIT: u64 = 16 * 1024 * 1024;

/// Makes an entry once its place is known. It runs while the log stands still, so it should be quick.
pub type Build = Box<dyn FnOnce(LeafIndex) -> Entry + Send>;

/// What a log is made of.
#[derive(Clone)]
pub struct LogOptions {
    /// The log's unique name, in each checkpoint.
    pub origin: KeyName,
    /// The format of its entries.
    pub format: EntryFormat,
    /// The keys that sign each checkpoint.
    pub signers: Vec<Arc<CheckpointSigner>>,
    /// Tells the time for signatures that hold one.
    pub now: Arc<dyn Fn() -> UnixTime + Send + Sync>,
    /// Who must cosign; nobody by default.
    pub quorum: Option<Quorum>,
    /// Who writes tiles; a thread by default.
    pub tiling: Tiling,
    /// The greatest ordinary length of a write-ahead segment in bytes.
    pub segment_limit: u64,
}

impl LogOptions {
    /// Takes what has no default.
    #[must_use]
    pub fn new(
        origin: KeyName,
        format: EntryFormat,
        signers: Vec<Arc<CheckpointSigner>>,
        now: Arc<dyn Fn() -> UnixTime + Send + Sync>,
    ) -> Self {
        Self {
            origin,
            format,
            signers,
            now,
            quorum: None,
            tiling: Tiling::default(),
            segment_limit: SEGMENT_LIMIT,
        }
    }
}

/// An entry's place in the served tree, with its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The entry's place.
    pub index: LeafIndex,
    /// The size of the served tree.
    pub size: TreeSize,
    /// Its root.
    pub root: Hash,
    /// The inclusion proof in it, from the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
    /// The checkpoint of that size, signed.
    pub checkpoint: Arc<str>,
    /// The entry's bytes.
    pub data: Bytes,
    /// Whether the entry was there already.
    pub duplicate: bool,
}

/// An open log. Clones are handles of the same log; when the last one goes, the log is closed.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    queue: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Opens the log on a disk, or starts one on an empty disk.
    ///
    /// Reads all leaf hashes and proves them (about one second for ten million entries), and makes whole what a crash left.
    /// With a quorum and no cosigned checkpoint on disk, the witnesses are asked first.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Disk`]; those of publishing, if there was nothing to serve yet.
    pub fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::new(disk, options.format));
        let origin = options.origin.as_str().to_owned();
        let recovered = recovery::recover(&shared, &origin)?;
        let note = match &options.quorum {
            Some(_) => take_up(&shared, recovered.note.as_deref())?,
            None => None,
        };
        let publisher = Publisher {
            origin,
            signers: options.signers,
            now: options.now,
            quorum: options.quorum,
        };
        let tiler = Tiler::start(options.tiling, &shared)?;
        let (queue, received) = mpsc::sync_channel(MAX_WAITING);
        let segment = (recovered.segment, options.segment_limit);
        let shared_too = Arc::clone(&shared);
        let mut sequencer = Sequencer::new(shared_too, publisher, segment, tiler, received);
        sequencer.resume(note)?;
        let thread = thread::Builder::new()
            .name("log sequencer".to_owned())
            .spawn(move || sequencer.run())
            .during(DiskOperation::Create, "thread")?;
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                queue,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// Appends an entry, or finds the one that is there.
    ///
    /// `identity` is the leaf hash by which a repeated entry is known; without it each call appends. The request is queued at
    /// once; dropping the future does not take it back.
    ///
    /// # Errors
    /// [`LogError::Busy`] (nothing queued); [`LogError::Entry`] (nothing appended); [`LogError::QuorumNotReached`],
    /// [`LogError::Witnesses`], [`LogError::Signing`] (appended and not served: the repeated call joins it);
    /// [`LogError::Disk`], [`LogError::Stopped`], [`LogError::Closed`] (nothing is known of the entry).
    pub fn append(
        &self,
        identity: Option<Hash>,
        build: Build,
    ) -> impl Future<Output = Result<Appended, LogError>> + Send + use<> {
        let mut appending = self.append_all(vec![(identity, build)]);
        async move {
            match appending.pop() {
                Some(appending) => appending.await,
                None => Err(LogError::Closed),
            }
        }
    }

    /// Appends entries as [`Log::append`] does, all of one batch as far as it has room; the answers are in the same order.
    pub fn append_all(
        &self,
        requests: Vec<(Option<Hash>, Build)>,
    ) -> Vec<impl Future<Output = Result<Appended, LogError>> + Send + use<>> {
        let mut queued = Vec::new();
        let mut asked = Vec::with_capacity(requests.len());
        for (identity, build) in requests {
            asked.push(match self.find(identity.as_ref()) {
                Ok(Some(known)) => Asked::Answered(Ok(known)),
                Err(error) => Asked::Answered(Err(error)),
                Ok(None) => {
                    let (answer, answered) = oneshot::channel();
                    queued.push(Waiting {
                        identity,
                        build,
                        answer,
                    });
                    Asked::Queued(answered)
                }
            });
        }
        let refused = match queued.is_empty() {
            true => None,
            false => self.queue(queued).err(),
        };
        let answer = |asked| answer(Arc::clone(&self.inner.shared), asked, refused.clone());
        asked.into_iter().map(answer).collect()
    }

    /// Answers at once for what is published already, without waiting for a batch.
    fn find(&self, identity: Option<&Hash>) -> Result<Option<Appended>, LogError> {
        let shared = &self.inner.shared;
        shared.require_running()?;
        let Some(leaf) = identity else {
            return Ok(None);
        };
        let index = shared.find_published(leaf)?;
        index
            .map(|index| shared.answer(index, None, true))
            .transpose()
    }

    fn queue(&self, waiting: Vec<Waiting>) -> Result<(), LogError> {
        match self.inner.queue.try_send(Message::Append(waiting)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(LogError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(LogError::Closed),
        }
    }

    /// Returns the served checkpoint, signed.
    #[must_use]
    pub fn checkpoint(&self) -> Arc<str> {
        Arc::clone(&self.inner.shared.published().note)
    }

    /// Returns the size of the served tree.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        self.inner.shared.published().size
    }

    /// Returns `width` hashes (32 bytes each) of a tile; of a wider tile, the first ones. May read a file.
    ///
    /// # Errors
    /// [`LogError::NotFound`], if the served tree has not so many; [`LogError::Disk`].
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Result<Bytes, LogError> {
        self.inner.shared.tile(level, index, width)
    }

    /// Returns `width` framed entries of an entry bundle; of a wider one, the first ones. May read a file.
    ///
    /// # Errors
    /// As [`Log::tile`].
    pub fn entries(&self, index: u64, width: u16) -> Result<Bytes, LogError> {
        self.inner.shared.entries(index, width)
    }

    /// Says whether the log still takes entries.
    ///
    /// # Errors
    /// [`LogError::Stopped`] with what stopped it; the process should end and open the log again.
    pub fn require_running(&self) -> Result<(), LogError> {
        self.inner.shared.require_running()
    }

    /// Appends what waits, writes what is complete, and closes the log for all handles. Blocks until that is done.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // If nobody receives it, the sequencer has ended; if it panicked, that was printed already.
            drop(self.queue.send(Message::Close));
            drop(thread.join());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

enum Asked {
    Answered(Result<Appended, LogError>),
    Queued(oneshot::Receiver<Result<Appended, LogError>>),
}

/// Waits for the sequencer, if the request was queued.
async fn answer(
    shared: Arc<Shared>,
    asked: Asked,
    refused: Option<LogError>,
) -> Result<Appended, LogError> {
    let answered = match asked {
        Asked::Answered(answer) => return answer,
        Asked::Queued(answered) => answered,
    };
    if let Some(error @ LogError::Busy) = refused {
        return Err(error);
    }
    match answered.await {
        Ok(answer) => answer,
        // The sequencer has ended with the request unread.
        Err(_) => {
            shared.require_running()?;
            Err(LogError::Closed)
        }
    }
}

/// Reads the cosigned note that was served last, and proves it against the log.
fn take_up(shared: &Shared, note: Option<&str>) -> Result<Option<(Published, Arc<str>)>, LogError> {
    let Some(text) = note else { return Ok(None) };
    let note = Note::parse(text).map_err(|_| LogError::Corrupt(Problem::NoteUnreadable))?;
    let Checkpoint { size, root, .. } =
        Checkpoint::parse(&note.text).map_err(|_| LogError::Corrupt(Problem::NoteUnreadable))?;
    if shared.root_at(size)? != root {
        return Err(LogError::Corrupt(Problem::NoteMismatch { size }));
    }
    let note: Arc<str> = Arc::from(text);
    let published = Published {
        size,
        root,
        note: Arc::clone(&note),
    };
    Ok(Some((published, note)))
}

#[cfg(test)]
mod tests;
