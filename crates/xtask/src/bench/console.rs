//! `bench console`: how long a browser waits for the first byte of a page, with 10,000 receive connectors and the records of
//! 5 million messages, and how large the largest page is.
//!
//! The first look at a page is the first request after a start that has settled; each page gets a start of its own, since pages
//! keep things ready for one another. Postfix takes no part.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Bench;
use super::course::Stage;
use super::ground::{Ground, Process, free_address, wait_until_open};
use super::management;
use super::meter::Meter;
use super::options::Contender;
use super::report::{Bar, Figures, Report, Round, Row};

pub(super) const BENCH: Bench = Bench {
    name: "console",
    summary: "10,000 receive connectors, 5 million messages recorded: the first byte of each page",
    takes: &["--connectors", "--messages"],
    run,
};

const CONNECTORS: u64 = 10_000;
const CONNECTORS_QUICK: u64 = 1_000;
const MESSAGES: u64 = 5_000_000;
/// Looks at a page after the first; the fastest counts, since others only ever slow one down.
const LOOKS: usize = 7;
const START: Duration = Duration::from_secs(120);
/// What a server does once it has started, it has done by then.
const SETTLE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_BYTE_MS: f64 = 50.0;
const PAGE_KB: f64 = 100.0;
const ADMINISTRATOR: &str = "bench";
const PASSWORD: &str = "a password of the bench";

/// A page, and the rows of the table that it has.
struct Page {
    path: &'static str,
    rows: [(&'static str, &'static str); 3],
}

macro_rules! pages {
    ($($path:literal),* $(,)?) => {
        [$(Page {
            path: $path,
            rows: [
                (concat!("first ", $path), concat!($path, ", the first look, ms")),
                (concat!("again ", $path), concat!($path, ", again, ms")),
                (concat!("size ", $path), concat!($path, ", KB")),
            ],
        }),*]
    };
}

/// All that the navigation leads to, and what is searched there.
const PAGES: [Page; 31] = pages![
    "/",
    "/overview/exposure",
    "/device",
    "/receive-connectors",
    "/receive-connectors?search=10.0.50.7",
    "/receive-connectors/Relay%2005000?tab=rights",
    "/exposure",
    "/refusals",
    "/refusals?q=10.0.50.7",
    "/explain",
    "/explain?peer=10.0.50.7&recipient=somebody%40example.com",
    "/transcript",
    "/trace",
    "/trace?q=firstname.lastname-4711%40customer-04711.example",
    "/trace?q=customer-04711.example",
    "/trace?q=2500000",
    "/queues",
    "/queues/messages",
    "/send-connectors",
    "/accepted-domains",
    "/remote-domains",
    "/recipients/mailboxes",
    "/users",
    "/certificates",
    "/settings",
    "/revisions",
    "/administrators",
    "/acts",
    "/guide",
    "/guide/settings",
    "/account",
];

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let Some(binary) = &stage.binary else { return Ok(Vec::new()) };
    let usual = if stage.options.is_quick { CONNECTORS_QUICK } else { CONNECTORS };
    let connectors = stage.options.connectors.unwrap_or(usual);
    let messages = stage.options.messages(MESSAGES);
    let folder = stage.ground.subfolder("gatepost-console-")?;
    let data = record(stage, folder.path(), messages)?;
    let mut rounds = Vec::new();
    for number in 1..=stage.options.rounds {
        eprintln!("console, round {number} of {}: Gatepost", stage.options.rounds);
        let figures = measure(stage, binary, &data, connectors)?;
        rounds.push(Round { ceiling: None, relays: vec![(Contender::Gatepost, figures)] });
    }
    let rows = PAGES.iter().flat_map(|page| {
        let [first, again, size] = page.rows;
        [
            Row::new(first.0, first.1, 1).bar(Bar::AtMost(FIRST_BYTE_MS)),
            Row::new(again.0, again.1, 1).bar(Bar::AtMost(FIRST_BYTE_MS)),
            Row::new(size.0, size.1, 0).bar(Bar::AtMost(PAGE_KB)),
        ]
    });
    Ok(vec![Report {
        command: stage.command("console"),
        load: vec![format!("{connectors} receive connectors, records of {messages} messages")],
        rows: rows.collect(),
        rounds,
        notes: vec![format!(
            "From the first byte of the request to the first of the answer, over loopback; `again` is the fastest of {LOOKS}."
        )],
    }])
}

/// A data folder with records of so many messages.
fn record(stage: &Stage, folder: &Path, messages: u64) -> io::Result<PathBuf> {
    eprintln!("console: recording {messages} messages");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "run",
            "--quiet",
            "--release",
            "--locked",
            "--package",
            "gatepost-tracking",
            "--example",
            "passports",
            "--",
        ])
        .arg(folder)
        .args([&messages.to_string(), "kept"])
        .current_dir(&stage.root)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut process = stage.ground.spawn(&mut command)?;
    let status = process.wait(Duration::from_secs(3_600))?;
    match status.success() {
        true => Ok(folder.join("gatepost-passports-example")),
        false => Err(io::Error::other(format!("the messages were not recorded: {status}"))),
    }
}

