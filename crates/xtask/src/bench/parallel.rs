//! `bench parallel`: twelve messages of 25 MB that arrive at once and leave again: how much memory that takes.

use std::io;
use std::time::Duration;

use super::Bench;
use super::course::{Course, Stage};
use super::load::Load;
use super::meter::MemoryWatch;
use super::options::Tools;
use super::report::{Bar, Figures, Report, Row};
use super::terms::Terms;

pub(super) const BENCH: Bench = Bench {
    name: "parallel",
    summary: "memory that 12 parallel messages of 25 MB take",
    takes: &["--sessions", "--size"],
    run,
};

const SESSIONS: u64 = 12;
const SIZE_BYTES: u64 = 25_000_000;
const MEMORY_LOOK: Duration = Duration::from_millis(10);
const MB: f64 = 1e6;

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let sessions = stage.options.sessions.unwrap_or(SESSIONS);
    let large = Load {
        tools: Tools::Own,
        sessions,
        messages: sessions,
        size_bytes: stage.options.size_bytes.unwrap_or(SIZE_BYTES),
        messages_per_connection: 0,
        is_pipelining: false,
        tls: None,
    };
    let small = Load { messages: 1_000, size_bytes: 4_096, ..large };
    let terms = Terms { sessions, tools: Tools::Own, identity: None, has_passports: true };
    let rounds = stage.rounds("parallel", false, |contender| {
        let mut course = Course::lay(stage, contender, &terms)?;
        course.warm_up(&small)?;
        let meter = course.meter().clone();
        let before = meter.memory();
        let watch = MemoryWatch::start(&meter, MEMORY_LOOK);
        let (first_ns, _, arrived_ns, _) = course.send(&large)?;
        let peak = watch.stop();
        let mut figures = Figures::from([
            ("pss_mb", peak.proportional_peak_bytes.saturating_sub(before.proportional_peak_bytes) as f64 / MB),
            ("baseline_pss_mb", before.proportional_peak_bytes as f64 / MB),
            ("seconds", arrived_ns.saturating_sub(first_ns) as f64 / 1e9),
        ]);
        if let (Some(peak), Some(before)) = (peak.group_peak_bytes, before.group_peak_bytes) {
            figures.insert("group_mb", peak.saturating_sub(before) as f64 / MB);
        }
        Ok(figures)
    })?;
    let rows = vec![
        Row::new("pss_mb", "peak PSS beyond the baseline, MB", 1).bar(Bar::AtMost(64.0)),
        Row::new("group_mb", "peak of the control group without page cache, beyond the baseline, MB", 1)
            .bar(Bar::AtMost(64.0)),
        Row::new("baseline_pss_mb", "baseline after 1,000 messages of 4 KiB, PSS MB", 1),
        Row::new("seconds", "first byte in to last byte out, s", 2),
    ];
    let notes = vec![
        "The control group's memory is what the kernel charges: memory of the processes, socket buffers and other kernel memory.".into(),
    ];
    Ok(vec![Report { command: stage.command("parallel"), load: vec![large.words()], rows, rounds, notes }])
}
