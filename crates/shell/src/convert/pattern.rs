//! Regular expressions as .NET writes them, compiled by a library that takes linear time.
//!
//! What cannot be had in linear time (lookaround, backreferences) is an error that names it. What both write differently is
//! rewritten on the way.

use std::cell::RefCell;
use std::collections::VecDeque;

use regex::{Captures, Regex, RegexBuilder};

use crate::fault::{Category, Fault};

/// The size of a compiled expression.
const COMPILED_BYTES_MAX: usize = 4 << 20;
/// The length of an expression as written.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// How many compiled expressions are kept: loops ask for the same one again and again.
const KEPT_MAX: usize = 32;

thread_local! {
    /// Memory of what was compiled, and nothing else: it changes no result.
    static KEPT: RefCell<VecDeque<(String, bool, Regex)>> = const { RefCell::new(VecDeque::new()) };
}

/// Compiles an expression.
///
/// # Errors
/// What is wrong with it, and what our engine does not do.
pub fn compile(text: &str, is_case_sensitive: bool) -> Result<Regex, Fault> {
    let kept = KEPT.with_borrow(|kept| {
        kept.iter()
            .find(|(known, case, _)| known == text && *case == is_case_sensitive)
            .map(|(.., regex)| regex.clone())
    });
    if let Some(regex) = kept {
        return Ok(regex);
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(fault("", &format!("it is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let regex = RegexBuilder::new(&rewritten(text)?)
        .case_insensitive(!is_case_sensitive)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => fault(text, "it becomes too large"),
            other => fault(text, reason(&other.to_string())),
        })?;
    KEPT.with_borrow_mut(|kept| {
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((text.to_owned(), is_case_sensitive, regex.clone()));
    });
    Ok(regex)
}

/// The last line of the library's message: those before draw the expression.
fn reason(message: &str) -> &str {
    message.lines().last().unwrap_or(message).trim_start_matches("error: ")
}

fn fault(text: &str, because: &str) -> Fault {
    let mut fault = Fault::new(
        Category::InvalidArgument,
        format!("The regular expression pattern {text} is not valid: {because}."),
    );
    fault.exception = "System.ArgumentException";
    fault
}

/// The expression in the library's words.
fn rewritten(text: &str) -> Result<String, Fault> {
    let signs: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    while at < signs.len() {
        let one = signs[at];
        let next = signs.get(at + 1).copied();
        match one {
            '\\' => {
                at += 1;
                match next {
                    None => return Err(fault(text, "it ends in a backslash; write \\\\ for the sign itself")),
                    Some('1'..='9') => {
                        return Err(fault(text, "it refers back to a group, which cannot be done in linear time"));
                    }
                    Some('k') if signs.get(at + 1).is_some_and(|sign| matches!(sign, '<' | '\'' | '{')) => {
                        return Err(fault(text, "it refers back to a group, which cannot be done in linear time"));
                    }
                    Some('Z') => out += r"(?:\n?\z)",
                    Some('e') => out += r"\x1B",
                    Some('G') => return Err(fault(text, "\\G is not known here")),
                    Some('0') => out += r"\x00",
                    Some(sign @ ('<' | '>')) => out.push(sign),
                    Some(sign) if !sign.is_ascii() => out.push(sign),
                    Some(sign) => {
                        out.push('\\');
                        out.push(sign);
                        // The braces of \p{L} and \x{41} are no counts.
                        if matches!(sign, 'p' | 'P' | 'x' | 'u') && signs.get(at + 1) == Some(&'{') {
                            while at + 1 < signs.len() {
                                at += 1;
                                out.push(signs[at]);
                                if signs[at] == '}' {
                                    break;
                                }
                            }
                        }
                    }
                }
                at += 1;
            }
            '(' if next == Some('?') => {
                let rest: String = signs[at + 2..].iter().take(3).collect();
                if rest.starts_with('=') || rest.starts_with('!') || rest.starts_with("<=") || rest.starts_with("<!") {
                    return Err(fault(
                        text,
                        "it looks ahead or behind (`(?=`, `(?!`, `(?<=`, `(?<!`), which cannot be done in linear time; \
                         test twice instead, as `-match 'a' -and $_ -notmatch 'b'`",
                    ));
                }
                if rest.starts_with('>') || rest.starts_with('(') {
                    return Err(fault(text, "groups `(?>` and `(?(` are not known here"));
                }
                if rest.starts_with('#') {
                    while at < signs.len() && signs[at] != ')' {
                        at += 1;
                    }
                    at += 1;
                    continue;
                }
                if rest.starts_with('\'') {
                    // (?'name'...) is the same as (?<name>...).
                    let end = signs[at + 3..].iter().position(|sign| *sign == '\'');
                    let Some(end) = end else { return Err(fault(text, "the name of a group has no end")) };
                    let name: String = signs[at + 3..at + 3 + end].iter().collect();
                    out += &format!("(?<{name}>");
                    at += 3 + end + 1;
                    continue;
                }
                out += "(?";
                at += 2;
            }
            '[' => at = class(&signs, at, &mut out),
            '{' => {
                let inner: String = signs[at + 1..].iter().take_while(|sign| **sign != '}').collect();
                let is_closed = at + 1 + inner.chars().count() < signs.len();
                let mut numbers = inner.splitn(2, ',');
                let is_number = |text: &str| !text.is_empty() && text.chars().all(|sign| sign.is_ascii_digit());
                let is_count = is_closed
                    && at > 0
                    && numbers.next().is_some_and(is_number)
                    && numbers.next().is_none_or(|most| most.is_empty() || is_number(most));
                if is_count {
                    out += &format!("{{{inner}}}");
                    at += inner.len() + 2;
                } else {
                    out += r"\{";
                    at += 1;
                }
            }
            '}' => {
                out += r"\}";
                at += 1;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    Ok(out)
}

/// One `[...]`: signs that only the library reads as operators lose that meaning. Hands on where it ends.
fn class(signs: &[char], start: usize, out: &mut String) -> usize {
    let mut at = start + 1;
    out.push('[');
    if signs.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    let mut is_first = true;
    while at < signs.len() {
        let one = signs[at];
        match one {
            ']' if !is_first => {
                out.push(']');
                return at + 1;
            }
            ']' => out.push_str(r"\]"),
            '\\' => {
                at += 1;
                match signs.get(at) {
                    Some('b') => out.push_str(r"\x08"),
                    Some('e') => out.push_str(r"\x1B"),
                    Some(sign @ ('<' | '>')) => out.push(*sign),
                    Some(sign) if !sign.is_ascii() => out.push(*sign),
                    Some(sign) => {
                        out.push('\\');
                        out.push(*sign);
                    }
                    None => out.push('\\'),
                }
            }
            '[' | '&' | '~' => {
                out.push('\\');
                out.push(one);
            }
            '-' if signs.get(at + 1) == Some(&'-') => out.push_str(r"\-"),
            other => out.push(other),
        }
        is_first = false;
        at += 1;
    }
    at
}

/// `-replace`: each match replaced by `replacement`, in which `$1`, `${name}`, `$&` and `$$` have a meaning.
pub fn replace(regex: &Regex, text: &str, replacement: &str) -> String {
    replace_with(regex, text, |captures| expand(regex, captures, replacement, text))
}

/// The groups of an expression in the order in which .NET counts them: those without a name first.
pub fn groups(regex: &Regex) -> Vec<(usize, Option<&str>)> {
    let (mut plain, mut named): (Vec<_>, Vec<_>) =
        regex.capture_names().enumerate().partition(|(_, name)| name.is_none());
    plain.append(&mut named);
    plain
}

/// The same with a function that says what each match becomes.
pub fn replace_with(regex: &Regex, text: &str, mut becomes: impl FnMut(&Captures<'_>) -> String) -> String {
    regex.replace_all(text, |captures: &Captures<'_>| becomes(captures)).into_owned()
}

/// A replacement with its references filled in.
pub fn expand(regex: &Regex, captures: &Captures<'_>, replacement: &str, text: &str) -> String {
    let order = groups(regex);
    let group = |name: &str| -> Option<String> {
        let found = match name.parse::<usize>() {
            Ok(number) => order.get(number).map(|(at, _)| captures.get(*at)),
            Err(_) => captures.name(name).map(Some),
        };
        found.map(|found| found.map_or_else(String::new, |found| found.as_str().to_owned()))
    };
    let mut out = String::new();
    let mut rest = replacement;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        let after = &rest[at + 1..];
        let digits = after.len() - after.trim_start_matches(|sign: char| sign.is_ascii_digit()).len();
        let whole = captures.get(0).expect("group 0 is the match itself");
        let (filled, taken) = match after.chars().next() {
            Some('$') => (Some("$".to_owned()), 1),
            Some('&') => (Some(whole.as_str().to_owned()), 1),
            Some('`') => (Some(text[..whole.start()].to_owned()), 1),
            Some('\'') => (Some(text[whole.end()..].to_owned()), 1),
            Some('{') => match after.find('}') {
                Some(end) => (group(&after[1..end]), end + 1),
                None => (None, 0),
            },
            // The longest number that names a group: $10 is group 1 and a zero where there are nine.
            Some(_) if digits > 0 => (1..=digits)
                .rev()
                .find_map(|length| group(&after[..length]).map(|text| (Some(text), length)))
                .unwrap_or((None, 0)),
            _ => (None, 0),
        };
        match filled {
            Some(filled) => out += &filled,
            None => {
                out.push('$');
                rest = after;
                continue;
            }
        }
        rest = &after[taken..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_scripts_match_as_in_the_original() {
        for (pattern, text, expected) in [
            (r"^\d{1,3}(\.\d{1,3}){3}$", "10.0.0.5", true),
            (r"relay", "My RELAY", true),
            (r"^{", "{x}", true),
            (r"a{b}", "a{b}", true),
            (r"[\w\.-]+@[\w\.-]+", "it@x.example", true),
            (r"[[]x", "[x", true),
            (r"(?<host>\w+)\.", "mx1.", true),
            (r"(?'host'\w+)\.", "mx1.", true),
            (r"\<x\>", "<x>", true),
            (r"x\Z", "x", true),
            (r"\p{L}{2}", "äö", true),
            (r"C:\\Logs\\", r"c:\logs\", true),
            (r"a(?#note)b", "ab", true),
            (r"[a&&b]", "&", true),
        ] {
            assert_eq!(compile(pattern, false).expect(pattern).is_match(text), expected, "{pattern} on {text}");
        }
        assert!(!compile("relay", true).expect("simple").is_match("RELAY"));
    }

    #[test]
    fn what_takes_more_than_linear_time_is_refused_by_name() {
        for (pattern, word) in [
            (r"(?!x)y", "looks ahead"),
            (r"(?<=x)y", "looks ahead or behind"),
            (r"(a)\1", "refers back"),
            (r"(?<n>a)\k<n>", "refers back"),
            (r"(?>a)", "not known here"),
            (r"(", "unclosed"),
            (r"\", "backslash"),
            (r"(((a{100}){100}){100}){100}", "too large"),
        ] {
            let fault = compile(pattern, false).expect_err(pattern);
            assert!(fault.message.contains(word), "{pattern}: {}", fault.message);
        }
    }

    #[test]
    fn replacements_fill_in_groups() {
        for (pattern, text, replacement, expected) in [
            (r"(\w+)@(\w+)", "a@b", "$2 at $1", "b at a"),
            (r"(?<u>\w+)@", "a@b", "${u}-", "a-b"),
            ("x", "axb", "$$", "a$b"),
            ("x", "axb", "[$&]", "a[x]b"),
            ("(x)", "axb", "$10", "ax0b"),
            ("x", "axb", "$9", "a$9b"),
            ("x", "axb", "$", "a$b"),
            (r"\\", r"a\b", "/", "a/b"),
        ] {
            let regex = compile(pattern, false).expect(pattern);
            assert_eq!(replace(&regex, text, replacement), expected, "{pattern}");
        }
    }
}
