//! `bench relay`: messages of 4 KiB, end to end, over connections that carry many or one each.

use std::io;

use super::Bench;
use super::course::Stage;
use super::load::Load;
use super::options::Tools;
use super::report::{Bar, Report, Row};
use super::terms::Terms;

pub(super) const BENCH: Bench = Bench {
    name: "relay",
    summary: "throughput and CPU time end to end, 50 sessions, 4 KiB; --single: 10 and 200 sessions, one message per connection",
    takes: &[
        "--sessions",
        "--messages",
        "--size",
        "--single",
        "--per-connection",
        "--pipelining",
        "--tools",
        "--without-passports",
    ],
    run,
};

/// One message per connection: the same with `--single`, for the call of all.
pub(super) const SINGLE: Bench = Bench { name: "relay --single", run: single, ..BENCH };

const SIZE_BYTES: u64 = 4_096;
const MESSAGES: u64 = 20_000;
const SESSIONS: u64 = 50;
const SESSIONS_SINGLE: [u64; 2] = [10, 200];
const MESSAGES_SINGLE: u64 = 10_000;

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    match stage.options.messages_per_connection {
        Some(1) => single(stage),
        per_connection => {
            let sessions = stage.options.sessions.unwrap_or(SESSIONS);
            let load = load(stage, sessions, MESSAGES, per_connection.unwrap_or(0));
            Ok(vec![compare(stage, &load, Bar::TimesPostfix(10.0), Some(Bar::AtMost(0.125)))?])
        }
    }
}

fn single(stage: &Stage) -> io::Result<Vec<Report>> {
    let sessions = stage.options.sessions.map_or(SESSIONS_SINGLE.to_vec(), |sessions| vec![sessions]);
    sessions
        .into_iter()
        .map(|sessions| {
            let load = load(stage, sessions, MESSAGES_SINGLE, 1);
            compare(stage, &load, Bar::TimesPostfixOrShareOfCeiling(6.0, 0.70), None)
        })
        .collect()
}

fn load(stage: &Stage, sessions: u64, messages: u64, messages_per_connection: u64) -> Load {
    let options = &stage.options;
    Load {
        tools: options.tools,
        sessions,
        messages: options.messages(messages),
        size_bytes: options.size_bytes.unwrap_or(SIZE_BYTES),
        messages_per_connection,
        is_pipelining: options.is_pipelining,
        tls: None,
    }
}

fn compare(stage: &Stage, load: &Load, relayed: Bar, cpu: Option<Bar>) -> io::Result<Report> {
    let has_passports = !stage.options.is_without_passports;
    let terms = Terms { sessions: load.sessions, tools: load.tools, identity: None, has_passports };
    let rounds = stage.compare(load, &terms)?;
    // The bars are for the load that the table of bars names; another load is merely measured.
    let options = &stage.options;
    let is_usual =
        has_passports && options.size_bytes.is_none() && options.sessions.is_none() && load.messages_per_connection < 2;
    let bar = |row: Row, bar: Option<Bar>| Row { bar: bar.filter(|_| is_usual), ..row };
    let mut rows = vec![
        bar(Row::new("relayed_per_s", "end to end, messages/s", 0), Some(relayed)),
        Row::new("accepted_per_s", "accepted, messages/s", 0),
        bar(Row::new("cpu_s_per_1000", "CPU s per 1,000 messages", 3), cpu),
        Row::new("memory_pss_mib", "peak memory, PSS MiB", 1),
    ];
    if load.tools == Tools::Own {
        rows.extend([
            Row::new("accept_p50_ms", "last byte to 250, p50 ms", 2),
            Row::new("accept_p99_ms", "last byte to 250, p99 ms", 2),
        ]);
    }
    rows.push(Row::new("messages_twice", "messages twice", 0));
    Ok(Report {
        command: stage.command(if load.messages_per_connection == 1 { "relay --single" } else { "relay" }),
        load: vec![load.words()],
        rows,
        rounds,
        notes: vec!["The ceiling's CPU time and memory are the sink's alone.".into()],
    })
}
