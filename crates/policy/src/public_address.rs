//! Which addresses are public: globally reachable, by the IANA special-purpose registries for IPv4 and IPv6
//! (RFC 6890, RFC 8190).
//!
//! Hands on one set. Whatever no registry takes out of the Internet counts as public: for a question of who may relay, the
//! worst case counts. So do blocks whose reachability the registries leave open (Teredo, the former 6to4 relays).
//! IPv6 addresses that hold an IPv4 address are as public as that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use crate::address_set::AddressSet;

/// Whether `address` is public.
pub fn is_public(address: IpAddr) -> bool {
    PUBLIC.contains(address)
}

/// Every public address.
pub fn public() -> &'static AddressSet {
    &PUBLIC
}

/// One row of a registry: network, bits, globally reachable, RFC. A longer network overrides a shorter one.
type Block<A> = (A, u8, bool, &'static str);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const fn v6(groups: [u16; 8]) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = groups;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// The IPv4 registry, and multicast, which is never a source.
const V4: &[Block<Ipv4Addr>] = &[
    (v4(0, 0, 0, 0), 8, false, "RFC 791 section 3.2: this network"),
    (v4(10, 0, 0, 0), 8, false, "RFC 1918: private"),
    (v4(100, 64, 0, 0), 10, false, "RFC 6598: shared by carrier-grade NAT"),
    (v4(127, 0, 0, 0), 8, false, "RFC 1122 section 3.2.1.3: loopback"),
    (v4(169, 254, 0, 0), 16, false, "RFC 3927: link-local"),
    (v4(172, 16, 0, 0), 12, false, "RFC 1918: private"),
    (v4(192, 0, 0, 0), 24, false, "RFC 6890 section 2.1: protocol assignments"),
    (v4(192, 0, 0, 9), 32, true, "RFC 7723: Port Control Protocol anycast"),
    (v4(192, 0, 0, 10), 32, true, "RFC 8155: TURN anycast"),
    (v4(192, 0, 2, 0), 24, false, "RFC 5737: documentation"),
    (v4(192, 31, 196, 0), 24, true, "RFC 7535: AS112"),
    (v4(192, 52, 193, 0), 24, true, "RFC 7450: multicast tunnels"),
    (v4(192, 88, 99, 0), 24, true, "RFC 7526: former 6to4 relays, reachability left open"),
    (v4(192, 88, 99, 2), 32, false, "RFC 6751: 6a44 relay"),
    (v4(192, 168, 0, 0), 16, false, "RFC 1918: private"),
    (v4(192, 175, 48, 0), 24, true, "RFC 7534: AS112"),
    (v4(198, 18, 0, 0), 15, false, "RFC 2544: benchmarks"),
    (v4(198, 51, 100, 0), 24, false, "RFC 5737: documentation"),
    (v4(203, 0, 113, 0), 24, false, "RFC 5737: documentation"),
    (v4(224, 0, 0, 0), 4, false, "RFC 1112 section 6.2: multicast is no source"),
    (v4(240, 0, 0, 0), 4, false, "RFC 1112 section 4, RFC 8190: reserved, limited broadcast"),
];

/// The IPv6 registry without the blocks of [`HOLDING_V4`], and multicast.
const V6: &[Block<Ipv6Addr>] = &[
    (v6([0, 0, 0, 0, 0, 0, 0, 0]), 128, false, "RFC 4291 section 2.5.2: unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1]), 128, false, "RFC 4291 section 2.5.3: loopback"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]), 48, false, "RFC 8215: local translation"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0]), 64, false, "RFC 6666: discard-only"),
    (v6([0x100, 0, 0, 1, 0, 0, 0, 0]), 64, false, "RFC 9780: dummy prefix"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 23, false, "RFC 2928: protocol assignments"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 32, true, "RFC 4380, RFC 8190: Teredo, reachability left open"),
    (v6([0x2001, 1, 0, 0, 0, 0, 0, 1]), 128, true, "RFC 7723: Port Control Protocol anycast"),
    (v6([0x2001, 1, 0, 0, 0, 0, 0, 2]), 128, true, "RFC 8155: TURN anycast"),
    (v6([0x2001, 1, 0, 0, 0, 0, 0, 3]), 128, true, "RFC 9665: service registration anycast"),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0]), 48, false, "RFC 5180: benchmarks"),
    (v6([0x2001, 3, 0, 0, 0, 0, 0, 0]), 32, true, "RFC 7450: multicast tunnels"),
    (v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0]), 48, true, "RFC 7535: AS112"),
    (v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0]), 28, false, "RFC 4843: former ORCHID"),
    (v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0]), 28, true, "RFC 7343: ORCHIDv2"),
    (v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0]), 28, true, "RFC 9374: drone identification"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]), 32, false, "RFC 3849: documentation"),
    (v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0]), 48, true, "RFC 7534: AS112"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0]), 20, false, "RFC 9637: documentation"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0]), 16, false, "RFC 9602: segment identifiers"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7, false, "RFC 4193: unique local"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10, false, "RFC 4291 section 2.5.6: link-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8, false, "RFC 4291 section 2.7: multicast is no source"),
];

/// Networks whose addresses hold an IPv4 address right behind so many bits.
const HOLDING_V4: &[(Ipv6Addr, u8, &str)] = &[
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0]), 96, "RFC 4291 section 2.5.5.2: IPv4-mapped"),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0]), 96, "RFC 6052: translated"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0]), 16, "RFC 3056: 6to4"),
];

