//! Numbers as text, and text as numbers.

use crate::fault::{Category, Fault};
use crate::value::Value;

/// Digits that a fraction shows, as in the original of those years: `0.1 + 0.2` is `0.3`.
const DIGITS: usize = 15;
/// More digits or places than this are asked for by mistake only.
const PLACES_MAX: usize = 99;

/// Reads a number as it may stand in text: white space around it, a sign, hexadecimal, an exponent, commas between
/// thousands, a suffix of sizes (`35MB`).
pub fn parse(text: &str) -> Option<Value> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Value::Int(0));
    }
    let (is_negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let number = i64::from_str_radix(hex.strip_prefix(['-', '+']).map_or(hex, |_| "?"), 16).ok()?;
        return Some(Value::Int(if is_negative { -number } else { number }));
    }
    let (digits, factor) = split_size(digits);
    if !digits.starts_with(|sign: char| sign.is_ascii_digit() || sign == '.') {
        return None;
    }
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or(digits);
    let plain: String =
        if whole.contains(',') && !whole.starts_with(',') { digits.replace(',', "") } else { digits.to_owned() };
    if !plain.chars().all(|sign| sign.is_ascii_digit() || matches!(sign, '.' | 'e' | 'E' | '+' | '-')) {
        return None;
    }
    if let Ok(number) = plain.parse::<i64>()
        && let Some(number) = number.checked_mul(factor)
    {
        return Some(Value::Int(if is_negative { -number } else { number }));
    }
    let number = plain.parse::<f64>().ok()? * factor as f64;
    let number = if is_negative { -number } else { number };
    // 1.5KB is a whole number of bytes.
    if factor > 1 && number.fract() == 0.0 && number.abs() < 9e15 {
        return Some(Value::Int(number as i64));
    }
    Some(Value::Float(number))
}

/// What stands before `KB`, `MB`, `GB`, `TB`, `PB`, and what the suffix stands for.
fn split_size(text: &str) -> (&str, i64) {
    const SUFFIXES: [(&str, i64); 5] =
        [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30), ("tb", 1 << 40), ("pb", 1 << 50)];
    let Some(at) = text.len().checked_sub(2).filter(|at| text.is_char_boundary(*at)) else { return (text, 1) };
    let (number, suffix) = text.split_at(at);
    SUFFIXES
        .iter()
        .find(|(known, _)| suffix.eq_ignore_ascii_case(known))
        .map_or((text, 1), |(_, factor)| (number, *factor))
}

/// A fraction as text.
pub fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{number:.*e}", DIGITS - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    if exponent >= DIGITS as i32 || exponent < -4 {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{rest}E{direction}{:02}", exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// A number in a .NET format: `N2`, `D3`, `X`, `P1`, `0.00`, `#,##0`.
///
/// # Errors
/// When the format has no meaning.
pub fn format(number: &Value, format: &str) -> Result<String, Fault> {
    let float = super::as_float(number);
    let invalid = || Fault::new(Category::InvalidArgument, format!("The format '{format}' is not known for numbers."));
    let mut signs = format.chars();
    let Some(kind) = signs.next() else { return Ok(super::text(number)) };
    let precision = signs.as_str();
    let is_standard =
        kind.is_ascii_alphabetic() && precision.len() <= 2 && precision.chars().all(|c| c.is_ascii_digit());
    if !is_standard {
        return Ok(custom(float, format));
    }
    let precision = match precision {
        "" => None,
        digits => Some(digits.parse::<usize>().map_err(|_| invalid())?.min(PLACES_MAX)),
    };
    let whole = || match super::number(number) {
        Some(Value::Int(whole)) => Ok(whole),
        _ => Err(Fault::new(Category::InvalidArgument, format!("The format '{format}' wants a whole number."))),
    };
    Ok(match kind.to_ascii_uppercase() {
        'N' => grouped(&fixed(number, precision.unwrap_or(2))),
        'F' => fixed(number, precision.unwrap_or(2)),
        'D' => {
            let whole = whole()?;
            let digits = format!("{:0>width$}", whole.unsigned_abs(), width = precision.unwrap_or(1));
            if whole < 0 { format!("-{digits}") } else { digits }
        }
        'X' => {
            let whole = whole()?;
            // A negative number of 32 bits shows 32 bits.
            let bits = i32::try_from(whole).map_or(whole as u64, |small| u64::from(small as u32));
            let width = precision.unwrap_or(1);
            if kind == 'x' { format!("{bits:0>width$x}") } else { format!("{bits:0>width$X}") }
        }
        'P' => format!("{} %", grouped(&fixed(&Value::Float(float * 100.0), precision.unwrap_or(2)))),
        'C' => format!("\u{a4}{}", grouped(&fixed(number, precision.unwrap_or(2)))),
        'E' => {
            let text = format!("{float:.*e}", precision.unwrap_or(6));
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or_default();
            let direction = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}{kind}{direction}{:03}", exponent.abs())
        }
        'G' | 'R' => match precision {
            Some(digits) if digits > 0 && digits < DIGITS => {
                let rounded: f64 = format!("{float:.*e}", digits - 1).parse().unwrap_or(float);
                float_text(rounded)
            }
            _ => super::text(&super::number(number).unwrap_or(Value::Float(float))),
        },
        _ => return Err(invalid()),
    })
}

