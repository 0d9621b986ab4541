//! Receive connectors: the list of them, and everything about one. The wizard that makes one is `wizard`.

mod list;
mod wizard;
pub mod rights;
mod entry;
pub mod properties;
pub mod property;
mod ranges;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use serde_json::Value;

use crate::fields::{Fields, path_part};
use crate::layout::Answer;
use crate::visit::{Console, Visit};

/// Where they are.
pub const AREA: &str = "/receive-connectors";

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new()
        .route("/receive-connectors", get(list::list))
        .route("/receive-connectors/new", get(wizard::begin).post(wizard::go))
        .route("/receive-connectors/{name}", get(show).post(properties::apply))
        .route("/receive-connectors/{name}/enabled", post(properties::enable))
        .route("/receive-connectors/{name}/rights", post(rights::add))
        .route("/receive-connectors/{name}/rights/removal", post(rights::remove))
        .route("/receive-connectors/{name}/removal", post(properties::remove))
}

/// `GET /receive-connectors/{name}?tab=`.
async fn show(visit: Visit, Path(name): Path<String>) -> Answer {
    let record = properties::record(&visit, &name).await?;
    if properties::is_of_rights(&visit) {
        return rights::page(visit, &record, &Fields::default(), None).await;
    }
    properties::page(visit, &record)
}

/// The page of a connector.
pub fn place(name: &str) -> String {
    // That address is the wizard's; the case of a name says nothing.
    let identity = if name == "new" { "NEW" } else { name };
    format!("{AREA}/{}", path_part(identity))
}

/// The texts of a list of a record.
pub fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A text of a record, empty where there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A point in time of a record, in Unix milliseconds.
pub fn instant_ms(value: &Value) -> Option<u64> {
    let instant: jiff::Timestamp = value.as_str()?.parse().ok()?;
    instant.as_millisecond().try_into().ok()
}
