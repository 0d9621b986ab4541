//! Free ports for servers that must be told their port before they start.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range that Linux takes for outgoing connections (32768 and up): otherwise a connection of another test could
/// hold the port by the time the server binds it.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A TCP port that nobody listens on, neither over IPv4 nor over IPv6, and that no other caller in this process was given.
pub fn free() -> u16 {
    // Two test processes at the same time start at different places.
    let start = std::process::id().wrapping_mul(7_919);
    for _ in 0..COUNT {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("the range lies below 65536");
        let is_free_v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        // A machine without IPv6 has nobody listening there either.
        let is_taken_v6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
        if is_free_v4 && !is_taken_v6 {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// Whether this machine has IPv6 at all; many containers do not.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}
