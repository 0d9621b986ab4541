//! Where the simulation plays: the settings, who is addressed, and what is known beforehand of each address.
//!
//! Takes dice, hands on documents and drafts of messages. Says by a table of its own, not by the server's words, whom a
//! recipient leads to in the end and what becomes of mail for that one when nothing else goes wrong.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use gatepost_spool::fake_disk::Dice;

/// The server's own name.
pub const GATE: &str = "gate.ours.example";
/// Where strangers connect.
pub const FRONT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 25);
/// Who is told of failures that no sender can be told of.
pub const OWNER: &str = "m7@ours.example";
/// Where hosts connect that may relay.
pub const BACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 25);

/// Settings that a reload may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Whether there is a way out to everywhere.
    pub has_internet: bool,
    /// Which of two smart hosts mail for partner.example goes to.
    pub partner_host: u8,
    /// Whether `guest@ours.example` is a mailbox.
    pub has_guest: bool,
}

impl Variant {
    /// What the server starts with.
    pub const FIRST: Variant = Variant { has_internet: true, partner_host: 1, has_guest: true };

    /// Any.
    pub fn draw(dice: &mut Dice) -> Variant {
        Variant { has_internet: !dice.one_in(4), partner_host: 1 + dice.below(2) as u8, has_guest: !dice.one_in(4) }
    }
}

/// The settings document.
pub fn document(variant: Variant, lifetime_s: u64, verifies: bool) -> String {
    let mut document = String::from(SETTINGS);
    document = document.replace("{lifetime}", &time_span(lifetime_s));
    document = document.replace("{delay}", &time_span(lifetime_s / 3));
    document = document.replace("{verifies}", if verifies { "true" } else { "false" });
    document = document.replace("{partner}", &variant.partner_host.to_string());
    if variant.has_internet {
        document.push_str(INTERNET);
    }
    if variant.has_guest {
        document.push_str("\n[[mailbox]]\naddress = \"guest@ours.example\"\n");
    }
    for number in 0..MAILBOXES {
        let aliases = if number == 4 { "aliases = [\"boss@ours.example\"]\n" } else { "" };
        document.push_str(&format!("\n[[mailbox]]\naddress = \"m{number}@ours.example\"\n{aliases}"));
    }
    document
}

