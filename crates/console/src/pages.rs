//! The pages. One file each; `routes` is the list.

mod explain;
mod live;
mod overview;
mod queues;
mod refusals;
mod receive_connectors;

use axum::Router;
use axum::http::StatusCode;

use crate::problem::Problem;
use crate::visit::{Console, Visit};

/// All of them.
pub fn routes() -> Router<Console> {
    Router::new()
        .merge(overview::routes())
        .merge(queues::routes())
        .merge(live::routes())
        .merge(explain::routes())
        .merge(refusals::routes())
        .merge(receive_connectors::routes())
        .merge(queues::routes())
        .merge(live::routes())
}

/// What is no page, to whom is signed in; others learn nothing.
pub async fn not_found(_: Visit) -> Problem {
    Problem::refused(StatusCode::NOT_FOUND, "no page has this address: choose one in the navigation")
}
