//! Users in documents that people wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::credentials::Secrets;

const DOCUMENT: &str = r#"# A relay.
[server]
name = "mail.contoso.com"
data_dir = "data"

[[accepted_domain]]
name = "contoso.com"

# Alice prints.
[[user]]
name = "alice"   # the printer
addresses = [
    "alice@contoso.com",
    "printer@contoso.com", # on floor 2
]

# Bob scans.
[[user]]
name = "bob"
addresses = ["bob@contoso.com"]

[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.1:2525"]
remote_ip_ranges = ["127.0.0.1"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn with(text: &str) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("gatepost.toml"), text).expect("written");
        Place { folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gatepost.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.config()).expect("readable")
    }

    fn secrets(&self) -> Secrets {
        Secrets::read(&self.folder.path().join("data")).expect("readable")
    }

    fn add(&self, name: &str, addresses: &[&str]) -> Result<Added, UserError> {
        let addresses = addresses.iter().map(|address| address.to_string()).collect();
        add(&self.config(), &NewUser { name: name.into(), addresses, hash: hash(), is_weak: false })
    }
}

fn hash() -> PasswordHash {
    PasswordHash::of("correct horse").expect("a legal password")
}

#[test]
fn a_new_user_is_appended_and_nothing_else_of_the_document_changes() {
    let place = Place::with(DOCUMENT);
    assert_eq!(place.add("Carol \"C\"", &["carol@contoso.com"]).expect("added"), Added::Created);
    let appended = "\n[[user]]\nname = \"Carol \\\"C\\\"\"\naddresses = [\"carol@contoso.com\"]\n";
    assert_eq!(place.text(), format!("{DOCUMENT}{appended}"));
    assert!(place.secrets().has("carol \"c\""));
    assert!(!place.text().contains("argon2"));
    let mode = fs::metadata(place.folder.path().join("data")).expect("made").permissions().mode();
    assert_eq!(mode & 0o7777, data_folder::MODE);
}

#[test]
fn a_known_user_gets_a_password_and_the_document_stays() {
    let place = Place::with(DOCUMENT);
    assert_eq!(place.add("ALICE", &[]).expect("set"), Added::PasswordSet);
    assert_eq!(place.text(), DOCUMENT);
    let users = list(&place.config()).expect("listed");
    let places: Vec<_> = users.iter().map(|user| (user.name.as_str(), user.password)).collect();
    assert_eq!(places, [("alice", PasswordPlace::Credentials), ("bob", PasswordPlace::None)]);
    assert_eq!(users[0].addresses, ["alice@contoso.com", "printer@contoso.com"]);
}

#[test]
fn what_would_spoil_the_document_changes_nothing() {
    let place = Place::with(DOCUMENT);
    assert!(matches!(place.add("alice", &["a@contoso.com"]), Err(UserError::AddressesOfKnownUser { .. })));
    assert!(matches!(place.add("dave", &["no address"]), Err(UserError::Address { .. })));
    assert!(matches!(place.add("", &[]), Err(UserError::Name(_))));
    assert!(matches!(place.add("da\nve", &[]), Err(UserError::Name(_))));
    assert_eq!(place.text(), DOCUMENT);
    assert_eq!(place.secrets(), Secrets::default());

    let faulty = format!("{DOCUMENT}\n[nonsense]\n");
    let place = Place::with(&faulty);
    assert!(matches!(place.add("dave", &[]), Err(UserError::Document(LoadError::Problems(_)))));
    assert_eq!(place.text(), faulty);
}

#[test]
fn line_endings_and_a_missing_last_newline_are_respected() {
    let dos = DOCUMENT.replace('\n', "\r\n");
    let place = Place::with(dos.trim_end());
    place.add("carol", &[]).expect("added");
    assert!(!place.text().replace("\r\n", "").contains('\n'), "one kind of line ending");
    assert!(place.text().ends_with("\r\n\r\n[[user]]\r\nname = \"carol\"\r\naddresses = []\r\n"));
}

#[test]
fn a_removed_user_takes_table_and_hash_along_and_leaves_the_rest() {
    let place = Place::with(DOCUMENT);
    place.add("alice", &[]).expect("set");
    remove(&place.config(), "Alice").expect("removed");
    let (start, end) = (DOCUMENT.find("[[user]]").expect("alice"), DOCUMENT.find("\n# Bob").expect("bob"));
    assert_eq!(place.text(), format!("{}{}", &DOCUMENT[..start], &DOCUMENT[end..]));
    assert!(!place.secrets().has("alice"));
    remove(&place.config(), "bob").expect("removed");
    assert!(list(&place.config()).expect("listed").is_empty());
    assert!(matches!(remove(&place.config(), "bob"), Err(UserError::Unknown(_))));
}

#[test]
fn adding_and_removing_gives_the_document_back() {
    let place = Place::with(DOCUMENT);
    place.add("carol", &["carol@contoso.com"]).expect("added");
    remove(&place.config(), "carol").expect("removed");
    assert_eq!(place.text(), DOCUMENT);
}

#[test]
fn a_hash_without_a_user_can_be_removed() {
    let place = Place::with(DOCUMENT);
    place.add("alice", &[]).expect("set");
    fs::write(place.config(), DOCUMENT.replace("\"alice\"", "\"alicia\"")).expect("written");
    remove(&place.config(), "alice").expect("removed");
    assert!(!place.secrets().has("alice"));
}

#[test]
fn tables_are_cut_out_only_where_nothing_else_changes() {
    for (text, name, expected) in [
        ("[[user]]\nname = \"a\"\n", "a", Some("")),
        ("a = 1\n\n[[user]]\nname = \"a\"\n\n[[user]]\nname = \"b\"\n", "a", Some("a = 1\n\n[[user]]\nname = \"b\"\n")),
        ("a = 1\n\n[[user]]\nname = \"a\"\n\n[[user]]\nname = \"b\"", "b", Some("a = 1\n\n[[user]]\nname = \"a\"\n")),
        ("a = 1\n  [[user]] # here\n  name = \"a\"\n[b]\nc = 2\n", "a", Some("a = 1\n[b]\nc = 2\n")),
        ("[[user]]\nname = \"a\"\naddresses = [\n\"x\",\n]\n# kept\n", "a", Some("# kept\n")),
        ("user = [{ name = \"a\" }, { name = \"b\" }]\n", "a", None),
        ("[[user]]\nname = \"a\"\n", "b", None),
        ("[[user]]\nname = \"a\"\n[user.more]\nx = 1\n", "a", None),
    ] {
        assert_eq!(without_user(text, name).as_deref(), expected, "{text}");
    }
}
