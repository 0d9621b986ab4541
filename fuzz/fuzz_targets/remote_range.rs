//! Remote ranges: what is read has its ends in order and of one family, and holds both.
#![no_main]

use gatepost_policy::receive_connector::RemoteRange;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(range) = RemoteRange::parse(text, 0..text.len()) {
        assert!(range.first <= range.last && range.first.is_ipv4() == range.last.is_ipv4());
        assert!(range.contains(range.first) && range.contains(range.last));
        let echo = format!("{}-{}", range.first, range.last);
        let again = RemoteRange::parse(&echo, 0..0).map(|again| (again.first, again.last));
        assert_eq!(again, Ok((range.first, range.last)));
    }
});
