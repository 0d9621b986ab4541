//! Refusals of one source beyond so many a minute: counted, not stored one by one.
//!
//! Takes refusals and the time, hands on whether to store each. What is only counted becomes one record for each source and
//! minute, whose id every counted refusal of that minute shows. A source is an IPv4 address or an IPv6 /64. Bounded: beyond
//! [`SOURCES_MAX`] sources at a time, all others share one place.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::decision::{Decision, DecisionId, Repeats, Verdict};

/// Sources that are told apart at a time.
pub const SOURCES_MAX: usize = 4_096;
/// How long refusals of a source are counted together.
pub const WINDOW: Duration = Duration::from_secs(60);

/// What to do with a refusal.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Store it.
    Store(Box<Decision>),
    /// It was counted; this is the id of the record that stands for it.
    Counted(DecisionId),
}

/// What each source did lately.
#[derive(Debug, Default)]
pub struct Flood {
    sources: HashMap<IpAddr, Window>,
    /// Those for whom there was no place.
    others: Option<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    stored: u32,
    /// The first refusal that was counted only, with how many there were.
    counted: Option<Box<Decision>>,
}

impl Flood {
    /// Judges one refusal; `per_minute` is how many of one source are stored. Windows that have ended on the way put their
    /// records into `due`.
    pub fn judge(
        &mut self,
        mut refusal: Box<Decision>,
        per_minute: u32,
        now: Instant,
        due: &mut Vec<Decision>,
    ) -> Judgement {
        let source = source_of(refusal.peer.ip());
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            self.take_ended(now, due);
        }
        let begin = || Window { since: now, stored: 0, counted: None };
        let window = match self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            true => self.others.get_or_insert_with(begin),
            false => self.sources.entry(source).or_insert_with(begin),
        };
        if window.has_ended(now) {
            due.extend(window.counted.take().map(|counted| *counted));
            *window = begin();
        }
        if window.stored < per_minute {
            window.stored += 1;
            return Judgement::Store(refusal);
        }
        // A transaction that was given up showed nobody an id, so nothing has to stand for it.
        if refusal.verdict == Verdict::Abandoned {
            return Judgement::Counted(refusal.id);
        }
        let until_ms = refusal.time_ms;
        let counted = window.counted.get_or_insert_with(|| {
            refusal.repeats = Some(Repeats { count: 0, until_ms });
            refusal
        });
        let count = counted.repeats.map_or(0, |repeats| repeats.count);
        counted.repeats = Some(Repeats { count: count + 1, until_ms });
        Judgement::Counted(counted.id)
    }

    /// Takes the records of windows that have ended, and forgets these windows.
    pub fn take_ended(&mut self, now: Instant, due: &mut Vec<Decision>) {
        self.take(|window| window.has_ended(now), due);
    }

    /// Takes the records of all windows.
    pub fn take_all(&mut self, due: &mut Vec<Decision>) {
        self.take(|_| true, due);
    }

    fn take(&mut self, is_wanted: impl Fn(&Window) -> bool, due: &mut Vec<Decision>) {
        let taken = self.sources.extract_if(|_, window| is_wanted(window)).map(|(_, window)| window);
        let others = self.others.take_if(|window| is_wanted(window));
        due.extend(taken.chain(others).filter_map(|window| window.counted).map(|counted| *counted));
    }

    /// The record that stands for counted refusals and is not stored yet.
    pub fn find(&self, id: DecisionId) -> Option<&Decision> {
        self.sources.values().chain(&self.others).filter_map(|window| window.counted.as_deref()).find(|d| d.id == id)
    }

    /// Whether no source did anything lately.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.others.is_none()
    }
}

