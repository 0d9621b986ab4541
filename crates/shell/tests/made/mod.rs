//! A made world and made commands: files in memory, a clock that stands, two commands for connectors.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use gatepost_shell::command::{Call, Changes, Commands, Emit, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::convert;
use gatepost_shell::fault::{Category, Fault, Severity};
use gatepost_shell::value::{ListKind, Object, Value, View};
use gatepost_shell::world::{Colour, Entry, Letter, Peer, Progress, Stream, World};
use jiff::{Timestamp, Zoned};

/// A world in memory. Relative paths lie in `/work`; backslashes are slashes.
#[derive(Default)]
pub struct MadeWorld {
    pub written: Rc<RefCell<String>>,
    pub files: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    pub folders: RefCell<Vec<String>>,
    pub typed: VecDeque<String>,
    /// Questions whether Ctrl-C was pressed that are still answered with no; `None`: it never is.
    pub patience: Cell<Option<u64>>,
    pub randomness: u64,
}

/// A path as the world has it.
pub fn absolute(path: &str) -> String {
    let path = path.replace('\\', "/");
    let path = path.strip_prefix("./").unwrap_or(&path);
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/work/{path}"),
    }
}

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl World for MadeWorld {
    fn write(&mut self, stream: Stream, text: &str, _: (Option<Colour>, Option<Colour>)) -> io::Result<()> {
        let mut written = self.written.borrow_mut();
        match stream {
            Stream::Error => {
                written.push_str("! ");
                written.push_str(text.lines().next().unwrap_or_default());
                written.push('\n');
            }
            _ => written.push_str(text),
        }
        Ok(())
    }
    fn progress(&mut self, _: Progress<'_>) {}
    fn read_line(&mut self, prompt: &str, _: bool) -> io::Result<Option<String>> {
        self.written.borrow_mut().push_str(&format!("{prompt}\n"));
        Ok(self.typed.pop_front())
    }
    fn is_interactive(&self) -> bool {
        !self.typed.is_empty()
    }
    fn width(&self) -> usize {
        120
    }
    fn read_file(&mut self, path: &str, _: usize) -> io::Result<Vec<u8>> {
        self.files.borrow().get(&absolute(path)).cloned().ok_or_else(missing)
    }
    fn write_file(&mut self, path: &str, bytes: &[u8], is_append: bool) -> io::Result<()> {
        let mut files = self.files.borrow_mut();
        let file = files.entry(absolute(path)).or_default();
        if !is_append {
            file.clear();
        }
        file.extend_from_slice(bytes);
        Ok(())
    }
    fn entry(&mut self, path: &str) -> io::Result<Option<Entry>> {
        let absolute = absolute(path);
        let folder = format!("{}/", absolute.trim_end_matches('/'));
        let is_folder = absolute == "/work"
            || self.folders.borrow().contains(&absolute)
            || self.files.borrow().keys().any(|known| known.starts_with(&folder));
        let bytes = self.files.borrow().get(&absolute).map(Vec::len);
        Ok(match (bytes, is_folder) {
            (None, false) => None,
            (bytes, is_folder) => {
                Some(Entry { name: path.to_owned(), is_folder, bytes: bytes.unwrap_or(0) as u64, modified: None })
            }
        })
    }
    fn folder(&mut self, path: &str) -> io::Result<Vec<Entry>> {
        let folder = format!("{}/", absolute(path).trim_end_matches('/'));
        let files = self.files.borrow();
        let inside = files.iter().filter_map(|(path, bytes)| {
            let name = path.strip_prefix(&folder)?;
            (!name.contains('/')).then(|| Entry {
                name: name.to_owned(),
                is_folder: false,
                bytes: bytes.len() as u64,
                modified: None,
            })
        });
        Ok(inside.collect())
    }
    fn make_folder(&mut self, path: &str) -> io::Result<()> {
        self.folders.borrow_mut().push(absolute(path));
        Ok(())
    }
    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.files.borrow_mut().remove(&absolute(path)).map(|_| ()).ok_or_else(missing)
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.files.borrow_mut().remove(&absolute(from)).ok_or_else(missing)?;
        self.files.borrow_mut().insert(absolute(to), bytes);
        Ok(())
    }
    fn set_modified(&mut self, path: &str, time: Timestamp) -> io::Result<()> {
        self.written.borrow_mut().push_str(&format!("{} was last written {time}\n", absolute(path)));
        Ok(())
    }
    fn current_folder(&self) -> String {
        "/work".to_owned()
    }
    fn set_current_folder(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn now(&self) -> Zoned {
        "2026-03-04T05:06:07.0890+00:00[UTC]".parse().expect("a time")
    }
    fn elapsed(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn sleep(&mut self, _: Duration) {}
    fn is_cancelled(&self) -> bool {
        match self.patience.get() {
            None => false,
            Some(0) => true,
            Some(left) => {
                self.patience.set(Some(left - 1));
                false
            }
        }
    }
    fn random(&mut self) -> u64 {
        // A generator after Knuth: enough for tests, and the same each time.
        self.randomness =
            self.randomness.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.randomness
    }
    fn environment(&self, name: &str) -> Option<String> {
        name.eq_ignore_ascii_case("COMPUTERNAME").then(|| "MX1".to_owned())
    }
    fn resolve(&mut self, _: &str) -> io::Result<Vec<IpAddr>> {
        Err(missing())
    }
    fn name_of(&mut self, address: IpAddr) -> io::Result<String> {
        if address.is_loopback() { Ok("localhost".to_owned()) } else { Err(missing()) }
    }
    fn connect(&mut self, host: &str, _: u16, _: Duration) -> io::Result<Box<dyn Peer>> {
        match host {
            "mx.example" => {
                Ok(Box::new(MadePeer { said: b"220 mx.example ready\r\n".to_vec(), written: self.written.clone() }))
            }
            "slow.example" => Err(io::Error::from(io::ErrorKind::TimedOut)),
            _ => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
        }
    }
    fn echo(&mut self, address: IpAddr, _: Duration) -> io::Result<Duration> {
        if address.is_loopback() { Ok(Duration::from_millis(3)) } else { Err(io::Error::from(io::ErrorKind::TimedOut)) }
    }
    fn submit(&mut self, letter: &Letter) -> Result<(), String> {
        if letter.server == "down.example" {
            return Err("Unable to connect to the remote server".to_owned());
        }
        let enclosed: Vec<String> =
            letter.enclosures.iter().map(|file| format!("{} {}", file.name, file.bytes.len())).collect();
        let (to, copies, hidden) = (letter.to.join("|"), letter.copies.join("|"), letter.hidden.join("|"));
        let account = letter.account.as_ref().map(|(user, secret)| format!("{user}/{secret}")).unwrap_or_default();
        self.written.borrow_mut().push_str(&format!(
            "mail by {}:{} tls={} account={account} from {} to {to} cc {copies} bcc {hidden}: {} [{}] html={} {enclosed:?}\n",
            letter.server, letter.port, letter.uses_tls, letter.sender, letter.subject, letter.body, letter.is_html
        ));
        Ok(())
    }
}

/// A server that greets, and answers each line with `250` and that line.
struct MadePeer {
    said: Vec<u8>,
    written: Rc<RefCell<String>>,
}

impl Peer for MadePeer {
    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        let count = self.said.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.said[..count]);
        self.said.drain(..count);
        Ok(count)
    }
    fn send(&mut self, bytes: &[u8], _: Duration) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        self.written.borrow_mut().push_str(&format!("sent {text:?}\n"));
        self.said.extend(format!("250 {text}").into_bytes());
        Ok(())
    }
    fn has_come(&mut self) -> io::Result<bool> {
        Ok(!self.said.is_empty())
    }
}

