//! Changes of settings that become one revision together, or none at all.
//!
//! Takes drafts, keeps each under an id that only its author may use, hands them back when they are to be put in force. A
//! draft that nobody touched for [`IDLE_MAX`] is forgotten. What one call gathers has no id and takes no place: nobody else
//! finds it, and it is gone with the call. Reads no clock and changes no settings: that is `amend`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::document::Document;
use crate::edit::Outline;
use crate::history::Author;

/// Transactions that may be open at a time.
pub const OPEN_MAX: usize = 16;
/// A transaction that nobody touched for so long is undone.
pub const IDLE_MAX: Duration = Duration::from_secs(600);

/// What a transaction is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(String);

impl TransactionId {
    /// A new one, which nobody guesses.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn random() -> Result<TransactionId, TransactionError> {
        let mut bytes = [0; 12];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| TransactionError::NoRandomness)?;
        Ok(TransactionId(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The id as somebody wrote it.
    pub fn named(text: impl Into<String>) -> TransactionId {
        TransactionId(text.into())
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a transaction cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Not there, or somebody else's.
    #[error("there is no open transaction {0}: it was completed or undone, or nobody touched it for {minutes} minutes", minutes = IDLE_MAX.as_secs() / 60)]
    Unknown(TransactionId),
    /// All places are taken.
    #[error("{OPEN_MAX} transactions are open already: complete or undo one")]
    TooMany,
    /// Our bug or a broken machine.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// Changes that are not in force yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub author: Author,
    pub why: Option<String>,
    /// The revision that they began with.
    pub base: u64,
    pub outline: Outline,
    pub document: Arc<Document>,
    /// How many amendments it holds.
    pub amendments: usize,
    /// The first of what made them, each once.
    pub done: Vec<String>,
    /// How many commands came to change it, whether they found anything to change or not.
    pub asked: usize,
    /// Whether one call makes all of it: then nobody is told what a step of it would open by itself.
    pub is_of_one_call: bool,
}

/// So many of its commands are named of a transaction.
const NAMED_MAX: usize = 3;

impl Draft {
    /// One more amendment, by this command.
    pub fn note(&mut self, what: &str) {
        self.amendments += 1;
        if self.done.len() <= NAMED_MAX && !self.done.iter().any(|done| done == what) {
            self.done.push(what.to_owned());
        }
    }

    /// What was done, for the history.
    pub fn deed(&self) -> String {
        match (&self.done[..], self.amendments) {
            ([one], 1) => one.clone(),
            (done, _) => {
                let named = done.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if done.len() > NAMED_MAX { " and others" } else { "" };
                format!("{} commands: {named}{more}", self.amendments)
            }
        }
    }
}

/// What the commands of one call change, until the call puts it in force or ends.
#[derive(Clone, Debug)]
pub struct Gathering(pub(crate) Arc<Mutex<Draft>>);

impl Gathering {
    pub(crate) fn of(draft: Draft) -> Gathering {
        Gathering(Arc::new(Mutex::new(draft)))
    }

    /// How many commands came to change it.
    pub async fn asked(&self) -> usize {
        self.0.lock().await.asked
    }
}

/// Each is itself alone.
impl PartialEq for Gathering {
    fn eq(&self, other: &Gathering) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Gathering {}

/// An open transaction, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// Its id.
    pub id: TransactionId,
    /// Whose it is.
    #[serde(flatten)]
    pub author: Author,
    /// What they said why.
    pub why: Option<String>,
    /// The revision that it began with.
    pub base: u64,
    /// How many amendments it holds.
    pub amendments: usize,
}

/// The open transactions.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: HashMap<TransactionId, (Draft, Instant)>,
    /// Those that nobody touched, until somebody has asked about them.
    forgotten: Vec<(TransactionId, Author)>,
}

impl Transactions {
    /// Whether there is room for another one.
    pub fn has_room(&mut self, now: Instant) -> Result<(), TransactionError> {
        self.forget_idle(now);
        if self.open.len() < OPEN_MAX { Ok(()) } else { Err(TransactionError::TooMany) }
    }

    /// Opens one.
    pub fn begin(&mut self, draft: Draft, now: Instant) -> Result<TransactionId, TransactionError> {
        self.has_room(now)?;
        let id = TransactionId::random()?;
        self.open.insert(id.clone(), (draft, now));
        Ok(id)
    }

    /// The draft of a transaction, which is in use from now on.
    pub fn touch(&mut self, id: &TransactionId, author: &Author, now: Instant) -> Result<&mut Draft, TransactionError> {
        self.forget_idle(now);
        match self.open.get_mut(id).filter(|(draft, _)| draft.author.who == author.who) {
            Some((draft, used)) => {
                *used = now;
                Ok(draft)
            }
            None => Err(TransactionError::Unknown(id.clone())),
        }
    }

    /// Ends one.
    pub fn end(&mut self, id: &TransactionId, author: &Author, now: Instant) -> Result<Draft, TransactionError> {
        self.touch(id, author, now)?;
        self.open.remove(id).map(|(draft, _)| draft).ok_or_else(|| TransactionError::Unknown(id.clone()))
    }

    /// All that are open.
    pub fn list(&mut self, now: Instant) -> Vec<OpenTransaction> {
        self.forget_idle(now);
        let shown = |(id, (draft, _)): (&TransactionId, &(Draft, Instant))| OpenTransaction {
            id: id.clone(),
            author: draft.author.clone(),
            why: draft.why.clone(),
            base: draft.base,
            amendments: draft.amendments,
        };
        let mut open: Vec<_> = self.open.iter().map(shown).collect();
        open.sort_by(|one, other| (one.base, &one.id.0).cmp(&(other.base, &other.id.0)));
        open
    }

    /// Those that were forgotten since nobody touched them, each once, with whose they were.
    pub fn take_forgotten(&mut self, now: Instant) -> Vec<(TransactionId, Author)> {
        self.forget_idle(now);
        std::mem::take(&mut self.forgotten)
    }

    fn forget_idle(&mut self, now: Instant) {
        let forgotten = self.open.extract_if(|_, (_, used)| now.saturating_duration_since(*used) >= IDLE_MAX);
        for (id, (draft, _)) in forgotten {
            tracing::info!(transaction = %id, who = draft.author.who, "a transaction was undone: nobody touched it any more");
            // Somebody asks about them each minute; where nobody does, they are not worth keeping.
            if self.forgotten.len() < 4 * OPEN_MAX {
                self.forgotten.push((id, draft.author));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn draft(who: &str) -> Draft {
        let document = Document::draft(PathBuf::from("/gatepost.toml"), String::new()).expect("an empty document");
        Draft {
            author: Author { who: who.to_owned(), from: "a test".to_owned() },
            why: None,
            base: 1,
            outline: Outline::default(),
            document: Arc::new(document),
            amendments: 0,
            done: Vec::new(),
            asked: 0,
            is_of_one_call: false,
        }
    }

    #[test]
    fn a_transaction_names_what_it_is_made_of() {
        let deed = |commands: &[&str]| {
            let mut draft = draft("alice");
            commands.iter().for_each(|command| draft.note(command));
            draft.deed()
        };
        for (commands, said) in [
            (&["Set-A x"][..], "Set-A x"),
            (&["Set-A x", "Set-A x"], "2 commands: Set-A x"),
            (&["Set-A x", "Add-B x", "Add-B x"], "3 commands: Set-A x, Add-B x"),
            (&["a", "b", "c", "d", "e"], "5 commands: a, b, c and others"),
        ] {
            assert_eq!(deed(commands), said);
        }
    }

    #[test]
    fn a_transaction_is_its_authors_until_it_ends_or_lies_idle() {
        let mut transactions = Transactions::default();
        let start = Instant::now();
        let (alice, bob) = (draft("alice").author, draft("bob").author);
        let id = transactions.begin(draft("alice"), start).expect("room");
        let unknown = TransactionError::Unknown(id.clone());
        assert_eq!(transactions.touch(&id, &bob, start).err(), Some(unknown.clone()));
        assert!(transactions.touch(&id, &alice, start + IDLE_MAX / 2).is_ok());
        assert!(transactions.touch(&id, &alice, start + IDLE_MAX).is_ok(), "used meanwhile");
        assert_eq!(transactions.list(start + IDLE_MAX).len(), 1);
        assert_eq!(transactions.end(&id, &bob, start + IDLE_MAX).err(), Some(unknown.clone()));
        assert!(transactions.end(&id, &alice, start + IDLE_MAX).is_ok());
        assert_eq!(transactions.end(&id, &alice, start + IDLE_MAX).err(), Some(unknown));
        let idle = transactions.begin(draft("alice"), start).expect("room");
        assert!(transactions.take_forgotten(start + IDLE_MAX / 2).is_empty());
        assert!(transactions.touch(&idle, &alice, start + IDLE_MAX).is_err());
        let forgotten = transactions.take_forgotten(start + IDLE_MAX);
        assert_eq!(forgotten, [(idle, alice)], "and not the one that was ended");
        assert!(transactions.take_forgotten(start + IDLE_MAX).is_empty(), "it is said once");
        assert!(transactions.list(start + IDLE_MAX).is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_and_idle_ones_make_room() {
        let mut transactions = Transactions::default();
        let start = Instant::now();
        for _ in 0..OPEN_MAX {
            transactions.begin(draft("alice"), start).expect("room");
        }
        assert_eq!(transactions.begin(draft("bob"), start), Err(TransactionError::TooMany));
        assert!(transactions.begin(draft("bob"), start + IDLE_MAX).is_ok());
    }
}
