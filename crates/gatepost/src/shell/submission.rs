//! Hands a script's message to a mail server: one connection, one transaction, and the last word as scripts know it.
//!
//! Takes a letter, connects from the caller's process, hands on why it was not taken. A password goes through TLS only, or to
//! this machine. Ctrl-C ends it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost_mail::{BodyType, Recipient, Reply};
use gatepost_shell::world::Letter;
use gatepost_smtp::{
    Client, ClientOutput, Logon, LogonMechanism, LogonMechanisms, NONCE_BYTES, Options, Stage, TlsWish, Transaction,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::cancel::Cancel;
use super::letter::Written;

/// How long all of it may take where the script does not say.
const PATIENCE: Duration = Duration::from_secs(100);
/// How long an address may take to answer where there are others.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// How often Ctrl-C is asked about.
const TICK: Duration = Duration::from_millis(200);
/// Where TLS comes first.
const SUBMISSIONS_PORT: u16 = 465;
const BUFFER_BYTES: usize = 16 << 10;

/// Sends a letter that is written.
pub fn submit(letter: &Letter, written: &Written, nonce: [u8; NONCE_BYTES], cancel: &Cancel) -> Result<(), String> {
    let patience = if letter.timeout.is_zero() { PATIENCE } else { letter.timeout };
    let until = Instant::now() + patience;
    let socket = connect(letter, until)?;
    let local = socket.local_addr().map_err(|error| broken(letter, &error))?;
    let is_here = socket.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
    let mut options = Options::new(hello_name(local.ip()));
    let is_implicit = letter.uses_tls && letter.port == SUBMISSIONS_PORT;
    options.tls = if letter.uses_tls && !is_implicit { TlsWish::Required } else { TlsWish::Never };
    options.is_in_tls = is_implicit;
    options.logon = letter.account.as_ref().map(|(user, password)| Logon {
        user: user.clone(),
        password: password.to_string(),
        mechanisms: all_mechanisms(),
        may_be_in_clear: is_here,
        nonce,
    });
    let mut dialogue = Dialogue { letter, written, until, cancel, stream: Stream::Plain(socket), refusals: Vec::new() };
    if is_implicit {
        dialogue.start_tls()?;
    }
    dialogue.run(Client::new(Instant::now(), options))
}

fn all_mechanisms() -> LogonMechanisms {
    let mut mechanisms = LogonMechanisms::default();
    LogonMechanism::INSIDE_TLS.iter().for_each(|mechanism| mechanisms.note(mechanism.as_str()));
    mechanisms
}

/// An address literal (RFC 5321 section 4.1.3): it is right whatever this machine is called.
fn hello_name(local: IpAddr) -> String {
    match local.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

fn connect(letter: &Letter, until: Instant) -> Result<TcpStream, String> {
    let place = format!("{}:{}", letter.server, letter.port);
    let unable = |why: &dyn std::fmt::Display| format!("Unable to connect to the remote server {place}: {why}");
    let host = letter.server.trim().trim_matches(['[', ']']);
    let addresses: Vec<SocketAddr> = (host, letter.port).to_socket_addrs().map_err(|error| unable(&error))?.collect();
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now()).min(CONNECT_MAX);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                let prepared = socket.set_read_timeout(Some(TICK)).and_then(|()| socket.set_write_timeout(Some(TICK)));
                return prepared.map(|()| socket).map_err(|error| unable(&error));
            }
            Err(error) => last = error,
        }
    }
    Err(unable(&last))
}

fn broken(letter: &Letter, error: &dyn std::fmt::Display) -> String {
    format!("Failure sending mail. The connection to {}:{} broke: {error}", letter.server, letter.port)
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between the two.
    None,
}

