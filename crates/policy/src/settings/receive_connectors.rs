//! Reads `[[receive_connector]]` and checks what its properties say about each other (fact sheet sections 1.2, 1.9, 2.2
//! and 2.5). What several connectors say about each other is checked by `check`.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use gatepost_mail::Domain;
use toml::de::{DeTable, DeValue};

use super::access_entries::Accounts;
use super::reader::{Collector, Fields, Wrong, shown};
use super::usage::{self, Usage};
use super::{access_entries, certificates, idle_properties, notes, values};
use crate::accepted_domain::AcceptedDomains;
use crate::access_entry::{AccessEntry, PermissionGroup, PermissionGroups};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::receive_connector::{
    AcceptedRisk, AuthMechanism, Binding, Mechanism, MessageRateSource, ProtocolLoggingLevel, RangeError,
    ReceiveConnector, RemoteRange, SizeEnabled,
};
use crate::repair::{Part, Wanted};

const HEADER: &str = "[[receive_connector]]";
const COUNT_MAX: u32 = i32::MAX as u32;
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;
const TARPIT_SECONDS_MAX: u64 = 10 * MINUTE;

/// The groups that may be written. `Custom` is what Exchange reports, not what it takes.
const GROUPS: [(&str, Option<PermissionGroup>); 6] = {
    const fn named(group: PermissionGroup) -> (&'static str, Option<PermissionGroup>) {
        (group.exchange_name(), Some(group))
    }
    let [anonymous, users, servers, legacy_servers, partners] = PermissionGroup::ALL;
    [named(anonymous), named(users), named(servers), named(legacy_servers), named(partners), ("Custom", None)]
};

pub(super) const LOGGING_LEVELS: &[(&str, ProtocolLoggingLevel)] =
    &[("None", ProtocolLoggingLevel::None), ("Verbose", ProtocolLoggingLevel::Verbose)];

const SIZES: &[(&str, SizeEnabled)] = &[
    ("Enabled", SizeEnabled::Enabled),
    ("Disabled", SizeEnabled::Disabled),
    ("EnabledWithoutValue", SizeEnabled::EnabledWithoutValue),
];

/// `User` and `IPAddress` together are `All`.
const RATE_SOURCES: &[(&str, MessageRateSource)] =
    &[("User", MessageRateSource::User), ("IPAddress", MessageRateSource::IpAddress), ("All", MessageRateSource::All)];

/// What the rest of the document says that connectors refer to. `None` where that part is wrong itself: what refers to
/// it is not checked then.
pub(super) struct Surroundings<'a> {
    pub server_name: &'a Domain,
    pub domains: Option<&'a AcceptedDomains>,
    pub accounts: Accounts<'a>,
}

