//! The REST face of the registry: pages, filters, entity tags, keys for requests that come twice, events, and the document
//! that tells all of it, held against the server by Schemathesis.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use gatepost_testkit::installation::{append, text_of};
use gatepost_testkit::wait;
use serde_json::{Value, json};

use crate::access::{DOOR, ask, token};
use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, PROGRAM, Site};

/// Connectors enough for some pages.
fn many_connectors() -> String {
    (1..=7)
        .map(|number| {
            format!(
                "\n[[receive_connector]]\nname = \"Relay {number}\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\n\
                 remote_ip_ranges = [\"10.0.0.{number}\"]\nmax_message_size = \"{number} MB\"\nenabled = {}\n",
                number % 2 == 0
            )
        })
        .collect()
}

#[test]
fn resources_come_in_pages_by_filters_and_under_a_tag() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &many_connectors(), DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["View"]);
    let get = |path: &str| ask(door, "GET", path, &[("Authorization", &bearer)], None);
    let names = |answered: Value| -> Vec<String> {
        let items = answered["items"].as_array().expect("a page").iter();
        items.filter_map(|item| item["name"].as_str().map(str::to_owned)).collect()
    };
    let mut path = "/receive-connectors?limit=3".to_owned();
    let mut all = Vec::new();
    let mut pages = 0;
    loop {
        let page = get(&path).json();
        assert_eq!(page["total"], 8, "{page}");
        let next = page["next"].as_str().map(str::to_owned);
        all.extend(names(page));
        pages += 1;
        let Some(next) = next else { break };
        path = format!("/receive-connectors?limit=3&from={next}");
    }
    assert_eq!((pages, all.len()), (3, 8), "{all:?}");
    for (filter, expected) in [
        ("Name%20-like%20'Relay*'%20-and%20Enabled%20-eq%20'True'", 3),
        ("MaxMessageSize%20-gt%20'5%20MB'%20-and%20Name%20-like%20'Relay*'", 2),
        ("RemoteIPRanges%20-eq%20'10.0.0.4'", 1),
    ] {
        let page = get(&format!("/receive-connectors?filter={filter}"));
        assert_eq!(names(page.json()).len(), expected, "{filter} {}", page.body);
    }
    for query in ["limit=0", "limit=x", "from=x", "filter=Nmae%20-eq%20x", "fliter=x"] {
        let refused = get(&format!("/receive-connectors?{query}"));
        assert_eq!(refused.status, 400, "{query}: {}", refused.body);
        assert!(refused.head.contains("application/problem+json"), "{}", refused.head);
        let problem = refused.json();
        assert_eq!(problem["status"], 400, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }

    let one = get("/receive-connectors/Relay%204");
    assert_eq!(one.json()["max_message_size"], 4 << 20, "{}", one.body);
    let tag = one.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let again = |tag: &str| {
        let fields = [("Authorization", bearer.as_str()), ("If-None-Match", tag)];
        ask(door, "GET", "/receive-connectors/Relay%204", &fields, None).status
    };
    assert_eq!((again(&tag), again("\"999\""), again("*")), (304, 200, 304));
    append(&site.installation.settings_file(), "\n# Another revision.\n");
    site.installation.output(&["reload"]);
    assert_eq!(again(&tag), 200, "another revision, another tag");
    assert_eq!(get("/receive-connectors/Relay*").status, 409, "a path names one");
    assert_eq!(get("/receive-connectors/nothing").status, 404);
    assert_eq!(get("/receive-connectors/%ff").status, 400);
}

