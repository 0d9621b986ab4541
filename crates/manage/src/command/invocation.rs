//! One call of a command, and what it answers.

use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_transport::Control;

use super::{Arguments, CommandError};
use crate::access::{Access, Actor};
use crate::age::{Ages, Snapshot};
use crate::amend::{Amender, Mode, Purpose};
use crate::clock::now_ms;
use crate::document::Document;
use crate::object::Record;
use crate::resource::{CommandAnswer, ExposureChange};
use crate::transaction::{Gathering, TransactionId};

/// Where changes are gathered that are not in force yet.
#[derive(Clone, Debug)]
pub enum Within {
    /// In an open transaction.
    Transaction(TransactionId),
    /// In the request that the command is one of.
    Call(Gathering),
}

impl Within {
    /// What becomes of a change there.
    pub fn mode(&self) -> Mode {
        match self {
            Within::Transaction(id) => Mode::In(id.clone()),
            Within::Call(gathering) => Mode::Among(gathering.clone()),
        }
    }
}

/// One call.
pub struct Invocation<'a> {
    /// The running server.
    pub control: &'a Control,
    /// What changes its settings.
    pub amender: &'a Amender,
    /// Who may administer it, and what they did.
    pub access: &'a Arc<Access>,
    /// Since when its settings are as they are.
    pub ages: &'a Arc<Ages>,
    /// The settings that the call is about: those in force, or those of its transaction.
    pub settings: Arc<Settings>,
    /// Who calls.
    pub actor: &'a Actor,
    /// The parameters.
    pub arguments: Arguments,
    /// Whether only to say what would change.
    pub is_what_if: bool,
    /// Where changes are gathered that are not in force yet.
    pub transaction: Option<Within>,
    /// The command and what it is about: `New-ReceiveConnector Relay`.
    pub what: String,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// The revision that the caller looked at, where a change of any other is to be refused.
    pub base: Option<u64>,
    /// Which of the records of a listing are asked for.
    pub page: Option<Page>,
}

/// A part of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// So many are passed over.
    pub offset: usize,
    /// So many follow at most.
    pub limit: usize,
}

impl Page {
    /// The records of these places in `found`, made by `record`: of thousands no more than are shown.
    fn answer<T>(self, found: &[T], record: impl Fn(&T) -> Record) -> Answer {
        let shown = found.iter().skip(self.offset).take(self.limit);
        Answer { output: shown.map(record).collect(), total: Some(found.len() as u64), ..Answer::default() }
    }
}

impl Invocation<'_> {
    /// What becomes of a change.
    ///
    /// # Errors
    /// [`CommandError::Wrong`], where a transaction is asked what it would do by one of its changes.
    pub fn mode(&self) -> Result<Mode, CommandError> {
        match (self.is_what_if, &self.transaction) {
            (false, None) => Ok(Mode::Apply),
            (true, None) => Ok(Mode::WhatIf),
            (false, Some(within)) => Ok(within.mode()),
            // Whoever plays several asks of all of them what they would do.
            (true, Some(within @ Within::Call(_))) => Ok(within.mode()),
            (true, Some(Within::Transaction(_))) => {
                let error = "within a transaction nothing is in force yet: make the change without -WhatIf, then ask \
                             Complete-Transaction -WhatIf";
                Err(CommandError::Wrong(error.to_owned()))
            }
        }
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose<'_> {
        Purpose { why: self.reason.as_deref(), what: &self.what }
    }

    /// The settings document that is in force.
    pub async fn document(&self) -> Arc<Document> {
        self.amender.reloader().hold().await.document.clone()
    }

    /// Since when elements of the settings in force are as they are.
    ///
    /// # Errors
    /// [`CommandError::Failed`]: our bug.
    pub async fn ages(&self) -> Result<Snapshot, CommandError> {
        let (ages, reloader) = (self.ages.clone(), self.amender.reloader().clone());
        let (revision, outline) = self.amender.outline().await?;
        let learn = move || ages.learn(reloader.history(), (revision, &outline), now_ms());
        let failed =
            |_| CommandError::Failed("reading the history failed unexpectedly; the log has the cause".to_owned());
        tokio::task::spawn_blocking(learn).await.map_err(failed)
    }

    /// The settings as they are now, after what this call has changed.
    ///
    /// # Errors
    /// [`CommandError`], when the transaction is gone.
    pub async fn settings_now(&self) -> Result<Arc<Settings>, CommandError> {
        Ok(self.amender.settings(self.actor, &self.mode()?).await?.0)
    }
}

/// What a command answers.
#[derive(Debug, Default)]
pub struct Answer {
    /// What it yields.
    pub output: Vec<Record>,
    /// Lines of text that it yields after them.
    pub lines: Vec<String>,
    /// What is legal but probably not meant.
    pub warnings: Vec<String>,
    /// What would have changed, where that was the question.
    pub what_if: Option<String>,
    /// The revision of the settings that was looked at, where that was the question.
    pub base: Option<u64>,
    /// The revision of the settings that it made.
    pub revision: Option<u64>,
    /// Which addresses gain or lose which right by it; the first of them.
    pub exposure: Vec<ExposureChange>,
    /// How many such changes there are in all.
    pub exposure_total: u64,
    /// Mail that takes another way out by it, in words.
    pub rerouted: Vec<String>,
    /// What becomes of what waits in queues or lies on the disk, in words.
    pub notes: Vec<String>,
    /// How many records there are, where a page of them was asked for.
    pub total: Option<u64>,
}

impl Answer {
    /// Records and nothing else.
    pub fn of(output: Vec<Record>) -> Answer {
        Answer { output, ..Answer::default() }
    }

    /// The records of what a listing has found, as many of them as are asked for.
    pub fn listing<T>(invocation: &Invocation<'_>, found: &[T], record: impl Fn(&T) -> Record) -> Answer {
        match invocation.page {
            Some(page) => page.answer(found, record),
            None => Answer::of(found.iter().map(record).collect()),
        }
    }

    /// The same, with what becomes of what is no part of the settings. Who asked what would change is told that there.
    pub fn with_notes(mut self, notes: Vec<String>) -> Answer {
        if let Some(told) = &mut self.what_if {
            notes.iter().for_each(|note| told.extend(["\n", note.as_str()]));
        }
        self.notes = notes;
        self
    }

    /// The same records, no more of them than are asked for: of a command that makes all.
    pub fn paged(mut self, page: Option<Page>) -> Answer {
        let Some(page) = page.filter(|_| self.total.is_none()) else { return self };
        self.total = Some(self.output.len() as u64);
        self.output.drain(..page.offset.min(self.output.len()));
        self.output.truncate(page.limit);
        self
    }
}

impl From<Answer> for CommandAnswer {
    /// Of an answer without records.
    fn from(answer: Answer) -> CommandAnswer {
        CommandAnswer {
            output: answer.lines.into_iter().map(Into::into).collect(),
            warnings: answer.warnings,
            what_if: answer.what_if,
            base: answer.base,
            revision: answer.revision,
            exposure: answer.exposure,
            exposure_total: answer.exposure_total,
            rerouted: answer.rerouted,
            notes: answer.notes,
            total: answer.total,
        }
    }
}