/// Reads one connector. Where a value is wrong, that is noted and the default stands in for it.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    table: &DeTable<'t>,
    span: Range<usize>,
    surroundings: &Surroundings<'_>,
) -> ReceiveConnector {
    let mut fields = Fields::new(collector, HEADER, table, span);
    let name = fields.required("name", "write name = \"...\": it tells this connector from the others", |value| {
        values::name(value).map(str::to_owned)
    });
    let preset = fields.optional("usage", values::choice(usage::USAGES)).unwrap_or(usage::CUSTOM);
    let bindings = bindings(&mut fields, &preset);
    let remote_ip_ranges = remote_ip_ranges(&mut fields, &preset);
    let mechanisms =
        flags(&mut fields, "auth_mechanism", &Mechanism::ALL.map(|mechanism| (mechanism.exchange_name(), mechanism)))
            .unwrap_or_else(|| preset.auth_mechanism.to_vec());
    let groups = flags(&mut fields, "permission_groups", &GROUPS)
        .unwrap_or_else(|| preset.permission_groups.iter().copied().map(Some).collect());
    if groups.contains(&None) {
        fields.warning_at(
            "permission_groups",
            "`Custom` is ignored: it only reports that there are entries besides those of the groups",
            "leave it out; entries are declared in [[receive_connector.permission]]",
        );
    }
    let mut permission_groups = PermissionGroups::NONE;
    groups.into_iter().flatten().for_each(|group| permission_groups.insert(group));
    let groups_from = if fields.is_given("permission_groups") { "permission_groups" } else { "usage" };
    let groups_span = fields.span_of(groups_from);
    let mut entries: Vec<AccessEntry> = permission_groups
        .iter()
        .flat_map(PermissionGroup::entries)
        .map(|entry| AccessEntry { span: groups_span.clone(), ..entry })
        .collect();
    for (table, span) in fields.tables("permission") {
        entries.extend(access_entries::read(fields.collector, table, span, &surroundings.accounts));
    }

    let auth_mechanism = AuthMechanism::of(&mechanisms);
    let domain_secure_by_default = preset.domain_secure_enabled
        && auth_mechanism.contains(Mechanism::Tls)
        && !auth_mechanism.contains(Mechanism::ExternalAuthoritative);
    let count = |max| values::number_or_unlimited(1, max);
    let flag = |fields: &mut Fields<'_, '_, 't>, key, default| fields.optional(key, values::boolean).unwrap_or(default);
    let connector = ReceiveConnector {
        name: name.unwrap_or_default().into(),
        comment: fields.optional("comment", values::comment).unwrap_or_default(),
        enabled: flag(&mut fields, "enabled", true),
        fqdn: fields.optional("fqdn", values::domain).unwrap_or_else(|| surroundings.server_name.clone()),
        banner: fields.optional("banner", values::banner),
        bindings,
        implicit_tls: flag(&mut fields, "implicit_tls", false),
        remote_ip_ranges,
        auth_mechanism,
        permission_groups,
        entries,
        max_message_size: fields
            .optional("max_message_size", values::size(65_536, MESSAGE_BYTES_MAX))
            .unwrap_or(36 << 20),
        size_enabled: fields.optional("size_enabled", values::choice(SIZES)).unwrap_or_default(),
        max_header_size: fields.optional("max_header_size", values::size(1, MESSAGE_BYTES_MAX)).unwrap_or(256 << 10),
        max_hop_count: fields.optional("max_hop_count", values::number(1, 500)).unwrap_or(60),
        max_local_hop_count: fields.optional("max_local_hop_count", values::number(0, 50)).unwrap_or(5),
        max_recipients_per_message: fields
            .optional("max_recipients_per_message", values::number(1, 512_000))
            .unwrap_or(200),
        max_inbound_connection: fields.optional("max_inbound_connection", count(COUNT_MAX)).unwrap_or(Some(5000)),
        max_inbound_connection_per_source: fields
            .optional("max_inbound_connection_per_source", count(10_000))
            .unwrap_or(Some(20)),
        max_inbound_connection_percentage_per_source: fields
            .optional("max_inbound_connection_percentage_per_source", values::number(1, 100))
            .unwrap_or(2),
        message_rate_limit: fields
            .optional("message_rate_limit", count(COUNT_MAX))
            .unwrap_or(preset.message_rate_limit),
        message_rate_source: rate_source(&mut fields).unwrap_or(preset.message_rate_source),
        max_protocol_errors: fields
            .optional("max_protocol_errors", values::number_or_unlimited(0, COUNT_MAX))
            .unwrap_or(Some(5)),
        max_logon_failures: fields.optional("max_logon_failures", values::number(0, 10)).unwrap_or(3),
        connection_timeout: fields
            .optional("connection_timeout", values::time_span(1, DAY))
            .unwrap_or(Duration::from_secs(10 * MINUTE)),
        connection_inactivity_timeout: fields
            .optional("connection_inactivity_timeout", values::time_span(1, DAY))
            .unwrap_or(Duration::from_secs(5 * MINUTE)),
        tarpit_interval: tarpit(&mut fields, "tarpit_interval"),
        auth_tarpit_interval: tarpit(&mut fields, "auth_tarpit_interval"),
        protocol_logging_level: fields
            .optional("protocol_logging_level", values::choice(LOGGING_LEVELS))
            .unwrap_or_default(),
        pipelining_enabled: flag(&mut fields, "pipelining_enabled", true),
        eight_bit_mime_enabled: flag(&mut fields, "eight_bit_mime_enabled", true),
        binary_mime_enabled: flag(&mut fields, "binary_mime_enabled", true),
        chunking_enabled: flag(&mut fields, "chunking_enabled", true),
        delivery_status_notification_enabled: flag(&mut fields, "delivery_status_notification_enabled", true),
        enhanced_status_codes_enabled: flag(&mut fields, "enhanced_status_codes_enabled", true),
        smtp_utf8_enabled: flag(&mut fields, "smtp_utf8_enabled", true),
        long_addresses_enabled: flag(&mut fields, "long_addresses_enabled", false),
        bare_linefeed_rejection_enabled: flag(&mut fields, "bare_linefeed_rejection_enabled", false),
        require_tls: flag(&mut fields, "require_tls", false),
        domain_secure_enabled: flag(&mut fields, "domain_secure_enabled", domain_secure_by_default),
        tls_certificate_name: fields
            .optional("tls_certificate_name", certificates::certificate_name)
            .flatten()
            .map(Box::new),
        require_ehlo_domain: flag(&mut fields, "require_ehlo_domain", false),
        reject_reserved_top_level_recipient_domains: flag(
            &mut fields,
            "reject_reserved_top_level_recipient_domains",
            false,
        ),
        reject_reserved_second_level_recipient_domains: flag(
            &mut fields,
            "reject_reserved_second_level_recipient_domains",
            false,
        ),
        reject_single_label_recipient_domains: flag(&mut fields, "reject_single_label_recipient_domains", false),
        repair: repair(&mut fields),
        default_domain: fields.optional("default_domain", values::domain),
        accept_risk: accepted_risk(&mut fields),
        span: fields.span_of("name"),
    };
    check_authentication(&mut fields, &connector);
    certificates::check_connector(&mut fields, &connector);
    idle_properties::read(&mut fields, surroundings.server_name);
    check_the_rest(&mut fields, &connector, surroundings);
    if fields.optional("max_acknowledgement_delay", values::time_span(0, DAY)).is_some() {
        fields.warning_at(
            "max_acknowledgement_delay",
            "`max_acknowledgement_delay` is ignored, as by Exchange since 2013: a message is on disk before it is acknowledged",
            "leave it out",
        );
    }
    fields.finish(&[]);
    connector
}

