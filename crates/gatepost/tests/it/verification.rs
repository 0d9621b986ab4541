//! Recipients that the next hop is asked about while their sender waits at RCPT.

use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex};

use gatepost_testkit::port;
use gatepost_testkit::programs::SmtpSink;
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, HOST_3, QUICK_RETRY, Site, message};

/// Strangers come from 127.0.0.2, a host that vouches for its senders from 127.0.0.3.
const DOCUMENT: &str = r#"
[[accepted_domain]]
name = "relay.example"
domain_type = "InternalRelay"
recipient_verification = true

[[mailbox]]
address = "carol@relay.example"

[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
max_inbound_connection_per_source = "unlimited"
max_inbound_connection_percentage_per_source = 100

[[receive_connector]]
name = "Trusted"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]

[[send_connector]]
name = "Inside"
address_spaces = ["SMTP:*;1"]
smart_hosts = ["{sink}"]
connection_inactivity_timeout = "00:00:01"
"#;

const ACCEPTED: &str = "250 2.1.5 Recipient OK";
const UNKNOWN: &str = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup";
const LATER: &str = "450 4.4.1 Recipient could not be verified. Please try again later";

fn site(smart_host: &str) -> Site {
    Site::start(&[CONTOSO, QUICK_RETRY, &DOCUMENT.replace("{sink}", smart_host)])
}

/// What RCPT for `recipient` is answered.
#[track_caller]
fn asked(site: &Site, source: IpAddr, recipient: &str) -> String {
    let mut client = site.client(source);
    assert_eq!(client.command("MAIL FROM:<a@x.net>").code(), 250);
    let reply = client.command(&format!("RCPT TO:<{recipient}>"));
    client.command("QUIT");
    reply.to_string()
}

/// Notes the recipients that it is asked for, and refuses those that begin with `nobody`.
fn knowing(rcpts: &Arc<Mutex<Vec<String>>>) -> Sink {
    let rcpts = rcpts.clone();
    let behaviour = move |stage: Stage<'_>, _: usize| {
        let Stage::Rcpt(path) = stage else { return Action::Accept };
        rcpts.lock().expect("no panic").push(path.to_owned());
        if path.starts_with("<nobody") { Action::Reply("550 5.1.1 who?") } else { Action::Accept }
    };
    Setup::new().answering(behaviour).start()
}

/// Holds back whoever passes until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (open, changed) = &*self.0;
        drop(changed.wait_while(open.lock().expect("no panic"), |open| !*open));
    }

    fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }
}

#[test]
fn a_recipient_that_the_next_hop_knows_is_accepted_and_an_unknown_one_refused_and_each_is_asked_once() {
    let rcpts = Arc::default();
    let sink = knowing(&rcpts);
    let site = site(&sink.smart_host());
    for _ in 0..3 {
        assert_eq!(asked(&site, HOST_2, "dave@relay.example"), ACCEPTED);
        assert_eq!(asked(&site, HOST_2, "nobody@relay.example"), UNKNOWN);
        // Whoever is known here is refused as well: it is better than a report.
        assert_eq!(asked(&site, HOST_3, "NOBODY@relay.example"), UNKNOWN);
    }
    // Known here, or of a domain that does not want it.
    assert_eq!(asked(&site, HOST_2, "carol@relay.example"), ACCEPTED);
    assert_eq!(asked(&site, HOST_2, "nobody@partner.example"), ACCEPTED);
    assert_eq!(*rcpts.lock().expect("no panic"), ["<dave@relay.example>", "<nobody@relay.example>"]);
    assert_eq!(sink.count(), 0, "questions have no content");
    assert_eq!(site.installation.json(&["status"])["counters"]["recipients_asked"], 2);
    assert!(site.installation.output(&["status"]).contains("; 2 questions to next hops"));

    let reply = site.client(HOST_2).submit("<a@x.net>", &["dave@relay.example"], &message("verified", "x"));
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(sink.first().mail.split(' ').next(), Some("<a@x.net>"));

    let refused =
        site.server.wait_for_log("the refusal", |line| line["reason"] == "the next hop refuses this recipient");
    assert_eq!(refused["argument"], "nobody@relay.example");

    // A reload forgets: whoever repairs something at the next hop need not wait.
    site.installation.output(&["reload"]);
    assert_eq!(asked(&site, HOST_2, "nobody@relay.example"), UNKNOWN);
    let questions = rcpts.lock().expect("no panic").iter().filter(|path| path.starts_with("<nobody")).count();
    assert_eq!(questions, 2);
}

