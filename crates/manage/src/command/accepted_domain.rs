//! Accepted domains: Get-, New-, Set- and Remove-AcceptedDomain (fact sheet section 4.1).

use gatepost_policy::Settings;
use gatepost_policy::accepted_domain::{AcceptedDomain, DomainKind};
use gatepost_policy::role::Role;
use gatepost_policy::send_connector::{MailboxProtocol, SendConnector};
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use serde_json::{Map, Value as Json};

use super::amendment::{Plan, amend};
use super::by_name::{find, search};
use super::form::{Asked, Form, Section, among, field, like, shown_by, when};
use super::keys::{self, Change, Lists};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, at, identity, joined, named, needed};
use super::recipient::{self, MAILBOXES};
use super::{Answer, Arguments, CommandError, Entry, Invocation, document_value};
use crate::edit::{Edit, Key, Target, Value};
use crate::object::PropertyKind::{Any, Bool, Choice, Identity, Text};
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

const WHAT: &str = "accepted domain";
const TABLE: &str = "accepted_domain";

const KINDS: &[&str] = &[
    DomainKind::Authoritative.exchange_name(),
    DomainKind::InternalRelay.exchange_name(),
    DomainKind::ExternalRelay.exchange_name(),
];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.SystemConfiguration.AcceptedDomain",
    table: &["Name", "DomainName", "DomainType", "Default"],
    identity: "Identity",
};

