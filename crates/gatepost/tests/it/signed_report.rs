//! The report of who may relay that an auditor takes away: signed by the server, verified without it, by us and by OpenSSL.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use gatepost_testkit::installation::text_of;
use serde_json::Value;

use crate::site::{CONTOSO, RELAY, Site};

const GUIDE: &str = include_str!("../../../../docs/guide/prove-that-you-are-no-open-relay.md");
const ASSERTION: &str = "\n[[assert]]\ncomment = \"no <stranger> relays\"\nfrom = \"public\"\nwho = \"unauthenticated\"\ndeny = [\"relay\"]\n";

/// The commands of OpenSSL that the guide shows.
fn guides_commands() -> &'static str {
    let begin = GUIDE.find("head -n -1 relay-report.html").expect("the guide shows how");
    GUIDE[begin..].split("```").next().expect("a block")
}

#[test]
fn a_report_is_what_the_server_signed_or_it_is_not() {
    let site = Site::start(&[CONTOSO, RELAY, ASSERTION]);
    let (installation, folder) = (&site.installation, site.installation.folder());
    let verify = |file: &str, key: &str| installation.run(&["audit", "--verify", file, "--key", key]);

    let written = installation.output(&["audit", "--report", "relay-report.html"]);
    let printed = installation.output(&["audit", "--public-key"]);
    fs::write(folder.join("mx1.pem"), &printed).expect("written");
    let shown = installation.json(&["audit", "--public-key"]);
    let fingerprint = shown["fingerprint"].as_str().expect("a fingerprint").to_owned();
    assert!(written.contains(&fingerprint) && printed.contains(&fingerprint), "{written}{printed}");
    let mode = fs::metadata(folder.join("data/report-key.pem")).expect("the key is there").mode();
    assert_eq!(mode & 0o777, 0o600);

    let page = fs::read_to_string(folder.join("relay-report.html")).expect("text");
    for part in [
        "mail.contoso.com",
        "revision 1,",
        "1 connector; 1 address may relay anywhere without logging in",
        "127.0.0.2",
        "no &#60;stranger&#62; relays",
        &fingerprint,
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("src=") && !page.contains("href="), "it needs nothing but itself");

    // By the fingerprint, by the key, by the key of this machine; and by OpenSSL as the guide says.
    for key in [fingerprint.as_str(), &fingerprint.to_uppercase(), "mx1.pem"] {
        let verified = verify("relay-report.html", key);
        assert!(verified.status.success() && text_of(&verified).starts_with("Verified"), "{}", text_of(&verified));
    }
    assert!(installation.run(&["audit", "--verify", "relay-report.html"]).status.success());
    let openssl = |commands: &str| {
        let shell = Command::new("bash").args(["-e", "-o", "pipefail", "-c", commands]).current_dir(folder).output();
        shell.expect("bash and openssl are installed")
    };
    let verified = openssl(guides_commands());
    assert!(verified.status.success(), "{}", text_of(&verified));

    // One letter of a finding, one digit of an address, the line that signs: none of it can be another.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let bytes = page.as_bytes();
    for place in [0, page.find("127.0.0.2").expect("the address"), bytes.len() / 2, bytes.len() - 20, bytes.len() - 1] {
        let mut changed = bytes.to_vec();
        changed[place] ^= 1;
        let file = elsewhere.path().join("relay-report.html");
        fs::write(&file, &changed).expect("written");
        let refused = verify(&file.to_string_lossy(), "mx1.pem");
        assert_eq!(refused.status.code(), Some(6), "byte {place}: {}", text_of(&refused));
    }
    fs::write(folder.join("relay-report.html"), page.replace("127.0.0.2", "127.0.0.3")).expect("written");
    assert!(!openssl(guides_commands()).status.success());

    // JSON is signed alike, and stays JSON.
    installation.output(&["audit", "--report", "relay-report.json"]);
    assert!(verify("relay-report.json", &fingerprint).status.success());
    let report: Value =
        serde_json::from_slice(&fs::read(folder.join("relay-report.json")).expect("read")).expect("JSON");
    assert_eq!((&report["signed_by"], &report["revision"]), (&fingerprint.as_str().into(), &1.into()));
    assert_eq!(report["assertions"][0]["comment"], "no <stranger> relays");
    assert_eq!(report["signature"]["algorithm"], "ed25519");

    // Whoever asks again within a minute gets the same file.
    installation.output(&["audit", "--report", "again.json"]);
    let [first, again] = ["relay-report.json", "again.json"].map(|file| fs::read(folder.join(file)).expect("read"));
    assert!(first == again, "it was written anew");

    // Another key is another server.
    fs::remove_file(folder.join("data/report-key.pem")).expect("removed");
    installation.output(&["audit", "--report", "other.html"]);
    let other = verify("other.html", &fingerprint);
    assert_eq!(other.status.code(), Some(6), "{}", text_of(&other));
    assert!(text_of(&other).contains("another key has signed it"), "{}", text_of(&other));
    let acts = installation.json(&["acts"]);
    let exports = acts.to_string().matches("Export-ExposureReport").count();
    assert_eq!(exports, 3, "each report once: {acts}");
}

#[test]
fn a_report_is_not_asked_for_by_halves() {
    let site = Site::start(&[CONTOSO, RELAY]);
    for (arguments, code, said) in [
        (&["audit", "--report", "report.pdf"][..], 2, ".html"),
        (&["audit", "--verify", "gatepost.toml", "--key", "gatepost.toml"], 1, "no Ed25519 public key"),
        (&["audit", "--verify", "gatepost.toml"], 1, "has signed no report yet"),
        (&["audit", "--verify", "nothing.html", "--key", &"0".repeat(64)], 1, "nothing.html"),
        (&["audit", "--verify", "gatepost.toml", "--key", &"0".repeat(64)], 6, "NOT VERIFIED"),
    ] {
        let output = site.installation.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text_of(&output));
        assert!(text_of(&output).contains(said), "{arguments:?}: {}", text_of(&output));
    }
}
