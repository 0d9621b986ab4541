//! Attacks on the doors for administrators: every route by every role, strangers in masses, odd requests, secrets.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use gatepost_testkit::wait;
use serde_json::{Value, json};

use crate::access::{DOOR, ask, exchange, token};
use crate::site::{CONTOSO, OPEN_TO_TESTS, Site};

/// Each role with all that it includes.
const ROLES: [(&str, &[&str]); 6] = [
    ("View", &["View"]),
    ("HelpDesk", &["View", "HelpDesk"]),
    ("QueueOperator", &["View", "HelpDesk", "QueueOperator"]),
    ("RecipientAdmin", &["View", "HelpDesk", "RecipientAdmin"]),
    ("TransportAdmin", &["View", "HelpDesk", "QueueOperator", "RecipientAdmin", "TransportAdmin"]),
    ("SecurityOfficer", &["View", "HelpDesk", "SecurityOfficer"]),
];

/// What of the API is the least role's, by the beginning of its act: no route may ask for less.
const LEAST: [(&str, &str); 22] = [
    ("Get-Administrator", "SecurityOfficer"),
    ("New-Administrator", "SecurityOfficer"),
    ("Remove-Administrator", "SecurityOfficer"),
    ("Get-ApiToken", "SecurityOfficer"),
    ("New-ApiToken", "SecurityOfficer"),
    ("Remove-ApiToken", "SecurityOfficer"),
    ("Search-AdminAuditLog", "SecurityOfficer"),
    ("Remove-TracedAddress", "SecurityOfficer"),
    ("Restore-ConfigurationRevision", "TransportAdmin"),
    ("Update-Configuration", "TransportAdmin"),
    ("Start-Transaction", "RecipientAdmin"),
    ("New-ReceiveConnector", "TransportAdmin"),
    ("Set-ReceiveConnector", "TransportAdmin"),
    ("Remove-ReceiveConnector", "TransportAdmin"),
    ("Add-ADPermission", "TransportAdmin"),
    ("Remove-ADPermission", "TransportAdmin"),
    ("Suspend-", "QueueOperator"),
    ("Resume-", "QueueOperator"),
    ("Remove-Message", "QueueOperator"),
    ("Export-Message", "QueueOperator"),
    ("Get-Message", "HelpDesk"),
    ("Search-Trace", "HelpDesk"),
];

#[test]
fn no_role_gets_through_a_route_that_asks_for_more() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearers: Vec<String> = ROLES.iter().map(|(role, _)| token(&site, &[role])).collect();
    let document = ask(door, "GET", "/openapi.json", &[("Authorization", &bearers[0])], None).json();
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let description = operation["description"].as_str().expect("what it needs");
            let (act, needed) = description.split_once("; the role that it needs: ").expect("a role");
            let needed = needed.trim_end_matches('.');
            for (_, least) in LEAST.iter().filter(|(known, _)| act.starts_with(known)) {
                let includes = ROLES.iter().find(|(role, _)| *role == needed).expect("a role").1;
                assert!(includes.contains(least), "{method} {path} asks for {needed}, not for {least}");
            }
            if operation["security"] == json!([]) || path == "/events" {
                continue;
            }
            // Numbers where numbers are wanted, and names that nothing has.
            let called: String = path
                .split('/')
                .map(|part| match part {
                    "{id}" | "{number}" => "999999",
                    part if part.starts_with('{') => "nobody-has-this-name",
                    part => part,
                })
                .collect::<Vec<_>>()
                .join("/");
            let (method, body) = (method.to_uppercase(), json!({"no_such_key": 1}));
            let body = (method != "GET" && method != "DELETE").then_some(&body);
            let nobody = ask(door, &method, &called, &[], body);
            assert_eq!(nobody.status, 401, "{method} {called}: {}", nobody.body);
            for ((role, includes), bearer) in ROLES.iter().zip(&bearers) {
                let answered = ask(door, &method, &called, &[("Authorization", bearer)], body);
                let may = includes.contains(&needed);
                // Of their own they may change something; a token has nothing of its own.
                let is_own = act == "Set-Administrator";
                if !may {
                    assert_eq!(answered.status, 403, "{method} {called} as {role}: {}", answered.body);
                } else if !is_own {
                    assert!(![401, 403].contains(&answered.status), "{method} {called} as {role}: {}", answered.body);
                }
                assert!(answered.status < 500, "{method} {called} as {role}: {}", answered.body);
                seen += 1;
            }
        }
    }
    assert!(seen > 300, "{seen} requests");
    // What stands in no document is nobody's.
    for (role, bearer) in ROLES.iter().zip(&bearers) {
        for (method, path) in [("PUT", "/status"), ("PATCH", "/tokens"), ("DELETE", "/revisions/1"), ("POST", "/acts")]
        {
            let status = ask(door, method, path, &[("Authorization", bearer)], None).status;
            assert_eq!(status, 405, "{method} {path} as {role:?}");
        }
    }
}

