//! The ground a benchmark stands on: a folder on a disk, free ports, processes that are waited for and stopped.

use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process_group, setrlimit};
use tempfile::TempDir;

use super::keeper::Keeper;
use super::meter::{self, Meter};

/// How often a condition is looked at again while we wait for it.
const LOOK: Duration = Duration::from_millis(2);

/// How our folders' names begin.
const PREFIX: &str = "gatepost-bench-";

pub(super) struct Ground {
    // Dropped before the folders: a keeper that gets no farewell removes them.
    pub keeper: Rc<Keeper>,
    folder: TempDir,
    /// A folder in memory, for what is written while the clock runs and is not measured.
    memory: Option<TempDir>,
    /// Where control groups can be made, when they can.
    control_groups: Option<PathBuf>,
}

impl Ground {
    pub fn lay(below: &Path) -> io::Result<Ground> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(below)?;
        // Postfix's processes run as another user and must get through.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let control_groups = meter::control_groups();
        let memory_groups = control_groups.as_deref().and_then(meter::in_memory_hierarchy);
        let memory = tempfile::Builder::new().prefix(PREFIX).tempdir_in("/dev/shm").ok();
        let folders: Vec<&Path> = std::iter::once(&folder).chain(&memory).map(TempDir::path).collect();
        let keeper = Rc::new(Keeper::start([control_groups.as_deref(), memory_groups.as_deref()], &folders)?);
        Ok(Ground { keeper, folder, memory, control_groups })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder of its own for one relay in one round.
    pub fn subfolder(&self, name: &str) -> io::Result<TempDir> {
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(self.folder())?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        Ok(folder)
    }

    /// A file that costs no disk, where the machine has such; each name is used by one process at a time.
    pub fn file_in_memory(&self, name: &str) -> PathBuf {
        self.memory.as_ref().unwrap_or(&self.folder).path().join(name)
    }

    pub fn meter(&self, name: &str) -> Meter {
        Meter::new(self.control_groups.as_deref(), name)
    }

    /// How CPU time is measured here, for the report.
    pub fn method(&self) -> &'static str {
        match self.control_groups {
            Some(_) => "control group of all the relay's processes (cpu.stat)",
            None => "sum over /proc/PID/stat of the relay's living processes with their reaped children",
        }
    }

    /// Starts a process in a group of its own, known to the keeper.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Process> {
        let child = command.process_group(0).spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{} does not start: {error}", command.get_program().display()))
        })?;
        self.keeper.hold(child.id());
        Ok(Process { child, keeper: Rc::clone(&self.keeper) })
    }
}

/// A process that does not outlive this value.
pub(super) struct Process {
    child: Child,
    keeper: Rc<Keeper>,
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input and output, once, of a command that has both as pipes.
    pub fn pipes(&mut self) -> (ChildStdin, ChildStdout) {
        let stdin = self.child.stdin.take().expect("standard input was asked for as a pipe");
        (stdin, self.child.stdout.take().expect("standard output was asked for as a pipe"))
    }

    /// Waits for the end; an error when it takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let mut status = None;
        wait_until(limit, "the process to end", || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        Ok(status.expect("the wait ended because there is a status"))
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(20);
        for signal in [Signal::TERM, Signal::KILL] {
            if self.runs() {
                stop_group(self.id(), signal);
                let _ = self.wait(PATIENCE);
            }
        }
        self.keeper.release(self.id());
    }
}

/// Lets this process and those that it starts have so many files open, if that is allowed; says how many they may have.
pub(super) fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let may = |bound: Option<u64>| bound.is_none_or(|bound| bound >= wanted);
    if !may(limit.current) {
        let maximum = if may(limit.maximum) { limit.maximum } else { Some(wanted) };
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).map_err(|error| {
            let hard = limit.maximum.unwrap_or(u64::MAX);
            io::Error::other(format!("{wanted} open files are needed, {hard} are allowed (ulimit -Hn): {error}"))
        })?;
    }
    Ok(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// Sends a signal to a process group; one that is gone already needs none.
pub(super) fn stop_group(leader: u32, signal: Signal) {
    if let Some(leader) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(leader, signal);
    }
}

/// A loopback address whose port was free a moment ago.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Waits until somebody accepts connections at `address`.
pub(super) fn wait_until_open(address: SocketAddr, limit: Duration, mut alive: impl FnMut() -> bool) -> io::Result<()> {
    wait_until(limit, &format!("a listener at {address}"), || {
        if !alive() {
            return Err(io::Error::other(format!("the process that should listen at {address} has ended")));
        }
        Ok(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    })
}

/// Waits until a condition holds.
pub(super) fn wait_until(limit: Duration, what: &str, mut holds: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let start = Instant::now();
    loop {
        if holds()? {
            return Ok(());
        }
        if start.elapsed() > limit {
            let message = format!("waited {} s for {what}, in vain", limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        thread::sleep(LOOK);
    }
}
