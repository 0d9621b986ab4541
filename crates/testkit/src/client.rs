//! An SMTP client that says exactly what it is told, from the source address it is told, and keeps the transcript.
//!
//! It is no mailer: it does not stuff dots, does not check replies, and does not mind sending nonsense.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::authority::Identity;
use crate::wire::Wire;

/// How long we wait for a reply.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection to a server.
pub struct Client {
    wire: Wire,
    transcript: String,
    decision_id: Option<String>,
}

/// One reply, one or more lines, without line endings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The lines as they came: `250-mail.contoso.com Hello [127.0.0.2]`.
    pub lines: Vec<String>,
}

impl Reply {
    /// The three digits.
    pub fn code(&self) -> u16 {
        self.lines[0].get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// What stands behind code and mark in each line: for EHLO the keywords.
    pub fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.get(4..).unwrap_or("")).collect()
    }

    /// Whether a line of the EHLO reply names this keyword, whatever its parameters.
    pub fn offers(&self, keyword: &str) -> bool {
        self.texts().iter().skip(1).any(|text| text.split(' ').next() == Some(keyword))
    }

    /// The queue id that the reply to the end of data names: `[InternalId=7, …]`.
    #[track_caller]
    pub fn queue_id(&self) -> String {
        let text = self.to_string();
        let Some((_, rest)) = text.split_once("InternalId=") else { panic!("no queue id in {text:?}") };
        rest.chars().take_while(char::is_ascii_digit).collect()
    }
}

