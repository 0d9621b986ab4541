//! Who may administer: the doors at TCP ports, administrators, tokens, sessions, roles, and the record of what they did.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_testkit::installation::text_of;
use gatepost_testkit::wait;
use serde_json::{Value, json};

use crate::site::{CONTOSO, OPEN_TO_TESTS, Site};

/// Administrators are heard on `{second}`.
pub const DOOR: &str = "\n[management]\nlisten = [\"127.0.0.1:{second}\"]\n";

const PASSWORD: &str = "correct horse battery";

/// What a door has answered.
pub struct Answered {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}{}", self.head, self.body))
    }
}

/// Sends these bytes and reads until the door closes.
pub fn exchange(door: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(door).expect("the door listens");
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
    // A door that closes early is an answer, too.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// One request, one connection.
pub fn ask(door: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)], body: Option<&Value>) -> Answered {
    let mut request = format!("{method} /api/v1{path} HTTP/1.1\r\nConnection: close\r\n");
    if !fields.iter().any(|(name, _)| *name == "Host") {
        request += &format!("Host: {door}\r\n");
    }
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    let answer = exchange(door, format!("{request}\r\n{body}").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request}: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answered { status, head: head.to_owned(), body: body.to_owned() }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A token with these roles.
pub fn token(site: &Site, roles: &[&str]) -> String {
    let mut arguments = vec!["token", "add"];
    for role in roles {
        arguments.extend(["--role", role]);
    }
    let made = site.installation.json(&arguments);
    format!("Bearer {}", made["secret"].as_str().expect("a secret"))
}

fn add_administrator(site: &Site, name: &str, role: &str) {
    let add = ["admin", "add", name, "--role", role, "--password-stdin"];
    let added = site.installation.run_with_input(&add, &format!("{PASSWORD}\n"));
    assert!(added.status.success(), "{}", text_of(&added));
}

#[test]
fn a_door_at_a_tcp_port_hears_nobody_who_proves_nothing_not_even_on_loopback() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    for (path, fields) in [
        ("/status", &[][..]),
        ("/no-such-call", &[]),
        ("/status", &[("Authorization", "Bearer gpt_0000")]),
        ("/status", &[("Authorization", "Bearer ")]),
        ("/status", &[("Authorization", "Digest x")]),
    ] {
        let answered = ask(door, "GET", path, fields, None);
        assert_eq!(answered.status, 401, "{path} {fields:?} {}", answered.body);
        assert!(answered.head.to_lowercase().contains("www-authenticate: bearer"), "{}", answered.head);
        assert!(!answered.head.to_lowercase().contains("basic"), "no browser asks its user: {}", answered.head);
    }
    let bearer = token(&site, &["View"]);
    let answered = ask(door, "GET", "/status", &[("Authorization", &bearer)], None);
    assert_eq!(answered.status, 200, "{}", answered.body);
    assert_eq!(answered.json()["server_name"], "mail.contoso.com");
    assert!(answered.head.to_lowercase().contains("cache-control: no-store"), "{}", answered.head);
    // The socket needs no proof, which the command line relies on.
    assert_eq!(site.installation.json(&["status"])["server_name"], "mail.contoso.com");
    let secret = bearer.trim_start_matches("Bearer ");
    assert!(!site.server.log().contains(secret), "no secret is in the log");
    let credentials = fs::read_to_string(site.installation.data_dir().join("credentials")).expect("ours");
    assert!(!credentials.contains(secret), "nor in a file");
}

