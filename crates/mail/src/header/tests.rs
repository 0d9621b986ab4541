//! Header sections as they come: what is found in them, however they are cut.

use proptest::prelude::*;

use super::*;
use crate::address_list;

const FQDN: &str = "mail.contoso.com";

fn scan(content: &[u8], size_max: u64) -> Header {
    let mut scanner = Scanner::new(size_max, FQDN).with_senders();
    scanner.push(content);
    scanner.finish()
}

fn scan_in_slices(content: &[u8], size_max: u64, slices: &[usize]) -> Header {
    let mut scanner = Scanner::new(size_max, FQDN).with_senders();
    let mut rest = content;
    let mut was_too_large = false;
    for size in slices.iter().cycle() {
        let (slice, after) = rest.split_at((*size).min(rest.len()));
        scanner.push(slice);
        assert!(!was_too_large || scanner.is_too_large(), "a section does not become smaller");
        was_too_large = scanner.is_too_large();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let header = scanner.finish();
    assert!(!was_too_large || header.too_large, "no false alarm");
    header
}

#[test]
fn the_section_ends_at_the_first_empty_line() {
    for (content, expected) in [
        ("Subject: x\r\n\r\nbody", Some(14)),
        ("Subject: x\n\nbody", Some(12)),
        ("Subject: x\r\n\r\n\r\n", Some(14)),
        ("Subject : x\r\n\r\n", Some(15)),
        ("Subject: x\r\n \r\n\r\n", Some(17)),
        ("Subject: x\r\nno field\r\nDate: y\r\n\r\nbody", Some(33)),
        ("\r\nbody", Some(2)),
        ("\nbody", Some(1)),
        ("just text\r\n\r\n", Some(0)),
        ("just text", Some(0)),
        (" Subject: x\r\n\r\n", Some(0)),
        ("From alice Fri Nov 20\r\nFrom: a\r\n\r\n", Some(0)),
        (": x\r\n\r\n", Some(0)),
        ("gr\u{fc}n: x\r\n\r\n", Some(0)),
        ("Subject: x\r\n", None),
        ("Subject: x", None),
        ("Sub", None),
        ("\r", None),
        ("", None),
    ] {
        assert_eq!(section_len(content.as_bytes()), expected, "{content:?}");
        if let Some(length) = expected {
            assert_eq!(scan(content.as_bytes(), 1000).size_bytes, length as u64, "{content:?}");
        }
    }
}

#[test]
fn content_that_ends_within_its_header_section_is_all_header_section() {
    for (content, expected) in [("Subject: x\r\n", 12), ("Subject: x", 10), ("Subject:", 8), ("Sub", 0), ("", 0)] {
        assert_eq!(scan(content.as_bytes(), 1000).size_bytes, expected, "{content:?}");
    }
}

#[test]
fn fields_that_count_are_counted() {
    let content = b"Received: from a (b [192.0.2.1]) by other.example with SMTP; now\r\n\
        RECEIVED: from x\r\n\t(by mail.contoso.com) by\r\n MAIL.contoso.com (10.0.0.1)\r\n with SMTP; now\r\n\
        received:by mail.contoso.com.;now\r\n\
        X-Received: by mail.contoso.com; now\r\n\
        Received: from by.example by (comment \\) (nested)) mail.contoso.com(10.0.0.1) id 7; now\r\n\
        Received: from by by mail.contoso.com; now\r\n\
        Received: from x by mail.contoso.com.evil.example; now\r\n\
        Received: from x; by mail.contoso.com\r\n\
        Received: (never closed by mail.contoso.com\r\n\
        Date: now\r\nfrom: a@b.c\r\nMessage-Id: \r\n <1@contoso.com> \r\nMessage-ID: <2@contoso.com>\r\n\r\n\
        Received: in the body\r\n";
    let header = scan(content, 10_000);
    assert_eq!((header.received_count, header.received_local_count), (8, 4));
    assert_eq!(header.message_id.as_deref(), Some("<1@contoso.com>"));
    assert!(header.has_date && header.has_from && header.has_message_id && header.is_ascii && !header.too_large);
}

fn senders(content: &[u8]) -> HeaderSenders {
    scan(content, 100_000).senders.expect("the scanner reads senders")
}

#[test]
fn every_field_that_names_a_sender_is_read() {
    let senders = senders(
        b"from : Alice <a@contoso.com>,\r\n b@contoso.com\r\nTo: x@x.net\r\nReply-To: y@x.net\r\nno field\r\n\
          SENDER:\r\n\tc@contoso.com\r\nX-From: z@x.net\r\nResent-From: d@contoso.com\r\n\
          Resent-Sender: e@contoso.com\r\nFrom: f@contoso.com\r\nFrom:\r\n\r\nFrom: body@contoso.com\r\n",
    );
    let read: Vec<_> = senders
        .fields()
        .map(|(field, named)| (field.name(), named.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")))
        .collect();
    let expected = [
        ("From", "a@contoso.com b@contoso.com"),
        ("Sender", "c@contoso.com"),
        ("Resent-From", "d@contoso.com"),
        ("Resent-Sender", "e@contoso.com"),
        ("From", "f@contoso.com"),
        ("From", ""),
    ];
    assert_eq!(read, expected.map(|(name, named)| (name, named.to_owned())));
    assert!(senders.is_readable());
    assert_eq!(senders.mailboxes().len(), 6);
    assert_eq!(scan(b"no header\r\n\r\n", 100).senders, Some(HeaderSenders::default()));
    let not_asked = Scanner::new(100, FQDN).finish();
    assert_eq!(not_asked.senders, None);
}

#[test]
fn a_header_that_some_readers_would_read_otherwise_is_not_read() {
    use SenderField::{From, ResentFrom, Sender};
    let wide = " ".repeat(LINE_KEPT_BYTES_MAX);
    let words = " x".repeat(VALUE_KEPT_BYTES_MAX / 4);
    let too_many = "Sender: a@b.c\r\n".repeat(address_list::ADDRESSES_MAX + 1);
    let two = [address_list::Unreadable::Surplus, address_list::Unreadable::Nobody];
    for (content, expected) in [
        ("From: a@b.c <d@e.f>\r\n\r\n", Unreadable::Value(From, two[0])),
        ("From: a@b.c\r\nSender: Team:;\r\n\r\n", Unreadable::Value(Sender, two[1])),
        // Readers that drop what no name may hold, or unfold a name, see a field here.
        ("A: b\r\nFrom\u{b}: ceo@contoso.com\r\n\r\n", Unreadable::Name(From)),
        ("A: b\r\n\u{b}From: ceo@contoso.com\r\n\r\n", Unreadable::Name(From)),
        ("A: b\r\nFr\u{fc}om: ceo@contoso.com\r\n\r\n", Unreadable::Name(From)),
        ("A: b\r\nResent-\0From: ceo@contoso.com\r\n\r\n", Unreadable::Name(ResentFrom)),
        ("A: b\r\nFrom\r\n : ceo@contoso.com\r\n\r\n", Unreadable::Name(From)),
        (&format!("A: b\r\nFrom{wide}: ceo@contoso.com\r\n\r\n"), Unreadable::Name(From)),
        // Readers that end lines there see a field here.
        ("Subject: x\rFrom: ceo@contoso.com\r\n\r\n", Unreadable::CarriageReturn),
        (&format!("Subject:{wide}\rFrom: ceo@contoso.com\r\n\r\n"), Unreadable::CarriageReturn),
        ("Subject: x\r\r\nFrom: a@b.c\r\n\r\n", Unreadable::CarriageReturn),
        // More than is kept.
        (&format!("From:{wide} a@b.c\r\n\r\n"), Unreadable::TooLong(From)),
        (&format!("From: Al\r\n{words}\r\n{words}\r\n <a@b.c>\r\n\r\n"), Unreadable::TooLong(From)),
        (&format!("{too_many}\r\n"), Unreadable::TooMany),
    ] {
        assert_eq!(senders(content.as_bytes()).unreadable(), Some(expected), "{content:?}");
    }
    for content in [
        "A: b\r\nFrom the desk of: x\r\nFromage: y\r\nFrom: a@b.c\r\n\r\n",
        "Subject: x\r\n\r\nbody \r with From\u{b}: ceo@contoso.com\r\n",
        // No header section at all: whatever stands there is body.
        "From\u{b}: ceo@contoso.com\r\nFrom: a@b.c <d@e.f>\r\n\r\n",
        "no\rheader\r\n",
    ] {
        assert!(senders(content.as_bytes()).is_readable(), "{content:?}");
    }
}

#[test]
fn a_message_id_that_logs_could_not_print_is_not_reported() {
    let long = format!("<{}@x>", "a".repeat(MESSAGE_ID_BYTES_MAX));
    let spaced = format!("{}<1@x>", " ".repeat(LINE_KEPT_BYTES_MAX));
    for (value, expected) in [
        (" <1@x>", Some("<1@x>")),
        ("<1@x>", Some("<1@x>")),
        (" two words", Some("two words")),
        ("", None),
        (" <1\u{7}@x>", None),
        (" <\u{fc}@x>", None),
        (long.as_str(), None),
        (spaced.as_str(), None),
    ] {
        let header = scan(format!("Message-ID:{value}\r\n\r\n").as_bytes(), 10_000);
        assert_eq!(header.message_id.as_deref(), expected, "{value:?}");
        assert!(header.has_message_id);
    }
}

#[test]
fn a_header_section_over_the_limit_is_known_before_it_ends() {
    let mut scanner = Scanner::new(20, FQDN);
    scanner.push(b"Subject: 12345678\r\n");
    assert!(!scanner.is_too_large());
    scanner.push(b"To");
    assert!(scanner.is_too_large());
    assert!(scanner.finish().too_large);
}

#[test]
fn a_body_counts_for_nothing() {
    let mut scanner = Scanner::new(20, FQDN);
    scanner.push(b"A: b\r\n\r\n");
    scanner.push(&[0xff; 100]);
    assert!(!scanner.is_too_large());
    let header = scanner.finish();
    assert_eq!((header.size_bytes, header.is_ascii), (8, true));
    // One line without end and without a colon is no header field, and so no header section.
    let header = scan(&[b'x'; 10 * LINE_KEPT_BYTES_MAX], 20);
    assert_eq!((header.size_bytes, header.too_large), (0, false));
}

#[test]
fn a_header_section_beyond_ascii_is_noticed() {
    assert!(!scan("Subject: gr\u{fc}n\r\n\r\n".as_bytes(), 1000).is_ascii);
    assert!(scan("Subject: x\r\n\r\ngr\u{fc}n".as_bytes(), 1000).is_ascii);
}

#[test]
fn fields_are_handed_out_whole() {
    let section = b"A: 1\r\nno field\r\nB : 2\r\n\t3 \r\nC:\r\n\r\nD: body";
    let read: Vec<_> = fields(section).map(|f| (f.name, f.unfolded())).collect();
    assert_eq!(read, [("A", b"1".to_vec()), ("B", b"2\t3".to_vec()), ("C", Vec::new())]);
    assert!(fields(b"no section: here\r\n").next().is_none());
    assert_eq!(fields(b"Last: field").next().map(|f| f.value), Some(&b" field"[..]));
}

/// Content made of the pieces that matter to the scanner, in any order.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "\r\n", "\n", "\r", " ", "\t", ":", "(", ")", ";", "by ", "from x by mail.contoso.com", "Received: ",
            "received:by mail.contoso.com", "Message-ID: <1@x>", "Message-Id:", "Date: x", "From:a", "Subject: ",
            "Sender: a@b.c, d@e.f", "From\u{b}:", "text", "\u{fc}",
        ]).prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => (1000_usize..3000).prop_map(|n| vec![b'a'; n]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_slicing_gives_the_same_header(
        content in content(),
        slices in prop::collection::vec(1_usize..40, 1..8),
        size_max in 0_u64..200,
    ) {
        prop_assert_eq!(scan_in_slices(&content, size_max, &slices), scan(&content, size_max));
    }

    #[test]
    fn scanner_and_reader_agree(content in content()) {
        let header = scan(&content, 1000);
        if let Some(length) = section_len(&content) {
            prop_assert_eq!(header.size_bytes, length as u64);
        }
        if content.split(|b| *b == b'\n').all(|line| line.len() < LINE_KEPT_BYTES_MAX) && header.size_bytes > 0 {
            let count = |name| fields(&content).filter(|f| f.is(name)).count();
            prop_assert_eq!(header.received_count as usize, count("Received"));
            prop_assert_eq!(header.has_message_id, count("Message-ID") > 0);
            prop_assert_eq!(header.has_date, count("Date") > 0);
            prop_assert_eq!(header.has_from, count("From") > 0);
        }
    }
}

#[test]
fn a_header_says_how_urgent_a_message_is_and_x_priority_says_it_best() {
    use crate::envelope::Priority;
    for (fields, expected) in [
        ("", None),
        ("X-Priority: 1 (Highest)\r\n", Some(Priority::High)),
        ("x-priority: 5\r\n", Some(Priority::Low)),
        ("X-Priority: 3\r\nImportance: high\r\n", Some(Priority::Normal)),
        ("Importance: high\r\nX-Priority: 5\r\n", Some(Priority::Low)),
        ("Importance: Low\r\nX-Priority: very\r\n", Some(Priority::Low)),
        ("Priority: urgent\r\n", Some(Priority::High)),
        ("Priority: non-urgent\r\n", Some(Priority::Low)),
        ("X-Priority: 11\r\n", None),
        ("X-Priority:\r\n", None),
    ] {
        let mut scanner = Scanner::new(10_000, "mail.contoso.com");
        scanner.push(format!("From: a@x.net\r\n{fields}\r\nImportance: high\r\n").as_bytes());
        assert_eq!(scanner.finish().priority, expected, "{fields:?}");
    }
}

#[test]
fn an_automatic_reply_says_so_and_a_report_is_none() {
    for (fields, expected) in [
        ("", false),
        ("Auto-Submitted: auto-replied\r\n", true),
        ("auto-submitted:\r\n (a comment (in another)) Auto-Replied (vacation); owner-email=\"a@b\"\r\n", true),
        ("Auto-Submitted: auto-generated\r\n", false),
        ("Auto-Submitted: no\r\nSubject: auto-replied\r\n", false),
        ("Auto-Submitted: auto-replied-by-nobody\r\n", false),
        ("Auto-Submitted: auto-replied\r\nContent-Type: text/plain\r\n", true),
        ("Auto-Submitted: auto-replied\r\nContent-Type:\r\n Multipart/Report; report-type=delivery-status\r\n", false),
        ("Content-Type: multipart/report;boundary=x\r\nAuto-Submitted: auto-replied\r\n", false),
    ] {
        let header =
            scan(format!("{fields}To: a@b.example\r\n\r\nAuto-Submitted: auto-replied\r\n").as_bytes(), 10_000);
        assert_eq!(header.is_automatic_reply(), expected, "{fields:?}");
    }
}
