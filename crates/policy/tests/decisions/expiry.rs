//! Which connector hears a peer as ranges expire: those that have are as if they were not there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gatepost_policy::note::Note;
use gatepost_policy::receive_connector::{ReceiveConnector, RemoteRange, Selector, select};
use proptest::prelude::*;

use crate::document::{cases, default_connector, settings};

/// Small worlds, so that ranges meet: 16 addresses of each family, two connectors' bindings, few instants.
#[derive(Clone, Debug)]
struct Drawn {
    on_one_address: bool,
    ranges: Vec<(bool, u8, u8, Option<u64>)>,
}

const NEVER: u64 = u64::MAX;
const INSTANTS: u64 = 6;
const WILDCARDS: [&str; 2] = ["0.0.0.0:25", "[::]:25"];
const OWN: [&str; 2] = ["10.1.1.1:25", "[2001:db8::1]:25"];

fn drawn() -> impl Strategy<Value = Drawn> {
    let range = (any::<bool>(), 0..16_u8, 0..16_u8, prop::option::weighted(0.7, 0..INSTANTS))
        .prop_map(|(v4, a, b, until)| (v4, a.min(b), a.max(b), until));
    let ranges = prop::collection::btree_set(range, 1..6).prop_map(|ranges| ranges.into_iter().collect());
    (any::<bool>(), ranges).prop_map(|(on_one_address, ranges)| Drawn { on_one_address, ranges })
}

/// Both ends of both families are in these worlds.
fn address(v4: bool, low: u8) -> IpAddr {
    let of =
        |first_half: u128, last: u128| if low < 8 { first_half + u128::from(low) } else { last - 15 + u128::from(low) };
    match v4 {
        true => IpAddr::V4(u32::try_from(of(0, u32::MAX.into())).expect("within IPv4").into()),
        false => IpAddr::V6(of(0, u128::MAX).into()),
    }
}

fn connectors(drawn: &[Drawn]) -> Vec<Arc<ReceiveConnector>> {
    let settings = settings(&default_connector("AnonymousUsers", ""));
    let model = &settings.receive_connectors[0];
    let made = drawn.iter().enumerate().map(|(place, drawn)| {
        let mut connector = (**model).clone();
        connector.name = place.to_string().into();
        let locals = if drawn.on_one_address { OWN } else { WILDCARDS };
        let bound = |local: &&str| {
            let mut binding = model.bindings[0].clone();
            binding.address = local.parse().expect("an address");
            binding
        };
        connector.bindings = locals.iter().map(bound).collect();
        let range = |(v4, first, last, until): &(bool, u8, u8, Option<u64>)| RemoteRange {
            first: address(*v4, *first),
            last: address(*v4, *last),
            text: "drawn".into(),
            note: until.map(|expires_ms| Box::new(Note { expires_ms: Some(expires_ms), ..Note::default() })),
            span: 0..0,
        };
        connector.remote_ip_ranges = drawn.ranges.iter().map(range).collect();
        Arc::new(connector)
    });
    made.collect()
}

/// The connector with the smallest of the unexpired ranges that hold the address, as plainly as possible. Of equally
/// small ones any: the settings reader refuses them.
fn winners(drawn: &[Drawn], own_address: bool, v4: bool, low: u8, now_ms: u64) -> Vec<usize> {
    let own_bound = drawn.iter().any(|drawn| drawn.on_one_address);
    let mut holding = Vec::new();
    for (place, drawn) in drawn.iter().enumerate() {
        for (range_v4, first, last, until) in &drawn.ranges {
            let holds = *range_v4 == v4 && *first <= low && low <= *last && now_ms < until.unwrap_or(NEVER);
            if drawn.on_one_address == (own_address && own_bound) && holds {
                holding.push((span(v4, *first, *last), place));
            }
        }
    }
    let smallest = holding.iter().map(|(span, _)| *span).min();
    holding.into_iter().filter(|(span, _)| Some(*span) == smallest).map(|(_, place)| place).collect()
}

fn span(v4: bool, first: u8, last: u8) -> u128 {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => v6.into(),
    };
    number(address(v4, last)) - number(address(v4, first))
}

fn holds(segment: &gatepost_policy::receive_connector::Segment, peer: IpAddr) -> bool {
    let number = match peer {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => v6.into(),
    };
    segment.first <= number && number <= segment.last
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(2_000)))]
    #[test]
    fn the_next_wider_unexpired_range_takes_over(drawn in prop::collection::vec(drawn(), 1..5), since in 0..=INSTANTS) {
        let connectors = connectors(&drawn);
        let selector = Selector::new(&connectors);
        for own_address in [true, false] {
            for v4 in [true, false] {
                let text = match (own_address, v4) {
                    (true, v4) => OWN[usize::from(!v4)],
                    (false, true) => "10.1.1.2:25",
                    (false, false) => "[2001:db8::2]:25",
                };
                let local: SocketAddr = text.parse().expect("an address");
                let over_time = selector.segments_over_time(local, since);
                for segment in &over_time {
                    prop_assert!(segment.from_ms.is_none_or(|from_ms| from_ms > since), "{:?}", segment);
                    let from_ms = segment.from_ms.unwrap_or(since);
                    prop_assert!(segment.until_ms.is_none_or(|until_ms| until_ms > from_ms), "{:?}", segment);
                }
                for now_ms in 0..=INSTANTS {
                    let segments = selector.segments(local, now_ms);
                    for (one, next) in segments.iter().zip(&segments[segments.len().min(1)..]) {
                        prop_assert!(one.last < next.first, "in order and disjoint");
                        prop_assert!(one.last + 1 < next.first || one.connector != next.connector, "the fewest");
                    }
                    for low in 0..16 {
                        let peer = address(v4, low);
                        let selected = select(&selector, local, peer, now_ms);
                        let place = selected.map(|selected| selected.name.parse::<usize>().expect("a number"));
                        let expected = winners(&drawn, own_address, v4, low, now_ms);
                        match place {
                            Some(place) => prop_assert!(expected.contains(&place), "{place} of {expected:?} at {now_ms}"),
                            None => prop_assert!(expected.is_empty(), "none of {expected:?} at {now_ms}"),
                        }
                        let now: Vec<_> = segments.iter().filter(|segment| holds(segment, peer)).collect();
                        prop_assert_eq!(now.first().map(|segment| segment.connector), place);
                        prop_assert!(now.len() <= 1);
                        if now_ms < since {
                            continue;
                        }
                        let then: Vec<_> = over_time
                            .iter()
                            .filter(|segment| holds(&segment.segment, peer))
                            .filter(|segment| segment.from_ms.is_none_or(|from_ms| from_ms <= now_ms))
                            .filter(|segment| segment.until_ms.is_none_or(|until_ms| now_ms < until_ms))
                            .map(|segment| segment.segment.connector)
                            .collect();
                        prop_assert_eq!(then, place.into_iter().collect::<Vec<_>>());
                    }
                }
            }
        }
    }
}
