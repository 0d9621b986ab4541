//! Reads `[[send_connector]]` (fact sheet section 4.4).

use std::ops::Range;
use std::time::Duration;

use gatepost_mail::Domain;
use toml::de::{DeTable, DeValue};

use super::reader::{Collector, Fields, Wrong, shown};
use super::receive_connectors::LOGGING_LEVELS;
use super::{certificates, notes, values};
use crate::access_entry::{Access, Right, Trustee};
use crate::exchangers::AddressScope;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::send_connector::{SendConnector, SmartHostAuthMechanism};
use crate::send_permission;
use crate::send_right::{SendEntry, SendRight, SendRights};

const HEADER: &str = "[[send_connector]]";
const DAY: u64 = 24 * 60 * 60;

const SCOPES: &[(&str, AddressScope)] = &[("Any", AddressScope::Any), ("Public", AddressScope::Public)];

/// Exchange's properties that have no effect here yet.
const PLANNED: &[&str] = &[
    "authentication_credential",
    "cloud_services_mail_enabled",
    "connector_type",
    "domain_secure_enabled",
    "error_policies",
    "force_helo",
    "frontend_proxy_enabled",
    "is_coexistence_connector",
    "is_scoped_connector",
    "linked_receive_connector",
    "require_oorg",
    "source_ip_address",
    "source_transport_servers",
    "tls_auth_level",
    "tls_domain",
    "usage",
    "use_external_dns_servers_enabled",
];

/// Reads one connector. Where a value is wrong, that is noted and the default stands in for it.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    table: &DeTable<'t>,
    span: Range<usize>,
    server_name: &Domain,
) -> SendConnector {
    let mut fields = Fields::new(collector, HEADER, table, span);
    let name = fields.required("name", "write name = \"...\": it tells this connector from the others", |value| {
        values::name(value).map(str::to_owned)
    });
    let address_spaces = fields.required_list(
        "address_spaces",
        "write which domains it leads to: address_spaces = [\"SMTP:*;1\"] for all",
        |value, _| values::address_space(value),
    );
    let port = fields.optional("port", values::number(1, 65_535)).unwrap_or(25);
    let port = u16::try_from(port).expect("it is at most 65535");
    let smart_hosts = fields.list("smart_hosts", |value, _| values::smart_host(value)).unwrap_or_default();
    let has_smart_hosts = !smart_hosts.is_empty() || fields.is_bad("smart_hosts");
    let dns_routing = fields.optional("dns_routing_enabled", values::boolean);
    let tables = fields.tables("permission");
    let permissions = tables.into_iter().filter_map(|(table, span)| permission(fields.collector, table, span));
    let entries: Vec<SendEntry> = permissions.collect();
    let flag = |fields: &mut Fields<'_, '_, 't>, key| fields.optional(key, values::boolean);
    let connector = SendConnector {
        name: name.unwrap_or_default().into(),
        comment: fields.optional("comment", values::comment).unwrap_or_default(),
        enabled: flag(&mut fields, "enabled").unwrap_or(true),
        address_spaces: address_spaces.into_iter().map(|(space, _)| space).collect(),
        smart_hosts: smart_hosts.into_iter().map(|(host, _)| values::with_port(host, port)).collect(),
        dns_routing_enabled: dns_routing.unwrap_or(!has_smart_hosts),
        mx_address_scope: fields.optional("mx_address_scope", values::choice(SCOPES)).unwrap_or_default(),
        port,
        fqdn: fields.optional("fqdn", values::domain).unwrap_or_else(|| server_name.clone()),
        require_tls: flag(&mut fields, "require_tls").unwrap_or(false),
        tls_certificate_name: fields
            .optional("tls_certificate_name", certificates::certificate_name)
            .flatten()
            .map(Box::new),
        ignore_starttls: flag(&mut fields, "ignore_starttls").unwrap_or(false),
        max_message_size: fields
            .optional("max_message_size", values::size_or_unlimited(MESSAGE_BYTES_MAX))
            .unwrap_or(Some(35 << 20)),
        smtp_max_messages_per_connection: fields
            .optional("smtp_max_messages_per_connection", values::number(1, i32::MAX as u32))
            .unwrap_or(20),
        connection_inactivity_timeout: fields
            .optional("connection_inactivity_timeout", values::time_span(1, DAY))
            .unwrap_or(Duration::from_secs(10 * 60)),
        smart_host_auth_mechanism: fields
            .optional("smart_host_auth_mechanism", smart_host_auth_mechanism)
            .unwrap_or_default(),
        entries,
        protocol_logging_level: fields
            .optional("protocol_logging_level", values::choice(LOGGING_LEVELS))
            .unwrap_or_default(),
        span: fields.span_of("name"),
    };
    if has_smart_hosts && dns_routing == Some(true) {
        fields.error_at(
            "dns_routing_enabled",
            "`dns_routing_enabled` cannot be true where smart_hosts are given",
            "write dns_routing_enabled = false to use the smart hosts, or remove smart_hosts to use MX records",
        );
    }
    if !has_smart_hosts && dns_routing == Some(false) {
        fields.error_at(
            "dns_routing_enabled",
            "this connector leads nowhere: it has no smart_hosts and does not use MX records",
            "write smart_hosts = [\"relay.example.net\"] or dns_routing_enabled = true",
        );
    }
    if has_smart_hosts && connector.mx_address_scope != AddressScope::Any {
        fields.error_at(
            "mx_address_scope",
            "`mx_address_scope` speaks of MX records, and this connector sends to smart_hosts",
            "leave it out: a smart host is where you send it",
        );
    }
    if connector.require_tls && connector.ignore_starttls {
        fields.error_at(
            "ignore_starttls",
            "`ignore_starttls` cannot be true where require_tls is",
            "write ignore_starttls = false, or require_tls = false",
        );
    }
    if connector.tls_certificate_name.is_some() && connector.ignore_starttls {
        fields.error_at(
            "ignore_starttls",
            "`ignore_starttls` cannot be true where tls_certificate_name is given: without TLS nobody sees it",
            "write ignore_starttls = false, or remove tls_certificate_name",
        );
    }
    if connector.smart_host_auth_mechanism == SmartHostAuthMechanism::ExternalAuthoritative && !has_smart_hosts {
        fields.error_at(
            "smart_host_auth_mechanism",
            "`ExternalAuthoritative` speaks of smart hosts, and this connector has none",
            "write smart_hosts = [\"[10.0.0.5]\"], or leave smart_host_auth_mechanism out",
        );
    }
    for key in ["max_per_domain_outbound_connections", "max_outbound_connections"] {
        if fields.value(key).is_some() {
            let remedy = format!("write it in [transport]: {key} = 20");
            fields.error_at(key, format!("`{key}` is a limit of the whole server"), remedy);
        }
    }
    fields.finish(PLANNED);
    warn_of_idle_entries(collector, &connector);
    connector
}

