//! What a door knows of who came through it.

use std::net::{IpAddr, SocketAddr};

/// Who is at the other end of a connection, as far as the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visitor {
    /// A user of this machine, at the Unix socket.
    Local {
        /// The kernel's word for it; `None` if it has none.
        uid: Option<u32>,
    },
    /// Somebody at a TCP port. Nobody is believed there without proof, not even on loopback: every user and every page in a
    /// browser of this machine gets there.
    Remote {
        /// From there.
        address: SocketAddr,
        /// Whether what they say comes by TLS.
        by_tls: bool,
    },
}

impl Visitor {
    /// The address that they came from, where there is one.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Visitor::Local { .. } => None,
            Visitor::Remote { address, .. } => Some(address.ip().to_canonical()),
        }
    }
}
