//! Reads `[[send_connector]]` (fact sheet section 4.4).

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::Domain;
use toml::de::DeTable;

use super::reader::{Collector, Fields, Wrong, shown};
use super::receive_connectors::LOGGING_LEVELS;
use super::route_keys::{self, References, RouteKeys};
use super::{error_policies, idle_send_properties, logons, notes, retry_keys, send_tls, values};
use crate::access_entry::{Access, Right, Trustee};
use crate::exchangers::AddressScope;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::mailbox_delivery;
use crate::masquerade::Masquerade;
use crate::send_connector::{Host, SendConnector, SmartHostAuthMechanism, SmartHostsOrder, SourceAddresses, Usage};
use crate::send_permission;
use crate::send_right::{SendEntry, SendRight, SendRights};

const HEADER: &str = "[[send_connector]]";
const DAY: u64 = 24 * 60 * 60;
/// The times of so many messages are kept for each connector with a limit.
const MESSAGES_PER_MINUTE_MAX: u32 = 100_000;

const SCOPES: &[(&str, AddressScope)] = &[("Any", AddressScope::Any), ("Public", AddressScope::Public)];

const USAGES: &[(&str, Usage)] = &[
    ("Custom", Usage::Custom),
    ("Internal", Usage::Internal),
    ("Internet", Usage::Internet),
    ("Partner", Usage::Partner),
];
const ORDERS: &[(&str, SmartHostsOrder)] =
    &[("balanced", SmartHostsOrder::Balanced), ("ordered", SmartHostsOrder::Ordered)];

/// `masquerade_domains` and `masquerade_as`.
fn masquerade(fields: &mut Fields<'_, '_, '_>) -> Option<Arc<Masquerade>> {
    let domains = fields.list("masquerade_domains", |value, _| values::domain_with_subdomains(value));
    let domain = fields.optional("masquerade_as", values::domain);
    match (domains, domain) {
        (Some(domains), Some(domain)) if !domains.is_empty() => {
            if !domain.as_str().is_ascii() {
                fields.error_at(
                    "masquerade_as",
                    "`masquerade_as`: not every next hop takes a name with letters beyond ASCII",
                    "write it as it stands in the DNS: xn--...",
                );
            }
            let domains = domains.into_iter().map(|(domain, _)| domain).collect();
            Some(Arc::new(Masquerade { domains, domain }))
        }
        (Some(_), None) if !fields.is_bad("masquerade_as") => {
            fields.error_at(
                "masquerade_domains",
                "`masquerade_domains`: nothing says by which name they are shown",
                "write masquerade_as = \"contoso.com\", too",
            );
            None
        }
        (None, Some(_)) => {
            fields.error_at(
                "masquerade_as",
                "`masquerade_as`: nothing says which domains are not to be seen",
                "write masquerade_domains = [\"*.internal\"], too",
            );
            None
        }
        _ => None,
    }
}

