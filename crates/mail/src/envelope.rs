//! The envelope: who a message is for and where reports go (RFC 5321 section 2.3.1), with the DSN parameters of
//! RFC 3461 and what we noted on arrival.
//!
//! Plain values; the spool writes them to disk in its own form and the SMTP crates put them on the wire.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::address::{Mailbox, ReversePath};
use crate::xtext;

/// The number of a message on this server, unique for the life of its data folder: the queue id that the `250` names
/// as `InternalId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the BODY parameter declared (RFC 6152, RFC 3030).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyType {
    /// `BODY=7BIT`, or none given.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
    /// `BODY=BINARYMIME`.
    BinaryMime,
}

/// How much of the message a failure report returns: the RET parameter (RFC 3461 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// `RET=FULL`.
    Full,
    /// `RET=HDRS`.
    Headers,
}

/// When the sender of a recipient wants to hear: the NOTIFY parameter (RFC 3461 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Report a delivery.
    pub success: bool,
    /// Report a failure.
    pub failure: bool,
    /// Report a delay.
    pub delay: bool,
    /// Whether the peer gave the parameter at all; what was not given is not passed on.
    pub given: bool,
}

impl Notify {
    /// `NOTIFY=NEVER`.
    pub const NEVER: Notify = Notify { success: false, failure: false, delay: false, given: true };
}

/// Without a NOTIFY parameter failures and delays are reported, deliveries are not (RFC 3461 section 4.1).
impl Default for Notify {
    fn default() -> Self {
        Notify { success: false, failure: true, delay: true, given: false }
    }
}

/// One recipient of an accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Where to; `<Postmaster>` has been given its domain by the time it stands here.
    pub mailbox: Mailbox,
    /// When to report.
    pub notify: Notify,
    /// The ORCPT parameter as received, `type;xtext` (RFC 3461 section 4.2), at most 500 bytes.
    pub original_recipient: Option<Box<str>>,
}

impl Recipient {
    /// A recipient without DSN parameters.
    pub fn new(mailbox: Mailbox) -> Recipient {
        Recipient { mailbox, notify: Notify::default(), original_recipient: None }
    }

    /// The same recipient under another address. Reports go on naming the one that the sender wrote (RFC 3461 section
    /// 5.2.7.2), unless that is too long for the parameter.
    pub fn redirected(&self, mailbox: Mailbox) -> Recipient {
        let named = || original_recipient(&self.mailbox);
        let original_recipient = self.original_recipient.clone().or_else(named);
        Recipient { mailbox, notify: self.notify, original_recipient }
    }
}

/// Longest ORCPT parameter, in bytes (RFC 3461 section 4.2).
pub const ORIGINAL_RECIPIENT_BYTES_MAX: usize = 500;

/// The ORCPT parameter that names this address. Beyond ASCII it is of the type utf-8, in the form that may travel without
/// SMTPUTF8 (RFC 6533 section 3).
fn original_recipient(mailbox: &Mailbox) -> Option<Box<str>> {
    let address = mailbox.to_string();
    let parameter = if address.is_ascii() {
        format!("rfc822;{}", xtext::encode(&address))
    } else {
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=');
        let escaped = |c: char| if is_plain(c) { c.to_string() } else { format!("\\x{{{:02X}}}", u32::from(c)) };
        format!("utf-8;{}", address.chars().map(escaped).collect::<String>())
    };
    (parameter.len() <= ORIGINAL_RECIPIENT_BYTES_MAX).then(|| parameter.into())
}

/// How far we trust who a message says it is from (fact sheet section 2.8). The one function that says so is
/// `permission::auth_as` in the policy crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AuthAs {
    /// Somebody whom we do not know; and whatever an earlier version accepted without noting this.
    #[default]
    Anonymous,
    /// Somebody of ours: a user who logged on, or a host that vouches for its senders.
    Internal,
    /// A partner that mutual TLS identified.
    Partner,
}

impl AuthAs {
    /// The word as Exchange writes it in `X-MS-Exchange-Organization-AuthAs`.
    pub const fn exchange_name(self) -> &'static str {
        match self {
            AuthAs::Anonymous => "Anonymous",
            AuthAs::Internal => "Internal",
            AuthAs::Partner => "Partner",
        }
    }
}

/// The Exchange name.
impl fmt::Display for AuthAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.exchange_name())
    }
}

/// How urgent a message is (fact sheet section 4.9). Without priority queuing all messages are `Normal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Goes first.
    High,
    /// As usual.
    #[default]
    Normal,
    /// Goes last, but goes.
    Low,
}

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];
}

/// The Exchange name.
impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Priority::High => "High",
            Priority::Normal => "Normal",
            Priority::Low => "Low",
        })
    }
}

/// What we noted when the message came in; for logs, reports, queue listings and the Received field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Unix time in milliseconds.
    pub time_ms: u64,
    /// The peer's address; `None` for messages we made ourselves (reports).
    pub peer: Option<SocketAddr>,
    /// Name of the receive connector; empty for messages we made ourselves.
    pub connector: Box<str>,
    /// The principal's name as logs show it, for example `NT AUTHORITY\ANONYMOUS LOGON` or `alice`.
    pub principal: Box<str>,
    /// Whether the message counts as internal.
    pub auth_as: AuthAs,
    /// Who submitted the message somewhere before us, where a peer whose word counts said so with `AUTH=`
    /// (RFC 4954 section 5).
    pub originator: Option<Mailbox>,
    /// How urgent it is.
    pub priority: Priority,
    /// Of a report that we made ourselves: who is told if it cannot be delivered.
    pub answerable: Option<Box<Mailbox>>,
}

/// Everything about a message that is not its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// At least one; the order is that of the RCPT commands and never changes.
    pub recipients: Vec<Recipient>,
    /// The declared body type.
    pub body: BodyType,
    /// Whether an address of the envelope or the header section of the content is not ASCII, so that the next hop must
    /// offer SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// The RET parameter.
    pub ret: Option<Return>,
    /// The ENVID parameter as received, xtext, at most 100 bytes (RFC 3461 section 4.4).
    pub envid: Option<Box<str>>,
    /// What we noted on arrival.
    pub arrival: Arrival,
}

impl Envelope {
    /// The peer's IP address, with IPv4-mapped addresses as IPv4.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.arrival.peer.map(|peer| peer.ip().to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirected_recipient_keeps_the_address_that_the_sender_wrote() {
        let long = format!("{}@contoso.com", "+".repeat(200));
        for (named, given, expected) in [
            ("sales@contoso.com", None, Some("rfc822;sales@contoso.com")),
            ("sales+eu@contoso.com", None, Some("rfc822;sales+2Beu@contoso.com")),
            ("\"a b\"@contoso.com", None, Some("rfc822;\"a+20b\"@contoso.com")),
            ("用+@contoso.com", None, Some("utf-8;\\x{7528}\\x{2B}@contoso.com")),
            ("sales@contoso.com", Some("rfc822;first@x.net"), Some("rfc822;first@x.net")),
            (&long, None, None),
        ] {
            let mailbox = |text| Mailbox::parse(text).expect("an address");
            let named = Recipient {
                original_recipient: given.map(Into::into),
                notify: Notify::NEVER,
                ..Recipient::new(mailbox(named))
            };
            let redirected = named.redirected(mailbox("bob@contoso.com"));
            assert_eq!(redirected.original_recipient.as_deref(), expected, "{named:?}");
            assert_eq!((redirected.mailbox, redirected.notify), (mailbox("bob@contoso.com"), Notify::NEVER));
        }
    }
}
