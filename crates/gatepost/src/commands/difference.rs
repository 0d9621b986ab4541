//! `gatepost check --against` and `gatepost reload`: what one settings file opens and closes, compared with another.

use std::io::Write;

use gatepost_manage::exposure_text::{listeners_text, sources_text, when, whom};
use gatepost_manage::resource::ExposureChange;
use gatepost_policy::audit::Change;
use gatepost_policy::permission::Right;

use crate::failure::Failure;
use crate::terminal::{Table, count};

/// Longer lists are cut for people; JSON has everything.
const ROWS_SHOWN_MAX: usize = 40;

/// All changes, in JSON.
pub fn rows(changes: &[Change]) -> Vec<ExposureChange> {
    changes.iter().map(ExposureChange::from).collect()
}

/// The changes that a server told of; a right that this program does not know is left out.
pub fn told(changes: &[ExposureChange]) -> Vec<Change> {
    changes.iter().map(ExposureChange::to_change).collect()
}

/// All changes for a person, gains and losses on lines of their own.
pub fn write_changes(out: &mut dyn Write, against: &str, changes: &[Change]) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(writeln!(out, "Compared with {against}: no address gains or loses a right.")?);
    }
    writeln!(out, "Compared with {against}:\n")?;
    let mut table = Table::new(&["", "WHO", "FROM", "AT", "RIGHTS"]);
    for change in changes.iter().take(ROWS_SHOWN_MAX) {
        let whom = whom(&change.whom);
        let (sources, listeners) = (sources_text(&change.sources) + &when(change), listeners_text(&change.listeners));
        for (verb, rights) in [("gains", change.gained), ("loses", change.lost)] {
            if !rights.is_empty() {
                let names: Vec<&str> = rights.iter().map(Right::exchange_name).collect();
                table.row(&[verb, &whom, &sources, &listeners, &names.join(", ")]);
            }
        }
    }
    table.write(out)?;
    if let Some(more) = changes.len().checked_sub(ROWS_SHOWN_MAX).filter(|more| *more > 0) {
        writeln!(out, "and {}: --json shows all", count(more as u64, "more change", "more changes"))?;
    }
    Ok(())
}
