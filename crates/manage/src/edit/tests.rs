//! Documents before and after a change, byte for byte.

use super::*;

fn named(table: &'static str, name: &str) -> Target {
    Target::named(table, name)
}

fn connector(name: &str) -> Target {
    named("receive_connector", name)
}

fn keys(keys: &[(&'static str, Value)]) -> Vec<Key> {
    keys.iter().map(|(key, value)| ((*key).into(), value.clone())).collect()
}

fn set(target: Target, key: &'static str, value: impl Into<Value>) -> Edit {
    Edit::Set { target, key: key.into(), value: value.into() }
}

fn add(target: Target, key: &'static str, values: &[&str]) -> Edit {
    Edit::Add { target, key: key.into(), values: values.iter().map(|value| (*value).into()).collect() }
}

fn take(target: Target, key: &'static str, values: &[&str]) -> Edit {
    Edit::Take { target, key: key.into(), values: values.iter().map(|value| (*value).into()).collect() }
}

fn edited(text: &str, edit: &Edit) -> Result<String, EditError> {
    let mut outline = Outline::of(text);
    apply(&mut outline, edit)?;
    let edited = outline.text();
    assert_eq!(shape(&outline), shape(&Outline::of(&edited)), "the outline is that of its text:\n{edited}");
    assert!(DeTable::parse(&edited).is_ok(), "{edit:?} breaks the document:\n{edited}");
    Ok(edited)
}

fn shape(outline: &Outline) -> Vec<(String, usize)> {
    outline.sections().iter().map(|section| (section.text.to_string(), section.places.len())).collect()
}

#[track_caller]
fn check(before: &str, edit: Edit, after: &str) {
    assert_eq!(edited(before, &edit).expect("made"), after, "{edit:?} of\n{before}");
    // With other line ends it is the same change.
    let crlf = |text: &str| text.replace('\n', "\r\n");
    assert_eq!(edited(&crlf(before), &edit).expect("made"), crlf(after), "{edit:?} of CR LF\n{before}");
}

/// Comments wherever one can stand.
const COMMENTED: &str = r#"# the document
# its second line

[server] # header
name = "mail.contoso.com"   # name

# --- gates ---

# about A
[[receive_connector]] # A begins
# before the name
name = "A" # the name
bindings = ["0.0.0.0:25"]     # where
remote_ip_ranges = [ # from
    "10.0.0.1", # the printer

    # the second floor
    "10.0.0.2",        # ticket 7
    { range = "10.0.1.0/24", ticket = "8" }, # the lab
    # nothing below
] # closed
max_message_size = 0x8_000_000 # large
# permission_groups = ["ExchangeUsers"]

  # who
  [[receive_connector.permission]] # one
  user = "alice" # her
  extended_rights = ["ms-Exch-SMTP-Submit"]

  # and who else
  [[receive_connector.permission]]
  user = "bob"
  extended_rights = [
    "ms-Exch-SMTP-Submit"
  ]
# end of A

# about B
[[receive_connector]]
name = "B"
remote_ip_ranges = "10.2.0.0/16"
auth_mechanism = "Tls, BasicAuth"

# --- ways out ---
# [[send_connector]]
# name = "example"
"#;

fn commented(from: &str, to: &str) -> String {
    assert_eq!(COMMENTED.matches(from).count(), 1, "{from:?} is not unique");
    COMMENTED.replace(from, to)
}

#[test]
fn a_list_over_several_lines_keeps_its_comments_when_it_grows_and_shrinks() {
    let ranges = "remote_ip_ranges";
    check(
        COMMENTED,
        add(connector("a"), ranges, &["10.0.0.3", "10.0.0.2-10.0.0.2"]),
        &commented("# the lab\n", "# the lab\n    \"10.0.0.3\",\n"),
    );
    check(COMMENTED, add(connector("A"), ranges, &["10.0.1.0(255.255.255.0)"]), COMMENTED);
    check(COMMENTED, take(connector("A"), ranges, &["10.0.0.1"]), &commented("    \"10.0.0.1\", # the printer\n", ""));
    check(
        COMMENTED,
        take(connector("A"), ranges, &["10.0.1.0/24", "10.0.0.2", "10.9.9.9"]),
        &commented(
            "    \"10.0.0.2\",        # ticket 7\n    { range = \"10.0.1.0/24\", ticket = \"8\" }, # the lab\n",
            "",
        ),
    );
    check(
        COMMENTED,
        set(connector("A"), ranges, Value::texts(["10.0.1.0/24", "10.0.0.1", "10.5.0.0/16"])),
        &commented("    \"10.0.0.2\",        # ticket 7\n", "")
            .replace("# the lab\n", "# the lab\n    \"10.5.0.0/16\",\n"),
    );
    let note = Value::Table(keys(&[("range", "10.0.0.2".into()), ("owner", "it@contoso.com".into())]));
    let edit = Edit::Add { target: connector("A"), key: ranges.into(), values: vec![note] };
    let noted = "# the lab\n    { range = \"10.0.0.2\", owner = \"it@contoso.com\" },\n";
    check(COMMENTED, edit, &commented("    \"10.0.0.2\",        # ticket 7\n", "").replace("# the lab\n", noted));
}

#[test]
fn lists_of_every_form_grow_and_shrink() {
    let (r, k) = ("[[r]]\nname = \"A\"\nk = ", "k");
    for (before, adds, takes, after) in [
        ("[]", &["x"][..], &[][..], "[\"x\"]"),
        ("[ ]", &["x", "y"], &[], "[\"x\", \"y\" ]"),
        ("[\n  # none yet\n]", &["x"], &[], "[\n  # none yet\n  \"x\",\n]"),
        ("[\"a\"]", &["A", "x"], &[], "[\"a\", \"x\"]"),
        ("[ \"a\", \"b\", ] # c", &["x"], &[], "[ \"a\", \"b\", \"x\", ] # c"),
        ("[\n  \"a\"\n]", &["x", "y"], &[], "[\n  \"a\",\n  \"x\",\n  \"y\"\n]"),
        ("[\n  \"a\" # first\n]", &["x"], &[], "[\n  \"a\", # first\n  \"x\"\n]"),
        ("[\n  \"a\",\n  \"b\"]", &["x"], &[], "[\n  \"a\",\n  \"b\",\n  \"x\"]"),
        ("[\n  \"a\", \"b\",\n  \"c\", \"d\",\n]", &["x"], &[], "[\n  \"a\", \"b\",\n  \"c\", \"d\", \"x\",\n]"),
        ("\"a\"", &["x"], &[], "[\"a\", \"x\"]"),
        ("\"a\"", &[], &["a"], "[]"),
        ("\"a\"", &[], &["x"], "\"a\""),
        ("[\"a\", \"b\", \"c\"]", &[], &["a"], "[\"b\", \"c\"]"),
        ("[\"a\", \"b\", \"c\"]", &[], &["B"], "[\"a\", \"c\"]"),
        ("[\"a\", \"b\", \"c\"]", &[], &["b", "c"], "[\"a\"]"),
        ("[\"a\", \"b\"]", &[], &["a", "b"], "[]"),
        ("[\n  \"a\", # one\n  \"b\"  # two\n]", &[], &["b"], "[\n  \"a\", # one\n]"),
        ("[\"a\", # one\n \"b\"]", &[], &["b"], "[\"a\", # one\n ]"),
        ("[\"a\", \"b\", # both\n \"c\"]", &[], &["b"], "[\"a\", # both\n \"c\"]"),
    ] {
        let mut outline = Outline::of(&format!("{r}{before}\n"));
        for edit in [add(named("r", "A"), k, adds), take(named("r", "A"), k, takes)] {
            apply(&mut outline, &edit).expect("made");
        }
        assert_eq!(outline.text(), format!("{r}{after}\n"), "{before} with {adds:?} without {takes:?}");
        assert!(DeTable::parse(&outline.text()).is_ok(), "{}", outline.text());
    }
}

#[test]
fn flags_in_one_text_stay_in_one_text() {
    let flags = "auth_mechanism";
    let after = |text: &str| commented("\"Tls, BasicAuth\"", text);
    check(COMMENTED, add(connector("B"), flags, &["tls", "Integrated"]), &after("\"Tls, BasicAuth, Integrated\""));
    check(COMMENTED, take(connector("B"), flags, &["basicauth"]), &after("\"Tls\""));
    check(COMMENTED, take(connector("B"), flags, &["basicauth", "Tls"]), &after("[]"));
    check(COMMENTED, set(connector("B"), flags, Value::texts(["Tls"])), &after("[\"Tls\"]"));
}

#[test]
fn a_key_is_set_in_its_place_and_a_new_one_stands_behind_the_others() {
    check(COMMENTED, set(connector("A"), "max_message_size", "35MB"), &commented("0x8_000_000", "\"35MB\""));
    check(COMMENTED, set(connector("A"), "max_message_size", 134_217_728), COMMENTED);
    check(COMMENTED, set(connector("A"), "enabled", false), &commented("# large\n", "# large\nenabled = false\n"));
    check(
        COMMENTED,
        set(connector("A").entry("permission", 0), "deny", true),
        &commented(
            "  extended_rights = [\"ms-Exch-SMTP-Submit\"]\n",
            "  extended_rights = [\"ms-Exch-SMTP-Submit\"]\n  deny = true\n",
        ),
    );
    check(
        COMMENTED,
        set(connector("A").entry("permission", 1), "deny", true),
        &commented("    \"ms-Exch-SMTP-Submit\"\n  ]\n", "    \"ms-Exch-SMTP-Submit\"\n  ]\n  deny = true\n"),
    );
    check(
        COMMENTED,
        set(Target::table("server"), "name", "mx.contoso.com"),
        &commented("mail.contoso.com", "mx.contoso.com"),
    );
    check(
        COMMENTED,
        set(Target::table("transport"), "max_outbound_connections", 7),
        &(COMMENTED.to_owned() + "\n[transport]\nmax_outbound_connections = 7\n"),
    );
    let bare = edited("[server]", &set(Target::table("server"), "name", "x"));
    assert_eq!(bare.expect("made"), "[server]\nname = \"x\"\n");
    let long: Vec<String> = (0..9).map(|n| format!("10.20.30.{n}-10.20.30.{n}")).collect();
    let lines: String = long.iter().map(|range| format!("  \"{range}\",\n")).collect();
    check(
        "[[receive_connector]]\nname = \"A\"\n",
        set(connector("A"), "remote_ip_ranges", Value::texts(long)),
        &format!("[[receive_connector]]\nname = \"A\"\nremote_ip_ranges = [\n{lines}]\n"),
    );
}

#[test]
fn lists_that_are_asked_in_their_order_get_the_order_wanted() {
    let hosts = |hosts: [&str; 3]| set(named("s", "S"), "smart_hosts", Value::texts(hosts));
    let text = "[[s]]\nname = \"S\"\nsmart_hosts = [\"a\", \"b\", \"c\"]\n";
    check(text, hosts(["a", "b", "c"]), text);
    check(text, hosts(["c", "a", "d"]), &text.replace("\"a\", \"b\", \"c\"", "\"c\", \"a\", \"d\""));
    let lines = "[[s]]\nname = \"S\"\nsmart_hosts = [\n  \"a\",\n  \"b\", # second\n]\n";
    check(lines, hosts(["a", "b", "c"]), &lines.replace("# second\n", "# second\n  \"c\",\n"));
    check(lines, hosts(["c", "b", "a"]), "[[s]]\nname = \"S\"\nsmart_hosts = [\n  \"c\",\n  \"b\",\n  \"a\",\n]\n");
}

#[test]
fn a_key_that_is_unset_takes_its_line_along() {
    let unset = |target, key: &'static str| Edit::Unset { target, key: key.into() };
    check(COMMENTED, unset(connector("A"), "bindings"), &commented("bindings = [\"0.0.0.0:25\"]     # where\n", ""));
    check(
        COMMENTED,
        unset(connector("A").entry("permission", 0), "user"),
        &commented("  user = \"alice\" # her\n", ""),
    );
    check(COMMENTED, unset(connector("A"), "enabled"), COMMENTED);
    check(COMMENTED, unset(Target::table("transport"), "x"), COMMENTED);
    let both = &COMMENTED[COMMENTED.find("\n  # who").expect("there")..COMMENTED.find("# end of A").expect("there")];
    check(COMMENTED, unset(connector("A"), "permission"), &commented(&(both.to_owned() + "# end of A\n"), ""));
    assert_eq!(edited(COMMENTED, &unset(connector("C"), "x")), Err(EditError::Unknown(connector("C"))));
}

#[test]
fn what_is_removed_takes_along_what_stands_directly_above_it() {
    let begin = |text: &str| COMMENTED.find(text).expect("there");
    let without = |from: usize, to: usize| [&COMMENTED[..from], &COMMENTED[to..]].concat();
    check(COMMENTED, Edit::Remove(connector("A")), &without(begin("# about A"), begin("# about B")));
    check(COMMENTED, Edit::Remove(connector("b")), &without(begin("# about B"), begin("# --- ways out")));
    check(
        COMMENTED,
        Edit::Remove(connector("A").entry("permission", 0)),
        &without(begin("\n  # who"), begin("\n  # and who else")),
    );
    check(
        COMMENTED,
        Edit::Remove(connector("A").entry("permission", 1)),
        &without(begin("\n  # and who else"), begin("\n# about B")),
    );
    check("[a]\nx = 1\n\n# c\n[[r]]\nname = \"A\"\n", Edit::Remove(named("r", "A")), "[a]\nx = 1\n");
    assert_eq!(
        edited(COMMENTED, &Edit::Remove(connector("A").entry("permission", 2))),
        Err(EditError::Unknown(connector("A").entry("permission", 2)))
    );
}

#[test]
fn what_is_inserted_stands_behind_its_like() {
    let entry =
        keys(&[("user", r"NT AUTHORITY\ANONYMOUS LOGON".into()), ("extended_rights", Value::texts(["Submit"]))]);
    let written = "  [[receive_connector.permission]]\n  user = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n  extended_rights = [\"Submit\"]\n";
    let relay = Edit::Insert {
        table: "receive_connector".into(),
        keys: keys(&[("name", "Relay".into()), ("enabled", true.into())]),
        entries: vec![("permission".into(), entry.clone())],
    };
    let after = format!("\"Tls, BasicAuth\"\n\n[[receive_connector]]\nname = \"Relay\"\nenabled = true\n{written}");
    check(COMMENTED, relay.clone(), &commented("\"Tls, BasicAuth\"\n", &after));
    let mut outline = Outline::of(COMMENTED);
    apply(&mut outline, &relay).expect("made");
    assert_eq!(
        apply(&mut outline, &relay).expect_err("twice").to_string(),
        "the settings have [[receive_connector]] \"Relay\" already"
    );
    apply(&mut outline, &Edit::Remove(connector("RELAY"))).expect("there");
    assert_eq!(outline.text(), COMMENTED);
    let alone = format!("[[receive_connector]]\nname = \"Relay\"\nenabled = true\n{written}");
    assert_eq!(edited("", &relay).expect("made"), alone);

    let permit = |target| Edit::InsertEntry { target, list: "permission".into(), keys: entry.clone() };
    check(COMMENTED, permit(connector("A")), &commented("# end of A\n", &format!("{written}# end of A\n")));
    check(
        COMMENTED,
        permit(connector("B")),
        &commented("\"Tls, BasicAuth\"\n", &format!("\"Tls, BasicAuth\"\n{written}")),
    );
    let nameless = Edit::Insert { table: "mailbox".into(), keys: keys(&[("name", "x".into())]), entries: Vec::new() };
    assert_eq!(edited("", &nameless).expect_err("no address").to_string(), "a new [[mailbox]] needs `address`");
}

#[test]
fn documents_written_otherwise_are_edited_too() {
    let permit = |target| Edit::InsertEntry { target, list: "permission".into(), keys: keys(&[("user", "x".into())]) };
    let unset = |target, key: &'static str| Edit::Unset { target, key: key.into() };
    // Lists of inline tables.
    let inline = "server.name = \"x\" # s\nr = [ # all\n  { name = \"A\", k = 1 }, # a\n  { name = \"B\" },\n]\n[z]\n";
    let a = || named("r", "a");
    check(inline, set(a(), "k", 2), &inline.replace("k = 1", "k = 2"));
    check(inline, set(a(), "l", "m"), &inline.replace("k = 1", "k = 1, l = \"m\""));
    check(inline, unset(a(), "k"), &inline.replace(", k = 1", ""));
    check(inline, unset(a(), "name"), &inline.replace("name = \"A\", ", ""));
    check(inline, permit(a()), &inline.replace("k = 1", "k = 1, permission = [{ user = \"x\" }]"));
    check(inline, Edit::Remove(a()), &inline.replace("  { name = \"A\", k = 1 }, # a\n", ""));
    let insert = Edit::Insert { table: "r".into(), keys: keys(&[("name", "C".into())]), entries: Vec::new() };
    check(inline, insert, &inline.replace("{ name = \"B\" },\n", "{ name = \"B\" },\n  { name = \"C\" },\n"));
    // Dotted keys.
    check(inline, set(Target::table("server"), "name", "y"), &inline.replace("\"x\"", "\"y\""));
    check(
        inline,
        set(Target::table("server"), "data_dir", "d"),
        &inline.replace("# s\n", "# s\nserver.data_dir = \"d\"\n"),
    );
    // Tables that are apart from what they belong to.
    let apart =
        "[[r]]\nname = \"A\"\n\n[[d]]\nname = \"D\"\n\n  [[r.permission]]\n  user = \"a\"\n\n[[r]]\nname = \"B\"\n";
    check(apart, permit(a()), &apart.replace("user = \"a\"\n", "user = \"a\"\n  [[r.permission]]\n  user = \"x\"\n"));
    check(apart, set(named("d", "D"), "k", 1), &apart.replace("\"D\"\n", "\"D\"\nk = 1\n"));
    check(apart, Edit::Remove(named("d", "D")), &apart.replace("[[d]]\nname = \"D\"\n\n", ""));
    check(apart, Edit::Remove(a()), "[[d]]\nname = \"D\"\n\n[[r]]\nname = \"B\"\n");
    // A domain that takes in all below it.
    let domains = "[[accepted_domain]]\nname = \"*.contoso.com\"\n";
    check(domains, set(named("accepted_domain", "contoso.com"), "k", 1), &(domains.to_owned() + "k = 1\n"));
    // A table inside of a table, as a header or in braces.
    let inner = "[[d]]\nname = \"D\"\nbox = { a = 1 }\n[[d]]\nname = \"E\"\n[d.box]\na = 1\n";
    let inner_set = |name: &str| set(named("d", name), "box", Value::Table(keys(&[("a", 2.into())])));
    check(inner, inner_set("D"), &inner.replace("{ a = 1 }", "{ a = 2 }"));
    assert!(matches!(edited(inner, &inner_set("E")), Err(EditError::Shape { .. })));
    check(inner, unset(named("d", "E"), "box"), &inner.replace("[d.box]\na = 1\n", ""));
}
