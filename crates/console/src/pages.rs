//! The pages. One file each; `routes` is the list.

mod acts;
mod explain;
mod device;
mod exposure;
mod guide;
mod live;
mod objects;
mod overview;
mod queues;
mod receive_connectors;
mod refusals;
mod revisions;
mod settings;
mod tokens;
mod trace;
mod transcript;
mod administrators;

use axum::Router;
use axum::http::StatusCode;

use crate::problem::Problem;
use crate::visit::{Console, Visit};

/// All of them.
pub fn routes() -> Router<Console> {
    Router::new()
        .merge(overview::routes())
        .merge(device::routes())
        .merge(receive_connectors::routes())
        .merge(exposure::routes())
        .merge(refusals::routes())
        .merge(explain::routes())
        .merge(transcript::routes())
        .merge(trace::routes())
        .merge(queues::routes())
        .merge(objects::routes())
        .merge(settings::routes())
        .merge(revisions::routes())
        .merge(administrators::routes())
        .merge(tokens::routes())
        .merge(acts::routes())
        .merge(guide::routes())
        .merge(live::routes())
}

/// What is no page, to whom is signed in; others learn nothing.
pub async fn not_found(_: Visit) -> Problem {
    Problem::refused(StatusCode::NOT_FOUND, "no page has this address: choose one in the navigation")
}
