//! What somebody has to be told, because nobody reads logs: a route that is silently dead, a certificate that ends.
//!
//! Takes what is known of the running server at one moment, and the alarms that were raised before; hands on those that are
//! raised now, each with its reason and what to do. What ends is held for a while, so that an alarm that comes and goes is
//! one alarm. Reads no clock and asks nobody.

use std::fmt;

use crate::back_pressure::{Level, Measured};
use crate::monitoring::AlarmSettings;
use crate::note::instant;
use crate::resource::Resource;
use crate::settings::Settings;

/// An alarm whose cause has gone stays for so long, so that one that comes back is no news.
pub const HOLD_MS: u64 = 5 * MINUTE_MS;
/// Records that were left out are told of for so long.
const RECENT_MS: u64 = 60 * MINUTE_MS;
/// A disk that has not answered for so long hangs.
const DISK_SILENCE_MS: u64 = MINUTE_MS / 2;
/// At most so many alarms are raised at a time; the worst come first.
pub const ALARMS_MAX: usize = 200;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The threads that write the spool have ended.
    SpoolDead,
    /// The disk of the spool does not answer.
    DiskSilent,
    /// A route had mail, and delivered none of it.
    RouteSilent,
    /// A next hop refuses the name and password that we log on with.
    LogonRefused,
    /// A resource is pressed.
    BackPressure,
    /// A file system is nearly full.
    DiskNearlyFull,
    /// A message waits for too long.
    OldMessage,
    /// A certificate of ours ends soon, or has ended.
    CertificateExpires,
    /// A connector asks for a certificate that is not there.
    CertificateMissing,
    /// A range or an entry ends soon, or has ended.
    EntryExpires,
    /// Records of the spool are damaged.
    SpoolDamaged,
    /// Messages that have crashed the server wait for a person.
    PoisonMessages,
    /// The settings file is not what is in force.
    ReloadFailed,
    /// Records of what happened were left out.
    RecordsDropped,
}

impl Kind {
    /// All of them, the worst first.
    pub const ALL: [Kind; 14] = [
        Kind::SpoolDead,
        Kind::DiskSilent,
        Kind::RouteSilent,
        Kind::LogonRefused,
        Kind::BackPressure,
        Kind::DiskNearlyFull,
        Kind::OldMessage,
        Kind::CertificateExpires,
        Kind::CertificateMissing,
        Kind::EntryExpires,
        Kind::SpoolDamaged,
        Kind::PoisonMessages,
        Kind::ReloadFailed,
        Kind::RecordsDropped,
    ];

    /// Its name in status, metrics and webhooks.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::SpoolDead => "spool_dead",
            Kind::DiskSilent => "disk_silent",
            Kind::RouteSilent => "route_silent",
            Kind::LogonRefused => "logon_refused",
            Kind::BackPressure => "back_pressure",
            Kind::DiskNearlyFull => "disk_nearly_full",
            Kind::OldMessage => "old_message",
            Kind::CertificateExpires => "certificate_expires",
            Kind::CertificateMissing => "certificate_missing",
            Kind::EntryExpires => "entry_expires",
            Kind::SpoolDamaged => "spool_damaged",
            Kind::PoisonMessages => "poison_messages",
            Kind::ReloadFailed => "reload_failed",
            Kind::RecordsDropped => "records_dropped",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Mail goes on; somebody should look within days.
    Warning,
    /// Mail is not delivered or not taken, or will not be within a day.
    Critical,
}

impl Severity {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One alarm that is raised. Kind and object together say which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What it is about.
    pub kind: Kind,
    /// Which connector, file or resource; empty where there is only one. Names of settings, never of peers.
    pub object: Box<str>,
    /// How bad it is.
    pub severity: Severity,
    /// Since when it is raised, Unix time in milliseconds.
    pub since_ms: u64,
    /// When its cause was seen last.
    pub seen_ms: u64,
    /// What is wrong, in a sentence.
    pub text: Box<str>,
    /// What to do about it.
    pub remedy: Box<str>,
}

impl Alarm {
    /// Whether both are the same alarm, however it is worded by now.
    pub fn is_same(&self, other: &Alarm) -> bool {
        self.kind == other.kind && self.object == other.object
    }
}

