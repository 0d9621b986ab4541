//! Somebody records elsewhere what the log says, loses what was not safe there with each crash, and reads the log again:
//! nothing that was accepted is unknown then, and every end is known as it was.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::history::Told;
use crate::mark::Mark;

/// How a recipient ended, by which reply, and when.
type End = (State, Option<Box<str>>, u64);

/// What is known elsewhere of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Recorded {
    is_accepted: bool,
    label: Vec<u8>,
    /// The ends of its recipients.
    ends: BTreeMap<u32, End>,
    /// The log said that it ended, and not how.
    is_ended_somehow: bool,
}

/// What was noted, and what of it is safe.
#[derive(Default)]
struct Recorder {
    noted: BTreeMap<MessageId, Recorded>,
    safe: BTreeMap<MessageId, Recorded>,
}

impl Recorder {
    /// All that was noted is safe now, and the spool hears of it.
    fn record(&mut self, server: &Server) {
        let mark = server.0.shared.index().mark();
        self.safe = self.noted.clone();
        spool::recorded_up_to(&server.0.shared, mark);
    }

    /// The process is gone, and with it what was not safe.
    fn crash(&mut self) {
        self.noted = self.safe.clone();
    }

    /// Reads what the log says. Says whether all of it was there.
    fn read(&mut self, server: &Server, (from, to): (Mark, Mark)) -> bool {
        let mut refused = BTreeSet::new();
        let noted = &mut self.noted;
        let end = |noted: &mut BTreeMap<MessageId, Recorded>, id, (i, state): (u32, RecipientState)| {
            if state.state != State::Pending {
                let recorded: &mut Recorded = noted.entry(id).or_default();
                recorded.ends.insert(i, (state.state, state.last_reply, state.last_attempt_ms));
            }
        };
        let is_whole = crate::history::read(&server.0.shared, from, to, |told| match told {
            Told::Accepted { id, envelope, bytes, label, recipients } => {
                assert!(bytes > 0 && !envelope.recipients.is_empty());
                let recorded = noted.entry(id).or_default();
                recorded.is_accepted = true;
                recorded.label = label.unwrap_or_default().to_vec();
                recipients.into_iter().for_each(|state| end(noted, id, state));
            }
            Told::Changed { id, recipient, state } => end(noted, id, (recipient, state)),
            Told::Ended { id, recipients } => {
                noted.entry(id).or_default().is_ended_somehow |= recipients.is_empty();
                recipients.into_iter().for_each(|state| end(noted, id, state));
            }
            Told::Refused { id } => {
                refused.insert(id);
            }
        });
        refused.iter().for_each(|id| drop(noted.remove(id)));
        is_whole.expect("the disk works")
    }
}

fn label_of(id: MessageId) -> Vec<u8> {
    format!("label of {id}").into_bytes()
}

/// What the test did with a message.
struct Done {
    is_acknowledged: bool,
    recipients: usize,
    /// What was settled, as it is to be known: a power cut may undo it, and then it ends anew.
    ends: BTreeMap<u32, Vec<End>>,
}

fn run(first: u64, faults: Faults) {
    let mut held = 0;
    for seed in first..first + SEEDS {
        let mut dice = Dice(seed ^ 0x1abe1);
        let mut disk = FakeDisk::new(seed);
        let options = Options { held_bytes_max: 1 << 20, ..small() };
        let mut recorder = Recorder::default();
        let mut done: BTreeMap<MessageId, Done> = BTreeMap::new();
        for _ in 0..6 {
            let mut server = Server::open(&disk, &options).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let unrecorded = server.recovery().unrecorded;
            assert!(recorder.read(&server, unrecorded), "seed {seed}: something is missing, {unrecorded:?}");
            check(seed, &server, &recorder, &done);
            if dice.one_in(2) {
                recorder.record(&server);
            }
            if dice.one_in(2) {
                disk.set_faults(faults);
            }
            for _ in 0..dice.below(25) {
                round(&mut server, &mut dice, &mut recorder, &mut done);
                if dice.one_in(5) {
                    recorder.record(&server);
                }
                if dice.one_in(5) && faults == Faults::default() {
                    server.settle_down();
                }
            }
            let index = server.0.shared.index();
            held += index
                .segments()
                .filter(|(number, segment)| segment.live_bytes == 0 && index.is_unrecorded(*number))
                .count();
            assert_eq!(
                server.0.shared.counters.unrecorded.load(std::sync::atomic::Ordering::Relaxed),
                0,
                "seed {seed}"
            );
            drop(index);
            disk.set_faults(Faults::default());
            recorder.crash();
            disk = if dice.one_in(2) { disk.kill() } else { disk.cut_power() };
        }
    }
    assert!(held > 0, "nothing ever had to be held");
}

