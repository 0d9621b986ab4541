//! Trace information: the Received field that each accepted message gets (RFC 5321 section 4.4), and dates.
//!
//! Takes what the session knows about the peer, hands on a folded header field. Whatever the peer chose itself (the
//! name it greeted with) is cleaned, so that it can neither end the field nor look like another part of it.

use std::fmt::Write;
use std::net::IpAddr;

use crate::address::Mailbox;
use crate::calendar::{MONTHS, TIME_S_MAX, civil_from_days};
use crate::envelope::MessageId;
use crate::field::{FieldWriter, token};

/// How a session is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls<'a> {
    /// The protocol version, for example `TLS1.3`.
    pub version: &'a str,
    /// The cipher suite, for example `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'a str,
}

/// What a Received field says.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The argument of EHLO or HELO, as received; at most 255 bytes of it are written.
    pub helo: &'a str,
    /// Whether the peer said EHLO rather than HELO.
    pub esmtp: bool,
    /// The peer's address.
    pub peer: IpAddr,
    /// The name of the receive connector that took the message.
    pub fqdn: &'a str,
    /// Our address of the connection.
    pub local: IpAddr,
    /// How the session was encrypted, if it was.
    pub tls: Option<Tls<'a>>,
    /// Whether the peer authenticated.
    pub authenticated: bool,
    /// Whether the transaction used SMTPUTF8.
    pub smtputf8: bool,
    /// The message's number here.
    pub id: MessageId,
    /// The recipient, to be given only if the message has exactly one: more would tell them of each other
    /// (RFC 5321 section 7.2).
    pub recipient: Option<&'a Mailbox>,
    /// When the message was accepted: Unix time in milliseconds.
    pub time_ms: u64,
}

impl Received<'_> {
    /// Appends the whole field with the CRLF that ends it. Lines are folded at 78 bytes where white space allows.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut field = FieldWriter::start(out, "Received: from ");
        field.append(&token(self.helo));
        field.piece(format_args!("({})", self.peer.to_canonical()));
        field.piece(format_args!("by {}", token(self.fqdn)));
        field.piece(format_args!("({})", self.local.to_canonical()));
        field.piece(format_args!("with {}", self.protocol()));
        match self.tls {
            None => field.piece(format_args!("(Gatepost)")),
            Some(tls) => {
                field.piece(format_args!("(Gatepost, version={},", token(tls.version)));
                field.piece(format_args!("cipher={})", token(tls.cipher)));
            }
        }
        field.piece(format_args!("id {}", self.id));
        // Without SMTPUTF8 a header field is ASCII, and no line of it has more than 998 bytes.
        let fits = |mailbox: &&Mailbox| (self.smtputf8 || !mailbox.needs_smtputf8()) && !mailbox.is_long();
        if let Some(recipient) = self.recipient.filter(fits) {
            field.piece(format_args!("for <{recipient}>"));
        }
        field.append(";");
        field.piece(format_args!("{}", Date(self.time_ms)));
        field.end();
    }

    /// The protocol's registered name (RFC 3848, RFC 6531 section 4.3). HELO is SMTP, whatever else was agreed on.
    fn protocol(&self) -> &'static str {
        match (self.esmtp, self.smtputf8, self.tls.is_some(), self.authenticated) {
            (false, ..) => "SMTP",
            (true, false, false, false) => "ESMTP",
            (true, false, true, false) => "ESMTPS",
            (true, false, false, true) => "ESMTPA",
            (true, false, true, true) => "ESMTPSA",
            (true, true, false, false) => "UTF8SMTP",
            (true, true, true, false) => "UTF8SMTPS",
            (true, true, false, true) => "UTF8SMTPA",
            (true, true, true, true) => "UTF8SMTPSA",
        }
    }
}

/// An RFC 5322 date-time in UTC, for example `Fri, 20 Nov 2026 14:01:02 +0000`, of a Unix time in milliseconds. Times
/// beyond the year 9999 are written as its end.
pub fn date(time_ms: u64) -> String {
    let mut text = String::with_capacity("Fri, 20 Nov 2026 14:01:02 +0000".len());
    // Writing to a String cannot fail.
    let _ = write!(text, "{}", Date(time_ms));
    text
}