/// How a route is doing: a send connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The send connector.
    pub connector: Box<str>,
    /// Messages that wait for it.
    pub waiting: u64,
    /// Arrival of the oldest of them.
    pub oldest_ms: Option<u64>,
    /// The first attempt that failed since something was delivered there; none: nothing has failed since.
    pub failing_since_ms: Option<u64>,
    /// The last attempt that failed.
    pub last_failure_ms: Option<u64>,
    /// The last delivery there.
    pub last_success_ms: Option<u64>,
    /// When a next hop refused our logon last, and none has taken it since.
    pub logon_refused_ms: Option<u64>,
    /// What next hops said last, or what we say of them.
    pub last_error: Option<Box<str>>,
}

/// A resource as it was measured last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// Which.
    pub resource: Resource,
    /// How hard it is pressed.
    pub level: Level,
    /// What was measured.
    pub measured: Measured,
}

/// What is known of the running server at one moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Send connectors, with an empty name for what needs none.
    pub routes: Vec<Route>,
    /// Our certificates by their files, and until when they are valid.
    pub certificates: Vec<(Box<str>, u64)>,
    /// Connectors whose certificate is not there, and what comes of it.
    pub certificates_missing: Vec<(Box<str>, &'static str)>,
    /// Resources.
    pub resources: Vec<Pressed>,
    /// Whether the threads that write the spool are there.
    pub spool_is_alive: bool,
    /// For how long the disk has been asked to write one batch.
    pub disk_silent_ms: u64,
    /// Damaged records that were set aside.
    pub set_aside: u64,
    /// Messages that wait because they crashed the server.
    pub poison: u64,
    /// When records of decisions were left out last, by room.
    pub records_dropped_ms: Vec<(&'static str, u64)>,
    /// Since when the settings file cannot be put in force, and why.
    pub reload_failed: Option<(u64, Box<str>)>,
}

/// The alarms that are raised now, the worst first.
pub fn decide(settings: &Settings, facts: &Facts, before: &[Alarm], now_ms: u64) -> Vec<Alarm> {
    let limits = &settings.monitoring.alarms;
    let mut raised = Raised { before, alarms: Vec::new(), now_ms };
    about_the_spool(facts, &mut raised);
    for route in &facts.routes {
        about_a_route(limits, route, &mut raised);
    }
    for pressed in &facts.resources {
        about_a_resource(limits, pressed, &mut raised);
    }
    about_certificates(limits, facts, &mut raised);
    about_entries(settings, limits, &mut raised);
    if facts.poison > 0 {
        let text = format!("{} messages wait because the server crashed while it worked on them", facts.poison);
        let remedy = "look at them with `gatepost queue list`, and resume or remove each";
        raised.raise(Kind::PoisonMessages, "", Severity::Warning, text, remedy);
    }
    if let Some((since_ms, reason)) = &facts.reload_failed {
        let text = format!("the settings file could not be put in force at {}: {reason}", instant(*since_ms));
        let remedy = "correct it (`gatepost check` says where) and reload; the old settings are in force";
        raised.raise(Kind::ReloadFailed, "", Severity::Warning, text, remedy);
    }
    for (room, last_ms) in &facts.records_dropped_ms {
        if now_ms.saturating_sub(*last_ms) < RECENT_MS {
            let text = format!("records of {room} were left out, the last at {}", instant(*last_ms));
            let remedy = "the disk of the data folder is full or too slow: see `gatepost status`";
            raised.raise(Kind::RecordsDropped, room, Severity::Warning, text, remedy);
        }
    }
    raised.hold();
    let mut alarms = raised.alarms;
    alarms.sort_by(|a, b| (b.severity, a.kind, &a.object).cmp(&(a.severity, b.kind, &b.object)));
    alarms.truncate(ALARMS_MAX);
    alarms
}

/// Alarms while they are gathered.
struct Raised<'a> {
    before: &'a [Alarm],
    alarms: Vec<Alarm>,
    now_ms: u64,
}