#[test]
fn a_resource_is_made_changed_and_removed_and_a_lost_update_is_told() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let (admin, view) = (token(&site, &["TransportAdmin"]), token(&site, &["View"]));
    let call = |bearer: &str, method: &str, path: &str, fields: &[(&str, &str)], body: Option<Value>| {
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("Authorization", bearer)]).collect();
        ask(door, method, path, &fields, body.as_ref())
    };
    let relay = json!({
        "name": "Relay", "usage": "Custom", "bindings": [format!("{}", site.smtp())],
        "remote_ip_ranges": ["10.0.0.1"], "permission_groups": "AnonymousUsers"
    });
    assert_eq!(call(&view, "POST", "/receive-connectors", &[], Some(relay.clone())).status, 403);
    let made = call(&admin, "POST", "/receive-connectors", &[], Some(relay.clone()));
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.json()["resource"]["remote_ip_ranges"], json!(["10.0.0.1"]), "{}", made.body);
    let tag = made.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let add = json!({"remote_ip_ranges": {"Add": ["10.0.0.2"]}, "max_message_size": "5MB"});
    let changed = call(&admin, "PATCH", "/receive-connectors/Relay", &[("If-Match", &tag)], Some(add.clone()));
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.json()["resource"]["remote_ip_ranges"], json!(["10.0.0.1", "10.0.0.2"]), "{}", changed.body);
    assert_eq!(changed.json()["resource"]["max_message_size"], 5 << 20);
    let late = call(&admin, "PATCH", "/receive-connectors/Relay", &[("If-Match", &tag)], Some(add));
    assert_eq!(late.status, 412, "{}", late.body);
    let unknown = call(&admin, "PATCH", "/receive-connectors/Relay", &[], Some(json!({"remote_ip_range": []})));
    assert_eq!(unknown.status, 400, "{}", unknown.body);
    assert!(unknown.body.contains("remote_ip_ranges"), "it names the keys: {}", unknown.body);
    assert_eq!(call(&view, "DELETE", "/receive-connectors/Relay", &[], None).status, 403);
    assert_eq!(call(&admin, "DELETE", "/receive-connectors/Relay", &[], None).status, 200);
    assert_eq!(call(&admin, "GET", "/receive-connectors/Relay", &[], None).status, 404);
    assert!(!site.installation.settings().contains("\"Relay\""), "the document follows");
    let acts = site.installation.json(&["acts", "--act", "*-ReceiveConnector"]);
    let done = |act: &Value| act["outcome"] == "done" && act["target"] == "Relay" && act["revision"].is_u64();
    assert_eq!(acts.as_array().map(|acts| acts.iter().filter(|act| done(act)).count()), Some(3), "{acts}");
}

#[test]
fn a_whole_document_is_looked_at_and_put_in_force_unless_another_came_before() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let (admin, view) = (token(&site, &["TransportAdmin"]), token(&site, &["View"]));
    let call = |bearer: &str, method: &str, body: Option<Value>| {
        ask(door, method, "/settings", &[("Authorization", bearer)], body.as_ref())
    };
    let document = call(&view, "GET", None).json();
    let (base, text) = (document["revision"].as_u64().expect("a number"), document["text"].as_str().expect("a text"));
    let relay = format!(
        "{text}\n[[receive_connector]]\nname = \"Printer\"\nbindings = [\"{}\"]\nremote_ip_ranges = [\"10.0.0.7\"]\n\
         permission_groups = [\"AnonymousUsers\"]\n",
        site.smtp()
    );
    let wish =
        |text: &str, what_if: bool| Some(json!({"text": text, "base": base, "what_if": what_if, "why": "ticket 9"}));
    assert_eq!(call(&view, "PUT", wish(&relay, true)).status, 403);
    let looked = call(&admin, "PUT", wish(&relay, true));
    assert_eq!(looked.status, 200, "{}", looked.body);
    assert!(looked.json()["revision"].is_null() && looked.body.contains("+name = \\\"Printer\\\""), "{}", looked.body);
    assert!(!site.installation.settings().contains("Printer"), "it was only looked at");
    let wrong = call(&admin, "PUT", wish(&relay.replace("10.0.0.7", "10.0.0"), false));
    assert_eq!(wrong.status, 422, "{}", wrong.body);
    assert!(wrong.json()["problems"][0]["line"].is_u64(), "{}", wrong.body);
    let made = call(&admin, "PUT", wish(&relay, false));
    assert_eq!(made.json()["revision"], base + 1, "{}", made.body);
    assert!(site.installation.settings().contains("\"Printer\""), "the file follows");
    // Whoever has looked at the same revision is told that theirs is not the newest, and changes nothing.
    let late = call(&admin, "PUT", wish(text, false));
    assert_eq!(late.status, 412, "{}", late.body);
    let elsewhere = relay.replace("data_dir", "# data_dir");
    let elsewhere = json!({"text": elsewhere, "base": base + 1, "what_if": true});
    let elsewhere = call(&admin, "PUT", Some(elsewhere));
    assert_eq!(elsewhere.status, 409, "{}", elsewhere.body);
    let acts = site.installation.json(&["acts", "--act", "Set-SettingsDocument"]);
    let done = |act: &Value| act["outcome"] == "done" && act["revision"] == base + 1 && act["reason"] == "ticket 9";
    assert!(acts.as_array().is_some_and(|acts| acts.iter().any(done)), "{acts}");
}

