//! `bench queue`: a million messages whose next hop is down.
//!
//! Two servers take turns, one with the large queue and one without, so that what disturbs one disturbs the other. Then the
//! full one is killed and started again, and its next hop comes back. The space that stuck messages hold is looked at
//! on a server of its own. Postfix takes no part: the bars are Gatepost's own.

mod server;

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::Bench;
use super::course::{Stage, rest};
use super::ground::free_address;
use super::load::{Details, Load, Sent, Sink};
use super::options::{Contender, Tools};
use super::report::{Bar, Figures, Report, Round, Row, median};
use server::{NextHops, Server};

pub(super) const BENCH: Bench = Bench {
    name: "queue",
    summary: "1,000,000 messages queued: memory, accepting, restart, drain, fairness, space",
    takes: &["--messages", "--sessions", "--size"],
    run,
};

const MESSAGES: u64 = 1_000_000;
const SESSIONS: u64 = 50;
const SIZE_BYTES: u64 = 4_096;
/// Of the messages, so many wait for a next hop that takes connections and says nothing.
const HANGING_ONE_IN: u64 = 50;
/// One of so many messages is stuck while the others leave.
const STUCK_ONE_IN: u64 = 1_000;
/// Messages of one measurement of a rate.
const SAMPLE: u64 = 20_000;
/// How often the two servers take turns.
const TURNS: u64 = 3;
/// A server sends nothing for longer than this before the queue goes on by itself.
const DRAIN_BEGINS_MAX: Duration = Duration::from_secs(120);
const SEGMENT_BYTES: f64 = (64 << 20) as f64;
const MIB: f64 = 1024.0 * 1024.0;

const LIVE: &str = "live.bench.test";
const DEAD: &str = "dead.bench.test";
const HANGING: &str = "hanging.bench.test";

/// A figure of the server with the queue and of the one without.
#[derive(Default)]
struct Pair {
    full: Vec<f64>,
    empty: Vec<f64>,
}

impl Pair {
    /// The median of the ratios of each turn.
    fn ratio(&self) -> f64 {
        median(self.full.iter().zip(&self.empty).map(|(full, empty)| full / empty)).unwrap_or(f64::NAN)
    }
}

fn middle(values: &[f64]) -> f64 {
    median(values.iter().copied()).unwrap_or(f64::NAN)
}

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let Some(binary) = &stage.binary else { return Ok(Vec::new()) };
    let messages = stage.options.messages(MESSAGES);
    let load = Load {
        tools: Tools::Own,
        sessions: stage.options.sessions.unwrap_or(SESSIONS),
        messages: SAMPLE.min(messages),
        size_bytes: stage.options.size_bytes.unwrap_or(SIZE_BYTES),
        messages_per_connection: 0,
        is_pipelining: false,
        tls: None,
    };
    let mut sink = Sink::start(&stage.ground, Tools::Own, None)?;
    // Its backlog takes the connections; nobody ever says a word.
    let hanging = TcpListener::bind("127.0.0.1:0")?;
    let next_hops = NextHops { live: sink.address(), dead: free_address()?, hanging: hanging.local_addr()? };
    let mut full = Server::start(&stage.ground, binary, "full", next_hops)?;
    let empty = Server::start(&stage.ground, binary, "empty", next_hops)?;
    let mut bench = Queue { stage, load, figures: Figures::new(), fresh_bytes: full.meter.memory_bytes() as f64 };
    let relayed = bench.fill_and_compare(messages, &full, &empty, &mut sink)?;
    drop(empty);
    bench.restart(&mut full)?;
    bench.drain(&full, next_hops, relayed)?;
    drop(full);
    bench.space(messages / 5, &Server::start(&stage.ground, binary, "space", next_hops)?, &mut sink)?;

    let rows = vec![
        Row::new("queued_pss_mb", "memory with the queue, PSS MB", 1).bar(Bar::AtMost(400.0)),
        Row::new("recovered_pss_mb", "memory after a restart with the queue, PSS MB", 1).bar(Bar::AtMost(400.0)),
        Row::new("bytes_per_message", "memory for each message then, bytes", 0),
        Row::new("accept_ratio", "accept rate with the queue / without", 2).bar(Bar::AtLeast(0.5)),
        Row::new("accepted_per_s", "accepted a second with the queue", 0),
        Row::new("accept_cpu_ratio", "CPU time to accept with the queue / without", 2),
        Row::new("first_250_s", "killed: start to the first 250, s", 2).bar(Bar::AtMost(3.0)),
        Row::new("recovered_s", "killed: start to the last message queued, s", 1),
        Row::new("drain_begins_s", "next hop back to its first message, s", 1).bar(Bar::AtMost(60.0)),
        Row::new("drain_ratio", "drain rate / relay rate", 2).bar(Bar::AtLeast(0.7)),
        Row::new("drained_per_s", "drained a second", 0),
        Row::new("fair_ratio", "another domain's rate with the queue / without", 2).bar(Bar::AtLeast(0.9)),
        Row::new("fair_cpu_ratio", "CPU time to relay with the queue / without", 2),
        Row::new("fair_p99_ms", "accept latency p99 with the queue, ms", 1),
        Row::new("empty_p99_ms", "the same without, ms", 1),
        Row::new("space_ratio", "disk / (2 x live + 2 segments), 1 in 1,000 stuck", 2).bar(Bar::AtMost(1.0)),
        Row::new("space_mb", "disk then, MB", 0),
        Row::new("written_ratio", "bytes written / bytes of content then", 2),
    ];
    let sentence = format!(
        "{messages} messages of {} bytes for a next hop that is down, 1 in {HANGING_ONE_IN} of them for one that hangs",
        load.size_bytes
    );
    let notes = vec![format!(
        "Rates over {} messages, {} sessions; both servers in turn, {TURNS} turns.",
        load.messages, load.sessions
    )];
    let rounds = vec![Round { ceiling: None, relays: vec![(Contender::Gatepost, bench.figures)] }];
    Ok(vec![Report { command: stage.command("queue"), load: vec![sentence], rows, rounds, notes }])
}

