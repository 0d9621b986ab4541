//! The organization headers: what the first server of an organization notes in a message about how it came in
//! (fact sheet section 2.8).
//!
//! Takes what is known of the session, hands on header fields. Which of them a message keeps on its way, the
//! [`crate::header_firewall`] sees to.

use std::fmt;
use std::io::Write;

use crate::address::Domain;
use crate::calendar::{MONTHS, TIME_S_MAX, civil_from_days};
use crate::envelope::AuthAs;

/// How far the sender is trusted.
pub const AUTH_AS: &str = "X-MS-Exchange-Organization-AuthAs";
/// The server that judged so.
pub const AUTH_SOURCE: &str = "X-MS-Exchange-Organization-AuthSource";
/// By which means the peer was authenticated.
pub const AUTH_MECHANISM: &str = "X-MS-Exchange-Organization-AuthMechanism";
/// Which domain the peer has proven to be.
pub const AUTH_DOMAIN: &str = "X-MS-Exchange-Organization-AuthDomain";
/// When the message first came into the organization.
pub const ORIGINAL_ARRIVAL_TIME: &str = "X-MS-Exchange-Organization-OriginalArrivalTime";
/// How large it was then, in bytes.
pub const ORIGINAL_SIZE: &str = "X-MS-Exchange-Organization-OriginalSize";

/// Those that stay with a message in its mailbox (fact sheet section 2.9).
pub const DELIVERED: [&str; 7] = [
    "X-MS-Exchange-Organization-SCL",
    AUTH_DOMAIN,
    AUTH_MECHANISM,
    AUTH_SOURCE,
    AUTH_AS,
    ORIGINAL_ARRIVAL_TIME,
    ORIGINAL_SIZE,
];

/// How a peer was authenticated: two hex digits, which readers take as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMechanism {
    /// A user, by password.
    Basic,
    /// The network vouches for the peer.
    ExternallySecured,
}

impl AuthMechanism {
    const fn code(self) -> &'static str {
        match self {
            AuthMechanism::Basic => "07",
            AuthMechanism::ExternallySecured => "10",
        }
    }
}

/// What is noted about a message that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Stamps<'a> {
    /// How the message counts.
    pub auth_as: AuthAs,
    /// Our name.
    pub auth_source: &'a Domain,
    /// `None` where nobody authenticated.
    pub auth_mechanism: Option<AuthMechanism>,
    /// The domain that a partner has proven to be.
    pub auth_domain: Option<&'a Domain>,
    /// Unix time in milliseconds.
    pub arrival_ms: u64,
    /// Of the content as it was taken, in bytes.
    pub size_bytes: u64,
}

impl Stamps<'_> {
    /// Appends the fields, each with its CRLF, without those that the message has already.
    pub fn write(&self, brought: Brought, out: &mut Vec<u8>) {
        if brought.auth_as.is_none() {
            write(out, AUTH_AS, format_args!("{}", self.auth_as));
            write(out, AUTH_SOURCE, format_args!("{}", self.auth_source));
            if let Some(mechanism) = self.auth_mechanism {
                write(out, AUTH_MECHANISM, format_args!("{}", mechanism.code()));
            }
            if let Some(domain) = self.auth_domain {
                write(out, AUTH_DOMAIN, format_args!("{domain}"));
            }
        }
        if !brought.original_arrival_time {
            write(out, ORIGINAL_ARRIVAL_TIME, format_args!("{}", Moment(self.arrival_ms)));
        }
        if !brought.original_size {
            write(out, ORIGINAL_SIZE, format_args!("{}", self.size_bytes));
        }
    }
}

/// Which of them a message brings that another server of the organization has taken before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// What the first AuthAs field says. A word that is none of ours counts as [`AuthAs::Anonymous`].
    pub auth_as: Option<AuthAs>,
    /// Whether there is an OriginalArrivalTime.
    pub original_arrival_time: bool,
    /// Whether there is an OriginalSize.
    pub original_size: bool,
}

