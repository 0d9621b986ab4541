//! The header firewall: any division of the content into slices passes the same; no field that readers of complete
//! sections find is forbidden; those that are not pass unchanged; and a second firewall finds nothing to do. The first
//! four bytes are the sizes of the slices, in turn.
#![no_main]

use gatepost_mail::header::{Scanner, fields};
use gatepost_mail::header_firewall::{HeaderFirewall, Rules, infallible};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((sizes, content)) = bytes.split_first_chunk::<4>() else { return };
    let passed = filter(content, &[usize::MAX]);
    assert_eq!(passed, filter(content, &sizes.map(usize::from)));

    let sent = behind_trace(content, content);
    let spooled = behind_trace(content, &passed);
    assert!(fields(&spooled).all(|field| Rules::NONE.passes(field.name)));
    assert_eq!(spooled, filter(&spooled, &[usize::MAX]));
    let has_bare = |byte: u8, other: u8, distance: isize| {
        let stands_alone = |at: usize| at.checked_add_signed(distance).and_then(|at| content.get(at)) != Some(&other);
        (0..content.len()).any(|at| content[at] == byte && stands_alone(at))
    };
    // Where a CR or LF stands alone, more may go than this reader calls a field.
    if !has_bare(b'\r', b'\n', 1) && !has_bare(b'\n', b'\r', -1) {
        let expected: Vec<_> = fields(&sent).filter(|field| Rules::NONE.passes(field.name)).collect();
        assert_eq!(fields(&spooled).collect::<Vec<_>>(), expected);
    }
});

/// As a message goes into the spool: behind fields of ours.
fn behind_trace(content: &[u8], passed: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::new(u64::MAX, "mail.contoso.com");
    scanner.push(content);
    let trace = if scanner.finish().size_bytes == 0 { &b"Trace: ours\r\n\r\n"[..] } else { b"Trace: ours\r\n" };
    [trace, passed].concat()
}

fn filter(content: &[u8], slice_sizes: &[usize]) -> Vec<u8> {
    let mut firewall = HeaderFirewall::new(Rules::NONE);
    let mut passed = Vec::new();
    let mut keep = infallible(|slice| passed.extend_from_slice(slice));
    let mut rest = content;
    for size in slice_sizes.iter().cycle() {
        // A slice of no bytes is no progress.
        let (slice, after) = rest.split_at((*size).max(1).min(rest.len()));
        let Ok(()) = firewall.push(slice, &mut keep);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let Ok(()) = firewall.finish(keep);
    passed
}
