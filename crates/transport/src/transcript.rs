//! Protocol transcripts (fact sheet section 8.1): what was said on connections of connectors with
//! `protocol_logging_level = "Verbose"`, without credentials and without message content.
//!
//! Takes lines that the engine has already cleaned, hands them to one writer thread that keeps files under
//! `data_dir/logs/protocol`. Never blocks a session: when the writer falls behind, lines are dropped and counted.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock::now_ms;

/// Lines that may wait for the writer.
const LINES_WAITING_MAX: usize = 8_192;
/// A file that has grown to this many bytes is followed by the next (Exchange: 10 MB).
const FILE_BYTES_MAX: u64 = 10 << 20;
/// The oldest files go when all of one direction together exceed this many bytes (Exchange: 250 MB).
const FOLDER_BYTES_MAX: u64 = 250 << 20;
/// Longest line of the dialogue that is kept, in bytes.
const DATA_BYTES_MAX: usize = 2_048;
/// How long a line may lie in the writer's buffer.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Which side we were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We were the server: files `RECV…`.
    Receive,
    /// We were the client: files `SEND…`.
    Send,
}

impl Direction {
    fn file_prefix(self) -> &'static str {
        match self {
            Direction::Receive => "RECV",
            Direction::Send => "SEND",
        }
    }

    fn log_type(self) -> &'static str {
        match self {
            Direction::Receive => "SMTP Receive Protocol Log",
            Direction::Send => "SMTP Send Protocol Log",
        }
    }
}

/// What the writer is told.
enum Told {
    /// A line for the file of that direction.
    Line(Direction, String),
    /// Bring to the files what was told so far; dropping the sender says that it is done.
    Flush(SyncSender<()>),
}

/// The writer's inbox.
#[derive(Clone)]
pub struct Transcripts {
    inbox: SyncSender<Told>,
    dropped: Arc<AtomicU64>,
}

impl Transcripts {
    /// Starts the writer thread; it ends when the last handle is gone. Files are made when the first line comes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(folder: PathBuf) -> io::Result<Transcripts> {
        let (inbox, lines) = sync_channel(LINES_WAITING_MAX);
        std::thread::Builder::new().name("transcript".into()).spawn(move || write_all(&folder, &lines))?;
        Ok(Transcripts { inbox, dropped: Arc::default() })
    }

    /// Begins the transcript of one connection.
    pub fn begin(&self, direction: Direction, connector: String, local: SocketAddr, remote: SocketAddr) -> Transcript {
        let session = getrandom::u64().unwrap_or_else(|_| now_ms());
        let transcript = Transcript {
            transcripts: self.clone(),
            direction,
            connector,
            session,
            sequence: 0,
            local,
            remote,
            part: Vec::new(),
        };
        transcript.with('+', "", "")
    }

    /// Waits until every line told so far is in its file. Blocks; for the end of the server.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(0);
        if self.inbox.send(Told::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    fn write(&self, direction: Direction, text: String) {
        if let Err(TrySendError::Full(_)) = self.inbox.try_send(Told::Line(direction, text))
            && self.dropped.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!("the disk cannot keep up with protocol transcripts: lines are left out");
        }
    }
}

/// The transcript of one connection. Dropping it writes the line that says the connection ended.
pub struct Transcript {
    transcripts: Transcripts,
    direction: Direction,
    connector: String,
    session: u64,
    sequence: u64,
    local: SocketAddr,
    remote: SocketAddr,
    /// The start of a line that the peer has not ended yet.
    part: Vec<u8>,
}

impl Transcript {
    fn with(mut self, event: char, data: &str, context: &str) -> Transcript {
        self.line(event, data, context);
        self
    }

    /// Lines that we sent, as they went out.
    pub fn sent(&mut self, bytes: &[u8]) {
        for line in bytes.split(|b| *b == b'\n') {
            self.whole_line('>', line);
        }
    }

    /// What the peer sent, however its lines are cut.
    pub fn received_bytes(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let room = DATA_BYTES_MAX.saturating_sub(self.part.len());
            match piece.strip_suffix(b"\n") {
                Some(line) if self.part.is_empty() => self.whole_line('<', line),
                Some(end) => {
                    let mut line = std::mem::take(&mut self.part);
                    line.extend_from_slice(&end[..end.len().min(room)]);
                    self.whole_line('<', &line);
                }
                None => self.part.extend_from_slice(&piece[..piece.len().min(room)]),
            }
        }
    }

    fn whole_line(&mut self, event: char, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // With a challenge and our proof one could try passwords.
        if event == '<' && self.direction == Direction::Send && line.starts_with(b"334") {
            self.line(event, "334 <authentication challenge>", "");
        } else if !line.is_empty() {
            self.line(event, &printable(line), "");
        }
    }

    /// One line that the peer sent.
    pub fn received(&mut self, line: &[u8]) {
        self.line('<', &printable(line), "");
    }

    /// Something worth knowing that nobody said.
    pub fn information(&mut self, data: &str, context: &str) {
        self.line('*', data, context);
    }

    fn line(&mut self, event: char, data: &str, context: &str) {
        let time = Timestamp::from_millisecond(i64::try_from(now_ms()).unwrap_or(i64::MAX)).unwrap_or_default();
        let mut text = String::with_capacity(128 + data.len());
        let sequence = self.sequence;
        self.sequence += 1;
        // Writing to a String cannot fail.
        let _ = write!(text, "{},", time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"));
        push_field(&mut text, &self.connector);
        let _ = write!(text, ",{:016X},{sequence},{},{},{event},", self.session, self.local, self.remote);
        push_field(&mut text, data);
        text.push(',');
        push_field(&mut text, context);
        text.push_str("\r\n");
        self.transcripts.write(self.direction, text);
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        let part = std::mem::take(&mut self.part);
        self.whole_line('<', &part);
        self.line('-', "", "");
    }
}

