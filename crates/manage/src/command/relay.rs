//! What would happen and who could do it: Test-Relay plays one dialogue against the deciding functions, Test-RelaySurface tells
//! for every address what it may do at worst. Both say what `gatepost explain` and `gatepost audit` say.

use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_policy::audit::{Audit, Exposure, Finding, Who};
use gatepost_policy::explain;
use gatepost_policy::note::instant;
use gatepost_policy::permission::{Right, Rights};
use gatepost_policy::relay::Reach;
use gatepost_policy::role::Role;
use gatepost_policy::sender::Scope;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::parameter::{DOMAIN_CONTROLLER, also, at, named, needed};
use super::{Answer, CommandError, Entry, Invocation};
use crate::asked::{Asked, ExplanationQuery, Unread};
use crate::clock::now_ms;
use crate::document::Document;
use crate::explanation;
use crate::exposure_text::{WOULD, all_terms, sentences};
use crate::host;
use crate::kept_audit::KeptAudit;
use crate::object::PropertyKind::{Bool, Choice, Int, List, Size, Text, Time};
use crate::object::{Property, Record, Shape, Usual, property};
use crate::resource::{ExposureChange, LimitedRights};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &TEST,
        role: Role::View,
        output: Some(&RELAY_TEST),
        run: |invocation| Box::pin(test_relay(invocation)),
    },
    Entry {
        signature: &SURFACE,
        role: Role::View,
        output: Some(&RELAY_SURFACE),
        run: |invocation| Box::pin(test_surface(invocation)),
    },
    Entry {
        signature: &FINDINGS,
        role: Role::View,
        output: Some(&FINDING),
        run: |invocation| Box::pin(get_findings(invocation)),
    },
];

static RELAY_TEST_VIEW: View = View { type_name: "Gatepost.RelayTest", table: &[], identity: "Connector" };

/// What would become of one message.
static RELAY_TEST: Shape = Shape {
    name: "RelayTest",
    view: &RELAY_TEST_VIEW,
    properties: &[
        property("Accepted", "accepted", Bool, Usual::Bool(false)),
        property("Connector", "connector", Text, Usual::Null),
        property("LocalBinding", "local_binding", Text, Usual::Null),
        property("Principal", "principal", Text, Usual::Null),
        property("Rights", "rights", List(&Text), Usual::Texts(&[])),
        property("RefusedAt", "refused_at", Text, Usual::Null),
        property("Reply", "reply", Text, Usual::Null),
        property("Reason", "reason", Text, Usual::Null),
        property("MissingRight", "missing_right", Text, Usual::Null),
        property("SmallestChange", "smallest_change", Text, Usual::Null),
        property("WouldOpen", "would_open", List(&Text), Usual::Texts(&[])),
        property("OtherChanges", "other_changes", List(&Text), Usual::Texts(&[])),
        property("Dialogue", "dialogue", List(&Text), Usual::Texts(&[])),
    ],
};

