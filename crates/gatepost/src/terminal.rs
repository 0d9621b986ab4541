//! What a person sees: colour or not, columns, sizes and times.
//!
//! Takes values, hands on text. Whatever came from outside (addresses, replies, header fields) is made harmless first:
//! a next hop must not be able to paint on an administrator's terminal.

pub use gatepost_manage::explanation::size;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// Whether standard error is a terminal whose user wants colour (<https://no-color.org>).
pub fn stderr_has_colour() -> bool {
    io::stderr().is_terminal() && !is_no_color()
}

/// Whether standard output is a terminal whose user wants colour.
pub fn stdout_has_colour() -> bool {
    io::stdout().is_terminal() && !is_no_color()
}

/// Whether the environment asks for no colours.
pub fn is_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Whether the text behind this character may be shown in another order than it was written.
pub fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Control characters and bidirectional overrides as escapes, so that the text stays on its line and in its order.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns_direction(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Lines of columns, two spaces apart, each as wide as its widest cell; the last one is not padded.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without a heading.
    pub fn plain() -> Table {
        Table { rows: Vec::new() }
    }

    /// A table with a heading.
    pub fn new(heading: &[&str]) -> Table {
        Table { rows: vec![heading.iter().map(|cell| cell.to_string()).collect()] }
    }

    /// Adds a line; the cells are made harmless.
    pub fn row(&mut self, cells: &[&str]) {
        self.rows.push(cells.iter().map(|cell| harmless(cell)).collect());
    }

    /// Writes the table.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a String cannot fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A duration by its two largest units: `2d 3h`, `4m 10s`, `0s`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let Some(first) = parts.iter().position(|&(count, _)| count > 0) else {
        return "0s".to_owned();
    };
    let shown = parts[first..].iter().take(2).filter(|&&(count, _)| count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

/// How long ago, seen from `now_ms`.
pub fn ago(then_ms: u64, now_ms: u64) -> String {
    format!("{} ago", duration(now_ms.saturating_sub(then_ms)))
}

/// How far ahead, seen from `now_ms`; `now` if it is due.
pub fn ahead(then_ms: u64, now_ms: u64) -> String {
    if then_ms <= now_ms { "now".to_owned() } else { format!("in {}", duration(then_ms - now_ms)) }
}

/// A moment in local time, as logs and people write it: `2026-11-21 20:15:03 +01:00`.
pub fn moment(ms: u64) -> String {
    let timestamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match timestamp {
        Some(timestamp) => {
            timestamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        }
        None => format!("{ms} ms"),
    }
}

/// `1 message`, `2 messages`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// `text` as one word of a POSIX shell.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_people_say_them() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KB"),
            (1536, "1.5 KB"),
            (37_748_736, "36 MB"),
            (u64::MAX, "16777216 TB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        for (ms, expected) in [
            (0, "0s"),
            (999, "0s"),
            (61_000, "1m 1s"),
            (120_000, "2m"),
            (3_600_000 * 26 + 59_000, "1d 2h"),
            (86_400_000, "1d"),
            (86_401_000, "1d"),
        ] {
            assert_eq!(duration(ms), expected);
        }
        assert_eq!(
            (ahead(5, 5), ahead(61_005, 5), ago(5, 61_005)),
            ("now".into(), "in 1m 1s".into(), "1m 1s ago".into())
        );
    }

    #[test]
    fn what_comes_from_outside_cannot_paint_on_the_terminal() {
        assert_eq!(harmless("a\x1b[31mb\r\nc\u{202e}d ü"), "a\\u{1b}[31mb\\r\\nc\\u{202e}d ü");
        let mut table = Table::new(&["ID", "REPLY"]);
        table.row(&["7", "no\x07"]);
        table.row(&["123456", "yes"]);
        let mut out = Vec::new();
        table.write(&mut out).expect("a Vec takes all");
        assert_eq!(String::from_utf8_lossy(&out), "ID      REPLY\n7       no\\u{7}\n123456  yes\n");
    }

    #[test]
    fn a_word_survives_the_shell() {
        for (text, expected) in [
            ("target/release/gatepost", "target/release/gatepost"),
            ("/home/a b/gatepost", "'/home/a b/gatepost'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }
}
