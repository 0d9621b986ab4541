//! Step 6 of 9 - spool: whom a message is for in the end (fact sheet section 4.2).
//!
//! Takes the recipients as RCPT named them, hands on those that the envelope keeps: groups replaced by their members,
//! contacts by their addresses elsewhere, aliases by primary addresses, what nobody has by the catch-all mailbox; each
//! once. What reports say of it follows RFC 3461 section 5.2.7. Permits nothing: that was decided at RCPT, for the
//! recipient that was named. A group vouches for its members, so nobody needs the right to relay to reach those elsewhere.

use std::collections::HashMap;

use gatepost_mail::{Mailbox, Notify, Recipient};

use crate::directory::{End, Found, FoundBy};
use crate::settings::Settings;

/// The recipients of a message in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Each once, in the order of RCPT, members in the place of their group. Never empty where something was named.
    pub recipients: Vec<Recipient>,
    /// Groups whose sender wants to hear of success, as RCPT named them: a report that they were expanded is due.
    pub expanded: Vec<Recipient>,
}

/// How many recipients whom RCPT named leads to, given what the directory knows of it.
pub fn end_count(found: Option<Found<'_>>) -> usize {
    found.map_or(1, |found| found.end_count())
}

/// Resolves what RCPT named.
pub fn resolve(settings: &Settings, named: Vec<Recipient>) -> Resolved {
    // Nearly every message is for one mailbox by its own address, or for somebody elsewhere.
    if let [only] = &named[..]
        && is_final(settings, &only.mailbox)
    {
        return Resolved { recipients: named, expanded: Vec::new() };
    }
    let mut gathered = Gathered::default();
    for recipient in named {
        match settings.directory.resolve(&recipient.mailbox, &settings.domains) {
            None => gathered.add(Key::Elsewhere(recipient.mailbox.clone()), recipient),
            Some(found) => gathered.add_known(found, recipient),
        }
    }
    gathered.resolved
}

/// Whether resolving changes nothing.
fn is_final(settings: &Settings, named: &Mailbox) -> bool {
    let found = settings.directory.resolve(named, &settings.domains);
    found.is_none_or(|found| found.by == FoundBy::Address && found.recipient.mailbox().is_some())
}

/// By what recipients are the same. Whether two spellings of a local part are the same mailbox elsewhere, only that host
/// knows (RFC 5321 section 2.4).
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Here(u32),
    Elsewhere(Mailbox),
}

#[derive(Default)]
struct Gathered {
    resolved: Resolved,
    places: HashMap<Key, usize>,
}

impl Gathered {
    fn add_known(&mut self, found: Found<'_>, named: Recipient) {
        let mut is_expanded = false;
        for (end, through_group) in found.ends() {
            is_expanded |= through_group;
            let notify = if through_group { without_success(named.notify) } else { named.notify };
            let (key, recipient) = match end {
                End::Here(_, place) if place == found.place() && is_called_so(found) => {
                    (Key::Here(place), named.clone())
                }
                End::Here(recipient, place) => (Key::Here(place), named.redirected(recipient.address.clone())),
                End::Elsewhere(address) => (Key::Elsewhere(address.clone()), named.redirected(address.clone())),
            };
            self.add(key, Recipient { notify, ..recipient });
        }
        if is_expanded && named.notify.success {
            self.resolved.expanded.push(named);
        }
    }

    fn add(&mut self, key: Key, recipient: Recipient) {
        let Resolved { recipients, .. } = &mut self.resolved;
        let place = *self.places.entry(key).or_insert(recipients.len());
        match recipients.get_mut(place) {
            Some(known) => known.notify = either(known.notify, recipient.notify),
            None => recipients.push(recipient),
        }
    }
}

/// Whether the mailbox keeps the address by which it was named: its own in any case of letters, or that of the built-in
/// postmaster, who has many.
fn is_called_so(found: Found<'_>) -> bool {
    let is_built_in = found.by == FoundBy::Postmaster && found.recipient.is_built_in();
    found.by == FoundBy::Address || is_built_in
}

/// RFC 3461 section 5.2.7.3 leaves it open whether each member answers for a group or we do. We do, by one report that
/// it was expanded: it does not tell the sender who the members are, nor bring thousands of reports for one message.
fn without_success(notify: Notify) -> Notify {
    Notify { success: false, ..notify }
}

/// Who is named twice with different wishes gets both.
pub fn either(one: Notify, other: Notify) -> Notify {
    Notify {
        success: one.success || other.success,
        failure: one.failure || other.failure,
        delay: one.delay || other.delay,
        given: one.given || other.given,
    }
}
