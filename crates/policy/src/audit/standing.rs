//! Who can stand before a receive connector, and what each of them may do there.
//!
//! Takes a connector and whom it can identify, hands on each kind of principal that can arise with its capability. Every answer is
//! that of a function that decides.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use gatepost_mail::{AuthAs, Domain};

use super::terms::{Limited, Terms};
use crate::access_entry::{Access, AccessEntry, Principal, Right, Rights, Trustee};
use crate::authentication::{auth_offered, starttls_offered, tls_required};
use crate::limits::message_bytes_max;
use crate::peer_certificate;
use crate::permission::{auth_as, granted_at_worst, granted_for_sure, initial_principal, may_authenticate, may_submit};
use crate::receive_connector::ReceiveConnector;
use crate::relay::{Reach, reach};
use crate::sender::{Scope, scope};
use crate::settings::Settings;

/// A kind of principal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Whoever did not authenticate; such a peer is this principal.
    Unauthenticated(Principal),
    /// These users; at least one.
    Users(Vec<Arc<str>>),
    /// Every declared user but these, after authentication.
    UsersBut(Vec<Arc<str>>),
    /// These trusted servers, by their certificates; at least one.
    Servers(Vec<Arc<str>>),
    /// Partners that prove by their certificates to be one of these domains.
    Partners(Arc<[Domain]>),
}

impl Who {
    /// Whether `principal` is of this kind.
    pub fn covers(&self, principal: &Principal) -> bool {
        match (self, principal) {
            (Who::Unauthenticated(own), other) => own == other,
            (Who::Users(names), Principal::User(name)) => names.contains(name),
            (Who::UsersBut(names), Principal::User(name)) => !names.contains(name),
            (Who::Servers(names), Principal::Server(name)) => names.contains(name),
            (Who::Partners(domains), Principal::Partner(proven)) => {
                proven.iter().all(|domain| domains.contains(domain))
            }
            _ => false,
        }
    }

    /// Whether it takes no authentication to be of this kind.
    pub fn is_unauthenticated(&self) -> bool {
        matches!(self, Who::Unauthenticated(_))
    }
}

/// As an administrator says it: `anonymous`, `externally secured`, `any user but alice`.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Unauthenticated(Principal::Anonymous) => f.write_str("anonymous"),
            Who::Unauthenticated(Principal::ExternallySecured) => f.write_str("externally secured"),
            Who::Unauthenticated(principal) => principal.fmt(f),
            Who::Users(names) => f.write_str(&names.join(", ")),
            Who::UsersBut(names) if names.is_empty() => f.write_str("any user"),
            Who::UsersBut(names) => write!(f, "any user but {}", names.join(", ")),
            Who::Servers(names) => write!(f, "servers by certificate: {}", names.join(", ")),
            Who::Partners(domains) => {
                let domains: Vec<&str> = domains.iter().map(Domain::as_str).collect();
                write!(f, "partners by certificate: {}", domains.join(", "))
            }
        }
    }
}

/// What a principal that may submit may do on a connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Capability {
    /// All rights that can be held at the worst, Submit among them.
    pub rights: Rights,
    /// Those of them that hang on a condition, or end some day.
    pub unsure: Rights,
    /// The terms of those.
    pub limited: Arc<[Limited]>,
    /// Whom it may write to.
    pub reach: Reach,
    /// Whom it may write as.
    pub senders: Scope,
    /// Whether its messages count as authenticated and internal.
    pub is_internal: bool,
    /// Whether filters let it pass.
    pub bypasses_anti_spam: bool,
    /// The largest message, in bytes.
    pub message_bytes_max: u64,
    /// Whether only inside TLS.
    pub needs_tls: bool,
}

impl Capability {
    /// Under which terms a right is held; none: whatever comes, or not at all.
    pub fn terms_of(&self, right: Right) -> Option<&Terms> {
        Limited::terms_of(&self.limited, right)
    }

    /// Whether it may send to any recipient, but only under terms.
    pub fn relays_under_terms(&self) -> bool {
        let is_unsure = |right| self.unsure.contains(right);
        self.reach == Reach::AnyRecipient && (is_unsure(Right::AcceptAnyRecipient) || is_unsure(Right::Submit))
    }
}

/// One kind of principal on a connector, and what it may do; nothing where it may not even submit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Who.
    pub who: Who,
    /// What it may do.
    pub capability: Option<Capability>,
}

/// What each kind of principal that can arise on `connector` may do there. Users who may do the same are one kind; users
/// who may not submit cannot authenticate, and do not arise.
pub fn standings(connector: &ReceiveConnector, settings: &Settings, now_ms: u64) -> Vec<Standing> {
    let unauthenticated = initial_principal(connector);
    let capability = capability(connector, &unauthenticated, connector.implicit_tls, now_ms);
    let mut standings = vec![Standing { who: Who::Unauthenticated(unauthenticated), capability }];
    standings.extend(by_certificate(connector, settings, now_ms));
    let Some(users) = users(connector, settings) else { return standings };
    let of = |principal: &Principal| {
        let admitted = may_authenticate(granted_at_worst(connector, principal, now_ms)).is_ok();
        capability_of_user(connector, principal, now_ms).filter(|_| admitted)
    };
    let others = users.other.as_ref().map(&of);
    let mut apart: Vec<Arc<str>> = Vec::new();
    let mut groups: Vec<(Capability, Vec<Arc<str>>)> = Vec::new();
    for principal in &users.named {
        let Principal::User(name) = principal else { continue };
        let capability = of(principal);
        if others.as_ref() == Some(&capability) {
            continue;
        }
        apart.push(name.clone());
        let Some(capability) = capability else { continue };
        match groups.iter_mut().find(|(known, _)| *known == capability) {
            Some((_, names)) => names.push(name.clone()),
            None => groups.push((capability, vec![name.clone()])),
        }
    }
    if let Some(Some(capability)) = others {
        standings.push(Standing { who: Who::UsersBut(apart), capability: Some(capability) });
    }
    let groups = groups.into_iter();
    standings
        .extend(groups.map(|(capability, names)| Standing { who: Who::Users(names), capability: Some(capability) }));
    standings
}

