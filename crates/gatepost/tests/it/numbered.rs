//! Load for the tests of faults: numbered messages of every kind, and a ledger of what a watched server said of each.
//!
//! A number says what its message is: small or large, for a mailbox here, for a next hop, for one that defers or refuses
//! it. A number is sent once: whoever gets no answer takes the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gatepost_testkit::client::{Client, Reply};
use gatepost_testkit::installation::Installation;
use gatepost_testkit::shim::Event;
use gatepost_testkit::sink::{Action, Setup, Stage, Taken};
use gatepost_tracking::passport::event::Verdict;
use gatepost_tracking::passport::{self, Keeping, Part, Record, Store};
use gatepost_tracking::trace;

use crate::site::{CONTOSO, OPEN_TO_TESTS, QUICK_RETRY, to_sink};

/// Seeds differ from run to run: what fails says how it is done again.
pub fn fresh_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}

/// Where a message is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// At the sink.
    NextHop,
    /// In bob's mailbox.
    Mailbox,
    /// A report about it at the sink.
    Report,
}

/// What the number of a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Small,
    /// Its content is too large for the log.
    Large,
    /// For a mailbox of this server.
    Local,
    /// For a mailbox and the next hop.
    Both,
    /// The next hop defers it as long as it is told to.
    Patient,
    /// The next hop refuses it.
    Failing,
}

fn sort(number: usize) -> Sort {
    match number % 16 {
        1 => Sort::Large,
        3 => Sort::Local,
        5 => Sort::Both,
        7 => Sort::Patient,
        9 => Sort::Failing,
        _ => Sort::Small,
    }
}

/// Whether the next hop defers this message as long as it is told to.
pub fn is_patient(number: usize) -> bool {
    sort(number) == Sort::Patient
}

/// Where the message of this number has to arrive.
pub fn places(number: usize) -> &'static [Place] {
    match sort(number) {
        Sort::Small | Sort::Large | Sort::Patient => &[Place::NextHop],
        Sort::Local => &[Place::Mailbox],
        Sort::Both => &[Place::NextHop, Place::Mailbox],
        Sort::Failing => &[Place::Report],
    }
}

fn recipients(number: usize) -> &'static [&'static str] {
    match sort(number) {
        Sort::Small | Sort::Large => &["z@gmail.com"],
        Sort::Local => &["bob@contoso.com"],
        Sort::Both => &["bob@contoso.com", "z@gmail.com"],
        Sort::Patient => &["patient@gmail.com"],
        Sort::Failing => &["failing@gmail.com"],
    }
}

/// The content of this message, without dots to stuff.
pub fn content(number: usize) -> String {
    let lines = match sort(number) {
        Sort::Large => 4_500, // 300,000 bytes
        _ => 5 + number % 60,
    };
    let line = format!("{number:012} of a message that must not be lost, line by line, byte by byte\r\n");
    format!("X-Number: {number}\r\nMessage-ID: <n{number}@x.net>\r\n\r\n{}", &line.repeat(lines)[..lines * 66])
        .trim_end_matches(['\r', '\n'])
        .to_owned()
        + "\r\n"
}

/// Another key of `[transport]`: whoever is killed that often takes any message for the cause in the end.
const NOBODY_SUSPECTED: &str = "poison_message_detection_enabled = false\n";

/// The settings of a server for this load.
pub fn settings(smart_host: &str) -> String {
    [CONTOSO, QUICK_RETRY, NOBODY_SUSPECTED, OPEN_TO_TESTS, &to_sink(smart_host)].concat()
}

/// A next hop for this load, which defers patient messages as long as `defers` says so.
pub fn next_hop(defers: impl Fn() -> bool + Send + Sync + 'static) -> Setup {
    Setup::new().answering(move |stage, _| match stage {
        Stage::Rcpt(path) if path.starts_with("<patient@") && defers() => Action::Reply("450 4.2.1 mailbox busy"),
        Stage::Rcpt(path) if path.starts_with("<failing@") => Action::Reply("550 5.1.1 no such user"),
        _ => Action::Accept,
    })
}