struct Queue<'a> {
    stage: &'a Stage,
    load: Load,
    figures: Figures,
    /// Memory of a server that has done nothing yet.
    fresh_bytes: f64,
}

impl Queue<'_> {
    fn send(&self, server: &Server<'_>, messages: u64, domain: &str) -> io::Result<Sent> {
        let load = Load { messages, ..self.load };
        load.send_for(domain, &self.stage.ground, server.address, self.stage.options.limit)
    }

    /// Sends a sample and notes how fast it was taken and what that cost.
    fn accept(&self, server: &Server<'_>) -> io::Result<(f64, f64)> {
        rest(&server.meter);
        let before = server.meter.cpu()?;
        let sent = self.send(server, self.load.messages, DEAD)?;
        rest(&server.meter);
        Ok((per_s(self.load.messages, sent.first_ns, sent.last_ns), (server.meter.cpu()? - before).as_secs_f64()))
    }

    /// The same for a domain that takes it, until it has all.
    fn relay(&self, server: &Server<'_>, sink: &mut Sink) -> io::Result<(f64, f64, Option<Details>)> {
        rest(&server.meter);
        let before = server.meter.cpu()?;
        let count = sink.count()?.messages + self.load.messages;
        let (sent, arrived_ns) =
            sink.until(count, self.stage.options.limit, || self.send(server, self.load.messages, LIVE))?;
        rest(&server.meter);
        let cpu = (server.meter.cpu()? - before).as_secs_f64();
        Ok((per_s(self.load.messages, sent.first_ns, arrived_ns), cpu, sent.details))
    }

    /// Fills one server's queue, then measures both in turn. Hands on the relay rate of the empty one.
    fn fill_and_compare(
        &mut self,
        messages: u64,
        full: &Server<'_>,
        empty: &Server<'_>,
        sink: &mut Sink,
    ) -> io::Result<f64> {
        /// A call of the generator sends no more than this, within the limit of a step.
        const PIECE: u64 = 100_000;
        for server in [full, empty] {
            self.relay(server, sink)?; // warm
        }
        self.send(full, messages / HANGING_ONE_IN, HANGING)?;
        let mut left = messages - messages / HANGING_ONE_IN;
        while left > 0 {
            let piece = left.min(PIECE);
            self.send(full, piece, DEAD)?;
            left -= piece;
            eprintln!("queue: {left} messages to go");
        }
        rest(&full.meter);
        self.figures.insert("queued_pss_mb", full.meter.memory_bytes() as f64 / MIB);

        let (mut accepted, mut accept_cpu) = (Pair::default(), Pair::default());
        let (mut relayed, mut relay_cpu, mut p99) = (Pair::default(), Pair::default(), Pair::default());
        for turn in 1..=TURNS {
            eprintln!("queue: turn {turn} of {TURNS}");
            // The queue of the other one stays what it is but for these.
            let (rate, cpu) = self.accept(full)?;
            accepted.full.push(rate);
            accept_cpu.full.push(cpu);
            let (rate, cpu) = self.accept(empty)?;
            accepted.empty.push(rate);
            accept_cpu.empty.push(cpu);
            let (rate, cpu, details) = self.relay(full, sink)?;
            relayed.full.push(rate);
            relay_cpu.full.push(cpu);
            p99.full.extend(details.map(|details| details.accept.p99_ms));
            let (rate, cpu, details) = self.relay(empty, sink)?;
            relayed.empty.push(rate);
            relay_cpu.empty.push(cpu);
            p99.empty.extend(details.map(|details| details.accept.p99_ms));
        }
        self.figures.extend([
            ("accept_ratio", accepted.ratio()),
            ("accepted_per_s", middle(&accepted.full)),
            ("accept_cpu_ratio", accept_cpu.ratio()),
            ("fair_ratio", relayed.ratio()),
            ("fair_cpu_ratio", relay_cpu.ratio()),
            ("fair_p99_ms", middle(&p99.full)),
            ("empty_p99_ms", middle(&p99.empty)),
        ]);
        Ok(middle(&relayed.empty))
    }

    fn restart(&mut self, server: &mut Server<'_>) -> io::Result<()> {
        eprintln!("queue: restart");
        let began = Instant::now();
        let first = server.restart()?;
        server.wait_for_recovery(self.stage.options.limit)?;
        self.figures.insert("first_250_s", first.as_secs_f64());
        self.figures.insert("recovered_s", began.elapsed().as_secs_f64());
        rest(&server.meter);
        // Nothing lies in the cache of the log now.
        let bytes = server.meter.memory_bytes() as f64;
        let messages = server.spool("messages")?.max(1) as f64;
        self.figures.insert("recovered_pss_mb", bytes / MIB);
        self.figures.insert("bytes_per_message", (bytes - self.fresh_bytes) / messages);
        Ok(())
    }

    /// The dead next hop comes back.
    fn drain(&mut self, server: &Server<'_>, next_hops: NextHops, relayed_per_s: f64) -> io::Result<()> {
        let queued = |status: &serde_json::Value| {
            let name = format!("[{}]:{}", next_hops.dead.ip(), next_hops.dead.port());
            let queues = status["queues"].as_array()?;
            queues.iter().find(|queue| queue["next_hop"] == name.as_str())?["messages"].as_u64()
        };
        let waiting = queued(&server.status()?).unwrap_or(0);
        eprintln!("queue: {waiting} messages drain");
        let mut sink = Sink::start_at(&self.stage.ground, next_hops.dead)?;
        let back = Instant::now();
        sink.until(1, DRAIN_BEGINS_MAX, || Ok(()))?;
        let began = Instant::now();
        self.figures.insert("drain_begins_s", (began - back).as_secs_f64());
        sink.until(waiting, self.stage.options.limit, || Ok(()))?;
        let drained_per_s = waiting as f64 / began.elapsed().as_secs_f64();
        self.figures.insert("drained_per_s", drained_per_s);
        self.figures.insert("drain_ratio", drained_per_s / relayed_per_s);
        Ok(())
    }

    /// Most messages leave, a few stay.
    fn space(&mut self, messages: u64, server: &Server<'_>, sink: &mut Sink) -> io::Result<()> {
        eprintln!("queue: space");
        let before = server.written_bytes();
        let pieces = (messages / self.load.messages).max(1);
        for _ in 0..pieces {
            self.send(server, (self.load.messages / STUCK_ONE_IN).max(1), DEAD)?;
            self.relay(server, sink)?;
        }
        // A last look when compaction has nothing left to do.
        rest(&server.meter);
        let (disk, live) = (server.disk_bytes()? as f64, server.spool("live_bytes")? as f64);
        let content = (pieces * self.load.messages * self.load.size_bytes) as f64;
        self.figures.insert("space_ratio", disk / (2.0 * live + 2.0 * SEGMENT_BYTES));
        self.figures.insert("space_mb", disk / MIB);
        self.figures.insert("written_ratio", (server.written_bytes() - before) as f64 / content);
        Ok(())
    }
}

fn per_s(messages: u64, first_ns: u64, last_ns: u64) -> f64 {
    messages as f64 * 1e9 / last_ns.saturating_sub(first_ns).max(1) as f64
}
