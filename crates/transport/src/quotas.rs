//! How many messages each source has submitted lately under an access entry's `messages_per_hour`.
//!
//! Takes keys and limits, hands on which are used up, and counts. Decides nothing: `policy::permission` says which entries a
//! message needs. Keeps a window of 60 minutes that slides, for at most [`SOURCES_MAX`] sources: a source that finds no
//! room cannot be counted, so its quota counts as used up. Counts outlive the process (see [`store`]).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use gatepost_policy::permission::AccessEntry;

mod store;

use store::Store;

/// At most so many sources are counted; some ten megabytes, and fifty if all of them send to all limits.
const SOURCES_MAX: usize = 100_000;
/// What a window is long, in seconds.
const WINDOW_S: u64 = 3_600;
/// Up to this limit each message is remembered by itself. Above it those of one minute are one mark, which ends with the
/// last of them: never more than the limit, and up to a minute later than could be.
const MARKS_MAX: u32 = 60;
/// How often the table is searched for what may be forgotten; while it is full, more often.
const SWEEP_EVERY_S: u64 = 60;
const SWEEP_FULL_EVERY_S: u64 = 1;

/// Whose messages are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A user who logged on.
    User(&'a str),
    /// A peer's address; an IPv6 /64 is one source.
    Address(IpAddr),
}

/// One source's quota of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Place of the entry in the connector's list.
    pub entry: usize,
    key: u128,
    limit: NonZeroU32,
}

/// A message that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    quota: Quota,
    at_s: u32,
}

impl Counted {
    /// Place of the entry in the connector's list.
    pub fn entry(&self) -> usize {
        self.quota.entry
    }
}

/// The counts of all sources.
pub struct Quotas {
    state: Arc<Mutex<State>>,
    store: Store,
    /// Names are kept as numbers that nobody can foretell: no names that strangers choose are stored, and nobody can choose
    /// a name to collide with another's.
    secret: hmac::Key,
    began: Instant,
    began_s: u64,
}

/// What all threads share.
#[derive(Default)]
struct State {
    sources: HashMap<u128, Marks>,
    swept_s: u64,
    /// When it was last said that there is no room.
    warned_s: u64,
    is_dirty: bool,
}

/// The messages of one source within the window, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Marks(VecDeque<Mark>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// When the last of them came, rounded up, in seconds.
    at_s: u32,
    count: u32,
}

impl Quotas {
    /// Reads what a former run counted from `path`, and keeps it there from now on.
    ///
    /// # Errors
    /// When the system gives no thread or no randomness. A file that cannot be used is none.
    pub fn open(path: PathBuf) -> io::Result<Quotas> {
        let began = Instant::now();
        let began_s = store::wall_clock_s();
        let (secret, sources) = store::load(&path, began_s)?;
        let state = Arc::new(Mutex::new(State { sources, swept_s: began_s, ..State::default() }));
        let store = Store::start(path, state.clone(), secret, began, began_s)?;
        Ok(Quotas { state, store, secret: hmac::Key::new(hmac::HMAC_SHA256, &secret), began, began_s })
    }

    /// The quota of an entry for a source. The same over restarts, and over changes of the limit and of other entries.
    pub fn quota(
        &self,
        connector: &str,
        (entry, limit): (usize, NonZeroU32),
        meaning: &AccessEntry,
        source: Source<'_>,
    ) -> Quota {
        let source = match source {
            Source::User(name) => format!("user {}", name.to_lowercase()),
            Source::Address(address) => format!("address {}", gatepost_tracking::source_of(address)),
        };
        // None of the three can hold a NUL, so what is joined by one is told apart.
        let name = [connector.to_lowercase(), meaning.meaning(), source].join("\0");
        let digest = hmac::sign(&self.secret, name.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&digest.as_ref()[..16]);
        Quota { entry, key: u128::from_le_bytes(key), limit }
    }

    /// The entries among `quotas` that are used up, by their place.
    pub fn used_up(&self, quotas: &[Quota]) -> Vec<usize> {
        let now = self.now();
        let mut state = self.lock();
        quotas.iter().filter(|quota| state.is_used_up(quota, now)).map(|quota| quota.entry).collect()
    }

