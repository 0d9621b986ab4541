//! The registry's commands over the real server's socket, by its own client and by curl.

use std::process::Command;

use gatepost_testkit::installation::Installation;
use gatepost_testkit::port;
use serde_json::{Value, json};

use crate::site::{CONTOSO, Site};

const RELAY: &str = r#"
[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.2:{smtp}"]
remote_ip_ranges = ["10.0.0.0/24", { range = "192.168.2.55", owner = "it@contoso.com" }]
permission_groups = ["AnonymousUsers"]
max_message_size = "50 MB"
"#;

/// What the server answers to a command, as any program would ask: status, then body.
fn post(installation: &Installation, command: &str, body: &Value) -> (u16, Value) {
    post_to(installation, &format!("commands/{command}"), body)
}

/// The same for any call.
fn post_to(installation: &Installation, path: &str, body: &Value) -> (u16, Value) {
    let socket = installation.data_dir().join("gatepost.sock");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--unix-socket"])
        .arg(socket)
        .args(["--header", "content-type: application/json", "--data", &body.to_string()])
        .arg(format!("http://localhost/api/v1/{path}"))
        .output()
        .expect("curl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).expect("JSON"))
}

#[test]
fn get_receive_connector_answers_records_of_the_settings_in_force() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let (status, answer) =
        post(&site.installation, "Get-ReceiveConnector", &json!({"parameters": {"identity": "relay"}}));
    assert_eq!(status, 200, "{answer}");
    let [relay] = answer["output"].as_array().expect("records").as_slice() else { panic!("{answer}") };
    for (name, expected) in [
        ("@type", json!("ReceiveConnector")),
        ("Name", json!("Relay")),
        ("RemoteIPRanges", json!(["10.0.0.0/24", "192.168.2.55"])),
        ("PermissionGroups", json!(["AnonymousUsers"])),
        ("AuthMechanism", json!(["Tls"])),
        ("MaxMessageSize", json!(52_428_800)),
        ("ConnectionTimeout", json!("00:10:00")),
        ("MessageRateLimit", json!("unlimited")),
        ("Enabled", json!(true)),
    ] {
        assert_eq!(relay[name], expected, "{name}");
    }
    let (status, answer) =
        post(&site.installation, "Get-ReceiveConnector", &json!({"parameters": {"Identity": "Relais"}}));
    assert_eq!(status, 404);
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("did you mean 'Relay'?")), "{answer}");
    let (status, answer) = post(&site.installation, "Get-RecieveConnector", &json!({}));
    assert_eq!(status, 404);
    assert!(
        answer["error"].as_str().is_some_and(|error| error.contains("did you mean Get-ReceiveConnector?")),
        "{answer}"
    );
}

/// What a command answers that is not refused.
#[track_caller]
fn run(installation: &Installation, command: &str, parameters: Value) -> Value {
    let (status, answer) = post(installation, command, &json!({"parameters": parameters}));
    assert_eq!(status, 200, "{command} {parameters}: {answer}");
    answer
}

/// The error of a command that is refused, with the status.
#[track_caller]
fn refused(installation: &Installation, command: &str, parameters: Value) -> (u16, String) {
    let (status, answer) = post(installation, command, &json!({"parameters": parameters}));
    let error = answer["error"].as_str().unwrap_or_else(|| panic!("{command} {parameters}: {answer}"));
    (status, error.to_owned())
}

fn relay(installation: &Installation) -> Value {
    run(installation, "Get-ReceiveConnector", json!({"Identity": "Relay"}))["output"][0].clone()
}

