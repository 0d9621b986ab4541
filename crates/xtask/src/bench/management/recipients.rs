//! What administrators wait for with 20,000 recipients: changing one, making one, and a script that does much of it.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::super::course::Stage;
use super::super::options::Contender;
use super::super::report::{Bar, Figures, Report, Round, Row};
use super::{RUNS, Runs, Server};

const RECIPIENTS: u64 = 20_000;
const RECIPIENTS_QUICK: u64 = 2_000;
/// Groups among them, and how many members each has.
const GROUPS: u64 = 100;
const MEMBERS_EACH: u64 = 50;
/// Lines of the script: so many mailboxes, each put into a group at once.
const LINES: u64 = 1_000;
const LINES_QUICK: u64 = 100;
/// What a line of a script may take, as a command does that somebody types.
const LINE_MS: f64 = 200.0;

pub(super) fn run(stage: &Stage) -> io::Result<Option<Report>> {
    let Some(binary) = &stage.binary else { return Ok(None) };
    let is_quick = stage.options.is_quick;
    let recipients = stage.options.recipients.unwrap_or(if is_quick { RECIPIENTS_QUICK } else { RECIPIENTS });
    let lines = if is_quick { LINES_QUICK } else { LINES };
    let mut rounds = Vec::new();
    for number in 1..=stage.options.rounds {
        eprintln!("management of recipients, round {number} of {}: Gatepost", stage.options.rounds);
        let figures = measure(stage, binary, recipients, lines)?;
        rounds.push(Round { ceiling: None, relays: vec![(Contender::Gatepost, figures)] });
    }
    let rows = vec![
        Row::new("set_ms", "Set-Mailbox ADDRESS -DisplayName TEXT, ms", 0).bar(Bar::AtMost(200.0)),
        Row::new("set_client_ms", "of it processor time of the shell, ms", 0),
        Row::new("set_server_ms", "and of the server, ms", 0),
        Row::new("new_ms", "New-Mailbox NAME, ms", 0).bar(Bar::AtMost(200.0)),
        Row::new("add_ms", "Add-DistributionGroupMember GROUP -Member ADDRESS, ms", 0).bar(Bar::AtMost(200.0)),
        Row::new("one_ms", "Get-Mailbox ADDRESS, ms", 0).bar(Bar::AtMost(300.0)),
        Row::new("line_ms", "a line of a long script, ms", 1).bar(Bar::AtMost(LINE_MS)),
        Row::new("line_server_ms", "of it processor time of the server, ms", 1),
        Row::new("line_together_ms", "a line of the same script as one transaction, ms", 1).bar(Bar::AtMost(LINE_MS)),
        Row::new("nothing_ms", "a shell that asks nothing, ms", 0),
    ];
    Ok(Some(Report {
        command: stage.command(&format!("management --recipients {recipients}")),
        load: vec![format!("{recipients} recipients, of them {GROUPS} groups of {MEMBERS_EACH} members")],
        rows,
        rounds,
        notes: vec![format!(
            "Each is `gatepost shell -c '...'` from start to end, the fastest of {RUNS}; the script runs once, {lines} lines: \
             New-Mailbox and Add-DistributionGroupMember in turn."
        )],
    }))
}

fn measure(stage: &Stage, binary: &Path, recipients: u64, lines: u64) -> io::Result<Figures> {
    let limit = stage.options.limit;
    let mut server = Server::start(&stage.ground, binary, |data, address| settings(data, address, recipients))?;
    let one = address(recipients / 2);
    let get = server.time(&format!("Get-Mailbox {one} | Out-Null"), limit)?;
    let nothing = server.time("1 | Out-Null", limit)?;
    let (mut set, mut new, mut add) = (Runs::default(), Runs::default(), Runs::default());
    for number in 0..RUNS {
        set.0.push(server.once(&format!("Set-Mailbox {one} -DisplayName 'number {number}'"), limit)?);
        let made = format!("made{number}@bench.test");
        new.0.push(server.once(&format!("New-Mailbox made{number} -PrimarySmtpAddress {made} | Out-Null"), limit)?);
        add.0.push(server.once(&format!("Add-DistributionGroupMember group0@bench.test -Member {made}"), limit)?);
    }
    let script = |prefix: &str| {
        format!(
            "1..{} | ForEach-Object {{ New-Mailbox {prefix}$_ -PrimarySmtpAddress \"{prefix}$_@bench.test\" | Out-Null; \
             Add-DistributionGroupMember group1@bench.test -Member \"{prefix}$_@bench.test\" }}",
            lines / 2
        )
    };
    // Not bounded by what one command may take.
    let all = limit.saturating_mul(u32::try_from(lines).unwrap_or(u32::MAX));
    let apart = server.once(&script("apart"), all)?;
    let together = server.once(&format!("Start-Transaction; {}; Complete-Transaction", script("together")), all)?;
    let line = |ms: f64| ms / lines as f64;
    Ok(Figures::from([
        ("set_ms", set.fastest()),
        ("set_client_ms", set.middle(|run| run.client_ms)),
        ("set_server_ms", set.middle(|run| run.server_ms)),
        ("new_ms", new.fastest()),
        ("add_ms", add.fastest()),
        ("one_ms", get.fastest()),
        ("line_ms", line(apart.wall_ms)),
        ("line_server_ms", line(apart.server_ms)),
        ("line_together_ms", line(together.wall_ms)),
        ("nothing_ms", nothing.fastest()),
    ]))
}

fn address(number: u64) -> String {
    format!("user{number:05}@bench.test")
}

/// Mailboxes as a directory export has them, and groups of some of them.
fn settings(data: &Path, listener: SocketAddr, recipients: u64) -> String {
    let mut text = format!(
        r#"[server]
name = "gatepost.bench.test"
data_dir = "{data}"

[[accepted_domain]]
name = "bench.test"

[[receive_connector]]
name = "Inbound"
bindings = ["{listener}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
permission_groups = ["AnonymousUsers"]
"#,
        data = data.display(),
    );
    let mailboxes = recipients.saturating_sub(GROUPS).max(1);
    for number in 0..mailboxes {
        let (address, alias) = (address(number), format!("first.last{number:05}@bench.test"));
        let _ = write!(
            text,
            "\n[[mailbox]]\naddress = \"{address}\"\ndisplay_name = \"User {number:05}\"\naliases = [\"{alias}\"]\n"
        );
    }
    for number in 0..GROUPS {
        let members = (0..MEMBERS_EACH).map(|place| (number * MEMBERS_EACH + place) % mailboxes);
        let mut members: Vec<u64> = members.collect();
        members.sort_unstable();
        members.dedup();
        let members: Vec<String> = members.into_iter().map(|member| format!("\"{}\"", address(member))).collect();
        let _ = write!(
            text,
            "\n[[distribution_group]]\naddress = \"group{number}@bench.test\"\nmembers = [{}]\n",
            members.join(", ")
        );
    }
    text
}