fn measure(stage: &Stage, binary: &Path, data: &Path, connectors: u64) -> io::Result<Figures> {
    let mut figures = Figures::new();
    for page in &PAGES {
        let server = Server::start(&stage.ground, binary, data, connectors)?;
        let [first, again, size] = page.rows.map(|(key, _)| key);
        let look = server.look(page.path)?;
        let looks = (0..LOOKS).map(|_| server.look(page.path)).collect::<io::Result<Vec<Look>>>()?;
        figures.insert(first, look.first_byte_ms);
        figures.insert(again, looks.iter().map(|look| look.first_byte_ms).fold(f64::NAN, f64::min));
        figures.insert(size, look.bytes as f64 / 1024.0);
    }
    Ok(figures)
}

/// One request for a page.
struct Look {
    first_byte_ms: f64,
    bytes: usize,
}

struct Server {
    door: SocketAddr,
    cookie: String,
    _process: Process,
    _meter: Meter,
}

impl Server {
    /// Starts it, and signs in.
    fn start(ground: &Ground, binary: &Path, data: &Path, connectors: u64) -> io::Result<Server> {
        let (document, log) = (data.with_extension("toml"), data.with_extension("log"));
        let door = free_address()?;
        let settings = management::settings(data, free_address()?, connectors);
        fs::write(&document, format!("{settings}\n[management]\nlisten = [\"{door}\"]\n"))?;
        if !data.join("credentials").exists() {
            add_administrator(ground, binary, &document)?;
        }
        let meter = ground.meter("console");
        let mut process = ground.spawn(
            meter
                .command(binary)
                .arg("serve")
                .arg("--config")
                .arg(&document)
                .stdin(Stdio::null())
                .stdout(File::create(&log)?)
                .stderr(File::options().append(true).open(&log)?),
        )?;
        meter.watch(process.id());
        wait_until_open(door, START, || process.runs()).map_err(|error| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            io::Error::new(error.kind(), format!("Gatepost does not start: {error}\n{}", log.trim()))
        })?;
        let mut server = Server { door, cookie: String::new(), _process: process, _meter: meter };
        server.sign_in()?;
        thread::sleep(SETTLE);
        Ok(server)
    }

    fn sign_in(&mut self) -> io::Result<()> {
        let form = format!("name={ADMINISTRATOR}&password={}", PASSWORD.replace(' ', "+"));
        let (answer, _) = self.ask("POST", "/sign-in", &form)?;
        let head = head(&answer)?;
        let cookies = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
        let pairs = cookies.filter_map(|line| Some(line.split_once(':')?.1.split(';').next()?.trim().to_owned()));
        self.cookie = pairs.collect::<Vec<_>>().join("; ");
        match self.cookie.is_empty() {
            true => Err(io::Error::other(format!("nobody was signed in: {head}"))),
            false => Ok(()),
        }
    }

    fn look(&self, path: &str) -> io::Result<Look> {
        let (answer, first_byte) = self.ask("GET", path, "")?;
        let head = head(&answer)?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(format!("{path}: {head}")));
        }
        Ok(Look { first_byte_ms: first_byte.as_secs_f64() * 1_000.0, bytes: answer.len() - head.len() })
    }

    /// One request on a connection of its own: the answer, and how long its first byte took.
    fn ask(&self, method: &str, path: &str, form: &str) -> io::Result<(Vec<u8>, Duration)> {
        let mut connection = TcpStream::connect_timeout(&self.door, PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_nodelay(true)?;
        let (door, cookie, length) = (self.door, &self.cookie, form.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {door}\r\nOrigin: http://{door}\r\nCookie: {cookie}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        let began = Instant::now();
        connection.write_all(request.as_bytes())?;
        let mut answer = vec![0];
        connection.read_exact(&mut answer)?;
        let first_byte = began.elapsed();
        connection.read_to_end(&mut answer)?;
        Ok((answer, first_byte))
    }
}

fn head(answer: &[u8]) -> io::Result<&str> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    std::str::from_utf8(&answer[..end]).map_err(io::Error::other)
}

fn add_administrator(ground: &Ground, binary: &Path, document: &Path) -> io::Result<()> {
    let mut command = Command::new(binary);
    command.arg("--config").arg(document).args(["admin", "add", ADMINISTRATOR, "--password-stdin"]);
    for role in ["TransportAdmin", "SecurityOfficer"] {
        command.args(["--role", role]);
    }
    let mut process = ground.spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let (mut stdin, _stdout) = process.pipes();
    writeln!(stdin, "{PASSWORD}")?;
    drop(stdin);
    match process.wait(PATIENCE)? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("no administrator was added: {status}"))),
    }
}
