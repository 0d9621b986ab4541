//! The disk as it is found after a power cut: what was flushed is there, of the rest whatever a seeded dice says.
//!
//! Takes the events of a server that a [`crate::shim::Shim`] watched, up to the cut, and makes the files of the watched
//! folder in another one. It grants no more than POSIX does: a flushed file has its content, its name is safe once its
//! folder is flushed, too. What was not flushed survives whole, not at all, as far as one instant, or in any mix of
//! sectors, some of them torn or full of what lay there before. After a failed flush what it should have made safe
//! is partly lost, and no later flush brings it back.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::dice::Dice;
use crate::shim::Event;

const SECTOR_BYTES: usize = 512;

/// Makes in `into`, which must be an empty folder, what is left of `folder` after the events. The same events, seed and
/// folders make the same files.
#[track_caller]
pub fn replay(events: &[Event], seed: u64, folder: &Path, into: &Path) {
    let mut disk = Disk { dice: Dice(seed), ..Disk::default() };
    disk.flushed_names.insert(folder.to_path_buf(), Entry::Folder);
    disk.names.clone_from(&disk.flushed_names);
    for event in events {
        disk.take(event);
    }
    disk.cut_power(folder, into);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    File(usize),
    Folder,
}

#[derive(Debug, Default)]
struct Disk {
    dice: Dice,
    nodes: Vec<Node>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, Entry>,
    flushed_names: BTreeMap<PathBuf, Entry>,
    /// Changes of names that are not flushed, by their number.
    changes: BTreeMap<u64, Change>,
    changes_made: u64,
    open: HashMap<i32, PathOrNode>,
    /// Flushes under way: how much had been done when they began.
    flushes: HashMap<u64, u64>,
}

#[derive(Clone, Debug)]
enum PathOrNode {
    Folder(PathBuf),
    File(usize),
}

#[derive(Debug, Default)]
struct Node {
    flushed: Vec<u8>,
    /// Not flushed, in their order, by their number.
    edits: BTreeMap<u64, Edit>,
    edits_made: u64,
}

#[derive(Clone, Debug)]
enum Edit {
    Write { at: usize, bytes: Vec<u8> },
    Cut { to: usize },
}

#[derive(Clone, Debug)]
enum Change {
    Make(PathBuf, Entry),
    /// With what has the name: where its making was not flushed, this is.
    Rename(PathBuf, PathBuf, Entry),
    Remove(PathBuf),
}

/// What becomes of things that were not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    All,
    Nothing,
    /// Those before an instant.
    Earlier,
    /// Any of them.
    Some,
}