fn check(seed: u64, server: &Server, recorder: &Recorder, done: &BTreeMap<MessageId, Done>) {
    let live = server.live();
    for (id, Done { is_acknowledged, recipients, ends }) in done {
        let recorded = recorder.noted.get(id);
        if !is_acknowledged {
            continue;
        }
        let recorded = recorded.unwrap_or_else(|| panic!("seed {seed}: nobody knows of {id}"));
        assert!(recorded.is_accepted, "seed {seed}: {id} is known by its end only");
        assert_eq!(recorded.label, label_of(*id), "seed {seed}: {id}");
        for (i, end) in &recorded.ends {
            assert!(ends.get(i).is_some_and(|ends| ends.contains(end)), "seed {seed}: {id}, recipient {i}: {end:?}");
        }
        if !live.contains(id) {
            assert_eq!(recorded.ends.len(), *recipients, "seed {seed}: nobody knows how {id} ended: {recorded:?}");
        }
    }
}

fn round(server: &mut Server, dice: &mut Dice, recorder: &mut Recorder, done: &mut BTreeMap<MessageId, Done>) {
    let mut waiting = Vec::new();
    for _ in 0..dice.below(4) {
        let recipients = 1 + dice.below(3) as usize;
        let mut staged = server.stage();
        let id = staged.id();
        let bytes = if dice.one_in(8) { 3_000 } else { dice.below(900) };
        let _ = staged.write(&vec![b'x'; bytes as usize]);
        staged.set_label(label_of(id));
        waiting.push((id, recipients, staged.commit(envelope(recipients), TRACE.to_vec())));
    }
    for id in server.live() {
        if !dice.one_in(3) {
            continue;
        }
        let known = done.get_mut(&id).expect("only what was committed is live");
        let recipient = dice.below(known.recipients as u64) as u32;
        let time_ms = 1 + dice.below(1_000);
        let reply = || format!("250 {time_ms}").into_boxed_str();
        let (outcome, end) = match dice.below(5) {
            0 => (Outcome::Deferred { reply: reply(), time_ms, next_attempt_ms: 2 }, None),
            1 => (Outcome::Failed { reply: reply(), time_ms }, Some((State::Failed, Some(reply()), time_ms))),
            _ => (Outcome::Delivered { reply: reply(), time_ms }, Some((State::Delivered, Some(reply()), time_ms))),
        };
        let is_pending = |(_, state): &(usize, &RecipientState)| state.state == State::Pending;
        let states = server.0.shared.index().states(id.0).unwrap_or_default();
        let pending: Vec<usize> = states.iter().enumerate().filter(is_pending).map(|(i, _)| i).collect();
        if !pending.contains(&(recipient as usize)) {
            continue;
        }
        if let Some(end) = end {
            // Noted before it is settled.
            known.ends.entry(recipient).or_default().push(end.clone());
            recorder.noted.entry(id).or_default().ends.insert(recipient, end);
        }
        let ended = spool::settle(&server.0.shared, id, vec![(recipient, outcome)]);
        assert_eq!(ended, !server.live().contains(&id));
    }
    let ids: Vec<(MessageId, usize)> = waiting.iter().map(|(id, recipients, _)| (*id, *recipients)).collect();
    for (id, recipients) in ids {
        done.insert(id, Done { is_acknowledged: false, recipients, ends: BTreeMap::new() });
    }
    server.step();
    for (id, _, mut commit) in waiting {
        if answer(&mut commit).is_some_and(|answer| answer.is_ok()) {
            done.get_mut(&id).expect("it was entered").is_acknowledged = true;
            let recorded = recorder.noted.entry(id).or_default();
            (recorded.is_accepted, recorded.label) = (true, label_of(id));
        }
    }
}

#[test]
fn whatever_crashes_all_that_was_accepted_and_how_it_ended_is_recorded_or_in_the_log() {
    run(0, Faults::default());
}

#[test]
fn the_same_with_flushes_and_writes_that_fail() {
    run(1 << 32, Faults { flush_one_in: 8, write_one_in: 30, ..Faults::default() });
}

#[test]
fn what_nobody_records_is_not_held_for_ever() {
    let disk = FakeDisk::new(5);
    let options = Options { held_bytes_max: 20_000, ..small() };
    let mut server = Server::open(&disk, &options).expect("it opens");
    for _ in 0..200 {
        let id = server.accept(1, &[b'x'; 500]);
        server.settle(id, vec![(0, delivered())]);
        server.step();
    }
    server.settle_down();
    let usage = server.usage();
    assert!(usage.disk_bytes <= 20_000 + 3 * options.segment_bytes + 2_000, "{usage:?}");
    assert!(usage.unrecorded > 0, "{usage:?}");
    assert!(server.0.shared.index().awaits_recording());

    // Once it is recorded the rest goes, and nothing of that is missed.
    let before = server.usage().unrecorded;
    let mark = server.0.shared.index().mark();
    spool::recorded_up_to(&server.0.shared, mark);
    server.settle_down();
    let usage = server.usage();
    assert!(usage.disk_bytes <= 2 * options.segment_bytes + 2_000, "{usage:?}");
    assert_eq!(usage.unrecorded, before);
    assert!(!server.0.shared.index().awaits_recording());
    // What was recorded is known after a restart.
    drop(server);
    let server = Server::open(&disk.kill(), &options).expect("it opens");
    assert!(server.recovery().unrecorded.0 >= mark);
}
