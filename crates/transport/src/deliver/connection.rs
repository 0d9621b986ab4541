//! One connection to a next hop: opens it, drives the client engine over a socket, and says goodbye.
//!
//! Takes a target, hands on what the engine wants. What is sent through it, `transaction` knows.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost_mail::Reply;
use gatepost_mail::header_firewall::Rules;
use gatepost_policy::access_entry::Principal;
use gatepost_policy::masquerade::Masquerade;
use gatepost_policy::next_hop_certificate::{self, Demand, Doubt, Proof, Wanted};
use gatepost_policy::send_connector::{MailboxProtocol, SendConnector};
use gatepost_policy::{header_firewall, send_permission};
use gatepost_smtp::{
    Client, ClientError, ClientOutput, Logon, LogonMechanism, Options, Protocol, RecipientResult, Stage, Timeouts,
    TlsWish,
};
use gatepost_tracking::passport::event;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::account::{self, Account};
use super::stream::{Stream, connect, within};
use crate::clock::{self, now_ms};
use crate::dns::Target;
use crate::live_transcript::Direction;
use crate::passports::Over;
use crate::state::Running;
use crate::tls::Tls;
use crate::transcript::{self, Transcript};

/// Limit for a TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(60);
/// Replies are short; one read takes several.
const INPUT_BYTES: usize = 4 << 10;
/// How long a polite farewell may take.
const QUIT_MAX: Duration = Duration::from_secs(5);
/// How long a stop waits for an attempt whose message the peer cannot have yet.
const STOP_GRACE: Duration = Duration::from_secs(3);

pub(super) const NO_CONNECTION: Reply = Reply::new(451, (4, 4, 1), "Connection could not be opened");

/// An open connection, ready for a transaction unless `broken`.
pub struct Connection {
    pub(super) stream: Stream,
    pub(super) client: Client,
    /// What the peer said lies between `start` and `end`; the rest is old.
    pub(super) input: Box<[u8]>,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) output: Vec<u8>,
    transcript: Option<Transcript>,
    /// Whom the peer is taken for.
    pub(super) next_hop: Principal,
    /// What the peer may be sent.
    pub(super) rules: Rules,
    /// Which names of inside it sees by another name.
    pub(super) masquerade: Option<Arc<Masquerade>>,
    /// Whether 8-bit content is converted for a peer without 8BITMIME.
    pub(super) converts: bool,
    /// How long the peer may take to read a block of content.
    pub(super) block_max: Duration,
    /// When the transaction has to be over, however busy the peer looks.
    pub(super) end_of_time: Option<Instant>,
    /// Who is at the other end.
    pub target: Target,
    /// How the connection is protected, if it is.
    pub security: Option<Security>,
    /// Transactions so far.
    pub transactions: u32,
    /// Nothing more can be sent.
    pub broken: bool,
    /// What is recorded of it when it has ended.
    pub(super) account: Option<Account>,
    /// Whether we have said goodbye.
    has_quit: bool,
    /// Says when the server is to stop.
    stop: watch::Receiver<bool>,
    /// Whether the peer cannot have the message yet, so that nothing is lost or doubled by going away.
    pub(super) may_be_cut_short: bool,
    /// Whether we went away because the server stops.
    pub(super) is_cut_short: bool,
}

pub(super) enum Event {
    Ready,
    StartTls,
    Content,
    Recipient(Reply),
    Finished(Vec<RecipientResult>),
    Failed(ClientError),
    Closed,
}

/// TLS of a connection.
#[derive(Clone, Debug)]
pub struct Security {
    /// `TLS1.3`.
    pub version: &'static str,
    /// `AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// How sure we are of whom we speak to.
    pub proof: Proof,
}

/// On which terms a connection is opened.
pub(super) struct Terms<'a> {
    pub connector: &'a SendConnector,
    /// Our certificates, and the roots that we trust.
    pub tls: &'a Tls,
    /// The client's side of TLS.
    pub client_tls: &'a TlsConnector,
    pub wish: TlsWish,
    /// What the peer has to prove before anything is said to it.
    pub demand: Demand,
    pub logon: Option<Logon>,
}

/// Why a connection could not be opened.
pub(super) enum OpenError {
    Reply(Reply),
    /// Nothing came back in time.
    Silent(Reply),
    /// The peer has no TLS, and has to.
    NoTls(Reply),
    Handshake(io::Error),
    /// The peer has not proven who it is.
    Doubt(Doubt),
    /// The peer does not let us in, or may not.
    Logon(Reply),
}