#[test]
fn many_recipients_of_one_session_are_asked_over_one_connection() {
    let rcpts = Arc::default();
    let sink = knowing(&rcpts);
    let site = site(&sink.smart_host());
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("MAIL FROM:<a@x.net>").code(), 250);
    for n in 0..20 {
        assert_eq!(client.command(&format!("RCPT TO:<user{n}@relay.example>")).to_string(), ACCEPTED);
    }
    assert_eq!((rcpts.lock().expect("no panic").len(), sink.connections()), (20, 1));
}

#[test]
fn questions_go_over_tls_where_it_is_offered() {
    let rcpts = Arc::default();
    let sink = {
        let rcpts: Arc<Mutex<Vec<&'static str>>> = Arc::clone(&rcpts);
        let behaviour = move |stage: Stage<'_>, _: usize| {
            match stage {
                Stage::StartTls => rcpts.lock().expect("no panic").push("STARTTLS"),
                Stage::Rcpt(_) => rcpts.lock().expect("no panic").push("RCPT"),
                _ => {}
            }
            Action::Accept
        };
        Setup::new().offering("STARTTLS").answering(behaviour).start()
    };
    let site = site(&sink.smart_host());
    assert_eq!(asked(&site, HOST_2, "dave@relay.example"), ACCEPTED);
    assert_eq!(*rcpts.lock().expect("no panic"), ["STARTTLS", "RCPT"]);
}

#[test]
fn while_the_next_hop_is_down_strangers_come_again_and_others_are_accepted() {
    let site = site(&format!("[127.0.0.1]:{}", port::free()));
    assert_eq!(asked(&site, HOST_2, "dave@relay.example"), LATER);
    assert_eq!(asked(&site, HOST_3, "dave@relay.example"), ACCEPTED);
    assert_eq!(asked(&site, HOST_3, "erin@relay.example"), ACCEPTED);
}

#[test]
fn without_a_way_out_there_is_nobody_to_ask() {
    let document = DOCUMENT.split("[[send_connector]]").next().expect("the part before");
    let site = Site::start(&[CONTOSO, document]);
    assert_eq!(asked(&site, HOST_2, "dave@relay.example"), LATER);
    assert_eq!(asked(&site, HOST_3, "dave@relay.example"), ACCEPTED);
}

