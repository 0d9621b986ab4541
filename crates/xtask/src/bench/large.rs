//! `bench large`: messages of 50 KiB and of 1 MiB, 10 sessions, end to end.

use std::io;

use super::Bench;
use super::course::Stage;
use super::disk::files_per_s;
use super::load::Load;
use super::options::{Contender, Tools};
use super::report::{Bar, Report, Row};
use super::terms::Terms;

pub(super) const BENCH: Bench = Bench {
    name: "large",
    summary: "throughput of messages of 50 KiB and 1 MiB, 10 sessions",
    takes: &["--sessions", "--messages", "--size", "--pipelining"],
    run,
};

/// Sizes, and how many messages of each: no more than two gigabytes a round.
const LOADS: [(u64, u64); 2] = [(50 << 10, 16_000), (1 << 20, 1_600)];
const SESSIONS: u64 = 10;

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let loads = stage.options.size_bytes.map_or(LOADS.to_vec(), |size| vec![(size, LOADS[1].1)]);
    loads
        .into_iter()
        .map(|(size_bytes, messages)| {
            let load = Load {
                tools: Tools::Own,
                sessions: stage.options.sessions.unwrap_or(SESSIONS),
                messages: stage.options.messages(messages),
                size_bytes,
                messages_per_connection: 0,
                is_pipelining: stage.options.is_pipelining,
                tls: None,
            };
            let terms = Terms { sessions: load.sessions, tools: Tools::Own, identity: None, has_passports: true };
            let rounds = stage.rounds(&load.words(), true, |contender| {
                let mut figures = stage.through(contender, &load, &terms)?;
                if contender == Some(Contender::Gatepost) {
                    figures.insert("disk_per_s", files_per_s(stage.ground.folder(), size_bytes as usize)?);
                }
                Ok(figures)
            })?;
            let rows = vec![
                Row::new("relayed_per_s", "end to end, messages/s", 0).bar(Bar::TimesPostfix(3.0)),
                Row::new("accepted_per_s", "accepted, messages/s", 0),
                Row::new("cpu_s_per_1000", "CPU s per 1,000 messages", 3),
                Row::new("accept_p50_ms", "last byte to 250, p50 ms", 2),
                Row::new("accept_p99_ms", "last byte to 250, p99 ms", 2),
                Row::new("memory_pss_mib", "peak memory, PSS MiB", 1),
                Row::new("disk_per_s", "the disk alone: files of that size a second, eight at once", 0),
            ];
            let notes = vec!["The ceiling's CPU time and memory are the sink's alone.".into()];
            Ok(Report { command: stage.command("large"), load: vec![load.words()], rows, rounds, notes })
        })
        .collect()
}
