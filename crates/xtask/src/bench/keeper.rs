//! Whatever ends this process, nothing that it started stays.
//!
//! The keeper is a shell in a process group of its own, so that Ctrl-C at the terminal does not reach it. It is told of each
//! process group on a pipe. When the pipe ends without a farewell, because this process was interrupted or killed, it stops
//! the groups, and what else lives in our control groups, and removes the folders.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

/// `$1`, `$2`: prefixes of the control groups to remove, or nothing; then the folders to remove.
const SCRIPT: &str = r#"
groups=" "
while read -r verb group; do
    case $verb in
        hold) groups="$groups$group " ;;
        release) groups="${groups%% $group *} ${groups#* $group }" ;;
        farewell) exit 0 ;;
    esac
done
for group in $groups; do kill -s TERM -- "-$group"; done 2>/dev/null
sleep 1
for group in $groups; do kill -s KILL -- "-$group"; done 2>/dev/null
[ -z "$1" ] || for controls in "$1"*; do
    while read -r process; do kill -s KILL "$process"; done < "$controls/cgroup.procs"
done 2>/dev/null
sleep 1
for prefix in "$1" "$2"; do
    [ -z "$prefix" ] || rmdir -- "$prefix"*
done 2>/dev/null
shift 2
rm -rf -- "$@"
"#;

pub(super) struct Keeper {
    shell: Child,
    orders: Mutex<ChildStdin>,
}

impl Keeper {
    pub fn start(control_groups: [Option<&Path>; 2], folders: &[&Path]) -> io::Result<Keeper> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "keeper"])
            .args(control_groups.map(|prefix| prefix.unwrap_or(Path::new(""))))
            .args(folders)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let orders = shell.stdin.take().expect("stdin was asked for as a pipe");
        Ok(Keeper { shell, orders: Mutex::new(orders) })
    }

    /// From now on this process group is stopped if we end early.
    pub fn hold(&self, group: u32) {
        self.order(&format!("hold {group}"));
    }

    /// The process group has ended: its number may be another's soon.
    pub fn release(&self, group: u32) {
        self.order(&format!("release {group}"));
    }

    fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A keeper that is gone keeps nothing; the ordinary ways of stopping still work.
        let _ = writeln!(orders, "{order}");
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.order("farewell");
        let _ = self.shell.wait();
    }
}