#[test]
fn a_connector_is_made_changed_and_removed_and_the_document_keeps_its_comments() {
    let site = Site::start(&[CONTOSO, "# The gate of the scanners.\n", RELAY]);
    let installation = &site.installation;
    let made = run(
        installation,
        "New-ReceiveConnector",
        json!({"Name": "CRM Application", "Usage": "Custom", "Bindings": format!("127.0.0.3:{}", port::free()), "RemoteIPRanges": ["192.168.2.57"], "MaxMessageSize": "20MB"}),
    );
    assert_eq!(made["output"][0]["Identity"], "MAIL\\CRM Application");
    assert_eq!(made["output"][0]["PermissionGroups"], json!(["None"]));
    assert!(made["revision"].is_u64(), "{made}");

    run(
        installation,
        "Set-ReceiveConnector",
        json!({"Identity": "MAIL\\relay", "RemoteIPRanges": {"Add": ["10.0.1.0/24"], "Remove": "10.0.0.0(255.255.255.0)"}, "Banner": "220 hello", "Comment": null, "Name": "Relay 2"}),
    );
    let changed = run(installation, "Get-ReceiveConnector", json!({"Identity": "Relay 2"}))["output"][0].clone();
    assert_eq!(changed["RemoteIPRanges"], json!(["192.168.2.55", "10.0.1.0/24"]));
    assert_eq!(changed["Banner"], "220 hello");
    let document = installation.settings();
    for kept in [
        "# The gate of the scanners.",
        "{ range = \"192.168.2.55\", owner = \"it@contoso.com\" }",
        "max_message_size = \"50 MB\"",
    ] {
        assert!(document.contains(kept), "{kept} in {document}");
    }

    run(installation, "Remove-ReceiveConnector", json!({"Identity": "CRM Application"}));
    let (status, error) = refused(installation, "Get-ReceiveConnector", json!({"Identity": "CRM Application"}));
    assert_eq!((status, error.contains("couldn't be found")), (404, true), "{error}");
    let document = installation.settings();
    assert!(!document.contains("CRM Application"), "{document}");
}

#[test]
fn what_may_not_be_is_refused_by_the_names_of_parameters_and_nothing_changes() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let installation = &site.installation;
    let before = installation.settings();
    for (command, parameters, status, said) in [
        (
            "Set-ReceiveConnector",
            json!({"Identity": "Relay", "AuthMechanism": "ExternalAuthoritative"}),
            422,
            "needs the permission group ExchangeServers",
        ),
        (
            "Set-ReceiveConnector",
            json!({"Identity": "Relay", "PermissionGroups": "ExchangeServers", "AuthMechanism": "ExternalAuthoritative, BasicAuth"}),
            422,
            "only Tls may accompany ExternalAuthoritative",
        ),
        (
            "New-ReceiveConnector",
            json!({"Name": "X", "Bindings": "127.0.0.2:{smtp}", "RemoteIPRanges": "10.0.0.0/24"}),
            422,
            "The values that you specified for the Bindings and RemoteIPRanges parameters conflict with the settings on receive connector \"Relay\"",
        ),
        (
            "New-ReceiveConnector",
            json!({"Name": "X", "Bindings": "127.0.0.2:{smtp}", "RemoteIPRanges": "10.0.0.200-10.0.1.7"}),
            422,
            "partly overlaps",
        ),
        (
            "New-ReceiveConnector",
            json!({"Name": "relay", "Bindings": "127.0.0.2:{smtp}", "RemoteIPRanges": "10.9.0.1"}),
            409,
            "already exists",
        ),
        ("New-ReceiveConnector", json!({"Name": "X", "RemoteIPRanges": "10.9.0.1"}), 422, "has no Bindings"),
        (
            "New-ReceiveConnector",
            json!({"Name": "X", "Usage": "Client", "Bindings": "127.0.0.2:26", "RemoteIPRanges": "10.9.0.1"}),
            400,
            "Bindings can't be given with the usage Client",
        ),
        ("New-ReceiveConnector", json!({"Name": "X", "Client": true, "Internet": true}), 400, "one usage"),
        (
            "Set-ReceiveConnector",
            json!({"Identity": "Relay", "PermissionGroups": ["AnonymousUsers", "Custom"]}),
            400,
            "Custom can't be set",
        ),
        ("Set-ReceiveConnector", json!({"Identity": "Relay", "RemoteIPRanges": []}), 422, "RemoteIPRanges is empty"),
        (
            "Set-ReceiveConnector",
            json!({"Identity": "Relay", "RemoteIPRanges": {"Add": "10.0.0.9/24"}}),
            400,
            "already present in the collection",
        ),
        (
            "Set-ReceiveConnector",
            json!({"Identity": "Relay", "RemoteIPRanges": {"Remove": "10.0.0.9"}}),
            400,
            "isn't present in the collection",
        ),
        (
            "Set-ReceiveConnector",
            json!({"Identity": "Relay", "MaxMessageSize": "much"}),
            422,
            "MaxMessageSize: `much` is no size",
        ),
        (
            "Set-ReceiveConnector",
            json!({"Identity": "Relay", "EnableAuthGSSAPI": true}),
            422,
            "EnableAuthGSSAPI needs Kerberos",
        ),
        ("Set-ReceiveConnector", json!({"Identity": "MX2\\Relay", "Enabled": false}), 404, "this is MAIL"),
        ("Set-ReceiveConnector", json!({"Identity": "", "Enabled": false}), 400, "the identity is empty"),
        (
            "Add-ADPermission",
            json!({"Identity": "Relay", "User": "nobody", "ExtendedRights": "ms-Exch-SMTP-Submit"}),
            404,
            "wasn't found",
        ),
        (
            "Add-ADPermission",
            json!({"Identity": "Relay", "User": "alice", "ExtendedRights": "ms-Exch-SMTP-Accept-Any-Recipients"}),
            400,
            "did you mean ms-Exch-SMTP-Accept-Any-Recipient?",
        ),
        (
            "Add-ADPermission",
            json!({"Identity": "Relay", "User": "alice", "AccessRights": "GenericAll"}),
            400,
            "directory objects",
        ),
    ] {
        let parameters: Value =
            serde_json::from_str(&parameters.to_string().replace("{smtp}", &site.smtp().port().to_string()))
                .expect("JSON");
        let (found, error) = refused(installation, command, parameters.clone());
        assert!(error.contains(said), "{command} {parameters}: {error}");
        assert_eq!(found, status, "{command} {parameters}: {error}");
    }
    assert_eq!(installation.settings(), before);
}