/// A refusal of anything but RCPT says nothing about the recipient; neither does silence.
#[test]
fn what_is_no_answer_about_the_recipient_is_none() {
    type At = fn(&Stage<'_>) -> bool;
    let stages: [(&str, At); 4] = [
        ("connect", |stage| matches!(stage, Stage::Connect)),
        ("EHLO", |stage| matches!(stage, Stage::Hello(_))),
        ("MAIL", |stage| matches!(stage, Stage::Mail(_))),
        ("RCPT", |stage| matches!(stage, Stage::Rcpt(_))),
    ];
    let actions = [
        Action::Hang,
        Action::Drop,
        Action::ReplyAndClose("421 4.3.2 not now"),
        Action::Reply("451 4.7.1 greylisted"),
        Action::Reply("550 5.7.1 go away"),
    ];
    std::thread::scope(|scope| {
        for (name, is_here) in stages {
            for action in &actions {
                // At RCPT it is an answer; and whoever refuses EHLO may still take HELO.
                if *action == Action::Reply("550 5.7.1 go away") && ["EHLO", "RCPT"].contains(&name) {
                    continue;
                }
                scope.spawn(move || {
                    let answer = action.clone();
                    let behaviour =
                        move |stage: Stage<'_>, _: usize| if is_here(&stage) { answer.clone() } else { Action::Accept };
                    let sink = Setup::new().answering(behaviour).start();
                    let site = site(&sink.smart_host());
                    assert_eq!(asked(&site, HOST_2, "dave@relay.example"), LATER, "{action:?} at {name}");
                    assert_eq!(asked(&site, HOST_3, "dave@relay.example"), ACCEPTED, "{action:?} at {name}");
                });
            }
        }
    });
}

#[test]
fn a_connection_that_the_next_hop_closed_meanwhile_is_replaced() {
    let sink = Setup::new()
        .answering(|stage, seen| match (stage, seen) {
            // The second question comes over the first connection, which says goodbye.
            (Stage::Mail(_), 1) => Action::ReplyAndClose("421 4.4.2 idle for too long"),
            _ => Action::Accept,
        })
        .start();
    let site = site(&sink.smart_host());
    assert_eq!(asked(&site, HOST_2, "dave@relay.example"), ACCEPTED);
    assert_eq!(asked(&site, HOST_2, "erin@relay.example"), ACCEPTED);
    assert_eq!(sink.connections(), 2);
}

#[test]
fn whoever_asks_the_same_shares_one_question() {
    let (gate, rcpts) = (Gate::default(), Arc::<Mutex<usize>>::default());
    let sink = {
        let (gate, rcpts) = (gate.clone(), rcpts.clone());
        let behaviour = move |stage: Stage<'_>, _: usize| {
            if let Stage::Rcpt(_) = stage {
                *rcpts.lock().expect("no panic") += 1;
                gate.pass();
            }
            Action::Accept
        };
        Setup::new().answering(behaviour).start()
    };
    let patient = DOCUMENT.replace("\"00:00:01\"", "\"00:00:10\"").replace("{sink}", &sink.smart_host());
    let site = Site::start(&[CONTOSO, &patient]);
    let mut clients: Vec<_> = (0..10).map(|_| site.client(HOST_2)).collect();
    for client in &mut clients {
        assert_eq!(client.command("MAIL FROM:<a@x.net>").code(), 250);
        client.send("RCPT TO:<dave@relay.example>\r\n");
    }
    wait::until("it is asked", || (*rcpts.lock().expect("no panic") > 0).then_some(()));
    // Meanwhile nobody else waits.
    assert_eq!(asked(&site, HOST_2, "carol@relay.example"), ACCEPTED);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.reply().to_string(), ACCEPTED);
    }
    assert_eq!(*rcpts.lock().expect("no panic"), 1);
}

#[test]
fn a_flood_of_recipients_reaches_the_next_hop_over_few_connections_and_not_without_end() {
    let gate = Gate::default();
    let sink = {
        let gate = gate.clone();
        let behaviour = move |stage: Stage<'_>, _: usize| {
            if let Stage::Rcpt(_) = stage {
                gate.pass();
            }
            Action::Accept
        };
        Setup::new().answering(behaviour).start()
    };
    let patient = DOCUMENT.replace("\"00:00:01\"", "\"00:00:10\"").replace("{sink}", &sink.smart_host());
    let site = Site::start(&[CONTOSO, &patient]);
    let mut clients: Vec<_> = (1..=160).map(|n| site.client(IpAddr::from([127, 0, 1, n]))).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.command("MAIL FROM:<a@x.net>").code(), 250);
        client.send(&format!("RCPT TO:<user{n}@relay.example>\r\n"));
    }
    wait::until("the workers work", || (sink.connections() == 8).then_some(()));
    gate.open();
    let answers: Vec<String> = clients.iter_mut().map(|client| client.reply().to_string()).collect();
    let [accepted, later] = [ACCEPTED, LATER].map(|words| answers.iter().filter(|answer| *answer == words).count());
    assert_eq!(accepted + later, 160, "{answers:?}");
    assert!(accepted >= 100 && later >= 1, "{accepted} accepted, {later} told to come again");
    assert_eq!(sink.connections_peak(), 8);
}

