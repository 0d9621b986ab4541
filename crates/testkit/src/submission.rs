//! Dovecot's submission server: somebody else's idea of a smart host that wants a logon. What it takes it hands on to a
//! sink.
//!
//! It is a Debian package; the repository's `./test` installs it.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};
use tempfile::TempDir;

use crate::authority::Identity;
use crate::{port, wait};

/// A running submission server; it ends when dropped.
pub struct Submission {
    child: Child,
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
        for name in ["run", "state", "mail"] {
            fs::create_dir(path.join(name)).expect("create a folder");
        }
        // With the password itself Dovecot can serve every mechanism.
        let line = format!("{}:{{PLAIN}}{}::::::\n", user.0, user.1);
        fs::write(path.join("users"), line).expect("write the user");
        fs::write(path.join("certificate.pem"), &identity.certificate_pem).expect("write the certificate");
        fs::write(path.join("key.pem"), &identity.key_pem).expect("write the key");
        let text = configuration(path.to_str().expect("a plain path"), address, mechanisms, relay);
        fs::write(path.join("dovecot.conf"), text).expect("write the configuration");
        let child = Command::new("dovecot")
            .arg("-F")
            .arg("-c")
            .arg(path.join("dovecot.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("dovecot-submissiond is installed (./test does it)");
        let submission = Submission { child, folder, address };
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

impl Drop for Submission {
    fn drop(&mut self) {
        // Its children end with it only if it is asked to end.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn configuration(folder: &str, address: SocketAddr, mechanisms: &str, relay: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let (uid, gid) = match geteuid().is_root() {
        true => (65_534, 65_534),
        false => (geteuid().as_raw(), getegid().as_raw()),
    };
    let unprivileged = if geteuid().is_root() {
        String::new()
    } else {
        let name = |option| {
            let output = Command::new("id").arg(option).output().expect("id is there");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let (user, group) = (name("-un"), name("-gn"));
        format!("default_internal_user = {user}\ndefault_login_user = {user}\ndefault_internal_group = {group}\n")
    };
    format!(
        "protocols = submission
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
{unprivileged}ssl = required
ssl_cert = <{folder}/certificate.pem
ssl_key = <{folder}/key.pem
hostname = provider.test
auth_mechanisms = {mechanisms}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{folder}/mail/%u
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
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
",
        relay.ip(),
        relay.port()
    )
}
