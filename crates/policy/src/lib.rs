//! What the administrator declared, and every decision that follows from it, as pure functions.
//!
//! Takes the text of the settings document, addresses and counts; hands on values, and verdicts with their reasons.
//! Does no I/O and reads no clock (invariant I1). Modules stand in reading order, decisions first; each uses only
//! modules listed below it.

pub mod safeguard;
pub mod explain;
pub mod itinerary;
pub mod audit;
pub mod verification;
pub mod permit;
pub mod relay;
pub mod restriction;
pub mod sender;
pub mod peer_certificate;
pub mod reserved_domain;
pub mod resolve;
pub mod next_hop_certificate;
pub mod redirect;
pub mod rerouting;
pub mod route;
pub mod conversion;
pub mod alarm;
pub mod readiness;
pub mod header_firewall;
pub mod settings;
pub mod assertion;
pub mod notify;
pub mod authentication;
pub mod limits;
pub mod back_pressure;
pub mod permission;
pub mod read_back;
pub mod send_permission;
pub mod remote_domain;
pub mod mailbox_delivery;
pub mod send_connector;
pub mod masquerade;
pub mod error_policy;
pub mod logon;
pub mod send_right;
pub mod receive_connector;
pub mod repair;
pub mod exchangers;
pub mod priority;
pub mod poison;
pub mod retry;
pub mod monitoring;
pub mod protocol_log;
pub mod management;
pub mod role;
pub mod password;
pub mod directory;
pub mod accepted_domain;
pub mod refusal;
pub mod resource;
pub mod access_entry;
pub mod right;
pub mod own_certificate;
pub mod certificate;
pub mod condition;
pub mod note;
pub mod public_address;
pub mod address_set;

pub use refusal::Refusal;
pub use settings::Settings;
