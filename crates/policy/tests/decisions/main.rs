//! The decisions of this crate, asked through settings documents as an administrator writes them.

mod vectors;
mod audits;
mod explanations;
mod rights;
mod conditions;
mod certificates;
mod selection;
mod expiry;
mod allocations;
mod senders;
mod verification;
mod recipients;
mod routes;
mod limits;
mod back_pressure;
mod alarms;
mod header_firewall;
mod connector_properties;
mod send_connector_properties;
mod retries;
mod reports;
mod documents;
mod document;
mod safeguards;
mod proofs;
mod terms;
