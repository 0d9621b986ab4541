//! Servers and partners that prove by a certificate who they are, and which certificate we show ourselves (fact sheet
//! sections 2.4, 2.8 and 3.8).

use std::process::{Command, Stdio};

use gatepost_testkit::authority::{Authority, Identity, Kind};
use gatepost_testkit::client::Client;
use gatepost_testkit::installation::text_of;
use gatepost_testkit::wait;
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, HOST_3, QUICK_RETRY, Site, message};

/// One connector for partners and servers, one on another port that asks nobody.
const DOORS: &str = r#"
[[receive_connector]]
name = "Partners and servers"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.1-127.0.0.4"]
auth_mechanism = ["Tls", "ExchangeServer"]
permission_groups = ["AnonymousUsers", "ExchangeServers", "Partners"]
domain_secure_enabled = true

[[receive_connector]]
name = "Strangers"
bindings = ["127.0.0.1:{second}"]
remote_ip_ranges = ["127.0.0.1-127.0.0.4"]
permission_groups = ["AnonymousUsers"]
"#;

const PARTNERS: &str = "tls_receive_domain_secure_list = [\"fabrikam.example\"]\n";
const ROOTS: &str = "[tls]\ntrusted_roots = \"roots.pem\"\n";

fn known(name: &str, identity: &Identity) -> String {
    format!("[[trusted_server]]\nname = \"{name}\"\nthumbprint = \"{}\"\n", identity.thumbprint())
}

/// A server that trusts `authority`, knows `mx2` by its thumbprint, and takes fabrikam.example for a partner.
#[track_caller]
fn site(authority: &Authority, mx2: &Identity) -> Site {
    let parts = [CONTOSO, QUICK_RETRY, PARTNERS, ROOTS, &known("mx2", mx2), DOORS];
    Site::start_with_files(&parts, &[("roots.pem", authority.pem())])
}

#[track_caller]
fn showing(site: &Site, port: &str, identity: &Identity) -> Client {
    let mut client = Client::greeted_from(HOST_2, site.port(port));
    let hello = client.start_tls_showing(identity);
    assert_eq!(hello.code(), 250, "{hello}");
    client
}

#[track_caller]
fn header<'m>(mail: &'m Value, name: &str) -> Option<&'m str> {
    let headers = mail["headers"].as_object().expect("header fields");
    let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, values)| values.get(0).and_then(Value::as_str).or(values.as_str()).expect("a text"))
}

const SMUGGLED: &str = "X-MS-Exchange-Organization-SCL: -1\r\n";

#[test]
fn a_partner_writes_as_its_domain_and_is_stamped_and_a_server_keeps_the_organizations_headers() {
    let authority = Authority::new("Public CA");
    let mx2 = Identity::self_signed(&["mx2.contoso.com"]);
    let site = site(&authority, &mx2);

    // Public authorities issue certificates for servers alone.
    let fabrikam = authority.issue(&["mx.fabrikam.example", "fabrikam.example"], Kind::ServerOnly);
    let mut partner = showing(&site, "smtp", &fabrikam);
    let content = format!(
        "{SMUGGLED}{}",
        message("from a partner", "hello").replace("app@contoso.com", "carol@fabrikam.example")
    );
    let reply = partner.submit("<carol@fabrikam.example>", &["bob@contoso.com"], &content);
    assert_eq!(reply.code(), 250, "{reply}");
    let mail = partner.command("MAIL FROM:<ceo@contoso.com>");
    assert_eq!(mail.to_string(), "550 5.7.1 Client does not have permissions to send as this sender");
    assert_eq!(partner.command("MAIL FROM:<carol@fabrikam.example>").code(), 250);
    assert_eq!(partner.command("RCPT TO:<z@gmail.com>").to_string(), "550 5.7.1 Unable to relay");

    let mail = site.wait_for_mail("bob@contoso.com", 1).remove(0);
    assert_eq!(header(&mail, "X-MS-Exchange-Organization-AuthAs"), Some("Partner"), "{mail}");
    assert_eq!(header(&mail, "X-MS-Exchange-Organization-AuthDomain"), Some("fabrikam.example"), "{mail}");
    assert_eq!(header(&mail, "X-MS-Exchange-Organization-SCL"), None, "{mail}");

    let mut server = showing(&site, "smtp", &mx2);
    let content = format!("{SMUGGLED}{}", message("from a server", "hello"));
    let reply = server.submit("<anybody@example.net>", &["alice@contoso.com"], &content);
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(server.command("MAIL FROM:<ceo@contoso.com>").code(), 250);
    assert_eq!(server.command("RCPT TO:<z@gmail.com>").code(), 250);
    let mail = site.wait_for_mail("alice@contoso.com", 1).remove(0);
    assert_eq!(header(&mail, "X-MS-Exchange-Organization-AuthAs"), Some("Internal"), "{mail}");
    assert_eq!(header(&mail, "X-MS-Exchange-Organization-SCL"), Some("-1"), "{mail}");
    site.server.wait_for_log_text("Exchange Servers (mx2)");
}