static CONNECTOR: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.SystemConfiguration.ReceiveConnector",
    table: &["Identity", "Bindings", "Enabled"],
    identity: "Identity",
};

const fn parameter(name: &'static str, kind: Kind, position: Option<u8>) -> Parameter {
    Parameter { name, aliases: &[], kind, position, is_mandatory: false, pipeline: FromPipeline::No, help: "" }
}

const IDENTITY: Parameter = Parameter {
    name: "Identity",
    aliases: &[],
    kind: Kind::Identity,
    position: Some(0),
    is_mandatory: true,
    pipeline: FromPipeline::Object,
    help: "Which one.",
};

static GET: Signature = Signature {
    name: "Get-ReceiveConnector",
    aliases: &[],
    synopsis: "Shows receive connectors.",
    parameters: &[Parameter { is_mandatory: false, ..IDENTITY }, parameter("Server", Kind::Text, None)],
    changes: Changes::Nothing,
    examples: &[],
};

static SET: Signature = Signature {
    name: "Set-ReceiveConnector",
    aliases: &[],
    synopsis: "Changes a receive connector.",
    parameters: &[
        IDENTITY,
        parameter("RemoteIPRanges", Kind::MultiValued(&Kind::Text), None),
        parameter("RequireTLS", Kind::Bool, None),
        parameter("MaxMessageSize", Kind::Size, None),
        parameter("MaxInboundConnection", Kind::UnlimitedInt, None),
        parameter("ConnectionTimeout", Kind::Span, None),
        parameter("AuthMechanism", Kind::Flags(&["None", "Tls", "BasicAuth", "ExternalAuthoritative"]), None),
        parameter("ProtocolLoggingLevel", Kind::OneOf(&["None", "Verbose"]), None),
        parameter("Name", Kind::Text, None),
        parameter("Force", Kind::Switch, None),
        parameter("Key", Kind::Secret, None),
        parameter("Logon", Kind::Credential, None),
    ],
    changes: Changes::Unasked,
    examples: &[],
};

