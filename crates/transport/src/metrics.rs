//! Everything about the running server that is a number, under the names that monitoring knows it by.
//!
//! Takes counters and states as they are at one moment, hands on families of samples; how they are written, the doors
//! decide. Each family is there at any time, with or without samples, so that the list of names is always whole. Labels
//! are names of settings and of variants: no peer can make one. Looks into queues and `/proc`, so it may block.

use std::collections::BTreeMap;
use std::sync::Arc;

use gatepost_policy::back_pressure::Level;
use gatepost_spool::FLUSH_BOUNDS;

use crate::clock::now_ms;
pub use crate::counters::Distribution;
use crate::counters::{distribution, read};
use crate::inspect::state_of;
use crate::listing::QueueState;
use crate::state::Running;

mod process;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the server ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many took how long, in seconds.
    Histogram,
}

/// All numbers of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name; a counter's without the `_total` that follows it where it is written.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub help: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The numbers.
    pub samples: Vec<Sample>,
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which of its name it is.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: Value,
}

/// The number of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Counted.
    Whole(u64),
    /// Measured.
    Real(f64),
    /// Counted by how long it took.
    Distribution(Distribution),
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Whole(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Real(value)
    }
}

impl From<Distribution> for Value {
    fn from(value: Distribution) -> Value {
        Value::Distribution(value)
    }
}

/// The list while it is made.
#[derive(Default)]
struct Families(Vec<Family>);

impl Families {
    fn counter(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.begin(name, help, Kind::Counter)
    }

    fn gauge(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.begin(name, help, Kind::Gauge)
    }

    fn histogram(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.begin(name, help, Kind::Histogram)
    }

    fn begin(&mut self, name: &'static str, help: &'static str, kind: Kind) -> &mut Family {
        self.0.push(Family { name, help, kind, samples: Vec::new() });
        self.0.last_mut().expect("it was just pushed")
    }
}

impl Family {
    fn is(&mut self, value: impl Into<Value>) {
        self.sample([], value);
    }

