//! `gatepost status`: how the running server is doing, on one screen.

use std::io::{self, Write};

use gatepost_manage::resource::{Alarm, PressedResource, PressureLevel, Queue, QueueState, RecordRoom, Status};
use serde::Serialize;

use super::{client, wait_for, write_json};
use crate::cli::{StatusArguments, Target};
use crate::failure::Failure;
use crate::terminal::{Table, ago, ahead, count, harmless, moment, size, stdout_has_colour};

/// What `status --ready --json` prints.
#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    obstacles: &'a [String],
}

/// What `status --alarms --json` prints.
#[derive(Serialize)]
struct Alarms<'a> {
    alarms: &'a [Alarm],
}

/// Asks the server and shows its answer.
pub fn status(out: &mut dyn Write, target: &Target, arguments: &StatusArguments) -> Result<(), Failure> {
    let status = wait_for(client(target)?.status())?;
    let colour = stdout_has_colour();
    match arguments {
        StatusArguments { json: true, ready: true, .. } => {
            write_json(out, &Readiness { ready: status.obstacles.is_empty(), obstacles: &status.obstacles })?;
        }
        StatusArguments { json: true, alarms: true, .. } => write_json(out, &Alarms { alarms: &status.alarms })?,
        StatusArguments { json: true, .. } => write_json(out, &status)?,
        StatusArguments { ready: true, .. } => write_ready(out, &status)?,
        StatusArguments { alarms: true, .. } => write_alarms(out, &status, colour)?,
        _ => write_status(out, &status, colour)?,
    }
    let is_so = match arguments {
        StatusArguments { ready: true, .. } => status.obstacles.is_empty(),
        StatusArguments { alarms: true, .. } => status.alarms.is_empty(),
        _ => true,
    };
    if is_so { Ok(()) } else { Err(Failure::NotSo) }
}

fn write_ready(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    if status.obstacles.is_empty() {
        return writeln!(out, "ready");
    }
    writeln!(out, "not ready")?;
    status.obstacles.iter().try_for_each(|obstacle| writeln!(out, "  {}", harmless(obstacle)))
}

/// What somebody has to be told; on a terminal the worst in red.
fn write_alarms(out: &mut dyn Write, status: &Status, colour: bool) -> io::Result<()> {
    if status.alarms.is_empty() {
        return writeln!(out, "no alarms");
    }
    for alarm in &status.alarms {
        let (begin, end) = match (colour, alarm.severity.as_str()) {
            (true, "critical") => ("\x1b[1;31m", "\x1b[0m"),
            (true, _) => ("\x1b[33m", "\x1b[0m"),
            (false, _) => ("", ""),
        };
        let since = ago(alarm.since_ms, status.now_ms);
        writeln!(out, "{begin}{} {}{end} ({since}): {}", alarm.severity, alarm.name, harmless(&alarm.text))?;
        writeln!(out, "  {}", harmless(&alarm.remedy))?;
    }
    Ok(())
}

fn write_status(out: &mut dyn Write, status: &Status, colour: bool) -> io::Result<()> {
    let now = status.now_ms;
    writeln!(out, "gatepost {} on {}", status.version, harmless(&status.server_name))?;
    if !status.alarms.is_empty() {
        write_alarms(out, status, colour)?;
    }
    if !status.obstacles.is_empty() {
        write_ready(out, status)?;
    }
    let mut facts = Table::plain();
    let counters = &status.counters;
    let spool = &status.spool;
    let listeners: Vec<_> = status
        .listeners
        .iter()
        .map(|listener| format!("{}{}", listener.address, if listener.implicit_tls { " (TLS)" } else { "" }))
        .collect();
    let recovering = match (status.recovering, spool.unread_bytes, spool.unreleased) {
        (false, ..) => String::new(),
        (true, 0, 0) => "; messages of the last run are still being queued".to_owned(),
        (true, 0, left) => format!("; {} of the last run still to be queued", count(left, "message", "messages")),
        (true, unread_bytes, _) => format!("; recovering the last run's, {} still to be read", size(unread_bytes)),
    };
    facts.row(&[
        "  started",
        &format!("{} ({}), process {}", moment(status.started_ms), ago(status.started_ms, now), status.process_id),
    ]);
    facts.row(&[
        "  settings",
        &format!(
            "{}, revision {}, in force since {} ({})",
            status.config,
            status.revision,
            moment(status.revision_since_ms),
            ago(status.revision_since_ms, now)
        ),
    ]);
    facts.row(&["  data folder", &status.data_dir]);
    facts.row(&["  listening on", &if listeners.is_empty() { "nothing".to_owned() } else { listeners.join(", ") }]);
    facts.row(&["  connections", &format!("{} in, {} out", status.connections.inbound, status.connections.outbound)]);
    facts.row(&[
        "  received",
        &format!(
            "{} accepted, {} refused, {} ({} refused)",
            count(counters.messages_accepted, "message", "messages"),
            count(counters.refusals, "command", "commands"),
            count(counters.connections, "connection", "connections"),
            counters.connections_refused,
        ),
    ]);
    let asked = match counters.recipients_asked {
        0 => String::new(),
        asked => format!("; {} to next hops", count(asked, "question", "questions")),
    };
    facts.row(&[
        "  recipients",
        &format!(
            "{} delivered, {} deferred, {} failed; {}{asked}",
            counters.delivered,
            counters.deferred,
            counters.failed,
            count(counters.reports, "report", "reports"),
        ),
    ]);
    facts.row(&[
        "  spool",
        &format!(
            "{} waiting ({}), {} on disk{recovering}",
            count(spool.messages, "message", "messages"),
            size(spool.live_bytes),
            size(spool.disk_bytes),
        ),
    ]);
    let tracking = &status.tracking;
    for (title, room) in [
        ("  passports", &tracking.passports),
        ("  message records", &tracking.messages),
        ("  refusal records", &tracking.refusals),
    ] {
        facts.row(&[title, &records(room, now)]);
    }
    if tracking.counted > 0 {
        let counted = count(tracking.counted, "refusal", "refusals");
        facts.row(&["  floods", &format!("{counted} counted since the start, not recorded one by one")]);
    }
    for fault in &status.tls_faults {
        let told = format!("{}: {}; {} is not there", fault.connector, fault.consequence, fault.certificate);
        facts.row(&["  certificate", &harmless(&told)]);
    }
    for fault in &status.logon_faults {
        let told = format!(
            "{}: {} does not let us in since {} ({}): {}",
            fault.connector,
            fault.host,
            moment(fault.since_ms),
            count(fault.attempts, "attempt", "attempts"),
            fault.reply
        );
        facts.row(&["  logon", &harmless(&told)]);
    }
    if spool.set_aside > 0 {
        facts.row(&[
            "  damaged",
            &format!(
                "{} set aside: see the folder set-aside in the spool",
                count(spool.set_aside, "record", "records")
            ),
        ]);
    }
    if spool.failures > 0 {
        facts.row(&[
            "  disk",
            &format!("{} failed since the start: see the log", count(spool.failures, "write", "writes")),
        ]);
    }
    for queue in status.queues.iter().filter(|queue| queue.identity == "Poison" && queue.messages > 0) {
        let held = count(queue.messages, "message is", "messages are");
        let text = format!(
            "{held} held back: the server ended uncleanly while it worked on them; see `gatepost queue list --filter \"Queue -like '*Poison'\"`"
        );
        facts.row(&["  poison", &text]);
    }
    let suspended = status.queues.iter().filter(|queue| queue.suspended).count() as u64;
    if suspended > 0 {
        let text = format!(
            "{}: nothing is delivered from there until `gatepost queue resume`",
            count(suspended, "queue", "queues")
        );
        facts.row(&["  suspended", &text]);
    }
    facts.row(&["  back pressure", &pressure(&status.back_pressure)]);
    for pressed in status.back_pressure.iter().filter(|resource| resource.level > PressureLevel::Normal) {
        facts.row(&["", &described(pressed)]);
    }
    facts.write(out)?;
    write_queues(out, &status.queues, now)
}

