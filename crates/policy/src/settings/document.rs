//! Reads the document as a whole: its tables in turn, then what they say about each other.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Domain, Mailbox};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::access_entries::Accounts;
use super::known::Known;
use super::problem::{Problem, Severity};
use super::reader::{Collector, Fields, Wrong, shown};
use super::receive_connectors::Surroundings;
use super::route_keys::References;
use super::{
    DOCUMENT_BYTES_MAX, Defaults, DnsFaultTolerance, DnsProtocolOption, DnsSettings, PasswordHash, QueueSettings,
    RevisionSettings, ServerSettings, Settings, TrackingSettings, TransportSettings, User, certificates, management,
    monitoring, protocol_logs, queues, receive_connectors, recipients, remote_domains, reports, retry_keys, route_keys,
    send_connectors, syntax, values,
};
use super::{assertions, check, mailbox_delivery};
use crate::accepted_domain::{self, AcceptedDomain, AcceptedDomains, DomainKind};
use crate::access_entry::{Trustee, UserGroup};
use crate::back_pressure::{BackPressureSettings, Thresholds};
use crate::directory::Directory;
use crate::mailbox_delivery::MailboxDelivery;
use crate::notify::ReportSettings;
use crate::protocol_log::ProtocolLogs;
use crate::receive_connector::Selector;
use crate::remote_domain::RemoteDomains;
use crate::retry::Schedule;
use crate::send_connector::AddressSpaces;

const DOMAIN_KINDS: &[(&str, DomainKind)] = &{
    const fn named(kind: DomainKind) -> (&'static str, DomainKind) {
        (kind.exchange_name(), kind)
    }
    [named(DomainKind::Authoritative), named(DomainKind::InternalRelay), named(DomainKind::ExternalRelay)]
};
const DAY: u64 = 24 * 60 * 60;

/// Reads a settings document. On failure every problem is handed back, warnings included, in document order; at least
/// one is an error. A document of more than [`DOCUMENT_BYTES_MAX`] bytes is not read.
pub fn parse(text: &str, defaults: &Defaults) -> Result<Settings, Vec<Problem>> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(vec![Problem {
            severity: Severity::Error,
            span: 0..0,
            line: 1,
            column: 1,
            message: format!("the document has {} bytes", text.len()),
            remedy: format!("keep it below {DOCUMENT_BYTES_MAX} bytes"),
            related: None,
        }]);
    }
    let mut collector = Collector::new(text);
    let recovered;
    let (root, whole) = match DeTable::parse(text) {
        Ok(root) => (root, true),
        Err(_) => {
            let broken;
            (recovered, broken) = syntax::recover(text);
            broken.into_iter().for_each(|broken| collector.broken(broken));
            (DeTable::parse_recoverable(&recovered).0, false)
        }
    };
    let mut settings = read(&mut collector, root.get_ref(), whole, defaults, &mut Known::default());
    let (problems, failed) = collector.finish();
    if failed {
        return Err(problems);
    }
    settings.warnings = problems;
    Ok(settings)
}

