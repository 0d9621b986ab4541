//! Who listens to protocol transcripts while they are being written: without credentials and without content, as files have
//! them.
//!
//! Takes what somebody wants to hear, hands on the lines of connections that begin afterwards and match; of those that have a
//! transcript already, what comes. Costs a session nothing but a look at a number while nobody listens, and never blocks one: who reads slowly loses lines and is told how
//! many. Bounded: few listen at once, and few lines wait for each.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

/// At most so many listen at once.
pub const LISTENERS_MAX: usize = 8;
/// So many lines wait for who reads slowly.
pub const LINES_WAITING_MAX: usize = 512;

/// Which side we were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We were the server: files `RECV…`.
    Receive,
    /// We were the client: files `SEND…`.
    Send,
}

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, Unix time in milliseconds.
    pub time_ms: u64,
    /// Which side we were.
    pub direction: Direction,
    /// The connector's name.
    pub connector: Arc<str>,
    /// Which connection.
    pub session: u64,
    /// The how manieth of the connection, from 0.
    pub sequence: u64,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's, or the next hop's.
    pub remote: SocketAddr,
    /// `+` it began, `-` it ended, `<` the other side said, `>` we said, `*` nobody said this.
    pub event: char,
    /// What.
    pub data: Box<str>,
    /// About what.
    pub context: Box<str>,
}

/// What somebody wants to hear: all that is given must be true of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The name of a receive or send connector, in any case.
    pub connector: Option<String>,
    /// The first and the last address of a range that the other side is in.
    pub peer: Option<(IpAddr, IpAddr)>,
}

impl Wanted {
    fn takes(&self, connector: &str, peer: IpAddr) -> bool {
        // Addresses of the two families do not compare by their numbers.
        let is_in = |(first, last): (IpAddr, IpAddr)| {
            first.is_ipv4() == peer.is_ipv4() && first.is_ipv4() == last.is_ipv4() && first <= peer && peer <= last
        };
        self.connector.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(connector))
            && self.peer.is_none_or(is_in)
    }
}

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A line.
    Line(Arc<Line>),
    /// So many lines came here that were not kept for it.
    Missed(u64),
}

/// All who listen.
#[derive(Clone, Default)]
pub struct LiveTranscripts(Arc<Listeners>);

#[derive(Default)]
struct Listeners {
    /// How many, to be looked at without the lock.
    count: AtomicUsize,
    /// How many ever began to: where that has changed, who hears a connection is asked again.
    begun: AtomicU64,
    hearers: Mutex<Vec<Arc<Hearer>>>,
}

impl Listeners {
    fn hearers(&self) -> MutexGuard<'_, Vec<Arc<Hearer>>> {
        self.hearers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveTranscripts {
    /// Listens from now on; `None` when as many do as may.
    pub fn listen(&self, wanted: Wanted) -> Option<Listening> {
        let mut hearers = self.0.hearers();
        if hearers.len() >= LISTENERS_MAX {
            return None;
        }
        let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
        let hearer = Arc::new(Hearer { wanted, lines, missed: AtomicU64::new(0) });
        hearers.push(hearer.clone());
        self.0.count.store(hearers.len(), Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        drop(hearers);
        Some(Listening { waiting, next: None, hearer, all: self.0.clone() })
    }

    /// How many ever began to listen.
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Those who want to hear a connection.
    pub(crate) fn hearers(&self, connector: &str, peer: IpAddr) -> Vec<Arc<Hearer>> {
        // Who begins to listen at this moment may hear of the next connection first.
        if self.0.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        self.0.hearers().iter().filter(|hearer| hearer.wanted.takes(connector, peer)).cloned().collect()
    }
}

/// Somebody who listens, as the connections that they hear know them.
pub(crate) struct Hearer {
    wanted: Wanted,
    /// Each with how many were left out before it.
    lines: mpsc::Sender<(u64, Arc<Line>)>,
    /// Left out since the last line that had room.
    missed: AtomicU64,
}

impl Hearer {
    pub(crate) fn is_there(&self) -> bool {
        !self.lines.is_closed()
    }

    pub(crate) fn tell(&self, line: &Arc<Line>) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if self.lines.try_send((missed, line.clone())).is_err() {
            self.missed.fetch_add(missed + 1, Ordering::Relaxed);
        }
    }
}

/// Listens until it is dropped.
pub struct Listening {
    waiting: mpsc::Receiver<(u64, Arc<Line>)>,
    /// A line that comes after what was told last.
    next: Option<Arc<Line>>,
    hearer: Arc<Hearer>,
    all: Arc<Listeners>,
}

impl Listening {
    /// What comes next. May be dropped while it waits; nothing is lost then.
    pub async fn hear(&mut self) -> Heard {
        if let Some(heard) = self.hear_now() {
            return heard;
        }
        match self.waiting.recv().await {
            Some(received) => self.told(received),
            // We hold a sender ourselves.
            None => std::future::pending().await,
        }
    }

