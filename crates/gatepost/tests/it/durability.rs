//! Nothing that was acknowledged is lost: kill -9, damaged files, an orderly stop, two servers on one data folder.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::{Server, text_of};
use gatepost_testkit::port;
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

const MESSAGES: usize = 5_000;
const SESSIONS: usize = 20;

/// A load generator that knows which of its messages were acknowledged, and that sends again what was not.
struct Load {
    server: SocketAddr,
    next: AtomicUsize,
    acknowledged: Mutex<HashSet<usize>>,
    stopped: AtomicBool,
}

impl Load {
    fn new(server: SocketAddr) -> Load {
        Load { server, next: AtomicUsize::new(0), acknowledged: Mutex::default(), stopped: AtomicBool::new(false) }
    }

    fn acknowledged(&self) -> HashSet<usize> {
        self.acknowledged.lock().expect("no session panics with the lock").clone()
    }

    /// One session: takes numbers until there are none left, and makes a new connection whenever it loses one.
    fn run(&self) {
        let mut client = None;
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= MESSAGES {
                return;
            }
            let acknowledged = wait::within(wait::PATIENCE, || {
                if self.stopped.load(Ordering::SeqCst) {
                    return Some(());
                }
                let mut connected = client.take().or_else(|| connect(self.server))?;
                submit(&mut connected, number).ok()?;
                client = Some(connected);
                self.acknowledged.lock().expect("no session panics with the lock").insert(number);
                Some(())
            });
            assert!(acknowledged.is_some(), "message {number} was never taken");
        }
    }
}

fn connect(server: SocketAddr) -> Option<Client> {
    let mut client = Client::try_connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST), server).ok()?;
    client.try_reply().ok().filter(|greeting| greeting.code() == 220)?;
    client.try_send_bytes(b"EHLO load\r\n").ok()?;
    client.try_reply().ok().filter(|hello| hello.code() == 250)?;
    Some(client)
}

fn submit(client: &mut Client, number: usize) -> std::io::Result<()> {
    client.try_send_bytes(b"MAIL FROM:<a@x.net>\r\nRCPT TO:<z@gmail.com>\r\nDATA\r\n")?;
    for expected in [250, 250, 354] {
        if client.try_reply()?.code() != expected {
            return Err(std::io::Error::other("refused"));
        }
    }
    let filling = "0123456789abcdef".repeat(4) + "\r\n";
    let content = format!("X-Number: {number}\r\nSubject: load\r\n\r\n{}.\r\n", filling.repeat(30));
    client.try_send_bytes(content.as_bytes())?;
    match client.try_reply()?.code() {
        250 => Ok(()),
        _ => Err(std::io::Error::other("not taken")),
    }
}

/// How often each number arrived.
fn arrivals(sink: &Sink) -> HashMap<usize, usize> {
    let mut arrivals = HashMap::new();
    for message in sink.taken() {
        let text = message.text();
        let (_, rest) = text.split_once("X-Number: ").expect("every message has its number");
        let number = rest.split("\r\n").next().and_then(|number| number.parse().ok()).expect("a number");
        *arrivals.entry(number).or_insert(0) += 1;
    }
    arrivals
}

#[test]
fn kill_9_in_the_middle_of_5000_messages_loses_none_that_was_acknowledged() {
    let sink = Sink::start();
    let site = Site::relaying_to(&sink.smart_host());
    let load = Load::new(site.smtp());
    let _site = std::thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| load.run());
        }
        let in_the_middle = wait::within(wait::PATIENCE, || (load.acknowledged().len() >= MESSAGES / 2).then_some(()));
        if in_the_middle.is_none() {
            load.stopped.store(true, Ordering::SeqCst);
            panic!("only {} messages were acknowledged", load.acknowledged().len());
        }
        site.restart(Server::kill)
    });
    let acknowledged = load.acknowledged();
    assert_eq!(acknowledged.len(), MESSAGES);

    let arrived = wait::within(wait::PATIENCE, || {
        // Counting is cheap, reading all contents is not.
        (sink.count() >= MESSAGES).then(|| arrivals(&sink)).filter(|arrivals| arrivals.len() >= MESSAGES)
    });
    let arrived = arrived.unwrap_or_else(|| arrivals(&sink));
    let lost: Vec<_> = acknowledged.iter().filter(|number| !arrived.contains_key(number)).collect();
    let twice = arrived.values().filter(|count| **count > 1).count();
    // Past the test harness's capture: this count is what the run is for.
    let _ = writeln!(
        std::io::stderr(),
        "kill -9: {} acknowledged, {} arrived, {} lost, {twice} arrived twice",
        acknowledged.len(),
        arrived.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{} acknowledged messages are lost: {lost:?}", lost.len());
    // What was in flight when the power went out may come twice, more may not.
    assert!(twice <= MESSAGES / 10, "{twice} messages arrived twice");
}

