//! One bit of a spool flipped, anywhere: a live record is set aside and reported and all others are delivered as they were
//! accepted; what is not needed, or can be made again, has no effect.

use super::*;
use crate::verify::verify_on;

/// What a spool held when its server was killed.
struct Held {
    disk: FakeDisk,
    /// Live messages with their content.
    live: BTreeMap<MessageId, Vec<u8>>,
    /// Every message, the ended ones too.
    all: BTreeMap<MessageId, Vec<u8>>,
}

/// Small and large messages; live, partly delivered, ended; some moved by compaction. Every content is like no other.
fn held(seed: u64) -> Held {
    let disk = FakeDisk::new(seed);
    let mut dice = Dice(seed ^ 0xb175);
    let mut server = Server::open(&disk, &small()).expect("it opens");
    let (mut live, mut all) = (BTreeMap::new(), BTreeMap::new());
    for i in 0..60_u64 {
        let bytes = if dice.one_in(6) { 1600 + dice.below(1500) } else { 30 + dice.below(700) };
        let content: Vec<u8> = format!("<{i}>").bytes().cycle().take(bytes as usize).collect();
        let recipients = 1 + dice.below(3) as usize;
        let id = server.accept(recipients, &content);
        let ended = match dice.below(8) {
            0 => 0,
            1 if recipients > 1 => 1,
            _ => recipients,
        };
        server.settle(id, (0..ended as u32).map(|index| (index, delivered())).collect());
        all.insert(id, with_trace(&content));
        if ended < recipients {
            live.insert(id, with_trace(&content));
        }
        if dice.one_in(4) {
            server.settle_down();
        }
    }
    server.settle_down();
    drop(server);
    let names = names_in(&disk, "log");
    assert!(!names.contains(&crate::segment::file_name(1)), "compaction has moved something: {names:?}");
    Held { disk: disk.copy(), live, all }
}

fn names_in(disk: &FakeDisk, folder: &str) -> Vec<String> {
    disk.names(&Path::new(ROOT).join(folder)).expect("the disk works")
}

/// Where the contents of ended messages lie in a file of the log, and nothing else.
fn dead_contents(held: &Held, bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let dead = held.all.iter().filter(|(id, _)| !held.live.contains_key(id)).map(|(_, content)| content);
    let place = |content: &Vec<u8>| {
        let at = bytes.windows(content.len()).position(|window| window == content)?;
        Some(at..at + content.len())
    };
    dead.filter_map(place).collect()
}

fn flip_one(held: &Held, path: &Path, bit: usize, is_dead: bool) {
    let place = format!("{} bit {bit}", path.display());
    let disk = held.disk.copy();
    disk.flip(path, bit);
    let verified = verify_on(&disk, Path::new(ROOT), |_| {}).unwrap_or_else(|error| panic!("{place}: {error}"));
    let mut server = Server::open(&disk, &small()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let found = server.live();
    let mut delivered_ids = Vec::new();
    for id in &found {
        let Ok(message) = server.message(*id) else { continue };
        assert_eq!(Some(&read_all(&message)), held.all.get(id), "{place}: message {id} is not as it was accepted");
        delivered_ids.push(*id);
    }
    let lost: Vec<_> = held.live.keys().filter(|id| !delivered_ids.contains(id)).collect();
    let returned: Vec<_> = delivered_ids.iter().filter(|id| !held.live.contains_key(id)).collect();
    let set_aside = server.usage().set_aside;
    assert!(lost.len() <= 1, "{place}: {lost:?} are lost");
    if !lost.is_empty() {
        assert!(set_aside > 0 && !names_in(&disk, "set-aside").is_empty(), "{place}: lost without a word");
        assert!(!verified.is_sound() || verified.torn_bytes > 0, "{place}: {verified:?}");
    }
    // Only the outcomes that ended them, damaged, bring messages back.
    assert!(returned.is_empty() || (lost.is_empty() && set_aside > 0), "{place}: {returned:?} come back");
    let is_log = path.starts_with(Path::new(ROOT).join("log"));
    let is_body = path.starts_with(Path::new(ROOT).join("bodies"));
    if is_dead || !(is_log || is_body) {
        assert!(lost.is_empty() && returned.is_empty(), "{place}: no effect");
        let found = &server.recovery().set_aside;
        assert!(found.iter().all(|one| path.ends_with("FORMAT") && one.file == path), "{place}: {found:?}");
        assert!(verified.is_sound(), "{place}: {verified:?}");
    }
    // All that is left is delivered, and stays so.
    for id in server.live() {
        server.settle(id, (0..3).map(|index| (index, delivered())).collect());
    }
    server.settle_down();
    drop(server);
    assert_eq!(Server::open(&disk, &small()).expect("it opens").live(), [], "{place}");
}

#[test]
fn a_flipped_bit_costs_at_most_the_message_that_it_hit() {
    // `GATEPOST_FLIPS=n`: n spools, and every bit of each, minutes for one. Not `GATEPOST_SEEDS`, of which other tests take
    // thousands.
    let seeds: Option<u64> = std::env::var("GATEPOST_FLIPS").ok().and_then(|seeds| seeds.parse().ok());
    let mut flips = 0;
    for seed in 0..seeds.unwrap_or(1) {
        let held = held(seed);
        let mut dice = Dice(seed);
        for (path, bytes) in held.disk.files() {
            let dead = dead_contents(&held, &bytes);
            let is_reserve = path.ends_with("reserve");
            let step = match seeds {
                Some(_) if !is_reserve => 1,
                _ => {
                    if is_reserve {
                        4001
                    } else if bytes.len() < 200 {
                        1
                    } else {
                        97
                    }
                }
            };
            let mut bit = 0;
            while bit < bytes.len() * 8 {
                flip_one(&held, &path, bit, dead.iter().any(|range| range.contains(&(bit / 8))));
                flips += 1;
                bit += if step == 1 { 1 } else { 1 + dice.below(2 * step) as usize };
            }
        }
        assert!(
            !dead_contents(&held, &held.disk.files().into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>())
                .is_empty()
        );
    }
    assert!(flips > 2_000, "{flips}");
}
