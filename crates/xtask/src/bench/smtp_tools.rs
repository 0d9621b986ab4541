//! Postfix's own smtp-source and smtp-sink, to check our generator and sink against tools that everybody knows.
//!
//! smtp-sink reads byte by byte: from 50 KiB a message on it is itself the limit.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::clock::monotonic_ns;
use super::ground::{Ground, Process, free_address, wait_until, wait_until_open};
use super::meter::Meter;
use super::source::Task;

const SOURCE: &str = "smtp-source";
const SINK: &str = "smtp-sink";
const SINK_BACKLOG: &str = "1024";
/// smtp-sink leaves further connections in the backlog.
const SINK_CONNECTIONS_MAX: &str = "4000";
/// smtp-sink refuses to run as root.
const UNPRIVILEGED: &str = "nobody";
const START: Duration = Duration::from_secs(20);

/// An error that says what to install when the tools are missing.
pub(super) fn installed() -> io::Result<()> {
    for tool in [SOURCE, SINK] {
        find(tool).ok_or_else(|| {
            io::Error::other(format!(
                "{tool} is not installed; on Debian: apt-get install --no-install-recommends postfix"
            ))
        })?;
    }
    Ok(())
}

/// A program in PATH or in the folders that a user's PATH often lacks.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// smtp-sink on a free port, with its running counter.
pub(super) struct SmtpSink {
    address: SocketAddr,
    counter: PathBuf,
    // Dropped in this order: first the process, then what measured it.
    _process: Process,
    meter: Meter,
}

impl SmtpSink {
    pub fn start(ground: &Ground) -> io::Result<SmtpSink> {
        let address = free_address()?;
        // The counter is written for each message: not on the disk that is measured.
        let counter = ground.file_in_memory("counter");
        let meter = ground.meter("sink");
        let mut command = meter.command(find(SINK).unwrap_or_else(|| SINK.into()));
        if rustix::process::geteuid().is_root() {
            command.args(["-u", UNPRIVILEGED]);
        }
        command.args(["-c", "-m", SINK_CONNECTIONS_MAX, &address.to_string(), SINK_BACKLOG]);
        let mut process = ground.spawn(command.stdin(Stdio::null()).stdout(File::create(&counter)?))?;
        meter.watch(process.id());
        wait_until_open(address, START, || process.runs())?;
        Ok(SmtpSink { address, meter, counter, _process: process })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Messages taken so far.
    pub fn count(&self) -> io::Result<u64> {
        const TAIL_BYTES: u64 = 400;
        let mut file = File::open(&self.counter)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut tail = String::new();
        file.read_to_string(&mut tail)?;
        Ok(last_count(&tail).unwrap_or(0))
    }

    /// Waits until it has taken `count` messages; returns when that was.
    pub fn wait_for(&self, count: u64, limit: Duration) -> io::Result<u64> {
        wait_until(limit, &format!("message {count} at the sink"), || Ok(self.count()? >= count))
            .map(|()| monotonic_ns())
            .map_err(|error| {
                let arrived = self.count().unwrap_or(0);
                io::Error::new(error.kind(), format!("{error}: {arrived} have arrived"))
            })
    }
}

/// The last whole one of the counters that smtp-sink writes, such as `sess=5 quit=0 mesg=123`, each ended by a carriage
/// return.
fn last_count(tail: &str) -> Option<u64> {
    tail.rsplit('\r').skip(1).find_map(|line| line.rsplit_once("mesg=")?.1.trim().parse().ok())
}

/// smtp-source at work.
pub(super) struct SmtpSource {
    first_ns: u64,
    process: Process,
    /// What it says when it gives up.
    words: PathBuf,
}

impl SmtpSource {
    /// Begins the task. It knows one message per connection and many, nothing between.
    pub fn start(ground: &Ground, task: &Task) -> io::Result<SmtpSource> {
        let words = ground.file_in_memory("source-words");
        let mut command = Command::new(find(SOURCE).unwrap_or_else(|| SOURCE.into()));
        // -d: the next message over the same connection.
        if task.messages_per_connection == 0 {
            command.arg("-d");
        }
        command
            .args(["-s", &task.sessions.to_string()])
            .args(["-l", &task.size_bytes.to_string()])
            .args(["-m", &task.messages.to_string()])
            .args(["-M", "source.bench.test", "-f", "sender@source.bench.test", "-t", "recipient@sink.bench.test"])
            .arg(task.to.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&words)?);
        Ok(SmtpSource { first_ns: monotonic_ns(), process: ground.spawn(&mut command)?, words })
    }

    /// Waits until every message has its 250; returns when it began and when that was.
    pub fn finish(mut self, limit: Duration) -> io::Result<(u64, u64)> {
        let status = self.process.wait(limit)?;
        let end = monotonic_ns();
        if status.success() {
            return Ok((self.first_ns, end));
        }
        let words = fs::read_to_string(&self.words).unwrap_or_default();
        Err(io::Error::other(format!("smtp-source gave up ({status}): {}", words.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complete_count_is_read() {
        for (tail, expected) in [
            ("", None),
            ("sess=1 quit=0 mesg=0", None),
            ("sess=1 quit=0 mesg=0\r", Some(0)),
            ("mesg=41\rsess=1 quit=0 mesg=42\r", Some(42)),
            ("sess=1 quit=0 mesg=42\rsess=1 quit=0 mesg=4", Some(42)),
        ] {
            assert_eq!(last_count(tail), expected, "{tail:?}");
        }
    }
}
