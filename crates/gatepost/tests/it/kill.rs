//! kill -9: a real server under load is killed again and again, at any step of its peers and at any call to its disk, also
//! while it starts.
//!
//! `GATEPOST_KILLS` asks for another number of kills than [`KILLS`].

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gatepost_testkit::dice::Dice;
use gatepost_testkit::installation::Installation;
use gatepost_testkit::port;
use gatepost_testkit::shim::{Action, Rule, Shim, call};
use gatepost_testkit::sink::Sink;
use gatepost_testkit::wait;
use serde_json::Value;

use crate::numbered::{
    Arrivals, Ledger, Load, Place, arrived_at_sink, arrived_in_mailbox, check_passports, connect, fresh_seed, next_hop,
    places, settings, submit,
};
use crate::site::Site;

const KILLS: usize = 20;
/// So many kills of one installation.
const KILLS_OF_A_HISTORY: usize = 20;
const SESSIONS: usize = 8;

#[test]
fn nothing_acknowledged_is_lost_to_kill_9_at_random_instants() {
    let kills = std::env::var("GATEPOST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut dice = Dice(fresh_seed());
    let (mut done, mut acknowledged, mut twice) = (0, 0, 0);
    while done < kills {
        let some = (kills - done).min(KILLS_OF_A_HISTORY);
        let (accepted, again) = kill_again_and_again(dice.next(), some);
        (done, acknowledged, twice) = (done + some, acknowledged + accepted, twice + again);
    }
    let _ = writeln!(
        std::io::stderr(),
        "kill -9: {done} times, {acknowledged} messages acknowledged, none lost, {twice} arrived twice"
    );
}

/// How many messages were acknowledged, and how many arrived more than once.
fn kill_again_and_again(seed: u64, kills: usize) -> (usize, usize) {
    let mut dice = Dice(seed);
    let defers = Arc::new(AtomicBool::new(true));
    let sink = next_hop({
        let defers = Arc::clone(&defers);
        move || defers.load(Ordering::SeqCst)
    })
    .start();
    let (mut site, shim) = Site::start_watched(&[&settings(&sink.smart_host())], 0);
    let load = Load::new(site.smtp(), 0..usize::MAX);
    site = std::thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| load.run());
        }
        // A panic in here must not leave the sessions running for ever.
        let stop = StopOnDrop(&load);
        for kill in 0..kills {
            wait_for_death(&mut site, &shim, &load, &mut dice, &format!("seed {seed:016x}, kill {kill}"));
            site = start_again(site, &shim, &mut dice);
        }
        drop(stop);
        site
    });
    defers.store(false, Ordering::SeqCst);
    wait::until("everything is delivered", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
    let told = load.told();
    let sound = |arrivals: Result<Arrivals, String>| arrivals.unwrap_or_else(|problem| panic!("{problem}"));
    let mut arrivals = sound(arrived_at_sink(&sink.taken()));
    arrivals.extend(sound(arrived_in_mailbox(&site.installation)));
    for number in &told.acknowledged {
        for place in places(*number) {
            let is_there = arrivals.contains_key(&(*number, *place));
            assert!(is_there, "seed {seed:016x}: message {number} was acknowledged, and is lost ({place:?})");
        }
    }
    for (number, reply) in &told.refused {
        let is_there = places(*number).iter().any(|place| arrivals.contains_key(&(*number, *place)));
        assert!(!is_there, "seed {seed:016x}: message {number} was refused, and came all the same: {reply}");
    }
    check_only_what_was_in_flight_comes_twice(&Ledger::read(&shim.events()), seed);
    let data_dir = site.installation.data_dir();
    assert!(site.server.stop().success());
    check_passports(&data_dir, told.acknowledged.iter().copied(), false)
        .unwrap_or_else(|problem| panic!("seed {seed:016x}: {problem}"));
    (told.acknowledged.len(), arrivals.values().filter(|count| **count > 1).count())
}

struct StopOnDrop<'a>(&'a Load);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Lets the server die: from outside after so many steps of its peers, or at one of its calls to the disk.
fn wait_for_death(site: &mut Site, shim: &Shim, load: &Load, dice: &mut Dice, what: &str) {
    let steps = load.steps.load(Ordering::SeqCst) + dice.below(400) as usize;
    match dice.below(4) {
        0 => shim.set_rules(&[Rule::new(call::CHANGES, "", Action::Kill).after(dice.below(200)).once()]),
        1 => shim.set_rules(&[Rule::new(call::WRITE, "/spool/", Action::Tear).after(dice.below(40)).once()]),
        _ => {
            let reached = wait::within(wait::PATIENCE, || (load.steps.load(Ordering::SeqCst) >= steps).then_some(()));
            assert!(reached.is_some(), "{what}: the server stands still:\n{}", site.server.log());
            return;
        }
    }
    let died = wait::within(wait::PATIENCE, || (!site.server.is_running()).then_some(()));
    assert!(died.is_some(), "{what}: the server does not meet its end:\n{}", site.server.log());
}