/// The lines, joined by line feeds; one line as it is.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl Client {
    /// Connects from 127.0.0.1 (or whatever the system picks).
    #[track_caller]
    pub fn connect(server: SocketAddr) -> Client {
        let stream = TcpStream::connect(server).unwrap_or_else(|error| panic!("connect to {server}: {error}"));
        Client::over(stream)
    }

    /// Connects from a given source address; all of 127.0.0.0/8 is there on Linux.
    #[track_caller]
    pub fn connect_from(source: IpAddr, server: SocketAddr) -> Client {
        match Client::try_connect_from(source, server) {
            Ok(client) => client,
            Err(error) => panic!("connect from {source} to {server}: {error}"),
        }
    }

    /// Like [`Client::connect_from`], for servers that may be down.
    pub fn try_connect_from(source: IpAddr, server: SocketAddr) -> io::Result<Client> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect(&server.into())?;
        Ok(Client { wire: Wire::new(socket.into(), PATIENCE)?, transcript: String::new(), decision_id: None })
    }

    fn over(stream: TcpStream) -> Client {
        let wire = Wire::new(stream, PATIENCE).expect("a fresh socket takes its options");
        Client { wire, transcript: String::new(), decision_id: None }
    }

    /// Connects from `source`, reads the greeting and says EHLO.
    #[track_caller]
    pub fn greeted_from(source: IpAddr, server: SocketAddr) -> Client {
        let mut client = Client::connect_from(source, server);
        let greeting = client.reply();
        assert_eq!(greeting.code(), 220, "{greeting}");
        let hello = client.command("EHLO app01.contoso.com");
        assert_eq!(hello.code(), 250, "{hello}");
        client
    }

    /// The next reply.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        match self.try_reply() {
            Ok(reply) => reply,
            Err(error) => panic!("no reply: {error}; so far:\n{}", self.transcript),
        }
    }

    /// The next reply, or why there is none.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.try_line()?;
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if is_last {
                return Ok(Reply { lines });
            }
        }
    }

    /// The next single line of a reply, without its line ending. The id of a decision at its end is taken off, so that
    /// replies can be compared; [`Client::decision_id`] has it.
    pub fn try_line(&mut self) -> io::Result<String> {
        let line = self.try_whole_line()?;
        let (text, id) = split_decision_id(&line);
        self.decision_id = id.map(str::to_owned);
        Ok(text.to_owned())
    }

    /// The next single line of a reply as it was sent, without its line ending.
    pub fn try_whole_line(&mut self) -> io::Result<String> {
        let line = self.wire.read_line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(io::Error::other(format!("a reply line without CRLF: {line:?}")));
        };
        let line = String::from_utf8_lossy(line).into_owned();
        self.transcript.push_str(&format!("S: {line}\n"));
        Ok(line)
    }

    /// The id at the end of the last line that was read.
    pub fn decision_id(&self) -> Option<&str> {
        self.decision_id.as_deref()
    }

    /// Sends one line and reads the reply to it.
    #[track_caller]
    pub fn command(&mut self, line: &str) -> Reply {
        self.send(&format!("{line}\r\n"));
        self.reply()
    }

    /// Sends text as it is, line endings included.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    /// Sends bytes as they are, in one write.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_send_bytes(bytes) {
            panic!("cannot send: {error}; so far:\n{}", self.transcript);
        }
    }

    /// Sends bytes as they are, or says why not.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() <= 2_000 {
            for line in String::from_utf8_lossy(bytes).split_terminator("\r\n") {
                self.transcript.push_str(&format!("C: {}\n", line.escape_debug()));
            }
        } else {
            self.transcript.push_str(&format!("C: ({} bytes)\n", bytes.len()));
        }
        self.wire.write_all(bytes)
    }

    /// A whole transaction: MAIL, RCPT for each recipient, DATA and the content, which must have its dots stuffed and
    /// end with CRLF. The reply to the end of data. Panics if anything before it is refused.
    #[track_caller]
    pub fn submit(&mut self, reverse_path: &str, recipients: &[&str], content: &str) -> Reply {
        let mail = self.command(&format!("MAIL FROM:{reverse_path}"));
        assert_eq!(mail.code(), 250, "{mail}");
        for recipient in recipients {
            let rcpt = self.command(&format!("RCPT TO:<{recipient}>"));
            assert_eq!(rcpt.code(), 250, "{rcpt}");
        }
        let data = self.command("DATA");
        assert_eq!(data.code(), 354, "{data}");
        self.send(&format!("{content}.\r\n"));
        self.reply()
    }

    /// STARTTLS, handshake and EHLO again; the reply to the latter.
    #[track_caller]
    pub fn start_tls(&mut self) -> Reply {
        let ready = self.command("STARTTLS");
        assert_eq!(ready.code(), 220, "{ready}");
        self.handshake();
        self.command("EHLO app01.contoso.com")
    }

    /// STARTTLS, a handshake that shows a certificate, and EHLO again; the reply to the latter.
    #[track_caller]
    pub fn start_tls_showing(&mut self, identity: &Identity) -> Reply {
        let ready = self.command("STARTTLS");
        assert_eq!(ready.code(), 220, "{ready}");
        if let Err(error) = self.wire.start_tls_with(identity.client_config()) {
            panic!("the TLS handshake failed: {error}; so far:\n{}", self.transcript);
        }
        self.transcript.push_str("-- TLS with a certificate --\n");
        self.command("EHLO app01.contoso.com")
    }

    /// The handshake alone: after STARTTLS, or at once where TLS is implicit.
    #[track_caller]
    pub fn handshake(&mut self) {
        if let Err(error) = self.wire.start_tls_as_client() {
            panic!("the TLS handshake failed: {error}; so far:\n{}", self.transcript);
        }
        self.transcript.push_str("-- TLS --\n");
    }

    /// The server's certificate, DER; `None` before a handshake.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        self.wire.peer_certificate()
    }

    /// Says that we send nothing more but still read.
    pub fn close_sending(&mut self) {
        let _ = self.wire.close_sending();
    }

    /// Waits until the server hangs up. Panics when it says something instead.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        match self.wire.read_line() {
            Ok(None) => {}
            // A server that closes with unread input makes the kernel send a reset.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Ok(Some(line)) => {
                panic!("expected the end, got {:?}; so far:\n{}", String::from_utf8_lossy(&line), self.transcript)
            }
            Err(error) => panic!("expected the end, got {error}; so far:\n{}", self.transcript),
        }
    }

    /// What was said so far, `C:` and `S:` lines.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }
}

/// A reply without the id of a decision at its end, ` [1f3a9c04b27e]`, and that id.
pub fn split_decision_id(reply: &str) -> (&str, Option<&str>) {
    let parts = || {
        let (text, id) = reply.strip_suffix(']')?.rsplit_once(" [")?;
        (id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some((text, id))
    };
    parts().map_or((reply, None), |(text, id)| (text, Some(id)))
}
