//! Mailbox delivery: which server holds the mailboxes of a domain, where they are not Maildirs here.
//!
//! Takes `[mailbox_delivery]` and what accepted domains say instead, hands on the way to a server. Only what the directory
//! has found to be a mailbox ever goes there.

use std::collections::HashMap;
use std::sync::Arc;

use crate::accepted_domain::AcceptedDomain;
use crate::send_connector::SendConnector;

/// What the way to a mailbox server is called in listings and logs. No send connector can have this name.
pub const NAME: &str = "mailbox delivery";

/// Where mail for mailboxes goes: `None` is a Maildir here.
pub type Delivery = Option<Arc<SendConnector>>;

/// `[mailbox_delivery]`, and what differs for some accepted domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailboxDelivery {
    default: Delivery,
    /// By the name of the accepted domain, and whether it was declared with `*.`.
    differing: HashMap<Box<str>, Vec<(bool, Delivery)>>,
}

impl MailboxDelivery {
    /// Puts the parts together.
    pub fn new(default: Delivery, differing: Vec<(&AcceptedDomain, Delivery)>) -> MailboxDelivery {
        let mut delivery = MailboxDelivery { default, differing: HashMap::new() };
        for (accepted, differs) in differing {
            let name = accepted.domain.as_str().into();
            delivery.differing.entry(name).or_default().push((accepted.with_subdomains, differs));
        }
        delivery
    }

    /// The way to the server that holds the mailboxes of `accepted`; `None`: they are Maildirs here.
    pub fn server(&self, accepted: Option<&AcceptedDomain>) -> Option<&Arc<SendConnector>> {
        let differing = || {
            let accepted = accepted.filter(|_| !self.differing.is_empty())?;
            let differing = self.differing.get(accepted.domain.as_str())?;
            differing.iter().find(|(with_subdomains, _)| *with_subdomains == accepted.with_subdomains)
        };
        differing().map_or(&self.default, |(_, delivery)| delivery).as_ref()
    }

    /// Whether both say the same, wherever that stands in the settings document.
    pub fn is_like(&self, other: &MailboxDelivery) -> bool {
        let delivery_is_like = |one: &Delivery, other: &Delivery| match (one, other) {
            (Some(one), Some(other)) => one.is_like(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let all_are_alike = |one: &[(bool, Delivery)], other: &[(bool, Delivery)]| {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| one.0 == other.0 && delivery_is_like(&one.1, &other.1))
        };
        let mut differing = self.differing.iter();
        delivery_is_like(&self.default, &other.default)
            && self.differing.len() == other.differing.len()
            && differing.all(|(name, one)| other.differing.get(name).is_some_and(|other| all_are_alike(one, other)))
    }

    /// Whether `accepted` says itself where its mailboxes are.
    pub fn differs_for(&self, accepted: &AcceptedDomain) -> bool {
        let differing = self.differing.get(accepted.domain.as_str());
        differing.into_iter().flatten().any(|(with_subdomains, _)| *with_subdomains == accepted.with_subdomains)
    }

    /// The ways to all mailbox servers.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<SendConnector>> {
        let differing = self.differing.values().flatten().filter_map(|(_, delivery)| delivery.as_ref());
        self.default.iter().chain(differing)
    }

    /// Whether every mailbox is a Maildir here.
    pub fn is_here(&self) -> bool {
        self.default.is_none() && self.differing.is_empty()
    }
}
