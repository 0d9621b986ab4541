//! A next hop that is honest but for one thing: at one step of the dialogue it misbehaves, a few times or for ever.
//!
//! What it takes is recorded, so that a test can say whether a message was lost, or delivered twice. For next hops that
//! merely answer as they are told there is [`sink`](crate::sink).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;

use crate::wire::Wire;

/// How long it waits for the next command before it hangs up.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause behind each byte of a reply that drips.
const DRIP: Duration = Duration::from_millis(100);

/// Where in the dialogue it misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody connected.
    Greeting,
    /// EHLO.
    Hello,
    /// STARTTLS, which is offered for this one and the next only.
    StartTls,
    /// The handshake behind STARTTLS; only some of what one can do makes sense there.
    Handshake,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The first line of the content.
    Content,
    /// The dot at the end.
    Dot,
    /// RSET. For this one the first RCPT is refused with 4xx, so that there is something to reset.
    Rset,
    /// QUIT.
    Quit,
}

impl Step {
    /// Every step.
    pub const ALL: &[Step] = &[
        Step::Greeting,
        Step::Hello,
        Step::StartTls,
        Step::Handshake,
        Step::Mail,
        Step::Rcpt,
        Step::Data,
        Step::Content,
        Step::Dot,
        Step::Rset,
        Step::Quit,
    ];
}

/// What it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    /// Says nothing any more, but keeps the connection until the peer closes it.
    Hang,
    /// Says a reply without an end, byte by byte.
    Drip,
    /// Hangs up without a word.
    Close,
    /// Resets the connection.
    Reset,
    /// Says yes, then hangs up.
    AcceptAndClose,
    /// Takes the message, then hangs up without a word. At the dot only.
    TakeAndClose,
    /// Says something that has no code.
    NoCode,
    /// Says 999.
    Code999,
    /// Says a reply of lines without end.
    EndlessLines,
    /// Says a line of 100 KB.
    HugeLine,
    /// Says bytes that are no text.
    Binary,
    /// Says 354 where 2xx is due, and 250 where 354 is due.
    WrongClass,
    /// Says yes twice.
    Twice,
    /// Says yes, and yes to what comes next; then keeps its word about nothing.
    Early,
    /// Says 4xx.
    Refuse4,
    /// Says 5xx.
    Refuse5,
    /// Says 421 and hangs up.
    Unavailable,
    /// Says 5xx and hangs up, whatever is still on its way.
    Refuse5AndClose,
}

impl Misdeed {
    /// Every misdeed.
    pub const ALL: &[Misdeed] = &[
        Misdeed::Hang,
        Misdeed::Drip,
        Misdeed::Close,
        Misdeed::Reset,
        Misdeed::AcceptAndClose,
        Misdeed::TakeAndClose,
        Misdeed::NoCode,
        Misdeed::Code999,
        Misdeed::EndlessLines,
        Misdeed::HugeLine,
        Misdeed::Binary,
        Misdeed::WrongClass,
        Misdeed::Twice,
        Misdeed::Early,
        Misdeed::Refuse4,
        Misdeed::Refuse5,
        Misdeed::Unavailable,
        Misdeed::Refuse5AndClose,
    ];
}

/// A running next hop; it stops listening when dropped.
pub struct Hop {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    misdeed: Option<(Step, Misdeed)>,
    pipelining: bool,
    /// How often it still misbehaves.
    left: AtomicUsize,
    taken: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    open_peak: AtomicUsize,
    recipients_seen: AtomicUsize,
    stopping: AtomicBool,
}

impl Hop {
    /// One that does nothing wrong.
    pub fn honest() -> Hop {
        Hop::with(None, 0, true)
    }

    /// One that misbehaves at `step` the first `times` times.
    pub fn start(step: Step, misdeed: Misdeed, times: usize, pipelining: bool) -> Hop {
        Hop::with(Some((step, misdeed)), times, pipelining)
    }

