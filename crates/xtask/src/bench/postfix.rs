//! A private Postfix: its own configuration, queue and data folders, its own port, started for one round.
//!
//! Limits are raised so that they do not decide the figure; what makes it durable is left as shipped.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::cryptography::Identity;
use super::ground::{Ground, free_address, stop_group, wait_until, wait_until_open};
use super::keeper::Keeper;
use super::meter::Meter;
use super::terms::{Relay, Terms};

const POSTFIX: &str = "/usr/sbin/postfix";
const START: Duration = Duration::from_secs(60);
/// Processes of one service beyond the sessions: Postfix's own default is 100 in all.
const PROCESS_LIMIT_MIN: u64 = 250;

/// Debian's services without chroot, with logging to a file; `{address}` is where it listens.
const MASTER: &str = "\
{address}  inet  n - n - -     smtpd
pickup     unix  n - n 60 1    pickup
cleanup    unix  n - n - 0     cleanup
qmgr       unix  n - n 300 1   qmgr
rewrite    unix  - - n - -     trivial-rewrite
bounce     unix  - - n - 0     bounce
defer      unix  - - n - 0     bounce
trace      unix  - - n - 0     bounce
verify     unix  - - n - 1     verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - -     proxymap
smtp       unix  - - n - -     smtp
relay      unix  - - n - -     smtp
error      unix  - - n - -     error
retry      unix  - - n - -     error
anvil      unix  - - n - 1     anvil
scache     unix  - - n - 1     scache
tlsmgr     unix  - - n 1000? 1 tlsmgr
tlsproxy   unix  - - n - 0     tlsproxy
postlog    unix-dgram n - n - 1 postlogd
";

/// An error that says what is missing to run Postfix here.
pub(super) fn usable() -> io::Result<()> {
    if !Path::new(POSTFIX).is_file() {
        return Err(io::Error::other(
            "Postfix is not installed; apt-get install --no-install-recommends postfix, or --only gatepost",
        ));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::other("only root can start a private Postfix; run as root, or --only gatepost"));
    }
    Ok(())
}

/// Its version, for the report.
pub(super) fn version() -> Option<String> {
    let output = Command::new("/usr/sbin/postconf").args(["-d", "-h", "mail_version"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(super) struct Postfix {
    address: SocketAddr,
    config: PathBuf,
    master: u32,
    meter: Meter,
    keeper: Rc<Keeper>,
    _folder: TempDir,
}

/// Starts Postfix with `sink` as its smart host.
pub(super) fn start(ground: &Ground, terms: &Terms, sink: SocketAddr) -> io::Result<Postfix> {
    let folder = ground.subfolder("postfix-")?;
    let address = free_address()?;
    let [config, queue, data] = ["config", "queue", "data"].map(|name| folder.path().join(name));
    for folder in [&config, &queue, &data] {
        fs::create_dir(folder)?;
    }
    fs::write(config.join("main.cf"), main_cf(folder.path(), terms, sink))?;
    fs::write(config.join("master.cf"), MASTER.replace("{address}", &address.to_string()))?;
    run(Command::new("chown").arg("postfix").arg(&data))?;
    let meter = ground.meter("postfix");
    run(meter.command(POSTFIX).arg("-c").arg(&config).arg("start"))?;
    let master = fs::read_to_string(queue.join("pid/master.pid"))?;
    let master = master.trim().parse().map_err(|_| io::Error::other("Postfix's master.pid holds no number"))?;
    ground.keeper.hold(master);
    meter.watch(master);
    let postfix = Postfix { address, config, master, meter, keeper: Rc::clone(&ground.keeper), _folder: folder };
    wait_until_open(address, START, || true)?;
    Ok(postfix)
}

/// The settings of the comparison: one smart host on loopback, no TLS, no name look-ups, limits raised.
fn main_cf(folder: &Path, terms: &Terms, sink: SocketAddr) -> String {
    let folder = folder.display();
    let processes = PROCESS_LIMIT_MIN.max(terms.sessions + 50);
    let tls = terms.identity.as_ref().map_or(String::new(), tls);
    format!(
        "\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = postfix.bench.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [{}]:{}
alias_maps =
alias_database =
local_recipient_maps =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
in_flow_delay = 0
message_size_limit = 0
mailbox_size_limit = 0
default_process_limit = {processes}
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
default_destination_concurrency_limit = 50
initial_destination_concurrency = 20
qmgr_message_active_limit = 40000
qmgr_message_recipient_limit = 40000
{tls}",
        sink.ip(),
        sink.port(),
    )
}

/// STARTTLS both ways, as an administrator who wants speed sets it: session caches on both sides, connections to the smart
/// host used again (which Postfix does in TLS only by its proxy).
fn tls(identity: &Identity) -> String {
    format!(
        "\
smtpd_tls_security_level = may
smtpd_tls_cert_file = {}
smtpd_tls_key_file = {}
smtpd_tls_session_cache_database = btree:$data_directory/smtpd_scache
smtp_tls_security_level = may
smtp_tls_session_cache_database = btree:$data_directory/smtp_scache
smtp_tls_connection_reuse = yes
",
        identity.certificate.display(),
        identity.private_key.display(),
    )
}

/// Runs a command to its end; its words become the error when it fails.
fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{} failed: {}", command.get_program().display(), words.trim())))
}

impl Relay for Postfix {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = run(Command::new(POSTFIX).arg("-c").arg(&self.config).arg("stop"));
        // Its group ends with master; what is left after that would keep the folder in use.
        let gone = || Ok(!Path::new(&format!("/proc/{}", self.master)).exists());
        if wait_until(Duration::from_secs(10), "Postfix to stop", gone).is_err() {
            stop_group(self.master, Signal::KILL);
        }
        self.keeper.release(self.master);
    }
}
