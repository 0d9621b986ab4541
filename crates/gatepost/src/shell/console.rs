//! The machine as the pipeline language sees it: the terminal, the caller's files, the clock.

use std::io::{self, BufRead, BufWriter, IsTerminal, Stdout, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost_shell::world::{Colour, Entry, Letter, Peer, Progress, Stream, World};
use gatepost_smtp::NONCE_BYTES;
use jiff::{Timestamp, Zoned};

use super::cancel::Cancel;
use super::editor::{self, Typed};
use super::environment::Windows;
use super::files::Files;
use super::host_names;
use super::letter;
use super::paint::{harmless, painted};
use super::peer;
use super::submission;
use crate::clock::now_ms;

/// Columns where there is no terminal, as the original has them.
const WIDTH_DEFAULT: usize = 120;

/// The longest answer that is read from a pipe.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// How a console behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Whether standard output holds values for a program: nothing else is written there.
    pub is_json: bool,
    /// Whether colours may be used.
    pub may_colour: bool,
    /// Whether questions are asked: at a terminal, or of what stands on standard input.
    pub may_ask: bool,
}

/// The console of this process.
pub struct Console {
    manners: Manners,
    out: Out,
    has_error_colour: bool,
    is_error_terminal: bool,
    is_input_terminal: bool,
    /// Whether a line that tells of progress stands on the terminal.
    has_progress: bool,
    files: Files,
    windows: Windows,
    cancel: Arc<Cancel>,
    began: Instant,
    random: u64,
}

/// Standard output: line by line at a terminal, in large pieces into a pipe.
enum Out {
    Terminal(Stdout),
    Pipe(BufWriter<Stdout>),
}

impl Console {
    /// The console of this process.
    ///
    /// # Errors
    /// When the current folder is gone.
    pub fn new(manners: Manners, windows: Windows, cancel: Arc<Cancel>) -> io::Result<Console> {
        let out = match io::stdout().is_terminal() {
            true => Out::Terminal(io::stdout()),
            false => Out::Pipe(BufWriter::new(io::stdout())),
        };
        let is_error_terminal = io::stderr().is_terminal();
        Ok(Console {
            manners,
            has_error_colour: is_error_terminal && manners.may_colour,
            out,
            is_error_terminal,
            is_input_terminal: io::stdin().is_terminal(),
            has_progress: false,
            files: Files::from_here()?,
            windows,
            cancel,
            began: Instant::now(),
            random: 0,
        })
    }

    fn write_out(&mut self, text: &str, colours: (Option<Colour>, Option<Colour>)) -> io::Result<()> {
        match &mut self.out {
            Out::Terminal(out) => {
                let shown = harmless(text);
                let shown =
                    if self.manners.may_colour { painted(&shown, colours.0, colours.1) } else { shown.into_owned() };
                out.write_all(shown.as_bytes())?;
                out.flush()
            }
            Out::Pipe(out) => out.write_all(text.as_bytes()),
        }
    }

