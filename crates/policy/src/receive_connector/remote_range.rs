//! Remote IP ranges in every form that Exchange takes and echoes (fact sheet section 1.6).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::note::Note;

/// An inclusive range of addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRange {
    /// The lowest address.
    pub first: IpAddr,
    /// The highest address; never below `first`, always of its family.
    pub last: IpAddr,
    /// As it was written.
    pub text: Box<str>,
    /// What the administrator noted beside it.
    pub note: Option<Box<Note>>,
    /// Where it stands in the settings document, in bytes.
    pub span: Range<usize>,
}

/// Why a text is no range. The `Display` form is a half sentence for the person who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// An address in it is none.
    #[error("it is no IP address, range or network")]
    Address,
    /// The first address is the higher one.
    #[error("the first address is higher than the second")]
    Order,
    /// The two addresses are of different families.
    #[error("one end is IPv4 and the other IPv6")]
    Family,
    /// The number of network bits is out of range.
    #[error("the number behind the slash is not a number of network bits of that family")]
    Bits,
    /// The mask has holes, or stands with IPv6.
    #[error("the mask is not an IPv4 mask, a run of ones followed by zeros")]
    Mask,
    /// `0.0.0.0` or `::` alone, which names no host.
    #[error("the unspecified address names no host")]
    Unspecified,
}

impl RemoteRange {
    /// Reads a single address, `first-last`, `network/bits`, `network/mask` or `network(mask)`. Host bits are masked
    /// off; a zone index (`%11`) is dropped, since peers are compared without one; IPv4-mapped IPv6 addresses are
    /// IPv4.
    pub fn parse(text: &str, span: Range<usize>) -> Result<RemoteRange, RangeError> {
        let (first, last) = bounds(text.trim())?;
        let (first, last) = match (first, last) {
            (IpAddr::V6(v6_first), IpAddr::V6(v6_last)) => {
                match (v6_first.to_ipv4_mapped(), v6_last.to_ipv4_mapped()) {
                    (Some(v4_first), Some(v4_last)) => (v4_first.into(), v4_last.into()),
                    _ => (first, last),
                }
            }
            _ => (first, last),
        };
        if first.is_ipv4() != last.is_ipv4() {
            return Err(RangeError::Family);
        }
        if first > last {
            return Err(RangeError::Order);
        }
        if first == last && first.is_unspecified() {
            return Err(RangeError::Unspecified);
        }
        Ok(RemoteRange { first, last, text: text.into(), note: None, span })
    }

    /// Whether the range holds `address`. IPv4-mapped addresses are IPv4; a range of one family never holds an
    /// address of the other.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// The instant from which on the range is as if it were not there, in milliseconds since 1970 UTC.
    pub fn expires_ms(&self) -> Option<u64> {
        self.note.as_ref().and_then(|note| note.expires_ms)
    }

    /// Whether the range is as if it were not there.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.note.as_ref().is_some_and(|note| note.is_expired(now_ms))
    }

    /// How many addresses the range holds, less one (so that all of IPv6 still fits).
    pub fn span_of_addresses(&self) -> u128 {
        number(self.last) - number(self.first)
    }
}

/// As it was written.
impl fmt::Display for RemoteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The address as a number within its family.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn bounds(text: &str) -> Result<(IpAddr, IpAddr), RangeError> {
    if let Some((first, last)) = text.split_once('-') {
        return Ok((address(first)?, address(last)?));
    }
    if let Some((network, mask)) = text.split_once('(') {
        let mask = mask.strip_suffix(')').ok_or(RangeError::Address)?;
        return masked_bounds(address(network)?, mask);
    }
    let Some((network, bits)) = text.split_once('/') else {
        let address = address(text)?;
        return Ok((address, address));
    };
    let bits = bits.trim();
    if bits.contains(['.', ':']) {
        return masked_bounds(address(network)?, bits);
    }
    // `parse` alone would take a plus sign.
    if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RangeError::Bits);
    }
    let network = address(network)?;
    network_bounds(network, bits.parse().map_err(|_| RangeError::Bits)?)
}

fn address(text: &str) -> Result<IpAddr, RangeError> {
    let text = text.trim();
    let bare = match text.split_once('%') {
        Some((v6, zone)) if v6.contains(':') && !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            v6
        }
        Some(_) => return Err(RangeError::Address),
        None => text,
    };
    bare.parse().map_err(|_| RangeError::Address)
}

/// Masks are an IPv4 custom; IPv6 counts bits.
fn masked_bounds(network: IpAddr, mask: &str) -> Result<(IpAddr, IpAddr), RangeError> {
    let (IpAddr::V4(_), IpAddr::V4(mask)) = (network, address(mask)?) else { return Err(RangeError::Mask) };
    let mask = u32::from(mask);
    if mask.leading_ones() + mask.trailing_zeros() < u32::BITS {
        return Err(RangeError::Mask);
    }
    network_bounds(network, mask.leading_ones())
}

fn network_bounds(network: IpAddr, bits: u32) -> Result<(IpAddr, IpAddr), RangeError> {
    match network {
        IpAddr::V4(v4) if bits <= 32 => {
            let host_bits = u32::MAX.checked_shr(bits).unwrap_or(0);
            let first = u32::from(v4) & !host_bits;
            Ok((Ipv4Addr::from(first).into(), Ipv4Addr::from(first | host_bits).into()))
        }
        IpAddr::V6(v6) if bits <= 128 => {
            let host_bits = u128::MAX.checked_shr(bits).unwrap_or(0);
            let first = u128::from(v6) & !host_bits;
            Ok((Ipv6Addr::from(first).into(), Ipv6Addr::from(first | host_bits).into()))
        }
        _ => Err(RangeError::Bits),
    }
}
