//! A wall clock that is set by a day while mail waits: nothing is lost, nothing waits for a day, nothing is tried in a
//! storm, nothing expires before its time.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gatepost_testkit::port;
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;
use gatepost_testkit::wall_clock::WallClock;
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

const DAY_S: i64 = 24 * 60 * 60;
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Messages for each of the two next hops: enough for several connections.
const MESSAGES: usize = 60;

/// Two next hops that take nothing until they are told to, and the clock of the server that sends to them.
struct Scene {
    // Dropped in this order: the server ends first.
    site: Site,
    clock: WallClock,
    /// Defers each recipient.
    deferring: Sink,
    /// Turns each connection away.
    closed: Sink,
    is_busy: Arc<AtomicBool>,
    /// How often each recipient was named to the one that defers.
    attempts: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Scene {
    /// Starts with a clock that is ahead by so much.
    fn start(retry: &str, ahead_s: i64) -> Scene {
        let is_busy = Arc::new(AtomicBool::new(true));
        let attempts = Arc::new(Mutex::new(BTreeMap::new()));
        let busy = || {
            let is_busy = is_busy.clone();
            move || is_busy.load(Ordering::SeqCst)
        };
        let deferring = Setup::new().answering({
            let (is_busy, attempts) = (busy(), attempts.clone());
            move |stage, _| match stage {
                Stage::Rcpt(path) if is_busy() => {
                    *attempts.lock().expect("nobody panics with it").entry(path.to_owned()).or_default() += 1;
                    Action::Reply("450 4.2.1 mailbox busy")
                }
                _ => Action::Accept,
            }
        });
        let closed = Setup::new().answering({
            let is_busy = busy();
            move |stage, _| match stage {
                Stage::Connect if is_busy() => Action::ReplyAndClose("421 4.3.2 closed for now"),
                _ => Action::Accept,
            }
        });
        let (deferring, closed) = (deferring.start(), closed.start());
        // One that the others' alarms do not depend on: its first message makes the server look at the clock.
        let ways: String = [("gmail.com", &deferring), ("outlook.com", &deferring), ("hotmail.com", &closed)]
            .iter()
            .map(|(domain, sink)| {
                format!(
                    "[[send_connector]]\nname = \"{domain}\"\naddress_spaces = [\"{domain}\"]\nsmart_hosts = [\"{}\"]\n",
                    sink.smart_host()
                )
            })
            .collect();
        let mut hung_up = None;
        let site = Site::start_prepared(&[CONTOSO, retry, OPEN_TO_TESTS, &ways], |installation| {
            let clock = WallClock::right(installation.folder());
            clock.set(ahead_s);
            installation.hang_up_clock(&clock);
            hung_up = Some(clock);
        });
        let clock = hung_up.expect("it was just hung up");
        let scene = Scene { site, clock, deferring, closed, is_busy, attempts };
        let mut client = scene.site.client(HOST_2);
        for i in 0..MESSAGES {
            for domain in ["gmail.com", "hotmail.com"] {
                let recipient = format!("n{i}@{domain}");
                let reply = client.submit("<bob@contoso.com>", &[&recipient], &message(&format!("number {i}"), "x"));
                assert_eq!(reply.code(), 250, "{reply}");
            }
        }
        scene
    }

    fn status(&self) -> Value {
        self.site.installation.json(&["status"])
    }

    /// The queue for the next hop that turns connections away, once it waits for a time.
    fn closed_queue_waits(&self) -> u64 {
        wait::until("the queue waits", || {
            let status = self.status();
            let queue = status["queues"].as_array()?.iter().find(|queue| queue["connector"] == "hotmail.com")?.clone();
            queue["next_retry_ms"].as_u64().filter(|_| queue["connections"] == 0)
        })
    }

    /// Waits until so many attempts at the other one have come to their end.
    fn wait_for_deferred(&self, count: usize) {
        wait::until("the attempts are over", || {
            (self.status()["counters"]["deferred"].as_u64()? >= count as u64).then_some(())
        });
    }

    /// How often the recipients of a domain were tried: the fewest and the most.
    fn tried(&self, domain: &str) -> (usize, usize) {
        let attempts = self.attempts.lock().expect("nobody panics with it");
        let of_domain = attempts.iter().filter(|(path, _)| path.contains(domain)).map(|(_, count)| *count);
        (of_domain.clone().min().unwrap_or(0), of_domain.max().unwrap_or(0))
    }

    /// Sends a message to a next hop that was not used yet and defers it, so that the server looks at the clock.
    fn submit_another(&self, name: &str) {
        let deferred = self.status()["counters"]["deferred"].as_u64().expect("a number");
        let recipient = format!("{name}@outlook.com");
        let reply = self.site.client(HOST_2).submit("<bob@contoso.com>", &[&recipient], &message(name, "x"));
        assert_eq!(reply.code(), 250, "{reply}");
        self.wait_for_deferred(deferred as usize + 1);
    }

    /// Everything waits, for at most an hour by the server's clock; nothing was given up.
    fn check_that_all_wait(&self, messages: usize) {
        let listing = self.site.installation.json(&["queue", "list", "--limit", "1000"]);
        let now_ms = self.clock.now_ms();
        let waiting = listing["messages"].as_array().expect("a list");
        assert_eq!(waiting.len(), messages, "{listing}");
        for message in waiting {
            let recipient = &message["recipients"][0];
            let next_ms = recipient["next_attempt_ms"].as_u64().unwrap_or_else(|| panic!("no next attempt: {message}"));
            let is_right = next_ms > now_ms + HOUR_MS / 2 && next_ms <= now_ms + HOUR_MS + 1_000;
            assert!(is_right, "in {} ms: {message}", next_ms.cast_signed() - now_ms.cast_signed());
        }
        let counters = &self.status()["counters"];
        assert_eq!((&counters["failed"], &counters["reports"]), (&Value::from(0), &Value::from(0)), "{counters}");
    }

    /// From now on the next hops take everything.
    fn be_served(&self) {
        self.is_busy.store(false, Ordering::SeqCst);
    }

    /// Everything has arrived, once, and the server stops.
    fn check_arrivals(self, others: usize) {
        self.deferring.wait_for(MESSAGES + others);
        self.closed.wait_for(MESSAGES);
        wait::until("the queue is empty", || (self.status()["spool"]["messages"] == 0).then_some(()));
        for (sink, count) in [(&self.deferring, MESSAGES + others), (&self.closed, MESSAGES)] {
            let mut recipients: Vec<_> = sink.taken().into_iter().flat_map(|taken| taken.recipients).collect();
            recipients.sort();
            recipients.dedup();
            assert_eq!((sink.count(), recipients.len()), (count, count), "each once");
        }
        assert!(self.site.server.stop().success());
    }
}

fn hourly() -> String {
    QUICK_RETRY.replace("00:00:01", "01:00:00")
}

#[test]
fn a_clock_set_forward_by_a_day_makes_each_message_due_once() {
    let scene = Scene::start(&hourly(), 0);
    scene.wait_for_deferred(MESSAGES);
    scene.closed_queue_waits();
    let (connections, turned_away) = (scene.deferring.connections(), scene.closed.connections());
    assert_eq!(scene.tried("gmail.com"), (1, 1));

    scene.clock.set(DAY_S);
    scene.submit_another("forward");
    scene.wait_for_deferred(2 * MESSAGES + 1);
    let next_ms = wait::until("the closed next hop was tried", || {
        Some(scene.closed_queue_waits()).filter(|next_ms| *next_ms > scene.clock.now_ms())
    });
    assert!(next_ms <= scene.clock.now_ms() + HOUR_MS);
    assert_eq!((scene.tried("gmail.com"), scene.tried("outlook.com")), ((2, 2), (1, 1)));
    assert_eq!(scene.closed.connections(), turned_away + 1, "one finds out for all");
    // One for each 20 that wait, and some for workers that end while there is work; not one for each.
    let opened = scene.deferring.connections() - connections;
    assert!(opened <= MESSAGES / 4, "{opened} connections");
    scene.check_that_all_wait(2 * MESSAGES + 1);

    scene.be_served();
    scene.site.installation.output(&["queue", "retry", "--all"]);
    scene.check_arrivals(1);
}

#[test]
fn a_clock_set_back_by_a_day_lets_nothing_wait_for_a_day() {
    let scene = Scene::start(&QUICK_RETRY.replace("00:00:01", "00:00:02"), 0);
    scene.wait_for_deferred(MESSAGES);
    scene.closed_queue_waits();
    // Everything waits for a time that the clock will show in a day only. Nobody helps.
    scene.clock.set(-DAY_S);
    scene.be_served();
    scene.check_arrivals(0);
}

#[test]
fn a_clock_set_back_and_forward_by_a_day_makes_nothing_due() {
    let scene = Scene::start(&hourly(), 0);
    scene.wait_for_deferred(MESSAGES);
    scene.closed_queue_waits();
    let turned_away = scene.closed.connections();
    for (ahead_s, name) in [(-DAY_S, "back"), (0, "right"), (-DAY_S, "back-again")] {
        scene.clock.set(ahead_s);
        scene.submit_another(name);
        assert_eq!((scene.tried("gmail.com"), scene.tried("outlook.com")), ((1, 1), (1, 1)), "{name}");
        assert_eq!(scene.closed.connections(), turned_away, "{name}");
    }
    scene.check_that_all_wait(2 * MESSAGES + 3);

    scene.be_served();
    scene.site.installation.output(&["queue", "retry", "--all"]);
    scene.check_arrivals(3);
}

#[test]
fn a_restart_with_the_clock_set_back_by_a_day_lets_nothing_wait_for_a_day() {
    let mut scene = Scene::start(QUICK_RETRY, DAY_S);
    scene.wait_for_deferred(MESSAGES);
    scene.closed_queue_waits();
    scene.site = scene.site.restart(|server| {
        assert!(server.stop().success());
        scene.clock.set(0);
        scene.is_busy.store(false, Ordering::SeqCst);
    });
    scene.check_arrivals(0);
}

#[test]
fn what_waits_for_a_next_hop_that_was_not_reached_for_too_long_is_routed_anew() {
    let retry = format!("{QUICK_RETRY}max_idle_time_before_resubmit = \"00:01:00\"\n");
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let mut hung_up = None;
    let site =
        Site::start_prepared(&[CONTOSO, &retry, OPEN_TO_TESTS, &to_sink(&nowhere.to_string())], |installation| {
            let clock = WallClock::right(installation.folder());
            installation.hang_up_clock(&clock);
            hung_up = Some(clock);
        });
    let clock = hung_up.expect("it was just hung up");
    let id = site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("waits", "x")).queue_id();
    wait::until("a connection could not be opened", || {
        let status = site.installation.json(&["status"]);
        (status["queues"][0]["retry_count"].as_u64()? > 0).then_some(())
    });
    clock.set(2 * 60);
    site.server.wait_for_log_text("everything is routed anew");
    // It goes the same way, and is not lost on it.
    let sink = Setup::new().at(nowhere).start();
    site.installation.output(&["queue", "retry", &id]);
    assert!(sink.first().text().contains("Subject: waits"));
    wait::until("the queue is empty", || (site.installation.json(&["queue", "list"])["total"] == 0).then_some(()));
    assert_eq!(sink.count(), 1);
}
