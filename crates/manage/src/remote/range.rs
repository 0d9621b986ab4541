//! Ranges of addresses, and single addresses (fact sheet section 1.6).

use std::cmp::Ordering;
use std::net::IpAddr;
use std::rc::Rc;

use gatepost_policy::receive_connector::RemoteRange;
use gatepost_shell::fault::Fault;
use gatepost_shell::value::{Foreign, Value};

use super::text_of::text;

/// `10.0.0.0/24`, with its bounds.
#[derive(Debug)]
struct IpRange(RemoteRange);

/// The range that a text is.
///
/// # Errors
/// Why it is none.
pub fn value(text: &str) -> Result<Value, String> {
    let range = RemoteRange::parse(text, 0..0).map_err(|error| error.to_string())?;
    Ok(Value::Foreign(Rc::new(IpRange(range))))
}

/// The address that a text is.
///
/// # Errors
/// Why it is none.
pub fn address_value(text: &str) -> Result<Value, String> {
    text.trim().parse().map(address).map_err(|_| "it is no IP address".to_owned())
}

pub(super) fn address(address: IpAddr) -> Value {
    Value::Foreign(Rc::new(Address(address)))
}

impl IpRange {
    fn prefix(&self) -> Option<u32> {
        let (first, last) = (number(self.0.first), number(self.0.last));
        let width = if self.0.first.is_ipv4() { 32 } else { 128 };
        let host_bits = (first ^ last).checked_add(1).map_or(128, u128::trailing_zeros);
        let is_network = (first ^ last).checked_add(1).is_none_or(u128::is_power_of_two) && first & (first ^ last) == 0;
        is_network.then(|| width - host_bits)
    }

    fn format(&self) -> &'static str {
        match &*self.0.text {
            text if text.contains('-') => "LoHi",
            text if text.contains('(') || text.split_once('/').is_some_and(|(_, mask)| mask.contains('.')) => "Netmask",
            text if text.contains('/') => "CIDR",
            _ => "SingleAddress",
        }
    }
}

impl Foreign for IpRange {
    fn type_name(&self) -> &str {
        "Microsoft.Exchange.Data.IPRange"
    }

    fn text(&self) -> String {
        self.0.text.to_string()
    }