/// Fact sheet section 2.5.
fn check_authentication(fields: &mut Fields<'_, '_, '_>, connector: &ReceiveConnector) {
    const KEY: &str = "auth_mechanism";
    if fields.is_bad(KEY) {
        return;
    }
    let has = |mechanism| connector.auth_mechanism.contains(mechanism);
    if has(Mechanism::ExternalAuthoritative) {
        let others: Vec<_> = connector
            .auth_mechanism
            .iter()
            .filter(|mechanism| !matches!(mechanism, Mechanism::Tls | Mechanism::ExternalAuthoritative))
            .map(Mechanism::exchange_name)
            .collect();
        if !others.is_empty() {
            fields.error_at(
                KEY,
                format!("`ExternalAuthoritative` cannot stand beside {}", others.join(", ")),
                "only Tls may accompany ExternalAuthoritative: write [\"Tls\", \"ExternalAuthoritative\"]",
            );
        }
        if !fields.is_bad("permission_groups")
            && !connector.permission_groups.contains(PermissionGroup::ExchangeServers)
        {
            fields.error_at(
                KEY,
                "`ExternalAuthoritative` needs the permission group ExchangeServers",
                "add \"ExchangeServers\" to permission_groups: its hosts are then trusted like Exchange servers",
            );
        }
        return;
    }
    if has(Mechanism::BasicAuthRequireTls) && !(has(Mechanism::BasicAuth) && has(Mechanism::Tls)) {
        fields.error_at(
            KEY,
            "`BasicAuthRequireTLS` needs BasicAuth and Tls",
            "write [\"Tls\", \"BasicAuth\", \"BasicAuthRequireTLS\"]",
        );
    } else if has(Mechanism::BasicAuth) && !has(Mechanism::BasicAuthRequireTls) {
        fields.warning_at(
            KEY,
            "passwords are taken without TLS: `BasicAuth` stands without BasicAuthRequireTLS",
            "write [\"Tls\", \"BasicAuth\", \"BasicAuthRequireTLS\"] unless a device cannot do TLS",
        );
    }
    if fields.is_given(KEY) && has(Mechanism::Integrated) {
        fields.warning_at(
            KEY,
            "`Integrated` is not offered to peers: NTLM and Kerberos need a Windows domain",
            "leave it out: it changes nothing; clients log on with BasicAuth inside TLS",
        );
    }
    let needs_tls = [("require_tls", connector.require_tls), ("implicit_tls", connector.implicit_tls)];
    for (key, set) in needs_tls {
        if set && !has(Mechanism::Tls) {
            fields.error_at(key, format!("`{key}` needs Tls in auth_mechanism"), "add \"Tls\" to auth_mechanism");
        }
    }
}

