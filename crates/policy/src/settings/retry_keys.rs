//! Reads the retry keys that `[transport]` and `[[send_connector]]` share (fact sheet section 4.7).

use super::reader::Fields;
use super::values;
use crate::retry::Overrides;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

pub(super) fn read(fields: &mut Fields<'_, '_, '_>) -> Overrides {
    let mut keys = Overrides::default();
    for (key, place, max) in [
        ("queue_glitch_retry_interval", &mut keys.queue_glitch_retry_interval, DAY),
        ("transient_failure_retry_interval", &mut keys.transient_failure_retry_interval, 12 * HOUR),
        ("outbound_connection_failure_retry_interval", &mut keys.outbound_connection_failure_retry_interval, 20 * DAY),
        ("message_retry_interval", &mut keys.message_retry_interval, DAY),
    ] {
        *place = fields.optional(key, values::time_span(1, max));
    }
    for (key, place) in [
        ("queue_glitch_retry_count", &mut keys.queue_glitch_retry_count),
        ("transient_failure_retry_count", &mut keys.transient_failure_retry_count),
    ] {
        *place = fields.optional(key, values::number(0, 15));
    }
    keys
}
