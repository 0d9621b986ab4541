//! `GET /live`: what happens, for the scripts of pages that show it: the API's events, in the session of the page.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::layout::Answer;
use crate::visit::{Console, Visit};

/// The route.
pub fn routes() -> Router<Console> {
    Router::new().route("/live", get(live))
}

async fn live(visit: Visit) -> Answer {
    let events = visit.client.events().await?;
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], events).into_response())
}
