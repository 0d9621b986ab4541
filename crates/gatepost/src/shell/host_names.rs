//! The name of the host that has an address, as the hosts file or DNS tells it. Waits a few seconds at most.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

/// The hosts file, and how much of it is read.
const HOSTS_FILE: &str = "/etc/hosts";
const HOSTS_BYTES_MAX: u64 = 4 << 20;
/// How long DNS may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of the host that has this address.
///
/// # Errors
/// When there is none, or nobody can be asked.
pub fn name_of(address: IpAddr) -> io::Result<String> {
    match in_hosts_file(address) {
        Some(name) => Ok(name),
        None => in_dns(address),
    }
}

fn in_hosts_file(address: IpAddr) -> Option<String> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(HOSTS_FILE).ok()?.take(HOSTS_BYTES_MAX).read_to_end(&mut text).ok()?;
    first_name(&String::from_utf8_lossy(&text), address)
}

/// The first name that a hosts file gives to an address.
fn first_name(hosts: &str, address: IpAddr) -> Option<String> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let is_it = words.next()?.parse() == Ok(address);
        words.next().filter(|_| is_it).map(str::to_owned)
    })
}

fn in_dns(address: IpAddr) -> io::Result<String> {
    let none = || io::Error::new(ErrorKind::NotFound, format!("{address} has no name"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(io::Error::other)?;
        let asked = tokio::time::timeout(PATIENCE, resolver.reverse_lookup(address)).await;
        let lookup = asked.map_err(|_| io::Error::from(ErrorKind::TimedOut))?.map_err(io::Error::other)?;
        let name = lookup.answers().iter().find_map(|record| match &record.data {
            RData::PTR(name) => Some(name.to_ascii()),
            _ => None,
        });
        name.map(|name| name.trim_end_matches('.').to_owned()).ok_or_else(none)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_address_counts() {
        let hosts = "# 10.0.0.1 no\n127.0.0.1\tlocalhost local # comment\n::1 localhost6\n10.0.0.1 mx.contoso.com mx\n";
        for (address, expected) in [
            ("127.0.0.1", Some("localhost")),
            ("::1", Some("localhost6")),
            ("10.0.0.1", Some("mx.contoso.com")),
            ("10.0.0.2", None),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(first_name(hosts, address).as_deref(), expected, "{address}");
        }
    }
}
