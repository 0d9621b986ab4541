//! Power cuts, kills and failing disks against the promise of the spool, on the fake disk and without threads: each
//! seed is one history that can be run again.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use gatepost_mail::{Arrival, AuthAs, BodyType, Envelope, Mailbox, MessageId, Priority, Recipient, ReversePath};

use crate::bodies;
use crate::disk::Disk;
use crate::fake_disk::{Dice, FakeDisk, Faults};
use crate::message::{Message, Outcome, RecipientState, Standing, State};
use crate::opening::OpenError;
use crate::promise::{Commit, CommitError};
use crate::queues::Work;
use crate::recover::{Recovery, Step};
use crate::segment::{FIRST_RECORD, FORMAT};
use crate::shared::Options;
use crate::spool::{self, Opened, ReadError, Usage};
use crate::staged::Staged;

mod bit_flips;
mod full_disk;
mod history;
mod verify;

const ROOT: &str = "/spool";

/// A server whose threads are steps that the test takes.
struct Server(Opened, Option<Recovery>);

impl Server {
    /// With all messages of former runs.
    fn open(disk: &FakeDisk, options: &Options) -> Result<Server, OpenError> {
        let mut server = Server::start(disk, options)?;
        while !server.recover()? {}
        Ok(server)
    }

    /// Without any.
    fn start(disk: &FakeDisk, options: &Options) -> Result<Server, OpenError> {
        let opened = Opened::new(Arc::new(disk.clone()), Path::new(ROOT), options.clone())?;
        Ok(Server(opened, None))
    }

    /// One step of the recovery. Returns whether it is over.
    fn recover(&mut self) -> Result<bool, OpenError> {
        let released = match self.0.recovering.step()? {
            Step::Read => Vec::new(),
            Step::Released(released) => released,
            Step::Over(recovery) => {
                self.1 = Some(recovery);
                return Ok(true);
            }
        };
        assert!(released.iter().all(|id| self.0.shared.index().is_live(id.0)));
        Ok(false)
    }

    fn recovery(&self) -> &Recovery {
        self.1.as_ref().expect("it is over")
    }

    fn stage(&self) -> Staged {
        Staged::new(Arc::clone(&self.0.shared), false)
    }

    fn commit(&self, recipients: usize, content: &[u8]) -> (MessageId, Commit) {
        let mut staged = self.stage();
        let id = staged.id();
        for piece in content.chunks(300) {
            if staged.write(piece).is_err() {
                break;
            }
        }
        (id, staged.commit(envelope(recipients), TRACE.to_vec()))
    }

    /// Commits a message that has to succeed.
    fn accept(&mut self, recipients: usize, content: &[u8]) -> MessageId {
        let (id, mut commit) = self.commit(recipients, content);
        self.step();
        assert_eq!(answer(&mut commit), Some(Ok(id)));
        id
    }

    fn step(&mut self) {
        let shared = &self.0.shared;
        bodies::step(shared, shared.bodies.take());
        let work = shared.commits.wait(Some(Instant::now()), false);
        self.0.committer.step(work, false);
    }

    /// Until nothing is left to do.
    fn settle_down(&mut self) {
        self.step();
        let failures = self.usage().failures;
        while self.0.committer.has_compaction_to_do() && self.usage().failures == failures {
            self.0.committer.step(Work::default(), false);
        }
        self.0.committer.step(Work::default(), true);
        bodies::step(&self.0.shared, self.0.shared.bodies.take());
    }

    fn settle(&self, id: MessageId, outcomes: Vec<(u32, Outcome)>) {
        spool::settle(&self.0.shared, id, outcomes);
    }

    fn message(&self, id: MessageId) -> Result<Message, ReadError> {
        spool::message(&self.0.shared, id)
    }

    fn live(&self) -> Vec<MessageId> {
        self.0.shared.index().live().map(MessageId).collect()
    }

    fn usage(&self) -> Usage {
        spool::usage(&self.0.shared)
    }
}

const TRACE: &[u8] = b"Received: by us\r\n";

