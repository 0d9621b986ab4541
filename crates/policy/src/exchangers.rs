//! Step 8 of 9 - deliver: which hosts take a domain's mail, at which addresses, and in which order they are tried
//! (RFC 5321 section 5.1, RFC 7505, RFC 3596).
//!
//! Takes what name servers answered, who we are, and dice; hands on addresses, best first, or what the sender is told when
//! there are none. Asks nobody: `transport` does, first for the exchangers, then for their addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use gatepost_mail::Reply;

use crate::public_address;

/// Of a domain's exchangers, so many count at most.
pub const EXCHANGERS_MAX: usize = 64;
/// At most so many addresses are tried in one attempt, so that a hostile zone cannot make us dial for hours.
pub const TARGETS_MAX: usize = 16;
/// Of one host, so many are: its neighbours get their turn.
const ADDRESSES_PER_HOST_MAX: usize = 8;

/// A null MX.
pub const NULL_MX: Reply = Reply::new(556, (5, 1, 10), "The domain does not accept mail (null MX)");
/// The domain, or every host that would take its mail, does not exist.
pub const NO_SUCH_DOMAIN: Reply = Reply::new(554, (5, 4, 4), "SMTPSEND.DNS.NonExistentDomain; nonexistent domain");
/// Name servers do not answer, or say that they cannot.
pub const QUERY_FAILED: Reply = Reply::new(451, (4, 4, 0), "DNS query failed");
/// Nobody but ourselves is named.
pub const LOOPS_BACK: Reply = Reply::new(554, (5, 4, 6), "The domain's mail exchanger is this server: mail would loop");
/// An exchanger is named by an address.
pub const NO_HOST_NAME: Reply =
    Reply::new(554, (5, 4, 4), "The domain's MX records name addresses instead of hosts (RFC 5321 section 5.1)");
/// No exchanger has an address that this connector may use.
pub const NO_USABLE_ADDRESS: Reply =
    Reply::new(554, (5, 4, 4), "The domain's mail exchangers have no address that mail may be sent to");

/// Why name servers hand on no records of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoRecords {
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// It exists and has none of this kind (NODATA).
    OfThisKind,
    /// They fail, refuse, lead nowhere or keep silent: another time there may be some.
    ServersFail,
}

/// A host that takes mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanger {
    /// The lowest is the best.
    pub preference: u16,
    /// Its name, without the final dot.
    pub host: String,
}

/// Which addresses an MX record may lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressScope {
    /// All that can be a host's.
    #[default]
    Any,
    /// Public ones: no zone of a stranger makes us knock at doors of the own network.
    Public,
}

/// What is known about this server when exchangers are chosen.
#[derive(Clone, Copy)]
pub struct Own<'a> {
    /// Its names, in any case.
    pub names: &'a [String],
    /// Whether it listens there itself.
    pub listens_at: &'a (dyn Fn(SocketAddr) -> bool + Sync),
}

impl Own<'_> {
    /// Whether `host` names this server. `localhost` is whoever asks (RFC 6761 section 6.3).
    pub fn is_named(&self, host: &str) -> bool {
        let is_localhost = |name: &str| {
            let label = name.rsplit('.').next().unwrap_or_default();
            label.eq_ignore_ascii_case("localhost")
        };
        is_localhost(host) || self.names.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

/// One address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// The host's name, or its address as an address literal: for logs, reports and TLS.
    pub name: String,
    /// Addresses of equal rank are as good as each other; the lowest rank is the best.
    pub rank: u32,
    /// The place of the smart host that led here, if one did: a certificate may have to be for what is written there.
    pub smart_host: Option<usize>,
    /// The socket of this machine that it is instead; the address says nothing then.
    pub path: Option<Arc<Path>>,
}

/// The address, or the path.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => path.display().fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// The exchangers of `domain`, best first and equals in the order that `dice` say, from its MX `records`: preference and
/// host each. Those that are not better than ourselves are left out, or mail would come back.
///
/// # Errors
/// What the sender is told when there is none.
pub fn select(
    domain: &str,
    records: Result<Vec<(u16, String)>, NoRecords>,
    own: Own<'_>,
    dice: &mut dyn FnMut() -> u32,
) -> Result<Vec<Exchanger>, Reply> {
    let records = match records {
        Ok(records) => records,
        Err(NoRecords::NoSuchName) => return Err(NO_SUCH_DOMAIN),
        Err(NoRecords::OfThisKind) => Vec::new(),
        Err(NoRecords::ServersFail) => return Err(QUERY_FAILED),
    };
    let is_implicit = records.is_empty();
    let (mut has_null, mut has_address) = (false, false);
    let mut exchangers = Vec::new();
    for (preference, host) in records {
        let host = host.trim_end_matches('.');
        // A null MX stands alone (RFC 7505 section 3); beside others it names no host and is passed over.
        if host.is_empty() {
            has_null = true;
        } else if is_address(host) {
            has_address = true;
        } else {
            exchangers.push((preference, dice(), host.to_owned()));
        }
    }
    if is_implicit {
        // No MX record: the domain itself is its exchanger (RFC 5321 section 5.1).
        exchangers.push((0, 0, domain.to_owned()));
    }
    if exchangers.is_empty() {
        return Err(match (has_null, has_address) {
            (true, false) => NULL_MX,
            _ => NO_HOST_NAME,
        });
    }
    let ours = exchangers.iter().filter(|(.., host)| own.is_named(host)).map(|(preference, ..)| *preference).min();
    exchangers.retain(|(preference, ..)| ours.is_none_or(|ours| *preference < ours));
    if exchangers.is_empty() {
        return Err(LOOPS_BACK);
    }
    exchangers.sort_by_key(|(preference, dice, _)| (*preference, *dice));
    exchangers.truncate(EXCHANGERS_MAX);
    Ok(exchangers.into_iter().map(|(preference, _, host)| Exchanger { preference, host }).collect())
}

