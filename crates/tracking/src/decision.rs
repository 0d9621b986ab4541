//! One decision about a peer, and its id.
//!
//! Plain values. Texts from the network are cut to a bounded length where a decision is made, so that a record has one too.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};

/// Longest text of a record, in bytes: an address, a reply, the name of a connector.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Of the accepted recipients of one message, at most so many stand in its record; all are counted.
pub const RECIPIENTS_MAX: usize = 16;

/// Of the domains of a certificate, at most so many stand in a record.
pub const DOMAINS_MAX: usize = 16;

/// Bytes of an id.
const ID_BYTES: usize = 6;
/// A thread asks for the random bytes of so many ids at once: a system call for each message is too much.
const IDS_DRAWN: usize = 128;

/// The id of a decision: 48 random bits, which tell a stranger nothing, shown as 12 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId(u64);

impl DecisionId {
    /// Digits of an id.
    pub const DIGITS: usize = 12;
    const BITS: u64 = (1 << 48) - 1;

    /// A new one from the system's random source; `None` if that fails. The source is asked for many at once.
    pub fn random() -> Option<DecisionId> {
        thread_local!(static DRAWN: RefCell<Vec<[u8; ID_BYTES]>> = const { RefCell::new(Vec::new()) });
        let bytes = DRAWN.with_borrow_mut(|drawn| {
            if drawn.is_empty() {
                let mut random = [0; IDS_DRAWN * ID_BYTES];
                getrandom::fill(&mut random).ok()?;
                drawn.extend_from_slice(random.as_chunks().0);
            }
            drawn.pop()
        })?;
        let mut number = [0; 8];
        number[..ID_BYTES].copy_from_slice(&bytes);
        Some(DecisionId(u64::from_le_bytes(number)))
    }

    /// The id of this number, as [`DecisionId::number`] gave it; `None` beyond 48 bits.
    pub fn from_number(number: u64) -> Option<DecisionId> {
        (number <= Self::BITS).then_some(DecisionId(number))
    }

    /// The id as a number of 48 bits.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Reads 12 hexadecimal digits, in either case and with or without brackets.
    pub fn parse(text: &str) -> Option<DecisionId> {
        let digits = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let is_id = digits.len() == Self::DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| u64::from_str_radix(digits, 16).ok()).flatten().map(DecisionId)
    }

    /// The id in a reply as a person pastes it: alone, or the last `[1f3a9c04b27e]` of the text.
    pub fn find_in(text: &str) -> Option<DecisionId> {
        let in_brackets = || text.rsplit('[').find_map(|rest| DecisionId::parse(rest.split_once(']')?.0));
        DecisionId::parse(text.trim()).or_else(in_brackets)
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// The id of a settings document: the first 64 bits of a SHA-256 over the host name that it was read with and its text.
/// The host name counts because a document may leave the server's name to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionId([u8; 8]);

impl RevisionId {
    /// The id of a document.
    pub fn of(text: &str, host_name: &str) -> RevisionId {
        let hashed = digest(&SHA256, [host_name, "\n", text].concat().as_bytes());
        let mut id = [0; 8];
        id.copy_from_slice(&hashed.as_ref()[..8]);
        RevisionId(id)
    }

    /// Reads 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<RevisionId> {
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(|id| RevisionId(id.to_be_bytes()))
    }

    /// The id as a number.
    pub fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }

    pub(crate) fn from_number(number: u64) -> RevisionId {
        RevisionId(number.to_be_bytes())
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.number())
    }
}

/// What the peer was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// It connected.
    Connect,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA or BDAT, to the end of the content.
    Content,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The message is on the disk.
    Accepted {
        /// Its queue id.
        queue_id: u64,
    },
    /// The command was refused.
    Refused {
        /// A name that stays the same while words change: the variant of `policy::Refusal`, or a name for a failure of ours.
        name: Box<str>,
        /// The reason, as the log has it.
        reason: Box<str>,
        /// The reply without the id.
        reply: Box<str>,
    },
    /// Commands were accepted, and no message came of them: the peer reset, hung up or was cut off.
    Abandoned,
}

/// A record that stands for more refusals than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// How many refusals it stands for, itself included.
    pub count: u64,
    /// When the last of them was, Unix time in milliseconds.
    pub until_ms: u64,
}

/// A certificate that a peer presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its SHA-256.
    pub thumbprint: [u8; 32],
    /// Issuer and subject, as settings name them; empty where they cannot be read.
    pub name: Box<str>,
    /// The domains that it is for, at most [`DOMAINS_MAX`].
    pub domains: Vec<Box<str>>,
    /// A word for what is wrong with it or its chain; `None` where a trusted root stands behind it.
    pub fault: Option<Box<str>>,
}

