//! `gatepost user`: accounts that log in at once, and secrets that stay out of sight.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gatepost_testkit::installation::text_of;

use crate::access::{DOOR, token};
use crate::site::{CONTOSO, HOST_2, Site};

const CLIENT: &str = r#"
[[receive_connector]]
name = "Client"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers"]
"#;

/// carol / staple battery
const CAROL: &str = "AUTH PLAIN AGNhcm9sAHN0YXBsZSBiYXR0ZXJ5";

fn login(site: &Site, command: &str) -> u16 {
    let mut client = site.client(HOST_2);
    client.start_tls();
    client.command(command).code()
}

#[test]
fn a_user_that_was_added_logs_in_at_once_and_one_that_was_removed_does_not() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    assert_eq!(login(&site, CAROL), 535);
    let add = ["user", "add", "carol", "--address", "carol@contoso.com", "--password-stdin"];
    let added = site.installation.run_with_input(&add, "staple battery\n");
    assert!(added.status.success(), "{}", text_of(&added));
    assert_eq!(login(&site, CAROL), 235);

    let mut client = site.client(HOST_2);
    client.start_tls();
    client.command(CAROL);
    assert_eq!(client.command("MAIL FROM:<carol@contoso.com>").code(), 250);

    let listed = site.installation.output(&["user", "list"]);
    assert!(listed.contains("carol") && listed.contains("alice"), "{listed}");
    assert!(!listed.contains("argon2") && !listed.contains('$'), "{listed}");

    let removed = site.installation.run(&["user", "remove", "carol"]);
    assert!(removed.status.success(), "{}", text_of(&removed));
    assert_eq!(login(&site, CAROL), 535);
    let unknown = site.installation.run(&["user", "remove", "carol"]);
    assert!(!unknown.status.success() && text_of(&unknown).contains("there is no user"), "{}", text_of(&unknown));
    // The server did it, and says who asked.
    let acts = site.installation.output(&["acts", "--act", "*-User"]);
    assert!(acts.contains("New-User") && acts.contains("Remove-User"), "{acts}");
}

#[test]
fn users_are_changed_from_afar_and_where_no_server_runs() {
    let site = Site::start(&[CONTOSO, CLIENT, DOOR]);
    let bearer = token(&site, &["RecipientAdmin"]);
    let token_file = site.installation.folder().join("token");
    fs::write(&token_file, bearer.trim_start_matches("Bearer ")).expect("written");
    fs::set_permissions(&token_file, fs::Permissions::from_mode(0o600)).expect("ours");
    let server = format!("http://{}", site.port("second"));
    let afar = ["--server", &server, "--token-file", token_file.to_str().expect("UTF-8"), "user"];
    let add = [&afar[..], &["add", "carol", "--address", "carol@contoso.com", "--password-stdin", "--json"]].concat();
    let added = site.installation.run_with_input(&add, "staple battery\n");
    let user: serde_json::Value =
        serde_json::from_slice(&added.stdout).unwrap_or_else(|_| panic!("{}", text_of(&added)));
    assert_eq!((&user["name"], &user["password"]), (&"carol".into(), &"credentials".into()), "{user}");
    assert_eq!(login(&site, CAROL), 235);
    let again = site.installation.run_with_input(&add, "staple battery\n");
    assert!(text_of(&again).contains("is there already"), "{}", text_of(&again));
    let gone = site.installation.json(&[&afar[..], &["remove", "carol"]].concat());
    assert_eq!(gone["removed"], "carol");
    assert_eq!(login(&site, CAROL), 535);

    let site = site.restart_after(|server, installation| {
        assert!(server.stop().success());
        let add = ["user", "add", "carol", "--address", "carol@contoso.com", "--password-stdin"];
        let added = installation.run_with_input(&add, "staple battery\n");
        assert!(added.status.success(), "{}", text_of(&added));
    });
    assert_eq!(login(&site, CAROL), 235);
}