#[test]
fn a_certificate_that_counts_for_nothing_leaves_the_peer_a_stranger_and_the_handshake_whole() {
    let authority = Authority::new("Public CA");
    let mx2 = Identity::self_signed(&["mx2.contoso.com"]);
    let site = site(&authority, &mx2);
    let names = ["fabrikam.example"];
    for (identity, why) in [
        (Identity::self_signed(&names), "no root that is trusted here has issued it"),
        (Authority::new("Public CA").issue(&names, Kind::Sound), "no root that is trusted here has issued it"),
        (authority.issue(&names, Kind::Expired), "it has expired"),
        (authority.issue(&["mx.fabrikam.example", "*.fabrikam.example"], Kind::Sound), "is for no domain of"),
    ] {
        let mut client = showing(&site, "smtp", &identity);
        let refused = client.command("MAIL FROM:<carol@fabrikam.example>");
        assert_eq!(refused.to_string(), "454 4.7.5 Certificate validation failure", "{why}");
        let id = client.decision_id().expect("an id in the reply").to_owned();
        assert_eq!(client.command("MAIL FROM:<a@example.net>").code(), 250, "{why}");
        let explained = text_of(&site.installation.run(&["explain", &id]));
        assert!(explained.contains(why) && explained.contains(&identity.thumbprint()), "{explained}");
    }
    // Without a certificate, and where none is asked for.
    let mut client = Client::greeted_from(HOST_2, site.smtp());
    assert_eq!(client.start_tls().code(), 250);
    assert_eq!(client.command("MAIL FROM:<carol@fabrikam.example>").code(), 454);
    let mut client = showing(&site, "second", &mx2);
    assert_eq!(client.command("MAIL FROM:<a@example.net>").code(), 250);
    assert_eq!(client.command("RCPT TO:<z@gmail.com>").to_string(), "550 5.7.1 Unable to relay");
}

#[test]
fn who_a_peer_is_ends_with_what_it_was_proven_by() {
    let authority = Authority::new("Public CA");
    let mx2 = Identity::self_signed(&["mx2.contoso.com"]);
    let site = site(&authority, &mx2);
    // Mail before TLS is a stranger's, and EHLO does not take away what the handshake has shown.
    let mut client = Client::greeted_from(HOST_2, site.smtp());
    assert_eq!(client.command("MAIL FROM:<a@example.net>").code(), 250);
    assert_eq!(client.command("RCPT TO:<z@gmail.com>").code(), 550);
    assert_eq!(client.start_tls_showing(&mx2).code(), 250);
    for _ in 0..2 {
        assert_eq!(client.command("MAIL FROM:<a@example.net>").code(), 250);
        assert_eq!(client.command("RCPT TO:<z@gmail.com>").code(), 250);
        assert_eq!(client.command("EHLO again").code(), 250);
    }
    // Another revision counts for those who come after it.
    site.write_settings(&[CONTOSO, QUICK_RETRY, PARTNERS, ROOTS, DOORS]);
    site.installation.output(&["reload"]);
    let mut later = showing(&site, "smtp", &mx2);
    assert_eq!(later.command("MAIL FROM:<a@example.net>").code(), 250);
    assert_eq!(later.command("RCPT TO:<z@gmail.com>").code(), 550);
    assert_eq!(client.command("MAIL FROM:<a@example.net>").code(), 250);
    assert_eq!(client.command("RCPT TO:<z@gmail.com>").code(), 250);
}