/// Fact sheet section 1.9.
fn check_the_rest(fields: &mut Fields<'_, '_, '_>, connector: &ReceiveConnector, surroundings: &Surroundings<'_>) {
    let timeouts_read = !fields.is_bad("connection_timeout") && !fields.is_bad("connection_inactivity_timeout");
    if timeouts_read && connector.connection_timeout <= connector.connection_inactivity_timeout {
        let key =
            if fields.is_given("connection_timeout") { "connection_timeout" } else { "connection_inactivity_timeout" };
        fields.error_at(
            key,
            format!(
                "`connection_timeout` ({} s) must be longer than connection_inactivity_timeout ({} s)",
                connector.connection_timeout.as_secs(),
                connector.connection_inactivity_timeout.as_secs()
            ),
            "raise connection_timeout or lower connection_inactivity_timeout",
        );
    }
    if connector.binary_mime_enabled && !connector.chunking_enabled {
        let key = if fields.is_given("binary_mime_enabled") { "binary_mime_enabled" } else { "chunking_enabled" };
        fields.error_at(
            key,
            "`binary_mime_enabled` needs chunking_enabled: BINARYMIME content comes by BDAT alone",
            "write binary_mime_enabled = false too",
        );
    }
    if let (Some(domain), Some(domains)) = (&connector.default_domain, surroundings.domains)
        && domains.find(domain).is_none()
    {
        fields.error_at(
            "default_domain",
            format!("`default_domain`: {domain} is no accepted domain"),
            "write one of the names in [[accepted_domain]]",
        );
    }
    let mut seen = HashMap::new();
    for binding in &connector.bindings {
        if let Some(first) = seen.insert(binding.address, binding.span.clone()) {
            repeated(fields, "bindings", binding.span.clone(), first);
        }
    }
    let mut seen = HashMap::new();
    for range in &connector.remote_ip_ranges {
        if let Some(first) = seen.insert((range.first, range.last), range.span.clone()) {
            repeated(fields, "remote_ip_ranges", range.span.clone(), first);
        }
    }
}

fn repeated(fields: &mut Fields<'_, '_, '_>, key: &str, span: Range<usize>, first: Range<usize>) {
    let message = format!("`{key}` already holds this");
    fields.collector.error_between(span, message, "remove one of the two", (first, "it is already here"));
}

fn bindings(fields: &mut Fields<'_, '_, '_>, preset: &Usage) -> Vec<Binding> {
    const KEY: &str = "bindings";
    const REMEDY: &str = "write where to listen, for example bindings = [\"0.0.0.0:25\", \"[::]:25\"]";
    if let Some(texts) = preset.bindings.filter(|_| !fields.is_given(KEY)) {
        fields.value(KEY);
        let address = |text: &&str| text.parse().expect("a preset is a list of addresses");
        return texts.iter().map(|text| Binding { address: address(text), span: fields.span_of("usage") }).collect();
    }
    let read = |value: &DeValue<'_>, _| values::binding(value);
    // A usage that cannot be read might have said it.
    let bindings = match fields.is_bad("usage") {
        true => fields.list(KEY, read).unwrap_or_default(),
        false => fields.required_list(KEY, REMEDY, read),
    };
    bindings.into_iter().map(|(address, span)| Binding { address, span }).collect()
}

/// `repair`: what is put right in messages of devices that send rubbish.
fn repair(fields: &mut Fields<'_, '_, '_>) -> Wanted {
    const PARTS: &[(&str, Part)] = &[(Part::Senders.name(), Part::Senders), (Part::Date.name(), Part::Date)];
    let parts = fields.list("repair", |value, _| values::choice(PARTS)(value)).unwrap_or_default();
    let wants = |wanted| parts.iter().any(|(part, _)| *part == wanted);
    Wanted { senders: wants(Part::Senders), date: wants(Part::Date) }
}

fn remote_ip_ranges(fields: &mut Fields<'_, '_, '_>, preset: &Usage) -> Vec<RemoteRange> {
    const KEY: &str = "remote_ip_ranges";
    const REMEDY: &str = "write whom it is for, for example remote_ip_ranges = [\"192.168.2.55\", \"10.1.0.0/16\"]";
    if let Some(texts) = preset.remote_ip_ranges.filter(|_| !fields.is_given(KEY)) {
        fields.value(KEY);
        let span = fields.span_of("usage");
        let range = |text: &&str| RemoteRange::parse(text, span.clone()).expect("a preset is a list of ranges");
        return texts.iter().map(range).collect();
    }
    let is_required = !fields.is_bad("usage");
    let Some(elements) = fields.elements(KEY) else {
        if is_required {
            fields.lacks(KEY, REMEDY);
        }
        return Vec::new();
    };
    if elements.is_empty() && is_required {
        fields.error_at(KEY, format!("`{KEY}` is empty"), REMEDY);
    }
    let mut ranges = Vec::with_capacity(elements.len());
    for element in elements {
        let read = match element.get_ref() {
            DeValue::Table(table) => noted_range(fields, KEY, table, element.span()),
            text => match values::string(text).and_then(|text| range(text, element.span())) {
                Ok(range) => Some(range),
                Err(wrong) => {
                    fields.wrong(KEY, element.span(), wrong);
                    None
                }
            },
        };
        ranges.extend(read);
    }
    ranges
}