impl Window {
    fn has_ended(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

/// Who counts as one source: an IPv4 address, or an IPv6 /64. Whoever holds one address of a /64 usually holds them all.
pub fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::tests::refusal;

    struct Playing {
        flood: Flood,
        start: Instant,
        number: u64,
        due: Vec<Decision>,
    }

    impl Playing {
        fn new() -> Playing {
            Playing { flood: Flood::default(), start: Instant::now(), number: 0, due: Vec::new() }
        }

        fn refuse(&mut self, peer: &str, second: u64) -> Judgement {
            self.number += 1;
            let now = self.start + Duration::from_secs(second);
            self.flood.judge(Box::new(refusal(self.number, peer)), 3, now, &mut self.due)
        }

        fn stored(&mut self, peer: &str, second: u64, times: usize) -> usize {
            (0..times).filter(|_| matches!(self.refuse(peer, second), Judgement::Store(_))).count()
        }
    }

    #[test]
    fn so_many_of_one_source_are_stored_each_minute_and_one_record_counts_the_rest() {
        let mut playing = Playing::new();
        assert_eq!(playing.stored("192.0.2.1:1", 0, 100), 3);
        assert_eq!(playing.stored("192.0.2.2:1", 0, 3), 3, "another source has its own");
        let Judgement::Counted(id) = playing.refuse("192.0.2.1:2", 59) else { panic!("counted") };
        assert_eq!(id.number(), 4, "the first that was counted stands for all");
        let expected = Some(Repeats { count: 98, until_ms: refusal(104, "192.0.2.1:2").time_ms });
        assert_eq!(playing.flood.find(id).expect("not stored yet").repeats, expected);
        assert!(playing.due.is_empty());
        assert_eq!(playing.stored("192.0.2.1:1", 60, 5), 3, "a minute later");
        assert_eq!(playing.due.iter().map(|due| (due.id, due.repeats)).collect::<Vec<_>>(), [(id, expected)]);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_mapped_ipv4_is_ipv4() {
        let mut playing = Playing::new();
        assert_eq!(playing.stored("[2001:db8::1]:1", 0, 2), 2);
        assert_eq!(playing.stored("[2001:db8::ffff:2]:1", 0, 2), 1);
        assert_eq!(playing.stored("[2001:db8:0:1::1]:1", 0, 2), 2);
        assert_eq!(playing.stored("192.0.2.1:1", 0, 2), 2);
        assert_eq!(playing.stored("[::ffff:192.0.2.1]:1", 0, 2), 1);
        assert_eq!(playing.stored("[::ffff:192.0.2.2]:1", 0, 2), 2);
    }

    #[test]
    fn a_transaction_given_up_never_stands_for_refusals() {
        let mut playing = Playing::new();
        assert_eq!(playing.stored("192.0.2.1:1", 0, 3), 3);
        let given_up = Box::new(Decision { verdict: Verdict::Abandoned, ..refusal(99, "192.0.2.1:1") });
        let judged = playing.flood.judge(given_up, 3, playing.start, &mut playing.due);
        assert_eq!(judged, Judgement::Counted(refusal(99, "192.0.2.1:1").id));
        assert_eq!(playing.refuse("192.0.2.1:1", 0), Judgement::Counted(refusal(4, "192.0.2.1:1").id));
    }

    #[test]
    fn a_flood_from_everywhere_stays_within_the_table() {
        let mut playing = Playing::new();
        let stored: usize = (0..SOURCES_MAX + 100)
            .map(|i| playing.stored(&format!("10.{}.{}.{}:1", i >> 16, i >> 8 & 255, i & 255), 0, 1))
            .sum();
        assert_eq!(stored, SOURCES_MAX + 3, "the others share one place");
        assert_eq!(playing.flood.sources.len(), SOURCES_MAX);
        assert_eq!(playing.stored("192.0.2.1:1", 61, 3), 3, "those that have ended make room");
        assert_eq!(playing.due.iter().filter_map(|due| due.repeats).map(|repeats| repeats.count).sum::<u64>(), 97);
        playing.flood.take_all(&mut playing.due);
        assert!(playing.flood.is_empty());
    }
}