static PUBLIC: LazyLock<AddressSet> = LazyLock::new(|| {
    let v4 = V4.iter().map(|(network, bits, reachable, _)| {
        let network = u32::from(*network);
        let last = network | u32::MAX.checked_shr((*bits).into()).unwrap_or(0);
        (*bits, *reachable, Ipv4Addr::from(network).into(), Ipv4Addr::from(last).into())
    });
    let v6 = V6.iter().map(|(network, bits, reachable, _)| {
        let (first, last) = v6_network((*network).into(), *bits);
        (*bits, *reachable, first, last)
    });
    let mut public = resolve(v4.chain(v6).collect());
    for (network, bits, _) in HOLDING_V4 {
        let block = AddressSet::of([v6_network((*network).into(), *bits)]);
        let held = public.ranges().filter_map(|(first, last)| match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let behind = 96 - u32::from(*bits);
                let place = |address: Ipv4Addr| u128::from(*network) | u128::from(u32::from(address)) << behind;
                let (first, last) = (place(first), place(last) | ((1 << behind) - 1));
                Some((Ipv6Addr::from(first).into(), Ipv6Addr::from(last).into()))
            }
            _ => None,
        });
        let held = AddressSet::of(held);
        public = public.intersection(&block.complement()).union(&held);
    }
    public
});

fn v6_network(network: u128, bits: u8) -> (IpAddr, IpAddr) {
    let last = network | u128::MAX.checked_shr(bits.into()).unwrap_or(0);
    (Ipv6Addr::from(network).into(), Ipv6Addr::from(last).into())
}

/// Shorter networks first, so that longer ones override them.
fn resolve(mut blocks: Vec<(u8, bool, IpAddr, IpAddr)>) -> AddressSet {
    blocks.sort_by_key(|(bits, ..)| *bits);
    blocks.into_iter().fold(AddressSet::every(), |public, (_, reachable, first, last)| {
        let block = AddressSet::of([(first, last)]);
        if reachable { public.union(&block) } else { public.intersection(&block.complement()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_the_registries_is_as_reachable_as_it_says() {
        for (address, expected) in [
            ("0.0.0.1", false),
            ("1.1.1.1", true),
            ("9.255.255.255", true),
            ("10.0.0.0", false),
            ("10.255.255.255", false),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.64.0.0", false),
            ("100.127.255.255", false),
            ("100.128.0.0", true),
            ("127.0.0.1", false),
            ("169.254.7.7", false),
            ("172.15.255.255", true),
            ("172.16.0.0", false),
            ("172.31.255.255", false),
            ("172.32.0.0", true),
            ("192.0.0.8", false),
            ("192.0.0.9", true),
            ("192.0.0.10", true),
            ("192.0.0.170", false),
            ("192.0.1.1", true),
            ("192.0.2.1", false),
            ("192.31.196.1", true),
            ("192.52.193.1", true),
            ("192.88.99.1", true),
            ("192.88.99.2", false),
            ("192.168.2.55", false),
            ("192.175.48.1", true),
            ("198.17.255.255", true),
            ("198.18.0.0", false),
            ("198.19.255.255", false),
            ("198.20.0.0", true),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("223.255.255.255", true),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::2", true),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("100:0:0:1::1", false),
            ("100:0:0:2::1", true),
            ("2001::1", true),
            ("2001:1::", false),
            ("2001:1::1", true),
            ("2001:1::2", true),
            ("2001:1::3", true),
            ("2001:1::4", false),
            ("2001:2::1", false),
            ("2001:3::1", true),
            ("2001:4:112::1", true),
            ("2001:4:113::1", false),
            ("2001:10::1", false),
            ("2001:20::1", true),
            ("2001:30::1", true),
            ("2001:40::1", false),
            ("2001:200::1", true),
            ("2001:db8::1", false),
            ("2001:db9::1", true),
            ("2606:4700::1111", true),
            ("2620:4f:8000::1", true),
            ("3fff:fff::1", false),
            ("3fff:1000::1", true),
            ("5f00::1", false),
            ("fbff::1", true),
            ("fc00::1", false),
            ("fdff::1", false),
            ("fe80::1", false),
            ("febf::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), expected, "{address}");
        }
    }

    #[test]
    fn an_address_is_as_public_as_the_ipv4_address_that_it_holds() {
        for (address, expected) in [
            ("::ffff:10.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::192.0.0.9", true),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::1:0:0", true),
            ("2002:a00:1::1", false),
            ("2002:a00:1:ffff:ffff:ffff:ffff:ffff", false),
            ("2002:808:808::1", true),
            ("2002:c0a8:237::", false),
            ("2003::1", true),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), expected, "{address}");
        }
        // Asked as a range, nothing is made IPv4 of it first.
        let mapped = |v4: &str| -> IpAddr { v4.parse::<Ipv4Addr>().expect("an address").to_ipv6_mapped().into() };
        assert!(!public().overlaps(mapped("10.0.0.0"), mapped("10.255.255.255")));
        assert!(public().overlaps(mapped("8.8.8.8"), mapped("8.8.8.8")));
    }

    #[test]
    fn networks_have_no_host_bits_and_each_row_names_its_rfc() {
        for (network, bits, _, rfc) in V4 {
            assert_eq!(u32::from(*network) & u32::MAX.checked_shr((*bits).into()).unwrap_or(0), 0, "{network}");
            assert!(rfc.starts_with("RFC "), "{network}");
        }
        for (network, bits, _, rfc) in V6 {
            assert_eq!(u128::from(*network) & u128::MAX.checked_shr((*bits).into()).unwrap_or(0), 0, "{network}");
            assert!(rfc.starts_with("RFC "), "{network}");
        }
    }
}
