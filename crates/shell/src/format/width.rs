//! Columns that text takes at a terminal, and cutting and wrapping by them.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a text.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A text that is as wide as wanted or narrower; what was cut is told by `...`.
pub fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    // Too narrow for the sign that something was cut.
    let dots = if most > 3 { "..." } else { "" };
    let mut out = take(text, most - dots.len()).to_owned();
    out += dots;
    out
}

fn take(text: &str, most: usize) -> &str {
    let mut taken = 0;
    for (at, sign) in text.char_indices() {
        taken += sign.width().unwrap_or(0);
        if taken > most {
            return &text[..at];
        }
    }
    text
}

/// The lines of a text, none wider than wanted; broken at spaces where there are some. Never empty.
pub fn wrap(text: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let mut rest = line.trim_end_matches('\r');
        loop {
            if columns(rest) <= most {
                lines.push(rest.to_owned());
                break;
            }
            let mut head = take(rest, most);
            if head.is_empty() {
                // One sign that is wider than all there is.
                head = &rest[..rest.chars().next().map_or(rest.len(), char::len_utf8)];
            }
            let next_is_space = rest[head.len()..].starts_with(' ');
            let at = match head.rfind(' ') {
                Some(at) if at > 0 && !next_is_space => at,
                _ => head.len(),
            };
            lines.push(rest[..at].trim_end().to_owned());
            rest = rest[at..].trim_start_matches(' ');
        }
    }
    lines
}

/// A text with spaces up to a width.
pub fn padded(text: &str, width: usize, is_right: bool) -> String {
    let padding = " ".repeat(width.saturating_sub(columns(text)));
    if is_right { format!("{padding}{text}") } else { format!("{text}{padding}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_cut_and_wrapped_by_the_columns_it_takes() {
        assert_eq!(cut("abcdefgh", 6), "abc...");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("世界世界", 6), "世...");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("10.0.0.0,10.0.0.1", 9), ["10.0.0.0,", "10.0.0.1"]);
        assert_eq!(wrap("a\nb", 5), ["a", "b"]);
        assert_eq!(wrap("", 5), [""]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_allowed(text in "[a-z 世]{0,60}", most in 2usize..20) {
            prop_assert!(wrap(&text, most).iter().all(|line| columns(line) <= most));
            prop_assert!(columns(&cut(&text, most)) <= most);
        }
    }
}