/// [`date`] without a String of its own.
struct Date(u64);

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        let seconds = (self.0 / 1000).min(TIME_S_MAX);
        let days = seconds / 86_400;
        let (year, month, day) = civil_from_days(days);
        write!(
            f,
            "{}, {day} {} {year:04} {:02}:{:02}:{:02} +0000",
            // 1 January 1970 was a Thursday.
            WEEKDAYS[(days % 7) as usize],
            MONTHS[month],
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::TimeZone};
    use proptest::prelude::*;

    use super::*;
    use crate::header::{Scanner, fields};

    fn received() -> Received<'static> {
        Received {
            helo: "scanner",
            esmtp: true,
            peer: "192.168.2.55".parse().expect("an address"),
            fqdn: "mail.contoso.com",
            local: "192.168.2.1".parse().expect("an address"),
            tls: None,
            authenticated: false,
            smtputf8: false,
            id: MessageId(42),
            recipient: None,
            time_ms: 1_795_183_262_000,
        }
    }

    fn written(received: &Received<'_>) -> String {
        let mut out = Vec::new();
        received.write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_received_field_says_who_where_how_and_when() {
        let bob = Mailbox::parse("bob@fabrikam.com").expect("an address");
        assert_eq!(
            written(&received()),
            "Received: from scanner (192.168.2.55) by mail.contoso.com (192.168.2.1)\r\n \
             with ESMTP (Gatepost) id 42; Fri, 20 Nov 2026 14:01:02 +0000\r\n"
        );
        assert_eq!(
            written(&Received {
                helo: "[IPv6:2001:db8::7]",
                peer: "2001:db8::7".parse().expect("an address"),
                local: "::ffff:10.0.0.1".parse().expect("an address"),
                tls: Some(Tls { version: "TLS1.3", cipher: "TLS_AES_256_GCM_SHA384" }),
                recipient: Some(&bob),
                ..received()
            }),
            "Received: from [IPv6:2001:db8::7] (2001:db8::7) by mail.contoso.com\r\n \
             (10.0.0.1) with ESMTPS (Gatepost, version=TLS1.3,\r\n \
             cipher=TLS_AES_256_GCM_SHA384) id 42 for <bob@fabrikam.com>;\r\n \
             Fri, 20 Nov 2026 14:01:02 +0000\r\n"
        );
    }

    #[test]
    fn the_protocol_has_its_registered_name() {
        let tls = Some(Tls { version: "TLS1.2", cipher: "x" });
        for (esmtp, smtputf8, tls, authenticated, expected) in [
            (false, false, None, false, "SMTP"),
            (false, false, tls, true, "SMTP"),
            (true, false, None, false, "ESMTP"),
            (true, false, tls, false, "ESMTPS"),
            (true, false, None, true, "ESMTPA"),
            (true, false, tls, true, "ESMTPSA"),
            (true, true, None, false, "UTF8SMTP"),
            (true, true, tls, false, "UTF8SMTPS"),
            (true, true, None, true, "UTF8SMTPA"),
            (true, true, tls, true, "UTF8SMTPSA"),
        ] {
            let text = written(&Received { esmtp, smtputf8, tls, authenticated, ..received() });
            assert!(text.contains(&format!("with {expected} (Gatepost")), "{text}");
        }
    }

    #[test]
    fn a_recipient_beyond_ascii_is_named_only_where_the_message_may_hold_it() {
        let recipient = Mailbox::parse("\u{7528}@contoso.com").expect("an address");
        let received = Received { recipient: Some(&recipient), ..received() };
        assert!(written(&received).is_ascii());
        assert!(written(&Received { smtputf8: true, ..received }).contains("for <\u{7528}@contoso.com>;"));
    }

    #[test]
    fn a_date_is_written_as_rfc_5322_writes_it() {
        for (time_ms, expected) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (951_868_799_999, "Tue, 29 Feb 2000 23:59:59 +0000"),
            (1_795_183_262_000, "Fri, 20 Nov 2026 14:01:02 +0000"),
            (4_107_542_400_000, "Mon, 1 Mar 2100 00:00:00 +0000"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 +0000"),
        ] {
            assert_eq!(date(time_ms), expected);
        }
    }

    proptest! {
        #[test]
        fn dates_agree_with_a_calendar_library(time_ms in 0..TIME_S_MAX * 1000) {
            let zoned = Timestamp::from_millisecond(time_ms as i64).expect("in range").to_zoned(TimeZone::UTC);
            prop_assert_eq!(date(time_ms), zoned.strftime("%a, %-d %b %Y %H:%M:%S +0000").to_string());
        }

        #[test]
        fn a_greeting_cannot_write_another_field_or_clause(helo in any::<String>(), injected in "[\r\n ();<>,\"\\\\a-z:]{0,40}") {
            for helo in [helo, injected] {
                let mut out = Vec::new();
                Received { helo: &helo, ..received() }.write(&mut out);
                out.extend_from_slice(b"\r\n");
                let read: Vec<_> = fields(&out).collect();
                prop_assert_eq!(read.len(), 1);
                prop_assert_eq!(read[0].value.iter().filter(|b| **b == b';').count(), 1);
                prop_assert!(out.split(|b| *b == b'\n').all(|line| line.len() <= 300));
                let mut scanner = Scanner::new(10_000, "mail.contoso.com");
                scanner.push(&out);
                let header = scanner.finish();
                prop_assert_eq!((header.received_count, header.received_local_count), (1, 1));
            }
        }
    }
}
