//! Next hops that misbehave at one step of the dialogue, each step with each misdeed: no message is lost or stays for ever,
//! none is tried in a storm, and nobody else is held up.

use gatepost_testkit::hop::{Hop, Misdeed, Step};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// How often a next hop misbehaves before it serves.
const TIMES: usize = 2;
/// Attempts until it serves, each perhaps repeated in clear, and a few to spare.
const CONNECTIONS_MAX: usize = 2 * (TIMES + 1) + 2;
/// Bounds the connections to each of them.
const AT_ONCE_MAX: usize = 2;

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Delivered, once.
    Delivered,
    /// Delivered, perhaps more than once: the next hop had it and did not say so (RFC 1047).
    DeliveredPerhapsTwice,
    /// Reported to its sender, and not delivered.
    Reported,
}

fn ending(step: Step, misdeed: Misdeed) -> Ending {
    match (step, misdeed) {
        (Step::Mail | Step::Rcpt | Step::Data | Step::Dot, Misdeed::Refuse5 | Misdeed::Refuse5AndClose) => {
            Ending::Reported
        }
        // A refusal in the middle of the content is one for good, too.
        (Step::Content, Misdeed::Refuse5AndClose) => Ending::Reported,
        (Step::Dot, Misdeed::TakeAndClose) => Ending::DeliveredPerhapsTwice,
        _ => Ending::Delivered,
    }
}

/// Whether it makes sense to do this there.
fn is_possible(step: Step, misdeed: Misdeed) -> bool {
    match (step, misdeed) {
        (Step::Content, _) => {
            matches!(misdeed, Misdeed::Hang | Misdeed::Close | Misdeed::Reset | Misdeed::Refuse5AndClose)
        }
        (Step::Handshake, _) => {
            matches!(misdeed, Misdeed::Hang | Misdeed::Close | Misdeed::Reset | Misdeed::Binary | Misdeed::NoCode)
        }
        (Step::Dot, Misdeed::Early) => false,
        (_, Misdeed::TakeAndClose) => step == Step::Dot,
        _ => true,
    }
}

struct Case {
    step: Step,
    misdeed: Misdeed,
    pipelining: bool,
    hop: Hop,
    domain: String,
}

impl Case {
    fn name(&self) -> String {
        let Case { step, misdeed, pipelining, domain, .. } = self;
        format!("{step:?} {misdeed:?}, pipelining: {pipelining}, {domain}")
    }

    fn connector(&self) -> String {
        let Case { domain, hop, step, .. } = self;
        // So that QUIT comes at once.
        let messages = if *step == Step::Quit { "smtp_max_messages_per_connection = 1\n" } else { "" };
        format!(
            "[[send_connector]]\nname = \"{domain}\"\naddress_spaces = [\"{domain}\"]\nsmart_hosts = [\"{}\"]\n\
             connection_inactivity_timeout = \"00:00:02\"\n{messages}",
            hop.smart_host()
        )
    }
}