/// A number with so many places, rounded half away from zero as .NET's formats round.
fn fixed(number: &Value, places: usize) -> String {
    let float = match super::number(number) {
        Some(Value::Int(whole)) if places == 0 => return whole.to_string(),
        Some(Value::Int(whole)) => return format!("{whole}.{}", "0".repeat(places)),
        other => super::as_float(&other.unwrap_or_default()),
    };
    // The shortest text is what a person means by the number: 2.675 with two places is 2.68.
    let shortest = format!("{float}");
    let (whole, fraction) = shortest.split_once('.').unwrap_or((&shortest, ""));
    if fraction.len() <= places {
        let point = if places == 0 { "" } else { "." };
        return format!("{whole}{point}{fraction}{}", "0".repeat(places - fraction.len()));
    }
    let rounds_up = fraction.as_bytes()[places] >= b'5';
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes().take(places)).collect();
    if rounds_up {
        let mut at = digits.len();
        loop {
            if at == 0 || !digits[at - 1].is_ascii_digit() {
                digits.insert(at, b'1');
                break;
            }
            at -= 1;
            if digits[at] == b'9' {
                digits[at] = b'0';
            } else {
                digits[at] += 1;
                break;
            }
        }
    }
    let at = digits.len() - places;
    let mut text: String = digits.iter().map(|digit| char::from(*digit)).collect();
    if places > 0 {
        text.insert(at, '.');
    }
    if text.starts_with('-') && text.chars().all(|sign| matches!(sign, '-' | '0' | '.')) {
        text.remove(0);
    }
    text
}

/// Commas between thousands.
fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut out = sign.to_owned();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out += fraction;
    }
    out
}