static TEST: Signature = Signature {
    name: "Test-Relay",
    aliases: &[],
    synopsis: "Tells what would become of a message, why, and the smallest change that would let it pass. Sends nothing.",
    parameters: &[
        needed(also(
            &["RemoteAddress", "Peer"],
            at(0, named("RemoteIPAddress", Kind::Text, "Where the peer connects from.")),
        )),
        needed(at(1, named("Sender", Kind::Text, "The envelope's sender; <> for none."))),
        needed(at(2, Parameter { pipeline: FromPipeline::Object, ..named("Recipient", Kind::Text, "The recipient.") })),
        also(
            &["Local"],
            named(
                "LocalBinding",
                Kind::Text,
                "Where it connects to: address:port; port 25 of the first connector without it.",
            ),
        ),
        named("User", Kind::Text, "The user that it logs on as, with the right password."),
        named("Tls", Kind::Switch, "It starts TLS."),
        named("Certificate", Kind::Text, "The trusted server or the domain that its certificate is for."),
        named("Size", Kind::Size, "The size of the message: 5MB."),
        named("HeaderFrom", Kind::Text, "The From field of the header, where that is asked about."),
        named("HeaderSender", Kind::Text, "The Sender field of the header."),
        named("At", Kind::Time, "When; now without it."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        (
            "Test-Relay 192.168.2.55 scan@contoso.com z@example.com",
            "Would the scanner's mail pass, and if not, what is missing?",
        ),
        (
            "Get-Content addresses.txt | ForEach-Object { Test-Relay -RemoteIPAddress $_ -Sender a@contoso.com -Recipient z@example.com } | Where-Object Accepted",
            "Which of many addresses may relay?",
        ),
    ],
};

async fn test_relay(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let (settings, arguments) = (invocation.settings.clone(), &invocation.arguments);
    let text = |name: &str| arguments.text(name).map(str::to_owned);
    let query = ExplanationQuery {
        peer: text("RemoteIPAddress").unwrap_or_default(),
        local: text("LocalBinding"),
        sender: text("Sender").unwrap_or_default(),
        recipient: text("Recipient").unwrap_or_default(),
        user: text("User"),
        tls: Some(arguments.is_set("Tls")),
        certificate: text("Certificate"),
        size: match arguments.get("Size") {
            Some(Json::String(size)) => Some(size.clone()),
            Some(Json::Number(bytes)) => Some(bytes.to_string()),
            _ => None,
        },
        header_from: text("HeaderFrom"),
        header_sender: text("HeaderSender"),
        at: text("At"),
    };
    let document = invocation.document().await;
    let tested = explanation::in_turn(move || tested(&settings, &document.text, &query)).await;
    let failed = |_| CommandError::Failed("the test failed unexpectedly; the log has the cause".to_owned());
    Ok(Answer::of(vec![tested.map_err(failed)??]))
}

fn tested(settings: &Settings, text: &str, query: &ExplanationQuery) -> Result<Record, CommandError> {
    let asked = Asked::parse(settings, query, now_ms())
        .map_err(|Unread { field, error }| CommandError::Wrong(format!("{}: {error}", parameter_of(field))))?;
    let question = asked.question();
    let explained = explain::explain(settings, &question);
    let dialogue = &explained.dialogue;
    let last = dialogue.steps.last();
    let holder = dialogue.holders.last();
    let lines = dialogue.steps.iter().map(|step| {
        let reply = explanation::reply(&explained, step).unwrap_or_else(|| match step.outcome {
            Ok(()) => "220 (the greeting)".to_owned(),
            Err(_) => "(closed without a word)".to_owned(),
        });
        format!("{}: {reply}", explanation::command(step.command))
    });
    let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
    let mut changes = explained.fixes.iter().map(|fix| (explanation::advice(&question, line, &fix.change), fix));
    let smallest = changes.next();
    let opens = smallest.iter().flat_map(|(_, fix)| &fix.opens).map(ExposureChange::from);
    let opens: Vec<String> = opens.flat_map(|change| sentences(&change, WOULD)).collect();
    let is_accepted = explained.is_accepted();
    let names = |rights: Rights| rights.iter().map(Right::exchange_name).collect::<Vec<_>>();
    Ok(Record::of(&RELAY_TEST)
        .with("Accepted", is_accepted)
        .with("Connector", dialogue.connector.as_ref().map(|connector| connector.name.to_string()))
        .with("LocalBinding", question.local.to_string())
        .with("Principal", holder.map(|holder| holder.principal.to_string()))
        .with("Rights", holder.map(|holder| names(holder.rights)).unwrap_or_default())
        .with("RefusedAt", last.filter(|_| !is_accepted).map(|step| explanation::command(step.command)))
        .with("Reply", last.and_then(|step| explanation::reply(&explained, step)))
        .with("Reason", explanation::reason(&explained))
        .with("MissingRight", explained.missing.map(Right::exchange_name))
        .with("SmallestChange", smallest.as_ref().map(|(advice, _)| advice.clone()))
        .with("WouldOpen", opens)
        .with("OtherChanges", changes.map(|(advice, _)| advice).collect::<Vec<_>>())
        .with("Dialogue", lines.collect::<Vec<_>>()))
}

/// The parameter that a text of the question came by.
fn parameter_of(field: &str) -> &str {
    match field {
        "peer" => "RemoteIPAddress",
        "local" => "LocalBinding",
        "sender" => "Sender",
        "recipient" => "Recipient",
        "certificate" => "Certificate",
        "size" => "Size",
        "at" => "At",
        other => other,
    }
}

static RELAY_SURFACE_VIEW: View = View {
    type_name: "Gatepost.RelaySurface",
    table: &["Who", "RemoteIPRanges", "Listeners", "Recipients", "Connectors"],
    identity: "Who",
};

/// Some addresses, and what they may do at worst.
static RELAY_SURFACE: Shape = Shape { name: "RelaySurface", view: &RELAY_SURFACE_VIEW, properties: SURFACE_PROPERTIES };

const SURFACE_PROPERTIES: &[Property] = &[
    property("Who", "who", Text, Usual::Null),
    property("RemoteIPRanges", "remote_ip_ranges", List(&Text), Usual::Texts(&[])),
    property("Listeners", "listeners", List(&Text), Usual::Texts(&[])),
    property("Public", "public", Bool, Usual::Bool(false)),
    property("Recipients", "recipients", Choice(&["AnyRecipient", "AcceptedDomains", "Nobody"]), Usual::Null),
    property("Senders", "senders", Choice(&["AnyAddress", "OutsideOurDomains", "OwnAddresses", "Nobody"]), Usual::Null),
    property("Internal", "internal", Bool, Usual::Bool(false)),
    property("BypassesAntiSpam", "bypasses_anti_spam", Bool, Usual::Bool(false)),
    property("MaxMessageSize", "max_message_size", Size, Usual::Null),
    property("TlsRequired", "tls_required", Bool, Usual::Bool(false)),
    property("Rights", "rights", List(&Text), Usual::Texts(&[])),
    property("ConditionalRights", "conditional_rights", List(&Text), Usual::Texts(&[])),
    property("Terms", "terms", List(&Text), Usual::Texts(&[])),
    property("Connectors", "connectors", List(&Text), Usual::Texts(&[])),
    property("Begins", "begins", Time, Usual::Null),
    property("Ends", "ends", Time, Usual::Null),
];

static SURFACE: Signature = Signature {
    name: "Test-RelaySurface",
    aliases: &[],
    synopsis: "Tells for every address of IPv4 and IPv6 what it may do at worst, now and at every later end of an entry.",
    parameters: &[
        named("RelayOnly", Kind::Switch, "Only those who may send to any recipient."),
        named("PublicOnly", Kind::Switch, "Only those among whom are addresses of the Internet."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Test-RelaySurface -RelayOnly", "Lists all who may relay."),
        (
            "Test-RelaySurface -RelayOnly -PublicOnly | Measure-Object",
            "Counts what strangers may do: it should be nothing.",
        ),
    ],
};

/// The audit that is kept of what is in force, or one of what a transaction would put in force.
enum Audited {
    Kept(Arc<KeptAudit>),
    Own(Box<Audit>),
}

impl Audited {
    fn audit(&self) -> &Audit {
        match self {
            Audited::Kept(kept) => &kept.audit,
            Audited::Own(audit) => audit,
        }
    }
}

async fn audited(invocation: &Invocation<'_>) -> Result<Audited, CommandError> {
    let (document, settings) = (invocation.document().await, invocation.settings.clone());
    let audits = invocation.amender.reloader().audits().clone();
    let audit = move || match is_in_force(&document, &settings) {
        true => Audited::Kept(audits.of(&document)),
        false => Audited::Own(Box::new(Audit::of(&settings, &document.text, &host::addresses(), now_ms()))),
    };
    let failed = |_| CommandError::Failed("the audit failed unexpectedly; the log has the cause".to_owned());
    tokio::task::spawn_blocking(audit).await.map_err(failed)
}

fn is_in_force(document: &Document, settings: &Arc<Settings>) -> bool {
    Arc::ptr_eq(&document.settings, settings)
}

async fn test_surface(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let audited = audited(invocation).await?;
    let audit = audited.audit();
    let (relay_only, public_only) =
        (invocation.arguments.is_set("RelayOnly"), invocation.arguments.is_set("PublicOnly"));
    let relays = |exposure: &&Exposure| {
        let capability = exposure.standing.capability.as_ref();
        !relay_only || capability.is_some_and(|capability| capability.reach == Reach::AnyRecipient)
    };
    let exposures = audit.exposures.iter().filter(relays).filter(|exposure| !public_only || exposure.is_public);
    Ok(Answer::of(exposures.map(surface).collect()))
}

fn surface(exposure: &Exposure) -> Record {
    let capability = exposure.standing.capability.as_ref();
    let names = |rights: Rights| rights.iter().map(Right::exchange_name).collect::<Vec<_>>();
    let limited = capability.map(|capability| LimitedRights::list(&capability.limited, usize::MAX)).unwrap_or_default();
    let ranges = exposure.sources.ranges();
    let ranges = ranges.map(|(first, last)| gatepost_policy::address_set::describe_range(first, last));
    let senders = |scope, who: &Who| match (scope, who) {
        (Scope::AnyAddress, _) => "AnyAddress",
        (Scope::OutsideOurDomains, _) => "OutsideOurDomains",
        (Scope::OwnAddresses, Who::Unauthenticated(_)) => "Nobody",
        (Scope::OwnAddresses, _) => "OwnAddresses",
    };
    Record::of(&RELAY_SURFACE)
        .with("Who", exposure.standing.who.to_string())
        .with("RemoteIPRanges", ranges.collect::<Vec<_>>())
        .with("Listeners", exposure.listeners.iter().map(ToString::to_string).collect::<Vec<_>>())
        .with("Public", exposure.is_public)
        .with(
            "Recipients",
            capability.map_or("Nobody", |capability| match capability.reach {
                Reach::AnyRecipient => "AnyRecipient",
                Reach::AcceptedDomains => "AcceptedDomains",
            }),
        )
        .with("Senders", capability.map_or("Nobody", |capability| senders(capability.senders, &exposure.standing.who)))
        .with("Internal", capability.is_some_and(|capability| capability.is_internal))
        .with("BypassesAntiSpam", capability.is_some_and(|capability| capability.bypasses_anti_spam))
        .with("MaxMessageSize", capability.map(|capability| capability.message_bytes_max))
        .with("TlsRequired", capability.is_some_and(|capability| capability.needs_tls))
        .with("Rights", capability.map(|capability| names(capability.rights)).unwrap_or_default())
        .with("ConditionalRights", capability.map(|capability| names(capability.unsure)).unwrap_or_default())
        .with("Terms", all_terms(&limited))
        .with("Connectors", exposure.connectors.iter().map(|name| name.to_string()).collect::<Vec<_>>())
        .with("Begins", exposure.from_ms.map(instant))
        .with("Ends", exposure.until_ms.map(instant))
}

static FINDING_VIEW: View =
    View { type_name: "Gatepost.RelayFinding", table: &["Severity", "Connector", "Message"], identity: "Code" };

/// One thing that deserves a look.
static FINDING: Shape = Shape {
    name: "RelayFinding",
    view: &FINDING_VIEW,
    properties: &[
        property("Severity", "severity", Choice(&["critical", "warning", "note"]), Usual::Null),
        property("Code", "code", Text, Usual::Null),
        property("Connector", "connector", Text, Usual::Null),
        property("Line", "line", Int, Usual::Null),
        property("Message", "message", Text, Usual::Null),
        property("Remedy", "remedy", Text, Usual::Null),
        property("RemoteIPRanges", "remote_ip_ranges", List(&Text), Usual::Texts(&[])),
    ],
};

static FINDINGS: Signature = Signature {
    name: "Get-RelayFinding",
    aliases: &[],
    synopsis: "Lists what is wrong with who may relay, the worst first, each with the smallest change that ends it.",
    parameters: &[
        named("Severity", Kind::List(&Kind::OneOf(&["critical", "warning", "note"])), "Only those as bad as this."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-RelayFinding", "Lists all of them."),
        ("if (Get-RelayFinding -Severity critical) { exit 1 }", "For a nightly check."),
    ],
};

async fn get_findings(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let audited = audited(invocation).await?;
    let audit = audited.audit();
    let wanted = invocation.arguments.texts("Severity");
    let is_wanted = |finding: &&Finding| wanted.as_ref().is_none_or(|wanted| wanted.contains(&finding.severity.name()));
    let record = |finding: &Finding| {
        let ranges = finding.sources.ranges();
        let ranges = ranges.map(|(first, last)| gatepost_policy::address_set::describe_range(first, last));
        Record::of(&FINDING)
            .with("Severity", finding.severity.name())
            .with("Code", finding.code)
            .with("Connector", finding.connector.as_deref())
            .with("Line", finding.line)
            .with("Message", finding.message.as_str())
            .with("Remedy", finding.remedy.as_str())
            .with("RemoteIPRanges", ranges.collect::<Vec<_>>())
    };
    Ok(Answer::of(audit.findings.iter().filter(is_wanted).map(record).collect()))
}