/// `whole` says whether all of the document was TOML; if not, nothing is reported as undeclared. `known` has
/// what needs not be read.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    root: &DeTable<'t>,
    whole: bool,
    defaults: &Defaults,
    known: &mut Known,
) -> Settings {
    let mut fields = Fields::new(collector, "", root, 0..0);
    let server_table = fields.table("server");
    let tls_table = fields.table("tls");
    let transport_table = fields.table("transport");
    let tracking_table = fields.table("tracking");
    let mailbox_delivery_table = fields.table("mailbox_delivery");
    let revisions_table = fields.table("revisions");
    let back_pressure_table = fields.table("back_pressure");
    let monitoring_tables = ["metrics", "opentelemetry", "alarms"].map(|key| fields.table(key));
    let management_table = fields.table("management");
    let doors = [("[metrics]", &monitoring_tables[0]), ("[management]", &management_table)];
    let doors: Vec<check::Door> = doors
        .into_iter()
        .filter_map(|(place, table)| Some((place, table.as_ref()?.0.get("listen")?)))
        .flat_map(|(place, listen)| doors_of(place, listen))
        .collect();
    let reports_table = fields.table("reports");
    let notices_table = fields.table("notices");
    let domain_tables = fields.tables("accepted_domain");
    let recipient_tables = ["mailbox", "contact", "distribution_group"].map(|key| fields.tables(key));
    let user_tables = fields.tables("user");
    let receive_tables = fields.tables("receive_connector");
    let send_tables = fields.tables("send_connector");
    let remote_domain_tables = fields.tables("remote_domain");
    let assert_tables = fields.tables("assert");
    let certificate_tables = fields.tables("certificate");
    let trusted_server_tables = fields.tables("trusted_server");
    let keys = ["accepted_domain", "mailbox", "contact", "distribution_group", "user"];
    let sound = whole && !keys.iter().any(|key| fields.is_bad(key));
    let sound_connectors = whole && !["receive_connector", "send_connector"].iter().any(|key| fields.is_bad(key));
    fields.finish(&[]);

    let (server, postmaster) = read_server(collector, server_table, defaults);
    let (tls, trusted_roots) =
        tls_table.map_or((None, None), |(table, span)| certificates::read_tls(collector, table, span));
    let certificates = certificates::read_certificates(collector, certificate_tables);
    let trusted_servers = certificates::read_trusted_servers(collector, trusted_server_tables);
    let mut reports = ReportSettings::default();
    let (transport, retry, dns, mailbox_retry_interval) = read_transport(collector, transport_table, &mut reports);
    reports::read(collector, reports_table, &mut reports);
    reports::read_notices(collector, notices_table, &mut reports);
    let (tracking, protocol_logs) = read_tracking(collector, tracking_table);
    let revisions = read_revisions(collector, revisions_table);
    let back_pressure = read_back_pressure(collector, back_pressure_table);
    let monitoring = monitoring::read(collector, monitoring_tables);
    let management = management::read(collector, management_table);

    let common = mailbox_delivery::Common { server_name: &server.name, retry_interval: mailbox_retry_interval };
    let mailbox_delivery_span = mailbox_delivery_table.as_ref().map(|(_, span)| span.clone());
    let default_delivery = mailbox_delivery::read(collector, mailbox_delivery_table, common);
    let differing = mailbox_delivery::read_differing(collector, &domain_tables, common);
    let declared = domain_tables.len();
    let (accepted_domains, catch_all_spans): (Vec<AcceptedDomain>, Vec<Range<usize>>) =
        domain_tables.into_iter().filter_map(|table| read_accepted_domain(collector, table, known)).unzip();
    let domains_sound = sound && accepted_domains.len() == declared;
    // Where one of them could not be read the document is refused, and nobody asks which is which.
    let differing =
        differing.into_iter().filter_map(|(place, delivery)| Some((accepted_domains.get(place)?, delivery)));
    let mailbox_delivery = MailboxDelivery::new(default_delivery, differing.collect());
    let domains = AcceptedDomains::new(accepted_domains.clone());
    check::accepted_domains(collector, &accepted_domains);

    let declared = user_tables.len();
    let user = |(table, span): Table<'_, 't>| {
        known.users.take((table, &span)).or_else(|| read_user(collector, table, span).map(Arc::new))
    };
    let users: Vec<Arc<User>> = user_tables.into_iter().filter_map(user).collect();
    let users_sound = sound && users.len() == declared;
    check::users(collector, &users, domains_sound.then_some(&domains));
    let names: HashMap<String, Arc<str>> =
        users.iter().map(|user| (user.name.to_lowercase(), user.name.clone())).collect();

    let groups = user_groups(collector, &users, &names);

    let surroundings = Surroundings {
        server_name: &server.name,
        domains: domains_sound.then_some(&domains),
        accounts: Accounts { users: users_sound.then_some(&names), groups: &groups },
    };
    let [mailboxes, contacts, groups] = recipient_tables;
    let recipient_tables =
        [(mailboxes, &mut known.mailboxes), (contacts, &mut known.contacts), (groups, &mut known.groups)];
    let (declared, recipients_sound) = recipients::read(collector, recipient_tables, &surroundings);
    let (declared, places): (Vec<_>, Vec<_>) = declared.into_iter().map(recipients::Declared::into_parts).unzip();
    let stand = places.iter().map(|places| places.address.clone());
    let postmaster_address = postmaster.as_ref().map(|(address, _)| address);
    let directory = Directory::new(declared.into_iter().zip(stand), server.name.clone(), postmaster_address, &domains);
    recipients::check(collector, &directory, &places, domains_sound.then_some(&domains));
    let receive_connectors: Vec<_> = receive_tables
        .into_iter()
        .map(|(table, span)| {
            let known = known.receive_connectors.take((table, &span));
            known.unwrap_or_else(|| Arc::new(receive_connectors::read(collector, table, span, &surroundings)))
        })
        .collect();
    check::receive_connectors(collector, &receive_connectors);
    check::doors(collector, &doors, &receive_connectors);
    let (send_connectors, references): (Vec<_>, Vec<_>) = send_tables
        .into_iter()
        .map(|(table, span)| match known.send_connectors.take((table, &span)) {
            Some(connector) => {
                let references = References::of(&connector);
                (connector, references)
            }
            None => {
                let (connector, references) = send_connectors::read(collector, table, span, &server.name);
                (Arc::new(connector), references)
            }
        })
        .unzip();
    check::send_connectors(collector, &send_connectors);
    if sound_connectors {
        route_keys::check(collector, &send_connectors, &references, &receive_connectors);
    }
    let address_spaces = AddressSpaces::new(&send_connectors, &accepted_domains);
    let remote_domains = RemoteDomains::new(remote_domains::read(collector, remote_domain_tables));
    let assertions = assertions::read(collector, assert_tables, &surroundings);
    if whole {
        check::relay_domains(collector, &accepted_domains, &address_spaces);
        check::way_out(collector, &receive_connectors, &send_connectors);
    }

    if domains_sound && recipients_sound {
        recipients::check_ways(collector, &places, &directory, &domains);
        recipients::check_sizes(collector, &directory);
        recipients::check_catch_all(collector, &accepted_domains, &catch_all_spans, &directory);
    }
    if let Some((postmaster, span)) = postmaster
        && sound
        && directory.find(&postmaster).is_none_or(|recipient| recipient.mailbox().is_none())
    {
        collector.error(
            span,
            format!("`postmaster`: {postmaster} is no mailbox here"),
            "write an address of [[mailbox]], or leave it out: postmaster then has a mailbox of its own",
        );
    }
    if let Some(span) = mailbox_delivery_span
        && mailbox_delivery.server(None).is_some()
        && directory.postmaster().is_built_in()
    {
        collector.warning(
            span,
            "mail to postmaster does not go there: nobody has said whose mailbox that is, so it stays in a Maildir here",
            "write [server] postmaster = \"an address of [[mailbox]]\"",
        );
    }
    let (user_names, user_addresses) = user_tables_of(&users);
    let settings = Settings {
        server,
        tls,
        certificates,
        trusted_roots,
        trusted_servers,
        transport,
        retry,
        reports,
        dns,
        tracking,
        revisions,
        protocol_logs,
        back_pressure,
        monitoring,
        management,
        accepted_domains,
        users,
        selector: Selector::new(&receive_connectors),
        receive_connectors,
        send_connectors,
        mailbox_delivery,
        remote_domains,
        assertions,
        domains,
        directory,
        address_spaces,
        warnings: Vec::new(),
        user_names,
        user_addresses,
    };
    if whole {
        certificates::check_expectations(collector, &settings);
    }
    settings
}

