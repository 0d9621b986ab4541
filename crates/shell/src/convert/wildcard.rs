//! `-like`: `*`, `?`, `[a-z]` and the backtick that takes their meaning away.

/// Whether `text` matches `pattern` whole. Takes at most the product of both lengths.
pub fn matches(pattern: &str, text: &str, is_case_sensitive: bool) -> bool {
    let fold = |text: &str| -> Vec<char> {
        if is_case_sensitive { text.chars().collect() } else { super::folded(text).collect() }
    };
    let (pieces, text) = (pieces(&fold(pattern)), fold(text));
    let (mut at, mut piece) = (0, 0);
    // Where the last star stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pieces.get(piece) {
            Some(Piece::Any) => {
                star = Some((piece, at));
                piece += 1;
            }
            Some(one) if one.takes(text[at]) => {
                at += 1;
                piece += 1;
            }
            _ => match star {
                Some((before, taken)) => {
                    star = Some((before, taken + 1));
                    at = taken + 1;
                    piece = before + 1;
                }
                None => return false,
            },
        }
    }
    pieces[piece..].iter().all(|piece| matches!(piece, Piece::Any))
}

/// Whether a text has signs that make it a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// A text as a pattern that matches it alone.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for one in text.chars() {
        if matches!(one, '*' | '?' | '[' | ']' | '`') {
            escaped.push('`');
        }
        escaped.push(one);
    }
    escaped
}

enum Piece {
    Any,
    One,
    Exactly(char),
    Among(Vec<(char, char)>),
}

impl Piece {
    fn takes(&self, one: char) -> bool {
        match self {
            Piece::Any => false,
            Piece::One => true,
            Piece::Exactly(wanted) => *wanted == one,
            Piece::Among(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&one)),
        }
    }
}

fn pieces(pattern: &[char]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        let one = pattern[at];
        at += 1;
        match one {
            '`' if at < pattern.len() => {
                pieces.push(Piece::Exactly(pattern[at]));
                at += 1;
            }
            '*' => pieces.push(Piece::Any),
            '?' => pieces.push(Piece::One),
            '[' => match pattern[at..].iter().skip(1).position(|end| *end == ']') {
                Some(length) => {
                    pieces.push(Piece::Among(ranges(&pattern[at..=at + length])));
                    at += length + 2;
                }
                // No end: the sign itself. The original refuses such a pattern.
                None => pieces.push(Piece::Exactly('[')),
            },
            other => pieces.push(Piece::Exactly(other)),
        }
    }
    pieces
}

fn ranges(between: &[char]) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < between.len() {
        match between[at..] {
            [first, '-', last, ..] => {
                ranges.push((first.min(last), first.max(last)));
                at += 3;
            }
            [one, ..] => {
                ranges.push((one, one));
                at += 1;
            }
            [] => {}
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts_without_case() {
        for (pattern, text, expected) in [
            ("*relay*", "SERVER\\Relay One", true),
            ("relay", "relay one", false),
            ("re?ay", "RELAY", true),
            ("*", "", true),
            ("?", "", false),
            ("[a-c]x", "Bx", true),
            ("[a-c]x", "dx", false),
            ("a`*b", "a*b", true),
            ("a`*b", "axb", false),
            ("*.*.*", "a.b.c", true),
            ("10.0.0.[0-9]", "10.0.0.7", true),
            ("a[", "a[", true),
        ] {
            assert_eq!(matches(pattern, text, false), expected, "{pattern} {text}");
        }
        assert!(!matches("Relay", "relay", true));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!matches(&"*a".repeat(200), &"a".repeat(5_000).replace('a', "b"), false));
    }
}
