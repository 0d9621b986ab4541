//! Whether the server can do anything at all, and whether it takes mail: what probes ask.
//!
//! Takes what is known of it at one moment; hands on what stands in the way, in half a sentence each.

use crate::back_pressure::Level;
use crate::resource::Resource;

/// A disk that has not answered for so long keeps mail from being taken.
const DISK_SILENCE_MS: u64 = 30_000;

/// What is known of the server at one moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether the threads that write the spool are there.
    pub spool_is_alive: bool,
    /// For how long the disk has been asked to write one batch.
    pub disk_silent_ms: u64,
    /// How many sockets accept SMTP.
    pub listeners: usize,
    /// Whether the server has been told to end.
    pub is_stopping: bool,
    /// Resources that are pressed, and how hard.
    pub pressed: Vec<(Resource, Level)>,
}

/// Why the server should be started again. A disk that hangs is no reason: that would not wake it.
pub fn faults(facts: &Facts) -> Vec<String> {
    match facts.spool_is_alive || facts.is_stopping {
        true => Vec::new(),
        false => vec!["a thread that writes the spool has ended by a fault of ours".to_owned()],
    }
}

/// Why no mail should be sent here now.
pub fn obstacles(facts: &Facts) -> Vec<String> {
    let mut obstacles = faults(facts);
    if facts.is_stopping {
        obstacles.push("the server is ending".to_owned());
    }
    if facts.listeners == 0 {
        obstacles.push("no socket accepts mail".to_owned());
    }
    if facts.disk_silent_ms >= DISK_SILENCE_MS {
        obstacles.push(format!("the disk of the spool has not answered for {} seconds", facts.disk_silent_ms / 1_000));
    }
    let high = facts.pressed.iter().filter(|(_, level)| *level == Level::High);
    obstacles
        .extend(high.map(|(resource, _)| format!("back pressure: {} is High, all mail is refused", resource.name())));
    obstacles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_obstacle_is_named_and_only_a_dead_thread_is_a_fault() {
        let well = Facts { spool_is_alive: true, listeners: 1, ..Facts::default() };
        let change = |change: fn(&mut Facts)| {
            let mut facts = well.clone();
            change(&mut facts);
            facts
        };
        for (facts, has_fault, obstacle) in [
            (well.clone(), false, None),
            (change(|facts| facts.spool_is_alive = false), true, Some("thread")),
            (change(|facts| facts.is_stopping = true), false, Some("ending")),
            (change(|facts| facts.listeners = 0), false, Some("no socket")),
            (change(|facts| facts.disk_silent_ms = 29_999), false, None),
            (change(|facts| facts.disk_silent_ms = 30_000), false, Some("30 seconds")),
            (change(|facts| facts.pressed = vec![(Resource::SpoolSpace, Level::Medium)]), false, None),
            (
                change(|facts| facts.pressed = vec![(Resource::SpoolSpace, Level::High)]),
                false,
                Some("UsedDiskSpace[spool]"),
            ),
        ] {
            assert_eq!(!faults(&facts).is_empty(), has_fault, "{facts:?}");
            let obstacles = obstacles(&facts);
            match obstacle {
                None => assert_eq!(obstacles, Vec::<String>::new()),
                Some(words) => assert!(obstacles.len() == 1 && obstacles[0].contains(words), "{obstacles:?}"),
            }
        }
    }
}
