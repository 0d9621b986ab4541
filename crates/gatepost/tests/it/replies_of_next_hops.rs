//! What becomes of mail by what its next hop says, at each step: a table in `goldens/replies-of-next-hops.txt` that the real
//! server writes.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;
use serde_json::Value;

use crate::audit::is_golden;
use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, Site, message};

/// The message's interval and the next hop's are told apart by their length.
const INTERVALS: &str = "
[transport]
message_retry_interval = \"01:00:00\"
queue_glitch_retry_interval = \"02:00:00\"
max_per_domain_outbound_connections = 2
";

const STEPS: &[&str] = &["greeting", "EHLO", "STARTTLS", "STARTTLS, required", "MAIL", "RCPT", "DATA", "content"];

/// What is said at a step, always the same.
const SAID: &[&str] = &[
    "120 1.0.0 soon",
    "220 2.0.0 ready",
    "250 2.0.0 yes",
    "333 3.3.3 more",
    "354 go ahead",
    "421 4.3.2 closing",
    "450 4.2.1 mailbox busy",
    "450 4.7.1 Greylisted, please try again in 300 seconds",
    "451 4.3.0 out of order",
    "452 4.3.1 disk full",
    "454 4.7.0 TLS not available",
    "500 5.5.2 what?",
    "502 5.5.1 not here",
    "503 5.5.1 not now",
    "521 5.3.2 no mail here",
    "530 5.7.0 Must issue a STARTTLS command first",
    "550 5.1.1 no such user",
    "552 5.3.4 too large",
    "554 5.7.1 never",
    "554 without a status",
    "650 6.0.0 better than yes",
    "2500 four digits",
    "25",
    "welcome to the machine",
    "250-2.0.0 one thing\r\n550 5.0.0 and another",
    "550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three",
];

/// Silence of several kinds.
const SILENT: &[(&str, Action)] = &[
    ("(hangs up)", Action::Drop),
    ("(says nothing)", Action::Hang),
    ("250 (and hangs up)", Action::ReplyAndClose("250 2.0.0 yes")),
];