/// Text without control characters, bounded.
fn printable(line: &[u8]) -> String {
    let line = &line[..line.len().min(DATA_BYTES_MAX)];
    String::from_utf8_lossy(line).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// One field, quoted where commas or quotes ask for it (RFC 4180).
fn push_field(text: &mut String, field: &str) {
    if field.contains([',', '"', '\r', '\n']) {
        text.push('"');
        text.push_str(&field.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(field);
    }
}

fn write_all(folder: &Path, told: &Receiver<Told>) {
    let mut receive = LogFile::new(Direction::Receive);
    let mut send = LogFile::new(Direction::Send);
    let mut flushed = Instant::now();
    loop {
        let mut waiting = None;
        match told.recv_timeout(FLUSH_EVERY) {
            Ok(Told::Line(direction, text)) => {
                let file = match direction {
                    Direction::Receive => &mut receive,
                    Direction::Send => &mut send,
                };
                if let Err(error) = file.write(folder, text.as_bytes()) {
                    file.complain(folder, &error);
                }
            }
            Ok(Told::Flush(done)) => waiting = Some(done),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Looked at after each line too: while one direction is busy the other's lines must not lie here.
        if waiting.is_some() || flushed.elapsed() >= FLUSH_EVERY {
            for file in [&mut receive, &mut send] {
                if let Err(error) = file.flush() {
                    file.complain(folder, &error);
                }
            }
            flushed = Instant::now();
        }
    }
}

struct LogFile {
    direction: Direction,
    open: Option<(String, u64, BufWriter<File>)>,
    complained: bool,
}

impl LogFile {
    fn new(direction: Direction) -> LogFile {
        LogFile { direction, open: None, complained: false }
    }

    fn write(&mut self, folder: &Path, line: &[u8]) -> io::Result<()> {
        let day = Timestamp::now().strftime("%Y%m%d").to_string();
        if self.open.as_ref().is_none_or(|(open_day, bytes, _)| *open_day != day || *bytes >= FILE_BYTES_MAX) {
            self.flush()?;
            self.open = Some(self.begin(folder, day)?);
        }
        if let Some((_, bytes, file)) = &mut self.open {
            *bytes += line.len() as u64;
            file.write_all(line)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |(_, _, file)| file.flush())
    }

    fn complain(&mut self, folder: &Path, error: &io::Error) {
        self.open = None;
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(folder = %folder.display(), %error, "cannot write protocol transcripts");
        }
    }

    /// Opens the day's newest file that still has room, or the next.
    fn begin(&self, folder: &Path, day: String) -> io::Result<(String, u64, BufWriter<File>)> {
        // Envelopes are nobody's business but ours and our group's.
        fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        remove_oldest(folder, self.direction)?;
        for number in 1..=u32::MAX {
            let path = folder.join(format!("{}{day}-{number}.log", self.direction.file_prefix()));
            let mut file = fs::OpenOptions::new().create(true).append(true).mode(0o640).open(&path)?;
            let bytes = file.metadata()?.len();
            if bytes >= FILE_BYTES_MAX {
                continue;
            }
            if bytes == 0 {
                let date = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
                write!(
                    file,
                    "#Software: Gatepost\r\n#Version: {}\r\n#Log-Type: {}\r\n#Date: {date}\r\n#Fields: date-time,\
                     connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r\n",
                    env!("CARGO_PKG_VERSION"),
                    self.direction.log_type(),
                )?;
            }
            return Ok((day, bytes, BufWriter::new(file)));
        }
        Err(io::Error::other("too many transcript files for one day"))
    }
}

/// Keeps the files of one direction within [`FOLDER_BYTES_MAX`].
fn remove_oldest(folder: &Path, direction: Direction) -> io::Result<()> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(direction.file_prefix()) {
            let metadata = file.metadata()?;
            files.push((metadata.modified()?, metadata.len(), file.path()));
        }
    }
    files.sort();
    let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in files {
        if total + FILE_BYTES_MAX <= FOLDER_BYTES_MAX {
            break;
        }
        fs::remove_file(path)?;
        total -= bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        for (field, expected) in [("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\"")] {
            let mut text = String::new();
            push_field(&mut text, field);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_file() {
        assert_eq!(printable(b"EHLO \x1b[31m\x07"), "EHLO ?[31m?");
    }

    #[test]
    fn the_dialogue_stands_in_the_file_line_by_line_however_it_was_cut() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let transcripts = Transcripts::start(folder.path().into()).expect("a thread");
        let [local, remote] = ["192.0.2.1:4711", "192.0.2.2:25"].map(|address| address.parse().expect("an address"));
        let mut transcript = transcripts.begin(Direction::Send, "mail\\Internet".into(), local, remote);
        for piece in ["220 mx", ".example\r", "\n250-one\r\n250 ", "two, \"and\"\r\n", "421 no"] {
            transcript.received_bytes(piece.as_bytes());
        }
        transcript.sent(b"MAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\n");
        drop(transcript);
        transcripts.flush();
        let file = fs::read_dir(folder.path()).expect("it was made").next().expect("one file").expect("readable");
        let text = fs::read_to_string(file.path()).expect("ASCII");
        let said: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once("192.0.2.2:25,").expect("the peer").1)
            .collect();
        assert_eq!(
            said,
            [
                "+,,",
                "<,220 mx.example,",
                "<,250-one,",
                "<,\"250 two, \"\"and\"\"\",",
                ">,MAIL FROM:<>,",
                ">,RCPT TO:<a@x.example>,",
                "<,421 no,",
                "-,,",
            ]
        );
    }
}