/// Sessions that send messages, and what they were told.
pub struct Load {
    server: SocketAddr,
    next: AtomicUsize,
    end: AtomicUsize,
    stopped: AtomicBool,
    /// Replies and lost connections so far: a clock that runs with the work.
    pub steps: AtomicUsize,
    pub told: Mutex<Told>,
}

/// What the peers of a server were told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub acknowledged: BTreeSet<usize>,
    /// The reply to each number that was refused.
    pub refused: BTreeMap<usize, String>,
}

impl Load {
    /// Messages with these numbers.
    pub fn new(server: SocketAddr, numbers: Range<usize>) -> Load {
        Load {
            server,
            next: AtomicUsize::new(numbers.start),
            end: AtomicUsize::new(numbers.end),
            stopped: AtomicBool::new(false),
            steps: AtomicUsize::new(0),
            told: Mutex::default(),
        }
    }

    /// What was told so far.
    pub fn told(&self) -> Told {
        self.told.lock().expect("no session panics with the lock").clone()
    }

    /// How many messages were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.told.lock().expect("no session panics with the lock").acknowledged.len()
    }

    /// Lets all sessions come to an end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// One session: takes numbers until there are none left, over a new connection whenever it loses one.
    pub fn run(&self) {
        let mut client = None;
        while !self.stopped.load(Ordering::SeqCst) {
            let Some(mut connected) = client.take().or_else(|| connect(self.server)) else {
                // Nobody is there: the next look is not worth a processor.
                std::thread::park_timeout(std::time::Duration::from_millis(2));
                continue;
            };
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= self.end.load(Ordering::SeqCst) {
                return;
            }
            let Ok(reply) = submit(&mut connected, number, || {
                self.steps.fetch_add(1, Ordering::SeqCst);
            }) else {
                continue;
            };
            let mut told = self.told.lock().expect("no session panics with the lock");
            match reply.code() {
                250 => drop(told.acknowledged.insert(number)),
                _ => drop(told.refused.insert(number, reply.to_string())),
            }
            drop(told);
            if reply.code() != 421 {
                client = Some(connected);
            }
        }
    }
}

/// A connection that has said EHLO, if anybody answers.
pub fn connect(server: SocketAddr) -> Option<Client> {
    let mut client = Client::try_connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST), server).ok()?;
    client.try_reply().ok().filter(|greeting| greeting.code() == 220)?;
    client.try_send_bytes(b"EHLO load\r\n").ok()?;
    client.try_reply().ok().filter(|hello| hello.code() == 250)?;
    Some(client)
}

/// Sends one message; the reply that decides about it. Calls `step` between the parts.
pub fn submit(client: &mut Client, number: usize, step: impl Fn()) -> std::io::Result<Reply> {
    let mut commands = format!("MAIL FROM:<n{number}@x.net>\r\n");
    for recipient in recipients(number) {
        commands += &format!("RCPT TO:<{recipient}>\r\n");
    }
    // In one write, so that the beginning of what the server receives names the message.
    client.try_send_bytes((commands + "DATA\r\n").as_bytes())?;
    let mut replies = Vec::new();
    for _ in 0..recipients(number).len() + 2 {
        replies.push(client.try_reply()?);
        step();
    }
    if replies.last().expect("at least three").code() != 354 {
        return Ok(replies.swap_remove(0)); // refused at MAIL, and so at all that follows
    }
    client.try_send_bytes((content(number) + ".\r\n").as_bytes())?;
    step();
    let reply = client.try_reply();
    step();
    reply
}

/// How often each message arrived where.
pub type Arrivals = BTreeMap<(usize, Place), usize>;

/// Counts what arrived at a sink. Says what is not as it was sent.
pub fn arrived_at_sink(taken: &[Taken]) -> Result<Arrivals, String> {
    let mut arrivals = Arrivals::new();
    for message in taken {
        let arrival = match message.mail.starts_with("<>") {
            true => {
                let number = message.recipients.first().and_then(|path| number_in(path));
                (number.ok_or_else(|| format!("a report to {:?}", message.recipients))?, Place::Report)
            }
            false => {
                let number = number_in(&message.mail).ok_or_else(|| format!("a message from {}", message.mail))?;
                if !message.content.ends_with(content(number).as_bytes()) {
                    return Err(format!("message {number} arrived with another content:\n{}", message.text()));
                }
                (number, Place::NextHop)
            }
        };
        *arrivals.entry(arrival).or_insert(0) += 1;
    }
    Ok(arrivals)
}