#[test]
fn odd_paths_and_methods_lead_nowhere_else() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let view = token(&site, &["View"]);
    let raw = |line: &str, fields: &str| {
        let request =
            format!("{line} HTTP/1.1\r\nHost: {door}\r\nAuthorization: {view}\r\n{fields}Connection: close\r\n\r\n");
        exchange(door, request.as_bytes())
    };
    for line in [
        "GET /api/v1/../v1/tokens",
        "GET /api/v1/%2e%2e/v1/tokens",
        "GET /api/v1/status/../tokens",
        "GET /api/v1//tokens",
        "GET //api/v1/tokens",
        "GET /API/V1/tokens",
        "GET /api/v1/tokens/",
        "GET /api/v1/tokens%00",
        "GET /api/v1/tokens;x=1",
        "GET /api/v1/%74okens",
        "GET http://127.0.0.1/api/v1/tokens",
        "GET http://evil.example/api/v1/tokens",
        "HEAD /api/v1/tokens",
        "POST /api/v1/commands/Get-ApiToken",
        "POST /api/v1/commands/get%2dapitoken",
        "POST /api/v1/commands/%2e%2e%2ftokens",
        "POST /api/v1/commands/Get-Queue%2f..%2fGet-ApiToken",
        "OPTIONS *",
        "OPTIONS /api/v1/tokens",
        "CONNECT 127.0.0.1:25",
        "TRACE /api/v1/tokens",
        "GET /../../etc/passwd",
        "GET /assets/../../etc/passwd",
        "GET /assets/%2e%2e%2f%2e%2e%2fetc/passwd",
    ] {
        let answer = raw(line, "");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        assert!(status.is_some_and(|status| (300..500).contains(&status)), "{line}: {answer}");
        assert!(!answer.contains("\"tokens\"") && !answer.contains("root:"), "{line}: {answer}");
    }
    for fields in [
        "X-HTTP-Method-Override: DELETE\r\n",
        "X-Original-URL: /api/v1/tokens\r\nX-Rewrite-URL: /api/v1/tokens\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-User: root\r\nX-Remote-User: root\r\n",
    ] {
        let answer = raw("GET /api/v1/session", fields);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("[\"View\"]"), "{fields}: {answer}");
    }
}

#[test]
fn json_of_any_depth_and_size_is_refused_and_nothing_falls_over() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["TransportAdmin", "SecurityOfficer"]);
    let post = |path: &str, body: &str| {
        let request = format!(
            "POST /api/v1{path} HTTP/1.1\r\nHost: {door}\r\nAuthorization: {bearer}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(door, request.as_bytes());
        answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).unwrap_or_default()
    };
    let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    for (path, body) in [
        ("/commands/Get-Queue", format!("{{\"parameters\": {{\"Filter\": {}}}}}", deep("[", "]", 100_000))),
        ("/commands/Get-Queue", format!("{{\"parameters\": {}}}", deep("{\"a\":", "}", 100_000))),
        ("/commands/Get-Queue", format!("{{\"parameters\": {{\"Filter\": \"{}\"}}}}", "(".repeat(1_000_000))),
        ("/commands/Get-Queue", format!("{{\"parameters\": {{\"Identity\": \"{}\"}}}}", "*?".repeat(500_000))),
        ("/commands/Set-ReceiveConnector", format!("{{\"parameters\": {{\"Identity\": {}}}}}", deep("[", "]", 120))),
        ("/commands/Get-Queue", format!("{{\"parameters\": {{\"{}\": 1}}}}", "x".repeat(1_000_000))),
        ("/queues", format!("{{\"which\": {{\"filter\": \"{}\"}}, \"action\": \"suspend\"}}", "(".repeat(60_000))),
        ("/tokens", format!("{{\"roles\": [{}\"View\"]}}", "\"View\",".repeat(8_000))),
        ("/tokens", "{\"roles\": [\"View\"], \"roles\": [\"View\"]}".to_owned()),
        ("/session", "{\"name\": \"\\u0000\", \"password\": \"\\ud800\"}".to_owned()),
        ("/setup", "null".to_owned()),
    ] {
        let status = post(path, &body);
        assert!((200..500).contains(&status), "{path} {:.80}: {status}", body);
    }
    assert_eq!(ask(door, "GET", "/status", &[("Authorization", &bearer)], None).status, 200);
}

