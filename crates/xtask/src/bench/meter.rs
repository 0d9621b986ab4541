//! What a relay's processes cost: CPU time and memory.
//!
//! With a control group (version 2, also beside version 1) the kernel counts the CPU time of every process that ever was in
//! it. Without one, /proc is summed over the living processes: each with its own time and that of the children it reaped,
//! which is complete as long as parents wait for their children; Postfix's master does.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Ticks of /proc/PID/stat: USER_HZ, which is 100 on every Linux of the architectures that we build for.
const TICK: Duration = Duration::from_millis(10);

/// Between two looks at memory: reading it costs the watched process time, too.
const MEMORY_LOOK: Duration = Duration::from_millis(500);

/// Measures one relay.
#[derive(Clone)]
pub(super) struct Meter(Arc<Kind>);

enum Kind {
    ControlGroup(PathBuf),
    /// The process whose tree is summed; 0 until it is known.
    Tree(AtomicU32),
}

/// The prefix of the folders of our control groups, where this process may make some.
pub(super) fn control_groups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (folder, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(folder))
    })?;
    let prefix = mount.join(format!("gatepost-bench-{}-", std::process::id()));
    let trial = Meter::control_group(&prefix, "trial").ok()?;
    trial.cpu().ok().map(|_| prefix)
}

impl Meter {
    pub fn new(control_groups: Option<&Path>, name: &str) -> Meter {
        control_groups
            .and_then(|prefix| Meter::control_group(prefix, name).ok())
            .unwrap_or_else(|| Meter(Arc::new(Kind::Tree(AtomicU32::new(0)))))
    }

    fn control_group(prefix: &Path, name: &str) -> io::Result<Meter> {
        let mut folder = prefix.as_os_str().to_owned();
        folder.push(name);
        fs::create_dir(&folder)?;
        Ok(Meter(Arc::new(Kind::ControlGroup(folder.into()))))
    }

    /// A command whose process, and all that it starts, is measured.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &*self.0 {
            Kind::ControlGroup(folder) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(folder.join("cgroup.procs")).arg(program);
                command
            }
            Kind::Tree(_) => Command::new(program),
        }
    }

    /// Names the process whose tree is measured where there is no control group.
    pub fn watch(&self, id: u32) {
        if let Kind::Tree(root) = &*self.0 {
            root.store(id, Ordering::Relaxed);
        }
    }

    /// User and system time so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        match &*self.0 {
            Kind::ControlGroup(folder) => {
                let text = fs::read_to_string(folder.join("cpu.stat"))?;
                let microseconds = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
                microseconds.map(Duration::from_micros).ok_or_else(|| io::Error::other("cpu.stat has no usage_usec"))
            }
            Kind::Tree(_) => Ok(self.processes().into_iter().filter_map(Stat::read).map(|stat| stat.cpu).sum()),
        }
    }

    fn processes(&self) -> Vec<u32> {
        match &*self.0 {
            Kind::ControlGroup(folder) => {
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                text.lines().filter_map(|line| line.parse().ok()).collect()
            }
            Kind::Tree(root) => tree(root.load(Ordering::Relaxed)),
        }
    }

    /// Proportional memory of all processes now: shared pages count once.
    fn memory_bytes(&self) -> u64 {
        self.processes().into_iter().filter_map(|id| kilobytes(id, "smaps_rollup", "Pss:")).sum::<u64>() * 1024
    }

    /// The highest resident memory that each living process ever had, summed: shared pages count in each.
    fn resident_peak_bytes(&self) -> u64 {
        self.processes().into_iter().filter_map(|id| kilobytes(id, "status", "VmHWM:")).sum::<u64>() * 1024
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        if let Kind::ControlGroup(folder) = self {
            // Processes that ended a moment ago may still be on their way out.
            for _ in 0..100 {
                if fs::remove_dir(&*folder).is_ok() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Memory, as the highest of samples (proportional) and as the kernel's own mark (resident).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub proportional_peak_bytes: u64,
    pub resident_peak_bytes: u64,
}

/// Samples memory until it is stopped.
pub(super) struct MemoryWatch {
    meter: Meter,
    ended: Arc<AtomicBool>,
    peak: Arc<Mutex<u64>>,
    thread: JoinHandle<()>,
}

impl MemoryWatch {
    pub fn start(meter: &Meter) -> MemoryWatch {
        let (ended, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let thread = thread::spawn({
            let (meter, ended, peak) = (meter.clone(), Arc::clone(&ended), Arc::clone(&peak));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    raise(&peak, meter.memory_bytes());
                    thread::park_timeout(MEMORY_LOOK);
                }
            }
        });
        MemoryWatch { meter: meter.clone(), ended, peak, thread }
    }

    pub fn stop(self) -> Memory {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join();
        raise(&self.peak, self.meter.memory_bytes());
        let proportional_peak_bytes = *self.peak.lock().unwrap_or_else(PoisonError::into_inner);
        Memory { proportional_peak_bytes, resident_peak_bytes: self.meter.resident_peak_bytes() }
    }
}

fn raise(peak: &Mutex<u64>, bytes: u64) {
    let mut peak = peak.lock().unwrap_or_else(PoisonError::into_inner);
    *peak = bytes.max(*peak);
}

/// What /proc/PID/stat says that we need.
struct Stat {
    parent: u32,
    /// Own time and that of reaped children.
    cpu: Duration,
}

impl Stat {
    fn read(id: u32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// The name in parentheses may itself hold parentheses and spaces: fields count from behind the last one.
    fn parse(text: &str) -> Option<Stat> {
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let parent = fields.get(1)?.parse().ok()?;
        let ticks: u32 = fields.get(11..15)?.iter().map(|field| field.parse().unwrap_or(0)).sum();
        Some(Stat { parent, cpu: TICK * ticks })
    }
}

/// A process and all its living descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for id in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = Stat::read(id) {
            children.entry(stat.parent).or_default().push(id);
        }
    }
    let mut tree = vec![root];
    let mut next = 0;
    while next < tree.len() {
        tree.extend(children.remove(&tree[next]).unwrap_or_default());
        next += 1;
    }
    tree
}

fn kilobytes(id: u32, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/{file}")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_from_behind_the_name_of_the_process() {
        let text = "7 (a) b (c) S 3 7 7 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        let stat = Stat::parse(text).expect("this is a line of the kernel's");
        assert_eq!((stat.parent, stat.cpu), (3, Duration::from_millis(1270)));
    }

    #[test]
    fn a_tree_holds_at_least_its_root_and_that_takes_memory() {
        let meter = Meter(Arc::new(Kind::Tree(AtomicU32::new(0))));
        meter.watch(std::process::id());
        assert!(meter.processes().contains(&std::process::id()));
        assert!(meter.memory_bytes() > 0);
    }
}