/// A format made of `0`, `#`, `.`, `,`, `%` and other text; parts for negative numbers and zero after `;`.
fn custom(number: f64, format: &str) -> String {
    let parts: Vec<&str> = format.split(';').collect();
    let (number, part) = match parts.as_slice() {
        [_, _, zero, ..] if number == 0.0 => (number, *zero),
        [_, negative, ..] if number < 0.0 && !negative.is_empty() => (-number, *negative),
        [first, ..] => (number, *first),
        [] => (number, format),
    };
    let signs: Vec<char> = part.chars().collect();
    let is_place = |sign: &char| matches!(sign, '0' | '#');
    let Some(first) = signs.iter().position(|sign| is_place(sign) || *sign == '.') else { return part.to_owned() };
    let last = signs.iter().rposition(|sign| is_place(sign) || *sign == '.').unwrap_or(first);
    let body = &signs[first..=last];
    let point = body.iter().position(|sign| *sign == '.').unwrap_or(body.len());
    let has_groups = body[..point].contains(&',');
    let least_whole = body[..point].iter().filter(|sign| is_place(sign)).skip_while(|sign| **sign == '#').count();
    let places = body[point..].iter().filter(|sign| is_place(sign)).count().min(PLACES_MAX);
    let least_places =
        body[point..].iter().filter(|sign| is_place(sign)).collect::<Vec<_>>().iter().rposition(|sign| **sign == '0');
    let factor = if signs.contains(&'%') { 100.0 } else { 1.0 };
    let text = fixed(&Value::Float(number * factor), places);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = if whole == "0" { "" } else { whole };
    let whole = format!("{}{whole}", "0".repeat(least_whole.saturating_sub(whole.len())));
    let whole = if has_groups { grouped(&whole) } else { whole };
    let keep = least_places.map_or(0, |at| at + 1);
    let mut fraction = fraction.to_owned();
    while fraction.len() > keep && fraction.ends_with('0') {
        fraction.pop();
    }
    let literal = |signs: &[char]| signs.iter().filter(|sign| !matches!(sign, '\\' | '"' | '\'')).collect::<String>();
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{whole}{point}{fraction}{}", literal(&signs[..first]), literal(&signs[last + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_becomes_numbers_as_scripts_expect() {
        for (text, expected) in [
            ("12", "12"),
            (" -7 ", "-7"),
            ("0x1F", "31"),
            ("1.50", "1.5"),
            ("35MB", "36700160"),
            ("1.5kb", "1536"),
            ("1,000", "1000"),
            ("1e3", "1000"),
            ("", "0"),
            ("9223372036854775808", "9.22337203685478E+18"),
        ] {
            assert_eq!(parse(text).map(|number| crate::convert::text(&number)).as_deref(), Some(expected), "{text}");
        }
        for text in ["x", "1x", "10.0.0.5", "--1", "0x", "0x-1", "inf", "nan", "MB", "-", "1 2"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn fractions_show_fifteen_digits() {
        for (number, expected) in [
            (0.1 + 0.2, "0.3"),
            (3.5, "3.5"),
            (1e20, "1E+20"),
            (1e15, "1E+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (0.00001, "1E-05"),
            (0.0001, "0.0001"),
            (-2.25, "-2.25"),
            (1.0 / 3.0, "0.333333333333333"),
            (0.0, "0"),
        ] {
            assert_eq!(float_text(number), expected);
        }
    }

    #[test]
    fn formats_of_dotnet_shape_numbers() {
        for (number, form, expected) in [
            (Value::Int(1_234_567), "N0", "1,234,567"),
            (Value::Float(1234.5), "N2", "1,234.50"),
            (Value::Float(2.675), "F2", "2.68"),
            (Value::Float(-0.001), "F2", "0.00"),
            (Value::Float(999.999), "N2", "1,000.00"),
            (Value::Int(7), "D3", "007"),
            (Value::Int(-7), "D3", "-007"),
            (Value::Int(255), "X", "FF"),
            (Value::Int(255), "x4", "00ff"),
            (Value::Float(0.256), "P1", "25.6 %"),
            (Value::Float(2.71499), "0.00", "2.71"),
            (Value::Int(1_234_567), "#,##0", "1,234,567"),
            (Value::Float(0.5), "#.##", ".5"),
            (Value::Float(5.0), "0.##", "5"),
            (Value::Int(5), "000", "005"),
            (Value::Float(0.5), "0%", "50%"),
            (Value::Int(-5), "0;(0)", "(5)"),
            (Value::Float(12_345.678), "E2", "1.23E+004"),
            (Value::Float(1234.5678), "G3", "1230"),
        ] {
            assert_eq!(format(&number, form).expect(form), expected, "{number:?} {form}");
        }
        assert!(format(&Value::Float(1.5), "D2").is_err());
        assert!(format(&Value::Int(1), "Q2").is_err());
    }

    proptest! {
        #[test]
        fn whole_numbers_survive_text(number in any::<i64>().prop_filter("the least has no positive", |n| *n != i64::MIN)) {
            prop_assert!(matches!(parse(&number.to_string()), Some(Value::Int(read)) if read == number));
        }

        #[test]
        fn no_format_panics(number in any::<f64>(), form in "[NFDXPCEGQ0#.,%;a]{0,6}") {
            let _ = format(&Value::Float(number), &form);
            let _ = float_text(number);
        }
    }
}