impl Connection {
    pub(super) async fn open(
        running: &Arc<Running>,
        terms: &Terms<'_>,
        target: &Target,
        patience: Duration,
    ) -> Result<Connection, OpenError> {
        let connector = terms.connector;
        let failed = |error: io::Error| {
            let reply = NO_CONNECTION.with_text(format!("{} {target}: {error}", NO_CONNECTION.text));
            match error.kind() {
                io::ErrorKind::TimedOut => OpenError::Silent(reply),
                _ => OpenError::Reply(reply),
            }
        };
        let source = connector.source_ip_address.towards(target.address.ip());
        let patience = patience.min(connector.connection_inactivity_timeout);
        let socket = within(patience, connect(target, source)).await.map_err(failed)?;
        socket.set_nodelay();
        let transcript = socket.local_addr().ok().and_then(|local| {
            let revision = running.revision();
            let connection = transcript::Connection {
                direction: Direction::Send,
                server: revision.settings.server.name.as_str(),
                connector: &connector.name,
                local,
                remote: target.address,
            };
            running.transcripts.begin(connector.protocol_logging_level, &connection)
        });
        let timeouts = timeouts(connector);
        let block_max = timeouts.block;
        let protocol = match connector.mailbox_protocol {
            Some(MailboxProtocol::Lmtp) => Protocol::Lmtp,
            Some(MailboxProtocol::Smtp) | None => Protocol::Smtp,
        };
        let options = Options {
            protocol,
            force_helo: connector.force_helo,
            tls: terms.wish,
            is_in_tls: connector.implicit_tls,
            logon: terms.logon.clone(),
            timeouts,
            ..Options::new(connector.fqdn.as_str())
        };
        let mut connection = Connection {
            stream: Stream::Plain(socket),
            client: Client::new(clock::now(), options),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            output: Vec::new(),
            transcript,
            next_hop: send_permission::next_hop(connector),
            // What holds mailboxes of ours gets what they would get here.
            rules: match connector.mailbox_protocol {
                Some(_) => header_firewall::DELIVERED,
                None => header_firewall::decide_send(send_permission::granted(connector, now_ms())),
            },
            converts: connector.convert_8bit_mime,
            masquerade: connector.masquerade.clone(),
            block_max,
            end_of_time: None,
            target: target.clone(),
            security: None,
            transactions: 0,
            broken: false,
            account: None,
            has_quit: false,
            stop: running.stop.subscribe(),
            may_be_cut_short: true,
            is_cut_short: false,
        };
        if connector.implicit_tls {
            let counted = running.counters.send.of(&connector.name);
            let started = connection.start_tls(terms).await.inspect_err(|_| counted.handshakes.failed());
            counted.handshakes.done(started?);
        }
        loop {
            match connection.event().await {
                Event::Ready => return Ok(connection),
                Event::StartTls => {
                    let counted = running.counters.send.of(&connector.name);
                    let started = connection.start_tls(terms).await.inspect_err(|_| counted.handshakes.failed());
                    counted.handshakes.done(started?);
                    connection.client.tls_started(clock::now());
                }
                Event::Failed(ClientError { stage: Stage::Logon, reply }) => return Err(OpenError::Logon(reply)),
                Event::Failed(ClientError { stage: Stage::StartTls, reply }) => return Err(OpenError::NoTls(reply)),
                Event::Failed(error) => return Err(OpenError::Reply(error.reply)),
                Event::Content | Event::Recipient(_) | Event::Finished(_) | Event::Closed => {
                    return Err(OpenError::Reply(NO_CONNECTION));
                }
            }
        }
    }

    /// Does the handshake, and finds out whether the peer is who it has to be; hands on the version.
    async fn start_tls(&mut self, terms: &Terms<'_>) -> Result<&'static str, OpenError> {
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Err(OpenError::Handshake(io::Error::other("TLS is active already")));
        };
        let name = ServerName::try_from(self.target.name.clone())
            .unwrap_or_else(|_| ServerName::IpAddress(self.target.address.ip().into()));
        let handshake = terms.client_tls.connect(name, socket);
        let stream = within(HANDSHAKE_MAX.min(self.block_max), handshake).await.map_err(OpenError::Handshake)?;
        let session = stream.get_ref().1;
        let (version, cipher) = crate::tls::parameters(session);
        let certificate = terms.demand.needs_roots().then(|| {
            let address = match &terms.demand {
                Demand::Name(Wanted::Address(address)) => Some(*address),
                _ => None,
            };
            terms.tls.of_next_hop(session.peer_certificates().unwrap_or_default(), address)
        });
        let decided = next_hop_certificate::decide(&terms.demand, certificate.flatten().as_ref());
        if let Some(transcript) = &mut self.transcript {
            let told = decided.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            transcript.information(&format!("{version} {cipher}; {told}"), "TLS negotiated");
        }
        let proof = decided.map_err(OpenError::Doubt)?;
        self.security = Some(Security { version, cipher, proof });
        self.stream = Stream::Tls(Box::new(stream));
        // Whatever came behind the reply to STARTTLS came in clear and counts for nothing (RFC 3207 section 6).
        (self.start, self.end) = (0, 0);
        Ok(version)
    }

    /// Where it leads and how it is protected, for passports.
    pub fn over(&self) -> Over {
        let tls = self.security.as_ref().map(|Security { version, cipher, proof }| event::Tls {
            version: (*version).into(),
            cipher: (*cipher).into(),
            proof: Some(proof.to_string().into()),
        });
        Over { address: account::address_of(&self.target), tls }
    }

