//! `cargo xtask bench`: Postfix and Gatepost get the same load in turn, in one call.
//!
//! Takes a benchmark's name and options; hands on a table (or JSON) with medians, ratios, bars and whether they are met.
//! Most rounds also send the load straight into the sink: the ceiling, which says how much of a figure is the generator's and the
//! sink's own doing. Every relay starts fresh in each round, warmed up before the clock runs; the order turns from round to round.
//! Everything runs on loopback, on free ports, bounded in count and time, and is gone afterwards however the call ends.

mod relay;
mod passports;
mod latency;
mod calls;
mod large;
mod tls;
mod idle;
mod parallel;
mod queue;
mod console;
mod management;
mod instructions;
mod course;
mod report;
mod context;
mod gatepost;
mod postfix;
mod terms;
mod disk;
mod load;
mod smtp_tools;
mod source;
mod sink;
mod wire;
mod cryptography;
mod histogram;
mod clock;
mod ground;
mod meter;
mod keeper;
mod options;

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use course::Stage;
use ground::Ground;
use options::{Contender, Options, Tools};
use report::Report;

/// One benchmark.
#[derive(Clone, Copy)]
struct Bench {
    /// One with a space is a variant of another: only the call of all knows it by this name.
    name: &'static str,
    summary: &'static str,
    /// The options that it takes beyond those that all take.
    takes: &'static [&'static str],
    run: fn(&Stage) -> io::Result<Vec<Report>>,
}

/// All of them, in the order of the table of bars.
const BENCHES: [Bench; 12] = [
    relay::BENCH,
    relay::SINGLE,
    passports::BENCH,
    latency::BENCH,
    calls::BENCH,
    large::BENCH,
    tls::BENCH,
    idle::BENCH,
    parallel::BENCH,
    queue::BENCH,
    management::BENCH,
    console::BENCH,
];

/// Runs `bench` with these words behind it.
pub(crate) fn run(root: &Path, words: &[&str]) -> ExitCode {
    match words {
        // The load's own processes.
        ["source", task] => tool(task, source::run),
        ["sink", task] => tool(task, sink::run),
        // Needs neither a disk of its own nor Postfix.
        ["instructions"] => finish(instructions::run(root)),
        ["all", words @ ..] => start(root, "all", &[], words),
        ["help" | "--help" | "-h"] => {
            print!("{}", usage());
            ExitCode::SUCCESS
        }
        [name, words @ ..] => match BENCHES.iter().find(|bench| bench.name == *name) {
            Some(bench) => start(root, name, bench.takes, words),
            None => usage_error(&format!("`{name}` is not a benchmark")),
        },
        [] => usage_error("the name of a benchmark is missing"),
    }
}

fn usage() -> String {
    let mut usage = "Measures Gatepost beside Postfix.\n\nUsage: cargo xtask bench <NAME> [OPTIONS]\n\n".to_owned();
    for bench in BENCHES.iter().filter(|bench| !bench.name.contains(' ')) {
        let _ = writeln!(usage, "  {:<10} {}", bench.name, bench.summary);
        if !bench.takes.is_empty() {
            let _ = writeln!(usage, "  {:<10} takes {}", "", bench.takes.join(" "));
        }
    }
    let _ = writeln!(usage, "  {:<10} instructions and allocations of each step, by valgrind", "instructions");
    let _ = writeln!(usage, "  {:<10} all of them, with a table of all bars\n", "all");
    usage + options::USAGE
}

fn usage_error(problem: &str) -> ExitCode {
    eprintln!("error: {problem}\n\n{}", usage());
    ExitCode::from(2)
}

fn tool<T: serde::de::DeserializeOwned>(task: &str, run: fn(&T) -> io::Result<()>) -> ExitCode {
    finish(serde_json::from_str(task).map_err(io::Error::other).and_then(|task| run(&task)))
}

fn start(root: &Path, name: &str, takes: &[&str], words: &[&str]) -> ExitCode {
    match options::parse(words, takes) {
        Ok(Some(options)) => finish(measure(root, name, words, options)),
        Ok(None) => {
            print!("{}", usage());
            ExitCode::SUCCESS
        }
        Err(problem) => usage_error(&problem),
    }
}

fn finish(done: io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(root: &Path, name: &str, words: &[&str], options: Options) -> io::Result<()> {
    if options.tools == Tools::Smtp {
        smtp_tools::installed()?;
    }
    if options.contenders.contains(&Contender::Postfix) {
        postfix::usable()?;
    }
    let binary = match options.contenders.contains(&Contender::Gatepost) {
        true => Some(gatepost::binary(root, &options)?),
        false => None,
    };
    let ground = Ground::lay(&options.folder)?;
    let context = context::read(root, &ground, &options)?;
    for warning in &context.warnings {
        eprintln!("warning: {warning}");
    }
    let json = options.json;
    let stage = Stage { root: root.to_path_buf(), ground, options, binary, words: words.join(" ") };
    if !json {
        print!("```text\n{}```\n", context.text());
    }
    let mut reports = Vec::new();
    for bench in BENCHES.iter().filter(|bench| name == "all" || name == bench.name) {
        let done =
            (bench.run)(&stage).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", bench.name)))?;
        if !json {
            // Each as it comes: what was measured is not lost when a later one fails.
            done.iter().for_each(|report| print!("\n{}", report.text()));
        }
        reports.extend(done);
    }
    if json {
        println!("{}", report::json(&context, &reports));
    } else if reports.len() > 1 {
        print!("\n{}", report::bars(&reports));
    }
    Ok(())
}
