//! Remote domains: Get-, New-, Set- and Remove-RemoteDomain (fact sheet section 4.3).

use gatepost_policy::Settings;
use gatepost_policy::remote_domain::RemoteDomain;
use gatepost_policy::role::Role;
use gatepost_policy::send_connector::Space;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::amendment::{Plan, amend};
use super::by_name::{find, search};
use super::form::{Asked, Form, Section, field, like, usually, when};
use super::keys::{self, Change, Idle, Lists, is_idle};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, at, identity, joined, named, needed};
use super::{Answer, Arguments, CommandError, Entry, Invocation};
use crate::edit::{Edit, Key, Target};
use crate::object::PropertyKind::{Any, Bool, Identity, Text};
use crate::object::{Record, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::View,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(std::future::ready(get(invocation))),
    },
    Entry {
        signature: &NEW,
        role: Role::TransportAdmin,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(new(invocation)),
    },
    Entry { signature: &SET, role: Role::TransportAdmin, output: None, run: |invocation| Box::pin(set(invocation)) },
    Entry {
        signature: &REMOVE,
        role: Role::TransportAdmin,
        output: None,
        run: |invocation| Box::pin(remove(invocation)),
    },
];

const WHAT: &str = "remote domain";
const TABLE: &str = "remote_domain";
/// What Exchange calls the one for everybody.
const DEFAULT: &str = "Default";

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.SystemConfiguration.DomainContentConfig",
    table: &["Name", "DomainName", "NDREnabled"],
    identity: "Identity",
};

const YES: Usual = Usual::Bool(true);
const NO: Usual = Usual::Bool(false);