#[test]
fn a_weak_password_is_taken_from_who_says_so_and_is_never_forgotten() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let add = ["user", "add", "scanner", "--address", "scan@contoso.com", "--password-stdin"];
    let refused = site.installation.run_with_input(&add, "abc\n");
    let told = text_of(&refused);
    assert!(
        !refused.status.success() && told.contains("12 characters") && told.contains("--allow-weak-password"),
        "{told}"
    );
    let secret = "(ConvertTo-SecureString abc -AsPlainText -Force)";
    for command in ["New-User scanner", "New-Mailbox -Name scanner", "Set-User alice"] {
        let refused = site.shell(&format!("{command} -Password {secret}"));
        assert!(refused.contains("12 characters") && refused.contains("-AllowWeakPassword"), "{command}: {refused}");
    }
    let allowed = [&add[..], &["--allow-weak-password"]].concat();
    let added = site.installation.run_with_input(&allowed, "abc\n");
    assert!(added.status.success() && text_of(&added).contains("easy to guess"), "{}", text_of(&added));
    let warned = site.shell(&format!("Set-User alice -Password {secret} -AllowWeakPassword"));
    assert!(warned.starts_with("WARNING: the password of the user \"alice\" is easy to guess"), "{warned}");
    let weak = || site.shell("(Get-User | Where-Object WeakPassword | Sort-Object Name).Name -join ' '");
    assert_eq!(weak().trim(), "alice scanner");
    assert_eq!(site.shell("Set-User alice -Password (ConvertTo-SecureString 'P@ssw0rd1' -AsPlainText -Force)"), "");
    assert_eq!(weak().trim(), "scanner");
    let acts = site.installation.output(&["acts", "--act", "*-User", "--json"]);
    assert!(acts.contains(r#"\"AllowWeakPassword\":true"#) && !acts.contains("abc"), "{acts}");
}

#[test]
fn passwords_lie_in_a_file_of_their_own_that_only_the_server_may_read() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let before = site.installation.settings();
    let add = ["user", "add", "carol", "--address", "carol@contoso.com", "--password-stdin"];
    assert!(site.installation.run_with_input(&add, "staple battery\n").status.success());

    let credentials = site.installation.data_dir().join("credentials");
    let mode = fs::metadata(&credentials).expect("the credentials file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    let text = fs::read_to_string(&credentials).expect("root or the owner reads it");
    assert!(text.contains("$argon2id$") && !text.contains("staple battery"));

    // The document got the account but not its secret, and kept everything else.
    let after = site.installation.settings();
    let same = before.bytes().zip(after.bytes()).take_while(|(before, after)| before == after).count();
    let rest = &before[same..];
    assert!(after.ends_with(rest), "what was there is untouched: {after}");
    let added = &after[same..after.len() - rest.len()];
    assert!(added.contains("carol") && !added.contains("argon2"), "{added}");
    // Nowhere in the log either.
    assert!(!site.server.log().contains("argon2id"), "{}", site.server.log());
}

#[test]
fn a_credentials_file_that_others_may_read_is_refused() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let add = ["user", "add", "carol", "--address", "carol@contoso.com", "--password-stdin"];
    assert!(site.installation.run_with_input(&add, "staple battery\n").status.success());
    let credentials = site.installation.data_dir().join("credentials");
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o644)).expect("open the file");
    let refused = site.installation.run(&["reload"]);
    assert!(!refused.status.success());
    assert!(text_of(&refused).contains("credentials"), "{}", text_of(&refused));
}

#[test]
fn a_user_made_in_the_shell_logs_in_at_once_and_by_the_newest_password_alone() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let secret = |text: &str| format!("(ConvertTo-SecureString '{text}' -AsPlainText -Force)");
    let made = site
        .shell(&format!("New-User carol -Addresses carol@contoso.com -Password {} | Out-Null", secret("Unsaid 4 u")));
    assert_eq!(made, "");
    assert_eq!(login(&site, CAROL), 535);
    assert_eq!(site.shell(&format!("Set-User carol -Password {}", secret("staple battery"))), "");
    assert_eq!(login(&site, CAROL), 235);
    // What is refused changes no password.
    let refused = site.shell(&format!("New-User carol -Password {}", secret("Unsaid4u")));
    assert!(refused.contains("already exists"), "{refused}");
    let refused = site.shell(&format!("Set-User carol -Addresses nobody -Password {}", secret("Unsaid4u")));
    assert!(refused.contains("nobody"), "{refused}");
    let refused = site.shell(&format!("Start-Transaction | Out-Null; Set-User carol -Password {}", secret("Unsaid4u")));
    assert!(refused.contains("no part of the settings"), "{refused}");
    let told = site.shell(&format!("Set-User carol -Password {} -WhatIf", secret("Unsaid4u")));
    assert_eq!(told, "What if: Setting the user \"carol\".\nThe password would be another one.\n");
    assert_eq!(login(&site, CAROL), 235);
    assert!(!site.installation.settings().contains("argon2id$v=19$m=19456"));

    // One of a former user of that name is not inherited.
    assert_eq!(site.shell("Remove-User carol -Confirm:$false"), "");
    assert_eq!(login(&site, CAROL), 535);
    assert_eq!(site.shell("New-User carol -Addresses carol@contoso.com | Out-Null"), "");
    assert_eq!(login(&site, CAROL), 535);
    assert_eq!(site.shell(&format!("New-Mailbox -Name dora -Password {} | Out-Null", secret("staple battery"))), "");
    // dora / staple battery
    assert_eq!(login(&site, "AUTH PLAIN AGRvcmEAc3RhcGxlIGJhdHRlcnk="), 235);
    let written = format!("{}{}", site.installation.output(&["acts"]), site.server.log());
    assert!(written.contains("New-User") && !written.contains("staple") && !written.contains("Unsaid4u"), "{written}");
}

#[test]
fn who_is_made_within_a_transaction_does_not_get_the_password_of_a_former_user_of_that_name() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let add = ["user", "add", "carol", "--address", "carol@contoso.com", "--password-stdin"];
    let added = || site.installation.run_with_input(&add, "staple battery\n");
    assert!(added().status.success());
    assert_eq!(login(&site, CAROL), 235);
    let together = |commands: &str| {
        site.shell(&format!("Start-Transaction | Out-Null; {commands}; Complete-Transaction | Out-Null"))
    };
    let (gone, made) = ("Remove-User carol -Confirm:$false", "New-User carol -Addresses ceo@contoso.com | Out-Null");
    assert_eq!(together(gone), "");
    assert_eq!(together(made), "");
    assert_eq!(login(&site, CAROL), 535);
    assert_eq!(site.shell("(Get-User carol).PasswordPlace").trim(), "None");

    // Both at once leave nothing in between that forgets it.
    assert_eq!(site.shell(gone), "");
    assert!(added().status.success());
    let refused = site.shell(&format!("Start-Transaction | Out-Null; {gone}; {made}"));
    assert!(refused.contains("has left a password"), "{refused}");
}
