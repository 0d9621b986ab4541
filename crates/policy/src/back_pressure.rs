//! Back pressure: refusing work before a resource is used up (fact sheet sections 5.3 and 5.4).
//!
//! Takes what was measured, hands on a level for each resource, and from all of them whether MAIL is taken now. Measures
//! nothing and reads no clock. What is being received, what is queued and what is reported goes on at every level:
//! only that gives anything back.

use std::time::Duration;

use crate::access_entry::Principal;
use crate::refusal::Refusal;
use crate::resource::Resource;

/// Between two measurements.
pub const METERING_INTERVAL: Duration = Duration::from_secs(2);

/// How hard a resource is pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is room.
    #[default]
    Normal,
    /// Mail of strangers is refused or slowed down.
    Medium,
    /// All mail is refused.
    High,
}

impl Level {
    /// Its name in status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Normal => "Normal",
            Level::Medium => "Medium",
            Level::High => "High",
        }
    }
}

/// Where levels change: up above one value, down below another, so that a resource near a limit does not make the level
/// jump at every measurement. Percentages are in hundredths, other values are counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Above it, Normal becomes Medium.
    pub low_to_medium: u64,
    /// Above it, everything becomes High.
    pub medium_to_high: u64,
    /// Below it, High becomes Medium.
    pub high_to_medium: u64,
    /// Below it, everything becomes Normal.
    pub medium_to_low: u64,
}

impl Thresholds {
    /// Percentages, in the order of the fact sheet's table.
    pub const fn percent([low_to_medium, medium_to_high, high_to_medium, medium_to_low]: [u64; 4]) -> Thresholds {
        Thresholds {
            low_to_medium: low_to_medium * 100,
            medium_to_high: medium_to_high * 100,
            high_to_medium: high_to_medium * 100,
            medium_to_low: medium_to_low * 100,
        }
    }

    /// Counts, in the same order.
    pub const fn count([low_to_medium, medium_to_high, high_to_medium, medium_to_low]: [u64; 4]) -> Thresholds {
        Thresholds { low_to_medium, medium_to_high, high_to_medium, medium_to_low }
    }

    /// Whether each step up lies above the step down that undoes it, and something can be below the lowest.
    pub const fn is_in_order(&self) -> bool {
        self.medium_to_low > 0
            && self.medium_to_low <= self.low_to_medium
            && self.low_to_medium <= self.medium_to_high
            && self.high_to_medium <= self.medium_to_high
            && self.medium_to_low <= self.high_to_medium
    }
}

/// `[back_pressure]`: the thresholds; what has none is measured only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackPressureSettings {
    /// Of file systems: bytes and files alike.
    pub used_disk_space: Option<Thresholds>,
    /// What one percent of a file system is taken for at most, in bytes.
    pub disk_headroom_bytes: u64,
    /// Memory of this process, of what there is.
    pub private_bytes: Option<Thresholds>,
    /// Memory of the machine.
    pub system_memory: Option<Thresholds>,
    /// Messages that wait.
    pub queue_length: Option<Thresholds>,
    /// Open files, of those that the system lets us open.
    pub open_files: Option<Thresholds>,
}

/// Exchange's percentages. Its queue length (9,999 and 15,000) is that of a queue that messages leave within moments; ours
/// holds what next hops do not take, so it has no limit unless the administrator sets one.
impl Default for BackPressureSettings {
    fn default() -> Self {
        BackPressureSettings {
            used_disk_space: Some(Thresholds::percent([89, 99, 90, 80])),
            disk_headroom_bytes: 500 << 20,
            private_bytes: Some(Thresholds::percent([72, 75, 73, 71])),
            system_memory: Some(Thresholds::percent([88, 94, 89, 84])),
            queue_length: None,
            open_files: Some(Thresholds::percent([90, 95, 91, 85])),
        }
    }
}

impl BackPressureSettings {
    /// The thresholds of a resource.
    pub fn thresholds(&self, resource: Resource) -> Option<Thresholds> {
        match resource {
            Resource::SpoolSpace | Resource::SpoolFiles | Resource::DataSpace | Resource::DataFiles => {
                self.used_disk_space
            }
            Resource::PrivateBytes => self.private_bytes,
            Resource::SystemMemory => self.system_memory,
            Resource::QueueLength => self.queue_length,
            Resource::OpenFiles => self.open_files,
        }
    }
}

/// What one percent of a file system's files is taken for at most.
pub const FILES_HEADROOM: u64 = 10_000;

