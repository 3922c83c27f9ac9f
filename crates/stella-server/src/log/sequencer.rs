//! The sequencer: the one thread that gives entries their places.
//!
//! The story of an append is [`Sequencer::append`]. What is done before (verifying requests) and around it (HTTP) belongs
//! to the services.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use stella_tlog::hash::Hash;
use stella_tlog::tree::{Frontier, LeafIndex, TreeSize};
use tokio::sync::oneshot;

use super::edge::WIDTH;
use super::error::{EntryFault, LogError};
use super::format::Entry;
use super::publish::Publisher;
use super::record::{self, Record};
use super::segment::{self, Before, Segment, Start};
use super::state::{Published, Shared, State};
use super::tiler::{Tiler, Work};
use super::{Appended, Build};

/// The greatest number of requests in one batch.
const MAX_BATCH: usize = 1024;

/// A batch takes no more entries once its record has this many bytes; one record is written at once.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// What is sent to the sequencer.
pub(super) enum Message {
    /// Requests that came together; they go into one batch if it has room.
    Append(Vec<Waiting>),
    Close,
}

/// A request for an entry.
pub(super) struct Waiting {
    pub(super) identity: Option<Hash>,
    pub(super) build: Build,
    pub(super) answer: Answer,
}

pub(super) type Answer = oneshot::Sender<Result<Appended, LogError>>;

/// A request whose entry has its place.
struct Placed {
    index: LeafIndex,
    /// The entry's bytes, if it is new.
    data: Option<Bytes>,
    answer: Answer,
}

/// See the module.
pub(super) struct Sequencer {
    shared: Arc<Shared>,
    publisher: Publisher,
    segment: Segment,
    segment_limit: u64,
    tiler: Tiler,
    queue: Receiver<Message>,
    /// Taken from the queue and not in a batch yet.
    waiting: VecDeque<Waiting>,
    /// In a batch and not answered yet.
    placed: Vec<Placed>,
    /// The number of tiles handed to the tiler.
    tiles: u64,
    /// The note on disk that holds cosignatures.
    cosigned: Option<Arc<str>>,
    is_spare_asked: bool,
    is_closing: bool,
}

impl Sequencer {
    pub(super) fn new(
        shared: Arc<Shared>,
        publisher: Publisher,
        (segment, segment_limit): (Segment, u64),
        tiler: Tiler,
        queue: Receiver<Message>,
    ) -> Self {
        let tiles = shared.read().edge.size().0 / WIDTH;
        Self {
            shared,
            publisher,
            segment,
            segment_limit,
            tiler,
            queue,
            waiting: VecDeque::new(),
            placed: Vec::new(),
            tiles,
            cosigned: None,
            is_spare_asked: false,
            is_closing: false,
        }
    }

    /// Serves what was served before, or the head that was found.
    ///
    /// A note with cosignatures is taken up again as it was recorded: it cannot be made anew.
    pub(super) fn resume(&mut self, note: Option<(Published, Arc<str>)>) -> Result<(), LogError> {
        let Some((published, note)) = note else {
            return self.publish();
        };
        self.cosigned = Some(note);
        self.shared.write().published = Arc::new(published);
        Ok(())
    }

    /// Appends until the log is closed or fails.
    pub(super) fn run(mut self) {
        while self.wait() {
            if let Err(error) = self.append() {
                self.shared.fail(error.clone());
                for placed in self.placed.drain(..) {
                    // Who does not wait any more needs no answer; here and below.
                    drop(placed.answer.send(Err(error.clone())));
                }
                break;
            }
        }
        self.tiler.finish();
    }

