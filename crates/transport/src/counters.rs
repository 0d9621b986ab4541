//! What is counted while mail passes, and how it is counted without a lock.
//!
//! Takes single events from the path of a message, hands on numbers that only grow since the start. Each connector has
//! numbers of its own, which live as long as the server: a reload changes settings, not what has happened. Names come
//! from the settings alone, never from a peer, so there is an end to them ([`NAMES_MAX`]). Never decides anything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use gatepost_mail::Reply;
use gatepost_policy::Refusal;
use gatepost_policy::access_entry::Principal;
use gatepost_policy::alarm::Route;

/// So many connectors of one direction have numbers of their own. Whoever renames connectors by a script at every
/// reload counts the later ones together, under [`OTHERS`].
pub const NAMES_MAX: usize = 1_000;
/// The name of connectors beyond [`NAMES_MAX`].
pub const OTHERS: &str = "(others)";

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds several.
pub fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Reads a counter.
pub fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Counters since start.
#[derive(Default)]
pub struct Counting {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused: limits, or no connector for the peer.
    pub connections_refused: AtomicU64,
    /// Of those, connections that no connector is for.
    pub connections_unheard: AtomicU64,
    /// Messages accepted.
    pub messages_accepted: AtomicU64,
    /// Commands and contents refused by a decision.
    pub refusals: AtomicU64,
    /// Questions about a recipient that a next hop was asked.
    pub recipients_asked: AtomicU64,
    /// Recipients delivered.
    pub delivered: AtomicU64,
    /// Attempts that are to be repeated.
    pub deferred: AtomicU64,
    /// Recipients given up.
    pub failed: AtomicU64,
    /// Reports made.
    pub reports: AtomicU64,
    /// Settings that could not be put in force.
    pub reload_failures: AtomicU64,
    /// Connections to next hops that are open now, or being opened.
    pub outbound_connections: AtomicU64,
    /// By receive connector.
    pub receive: ByName<ReceiveCounting>,
    /// By send connector; the empty name is mail that no send connector takes: mailboxes here, recipients without a way.
    pub send: ByName<SendCounting>,
}

/// Numbers by the name of a connector.
#[derive(Default)]
pub struct ByName<T>(RwLock<BTreeMap<Arc<str>, Arc<T>>>);

impl<T: Default> ByName<T> {
    /// The numbers of a connector. Asked once for a connection or a worker, not for each message.
    pub fn of(&self, name: &Arc<str>) -> Arc<T> {
        if let Some(numbers) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return numbers.clone();
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = if all.len() < NAMES_MAX { name.clone() } else { OTHERS.into() };
        all.entry(name).or_default().clone()
    }

    /// The numbers of a connector, where it has some.
    pub fn find(&self, name: &str) -> Option<Arc<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<T>)> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, numbers)| (name.clone(), numbers.clone())).collect()
    }
}

/// What a peer was at when it was turned away.
pub const COMMANDS: [&str; 5] = ["CONNECT", "AUTH", "MAIL", "RCPT", "DATA"];
/// Why content was not taken that nobody objected to: the disk.
pub const NOT_STORED: &str = "NotStored";
/// Why a logon was put off that nobody had looked at.
pub const AUTHENTICATION_BUSY: &str = "AuthenticationBusy";
/// Every reason: those of decisions by their names, and the two that are none.
const REASONS: usize = Refusal::NAMES.len() + 2;

/// The name of a reason by its place.
fn reason_name(place: usize) -> &'static str {
    match place.checked_sub(Refusal::NAMES.len()) {
        None => Refusal::NAMES[place],
        Some(0) => NOT_STORED,
        Some(_) => AUTHENTICATION_BUSY,
    }
}

/// Kinds of principals, for numbers.
pub const PRINCIPALS: [&str; 6] = ["anonymous", "user", "server", "partner", "externally_secured", "legacy_server"];

/// The place of a principal's kind in [`PRINCIPALS`].
fn kind_of(principal: &Principal) -> usize {
    match principal {
        Principal::Anonymous => 0,
        Principal::User(_) => 1,
        Principal::Server(_) => 2,
        Principal::Partner(_) => 3,
        Principal::ExternallySecured => 4,
        Principal::LegacyServer => 5,
    }
}

/// Versions of TLS, and its absence where it failed.
pub const TLS_VERSIONS: [&str; 3] = ["TLS1.2", "TLS1.3", "failed"];

