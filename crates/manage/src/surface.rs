//! What the API shows of an audit: pages of it, a map, the whole as a report.
//!
//! Takes a kept audit, hands on values that serialize. Never decides anything.

use std::net::{IpAddr, Ipv4Addr};

use gatepost_policy::address_set::{AddressSet, describe_range};
use gatepost_policy::audit::{ASSUMPTION, Exposure, Finding, Severity};
use gatepost_policy::permission::{Right, Rights};
use gatepost_policy::public_address::public;
use gatepost_policy::sender::Scope;

use crate::exposure_text::sources_text;
use crate::kept_audit::{KeptAudit, Level};
use crate::resource::{
    AddressRange, Exposed, ExposedFinding, ExposedRange, ExposedRow, ExposureMap, ExposurePart, ExposureQuery,
    LimitedRights,
};

/// Parts of a map.
const PARTS: u64 = 256;
/// Ranges and connectors that one row of a page names.
const NAMED_MAX: usize = 20;
/// Ranges of IPv6 that a map lists.
const IPV6_MAX: usize = 100;
/// More addresses than this are told as ranges.
const COUNTED_MAX: u128 = 1_000_000;

/// All of it in one sentence.
pub fn sentence(kept: &KeptAudit) -> String {
    let connectors = match kept.connectors {
        1 => "1 connector".to_owned(),
        many => format!("{many} connectors"),
    };
    let open = kept.at(Level::Open);
    if open.is_empty() {
        return format!("{connectors}; nobody may relay anywhere without logging in");
    }
    let counted = |set: &AddressSet| match set.count() {
        1 => "1 address".to_owned(),
        many if many <= COUNTED_MAX => format!("{many} addresses"),
        _ => sources_text(set),
    };
    let public = open.intersection(public());
    let of_them =
        if public.is_empty() { "no public address".to_owned() } else { format!("public: {}", counted(&public)) };
    let conditional = match &kept.open_under_conditions {
        none if none.is_empty() => String::new(),
        all if all.count() == open.count() => ", under conditions".to_owned(),
        some => format!(", {} of them under conditions", counted(some)),
    };
    format!("{connectors}; {} may relay anywhere without logging in{conditional}; {of_them}", counted(open))
}

/// A page of what was asked for. `range`: those that hold one of these addresses.
pub fn page(
    kept: &KeptAudit,
    revision: u64,
    query: &ExposureQuery,
    range: Option<(IpAddr, IpAddr)>,
    limit: usize,
) -> Exposed {
    let is_wanted = |exposure: &&Exposure| {
        let relays = matches!(Level::of(exposure), Level::Open | Level::Relay);
        (relays || query.relay != Some(true))
            && (exposure.is_public || query.public != Some(true))
            && range.is_none_or(|(first, last)| exposure.sources.overlaps(first, last))
    };
    let wanted = || kept.audit.exposures.iter().filter(is_wanted);
    let findings = &kept.audit.findings;
    let severe = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let open = kept.at(Level::Open);
    let fits = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
    Exposed {
        revision,
        made_ms: kept.made_ms,
        sentence: sentence(kept),
        connectors: kept.connectors as u64,
        open_addresses: fits(open.count()),
        open_public_addresses: fits(open.intersection(public()).count()),
        exposures: wanted().skip(query.offset.unwrap_or(0)).take(limit).map(|shown| row(shown, NAMED_MAX)).collect(),
        exposures_total: wanted().count() as u64,
        findings: findings.iter().skip(query.findings_offset.unwrap_or(0)).take(limit).map(finding).collect(),
        findings_total: findings.len() as u64,
        critical: severe(Severity::Critical),
        warnings: severe(Severity::Warning),
        assumption: ASSUMPTION.to_owned(),
    }
}

/// One exposure, with at most so many ranges, connectors and patterns of its terms.
pub fn row(exposure: &Exposure, named_max: usize) -> ExposedRow {
    let capability = exposure.standing.capability.as_ref();
    let names = |rights: Rights| rights.iter().map(|right| right.exchange_name().to_owned()).collect::<Vec<_>>();
    let ranges = exposure.sources.ranges().take(named_max);
    ExposedRow {
        who: exposure.standing.who.to_string(),
        level: Level::of(exposure).name().to_owned(),
        sources: sources_text(&exposure.sources),
        ranges: ranges.map(|(first, last)| AddressRange { first, last }).collect(),
        ranges_total: exposure.sources.ranges_count() as u64,
        public: exposure.is_public,
        listeners: exposure.listeners.clone(),
        connectors: exposure.connectors.iter().take(named_max).map(ToString::to_string).collect(),
        connectors_total: exposure.connectors.len() as u64,
        senders: capability.map(|capability| {
            match capability.senders {
                Scope::AnyAddress => "any",
                Scope::OutsideOurDomains => "outside_own_domains",
                Scope::OwnAddresses => "own_addresses",
            }
            .to_owned()
        }),
        internal: capability.is_some_and(|capability| capability.is_internal),
        bypasses_anti_spam: capability.is_some_and(|capability| capability.bypasses_anti_spam),
        message_bytes_max: capability
            .filter(|capability| !capability.rights.contains(Right::BypassMessageSizeLimit))
            .map(|capability| capability.message_bytes_max),
        tls_required: capability.is_some_and(|capability| capability.needs_tls),
        rights: capability.map(|capability| names(capability.rights)).unwrap_or_default(),
        conditional_rights: capability.map(|capability| names(capability.unsure)).unwrap_or_default(),
        limited: capability.map(|capability| LimitedRights::list(&capability.limited, named_max)).unwrap_or_default(),
        from_ms: exposure.from_ms,
        until_ms: exposure.until_ms,
    }
}

