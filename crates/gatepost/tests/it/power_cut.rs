//! Power cuts: a real server is watched under load, and started again on what a power cut would have left.
//!
//! One history has many instants at which the power may fail, and each has many outcomes. `GATEPOST_CUTS` asks for
//! another number of cuts than [`CUTS`]. A cut that fails leaves its history behind, and says how to cut it again.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatepost_testkit::dice::Dice;
use gatepost_testkit::installation::Server;
use gatepost_testkit::power_cut;
use gatepost_testkit::shim::{Action, Event, Rule, call, error, read_events};
use gatepost_testkit::wait;

use crate::numbered::{
    Arrivals, Ledger, Load, Place, arrived_at_sink, arrived_in_mailbox, check_passports, folder_of, fresh_seed,
    is_patient, next_hop, places, settings,
};
use crate::site::Site;

const CUTS: usize = 20;
/// So many cuts of one history.
const CUTS_OF_A_HISTORY: usize = 100;
const MESSAGES: usize = 500;
const SESSIONS: usize = 6;

#[test]
fn nothing_acknowledged_is_lost_to_a_power_cut_of_the_real_server() {
    if let (Ok(history), Ok(cut)) = (std::env::var("GATEPOST_HISTORY"), std::env::var("GATEPOST_CUT")) {
        let events = read_events(Path::new(&history));
        let (position, seed) = cut.split_once(',').expect("GATEPOST_CUT is position,seed");
        let cut = Cut {
            position: position.parse().expect("a position is a number"),
            seed: seed.parse().expect("a seed is a number"),
        };
        cut.check(&events, &Ledger::read(&events)).unwrap_or_else(|problem| panic!("{problem}"));
        return;
    }
    let cuts = std::env::var("GATEPOST_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(CUTS);
    let mut dice = Dice(fresh_seed());
    let (mut done, mut again) = (0, 0);
    while done < cuts {
        let seed = dice.next();
        let history = record(seed);
        let events = read_events(&history);
        let some = (cuts - done).min(CUTS_OF_A_HISTORY);
        again += cut_again_and_again(&history, &events, seed, some);
        done += some;
        fs::remove_file(&history).expect("the history is ours");
    }
    let _ = writeln!(std::io::stderr(), "power cuts: {done}, nothing lost, {again} messages arrived twice");
}

/// A server under load whose disk fails now and then, which is killed and started again once. Returns where its records
/// are.
fn record(seed: u64) -> PathBuf {
    let mut dice = Dice(seed);
    let sink = next_hop(|| true).start();
    let (mut site, shim) = Site::start_watched(&[&settings(&sink.smart_host())], u32::MAX);
    let load = Load::new(site.smtp(), 0..MESSAGES);
    let kill_at = MESSAGES / 4 + dice.below(MESSAGES as u64 / 4) as usize;
    site = std::thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| load.run());
        }
        let reach = |count| {
            let reached = wait::within(wait::PATIENCE, || (load.acknowledged() >= count).then_some(()));
            if reached.is_none() {
                load.stop();
                panic!("only {} messages were acknowledged", load.acknowledged());
            }
        };
        let faults = [
            Rule::new(call::FLUSH, ".seg", Action::Fail(error::EIO)).after(dice.below(3)).once(),
            Rule::new(call::WRITE, ".seg", Action::Fail(error::ENOSPC)).after(dice.below(3)).once(),
            Rule::new(call::WRITE, ".seg", Action::Short).after(dice.below(3)).once(),
        ];
        reach(MESSAGES / 8);
        shim.set_rules(&faults[..1]);
        reach(kill_at);
        site = site.restart(Server::kill);
        reach(MESSAGES * 5 / 8);
        shim.set_rules(&faults[1..]);
        site
    });
    wait::until("what can be delivered is delivered", || {
        // A report that found no room in the spool rests for a minute.
        site.installation.output(&["queue", "retry", "--all"]);
        let patient = (0..MESSAGES).filter(|number| is_patient(*number)).count();
        (site.installation.json(&["status"])["spool"]["messages"].as_u64()? <= patient as u64).then_some(())
    });
    let told = load.told();
    check_refused(&told.refused.keys().copied().collect::<Vec<_>>(), &arrived_at_sink(&sink.taken()).expect("sound"))
        .unwrap_or_else(|problem| panic!("{problem}"));
    assert!(told.acknowledged.len() > MESSAGES / 2, "{} of {MESSAGES} acknowledged", told.acknowledged.len());
    let kept = std::env::temp_dir().join(format!("gatepost-history-{seed:016x}"));
    assert!(site.server.stop().success());
    fs::rename(shim.file(), &kept).expect("keep the records");
    kept
}

fn check_refused(refused: &[usize], arrivals: &Arrivals) -> Result<(), String> {
    let came: Vec<_> = refused.iter().filter(|number| arrivals.contains_key(&(**number, Place::NextHop))).collect();
    if came.is_empty() { Ok(()) } else { Err(format!("refused, and delivered all the same: {came:?}")) }
}