/// Handshakes by what came of them.
#[derive(Default)]
pub struct Handshakes([AtomicU64; TLS_VERSIONS.len()]);

impl Handshakes {
    /// One that ended in this version, as [`crate::tls::parameters`] names it.
    pub fn done(&self, version: &str) {
        count(&self.0[usize::from(version == TLS_VERSIONS[1])]);
    }

    /// One that failed.
    pub fn failed(&self) {
        count(&self.0[2]);
    }

    /// How many, by version.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        TLS_VERSIONS.into_iter().zip(self.0.iter().map(read))
    }
}

/// The numbers of one receive connector.
pub struct ReceiveCounting {
    /// Connections that came to it.
    pub connections: AtomicU64,
    /// When the last of them came, in Unix milliseconds; 0: none has come.
    pub last_connection_ms: AtomicU64,
    /// Recipients of accepted messages, groups replaced by their members.
    pub recipients: AtomicU64,
    /// Bytes of accepted messages, with our trace fields.
    pub bytes: AtomicU64,
    /// From the end of the content to the reply.
    pub accept: Histogram,
    /// TLS.
    pub handshakes: Handshakes,
    accepted: [AtomicU64; PRINCIPALS.len()],
    refusals: [[AtomicU64; REASONS]; COMMANDS.len()],
}

impl Default for ReceiveCounting {
    fn default() -> Self {
        ReceiveCounting {
            connections: AtomicU64::new(0),
            last_connection_ms: AtomicU64::new(0),
            recipients: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            accept: Histogram::new(&ACCEPT_BOUNDS),
            handshakes: Handshakes::default(),
            accepted: Default::default(),
            refusals: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
        }
    }
}

impl ReceiveCounting {
    /// A message was accepted.
    pub fn accepted(&self, principal: &Principal, recipients: usize, bytes: u64, took: Duration) {
        count(&self.accepted[kind_of(principal)]);
        add(&self.recipients, recipients as u64);
        add(&self.bytes, bytes);
        self.accept.note(took);
    }

    /// A command was refused by a decision.
    pub fn refused(&self, command: &str, refusal: Refusal) {
        self.refused_for(command, refusal.place());
    }

    /// Content was not taken because the disk did not.
    pub fn not_stored(&self) {
        self.refused_for("DATA", Refusal::NAMES.len());
    }

    /// A logon was put off because too many waited.
    pub fn authentication_busy(&self) {
        self.refused_for("AUTH", Refusal::NAMES.len() + 1);
    }

    fn refused_for(&self, command: &str, reason: usize) {
        let command = COMMANDS.iter().position(|known| *known == command).unwrap_or_default();
        count(&self.refusals[command][reason]);
    }

    /// Accepted messages by the principal's kind; kinds that brought none are left out.
    pub fn all_accepted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        PRINCIPALS.into_iter().zip(self.accepted.iter().map(read)).filter(|(_, count)| *count > 0)
    }

    /// Refusals by command and reason; those that never happened are left out.
    pub fn all_refused(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        COMMANDS.into_iter().zip(&self.refusals).flat_map(|(command, refusals)| {
            let refusals = refusals.iter().map(read).enumerate().filter(|(_, count)| *count > 0);
            refusals.map(move |(place, count)| (command, reason_name(place), count))
        })
    }
}

/// What can become of a recipient at an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It arrived.
    Delivered,
    /// It is tried again.
    Deferred,
    /// It is given up.
    Failed,
    /// It is given up because it has waited too long.
    Expired,
}

/// The names of [`Ending`], for numbers.
pub const ENDINGS: [&str; 4] = ["delivered", "deferred", "failed", "expired"];

/// Reply codes that are counted by themselves; others count as `other` with their class. A peer may say anything.
const CODES: [u16; 22] =
    [250, 251, 252, 421, 432, 450, 451, 452, 454, 455, 500, 501, 502, 503, 504, 530, 535, 550, 551, 552, 553, 554];
const CODE_NAMES: [&str; CODES.len() + 3] = [
    "250",
    "251",
    "252",
    "421",
    "432",
    "450",
    "451",
    "452",
    "454",
    "455",
    "500",
    "501",
    "502",
    "503",
    "504",
    "530",
    "535",
    "550",
    "551",
    "552",
    "553",
    "554",
    "other 2xx",
    "other 4xx",
    "other 5xx",
];

