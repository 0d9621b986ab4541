//! Step 6 of 9 - spool: how urgent a message is, and what that gives it (fact sheet section 4.9).
//!
//! Takes what the header says, how large the message is and who brings it, hands on a priority. Off unless the settings say otherwise:
//! whoever sends much would call all of it urgent.

use std::time::Duration;

use gatepost_mail::Priority;

use crate::access_entry::Principal;
use crate::retry::Schedule;
use crate::right::{Right, Rights};

/// The keys of `[transport]` about priorities. Arrays have the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrioritySettings {
    /// Whether there are priorities at all.
    pub priority_queuing_enabled: bool,
    /// A larger message is not of high priority.
    pub max_high_priority_message_size: u64,
    /// Connections to one next hop.
    pub max_per_domain_connections: [u32; 3],
    /// How long a message may be in the queue.
    pub message_expiration_timeout: [Duration; 3],
    /// How long a recipient waits before its sender hears of it.
    pub delay_notification_timeout: [Duration; 3],
}

const HOUR: u64 = 60 * 60;

impl Default for PrioritySettings {
    fn default() -> Self {
        PrioritySettings {
            priority_queuing_enabled: false,
            max_high_priority_message_size: 250 << 10,
            max_per_domain_connections: [3, 15, 2],
            message_expiration_timeout: [8 * HOUR, 48 * HOUR, 48 * HOUR].map(Duration::from_secs),
            delay_notification_timeout: [HOUR / 2, 4 * HOUR, 8 * HOUR].map(Duration::from_secs),
        }
    }
}

/// The priority of a message of `message_bytes` whose header asks for one. A stranger is nobody's reason to let others wait.
pub fn decide(
    settings: &PrioritySettings,
    asked: Option<Priority>,
    message_bytes: u64,
    (principal, rights): (&Principal, Rights),
) -> Priority {
    let is_stranger = *principal == Principal::Anonymous && !rights.contains(Right::AcceptAnyRecipient);
    match asked.unwrap_or_default() {
        _ if !settings.priority_queuing_enabled => Priority::Normal,
        Priority::High if is_stranger => Priority::Normal,
        Priority::High if message_bytes > settings.max_high_priority_message_size => Priority::Normal,
        asked => asked,
    }
}

/// The schedule for messages of a priority.
pub fn schedule(settings: &PrioritySettings, schedule: &Schedule, priority: Priority) -> Schedule {
    if !settings.priority_queuing_enabled {
        return *schedule;
    }
    let message_expiration_timeout = settings.message_expiration_timeout[priority as usize];
    Schedule { message_expiration_timeout, ..*schedule }
}

/// When the sender of a recipient that is still pending hears of it, Unix time in milliseconds. `usual` is what holds without
/// priorities.
pub fn delay_due_ms(settings: &PrioritySettings, usual: Duration, priority: Priority, arrival_ms: u64) -> u64 {
    let timeout = match settings.priority_queuing_enabled {
        true => settings.delay_notification_timeout[priority as usize],
        false => usual,
    };
    arrival_ms.saturating_add(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_messages_of_those_we_know_are_urgent_and_only_where_priorities_count() {
        let on = PrioritySettings { priority_queuing_enabled: true, ..PrioritySettings::default() };
        let off = PrioritySettings::default();
        for (settings, asked, bytes, expected) in [
            (on, None, 1, Priority::Normal),
            (on, Some(Priority::High), 250 << 10, Priority::High),
            (on, Some(Priority::High), (250 << 10) + 1, Priority::Normal),
            (on, Some(Priority::Low), 1 << 30, Priority::Low),
            (off, Some(Priority::High), 1, Priority::Normal),
            (off, Some(Priority::Low), 1, Priority::Normal),
        ] {
            let scanner = (&Principal::Anonymous, Rights::of(&[Right::AcceptAnyRecipient]));
            let user = (&Principal::User("alice".into()), Rights::NONE);
            for known in [scanner, user] {
                assert_eq!(decide(&settings, asked, bytes, known), expected, "{asked:?} {bytes} {known:?}");
            }
            let stranger = decide(&settings, asked, bytes, (&Principal::Anonymous, Rights::NONE));
            assert_eq!(stranger, if expected == Priority::High { Priority::Normal } else { expected });
        }
        let hours = |settings, priority| {
            schedule(&settings, &Schedule::default(), priority).message_expiration_timeout.as_secs() / HOUR
        };
        assert_eq!(Priority::ALL.map(|priority| hours(on, priority)), [8, 48, 48]);
        assert_eq!(Priority::ALL.map(|priority| hours(off, priority)), [48, 48, 48]);
        let usual = Duration::from_secs(60);
        let minutes =
            |settings| Priority::ALL.map(|priority| delay_due_ms(&settings, usual, priority, 60_000) / 60_000 - 1);
        assert_eq!((minutes(on), minutes(off)), ([30, 240, 480], [1, 1, 1]));
    }
}
