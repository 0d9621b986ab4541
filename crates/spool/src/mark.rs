//! Places in the log, for those who record elsewhere what it says.

use crate::record::ALIGNMENT;

/// A place in the log. What was written later has a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64);

impl Mark {
    pub(crate) fn at(segment: u32, offset: u64) -> Mark {
        Mark(u64::from(segment) << 32 | (offset / ALIGNMENT).min(u64::from(u32::MAX)))
    }

    pub(crate) fn from_number(number: u64) -> Mark {
        Mark(number)
    }

    pub(crate) fn to_number(self) -> u64 {
        self.0
    }

    pub(crate) fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Within its segment.
    pub(crate) fn offset(self) -> u64 {
        (self.0 & u64::from(u32::MAX)) * ALIGNMENT
    }
}