static REMOVE: Signature = Signature {
    name: "Remove-ReceiveConnector",
    aliases: &[],
    synopsis: "Removes a receive connector.",
    parameters: &[IDENTITY],
    changes: Changes::Asked,
    examples: &[],
};

/// Commands that know two connectors, and tell of changes instead of making them.
pub struct MadeCommands;

fn connector(name: &str, ranges: &[&str]) -> Value {
    let ranges = ranges.iter().map(Value::text).collect();
    Value::Object(Rc::new(Object::new(
        &CONNECTOR,
        vec![
            ("Name".into(), Value::text(name)),
            ("Identity".into(), Value::text(format!("MX1\\{name}"))),
            ("RemoteIPRanges".into(), Value::list(ranges, ListKind::MultiValued)),
            ("Bindings".into(), Value::list(vec![Value::text("0.0.0.0:25")], ListKind::MultiValued)),
            ("Enabled".into(), Value::Bool(true)),
        ],
    )))
}

impl Commands for MadeCommands {
    fn signatures(&self) -> &[&'static Signature] {
        static ALL: [&Signature; 3] = [&GET, &SET, &REMOVE];
        &ALL
    }

    fn run(&self, call: &Call<'_>, emit: &mut dyn Emit) -> Result<(), Fault> {
        let identity = call.argument("Identity").map(convert::text);
        let all = [connector("Relay", &["10.0.0.1", "10.0.0.2"]), connector("Lab", &["192.168.0.0/24"])];
        let wanted =
            identity.as_deref().map(|identity| identity.rsplit('\\').next().unwrap_or(identity).to_lowercase());
        let mut found = 0;
        for one in &all {
            let name = match one {
                Value::Object(object) => convert::text(&object.get("Name").unwrap_or_default()).to_lowercase(),
                _ => continue,
            };
            let is_wanted = wanted.as_ref().is_none_or(|wanted| convert::wildcard::matches(wanted, &name, false));
            if is_wanted {
                found += 1;
                match call.signature.name {
                    "Get-ReceiveConnector" => emit.value(one.clone())?,
                    other => {
                        let arguments: Vec<String> =
                            call.arguments.iter().map(|(name, value)| format!("{name}={}", told(value))).collect();
                        let what_if = if call.is_what_if { "What if: " } else { "" };
                        emit.host(&format!("{what_if}{other} {}", arguments.join(" ")));
                    }
                }
            }
        }
        if found == 0 && !wanted.as_deref().is_some_and(convert::wildcard::is_pattern) {
            let identity = identity.unwrap_or_default();
            let mut fault = Fault::new(
                Category::ObjectNotFound,
                format!("The operation couldn't be performed because object '{identity}' couldn't be found on 'MX1'."),
            )
            .with_severity(Severity::Continuing);
            fault.exception = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException";
            fault.target = Some(identity);
            return Err(fault);
        }
        Ok(())
    }

    fn convert(&self, _: &str, _: &Value) -> Option<Result<Value, Fault>> {
        None
    }

    fn complete(&self, _: &Signature, _: &Parameter, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// A bound value with its shape: what conversion made of it shows.
fn told(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => format!("'{text}'"),
        Value::List(list) => {
            let parts: Vec<String> = list.values.borrow().iter().map(told).collect();
            format!("[{}]", parts.join(" "))
        }
        Value::Table(table) => {
            let parts: Vec<String> = table
                .borrow()
                .entries()
                .iter()
                .map(|(key, value)| format!("{}: {}", convert::text(key), told(value)))
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => convert::text(other),
    }
}
