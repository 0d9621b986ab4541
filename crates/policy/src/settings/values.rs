//! The values of a settings document: sizes, time spans, flags, addresses, each as Exchange writes it
//! (fact sheet sections 1.2, 1.3 and 4.4).
//!
//! Takes one node of the tree, hands on a value or what is wrong with it. Knows no keys and no places.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gatepost_mail::{Domain, Mailbox};
use toml::de::DeValue;

use super::reader::{Wrong, nearest, shown};
use crate::back_pressure::Thresholds;
use crate::send_connector::{AddressSpace, Host, SmartHost, Space};

/// Longest name of a connector or user, in characters.
const NAME_CHARS_MAX: usize = 64;
/// Longest banner or comment, in bytes; a greeting line is at most 512 with its CRLF (RFC 5321 section 4.5.3.1.5).
const BANNER_BYTES_MAX: usize = 510;
const COMMENT_BYTES_MAX: usize = 4096;
/// Longest reason for an accepted risk or an assertion, in characters.
const REASON_CHARS_MAX: usize = 1000;

/// A value of another type than `expected`.
pub(super) fn wrong_type(expected: &str, value: &DeValue<'_>, remedy: impl Into<String>) -> Wrong {
    let article =
        |noun: &str| if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }.to_owned() + " " + noun;
    Wrong::new(format!("expected {expected}, found {}", article(value.type_str())), remedy)
}

pub(super) fn string<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Wrong> {
    match value {
        DeValue::String(text) => Ok(text),
        DeValue::Integer(number) => {
            Err(wrong_type("text", value, format!("put it between quotes: \"{}\"", shown(number.as_str()))))
        }
        DeValue::Boolean(yes) => Err(wrong_type("text", value, format!("put it between quotes: \"{yes}\""))),
        _ => Err(wrong_type("text", value, "write one text between double quotes")),
    }
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Wrong> {
    let remedy = match value {
        DeValue::String(text) if text.trim_start_matches('$').eq_ignore_ascii_case("true") => {
            "write true, without quotes"
        }
        DeValue::String(text) if text.trim_start_matches('$').eq_ignore_ascii_case("false") => {
            "write false, without quotes"
        }
        _ => "write true or false",
    };
    value.as_bool().ok_or_else(|| wrong_type("true or false", value, remedy))
}

/// The name of a connector or a user.
pub(super) fn name<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Wrong> {
    let text = string(value)?;
    let fits = !text.is_empty() && text.chars().nth(NAME_CHARS_MAX).is_none();
    if fits && text.trim() == text && !text.contains(char::is_control) {
        return Ok(text);
    }
    Err(Wrong::new(
        format!("`{}` is no name", shown(text)),
        format!("write 1 to {NAME_CHARS_MAX} characters, without control characters and without spaces at the ends"),
    ))
}

pub(super) fn comment(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value)?;
    if text.len() <= COMMENT_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(Wrong::new("the comment is too long", format!("write at most {COMMENT_BYTES_MAX} bytes")))
}

/// Why something was done, in somebody's words: one line that says something.
pub(super) fn reason(value: &DeValue<'_>) -> Result<Box<str>, Wrong> {
    let remedy = format!("write in one line of at most {REASON_CHARS_MAX} characters why, and who decided it");
    let text = string(value).map_err(|wrong| Wrong { remedy: remedy.clone(), ..wrong })?.trim();
    match text {
        "" => Err(Wrong::new("the reason is empty", remedy)),
        text if text.contains(char::is_control) => Err(Wrong::new("the reason has control characters in it", remedy)),
        text if text.chars().nth(REASON_CHARS_MAX).is_some() => Err(Wrong::new("the reason is too long", remedy)),
        text => Ok(text.into()),
    }
}

