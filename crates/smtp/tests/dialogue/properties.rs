//! What holds for any bytes in any slicing.

use std::fmt::Write;
use std::time::Instant;

use gatepost_mail::{BodyType, Mailbox, Recipient, Reply, ReversePath};
use gatepost_smtp::{
    Answer, BareLinefeed, Client, ClientOutput, Options, Output, Profile, Question, Session, TlsWish, Transaction,
};
use proptest::prelude::*;

use crate::server_scripts::profile;

/// Feeds `stream`, cut at `cuts`, to a session whose caller says yes to everything; hands back all outputs with
/// neighbouring pieces joined.
fn serve(stream: &[u8], cuts: &[usize], profile: &Profile) -> String {
    let now = Instant::now();
    let mut session = Session::new(now);
    let mut transcript = String::new();
    let (mut content, mut said): (Vec<u8>, Vec<u8>) = Default::default();
    let mut start = 0;
    for end in cuts.iter().copied().chain([stream.len()]) {
        let part = &stream[start..end.max(start)];
        start = end.max(start);
        let mut used = 0;
        loop {
            let (n, output) = session.receive(now, &part[used..]);
            used += n;
            if !matches!(output, Output::Content(_) | Output::NeedInput) && !content.is_empty() {
                let _ = writeln!(transcript, "content {:?}", std::mem::take(&mut content));
            }
            if !matches!(output, Output::Send(_) | Output::NeedInput) && !said.is_empty() {
                let _ = writeln!(transcript, "say {:?}", String::from_utf8_lossy(&std::mem::take(&mut said)));
            }
            match output {
                Output::Send(bytes) => said.extend_from_slice(bytes),
                Output::Content(bytes) => content.extend_from_slice(bytes),
                Output::NeedInput => {
                    assert_eq!(used, part.len(), "input is needed only once all is consumed");
                    break;
                }
                Output::Ask(question) => {
                    let _ = writeln!(transcript, "{question:?}");
                    let answer = match question {
                        Question::Connect => Answer::Greet(profile.clone()),
                        Question::Authenticate(_) => Answer::Authenticated { profile: profile.clone() },
                        Question::EndContent => Answer::Accepted(Reply::new(250, (2, 6, 0), "Queued")),
                        _ => Answer::Accept,
                    };
                    session.answer(now, answer);
                }
                // Where the handshake starts, the slicing decides what counts as sent before it.
                Output::StartTls => return transcript,
                Output::Close => return transcript + "close",
                other => {
                    let _ = writeln!(transcript, "{other:?}");
                }
            }
        }
    }
    let _ = writeln!(transcript, "content {content:?}, say {:?}", String::from_utf8_lossy(&said));
    transcript
}

/// Lines that lead deep into the dialogue, and bytes that lead astray.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "EHLO a\r\n",
        "HELO a\r\n",
        "MAIL FROM:<a@b.c>\r\n",
        "MAIL FROM:<> BODY=BINARYMIME\r\n",
        "RCPT TO:<bob@contoso.com>\r\n",
        "DATA\r\n",
        "BDAT 3\r\n",
        "BDAT 5 LAST\r\n",
        "BDAT 0 LAST\r\n",
        "RSET\r\n",
        "NOOP",
        "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
        "AUTH LOGIN\r\n",
        "YWxpY2U=\r\n",
        "STARTTLS\r\n",
        "QUIT\r\n",
        "\r\n.\r\n",
        "\r\n..\r\n",
        "\r\n",
        "\r",
        "\n",
        ".",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (1usize..6000).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn profiles() -> impl Strategy<Value = Profile> {
    prop::sample::select(vec![
        profile("all errors=any auth=LOGIN,PLAIN starttls"),
        profile("all errors=any auth=LOGIN,PLAIN normalize transcribe"),
        profile("errors=3 plain-codes require-domain"),
    ])
}

fn cuts(length: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..=length, 0..12).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

/// Content as a message may have it: made of lines that end with CRLF.
fn clean_content() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(Vec::new()),
        Just(b".".to_vec()),
        Just(b"..".to_vec()),
        prop::collection::vec(prop_oneof![Just(b'.'), Just(b'a'), Just(0u8), Just(0xe4)], 0..6),
    ];
    prop::collection::vec(line, 0..12)
        .prop_map(|lines| lines.into_iter().flat_map(|line| line.into_iter().chain(*b"\r\n")).collect())
}

