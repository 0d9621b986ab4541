//! Plays a next hop against a client.
//!
//! | key | text |
//! |---|---|
//! | `O` | options: `tls=never`, `tls=opportunistic` (unless said) or `tls=required`; `lmtp`; `helo`; `in-tls`: TLS before all; `logon`: as user with password pencil, `logon-in-tls` if not in clear; first lines of a script |
//! | `N` | the next transaction: the reverse-path, then recipients and words such as `binary`, `size=5`, `content=...`; with `ask` its recipient is only asked about |
//! | `S` | a line of the next hop; lines in a row come in one read |
//! | `X` | an event at the caller: `timeout`, `disconnected`, `quit` |
//! | `C` | a line of the client; content is written as `D` |
//! | `L` | what may be shown of the line before |
//! | `D` | content as it goes on the wire |
//! | `R` | the reply to one RCPT |
//! | `F` | the last word for one recipient |
//! | `!` | `ready`, `starttls`, `failed ...`, `close` |

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Instant;

use gatepost_mail::{BodyType, Mailbox, Notify, Recipient, Return, ReversePath};
use gatepost_smtp::{Client, ClientOutput, Logon, LogonMechanism, Options, Protocol, TlsWish, Transaction};

use crate::script::{self, PARTS};

#[derive(Clone)]
struct Message {
    reverse_path: ReversePath,
    recipients: Vec<Recipient>,
    body: BodyType,
    smtputf8: bool,
    ret: Option<Return>,
    envid: Option<String>,
    originator: Option<Mailbox>,
    size: Option<u64>,
    content: Vec<u8>,
    only_asks: bool,
}

fn message(text: &str) -> Message {
    let (reverse_path, rest) = ReversePath::parse_prefix(text).expect("a reverse-path");
    let mut message = Message {
        reverse_path,
        recipients: Vec::new(),
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        originator: None,
        size: None,
        content: b"Subject: one\r\n\r\n.dot\r\n".to_vec(),
        only_asks: false,
    };
    for word in rest.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "8bit" => message.body = BodyType::EightBitMime,
            "binary" => message.body = BodyType::BinaryMime,
            "smtputf8" => message.smtputf8 = true,
            "ret" => message.ret = Some(Return::Full),
            "envid" => message.envid = Some(value.to_owned()),
            "auth" => message.originator = Some(Mailbox::parse(value).expect("an address")),
            "size" => message.size = Some(value.parse().expect("a number")),
            "ask" => message.only_asks = true,
            "content" => message.content = script::unescaped(value),
            "recipients" => {
                for i in 0..value.parse().expect("a number") {
                    let mailbox = Mailbox::parse(&format!("r{i}@contoso.com")).expect("an address");
                    message.recipients.push(Recipient::new(mailbox));
                }
            }
            "never" => message.recipients.last_mut().expect("a recipient before it").notify = Notify::NEVER,
            "success" => {
                let last = message.recipients.last_mut().expect("a recipient before it");
                last.notify = Notify { success: true, given: true, ..Notify::default() };
                last.original_recipient = Some("rfc822;original@contoso.com".into());
            }
            address => message.recipients.push(Recipient::new(Mailbox::parse(address).expect("an address"))),
        }
    }
    message
}

struct Caller {
    client: Client,
    now: Instant,
    messages: VecDeque<Message>,
    current: Option<Message>,
    part: usize,
    transcript: String,
}

impl Caller {
    fn feed(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.drain(&[]);
        }
        for bytes in bytes.chunks(self.part.min(bytes.len().max(1))) {
            if !self.drain(bytes) {
                break;
            }
        }
    }

    /// Whether the peer's further bytes still count.
    fn drain(&mut self, bytes: &[u8]) -> bool {
        let mut used = 0;
        loop {
            let (n, output) = self.client.receive(self.now, &bytes[used..]);
            used += n;
            match output {
                ClientOutput::Send(bytes) => {
                    let text = std::str::from_utf8(bytes).expect("commands are text");
                    for line in text.strip_suffix("\r\n").expect("commands end with CRLF").split("\r\n") {
                        let _ = writeln!(self.transcript, "C: {line}");
                    }
                }
                ClientOutput::SendSecret { bytes, shown } => {
                    let line = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix("\r\n"));
                    let _ = writeln!(self.transcript, "C: {}\nL: {shown}", line.expect("one line of text"));
                }
                ClientOutput::StartTls => {
                    self.transcript.push_str("!: starttls\n");
                    self.client.tls_started(self.now);
                    self.drain(&[]);
                    // What else came over the old connection came in the clear.
                    return false;
                }
                ClientOutput::Ready => match self.messages.pop_front() {
                    Some(message) => self.begin(message),
                    None => self.transcript.push_str("!: ready\n"),
                },
                ClientOutput::Content => self.give_content(),
                ClientOutput::Recipient { index, reply } => {
                    let _ = writeln!(self.transcript, "R: {index} {reply}");
                }
                ClientOutput::Finished(results) => {
                    for result in results {
                        let _ = writeln!(self.transcript, "F: {} {}", result.index, result.reply);
                    }
                }
                ClientOutput::NeedInput => return true,
                ClientOutput::Failed(error) => {
                    let _ = writeln!(self.transcript, "!: failed {error}");
                }
                ClientOutput::Close => {
                    self.transcript.push_str("!: close\n");
                    return false;
                }
            }
        }
    }

    fn begin(&mut self, message: Message) {
        if message.only_asks {
            self.client.ask(self.now, &message.recipients[0]);
            return;
        }
        let recipients: Vec<(usize, &Recipient)> =
            message.recipients.iter().enumerate().map(|(i, recipient)| (i + 10, recipient)).collect();
        self.client.begin(
            self.now,
            Transaction {
                reverse_path: &message.reverse_path,
                recipients: &recipients,
                body: message.body,
                size: message.size.unwrap_or(message.content.len() as u64),
                smtputf8: message.smtputf8,
                ret: message.ret,
                envid: message.envid.as_deref(),
                originator: message.originator.as_ref(),
            },
        );
        self.current = Some(message);
    }

    fn give_content(&mut self) {
        let message = self.current.take().expect("content is due once for each transaction");
        let mut out = Vec::new();
        for slice in message.content.chunks(self.part.min(message.content.len().max(1))) {
            self.client.content(slice, &mut out);
        }
        self.client.content_end(self.now, &mut out);
        let _ = writeln!(self.transcript, "D: {}", script::escaped(&out));
    }
}

