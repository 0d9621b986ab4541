//! How long one selection with its decisions takes, over 1, 1,000 and 100,000 ranges, and how often it allocates:
//! `cargo run --release -p gatepost-policy --example decide`
//!
//! Peers, recipients and domains are drawn at random, so that caches and branches are of as little help as they are to a
//! busy server. Each turn waits for the answer of the one before, but for the two columns "in a row".

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use gatepost_mail::{Mailbox, ReversePath};
use gatepost_policy::permission::{Facts, Rights, granted, initial_principal};
use gatepost_policy::receive_connector::ReceiveConnector;
use gatepost_policy::settings::{Defaults, parse};
use gatepost_policy::{Refusal, Settings, relay, sender};

const DOMAINS: usize = 1_000;
const MAILBOXES: usize = 10_000;
const NOW_MS: u64 = 1_800_000_000_000;
const TURNS: usize = 1 << 20;
/// Beyond what branch predictors learn by heart; a power of two.
const DRAWN: usize = 1 << 16;
/// What a peer has just said is in the cache.
const SAID: usize = 1 << 8;

fn main() {
    println!("processor time in ns; \"all\" is all that is decided of a message");
    println!(
        "{:>8}{:>12}{:>8}{:>9}{:>12}{:>10}{:>12}{:>10}{:>17}{:>10}{:>13}",
        "ranges",
        "connectors",
        "select",
        "+ rights",
        "RCPT: local",
        "external",
        "all: local",
        "external",
        "in a row: local",
        "external",
        "allocations"
    );
    for (ranges, connectors) in [(1, 1), (1_000, 100), (100_000, 1_000), (100_000, 10_000)] {
        let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
        let settings = parse(&document(ranges, ranges / connectors), &defaults)
            .unwrap_or_else(|problems| panic!("{:?}", problems.first()));
        let world = World::drawn(&settings, ranges);
        let recipients = [&world.local, &world.external];
        let select = waiting(|at| world.select(at).map_or(0, |connector| connector.bindings.len()));
        let rights = waiting(|at| world.rights(at).len());
        let [rcpt_local, rcpt_external] =
            recipients.map(|recipients| waiting(|at| world.relay(at, Rights::NONE, recipients)));
        let [local, external] = recipients.map(|recipients| waiting(|at| world.decide(at, recipients)));
        let [row_local, row_external] = recipients.map(|recipients| in_a_row(|at| world.decide(at, recipients)));
        let counted = allocation_counter::measure(|| {
            for at in 0..1_000 {
                black_box(world.decide(at, &world.local));
                black_box(world.decide(at, &world.external));
            }
        });
        println!(
            "{ranges:>8}{connectors:>12}{select:>8.0}{rights:>9.0}{rcpt_local:>12.0}{rcpt_external:>10.0}{local:>12.0}\
             {external:>10.0}{row_local:>17.0}{row_external:>10.0}{:>13}",
            counted.count_total
        );
    }
}

struct World<'a> {
    settings: &'a Settings,
    locals: [SocketAddr; 2],
    peers: Vec<IpAddr>,
    senders: Vec<ReversePath>,
    local: Vec<Mailbox>,
    external: Vec<Mailbox>,
}

impl World<'_> {
    fn drawn(settings: &Settings, ranges: usize) -> World<'_> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mailbox = |text: String| Mailbox::parse(&text).expect("an address");
        World {
            settings,
            locals: ["10.1.1.1:25", "[2001:db8::1]:25"].map(|local| local.parse().expect("an address")),
            // Every fourth is in nobody's range but that of the default connector.
            peers: (0..DRAWN)
                .map(|turn| random.below(ranges) + if turn % 4 == 0 { 1 << 23 } else { 0 })
                .map(host)
                .collect(),
            senders: (0..SAID)
                .map(|_| ReversePath::Mailbox(mailbox(format!("scan@device{}.example", random.below(DRAWN)))))
                .collect(),
            local: (0..SAID).map(|_| mailbox(address(random.below(MAILBOXES)))).collect(),
            external: (0..SAID).map(|_| mailbox(format!("someone@mail{}.host.example", random.below(DRAWN)))).collect(),
        }
    }

    fn select(&self, at: usize) -> Option<&ReceiveConnector> {
        let peer = self.peers[at % DRAWN];
        let local = self.locals[usize::from(peer.is_ipv6())];
        self.settings.select(local, peer, NOW_MS).map(|connector| &**connector)
    }

    fn rights(&self, at: usize) -> Rights {
        let Some(connector) = self.select(at) else { return Rights::NONE };
        granted(connector, &initial_principal(connector), &Facts::at(NOW_MS)).rights
    }

    fn relay(&self, at: usize, rights: Rights, recipients: &[Mailbox]) -> usize {
        let question = relay::Question { rights, forward_path: &recipients[at % SAID], settings: self.settings };
        answered(relay::decide(&question).map(drop))
    }

    /// All that a session decides of a message with one recipient.
    fn decide(&self, at: usize, recipients: &[Mailbox]) -> usize {
        let Some(connector) = self.select(at) else { return 1 };
        let principal = &initial_principal(connector);
        let rights = granted(connector, principal, &Facts::at(NOW_MS)).rights;
        let (reverse_path, settings) = (&self.senders[at % SAID], self.settings);
        let sent = sender::decide(&sender::Question { rights, principal, reverse_path, settings });
        answered(sent.map(drop)) + self.relay(at, rights, recipients)
    }
}

