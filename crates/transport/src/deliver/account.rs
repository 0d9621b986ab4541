//! What is recorded of a connection of ours: when it was opened for which way, and why it ended.
//!
//! Noted when the connection is gone, whoever lets it go; or at once where there was none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use gatepost_mail::Reply;
use gatepost_policy::route::NextHop;
use gatepost_policy::send_connector::SendConnector;
use gatepost_tracking::decision::bounded;
use gatepost_tracking::passport::event::{Event, Outbound, Way};

use crate::clock::{self, now_ms};
use crate::dns::Target;
use crate::passports::Over;
use crate::state::Running;

/// The account of one connection, from before it is opened.
pub(super) struct Account {
    running: Arc<Running>,
    way: Way,
    time_ms: u64,
    began: Instant,
}

impl Account {
    pub(super) fn begin(running: &Arc<Running>, connector: &SendConnector, next_hop: &NextHop) -> Account {
        let way = Way { connector: connector.name.clone(), next_hop: next_hop.to_string().into() };
        Account { running: running.clone(), way, time_ms: now_ms(), began: clock::now() }
    }

    /// There was nobody to open one to.
    pub(super) fn found_nobody(self, reply: &Reply) {
        self.record(None, Over { address: None, tls: None }, 0, &reply.to_string(), false);
    }

    /// It could not be opened.
    pub(super) fn failed(self, target: &Target, reply: &Reply) {
        let over = Over { address: address_of(target), tls: None };
        self.record(Some(target), over, 0, &reply.to_string(), false);
    }

    /// It was opened, and has ended after so many transactions.
    pub(super) fn ended(self, target: &Target, over: Over, messages: u32, end: &str) {
        self.record(Some(target), over, messages, end, true);
    }

    fn record(self, target: Option<&Target>, over: Over, messages: u32, end: &str, is_opened: bool) {
        let Account { running, way, time_ms, began } = self;
        let duration_ms = u64::try_from(clock::now().saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX);
        let Over { address, tls } = over;
        let remote = target.map(|target| bounded(&target.name));
        let end = bounded(end);
        let outbound = Outbound { time_ms, duration_ms, way, remote, address, tls, messages, end, is_opened };
        running.tracking.note(Event::Outbound(Box::new(outbound)));
    }
}

/// A socket of this machine has none.
pub(super) fn address_of(target: &Target) -> Option<SocketAddr> {
    target.path.is_none().then_some(target.address)
}
