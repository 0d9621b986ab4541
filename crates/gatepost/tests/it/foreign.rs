//! Other programs as clients: what they send arrives.

use gatepost_testkit::programs::{curl, python, smtp_source};
use gatepost_testkit::sink::Sink;

use crate::site::{CONTOSO, OPEN_TO_TESTS, PASSWORD, Site, message, to_sink};

const CLIENT: &str = r#"
[[receive_connector]]
name = "Client"
bindings = ["127.0.0.1:{second}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers"]
"#;

#[test]
fn smtp_source_delivers_everything_over_many_sessions() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let arguments = ["-s", "20", "-m", "500", "-l", "4096", "-f", "a@x.net", "-t", "z@gmail.com", "-N"];
    smtp_source(site.smtp(), &arguments);
    let taken = sink.wait_for(500);
    assert_eq!(taken.len(), 500);
    assert!(taken.iter().all(|message| message.content.len() > 4096), "whole messages");
    assert_eq!(site.installation.json(&["status"])["counters"]["messages_accepted"], 500);
}

#[test]
fn curl_logs_in_over_starttls() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let url = format!("smtp://{}/laptop", site.port("second"));
    let user = format!("alice:{PASSWORD}");
    let arguments =
        ["--ssl-reqd", "--user", &user, "--mail-from", "alice@contoso.com", "--mail-rcpt", "bob@contoso.com", &url];
    curl(&arguments, &message("by curl", ".dots\r\n...").replace("From: app@", "From: alice@"));
    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_eq!(mail["headers"]["Subject"], "by curl");
    assert_eq!(mail["body"].as_str().expect("a body").replace("\r\n", "\n"), ".dots\n...\n");
}

#[test]
fn smtplib_logs_in_and_sends_beyond_ascii() {
    const PROGRAM: &str = r#"
import smtplib, ssl, email.message, email.policy
host, port, password = sys.argv[1:]
context = ssl._create_unverified_context()
with smtplib.SMTP(host, int(port), timeout=60) as smtp:
    smtp.starttls(context=context)
    smtp.login("alice", password)
    m = email.message.EmailMessage(policy=email.policy.SMTP.clone(utf8=True))
    m["From"], m["To"], m["Subject"] = "alice@contoso.com", "bob@contoso.com", "Gr\u00fc\u00dfe"
    m.set_content("Z\u00fcrich\n", cte="8bit")
    refused = smtp.send_message(m, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
print(json.dumps(refused))
"#;
    let site = Site::start(&[CONTOSO, CLIENT]);
    let address = site.port("second");
    let refused = python(PROGRAM, &[&address.ip().to_string(), &address.port().to_string(), PASSWORD], b"");
    assert_eq!(refused.as_object().map(|refused| refused.len()), Some(0), "{refused}");
    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_eq!(mail["body"].as_str().expect("a body").trim_end(), "Z\u{fc}rich");
}
