//! One event as one line of JSON: time, level, message, the event's fields in their order, target.
//!
//! Takes what `tracing` hands on, writes the line once, from front to back, into a buffer that the thread keeps. Each
//! message costs two lines, so this is as hot as anything on its way.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::terminal;

/// `2026-11-22T02:53:57`
const TO_THE_SECOND_BYTES: usize = 19;

/// Writes events as lines of JSON.
pub struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        thread_local!(static LINE: RefCell<String> = const { RefCell::new(String::new()) });
        LINE.with(|kept| {
            // A field whose writing logs something comes here a second time; it finds an empty buffer.
            let mut line = kept.take();
            line.clear();
            write_line(&mut line, event)?;
            let written = out.write_str(&line);
            kept.replace(line);
            written
        })
    }
}

fn write_line(line: &mut String, event: &Event<'_>) -> fmt::Result {
    line.push_str("{\"timestamp\":\"");
    write_time(line)?;
    let metadata = event.metadata();
    line.push_str("\",\"level\":\"");
    line.push_str(metadata.level().as_str());
    line.push('"');
    event.record(&mut Fields(line));
    line.push_str(",\"target\":\"");
    escape(line, metadata.target());
    line.push_str("\"}\n");
    Ok(())
}

/// Now, in UTC, with microseconds. What changes once in a second is worked out once in a second.
fn write_time(line: &mut String) -> fmt::Result {
    thread_local!(static SECOND: Cell<(u64, [u8; TO_THE_SECOND_BYTES])> = const { Cell::new((u64::MAX, [0; TO_THE_SECOND_BYTES])) });
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (second, micros) = (since.as_secs(), since.subsec_micros());
    let (mut known, mut text) = SECOND.get();
    if known != second {
        let time = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
        let written = time.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let Ok(bytes) = written.as_bytes().try_into() else { return Err(fmt::Error) };
        (known, text) = (second, bytes);
        SECOND.set((known, text));
    }
    line.push_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?);
    line.push('.');
    let mut digits = *b"000000";
    let mut rest = micros;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    line.push_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?);
    line.push('Z');
    Ok(())
}

/// Writes each field behind what is there.
struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        escape(self.0, field.name());
        self.0.push_str("\":");
    }

    /// Numbers and truth values, which need no escaping.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push('"');
        escape(self.0, value);
        self.0.push('"');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.0.push('"');
        let _ = write!(Escaped(self.0), "{value:?}");
        self.0.push('"');
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.plain(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            // A whole number keeps its `.0`, so that a reader takes it for what it is.
            true => self.plain(field, format_args!("{value:?}")),
            false => self.plain(field, "null"),
        }
    }
}

/// Takes text piece by piece, as formatting makes it.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// The text between the quotes (RFC 8259 section 7). Beside quotes, backslashes and control characters, what could paint on the
/// terminal that shows the line is escaped: controls beyond ASCII, and what turns the direction of writing.
fn escape(line: &mut String, text: &str) {
    // C2 begins the controls beyond ASCII, D8 and E2 begin the marks of direction; they begin harmless ones, too.
    let may_need_escape = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f | 0xc2 | 0xd8 | 0xe2);
    let mut rest = text;
    while let Some(at) = rest.as_bytes().iter().position(may_need_escape) {
        line.push_str(&rest[..at]);
        let mut characters = rest[at..].chars();
        match characters.next() {
            Some('"') => line.push_str("\\\""),
            Some('\\') => line.push_str("\\\\"),
            Some('\n') => line.push_str("\\n"),
            Some('\r') => line.push_str("\\r"),
            Some('\t') => line.push_str("\\t"),
            Some(other) if other.is_control() || terminal::turns_direction(other) => {
                let _ = write!(line, "\\u{:04x}", u32::from(other));
            }
            Some(harmless) => line.push(harmless),
            None => {}
        }
        rest = characters.as_str();
    }
    line.push_str(rest);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics here").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `log` logs, line by line.
    fn lines_of(log: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().event_format(Json).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().expect("nobody panics here").clone();
        String::from_utf8(bytes).expect("JSON is UTF-8").lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_holds_time_level_message_fields_and_target_in_this_order() {
        let lines = lines_of(|| {
            let absent: Option<u64> = None;
            tracing::warn!(sender = "<a@b>", size = 4693, absent, share = 1.0, ok = true, at = %"[::1]", "x \"y\"");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let (time, rest) = line.split_at(r#"{"timestamp":"2026-11-22T02:53:57.099952Z""#.len());
        let time = time.strip_prefix("{\"timestamp\":\"").and_then(|time| time.strip_suffix('"')).expect(line);
        assert!(time.parse::<Timestamp>().is_ok(), "{time}");
        let expected = r#","level":"WARN","message":"x \"y\"","sender":"<a@b>","size":4693,"share":1.0,"ok":true,"at":"[::1]","target":""#;
        assert_eq!(rest.strip_prefix(expected), Some(concat!(module_path!(), "\"}")), "{line}");
    }

    #[test]
    fn whatever_a_field_holds_it_comes_back_out_of_the_line() {
        let all: String = ('\0'..='\u{ff}').chain(['\u{2028}', '\u{202e}', '\u{1f980}']).collect();
        for text in ["", "\"", "\\", "\\\"", "a\r\nb\tc", "{\"level\":\"ERROR\"}", &all] {
            let lines = lines_of(|| tracing::info!(raw = text, shown = %text, quoted = ?text));
            let [line] = lines.as_slice() else { panic!("{text:?} makes {} lines", lines.len()) };
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(value["raw"], text);
            assert_eq!(value["shown"], text);
            assert_eq!(value["quoted"], format!("{text:?}"));
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "a terminal would obey: {line:?}");
        }
    }

    #[test]
    fn a_field_whose_writing_logs_spoils_no_line() {
        struct Talkative;
        impl fmt::Debug for Talkative {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                tracing::info!("inner");
                f.write_str("outer")
            }
        }
        for line in lines_of(|| tracing::info!(field = ?Talkative, "message")) {
            assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
        }
    }
}
