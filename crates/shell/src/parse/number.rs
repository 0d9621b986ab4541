//! Numbers: `12`, `0x1F`, `1.5`, `1e3`, `35MB`, `100l`.

use super::Parser;
use super::characters::is_name;
use crate::syntax::ExpressionKind;

impl Parser<'_> {
    /// The number that begins here, and its length in bytes; `None` if it is none, or only the beginning of a word (`7zip`).
    pub(super) fn number_ahead(&self) -> Option<(ExpressionKind, usize)> {
        let rest = self.rest();
        let (kind, length) = scan(rest)?;
        let next = rest[length..].chars().next();
        if next.is_some_and(|character| is_name(character) || matches!(character, '\\' | ':' | '$')) {
            return None;
        }
        Some((kind, length))
    }
}

/// The number that all of `word` is; a sign may stand before it.
pub(super) fn whole(word: &str) -> Option<ExpressionKind> {
    let digits = word.strip_prefix(super::characters::is_dash);
    let (kind, length) = scan(digits.unwrap_or(word))?;
    if length != digits.unwrap_or(word).len() {
        return None;
    }
    Some(if digits.is_some() { negated(kind) } else { kind })
}

pub(super) fn negated(kind: ExpressionKind) -> ExpressionKind {
    match kind {
        ExpressionKind::Integer(number) => ExpressionKind::Integer(-number),
        // The one whole number whose positive form does not fit.
        ExpressionKind::Float(9_223_372_036_854_775_808.0) => ExpressionKind::Integer(i64::MIN),
        ExpressionKind::Float(number) => ExpressionKind::Float(-number),
        other => other,
    }
}

/// The number that `text` begins with, without a sign, and its length.
fn scan(text: &str) -> Option<(ExpressionKind, usize)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let length = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        if length == 0 {
            return None;
        }
        // As the original has it: eight digits are 32 bits with a sign, sixteen are 64 bits.
        let value = match length {
            8 => i64::from(u32::from_str_radix(&hex[..length], 16).ok()? as i32),
            1..=16 => u64::from_str_radix(&hex[..length], 16).ok()? as i64,
            _ => return None,
        };
        return suffixed(text, 2 + length, value as f64, Some(value));
    }
    let whole_digits = digits(0);
    let mut end = whole_digits;
    let mut is_whole = true;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
        is_whole = false;
    } else if whole_digits > 0 && bytes.get(end) == Some(&b'.') && is_end_of_number(bytes.get(end + 1)) {
        end += 1;
        is_whole = false;
    }
    if end == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = if end + 1 + sign < bytes.len() { digits(end + 1 + sign) } else { 0 };
        if exponent > 0 {
            end += 1 + sign + exponent;
            is_whole = false;
        }
    }
    let written = &text[..end];
    let float: f64 = written.parse().ok()?;
    suffixed(text, end, float, if is_whole { written.parse().ok() } else { None })
}

/// Whether a point before it belongs to a number, as in `5.`: not in `1..3` and not in `5.ToString`.
fn is_end_of_number(next: Option<&u8>) -> bool {
    next.is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b')' | b';' | b',' | b'}' | b'|'))
}

/// The same with `l` or `d` and with a multiplier behind it.
fn suffixed(text: &str, mut end: usize, float: f64, whole: Option<i64>) -> Option<(ExpressionKind, usize)> {
    let bytes = text.as_bytes();
    let mut is_decimal = false;
    match bytes.get(end) {
        Some(b'l' | b'L') => end += 1,
        Some(b'd' | b'D') => {
            end += 1;
            is_decimal = true;
        }
        _ => {}
    }
    let power = match (bytes.get(end).map(u8::to_ascii_lowercase), bytes.get(end + 1).map(u8::to_ascii_lowercase)) {
        (Some(b'k'), Some(b'b')) => 10,
        (Some(b'm'), Some(b'b')) => 20,
        (Some(b'g'), Some(b'b')) => 30,
        (Some(b't'), Some(b'b')) => 40,
        (Some(b'p'), Some(b'b')) => 50,
        _ => 0,
    };
    if power > 0 {
        end += 2;
    }
    let kind = match whole.and_then(|whole| whole.checked_mul(1 << power)) {
        Some(whole) if !is_decimal => ExpressionKind::Integer(whole),
        _ => ExpressionKind::Float(float * (1_i64 << power) as f64),
    };
    Some((kind, end))
}
