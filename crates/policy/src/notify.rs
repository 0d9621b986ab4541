//! Step 9 of 9 - report: who is told what became of a recipient (RFC 3461 section 4.1, RFC 5321 section 6.1; fact sheet
//! section 4.10).
//!
//! Takes what became of it, the envelope and the settings; hands on whether the sender is to be told, in which words for
//! inside or outside, how much of the original goes back, who is told where no sender can be, and whether so many reports
//! have gone to somebody lately that the rest is to be put together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Arrival, Domain, Mailbox, Notify, Return, ReversePath, Status};

use crate::accepted_domain::AcceptedDomains;
use crate::receive_connector::ReceiveConnector;
use crate::remote_domain::{self, RemoteDomains};

/// What became of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It will not be delivered.
    Failed,
    /// It has not been delivered yet.
    Delayed,
    /// It was delivered.
    Delivered,
}

/// What reports say to one side of the organization's border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Whether senders there hear of delays (Exchange: InternalDelayDsnEnabled, ExternalDelayDsnEnabled).
    pub delay_enabled: bool,
    /// The whole original goes back up to this size; of larger ones the header section. In bytes.
    pub attach_bytes_max: u64,
    /// The name that we report under there; `None` is the server's.
    pub reporting_authority: Option<Domain>,
}

/// `[reports]` and `[notices]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// For senders of our own domains.
    pub internal: Side,
    /// For all others.
    pub external: Side,
    /// How long a recipient waits before its sender hears of it.
    pub delay_notification_timeout: Duration,
    /// A report of failure with one of these codes goes to the postmaster, too.
    pub generate_copy_of_dsn_for: Arc<[Status]>,
    /// So many reports of failure to one sender within an hour are sent one by one; what comes then is put together into
    /// one at the end of the hour. 0: there is no limit.
    pub sender_reports_per_hour: u32,
    /// Whether somebody else is told of failures whose sender cannot be.
    pub notices_enabled: bool,
    /// Who is told where the range that brought the message has no owner.
    pub notices_to: Option<Mailbox>,
    /// As `sender_reports_per_hour`, for notices to one owner; never without limit.
    pub notices_per_hour: u32,
}

impl Default for ReportSettings {
    fn default() -> ReportSettings {
        let side = Side { delay_enabled: true, attach_bytes_max: 10 << 20, reporting_authority: None };
        ReportSettings {
            internal: side.clone(),
            external: side,
            delay_notification_timeout: Duration::from_secs(4 * 60 * 60),
            generate_copy_of_dsn_for: Arc::default(),
            sender_reports_per_hour: 100,
            notices_enabled: true,
            notices_to: None,
            notices_per_hour: 6,
        }
    }
}

impl ReportSettings {
    /// The side that an address is on: ours is what is in an accepted domain.
    pub fn side(&self, address: &Mailbox, domains: &AcceptedDomains) -> &Side {
        if domains.find(address.domain()).is_some() { &self.internal } else { &self.external }
    }

    /// Whether a report of failure with this code goes to the postmaster, too.
    pub fn wants_copy(&self, status: Status) -> bool {
        self.generate_copy_of_dsn_for.contains(&status)
    }
}

/// Whether a report is due. Never for the null reverse-path: reports about reports would go round for ever.
pub fn due(kind: Kind, reverse_path: &ReversePath, notify: Notify) -> bool {
    if *reverse_path == ReversePath::Null {
        return false;
    }
    match kind {
        Kind::Failed => notify.failure,
        Kind::Delayed => notify.delay,
        Kind::Delivered => notify.success,
    }
}

/// Whether the settings let such news go to this sender (fact sheet section 4.3). To our own domains all may go.
pub fn may_go(kind: Kind, to: &Mailbox, domains: &AcceptedDomains, remote_domains: &RemoteDomains) -> bool {
    if domains.find(to.domain()).is_some() {
        return true;
    }
    let remote = remote_domain::find(remote_domains, to.domain());
    match kind {
        Kind::Failed | Kind::Delayed => remote.ndr_enabled,
        Kind::Delivered => remote.delivery_report_enabled,
    }
}