/// One finding.
pub fn finding(finding: &Finding) -> ExposedFinding {
    ExposedFinding {
        severity: finding.severity.name().to_owned(),
        code: finding.code.to_owned(),
        connector: finding.connector.as_deref().map(str::to_owned),
        line: finding.line,
        message: finding.message.clone(),
        remedy: finding.remedy.clone(),
        sources: if finding.sources.is_empty() { String::new() } else { sources_text(&finding.sources) },
    }
}

/// A network whose parts a map can show: of 0, 8, 16 or 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: u32,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = text.trim().split_once('/')?;
        let (first, bits) = (u32::from(address.parse::<Ipv4Addr>().ok()?), bits.parse().ok()?);
        let is_shown = matches!(bits, 0 | 8 | 16 | 24);
        let network = Network { first, bits };
        (is_shown && u64::from(first) % network.size() == 0).then_some(network)
    }

    fn size(self) -> u64 {
        1 << (32 - u32::from(self.bits))
    }

    fn part_size(self) -> u64 {
        self.size() / PARTS
    }

    fn part(self, place: u64) -> String {
        let first = u64::from(self.first) + place * self.part_size();
        let first = u32::try_from(first).map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from);
        match self.bits + 8 {
            32 => first.to_string(),
            bits => format!("{first}/{bits}"),
        }
    }

    /// How many addresses of a set are in each of the parts.
    fn counts(self, set: &AddressSet) -> Vec<u64> {
        let mut counts = vec![0; PARTS as usize];
        let (start, end) = (u64::from(self.first), u64::from(self.first) + self.size() - 1);
        for (first, last) in set.ranges() {
            let (IpAddr::V4(first), IpAddr::V4(last)) = (first, last) else { break };
            let (first, last) = (u64::from(u32::from(first)).max(start), u64::from(u32::from(last)).min(end));
            if first > last {
                continue;
            }
            let part_of = |address: u64| (address - start) / self.part_size();
            for place in part_of(first)..=part_of(last) {
                let (low, high) = (start + place * self.part_size(), start + (place + 1) * self.part_size() - 1);
                counts[place as usize] += last.min(high) - first.max(low) + 1;
            }
        }
        counts
    }
}

/// The map of a network.
pub fn map(kept: &KeptAudit, network: Network) -> ExposureMap {
    let counts = Level::ALL.map(|level| network.counts(kept.at(level)));
    let of_internet = Level::ALL.map(|level| network.counts(&kept.at(level).intersection(public())));
    let parts = (0..PARTS).map(|place| {
        let worst = Level::ALL.into_iter().find(|level| counts[*level as usize][place as usize] > 0);
        ExposurePart {
            network: network.part(place),
            level: worst.map(|level| level.name().to_owned()),
            addresses: worst.map_or(0, |level| counts[level as usize][place as usize]),
            public: worst.is_some_and(|level| of_internet[level as usize][place as usize] > 0),
        }
    });
    let ipv6 = || {
        Level::ALL.into_iter().flat_map(|level| {
            let ranges = kept.at(level).ranges().filter(|(first, _)| first.is_ipv6());
            ranges.map(move |(first, last)| ExposedRange {
                range: describe_range(first, last),
                level: level.name().to_owned(),
                public: public().overlaps(first, last),
            })
        })
    };
    let (ipv6_total, first) = (ipv6().count() as u64, ipv6().take(IPV6_MAX).collect());
    ExposureMap {
        network: format!("{}/{}", Ipv4Addr::from(network.first), network.bits),
        parts: parts.collect(),
        ipv6: first,
        ipv6_total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(&str, &str)]) -> AddressSet {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        AddressSet::of(ranges.iter().map(|(first, last)| (address(first), address(last))))
    }

    #[test]
    fn parts_of_a_network_are_counted_exactly() {
        let all = Network::parse("0.0.0.0/0").expect("all");
        let counts = all.counts(&set(&[("0.0.0.0", "255.255.255.255")]));
        assert!(counts.iter().all(|count| *count == 1 << 24));
        let counts = all.counts(&set(&[("9.255.255.255", "10.0.0.1"), ("::", "::5")]));
        assert_eq!((counts[9], counts[10], counts.iter().sum::<u64>()), (1, 2, 3));
        let last = Network::parse("10.1.2.0/24").expect("a network");
        let counts = last.counts(&set(&[("10.1.0.0", "10.1.2.1"), ("10.1.2.255", "10.9.0.0")]));
        assert_eq!((counts[0], counts[1], counts[2], counts[255]), (1, 1, 0, 1));
        assert_eq!((last.part(7), all.part(10)), ("10.1.2.7".to_owned(), "10.0.0.0/8".to_owned()));
    }

    #[test]
    fn only_networks_of_whole_octets_are_maps() {
        for wrong in ["", "10.0.0.0", "10.0.0.0/9", "10.0.0.1/8", "x/8", "::/0", "10.0.0.0/32", "0.0.0.0/-8"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
        assert!(Network::parse("192.168.0.0/16").is_some());
    }
}
