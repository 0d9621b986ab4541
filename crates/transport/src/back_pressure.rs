//! Meters what the server can run short of, and keeps the level of each resource at hand for MAIL.
//!
//! Takes readings every two seconds, hands on what `policy::back_pressure` makes of them. Decides nothing: while all levels
//! are Normal a message costs one look at a flag.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatepost_policy::access_entry::Principal;
use gatepost_policy::back_pressure::{
    self as policy, BackPressureSettings, Level, Measured, Pressure, Thresholds, Verdict, consequence,
};
use gatepost_policy::resource::Resource;

mod meters;

pub use meters::{Amount, Reading};

/// The levels of all resources.
#[derive(Debug, Default)]
pub struct BackPressure {
    /// Whether any level is not Normal.
    is_pressed: AtomicBool,
    metered: Mutex<Vec<Metered>>,
}

/// One resource as it was measured last.
#[derive(Clone, Copy, Debug)]
pub struct Metered {
    /// What the meter said.
    pub reading: Reading,
    /// What that means.
    pub pressure: Pressure,
    /// Where its level changes; none: it is measured only.
    pub thresholds: Option<Thresholds>,
}

/// What meters look at, apart from the system itself.
#[derive(Clone, Debug)]
pub struct Metering {
    /// The folder of the spool.
    pub spool: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// What one percent of a file system is taken for at most, in bytes.
    pub disk_headroom_bytes: u64,
    /// Messages that wait.
    pub queue_length: u64,
    /// Whether the spool has found its disk full, and not yet found room again.
    pub is_full: bool,
}

impl Metering {
    /// Reads all meters. Asks file systems, so it may block.
    pub fn read(&self) -> Vec<Reading> {
        meters::read(self)
    }
}

impl BackPressure {
    /// Whether this principal may begin a message now.
    pub fn decide(&self, principal: &Principal) -> Verdict {
        if !self.is_pressed.load(Ordering::Relaxed) {
            return Verdict::Accept;
        }
        let metered = self.metered();
        policy::decide(metered.iter().map(|metered| (metered.reading.resource, metered.pressure)), principal)
    }

    /// Takes new readings. Says in the log and to `note` which levels have changed, and hands back the resources that are pressed.
    pub fn take(
        &self,
        settings: &BackPressureSettings,
        readings: Vec<Reading>,
        note: impl Fn(Resource, Level),
    ) -> Vec<Resource> {
        let mut metered = self.metered();
        let next = readings.into_iter().map(|reading| {
            let before = metered.iter().find(|metered| metered.reading.resource == reading.resource);
            let before = before.map(|metered| metered.pressure).unwrap_or_default();
            let thresholds = settings.thresholds(reading.resource);
            let now = Metered { reading, pressure: policy::next(thresholds, before, reading.measured), thresholds };
            if now.pressure.level != before.level {
                tell(&now, before.level);
                note(now.reading.resource, now.pressure.level);
            }
            now
        });
        *metered = next.collect();
        let pressed: Vec<_> = metered.iter().filter(|metered| metered.pressure.level > Level::Normal).collect();
        self.is_pressed.store(!pressed.is_empty(), Ordering::Relaxed);
        pressed.into_iter().map(|metered| metered.reading.resource).collect()
    }

    /// Every resource as it was measured last.
    pub fn all(&self) -> Vec<Metered> {
        self.metered().clone()
    }

    fn metered(&self) -> MutexGuard<'_, Vec<Metered>> {
        self.metered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Exchange's event numbers: 15004 up, 15005 down; 15006 and 15007 where disk or memory are at their end.
fn tell(now: &Metered, before: Level) {
    let Metered { reading: Reading { resource, measured, amount }, pressure, .. } = now;
    let (level, measured) = (pressure.level, said(*resource, *measured));
    let event_id = match (level, resource) {
        (level, _) if level < before => 15005,
        (Level::High, Resource::PrivateBytes | Resource::SystemMemory) => 15007,
        (Level::High, Resource::SpoolSpace | Resource::SpoolFiles | Resource::DataSpace | Resource::DataFiles) => 15006,
        _ => 15004,
    };
    let (resource_name, from, to) = (resource.name(), before.name(), level.name());
    let (used, total) = (amount.used, amount.total);
    let consequence = consequence(*resource, level);
    match level {
        level if level < before => tracing::info!(
            event_id,
            resource = resource_name,
            from,
            to,
            measured,
            used,
            total,
            consequence,
            "back pressure fell"
        ),
        Level::High => tracing::error!(
            event_id,
            resource = resource_name,
            from,
            to,
            measured,
            used,
            total,
            consequence,
            "back pressure rose"
        ),
        _ => tracing::warn!(
            event_id,
            resource = resource_name,
            from,
            to,
            measured,
            used,
            total,
            consequence,
            "back pressure rose"
        ),
    }
}

fn said(resource: Resource, measured: Measured) -> String {
    match measured {
        Measured::Exhausted(why) => why.to_owned(),
        Measured::Amount(amount) if resource.is_share() => format!("{}.{:02} %", amount / 100, amount % 100),
        Measured::Amount(amount) => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(resource: Resource, amount: u64) -> Reading {
        Reading { resource, measured: Measured::Amount(amount), amount: Amount { used: amount, total: 10_000 } }
    }

    #[test]
    fn a_level_stays_until_its_resource_is_well_below() {
        let (settings, pressure) = (BackPressureSettings::default(), BackPressure::default());
        let refused = |who: &Principal| matches!(pressure.decide(who), Verdict::Refuse(_));
        let (anonymous, known) = (Principal::Anonymous, Principal::ExternallySecured);
        for (amount, expected) in [
            (5_000, (false, false)),
            (9_000, (true, false)),
            (8_500, (true, false)),
            (9_950, (true, true)),
            (9_500, (true, true)),
            (8_999, (true, false)),
            (7_999, (false, false)),
        ] {
            // Another resource does not disturb it.
            let readings = vec![reading(Resource::PrivateBytes, 100), reading(Resource::SpoolSpace, amount)];
            let pressed = pressure.take(&settings, readings, |_, _| {});
            assert_eq!((refused(&anonymous), refused(&known)), expected, "{amount}");
            assert_eq!(pressed.is_empty(), !expected.0);
        }
        let last = pressure.all();
        assert_eq!(last.iter().map(|metered| metered.pressure.level).collect::<Vec<_>>(), [Level::Normal; 2]);
    }

    #[test]
    fn what_is_not_measured_any_more_presses_no_longer() {
        let (settings, pressure) = (BackPressureSettings::default(), BackPressure::default());
        pressure.take(&settings, vec![reading(Resource::DataSpace, 9_950)], |_, _| {});
        assert!(matches!(pressure.decide(&Principal::ExternallySecured), Verdict::Refuse(_)));
        pressure.take(&settings, Vec::new(), |_, _| {});
        assert_eq!(pressure.decide(&Principal::Anonymous), Verdict::Accept);
    }
}