/// Bytes that try to look like an end.
fn hostile_content() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..24)
}

/// What a client sends for `content`, cut at `cuts`, from the first content byte to the end.
fn sent_by_client(content: &[u8], cuts: &[usize]) -> Vec<u8> {
    let now = Instant::now();
    let options = Options { tls: TlsWish::Never, ..Options::new("a") };
    let mut client = Client::new(now, options);
    let recipient = Recipient::new(Mailbox::parse("bob@contoso.com").expect("an address"));
    let replies = b"220 a\r\n250-a\r\n250 PIPELINING\r\n250 a\r\n250 a\r\n354 a\r\n";
    let mut used = 0;
    loop {
        let (n, output) = client.receive(now, &replies[used..]);
        used += n;
        match output {
            ClientOutput::Ready => client.begin(
                now,
                Transaction {
                    reverse_path: &ReversePath::Null,
                    recipients: &[(0, &recipient)],
                    body: BodyType::EightBitMime,
                    size: content.len() as u64,
                    smtputf8: false,
                    ret: None,
                    envid: None,
                    originator: None,
                },
            ),
            ClientOutput::Content => break,
            ClientOutput::Send(_) | ClientOutput::Recipient { .. } => {}
            other => panic!("the way to the content leads through no {other:?}"),
        }
    }
    let mut out = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([content.len()]) {
        let end = end.clamp(start, content.len());
        client.content(&content[start..end], &mut out);
        start = end;
    }
    client.content_end(now, &mut out);
    out
}

/// What a session takes of `wire` as the content of one message, and whether the command behind it was heard.
fn taken_by_server(wire: &[u8], cuts: &[usize], bare_linefeed: BareLinefeed) -> (Option<Vec<u8>>, bool) {
    let now = Instant::now();
    let mut session = Session::new(now);
    let mut stream = b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@contoso.com>\r\nDATA\r\n".to_vec();
    let preamble = stream.len();
    stream.extend_from_slice(wire);
    stream.extend_from_slice(b"HELO behind\r\n");
    let (mut content, mut taken, mut is_behind) = (Vec::new(), None, false);
    let mut start = 0;
    for end in cuts.iter().map(|cut| preamble + cut).chain([stream.len()]) {
        let end = end.clamp(start, stream.len());
        let part = &stream[start..end];
        start = end;
        let mut used = 0;
        loop {
            let (n, output) = session.receive(now, &part[used..]);
            used += n;
            match output {
                Output::Content(bytes) => content.extend_from_slice(bytes),
                Output::NeedInput => break,
                Output::Ask(Question::Connect) => {
                    session.answer(now, Answer::Greet(Profile { bare_linefeed, ..profile("errors=0") }));
                }
                Output::Ask(Question::EndContent) => {
                    assert_eq!(taken, None, "one message was sent");
                    taken = Some(std::mem::take(&mut content));
                    session.answer(now, Answer::Accepted(Reply::plain(250, "Queued")));
                }
                Output::Ask(question) => {
                    is_behind |= matches!(&question, Question::Hello(hello) if hello.domain == "behind");
                    session.answer(now, Answer::Accept);
                }
                // Not a single line may be taken for a wrong command.
                Output::Close => panic!("something of the content was heard as a command"),
                _ => {}
            }
        }
    }
    (taken, is_behind)
}

/// Every CR and every LF that are not one CRLF, replaced by CRLF: the plain way.
fn normalized(content: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut rest = content;
    loop {
        rest = match rest {
            [] => return lines,
            [b'\r', b'\n', tail @ ..] | [b'\r' | b'\n', tail @ ..] => {
                lines.extend_from_slice(b"\r\n");
                tail
            }
            [byte, tail @ ..] => {
                lines.push(*byte);
                tail
            }
        };
    }
}

