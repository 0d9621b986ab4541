//! `bench latency`: from the last byte of a message to its 250, while what was accepted is delivered.
//!
//! With one session nobody shares the flush: the bar is what one flush costs in the same round, on the same disk, by the same kind
//! of write, and 0.3 ms. With 50 sessions the generator's own turn is part of the figure; the ceiling shows how much that is.

use std::io;

use super::Bench;
use super::course::{Course, Stage, share};
use super::disk::flush_cost;
use super::load::Load;
use super::options::{Contender, Tools};
use super::report::{Bar, Report, Row};
use super::terms::Terms;

pub(super) const BENCH: Bench = Bench {
    name: "latency",
    summary: "last byte to 250 with delivery going on: 1 session beside one flush, and 50 sessions",
    takes: &["--sessions", "--messages", "--size", "--single", "--pipelining"],
    run,
};

const SIZE_BYTES: u64 = 4_096;
const MESSAGES_OF_ONE: u64 = 4_000;
const MESSAGES: u64 = 20_000;
const SESSIONS: [u64; 2] = [1, 50];

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let sessions = stage.options.sessions.map_or(SESSIONS.to_vec(), |sessions| vec![sessions]);
    sessions.into_iter().map(|sessions| with(stage, sessions)).collect()
}

fn with(stage: &Stage, sessions: u64) -> io::Result<Report> {
    let options = &stage.options;
    let load = Load {
        tools: Tools::Own,
        sessions,
        messages: options.messages(if sessions == 1 { MESSAGES_OF_ONE } else { MESSAGES }),
        size_bytes: options.size_bytes.unwrap_or(SIZE_BYTES),
        messages_per_connection: options.messages_per_connection.unwrap_or(0),
        is_pipelining: options.is_pipelining,
        tls: None,
    };
    let terms = Terms { sessions, tools: Tools::Own, identity: None, has_passports: true };
    let rounds = stage.rounds(&format!("latency, {sessions} sessions"), true, |contender| {
        let mut course = Course::lay(stage, contender, &terms)?;
        let load = share(&load, contender);
        course.warm_up(&load)?;
        let flush = || flush_cost(stage.ground.folder(), load.size_bytes as usize);
        // Once before and once behind, for the disk may not be alone.
        let before = if contender == Some(Contender::Gatepost) { Some(flush()?) } else { None };
        let (mut figures, _) = course.run(&load)?;
        if let Some(before) = before {
            let behind = flush()?;
            let milliseconds =
                |one: std::time::Duration, other: std::time::Duration| (one + other).as_secs_f64() * 500.0;
            figures.insert("flush_p50_ms", milliseconds(before.0, behind.0));
            figures.insert("flush_p99_ms", milliseconds(before.1, behind.1));
        }
        Ok(figures)
    })?;
    let p50 = Row::new("accept_p50_ms", "last byte to 250, p50 ms", 2);
    let p99 = Row::new("accept_p99_ms", "last byte to 250, p99 ms", 2);
    let mut rows = match sessions {
        1 => vec![p50.bar(Bar::AtMostBeyond("flush_p50_ms", 0.3)), p99],
        50 => vec![p50.bar(Bar::AtMost(4.0)), p99.bar(Bar::AtMost(15.0))],
        _ => vec![p50, p99],
    };
    rows.extend([
        Row::new("accept_largest_ms", "last byte to 250, longest ms", 2),
        Row::new("transaction_p50_ms", "MAIL to 250, p50 ms", 2),
        Row::new("transaction_p99_ms", "MAIL to 250, p99 ms", 2),
        Row::new("flush_p50_ms", "append of that size + fdatasync, p50 ms", 2),
        Row::new("flush_p99_ms", "append of that size + fdatasync, p99 ms", 2),
        Row::new("accepted_per_s", "accepted, messages/s", 0),
        Row::new("relayed_per_s", "end to end, messages/s", 0),
    ]);
    Ok(Report { command: stage.command("latency"), load: vec![load.words()], rows, rounds, notes: Vec::new() })
}
