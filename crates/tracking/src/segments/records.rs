//! Records behind each other, as a block holds them when it was read: each behind its length.

/// The records of a block that was read.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a>(pub &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(record)
    }
}

/// Adds a record behind its length.
pub fn push_record(record: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&(record.len() as u32).to_le_bytes());
    into.extend_from_slice(record);
}