/// One decision about a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its id.
    pub id: DecisionId,
    /// Unix time in milliseconds.
    pub time_ms: u64,
    /// The settings in force for that connection.
    pub revision: RevisionId,
    /// Where the peer came from.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// The receive connector; empty where none hears the peer.
    pub connector: Box<str>,
    /// Who the peer was, as logs name it.
    pub principal: Box<str>,
    /// The name that it logged on with, or tried to.
    pub user: Option<Box<str>>,
    /// Protocol and cipher suite, inside TLS.
    pub tls: Option<(Box<str>, Box<str>)>,
    /// The certificate that it presented, where it was asked for one.
    pub certificate: Option<Box<Certificate>>,
    /// What it called itself.
    pub hello: Option<Box<str>>,
    /// What it was doing.
    pub command: Command,
    /// The reverse-path with its brackets, once MAIL was said.
    pub sender: Option<Box<str>>,
    /// The address in the header that content was refused for.
    pub header_sender: Option<Box<str>>,
    /// Whom the header names as its senders, each behind its field: `From bob@contoso.com`; recorded where content was
    /// refused under conditions, at most [`RECIPIENTS_MAX`].
    pub header_senders: Vec<Box<str>>,
    /// The recipient of the RCPT that was refused.
    pub refused_recipient: Option<Box<str>>,
    /// Recipients accepted before, at most [`RECIPIENTS_MAX`].
    pub recipients: Vec<Box<str>>,
    /// How many recipients were accepted before.
    pub recipient_count: u32,
    /// The size in bytes: of the content, or as MAIL declared it.
    pub size: Option<u64>,
    /// How it ended.
    pub verdict: Verdict,
    /// Where the record stands for more than one refusal.
    pub repeats: Option<Repeats>,
}

/// `text`, cut to [`TEXT_BYTES_MAX`].
pub fn bounded(text: &str) -> Box<str> {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// A refusal at RCPT.
    pub(crate) fn refusal(number: u64, peer: &str) -> Decision {
        Decision {
            id: DecisionId::from_number(number).expect("48 bits"),
            time_ms: 1_795_000_000_000 + number,
            revision: RevisionId::of("[server]\n", "mail"),
            peer: peer.parse().expect("an address"),
            local: "10.0.0.1:25".parse().expect("an address"),
            connector: "Default".into(),
            principal: "NT AUTHORITY\\ANONYMOUS LOGON".into(),
            user: None,
            tls: None,
            certificate: None,
            hello: Some("app01".into()),
            command: Command::Rcpt,
            sender: Some("<a@hotmail.com>".into()),
            header_sender: None,
            header_senders: Vec::new(),
            refused_recipient: Some("b@gmail.com".into()),
            recipients: Vec::new(),
            recipient_count: 0,
            size: None,
            verdict: Verdict::Refused {
                name: "UnableToRelay".into(),
                reason: "recipient domain is not accepted".into(),
                reply: "550 5.7.1 Unable to relay".into(),
            },
            repeats: None,
        }
    }

    /// An accepted message.
    pub(crate) fn message(number: u64) -> Decision {
        Decision {
            command: Command::Content,
            refused_recipient: None,
            recipients: vec!["b@contoso.com".into()],
            recipient_count: 1,
            size: Some(4711),
            verdict: Verdict::Accepted { queue_id: number },
            ..refusal(number, "192.0.2.1:4711")
        }
    }

    #[test]
    fn an_id_is_found_in_whatever_a_person_pastes() {
        let id = DecisionId::from_number(0x1f3a_9c04_b27e);
        for (text, expected) in [
            ("1f3a9c04b27e", id),
            ("1F3A9C04B27E", id),
            (" [1f3a9c04b27e]\n", id),
            ("550 5.7.1 Unable to relay [1f3a9c04b27e]", id),
            ("smtp; 550 5.7.1 [10.0.0.9] Unable to relay [1f3a9c04b27e] (in reply to RCPT)", id),
            ("550 [000000000001] then [1f3a9c04b27e]", id),
            ("1f3a9c04b27", None),
            ("1f3a9c04b27e0", None),
            ("550 5.7.1 Unable to relay [1f3a9c04b27g]", None),
            ("[", None),
            ("", None),
        ] {
            assert_eq!(DecisionId::find_in(text), expected, "{text}");
        }
    }

    #[test]
    fn random_ids_have_48_bits_and_do_not_follow_each_other() {
        let ids: Vec<u64> = (0..3 * IDS_DRAWN).filter_map(|_| DecisionId::random()).map(DecisionId::number).collect();
        assert_eq!(ids.len(), 3 * IDS_DRAWN);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{ids:?}");
        assert!(ids.iter().all(|id| *id < 1 << 48) && ids.iter().any(|id| *id >= 1 << 40), "{ids:?}");
        assert!(!ids.is_sorted(), "{ids:?}");
    }

    #[test]
    fn the_host_name_is_part_of_a_revision() {
        let id = RevisionId::of("[server]\n", "mail");
        assert_ne!(id, RevisionId::of("[server]\n", "mail2"));
        assert_ne!(id, RevisionId::of("[server] \n", "mail"));
        assert_eq!(RevisionId::parse(&id.to_string()), Some(id));
    }

    proptest! {
        #[test]
        fn an_id_is_read_as_it_was_written(number in 0_u64..1 << 48, before in "[ -~]{0,20}", after in "[ a-z]{0,9}") {
            let id = DecisionId::from_number(number);
            let text = format!("{before}[{}]{after}", id.expect("48 bits"));
            prop_assert_eq!(DecisionId::find_in(&text), id);
        }

        #[test]
        fn a_text_is_cut_at_a_character(text in "\\PC{0,600}") {
            let cut = bounded(&text);
            prop_assert!(cut.len() <= TEXT_BYTES_MAX && text.starts_with(&*cut));
            prop_assert!(text.len() <= TEXT_BYTES_MAX || cut.len() > TEXT_BYTES_MAX - 4);
        }
    }
}
