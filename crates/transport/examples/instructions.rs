//! One step of a message's way, as often as asked: what `cargo xtask bench instructions` counts.
//!
//! `instructions STEP TURNS` takes that many turns; a counter of instructions runs around it. `instructions STEP` prints
//! how often one turn allocates on its own thread. The message has 4 KiB, of which a header section of 700 bytes, and one recipient.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use gatepost_mail::header::Scanner;
use gatepost_mail::header_firewall::{HeaderFirewall, Rules, infallible};
use gatepost_mail::{Arrival, AuthAs, BodyType, Envelope, Mailbox, Recipient, Reply, ReversePath};
use gatepost_policy::permission::{Facts, granted, initial_principal};
use gatepost_policy::settings::{Defaults, parse};
use gatepost_policy::{Settings, permit, route};
use gatepost_smtp::{Answer, Client, ClientOutput, Options, Output, Profile, Question, Session, TlsWish, Transaction};
use gatepost_spool::{Outcome, Spool};

/// Its name, and what takes so many turns of it.
type Step = (&'static str, fn(u64));

const STEPS: [Step; 5] =
    [("parse", parse_dialogue), ("header", read_header), ("decide", decide), ("commit", commit), ("send", send)];

const SENDER: &str = "scan@device.example";
const RECIPIENT: &str = "someone@mail.example";
const NOW_MS: u64 = 1_800_000_000_000;
const MESSAGE_BYTES: usize = 4096;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let step = words.first().and_then(|name| STEPS.iter().find(|(known, _)| known == name));
    match (step, words.get(1).map(|turns| turns.parse())) {
        (Some((_, step)), Some(Ok(turns))) => step(turns),
        // What only the first turn costs counts on both sides.
        (Some((_, step)), None) => {
            let [few, many] = [64, 320].map(|turns| allocation_counter::measure(|| step(turns)).count_total);
            println!("{:.1}", (many.saturating_sub(few)) as f64 / 256.0);
        }
        _ => {
            eprintln!("usage: instructions {} [TURNS]", STEPS.map(|(name, _)| name).join("|"));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A message as devices and programs send them.
fn message() -> Vec<u8> {
    let mut message = String::new();
    for (name, value) in [
        (
            "Received",
            "from device.example ([192.168.2.55]) by mail.contoso.com\r\n with ESMTP id 4711; Sun, 22 Nov 2026 03:00:00 +0000",
        ),
        ("Date", "Sun, 22 Nov 2026 03:00:00 +0000"),
        ("From", "\"Scanner, 2nd floor\" <scan@device.example>"),
        ("To", "someone@mail.example"),
        ("Subject", "Your scan of 22 November is ready"),
        ("Message-ID", "<20261122.4711.0815@device.example>"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=us-ascii; format=flowed"),
        ("Content-Transfer-Encoding", "7bit"),
        ("X-Mailer", "ScanMaster 3000"),
        ("X-MS-Exchange-Organization-SCL", "-1"),
        ("X-Priority", "3"),
    ] {
        message.push_str(&format!("{name}: {value}\r\n"));
    }
    message.push_str("\r\n");
    while message.len() < MESSAGE_BYTES - 2 {
        let line = "The quick brown fox jumps over the lazy dog. It does so again and again.\r\n";
        message.push_str(&line[..line.len().min(MESSAGE_BYTES - 2 - message.len())]);
    }
    message.truncate(MESSAGE_BYTES - 2);
    message.push_str("\r\n");
    message.into_bytes()
}

fn mailbox(address: &str) -> Mailbox {
    Mailbox::parse(address).expect("an address")
}

/// The server's side of one message on an open connection: MAIL, RCPT, DATA and the content, each in a read of its own.
fn parse_dialogue(turns: u64) {
    let mut session = Session::new(Instant::now());
    serve(&mut session, b"");
    serve(&mut session, b"EHLO device.example\r\n");
    let mut content = message();
    content.extend_from_slice(b".\r\n");
    let mail = format!("MAIL FROM:<{SENDER}>\r\n");
    let rcpt = format!("RCPT TO:<{RECIPIENT}>\r\n");
    for _ in 0..turns {
        let mut taken = 0;
        for bytes in [mail.as_bytes(), rcpt.as_bytes(), b"DATA\r\n", &content] {
            taken += serve(&mut session, bytes);
        }
        assert_eq!(taken, MESSAGE_BYTES);
    }
}

/// Drives the session as the server does; hands back how much content came.
fn serve(session: &mut Session, bytes: &[u8]) -> usize {
    let now = Instant::now();
    let (mut at, mut taken) = (0, 0);
    loop {
        let (used, output) = session.receive(now, &bytes[at..]);
        let answer = match output {
            Output::Ask(Question::Connect) => {
                let peer = IpAddr::V4(Ipv4Addr::new(192, 168, 2, 55));
                Some(Answer::Greet(Profile::new("mail.contoso.com".to_owned(), peer)))
            }
            Output::Ask(Question::EndContent) => Some(Answer::Accepted(Reply::new(250, (2, 6, 0), "Queued"))),
            Output::Ask(question) => {
                black_box(question);
                Some(Answer::Accept)
            }
            Output::Content(piece) => {
                taken += piece.len();
                None
            }
            Output::Send(reply) => {
                assert!(matches!(reply[0], b'2' | b'3'), "{}", String::from_utf8_lossy(reply));
                None
            }
            Output::NeedInput => return taken,
            Output::Line(_) | Output::Reset | Output::StartTls | Output::Close => None,
        };
        at += used;
        if let Some(answer) = answer {
            session.answer(now, answer);
        }
    }
}

/// What is looked for in the header section while the content streams by, and what is taken out.
fn read_header(turns: u64) {
    let content = message();
    let mut kept = Vec::with_capacity(MESSAGE_BYTES);
    for _ in 0..turns {
        let mut scanner = Scanner::new(1 << 18, "mail.contoso.com").with_senders();
        let mut firewall = HeaderFirewall::new(Rules::NONE);
        kept.clear();
        scanner.push(&content);
        let mut keep = infallible(|piece: &[u8]| kept.extend_from_slice(piece));
        let Ok(()) = firewall.push(&content, &mut keep);
        let Ok(()) = firewall.finish(keep);
        let header = scanner.finish();
        assert!(header.has_message_id && kept.len() < MESSAGE_BYTES);
    }
}

/// Everything that is decided of one message: connector, rights, sender, recipient, route.
fn decide(turns: u64) {
    let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
    let settings = parse(DOCUMENT, &defaults).unwrap_or_else(|problems| panic!("{:?}", problems.first()));
    let reverse_path = ReversePath::Mailbox(mailbox(SENDER));
    let recipient = mailbox(RECIPIENT);
    for _ in 0..turns {
        decide_once(&settings, &reverse_path, &recipient);
    }
}

fn decide_once(settings: &Settings, reverse_path: &ReversePath, recipient: &Mailbox) {
    let local: SocketAddr = (Ipv4Addr::new(192, 168, 2, 1), 25).into();
    let connector = settings.select(local, IpAddr::V4(Ipv4Addr::new(192, 168, 2, 55)), NOW_MS).expect("one hears it");
    let principal = &initial_principal(connector);
    let rights = granted(connector, principal, &Facts::at(NOW_MS)).rights;
    let peer = permit::Peer { connector, principal, rights, settings };
    assert!(permit::mail(&peer, reverse_path, 4096).is_ok());
    assert!(permit::recipient(&peer, None, recipient).is_ok());
    let question = route::Question { settings, recipient, message_bytes: 4096, source: None };
    black_box(route::select(&question));
}

const DOCUMENT: &str = r#"
[server]
name = "mail.contoso.com"

[[receive_connector]]
name = "Default"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["0.0.0.0/0"]

[[receive_connector]]
name = "CRM Application"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["192.168.2.55", "192.168.2.56"]
permission_groups = ["AnonymousUsers"]

[[receive_connector.permission]]
user = "NT AUTHORITY\\ANONYMOUS LOGON"
extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]

[[send_connector]]
name = "Internet"
address_spaces = ["SMTP:*;1"]
smart_hosts = ["[192.0.2.25]"]
"#;

/// A message staged, committed by itself on a real disk, read back as delivery does, and settled. The committer's thread
/// is counted, too, its flush is not: it happens in the kernel.
fn commit(turns: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = Spool::open(folder.path(), gatepost_spool::Options::default()).expect("an empty spool");
    let content = message();
    for _ in 0..turns {
        let mut staged = spool.stage();
        staged.write(&content).expect("room");
        let trace = b"Received: from device.example by mail.contoso.com; Sun, 22 Nov 2026 03:00:00 +0000\r\n".to_vec();
        let id = wait(staged.commit(envelope(), trace)).expect("the disk works");
        assert!(spool.message_in_memory(id).is_some());
        spool.settle(id, vec![(0, Outcome::Delivered { reply: "250 2.0.0 Ok".into(), time_ms: NOW_MS })]);
    }
    spool.close();
}

fn envelope() -> Envelope {
    Envelope {
        reverse_path: ReversePath::Mailbox(mailbox(SENDER)),
        recipients: vec![Recipient::new(mailbox(RECIPIENT))],
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        arrival: Arrival {
            time_ms: NOW_MS,
            peer: Some((Ipv4Addr::new(192, 168, 2, 55), 40_000).into()),
            connector: "CRM Application".into(),
            principal: "NT AUTHORITY\\ANONYMOUS LOGON".into(),
            auth_as: AuthAs::Anonymous,
            ..Arrival::default()
        },
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// The client's side of one message on an open connection to a next hop that offers PIPELINING.
fn send(turns: u64) {
    let options = Options { tls: TlsWish::Never, ..Options::new("mail.contoso.com") };
    let now = Instant::now();
    let mut client = Client::new(now, options);
    for reply in
        [&b"220 mx.example ESMTP\r\n"[..], b"250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n"]
    {
        hear(&mut client, reply);
    }
    let content = message();
    let (reverse_path, recipient) = (ReversePath::Mailbox(mailbox(SENDER)), Recipient::new(mailbox(RECIPIENT)));
    let mut output = Vec::with_capacity(2 * MESSAGE_BYTES);
    for _ in 0..turns {
        client.begin(
            now,
            Transaction {
                reverse_path: &reverse_path,
                recipients: &[(0, &recipient)],
                body: BodyType::SevenBit,
                size: MESSAGE_BYTES as u64,
                smtputf8: false,
                ret: None,
                envid: None,
                originator: None,
            },
        );
        let asked = hear(&mut client, b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
        assert!(matches!(asked, Heard::WantsContent));
        output.clear();
        client.content(&content, &mut output);
        client.content_end(now, &mut output);
        assert!(output.len() > MESSAGE_BYTES);
        assert!(matches!(hear(&mut client, b"250 2.0.0 Ok: queued as 4711\r\n"), Heard::Finished));
    }
}

enum Heard {
    Nothing,
    WantsContent,
    Finished,
}

/// Drives the client as the server does, with what the next hop says.
fn hear(client: &mut Client, bytes: &[u8]) -> Heard {
    let now = Instant::now();
    let mut at = 0;
    let mut heard = Heard::Nothing;
    loop {
        let (used, output) = client.receive(now, &bytes[at..]);
        at += used;
        match output {
            ClientOutput::NeedInput => return heard,
            ClientOutput::Content => return Heard::WantsContent,
            ClientOutput::Ready if matches!(heard, Heard::Finished) || at == bytes.len() => return heard,
            ClientOutput::Finished(results) => {
                assert!(results.iter().all(|result| result.reply.code == 250));
                heard = Heard::Finished;
            }
            ClientOutput::Failed(error) => panic!("{error}"),
            other => drop(black_box(other)),
        }
    }
}