    /// Counts one message for each of `quotas`, or for none of them where one is used up: that one's entry is handed back.
    /// Asking and counting are one step, so two sessions cannot send one last message.
    pub fn count(&self, quotas: &[Quota]) -> Result<Vec<Counted>, usize> {
        if quotas.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let mut state = self.lock();
        if let Some(quota) = quotas.iter().find(|quota| state.is_used_up(quota, now)) {
            return Err(quota.entry);
        }
        let counted = quotas.iter().map(|quota| state.count(quota, now)).collect();
        self.changed(state);
        Ok(counted)
    }

    /// Counts the messages from now on as of now: what counts in the end is when a message is accepted. A message that took
    /// so long that it no longer counts is counted anew, or refused where its quota is used up: that one's entry is handed
    /// back.
    pub fn renew(&self, counted: &[Counted]) -> Result<Vec<Counted>, usize> {
        if counted.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let mut state = self.lock();
        let mut renewed = Vec::with_capacity(counted.len());
        for counted in counted {
            state.take_back(counted, now);
            if state.is_used_up(&counted.quota, now) {
                return Err(counted.quota.entry);
            }
            renewed.push(state.count(&counted.quota, now));
        }
        self.changed(state);
        Ok(renewed)
    }

    /// Takes back what was counted: the message was refused at the same command, or the disk did not take it.
    pub fn take_back(&self, counted: &[Counted]) {
        let now = self.now();
        let mut state = self.lock();
        for counted in counted {
            state.take_back(counted, now);
        }
    }

    /// Brings to the disk what is counted, and ends the writer. Blocks; for the end of the server.
    pub fn close(&self) {
        self.store.close();
    }