/// Whether a report to this sender may name hosts of ours.
pub fn may_name_inside(to: &Mailbox, domains: &AcceptedDomains, remote_domains: &RemoteDomains) -> bool {
    domains.find(to.domain()).is_some() || remote_domain::find(remote_domains, to.domain()).ndr_diagnostic_info_enabled
}

/// Whether all of the original goes back: only with news of failure, not where the sender asked for less (RFC 3461 section
/// 4.3), and not if it is too large.
pub fn returns_original(kind: Kind, wanted: Option<Return>, size_bytes: u64, side: &Side) -> bool {
    kind == Kind::Failed && wanted != Some(Return::Headers) && size_bytes <= side.attach_bytes_max
}

/// Who answers for the host that brought a message, to be told where its sender cannot be: the owner of the remote range
/// that the connector heard it by, else the one whom the settings name for all. `None` for what we made ourselves.
pub fn answerable<'a>(
    settings: &'a ReportSettings,
    connectors: &'a [Arc<ReceiveConnector>],
    arrival: &Arrival,
) -> Option<&'a Mailbox> {
    if !settings.notices_enabled {
        return None;
    }
    let peer = arrival.peer?.ip().to_canonical();
    let connector = connectors.iter().find(|connector| *connector.name == *arrival.connector);
    connector.and_then(|connector| owner(connector, peer, arrival.time_ms)).or(settings.notices_to.as_ref())
}

/// The owner of the smallest range of the connector that held the peer at that time.
fn owner(connector: &ReceiveConnector, peer: IpAddr, at_ms: u64) -> Option<&Mailbox> {
    let holding = connector.remote_ip_ranges.iter().filter(|range| range.contains(peer) && !range.is_expired(at_ms));
    let heard_by = holding.min_by_key(|range| range.span_of_addresses())?;
    heard_by.note.as_ref()?.owner.as_ref()
}

/// The span in which reports to somebody are counted, in milliseconds.
pub const RATION_MS: u64 = 60 * 60 * 1000;

/// What one addressee has been sent within an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ration {
    /// When the hour began, Unix time in milliseconds.
    began_ms: u64,
    sent: u32,
}

/// Whether the next one goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// By itself, now.
    Now,
    /// Together with others, at this Unix time in milliseconds.
    Together(u64),
}

impl Ration {
    /// Decides, and counts what goes out by itself. At most `most` do within the hour that begins with the first; 0 is no
    /// limit. A clock that was set back begins another hour.
    pub fn take(&mut self, most: u32, now_ms: u64) -> Turn {
        if self.is_over(now_ms) {
            *self = Ration { began_ms: now_ms, sent: 0 };
        }
        if most > 0 && self.sent >= most {
            return Turn::Together(self.began_ms.saturating_add(RATION_MS));
        }
        self.sent += 1;
        Turn::Now
    }

    /// Whether nothing of it matters any more.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.sent == 0 || !(self.began_ms..self.began_ms.saturating_add(RATION_MS)).contains(&now_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_hour_that_begins_with_a_report_has_more_than_its_ration(
            most in 1_u32..5,
            steps in prop::collection::vec(0_u64..2_000_000, 1..60),
        ) {
            let (mut ration, mut now_ms) = (Ration::default(), 1_000_000_000_u64);
            let mut sent: Vec<u64> = Vec::new();
            let mut hour_began = None;
            for step in steps {
                now_ms += step;
                // The plain rule: the first report begins an hour, and what begins later is another.
                let began = *hour_began.get_or_insert(now_ms);
                let began = if now_ms - began >= RATION_MS { now_ms } else { began };
                if Some(began) != hour_began {
                    sent.clear();
                }
                hour_began = Some(began);
                let expected =
                    if (sent.len() as u32) < most { Turn::Now } else { Turn::Together(began + RATION_MS) };
                prop_assert_eq!(ration.take(most, now_ms), expected);
                if expected == Turn::Now {
                    sent.push(now_ms);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let mut ration = Ration::default();
        assert_eq!(ration.take(1, 10 * RATION_MS), Turn::Now);
        assert_eq!(ration.take(1, 10 * RATION_MS + 1), Turn::Together(11 * RATION_MS));
        assert_eq!(ration.take(1, 2 * RATION_MS), Turn::Now);
        assert_eq!(Ration::default().take(0, 5), Turn::Now);
    }
}