/// Whether each of these messages has a passport that tells how it came, and how it ended. The server has stopped. `was_full`:
/// the spool's disk was, and then its log says that a message ended, and not how, until tracking has it.
pub fn check_passports(data_dir: &Path, numbers: impl Iterator<Item = usize>, was_full: bool) -> Result<(), String> {
    let store = Store::open(&data_dir.join("tracking"), Keeping::default()).map_err(|error| error.to_string())?;
    let mut parts: HashMap<u64, Vec<Part>> = HashMap::new();
    let scanned = store.scan(|record| {
        if let Some(Record::Message(part)) = passport::read(record) {
            parts.entry(part.queue_id).or_default().push(part);
        }
    });
    scanned.map_err(|error| error.to_string())?;
    let passports: Vec<_> = parts.into_iter().map(|(id, parts)| trace::passport::Passport::join(id, parts)).collect();
    let by_number: HashMap<usize, _> = passports
        .iter()
        .filter_map(|passport| {
            let facts = passport.facts.as_deref().filter(|facts| facts.report.is_none())?;
            Some((number_in(&format!("<{}>", facts.sender))?, passport))
        })
        .collect();
    for number in numbers {
        let passport = by_number.get(&number).ok_or_else(|| format!("message {number} has no passport"))?;
        let wanted = if sort(number) == Sort::Failing { Verdict::Failed } else { Verdict::Delivered };
        let verdicts: Vec<_> = passport.standings().iter().map(|standing| standing.verdict).collect();
        let is_right = passport.is_ended
            && verdicts.len() == recipients(number).len()
            && verdicts.iter().all(|verdict| *verdict == Some(wanted) || was_full && *verdict == Some(Verdict::Ended))
            && passport.facts.as_ref().is_some_and(|facts| *facts.message_id == *format!("<n{number}@x.net>"));
        if !is_right {
            return Err(format!("the passport of message {number} does not tell the truth: {passport:#?}"));
        }
    }
    Ok(())
}

/// Counts what is in bob's mailbox. Says what is not as it was sent.
pub fn arrived_in_mailbox(installation: &Installation) -> Result<Arrivals, String> {
    let mut arrivals = Arrivals::new();
    let Ok(entries) = fs::read_dir(installation.data_dir().join("mailboxes/bob@contoso.com/new")) else {
        return Ok(arrivals); // nothing was delivered yet
    };
    for entry in entries.flatten() {
        let text = fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
        let number = text.split_once("X-Number: ").and_then(|(_, rest)| rest.split('\n').next()?.parse().ok());
        let number = number.ok_or_else(|| format!("the mailbox holds a message without a number:\n{text}"))?;
        if !text.ends_with(&content(number).replace("\r\n", "\n")) {
            return Err(format!("message {number} is in the mailbox with another content:\n{text}"));
        }
        *arrivals.entry((number, Place::Mailbox)).or_insert(0) += 1;
    }
    Ok(arrivals)
}

/// The number in `<n17@x.net>`.
fn number_in(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("<n")?;
    rest.split_once("@x.net>")?.0.parse().ok()
}

/// What a watched server said and did, in the order of its events; each place is an index of these.
#[derive(Debug, Default)]
pub struct Ledger {
    /// When each message was acknowledged.
    pub acknowledged: BTreeMap<usize, usize>,
    /// When each message was refused.
    pub refused: BTreeMap<usize, usize>,
    /// What the next hop took, as the server heard it.
    pub deliveries: Vec<Delivery>,
    /// Attempts at sending: `(number, place, when)`.
    pub attempts: Vec<(usize, Place, usize)>,
    /// When the log of the spool was written to, and when it was flushed.
    pub log_writes: Vec<usize>,
    pub log_flushes: Vec<usize>,
    /// When servers were started.
    pub starts: Vec<usize>,
}