fn step(stage: Stage<'_>) -> &'static str {
    match stage {
        Stage::Connect => "greeting",
        Stage::Hello(_) => "EHLO",
        Stage::StartTls => "STARTTLS",
        Stage::Mail(_) => "MAIL",
        Stage::Rcpt(_) => "RCPT",
        Stage::Data => "DATA",
        Stage::End => "content",
    }
}

struct Case {
    step: &'static str,
    said: String,
    sink: Sink,
    recipients: Vec<String>,
    connector: String,
}

impl Case {
    fn new(number: usize, step: &'static str, said: String, names: &[&str], sink: Setup) -> Case {
        let domain = format!("c{number}.example");
        let sink = sink.start();
        let tls = if step.ends_with("required") { "require_tls = true\n" } else { "" };
        let connector = format!(
            "[[send_connector]]\nname = \"{domain}\"\naddress_spaces = [\"{domain}\"]\nsmart_hosts = [\"{}\"]\n\
             connection_inactivity_timeout = \"00:00:02\"\n{tls}",
            sink.smart_host()
        );
        let recipients = names.iter().map(|name| format!("{name}@{domain}")).collect();
        Case { step, said, sink, recipients, connector }
    }
}

fn always_the_same(number: usize, at: &'static str, said: &str, action: Action) -> Case {
    let name = at.split(',').next().unwrap_or(at);
    let sink =
        Setup::new().answering(move |stage, _| if step(stage) == name { action.clone() } else { Action::Accept });
    let sink = if name == "STARTTLS" { sink.offering("STARTTLS") } else { sink };
    Case::new(number, at, said.replace("\r\n", " / "), &["z"], sink)
}

/// Three recipients, to whom it says yes, later and never; and what it says to the content.
fn mixed(number: usize, said: &'static str, action: Action) -> Case {
    let sink = Setup::new().answering(move |stage, _| match stage {
        Stage::Rcpt(path) if path.contains("later") => Action::Reply("450 4.2.1 mailbox busy"),
        Stage::Rcpt(path) if path.contains("never") => Action::Reply("550 5.1.1 no such user"),
        Stage::End => action.clone(),
        _ => Action::Accept,
    });
    Case::new(number, "RCPT 250, 450, 550; content", said.to_owned(), &["now", "later", "never"], sink)
}

/// What a listing says of a recipient that waits, once something has been tried: for how long, and why.
fn waits(listing: &Value, recipient: &str, sink: &Sink) -> Option<Option<String>> {
    let recipients = listing["messages"].as_array()?.iter().flat_map(|message| message["recipients"].as_array());
    let Some(found) = recipients.flatten().find(|one| one["address"] == recipient) else { return Some(None) };
    if found["state"] != "pending" {
        return Some(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    let next_ms = found["next_attempt_ms"].as_u64()?;
    // Half an hour is more than this test may take.
    let hours = (next_ms.saturating_sub(now) + 1_800_000) / 3_600_000;
    let (whose, why) = match (&found["next_hop_error"], &found["last_reply"]) {
        (Value::String(why), _) => ("next hop", why),
        (_, Value::String(why)) => ("message", why),
        _ => return None,
    };
    let why = why.replace(&sink.address().to_string(), "HOST");
    // What exactly went wrong in a handshake is the TLS library's word.
    let why = if why.starts_with("451 4.7.5 ") { "451 4.7.5 (the handshake failed)".to_owned() } else { why };
    Some(Some(format!("the {whose} waits {hours} h: {why}")))
}

#[test]
fn a_table_says_what_becomes_of_mail_by_what_its_next_hop_says() {
    let mut cases = Vec::new();
    for step in STEPS {
        for said in SAID {
            cases.push(always_the_same(cases.len(), step, said, Action::Reply(said)));
        }
        for (said, action) in SILENT {
            cases.push(always_the_same(cases.len(), step, said, action.clone()));
        }
    }
    for (said, action) in [
        ("250 2.0.0 taken", Action::Accept),
        ("451 4.3.0 out of order", Action::Reply("451 4.3.0 out of order")),
        ("554 5.7.1 never", Action::Reply("554 5.7.1 never")),
        ("(hangs up)", Action::Drop),
    ] {
        cases.push(mixed(cases.len(), said, action));
    }
    let connectors: String = cases.iter().map(|case| case.connector.as_str()).collect();
    let site = Site::start(&[CONTOSO, INTERVALS, OPEN_TO_TESTS, &connectors]);
    let mut client = site.client(HOST_2);
    for case in &cases {
        let recipients: Vec<&str> = case.recipients.iter().map(String::as_str).collect();
        let reply = client.submit("<bob@contoso.com>", &recipients, &message("what becomes of me", "x"));
        assert_eq!(reply.code(), 250, "{reply}");
    }
    let outcomes = wait::until("every message was tried", || {
        let listing = site.installation.json(&["queue", "list", "--limit", "1000"]);
        let of = |case: &Case| {
            case.recipients.iter().map(|one| waits(&listing, one, &case.sink)).collect::<Option<Vec<_>>>()
        };
        cases.iter().map(of).collect::<Option<Vec<_>>>()
    });
    // Whoever waits no more has the message, or its sender has a report.
    let log = site.server.log_lines();
    let delivered =
        |recipient: &str| log.iter().any(|line| line["recipient"] == recipient && line["verdict"] == "delivered");
    let is_reported = |(case, outcomes): (&Case, &Vec<Option<String>>)| {
        case.recipients.iter().zip(outcomes).any(|(one, outcome)| outcome.is_none() && !delivered(one))
    };
    let reported = cases.iter().zip(&outcomes).filter(|pair| is_reported(*pair)).count();
    let reports = site.wait_for_mail("bob@contoso.com", reported);
    let status = |recipient: &str| {
        let of = |report: &Value| {
            let text = report.to_string();
            let about = text.split("Final-Recipient: ").skip(1).find(|about| about.contains(recipient))?;
            let status = about.split("Status: ").nth(1)?;
            Some(status.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>())
        };
        reports.iter().find_map(of)
    };
    let mut table = String::new();
    for (case, outcomes) in cases.iter().zip(outcomes) {
        for (recipient, outcome) in case.recipients.iter().zip(outcomes) {
            let outcome = match outcome {
                Some(waits) => waits,
                None if delivered(recipient) => "delivered".to_owned(),
                None => format!("reported: {}", status(recipient).unwrap_or_else(|| "NO REPORT".to_owned())),
            };
            let name = recipient.split('@').next().unwrap_or_default();
            let name = if name == "z" { String::new() } else { format!(" {name}:") };
            let line = format!("{:<27} {:<54} {name} {outcome}", case.step, case.said);
            writeln!(table, "{}", line.trim_end()).expect("a string takes everything");
        }
    }
    is_golden(&site.installation, "replies-of-next-hops.txt", &table);
}