#[test]
fn a_server_whose_entry_expires_is_none_any_more_on_a_connection_that_is_open() {
    let authority = Authority::new("Public CA");
    let mx2 = Identity::self_signed(&["mx2.contoso.com"]);
    let expires = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 3).expect("a time");
    let known = known("mx2", &mx2) + &format!("expires = {expires}\n");
    let parts = [CONTOSO, QUICK_RETRY, PARTNERS, ROOTS, &known, DOORS];
    let site = Site::start_with_files(&parts, &[("roots.pem", authority.pem())]);
    let fabrikam = authority.issue(&["fabrikam.example"], Kind::Sound);
    let mut partner = showing(&site, "smtp", &fabrikam);
    let mut open = showing(&site, "smtp", &mx2);
    let relays = |client: &mut Client| {
        let mail = client.command("MAIL FROM:<a@example.net>");
        (mail.code() == 250).then(|| client.command("RCPT TO:<z@gmail.com>").code() == 250).ok_or(mail)
    };
    if jiff::Timestamp::now() > expires || relays(&mut open) != Ok(true) {
        // The machine was too slow to see the beginning.
        assert!(jiff::Timestamp::now() > expires);
        return;
    }
    let last = wait::until("the server has expired", || {
        open.command("RSET");
        relays(&mut open).err()
    });
    assert_eq!(last.to_string(), "421 4.3.2 Service not available, closing transmission channel");
    assert!(jiff::Timestamp::now() >= expires);
    // Who comes now is a stranger, and others are what they were.
    assert_eq!(relays(&mut showing(&site, "smtp", &mx2)), Ok(false));
    assert_eq!(partner.command("MAIL FROM:<carol@fabrikam.example>").code(), 250);
}

