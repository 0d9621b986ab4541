//! Sets of IPv4 and IPv6 addresses, as the fewest ranges.
//!
//! Takes ranges, hands on unions, intersections and complements, exactly, however many addresses they hold; and the words
//! in which people write them. An IPv4-mapped IPv6 address is the IPv4 address, as everywhere here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressSet {
    v4: Intervals,
    v6: Intervals,
}

impl AddressSet {
    /// No address.
    pub const EMPTY: AddressSet = AddressSet { v4: Intervals(Vec::new()), v6: Intervals(Vec::new()) };

    /// The union of `ranges`, each from its first to its last address, both of one family.
    pub fn of(ranges: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> AddressSet {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (first, last) in ranges {
            match (first, last) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((u32::from(first).into(), u32::from(last).into())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.into(), last.into())),
                _ => debug_assert!(false, "a range is of one family"),
            }
        }
        AddressSet { v4: Intervals::of(v4), v6: Intervals::of(v6) }
    }

    /// Every address.
    pub fn every() -> AddressSet {
        AddressSet::EMPTY.complement()
    }

    /// Whether the set holds no address.
    pub fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }

    /// Whether `address` is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.overlaps(address, address)
    }

    /// Whether any address from `first` to `last`, both of one family, is in the set.
    pub fn overlaps(&self, first: IpAddr, last: IpAddr) -> bool {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.overlaps(u32::from(first).into(), u32::from(last).into()),
            (IpAddr::V6(first), IpAddr::V6(last)) => self.v6.overlaps(first.into(), last.into()),
            _ => false,
        }
    }

    /// How many addresses the set holds; all of IPv6 counts as `u128::MAX`.
    pub fn count(&self) -> u128 {
        self.v4.count().saturating_add(self.v6.count())
    }

    /// The addresses that are in either set.
    pub fn union(&self, other: &AddressSet) -> AddressSet {
        let both = |one: &Intervals, other: &Intervals| Intervals::of([&one.0[..], &other.0[..]].concat());
        AddressSet { v4: both(&self.v4, &other.v4), v6: both(&self.v6, &other.v6) }
    }

    /// The addresses that are in both sets.
    pub fn intersection(&self, other: &AddressSet) -> AddressSet {
        AddressSet { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }

    /// The addresses that are not in the set.
    pub fn complement(&self) -> AddressSet {
        AddressSet { v4: self.v4.complement(V4_LAST), v6: self.v6.complement(V6_LAST) }
    }

    /// The fewest ranges that make up the set: IPv4 first, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let v4 = self.v4.0.iter().map(|(first, last)| (v4(*first), v4(*last)));
        let v6 = self.v6.0.iter().map(|(first, last)| (v6(*first), v6(*last)));
        v4.chain(v6)
    }

    /// How many [`AddressSet::ranges`] there are.
    pub fn ranges_count(&self) -> usize {
        self.v4.0.len() + self.v6.0.len()
    }

    /// In words: ranges as people write them, `every address`, or `every address but` those that are missing where that
    /// is shorter. At most `ranges_max` ranges, then how many more there are.
    pub fn describe(&self, ranges_max: usize) -> String {
        let holes = self.complement();
        let is_whole_but = |set: &Intervals, holes: &Intervals| holes.0.len() < set.0.len();
        let parts: Vec<(&str, AddressSet)> =
            match (is_whole_but(&self.v4, &holes.v4), is_whole_but(&self.v6, &holes.v6)) {
                (true, true) => vec![("every address", holes)],
                (true, false) => vec![("every IPv4 address", holes.only_v4()), ("", self.only_v6())],
                (false, true) => vec![("", self.only_v4()), ("every IPv6 address", holes.only_v6())],
                (false, false) => vec![("", self.clone())],
            };
        let mut texts = Vec::new();
        for (whole, ranges) in parts {
            let list = ranges.list(ranges_max);
            match (whole, list.as_str()) {
                ("", "") => {}
                ("", list) => texts.push(list.to_owned()),
                (whole, "") => texts.push(whole.to_owned()),
                (whole, list) => texts.push(format!("{whole} but {list}")),
            }
        }
        if texts.is_empty() { "no address".to_owned() } else { texts.join("; ") }
    }

    fn list(&self, ranges_max: usize) -> String {
        let mut texts: Vec<String> =
            self.ranges().take(ranges_max).map(|(first, last)| describe_range(first, last)).collect();
        let more = self.ranges_count().saturating_sub(ranges_max);
        if more > 0 {
            texts.push(format!("and {more} more"));
        }
        texts.join(", ")
    }

    fn only_v4(&self) -> AddressSet {
        AddressSet { v4: self.v4.clone(), v6: Intervals::default() }
    }

    fn only_v6(&self) -> AddressSet {
        AddressSet { v4: Intervals::default(), v6: self.v6.clone() }
    }
}