/// All resources in a line, with the level of the one that is pressed hardest.
fn pressure(resources: &[PressedResource]) -> String {
    let Some(hardest) = resources.iter().map(|resource| resource.level).max() else {
        return "not measured yet".to_owned();
    };
    let each = resources.iter().map(|resource| format!("{} {}", resource.resource, measured(resource)));
    format!("{}: {}", level(hardest), each.collect::<Vec<_>>().join(", "))
}

fn level(level: PressureLevel) -> &'static str {
    match level {
        PressureLevel::Normal => "Normal",
        PressureLevel::Medium => "Medium",
        PressureLevel::High => "High",
    }
}

fn measured(resource: &PressedResource) -> String {
    match (&resource.exhausted, resource.measured) {
        (Some(exhausted), _) => exhausted.clone(),
        (None, Some(measured)) if resource.unit == "percent" => format!("{measured:.0} %"),
        (None, measured) => format!("{:.0}", measured.unwrap_or_default()),
    }
}

/// A resource that is pressed: what it means, and when it ends.
fn described(resource: &PressedResource) -> String {
    let mut text = format!("{} is {} at {}", resource.resource, level(resource.level), measured(resource));
    if let (Some(thresholds), None) = (&resource.thresholds, &resource.exhausted) {
        let end = match resource.level {
            PressureLevel::High => thresholds.high_to_medium,
            PressureLevel::Normal | PressureLevel::Medium => thresholds.medium_to_low,
        };
        text += &format!(" until it is below {end:.0}");
    }
    format!("{text}: {}", resource.consequence)
}

/// How far back records of decisions go, and what is missing.
fn records(room: &RecordRoom, now: u64) -> String {
    let mut text = match room.oldest_ms {
        Some(oldest) => format!("since {} ({}), ", moment(oldest), ago(oldest, now)),
        None => String::new(),
    };
    text += &format!("{} of {}", size(room.bytes), size(room.max_bytes));
    for (number, what) in [(room.dropped, "left out"), (room.damaged, "damaged")] {
        if number > 0 {
            text += &format!(", {} {what}", count(number, "record", "records"));
        }
    }
    text
}

fn write_queues(out: &mut dyn Write, queues: &[Queue], now: u64) -> io::Result<()> {
    if queues.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table =
        Table::new(&["NEXT HOP", "CONNECTOR", "STATE", "MESSAGES", "CONNECTIONS", "NEXT TRY", "LAST ERROR"]);
    for queue in queues {
        let state = match queue.state {
            QueueState::Active => "Active",
            QueueState::Connecting => "Connecting",
            QueueState::Ready => "Ready",
            QueueState::Retry => "Retry",
            QueueState::Suspended => "Suspended",
        };
        table.row(&[
            &queue.next_hop,
            if queue.connector.is_empty() { "-" } else { &queue.connector },
            state,
            &queue.messages.to_string(),
            &queue.connections.to_string(),
            &queue.next_retry_ms.map_or("-".to_owned(), |next| ahead(next, now)),
            queue.last_error.as_deref().unwrap_or("-"),
        ]);
    }
    table.write(out)
}