type ByText<T> = HashMap<Box<str>, T>;

/// Users by lower-case name and by address; an address that several users share names none of them.
fn user_tables_of(users: &[Arc<User>]) -> (ByText<usize>, ByText<Option<usize>>) {
    let names = users.iter().enumerate().map(|(place, user)| (user.name.to_lowercase().into(), place)).collect();
    let mut addresses: ByText<Option<usize>> = HashMap::new();
    for (place, user) in users.iter().enumerate() {
        for address in &user.addresses {
            let owner = addresses.entry(address.key().into()).or_insert(Some(place));
            *owner = owner.filter(|owner| *owner == place);
        }
    }
    (names, addresses)
}

/// The groups that users name, by lower-case name; the first way to write a name counts.
fn user_groups(
    collector: &mut Collector<'_>,
    users: &[Arc<User>],
    names: &HashMap<String, Arc<str>>,
) -> HashMap<String, UserGroup> {
    let mut groups: HashMap<String, (Arc<str>, Vec<Arc<str>>)> = HashMap::new();
    for user in users {
        for group in &user.groups {
            let key = group.to_lowercase();
            if names.contains_key(&key) {
                collector.error(
                    user.span.clone(),
                    format!("{} is in a group `{}`, and that is a user's name", user.name, shown(group)),
                    "give the group another name: permissions could mean either",
                );
            }
            groups.entry(key).or_insert_with(|| (group.clone(), Vec::new())).1.push(user.name.clone());
        }
    }
    groups.into_iter().map(|(key, (name, members))| (key, UserGroup::new(name, members))).collect()
}