/// What an AuthAs field says, if it is a word of ours.
pub fn parse_auth_as(value: &[u8]) -> Option<AuthAs> {
    let known = [AuthAs::Anonymous, AuthAs::Internal, AuthAs::Partner];
    known.into_iter().find(|word| word.exchange_name().as_bytes().eq_ignore_ascii_case(value.trim_ascii()))
}

/// One field. Names and values are our own, short and clean.
fn write(out: &mut Vec<u8>, name: &str, value: fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{name}: {value}\r\n");
}

/// As Exchange writes a time here: `20 Nov 2026 14:01:02.5000 (UTC)`.
struct Moment(u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = (self.0 / 1000).min(TIME_S_MAX);
        let (year, month, day) = civil_from_days(seconds / 86_400);
        write!(
            f,
            "{day:02} {} {year:04} {:02}:{:02}:{:02}.{:03}0 (UTC)",
            MONTHS[month],
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            self.0 % 1000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(stamps: &Stamps<'_>, brought: Brought) -> String {
        let mut out = Vec::new();
        stamps.write(brought, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_stamps_say_how_a_message_came_in() {
        let server = Domain::parse("mail.contoso.com").expect("a domain");
        let stamps = Stamps {
            auth_as: AuthAs::Internal,
            auth_source: &server,
            auth_mechanism: Some(AuthMechanism::ExternallySecured),
            auth_domain: None,
            arrival_ms: 1_795_183_262_042,
            size_bytes: 1234,
        };
        assert_eq!(
            written(&stamps, Brought::default()),
            "X-MS-Exchange-Organization-AuthAs: Internal\r\n\
             X-MS-Exchange-Organization-AuthSource: mail.contoso.com\r\n\
             X-MS-Exchange-Organization-AuthMechanism: 10\r\n\
             X-MS-Exchange-Organization-OriginalArrivalTime: 20 Nov 2026 14:01:02.0420 (UTC)\r\n\
             X-MS-Exchange-Organization-OriginalSize: 1234\r\n"
        );
        let anonymous = Stamps { auth_as: AuthAs::Anonymous, auth_mechanism: None, ..stamps };
        let text = written(&anonymous, Brought::default());
        assert!(text.contains("AuthAs: Anonymous\r\n") && !text.contains("AuthMechanism"), "{text}");
        let fabrikam = Domain::parse("fabrikam.example").expect("a domain");
        let partner = Stamps { auth_as: AuthAs::Partner, auth_domain: Some(&fabrikam), ..anonymous };
        let text = written(&partner, Brought::default());
        assert!(text.contains("AuthAs: Partner\r\n") && text.contains("AuthDomain: fabrikam.example\r\n"), "{text}");
        let basic = Stamps { auth_mechanism: Some(AuthMechanism::Basic), ..stamps };
        assert!(written(&basic, Brought::default()).contains("AuthMechanism: 07\r\n"));
    }

    #[test]
    fn what_a_message_brings_is_not_stamped_again() {
        let server = Domain::parse("mail.contoso.com").expect("a domain");
        let stamps = Stamps {
            auth_as: AuthAs::Internal,
            auth_source: &server,
            auth_mechanism: Some(AuthMechanism::Basic),
            auth_domain: None,
            arrival_ms: 0,
            size_bytes: 1,
        };
        let judged = Brought { auth_as: Some(AuthAs::Anonymous), ..Brought::default() };
        let text = written(&stamps, judged);
        assert!(!text.contains("-Auth") && text.contains("OriginalSize: 1\r\n"), "{text}");
        assert!(text.contains("OriginalArrivalTime: 01 Jan 1970 00:00:00.0000 (UTC)\r\n"), "{text}");
        assert_eq!(written(&stamps, Brought { original_arrival_time: true, original_size: true, ..judged }), "");
    }

    #[test]
    fn auth_as_is_read_as_exchange_writes_it() {
        for (value, expected) in [
            (&b" Internal"[..], Some(AuthAs::Internal)),
            (b"anonymous\r\n", Some(AuthAs::Anonymous)),
            (b" Partner ", Some(AuthAs::Partner)),
            (b" External", None),
            (b"", None),
        ] {
            assert_eq!(parse_auth_as(value), expected);
        }
    }
}
