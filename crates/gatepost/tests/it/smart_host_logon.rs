//! Logging on to smart hosts: each mechanism, what is never said in clear, and who is not believed.

use std::os::unix::fs::PermissionsExt;

use gatepost_testkit::authority::{Authority, Identity, Kind};
use gatepost_testkit::dns::{Dns, Record};
use gatepost_testkit::installation::{Installation, text_of};
use gatepost_testkit::provider::{PASSWORD, Provider, Running, USER};
use gatepost_testkit::sink::Sink;
use gatepost_testkit::submission::Submission;
use gatepost_testkit::wait;
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message};

const HERE: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;
const ROOTS: &str = "[tls]\ntrusted_roots = \"roots.pem\"\n";

/// A connector for `domain` that logs on to `provider`, which is known as provider.test.
fn logging_on(domain: &str, provider: &Running, mechanism: &str, more: &str) -> String {
    format!(
        "[[send_connector]]\nname = \"{domain}\"\naddress_spaces = [\"{domain}\"]\n\
         smart_hosts = [\"provider.test:{}\"]\nsmart_host_auth_mechanism = \"{mechanism}\"\n\
         authentication_user = \"{USER}\"\nauthentication_password_file = \"password\"\n\
         protocol_logging_level = \"Verbose\"\n{more}\n",
        provider.port()
    )
}

