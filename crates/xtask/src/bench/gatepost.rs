//! Gatepost as its own command line starts it, with a settings document written for one round.
//!
//! Limits are raised so that they do not decide the figure; what makes it durable is left as shipped.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::ground::{Ground, Process, free_address, wait_until_open};
use super::meter::Meter;
use super::options::Options;
use super::terms::{Relay, Terms};

const START: Duration = Duration::from_secs(60);

/// The release binary: the one that the options name, or a fresh build.
pub(super) fn binary(root: &Path, options: &Options) -> io::Result<PathBuf> {
    if let Some(binary) = &options.binary {
        return fs::canonicalize(binary).map_err(|error| io::Error::other(format!("{}: {error}", binary.display())));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "--package", "gatepost"])
        .current_dir(root)
        // Standard output belongs to the figures.
        .stdout(Stdio::null())
        .status()?;
    if !built.success() {
        return Err(io::Error::other("gatepost does not build"));
    }
    // This program lies in the same target folder, in `release` or `debug`.
    let target = std::env::current_exe()?;
    let target = target.ancestors().nth(2).ok_or_else(|| io::Error::other("this program lies in no target folder"))?;
    Ok(target.join("release/gatepost"))
}

pub(super) struct Gatepost {
    address: SocketAddr,
    // Dropped in this order: first the process, then what measured it and the folder that it writes to.
    _process: Process,
    meter: Meter,
    _folder: TempDir,
}

/// Starts Gatepost with `sink` as its smart host.
pub(super) fn start(ground: &Ground, binary: &Path, terms: &Terms, sink: SocketAddr) -> io::Result<Gatepost> {
    let folder = ground.subfolder("gatepost-")?;
    let address = free_address()?;
    let document = folder.path().join("gatepost.toml");
    let log = folder.path().join("log");
    fs::write(&document, settings(&folder.path().join("data"), address, terms, sink))?;
    let meter = ground.meter("gatepost");
    let mut process = ground.spawn(
        meter
            .command(binary)
            .arg("serve")
            .arg("--config")
            .arg(&document)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?),
    )?;
    meter.watch(process.id());
    wait_until_open(address, START, || process.runs()).map_err(|error| {
        let log = fs::read_to_string(&log).unwrap_or_default();
        io::Error::new(error.kind(), format!("Gatepost does not start: {error}\n{}", log.trim()))
    })?;
    Ok(Gatepost { address, meter, _process: process, _folder: folder })
}

/// The settings of the comparison: loopback is externally secured and may relay; one smart host; limits raised.
fn settings(data: &Path, address: SocketAddr, terms: &Terms, sink: SocketAddr) -> String {
    let tls = terms.identity.as_ref().map_or(String::new(), |identity| {
        let (certificate, private_key) = (identity.certificate.display(), identity.private_key.display());
        format!("\n[tls]\ncertificate = \"{certificate}\"\nprivate_key = \"{private_key}\"\n")
    });
    let tracking = if terms.has_passports { "" } else { "\n[tracking]\nmessage_tracking_log_enabled = false\n" };
    format!(
        r#"[server]
name = "gatepost.bench.test"
data_dir = "{data}"

[[receive_connector]]
name = "Bench"
bindings = ["{address}"]
remote_ip_ranges = ["127.0.0.0/8"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
max_inbound_connection = "unlimited"
max_inbound_connection_per_source = "unlimited"
max_inbound_connection_percentage_per_source = 100

[[send_connector]]
name = "Sink"
address_spaces = ["SMTP:*;1"]
smart_hosts = ["[{ip}]:{port}"]
smtp_max_messages_per_connection = 1000000

# As many deliveries at once as Postfix gets in its settings.
[transport]
max_per_domain_outbound_connections = 50
{tracking}{tls}"#,
        data = data.display(),
        ip = sink.ip(),
        port = sink.port(),
    )
}

impl Relay for Gatepost {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }
}
