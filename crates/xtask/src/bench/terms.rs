//! What a relay is set up for, and what a running one tells of itself.

use std::net::SocketAddr;

use super::cryptography::Identity;
use super::meter::Meter;
use super::options::Tools;

/// What relays and sink are set up for.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// Connections that come at once.
    pub sessions: u64,
    pub tools: Tools,
    /// STARTTLS in and out.
    pub identity: Option<Identity>,
    /// Whether Gatepost records what befalls each message.
    pub has_passports: bool,
}

/// A relay that runs and is stopped when it is dropped.
pub(super) trait Relay {
    /// Where it accepts mail.
    fn address(&self) -> SocketAddr;
    /// What measures its processes.
    fn meter(&self) -> &Meter;
}