fn time_span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{days}.{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

const MAILBOXES: u64 = 8;

const SETTINGS: &str = r#"
[server]
name = "gate.ours.example"

[transport]
message_expiration_timeout = "{lifetime}"
delay_notification_timeout = "{delay}"

[reports]
max_per_sender_per_hour = 2

[notices]
max_per_owner_per_hour = 2
to = "m7@ours.example"

[tracking]
# The clock on the wall is simulated; the tracking disk is not.
message_tracking_log_max_age = "00:00:00"

[[accepted_domain]]
name = "ours.example"

[[accepted_domain]]
name = "catch.example"
catch_all_recipient = "m5@ours.example"

[[accepted_domain]]
name = "inside.example"
domain_type = "InternalRelay"
recipient_verification = {verifies}

[[accepted_domain]]
name = "far.example"
domain_type = "ExternalRelay"

[[mailbox]]
address = "known@inside.example"

[[contact]]
address = "friend@ours.example"
external_address = "ok-friend@d1.example"

[[contact]]
address = "foe@ours.example"
external_address = "no-foe@d2.example"

[[distribution_group]]
address = "team@ours.example"
require_sender_authentication = false
members = ["m0@ours.example", "m1@ours.example", "m2@ours.example"]

[[distribution_group]]
address = "everybody@ours.example"
require_sender_authentication = false
members = ["team@ours.example", "m2@ours.example", "m3@ours.example", "friend@ours.example", "foe@ours.example"]

[[receive_connector]]
name = "Front"
bindings = ["10.0.0.1:25"]
remote_ip_ranges = ["192.168.0.0/16"]
permission_groups = ["AnonymousUsers"]
max_inbound_connection_per_source = "unlimited"
max_inbound_connection_percentage_per_source = 100

[[receive_connector]]
name = "Back"
bindings = ["10.0.0.2:25"]
remote_ip_ranges = [{ range = "192.168.0.0/16", owner = "m7@ours.example" }]
auth_mechanism = ["ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
max_inbound_connection_per_source = "unlimited"
max_inbound_connection_percentage_per_source = 100

[[send_connector]]
name = "Inside"
address_spaces = ["inside.example", "far.example"]
smart_hosts = ["[10.1.0.1]", "[10.1.0.2]"]
smtp_max_messages_per_connection = 3

[[send_connector]]
name = "Partner"
address_spaces = ["partner.example"]
smart_hosts = ["smart{partner}.partner.example"]
fallback_connector = "Spare"

[[send_connector]]
name = "Spare"
smart_hosts = ["[10.1.0.2]"]
"#;

const INTERNET: &str = r#"
[[send_connector]]
name = "Internet"
address_spaces = ["*"]
dns_routing_enabled = true
"#;

/// Domains whose mail exchangers are tried by MX records, each on two hosts.
const EXCHANGED: [&str; 4] = ["d0.example", "d1.example", "d2.example", "sender.example"];

/// What a name server says when it works: MX records.
pub fn exchangers(domain: &str) -> Option<Vec<(u16, String)>> {
    let names = |hosts: &[(u16, &str)]| Some(hosts.iter().map(|(p, host)| (*p, (*host).to_owned())).collect());
    match domain {
        "null.example" => names(&[(0, ".")]),
        "loop.example" => names(&[(10, GATE), (20, "mx2.d0.example")]),
        "gone.example" => names(&[(10, "nobody.gone.example")]),
        "dead.example" => names(&[(10, "silent.dead.example"), (20, "closed.dead.example")]),
        domain if EXCHANGED.contains(&domain) => {
            Some(vec![(10, format!("mx1.{domain}")), (20, format!("mx2.{domain}"))])
        }
        // Reached by its own address.
        "plain.example" | "smart1.partner.example" | "smart2.partner.example" => Some(Vec::new()),
        _ => None,
    }
}

/// What a name server says when it works: address records.
pub fn address(host: &str) -> Option<IpAddr> {
    let address = |bytes: [u8; 4]| Some(IpAddr::from(bytes));
    match host {
        "silent.dead.example" => address(SILENT),
        "closed.dead.example" => address(CLOSED),
        "plain.example" => address([10, 7, 0, 1]),
        "smart1.partner.example" => address([10, 4, 0, 1]),
        "smart2.partner.example" => address([10, 4, 0, 2]),
        host => {
            let (host, domain) = host.split_once('.')?;
            let domain = EXCHANGED.iter().position(|exchanged| *exchanged == domain)?;
            address([10, 2, domain as u8, host.strip_prefix("mx")?.parse().ok()?])
        }
    }
}

/// A host that says nothing, ever.
pub const SILENT: [u8; 4] = [10, 6, 0, 1];
/// A host where nobody listens, ever.
pub const CLOSED: [u8; 4] = [10, 6, 0, 2];

/// Whom mail for an address is for in the end. Plainly: the table that the settings say.
pub fn ends(named: &str) -> Vec<String> {
    let ends: &[&str] = match named {
        "team@ours.example" => &["m0@ours.example", "m1@ours.example", "m2@ours.example"],
        "everybody@ours.example" => &[
            "m0@ours.example",
            "m1@ours.example",
            "m2@ours.example",
            "m3@ours.example",
            "ok-friend@d1.example",
            "no-foe@d2.example",
        ],
        "boss@ours.example" => &["m4@ours.example"],
        "friend@ours.example" => &["ok-friend@d1.example"],
        "foe@ours.example" => &["no-foe@d2.example"],
        named if named.ends_with("@catch.example") => &["m5@ours.example"],
        named => &[named],
    };
    ends.iter().map(|end| (*end).to_owned()).collect()
}

/// Whether mail for this end fails for good without anything going wrong meanwhile: its host, or its domain, says no.
pub fn is_refused(end: &str) -> bool {
    let (local, domain) = end.split_once('@').expect("an address of ours");
    local.starts_with("no") || matches!(domain, "null.example" | "nx.example" | "loop.example" | "gone.example")
}

/// Whether this end's mail is kept here.
pub fn is_mailbox(end: &str) -> bool {
    end.ends_with("@ours.example") || end == "known@inside.example"
}

/// A message that a client wants to send.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where it connects.
    pub door: SocketAddr,
    /// The reverse-path; `None` for the null one.
    pub sender: Option<String>,
    /// Each with the value of NOTIFY, if any.
    pub recipients: Vec<(String, Option<&'static str>)>,
    /// About how long the body is.
    pub bytes: usize,
}

impl Draft {
    /// Any message.
    pub fn draw(dice: &mut Dice) -> Draft {
        let door = if dice.one_in(4) { FRONT } else { BACK };
        let sender = match dice.below(10) {
            0 => None,
            1..=4 if door == BACK => Some(format!("m{}@ours.example", dice.below(4))),
            _ => Some(format!("s{}@sender.example", dice.below(5))),
        };
        let count = match dice.below(10) {
            0 => 6 + dice.below(45),
            1..=4 => 2 + dice.below(4),
            _ => 1,
        };
        let recipients = (0..count).map(|_| (recipient(door, dice), notify(dice))).collect();
        let bytes = match dice.below(20) {
            0 => 9_000 + dice.below(20_000),
            _ => dice.below(1_500),
        };
        Draft { door, sender, recipients, bytes: bytes as usize }
    }
}

fn notify(dice: &mut Dice) -> Option<&'static str> {
    match dice.below(9) {
        0 => Some("NEVER"),
        1 => Some("SUCCESS"),
        2 => Some("SUCCESS,FAILURE"),
        3 => Some("FAILURE"),
        4 => Some("DELAY,FAILURE"),
        _ => None,
    }
}

fn recipient(door: SocketAddr, dice: &mut Dice) -> String {
    if door == FRONT || dice.one_in(3) {
        return match dice.below(14) {
            0 => "team@ours.example".into(),
            1 => "everybody@ours.example".into(),
            2 => "boss@ours.example".into(),
            3 => "friend@ours.example".into(),
            4 => "foe@ours.example".into(),
            5 => format!("anybody{}@catch.example", dice.below(3)),
            6 => "guest@ours.example".into(),
            7 => "known@inside.example".into(),
            8 => format!("{}@inside.example", local_part(dice)),
            9 => format!("{}@far.example", local_part(dice)),
            10 => "unknown@ours.example".into(),
            _ => format!("m{}@ours.example", dice.below(MAILBOXES)),
        };
    }
    let domain = match dice.below(24) {
        0 => "null.example",
        1 => "nx.example",
        2 => "loop.example",
        3 => "gone.example",
        4 => "dead.example",
        5 | 6 => "partner.example",
        7 | 8 => "plain.example",
        9..=13 => "d0.example",
        14..=18 => "d1.example",
        _ => "d2.example",
    };
    format!("{}@{domain}", local_part(dice))
}

/// What a next hop does about it begins the local part: takes it, refuses it, says "later" for ever, or refuses
/// the content of every message that is for it, too.
fn local_part(dice: &mut Dice) -> String {
    let number = dice.below(30);
    match dice.below(12) {
        0 | 1 => format!("no{number}"),
        2 => format!("later{number}"),
        3 => format!("dot{number}"),
        _ => format!("ok{number}"),
    }
}
