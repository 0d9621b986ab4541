//! How long an audit of 10,000 connectors with 100,000 ranges takes, and how much memory.
//!
//! `cargo run --release -p gatepost-policy --example audit_large`

use std::fmt::Write as _;
use std::time::Instant;

use gatepost_policy::audit::{Audit, HostAddresses, difference};
use gatepost_policy::settings::{Defaults, parse};

const CONNECTORS: usize = 10_000;
const RANGES_EACH: usize = 10;

fn main() {
    let text = document();
    let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
    let read = |text: &str| parse(text, &defaults).unwrap_or_else(|problems| panic!("{:?}", problems.first()));
    let settings = timed("parse", || read(&text));
    let before = resident_peak();
    let audit = timed("audit", || Audit::of(&settings, &text, &HostAddresses::default(), 0));
    println!("  {} exposures, {} findings", audit.exposures.len(), audit.findings.len());
    println!("  peak memory {} MB after parsing, {} MB after the audit", before / 1024, resident_peak() / 1024);
    let disabled = text.replacen("name = \"C9999\"", "name = \"C9999\"\nenabled = false", 1);
    let secured = text.replacen("permission_groups = \"AnonymousUsers\"", "permission_groups = \"ExchangeUsers\"", 1);
    for (what, other) in [
        ("difference of one connector", disabled),
        ("difference of the connector that hears everybody else", secured),
        ("difference of places in the document alone", format!("# moved\n{text}")),
        ("difference of users, which looks at everything", format!("{text}[[user]]\nname = \"carol\"\n")),
    ] {
        let other = read(&other);
        let changes = timed(what, || difference(&settings, &other, 0));
        println!("  {} changes", changes.len());
    }
}

/// Connectors of three kinds, each with hosts, networks and IPv6 of its own, and one for everybody else.
fn document() -> String {
    let mut text = String::from(
        "[[accepted_domain]]\nname = \"contoso.com\"\n[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n\
         [[receive_connector]]\nname = \"Default\"\nbindings = [\"0.0.0.0:25\", \"[::]:25\"]\n\
         remote_ip_ranges = [\"0.0.0.0/0\", \"::/0\"]\npermission_groups = \"AnonymousUsers\"\n",
    );
    for connector in 1..CONNECTORS {
        let ranges: Vec<String> = (0..RANGES_EACH)
            .map(|range| {
                let place = connector * RANGES_EACH + range;
                let (high, middle, low) = (place >> 14 & 0xff, place >> 6 & 0xff, (place & 0x3f) * 4);
                match range % 3 {
                    0 => format!("\"10.{high}.{middle}.{low}\""),
                    1 => format!("\"10.{high}.{middle}.{low}/31\""),
                    _ => format!("\"2001:db8:{:x}:{:x}::/64\"", place >> 16, place & 0xffff),
                }
            })
            .collect();
        let kind = match connector % 3 {
            0 => {
                "permission_groups = \"AnonymousUsers\"\n[[receive_connector.permission]]\n\
                  user = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\nextended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n"
            }
            1 => "permission_groups = \"ExchangeServers\"\nauth_mechanism = [\"Tls\", \"ExternalAuthoritative\"]\n",
            _ => {
                "permission_groups = \"ExchangeUsers\"\nauth_mechanism = [\"Tls\", \"BasicAuth\", \"BasicAuthRequireTLS\"]\n\
                  [[receive_connector.permission]]\nuser = \"alice\"\nextended_rights = [\"ms-Exch-SMTP-Accept-Any-Sender\"]\n"
            }
        };
        let _ = write!(
            text,
            "[[receive_connector]]\nname = \"C{connector}\"\nbindings = [\"0.0.0.0:25\", \"[::]:25\"]\n\
             remote_ip_ranges = [{}]\nmax_message_size = \"{} MB\"\n{kind}",
            ranges.join(", "),
            1 + connector % 30,
        );
    }
    text
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    println!("{what}: {} ms", begun.elapsed().as_millis());
    done
}

/// In KB; 0 where the system does not tell.
fn resident_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
