//! `bench management`: what administrators wait for with 10,000 receive connectors, and with 20,000 recipients.
//!
//! Each figure is one run of the command line from its start to its end, as somebody at a terminal sees it: the program begins,
//! finds the server, asks, prints. Processor time is told for both ends. Postfix takes no part.

use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Bench;
use super::course::Stage;
use super::ground::{Ground, Process, free_address, wait_until};
use super::meter::Meter;
use super::options::Contender;
use super::report::{Bar, Figures, Report, Round, Row, median};

mod recipients;

pub(super) const BENCH: Bench = Bench {
    name: "management",
    summary: "10,000 receive connectors, 20,000 recipients: listing, finding, changing, scripts, by the shell",
    takes: &["--connectors", "--recipients"],
    run,
};

const CONNECTORS: u64 = 10_000;
const CONNECTORS_QUICK: u64 = 1_000;
const RANGES_EACH: u64 = 10;
/// Runs of each command in a round; the fastest counts, since others only ever slow a run down.
const RUNS: usize = 7;
const START: Duration = Duration::from_secs(120);

/// Both, unless one of them is asked for.
fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let options = &stage.options;
    let wants = |this: Option<u64>, other: Option<u64>| this.is_some() || other.is_none();
    let mut reports = Vec::new();
    if wants(options.connectors, options.recipients) {
        reports.extend(run_connectors(stage)?);
    }
    if wants(options.recipients, options.connectors) {
        reports.extend(recipients::run(stage)?);
    }
    Ok(reports)
}

fn run_connectors(stage: &Stage) -> io::Result<Option<Report>> {
    let Some(binary) = &stage.binary else { return Ok(None) };
    let usual = if stage.options.is_quick { CONNECTORS_QUICK } else { CONNECTORS };
    let connectors = stage.options.connectors.unwrap_or(usual);
    let mut rounds = Vec::new();
    for number in 1..=stage.options.rounds {
        eprintln!("management, round {number} of {}: Gatepost", stage.options.rounds);
        let figures = measure(stage, binary, connectors)?;
        rounds.push(Round { ceiling: None, relays: vec![(Contender::Gatepost, figures)] });
    }
    let rows = vec![
        Row::new("list_ms", "Get-ReceiveConnector, ms", 0).bar(Bar::AtMost(300.0)),
        Row::new("list_client_ms", "of it processor time of the shell, ms", 0),
        Row::new("list_server_ms", "and of the server, ms", 0),
        Row::new("one_ms", "Get-ReceiveConnector NAME, ms", 0).bar(Bar::AtMost(300.0)),
        Row::new("set_ms", "Set-ReceiveConnector NAME -Comment TEXT, ms", 0).bar(Bar::AtMost(200.0)),
        Row::new("set_client_ms", "of it processor time of the shell, ms", 0),
        Row::new("set_server_ms", "and of the server, ms", 0),
        Row::new("list_after_set_ms", "the first Get-ReceiveConnector after a change, ms", 0).bar(Bar::AtMost(300.0)),
        Row::new("nothing_ms", "a shell that asks nothing, ms", 0),
    ];
    Ok(Some(Report {
        command: stage.command(&format!("management --connectors {connectors}")),
        load: vec![format!("{connectors} receive connectors with {} ranges", connectors * RANGES_EACH)],
        rows,
        rounds,
        notes: vec![format!(
            "Each is `gatepost shell -c '...'` from start to end, the fastest of {RUNS}; processor time is the middle of them."
        )],
    }))
}

fn measure(stage: &Stage, binary: &Path, connectors: u64) -> io::Result<Figures> {
    let mut server = Server::start(&stage.ground, binary, |data, address| settings(data, address, connectors))?;
    let name = format!("Relay {:05}", connectors / 2);
    let list = server.time("Get-ReceiveConnector | Out-Null", stage.options.limit)?;
    let one = server.time(&format!("Get-ReceiveConnector '{name}' | Out-Null"), stage.options.limit)?;
    let nothing = server.time("1 | Out-Null", stage.options.limit)?;
    let (mut set, mut after_set) = (Runs::default(), Runs::default());
    for number in 0..RUNS {
        let command = format!("Set-ReceiveConnector '{name}' -Comment 'number {number}'");
        set.0.push(server.once(&command, stage.options.limit)?);
        after_set.0.push(server.once("Get-ReceiveConnector | Out-Null", stage.options.limit)?);
    }
    Ok(Figures::from([
        ("list_ms", list.fastest()),
        ("list_client_ms", list.middle(|run| run.client_ms)),
        ("list_server_ms", list.middle(|run| run.server_ms)),
        ("one_ms", one.fastest()),
        ("set_ms", set.fastest()),
        ("set_client_ms", set.middle(|run| run.client_ms)),
        ("set_server_ms", set.middle(|run| run.server_ms)),
        ("list_after_set_ms", after_set.fastest()),
        ("nothing_ms", nothing.fastest()),
    ]))
}

