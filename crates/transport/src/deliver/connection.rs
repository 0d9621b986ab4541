//! One connection to a next hop: finds its addresses, drives the client engine over a socket.
//!
//! Takes a next hop and messages, hands on replies. Decides nothing: whether to try again is the conclusion's business.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gatepost_mail::header_firewall::{HeaderFirewall, Rules, infallible};
use gatepost_mail::{Recipient, Reply};
use gatepost_policy::access_entry::Principal;
use gatepost_policy::route::NextHop;
use gatepost_policy::send_connector::{ProtocolLoggingLevel, SendConnector};
use gatepost_policy::{header_firewall, limits, send_permission};
use gatepost_smtp::{Client, ClientError, ClientOutput, Options, RecipientResult, Timeouts, TlsWish, Transaction};
use gatepost_spool::Message;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock::{self, now_ms};
use crate::dns::Target;
use crate::fetch;
use crate::net::{self, Socket};
use crate::state::{Revision, Running};
use crate::transcript::{Direction, Transcript};

/// Limit for opening a TCP connection; other addresses are tried after it.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// Limit for a TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(60);
/// Replies are short; one read takes several.
const INPUT_BYTES: usize = 4 << 10;
/// Content goes out in writes of about this many bytes.
const OUTPUT_BYTES: usize = 64 << 10;
/// Read from the disk at once: each read borrows a thread, which costs more than copying this.
const PIECE_BYTES: usize = 256 << 10;
/// Of a message's header section, this much is read at once.
const HEADER_PIECE_BYTES: usize = 16 << 10;
/// How long a polite farewell may take.
const QUIT_MAX: Duration = Duration::from_secs(5);
/// How long a peer that takes no more content may take to say why.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);
/// How long a stop waits for an attempt whose message the peer cannot have yet.
const STOP_GRACE: Duration = Duration::from_secs(3);

const NO_CONNECTION: Reply = Reply::new(451, (4, 4, 1), "Connection could not be opened");
const CANNOT_READ: Reply = Reply::new(451, (4, 3, 0), "The message could not be read from the spool");

/// Why there is no connection to a target.
#[derive(Debug)]
struct ConnectError {
    /// What the peer said, or what we say in its place.
    reply: Reply,
}

/// What became of a transaction.
pub enum Delivered {
    /// Every recipient has its reply.
    Replies(Vec<RecipientResult>),
    /// The connection, which had served before, was gone before the content: nothing was delivered, and a new one may do
    /// better at once.
    Stale,
}

/// An open connection, ready for a transaction unless `broken`.
pub struct Connection {
    stream: Stream,
    client: Client,
    /// What the peer said lies between `start` and `end`; the rest is old.
    input: Box<[u8]>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    transcript: Option<Transcript>,
    /// Whom the peer is taken for.
    next_hop: Principal,
    /// What the peer may be sent.
    rules: Rules,
    /// How long the peer may take to read a block of content.
    block_max: Duration,
    /// When the transaction has to be over, however busy the peer looks.
    end_of_time: Option<Instant>,
    /// Who is at the other end.
    pub target: Target,
    /// Transactions so far.
    pub transactions: u32,
    /// Nothing more can be sent.
    pub broken: bool,
    /// Says when the server is to stop.
    stop: watch::Receiver<bool>,
    /// Whether the peer cannot have the message yet, so that nothing is lost or doubled by going away.
    may_be_cut_short: bool,
    /// Whether we went away because the server stops.
    is_cut_short: bool,
}

enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
    /// Between the two, and after a failed handshake.
    None,
}

enum Event {
    Ready,
    StartTls,
    Content,
    Recipient(Reply),
    Finished(Vec<RecipientResult>),
    Failed(ClientError),
    Closed,
}

/// Why there is no connection, in the words that senders are told.
pub enum NoConnection {
    /// There is nobody to connect to, and there will not be.
    NoSuchNextHop(Reply),
    /// Not now.
    Unreachable(Reply),
}