impl Disk {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Started => {
                self.open.clear();
                self.flushes.clear();
            }
            Event::Opened { fd, path, creates, truncates } => self.open_file(*fd, path, *creates, *truncates),
            Event::Written { fd, offset, bytes, data } => {
                assert_eq!(*bytes, data.len() as u64, "a replay needs all data of every write");
                let at = usize::try_from(*offset).expect("files fit into memory");
                self.edit(*fd, Edit::Write { at, bytes: data.clone() });
            }
            Event::Cut { fd, bytes } => {
                self.edit(*fd, Edit::Cut { to: usize::try_from(*bytes).expect("files fit into memory") });
            }
            Event::FlushBegan { fd, flush } => {
                let done = match self.open.get(fd) {
                    Some(PathOrNode::File(node)) => self.nodes[*node].edits_made,
                    _ => self.changes_made,
                };
                self.flushes.insert(*flush, done);
            }
            Event::FlushEnded { fd, flush, error } => {
                let done = self.flushes.remove(flush).expect("it began");
                self.flush(*fd, done, *error == 0);
            }
            Event::Renamed { from, to } => {
                // Sockets are made and renamed, too; they mean nothing after a power cut.
                if let Some(entry) = self.names.get(from) {
                    self.change(Change::Rename(from.clone(), to.clone(), *entry));
                }
            }
            Event::Removed(path) | Event::FolderRemoved(path) => self.change(Change::Remove(path.clone())),
            Event::FolderMade(path) => self.change(Change::Make(path.clone(), Entry::Folder)),
            Event::NotOpened { .. } | Event::NotWritten { .. } | Event::Sent { .. } | Event::Received { .. } => {}
        }
    }

    fn open_file(&mut self, fd: i32, path: &Path, creates: bool, truncates: bool) {
        let opened = match self.names.get(path) {
            Some(Entry::Folder) => PathOrNode::Folder(path.to_path_buf()),
            Some(Entry::File(node)) => PathOrNode::File(*node),
            None => {
                assert!(creates, "{} was opened, but nobody made it", path.display());
                self.nodes.push(Node::default());
                let node = self.nodes.len() - 1;
                self.change(Change::Make(path.to_path_buf(), Entry::File(node)));
                PathOrNode::File(node)
            }
        };
        self.open.insert(fd, opened);
        if truncates {
            self.edit(fd, Edit::Cut { to: 0 });
        }
    }

    fn edit(&mut self, fd: i32, edit: Edit) {
        let Some(PathOrNode::File(node)) = self.open.get(&fd) else { panic!("{fd} is no file: {edit:?}") };
        let node = &mut self.nodes[*node];
        node.edits.insert(node.edits_made, edit);
        node.edits_made += 1;
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.insert(self.changes_made, change);
        self.changes_made += 1;
    }

    fn flush(&mut self, fd: i32, done: u64, succeeded: bool) {
        match self.open.get(&fd).expect("only open files are flushed") {
            PathOrNode::File(node) => {
                let (node, dice) = (&mut self.nodes[*node], &mut self.dice);
                let later = node.edits.split_off(&done);
                let edits = std::mem::replace(&mut node.edits, later);
                // After a failure the system counts the data as written, and forgets that it is not.
                let mood = if succeeded { Mood::All } else { Mood::of(dice) };
                apply(&mut node.flushed, edits.values(), mood, dice);
            }
            // What a failed flush of a folder leaves undone is done by the next.
            PathOrNode::Folder(_) if !succeeded => {}
            PathOrNode::Folder(folder) => {
                let flushed_names = &mut self.flushed_names;
                self.changes.retain(|number, change| {
                    let flushed = *number < done && change.is_in(folder);
                    if flushed {
                        change.apply(flushed_names);
                    }
                    !flushed
                });
            }
        }
    }

    fn cut_power(mut self, folder: &Path, into: &Path) {
        let mut names = self.flushed_names;
        let mood = Mood::of(&mut self.dice);
        let end = self.dice.below(self.changes.len() as u64 + 1) as usize;
        for (i, change) in self.changes.values().enumerate() {
            if mood.keeps(i < end, &mut self.dice) {
                change.apply(&mut names);
            }
        }
        let moods: Vec<Mood> = self.nodes.iter().map(|_| Mood::of(&mut self.dice)).collect();
        // In the order of their paths, so that a folder comes before what is in it.
        for (path, entry) in names {
            let below = path.strip_prefix(folder).expect("everything is below the watched folder");
            let path = into.join(below);
            if path.parent().is_none_or(|parent| !parent.is_dir()) {
                continue; // its folder did not survive
            }
            match entry {
                Entry::Folder => fs::create_dir_all(&path).expect("make a folder"),
                Entry::File(number) => {
                    let node = &self.nodes[number];
                    let mut bytes = node.flushed.clone();
                    apply(&mut bytes, node.edits.values(), moods[number], &mut self.dice);
                    fs::write(&path, bytes).expect("write a file");
                }
            }
        }
    }
}

fn apply<'a>(bytes: &mut Vec<u8>, edits: impl ExactSizeIterator<Item = &'a Edit>, mood: Mood, dice: &mut Dice) {
    let end = dice.below(edits.len() as u64 + 1) as usize;
    // Some file systems show what lay there before where data did not make it to the disk.
    let shows_old_data = dice.below(4) == 0;
    for (i, edit) in edits.enumerate() {
        let is_earlier = i < end;
        let (from, new) = match edit {
            Edit::Write { at, bytes } => (*at, bytes),
            Edit::Cut { to } => {
                if mood.keeps(is_earlier, dice) {
                    bytes.resize(*to, 0);
                }
                continue;
            }
        };
        if mood != Mood::Some {
            if mood.keeps(is_earlier, dice) {
                put(bytes, from, new);
            }
            continue;
        }
        let (mut at, to) = (from, from + new.len());
        while at < to {
            let border = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(to);
            let torn = if dice.below(16) == 0 { at + dice.below((border - at) as u64) as usize } else { border };
            if dice.below(2) == 0 {
                put(bytes, at, &new[at - from..torn - from]);
            } else if shows_old_data && bytes.len() <= at {
                let old: Vec<u8> = (at..border).map(|_| dice.next() as u8).collect();
                put(bytes, at, &old);
            }
            at = border;
        }
    }
}

