//! `bench idle`: connections that are open and say nothing: what each costs in memory, and what they cost the others.
//!
//! Memory is proportional (PSS) of the relay's processes; what the kernel holds for a socket is not in it, and the same for all.
//! Postfix has a process for each connection, so it gets fewer.

use std::io;
use std::time::Instant;

use super::Bench;
use super::course::{Course, Stage, rest, share};
use super::cryptography::{Identity, Offer};
use super::ground;
use super::load::{Held, Load};
use super::options::{Contender, Tools};
use super::report::{Bar, Figures, Report, Row, median};
use super::terms::Terms;

pub(super) const BENCH: Bench = Bench {
    name: "idle",
    summary: "memory of 10,000 idle connections in clear and in TLS, and the accept path meanwhile",
    takes: &["--connections", "--messages"],
    run,
};

const CONNECTIONS: u64 = 10_000;
const CONNECTIONS_QUICK: u64 = 1_000;
const CONNECTIONS_POSTFIX: u64 = 200;
const MESSAGES: u64 = 20_000;
/// Turns without and with the idle connections, to compare what a message costs.
const TURNS: u64 = 4;
/// Files beyond the connections that a process has open.
const OTHER_FILES: u64 = 2_000;

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let usual = if stage.options.is_quick { CONNECTIONS_QUICK } else { CONNECTIONS };
    let connections = stage.options.connections.unwrap_or(usual);
    let files = ground::raise_open_files(connections + OTHER_FILES)?;
    let identity = Identity::make(stage.ground.folder())?;
    let in_tls = Offer { is_1_3: true, resumes: false };
    [(None, 6.0), (Some(in_tls), 48.0)]
        .into_iter()
        .map(|(tls, most_kib)| {
            let state = if tls.is_some() { "after STARTTLS (TLS 1.3)" } else { "in clear, after EHLO" };
            let rounds = stage.rounds(&format!("idle {state}"), false, |contender| {
                let connections = match contender {
                    Some(Contender::Postfix) => connections.min(CONNECTIONS_POSTFIX),
                    _ => connections,
                };
                measure(stage, contender, connections, tls, &identity)
            })?;
            let rows = vec![
                Row::new("kib_per_connection", "KiB per idle connection, PSS", 2).bar(Bar::AtMost(most_kib)),
                Row::new("connections", "idle connections", 0),
                Row::new("opened_s", "seconds to open them", 2),
                Row::new("cpu_alone", "CPU s per 1,000 messages without them", 3),
                Row::new("cpu_beside", "CPU s per 1,000 messages beside them", 3),
                Row::new("cpu_times", "CPU per message, beside / without them", 3).bar(Bar::AtMost(1.05)),
                Row::new("p50_alone", "last byte to 250 without them, p50 ms", 2),
                Row::new("p50_beside", "last byte to 250 beside them, p50 ms", 2),
            ];
            Ok(Report {
                command: stage.command("idle"),
                load: vec![format!("{connections} idle connections {state}")],
                rows,
                rounds,
                notes: vec![format!(
                    "Each process may have {files} files open. The 4 KiB messages come over 50 sessions, in turns without \
                     and with the idle connections."
                )],
            })
        })
        .collect()
}

fn measure(
    stage: &Stage,
    contender: Option<Contender>,
    connections: u64,
    tls: Option<Offer>,
    identity: &Identity,
) -> io::Result<Figures> {
    let load = Load {
        tools: Tools::Own,
        sessions: 50,
        messages: stage.options.messages(MESSAGES),
        size_bytes: 4_096,
        messages_per_connection: 0,
        is_pipelining: false,
        tls: None,
    };
    let load = share(&load, contender);
    let terms = Terms {
        sessions: connections + load.sessions,
        tools: Tools::Own,
        identity: Some(identity.clone()),
        has_passports: true,
    };
    let mut course = Course::lay(stage, contender, &terms)?;
    course.warm_up(&load)?;
    let (entrance, meter) = (course.entrance(), course.meter().clone());
    let hold = || Held::open(&stage.ground, entrance, connections, tls, stage.options.limit);

    let mut grown_bytes = None;
    let mut opened_s = Vec::new();
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        // Which of the two comes first changes: each pays for what the one before it has left to be done.
        let is_alone_first = turn % 2 == 1;
        if is_alone_first {
            alone.push(course.run(&load)?.0);
            rest(&meter);
        }
        let before_bytes = meter.memory_bytes();
        let start = Instant::now();
        let held = hold()?;
        opened_s.push(start.elapsed().as_secs_f64());
        rest(&meter);
        // In the first turn alone: later ones find memory that the first has left behind.
        grown_bytes.get_or_insert(meter.memory_bytes().saturating_sub(before_bytes));
        beside.push(course.run(&load)?.0);
        drop(held);
        rest(&meter);
        if !is_alone_first {
            alone.push(course.run(&load)?.0);
            rest(&meter);
        }
    }
    let of = |turns: &[Figures], key| median(turns.iter().map(|turn| turn[key])).unwrap_or(f64::NAN);
    let (cpu_alone, cpu_beside) = (of(&alone, "cpu_s_per_1000"), of(&beside, "cpu_s_per_1000"));
    Ok(Figures::from([
        ("kib_per_connection", grown_bytes.unwrap_or(0) as f64 / 1024.0 / connections as f64),
        ("connections", connections as f64),
        ("opened_s", median(opened_s).unwrap_or(f64::NAN)),
        ("cpu_alone", cpu_alone),
        ("cpu_beside", cpu_beside),
        ("cpu_times", cpu_beside / cpu_alone),
        ("p50_alone", of(&alone, "accept_p50_ms")),
        ("p50_beside", of(&beside, "accept_p50_ms")),
    ]))
}
