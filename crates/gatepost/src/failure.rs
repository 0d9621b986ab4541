//! How a command fails: what it says on standard error, and its exit code.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; the message says why |
//! | 2 | the command line is not understood |
//! | 3 | the settings have problems |
//! | 4 | the server is not running |
//! | 5 | the spool is damaged |
//! | 6 | what was asked is not so: the server is not ready, alarms are raised, or a report is not what was signed |
//!
//! With `--json` the reason stands on standard output too, as `{"error": "..."}`: every command is heard by one program
//! that reads one stream.

use std::io::{self, Write};
use std::process::ExitCode;

use gatepost_manage::{ClientError, LoadError};
use serde::Serialize;

use crate::terminal;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// Said in one sentence or a few lines.
    Failed(String),
    /// The command line asks for what does not go together.
    Usage(String),
    /// The settings have problems; the text shows all of them, or is empty if they were shown already.
    Settings(String),
    /// Nobody answers at the server's socket or address.
    NotRunning(String),
    /// The spool is damaged; the command has said where.
    Damaged,
    /// What was asked is not so; the command has said why.
    NotSo,
    /// Whoever read our output has gone; nobody to tell.
    OutputClosed,
}

/// What `--json` prints of a command that has failed.
#[derive(Serialize)]
struct Reason<'a> {
    error: &'a str,
}

impl Failure {
    /// Says it as JSON, unless the command has printed its JSON already.
    pub fn write_json(&self, out: &mut dyn Write) {
        let (Failure::Failed(text) | Failure::Usage(text) | Failure::Settings(text) | Failure::NotRunning(text)) = self
        else {
            return;
        };
        if text.is_empty() {
            return;
        }
        // Problems of the settings are drawn above the sentence; `check --json` has them one by one.
        let sentence = text.rsplit_once("\nerror: ").map_or(text.as_str(), |(_, sentence)| sentence);
        let error = sentence.strip_prefix("error: ").unwrap_or(sentence).trim_end();
        if let Ok(line) = serde_json::to_string_pretty(&Reason { error }) {
            // Whoever closed standard output still gets the exit code.
            let _ = writeln!(out, "{line}");
        }
    }

    /// Says it on standard error; hands back the exit code.
    pub fn report(self) -> ExitCode {
        let (text, code) = match self {
            Failure::Failed(text) => (text, 1),
            Failure::Usage(text) => (text, 2),
            Failure::Settings(text) => (text, 3),
            Failure::NotRunning(text) => (text, 4),
            Failure::Damaged => (String::new(), 5),
            Failure::NotSo => (String::new(), 6),
            Failure::OutputClosed => return ExitCode::SUCCESS,
        };
        if !text.is_empty() {
            // Nothing is left to do for a reader who has closed standard error.
            let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
        }
        ExitCode::from(code)
    }

    /// The same, said as a log line instead.
    pub fn logged(self) -> Failure {
        let log = |text: String| {
            tracing::error!("{}", text.strip_prefix("error: ").unwrap_or(&text));
            String::new()
        };
        match self {
            Failure::Failed(text) => Failure::Failed(log(text)),
            Failure::Usage(text) => Failure::Usage(log(text)),
            Failure::Settings(text) => Failure::Settings(log(text)),
            Failure::NotRunning(text) => Failure::NotRunning(log(text)),
            Failure::Damaged => Failure::Damaged,
            Failure::NotSo => Failure::NotSo,
            Failure::OutputClosed => Failure::OutputClosed,
        }
    }

    /// A failure of one sentence.
    pub fn of(error: impl std::fmt::Display) -> Failure {
        Failure::Failed(format!("error: {error}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::of(error),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let LoadError::Problems(faulty) = error else {
            return Failure::of(error);
        };
        Failure::Settings(format!("{}\nerror: {faulty}", faulty.render(terminal::stderr_has_colour()).trim_end()))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::NotRunning { .. } | ClientError::Unreachable { .. } => {
                Failure::NotRunning(format!("error: {error}"))
            }
            ClientError::Refused { refused, .. } => match &refused.rendered {
                Some(rendered) => Failure::Settings(format!("{}\nerror: {error}", rendered.trim_end())),
                None => Failure::of(error),
            },
            ClientError::Denied(_) | ClientError::Broken { .. } => Failure::of(error),
        }
    }
}