/// Whom certificates can make of peers; servers may all do the same, since entries know them only together.
fn by_certificate(connector: &ReceiveConnector, settings: &Settings, now_ms: u64) -> Vec<Standing> {
    let mut servers = Vec::new();
    let mut standings = Vec::new();
    for principal in peer_certificate::principals(connector, settings, now_ms) {
        let capability = capability(connector, &principal, true, now_ms);
        match principal {
            Principal::Server(name) => servers.push((name, capability)),
            Principal::Partner(domains) => standings.push(Standing { who: Who::Partners(domains), capability }),
            _ => {}
        }
    }
    if let Some((_, capability)) = servers.first().cloned() {
        let names = servers.into_iter().map(|(name, _)| name).collect();
        standings.insert(0, Standing { who: Who::Servers(names), capability });
    }
    standings
}

/// Every principal that can arise on `connector`; one stands for all users that no entry names.
pub(crate) fn principals(connector: &ReceiveConnector, settings: &Settings, now_ms: u64) -> Vec<Principal> {
    let users = users(connector, settings).into_iter().flat_map(|users| users.other.into_iter().chain(users.named));
    let by_certificate = peer_certificate::principals(connector, settings, now_ms);
    std::iter::once(initial_principal(connector)).chain(by_certificate).chain(users).collect()
}

/// Whether messages count as authenticated and internal; the peer may always say that one is not.
pub(crate) fn is_internal(rights: Rights, principal: &Principal) -> bool {
    auth_as(rights, principal, None) == AuthAs::Internal
}

/// The first entry that gives `right` to `principal`, now or under some condition.
pub(crate) fn entry_granting<'a>(
    connector: &'a ReceiveConnector,
    right: Right,
    principal: &Principal,
    now_ms: u64,
) -> Option<&'a AccessEntry> {
    let gives = |entry: &&AccessEntry| entry.access == Access::Allow && entry.rights.contains(right);
    let mut giving = connector.entries.iter().filter(gives);
    giving.find(|entry| entry.trustee.covers(principal) && !entry.is_expired(now_ms))
}

/// Whether a peer can be asked for a password: inside TLS or outside.
pub(crate) fn authentication_is_possible(connector: &ReceiveConnector) -> bool {
    is_offered_without_tls(connector) || is_offered_inside_tls(connector)
}

/// Whether a password can be sent without TLS.
pub(super) fn is_offered_without_tls(connector: &ReceiveConnector) -> bool {
    !connector.implicit_tls && !auth_offered(connector, false).is_empty()
}

fn is_offered_inside_tls(connector: &ReceiveConnector) -> bool {
    let tls_is_possible = connector.implicit_tls || starttls_offered(connector, false);
    tls_is_possible && !auth_offered(connector, true).is_empty()
}

fn capability_of_user(connector: &ReceiveConnector, principal: &Principal, now_ms: u64) -> Option<Capability> {
    capability(connector, principal, !is_offered_without_tls(connector), now_ms)
}

fn capability(
    connector: &ReceiveConnector,
    principal: &Principal,
    inside_tls: bool,
    now_ms: u64,
) -> Option<Capability> {
    let rights = granted_at_worst(connector, principal, now_ms);
    may_submit(rights, principal).ok()?;
    let unsure = rights & !granted_for_sure(connector, principal, now_ms);
    Some(Capability {
        rights,
        unsure,
        limited: Limited::of(connector, principal, unsure, now_ms),
        reach: reach(rights),
        senders: scope(rights, principal),
        is_internal: is_internal(rights, principal),
        bypasses_anti_spam: rights.contains(Right::BypassAntiSpam),
        message_bytes_max: message_bytes_max(connector, rights),
        needs_tls: inside_tls || tls_required(connector, false).is_err(),
    })
}

/// The users who can authenticate on a connector.
struct Users {
    /// Those whom an entry names.
    named: Vec<Principal>,
    /// One of those whom no entry names.
    other: Option<Principal>,
}

/// `None` where nobody can authenticate.
fn users(connector: &ReceiveConnector, settings: &Settings) -> Option<Users> {
    if settings.users.is_empty() || !authentication_is_possible(connector) {
        return None;
    }
    let mut seen = HashSet::new();
    let named: Vec<Principal> = connector
        .entries
        .iter()
        .flat_map(|entry| match &entry.trustee {
            Trustee::User(name) => std::slice::from_ref(name),
            Trustee::Group(group) => group.members(),
            _ => &[],
        })
        .filter_map(|name| settings.find_user(name))
        .filter(|user| seen.insert(user.name.clone()))
        .map(|user| Principal::User(user.name.clone()))
        .collect();
    // At most one user more than there are named ones is looked at.
    let other = settings.users.iter().find(|user| !seen.contains(&user.name));
    Some(Users { named, other: other.map(|user| Principal::User(user.name.clone())) })
}
