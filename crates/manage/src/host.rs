//! The addresses of this machine, as its kernel tells them in `/proc/net` and `/sys/class/net`.
//!
//! Hands on facts for an audit. What cannot be read is left out: then less is found, and nothing is wrong.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use gatepost_policy::audit::HostAddresses;

/// The addresses that this machine has now, and those of its default gateways.
pub fn addresses() -> HostAddresses {
    let read = |name: &str| fs::read_to_string(Path::new("/proc/net").join(name)).unwrap_or_default();
    addresses_of(&Tables {
        fib_trie: &read("fib_trie"),
        route: &read("route"),
        if_inet6: &read("if_inet6"),
        ipv6_route: &read("ipv6_route"),
        bridges: &bridges(Path::new("/sys/class/net")),
    })
}

/// What the kernel tells.
struct Tables<'a> {
    /// IPv4: what is an address of this host.
    fib_trie: &'a str,
    /// IPv4: which network is behind which interface.
    route: &'a str,
    /// IPv6: addresses and their interfaces.
    if_inet6: &'a str,
    /// IPv6: which network is behind which interface.
    ipv6_route: &'a str,
    /// The names of bridges.
    bridges: &'a BTreeSet<String>,
}

fn bridges(interfaces: &Path) -> BTreeSet<String> {
    let interfaces = fs::read_dir(interfaces).into_iter().flatten().flatten();
    let bridges = interfaces.filter(|interface| interface.path().join("bridge").is_dir());
    bridges.map(|interface| interface.file_name().to_string_lossy().into_owned()).collect()
}

fn addresses_of(tables: &Tables<'_>) -> HostAddresses {
    let own_v4 = own_v4(tables.fib_trie);
    let routes = routes_v4(tables.route);
    let on_bridge = |address: &Ipv4Addr| {
        let address = u32::from(*address);
        let mut networks = routes.iter().filter(|route| route.mask != 0 && tables.bridges.contains(route.interface));
        networks.any(|route| address & route.mask == route.network)
    };
    let own_v6 = own_v6(tables.if_inet6);
    let is_bridge = |interface: &str| tables.bridges.contains(interface);
    let bridges_v4 = own_v4.iter().filter(|address| on_bridge(address)).copied().map(IpAddr::V4);
    let bridges_v6 = own_v6.iter().filter(|(_, interface)| is_bridge(interface)).map(|(address, _)| (*address).into());
    let gateways_v4 = routes.iter().filter(|route| route.mask == 0).filter_map(|route| route.gateway).map(IpAddr::V4);
    HostAddresses {
        own: own_v4
            .iter()
            .copied()
            .map(IpAddr::V4)
            .chain(own_v6.iter().map(|(address, _)| (*address).into()))
            .collect(),
        bridges: bridges_v4.chain(bridges_v6).collect(),
        gateways: gateways_v4.chain(gateways_v6(tables.ipv6_route)).collect(),
    }
}

/// An address stands on a line of its own, `|-- 192.0.2.2`, and below it what it is: `/32 host LOCAL`.
fn own_v4(fib_trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut own = BTreeSet::new();
    let mut address: Option<Ipv4Addr> = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("|-- ") {
            address = text.parse().ok();
        } else if line == "/32 host LOCAL" {
            own.extend(address);
        }
    }
    own
}

struct RouteV4<'a> {
    interface: &'a str,
    network: u32,
    mask: u32,
    gateway: Option<Ipv4Addr>,
}

/// Columns with a heading; addresses are numbers in this machine's byte order.
fn routes_v4(table: &str) -> Vec<RouteV4<'_>> {
    table.lines().skip(1).filter_map(route_v4).collect()
}

fn route_v4(line: &str) -> Option<RouteV4<'_>> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let [interface, destination, gateway, _, _, _, _, mask, ..] = columns[..] else { return None };
    let number = |text: &str| Some(u32::from_be_bytes(u32::from_str_radix(text, 16).ok()?.to_ne_bytes()));
    let gateway = Some(number(gateway)?).filter(|gateway| *gateway != 0).map(Ipv4Addr::from);
    Some(RouteV4 { interface, network: number(destination)?, mask: number(mask)?, gateway })
}

/// Address, index, prefix length, scope, flags, interface.
fn own_v6(table: &str) -> Vec<(Ipv6Addr, &str)> {
    let own = |line: &'_ str| line.split_ascii_whitespace().next().and_then(v6);
    let lines = table.lines().filter_map(|line| Some((own(line)?, line.split_ascii_whitespace().last()?)));
    lines.collect()
}

/// The next hops of `::/0`: destination, its length, source, its length, next hop, and more.
fn gateways_v6(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, length, _, _, next_hop, ..] = columns[..] else { return None };
        let is_default = length == "00" && v6(destination)?.is_unspecified();
        v6(next_hop).filter(|next_hop| is_default && !next_hop.is_unspecified()).map(IpAddr::V6)
    };
    table.lines().filter_map(gateway).collect()
}

fn v6(text: &str) -> Option<Ipv6Addr> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 172.17.0.1
        /32 host LOCAL
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.2
           /32 host LOCAL
";
    const IF_INET6: &str = "\
fd000000000000000000000000000002 04 40 00 82     eth0
fe80000000000000004211fffe000001 05 40 20 80  docker0
00000000000000000000000000000001 01 80 10 80       lo
";
    const IPV6_ROUTE: &str = "\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    /// A row as the kernel of this machine would write it.
    fn route(interface: &str, network: [u8; 4], gateway: [u8; 4], mask: [u8; 4]) -> String {
        let [network, gateway, mask] = [network, gateway, mask].map(u32::from_ne_bytes);
        format!("{interface}\t{network:08X}\t{gateway:08X}\t0003\t0\t0\t0\t{mask:08X}\t0\t0\t0\n")
    }

    #[test]
    fn the_tables_of_the_kernel_tell_own_addresses_bridges_and_gateways() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n".to_owned()
            + &route("eth0", [0; 4], [192, 0, 2, 1], [0; 4])
            + &route("docker0", [172, 17, 0, 0], [0; 4], [255, 255, 0, 0])
            + &route("eth0", [192, 0, 2, 0], [0; 4], [255, 255, 255, 0]);
        let found = addresses_of(&Tables {
            fib_trie: FIB_TRIE,
            route: &table,
            if_inet6: IF_INET6,
            ipv6_route: IPV6_ROUTE,
            bridges: &BTreeSet::from(["docker0".to_owned()]),
        });
        let texts = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(&found.own), "127.0.0.1 172.17.0.1 192.0.2.2 fd00::2 fe80::42:11ff:fe00:1 ::1");
        assert_eq!(texts(&found.bridges), "172.17.0.1 fe80::42:11ff:fe00:1");
        assert_eq!(texts(&found.gateways), "192.0.2.1 fd00::1");
    }

    #[test]
    fn a_table_that_says_nothing_or_nonsense_tells_nothing() {
        for text in ["", "\n\n", "|-- x\n/32 host LOCAL", "a b c d e f g h", "00 00 00 00 00"] {
            let bridges = BTreeSet::new();
            let tables = Tables { fib_trie: text, route: text, if_inet6: text, ipv6_route: text, bridges: &bridges };
            assert_eq!(addresses_of(&tables), HostAddresses::default(), "{text}");
        }
    }

    #[test]
    fn this_machine_has_loopback() {
        let found = addresses();
        assert!(found.own.iter().any(IpAddr::is_loopback), "{found:?}");
    }
}
