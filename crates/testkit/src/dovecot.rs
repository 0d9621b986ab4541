//! Dovecot as a mailbox server: LMTP on a socket and on a port, Maildirs that can be looked into, quotas.
//!
//! It is a Debian package; the repository's `./test` installs it.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::read_maildir;
use crate::{port, wait};

/// Whom mail belongs to where the tests run as root: Dovecot writes none as root.
const NOBODY: u32 = 65_534;

/// Dovecot in a folder of its own, running or not.
pub struct Dovecot {
    child: Option<Child>,
    folder: TempDir,
    address: SocketAddr,
}

impl Dovecot {
    /// One that does not run yet. A user is a line `address` or `address:1K`, with the size of its quota.
    #[track_caller]
    pub fn new(users: &[&str]) -> Dovecot {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path();
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("open the folder for Dovecot's users");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let (uid, gid) = if geteuid().is_root() { (NOBODY, NOBODY) } else { (geteuid().as_raw(), getegid().as_raw()) };
        for name in ["run", "state", "mail"] {
            fs::create_dir(path.join(name)).expect("create a folder");
        }
        chown(path.join("mail"), Some(uid), Some(gid)).expect("give the mail folder away");
        let line = |user: &&str| {
            let (address, quota) = user.split_once(':').unwrap_or((user, "1G"));
            format!("{address}:{{PLAIN}}x::::::userdb_quota_rule=*:bytes={quota}\n")
        };
        fs::write(path.join("users"), users.iter().map(line).collect::<String>()).expect("write the users");
        fs::write(path.join("dovecot.conf"), configuration(path.to_str().expect("a plain path"), address, uid, gid))
            .expect("write the configuration");
        Dovecot { child: None, folder, address }
    }

    /// Starts it, and waits until it listens.
    #[track_caller]
    pub fn start(&mut self) {
        let child = Command::new("dovecot")
            .arg("-F")
            .arg("-c")
            .arg(self.folder.path().join("dovecot.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("dovecot-lmtpd is installed (./test does it)");
        self.child = Some(child);
        wait::until("Dovecot listens", || UnixStream::connect(self.socket()).ok());
    }

    /// The path of its LMTP socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("lmtp")
    }

    /// Where it takes LMTP over TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a user has so many messages.
    #[track_caller]
    pub fn wait_for_mail(&self, user: &str, count: usize) -> Vec<Value> {
        // Python is slow to start: it is asked once the files are there.
        let new = self.maildir(user).join("new");
        wait::until("mail is in Dovecot's Maildir", || (fs::read_dir(&new).ok()?.count() >= count).then_some(()));
        self.mail(user)
    }

    /// The messages of a user.
    pub fn mail(&self, user: &str) -> Vec<Value> {
        read_maildir(&self.maildir(user))
    }

    fn maildir(&self, user: &str) -> PathBuf {
        self.folder.path().join("mail").join(user)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Its children end with it only if it is asked to end.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = child.wait();
    }
}

fn configuration(folder: &str, address: SocketAddr, uid: u32, gid: u32) -> String {
    let (ip, port) = (address.ip(), address.port());
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
        "protocols = lmtp
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
{unprivileged}ssl = no
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{folder}/mail/%u
mail_plugins = quota
auth_username_format = %Lu
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
  default_fields = uid={uid} gid={gid} home={folder}/mail/%u
}}
plugin {{
  quota = maildir:User quota
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = {ip}
    port = {port}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"
    )
}
