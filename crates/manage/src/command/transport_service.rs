//! How this server carries mail: Get- and Set-TransportService (fact sheet sections 4.6, 4.7, 5.2 and 8).

use std::net::SocketAddr;

use gatepost_policy::role::Role;
use gatepost_policy::settings::{DnsFaultTolerance, DnsProtocolOption};
use gatepost_shell::command::{Changes, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::amendment::{Plan, amend};
use super::exchange_server::is_meant;
use super::parameter::{DOMAIN_CONTROLLER, identity, named, needed};
use super::receive_connector::span;
use super::single_table::{Key, edits, key, parameters, properties, record, shown, texts, unlimited};
use super::{Answer, CommandError, Entry, Invocation, server};
use crate::object::PropertyKind::{self, Bool, Choice, Identity, Int, List, Size, Span, Text, Unlimited};
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

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.TransportServer",
    table: &["Name", "MessageTrackingLogEnabled", "AntispamAgentsEnabled"],
    identity: "Name",
};

const TRANSPORT: &str = "transport";
const TRACKING: &str = "tracking";
const PROTOCOLS: &[&str] = &["Any", "UseTcpOnly", "UseUdpOnly"];
const TOLERANCES: &[&str] = &["Lenient", "Normal"];

const fn of(name: &'static str, key: &'static str, kind: PropertyKind) -> Property {
    property(name, key, kind, Usual::Null)
}

fn protocol(option: DnsProtocolOption) -> Json {
    let name = match option {
        DnsProtocolOption::Any => "Any",
        DnsProtocolOption::UseTcpOnly => "UseTcpOnly",
        DnsProtocolOption::UseUdpOnly => "UseUdpOnly",
    };
    name.into()
}

/// Name servers as people write them: the port only where it is another than usual.
fn name_servers(servers: &[SocketAddr]) -> Json {
    texts(servers.iter().map(|server| match server.port() {
        53 => server.ip().to_string(),
        _ => server.to_string(),
    }))
}

