//! Where the counts are kept: one small file, replaced as a whole by a thread of its own.
//!
//! Hands on what a former run left. A file that is damaged, or of another program, is set aside and counting begins anew:
//! nobody is kept from mail by it. What was counted in the last [`SAVE_EVERY`] is lost when the process is killed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use super::{MARKS_MAX, Mark, Marks, SOURCES_MAX, State};
use crate::clock::now_ms;
use crate::whole_file;

/// At most so often is the file written.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// What every file begins with; another format gets another number.
const MAGIC: &[u8] = b"gatepost quotas 1\n";
const SECRET_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
/// More marks than one source can have: those of an hour's minutes, beside those of single messages where the limit was
/// raised within the hour.
const MARKS_OF_A_SOURCE_MAX: usize = 2 * MARKS_MAX as usize + 8;
const FILE_BYTES_MAX: usize =
    MAGIC.len() + SECRET_BYTES + 4 + SOURCES_MAX * (16 + 2 + MARKS_OF_A_SOURCE_MAX * 8) + TAG_BYTES;

pub type Secret = [u8; SECRET_BYTES];

/// The thread that writes.
pub struct Store {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Signal {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    is_dirty: bool,
    stops: bool,
}

/// Seconds since 1970, rounded down.
pub fn wall_clock_s() -> u64 {
    now_ms() / 1000
}

/// What the file holds, in the time of a clock that shows `now_s`; nothing where it cannot be used.
pub fn load(path: &Path, now_s: u64) -> io::Result<(Secret, HashMap<u128, Marks>)> {
    match whole_file::read(path, FILE_BYTES_MAX as u64 + 1) {
        Ok(Some(bytes)) => match decode(&bytes, now_s) {
            Some(read) => return Ok(read),
            None => set_aside(path, "it is damaged, or no such file"),
        },
        Ok(None) => {}
        Err(error) => set_aside(path, &error.to_string()),
    }
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    Ok((secret, HashMap::new()))
}

fn set_aside(path: &Path, reason: &str) {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".set-aside-{}", now_ms()));
    let moved = fs::rename(path, &name);
    tracing::error!(
        file = %path.display(), reason, moved_to = %Path::new(&name).display(),
        error = moved.err().map(|error| error.to_string()),
        "the file with the hourly quotas cannot be used and was set aside: all quotas begin anew"
    );
}

impl Store {
    /// Starts the writer.
    pub fn start(
        path: PathBuf,
        state: Arc<Mutex<State>>,
        secret: Secret,
        began: Instant,
        began_s: u64,
    ) -> io::Result<Store> {
        let signal = Arc::new(Signal::default());
        let told = signal.clone();
        let write = move || {
            let mut fails = false;
            while let Some(is_last) = told.wait() {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.is_dirty = false;
                // Our own clock may have stood still while the machine slept: what is written is how long ago.
                let behind_s = wall_clock_s() as i64 + 1 - (began_s + began.elapsed().as_secs()) as i64;
                let bytes = encode(&secret, &state.sources, behind_s);
                drop(state);
                let written = whole_file::replace(&path, &bytes, 0o600);
                match &written {
                    Err(error) if !fails => tracing::error!(
                        file = %path.display(), %error,
                        "cannot write down the hourly quotas: a restart would forget them; trying again and again"
                    ),
                    Ok(()) if fails => {
                        tracing::info!(file = %path.display(), "the hourly quotas are written down again")
                    }
                    _ => {}
                }
                fails = written.is_err();
                if fails {
                    told.tell(|told| told.is_dirty = true);
                }
                if is_last {
                    return;
                }
                told.pause();
            }
        };
        let thread = std::thread::Builder::new().name("quotas".into()).spawn(write)?;
        Ok(Store { signal, thread: Mutex::new(Some(thread)) })
    }

    /// Says that there is something to write.
    pub fn wake(&self) {
        self.signal.tell(|told| told.is_dirty = true);
    }

