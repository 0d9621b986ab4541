//! The moving parts: sockets, TLS, DNS, clock and tasks around the pure crates, which decide.
//!
//! Takes settings and connections, hands messages through the nine steps of ARCHITECTURE.md (`rg '^//! Step'` prints
//! them) and answers the administrator's doors through [`Control`]. Decides nothing itself. Modules stand in
//! reading order; each uses only modules listed below it.

#[cfg(test)]
mod simulation;
pub mod server;
pub mod control;
pub mod reload;
pub mod metrics;
mod alarms;
mod inspect;
pub mod listing;
mod export;
mod listen;
mod receive;
mod verify;
mod deliver;
mod delays;
mod administer;
mod report;
mod categorize;
#[cfg(test)]
mod site;
mod passports;
mod state;
pub mod raised;
mod recording;
mod removals;
mod suspects;
mod queue;
mod duties;
mod fetch;
pub mod dns;
pub mod authenticate;
mod transcript;
pub mod live_transcript;
mod connections;
pub mod day;
mod counters;
mod back_pressure;
mod message_rates;
pub mod logon_faults;
mod send_limits;
mod verdicts;
mod hosts;
mod quotas;
pub mod tls;
pub mod passwords;
pub mod source_addresses;
mod net;
mod blocking;
mod whole_file;
mod clock;
#[cfg(test)]
mod simulated;

pub use authenticate::Credentials;
pub use control::Control;
pub use server::{Start, StartError, Transport};
pub use tls::OwnCertificateStatus;
