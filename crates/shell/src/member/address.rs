//! `[System.Net.IPAddress]`.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::convert;
use crate::fault::Fault;
use crate::value::{Foreign, Value};

/// An address of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub IpAddr);

impl Address {
    /// Reads one: IPv4, IPv6 with or without brackets and zone; a number is the four bytes of an IPv4 address.
    pub fn parse(text: &str) -> Option<Address> {
        let text = text.trim();
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let text = text.split('%').next().unwrap_or(text);
        if let Ok(address) = text.parse() {
            return Some(Address(address));
        }
        text.parse::<u32>().ok().map(|number| Address(IpAddr::V4(Ipv4Addr::from(number))))
    }

    /// As a value.
    pub fn value(address: IpAddr) -> Value {
        Value::foreign(Address(address))
    }

    /// The address that a value is or that its text names.
    pub fn of(value: &Value) -> Option<Address> {
        match value.downcast::<Address>() {
            Some(address) => Some(*address),
            None => match value {
                Value::Text(text) => Address::parse(text),
                Value::Foreign(foreign) => Address::parse(&foreign.text()),
                _ => None,
            },
        }
    }
}

impl Foreign for Address {
    fn type_name(&self) -> &str {
        "System.Net.IPAddress"
    }

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn properties(&self) -> &[&'static str] {
        &[
            "Address",
            "AddressFamily",
            "ScopeId",
            "IsIPv6Multicast",
            "IsIPv6LinkLocal",
            "IsIPv4MappedToIPv6",
            "IPAddressToString",
        ]
    }

    fn property(&self, name: &str) -> Option<Value> {
        Some(match (name.to_ascii_lowercase().as_str(), self.0) {
            // The bytes as a number, the first byte lowest, as the original has it.
            ("address", IpAddr::V4(address)) => Value::Int(i64::from(u32::from_le_bytes(address.octets()))),
            ("address" | "scopeid", _) => Value::Null,
            ("addressfamily", IpAddr::V4(_)) => Value::text("InterNetwork"),
            ("addressfamily", IpAddr::V6(_)) => Value::text("InterNetworkV6"),
            ("ipaddresstostring", _) => Value::text(self.text()),
            ("isipv6multicast", IpAddr::V6(address)) => Value::Bool(address.is_multicast()),
            ("isipv6linklocal", IpAddr::V6(address)) => Value::Bool(address.is_unicast_link_local()),
            ("isipv4mappedtoipv6", IpAddr::V6(address)) => Value::Bool(address.to_ipv4_mapped().is_some()),
            ("isipv6multicast" | "isipv6linklocal" | "isipv4mappedtoipv6", IpAddr::V4(_)) => Value::Bool(false),
            _ => return None,
        })
    }

    fn call(&self, name: &str, _arguments: &[Value]) -> Option<Result<Value, Fault>> {
        Some(Ok(match name.to_ascii_lowercase().as_str() {
            "getaddressbytes" => {
                let bytes = match self.0 {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                Value::array(bytes.into_iter().map(|byte| Value::Int(byte.into())).collect())
            }
            "maptoipv6" => Address::value(match self.0 {
                IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
                other => other,
            }),
            "maptoipv4" => Address::value(match self.0 {
                IpAddr::V6(address) => IpAddr::V4(address.to_ipv4().unwrap_or(Ipv4Addr::UNSPECIFIED)),
                other => other,
            }),
            _ => return None,
        }))
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        Address::of(other).map(|other| self.0.cmp(&other.0))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(Address::of(other).is_some_and(|other| self.0 == other.0))
    }
}

/// A constant of the type, as `Loopback`.
pub(super) fn constant(lower: &str) -> Option<Value> {
    Some(Address::value(match lower {
        "any" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "loopback" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        "broadcast" | "none" => IpAddr::V4(Ipv4Addr::BROADCAST),
        "ipv6any" | "ipv6none" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "ipv6loopback" => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => return None,
    }))
}

/// An address of its bytes, or of a number or text.
pub(super) fn made(value: &Value) -> Result<Value, Fault> {
    let wrong = || {
        let mut fault =
            convert::cannot_convert(value, "System.Net.IPAddress", Some("An invalid IP address was specified."));
        fault.exception = "System.FormatException";
        fault
    };
    if let Value::List(list) = value {
        let bytes: Option<Vec<u8>> =
            list.values.borrow().iter().map(|byte| u8::try_from(convert::integer(byte).ok()?).ok()).collect();
        let bytes = bytes.ok_or_else(wrong)?;
        return match (<[u8; 4]>::try_from(bytes.as_slice()), <[u8; 16]>::try_from(bytes.as_slice())) {
            (Ok(four), _) => Ok(Address::value(IpAddr::from(four))),
            (_, Ok(sixteen)) => Ok(Address::value(IpAddr::from(sixteen))),
            _ => Err(wrong()),
        };
    }
    if let Value::Int(number) = value {
        let number = u32::try_from(*number).map_err(|_| wrong())?;
        return Ok(Address::value(IpAddr::from(number.to_le_bytes())));
    }
    Address::of(value).map(|address| Address::value(address.0)).ok_or_else(wrong)
}