/// Cuts one history so many times; how many messages arrived twice.
fn cut_again_and_again(history: &Path, events: &[Event], seed: u64, count: usize) -> usize {
    let ledger = Ledger::read(events);
    let mut dice = Dice(seed);
    let acknowledgements: Vec<usize> = ledger.acknowledged.values().copied().collect();
    let cuts: Vec<Cut> = (0..count)
        .map(|i| {
            // Every second cut comes just when somebody hears 250: nothing after it helps.
            let position = match i % 2 {
                0 => acknowledgements[dice.below(acknowledgements.len() as u64) as usize] + 1,
                _ => dice.below(events.len() as u64) as usize,
            };
            Cut { position, seed: dice.next() }
        })
        .collect();
    let (next, twice) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let problem = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(cut) = cuts.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match cut.check(events, &ledger) {
                        Ok(again) => drop(twice.fetch_add(again, Ordering::SeqCst)),
                        Err(text) => {
                            next.store(cuts.len(), Ordering::SeqCst);
                            *problem.lock().expect("no thread panics with the lock") = Some((*cut, text));
                        }
                    }
                }
            });
        }
    });
    if let Some((cut, problem)) = problem.into_inner().expect("no thread panics with the lock") {
        panic!(
            "history {seed:016x}, cut at {} of {} with seed {}: {problem}\n\
             the same cut again: GATEPOST_HISTORY={} GATEPOST_CUT={},{} ./test power_cut",
            cut.position,
            events.len(),
            cut.seed,
            history.display(),
            cut.position,
            cut.seed
        );
    }
    twice.into_inner()
}

/// The power fails behind so many events; what is left of things that were not flushed follows from the seed.
#[derive(Clone, Copy, Debug)]
struct Cut {
    position: usize,
    seed: u64,
}

impl Cut {
    /// Starts a server on what is left, and looks at what it delivers; how many messages arrived once more.
    fn check(&self, events: &[Event], ledger: &Ledger) -> Result<usize, String> {
        let sink = next_hop(|| false).start();
        let started = Site::try_start_prepared(&[&settings(&sink.smart_host())], |installation| {
            let folder = installation.data_dir();
            fs::create_dir(&folder).expect("a fresh folder");
            power_cut::replay(&events[..self.position], self.seed, &folder_of(events), &folder);
        });
        let site = started.map_err(|refused| format!("the server does not start:\n{}", refused.output))?;
        let ended = wait::within(wait::PATIENCE, || {
            let status = site.installation.json(&["status"]);
            (status["spool"]["messages"] == 0 && status["recovering"] != true).then_some(())
        });
        ended.ok_or_else(|| format!("some messages come to no end:\n{}", site.server.log()))?;
        let mut arrivals = arrived_at_sink(&sink.taken())?;
        let again = self.compare(ledger, &arrivals)?;
        arrivals.extend(arrived_in_mailbox(&site.installation)?);
        self.check_nothing_is_lost(ledger, &arrivals)?;
        for line in site.server.log_lines() {
            // Half-written ends only: nothing that was flushed is ever damaged by a power cut.
            let reason = line["reason"]
                .as_str()
                .filter(|_| line["message"].as_str().is_some_and(|text| text.starts_with("the spool is damaged")));
            let is_end = |reason: &str| {
                reason.contains("never acknowledged")
                    || reason.contains("no readable header")
                    || reason.contains("does not say a format")
            };
            if reason.is_some_and(|reason| !is_end(reason)) {
                return Err(format!("the spool was damaged: {line}"));
            }
        }
        let data_dir = site.installation.data_dir();
        if !site.server.stop().success() {
            return Err("the server does not end well".into());
        }
        let acknowledged = ledger.acknowledged.iter().filter(|(_, at)| **at < self.position);
        check_passports(&data_dir, acknowledged.map(|(number, _)| *number), true)?;
        Ok(again)
    }

    fn check_nothing_is_lost(&self, ledger: &Ledger, arrivals: &Arrivals) -> Result<(), String> {
        let is_taken = |number, place| {
            let taken = |delivery: &&crate::numbered::Delivery| delivery.taken_at < self.position;
            let before = ledger.deliveries.iter().filter(taken);
            before.into_iter().any(|delivery| (delivery.number, delivery.place) == (number, place))
        };
        for (number, _) in ledger.acknowledged.iter().filter(|(_, at)| **at < self.position) {
            for place in places(*number) {
                if !arrivals.contains_key(&(*number, *place)) && !is_taken(*number, *place) {
                    return Err(format!("message {number} was acknowledged, and is lost ({place:?})"));
                }
            }
        }
        Ok(())
    }

    /// Nothing comes again whose end was safe, and nothing at all that was refused; how much came again.
    fn compare(&self, ledger: &Ledger, arrivals: &Arrivals) -> Result<usize, String> {
        let mut again = 0;
        for delivery in ledger.deliveries.iter().filter(|delivery| delivery.taken_at < self.position) {
            if !arrivals.contains_key(&(delivery.number, delivery.place)) {
                continue;
            }
            again += 1;
            // A report is in the spool before the failure that it tells of: a kill between the two makes a second one.
            let is_report = delivery.place == Place::Report;
            if !is_report && delivery.settled_at.is_some_and(|settled_at| ledger.is_flushed(settled_at, self.position))
            {
                return Err(format!("message {} was delivered, that was flushed, and it came again", delivery.number));
            }
        }
        let is_certain = |at: usize| at < self.position && ledger.is_flushed(at, self.position);
        let refused: Vec<_> =
            ledger.refused.iter().filter(|(_, at)| is_certain(**at)).map(|(number, _)| *number).collect();
        check_refused(&refused, arrivals)?;
        Ok(again)
    }
}