/// A host of [`arrange`]: who it is, and its addresses as the name servers gave them.
pub type Found = (Exchanger, Result<Vec<IpAddr>, NoRecords>);

/// The addresses of exchangers, which come best first as [`select`] has put them. The families take turns, IPv6 first, so
/// that a network without one of them costs one try (RFC 8305 section 4). Where one of the addresses is ours, it and all
/// that are not better are left out.
///
/// # Errors
/// What the sender is told when there is none.
pub fn arrange(found: &[Found], port: u16, scope: AddressScope, own: Own<'_>) -> Result<Vec<Target>, Reply> {
    let mut targets: Vec<Target> = Vec::new();
    let (mut servers_fail, mut loops_back, mut is_out_of_scope) = (false, false, false);
    for equals in found.chunk_by(|(a, _), (b, _)| a.preference == b.preference) {
        let is_ours = |ip: &IpAddr| (own.listens_at)(SocketAddr::new(*ip, port));
        if equals.iter().any(|(_, addresses)| addresses.iter().flatten().any(is_ours)) {
            loops_back = true;
            break;
        }
        let rank = targets.last().map_or(0, |target| target.rank + 1);
        for (exchanger, addresses) in equals {
            servers_fail |= *addresses == Err(NoRecords::ServersFail);
            let addresses = addresses.as_deref().unwrap_or_default();
            let (usable, others): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|ip| is_usable(**ip, scope));
            is_out_of_scope |= !others.is_empty();
            for ip in taking_turns(&usable).take(ADDRESSES_PER_HOST_MAX) {
                push(
                    &mut targets,
                    Target {
                        address: SocketAddr::new(ip, port),
                        name: exchanger.host.clone(),
                        rank,
                        smart_host: None,
                        path: None,
                    },
                );
            }
        }
    }
    targets.truncate(TARGETS_MAX);
    if !targets.is_empty() {
        return Ok(targets);
    }
    Err(match (servers_fail, is_out_of_scope, loops_back && is_first_ours(found, port, own)) {
        // While one exchanger may come back, the domain is not given up.
        (true, ..) => QUERY_FAILED,
        (_, true, _) => NO_USABLE_ADDRESS,
        (_, _, true) => LOOPS_BACK,
        _ => NO_SUCH_DOMAIN,
    })
}

/// Whether the best exchangers are ourselves, so that nobody else was asked for in vain.
fn is_first_ours(found: &[Found], port: u16, own: Own<'_>) -> bool {
    let best = found.first().map(|(exchanger, _)| exchanger.preference);
    let mut best = found.iter().take_while(|(exchanger, _)| Some(exchanger.preference) == best);
    best.any(|(_, addresses)| addresses.iter().flatten().any(|ip| (own.listens_at)(SocketAddr::new(*ip, port))))
}

/// Adds a target unless its address is there: one host may be known by many names, and is dialled once.
pub fn push(targets: &mut Vec<Target>, target: Target) {
    if targets.iter().all(|known| (known.address, &known.path) != (target.address, &target.path)) {
        targets.push(target);
    }
}

/// What is remembered of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nothing, or nothing bad.
    #[default]
    Fine,
    /// It told us to come again later, and knows us by now: a neighbour would begin anew.
    Knows,
    /// It did not take a connection lately.
    Down,
}

/// Puts those last that did not take a connection lately, whatever their rank, and among equals those first that know us.
pub fn by_standing(targets: &mut [Target], standing: impl Fn(SocketAddr) -> Standing) {
    targets.sort_by_cached_key(|target| {
        let standing = standing(target.address);
        (standing == Standing::Down, target.rank, standing != Standing::Knows)
    });
}

/// Whether a reply to RCPT or to the content is that of a server which makes strangers come twice (RFC 6647): by its
/// word, since the codes say nothing.
pub fn is_greylisting(reply: &Reply) -> bool {
    if !matches!(reply.code, 450 | 451) {
        return false;
    }
    let text = reply.text.to_ascii_lowercase();
    ["greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list"].iter().any(|word| text.contains(word))
}

/// Whether a host may have this address, and `scope` lets mail go there.
fn is_usable(ip: IpAddr, scope: AddressScope) -> bool {
    let is_a_host = match ip.to_canonical() {
        // "This network" (RFC 791 section 3.2) reaches whoever listens here; 240.0.0.0/4 nobody has.
        IpAddr::V4(ip) => ip.octets()[0] != 0 && ip.octets()[0] < 224,
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    is_a_host && (scope == AddressScope::Any || public_address::is_public(ip))
}

/// An IPv6 address, an IPv4 address and so on, each family in its own order.
fn taking_turns(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let mut v6 = addresses.iter().copied().filter(IpAddr::is_ipv6);
    let mut v4 = addresses.iter().copied().filter(IpAddr::is_ipv4);
    let mut is_turn_of_v6 = false;
    std::iter::from_fn(move || {
        is_turn_of_v6 = !is_turn_of_v6;
        if is_turn_of_v6 { v6.next().or_else(|| v4.next()) } else { v4.next().or_else(|| v6.next()) }
    })
}

/// Whether an exchanger is "named" by an address, which is no name of a host.
fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
