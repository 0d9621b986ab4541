//! Messages that may bring the server down: noted while somebody works on them, tried one at a time after an unclean end.
//!
//! Takes the number of each message that a worker takes up, and writes it into its place in the file `in-hand`, without a
//! flush: what is written survives the process, and that is what it is for. While an attempt on a suspect waits for its next hop
//! nothing is in hand: whoever ends the process from outside then has ended it over nothing. A clean stop leaves the places empty. At the next
//! start `policy::poison` says who is blamed; that is kept in the file `suspects`. What former runs left is routed between suspects, not
//! beside them, so that a suspect that ends the process again is in hand alone. Should the machine have been started anew
//! in between, nobody is blamed: then it was not a message.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_mail::MessageId;
use gatepost_policy::poison;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard, watch};
use tokio::time::Instant;

use crate::whole_file;

/// So many messages are noted at a time; workers beyond those are not watched.
const PLACES: u64 = 4_096;
/// The file begins with what tells one run of the machine from the next.
const BOOT_BYTES: usize = 64;
/// A suspect is alone for at most so long: it may hang on a next hop, which brings nobody down.
const ALONE_MAX: Duration = Duration::from_secs(30);
/// So long after a start all others wait for the suspects to be tried.
pub const OTHERS_WAIT_MAX: Duration = Duration::from_secs(20);

/// Who is worked on, and who is suspected.
pub struct Suspects {
    folder: PathBuf,
    in_hand: File,
    free: Mutex<Vec<u64>>,
    blamed: Mutex<BTreeMap<u64, u32>>,
    /// Whether anybody is: asked for each message.
    are_there: AtomicBool,
    /// One suspect at a time.
    turns: Arc<Turns<()>>,
    /// Whether all others may be worked on, too.
    open: watch::Sender<bool>,
}

impl Suspects {
    /// Reads what the last run left in `folder`, and blames for it.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn open(folder: &Path) -> io::Result<Suspects> {
        let (path, boot) = (folder.join("in-hand"), boot());
        let former = read_blamed(&folder.join("suspects"))?;
        let left = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let in_hand: Vec<u64> = match left.split_at_checked(BOOT_BYTES) {
            Some((then, places)) if then == boot => places.chunks_exact(8).map(number).filter(|id| *id != 0).collect(),
            _ => Vec::new(),
        };
        let blamed = poison::blame(&former, &in_hand);
        if blamed != former {
            write_blamed(folder, &blamed, true)?;
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all_at(&boot, 0)?;
        let are_there = !blamed.is_empty();
        if are_there {
            tracing::warn!(
                messages = blamed.len(),
                "the server ended uncleanly while it worked on messages: they are tried one at a time"
            );
        }
        Ok(Suspects {
            folder: folder.to_path_buf(),
            in_hand: file,
            free: Mutex::new((0..PLACES).rev().collect()),
            blamed: Mutex::new(blamed),
            are_there: AtomicBool::new(are_there),
            turns: Arc::default(),
            open: watch::Sender::new(!are_there),
        })
    }

    /// A place for whoever works on one message after the other.
    pub fn place(self: &Arc<Self>) -> Place {
        let number = lock(&self.free).pop();
        Place { suspects: self.clone(), number, in_hand: None }
    }

    /// How many unclean ends a message is blamed for.
    pub fn crashes(&self, id: MessageId) -> u32 {
        self.known(id).unwrap_or(0)
    }

    /// Whether a message was in hand at an unclean end, and has not been tried since.
    pub fn is_suspect(&self, id: MessageId) -> bool {
        self.known(id).is_some()
    }

    fn known(&self, id: MessageId) -> Option<u32> {
        if !self.are_there.load(Ordering::Relaxed) {
            return None;
        }
        lock(&self.blamed).get(&id.0).copied()
    }

    /// All who are blamed.
    pub fn all(&self) -> Vec<MessageId> {
        lock(&self.blamed).keys().copied().map(MessageId).collect()
    }

    /// Waits until a message may be worked on: suspects one at a time, all others a little later.
    pub async fn turn(&self, id: MessageId) -> Turn {
        if !self.are_there.load(Ordering::Relaxed) {
            return Turn { _alone: None };
        }
        if !self.is_suspect(id) {
            let _ = self.open.subscribe().wait_for(|open| *open).await;
            return Turn { _alone: None };
        }
        let alone = tokio::time::timeout(ALONE_MAX, self.turns.clone().lock_owned()).await.ok();
        Turn { _alone: alone }
    }

