//! Remote ranges: what is read has its ends in order and of one family, and holds both, unless one is an
//! IPv4-mapped address in a range of IPv6.
#![no_main]

use std::net::IpAddr;

use gatepost_policy::receive_connector::RemoteRange;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(range) = RemoteRange::parse(text, 0..text.len()) {
        assert!(range.first <= range.last && range.first.is_ipv4() == range.last.is_ipv4());
        // Peers at IPv4-mapped addresses are IPv4, and so are none of a wider IPv6 range that ends among those.
        let holds = |end: IpAddr| range.contains(end) || end.to_canonical().is_ipv4() != range.first.is_ipv4();
        assert!(holds(range.first) && holds(range.last));
        let echo = format!("{}-{}", range.first, range.last);
        let again = RemoteRange::parse(&echo, 0..0).map(|again| (again.first, again.last));
        assert_eq!(again, Ok((range.first, range.last)));
    }
});
