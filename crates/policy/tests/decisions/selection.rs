//! Which connector hears a peer (fact sheet sections 1.6 to 1.8), and which documents leave that undecided.

use std::net::{IpAddr, SocketAddr};

use gatepost_policy::Settings;
use gatepost_policy::receive_connector::{RangeError, RemoteRange, listeners};
use gatepost_policy::settings::parse;
use proptest::prelude::*;

use crate::document::{cases, defaults, settings};

fn connector(name: &str, bindings: &str, ranges: &str, more: &str) -> String {
    format!(
        "[[receive_connector]]\nname = \"{name}\"\nbindings = [{bindings}]\nremote_ip_ranges = [{ranges}]\n{more}\n"
    )
}

fn selected<'a>(settings: &'a Settings, local: &str, peer: &str) -> Option<&'a str> {
    let connector = settings.select(local.parse().expect("a local address"), peer.parse().expect("a peer"), 0);
    connector.map(|connector| &*connector.name)
}

#[test]
fn ranges_are_read_in_every_form_of_exchange() {
    for (text, expected) in [
        ("192.168.2.55", Ok("192.168.2.55-192.168.2.55")),
        (" 192.168.2.55 ", Ok("192.168.2.55-192.168.2.55")),
        ("192.168.2.1-192.168.2.99", Ok("192.168.2.1-192.168.2.99")),
        ("192.168.2.1 - 192.168.2.99", Ok("192.168.2.1-192.168.2.99")),
        ("192.168.1.0/24", Ok("192.168.1.0-192.168.1.255")),
        ("192.168.1.1/24", Ok("192.168.1.0-192.168.1.255")),
        ("0.0.0.0/0", Ok("0.0.0.0-255.255.255.255")),
        ("10.0.0.1/32", Ok("10.0.0.1-10.0.0.1")),
        ("192.168.1.0(255.255.255.0)", Ok("192.168.1.0-192.168.1.255")),
        ("192.168.1.0/255.255.255.0", Ok("192.168.1.0-192.168.1.255")),
        ("10.0.0.0(0.0.0.0)", Ok("0.0.0.0-255.255.255.255")),
        ("2001:db8::1-2001:db8::ff", Ok("2001:db8::1-2001:db8::ff")),
        ("2001:0DB8::CD3/60", Ok("2001:db8::-2001:db8:0:f:ffff:ffff:ffff:ffff")),
        ("fe80::39bd:88f7:6969:d223%11", Ok("fe80::39bd:88f7:6969:d223-fe80::39bd:88f7:6969:d223")),
        ("::/0", Ok("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
        ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Ok("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
        ("::ffff:10.0.0.0/104", Ok("10.0.0.0-10.255.255.255")),
        ("::ffff:10.0.0.1", Ok("10.0.0.1-10.0.0.1")),
        ("", Err(RangeError::Address)),
        ("10.0.0", Err(RangeError::Address)),
        ("10.0.0.256", Err(RangeError::Address)),
        ("10.0.0.01", Err(RangeError::Address)),
        ("host.contoso.com", Err(RangeError::Address)),
        ("10.0.0.1%1", Err(RangeError::Address)),
        ("fe80::1%", Err(RangeError::Address)),
        ("10.0.0.9-10.0.0.1", Err(RangeError::Order)),
        ("10.0.0.1-2001:db8::1", Err(RangeError::Family)),
        ("10.0.0.0/33", Err(RangeError::Bits)),
        ("10.0.0.0/", Err(RangeError::Bits)),
        ("10.0.0.0/+8", Err(RangeError::Bits)),
        ("10.0.0.0/-8", Err(RangeError::Address)),
        ("2001:db8::/129", Err(RangeError::Bits)),
        ("10.0.0.0(255.0.255.0)", Err(RangeError::Mask)),
        ("10.0.0.0(255.255.0.0", Err(RangeError::Address)),
        ("2001:db8::(255.255.255.0)", Err(RangeError::Mask)),
        ("2001:db8::(ffff::)", Err(RangeError::Mask)),
        ("10.0.0.0(ffff::)", Err(RangeError::Mask)),
        ("0.0.0.0", Err(RangeError::Unspecified)),
        ("::", Err(RangeError::Unspecified)),
    ] {
        let read = RemoteRange::parse(text, 0..0).map(|range| format!("{}-{}", range.first, range.last));
        assert_eq!(read.as_deref(), expected.as_ref().map(|text| *text), "{text}");
    }
}

#[test]
fn a_binding_to_one_address_beats_the_wildcard() {
    let settings = settings(&format!(
        "{}{}{}",
        connector("all", r#""0.0.0.0:25", "[::]:25""#, r#""0.0.0.0/0", "::/0""#, ""),
        connector("one", r#""10.1.1.1:25""#, r#""192.168.0.0/16""#, ""),
        connector("other port", r#""10.1.1.1:26""#, r#""0.0.0.0/0""#, ""),
    ));
    for (local, peer, expected) in [
        ("10.1.1.1:25", "192.168.2.55", Some("one")),
        // As between sockets, the wildcard hears nothing that comes to the one address.
        ("10.1.1.1:25", "172.16.0.1", None),
        ("10.1.1.2:25", "192.168.2.55", Some("all")),
        ("[::ffff:10.1.1.1]:25", "::ffff:192.168.2.55", Some("one")),
        ("[2001:db8::1]:25", "2001:db8::2", Some("all")),
        ("10.1.1.1:26", "172.16.0.1", Some("other port")),
        ("10.1.1.2:26", "172.16.0.1", None),
        ("10.1.1.1:27", "172.16.0.1", None),
    ] {
        assert_eq!(selected(&settings, local, peer), expected, "{peer} to {local}");
    }
    let sockets: Vec<_> = settings.listeners().iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(sockets, ["0.0.0.0:25", "[::]:25", "10.1.1.1:26"]);
}

#[test]
fn a_link_local_binding_keeps_its_zone_and_a_mapped_one_is_ipv4() {
    let settings = settings(&connector("zone", r#""[fe80::1%2]:25", "[::ffff:10.1.1.1]:25""#, r#""fe80::/10""#, ""));
    let sockets: Vec<_> = settings.listeners().iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(sockets, ["10.1.1.1:25", "[fe80::1%2]:25"]);
    assert_eq!(selected(&settings, "[fe80::1%2]:25", "fe80::2"), Some("zone"));
}

#[test]
fn ranges_of_one_family_hold_no_address_of_the_other() {
    let settings = settings(&connector("six", r#""[::]:25", "0.0.0.0:25""#, r#""::/0""#, ""));
    assert_eq!(selected(&settings, "[2001:db8::1]:25", "2001:db8::2"), Some("six"));
    assert_eq!(selected(&settings, "10.0.0.1:25", "10.0.0.2"), None);
    assert_eq!(selected(&settings, "[::ffff:10.0.0.1]:25", "::ffff:10.0.0.2"), None);
    let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
    // A network of IPv6 that ends among the IPv4-mapped addresses.
    let range = RemoteRange::parse("::/80", 0..5).expect("a network");
    assert_eq!((range.first, range.last), (ip("::"), ip("::ffff:255.255.255.255")));
    for (peer, holds) in [("::1", true), ("::fffe:ffff:ffff", true), ("::ffff:10.0.0.1", false), ("10.0.0.1", false)] {
        assert_eq!(range.contains(ip(peer)), holds, "{peer}");
    }
    let settings = crate::document::settings(&connector("six", r#""[::]:25", "0.0.0.0:25""#, r#""::/80""#, ""));
    assert_eq!(selected(&settings, "[::1]:25", "::1"), Some("six"));
    assert_eq!(selected(&settings, "[::ffff:10.0.0.1]:25", "::ffff:10.0.0.2"), None);
    assert_eq!(selected(&settings, "10.0.0.1:25", "10.0.0.2"), None);
}

#[test]
fn a_disabled_connector_is_no_candidate_and_collides_with_none() {
    let settings = settings(&format!(
        "{}{}{}",
        connector("wide", r#""0.0.0.0:25""#, r#""10.0.0.0/8""#, ""),
        connector("off", r#""0.0.0.0:25""#, r#""10.1.0.0/16""#, "enabled = false"),
        connector("too", r#""0.0.0.0:26""#, r#""10.0.0.0/8""#, "enabled = false"),
    ));
    assert_eq!(selected(&settings, "10.0.0.1:25", "10.1.2.3"), Some("wide"));
    assert_eq!(settings.listeners().len(), 1);
}

#[test]
fn implicit_tls_belongs_to_the_socket() {
    let tls = "implicit_tls = true";
    let settings = settings(&format!(
        "{}{}",
        connector("a", r#""10.1.1.1:465", "10.1.1.2:465""#, r#""10.0.0.0/8""#, tls),
        connector("b", r#""10.1.1.1:465""#, r#""10.1.0.0/16""#, tls),
    ));
    assert_eq!(settings.listeners().len(), 2);
    assert!(listeners(&settings.receive_connectors).iter().all(|listener| listener.implicit_tls));
    for (one, other) in [(r#""10.1.1.1:465""#, r#""10.1.1.1:465""#), (r#""0.0.0.0:465""#, r#""10.1.1.1:465""#)] {
        let text = connector("a", one, r#""10.0.0.0/8""#, tls) + &connector("b", other, r#""10.1.0.0/16""#, "");
        let problems = parse(&text, &defaults()).expect_err("they differ");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains("implicit_tls"), "{problems:?}");
    }
}

#[test]
fn a_place_of_each_of_two_colliding_ranges_is_named() {
    let text = connector("A", r#""0.0.0.0:25""#, r#""10.0.0.1-10.0.0.50""#, "")
        + &connector("B", r#""0.0.0.0:25", "[::]:25""#, r#""192.168.0.1", "10.0.0.40-10.0.0.90""#, "");
    let problems = parse(&text, &defaults()).expect_err("they collide");
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!((problem.line, problem.column), (9, 36));
    assert_eq!(&text[problem.span.clone()], "\"10.0.0.40-10.0.0.90\"");
    let related = problem.related.as_ref().expect("the other place");
    assert_eq!((related.line, related.column), (4, 21));
    assert_eq!(&text[related.span.clone()], "\"10.0.0.1-10.0.0.50\"");
}

/// Small worlds, so that ranges meet: 16 addresses of each family, local addresses .1 and .2, one port.
#[derive(Clone, Debug)]
struct Drawn {
    bindings: Vec<u8>,
    ranges: Vec<(bool, u8, u8)>,
    enabled: bool,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let range = (any::<bool>(), 0..16_u8, 0..16_u8).prop_map(|(v4, a, b)| (v4, a.min(b), a.max(b)));
    let ranges = prop::collection::btree_set(range, 1..4).prop_map(|ranges| ranges.into_iter().collect());
    let bindings = prop::collection::btree_set(0..4_u8, 1..3).prop_map(|bindings| bindings.into_iter().collect());
    (bindings, ranges, prop::bool::weighted(0.9)).prop_map(|(bindings, ranges, enabled)| Drawn {
        bindings,
        ranges,
        enabled,
    })
}

const LOCALS: [&str; 4] = ["0.0.0.0:25", "10.1.1.1:25", "[::]:25", "[2001:db8::1]:25"];

fn address(v4: bool, low: u8) -> String {
    if v4 { format!("192.0.2.{}", low + 16) } else { format!("2001:db8::{:x}", low + 16) }
}

fn document(connectors: &[Drawn]) -> String {
    let quoted = |texts: Vec<String>| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    for (place, drawn) in connectors.iter().enumerate() {
        let bindings = drawn.bindings.iter().map(|binding| LOCALS[*binding as usize].to_owned()).collect();
        let ranges = drawn
            .ranges
            .iter()
            .map(|(v4, first, last)| format!("{}-{}", address(*v4, *first), address(*v4, *last)))
            .collect();
        let enabled = format!("enabled = {}", drawn.enabled);
        text += &connector(&place.to_string(), &quoted(bindings), &quoted(ranges), &enabled);
    }
    text
}

/// Section 1.7, as plainly as possible.
fn collides(connectors: &[Drawn]) -> bool {
    connectors.iter().enumerate().any(|(i, a)| {
        connectors[i + 1..].iter().any(|b| {
            let shared = a.enabled && b.enabled && a.bindings.iter().any(|binding| b.bindings.contains(binding));
            shared
                && a.ranges.iter().any(|(a_v4, a_first, a_last)| {
                    b.ranges.iter().any(|(b_v4, b_first, b_last)| {
                        let apart = a_v4 != b_v4 || a_last < b_first || b_last < a_first;
                        let same = (a_first, a_last) == (b_first, b_last);
                        let a_holds_b = a_first <= b_first && b_last <= a_last;
                        let b_holds_a = b_first <= a_first && a_last <= b_last;
                        !apart && (same || !(a_holds_b || b_holds_a))
                    })
                })
        })
    })
}

/// Section 1.8, as plainly as possible.
fn winner(connectors: &[Drawn], local: SocketAddr, peer: IpAddr, peer_low: u8) -> Option<usize> {
    let enabled = || connectors.iter().enumerate().filter(|(_, drawn)| drawn.enabled);
    let binds = |drawn: &Drawn, to: SocketAddr| {
        drawn.bindings.iter().any(|binding| LOCALS[*binding as usize].parse() == Ok(to))
    };
    let wildcard: SocketAddr = if local.is_ipv4() { "0.0.0.0:25" } else { "[::]:25" }.parse().expect("an address");
    let exact = enabled().any(|(_, drawn)| binds(drawn, local));
    enabled()
        .filter(|(_, drawn)| binds(drawn, if exact { local } else { wildcard }))
        .flat_map(|(place, drawn)| drawn.ranges.iter().map(move |range| (place, range)))
        .filter(|(_, (v4, first, last))| *v4 == peer.is_ipv4() && (*first..=*last).contains(&peer_low))
        .min_by_key(|(_, (_, first, last))| last - first)
        .map(|(place, _)| place)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(2_000)))]
    #[test]
    fn selection_and_collisions_agree_with_the_plain_rules(connectors in prop::collection::vec(drawn(), 1..5)) {
        let read = parse(&document(&connectors), &defaults());
        prop_assert_eq!(read.is_err(), collides(&connectors));
        let Ok(settings) = read else { return Ok(()) };
        for local in ["10.1.1.1:25", "10.1.1.2:25", "[2001:db8::1]:25", "[2001:db8::2]:25"] {
            let local: SocketAddr = local.parse().expect("an address");
            for low in 0..16 {
                for v4 in [true, false] {
                    let peer: IpAddr = address(v4, low).parse().expect("an address");
                    let selected = settings.select(local, peer, 0).map(|connector| connector.name.to_string());
                    let expected = winner(&connectors, local, peer, low).map(|place| place.to_string());
                    prop_assert_eq!(selected, expected, "{} to {}", peer, local);
                }
            }
        }
    }
}