/// Reads one connector. Where a value is wrong, that is noted and the default stands in for it.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    table: &DeTable<'t>,
    span: Range<usize>,
    server_name: &Domain,
) -> (SendConnector, References) {
    let mut fields = Fields::new(collector, HEADER, table, span);
    let name = fields.required("name", "write name = \"...\": it tells this connector from the others", |value| {
        values::name(value).map(str::to_owned)
    });
    let RouteKeys { sources, linked_receive_connector, fallback_connector, mut references } =
        route_keys::read(&mut fields);
    let is_linked = linked_receive_connector.is_some();
    let address_spaces = fields.list("address_spaces", |value, _| values::address_space(value));
    let is_leading_nowhere = address_spaces.as_ref().is_some_and(Vec::is_empty) && !fields.is_bad("address_spaces");
    references.spaces_are_bad = is_leading_nowhere || fields.is_bad("address_spaces");
    if is_linked && address_spaces.is_some() {
        fields.error_at(
            "address_spaces",
            "`address_spaces`: a linked connector takes everything that its receive connector brings",
            "remove it, or remove linked_receive_connector",
        );
    } else if is_leading_nowhere {
        let remedy = "write which domains it leads to: address_spaces = [\"SMTP:*;1\"] for all";
        fields.error_at("address_spaces", "`address_spaces` is empty", remedy);
    }
    let port = fields.optional("port", values::number(1, 65_535)).unwrap_or(25);
    let port = u16::try_from(port).expect("it is at most 65535");
    let smart_hosts = fields.list("smart_hosts", |value, _| values::smart_host(value)).unwrap_or_default();
    let has_smart_hosts = !smart_hosts.is_empty() || fields.is_bad("smart_hosts");
    let dns_routing = fields.optional("dns_routing_enabled", values::boolean);
    let usage = fields.optional("usage", values::choice(USAGES)).unwrap_or_default();
    let size_max = if usage == Usage::Internal { None } else { Some(35 << 20) };
    let source_ip_address = source_addresses(&mut fields);
    let tls = send_tls::read(&mut fields, has_smart_hosts);
    let (smart_host_auth_mechanism, logon) = logons::read(&mut fields);
    let error_policies = error_policies::read(&mut fields);
    idle_send_properties::read(&mut fields, server_name);
    let tables = fields.tables("permission");
    let permissions = tables.into_iter().filter_map(|(table, span)| permission(fields.collector, table, span));
    let entries: Vec<SendEntry> = permissions.collect();
    let flag = |fields: &mut Fields<'_, '_, 't>, key| fields.optional(key, values::boolean);
    let connector = SendConnector {
        name: name.unwrap_or_default().into(),
        comment: fields.optional("comment", values::comment).unwrap_or_default(),
        enabled: flag(&mut fields, "enabled").unwrap_or(true),
        usage,
        address_spaces: address_spaces.unwrap_or_default().into_iter().map(|(space, _)| space).collect(),
        sources,
        linked_receive_connector,
        fallback_connector,
        retry: retry_keys::read(&mut fields),
        mailbox_protocol: None,
        smart_hosts: smart_hosts.into_iter().map(|(host, _)| values::with_port(host, port)).collect(),
        smart_hosts_order: fields.optional("smart_hosts_order", values::choice(ORDERS)).unwrap_or_default(),
        dns_routing_enabled: dns_routing.unwrap_or(!has_smart_hosts),
        convert_8bit_mime: flag(&mut fields, "convert_8bit_mime").unwrap_or(false),
        mx_address_scope: fields.optional("mx_address_scope", values::choice(SCOPES)).unwrap_or_default(),
        use_external_dns_servers_enabled: flag(&mut fields, "use_external_dns_servers_enabled").unwrap_or(false),
        port,
        source_ip_address,
        fqdn: fields.optional("fqdn", values::domain).unwrap_or_else(|| server_name.clone()),
        force_helo: flag(&mut fields, "force_helo").unwrap_or(false),
        require_tls: tls.require_tls,
        implicit_tls: tls.implicit_tls,
        tls_auth_level: tls.level,
        tls_domain: tls.domain,
        domain_secure_enabled: tls.domain_secure_enabled,
        tls_certificate_name: tls.certificate_name,
        ignore_starttls: tls.ignore_starttls,
        max_message_size: fields
            .optional("max_message_size", values::size_or_unlimited(MESSAGE_BYTES_MAX))
            .unwrap_or(size_max.filter(|_| !is_linked)),
        smtp_max_messages_per_connection: fields
            .optional("smtp_max_messages_per_connection", values::number(1, i32::MAX as u32))
            .unwrap_or(20),
        connection_inactivity_timeout: fields
            .optional("connection_inactivity_timeout", values::time_span(1, DAY))
            .unwrap_or(Duration::from_secs(10 * 60)),
        max_connections: fields.optional("max_connections", values::number_or_unlimited(1, i32::MAX as u32)).flatten(),
        messages_per_minute: fields
            .optional("messages_per_minute", values::number_or_unlimited(1, MESSAGES_PER_MINUTE_MAX))
            .flatten(),
        error_policies,
        smart_host_auth_mechanism,
        logon,
        entries,
        masquerade: masquerade(&mut fields),
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
    if connector.smart_host_auth_mechanism == SmartHostAuthMechanism::ExternalAuthoritative && !has_smart_hosts {
        fields.error_at(
            "smart_host_auth_mechanism",
            "`ExternalAuthoritative` speaks of smart hosts, and this connector has none",
            "write smart_hosts = [\"[10.0.0.5]\"], or leave smart_host_auth_mechanism out",
        );
    }
    check_helo(&mut fields, &connector);
    check_logon(&mut fields, &connector, has_smart_hosts);
    if connector.name.to_lowercase().starts_with(mailbox_delivery::NAME) {
        let message = format!("`name`: the way to mailboxes is called `{}`", mailbox_delivery::NAME);
        fields.error_at("name", message, "write another name");
    }
    if is_linked {
        check_link(&mut fields, &connector);
    }
    for key in ["max_per_domain_outbound_connections", "max_outbound_connections"] {
        if fields.value(key).is_some() {
            let remedy = format!("write it in [transport]: {key} = 20");
            fields.error_at(key, format!("`{key}` is a limit of the whole server"), remedy);
        }
    }
    fields.finish(&[]);
    warn_of_idle_entries(collector, &connector);
    (connector, references)
}

/// What Exchange asks of a connector that is linked to a receive connector.
fn check_link(fields: &mut Fields<'_, '_, '_>, connector: &SendConnector) {
    if connector.smart_hosts.is_empty() && !fields.is_bad("smart_hosts") {
        fields.error_at(
            "linked_receive_connector",
            "`linked_receive_connector` needs smart_hosts: whatever comes in goes to them",
            "write smart_hosts = [\"[10.0.0.5]\"]",
        );
    }
    if !fields.is_given("smart_host_auth_mechanism") {
        fields.error_at(
            "linked_receive_connector",
            "`linked_receive_connector` needs smart_host_auth_mechanism: say how the smart hosts know us",
            "write smart_host_auth_mechanism = \"None\", or the mechanism that they want",
        );
    }
    if connector.max_message_size.is_some() {
        fields.error_at(
            "max_message_size",
            "`max_message_size`: a linked connector takes messages of every size",
            "write max_message_size = \"unlimited\", or leave it out",
        );
    }
}

/// Warns of entries for principals that the next hops of this connector never are.
fn warn_of_idle_entries(collector: &mut Collector<'_>, connector: &SendConnector) {
    let next_hop = send_permission::next_hop(connector);
    for entry in connector.entries.iter().filter(|entry| !entry.trustee.covers(&next_hop)) {
        collector.warning(
            entry.span.clone(),
            format!("this entry changes nothing: the next hops of this connector are `{next_hop}`"),
            match connector.smart_host_auth_mechanism {
                SmartHostAuthMechanism::None
                | SmartHostAuthMechanism::BasicAuth
                | SmartHostAuthMechanism::BasicAuthRequireTls => {
                    "write that as its user, or smart_host_auth_mechanism = \"ExternalAuthoritative\" in the connector"
                }
                SmartHostAuthMechanism::ExternalAuthoritative => "write that as its user",
            },
        );
    }
}

/// At most one address of each family.
fn source_addresses(fields: &mut Fields<'_, '_, '_>) -> SourceAddresses {
    const KEY: &str = "source_ip_address";
    let mut sources = SourceAddresses::default();
    for (address, span) in fields.list(KEY, |value, _| values::source_address(value)).unwrap_or_default() {
        let is_second = match address {
            Some(IpAddr::V4(address)) => sources.v4.replace(address).is_some(),
            Some(IpAddr::V6(address)) => sources.v6.replace(address).is_some(),
            None => false,
        };
        if is_second {
            let message = "a connection comes from one address, and these are two of one family";
            fields.wrong(KEY, span, Wrong::new(message, "keep one IPv4 and one IPv6 address at most"));
        }
    }
    sources
}

/// HELO knows no extensions, and what needs one cannot be had with it.
fn check_helo(fields: &mut Fields<'_, '_, '_>, connector: &SendConnector) {
    const KEY: &str = "force_helo";
    let starttls = connector.require_tls && !connector.implicit_tls;
    for (is_wanted, what) in [
        (starttls, "require_tls"),
        (connector.domain_secure_enabled, "domain_secure_enabled"),
        (connector.smart_host_auth_mechanism.logs_on(), "a logon"),
    ] {
        if connector.force_helo && is_wanted && !fields.is_bad(KEY) {
            let message = format!("`force_helo` cannot be true with {what}: who says HELO is offered nothing");
            fields.error_at(KEY, message, "write force_helo = false, or leave it out");
        }
    }
}

/// What a mechanism needs of the rest of the connector.
fn check_logon(fields: &mut Fields<'_, '_, '_>, connector: &SendConnector, has_smart_hosts: bool) {
    const KEY: &str = "smart_host_auth_mechanism";
    let (name, for_nobody) = match connector.smart_host_auth_mechanism {
        SmartHostAuthMechanism::None => return,
        SmartHostAuthMechanism::ExternalAuthoritative => ("ExternalAuthoritative", "smart_hosts = [\"[10.0.0.5]\"]"),
        SmartHostAuthMechanism::BasicAuth => ("BasicAuth", "smart_hosts = [\"smtp.example.net:587\"]"),
        SmartHostAuthMechanism::BasicAuthRequireTls => {
            ("BasicAuthRequireTLS", "smart_hosts = [\"smtp.example.net:587\"]")
        }
    };
    if !has_smart_hosts {
        fields.error_at(
            KEY,
            format!("`{name}` speaks of smart hosts, and this connector has none"),
            format!("write {for_nobody}, or leave smart_host_auth_mechanism out"),
        );
    }
    let needs_tls = connector.smart_host_auth_mechanism == SmartHostAuthMechanism::BasicAuthRequireTls;
    if needs_tls && connector.ignore_starttls {
        fields.error_at(
            KEY,
            "`BasicAuthRequireTLS` cannot stand beside ignore_starttls = true",
            "write ignore_starttls = false; or BasicAuth, if the password may travel in clear",
        );
    }
    let may_be_in_clear = connector.smart_host_auth_mechanism == SmartHostAuthMechanism::BasicAuth
        && !connector.require_tls
        && !connector.implicit_tls;
    let all_here = connector.smart_hosts.iter().all(|host| matches!(host.host, Host::Address(ip) if ip.is_loopback()));
    if may_be_in_clear && !all_here {
        fields.warning_at(
            KEY,
            "`BasicAuth` says the password in clear to whoever offers no STARTTLS, and whoever sits between can see to that",
            "write \"BasicAuthRequireTLS\"; or require_tls = true for a server whose certificate cannot be checked",
        );
    }
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