    /// Writes what is left to write, and ends the thread.
    pub fn close(&self) {
        self.signal.tell(|told| told.stops = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("writing down the hourly quotas failed by a fault of ours");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.signal.tell(|told| told.stops = true);
    }
}

impl Signal {
    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until there is something to write, and says whether it is the last time. `None`: there is nothing, and there
    /// will not be.
    fn wait(&self) -> Option<bool> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |told: &mut Told| !told.is_dirty && !told.stops;
        let mut told = self.changed.wait_while(told, idle).unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut told.is_dirty).then_some(told.stops)
    }

    /// Waits until it is time to write again, or to stop.
    fn pause(&self) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(told, SAVE_EVERY, |told| !told.stops);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The secret; each source with its marks, `later_s` added to their times; a keyed sum over everything. All numbers are
/// little-endian.
fn encode(secret: &Secret, sources: &HashMap<u128, Marks>, later_s: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + SECRET_BYTES + 4 + sources.len() * 34 + TAG_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(secret);
    bytes.extend_from_slice(&(sources.len() as u32).to_le_bytes());
    for (key, Marks(marks)) in sources {
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&(marks.len() as u16).to_le_bytes());
        for mark in marks {
            let at_s = u32::try_from(i64::from(mark.at_s) + later_s).unwrap_or(if later_s < 0 { 0 } else { u32::MAX });
            bytes.extend_from_slice(&at_s.to_le_bytes());
            bytes.extend_from_slice(&mark.count.to_le_bytes());
        }
    }
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &bytes);
    bytes.extend_from_slice(tag.as_ref());
    bytes
}

/// `None` for what [`encode`] did not write. No message is later than now.
fn decode(bytes: &[u8], now_s: u64) -> Option<(Secret, HashMap<u128, Marks>)> {
    let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
    let mut rest = signed.strip_prefix(MAGIC)?;
    let secret: Secret = take(&mut rest)?;
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed, tag).ok()?;
    let now_s = u32::try_from(now_s + 1).unwrap_or(u32::MAX);
    let length = u32::from_le_bytes(take(&mut rest)?) as usize;
    let mut sources = HashMap::with_capacity(length.min(SOURCES_MAX));
    for _ in 0..length {
        let key = u128::from_le_bytes(take(&mut rest)?);
        let mut marks = Marks::default();
        for _ in 0..u16::from_le_bytes(take(&mut rest)?) {
            let at_s = u32::from_le_bytes(take(&mut rest)?).min(now_s);
            let count = u32::from_le_bytes(take(&mut rest)?);
            marks.0.push_back(Mark { at_s, count });
        }
        let is_sound = marks.0.iter().all(|mark| mark.count > 0) && marks.0.len() <= MARKS_OF_A_SOURCE_MAX;
        if !is_sound || sources.len() >= SOURCES_MAX {
            return None;
        }
        sources.insert(key, marks);
    }
    rest.is_empty().then_some((secret, sources))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sources() -> impl Strategy<Value = HashMap<u128, Marks>> {
        let marks = prop::collection::vec((1_000_000_000..2_000_000_000_u32, 1..1_000_u32), 0..5);
        let marks = marks.prop_map(|mut marks| {
            marks.sort_unstable();
            Marks(marks.into_iter().map(|(at_s, count)| Mark { at_s, count }).collect())
        });
        prop::collection::hash_map(any::<u128>(), marks, 0..20)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sources in sources(), secret in any::<[u8; SECRET_BYTES]>()) {
            let bytes = encode(&secret, &sources, 0);
            prop_assert_eq!(decode(&bytes, 3_000_000_000), Some((secret, sources.clone())));
            // Nothing comes from the future, and nothing gets younger than it is.
            let (_, read) = decode(&bytes, 1_500_000_000).expect("what was written");
            for (key, Marks(marks)) in &sources {
                let expected = marks.iter().map(|mark| mark.at_s.min(1_500_000_001));
                prop_assert!(read[key].0.iter().map(|mark| mark.at_s).eq(expected));
            }
        }

        #[test]
        fn any_other_bytes_are_refused(sources in sources(), at in any::<prop::sample::Index>(), noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = encode(&[7; SECRET_BYTES], &sources, 0);
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= 0x10;
            prop_assert_eq!(decode(&changed, 0), None);
            prop_assert_eq!(decode(&bytes[..at.index(bytes.len())], 0), None);
            prop_assert_eq!(decode(&noise, 0), None);
            prop_assert_eq!(decode(&[MAGIC, &noise].concat(), 0), None);
        }
    }
}
