//! Protocol transcripts (fact sheet section 8.1): what was said on connections of connectors with
//! `protocol_logging_level = "Verbose"`, or where somebody listens, without credentials and without message content.
//!
//! Takes lines that the engine has already cleaned, hands them to one writer thread that keeps files in the folders of the
//! settings, and to those who listen. Never blocks a session: when the writer falls behind, lines are dropped and counted.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use gatepost_policy::protocol_log::{ProtocolLog, ProtocolLogs};
use gatepost_policy::receive_connector::ProtocolLoggingLevel;
use jiff::Timestamp;

use crate::clock::now_ms;
use crate::live_transcript::{Direction, Hearer, Line, LiveTranscripts};

/// Lines that may wait for the writer.
const LINES_WAITING_MAX: usize = 8_192;
/// Longest line of the dialogue that is kept, in bytes.
const DATA_BYTES_MAX: usize = 2_048;
/// How long a line may lie in the writer's buffer.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// How often files are looked for that are too old.
const TEND_EVERY: Duration = Duration::from_secs(10 * 60);

fn file_prefix(direction: Direction) -> &'static str {
    match direction {
        Direction::Receive => "RECV",
        Direction::Send => "SEND",
    }
}

fn log_type(direction: Direction) -> &'static str {
    match direction {
        Direction::Receive => "SMTP Receive Protocol Log",
        Direction::Send => "SMTP Send Protocol Log",
    }
}

/// What the writer is told.
enum Told {
    /// A line for the file of that direction.
    Line(Direction, String),
    /// From now on files are kept so.
    Keep(Box<Kept>),
    /// Bring to the files what was told so far; dropping the sender says that it is done.
    Flush(SyncSender<()>),
}

/// Where files lie and for how long, of each direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    data_dir: PathBuf,
    logs: ProtocolLogs,
}

impl Kept {
    /// As the settings say.
    pub fn new(data_dir: &Path, logs: &ProtocolLogs) -> Kept {
        Kept { data_dir: data_dir.into(), logs: logs.clone() }
    }

    fn log(&self, direction: Direction) -> &ProtocolLog {
        match direction {
            Direction::Receive => &self.logs.receive,
            Direction::Send => &self.logs.send,
        }
    }

    fn folder(&self, direction: Direction) -> PathBuf {
        match &self.log(direction).path {
            Some(path) => self.data_dir.join(path),
            None => self.data_dir.join("logs").join("protocol"),
        }
    }
}

/// The writer's inbox.
#[derive(Clone)]
pub struct Transcripts {
    inbox: SyncSender<Told>,
    dropped: Arc<AtomicU64>,
    live: LiveTranscripts,
}

/// A connection that may have a transcript.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Which side we are.
    pub direction: Direction,
    /// Our name.
    pub server: &'a str,
    /// The connector.
    pub connector: &'a Arc<str>,
    /// Our end.
    pub local: SocketAddr,
    /// Theirs.
    pub remote: SocketAddr,
}

