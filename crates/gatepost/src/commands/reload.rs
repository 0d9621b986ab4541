//! `gatepost reload`: the running server reads its settings file again, whole or not at all.

use std::io::Write;

use gatepost_manage::ClientError;
use gatepost_manage::resource::Reloaded;

use super::{client, difference, write_json};
use crate::cli::Target;
use crate::failure::Failure;
use crate::terminal::count;

/// Tells the server to reload and shows what changed, or every problem.
pub fn reload(out: &mut dyn Write, target: &Target, json: bool) -> Result<(), Failure> {
    let client = client(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(client.reload()) {
        Ok(reloaded) if json => write_json(out, &reloaded),
        Ok(reloaded) => write_reloaded(out, &reloaded),
        Err(ClientError::Refused { refused, .. }) if json => {
            write_json(out, &refused)?;
            if refused.problems.is_empty() {
                Err(Failure::Failed(String::new()))
            } else {
                Err(Failure::Settings(String::new()))
            }
        }
        Err(error) => Err(with_consequence(error.into())),
    }
}

/// The administrator must know what the server is doing now.
fn with_consequence(failure: Failure) -> Failure {
    let add = |text: String| format!("{text}\nThe settings in force have not changed.");
    match failure {
        Failure::Settings(text) => Failure::Settings(add(text)),
        Failure::Failed(text) => Failure::Failed(add(text)),
        other => other,
    }
}

fn write_reloaded(out: &mut dyn Write, reloaded: &Reloaded) -> Result<(), Failure> {
    for warning in &reloaded.warnings {
        let place = format!("{}:{}:{}", reloaded.config, warning.line, warning.column);
        writeln!(out, "warning: {place}: {}; {}", warning.message, warning.remedy)?;
    }
    writeln!(out, "{} is in force, revision {}", reloaded.config, reloaded.revision)?;
    for (addresses, done) in [(&reloaded.opened, "opened"), (&reloaded.closed, "closed")] {
        if !addresses.is_empty() {
            let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            writeln!(out, "{done} {}: {}", count(addresses.len() as u64, "listener", "listeners"), shown.join(", "))?;
        }
    }
    if reloaded.changes_total > 0 {
        writeln!(out)?;
        difference::write_changes(out, "what was in force", &reloaded.changes)?;
    } else {
        writeln!(out, "no address gains or loses a right")?;
    }
    Ok(())
}