    fn properties(&self) -> &[&'static str] {
        &["LowerBound", "UpperBound", "Netmask", "CIDRLength", "RangeFormat", "Size", "Expression"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        let range = &self.0;
        Some(match name.to_ascii_lowercase().as_str() {
            "lowerbound" => address(range.first),
            "upperbound" => address(range.last),
            "netmask" => match (self.prefix(), range.first) {
                (Some(bits), IpAddr::V4(_)) if self.format() != "LoHi" => {
                    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                    address(IpAddr::V4(mask.into()))
                }
                _ => Value::Null,
            },
            "cidrlength" => match self.prefix().filter(|_| self.format() != "LoHi") {
                Some(bits) => Value::Int(bits.into()),
                None => Value::Null,
            },
            "rangeformat" => Value::text(self.format()),
            "size" => count(range.span_of_addresses()),
            "expression" => Value::text(&range.text),
            _ => return None,
        })
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        let [other] = arguments else { return None };
        if name.eq_ignore_ascii_case("Contains") {
            // An address or a whole range.
            let other = RemoteRange::parse(&text(other), 0..0).ok()?;
            return Some(Ok(Value::Bool(self.0.contains(other.first) && self.0.contains(other.last))));
        }
        if name.eq_ignore_ascii_case("Equals") {
            return self.equals(other).map(|is_same| Ok(Value::Bool(is_same)));
        }
        None
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        let other = RemoteRange::parse(&text(other), 0..0).ok()?;
        Some(key(&self.0).cmp(&key(&other)))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        // What is no range is not the same as one.
        Some(self.compare(other).is_some_and(Ordering::is_eq))
    }
}

fn key(range: &RemoteRange) -> (bool, IpAddr, IpAddr) {
    (range.first.is_ipv6(), range.first, range.last)
}

/// One more than the distance of the bounds; the whole of IPv6 is no whole number that fits.
fn count(distance: u128) -> Value {
    match i64::try_from(distance).ok().and_then(|distance| distance.checked_add(1)) {
        Some(count) => Value::Int(count),
        None => Value::Float(distance as f64 + 1.0),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// One address.
#[derive(Debug)]
struct Address(IpAddr);

impl Foreign for Address {
    fn type_name(&self) -> &str {
        "Microsoft.Exchange.Data.IPvxAddress"
    }

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn property(&self, name: &str) -> Option<Value> {
        Some(match name.to_ascii_lowercase().as_str() {
            "ipaddresstostring" => Value::text(self.text()),
            "addressfamily" => Value::text(if self.0.is_ipv4() { "InterNetwork" } else { "InterNetworkV6" }),
            _ => return None,
        })
    }

    fn call(&self, name: &str, _: &[Value]) -> Option<Result<Value, Fault>> {
        if !name.eq_ignore_ascii_case("GetAddressBytes") {
            return None;
        }
        let bytes = match self.0 {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        Some(Ok(Value::array(bytes.into_iter().map(|byte| Value::Int(byte.into())).collect())))
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        let other: IpAddr = text(other).trim().parse().ok()?;
        Some((self.0.is_ipv6(), self.0).cmp(&(other.is_ipv6(), other)))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(self.compare(other).is_some_and(Ordering::is_eq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Rc<dyn Foreign> {
        match value(text) {
            Ok(Value::Foreign(range)) => range,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_range_tells_its_bounds_its_form_and_its_size() {
        for (written, low, high, mask, bits, format, size) in [
            ("192.168.2.55", "192.168.2.55", "192.168.2.55", "255.255.255.255", "32", "SingleAddress", "1"),
            ("10.0.0.1-10.0.0.9", "10.0.0.1", "10.0.0.9", "", "", "LoHi", "9"),
            ("10.0.1.7/24", "10.0.1.0", "10.0.1.255", "255.255.255.0", "24", "CIDR", "256"),
            ("10.0.0.0(255.255.0.0)", "10.0.0.0", "10.0.255.255", "255.255.0.0", "16", "Netmask", "65536"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", "0.0.0.0", "0", "CIDR", "4294967296"),
            ("2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", "", "64", "CIDR", "18446744073709552000"),
            (
                "::/0",
                "::",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "",
                "0",
                "CIDR",
                "340282366920938500000000000000000000000",
            ),
        ] {
            let range = parse(written);
            for (name, expected) in [
                ("LowerBound", low),
                ("upperbound", high),
                ("Netmask", mask),
                ("CIDRLength", bits),
                ("RangeFormat", format),
                ("Size", size),
                ("Expression", written),
            ] {
                assert_eq!(text(&range.property(name).expect(name)), expected, "{written} {name}");
            }
            assert_eq!(range.text(), written);
        }
    }

    #[test]
    fn a_range_is_what_it_holds_and_not_how_it_is_written() {
        for (one, other, expected) in [
            ("10.0.0.0/24", "10.0.0.0-10.0.0.255", true),
            ("10.0.0.7/24", "10.0.0.0(255.255.255.0)", true),
            ("10.0.0.5", "10.0.0.5/32", true),
            ("10.0.0.5", "10.0.0.6", false),
            ("10.0.0.5", "nonsense", false),
            ("10.0.0.5", "", false),
        ] {
            assert_eq!(parse(one).equals(&Value::text(other)), Some(expected), "{one} {other}");
        }
        let lower = parse("9.255.0.0/16").compare(&Value::text("10.0.0.0/8"));
        assert_eq!(lower, Some(Ordering::Less));
        let holds = parse("10.0.0.0/24").call("Contains", &[Value::text("10.0.0.77")]);
        assert!(matches!(holds, Some(Ok(Value::Bool(true)))));
    }
}
