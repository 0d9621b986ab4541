//! Figures, their medians and ratios, as a table for people and as JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::context::Context;
use super::meter::Memory;
use super::options::{Contender, Options};

const MIB: f64 = 1024.0 * 1024.0;

/// What one relay did in one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Messages a second until the last 250.
    pub accepted_per_s: f64,
    /// Messages a second until the sink had all.
    pub relayed_per_s: f64,
    /// User and system time per 1,000 messages.
    pub cpu_s_per_1000: f64,
    pub memory: Memory,
    /// Messages that the sink got twice.
    pub beyond: u64,
}

impl Figures {
    pub fn new(
        messages: u64,
        accepted: Duration,
        relayed: Duration,
        cpu: Duration,
        memory: Memory,
        beyond: u64,
    ) -> Figures {
        let count = messages as f64;
        Figures {
            accepted_per_s: count / accepted.as_secs_f64(),
            relayed_per_s: count / relayed.as_secs_f64(),
            cpu_s_per_1000: cpu.as_secs_f64() * 1000.0 / count,
            memory,
            beyond,
        }
    }
}

pub(super) struct Round {
    /// The load straight into the sink; its CPU time is the sink's alone.
    pub ceiling: Figures,
    pub relays: Vec<(Contender, Figures)>,
}

impl Round {
    fn of(&self, contender: Contender) -> Option<&Figures> {
        self.relays.iter().find(|(name, _)| *name == contender).map(|(_, figures)| figures)
    }
}

/// One line of the report: how to read it from figures.
type Row = (&'static str, fn(&Figures) -> f64, usize);

const ROWS: [Row; 5] = [
    ("end to end, messages/s", |f| f.relayed_per_s, 0),
    ("accepted, messages/s", |f| f.accepted_per_s, 0),
    ("CPU s per 1,000 messages", |f| f.cpu_s_per_1000, 3),
    ("peak memory, PSS MiB", |f| f.memory.proportional_peak_bytes as f64 / MIB, 1),
    ("peak resident, sum MiB", |f| f.memory.resident_peak_bytes as f64 / MIB, 1),
];

/// The middle value; the mean of the two middle ones when their number is even; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

fn medians(rounds: &[Round], contender: Contender, read: fn(&Figures) -> f64) -> f64 {
    median(rounds.iter().filter_map(|round| round.of(contender)).map(read).collect())
}

/// The median of the ratios of each round: what disturbed one round disturbed both sides of its ratio.
fn ratio(rounds: &[Round], read: fn(&Figures) -> f64) -> Option<f64> {
    let ratios: Vec<f64> = rounds
        .iter()
        .filter_map(|round| Some(read(round.of(Contender::Gatepost)?) / read(round.of(Contender::Postfix)?)))
        .filter(|ratio| ratio.is_finite())
        .collect();
    (!ratios.is_empty()).then(|| median(ratios))
}

fn share_of_ceiling(rounds: &[Round], contender: Contender) -> f64 {
    let shares =
        rounds.iter().filter_map(|round| Some(round.of(contender)?.relayed_per_s / round.ceiling.relayed_per_s));
    median(shares.collect())
}

/// The report for people: Markdown, so that it can be pasted into docs/performance.md.
pub(super) fn text(options: &Options, context: &Context, rounds: &[Round]) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("commit {}, kernel {}, {} x {}", context.commit, context.kernel, context.cores, context.processor));
    line(format!(
        "{}, append 4 KiB + fdatasync: p50 {:.2} ms, p99 {:.2} ms; load before: {}; Postfix {}",
        context.file_system,
        milliseconds(context.flush_p50),
        milliseconds(context.flush_p99),
        context.load,
        context.postfix.as_deref().unwrap_or("not installed"),
    ));
    line(format!(
        "{} messages of {} bytes, {} sessions, {} per connection, {} rounds, medians; CPU by {}",
        options.messages,
        options.size_bytes,
        options.sessions,
        if options.single { "one" } else { "many" },
        options.rounds,
        context.method,
    ));
    line(String::new());
    let compared = options.contenders.len() == 2;
    let mut head = "| median |".to_owned();
    let mut rule = "|---|".to_owned();
    for contender in &options.contenders {
        let _ = write!(head, " {contender} |");
        rule.push_str("---:|");
    }
    if compared {
        head.push_str(" Gatepost / Postfix |");
        rule.push_str("---:|");
    }
    line(head + " ceiling |");
    line(rule + "---:|");
    for (name, read, decimals) in ROWS {
        let mut row = format!("| {name} |");
        for contender in &options.contenders {
            let _ = write!(row, " {:.decimals$} |", medians(rounds, *contender, read));
        }
        if compared {
            let _ = write!(row, " {:.2} |", ratio(rounds, read).unwrap_or(f64::NAN));
        }
        let ceiling = median(rounds.iter().map(|round| read(&round.ceiling)).collect());
        line(format!("{row} {ceiling:.decimals$} |"));
    }
    let mut row = "| share of the same round's ceiling |".to_owned();
    for contender in &options.contenders {
        let _ = write!(row, " {:.1} % |", 100.0 * share_of_ceiling(rounds, *contender));
    }
    line(format!("{row}{} |", if compared { " |" } else { "" }));
    line(String::new());
    line("(The ceiling is smtp-source straight into smtp-sink; its CPU and memory are the sink's alone.)".to_owned());
    line("Rounds, end to end messages/s:".to_owned());
    for (number, round) in rounds.iter().enumerate() {
        let mut row = format!("  {}: ceiling {:.0}", number + 1, round.ceiling.relayed_per_s);
        for (contender, figures) in &round.relays {
            let _ = write!(row, ", {contender} {:.0}", figures.relayed_per_s);
            if figures.beyond > 0 {
                let _ = write!(row, " ({} messages twice)", figures.beyond);
            }
        }
        line(row);
    }
    out
}