type Table<'d, 't> = (&'d DeTable<'t>, Range<usize>);

/// Where a table listens; what cannot be read is told where the table is.
fn doors_of(place: &'static str, listen: &Spanned<DeValue<'_>>) -> Vec<check::Door> {
    let one = |value: &Spanned<DeValue<'_>>| {
        let address = values::binding(value.get_ref()).ok()?;
        Some(check::Door { place, address, span: value.span() })
    };
    match listen.get_ref().as_array() {
        Some(several) => several.iter().filter_map(one).collect(),
        None => one(listen).into_iter().collect(),
    }
}

/// `[server]`, and the address that mail to postmaster goes to.
fn read_server<'t>(
    collector: &mut Collector<'t>,
    table: Option<Table<'_, 't>>,
    defaults: &Defaults,
) -> (ServerSettings, Option<(Mailbox, Range<usize>)>) {
    let host_name = Domain::parse(&defaults.host_name).ok().filter(|name| !name.is_literal());
    let mut server = ServerSettings {
        name: host_name.unwrap_or_else(|| Domain::parse("localhost").expect("localhost is a domain name")),
        data_dir: defaults.data_dir.clone(),
    };
    let Some((table, span)) = table else { return (server, None) };
    let mut fields = Fields::new(collector, "[server]", table, span);
    if let Some(name) = fields.optional("name", values::domain) {
        server.name = name;
    }
    if let Some(data_dir) = fields.optional("data_dir", values::path) {
        server.data_dir = data_dir;
    }
    let postmaster = fields.optional("postmaster", values::mailbox);
    let span = fields.span_of("postmaster");
    fields.finish(&[]);
    (server, postmaster.map(|postmaster| (postmaster, span)))
}

const DNS_PROTOCOLS: &[(&str, DnsProtocolOption)] = &[
    ("Any", DnsProtocolOption::Any),
    ("UseTcpOnly", DnsProtocolOption::UseTcpOnly),
    ("UseUdpOnly", DnsProtocolOption::UseUdpOnly),
];
const DNS_FAULT_TOLERANCES: &[(&str, DnsFaultTolerance)] =
    &[("Lenient", DnsFaultTolerance::Lenient), ("Normal", DnsFaultTolerance::Normal)];

