//! What the extensions carry from one side to the other: BDAT, SMTPUTF8, DSN parameters, 8-bit content.

use gatepost_testkit::sink::{Action, Setup, Sink, Stage};

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, Site, below_trace, message, to_sink};

fn site(sink: &Sink) -> Site {
    Site::start(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&sink.smart_host())])
}

#[test]
fn chunks_become_one_message() {
    let sink = Sink::start();
    let site = site(&sink);
    let mut client = site.client(HOST_2);
    let content = message("chunks", ".\r\nQUIT\r\n.");
    let (first, rest) = content.split_at(37);
    let (second, third) = rest.split_at(1);
    client.send("MAIL FROM:<a@x.net>\r\nRCPT TO:<z@gmail.com>\r\n");
    assert_eq!((client.reply().code(), client.reply().code()), (250, 250));
    for chunk in [first, second] {
        client.send(&format!("BDAT {}\r\n{chunk}", chunk.len()));
        assert_eq!(client.reply().code(), 250);
    }
    client.send(&format!("BDAT {} LAST\r\n{third}", third.len()));
    assert!(client.reply().to_string().starts_with("250 2.6.0 <chunks@app01.contoso.com> "));
    assert_eq!(below_trace(&sink.first().text()), content);
}

#[test]
fn binary_content_goes_on_as_it_is_or_not_at_all() {
    let binary = Setup::new().offering("CHUNKING").offering("BINARYMIME").start();
    let site = site(&binary);
    let mut client = site.client(HOST_2);
    let mut content = message("binary", "").into_bytes();
    content.extend(0..=255_u8);
    client.send("MAIL FROM:<a@x.net> BODY=BINARYMIME\r\nRCPT TO:<z@gmail.com>\r\n");
    assert_eq!((client.reply().code(), client.reply().code()), (250, 250));
    client.send_bytes(&[format!("BDAT {} LAST\r\n", content.len()).as_bytes(), &content].concat());
    assert_eq!(client.reply().code(), 250);
    let taken = binary.first();
    assert!(taken.chunked, "binary content needs BDAT");
    assert!(taken.mail.contains("BODY=BINARYMIME"), "{}", taken.mail);
    assert!(taken.content.ends_with(&content[..]), "every octet as it came");
}

#[test]
fn eight_bit_content_and_addresses_beyond_ascii_travel() {
    let sink = Sink::start();
    let site = site(&sink);
    let mut client = site.client(HOST_2);
    let content = message("grüße", "Schöne Grüße aus Zürich");
    let reply = client.submit("<grüße@x.net> BODY=8BITMIME SMTPUTF8", &["用户@bücher.example"], &content);
    assert_eq!(reply.code(), 250, "{reply}");
    let taken = sink.first();
    assert!(taken.mail.starts_with("<grüße@x.net>"), "{}", taken.mail);
    assert!(taken.mail.contains("SMTPUTF8") && taken.mail.contains("BODY=8BITMIME"), "{}", taken.mail);
    assert!(taken.recipients[0].starts_with("<用户@"), "{:?}", taken.recipients);
    assert_eq!(below_trace(&taken.text()), content);
    assert!(taken.text().contains("UTF8SMTP"), "RFC 6531 section 4.3 names the protocol: {}", taken.text());
}