impl Mood {
    fn of(dice: &mut Dice) -> Mood {
        [Mood::All, Mood::Nothing, Mood::Earlier, Mood::Some][dice.below(4) as usize]
    }

    fn keeps(self, is_earlier: bool, dice: &mut Dice) -> bool {
        match self {
            Mood::All => true,
            Mood::Nothing => false,
            Mood::Earlier => is_earlier,
            Mood::Some => dice.below(2) == 0,
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            Change::Make(path, entry) => {
                names.insert(path.clone(), *entry);
            }
            Change::Rename(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
            Change::Remove(path) => {
                names.remove(path);
            }
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        let (Change::Make(path, _) | Change::Rename(_, path, _) | Change::Remove(path)) = self;
        path.parent() == Some(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_after(events: &[Event], seed: u64) -> BTreeMap<String, Vec<u8>> {
        let into = tempfile::tempdir().expect("a temporary folder");
        replay(events, seed, Path::new("/d"), into.path());
        let entries = fs::read_dir(into.path()).expect("readable").flatten();
        let read =
            |entry: fs::DirEntry| Some((entry.file_name().into_string().expect("ASCII"), fs::read(entry.path()).ok()?));
        entries.filter_map(read).collect()
    }

    fn open(fd: i32, path: &str, creates: bool) -> Event {
        Event::Opened { fd, path: path.into(), creates, truncates: false }
    }

    fn write(fd: i32, offset: u64, data: &[u8]) -> Event {
        Event::Written { fd, offset, bytes: data.len() as u64, data: data.to_vec() }
    }

    fn flush(fd: i32, error: i32) -> [Event; 2] {
        [Event::FlushBegan { fd, flush: 1 }, Event::FlushEnded { fd, flush: 1, error }]
    }

    #[test]
    fn what_was_flushed_with_its_folder_survives_and_the_rest_may_not() {
        let mut events = vec![open(3, "/d/safe", true), write(3, 0, b"flushed"), open(4, "/d", false)];
        events.extend(flush(3, 0));
        events.extend(flush(4, 0));
        events.extend([write(3, 7, b" and not"), open(5, "/d/nameless", true), write(5, 0, b"x")]);
        let found: Vec<_> = (0..200).map(|seed| files_after(&events, seed)).collect();
        assert!(found.iter().all(|files| files["safe"].starts_with(b"flushed")));
        assert!(found.iter().any(|files| files["safe"] == b"flushed and not"), "it may be there all the same");
        assert!(found.iter().any(|files| files["safe"] == b"flushed"), "it may be lost");
        assert!(found.iter().any(|files| !files["safe"][7..].is_ascii() || files["safe"][7..].contains(&0)), "torn");
        assert!(found.iter().any(|files| files.contains_key("nameless")));
        assert!(found.iter().any(|files| !files.contains_key("nameless")));
    }

    #[test]
    fn a_name_in_another_folder_is_safe_once_that_folder_is_flushed() {
        let mut events = vec![Event::FolderMade("/d/tmp".into()), open(3, "/d/tmp/a", true), open(4, "/d", false)];
        events.push(Event::Renamed { from: "/d/tmp/a".into(), to: "/d/b".into() });
        events.extend(flush(4, 0));
        assert!((0..50).all(|seed| files_after(&events, seed).contains_key("b")));
    }

    #[test]
    fn a_flush_that_fails_loses_data_for_good() {
        let mut events = vec![open(3, "/d/file", true), write(3, 0, b"lost"), open(4, "/d", false)];
        events.extend(flush(4, 0));
        events.extend(flush(3, 5));
        events.extend(flush(3, 0));
        assert!((0..50).any(|seed| files_after(&events, seed)["file"].is_empty()));
    }

    #[test]
    fn a_flush_covers_what_was_done_before_it_began() {
        let events = [
            open(4, "/d", false),
            Event::FlushBegan { fd: 4, flush: 7 },
            open(3, "/d/later", true),
            Event::FlushEnded { fd: 4, flush: 7, error: 0 },
        ];
        assert!((0..50).any(|seed| files_after(&events, seed).is_empty()));
    }
}