/// The whole greeting.
pub(super) fn banner(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value)?;
    let starts = text == "220" || text.starts_with("220 ");
    if !starts {
        return Err(Wrong::new("a banner starts with 220", format!("write \"220 {}\"", shown(text))));
    }
    if text.len() > BANNER_BYTES_MAX || !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Err(Wrong::new(
            "the banner is not one line of printable ASCII",
            format!("write one line of at most {BANNER_BYTES_MAX} printable ASCII characters"),
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn path(value: &DeValue<'_>) -> Result<std::path::PathBuf, Wrong> {
    let text = string(value)?;
    if text.is_empty() || text.contains('\0') {
        return Err(Wrong::new("this is no path", "write the path of a file or folder"));
    }
    Ok(text.into())
}

fn whole_number(value: &DeValue<'_>) -> Option<i128> {
    match value {
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// A whole number within bounds.
pub(super) fn number(min: u32, max: u32) -> impl Fn(&DeValue<'_>) -> Result<u32, Wrong> {
    move |value| {
        let remedy = format!("write a whole number from {min} to {max}, without quotes");
        let DeValue::Integer(written) = value else { return Err(wrong_type("a whole number", value, remedy)) };
        let number = whole_number(value).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| (min..=max).contains(number)).ok_or_else(|| out_of_bounds(written.as_str(), remedy))
    }
}

fn out_of_bounds(written: &str, remedy: String) -> Wrong {
    Wrong::new(format!("{} is out of bounds", shown(written)), remedy)
}

fn is_unlimited(value: &DeValue<'_>) -> bool {
    value.as_str().is_some_and(|text| text.trim().eq_ignore_ascii_case("unlimited"))
}

/// A whole number within bounds, or `unlimited`.
pub(super) fn number_or_unlimited(min: u32, max: u32) -> impl Fn(&DeValue<'_>) -> Result<Option<u32>, Wrong> {
    move |value| {
        if is_unlimited(value) {
            return Ok(None);
        }
        number(min, max)(value).map(Some).map_err(|wrong| Wrong {
            remedy: format!("write a whole number from {min} to {max}, or \"unlimited\""),
            ..wrong
        })
    }
}

/// The four thresholds of a resource, each from 0 to `max`, in the order of the fact sheet's table; or `unlimited`. `example`
/// is what an administrator may write.
pub(super) fn thresholds(max: u64, example: [u64; 4]) -> impl Fn(&DeValue<'_>) -> Result<Option<[u64; 4]>, Wrong> {
    move |value| {
        if is_unlimited(value) {
            return Ok(None);
        }
        let remedy = format!(
            "write four whole numbers up to {max}: above which Normal becomes Medium and Medium becomes High, below which \
             High becomes Medium and Medium becomes Normal, for example {example:?}; or \"unlimited\""
        );
        let Some(array) = value.as_array() else { return Err(wrong_type("four thresholds", value, remedy)) };
        let mut numbers = Vec::with_capacity(array.len());
        for (place, element) in array.iter().enumerate() {
            let number = whole_number(element.get_ref()).and_then(|number| u64::try_from(number).ok());
            match number.filter(|number| *number <= max) {
                Some(number) => numbers.push(number),
                None => {
                    let message = format!("the threshold {} of the list is no whole number up to {max}", place + 1);
                    return Err(Wrong::new(message, remedy));
                }
            }
        }
        let Ok(numbers) = <[u64; 4]>::try_from(numbers) else {
            return Err(Wrong::new(format!("there have to be four thresholds, not {}", array.len()), remedy));
        };
        match disorder(numbers) {
            None => Ok(Some(numbers)),
            Some(message) => Err(Wrong::new(message, remedy)),
        }
    }
}

/// What keeps these thresholds from being in order.
fn disorder(numbers: [u64; 4]) -> Option<String> {
    let [to_medium, to_high, from_high, from_medium] = numbers;
    let message = if Thresholds::count(numbers).is_in_order() {
        return None;
    } else if to_medium > to_high {
        format!("Medium would begin at {to_medium}, above High at {to_high}")
    } else if from_high > to_high {
        format!("High would begin at {to_high} and end below {from_high}, at once")
    } else if from_medium > to_medium {
        format!("Medium would begin at {to_medium} and end below {from_medium}, at once")
    } else if from_high < from_medium {
        format!("Medium would end below {from_medium}, High only below {from_high}")
    } else {
        "no amount is below 0: the level would never fall".to_owned()
    };
    Some(message)
}

/// A size within bounds, in bytes.
pub(super) fn size(min: u64, max: u64) -> impl Fn(&DeValue<'_>) -> Result<u64, Wrong> {
    move |value| {
        let remedy = format!("write a size from {} to {}, for example \"36 MB\"", echo(min), echo(max));
        let (bytes, written) = match value {
            DeValue::Integer(number) => {
                (whole_number(value).and_then(|number| u64::try_from(number).ok()), number.as_str())
            }
            DeValue::String(text) => match parse_size(text) {
                Some(bytes) => (Some(bytes), text.as_ref()),
                None => return Err(Wrong::new(format!("`{}` is no size", shown(text)), remedy)),
            },
            _ => return Err(wrong_type("a size", value, remedy)),
        };
        bytes.filter(|bytes| (min..=max).contains(bytes)).ok_or_else(|| out_of_bounds(written, remedy))
    }
}

/// A size within bounds, or `unlimited`.
pub(super) fn size_or_unlimited(max: u64) -> impl Fn(&DeValue<'_>) -> Result<Option<u64>, Wrong> {
    move |value| if is_unlimited(value) { Ok(None) } else { size(0, max)(value).map(Some) }
}

/// Reads `36 MB`, `36MB`, `1.5 gb`, `37748736` and the echo form `36 MB (37,748,736 bytes)`, whose parenthesis counts.
/// Units are binary multiples, as Exchange's are.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some((head, tail)) = text.split_once('(') {
        let rounded = parse_size(head)?;
        let bytes = tail.strip_suffix(')')?.trim();
        let bytes = bytes.strip_suffix("bytes").or_else(|| bytes.strip_suffix("byte"))?;
        let bytes = parse_digits(bytes.trim())?;
        // The head of the echo form is rounded, but not to something else.
        return (rounded.abs_diff(bytes) <= bytes / 100).then_some(bytes);
    }
    let unit_start = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_start);
    let unit: u64 = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let bytes = parse_digits(whole)?.checked_mul(unit)?;
    if fraction.is_empty() {
        return (!number.contains('.')).then_some(bytes);
    }
    if unit == 1 || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let scale = 10_u128.pow(fraction.len() as u32);
    let part = u128::from(unit) * fraction.parse::<u128>().ok()? / scale;
    bytes.checked_add(u64::try_from(part).ok()?)
}