/// Its questions stay with a next hop that holds back what it says of unknown recipients.
#[test]
fn a_flood_from_one_source_leaves_others_their_turn() {
    let gate = Gate::default();
    let sink = {
        let gate = gate.clone();
        let behaviour = move |stage: Stage<'_>, _: usize| {
            let Stage::Rcpt(path) = stage else { return Action::Accept };
            if !path.starts_with("<nobody") {
                return Action::Accept;
            }
            gate.pass();
            Action::Reply("550 5.1.1 who?")
        };
        Setup::new().answering(behaviour).start()
    };
    let patient = DOCUMENT.replace("\"00:00:01\"", "\"00:00:10\"").replace("{sink}", &sink.smart_host());
    let site = Site::start(&[CONTOSO, &patient]);
    let mut clients: Vec<_> = (0..60).map(|_| site.client(HOST_2)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.command("MAIL FROM:<a@x.net>").code(), 250);
        client.send(&format!("RCPT TO:<nobody{n}@relay.example>\r\n"));
    }
    // Eight are asked and four wait, at most.
    let refused = || site.installation.json(&["status"])["counters"]["refusals"].as_u64();
    wait::until("the others are told to come again", || refused().filter(|count| *count >= 48));
    let mut honest = site.client(IpAddr::from([127, 0, 0, 4]));
    assert_eq!(honest.command("MAIL FROM:<a@x.net>").code(), 250);
    honest.send("RCPT TO:<dave@relay.example>\r\n");
    gate.open();
    assert_eq!(honest.reply().to_string(), ACCEPTED);
}

#[test]
fn a_stop_does_not_wait_for_a_next_hop_that_says_nothing() {
    let sink = Setup::new()
        .answering(|stage, _| if matches!(stage, Stage::Rcpt(_)) { Action::Hang } else { Action::Accept })
        .start();
    let patient = DOCUMENT.replace("\"00:00:01\"", "\"00:10:00\"").replace("{sink}", &sink.smart_host());
    let site = Site::start(&[CONTOSO, &patient]);
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("MAIL FROM:<a@x.net>").code(), 250);
    client.send("RCPT TO:<dave@relay.example>\r\n");
    wait::until("it is asked", || (sink.connections() == 1).then_some(()));
    site.server.terminate();
    assert_eq!(client.reply().to_string(), LATER);
    client.command("QUIT");
    let Site { mut server, installation, .. } = site;
    assert!(server.wait().success());
    drop(installation);
}

#[test]
fn postfix_as_the_next_hop_is_understood() {
    for (options, expected) in [(&[][..], ACCEPTED), (&["-f", "RCPT"], UNKNOWN), (&["-r", "RCPT"], LATER)] {
        let sink = SmtpSink::start_with(options);
        let site = site(&sink.smart_host());
        assert_eq!(asked(&site, HOST_2, "dave@relay.example"), expected, "{options:?}");
        assert!(sink.messages().is_empty());
    }
}

#[test]
fn an_explanation_says_what_it_cannot_know() {
    let site = site("[10.9.9.9]");
    let explain = |source: &str, recipient: &str, json: &[&str]| {
        let local = site.smtp().to_string();
        let question =
            ["explain", "--from", source, "--local", &local, "--sender", "a@x.net", "--recipient", recipient];
        String::from_utf8(site.installation.run(&[&question[..], json].concat()).stdout).expect("text")
    };
    let text = explain("127.0.0.2", "dave@relay.example", &[]);
    for words in [
        "accepted, if the next hop takes the recipient",
        "Not known without traffic: at RCPT [10.9.9.9]:25 is asked whether it takes the recipient.",
        UNKNOWN,
        LATER,
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let text = explain("127.0.0.3", "dave@relay.example", &[]);
    assert!(text.contains("the recipient is accepted all the same") && !text.contains(LATER), "{text}");
    assert!(!explain("127.0.0.2", "carol@relay.example", &[]).contains("Not known"));
    assert!(explain("127.0.0.2", "dave@relay.example", &["--json"]).contains(r#""next_hop_asked": "[10.9.9.9]:25""#));
}
