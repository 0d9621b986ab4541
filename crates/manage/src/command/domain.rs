//! Accepted domains and remote domains: Get-AcceptedDomain, Get-RemoteDomain (fact sheet sections 4.1 and 4.3).

use gatepost_policy::accepted_domain::{AcceptedDomain, DomainKind};
use gatepost_policy::remote_domain::RemoteDomain;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Signature};
use gatepost_shell::value::View;

use super::by_name::search;
use super::parameter::{DOMAIN_CONTROLLER, identity};
use super::{Answer, CommandError, Entry, Invocation};
use crate::object::PropertyKind::{Bool, Choice, Identity, Text};
use crate::object::{Record, Shape, Usual, property};

/// The commands of these nouns.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET_ACCEPTED,
        role: Role::View,
        output: Some(&ACCEPTED),
        run: |invocation| Box::pin(std::future::ready(get_accepted(invocation))),
    },
    Entry {
        signature: &GET_REMOTE,
        role: Role::View,
        output: Some(&REMOTE),
        run: |invocation| Box::pin(std::future::ready(get_remote(invocation))),
    },
];

const KINDS: &[&str] = &[
    DomainKind::Authoritative.exchange_name(),
    DomainKind::InternalRelay.exchange_name(),
    DomainKind::ExternalRelay.exchange_name(),
];

static ACCEPTED_VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.SystemConfiguration.AcceptedDomain",
    table: &["Name", "DomainName", "DomainType", "Default"],
    identity: "Identity",
};

static ACCEPTED: Shape = Shape {
    name: "AcceptedDomain",
    view: &ACCEPTED_VIEW,
    properties: &[
        property("DomainName", "domain_name", Text, Usual::Null),
        property("CatchAllRecipientID", "catch_all_recipient", Text, Usual::Null),
        property("DomainType", "domain_type", Choice(KINDS), Usual::Text("Authoritative")),
        property("MatchSubDomains", "match_sub_domains", Bool, Usual::Bool(false)),
        property("RecipientVerification", "recipient_verification", Bool, Usual::Bool(false)),
        property("Default", "default", Bool, Usual::Bool(false)),
        property("Name", "name", Text, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

static GET_ACCEPTED: Signature = Signature {
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

static REMOTE_VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.SystemConfiguration.DomainContentConfig",
    table: &["Name", "DomainName", "NDREnabled"],
    identity: "Identity",
};

static REMOTE: Shape = Shape {
    name: "RemoteDomain",
    view: &REMOTE_VIEW,
    properties: &[
        property("DomainName", "domain_name", Text, Usual::Null),
        property("DeliveryReportEnabled", "delivery_report_enabled", Bool, Usual::Bool(true)),
        property("NDREnabled", "ndr_enabled", Bool, Usual::Bool(true)),
        property("NDRDiagnosticInfoEnabled", "ndr_diagnostic_info_enabled", Bool, Usual::Bool(true)),
        property("Name", "name", Text, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

static GET_REMOTE: Signature = Signature {
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

fn get_accepted(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let settings = &invocation.settings;
    let wanted = invocation.arguments.text("Identity");
    let found = search(settings.accepted_domains.iter(), AcceptedDomain::to_string, wanted, "accepted domain")?;
    let default = settings.domains.default_domain();
    let record = |accepted: &AcceptedDomain| {
        let name = accepted.to_string();
        Record::of(&ACCEPTED)
            .with("DomainName", name.as_str())
            .with("CatchAllRecipientID", accepted.catch_all_recipient.as_ref().map(ToString::to_string))
            .with("DomainType", accepted.kind.exchange_name())
            .with("MatchSubDomains", accepted.with_subdomains)
            .with("RecipientVerification", accepted.recipient_verification)
            .with("Default", default.is_some_and(|default| *default == accepted.domain && !accepted.with_subdomains))
            .with("Name", name.as_str())
            .with("Identity", name.as_str())
    };
    Ok(Answer::of(found.into_iter().map(record).collect()))
}

/// Exchange calls the one for everybody `Default`.
fn name_of_remote(remote: &RemoteDomain) -> String {
    match remote.domain.to_string().as_str() {
        "*" => "Default".to_owned(),
        name => name.to_owned(),
    }
}

fn get_remote(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let wanted = invocation.arguments.text("Identity");
    let found = search(invocation.settings.remote_domains.iter(), name_of_remote, wanted, "remote domain")?;
    let record = |remote: &RemoteDomain| {
        let name = name_of_remote(remote);
        Record::of(&REMOTE)
            .with("DomainName", remote.domain.to_string())
            .with("DeliveryReportEnabled", remote.delivery_report_enabled)
            .with("NDREnabled", remote.ndr_enabled)
            .with("NDRDiagnosticInfoEnabled", remote.ndr_diagnostic_info_enabled)
            .with("Name", name.as_str())
            .with("Identity", name.as_str())
    };
    Ok(Answer::of(found.into_iter().map(record).collect()))
}
