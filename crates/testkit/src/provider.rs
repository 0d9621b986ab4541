//! A smart host that wants a logon: STARTTLS or TLS at once with a certificate of the test's, the usual mechanisms, and a
//! few lies on demand.
//!
//! What it sees is recorded: mechanisms, whether they were said in clear, client certificates, messages. Its own half of
//! SCRAM is written from RFC 5802 and shares nothing with the server under test.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;

use crate::authority::Identity;
use crate::wait;
use crate::wire::Wire;

/// The user that it knows.
pub const USER: &str = "scanner@contoso.example";
/// That user's password.
pub const PASSWORD: &str = "tanst, aaf=tanstaaf";

const PATIENCE: Duration = Duration::from_secs(60);
const ITERATIONS: u32 = 4_096;
const SALT: &[u8] = b"any salt will do";

/// How it is made; every field has a default.
pub struct Provider {
    /// The words behind AUTH; empty: it offers none.
    pub mechanisms: &'static str,
    /// The certificate that it shows; `None`: no TLS.
    pub identity: Option<Identity>,
    /// Whether TLS starts with the first byte.
    pub implicit_tls: bool,
    /// Whether it asks for a client's certificate.
    pub asks_for_certificate: bool,
    /// It does not know the password, but says that all is well.
    pub lies: bool,
    /// What it says to the logon that would be right.
    pub refusal: Option<&'static str>,
    /// What it says to each RCPT.
    pub rcpt: &'static str,
}

impl Default for Provider {
    fn default() -> Provider {
        Provider {
            mechanisms: "PLAIN",
            identity: None,
            implicit_tls: false,
            asks_for_certificate: false,
            lies: false,
            refusal: None,
            rcpt: "250 2.1.5 OK",
        }
    }
}

/// What one connection did.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Where it came from.
    pub source: Option<IpAddr>,
    /// EHLO or HELO, with its argument.
    pub hello: String,
    /// AUTH's mechanism, and whether it was inside TLS.
    pub logons: Vec<(String, bool)>,
    /// Whether the last logon succeeded.
    pub is_in: bool,
    /// The client's certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// The contents that it brought.
    pub contents: Vec<String>,
}

/// A running provider; it stops listening when dropped.
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    setup: Provider,
    config: Option<Arc<ServerConfig>>,
    /// One for each connection, in the order in which they came.
    seen: Mutex<Vec<Seen>>,
    open: AtomicUsize,
    open_peak: AtomicUsize,
    stopping: AtomicBool,
    /// From now on every logon is right or refused by its own merits.
    is_repaired: AtomicBool,
}

impl Provider {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(self) -> Running {
        self.start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Listens there.
    pub fn start_at(self, address: SocketAddr) -> Running {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let config = self.identity.as_ref().map(|identity| identity.server_config(self.asks_for_certificate));
        let shared = Arc::new(Shared {
            setup: self,
            config,
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            open_peak: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            is_repaired: AtomicBool::new(false),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Running { address, shared, thread: Some(thread) }
    }
}

impl Running {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// As a smart host of the settings document: `[127.0.0.1]:2600`.
    pub fn smart_host(&self) -> String {
        format!("[{}]:{}", self.address.ip(), self.address.port())
    }

    /// What its connections did, in the order in which they came.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen().clone()
    }

    /// The contents taken so far.
    pub fn contents(&self) -> Vec<String> {
        self.shared.seen().iter().flat_map(|seen| seen.contents.clone()).collect()
    }

    /// Waits until at least `count` messages were taken.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<String> {
        wait::until("messages at the provider", || Some(self.contents()).filter(|contents| contents.len() >= count))
    }

    /// The most connections that were open at the same time.
    pub fn connections_peak(&self) -> usize {
        self.shared.open_peak.load(Ordering::SeqCst)
    }

    /// From now on it neither lies nor refuses.
    pub fn repair(&self) {
        self.shared.is_repaired.store(true, Ordering::SeqCst);
    }
}

impl Drop for Running {
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
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let source = stream.peer_addr().ok().map(|peer| peer.ip());
        let number = {
            let mut seen = shared.seen();
            seen.push(Seen { source, ..Seen::default() });
            seen.len() - 1
        };
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.open_peak.fetch_max(open, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            if let Ok(wire) = Wire::new(stream, PATIENCE) {
                // A peer that vanishes is no fault of ours.
                let _ = Dialogue { wire, shared: &shared, number }.run();
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

struct Dialogue<'a> {
    wire: Wire,
    shared: &'a Shared,
    number: usize,
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
        let setup = &self.shared.setup;
        if setup.implicit_tls {
            self.start_tls()?;
        }
        self.say("220 provider.test ESMTP")?;
        loop {
            let line = self.line()?;
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    self.note(|seen| seen.hello = line.clone());
                    let mut lines = vec!["provider.test".to_owned(), "8BITMIME".to_owned()];
                    lines.extend((self.shared.config.is_some() && !self.wire.is_tls()).then(|| "STARTTLS".to_owned()));
                    lines.extend((!setup.mechanisms.is_empty()).then(|| format!("AUTH {}", setup.mechanisms)));
                    let last = lines.pop().unwrap_or_default();
                    let before: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
                    self.say(&format!("{before}250 {last}"))?;
                }
                "HELO" => {
                    self.note(|seen| seen.hello = line.clone());
                    self.say("250 provider.test")?;
                }
                "STARTTLS" => {
                    self.say("220 2.0.0 go ahead")?;
                    self.start_tls()?;
                }
                "AUTH" => self.auth(argument)?,
                "MAIL" if !setup.mechanisms.is_empty() && !self.shared.seen()[self.number].is_in => {
                    self.say("530 5.7.0 Authentication required")?;
                }
                "MAIL" | "RSET" => self.say("250 2.1.0 OK")?,
                "RCPT" => self.say(setup.rcpt)?,
                "DATA" => self.data()?,
                "QUIT" => {
                    self.say("221 2.0.0 bye")?;
                    return Err(Ended);
                }
                _ => self.say("500 5.5.1 unknown command")?,
            }
        }
    }

