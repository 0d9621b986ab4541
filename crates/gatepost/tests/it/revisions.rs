//! The history of settings: listed, compared, restored; what stands in the way of a change, and crashes in the middle of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use gatepost_testkit::installation::{Installation, text_of};
use gatepost_testkit::shim::error::{EIO, ENOSPC};
use gatepost_testkit::shim::{Action, Rule, Shim, call};
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, HOST_3, Site};

/// A document whose relay is for this host.
fn relay_for(host: &str) -> String {
    format!(
        "{CONTOSO}\n# everybody\n[[receive_connector]]\nname = \"Default\"\nbindings = [\"127.0.0.1:{{smtp}}\"] # here\n\
         remote_ip_ranges = [\"0.0.0.0-255.255.255.255\"]\nauth_mechanism = [\"Tls\"]\npermission_groups = [\"AnonymousUsers\"]\n\n\
         # the printer\n[[receive_connector]]\nname = \"Relay\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\nremote_ip_ranges = [\n  \"{host}\", # by ticket 7\n]\n\
         permission_groups = [\"AnonymousUsers\"]\n  [[receive_connector.permission]]\n  user = 'NT AUTHORITY\\ANONYMOUS LOGON'\n\
         \x20 extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n"
    )
}

/// The document as it is shown.
fn without_hash(settings: &str) -> String {
    let (before, hash) = settings.split_once("$argon2").expect("alice has a password");
    format!("{before}(not shown){}", &hash[hash.find('"').expect("it ends")..])
}

fn may_relay(site: &Site, host: std::net::IpAddr) -> bool {
    let mut client = gatepost_testkit::client::Client::greeted_from(host, site.smtp());
    let mail = client.command("MAIL FROM:<a@x.net>");
    mail.code() == 250 && client.command("RCPT TO:<z@gmail.com>").code() == 250
}

/// A site with two revisions: the relay was for host 2, then somebody made it host 3.
fn site_with_two_revisions() -> Site {
    let site = Site::start(&[&relay_for("127.0.0.2")]);
    site.write_settings(&[&relay_for("127.0.0.3")]);
    assert_eq!(site.installation.json(&["reload"])["revision"], 2);
    site
}

fn revisions(installation: &Installation) -> Vec<Value> {
    let listing = installation.json(&["revisions"]);
    listing["revisions"].as_array().unwrap_or_else(|| panic!("a list in {listing}")).clone()
}

/// What lies beside the settings file that begins like it.
fn beside(installation: &Installation, part: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(installation.folder()).expect("the folder").flatten().map(|entry| entry.path());
    folder.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part))).collect()
}

#[test]
fn what_was_in_force_is_listed_compared_and_restored() {
    let site = site_with_two_revisions();
    let (installation, second) = (&site.installation, site.installation.settings());
    let listed = revisions(installation);
    let facts =
        |revision: &Value| (revision["number"].as_u64(), revision["origin"].as_str().unwrap_or_default().to_owned());
    assert_eq!(listed.iter().map(facts).collect::<Vec<_>>(), [(Some(2), "by_hand".into()), (Some(1), "first".into())]);

    let compared = installation.json(&["revisions", "diff", "1", "2"]);
    let lines: Vec<&str> =
        compared["difference"].as_str().expect("text").lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(lines[1..], ["-  \"127.0.0.2\", # by ticket 7", "+  \"127.0.0.3\", # by ticket 7"], "{compared}");
    assert_eq!(compared["changes_total"], 2, "{compared}");

    // What-if tells all and changes nothing.
    let what_if = installation.json(&["revisions", "restore", "1", "--what-if"]);
    assert_eq!(
        (&what_if["revision"], &what_if["is_changed"], &what_if["exposure_total"]),
        (&Value::Null, &true.into(), &2.into())
    );
    assert_eq!(installation.settings(), second);
    assert!(may_relay(&site, HOST_3) && !may_relay(&site, HOST_2) && revisions(installation).len() == 2);

    let restored = installation.json(&["revisions", "restore", "1", "--why", "the printer is back"]);
    assert_eq!((&restored["revision"], &restored["exposure_total"]), (&3.into(), &2.into()), "{restored}");
    assert_eq!(installation.settings(), second.replace("127.0.0.3", "127.0.0.2"));
    assert!(may_relay(&site, HOST_2) && !may_relay(&site, HOST_3));
    assert_eq!(installation.json(&["status"])["revision"], 3);
    let newest = &revisions(installation)[0];
    assert_eq!(
        (&newest["why"], &newest["origin"]["restored"]["number"]),
        (&"the printer is back".into(), &1.into()),
        "{newest}"
    );
    assert!(newest["who"].as_str().is_some_and(|who| who.starts_with("uid ")), "{newest}");

    // The same again changes nothing, also not the number; and what is there survives a restart.
    assert_eq!(installation.json(&["revisions", "restore", "1"])["is_changed"], false);
    let site = site.restart(|server| assert!(server.stop().success()));
    assert_eq!(revisions(&site.installation).len(), 3);
    assert_eq!(site.installation.json(&["status"])["revision"], 3);
    assert_eq!(site.installation.output(&["revisions", "show", "2"]), without_hash(&second));
    let unknown = site.installation.run(&["revisions", "show", "9"]);
    assert!(text_of(&unknown).contains("there is no revision 9"), "{}", text_of(&unknown));
}

