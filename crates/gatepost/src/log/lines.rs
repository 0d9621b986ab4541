//! Log lines on their way to standard error: gathered by those who log, written by one thread, many at once.
//!
//! Takes whole lines, never makes their writer wait: a message that is relayed logs twice, and whoever reads our standard
//! error may be slow. While lines come fast they leave together, [`GATHER`] after those before them at the latest; a line
//! that comes alone leaves at once. What nobody takes in time is dropped, counted and told, warnings and errors last. At
//! the end of the program, and behind a panic, what waits is written first. Only a kill -9 costs the lines of the last
//! moment.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines may gather.
const GATHER: Duration = Duration::from_millis(5);
/// So many bytes wait at most.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Of these, what only warnings and errors may use.
const RESERVED_BYTES: usize = 512 << 10;
/// A buffer that has grown beyond this is not kept.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// How long the end of the program waits for a reader who does not read.
const END_MAX: Duration = Duration::from_secs(2);
/// How long a reader is left alone who cannot take more at the moment.
const FULL_PIPE_REST: Duration = Duration::from_millis(5);

/// Where log lines go. Clones go to the same place.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The writing thread has something to do.
    work: Condvar,
    /// What it took has been written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    lost: u64,
    /// The thread waits for a first line.
    is_idle: bool,
    is_writing: bool,
    /// Somebody waits until everything is written.
    is_hurried: bool,
    /// The thread is no more: lines are written by those who log them.
    has_ended: bool,
}

impl Lines {
    /// Starts the thread that writes to `out`, and calls `tell` with the number of lines that were dropped. Where there can
    /// be no thread, lines are written by those who log them.
    pub fn to(mut out: impl Write + Send + 'static, tell: impl Fn(u64) + Send + 'static) -> Lines {
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), written: Condvar::new() });
        let theirs = shared.clone();
        let started = thread::Builder::new().name("log".into()).spawn(move || theirs.write_to(&mut out, &tell));
        if started.is_err() {
            shared.lock().has_ended = true;
        }
        Lines(shared)
    }

    /// Waits until everything that was logged before is written, but not for long.
    pub fn flush(&self) {
        let mut state = self.0.lock();
        state.is_hurried = true;
        self.0.work.notify_one();
        let has_more = |state: &mut State| !state.has_ended && (state.is_writing || !state.waiting.is_empty());
        let waited = self.0.written.wait_timeout_while(state, END_MAX, has_more);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_hurried = false;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], is_important: bool) {
        let mut state = self.lock();
        if state.has_ended {
            let _ = io::stderr().write_all(line);
            return;
        }
        let bytes_max = if is_important { WAITING_BYTES_MAX } else { WAITING_BYTES_MAX - RESERVED_BYTES };
        if state.waiting.len() + line.len() > bytes_max {
            state.lost += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        // Whoever writes, or gathers, comes back by himself.
        if std::mem::take(&mut state.is_idle) {
            self.work.notify_one();
        }
    }

    fn write_to(&self, out: &mut impl Write, tell: &impl Fn(u64)) {
        let _ending = Ending(self);
        let mut batch = Vec::new();
        let mut state = self.lock();
        loop {
            while state.waiting.is_empty() {
                state.is_idle = true;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            (state.is_idle, state.is_writing) = (false, true);
            std::mem::swap(&mut state.waiting, &mut batch);
            let lost = std::mem::take(&mut state.lost);
            drop(state);
            write_patiently(out, &batch);
            if lost > 0 {
                tell(lost);
            }
            batch.clear();
            batch.shrink_to(KEPT_BYTES_MAX);
            state = self.lock();
            state.is_writing = false;
            self.written.notify_all();
            let is_calm = |state: &mut State| !state.is_hurried;
            let gathered = self.work.wait_timeout_while(state, GATHER, is_calm);
            state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// However the thread ends, nobody waits for it afterwards.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.written.notify_all();
    }
}

/// A reader who is slow is waited for. One who has gone is not: errors of the log stay silent and end nothing.
fn write_patiently(out: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return,
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PIPE_REST),
            Err(_) => return,
        }
    }
}

/// Takes one line.
pub struct Line<'a> {
    lines: &'a Shared,
    is_important: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.push(line, self.is_important);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: &self.0, is_important: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { lines: &self.0, is_important: *metadata.level() <= Level::WARN }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes what is written, and only while it may.
    struct Reader {
        may_write: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A closed channel lets everything pass.
            let _ = self.may_write.recv();
            self.written.lock().expect("nobody panics here").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reader() -> (Reader, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (go_on, may_write) = mpsc::channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        (Reader { may_write, written: written.clone() }, go_on, written)
    }

    fn text(written: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(written.lock().expect("nobody panics here").clone()).expect("lines are text")
    }

    #[test]
    fn every_line_of_every_thread_is_written_whole_and_in_its_order() {
        const EACH: usize = 2_000;
        let (reader, go_on, written) = reader();
        drop(go_on);
        let lines = Lines::to(reader, |lost| panic!("{lost} lost"));
        thread::scope(|scope| {
            for thread in 0..4 {
                let lines = &lines;
                scope.spawn(move || {
                    for number in 0..EACH {
                        lines.make_writer().write_all(format!("{thread} {number}\n").as_bytes()).expect("taken");
                    }
                });
            }
        });
        lines.flush();
        let mut next = [0; 4];
        for line in text(&written).lines() {
            let (thread, number) = line.split_once(' ').expect("a whole line");
            let next = &mut next[thread.parse::<usize>().expect("a whole line")];
            assert_eq!(number, next.to_string());
            *next += 1;
        }
        assert_eq!(next, [EACH; 4]);
    }

    #[test]
    fn a_reader_who_does_not_read_holds_up_nobody_and_what_is_lost_is_told() {
        let (reader, go_on, written) = reader();
        let (tell, told) = mpsc::channel();
        let lines = Lines::to(reader, move |lost| tell.send(lost).expect("we listen"));
        let line = [&[b'x'; 999][..], b"\n"].concat();
        // More than fits, twice, for the writer may have taken all of one room in hand; and nobody reads: none of these waits.
        let count = 2 * WAITING_BYTES_MAX / line.len() + 1_000;
        for _ in 0..count {
            Line { lines: &lines.0, is_important: false }.write_all(&line).expect("taken");
        }
        // What matters more has room of its own.
        Line { lines: &lines.0, is_important: true }.write_all(b"error\n").expect("taken");
        drop(go_on);
        lines.flush();
        let written = text(&written);
        assert!(written.lines().any(|line| line == "error"));
        let told: u64 = told.try_iter().sum();
        let arrived = written.lines().filter(|line| line.starts_with('x')).count() as u64;
        assert_eq!(told + arrived, count as u64);
        assert!(told > 0, "{arrived} arrived");
    }

    #[test]
    fn a_writer_that_has_gone_ends_nothing() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::to(Gone, |_| {});
        for _ in 0..3 {
            lines.make_writer().write_all(b"line\n").expect("taken");
            lines.flush();
        }
    }
}
