//! What the session and its caller say to each other: [`Output`]s with [`Question`]s out, [`Answer`]s with
//! [`Profile`]s in.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use gatepost_mail::{BodyType, Domain, ForwardPath, Notify, Reading, Reply, Return, ReversePath};

use crate::extension::{Mechanism, SizeOffer};

/// What the receive connector offers this peer now. Given with the answer to [`Question::Connect`], and anew after TLS
/// started and after authentication, because both change what is on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The name in greeting, hello and farewell.
    pub fqdn: String,
    /// The whole greeting line, starting with `220`, without line end; replaces the default greeting.
    pub banner: Option<String>,
    /// The date in the default greeting, already written out (RFC 5322 form).
    pub greeting_date: String,
    /// Shown to the peer in the hello reply.
    pub peer_ip: IpAddr,
    /// The SIZE keyword. The session never compares sizes: the limit is the caller's to enforce.
    pub size: SizeOffer,
    /// Whether PIPELINING is offered. Pipelined commands are answered alike when it is not.
    pub pipelining: bool,
    /// Whether DSN is offered.
    pub dsn: bool,
    /// Whether ENHANCEDSTATUSCODES is offered; replies carry no enhanced status codes if not.
    pub enhanced_status_codes: bool,
    /// Whether STARTTLS is offered: false inside TLS and without a certificate.
    pub starttls: bool,
    /// Whether 8BITMIME is offered.
    pub eight_bit_mime: bool,
    /// Whether BINARYMIME is offered; without `chunking` it is not (RFC 3030 section 3).
    pub binary_mime: bool,
    /// Whether CHUNKING is offered.
    pub chunking: bool,
    /// Whether SMTPUTF8 is offered.
    pub smtputf8: bool,
    /// Whether XLONGADDR is offered: addresses of up to 1,860 bytes, in lines of up to 8,000.
    pub long_addresses: bool,
    /// The mechanisms offered now.
    pub auth: Vec<Mechanism>,
    /// Whether there would be mechanisms inside TLS although `auth` is empty now: AUTH is then answered with 530
    /// instead of 504.
    pub auth_after_tls: bool,
    /// Whether EHLO and HELO must name a domain.
    pub require_hello_domain: bool,
    /// What an address without a domain is completed by; without it such addresses are refused.
    pub default_domain: Option<Domain>,
    /// How many syntax and sequence errors one session may make; the next one closes it. `None`: any number.
    pub protocol_errors_max: Option<u32>,
    /// How many logons may fail; the last of them closes the session. 0: any number.
    pub logon_failures_max: u32,
    /// What to do about bare CR and bare LF in content.
    pub bare_linefeed: BareLinefeed,
    /// How long the peer may be silent.
    pub inactivity: Duration,
    /// How long the whole session may last.
    pub total: Duration,
    /// Whether each command line is also handed out as [`Output::Line`], for the protocol transcript.
    pub transcribe: bool,
}

impl Profile {
    /// A profile that offers nothing beyond RFC 5321 and has Exchange's defaults: 5 protocol errors, 3 failed logons,
    /// 5 minutes of silence, 10 minutes in all.
    pub fn new(fqdn: String, peer_ip: IpAddr) -> Profile {
        Profile {
            fqdn,
            banner: None,
            greeting_date: String::new(),
            peer_ip,
            size: SizeOffer::Absent,
            pipelining: false,
            dsn: false,
            enhanced_status_codes: true,
            starttls: false,
            eight_bit_mime: false,
            binary_mime: false,
            chunking: false,
            smtputf8: false,
            long_addresses: false,
            auth: Vec::new(),
            auth_after_tls: false,
            require_hello_domain: false,
            default_domain: None,
            protocol_errors_max: Some(5),
            logon_failures_max: 3,
            bare_linefeed: BareLinefeed::Reject,
            inactivity: Duration::from_secs(5 * 60),
            total: Duration::from_secs(10 * 60),
            transcribe: false,
        }
    }

    /// How addresses are read.
    pub(super) fn reading(&self) -> Reading<'_> {
        Reading { default_domain: self.default_domain.as_ref(), long_addresses: self.long_addresses }
    }

    /// BINARYMIME is of no use without BDAT (RFC 3030 section 3).
    pub(super) fn offers_binary_mime(&self) -> bool {
        self.binary_mime && self.chunking
    }
}

/// What to do about a CR without LF or an LF without CR in content that is not BINARYMIME. Neither ever ends a line of
/// the dialogue, let alone the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareLinefeed {
    /// Take the content to its true end, then refuse it with `550 5.6.11`.
    #[default]
    Reject,
    /// Hand on CRLF in its place, so that what is sent on is clean.
    Normalize,
}

