//! Whatever a next hop replies, every recipient of every transaction gets a last word.
//!
//! The first byte of the input chooses the message and the slicing; the rest is what the next hop sends.

#![no_main]

use std::time::Instant;

use gatepost_mail::{BodyType, Mailbox, Recipient, ReversePath};
use gatepost_smtp::{Client, ClientOutput, Options, Timeouts, TlsWish, Transaction};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [choice, stream @ ..] = input else { return };
    let now = Instant::now();
    let tls = if choice & 1 == 0 { TlsWish::Opportunistic } else { TlsWish::Never };
    let mut client =
        Client::new(now, Options { hello_name: "mail.contoso.com".into(), tls, timeouts: Timeouts::default() });
    let recipient = Recipient::new(Mailbox::parse("bob@contoso.com").expect("an address"));
    let recipients = [(0, &recipient), (1, &recipient)];
    let (mut begun, mut finished) = (0, 0);
    for bytes in stream.chunks(usize::from(choice >> 3).max(1)).chain([&[][..]]) {
        let mut used = 0;
        loop {
            let (n, output) = client.receive(now, &bytes[used..]);
            used += n;
            match output {
                ClientOutput::Ready => {
                    begun += recipients.len();
                    client.begin(
                        now,
                        Transaction {
                            reverse_path: &ReversePath::Null,
                            recipients: &recipients,
                            body: if choice & 2 == 0 { BodyType::EightBitMime } else { BodyType::BinaryMime },
                            size: 5,
                            smtputf8: choice & 4 != 0,
                            ret: None,
                            envid: None,
                            originator: None,
                        },
                    );
                }
                ClientOutput::Content => {
                    let mut out = Vec::new();
                    client.content(b"a\r\n.\n", &mut out);
                    client.content_end(now, &mut out);
                }
                ClientOutput::Finished(results) => {
                    finished += results.len();
                    if begun > 1000 {
                        return;
                    }
                }
                ClientOutput::StartTls => client.tls_started(now),
                ClientOutput::NeedInput if bytes.is_empty() => client.disconnected(),
                ClientOutput::NeedInput => break,
                ClientOutput::Close => {
                    assert_eq!(finished, begun);
                    return;
                }
                ClientOutput::Send(_) | ClientOutput::Recipient { .. } | ClientOutput::Failed(_) => {}
            }
        }
    }
});