/// Runs openssl as a client with this certificate; what it says.
#[track_caller]
fn openssl(site: &Site, port: &str, arguments: &[&str]) -> String {
    let child = Command::new("openssl")
        .args(["s_client", "-starttls", "smtp", "-connect", &site.port(port).to_string()])
        .args(arguments)
        .current_dir(site.installation.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("openssl is installed");
    // The dialogue goes on inside TLS; QUIT in capitals would be openssl's own command.
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    std::io::Write::write_all(&mut stdin, b"EHLO app01\nMAIL FROM:<a@example.net>\nrcpt to:<z@gmail.com>\nquit\n")
        .expect("written");
    let output = child.wait_with_output().expect("openssl ends");
    text_of(&output)
}

#[test]
fn no_session_of_a_peer_that_showed_a_certificate_is_resumed_anywhere() {
    let authority = Authority::new("Public CA");
    let mx2 = Identity::self_signed(&["mx2.contoso.com"]);
    let site = site(&authority, &mx2);
    let folder = site.installation.folder();
    std::fs::write(folder.join("mx2.pem"), &mx2.certificate_pem).expect("written");
    std::fs::write(folder.join("mx2-key.pem"), &mx2.key_pem).expect("written");
    let identity = ["-cert", "mx2.pem", "-key", "mx2-key.pem"];
    for version in ["-tls1_3", "-tls1_2"] {
        let first = openssl(&site, "smtp", &[&identity[..], &[version, "-crlf", "-sess_out", "session.pem"]].concat());
        assert!(first.contains("250 2.1.5 Recipient OK"), "{version}: {first}");
        // Where a ticket was given, it is good for nothing: not there again, and not at the other connector.
        if std::fs::exists(folder.join("session.pem")).expect("a look") {
            for port in ["smtp", "second"] {
                let again = openssl(&site, port, &[version, "-crlf", "-sess_in", "session.pem"]);
                assert!(
                    again.contains("New, TLS") && again.contains("550 5.7.1 Unable to relay"),
                    "{version} {port}: {again}"
                );
            }
        }
    }
    // A ticket of a connector that asks nobody opens no other either.
    let stranger = openssl(&site, "second", &["-tls1_2", "-crlf", "-sess_out", "stranger.pem"]);
    assert!(stranger.contains("550 5.7.1 Unable to relay"), "{stranger}");
    let carried = openssl(&site, "smtp", &["-tls1_2", "-crlf", "-sess_in", "stranger.pem"]);
    assert!(carried.contains("New, TLS") && carried.contains("550 5.7.1 Unable to relay"), "{carried}");
}

#[test]
fn a_key_that_we_cannot_check_is_no_reason_to_end_the_handshake() {
    let authority = Authority::new("Public CA");
    let mx2 = Identity::self_signed(&["mx2.contoso.com"]);
    let site = site(&authority, &mx2);
    let folder = site.installation.folder();
    // A device of old: 1,024 bits, which nobody here takes for a proof.
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=old", "-days", "3650"])
        .args(["-keyout", "old-key.pem", "-out", "old.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", text_of(&made));
    let weak = ["-cert", "old.pem", "-key", "old-key.pem", "-cipher", "DEFAULT@SECLEVEL=0", "-crlf"];
    for version in ["-tls1_3", "-tls1_2"] {
        let said = openssl(&site, "smtp", &[&weak[..], &[version]].concat());
        assert!(
            said.contains("250 2.1.0 Sender OK") && said.contains("550 5.7.1 Unable to relay"),
            "{version}: {said}"
        );
    }
    site.server.wait_for_log_text("has not proven that it holds its key");
}

/// Another certificate beside the first.
const SECOND: &str = "[[certificate]]\ncertificate = \"relay.pem\"\nprivate_key = \"relay-key.pem\"\n";

fn connector_showing(certificate: &str) -> String {
    format!(
        "[[receive_connector]]\nname = \"Named\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\nremote_ip_ranges = [\"127.0.0.2\"]\n\
         permission_groups = [\"AnonymousUsers\"]\ntls_certificate_name = \"{certificate}\"\n\
         [[receive_connector]]\nname = \"By its fqdn\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\nremote_ip_ranges = [\"127.0.0.3\"]\n\
         permission_groups = [\"AnonymousUsers\"]\nfqdn = \"relay.contoso.com\"\n\
         [[receive_connector]]\nname = \"Neither\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\nremote_ip_ranges = [\"127.0.0.4\"]\n\
         permission_groups = [\"AnonymousUsers\"]\n"
    )
}

#[test]
fn a_connector_shows_the_certificate_of_its_name_or_of_its_fqdn_and_without_it_no_starttls() {
    let authority = Authority::new("Contoso CA");
    let relay = authority.issue(&["relay.contoso.com"], Kind::Sound);
    let named = connector_showing("<I>CN=Contoso CA<S>CN=relay.contoso.com");
    let files = [("relay.pem", &*relay.certificate_pem), ("relay-key.pem", &*relay.key_pem)];
    let site = Site::start_with_files(&[CONTOSO, SECOND, &named], &files);
    let shown_to = |host| {
        let mut client = Client::greeted_from(host, site.smtp());
        client.start_tls();
        client.certificate().expect("a certificate")
    };
    let host_4 = crate::site::HOST_4;
    assert_eq!(shown_to(HOST_2), relay.certificate().to_vec());
    assert_eq!(shown_to(HOST_3), relay.certificate().to_vec());
    assert_ne!(shown_to(host_4), relay.certificate().to_vec());

    // A renewed certificate with the same name is taken at the next reload.
    let renewed = authority.issue(&["relay.contoso.com"], Kind::Sound);
    let write = |name: &str, text: &str| std::fs::write(site.installation.folder().join(name), text).expect("written");
    write("relay.pem", &renewed.certificate_pem);
    write("relay-key.pem", &renewed.key_pem);
    site.installation.output(&["reload"]);
    assert_eq!(shown_to(HOST_2), renewed.certificate().to_vec());

    // One with another name leaves the connector that names it without TLS; the others go on.
    let other = authority.issue(&["other.contoso.com"], Kind::Sound);
    write("relay.pem", &other.certificate_pem);
    write("relay-key.pem", &other.key_pem);
    site.installation.output(&["reload"]);
    let mut client = Client::connect_from(HOST_2, site.smtp());
    client.reply();
    let hello = client.command("EHLO app01");
    assert!(!hello.offers("STARTTLS"), "{hello}");
    assert_eq!(client.command("STARTTLS").code(), 502);
    assert_eq!(client.command("MAIL FROM:<a@example.net>").code(), 250);
    assert_ne!(shown_to(host_4), other.certificate().to_vec());
    site.server.wait_for_log_text("STARTTLS is not offered there");
    let checked = site.installation.run(&["check"]);
    let told = text_of(&checked);
    assert!(checked.status.success() && told.contains("warning: "), "{told}");
    assert!(
        told.contains("STARTTLS is not offered there; <I>") && told.contains("declare it as [[certificate]]"),
        "{told}"
    );
    let status = site.installation.json(&["status"]);
    assert_eq!(status["tls_faults"][0]["connector"], "Named", "{status}");
    let told = site.installation.output(&["status"]);
    assert!(told.contains("Named") && told.contains("CN=relay.contoso.com"), "{told}");
}

#[test]
fn two_gateposts_know_each_other_by_their_certificates() {
    let authority = Authority::new("Contoso CA");
    let edge = authority.issue(&["edge.contoso.com"], Kind::Sound);
    let hub = site(&authority, &edge);
    let to_hub = format!(
        "[[certificate]]\ncertificate = \"edge.pem\"\nprivate_key = \"edge-key.pem\"\n\
         [[send_connector]]\nname = \"To the hub\"\naddress_spaces = [\"SMTP:*;1\"]\nsmart_hosts = [\"[127.0.0.1]:{}\"]\n\
         require_tls = true\ntls_certificate_name = \"<I>CN=Contoso CA<S>CN=edge.contoso.com\"\n",
        hub.smtp().port()
    );
    let edge_site = Site::start_with_files(
        &[
            &CONTOSO.replace("mail.contoso.com", "edge.contoso.com").replace("\"bob@", "\"carol@"),
            QUICK_RETRY,
            &to_hub,
            crate::site::OPEN_TO_TESTS,
        ],
        &[("edge.pem", &edge.certificate_pem), ("edge-key.pem", &edge.key_pem)],
    );
    // The hub would not relay for a stranger, and the edge is none: what leaves comes back as a report if it were.
    let mut client = edge_site.client(HOST_2);
    let reply = client.submit("<app@contoso.com>", &["z@gmail.com"], &message("passed on", "hello"));
    assert_eq!(reply.code(), 250, "{reply}");
    hub.server.wait_for_log("the edge's message is accepted from a server", |line| {
        let fields = &line["fields"];
        let is_accepted = fields["verdict"] == "accepted" || line["verdict"] == "accepted";
        is_accepted && line.to_string().contains("Exchange Servers (mx2)")
    });
}

#[test]
fn an_explanation_is_asked_with_a_certificate() {
    let authority = Authority::new("Public CA");
    let mx2 = Identity::self_signed(&["mx2.contoso.com"]);
    let site = site(&authority, &mx2);
    let local = site.smtp().to_string();
    let ask = |more: &[&str]| {
        let asked = ["explain", "--from", "127.0.0.2", "--local", &local, "--recipient", "bob@contoso.com"];
        text_of(&site.installation.run(&[&asked[..], more].concat()))
    };
    let unproven = ask(&["--sender", "carol@fabrikam.example"]);
    assert!(
        unproven.contains("454 4.7.5") && unproven.contains("present a certificate for fabrikam.example"),
        "{unproven}"
    );
    let proven = ask(&["--sender", "carol@fabrikam.example", "--certificate", "fabrikam.example"]);
    assert!(proven.contains("accepted") && proven.contains("Partner Servers (fabrikam.example)"), "{proven}");
    let server = ask(&["--sender", "ceo@contoso.com", "--certificate", "MX2"]);
    assert!(server.contains("Exchange Servers (mx2), by its certificate, whose thumbprint"), "{server}");
    // The group is an entry for each kind of server, and one place of the document.
    assert!(server.contains("by the group ExchangeServers, line "), "{server}");
    assert!(!server.contains(" and the group ExchangeServers"), "{server}");
    let audit = site.installation.run(&["audit"]);
    let audit = text_of(&audit);
    for expected in ["servers by certificate: mx2", "partners by certificate: fabrikam.example", "their own domains"] {
        assert!(audit.contains(expected), "{expected}: {audit}");
    }
}
