//! The meters: file systems, memory, open files, as Linux tells them.
//!
//! A meter that cannot be read says nothing: where `/proc` is missing there is no back pressure by memory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gatepost_policy::back_pressure::{FILES_HEADROOM, Measured, share, used_share};
use gatepost_policy::resource::Resource;
use rustix::fs::StatVfsMountFlags;
use rustix::process::{Resource as Limit, getrlimit};

use super::Metering;

/// Exchange takes no machine for larger (fact sheet section 5.3).
const MEMORY_BYTES_MAX: u64 = 1 << 40;

/// What one meter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which resource it measures.
    pub resource: Resource,
    /// In the unit of its thresholds.
    pub measured: Measured,
    /// The same in bytes, files or messages.
    pub amount: Amount,
}

/// How much of a resource is used, of how much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Used.
    pub used: u64,
    /// All of it; 0 where there is no end.
    pub total: u64,
}

/// Reads all meters.
pub fn read(metering: &Metering) -> Vec<Reading> {
    let mut readings = Vec::with_capacity(Resource::ALL.len());
    let spool = file_system(&metering.spool);
    readings.extend(spool.as_ref().map(|spool| space(Resource::SpoolSpace, spool, metering)));
    readings.extend(spool.as_ref().and_then(|spool| files(Resource::SpoolFiles, spool)));
    let device = |folder: &Path| fs::metadata(folder).ok().map(|metadata| metadata.dev());
    if device(&metering.data) != device(&metering.spool) {
        let data = file_system(&metering.data);
        readings.extend(data.as_ref().map(|data| space(Resource::DataSpace, data, metering)));
        readings.extend(data.as_ref().and_then(|data| files(Resource::DataFiles, data)));
    }
    readings.extend(memory());
    readings.push(Reading {
        resource: Resource::QueueLength,
        measured: Measured::Amount(metering.queue_length),
        amount: Amount { used: metering.queue_length, total: 0 },
    });
    readings.extend(open_files());
    readings
}

/// What a file system says of itself.
#[derive(Clone, Copy, Debug)]
struct FileSystem {
    bytes: u64,
    free_bytes: u64,
    files: u64,
    free_files: u64,
    is_read_only: bool,
}

fn file_system(folder: &Path) -> Option<FileSystem> {
    #[cfg(test)]
    if let Some(world) = crate::simulated::world() {
        let (bytes, free_bytes) = world.room();
        return Some(FileSystem { bytes, free_bytes, files: 0, free_files: 0, is_read_only: false });
    }
    let said = rustix::fs::statvfs(folder).ok()?;
    // What only root may use is for emergencies: it counts as used, and does not belong to the whole either, as df counts.
    let used_blocks = said.f_blocks.saturating_sub(said.f_bfree);
    let used_files = said.f_files.saturating_sub(said.f_ffree);
    Some(FileSystem {
        bytes: used_blocks.saturating_add(said.f_bavail).saturating_mul(said.f_frsize),
        free_bytes: said.f_bavail.saturating_mul(said.f_frsize),
        // File systems that make inodes as they need them say 0.
        files: if said.f_files == 0 { 0 } else { used_files.saturating_add(said.f_favail) },
        free_files: said.f_favail,
        is_read_only: said.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

fn space(resource: Resource, of: &FileSystem, metering: &Metering) -> Reading {
    let share = used_share(of.bytes, of.free_bytes, metering.disk_headroom_bytes);
    let measured = match of {
        FileSystem { is_read_only: true, .. } => Measured::Exhausted("read-only"),
        _ if metering.is_full && resource == Resource::SpoolSpace => Measured::Exhausted("full"),
        _ => Measured::Amount(share),
    };
    let amount = Amount { used: of.bytes.saturating_sub(of.free_bytes), total: of.bytes };
    Reading { resource, measured, amount }
}

fn files(resource: Resource, of: &FileSystem) -> Option<Reading> {
    let measured = Measured::Amount(used_share(of.files, of.free_files, FILES_HEADROOM));
    let amount = Amount { used: of.files.saturating_sub(of.free_files), total: of.files };
    (of.files > 0).then_some(Reading { resource, measured, amount })
}

fn memory() -> Vec<Reading> {
    #[cfg(test)]
    if crate::simulated::world().is_some() {
        return Vec::new();
    }
    let Some(machine) = machine_memory() else { return Vec::new() };
    // A container has less than its machine.
    let memory = container_memory().filter(|container| container.total < machine.total).unwrap_or(machine);
    let system = reading(Resource::SystemMemory, memory);
    let total = memory.total.min(MEMORY_BYTES_MAX);
    let private = private_bytes().map(|used| reading(Resource::PrivateBytes, Amount { used, total }));
    private.into_iter().chain([system]).collect()
}

fn reading(resource: Resource, amount: Amount) -> Reading {
    Reading { resource, measured: Measured::Amount(share(amount.used, amount.total)), amount }
}

fn machine_memory() -> Option<Amount> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = kilobytes(&text, "MemTotal:")?;
    let available = kilobytes(&text, "MemAvailable:")?;
    Some(Amount { used: total.saturating_sub(available), total })
}

/// A line of `/proc/meminfo` in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Memory that is ours and that nobody shares with us: pages of files that are mapped do not count.
fn private_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(resident.saturating_sub(shared).saturating_mul(rustix::param::page_size() as u64))
}

/// What the control group that we are in may use, and uses: the tightest of those above it, in either version.
fn container_memory() -> Option<Amount> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(folder_of_group).filter_map(|group| tightest(&group)).min_by_key(|amount| amount.total)
}

