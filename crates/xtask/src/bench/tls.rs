//! `bench tls`: STARTTLS on the way in and on the way out, 4 KiB, 50 sessions.
//!
//! One certificate (P-256) for both relays and the sink. The generator offers one version and one cipher; relays choose for themselves
//! on the way out, and the sink tells what that was.

use std::io;

use super::Bench;
use super::course::{Course, Stage, share};
use super::cryptography::{Identity, Offer};
use super::load::Load;
use super::options::{TlsVersion, Tools};
use super::report::{Bar, Report, Row};
use super::terms::Terms;

pub(super) const BENCH: Bench = Bench {
    name: "tls",
    summary: "throughput with STARTTLS in and out, 50 sessions, 20 messages per connection",
    takes: &[
        "--sessions",
        "--messages",
        "--size",
        "--single",
        "--per-connection",
        "--pipelining",
        "--tls",
        "--no-resumption",
    ],
    run,
};

const SIZE_BYTES: u64 = 4_096;
const MESSAGES: u64 = 20_000;
const SESSIONS: u64 = 50;
/// Between one (a mail client) and as many as there are (a queue that empties itself).
const MESSAGES_PER_CONNECTION: u64 = 20;

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let options = &stage.options;
    let identity = Identity::make(stage.ground.folder())?;
    let offer = Offer { is_1_3: options.tls != Some(TlsVersion::V1_2), resumes: options.resumes };
    let load = Load {
        tools: Tools::Own,
        sessions: options.sessions.unwrap_or(SESSIONS),
        messages: options.messages(MESSAGES),
        size_bytes: options.size_bytes.unwrap_or(SIZE_BYTES),
        messages_per_connection: options.messages_per_connection.unwrap_or(MESSAGES_PER_CONNECTION),
        is_pipelining: options.is_pipelining,
        tls: Some(offer),
    };
    let terms = Terms { sessions: load.sessions, tools: Tools::Own, identity: Some(identity), has_passports: true };
    let mut told = Vec::new();
    let rounds = stage.rounds("tls", true, |contender| {
        let mut course = Course::lay(stage, contender, &terms)?;
        let load = share(&load, contender);
        course.warm_up(&load)?;
        let before = course.sink.count()?;
        let (mut figures, details) = course.run(&load)?;
        let after = course.sink.count()?;
        let out = after.connections - before.connections;
        figures.insert("connections_out", out as f64);
        figures.insert("resumed_out", (after.resumed - before.resumed) as f64);
        let name = contender.map_or("the sink".to_owned(), |contender| contender.to_string());
        let agreed = |tls: Option<String>| tls.unwrap_or_else(|| "in clear".into());
        told.push(format!("Into {name}: {}.", agreed(details.and_then(|details| details.tls))));
        if contender.is_some() {
            told.push(format!("Out of {name}: {}.", agreed(after.tls)));
        }
        Ok(figures)
    })?;
    told.sort();
    told.dedup();
    let rows = vec![
        Row::new("relayed_per_s", "end to end, messages/s", 0).bar(Bar::TimesPostfix(5.0)),
        Row::new("accepted_per_s", "accepted, messages/s", 0),
        Row::new("cpu_s_per_1000", "CPU s per 1,000 messages", 3),
        Row::new("accept_p50_ms", "last byte to 250, p50 ms", 2),
        Row::new("accept_p99_ms", "last byte to 250, p99 ms", 2),
        Row::new("connections", "connections in", 0),
        Row::new("resumed", "of them resumed", 0),
        Row::new("connections_out", "connections out", 0),
        Row::new("resumed_out", "of them resumed", 0),
    ];
    let mut notes = told;
    notes.push(
        "Connections out are those that were begun while the clock ran: what the warm-up left open goes on. \
         The ceiling's CPU time is the sink's alone."
            .into(),
    );
    Ok(vec![Report { command: stage.command("tls"), load: vec![load.words()], rows, rounds, notes }])
}