/// `[transport]` (fact sheet sections 4.6 and 4.7).
fn read_transport<'t>(
    collector: &mut Collector<'t>,
    table: Option<Table<'_, 't>>,
    reports: &mut ReportSettings,
) -> (TransportSettings, Schedule, DnsSettings, Duration) {
    let mut transport = TransportSettings {
        max_outbound_connections: Some(1000),
        max_per_domain_outbound_connections: Some(20),
        max_per_host_outbound_connections: Some(20),
        tls_receive_domain_secure_list: Arc::default(),
        tls_send_domain_secure_list: Arc::default(),
        external_postmaster_address: None,
        queues: QueueSettings::default(),
    };
    let (mut retry, mut dns) = (Schedule::default(), DnsSettings::default());
    let mut mailbox_retry_interval = Duration::from_secs(5 * 60);
    let Some((table, span)) = table else { return (transport, retry, dns, mailbox_retry_interval) };
    let mut fields = Fields::new(collector, "[transport]", table, span);
    if let Some(interval) = fields.optional("mailbox_delivery_queue_retry_interval", values::time_span(1, DAY)) {
        mailbox_retry_interval = interval;
    }
    if let Some(timeout) = fields.optional("message_expiration_timeout", values::time_span(5, 90 * DAY)) {
        retry.message_expiration_timeout = timeout;
    }
    retry = retry_keys::read(&mut fields).over(&retry);
    for (key, place) in [
        ("max_outbound_connections", &mut transport.max_outbound_connections),
        ("max_per_domain_outbound_connections", &mut transport.max_per_domain_outbound_connections),
    ] {
        if let Some(count) = fields.optional(key, values::number_or_unlimited(1, i32::MAX as u32)) {
            *place = count;
        }
    }
    transport.max_per_host_outbound_connections = fields
        .optional("max_per_host_outbound_connections", values::number_or_unlimited(1, i32::MAX as u32))
        .unwrap_or(transport.max_per_domain_outbound_connections);
    for (key, place) in [
        ("external_dns_servers", &mut dns.external_dns_servers),
        ("internal_dns_servers", &mut dns.internal_dns_servers),
    ] {
        if let Some(servers) = fields.list(key, |value, _| values::name_server(value)) {
            *place = servers.into_iter().map(|(server, _)| server).collect();
        }
    }
    for (key, place) in [
        ("external_dns_protocol_option", &mut dns.external_dns_protocol_option),
        ("internal_dns_protocol_option", &mut dns.internal_dns_protocol_option),
    ] {
        *place = fields.optional(key, values::choice(DNS_PROTOCOLS)).unwrap_or_default();
    }
    dns.dns_fault_tolerance =
        fields.optional("dns_fault_tolerance", values::choice(DNS_FAULT_TOLERANCES)).unwrap_or_default();
    for (key, place) in [
        ("tls_receive_domain_secure_list", &mut transport.tls_receive_domain_secure_list),
        ("tls_send_domain_secure_list", &mut transport.tls_send_domain_secure_list),
    ] {
        if let Some(domains) = fields.list(key, |value, _| domain_of_list(value)) {
            *place = domains.into_iter().map(|(domain, _)| domain).collect();
        }
    }
    if let Some(timeout) = fields.optional("delay_notification_timeout", values::time_span(1, 30 * DAY)) {
        reports.delay_notification_timeout = timeout;
    }
    transport.external_postmaster_address = fields.optional("external_postmaster_address", values::mailbox);
    transport.queues = queues::read(&mut fields);
    fields.finish(&["external_dns_adapter_enabled", "internal_dns_adapter_enabled", "max_connection_rate_per_minute"]);
    (transport, retry, dns, mailbox_retry_interval)
}

/// A domain that proves itself by a certificate (fact sheet section 3.8).
fn domain_of_list(value: &DeValue<'_>) -> Result<Domain, Wrong> {
    let text = values::string(value)?;
    if text.contains('*') {
        let message = format!("`{}` holds a wildcard, and the list takes none", shown(text));
        return Err(Wrong::new(message, "write each domain by itself: certificates name them one by one, too"));
    }
    values::domain(value)
}

/// `[tracking]`.
fn read_tracking<'t>(collector: &mut Collector<'t>, table: Option<Table<'_, 't>>) -> (TrackingSettings, ProtocolLogs) {
    let mut tracking = TrackingSettings::default();
    let Some((table, span)) = table else { return (tracking, ProtocolLogs::default()) };
    let mut fields = Fields::new(collector, "[tracking]", table, span);
    if let Some(shown) = fields.optional("ids_in_replies", values::boolean) {
        tracking.ids_in_replies = shown;
    }
    for (key, place) in
        [("messages_max_size", &mut tracking.messages_max_size), ("refusals_max_size", &mut tracking.refusals_max_size)]
    {
        if let Some(size) = fields.optional(key, values::size(1 << 20, 4 << 30)) {
            *place = size;
        }
    }
    if let Some(count) = fields.optional("refusals_per_source_per_minute", values::number(0, 1_000_000)) {
        tracking.refusals_per_source_per_minute = count;
    }
    for (key, place) in [
        ("message_tracking_log_enabled", &mut tracking.message_tracking_log_enabled),
        ("message_tracking_log_subject_logging_enabled", &mut tracking.message_tracking_log_subject_logging_enabled),
        ("message_tracking_log_address_logging_enabled", &mut tracking.message_tracking_log_address_logging_enabled),
    ] {
        if let Some(enabled) = fields.optional(key, values::boolean) {
            *place = enabled;
        }
    }
    if let Some(age) = fields.optional("message_tracking_log_max_age", values::time_span(0, 3_650 * DAY)) {
        tracking.message_tracking_log_max_age = age;
    }
    if let Some(size) = fields.optional("message_tracking_log_max_directory_size", values::size(8 << 20, 1 << 40)) {
        tracking.message_tracking_log_max_directory_size = size;
    }
    let protocol_logs = protocol_logs::read(&mut fields);
    fields.finish(&[]);
    (tracking, protocol_logs)
}