#[test]
fn a_token_does_what_its_roles_and_its_commands_allow_until_it_is_removed() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let with =
        |bearer: &str, method: &str, path: &str| ask(door, method, path, &[("Authorization", bearer)], None).status;
    let (view, operator) = (token(&site, &["View"]), token(&site, &["QueueOperator"]));
    let (officer, both) = (token(&site, &["SecurityOfficer"]), token(&site, &["TransportAdmin", "SecurityOfficer"]));
    for (bearer, method, path, status) in [
        (&view, "GET", "/status", 200),
        (&view, "GET", "/queues", 200),
        (&view, "GET", "/queue", 403),
        (&view, "GET", "/trace", 403),
        (&view, "POST", "/reload", 403),
        (&operator, "GET", "/queue", 200),
        (&operator, "DELETE", "/queue/1", 404),
        (&operator, "POST", "/reload", 403),
        (&operator, "GET", "/acts", 403),
        (&officer, "GET", "/acts", 200),
        (&officer, "GET", "/tokens", 200),
        (&officer, "POST", "/reload", 403),
        (&both, "POST", "/reload", 200),
        (&both, "PUT", "/reload", 405),
        (&both, "GET", "/nothing", 404),
    ] {
        assert_eq!(with(bearer, method, path), status, "{method} {path}");
    }
    let narrow = site.installation.json(&["token", "add", "--role", "TransportAdmin", "--command", "Get-S*"]);
    let bearer = format!("Bearer {}", narrow["secret"].as_str().expect("a secret"));
    assert_eq!((with(&bearer, "GET", "/status"), with(&bearer, "GET", "/queues")), (200, 403));

    let listed = site.installation.json(&["token", "list"]);
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|token| token["last_used_ms"].is_u64() && token.get("secret").is_none()), "{listed:?}");
    let id = narrow["id"].as_str().expect("an id");
    site.installation.output(&["token", "remove", id]);
    assert_eq!(with(&bearer, "GET", "/status"), 401);

    // The restart ends no token, and the last use is known still.
    let site = site.restart(|server| assert!(server.stop().success()));
    assert_eq!(ask(door, "GET", "/status", &[("Authorization", &view)], None).status, 200);
    let listed = site.installation.json(&["token", "list"]);
    assert!(listed[0]["last_used_ms"].is_u64(), "{listed}");
}

