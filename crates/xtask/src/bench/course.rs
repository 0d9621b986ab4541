//! One course of the load: generator, a relay or none, sink; and what one load through it costs.
//!
//! A relay starts fresh for its course and is warmed up before the clock runs. CPU time and memory are read when the relay is at rest,
//! so that what it does late (settling, closing) is counted where it belongs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::ground::Ground;
use super::load::{Details, Load, Sink};
use super::meter::{Memory, MemoryWatch, Meter};
use super::options::{Contender, Options};
use super::report::{Figures, Round};
use super::terms::{Relay, Terms};
use super::{gatepost, postfix};

const MIB: f64 = 1024.0 * 1024.0;

/// Messages sent before the clock runs: processes started, connections open, caches filled.
const WARM_UP: u64 = 1_000;
/// Postfix gets this part of the messages that Gatepost gets.
const POSTFIX_PART: u64 = 4;
/// Between two looks at memory: reading it costs the watched process time, too.
const MEMORY_LOOK: Duration = Duration::from_millis(500);

/// What every benchmark stands on.
pub(super) struct Stage {
    /// The workspace's folder.
    pub root: PathBuf,
    pub ground: Ground,
    pub options: Options,
    /// The gatepost to measure; `None` if it does not take part.
    pub binary: Option<PathBuf>,
    /// The options as they were written.
    pub words: String,
}

impl Stage {
    /// The command that makes the table of one benchmark alone; `name` may have an option with it.
    pub fn command(&self, name: &str) -> String {
        let words = self.words.split(' ').filter(|word| !name.split(' ').any(|part| part == *word));
        let words: Vec<&str> = ["cargo xtask bench", name].into_iter().chain(words).collect();
        words.join(" ").trim_end().to_owned()
    }

    /// Runs rounds: the ceiling if it is asked for, then each contender, in an order that turns from round to round.
    pub fn rounds(
        &self,
        what: &str,
        has_ceiling: bool,
        mut run: impl FnMut(Option<Contender>) -> io::Result<Figures>,
    ) -> io::Result<Vec<Round>> {
        let count = self.options.rounds;
        let mut rounds = Vec::new();
        for number in 1..=count {
            let mut ceiling = None;
            if has_ceiling {
                eprintln!("{what}, round {number} of {count}: ceiling");
                ceiling = Some(run(None)?);
            }
            let mut order = self.options.contenders.clone();
            let turn = number as usize % order.len();
            order.rotate_left(turn);
            let mut relays = Vec::new();
            for contender in order {
                eprintln!("{what}, round {number} of {count}: {contender}");
                relays.push((contender, run(Some(contender))?));
            }
            rounds.push(Round { ceiling, relays });
        }
        Ok(rounds)
    }

    /// Sends the load through each contender and straight into the sink, in each round.
    pub fn compare(&self, load: &Load, terms: &Terms) -> io::Result<Vec<Round>> {
        self.rounds(&load.words(), true, |contender| self.through(contender, load, terms))
    }

    /// Sends a contender's part of the load through it, warmed up.
    pub fn through(&self, contender: Option<Contender>, load: &Load, terms: &Terms) -> io::Result<Figures> {
        let mut course = Course::lay(self, contender, terms)?;
        let load = share(load, contender);
        course.warm_up(&load)?;
        Ok(course.run(&load)?.0)
    }
}

/// What a contender gets of a load.
pub(super) fn share(load: &Load, contender: Option<Contender>) -> Load {
    let part = if contender == Some(Contender::Postfix) { POSTFIX_PART } else { 1 };
    Load { messages: (load.messages / part).max(load.sessions).min(load.messages), ..*load }
}

/// A relay, or none, in front of a sink.
pub(super) struct Course<'a> {
    stage: &'a Stage,
    pub relay: Option<Box<dyn Relay>>,
    pub sink: Sink,
}