#[test]
fn long_addresses_travel_where_they_are_offered_and_are_refused_elsewhere() {
    let sink = Setup::new()
        .answering(|stage, _| match stage {
            Stage::Rcpt(line) if line.contains("refused") => Action::Reply("550 5.1.1 no such user"),
            _ => Action::Accept,
        })
        .start();
    let open =
        OPEN_TO_TESTS.replacen("[[receive_connector]]\n", "[[receive_connector]]\nlong_addresses_enabled = true\n", 1);
    assert_ne!(open, OPEN_TO_TESTS);
    let site = Site::start(&[CONTOSO, &open, &to_sink(&sink.smart_host())]);
    let long =
        |bytes: usize, name: &str| format!("{name}{}@gmail.com", "x".repeat(bytes - name.len() - "@gmail.com".len()));
    let mut client = site.client(HOST_2);
    assert!(client.command("EHLO x").offers("XLONGADDR"));
    let (wanted, refused) = (long(1_614, "w"), long(1_614, "refused"));
    let reply = client.submit("<bob@contoso.com>", &[&wanted], &message("long", "x"));
    assert_eq!(reply.code(), 250, "{reply}");
    let taken = sink.first();
    assert!(taken.recipients[0].starts_with(&format!("<{wanted}>")), "{:?}", taken.recipients);
    assert!(
        taken.text().lines().all(|line| line.len() <= 998),
        "the Received field names no address that does not fit"
    );
    client.send(&format!("MAIL FROM:<bob@contoso.com>\r\nRCPT TO:<{}>\r\n", long(1_615, "w")));
    assert_eq!(
        (client.reply().code(), client.reply().lines[0].clone()),
        (250, String::from("501 5.1.3 Invalid address"))
    );

    // The sender hears of a failure by a report whose lines are none too long either.
    client.command("RSET");
    assert_eq!(client.submit("<bob@contoso.com>", &[&refused], &message("refused", "x")).code(), 250);
    site.wait_for_mail("bob@contoso.com", 1);
    let folder = site.installation.data_dir().join("mailboxes/bob@contoso.com/new");
    let name = std::fs::read_dir(folder).expect("the mailbox").next().expect("the report").expect("an entry").path();
    let report = std::fs::read_to_string(name).expect("ASCII");
    assert!(report.contains("Status: 5.1.1") && report.lines().all(|line| line.len() <= 998), "{report}");

    let site = self::site(&sink);
    let mut client = site.client(HOST_2);
    assert!(!client.command("EHLO x").offers("XLONGADDR"));
    client.send(&format!("MAIL FROM:<bob@contoso.com>\r\nRCPT TO:<{}>\r\n", long(326, "w")));
    assert_eq!(
        (client.reply().code(), client.reply().lines[0].clone()),
        (250, String::from("501 5.1.3 Invalid address"))
    );
}

#[test]
fn dsn_parameters_are_handed_on() {
    let sink = Sink::start();
    let site = site(&sink);
    let mut client = site.client(HOST_2);
    client.send(
        "MAIL FROM:<a@x.net> RET=HDRS ENVID=QQ314159\r\n\
         RCPT TO:<z@gmail.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;Z+2Bold@gmail.com\r\nRCPT TO:<y@gmail.com>\r\nDATA\r\n",
    );
    let codes: Vec<u16> = (0..4).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [250, 250, 250, 354]);
    client.send(&format!("{}.\r\n", message("dsn", "x")));
    assert_eq!(client.reply().code(), 250);
    let taken = sink.first();
    assert!(taken.mail.contains("RET=HDRS") && taken.mail.contains("ENVID=QQ314159"), "{}", taken.mail);
    let z = taken.recipients.iter().find(|recipient| recipient.starts_with("<z@")).expect("both recipients");
    assert!(z.contains("ORCPT=rfc822;Z+2Bold@gmail.com"), "{z}");
    assert!(z.contains("NOTIFY=") && z.contains("FAILURE") && z.contains("DELAY") && !z.contains("SUCCESS"), "{z}");
    let y = taken.recipients.iter().find(|recipient| recipient.starts_with("<y@")).expect("both recipients");
    assert!(!y.contains("NOTIFY"), "what was not given is not invented: {y}");
}

#[test]
fn a_next_hop_without_any_extension_still_gets_its_mail() {
    let old = Setup::new()
        .answering(|stage, _| match stage {
            gatepost_testkit::sink::Stage::Hello(_) => gatepost_testkit::sink::Action::Reply("502 5.5.1 what is that"),
            _ => gatepost_testkit::sink::Action::Accept,
        })
        .start();
    let site = site(&old);
    let content = message("to an old server", ".dots\r\n..");
    let stuffed = content.replace("\r\n.", "\r\n..");
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &stuffed);
    let taken = old.first();
    assert_eq!(taken.mail, "<a@x.net>", "no parameters");
    assert_eq!(below_trace(&taken.text()), content);
}

