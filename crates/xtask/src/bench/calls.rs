//! `bench calls`: system calls and flushes for each message, counted by the kernel's tracepoints (`perf stat`).
//!
//! Counted from the first connection on until the relay is at rest, all threads and child processes, outcomes included. Counting this way
//! costs little, so that the relay batches as it does without it; strace would change what it counts.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use super::Bench;
use super::course::{Course, Stage, rest, share};
use super::ground::{Ground, Process, stop_group};
use super::load::Load;
use super::options::{Contender, Tools};
use super::report::{Bar, Figures, Report, Row, median};
use super::terms::Terms;

pub(super) const BENCH: Bench = Bench {
    name: "calls",
    summary: "system calls and flushes per message, by the name of the call, 50 sessions",
    takes: &["--sessions", "--messages", "--size", "--single", "--pipelining"],
    run,
};

const SIZE_BYTES: u64 = 4_096;
const MESSAGES: u64 = 20_000;
const SESSIONS: u64 = 50;
const ALL: &str = "raw_syscalls:sys_enter";
const EVENTS: &str = "/sys/kernel/tracing/events/syscalls";

/// What counts as a flush.
const FLUSHES: [&str; 6] = ["fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs"];

/// Calls that a relay may make often; what else it makes is told as one number.
const CALLS: [&str; 58] = [
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "recvfrom",
    "sendto",
    "recvmsg",
    "sendmsg",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_ctl",
    "poll",
    "ppoll",
    "futex",
    "accept4",
    "accept",
    "socket",
    "connect",
    "bind",
    "shutdown",
    "close",
    "setsockopt",
    "getsockopt",
    "getsockname",
    "getpeername",
    "fcntl",
    "ioctl",
    "openat",
    "unlink",
    "rename",
    "newfstat",
    "newstat",
    "newlstat",
    "newfstatat",
    "statx",
    "lseek",
    "ftruncate",
    "fallocate",
    "mmap",
    "munmap",
    "madvise",
    "mprotect",
    "brk",
    "sched_yield",
    "clock_nanosleep",
    "getrandom",
    "alarm",
    "getpid",
    "rt_sigaction",
    "sendfile64",
    "copy_file_range",
];

fn run(stage: &Stage) -> io::Result<Vec<Report>> {
    let options = &stage.options;
    let load = Load {
        tools: Tools::Own,
        sessions: options.sessions.unwrap_or(SESSIONS),
        messages: options.messages(MESSAGES),
        size_bytes: options.size_bytes.unwrap_or(SIZE_BYTES),
        messages_per_connection: options.messages_per_connection.unwrap_or(0),
        is_pipelining: options.is_pipelining,
        tls: None,
    };
    let terms = Terms { sessions: load.sessions, tools: Tools::Own, identity: None, has_passports: true };
    let names: Vec<&'static str> = FLUSHES.into_iter().chain(CALLS).filter(|name| is_known(name)).collect();
    let mut by_name: Vec<(Contender, Vec<(String, f64)>)> = Vec::new();
    let rounds = stage.rounds("calls", false, |contender| {
        let mut course = Course::lay(stage, contender, &terms)?;
        let load = share(&load, contender);
        rest(course.meter());
        let count = Counter::start(&stage.ground, &course.meter().processes(), &names)?;
        course.send(&load)?;
        rest(course.meter());
        let counts = count.stop()?;
        let of = |name: &str| counts.iter().find(|(known, _)| known == name).map_or(0.0, |(_, count)| *count);
        let messages = load.messages as f64;
        let flushes: f64 = FLUSHES.iter().map(|name| of(name)).sum();
        if let Some(contender) = contender {
            by_name.push((contender, counts.iter().map(|(name, count)| (name.clone(), count / messages)).collect()));
        }
        Ok(Figures::from([("calls", of(ALL) / messages), ("flushes", flushes / messages)]))
    })?;
    let rows = vec![
        Row::new("calls", "system calls per message", 1).bar(Bar::AtMost(40.0)),
        Row::new("flushes", "fsync, fdatasync and the like per message", 4).bar(Bar::AtMost(0.06)),
    ];
    let notes = options.contenders.iter().map(|contender| told(*contender, &by_name)).collect();
    Ok(vec![Report { command: stage.command("calls"), load: vec![load.words()], rows, rounds, notes }])
}

/// Whether this kernel has a tracepoint of that name.
fn is_known(name: &str) -> bool {
    PathBuf::from(format!("{EVENTS}/sys_enter_{name}")).exists()
}