impl Course<'_> {
    /// Starts the sink and the contender; without one the load goes straight into the sink.
    pub fn lay<'a>(stage: &'a Stage, contender: Option<Contender>, terms: &Terms) -> io::Result<Course<'a>> {
        let ground = &stage.ground;
        let sink = Sink::start(ground, terms.tools, terms.identity.as_ref())?;
        let relay: Option<Box<dyn Relay>> = match (contender, &stage.binary) {
            (None, _) => None,
            (Some(Contender::Gatepost), Some(binary)) => {
                Some(Box::new(gatepost::start(ground, binary, terms, sink.address())?))
            }
            (Some(_), _) => Some(Box::new(postfix::start(ground, terms, sink.address())?)),
        };
        Ok(Course { stage, relay, sink })
    }

    /// Where the load goes.
    pub fn entrance(&self) -> SocketAddr {
        self.relay.as_ref().map_or(self.sink.address(), |relay| relay.address())
    }

    /// Measures the relay, or the sink where there is none.
    pub fn meter(&self) -> &Meter {
        self.relay.as_ref().map_or(self.sink.meter(), |relay| relay.meter())
    }

    /// Sends a part of the load that nothing is told of.
    pub fn warm_up(&mut self, load: &Load) -> io::Result<()> {
        let messages = WARM_UP.min(load.messages);
        self.send(&Load { messages, ..*load })?;
        rest(self.meter());
        Ok(())
    }

    /// Sends the load and waits until the sink has all of it. When it began, when the last 250 came, when the sink had it.
    pub fn send(&mut self, load: &Load) -> io::Result<(u64, u64, u64, Option<Details>)> {
        let (ground, limit, to) = (&self.stage.ground, self.stage.options.limit, self.entrance());
        let before = self.sink.count()?.messages;
        let (sent, arrived_ns) = self.sink.until(before + load.messages, limit, || load.send(ground, to, limit))?;
        Ok((sent.first_ns, sent.last_ns, arrived_ns, sent.details))
    }

    /// Sends the load and measures all of it.
    pub fn run(&mut self, load: &Load) -> io::Result<(Figures, Option<Details>)> {
        let meter = self.meter().clone();
        let sink_meter = self.sink.meter().clone();
        let before = self.sink.count()?.messages;
        let memory = MemoryWatch::start(&meter, MEMORY_LOOK);
        let (cpu_before, sink_before) = (meter.cpu()?, sink_meter.cpu()?);
        let (first_ns, accepted_ns, arrived_ns, details) = self.send(load)?;
        rest(&meter);
        let cpu = meter.cpu()?.saturating_sub(cpu_before);
        let sink_cpu = sink_meter.cpu()?.saturating_sub(sink_before);
        let Memory { proportional_peak_bytes, resident_peak_bytes, .. } = memory.stop();

        let count = load.messages as f64;
        let per_s = |end_ns: u64| count * 1e9 / end_ns.saturating_sub(first_ns).max(1) as f64;
        let beyond = self.sink.count()?.messages.saturating_sub(before + load.messages);
        let mut figures = Figures::from([
            ("relayed_per_s", per_s(arrived_ns)),
            ("accepted_per_s", per_s(accepted_ns)),
            ("cpu_s_per_1000", cpu.as_secs_f64() * 1000.0 / count),
            ("sink_cpu_s_per_1000", sink_cpu.as_secs_f64() * 1000.0 / count),
            ("memory_pss_mib", proportional_peak_bytes as f64 / MIB),
            ("memory_resident_mib", resident_peak_bytes as f64 / MIB),
            ("messages_twice", beyond as f64),
        ]);
        if let Some(details) = &details {
            figures.extend([
                ("accept_p50_ms", details.accept.p50_ms),
                ("accept_p99_ms", details.accept.p99_ms),
                ("accept_largest_ms", details.accept.largest_ms),
                ("transaction_p50_ms", details.transaction.p50_ms),
                ("transaction_p99_ms", details.transaction.p99_ms),
                ("connections", details.connections as f64),
                ("resumed", details.resumed as f64),
            ]);
        }
        Ok((figures, details))
    }
}

/// Waits until the processes do next to nothing.
pub(super) fn rest(meter: &Meter) {
    const SLICE: Duration = Duration::from_millis(100);
    const SLICES_MAX: u32 = 50;
    let mut before = meter.cpu().unwrap_or_default();
    for _ in 0..SLICES_MAX {
        thread::sleep(SLICE);
        let now = meter.cpu().unwrap_or_default();
        if now.saturating_sub(before) < SLICE / 50 {
            return;
        }
        before = now;
    }
}
