//! The header scanner: any division of the content into slices gives the same answer, which is also that of the reader
//! of complete sections. The first four bytes are the sizes of the slices, in turn.
#![no_main]

use gatepost_mail::header::{Header, LINE_KEPT_BYTES_MAX, Scanner, fields, section_len};
use libfuzzer_sys::fuzz_target;

const SIZE_MAX: u64 = 100;
const FQDN: &str = "mail.contoso.com";

fuzz_target!(|bytes: &[u8]| {
    let Some((sizes, content)) = bytes.split_first_chunk::<4>() else { return };
    let header = scan(content, &[usize::MAX]);
    assert_eq!(header, scan(content, &sizes.map(usize::from)));

    if let Some(length) = section_len(content) {
        assert_eq!(header.size_bytes, length as u64);
    }
    let is_kept_whole = content.split(|b| *b == b'\n').all(|line| line.len() < LINE_KEPT_BYTES_MAX);
    if is_kept_whole && header.size_bytes > 0 {
        let received_count = fields(content).filter(|field| field.is("Received")).count();
        assert_eq!(header.received_count as usize, received_count);
    }
});

fn scan(content: &[u8], slice_sizes: &[usize]) -> Header {
    let mut scanner = Scanner::new(SIZE_MAX, FQDN);
    let mut rest = content;
    for size in slice_sizes.iter().cycle() {
        // A slice of no bytes is no progress.
        let (slice, after) = rest.split_at((*size).max(1).min(rest.len()));
        scanner.push(slice);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    scanner.finish()
}
