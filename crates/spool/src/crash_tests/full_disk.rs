//! A full disk empties itself: whatever fills it, and whether or not the server is killed on the way.

use super::*;

const RESERVE_BYTES: u64 = 6000;
/// A message that meets the full disk so often and no oftener, while nothing else comes.
const REFUSALS_MAX: u32 = 3;

fn at_most(bytes_max: u64) -> Faults {
    Faults { bytes_max, ..Faults::default() }
}

impl FakeDisk {
    fn used(&self) -> u64 {
        self.files().iter().map(|(_, content)| content.len() as u64).sum()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let listed = self.list(&Path::new(ROOT).join(folder)).expect("the disk works");
        listed.into_iter().map(|listed| listed.name).collect()
    }
}

impl Server {
    /// Some seconds in which nothing comes.
    fn rest(&mut self) {
        for _ in 0..3 {
            self.settle_down();
        }
    }

    /// Commits a message that may be refused a few times: each time some room is given back.
    fn accept_at_last(&mut self, content: &[u8]) -> MessageId {
        for _ in 0..REFUSALS_MAX {
            let (id, mut commit) = self.commit(1, content);
            self.step();
            match answer(&mut commit) {
                Some(Ok(_)) => return id,
                refused => assert_eq!(refused, Some(Err(CommitError::Full))),
            }
            self.rest();
        }
        self.accept(1, content)
    }

    /// Commits messages until a few in a row were refused. Adds those that were not to `accepted`.
    fn fill(&mut self, dice: &mut Dice, accepted: &mut Vec<MessageId>) {
        let mut refused = 0;
        while refused < 5 {
            let bytes = if dice.one_in(4) { dice.below(5000) } else { dice.below(1400) };
            let (id, mut commit) = self.commit(1, &vec![b'x'; bytes as usize]);
            self.step();
            match answer(&mut commit).expect("there is an answer") {
                Ok(_) => accepted.push(id),
                Err(error) => {
                    assert_eq!(error, CommitError::Full);
                    refused += 1;
                }
            }
            if dice.one_in(3) {
                let deferred = Outcome::Deferred { reply: "451 later".into(), time_ms: 1, next_attempt_ms: 2 };
                let id = accepted.get(dice.below(accepted.len().max(1) as u64) as usize);
                id.into_iter().for_each(|id| self.settle(*id, vec![(0, deferred.clone())]));
            }
            if dice.one_in(10) {
                self.rest();
            }
        }
    }
}

/// Fills a disk, perhaps kills the server, delivers all but a few messages, perhaps killed in between, and looks for
/// what is left of it.
fn fill_and_empty(seed: u64) {
    let mut dice = Dice(seed ^ 0xf011);
    let mut options = Options { reserve_bytes: RESERVE_BYTES, ..small() };
    if dice.one_in(2) {
        options.segment_bytes = 1 << 20; // all in one segment
    }
    let full = match dice.one_in(4) {
        true => Faults { files_max: 6 + dice.below(6), bytes_max: 60_000, ..Faults::default() },
        false => at_most(20_000 + dice.below(20_000)),
    };
    let mut disk = FakeDisk::new(seed);
    let mut server = Server::open(&disk, &options).expect("it opens");
    disk.set_faults(full);
    let killed = |server: Server, disk: &mut FakeDisk| {
        drop(server);
        *disk = disk.kill();
        disk.set_faults(full);
        Server::open(disk, &options).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
    };
    let mut accepted = Vec::new();
    server.fill(&mut dice, &mut accepted);
    assert!(!accepted.is_empty(), "seed {seed}");
    for _ in 0..dice.below(3) {
        server = killed(server, &mut disk);
        if dice.one_in(2) {
            server.fill(&mut dice, &mut accepted);
        }
    }
    assert_eq!(server.live(), accepted, "seed {seed}: nothing is lost");
    let stuck = if dice.one_in(2) { Vec::new() } else { vec![accepted[dice.below(accepted.len() as u64) as usize]] };
    let mut waiting: Vec<_> = accepted.into_iter().filter(|id| !stuck.contains(id)).collect();
    while !waiting.is_empty() {
        for _ in 0..1 + dice.below(4) {
            if !waiting.is_empty() {
                let id = waiting.swap_remove(dice.below(waiting.len() as u64) as usize);
                assert!(server.message(id).is_ok(), "seed {seed}: {id}");
                server.settle(id, vec![(0, delivered())]);
            }
        }
        server.step();
        // Each start costs a file, and the reserve is one.
        if full.files_max == 0 && dice.one_in(8) {
            server = killed(server, &mut disk);
            let mut expected = [waiting.as_slice(), &stuck].concat();
            expected.sort_unstable();
            assert_eq!(server.live(), expected, "seed {seed}: what was delivered is not delivered again");
        }
    }
    server.rest();
    let bound = 2 * server.usage().live_bytes + 2 * options.segment_bytes + 2 * RESERVE_BYTES;
    assert!(disk.used() <= bound, "seed {seed}: {} bytes are used, {:?}", disk.used(), server.usage());
    assert_eq!(disk.names("set-aside"), Vec::<String>::new(), "seed {seed}");
    assert_eq!(disk.names("").iter().filter(|name| *name == "reserve").count(), 1, "seed {seed}");
    // More than the disk can hold, delivered at once: what meets the full disk again is taken a moment later.
    for _ in 0..40 {
        let id = server.accept_at_last(&[b'x'; 1000]);
        server.settle(id, vec![(0, delivered())]);
    }
    server.rest();
    let small = server.accept_at_last(b"small");
    let large = server.accept_at_last(&[b'x'; 3000]);
    let server = killed(server, &mut disk);
    assert_eq!(server.live(), [stuck, vec![small, large]].concat(), "seed {seed}");
}

