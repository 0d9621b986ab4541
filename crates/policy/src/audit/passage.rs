//! Where strangers' mail passes through: domains whose mail is passed on to recipients that nobody here knows, and contacts
//! and groups that lead to addresses which strangers could not write to themselves.
//!
//! Takes the survey, hands on findings. Whether a stranger may write to somebody is what RCPT would be told: `relay`,
//! `restriction` and `reserved_domain` are asked.

use gatepost_mail::{AuthAs, Mailbox};

use super::exposure::Survey;
use super::report::{Finding, Report, Severity};
use crate::accepted_domain::DomainKind;
use crate::access_entry::{Principal, Rights};
use crate::directory::{End, Found, RecipientKind};
use crate::permission::auth_as;
use crate::permit::{self, Peer};
use crate::public_address::public;
use crate::receive_connector::ReceiveConnector;
use crate::relay;
use crate::settings::Settings;

/// So many addresses elsewhere may one message of a stranger reach through a group before that is a warning: whoever
/// finds a larger one has an amplifier.
const COPIES_MAX: usize = 10;
/// Of so many groups each is told by itself; behind them, how many more there are.
const GROUPS_TOLD_MAX: usize = 100;
/// How many addresses stand in a message.
const ADDRESSES_SHOWN_MAX: usize = 3;

pub(super) fn check(settings: &Settings, survey: &Survey, report: &mut Report) {
    let doors = doors(settings, survey);
    relay_domains(settings, &doors, report);
    ways_out(settings, &doors, report);
}

/// Whether public addresses may send anything without logging on.
pub(crate) fn strangers_may_submit(settings: &Settings, now_ms: u64) -> bool {
    !doors(settings, &Survey::of(settings, now_ms)).is_empty()
}

/// A connector that hears public addresses, and what they are before they log on.
struct Door<'a> {
    connector: &'a ReceiveConnector,
    principal: Principal,
    rights: Rights,
    auth_as: AuthAs,
}

fn doors<'a>(settings: &'a Settings, survey: &Survey) -> Vec<Door<'a>> {
    let connectors = settings.receive_connectors.iter().enumerate();
    let door = |(place, connector): (usize, &'a std::sync::Arc<ReceiveConnector>)| {
        let (principal, capability) = survey.unauthenticated(place)?;
        let is_public = !survey.peers[place].intersection(public()).is_empty();
        is_public.then(|| Door {
            connector,
            principal: principal.clone(),
            rights: capability.rights,
            auth_as: auth_as(capability.rights, principal, None),
        })
    };
    connectors.filter_map(door).collect()
}