/// Exchange's properties in its order, then those that it does not have.
static KEYS: [Key; 48] = [
    shown("Name", "name", Text, |settings| server::short_name(&settings.server.name).into()),
    shown("AntispamAgentsEnabled", "antispam_agents_enabled", Bool, |_| false.into()),
    key(
        TRANSPORT,
        of("DelayNotificationTimeout", "delay_notification_timeout", Span),
        Kind::Span,
        "How long a recipient waits before the sender hears of it.",
        |settings| span(settings.reports.delay_notification_timeout).into(),
    ),
    key(
        TRANSPORT,
        of("ExternalDNSProtocolOption", "external_dns_protocol_option", Choice(PROTOCOLS)),
        Kind::OneOf(PROTOCOLS),
        "How external name servers are asked.",
        |settings| protocol(settings.dns.external_dns_protocol_option),
    ),
    key(
        TRANSPORT,
        of("ExternalDNSServers", "external_dns_servers", List(&Text)),
        Kind::MultiValued(&Kind::Text),
        "Name servers; none: those of the system.",
        |settings| name_servers(&settings.dns.external_dns_servers),
    ),
    key(
        TRANSPORT,
        of("InternalDNSProtocolOption", "internal_dns_protocol_option", Choice(PROTOCOLS)),
        Kind::OneOf(PROTOCOLS),
        "How internal name servers are asked.",
        |settings| protocol(settings.dns.internal_dns_protocol_option),
    ),
    key(
        TRANSPORT,
        of("InternalDNSServers", "internal_dns_servers", List(&Text)),
        Kind::MultiValued(&Kind::Text),
        "Name servers that are asked for send connectors without UseExternalDNSServersEnabled.",
        |settings| name_servers(&settings.dns.internal_dns_servers),
    ),
    key(
        TRANSPORT,
        of("MaxOutboundConnections", "max_outbound_connections", Unlimited(&Int)),
        Kind::UnlimitedInt,
        "Connections to next hops at a time.",
        |settings| unlimited(settings.transport.max_outbound_connections),
    ),
    key(
        TRANSPORT,
        of("MaxPerDomainOutboundConnections", "max_per_domain_outbound_connections", Unlimited(&Int)),
        Kind::UnlimitedInt,
        "Connections to one next hop at a time.",
        |settings| unlimited(settings.transport.max_per_domain_outbound_connections),
    ),
    key(
        TRANSPORT,
        of("MessageExpirationTimeout", "message_expiration_timeout", Span),
        Kind::Span,
        "How long a message is tried before its sender gets it back.",
        |settings| span(settings.retry.message_expiration_timeout).into(),
    ),
    key(
        TRANSPORT,
        of("MessageRetryInterval", "message_retry_interval", Span),
        Kind::Span,
        "How long a message waits after a 4xx reply.",
        |settings| span(settings.retry.message_retry_interval).into(),
    ),
    key(
        TRACKING,
        of("MessageTrackingLogEnabled", "message_tracking_log_enabled", Bool),
        Kind::Bool,
        "Whether it is recorded what becomes of messages.",
        |settings| settings.tracking.message_tracking_log_enabled.into(),
    ),
    key(
        TRACKING,
        of("MessageTrackingLogMaxAge", "message_tracking_log_max_age", Span),
        Kind::Span,
        "How long that is kept.",
        |settings| span(settings.tracking.message_tracking_log_max_age).into(),
    ),
    key(
        TRACKING,
        of("MessageTrackingLogMaxDirectorySize", "message_tracking_log_max_directory_size", Size),
        Kind::Size,
        "The room for it.",
        |settings| settings.tracking.message_tracking_log_max_directory_size.into(),
    ),
    key(
        TRACKING,
        of("MessageTrackingLogSubjectLoggingEnabled", "message_tracking_log_subject_logging_enabled", Bool),
        Kind::Bool,
        "Whether subjects are recorded.",
        |settings| settings.tracking.message_tracking_log_subject_logging_enabled.into(),
    ),
    key(
        TRANSPORT,
        of("OutboundConnectionFailureRetryInterval", "outbound_connection_failure_retry_interval", Span),
        Kind::Span,
        "How often a next hop is tried that has not answered for long.",
        |settings| span(settings.retry.outbound_connection_failure_retry_interval).into(),
    ),
    key(
        TRANSPORT,
        of("PoisonMessageDetectionEnabled", "poison_message_detection_enabled", Bool),
        Kind::Bool,
        "Whether messages are held back that bring the server down.",
        |settings| settings.transport.queues.poison.poison_message_detection_enabled.into(),
    ),
    key(
        TRANSPORT,
        of("PoisonThreshold", "poison_threshold", Int),
        Kind::Int,
        "After so many unclean ends.",
        |settings| settings.transport.queues.poison.poison_threshold.into(),
    ),
    key(
        TRANSPORT,
        of("QueueMaxIdleTime", "queue_max_idle_time", Span),
        Kind::Span,
        "How long an empty queue stays in listings.",
        |settings| span(settings.transport.queues.queue_max_idle_time).into(),
    ),
    key(
        TRACKING,
        of("ReceiveProtocolLogMaxAge", "receive_protocol_log_max_age", Span),
        Kind::Span,
        "How long transcripts of peers are kept.",
        |settings| span(settings.protocol_logs.receive.max_age).into(),
    ),
    key(
        TRACKING,
        of("ReceiveProtocolLogMaxDirectorySize", "receive_protocol_log_max_directory_size", Size),
        Kind::Size,
        "The room for them.",
        |settings| settings.protocol_logs.receive.max_directory_size.into(),
    ),
    key(
        TRACKING,
        of("ReceiveProtocolLogMaxFileSize", "receive_protocol_log_max_file_size", Size),
        Kind::Size,
        "The size of one file.",
        |settings| settings.protocol_logs.receive.max_file_size.into(),
    ),
    key(
        TRACKING,
        of("ReceiveProtocolLogPath", "receive_protocol_log_path", Text),
        Kind::Text,
        "Their folder.",
        |settings| settings.protocol_logs.receive.path.as_ref().map(|path| path.display().to_string()).into(),
    ),
    key(
        TRACKING,
        of("SendProtocolLogMaxAge", "send_protocol_log_max_age", Span),
        Kind::Span,
        "How long transcripts of next hops are kept.",
        |settings| span(settings.protocol_logs.send.max_age).into(),
    ),
    key(
        TRACKING,
        of("SendProtocolLogMaxDirectorySize", "send_protocol_log_max_directory_size", Size),
        Kind::Size,
        "The room for them.",
        |settings| settings.protocol_logs.send.max_directory_size.into(),
    ),
    key(
        TRACKING,
        of("SendProtocolLogMaxFileSize", "send_protocol_log_max_file_size", Size),
        Kind::Size,
        "The size of one file.",
        |settings| settings.protocol_logs.send.max_file_size.into(),
    ),
    key(TRACKING, of("SendProtocolLogPath", "send_protocol_log_path", Text), Kind::Text, "Their folder.", |settings| {
        settings.protocol_logs.send.path.as_ref().map(|path| path.display().to_string()).into()
    }),
    key(
        TRANSPORT,
        of("TransientFailureRetryCount", "transient_failure_retry_count", Int),
        Kind::Int,
        "How often a next hop that does not answer is tried in TransientFailureRetryInterval.",
        |settings| settings.retry.transient_failure_retry_count.into(),
    ),
    key(
        TRANSPORT,
        of("TransientFailureRetryInterval", "transient_failure_retry_interval", Span),
        Kind::Span,
        "How far apart these attempts are.",
        |settings| span(settings.retry.transient_failure_retry_interval).into(),
    ),
    key(
        TRANSPORT,
        of("QueueGlitchRetryCount", "queue_glitch_retry_count", Int),
        Kind::Int,
        "How often a next hop that does not answer is tried at first.",
        |settings| settings.retry.queue_glitch_retry_count.into(),
    ),
    key(
        TRANSPORT,
        of("QueueGlitchRetryInterval", "queue_glitch_retry_interval", Span),
        Kind::Span,
        "How far apart these attempts are.",
        |settings| span(settings.retry.queue_glitch_retry_interval).into(),
    ),
    key(
        TRANSPORT,
        of("MaxIdleTimeBeforeResubmit", "max_idle_time_before_resubmit", Span),
        Kind::Span,
        "What waits for a next hop that could not be reached for so long is routed anew.",
        |settings| span(settings.transport.queues.max_idle_time_before_resubmit).into(),
    ),
    key(
        TRANSPORT,
        of("MaxPerHostOutboundConnections", "max_per_host_outbound_connections", Unlimited(&Int)),
        Kind::UnlimitedInt,
        "Connections to one host, whatever the domains that it serves.",
        |settings| unlimited(settings.transport.max_per_host_outbound_connections),
    ),
    key(
        TRANSPORT,
        of("DnsFaultTolerance", "dns_fault_tolerance", Choice(TOLERANCES)),
        Kind::OneOf(TOLERANCES),
        "Whether addresses of one family will do where name servers fail for the other.",
        |settings| match settings.dns.dns_fault_tolerance {
            DnsFaultTolerance::Lenient => "Lenient".into(),
            DnsFaultTolerance::Normal => "Normal".into(),
        },
    ),
    key(
        TRANSPORT,
        of("PriorityQueuingEnabled", "priority_queuing_enabled", Bool),
        Kind::Bool,
        "Whether the priority that a header asks for counts.",
        |settings| settings.transport.queues.priorities.priority_queuing_enabled.into(),
    ),
    key(
        TRANSPORT,
        of("MaxHighPriorityMessageSize", "max_high_priority_message_size", Size),
        Kind::Size,
        "A larger message is not of high priority.",
        |settings| settings.transport.queues.priorities.max_high_priority_message_size.into(),
    ),
    key(
        TRANSPORT,
        of("MaxPerDomainHighPriorityConnections", "max_per_domain_high_priority_connections", Int),
        Kind::Int,
        "Of the connections to one next hop.",
        |settings| settings.transport.queues.priorities.max_per_domain_connections[0].into(),
    ),
    key(
        TRANSPORT,
        of("MaxPerDomainNormalPriorityConnections", "max_per_domain_normal_priority_connections", Int),
        Kind::Int,
        "Of the connections to one next hop.",
        |settings| settings.transport.queues.priorities.max_per_domain_connections[1].into(),
    ),
    key(
        TRANSPORT,
        of("MaxPerDomainLowPriorityConnections", "max_per_domain_low_priority_connections", Int),
        Kind::Int,
        "Of the connections to one next hop.",
        |settings| settings.transport.queues.priorities.max_per_domain_connections[2].into(),
    ),
    key(
        TRANSPORT,
        of("HighPriorityMessageExpirationTimeout", "high_priority_message_expiration_timeout", Span),
        Kind::Span,
        "In place of MessageExpirationTimeout, with priorities.",
        |settings| span(settings.transport.queues.priorities.message_expiration_timeout[0]).into(),
    ),
    key(
        TRANSPORT,
        of("NormalPriorityMessageExpirationTimeout", "normal_priority_message_expiration_timeout", Span),
        Kind::Span,
        "In place of MessageExpirationTimeout, with priorities.",
        |settings| span(settings.transport.queues.priorities.message_expiration_timeout[1]).into(),
    ),
    key(
        TRANSPORT,
        of("LowPriorityMessageExpirationTimeout", "low_priority_message_expiration_timeout", Span),
        Kind::Span,
        "In place of MessageExpirationTimeout, with priorities.",
        |settings| span(settings.transport.queues.priorities.message_expiration_timeout[2]).into(),
    ),
    key(
        TRANSPORT,
        of("HighPriorityDelayNotificationTimeout", "high_priority_delay_notification_timeout", Span),
        Kind::Span,
        "In place of DelayNotificationTimeout, with priorities.",
        |settings| span(settings.transport.queues.priorities.delay_notification_timeout[0]).into(),
    ),
    key(
        TRANSPORT,
        of("NormalPriorityDelayNotificationTimeout", "normal_priority_delay_notification_timeout", Span),
        Kind::Span,
        "In place of DelayNotificationTimeout, with priorities.",
        |settings| span(settings.transport.queues.priorities.delay_notification_timeout[1]).into(),
    ),
    key(
        TRANSPORT,
        of("LowPriorityDelayNotificationTimeout", "low_priority_delay_notification_timeout", Span),
        Kind::Span,
        "In place of DelayNotificationTimeout, with priorities.",
        |settings| span(settings.transport.queues.priorities.delay_notification_timeout[2]).into(),
    ),
    key(
        TRACKING,
        of("MessageTrackingLogAddressLoggingEnabled", "message_tracking_log_address_logging_enabled", Bool),
        Kind::Bool,
        "Whether addresses are recorded, or tokens in their place.",
        |settings| settings.tracking.message_tracking_log_address_logging_enabled.into(),
    ),
    shown("Fqdn", "fqdn", Text, |settings| settings.server.name.as_str().into()),
    shown("Identity", "identity", Identity, |settings| server::short_name(&settings.server.name).into()),
];