/// A range as people write it: one address, `network/bits` where that is exact, else `first-last`.
pub fn describe_range(first: IpAddr, last: IpAddr) -> String {
    if first == last {
        return first.to_string();
    }
    let (low, high, width): (u128, u128, u32) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (u32::from(first).into(), u32::from(last).into(), u32::BITS),
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.into(), last.into(), u128::BITS),
        _ => return format!("{first}-{last}"),
    };
    let host: u128 = low ^ high;
    let is_network = host & host.wrapping_add(1) == 0 && low & host == 0;
    if is_network { format!("{first}/{}", width - host.trailing_ones()) } else { format!("{first}-{last}") }
}

/// Builds a set from ranges of one family that come in ascending order, as a sweep yields them.
#[derive(Clone, Debug, Default)]
pub struct AscendingRanges(Intervals);

impl AscendingRanges {
    /// Adds a range that begins behind all that were added before, as numbers within the family.
    pub fn push(&mut self, first: u128, last: u128) {
        match self.0.0.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            _ => self.0.0.push((first, last)),
        }
    }

    /// The set, in the family of `of_family`.
    pub fn finish(self, of_family: IpAddr) -> AddressSet {
        match of_family {
            IpAddr::V4(_) => AddressSet { v4: self.0, v6: Intervals::default() },
            IpAddr::V6(_) => AddressSet { v4: Intervals::default(), v6: self.0 },
        }
    }
}

const V4_LAST: u128 = u32::MAX as u128;
const V6_LAST: u128 = u128::MAX;

fn v4(number: u128) -> IpAddr {
    Ipv4Addr::from(u32::try_from(number).expect("IPv4 intervals end at the last IPv4 address")).into()
}

fn v6(number: u128) -> IpAddr {
    Ipv6Addr::from(number).into()
}

/// Inclusive intervals, ascending, neither overlapping nor adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Intervals(Vec<(u128, u128)>);