fn answered(verdict: Result<(), Refusal>) -> usize {
    match verdict {
        Ok(()) => 2,
        Err(Refusal::UnableToRelay) => 3,
        Err(_) => 4,
    }
}

/// One turn that begins when the one before has its answer.
fn waiting(turn: impl Fn(usize) -> usize) -> f64 {
    // So the next peer comes next, but the processor does not know that before it has the answer.
    let nothing = black_box(0);
    least(|at| at + 1 + (turn(at) & nothing))
}

/// One of many turns of which the processor may begin some ahead.
fn in_a_row(turn: impl Fn(usize) -> usize) -> f64 {
    least(|at| {
        black_box(turn(at));
        at + 1
    })
}

/// The least of some runs: what others do on the same processor only adds.
fn least(turn: impl Fn(usize) -> usize) -> f64 {
    let runs = (0..9).map(|_| {
        let begun = Clock::now();
        black_box((0..TURNS).fold(0, |at, _| turn(at)));
        begun.elapsed_ns() / TURNS as f64
    });
    runs.fold(f64::INFINITY, f64::min)
}

/// What this thread has been given of the processor, where the system tells: others may be at work on it.
enum Clock {
    Thread(u64),
    Wall(Instant),
}

impl Clock {
    fn now() -> Clock {
        Clock::thread_ns().map_or_else(|| Clock::Wall(Instant::now()), Clock::Thread)
    }

    fn elapsed_ns(&self) -> f64 {
        match self {
            Clock::Thread(begun) => (Clock::thread_ns().unwrap_or(*begun) - begun) as f64,
            Clock::Wall(begun) => begun.elapsed().as_nanos() as f64,
        }
    }

    fn thread_ns() -> Option<u64> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
    }
}

/// Connectors with some ranges each within one that hears everybody: hosts and networks, a quarter of them IPv6; what may be
/// done there differs.
fn document(ranges: usize, ranges_each: usize) -> String {
    let mut text = String::new();
    for domain in 0..DOMAINS {
        let _ = write!(
            text,
            "[[accepted_domain]]\nname = \"{}contoso{domain}.com\"\n",
            if domain % 10 == 0 { "*." } else { "" }
        );
    }
    for mailbox in 0..MAILBOXES {
        let _ = write!(text, "[[mailbox]]\naddress = \"{}\"\n", address(mailbox));
    }
    text += "[[send_connector]]\nname = \"Out\"\naddress_spaces = [\"SMTP:*;1\"]\n";
    connector(&mut text, "Default", "\"0.0.0.0/0\", \"::/0\"", "permission_groups = \"AnonymousUsers\"\n");
    let places: Vec<usize> = (0..ranges).collect();
    for (number, places) in places.chunks(ranges_each).enumerate() {
        let quoted: Vec<String> = places.iter().map(|place| format!("\"{}\"", range(*place))).collect();
        let kind = match number % 2 {
            0 => {
                "permission_groups = \"AnonymousUsers\"\n[[receive_connector.permission]]\n\
                 user = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\nextended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n"
            }
            _ => "permission_groups = \"ExchangeServers\"\nauth_mechanism = [\"Tls\", \"ExternalAuthoritative\"]\n",
        };
        connector(&mut text, &format!("C{number}"), &quoted.join(", "), kind);
    }
    text
}

fn connector(text: &mut String, name: &str, ranges: &str, more: &str) {
    let _ = write!(
        text,
        "[[receive_connector]]\nname = \"{name}\"\nbindings = [\"0.0.0.0:25\", \"[::]:25\"]\n\
         remote_ip_ranges = [{ranges}]\n{more}"
    );
}

fn range(place: usize) -> String {
    match (place % 4, host(place)) {
        (0, host) => host.to_string(),
        (3, host) => format!("{host}/64"),
        (_, host) => format!("{host}/30"),
    }
}

fn host(place: usize) -> IpAddr {
    let number = u32::try_from(place).unwrap_or(u32::MAX);
    match place % 4 {
        3 => Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number) << 64).into(),
        _ => Ipv4Addr::from(10 << 24 | (number & 0x003f_ffff) << 2 | (number >> 23) << 26).into(),
    }
}

fn address(mailbox: usize) -> String {
    format!("User.{mailbox}@contoso{}.com", mailbox % DOMAINS)
}

struct Random(u64);

impl Random {
    /// Xorshift; good enough to surprise a cache.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }
}
