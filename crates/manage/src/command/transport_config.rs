//! What holds for all mail: Get- and Set-TransportConfig (fact sheet sections 3.8, 4.10 and 5.1).

use gatepost_policy::Settings;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::amendment::{Plan, amend};
use super::parameter::{DOMAIN_CONTROLLER, identity, named};
use super::single_table::{Key, edits, key, parameters, properties, record, shown, texts, unlimited};
use super::{Answer, CommandError, Entry, Invocation};
use crate::object::PropertyKind::{self, Bool, Identity, Int, List, Size, Text, Unlimited};
use crate::object::{Property, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::View,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(std::future::ready(get(invocation))),
    },
    Entry { signature: &SET, role: Role::TransportAdmin, output: None, run: |invocation| Box::pin(set(invocation)) },
];

const IDENTITY: &str = "Transport Settings";

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.TransportConfigContainer",
    table: &["ExternalPostmasterAddress", "ExternalDelayDsnEnabled", "InternalDelayDsnEnabled", "MaxSendSize"],
    identity: "Identity",
};

const REPORTS: &str = "reports";
const TRANSPORT: &str = "transport";

const fn of(name: &'static str, key: &'static str, kind: PropertyKind) -> Property {
    property(name, key, kind, Usual::Null)
}

/// Sizes and recipients are limited by connector alone.
fn no_limit(_: &Settings) -> Json {
    unlimited(None::<u64>)
}

/// Exchange's properties in its order, then those that it does not have.
static KEYS: [Key; 17] = [
    key(
        REPORTS,
        of("ExternalDelayDsnEnabled", "external_delay_dsn_enabled", Bool),
        Kind::Bool,
        "Whether external senders hear of delays.",
        |settings| settings.reports.external.delay_enabled.into(),
    ),
    key(
        REPORTS,
        of("ExternalDsnMaxMessageAttachSize", "external_dsn_max_message_attach_size", Size),
        Kind::Size,
        "Up to this size the whole message goes back to external senders.",
        |settings| settings.reports.external.attach_bytes_max.into(),
    ),
    key(
        REPORTS,
        of("ExternalDsnReportingAuthority", "external_dsn_reporting_authority", Text),
        Kind::Text,
        "The domain that reports to external senders are made under.",
        |settings| settings.reports.external.reporting_authority.as_ref().map(ToString::to_string).into(),
    ),
    key(
        REPORTS,
        of("ExternalDsnSendHtml", "external_dsn_send_html", Bool),
        Kind::Bool,
        "Only $false: reports are plain text.",
        |_| false.into(),
    ),
    key(
        TRANSPORT,
        of("ExternalPostmasterAddress", "external_postmaster_address", Text),
        Kind::Text,
        "The sender of reports.",
        |settings| settings.transport.external_postmaster_address.as_ref().map(ToString::to_string).into(),
    ),
    key(
        REPORTS,
        of("GenerateCopyOfDSNFor", "generate_copy_of_dsn_for", List(&Text)),
        Kind::MultiValued(&Kind::Text),
        "Status codes of which the postmaster gets the report, too: 5.4.6.",
        |settings| texts(settings.reports.generate_copy_of_dsn_for.iter()),
    ),
    key(
        REPORTS,
        of("InternalDelayDsnEnabled", "internal_delay_dsn_enabled", Bool),
        Kind::Bool,
        "Whether our own senders hear of delays.",
        |settings| settings.reports.internal.delay_enabled.into(),
    ),
    key(
        REPORTS,
        of("InternalDsnMaxMessageAttachSize", "internal_dsn_max_message_attach_size", Size),
        Kind::Size,
        "Up to this size the whole message goes back to our own senders.",
        |settings| settings.reports.internal.attach_bytes_max.into(),
    ),
    key(
        REPORTS,
        of("InternalDsnReportingAuthority", "internal_dsn_reporting_authority", Text),
        Kind::Text,
        "The domain that reports to our own senders are made under.",
        |settings| settings.reports.internal.reporting_authority.as_ref().map(ToString::to_string).into(),
    ),
    key(
        REPORTS,
        of("InternalDsnSendHtml", "internal_dsn_send_html", Bool),
        Kind::Bool,
        "Only $false: reports are plain text.",
        |_| false.into(),
    ),
    shown("MaxReceiveSize", "max_receive_size", Unlimited(&Size), no_limit),
    shown("MaxRecipientEnvelopeLimit", "max_recipient_envelope_limit", Unlimited(&Int), no_limit),
    shown("MaxSendSize", "max_send_size", Unlimited(&Size), no_limit),
    key(
        TRANSPORT,
        of("TLSReceiveDomainSecureList", "tls_receive_domain_secure_list", List(&Text)),
        Kind::MultiValued(&Kind::Text),
        "Domains whose mail comes from peers that prove to be them.",
        |settings| texts(settings.transport.tls_receive_domain_secure_list.iter()),
    ),
    key(
        TRANSPORT,
        of("TLSSendDomainSecureList", "tls_send_domain_secure_list", List(&Text)),
        Kind::MultiValued(&Kind::Text),
        "Domains that have to prove to be them before they get mail.",
        |settings| texts(settings.transport.tls_send_domain_secure_list.iter()),
    ),
    key(
        REPORTS,
        of("MaxPerSenderPerHour", "max_per_sender_per_hour", Unlimited(&Int)),
        Kind::UnlimitedInt,
        "Reports of failure to one sender; what comes then goes into one report.",
        |settings| unlimited(Some(settings.reports.sender_reports_per_hour).filter(|most| *most > 0)),
    ),
    shown("Identity", "identity", Identity, |_| IDENTITY.into()),
];