/// Starts the server again; every second time it is killed once more on the way.
fn start_again(site: Site, shim: &Shim, dice: &mut Dice) -> Site {
    site.restart_after(|server, installation| {
        server.kill();
        if dice.below(2) == 0 {
            start_and_kill_at(installation, shim, dice.below(60));
        }
        shim.set_rules(&[]);
    })
}

/// Starts a server that is killed at its call number `calls` that changes the disk, or when it has recovered everything.
/// Returns whether it came to that call.
fn start_and_kill_at(installation: &Installation, shim: &Shim, calls: u64) -> bool {
    shim.set_rules(&[Rule::new(call::CHANGES, "", Action::Kill).after(calls).once()]);
    match installation.try_start() {
        Err(refused) => assert_eq!(refused.status.signal(), Some(9), "{}", refused.output),
        Ok(server) => {
            // It takes messages, and recovery goes on behind that.
            wait::until("recovery has ended", || {
                let status = installation.run(&["status", "--json"]);
                let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
                (shim.met(0) > 0 || status["recovering"] == false).then_some(())
            });
            server.kill();
        }
    }
    shim.met(0) > 0
}

/// A message whose delivery was handed to the spool, and written with it, is not even tried by a later run. Reports are
/// left out: each is in the spool before the failure that it tells of, so a kill between the two makes a second one.
fn check_only_what_was_in_flight_comes_twice(ledger: &Ledger, seed: u64) {
    for delivery in ledger.deliveries.iter().filter(|delivery| delivery.place != Place::Report) {
        let Some(next_start) = ledger.starts.iter().find(|start| **start > delivery.taken_at) else { continue };
        let is_over = delivery.settled_at.is_some_and(|settled_at| ledger.is_written(settled_at, *next_start));
        let is_tried_again = ledger
            .attempts
            .iter()
            .any(|(number, place, at)| (*number, *place) == (delivery.number, delivery.place) && at > next_start);
        assert!(!(is_over && is_tried_again), "seed {seed:016x}: {delivery:?} was over, and was tried again");
    }
}

#[test]
fn killed_again_and_again_while_it_starts_the_queue_stays_as_it_was() {
    const MESSAGES: usize = 48;
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let (mut site, shim) = Site::start_watched(&[&settings(&format!("[{}]:{}", nowhere.ip(), nowhere.port()))], 0);
    let mut client = connect(site.smtp()).expect("it takes connections");
    for number in 0..MESSAGES {
        assert_eq!(submit(&mut client, number, || ()).expect("a reply").code(), 250);
    }
    // The end of the log is half written.
    shim.set_rules(&[Rule::new(call::WRITE, ".seg", Action::Tear).once()]);
    assert!(submit(&mut client, MESSAGES, || ()).is_err(), "the server dies on the way");
    // At every call in a long run, else at every third or so.
    let stride = if std::env::var_os("GATEPOST_KILLS").is_some() { 1 } else { 3 };
    let mut calls = Dice(fresh_seed()).below(stride);
    let folder = site.installation.data_dir().join("spool");
    let mut sizes = Vec::new();
    site = site.restart_after(|server, installation| {
        server.kill();
        while start_and_kill_at(installation, &shim, calls) {
            calls += stride;
            sizes.push(bytes_below(&folder));
        }
        shim.set_rules(&[]);
    });
    assert!(sizes.len() > 3, "a start changes the disk more often than {calls} times");
    let bytes = bytes_below(&folder);
    assert!(bytes < 2 * sizes[0] + (1 << 20), "the folder grows with every start: {sizes:?}, then {bytes} bytes");
    let sink: Sink = next_hop(|| false).at(nowhere).start();
    wait::until("everything is delivered", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
    let mut arrivals = arrived_at_sink(&sink.taken()).expect("sound");
    arrivals.extend(arrived_in_mailbox(&site.installation).expect("sound"));
    for number in 0..MESSAGES {
        for place in places(number) {
            assert_eq!(arrivals.get(&(number, *place)), Some(&1), "message {number} ({place:?})");
        }
    }
}

#[test]
fn killed_anywhere_while_it_makes_its_certificate_the_server_starts_the_next_time() {
    let (site, shim) = Site::start_watched(&[&settings("[127.0.0.1]:25")], 0);
    let tls = site.installation.data_dir().join("tls");
    let mut killed = 0;
    site.restart_after(|server, installation| {
        server.kill();
        loop {
            fs::remove_dir_all(&tls).expect("the folder of the certificate");
            shim.set_rules(&[Rule::new(call::CHANGES, "/tls", Action::Kill).after(killed).once()]);
            let first = installation.try_start();
            let was_killed = shim.met(0) > 0;
            shim.set_rules(&[]);
            if !was_killed {
                first.expect("nothing is in its way").kill();
                break;
            }
            assert!(first.is_err());
            let next = installation.try_start();
            next.unwrap_or_else(|refused| panic!("killed at call {killed}: {}", refused.output)).kill();
            killed += 1;
        }
    });
    assert!(killed > 4, "making two files takes more calls than {killed}");
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a readable folder").flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}
