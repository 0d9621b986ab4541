//! Reports against their golden texts, and what must hold for every report whatever it is about.
//!
//! `GATEPOST_BLESS=1 cargo test -p gatepost-mail` writes the golden texts anew; their line ends are LF, those of reports
//! CRLF.

use std::path::Path;

use proptest::prelude::*;

use super::multipart::encoded_words;
use super::original::is_well_formed;
use super::*;
use crate::address::ReversePath;
use crate::envelope::{Arrival, AuthAs, BodyType, Return};
use crate::header::fields;

const ORIGINAL: &[u8] = b"Received: from scanner (192.168.2.55) by mail.contoso.com (192.168.2.1)\r\n \
    with ESMTP (Gatepost) id 42; Fri, 20 Nov 2026 14:01:02 +0000\r\n\
    From: Scanner <scanner@contoso.com>\r\n\
    To: bob@fabrikam.com\r\n\
    Subject: Scan of page 7\r\n\
    Message-ID: <7.scan@scanner.contoso.com>\r\n\
    Date: Fri, 20 Nov 2026 14:01:00 +0000\r\n\
    \r\n\
    The page is attached.\r\n";

const ARRIVED_MS: u64 = 1_795_183_262_000;
const MINUTE_MS: u64 = 60_000;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

fn envelope(recipients: Vec<Recipient>) -> Envelope {
    Envelope {
        reverse_path: ReversePath::Mailbox(mailbox("scanner@contoso.com")),
        recipients,
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: Some(Return::Headers),
        envid: None,
        arrival: Arrival {
            time_ms: ARRIVED_MS,
            peer: Some(([192, 168, 2, 55], 50_000).into()),
            connector: "Relay".into(),
            principal: "MS Exchange\\Externally Secured Servers".into(),
            auth_as: AuthAs::Internal,
            ..Arrival::default()
        },
    }
}

/// A report that tests change where they need another.
struct Case {
    kind: Kind,
    to: Mailbox,
    postmaster: Mailbox,
    envelope: Envelope,
    replies: Vec<Reply>,
    remote_mta: Option<&'static str>,
    report_id: String,
    original: Vec<u8>,
    is_full: bool,
}

impl Case {
    fn new(replies: Vec<Reply>) -> Case {
        let recipients = ["bob@fabrikam.com", "amy@fabrikam.com", "carl@fabrikam.com"];
        Case {
            kind: Kind::Failed,
            to: mailbox("scanner@contoso.com"),
            postmaster: mailbox("postmaster@contoso.com"),
            envelope: envelope(recipients[..replies.len()].iter().map(|r| Recipient::new(mailbox(r))).collect()),
            replies,
            remote_mta: Some("mx1.fabrikam.com"),
            report_id: "4f2a.43".into(),
            original: ORIGINAL.to_vec(),
            is_full: false,
        }
    }

