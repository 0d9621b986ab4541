//! ZIP archives (APPNOTE 6.3 of PKWARE, without its 64-bit extensions, encryption and splitting): files in, bytes out, and back.
//!
//! Nothing here looks at a disk. What is read is believed in nothing: names that lead out of the folder, contents that grow
//! beyond a limit, and checksums that do not fit are errors.

use std::collections::HashSet;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::civil::DateTime;

/// Files in one archive: what its format can count.
pub const ENTRIES_MAX: usize = u16::MAX as usize - 1;
/// Bytes of an archive, and of all that comes out of one.
pub const BYTES_MAX: usize = 256 << 20;

const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// What a reader has to understand: deflate, folders.
const VERSION: u16 = 20;
/// Names are UTF-8.
const FLAG_UTF8: u16 = 1 << 11;
const FLAG_ENCRYPTED: u16 = 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path within the archive, with slashes; a folder's ends in one.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// When it was last written, as clocks on walls have it.
    pub modified: DateTime,
}

/// An archive of these files.
///
/// # Errors
/// When they are too many or too large, or two have one name.
pub fn pack(files: &[File]) -> Result<Vec<u8>, String> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    if files.len() > ENTRIES_MAX {
        return Err(format!("An archive holds at most {ENTRIES_MAX} files."));
    }
    if let Some(name) = twice(files) {
        return Err(format!("Two files would be called {name} in the archive: unpacked, one would replace the other."));
    }
    for file in files {
        let offset = small(archive.len())?;
        let packed = deflated(&file.bytes);
        let (method, content) = match packed.len() < file.bytes.len() {
            true => (DEFLATED, packed.as_slice()),
            false => (STORED, file.bytes.as_slice()),
        };
        let name_bytes = u16::try_from(file.name.len()).map_err(|_| format!("The name {} is too long.", file.name))?;
        let mut shared = Vec::new();
        for number in [VERSION, FLAG_UTF8, method] {
            shared.extend(number.to_le_bytes());
        }
        shared.extend(dos_time(file.modified).to_le_bytes());
        for number in [checksum(&file.bytes), small(content.len())?, small(file.bytes.len())?] {
            shared.extend(number.to_le_bytes());
        }
        shared.extend(name_bytes.to_le_bytes());
        shared.extend(0u16.to_le_bytes());

        archive.extend(LOCAL_HEADER.to_le_bytes());
        archive.extend(&shared);
        archive.extend(file.name.as_bytes());
        archive.extend(content);
        if archive.len() > BYTES_MAX {
            return Err(format!("The archive would be larger than {} MB.", BYTES_MAX >> 20));
        }

        directory.extend(CENTRAL_HEADER.to_le_bytes());
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&shared);
        // Comment, disk, inner attributes, outer attributes: nothing; then where the file's own header stands.
        directory.extend([0; 2 + 2 + 2 + 4]);
        directory.extend(offset.to_le_bytes());
        directory.extend(file.name.as_bytes());
    }
    let (start, size, count) = (small(archive.len())?, small(directory.len())?, files.len() as u16);
    archive.extend(directory);
    archive.extend(END.to_le_bytes());
    archive.extend([0; 4]);
    archive.extend(count.to_le_bytes());
    archive.extend(count.to_le_bytes());
    archive.extend(size.to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0; 2]);
    Ok(archive)
}

/// A name that two files have; folders may be named again.
pub fn twice(files: &[File]) -> Option<&str> {
    let mut names = HashSet::new();
    files.iter().map(|file| file.name.as_str()).find(|name| !name.ends_with('/') && !names.insert(*name))
}

