//! A message while it arrives: content gathers in memory, or in a body file once it is large.
//!
//! Takes pieces of content, hands a finished record to the committer (by way of a body thread, if there is a body
//! file to flush). Never waits for a flush.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gatepost_mail::{Envelope, MessageId};

use crate::disk::{self, File};
use crate::promise::{Commit, CommitError, promise};
use crate::queues::{Arriving, PendingCommit};
use crate::record::{Digest, Record};
use crate::shared::Shared;
use crate::staging::{Charge, SMALL_BYTES};
use crate::stored::{self, Octets, StoredBody, StoredEnvelope, StoredMessage};

/// Spare bytes before the content for the record's header, the envelope and the trace fields. A usual message of one
/// recipient needs about 500.
const ROOM_BYTES: usize = 1024;
/// Spare bytes behind it for the padding.
const PADDING_BYTES: usize = 8;

/// Why a piece of content could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// No room on the disk: bytes, inodes or quota.
    #[error("the disk of the spool is full")]
    Full,
    /// Too many large messages are arriving at once.
    #[error("too many large messages are arriving at once")]
    Busy,
    /// The disk failed.
    #[error("the disk of the spool failed: {0}")]
    Io(io::ErrorKind),
}

/// A message that is arriving. Dropping it discards it.
#[derive(Debug)]
pub struct Staged {
    shared: Arc<Shared>,
    id: MessageId,
    /// [`ROOM_BYTES`] spare bytes, then the content, or what of it is not in the body file yet.
    buffer: Vec<u8>,
    bytes: u64,
    body: Option<StagedBody>,
    failed: Option<StageError>,
    is_stranger: bool,
    /// What it holds of the room of all that arrive; `None` while it is small.
    charge: Option<Charge>,
    /// While it lasts, commits of others wait a moment for this one.
    arriving: Option<Arriving>,
    label: Vec<u8>,
}

#[derive(Debug)]
struct StagedBody {
    file: Arc<dyn File>,
    digest: Digest,
}

impl Staged {
    pub(crate) fn new(shared: Arc<Shared>, is_stranger: bool) -> Staged {
        let id = MessageId(shared.next_id.fetch_add(1, Ordering::Relaxed));
        let arriving = Some(shared.commits.enter());
        Staged {
            shared,
            id,
            buffer: Vec::new(),
            bytes: 0,
            body: None,
            failed: None,
            is_stranger,
            charge: None,
            arriving,
            label: Vec::new(),
        }
    }