    fn with<T>(&self, use_report: impl FnOnce(&Report<'_>) -> T) -> T {
        let recipients: Vec<_> = self
            .envelope
            .recipients
            .iter()
            .zip(&self.replies)
            .map(|(recipient, reply)| FailedRecipient {
                recipient,
                remote_mta: self.remote_mta,
                reply,
                is_remote: self.remote_mta.is_some(),
                last_attempt_ms: Some(ARRIVED_MS + MINUTE_MS),
                retry_until_ms: (self.kind == Kind::Delayed).then_some(ARRIVED_MS + 2 * 1440 * MINUTE_MS),
            })
            .collect();
        use_report(&Report {
            kind: self.kind,
            reporting_mta: "mail.contoso.com",
            postmaster: &self.postmaster,
            to: &self.to,
            envelope: &self.envelope,
            id: MessageId(42),
            report_id: &self.report_id,
            time_ms: ARRIVED_MS + 2 * MINUTE_MS,
            recipients: &recipients,
            with_diagnostics: true,
            original: if self.is_full { Original::Full(&self.original) } else { Original::Headers(&self.original) },
        })
    }

    /// The report, after a check of what holds for all of them.
    fn written(&self) -> String {
        let report = self.with(|report| report.write());
        assert!(is_well_formed(&report), "lines end with CRLF and are short enough");
        String::from_utf8_lossy(&report).into_owned()
    }
}

fn unknown_user() -> Reply {
    Reply::new(550, (5, 1, 1), "User unknown")
}

fn assert_golden(name: &str, case: &Case) {
    assert_golden_text(name, &case.written());
}

fn assert_golden_text(name: &str, report: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/golden").join(name);
    let report = report.replace("\r\n", "\n");
    if std::env::var_os("GATEPOST_BLESS").is_some() {
        std::fs::write(&path, &report).expect("the golden text can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("a golden text; GATEPOST_BLESS=1 makes it");
    assert_eq!(report, golden, "{name}");
}

#[test]
fn a_failed_message_is_reported_with_its_header_section() {
    let mut case = Case::new(vec![
        unknown_user(),
        Reply::new(552, (5, 3, 4), "Message size exceeds fixed maximum message size"),
        Reply::plain(
            554,
            "Transaction failed\nSee https://postmaster.fabrikam.com/help?code=blocked&id=0123456789 for details",
        ),
    ]);
    case.envelope.envid = Some("QQ+2B314159".into());
    case.envelope.recipients[0].original_recipient = Some("rfc822;robert+2Btag@fabrikam.com".into());
    assert_golden("failed.eml", &case);
}

#[test]
fn an_expired_message_is_reported_whole_where_that_was_asked_for() {
    let mut case = Case::new(vec![Reply::new(550, (4, 4, 7), "QUEUE.Expired; message expired")]);
    case.remote_mta = None;
    case.is_full = true;
    assert_golden("expired_full.eml", &case);
}

#[test]
fn a_delayed_message_is_reported_without_alarm() {
    let mut case = Case::new(vec![Reply::new(451, (4, 3, 2), "Service not available")]);
    case.kind = Kind::Delayed;
    assert_golden("delayed.eml", &case);
}

#[test]
fn a_delivery_is_reported_where_it_was_asked_for() {
    let mut case = Case::new(vec![Reply::new(250, (2, 1, 5), "Recipient OK")]);
    for (kind, name) in
        [(Kind::Delivered, "delivered.eml"), (Kind::Relayed, "relayed.eml"), (Kind::Expanded, "expanded.eml")]
    {
        case.kind = kind;
        assert_golden(name, &case);
    }
}

#[test]
fn addresses_beyond_ascii_are_escaped_unless_the_report_itself_needs_smtputf8() {
    let mut case = Case::new(vec![unknown_user()]);
    case.envelope.smtputf8 = true;
    case.envelope.recipients[0] = Recipient::new(mailbox("\u{7528}\u{6237}@fabrikam.com"));
    case.original = "Subject: Gr\u{fc}\u{df}e aus K\u{f6}ln\r\nMessage-ID: <8@contoso.com>\r\n\r\n".as_bytes().to_vec();
    assert_golden("utf8_recipient.eml", &case);
    case.to = mailbox("\u{7528}@contoso.com");
    assert_golden("utf8_sender.eml", &case);
}

#[test]
fn content_that_cannot_stand_within_another_message_goes_back_as_its_header_section() {
    let long_line = [ORIGINAL, &[b'x'; 999], b"\r\n"].concat();
    for (body, is_returned) in [
        (ORIGINAL.to_vec(), true),
        ([ORIGINAL, b"no line end"].concat(), true),
        ([ORIGINAL, b"8-bit \xfc\r\n"].concat(), true),
        ([ORIGINAL, b"bare\nline feed\r\n"].concat(), false),
        ([ORIGINAL, b"bare\rcarriage return\r\n"].concat(), false),
        ([ORIGINAL, b"\0"].concat(), false),
        (long_line, false),
    ] {
        let case = Case { original: body, is_full: true, ..Case::new(vec![unknown_user()]) };
        let report = case.written();
        assert_eq!(report.contains("The page is attached."), is_returned, "{report}");
        assert_eq!(report.contains("Content-Type: message/rfc822\r\n"), is_returned);
        assert!(report.contains("Message-ID: <7.scan@scanner.contoso.com>\r\n"));
    }
}

#[test]
fn the_boundary_does_not_occur_in_the_original() {
    let mut case = Case::new(vec![unknown_user()]);
    case.original = b"Subject: gatepost-4f2a.43 gatepost-1-4f2a.43\r\n\r\n".to_vec();
    let report = case.written();
    assert!(report.contains("boundary=\"gatepost-2-4f2a.43\""), "{report}");
    assert_eq!(report.matches("\r\n--gatepost-2-4f2a.43").count(), 4);
}

#[test]
fn a_subject_beyond_ascii_becomes_encoded_words() {
    assert_eq!(encoded_words("Gr\u{fc}\u{df}e, Bob"), ["=?utf-8?Q?Gr=C3=BC=C3=9Fe=2C_Bob?="]);
    let words = encoded_words(&"\u{7528}".repeat(20));
    assert_eq!(words.len(), 3);
    assert!(words.iter().all(|word| word.len() <= 75 && (word.len() - 12) % 9 == 0), "{words:?}");
}

#[test]
fn a_long_subject_is_cut_between_its_words() {
    let mut case = Case::new(vec![unknown_user()]);
    let word = "=?utf-8?B?R3LDvMOfZQ==?=";
    case.original = format!("Subject: {}\r\n\r\n", vec![word; 30].join("\r\n ")).into_bytes();
    let report = case.written();
    let subject = fields(report.as_bytes()).find(|field| field.is("Subject")).expect("a subject").unfolded();
    let words = String::from_utf8(subject).expect("text");
    assert_eq!(words, format!("Undeliverable:{} ...", format!(" {word}").repeat(19)));
}

/// What a report of this case tells, and the same read from it again.
fn undelivered(case: &Case) -> (Undelivered, Undelivered) {
    let read = Undelivered::read_report(case.written().as_bytes(), &case.to).expect("it is a report of ours");
    let known = case.with(|report| Undelivered::new(report.id, report.envelope, &case.original, report.recipients));
    (known, read)
}

fn summary(whose: Whose, cases: &[Undelivered]) -> String {
    let (to, postmaster) = (mailbox("it@contoso.com"), mailbox("postmaster@contoso.com"));
    let summary = Summary {
        whose,
        reporting_mta: "mail.contoso.com",
        postmaster: &postmaster,
        to: &to,
        report_id: "4f2a.44",
        time_ms: ARRIVED_MS + 3 * MINUTE_MS,
        cases,
    };
    let written = summary.write();
    assert!(is_well_formed(&written));
    String::from_utf8_lossy(&written).into_owned()
}

#[test]
fn a_report_that_could_not_be_delivered_is_read_again_for_whoever_answers_for_its_host() {
    let reply = Reply::new(550, (5, 1, 1), "User unknown");
    for is_full in [false, true] {
        let mut case = Case::new(vec![reply.clone(), Reply::plain(451, "greylisted\ncome again")]);
        case.is_full = is_full;
        case.envelope.envid = Some("QQ+2B314159".into());
        let (known, read) = undelivered(&case);
        assert!(known.header.starts_with(&read.header) && read.header.len() + 2 >= known.header.len());
        assert_eq!(read.recipients, known.recipients);
        let same = |case: Undelivered| (case.id, case.peer, case.sender, case.message_id, case.subject, case.envid);
        assert_eq!(same(read), same(known));
    }
    assert_eq!(Undelivered::read_report(ORIGINAL, &mailbox("a@b.example")), None);
}

#[test]
fn notices_and_summaries_say_which_mail_did_not_arrive() {
    let (first, read) = undelivered(&Case::new(vec![unknown_user()]));
    let mut nobody = Case::new(vec![unknown_user(), Reply::new(552, (5, 2, 2), "Mailbox full")]);
    nobody.envelope.reverse_path = ReversePath::Null;
    let (nobody, _) = undelivered(&nobody);
    assert_golden_text("notice.eml", &summary(Whose::Owner, std::slice::from_ref(&nobody)));
    assert_golden_text("notices.eml", &summary(Whose::Owner, &[nobody, read]));
    assert_golden_text("summary.eml", &summary(Whose::Sender, &[first.clone(), first]));
}

#[test]
fn an_encoded_subject_is_shown_as_it_reads() {
    for (subject, expected) in [
        ("lunch", "lunch"),
        ("=?utf-8?Q?Gr=C3=BC=C3=9Fe=2C_Bob?=", "Gr\u{fc}\u{df}e, Bob"),
        ("Re: =?UTF-8?B?R3LDvA==?= =?utf-8*de?Q?=C3=9Fe?= all", "Re: Gr\u{fc}\u{df}e all"),
        ("=?iso-8859-1?Q?Gr=FC=DFe?=", "Gr\u{fc}\u{df}e"),
        ("=?koi8-r?B?8NLJ18XU?=", "=?koi8-r?B?8NLJ18XU?="),
        ("=?utf-8?Q?=FF?= =?utf-8?X?x?= =?utf-8?Q?=4?=", "=?utf-8?Q?=FF?= =?utf-8?X?x?= =?utf-8?Q?=4?="),
        ("=?utf-8?Q?a=0D=0Ab?=", "a  b"),
    ] {
        assert_eq!(super::text::readable(subject), expected, "{subject}");
    }
}

/// The lines of a report's own header section and of its delivery status that begin a field.
fn field_names(report: &str) -> Vec<String> {
    let status = report.split("Content-Type: message/").nth(1).expect("a delivery status");
    let status = &status[..status.find("\r\n--gatepost").expect("its end")];
    let header = fields(report.as_bytes()).map(|f| f.name.to_owned());
    let blocks = status.split("\r\n\r\n").skip(1);
    header.chain(blocks.flat_map(|b| fields(b.as_bytes()).map(|f| f.name.to_owned()).collect::<Vec<_>>())).collect()
}

proptest! {
    #[test]
    fn nothing_from_outside_begins_a_line_of_its_own(
        text in prop_oneof![any::<String>(), "[\r\n:a \u{85}\u{2028}=?+;-]{0,60}", "[a-z ]{900,1200}"],
        subject in prop_oneof![prop::collection::vec(any::<u8>(), 0..60), "[a-z\u{fc} ]{0,800}".prop_map(String::into_bytes)],
        remote_named in any::<bool>(),
        is_full in any::<bool>(),
    ) {
        let encoded: String = text.bytes().map(|b| format!("+{b:02X}")).collect();
        let hostile = |text: String| {
            let mut case = Case::new(vec![Reply::plain(550, "").with_text(text.replace('\r', ""))]);
            case.envelope.envid = Some(encoded.as_str().into());
            case.envelope.recipients[0].original_recipient = Some(format!("rfc822;{encoded}").into());
            case.original = [b"Subject:", subject.as_slice(), b"\r\n\r\nbody"].concat();
            case.report_id = text;
            case.is_full = is_full;
            if !remote_named {
                case.remote_mta = None;
            }
            case
        };
        let harmless = field_names(&{
            let mut case = hostile("x".into());
            case.envelope.envid = Some("x".into());
            case.envelope.recipients[0].original_recipient = Some("rfc822;x".into());
            case
        }.written());
        let case = hostile(text.clone());
        prop_assert_eq!(field_names(&case.written()), harmless);
    }

    #[test]
    fn anything_is_read_as_a_report_without_harm(content in prop::collection::vec(any::<u8>(), 0..300), at: usize, byte: u8) {
        let to = mailbox("a@b.example");
        let _ = Undelivered::read_report(&content, &to);
        let mut report = Case::new(vec![unknown_user()]).written().into_bytes();
        let at = at % report.len();
        report[at] = byte;
        if let Some(read) = Undelivered::read_report(&report, &to) {
            summary(Whose::Owner, std::slice::from_ref(&read));
            summary(Whose::Owner, &[read.clone(), read]);
        }
        report.truncate(at);
        let _ = Undelivered::read_report(&report, &to);
    }

    #[test]
    fn any_header_section_can_be_returned(section in prop::collection::vec(any::<u8>(), 0..300), long in 0_usize..2500) {
        let long = [b"Subject: ", "\u{7528}".repeat(long).as_bytes(), b"\r\n", &section].concat();
        for original in [section, long] {
            Case { original, ..Case::new(vec![unknown_user()]) }.written();
        }
    }
}
