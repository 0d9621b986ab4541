//! `cargo xtask bench relay`: Postfix and Gatepost relay the same load into the same sink, in turn, in one call.
//!
//! Takes options; hands on a table (or JSON) with the figures of each round, their medians and the ratios. Each round also
//! sends the load straight into the sink: the ceiling, which says how much of a figure is the generator's and the sink's own
//! doing. Every relay starts fresh in each round, warmed up before the clock runs; the order turns from round to round.
//! Everything runs on loopback, on free ports, bounded in count and time, and is gone afterwards however the call ends.

mod table;
mod context;
mod gatepost;
mod postfix;
mod load;
mod ground;
mod meter;
mod keeper;
mod options;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ground::Ground;
use load::{Sink, Source};
use meter::{MemoryWatch, Meter};
use options::{Asked, Contender, Options};
use table::{Figures, Round};

/// A relay that runs and is stopped when it is dropped.
trait Relay {
    /// Where it accepts mail.
    fn address(&self) -> SocketAddr;
    /// What measures its processes.
    fn meter(&self) -> &Meter;
}

/// Runs the benchmark that the options ask for.
pub(crate) fn run(root: &Path, words: &[&str]) -> ExitCode {
    let options = match options::parse(words) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("error: {problem}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match relay(root, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn relay(root: &Path, options: &Options) -> io::Result<()> {
    load::installed()?;
    if options.contenders.contains(&Contender::Postfix) {
        postfix::usable()?;
    }
    let binary = match options.contenders.contains(&Contender::Gatepost) {
        true => Some(gatepost::binary(root, options)?),
        false => None,
    };
    let ground = Ground::lay(&options.folder)?;
    let context = context::read(root, &ground, options)?;
    for warning in &context.warnings {
        eprintln!("warning: {warning}");
    }
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        eprintln!("round {number} of {}: ceiling", options.rounds);
        let mut round = Round { ceiling: ceiling(&ground, options)?, relays: Vec::new() };
        let mut order = options.contenders.clone();
        let turn = number as usize % order.len();
        order.rotate_left(turn);
        for contender in order {
            eprintln!("round {number} of {}: {contender}", options.rounds);
            let sink = Sink::start(&ground)?;
            let relay: Box<dyn Relay> = match (contender, &binary) {
                (Contender::Gatepost, Some(binary)) => Box::new(gatepost::start(&ground, binary, sink.address())?),
                _ => Box::new(postfix::start(&ground, options, sink.address())?),
            };
            round.relays.push((contender, through(relay.as_ref(), &ground, &sink, options)?));
        }
        rounds.push(round);
    }
    if options.json {
        println!("{}", table::json(options, &context, &rounds));
    } else {
        print!("{}", table::text(options, &context, &rounds));
    }
    Ok(())
}

/// The load straight into the sink.
fn ceiling(ground: &Ground, options: &Options) -> io::Result<Figures> {
    let sink = Sink::start(ground)?;
    measure(sink.address(), sink.meter(), ground, &sink, options)
}

/// The load through a relay.
fn through(relay: &dyn Relay, ground: &Ground, sink: &Sink, options: &Options) -> io::Result<Figures> {
    measure(relay.address(), relay.meter(), ground, sink, options)
}

/// Sends the load to `to`, watches the sink until it has all, and reads what `meter`'s processes spent on it.
fn measure(to: SocketAddr, meter: &Meter, ground: &Ground, sink: &Sink, options: &Options) -> io::Result<Figures> {
    Source::start(ground, options, options.warm_up, to)?.finish(options.limit)?;
    sink.wait_for(options.warm_up, options.limit)?;
    rest(meter);

    let memory = MemoryWatch::start(meter);
    let cpu_before = meter.cpu()?;
    let start = Instant::now();
    let source = Source::start(ground, options, options.messages, to)?;
    let accepted = source.finish(options.limit)?.duration_since(start);
    let arrived = sink.wait_for(options.warm_up + options.messages, options.limit)?.duration_since(start);
    rest(meter);
    let cpu = meter.cpu()?.saturating_sub(cpu_before);
    let memory = memory.stop();

    let beyond = sink.count()?.saturating_sub(options.warm_up + options.messages);
    Ok(Figures::new(options.messages, accepted, arrived, cpu, memory, beyond))
}

/// Waits until the processes do next to nothing, so that what they do late (settling, closing) is counted where it belongs.
fn rest(meter: &Meter) {
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
