//! Who may do what: permission groups, trustees, principals and the entries that give them rights (fact sheet sections 2.2
//! to 2.4).
//!
//! Takes names as Exchange writes them, hands on values. Decides nothing: `permission::granted` does.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use gatepost_mail::Domain;

use crate::condition::{Condition, Patterns};
use crate::note::Note;
pub use crate::right::{Right, Rights};

/// A named set of rights for named trustees (fact sheet section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PermissionGroup {
    /// Whoever did not authenticate.
    AnonymousUsers,
    /// Whoever authenticated as a user.
    ExchangeUsers,
    /// Exchange servers, and hosts on an externally secured connector.
    ExchangeServers,
    /// Exchange 2003 servers.
    ExchangeLegacyServers,
    /// Partners that mutual TLS identified.
    Partners,
}

/// What the groups AnonymousUsers, ExchangeUsers, and so on, give (fact sheet section 2.2, one constant per column).
mod columns {
    use super::{Right, Rights};

    pub const ANONYMOUS: Rights = Rights::of(&[
        Right::Submit,
        Right::AcceptAnySender,
        Right::AcceptAuthoritativeDomainSender,
        Right::AcceptHeadersRouting,
    ]);
    pub const USERS: Rights =
        Rights::of(&[Right::Submit, Right::AcceptAnyRecipient, Right::AcceptHeadersRouting, Right::BypassAntiSpam]);
    pub const SERVERS: Rights = Rights::ALL;
    pub const EXTERNALLY_SECURED: Rights = Rights::of(&[
        Right::Submit,
        Right::AcceptAnyRecipient,
        Right::AcceptAnySender,
        Right::AcceptAuthoritativeDomainSender,
        Right::AcceptAuthenticationFlag,
        Right::AcceptHeadersRouting,
        Right::BypassAntiSpam,
        Right::BypassMessageSizeLimit,
        Right::AcceptExch50,
    ]);
    pub const LEGACY: Rights = EXTERNALLY_SECURED;
    pub const LEGACY_DENIED: Rights = Rights::of(&[Right::AcceptHeadersOrganization, Right::AcceptHeadersForest]);
    pub const PARTNERS: Rights = Rights::of(&[Right::Submit, Right::AcceptHeadersRouting]);
}

impl PermissionGroup {
    /// Every group, in Exchange's order.
    pub const ALL: [PermissionGroup; 5] = [
        PermissionGroup::AnonymousUsers,
        PermissionGroup::ExchangeUsers,
        PermissionGroup::ExchangeServers,
        PermissionGroup::ExchangeLegacyServers,
        PermissionGroup::Partners,
    ];

    /// The name as Exchange spells it.
    pub const fn exchange_name(self) -> &'static str {
        match self {
            PermissionGroup::AnonymousUsers => "AnonymousUsers",
            PermissionGroup::ExchangeUsers => "ExchangeUsers",
            PermissionGroup::ExchangeServers => "ExchangeServers",
            PermissionGroup::ExchangeLegacyServers => "ExchangeLegacyServers",
            PermissionGroup::Partners => "Partners",
        }
    }

    /// The entries that ticking this group writes.
    pub fn entries(self) -> Vec<AccessEntry> {
        let entry = |trustee, access, rights| AccessEntry {
            trustee,
            access,
            rights,
            condition: None,
            note: None,
            source: Source::Group(self),
            span: 0..0,
        };
        match self {
            PermissionGroup::AnonymousUsers => vec![entry(Trustee::AnonymousLogon, Access::Allow, columns::ANONYMOUS)],
            PermissionGroup::ExchangeUsers => vec![entry(Trustee::AuthenticatedUsers, Access::Allow, columns::USERS)],
            PermissionGroup::ExchangeServers => vec![
                entry(Trustee::ExchangeServers, Access::Allow, columns::SERVERS),
                entry(Trustee::EdgeTransportServers, Access::Allow, columns::SERVERS),
                entry(Trustee::HubTransportServers, Access::Allow, columns::SERVERS),
                entry(Trustee::ExternallySecuredServers, Access::Allow, columns::EXTERNALLY_SECURED),
            ],
            PermissionGroup::ExchangeLegacyServers => vec![
                entry(Trustee::LegacyExchangeServers, Access::Deny, columns::LEGACY_DENIED),
                entry(Trustee::LegacyExchangeServers, Access::Allow, columns::LEGACY),
            ],
            PermissionGroup::Partners => vec![entry(Trustee::PartnerServers, Access::Allow, columns::PARTNERS)],
        }
    }
}