    fn start_tls(&mut self) -> Result<(), Ended> {
        let config = self.shared.config.clone().ok_or(Ended)?;
        self.wire.start_tls_as_server_with(config)?;
        let certificate = self.wire.peer_certificate();
        self.note(|seen| seen.certificate = certificate);
        Ok(())
    }

    fn auth(&mut self, argument: &str) -> Result<(), Ended> {
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        let (mechanism, is_in_tls) = (mechanism.to_ascii_uppercase(), self.wire.is_tls());
        self.note(|seen| seen.logons.push((mechanism.clone(), is_in_tls)));
        let is_right = match mechanism.as_str() {
            "PLAIN" => decode(initial)? == format!("\0{USER}\0{PASSWORD}").as_bytes(),
            "LOGIN" => {
                let user = self.asked(b"Username:")?;
                let password = self.asked(b"Password:")?;
                user == USER.as_bytes() && password == PASSWORD.as_bytes()
            }
            "CRAM-MD5" => {
                // The digest for this challenge, USER and PASSWORD, made by Python's hmac module.
                let answer = self.asked(b"<1896.697170952@provider.test>")?;
                answer == format!("{USER} {CRAM_MD5_DIGEST}").as_bytes()
            }
            "SCRAM-SHA-1" => self.scram(initial, &digest::SHA1_FOR_LEGACY_USE_ONLY)?,
            "SCRAM-SHA-256" => self.scram(initial, &digest::SHA256)?,
            _ => return self.say("504 5.5.4 Unrecognized authentication type"),
        };
        let refusal = self.shared.setup.refusal.filter(|_| !self.shared.is_repaired.load(Ordering::SeqCst));
        match (is_right, refusal) {
            (true, None) => {
                self.note(|seen| seen.is_in = true);
                self.say("235 2.7.0 Authentication succeeded")
            }
            (true, Some(refusal)) => self.say(refusal),
            (false, _) => self.say("535 5.7.8 Authentication credentials invalid"),
        }
    }

    fn asked(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Ended> {
        self.say(&format!("334 {}", STANDARD.encode(challenge)))?;
        decode(&self.line()?)
    }

    /// RFC 5802 section 3, the server's half.
    fn scram(&mut self, initial: &str, algorithm: &'static digest::Algorithm) -> Result<bool, Ended> {
        let is_sha1 = algorithm.output_len() == 20;
        let (mac, derive) = match is_sha1 {
            true => (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, pbkdf2::PBKDF2_HMAC_SHA1),
            false => (hmac::HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA256),
        };
        let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(mac, key), text.as_bytes()).as_ref().to_vec();
        let first = String::from_utf8(decode(initial)?).map_err(|_| Ended)?;
        let bare = first.strip_prefix("n,,").ok_or(Ended)?;
        let nonce = bare.split_once(",r=").ok_or(Ended)?.1;
        let server_first = format!("r={nonce}server,s={},i={ITERATIONS}", STANDARD.encode(SALT));
        let client_final = String::from_utf8(self.asked(server_first.as_bytes())?).map_err(|_| Ended)?;
        let (without_proof, proof) = client_final.split_once(",p=").ok_or(Ended)?;
        let mut salted = vec![0; algorithm.output_len()];
        let iterations = ITERATIONS.try_into().map_err(|_| Ended)?;
        pbkdf2::derive(derive, iterations, SALT, PASSWORD.as_bytes(), &mut salted);
        let client_key = sign(&salted, "Client Key");
        let stored = digest::digest(algorithm, &client_key);
        let signed = format!("{bare},{server_first},{without_proof}");
        let signature = sign(stored.as_ref(), &signed);
        let expected: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
        let mut own = sign(&sign(&salted, "Server Key"), &signed);
        let lies = self.shared.setup.lies && !self.shared.is_repaired.load(Ordering::SeqCst);
        if !lies && (decode(proof)? != expected || !bare.starts_with(&format!("n={}", escaped(USER)))) {
            return Ok(false);
        }
        if lies {
            own[0] ^= 1;
        }
        let last = self.asked(format!("v={}", STANDARD.encode(own)).as_bytes())?;
        Ok(last.is_empty())
    }

    fn data(&mut self) -> Result<(), Ended> {
        self.say("354 go ahead")?;
        let mut content = String::new();
        loop {
            let line = self.wire.read_line()?.ok_or(Ended)?;
            if line == b".\r\n" {
                break;
            }
            content.push_str(&String::from_utf8_lossy(&line));
        }
        // Recorded before the peer hears of it.
        self.note(|seen| seen.contents.push(content));
        self.say("250 2.0.0 taken")
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.shared.seen()[self.number]);
    }

    fn line(&mut self) -> Result<String, Ended> {
        let line = self.wire.read_line()?.ok_or(Ended)?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn say(&mut self, reply: &str) -> Result<(), Ended> {
        Ok(self.wire.write_all(format!("{reply}\r\n").as_bytes())?)
    }
}

const CRAM_MD5_DIGEST: &str = "86ddaca953072a2ff5c88ce07d29e8e8";

fn decode(text: &str) -> Result<Vec<u8>, Ended> {
    STANDARD.decode(text).map_err(|_| Ended)
}

fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}
