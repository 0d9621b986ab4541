//! A next hop of our own: records every message byte by byte and answers what the test tells it to.
//!
//! Strict where it matters: only CRLF.CRLF ends a message. One thread for each connection.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::wait;
use crate::wire::Wire;

/// How long the sink waits for the next command before it hangs up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A message that the sink took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What stood behind `MAIL FROM:`, path and parameters.
    pub mail: String,
    /// What stood behind each accepted `RCPT TO:`, path and parameters.
    pub recipients: Vec<String>,
    /// The content with its dots unstuffed, every line ending as it came.
    pub content: Vec<u8>,
    /// What stood behind EHLO or HELO.
    pub hello: String,
    /// Which connection brought it, counted from 0.
    pub connection: usize,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Whether it came by BDAT.
    pub chunked: bool,
}

impl Taken {
    /// The content as text, for messages that are.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// The points at which a test may have its say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// Somebody connected; the answer stands in for the greeting.
    Connect,
    /// The argument of EHLO.
    Hello(&'a str),
    /// STARTTLS was said; only where it is offered.
    StartTls,
    /// The argument of MAIL.
    Mail(&'a str),
    /// The argument of RCPT.
    Rcpt(&'a str),
    /// DATA was said.
    Data,
    /// The content is complete.
    End,
}

/// What the sink does at a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Says yes.
    Accept,
    /// Says this instead, and takes nothing; several lines are separated by `\r\n`.
    Reply(&'static str),
    /// Says this, and hangs up.
    ReplyAndClose(&'static str),
    /// Hangs up without a word.
    Drop,
    /// Says nothing any more, but keeps the connection until the peer closes it.
    Hang,
}

/// Decides what happens at a stage; the number says how often this kind of stage was seen before, on all connections.
pub type Behaviour = dyn Fn(Stage<'_>, usize) -> Action + Send + Sync;

/// The EHLO keywords of a sink.
const KEYWORDS: &[&str] = &["PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8"];

/// How a sink is set up before it starts.
pub struct Setup {
    address: SocketAddr,
    keywords: Vec<&'static str>,
    behaviour: Box<Behaviour>,
}

impl Setup {
    /// A sink on a free port of 127.0.0.1 that takes everything.
    pub fn new() -> Setup {
        Setup {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            keywords: KEYWORDS.to_vec(),
            behaviour: Box::new(|_, _| Action::Accept),
        }
    }

    /// Listens here instead; port 0 takes a free one.
    pub fn at(self, address: SocketAddr) -> Setup {
        Setup { address, ..self }
    }

    /// Offers one more keyword: `STARTTLS`, `CHUNKING`, `BINARYMIME`.
    pub fn offering(mut self, keyword: &'static str) -> Setup {
        self.keywords.push(keyword);
        self
    }

    /// Offers these keywords only.
    pub fn offering_only(self, keywords: &[&'static str]) -> Setup {
        Setup { keywords: keywords.to_vec(), ..self }
    }

    /// Lets `behaviour` decide.
    pub fn answering(self, behaviour: impl Fn(Stage<'_>, usize) -> Action + Send + Sync + 'static) -> Setup {
        Setup { behaviour: Box::new(behaviour), ..self }
    }

    /// Starts listening.
    #[track_caller]
    pub fn start(self) -> Sink {
        // A server that comes back must get its old port back, even while connections of the former one linger.
        let listener = wait::until("the sink's port is free", || TcpListener::bind(self.address).ok());
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            keywords: self.keywords,
            behaviour: self.behaviour,
            taken: Mutex::new(Vec::new()),
            seen: Default::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            open_peak: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Sink { address, shared, thread: Some(thread) }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Setup::new()
    }
}

/// A running sink; it stops listening when dropped.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    keywords: Vec<&'static str>,
    behaviour: Box<Behaviour>,
    taken: Mutex<Vec<Taken>>,
    /// How often each kind of stage was seen, in the order of [`Stage`].
    seen: [AtomicUsize; 7],
    connections: AtomicUsize,
    open: AtomicUsize,
    open_peak: AtomicUsize,
    stopping: AtomicBool,
}

impl Sink {
    /// A sink on a free port of 127.0.0.1 that takes everything.
    pub fn start() -> Sink {
        Setup::new().start()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a smart host of the settings document: `[127.0.0.1]:2600`.
    pub fn smart_host(&self) -> String {
        format!("[{}]:{}", self.address.ip(), self.address.port())
    }

    /// The messages taken so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken().clone()
    }

    /// How many messages were taken so far.
    pub fn count(&self) -> usize {
        self.shared.taken().len()
    }

    /// Waits until at least `count` messages were taken.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Taken> {
        let taken = wait::within(wait::PATIENCE, || {
            let taken = self.shared.taken();
            (taken.len() >= count).then(|| taken.clone())
        });
        taken.unwrap_or_else(|| panic!("{} of {count} messages arrived at the sink", self.count()))
    }

    /// Waits for the first message.
    #[track_caller]
    pub fn first(&self) -> Taken {
        self.wait_for(1).swap_remove(0)
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The most connections that were open at the same time.
    pub fn connections_peak(&self) -> usize {
        self.shared.open_peak.load(Ordering::SeqCst)
    }

    /// Stops listening, so that connections are refused from now on.
    pub fn stop(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Wakes the thread that waits for connections; it drops the listener.
            let _ = TcpStream::connect(self.address);
            let _ = thread.join();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn taken(&self) -> std::sync::MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().expect("no thread panics while it holds the lock")
    }

    fn decide(&self, stage: Stage<'_>) -> Action {
        let kind = match stage {
            Stage::Connect => 0,
            Stage::Hello(_) => 1,
            Stage::Mail(_) => 2,
            Stage::Rcpt(_) => 3,
            Stage::Data => 4,
            Stage::End => 5,
            Stage::StartTls => 6,
        };
        (self.behaviour)(stage, self.seen[kind].fetch_add(1, Ordering::SeqCst))
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.open_peak.fetch_max(open, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            if let Ok(wire) = Wire::new(stream, PATIENCE) {
                // A peer that vanishes is no fault of the sink.
                let _ = Dialogue { wire, shared: &shared, connection, hello: String::new(), transaction: None }.run();
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

struct Dialogue<'a> {
    wire: Wire,
    shared: &'a Shared,
    connection: usize,
    hello: String,
    transaction: Option<Transaction>,
}

#[derive(Default)]
struct Transaction {
    mail: String,
    recipients: Vec<String>,
    chunks: Vec<u8>,
}

/// The connection ended, by either side.
struct Ended;

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Ended
    }
}

impl Dialogue<'_> {
    fn run(mut self) -> Result<(), Ended> {
        self.answer(Stage::Connect, "220 sink.test ESMTP")?;
        loop {
            let line = self.wire.read_line()?.ok_or(Ended)?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.hello(argument)?,
                "HELO" => {
                    self.hello = argument.to_owned();
                    self.say("250 sink.test")?;
                }
                "STARTTLS" if self.shared.keywords.contains(&"STARTTLS") => {
                    if self.answer(Stage::StartTls, "220 2.0.0 go ahead")? {
                        self.wire.start_tls_as_server()?;
                    }
                }
                "MAIL" => self.mail(argument)?,
                "RCPT" => self.rcpt(argument)?,
                "DATA" => self.data()?,
                "BDAT" => self.bdat(argument)?,
                "RSET" => {
                    self.transaction = None;
                    self.say("250 2.0.0 OK")?;
                }
                "NOOP" => self.say("250 2.0.0 OK")?,
                "QUIT" => {
                    self.say("221 2.0.0 bye")?;
                    return Err(Ended);
                }
                _ => self.say("500 5.5.1 unknown command")?,
            }
        }
    }

    fn hello(&mut self, argument: &str) -> Result<(), Ended> {
        self.hello = argument.to_owned();
        self.transaction = None;
        let is_tls = self.wire.is_tls();
        let keywords = self.shared.keywords.iter().filter(|keyword| !(is_tls && **keyword == "STARTTLS"));
        let mut lines: Vec<String> = std::iter::once("sink.test").chain(keywords.copied()).map(str::to_owned).collect();
        let last = lines.pop().expect("at least the name");
        let reply: String = lines.iter().map(|line| format!("250-{line}\r\n")).chain([format!("250 {last}")]).collect();
        self.answer(Stage::Hello(argument), &reply)?;
        Ok(())
    }

    fn mail(&mut self, argument: &str) -> Result<(), Ended> {
        if self.transaction.is_some() {
            return self.say("503 5.5.1 nested MAIL");
        }
        let argument = without_label(argument, "FROM:");
        if self.answer(Stage::Mail(argument), "250 2.1.0 OK")? {
            self.transaction = Some(Transaction { mail: argument.to_owned(), ..Transaction::default() });
        }
        Ok(())
    }

    fn rcpt(&mut self, argument: &str) -> Result<(), Ended> {
        let argument = without_label(argument, "TO:");
        if self.transaction.is_none() {
            return self.say("503 5.5.1 MAIL first");
        }
        if self.answer(Stage::Rcpt(argument), "250 2.1.5 OK")?
            && let Some(transaction) = &mut self.transaction
        {
            transaction.recipients.push(argument.to_owned());
        }
        Ok(())
    }

    fn data(&mut self) -> Result<(), Ended> {
        if self.transaction.as_ref().is_none_or(|transaction| transaction.recipients.is_empty()) {
            return self.say("554 5.5.1 no valid recipients");
        }
        if !self.answer(Stage::Data, "354 go ahead")? {
            self.transaction = None;
            return Ok(());
        }
        let mut content = Vec::new();
        let mut is_line_start = true;
        loop {
            let line = self.wire.read_line()?.ok_or(Ended)?;
            if is_line_start && line == b".\r\n" {
                break;
            }
            let is_stuffed = is_line_start && line.starts_with(b".");
            content.extend_from_slice(if is_stuffed { &line[1..] } else { &line });
            is_line_start = line.ends_with(b"\r\n");
        }
        self.end(content, false)
    }

    fn bdat(&mut self, argument: &str) -> Result<(), Ended> {
        let mut words = argument.split(' ');
        let size: usize = words.next().and_then(|size| size.parse().ok()).ok_or(Ended)?;
        let is_last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let chunk = self.wire.read_exact(size)?;
        let Some(transaction) = self.transaction.as_mut().filter(|transaction| !transaction.recipients.is_empty())
        else {
            return self.say("503 5.5.1 RCPT first");
        };
        transaction.chunks.extend_from_slice(&chunk);
        if !is_last {
            return self.say("250 2.0.0 chunk taken");
        }
        let content = std::mem::take(&mut transaction.chunks);
        self.end(content, true)
    }

    fn end(&mut self, content: Vec<u8>, chunked: bool) -> Result<(), Ended> {
        let transaction = self.transaction.take().ok_or(Ended)?;
        let message = Taken {
            mail: transaction.mail,
            recipients: transaction.recipients,
            content,
            hello: self.hello.clone(),
            connection: self.connection,
            tls: self.wire.is_tls(),
            chunked,
        };
        match self.shared.decide(Stage::End) {
            Action::Accept => {
                // Recorded before the peer hears of it: what it was told is taken can be counted here.
                self.shared.taken().push(message);
                self.say("250 2.0.0 taken")
            }
            refusal => self.act(refusal, "").map(|_| ()),
        }
    }

    /// Whether the stage was accepted.
    fn answer(&mut self, stage: Stage<'_>, yes: &str) -> Result<bool, Ended> {
        let action = self.shared.decide(stage);
        self.act(action, yes)
    }

    fn act(&mut self, action: Action, yes: &str) -> Result<bool, Ended> {
        match action {
            Action::Accept => self.say(yes).map(|()| true),
            Action::Reply(reply) => self.say(reply).map(|()| false),
            Action::ReplyAndClose(reply) => {
                self.say(reply)?;
                Err(Ended)
            }
            Action::Drop => Err(Ended),
            Action::Hang => {
                while self.wire.read_line()?.is_some() {}
                Err(Ended)
            }
        }
    }

    fn say(&mut self, reply: &str) -> Result<(), Ended> {
        Ok(self.wire.write_all(format!("{reply}\r\n").as_bytes())?)
    }
}

fn without_label<'a>(argument: &'a str, label: &str) -> &'a str {
    match argument.get(..label.len()) {
        Some(start) if start.eq_ignore_ascii_case(label) => &argument[label.len()..],
        _ => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn a_message_is_recorded_byte_by_byte() {
        let sink = Sink::start();
        let mut client = Client::greeted_from(Ipv4Addr::LOCALHOST.into(), sink.address());
        let taken = client.submit("<a@x.net> SIZE=9", &["b@y.net"], "Subject: x\r\n\r\n..dot\nbare\n.\r\n.\n.\r\n");
        assert_eq!(taken.to_string(), "250 2.0.0 taken");
        let message = sink.first();
        assert_eq!(message.mail, "<a@x.net> SIZE=9");
        assert_eq!(message.recipients, ["<b@y.net>"]);
        assert_eq!(message.text(), "Subject: x\r\n\r\n.dot\nbare\n.\r\n\n.\r\n");
    }

    #[test]
    fn a_test_may_have_its_say() {
        let sink = Setup::new()
            .offering("STARTTLS")
            .answering(|stage, seen| match (stage, seen) {
                (Stage::Rcpt(_), 0) => Action::Reply("450 4.2.0 later"),
                (Stage::End, _) => Action::Drop,
                _ => Action::Accept,
            })
            .start();
        let mut client = Client::greeted_from(Ipv4Addr::LOCALHOST.into(), sink.address());
        assert!(!client.start_tls().offers("STARTTLS"));
        client.command("MAIL FROM:<a@x.net>");
        assert_eq!(client.command("RCPT TO:<b@y.net>").to_string(), "450 4.2.0 later");
        assert_eq!(client.command("RCPT TO:<b@y.net>").code(), 250);
        client.command("DATA");
        client.send(".\r\n");
        client.expect_closed();
        assert_eq!(sink.count(), 0);
    }
}