static SHAPE: Shape = Shape {
    name: "RemoteDomain",
    view: &VIEW,
    properties: &[
        property("DomainName", "domain_name", Text, Usual::Null),
        property("IsInternal", "is_internal", Bool, NO),
        property("TargetDeliveryDomain", "target_delivery_domain", Bool, NO),
        property(
            "ByteEncoderTypeFor7BitCharsets",
            "byte_encoder_type_for_7_bit_charsets",
            Text,
            Usual::Text("Undefined"),
        ),
        property("AllowedOOFType", "allowed_oof_type", Text, Usual::Text("External")),
        property("AutoReplyEnabled", "auto_reply_enabled", Bool, YES),
        property("AutoForwardEnabled", "auto_forward_enabled", Bool, YES),
        property("DeliveryReportEnabled", "delivery_report_enabled", Bool, YES),
        property("NDREnabled", "ndr_enabled", Bool, YES),
        property("NDRDiagnosticInfoEnabled", "ndr_diagnostic_info_enabled", Bool, YES),
        property("ContentType", "content_type", Text, Usual::Text("MimeHtmlText")),
        property("DisplaySenderName", "display_sender_name", Bool, YES),
        property("LineWrapSize", "line_wrap_size", Any, Usual::Text("unlimited")),
        property("TrustedMailOutboundEnabled", "trusted_mail_outbound_enabled", Bool, NO),
        property("TrustedMailInboundEnabled", "trusted_mail_inbound_enabled", Bool, NO),
        property("Name", "name", Text, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

/// Properties that only a mailbox server or a converter of messages can keep.
const IDLE: [(&str, Idle); 11] = [
    ("IsInternal", Idle::UnlessTrue),
    ("TargetDeliveryDomain", Idle::UnlessTrue),
    ("TrustedMailOutboundEnabled", Idle::UnlessTrue),
    ("TrustedMailInboundEnabled", Idle::UnlessTrue),
    ("AutoForwardEnabled", Idle::UnlessFalse),
    ("DisplaySenderName", Idle::UnlessFalse),
    ("AllowedOOFType", Idle::Only("External")),
    ("ContentType", Idle::Only("MimeHtmlText")),
    ("ByteEncoderTypeFor7BitCharsets", Idle::Only("Undefined")),
    ("LineWrapSize", Idle::Only("unlimited")),
    ("DomainName", Idle::Whatever),
];

/// The dialog of a remote domain.
pub static FORM: Form = Form {
    noun: "RemoteDomain",
    sections: &[Section {
        key: "general",
        title: "What may go to this domain by itself",
        about: "What senders there are told about their messages, and what answers itself.",
        is_advanced: false,
        fields: &[
            when(Asked::New, like("fabrikam.com", field("Name", "Domain"))),
            usually("true", field("NDREnabled", "Reports of failure and delay")),
            usually("true", field("DeliveryReportEnabled", "Reports of success")),
            usually("true", field("NDRDiagnosticInfoEnabled", "Reports name servers and software")),
            usually("true", field("AutoReplyEnabled", "Automatic replies of people here")),
        ],
    }],
    for_scripts: &[
        "Name",
        "DomainName",
        "AutoForwardEnabled",
        "AllowedOOFType",
        "DisplaySenderName",
        "ContentType",
        "LineWrapSize",
        "ByteEncoderTypeFor7BitCharsets",
        "IsInternal",
        "TrustedMailInboundEnabled",
        "TrustedMailOutboundEnabled",
        "TargetDeliveryDomain",
    ],
    besides: &[("DomainName", "Domain"), ("Name", "Name")],
    told: &[],
    badges: &[],
    is_confirmed: false,
};

static GET: Signature = Signature {
    name: "Get-RemoteDomain",
    aliases: &[],
    synopsis: "Shows remote domains: which reports may go where.",
    parameters: &[
        identity("Which: the domain, `Default` for `*`, or a name with wildcards; all without it."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-RemoteDomain", "Lists all of them."),
        (
            "Get-RemoteDomain Default | Format-List NDREnabled,DeliveryReportEnabled",
            "Shows what holds for everybody else.",
        ),
    ],
};

/// Exchange calls the one for everybody `Default`.
fn name(remote: &RemoteDomain) -> String {
    match &remote.domain {
        Space::All => DEFAULT.to_owned(),
        domain => domain.to_string(),
    }
}

/// Those that are declared, and the one for everybody, which holds whether it is declared or not.
fn all(settings: &Settings) -> Vec<RemoteDomain> {
    let mut all: Vec<RemoteDomain> = settings.remote_domains.iter().cloned().collect();
    if all.iter().all(|remote| remote.domain != Space::All) {
        all.insert(0, RemoteDomain::new(Space::All));
    }
    all
}

/// `*` is `Default`, too.
fn named_so(identity: &str) -> &str {
    if identity.trim() == "*" { DEFAULT } else { identity }
}

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let all = all(&invocation.settings);
    let found = search(all.iter(), name, invocation.arguments.text("Identity"), WHAT)?;
    Ok(Answer::listing(invocation, &found, |remote| record(remote)))
}

fn record(remote: &RemoteDomain) -> Record {
    let name = name(remote);
    Record::of(&SHAPE)
        .with("DomainName", remote.domain.to_string())
        .with("DeliveryReportEnabled", remote.delivery_report_enabled)
        .with("NDREnabled", remote.ndr_enabled)
        .with("NDRDiagnosticInfoEnabled", remote.ndr_diagnostic_info_enabled)
        .with("AutoReplyEnabled", remote.auto_reply_enabled)
        .with("Name", name.as_str())
        .with("Identity", name.as_str())
}

/// Properties that can be given, now or later.
const SETTABLE: [Parameter; 15] = [
    named("NDREnabled", Kind::Bool, "Whether reports of failure and delay go there."),
    named("DeliveryReportEnabled", Kind::Bool, "Whether reports of success go there, where a sender asks for them."),
    named("NDRDiagnosticInfoEnabled", Kind::Bool, "Whether reports that go there may name what is inside."),
    named("AutoReplyEnabled", Kind::Bool, "Whether messages that say they are automatic replies go there."),
    named("AutoForwardEnabled", Kind::Bool, "$true alone: who forwards is the mailbox server."),
    named(
        "AllowedOOFType",
        Kind::Text,
        "External alone: which of two answers a sender gets, the mailbox server decides.",
    ),
    named("DisplaySenderName", Kind::Bool, "$true alone: messages are passed on as they are."),
    named("ContentType", Kind::Text, "MimeHtmlText alone: messages are passed on as they are."),
    named("LineWrapSize", Kind::UnlimitedInt, "unlimited alone: messages are passed on as they are."),
    named("ByteEncoderTypeFor7BitCharsets", Kind::Text, "Undefined alone: messages are passed on as they are."),
    named("IsInternal", Kind::Bool, "$false alone: only what logs on, or is externally secured, counts as internal."),
    named("TrustedMailInboundEnabled", Kind::Bool, "$false alone: a domain is just a claim."),
    named("TrustedMailOutboundEnabled", Kind::Bool, "$false alone: nothing is filtered on its way out."),
    named("TargetDeliveryDomain", Kind::Bool, "$false alone: it is about Microsoft's cloud."),
    DOMAIN_CONTROLLER,
];

static NEW_PARAMETERS: [Parameter; 17] = joined(
    [
        needed(at(
            0,
            Parameter {
                pipeline: FromPipeline::Property,
                ..named(
                    "Name",
                    Kind::Text,
                    "The domain: contoso.com, *.contoso.com for it and everything below, * for all. Another name is not kept: domains are called as they are.",
                )
            },
        )),
        Parameter {
            pipeline: FromPipeline::Property,
            ..named(
                "DomainName",
                Kind::Text,
                "The domain, as contoso.com, *.contoso.com for it and everything below, or * for all.",
            )
        },
    ],
    SETTABLE,
);

static SET_PARAMETERS: [Parameter; 17] = joined(
    [
        needed(identity("Which: the domain, or `Default`.")),
        named("Name", Kind::Text, "Taken and not kept: domains are called as they are."),
    ],
    SETTABLE,
);

static NEW: Signature = Signature {
    name: "New-RemoteDomain",
    aliases: &[],
    synopsis: "Makes a remote domain: what may be told to a domain that is not ours.",
    parameters: &NEW_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "New-RemoteDomain -Name fabrikam.com -DomainName *.fabrikam.com -NDRDiagnosticInfoEnabled $false",
            "Reports that go there do not say what is inside.",
        ),
        ("New-RemoteDomain spam.example -NDREnabled $false", "No reports go there."),
    ],
};

async fn new(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let label = arguments.text("Name").unwrap_or_default();
    let domain = arguments.text("DomainName").unwrap_or(label).trim();
    let mut answer = amend(invocation, &SHAPE, |settings| {
        let is_it = |known: &RemoteDomain| known.domain.to_string().eq_ignore_ascii_case(domain);
        if settings.remote_domains.iter().any(is_it) {
            let error = format!("the remote domain \"{domain}\" already exists: change it by Set-RemoteDomain");
            return Err(CommandError::Conflict(error));
        }
        let plan =
            Plan::new(format!("Creating the remote domain \"{domain}\""), vec![insert(domain, changes(arguments)?)]);
        Ok(Plan { warnings: label_warnings(label, domain), ..plan })
    })
    .await?;
    if !invocation.is_what_if {
        let settings = invocation.settings_now().await?;
        let made = settings.remote_domains.iter().find(|known| known.domain.to_string().eq_ignore_ascii_case(domain));
        answer.output.extend(made.map(record));
    }
    Ok(answer)
}

/// What to say of a name that is not the domain's.
fn label_warnings(label: &str, domain: &str) -> Vec<String> {
    let is_default = domain == "*" && label == DEFAULT;
    let is_other = !label.is_empty() && !label.eq_ignore_ascii_case(domain) && !is_default;
    let warning = || format!("the name \"{label}\" isn't kept: the domain is called {domain} here");
    is_other.then(warning).into_iter().collect()
}

fn insert(domain: &str, changes: Vec<Change>) -> Edit {
    let mut keys: Vec<Key> = vec![("name".into(), domain.into())];
    keys.extend(keys::of_new(changes));
    Edit::Insert { table: TABLE.into(), keys, entries: Vec::new() }
}

struct NoLists;

impl Lists for NoLists {
    fn current(&self, _property: &str) -> Vec<String> {
        Vec::new()
    }
}

fn changes(arguments: &Arguments) -> Result<Vec<Change>, CommandError> {
    let passed_over = |name: &str, given: &Json| ["Name", "Identity"].contains(&name) || is_idle(&IDLE, name, given);
    keys::changes(&SHAPE, arguments, &NoLists, passed_over)
}

static SET: Signature = Signature {
    name: "Set-RemoteDomain",
    aliases: &[],
    synopsis: "Changes a remote domain; what is not named stays as it is.",
    parameters: &SET_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        ("Set-RemoteDomain Default -NDRDiagnosticInfoEnabled $false", "Strangers do not learn what is inside."),
        ("Get-RemoteDomain | Set-RemoteDomain -DeliveryReportEnabled $false", "Nobody outside learns of success."),
    ],
};

