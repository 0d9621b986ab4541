//! `gatepost spool verify`: reads a whole spool, on one screen or as JSON.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use gatepost_spool::{Finding, Progress, Severity, Verified, verify};
use serde::Serialize;

use super::write_json;
use crate::cli::{SpoolCommand, SpoolVerifyArguments};
use crate::failure::Failure;
use crate::terminal::{Table, count, duration, harmless, size};

/// Between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// What `spool verify --json` prints. Sizes are bytes (`*_bytes`).
#[derive(Serialize)]
struct Report {
    spool: String,
    /// Whether nothing that was safe on the disk is damaged.
    sound: bool,
    /// Whether a server was using the spool while it was read.
    in_use: bool,
    segments: u64,
    log_bytes: u64,
    message_records: u64,
    outcome_records: u64,
    /// Messages that wait for delivery.
    messages: u64,
    live_bytes: u64,
    dead_bytes: u64,
    /// Body files that match their checksums.
    bodies: u64,
    body_bytes: u64,
    unneeded_files: u64,
    set_aside_files: u64,
    set_aside_bytes: u64,
    torn_bytes: u64,
    /// How many of the findings are damage.
    damaged: u64,
    findings: Vec<Place>,
    /// Findings beyond those that are listed.
    more_findings: u64,
    duration_ms: u64,
}

/// One place that is not as it should be.
#[derive(Serialize)]
struct Place {
    severity: &'static str,
    file: String,
    offset: u64,
    length: u64,
    what: String,
    meaning: String,
    /// The copy that an earlier start has set aside.
    copy: Option<String>,
}

/// Reads the spool and says what is in it.
pub fn spool(out: &mut dyn Write, config: &Path, command: SpoolCommand) -> Result<(), Failure> {
    let SpoolCommand::Verify(SpoolVerifyArguments { dir, json }) = command;
    let dir = match dir {
        Some(dir) => dir,
        None => gatepost_manage::document::data_dir(config)?,
    };
    let mut shown = Shown::new();
    let verified = verify(&dir, |progress| shown.show(progress));
    shown.clear();
    let verified = verified.map_err(Failure::of)?;
    if json {
        write_json(out, &Report::of(&verified))?;
    } else {
        write_verified(out, &verified)?;
    }
    match verified.is_sound() {
        true => Ok(()),
        // What is damaged was said already.
        false => Err(Failure::Damaged),
    }
}

impl Report {
    fn of(verified: &Verified) -> Report {
        Report {
            spool: verified.folder.display().to_string(),
            sound: verified.is_sound(),
            in_use: verified.is_in_use,
            segments: verified.segments,
            log_bytes: verified.log_bytes,
            message_records: verified.message_records,
            outcome_records: verified.outcome_records,
            messages: verified.messages,
            live_bytes: verified.live_bytes,
            dead_bytes: verified.dead_bytes,
            bodies: verified.bodies,
            body_bytes: verified.body_bytes,
            unneeded_files: verified.unneeded_files,
            set_aside_files: verified.set_aside_files,
            set_aside_bytes: verified.set_aside_bytes,
            torn_bytes: verified.torn_bytes,
            damaged: verified.damaged,
            findings: verified.findings.iter().map(Place::of).collect(),
            more_findings: verified.more_findings,
            duration_ms: milliseconds(verified.duration),
        }
    }
}

impl Place {
    fn of(finding: &Finding) -> Place {
        Place {
            severity: severity(finding.severity),
            file: finding.file.display().to_string(),
            offset: finding.offset,
            length: finding.length,
            what: finding.what.clone(),
            meaning: finding.meaning.clone(),
            copy: finding.copy.as_ref().map(|copy| copy.display().to_string()),
        }
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Damage => "damage",
        Severity::Note => "note",
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn write_verified(out: &mut dyn Write, verified: &Verified) -> io::Result<()> {
    let used = if verified.is_in_use { ", while a server was using it" } else { "" };
    let took = duration(milliseconds(verified.duration));
    writeln!(out, "{}: read in {took}{used}", harmless(&verified.folder.display().to_string()))?;
    let mut facts = Table::plain();
    facts.row(&[
        "  log",
        &format!(
            "{}, {}: {}, {}",
            count(verified.segments, "segment", "segments"),
            size(verified.log_bytes),
            count(verified.message_records, "message record", "message records"),
            count(verified.outcome_records, "record of outcomes", "records of outcomes"),
        ),
    ]);
    facts.row(&[
        "  waiting",
        &format!("{} ({})", count(verified.messages, "message", "messages"), size(verified.live_bytes)),
    ]);
    facts.row(&["  dead", &format!("{} of the log, given back in time", size(verified.dead_bytes))]);
    if verified.bodies > 0 {
        let bodies = count(verified.bodies, "file", "files");
        facts.row(&["  large bodies", &format!("{bodies}, {}, as accepted", size(verified.body_bytes))]);
    }
    if verified.unneeded_files > 0 {
        let files = count(verified.unneeded_files, "file of no message", "files of no message");
        facts.row(&["  left over", &format!("{files}: the next start removes them")]);
    }
    if verified.torn_bytes > 0 {
        facts.row(&["  half written", &format!("{}, as a crash leaves it", size(verified.torn_bytes))]);
    }
    if verified.set_aside_files > 0 {
        let files = count(verified.set_aside_files, "file", "files");
        facts.row(&["  set aside", &format!("{files}, {}, found damaged before", size(verified.set_aside_bytes))]);
    }
    facts.write(out)?;
    for finding in &verified.findings {
        let Finding { offset, length, what, meaning, .. } = finding;
        let file = harmless(&finding.file.display().to_string());
        writeln!(out, "\n{}: {}", severity(finding.severity), harmless(what))?;
        writeln!(out, "  in {file} at {offset}, {}", count(*length, "byte", "bytes"))?;
        writeln!(out, "  {}", harmless(meaning))?;
        if let Some(copy) = &finding.copy {
            writeln!(out, "  An earlier start has set it aside: {}", harmless(&copy.display().to_string()))?;
        }
    }
    if verified.more_findings > 0 {
        writeln!(out, "\n{} more places are not shown.", verified.more_findings)?;
    }
    match verified.damaged {
        0 => writeln!(out, "\nSound: every record and every body is as it was accepted."),
        damaged => writeln!(out, "\nDamaged in {}.", count(damaged, "place", "places")),
    }
}

/// How far it has come, on one line of a terminal that is written over again and again.
struct Shown {
    is_terminal: bool,
    last: Instant,
    is_dirty: bool,
}

impl Shown {
    fn new() -> Shown {
        Shown { is_terminal: io::stderr().is_terminal(), last: Instant::now(), is_dirty: false }
    }

    fn show(&mut self, progress: Progress) {
        if !self.is_terminal || self.last.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        let share = progress.bytes.saturating_mul(100) / progress.total_bytes.max(1);
        let line = format!("\r\x1b[Kreading: {} of {} ({share} %)", size(progress.bytes), size(progress.total_bytes));
        self.write(&line);
        (self.last, self.is_dirty) = (Instant::now(), true);
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        // Whoever closed standard error does not want to know.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}
