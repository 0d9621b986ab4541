//! `bench passports`: what it costs to record what befalls each message: the same load with and without, in turn.

use std::io;

use super::Bench;
use super::course::Stage;
use super::load::Load;
use super::options::{Contender, Tools};
use super::report::{Bar, Figures, Report, Round, Row};
use super::terms::Terms;

pub(super) const BENCH: Bench = Bench {
    name: "passports",
    summary: "CPU time of recording for each message relayed: Gatepost with and without passports",
    takes: &["--sessions", "--messages", "--size"],
    run,
};

const SIZE_BYTES: u64 = 4_096;
const MESSAGES: u64 = 20_000;
const SESSIONS: u64 = 50;
/// What recording may cost of CPU time for each message, in microseconds.
const COST_US_MAX: f64 = 15.0;

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let options = &stage.options;
    let load = Load {
        tools: Tools::Own,
        sessions: options.sessions.unwrap_or(SESSIONS),
        messages: options.messages(MESSAGES),
        size_bytes: options.size_bytes.unwrap_or(SIZE_BYTES),
        messages_per_connection: 0,
        is_pipelining: false,
        tls: None,
    };
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let through = |has_passports: bool| {
            let words = if has_passports { "with" } else { "without" };
            eprintln!("passports, round {number} of {}: {words}", options.rounds);
            let terms = Terms { sessions: load.sessions, tools: load.tools, identity: None, has_passports };
            stage.through(Some(Contender::Gatepost), &load, &terms)
        };
        // The order turns from round to round.
        let (with, without) = match number % 2 {
            0 => (through(true)?, through(false)?),
            _ => {
                let without = through(false)?;
                (through(true)?, without)
            }
        };
        rounds.push(Round { ceiling: None, relays: vec![(Contender::Gatepost, compared(&with, &without))] });
    }
    Ok(vec![Report {
        command: stage.command("passports"),
        load: vec![load.words()],
        rows: vec![
            Row::new("with_us", "CPU us for each message, with passports", 1),
            Row::new("without_us", "without", 1),
            Row::new("cost_us", "what they cost", 1).bar(Bar::AtMost(COST_US_MAX)),
            Row::new("with_per_s", "end to end with passports, messages/s", 0),
            Row::new("without_per_s", "without", 0),
        ],
        rounds,
        notes: vec!["Of each round the difference, and of those the median.".into()],
    }])
}

fn compared(with: &Figures, without: &Figures) -> Figures {
    // Seconds for a thousand messages: a thousand times that are microseconds for each.
    let cpu_us = |figures: &Figures| figures.get("cpu_s_per_1000").map_or(f64::NAN, |seconds| seconds * 1_000.0);
    let rate = |figures: &Figures| figures.get("relayed_per_s").copied().unwrap_or_default();
    Figures::from([
        ("with_us", cpu_us(with)),
        ("without_us", cpu_us(without)),
        ("cost_us", cpu_us(with) - cpu_us(without)),
        ("with_per_s", rate(with)),
        ("without_per_s", rate(without)),
    ])
}
