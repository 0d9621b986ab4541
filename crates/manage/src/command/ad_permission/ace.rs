//! The access-control entries of a connector, of either direction, in one form.

use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_policy::condition::Condition;
use gatepost_policy::note::Note;
use gatepost_policy::permission::{Access, PermissionGroup, Principal, Right, Source, Trustee};
use gatepost_policy::receive_connector::ReceiveConnector;
use gatepost_policy::send_connector::SendConnector;
use gatepost_policy::send_right::{SendRight, SendRights};
use gatepost_policy::settings::nearest;

use super::super::server::short_name;
use super::super::{CommandError, receive_connector};
use crate::edit::Target;

/// A connector whose rights are asked about.
#[derive(Clone, Copy)]
pub enum Holder<'a> {
    /// One that hears.
    Receive(&'a ReceiveConnector),
    /// One that sends.
    Send(&'a SendConnector),
}

/// Who wrote an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A ticked permission group.
    Group(PermissionGroup),
    /// It is so on every send connector.
    Default,
    /// Somebody, by itself; its place among these.
    Extra(usize),
}

/// What one account may do, or may not.
#[derive(Clone, Debug)]
pub struct Ace<'a> {
    /// Whom it is for.
    pub trustee: &'a Trustee,
    /// Whether it takes away.
    pub is_denied: bool,
    /// What.
    pub rights: Vec<&'static str>,
    /// Under which circumstances.
    pub condition: Option<&'a Condition>,
    /// Whose it is, and until when.
    pub note: Option<&'a Note>,
    /// Who wrote it.
    pub origin: Origin,
}

impl Ace<'_> {
    /// Whether it holds always.
    pub fn is_plain(&self) -> bool {
        self.condition.is_none() && self.note.is_none_or(|note| note.expires_ms.is_none())
    }
}

/// Whom the next hop of a send connector can be taken for, with what each holds by default.
static BY_DEFAULT: [(Trustee, Principal); 2] = [
    (Trustee::AnonymousLogon, Principal::Anonymous),
    (Trustee::ExternallySecuredServers, Principal::ExternallySecured),
];

impl<'a> Holder<'a> {
    /// The connector of this identity: a receive connector, else a send connector.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn find(settings: &'a Settings, identity: &str) -> Result<Holder<'a>, CommandError> {
        match receive_connector::find(settings, identity) {
            Ok(connector) => Ok(Holder::Receive(connector)),
            Err(error) => settings.send_connector(identity.trim()).map(|found| Holder::Send(found)).ok_or(error),
        }
    }

    /// The same, or those that match a name with wildcards.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn search(settings: &'a Settings, identity: &str) -> Result<Vec<Holder<'a>>, CommandError> {
        if !identity.contains(['*', '?']) {
            return Ok(vec![Holder::find(settings, identity)?]);
        }
        let found = receive_connector::search(settings, identity)?;
        Ok(found.into_iter().map(|connector: &Arc<ReceiveConnector>| Holder::Receive(connector)).collect())
    }

    /// As listings show it.
    pub fn identity(&self, settings: &Settings) -> String {
        match self {
            Holder::Receive(connector) => format!("{}\\{}", short_name(&settings.server.name), connector.name),
            Holder::Send(connector) => connector.name.to_string(),
        }
    }

    /// Its place in the document.
    pub fn target(&self) -> Target {
        match self {
            Holder::Receive(connector) => Target::named("receive_connector", &*connector.name),
            Holder::Send(connector) => Target::named("send_connector", &*connector.name),
        }
    }

    /// Everything that is said of rights on it.
    pub fn aces(&self) -> Vec<Ace<'a>> {
        match self {
            Holder::Receive(connector) => {
                let mut extra = 0;
                let ace = |entry: &'a gatepost_policy::permission::AccessEntry| Ace {
                    trustee: &entry.trustee,
                    is_denied: entry.access == Access::Deny,
                    rights: entry.rights.iter().map(Right::exchange_name).collect(),
                    condition: entry.condition.as_deref(),
                    note: entry.note.as_deref(),
                    origin: match entry.source {
                        Source::Group(group) => Origin::Group(group),
                        Source::Extra => {
                            extra += 1;
                            Origin::Extra(extra - 1)
                        }
                    },
                };
                connector.entries.iter().map(ace).collect()
            }
            Holder::Send(connector) => {
                let of = |rights: SendRights| {
                    let held = SendRight::ALL.into_iter().filter(move |right| rights.contains(*right));
                    held.map(SendRight::exchange_name).collect()
                };
                let by_default = BY_DEFAULT.iter().map(|(trustee, principal)| Ace {
                    trustee,
                    is_denied: false,
                    rights: of(SendRights::by_default(principal)),
                    condition: None,
                    note: None,
                    origin: Origin::Default,
                });
                let entries = connector.entries.iter().enumerate().map(|(place, entry)| Ace {
                    trustee: &entry.trustee,
                    is_denied: entry.access == Access::Deny,
                    rights: of(entry.rights),
                    condition: None,
                    note: entry.note.as_deref(),
                    origin: Origin::Extra(place),
                });
                by_default.chain(entries).collect()
            }
        }
    }

    /// The right of this name on connectors of this direction.
    ///
    /// # Errors
    /// [`CommandError::Wrong`] with the nearest name.
    pub fn right(&self, name: &str) -> Result<&'static str, CommandError> {
        let (found, known): (_, Vec<&'static str>) = match self {
            Holder::Receive(_) => {
                (Right::parse(name).map(Right::exchange_name), Right::ALL.map(Right::exchange_name).to_vec())
            }
            Holder::Send(_) => (
                SendRight::parse(name).map(SendRight::exchange_name),
                SendRight::ALL.map(SendRight::exchange_name).to_vec(),
            ),
        };
        found.ok_or_else(|| {
            let remedy = match nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("the rights are {}", known.join(", ")),
            };
            let name: String = name.chars().take(80).collect();
            CommandError::Wrong(format!("the extended right '{}' wasn't found: {remedy}", name.escape_debug()))
        })
    }
}
