//! The settings documents that the tests share, and a server running on one of them.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::{Installation, Refused, Server};
use gatepost_testkit::port;
use gatepost_testkit::programs::read_maildir;
use gatepost_testkit::shim::Shim;
use gatepost_testkit::wait;
use serde_json::Value;

/// The hosts of the scenes. Linux has all of 127.0.0.0/8 on its loopback interface.
pub const HOST_2: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
pub const HOST_3: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
pub const HOST_4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

/// alice's password; the hash below was made with very little memory and time, so that tests do not wait for it.
pub const PASSWORD: &str = "correct horse";

/// Server, domains, mailboxes and users of contoso.com.
pub const CONTOSO: &str = r#"
[server]
name = "mail.contoso.com"
data_dir = "data"

[[accepted_domain]]
name = "contoso.com"

[[accepted_domain]]
name = "partner.example"
domain_type = "ExternalRelay"

[[mailbox]]
address = "bob@contoso.com"

[[mailbox]]
address = "alice@contoso.com"

[[user]]
name = "alice"
addresses = ["alice@contoso.com"]
password = "$argon2id$v=19$m=64,t=1,p=1$Z2F0ZXBvc3QtaXQtc2FsdA$O7qB4H3kG1QDMvcbi9tuOv4Jn5LAsX/1NuaGiGQ6YGU"
"#;

/// A failed attempt is tried again after a second, however it failed.
pub const QUICK_RETRY: &str = r#"
[transport]
queue_glitch_retry_interval = "00:00:01"
transient_failure_retry_interval = "00:00:01"
outbound_connection_failure_retry_interval = "00:00:01"
message_retry_interval = "00:00:01"
"#;

/// Takes mail for anyone from 127.0.0.1 to 127.0.0.4.
pub const OPEN_TO_TESTS: &str = r#"
[[receive_connector]]
name = "Tests"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.1-127.0.0.4"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
max_inbound_connection_per_source = "unlimited"
max_inbound_connection_percentage_per_source = 100
"#;

/// One host may relay by its address alone.
pub const RELAY: &str = r#"
[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.2"]
permission_groups = ["AnonymousUsers"]
  [[receive_connector.permission]]
  user = "NT AUTHORITY\\ANONYMOUS LOGON"
  extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
"#;

/// Everything else goes to `{sink}`.
pub const TO_SINK: &str = r#"
[[send_connector]]
name = "Internet"
address_spaces = ["SMTP:*;1"]
smart_hosts = ["{sink}"]
"#;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_gatepost");

/// A running server with its installation.
pub struct Site {
    // Dropped in this order: the server ends before its folder disappears.
    pub server: Server,
    pub installation: Installation,
    ports: Ports,
}

/// The ports that a settings document names `{smtp}`, `{second}` and `{tls}`.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    smtp: u16,
    second: u16,
    tls: u16,
}

impl Ports {
    pub fn free() -> Ports {
        Ports { smtp: port::free(), second: port::free(), tls: port::free() }
    }

    /// The document with its ports, and with tarpits switched off where it does not set any: nobody wants to wait five
    /// seconds for each refusal.
    pub fn fill(self, settings: &str) -> String {
        without_tarpits(settings)
            .replace("{smtp}", &self.smtp.to_string())
            .replace("{second}", &self.second.to_string())
            .replace("{tls}", &self.tls.to_string())
    }

    pub fn named(self, name: &str) -> Option<u16> {
        match name {
            "smtp" => Some(self.smtp),
            "second" => Some(self.second),
            "tls" => Some(self.tls),
            _ => None,
        }
    }

