//! The overview: how the server is doing.

use askama::Template;
use axum::Router;
use axum::routing::get;
use gatepost_manage::resource::Status;

use crate::layout::{Answer, Page, show};
use crate::visit::{Console, Visit};

/// The route.
pub fn routes() -> Router<Console> {
    Router::new().route("/", get(overview))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    page: Page,
    status: Status,
}

async fn overview(visit: Visit) -> Answer {
    let status = visit.client.status().await?;
    show(&Overview { page: Page::new(visit, "/", "Overview"), status })
}