    /// The number that the message will have.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Takes the next piece of the content. Copies it; what outgrows the memory meant for one message is written to
    /// a file, without a flush. After an error the message can only be discarded.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        if !self.make_room(bytes.len()) {
            return self.spill_or_fail(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes room in memory for `more` bytes. Says no where they belong in the body file: the message outgrows what it may
    /// hold, or all messages together what they may.
    fn make_room(&mut self, more: usize) -> bool {
        let inline_bytes_max = self.shared.options.inline_bytes_max;
        let gathered = self.buffer.len().saturating_sub(ROOM_BYTES);
        if gathered + more > inline_bytes_max {
            return false;
        }
        let needed = ROOM_BYTES + gathered + more + PADDING_BYTES;
        let held = self.buffer.capacity();
        if held < needed {
            let largest = ROOM_BYTES + inline_bytes_max + PADDING_BYTES;
            let wanted = needed.max(held.saturating_mul(2).min(largest));
            if gathered + more > SMALL_BYTES
                && !self.charge.get_or_insert_with(|| Charge::new(&self.shared.staging, self.is_stranger)).hold(wanted)
            {
                return false;
            }
            self.buffer.reserve_exact(wanted - self.buffer.len());
        }
        if self.buffer.is_empty() {
            self.buffer.resize(ROOM_BYTES, 0);
        }
        true
    }

    /// Bytes taken so far.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Puts a label on it, which means nothing to the spool: [`Spool::history`](crate::Spool::history) hands it on again.
    pub fn set_label(&mut self, label: Vec<u8>) {
        self.label = label;
    }

    /// Hands the message to the committer. `trace` are header lines to stand before the content, each with its CRLF.
    ///
    /// The future says `Ok` once the message survives power loss; only then is it live.
    pub fn commit(mut self, envelope: Envelope, trace: Vec<u8>) -> Commit {
        let (promise, commit) = promise();
        let (record, body) = match self.finish(&envelope, &trace) {
            Ok(finished) => finished,
            Err(error) => {
                promise.keep(Err(error));
                return commit;
            }
        };
        let (body, file) = match body {
            Some((body, file)) => (Some(body), Some(file)),
            None => (None, None),
        };
        let pending = PendingCommit {
            id: self.id,
            record,
            envelope: Arc::new(envelope),
            body,
            promise,
            charge: self.charge.take(),
        };
        match file {
            Some(file) => self.shared.bodies.push_written(file, pending),
            None => self.shared.commits.push(pending, self.arriving.take()),
        }
        commit
    }

    #[allow(clippy::type_complexity, reason = "said once, taken apart at once")]
    fn finish(
        &mut self,
        envelope: &Envelope,
        trace: &[u8],
    ) -> Result<(Record, Option<(StoredBody, Arc<dyn File>)>), CommitError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        if self.body.is_some() {
            self.spill_or_fail(&[])?;
        }
        // Taken only now: until here, dropping `self` removes the file.
        let body = self
            .body
            .take()
            .map(|StagedBody { file, digest }| (StoredBody { bytes: self.bytes, crc: digest.value() }, file));
        let octets = Octets::of(envelope);
        let meta = stored::write(&StoredMessage {
            id: self.id.0,
            envelope: StoredEnvelope::new(envelope, &octets),
            states: Vec::new(),
            body: body.as_ref().map(|(body, _)| *body),
            label: (!self.label.is_empty()).then(|| self.label.as_slice().into()),
            standing: None,
        });
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            buffer.resize(ROOM_BYTES, 0);
        }
        let record = Record::around(buffer, ROOM_BYTES, &meta, trace);
        if record.is_within_limits() {
            return Ok((record, body));
        }
        if body.is_some() {
            let _ = self.shared.disk.remove(&self.shared.folders.staged_body(self.id));
        }
        Err(CommitError::TooLarge)
    }

    fn spill_or_fail(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        let spilled = self.spill(bytes);
        if let Err(error) = spilled {
            self.failed = Some(error);
            if error == StageError::Full {
                self.shared.meet_full_disk();
            }
        }
        spilled
    }

    /// Moves what was gathered, and `bytes`, to the body file.
    fn spill(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        // A file takes its time, here and in a body thread.
        self.stop_arriving();
        let _admission = self.shared.reserve.admit()?;
        let charge = self.charge.get_or_insert_with(|| Charge::new(&self.shared.staging, self.is_stranger));
        let body = match &mut self.body {
            Some(body) => body,
            none => {
                if !charge.open_body() {
                    return Err(StageError::Busy);
                }
                let file = self.shared.disk.create(&self.shared.folders.staged_body(self.id))?;
                none.insert(StagedBody { file, digest: Digest::new() })
            }
        };
        let gathered = self.buffer.get(ROOM_BYTES..).unwrap_or_default();
        body.digest.update(gathered);
        body.digest.update(bytes);
        body.file.append(&mut [IoSlice::new(gathered), IoSlice::new(bytes)])?;
        self.buffer.truncate(ROOM_BYTES);
        // Who asks for more than there is keeps what a small message has.
        if !charge.hold(self.buffer.capacity()) {
            self.buffer.shrink_to(SMALL_BYTES);
            charge.release();
        }
        Ok(())
    }
}

impl Staged {
    fn stop_arriving(&mut self) {
        if let Some(arriving) = self.arriving.take() {
            self.shared.commits.leave(arriving);
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.stop_arriving();
        if self.body.is_some() {
            // Should this fail, recovery removes the file.
            let _ = self.shared.disk.remove(&self.shared.folders.staged_body(self.id));
        }
    }
}

impl From<io::Error> for StageError {
    fn from(error: io::Error) -> StageError {
        if disk::is_full(&error) { StageError::Full } else { StageError::Io(error.kind()) }
    }
}

impl From<StageError> for CommitError {
    fn from(error: StageError) -> CommitError {
        match error {
            StageError::Full | StageError::Busy => CommitError::Full,
            StageError::Io(kind) => CommitError::Io(kind),
        }
    }
}
