//! Many messages at once: which they are, whether it is meant, how far it has come.

use std::io::{self, IsTerminal, Write};

use gatepost_manage::Client;
use gatepost_manage::resource::{
    FailedChange, MessageAction, MessagesChanged, MessagesRequest, QUEUE_LIMIT_MAX, QueueQuery,
};

use super::super::{client, wait_for, write_json};
use crate::cli::{How, MessageChoice, Target};
use crate::failure::Failure;
use crate::terminal::{count, harmless};

/// So many messages are changed by one call: whoever waits sees how far it has come.
const AT_ONCE: usize = 500;

/// Does it to the messages that were chosen.
pub fn change(
    out: &mut dyn Write,
    target: &Target,
    which: MessageChoice,
    action: &MessageAction,
    how: &How,
) -> Result<(), Failure> {
    let client = client(target)?;
    let ids = match &which.filter {
        None => which.ids,
        Some(filter) => {
            let ids = matching(&client, filter)?;
            if !ids.is_empty() {
                confirm(&format!("{} {}", verb(action).0, count(ids.len() as u64, "message", "messages")), how)?;
            }
            ids
        }
    };
    let mut all = MessagesChanged { messages: 0, pending: 0, unknown: Vec::new(), failed: Vec::new() };
    let shows_progress = ids.len() > AT_ONCE && io::stderr().is_terminal();
    for some in ids.chunks(AT_ONCE) {
        let request = MessagesRequest { action: action.clone(), ids: some.to_vec() };
        let changed = wait_for(client.change_messages(&request))?;
        all.messages += changed.messages;
        all.pending += changed.pending;
        all.unknown.extend(changed.unknown);
        all.failed.extend(changed.failed);
        if shows_progress {
            // Nobody is told if standard error is closed.
            let _ = write!(io::stderr(), "\r{} of {} ", all.messages, ids.len());
        }
    }
    if shows_progress {
        let _ = writeln!(io::stderr());
    }
    // What has gone since a filter was asked is nobody's mistake.
    if which.filter.is_some() {
        all.unknown.clear();
    }
    if how.json {
        write_json(out, &all)?;
    } else {
        write_changed(out, &all, action)?;
    }
    match complaint(&all) {
        Some(complaint) => Err(Failure::Failed(complaint)),
        None => Ok(()),
    }
}

/// The numbers of all messages that a filter picks.
fn matching(client: &Client, filter: &str) -> Result<Vec<u64>, Failure> {
    let mut ids = Vec::new();
    loop {
        let query = QueueQuery {
            filter: Some(filter.to_owned()),
            offset: Some(ids.len()),
            limit: Some(QUEUE_LIMIT_MAX),
            ..QueueQuery::default()
        };
        let page = wait_for(client.queue(&query))?;
        ids.extend(page.messages.iter().map(|message| message.id));
        if page.messages.len() < QUEUE_LIMIT_MAX {
            ids.dedup();
            return Ok(ids);
        }
    }
}

/// Asks the person at the terminal; where there is none it has to be said beforehand.
pub fn confirm(what: &str, how: &How) -> Result<(), Failure> {
    if how.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Failed(format!("{what}? Nobody is there to ask: add --yes if it is meant")));
    }
    let _ = write!(io::stderr(), "{what}? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Failed("nothing was changed".to_owned())),
    }
}

/// What is done, and what was done.
fn verb(action: &MessageAction) -> (&'static str, &'static str, &'static str) {
    match action {
        MessageAction::Suspend => ("Suspend", "Suspended", "suspended"),
        MessageAction::Resume => ("Resume", "Resumed", "resumed"),
        MessageAction::Redirect(_) | MessageAction::RedirectBack => ("Redirect", "Redirected", "redirected"),
        MessageAction::Prioritize(_) => ("Change the priority of", "Changed the priority of", "changed"),
        MessageAction::Remove { report: true } => ("Remove, with a report to each sender,", "Removed", "removed"),
        MessageAction::Remove { report: false } => ("Remove, without a report,", "Removed", "removed"),
    }
}

fn write_changed(out: &mut dyn Write, changed: &MessagesChanged, action: &MessageAction) -> io::Result<()> {
    let (_, done, participle) = verb(action);
    let how = match action {
        MessageAction::Remove { report: true } => ", with a report to the sender",
        MessageAction::Remove { report: false } => ", without a report",
        _ => "",
    };
    writeln!(out, "{done} {}{how}.", count(changed.messages, "message", "messages"))?;
    if changed.pending > 0 {
        let pending = count(changed.pending, "message is", "messages are");
        writeln!(out, "{pending} being delivered right now, and {participle} should that fail.")?;
    }
    Ok(())
}

fn complaint(changed: &MessagesChanged) -> Option<String> {
    let mut lines: Vec<String> = changed
        .unknown
        .iter()
        .take(10)
        .map(|id| format!("there is no message {id} in the queue: `gatepost trace {id}` tells what became of it"))
        .collect();
    lines.extend(changed.failed.iter().take(10).map(|FailedChange { error, .. }| harmless(error)));
    let left = (changed.unknown.len() + changed.failed.len()).saturating_sub(lines.len());
    if left > 0 {
        lines.push(format!("and {left} more"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_with_what_is_still_to_come() {
        let changed = MessagesChanged { messages: 3, pending: 1, unknown: vec![7], failed: Vec::new() };
        let mut out = Vec::new();
        write_changed(&mut out, &changed, &MessageAction::Remove { report: false }).expect("a Vec takes all");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "Removed 3 messages, without a report.\n\
             1 message is being delivered right now, and removed should that fail.\n"
        );
        assert!(complaint(&changed).expect("one is unknown").contains("no message 7"));
        assert_eq!(complaint(&MessagesChanged { unknown: Vec::new(), ..changed }), None);
    }
}