    fn with(misdeed: Option<(Step, Misdeed)>, times: usize, pipelining: bool) -> Hop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            misdeed,
            pipelining,
            left: AtomicUsize::new(times),
            taken: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            open_peak: AtomicUsize::new(0),
            recipients_seen: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Hop { address, shared, thread: Some(thread) }
    }

    /// As a smart host of the settings document: `[127.0.0.1]:2600`.
    pub fn smart_host(&self) -> String {
        format!("[{}]:{}", self.address.ip(), self.address.port())
    }

    /// The contents taken so far.
    pub fn taken(&self) -> Vec<String> {
        self.shared.taken().clone()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The most connections that were open at the same time.
    pub fn connections_peak(&self) -> usize {
        self.shared.open_peak.load(Ordering::SeqCst)
    }

    /// From now on it does nothing wrong.
    pub fn reform(&self) {
        self.shared.left.store(0, Ordering::SeqCst);
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Wakes the thread that waits for connections.
            let _ = TcpStream::connect(self.address);
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Vec<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_about(&self, step: Step) -> bool {
        self.misdeed.is_some_and(|(at, _)| at == step)
    }

    /// What it is to do wrong at a step, if anything.
    fn misdeed(&self, step: Step) -> Option<Misdeed> {
        let (_, misdeed) = self.misdeed.filter(|(at, _)| *at == step)?;
        let less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).ok().map(|_| misdeed)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.open_peak.fetch_max(open, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let handle = stream.try_clone();
            if let (Ok(wire), Ok(handle)) = (Wire::new(stream, PATIENCE), handle) {
                // A peer that vanishes is no fault of ours.
                let _ = Dialogue { wire, handle, shared: &shared, has_sender: false, recipients: 0 }.run();
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

struct Dialogue<'a> {
    wire: Wire,
    /// The socket itself, to do what a wire cannot.
    handle: TcpStream,
    shared: &'a Shared,
    has_sender: bool,
    recipients: usize,
}

/// The connection ended, by either side.
struct Ended;

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Ended
    }
}

impl Dialogue<'_> {
    fn run(mut self) -> Result<(), Ended> {
        self.answer(Step::Greeting, "220 hop.test ESMTP")?;
        loop {
            let line = self.wire.read_line()?.ok_or(Ended)?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, _) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    let keywords = self.keywords();
                    self.answer(Step::Hello, &keywords)?;
                }
                "HELO" => self.say("250 hop.test")?,
                "STARTTLS" => self.start_tls()?,
                "MAIL" => {
                    self.recipients = 0;
                    self.has_sender = self.answer(Step::Mail, "250 2.1.0 OK")?;
                }
                "RCPT" => self.rcpt()?,
                "DATA" => self.data()?,
                "RSET" => {
                    self.answer(Step::Rset, "250 2.0.0 OK")?;
                }
                "QUIT" => {
                    self.answer(Step::Quit, "221 2.0.0 bye")?;
                    return Err(Ended);
                }
                _ => self.say("500 5.5.1 unknown command")?,
            }
        }
    }

    fn keywords(&self) -> String {
        let offers_tls =
            !self.wire.is_tls() && (self.shared.is_about(Step::StartTls) || self.shared.is_about(Step::Handshake));
        let mut lines = vec!["hop.test"];
        lines.extend(self.shared.pipelining.then_some("PIPELINING"));
        lines.extend(offers_tls.then_some("STARTTLS"));
        let last = lines.pop().unwrap_or_default();
        let before: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        format!("{before}250 {last}")
    }

    fn start_tls(&mut self) -> Result<(), Ended> {
        if !self.answer(Step::StartTls, "220 2.0.0 go ahead")? {
            return Ok(());
        }
        match self.shared.misdeed(Step::Handshake) {
            None => Ok(self.wire.start_tls_as_server()?),
            Some(misdeed) => self.misbehave(misdeed, "220 2.0.0 go ahead").map(|_| ()),
        }
    }

    fn rcpt(&mut self) -> Result<(), Ended> {
        if !self.has_sender {
            return self.say("503 5.5.1 MAIL first");
        }
        if self.shared.is_about(Step::Rset) && self.shared.recipients_seen.fetch_add(1, Ordering::SeqCst) == 0 {
            return self.say("450 4.2.1 not now");
        }
        if self.answer(Step::Rcpt, "250 2.1.5 OK")? {
            self.recipients += 1;
        }
        Ok(())
    }

    fn data(&mut self) -> Result<(), Ended> {
        if self.recipients == 0 {
            return self.say("554 5.5.1 no valid recipients");
        }
        if !self.answer(Step::Data, "354 go ahead")? {
            return Ok(());
        }
        let mut content = String::new();
        loop {
            let line = self.wire.read_line()?.ok_or(Ended)?;
            if content.is_empty() && !self.answer_silently(Step::Content)? {
                return Err(Ended);
            }
            if line == b".\r\n" {
                break;
            }
            content.push_str(&String::from_utf8_lossy(&line));
        }
        self.recipients = 0;
        match self.shared.misdeed(Step::Dot) {
            None => {
                // Recorded before the peer hears of it: what it was told is taken can be counted here.
                self.shared.taken().push(content);
                self.say("250 2.0.0 taken")
            }
            Some(misdeed) => {
                let takes = [Misdeed::TakeAndClose, Misdeed::AcceptAndClose, Misdeed::Twice, Misdeed::Early];
                if takes.contains(&misdeed) {
                    self.shared.taken().push(content);
                }
                self.misbehave(misdeed, "250 2.0.0 taken").map(|_| ())
            }
        }
    }

    /// Whether it said yes, as an honest next hop would.
    fn answer(&mut self, step: Step, yes: &str) -> Result<bool, Ended> {
        match self.shared.misdeed(step) {
            None => self.say(yes).map(|()| true),
            Some(misdeed) => self.misbehave(misdeed, yes),
        }
    }

    /// The same where an honest next hop says nothing.
    fn answer_silently(&mut self, step: Step) -> Result<bool, Ended> {
        match self.shared.misdeed(step) {
            None => Ok(true),
            Some(misdeed) => self.misbehave(misdeed, "250 2.0.0 so far").map(|_| true),
        }
    }

    fn misbehave(&mut self, misdeed: Misdeed, yes: &str) -> Result<bool, Ended> {
        match misdeed {
            Misdeed::Hang => self.wait_for_the_end(),
            Misdeed::Drip => {
                for byte in b"250-so far so good and so on and on ".iter().cycle() {
                    self.wire.write_all(&[*byte])?;
                    std::thread::sleep(DRIP);
                }
                Err(Ended)
            }
            Misdeed::Close | Misdeed::TakeAndClose => Err(Ended),
            Misdeed::Reset => {
                SockRef::from(&self.handle).set_linger(Some(Duration::ZERO))?;
                Err(Ended)
            }
            Misdeed::AcceptAndClose => {
                self.say(yes)?;
                Err(Ended)
            }
            Misdeed::NoCode => self.say("welcome to the machine").map(|()| false),
            Misdeed::Code999 => self.say("999 9.9.9 all good").map(|()| false),
            Misdeed::EndlessLines => loop {
                self.say("250-and another line")?;
            },
            Misdeed::HugeLine => self.say(&format!("250 {}", "x".repeat(100_000))).map(|()| false),
            Misdeed::Binary => {
                self.wire.write_all(&[0, 255, 22, 3, 1, 128, 10, 13, 10, 0])?;
                Ok(false)
            }
            Misdeed::WrongClass => {
                self.say(if yes.starts_with("354") { "250 2.0.0 OK" } else { "354 go ahead" }).map(|()| false)
            }
            Misdeed::Twice => self.say(&format!("{yes}\r\n{yes}")).map(|()| true),
            Misdeed::Early => {
                self.say(&format!("{yes}\r\n250 2.0.0 and yes to the next"))?;
                self.wait_for_the_end()
            }
            Misdeed::Refuse4 => self.say("451 4.3.0 not now").map(|()| false),
            Misdeed::Refuse5 => self.say("550 5.7.1 never").map(|()| false),
            Misdeed::Unavailable => {
                self.say("421 4.3.2 closing")?;
                Err(Ended)
            }
            Misdeed::Refuse5AndClose => {
                self.say("552 5.3.4 too much")?;
                Err(Ended)
            }
        }
    }

    fn wait_for_the_end(&mut self) -> Result<bool, Ended> {
        while self.wire.read_line()?.is_some() {}
        Err(Ended)
    }

    fn say(&mut self, reply: &str) -> Result<(), Ended> {
        Ok(self.wire.write_all(format!("{reply}\r\n").as_bytes())?)
    }
}
