//! The record of one decision with the documents that belong to it, for those who show it and those who ask it again.
//!
//! Takes an id, hands on what the running server has recorded, or a refusal.

use std::io;

use axum::http::StatusCode;
use gatepost_tracking::DecisionId;
use gatepost_transport::Control;

use crate::amend::Amender;
use crate::decision::{DecisionDetail, RevisionDocument};
use crate::refusal::{Refusal, refuse};

/// The record of the decision with this id.
///
/// # Errors
/// 400, 404 or 500.
pub async fn detail(control: &Control, amender: &Amender, id: &str) -> Result<DecisionDetail, Refusal> {
    let Some(id) = DecisionId::parse(id) else {
        let error = "the id of a decision has 12 hexadecimal digits, as the reply shows them in brackets";
        return Err(refuse(StatusCode::BAD_REQUEST, error.to_owned()));
    };
    let failed =
        |error: io::Error| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the records cannot be read: {error}"));
    let Some(decision) = control.decision(id).await.map_err(failed)? else {
        let error = format!(
            "there is no record of the decision {id}: it is another server's, or so old that newer ones took its room; \
             `gatepost status` says how far back records go"
        );
        return Err(refuse(StatusCode::NOT_FOUND, error));
    };
    let (amender, in_force) = (amender.clone(), control.document());
    let wanted = (decision.revision, (in_force != decision.revision).then_some(in_force));
    let read = move || -> io::Result<_> {
        let history = amender.reloader().history();
        let read = |id| RevisionDocument::read(&history, id);
        Ok((read(wanted.0)?, wanted.1.map(read).transpose()?.flatten()))
    };
    let read = tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (document, in_force) = read.map_err(failed)?;
    Ok(DecisionDetail { decision: decision.into(), document, in_force })
}