impl Raised<'_> {
    fn was_raised(&self, kind: Kind, object: &str) -> Option<&Alarm> {
        self.before.iter().find(|alarm| alarm.kind == kind && *alarm.object == *object)
    }

    fn raise(&mut self, kind: Kind, object: &str, severity: Severity, text: impl Into<Box<str>>, remedy: &str) {
        let since_ms = self.was_raised(kind, object).map_or(self.now_ms, |before| before.since_ms);
        let (text, remedy) = (text.into(), remedy.into());
        let alarm = Alarm { kind, object: object.into(), severity, since_ms, seen_ms: self.now_ms, text, remedy };
        // Two entries of one connector are one alarm: the worse of them.
        match self.alarms.iter_mut().find(|raised| raised.is_same(&alarm)) {
            None => self.alarms.push(alarm),
            Some(raised) if raised.severity < alarm.severity => *raised = alarm,
            Some(_) => {}
        }
    }

    /// What was raised before and has no cause now stays a while. A clock that was set back must not make that for ever.
    fn hold(&mut self) {
        for before in self.before {
            let is_held = before.seen_ms <= self.now_ms && self.now_ms - before.seen_ms < HOLD_MS;
            if is_held && !self.alarms.iter().any(|alarm| alarm.is_same(before)) {
                self.alarms.push(before.clone());
            }
        }
    }
}

fn about_the_spool(facts: &Facts, raised: &mut Raised<'_>) {
    if !facts.spool_is_alive {
        let text = "a thread that writes the spool has ended by a fault of ours: no message is accepted";
        raised.raise(
            Kind::SpoolDead,
            "",
            Severity::Critical,
            text,
            "restart the server, and report the log lines before this",
        );
    }
    if facts.disk_silent_ms >= DISK_SILENCE_MS {
        let text = format!("the disk of the spool has not answered for {} seconds", facts.disk_silent_ms / 1_000);
        let remedy = "look at the disk and its controller; messages wait for their 250 meanwhile";
        raised.raise(Kind::DiskSilent, "", Severity::Critical, text, remedy);
    }
    if facts.set_aside > 0 {
        let text = format!("{} damaged records of the spool were set aside", facts.set_aside);
        let remedy = "`gatepost spool verify` names them; look into the folder set-aside, then move it away";
        raised.raise(Kind::SpoolDamaged, "", Severity::Warning, text, remedy);
    }
}

fn about_a_route(limits: &AlarmSettings, route: &Route, raised: &mut Raised<'_>) {
    let now_ms = raised.now_ms;
    let name =
        if route.connector.is_empty() { "delivery here".into() } else { format!("send connector {}", route.connector) };
    let last_error = route.last_error.as_deref().map_or(String::new(), |error| format!("; last: {error}"));
    if let Some(since_ms) = route.failing_since_ms {
        // A single recipient who is refused and nothing to send since is no silent route.
        let until_ms = if route.waiting > 0 { now_ms } else { route.last_failure_ms.unwrap_or(since_ms) };
        let limit_ms = milliseconds(limits.route_silence);
        if until_ms.saturating_sub(since_ms) >= limit_ms {
            let success =
                route.last_success_ms.map_or(String::new(), |ms| format!("; its last delivery was on {}", instant(ms)));
            let text = format!(
                "{name} has delivered nothing since {}, though it had mail; {} wait{success}{last_error}",
                instant(since_ms),
                route.waiting
            );
            let remedy = "see `gatepost queue list` and `gatepost status`; `gatepost queue retry` tries at once";
            raised.raise(Kind::RouteSilent, &route.connector, Severity::Critical, text, remedy);
        }
    }
    if let Some(refused_ms) = route.logon_refused_ms {
        let text = format!("{name}: a next hop refused our logon at {}{last_error}", instant(refused_ms));
        let remedy = "renew name and password of the connector; the password may have expired";
        raised.raise(Kind::LogonRefused, &route.connector, Severity::Critical, text, remedy);
    }
    if let Some(oldest_ms) = route.oldest_ms {
        let (age_ms, limit_ms) = (now_ms.saturating_sub(oldest_ms), milliseconds(limits.oldest_message));
        if age_ms >= limit_ms {
            let text = format!("{name}: a message has waited for {}{last_error}", span(age_ms));
            let remedy = "see `gatepost queue list`; suspend, redirect or remove what cannot be delivered";
            raised.raise(Kind::OldMessage, &route.connector, Severity::Warning, text, remedy);
        }
    }
}