#[test]
fn a_full_disk_empties_itself_and_takes_mail_again() {
    let seeds = std::env::var("GATEPOST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    (0..4 * seeds).for_each(fill_and_empty);
}

/// A server with one segment and messages in it on a disk that is full to the last byte, killed while it wrote
/// `torn_bytes` more. What lies in the reserve's place decides whether there is one.
fn torn_and_full(torn_bytes: usize) -> (FakeDisk, Vec<MessageId>, u64) {
    let options = Options { reserve_bytes: RESERVE_BYTES, ..Options::default() };
    let disk = FakeDisk::new(1);
    let mut server = Server::open(&disk, &options).expect("it opens");
    let ids: Vec<_> = (0..20).map(|_| server.accept(1, &[b'x'; 1000])).collect();
    let path = Path::new(ROOT).join("log/0000000000000001.seg");
    let log = disk.open(&path).expect("it is there");
    log.append(&mut [std::io::IoSlice::new(&vec![b'y'; torn_bytes])]).expect("there is room");
    drop(server);
    let disk = disk.kill();
    let used = disk.used();
    disk.set_faults(at_most(used));
    (disk, ids, used)
}

#[test]
fn what_could_not_be_set_aside_on_a_full_disk_is_set_aside_before_its_segment_goes() {
    // A copy that fits into the reserve, and one that does not: then the whole segment is kept.
    for (torn_bytes, kept) in [(2000, "0000000000000001.seg-at-"), (2 * RESERVE_BYTES as usize, "0000000000000001.seg")]
    {
        let (disk, ids, used) = torn_and_full(torn_bytes);
        let options = Options { reserve_bytes: RESERVE_BYTES, ..Options::default() };
        let mut server = Server::open(&disk, &options).expect("it opens");
        assert_eq!(server.live(), ids);
        assert!(server.recovery().set_aside.iter().all(|set_aside| set_aside.moved_to.is_none()));
        assert_eq!(disk.names("set-aside"), Vec::<String>::new(), "no half copy takes up the room");
        for id in ids {
            server.settle(id, vec![(0, delivered())]);
            server.step();
        }
        server.rest();
        let copies = disk.names("set-aside");
        assert!(copies.len() == 1 && copies[0].starts_with(kept), "{copies:?}");
        assert!(!disk.names("log").contains(&"0000000000000001.seg".to_owned()));
        if torn_bytes < RESERVE_BYTES as usize {
            assert!(disk.used() < used - 10_000, "{} of {used}", disk.used());
            server.accept(1, b"there is room again");
        }
    }
}

#[test]
fn a_full_disk_without_a_reserve_empties_itself_with_its_oldest_segment() {
    let (disk, ids, _) = torn_and_full(0);
    disk.remove(&Path::new(ROOT).join("reserve")).expect("it is there");
    disk.set_faults(at_most(disk.used()));
    let options = Options { reserve_bytes: RESERVE_BYTES, ..Options::default() };
    let mut server = Server::open(&disk, &options).expect("it opens");
    assert_eq!(server.live(), ids);
    let (_, mut commit) = server.commit(1, b"hello");
    server.step();
    assert_eq!(answer(&mut commit), Some(Err(CommitError::Full)));
    assert_eq!(server.stage().write(&[b'x'; 300_000]), Err(crate::staged::StageError::Full), "large ones too");
    disk.set_faults(at_most(disk.used() + 2 * RESERVE_BYTES));
    server.rest();
    server.accept(1, b"there is room");
}

#[test]
fn outcomes_that_bring_no_room_wait_for_it_in_memory() {
    let (disk, ids, used) = torn_and_full(0);
    let options = Options { reserve_bytes: RESERVE_BYTES, ..Options::default() };
    let mut server = Server::open(&disk, &options).expect("it opens");
    let deferred = |time_ms| Outcome::Deferred { reply: "451 later".into(), time_ms, next_attempt_ms: 2 };
    for round in 0..50 {
        ids.iter().for_each(|id| server.settle(*id, vec![(0, deferred(round))]));
        server.step();
        server.rest();
    }
    // Those of the first round may have been written; the reserve was not spent on them.
    assert!(disk.used() <= used - RESERVE_BYTES, "{} of {used}", disk.used());
    disk.set_faults(Faults::default());
    server.rest();
    server.rest();
    drop(server);
    let server = Server::open(&disk.kill(), &options).expect("it opens");
    for id in ids {
        let state = &server.message(id).expect("it is live").recipients[0];
        assert_eq!((state.attempts, state.last_attempt_ms), (50, 49));
    }
}