/// The groups ticked on a connector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermissionGroups(u8);

impl PermissionGroups {
    /// No group: the connector accepts no mail until an entry is added.
    pub const NONE: PermissionGroups = PermissionGroups(0);

    /// Whether `group` is ticked.
    pub const fn contains(self, group: PermissionGroup) -> bool {
        self.0 & (1 << group as u8) != 0
    }

    /// Ticks a group.
    pub fn insert(&mut self, group: PermissionGroup) {
        self.0 |= 1 << group as u8;
    }

    /// The ticked groups, in Exchange's order.
    pub fn iter(self) -> impl Iterator<Item = PermissionGroup> {
        PermissionGroup::ALL.into_iter().filter(move |group| self.contains(*group))
    }
}

/// As Exchange lists flags: `AnonymousUsers, ExchangeUsers`, or `None`.
impl fmt::Display for PermissionGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == PermissionGroups::NONE {
            return f.write_str("None");
        }
        for (i, group) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(group.exchange_name())?;
        }
        Ok(())
    }
}

/// Whom an entry speaks of: one of the well-known names of fact sheet section 2.2, one user, or a group of users.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trustee {
    /// `NT AUTHORITY\ANONYMOUS LOGON`.
    AnonymousLogon,
    /// `NT AUTHORITY\Authenticated Users`.
    AuthenticatedUsers,
    /// `Everyone`: every principal.
    Everyone,
    /// `<Domain>\Exchange Servers`.
    ExchangeServers,
    /// `MS Exchange\Edge Transport Servers`.
    EdgeTransportServers,
    /// `MS Exchange\Hub Transport Servers`.
    HubTransportServers,
    /// `MS Exchange\Externally Secured Servers`.
    ExternallySecuredServers,
    /// `<Domain>\ExchangeLegacyInterop`, also `MS Exchange\Legacy Exchange Servers`.
    LegacyExchangeServers,
    /// `MS Exchange\Partner Servers`.
    PartnerServers,
    /// A user, by the name declared in the settings.
    User(Arc<str>),
    /// A group of users.
    Group(UserGroup),
}

/// A group of users, as they name it themselves in their `groups`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserGroup {
    name: Arc<str>,
    /// Ascending by lower-case name, each once.
    members: Arc<[Arc<str>]>,
}

impl UserGroup {
    /// A group of the users with these names.
    pub fn new(name: Arc<str>, mut members: Vec<Arc<str>>) -> UserGroup {
        members.sort_by(|one, other| order_of_names(one, other));
        members.dedup_by(|one, other| order_of_names(one, other).is_eq());
        UserGroup { name, members: members.into() }
    }

    /// What it is called.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The names of its users.
    pub fn members(&self) -> &[Arc<str>] {
        &self.members
    }

    /// Whether the user with this name, in any case, is in the group.
    pub fn contains(&self, name: &str) -> bool {
        self.members.binary_search_by(|member| order_of_names(member, name)).is_ok()
    }
}

impl Trustee {
    /// The well-known trustees.
    pub const WELL_KNOWN: [Trustee; 9] = [
        Trustee::AnonymousLogon,
        Trustee::AuthenticatedUsers,
        Trustee::Everyone,
        Trustee::ExchangeServers,
        Trustee::EdgeTransportServers,
        Trustee::HubTransportServers,
        Trustee::ExternallySecuredServers,
        Trustee::LegacyExchangeServers,
        Trustee::PartnerServers,
    ];