#[test]
fn of_many_who_have_seen_the_same_revision_one_changes_it() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["TransportAdmin"]);
    let fields = [("Authorization", bearer.as_str())];
    let seen = ask(door, "GET", "/receive-connectors/Tests", &fields, None);
    let tag = seen.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    let barrier = std::sync::Barrier::new(8);
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let change = |number: u32| {
            let (barrier, bearer) = (&barrier, bearer.as_str());
            move || {
                barrier.wait();
                let fields = [("Authorization", bearer), ("If-Match", tag)];
                let body = json!({"comment": format!("by {number}")});
                ask(door, "PATCH", "/receive-connectors/Tests", &fields, Some(&body)).status
            }
        };
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(change(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
}

#[test]
fn whoever_looked_before_a_colleagues_change_looks_again_before_theirs() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let (ann, ben) = (token(&site, &["TransportAdmin"]), token(&site, &["TransportAdmin"]));
    let post = |bearer: &str, path: &str, body: Value| {
        let answered = ask(door, "POST", path, &[("Authorization", bearer)], Some(&body));
        (answered.status, answered.json())
    };
    let one = |comment: &str| json!({"Identity": "Tests", "Comment": comment});
    let set = |bearer: &str, comment: &str, more: Value| {
        let mut body = json!({"parameters": one(comment)});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        post(bearer, "/commands/Set-ReceiveConnector", body)
    };
    let together = |comment: &str, more: Value| {
        let mut body = json!({"commands": [{"command": "Set-ReceiveConnector", "parameters": one(comment)}]});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        post(&ben, "/transactions", body)
    };
    let base_of = |(status, looked): (u16, Value)| {
        assert_eq!((status, &looked["revision"]), (200, &Value::Null), "{looked}");
        looked["base"].as_u64().unwrap_or_else(|| panic!("no base: {looked}"))
    };
    let seen = base_of(set(&ben, "Ben's", json!({"what_if": true})));
    assert_eq!(seen, base_of(together("Ben's", json!({"what_if": true}))));
    let (status, done) = set(&ann, "Ann's", json!({"base": seen}));
    assert_eq!((status, &done["revision"], &done["base"]), (200, &json!(seen + 1), &Value::Null), "{done}");
    for (status, late) in [set(&ben, "Ben's", json!({"base": seen})), together("Ben's", json!({"base": seen}))] {
        assert_eq!(status, 412, "{late}");
        let told = late["detail"].as_str().unwrap_or_default();
        assert!(told.contains(&format!("revision {} is in force", seen + 1)), "{late}");
    }
    assert!(site.installation.settings().contains("Ann's"), "nothing of Ann's is lost");
    let seen = base_of(together("Ben's", json!({"what_if": true})));
    assert_eq!(together("Ben's", json!({"base": seen})).0, 200);
    let (status, done) = set(&ann, "both's", json!({"base": seen + 1}));
    assert_eq!((status, &done["revision"]), (200, &json!(seen + 2)), "{done}");

    // Nor does an earlier revision take the place of what nobody has looked at.
    let restore = |more: Value| post(&ben, "/revisions/1/restore", more);
    let seen = base_of(restore(json!({"what_if": true})));
    assert_eq!(set(&ann, "Ann's again", json!({"base": seen})).0, 200);
    let command = json!({"parameters": {"Revision": 1}, "base": seen});
    let by_command = post(&ben, "/commands/Restore-ConfigurationRevision", command);
    for (status, late) in [restore(json!({"base": seen})), by_command] {
        assert_eq!(status, 412, "{late}");
    }
    assert!(site.installation.settings().contains("Ann's again"), "nothing of Ann's is lost");
    let seen = base_of(restore(json!({"what_if": true})));
    let (status, done) = restore(json!({"base": seen}));
    assert_eq!((status, &done["revision"]), (200, &json!(seen + 1)), "{done}");
}

