//! What goes with every page: the fields by which a browser keeps others out of it.
//!
//! Also answers the one request that a page of another site may make, following a link to us, by a page that asks again: the
//! session's cookie is sent only by pages of our own.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use gatepost_manage::access::LinkFromElsewhere;

/// No script, style, picture, frame or connection but our own; nothing within the page's text runs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const FIELDS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Asks again, as a page of ours.
const ASK_AGAIN: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0\">\
     <title>Gatepost</title><p>One moment…</p></html>\n";

/// Puts the fields on what `next` answers; links from elsewhere are asked to come again.
pub async fn pass(request: Request, next: Next) -> Response {
    let mut response = match request.extensions().get::<LinkFromElsewhere>() {
        Some(LinkFromElsewhere) => Html(ASK_AGAIN).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