    fn write_error(&mut self, text: &str, colours: (Option<Colour>, Option<Colour>)) -> io::Result<()> {
        // Whoever reads both streams reads them in the order in which they were written.
        self.flush()?;
        let mut error = io::stderr().lock();
        match self.is_error_terminal {
            true if self.has_error_colour => error.write_all(painted(&harmless(text), colours.0, colours.1).as_bytes()),
            true => error.write_all(harmless(text).as_bytes()),
            false => error.write_all(text.as_bytes()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Terminal(out) => out.flush(),
            Out::Pipe(out) => out.flush(),
        }
    }

    fn end_progress(&mut self) {
        if std::mem::take(&mut self.has_progress) {
            // Where the terminal is gone, so is the line.
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.end_progress();
        // Whoever closed standard output has been told of by the write that failed.
        let _ = self.flush();
    }
}

impl World for Console {
    fn write(&mut self, stream: Stream, text: &str, colours: (Option<Colour>, Option<Colour>)) -> io::Result<()> {
        self.end_progress();
        match stream {
            Stream::Output => self.write_out(text, colours),
            Stream::Host if !self.manners.is_json => self.write_out(text, colours),
            Stream::Host | Stream::Error | Stream::Warning | Stream::Verbose | Stream::Debug | Stream::Information => {
                self.write_error(text, colours)
            }
        }
    }

    fn progress(&mut self, progress: Progress<'_>) {
        if !self.is_error_terminal {
            return;
        }
        self.end_progress();
        if progress.is_done {
            return;
        }
        let percent = progress.percent.map(|percent| format!(" {percent}%")).unwrap_or_default();
        let line = format!("{}: {}{percent}", progress.activity, progress.status).replace(['\n', '\r', '\t'], " ");
        let line: String = harmless(&line).chars().take(self.width().saturating_sub(1)).collect();
        self.has_progress = io::stderr().lock().write_all(line.as_bytes()).is_ok();
    }

    fn read_line(&mut self, prompt: &str, is_secret: bool) -> io::Result<Option<String>> {
        self.end_progress();
        if !self.manners.may_ask {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "there is no terminal, or standard input holds the script; give the value as a parameter",
            ));
        }
        self.flush()?;
        if self.is_input_terminal {
            return match editor::ask(&harmless(prompt), is_secret, self.manners.may_colour)? {
                Typed::Line(line) => Ok(Some(line)),
                Typed::End => Ok(None),
                Typed::Interrupted => {
                    self.cancel.set();
                    Err(io::Error::new(io::ErrorKind::Interrupted, "Ctrl-C"))
                }
            };
        }
        self.write(Stream::Host, prompt, (None, None))?;
        let mut line = Vec::new();
        // Not more than the line: what follows it may be the next answer.
        io::Read::take(io::stdin().lock(), ANSWER_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
    }

    fn is_interactive(&self) -> bool {
        self.manners.may_ask
            && self.is_input_terminal
            && (self.is_error_terminal || matches!(self.out, Out::Terminal(_)))
    }

    fn width(&self) -> usize {
        let Out::Terminal(out) = &self.out else { return WIDTH_DEFAULT };
        match rustix::termios::tcgetwinsize(out) {
            Ok(size) if size.ws_col > 0 => size.ws_col.into(),
            _ => 80,
        }
    }

    fn read_file(&mut self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.files.read(path, bytes_max)
    }

    fn write_file(&mut self, path: &str, bytes: &[u8], is_append: bool) -> io::Result<()> {
        self.files.write(path, bytes, is_append)
    }

    fn entry(&mut self, path: &str) -> io::Result<Option<Entry>> {
        self.files.entry(path)
    }

    fn folder(&mut self, path: &str) -> io::Result<Vec<Entry>> {
        self.files.folder(path)
    }

    fn make_folder(&mut self, path: &str) -> io::Result<()> {
        self.files.make_folder(path)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.files.remove(path)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn set_modified(&mut self, path: &str, time: Timestamp) -> io::Result<()> {
        self.files.set_modified(path, time)
    }

    fn current_folder(&self) -> String {
        self.files.current().display().to_string()
    }

    fn set_current_folder(&mut self, path: &str) -> io::Result<()> {
        self.files.go_to(path)
    }

    fn now(&self) -> Zoned {
        Zoned::now()
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&mut self, time: Duration) {
        // What was written before is to be seen meanwhile; a reader who has gone is noticed at the next write.
        let _ = self.flush();
        self.cancel.sleep(time);
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_set()
    }

    fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let is_filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) == Ok(bytes.len());
        // The kernel refuses nobody who asks for eight bytes; identifiers must differ even where it did.
        self.random = if is_filled {
            u64::from_ne_bytes(bytes)
        } else {
            self.random.wrapping_mul(6364136223846793005).wrapping_add(1)
        };
        self.random
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.windows.variable(name)
    }

    fn resolve(&mut self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut addresses: Vec<IpAddr> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
        addresses.dedup();
        Ok(addresses)
    }

    fn name_of(&mut self, address: IpAddr) -> io::Result<String> {
        // As above.
        let _ = self.flush();
        host_names::name_of(address)
    }

    fn submit(&mut self, letter: &Letter) -> Result<(), String> {
        // Whoever waits for the other server sees what was written before.
        let _ = self.flush();
        let written = letter::write(letter, now_ms(), [self.random(), self.random()])?;
        let mut nonce = [0; NONCE_BYTES];
        for piece in nonce.chunks_mut(8) {
            let bits = self.random().to_ne_bytes();
            piece.copy_from_slice(&bits[..piece.len()]);
        }
        submission::submit(letter, &written, nonce, &self.cancel)
    }

    fn connect(&mut self, host: &str, port: u16, timeout: Duration) -> io::Result<Box<dyn Peer>> {
        // As above.
        let _ = self.flush();
        Ok(Box::new(peer::connect(host, port, timeout, &self.cancel)?))
    }

    fn echo(&mut self, address: IpAddr, timeout: Duration) -> io::Result<Duration> {
        // As above.
        let _ = self.flush();
        peer::echo(address, timeout, &self.cancel)
    }
}
