//! Foreign programs that the server is tried with: swaks, Postfix's smtp-sink and smtp-source, Python's mail modules.
//!
//! They are Debian packages; the repository's `./test` installs them.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::client::split_decision_id;
use crate::{port, wait};

/// One run of swaks, the Swiss army knife for SMTP.
pub struct Swaks {
    command: Command,
    content: Option<NamedTempFile>,
}

impl Swaks {
    /// To this server, from this source address.
    pub fn new(source: impl Into<IpAddr>, server: SocketAddr) -> Swaks {
        let mut command = Command::new("swaks");
        command.args(["--server", &server.to_string(), "--local-interface", &source.into().to_string()]);
        command.args(["--helo", "app01.contoso.com", "--timeout", "60"]);
        Swaks { command, content: None }
    }

    /// The reverse-path.
    pub fn from(mut self, address: &str) -> Swaks {
        self.command.args(["--from", address]);
        self
    }

    /// The forward-path; several are separated by commas.
    pub fn to(mut self, addresses: &str) -> Swaks {
        self.command.args(["--to", addresses]);
        self
    }

    /// Any other option.
    pub fn option(mut self, arguments: &[&str]) -> Swaks {
        self.command.args(arguments);
        self
    }

    /// Logs in.
    pub fn login(self, mechanism: &str, user: &str, password: &str) -> Swaks {
        self.option(&["--auth", mechanism, "--auth-user", user, "--auth-password", password])
    }

    /// The content, with CRLF line endings. swaks stuffs the dots.
    pub fn content(mut self, content: &str) -> Swaks {
        let mut file = NamedTempFile::new().expect("a temporary file");
        file.write_all(content.as_bytes()).expect("write the content");
        self.command.arg("--data").arg(format!("@{}", file.path().display()));
        self.content = Some(file);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> SwaksRun {
        let output = self.command.stdin(Stdio::null()).output().expect("swaks is installed (./test does it)");
        let transcript =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        SwaksRun { code: output.status.code().unwrap_or(-1), transcript }
    }
}

/// What swaks said and heard.
pub struct SwaksRun {
    /// Its exit code: 0 when the message was taken.
    pub code: i32,
    /// Its output: ` -> ` what it sent, `<-  ` what it got, `<** ` what it got and did not like.
    pub transcript: String,
}

impl SwaksRun {
    /// The reply to the last line sent that starts with `command`; several lines joined by line feeds. The reply to the
    /// end of data is that to `.`. Without the id of a decision.
    #[track_caller]
    pub fn reply_to(&self, command: &str) -> String {
        let lines: Vec<&str> = self.transcript.lines().collect();
        let is_sent = |line: &str| line.starts_with(" -> ") || line.starts_with(" ~> ");
        let at = lines.iter().rposition(|line| {
            is_sent(line) && if command == "." { &line[4..] == "." } else { line[4..].starts_with(command) }
        });
        let Some(at) = at else { panic!("swaks never sent {command}:\n{}", self.transcript) };
        let replies = lines[at + 1..].iter().take_while(|line| line.starts_with('<'));
        replies.map(|line| split_decision_id(&line[4..]).0).collect::<Vec<_>>().join("\n")
    }

    /// The content as swaks put it on the wire, dots unstuffed.
    #[track_caller]
    pub fn content_sent(&self) -> String {
        let lines = self.transcript.lines().filter_map(|line| line.strip_prefix(" -> ").or(line.strip_prefix(" ~> ")));
        let content = lines.skip_while(|line| *line != "DATA").skip(1).take_while(|line| *line != ".");
        content.map(|line| format!("{}\r\n", line.strip_prefix('.').unwrap_or(line))).collect()
    }

    /// Panics unless the message was taken.
    #[track_caller]
    pub fn expect_taken(&self) {
        assert_eq!(self.code, 0, "swaks:\n{}", self.transcript);
    }
}

/// Postfix's smtp-sink, dumping what it takes into files.
pub struct SmtpSink {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

/// A message that smtp-sink dumped.
#[derive(Clone, Debug)]
pub struct Dumped {
    /// The argument of MAIL.
    pub mail: String,
    /// The arguments of RCPT.
    pub recipients: Vec<String>,
    /// The content; smtp-sink writes plain line feeds.
    pub content: String,
}

impl SmtpSink {
    /// Starts it on a free port of 127.0.0.1 and waits until it listens.
    #[track_caller]
    pub fn start() -> SmtpSink {
        SmtpSink::start_with(&[])
    }

    /// The same, with more options: `-f RCPT` refuses every recipient.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> SmtpSink {
        let folder = TempDir::new().expect("a temporary folder");
        let dumps = folder.path().join("dumps");
        fs::create_dir(&dumps).expect("create a folder");
        for path in [folder.path(), &dumps] {
            // As root, smtp-sink insists on becoming somebody else.
            fs::set_permissions(path, Permissions::from_mode(0o777)).expect("open the folder for nobody");
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let mut command = Command::new("smtp-sink");
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        command.args(["-d", "m."]).args(options).arg(address.to_string()).arg("100");
        let child =
            command.current_dir(&dumps).stdin(Stdio::null()).spawn().expect("smtp-sink is installed (./test does it)");
        wait::until("smtp-sink listens", || TcpStream::connect(address).ok());
        SmtpSink { child, address, folder }
    }

