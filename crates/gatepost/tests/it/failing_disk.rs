//! A disk that fails: every kind of call that a message needs fails in the real server, for a while. Who sends then is told
//! to come again, nobody is told 250, nothing is sent that was refused, and service resumes by itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::Server;
use gatepost_testkit::shim::error::{EIO, EMFILE, ENOSPC, EROFS};
use gatepost_testkit::shim::{Action, Event, Rule, Shim, call};
use gatepost_testkit::wait;

use crate::numbered::{Place, arrived_at_sink, connect, next_hop, settings, submit};
use crate::site::{HOST_2, Site, message};

const SMALL: usize = 0;
const LARGE: usize = 1;

/// Sends numbered messages one after the other, and keeps what became of them.
struct Sender {
    site: Site,
    shim: Shim,
    client: Option<Client>,
    next: usize,
    acknowledged: Vec<usize>,
    refused: Vec<usize>,
}

impl Sender {
    fn start(smart_host: &str) -> Sender {
        let (site, shim) = Site::start_watched(&[&settings(smart_host)], 0);
        Sender { site, shim, client: None, next: 0, acknowledged: Vec::new(), refused: Vec::new() }
    }

    /// Sends the next message of this sort, which its number says; the reply.
    fn send(&mut self, sort: usize) -> String {
        self.next = self.next / 16 * 16 + 16;
        let number = self.next + sort;
        let mut client = self.client.take().or_else(|| connect(self.site.smtp())).expect("it takes connections");
        let reply = submit(&mut client, number, || ()).expect("a reply");
        match reply.code() {
            250 => self.acknowledged.push(number),
            _ => self.refused.push(number),
        }
        if reply.code() != 421 {
            self.client = Some(client);
        }
        reply.to_string()
    }

    /// Sends messages until one is taken.
    fn wait_for_service(&mut self, what: &str, sort: usize) {
        let resumed = wait::within(wait::PATIENCE, || self.send(sort).starts_with("250 ").then_some(()));
        assert!(resumed.is_some(), "{what}: service does not resume:\n{}", self.site.server.log());
    }

