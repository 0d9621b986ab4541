//! The administrator's doors to a running server, and the files that administrators own.
//!
//! Takes questions and changes over a Unix socket, hands them to `transport` and brings the answers back as JSON; reads
//! and edits the settings file and the secrets; makes a safe first configuration. Decides nothing about mail. Modules
//! stand in reading order; each uses only modules listed below it.

pub mod api;
mod openapi;
mod rest;
mod idempotency;
mod command_api;
pub mod queue_api;
mod access_api;
mod events;
mod explanation_api;
mod settings_api;
mod exposure_api;
mod recorded;
mod gate;
mod calls;
mod nouns;
pub mod revision_api;
pub mod remote;
pub mod client;
pub mod door;
pub mod command;
mod picking;
pub mod object;
pub mod age;
pub mod asked;
pub mod recomputed;
pub mod explained;
pub mod explanation;
mod surface;
pub mod exposure_text;
pub mod amend;
pub mod transaction;
pub mod reload;
mod outside;
pub mod monitoring;
mod metrics_door;
mod tcp_door;
mod webhook;
mod opentelemetry;
mod exposition;
mod post;
mod bounded;
mod queues;
mod administration;
pub mod setup;
pub mod access;
mod refusal;
mod in_time;
pub mod resource;
pub mod tracking_log;
pub mod trace;
pub mod properties;
pub mod filter;
pub mod decision;
pub mod users;
pub mod first_run;
mod kept_audit;
pub mod history;
mod line_difference;
pub mod edit;
pub mod document;
pub mod credentials;
pub mod data_folder;
pub mod host;
mod replace;
mod clock;

pub use amend::Amender;
pub use client::{Client, ClientError};
pub use document::{LoadError, Loaded};
pub use door::Door;
pub use post::{SecretFault, secret_faults};
pub use reload::Reloader;