#[test]
fn the_group_of_the_socket_sees_and_changes_nothing_unless_the_settings_say_more() {
    let python = "
import os, socket, sys
os.setgroups([]); os.setgid(54321); os.setuid(54321)
for request in ['GET /api/v1/status', 'POST /api/v1/queue/retry', 'POST /api/v1/reload']:
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
    body = '\"all\"' if 'retry' in request else ''
    s.sendall((request + ' HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (len(body), body)).encode())
    print(s.makefile().readline().split()[1])
";
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    // Who may not become another user cannot try this; the group is the server's own then.
    if !rustix_is_root() {
        return;
    }
    let data_dir = site.installation.data_dir();
    fs::set_permissions(site.installation.folder(), fs::Permissions::from_mode(0o755)).expect("ours");
    let socket = data_dir.join("gatepost.sock");
    for path in [&data_dir, &socket] {
        std::os::unix::fs::chown(path, None, Some(54321)).expect("root may");
    }
    let answers = || {
        let output = Command::new("python3").args(["-c", python]).arg(&socket).output().expect("run Python");
        assert!(output.status.success(), "{}", text_of(&output));
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(answers(), ["200", "403", "403"]);
    site.write_settings(&[CONTOSO, OPEN_TO_TESTS, "\n[management]\nsocket_group_role = \"QueueOperator\"\n"]);
    site.installation.output(&["reload"]);
    assert_eq!(answers(), ["200", "200", "403"]);
    let refused = site.installation.json(&["acts", "--actor", "uid 54321", "--outcome", "refused"]);
    let acts: Vec<&str> = refused.as_array().expect("a list").iter().filter_map(|act| act["act"].as_str()).collect();
    assert_eq!(acts, ["Retry-Queue", "Update-Configuration", "Update-Configuration"], "{refused}");
}

fn rustix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[test]
fn the_one_time_token_of_a_start_without_a_terminal_makes_one_administrator() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let file = site.installation.data_dir().join("one-time-token");
    site.server.wait_for_log("where the token is", |line| line["file"].as_str() == file.to_str());
    let token = fs::read_to_string(&file).expect("the token").trim().to_owned();
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(!site.server.log().contains(&token), "the path is logged, not the token");

    let set_up = |token: &str, password: &str| {
        let body = json!({"token": token, "name": "carol", "password": password});
        ask(door, "POST", "/setup", &[], Some(&body))
    };
    assert_eq!(set_up("gpo_0000", PASSWORD).status, 401);
    assert_eq!(set_up(&token, "short").status, 400, "a mistake does not use it up");
    let first = set_up(&token, PASSWORD);
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.json()["roles"], json!(["TransportAdmin", "SecurityOfficer"]));
    assert_eq!(set_up(&token, PASSWORD).status, 401, "it is good once");
    assert!(!file.exists());
    let answered = ask(door, "GET", "/session", &[("Authorization", &basic("CAROL", PASSWORD))], None);
    assert_eq!(answered.json()["name"], "carol", "{}", answered.body);

    // The next start has nobody to make.
    let site = site.restart(|server| assert!(server.stop().success()));
    assert!(!file.exists());
    let made = site.installation.json(&["acts", "--act", "New-FirstAdministrator"]);
    let outcomes: Vec<&str> =
        made.as_array().expect("a list").iter().filter_map(|act| act["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["refused", "failed", "done", "refused"], "{made}");
    assert!(!made.to_string().contains(PASSWORD) && !made.to_string().contains(&token), "no secret is recorded");
}

#[test]
fn a_session_needs_password_and_code_and_ends_with_either() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    add_administrator(&site, "carol", "QueueOperator");
    let begin = |body: Value| ask(door, "POST", "/session", &[], Some(&body));
    assert_eq!(begin(json!({"name": "carol", "password": "wrong"})).status, 401);
    let begun = begin(json!({"name": "Carol", "password": PASSWORD}));
    assert_eq!(begun.status, 200, "{}", begun.body);
    let bearer = format!("Bearer {}", begun.json()["secret"].as_str().expect("a secret"));
    let status = |bearer: &str, path: &str| ask(door, "GET", path, &[("Authorization", bearer)], None).status;
    assert_eq!((status(&bearer, "/queue"), status(&bearer, "/tokens")), (200, 403));
    // A role that is taken away is taken away from open sessions.
    site.installation.output(&["admin", "set-role", "carol", "--role", "View"]);
    assert_eq!((status(&bearer, "/queue"), status(&bearer, "/status")), (403, 200));
    // So is the session when the password changes, which everybody may do for themselves.
    let change = |body: Value| ask(door, "PATCH", "/administrators/carol", &[("Authorization", &bearer)], Some(&body));
    assert_eq!(change(json!({"roles": ["TransportAdmin"]})).status, 403, "nobody gives themselves a role");
    let answered =
        ask(door, "PATCH", "/administrators/dave", &[("Authorization", &bearer)], Some(&json!({"totp": true})));
    assert_eq!(answered.status, 403, "nor changes another");
    assert_eq!(change(json!({"password": "another password"})).status, 400, "a session alone does not do");
    let wrong = json!({"password": "another password", "current": {"password": "wrong"}});
    assert_eq!(change(wrong).status, 403);
    assert_eq!(status(&bearer, "/status"), 200);
    let right = json!({"password": "another password", "current": {"password": PASSWORD}});
    let other = begin(json!({"name": "carol", "password": PASSWORD})).json();
    let other = format!("Bearer {}", other["secret"].as_str().expect("a secret"));
    let changed = change(right);
    assert_eq!(changed.status, 200, "{}", changed.body);
    // The session in which it was changed goes on, and nobody else who has its secret goes on with it.
    let renewed = format!("Bearer {}", changed.json()["session"]["secret"].as_str().expect("another secret"));
    assert_eq!([&bearer, &other, &renewed].map(|bearer| status(bearer, "/status")), [401, 401, 200]);

    // With an authenticator app the password alone is not enough.
    let secret = ask_for_codes(&site, "carol");
    assert_eq!(status(&renewed, "/status"), 401, "a session that began without a code ends");
    let with = |code: Option<&str>| begin(json!({"name": "carol", "password": "another password", "code": code}));
    assert_eq!(with(None).status, 401);
    assert_eq!(with(Some("000000")).status, 401);
    let code = code_of(&secret, 1);
    let begun = with(Some(&code));
    assert_eq!(begun.status, 200, "{}", begun.body);
    assert_eq!(with(Some(&code)).status, 401, "a code is good once");
    let bearer = format!("Bearer {}", begun.json()["secret"].as_str().expect("a secret"));
    assert_eq!(status(&bearer, "/status"), 200);
    assert_eq!(ask(door, "DELETE", "/session", &[("Authorization", &bearer)], None).status, 200);
    assert_eq!(status(&bearer, "/status"), 401);
    let acts = site.installation.output(&["acts", "--json"]);
    assert!(!acts.contains(PASSWORD) && !acts.contains("another password") && !acts.contains(&secret), "{acts}");
}

/// Codes are asked for from now on: the secret that they are made from, whose code of now is used up.
pub fn ask_for_codes(site: &Site, name: &str) -> String {
    let shown = site.installation.output(&["admin", "totp", name]);
    let secret = secret_in(&shown);
    let told = site.installation.output(&["admin", "totp", name, "--code", &code_of(&secret, 0)]);
    assert!(told.contains("from now on"), "{told}");
    secret
}

/// What stands in an address that an app takes.
fn secret_in(text: &str) -> String {
    let secret = text.split_once("secret=").and_then(|(_, rest)| rest.split('&').next());
    secret.unwrap_or_else(|| panic!("no secret in {text}")).to_owned()
}

/// The code of now, or of so many half minutes later, as Python makes it: not by the server's own code.
pub fn code_of(secret: &str, steps_ahead: u32) -> String {
    let python = "
import base64, hashlib, hmac, struct, sys, time
step = int(time.time()) // 30 + int(sys.argv[2])
h = hmac.new(base64.b32decode(sys.argv[1]), struct.pack('>Q', step), hashlib.sha1).digest()
o = h[-1] & 15
print('%06d' % ((struct.unpack('>I', h[o:o + 4])[0] & 0x7fffffff) % 1000000))
";
    let output =
        Command::new("python3").args(["-c", python, secret, &steps_ahead.to_string()]).output().expect("run Python");
    assert!(output.status.success(), "{}", text_of(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn codes_are_asked_for_once_the_first_one_has_come_from_who_has_made_the_secret() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    add_administrator(&site, "carol", "View");
    let begin = |code: Option<&str>| {
        let begun =
            ask(door, "POST", "/session", &[], Some(&json!({"name": "carol", "password": PASSWORD, "code": code})));
        (begun.status, format!("Bearer {}", begun.json()["secret"].as_str().unwrap_or_default()))
    };
    let set = |bearer: &str, body: Value| {
        ask(door, "PATCH", "/administrators/carol", &[("Authorization", bearer)], Some(&body))
    };
    let shown = |bearer: &str| ask(door, "GET", "/session", &[("Authorization", bearer)], None);
    let (own, other) = (begin(None).1, begin(None).1);
    let make = |bearer: &str| {
        let made = set(bearer, json!({"totp": true, "current": {"password": PASSWORD}}));
        assert_eq!((made.status, &made.json()["totp"]), (200, &json!(false)), "{}", made.body);
        secret_in(&made.body)
    };
    assert_eq!(set(&own, json!({"totp": true})).status, 400, "a session alone makes none");
    let first = make(&own);
    let second = make(&own);
    assert_ne!(first, second);
    assert_eq!(shown(&own).json()["totp"], json!(false), "it waits");
    assert_eq!(begin(None).0, 200, "and nobody is locked out");
    assert_eq!(set(&own, json!({"totp_code": code_of(&first, 0)})).status, 403, "another has taken its place");
    assert_eq!(set(&other, json!({"totp_code": code_of(&second, 0)})).status, 409, "another session has made none");
    assert_eq!(set(&own, json!({"totp_code": "1", "totp": true})).status, 400);
    let confirmed = set(&own, json!({"totp_code": code_of(&second, 0)}));
    assert_eq!((confirmed.status, &confirmed.json()["totp"]), (200, &json!(true)), "{}", confirmed.body);
    let renewed = format!("Bearer {}", confirmed.json()["session"]["secret"].as_str().expect("another secret"));
    assert_eq!([&own, &other, &renewed].map(|bearer| shown(bearer).status), [401, 401, 200]);
    assert!(shown(&renewed).json()["totp_since_ms"].is_u64());
    assert_eq!((begin(None).0, begin(Some(&code_of(&second, 0))).0), (401, 401), "the first one is used up");

    // Name, password and a code in one request are proof enough for what it asks, and the code is good for it alone.
    let code = code_of(&second, 1);
    let by_password = [("Authorization", basic("carol", PASSWORD)), ("Gatepost-Code", code)];
    let fields = by_password.each_ref().map(|(name, value)| (*name, value.as_str()));
    let change =
        || ask(door, "PATCH", "/administrators/carol", &fields, Some(&json!({"password": "another password"})));
    let changed = change();
    assert_eq!((changed.status, changed.json().get("session")), (200, None), "{}", changed.body);
    assert_eq!(change().status, 401);
    assert_eq!(shown(&renewed).status, 401, "a password that was changed elsewhere ends every session");
    let acts = site.installation.output(&["acts", "--json"]);
    assert!(acts.contains("codes asked for") && !acts.contains(&second), "{acts}");
}

#[test]
fn who_listens_hears_nothing_more_once_the_session_is_over_or_the_token_removed() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    add_administrator(&site, "carol", "HelpDesk");
    let begun = ask(door, "POST", "/session", &[], Some(&json!({"name": "carol", "password": PASSWORD})));
    let session = format!("Bearer {}", begun.json()["secret"].as_str().expect("a secret"));
    let made = site.installation.json(&["token", "add", "--role", "HelpDesk"]);
    let token = format!("Bearer {}", made["secret"].as_str().expect("a secret"));
    let listen = |bearer: &str| {
        let mut stream = TcpStream::connect(door).expect("the door listens");
        // Without an end of ours it would go on for five minutes.
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout");
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {door}\r\nAuthorization: {bearer}\r\n");
        stream.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes()).expect("it hears");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200");
        stream
    };
    let mut listening = [listen(&session), listen(&token)];
    assert_eq!(ask(door, "DELETE", "/session", &[("Authorization", &session)], None).status, 200);
    site.installation.output(&["token", "remove", made["id"].as_str().expect("an id")]);
    for stream in &mut listening {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the end comes, and not the end of patience");
    }
}

#[test]
fn whoever_guesses_the_first_code_waits() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    add_administrator(&site, "dave", "View");
    let bearer = token(&site, &["SecurityOfficer"]);
    let set =
        |body: Value| ask(door, "PATCH", "/administrators/dave", &[("Authorization", &bearer)], Some(&body)).status;
    assert_eq!(set(json!({"totp": true})), 200);
    let guesses: Vec<u16> = (0..8).map(|_| set(json!({"totp_code": "000000"}))).collect();
    assert!(guesses.starts_with(&[403; 5]) && guesses.contains(&429), "{guesses:?}");
}

#[test]
fn one_code_opens_one_session() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    add_administrator(&site, "carol", "View");
    let secret = ask_for_codes(&site, "carol");
    let body = json!({"name": "carol", "password": PASSWORD, "code": code_of(&secret, 1)});
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || ask(door, "POST", "/session", &[], Some(&body)).status;
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asking| asking.join().expect("it asks")).collect()
    });
    statuses.sort_unstable();
    assert!(statuses[0] == 200 && statuses[1..].iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
}