static SHAPE: Shape = Shape { name: "TransportConfig", view: &VIEW, properties: &properties::<17>(&KEYS) };

const SIZES: &str = "limits are those of connectors and mailbox servers: Set-ReceiveConnector -MaxMessageSize and \
                     -MaxRecipientsPerMessage, Set-SendConnector -MaxMessageSize";
const FILTERS: &str = "there is no sender or connection filter that would have to pass over them";
const SHADOWS: &str = "a message is on the disk before it is acknowledged, and no other server keeps a copy";

/// What Exchange has and nothing here needs: taken where it asks for nothing, else refused with the reason.
const IDLE: [(&str, &str); 8] = [
    ("MaxReceiveSize", SIZES),
    ("MaxRecipientEnvelopeLimit", SIZES),
    ("MaxSendSize", SIZES),
    ("InternalSMTPServers", FILTERS),
    ("ShadowRedundancyEnabled", SHADOWS),
    ("RejectMessageOnShadowFailure", SHADOWS),
    ("SafetyNetHoldTime", SHADOWS),
    ("Xexch50Enabled", "what is sent by XEXCH50 was never published"),
];

fn asks_for_nothing(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::String(text) => text.trim().is_empty() || text.eq_ignore_ascii_case("unlimited"),
        Json::Array(values) => values.is_empty(),
        _ => false,
    }
}

const FIRST: [Parameter; 2 + IDLE.len()] = {
    let mut parameters = [DOMAIN_CONTROLLER; 2 + IDLE.len()];
    parameters[0] = identity("Taken where it is `Transport Settings`: there is one.");
    let mut place = 0;
    while place < IDLE.len() {
        parameters[2 + place] =
            named(IDLE[place].0, Kind::Any, "Taken where it asks for nothing; refused otherwise, with the reason.");
        place += 1;
    }
    parameters
};
static SET_PARAMETERS: [Parameter; FIRST.len() + 13] = parameters(&FIRST, &KEYS);

static GET: Signature = Signature {
    name: "Get-TransportConfig",
    aliases: &[],
    synopsis: "Shows what holds for all mail: what reports are like, and which domains have to prove who they are.",
    parameters: &[identity("Taken where it is `Transport Settings`: there is one."), DOMAIN_CONTROLLER],
    changes: Changes::Nothing,
    examples: &[
        ("Get-TransportConfig | Format-List", "Shows everything."),
        ("(Get-TransportConfig).ExternalPostmasterAddress", "Shows who reports are from."),
    ],
};

fn is_known(invocation: &Invocation<'_>) -> Result<(), CommandError> {
    match invocation.arguments.text("Identity").map(str::trim) {
        None | Some("") => Ok(()),
        Some(name) if name.eq_ignore_ascii_case(IDENTITY) => Ok(()),
        Some(_) => Err(CommandError::NotFound(format!("there is one transport configuration, \"{IDENTITY}\""))),
    }
}

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    is_known(invocation)?;
    Ok(Answer::of(vec![record(&SHAPE, &KEYS, &invocation.settings)]))
}

static SET: Signature = Signature {
    name: "Set-TransportConfig",
    aliases: &[],
    synopsis: "Changes what holds for all mail; what is not named stays as it is, $null goes back to the default.",
    parameters: &SET_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "Set-TransportConfig -ExternalPostmasterAddress postmaster@contoso.com -GenerateCopyOfDSNFor 5.4.6,5.4.8",
            "Reports are from this address, which gets those of loops, too.",
        ),
        (
            "Set-TransportConfig -TLSSendDomainSecureList @{Add=\"fabrikam.com\"}",
            "One more domain has to prove to be it before it gets mail.",
        ),
    ],
};

async fn set(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    is_known(invocation)?;
    let refused = IDLE.iter().find(|(name, _)| {
        let given = invocation.arguments.get(name);
        given.is_some_and(|given| !asks_for_nothing(given))
    });
    if let Some((name, reason)) = refused {
        return Err(CommandError::Wrong(format!("{name} can't be set here: {reason}")));
    }
    amend(invocation, &SHAPE, |settings| {
        let edits = edits(&KEYS, &invocation.arguments, settings)?;
        Ok(Plan::new(format!("Setting the transport configuration \"{IDENTITY}\""), edits))
    })
    .await
}