    /// Everything acknowledged arrives once, nothing refused arrives; also after a kill.
    fn check_arrivals(mut self, sink: &gatepost_testkit::sink::Sink) {
        let settled = |site: &Site| {
            wait::until("everything is delivered", || {
                (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
            });
        };
        settled(&self.site);
        check_segments_stay_sealed(&self.shim.events());
        // All that was recorded before this one is on the disk with it; this one itself may come twice.
        assert!(self.send(SMALL).starts_with("250 "));
        let last = self.acknowledged.pop().expect("it was acknowledged");
        self.site = self.site.restart(Server::kill);
        settled(&self.site);
        let expected: BTreeMap<_, _> = self.acknowledged.iter().map(|number| ((*number, Place::NextHop), 1)).collect();
        let mut arrived = arrived_at_sink(&sink.taken()).expect("sound");
        assert!(arrived.remove(&(last, Place::NextHop)).is_some(), "the last one is lost");
        assert_eq!(arrived, expected, "refused were {:?}", self.refused);
    }
}

/// A segment whose flush failed is neither flushed nor written to any more.
fn check_segments_stay_sealed(events: &[Event]) {
    let mut open: HashMap<i32, PathBuf> = HashMap::new();
    let mut sealed: HashSet<PathBuf> = HashSet::new();
    for event in events {
        let is_sealed = |fd: &i32| open.get(fd).is_some_and(|path| sealed.contains(path));
        match event {
            Event::Opened { fd, path, .. } => drop(open.insert(*fd, path.clone())),
            Event::FlushBegan { fd, .. } => assert!(!is_sealed(fd), "{:?} was flushed again", open[fd]),
            Event::Written { fd, .. } => assert!(!is_sealed(fd), "{:?} was written to again", open[fd]),
            Event::FlushEnded { fd, error, .. } if *error != 0 => {
                let path = open[fd].clone();
                if path.extension().is_some_and(|extension| extension == "seg") {
                    sealed.insert(path);
                }
            }
            _ => {}
        }
    }
}

/// A call that fails as long as the disk does.
struct Case {
    what: &'static str,
    calls: u32,
    /// Of files whose path contains this.
    part: &'static str,
    /// But not this, unless it is empty.
    without: &'static str,
    /// The sort of message that needs the call.
    sort: usize,
    /// What the log says then.
    log: &'static str,
}

const LOG: &str = "the log of the spool could not be written";
const BODY: &str = "the body of a message could not be made safe";
const STAGE: &str = "content could not be staged";

const fn case(what: &'static str, calls: u32, part: &'static str, sort: usize, log: &'static str) -> Case {
    Case { what, calls, part, without: "", sort, log }
}

const CASES: &[Case] = &[
    case("a write to the log", call::WRITE, ".seg", SMALL, LOG),
    case("a flush of the log", call::FLUSH, ".seg", SMALL, LOG),
    case("beginning a segment", call::CREATE | call::FLUSH, ".seg", SMALL, LOG),
    case("a flush of the log's folder", call::FLUSH, "/spool/log", SMALL, LOG),
    case("a write to the log behind a body", call::WRITE, ".seg", LARGE, LOG),
    case("a flush of the log behind a body", call::FLUSH, ".seg", LARGE, LOG),
    case("making a body file", call::CREATE, "/spool/bodies/", LARGE, STAGE),
    case("a write to a body file", call::WRITE, "/spool/bodies/", LARGE, STAGE),
    case("a flush of a body file", call::FLUSH, "/spool/bodies/", LARGE, BODY),
    case("renaming a body file", call::RENAME, "/spool/bodies/", LARGE, BODY),
    Case {
        without: "/spool/bodies/",
        ..case("a flush of the bodies' folder", call::FLUSH, "/spool/bodies", LARGE, BODY)
    },
    case("everything", call::CHANGES, "/spool/", SMALL, LOG),
    case("everything", call::CHANGES, "/spool/", LARGE, STAGE),
];

fn refuses_while_the_disk_fails(error: u32) {
    let sink = next_hop(|| false).start();
    let mut sender = Sender::start(&sink.smart_host());
    assert!(sender.send(SMALL).starts_with("250 "));
    for Case { what, calls, part, without, sort, log } in CASES {
        let what = &format!("{what} fails with {error}");
        let before = sender.site.server.log().len();
        sender.shim.set_rules(&[Rule { without, ..Rule::new(*calls, part, Action::Fail(error)) }]);
        for _ in 0..3 {
            let reply = sender.send(*sort);
            assert!(reply.starts_with("452 4.3.1 "), "{what}: {reply}");
        }
        assert!(sender.shim.met(0) > 0, "{what}: nothing failed");
        sender.shim.set_rules(&[]);
        // Lines are written a moment after the reply.
        let text = || sender.site.server.log()[before..].to_owned();
        let said = wait::within(wait::PATIENCE, || text().contains(log).then_some(()));
        assert!(said.is_some(), "{what}: the log does not say so:\n{}", text());
        sender.wait_for_service(what, *sort);
    }
    sender.check_arrivals(&sink);
}

#[test]
fn a_disk_that_fails_refuses_messages_and_service_resumes() {
    refuses_while_the_disk_fails(EIO);
}

#[test]
fn a_disk_without_room_refuses_messages_and_service_resumes() {
    refuses_while_the_disk_fails(ENOSPC);
}

#[test]
fn a_disk_that_became_read_only_refuses_messages_and_service_resumes() {
    refuses_while_the_disk_fails(EROFS);
}

#[test]
fn a_write_that_stops_half_way_is_no_message() {
    let sink = next_hop(|| false).start();
    let mut sender = Sender::start(&sink.smart_host());
    for error in [EIO, ENOSPC] {
        for (part, sort) in [(".seg", SMALL), ("/spool/bodies/", LARGE)] {
            sender.wait_for_service("before", sort);
            // Half of it is written, the rest is not.
            let half = Rule::new(call::WRITE, part, Action::Short).once();
            sender.shim.set_rules(&[half, Rule::new(call::WRITE, part, Action::Fail(error))]);
            let reply = sender.send(sort);
            assert!(reply.starts_with("452 4.3.1 "), "{part} {error}: {reply}");
            assert_eq!(sender.shim.met(0), 1);
            sender.shim.set_rules(&[]);
            sender.wait_for_service("after", sort);
        }
    }
    // A write that merely takes less than it was given is no failure.
    sender.shim.set_rules(&[Rule::new(call::WRITE, "/spool/", Action::Short)]);
    for sort in [SMALL, LARGE] {
        assert!(sender.send(sort).starts_with("250 "));
    }
    sender.shim.set_rules(&[]);
    sender.check_arrivals(&sink);
}

#[test]
fn without_file_descriptors_messages_wait_and_come_in_later() {
    let sink = next_hop(|| false).start();
    let mut sender = Sender::start(&sink.smart_host());
    sender.wait_for_service("before", SMALL);
    sender.shim.set_rules(&[Rule::new(call::CREATE | call::OPEN, "/spool/", Action::Fail(EMFILE))]);
    let reply = sender.send(LARGE);
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    // Nobody is let in; who stands at the door comes in when there is room again.
    sender.shim.set_rules(&[Rule { count: 5, ..Rule::new(call::ACCEPT, "", Action::Fail(EMFILE)) }]);
    let mut late = sender.site.client(HOST_2);
    assert_eq!(sender.shim.met(0), 5);
    sender.site.server.wait_for_log_text("a connection could not be accepted");
    assert_eq!(late.command("QUIT").code(), 221);
    sender.wait_for_service("after", LARGE);
    sender.check_arrivals(&sink);
}

#[test]
fn a_mailbox_that_cannot_be_written_gets_its_mail_once_later() {
    let sink = next_hop(|| false).start();
    let (site, shim) = Site::start_watched(&[&settings(&sink.smart_host())], 0);
    let cases = [(call::CREATE, EIO), (call::WRITE, ENOSPC), (call::FLUSH, EIO), (call::RENAME, EIO)];
    for (i, (calls, error)) in cases.into_iter().enumerate() {
        shim.set_rules(&[Rule::new(calls, "/mailboxes/", Action::Fail(error))]);
        site.client(HOST_2).submit("<a@x.net>", &["bob@contoso.com"], &message(&format!("case {i}"), "x"));
        wait::until("an attempt fails", || (shim.met(0) > 0).then_some(()));
        shim.set_rules(&[]);
        let mail = site.wait_for_mail("bob@contoso.com", i + 1);
        assert_eq!(mail.len(), i + 1);
    }
}

#[test]
fn messages_that_cannot_be_read_for_a_while_are_sent_when_they_can() {
    let defers = Arc::new(AtomicBool::new(true));
    let sink = next_hop({
        let defers = defers.clone();
        move || defers.load(Ordering::SeqCst)
    })
    .start();
    let mut sender = Sender::start(&sink.smart_host());
    for _ in 0..3 {
        assert!(sender.send(7).starts_with("250 "), "patient ones");
    }
    // After a start nothing is in memory. The log is not readable while it recovers, and for some time after.
    sender.site = sender.site.restart(Server::kill);
    sender.client = None;
    sender.shim.set_rules(&[Rule::new(call::READ, ".seg", Action::Fail(EIO))]);
    defers.store(false, Ordering::SeqCst);
    wait::until("reading fails", || (sender.shim.met(0) > 1).then_some(()));
    sender.shim.set_rules(&[]);
    // What could not be read rests for minutes; an administrator who knows better need not wait.
    wait::until("everything is delivered", || {
        sender.site.installation.output(&["queue", "retry", "--all"]);
        (sink.count() == 3).then_some(())
    });
    sender.check_arrivals(&sink);
}

#[test]
fn a_log_that_cannot_be_read_at_one_start_is_whole_at_the_next() {
    let defers = Arc::new(AtomicBool::new(true));
    let sink = next_hop({
        let defers = defers.clone();
        move || defers.load(Ordering::SeqCst)
    })
    .start();
    let mut sender = Sender::start(&sink.smart_host());
    for _ in 0..3 {
        assert!(sender.send(7).starts_with("250 "), "patient ones");
    }
    sender.site = sender.site.restart_after(|server, installation| {
        server.kill();
        sender.shim.set_rules(&[Rule::new(call::READ, ".seg", Action::Fail(EIO))]);
        match installation.try_start() {
            Ok(server) => {
                wait::until("recovery has ended", || {
                    (installation.json(&["status"])["recovering"] == false).then_some(())
                });
                server.kill();
            }
            Err(refused) => assert_eq!(refused.status.code(), Some(1), "{}", refused.output),
        }
        sender.shim.set_rules(&[]);
    });
    sender.client = None;
    defers.store(false, Ordering::SeqCst);
    sender.check_arrivals(&sink);
}

#[test]
fn a_start_on_a_disk_that_fails_says_where_and_what_to_do() {
    let sink = next_hop(|| false).start();
    let (mut site, shim) = Site::start_watched(&[&settings(&sink.smart_host())], 0);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("before", "x"));
    for (calls, part, error, words) in [
        (call::CREATE, "/spool/lock", EROFS, "mount it writable"),
        (call::OPEN, ".seg", EIO, "`dmesg`"),
        (call::OPEN, "/spool/log", EMFILE, "limit of open files"),
        (call::FLUSH, "/data", EIO, "`dmesg`"),
    ] {
        site = site.restart_after(|server, installation| {
            server.kill();
            shim.set_rules(&[Rule::new(calls, part, Action::Fail(error))]);
            let refused = match installation.try_start() {
                Err(refused) => refused,
                Ok(server) => panic!("{part} fails, and it starts:\n{}", server.log()),
            };
            assert_eq!(refused.status.code(), Some(1), "{}", refused.output);
            assert!(refused.output.contains(words) && refused.output.contains("/data"), "{}", refused.output);
            shim.set_rules(&[]);
        });
    }
}