/// The files of an archive.
///
/// # Errors
/// In a sentence, when it is none, is damaged, or holds what is not read here.
pub fn unpack(archive: &[u8]) -> Result<Vec<File>, String> {
    let damaged = || "The archive is damaged.".to_owned();
    // The end stands last, but for a comment of at most 64 KiB.
    let latest = archive.len().checked_sub(END_BYTES).ok_or("This is no ZIP archive.")?;
    let earliest = latest.saturating_sub(usize::from(u16::MAX));
    let end = (earliest..=latest)
        .rev()
        .find(|at| number_at(archive, *at, 4) == Some(u64::from(END)))
        .ok_or("This is no ZIP archive.")?;
    let count = number_at(archive, end + 10, 2).ok_or_else(damaged)?;
    let mut at = number_at(archive, end + 16, 4).ok_or_else(damaged)? as usize;
    let mut files = Vec::new();
    let mut total = 0usize;
    for _ in 0..count {
        let field = |offset: usize, bytes: usize| number_at(archive, at + offset, bytes).ok_or_else(damaged);
        if field(0, 4)? != u64::from(CENTRAL_HEADER) {
            return Err(damaged());
        }
        let (flags, method) = (field(8, 2)? as u16, field(10, 2)? as u16);
        let (expected, packed, whole) = (field(16, 4)? as u32, field(20, 4)? as usize, field(24, 4)? as usize);
        let (name_bytes, extra, comment) = (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
        let (modified, local) = (field(12, 4)? as u32, field(42, 4)? as usize);
        let name = archive.get(at + CENTRAL_BYTES..at + CENTRAL_BYTES + name_bytes).ok_or_else(damaged)?;
        let name = safe_name(&String::from_utf8_lossy(name))?;
        if flags & FLAG_ENCRYPTED != 0 {
            return Err(format!("{name} is encrypted: that is not read here."));
        }
        total = total.saturating_add(whole);
        if total > BYTES_MAX {
            return Err(format!("What the archive holds is larger than {} MB.", BYTES_MAX >> 20));
        }
        let inner = |offset: usize| number_at(archive, local + offset, 2).map(|number| number as usize);
        let skipped = inner(26).zip(inner(28)).map(|(name, extra)| name + extra).ok_or_else(damaged)?;
        let start = local + LOCAL_BYTES + skipped;
        let content = start.checked_add(packed).and_then(|end| archive.get(start..end)).ok_or_else(damaged)?;
        let bytes = match method {
            STORED => content.to_vec(),
            DEFLATED => inflated(content, whole).ok_or_else(damaged)?,
            other => return Err(format!("{name} is packed by method {other}, which is not known here.")),
        };
        if bytes.len() != whole || checksum(&bytes) != expected {
            return Err(format!("{name} is damaged: its checksum does not fit."));
        }
        files.push(File { name, bytes, modified: wall_time(modified) });
        at += CENTRAL_BYTES + name_bytes + extra + comment;
    }
    Ok(files)
}

/// A name that stays within the folder that the archive is unpacked into.
fn safe_name(name: &str) -> Result<String, String> {
    let name = name.replace('\\', "/");
    let leads_out = name.starts_with('/') || name.contains(':') || name.split('/').any(|part| part == "..");
    if name.is_empty() || leads_out || name.contains('\0') {
        return Err(format!("The archive holds `{}`, which would lie outside of the folder.", name.escape_debug()));
    }
    Ok(name)
}

fn small(length: usize) -> Result<u32, String> {
    u32::try_from(length).map_err(|_| "The archive would be too large.".to_owned())
}

fn number_at(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(field.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail; what would be left out does not make the result smaller than it is.
    match encoder.write_all(bytes).and_then(|()| encoder.finish()) {
        Ok(packed) => packed,
        Err(_) => bytes.to_vec(),
    }
}

/// Not more than was announced: what is packed small may be large.
fn inflated(bytes: &[u8], whole: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(whole.min(BYTES_MAX));
    DeflateDecoder::new(bytes).take(whole as u64 + 1).read_to_end(&mut out).ok()?;
    Some(out)
}

/// A time as MS-DOS had it: two seconds fine, from 1980 on.
fn dos_time(time: DateTime) -> u32 {
    let year = (i32::from(time.year()) - 1980).clamp(0, 127) as u32;
    let part = |number: i8| number.max(0) as u32;
    [(part(time.month()), 21), (part(time.day()), 16), (part(time.hour()), 11), (part(time.minute()), 5)]
        .iter()
        .fold((year << 25) | (part(time.second()) / 2), |all, (number, shift)| all | (number << shift))
}

fn wall_time(dos: u32) -> DateTime {
    let part = |shift: u32, bits: u32| ((dos >> shift) & ((1 << bits) - 1)) as i8;
    let year = 1980 + (dos >> 25) as i16;
    let made = DateTime::new(year, part(21, 4), part(16, 5), part(11, 5), part(5, 6), part(0, 5).saturating_mul(2), 0);
    made.unwrap_or_else(|_| DateTime::constant(1980, 1, 1, 0, 0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> File {
        let modified = DateTime::constant(2026, 3, 4, 5, 6, 8, 0);
        File { name: name.to_owned(), bytes: bytes.to_vec(), modified }
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let files = [file("a.txt", &b"line\r\n".repeat(500)), file("logs/", b""), file("logs/ü.log", b"x")];
        let archive = pack(&files).expect("small enough");
        assert!(archive.len() < 1000);
        assert_eq!(unpack(&archive), Ok(files.to_vec()));
        assert_eq!(unpack(&pack(&[]).expect("nothing")), Ok(Vec::new()));
    }

    #[test]
    fn two_files_of_one_name_are_not_packed() {
        let files = [file("logs/", b""), file("a.txt", b"one"), file("logs/", b""), file("a.txt", b"two")];
        assert!(pack(&files).is_err_and(|why| why.contains("a.txt")));
        assert!(pack(&files[..3]).is_ok());
    }

    #[test]
    fn what_leads_out_or_is_damaged_is_refused() {
        for name in ["../evil", "/etc/passwd", "C:\\x", "a/../../b", "a\\..\\..\\b"] {
            let archive = pack(&[file(name, b"x")]).expect("small enough");
            assert!(unpack(&archive).is_err_and(|why| why.contains("outside")), "{name}");
        }
        let archive = pack(&[file("a.txt", &b"line\n".repeat(50))]).expect("small enough");
        for cut in 0..archive.len() {
            assert!(unpack(&archive[..cut]).is_err(), "{cut}");
        }
        for at in 0..archive.len() {
            let mut changed = archive.clone();
            changed[at] ^= 0x55;
            // Nothing panics; what it says is another matter.
            let _ = unpack(&changed);
        }
        let mut bomb = archive.clone();
        let central = archive.len() - END_BYTES - CENTRAL_BYTES - "a.txt".len();
        bomb[central + 24..central + 28].copy_from_slice(&(BYTES_MAX as u32 + 1).to_le_bytes());
        assert!(unpack(&bomb).is_err_and(|why| why.contains("larger")));
    }
}