    /// Reads a well-known name, in any case. The authority before the backslash may be left out; where it differs by
    /// site (`CONTOSO\Exchange Servers`) any is taken. `None` for everything else, which is then a user.
    pub fn parse_well_known(name: &str) -> Option<Trustee> {
        let (authority, account) = match name.split_once('\\') {
            Some((authority, account)) => (Some(authority), account),
            None => (None, name),
        };
        let is = |expected_authority: Option<&str>, names: &[&str]| {
            names.iter().any(|n| n.eq_ignore_ascii_case(account))
                && match (authority, expected_authority) {
                    (None, _) | (_, None) => true,
                    (Some(given), Some(expected)) => given.eq_ignore_ascii_case(expected),
                }
        };
        if is(Some("NT AUTHORITY"), &["ANONYMOUS LOGON"]) {
            Some(Trustee::AnonymousLogon)
        } else if is(Some("NT AUTHORITY"), &["Authenticated Users"]) {
            Some(Trustee::AuthenticatedUsers)
        } else if authority.is_none() && account.eq_ignore_ascii_case("Everyone") {
            Some(Trustee::Everyone)
        } else if is(Some("MS Exchange"), &["Edge Transport Servers"]) {
            Some(Trustee::EdgeTransportServers)
        } else if is(Some("MS Exchange"), &["Hub Transport Servers"]) {
            Some(Trustee::HubTransportServers)
        } else if is(Some("MS Exchange"), &["Externally Secured Servers"]) {
            Some(Trustee::ExternallySecuredServers)
        } else if is(Some("MS Exchange"), &["Partner Servers"]) {
            Some(Trustee::PartnerServers)
        } else if is(Some("MS Exchange"), &["Legacy Exchange Servers"]) || is(None, &["ExchangeLegacyInterop"]) {
            Some(Trustee::LegacyExchangeServers)
        } else if is(None, &["Exchange Servers"]) {
            Some(Trustee::ExchangeServers)
        } else {
            None
        }
    }

    /// Whether `principal` carries this trustee in its token (fact sheet section 2.4). `Everyone` is everyone: we do
    /// not follow Windows into leaving anybody out of it.
    pub fn covers(&self, principal: &Principal) -> bool {
        match (self, principal) {
            (Trustee::Everyone, _) => true,
            (Trustee::AnonymousLogon, Principal::Anonymous) => true,
            (Trustee::AuthenticatedUsers, Principal::User(_)) => true,
            (Trustee::User(entry), Principal::User(name)) => entry == name || order_of_names(entry, name).is_eq(),
            (Trustee::Group(group), Principal::User(name)) => group.contains(name),
            (
                Trustee::ExchangeServers | Trustee::EdgeTransportServers | Trustee::HubTransportServers,
                Principal::Server(_),
            ) => true,
            (Trustee::ExternallySecuredServers, Principal::ExternallySecured) => true,
            (Trustee::LegacyExchangeServers, Principal::LegacyServer) => true,
            (Trustee::PartnerServers, Principal::Partner(_)) => true,
            _ => false,
        }
    }
}

/// The order of the names of users: case makes no difference, in any script.
fn order_of_names(one: &str, other: &str) -> Ordering {
    one.chars().flat_map(char::to_lowercase).cmp(other.chars().flat_map(char::to_lowercase))
}

/// With its authority, as settings and logs show it.
impl fmt::Display for Trustee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trustee::AnonymousLogon => r"NT AUTHORITY\ANONYMOUS LOGON",
            Trustee::AuthenticatedUsers => r"NT AUTHORITY\Authenticated Users",
            Trustee::Everyone => "Everyone",
            Trustee::ExchangeServers => "Exchange Servers",
            Trustee::EdgeTransportServers => r"MS Exchange\Edge Transport Servers",
            Trustee::HubTransportServers => r"MS Exchange\Hub Transport Servers",
            Trustee::ExternallySecuredServers => r"MS Exchange\Externally Secured Servers",
            Trustee::LegacyExchangeServers => r"MS Exchange\Legacy Exchange Servers",
            Trustee::PartnerServers => r"MS Exchange\Partner Servers",
            Trustee::User(name) => name,
            Trustee::Group(group) => &group.name,
        })
    }
}

