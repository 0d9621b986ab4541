//! A real name server on loopback: Unbound, as resolver of a zone that a test writes. For answers that no well-kept server
//! gives there is [`dns`](crate::dns).
//!
//! It is a Debian package; the repository's `./test` installs it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{port, wait};

/// A running Unbound; it ends when dropped.
pub struct NameServer {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl NameServer {
    /// Starts one that knows the zone `example.` by these lines of a zone file, and nothing else in the world. `options` go
    /// into its `server:` section. Over UDP it answers with 512 bytes at most: what is longer has to be asked for over TCP.
    pub fn start(zone: &str, options: &str) -> NameServer {
        let folder = TempDir::new().expect("a temporary folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let here = folder.path().display();
        let zone = format!(
            "$ORIGIN example.\n$TTL 60\n@ SOA ns.example. admin.example. 1 60 60 60 60\n@ NS ns.example.\n{zone}"
        );
        fs::write(folder.path().join("zone"), zone).expect("write the zone");
        let settings = format!(
            "server:\n directory: \"{here}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n \
             logfile: \"{here}/log\"\n do-daemonize: no\n interface: {}\n port: {}\n do-ip6: no\n do-not-query-localhost: no\n \
             max-udp-size: 512\n num-threads: 1\n module-config: \"validator iterator\"\n trust-anchor-signaling: no\n{options}\n\
             remote-control:\n control-enable: no\n\
             auth-zone:\n name: \"example.\"\n zonefile: \"{here}/zone\"\n for-downstream: no\n for-upstream: yes\n",
            address.ip(),
            address.port(),
        );
        let path = folder.path().join("unbound.conf");
        fs::write(&path, settings).expect("write the settings");
        let process = Command::new("unbound")
            .arg("-dc")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unbound is installed (./test does it)");
        wait::until("the name server answers", || TcpStream::connect(address).ok());
        NameServer { address, process, _folder: folder }
    }

    /// Where it listens, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
