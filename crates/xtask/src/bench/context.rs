//! Where the figures come from: commit, machine, disk. A figure without them cannot be compared with another.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::disk;
use super::ground::Ground;
use super::options::Options;
use super::postfix;

const FLUSHED_BYTES: usize = 4096;
/// Above this load the machine does something else, too.
const QUIET_LOAD_MAX: f64 = 0.5;

pub(super) struct Context {
    /// What was measured.
    pub commit: String,
    pub kernel: String,
    pub processor: String,
    pub cores: usize,
    pub load: f64,
    pub file_system: String,
    /// Append 4 KiB and fdatasync, one writer.
    pub flush_p50: Duration,
    pub flush_p99: Duration,
    pub postfix: Option<String>,
    pub method: &'static str,
    pub warnings: Vec<String>,
}

impl Context {
    /// Three lines for people.
    pub fn text(&self) -> String {
        let postfix = self.postfix.as_deref().unwrap_or("not installed");
        format!(
            "commit {}, kernel {}, {} x {}\n\
             {}, append 4 KiB + fdatasync: p50 {:.2} ms, p99 {:.2} ms; load before: {}; Postfix {postfix}\n\
             CPU by {}\n",
            self.commit,
            self.kernel,
            self.cores,
            self.processor,
            self.file_system,
            milliseconds(self.flush_p50),
            milliseconds(self.flush_p99),
            self.load,
            self.method,
        )
    }

    pub fn json(&self) -> Value {
        json!({
            "commit": self.commit,
            "kernel": self.kernel,
            "processor": self.processor,
            "cores": self.cores,
            "load_before": self.load,
            "file_system": self.file_system,
            "flush_p50_ms": milliseconds(self.flush_p50),
            "flush_p99_ms": milliseconds(self.flush_p99),
            "postfix": self.postfix,
            "cpu_method": self.method,
        })
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

pub(super) fn read(root: &Path, ground: &Ground, options: &Options) -> io::Result<Context> {
    let load = load();
    let file_system = file_system(ground.folder()).unwrap_or_else(|| "unknown".to_owned());
    let mut warnings = Vec::new();
    if load > QUIET_LOAD_MAX {
        warnings.push(format!("the load average is {load}: something else runs here; trust ratios, not rates"));
    }
    if matches!(file_system.as_str(), "tmpfs" | "ramfs" | "overlay") {
        warnings
            .push(format!("the queues lie on {file_system}: flushes may cost nothing here; choose a disk by --folder"));
    }
    let (flush_p50, flush_p99) = disk::flush_cost(ground.folder(), FLUSHED_BYTES)?;
    Ok(Context {
        commit: match &options.binary {
            Some(binary) => format!("unknown, of {}", binary.display()),
            None => commit(root),
        },
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        processor: processor(),
        cores: thread::available_parallelism().map_or(0, usize::from),
        load,
        file_system,
        flush_p50,
        flush_p99,
        postfix: postfix::version(),
        method: ground.method(),
        warnings,
    })
}

fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.to_owned())
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// The kind of file system of the mount that holds `folder`: the longest mount point above it.
fn file_system(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    above.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}
