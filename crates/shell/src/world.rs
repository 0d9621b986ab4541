//! What lies outside of the language: console, files, clock, environment. The binary has the real one, tests a made one.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What pipelines yield at their end, as text.
    Output,
    /// Write-Host, prompts, what `-WhatIf` says.
    Host,
    /// Error records.
    Error,
    /// Write-Warning.
    Warning,
    /// Write-Verbose.
    Verbose,
    /// Write-Debug.
    Debug,
    /// Write-Information.
    Information,
}

/// The sixteen colours of Write-Host, by the names of .NET (`DarkRed`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "colours are named after themselves")]
pub enum Colour {
    Black,
    DarkBlue,
    DarkGreen,
    DarkCyan,
    DarkRed,
    DarkMagenta,
    DarkYellow,
    Gray,
    DarkGray,
    Blue,
    Green,
    Cyan,
    Red,
    Magenta,
    Yellow,
    White,
}

/// How far long work is; shown at a terminal only.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What is done.
    pub activity: &'a str,
    /// How far.
    pub status: &'a str,
    /// 0 to 100, where known.
    pub percent: Option<u8>,
    /// Whether it is over.
    pub is_done: bool,
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder, or the path that was asked for.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Option<Timestamp>,
}

/// A message that a script sends itself. Addresses are as written: `a@contoso.com`, `Name <a@contoso.com>`.
#[derive(Clone, Default)]
pub struct Letter {
    /// The server to hand it to, by name or address.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// Whether it may go through TLS only, to a server that proves who it is.
    pub uses_tls: bool,
    /// Who logs on, and the password.
    pub account: Option<(String, Rc<str>)>,
    /// How long all of it may take; zero: as long as the world thinks right.
    pub timeout: Duration,
    /// Who sends it.
    pub sender: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Who gets a copy.
    pub copies: Vec<String>,
    /// Who gets it without being named in it.
    pub hidden: Vec<String>,
    /// Where answers go; none: to the sender.
    pub reply_to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: String,
    /// Whether that is HTML.
    pub is_html: bool,
    /// `High` or `Low`.
    pub priority: Option<&'static str>,
    /// Files.
    pub enclosures: Vec<Enclosure>,
}

/// A file within a letter.
#[derive(Clone)]
pub struct Enclosure {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// A connection that a script opened itself. Who waits is woken by Ctrl-C.
pub trait Peer {
    /// What came, at most as much as the buffer holds; 0: the other side has closed. Waits at most so long.
    ///
    /// # Errors
    /// What the system says; `TimedOut` when nothing came in time.
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize>;
    /// Sends all of it.
    ///
    /// # Errors
    /// What the system says; `TimedOut` when it was not taken in time.
    fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<()>;
    /// Whether something has come that was not received yet. Does not wait.
    ///
    /// # Errors
    /// What the system says.
    fn has_come(&mut self) -> io::Result<bool>;
}

/// What lies outside. Paths come as scripts write them, backslashes included: the world knows what they mean.
pub trait World {
    /// Writes text, line ends included; colours where the terminal has them.
    ///
    /// # Errors
    /// When nobody reads any more.
    fn write(&mut self, stream: Stream, text: &str, colours: (Option<Colour>, Option<Colour>)) -> io::Result<()>;
    /// Shows how far long work is.
    fn progress(&mut self, progress: Progress<'_>);
    /// Asks a person; `None` at the end of input.
    ///
    /// # Errors
    /// When nobody can be asked (`-NonInteractive`, no terminal and no piped input).
    fn read_line(&mut self, prompt: &str, is_secret: bool) -> io::Result<Option<String>>;
    /// Whether a person sits at a terminal: who is not there is not asked to confirm.
    fn is_interactive(&self) -> bool;
    /// Columns of the terminal.
    fn width(&self) -> usize;

    /// A file's bytes, at most `bytes_max`.
    ///
    /// # Errors
    /// What the system says; larger files are an error, too.
    fn read_file(&mut self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>>;
    /// Writes a file whole, or adds to its end.
    ///
    /// # Errors
    /// What the system says.
    fn write_file(&mut self, path: &str, bytes: &[u8], is_append: bool) -> io::Result<()>;
    /// What lies at a path; `None`: nothing.
    ///
    /// # Errors
    /// What the system says.
    fn entry(&mut self, path: &str) -> io::Result<Option<Entry>>;
    /// What lies in a folder, by name.
    ///
    /// # Errors
    /// What the system says.
    fn folder(&mut self, path: &str) -> io::Result<Vec<Entry>>;
    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// What the system says.
    fn make_folder(&mut self, path: &str) -> io::Result<()>;
    /// Removes a file, or an empty folder.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&mut self, path: &str) -> io::Result<()>;
    /// Moves or renames.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Says when a file was last written.
    ///
    /// # Errors
    /// What the system says.
    fn set_modified(&mut self, path: &str, time: Timestamp) -> io::Result<()>;
    /// The folder that relative paths count from.
    fn current_folder(&self) -> String;
    /// Changes it.
    ///
    /// # Errors
    /// What the system says.
    fn set_current_folder(&mut self, path: &str) -> io::Result<()>;

    /// The time.
    fn now(&self) -> Zoned;
    /// Time since some fixed instant that never goes back: for stopwatches.
    fn elapsed(&self) -> Duration;
    /// Waits; ends early when cancelled.
    fn sleep(&mut self, time: Duration);
    /// Whether Ctrl-C was pressed since the script began. Asked often.
    fn is_cancelled(&self) -> bool;
    /// Random bits, for Get-Random and new GUIDs.
    fn random(&mut self) -> u64;

    /// An environment variable; Windows' usual ones (`COMPUTERNAME`, `USERNAME`, `TEMP`) are answered everywhere.
    fn environment(&self, name: &str) -> Option<String>;
    /// The addresses of a host's name.
    ///
    /// # Errors
    /// What the system says.
    fn resolve(&mut self, host: &str) -> io::Result<Vec<IpAddr>>;
    /// The name of the host that has an address.
    ///
    /// # Errors
    /// When there is none, or nobody can be asked.
    fn name_of(&mut self, address: IpAddr) -> io::Result<String>;
    /// Hands a message to a mail server, from this machine and by itself.
    ///
    /// # Errors
    /// Why it was not taken, in a sentence for whoever wrote the script.
    fn submit(&mut self, letter: &Letter) -> Result<(), String>;
    /// Connects to a port of a host, by name or address.
    ///
    /// # Errors
    /// What the system says; `TimedOut` when nobody answered in time.
    fn connect(&mut self, host: &str, port: u16, timeout: Duration) -> io::Result<Box<dyn Peer>>;
    /// Asks a host for an echo (ICMP), and hands on how long it took to come.
    ///
    /// # Errors
    /// `TimedOut` when none came, `PermissionDenied` where the system lets this user send none.
    fn echo(&mut self, address: IpAddr, timeout: Duration) -> io::Result<Duration>;
}
