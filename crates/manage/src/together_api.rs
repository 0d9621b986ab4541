//! `POST /transactions`: commands that change settings together, as one revision or not at all, or what they would do.
//!
//! Takes the commands, plays them one after the other on a draft that nobody else sees, puts what came out in force or
//! forgets it with the request. Nothing stays open where the caller hangs up. A look leaves no trace; what was done is in the
//! record of acts command by command, each with what became of the whole. Never runs what acts on anything but settings.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use tokio::sync::Semaphore;

use crate::access::Actor;
use crate::amend::Mode;
use crate::command::{self, Answer, Within, amendment, receive_connector};
use crate::command_api::{self, REQUEST_BYTES_MAX, Served, amend_refusal};
use crate::gate::Noted;
use crate::refusal::{Refusal, refuse, unreadable};
use crate::resource::{CommandAnswer, CommandCall, CommandRequest, TransactionRequest};
use crate::transaction::{Gathering, TransactionId};

/// Commands of one request at most.
pub const COMMANDS_MAX: usize = 500;
/// Requests that are played at a time: each is a document and its settings once more.
const PLAYED_AT_A_TIME: usize = 3;
/// How long a request may take, with its waiting.
const PATIENCE: Duration = Duration::from_secs(60);
/// What ends a transaction in the record.
const ENDING: &str = "Complete-Transaction";

/// The route.
pub fn routes<S: Clone + Send + Sync + 'static>(served: Served) -> Router<S> {
    let together = Together { served, room: Arc::new(Semaphore::new(PLAYED_AT_A_TIME)) };
    Router::new().route("/transactions", post(run).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))).with_state(together)
}

#[derive(Clone)]
struct Together {
    served: Served,
    room: Arc<Semaphore>,
}

/// What is to be done, and who wants it.
struct Wanted {
    id: TransactionId,
    actor: Actor,
    what_if: bool,
    reason: Option<String>,
    base: Option<u64>,
    commands: Vec<CommandCall>,
}

async fn run(
    State(together): State<Together>,
    actor: Actor,
    request: Result<Json<TransactionRequest>, JsonRejection>,
) -> (Extension<Noted>, Response) {
    let nothing = || Extension(Noted { is_nothing: true, ..Noted::default() });
    let wanted = request.map_err(unreadable).and_then(|Json(request)| {
        let id = TransactionId::random();
        let id = id.map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let TransactionRequest { commands, what_if, reason, base } = request;
        if commands.is_empty() || commands.len() > COMMANDS_MAX {
            let error = format!("`commands` are from 1 to {COMMANDS_MAX}; these are {}", commands.len());
            return Err(refuse(StatusCode::BAD_REQUEST, error));
        }
        Ok(Wanted { id, actor, what_if, reason, base, commands })
    });
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(refusal) => return (nothing(), refusal.into_response()),
    };
    let played = tokio::time::timeout(PATIENCE, together.play(&wanted)).await.unwrap_or_else(|_| {
        let error = format!("that would take more than {} seconds: send fewer commands at a time", PATIENCE.as_secs());
        Err(Stopped { at: None, refusal: refuse(StatusCode::SERVICE_UNAVAILABLE, error) })
    });
    let answered = match played {
        // From here on it is no longer a question of patience: what is put in force is put in force to its end.
        Ok(played) => together.complete(&wanted, &played).await.map_err(|refusal| Stopped { at: None, refusal }),
        Err(stopped) => Err(stopped),
    };
    let (noted, response) = match answered {
        Ok(answer) => (wanted.done(answer.revision), Json(answer).into_response()),
        Err(Stopped { at, refusal }) => (wanted.noted(at), refusal.into_response()),
    };
    if wanted.what_if { (nothing(), response) } else { (Extension(noted), response) }
}

/// Why it went no further.
struct Stopped {
    /// At which command.
    at: Option<usize>,
    refusal: Refusal,
}