static SHAPE: Shape = Shape { name: "TransportService", view: &VIEW, properties: &properties::<48>(&KEYS) };

/// What Exchange has and is elsewhere here, or nowhere: why it cannot be set.
const REFUSED: [(Parameter, &str); 12] = {
    const fn refused(name: &'static str, reason: &'static str) -> (Parameter, &'static str) {
        (named(name, Kind::Any, "Refused, with the reason."), reason)
    }
    const FOLDER: &str = "records lie in data_dir/tracking; move data_dir ([server] of the settings)";
    const SEGMENTS: &str =
        "records lie in segments of their own size; -MessageTrackingLogMaxDirectorySize says how much room they have";
    const CONNECTIVITY: &str =
        "connections to next hops are recorded with everything else: `gatepost trace export --format connectivity`";
    const FOLDERS: &str = "there are no folders that mail is dropped into: hand it in by SMTP";
    [
        refused("MessageTrackingLogPath", FOLDER),
        refused("MessageTrackingLogMaxFileSize", SEGMENTS),
        refused("ConnectivityLogEnabled", CONNECTIVITY),
        refused("ConnectivityLogPath", CONNECTIVITY),
        refused("ConnectivityLogMaxAge", CONNECTIVITY),
        refused("ConnectivityLogMaxDirectorySize", CONNECTIVITY),
        refused("PickupDirectoryPath", FOLDERS),
        refused("ReplayDirectoryPath", FOLDERS),
        refused(
            "MaxConnectionRatePerMinute",
            "limits are those of connectors: Set-ReceiveConnector -MessageRateLimit, -MaxInboundConnection",
        ),
        refused("MaxConcurrentMailboxDeliveries", "a mailbox server is a next hop: -MaxPerDomainOutboundConnections"),
        refused("ExternalDNSAdapterEnabled", "without -ExternalDNSServers those of the system are asked"),
        refused(
            "IntraOrgConnectorProtocolLoggingLevel",
            "there is no connector within the organization that nobody declares: Set-SendConnector -ProtocolLoggingLevel",
        ),
    ]
};