#[test]
fn what_a_person_wrote_meanwhile_is_never_overwritten() {
    let site = site_with_two_revisions();
    let by_hand = site.installation.settings() + "# and a remark\n";
    site.installation.write_settings(&by_hand);
    let refused = site.installation.run(&["revisions", "restore", "1"]);
    assert_eq!(refused.status.code(), Some(1));
    let kept = beside(&site.installation, "gatepost.toml.not-applied-");
    let [kept] = &kept[..] else { panic!("{kept:?}") };
    for part in ["was changed by hand", "gatepost reload", &*kept.to_string_lossy()] {
        assert!(text_of(&refused).contains(part), "{part}: {}", text_of(&refused));
    }
    assert_eq!(site.installation.settings(), by_hand);
    assert!(fs::read_to_string(kept).expect("readable").contains("\"127.0.0.2\", # by ticket 7"));
    assert!(may_relay(&site, HOST_3) && revisions(&site.installation).len() == 2);

    assert_eq!(site.installation.json(&["reload"])["revision"], 3);
    assert_eq!(site.installation.json(&["revisions", "restore", "1"])["revision"], 4);
    assert!(may_relay(&site, HOST_2));
}

#[test]
fn a_read_only_file_is_told_before_anything_else() {
    let site = site_with_two_revisions();
    let file = site.installation.settings_file();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).expect("ours");
    let refused = site.installation.run(&["revisions", "restore", "1"]);
    assert!(text_of(&refused).contains("is read-only (container?)"), "{}", text_of(&refused));
    assert_eq!(refused.status.code(), Some(1));
    assert!(beside(&site.installation, "not-applied").is_empty() && revisions(&site.installation).len() == 2);
    // To look is allowed.
    assert_eq!(site.installation.json(&["revisions", "restore", "1", "--what-if"])["is_changed"], true);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("ours");
    assert_eq!(site.installation.json(&["revisions", "restore", "1"])["revision"], 3);
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_restore_brings_no_old_password_back() {
    let hash = |salt: &str| format!("$argon2id$v=19$m=19456,t=2,p=1${salt}$aGFzaGhhc2hoYXNoaGFzaA");
    let user = |name: &str, salt: &str| {
        format!("\n[[user]]\nname = \"{name}\"\npassword = \"{}\" # set by hand\n", hash(salt))
    };
    let relay = relay_for("127.0.0.2");
    let site = Site::start(&[&relay, &user("carol", "b2xkb2xkb2xk"), &user("bob", "Ym9iYm9iYm9i")]);
    site.write_settings(&[&relay_for("127.0.0.3"), &user("carol", "bmV3bmV3bmV3")]);
    site.installation.output(&["reload"]);
    site.installation.output(&["revisions", "restore", "1"]);
    let settings = site.installation.settings();
    assert!(settings.contains(&hash("bmV3bmV3bmV3")) && settings.contains("name = \"bob\""), "{settings}");
    assert!(!settings.contains("b2xkb2xkb2xk") && !settings.contains("Ym9iYm9iYm9i"), "{settings}");
    for shown in [&["show", "1"][..], &["diff", "1", "2"], &["diff", "1"]] {
        let shown = site.installation.output(&[&["revisions"], shown].concat());
        assert!(shown.contains("carol") && !shown.contains("$argon2"), "{shown}");
    }
}

/// The same site under a library that watches all that lies in the installation.
fn watched(records: &std::path::Path) -> (Site, Shim) {
    let mut shim = None;
    let site = Site::start_prepared(&[&relay_for("127.0.0.2")], |installation| {
        let watching = Shim::watch(installation.folder(), &records.join("records"), 0);
        installation.preload(&watching);
        shim = Some(watching);
    });
    site.write_settings(&[&relay_for("127.0.0.3")]);
    assert_eq!(site.installation.json(&["reload"])["revision"], 2);
    (site, shim.expect("it was just made"))
}

