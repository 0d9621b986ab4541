//! A session says and hands on the same however its input is cut.
//!
//! The first byte of the input chooses what the connector offers, the second the slicing; the rest is what the peer
//! sends.

#![no_main]

use std::time::Instant;

use gatepost_mail::Reply;
use gatepost_smtp::{Answer, BareLinefeed, Mechanism, Output, Profile, Question, Session, SizeOffer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [offer, part, stream @ ..] = input else { return };
    let part = usize::from(*part).max(1);
    assert_eq!(outputs(stream, part, *offer), outputs(stream, stream.len().max(1), *offer));
});

fn profile(offer: u8) -> Profile {
    let bit = |n: u8| offer & (1 << n) != 0;
    Profile {
        size: if bit(0) { SizeOffer::Limit(1000) } else { SizeOffer::Absent },
        dsn: bit(1),
        eight_bit_mime: bit(2),
        binary_mime: bit(3),
        chunking: bit(3),
        smtputf8: bit(4),
        auth: if bit(5) { vec![Mechanism::Login, Mechanism::Plain] } else { Vec::new() },
        starttls: bit(6),
        bare_linefeed: if bit(7) { BareLinefeed::Normalize } else { BareLinefeed::Reject },
        protocol_errors_max: None,
        ..Profile::new("mail.contoso.com".into(), [192, 0, 2, 1].into())
    }
}

/// What was said, and what was asked and handed on, each joined.
fn outputs(stream: &[u8], part: usize, offer: u8) -> (Vec<u8>, Vec<u8>) {
    let now = Instant::now();
    let mut session = Session::new(now);
    let (mut said, mut handed_on) = (Vec::new(), Vec::new());
    for bytes in stream.chunks(part).chain([&[][..]]) {
        let mut used = 0;
        loop {
            let (n, output) = session.receive(now, &bytes[used..]);
            used += n;
            match output {
                Output::Send(reply) => said.extend_from_slice(reply),
                Output::Content(piece) | Output::Line(piece) => handed_on.extend_from_slice(piece),
                Output::Reset => handed_on.extend_from_slice(b"<reset>"),
                Output::NeedInput => break,
                Output::StartTls | Output::Close => return (said, handed_on),
                Output::Ask(question) => {
                    handed_on.extend_from_slice(format!("<{question:?}>").as_bytes());
                    let answer = match question {
                        Question::Connect => Answer::Greet(profile(offer)),
                        Question::Authenticate(_) => Answer::Authenticated { profile: profile(offer) },
                        Question::EndContent => Answer::Accepted(Reply::new(250, (2, 6, 0), "Queued")),
                        _ => Answer::Accept,
                    };
                    session.answer(now, answer);
                }
            }
        }
    }
    (said, handed_on)
}