static SHAPE: Shape = Shape {
    name: "AcceptedDomain",
    view: &VIEW,
    properties: &[
        property("DomainName", "domain_name", Text, Usual::Null),
        property("CatchAllRecipientID", "catch_all_recipient", Text, Usual::Null),
        property("DomainType", "domain_type", Choice(KINDS), Usual::Text("Authoritative")),
        property("MatchSubDomains", "match_sub_domains", Bool, Usual::Bool(false)),
        property("AddressBookEnabled", "address_book_enabled", Bool, Usual::Bool(true)),
        property("OutboundOnly", "outbound_only", Bool, Usual::Bool(false)),
        property("RecipientVerification", "recipient_verification", Bool, Usual::Bool(false)),
        property("MailboxDelivery", "mailbox_delivery", Any, Usual::Null),
        property("Default", "default", Bool, Usual::Bool(false)),
        property("Name", "name", Text, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

/// The dialog of an accepted domain.
pub static FORM: Form = Form {
    noun: "AcceptedDomain",
    sections: &[
        Section {
            key: "general",
            title: "Domain",
            about: "",
            is_advanced: false,
            fields: &[
                when(Asked::New, like("fabrikam.com", field("Name", "Domain"))),
                among(
                    &[
                        ("Authoritative", "Authoritative: all its recipients are here"),
                        ("InternalRelay", "Internal relay: some recipients are here, the others elsewhere"),
                        ("ExternalRelay", "External relay: its mail is passed on"),
                    ],
                    field("DomainType", "Type"),
                ),
                field("MatchSubDomains", "Everything below it, too"),
                when(Asked::Set, shown_by("Default", field("MakeDefault", "Default domain"))),
            ],
        },
        Section {
            key: "recipients",
            title: "Recipients",
            about: "What becomes of recipients that nobody has declared.",
            is_advanced: false,
            fields: &[
                shown_by(
                    "CatchAllRecipientID",
                    like("bob@contoso.com", field("CatchAllRecipient", "Mailbox for unknown recipients")),
                ),
                field("RecipientVerification", "Ask the next server about unknown recipients"),
            ],
        },
    ],
    for_scripts: &["Name", "DomainName", "MailboxDelivery", "AddressBookEnabled", "OutboundOnly"],
    besides: &[("DomainName", "Domain"), ("Name", "Name")],
    told: &[],
    badges: &[],
    is_confirmed: false,
};

static GET: Signature = Signature {
    name: "Get-AcceptedDomain",
    aliases: &[],
    synopsis: "Shows accepted domains: whose recipients are ours, or are passed on.",
    parameters: &[identity("Which: the domain, or a name with wildcards; all without it."), DOMAIN_CONTROLLER],
    changes: Changes::Nothing,
    examples: &[
        ("Get-AcceptedDomain", "Lists all of them."),
        (
            "Get-AcceptedDomain | Where-Object { $_.DomainType -ne 'Authoritative' }",
            "Shows the domains that mail is passed on for.",
        ),
    ],
};

fn name(accepted: &AcceptedDomain) -> String {
    accepted.to_string()
}

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let settings = &invocation.settings;
    let found = search(settings.accepted_domains.iter(), name, invocation.arguments.text("Identity"), WHAT)?;
    Ok(Answer::listing(invocation, &found, |accepted| record(settings, accepted)))
}

fn record(settings: &Settings, accepted: &AcceptedDomain) -> Record {
    let name = accepted.to_string();
    Record::of(&SHAPE)
        .with("DomainName", name.as_str())
        .with("CatchAllRecipientID", accepted.catch_all_recipient.as_ref().map(ToString::to_string))
        .with("DomainType", accepted.kind.exchange_name())
        .with("MatchSubDomains", accepted.with_subdomains)
        .with("AddressBookEnabled", accepted.kind == DomainKind::Authoritative)
        .with("RecipientVerification", accepted.recipient_verification)
        .with("MailboxDelivery", settings.mailbox_delivery.server(Some(accepted)).map(|server| delivery(server)))
        .with("Default", is_default(settings, accepted))
        .with("Name", name.as_str())
        .with("Identity", name.as_str())
}

/// The keys of a way to a mailbox server.
fn delivery(server: &SendConnector) -> Json {
    let mut keys = Map::new();
    let protocol = match server.mailbox_protocol {
        Some(MailboxProtocol::Lmtp) => "LMTP",
        Some(MailboxProtocol::Smtp) => "SMTP",
        None => "Maildir",
    };
    keys.insert("protocol".to_owned(), protocol.into());
    keys.insert("hosts".to_owned(), server.smart_hosts.iter().map(|host| Json::from(host.to_string())).collect());
    keys.insert("require_tls".to_owned(), server.require_tls.into());
    if let Some(level) = server.tls_auth_level {
        keys.insert("tls_auth_level".to_owned(), level.exchange_name().into());
    }
    if let Some(domain) = &server.tls_domain {
        keys.insert("tls_domain".to_owned(), domain.to_string().into());
    }
    keys.into()
}

fn is_default(settings: &Settings, accepted: &AcceptedDomain) -> bool {
    let default = settings.domains.default_domain();
    default.is_some_and(|default| *default == accepted.domain && !accepted.with_subdomains)
}

/// Properties that can be given, now or later.
const SETTABLE: [Parameter; 8] = [
    named(
        "DomainType",
        Kind::OneOf(KINDS),
        "Whose recipients they are: all here with Authoritative, some with InternalRelay, none with ExternalRelay.",
    ),
    named("MatchSubDomains", Kind::Bool, "Whether everything below the domain counts, too."),
    named("CatchAllRecipient", Kind::Identity, "The mailbox that gets what is for nobody."),
    named(
        "RecipientVerification",
        Kind::Bool,
        "Whether the server that a relay domain's mail goes to is asked about recipients that are not known here. Not of Exchange.",
    ),
    named(
        "MailboxDelivery",
        Kind::Table,
        "Where mail for its mailboxes goes: @{Protocol='LMTP'; Hosts='/run/dovecot/lmtp'}; $null: as for all. Not of Exchange.",
    ),
    named("AddressBookEnabled", Kind::Bool, "$true for Authoritative, $false for the others: there is no choice here."),
    named("OutboundOnly", Kind::Bool, "$false alone: it is about Microsoft's cloud."),
    DOMAIN_CONTROLLER,
];

static NEW_PARAMETERS: [Parameter; 10] = joined(
    [
        needed(at(
            0,
            Parameter {
                pipeline: FromPipeline::Property,
                ..named(
                    "Name",
                    Kind::Text,
                    "The domain: contoso.com, or *.contoso.com for it and everything below. Another name is not kept: domains are called as they are.",
                )
            },
        )),
        Parameter {
            pipeline: FromPipeline::Property,
            ..named(
                "DomainName",
                Kind::Text,
                "The domain, as contoso.com, or *.contoso.com for it and everything below.",
            )
        },
    ],
    SETTABLE,
);

static SET_PARAMETERS: [Parameter; 11] = joined(
    [
        needed(identity("Which: the domain.")),
        named(
            "MakeDefault",
            Kind::Bool,
            "Whether reports come from its postmaster, and names without a domain get it.",
        ),
        named("Name", Kind::Text, "Taken and not kept: domains are called as they are."),
    ],
    SETTABLE,
);

static NEW: Signature = Signature {
    name: "New-AcceptedDomain",
    aliases: &[],
    synopsis: "Makes an accepted domain: mail to it is taken from anybody.",
    parameters: &NEW_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "New-AcceptedDomain -Name fabrikam.com -DomainName fabrikam.com",
            "A domain whose recipients are all declared here.",
        ),
        (
            "New-AcceptedDomain -Name Branch -DomainName *.branch.contoso.com -DomainType InternalRelay -RecipientVerification $true",
            "Mail to the branches is passed on, after their server was asked whether it knows the recipient.",
        ),
    ],
};

