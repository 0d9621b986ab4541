//! The room of refused attempts: segments, so that they are found by address, domain, peer and connector as messages are.
//!
//! Takes records from the writer of decisions, hands on the segments to whoever searches. Former versions kept them in a ring of
//! files without an index: those are taken over at the first start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::decision::{Decision, DecisionId};
use crate::frame::Frames;
use crate::passport::terms::{self, Term};
use crate::segments::{Limits, Records, Rewritten, Segments, Usage};
use crate::{room, stored};

/// The room, opened as soon as the disk allows it; shared by the writer and whoever searches.
#[derive(Debug)]
pub struct Refusals {
    folder: PathBuf,
    segments: OnceLock<Segments>,
}

impl Refusals {
    /// The room in `folder`. A disk that does not take it is tried again later.
    pub fn open(folder: PathBuf, bytes_max: u64) -> Refusals {
        let refusals = Refusals { folder, segments: OnceLock::new() };
        if let Err(error) = refusals.opened(bytes_max) {
            tracing::warn!(folder = %refusals.folder.display(), %error, "records of refusals cannot be kept for now");
        }
        refusals
    }

    fn opened(&self, bytes_max: u64) -> io::Result<&Segments> {
        if let Some(segments) = self.segments.get() {
            return Ok(segments);
        }
        let opened = Segments::open(&self.folder, limits(bytes_max), terms::DESCRIBE_DECISION)?;
        Ok(self.segments.get_or_init(|| opened))
    }

    /// The segments; `None` while the disk cannot be used.
    pub fn segments(&self) -> Option<&Segments> {
        self.segments.get()
    }

    /// Where they lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes over what a former version left.
    ///
    /// # Errors
    /// What the disk says; files that were taken over whole are gone, the others are tried again at the next start.
    pub fn take_over(&self, bytes_max: u64, now_ms: u64) -> io::Result<u64> {
        let mut taken = 0;
        room::take_all(&self.folder, |records| {
            let segments = self.opened(bytes_max)?;
            for record in records {
                match segments.append(record, now_ms) {
                    Ok(()) => taken += 1,
                    // What cannot be read is no record.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                    // The file stays, and is tried again.
                    Err(error) => return Err(error),
                }
            }
            segments.sync()?;
            segments.tend(now_ms)
        })?;
        Ok(taken)
    }

    /// Appends whole frames. Hands back how many were taken, and what the disk said of the others.
    pub fn append(&self, frames: Frames<'_>, bytes_max: u64, now_ms: u64) -> (u64, io::Result<()>) {
        let segments = match self.opened(bytes_max) {
            Ok(segments) => segments,
            Err(error) => return (0, Err(error)),
        };
        let (mut taken, mut refused) = (0, Ok(()));
        for record in frames.filter_map(|frame| frame.record()) {
            match segments.append(record, now_ms) {
                Ok(()) => taken += 1,
                Err(error) => refused = Err(error),
            }
        }
        // What waits is kept there, up to a bound, and tried again.
        (taken, refused.and(segments.write_out()))
    }

    /// Seals what is full, removes what is too much.
    ///
    /// # Errors
    /// What the disk says; it is tried again.
    pub fn tend(&self, bytes_max: u64, now_ms: u64) -> io::Result<()> {
        let Some(segments) = self.segments() else { return Ok(()) };
        segments.set_limits(limits(bytes_max));
        segments.tend(now_ms)
    }

    /// Looks for a decision.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn find(&self, id: DecisionId) -> io::Result<Option<Decision>> {
        let Some(segments) = self.segments() else { return Ok(None) };
        let hash = Term::Decision(id.number()).hash();
        for piece in segments.snapshot(&[hash]).pieces {
            let all = || (0..piece.blocks().len() as u32).collect::<Vec<u32>>();
            for block in piece.candidates(hash)?.unwrap_or_else(all).into_iter().rev() {
                let Some(raw) = piece.read_block(block)? else { continue };
                let found = Records(&raw).filter_map(stored::read).find(|decision| decision.id == id);
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// Rewrites the records, those of a former version that could not be taken over before included.
    ///
    /// # Errors
    /// What the disk says; what was done stays done.
    pub fn rewrite(
        &self,
        bytes_max: u64,
        now_ms: u64,
        change: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> io::Result<Rewritten> {
        self.take_over(bytes_max, now_ms)?;
        self.segments().map_or(Ok(Rewritten::default()), |segments| segments.rewrite(change))
    }

    /// What it holds.
    pub fn usage(&self) -> Usage {
        self.segments().map(Segments::usage).unwrap_or_default()
    }
}

fn limits(bytes_max: u64) -> Limits {
    Limits { bytes_max, age_max_ms: None }
}
