//! What a document says that was read before: elements of lists of tables whose text has not changed.
//!
//! Takes them from `again`, hands each to whoever comes to its header while the document is read. What it
//! holds was read without a word: an element that something is to be said of is read again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::User;
use crate::accepted_domain::AcceptedDomain;
use crate::directory::KnownRecipient;
use crate::receive_connector::ReceiveConnector;
use crate::send_connector::SendConnector;

/// The elements of all lists that can be long. The others are read each time.
#[derive(Default)]
pub(super) struct Known {
    pub accepted_domains: Elements<AcceptedDomain>,
    pub users: Elements<Arc<User>>,
    pub mailboxes: Elements<Recipient>,
    pub contacts: Elements<Recipient>,
    pub groups: Elements<Recipient>,
    pub receive_connectors: Elements<Arc<ReceiveConnector>>,
    pub send_connectors: Elements<Arc<SendConnector>>,
}

/// A recipient, and where its address stands.
pub(super) type Recipient = (Arc<KnownRecipient>, Range<usize>);

impl Known {
    /// Whether each of them was come to.
    pub fn is_used_up(&self) -> bool {
        let Known { accepted_domains, users, mailboxes, contacts, groups, receive_connectors, send_connectors } = self;
        let recipients = [mailboxes, contacts, groups].into_iter().all(|recipients| recipients.0.is_empty());
        let connectors = receive_connectors.0.is_empty() && send_connectors.0.is_empty();
        accepted_domains.0.is_empty() && users.0.is_empty() && recipients && connectors
    }
}

/// The known elements of one list, with the places of their headers, ascending.
pub(super) struct Elements<T>(VecDeque<(usize, T)>);

impl<T> Elements<T> {
    /// Another one, behind the others.
    pub fn push(&mut self, header: usize, element: T) {
        self.0.push_back((header, element));
    }

    /// The one whose header this is; its keys are left out of the document that is read. To be asked for in the order of the
    /// document.
    pub fn take(&mut self, (table, header): (&DeTable<'_>, &Range<usize>)) -> Option<T> {
        let is_here = table.is_empty() && self.0.front().is_some_and(|(place, _)| *place == header.start);
        if is_here { self.0.pop_front().map(|(_, element)| element) } else { None }
    }
}

impl<T> Default for Elements<T> {
    fn default() -> Self {
        Elements(VecDeque::new())
    }
}