/// `[revisions]`.
fn read_revisions<'t>(collector: &mut Collector<'t>, table: Option<Table<'_, 't>>) -> RevisionSettings {
    let mut revisions = RevisionSettings::default();
    let Some((table, span)) = table else { return revisions };
    let mut fields = Fields::new(collector, "[revisions]", table, span);
    if let Some(count) = fields.optional("max_count", values::number(2, 100_000)) {
        revisions.max_count = count.into();
    }
    if let Some(age) = fields.optional("max_age", values::time_span(0, 36_500 * DAY)) {
        revisions.max_age = age;
    }
    if let Some(size) = fields.optional("max_size", values::size(1 << 20, 1 << 40)) {
        revisions.max_size = size;
    }
    fields.finish(&[]);
    revisions
}

/// `[back_pressure]` (fact sheet section 5.3).
fn read_back_pressure<'t>(collector: &mut Collector<'t>, table: Option<Table<'_, 't>>) -> BackPressureSettings {
    let mut settings = BackPressureSettings::default();
    let Some((table, span)) = table else { return settings };
    let mut fields = Fields::new(collector, "[back_pressure]", table, span);
    for (key, place, example) in [
        ("used_disk_space", &mut settings.used_disk_space, [89, 99, 90, 80]),
        ("private_bytes", &mut settings.private_bytes, [72, 75, 73, 71]),
        ("system_memory", &mut settings.system_memory, [88, 94, 89, 84]),
        ("open_files", &mut settings.open_files, [90, 95, 91, 85]),
    ] {
        if let Some(thresholds) = fields.optional(key, values::thresholds(100, example)) {
            *place = thresholds.map(Thresholds::percent);
        }
    }
    if let Some(thresholds) =
        fields.optional("queue_length", values::thresholds(u64::from(u32::MAX), [9999, 15000, 10000, 2000]))
    {
        settings.queue_length = thresholds.map(Thresholds::count);
    }
    if let Some(size) = fields.optional("disk_headroom", values::size(1 << 20, 1 << 40)) {
        settings.disk_headroom_bytes = size;
    }
    if settings.used_disk_space.is_none() {
        fields.warning_at(
            "used_disk_space",
            "`used_disk_space`: messages are accepted until the disk is full, and then refused at their end",
            "write the default, [89, 99, 90, 80], or larger percentages",
        );
    }
    fields.finish(&[]);
    settings
}

fn read_accepted_domain<'t>(
    collector: &mut Collector<'t>,
    (table, span): Table<'_, 't>,
    known: &mut Known,
) -> Option<(AcceptedDomain, Range<usize>)> {
    if let Some(accepted) = known.accepted_domains.take((table, &span)) {
        let span = accepted.span.clone();
        return Some((accepted, span));
    }
    let mut fields = Fields::new(collector, "[[accepted_domain]]", table, span);
    let name = fields.required("name", "write name = \"contoso.com\"", values::domain_with_subdomains);
    // What came with Exchange 2016 is what `*.` has always said.
    let matches_below = fields.optional("match_sub_domains", values::boolean).unwrap_or_default();
    let name = name.map(|(domain, with_subdomains)| (domain, with_subdomains || matches_below));
    let kind = fields.optional("domain_type", values::choice(DOMAIN_KINDS)).unwrap_or_default();
    let kind = (!fields.is_bad("domain_type")).then_some(kind);
    if fields.value("domain_name").is_some() {
        fields.error_at(
            "domain_name",
            "`domain_name`: the domain is written as `name`",
            "write name = \"contoso.com\"",
        );
    }
    // It is read by itself.
    fields.value("mailbox_delivery");
    let catch_all_recipient = fields.optional("catch_all_recipient", values::mailbox);
    let catch_all_span = fields.span_of("catch_all_recipient");
    if catch_all_recipient.is_some() && kind.is_some_and(|kind| kind != DomainKind::Authoritative) {
        fields.error_at(
            "catch_all_recipient",
            "`catch_all_recipient`: what is not here of a relay domain is passed on",
            "remove it, or make the domain Authoritative",
        );
    }
    let recipient_verification = fields.optional("recipient_verification", values::boolean).unwrap_or_default();
    if recipient_verification && kind == Some(DomainKind::Authoritative) {
        fields.error_at(
            "recipient_verification",
            "`recipient_verification`: all recipients of an Authoritative domain are known here",
            "remove it, or write domain_type = \"InternalRelay\" or \"ExternalRelay\"",
        );
    }
    let is_relay = matches!(kind, Some(DomainKind::InternalRelay | DomainKind::ExternalRelay));
    let too_wide = name.as_ref().filter(|(domain, with_subdomains)| {
        is_relay && *with_subdomains && accepted_domain::is_public_top_level(domain)
    });
    if let Some((domain, _)) = too_wide {
        fields.error_at(
            "name",
            format!("`name`: `*.{domain}` would let everybody relay to every domain below {domain}"),
            "write the domains; to let a host relay anywhere, grant it ms-Exch-SMTP-Accept-Any-Recipient",
        );
    }
    let is_too_wide = too_wide.is_some();
    let is_default = ["default", "make_default"].map(|key| fields.optional(key, values::boolean) == Some(true));
    idle_accepted_domain_keys(&mut fields, kind);
    let span = fields.span_of("name");
    fields.finish(&[]);
    let (domain, with_subdomains) = name.filter(|_| !is_too_wide)?;
    let is_default = is_default.contains(&true);
    Some((
        AcceptedDomain {
            domain,
            with_subdomains,
            kind: kind?,
            catch_all_recipient,
            is_default,
            recipient_verification,
            span,
        },
        catch_all_span,
    ))
}