#[test]
fn whoever_guesses_passwords_waits_longer_and_longer() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    add_administrator(&site, "carol", "View");
    let guess = |name: &str| ask(door, "GET", "/status", &[("Authorization", &basic(name, "guess"))], None);
    let mut statuses: Vec<u16> = (0..8).map(|i| guess(&format!("carol{i}")).status).collect();
    let waiting = guess("carol");
    statuses.push(waiting.status);
    assert!(statuses.starts_with(&[401; 5]), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    if waiting.status == 429 {
        assert!(waiting.head.to_lowercase().contains("retry-after: "), "{}", waiting.head);
    }
    // Who has a token is not held up by who guesses beside them.
    let bearer = token(&site, &["View"]);
    assert_eq!(ask(door, "GET", "/status", &[("Authorization", &bearer)], None).status, 200);
    // Who was guessed at from elsewhere is not either, once that ends; and it is on record.
    let refused = site.installation.json(&["acts", "--outcome", "refused"]);
    let first = &refused[0];
    assert_eq!((&first["actor"], &first["address"]), (&json!("nobody"), &json!("127.0.0.1")), "{refused}");
}

#[test]
fn pages_of_others_and_bent_names_are_turned_away() {
    let site = Site::start(&[
        CONTOSO,
        OPEN_TO_TESTS,
        "\n[management]\nlisten = [\"127.0.0.1:{second}\"]\nhost_names = [\"admin.contoso.com\"]\n",
    ]);
    let door = site.port("second");
    let bearer = token(&site, &["View"]);
    let own = door.to_string();
    for (fields, status) in [
        (&[("Host", "evil.example")][..], 421),
        (&[("Host", "admin.contoso.com")], 200),
        (&[("Host", "mail.contoso.com:8025")], 200),
        (&[("Origin", "https://evil.example")], 403),
        (&[("Host", &own), ("Origin", &format!("http://{own}"))], 200),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
    ] {
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("Authorization", bearer.as_str())]).collect();
        let answered = ask(door, "GET", "/status", &fields, None);
        assert_eq!(answered.status, status, "{fields:?} {}", answered.body);
        assert!(!answered.head.to_lowercase().contains("access-control-allow"), "{}", answered.head);
    }
}

