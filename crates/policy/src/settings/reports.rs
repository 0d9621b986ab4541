//! Reads `[reports]` and `[notices]`: what senders hear, and who hears where no sender can (fact sheet section 4.10).

use std::ops::Range;

use gatepost_mail::Status;
use toml::de::{DeTable, DeValue};

use super::reader::{Collector, Fields, Wrong, shown};
use super::values;
use crate::notify::ReportSettings;

type Table<'d, 't> = (&'d DeTable<'t>, Range<usize>);

/// `[reports]`.
pub(super) fn read<'t>(collector: &mut Collector<'t>, table: Option<Table<'_, 't>>, settings: &mut ReportSettings) {
    let Some((table, span)) = table else { return };
    let mut fields = Fields::new(collector, "[reports]", table, span);
    for (keys, side) in [
        (
            [
                "internal_delay_dsn_enabled",
                "internal_dsn_max_message_attach_size",
                "internal_dsn_reporting_authority",
                "internal_dsn_send_html",
            ],
            &mut settings.internal,
        ),
        (
            [
                "external_delay_dsn_enabled",
                "external_dsn_max_message_attach_size",
                "external_dsn_reporting_authority",
                "external_dsn_send_html",
            ],
            &mut settings.external,
        ),
    ] {
        let [delay, size, authority, html] = keys;
        if let Some(enabled) = fields.optional(delay, values::boolean) {
            side.delay_enabled = enabled;
        }
        if let Some(bytes) = fields.optional(size, values::size(0, i32::MAX as u64)) {
            side.attach_bytes_max = bytes;
        }
        side.reporting_authority = fields.optional(authority, values::domain);
        if fields.optional(html, values::boolean) == Some(true) {
            fields.error_at(
                html,
                format!("`{html}`: reports are plain text, which every mail program and device shows"),
                "write false, or leave it out",
            );
        }
    }
    if let Some(codes) = fields.list("generate_copy_of_dsn_for", |value, _| status(value)) {
        settings.generate_copy_of_dsn_for = codes.into_iter().map(|(code, _)| code).collect();
    }
    if let Some(most) = fields.optional("max_per_sender_per_hour", values::number_or_unlimited(1, 1_000_000)) {
        settings.sender_reports_per_hour = most.unwrap_or(0);
    }
    fields.finish(&[
        "dsn_conversion_mode",
        "external_dsn_default_language",
        "external_dsn_language_detection_enabled",
        "internal_dsn_default_language",
        "internal_dsn_language_detection_enabled",
    ]);
}

/// `[notices]`.
pub(super) fn read_notices<'t>(
    collector: &mut Collector<'t>,
    table: Option<Table<'_, 't>>,
    settings: &mut ReportSettings,
) {
    let Some((table, span)) = table else { return };
    let mut fields = Fields::new(collector, "[notices]", table, span);
    if let Some(enabled) = fields.optional("enabled", values::boolean) {
        settings.notices_enabled = enabled;
    }
    settings.notices_to = fields.optional("to", values::mailbox);
    if let Some(most) = fields.optional("max_per_owner_per_hour", values::number(1, 1000)) {
        settings.notices_per_hour = most;
    }
    fields.finish(&[]);
}

/// An enhanced status code.
fn status(value: &DeValue<'_>) -> Result<Status, Wrong> {
    let text = values::string(value)?;
    match Status::parse_prefix(text) {
        Some((status, "")) => Ok(status),
        _ => Err(Wrong::new(
            format!("`{}` is no enhanced status code", shown(text)),
            "write codes as \"5.4.6\", each between quotes",
        )),
    }
}