/// The user, the password and the nonce of the example in RFC 5802 section 5.
pub fn logon(may_be_in_clear: bool) -> Logon {
    Logon {
        user: "user".to_owned(),
        password: "pencil".to_owned(),
        mechanisms: LogonMechanism::INSIDE_TLS.into_iter().collect(),
        may_be_in_clear,
        // fyko+d2lbbFgONRv9qkxdawL
        nonce: [127, 41, 40, 249, 221, 165, 109, 177, 96, 56, 212, 111, 246, 169, 49, 117, 172, 11],
    }
}

fn play(text: &str, part: usize) -> (String, String) {
    let now = Instant::now();
    let mut options = Options::new("mail.contoso.com");
    let mut messages = VecDeque::new();
    for (key, text) in script::lines(text) {
        match (key, text) {
            ("O", "tls=never") => options.tls = TlsWish::Never,
            ("O", "tls=opportunistic") => options.tls = TlsWish::Opportunistic,
            ("O", "tls=required") => options.tls = TlsWish::Required,
            ("O", "helo") => options.force_helo = true,
            ("O", "in-tls") => options.is_in_tls = true,
            ("O", "logon") => options.logon = Some(logon(true)),
            ("O", "logon-in-tls") => options.logon = Some(logon(false)),
            ("O", "lmtp") => options.protocol = Protocol::Lmtp,
            ("O", other) => panic!("no such option: {other}"),
            ("N", text) => messages.push_back(message(text)),
            _ => {}
        }
    }
    let mut caller =
        Caller { client: Client::new(now, options), now, messages, current: None, part, transcript: String::new() };
    let mut expected = String::new();
    let mut pending = Vec::new();
    let mut lines = script::lines(text).peekable();
    while let Some((key, text)) = lines.next() {
        match key {
            "O" | "N" => {}
            "S" => {
                pending.extend(script::unescaped(text));
                pending.extend_from_slice(b"\r\n");
                if !matches!(lines.peek(), Some(("S", _))) {
                    caller.feed(&std::mem::take(&mut pending));
                }
            }
            "X" => {
                match text {
                    "timeout" => caller.client.timeout(now),
                    "disconnected" => caller.client.disconnected(),
                    "quit" => caller.client.quit(now),
                    other => panic!("no such event: {other}"),
                }
                caller.feed(b"");
            }
            _ => {
                let _ = writeln!(expected, "{key}: {text}");
            }
        }
    }
    (expected, caller.transcript)
}

#[test]
fn clients_follow_their_scripts_however_the_wire_is_cut() {
    for (name, text) in script::scripts("client") {
        for part in PARTS {
            let (expected, actual) = play(&text, part);
            script::assert_same(&name, part, &expected, &actual);
        }
    }
}

/// Nothing of a group larger than what may be on the way at once is lost, and DATA still comes last.
#[test]
fn recipients_beyond_one_group_are_sent_in_several() {
    const RECIPIENTS: usize = 250;
    let script = format!(
        "N: <a@b.c> recipients={RECIPIENTS}\nS: 220 hi\nS: 250-hi\nS: 250 PIPELINING\n{}S: 354 go\nS: 250 2.0.0 taken\n",
        "S: 250 ok\n".repeat(RECIPIENTS + 1)
    );
    let (_, transcript) = play(&script, usize::MAX);
    let rcpts: Vec<_> = transcript.lines().filter(|line| line.starts_with("C: RCPT")).collect();
    assert_eq!(rcpts.len(), RECIPIENTS);
    assert_eq!(rcpts[249], "C: RCPT TO:<r249@contoso.com>");
    assert_eq!(transcript.matches("C: DATA").count(), 1);
    assert_eq!(transcript.lines().filter(|line| line.ends_with("250 2.0.0 taken")).count(), RECIPIENTS);
}