impl Intervals {
    fn of(mut intervals: Vec<(u128, u128)>) -> Intervals {
        intervals.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match merged.last_mut() {
                Some((_, end)) if end.checked_add(1).is_none_or(|after| first <= after) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Intervals(merged)
    }

    fn overlaps(&self, first: u128, last: u128) -> bool {
        let place = self.0.partition_point(|(_, end)| *end < first);
        self.0.get(place).is_some_and(|(begin, _)| *begin <= last)
    }

    fn count(&self) -> u128 {
        self.0.iter().fold(0u128, |sum, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }

    fn intersection(&self, other: &Intervals) -> Intervals {
        let (mut one, mut two) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut shared = Vec::new();
        while let (Some((a_first, a_last)), Some((b_first, b_last))) = (one.peek(), two.peek()) {
            let (first, last) = (*a_first.max(b_first), *a_last.min(b_last));
            if first <= last {
                shared.push((first, last));
            }
            if a_last < b_last {
                one.next()
            } else {
                two.next()
            };
        }
        Intervals(shared)
    }

    fn complement(&self, max: u128) -> Intervals {
        let mut gaps = Vec::new();
        let mut next = Some(0);
        for (first, last) in &self.0 {
            let from = next.expect("no interval follows one that ends at the last address");
            if from < *first {
                gaps.push((from, first - 1));
            }
            next = last.checked_add(1).filter(|after| *after <= max);
        }
        gaps.extend(next.map(|from| (from, max)));
        Intervals(gaps)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(&str, &str)]) -> AddressSet {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        AddressSet::of(ranges.iter().map(|(first, last)| (address(first), address(last))))
    }

    const ALL_V4: (&str, &str) = ("0.0.0.0", "255.255.255.255");
    const ALL_V6: (&str, &str) = ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");

    #[test]
    fn sets_are_told_as_people_write_them() {
        for (ranges, expected) in [
            (&[][..], "no address"),
            (&[ALL_V4, ALL_V6], "every address"),
            (&[ALL_V4], "every IPv4 address"),
            (&[ALL_V6], "every IPv6 address"),
            (&[("10.0.0.1", "10.0.0.1")], "10.0.0.1"),
            (&[("10.0.0.0", "10.0.0.255")], "10.0.0.0/24"),
            (&[("10.0.0.0", "10.0.0.254")], "10.0.0.0-10.0.0.254"),
            (&[("10.0.0.1", "10.0.1.0")], "10.0.0.1-10.0.1.0"),
            (&[("0.0.0.0", "127.255.255.255")], "0.0.0.0/1"),
            (&[("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff")], "2001:db8::/64"),
            (&[("10.0.0.7", "10.0.0.9"), ("10.0.0.8", "10.0.0.12"), ("10.0.0.13", "10.0.0.13")], "10.0.0.7-10.0.0.13"),
            (
                &[("0.0.0.0", "192.168.2.54"), ("192.168.2.57", "255.255.255.255"), ALL_V6],
                "every address but 192.168.2.55-192.168.2.56",
            ),
            (
                &[("0.0.0.0", "9.255.255.255"), ("11.0.0.0", "255.255.255.255"), ("::1", "::1")],
                "every IPv4 address but 10.0.0.0/8; ::1",
            ),
            (&[("1.0.0.0", "255.255.255.255")], "1.0.0.0-255.255.255.255"),
            (
                &[("10.0.0.1", "10.0.0.1"), ("10.0.0.3", "10.0.0.3"), ("10.0.0.5", "10.0.0.5"), ("::5", "::5")],
                "10.0.0.1, 10.0.0.3, 10.0.0.5, and 1 more",
            ),
        ] {
            assert_eq!(set(ranges).describe(3), expected);
        }
    }

    #[test]
    fn the_last_addresses_do_not_overflow() {
        let every = AddressSet::every();
        assert_eq!(every, set(&[ALL_V4, ALL_V6]));
        assert_eq!((every.complement(), every.count()), (AddressSet::EMPTY, u128::MAX));
        assert_eq!(set(&[ALL_V4]).count(), 1 << 32);
        let last = set(&[("255.255.255.255", "255.255.255.255")]);
        assert_eq!(last.complement().complement(), last);
        assert!(last.contains("::ffff:255.255.255.255".parse().expect("an address")));
    }

    /// Numbers near both ends of IPv4.
    fn drawn() -> impl Strategy<Value = Vec<(u8, u8)>> {
        prop::collection::vec((0..16_u8, 0..16_u8).prop_map(|(a, b)| (a.min(b), a.max(b))), 0..5)
    }

    fn address(low: u8) -> IpAddr {
        let number = if low < 8 { u32::from(low) } else { u32::MAX - 15 + u32::from(low) };
        Ipv4Addr::from(number).into()
    }

    proptest! {
        #[test]
        fn set_operations_agree_with_lists_of_addresses(one in drawn(), other in drawn()) {
            let set = |drawn: &[(u8, u8)]| AddressSet::of(drawn.iter().map(|(a, b)| (address(*a), address(*b))));
            let plain = |drawn: &[(u8, u8)]| drawn.iter().flat_map(|(a, b)| *a..=*b).collect::<BTreeSet<u8>>();
            let (a, b, plain_a, plain_b) = (set(&one), set(&other), plain(&one), plain(&other));
            for low in 0..16 {
                let (in_a, in_b) = (plain_a.contains(&low), plain_b.contains(&low));
                prop_assert_eq!(a.contains(address(low)), in_a);
                prop_assert_eq!(a.complement().contains(address(low)), !in_a);
                prop_assert_eq!(a.union(&b).contains(address(low)), in_a || in_b);
                prop_assert_eq!(a.intersection(&b).contains(address(low)), in_a && in_b);
            }
            prop_assert_eq!(a.complement().union(&a), AddressSet::every());
            prop_assert_eq!(a.complement().complement(), a);
        }
    }
}
