//! Step 4 of 9 - permit: which rights the peer holds on the receive connector that it came to
//! (fact sheet sections 2.1 to 2.4).
//!
//! Takes a connector, a principal and what is known of its message, hands on a set of rights. Nothing is granted by default (invariant I10).

use std::num::NonZeroU32;

use gatepost_mail::organization::AuthMechanism;
use gatepost_mail::{AuthAs, Domain, Mailbox, ReversePath};

pub use crate::access_entry::{
    Access, AccessEntry, PermissionGroup, PermissionGroups, Principal, Right, Rights, Source, Trustee, UserGroup,
};
pub use crate::condition::{Facts, HeaderSenders};
use crate::receive_connector::{Mechanism, ReceiveConnector};
use crate::refusal::Refusal;

/// What a principal holds under given facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Granted {
    /// The rights held.
    pub rights: Rights,
    /// Rights that are missing only because quotas are used up.
    pub over_rate: Rights,
}

/// The rights of `principal` on `connector`: what its entries allow, without what they deny, as far as `facts` are known.
/// The one function that computes rights. What has expired does not count. An entry that allows counts once its
/// condition is known to be met; one that denies, unless its condition is known not to be.
pub fn granted(connector: &ReceiveConnector, principal: &Principal, facts: &Facts<'_>) -> Granted {
    let (mut allowed, mut over_rate, mut denied) = (Rights::NONE, Rights::NONE, Rights::NONE);
    for (place, entry) in entries_of(connector, principal, facts.now_ms) {
        let condition = entry.condition.as_deref();
        match entry.access {
            Access::Deny if condition.is_none_or(|condition| !condition.is_ruled_out(facts)) => denied |= entry.rights,
            Access::Allow if condition.is_none_or(|condition| condition.is_met(facts)) => {
                let has_quota = condition.is_some_and(|condition| condition.messages_per_hour.is_some());
                let is_used_up = has_quota && facts.exhausted.contains(&place);
                *if is_used_up { &mut over_rate } else { &mut allowed } |= entry.rights;
            }
            Access::Allow | Access::Deny => {}
        }
    }
    Granted { rights: allowed & !denied, over_rate: over_rate & !allowed & !denied }
}

/// The rights that can be held under the least favourable circumstances from `now_ms` on: an entry that allows counts
/// whatever its condition, one that denies only without a condition and without an end.
pub fn granted_at_worst(connector: &ReceiveConnector, principal: &Principal, now_ms: u64) -> Rights {
    let counts = |entry: &AccessEntry| match entry.access {
        Access::Allow => true,
        Access::Deny => entry.condition.is_none() && !entry.expires(),
    };
    sum(connector, principal, now_ms, counts)
}

/// The rights that are held whatever the circumstances from `now_ms` on: an entry that allows counts only without a
/// condition and without an end, one that denies whatever its condition.
pub fn granted_for_sure(connector: &ReceiveConnector, principal: &Principal, now_ms: u64) -> Rights {
    let counts = |entry: &AccessEntry| match entry.access {
        Access::Allow => entry.condition.is_none() && !entry.expires(),
        Access::Deny => true,
    };
    sum(connector, principal, now_ms, counts)
}

/// The rights that are held at `now_ms` whatever the message: an entry that allows counts only without a condition, one
/// that denies whatever its condition.
pub fn granted_without_conditions(connector: &ReceiveConnector, principal: &Principal, now_ms: u64) -> Rights {
    let counts = |entry: &AccessEntry| entry.access == Access::Deny || entry.condition.is_none();
    sum(connector, principal, now_ms, counts)
}

/// Whether the rights of `principal` depend on more than who it is: on the message, on the time, on quotas. Where not,
/// they are the same for the whole session.
pub fn depends_on_facts(connector: &ReceiveConnector, principal: &Principal) -> bool {
    let mut entries = connector.entries.iter().filter(|entry| entry.trustee.covers(principal));
    entries.any(|entry| entry.condition.is_some() || entry.expires())
}

/// The entries with a quota that concern `principal`, by their place in the connector's list, and how many messages an
/// hour each is good for.
pub fn quotas<'a>(
    connector: &'a ReceiveConnector,
    principal: &'a Principal,
) -> impl Iterator<Item = (usize, NonZeroU32)> + 'a {
    let entries = connector.entries.iter().enumerate().filter(|(_, entry)| entry.trustee.covers(principal));
    entries.filter_map(|(place, entry)| Some((place, entry.condition.as_ref()?.messages_per_hour?)))
}

