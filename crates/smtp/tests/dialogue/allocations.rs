//! Content costs no allocation, however long it is; a message costs a few, and always the same.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use gatepost_mail::{BodyType, Mailbox, Recipient, Reply, ReversePath};
use gatepost_smtp::{Answer, Client, ClientOutput, Options, Output, Profile, Question, Session, TlsWish, Transaction};

/// Drives the session as the server does, but for what it keeps of the answers; hands back how much content came.
fn hear(session: &mut Session, bytes: &[u8]) -> usize {
    let now = Instant::now();
    let (mut at, mut taken) = (0, 0);
    loop {
        let (used, output) = session.receive(now, &bytes[at..]);
        let answer = match output {
            Output::Ask(Question::Connect) => {
                let profile = Profile::new("mail.contoso.com".to_owned(), IpAddr::V4(Ipv4Addr::LOCALHOST));
                Some(Answer::Greet(profile))
            }
            Output::Ask(Question::EndContent) => Some(Answer::Accepted(Reply::new(250, (2, 6, 0), "Queued"))),
            Output::Ask(_) => Some(Answer::Accept),
            Output::Content(piece) => {
                taken += piece.len();
                None
            }
            Output::NeedInput => return taken,
            _ => None,
        };
        at += used;
        if let Some(answer) = answer {
            session.answer(now, answer);
        }
    }
}

fn lines(count: usize) -> Vec<u8> {
    b"The quick brown fox jumps over the lazy dog.\r\n..a stuffed dot\r\n".repeat(count)
}

#[test]
fn a_received_message_allocates_the_same_however_long_its_content_is() {
    let mut session = Session::new(Instant::now());
    hear(&mut session, b"");
    hear(&mut session, b"EHLO device.example\r\n");
    let mut message = |content: &[u8]| {
        allocation_counter::measure(|| {
            hear(&mut session, b"MAIL FROM:<scan@device.example>\r\n");
            hear(&mut session, b"RCPT TO:<someone@mail.example>\r\n");
            hear(&mut session, b"DATA\r\n");
            assert!(hear(&mut session, content) > 0);
            assert_eq!(hear(&mut session, b".\r\n"), 0);
        })
        .count_total
    };
    message(&lines(1));
    let short = message(&lines(1));
    assert_eq!(message(&lines(10_000)), short);
    // Two addresses of two parts each; what else there is, is little.
    assert!(short <= 8, "{short} allocations");
}

#[test]
fn content_that_is_sent_allocates_nothing_where_there_is_room() {
    let options = Options { tls: TlsWish::Never, ..Options::new("mail.contoso.com") };
    let now = Instant::now();
    let mut client = Client::new(now, options);
    let hear = |client: &mut Client, mut bytes: &[u8]| loop {
        let (used, output) = client.receive(now, bytes);
        bytes = &bytes[used..];
        match output {
            ClientOutput::NeedInput => return false,
            ClientOutput::Content => return true,
            ClientOutput::Failed(error) => panic!("{error}"),
            _ => {}
        }
    };
    hear(&mut client, b"220 mx.example ESMTP\r\n");
    hear(&mut client, b"250-mx.example\r\n250 PIPELINING\r\n");
    let address = |text: &str| Mailbox::parse(text).expect("an address");
    let reverse_path = ReversePath::Mailbox(address("scan@device.example"));
    let recipient = Recipient::new(address("someone@mail.example"));
    client.begin(
        now,
        Transaction {
            reverse_path: &reverse_path,
            recipients: &[(0, &recipient)],
            body: BodyType::SevenBit,
            size: 1,
            smtputf8: false,
            ret: None,
            envid: None,
            originator: None,
        },
    );
    assert!(hear(&mut client, b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go on\r\n"));
    let content = lines(1_000);
    let mut output = Vec::with_capacity(2 * content.len());
    let counted = allocation_counter::measure(|| {
        client.content(&content, &mut output);
        client.content_end(now, &mut output);
    });
    assert!(output.len() > content.len());
    assert_eq!(counted.count_total, 0);
}
