//! Conservation (invariant I4) in a simulated world: of whatever is accepted, each recipient ends delivered, failed and
//! reported, removed by an administrator, or held.
//!
//! The whole transport runs on one thread with a clock that jumps to the next event: the real sessions, queues, workers,
//! reports and spool, on a disk that tears, fails and fills up, between clients that are cut off, next hops that refuse,
//! stumble and fall silent, name servers that fail, and an administrator who reloads, removes and sets the clock. The
//! server is killed, loses its power and is stopped in the middle of it, and starts again on what is left. A ledger beside
//! it knows what was promised and seen, and judges at the end. Each seed is one history that can be run again:
//! `GATEPOST_SEED=7 cargo test -p gatepost-transport conservation`; more of them: `GATEPOST_SEEDS=1000`.

mod story;
mod client;
mod outside;
mod next_hop;
mod world;
mod passports;
mod ledger;
mod scene;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ledger::Summary;
use story::Ended;

/// How many histories a usual test run plays.
const SEEDS: u64 = 12;
/// No history takes that long, however slow the machine: one that does hangs.
const HANGS_AFTER: Duration = Duration::from_secs(15 * 60);

#[test]
fn conservation_each_accepted_recipient_ends_delivered_reported_removed_or_held() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (first, count) = match asked("GATEPOST_SEED") {
        Some(seed) => (seed, 1),
        None => (asked("GATEPOST_FIRST_SEED").unwrap_or(1), asked("GATEPOST_SEEDS").unwrap_or(SEEDS)),
    };
    let summary = Mutex::new(Summary::default());
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        let threads = if count > SEEDS { 2 } else { 1 };
        let players: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + count {
                            return;
                        }
                        let ended = play(seed);
                        assert!(ended.wrong.is_empty(), "{}", ended.wrong);
                        summary.lock().unwrap_or_else(PoisonError::into_inner).add(&ended.summary);
                    }
                })
            })
            .collect();
        for player in players {
            if let Err(panic) = player.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{count} seeds from {first}: {summary:?}");
    if count >= SEEDS {
        summary.assert_that_everything_happened();
    }
}

#[test]
fn a_seed_gives_the_same_history_each_time() {
    for seed in [3, 4] {
        let (once, again) = (play(seed), play(seed));
        let differs = once.history.lines().zip(again.history.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(once.summary, again.summary, "seed {seed}");
    }
}

/// Plays one history in a thread of its own, so that one which hangs is told by its seed.
fn play(seed: u64) -> Ended {
    let (tell, told) = channel();
    let player = std::thread::spawn(move || {
        let ended = story::play(seed);
        // Whoever waited has given up.
        let _ = tell.send(());
        ended
    });
    if let Err(RecvTimeoutError::Timeout) = told.recv_timeout(HANGS_AFTER) {
        panic!("seed {seed} hangs. Again: GATEPOST_SEED={seed} cargo test -p gatepost-transport conservation");
    }
    player.join().unwrap_or_else(|panic| {
        eprintln!("seed {seed} panicked. Again: GATEPOST_SEED={seed} cargo test -p gatepost-transport conservation");
        std::panic::resume_unwind(panic)
    })
}