/// The next hop took a message.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    pub number: usize,
    pub place: Place,
    /// When the server heard so.
    pub taken_at: usize,
    /// When its connection went on to the next message, so that the outcome was handed to the spool before that.
    pub settled_at: Option<usize>,
}

/// Batches of the spool that come to their end until it is certain that one of them began after a given instant, and
/// took along the outcomes that were there by then: one may be under way, one may be for a new segment alone.
const BATCHES: usize = 3;

impl Ledger {
    /// Reads what happened.
    pub fn read(events: &[Event]) -> Ledger {
        let mut ledger = Ledger::default();
        // What each connection is about: messages coming in, and messages going out with their last delivery.
        let mut coming: HashMap<i32, usize> = HashMap::new();
        let mut going: HashMap<i32, (usize, Place)> = HashMap::new();
        let mut delivered: HashMap<i32, usize> = HashMap::new();
        let mut segments: HashMap<i32, bool> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Started => {
                    ledger.starts.push(at);
                    (coming, going, delivered) = Default::default();
                    segments.clear();
                }
                Event::Opened { fd, path, .. } => drop(segments.insert(*fd, is_segment(path))),
                Event::Written { fd, offset, .. } if *offset > 0 && segments.get(fd) == Some(&true) => {
                    ledger.log_writes.push(at);
                }
                Event::FlushEnded { fd, error: 0, .. } if segments.get(fd) == Some(&true) => {
                    ledger.log_flushes.push(at)
                }
                Event::Received { fd, text } if text.starts_with("MAIL FROM:<n") => {
                    coming.extend(number_in(text).map(|number| (*fd, number)));
                }
                Event::Received { fd, text } if text.contains("2.0.0 taken") => {
                    if let Some((number, place)) = going.remove(fd) {
                        delivered.insert(*fd, ledger.deliveries.len());
                        ledger.deliveries.push(Delivery { number, place, taken_at: at, settled_at: None });
                    }
                }
                Event::Sent { fd, text }
                    if text.starts_with("MAIL FROM:<") || text.starts_with("RSET\r\nMAIL FROM:<") =>
                {
                    if let Some(last) = delivered.remove(fd) {
                        ledger.deliveries[last].settled_at = Some(at);
                    }
                    let place = if text.contains("MAIL FROM:<>") { Place::Report } else { Place::NextHop };
                    if let Some(number) = number_in(text) {
                        going.insert(*fd, (number, place));
                        ledger.attempts.push((number, place, at));
                    }
                }
                Event::Sent { fd, text } if text.starts_with("EHLO") || text.starts_with("RSET") => {
                    going.remove(fd);
                    delivered.remove(fd);
                }
                Event::Sent { fd, text } if text.contains("250 2.6.0 ") => {
                    if let Some(number) = coming.remove(fd) {
                        ledger.acknowledged.insert(number, at);
                    }
                }
                Event::Sent { fd, text } if text.starts_with('4') => {
                    if let Some(number) = coming.remove(fd) {
                        ledger.refused.insert(number, at);
                    }
                }
                _ => {}
            }
        }
        ledger
    }

    /// Whether what the spool was told at `told_at` was written by `until`.
    pub fn is_written(&self, told_at: usize, until: usize) -> bool {
        self.is_followed_by(&self.log_writes, told_at, until)
    }

    /// The same, and flushed.
    pub fn is_flushed(&self, told_at: usize, until: usize) -> bool {
        self.is_followed_by(&self.log_flushes, told_at, until)
    }

    fn is_followed_by(&self, batches: &[usize], told_at: usize, until: usize) -> bool {
        // What the next server writes does not count: it knows nothing of what was told to this one.
        let end = self.starts.iter().find(|start| **start > told_at).map_or(until, |start| until.min(*start));
        let first = batches.partition_point(|at| *at <= told_at);
        batches[first..].iter().take_while(|at| **at < end).count() >= BATCHES
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// The folder that the events are about.
pub fn folder_of(events: &[Event]) -> PathBuf {
    let made = events.iter().find_map(|event| match event {
        Event::FolderMade(path) => Some(path.clone()),
        _ => None,
    });
    made.expect("the server made its data folder first")
}
