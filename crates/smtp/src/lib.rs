//! The SMTP dialogue, both sides: bytes and answers in, bytes and questions out.
//!
//! No sockets, no clock and no decisions: time is an argument, and whatever the engine may not decide is a
//! [`Question`] that waits for the caller's [`Answer`]. Content is handed on in slices of the caller's buffer. Modules
//! stand in reading order; each uses only modules listed below it.

pub mod server;
pub mod client;
pub mod extension;
pub mod logon_mechanism;

pub use client::{
    Client, ClientError, ClientOutput, Logon, NONCE_BYTES, Options, Protocol, RecipientResult, Stage, Timeouts,
    TlsWish, Transaction,
};
pub use extension::{Extensions, Mechanism, SizeOffer};
pub use logon_mechanism::{LogonMechanism, LogonMechanisms};
pub use server::{
    Answer, BareLinefeed, Credentials, Hello, MailCommand, Output, Profile, Question, RcptCommand, Session,
};