#[test]
fn rights_are_given_read_back_and_taken_also_from_groups() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let installation = &site.installation;
    let any_recipient = "ms-Exch-SMTP-Accept-Any-Recipient";
    let anonymous = "NT AUTHORITY\\ANONYMOUS LOGON";
    let entry = json!({"Identity": "Relay", "User": "anonymous logon", "ExtendedRights": any_recipient});
    let added = run(installation, "Add-ADPermission", entry.clone());
    assert_eq!(added["output"][0]["User"], anonymous);
    assert_eq!(relay(installation)["PermissionGroups"], json!(["AnonymousUsers", "Custom"]));
    let again = run(installation, "Add-ADPermission", entry.clone());
    assert!(again["warnings"][0].as_str().is_some_and(|text| text.contains("already present")), "{again}");
    assert!(again["revision"].is_null(), "{again}");

    let rows = run(installation, "Get-ADPermission", json!({"Identity": "Relay", "AsText": true}));
    let lines: Vec<&str> = rows["output"].as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    assert_eq!(
        lines,
        [
            "NT AUTHORITY\\ANONYMOUS LOGON {ms-Exch-SMTP-Submit}",
            "NT AUTHORITY\\ANONYMOUS LOGON {ms-Exch-SMTP-Accept-Any-Sender}",
            "NT AUTHORITY\\ANONYMOUS LOGON {ms-Exch-SMTP-Accept-Authoritative-Domain-Sender}",
            "NT AUTHORITY\\ANONYMOUS LOGON {ms-Exch-Accept-Headers-Routing}",
            "NT AUTHORITY\\ANONYMOUS LOGON {ms-Exch-SMTP-Accept-Any-Recipient}",
        ]
    );

    run(installation, "Remove-ADPermission", entry.clone());
    assert_eq!(relay(installation)["PermissionGroups"], json!(["AnonymousUsers"]));
    let again = run(installation, "Remove-ADPermission", entry);
    assert!(again["warnings"][0].as_str().is_some_and(|text| text.contains("there is none")), "{again}");

    // What a group gave can be taken, too; what is left of it is written out.
    run(
        installation,
        "Remove-ADPermission",
        json!({"Identity": "Relay", "User": anonymous, "ExtendedRights": "ms-Exch-SMTP-Accept-Authoritative-Domain-Sender"}),
    );
    assert_eq!(relay(installation)["PermissionGroups"], json!(["Custom"]));
    let rows = run(installation, "Get-ADPermission", json!({"Identity": "Relay", "User": anonymous}));
    assert_eq!(rows["output"].as_array().map(Vec::len), Some(3), "{rows}");

    run(
        installation,
        "Add-ADPermission",
        json!({"Identity": "Relay", "User": "CONTOSO\\alice", "ExtendedRights": any_recipient, "Recipients": "*@partner.example", "Expires": "2037-01-31T00:00:00Z", "Ticket": "CHG-1"}),
    );
    let rows = run(installation, "Get-ADPermission", json!({"Identity": "Relay", "User": "alice"}));
    assert_eq!(rows["output"][0]["Recipients"], json!(["*@partner.example"]), "{rows}");
    assert_eq!(rows["output"][0]["Expires"], "2037-01-31T00:00:00Z");
}