#[test]
fn kill_9_again_and_again_changes_nothing_for_what_waits() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let mut site = Site::relaying_to(&format!("[{}]:{}", address.ip(), address.port()));
    for i in 0..10 {
        site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message(&format!("patient {i}"), "x"));
        if i % 3 == 2 {
            site = site.restart(Server::kill);
        }
    }
    let sink = Setup::new().at(address).start();
    let mut subjects: Vec<String> = sink.wait_for(10).iter().map(|message| subject_of(&message.text())).collect();
    subjects.sort();
    assert_eq!(subjects, (0..10).map(|i| format!("patient {i}")).collect::<Vec<_>>());
}

fn subject_of(text: &str) -> String {
    let (_, rest) = text.split_once("Subject: ").expect("a subject");
    rest.split("\r\n").next().unwrap_or(rest).to_owned()
}

#[test]
fn kill_9_during_local_delivery_leaves_every_message_in_the_mailbox_once() {
    let mut site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let mut client = site.client(HOST_2);
    for i in 0..200 {
        client.submit("<a@x.net>", &["bob@contoso.com"], &message(&format!("local {i}"), "x"));
    }
    site = site.restart(Server::kill);
    wait::until("everything is delivered", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
    let mut subjects: Vec<String> = fs::read_dir(site.installation.data_dir().join("mailboxes/bob@contoso.com/new"))
        .expect("bob's mailbox")
        .flatten()
        .map(|entry| subject_of(&fs::read_to_string(entry.path()).expect("a readable message").replace('\n', "\r\n")))
        .collect();
    subjects.sort();
    let mut expected: Vec<String> = (0..200).map(|i| format!("local {i}")).collect();
    expected.sort();
    assert_eq!(subjects, expected);
}

#[test]
fn a_large_message_survives_kill_9_byte_by_byte() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let mut site = Site::relaying_to(&format!("[{}]:{}", address.ip(), address.port()));
    let lines: String = (0..60_000).map(|i| format!("line {i} of a large message\r\n")).collect();
    let content = message("large", &lines);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &content);
    site = site.restart(Server::kill);
    let sink = Setup::new().at(address).start();
    let taken = sink.first();
    assert!(taken.text().ends_with(&content), "the content is whole");
    wait::until("its space is given back", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
}

#[test]
fn a_damaged_record_is_set_aside_and_the_others_are_delivered() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let mut site = Site::relaying_to(&format!("[{}]:{}", address.ip(), address.port()));
    for marker in ["sound-one", "to-be-damaged", "sound-two"] {
        site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message(marker, marker));
    }
    let data_dir = site.installation.data_dir();
    site = site.restart(|server| {
        assert!(server.stop().success());
        let damaged = damage(&data_dir, b"to-be-damaged");
        assert!(damaged > 0, "the message lies somewhere in the data folder");
    });
    let sink = Setup::new().at(address).start();
    let mut subjects: Vec<String> = sink.wait_for(2).iter().map(|message| subject_of(&message.text())).collect();
    subjects.sort();
    assert_eq!(subjects, ["sound-one", "sound-two"]);
    let spool = site.installation.json(&["status"])["spool"].clone();
    assert_eq!(spool["set_aside"], 1, "{spool}");
    site.server.wait_for_log_text("set aside");
}