    /// As a smart host of the settings document.
    pub fn smart_host(&self) -> String {
        format!("[{}]:{}", self.address.ip(), self.address.port())
    }

    /// Waits until `count` whole messages were dumped; in no particular order.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Dumped> {
        wait::until("the messages arrive at smtp-sink", || {
            let messages = self.messages();
            (messages.len() >= count).then_some(messages)
        })
    }

    /// The messages dumped so far.
    pub fn messages(&self) -> Vec<Dumped> {
        let entries = fs::read_dir(self.folder.path().join("dumps")).expect("read the dumps");
        let texts = entries.flatten().map(|entry| fs::read(entry.path()).expect("read a dump"));
        texts.filter_map(|text| parse_dump(&String::from_utf8_lossy(&text))).collect()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The dump's own header lines, then the Received field that smtp-sink adds (three lines), then the content and an empty
/// line, which is missing while the message is still coming in.
fn parse_dump(text: &str) -> Option<Dumped> {
    let text = text.strip_suffix('\n')?;
    let (mut mail, mut recipients) = (None, Vec::new());
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        if let Some(argument) = line.strip_prefix("X-Mail-Args: ") {
            mail = Some(argument.to_owned());
        } else if let Some(argument) = line.strip_prefix("X-Rcpt-Args: ") {
            recipients.push(argument.to_owned());
        } else if !line.starts_with("X-") {
            break;
        }
        rest = after;
    }
    let content = rest.splitn(4, '\n').nth(3)?;
    Some(Dumped { mail: mail?, recipients, content: content.to_owned() })
}

/// Runs curl to its end with this content to send; panics unless it was taken.
#[track_caller]
pub fn curl(arguments: &[&str], content: &str) {
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--upload-file", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("curl is installed (./test does it)");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // What curl does not read it will say itself.
    let _ = stdin.write_all(content.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("wait for curl");
    assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs Postfix's smtp-source to its end; panics unless everything was taken.
#[track_caller]
pub fn smtp_source(server: SocketAddr, arguments: &[&str]) {
    let output = Command::new("smtp-source")
        .args(arguments)
        .arg(server.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("smtp-source is installed (./test does it)");
    assert!(output.status.success(), "smtp-source: {}", String::from_utf8_lossy(&output.stderr));
}

/// Reads a Maildir with Python's `mailbox` module: one value for each message with `headers` (name to value, the last of a
/// name wins), `folder`, `body` of a simple message, and `parts` (content type, text) of a multipart one.
#[track_caller]
pub fn read_maildir(folder: &Path) -> Vec<Value> {
    if !folder.join("cur").is_dir() {
        return Vec::new();
    }
    match python(READ_MAILDIR, &[&folder.display().to_string()], b"") {
        Value::Array(messages) => messages,
        other => panic!("Python printed {other}"),
    }
}

/// Reads one message with Python's `email` package; the value is that of [`read_maildir`].
#[track_caller]
pub fn parse_message(content: &[u8]) -> Value {
    python(PARSE_MESSAGE, &[], content)
}

const DESCRIBE: &str = r#"
import sys, json, mailbox, email, email.policy
def describe(m):
    def text(part):
        if part.get_content_type() == "message/delivery-status":
            return "\n".join(str(block) for block in part.get_payload())
        if part.get_content_type() == "message/rfc822":
            return str(part.get_payload(0))
        if part.is_multipart():
            return ""
        return part.get_payload(decode=True).decode("utf-8", "replace")
    parts = [[p.get_content_type(), text(p)] for p in m.get_payload()] if m.get_content_maintype() == "multipart" else []
    return {"headers": {k: str(v) for k, v in m.items()}, "type": m.get_content_type(),
            "report_type": m.get_param("report-type"), "defects": [str(d) for d in m.defects],
            "body": "" if parts else text(m), "parts": parts}
"#;

const READ_MAILDIR: &str = r#"
box = mailbox.Maildir(sys.argv[1], create=False)
print(json.dumps([dict(describe(m), folder=m.get_subdir()) for m in box]))
"#;

const PARSE_MESSAGE: &str = r#"
print(json.dumps(describe(email.message_from_bytes(sys.stdin.buffer.read()))))
"#;

/// Runs a Python program that prints one JSON value.
#[track_caller]
pub fn python(program: &str, arguments: &[&str], input: &[u8]) -> Value {
    let mut child = Command::new("python3")
        .arg("-c")
        .arg(format!("{DESCRIBE}{program}"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed (./test does it)");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    stdin.write_all(input).expect("Python reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("wait for Python");
    assert!(output.status.success(), "Python failed");
    serde_json::from_slice(&output.stdout).expect("Python prints JSON")
}
