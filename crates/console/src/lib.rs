//! The console: pages for administrators in a browser, on the API's address.
//!
//! Takes requests of browsers, makes the same calls of the API that everybody makes, within the process and with the
//! session of the visitor, and hands on pages. So it decides nothing: roles, checks and the record of acts are the gate's
//! and the registry's. Holds nothing, and never reaches past the API. Modules stand in reading order; each uses only modules
//! listed below it.

mod pages;
mod confirming;
mod signing_in;
mod guard;
mod frame;
mod layout;
mod cards;
mod filtering;
mod paging;
mod rights;
mod change;
mod visit;
mod forms;
mod exposure;
mod shell_line;
mod mistake;
mod wording;
mod problem;
mod search;
mod fields;
mod sealed;
mod cookie;
mod assets;
mod listening;
mod picture;
mod lines;
mod text;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;

use crate::visit::Console;

/// Largest form, in bytes. The settings document has a limit of its own.
const FORM_BYTES_MAX: usize = 256 * 1024;

/// Every page; `api` is the API with its gate.
pub fn routes(api: Router) -> Router {
    let console = Console::new(api, pages::forms());
    Router::new()
        .merge(pages::routes())
        .merge(signing_in::routes())
        .merge(assets::routes())
        .fallback(pages::not_found)
        .layer(middleware::from_fn_with_state(console.clone(), frame::pass))
        .layer(middleware::from_fn(guard::pass))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(console)
}
