//! How a command fails: what it says on standard error, and its exit code.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; the message says why |
//! | 2 | the command line is not understood |
//! | 3 | the settings have problems |
//! | 4 | the server is not running |

use std::io::{self, Write};
use std::process::ExitCode;

use gatepost_manage::{ClientError, LoadError};

use crate::terminal;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// Said in one sentence or a few lines.
    Failed(String),
    /// The settings have problems; the text shows all of them, or is empty if they were shown already.
    Settings(String),
    /// Nobody answers at the server's socket.
    NotRunning(String),
    /// Whoever read our output has gone; nobody to tell.
    OutputClosed,
}

impl Failure {
    /// Says it on standard error; hands back the exit code.
    pub fn report(self) -> ExitCode {
        let (text, code) = match self {
            Failure::Failed(text) => (text, 1),
            Failure::Settings(text) => (text, 3),
            Failure::NotRunning(text) => (text, 4),
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
            Failure::Settings(text) => Failure::Settings(log(text)),
            Failure::NotRunning(text) => Failure::NotRunning(log(text)),
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
            ClientError::NotRunning { .. } => Failure::NotRunning(format!("error: {error}")),
            ClientError::Refused { refused, .. } => match &refused.rendered {
                Some(rendered) => Failure::Settings(format!("{}\nerror: {error}", rendered.trim_end())),
                None => Failure::of(error),
            },
            ClientError::Denied(_) | ClientError::Broken { .. } => Failure::of(error),
        }
    }
}