const fn refused_parameters() -> [Parameter; REFUSED.len()] {
    let mut parameters = [DOMAIN_CONTROLLER; REFUSED.len()];
    let mut place = 0;
    while place < REFUSED.len() {
        parameters[place] = REFUSED[place].0;
        place += 1;
    }
    parameters
}

const OWN: [Parameter; 2] = [needed(identity("Which: the short or the whole name of this server.")), DOMAIN_CONTROLLER];
static SET_PARAMETERS: [Parameter; 2 + REFUSED.len() + 44] = parameters(
    &super::parameter::joined::<2, { REFUSED.len() }, { 2 + REFUSED.len() }>(OWN, refused_parameters()),
    &KEYS,
);

static GET: Signature = Signature {
    name: "Get-TransportService",
    aliases: &["Get-TransportServer", "Get-FrontendTransportService", "Get-MailboxTransportService"],
    synopsis: "Shows how this server carries mail: name servers, retries, expiry, records, transcripts.",
    parameters: &[identity("Which: the short or the whole name, or a name with wildcards."), DOMAIN_CONTROLLER],
    changes: Changes::Nothing,
    examples: &[
        ("Get-TransportService | Format-List", "Shows everything."),
        ("Get-TransportService | Get-MessageTrackingLog -EventId FAIL", "Goes on in scripts for many servers."),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    match is_meant(invocation)? {
        true => Ok(Answer::of(vec![record(&SHAPE, &KEYS, &invocation.settings)])),
        false => Ok(Answer::default()),
    }
}

static SET: Signature = Signature {
    name: "Set-TransportService",
    aliases: &["Set-TransportServer", "Set-FrontendTransportService"],
    synopsis: "Changes how this server carries mail; what is not named stays as it is, $null goes back to the default.",
    parameters: &SET_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "Get-TransportService | Set-TransportService -MessageExpirationTimeout 3.00:00:00",
            "Tries for three days before a sender gets a message back.",
        ),
        (
            "Set-TransportService MX1 -ExternalDNSServers @{Add=\"192.0.2.53\"} -ReceiveProtocolLogMaxAge 60.00:00:00",
            "Another name server, and transcripts of sixty days.",
        ),
    ],
};

async fn set(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    if let Some((refused, reason)) =
        REFUSED.iter().find(|(refused, _)| invocation.arguments.get(refused.name).is_some())
    {
        return Err(CommandError::Wrong(format!("{} can't be set here: {reason}", refused.name)));
    }
    amend(invocation, &SHAPE, |settings| {
        let own = &settings.server.name;
        let wanted = invocation.arguments.text("Identity").unwrap_or_default();
        if !server::is_this(own, wanted) {
            return Err(CommandError::NotFound(server::another(own, wanted)));
        }
        let title = format!("Setting the transport service \"{}\"", server::short_name(own));
        Ok(Plan::new(title, edits(&KEYS, &invocation.arguments, settings)?))
    })
    .await
}