fn envelope(recipients: usize) -> Envelope {
    let recipient = |i| Recipient::new(Mailbox::parse(&format!("r{i}@contoso.com")).expect("a legal address"));
    Envelope {
        reverse_path: ReversePath::Null,
        recipients: (0..recipients).map(recipient).collect(),
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        arrival: Arrival {
            time_ms: 1,
            peer: None,
            connector: "".into(),
            principal: "".into(),
            auth_as: AuthAs::Anonymous,
            ..Arrival::default()
        },
    }
}

fn answer<T: Copy>(commit: &mut Commit<T>) -> Option<Result<T, CommitError>> {
    match Future::poll(Pin::new(commit), &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

fn read_all(message: &Message) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        match message.content.read(whole.len() as u64, 1000).expect("the disk works") {
            piece if piece.is_empty() => return whole,
            piece => whole.extend_from_slice(&piece),
        }
    }
}

fn with_trace(content: &[u8]) -> Vec<u8> {
    [TRACE, content].concat()
}

fn delivered() -> Outcome {
    Outcome::Delivered { reply: "250 OK".into(), time_ms: 7 }
}

fn small() -> Options {
    Options {
        inline_bytes_max: 1500,
        segment_bytes: 6000,
        cache_bytes_max: 8000,
        reserve_bytes: 3000,
        ..Options::default()
    }
}

/// What the test knows of a message.
#[derive(Clone)]
struct Known {
    content: Vec<u8>,
    recipients: usize,
    /// Whether the spool owes it: acknowledged, and not settled.
    is_owed: bool,
    /// Settled, and known to be written.
    is_gone: bool,
    /// Recipients with an end, by the test's knowledge.
    ended: Vec<bool>,
    /// How it may stand: as was last said to be safe, or in any way that it was given since.
    standings: Vec<Standing>,
}

/// Standings that were given, and what says that they are safe.
type Given = (Vec<(MessageId, Standing)>, Commit<()>);