proptest! {
    #[test]
    fn a_session_says_the_same_however_its_input_is_cut(
        (stream, cuts) in stream().prop_flat_map(|stream| { let n = stream.len(); (Just(stream), cuts(n)) }),
        profile in profiles(),
    ) {
        let whole = serve(&stream, &[], &profile);
        prop_assert_eq!(&serve(&stream, &cuts, &profile), &whole);
        let every_byte: Vec<_> = (0..stream.len()).collect();
        prop_assert_eq!(&serve(&stream, &every_byte, &profile), &whole);
    }

    #[test]
    fn clean_content_passes_client_and_server_unchanged(
        (content, client_cuts, server_cuts) in
            clean_content().prop_flat_map(|content| { let n = content.len(); (Just(content), cuts(n), cuts(n)) }),
    ) {
        let wire = sent_by_client(&content, &client_cuts);
        for bare_linefeed in [BareLinefeed::Reject, BareLinefeed::Normalize] {
            let (taken, is_behind) = taken_by_server(&wire, &server_cuts, bare_linefeed);
            prop_assert_eq!(taken.as_ref(), Some(&content));
            prop_assert!(is_behind);
        }
    }

    /// The proof against smuggling: whatever lies before the true end, one server takes it as one message; what it
    /// hands on, sent by our client, is one message to the next server and the same one. The second server rejects
    /// every bare CR and LF, so there are none.
    #[test]
    fn nothing_in_content_ends_it_here_or_at_the_next_hop(
        (content, cuts) in hostile_content().prop_flat_map(|content| { let n = content.len(); (Just(content), cuts(n)) }),
    ) {
        let mut wire = b"x".to_vec();
        wire.extend_from_slice(&content);
        wire.extend_from_slice(b"x");
        // The only thing that may end it early is what truly is an end.
        prop_assume!(!wire.windows(5).any(|window| window == b"\r\n.\r\n"));
        let unstuffed: Vec<u8> = wire.iter().enumerate()
            .filter(|(i, byte)| !(**byte == b'.' && wire[..*i].ends_with(b"\r\n")))
            .map(|(_, byte)| *byte)
            .collect();
        wire.extend_from_slice(b"\r\n.\r\n");

        let (taken, is_behind) = taken_by_server(&wire, &cuts, BareLinefeed::Normalize);
        let taken = taken.expect("a message");
        prop_assert!(is_behind);
        prop_assert_eq!(&taken, &[&normalized(&unstuffed)[..], b"\r\n"].concat());

        let (again, is_behind) = taken_by_server(&sent_by_client(&taken, &cuts), &cuts, BareLinefeed::Reject);
        prop_assert!(is_behind);
        prop_assert_eq!(again, Some(taken));

        let (refused_or_same, is_behind) = taken_by_server(&wire, &cuts, BareLinefeed::Reject);
        prop_assert!(is_behind);
        prop_assert_eq!(refused_or_same.is_some(), normalized(&unstuffed) == unstuffed);
    }

    #[test]
    fn a_client_takes_any_bytes_for_replies(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        prefix in 0usize..7,
        logs_on in any::<bool>(),
    ) {
        let replies = ["220 a\r\n", "250-a\r\n250-AUTH SCRAM-SHA-1 LOGIN\r\n", "250 PIPELINING\r\n", "250 a\r\n", "250 a\r\n", "354 a\r\n"].concat();
        let stream = [&replies.as_bytes()[..replies.len() * prefix / 6], &bytes].concat();
        let now = Instant::now();
        let logon = logs_on.then(|| crate::client_scripts::logon(true));
        let mut client = Client::new(now, Options { logon, ..Options::new("a") });
        let recipient = Recipient::new(Mailbox::parse("bob@contoso.com").expect("an address"));
        let (mut used, mut transactions, mut results) = (0, 0, 0);
        loop {
            let (n, output) = client.receive(now, &stream[used..]);
            used += n;
            match output {
                ClientOutput::Ready => {
                    transactions += 1;
                    client.begin(now, Transaction {
                        reverse_path: &ReversePath::Null,
                        recipients: &[(0, &recipient)],
                        body: BodyType::SevenBit,
                        size: 1,
                        smtputf8: false,
                        ret: None,
                        envid: None,
                        originator: None,
                    });
                }
                ClientOutput::Content => {
                    let mut out = Vec::new();
                    client.content(b"a", &mut out);
                    client.content_end(now, &mut out);
                }
                ClientOutput::Finished(finished) => results += finished.len(),
                ClientOutput::NeedInput => {
                    prop_assert_eq!(used, stream.len());
                    client.disconnected();
                }
                ClientOutput::StartTls => client.tls_failed(),
                ClientOutput::Close => break,
                ClientOutput::Send(_)
                | ClientOutput::SendSecret { .. }
                | ClientOutput::Recipient { .. }
                | ClientOutput::Failed(_) => {}
            }
        }
        // Every recipient of every transaction has its last word.
        prop_assert_eq!(results, transactions);
    }
}
