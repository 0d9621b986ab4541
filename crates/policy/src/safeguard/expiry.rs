//! What has expired no longer counts, and whoever put it there should hear of it.

use std::ops::Range;

use crate::note::{Note, instant};
use crate::settings::{Collector, Settings};

/// Every range, entry and trusted server that has expired: what it is, when that was, and where it stands.
fn expired(settings: &Settings, now_ms: u64) -> impl Iterator<Item = (String, u64, Range<usize>)> {
    let since = move |note: &Option<Box<Note>>| {
        let expires_ms = note.as_ref().and_then(|note| note.expires_ms);
        expires_ms.filter(|expires_ms| *expires_ms <= now_ms)
    };
    let servers = settings.trusted_servers.iter().filter_map(move |server| {
        Some((format!("the trusted server {}", server.name), since(&server.note)?, server.span.clone()))
    });
    let of_connectors = settings.receive_connectors.iter().flat_map(move |connector| {
        let ranges = connector.remote_ip_ranges.iter();
        let ranges = ranges
            .filter_map(move |range| Some((format!("the range {range}"), since(&range.note)?, range.span.clone())));
        let entries = connector.entries.iter().filter_map(move |entry| {
            Some((format!("the entry for {}", entry.trustee), since(&entry.note)?, entry.span.clone()))
        });
        ranges.chain(entries)
    });
    servers.chain(of_connectors)
}

pub(super) fn is_there(settings: &Settings, now_ms: u64) -> bool {
    expired(settings, now_ms).next().is_some()
}

pub(super) fn check(settings: &Settings, now_ms: u64, collector: &mut Collector<'_>) {
    for (what, expires_ms, span) in expired(settings, now_ms) {
        let message = format!("{what} has expired on {}: it no longer counts", instant(expires_ms));
        collector.warning(span, message, "renew `expires`, or remove it");
    }
}