fn about_a_resource(limits: &AlarmSettings, pressed: &Pressed, raised: &mut Raised<'_>) {
    let name = pressed.resource.name();
    let severity = match pressed.level {
        Level::Normal => None,
        Level::Medium => Some((Severity::Warning, "strangers are refused")),
        Level::High => Some((Severity::Critical, "all mail is refused")),
    };
    if let Some((severity, consequence)) = severity {
        let text = format!("back pressure: {name} is {}, {consequence}", pressed.level.name());
        raised.raise(Kind::BackPressure, name, severity, text, "make room: see `gatepost status`");
    }
    if !matches!(
        pressed.resource,
        Resource::SpoolSpace | Resource::DataSpace | Resource::SpoolFiles | Resource::DataFiles
    ) {
        return;
    }
    // It is raised at the limit, and falls when there is a little more room than that.
    let was_raised = raised.was_raised(Kind::DiskNearlyFull, name).is_some();
    let limit = u64::from(limits.used_disk_space) * 100;
    let limit = if was_raised { limit.saturating_sub(200) } else { limit };
    let (is_full, used) = match pressed.measured {
        Measured::Exhausted(why) => (true, why.to_owned()),
        Measured::Amount(share) => (share >= limit, format!("{} %", share / 100)),
    };
    if is_full {
        let text = format!("{name} is at {used}");
        let remedy = "make room on the file system, or give it more";
        raised.raise(Kind::DiskNearlyFull, name, Severity::Warning, text, remedy);
    }
}

fn about_certificates(limits: &AlarmSettings, facts: &Facts, raised: &mut Raised<'_>) {
    for (file, expires_ms) in &facts.certificates {
        let Some((severity, when)) = ends(limits, *expires_ms, raised.now_ms) else { continue };
        let text = format!("the certificate {file} {when}");
        raised.raise(Kind::CertificateExpires, file, severity, text, "put a new one in its place and reload");
    }
    for (connector, consequence) in &facts.certificates_missing {
        let text = format!("{connector}: its certificate is not there: {consequence}");
        let remedy = "correct tls_certificate_name, or declare the certificate in [[certificate]]";
        raised.raise(Kind::CertificateMissing, connector, Severity::Warning, text, remedy);
    }
}

/// Ranges and entries: one alarm for each connector, about what ends first. What has ended long ago is the audit's business.
fn about_entries(settings: &Settings, limits: &AlarmSettings, raised: &mut Raised<'_>) {
    for connector in settings.receive_connectors.iter().filter(|connector| connector.enabled) {
        let ranges = connector.remote_ip_ranges.iter();
        let ranges = ranges.filter_map(|range| Some((range.note.as_ref()?.expires_ms?, format!("the range {range}"))));
        let entries = connector.entries.iter();
        let entries = entries
            .filter_map(|entry| Some((entry.note.as_ref()?.expires_ms?, format!("the entry for {}", entry.trustee))));
        let is_news =
            |expires_ms: u64| expires_ms.saturating_add(u64::from(limits.expiry_days) * DAY_MS) > raised.now_ms;
        let next = ranges.chain(entries).filter(|(expires_ms, _)| is_news(*expires_ms)).min();
        let Some((expires_ms, what)) = next else { continue };
        let Some((severity, when)) = ends(limits, expires_ms, raised.now_ms) else { continue };
        // Its end was meant to come: mail of others is not concerned.
        let severity = severity.min(Severity::Warning);
        let text = format!("{what} of {} {when}", connector.name);
        raised.raise(
            Kind::EntryExpires,
            &connector.name,
            severity,
            text,
            "renew `expires`, or remove it: see `gatepost audit`",
        );
    }
}

/// How bad it is that something ends then, and the words for it; `None` while it is far away.
fn ends(limits: &AlarmSettings, expires_ms: u64, now_ms: u64) -> Option<(Severity, String)> {
    let left_ms = expires_ms.saturating_sub(now_ms);
    if left_ms > u64::from(limits.expiry_days) * DAY_MS {
        return None;
    }
    Some(match (left_ms, left_ms / DAY_MS) {
        (0, _) => (Severity::Critical, format!("has expired on {}", instant(expires_ms))),
        (_, 0) => (Severity::Critical, format!("expires within a day, on {}", instant(expires_ms))),
        (_, days) => (Severity::Warning, format!("expires in {days} days, on {}", instant(expires_ms))),
    })
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn span(ms: u64) -> String {
    match ms / MINUTE_MS {
        minutes @ 0..120 => format!("{minutes} minutes"),
        minutes if minutes < 2 * 24 * 60 => format!("{} hours", minutes / 60),
        minutes => format!("{} days", minutes / 60 / 24),
    }
}