/// What came out of the commands.
struct Played {
    gathering: Gathering,
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl Together {
    async fn play(&self, wanted: &Wanted) -> Result<Played, Stopped> {
        let _room = self.room.acquire().await;
        let gathering = self.served.amender().gather(&wanted.actor, wanted.reason.as_deref(), wanted.base).await;
        let gathering = gathering.map_err(|error| Stopped { at: None, refusal: amend_refusal(error) })?;
        let (mut warnings, mut notes) = (Vec::new(), Vec::new());
        let mut known = HashSet::new();
        for (at, call) in wanted.commands.iter().enumerate() {
            let told = self.step(wanted, call, &gathering).await;
            let told = told.map_err(|refusal| wanted.stopped(at, refusal))?;
            // What is odd after one step is odd after the next, too.
            warnings.extend(told.warnings.into_iter().filter(|warning| known.insert(warning.clone())));
            notes.extend(told.notes);
        }
        Ok(Played { gathering, warnings, notes })
    }

    /// Plays one command on the draft; hands on what it says.
    async fn step(&self, wanted: &Wanted, call: &CommandCall, gathering: &Gathering) -> Result<Answer, Refusal> {
        let entry = command_api::found(&call.command)?;
        let no_change = || {
            let error = format!("{} changes no settings, so it cannot be one of several", entry.signature.name);
            refuse(StatusCode::BAD_REQUEST, error)
        };
        // It would not only look: what reads, searches or connects does so in full.
        if !entry.changes() {
            return Err(no_change());
        }
        let asked = gathering.asked().await;
        let request = CommandRequest {
            parameters: call.parameters.clone(),
            // Whatever it does besides changing settings, it does not do here.
            what_if: true,
            reason: wanted.reason.clone(),
            ..CommandRequest::default()
        };
        // Among several "3 messages wait for it" does not say for what.
        let about = (wanted.commands.len() > 1).then(|| command_api::what(entry, &request));
        let within = Within::Call(gathering.clone());
        let mut answer = command_api::perform_within(&self.served, entry, &wanted.actor, request, within).await?;
        if gathering.asked().await == asked {
            return Err(no_change());
        }
        if let Some(about) = about {
            answer.notes.iter_mut().for_each(|note| *note = format!("{about}: {note}"));
        }
        Ok(answer)
    }

    async fn complete(&self, wanted: &Wanted, played: &Played) -> Result<CommandAnswer, Refusal> {
        let mode = if wanted.what_if { Mode::WhatIf } else { Mode::Apply };
        let amender = self.served.amender();
        let amended = amender.complete_gathered(&wanted.actor, &played.gathering, &mode).await;
        let amended = amended.map_err(amend_refusal)?;
        let title = match wanted.commands.len() {
            1 => wanted.commands[0].command.clone(),
            several => format!("{several} commands"),
        };
        let warnings = played.warnings.clone();
        let told = amendment::told_of(&title, wanted.what_if, warnings, amended, &receive_connector::SHAPE);
        Ok(told.with_notes(played.notes.clone()).into())
    }
}

impl Wanted {
    /// What is said where a command is refused: which of them it was.
    fn stopped(&self, at: usize, mut refusal: Refusal) -> Stopped {
        if self.commands.len() > 1 {
            let (number, all, name) = (at + 1, self.commands.len(), &self.commands[at].command);
            refusal.1.error = format!("{} (command {number} of {all}, {name}; nothing was changed)", refusal.1.error);
        }
        Stopped { at: Some(at), refusal }
    }

    fn of(&self, at: usize) -> Noted {
        let call = &self.commands[at];
        let request = CommandRequest {
            parameters: call.parameters.clone(),
            transaction: Some(self.id.to_string()),
            reason: self.reason.clone(),
            ..CommandRequest::default()
        };
        match command::find(&call.command) {
            // All of it is done or nothing: no other act says what became of it.
            Some(entry) => Noted { is_prepared: false, ..command_api::noted(entry, Some(&request)) },
            None => self.noted(None),
        }
    }

    /// What the record says where it was not done: the command that it stopped at, or all of it.
    fn noted(&self, at: Option<usize>) -> Noted {
        match at {
            Some(at) if command::find(&self.commands[at].command).is_some() => self.of(at),
            _ => Noted {
                act: Some(ENDING.to_owned()),
                target: Some(self.id.to_string()),
                reason: self.reason.clone(),
                ..Noted::default()
            },
        }
    }

    /// What the record says of what was done: each command, then that all of it is in force.
    fn done(&self, revision: Option<u64>) -> Noted {
        let parts = (0..self.commands.len()).map(|at| Noted { revision, ..self.of(at) });
        Noted { parts: parts.collect(), revision, ..self.noted(None) }
    }
}
