//! Dovecot as a mailbox server: LMTP on a socket and on a port, Maildirs that can be looked into, quotas.
//!
//! It is a Debian package; the repository's `./test` installs it.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::dovecot_process::{self, DovecotProcess};
use crate::programs::read_maildir;
use crate::{port, wait};

/// Dovecot in a folder of its own, running or not.
pub struct Dovecot {
    // Dropped first.
    process: Option<DovecotProcess>,
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
        let (uid, gid) = dovecot_process::owner();
        dovecot_process::make_folders(path);
        chown(path.join("mail"), Some(uid), Some(gid)).expect("give the mail folder away");
        let line = |user: &&str| {
            let (address, quota) = user.split_once(':').unwrap_or((user, "1G"));
            format!("{address}:{{PLAIN}}x::::::userdb_quota_rule=*:bytes={quota}\n")
        };
        fs::write(path.join("users"), users.iter().map(line).collect::<String>()).expect("write the users");
        fs::write(path.join("dovecot.conf"), configuration(path.to_str().expect("a plain path"), address, uid, gid))
            .expect("write the configuration");
        Dovecot { process: None, folder, address }
    }

    /// Starts it, and waits until it listens.
    #[track_caller]
    pub fn start(&mut self) {
        self.process = Some(DovecotProcess::start(self.folder.path()));
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

fn configuration(folder: &str, address: SocketAddr, uid: u32, gid: u32) -> String {
    let (ip, port) = (address.ip(), address.port());
    let preamble = dovecot_process::preamble(folder, "lmtp");
    format!(
        "{preamble}ssl = no
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
"
    )
}
