//! `gatepost trace`: what was refused and what came of messages, found by whatever a person knows.

use gatepost_testkit::installation::text_of;

use crate::site::{CONTOSO, HOST_2, HOST_3, Site};

const GATE: &str = r#"
[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.0/8"]
permission_groups = ["AnonymousUsers"]
"#;

#[test]
fn a_refused_attempt_is_found_by_whatever_is_known_of_it_with_its_explanation() {
    let site = Site::start(&[CONTOSO, GATE]);
    for (host, recipient) in [(HOST_2, "b@gmail.com"), (HOST_3, "carl@example.net")] {
        let mut client = site.client(host);
        assert_eq!(client.command("MAIL FROM:<Ann@hotmail.com>").code(), 250);
        assert_eq!(client.command(&format!("RCPT TO:<{recipient}>")).code(), 550);
    }
    // What was given up after a refusal has a record of its own.
    let found = |arguments: &[&str]| {
        let found = site.installation.json(&[&["trace"], arguments].concat());
        found["entries"].as_array().expect("entries").iter().filter(|entry| entry["verdict"] == "refused").count()
    };
    for (arguments, expected) in [
        (&["--address", "ann@hotmail.com"][..], 2),
        (&["--sender", "ANN@hotmail.com", "--verdict", "refused"], 2),
        (&["--recipient", "b@gmail.com"], 1),
        (&["--domain", "gmail.com"], 1),
        (&["--peer", "127.0.0.2"], 1),
        (&["--peer", "127.0.0.0/30", "--connector", "internet", "--since", "1h"], 2),
        (&["--since", "2099-01-01T00:00:00Z"], 0),
        (&["--address", "nobody@gmail.com"], 0),
        (&["--verdict", "delivered"], 0),
    ] {
        assert_eq!(found(arguments), expected, "{arguments:?}");
    }
    let text = site.installation.output(&["trace", "--peer", "127.0.0.2", "--verdict", "refused"]);
    for words in ["refused at RCPT: recipient domain is not accepted", "Missing: ms-Exch-SMTP-Accept-Any-Recipient"] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    let text = site.installation.output(&["trace", "--sender", "ann@hotmail.com", "--verdict", "refused"]);
    assert!(text.contains("refused   550 5.7.1 Unable to relay") && text.contains("2 entries."), "{text}");
    for (arguments, words) in [
        (&["trace", "--peer", "192.168.2"][..], "192.168.2.0/24"),
        (&["trace", "--since", "yesterday"], "is no instant"),
        (&["trace", "erase", "gmail.com"], "one whole address"),
    ] {
        let run = site.installation.run(arguments);
        assert!(!run.status.success() && text_of(&run).contains(words), "{arguments:?}: {}", text_of(&run));
    }

    let erased = site.installation.json(&["trace", "erase", "ann@HOTMAIL.com"]);
    assert!(erased["decisions"].as_u64() >= Some(2), "{erased}");
    assert_eq!(found(&["--address", "ann@hotmail.com"]), 0);
    assert_eq!(found(&["--recipient", "b@gmail.com"]), 1);
}