async fn set(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    amend(invocation, &SHAPE, |settings| {
        let all = all(settings);
        let wanted = named_so(arguments.text("Identity").unwrap_or_default());
        let remote = find(all.iter(), name, wanted, WHAT)?;
        let (domain, changes) = (remote.domain.to_string(), changes(arguments)?);
        let is_declared = settings.remote_domains.iter().any(|known| known.domain == remote.domain);
        let edits = match is_declared {
            true => keys::of_set(&Target::named(TABLE, domain.as_str()), changes),
            // What asks for nothing needs no table.
            false if changes.is_empty() => Vec::new(),
            false => vec![insert(&domain, changes)],
        };
        let plan = Plan::new(format!("Setting the remote domain \"{}\"", name(remote)), edits);
        let label = arguments.text("Name").filter(|label| *label != name(remote)).unwrap_or_default();
        Ok(Plan { warnings: label_warnings(label, &domain), ..plan })
    })
    .await
}

static REMOVE: Signature = Signature {
    name: "Remove-RemoteDomain",
    aliases: &[],
    synopsis: "Removes a remote domain: what holds for a wider one, or for everybody, holds for it again.",
    parameters: &[needed(identity("Which: the domain, or `Default`.")), DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-RemoteDomain fabrikam.com", "Asks first."),
        ("Remove-RemoteDomain *.fabrikam.com -Confirm:$false", "That very name, and without asking."),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    amend(invocation, &SHAPE, |settings| {
        let wanted = named_so(invocation.arguments.text("Identity").unwrap_or_default());
        let remote = find(settings.remote_domains.iter(), name, wanted, WHAT)?;
        let target = Target::named(TABLE, remote.domain.to_string());
        Ok(Plan::new(format!("Removing the remote domain \"{}\"", name(remote)), vec![Edit::Remove(target)]))
    })
    .await
}
