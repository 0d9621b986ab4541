//! Which alarms are raised, how bad they are, and when they are over.

use gatepost_policy::Settings;
use gatepost_policy::alarm::{ALARMS_MAX, Alarm, Facts, HOLD_MS, Kind, Pressed, Route, Severity, decide};
use gatepost_policy::back_pressure::{Level, Measured};
use gatepost_policy::resource::Resource;
use proptest::prelude::*;

use crate::document::{cases, settings};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// 2026-11-22T00:00:00Z.
const NOW: u64 = 1_795_305_600_000;

const DOCUMENT: &str = r#"
[server]
name = "mail.contoso.com"

[[receive_connector]]
name = "Relay"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = [
  { range = "192.168.3.7", expires = "2026-11-30T00:00:00Z" },
  { range = "192.168.3.8", expires = "2026-11-25T00:00:00Z" },
  { range = "192.168.3.9", expires = "2020-01-01T00:00:00Z" },
]
"#;

fn well() -> Facts {
    Facts { spool_is_alive: true, ..Facts::default() }
}

fn with_route(route: Route) -> Facts {
    Facts { routes: vec![Route { connector: "Internet".into(), ..route }], ..well() }
}

fn with_disk(measured: Measured, level: Level) -> Facts {
    Facts { resources: vec![Pressed { resource: Resource::SpoolSpace, level, measured }], ..well() }
}

/// Kind, object and severity.
type Told<'a> = (Kind, &'a str, Severity);

/// Those of each, but for the ranges of the document.
fn told(alarms: &[Alarm]) -> Vec<Told<'_>> {
    let alarms = alarms.iter().filter(|alarm| alarm.kind != Kind::EntryExpires);
    alarms.map(|alarm| (alarm.kind, &*alarm.object, alarm.severity)).collect()
}

#[test]
fn each_trouble_raises_its_alarm_and_nothing_else_does() {
    use Kind::*;
    use Severity::{Critical, Warning};
    let settings = settings(DOCUMENT);
    let silent = Route { failing_since_ms: Some(NOW - HOUR), waiting: 1, ..Route::default() };
    let refused_since = |last_failure_ms| Route {
        failing_since_ms: Some(NOW - 3 * HOUR),
        last_failure_ms: Some(last_failure_ms),
        ..Route::default()
    };
    let certificate = |left: u64| Facts { certificates: vec![("mail.pem".into(), NOW + left)], ..well() };
    let cases: Vec<(&str, Facts, Vec<Told<'_>>)> = vec![
        ("nothing", well(), vec![]),
        ("an hour without success, and mail", with_route(silent.clone()), vec![(RouteSilent, "Internet", Critical)]),
        ("a moment less", with_route(Route { failing_since_ms: Some(NOW - HOUR + 1), ..silent.clone() }), vec![]),
        ("one recipient was refused, long ago, and nothing waits", with_route(refused_since(NOW - 3 * HOUR)), vec![]),
        (
            "all were refused for an hour",
            with_route(refused_since(NOW - 2 * HOUR)),
            vec![(RouteSilent, "Internet", Critical)],
        ),
        (
            "mail that has just come waits, and it works",
            with_route(Route {
                waiting: 10,
                oldest_ms: Some(NOW),
                last_success_ms: Some(NOW - DAY),
                ..Route::default()
            }),
            vec![],
        ),
        (
            "an old message",
            with_route(Route { waiting: 1, oldest_ms: Some(NOW - 4 * HOUR), ..Route::default() }),
            vec![(OldMessage, "Internet", Warning)],
        ),
        (
            "a logon that was refused",
            with_route(Route { logon_refused_ms: Some(NOW), ..Route::default() }),
            vec![(LogonRefused, "Internet", Critical)],
        ),
        ("31 days", certificate(31 * DAY), vec![]),
        ("30 days", certificate(30 * DAY), vec![(CertificateExpires, "mail.pem", Warning)]),
        ("a day", certificate(DAY - 1), vec![(CertificateExpires, "mail.pem", Critical)]),
        ("it has ended", certificate(0), vec![(CertificateExpires, "mail.pem", Critical)]),
        (
            "it is not there",
            Facts { certificates_missing: vec![("Relay".into(), "STARTTLS is not offered there")], ..well() },
            vec![(CertificateMissing, "Relay", Warning)],
        ),
        ("room", with_disk(Measured::Amount(8_499), Level::Normal), vec![]),
        (
            "little room",
            with_disk(Measured::Amount(8_500), Level::Normal),
            vec![(DiskNearlyFull, "UsedDiskSpace[spool]", Warning)],
        ),
        (
            "no room",
            with_disk(Measured::Exhausted("full"), Level::High),
            vec![(BackPressure, "UsedDiskSpace[spool]", Critical), (DiskNearlyFull, "UsedDiskSpace[spool]", Warning)],
        ),
        ("no threads", Facts::default(), vec![(SpoolDead, "", Critical)]),
        ("a disk that thinks", Facts { disk_silent_ms: 29_999, ..well() }, vec![]),
        ("a disk that hangs", Facts { disk_silent_ms: 30_000, ..well() }, vec![(DiskSilent, "", Critical)]),
        ("damage", Facts { set_aside: 1, ..well() }, vec![(SpoolDamaged, "", Warning)]),
        ("poison", Facts { poison: 1, ..well() }, vec![(PoisonMessages, "", Warning)]),
        (
            "a bad document",
            Facts { reload_failed: Some((NOW, "line 3".into())), ..well() },
            vec![(ReloadFailed, "", Warning)],
        ),
        (
            "records",
            Facts { records_dropped_ms: vec![("refusals", NOW - HOUR + 1), ("messages", NOW - HOUR)], ..well() },
            vec![(RecordsDropped, "refusals", Warning)],
        ),
    ];
    for (what, facts, expected) in cases {
        let alarms = decide(&settings, &facts, &[], NOW);
        assert_eq!(told(&alarms), expected, "{what}");
        for alarm in &alarms {
            assert!(!alarm.text.is_empty() && !alarm.remedy.is_empty(), "{what}: {alarm:?}");
        }
    }
}