#[test]
fn requests_that_could_be_read_in_two_ways_are_one_or_none() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["TransportAdmin"]);
    let head = format!(
        "POST /api/v1/queue/retry HTTP/1.1\r\nHost: {door}\r\nAuthorization: {bearer}\r\nContent-Type: application/json\r\n"
    );
    let smuggled =
        format!("POST /api/v1/reload HTTP/1.1\r\nHost: {door}\r\nAuthorization: {bearer}\r\nConnection: close\r\n\r\n");
    for (framing, body) in [
        // Both lengths (RFC 9112 section 6.1).
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", format!("5\r\n\"all\"\r\n0\r\n\r\n{smuggled}")),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", format!("\"all\"{smuggled}")),
        ("Content-Length: +5\r\n", format!("\"all\"{smuggled}")),
        ("Transfer-Encoding: chunked, identity\r\n", format!("5\r\n\"all\"\r\n0\r\n\r\n{smuggled}")),
        ("Transfer-Encoding : chunked\r\n", format!("5\r\n\"all\"\r\n0\r\n\r\n{smuggled}")),
        ("Content-Length: 5\r\nX: a\r\n b\r\n", format!("\"all\"{smuggled}")),
    ] {
        let answer = exchange(door, format!("{head}{framing}\r\n{body}").as_bytes());
        let answers = answer.matches("HTTP/1.1 ").count();
        let is_one_of_two = answers == 2
            && answer.starts_with("HTTP/1.1 200")
            && framing.contains("chunked\r\n")
            && framing.starts_with("Content-Length: 5\r\nT");
        assert!(answers <= 1 && !answer.contains("\"revision\"") || is_one_of_two, "{framing:?}: {answer}");
    }
}