impl Transcripts {
    /// Starts the writer thread; it ends when the last handle is gone. Files are made when the first line comes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(kept: Kept) -> io::Result<Transcripts> {
        let (inbox, lines) = sync_channel(LINES_WAITING_MAX);
        std::thread::Builder::new().name("transcript".into()).spawn(move || write_all(kept, &lines))?;
        Ok(Transcripts { inbox, dropped: Arc::default(), live: LiveTranscripts::default() })
    }

    /// Those who listen.
    pub fn live(&self) -> &LiveTranscripts {
        &self.live
    }

    /// Begins the transcript of one connection; none where nobody wants one: no file is to have it, and nobody listens.
    pub fn begin(&self, level: ProtocolLoggingLevel, connection: &Connection<'_>) -> Option<Transcript> {
        let listeners_begun = self.live.begun();
        let hearers = self.live.hearers(connection.connector, connection.remote.ip());
        let is_kept = level == ProtocolLoggingLevel::Verbose;
        if !is_kept && hearers.is_empty() {
            return None;
        }
        let session = getrandom::u64().unwrap_or_else(|_| now_ms());
        let transcript = Transcript {
            transcripts: self.clone(),
            direction: connection.direction,
            kept_as: is_kept.then(|| format!("{}\\{}", connection.server, connection.connector)),
            connector: connection.connector.clone(),
            hearers,
            listeners_begun,
            session,
            sequence: 0,
            local: connection.local,
            remote: connection.remote,
            part: Vec::new(),
        };
        Some(transcript.with('+', "", ""))
    }

    /// From now on files are kept so. Blocks while the writer is behind.
    pub fn keep(&self, kept: Kept) {
        // Without a writer nothing is kept.
        let _ = self.inbox.send(Told::Keep(Box::new(kept)));
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
    /// The connector's name in the file, where a file has it.
    kept_as: Option<String>,
    connector: Arc<str>,
    /// Those who listen, and how many ever had begun to when we asked.
    hearers: Vec<Arc<Hearer>>,
    listeners_begun: u64,
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
        let time_ms = now_ms();
        let sequence = self.sequence;
        self.sequence += 1;
        if let Some(kept_as) = &self.kept_as {
            let time = Timestamp::from_millisecond(i64::try_from(time_ms).unwrap_or(i64::MAX)).unwrap_or_default();
            let mut text = String::with_capacity(128 + data.len());
            // Writing to a String cannot fail.
            let _ = write!(text, "{},", time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"));
            push_field(&mut text, kept_as);
            let _ = write!(text, ",{:016X},{sequence},{},{},{event},", self.session, self.local, self.remote);
            push_field(&mut text, data);
            text.push(',');
            push_field(&mut text, context);
            text.push_str("\r\n");
            self.transcripts.write(self.direction, text);
        }
        // Whoever listens comes again when their connection has ended, in the middle of what they hear.
        let live = &self.transcripts.live;
        if live.begun() != self.listeners_begun {
            self.listeners_begun = live.begun();
            self.hearers = live.hearers(&self.connector, self.remote.ip());
        }
        self.hearers.retain(|hearer| hearer.is_there());
        if !self.hearers.is_empty() {
            let line = Arc::new(Line {
                time_ms,
                direction: self.direction,
                connector: self.connector.clone(),
                session: self.session,
                sequence,
                local: self.local,
                remote: self.remote,
                event,
                data: data.into(),
                context: context.into(),
            });
            self.hearers.iter().for_each(|hearer| hearer.tell(&line));
        }
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

fn write_all(mut kept: Kept, told: &Receiver<Told>) {
    let mut receive = LogFile::new(Direction::Receive);
    let mut send = LogFile::new(Direction::Send);
    let (mut flushed, mut tended) = (Instant::now(), None::<Instant>);
    loop {
        let mut waiting = None;
        match told.recv_timeout(FLUSH_EVERY) {
            Ok(Told::Line(direction, text)) => {
                let file = match direction {
                    Direction::Receive => &mut receive,
                    Direction::Send => &mut send,
                };
                if let Err(error) = file.write(&kept, text.as_bytes()) {
                    file.complain(&kept, &error);
                }
            }
            Ok(Told::Keep(now)) if *now != kept => {
                for file in [&mut receive, &mut send] {
                    if let Err(error) = file.end() {
                        file.complain(&kept, &error);
                    }
                }
                (kept, tended) = (*now, None);
            }
            Ok(Told::Keep(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Told::Flush(done)) => waiting = Some(done),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Looked at after each line too: while one direction is busy the other's lines must not lie here.
        if waiting.is_some() || flushed.elapsed() >= FLUSH_EVERY {
            for file in [&mut receive, &mut send] {
                if let Err(error) = file.flush() {
                    file.complain(&kept, &error);
                }
            }
            flushed = Instant::now();
        }
        if tended.is_none_or(|tended| tended.elapsed() >= TEND_EVERY) {
            tended = Some(Instant::now());
            for file in [&mut receive, &mut send] {
                match remove_oldest(&kept, file.direction, 0) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => file.complain(&kept, &error),
                    _ => {}
                }
            }
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

    fn write(&mut self, kept: &Kept, line: &[u8]) -> io::Result<()> {
        let day = Timestamp::now().strftime("%Y%m%d").to_string();
        let bytes_max = kept.log(self.direction).max_file_size;
        if self.open.as_ref().is_none_or(|(open_day, bytes, _)| *open_day != day || *bytes >= bytes_max) {
            self.flush()?;
            self.open = Some(self.begin(kept, day)?);
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

    /// What comes goes into a file that is yet to be chosen.
    fn end(&mut self) -> io::Result<()> {
        let flushed = self.flush();
        self.open = None;
        flushed
    }

    fn complain(&mut self, kept: &Kept, error: &io::Error) {
        self.open = None;
        if !std::mem::replace(&mut self.complained, true) {
            let folder = kept.folder(self.direction);
            tracing::warn!(folder = %folder.display(), %error, "cannot write protocol transcripts");
        }
    }

    /// Opens the day's newest file that still has room, or the next.
    fn begin(&self, kept: &Kept, day: String) -> io::Result<(String, u64, BufWriter<File>)> {
        let folder = kept.folder(self.direction);
        let bytes_max = kept.log(self.direction).max_file_size;
        // Envelopes are nobody's business but ours and our group's.
        fs::DirBuilder::new().recursive(true).mode(0o750).create(&folder)?;
        remove_oldest(kept, self.direction, bytes_max)?;
        for number in 1..=u32::MAX {
            let path = folder.join(format!("{}{day}-{number}.log", file_prefix(self.direction)));
            let mut file = fs::OpenOptions::new().create(true).append(true).mode(0o640).open(&path)?;
            let bytes = file.metadata()?.len();
            if bytes >= bytes_max {
                continue;
            }
            if bytes == 0 {
                let date = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
                write!(
                    file,
                    "#Software: Gatepost\r\n#Version: {}\r\n#Log-Type: {}\r\n#Date: {date}\r\n#Fields: date-time,\
                     connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r\n",
                    env!("CARGO_PKG_VERSION"),
                    log_type(self.direction),
                )?;
            }
            return Ok((day, bytes, BufWriter::new(file)));
        }
        Err(io::Error::other("too many transcript files for one day"))
    }
}

/// Keeps the files of one direction within their room, less what is to come, and their age.
fn remove_oldest(kept: &Kept, direction: Direction, to_come_bytes: u64) -> io::Result<()> {
    let log = kept.log(direction);
    let mut files = Vec::new();
    for file in fs::read_dir(kept.folder(direction))? {
        let file = file?;
        // Nobody else's files are ours to remove, whatever folder was chosen.
        if is_transcript(&file.file_name().to_string_lossy(), direction) {
            let metadata = file.metadata()?;
            files.push((metadata.modified()?, metadata.len(), file.path()));
        }
    }
    files.sort();
    let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    let now = SystemTime::now();
    for (modified, bytes, path) in files {
        let age = now.duration_since(modified).unwrap_or_default();
        let is_old = !log.max_age.is_zero() && age > log.max_age;
        if !is_old && total.saturating_add(to_come_bytes) <= log.max_directory_size {
            break;
        }
        fs::remove_file(path)?;
        total -= bytes;
    }
    Ok(())
}

/// Whether a file of this name is one that we have written: `RECV20261122-1.log`.
fn is_transcript(name: &str, direction: Direction) -> bool {
    let inner = name.strip_prefix(file_prefix(direction)).and_then(|rest| rest.strip_suffix(".log"));
    let Some((day, number)) = inner.and_then(|inner| inner.split_once('-')) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    day.len() == 8 && is_number(day) && is_number(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live_transcript::{Heard, Listening, Wanted};

    fn kept(data_dir: &Path, log: ProtocolLog) -> Kept {
        Kept::new(data_dir, &ProtocolLogs { receive: log.clone(), send: log })
    }

    /// The transcript of a connection of `connector`, which files have.
    fn begin(transcripts: &Transcripts, direction: Direction, connector: &str, ends: [&str; 2]) -> Transcript {
        let [local, remote] = ends.map(|address| address.parse().expect("an address"));
        let connection = Connection { direction, server: "mail", connector: &connector.into(), local, remote };
        transcripts.begin(ProtocolLoggingLevel::Verbose, &connection).expect("it is kept")
    }

    /// The names in a folder, in order.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_and_what_others_wrote_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let chosen = folder.path().join("chosen");
        fs::create_dir(&chosen).expect("room");
        let days_ago = |days: u64| SystemTime::now() - Duration::from_secs(days * 24 * 3_600);
        for (name, days) in [
            ("RECV20200101-1.log", 40),
            ("RECV20200102-1.log", 3),
            ("RECV20200103-1.log", 2),
            ("RECV20200103-2.log", 1),
            ("RECVabout.txt", 50),
            ("SEND20200101-1.log", 2),
        ] {
            let file = File::create(chosen.join(name)).expect("room");
            file.set_len(400).expect("room");
            file.set_modified(days_ago(days)).expect("it is ours");
        }
        let log = ProtocolLog { path: Some("chosen".into()), ..ProtocolLog::default() };
        remove_oldest(&kept(folder.path(), log.clone()), Direction::Receive, 0).expect("it is readable");
        let left = ["RECV20200102-1.log", "RECV20200103-1.log", "RECV20200103-2.log", "RECVabout.txt"];
        assert_eq!(names(&chosen)[..4], left);
        let forever = ProtocolLog { max_age: Duration::ZERO, max_directory_size: 1_000, ..log };
        remove_oldest(&kept(folder.path(), forever), Direction::Receive, 400).expect("it is readable");
        assert_eq!(names(&chosen), ["RECV20200103-2.log", "RECVabout.txt", "SEND20200101-1.log"]);
    }

    #[test]
    fn files_are_kept_as_was_said_last() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let transcripts = Transcripts::start(kept(folder.path(), ProtocolLog::default())).expect("a thread");
        drop(begin(&transcripts, Direction::Receive, "Relay", ["192.0.2.2:25", "192.0.2.1:4711"]));
        let elsewhere = folder.path().join("elsewhere");
        let log = ProtocolLog { path: Some(elsewhere.clone()), max_file_size: 300, ..ProtocolLog::default() };
        transcripts.keep(kept(Path::new("/nowhere"), log));
        for _ in 0..4 {
            drop(begin(&transcripts, Direction::Receive, "Relay", ["192.0.2.2:25", "192.0.2.1:4711"]));
        }
        transcripts.flush();
        assert_eq!(names(&folder.path().join("logs/protocol")).len(), 1);
        assert!(names(&elsewhere).len() > 1, "{:?}", names(&elsewhere));
    }

    #[test]
    fn a_connection_has_a_transcript_where_a_file_wants_it_or_somebody_listens() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let transcripts = Transcripts::start(kept(folder.path(), ProtocolLog::default())).expect("a thread");
        let [local, remote] = ["192.0.2.2:25", "192.0.2.1:4711"].map(|address| address.parse().expect("an address"));
        let connector = Arc::from("Relay");
        let connection =
            Connection { direction: Direction::Receive, server: "mail", connector: &connector, local, remote };
        assert!(transcripts.begin(ProtocolLoggingLevel::None, &connection).is_none());
        let listen = |name: &str| {
            let wanted = Wanted { connector: Some(name.to_owned()), peer: None };
            transcripts.live().listen(wanted).expect("room")
        };
        let said = |listening: &mut Listening| {
            let heard = std::iter::from_fn(|| listening.hear_now());
            let told = heard.map(|heard| match heard {
                Heard::Line(line) => format!("{}{}", line.event, line.data),
                Heard::Missed(lines) => format!("{lines} missed"),
            });
            told.collect::<Vec<_>>()
        };
        let mut other = listen("Default");
        assert!(transcripts.begin(ProtocolLoggingLevel::None, &connection).is_none());
        let mut first = listen("Relay");
        let mut transcript = transcripts.begin(ProtocolLoggingLevel::None, &connection).expect("somebody listens");
        transcript.received(b"EHLO a");
        assert_eq!(said(&mut first), ["+", "<EHLO a"]);
        drop(first);
        transcript.received(b"NOOP");
        let mut again = listen("Relay");
        transcript.sent(b"250 2.0.0 OK\r\n");
        drop(transcript);
        assert_eq!(said(&mut again), [">250 2.0.0 OK", "-"]);
        assert!(said(&mut other).is_empty());
        transcripts.flush();
        assert!(!folder.path().join("logs").exists(), "no file wanted it");
    }

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
        let transcripts = Transcripts::start(kept(folder.path(), ProtocolLog::default())).expect("a thread");
        let mut transcript = begin(&transcripts, Direction::Send, "Internet", ["192.0.2.1:4711", "192.0.2.2:25"]);
        for piece in ["220 mx", ".example\r", "\n250-one\r\n250 ", "two, \"and\"\r\n", "421 no"] {
            transcript.received_bytes(piece.as_bytes());
        }
        transcript.sent(b"MAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\n");
        drop(transcript);
        transcripts.flush();
        let file = fs::read_dir(folder.path().join("logs/protocol"))
            .expect("it was made")
            .next()
            .expect("one file")
            .expect("readable");
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
