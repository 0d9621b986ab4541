//! How the server may be administered: where it listens for that, and what members of its group may do.
//!
//! Plain values; takes nothing, decides nothing. Who the administrators are is no part of the settings: that lies with
//! the secrets.

use std::net::SocketAddr;

use crate::certificate::CertificateName;
use crate::role::Role;

/// `[management]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementSettings {
    /// Where administrators are heard over TCP: on addresses of this machine alone without TLS, on others with it.
    pub listen: Vec<SocketAddr>,
    /// By which names that is called, in lower case, besides the server's own.
    pub host_names: Vec<Box<str>>,
    /// Which certificate is shown there; without it the one for the server's name.
    pub tls_certificate_name: Option<Box<CertificateName>>,
    /// What a member of the group of the Unix socket may do.
    pub socket_group_role: Role,
    /// The room of the record of what administrators did, in bytes.
    pub admin_audit_log_max_directory_size: u64,
}

impl Default for ManagementSettings {
    fn default() -> Self {
        ManagementSettings {
            listen: Vec::new(),
            host_names: Vec::new(),
            tls_certificate_name: None,
            socket_group_role: Role::View,
            admin_audit_log_max_directory_size: 100 << 20,
        }
    }
}

impl ManagementSettings {
    /// Where nobody is heard without TLS.
    pub fn listen_with_tls(&self) -> impl Iterator<Item = SocketAddr> {
        self.listen.iter().copied().filter(|address| needs_tls(*address))
    }
}

/// Whether others than this machine can listen in.
pub fn needs_tls(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}