#[test]
fn unticking_a_group_takes_what_an_entry_gave_to_the_same_account_and_leaves_conditions() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let installation = &site.installation;
    let anonymous = |rights: &str, more: Value| {
        let mut parameters = json!({"Identity": "Relay", "User": "ANONYMOUS LOGON", "ExtendedRights": rights});
        parameters.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        run(installation, "Add-ADPermission", parameters);
    };
    anonymous("ms-Exch-SMTP-Accept-Any-Recipient", json!({"Senders": "scan@contoso.com"}));
    run(installation, "Set-ReceiveConnector", json!({"Identity": "Relay", "PermissionGroups": "None"}));
    anonymous("ms-Exch-SMTP-Submit, ms-Exch-Bypass-Anti-Spam", json!({}));
    let rights = || {
        let rows = run(installation, "Get-ADPermission", json!({"Identity": "Relay", "AsText": true}));
        rows["output"]
            .as_array()
            .expect("lines")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rights().len(), 3, "{:?}", rights());
    // The group comes and goes, and takes with it what cannot be told from its own.
    run(installation, "Set-ReceiveConnector", json!({"Identity": "Relay", "PermissionGroups": "AnonymousUsers"}));
    run(installation, "Set-ReceiveConnector", json!({"Identity": "Relay", "PermissionGroups": []}));
    assert_eq!(
        rights(),
        [
            "NT AUTHORITY\\ANONYMOUS LOGON {ms-Exch-SMTP-Accept-Any-Recipient}",
            "NT AUTHORITY\\ANONYMOUS LOGON {ms-Exch-Bypass-Anti-Spam}",
        ]
    );
}

#[test]
fn a_right_of_the_group_that_external_authoritative_needs_is_denied_instead() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let installation = &site.installation;
    let secured = json!({
        "Identity": "Relay", "PermissionGroups": "ExchangeServers", "AuthMechanism": "ExternalAuthoritative",
        "AcceptRisk": "a test",
    });
    run(installation, "Set-ReceiveConnector", secured);
    let right = json!({
        "Identity": "Relay", "User": "Externally Secured Servers", "ExtendedRights": "ms-Exch-SMTP-Accept-Any-Recipient",
    });
    let removed = run(installation, "Remove-ADPermission", right.clone());
    assert!(removed["warnings"].to_string().contains("an entry that denies"), "{removed}");
    let question = json!({"RemoteIPAddress": "10.0.0.7", "Sender": "scan@contoso.com", "Recipient": "z@gmail.com"});
    let test = run(installation, "Test-Relay", question);
    assert_eq!(test["output"][0]["MissingRight"], "ms-Exch-SMTP-Accept-Any-Recipient", "{test}");
    let again = run(installation, "Remove-ADPermission", right);
    assert!(again["revision"].is_null(), "{again}");
}

#[test]
fn what_if_says_who_would_gain_what_and_changes_nothing() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let installation = &site.installation;
    let before = installation.settings();
    let body = json!({
        "parameters": {"Identity": "Relay", "User": "anonymous logon", "ExtendedRights": "ms-Exch-SMTP-Accept-Any-Recipient"},
        "what_if": true,
    });
    let (status, answer) = post(installation, "Add-ADPermission", &body);
    assert_eq!(status, 200, "{answer}");
    let text = answer["what_if"].as_str().expect("a sentence");
    assert!(text.starts_with("What if: Adding \"ms-Exch-SMTP-Accept-Any-Recipient\" for \"NT AUTHORITY\\ANONYMOUS LOGON\" on \"MAIL\\Relay\"."), "{text}");
    assert!(text.contains("would gain ms-Exch-SMTP-Accept-Any-Recipient") && text.contains("10.0.0.0/24"), "{text}");
    for (command, parameters) in [
        ("Remove-ReceiveConnector", json!({"Identity": "Relay"})),
        ("Set-ReceiveConnector", json!({"Identity": "Relay", "Enabled": false})),
    ] {
        let (status, answer) = post(installation, command, &json!({"parameters": parameters, "what_if": true}));
        assert_eq!(status, 200, "{answer}");
        let text = answer["what_if"].as_str().expect("a sentence");
        assert!(text.contains("would lose"), "{text}");
    }
    assert_eq!(installation.settings(), before);
}

