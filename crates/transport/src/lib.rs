//! The moving parts: sockets, TLS, DNS, clock and tasks around the pure crates, which decide.
//!
//! Takes settings and connections, hands messages through the nine steps of ARCHITECTURE.md (`rg '^//! Step'` prints
//! them in order) and answers the administrator's doors through [`Control`]. Decides nothing itself. Modules stand in
//! reading order; each uses only modules listed below it.

pub mod control;
mod inspect;
mod listen;
mod receive;
mod running;
mod categorize;
mod report;
mod deliver;
mod dns;
pub mod authenticate;
mod transcript;
mod connections;
pub mod tls;
mod clock;

use std::sync::Arc;
use std::time::Duration;

pub use authenticate::Credentials;
pub use control::Control;
use gatepost_policy::settings::Settings;

/// What the server is started with.
pub struct Start {
    /// The checked settings; `server.data_dir` is absolute by now.
    pub settings: Arc<Settings>,
    /// Password hashes from data_dir/credentials.
    pub credentials: Credentials,
    /// Version of the program, for status and greetings.
    pub version: &'static str,
}