/// One seed's world: a disk that is found again after each crash, and what was promised.
struct History {
    seed: u64,
    dice: Dice,
    disk: FakeDisk,
    options: Options,
    known: BTreeMap<MessageId, Known>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut dice = Dice(seed ^ 0x5eed);
        let mut options = small();
        if dice.one_in(2) {
            options.cache_bytes_max = 0;
        }
        History { seed, dice, disk: FakeDisk::new(seed), options, known: BTreeMap::new() }
    }

    /// One run of the server, from opening to the crash.
    fn live_once(&mut self, faults: Faults) {
        let mut server = match self.dice.one_in(2) {
            true => self.open(),
            false => self.start(),
        };
        let recovered_at_once = server.1.is_some();
        if recovered_at_once {
            self.check(&server);
        }
        if self.dice.one_in(2) {
            self.disk.set_faults(faults);
        }
        if self.dice.one_in(2) {
            self.disk.fail_after(self.dice.below(150));
        }
        // How often a step of the recovery is made between two rounds: it may not be over before the crash.
        let pace = 1 + self.dice.below(6) as u32;
        for _ in 0..self.dice.below(25) {
            self.round(&mut server);
            let is_over = server.1.is_none() && !self.dice.one_in(pace) && server.recover().unwrap_or(false);
            if is_over && self.keeps_power() {
                self.check(&server);
            }
        }
        if !recovered_at_once && self.keeps_power() {
            self.check_live(&server);
        }
        if self.dice.one_in(3) {
            // Only the process dies. What was written is known to the next one.
            self.disk.set_faults(Faults::default());
            self.disk = self.disk.kill();
        } else {
            self.disk = self.cut_power();
        }
    }

    fn cut_power(&mut self) -> FakeDisk {
        // Ends that were written but not flushed may be forgotten.
        self.known.values_mut().for_each(|known| known.is_gone = false);
        self.disk.cut_power()
    }

    /// Opens the spool, now and then with the power failing again and again on the way.
    fn open(&mut self) -> Server {
        for _ in 0..self.dice.below(3) {
            self.disk.fail_after(self.dice.below(40));
            let _ = Server::open(&self.disk, &self.options);
            self.disk = if self.dice.one_in(2) { self.cut_power() } else { self.disk.kill() };
        }
        Server::open(&self.disk, &self.options).unwrap_or_else(|error| panic!("seed {}: {error}", self.seed))
    }

    /// The same without the messages of former runs.
    fn start(&mut self) -> Server {
        Server::start(&self.disk, &self.options).unwrap_or_else(|error| panic!("seed {}: {error}", self.seed))
    }

    /// Whether there is power still, so that what lies there can be looked at; then it stays, for this run.
    fn keeps_power(&self) -> bool {
        let has_power = self.disk.open(&Path::new(ROOT).join("FORMAT")).is_ok();
        if has_power {
            self.disk.fail_after(u64::MAX / 2);
        }
        has_power
    }

    /// Everything that the spool owes is there, once recovery is over.
    fn check(&mut self, server: &Server) {
        let seed = self.seed;
        for set_aside in &server.recovery().set_aside {
            // Half-written ends only: nothing that was flushed is ever damaged by a crash.
            let is_end = set_aside.reason.contains("never acknowledged");
            assert!(is_end || set_aside.reason.contains("no readable header"), "seed {seed}: {set_aside:?}");
        }
        self.check_live(server);
        let live = server.live();
        for (id, known) in &self.known {
            assert!(!known.is_owed || live.contains(id), "seed {seed}: {id} is lost; live are {live:?}");
        }
    }

    /// What is there is as it should be.
    fn check_live(&mut self, server: &Server) {
        let seed = self.seed;
        for id in &server.live() {
            let known = &self.known[id];
            assert!(!known.is_gone, "seed {seed}: {id} was settled");
            let message = server.message(*id).unwrap_or_else(|error| panic!("seed {seed}: {id}: {error}"));
            assert_eq!(read_all(&message), with_trace(&known.content), "seed {seed}: {id}");
            assert_eq!(*message.envelope, envelope(known.recipients), "seed {seed}: {id}");
            assert_eq!(message.recipients.len(), known.recipients);
            assert!(known.standings.contains(&message.standing), "seed {seed}: {id}: {:?}", message.standing);
            for (RecipientState { state, .. }, ended) in message.recipients.iter().zip(&known.ended) {
                assert!(*state == State::Pending || *ended, "seed {seed}: {id} has an outcome that nobody gave");
            }
        }
    }

    /// A few commits and outcomes, then one step of the threads.
    fn round(&mut self, server: &mut Server) {
        let mut waiting = Vec::new();
        for _ in 0..self.dice.below(4) {
            let bytes = if self.dice.one_in(8) { self.dice.below(5000) } else { self.dice.below(900) };
            let content: Vec<u8> = (0..bytes).map(|_| self.dice.next() as u8).collect();
            let recipients = 1 + self.dice.below(3) as usize;
            let (id, commit) = server.commit(recipients, &content);
            let ended = vec![false; recipients];
            let standings = vec![Standing::default()];
            let known = Known { content, recipients, is_owed: false, is_gone: false, ended, standings };
            let before = self.known.insert(id, known);
            assert!(before.is_none_or(|known| !known.is_owed), "seed {}: number {id} given out twice", self.seed);
            waiting.push((id, commit));
        }
        let mut settled = Vec::new();
        for id in server.live() {
            if !self.dice.one_in(3) {
                continue;
            }
            let known = self.known.get_mut(&id).expect("only what was committed is live");
            let index = self.dice.below(known.recipients as u64) as usize;
            let outcome = match self.dice.below(4) {
                0 => Outcome::Deferred { reply: "451 later".into(), time_ms: 1, next_attempt_ms: 2 },
                1 => Outcome::Removed { time_ms: 3 },
                _ => delivered(),
            };
            known.ended[index] |= outcome.is_end();
            server.settle(id, vec![(index as u32, outcome)]);
            if !server.live().contains(&id) {
                known.is_owed = false;
                settled.push(id);
            }
        }
        let given = self.give_standings(server);
        let failures = server.usage().failures;
        server.step();
        if server.usage().failures == failures {
            for id in settled {
                self.known.get_mut(&id).expect("it was live").is_gone = true;
            }
        }
        self.take_as_safe(given);
        for (id, mut commit) in waiting {
            match answer(&mut commit).unwrap_or_else(|| panic!("seed {}: {id} has no answer", self.seed)) {
                Ok(acknowledged) => {
                    assert_eq!(acknowledged, id);
                    self.known.get_mut(&id).expect("it was committed").is_owed = true;
                }
                Err(_) => assert!(!server.live().contains(&id), "seed {}: {id} was refused", self.seed),
            }
        }
    }

    /// Lets some messages stand otherwise. Hands on how, with what says that it is safe, if anybody asked.
    fn give_standings(&mut self, server: &Server) -> Option<Given> {
        let mut given = Vec::new();
        for id in server.live() {
            if !self.dice.one_in(4) {
                continue;
            }
            let standing = Standing {
                suspended: self.dice.one_in(2),
                poison: self.dice.one_in(4),
                crashes: self.dice.below(3) as u32,
                redirect: self.dice.one_in(3).then(|| "Elsewhere".into()),
                priority: self.dice.one_in(3).then_some(Priority::Low),
            };
            spool::set_standing(&server.0.shared, id, standing.clone());
            self.known.get_mut(&id).expect("only what was committed is live").standings.push(standing.clone());
            given.push((id, standing));
        }
        self.dice.one_in(2).then(|| (given, spool::flushed(&server.0.shared)))
    }

    fn take_as_safe(&mut self, given: Option<Given>) {
        let Some((given, mut flushed)) = given else { return };
        let answer =
            answer(&mut flushed).unwrap_or_else(|| panic!("seed {}: nobody says whether it is safe", self.seed));
        if answer.is_ok() {
            for (id, standing) in given {
                self.known.get_mut(&id).expect("it was live").standings = vec![standing];
            }
        }
    }
}