/// Digits, with commas between groups of three as Exchange echoes them.
fn parse_digits(text: &str) -> Option<u64> {
    let grouped = text.contains(',');
    let mut digits = String::with_capacity(text.len());
    for (i, group) in text.split(',').enumerate() {
        let length_fits = if !grouped {
            true
        } else if i == 0 {
            (1..=3).contains(&group.len())
        } else {
            group.len() == 3
        };
        if !length_fits || group.is_empty() || !group.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.push_str(group);
    }
    digits.parse().ok()
}

/// The size as people write it.
fn echo(bytes: u64) -> String {
    match [(1_u64 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")]
        .into_iter()
        .find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit))
    {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

/// A time span within bounds, in seconds.
pub(super) fn time_span(min_seconds: u64, max_seconds: u64) -> impl Fn(&DeValue<'_>) -> Result<Duration, Wrong> {
    move |value| {
        let remedy = format!(
            "write a time span [d.]hh:mm:ss from {} to {}, for example \"00:10:00\" for ten minutes",
            span_echo(min_seconds),
            span_echo(max_seconds)
        );
        let text = match value {
            DeValue::String(text) => text,
            // 00:10:00 without quotes is a TOML time of day.
            DeValue::Datetime(_) => {
                return Err(wrong_type("a time span", value, "put it between quotes: \"00:10:00\""));
            }
            _ => return Err(wrong_type("a time span", value, remedy)),
        };
        let Some(seconds) = parse_time_span(text) else {
            return Err(Wrong::new(format!("`{}` is no time span", shown(text)), remedy));
        };
        if (min_seconds..=max_seconds).contains(&seconds) {
            Ok(Duration::from_secs(seconds))
        } else {
            Err(out_of_bounds(text, remedy))
        }
    }
}

/// Reads `[d.]hh:mm:ss` as seconds.
fn parse_time_span(text: &str) -> Option<u64> {
    let text = text.trim();
    let (days, time) = text.split_once('.').map_or((None, text), |(days, time)| (Some(days), time));
    let number = |part: &str, digits_max: usize, below: u64| -> Option<u64> {
        let plain = (1..=digits_max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten().filter(|number| *number < below)
    };
    let days = days.map_or(Some(0), |days| number(days, 5, 100_000))?;
    let mut parts = time.split(':');
    let mut next = |below| parts.next().and_then(|part| number(part, 2, below));
    let (hours, minutes, seconds) = (next(24)?, next(60)?, next(60)?);
    parts.next().is_none().then_some(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

fn span_echo(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 { time } else { format!("{days}.{time}") }
}

/// One of several names, in any case.
pub(super) fn choice<T: Copy>(choices: &'static [(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, Wrong> {
    move |value| {
        let text = string(value)?.trim();
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, choice)| *choice).ok_or_else(|| unknown_name(text, choices.iter().map(|(name, _)| *name)))
    }
}

/// A name that is none of `known`.
pub(super) fn unknown_name<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> Wrong {
    let message = format!("there is no `{}`", shown(name));
    match nearest(name, known.clone()) {
        Some(meant) => Wrong::new(message, format!("did you mean `{meant}`?")),
        None => Wrong::new(message, format!("write one of {}", known.collect::<Vec<_>>().join(", "))),
    }
}

/// The names in one text of a flag value, with commas between; trimmed, never empty.
pub(super) fn flag_names(value: &DeValue<'_>) -> Result<Vec<String>, Wrong> {
    let names = string(value)?.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

/// A domain name, no address literal.
pub(super) fn domain(value: &DeValue<'_>) -> Result<Domain, Wrong> {
    parse_domain(string(value)?)
}

fn parse_domain(text: &str) -> Result<Domain, Wrong> {
    let remedy = "write a domain name such as mail.contoso.com";
    match Domain::parse(text) {
        Ok(domain) if domain.is_literal() => {
            Err(Wrong::new(format!("`{}` is an address literal", shown(text)), remedy))
        }
        Ok(domain) => Ok(domain),
        Err(error) => Err(Wrong::new(format!("`{}` is no domain: {error}", shown(text)), remedy)),
    }
}

/// `contoso.com` or `*.contoso.com`; the latter is `true`.
pub(super) fn domain_with_subdomains(value: &DeValue<'_>) -> Result<(Domain, bool), Wrong> {
    let text = string(value)?;
    if text == "*" {
        return Err(Wrong::new(
            "`*` would accept mail for every domain from everybody",
            "write the domains; to let a host relay anywhere, grant it ms-Exch-SMTP-Accept-Any-Recipient",
        ));
    }
    domain_pattern(value)
}

/// The same where `*` alone is no domain like any other text.
pub(super) fn domain_pattern(value: &DeValue<'_>) -> Result<(Domain, bool), Wrong> {
    let text = string(value)?.trim();
    match text.strip_prefix("*.") {
        Some(parent) => Ok((parse_domain(parent)?, true)),
        None => Ok((parse_domain(text)?, false)),
    }
}

pub(super) fn mailbox(value: &DeValue<'_>) -> Result<Mailbox, Wrong> {
    let text = string(value)?;
    Mailbox::parse(text).map_err(|error| {
        Wrong::new(format!("`{}` is no address: {error}", shown(text)), "write an address such as bob@contoso.com")
    })
}

/// A local address and port; IPv4-mapped addresses are IPv4.
pub(super) fn binding(value: &DeValue<'_>) -> Result<SocketAddr, Wrong> {
    let text = string(value)?;
    let remedy =
        "write address:port, for example \"0.0.0.0:25\" or \"[::]:25\" for all addresses, \"10.1.1.1:25\" for one";
    match text.trim().parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(match address.ip().to_canonical() {
            IpAddr::V4(v4) => SocketAddr::from((v4, address.port())),
            // As it is: a link-local address is not complete without its zone.
            IpAddr::V6(_) => address,
        }),
        _ => Err(Wrong::new(format!("`{}` is no local address with a port", shown(text)), remedy)),
    }
}

/// A name server: an address with or without a port.
pub(super) fn name_server(value: &DeValue<'_>) -> Result<SocketAddr, Wrong> {
    let text = string(value)?.trim();
    let with_port = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    with_port.or_else(|| text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53))).ok_or_else(|| {
        Wrong::new(
            format!("`{}` is no address of a name server", shown(text)),
            "write an IP address, with a port if it is not 53: \"192.0.2.53\", \"[2001:db8::53]:5353\"",
        )
    })
}

/// `[Type:]space[;cost]`.
pub(super) fn address_space(value: &DeValue<'_>) -> Result<AddressSpace, Wrong> {
    let text = string(value)?.trim();
    let remedy = "write SMTP:, a domain, *.domain or *, and a cost from 1 to 100: \"SMTP:*;1\", \"contoso.com;5\"";
    let (rest, cost) = match text.split_once(';') {
        None => (text, 1),
        Some((rest, cost)) => {
            let plain = !cost.is_empty() && cost.bytes().all(|b| b.is_ascii_digit());
            let cost = plain.then(|| cost.parse().ok()).flatten().filter(|cost| (1..=100).contains(cost));
            (rest, cost.ok_or_else(|| Wrong::new(format!("`{}` has no cost from 1 to 100", shown(text)), remedy))?)
        }
    };
    let space = match rest.split_once(':') {
        None => rest,
        Some((kind, space)) if kind.eq_ignore_ascii_case("SMTP") => space,
        Some((kind, _)) => {
            let message = format!("nothing here can deliver to addresses of type `{}`", shown(kind));
            return Err(Wrong::new(message, remedy));
        }
    };
    let space = match (space, space.strip_prefix("*.")) {
        ("*", _) => Space::All,
        ("--", _) => Space::AcceptedDomains,
        (_, Some(parent)) => Space::WithSubdomains(parse_domain(parent)?),
        (name, None) => Space::Exact(parse_domain(name)?),
    };
    Ok(AddressSpace { space, cost })
}

/// `[Type:]space[;cost]` as text; `None`: no address space.
pub fn parse_address_space(text: &str) -> Option<AddressSpace> {
    address_space(&DeValue::String(text.into())).ok()
}

/// One of our own addresses; `0.0.0.0` and `::` are none.
pub(super) fn source_address(value: &DeValue<'_>) -> Result<Option<IpAddr>, Wrong> {
    let text = string(value)?.trim();
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let remedy = "write an address of this machine: \"192.0.2.10\" or \"2001:db8::10\", or one of each";
    let Ok(address) = plain.parse::<IpAddr>() else {
        return Err(Wrong::new(format!("`{}` is no IP address", shown(text)), remedy));
    };
    let address = address.to_canonical();
    if address.is_multicast() || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        return Err(Wrong::new(format!("`{address}` is no address that a connection can come from"), remedy));
    }
    Ok(Some(address).filter(|address| !address.is_unspecified()))
}

