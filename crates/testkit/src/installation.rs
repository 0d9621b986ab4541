//! A folder with a settings file, the server that runs on it, and the commands an administrator gives there.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::shim::Shim;
use crate::wait;
use crate::wall_clock::{self, WallClock};

/// One installation in a folder of its own, which is removed in the end.
pub struct Installation {
    program: PathBuf,
    folder: TempDir,
    data_dir: &'static str,
    /// Set for the server only.
    environment: Vec<(&'static str, OsString)>,
}

impl Installation {
    /// A folder with `gatepost.toml` in it. Settings should say `data_dir = "data"`, which stands for a folder beside it.
    pub fn new(program: impl Into<PathBuf>, settings: &str) -> Installation {
        let installation = Installation { data_dir: "data", ..Installation::empty(program) };
        installation.write_settings(settings);
        installation
    }

    /// A folder with nothing in it; the first run will call its data folder `gatepost-data`.
    pub fn empty(program: impl Into<PathBuf>) -> Installation {
        let folder = tempfile::Builder::new().prefix("gatepost-it-").tempdir().expect("a temporary folder");
        Installation { program: program.into(), folder, data_dir: "gatepost-data", environment: Vec::new() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `gatepost.toml`.
    pub fn settings_file(&self) -> PathBuf {
        self.folder().join("gatepost.toml")
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder().join(self.data_dir)
    }

    /// Replaces the settings file.
    pub fn write_settings(&self, settings: &str) {
        std::fs::write(self.settings_file(), settings).expect("write the settings file");
    }

    /// The settings file's text.
    pub fn settings(&self) -> String {
        std::fs::read_to_string(self.settings_file()).expect("read the settings file")
    }

    /// Servers that start from now on are watched by this library.
    pub fn preload(&mut self, shim: &Shim) {
        self.environment = shim.environment();
    }

    /// Servers that start from now on tell a service manager at this socket how it goes, with signs of life as often as it says.
    pub fn notify(&mut self, socket: &Path, watchdog_micros: u64) {
        self.environment.push(("NOTIFY_SOCKET", socket.into()));
        self.environment.push(("WATCHDOG_USEC", watchdog_micros.to_string().into()));
    }

    /// Servers that start from now on have this environment variable.
    pub fn set_variable(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.into()));
    }

    /// Servers that start from now on see this clock on the wall.
    pub fn hang_up_clock(&mut self, clock: &WallClock) {
        self.environment = clock.environment();
    }

    /// Starts the server and waits until it is ready. Panics with its output when it exits instead.
    #[track_caller]
    pub fn start(&self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(refused) => panic!("the server did not start ({}):\n{}", refused.status, refused.output),
        }
    }

    /// Starts the server and waits until it is ready or has exited.
    pub fn try_start(&self) -> Result<Server, Refused> {
        self.try_start_with(&[])
    }