/// Looks the next hop up and connects to the first of its targets that answers.
///
/// # Errors
/// [`NoConnection`], when none does.
pub async fn dial(
    running: &Arc<Running>,
    revision: &Revision,
    connector: &SendConnector,
    next_hop: &NextHop,
) -> Result<Connection, NoConnection> {
    let own_name = revision.settings.server.name.as_str();
    let targets = revision.dns.targets(next_hop, connector.port, own_name).await.map_err(|error| {
        if error.reply.code >= 500 {
            NoConnection::NoSuchNextHop(error.reply)
        } else {
            NoConnection::Unreachable(error.reply)
        }
    })?;
    let mut last_reply = Reply::new(451, (4, 4, 1), "The next hop has no address");
    for target in &targets {
        match open(running, revision, connector, target).await {
            Ok(connection) => {
                tracing::debug!(next_hop = %next_hop, address = %target.address, host = target.name, "connected");
                return Ok(connection);
            }
            Err(error) => {
                tracing::info!(
                    next_hop = %next_hop, address = %target.address, host = target.name, reply = %error.reply,
                    verdict = "unreachable", "no connection"
                );
                last_reply = error.reply;
            }
        }
    }
    if targets.len() > 1 {
        let text = format!(
            "Primary target IP address responded with: \"{last_reply}\". Attempted failover to alternate host, but \
             that did not succeed. Either there are no alternate hosts, or delivery failed to all alternate hosts."
        );
        last_reply = Reply::new(451, (4, 4, 0), "").with_text(text);
    }
    Err(NoConnection::Unreachable(last_reply))
}

/// Opens a connection to `target`. With opportunistic TLS a failed handshake is followed by one attempt in clear.
///
/// # Errors
/// [`ConnectError`] with a reply for queue listings and reports.
async fn open(
    running: &Arc<Running>,
    revision: &Revision,
    connector: &SendConnector,
    target: &Target,
) -> Result<Connection, ConnectError> {
    let wish = match (connector.require_tls, connector.ignore_starttls) {
        (true, _) => TlsWish::Required,
        (false, true) => TlsWish::Never,
        (false, false) => TlsWish::Opportunistic,
    };
    let tls = revision.tls.client(connector).unwrap_or(&running.client_tls);
    match Connection::open(running, tls, connector, target, wish).await {
        Err(OpenError::Handshake(error)) if wish == TlsWish::Opportunistic => {
            tracing::info!(next_hop = %target.address, host = target.name, %error, "TLS failed; trying in clear");
            Connection::open(running, tls, connector, target, TlsWish::Never)
                .await
                .map_err(OpenError::into_connect_error)
        }
        other => other.map_err(OpenError::into_connect_error),
    }
}

enum OpenError {
    Reply(Reply),
    Handshake(io::Error),
}

impl OpenError {
    fn into_connect_error(self) -> ConnectError {
        match self {
            OpenError::Reply(reply) => ConnectError { reply },
            OpenError::Handshake(error) => {
                let text = format!("TLS could not be negotiated: {error}");
                ConnectError { reply: Reply::new(451, (4, 7, 5), "").with_text(text) }
            }
        }
    }
}

impl Connection {
    async fn open(
        running: &Arc<Running>,
        tls: &TlsConnector,
        connector: &SendConnector,
        target: &Target,
        wish: TlsWish,
    ) -> Result<Connection, OpenError> {
        let failed = |error: io::Error| {
            let text = format!("{} {}: {error}", NO_CONNECTION.text, target.address);
            OpenError::Reply(NO_CONNECTION.with_text(text))
        };
        let patience = CONNECT_MAX.min(connector.connection_inactivity_timeout);
        let socket = within(patience, net::connect(target.address)).await.map_err(failed)?;
        socket.set_nodelay();
        let transcript = match (connector.protocol_logging_level == ProtocolLoggingLevel::Verbose, socket.local_addr())
        {
            (true, Ok(local)) => {
                let name = format!("{}\\{}", running.revision().settings.server.name, connector.name);
                Some(running.transcripts.begin(Direction::Send, name, local, target.address))
            }
            _ => None,
        };
        let timeouts = timeouts(connector);
        let block_max = timeouts.block;
        let options = Options { hello_name: connector.fqdn.to_string(), tls: wish, timeouts };
        let mut connection = Connection {
            stream: Stream::Plain(socket),
            client: Client::new(clock::now(), options),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            output: Vec::new(),
            transcript,
            next_hop: send_permission::next_hop(connector),
            rules: header_firewall::decide_send(send_permission::granted(connector, now_ms())),
            block_max,
            end_of_time: None,
            target: target.clone(),
            transactions: 0,
            broken: false,
            stop: running.stop.subscribe(),
            may_be_cut_short: true,
            is_cut_short: false,
        };
        loop {
            match connection.event().await {
                Event::Ready => return Ok(connection),
                Event::StartTls => connection.start_tls(tls).await.map_err(OpenError::Handshake)?,
                Event::Failed(error) => return Err(OpenError::Reply(error.reply)),
                Event::Content | Event::Recipient(_) | Event::Finished(_) | Event::Closed => {
                    return Err(OpenError::Reply(NO_CONNECTION));
                }
            }
        }
    }

