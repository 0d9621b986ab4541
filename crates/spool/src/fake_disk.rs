//! A disk in memory that forgets: a power cut keeps what was flushed, and of the rest whatever a seeded dice says, in
//! pieces of a sector and in any order. It also fails on demand.
//!
//! Deterministic: the same seed and the same calls give the same disk. Clones are the same disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, File, Listed, Lock, Locking};

/// What survives of an unflushed write is decided for each piece of this size.
const SECTOR_BYTES: usize = 512;

/// A disk that forgets.
#[derive(Clone, Debug)]
pub struct FakeDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dice: Dice,
    nodes: Vec<Node>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, usize>,
    /// Names as they are after a power cut, but for `renamed`.
    flushed_names: BTreeMap<PathBuf, usize>,
    /// Those that were made. They survive everything.
    folders: BTreeSet<PathBuf>,
    /// Changes of names since their folder's last flush, in their order.
    changes: Vec<Change>,
    faults: Faults,
    calls: u64,
    power_cut_at: Option<u64>,
    fails_next_flush: bool,
}

/// What is to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// One flush in so many fails, with the data partly lost; 0: none does.
    pub flush_one_in: u32,
    /// One write in so many fails halfway; 0: none does.
    pub write_one_in: u32,
    /// Bytes that all files together may have; 0: no limit.
    pub bytes_max: u64,
    /// How many files there may be; 0: no limit.
    pub files_max: u64,
}

#[derive(Debug, Default)]
struct Node {
    seen: Vec<u8>,
    flushed: Vec<u8>,
    /// What happened since the last flush, in its order; what a failed flush lost is in neither.
    unflushed: Vec<Edit>,
}

#[derive(Debug)]
enum Edit {
    Write { at: usize, bytes: Vec<u8> },
    Cut { to: usize },
}

#[derive(Debug)]
enum Change {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
    Remove(PathBuf),
}

impl FakeDisk {
    /// An empty disk whose accidents follow from `seed`.
    pub fn new(seed: u64) -> FakeDisk {
        FakeDisk(Arc::new(Mutex::new(State {
            dice: Dice(seed),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            flushed_names: BTreeMap::new(),
            folders: BTreeSet::new(),
            changes: Vec::new(),
            faults: Faults::default(),
            calls: 0,
            power_cut_at: None,
            fails_next_flush: false,
        })))
    }

    /// What is to fail from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The next flush of a file fails, with the data partly lost.
    pub fn fail_next_flush(&self) {
        self.state().fails_next_flush = true;
    }

    /// From this many further calls on nothing works any more, as if the power were gone.
    pub fn fail_after(&self, calls: u64) {
        let mut state = self.state();
        state.power_cut_at = Some(state.calls + calls);
    }

    /// The disk as it is found after a power cut at this instant. Files that are open become useless.
    pub fn cut_power(&self) -> FakeDisk {
        let mut state = self.state();
        let State { dice, nodes, flushed_names, folders, changes, .. } = &mut *state;
        let mut names = flushed_names.clone();
        for change in changes {
            if dice.one_in(2) {
                change.apply(&mut names);
            }
        }
        let survivors: Vec<Vec<u8>> = nodes.iter().map(|node| node.after_power_cut(dice)).collect();
        FakeDisk::of(dice.next(), survivors, names, folders.clone())
    }

    /// The disk as it is found after only the process was killed: everything is there.
    pub fn kill(&self) -> FakeDisk {
        let mut state = self.state();
        let seed = state.dice.next();
        let fresh = FakeDisk::of(seed, Vec::new(), state.names.clone(), state.folders.clone());
        // The system still knows what was not flushed.
        {
            let mut fresh = fresh.state();
            fresh.flushed_names = state.flushed_names.clone();
            fresh.changes = std::mem::take(&mut state.changes);
            fresh.nodes = std::mem::take(&mut state.nodes);
            state.power_cut_at = Some(0);
        }
        fresh
    }

    /// Another disk with the same content, all of it flushed.
    pub fn copy(&self) -> FakeDisk {
        let state = self.state();
        let contents = state.nodes.iter().map(|node| node.seen.clone()).collect();
        FakeDisk::of(state.dice.0, contents, state.names.clone(), state.folders.clone())
    }