impl Stream {
    fn halves(&mut self) -> io::Result<&mut dyn ReadWrite> {
        match self {
            Stream::Plain(stream) => Ok(stream),
            Stream::Tls(stream) => Ok(&mut **stream),
            Stream::None => Err(ErrorKind::NotConnected.into()),
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

struct Dialogue<'a> {
    letter: &'a Letter,
    written: &'a Written,
    until: Instant,
    cancel: &'a Cancel,
    stream: Stream,
    /// What was said to recipients that were not taken.
    refusals: Vec<(String, Reply)>,
}

impl Dialogue<'_> {
    /// Speaks with the server until it has the message or says no.
    fn run(&mut self, mut client: Client) -> Result<(), String> {
        let (mut input, mut used) = (Vec::new(), 0);
        let mut out = Vec::new();
        let mut outcome = None;
        loop {
            let (consumed, output) = client.receive(Instant::now(), &input[used..]);
            used += consumed;
            match output {
                ClientOutput::Send(bytes) | ClientOutput::SendSecret { bytes, .. } => out.extend_from_slice(bytes),
                ClientOutput::StartTls => {
                    self.send(&mut out)?;
                    // What came behind the 220 was said in clear, and is not believed.
                    (input, used) = (Vec::new(), 0);
                    self.start_tls()?;
                    client.tls_started(Instant::now());
                }
                ClientOutput::Ready if outcome.is_some() => client.quit(Instant::now()),
                ClientOutput::Ready => {
                    let recipients: Vec<(usize, &Recipient)> = self.written.recipients.iter().enumerate().collect();
                    let needs_smtputf8 = self.written.recipients.iter().any(|one| one.mailbox.needs_smtputf8())
                        || self.written.reverse_path.mailbox().is_some_and(|mailbox| mailbox.needs_smtputf8());
                    client.begin(
                        Instant::now(),
                        Transaction {
                            reverse_path: &self.written.reverse_path,
                            recipients: &recipients,
                            body: BodyType::SevenBit,
                            size: self.written.content.len() as u64,
                            smtputf8: needs_smtputf8,
                            ret: None,
                            envid: None,
                            originator: None,
                        },
                    );
                }
                ClientOutput::Content => {
                    self.send(&mut out)?;
                    client.content(&self.written.content, &mut out);
                    client.content_end(Instant::now(), &mut out);
                    self.send(&mut out)?;
                }
                // It comes again with the others.
                ClientOutput::Recipient { .. } => {}
                ClientOutput::Finished(results) => {
                    for result in results.iter().filter(|result| !result.reply.is_positive()) {
                        let recipient = self.written.recipients.get(result.index);
                        let address = recipient.map(|recipient| recipient.mailbox.to_string()).unwrap_or_default();
                        self.refusals.push((address, result.reply.clone()));
                    }
                    outcome = Some(self.outcome(results.len()));
                }
                ClientOutput::NeedInput => {
                    self.send(&mut out)?;
                    (input, used) = (Vec::new(), 0);
                    match self.receive(&mut input) {
                        Ok(()) => {}
                        // The message is taken or refused: how the goodbye goes changes nothing.
                        Err(_) if outcome.is_some() => return outcome.unwrap_or(Ok(())),
                        Err(error) => return Err(error),
                    }
                    if input.is_empty() {
                        client.disconnected();
                    }
                }
                ClientOutput::Failed(error) if outcome.is_none() => {
                    outcome = Some(Err(self.refused(error.stage, &error.reply)))
                }
                ClientOutput::Failed(_) => {}
                ClientOutput::Close => {
                    // A server that has gone has been told enough.
                    let _ = self.send(&mut out);
                    return outcome.unwrap_or_else(|| Err(broken(self.letter, &"it was closed")));
                }
            }
        }
    }

    fn outcome(&self, recipients: usize) -> Result<(), String> {
        match &self.refusals[..] {
            [] => Ok(()),
            [(_, reply), ..] if self.refusals.len() == recipients => Err(told(reply)),
            some => {
                let names: Vec<&str> = some.iter().map(|(address, _)| address.as_str()).collect();
                let reply = told(&some[0].1);
                Err(format!("The others got it, but not {}: {reply}", names.join(", ")))
            }
        }
    }

    fn refused(&self, stage: Stage, reply: &Reply) -> String {
        match stage {
            Stage::StartTls => format!(
                "Server does not support secure connections: {}:{} said {}. Leave -UseSsl out, or use its port for TLS.",
                self.letter.server,
                self.letter.port,
                said(reply)
            ),
            Stage::Logon if !self.letter.uses_tls => {
                format!("{} A password goes through TLS only: write -UseSsl.", told(reply))
            }
            _ => told(reply),
        }
    }

    fn start_tls(&mut self) -> Result<(), String> {
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Err(broken(self.letter, &"TLS was begun twice"));
        };
        let name = self.letter.server.trim().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| broken(self.letter, &error))?;
        let mut connection =
            ClientConnection::new(Arc::new(configuration()?), name).map_err(|error| broken(self.letter, &error))?;
        let mut socket = socket;
        while connection.is_handshaking() {
            match connection.complete_io(&mut socket) {
                Ok(_) => {}
                Err(error) if is_wait(&error) => self.check()?,
                Err(error) => {
                    return Err(format!(
                        "The remote certificate is invalid according to the validation procedure, or TLS failed: {error}. A \
                         certificate of your own authority is believed where the system trusts that authority, or SSL_CERT_FILE names it."
                    ));
                }
            }
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(())
    }