    /// Takes all that waits in the queue, at least one request; says whether there is one.
    fn wait(&mut self) -> bool {
        if self.waiting.is_empty() && !self.is_closing {
            match self.queue.recv() {
                Ok(message) => self.take(message),
                Err(_) => return false,
            }
        }
        while self.waiting.len() < MAX_BATCH
            && let Ok(message) = self.queue.try_recv()
        {
            self.take(message);
        }
        !self.waiting.is_empty()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Append(waiting) => self.waiting.extend(waiting),
            Message::Close => self.is_closing = true,
        }
    }

    /// Appends one batch. An error stops the log; what only one request did wrong is answered to that one.
    fn append(&mut self) -> Result<(), LogError> {
        // 1. No timer: the batch is what came while the last one was written.
        self.shared.require_running()?;

        // 2. Give the new entries their places, in memory; known ones join theirs.
        let record = self.place();

        // 3. One record, one sync: the commit point. After an error nobody knows what is durable, and nothing goes on.
        if let Some(record) = record {
            self.commit(record)?;
        }

        // 4. Sign the head, have it cosigned if there is a quorum, and serve it.
        match self.publish() {
            Ok(()) => (),
            Err(error @ LogError::Disk { .. }) => return Err(error),
            // Committed and not served: the same requests, repeated, join their entries.
            Err(refused) => self.refuse_unpublished(&refused),
        }

        // 5. Answer from memory.
        for placed in self.placed.drain(..) {
            let is_known = placed.data.is_none();
            let answer = self.shared.answer(placed.index, placed.data, is_known);
            drop(placed.answer.send(answer));
        }

        // 6. Tiles are written later.
        let complete = self.shared.read().edge.size().0 / WIDTH;
        while self.tiles < complete {
            self.tiler.hand(Work::Tile { index: self.tiles })?;
            self.tiles += 1;
        }
        self.ask_for_spare()
    }

    /// Moves waiting requests to their places; returns the record of the new entries, if there are any.
    fn place(&mut self) -> Option<Record> {
        let mut state = self.shared.write();
        let old_size = state.edge.size();
        let mut payload = Vec::new();
        while payload.len() < MAX_BATCH_BYTES {
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            match place_one(&self.shared, &mut state, waiting.identity, waiting.build) {
                Ok((index, data)) => {
                    if let Some(data) = &data {
                        record::push_entry(&mut payload, data);
                    }
                    self.placed.push(Placed {
                        index,
                        data,
                        answer: waiting.answer,
                    });
                }
                Err(refused) => drop(waiting.answer.send(Err(refused))),
            }
        }
        let (new_size, root) = (state.edge.size(), state.edge.root());
        (new_size > old_size).then(|| segment::entries_record(old_size, new_size, root, payload))
    }

    fn commit(&mut self, record: Record) -> Result<(), LogError> {
        let old_size = record.old_size;
        let mut records = vec![record];
        if self.segment.has_room_for(&records) {
            return self.segment.commit(&records);
        }
        records.insert(0, self.start_at(old_size)?);
        self.rotate(&records, old_size)
    }

    fn start_at(&self, size: TreeSize) -> Result<Record, LogError> {
        let hashes = self.shared.read().edge.frontier_at(size);
        let damaged = LogError::Corrupt(crate::fsck::Problem::RootMismatch { size });
        let frontier = hashes.and_then(|hashes| Frontier::from_hashes(size, hashes).ok());
        let start = Start::new(
            Before::Segment,
            self.shared.format,
            frontier.ok_or(damaged)?,
            &self.publisher.origin,
            self.cosigned.as_deref(),
        );
        Ok(start.to_record())
    }

    fn rotate(&mut self, records: &[Record], end: TreeSize) -> Result<(), LogError> {
        let number = self.segment.number();
        self.segment
            .rotate(records, self.tiler.spare(), self.segment_limit)?;
        self.is_spare_asked = false;
        self.tiler.hand(Work::SegmentClosed { number, end })
    }

    fn ask_for_spare(&mut self) -> Result<(), LogError> {
        if self.is_spare_asked || !self.segment.is_half_full() {
            return Ok(());
        }
        self.is_spare_asked = true;
        self.tiler.hand(Work::Spare {
            number: self.segment.number() + 1,
            length: self.segment.next_length(self.segment_limit),
        })
    }

    /// Serves the committed head, if it is not served yet.
    fn publish(&mut self) -> Result<(), LogError> {
        let (size, root, published) = {
            let state = self.shared.read();
            let published = Arc::clone(&state.published);
            (state.edge.size(), state.edge.root(), published)
        };
        if published.size == size && !published.note.is_empty() {
            return Ok(());
        }
        let consistency = |old| self.shared.consistency(old, size).ok();
        let note = self.publisher.note(size, root, &consistency)?.to_string();
        let note: Arc<str> = note.into();
        // Cosignatures cannot be made anew after a crash: what is served with them is durable first.
        if self.publisher.quorum.is_some() {
            self.record_note(size, root, &note)?;
        }
        self.shared.write().published = Arc::new(Published { size, root, note });
        Ok(())
    }

    fn record_note(&mut self, size: TreeSize, root: Hash, note: &Arc<str>) -> Result<(), LogError> {
        self.cosigned = Some(Arc::clone(note));
        let record = [segment::note_record(size, root, note)];
        if self.segment.has_room_for(&record) {
            return self.segment.commit(&record);
        }
        let start = self.start_at(size)?;
        self.rotate(&[start], size)
    }

    fn refuse_unpublished(&mut self, refused: &LogError) {
        let size = self.shared.published().size;
        let (published, unpublished): (Vec<Placed>, Vec<Placed>) = self
            .placed
            .drain(..)
            .partition(|placed| size.contains(placed.index));
        self.placed = published;
        for placed in unpublished {
            drop(placed.answer.send(Err(refused.clone())));
        }
    }
}

/// Finds the place of a known entry, or appends a new one and returns its bytes too.
fn place_one(
    shared: &Shared,
    state: &mut State,
    identity: Option<Hash>,
    build: Build,
) -> Result<(LeafIndex, Option<Bytes>), LogError> {
    if let Some(identity) = &identity
        && let Some(index) = shared.find(state, identity)?
    {
        return Ok((index, None));
    }
    let index = LeafIndex(state.edge.size().0);
    // A panic while building is that request's own failure; the place stays free.
    let built = panic::catch_unwind(AssertUnwindSafe(|| build(index)));
    let Entry { data, leaf } = built.map_err(|_| LogError::Entry(EntryFault::Panicked))?;
    let found = shared.format.leaf(&data);
    let fault = match found {
        None => Some(EntryFault::Malformed),
        Some(found) if found != leaf => Some(EntryFault::LeafHash),
        Some(_) if identity.is_some_and(|identity| identity != leaf) => Some(EntryFault::Identity),
        Some(_) => None,
    };
    if let Some(fault) = fault {
        return Err(LogError::Entry(fault));
    }
    state.edge.append(leaf, &data);
    if identity.is_some() {
        state.known.insert(&leaf, index);
    }
    Ok((index, Some(data)))
}