    async fn start_tls(&mut self, tls: &TlsConnector) -> io::Result<()> {
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Err(io::Error::other("TLS is active already"));
        };
        let name = ServerName::try_from(self.target.name.clone())
            .unwrap_or_else(|_| ServerName::IpAddress(self.target.address.ip().into()));
        let stream = within(HANDSHAKE_MAX.min(self.block_max), tls.connect(name, socket)).await?;
        let (version, cipher) = crate::tls::parameters(stream.get_ref().1);
        if let Some(transcript) = &mut self.transcript {
            transcript.information(&format!("{version} {cipher}"), "TLS negotiated");
        }
        self.stream = Stream::Tls(Box::new(stream));
        // Whatever came behind the reply to STARTTLS came in clear and counts for nothing (RFC 3207 section 6).
        (self.start, self.end) = (0, 0);
        self.client.tls_started(clock::now());
        Ok(())
    }

    /// Sends one message to some of its recipients.
    pub async fn deliver(&mut self, message: &Message, recipients: &[(usize, &Recipient)]) -> Delivered {
        let size = match outgoing_size(message, self.rules).await {
            Ok(size) => size,
            Err(error) => {
                tracing::error!(queue_id = message.id.0, %error, reply = %CANNOT_READ, "content cannot be read");
                let result = |index: usize| RecipientResult { index, reply: CANNOT_READ };
                return Delivered::Replies(recipients.iter().map(|(index, _)| result(*index)).collect());
            }
        };
        let envelope = &message.envelope;
        let was_used = self.transactions > 0;
        // The peer said more than it was asked: the next reply would be taken for another's.
        let is_out_of_step = self.has_unread();
        if is_out_of_step {
            self.broken = true;
            if was_used {
                return Delivered::Stale;
            }
        }
        self.end_of_time = clock::now().checked_add(limits::attempt_time_max(size));
        self.transactions += 1;
        self.may_be_cut_short = true;
        self.client.begin(
            clock::now(),
            Transaction {
                reverse_path: &envelope.reverse_path,
                recipients,
                body: envelope.body,
                size,
                smtputf8: envelope.smtputf8,
                ret: envelope.ret,
                envid: envelope.envid.as_deref(),
                originator: send_permission::originator(&self.next_hop, envelope),
            },
        );
        if is_out_of_step {
            // A new connection would be no better, so this is an attempt.
            self.client.spoken_to();
        }
        let mut replies: Option<Vec<RecipientResult>> = None;
        let mut content_has_begun = false;
        loop {
            match self.event().await {
                // An attempt that is cut short by the end of the server is none, unless the peer may have the message.
                _ if self.is_cut_short => return Delivered::Stale,
                // A reply to what has not come yet: whatever it says, it is no word about this message.
                Event::Content if self.has_unread() => {
                    self.broken = true;
                    self.client.spoken_to();
                }
                Event::Content => {
                    content_has_begun = true;
                    if let Err(error) = self.send_content(message).await {
                        tracing::debug!(queue_id = message.id.0, %error, "sending content failed");
                        self.client.content_cut();
                        self.hear_last_words().await;
                        self.broken = true;
                    }
                }
                Event::Finished(results) => {
                    // Peers close connections that they find idle or used enough, silently or with a 421 that we
                    // only see now. A connection that was never used before counts as an attempt; so does one that was
                    // lost behind the content, for the peer may have the message (RFC 1047).
                    if was_used && !content_has_begun && results.iter().all(|result| result.reply.code == 421) {
                        self.broken = true;
                        return Delivered::Stale;
                    }
                    replies = Some(results);
                    if self.broken {
                        break;
                    }
                }
                // The final results repeat it.
                Event::Recipient(_) => {}
                Event::Ready => break,
                Event::Failed(_) | Event::Closed | Event::StartTls => {
                    self.broken = true;
                    break;
                }
            }
        }
        let missing = || recipients.iter().map(|(index, _)| RecipientResult { index: *index, reply: NO_CONNECTION });
        Delivered::Replies(replies.unwrap_or_else(|| missing().collect()))
    }

    /// Asks whether the peer takes mail for `recipient`. `None` when it says nothing about it, which may be because it had
    /// closed the connection, as `broken` tells.
    pub async fn ask(&mut self, recipient: &Recipient) -> Option<Reply> {
        self.transactions += 1;
        self.client.ask(clock::now(), recipient);
        let mut answer = None;
        loop {
            match self.event().await {
                Event::Recipient(reply) => answer = Some(reply),
                Event::Finished(results) if answer.is_none() => {
                    let reply = results.first().map(|result| result.reply.to_string());
                    tracing::debug!(next_hop = %self.target.address, reply, "no answer about a recipient");
                }
                Event::Finished(_) if self.broken => return answer,
                Event::Finished(_) => {}
                Event::Ready => return answer,
                Event::Content | Event::Failed(_) | Event::Closed | Event::StartTls => {
                    self.broken = true;
                    return answer;
                }
            }
        }
    }

    /// Whether the peer takes addresses that are not ASCII.
    pub fn takes_utf8(&self) -> bool {
        self.client.supports().smtputf8
    }

    async fn send_content(&mut self, message: &Message) -> io::Result<()> {
        let mut offset = 0;
        let mut firewall = HeaderFirewall::new(self.rules);
        loop {
            let piece = match fetch::piece(&message.content, offset, PIECE_BYTES).await {
                Ok(piece) => piece,
                Err(error) => {
                    // Half a message must not look like a whole one: the connection ends without the final dot.
                    tracing::error!(queue_id = message.id.0, %error, reply = %CANNOT_READ, "content cannot be read");
                    return Err(error);
                }
            };
            let piece = piece.as_ref();
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            for part in piece.chunks(OUTPUT_BYTES) {
                let Connection { client, output, .. } = self;
                let Ok(()) = firewall.push(part, infallible(|kept| client.content(kept, output)));
                if self.output.len() >= OUTPUT_BYTES {
                    self.flush(self.left(self.block_max)).await?;
                }
            }
        }
        let Connection { client, output, .. } = self;
        let Ok(()) = firewall.finish(infallible(|kept| client.content(kept, output)));
        client.content_end(clock::now(), output);
        self.may_be_cut_short = false;
        self.flush(self.left(self.block_max)).await
    }

    /// Reads why a peer takes no more of the content, if it says so: a refusal for good is not to be tried for days.
    async fn hear_last_words(&mut self) {
        (self.start, self.end) = (0, 0);
        self.end = within(LAST_WORDS_MAX, self.stream.read(&mut self.input)).await.unwrap_or(0);
    }

    /// Whether the peer has said something that nobody has listened to yet.
    fn has_unread(&self) -> bool {
        self.start < self.end
    }

    /// `patience`, or what is left of the transaction's whole time.
    fn left(&self, patience: Duration) -> Duration {
        let left = self.end_of_time.map(|end| end.saturating_duration_since(clock::now()));
        left.map_or(patience, |left| left.min(patience))
    }

    /// Says goodbye and closes; a peer that does not answer is not waited for.
    pub async fn quit(mut self) {
        if self.broken {
            return;
        }
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
    async fn event(&mut self) -> Event {
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

    async fn flush(&mut self, patience: Duration) -> io::Result<()> {
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

/// How large a message is once the fields that its next hop may not be sent are gone, in bytes. Reads no more of it than
/// its header section.
async fn outgoing_size(message: &Message, rules: Rules) -> io::Result<u64> {
    let (mut offset, mut kept_bytes) = (0, 0);
    let mut firewall = HeaderFirewall::new(rules);
    let mut count = infallible(|kept| kept_bytes += kept.len() as u64);
    while rules != Rules::ALL && !firewall.is_past_section() {
        let piece = fetch::piece(&message.content, offset, HEADER_PIECE_BYTES).await?;
        let piece = piece.as_ref();
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        let Ok(()) = firewall.push(piece, &mut count);
    }
    let Ok(()) = firewall.finish(count);
    Ok(message.content.len() - offset + kept_bytes)
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

async fn within<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            Stream::None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::None => Poll::Ready(Ok(())),
        }
    }
}