/// How much of `total` is used, in hundredths of a percent. One percent is taken for at most `headroom`: a disk of 10 TB
/// that has 1 TB free is 90 % full, and nobody is short of room. Exchange says the same by subtracting a fixed size
/// (500 MB) from the volume's; here every threshold knows that size, not the highest only.
pub fn used_share(total: u64, free: u64, headroom: u64) -> u64 {
    let counted = total.min(headroom.saturating_mul(100));
    match counted {
        0 => 0,
        counted => share(counted.saturating_sub(free), counted),
    }
}

/// `part` of `whole` in hundredths of a percent, rounded down.
pub fn share(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 10_000 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// What a meter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// In the unit of the resource's thresholds.
    Amount(u64),
    /// Nothing can be had of it at all, whatever the numbers say; in a few words why.
    Exhausted(&'static str),
}

/// A resource's level, and for how long it has been pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// The level.
    pub level: Level,
    /// Measurements in a row that left the level above Normal.
    pub polls: u32,
}

/// The next level of a resource with these thresholds, after one more measurement.
pub fn next(thresholds: Option<Thresholds>, before: Pressure, measured: Measured) -> Pressure {
    let level = match (measured, thresholds) {
        (Measured::Exhausted(_), _) => Level::High,
        (Measured::Amount(_), None) => Level::Normal,
        (Measured::Amount(amount), Some(thresholds)) => next_level(&thresholds, before.level, amount),
    };
    let polls = match level {
        Level::Normal => 0,
        Level::Medium | Level::High => before.polls.saturating_add(1),
    };
    Pressure { level, polls }
}

fn next_level(thresholds: &Thresholds, before: Level, amount: u64) -> Level {
    let Thresholds { low_to_medium, medium_to_high, high_to_medium, medium_to_low } = *thresholds;
    match before {
        _ if amount > medium_to_high => Level::High,
        Level::High if amount >= high_to_medium => Level::High,
        Level::High | Level::Medium if amount >= medium_to_low => Level::Medium,
        Level::Normal if amount > low_to_medium => Level::Medium,
        Level::High | Level::Medium | Level::Normal => Level::Normal,
    }
}

/// Whether a message may begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Accept,
    /// It may, and hears so after this time.
    Tarpit(Duration),
    /// It may not.
    Refuse(Refusal),
}

/// Whether this principal may begin a message while resources are pressed like that (fact sheet section 5.4). At Medium
/// strangers may not: sessions that have not logged on and are no servers that we know. At High nobody may.
pub fn decide(pressures: impl IntoIterator<Item = (Resource, Pressure)>, principal: &Principal) -> Verdict {
    let mut tarpit = Duration::ZERO;
    for (resource, pressure) in pressures {
        match (pressure.level, action(resource)) {
            (Level::Normal, _) | (_, Action::ForgetCaches) => {}
            (Level::High, _) => return Verdict::Refuse(Refusal::InsufficientResources(resource)),
            (Level::Medium, _) if !principal.is_anonymous() => {}
            (Level::Medium, Action::TarpitFirst { depth }) if pressure.polls <= depth => {
                tarpit = tarpit.max(tarpit_step(pressure.polls));
            }
            (Level::Medium, _) => return Verdict::Refuse(Refusal::InsufficientResources(resource)),
        }
    }
    match tarpit {
        Duration::ZERO => Verdict::Accept,
        tarpit => Verdict::Tarpit(tarpit),
    }
}

/// What pressure on a resource leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Refuse,
    /// Strangers are slowed down for so many measurements, and only then refused.
    TarpitFirst {
        depth: u32,
    },
    /// Nobody is refused: others may be using the memory.
    ForgetCaches,
}

fn action(resource: Resource) -> Action {
    match resource {
        Resource::SpoolSpace
        | Resource::SpoolFiles
        | Resource::DataSpace
        | Resource::DataFiles
        | Resource::OpenFiles => Action::Refuse,
        Resource::PrivateBytes => Action::TarpitFirst { depth: 30 },
        Resource::QueueLength => Action::TarpitFirst { depth: 300 },
        Resource::SystemMemory => Action::ForgetCaches,
    }
}

/// What a level of a resource means for mail, in half a sentence.
pub fn consequence(resource: Resource, level: Level) -> &'static str {
    match (level, action(resource)) {
        (Level::Normal, _) => "mail is accepted",
        (_, Action::ForgetCaches) => "caches are emptied",
        (Level::Medium, Action::Refuse) => "mail is refused unless its sender logged on or is a server that we know",
        (Level::Medium, Action::TarpitFirst { .. }) => {
            "mail is slowed down, later refused, unless its sender logged on or is a server that we know"
        }
        (Level::High, _) => "all mail is refused",
    }
}

/// 10 seconds, 5 more at each measurement, at most 55.
fn tarpit_step(polls: u32) -> Duration {
    Duration::from_secs(55.min(10 + 5 * u64::from(polls.saturating_sub(1))))
}