    fn send(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let mut sent = 0;
        while sent < out.len() {
            let written = self.stream.halves().and_then(|stream| stream.write(&out[sent..]));
            match written {
                Ok(0) => return Err(broken(self.letter, &"it takes nothing")),
                Ok(count) => sent += count,
                Err(error) if is_wait(&error) => {}
                // What the server said before it hung up is still to be read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                Err(error) => return Err(broken(self.letter, &error)),
            }
            self.check()?;
        }
        out.clear();
        loop {
            match self.stream.halves().and_then(|stream| stream.flush()) {
                Err(error) if is_wait(&error) => self.check()?,
                // As above.
                _ => return Ok(()),
            }
        }
    }

    /// What came; nothing: the server has closed.
    fn receive(&mut self, input: &mut Vec<u8>) -> Result<(), String> {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            match self.stream.halves().and_then(|stream| stream.read(&mut buffer)) {
                Ok(count) => {
                    input.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(error) if is_wait(&error) => self.check()?,
                Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                    return Ok(());
                }
                Err(error) => return Err(broken(self.letter, &error)),
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.cancel.is_set() {
            return Err("Failure sending mail. It was ended by Ctrl-C.".to_owned());
        }
        match Instant::now() < self.until {
            true => Ok(()),
            false => {
                Err(format!("The operation has timed out: {}:{} takes too long.", self.letter.server, self.letter.port))
            }
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// What a server has to prove: that somebody whom this machine trusts says that it is who it is.
fn configuration() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| format!("TLS cannot be used: {error}"))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn said(reply: &Reply) -> String {
    let status = reply.status.map(|status| format!("{status} ")).unwrap_or_default();
    format!("{status}{}", reply.text.replace('\n', " "))
}

/// A refusal in the words that scripts know from the original.
fn told(reply: &Reply) -> String {
    let meaning = match reply.code {
        421 => "Service not available, closing transmission channel.",
        450 | 550 => "Mailbox unavailable.",
        451 => "Error in processing.",
        452 => "Insufficient system storage.",
        454 => "Client does not have permission to submit mail to this server.",
        500 => "Syntax error, command unrecognized.",
        501 => "Syntax error in parameters or arguments.",
        503 => "Bad sequence of commands.",
        530 => "The SMTP server requires a secure connection or the client was not authenticated.",
        535 => "The user name or the password is wrong.",
        551 => "User not local; please try a different path.",
        552 => "Exceeded storage allocation.",
        553 => "Mailbox name not allowed.",
        554 => "Transaction failed.",
        _ => "Failure sending mail.",
    };
    format!("{meaning} The server response was: {}", said(reply))
}