fn write_password(installation: &Installation, password: &str, mode: u32) {
    let path = installation.folder().join("password");
    std::fs::write(&path, format!("{password}\n")).expect("write the password");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// A server with these connectors that trusts `authority` and can look up provider.test.
#[track_caller]
fn site(dns: &Dns, authority: &Authority, connectors: &str) -> Site {
    let servers = format!("external_dns_servers = [\"{}\"]\n", dns.address());
    Site::start_prepared(&[CONTOSO, QUICK_RETRY, &servers, ROOTS, OPEN_TO_TESTS, connectors], |installation| {
        std::fs::write(installation.folder().join("roots.pem"), authority.pem()).expect("write the roots");
        write_password(installation, PASSWORD, 0o600);
    })
}

fn dns() -> Dns {
    Dns::start(&[("provider.test", Record::A(HERE))])
}

fn identity(authority: &Authority) -> Option<Identity> {
    Some(authority.issue(&["provider.test"], Kind::Sound))
}

#[track_caller]
fn send(site: &Site, domain: &str) {
    let reply = site.client(HOST_2).submit("<a@x.net>", &[&format!("z@{domain}")], &message(domain, "hello"));
    assert_eq!(reply.code(), 250, "{reply}");
}

/// What `gatepost status` says of the queue of a connector, once it says what went wrong.
#[track_caller]
pub fn last_error(site: &Site, connector: &str) -> String {
    wait::until("an error of the queue", || {
        let status = site.installation.json(&["status"]);
        let queues = status["queues"].as_array().expect("queues");
        let queue = queues.iter().find(|queue| queue["connector"] == connector)?;
        queue["last_error"].as_str().map(str::to_owned)
    })
}

/// All that the server has written but messages: its log and its transcripts.
fn written(site: &Site) -> String {
    let folder = site.installation.data_dir().join("logs").join("protocol");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let transcripts: String = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
    format!("{}{transcripts}", site.server.log())
}

#[test]
fn each_mechanism_lets_us_in_and_the_best_that_is_offered_is_taken() {
    let (dns, authority) = (dns(), Authority::new("Public CA"));
    let cases = [
        ("all.example", "CRAM-MD5 LOGIN PLAIN SCRAM-SHA-1 SCRAM-SHA-256", "SCRAM-SHA-256"),
        ("sha1.example", "PLAIN SCRAM-SHA-1", "SCRAM-SHA-1"),
        ("plain.example", "CRAM-MD5 LOGIN PLAIN", "PLAIN"),
        ("login.example", "NTLM LOGIN CRAM-MD5", "LOGIN"),
        ("cram.example", "CRAM-MD5", "CRAM-MD5"),
    ];
    let providers = cases.map(|(_, mechanisms, _)| {
        Provider { mechanisms, identity: identity(&authority), ..Provider::default() }.start()
    });
    let connectors: String = cases
        .iter()
        .zip(&providers)
        .map(|((domain, ..), provider)| logging_on(domain, provider, "BasicAuthRequireTLS", ""))
        .collect();
    let site = site(&dns, &authority, &connectors);
    for ((domain, _, taken), provider) in cases.iter().zip(&providers) {
        send(&site, domain);
        assert!(provider.wait_for(1)[0].contains(&format!("Subject: {domain}")), "{domain}");
        let seen = provider.seen();
        assert_eq!(seen[0].logons, [((*taken).to_owned(), true)], "{domain}");
    }
    site.server.wait_for_log_text("ready");
    let written = written(&site);
    assert!(written.contains("AUTH SCRAM-SHA-256 <authentication response>"), "{written}");
    assert!(written.contains("certificate verified for provider.test"), "{written}");
    // Neither the password nor what it is guessed from: base64 of LOGIN, PLAIN and SCRAM's parts.
    for secret in [PASSWORD, "dGFuc3QsIGFhZj10YW5zdGFhZg", "c2Nhbm5lckBjb250b3NvLmV4YW1wbGU", "s=YW55", "biws"] {
        assert!(!written.contains(secret), "{secret}: {written}");
    }
}

#[test]
fn a_password_is_said_in_clear_only_where_basic_auth_allows_it_and_then_as_hidden_as_can_be() {
    let (dns, authority) = (dns(), Authority::new("Public CA"));
    let in_clear = |mechanisms| Provider { mechanisms, ..Provider::default() }.start();
    let [cram, plain, never] = ["PLAIN LOGIN CRAM-MD5", "LOGIN PLAIN", "PLAIN"].map(in_clear);
    let offering_tls = Provider { identity: identity(&authority), ..Provider::default() }.start();
    let connectors = [
        logging_on("cram.example", &cram, "BasicAuth", ""),
        logging_on("plain.example", &plain, "BasicAuth", ""),
        logging_on("never.example", &never, "BasicAuthRequireTLS", ""),
        logging_on("tls.example", &offering_tls, "BasicAuth", ""),
    ];
    let site = site(&dns, &authority, &connectors.concat());
    for (domain, provider, expected) in [
        ("cram.example", &cram, ("CRAM-MD5", false)),
        ("plain.example", &plain, ("PLAIN", false)),
        ("tls.example", &offering_tls, ("PLAIN", true)),
    ] {
        send(&site, domain);
        provider.wait_for(1);
        assert_eq!(provider.seen()[0].logons, [(expected.0.to_owned(), expected.1)], "{domain}");
    }
    send(&site, "never.example");
    let error = last_error(&site, "never.example");
    assert!(error.contains("TLS is required, but the next hop does not offer STARTTLS"), "{error}");
    assert!(never.seen().iter().all(|seen| seen.logons.is_empty() && seen.contents.is_empty()));
}

#[test]
fn a_smart_host_that_refuses_the_logon_or_cannot_prove_itself_gets_no_mail_until_it_does() {
    let (dns, authority) = (dns(), Authority::new("Public CA"));
    let tls = || identity(&authority);
    let scram = "SCRAM-SHA-256 SCRAM-SHA-1";
    let liar = Provider { mechanisms: scram, identity: tls(), lies: true, ..Provider::default() }.start();
    let refusing = |refusal| Provider { identity: tls(), refusal: Some(refusal), ..Provider::default() }.start();
    let locked = refusing("535 5.7.8 Account locked");
    let busy = refusing("454 4.7.0 Temporary authentication failure");
    let connectors = [
        logging_on("liar.example", &liar, "BasicAuthRequireTLS", ""),
        logging_on("locked.example", &locked, "BasicAuthRequireTLS", ""),
        logging_on("busy.example", &busy, "BasicAuthRequireTLS", ""),
    ];
    let site = site(&dns, &authority, &connectors.concat());
    for (domain, provider, expected) in [
        ("liar.example", &liar, "it has not proven that it knows the password"),
        ("locked.example", &locked, "535 5.7.8 Account locked"),
        ("busy.example", &busy, "454 4.7.0 Temporary authentication failure"),
    ] {
        send(&site, domain);
        let error = last_error(&site, domain);
        assert!(error.contains(expected) && error.contains("Logon to provider.test"), "{error}");
        let fault = wait::until("the fault in the status", || {
            let status = site.installation.json(&["status"]);
            let faults = status["logon_faults"].as_array()?.clone();
            faults.into_iter().find(|fault| fault["connector"] == domain)
        });
        assert!(fault["reply"].as_str().is_some_and(|reply| reply.contains(expected)), "{fault}");
        assert_eq!(fault["host"], "provider.test");
        assert!(site.installation.output(&["status"]).contains("does not let us in"));
        assert_eq!(provider.contents().len(), 0);
        // The message waits; nobody is told that it failed.
        assert_eq!(site.installation.json(&["queue", "list"])["total"], 1);
        provider.repair();
        provider.wait_for(1);
        wait::until("no fault", || {
            let status = site.installation.json(&["status"]);
            (status["logon_faults"].is_null() && status["spool"]["messages"] == 0).then_some(())
        });
    }
    assert_eq!(site.installation.json(&["status"])["counters"]["reports"], 0);
}

#[test]
fn the_certificate_of_a_smart_host_has_to_be_for_the_name_that_was_written() {
    let (authority, other) = (Authority::new("Public CA"), Authority::new("Somebody"));
    // MX records may lead anywhere: what they say proves nothing.
    let dns = Dns::start(&[("provider.test", Record::Mx(10, "evil.test")), ("evil.test", Record::A(HERE))]);
    let with = |identity| Provider { identity: Some(identity), ..Provider::default() }.start();
    let evil = with(authority.issue(&["evil.test"], Kind::Sound));
    let sound = with(authority.issue(&["provider.test"], Kind::Sound));
    let unknown = with(other.issue(&["provider.test"], Kind::Sound));
    let connectors = [
        logging_on("evil.example", &evil, "BasicAuthRequireTLS", ""),
        logging_on("sound.example", &sound, "BasicAuthRequireTLS", ""),
        logging_on("unknown.example", &unknown, "BasicAuthRequireTLS", ""),
        // BasicAuth in TLS that is required, for a server whose certificate cannot be checked.
        logging_on("unchecked.example", &unknown, "BasicAuth", "require_tls = true"),
    ];
    let site = site(&dns, &authority, &connectors.concat());
    send(&site, "evil.example");
    let error = last_error(&site, "evil.example");
    assert!(error.contains("its certificate is not for provider.test but for evil.test"), "{error}");
    send(&site, "unknown.example");
    let error = last_error(&site, "unknown.example");
    assert!(error.contains("no root that is trusted here has issued it"), "{error}");
    assert!(evil.seen().iter().chain(&unknown.seen()).all(|seen| seen.logons.is_empty()), "no password was said");
    send(&site, "sound.example");
    sound.wait_for(1);
    send(&site, "unchecked.example");
    unknown.wait_for(1);
}

#[test]
fn a_password_that_cannot_be_read_keeps_the_settings_out_and_a_reload_takes_a_new_one() {
    let (dns, authority) = (dns(), Authority::new("Public CA"));
    let provider = Provider { identity: identity(&authority), ..Provider::default() }.start();
    let servers = format!("external_dns_servers = [\"{}\"]\n", dns.address());
    let connector = logging_on("a.example", &provider, "BasicAuthRequireTLS", "");
    let parts = [CONTOSO, QUICK_RETRY, &servers, ROOTS, OPEN_TO_TESTS, &connector];
    for (mode, password, expected) in [
        (0o644, PASSWORD, "is open to others (mode 0644): run `chmod 600"),
        (0o600, "two\nlines", "holds no password"),
        (0o600, "", "holds no password"),
    ] {
        let refused = Site::try_start_prepared(&parts, |installation| {
            std::fs::write(installation.folder().join("roots.pem"), authority.pem()).expect("write the roots");
            write_password(installation, password, mode);
            let checked = text_of(&installation.run(&["check"]));
            assert!(checked.contains(expected), "{checked}");
        });
        let output = refused.err().expect("it does not start").output;
        assert!(output.contains(expected), "{output}");
    }
    let site = Site::start_prepared(&parts, |installation| {
        std::fs::write(installation.folder().join("roots.pem"), authority.pem()).expect("write the roots");
        write_password(installation, "an old one", 0o640);
    });
    send(&site, "a.example");
    let error = last_error(&site, "a.example");
    assert!(error.contains("535 5.7.8"), "{error}");
    write_password(&site.installation, PASSWORD, 0o600);
    site.installation.output(&["reload"]);
    provider.wait_for(1);
    // From the environment, and gone from it.
    let by_variable =
        connector.replace("authentication_password_file = \"password\"", "authentication_password_env = \"SECRET\"");
    site.write_settings(&[CONTOSO, QUICK_RETRY, &servers, ROOTS, OPEN_TO_TESTS, &by_variable]);
    let refused = text_of(&site.installation.run(&["reload"]));
    assert!(refused.contains("the environment has no SECRET"), "{refused}");
    let mut site = site;
    site.installation.set_variable("SECRET", PASSWORD);
    let site = site.restart(|server| assert!(server.stop().success()));
    send(&site, "a.example");
    provider.wait_for(2);
    let status: Value = site.installation.json(&["status"]);
    assert!(!status.to_string().contains(PASSWORD));
}

/// A server that we have not written, with each of its mechanisms by itself.
#[test]
fn dovecot_lets_us_in_by_each_of_its_mechanisms() {
    let (dns, authority, sink) = (dns(), Authority::new("Public CA"), Sink::start());
    let identity = authority.issue(&["provider.test"], Kind::Sound);
    let cases = ["scram-sha-256", "scram-sha-1", "plain", "login", "cram-md5", "plain login cram-md5 scram-sha-256"];
    let servers = cases.map(|mechanisms| Submission::start(&identity, (USER, PASSWORD), mechanisms, sink.address()));
    let connector = |number: usize, server: &Submission| {
        format!(
            "[[send_connector]]\nname = \"{number}\"\naddress_spaces = [\"m{number}.example\"]\n\
             smart_hosts = [\"provider.test:{}\"]\nsmart_host_auth_mechanism = \"BasicAuthRequireTLS\"\n\
             authentication_user = \"{USER}\"\nauthentication_password_file = \"password\"\n",
            server.port()
        )
    };
    let connectors: String = servers.iter().enumerate().map(|(number, server)| connector(number, server)).collect();
    let site = site(&dns, &authority, &connectors);
    for (number, (mechanisms, server)) in cases.iter().zip(&servers).enumerate() {
        send(&site, &format!("m{number}.example"));
        let taken = wait::within(wait::PATIENCE, || Some(()).filter(|()| sink.count() > number));
        assert!(taken.is_some(), "{mechanisms}: {}\n{}", server.log(), site.server.log());
    }
    let log = servers[5].log();
    assert!(log.contains("method=SCRAM-SHA-256"), "the best that is offered: {log}");
}

#[test]
fn a_connector_made_with_a_credential_logs_on_and_the_settings_hold_no_password() {
    let (dns, authority) = (dns(), Authority::new("Public CA"));
    let provider = Provider { identity: identity(&authority), ..Provider::default() }.start();
    let site = site(&dns, &authority, "");
    let made = |verb: &str, password: &str| {
        site.shell(&format!(
            "$secret = ConvertTo-SecureString '{password}' -AsPlainText -Force\n\
             $credential = New-Object PSCredential '{USER}', $secret\n\
             {verb} -AuthenticationCredential $credential | Out-Null"
        ))
    };
    let new = format!(
        "New-SendConnector Out -AddressSpaces out.example -SmartHosts provider.test:{} -SmartHostAuthMechanism BasicAuthRequireTLS",
        provider.port()
    );
    assert_eq!(made(&new, "no, this one"), "");
    let settings = site.installation.settings();
    assert!(
        settings.contains(USER) && settings.contains("data/passwords/") && !settings.contains("this one"),
        "{settings}"
    );
    send(&site, "out.example");
    let error = last_error(&site, "Out");
    assert!(error.contains("Logon to provider.test"), "{error}");
    // Another password is another file: it counts at the next attempt, and the earlier revision still has its own.
    assert_eq!(made("Set-SendConnector Out", PASSWORD), "");
    assert_ne!(site.installation.settings(), settings);
    provider.wait_for(1);
    // What is refused leaves no file behind.
    let refused = made("Set-SendConnector Out -SmartHosts nowhere..test", "yet another");
    assert!(refused.contains("no smart host"), "{refused}");
    let folder = site.installation.data_dir().join("passwords");
    let files: Vec<_> = std::fs::read_dir(&folder).expect("the folder").flatten().collect();
    let mut kept: Vec<String> =
        files.iter().map(|file| std::fs::read_to_string(file.path()).expect("readable")).collect();
    kept.sort();
    let mut expected = [format!("{PASSWORD}\n"), "no, this one\n".to_owned()];
    expected.sort();
    assert_eq!(kept, expected);
    for file in files {
        assert_eq!(file.metadata().expect("known").permissions().mode() & 0o777, 0o600);
    }
    // Putting the earlier revision in force again does not take the password back.
    let revision = site.shell("(Get-ConfigurationRevision)[1].Revision");
    site.shell(&format!("Restore-ConfigurationRevision {} -Confirm:$false", revision.trim()));
    send(&site, "out.example");
    provider.wait_for(2);
    let acts = site.installation.output(&["acts"]);
    assert!(acts.contains("Set-SendConnector") && acts.contains("(secret)"), "{acts}");
    for secret in [PASSWORD, "this one", "yet another"] {
        assert!(!acts.contains(secret) && !written(&site).contains(secret), "{acts}");
    }
}