    /// Waits until what former runs left may be routed: while no suspect is worked on, and none will be while this turn lasts. After
    /// `until` nothing waits for suspects any more: one may hang on its next hop.
    pub async fn turn_to_route(&self, until: Instant) -> Turn {
        if !self.are_there.load(Ordering::Relaxed) {
            return Turn { _alone: None };
        }
        Turn { _alone: tokio::time::timeout_at(until, self.turns.clone().lock_owned()).await.ok() }
    }

    /// Lets the others go on after a while, come what may.
    pub async fn let_others_go_on(&self) {
        let _ = tokio::time::timeout(OTHERS_WAIT_MAX, self.open.subscribe().wait_for(|open| *open)).await;
        self.open.send_replace(true);
    }

    /// One more is blamed: a fault of ours was caught while it was worked on. Hands on how often it is blamed now.
    pub fn blame(&self, id: MessageId) -> u32 {
        let mut blamed = lock(&self.blamed);
        let crashes = blamed.entry(id.0).or_default();
        *crashes += 1;
        let crashes = *crashes;
        self.changed(&blamed);
        crashes
    }

    /// A message was worked on, and nothing happened; or it is known to be poison, or gone.
    pub fn clear(&self, id: MessageId) {
        if !self.are_there.load(Ordering::Relaxed) {
            return;
        }
        let mut blamed = lock(&self.blamed);
        if blamed.remove(&id.0).is_some() {
            self.changed(&blamed);
        }
    }

    /// Forgets all but these.
    pub fn keep(&self, is_live: impl Fn(MessageId) -> bool) {
        let mut blamed = lock(&self.blamed);
        let before = blamed.len();
        blamed.retain(|id, _| is_live(MessageId(*id)));
        if blamed.len() < before {
            self.changed(&blamed);
        }
    }

    /// Nothing is in hand any more: the server stops.
    pub fn close(&self) {
        if let Err(error) = self.in_hand.set_len(0) {
            tracing::warn!(%error, "the next start may take this stop for an unclean end");
        }
    }

    fn changed(&self, blamed: &BTreeMap<u64, u32>) {
        self.are_there.store(!blamed.is_empty(), Ordering::Relaxed);
        if blamed.is_empty() {
            self.open.send_replace(true);
        }
        if let Err(error) = write_blamed(&self.folder, blamed, false) {
            tracing::warn!(%error, "who is suspected to bring the server down cannot be written");
        }
    }
}

/// Who is worked on alone is so for as long as this lasts.
pub struct Turn {
    _alone: Option<OwnedMutexGuard<()>>,
}

/// One place in the file.
pub struct Place {
    suspects: Arc<Suspects>,
    number: Option<u64>,
    in_hand: Option<MessageId>,
}

impl Place {
    /// This message is worked on from now on.
    pub fn take_up(&mut self, id: MessageId) {
        self.in_hand = Some(id);
        self.write(id.0);
    }

    /// Nothing is.
    pub fn put_down(&mut self) {
        if self.in_hand.take().is_some() {
            self.write(0);
        }
    }

    /// Nothing is done for it until [`Place::go_on`].
    pub fn pause(&self) {
        if self.in_hand.is_some() {
            self.write(0);
        }
    }

    /// Something is done for it again.
    pub fn go_on(&self) {
        if let Some(id) = self.in_hand {
            self.write(id.0);
        }
    }