async fn new(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let label = arguments.text("Name").unwrap_or_default();
    let wanted = arguments.text("DomainName").unwrap_or(label).trim().to_owned();
    let mut answer = amend(invocation, &SHAPE, |settings| {
        if settings.accepted_domains.iter().any(|known| name(known).eq_ignore_ascii_case(&wanted)) {
            let error = format!("the accepted domain \"{wanted}\" already exists: change it by Set-AcceptedDomain");
            return Err(CommandError::Conflict(error));
        }
        let mut keys: Vec<Key> = vec![("name".into(), wanted.as_str().into())];
        keys.extend(keys::of_new(changes(settings, arguments, None)?));
        let insert = Edit::Insert { table: TABLE.into(), keys, entries: Vec::new() };
        let plan = Plan::new(format!("Creating the accepted domain \"{wanted}\""), vec![insert]);
        Ok(Plan { warnings: label_warnings(label, &wanted), ..plan })
    })
    .await?;
    if !invocation.is_what_if {
        let settings = invocation.settings_now().await?;
        // With -MatchSubDomains it is called otherwise.
        let made = settings.accepted_domains.iter().find(|known| {
            [name(known), known.domain.to_string()].iter().any(|name| name.eq_ignore_ascii_case(&wanted))
        });
        answer.output.extend(made.map(|made| record(&settings, made)));
    }
    Ok(answer)
}

/// What to say of a name that is not the domain's.
fn label_warnings(label: &str, domain: &str) -> Vec<String> {
    let is_other = !label.is_empty() && !label.eq_ignore_ascii_case(domain);
    let warning = || format!("the name \"{label}\" isn't kept: the domain is called {domain} here");
    is_other.then(warning).into_iter().collect()
}

struct NoLists;

impl Lists for NoLists {
    fn current(&self, _property: &str) -> Vec<String> {
        Vec::new()
    }
}

fn changes(
    settings: &Settings,
    arguments: &Arguments,
    accepted: Option<&AcceptedDomain>,
) -> Result<Vec<Change>, CommandError> {
    let kind = arguments.text("DomainType").or(accepted.map(|accepted| accepted.kind.exchange_name()));
    let is_authoritative = kind.is_none_or(|kind| kind == DomainKind::Authoritative.exchange_name());
    let is_known = |name: &str, given: &Json| match name {
        "Name" | "Identity" | "DomainName" | "MailboxDelivery" => true,
        // Another value is for the settings' reader to refuse.
        "AddressBookEnabled" => *given == Json::Bool(is_authoritative),
        "OutboundOnly" => *given != Json::Bool(true),
        // `*.` may say it already, or be what is to go.
        "MatchSubDomains" => accepted.is_some() || *given != Json::Bool(true),
        _ => false,
    };
    let mut changes = keys::changes(&SHAPE, arguments, &NoLists, is_known)?;
    if let Some(delivery) = arguments.get("MailboxDelivery") {
        changes.push(("mailbox_delivery", delivery.as_object().map(delivery_table).transpose()?));
    }
    if let Some(recipient) = arguments.get("CatchAllRecipient") {
        let recipient = recipient.as_str().filter(|text| !text.is_empty());
        let recipient = recipient.map(|text| recipient::find(settings, Some(&MAILBOXES), text)).transpose()?;
        changes.push(("catch_all_recipient", recipient.map(|recipient| recipient.address.to_string().into())));
    }
    Ok(changes)
}