/// Domains that strangers may fill with mail which we pass on, to recipients that we do not know.
fn relay_domains(settings: &Settings, doors: &[Door<'_>], report: &mut Report) {
    let Some(door) = doors.iter().find(|door| door.principal.is_anonymous()) else { return };
    let passed_on = settings.accepted_domains.iter().filter(|accepted| accepted.kind != DomainKind::Authoritative);
    for accepted in passed_on.filter(|accepted| !accepted.recipient_verification) {
        let finding = report.add(
            Severity::Note,
            "relay_domain_open_to_strangers",
            accepted.span.start,
            format!(
                "strangers may send to any recipient of {accepted} ({}): we pass it on, and report to forged senders what \
                 is refused there",
                accepted.kind.exchange_name()
            ),
            "write recipient_verification = true, so that the next hop is asked first; or make the domain Authoritative, if \
             all its recipients are known here"
                .to_owned(),
        );
        finding.connector = Some(door.connector.name.clone());
    }
}

/// Contacts, all in one finding, since to lead elsewhere is what they are for; and groups, each in its own.
fn ways_out(settings: &Settings, doors: &[Door<'_>], report: &mut Report) {
    // Through one where strangers relay anyway, no recipient leads further.
    let mut narrow: Vec<&Door<'_>> = Vec::new();
    for door in doors.iter().filter(|door| relay::reach(door.rights) == relay::Reach::AcceptedDomains) {
        if !narrow.iter().any(|known| decide_alike(known, door)) {
            narrow.push(door);
        }
    }
    if narrow.is_empty() {
        return;
    }
    let is_outside = |address: &Mailbox| narrow.iter().all(|door| !door.passes(address, settings));
    let open = settings.directory.leading_to(is_outside).filter_map(|found| {
        let mut addresses = found.recipient.addresses();
        let door = addresses.find_map(|address| narrow.iter().copied().find(|door| door.passes(address, settings)))?;
        Some((found, door))
    });
    let (groups, contacts): (Vec<_>, Vec<_>) =
        open.partition(|(found, _)| matches!(found.recipient.kind, RecipientKind::Group { .. }));
    if let Some((first, door)) = contacts.first() {
        let names = contacts.iter().map(|(found, _)| &found.recipient.address);
        let what = if contacts.len() == 1 { "contact" } else { "contacts" };
        let texts = [
            format!(
                "strangers reach addresses that they may not write to through {} {what}: {}",
                contacts.len(),
                listed(names, contacts.len())
            ),
            "if that is not meant, write require_sender_authentication = true for them".to_owned(),
        ];
        tell(first, door, Severity::Note, texts, report);
    }
    for (found, door) in groups.iter().take(GROUPS_TOLD_MAX) {
        group(found, door, is_outside, report);
    }
    if let Some((found, door)) = groups.get(GROUPS_TOLD_MAX) {
        let texts = [
            format!(
                "strangers reach addresses that they may not write to through {} more groups, {} the first of them",
                groups.len() - GROUPS_TOLD_MAX,
                found.recipient.address
            ),
            "write require_sender_authentication = true for those that are not meant for strangers".to_owned(),
        ];
        tell(found, door, Severity::Note, texts, report);
    }
}

fn group(found: &Found<'_>, door: &Door<'_>, is_outside: impl Fn(&Mailbox) -> bool, report: &mut Report) {
    let outside: Vec<&Mailbox> = found
        .ends()
        .into_iter()
        .filter_map(|(end, _)| match end {
            End::Elsewhere(address) => Some(address),
            End::Here(..) => None,
        })
        .filter(|address| is_outside(address))
        .collect();
    let severity = if outside.len() > COPIES_MAX { Severity::Warning } else { Severity::Note };
    let what = if outside.len() == 1 { "address" } else { "addresses" };
    let message = format!(
        "strangers reach {} {what} that they may not write to through the group {}: {}",
        outside.len(),
        found.recipient.address,
        listed(outside.iter().copied(), outside.len())
    );
    let remedy = if found.closed_by().is_none() {
        "if that is not meant, write require_sender_authentication = true for the group"
    } else if door.auth_as == AuthAs::Internal {
        "let nobody count as internal there without logging on"
    } else {
        "postmaster takes mail from everybody: let that be an address of a mailbox, or take the members elsewhere out"
    };
    tell(found, door, severity, [message, remedy.to_owned()], report);
}

fn tell(found: &Found<'_>, door: &Door<'_>, severity: Severity, [message, remedy]: [String; 2], report: &mut Report) {
    let code = "way_out_open_to_strangers";
    let finding: &mut Finding = report.add(severity, code, found.span().start, message, remedy);
    finding.connector = Some(door.connector.name.clone());
}

/// The first of them, and how many more there are.
fn listed<'a>(addresses: impl Iterator<Item = &'a Mailbox>, count: usize) -> String {
    let shown: Vec<String> = addresses.take(ADDRESSES_SHOWN_MAX).map(ToString::to_string).collect();
    match count.saturating_sub(ADDRESSES_SHOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Door<'_> {
    /// Whether RCPT with this address is accepted from strangers.
    fn passes(&self, recipient: &Mailbox, settings: &Settings) -> bool {
        let Door { connector, principal, rights, .. } = self;
        permit::recipient(&Peer { connector, principal, rights: *rights, settings }, None, recipient).is_ok()
    }
}

/// Whether both say the same of every recipient, given that nobody relays by them.
fn decide_alike(one: &Door<'_>, other: &Door<'_>) -> bool {
    let reserved = |door: &Door<'_>| {
        let connector = door.connector;
        [
            connector.reject_reserved_top_level_recipient_domains,
            connector.reject_reserved_second_level_recipient_domains,
            connector.reject_single_label_recipient_domains,
        ]
    };
    one.auth_as == other.auth_as && reserved(one) == reserved(other)
}