/// Warns of entries for principals that the next hops of this connector never are.
fn warn_of_idle_entries(collector: &mut Collector<'_>, connector: &SendConnector) {
    let next_hop = send_permission::next_hop(connector);
    for entry in connector.entries.iter().filter(|entry| !entry.trustee.covers(&next_hop)) {
        collector.warning(
            entry.span.clone(),
            format!("this entry changes nothing: the next hops of this connector are `{next_hop}`"),
            match connector.smart_host_auth_mechanism {
                SmartHostAuthMechanism::None => {
                    "write that as its user, or smart_host_auth_mechanism = \"ExternalAuthoritative\" in the connector"
                }
                SmartHostAuthMechanism::ExternalAuthoritative => "write that as its user",
            },
        );
    }
}

fn smart_host_auth_mechanism(value: &DeValue<'_>) -> Result<SmartHostAuthMechanism, Wrong> {
    const LATER: [&str; 3] = ["BasicAuth", "BasicAuthRequireTLS", "ExchangeServer"];
    const KNOWN: [(&str, SmartHostAuthMechanism); 2] = [
        ("None", SmartHostAuthMechanism::None),
        ("ExternalAuthoritative", SmartHostAuthMechanism::ExternalAuthoritative),
    ];
    let name = values::string(value)?;
    if let Some(later) = LATER.into_iter().find(|later| later.eq_ignore_ascii_case(name)) {
        let message = format!("`{later}` is not supported yet");
        return Err(Wrong::new(
            message,
            "write \"None\", or \"ExternalAuthoritative\" where the network protects the way",
        ));
    }
    let known = KNOWN.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known
        .map(|(_, mechanism)| mechanism)
        .ok_or_else(|| values::unknown_name(name, KNOWN.into_iter().map(|(known, _)| known)))
}

/// One `[[send_connector.permission]]`.
fn permission<'t>(collector: &mut Collector<'t>, table: &DeTable<'t>, span: Range<usize>) -> Option<SendEntry> {
    let mut fields = Fields::new(collector, "[[send_connector.permission]]", table, span.clone());
    let trustee = fields.required(
        "user",
        "write whom the rights are for: user = \"NT AUTHORITY\\\\ANONYMOUS LOGON\" is any next hop",
        |value| trustee(values::string(value)?),
    );
    let names = fields.required_list(
        "extended_rights",
        "write what is granted: extended_rights = [\"ms-Exch-Send-Headers-Organization\"]",
        |value, _| {
            let names = values::flag_names(value)?;
            names.iter().map(|name| right(name)).collect::<Result<SendRights, Wrong>>()
        },
    );
    let deny = fields.optional("deny", values::boolean).unwrap_or(false);
    let note = notes::read(&mut fields);
    fields.finish(&[]);
    let rights = names.into_iter().fold(SendRights::NONE, |all, (rights, _)| all | rights);
    let access = if deny { Access::Deny } else { Access::Allow };
    Some(SendEntry { trustee: trustee?, access, rights, note, span })
}

fn trustee(name: &str) -> Result<Trustee, Wrong> {
    Trustee::parse_well_known(name).ok_or_else(|| {
        Wrong::new(
            format!("`{}` is no next hop", shown(name)),
            "write \"NT AUTHORITY\\\\ANONYMOUS LOGON\" or \"MS Exchange\\\\Externally Secured Servers\": we never send to a user",
        )
    })
}

fn right(name: &str) -> Result<SendRight, Wrong> {
    SendRight::parse(name).ok_or_else(|| {
        if Right::parse(name).is_some() {
            return Wrong::new(
                format!("`{}` is a right on receive connectors", shown(name)),
                "write it in a [[receive_connector.permission]]",
            );
        }
        values::unknown_name(name, SendRight::ALL.into_iter().map(SendRight::exchange_name))
    })
}