/// `@{Protocol='LMTP'; Hosts='...'}` as the document has it, its keys in any case and with or without underscores.
fn delivery_table(written: &Map<String, Json>) -> Result<Value, CommandError> {
    const KEYS: [&str; 6] =
        ["protocol", "hosts", "require_tls", "tls_auth_level", "tls_domain", "protocol_logging_level"];
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let entry = |(name, value): (&String, &Json)| {
        let key = KEYS.into_iter().find(|key| plain(key) == plain(name)).ok_or_else(|| {
            let name: String = name.chars().take(80).collect();
            let error =
                format!("MailboxDelivery: there is no `{}`: write some of {}", name.escape_debug(), KEYS.join(", "));
            CommandError::Wrong(error)
        })?;
        Ok((key.into(), document_value::value(value)))
    };
    Ok(Value::Table(written.iter().map(entry).collect::<Result<Vec<Key>, CommandError>>()?))
}

static SET: Signature = Signature {
    name: "Set-AcceptedDomain",
    aliases: &[],
    synopsis: "Changes an accepted domain; what is not named stays as it is.",
    parameters: &SET_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "Set-AcceptedDomain fabrikam.com -DomainType InternalRelay",
            "Recipients that are not declared here are passed on.",
        ),
        ("Set-AcceptedDomain contoso.com -MakeDefault $true", "Reports come from its postmaster."),
    ],
};

async fn set(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    amend(invocation, &SHAPE, |settings| {
        let wanted = arguments.text("Identity").unwrap_or_default();
        let accepted = find(settings.accepted_domains.iter(), name, wanted, WHAT)?;
        let target = Target::named(TABLE, name(accepted));
        let mut edits = keys::of_set(&target, changes(settings, arguments, Some(accepted))?);
        if let Some(Json::Bool(is_default)) = arguments.get("MakeDefault") {
            edits.extend(edits_of_default(settings, accepted, *is_default));
        }
        // Last: what stands before it finds the domain by its name.
        if let Some(Json::Bool(with_subdomains)) = arguments.get("MatchSubDomains")
            && *with_subdomains != accepted.with_subdomains
        {
            let renamed = AcceptedDomain { with_subdomains: *with_subdomains, ..accepted.clone() };
            edits.push(Edit::Unset { target: target.clone(), key: "match_sub_domains".into() });
            edits.push(Edit::Set { target, key: "name".into(), value: name(&renamed).into() });
        }
        let plan = Plan::new(format!("Setting the accepted domain \"{}\"", name(accepted)), edits);
        let label = arguments.text("Name").unwrap_or_default();
        Ok(Plan { warnings: label_warnings(label, &name(accepted)), ..plan })
    })
    .await
}

/// One domain is the default: another one that says so says so no more.
fn edits_of_default(settings: &Settings, accepted: &AcceptedDomain, is_default: bool) -> Vec<Edit> {
    let mut edits = Vec::new();
    for other in settings.accepted_domains.iter().filter(|other| other.is_default) {
        let is_it = name(other) == name(accepted);
        if is_it != is_default {
            let target = Target::named(TABLE, name(other));
            edits
                .extend(["default", "make_default"].map(|key| Edit::Unset { target: target.clone(), key: key.into() }));
        }
    }
    if is_default && !accepted.is_default {
        edits.push(Edit::Set {
            target: Target::named(TABLE, name(accepted)),
            key: "default".into(),
            value: true.into(),
        });
    }
    edits
}

static REMOVE: Signature = Signature {
    name: "Remove-AcceptedDomain",
    aliases: &[],
    synopsis: "Removes an accepted domain that no recipient has an address in.",
    parameters: &[needed(identity("Which: the domain.")), DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-AcceptedDomain fabrikam.com", "Asks first."),
        ("Remove-AcceptedDomain *.branch.contoso.com -Confirm:$false", "That very name, and without asking."),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    amend(invocation, &SHAPE, |settings| {
        let wanted = invocation.arguments.text("Identity").unwrap_or_default();
        let accepted = find(settings.accepted_domains.iter(), name, wanted, WHAT)?;
        if accepted.is_default {
            let error = format!(
                "{} is the default domain: make another one the default first, by Set-AcceptedDomain -MakeDefault $true",
                name(accepted)
            );
            return Err(CommandError::Conflict(error));
        }
        let target = Target::named(TABLE, name(accepted));
        Ok(Plan::new(format!("Removing the accepted domain \"{}\"", name(accepted)), vec![Edit::Remove(target)]))
    })
    .await
}
