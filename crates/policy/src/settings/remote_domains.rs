//! Reads `[[remote_domain]]` (fact sheet section 4.3).

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::reader::{Collector, Fields, Wrong, shown};
use super::{check, values};
use crate::remote_domain::RemoteDomain;
use crate::send_connector::Space;

const REMEDY: &str =
    "write name = \"*\" for every domain, or \"contoso.com\", or \"*.contoso.com\" for it and all below";

/// Exchange's switches that only a mailbox server or a converter of messages can keep: the value that asks for nothing,
/// and why there is no other.
const SWITCHES: [(&str, bool, &str); 6] = [
    ("auto_forward_enabled", true, "who forwards is the mailbox server, and nothing marks such mail for sure"),
    ("display_sender_name", true, "messages are passed on as they are, with the names that they hold"),
    ("is_internal", false, "only what logs on, or is externally secured, counts as internal here"),
    ("trusted_mail_inbound_enabled", false, "a domain is just a claim; grant ms-Exch-Bypass-Anti-Spam to its hosts"),
    ("trusted_mail_outbound_enabled", false, "nothing is filtered on its way out"),
    ("target_delivery_domain", false, "it is about mailboxes that have moved to Microsoft's cloud"),
];

/// Texts with a value that asks for nothing.
const CHOICES: [(&str, &str, &str); 3] = [
    (
        "allowed_oof_type",
        "External",
        "which of two answers a sender gets is decided by the mailbox server; auto_reply_enabled = false stops both",
    ),
    ("content_type", "MimeHtmlText", "messages are passed on as they are"),
    ("byte_encoder_type_for_7_bit_charsets", "Undefined", "messages are passed on as they are"),
];

pub(super) fn read<'t>(collector: &mut Collector<'t>, tables: Vec<(&DeTable<'t>, Range<usize>)>) -> Vec<RemoteDomain> {
    let read: Vec<_> = tables.into_iter().filter_map(|(table, span)| one(collector, table, span)).collect();
    let named = read.iter().map(|remote| (remote.domain.to_string(), remote.span.clone()));
    check::unique(collector, "remote domains", named);
    read
}

fn one<'t>(collector: &mut Collector<'t>, table: &DeTable<'t>, span: Range<usize>) -> Option<RemoteDomain> {
    let mut fields = Fields::new(collector, "[[remote_domain]]", table, span);
    fields.refuse("domain_name", "`domain_name`: the domain is written as `name`", REMEDY);
    let name = fields.required("name", REMEDY, domain);
    let mut remote = RemoteDomain::new(name.clone().unwrap_or(Space::All));
    remote.span = fields.span_of("name");
    for (key, place) in [
        ("ndr_enabled", &mut remote.ndr_enabled),
        ("delivery_report_enabled", &mut remote.delivery_report_enabled),
        ("ndr_diagnostic_info_enabled", &mut remote.ndr_diagnostic_info_enabled),
        ("auto_reply_enabled", &mut remote.auto_reply_enabled),
    ] {
        if let Some(is_on) = fields.optional(key, values::boolean) {
            *place = is_on;
        }
    }
    for (key, idle, why) in SWITCHES {
        if fields.optional(key, values::boolean).is_some_and(|value| value != idle) {
            fields.error_at(key, format!("`{key}`: {why}"), format!("write {key} = {idle}, or leave it out"));
        }
    }
    for (key, idle, why) in CHOICES {
        let value = fields.optional(key, |value| values::string(value).map(str::to_owned));
        if value.is_some_and(|value| !value.eq_ignore_ascii_case(idle)) {
            fields.error_at(key, format!("`{key}`: {why}"), format!("write {key} = \"{idle}\", or leave it out"));
        }
    }
    // These are about messages that a MAPI client wrote, and there are none: every value is as good as any.
    for key in ["character_set", "non_mime_character_set"] {
        fields.optional(key, |value| values::string(value).map(|_| ()));
    }
    if fields.optional("line_wrap_size", values::number_or_unlimited(0, 132)).flatten().is_some() {
        let remedy = "write line_wrap_size = \"unlimited\", or leave it out";
        fields.error_at("line_wrap_size", "`line_wrap_size`: messages are passed on as they are", remedy);
    }
    fields.finish(&["message_count_threshold", "tnef_enabled"]);
    name.map(|_| remote)
}

fn domain(value: &DeValue<'_>) -> Result<Space, Wrong> {
    if values::string(value)?.trim() == "*" {
        return Ok(Space::All);
    }
    let (domain, with_subdomains) = values::domain_with_subdomains(value)?;
    if domain.is_literal() {
        return Err(Wrong::new(format!("`{}` is an address, no domain", shown(domain.as_str())), REMEDY));
    }
    Ok(if with_subdomains { Space::WithSubdomains(domain) } else { Space::Exact(domain) })
}
