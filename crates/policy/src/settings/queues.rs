//! The keys of `[transport]` about queues: priorities, poison, and how long an empty or stuck queue stays as it is (fact sheet
//! sections 4.7 and 4.9).

use std::time::Duration;

use super::reader::Fields;
use super::values;
use crate::poison::PoisonSettings;
use crate::priority::PrioritySettings;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// What the document says about queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// How long an empty queue stays.
    pub queue_max_idle_time: Duration,
    /// A queue whose next hop cannot be reached for so long is routed anew.
    pub max_idle_time_before_resubmit: Duration,
    /// Priorities.
    pub priorities: PrioritySettings,
    /// Messages that bring the server down.
    pub poison: PoisonSettings,
}

impl Default for QueueSettings {
    fn default() -> Self {
        QueueSettings {
            queue_max_idle_time: Duration::from_secs(3 * 60),
            max_idle_time_before_resubmit: Duration::from_secs(12 * HOUR),
            priorities: PrioritySettings::default(),
            poison: PoisonSettings::default(),
        }
    }
}

/// Reads them.
pub(super) fn read(fields: &mut Fields<'_, '_, '_>) -> QueueSettings {
    let mut queues = QueueSettings::default();
    let QueueSettings { queue_max_idle_time, max_idle_time_before_resubmit, priorities, poison } = &mut queues;
    let [high, normal, low] = &mut priorities.message_expiration_timeout;
    let [high_delay, normal_delay, low_delay] = &mut priorities.delay_notification_timeout;
    for (key, place, min, max) in [
        ("queue_max_idle_time", queue_max_idle_time, 5, HOUR),
        ("max_idle_time_before_resubmit", max_idle_time_before_resubmit, 60, 90 * DAY),
        ("high_priority_message_expiration_timeout", high, 5, 90 * DAY),
        ("normal_priority_message_expiration_timeout", normal, 5, 90 * DAY),
        ("low_priority_message_expiration_timeout", low, 5, 90 * DAY),
        ("high_priority_delay_notification_timeout", high_delay, 1, 30 * DAY),
        ("normal_priority_delay_notification_timeout", normal_delay, 1, 30 * DAY),
        ("low_priority_delay_notification_timeout", low_delay, 1, 30 * DAY),
    ] {
        if let Some(interval) = fields.optional(key, values::time_span(min, max)) {
            *place = interval;
        }
    }
    let [high, normal, low] = &mut priorities.max_per_domain_connections;
    for (key, place, min, max) in [
        ("max_per_domain_high_priority_connections", high, 1, i32::MAX as u32),
        ("max_per_domain_normal_priority_connections", normal, 1, i32::MAX as u32),
        ("max_per_domain_low_priority_connections", low, 1, i32::MAX as u32),
        ("poison_threshold", &mut poison.poison_threshold, 1, 10),
    ] {
        if let Some(count) = fields.optional(key, values::number(min, max)) {
            *place = count;
        }
    }
    for (key, place) in [
        ("priority_queuing_enabled", &mut priorities.priority_queuing_enabled),
        ("poison_message_detection_enabled", &mut poison.poison_message_detection_enabled),
    ] {
        if let Some(switch) = fields.optional(key, values::boolean) {
            *place = switch;
        }
    }
    if let Some(bytes) = fields.optional("max_high_priority_message_size", values::size(1024, 1 << 40)) {
        priorities.max_high_priority_message_size = bytes;
    }
    queues
}
