//! A Dovecot that runs with a configuration of its own, and what its configurations have in common.
//!
//! It is a Debian package; the repository's `./test` installs it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};

/// Whom mail belongs to where the tests run as root: Dovecot writes none as root.
const NOBODY: u32 = 65_534;

/// A running Dovecot; it ends when dropped.
pub(crate) struct DovecotProcess(Child);

impl DovecotProcess {
    /// Starts one on the file `dovecot.conf` of a folder.
    #[track_caller]
    pub(crate) fn start(folder: &Path) -> DovecotProcess {
        let mut command = Command::new("dovecot");
        command.arg("-F").arg("-c").arg(folder.join("dovecot.conf")).stdin(Stdio::null());
        DovecotProcess(command.spawn().expect("Dovecot is installed (./test does it)"))
    }
}

impl Drop for DovecotProcess {
    fn drop(&mut self) {
        // Its children end with it only if it is asked to end.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// The user and the group that mail belongs to.
pub(crate) fn owner() -> (u32, u32) {
    if geteuid().is_root() { (NOBODY, NOBODY) } else { (geteuid().as_raw(), getegid().as_raw()) }
}

/// Makes the folders that every configuration names.
#[track_caller]
pub(crate) fn make_folders(path: &Path) {
    for name in ["run", "state", "mail"] {
        fs::create_dir(path.join(name)).expect("create a folder");
    }
}

/// The beginning of every configuration.
pub(crate) fn preamble(folder: &str, protocol: &str) -> String {
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
        "protocols = {protocol}
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
{unprivileged}first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{folder}/mail/%u
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"
    )
}