#[test]
fn every_misdeed_at_every_step_ends_with_the_message_delivered_or_reported() {
    let mut cases = Vec::new();
    for &step in Step::ALL {
        for &misdeed in Misdeed::ALL.iter().filter(|misdeed| is_possible(step, **misdeed)) {
            for pipelining in [false, true] {
                let hop = Hop::start(step, misdeed, TIMES, pipelining);
                cases.push(Case { step, misdeed, pipelining, hop, domain: format!("c{}.example.net", cases.len()) });
            }
        }
    }
    let honest = Hop::honest();
    let connectors: String = cases.iter().map(Case::connector).collect();
    let transport = format!("{QUICK_RETRY}max_per_domain_outbound_connections = {AT_ONCE_MAX}\n");
    let site = Site::start(&[CONTOSO, &transport, OPEN_TO_TESTS, &connectors, &to_sink(&honest.smart_host())]);
    let mut client = site.client(HOST_2);
    let mut submit = |recipient: &str, subject: &str| {
        let reply = client.submit("<bob@contoso.com>", &[recipient], &message(subject, "x"));
        assert_eq!(reply.code(), 250, "{reply}");
    };
    for case in &cases {
        submit(&format!("first@{}", case.domain), "first");
        // Behind a transaction that failed comes RSET.
        if case.step == Step::Rset {
            submit(&format!("second@{}", case.domain), "second");
        }
    }
    // Nobody else notices.
    submit("z@gmail.com", "honest");
    wait::until("the honest next hop has its message", || (!honest.taken().is_empty()).then_some(()));
    let spooled = || site.installation.json(&["status"])["spool"]["messages"].as_u64();
    wait::until("everything is at its end", || (spooled() == Some(0)).then_some(()));

    let reported = cases.iter().filter(|case| ending(case.step, case.misdeed) == Ending::Reported).count();
    let mail = site.wait_for_mail("bob@contoso.com", reported);
    let mail: Vec<String> = mail.iter().map(ToString::to_string).collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let taken = case.hop.taken().len();
        let sent = if case.step == Step::Rset { 2 } else { 1 };
        let reports = mail.iter().filter(|text| text.contains(&format!("first@{}", case.domain))).count();
        let is_right = match ending(case.step, case.misdeed) {
            Ending::Delivered => (taken, reports) == (sent, 0),
            Ending::DeliveredPerhapsTwice => (1..=TIMES + 1).contains(&taken) && reports == 0,
            Ending::Reported => (taken, reports) == (0, 1),
        };
        let (connections, peak) = (case.hop.connections(), case.hop.connections_peak());
        // The goodbye of one connection may overlap the greeting of the next.
        if !is_right || connections > CONNECTIONS_MAX || peak > AT_ONCE_MAX + 1 {
            let name = case.name();
            wrong.push(format!("{name}: taken {taken}, reports {reports}, {connections} connections, {peak} at once"));
        }
    }
    assert_eq!(mail.len(), reported);
    assert!(wrong.is_empty(), "of {} cases {} are wrong:\n{}", cases.len(), wrong.len(), wrong.join("\n"));
    println!("{} cases", cases.len());
}

#[test]
fn a_next_hop_that_breaks_off_time_after_time_is_left_alone_until_it_serves() {
    // The second breaks nothing off: with the first reply to EHLO comes another, and we do not go on.
    for (step, misdeed) in [(Step::Mail, Misdeed::Close), (Step::Hello, Misdeed::Twice)] {
        is_left_alone(step, misdeed);
    }
}

fn is_left_alone(step: Step, misdeed: Misdeed) {
    const MESSAGES: usize = 100;
    let hop = Hop::start(step, misdeed, usize::MAX, true);
    let transport = "[transport]\nqueue_glitch_retry_interval = \"00:10:00\"\nmessage_retry_interval = \"00:10:00\"\n";
    let site = Site::start(&[CONTOSO, transport, OPEN_TO_TESTS, &to_sink(&hop.smart_host())]);
    let mut client = site.client(HOST_2);
    for i in 0..MESSAGES {
        client.submit("<bob@contoso.com>", &["z@gmail.com"], &message(&format!("number {i}"), "x"));
    }
    let queue = |site: &Site| site.installation.json(&["status"])["queues"][0].clone();
    let blocked = wait::until("the queue waits", || {
        let queue = queue(&site);
        (queue["next_retry_ms"].is_number() && queue["connections"] == 0).then_some(queue)
    });
    // Three that broke off, and those that were under way by then.
    let connections = hop.connections();
    assert!(connections <= 3 + MESSAGES / 20 + 1, "{connections} connections for {MESSAGES} messages");
    assert!(blocked["last_error"].is_string(), "{blocked}");

    hop.reform();
    site.installation.output(&["queue", "retry", "--all"]);
    wait::until("everything is delivered", || (hop.taken().len() == MESSAGES).then_some(()));
    wait::until("the queue is empty", || (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(()));
    assert_eq!(hop.taken().len(), MESSAGES, "each once");
}
