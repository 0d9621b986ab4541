//! Nothing can be smuggled past us: only CRLF.CRLF ends a message, and what we send on cannot end one early elsewhere.

use gatepost_testkit::sink::Sink;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, Site, below_trace, to_sink};

/// Ends of data that one server or another has been known to believe.
const FALSE_ENDS: &[&str] = &[
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r\n.\r",
    "\r.\r\n",
    "\n.\r",
    "\r\r\n.\r\r\n",
    "\r\n.\r\r\n",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
];

fn smuggled(false_end: &str) -> String {
    format!(
        "Subject: outer\r\n\r\nbody{false_end}MAIL FROM:<ceo@contoso.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n\
         Subject: inner\r\n\r\nsmuggled\r\n.\r\n"
    )
}

#[test]
fn a_false_end_of_data_never_makes_two_messages() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let mut taken = 0;
    for false_end in FALSE_ENDS {
        // A connection of its own: what is refused must not disturb the next.
        let mut client = site.client(HOST_2);
        client.command("MAIL FROM:<a@x.net>");
        client.command("RCPT TO:<z@gmail.com>");
        assert_eq!(client.command("DATA").code(), 354);
        client.send(&smuggled(false_end));
        let reply = client.reply();
        assert!([250, 550, 554].contains(&reply.code()), "{false_end:?}: {reply}");
        taken += usize::from(reply.code() == 250);
        // One reply for all of it: the commands inside were content.
        assert_eq!(client.command("QUIT").code(), 221, "{false_end:?}:\n{}", client.transcript());
    }
    let messages = sink.wait_for(taken);
    assert_eq!(messages.len(), taken);
    for message in &messages {
        assert!(message.mail.starts_with("<a@x.net>"), "{}", message.mail);
        let text = message.text();
        assert!(text.contains("smuggled"), "the whole content is one message: {text:?}");
        // Clean line endings: no bare CR, no bare LF is sent on.
        let without_crlf = text.replace("\r\n", "");
        assert!(!without_crlf.contains(['\r', '\n']), "bare line endings are sent on: {text:?}");
    }
}

#[test]
fn bare_line_feeds_are_refused_where_the_connector_says_so() {
    let sink = Sink::start();
    let connector = format!("{OPEN_TO_TESTS}bare_linefeed_rejection_enabled = true\n");
    let site = Site::start(&[CONTOSO, &connector, &to_sink(&sink.smart_host())]);
    let mut client = site.client(HOST_2);
    let reply = client.submit("<a@x.net>", &["z@gmail.com"], "Subject: bare\r\n\r\none\ntwo\r\n");
    assert_eq!(reply.to_string(), "550 5.6.11 Invalid characters");
    let reply = client.submit("<a@x.net>", &["z@gmail.com"], "Subject: clean\r\n\r\none\r\ntwo\r\n");
    assert_eq!(reply.code(), 250);
    assert!(sink.first().text().contains("Subject: clean"));
}

#[test]
fn content_is_the_same_however_it_is_cut_into_packets() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let content = "Subject: cut\r\n\r\n..stuffed\r\n\r\n.. \r\ntext\r\n";
    let on_wire = format!("{content}.\r\n");
    let mut count = 0;
    for at in (1..on_wire.len()).step_by(3) {
        let mut client = site.client(HOST_2);
        client.command("MAIL FROM:<a@x.net>");
        client.command("RCPT TO:<z@gmail.com>");
        client.command("DATA");
        let (first, second) = on_wire.split_at(at);
        client.send(first);
        client.send(second);
        assert_eq!(client.reply().code(), 250);
        count += 1;
    }
    for message in sink.wait_for(count) {
        assert_eq!(below_trace_of(&message.text()), "Subject: cut\r\n\r\n.stuffed\r\n\r\n. \r\ntext\r\n");
    }
}

/// What stands below our trace, and below the Message-ID and Date that we may add to a message without them.
fn below_trace_of(text: &str) -> &str {
    let rest = below_trace(text);
    &rest[rest.find("Subject:").expect("the field that was sent")..]
}