/// The numbers of one send connector.
pub struct SendCounting {
    /// Connections to next hops that were opened.
    pub connections: AtomicU64,
    /// Those that could not be.
    pub connections_failed: AtomicU64,
    /// From a message's arrival until it is delivered or given up, for each recipient.
    pub delivery: Histogram,
    /// TLS.
    pub handshakes: Handshakes,
    /// Whether it delivers.
    pub health: Health,
    endings: [AtomicU64; ENDINGS.len()],
    /// By who said it (we, the next hop) and by code.
    replies: [[AtomicU64; CODE_NAMES.len()]; 2],
}

impl Default for SendCounting {
    fn default() -> Self {
        SendCounting {
            connections: AtomicU64::new(0),
            connections_failed: AtomicU64::new(0),
            delivery: Histogram::new(&DELIVERY_BOUNDS),
            handshakes: Handshakes::default(),
            health: Health::default(),
            endings: Default::default(),
            replies: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
        }
    }
}

impl SendCounting {
    /// A recipient got an answer, from the next hop or from us in its place.
    pub fn replied(&self, reply: &Reply, is_remote: bool, now_ms: u64) {
        if is_remote && refuses_logon(reply) {
            self.health.logon_refused(now_ms);
        }
        let place = CODES.iter().position(|code| *code == reply.code).unwrap_or(match reply.code / 100 {
            2 => CODES.len(),
            4 => CODES.len() + 1,
            _ => CODES.len() + 2,
        });
        count(&self.replies[usize::from(is_remote)][place]);
    }

    /// What became of a recipient, and how long after its message arrived.
    pub fn ended(&self, ending: Ending, after_ms: u64, now_ms: u64) {
        count(&self.endings[ending as usize]);
        match ending {
            Ending::Delivered => self.health.succeeded(now_ms),
            Ending::Deferred | Ending::Failed | Ending::Expired => self.health.failed(now_ms),
        }
        if ending != Ending::Deferred {
            self.delivery.note(Duration::from_millis(after_ms));
        }
    }

    /// So many recipients begin to wait, for there is no connection to their next hop.
    pub fn deferred(&self, counters: &Counting, recipients: u64, now_ms: u64) {
        add(&counters.deferred, recipients);
        add(&self.endings[Ending::Deferred as usize], recipients);
        self.health.failed(now_ms);
    }

    /// Recipients by what became of them.
    pub fn all_endings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ENDINGS.into_iter().zip(self.endings.iter().map(read))
    }

    /// Answers by who said them and by code; those that nobody said are left out.
    pub fn all_replies(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        ["here", "next_hop"].into_iter().zip(&self.replies).flat_map(|(by, replies)| {
            let replies = CODE_NAMES.into_iter().zip(replies.iter().map(read)).filter(|(_, count)| *count > 0);
            replies.map(move |(code, count)| (by, code, count))
        })
    }
}

/// Whether this is what a next hop says to a name and password that it does not take, or to their absence (RFC 4954).
fn refuses_logon(reply: &Reply) -> bool {
    matches!(reply.code, 530 | 534 | 535 | 538)
}

/// Whether a route delivers. All times are Unix milliseconds; 0 is never.
#[derive(Default)]
pub struct Health {
    failing_since_ms: AtomicU64,
    last_failure_ms: AtomicU64,
    last_success_ms: AtomicU64,
    logon_refused_ms: AtomicU64,
}

impl Health {
    /// Something was delivered.
    pub fn succeeded(&self, now_ms: u64) {
        self.last_success_ms.store(now_ms, Ordering::Relaxed);
        for trouble in [&self.failing_since_ms, &self.logon_refused_ms] {
            // Written only if there was trouble: all workers share this line of memory.
            if read(trouble) > 0 {
                trouble.store(0, Ordering::Relaxed);
            }
        }
    }