/// What the caller is to do next.
#[derive(Debug)]
pub enum Output<'b> {
    /// Bytes for the peer. May be gathered until [`Output::NeedInput`], [`Output::StartTls`] or [`Output::Close`], so
    /// that a pipelined group is answered in one write.
    Send(&'b [u8]),
    /// Something to decide. Nothing more is consumed until [`answer`](super::Session::answer).
    Ask(Question<'b>),
    /// The next piece of content, without dot-stuffing.
    Content(&'b [u8]),
    /// A command line as the transcript may show it: without line end and without credentials, but with whatever other
    /// bytes the peer put there. Only with [`Profile::transcribe`].
    Line(&'b [u8]),
    /// The transaction is abandoned (RSET, EHLO, QUIT, STARTTLS, a fault in the content): drop what belongs to it.
    /// Needs no answer. Not given where the caller's own answer ended the transaction.
    Reset,
    /// Send what was gathered, do the TLS handshake, then call [`tls_started`](super::Session::tls_started). Everything
    /// that the peer sent behind STARTTLS has been dropped (RFC 3207 section 4.2, CVE-2011-0411).
    StartTls,
    /// Everything is consumed: read more, or call [`timeout`](super::Session::timeout) at the deadline.
    NeedInput,
    /// Send what was gathered and close the connection.
    Close,
}

/// What the session may not decide.
#[derive(Debug)]
pub enum Question<'a> {
    /// A peer is connected. Answers: [`Answer::Greet`], [`Answer::Close`]; [`Answer::Refuse`] closes too.
    Connect,
    /// EHLO or HELO. Answers: [`Answer::Accept`], [`Answer::Refuse`], [`Answer::Close`].
    Hello(Hello<'a>),
    /// The peer says who it is. Answers: [`Answer::Authenticated`], [`Answer::Refuse`] (a 5xx counts as a failed
    /// logon), [`Answer::Close`].
    Authenticate(Credentials<'a>),
    /// MAIL, well-formed. Answers: [`Answer::Accept`], [`Answer::Refuse`], [`Answer::Close`].
    Mail(MailCommand),
    /// RCPT, well-formed, in a transaction. Answers: [`Answer::Accept`], [`Answer::Refuse`], [`Answer::Close`].
    Rcpt(RcptCommand),
    /// DATA or the first BDAT, with at least one recipient accepted. Answers: [`Answer::Accept`], [`Answer::Refuse`]
    /// (the transaction is over), [`Answer::Close`].
    BeginContent,
    /// The content is complete. Answers: [`Answer::Accepted`] once it is safe, [`Answer::Refuse`], [`Answer::Close`];
    /// each ends the transaction.
    EndContent,
}

/// EHLO or HELO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Whether it was EHLO.
    pub esmtp: bool,
    /// What the peer calls itself: printable ASCII without spaces, at most 255 bytes, otherwise unchecked; empty only
    /// where [`Profile::require_hello_domain`] is false.
    pub domain: &'a str,
}

/// Who the peer says it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The mechanism that carried them.
    pub mechanism: Mechanism,
    /// Whom the peer wants to act as; empty: as the user itself.
    pub authorization_id: &'a str,
    /// The user name.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

/// Without the password.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("mechanism", &self.mechanism)
            .field("authorization_id", &self.authorization_id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// MAIL with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailCommand {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// The SIZE parameter in bytes; numbers beyond 64 bits are [`u64::MAX`].
    pub size: Option<u64>,
    /// The BODY parameter.
    pub body: BodyType,
    /// Whether SMTPUTF8 was given.
    pub smtputf8: bool,
    /// The RET parameter.
    pub ret: Option<Return>,
    /// The ENVID parameter, xtext as received, at most 100 bytes.
    pub envid: Option<Box<str>>,
    /// The AUTH parameter (RFC 4954 section 5): who submitted the message first, or the null path where the peer does not
    /// know. An assertion, nothing proven.
    pub auth: Option<ReversePath>,
}

/// RCPT with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptCommand {
    /// Where to.
    pub forward_path: ForwardPath,
    /// The NOTIFY parameter.
    pub notify: Notify,
    /// The ORCPT parameter as received, `type;xtext`, at most 500 bytes.
    pub original_recipient: Option<Box<str>>,
}

/// The caller's verdict. An answer that does not fit the question closes the session with 421: nothing is accepted by
/// mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes; the session says so in its own words.
    Accept,
    /// Yes, to [`Question::Connect`]: greet the peer and go on by this profile.
    Greet(Profile),
    /// Yes, to [`Question::EndContent`]: the message is safe; say this.
    Accepted(Reply),
    /// Yes, to [`Question::Authenticate`]: go on by this profile.
    Authenticated {
        /// What is on offer from now on.
        profile: Profile,
    },
    /// No; say this and go on.
    Refuse(Reply),
    /// No; say this and close the connection.
    Close(Reply),
}
