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

/// Measures one relay.
#[derive(Clone)]
pub(super) struct Meter(Arc<Kind>);

enum Kind {
    ControlGroup {
        folder: PathBuf,
        /// The group of the memory controller, which has a hierarchy of its own beside version 2.
        memory: Option<PathBuf>,
    },
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
        let folder = PathBuf::from(folder);
        Ok(Meter(Arc::new(Kind::ControlGroup { memory: memory_group(&folder), folder })))
    }

    /// A command whose process, and all that it starts, is measured.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &*self.0 {
            Kind::ControlGroup { folder, memory } => {
                let mut command = Command::new("/bin/sh");
                // Where memory is counted in the same group, joining it twice does no harm.
                command
                    .args(["-c", "echo $$ > \"$0\" && echo $$ > \"$1\" && shift && exec \"$@\""])
                    .arg(folder.join("cgroup.procs"))
                    .arg(memory.as_ref().unwrap_or(folder).join("cgroup.procs"))
                    .arg(program);
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
            Kind::ControlGroup { folder, .. } => {
                let text = fs::read_to_string(folder.join("cpu.stat"))?;
                let microseconds = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
                microseconds.map(Duration::from_micros).ok_or_else(|| io::Error::other("cpu.stat has no usage_usec"))
            }
            Kind::Tree(_) => Ok(self.processes().into_iter().filter_map(Stat::read).map(|stat| stat.cpu).sum()),
        }
    }

    /// The living processes.
    pub fn processes(&self) -> Vec<u32> {
        match &*self.0 {
            Kind::ControlGroup { folder, .. } => {
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                text.lines().filter_map(|line| line.parse().ok()).collect()
            }
            Kind::Tree(root) => tree(root.load(Ordering::Relaxed)),
        }
    }

    /// Memory now.
    pub fn memory(&self) -> Memory {
        Memory {
            proportional_peak_bytes: self.memory_bytes(),
            resident_peak_bytes: self.resident_peak_bytes(),
            group_peak_bytes: self.group_bytes(),
        }
    }

    /// What the kernel charges the control group with now, page cache left out.
    fn group_bytes(&self) -> Option<u64> {
        let Kind::ControlGroup { memory: Some(folder), .. } = &*self.0 else { return None };
        let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        let stat = fs::read_to_string(folder.join("memory.stat")).ok()?;
        let of = |key: &str| stat.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        let (all, cache) = match number("memory.current") {
            Some(all) => (all, of("file ")?),
            None => (number("memory.usage_in_bytes")?, of("total_cache ")?),
        };
        Some(all.saturating_sub(cache))
    }

    /// Proportional memory of all processes now: shared pages count once.
    pub fn memory_bytes(&self) -> u64 {
        self.processes().into_iter().filter_map(|id| kilobytes(id, "smaps_rollup", "Pss:")).sum::<u64>() * 1024
    }

    /// The highest resident memory that each living process ever had, summed: shared pages count in each.
    fn resident_peak_bytes(&self) -> u64 {
        self.processes().into_iter().filter_map(|id| kilobytes(id, "status", "VmHWM:")).sum::<u64>() * 1024
    }
}

/// Where the memory of the control group in `folder` is counted: there, or in a group of that name in the memory controller's own
/// hierarchy of version 1.
fn memory_group(folder: &Path) -> Option<PathBuf> {
    if folder.join("memory.current").exists() {
        return Some(folder.to_owned());
    }
    let group = in_memory_hierarchy(folder)?;
    fs::create_dir(&group).ok()?;
    Some(group)
}

/// The same name in the memory controller's hierarchy of version 1, where there is one.
pub(super) fn in_memory_hierarchy(folder: &Path) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let is_memory = words.get(2) == Some(&"cgroup") && words.get(3)?.split(',').any(|option| option == "memory");
        is_memory.then(|| PathBuf::from(words[1]))
    })?;
    Some(mount.join(folder.file_name()?))
}

impl Drop for Kind {
    fn drop(&mut self) {
        if let Kind::ControlGroup { folder, memory } = self {
            for folder in memory.iter().chain([&*folder]) {
                // Processes that ended a moment ago may still be on their way out.
                for _ in 0..100 {
                    match fs::remove_dir(folder) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            thread::sleep(Duration::from_millis(20));
                        }
                        _ => break,
                    }
                }
            }
        }
    }
}

/// Memory, as the highest of samples (proportional) and as the kernel's own mark (resident).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub proportional_peak_bytes: u64,
    pub resident_peak_bytes: u64,
    /// What the kernel charges the control group with, page cache left out, where it counts that.
    pub group_peak_bytes: Option<u64>,
}

/// Samples memory until it is stopped.
pub(super) struct MemoryWatch {
    meter: Meter,
    ended: Arc<AtomicBool>,
    peak: Arc<Mutex<Memory>>,
    thread: JoinHandle<()>,
}

impl MemoryWatch {
    /// Looks again after each `interval`: reading memory costs the watched process time, too.
    pub fn start(meter: &Meter, interval: Duration) -> MemoryWatch {
        let (ended, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Memory::default())));
        let thread = thread::spawn({
            let (meter, ended, peak) = (meter.clone(), Arc::clone(&ended), Arc::clone(&peak));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    raise(&peak, &meter);
                    thread::park_timeout(interval);
                }
            }
        });
        MemoryWatch { meter: meter.clone(), ended, peak, thread }
    }

    pub fn stop(self) -> Memory {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join();
        raise(&self.peak, &self.meter);
        let peak = *self.peak.lock().unwrap_or_else(PoisonError::into_inner);
        Memory { resident_peak_bytes: self.meter.resident_peak_bytes(), ..peak }
    }
}

/// The kernel keeps the highest resident memory itself; of the others the highest look counts.
fn raise(peak: &Mutex<Memory>, meter: &Meter) {
    let (proportional, group) = (meter.memory_bytes(), meter.group_bytes());
    let mut peak = peak.lock().unwrap_or_else(PoisonError::into_inner);
    peak.proportional_peak_bytes = peak.proportional_peak_bytes.max(proportional);
    peak.group_peak_bytes = peak.group_peak_bytes.max(group);
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
