//! Log lines on standard error: for a person on a terminal, as JSON otherwise.
//!
//! Takes a format and the filter in `GATEPOST_LOG`; installs the process's subscriber and the panic hook. Never logs
//! content.

mod json;
mod lines;

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format;

use crate::cli::LogFormat;
use crate::terminal;
use json::Json;
use lines::Lines;

/// The variable that says what is logged: `info`, `debug`, or `info,gatepost_transport=debug`.
pub const FILTER_VARIABLE: &str = "GATEPOST_LOG";

/// The log, as long as the program runs. When it is dropped, the last lines are written.
pub struct Log {
    /// The format that was chosen.
    pub format: LogFormat,
    lines: Lines,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.flush();
    }
}

/// Starts logging. Called once, by the server.
pub fn start(format: Option<LogFormat>) -> Log {
    let wanted = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let wanted = if wanted.trim().is_empty() { "info".to_owned() } else { wanted };
    let (filter, refused) = match EnvFilter::try_new(&wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let format = format.unwrap_or(if io::stderr().is_terminal() { LogFormat::Human } else { LogFormat::Json });
    let lines = Lines::to(io::stderr(), |lost| {
        tracing::error!(lines = lost, "log lines are lost: whoever reads them is not fast enough");
    });
    // A closed standard error must not end the server: errors of the logger itself stay silent.
    let events =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone()).log_internal_errors(false);
    match format {
        LogFormat::Human => {
            let fields = format::debug_fn(|out, field, value| write_field(out, field.name(), value)).delimited(" ");
            events.fmt_fields(fields).with_ansi(terminal::stderr_has_colour()).with_target(false).init();
        }
        LogFormat::Json => events.event_format(Json).init(),
    }
    if let Some(error) = refused {
        tracing::warn!(%error, "{FILTER_VARIABLE}={wanted} is not understood: logging at info");
    }
    let behind_a_panic = lines.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(place, %backtrace, "panic, which is a bug of ours: {message}");
        // It may be the last thing that this process does.
        behind_a_panic.flush();
    }));
    Log { format, lines }
}

/// Writes one field for a person: `name=value`. A value that holds more than a plain word is quoted and escaped, so that
/// what a peer said can neither look like another field nor play tricks with the terminal.
fn write_field(out: &mut dyn fmt::Write, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    match name {
        "message" => out.write_str(&terminal::harmless(&text)),
        _ if is_plain(&text) || is_quoted(&text) => write!(out, "{name}={text}"),
        _ => write!(out, "{name}={text:?}"),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'))
}

/// Whether this is one string in quotes, as `{:?}` writes it, and nothing beside it.
fn is_quoted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return false,
            '\\' if characters.next().is_none() => return false,
            _ => {}
        }
    }
    // What `{:?}` wrote is printable; what only looks like it need not be.
    inner.chars().all(|c| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_said_cannot_look_like_another_field() {
        struct Raw(&'static str);
        impl fmt::Debug for Raw {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        for (raw, expected) in [
            ("192.0.2.1:25", "x=192.0.2.1:25"),
            ("<bob@contoso.com>", "x=<bob@contoso.com>"),
            ("550 5.7.1 no", r#"x="550 5.7.1 no""#),
            (r#"550 ok verdict="delivered""#, r#"x="550 ok verdict=\"delivered\"""#),
            (r#""a" verdict="delivered""#, r#"x="\"a\" verdict=\"delivered\"""#),
            (r#""quoted already""#, r#"x="quoted already""#),
            (r#""a b"@x.net"#, r#"x="\"a b\"@x.net""#),
            ("\u{202e}moc", r#"x="\u{202e}moc""#),
            ("\"\u{202e}moc\"", r#"x="\"\u{202e}moc\"""#),
            ("a\x1b[2J", r#"x="a\u{1b}[2J""#),
            ("", r#"x="""#),
        ] {
            let mut line = String::new();
            write_field(&mut line, "x", &Raw(raw)).expect("a String takes everything");
            assert_eq!(line, expected, "{raw:?}");
        }
    }
}