    fn write(&self, id: u64) {
        if let Some(number) = self.number {
            // Whoever is not noted cannot be blamed, and that is all.
            let _ = self.suspects.in_hand.write_at(&id.to_le_bytes(), BOOT_BYTES as u64 + 8 * number);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.put_down();
        lock(&self.suspects.free).extend(self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// What is another one whenever the machine starts; nothing where the system does not say.
fn boot() -> [u8; BOOT_BYTES] {
    let mut boot = [b' '; BOOT_BYTES];
    let told = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.iter_mut().zip(told).for_each(|(place, byte)| *place = byte);
    boot
}

/// One on a line: its number, and how often it is blamed. Lines that are none are passed over: at worst nobody is blamed.
fn read_blamed(path: &Path) -> io::Result<BTreeMap<u64, u32>> {
    // It is replaced without a flush: after a power cut anything may stand in it.
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        read => read?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let read =
        |line: &str| line.split_once(' ').and_then(|(id, crashes)| Some((id.parse().ok()?, crashes.parse().ok()?)));
    Ok(text.lines().filter_map(read).collect())
}

fn write_blamed(folder: &Path, blamed: &BTreeMap<u64, u32>, flush: bool) -> io::Result<()> {
    let lines: String = blamed.iter().map(|(id, crashes)| format!("{id} {crashes}\n")).collect();
    let path = folder.join("suspects");
    match flush {
        true => whole_file::replace(&path, lines.as_bytes(), 0o640),
        false => whole_file::replace_unflushed(&path, lines.as_bytes(), 0o640),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashes(suspects: &Suspects) -> Vec<(u64, u32)> {
        lock(&suspects.blamed).iter().map(|(id, crashes)| (*id, *crashes)).collect()
    }

    #[test]
    fn what_a_power_cut_left_of_the_file_keeps_nobody_from_starting() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("suspects"), b"7 1\n\xff\xfe 8 1\n\0\0").expect("write");
        assert_eq!(crashes(&Suspects::open(folder.path()).expect("open")), [(7, 1)]);
    }

    #[test]
    fn who_is_in_hand_at_an_unclean_end_is_suspected_until_it_was_worked_on_without_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Arc::new(Suspects::open(folder.path()).expect("room"));
        let first = open();
        let (mut a, mut b, mut c) = (first.place(), first.place(), first.place());
        a.take_up(MessageId(1));
        a.take_up(MessageId(7));
        b.take_up(MessageId(8));
        c.take_up(MessageId(9));
        c.put_down();
        // Nobody stops it.
        std::mem::forget((a, b, c));
        let second = open();
        assert_eq!(crashes(&second), [(7, 0), (8, 0)]);
        assert_eq!([1, 7, 9].map(|id| second.is_suspect(MessageId(id))), [false, true, false]);
        second.clear(MessageId(7));
        let mut place = second.place();
        place.take_up(MessageId(8));
        // It waits for its next hop: whoever kills the server now does not do it for that message.
        place.pause();
        std::mem::forget(place);
        let second = open();
        assert_eq!(crashes(&second), [(8, 0)]);
        let mut place = second.place();
        place.take_up(MessageId(8));
        place.pause();
        place.go_on();
        std::mem::forget(place);
        let third = open();
        assert_eq!(crashes(&third), [(8, 2)]);
        third.keep(|_| false);
        let mut place = third.place();
        place.take_up(MessageId(9));
        third.close();
        assert_eq!(crashes(&open()), [], "it was stopped");
    }

    #[test]
    fn nobody_is_blamed_when_the_machine_was_started_anew_or_the_files_are_rubbish() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut other = vec![b'x'; BOOT_BYTES];
        other.extend(7u64.to_le_bytes());
        for (in_hand, suspects, expected) in [
            (&other[..], "", vec![]),
            (b"short", "x\n\n3 4 5\n8 1\n", vec![(8, 1)]),
            (b"", "99999999999999999999 1\n", vec![]),
        ] {
            fs::write(folder.path().join("in-hand"), in_hand).expect("room");
            fs::write(folder.path().join("suspects"), suspects).expect("room");
            assert_eq!(crashes(&Suspects::open(folder.path()).expect("room")), expected, "{suspects:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn suspects_go_one_at_a_time_and_before_all_others() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("suspects"), "1 1\n2 1\n").expect("room");
        let suspects = Arc::new(Suspects::open(folder.path()).expect("room"));
        let first = suspects.turn(MessageId(1)).await;
        let waits =
            async |id| tokio::time::timeout(Duration::from_secs(10), suspects.turn(MessageId(id))).await.is_err();
        assert!(waits(2).await && waits(3).await);
        suspects.clear(MessageId(1));
        drop(first);
        assert!(waits(3).await);
        drop(suspects.turn(MessageId(2)).await);
        suspects.clear(MessageId(2));
        drop(suspects.turn(MessageId(3)).await);
        // One that never comes holds the others up for a while only.
        suspects.blame(MessageId(4));
        let soon = || Instant::now() + Duration::from_secs(1);
        let routing = suspects.turn_to_route(soon()).await;
        assert!(routing._alone.is_some() && waits(4).await, "beside a routing it would be in company");
        drop(routing);
        let tried = suspects.turn(MessageId(4)).await;
        assert!(suspects.turn_to_route(soon()).await._alone.is_none(), "it waits for a while and goes on");
        drop(tried);
        let suspects = Arc::new(Suspects::open(folder.path()).expect("room"));
        let ((), _turn) = tokio::join!(suspects.let_others_go_on(), suspects.turn(MessageId(5)));
    }
}
