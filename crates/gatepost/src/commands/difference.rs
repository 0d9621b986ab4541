//! `gatepost check --against` and `gatepost reload`: what one settings file opens and closes, compared with another.

use std::io::Write;

use gatepost_manage::exposure_text::{listeners_text, rights_text, sources_text, when, whom};
use gatepost_manage::resource::ExposureChange;

use crate::failure::Failure;
use crate::terminal::{Table, count};

/// Longer lists are cut for people; JSON has everything.
const ROWS_SHOWN_MAX: usize = 40;

/// All changes for a person: gains, losses, and what is held under other terms, on lines of their own.
pub fn write_changes(out: &mut dyn Write, against: &str, changes: &[ExposureChange]) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(writeln!(out, "Compared with {against}: no address gains or loses a right.")?);
    }
    writeln!(out, "Compared with {against}:\n")?;
    let mut table = Table::new(&["", "WHO", "FROM", "AT", "RIGHTS"]);
    for change in changes.iter().take(ROWS_SHOWN_MAX) {
        let whom = whom(change);
        let (sources, listeners) =
            (sources_text(&change.source_set()) + &when(change), listeners_text(&change.listeners));
        for (verb, rights) in [("gains", &change.gained), ("loses", &change.lost)] {
            if !rights.is_empty() {
                table.row(&[verb, &whom, &sources, &listeners, &rights_text(rights, &change.limited)]);
            }
        }
        for altered in &change.altered {
            let held = format!("{} {}; before that {}", altered.rights.join(", "), altered.after, altered.before);
            table.row(&["holds", &whom, &sources, &listeners, &held]);
        }
    }
    table.write(out)?;
    if let Some(more) = changes.len().checked_sub(ROWS_SHOWN_MAX).filter(|more| *more > 0) {
        writeln!(out, "and {}: --json shows all", count(more as u64, "more change", "more changes"))?;
    }
    Ok(())
}