/// The entry whose quota pays for a use of `right`: none where another entry without a quota gives it too, else the first
/// of those that are not used up. Asked for a right that is held under `facts`.
pub fn rests_on(connector: &ReceiveConnector, principal: &Principal, facts: &Facts<'_>, right: Right) -> Option<usize> {
    let mut pays = None;
    for (place, entry) in entries_of(connector, principal, facts.now_ms) {
        if entry.access == Access::Deny || !entry.rights.contains(right) {
            continue;
        }
        match entry.condition.as_deref() {
            None => return None,
            Some(condition) if !condition.is_met(facts) => {}
            Some(condition) if condition.messages_per_hour.is_none() => return None,
            Some(_) if facts.exhausted.contains(&place) => {}
            Some(_) => pays = pays.or(Some(place)),
        }
    }
    pays
}

/// Asks `decide` with the rights held. Where it refuses only for want of rights whose quota is used up, that is the
/// refusal.
pub fn decide<T>(granted: Granted, decide: impl Fn(Rights) -> Result<T, Refusal>) -> Result<T, Refusal> {
    decide(granted.rights).map_err(|refusal| {
        let would_do = !granted.over_rate.is_empty() && decide(granted.rights | granted.over_rate).is_ok();
        if would_do { Refusal::QuotaExceeded } else { refusal }
    })
}

/// Those of `rights` without which `decide` would refuse what it permits with all of them.
pub fn needed<T>(rights: Rights, decide: impl Fn(Rights) -> Result<T, Refusal>) -> Rights {
    rights.iter().filter(|right| decide(rights & !Rights::from(*right)).is_err()).collect()
}

/// What is known when a right is asked for. The hour always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// When that is, for people.
    pub asked_at: &'static str,
    /// Whether the senders are known.
    pub knows_senders: bool,
    /// Whether the recipient is.
    pub knows_recipient: bool,
    /// Whether the right is asked for by a message, so that messages can be counted.
    pub knows_message: bool,
}

/// When `right` is asked for by those whom `trustee` covers. Whoever can log on needs Submit for that already.
pub fn stage(right: Right, trustee: &Trustee) -> Stage {
    const CONNECTION: Stage =
        Stage { asked_at: "before MAIL", knows_senders: false, knows_recipient: false, knows_message: false };
    const MAIL: Stage = Stage { asked_at: "at MAIL", knows_senders: true, knows_recipient: false, knows_message: true };
    let logs_on =
        matches!(trustee, Trustee::AuthenticatedUsers | Trustee::Everyone | Trustee::User(_) | Trustee::Group(_));
    match right {
        Right::Submit if logs_on => Stage { asked_at: "when logging on, before MAIL", ..CONNECTION },
        Right::Submit | Right::AcceptAnySender | Right::AcceptAuthoritativeDomainSender => MAIL,
        Right::AcceptAnyRecipient => Stage { asked_at: "at RCPT", knows_recipient: true, ..MAIL },
        Right::AcceptAuthenticationFlag | Right::BypassMessageSizeLimit => Stage { knows_message: false, ..MAIL },
        Right::BypassAntiSpam => {
            Stage { asked_at: "after the content, for all recipients at once", knows_message: false, ..MAIL }
        }
        // Fields are kept or removed as they come, before all senders have been read.
        Right::AcceptHeadersRouting | Right::AcceptHeadersForest | Right::AcceptHeadersOrganization => {
            Stage { asked_at: "while the header is still being read", ..CONNECTION }
        }
        Right::AcceptExch50
        | Right::AcceptXShadow
        | Right::AcceptXAttr
        | Right::AcceptXProxyFrom
        | Right::AcceptXSessionParams
        | Right::AcceptXSysProbe
        | Right::SendXMessageContextAdRecipientCache
        | Right::SendXMessageContextExtendedProperties
        | Right::SendXMessageContextFastIndex => CONNECTION,
    }
}