    /// Who the peer says it is.
    pub fn peer_name(&self) -> &str {
        self.client.peer_name()
    }

    /// The mechanism by which we are logged on, if we are.
    pub fn logged_on(&self) -> Option<LogonMechanism> {
        self.client.logged_on()
    }

    /// Whether the peer takes addresses that are not ASCII.
    pub fn takes_utf8(&self) -> bool {
        self.client.supports().smtputf8
    }

    /// Whether the peer has said something that nobody has listened to yet.
    pub(super) fn has_unread(&self) -> bool {
        self.start < self.end
    }

    /// `patience`, or what is left of the transaction's whole time.
    pub(super) fn left(&self, patience: Duration) -> Duration {
        let left = self.end_of_time.map(|end| end.saturating_duration_since(clock::now()));
        left.map_or(patience, |left| left.min(patience))
    }

    /// Says goodbye and closes; a peer that does not answer is not waited for.
    pub async fn quit(mut self) {
        if self.broken {
            return;
        }
        self.has_quit = true;
        self.client.quit(clock::now());
        let farewell = async {
            loop {
                if matches!(self.event().await, Event::Closed | Event::Failed(_)) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(QUIT_MAX, farewell).await;
    }

    /// Whether the peer makes its own reports on success: it offers DSN.
    pub fn reports_on_success(&self) -> bool {
        self.client.supports().dsn
    }

    /// Drives the engine until it wants something from us.
    pub(super) async fn event(&mut self) -> Event {
        loop {
            let now = clock::now();
            let (used, output) = self.client.receive(now, &self.input[self.start..self.end]);
            if let Some(transcript) = &mut self.transcript {
                transcript.received_bytes(&self.input[self.start..self.start + used]);
            }
            let mut wants_input = false;
            let event = match output {
                ClientOutput::Send(bytes) => {
                    if let Some(transcript) = &mut self.transcript {
                        transcript.sent(bytes);
                    }
                    self.output.extend_from_slice(bytes);
                    None
                }
                ClientOutput::SendSecret { bytes, shown } => {
                    if let Some(transcript) = &mut self.transcript {
                        transcript.sent(shown.as_bytes());
                    }
                    self.output.extend_from_slice(bytes);
                    None
                }
                ClientOutput::Recipient { reply, .. } => Some(Event::Recipient(reply)),
                ClientOutput::NeedInput => {
                    wants_input = true;
                    None
                }
                ClientOutput::StartTls => Some(Event::StartTls),
                ClientOutput::Ready => Some(Event::Ready),
                ClientOutput::Content => Some(Event::Content),
                ClientOutput::Finished(results) => Some(Event::Finished(results)),
                ClientOutput::Failed(error) => Some(Event::Failed(error)),
                ClientOutput::Close => Some(Event::Closed),
            };
            self.start += used;
            if let Some(event) = event {
                return event;
            }
            if wants_input && let Err(error) = self.exchange().await {
                if error.kind() == io::ErrorKind::TimedOut {
                    self.client.timeout(clock::now());
                } else {
                    self.client.disconnected();
                }
                self.broken = true;
            }
        }
    }

    /// Writes what is gathered, then reads what the peer says to it.
    async fn exchange(&mut self) -> io::Result<()> {
        let deadline = self.client.deadline();
        let patience = deadline.map_or(HANDSHAKE_MAX, |deadline| deadline.saturating_duration_since(clock::now()));
        let patience = self.left(patience);
        if self.broken {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.flush(patience).await?;
        (self.start, self.end) = (0, 0);
        let read = tokio::select! {
            biased;
            read = within(patience, self.stream.read(&mut self.input)) => read,
            () = stopped(&mut self.stop), if self.may_be_cut_short => {
                self.is_cut_short = true;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        };
        self.end = *read.as_ref().unwrap_or(&0);
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn flush(&mut self, patience: Duration) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        within(patience, write).await?;
        self.output.clear();
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(account) = self.account.take() else { return };
        let end = match (self.is_cut_short, self.has_quit, self.broken) {
            (true, ..) => "cut short: the server stops",
            (_, true, _) => "closed with QUIT",
            (_, _, true) => "broken off",
            (_, _, false) => "closed",
        };
        account.ended(&self.target, self.over(), self.transactions, end);
    }
}

/// The patience of RFC 5321, cut to what the connector allows a silent peer.
fn timeouts(connector: &SendConnector) -> Timeouts {
    let rfc = Timeouts::default();
    let most = connector.connection_inactivity_timeout;
    Timeouts {
        greeting: rfc.greeting.min(most),
        command: rfc.command.min(most),
        data: rfc.data.min(most),
        block: rfc.block.min(most),
        end: rfc.end.min(most),
    }
}

/// Waits until the server is to stop, and then long enough for an attempt that goes well to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_ok() {
        tokio::time::sleep(STOP_GRACE).await;
    }
}