    pub fn address(self, name: &str) -> SocketAddr {
        let port = self.named(name).expect("one of the names above");
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

fn without_tarpits(settings: &str) -> String {
    const CONNECTOR: &str = "[[receive_connector]]\n";
    let mut sections = settings.split(CONNECTOR);
    let mut text = sections.next().unwrap_or_default().to_owned();
    for section in sections {
        text += CONNECTOR;
        for key in ["tarpit_interval", "auth_tarpit_interval"] {
            if !section.lines().any(|line| line.starts_with(key)) {
                text += &format!("{key} = \"00:00:00\"\n");
            }
        }
        text += section;
    }
    text
}

impl Site {
    /// Starts a server whose document is these parts together; `{smtp}`, `{second}`, `{tls}` become free ports.
    #[track_caller]
    pub fn start(parts: &[&str]) -> Site {
        Site::start_prepared(parts, |_| {})
    }

    /// The same after something was done to the installation.
    #[track_caller]
    pub fn start_prepared(parts: &[&str], prepare: impl FnOnce(&mut Installation)) -> Site {
        match Site::try_start_prepared(parts, prepare) {
            Ok(site) => site,
            Err(refused) => panic!("the server did not start ({}):\n{}", refused.status, refused.output),
        }
    }

    /// The same where the server may refuse to start.
    pub fn try_start_prepared(parts: &[&str], prepare: impl FnOnce(&mut Installation)) -> Result<Site, Refused> {
        let ports = Ports::free();
        let mut installation = Installation::new(PROGRAM, &ports.fill(&parts.concat()));
        prepare(&mut installation);
        let server = installation.try_start()?;
        Ok(Site { server, installation, ports })
    }

    /// The same with a server that is watched: of each write `data_bytes_max` bytes are kept.
    #[track_caller]
    pub fn start_watched(parts: &[&str], data_bytes_max: u32) -> (Site, Shim) {
        let mut shim = None;
        let site = Site::start_prepared(parts, |installation| {
            let records = installation.folder().join("records");
            let watching = Shim::watch(&installation.data_dir(), &records, data_bytes_max);
            installation.preload(&watching);
            shim = Some(watching);
        });
        (site, shim.expect("it was just made"))
    }

    /// The same with these files beside the document, by name.
    #[track_caller]
    pub fn start_with_files(parts: &[&str], files: &[(&str, &str)]) -> Site {
        Site::start_prepared(parts, |installation| {
            for (name, text) in files {
                let file = installation.folder().join(name);
                std::fs::write(&file, text).expect("write a file beside the settings");
                // It may hold a secret.
                let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&file, closed).expect("it is ours");
            }
        })
    }

    /// Starts a server that takes anything from the tests' hosts and hands everything to `smart_host`, with quick retries.
    #[track_caller]
    pub fn relaying_to(smart_host: &str) -> Site {
        Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(smart_host)])
    }

    /// What `gatepost shell` prints, errors among it, where they come.
    pub fn shell(&self, script: &str) -> String {
        self.shell_in(self.installation.folder(), &["-c", script], "")
    }

    /// The same in this folder, with these arguments and with this typed at its questions.
    pub fn shell_in(&self, folder: &Path, arguments: &[&str], typed: &str) -> String {
        let mut child = Command::new("timeout")
            .args(["--signal=KILL", "60", "sh", "-c", "exec \"$0\" shell \"$@\" 2>&1", PROGRAM])
            .args(arguments)
            .current_dir(folder)
            .env("GATEPOST_CONFIG", self.installation.settings_file())
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run the shell");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        // A script that asks nothing may end before.
        let _ = stdin.write_all(typed.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("wait for the shell");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The first port.
    pub fn smtp(&self) -> SocketAddr {
        self.ports.address("smtp")
    }

    /// The port named `{second}` or `{tls}`.
    pub fn port(&self, name: &str) -> SocketAddr {
        self.ports.address(name)
    }

    /// A client on the first port that has said EHLO.
    #[track_caller]
    pub fn client(&self, source: IpAddr) -> Client {
        Client::greeted_from(source, self.smtp())
    }

    /// Replaces the settings file, with the ports this site has.
    pub fn write_settings(&self, parts: &[&str]) {
        self.installation.write_settings(&self.ports.fill(&parts.concat()));
    }

    /// Waits until a mailbox holds `count` messages, as Python reads them.
    #[track_caller]
    pub fn wait_for_mail(&self, mailbox: &str, count: usize) -> Vec<Value> {
        let folder = self.installation.data_dir().join("mailboxes").join(mailbox);
        let new = folder.join("new");
        // Python is slow to start: it is asked once the files are there.
        let arrived = wait::within(wait::PATIENCE, || (std::fs::read_dir(&new).ok()?.count() >= count).then_some(()));
        assert!(arrived.is_some(), "no {count} messages in {}; the log:\n{}", new.display(), self.server.log());
        read_maildir(&folder)
    }

    /// Stops the server in one way or another, and starts it again on the same data.
    #[track_caller]
    pub fn restart(self, stop: impl FnOnce(Server)) -> Site {
        self.restart_after(|server, _| stop(server))
    }

    /// The same, with something done to the installation in between.
    #[track_caller]
    pub fn restart_after(self, between: impl FnOnce(Server, &Installation)) -> Site {
        let Site { server, installation, ports } = self;
        between(server, &installation);
        let server = installation.start();
        Site { server, installation, ports }
    }
}

/// A send connector for everything to this smart host.
pub fn to_sink(smart_host: &str) -> String {
    TO_SINK.replace("{sink}", smart_host)
}

/// A message with its own subject and body, dots not stuffed.
pub fn message(subject: &str, body: &str) -> String {
    format!(
        "From: app@contoso.com\r\nTo: someone@example.net\r\nSubject: {subject}\r\nDate: Fri, 20 Nov 2026 14:01:02 +0000\r\n\
         Message-ID: <{}@app01.contoso.com>\r\n\r\n{body}\r\n",
        subject.replace(' ', "-")
    )
}

/// What stands below the fields that we put on top: Received, and the organization headers where they are kept. Panics
/// when there is no Received field.
#[track_caller]
pub fn below_trace(content: &str) -> &str {
    assert!(content.starts_with("Received: "), "no trace on top of {content:?}");
    let mut end = 0;
    for (i, line) in content.split_inclusive('\n').enumerate() {
        let is_ours = line.starts_with([' ', '\t']) || line.starts_with("X-MS-Exchange-Organization-");
        if i > 0 && !is_ours {
            break;
        }
        end += line.len();
    }
    &content[end..]
}
