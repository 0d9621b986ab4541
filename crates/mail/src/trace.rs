//! The Received field (RFC 5321 section 4.4).
use crate::{MessageId, Mailbox};
use std::net::IpAddr;

/// The TLS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls<'a> {
    /// For example `TLS1.3`.
    pub version: &'a str,
    /// For example `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'a str,
}

/// What a Received field says.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The argument of EHLO or HELO.
    pub helo: &'a str,
    /// Whether the peer said EHLO.
    pub esmtp: bool,
    /// The peer's address.
    pub peer: IpAddr,
    /// The connector's name.
    pub fqdn: &'a str,
    /// Our address of the connection.
    pub local: IpAddr,
    /// The TLS session, if any.
    pub tls: Option<Tls<'a>>,
    /// Whether the peer authenticated.
    pub authenticated: bool,
    /// Whether the transaction used SMTPUTF8.
    pub smtputf8: bool,
    /// The queue id.
    pub id: MessageId,
    /// The recipient, if the message has exactly one.
    pub recipient: Option<&'a Mailbox>,
    /// Unix time in milliseconds.
    pub time_ms: u64,
}

impl Received<'_> {
    /// Appends the field with its final CRLF.
    pub fn write(&self, _out: &mut Vec<u8>) {}
}

/// An RFC 5322 date-time in UTC.
pub fn date(_time_ms: u64) -> String {
    String::new()
}