/// `{ range = "10.0.0.0/24", owner = "it@contoso.com", expires = 2027-01-31T00:00:00+01:00 }`.
fn noted_range<'t>(
    fields: &mut Fields<'_, '_, 't>,
    key: &'static str,
    table: &DeTable<'t>,
    span: Range<usize>,
) -> Option<RemoteRange> {
    let mut noted = Fields::new(fields.collector, "a range of remote_ip_ranges", table, span);
    let place = noted.span_of("range");
    let read = |value: &DeValue<'_>| range(values::string(value)?, place);
    let range = noted.required("range", "write { range = \"10.0.0.0/24\", ... }", read);
    let note = notes::read(&mut noted);
    noted.finish(&[]);
    if range.is_none() {
        fields.spoil(key);
    }
    Some(RemoteRange { note, ..range? })
}

fn accepted_risk(fields: &mut Fields<'_, '_, '_>) -> Option<Box<AcceptedRisk>> {
    const KEY: &str = "accept_risk";
    let reason = fields.optional(KEY, values::reason)?;
    Some(Box::new(AcceptedRisk { reason, span: fields.span_of(KEY) }))
}

/// `None` where the key is left out.
fn rate_source(fields: &mut Fields<'_, '_, '_>) -> Option<MessageRateSource> {
    let written = flags(fields, "message_rate_source", RATE_SOURCES)?;
    let all = written.into_iter().reduce(|one, other| if one == other { one } else { MessageRateSource::All });
    Some(all.unwrap_or(MessageRateSource::None))
}

fn tarpit(fields: &mut Fields<'_, '_, '_>, key: &'static str) -> Duration {
    fields.optional(key, values::time_span(0, TARPIT_SECONDS_MAX)).unwrap_or(Duration::from_secs(5))
}

pub(super) fn range(text: &str, span: Range<usize>) -> Result<RemoteRange, Wrong> {
    RemoteRange::parse(text, span).map_err(|error| {
        let remedy = match error {
            RangeError::Address => {
                "write \"192.168.2.55\", \"10.9.0.1-10.9.0.20\", \"10.1.0.0/16\", \"10.1.0.0(255.255.0.0)\" or \"2001:db8::/64\""
            }
            RangeError::Order => "write the lower address first",
            RangeError::Family => "write two ranges, one of IPv4 and one of IPv6",
            RangeError::Bits => "write 0 to 32 behind an IPv4 address, 0 to 128 behind an IPv6 address",
            RangeError::Mask => "write a mask such as 255.255.255.0, or a number of network bits: /24",
            RangeError::Unspecified => "for all addresses write \"0.0.0.0-255.255.255.255\" and \"::/0\"",
        };
        Wrong::new(format!("`{}` is no range: {error}", shown(text)), remedy)
    })
}

/// The flags of a value, an array or one text with commas between. `None` stands alone.
fn flags<T: Copy>(fields: &mut Fields<'_, '_, '_>, key: &'static str, known: &[(&'static str, T)]) -> Option<Vec<T>> {
    let mut flags = Vec::new();
    let mut none = None;
    for (names, span) in fields.list(key, |value, _| values::flag_names(value))? {
        for name in names {
            if name.eq_ignore_ascii_case("None") {
                none = Some(span.clone());
                continue;
            }
            match known.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                Some((_, flag)) => flags.push(*flag),
                None => {
                    let names = known.iter().map(|(name, _)| *name).chain(["None"]);
                    fields.wrong(key, span.clone(), values::unknown_name(&name, names));
                }
            }
        }
    }
    if let Some(span) = none.filter(|_| !flags.is_empty()) {
        fields.wrong(
            key,
            span,
            Wrong::new("`None` cannot stand beside others", "write \"None\" alone, or leave it out"),
        );
    }
    Some(flags)
}