    /// All files with their content.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        state.names.iter().map(|(path, node)| (path.clone(), state.nodes[*node].seen.clone())).collect()
    }

    /// Changes one bit of a file, where it is seen and where it is flushed.
    pub fn flip(&self, path: &Path, bit: usize) {
        let mut state = self.state();
        let node = state.names[path];
        let node = &mut state.nodes[node];
        for bytes in [&mut node.seen, &mut node.flushed] {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    fn of(seed: u64, contents: Vec<Vec<u8>>, names: BTreeMap<PathBuf, usize>, folders: BTreeSet<PathBuf>) -> FakeDisk {
        let disk = FakeDisk::new(seed);
        {
            let mut state = disk.state();
            state.nodes = contents
                .into_iter()
                .map(|content| Node { seen: content.clone(), flushed: content, unflushed: Vec::new() })
                .collect();
            state.flushed_names = names.clone();
            state.names = names;
            state.folders = folders;
        }
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every call passes here.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.calls += 1;
        if state.power_cut_at.is_some_and(|at| state.calls > at) {
            return Err(io::Error::other("the power is gone"));
        }
        Ok(state)
    }
}

impl Node {
    fn after_power_cut(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.flushed.clone();
        // Whole writes, nothing, or any mix of sectors, one of them torn.
        let mood = dice.below(4);
        for edit in &self.unflushed {
            let (from, new) = match edit {
                Edit::Write { at, bytes } => (*at, bytes),
                Edit::Cut { to } => {
                    if mood == 0 || (mood > 1 && dice.one_in(2)) {
                        bytes.truncate(*to);
                    }
                    continue;
                }
            };
            let (mut at, to) = (from, from + new.len());
            while at < to {
                let end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(to);
                let torn = if dice.one_in(16) { at + dice.below((end - at) as u64) as usize } else { end };
                if mood == 0 || (mood > 1 && dice.one_in(2)) {
                    put(&mut bytes, at, &new[at - from..torn - from]);
                }
                at = end;
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Change::Create(path, node) => {
                names.insert(path.clone(), *node);
            }
            // The new name is there although the old one, in another folder perhaps, never was.
            Change::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
            Change::Remove(path) => {
                names.remove(path);
            }
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        let (Change::Create(path, _) | Change::Rename(_, path, _) | Change::Remove(path)) = self;
        path.parent() == Some(folder)
    }
}

impl Disk for FakeDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.call()?.folders.insert(folder.to_path_buf());
        Ok(())
    }

    fn has_folder(&self, folder: &Path) -> bool {
        self.state().folders.contains(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let state = self.call()?;
        let within = state.names.iter().filter(|(path, _)| path.parent() == Some(folder));
        Ok(within
            .filter_map(|(path, node)| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some(Listed { name, bytes: state.nodes[*node].seen.len() as u64 })
            })
            .collect())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        Ok(self.list(folder)?.into_iter().map(|listed| listed.name).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.call()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.faults.files_max > 0 && state.names.len() as u64 >= state.faults.files_max {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let node = state.nodes.len();
        state.nodes.push(Node::default());
        state.names.insert(path.to_path_buf(), node);
        state.changes.push(Change::Create(path.to_path_buf(), node));
        Ok(Arc::new(FakeFile { disk: self.clone(), node }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let state = self.call()?;
        let node = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FakeFile { disk: self.clone(), node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let node = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_path_buf(), node);
        state.changes.push(Change::Rename(from.to_path_buf(), to.to_path_buf(), node));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.changes.push(Change::Remove(path.to_path_buf()));
        Ok(())
    }

    fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let fails = state.faults.flush_one_in;
        if state.fault(fails) {
            return Err(io::Error::other("a folder was not flushed"));
        }
        let State { flushed_names, changes, .. } = &mut *state;
        changes.retain(|change| {
            let flushed = change.is_in(folder);
            if flushed {
                change.apply(flushed_names);
            }
            !flushed
        });
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Locking> {
        drop(self.call()?);
        Ok(Locking::Held(Lock::unneeded()))
    }

    fn is_locked(&self, _path: &Path) -> io::Result<bool> {
        drop(self.call()?);
        Ok(false)
    }
}

impl State {
    fn fault(&mut self, one_in: u32) -> bool {
        one_in > 0 && self.dice.one_in(one_in)
    }
}

#[derive(Debug)]
struct FakeFile {
    disk: FakeDisk,
    node: usize,
}

impl File for FakeFile {
    fn append(&self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut state = self.disk.call()?;
        let mut bytes = Vec::new();
        slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
        let mut result = Ok(());
        let fails = state.faults.write_one_in;
        if state.fault(fails) {
            bytes.truncate(state.dice.below(bytes.len() as u64 + 1) as usize);
            result = Err(io::Error::other("a write failed"));
        }
        if state.faults.bytes_max > 0 {
            let used: u64 = state.names.values().map(|node| state.nodes[*node].seen.len() as u64).sum();
            let room = state.faults.bytes_max.saturating_sub(used) as usize;
            if bytes.len() > room {
                bytes.truncate(room);
                result = Err(io::ErrorKind::StorageFull.into());
            }
        }
        let node = &mut state.nodes[self.node];
        let from = node.seen.len();
        node.seen.extend_from_slice(&bytes);
        node.unflushed.push(Edit::Write { at: from, bytes });
        result
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.call()?;
        let fails = state.faults.write_one_in;
        if state.fault(fails) {
            return Err(io::Error::other("a file was not cut"));
        }
        let node = &mut state.nodes[self.node];
        let to = usize::try_from(bytes).unwrap_or(usize::MAX);
        node.seen.truncate(to);
        node.unflushed.push(Edit::Cut { to });
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.call()?;
        let seen = &state.nodes[self.node].seen;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(seen.len());
        let read = buffer.len().min(seen.len() - from);
        buffer[..read].copy_from_slice(&seen[from..from + read]);
        Ok(read)
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.disk.call()?;
        let fails = state.faults.flush_one_in;
        let failed = std::mem::take(&mut state.fails_next_flush) || state.fault(fails);
        let State { dice, nodes, .. } = &mut *state;
        let node = &mut nodes[self.node];
        // After a failure the system counts the data as written: what was lost is seen until the power is cut, and no
        // later flush writes it.
        if failed {
            node.flushed = node.after_power_cut(dice);
            node.unflushed.clear();
        }
        for edit in std::mem::take(&mut node.unflushed) {
            match edit {
                Edit::Write { at, bytes } => put(&mut node.flushed, at, &bytes),
                Edit::Cut { to } => node.flushed.truncate(to),
            }
        }
        if failed { Err(io::Error::other("a flush failed")) } else { Ok(()) }
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.call()?.nodes[self.node].seen.len() as u64)
    }
}

/// SplitMix64: small, seeded, good enough for accidents.
#[derive(Clone, Copy, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in so many throws.
    pub fn one_in(&mut self, count: u32) -> bool {
        self.below(u64::from(count)) == 0
    }
}