#[test]
fn a_disk_that_does_not_take_a_change_leaves_all_as_it_was() {
    let records = tempfile::tempdir().expect("a folder");
    let (site, shim) = watched(records.path());
    let before = site.installation.settings();
    for rule in [
        Rule::new(call::WRITE, "/revisions/", Action::Fail(ENOSPC)),
        Rule::new(call::FLUSH, "/revisions/", Action::Fail(EIO)),
        Rule::new(call::WRITE, ".gatepost.toml.", Action::Fail(ENOSPC)),
        Rule::new(call::FLUSH, ".gatepost.toml.", Action::Fail(EIO)),
        Rule::new(call::RENAME, "/gatepost.toml", Action::Fail(EIO)),
    ] {
        shim.set_rules(std::slice::from_ref(&rule));
        let refused = site.installation.run(&["revisions", "restore", "1"]);
        assert!(shim.met(0) > 0, "{rule:?} was not met");
        shim.set_rules(&[]);
        assert!(text_of(&refused).contains("the disk does not take the change"), "{rule:?}: {}", text_of(&refused));
        assert_eq!(site.installation.settings(), before, "{rule:?}");
        assert!(may_relay(&site, HOST_3) && !may_relay(&site, HOST_2), "{rule:?}");
        assert_eq!(revisions(&site.installation).len(), 2, "{rule:?}");
        assert!(beside(&site.installation, ".new").is_empty(), "{rule:?}");
    }
    assert_eq!(site.installation.json(&["revisions", "restore", "1"])["revision"], 3);
    assert!(may_relay(&site, HOST_2));
}

#[test]
fn a_kill_at_any_call_of_a_change_leaves_the_old_settings_or_the_new_and_a_history_that_knows() {
    let records = tempfile::tempdir().expect("a folder");
    let (mut site, shim) = watched(records.path());
    let texts = ["127.0.0.2", "127.0.0.3"].map(|host| site.installation.settings().replace("127.0.0.3", host));
    let mut kills = 0;
    for part in ["gatepost.toml", "/revisions/"] {
        for skip in 0.. {
            let before = site.installation.settings();
            // Whatever is in force: the change makes the other of it.
            let (wanted, number) = if before == texts[0] { (1, "2") } else { (0, "1") };
            shim.set_rules(&[Rule::new(call::CHANGES, part, Action::Kill).after(skip).once()]);
            let answer = site.installation.run(&["revisions", "restore", number]);
            let is_killed = shim.met(0) > 0;
            shim.set_rules(&[]);
            if !is_killed {
                assert!(answer.status.success(), "{}", text_of(&answer));
                break;
            }
            kills += 1;
            assert!(!answer.status.success(), "who was not answered does not believe it: {}", text_of(&answer));
            let after = site.installation.settings();
            assert!(after == before || after == texts[wanted], "{part}, {skip}:\n{after}");
            site = site.restart(|mut server| assert!(!server.wait().success()));
            assert_eq!(site.installation.settings(), after);
            let newest = revisions(&site.installation)[0]["number"].to_string();
            assert_eq!(
                site.installation.output(&["revisions", "show", &newest]),
                without_hash(&after),
                "{part}, {skip}"
            );
            assert_eq!(site.installation.json(&["status"])["revision"].to_string(), newest);
            assert!(beside(&site.installation, ".new").is_empty(), "{part}, {skip}");
            let is_first = after == texts[0];
            assert_eq!((may_relay(&site, HOST_2), may_relay(&site, HOST_3)), (is_first, !is_first), "{part}, {skip}");
        }
    }
    assert!(kills >= 7, "only {kills} kills");
}

#[test]
fn a_revision_without_a_reason_says_which_command_made_it() {
    let site = Site::start(&[&relay_for("127.0.0.2")]);
    site.shell("Set-ReceiveConnector Relay -Comment 'third floor'");
    site.shell(
        "Set-ReceiveConnector Relay -Comment 'fourth floor'; New-AcceptedDomain Branch -DomainName branch.example",
    );
    let script = "Start-Transaction; Set-ReceiveConnector Relay -MaxMessageSize 10MB; \
        Set-ReceiveConnector Default -MaxMessageSize 10MB; Complete-Transaction | Out-Null";
    site.shell(script);
    site.installation.output(&["revisions", "restore", "2"]);
    site.shell("Start-Transaction -Reason CHG-7 | Out-Null; Remove-AcceptedDomain partner.example -Confirm:$false; Complete-Transaction");

    let listed = revisions(&site.installation);
    let who = listed[0]["who"].as_str().expect("a name").to_owned();
    let told = site.shell("Get-ConfigurationRevision | ForEach-Object { \"$($_.Revision): $($_.Why)\" }");
    let told: Vec<&str> = told.lines().map(str::trim).filter(|line| line.contains(": ")).collect();
    assert_eq!(
        told,
        [
            "7: CHG-7",
            "6: restore of 2",
            "5: 2 commands: Set-ReceiveConnector Relay, Set-ReceiveConnector Default",
            "4: New-AcceptedDomain Branch",
            "3: Set-ReceiveConnector Relay",
            "2: Set-ReceiveConnector Relay",
            "1: the first",
        ]
    );
    assert_eq!(listed[0]["what"], "Remove-AcceptedDomain partner.example");
    // Whoever comes by the socket is named as the system names them.
    let name = std::process::Command::new("id").arg("-un").output().expect("id is there");
    assert!(who.ends_with(&format!("({})", String::from_utf8_lossy(&name.stdout).trim())), "{who}");
    let printed = site.installation.output(&["revisions"]);
    assert!(printed.contains("New-AcceptedDomain Branch") && printed.contains(&who), "{printed}");
}