    /// Like [`Installation::try_start`], with more arguments behind `serve`.
    pub fn try_start_with(&self, arguments: &[&str]) -> Result<Server, Refused> {
        let log_file = self.folder().join(format!("server-{}.log", self.log_count()));
        let log = File::create(&log_file).expect("create the log file");
        let child = self
            .command()
            .arg("serve")
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_os_str())))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log file"))
            .stderr(log)
            .spawn()
            .expect("run the server");
        let mut server = Server { child, log_file, ended: None };
        // The control socket appears last, when everything listens; one left by a killed server refuses connections.
        let socket = self.data_dir().join("gatepost.sock");
        wait::until("the server is ready", || {
            let has_ended = server.has_ended();
            (has_ended || std::os::unix::net::UnixStream::connect(&socket).is_ok()).then_some(())
        });
        match server.ended {
            Some(status) => Err(Refused { status, output: server.log() }),
            None => Ok(server),
        }
    }

    /// Runs a subcommand to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "")
    }

    /// Runs a subcommand to its end with this text as its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        // A command that hangs must not hang the tests.
        let mut child = self
            .command_under(&["timeout", "--signal=KILL", "120"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run the program");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        // A command that does not read its input is free to exit before.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("wait for the program")
    }

    /// Runs a subcommand that must succeed; its standard output.
    #[track_caller]
    pub fn output(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "gatepost {}: {}", arguments.join(" "), text_of(&output));
        String::from_utf8(output.stdout).expect("output is UTF-8")
    }

    /// Runs a subcommand with `--json` that must succeed; what it printed.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.output(&[arguments, &["--json"]].concat());
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    fn command(&self) -> Command {
        self.command_under(&[])
    }

    fn command_under(&self, wrapper: &[&str]) -> Command {
        let mut command = match wrapper {
            [] => Command::new(&self.program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        };
        command.current_dir(self.folder()).env("NO_COLOR", "1");
        command.env_remove("GATEPOST_CONFIG").env_remove("GATEPOST_LOG").env_remove("NOTIFY_SOCKET");
        command
    }

    fn log_count(&self) -> usize {
        let entries = std::fs::read_dir(self.folder()).expect("read the folder");
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(".log")).count()
    }
}

/// Standard output and standard error of a command that ended.
pub fn text_of(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{stdout}{stderr}({})", output.status)
}

/// A server that exited instead of running.
#[derive(Debug)]
pub struct Refused {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
}

/// What the log says of a panic: the server's own words, and those of Rust until the log is set up.
const PANICS: [&str; 2] = ["panic, which is a bug of ours", "panicked"];

/// A running server; it is killed when dropped, and the test fails if it ever panicked.
pub struct Server {
    child: Child,
    log_file: PathBuf,
    ended: Option<ExitStatus>,
}

impl Server {
    /// Everything that it printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log_file).expect("read the log file")).into_owned()
    }

    /// The log lines so far that are JSON.
    pub fn log_lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a log line that fits.
    #[track_caller]
    pub fn wait_for_log(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = wait::within(wait::PATIENCE, || self.log_lines().into_iter().find(|line| fits(line)));
        found.unwrap_or_else(|| panic!("no log line: {what}; the log:\n{}", self.log()))
    }

    /// Waits until the log contains this text.
    #[track_caller]
    pub fn wait_for_log_text(&self, text: &str) {
        let found = wait::within(wait::PATIENCE, || self.log().contains(text).then_some(()));
        assert!(found.is_some(), "the log never says {text:?}:\n{}", self.log());
    }

    /// SIGTERM, and waits until it has ended.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    /// SIGTERM alone.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGHUP: read the settings again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let ended = wait::within(wait::PATIENCE, || {
            self.has_ended();
            self.ended
        });
        ended.unwrap_or_else(|| panic!("the server does not end; the log:\n{}", self.log()))
    }

    /// SIGKILL: the machine's power for this process goes out.
    pub fn kill(mut self) {
        self.end_now();
    }

    /// The memory that it alone uses and its share of what others use too (PSS), in bytes.
    #[track_caller]
    pub fn memory_bytes(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).expect("it runs");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel tells");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib << 10
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        !self.has_ended()
    }

    fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the child is ours");
        }
        self.ended.is_some()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("process ids are positive");
        kill_process(pid, signal).expect("signal the server");
    }

    fn end_now(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            wall_clock::clean_up_after(self.child.id());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end_now();
        // Not `log()`: a second panic here would abort all tests.
        let log = std::fs::read(&self.log_file).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{log}");
        } else {
            // Whatever else a test looks at: a panic is our bug, even one that ended its session only.
            let has_panicked = PANICS.iter().any(|words| log.contains(words));
            assert!(!has_panicked, "the server panicked:\n{log}");
        }
    }
}

/// Appends to a file, as an administrator's editor or a disk fault would change it.
pub fn append(file: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(file).expect("open the file");
    file.write_all(text.as_bytes()).expect("append to the file");
}
