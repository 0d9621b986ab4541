//! Where alarms and the health of routes are kept: one small file, replaced as a whole.
//!
//! Numbered fields, so that older and newer versions read each other's. What cannot be read is forgotten: it costs a second
//! mail, no message.

use std::io;
use std::path::Path;

use gatepost_policy::alarm::{Alarm, Kind, Route, Severity};
use minicbor::{Decode, Encode};

use crate::raised::Change;
use crate::whole_file;

/// Larger files are none of ours.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub raised: Vec<Alarm>,
    pub untold: Vec<Change>,
    pub last_mail_ms: Option<u64>,
    pub routes: Vec<Route>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredState {
    #[n(0)]
    raised: Vec<StoredAlarm>,
    #[n(1)]
    untold: Vec<StoredChange>,
    #[n(2)]
    last_mail_ms: Option<u64>,
    #[n(3)]
    routes: Vec<StoredRoute>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredAlarm {
    #[n(0)]
    kind: String,
    #[n(1)]
    object: String,
    #[n(2)]
    is_critical: bool,
    #[n(3)]
    since_ms: u64,
    #[n(4)]
    seen_ms: u64,
    #[n(5)]
    text: String,
    #[n(6)]
    remedy: String,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredChange {
    #[n(0)]
    alarm: StoredAlarm,
    #[n(1)]
    is_raised: bool,
    #[n(2)]
    time_ms: u64,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredRoute {
    #[n(0)]
    connector: String,
    #[n(1)]
    failing_since_ms: Option<u64>,
    #[n(2)]
    last_failure_ms: Option<u64>,
    #[n(3)]
    last_success_ms: Option<u64>,
    #[n(4)]
    logon_refused_ms: Option<u64>,
}

impl From<&Alarm> for StoredAlarm {
    fn from(alarm: &Alarm) -> StoredAlarm {
        StoredAlarm {
            kind: alarm.kind.name().to_owned(),
            object: alarm.object.to_string(),
            is_critical: alarm.severity == Severity::Critical,
            since_ms: alarm.since_ms,
            seen_ms: alarm.seen_ms,
            text: alarm.text.to_string(),
            remedy: alarm.remedy.to_string(),
        }
    }
}

impl StoredAlarm {
    /// `None` for a kind that a newer version knows.
    fn read(self) -> Option<Alarm> {
        Some(Alarm {
            kind: Kind::from_name(&self.kind)?,
            object: self.object.into(),
            severity: if self.is_critical { Severity::Critical } else { Severity::Warning },
            since_ms: self.since_ms,
            seen_ms: self.seen_ms,
            text: self.text.into(),
            remedy: self.remedy.into(),
        })
    }
}

/// As bytes.
pub fn encode(state: &State) -> Vec<u8> {
    let change = |change: &Change| StoredChange {
        alarm: StoredAlarm::from(&change.alarm),
        is_raised: change.is_raised,
        time_ms: change.time_ms,
    };
    let route = |route: &Route| StoredRoute {
        connector: route.connector.to_string(),
        failing_since_ms: route.failing_since_ms,
        last_failure_ms: route.last_failure_ms,
        last_success_ms: route.last_success_ms,
        logon_refused_ms: route.logon_refused_ms,
    };
    let stored = StoredState {
        raised: state.raised.iter().map(StoredAlarm::from).collect(),
        untold: state.untold.iter().map(change).collect(),
        last_mail_ms: state.last_mail_ms,
        routes: state.routes.iter().map(route).collect(),
    };
    minicbor::to_vec(&stored).unwrap_or_default()
}

/// From bytes; `None` where they are none of ours.
pub fn decode(bytes: &[u8]) -> Option<State> {
    let stored: StoredState = minicbor::decode(bytes).ok()?;
    let change = |change: StoredChange| {
        Some(Change { alarm: change.alarm.read()?, is_raised: change.is_raised, time_ms: change.time_ms })
    };
    let route = |route: StoredRoute| Route {
        connector: route.connector.into(),
        failing_since_ms: route.failing_since_ms,
        last_failure_ms: route.last_failure_ms,
        last_success_ms: route.last_success_ms,
        logon_refused_ms: route.logon_refused_ms,
        ..Route::default()
    };
    Some(State {
        raised: stored.raised.into_iter().filter_map(StoredAlarm::read).collect(),
        untold: stored.untold.into_iter().filter_map(change).collect(),
        last_mail_ms: stored.last_mail_ms,
        routes: stored.routes.into_iter().map(route).collect(),
    })
}

/// What the last run left; `None` if nothing.
pub fn read(path: &Path) -> Option<Vec<u8>> {
    whole_file::read(path, FILE_BYTES_MAX).ok().flatten()
}

/// Replaces the file as a whole. It is not flushed: what a power cut takes costs a second mail.
///
/// # Errors
/// Of the disk; the file is as before then.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    whole_file::replace_unflushed(path, bytes, 0o640)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_is_not_ours_is_not() {
        let alarm = Alarm {
            kind: Kind::RouteSilent,
            object: "Internet".into(),
            severity: Severity::Critical,
            since_ms: 1,
            seen_ms: 2,
            text: "nothing".into(),
            remedy: "look".into(),
        };
        let state = State {
            raised: vec![alarm.clone()],
            untold: vec![Change { alarm, is_raised: true, time_ms: 3 }],
            last_mail_ms: None,
            routes: vec![Route { connector: "Internet".into(), failing_since_ms: Some(4), ..Route::default() }],
        };
        let bytes = encode(&state);
        assert_eq!(decode(&bytes).as_ref(), Some(&state));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "cut off after {length}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alarms");
        assert_eq!(read(&path), None);
        write(&path, b"old").expect("it is written");
        write(&path, &bytes).expect("it is replaced");
        assert_eq!(read(&path), Some(bytes));
        assert_eq!(read(folder.path()), None);
    }
}