    /// An attempt failed, or there was no connection for it.
    pub fn failed(&self, now_ms: u64) {
        self.last_failure_ms.store(now_ms, Ordering::Relaxed);
        // Whoever is second to write keeps what the first wrote.
        let _ = self.failing_since_ms.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A next hop refused our logon.
    pub fn logon_refused(&self, now_ms: u64) {
        self.logon_refused_ms.store(now_ms, Ordering::Relaxed);
    }

    /// There was no connection, and this is what was said of it.
    pub fn not_connected(&self, reply: &Reply, now_ms: u64) {
        self.failed(now_ms);
        if refuses_logon(reply) {
            self.logon_refused(now_ms);
        }
    }

    /// How the route is doing, as far as attempts tell.
    pub fn route(&self, connector: &str) -> Route {
        let time = |time: &AtomicU64| Some(read(time)).filter(|time_ms| *time_ms > 0);
        Route {
            connector: connector.into(),
            failing_since_ms: time(&self.failing_since_ms),
            last_failure_ms: time(&self.last_failure_ms),
            last_success_ms: time(&self.last_success_ms),
            logon_refused_ms: time(&self.logon_refused_ms),
            ..Route::default()
        }
    }

    /// Takes up what the last run knew.
    pub fn restore(&self, route: &Route) {
        for (place, time_ms) in [
            (&self.failing_since_ms, route.failing_since_ms),
            (&self.last_failure_ms, route.last_failure_ms),
            (&self.last_success_ms, route.last_success_ms),
            (&self.logon_refused_ms, route.logon_refused_ms),
        ] {
            let _ = place.compare_exchange(0, time_ms.unwrap_or(0), Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// Upper bounds in microseconds: a flush of a good disk takes half a millisecond, that of a bad one a second.
const ACCEPT_BOUNDS: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000, 10_000_000];
/// Upper bounds in microseconds: from a relay that is idle to a next hop that was away for days.
const DELIVERY_BOUNDS: [u64; 12] = [
    10_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
    7_200_000_000,
    43_200_000_000,
    172_800_000_000,
];

/// How many took how long.
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than bounds: what took longer than the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Upper bounds in seconds, ascending, with how many were not above each.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long they took together, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Nothing yet. `bounds` are microseconds, ascending.
    pub fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// One that took so long.
    pub fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = self.bounds.iter().position(|bound| micros <= *bound).unwrap_or(self.bounds.len());
        count(&self.counts[place]);
        add(&self.sum, micros);
    }

    /// How it stands.
    pub fn distribution(&self) -> Distribution {
        distribution(self.bounds, self.counts.iter().map(read), read(&self.sum))
    }
}

/// Counts of each bucket as counts up to each bound. All numbers are microseconds.
pub fn distribution(bounds: &[u64], counts: impl Iterator<Item = u64>, sum: u64) -> Distribution {
    let mut counted = 0;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (place, here) in counts.enumerate() {
        counted += here;
        buckets.extend(bounds.get(place).map(|bound| (*bound as f64 / 1e6, counted)));
    }
    Distribution { buckets, count: counted, sum: sum as f64 / 1e6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_name_stay_and_names_come_to_an_end() {
        let numbers = ByName::<ReceiveCounting>::default();
        count(&numbers.of(&"Relay".into()).connections);
        count(&numbers.of(&"Relay".into()).connections);
        for n in 0..3 * NAMES_MAX {
            count(&numbers.of(&format!("renamed {n}").into()).connections);
        }
        let all = numbers.all();
        assert_eq!(all.len(), NAMES_MAX + 1);
        let of = |name: &str| all.iter().find(|(known, _)| &**known == name).map(|(_, it)| read(&it.connections));
        assert_eq!(of("Relay"), Some(2));
        assert_eq!(of(OTHERS), Some(2 * NAMES_MAX as u64 + 1), "what is beyond is counted together");
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::new(&[1_000, 10_000]);
        for micros in [0, 1_000, 1_001, 10_000, 10_001, 5_000_000] {
            histogram.note(Duration::from_micros(micros));
        }
        let Distribution { buckets, count, sum } = histogram.distribution();
        assert_eq!(buckets, [(0.001, 2), (0.01, 4)]);
        assert_eq!(count, 6);
        assert!((sum - 5.022002).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn whatever_a_next_hop_says_has_a_place() {
        let numbers = SendCounting::default();
        for code in 0..=u16::MAX {
            numbers.replied(&Reply::new(code, (4, 0, 0), ""), true, 1);
        }
        assert!(numbers.all_replies().count() <= CODE_NAMES.len());
        assert_eq!(numbers.all_replies().map(|(.., count)| count).sum::<u64>(), 1 << 16);
        for (code, name) in CODES.iter().zip(CODE_NAMES) {
            assert_eq!(code.to_string(), name);
        }
    }
}
