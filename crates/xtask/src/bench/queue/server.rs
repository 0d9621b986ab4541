//! Gatepost in a folder that outlives it: killed, started again, asked how it is doing.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::super::ground::{Ground, Process, free_address, stop_group, wait_until, wait_until_open};
use super::super::meter::Meter;

const START: Duration = Duration::from_secs(120);

/// Where the next hops of the three domains are.
#[derive(Debug, Clone, Copy)]
pub struct NextHops {
    /// Of `live.bench.test`: takes everything.
    pub live: SocketAddr,
    /// Of `dead.bench.test`: refuses connections.
    pub dead: SocketAddr,
    /// Of `hanging.bench.test`: takes connections and says nothing.
    pub hanging: SocketAddr,
}

/// A server and its folder.
pub struct Server<'a> {
    ground: &'a Ground,
    binary: &'a Path,
    pub address: SocketAddr,
    // Dropped in this order: first the process, then what measured it and the folder that it writes to.
    process: Option<Process>,
    pub meter: Meter,
    folder: TempDir,
}

impl<'a> Server<'a> {
    /// Starts one with an empty queue.
    pub fn start(ground: &'a Ground, binary: &'a Path, name: &str, next_hops: NextHops) -> io::Result<Server<'a>> {
        let folder = ground.subfolder(&format!("gatepost-{name}-"))?;
        let address = free_address()?;
        fs::write(folder.path().join("gatepost.toml"), settings(&folder.path().join("data"), address, next_hops))?;
        let mut server = Server { ground, binary, address, process: None, meter: ground.meter(name), folder };
        server.launch()?;
        let mut process = server.process.take().ok_or_else(|| io::Error::other("it was just started"))?;
        wait_until_open(address, START, || process.runs())?;
        server.process = Some(process);
        Ok(server)
    }

    fn document(&self) -> PathBuf {
        self.folder.path().join("gatepost.toml")
    }

    fn launch(&mut self) -> io::Result<()> {
        let log = self.folder.path().join("log");
        let process = self.ground.spawn(
            self.meter
                .command(self.binary)
                .arg("serve")
                .arg("--config")
                .arg(self.document())
                .stdin(Stdio::null())
                .stdout(File::options().create(true).append(true).open(&log)?)
                .stderr(File::options().create(true).append(true).open(&log)?),
        )?;
        self.meter.watch(process.id());
        self.process = Some(process);
        Ok(())
    }

    /// Kills it without a warning and starts it again. How long it took from there to the first message that it took.
    pub fn restart(&mut self) -> io::Result<Duration> {
        if let Some(mut process) = self.process.take() {
            stop_group(process.id(), Signal::KILL);
            process.wait(START)?;
        }
        let began = Instant::now();
        self.launch()?;
        while TcpStream::connect(self.address).is_err() {
            if began.elapsed() > START {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "Gatepost does not listen again"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.submit_one()?;
        Ok(began.elapsed())
    }

    /// One message for the dead domain.
    fn submit_one(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(START))?;
        let mut replies = BufReader::new(stream.try_clone()?);
        for (command, expected) in [
            ("", "220"),
            ("EHLO bench.test\r\n", "250"),
            ("MAIL FROM:<first@bench.test>\r\n", "250"),
            ("RCPT TO:<first@dead.bench.test>\r\n", "250"),
            ("DATA\r\n", "354"),
            ("Subject: first\r\n\r\nfirst\r\n.\r\n", "250"),
        ] {
            stream.write_all(command.as_bytes())?;
            let mut line = String::new();
            while !line.starts_with(&format!("{expected} ")) {
                line.clear();
                if replies.read_line(&mut line)? == 0 || !line.starts_with(expected) {
                    return Err(io::Error::other(format!(
                        "Gatepost answered `{}` with {}",
                        command.trim(),
                        line.trim()
                    )));
                }
            }
        }
        Ok(())
    }

    /// What `gatepost status` says.
    pub fn status(&self) -> io::Result<Value> {
        let mut command = Command::new(self.binary);
        let output = command.arg("--config").arg(self.document()).args(["status", "--json"]).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// A number that stands in `status.spool`.
    pub fn spool(&self, key: &str) -> io::Result<u64> {
        self.status()?["spool"][key].as_u64().ok_or_else(|| io::Error::other(format!("status has no spool.{key}")))
    }

    /// Waits until all messages of the last run are in their queues.
    pub fn wait_for_recovery(&self, limit: Duration) -> io::Result<()> {
        wait_until(limit, "the end of the recovery", || {
            std::thread::sleep(Duration::from_millis(100));
            Ok(self.status()?["recovering"] == false)
        })
    }

    /// Bytes that the log and the bodies take on the disk, by the lengths of their files.
    pub fn disk_bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for folder in ["log", "bodies"] {
            for entry in fs::read_dir(self.folder.path().join("data/spool").join(folder))? {
                bytes += entry?.metadata()?.len();
            }
        }
        Ok(bytes)
    }

    /// Bytes that its processes had written to the disk so far.
    pub fn written_bytes(&self) -> u64 {
        let written = |id: &u32| {
            let text = fs::read_to_string(format!("/proc/{id}/io")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse::<u64>().ok())
        };
        self.meter.processes().iter().filter_map(written).sum()
    }
}

/// As the comparison has them, with three ways out.
fn settings(data: &Path, address: SocketAddr, next_hops: NextHops) -> String {
    let mut settings = format!(
        r#"[server]
name = "gatepost.bench.test"
data_dir = "{data}"

[[receive_connector]]
name = "Bench"
bindings = ["{address}"]
remote_ip_ranges = ["127.0.0.0/8"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
max_inbound_connection = "unlimited"
max_inbound_connection_per_source = "unlimited"
max_inbound_connection_percentage_per_source = 100

[transport]
max_per_domain_outbound_connections = 50
"#,
        data = data.display(),
    );
    let NextHops { live, dead, hanging } = next_hops;
    for (name, address) in [("live", live), ("dead", dead), ("hanging", hanging)] {
        settings += &format!(
            r#"
[[send_connector]]
name = "{name}"
address_spaces = ["SMTP:{name}.bench.test;1"]
smart_hosts = ["[{ip}]:{port}"]
smtp_max_messages_per_connection = 1000000
"#,
            ip = address.ip(),
            port = address.port(),
        );
    }
    settings
}