    fn changed(&self, mut state: MutexGuard<'_, State>) {
        let was_dirty = std::mem::replace(&mut state.is_dirty, true);
        drop(state);
        if !was_dirty {
            self.store.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time that never goes back, however the clock is set.
    fn now(&self) -> Duration {
        Duration::from_secs(self.began_s) + self.began.elapsed()
    }
}

impl State {
    fn is_used_up(&mut self, quota: &Quota, now: Duration) -> bool {
        match self.sources.get_mut(&quota.key) {
            Some(marks) => marks.count(now) >= quota.limit.get(),
            None => !self.has_room(now),
        }
    }

    fn has_room(&mut self, now: Duration) -> bool {
        let is_full = self.sources.len() >= SOURCES_MAX;
        let every_s = if is_full { SWEEP_FULL_EVERY_S } else { SWEEP_EVERY_S };
        if now.as_secs() >= self.swept_s + every_s {
            self.sources.retain(|_, marks| marks.count(now) > 0);
            self.swept_s = now.as_secs();
        }
        if self.sources.len() < SOURCES_MAX {
            return true;
        }
        if now.as_secs() >= self.warned_s + SWEEP_EVERY_S {
            self.warned_s = now.as_secs();
            tracing::warn!(sources = SOURCES_MAX, "too many sources use hourly quotas: new ones are turned away");
        }
        false
    }

    fn count(&mut self, quota: &Quota, now: Duration) -> Counted {
        let at_s = self.sources.entry(quota.key).or_default().add(quota.limit, now);
        Counted { quota: *quota, at_s }
    }

    /// Nothing happens where the message no longer counts.
    fn take_back(&mut self, counted: &Counted, now: Duration) {
        let is_old = u64::from(counted.at_s) + WINDOW_S <= now.as_secs();
        if let Some(marks) = self.sources.get_mut(&counted.quota.key).filter(|_| !is_old) {
            marks.take_back(counted.at_s);
        }
    }
}

impl Marks {
    /// How many messages came within the window before `now`. Forgets the others.
    fn count(&mut self, now: Duration) -> u32 {
        while self.0.front().is_some_and(|mark| u64::from(mark.at_s) + WINDOW_S <= now.as_secs()) {
            self.0.pop_front();
        }
        self.0.iter().map(|mark| mark.count).fold(0, u32::saturating_add)
    }

    /// Adds one message; returns the time at which it counts.
    fn add(&mut self, limit: NonZeroU32, now: Duration) -> u32 {
        let rounded_up = now.as_secs() + u64::from(now.subsec_nanos() > 0);
        let at_s = u32::try_from(rounded_up).unwrap_or(u32::MAX);
        match self.0.back_mut() {
            Some(last) if last.at_s >= at_s || (limit.get() > MARKS_MAX && last.at_s / 60 == at_s / 60) => {
                *last = Mark { at_s: at_s.max(last.at_s), count: last.count.saturating_add(1) };
                last.at_s
            }
            _ => {
                self.0.push_back(Mark { at_s, count: 1 });
                at_s
            }
        }
    }

    /// Takes the message of that time away. It is in the first mark that does not end before it.
    fn take_back(&mut self, at_s: u32) {
        let place = self.0.partition_point(|mark| mark.at_s < at_s);
        let Some(mark) = self.0.get_mut(place) else { return };
        mark.count -= 1;
        if mark.count == 0 {
            self.0.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn quota(key: u128, limit: u32) -> Quota {
        Quota { entry: 7, key, limit: NonZeroU32::new(limit).expect("a limit") }
    }

    /// Counts one message at this time, if it may come.
    fn send(state: &mut State, quota: &Quota, now_ms: u64) -> Option<Counted> {
        let now = Duration::from_millis(now_ms);
        (!state.is_used_up(quota, now)).then(|| state.count(quota, now))
    }

    proptest! {
        /// Never more than the limit in any real hour; and no message is turned away that could have come a minute earlier,
        /// or, under small limits, a second.
        #[test]
        fn no_hour_has_more_messages_than_its_quota(
            limit in prop_oneof![1..5_u32, Just(60), Just(61), 61..200_u32],
            gaps in prop::collection::vec(prop_oneof![9 => 0..2_000_u64, 3 => 0..200_000_u64, 1 => 0..4_000_000_u64], 1..600),
        ) {
            let mut state = State::default();
            let quota = quota(1, limit);
            let slack_ms = if limit <= MARKS_MAX { 2_000 } else { 61_000 };
            let (mut now_ms, mut sent): (u64, Vec<u64>) = (1_000_000, Vec::new());
            for gap in gaps {
                now_ms += gap;
                let within = |window_ms: u64| sent.iter().filter(|sent| *sent + window_ms > now_ms).count() as u32;
                let (in_the_hour, in_a_bit_more) = (within(3_600_000), within(3_600_000 + slack_ms));
                match send(&mut state, &quota, now_ms) {
                    Some(_) => {
                        prop_assert!(in_the_hour < limit);
                        sent.push(now_ms);
                    }
                    None => prop_assert!(in_a_bit_more >= limit),
                }
                prop_assert!(state.sources[&1].0.len() <= 122, "small memory");
            }
        }
    }

    #[test]
    fn a_message_that_is_taken_back_or_renewed_counts_at_another_time_or_not() {
        let mut state = State::default();
        let quota = quota(1, 2);
        let first = send(&mut state, &quota, 0).expect("room for two");
        let second = send(&mut state, &quota, 10_000).expect("room for two");
        assert_eq!(send(&mut state, &quota, 20_000), None);
        state.take_back(&first, Duration::from_secs(15));
        let third = send(&mut state, &quota, 20_000).expect("one was taken back");
        assert_eq!(send(&mut state, &quota, 3_609_000), None);
        let fourth = send(&mut state, &quota, 3_610_000).expect("the second is an hour old");
        state.take_back(&second, Duration::from_secs(3_610));
        assert_eq!(state.sources[&1].0.len(), 2, "what no longer counts cannot be taken back");
        state.take_back(&third, Duration::from_secs(3_611));
        state.take_back(&fourth, Duration::from_secs(3_611));
        assert_eq!(state.sources[&1], Marks::default());
    }

    #[test]
    fn a_message_that_was_renewed_and_then_not_stored_costs_nothing() {
        let folder = TempDir::new().expect("a folder");
        let quotas = Quotas::open(folder.path().join("quotas")).expect("a thread");
        let quota = quota(1, 1);
        for _ in 0..3 {
            let counted = quotas.count(&[quota]).expect("room for one");
            let renewed = quotas.renew(&counted).expect("it is the one");
            assert_eq!(quotas.count(&[quota]), Err(7));
            quotas.take_back(&renewed);
        }
        assert!(quotas.used_up(&[quota]).is_empty());
    }

    #[test]
    fn quotas_are_told_apart_by_connector_entry_and_source_and_survive_a_restart() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("quotas");
        let entry = |rights: gatepost_policy::access_entry::Right| AccessEntry {
            trustee: gatepost_policy::permission::Trustee::Everyone,
            access: gatepost_policy::permission::Access::Allow,
            rights: rights.into(),
            condition: None,
            note: None,
            source: gatepost_policy::permission::Source::Extra,
            span: 0..0,
        };
        let (relay, submit) = (
            entry(gatepost_policy::access_entry::Right::AcceptAnyRecipient),
            entry(gatepost_policy::access_entry::Right::Submit),
        );
        let two = NonZeroU32::new(2).expect("two");
        let address = |last: u8| Source::Address([10, 0, 0, last].into());
        let all = |quotas: &Quotas| {
            [
                quotas.quota("Relay", (0, two), &relay, address(1)),
                quotas.quota("RELAY", (5, two), &relay, address(1)),
                quotas.quota("Relay", (1, two), &relay, address(2)),
                quotas.quota("Relay", (2, two), &submit, address(1)),
                quotas.quota("Other", (3, two), &relay, address(1)),
                quotas.quota("Relay", (4, two), &relay, Source::User("10.0.0.1")),
            ]
        };
        let quotas = Quotas::open(path.clone()).expect("a thread");
        let keys = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "::ffff:10.0.0.1"].map(|text| {
            let address = text.parse().expect("an address");
            quotas.quota("Relay", (0, two), &relay, Source::Address(address)).key
        });
        assert_eq!(keys[0], keys[1], "one IPv6 /64 is one source");
        assert_ne!(keys[0], keys[2]);
        let [first, same, ..] = all(&quotas);
        assert_eq!(keys[3], first.key);
        assert_eq!(quotas.count(&[first]).map(|counted| counted.len()), Ok(1));
        assert_eq!(quotas.count(&[same]).map(|counted| counted.len()), Ok(1));
        assert_eq!(quotas.used_up(&all(&quotas)), [0, 5]);
        assert_eq!(quotas.count(&[all(&quotas)[2], first]), Err(0), "all or none");
        quotas.close();
        let quotas = Quotas::open(path.clone()).expect("a thread");
        assert_eq!(quotas.used_up(&all(&quotas)), [0, 5]);
        let wider = quotas.quota("Relay", (0, NonZeroU32::new(3).expect("three")), &relay, address(1));
        assert_eq!(quotas.used_up(&[wider]), [] as [usize; 0]);
        drop(quotas);

        let names = || {
            let mut names: Vec<String> = std::fs::read_dir(folder.path())
                .expect("the folder")
                .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["quotas"]);
        let whole = std::fs::read(&path).expect("the file");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for (n, bytes) in [&whole[..whole.len() - 1], &flipped, b"", b"something else"].into_iter().enumerate() {
            std::fs::write(&path, bytes).expect("the folder takes files");
            let quotas = Quotas::open(path.clone()).expect("a thread");
            assert_eq!(quotas.used_up(&all(&quotas)), [] as [usize; 0]);
            drop(quotas);
            assert!(!path.exists());
            // Two in one millisecond would share a name.
            assert!(!names().is_empty() && names().len() <= n + 1, "{:?}", names());
        }
    }

    #[test]
    fn sessions_that_race_for_the_last_messages_get_no_more_than_there_are() {
        let folder = TempDir::new().expect("a folder");
        let quotas = Quotas::open(folder.path().join("quotas")).expect("a thread");
        let [first, second] = [quota(1, 100), quota(2, 150)];
        let sent = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        if quotas.count(&[first, second]).is_ok() {
                            sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(sent.into_inner(), 100);
        assert_eq!((0..200).filter(|_| quotas.count(&[second]).is_ok()).count(), 50);
        quotas.close();
    }

    #[test]
    fn a_newcomer_without_room_is_turned_away_until_others_are_forgotten() {
        let mut state = State::default();
        let quota = |key| quota(key, 1);
        for key in 0..SOURCES_MAX as u128 {
            assert!(send(&mut state, &quota(key), 1_000).is_some());
        }
        let newcomer = quota(SOURCES_MAX as u128);
        assert_eq!(send(&mut state, &newcomer, 2_000), None);
        assert_eq!(state.sources.len(), SOURCES_MAX);
        assert!(send(&mut state, &newcomer, 3_601_000).is_some());
        assert_eq!(state.sources.len(), 1);
    }
}