/// Flips a bit of every place where `text` stands in a file below `folder`; how many places there were.
fn damage(folder: &Path, text: &[u8]) -> usize {
    let mut places = 0;
    for file in files_below(folder) {
        let mut content = fs::read(&file).expect("a readable file");
        let mut at = 0;
        let mut is_damaged = false;
        while let Some(found) = content[at..].windows(text.len()).position(|window| window == text) {
            at += found;
            content[at] ^= 0x04;
            is_damaged = true;
            places += 1;
            at += text.len();
        }
        if is_damaged {
            fs::write(&file, content).expect("write the file back");
        }
    }
    places
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let kind = entry.file_type().expect("a file type");
        if kind.is_dir() {
            files.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn queue_ids_are_never_given_twice_even_after_idle_runs() {
    let mut site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let mut last = 0;
    for stop in [|server: Server| assert!(server.stop().success()), |server: Server| server.kill()] {
        for _ in 0..3 {
            let id = site.client(HOST_2).submit("<a@x.net>", &["bob@contoso.com"], "Subject: one\r\n\r\n").queue_id();
            let id: u64 = id.parse().expect("a number");
            assert!(id > last, "{id} after {last}");
            last = id;
            wait::until("the message is at its end", || {
                (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
            });
            // Two runs without any traffic: nothing is left to keep.
            for _ in 0..3 {
                site = site.restart(stop);
            }
        }
    }
}

#[test]
fn sigterm_lets_an_open_transaction_finish() {
    let sink = Sink::start();
    let mut site = Site::relaying_to(&sink.smart_host());
    let mut busy = site.client(HOST_2);
    let mut idle = site.client(HOST_3);
    busy.send("MAIL FROM:<a@x.net>\r\nRCPT TO:<z@gmail.com>\r\nDATA\r\n");
    for expected in [250, 250, 354] {
        assert_eq!(busy.reply().code(), expected);
    }
    busy.send("Subject: half way\r\n\r\nfirst half\r\n");

    site.server.terminate();
    // Nobody new comes in, and who does nothing is sent home.
    let told = idle.try_reply();
    assert!(told.as_ref().map_or(true, |reply| reply.to_string().starts_with("421 4.3.2 ")), "{told:?}");
    wait::until("the port is closed", || std::net::TcpStream::connect(site.smtp()).is_err().then_some(()));
    assert!(site.server.is_running(), "it waits for the open transaction");

    busy.send("second half\r\n.\r\n");
    assert_eq!(busy.reply().code(), 250);
    assert!(site.server.wait().success());

    // Accepted is accepted: whether it left before the end or after the next start.
    let _site = site.restart(|_| {});
    assert!(sink.first().text().contains("second half"));
}

#[test]
fn a_second_server_on_the_same_data_folder_is_refused() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let other = OPEN_TO_TESTS.replace("{smtp}", &port::free().to_string());
    fs::write(site.installation.folder().join("other.toml"), [CONTOSO, &other].concat()).expect("another document");
    let refused = site.installation.run(&["--config", "other.toml", "serve"]);
    assert!(!refused.status.success());
    let text = text_of(&refused);
    assert!(
        text.contains("data") && (text.contains("lock") || text.contains("another") || text.contains("running")),
        "{text}"
    );
    // The first one did not notice.
    assert_eq!(site.client(HOST_2).command("NOOP").code(), 250);
    assert!(site.installation.run(&["status"]).status.success());
}

#[test]
fn a_deferred_recipient_waits_out_its_time_across_a_restart() {
    let busy = Setup::new()
        .answering(|stage, _| match stage {
            Stage::Rcpt(_) => Action::Reply("450 4.2.1 mailbox busy"),
            _ => Action::Accept,
        })
        .start();
    let slow = QUICK_RETRY.replace("00:00:01", "01:00:00");
    let mut site = Site::start(&[CONTOSO, &slow, OPEN_TO_TESTS, &to_sink(&busy.smart_host())]);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("later", "x"));
    let recipient = |site: &Site| site.installation.json(&["queue", "list"])["messages"][0]["recipients"][0].clone();
    let before = wait::until("the attempt", || Some(recipient(&site)).filter(|recipient| recipient["attempts"] == 1));
    assert_eq!(before["last_reply"], "450 4.2.1 mailbox busy");
    for stop in [|server: Server| assert!(server.stop().success()), |server: Server| server.kill()] {
        site = site.restart(stop);
        let after = wait::until("the queue is back", || {
            Some(recipient(&site)).filter(|recipient| recipient["address"].is_string())
        });
        assert_eq!(after, before);
    }
    assert_eq!(busy.connections(), 1, "it was not tried again");
}