#[test]
fn strangers_in_masses_fill_no_record_and_hold_nobody_up() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["View"]);
    // Over few connections, as whoever means it does.
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(door).expect("the door listens");
                stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
                for number in 0..250 {
                    let wrong = format!("gpt_{thread:04x}{number:060x}");
                    let request =
                        format!("GET /api/v1/status HTTP/1.1\r\nHost: {door}\r\nAuthorization: Bearer {wrong}\r\n\r\n");
                    stream.write_all(request.as_bytes()).expect("open");
                    let mut answer = [0; 4096];
                    let read = stream.read(&mut answer).expect("an answer");
                    assert!(
                        answer[..read].starts_with(b"HTTP/1.1 401"),
                        "{}",
                        String::from_utf8_lossy(&answer[..read])
                    );
                }
            });
        }
    });
    assert_eq!(ask(door, "GET", "/status", &[("Authorization", &bearer)], None).status, 200);
    let refused = site.installation.json(&["acts", "--outcome", "refused", "--limit", "10000"]);
    let count = refused.as_array().expect("a list").len();
    assert!((1..=90).contains(&count), "{count} of 2000 attempts are on record: 30 in each minute");
    // Who begins a body and never ends it, and who never ends a head, hold their own places alone.
    let mut held = Vec::new();
    for number in 0..16 {
        let mut stream = TcpStream::connect(door).expect("the door listens");
        let begun = match number % 2 {
            0 => format!(
                "POST /api/v1/session HTTP/1.1\r\nHost: {door}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
            ),
            _ => format!("GET /api/v1/status HTTP/1.1\r\nHost: {door}\r\nX-Slow: "),
        };
        stream.write_all(begun.as_bytes()).expect("open");
        held.push(stream);
    }
    assert_eq!(ask(door, "GET", "/status", &[("Authorization", &bearer)], None).status, 200);
    // And not for long: the server ends each of them by itself.
    for mut stream in held {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server closes");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[test]
fn nobody_chooses_the_secret_of_a_session() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let add = ["admin", "add", "carol", "--role", "View", "--password-stdin"];
    assert!(site.installation.run_with_input(&add, "correct horse battery\n").status.success());
    let chosen = "gps_0000000000000000000000000000000000000000000000000000000000000000";
    let fields = [
        ("Authorization", format!("Bearer {chosen}")),
        ("Cookie", format!("session={chosen}; __Host-session={chosen}; gatepost={chosen}")),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = json!({"name": "carol", "password": "correct horse battery"});
    let mut secrets = Vec::new();
    for _ in 0..3 {
        let begun = ask(door, "POST", "/session", &fields, Some(&body));
        assert_eq!(begun.status, 200, "{}", begun.body);
        secrets.push(begun.json()["secret"].as_str().expect("a secret").to_owned());
    }
    assert!(!secrets.contains(&chosen.to_owned()) && secrets[0] != secrets[1] && secrets[1] != secrets[2]);
    let with =
        |secret: &str| ask(door, "GET", "/session", &[("Authorization", &format!("Bearer {secret}"))], None).status;
    assert_eq!(with(chosen), 401);
    assert_eq!(with(&secrets[0]), 200);
    // Nor does a session's secret do as a token's, or the other way round.
    assert_eq!(with(&secrets[0].replacen("gps_", "gpt_", 1)), 401);
}

#[test]
fn no_secret_is_in_logs_records_revisions_or_answers() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let door = site.port("second");
    let bearer = token(&site, &["TransportAdmin", "SecurityOfficer"]);
    let fields = [("Authorization", bearer.as_str())];
    let call = |method: &str, path: &str, body: Value| ask(door, method, path, &fields, Some(&body));
    let (first, second, third, typo) =
        ("hunter2 hunter2", "swordfish swordfish", "open sesame open", "mellon mellon mellon");
    let made = call("POST", "/administrators", json!({"name": "carol", "password": first, "roles": ["View"]}));
    assert_eq!(made.status, 201, "{}", made.body);
    let parameters = json!({"Name": "dave", "Password": second, "Roles": "View"});
    let made = call("POST", "/commands/New-Administrator", json!({"parameters": parameters}));
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(call("PATCH", "/administrators/carol", json!({"password": third})).status, 200);
    // Names that are no parameters, and what cannot be read.
    let parameters = json!({"Name": "eve", "Pasword": typo, "Roles": "View"});
    assert_eq!(call("POST", "/commands/New-Administrator", json!({"parameters": parameters})).status, 400);
    assert_eq!(call("POST", "/administrators", json!({"name": "eve", "pasword": typo})).status, 400);
    assert_eq!(call("POST", "/session", json!({"name": "carol", "password": typo})).status, 401);
    let totp = call("PATCH", "/administrators/carol", json!({"totp": true}));
    let uri = totp.json()["totp_uri"].as_str().expect("shown once").to_owned();
    let code = uri.split_once("secret=").and_then(|(_, rest)| rest.split('&').next()).expect("a secret").to_owned();
    let made = call("POST", "/tokens", json!({"roles": ["View"]})).json();
    let by_api = made["secret"].as_str().expect("shown once").to_owned();
    let made = call("POST", "/commands/New-ApiToken", json!({"parameters": {"Roles": "View"}})).json();
    let by_command = made["output"][1].as_str().expect("shown once").to_owned();
    assert!(!made["output"][0].to_string().contains(&by_command), "{made}");
    let begun = ask(door, "POST", "/session", &[], Some(&json!({"name": "dave", "password": second}))).json();
    let session = begun["secret"].as_str().expect("a secret").to_owned();
    call("POST", "/commands/Set-ReceiveConnector", json!({"parameters": {"Identity": "Tests", "Comment": "x"}}));
    call("POST", "/reload", json!({}));

    let secrets =
        [first, second, third, typo, &code, &by_api, &by_command, &session, bearer.trim_start_matches("Bearer ")];
    let mut places = vec![("the log".to_owned(), site.server.log())];
    for path in ["/administrators", "/tokens", "/acts?limit=1000", "/revisions", "/revisions/1", "/status", "/session"]
    {
        let answered = ask(door, "GET", path, &fields, None);
        assert_eq!(answered.status, 200, "{path}: {}", answered.body);
        places.push((path.to_owned(), answered.body));
    }
    for command in ["Get-Administrator", "Get-ApiToken", "Search-AdminAuditLog", "Get-ConfigurationRevision"] {
        let answered = call("POST", &format!("/commands/{command}"), json!({}));
        assert_eq!(answered.status, 200, "{command}: {}", answered.body);
        places.push((command.to_owned(), answered.body));
    }
    files_below(&site.installation.data_dir(), &mut places);
    assert!(places.iter().any(|(place, _)| place.ends_with("credentials")), "the files were looked at");
    for (place, text) in &places {
        for secret in secrets {
            // The app's own secret has to be known to check codes.
            let is_at_home = place.ends_with("/credentials") && secret == code;
            assert!(is_at_home || !text.contains(secret), "{secret} is in {place}: {text}");
        }
        assert!(place.ends_with("/credentials") || !text.contains("$argon2id$v=19$m=19"), "a hash is in {place}");
    }
}

fn files_below(folder: &Path, places: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("ours") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            files_below(&entry.path(), places);
        } else if kind.is_file() {
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default()).into_owned();
            places.push((entry.path().display().to_string(), text));
        }
    }
}
