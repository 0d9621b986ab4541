//! Colours on a terminal, and what may not reach one.

use std::borrow::Cow;

use gatepost_shell::world::Colour;

use crate::terminal::turns_direction;

/// `text` in these colours; each line is painted for itself, so that no colour runs over the end of one.
pub fn painted(text: &str, foreground: Option<Colour>, background: Option<Colour>) -> String {
    let mut codes = Vec::new();
    codes.extend(foreground.map(|colour| number(colour) + 30));
    codes.extend(background.map(|colour| number(colour) + 40));
    if codes.is_empty() {
        return text.to_owned();
    }
    let begin: Vec<String> = codes.iter().map(ToString::to_string).collect();
    let begin = format!("\x1b[{}m", begin.join(";"));
    let mut shown = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        if !bare.is_empty() {
            shown.push_str(&begin);
            shown.push_str(bare);
            shown.push_str("\x1b[0m");
        }
        shown.push_str(&line[bare.len()..]);
    }
    shown
}

/// How far a colour lies behind black, as terminals count: the bright ones 60 further.
fn number(colour: Colour) -> u8 {
    match colour {
        Colour::Black => 0,
        Colour::DarkRed => 1,
        Colour::DarkGreen => 2,
        Colour::DarkYellow => 3,
        Colour::DarkBlue => 4,
        Colour::DarkMagenta => 5,
        Colour::DarkCyan => 6,
        Colour::Gray => 7,
        Colour::DarkGray => 60,
        Colour::Red => 61,
        Colour::Green => 62,
        Colour::Yellow => 63,
        Colour::Blue => 64,
        Colour::Magenta => 65,
        Colour::Cyan => 66,
        Colour::White => 67,
    }
}

/// Text of which nothing can steer a terminal or turn the order of what stands there: subjects and replies of strangers are
/// shown, too. Ends of lines and tabs stay.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || turns_direction(c);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_harmful(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_end_with_each_line() {
        assert_eq!(painted("a\n\nb\r\n", Some(Colour::Red), None), "\x1b[91ma\x1b[0m\n\n\x1b[91mb\x1b[0m\r\n");
        assert_eq!(painted("a", Some(Colour::Black), Some(Colour::Gray)), "\x1b[30;47ma\x1b[0m");
        assert_eq!(painted("a\n", None, None), "a\n");
    }

    #[test]
    fn what_steers_a_terminal_is_shown_instead_of_done() {
        assert_eq!(harmless("a\tb\r\n"), "a\tb\r\n");
        assert_eq!(harmless("a\x1b[2Jb\u{7}\u{202e}"), "a\\u{1b}[2Jb\\u{7}\\u{202e}");
    }
}