/// Where a control group is seen, and how its files are called.
struct Group {
    root: &'static str,
    path: PathBuf,
    max: &'static str,
    used: &'static str,
    cached: &'static str,
}

/// A line `hierarchy:controllers:path`; the second version has no controllers (cgroups(7)).
fn folder_of_group(line: &str) -> Option<Group> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let path = PathBuf::from(path.trim_start_matches('/'));
    if controllers.is_empty() {
        let (max, used, cached) = ("memory.max", "memory.current", "inactive_file ");
        return Some(Group { root: "/sys/fs/cgroup", path, max, used, cached });
    }
    let (max, used, cached) = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");
    controllers.split(',').any(|controller| controller == "memory").then_some(Group {
        root: "/sys/fs/cgroup/memory",
        path,
        max,
        used,
        cached,
    })
}

fn tightest(group: &Group) -> Option<Amount> {
    let folders = group.path.ancestors().map(|path| Path::new(group.root).join(path));
    let amounts = folders.filter_map(|folder| {
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        let total = number(group.max)?; // "max" is no number: no limit
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix(group.cached)?.trim().parse::<u64>().ok());
        // What the system only keeps because nobody else needs the room is not used.
        Some(Amount { used: number(group.used)?.saturating_sub(cached.unwrap_or(0)), total })
    });
    amounts.min_by_key(|amount| amount.total)
}

fn open_files() -> Option<Reading> {
    let total = getrlimit(Limit::Nofile).current?;
    // Linux 6.2 and later say the number as the folder's size; before, it has to be counted.
    let said = fs::metadata("/proc/self/fd").ok()?.len();
    let used = if said > 0 { said } else { fs::read_dir("/proc/self/fd").ok()?.count() as u64 };
    Some(reading(Resource::OpenFiles, Amount { used, total }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_meter_of_this_machine_says_something_sensible() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let metering = Metering {
            spool: folder.path().to_path_buf(),
            data: folder.path().to_path_buf(),
            disk_headroom_bytes: 500 << 20,
            queue_length: 7,
            is_full: false,
        };
        let readings = read(&metering);
        let found: Vec<_> = readings.iter().map(|reading| reading.resource).collect();
        for resource in [
            Resource::SpoolSpace,
            Resource::PrivateBytes,
            Resource::SystemMemory,
            Resource::QueueLength,
            Resource::OpenFiles,
        ] {
            assert!(found.contains(&resource), "{resource} is missing of {found:?}");
        }
        assert!(!found.contains(&Resource::DataSpace), "the same file system is measured once");
        for Reading { resource, measured, amount } in &readings {
            let Measured::Amount(measured) = measured else { panic!("{resource} is exhausted") };
            let is_count = *resource == Resource::QueueLength;
            assert!(is_count || (*measured <= 10_000 && amount.used <= amount.total), "{resource}: {amount:?}");
            assert!(amount.used > 0, "{resource}: nothing is used");
        }
        let full = read(&Metering { is_full: true, ..metering });
        assert_eq!(full[0].measured, Measured::Exhausted("full"));
    }

    #[test]
    fn a_read_only_file_system_has_no_room() {
        let of = FileSystem { bytes: 100, free_bytes: 90, files: 10, free_files: 5, is_read_only: true };
        let metering = Metering {
            spool: PathBuf::new(),
            data: PathBuf::new(),
            disk_headroom_bytes: 1,
            queue_length: 0,
            is_full: false,
        };
        assert_eq!(space(Resource::SpoolSpace, &of, &metering).measured, Measured::Exhausted("read-only"));
        let uncounted = FileSystem { files: 0, ..of };
        assert_eq!(files(Resource::SpoolFiles, &uncounted), None);
        assert_eq!(files(Resource::SpoolFiles, &of).map(|reading| reading.measured), Some(Measured::Amount(5_000)));
    }

    #[test]
    fn control_groups_of_both_versions_are_understood() {
        let group = |line: &str| folder_of_group(line).map(|group| (group.root, group.path, group.max));
        let path = PathBuf::from("system.slice/gatepost.service");
        assert_eq!(group("0::/system.slice/gatepost.service"), Some(("/sys/fs/cgroup", path.clone(), "memory.max")));
        assert_eq!(
            group("4:cpu,memory:/system.slice/gatepost.service"),
            Some(("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
        );
        assert_eq!(group("3:cpuset:/"), None);
        assert_eq!(group("nonsense"), None);

        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("a folder");
        for (path, text) in [
            ("memory.max", "4000\n"),
            ("memory.current", "3000\n"),
            ("memory.stat", "anon 1\ninactive_file 1000\n"),
            ("inner/memory.max", "max\n"),
            ("inner/memory.current", "5\n"),
        ] {
            fs::write(folder.path().join(path), text).expect("a file");
        }
        let root: &'static str = Box::leak(folder.path().to_str().expect("UTF-8").to_owned().into_boxed_str());
        let group =
            Group { root, path: "inner".into(), max: "memory.max", used: "memory.current", cached: "inactive_file " };
        assert_eq!(tightest(&group), Some(Amount { used: 2_000, total: 4_000 }));
    }
}
