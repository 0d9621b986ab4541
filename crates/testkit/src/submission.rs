//! Dovecot's submission server: somebody else's idea of a smart host that wants a logon. What it takes it hands on to a
//! sink.
//!
//! It is a Debian package; the repository's `./test` installs it.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::authority::Identity;
use crate::dovecot_process::{self, DovecotProcess};
use crate::{port, wait};

/// A running submission server; it ends when dropped.
pub struct Submission {
    // Dropped first.
    _process: DovecotProcess,
    folder: TempDir,
    address: SocketAddr,
}

impl Submission {
    /// Starts one that shows this certificate, knows one user, offers these mechanisms inside TLS (Dovecot's names, such as
    /// `plain scram-sha-256`), and hands on to `relay`.
    #[track_caller]
    pub fn start(identity: &Identity, user: (&str, &str), mechanisms: &str, relay: SocketAddr) -> Submission {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path();
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("open the folder for Dovecot's users");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        dovecot_process::make_folders(path);
        // With the password itself Dovecot can serve every mechanism.
        let line = format!("{}:{{PLAIN}}{}::::::\n", user.0, user.1);
        fs::write(path.join("users"), line).expect("write the user");
        fs::write(path.join("certificate.pem"), &identity.certificate_pem).expect("write the certificate");
        fs::write(path.join("key.pem"), &identity.key_pem).expect("write the key");
        let text = configuration(path.to_str().expect("a plain path"), address, mechanisms, relay);
        fs::write(path.join("dovecot.conf"), text).expect("write the configuration");
        let process = DovecotProcess::start(path);
        let submission = Submission { _process: process, folder, address };
        wait::until("Dovecot listens", || TcpStream::connect(address).ok());
        submission
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it has written about itself.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn configuration(folder: &str, address: SocketAddr, mechanisms: &str, relay: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let (uid, gid) = dovecot_process::owner();
    let preamble = dovecot_process::preamble(folder, "submission");
    format!(
        "{preamble}ssl = required
ssl_cert = <{folder}/certificate.pem
ssl_key = <{folder}/key.pem
hostname = provider.test
auth_mechanisms = {mechanisms}
submission_relay_host = {}
submission_relay_port = {}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service submission-login {{
  inet_listener submission {{
    address = {ip}
    port = {port}
  }}
}}
",
        relay.ip(),
        relay.port()
    )
}
