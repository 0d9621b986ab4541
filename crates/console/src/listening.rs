//! Where the server listens, and what a connector's bindings open besides.
//!
//! Takes bindings as records and forms write them, hands on words. Whether a binding can be opened, the server finds out.

use std::net::SocketAddr;

use gatepost_manage::resource::Listener;

/// The port of mail servers.
pub const SMTP_PORT: u16 = 25;

/// The port of a binding.
pub fn port_of(binding: &str) -> Option<u16> {
    binding.parse::<SocketAddr>().ok().map(|binding| binding.port())
}

/// The port that a device most likely connects to: that of mail servers where one listens there, else the lowest at which TLS does not begin
/// with the first byte.
pub fn usual_port(listeners: &[Listener]) -> u16 {
    let plain = listeners.iter().filter(|listener| !listener.implicit_tls).map(|listener| listener.address.port());
    let ports: Vec<u16> = plain.collect();
    if ports.contains(&SMTP_PORT) { SMTP_PORT } else { ports.into_iter().min().unwrap_or(SMTP_PORT) }
}

/// What bindings of a new connector change about where the server listens, one sentence for each that does.
pub fn opened(bindings: &[String], listeners: &[Listener]) -> Vec<String> {
    let addresses = bindings.iter().filter_map(|binding| binding.parse::<SocketAddr>().ok());
    addresses
        .filter_map(|address| {
            let is_alike = |known: &&Listener| {
                known.address.port() == address.port() && known.address.is_ipv4() == address.is_ipv4()
            };
            let mut alike = listeners.iter().filter(is_alike);
            if listeners.iter().any(|known| known.address == address) {
                return None;
            }
            let whole = match (address.ip().is_unspecified(), address.is_ipv4()) {
                (true, true) => "all IPv4 addresses of this server".to_owned(),
                (true, false) => "all IPv6 addresses of this server".to_owned(),
                (false, _) => address.ip().to_string(),
            };
            Some(match alike.any(|known| known.address.ip().is_unspecified()) {
                true => format!(
                    "At {address} only connectors that are bound to this very address answer from then on, none of those that listen at all addresses."
                ),
                false => format!("Opens port {} on {whole}: nothing listens there yet.", address.port()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(addresses: &[&str]) -> Vec<Listener> {
        let listener = |address: &&str| {
            let (address, implicit_tls) = address.strip_prefix('!').map_or((*address, false), |rest| (rest, true));
            Listener { address: address.parse().expect("an address"), implicit_tls }
        };
        addresses.iter().map(listener).collect()
    }

    #[test]
    fn the_usual_port_is_one_that_is_listened_at() {
        for (known, port) in [
            (&["0.0.0.0:587", "0.0.0.0:25"][..], 25),
            (&["127.0.0.1:2525", "127.0.0.1:5870", "!127.0.0.1:465"], 2525),
            (&["!127.0.0.1:465"], 25),
            (&[], 25),
        ] {
            assert_eq!(usual_port(&listeners(known)), port, "{known:?}");
        }
    }

    #[test]
    fn what_bindings_open_is_said() {
        for (binding, known, said) in [
            ("0.0.0.0:25", &["0.0.0.0:25"][..], None),
            ("0.0.0.0:25", &["127.0.0.1:2525"], Some("Opens port 25 on all IPv4 addresses")),
            ("[::]:25", &["0.0.0.0:25"], Some("Opens port 25 on all IPv6 addresses")),
            ("127.0.0.1:2525", &["127.0.0.1:25"], Some("Opens port 2525 on 127.0.0.1")),
            ("10.0.0.1:25", &["0.0.0.0:25"], Some("At 10.0.0.1:25 only connectors that are bound")),
            ("nonsense", &[], None),
        ] {
            let opened = opened(&[binding.to_owned()], &listeners(known));
            match said {
                None => assert_eq!(opened, Vec::<String>::new(), "{binding} {known:?}"),
                Some(said) => assert!(opened.len() == 1 && opened[0].starts_with(said), "{binding}: {opened:?}"),
            }
        }
    }
}