/// Who the peer is now (fact sheet section 2.4). Authenticating replaces the principal: anonymous rights do not survive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Whoever did not authenticate.
    Anonymous,
    /// An authenticated user, by the name declared in the settings.
    User(Arc<str>),
    /// A server of the organization that its certificate identified, by its name in the settings.
    Server(Arc<str>),
    /// A partner that its certificate identified, by the domains that it proves; at least one.
    Partner(Arc<[Domain]>),
    /// A host that an externally secured connector trusts from the first moment.
    ExternallySecured,
    /// An Exchange 2003 server; nothing that a peer can show makes it one here.
    LegacyServer,
}

impl Principal {
    /// Whether the peer is anonymous.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Principal::Anonymous)
    }
}

/// As logs show it: `NT AUTHORITY\ANONYMOUS LOGON`, `alice`, `MS Exchange\Partner Servers (fabrikam.example)`.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Anonymous => f.write_str(r"NT AUTHORITY\ANONYMOUS LOGON"),
            Principal::User(name) => f.write_str(name),
            Principal::Server(name) => write!(f, "Exchange Servers ({name})"),
            Principal::Partner(domains) => {
                f.write_str(r"MS Exchange\Partner Servers (")?;
                for (place, domain) in domains.iter().enumerate() {
                    write!(f, "{}{domain}", if place == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Principal::ExternallySecured => f.write_str(r"MS Exchange\Externally Secured Servers"),
            Principal::LegacyServer => f.write_str(r"MS Exchange\Legacy Exchange Servers"),
        }
    }
}

/// What an entry does with its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Grants them.
    Allow,
    /// Takes them away, whoever else grants them.
    Deny,
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Written by a ticked permission group.
    Group(PermissionGroup),
    /// Declared by itself (`[[receive_connector.permission]]`, Add-ADPermission).
    Extra,
}

/// One access-control entry of a receive connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEntry {
    /// Whom it speaks of.
    pub trustee: Trustee,
    /// Grant or take away.
    pub access: Access,
    /// What.
    pub rights: Rights,
    /// Under which circumstances; without one always.
    pub condition: Option<Box<Condition>>,
    /// Whose it is, why, and until when.
    pub note: Option<Box<Note>>,
    /// Where it comes from.
    pub source: Source,
    /// Where it stands in the settings document, in bytes; the `permission_groups` value for entries of a group.
    pub span: Range<usize>,
}

impl AccessEntry {
    /// Whether the entry no longer holds.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.note.as_ref().is_some_and(|note| note.is_expired(now_ms))
    }

    /// What the entry says but how often, of whom and until when it says it: two entries with one meaning can differ only
    /// in these. The order in which things were written makes no difference.
    pub fn meaning(&self) -> String {
        let list = |name: &str, patterns: Option<&Patterns>| {
            let Some(patterns) = patterns else { return String::new() };
            let mut texts: Vec<String> = patterns.texts().iter().map(|text| text.to_lowercase()).collect();
            texts.sort_unstable();
            format!("\n{name} {}", texts.join(" "))
        };
        let condition = self.condition.as_deref();
        let senders = list("senders", condition.and_then(|condition| condition.senders.as_ref()));
        let recipients = list("recipients", condition.and_then(|condition| condition.recipients.as_ref()));
        let hours = condition.and_then(|condition| condition.hours.as_ref());
        let hours = hours.map_or(String::new(), |hours| format!("\nhours {hours}"));
        let trustee = self.trustee.to_string().to_lowercase();
        format!("{:?} {trustee}\n{}{senders}{recipients}{hours}", self.access, self.rights)
    }

    /// Whether the entry will stop holding one day, or has.
    pub fn expires(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.expires_ms.is_some())
    }
}
