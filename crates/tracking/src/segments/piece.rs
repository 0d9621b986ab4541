//! What a folder held at one moment, from which any thread reads while records are appended.
//!
//! Hands on blocks, which of them may hold a term, and their records. What was removed meanwhile is empty.

use std::io;
use std::sync::Arc;

use super::Block;
use super::log::View;
use super::sealed::Sealed;

/// What a folder held at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Its segments, newest first.
    pub pieces: Vec<Piece>,
    /// Blocks that were met and cannot be read.
    pub damaged: u64,
}

/// One segment of a snapshot.
#[derive(Debug)]
pub struct Piece {
    /// Its number; newer segments have greater ones.
    pub number: u64,
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) enum Source {
    Sealed(Arc<Sealed>),
    Log { view: View, candidates: Vec<(u32, Vec<u32>)> },
}

impl Piece {
    pub(super) fn sealed(sealed: Arc<Sealed>) -> Piece {
        Piece { number: sealed.number, source: Source::Sealed(sealed) }
    }

    /// The version of descriptions whose terms it is found by.
    pub fn version(&self) -> u32 {
        match &self.source {
            Source::Sealed(sealed) => sealed.version,
            // It was described by this run.
            Source::Log { .. } => u32::MAX,
        }
    }

    /// Its blocks, oldest first.
    pub fn blocks(&self) -> &[Block] {
        match &self.source {
            Source::Sealed(sealed) => &sealed.blocks,
            Source::Log { view, .. } => &view.blocks,
        }
    }

    /// The numbers of the blocks that may hold a term, ascending; `None`: all may. Of a log, only the terms that the snapshot was
    /// taken for are known.
    ///
    /// # Errors
    /// What the disk says; a segment that was removed meanwhile has no blocks.
    pub fn candidates(&self, hash: u32) -> io::Result<Option<Vec<u32>>> {
        match &self.source {
            Source::Sealed(sealed) => gone_is(Some(Vec::new()), sealed.candidates(hash)),
            Source::Log { candidates, .. } => {
                Ok(candidates.iter().find(|(known, _)| *known == hash).map(|(_, blocks)| blocks.clone()))
            }
        }
    }

    /// The records of a block, oldest first, for [`Records`]; `None` if it is damaged.
    ///
    /// # Errors
    /// What the disk says; a segment that was removed meanwhile has no records.
    pub fn read_block(&self, number: u32) -> io::Result<Option<Vec<u8>>> {
        match &self.source {
            Source::Sealed(sealed) => gone_is(Some(Vec::new()), sealed.read_block(number)),
            Source::Log { view, .. } => view.read_block(number).map(Some),
        }
    }
}

fn gone_is<T>(nothing: T, read: io::Result<T>) -> io::Result<T> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(nothing),
        read => read,
    }
}
