//! The senders that a header names: any division into slices gives the same; what is read of one field is what the
//! address list alone gives; and an address that stands where every reader looks for one is never missed. The first four
//! bytes are the sizes of the slices, in turn.
#![no_main]

use gatepost_mail::address_list;
use gatepost_mail::header::{LINE_KEPT_BYTES_MAX, Scanner};
use gatepost_mail::header_senders::HeaderSenders;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((sizes, value)) = bytes.split_first_chunk::<4>() else { return };
    let content = [b"Subject: x\r\nFrom:", value, b"\r\nSender: last@contoso.com\r\n\r\nbody"].concat();
    let senders = scan(&content, &[usize::MAX]);
    assert_eq!(senders, scan(&content, &sizes.map(usize::from)));
    assert_eq!(senders.fields().map(|(_, named)| named.len()).sum::<usize>(), senders.mailboxes().len());

    let is_one_line = value.len() < LINE_KEPT_BYTES_MAX / 2 && !value.contains(&b'\n') && !value.contains(&b'\r');
    if !is_one_line {
        return;
    }
    match address_list::parse(value) {
        Err(_) => assert!(!senders.is_readable()),
        Ok(named) => {
            assert!(senders.is_readable());
            assert_eq!(senders.mailboxes().len(), named.len() + 1);
            assert_eq!(senders.mailboxes()[..named.len()], named);
            // What stands in the first pair of brackets, with nothing before it, is what most readers show.
            let shown = value.trim_ascii().strip_prefix(b"<").and_then(|rest| rest.split(|byte| *byte == b'>').next());
            if let Some(shown) = shown {
                let shown = String::from_utf8_lossy(shown).trim().to_lowercase();
                assert!(named.iter().any(|mailbox| shown.starts_with(&mailbox.local_part().to_lowercase())), "{shown}");
            }
        }
    }
});

fn scan(content: &[u8], slice_sizes: &[usize]) -> HeaderSenders {
    let mut scanner = Scanner::new(1 << 20, "mail.contoso.com").with_senders();
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
    scanner.finish().senders.expect("the scanner was told to read them")
}