/// One run of a command.
struct Run {
    wall_ms: f64,
    client_ms: f64,
    server_ms: f64,
}

#[derive(Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn fastest(&self) -> f64 {
        self.0.iter().map(|run| run.wall_ms).fold(f64::NAN, f64::min)
    }

    fn middle(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.0.iter().map(of)).unwrap_or(f64::NAN)
    }
}

struct Server<'a> {
    ground: &'a Ground,
    binary: &'a Path,
    document: PathBuf,
    // Dropped in this order: first the process, then what measured it and the folder that it writes to.
    _process: Process,
    meter: Meter,
    client: Meter,
    _folder: TempDir,
}

impl<'a> Server<'a> {
    fn start(
        ground: &'a Ground,
        binary: &'a Path,
        settings: impl FnOnce(&Path, SocketAddr) -> String,
    ) -> io::Result<Server<'a>> {
        let folder = ground.subfolder("gatepost-management-")?;
        let (data, document) = (folder.path().join("data"), folder.path().join("gatepost.toml"));
        let log = folder.path().join("log");
        fs::write(&document, settings(&data, free_address()?))?;
        let meter = ground.meter("management");
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
        let socket = data.join("gatepost.sock");
        wait_until(START, "the management socket", || {
            if process.runs() {
                return Ok(socket.exists());
            }
            let log = fs::read_to_string(&log).unwrap_or_default();
            Err(io::Error::other(format!("Gatepost does not start: {}", log.trim())))
        })?;
        let client = ground.meter("shell");
        Ok(Server { ground, binary, document, _process: process, meter, client, _folder: folder })
    }

    /// Runs a line of the shell a few times.
    fn time(&mut self, line: &str, limit: Duration) -> io::Result<Runs> {
        (0..RUNS).map(|_| self.once(line, limit)).collect::<io::Result<Vec<Run>>>().map(Runs)
    }

    fn once(&mut self, line: &str, limit: Duration) -> io::Result<Run> {
        let before = (self.client.cpu()?, self.meter.cpu()?);
        let mut command = self.client.command(self.binary);
        command.arg("--config").arg(&self.document).args(["shell", "-c", line]).stdin(Stdio::null());
        let began = Instant::now();
        let mut process = self.ground.spawn(&mut command)?;
        self.client.watch(process.id());
        let status = process.wait(limit)?;
        let wall_ms = milliseconds(began.elapsed());
        if !status.success() {
            return Err(io::Error::other(format!("`{line}` failed: {status}")));
        }
        let spent = |after: Duration, before| milliseconds(after.saturating_sub(before));
        Ok(Run {
            wall_ms,
            client_ms: spent(self.client.cpu()?, before.0),
            server_ms: spent(self.meter.cpu()?, before.1),
        })
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// A connector for each department, as administrators write them: a comment, some addresses, the right to relay.
pub(super) fn settings(data: &Path, address: SocketAddr, connectors: u64) -> String {
    let mut text = format!(
        r#"[server]
name = "gatepost.bench.test"
data_dir = "{data}"

[[accepted_domain]]
name = "bench.test"

[[mailbox]]
address = "postmaster@bench.test"

[[send_connector]]
name = "Internet"
address_spaces = ["SMTP:*;1"]
smart_hosts = ["relay.bench.test"]
"#,
        data = data.display(),
    );
    for number in 0..connectors {
        let ranges = (0..RANGES_EACH).map(|place| {
            let [_, b, c, d] = u32::try_from(number * RANGES_EACH + place).unwrap_or(u32::MAX).to_be_bytes();
            format!("\"10.{b}.{c}.{d}\"")
        });
        let ranges = ranges.collect::<Vec<_>>().join(", ");
        let _ = write!(
            text,
            r#"
# Asked for by department {number}.
[[receive_connector]]
name = "Relay {number:05}"
bindings = ["{address}"]
remote_ip_ranges = [{ranges}]
permission_groups = ["AnonymousUsers"]
comment = "department {number}"
max_message_size = "20 MB"
  [[receive_connector.permission]]
  user = "NT AUTHORITY\\ANONYMOUS LOGON"
  extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
"#
        );
    }
    text
}
