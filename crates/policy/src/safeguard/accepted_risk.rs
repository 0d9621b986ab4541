//! Whoever opens a connector to strangers has to say why: `accept_risk`.

use std::net::IpAddr;

use crate::access_entry::{AccessEntry, Principal, Right};
use crate::audit::{Capability, Survey, entry_granting};
use crate::permission::{granted_at_worst, initial_principal};
use crate::public_address::public;
use crate::receive_connector::ReceiveConnector;
use crate::relay::Reach;
use crate::settings::{Collector, Settings};

/// Whether there is anything to check: a quick look, which may say yes where there is nothing.
pub(super) fn may_open(settings: &Settings, now_ms: u64) -> bool {
    settings.receive_connectors.iter().any(|connector| {
        let names_strangers =
            || connector.remote_ip_ranges.iter().any(|range| public().overlaps(range.first, range.last));
        let grants = || {
            let principal = initial_principal(connector);
            let rights = granted_at_worst(connector, &principal, now_ms);
            rights.contains(Right::AcceptAnyRecipient) || rights.contains(Right::AcceptAuthenticationFlag)
        };
        connector.accept_risk.is_some() || (connector.enabled && grants() && names_strangers())
    })
}

pub(super) fn check(settings: &Settings, survey: &Survey, collector: &mut Collector<'_>) {
    for (place, connector) in settings.receive_connectors.iter().enumerate() {
        let strangers = survey.peers[place].intersection(public());
        let danger = survey.unauthenticated(place).and_then(|(principal, capability)| {
            let (example, _) = strangers.ranges().next()?;
            Some((principal, danger(principal, capability, example)?))
        });
        match (danger, &connector.accept_risk) {
            (Some((principal, danger)), None) => {
                let entry = entry_granting(connector, danger.right, principal, survey.now_ms);
                refuse(connector, principal, &danger, entry, collector);
            }
            (None, Some(risk)) => collector.warning(
                risk.span.clone(),
                format!("`accept_risk`: {} opens nothing to public addresses", connector.name),
                "remove it: it would hide what somebody opens later",
            ),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// What makes a connector dangerous when strangers come to it.
struct Danger {
    may: &'static str,
    /// The right that makes it.
    right: Right,
    /// One of the strangers.
    example: IpAddr,
}

fn danger(principal: &Principal, capability: &Capability, example: IpAddr) -> Option<Danger> {
    let relays = capability.reach == Reach::AnyRecipient;
    let may = match (principal, relays, capability.is_internal) {
        (_, false, false) => return None,
        (Principal::ExternallySecured, ..) => "are externally secured",
        (_, true, true) => "may relay to anyone, and count as internal, without logging on",
        (_, true, false) => "may relay to anyone without logging on",
        (_, false, true) => "count as internal without logging on",
    };
    let right = if relays { Right::AcceptAnyRecipient } else { Right::AcceptAuthenticationFlag };
    Some(Danger { may, right, example })
}

fn refuse(
    connector: &ReceiveConnector,
    principal: &Principal,
    danger: &Danger,
    entry: Option<&AccessEntry>,
    collector: &mut Collector<'_>,
) {
    let Danger { may, right, example } = danger;
    let message = format!("{}: public addresses, such as {example}, {may}", connector.name);
    let remedy = format!(
        "narrow remote_ip_ranges to your own hosts; or let such peers log on (ExchangeUsers with Tls, BasicAuth and \
         BasicAuthRequireTLS) instead of granting {}; or, if it has to be so, write accept_risk = \"the reason\"",
        match principal {
            Principal::ExternallySecured => "ExternalAuthoritative",
            _ => right.exchange_name(),
        }
    );
    match entry {
        Some(entry) => {
            let related = (entry.span.clone(), "this gives them the right");
            collector.error_between(connector.span.clone(), message, remedy, related);
        }
        None => collector.error(connector.span.clone(), message, remedy),
    }
}