#[test]
fn binary_content_is_converted_for_a_next_hop_that_does_not_take_it() {
    let sink = Sink::start();
    let site = site(&sink);
    let mut client = site.client(HOST_2);
    let mime = "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n";
    let mut content = message("binary", "").replace("\r\n\r\n\r\n", &format!("\r\n{mime}\r\n")).into_bytes();
    content.extend(0..=255_u8);
    client.send("MAIL FROM:<a@x.net> BODY=BINARYMIME\r\nRCPT TO:<z@gmail.com>\r\n");
    assert_eq!((client.reply().code(), client.reply().code()), (250, 250));
    client.send_bytes(&[format!("BDAT {} LAST\r\n", content.len()).as_bytes(), &content].concat());
    assert_eq!(client.reply().code(), 250);
    let taken = sink.first();
    assert!(!taken.mail.contains("BODY="), "{}", taken.mail);
    let text = taken.text();
    let (header, body) = text.split_once("\r\n\r\n").expect("a header section");
    assert!(
        header.contains("\r\nContent-Transfer-Encoding: base64") && !header.contains("Encoding: binary"),
        "{header}"
    );
    let body: String = body.lines().collect();
    assert!(body.starts_with("AAECAwQFBgcICQ") && body.ends_with("8PHy8/T19vf4+fr7/P3+/w=="), "{body}");
    let size = taken.mail.split("SIZE=").nth(1).and_then(|size| size.split(' ').next()).expect("a size");
    // The sink counts what it has got; the end of the last line may be ours.
    let size: usize = size.parse().expect("a number");
    assert!((size..=size + 2).contains(&taken.content.len()), "{size} of {}", taken.content.len());
}

#[test]
fn eight_bit_content_is_just_sent_unless_the_connector_converts_it() {
    let plain = Setup::new().offering_only(&[]).start();
    let converts = format!("{}convert_8bit_mime = true\n", to_sink(&plain.smart_host()));
    let just_sends = converts.replace("convert_8bit_mime = true\n", "").replace("\"Internet\"", "\"Old\"");
    let just_sends = just_sends.replace("SMTP:*;1", "old.example");
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &converts, &just_sends]);
    let mut client = site.client(HOST_2);
    let content = message("hello", "Schöne Grüße");
    let mut submit = |recipient: &str, content: &str| {
        let reply = client.submit("<bob@contoso.com> BODY=8BITMIME", &[recipient], content);
        assert_eq!(reply.code(), 250, "{reply}");
    };
    submit("z@old.example", &content);
    assert!(plain.first().text().contains("Schöne Grüße"));
    submit("z@gmail.com", &content);
    let taken = plain.wait_for(2);
    let converted = taken.iter().find(|taken| taken.recipients[0].contains("gmail")).expect("the other message");
    assert!(converted.text().ends_with("Sch=C3=B6ne Gr=C3=BC=C3=9Fe\r\n"), "{}", converted.text());
    assert!(taken.iter().all(|taken| !taken.mail.contains("BODY=")));

    let signed =
        "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=x; protocol=\"application/pkcs7-signature\"\r\n";
    let body = "--x\r\n\r\nGrüße\r\n--x\r\nContent-Type: application/pkcs7-signature\r\n\r\nabc\r\n--x--";
    submit(
        "signed@gmail.com",
        &message("signed", body).replace("\r\n\r\n--x\r\n\r\n", &format!("\r\n{signed}\r\n--x\r\n\r\n")),
    );
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0).to_string();
    assert!(report.contains("Status: 5.6.3") && report.contains("127.0.0.1"), "{report}");
    assert!(report.contains("does not offer 8BITMIME") && report.contains("signed"), "{report}");
    assert_eq!(plain.count(), 2);
}

#[test]
fn a_next_hop_without_smtputf8_gets_what_is_ascii_and_the_sender_hears_of_the_rest() {
    let plain = Setup::new().offering_only(&["PIPELINING", "8BITMIME"]).start();
    let site = site(&plain);
    let mut client = site.client(HOST_2);
    let mut submit = |recipients: &[&str], content: &str| {
        let reply = client.submit("<bob@contoso.com> SMTPUTF8", recipients, content);
        assert_eq!(reply.code(), 250, "{reply}");
    };
    // The domain has an ASCII form, the other local part has none.
    submit(&["z@bücher.example", "用户@bücher.example"], &message("two", "x"));
    let taken = plain.first();
    assert!(!taken.mail.contains("SMTPUTF8"), "{}", taken.mail);
    assert_eq!(taken.recipients.len(), 1);
    assert!(taken.recipients[0].starts_with("<z@xn--bcher-kva.example>"), "{:?}", taken.recipients);
    submit(&["z@gmail.com"], &message("grüße", "x"));
    let reports = site.wait_for_mail("bob@contoso.com", 2);
    for report in reports.iter().map(ToString::to_string) {
        assert!(report.contains("Status: 5.6.7") && report.contains("127.0.0.1"), "{report}");
    }
    assert_eq!(plain.count(), 1);
}