#[test]
fn test_relay_tells_what_a_session_would_be_told_and_what_would_change_it() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let question = json!({"RemoteIPAddress": "10.0.0.7", "Sender": "scan@contoso.com", "Recipient": "z@gmail.com"});
    let answer = run(&site.installation, "Test-Relay", question);
    let test = &answer["output"][0];
    for (name, expected) in [
        ("Accepted", json!(false)),
        ("Connector", json!("Relay")),
        ("RefusedAt", json!("RCPT")),
        ("MissingRight", json!("ms-Exch-SMTP-Accept-Any-Recipient")),
        ("Principal", json!("NT AUTHORITY\\ANONYMOUS LOGON")),
    ] {
        assert_eq!(test[name], expected, "{name} of {test}");
    }
    assert!(test["Reply"].as_str().is_some_and(|reply| reply.starts_with("550 5.7.1 Unable to relay")), "{test}");
    let surface = run(&site.installation, "Test-RelaySurface", json!({"RelayOnly": true}));
    assert_eq!(surface["output"], json!([]));
    let (status, error) = refused(
        &site.installation,
        "Test-Relay",
        json!({"RemoteIPAddress": "10.0.0", "Sender": "<>", "Recipient": "z@gmail.com"}),
    );
    assert_eq!((status, error.contains("no IP address")), (400, true), "{error}");
}

#[test]
fn changes_of_a_transaction_are_one_revision_or_none_and_any_revision_comes_back() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let installation = &site.installation;
    let revisions = || {
        let answer = run(installation, "Get-ConfigurationRevision", json!({}));
        answer["output"].as_array().expect("records").clone()
    };
    let begun = revisions();
    let in_transaction = |id: &str, command: &str, parameters: Value| {
        post(installation, command, &json!({"parameters": parameters, "transaction": id}))
    };
    let id = run(installation, "Start-Transaction", json!({"Reason": "CHG-1187"}))["output"][0]["Transaction"].clone();
    let id = id.as_str().expect("an id").to_owned();
    let binding = format!("127.0.0.3:{}", port::free());
    for name in ["A", "B"] {
        let range = if name == "A" { "10.5.0.1" } else { "10.5.0.2" };
        let parameters = json!({"Name": name, "Bindings": binding, "RemoteIPRanges": range});
        let (status, answer) = in_transaction(&id, "New-ReceiveConnector", parameters);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["output"][0]["Name"], *name);
    }
    let (status, _) = in_transaction(&id, "Get-ReceiveConnector", json!({"Identity": "A"}));
    assert_eq!(status, 200, "seen from within");
    let (status, _) = refused(installation, "Get-ReceiveConnector", json!({"Identity": "A"}));
    assert_eq!(status, 404, "not in force yet");
    let (status, completed) = in_transaction(&id, "Complete-Transaction", json!({}));
    assert_eq!(status, 200, "{completed}");
    let after = revisions();
    assert_eq!(after.len(), begun.len() + 1);
    assert_eq!((&after[0]["Why"], &after[0]["InForce"]), (&json!("CHG-1187"), &json!(true)));

    let compared = run(installation, "Compare-Configuration", json!({"ReferenceRevision": begun[0]["Revision"]}));
    assert!(
        compared["output"][0]["Difference"].as_str().is_some_and(|text| text.contains("+name = \"A\"")),
        "{compared}"
    );
    run(installation, "Restore-ConfigurationRevision", json!({"Revision": begun[0]["Revision"]}));
    let (status, _) = refused(installation, "Get-ReceiveConnector", json!({"Identity": "A"}));
    assert_eq!(status, 404, "restored");

    let id = run(installation, "Start-Transaction", json!({}))["output"][0]["Transaction"].clone();
    let id = id.as_str().expect("an id").to_owned();
    in_transaction(&id, "Remove-ReceiveConnector", json!({"Identity": "Relay"}));
    in_transaction(&id, "Undo-Transaction", json!({}));
    let acts = run(installation, "Search-AdminAuditLog", json!({"ResultSize": 2}))["output"].clone();
    assert_eq!(
        (&acts[0]["CmdletName"], &acts[0]["ObjectModified"]),
        (&json!("Undo-Transaction"), &json!(id)),
        "{acts}"
    );
    assert_eq!((&acts[1]["CmdletName"], &acts[1]["Outcome"]), (&json!("Remove-ReceiveConnector"), &json!("Prepared")));
    assert_eq!(relay(installation)["Name"], "Relay");
    let (status, answer) = in_transaction(&id, "Get-ReceiveConnector", json!({}));
    assert_eq!(status, 404, "{answer}");
}