/// A smart host as text, with the port that it names; `None`: no smart host.
pub fn parse_smart_host(text: &str) -> Option<(Host, Option<u16>)> {
    smart_host(&DeValue::String(text.into())).ok()
}

/// An address in brackets or a name, each with or without a port; `None` is the connector's port.
pub(super) fn smart_host(value: &DeValue<'_>) -> Result<(Host, Option<u16>), Wrong> {
    let text = string(value)?.trim();
    let wrong = || {
        Wrong::new(
            format!("`{}` is no smart host", shown(text)),
            "write \"[10.0.0.1]\", \"[2001:db8::1]:2525\", \"relay.example.net\" or \"relay.example.net:587\"",
        )
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((Host::Address(address.to_canonical()), None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let port = Some(address.port()).filter(|port| *port != 0).ok_or_else(wrong)?;
        return Ok((Host::Address(address.ip().to_canonical()), Some(port)));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']').ok_or_else(wrong)?;
            let tagged = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
            let address: IpAddr = if tagged { &inner[5..] } else { inner }.parse().map_err(|_| wrong())?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(wrong)?) };
            (Host::Address(address.to_canonical()), port)
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
            // Four numbers are an address that was mistyped, never a host's name.
            let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let name = Domain::parse(name).ok().filter(|_| !numeric).ok_or_else(wrong)?;
            (Host::Name(name), port)
        }
    };
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong)?)
        }
        Some(_) => return Err(wrong()),
    };
    Ok((host, port))
}

