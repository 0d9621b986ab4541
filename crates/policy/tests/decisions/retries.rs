//! When a failed attempt is repeated (fact sheet section 4.7), and who is told in the end (RFC 3461 section 4.1).

use gatepost_mail::{Notify, ReversePath};
use gatepost_policy::notify::{Kind, due};
use gatepost_policy::retry::{Failure, Next, Schedule, next};

use crate::document::settings;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

#[test]
fn a_dead_destination_is_tried_as_exchange_tries_it_until_it_expires() {
    let schedule = Schedule::default();
    let arrival_ms = 1_000_000;
    let mut now_ms = arrival_ms;
    let mut minutes = Vec::new();
    for attempts in 1.. {
        match next(&schedule, Failure::ConnectionFailed, attempts, arrival_ms, now_ms) {
            Next::At(at_ms) => {
                minutes.push((at_ms - now_ms) / MINUTE_MS);
                now_ms = at_ms;
            }
            Next::Expired => break,
        }
    }
    assert_eq!(now_ms, arrival_ms + 2 * DAY_MS);
    assert_eq!(minutes[..12], [1, 1, 1, 1, 5, 5, 5, 5, 5, 5, 10, 10]);
    // The last interval is cut short, so that the last attempt is made before the message is given up.
    assert_eq!(minutes[minutes.len() - 2..], [10, 6]);
}

#[test]
fn retries_follow_the_settings() {
    let settings = settings(
        r#"
        [transport]
        queue_glitch_retry_count = 0
        transient_failure_retry_count = 1
        transient_failure_retry_interval = "00:00:02"
        outbound_connection_failure_retry_interval = "00:00:03"
        message_retry_interval = "00:00:07"
        message_expiration_timeout = "00:01:00"
        "#,
    );
    for (failure, attempts, now_ms, expected) in [
        (Failure::ConnectionFailed, 1, 0, Next::At(2_000)),
        (Failure::ConnectionFailed, 2, 10_000, Next::At(13_000)),
        (Failure::ConnectionFailed, u32::MAX, 10_000, Next::At(13_000)),
        (Failure::Transient, 1, 0, Next::At(7_000)),
        (Failure::Transient, 9, 50_000, Next::At(57_000)),
        (Failure::Transient, 10, 58_000, Next::At(60_000)),
        (Failure::Transient, 11, 60_000, Next::Expired),
        (Failure::ConnectionFailed, 11, u64::MAX, Next::Expired),
    ] {
        assert_eq!(next(&settings.retry, failure, attempts, 0, now_ms), expected, "{failure:?} {attempts} {now_ms}");
    }
}

#[test]
fn reports_go_to_those_who_want_them_and_never_to_nobody() {
    let (sender, _) = ReversePath::parse_prefix("<a@x.net>").expect("a reverse-path");
    let success = Notify { success: true, failure: false, delay: false, given: true };
    for (notify, failed, delayed, delivered) in
        [(Notify::default(), true, true, false), (Notify::NEVER, false, false, false), (success, false, false, true)]
    {
        for (kind, expected) in [(Kind::Failed, failed), (Kind::Delayed, delayed), (Kind::Delivered, delivered)] {
            assert_eq!(due(kind, &sender, notify), expected, "{kind:?} {notify:?}");
            assert!(!due(kind, &ReversePath::Null, notify), "{kind:?} {notify:?}");
        }
    }
}