#[test]
fn of_the_ranges_of_a_connector_the_one_that_ends_next_is_told() {
    let settings = settings(DOCUMENT);
    let text = |now: u64| {
        let alarms = decide(&settings, &well(), &[], now);
        alarms.into_iter().find(|alarm| alarm.kind == Kind::EntryExpires).map(|alarm| alarm.text.to_string())
    };
    assert_eq!(text(NOW).as_deref(), Some("the range 192.168.3.8 of Relay expires in 3 days, on 2026-11-25T00:00:00Z"));
    assert_eq!(text(NOW - 60 * DAY), None, "that is far away, and what ended years ago is no news");
    assert_eq!(
        text(NOW + 5 * DAY).as_deref(),
        Some("the range 192.168.3.8 of Relay has expired on 2026-11-25T00:00:00Z")
    );
    assert_eq!(text(NOW + 60 * DAY), None);
}

#[test]
fn what_comes_and_goes_is_one_alarm_and_what_stays_away_is_over() {
    let settings = settings("");
    let full = with_disk(Measured::Amount(8_500), Level::Normal);
    let raised = decide(&settings, &full, &[], NOW);
    // A little more room is not enough, so that it does not come and go with each message.
    let less = with_disk(Measured::Amount(8_300), Level::Normal);
    assert_eq!(told(&decide(&settings, &less, &raised, NOW + DAY)).len(), 1);
    let room = with_disk(Measured::Amount(8_299), Level::Normal);
    let held = decide(&settings, &room, &raised, NOW + HOLD_MS - 1);
    assert_eq!(held, raised, "its cause has gone a moment ago");
    let again = decide(&settings, &full, &held, NOW + HOLD_MS);
    assert_eq!(again[0].since_ms, NOW, "it is the same alarm");
    assert_eq!(decide(&settings, &room, &raised, NOW + HOLD_MS), []);
    assert_eq!(decide(&settings, &room, &raised, NOW - 1), [], "a clock that was set back holds nothing for ever");
}

#[test]
fn the_worst_come_first_and_there_is_an_end() {
    let settings = settings("");
    let old =
        |place: u64| Route { connector: format!("{place:04}").into(), oldest_ms: Some(NOW - DAY), ..Route::default() };
    let facts = Facts { routes: (0..2 * ALARMS_MAX as u64).map(old).collect(), ..Facts::default() };
    let alarms = decide(&settings, &facts, &[], NOW);
    assert_eq!(alarms.len(), ALARMS_MAX);
    assert_eq!(alarms[0].kind, Kind::SpoolDead);
}

fn drawn_route() -> impl Strategy<Value = Route> {
    let time = || prop::option::of((0..8_u64).prop_map(|hours| NOW - hours * 30 * MINUTE));
    (0..3_u64, time(), time(), time()).prop_map(|(waiting, failing_since_ms, last_failure_ms, last_success_ms)| Route {
        connector: "Internet".into(),
        waiting,
        failing_since_ms,
        last_failure_ms,
        last_success_ms,
        ..Route::default()
    })
}

/// The rule in other words: it failed all the time, it had something to do all the time, and that was long enough.
fn is_silent(settings: &Settings, route: &Route) -> bool {
    let limit = settings.monitoring.alarms.route_silence.as_millis() as u64;
    match (route.failing_since_ms, route.last_failure_ms, route.waiting) {
        (None, ..) => false,
        (Some(since), _, 1..) => NOW - since >= limit,
        (Some(since), Some(last), 0) => last >= since + limit,
        (Some(_), None, 0) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn a_route_is_silent_exactly_when_it_only_failed_for_long(route in drawn_route()) {
        let settings = settings("");
        let alarms = decide(&settings, &with_route(route.clone()), &[], NOW);
        prop_assert_eq!(alarms.iter().any(|alarm| alarm.kind == Kind::RouteSilent), is_silent(&settings, &route));
        // Asked again, nothing changes but the moment.
        let again = decide(&settings, &with_route(route), &alarms, NOW + 1);
        prop_assert_eq!(told(&again), told(&alarms));
    }
}
