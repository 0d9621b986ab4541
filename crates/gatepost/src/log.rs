//! Log lines on standard error: for a person on a terminal, as JSON otherwise.
//!
//! Takes a format and the filter in `GATEPOST_LOG`; installs the process's subscriber and the panic hook. Never logs
//! content.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::terminal;

/// The variable that says what is logged: `info`, `debug`, or `info,gatepost_transport=debug`.
pub const FILTER_VARIABLE: &str = "GATEPOST_LOG";

/// Starts logging; hands back the format that was chosen. Called once, by the server.
pub fn start(format: Option<LogFormat>) -> LogFormat {
    let wanted = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let wanted = if wanted.trim().is_empty() { "info".to_owned() } else { wanted };
    let (filter, refused) = match EnvFilter::try_new(&wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let format = format.unwrap_or(if io::stderr().is_terminal() { LogFormat::Human } else { LogFormat::Json });
    // A closed standard error must not end the server: errors of the logger itself stay silent.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Human => lines.with_ansi(terminal::stderr_has_colour()).with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).init(),
    }
    if let Some(error) = refused {
        tracing::warn!(%error, "{FILTER_VARIABLE}={wanted} is not understood: logging at info");
    }
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(place, %backtrace, "panic, which is a bug of ours: {message}");
    }));
    format
}