#[test]
fn a_request_that_comes_twice_under_one_key_is_done_once() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["SecurityOfficer"]);
    let make = |key: &str, note: &str| {
        let fields = [("Authorization", bearer.as_str()), ("Idempotency-Key", key)];
        ask(door, "POST", "/tokens", &fields, Some(&json!({"roles": ["View"], "note": note})))
    };
    let (first, second) = (make("a", "one"), make("a", "one"));
    assert_eq!((first.status, second.status), (201, 201), "{}", second.body);
    assert_eq!(first.json(), second.json());
    assert!(second.head.contains("idempotent-replayed: true"), "{}", second.head);
    assert_eq!(make("a", "two").status, 422, "another request under the same key");
    assert_ne!(make("b", "one").json()["id"], first.json()["id"]);
    // Another's key is another key.
    let other = token(&site, &["SecurityOfficer"]);
    let fields = [("Authorization", other.as_str()), ("Idempotency-Key", "a")];
    let answered = ask(door, "POST", "/tokens", &fields, Some(&json!({"roles": ["View"], "note": "three"})));
    assert_eq!(answered.status, 201, "{}", answered.body);
    let made = site.installation.json(&["acts", "--act", "New-ApiToken", "--outcome", "done"]);
    assert_eq!(made.as_array().map(Vec::len), Some(5), "two by the command line, three by keys: {made}");
}

#[test]
fn whoever_listens_hears_what_changes_and_what_it_has_missed() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["View"]);
    let listen = |fields: &str| {
        let mut stream = TcpStream::connect(door).expect("the door listens");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {door}\r\nAuthorization: {bearer}\r\n{fields}\r\n")
            .expect("sent");
        BufReader::new(stream).lines().map(|line| line.expect("a line"))
    };
    let mut lines = listen("");
    let hears = |lines: &mut dyn Iterator<Item = String>, wanted: &str| -> String {
        let mut id = String::new();
        let mut silences = 0;
        for line in lines {
            silences += usize::from(line == ":");
            assert!(silences < 4, "a minute without {wanted}");
            if let Some(said) = line.strip_prefix("id: ") {
                id = said.to_owned();
            }
            if line == format!("event: {wanted}") {
                return id;
            }
        }
        panic!("the events ended without {wanted}")
    };
    assert!(lines.any(|line| line == "retry: 1000"));
    let change = || {
        append(&site.installation.settings_file(), "\n# Another revision.\n");
        site.installation.output(&["reload"]);
    };
    change();
    let id = hears(&mut lines, "revision");
    drop(lines);
    let mut client = site.client(HOST_2);
    client.command("MAIL FROM:<a@contoso.com>");
    assert!(client.command("RCPT TO:<nobody@contoso.com>").code() >= 500);
    change();
    let mut lines = listen(&format!("Last-Event-ID: {id}\r\n"));
    hears(&mut lines, "revision");
    hears(&mut lines, "refusals");
}

#[test]
fn the_server_keeps_to_its_document_whatever_it_is_asked() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.txt");
    let target = Path::new(PROGRAM).parent().and_then(Path::parent).expect("target/debug/gatepost");
    let program = target.join("schemathesis/bin/schemathesis");
    assert!(program.exists(), "{} is not there: ./test installs what {} names", program.display(), lock.display());
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &many_connectors(), DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["TransportAdmin", "SecurityOfficer"]);
    let document = site.installation.folder().join("openapi.json");
    let answered = ask(door, "GET", "/openapi.json", &[("Authorization", &bearer)], None);
    std::fs::write(&document, &answered.body).expect("written");
    let tested = Command::new("timeout")
        .args(["--signal=KILL", "240"])
        .arg(program)
        .arg("run")
        .arg(&document)
        .args(["--url", &format!("http://{door}/api/v1"), "-H", &format!("Authorization: {bearer}")])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "6", "--workers", "1"])
        // They go on for as long as somebody listens.
        .args(["--exclude-path", "/events", "--exclude-path", "/transcript", "--no-color"])
        .current_dir(site.installation.folder())
        .output()
        .expect("run schemathesis");
    assert!(tested.status.success(), "{}", text_of(&tested));
    // It has really asked.
    let text = text_of(&tested);
    assert!(text.contains("Tested: ") && !text.contains("Tested: 0"), "{text}");
}