/// Histories for each kind of fault; `GATEPOST_SEEDS` asks for another number of them.
const SEEDS: u64 = 100;

fn run(first: u64, faults: Faults) {
    let seeds = std::env::var("GATEPOST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in first..first + seeds {
        let mut history = History::new(seed);
        for _ in 0..6 {
            history.live_once(faults);
        }
        let server = history.open();
        history.check(&server);
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_power_cuts_and_kills() {
    run(0, Faults::default());
}

#[test]
fn nothing_acknowledged_is_lost_to_failing_flushes() {
    run(1 << 32, Faults { flush_one_in: 6, ..Faults::default() });
}

#[test]
fn nothing_acknowledged_is_lost_to_failing_writes() {
    run(2 << 32, Faults { write_one_in: 6, flush_one_in: 20, ..Faults::default() });
}

#[test]
fn nothing_acknowledged_is_lost_to_a_full_disk() {
    run(3 << 32, Faults { bytes_max: 20_000, ..Faults::default() });
}

#[test]
fn one_flush_serves_all_that_wait() {
    let disk = FakeDisk::new(1);
    let mut server = Server::open(&disk, &Options::default()).expect("it opens");
    server.accept(1, b"the first one names the segment");
    let before = server.usage().flushes;
    let mut commits: Vec<_> = (0..50).map(|_| server.commit(1, b"hello").1).collect();
    assert!(commits.iter_mut().all(|commit| answer(commit).is_none()));
    server.step();
    assert!(commits.iter_mut().all(|commit| matches!(answer(commit), Some(Ok(_)))));
    assert_eq!(server.usage().flushes, before + 1);
    for id in server.live() {
        server.settle(id, vec![(0, delivered())]);
    }
    server.step();
    assert_eq!(server.usage().flushes, before + 1, "outcomes alone do not flush");
}

#[test]
fn after_a_failed_flush_the_segment_is_sealed_and_service_resumes() {
    for seed in 0..20 {
        let disk = FakeDisk::new(seed);
        let mut server = Server::open(&disk, &Options::default()).expect("it opens");
        let before = server.accept(1, b"before");
        let settled = server.accept(1, b"settled, but its end goes down with the segment");
        server.settle(settled, vec![(0, delivered())]);
        server.step();
        disk.set_faults(Faults { flush_one_in: 1, ..Faults::default() });
        let (_, mut commit) = server.commit(1, b"refused");
        server.step();
        assert_eq!(answer(&mut commit), Some(Err(CommitError::Io(std::io::ErrorKind::Other))));
        assert_eq!(server.live(), [before]);
        disk.set_faults(Faults::default());
        let after = server.accept(1, b"after");
        assert_eq!(
            server.usage().segments,
            3,
            "the second would have said that the message is refused, and failed, too"
        );
        assert_eq!(read_all(&server.message(before).expect("it is live")), with_trace(b"before"));
        // What was refused does not come back, although the system still knows what was written; nor does what was
        // settled, although the system may have lost its end.
        for found in [disk.cut_power(), disk.kill()] {
            let server = Server::open(&found, &Options::default()).expect("it opens");
            assert_eq!(server.live(), [before, after], "seed {seed}");
        }
    }
}

#[test]
fn what_was_refused_after_a_failed_flush_does_not_come_back_whenever_the_crash_comes() {
    for seed in 0..50 {
        let disk = FakeDisk::new(seed);
        let mut server = Server::open(&disk, &Options::default()).expect("it opens");
        let before = server.accept(1, b"before");
        // One flush fails; those after it do not.
        disk.fail_next_flush();
        let (_, mut commit) = server.commit(1, b"refused");
        server.step();
        assert!(matches!(answer(&mut commit), Some(Err(CommitError::Io(_)))));
        // The peer has heard it, and the machine goes down at once.
        for found in [disk.cut_power(), disk.kill()] {
            let server = Server::open(&found, &Options::default()).expect("it opens");
            assert_eq!(server.live(), [before], "seed {seed}");
        }
    }
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_room() {
    let disk = FakeDisk::new(3);
    let mut server = Server::open(&disk, &Options::default()).expect("it opens");
    let before = server.accept(1, b"before");
    disk.set_faults(Faults { bytes_max: 1000, ..Faults::default() });
    for _ in 0..5 {
        let (_, mut commit) = server.commit(1, &[b'x'; 2000]);
        server.step();
        assert_eq!(answer(&mut commit), Some(Err(CommitError::Full)));
    }
    let (_, mut commit) = server.commit(1, &vec![b'x'; 300_000]);
    server.step();
    assert_eq!(answer(&mut commit), Some(Err(CommitError::Full)), "large ones too");
    assert_eq!(server.live(), [before]);
    disk.set_faults(Faults::default());
    server.settle_down();
    server.accept(1, &[b'x'; 2000]);
}

#[test]
fn any_damaged_bit_costs_one_record_at_most_and_is_reported() {
    let disk = FakeDisk::new(4);
    let mut server = Server::open(&disk, &Options::default()).expect("it opens");
    let contents: Vec<Vec<u8>> = (0..4_u8).map(|i| vec![i; 20 + usize::from(i)]).collect();
    let mut ids: Vec<_> = contents[..3].iter().map(|content| server.accept(1, content)).collect();
    server.settle(ids[0], vec![(0, delivered())]);
    ids.push(server.accept(1, &contents[3]));
    server.settle_down();
    drop(server);
    let log = Path::new(ROOT).join("log/0000000000000001.seg");
    let bits = disk.files().into_iter().find(|(path, _)| *path == log).expect("it is there").1.len() * 8;
    for bit in 0..bits {
        let damaged = disk.copy();
        damaged.flip(&log, bit);
        let server = Server::open(&damaged, &Options::default()).expect("damage is not fatal");
        let live = server.live();
        let set_aside = &server.recovery().set_aside;
        // The records are known to have been flushed, so no damage to them is taken for the end before a crash. The
        // last record only says so.
        let is_mark = bit >= bits - 48 * 8;
        assert!(server.recovery().torn_bytes == 0 || is_mark, "bit {bit}: {:?}", server.recovery());
        let lost = [ids[1], ids[2], ids[3]].iter().filter(|id| !live.contains(id)).count();
        let came_back = live.contains(&ids[0]);
        match set_aside.as_slice() {
            // The header of the segment is there twice; the padding of records means nothing.
            [] => assert!(lost == 0 && !came_back, "bit {bit}: {live:?}"),
            [one] => {
                assert!(lost <= 1 && !(lost == 1 && came_back), "bit {bit}: {live:?}");
                assert!(one.moved_to.is_some() && one.length < 400, "bit {bit}: {one:?}");
                let copies = damaged.list(&Path::new(ROOT).join("set-aside")).expect("it is there");
                assert_eq!(copies.iter().map(|copy| copy.bytes).collect::<Vec<_>>(), [one.length], "bit {bit}");
            }
            more => panic!("bit {bit}: {more:?}"),
        }
        for (id, content) in ids.iter().zip(&contents) {
            if live.contains(id) {
                assert_eq!(read_all(&server.message(*id).expect("it is live")), with_trace(content), "bit {bit}");
            }
        }
        if bit % 97 == 0 {
            let again = Server::open(&damaged, &Options::default()).expect("it opens");
            assert_eq!((again.live(), &again.recovery().set_aside), (live, set_aside), "bit {bit}");
        }
    }
}

#[test]
fn damage_that_comes_while_the_server_runs_is_set_aside_when_it_is_met() {
    let options = Options { cache_bytes_max: 0, ..Options::default() };
    for (large, path) in [(false, "log/0000000000000001.seg"), (true, "bodies/0000000000000001")] {
        let disk = FakeDisk::new(5);
        let mut server = Server::open(&disk, &options).expect("it opens");
        let bytes = if large { 300_000 } else { 3000 };
        let id = server.accept(1, &vec![b'x'; bytes]);
        let other = server.accept(1, b"other");
        assert!(server.message(id).is_ok());
        // A body is checked once after a start, so start again.
        let mut server = Server::open(&disk, &options).expect("it opens");
        disk.flip(&Path::new(ROOT).join(path), 8000);
        assert!(matches!(server.message(id), Err(ReadError::Corrupt)), "{path}");
        assert_eq!(server.live(), [other]);
        assert_eq!(server.usage().set_aside, 1);
        server.settle_down();
        assert!(!disk.list(&Path::new(ROOT).join("set-aside")).expect("it is there").is_empty());
        assert!(server.message(other).is_ok());
    }
}

#[test]
fn mail_that_contains_records_is_not_taken_for_records() {
    let disk = FakeDisk::new(6);
    let mut server = Server::open(&disk, &Options::default()).expect("it opens");
    server.accept(1, b"a record to copy");
    let log = Path::new(ROOT).join("log/0000000000000001.seg");
    let read = |disk: &FakeDisk| disk.files().into_iter().find(|(path, _)| *path == log).expect("it is there").1;
    let record = read(&disk)[FIRST_RECORD as usize..].to_vec();
    // Its true salt even, at every alignment: only the offset gives it away.
    let content: Vec<u8> = (0..9).flat_map(|i| [record.as_slice(), &[0; 9][..i]].concat()).collect();
    let evil = server.accept(1, &content);
    server.accept(1, b"behind it");
    // Damage the header of the record that contains them.
    disk.flip(&log, (FIRST_RECORD as usize + record.len()) * 8 + 3);
    let server = Server::open(&disk, &Options::default()).expect("it opens");
    let live: Vec<_> = server.live();
    assert_eq!(live.len(), 2);
    assert!(!live.contains(&evil));
}

#[test]
fn a_standing_survives_compaction_and_crashes_and_goes_with_its_message() {
    let disk = FakeDisk::new(12);
    let options = small();
    let mut server = Server::open(&disk, &options).expect("it opens");
    let held = server.accept(1, b"held");
    let standing = Standing { suspended: true, redirect: Some("Elsewhere".into()), ..Standing::default() };
    assert!(spool::set_standing(&server.0.shared, held, standing.clone()));
    assert!(!spool::set_standing(&server.0.shared, held, standing.clone()), "that is nothing new");
    assert!(!spool::set_standing(&server.0.shared, MessageId(9999), standing.clone()), "there is no such message");
    let mut flushed = spool::flushed(&server.0.shared);
    assert!(answer(&mut flushed).is_none());
    server.step();
    assert_eq!(answer(&mut flushed), Some(Ok(())));
    let again = spool::flushed(&server.0.shared);
    server.step();
    assert_eq!(again.wait(), Ok(()), "when nothing is to be flushed that is said at once");
    let told = |server: &Server| server.message(held).expect("it is live").standing;
    let crashed = Server::open(&disk.cut_power(), &options).expect("it opens");
    assert_eq!(told(&crashed), standing);
    // Until the segments of its record and of its standing are gone.
    while disk.list(&Path::new(ROOT).join("log")).expect("it is there").iter().any(|file| file.name.ends_with("1.seg"))
    {
        let id = server.accept(1, &[b'x'; 1000]);
        server.settle(id, vec![(0, delivered())]);
        server.step();
    }
    for found in [disk.cut_power(), disk.kill()] {
        let mut server = Server::open(&found, &options).expect("it opens");
        assert_eq!(told(&server), standing);
        assert!(spool::set_standing(&server.0.shared, held, Standing::default()));
        server.settle_down();
        let server = Server::open(&found.cut_power(), &options).expect("it opens");
        assert_eq!(told(&server), Standing::default(), "the later one holds");
    }
    server.settle(held, vec![(0, delivered())]);
    assert_eq!(server.0.shared.index().standing(held.0), None);
    assert_eq!(server.0.shared.index().standings().count(), 0);
}

#[test]
fn whoever_asks_hears_that_a_failing_disk_keeps_nothing() {
    let disk = FakeDisk::new(13);
    let mut server = Server::open(&disk, &Options::default()).expect("it opens");
    let held = server.accept(1, b"held");
    for (faults, expected) in [
        (Faults { flush_one_in: 1, ..Faults::default() }, Err(CommitError::Io(std::io::ErrorKind::Other))),
        (Faults { bytes_max: 10, ..Faults::default() }, Err(CommitError::Full)),
        (Faults::default(), Ok(())),
    ] {
        disk.set_faults(faults);
        let suspended = expected.is_err() != server.0.shared.index().standing(held.0).expect("live").suspended;
        spool::set_standing(&server.0.shared, held, Standing { suspended, crashes: 1, ..Standing::default() });
        let mut flushed = spool::flushed(&server.0.shared);
        server.step();
        let mut answered = answer(&mut flushed);
        if expected.is_ok() && answered != Some(expected) {
            // The reserve is made again first.
            server.settle_down();
            let mut flushed = spool::flushed(&server.0.shared);
            server.step();
            answered = answer(&mut flushed);
        }
        assert_eq!(answered, Some(expected), "{faults:?}");
    }
}

#[test]
fn space_stays_within_twice_the_live_bytes_and_two_segments() {
    let disk = FakeDisk::new(7);
    let options = small();
    let mut server = Server::open(&disk, &options).expect("it opens");
    let mut stuck = Vec::new();
    for i in 0..4000 {
        let id = server.accept(2, &[b'x'; 200]);
        if i % 100 == 0 {
            server.settle(id, vec![(1, delivered())]);
            stuck.push(id);
        } else {
            server.settle(id, vec![(0, delivered()), (1, delivered())]);
        }
        let usage = server.usage();
        // A batch may overshoot a segment by its own length.
        let bound = 2 * usage.live_bytes + 2 * options.segment_bytes + 3000;
        assert!(usage.disk_bytes <= bound, "{usage:?}");
    }
    server.settle_down();
    for server in [&server, &Server::open(&disk.copy(), &options).expect("it opens")] {
        assert_eq!(server.live(), stuck);
        for id in &stuck {
            let message = server.message(*id).expect("it is live");
            assert_eq!(read_all(&message), with_trace(&[b'x'; 200]));
            let states: Vec<_> = message.recipients.iter().map(|recipient| recipient.state).collect();
            assert_eq!(states, [State::Pending, State::Delivered]);
        }
    }
    for id in stuck {
        server.settle(id, vec![(0, delivered())]);
    }
    server.settle_down();
    server.accept(1, b"the last");
    assert!(server.usage().segments <= 2, "{:?}", server.usage());
}

#[test]
fn what_a_failed_flush_may_have_lost_is_not_relied_on_by_the_next_server() {
    // The system forgets that a failed flush failed: what it lost still looks well until the power is cut.
    for seed in 0..40 {
        let disk = FakeDisk::new(seed);
        let options = small();
        let mut server = Server::open(&disk, &options).expect("it opens");
        let stuck = server.accept(1, b"stuck");
        let large = server.accept(1, &[b'x'; 9000]);
        while !server.0.committer.has_compaction_to_do() {
            let id = server.accept(1, &[b'x'; 1000]);
            server.settle(id, vec![(0, delivered())]);
        }
        // A copy of the stuck message and the end of the large one are written; their flush fails.
        disk.set_faults(Faults { flush_one_in: 1, ..Faults::default() });
        server.settle(large, vec![(0, delivered())]);
        server.step();
        disk.set_faults(Faults::default());
        let disk = disk.kill();
        let mut server = Server::open(&disk, &options).expect("it opens");
        assert_eq!(server.live(), [stuck], "seed {seed}");
        if seed % 2 == 0 {
            server.step();
        }
        let server = Server::open(&disk.cut_power(), &options).expect("it opens");
        assert!(server.live().contains(&stuck), "seed {seed}");
        let told: Vec<_> = server.recovery().set_aside.iter().filter(|s| s.reason.contains("missing")).collect();
        assert!(told.is_empty(), "seed {seed}: {told:?}");
    }
}

#[test]
fn a_body_file_lives_as_long_as_its_message() {
    let disk = FakeDisk::new(8);
    let options = small();
    let mut server = Server::open(&disk, &options).expect("it opens");
    let bodies = |disk: &FakeDisk| disk.list(&Path::new(ROOT).join("bodies")).expect("it is there").len();
    let id = server.accept(1, &[b'x'; 9000]);
    server.settle(id, vec![(0, delivered())]);
    server.step();
    assert_eq!(bodies(&disk), 1, "its end is not flushed");
    server.accept(1, b"flushes");
    server.step();
    assert_eq!(bodies(&disk), 0);
    // One whose body is missing is set aside, and the others live.
    let id = server.accept(1, &[b'x'; 9000]);
    disk.remove(&Path::new(ROOT).join(format!("bodies/{:016x}", id.0))).expect("it is there");
    let server = Server::open(&disk, &options).expect("it opens");
    assert_eq!(server.live().len(), 1);
    assert!(server.recovery().set_aside[0].reason.contains("missing"), "{:?}", server.recovery());
}

#[test]
fn numbers_go_on_above_the_highest_one_however_many_left_no_trace() {
    /// More than the leap that each start makes.
    const WITHOUT_A_TRACE: usize = 70_000;
    let disk = FakeDisk::new(10);
    let mut server = Server::open(&disk, &small()).expect("it opens");
    server.accept(1, b"begins the segment");
    (0..WITHOUT_A_TRACE).for_each(|_| drop(server.stage()));
    let last = server.accept(1, b"in the same segment");
    let disk = disk.kill();
    let server = Server::start(&disk, &small()).expect("it opens");
    (0..WITHOUT_A_TRACE).for_each(|_| drop(server.stage()));
    let mut arriving = server.stage();
    assert!(arriving.id() > last, "{} after {last}", arriving.id());
    arriving.write(&[b'x'; 5000]).expect("there is room");
    // All that is left of it is the name of its body file.
    let disk = disk.kill();
    let next = Server::start(&disk, &small()).expect("it opens").stage().id();
    assert!(next > arriving.id(), "{next} after {}", arriving.id());
}

#[test]
fn a_segment_of_a_newer_format_is_refused() {
    let disk = FakeDisk::new(9);
    Server::open(&disk, &small()).expect("it opens").accept(1, b"hello");
    let (path, mut bytes) =
        disk.files().into_iter().find(|(path, _)| path.ends_with("0000000000000001.seg")).expect("it");
    disk.remove(&path).expect("it is there");
    bytes[8] = FORMAT as u8 + 1;
    let crc = crate::record::checksum(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    let file = disk.create(&path).expect("it is gone");
    file.append(&mut [std::io::IoSlice::new(&bytes)]).expect("there is room");
    let refused = Server::open(&disk, &small()).err().expect("it is newer");
    assert!(matches!(refused, OpenError::NewerFormat { found: 2, .. }), "{refused:?}");
}