    /// What is there already.
    pub fn hear_now(&mut self) -> Option<Heard> {
        if let Some(line) = self.next.take() {
            return Some(Heard::Line(line));
        }
        if let Ok(received) = self.waiting.try_recv() {
            return Some(self.told(received));
        }
        // Lines were left out, and no other has come since.
        let missed = self.hearer.missed.swap(0, Ordering::Relaxed);
        (missed > 0).then_some(Heard::Missed(missed))
    }

    fn told(&mut self, (missed, line): (u64, Arc<Line>)) -> Heard {
        if missed == 0 {
            return Heard::Line(line);
        }
        self.next = Some(line);
        Heard::Missed(missed)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut hearers = self.all.hearers();
        hearers.retain(|hearer| !Arc::ptr_eq(hearer, &self.hearer));
        self.all.count.store(hearers.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u64) -> Arc<Line> {
        let [local, remote] = ["192.0.2.1:25", "192.0.2.2:4711"].map(|address| address.parse().expect("an address"));
        Arc::new(Line {
            time_ms: 0,
            direction: Direction::Receive,
            connector: "Relay".into(),
            session: 1,
            sequence,
            local,
            remote,
            event: '<',
            data: "NOOP".into(),
            context: "".into(),
        })
    }

    #[test]
    fn connections_are_heard_by_those_who_want_them() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let range = |first, last| Some((address(first), address(last)));
        for (connector, peer, expected) in [
            (None, None, true),
            (Some("relay"), None, true),
            (Some("Rel"), None, false),
            (Some("Default"), None, false),
            (None, range("192.0.2.7", "192.0.2.7"), true),
            (None, range("192.0.2.0", "192.0.2.255"), true),
            (None, range("192.0.2.8", "192.0.2.255"), false),
            (None, range("::", "ffff::"), false),
            (Some("Relay"), range("192.0.2.0", "192.0.2.7"), true),
            (Some("Relay"), range("192.0.2.0", "192.0.2.6"), false),
            (Some("Default"), range("192.0.2.0", "192.0.2.7"), false),
        ] {
            let live = LiveTranscripts::default();
            let wanted = Wanted { connector: connector.map(str::to_owned), peer };
            let listening = live.listen(wanted.clone()).expect("room");
            assert_eq!(live.hearers("Relay", address("192.0.2.7")).len(), usize::from(expected), "{wanted:?}");
            drop(listening);
            assert!(live.hearers("Relay", address("192.0.2.7")).is_empty(), "{wanted:?}");
        }
    }

    #[test]
    fn no_more_listen_than_may_and_who_leaves_makes_room() {
        let live = LiveTranscripts::default();
        let mut all: Vec<_> = (0..LISTENERS_MAX).map(|_| live.listen(Wanted::default()).expect("room")).collect();
        assert!(live.listen(Wanted::default()).is_none());
        all.pop();
        assert!(live.listen(Wanted::default()).is_some());
    }

    #[test]
    fn who_reads_slowly_loses_lines_and_is_told_how_many_where_they_are_missing() {
        let live = LiveTranscripts::default();
        let mut listening = live.listen(Wanted::default()).expect("room");
        let hearers = live.hearers("Relay", line(0).remote.ip());
        let most = LINES_WAITING_MAX as u64;
        (0..most + 3).for_each(|sequence| hearers[0].tell(&line(sequence)));
        assert_eq!(listening.hear_now(), Some(Heard::Line(line(0))));
        hearers[0].tell(&line(most + 3));
        hearers[0].tell(&line(most + 4));
        for sequence in 1..most {
            assert_eq!(listening.hear_now(), Some(Heard::Line(line(sequence))));
        }
        assert_eq!(listening.hear_now(), Some(Heard::Missed(3)));
        assert_eq!(listening.hear_now(), Some(Heard::Line(line(most + 3))));
        // The last one had no room, and nothing came after it.
        assert_eq!(listening.hear_now(), Some(Heard::Missed(1)));
        assert_eq!(listening.hear_now(), None);
        drop(listening);
        assert!(!hearers[0].is_there());
    }
}