/// The report for programs.
pub(super) fn json(options: &Options, context: &Context, rounds: &[Round]) -> Value {
    let figures = |figures: &Figures| {
        json!({
            "accepted_per_s": figures.accepted_per_s,
            "relayed_per_s": figures.relayed_per_s,
            "cpu_s_per_1000": figures.cpu_s_per_1000,
            "memory_pss_peak_bytes": figures.memory.proportional_peak_bytes,
            "memory_resident_peak_bytes": figures.memory.resident_peak_bytes,
            "messages_twice": figures.beyond,
        })
    };
    let rounds_json: Vec<Value> = rounds
        .iter()
        .map(|round| {
            let mut value = json!({ "ceiling": figures(&round.ceiling) });
            for (contender, of_relay) in &round.relays {
                value[key(*contender)] = figures(of_relay);
            }
            value
        })
        .collect();
    let mut medians_json = json!({});
    for contender in &options.contenders {
        medians_json[key(*contender)] = json!({
            "accepted_per_s": medians(rounds, *contender, |f| f.accepted_per_s),
            "relayed_per_s": medians(rounds, *contender, |f| f.relayed_per_s),
            "cpu_s_per_1000": medians(rounds, *contender, |f| f.cpu_s_per_1000),
            "memory_pss_peak_bytes": medians(rounds, *contender, |f| f.memory.proportional_peak_bytes as f64),
            "share_of_ceiling": share_of_ceiling(rounds, *contender),
        });
    }
    json!({
        "context": {
            "commit": context.commit,
            "kernel": context.kernel,
            "processor": context.processor,
            "cores": context.cores,
            "load_before": context.load,
            "file_system": context.file_system,
            "flush_p50_ms": milliseconds(context.flush_p50),
            "flush_p99_ms": milliseconds(context.flush_p99),
            "postfix": context.postfix,
            "cpu_method": context.method,
        },
        "load": {
            "sessions": options.sessions,
            "messages": options.messages,
            "size_bytes": options.size_bytes,
            "messages_per_connection": if options.single { "one" } else { "many" },
        },
        "rounds": rounds_json,
        "medians": medians_json,
        "gatepost_to_postfix": {
            "relayed": ratio(rounds, |f| f.relayed_per_s),
            "accepted": ratio(rounds, |f| f.accepted_per_s),
            "cpu": ratio(rounds, |f| f.cpu_s_per_1000),
            "memory": ratio(rounds, |f| f.memory.proportional_peak_bytes as f64),
        },
    })
}

fn key(contender: Contender) -> &'static str {
    match contender {
        Contender::Postfix => "postfix",
        Contender::Gatepost => "gatepost",
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        for (values, expected) in [(vec![], 0.0), (vec![3.0], 3.0), (vec![3.0, 1.0], 2.0), (vec![9.0, 1.0, 2.0], 2.0)] {
            assert_eq!(median(values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn a_ratio_is_formed_within_each_round() {
        let figures = |seconds: u64| {
            let time = Duration::from_secs(seconds);
            Figures::new(1000, time, time, time, Memory::default(), 0)
        };
        let rounds = [
            Round {
                ceiling: figures(1),
                relays: vec![(Contender::Postfix, figures(8)), (Contender::Gatepost, figures(2))],
            },
            Round {
                ceiling: figures(1),
                relays: vec![(Contender::Gatepost, figures(5)), (Contender::Postfix, figures(20))],
            },
        ];
        assert_eq!(ratio(&rounds, |f| f.relayed_per_s), Some(4.0));
        assert_eq!(ratio(&rounds, |f| f.cpu_s_per_1000), Some(0.25));
        assert_eq!(share_of_ceiling(&rounds, Contender::Gatepost), 0.35);
    }
}