/// Exchange's properties whose other value would ask for what is not done here.
fn idle_accepted_domain_keys(fields: &mut Fields<'_, '_, '_>, kind: Option<DomainKind>) {
    match (fields.optional("address_book_enabled", values::boolean), kind) {
        (Some(false), Some(DomainKind::Authoritative)) => fields.error_at(
            "address_book_enabled",
            "`address_book_enabled`: who is not declared in an Authoritative domain is refused at RCPT, always; reports \
             to whoever a stranger says to be would be the other way",
            "remove it, or write domain_type = \"InternalRelay\"",
        ),
        (Some(true), Some(DomainKind::InternalRelay | DomainKind::ExternalRelay)) => fields.error_at(
            "address_book_enabled",
            "`address_book_enabled`: recipients of a relay domain that are not declared here are somewhere else",
            "remove it, and write recipient_verification = true: then the next hop is asked",
        ),
        _ => {}
    }
    if fields.optional("outbound_only", values::boolean) == Some(true) {
        let message = "`outbound_only` is about mail between Exchange and Microsoft's cloud";
        fields.error_at("outbound_only", message, "write false, or leave it out");
    }
}

fn read_user<'t>(collector: &mut Collector<'t>, table: &DeTable<'t>, span: Range<usize>) -> Option<User> {
    let mut fields = Fields::new(collector, "[[user]]", table, span);
    let name =
        fields.required("name", "write name = \"alice\": what is given as user name when authenticating", account_name);
    let addresses = fields.list("addresses", |value, _| values::mailbox(value)).unwrap_or_default();
    let password = fields.optional("password", |value| {
        // The value is a secret, and it is not shown when it is wrong either.
        PasswordHash::new(values::string(value).map_err(|_| not_a_hash())?).ok_or_else(not_a_hash)
    });
    let groups = fields.list("groups", |value, _| account_name(value)).unwrap_or_default();
    let span = fields.span_of("name");
    fields.finish(&["display_name"]);
    Some(User {
        name: name?,
        addresses: addresses.into_iter().map(|(address, _)| address).collect(),
        groups: groups.into_iter().map(|(group, _)| group).collect(),
        password,
        span,
    })
}

/// The name of a user or of a group of users.
fn account_name(value: &DeValue<'_>) -> Result<Arc<str>, Wrong> {
    let name = values::name(value)?;
    if name.contains('\\') {
        return Err(Wrong::new("such a name holds no backslash", "write the name without the Windows domain"));
    }
    if Trustee::parse_well_known(name).is_some() {
        return Err(Wrong::new(format!("`{name}` is a well-known name"), "write another name"));
    }
    Ok(name.into())
}

fn not_a_hash() -> Wrong {
    Wrong::new("this is no argon2 hash", "remove it and set the password with `gatepost user add`")
}
