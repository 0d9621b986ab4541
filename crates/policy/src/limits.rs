//! Step 4 of 9 - permit: the limits of a receive connector (fact sheet sections 5.1 and 5.2).
//!
//! Takes a connector and counts, hands on yes or the refusal. Counts nothing itself and reads no clock. What the dialogue
//! itself counts, it compares itself: protocol errors and failed logons; and so does the header scanner with its bytes.

use std::time::{Duration, Instant};

use crate::access_entry::{Principal, Right, Rights};
use crate::directory::RECIPIENTS_MAX;
use crate::receive_connector::ReceiveConnector;
use crate::refusal::Refusal;

/// What even the right to bypass the message size limit does not lift: 2 GiB less one byte, the upper bound of every
/// size setting.
pub const MESSAGE_BYTES_MAX: u64 = 2_147_483_647;

/// Whether one more connection is let in while `open_total` are open on the connector, `open_from_source` of them from
/// the same address. The percentage is one of what is left of the connector's maximum, rounded up (fact sheet section
/// 5.2); a connector without a maximum has no percentage.
pub fn connections(connector: &ReceiveConnector, open_total: u32, open_from_source: u32) -> Result<(), Refusal> {
    if let Some(max) = connector.max_inbound_connection {
        let Some(left) = max.checked_sub(open_total).filter(|left| *left > 0) else {
            return Err(Refusal::TooManyConnections);
        };
        let percentage = u64::from(connector.max_inbound_connection_percentage_per_source);
        let share = (u64::from(left) * percentage).div_ceil(100);
        if u64::from(open_from_source) >= share {
            return Err(Refusal::TooManyConnections);
        }
    }
    match connector.max_inbound_connection_per_source {
        Some(max) if open_from_source >= max => Err(Refusal::TooManyConnectionsFromSource),
        _ => Ok(()),
    }
}

/// Who may have how many of a server's open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// Connections of peers, on all connectors together.
    pub connections: u32,
    /// Body files of large messages that are arriving.
    pub arriving_bodies: usize,
}

/// Shares out the files that the system lets a server have open at once: three quarters for the connections of peers and an
/// eighth for what they send, so that nobody outside can take the last eighth, which the queue and its next hops need.
pub fn open_files(most: u64) -> OpenFiles {
    let eighth = most / 8;
    OpenFiles {
        connections: u32::try_from(most - 2 * eighth).unwrap_or(u32::MAX),
        arriving_bodies: usize::try_from(eighth).unwrap_or(usize::MAX).max(1),
    }
}

/// Whether one more connection is let in while `open` are open on the whole server, which may have `max`.
pub fn server_connections(max: u32, open: u32) -> Result<(), Refusal> {
    if open >= max { Err(Refusal::TooManyConnections) } else { Ok(()) }
}

/// The largest message that `rights` allow on the connector, in bytes.
pub fn message_bytes_max(connector: &ReceiveConnector, rights: Rights) -> u64 {
    if rights.contains(Right::BypassMessageSizeLimit) { MESSAGE_BYTES_MAX } else { connector.max_message_size }
}

/// Whether a message of `bytes` is taken; asked for the SIZE parameter and while content comes in.
pub fn message_size(connector: &ReceiveConnector, rights: Rights, bytes: u64) -> Result<(), Refusal> {
    if bytes > message_bytes_max(connector, rights) { Err(Refusal::MessageTooLarge) } else { Ok(()) }
}

/// Whether one more recipient is taken when `already` were.
pub fn recipients(connector: &ReceiveConnector, already: usize) -> Result<(), Refusal> {
    if already >= connector.max_recipients_per_message as usize { Err(Refusal::TooManyRecipients) } else { Ok(()) }
}

/// Whether recipients that lead to `more` others in the end are taken when those taken lead to `already`.
pub fn resolved_recipients(connector: &ReceiveConnector, already: usize, more: usize) -> Result<(), Refusal> {
    let max = RECIPIENTS_MAX.max(connector.max_recipients_per_message as usize);
    if already.saturating_add(more) > max { Err(Refusal::TooManyRecipients) } else { Ok(()) }
}

/// Whether a message with that many Received fields, `received_local_count` of them written by this server, may go on.
/// A local maximum of 0 switches the local count off.
pub fn hops(connector: &ReceiveConnector, received_count: usize, received_local_count: usize) -> Result<(), Refusal> {
    let local_max = connector.max_local_hop_count as usize;
    if received_count > connector.max_hop_count as usize || (local_max > 0 && received_local_count > local_max) {
        return Err(Refusal::TooManyHops);
    }
    Ok(())
}

/// Whether one more message is taken now from a user or address whose earlier ones are paid for until `paid_until`
/// (`None`: long ago, or never seen); if so, until when they are with this one. What is paid for until the past may be
/// forgotten.
///
/// Each message pays for a minute divided by the limit, and nobody pays for more than a minute ahead: as many messages
/// as the limit says may come at once, and from then on one whenever the oldest is paid off (fact sheet section 5.2).
pub fn message_rate(limit: u32, paid_until: Option<Instant>, now: Instant) -> Result<Instant, Refusal> {
    const MINUTE: Duration = Duration::from_secs(60);
    let limit = limit.max(1);
    let share = MINUTE / limit;
    let paid_until = paid_until.map_or(now, |paid_until| paid_until.max(now)) + share;
    // Not a whole minute: the shares are rounded down, and together they are to be the limit exactly.
    if paid_until > now + share * limit { Err(Refusal::MessageRateExceeded) } else { Ok(paid_until) }
}

/// Whether one more message may be sent by a connector with such a limit, whose `limit`-th last one went out at `earlier`
/// (`None`: there were not so many). Unlike [`message_rate`], no minute ever has more: next hops count that way.
///
/// # Errors
/// When it may.
pub fn send_rate(earlier: Option<Instant>, now: Instant) -> Result<(), Instant> {
    const MINUTE: Duration = Duration::from_secs(60);
    match earlier.and_then(|earlier| earlier.checked_add(MINUTE)) {
        Some(again) if again > now => Err(again),
        _ => Ok(()),
    }
}

/// How long one attempt to send a message of that many bytes may take, however busy the next hop looks. Each of its
/// replies and each block of the content has a limit of its own; all of them together would let a hostile next hop hold a
/// connection for days. An hour, and a second for each KiB.
pub fn attempt_time_max(bytes: u64) -> Duration {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    HOUR + Duration::from_secs(bytes >> 10)
}

/// What is about to be said to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// A reply with this code.
    Reply(u16),
    /// That a logon failed.
    LogonFailed,
}

/// How long something is held back before the peer hears it, so that trying addresses and passwords is slow (fact sheet
/// section 3.7): failed logons, and negative replies to whoever is nobody. Not at all: zero.
pub fn tarpit(connector: &ReceiveConnector, principal: &Principal, saying: Saying) -> Duration {
    match (saying, principal) {
        (Saying::LogonFailed, _) => connector.auth_tarpit_interval,
        (Saying::Reply(500..), Principal::Anonymous) => connector.tarpit_interval,
        (Saying::Reply(_), _) => Duration::ZERO,
    }
}