/// The entries that speak of `principal` and hold at `now_ms`, each with its place.
pub(crate) fn entries_of<'a>(
    connector: &'a ReceiveConnector,
    principal: &'a Principal,
    now_ms: u64,
) -> impl Iterator<Item = (usize, &'a AccessEntry)> + 'a {
    let entries = connector.entries.iter().enumerate();
    entries.filter(move |(_, entry)| !entry.is_expired(now_ms) && entry.trustee.covers(principal))
}

fn sum(
    connector: &ReceiveConnector,
    principal: &Principal,
    now_ms: u64,
    counts: impl Fn(&AccessEntry) -> bool,
) -> Rights {
    let (mut allowed, mut denied) = (Rights::NONE, Rights::NONE);
    for (_, entry) in entries_of(connector, principal, now_ms).filter(|(_, entry)| counts(entry)) {
        match entry.access {
            Access::Allow => allowed |= entry.rights,
            Access::Deny => denied |= entry.rights,
        }
    }
    allowed & !denied
}

/// Who a peer is from the first moment of its connection (fact sheet section 2.4).
pub fn initial_principal(connector: &ReceiveConnector) -> Principal {
    if connector.auth_mechanism.contains(Mechanism::ExternalAuthoritative) {
        Principal::ExternallySecured
    } else {
        Principal::Anonymous
    }
}

/// Whether a message may be submitted at all; asked at MAIL.
pub fn may_submit(rights: Rights, principal: &Principal) -> Result<(), Refusal> {
    match principal {
        _ if rights.contains(Right::Submit) => Ok(()),
        Principal::Anonymous => Err(Refusal::NotAuthenticated),
        _ => Err(Refusal::SubmitDenied),
    }
}

/// Whether somebody with valid credentials is let in: `rights` are those that the user would hold. Without the right
/// to submit, authentication fails as if the password were wrong (fact sheet section 2.1).
pub fn may_authenticate(rights: Rights) -> Result<(), Refusal> {
    if rights.contains(Right::Submit) { Ok(()) } else { Err(Refusal::AuthenticationFailed) }
}

/// How far who a message says it is from is trusted (fact sheet sections 2.7 and 2.8). `auth` is the AUTH parameter of
/// MAIL: a host whose word counts may say that it does not know who submitted the message (RFC 4954 section 5). It says
/// nothing about a user, who has just proven who he or she is; and some clients say so of every message.
pub fn auth_as(rights: Rights, principal: &Principal, auth: Option<&ReversePath>) -> AuthAs {
    let vouches = rights.contains(Right::AcceptAuthenticationFlag) && auth != Some(&ReversePath::Null);
    match principal {
        Principal::User(_) => AuthAs::Internal,
        _ if vouches => AuthAs::Internal,
        Principal::Partner(_) => AuthAs::Partner,
        _ => AuthAs::Anonymous,
    }
}

/// What we take a message for that brings the judgement of another server of the organization, which it may: `own` is
/// our judgement of the session. What was not internal there does not become so by the way it came; what was, is only
/// where we would have said so ourselves, for the right to bring the header is not the one to be internal.
pub fn with_brought(own: AuthAs, brought: Option<AuthAs>) -> AuthAs {
    if own == AuthAs::Internal { brought.unwrap_or(own) } else { own }
}

/// By which means a principal was authenticated, as the organization headers say it (fact sheet section 2.8).
pub fn auth_mechanism(principal: &Principal) -> Option<AuthMechanism> {
    match principal {
        Principal::User(_) => Some(AuthMechanism::Basic),
        Principal::ExternallySecured => Some(AuthMechanism::ExternallySecured),
        _ => None,
    }
}

/// Which domain a partner has proven to be, as the organization headers say it: the sender's, if it is one of several.
pub fn auth_domain<'a>(principal: &'a Principal, reverse_path: &ReversePath) -> Option<&'a Domain> {
    let Principal::Partner(domains) = principal else { return None };
    let senders = reverse_path.mailbox().map(Mailbox::domain);
    domains.iter().find(|domain| Some(*domain) == senders).or_else(|| domains.first())
}

/// Who submitted the message first, where the AUTH parameter of MAIL says so and counts (fact sheet section 2.11).
pub fn originator(rights: Rights, auth: Option<&ReversePath>) -> Option<&Mailbox> {
    auth.filter(|_| rights.contains(Right::AcceptAuthenticationFlag)).and_then(ReversePath::mailbox)
}