/// The smart host with the connector's port where it names none.
pub(super) fn with_port((host, port): (Host, Option<u16>), default: u16) -> SmartHost {
    SmartHost { host, port: port.unwrap_or(default) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_multiples_in_every_form_of_exchange() {
        for (text, expected) in [
            ("36 MB", Some(37_748_736)),
            ("36MB", Some(37_748_736)),
            ("36mb", Some(37_748_736)),
            ("36 MB (37,748,736 bytes)", Some(37_748_736)),
            ("1.953 KB (2,000 bytes)", Some(2_000)),
            ("37748736", Some(37_748_736)),
            ("37,748,736", Some(37_748_736)),
            ("1.5 GB", Some(1_610_612_736)),
            ("10 B", Some(10)),
            ("1TB", Some(1_099_511_627_776)),
            ("0", Some(0)),
            ("36 MB (12 bytes)", None),
            ("36 MB (37,748,736)", None),
            ("36 MiB", None),
            ("36 M", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1. MB", None),
            (".5 MB", None),
            ("1,23 MB", None),
            ("MB", None),
            ("", None),
            ("99999999999999999999", None),
            ("99999999999 TB", None),
            ("unlimited", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn time_spans_have_days_hours_minutes_and_seconds() {
        for (text, expected) in [
            ("00:10:00", Some(600)),
            ("2.00:00:00", Some(172_800)),
            ("1.02:03:04", Some(93_784)),
            ("0:5:0", Some(300)),
            ("23:59:59", Some(86_399)),
            ("24:00:00", None),
            ("00:60:00", None),
            ("00:00:60", None),
            ("00:10", None),
            ("00:10:00:00", None),
            ("10", None),
            ("10m", None),
            ("-00:10:00", None),
            ("1.", None),
            (".00:10:00", None),
            ("00:10:00.5", None),
            ("999999.00:00:00", None),
        ] {
            assert_eq!(parse_time_span(text), expected, "{text}");
        }
    }

    #[test]
    fn smart_hosts_are_addresses_in_brackets_or_names() {
        for (text, expected) in [
            ("[127.0.0.1]:2600", Some("[127.0.0.1]:2600")),
            ("[127.0.0.1]", Some("[127.0.0.1]:25")),
            ("10.0.0.1", Some("[10.0.0.1]:25")),
            ("[2001:db8::1]", Some("[2001:db8::1]:25")),
            ("[IPv6:2001:db8::1]:587", Some("[2001:db8::1]:587")),
            ("relay.example.net", Some("relay.example.net:25")),
            ("relay.example.net:587", Some("relay.example.net:587")),
            ("localhost:2600", Some("localhost:2600")),
            ("10.0.0.1:26", Some("[10.0.0.1]:26")),
            ("[127.0.0.1]:0", None),
            ("[127.0.0.1", None),
            ("[127.0.0.1]25", None),
            ("[relay.example.net]", None),
            ("relay.example.net:0", None),
            ("relay.example.net:70000", None),
            ("relay.example.net:+25", None),
            ("10.0.0.256", None),
            ("", None),
        ] {
            let value = DeValue::String(text.into());
            let read = smart_host(&value).ok().map(|host| with_port(host, 25).to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn address_spaces_have_a_type_and_a_cost() {
        for (text, expected) in [
            ("SMTP:*;1", Some("SMTP:*;1")),
            ("*", Some("SMTP:*;1")),
            ("contoso.com;5", Some("SMTP:contoso.com;5")),
            ("smtp:*.Contoso.com;100", Some("SMTP:*.contoso.com;100")),
            ("contoso.com;0", None),
            ("contoso.com;101", None),
            ("contoso.com;", None),
            ("X400:c=us;1", None),
            ("--", Some("SMTP:--;1")),
            ("SMTP:--;7", Some("SMTP:--;7")),
            ("*contoso.com", None),
            ("*.", None),
            ("", None),
        ] {
            let read = address_space(&DeValue::String(text.into())).ok().map(|space| space.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