/// The calls of one contender by name, the most frequent first, as medians of the rounds.
fn told(contender: Contender, by_name: &[(Contender, Vec<(String, f64)>)]) -> String {
    let rounds: Vec<_> = by_name.iter().filter(|(name, _)| *name == contender).map(|(_, counts)| counts).collect();
    let of = |name: &str| {
        let counts =
            rounds.iter().map(|counts| counts.iter().find(|(known, _)| known == name).map_or(0.0, |(_, n)| *n));
        median(counts).unwrap_or(0.0)
    };
    let mut names: Vec<(String, f64)> =
        rounds.first().map_or(Vec::new(), |counts| counts.iter().map(|(name, _)| (name.clone(), of(name))).collect());
    let all = of(ALL);
    names.retain(|(name, _)| name != ALL);
    let others = all - names.iter().map(|(_, count)| count).sum::<f64>();
    names.retain(|(_, count)| *count >= 0.005);
    names.sort_by(|one, other| other.1.total_cmp(&one.1));
    let words: Vec<String> = names.iter().map(|(name, count)| format!("{name} {count:.2}")).collect();
    format!("{contender}, calls per message: {}; others {:.2}.", words.join(", "), others.max(0.0))
}

/// `perf stat`, counting.
struct Counter {
    process: Process,
    orders: fs::File,
    answers: fs::File,
    figures: PathBuf,
    _folder: tempfile::TempDir,
}

impl Counter {
    /// Counts from now on, in these processes and in those that they start.
    fn start(ground: &Ground, processes: &[u32], names: &[&str]) -> io::Result<Counter> {
        if names.is_empty() {
            return Err(io::Error::other(format!(
                "{EVENTS} shows no system calls; is tracefs mounted, and are we root?"
            )));
        }
        let folder = ground.subfolder("perf-")?;
        let [orders, answers, figures] = ["orders", "answers", "figures"].map(|name| folder.path().join(name));
        for pipe in [&orders, &answers] {
            mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        }
        // Open for both: opening one end of a pipe alone waits for the other.
        let open = |pipe: &PathBuf| fs::File::options().read(true).write(true).open(pipe);
        let (orders_end, answers_end) = (open(&orders)?, open(&answers)?);
        let mut events = ALL.to_owned();
        names.iter().for_each(|name| events.push_str(&format!(",syscalls:sys_enter_{name}")));
        let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
        let process = ground
            .spawn(
                Command::new("perf")
                    .args(["stat", "--field-separator", ",", "--delay=-1", "--event", &events, "--pid", &ids.join(",")])
                    .arg(format!("--control=fifo:{},{}", orders.display(), answers.display()))
                    .arg("--output")
                    .arg(&figures)
                    .stdin(Stdio::null()),
            )
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("{error}; on Debian: apt-get install --no-install-recommends linux-perf"),
                )
            })?;
        let mut counter = Counter { process, orders: orders_end, answers: answers_end, figures, _folder: folder };
        counter.order("enable")?;
        Ok(counter)
    }

    /// Says it and waits until it is done.
    fn order(&mut self, order: &str) -> io::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(20);
        writeln!(self.orders, "{order}")?;
        let mut answers = self.answers.try_clone()?;
        let (sender, answer) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut piece = [0; 16];
            let _ = sender.send(answers.read(&mut piece));
        });
        let answered = answer.recv_timeout(PATIENCE);
        if !matches!(answered, Ok(Ok(1..))) {
            return Err(io::Error::other(format!("perf does not {order} its counters")));
        }
        Ok(())
    }

    /// What was counted, by name.
    fn stop(mut self) -> io::Result<Vec<(String, f64)>> {
        self.order("disable")?;
        stop_group(self.process.id(), Signal::INT);
        self.process.wait(Duration::from_secs(20))?;
        parse(&fs::read_to_string(&self.figures)?)
    }
}

/// Lines such as `29,,raw_syscalls:sys_enter,1651000,100.00,,`; a call without its prefix.
fn parse(text: &str) -> io::Result<Vec<(String, f64)>> {
    let mut counts = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let mut fields = line.split(',');
        let (Some(count), Some(_), Some(event)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(io::Error::other(format!("perf says `{line}`")));
        };
        let count = count.parse().map_err(|_| io::Error::other(format!("perf cannot count {event}: {count}")))?;
        counts.push((event.strip_prefix("syscalls:sys_enter_").unwrap_or(event).to_owned(), count));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_the_name_of_the_call() {
        let text = "# started on Sun Nov 22\n\n29,,raw_syscalls:sys_enter,1651000,100.00,,\n7,,syscalls:sys_enter_read,1651000,100.00,,\n";
        let counts = parse(text).expect("these are perf's lines");
        assert_eq!(counts, [(ALL.to_owned(), 29.0), ("read".to_owned(), 7.0)]);
        for wrong in ["<not supported>,,raw_syscalls:sys_enter,0,100.00,,", "no figures"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