#[test]
fn several_commands_of_one_request_are_one_revision_or_none_and_a_look_leaves_no_trace() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let installation = &site.installation;
    let acts = || {
        let found = run(installation, "Search-AdminAuditLog", json!({}));
        let act = |act: &Value| {
            let of = |name: &str| act[name].as_str().unwrap_or_default().to_owned();
            (of("CmdletName"), of("Outcome"), act["Revision"].as_u64())
        };
        found["output"].as_array().expect("records").iter().map(act).collect::<Vec<_>>()
    };
    let made = json!({"command": "New-ReceiveConnector", "parameters": {
        "Name": "Scanner", "Custom": true, "Bindings": format!("127.0.0.3:{}", port::free()), "RemoteIPRanges": "10.5.0.1",
        "PermissionGroups": "AnonymousUsers"
    }});
    let given = json!({"command": "add-adpermission", "parameters": {
        "Identity": "Scanner", "User": "NT AUTHORITY\\ANONYMOUS LOGON", "ExtendedRights": "ms-Exch-SMTP-Accept-Any-Recipient"
    }});
    let together = |what_if: bool, commands: &[&Value]| {
        let body = json!({"commands": commands, "what_if": what_if, "reason": "CHG-1188"});
        post_to(installation, "transactions", &body)
    };
    let (begun, revision) =
        (acts(), run(installation, "Get-ConfigurationRevision", json!({}))["output"][0]["Revision"].clone());

    // More looks than transactions may be open.
    for _ in 0..20 {
        let (status, looked) = together(true, &[&made, &given]);
        assert_eq!((status, &looked["revision"]), (200, &Value::Null), "{looked}");
        let gained = &looked["exposure"][0]["gained"];
        assert!(gained.to_string().contains("ms-Exch-SMTP-Accept-Any-Recipient"), "{looked}");
        assert!(looked["what_if"].as_str().is_some_and(|text| text.contains("2 commands")), "{looked}");
    }
    let misspelt = json!({"command": "Add-ADPermision", "parameters": {}});
    let absent = json!({"command": "Remove-ReceiveConnector", "parameters": {"Identity": "Nobody"}});
    let reading = json!({"command": "Get-ReceiveConnector"});
    let acting = json!({"command": "Retry-Queue", "parameters": {"Identity": "*"}});
    let open = json!({"command": "Start-Transaction"});
    for (commands, expected, part) in [
        (vec![&made, &absent], 404, "command 2 of 2, Remove-ReceiveConnector"),
        (vec![&given, &made], 404, "command 1 of 2"),
        (vec![&made, &made], 409, "command 2 of 2"),
        (vec![&misspelt], 404, "did you mean Add-ADPermission?"),
        (vec![&made, &reading], 400, "changes no settings"),
        (vec![&acting], 404, "there is no queue"),
        (vec![&open], 400, "changes no settings"),
        (vec![], 400, "from 1 to"),
    ] {
        let (status, refused) = together(true, &commands);
        assert_eq!(status, expected, "{refused}");
        assert!(refused["error"].as_str().is_some_and(|error| error.contains(part)), "{part}: {refused}");
    }
    assert_eq!(acts(), begun, "looking is no act");

    let (status, refused) = together(false, &[&made, &absent]);
    assert_eq!(status, 404, "{refused}");
    assert_eq!(run(installation, "Get-ReceiveConnector", json!({}))["output"].as_array().map(Vec::len), Some(1));
    let (status, done) = together(false, &[&made, &given]);
    assert_eq!(status, 200, "{done}");
    let number = done["revision"].as_u64();
    assert_eq!(number, revision.as_u64().map(|before| before + 1), "one revision");
    let act = |name: &str, outcome: &str, revision| (name.to_owned(), outcome.to_owned(), revision);
    let expected = [
        act("Complete-Transaction", "Done", number),
        act("Add-ADPermission", "Done", number),
        act("New-ReceiveConnector", "Done", number),
        act("Remove-ReceiveConnector", "Failed", None),
    ];
    let acts = acts();
    assert_eq!(&acts[..acts.len() - begun.len()], &expected);
    let newest = run(installation, "Get-ConfigurationRevision", json!({}))["output"][0].clone();
    assert_eq!(newest["Why"], "CHG-1188");
}
