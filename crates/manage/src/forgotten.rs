//! Transactions that nobody touches any more: forgotten in time, and that written into the record of acts, which says how
//! each one ended.

use std::sync::Arc;
use std::time::Duration;

use gatepost_transport::Control;

use crate::access::{Access, Actor};
use crate::amend::Amender;
use crate::clock::now_ms;
use crate::history::Author;
use crate::resource::{ActEntry, ActOutcome};
use crate::transaction::{IDLE_MAX, TransactionId};

/// It is looked for them so often.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Looks for them as long as the server runs.
pub async fn watch(control: Control, amender: Amender, access: Arc<Access>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for (id, author) in amender.take_forgotten().await {
            let (access, act) = (access.clone(), act(&id, &author));
            let bytes_max = control.settings().management.admin_audit_log_max_directory_size;
            let written = tokio::task::spawn_blocking(move || access.record.note(act, bytes_max)).await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::error!(transaction = %id, "that a transaction was undone could not be written into the record of acts");
            }
        }
    }
}

fn act(id: &TransactionId, author: &Author) -> ActEntry {
    let why = format!("{} did not touch it for {} minutes", author.who, IDLE_MAX.as_secs() / 60);
    ActEntry {
        target: Some(id.to_string()),
        reason: Some(why),
        ..ActEntry::new(&Actor::server("the server"), "Undo-Transaction", ActOutcome::Done, now_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_says_of_a_forgotten_transaction_whose_it_was() {
        let author = Author { who: "carol".to_owned(), from: "192.168.2.5".to_owned() };
        let act = act(&TransactionId::named("0a1b"), &author);
        assert_eq!(
            (act.act.as_str(), act.target.as_deref(), act.source.as_str()),
            ("Undo-Transaction", Some("0a1b"), "server")
        );
        assert_eq!(act.reason.as_deref(), Some("carol did not touch it for 10 minutes"));
    }
}