#[test]
fn large_and_slow_requests_are_cut_off_and_others_are_heard_meanwhile() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["TransportAdmin"]);
    let large = exchange(
        door,
        format!("GET /api/v1/status HTTP/1.1\r\nHost: {door}\r\nX: {}\r\n\r\n", "x".repeat(200_000)).as_bytes(),
    );
    assert!(large.is_empty() || large.starts_with("HTTP/1.1 431"), "{large}");
    let many = exchange(
        door,
        format!("GET /api/v1/status HTTP/1.1\r\nHost: {door}\r\n{}\r\n", "X: y\r\n".repeat(1000)).as_bytes(),
    );
    assert!(many.is_empty() || many.starts_with("HTTP/1.1 431"), "{many}");
    // A body larger than any request, first without proof and then with it.
    for (bearer, status) in [("Bearer x", "401"), (&*bearer, "413")] {
        let body = format!("\"{}\"", "x".repeat(300_000));
        let request = format!(
            "POST /api/v1/queue/retry HTTP/1.1\r\nHost: {door}\r\nAuthorization: {bearer}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(door, request.as_bytes());
        assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    // Whoever holds connections open has few of them, from one address.
    let idle: Vec<TcpStream> =
        (0..200).filter_map(|_| TcpStream::connect_timeout(&door, Duration::from_secs(5)).ok()).collect();
    drop(idle);
    let answered = wait::within(wait::PATIENCE, || {
        let mut stream = TcpStream::connect(door).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(
            stream,
            "GET /api/v1/status HTTP/1.1\r\nHost: {door}\r\nAuthorization: {bearer}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
    assert!(answered.is_some());
}

#[test]
fn beyond_this_machine_administrators_are_heard_inside_tls_only_and_a_reload_moves_the_door() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let (door, moved) = (site.port("second"), site.port("tls"));
    let bearer = token(&site, &["View"]);
    let on = |address: &str| format!("\n[management]\nlisten = [\"{address}\"]\n");
    site.write_settings(&[CONTOSO, OPEN_TO_TESTS, &on("127.0.0.1:{second}")]);
    site.installation.output(&["reload"]);
    assert_eq!(ask(door, "GET", "/status", &[("Authorization", &bearer)], None).status, 200);
    // Nobody may come in by name yet, as at a first start.
    let offered = site.installation.data_dir().join("one-time-token");
    site.server.wait_for_log("where the token is", |line| line["file"].as_str() == offered.to_str());
    let token = fs::read_to_string(&offered).expect("the token").trim().to_owned();
    let first = json!({"token": token, "name": "carol", "password": PASSWORD});
    assert_eq!(ask(door, "POST", "/setup", &[], Some(&first)).status, 200);
    site.write_settings(&[CONTOSO, OPEN_TO_TESTS, &on("0.0.0.0:{tls}")]);
    site.installation.output(&["reload"]);
    wait::until("the first door closes", || TcpStream::connect(door).is_err().then_some(()));
    let plain = exchange(moved, format!("GET /api/v1/status HTTP/1.1\r\nHost: {moved}\r\n\r\n").as_bytes());
    assert!(!plain.contains("HTTP/1.1"), "not without TLS: {plain}");
    let certificate = site.installation.data_dir().join("tls/self-signed.pem");
    let curl = Command::new("curl")
        .args(["-sS", "--max-time", "60", "--cacert"])
        .arg(&certificate)
        .args(["--connect-to", &format!("mail.contoso.com:{0}:127.0.0.1:{0}", moved.port())])
        .args(["-H", &format!("Authorization: {bearer}")])
        .arg(format!("https://mail.contoso.com:{}/api/v1/status", moved.port()))
        .output()
        .expect("run curl");
    assert!(text_of(&curl).contains("\"server_name\":\"mail.contoso.com\""), "{}", text_of(&curl));
    // What cannot be had changes nothing, and says which.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    site.write_settings(&[CONTOSO, OPEN_TO_TESTS, &on(&address)]);
    let refused = site.installation.run(&["reload"]);
    assert!(
        text_of(&refused).contains(&format!("cannot listen on {address} for [management]")),
        "{}",
        text_of(&refused)
    );
}

#[test]
fn administrators_are_changed_while_no_server_runs() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let site = site.restart_after(|server, installation| {
        assert!(server.stop().success());
        let add = ["admin", "add", "carol", "--role", "View", "--password-stdin"];
        let added = installation.run_with_input(&add, &format!("{PASSWORD}\n"));
        assert!(added.status.success(), "{}", text_of(&added));
        assert!(text_of(&installation.run(&["admin", "add", "x", "--role", "root"])).contains("SecurityOfficer"));
        installation.output(&["admin", "set-role", "Carol", "--role", "HelpDesk", "--role", "SecurityOfficer"]);
        assert_eq!(installation.json(&["admin", "list"])[0]["roles"], json!(["HelpDesk", "SecurityOfficer"]));
        let told = installation.output(&["admin", "totp", "carol"]);
        assert!(told.contains("nothing has changed") && !secret_in(&told).is_empty(), "{told}");
        let told = text_of(&installation.run_with_input(&["admin", "totp", "carol"], "000000\n"));
        assert!(told.contains("no code of the new secret"), "{told}");
        assert_eq!(installation.json(&["admin", "list"])[0]["totp"], json!(false));
        let unknown = installation.run(&["admin", "remove", "dave"]);
        assert!(
            !unknown.status.success() && text_of(&unknown).contains("gatepost admin list"),
            "{}",
            text_of(&unknown)
        );
    });
    assert!(!site.installation.data_dir().join("one-time-token").exists(), "there is an administrator");
    assert_eq!(ask(door, "GET", "/acts", &[("Authorization", &basic("carol", PASSWORD))], None).status, 200);
    site.installation.output(&["admin", "remove", "carol"]);
    assert_eq!(ask(door, "GET", "/acts", &[("Authorization", &basic("carol", PASSWORD))], None).status, 401);
    let acts = site.installation.output(&["acts", "--act", "*-Administrator"]);
    assert!(acts.contains("Remove-Administrator") && acts.contains("carol") && acts.contains("uid "), "{acts}");
}