    fn sample<const N: usize>(&mut self, labels: [(&'static str, &str); N], value: impl Into<Value>) {
        let labels = labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        self.samples.push(Sample { labels, value: value.into() });
    }
}

/// Every number there is.
pub fn gather(running: &Running) -> Vec<Family> {
    let mut families = Families::default();
    about_the_server(running, &mut families);
    received(running, &mut families);
    sent(running, &mut families);
    queued(running, &mut families);
    stored(running, &mut families);
    pressed(running, &mut families);
    process::measure(&mut families);
    families.0
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn about_the_server(running: &Running, families: &mut Families) {
    let revision = running.revision();
    let text = "The running program, by its version; always 1.";
    families.gauge("gatepost_build_info", text).sample([("version", running.version)], 1);
    let text = "When the server started, Unix time.";
    families.gauge("gatepost_start_time_seconds", text).is(seconds(running.started_ms));
    let text = "Number of the settings revision in force: one more with each reload.";
    families.gauge("gatepost_settings_revision", text).is(revision.number);
    let text = "Since when the settings are in force, Unix time.";
    families.gauge("gatepost_settings_since_seconds", text).is(seconds(revision.since_ms));
    let text = "Settings that could not be put in force; the old ones stayed.";
    families.counter("gatepost_reload_failures", text).is(read(&running.counters.reload_failures));
    let text = "Whether messages of the last run are still being put into their queues.";
    let recovering = running.recovering.load(std::sync::atomic::Ordering::Relaxed);
    families.gauge("gatepost_recovering", text).is(recovering);
    let text = "Until when a certificate of ours is valid, Unix time, by its file.";
    let family = families.gauge("gatepost_certificate_expiry_seconds", text);
    for expiry in revision.tls.expiries() {
        family.sample([("file", &expiry.file.to_string_lossy())], seconds(expiry.expires_ms));
    }
    let text =
        "What somebody has to be told: 1 while the alarm is raised; see the chapter on monitoring for the names.";
    let family = families.gauge("gatepost_alarm", text);
    for alarm in running.alarms.raised() {
        let labels = [("name", alarm.kind.name()), ("object", &*alarm.object), ("severity", alarm.severity.name())];
        family.sample(labels, 1);
    }
    let text = "Whether the server takes mail.";
    families.gauge("gatepost_ready", text).is(crate::inspect::health(running).obstacles.is_empty());
    let text = "Connectors whose certificate is not there.";
    families.gauge("gatepost_certificates_missing", text).is(revision.tls.faults().len() as u64);
}

fn received(running: &Running, families: &mut Families) {
    let all = running.counters.receive.all();
    let text = "Connections from peers, by receive connector; without one: nobody answers for the peer.";
    let family = families.counter("gatepost_connections", text);
    family.sample([("connector", "")], read(&running.counters.connections_unheard));
    for (name, counted) in &all {
        family.sample([("connector", name)], read(&counted.connections));
    }
    let text = "Connections from peers that are open now.";
    families.gauge("gatepost_connections_open", text).is(running.connections.total());
    let text = "Refused commands and contents, by receive connector, command and reason.";
    let family = families.counter("gatepost_refusals", text);
    for (name, counted) in &all {
        for (command, reason, count) in counted.all_refused() {
            family.sample([("connector", name), ("command", command), ("reason", reason)], count);
        }
    }
    let text = "TLS handshakes with peers, by receive connector and version; `failed` where there was none.";
    let family = families.counter("gatepost_tls_handshakes", text);
    for (name, counted) in &all {
        for (version, count) in counted.handshakes.all() {
            family.sample([("connector", name), ("version", version)], count);
        }
    }
    let text = "Accepted messages, by receive connector and by what the peer was taken for.";
    let family = families.counter("gatepost_messages_accepted", text);
    for (name, counted) in &all {
        for (principal, count) in counted.all_accepted() {
            family.sample([("connector", name), ("principal", principal)], count);
        }
    }
    let text = "Bytes of accepted messages.";
    let family = families.counter("gatepost_accepted_bytes", text);
    for (name, counted) in &all {
        family.sample([("connector", name)], read(&counted.bytes));
    }
    let text = "Recipients of accepted messages, with groups replaced by their members.";
    let family = families.counter("gatepost_recipients_accepted", text);
    for (name, counted) in &all {
        family.sample([("connector", name)], read(&counted.recipients));
    }
    let text = "Time from the end of the content to the reply 250.";
    let family = families.histogram("gatepost_accept_seconds", text);
    for (name, counted) in &all {
        family.sample([("connector", name)], counted.accept.distribution());
    }
    let text = "Questions about a recipient that next hops were asked.";
    families.counter("gatepost_recipients_asked", text).is(read(&running.counters.recipients_asked));
}

fn sent(running: &Running, families: &mut Families) {
    let all = running.counters.send.all();
    let text = "Recipients by send connector and by what became of them at an attempt; deferred are also those who begin \
                to wait for a connection, once; without connector: mailboxes here, and recipients without a route.";
    let family = families.counter("gatepost_recipients", text);
    for (name, counted) in &all {
        for (outcome, count) in counted.all_endings() {
            family.sample([("connector", name), ("outcome", outcome)], count);
        }
    }
    let text = "Answers for a recipient, by send connector, by who gave them (`next_hop`, or `here` in its place), by \
                the class of their code and the code.";
    let family = families.counter("gatepost_attempts", text);
    for (name, counted) in &all {
        for (by, code, count) in counted.all_replies() {
            let class = code.strip_prefix("other ").unwrap_or(match code.as_bytes() {
                [b'2', ..] => "2xx",
                [b'4', ..] => "4xx",
                _ => "5xx",
            });
            let code = if code.len() == 3 { code } else { "other" };
            family.sample([("connector", name), ("by", by), ("class", class), ("code", code)], count);
        }
    }
    let text = "Time from the arrival of a message until a recipient of it was delivered or given up.";
    let family = families.histogram("gatepost_delivery_seconds", text);
    for (name, counted) in &all {
        family.sample([("connector", name)], counted.delivery.distribution());
    }
    let text = "Connections to next hops, by send connector and by whether they could be opened.";
    let family = families.counter("gatepost_outbound_connections", text);
    for (name, counted) in all.iter().filter(|(name, _)| !name.is_empty()) {
        family.sample([("connector", name), ("result", "opened")], read(&counted.connections));
        family.sample([("connector", name), ("result", "failed")], read(&counted.connections_failed));
    }
    let text = "TLS handshakes with next hops, by send connector and version; `failed` where there was none.";
    let family = families.counter("gatepost_outbound_tls_handshakes", text);
    for (name, counted) in all.iter().filter(|(name, _)| !name.is_empty()) {
        for (version, count) in counted.handshakes.all() {
            family.sample([("connector", name), ("version", version)], count);
        }
    }
    let text = "Connections to next hops that are open now, or being opened.";
    families.gauge("gatepost_outbound_connections_open", text).is(read(&running.counters.outbound_connections));
    let text = "Reports made.";
    families.counter("gatepost_reports", text).is(read(&running.counters.reports));
}

/// The queues of one send connector together.
#[derive(Default)]
struct Together {
    messages: u64,
    oldest_ms: Option<u64>,
    /// Next hops by state.
    states: BTreeMap<&'static str, u64>,
}

fn queued(running: &Running, families: &mut Families) {
    let now = now_ms();
    let mut all: BTreeMap<Arc<str>, Together> = BTreeMap::new();
    for (name, _) in running.counters.send.all() {
        all.insert(name, Together::default());
    }
    for queue in running.queues.all() {
        let name = queue.connector.as_ref().map(|connector| connector.name.clone()).unwrap_or_default();
        let together = all.entry(name).or_default();
        let snapshot = queue.snapshot();
        together.messages += snapshot.entries;
        together.oldest_ms = together.oldest_ms.into_iter().chain(queue.oldest_ms()).min();
        *together.states.entry(state_name(state_of(&snapshot))).or_default() += 1;
    }
    let text = "Messages that wait, by send connector; one counts in each queue that it waits in.";
    let family = families.gauge("gatepost_queue_messages", text);
    for (name, together) in &all {
        family.sample([("connector", name)], together.messages);
    }
    let text = "Age of the oldest message that waits, by send connector.";
    let family = families.gauge("gatepost_queue_oldest_seconds", text);
    for (name, together) in &all {
        let age_ms = together.oldest_ms.map_or(0, |oldest_ms| now.saturating_sub(oldest_ms));
        family.sample([("connector", name)], seconds(age_ms));
    }
    let text = "Next hops that something waits for, by send connector and state; those in `retry` cannot be reached.";
    let family = families.gauge("gatepost_next_hops", text);
    for (name, together) in &all {
        for state in ["active", "connecting", "ready", "retry", "suspended"] {
            let count = together.states.get(state).copied().unwrap_or_default();
            family.sample([("connector", name), ("state", state)], count);
        }
    }
}

fn state_name(state: QueueState) -> &'static str {
    match state {
        QueueState::Active => "active",
        QueueState::Connecting => "connecting",
        QueueState::Ready => "ready",
        QueueState::Retry => "retry",
        QueueState::Suspended => "suspended",
    }
}

fn stored(running: &Running, families: &mut Families) {
    let spool = running.spool.usage();
    for (name, text, value) in [
        ("gatepost_spool_messages", "Messages on the disk that are not at their end.", spool.messages),
        ("gatepost_spool_live_bytes", "Bytes of these messages.", spool.live_bytes),
        ("gatepost_spool_disk_bytes", "Bytes of all files of the spool.", spool.disk_bytes),
        ("gatepost_spool_segments", "Segment files of the spool's log.", spool.segments),
        ("gatepost_spool_set_aside", "Damaged records that were set aside, for a person to look at.", spool.set_aside),
        ("gatepost_spool_unread_bytes", "Bytes of the last run's log that are still to be read.", spool.unread_bytes),
        ("gatepost_spool_full", "Whether the disk was found full, so that messages are refused.", spool.is_full.into()),
    ] {
        families.gauge(name, text).is(value);
    }
    for (name, text, value) in [
        ("gatepost_spool_commits", "Messages made durable.", spool.commits),
        ("gatepost_spool_flushes", "Flushes of files and folders of the spool.", spool.flushes),
        ("gatepost_spool_failures", "Writes and flushes of the spool that failed.", spool.failures),
    ] {
        families.counter(name, text).is(value);
    }
    let text = "Time of the flushes of the spool's log.";
    let flushes = distribution(&FLUSH_BOUNDS, spool.flush_counts.into_iter(), spool.flush_micros);
    families.histogram("gatepost_spool_flush_seconds", text).is(flushes);
    let tracking = running.tracking.usage();
    let rooms = [("messages", tracking.messages), ("refusals", tracking.refusals)];
    let family = families.counter("gatepost_records_written", "Records of decisions written, by room.");
    for (room, usage) in &rooms {
        family.sample([("room", room)], usage.written);
    }
    let text = "Records of decisions left out, because the disk was full or could not keep up.";
    let family = families.counter("gatepost_records_dropped", text);
    for (room, usage) in &rooms {
        family.sample([("room", room)], usage.dropped);
    }
    let family = families.gauge("gatepost_records_bytes", "Bytes of the records of decisions.");
    for (room, usage) in &rooms {
        family.sample([("room", room)], usage.bytes);
    }
    let text = "Refusals that were counted and not recorded one by one: floods.";
    families.counter("gatepost_refusals_counted", text).is(tracking.counted);
}

fn pressed(running: &Running, families: &mut Families) {
    let all = running.back_pressure.all();
    let text = "How hard a resource is pressed: 0 Normal, 1 Medium (strangers are refused), 2 High (all mail is).";
    let family = families.gauge("gatepost_back_pressure_level", text);
    for metered in &all {
        let level: u64 = match metered.pressure.level {
            Level::Normal => 0,
            Level::Medium => 1,
            Level::High => 2,
        };
        family.sample([("resource", metered.reading.resource.name())], level);
    }
    let text = "How much of a resource is used, in bytes, files or messages.";
    let family = families.gauge("gatepost_resource_used", text);
    for metered in &all {
        family.sample([("resource", metered.reading.resource.name())], metered.reading.amount.used);
    }
    let text = "How much of a resource there is; 0 where there is no end.";
    let family = families.gauge("gatepost_resource_size", text);
    for metered in &all {
        family.sample([("resource", metered.reading.resource.name())], metered.reading.amount.total);
    }
}
