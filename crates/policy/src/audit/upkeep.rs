//! What time does to settings: entries and ranges that have expired or soon will, those that nobody owns, and the hosts
//! that an expiry drops onto another connector.
//!
//! Takes the survey, hands on findings.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::exposure::{Survey, addresses};
use super::report::{Report, Severity};
use super::standing::{Standing, entry_granting};
use crate::access_entry::{Right, Rights, Source};
use crate::address_set::AddressSet;
use crate::note::{Note, instant};
use crate::receive_connector::ReceiveConnector;
use crate::relay::Reach;
use crate::settings::Settings;

/// What expires within so many milliseconds is told beforehand: 30 days.
const SOON_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How many ranges stand in a message.
const RANGES_SHOWN_MAX: usize = 3;

pub(super) fn check(settings: &Settings, survey: &Survey, report: &mut Report) {
    for (place, connector) in settings.receive_connectors.iter().enumerate().filter(|(_, connector)| connector.enabled)
    {
        for range in &connector.remote_ip_ranges {
            let what = format!("the range {range}");
            expiry(connector, &what, "range", range.note.as_deref(), range.span.start, survey.now_ms, report);
        }
        for entry in connector.entries.iter().filter(|entry| entry.source == Source::Extra) {
            let what = format!("the entry for {}", entry.trustee);
            expiry(connector, &what, "entry", entry.note.as_deref(), entry.span.start, survey.now_ms, report);
        }
        ownerless(connector, survey, place, report);
    }
    drops(settings, survey, report);
}

fn expiry(
    connector: &ReceiveConnector,
    what: &str,
    noun: &'static str,
    note: Option<&Note>,
    at: usize,
    now_ms: u64,
    report: &mut Report,
) {
    let Some(expires_ms) = note.and_then(|note| note.expires_ms) else { return };
    let owner = note.and_then(|note| note.owner.as_ref()).map_or(String::new(), |owner| format!(" with {owner}"));
    let renew = format!("renew `expires`{owner}, or remove the {noun}");
    let when = instant(expires_ms);
    if expires_ms <= now_ms {
        let code = if noun == "range" { "expired_range" } else { "expired_entry" };
        let texts = [format!("{what} has expired on {when}: it no longer counts"), renew];
        report.add_about(connector, Severity::Warning, code, at, texts);
    } else if expires_ms - now_ms <= SOON_MS {
        let code = if noun == "range" { "range_expires_soon" } else { "entry_expires_soon" };
        report.add_about(connector, Severity::Note, code, at, [format!("{what} expires on {when}"), renew]);
    }
}

/// Trust in an address that nobody answers for; told once for each connector.
fn ownerless(connector: &ReceiveConnector, survey: &Survey, place: usize, report: &mut Report) {
    let Some((principal, capability)) = survey.unauthenticated(place) else { return };
    let right = match (capability.reach, capability.is_internal) {
        (Reach::AnyRecipient, _) => Right::AcceptAnyRecipient,
        (_, true) => Right::AcceptAuthenticationFlag,
        _ => return,
    };
    if survey.peers[place].is_empty() {
        return;
    }
    let owned = |note: Option<&Note>| note.is_some_and(|note| note.owner.is_some());
    let entry = entry_granting(connector, right, principal, survey.now_ms);
    if entry.is_some_and(|entry| owned(entry.note.as_deref())) {
        return;
    }
    let ranges = connector.remote_ip_ranges.iter();
    let mut without =
        ranges.filter(|range| !owned(range.note.as_deref()) && !range.is_expired(survey.now_ms)).peekable();
    let Some(first) = without.peek().map(|range| (range.to_string(), range.span.start)) else { return };
    let more = match without.count() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let texts = [
        format!("nobody owns the trust in {}{more}: whom to ask when the device is gone?", first.0),
        "write owner = \"somebody@contoso.com\" at the range ({ range = \"...\", owner = \"...\" }) or at the entry"
            .to_owned(),
    ];
    report.add_about(connector, Severity::Note, "ownerless", first.1, texts);
}

/// What becomes of hosts when a range expires: one finding for each pair of range and connector that takes over.
fn drops(settings: &Settings, survey: &Survey, report: &mut Report) {
    type Drop = (usize, usize, Option<usize>);
    let mut found: BTreeMap<Drop, Vec<(IpAddr, IpAddr)>> = BTreeMap::new();
    for (local, segments) in &survey.bindings {
        for terms in segments.chunk_by(|one, next| one.segment.first == next.segment.first) {
            for (place, term) in terms.iter().enumerate() {
                let Some(until_ms) = term.until_ms else { continue };
                let before = term.segment.connector;
                let after = terms.get(place + 1).map(|next| next.segment.connector);
                let (first, last) = addresses(*local, &term.segment);
                let ranges = &settings.receive_connectors[before].remote_ip_ranges;
                let expiring = ranges.iter().position(|range| {
                    range.contains(first) && range.note.as_ref().and_then(|note| note.expires_ms) == Some(until_ms)
                });
                let Some(range) = expiring.filter(|_| after != Some(before)) else { continue };
                found.entry((before, range, after)).or_default().push((first, last));
            }
        }
    }
    for ((before, range, after), hosts) in found {
        let connector = &settings.receive_connectors[before];
        let range = &connector.remote_ip_ranges[range];
        let Some(expires_ms) = range.note.as_ref().and_then(|note| note.expires_ms) else { continue };
        let hosts = AddressSet::of(hosts);
        let told = hosts.describe(RANGES_SHOWN_MAX);
        let start = format!("when {range} expires on {}, {told}", instant(expires_ms));
        let (severity, code, texts) = match after {
            None => (
                Severity::Note,
                "expiry_silences",
                [
                    format!("{start} is heard by no connector any more"),
                    "renew `expires` in time, or let it be so".to_owned(),
                ],
            ),
            Some(after) => {
                let (gained, lost) = changed(&survey.standings[before], &survey.standings[after]);
                let next = &settings.receive_connectors[after].name;
                let (severity, code) = match gained.is_empty() {
                    true => (Severity::Note, "expiry_narrows"),
                    false => (Severity::Warning, "expiry_widens"),
                };
                let message =
                    format!("{start} falls to {next}{}{}", listed("may then", gained), listed("may no longer", lost));
                (severity, code, [message, format!("renew `expires` in time, or narrow the ranges of {next}")])
            }
        };
        report.add_about(connector, severity, code, range.span.start, texts).sources = hosts;
    }
}

fn listed(verb: &str, rights: Rights) -> String {
    let names: Vec<&str> = rights.iter().map(Right::exchange_name).collect();
    if names.is_empty() { String::new() } else { format!("; it {verb}: {}", names.join(", ")) }
}

/// The rights that any kind of principal has after but not before, and before but not after.
fn changed(before: &[Standing], after: &[Standing]) -> (Rights, Rights) {
    let rights = |standings: &[Standing], is_open: bool| {
        let of_kind = standings.iter().filter(|standing| standing.who.is_unauthenticated() == is_open);
        let capabilities = of_kind.filter_map(|standing| standing.capability.as_ref());
        capabilities.fold(Rights::NONE, |all, capability| all | capability.rights)
    };
    let kinds = [true, false].map(|is_open| (rights(before, is_open), rights(after, is_open)));
    kinds.into_iter().fold((Rights::NONE, Rights::NONE), |(gained, lost), (before, after)| {
        (gained | (after & !before), lost | (before & !after))
    })
}
